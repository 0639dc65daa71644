//! From pixel data to stored samples: finding the frame, and undoing its compression.

use std::borrow::Cow;
use std::io::Read;

use super::cursor::{Encoding, Value, fragments};
use super::malformed;
use super::pixels::{Layout, Numbers, Photometric};
use super::{jpeg2000, rle, wide};
use crate::decode::DecodeError;
use crate::jpeg::{self, Colour, Process};

/// How pixels are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Frames after frames.
    Native,
    /// Uncompressed, one fragment a frame.
    Encapsulated,
    /// Run lengths of byte planes.
    Rle,
    /// Baseline, extended or lossless JPEG, or JPEG-LS: the frame says which.
    Jpeg,
    /// JPEG 2000, reversible or not, of high throughput or not.
    Jpeg2000,
    /// Each frame deflated (PS3.5 section A.4.13).
    Deflated,
}

/// A frame, by what its samples are.
pub(super) enum Frame {
    /// At most 16 bits each.
    Codes(Stored),
    /// More, or floating point: one number for each sample.
    Wide(Vec<f64>),
}

/// The samples of one frame, pixel by pixel.
pub(super) struct Stored {
    /// Codes as [`Layout::code`] makes them.
    pub codes: Vec<u16>,
    /// The decoder has already turned colour into red, green, blue of 8 bits.
    pub rgb8: bool,
}

/// Decodes frame `frame` (from 1, checked by the caller to exist). Where a compressed frame has its
/// own word on precision and sign, `layout` is changed to it.
pub(super) fn decode_frame(
    codec: Codec,
    encoding: Encoding,
    pixels: Value<'_>,
    offsets: Option<Value<'_>>,
    layout: &mut Layout,
    frame: u32,
) -> Result<Frame, DecodeError> {
    // Whether pixel data are in fragments shows; a transfer syntax that says otherwise is wrong.
    if !pixels.undefined {
        layout.not_subsampled(pixels.bytes.len(), layout.frames);
        return native(encoding, pixels, layout, frame);
    }
    let encoding = Encoding::EXPLICIT_LITTLE;
    let bytes = frame_fragments(&fragments(pixels)?, pixels.ended, offsets, codec, layout.frames, frame)?;
    let stored = match shown_codec(&bytes).unwrap_or(codec) {
        Codec::Native | Codec::Encapsulated => return whole_frame(encoding, &bytes, layout, frame),
        Codec::Deflated => {
            let mut inflated = Vec::new();
            let most = layout.whole_bits().div_ceil(8) as u64;
            flate2::read::DeflateDecoder::new(&bytes[..])
                .take(most)
                .read_to_end(&mut inflated)
                .map_err(|error| malformed(format!("the deflated frame {frame} is broken: {error}")))?;
            return whole_frame(encoding, &inflated, layout, frame);
        }
        Codec::Rle if layout.numbers != Numbers::Words => {
            return wide::run_lengths(&bytes, layout).map(Frame::Wide);
        }
        Codec::Rle => rle::rle(&bytes, layout),
        Codec::Jpeg => jpeg_frame(&bytes, layout),
        Codec::Jpeg2000 => jpeg2000::decode(&bytes, layout),
    }?;
    if stored.codes.len() == layout.frame_samples() {
        Ok(Frame::Codes(stored))
    } else {
        Err(malformed("the compressed frame has another number of samples"))
    }
}

/// Bytes that decoding takes for each sample of pixels in no fragments, beside its code: planes are interleaved in a second copy.
pub(super) const NATIVE_BYTES_A_SAMPLE: u64 = 2;

/// Bytes that decoding takes for each sample, beside its code: the most that any frame asks for by how it begins. A frame begins
/// with a fragment, but that may be empty, or end within the bytes that show its codec, so these are joined from each fragment on.
pub(super) fn bytes_a_sample(pixels: Value<'_>, codec: Codec) -> u64 {
    /// Bytes that show a codec.
    const SHOWING: usize = 16;
    /// A JPEG frame of which the header is not whole in its first fragment.
    const JPEG: u64 = 14;
    if !pixels.undefined {
        return NATIVE_BYTES_A_SAMPLE;
    }
    let fragments = fragments(pixels).unwrap_or_default();
    let mut begins: Vec<u8> = Vec::new();
    let mut most = if codec == Codec::Jpeg2000 { jpeg2000::BYTES_A_SAMPLE } else { 2 };
    for fragment in fragments.iter().skip(1).rev() {
        begins = fragment.iter().chain(&begins).copied().take(SHOWING).collect();
        most = most.max(match shown_codec(&begins) {
            Some(Codec::Jpeg) => jpeg::read_header(fragment).map_or(JPEG, |header| header.bytes_a_sample()),
            Some(Codec::Jpeg2000) => jpeg2000::BYTES_A_SAMPLE,
            _ => 2,
        });
    }
    let hidden = codec == Codec::Jpeg && shown_codec(&begins).is_none();
    if hidden { most.max(JPEG) } else { most }
}

/// The codec that the first bytes of a frame show.
fn shown_codec(frame: &[u8]) -> Option<Codec> {
    if frame.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(Codec::Jpeg)
    } else if starts_jpeg2000(frame) {
        Some(Codec::Jpeg2000)
    } else {
        None
    }
}

fn starts_jpeg2000(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0x4f, 0xff, 0x51]) || bytes.starts_with(b"\0\0\0\x0cjP  ")
}

/// The bytes of one frame (PS3.5 section A.4). Each frame has a fragment of its own, or an offset
/// table says where each begins, or else, or where the table does not fit, the first bytes of each coded frame do. Frames
/// beyond those that the attributes count are passed over, as other readers do.
fn frame_fragments<'a>(
    fragments: &[&'a [u8]],
    ended: bool,
    extended: Option<Value<'_>>,
    codec: Codec,
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
    if !ended {
        return Err(malformed("the pixel data (7FE0,0010) are truncated: their delimiter is missing"));
    }
    let begins = |bytes: &[u8]| match codec {
        Codec::Rle => rle::begins(bytes),
        _ => shown_codec(bytes).is_some(),
    };
    if fragments.len() < frames {
        // Of one frame it is plain which it is; of several a lost one would be answered with another.
        return match fragments {
            [only] if frame == 1 && begins(only) => Ok(Cow::Borrowed(*only)),
            _ => Err(malformed(format!(
                "the pixel data (7FE0,0010) are truncated: {} fragments for {frames} frames",
                fragments.len()
            ))),
        };
    }
    let mut offsets: Vec<u64> =
        table.as_chunks::<4>().0.iter().map(|&four| u64::from(u32::from_le_bytes(four))).collect();
    if let Some(extended) = extended.filter(|_| offsets.is_empty()) {
        offsets = extended.bytes.as_chunks::<8>().0.iter().map(|&eight| u64::from_le_bytes(eight)).collect();
    }
    // Where each fragment begins: offsets count the eight bytes of each item's header.
    let starts: Vec<u64> = fragments
        .iter()
        .scan(0, |at, fragment| {
            let start = *at;
            *at += fragment.len() as u64 + 8;
            Some(start)
        })
        .collect();
    let fits = offsets.len() >= frames
        && offsets.is_sorted_by(|a, b| a < b)
        && offsets.iter().all(|offset| starts.binary_search(offset).is_ok());
    if !fits {
        let firsts = fragments.iter().zip(&starts).filter(|(fragment, _)| begins(fragment));
        offsets = firsts.map(|(_, &start)| start).collect();
    }
    if offsets.len() < frames {
        // Some writers leave empty fragments between or behind those of the frames.
        let filled: Vec<&[u8]> = fragments.iter().copied().filter(|fragment| !fragment.is_empty()).collect();
        if filled.len() == frames {
            return Ok(Cow::Borrowed(filled[index]));
        }
        return Err(malformed(format!(
            "{} fragments for {frames} frames, and no offset table that says which are whose",
            fragments.len()
        )));
    }
    let end = offsets.get(index + 1).copied().unwrap_or(u64::MAX);
    let own = fragments.iter().zip(&starts).filter(|(_, start)| (offsets[index]..end).contains(start));
    Ok(Cow::Owned(own.flat_map(|(fragment, _)| fragment.iter().copied()).collect()))
}

/// A frame of frames that follow each other without a gap, of packed samples not even to the next byte.
fn native(encoding: Encoding, pixels: Value<'_>, layout: &Layout, frame: u32) -> Result<Frame, DecodeError> {
    let bits = layout.native_bits();
    let expected = (bits as u128 * u128::from(layout.frames)).div_ceil(8);
    if (pixels.bytes.len() as u128) < expected {
        return Err(malformed(format!(
            "the pixel data are truncated: {} bytes of {expected}",
            pixels.bytes.len()
        )));
    }
    let start = (frame - 1) as usize * bits;
    let (from, to) = (start / 8, (start + bits).div_ceil(8));
    // Samples of less than 16 bits in big-endian 16-bit words come in pairs the wrong way round.
    let swap = encoding.big_endian && (layout.allocated == 8 || layout.packed()) && pixels.vr == Some(*b"OW");
    let bytes = match swap {
        true => (from..to).map(|at| pixels.bytes.get(at ^ 1).copied().unwrap_or(0)).collect(),
        false => Cow::Borrowed(&pixels.bytes[from..to]),
    };
    if layout.packed() {
        let codes = arranged(unpacked(&bytes, start % 8, layout), layout);
        return Ok(Frame::Codes(Stored { codes, rgb8: false }));
    }
    Ok(uncompressed(encoding, &bytes, layout))
}

/// A frame that has its bytes for itself.
fn whole_frame(
    encoding: Encoding,
    bytes: &[u8],
    layout: &mut Layout,
    frame: u32,
) -> Result<Frame, DecodeError> {
    layout.not_subsampled(bytes.len(), 1);
    let expected = layout.native_bytes();
    let bytes = bytes.get(..expected).ok_or_else(|| {
        malformed(format!("frame {frame} is truncated: {} bytes of {expected}", bytes.len()))
    })?;
    if layout.packed() {
        let codes = arranged(unpacked(bytes, 0, layout), layout);
        return Ok(Frame::Codes(Stored { codes, rgb8: false }));
    }
    Ok(uncompressed(encoding, bytes, layout))
}

/// Samples that follow each other bit by bit from `start` on, the first in the lowest bits (PS3.5
/// annex D).
pub(super) fn unpacked(bytes: &[u8], start: usize, layout: &Layout) -> Vec<u16> {
    let allocated = usize::from(layout.allocated);
    let mask = (1u32 << allocated) - 1;
    let count = layout.native_bits() / allocated;
    (0..count)
        .map(|index| {
            let at = start + index * allocated;
            let three = [0, 1, 2].map(|next| bytes.get(at / 8 + next).copied().unwrap_or(0));
            let word = u32::from_le_bytes([three[0], three[1], three[2], 0]);
            layout.code((word >> (at % 8) & mask) as u16)
        })
        .collect()
}

/// Samples from the bytes of exactly one frame.
fn uncompressed(encoding: Encoding, bytes: &[u8], layout: &Layout) -> Frame {
    if layout.numbers != Numbers::Words {
        return Frame::Wide(wide::numbers(encoding, bytes, layout));
    }
    let codes: Vec<u16> = if layout.allocated == 8 {
        bytes.iter().map(|&byte| layout.code(u16::from(byte))).collect()
    } else {
        let words = bytes.as_chunks::<2>().0.iter();
        words.map(|&pair| layout.code(encoding.u16(pair))).collect()
    };
    Frame::Codes(Stored { codes: arranged(codes, layout), rgb8: false })
}

/// Samples as they are stored become those of one pixel after the other.
fn arranged(codes: Vec<u16>, layout: &Layout) -> Vec<u16> {
    if layout.subsampled && codes.len() == 2 * layout.pixels() {
        // Two luminances, then the colour differences that both pixels share.
        codes.as_chunks::<4>().0.iter().flat_map(|&[a, b, blue, red]| [a, blue, red, b, blue, red]).collect()
    } else if layout.planar {
        interleave(&codes, layout.pixels())
    } else {
        codes
    }
}

/// Three planes of `pixels` samples become triples.
fn interleave(planes: &[u16], pixels: usize) -> Vec<u16> {
    let (first, rest) = planes.split_at(pixels);
    let (second, third) = rest.split_at(pixels);
    first.iter().zip(second).zip(third).flat_map(|((&a, &b), &c)| [a, b, c]).collect()
}

/// Refuses a compressed frame whose own size is not the data set's.
pub(super) fn same_size(layout: &Layout, width: u32, height: u32) -> Result<(), DecodeError> {
    if (width, height) == (u32::from(layout.columns), u32::from(layout.rows)) {
        Ok(())
    } else {
        Err(malformed(format!(
            "the compressed frame is {width} x {height} pixels, the attributes say {} x {}",
            layout.columns, layout.rows
        )))
    }
}

pub(super) fn same_samples(layout: &Layout, samples: u16) -> Result<(), DecodeError> {
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
fn jpeg_frame(bytes: &[u8], layout: &mut Layout) -> Result<Stored, DecodeError> {
    let header = jpeg::read_header(bytes).map_err(in_dicom)?;
    same_size(layout, header.width.into(), header.height.into())?;
    same_samples(layout, header.components.into())?;
    let precision = u16::from(header.precision);
    let lossless = matches!(header.process, Process::Lossless | Process::Ls);
    // Signed samples of fewer bits than are stored have their sign in the highest they have, and no JPEG has samples of more
    // than sixteen.
    if precision < layout.stored && (lossless && layout.signed || layout.stored > 16) {
        layout.stored = precision;
    }
    if lossless {
        let values = match header.process {
            Process::Ls => jpeg::decode_ls(bytes, &header),
            _ => jpeg::decode_lossless(bytes, &header),
        };
        let values = values.map_err(in_dicom)?;
        // Words that were coded whole are shifted, and not samples that have no bits where the attributes say that they lie.
        if precision < layout.stored + layout.shift {
            layout.shift = 0;
        }
        if layout.shift == 0 && values.iter().any(|word| !layout.holds(*word)) {
            layout.stored = precision;
        }
        return Ok(Stored { codes: values.into_iter().map(|word| layout.code(word)).collect(), rgb8: false });
    }
    let unmarked = header.adobe.is_none() && !header.jfif;
    let colour =
        if layout.photometric == Photometric::Rgb && unmarked { Colour::AsStored } else { Colour::Declared };
    if header.precision > 8 {
        let values = jpeg::decode_deep(bytes, &header, colour).map_err(in_dicom)?;
        layout.stored = header.precision.into();
        layout.shift = 0;
        if header.components == 3 {
            layout.photometric = Photometric::Rgb;
            return Ok(Stored { codes: values, rgb8: false });
        }
        let words = values.into_iter();
        return Ok(Stored { codes: words.map(|word| layout.code(word)).collect(), rgb8: false });
    }
    let values = jpeg::decode_samples(bytes, &header, colour).map_err(in_dicom)?;
    // Eight bits are what there is, wherever the attributes say that they lie.
    layout.shift = 0;
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
