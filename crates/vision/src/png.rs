//! PNG: every colour type and bit depth of the standard, interlaced or not.
//!
//! Transparency is composited on black. The alternative, dropping alpha, would show whatever
//! values an editor left in pixels that nobody sees. The first image of an animation is read.
//! Text and colour profiles are skipped unread: they can be large once decompressed, and no
//! pixel depends on the text. The EXIF orientation is followed. Values are taken as stored, without gamma or profile conversion,
//! which is what Pillow does and what the models are trained on.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};

use super::decode::{DecodeError, DecodeOptions, Declared, Format, check_size};
use super::image::{Image, Samples};
use super::jpeg::{exif_orientation, oriented};

/// The deflate format reaches at most 1,032 bytes for one.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Memory the decoder may take beside the pixels: rows, palette, window.
const DECODER_BYTES: usize = 64 << 20;

/// Decodes a PNG file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Image, DecodeError> {
    // The decoder calls a size of zero malformed; here it is an error of its own.
    if bytes.get(12..16) == Some(b"IHDR")
        && let Some(sides) = bytes.get(16..24)
        && (sides[..4] == [0; 4] || sides[4..] == [0; 4])
    {
        return Err(DecodeError::ZeroSized);
    }
    let limits = Limits { bytes: DECODER_BYTES };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);

    let header = decoder.read_header_info().map_err(error)?;
    let (width, height) = (header.width, header.height);
    check_size(u64::from(width), u64::from(height), options)?;
    let bits_per_pixel = header.bits_per_pixel() as u64;
    let row_bytes = (u64::from(width) * bits_per_pixel).div_ceil(8);
    if row_bytes * u64::from(height) / MAX_DEFLATE_RATIO > bytes.len() as u64 {
        return Err(malformed(format!(
            "{} bytes cannot hold the {width} x {height} pixels that the header declares",
            bytes.len()
        )));
    }

    let mut reader = decoder.read_info().map_err(error)?;
    // The decoder takes a palette to be whole triples.
    if let Some(palette) = &reader.info().palette
        && palette.len() % 3 != 0
    {
        return Err(malformed(format!(
            "the palette is {} bytes long, which are not whole colours",
            palette.len()
        )));
    }
    let (color, depth) = reader.output_color_type();
    let samples = match (color, depth) {
        (ColorType::Grayscale, BitDepth::Eight) => Samples::Gray8(read(&mut reader, plain8)?),
        (ColorType::Rgb, BitDepth::Eight) => Samples::Rgb8(read(&mut reader, plain8)?),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Samples::Gray8(read(&mut reader, on_black8::<2>)?),
        (ColorType::Rgba, BitDepth::Eight) => Samples::Rgb8(read(&mut reader, on_black8::<4>)?),
        (ColorType::Grayscale, BitDepth::Sixteen) => Samples::Gray16(full_scale(read(&mut reader, plain16)?)),
        (ColorType::Rgb, BitDepth::Sixteen) => Samples::Rgb16(full_scale(read(&mut reader, plain16)?)),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            Samples::Gray16(full_scale(read(&mut reader, on_black16::<2>)?))
        }
        (ColorType::Rgba, BitDepth::Sixteen) => {
            Samples::Rgb16(full_scale(read(&mut reader, on_black16::<4>)?))
        }
        (color, depth) => {
            return Err(DecodeError::unsupported(format!(
                "a PNG of colour type {color:?} with {depth:?} bits"
            )));
        }
    };
    // Reading to the end catches a file cut off behind its pixels, and a wrong checksum there.
    reader.finish().map_err(error)?;
    let exif = reader.info().exif_metadata.as_deref();
    let orientation = exif.and_then(exif_orientation).unwrap_or(1);
    let samples = match samples {
        Samples::Gray8(values) => Samples::Gray8(oriented(values, 1, width, height, orientation)),
        Samples::Rgb8(values) => Samples::Rgb8(oriented(values, 3, width, height, orientation)),
        Samples::Gray16(values) => Samples::Gray16(oriented(values, 1, width, height, orientation)),
        Samples::Rgb16(values) => Samples::Rgb16(oriented(values, 3, width, height, orientation)),
    };
    let (width, height) = if orientation >= 5 { (height, width) } else { (width, height) };
    Image::new(width, height, samples).map_err(|error| DecodeError::shape(Format::Png, error))
}

/// The declared size and what decoding such an image takes, nothing read of its pixels yet.
pub(super) fn declared(bytes: &[u8]) -> Declared {
    let Some(&[w0, w1, w2, w3, h0, h1, h2, h3, depth, color, _, _, interlaced]) =
        bytes.get(16..).and_then(|header| header.first_chunk::<13>())
    else {
        return Declared::default();
    };
    let sides = [[w0, w1, w2, w3], [h0, h1, h2, h3]].map(|side| u64::from(u32::from_be_bytes(side)));
    let (kept, coded) = match color {
        0 => (1, 1),
        4 => (1, 2),
        6 => (3, 4),
        // A palette may have an alpha channel.
        3 => (3, 4),
        _ => (3, 3),
    };
    let whole = if interlaced != 0 { kept + coded } else { kept };
    // Turning an image makes a second one.
    let mut rest = &bytes[8..];
    let mut turned = 0;
    while let Some((&[a, b, c, d, kind @ ..], behind)) = rest.split_first_chunk::<8>() {
        if &kind == b"eXIf" {
            turned = kept;
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        rest = behind.get(length.saturating_add(4)..).unwrap_or_default();
    }
    let each = (whole + turned) * if depth == 16 { 2 } else { 1 };
    let memory = sides[0].saturating_mul(sides[1]).saturating_mul(each);
    Declared { memory, size: (sides[0], sides[1]), ..Declared::default() }
}

/// Reads the rows, each made into samples by `append` as it comes; of an interlaced image all at once.
fn read<T>(
    reader: &mut Reader<Cursor<&[u8]>>,
    append: impl Fn(&[u8], &mut Vec<T>),
) -> Result<Vec<T>, DecodeError> {
    let (color, depth) = reader.output_color_type();
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let kept = if color.samples() >= 3 { 3 } else { 1 };
    let mut values = Vec::with_capacity(width * height * kept);
    if reader.info().interlaced {
        let size =
            reader.output_buffer_size().ok_or_else(|| malformed("its size in memory cannot be counted"))?;
        let mut buffer = vec![0; size];
        reader.next_frame(&mut buffer).map_err(error)?;
        let row = width * color.samples() * if depth == BitDepth::Sixteen { 2 } else { 1 };
        buffer.chunks_exact(row).take(height).for_each(|row| append(row, &mut values));
        return Ok(values);
    }
    for _ in 0..height {
        let row = reader.next_row().map_err(error)?.ok_or_else(|| malformed("the file is truncated"))?;
        append(row.data(), &mut values);
    }
    Ok(values)
}

/// Spreads samples over the 16 bits that hold them: detectors of 10, 12 or 14 bits are often stored as
/// they are, in a sixteenth of the scale. How many bits there are shows in the largest sample.
fn full_scale(mut values: Vec<u16>) -> Vec<u16> {
    let largest = values.iter().copied().max().unwrap_or(0);
    let Some(bits) = [8, 10, 12, 14].into_iter().find(|&bits| largest < 1 << bits) else {
        return values;
    };
    let full = (1u32 << bits) - 1;
    values.iter_mut().for_each(|value| *value = ((u32::from(*value) * 65_535 + full / 2) / full) as u16);
    values
}

fn malformed(detail: impl Into<String>) -> DecodeError {
    DecodeError::malformed(Format::Png, detail)
}

fn error(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            malformed("the file is truncated")
        }
        DecodingError::IoError(error) => malformed(error.to_string()),
        DecodingError::Format(error) => malformed(error.to_string()),
        DecodingError::Parameter(error) => malformed(error.to_string()),
        DecodingError::LimitsExceeded => malformed("it needs more memory beside its pixels than is accepted"),
    }
}

fn plain8(row: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(row);
}

fn plain16(row: &[u8], out: &mut Vec<u16>) {
    out.extend(row.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)));
}

/// Composites `N`-sample pixels, the last sample being alpha, on black: value times alpha,
/// rounded.
fn on_black8<const N: usize>(row: &[u8], out: &mut Vec<u8>) {
    for pixel in row.as_chunks::<N>().0 {
        let alpha = u32::from(pixel[N - 1]);
        out.extend(pixel[..N - 1].iter().map(|&value| ((u32::from(value) * alpha + 127) / 255) as u8));
    }
}

/// As [`on_black8`], for 16 bits.
fn on_black16<const N: usize>(row: &[u8], out: &mut Vec<u16>) {
    for pixel in row.as_chunks::<2>().0.as_chunks::<N>().0 {
        let pixel = pixel.map(u16::from_be_bytes);
        let alpha = u64::from(pixel[N - 1]);
        out.extend(pixel[..N - 1].iter().map(|&value| ((u64::from(value) * alpha + 32_767) / 65_535) as u16));
    }
}
