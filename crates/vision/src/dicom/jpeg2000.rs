//! JPEG 2000 frames (ITU-T T.800), whose structure is checked before a decoder sees them.
//!
//! High-throughput streams (ITU-T T.814), which differ in how code-blocks are coded, have a decoder of
//! their own; the walk is the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hayro_jpeg2000::{DecodeSettings, DecoderContext};

use super::codec::{Stored, same_samples, same_size};
use super::codestream::{Size, broken, check_structure, codestream, is_high_throughput};
use super::pixels::Layout;
use crate::decode::DecodeError;

/// A codestream can describe a blank image in a few bytes. Radiographs stay far below this many
/// pixels a byte.
const MAX_PIXELS_A_BYTE: usize = 4096;

/// Decodes a frame, a bare codestream or one in a JP2 file, of which the codestream alone is read:
/// in a DICOM file the attributes say what the samples mean. The precision and the sign of the
/// codestream go before Bits Stored and Pixel Representation, which `layout` is changed to say.
pub(super) fn decode(bytes: &[u8], layout: &mut Layout) -> Result<Stored, DecodeError> {
    let stream = codestream(bytes)?;
    let size = Size::read(stream)?;
    same_samples(layout, size.components)?;
    same_size(layout, size.width()?, size.height()?)?;
    if layout.pixels() / MAX_PIXELS_A_BYTE > stream.len() {
        return Err(broken("it is too short for the image"));
    }
    check_structure(stream, &size)?;
    let depth = u16::from(size.depth);
    // Words of which the stored bits are not the lowest are whole in the codestream.
    let shifted = layout.shift > 0 && depth >= layout.stored + layout.shift && !size.signed;
    if !shifted {
        layout.stored = depth;
        layout.shift = 0;
        layout.signed |= size.signed;
    }
    let mut codes = vec![0u16; layout.frame_samples()];
    let decode = if is_high_throughput(stream) { high_throughput } else { ordinary };
    decode(stream, &size, layout, &mut codes)?;
    // Decoders add half the range to signed samples, which is what a code is.
    if !size.signed {
        codes.iter_mut().for_each(|code| *code = layout.code(*code));
    }
    Ok(Stored { codes, rgb8: false })
}

/// Decodes what Part 1 describes: samples pixel by pixel, signed ones moved up by half their range.
fn ordinary(stream: &[u8], size: &Size, layout: &Layout, words: &mut [u16]) -> Result<(), DecodeError> {
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let image = hayro_jpeg2000::Image::new(stream, &settings).map_err(broken)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(broken)?;
    let components = decoded.components();
    same_samples(layout, u16::try_from(components.len()).unwrap_or(u16::MAX))?;
    let most = i32::from(u16::MAX >> (16 - size.depth));
    for (index, component) in components.iter().enumerate() {
        if component.samples().len() != layout.pixels() || component.bit_depth() != size.depth {
            return Err(broken("its components differ in size or depth"));
        }
        let targets = words.iter_mut().skip(index).step_by(components.len());
        for (word, &sample) in targets.zip(component.samples()) {
            *word = (sample.round() as i32).clamp(0, most) as u16;
        }
    }
    Ok(())
}

/// Decodes what Part 15 describes, as [`ordinary`] does.
fn high_throughput(
    stream: &[u8],
    size: &Size,
    layout: &Layout,
    words: &mut [u16],
) -> Result<(), DecodeError> {
    use dicom_toolkit_jpeg2000::{DecodeSettings, Image};

    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    // It is young: a fault of its own must not be more than a refusal.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        Image::new(stream, &settings).and_then(|image| image.decode_native())
    }));
    let decoded = decoded.map_err(|_| broken("its code-blocks are damaged"))?.map_err(broken)?;
    same_samples(layout, decoded.num_components.into())?;
    if decoded.bit_depth != size.depth {
        return Err(broken("its components differ in size or depth"));
    }
    let values = decoded.data.len() / usize::from(decoded.bytes_per_sample.max(1));
    if values != words.len() {
        return Err(broken("its components differ in size or depth"));
    }
    if decoded.bytes_per_sample == 1 {
        words.iter_mut().zip(&decoded.data).for_each(|(word, &byte)| *word = byte.into());
    } else {
        let pairs = decoded.data.as_chunks::<2>().0;
        words.iter_mut().zip(pairs).for_each(|(word, &pair)| *word = u16::from_le_bytes(pair));
    }
    Ok(())
}

/// Bytes that decoding takes for each sample: 32-bit coefficients and samples, and their copies; of
/// high throughput also the samples as bytes.
pub(super) const BYTES_A_SAMPLE: u64 = 20;
