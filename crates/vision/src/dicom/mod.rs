//! DICOM Part 10 files: one frame of an image, as a radiologist's screen would show it.
//!
//! The way of a pixel: stored bits (any depth up to 32, signed or not, or floating point, plain or compressed) become
//! a value by the modality transformation (rescale slope and intercept, or a table), the value
//! becomes a brightness by the VOI transformation (window or table; without either the frame's own
//! minimum and maximum are black and white), and MONOCHROME1 is inverted. Grey comes out with 16
//! bits whatever was stored, with the shape of its pixels. Files of several frames give the one asked for, counted from 1 as
//! DICOM counts them.
//!
//! Sources: DICOM PS3.3 section C.7.6.3 (image pixel), C.11.1 and C.11.2 (modality and VOI), PS3.5
//! section 8 and annexes A and G (pixel data, transfer syntaxes, RLE).

mod codec;
mod codestream;
#[cfg(test)]
mod codestream_tests;
mod cursor;
mod dataset;
mod identity;
mod jpeg2000;
#[cfg(test)]
mod memory_tests;
mod palette;
mod part10;
mod parts;
mod pixels;
mod render;
mod rle;
mod spacing;
mod table;
mod tags;
mod wide;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use self::codec::Codec;
use self::cursor::Encoding;
use self::dataset::DataSet;
pub use self::identity::Identity;
pub(super) use self::part10::looks_like_elements;
use self::pixels::{Layout, Numbers};
use super::decode::{Declared, DecodeError, DecodeOptions, Format, check_size};
use super::image::Image;

/// What is read, for the message about what is not.
pub(super) const SUPPORTED: &str = "uncompressed (little endian, big endian, deflated), RLE, JPEG (baseline, extended, lossless), JPEG-LS, JPEG 2000 and High-Throughput JPEG 2000";

/// A transfer syntax: how the data set is written, and how its pixels are coded.
struct TransferSyntax {
    encoding: Encoding,
    deflated: bool,
    codec: Codec,
}

impl TransferSyntax {
    fn from_uid(uid: &str) -> Option<TransferSyntax> {
        let explicit = Encoding::EXPLICIT_LITTLE;
        let (encoding, codec) = match uid {
            "1.2.840.10008.1.2" => (Encoding { explicit: false, big_endian: false }, Codec::Native),
            "1.2.840.10008.1.2.1" | "1.2.840.10008.1.2.1.99" => (explicit, Codec::Native),
            "1.2.840.10008.1.2.2" => (Encoding { explicit: true, big_endian: true }, Codec::Native),
            "1.2.840.10008.1.2.1.98" => (explicit, Codec::Encapsulated),
            "1.2.840.10008.1.2.5" => (explicit, Codec::Rle),
            // The retired processes too: each frame says its own.
            "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.53"
            | "1.2.840.10008.1.2.4.55"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70"
            | "1.2.840.10008.1.2.4.80"
            | "1.2.840.10008.1.2.4.81" => (explicit, Codec::Jpeg),
            // High-Throughput JPEG 2000 too: the code stream says which it is.
            "1.2.840.10008.1.2.4.90"
            | "1.2.840.10008.1.2.4.91"
            | "1.2.840.10008.1.2.4.201"
            | "1.2.840.10008.1.2.4.202"
            | "1.2.840.10008.1.2.4.203" => (explicit, Codec::Jpeg2000),
            "1.2.840.10008.1.2.8.1" => (explicit, Codec::Deflated),
            _ => return None,
        };
        Some(TransferSyntax { encoding, deflated: uid == "1.2.840.10008.1.2.1.99", codec })
    }
}

/// Decodes one frame of a DICOM file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Image, DecodeError> {
    let (uid, data) = part10::read_meta(bytes)?;
    // Without a transfer syntax the data set is read as it looks, its pixels as they begin.
    let syntax = match &uid {
        Some(uid) => TransferSyntax::from_uid(uid)
            .ok_or_else(|| DecodeError::UnsupportedTransferSyntax { uid: uid.clone() })?,
        None => TransferSyntax { encoding: Encoding::EXPLICIT_LITTLE, deflated: false, codec: Codec::Native },
    };
    let data = if syntax.deflated { Cow::Owned(inflate(data, options)?) } else { Cow::Borrowed(data) };
    let encoding = syntax.encoding.shown(&data);
    let set = DataSet::read(&data, encoding)?;
    let mut layout = Layout::read(&set)?;
    check_size(u64::from(layout.columns), u64::from(layout.rows), options)?;
    let frame = options.frame.unwrap_or(1);
    if frame == 0 || frame > layout.frames {
        return Err(DecodeError::NoSuchFrame { frame, frames: layout.frames });
    }
    let pixels = set.value(layout.numbers.tag());
    let pixels = pixels.ok_or_else(|| malformed("there is no pixel data (7FE0,0010)"))?;
    // Of one transfer syntax some files are read and others not: which it was helps to convert it.
    let with_uid = |error| match error {
        DecodeError::Unsupported { what } => {
            let uid = uid.as_deref().unwrap_or("without a UID");
            DecodeError::unsupported(format!("{what}, in DICOM transfer syntax {uid}"))
        }
        other => other,
    };
    let offsets = set.value(tags::EXTENDED_OFFSETS);
    let stored =
        codec::decode_frame(syntax.codec, encoding, pixels, offsets, &mut layout, frame).map_err(with_uid)?;
    let image = render::render(&set, &layout, stored, frame)?;
    Ok(image.of_pixels(spacing::pixel_shape(&set, frame)))
}

/// What is inflated of a data set before the size of its image is looked for.
const LOOK: u64 = 1 << 20;
/// The same where many files are looked at, of which most have their attributes at the beginning.
const LEAST_LOOK: u64 = 1 << 16;
/// Room for the attributes beside the pixels: how far they are looked for.
const ATTRIBUTES: u64 = 16 << 20;

/// The beginning of a deflated data set: so much that it says how large its image is, and at least `look` bytes. Where
/// it does not say so within [`ATTRIBUTES`] it is not decoded. What is broken behind what is looked for is found when the file is
/// decoded.
fn head(data: &[u8], look: u64) -> Vec<u8> {
    let mut decoder = flate2::read::DeflateDecoder::new(data);
    let mut inflated = Vec::new();
    let mut upto = look;
    loop {
        let wanted = upto - inflated.len() as u64;
        let read = decoder.by_ref().take(wanted).read_to_end(&mut inflated);
        let ended = read.map_or(true, |read| (read as u64) < wanted);
        let found = || Layout::read(&DataSet::beginning(&inflated, Encoding::EXPLICIT_LITTLE)).is_ok();
        if ended || upto >= ATTRIBUTES || found() {
            return inflated;
        }
        upto *= 4;
    }
}

/// The text of these attributes of a file, as the bytes that it is, where they are there: in its file meta information, outside of
/// sequences and before the pixels. A transfer syntax whose pixels are not read has its data set in explicit little endian,
/// as all compressed ones do (PS3.5 annex A.4). `None` for what is no DICOM file.
pub fn attributes(bytes: &[u8], wanted: &[u32]) -> Option<BTreeMap<u32, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let meta = |tag, value: &[u8]| {
        if wanted.contains(&tag) {
            found.insert(tag, value.to_vec());
        }
    };
    let (uid, data) = part10::read_meta_with(bytes, meta).ok()?;
    let syntax = uid.as_deref().and_then(TransferSyntax::from_uid).unwrap_or(TransferSyntax {
        encoding: Encoding::EXPLICIT_LITTLE,
        deflated: false,
        codec: Codec::Native,
    });
    let beginning = if syntax.deflated { head(data, LOOK) } else { Vec::new() };
    let data = if syntax.deflated { &beginning } else { data };
    let set = DataSet::of(data, syntax.encoding.shown(data), |tag| wanted.contains(&tag));
    found.extend(wanted.iter().filter_map(|tag| Some((*tag, set.value(*tag)?.bytes.to_vec()))));
    Some(found)
}

/// Gives `each` the bytes that decide what the picture is, so that a digest of them tells whether two files of one instance
/// have the same: the attributes of the pixels and the pixels as they are coded, but not how long a group of them is. Of a deflated
/// file, and of one whose transfer syntax is not known, all of it.
pub fn picture_bytes(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let Ok((uid, data)) = part10::read_meta(bytes) else { return each(bytes) };
    let syntax = uid.as_deref().map(TransferSyntax::from_uid);
    let encoding = match syntax {
        Some(Some(syntax)) if !syntax.deflated => syntax.encoding,
        Some(_) => return each(data),
        None => Encoding::EXPLICIT_LITTLE,
    };
    let decides = |tag: u32| tags::GROUPS.contains(&(tag >> 16)) && tag & 0xffff != 0;
    let set = DataSet::of(data, encoding.shown(data), decides);
    for (tag, value) in set.values() {
        each(&tag.to_be_bytes());
        each(&(value.len() as u64).to_be_bytes());
        each(value);
    }
}

/// The transfer syntaxes whose pixels are read.
pub fn is_read(transfer_syntax: &str) -> bool {
    TransferSyntax::from_uid(transfer_syntax).is_some()
}

/// What the beginning of a file declares: its size, and what it says that it is.
pub(super) fn declared(bytes: &[u8], options: &DecodeOptions) -> Declared {
    let mut declared = Declared::default();
    let Ok((uid, data)) = part10::read_meta(bytes) else { return declared };
    let syntax = uid.as_deref().and_then(TransferSyntax::from_uid);
    let deflated = syntax.as_ref().is_some_and(|syntax| syntax.deflated);
    let codec = syntax.as_ref().map_or(Codec::Native, |syntax| syntax.codec);
    let beginning = if deflated { head(data, LEAST_LOOK) } else { Vec::new() };
    // What decoding takes at least, and what it took to look this far.
    declared.memory = beginning.capacity() as u64;
    let data = if deflated { &beginning[..] } else { data };
    let encoding = syntax.map_or(Encoding::EXPLICIT_LITTLE, |syntax| syntax.encoding).shown(data);
    let set = DataSet::beginning(data, encoding);
    declared.identity = Identity::read(&set);
    declared.pixel_shape = spacing::pixel_shape(&set, options.frame.unwrap_or(1));
    let Ok(layout) = Layout::read(&set) else { return declared };
    let whole = if deflated {
        (layout.whole_bits().div_ceil(8) as u64)
            .saturating_mul(layout.frames.into())
            .min(options.max_pixels.saturating_mul(6))
            .max(beginning.capacity() as u64)
    } else {
        0
    };
    let codec = match set.value(layout.numbers.tag()) {
        // Fragments of a deflated data set are not all looked at.
        Some(pixels) if !deflated => codec::bytes_a_sample(pixels, codec),
        _ if set.native == Some(layout.numbers.tag()) => codec::NATIVE_BYTES_A_SAMPLE,
        // How the pixels are coded does not show so early: by the codec that takes most.
        _ => jpeg2000::BYTES_A_SAMPLE,
    };
    let codec = if layout.numbers == Numbers::Words { codec } else { codec.max(wide::BYTES_A_SAMPLE) };
    let image = if layout.samples == 3 || layout.photometric == pixels::Photometric::Palette { 6 } else { 0 };
    let frame = (layout.frame_samples() as u64).saturating_mul(2 + codec) + layout.pixels() as u64 * image;
    declared.memory = frame.saturating_add(whole);
    declared.size = (layout.columns.into(), layout.rows.into());
    declared
}

/// Inflates a data set (PS3.5 annex A.5): its beginning until that says how large the image is,
/// and no more than such an image needs of the rest, as a kilobyte deflates a megabyte.
fn inflate(data: &[u8], options: &DecodeOptions) -> Result<Vec<u8>, DecodeError> {
    /// No byte of a deflate stream makes more of them (a match of 258 takes two bits at least).
    const MOST_A_BYTE: u64 = 1032;

    let mut decoder = flate2::read::DeflateDecoder::new(data);
    let mut inflated = Vec::new();
    let mut upto = |limit: u64, inflated: &mut Vec<u8>| match decoder
        .by_ref()
        .take(limit - inflated.len() as u64)
        .read_to_end(inflated)
    {
        Ok(_) => Ok((inflated.len() as u64) < limit),
        Err(error) => Err(malformed(format!("the deflated data set is broken: {error}"))),
    };
    let mut looked = LOOK;
    let layout = loop {
        if upto(looked, &mut inflated)? {
            return Ok(inflated);
        }
        match Layout::read(&DataSet::beginning(&inflated, Encoding::EXPLICIT_LITTLE)) {
            Ok(layout) => break layout,
            Err(_) if looked < ATTRIBUTES => looked *= 2,
            Err(error) => return Err(error),
        }
    };
    check_size(u64::from(layout.columns), u64::from(layout.rows), options)?;
    let frames = u64::from(layout.frames);
    if (layout.native_bytes() as u64).saturating_mul(frames) / MOST_A_BYTE > data.len() as u64 {
        return Err(malformed("the deflated data set is too short for the image"));
    }
    let pixels = (layout.whole_bits().div_ceil(8) as u64).saturating_mul(frames);
    let most = options.max_pixels.saturating_mul(6).min(pixels).saturating_add(ATTRIBUTES);
    match upto(most + 1, &mut inflated)? {
        true => Ok(inflated),
        false => Err(malformed(format!("the deflated data set is longer than {most} bytes"))),
    }
}

fn malformed(detail: impl Into<String>) -> DecodeError {
    DecodeError::malformed(Format::Dicom, detail)
}

#[cfg(test)]
mod tests {
    use super::{attributes, is_read};
    use crate::{DecodeOptions, Format, decode};

    fn element(group: u16, number: u16, kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
        bytes.extend_from_slice(kind);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend_from_slice(value);
        bytes
    }

    fn file(study: &[u8]) -> Vec<u8> {
        of_syntax(b"1.2.840.10008.1.2.1\0", study)
    }

    fn of_syntax(syntax: &[u8], study: &[u8]) -> Vec<u8> {
        let syntax = element(2, 0x10, b"UI", syntax);
        let length = element(2, 0, b"UL", &(syntax.len() as u32).to_le_bytes());
        let study = element(0x20, 0x0d, b"UI", study);
        [vec![0; 128], b"DICM".to_vec(), length, syntax, study].concat()
    }

    #[test]
    fn the_text_of_attributes_is_found_and_what_is_not_there_is_not() {
        let found = attributes(&file(b"1.2.826.0.1\0"), &[0x0020_000d, 0x0010_0010]).unwrap();
        assert_eq!(found.get(&0x0020_000d).map(Vec::as_slice), Some(&b"1.2.826.0.1\0"[..]));
        assert_eq!(found.get(&0x0010_0010), None);
        // The head of a file is read whether or not its pixels can be, and what the file around it says is, too.
        let found =
            attributes(&of_syntax(b"1.2.840.10008.1.2.4.110\0", b"1.2.3\0"), &[0x0020_000d, 0x0002_0010]);
        let found: Vec<Vec<u8>> = found.unwrap().into_values().collect();
        assert_eq!(found, [&b"1.2.840.10008.1.2.4.110\0"[..], b"1.2.3\0"]);
        assert_eq!(attributes(b"no file", &[0x0020_000d]), None);
        assert!(is_read("1.2.840.10008.1.2.4.70") && !is_read("1.2.840.10008.1.2.4.100"));
    }

    /// What the stored bits do not hold is there all the same: the code stream says how many there are.
    #[test]
    fn lossless_samples_of_more_bits_than_are_said_are_taken_whole() {
        for name in ["jpeg-lossless-16.dcm", "jpeg-lossless-12.dcm"] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/vision");
            let file = std::fs::read(format!("{folder}/{name}")).unwrap();
            let saying = |stored: u8| {
                let mut file = file.clone();
                for (number, value) in [(0x101, stored), (0x102, stored - 1)] {
                    let head = element(0x28, number, b"US", &[]);
                    let at = file.windows(6).position(|bytes| *bytes == head[..6]).unwrap();
                    file[at + 8] = value;
                }
                format!("{:?}", decode(Format::Dicom, &file, &DecodeOptions::default()).unwrap())
            };
            let whole = if name.contains("16") { 16 } else { 12 };
            assert!(saying(whole) == saying(whole - 4), "{name}");
        }
    }
}
