//! JPEG: baseline and progressive, grey, colour and CMYK, turned upright by its EXIF orientation;
//! inside DICOM also 12 bits, lossless JPEG and JPEG-LS.
//!
//! The markers are walked here before the decoder sees the file: the size is checked and the
//! orientation found. Then the scans are walked code by code, since decoders draw the missing part
//! of a truncated JPEG in grey and call it a success. What the usual decoder does not read, or reads
//! wrongly, is decoded here: lossless JPEG, JPEG-LS, 12 bits, components in scans apart or sampled unevenly.

mod bits;
mod dct;
mod lossless;
mod ls;
mod scans;
mod segments;

use std::borrow::Cow;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use self::bits::Bits;
pub(super) use self::lossless::decode_lossless;
pub(super) use self::ls::decode_ls;
use self::scans::Frame;
use self::segments::Segments;
use super::decode::{Declared, DecodeError, DecodeOptions, Format, check_size};
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
    pub process: Process,
    /// The first scan does not hold all components.
    pub apart: bool,
    /// Components are sampled in a way that the usual decoder does not read, or reads wrongly: the first not the
    /// finest, or by threes and fours.
    uneven: bool,
    /// Bytes that belong to nothing stand between segments, or segments say nothing.
    stray: bool,
    /// The colour transform that an Adobe marker declares.
    pub adobe: Option<u8>,
    /// There is a JFIF marker, whose colour is always YCbCr.
    pub jfif: bool,
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
}

/// How a frame is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Baseline or extended, by Huffman codes.
    Sequential,
    Progressive,
    /// Lossless JPEG (SOF3).
    Lossless,
    /// JPEG-LS (SOF55).
    Ls,
}

impl Header {
    fn too_short(&self, bytes: usize) -> DecodeError {
        malformed(format!(
            "{bytes} bytes cannot hold the {} x {} pixels that the header declares",
            self.width, self.height
        ))
    }

    /// Bytes that decoding takes for each sample: of the usual decoder the picture and a row of units,
    /// of a progressive file its coefficients too, of what is decoded here coefficients, samples
    /// and the components at full size.
    pub fn bytes_a_sample(&self) -> u64 {
        match self.process {
            Process::Sequential if self.apart || self.uneven || self.precision > 8 => 14,
            Process::Progressive if self.uneven || self.precision > 8 => 14,
            Process::Sequential => 2,
            Process::Progressive => 5,
            Process::Lossless | Process::Ls => 2,
        }
    }
}

/// Decodes a JPEG file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Image, DecodeError> {
    let header = read_header(bytes)?;
    check_size(u64::from(header.width), u64::from(header.height), options)?;
    if matches!(header.process, Process::Lossless | Process::Ls) {
        return Err(DecodeError::unsupported("a lossless JPEG or JPEG-LS outside a DICOM file"));
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

/// The size that a file declares, and what decoding it takes.
pub(super) fn declared(bytes: &[u8]) -> Declared {
    let Ok(header) = read_header(bytes) else { return Declared::default() };
    let size = (u64::from(header.width), u64::from(header.height));
    let samples = size.0 * size.1 * u64::from(header.components);
    let memory = samples * (header.bytes_a_sample() + u64::from(header.orientation > 1));
    Declared { memory, size, ..Declared::default() }
}

/// How the colour of a three-component JPEG is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// As its own markers say; without any it is YCbCr.
    Declared,
    /// As stored, without a transform.
    AsStored,
}

/// Decodes a JPEG of more than 8 bits into grey if it has one component, else red, green, blue.
pub(super) fn decode_deep(bytes: &[u8], header: &Header, colour: Colour) -> Result<Vec<u16>, DecodeError> {
    if header.precision != 12 || !matches!(header.process, Process::Sequential | Process::Progressive) {
        return Err(DecodeError::unsupported(format!(
            "a JPEG with {} bits a sample that is neither lossless nor of 12 bits",
            header.precision
        )));
    }
    check_length(bytes, header)?;
    dct::decode(bytes, header, colour)
}

/// Every 8 x 8 block costs at least one bit, whatever the process.
fn check_length(bytes: &[u8], header: &Header) -> Result<(), DecodeError> {
    let blocks = u64::from(header.width).div_ceil(8) * u64::from(header.height).div_ceil(8);
    if blocks / 8 > bytes.len() as u64 { Err(header.too_short(bytes.len())) } else { Ok(()) }
}

/// Whether a segment is an Adobe marker that lacks its end, and so does not say what it is there for.
fn is_cut_adobe(marker: u8, body: &[u8]) -> bool {
    marker == 0xee && body.len() < 12
}

/// Whether an Adobe marker contradicts a JFIF marker, whose colour is YCbCr: libjpeg, and with it nearly every
/// viewer, goes by the latter.
fn is_overruled(header: &Header) -> bool {
    header.jfif && header.components == 3 && header.adobe.is_some_and(|transform| transform != 1)
}

/// The file without the bytes between its segments that belong to nothing, and without segments that
/// say nothing, or what another overrules.
fn without_stray(bytes: &[u8], header: &Header) -> Result<Vec<u8>, DecodeError> {
    let mut clean = vec![0xff, 0xd8];
    let mut segments = Segments::new(bytes);
    while let Some((marker, body)) = segments.next()? {
        let overruled = marker == 0xee && body.starts_with(b"Adobe") && is_overruled(header);
        if is_cut_adobe(marker, body) || overruled {
            continue;
        }
        clean.extend_from_slice(&bytes[segments.at - body.len() - 4..segments.at]);
        if marker == 0xda {
            let start = segments.at;
            let mut end = Bits::new(bytes, start).end();
            while matches!(bytes.get(end + 1), Some(0xd0..=0xd7)) {
                end = Bits::new(bytes, end + 2).end();
            }
            clean.extend_from_slice(&bytes[start..end]);
            segments.at = end;
        }
    }
    clean.extend([0xff, 0xd9]);
    Ok(clean)
}

/// Decodes an 8-bit JPEG into grey if it has one component, else red, green, blue triples.
pub(super) fn decode_samples(bytes: &[u8], header: &Header, colour: Colour) -> Result<Vec<u8>, DecodeError> {
    if header.precision != 8 {
        return Err(DecodeError::unsupported(format!(
            "a JPEG with {} bits a sample outside a DICOM file",
            header.precision
        )));
    }
    check_length(bytes, header)?;
    if header.uneven || header.apart && header.process == Process::Sequential {
        return Ok(dct::decode(bytes, header, colour)?.into_iter().map(|value| value as u8).collect());
    }
    Frame::read(bytes, header, false)?;
    let bytes = match header.stray || is_overruled(header) {
        true => Cow::Owned(without_stray(bytes, header)?),
        false => Cow::Borrowed(bytes),
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes[..]), options);
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

/// Whether the sampling factors of a frame's components are none that the usual decoder reads rightly. Of a single
/// component they mean nothing (ITU-T T.81 section A.2.2).
fn is_uneven(components: &[[u8; 3]]) -> bool {
    let uneven = |part: fn(u8) -> u8| {
        let factors = || components.iter().map(|component| part(component[1]));
        let most = factors().max().unwrap_or(1);
        factors().next() != Some(most)
            || factors().any(|factor| !matches!(factor, 1 | 2) || most % factor != 0)
    };
    match components {
        [one] => one[1] != 0x11,
        _ => uneven(|factors| factors >> 4) || uneven(|factors| factors & 15),
    }
}

/// Units between restart markers, as a DRI segment says.
fn restart_interval(body: &[u8]) -> Result<usize, DecodeError> {
    match body {
        &[high, low, ..] => Ok(usize::from(u16::from_be_bytes([high, low]))),
        _ => Err(malformed("its restart interval is broken")),
    }
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

/// Walks the markers up to the first scan.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header, DecodeError> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return Err(malformed("it does not start with a start-of-image marker"));
    }
    let mut frame: Option<Header> = None;
    let (mut adobe, mut jfif, mut orientation) = (None, false, 1);
    let mut segments = Segments::new(bytes);
    let mut stray = false;
    let mut behind = 2;
    loop {
        let Some((marker, body)) = segments.next()? else {
            return Err(malformed("it ends before the first scan"));
        };
        let start = segments.at - body.len() - 4;
        stray |= is_cut_adobe(marker, body) || bytes[behind..start].iter().any(|&byte| byte != 0xff);
        behind = segments.at;
        match marker {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xf7 => {
                let &[precision, h1, h0, w1, w0, components, ..] = body else {
                    return Err(malformed("its frame header is too short"));
                };
                if frame.is_some() {
                    return Err(malformed("it has two frame headers"));
                }
                let process = match marker {
                    0xc0 | 0xc1 => Process::Sequential,
                    0xc2 => Process::Progressive,
                    0xc3 => Process::Lossless,
                    0xf7 => Process::Ls,
                    _ => {
                        return Err(DecodeError::unsupported(format!(
                            "a JPEG of coding process SOF{} (baseline, extended, progressive and, in DICOM, lossless are read)",
                            marker - 0xc0
                        )));
                    }
                };
                frame = Some(Header {
                    width: u16::from_be_bytes([w1, w0]),
                    height: u16::from_be_bytes([h1, h0]),
                    precision,
                    components,
                    process,
                    apart: false,
                    uneven: is_uneven(body.get(6..).unwrap_or_default().as_chunks::<3>().0),
                    stray: false,
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
            0xda => {
                let frame = frame.ok_or_else(|| malformed("it has no frame header"))?;
                let apart = body.first().is_some_and(|&parts| parts < frame.components);
                return Ok(Header { apart, stray, adobe, jfif, orientation, ..frame });
            }
            _ => {}
        }
    }
}

/// The orientation tag (0x0112) of the first directory of a TIFF structure, if it is there and
/// sound. A broken EXIF block does not spoil a picture.
pub(super) fn exif_orientation(tiff: &[u8]) -> Option<u8> {
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
        .and_then(|at| match u16_at(at + 2)? {
            // SHORT, as it has to be, or LONG, as some write it.
            3 => u16_at(at + 8).map(u32::from),
            4 => u32_at(at + 8),
            _ => None,
        })
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
}

/// Turns and mirrors pixels as an EXIF orientation asks, 1 being upright already.
pub(super) fn oriented<T: Copy>(
    values: Vec<T>,
    channels: usize,
    width: u32,
    height: u32,
    orientation: u8,
) -> Vec<T> {
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
mod tests;
