//! JPEG: baseline and progressive, grey, colour and CMYK, turned upright by its EXIF orientation.
//!
//! The markers are walked here before the decoder sees the file: the size is checked, the
//! orientation found, and a file without an end-of-image marker refused, since decoders draw the
//! missing part of a truncated JPEG in grey and call it a success. Lossless JPEG (used inside
//! DICOM) goes to a second decoder, the only one that reads it.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::decode::{DecodeError, DecodeOptions, Format, check_size};
use super::image::{Image, Samples};

/// What the markers before the first scan say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub width: u16,
    pub height: u16,
    /// Bits a sample.
    pub precision: u8,
    /// Samples a pixel.
    pub components: u8,
    /// The frame is coded losslessly (SOF3).
    pub lossless: bool,
    /// The colour transform that an Adobe marker declares.
    pub adobe: Option<u8>,
    /// There is a JFIF marker, whose colour is always YCbCr.
    pub jfif: bool,
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
}

/// Decodes a JPEG file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Image, DecodeError> {
    let header = read_header(bytes)?;
    check_size(u64::from(header.width), u64::from(header.height), options)?;
    if header.lossless {
        return Err(DecodeError::unsupported("a lossless JPEG outside a DICOM file"));
    }
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    let values = decode_samples(bytes, &header, Colour::Declared)?;
    let orientation = header.orientation;
    let samples = if header.components == 1 {
        Samples::Gray8(oriented(values, 1, width, height, orientation))
    } else {
        Samples::Rgb8(oriented(values, 3, width, height, orientation))
    };
    let (width, height) = if header.orientation >= 5 { (height, width) } else { (width, height) };
    Image::new(width, height, samples).map_err(|error| DecodeError::shape(Format::Jpeg, error))
}

/// How the colour of a three-component JPEG is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// As its own markers say; without any it is YCbCr.
    Declared,
    /// As stored, without a transform.
    AsStored,
}

/// Decodes an 8-bit JPEG into grey if it has one component, else red, green, blue triples.
pub(super) fn decode_samples(bytes: &[u8], header: &Header, colour: Colour) -> Result<Vec<u8>, DecodeError> {
    if header.precision != 8 {
        return Err(DecodeError::unsupported(format!(
            "a JPEG with {} bits a sample that is not lossless",
            header.precision
        )));
    }
    // Every 8 x 8 block costs at least one bit, whatever the process.
    let blocks = u64::from(header.width).div_ceil(8) * u64::from(header.height).div_ceil(8);
    if blocks / 8 > bytes.len() as u64 {
        return Err(malformed(format!(
            "{} bytes cannot hold the {} x {} pixels that the header declares",
            bytes.len(),
            header.width,
            header.height
        )));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(error)?;
    let input = decoder.input_colorspace().unwrap_or(ColorSpace::Unknown);
    let output = match (input, colour) {
        (ColorSpace::Luma, _) => ColorSpace::Luma,
        (ColorSpace::YCbCr, Colour::AsStored) => ColorSpace::YCbCr,
        // CMYK is taken for inverted, as Adobe writes it and nearly everyone reads it.
        (ColorSpace::YCbCr | ColorSpace::RGB | ColorSpace::YCCK | ColorSpace::CMYK, _) => ColorSpace::RGB,
        _ => {
            return Err(DecodeError::unsupported(format!("a JPEG with {} components", header.components)));
        }
    };
    decoder.set_options(options.jpeg_set_out_colorspace(output));
    decoder.decode().map_err(error)
}

/// Decodes a lossless JPEG into its components as stored, samples of more than 8 bits whole.
pub(super) fn decode_lossless(bytes: &[u8], header: &Header) -> Result<Vec<u16>, DecodeError> {
    use jpeg_decoder::{ColorTransform, Decoder};

    // Every sample costs at least one bit.
    let samples = u64::from(header.width) * u64::from(header.height) * u64::from(header.components);
    if samples / 8 > bytes.len() as u64 {
        return Err(malformed(format!(
            "{} bytes cannot hold the {} x {} pixels that the header declares",
            bytes.len(),
            header.width,
            header.height
        )));
    }
    let mut decoder = Decoder::new(bytes);
    decoder.set_color_transform(ColorTransform::None);
    let values = decoder.decode().map_err(|error| malformed(error.to_string()))?;
    Ok(if header.precision > 8 {
        // The decoder writes the samples in the machine's byte order.
        let pairs = values.as_chunks::<2>().0.iter();
        pairs.map(|&pair| u16::from_ne_bytes(pair)).collect()
    } else {
        values.into_iter().map(u16::from).collect()
    })
}

fn malformed(detail: impl Into<String>) -> DecodeError {
    DecodeError::malformed(Format::Jpeg, detail)
}

fn error(error: zune_jpeg::errors::DecodeErrors) -> DecodeError {
    use zune_jpeg::errors::DecodeErrors;
    match error {
        DecodeErrors::ZeroError => DecodeError::ZeroSized,
        DecodeErrors::Unsupported(scheme) => DecodeError::unsupported(format!("{scheme:?}")),
        other => malformed(other.to_string()),
    }
}

/// Walks the markers up to the first scan, and looks for the end-of-image marker behind it.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let truncated = || malformed("the file is truncated");
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return Err(malformed("it does not start with a start-of-image marker"));
    }
    let mut frame: Option<Header> = None;
    let (mut adobe, mut jfif, mut orientation) = (None, false, 1);
    let mut at = 2;
    loop {
        // Fill bytes may stand before a marker, and some writers leave a few others behind a
        // segment; they are passed over.
        while *bytes.get(at).ok_or_else(truncated)? != 0xff {
            at += 1;
        }
        while *bytes.get(at).ok_or_else(truncated)? == 0xff {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
            continue;
        }
        if marker == 0xd9 {
            return Err(malformed("it ends before the first scan"));
        }
        let length = match bytes.get(at..at + 2) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => return Err(truncated()),
        };
        if length < 2 {
            return Err(malformed(format!("a segment of length {length} at byte {at}")));
        }
        let body = bytes.get(at + 2..at + length).ok_or_else(truncated)?;
        at += length;
        match marker {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let &[precision, h1, h0, w1, w0, components, ..] = body else {
                    return Err(malformed("its frame header is too short"));
                };
                if frame.is_some() {
                    return Err(malformed("it has two frame headers"));
                }
                if !matches!(marker, 0xc0..=0xc3) {
                    return Err(DecodeError::unsupported(format!(
                        "a JPEG of coding process SOF{} (baseline, extended, progressive and, in DICOM, lossless are read)",
                        marker - 0xc0
                    )));
                }
                frame = Some(Header {
                    width: u16::from_be_bytes([w1, w0]),
                    height: u16::from_be_bytes([h1, h0]),
                    precision,
                    components,
                    lossless: marker == 0xc3,
                    adobe: None,
                    jfif: false,
                    orientation: 1,
                });
            }
            0xe0 if body.starts_with(b"JFIF\0") => jfif = true,
            0xe1 if body.starts_with(b"Exif\0\0") => {
                orientation = exif_orientation(&body[6..]).unwrap_or(orientation);
            }
            0xee if body.starts_with(b"Adobe") => adobe = body.get(11).copied(),
            0xda => break,
            _ => {}
        }
    }
    // Inside a scan 0xff is always followed by 0 or a restart marker, so the marker cannot
    // appear there by chance. It is usually the last thing in the file.
    if !bytes[at..].windows(2).rev().any(|pair| pair == [0xff, 0xd9]) {
        return Err(truncated());
    }
    let frame = frame.ok_or_else(|| malformed("it has no frame header"))?;
    Ok(Header { adobe, jfif, orientation, ..frame })
}

/// The orientation tag (0x0112) of the first directory of a TIFF structure, if it is there and
/// sound. A broken EXIF block does not spoil a picture.
fn exif_orientation(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.get(..4)? {
        b"II\x2a\0" => false,
        b"MM\0\x2a" => true,
        _ => return None,
    };
    let u16_at = |at: usize| -> Option<u16> {
        let pair = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let u32_at = |at: usize| -> Option<u32> {
        let four = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let directory = usize::try_from(u32_at(4)?).ok()?;
    let entries = usize::from(u16_at(directory)?);
    (0..entries)
        .map(|entry| directory + 2 + 12 * entry)
        .find(|&at| u16_at(at) == Some(0x0112))
        .and_then(|at| u16_at(at + 8))
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
}

/// Turns and mirrors pixels as an EXIF orientation asks, 1 being upright already.
fn oriented(values: Vec<u8>, channels: usize, width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let (w, h) = (width as usize, height as usize);
    if orientation <= 1 || values.len() != w * h * channels {
        return values;
    }
    let (out_w, out_h) = if orientation >= 5 { (h, w) } else { (w, h) };
    let mut out = Vec::with_capacity(values.len());
    for y in 0..out_h {
        for x in 0..out_w {
            // Where the pixel that is to stand at (x, y) is stored.
            let (sx, sy) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            let at = (sy * w + sx) * channels;
            out.extend_from_slice(&values[at..at + channels]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientation_is_read_in_both_byte_orders() {
        let little = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!(exif_orientation(little), Some(6));
        assert_eq!(exif_orientation(big), Some(8));
    }

    #[test]
    fn a_broken_exif_block_is_no_orientation() {
        let sound = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        for end in 0..18 {
            assert_eq!(exif_orientation(&sound[..end]), None);
        }
        let far = b"II\x2a\0\xff\xff\xff\xff\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        assert_eq!(exif_orientation(far), None);
        let nine = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0";
        assert_eq!(exif_orientation(nine), None);
    }
}
