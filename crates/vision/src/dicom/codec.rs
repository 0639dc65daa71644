//! From pixel data to stored samples: finding the frame, and undoing its compression.

use std::borrow::Cow;

use hayro_jpeg2000::{DecodeSettings, DecoderContext};

use super::malformed;
use super::part10::{Encoding, Value, fragments};
use super::pixels::{Layout, Photometric};
use crate::decode::DecodeError;
use crate::jpeg::{self, Colour};

/// How pixels are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Frames after frames.
    Native,
    /// Uncompressed, one fragment a frame.
    Encapsulated,
    /// Run lengths of byte planes.
    Rle,
    /// Baseline, extended or lossless JPEG: the frame says which.
    Jpeg,
    /// JPEG 2000, reversible or not.
    Jpeg2000,
}

/// The samples of one frame, pixel by pixel.
pub(super) struct Stored {
    /// Codes as [`Layout::code`] makes them.
    pub codes: Vec<u16>,
    /// The decoder has already turned colour into red, green, blue of 8 bits.
    pub rgb8: bool,
}

/// Decodes frame `frame` (from 1, checked by the caller to exist).
pub(super) fn decode_frame(
    codec: Codec,
    encoding: Encoding,
    pixels: Value<'_>,
    layout: &Layout,
    frame: u32,
) -> Result<Stored, DecodeError> {
    if codec == Codec::Native {
        if pixels.undefined {
            return Err(malformed(
                "the pixel data (7FE0,0010) are in fragments, which its transfer syntax has not",
            ));
        }
        return native(encoding, pixels, layout, frame);
    }
    if !pixels.undefined {
        return Err(malformed(
            "the pixel data (7FE0,0010) are not in fragments, as its transfer syntax asks",
        ));
    }
    let bytes = frame_fragments(&fragments(pixels)?, layout.frames, frame)?;
    let stored = match codec {
        Codec::Native | Codec::Encapsulated => {
            let bytes = bytes.get(..layout.frame_bytes()).ok_or_else(|| {
                malformed(format!(
                    "frame {frame} is truncated: {} bytes of {}",
                    bytes.len(),
                    layout.frame_bytes()
                ))
            })?;
            uncompressed(Encoding::EXPLICIT_LITTLE, bytes, layout)
        }
        Codec::Rle => rle(&bytes, layout),
        Codec::Jpeg => jpeg_frame(&bytes, layout),
        Codec::Jpeg2000 => jpeg2000(&bytes, layout),
    }?;
    if stored.codes.len() == layout.frame_samples() {
        Ok(stored)
    } else {
        Err(malformed("the compressed frame has another number of samples"))
    }
}

/// The bytes of one frame. Each frame has a fragment of its own, or the offset table says where
/// each begins (PS3.5 section A.4).
fn frame_fragments<'a>(
    fragments: &[&'a [u8]],
    frames: u32,
    frame: u32,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let Some((table, fragments)) = fragments.split_first() else {
        return Err(malformed("the pixel data (7FE0,0010) have no offset table"));
    };
    let index = (frame - 1) as usize;
    let frames = frames as usize;
    if fragments.len() == frames {
        return Ok(Cow::Borrowed(fragments[index]));
    }
    if frames == 1 && !fragments.is_empty() {
        return Ok(Cow::Owned(fragments.concat()));
    }
    let offsets = table.as_chunks::<4>().0;
    if offsets.len() != frames {
        return Err(malformed(format!(
            "{} fragments for {frames} frames, and no offset table that says which are whose",
            fragments.len()
        )));
    }
    let start = u64::from(u32::from_le_bytes(offsets[index]));
    let end = offsets.get(index + 1).map_or(u64::MAX, |&next| u64::from(u32::from_le_bytes(next)));
    let mut at = 0;
    let mut bytes = Vec::new();
    for fragment in fragments {
        if (start..end).contains(&at) {
            bytes.extend_from_slice(fragment);
        }
        // Offsets count the eight bytes of each item's header.
        at += fragment.len() as u64 + 8;
    }
    if bytes.is_empty() {
        return Err(malformed(format!("the offset table shows no fragment of frame {frame}")));
    }
    Ok(Cow::Owned(bytes))
}

fn native(encoding: Encoding, pixels: Value<'_>, layout: &Layout, frame: u32) -> Result<Stored, DecodeError> {
    if layout.subsampled {
        return Err(DecodeError::unsupported("uncompressed DICOM pixels with YBR_FULL_422 colour"));
    }
    let length = layout.frame_bytes();
    let expected = length as u128 * u128::from(layout.frames);
    if (pixels.bytes.len() as u128) < expected {
        return Err(malformed(format!(
            "the pixel data are truncated: {} bytes of {expected}",
            pixels.bytes.len()
        )));
    }
    let start = (frame - 1) as usize * length;
    let bytes = &pixels.bytes[start..start + length];
    // 8-bit samples in big-endian 16-bit words come in pairs the wrong way round.
    if encoding.big_endian && layout.allocated == 8 && pixels.vr == Some(*b"OW") {
        let swapped: Vec<u8> =
            (start..start + length).map(|at| pixels.bytes.get(at ^ 1).copied().unwrap_or(0)).collect();
        return uncompressed(encoding, &swapped, layout);
    }
    uncompressed(encoding, bytes, layout)
}

/// Samples from the bytes of exactly one frame.
fn uncompressed(encoding: Encoding, bytes: &[u8], layout: &Layout) -> Result<Stored, DecodeError> {
    let codes: Vec<u16> = if layout.allocated == 8 {
        bytes.iter().map(|&byte| layout.code(u16::from(byte))).collect()
    } else if encoding.big_endian {
        let words = bytes.as_chunks::<2>().0.iter();
        words.map(|&pair| layout.code(u16::from_be_bytes(pair))).collect()
    } else {
        let words = bytes.as_chunks::<2>().0.iter();
        words.map(|&pair| layout.code(u16::from_le_bytes(pair))).collect()
    };
    Ok(Stored { codes: if layout.planar { interleave(&codes, layout.pixels()) } else { codes }, rgb8: false })
}

/// Three planes of `pixels` samples become triples.
fn interleave(planes: &[u16], pixels: usize) -> Vec<u16> {
    let (first, rest) = planes.split_at(pixels);
    let (second, third) = rest.split_at(pixels);
    first.iter().zip(second).zip(third).flat_map(|((&a, &b), &c)| [a, b, c]).collect()
}

/// DICOM's run length encoding (PS3.5 annex G): a header of 16 numbers, then one segment a
/// byte plane, the most significant byte of a sample first.
fn rle(bytes: &[u8], layout: &Layout) -> Result<Stored, DecodeError> {
    let (header, _) =
        bytes.split_first_chunk::<64>().ok_or_else(|| malformed("the RLE header is truncated"))?;
    let number = |at: usize| {
        let four = [header[4 * at], header[4 * at + 1], header[4 * at + 2], header[4 * at + 3]];
        u32::from_le_bytes(four) as usize
    };
    let planes_a_sample = usize::from(layout.allocated / 8);
    let segments = usize::from(layout.samples) * planes_a_sample;
    if number(0) != segments {
        return Err(malformed(format!(
            "{} RLE segments where the image has {segments} byte planes",
            number(0)
        )));
    }
    // A run of two bytes gives at most 128.
    let pixels = layout.pixels();
    if pixels / 64 > bytes.len() {
        return Err(malformed("the RLE data are too short for the image"));
    }
    let samples = usize::from(layout.samples);
    let mut words = vec![0u16; layout.frame_samples()];
    let mut plane = Vec::with_capacity(pixels);
    for segment in 0..segments {
        let start = number(segment + 1);
        let end = if segment + 1 < segments { number(segment + 2) } else { bytes.len() };
        let packed =
            bytes.get(start..end).ok_or_else(|| malformed("an RLE segment lies outside the frame"))?;
        plane.clear();
        unpack(packed, pixels, &mut plane)?;
        let sample = segment / planes_a_sample;
        let shift = 8 * (planes_a_sample - 1 - segment % planes_a_sample);
        for (word, &byte) in words.iter_mut().skip(sample).step_by(samples).zip(&plane) {
            *word |= u16::from(byte) << shift;
        }
    }
    for word in &mut words {
        *word = layout.code(*word);
    }
    Ok(Stored { codes: words, rgb8: false })
}

/// Unpacks one segment into exactly `length` bytes.
fn unpack(packed: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut at = 0;
    while out.len() < length {
        let Some(&control) = packed.get(at) else {
            return Err(malformed("an RLE segment is truncated"));
        };
        let left = length - out.len();
        at += 1;
        match control {
            0..=127 => {
                let run = usize::from(control) + 1;
                let literal =
                    packed.get(at..at + run).ok_or_else(|| malformed("an RLE segment is truncated"))?;
                out.extend_from_slice(&literal[..run.min(left)]);
                at += run;
            }
            128 => {}
            129.. => {
                let &byte = packed.get(at).ok_or_else(|| malformed("an RLE segment is truncated"))?;
                let run = 257 - usize::from(control);
                out.resize(out.len() + run.min(left), byte);
                at += 1;
            }
        }
    }
    Ok(())
}

/// Refuses a compressed frame whose own size is not the data set's.
fn same_size(layout: &Layout, width: u32, height: u32) -> Result<(), DecodeError> {
    if (width, height) == (u32::from(layout.columns), u32::from(layout.rows)) {
        Ok(())
    } else {
        Err(malformed(format!(
            "the compressed frame is {width} x {height} pixels, the attributes say {} x {}",
            layout.columns, layout.rows
        )))
    }
}

fn same_samples(layout: &Layout, samples: u16) -> Result<(), DecodeError> {
    if samples == layout.samples {
        Ok(())
    } else {
        Err(malformed(format!(
            "the compressed frame has {samples} samples a pixel, the attributes say {}",
            layout.samples
        )))
    }
}

/// A decoder's sentence about a fragment is about the DICOM file it lies in.
fn in_dicom(error: DecodeError) -> DecodeError {
    match error {
        DecodeError::Malformed { format, detail } => malformed(format!("its {format} frame: {detail}")),
        other => other,
    }
}

/// A JPEG frame. Whose word counts on colour, if it is lossy: an Adobe marker's, then a JFIF
/// marker's, then the photometric interpretation's. Lossless samples are taken as stored.
fn jpeg_frame(bytes: &[u8], layout: &Layout) -> Result<Stored, DecodeError> {
    let header = jpeg::read_header(bytes).map_err(in_dicom)?;
    same_size(layout, header.width.into(), header.height.into())?;
    same_samples(layout, header.components.into())?;
    if header.lossless {
        let values = jpeg::decode_lossless(bytes, &header).map_err(in_dicom)?;
        return Ok(Stored { codes: values.into_iter().map(|word| layout.code(word)).collect(), rgb8: false });
    }
    let unmarked = header.adobe.is_none() && !header.jfif;
    let colour =
        if layout.photometric == Photometric::Rgb && unmarked { Colour::AsStored } else { Colour::Declared };
    let values = jpeg::decode_samples(bytes, &header, colour).map_err(in_dicom)?;
    let rgb8 = header.components == 3;
    Ok(Stored {
        codes: if rgb8 {
            values.into_iter().map(u16::from).collect()
        } else {
            let words = values.into_iter().map(u16::from);
            words.map(|word| layout.code(word)).collect()
        },
        rgb8,
    })
}

/// JPEG 2000, a bare codestream or one in a JP2 file.
fn jpeg2000(bytes: &[u8], layout: &Layout) -> Result<Stored, DecodeError> {
    /// A codestream can describe a blank image in a few bytes. Radiographs stay far below this
    /// many pixels a byte.
    const MAX_PIXELS_A_BYTE: usize = 4096;

    let broken = |error: hayro_jpeg2000::DecodeError| malformed(format!("its JPEG 2000 frame: {error}"));
    let siz = siz(bytes)?;
    let signed = siz.signed;
    // Before the decoder takes memory for each of them.
    same_samples(layout, siz.components)?;
    let image = hayro_jpeg2000::Image::new(bytes, &DecodeSettings::default()).map_err(broken)?;
    same_size(layout, image.width(), image.height())?;
    if layout.pixels() / MAX_PIXELS_A_BYTE > bytes.len() {
        return Err(malformed("its JPEG 2000 frame is too short for the image"));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(broken)?;
    let components = decoded.components();
    let samples = components.len();
    same_samples(layout, u16::try_from(samples).unwrap_or(u16::MAX))?;
    let mut codes = vec![0u16; layout.frame_samples()];
    for (index, component) in components.iter().enumerate() {
        if component.samples().len() != layout.pixels() {
            return Err(malformed("its JPEG 2000 components differ in size"));
        }
        let depth = u32::from(component.bit_depth());
        if depth > u32::from(layout.stored) {
            return Err(malformed(format!(
                "its JPEG 2000 frame has {depth} bits a sample, Bits Stored says {}",
                layout.stored
            )));
        }
        // The decoder adds half the range to signed samples.
        let bias = if signed && layout.signed {
            (1i32 << (layout.stored - 1)) - (1i32 << (depth - 1))
        } else if signed {
            -(1i32 << (depth - 1))
        } else {
            0
        };
        let last = i32::from(u16::MAX >> (16 - layout.stored));
        let targets = codes.iter_mut().skip(index).step_by(samples);
        for (code, &sample) in targets.zip(component.samples()) {
            let value = (sample.round() as i32 + bias).clamp(0, last) as u16;
            // Unsigned in the codestream, two's complement to the data set: the bits count.
            *code = if layout.signed && !signed { layout.code(value << layout.shift) } else { value };
        }
    }
    Ok(Stored { codes, rgb8: false })
}

/// What the SIZ marker of a codestream, the first thing in it, says (ITU-T T.800 section A.5.1).
struct Siz {
    components: u16,
    /// Samples of the first component.
    signed: bool,
}

fn siz(bytes: &[u8]) -> Result<Siz, DecodeError> {
    let start = bytes
        .windows(4)
        .position(|four| four == [0xff, 0x4f, 0xff, 0x51])
        .ok_or_else(|| malformed("its frame is no JPEG 2000 codestream"))?;
    match bytes.get(start + 40..start + 43) {
        Some(&[high, low, ssiz]) => {
            Ok(Siz { components: u16::from_be_bytes([high, low]), signed: ssiz & 0x80 != 0 })
        }
        _ => Err(malformed("its JPEG 2000 frame is truncated")),
    }
}
