//! PNG: every colour type and bit depth of the standard, interlaced or not.
//!
//! Transparency is composited on black. The alternative, dropping alpha, would show whatever
//! values an editor left in pixels that nobody sees. The first image of an animation is read.
//! Text and colour profiles are skipped unread: they can be large once decompressed, and no
//! pixel depends on the text. Values are taken as stored, without gamma or profile conversion,
//! which is what Pillow does and what the models are trained on.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use super::decode::{DecodeError, DecodeOptions, Format, check_size};
use super::image::{Image, Samples};

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
    let size =
        reader.output_buffer_size().ok_or_else(|| malformed("its size in memory cannot be counted"))?;
    let mut buffer = vec![0; size];
    let output = reader.next_frame(&mut buffer).map_err(error)?;
    // Reading to the end catches a file cut off behind its pixels, and a wrong checksum there.
    reader.finish().map_err(error)?;
    buffer.truncate(output.buffer_size());

    let samples = match (output.color_type, output.bit_depth) {
        (ColorType::Grayscale, BitDepth::Eight) => Samples::Gray8(buffer),
        (ColorType::Rgb, BitDepth::Eight) => Samples::Rgb8(buffer),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Samples::Gray8(on_black8::<2>(&buffer)),
        (ColorType::Rgba, BitDepth::Eight) => Samples::Rgb8(on_black8::<4>(&buffer)),
        (ColorType::Grayscale, BitDepth::Sixteen) => Samples::Gray16(big_endian(&buffer)),
        (ColorType::Rgb, BitDepth::Sixteen) => Samples::Rgb16(big_endian(&buffer)),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            Samples::Gray16(on_black16::<2>(&big_endian(&buffer)))
        }
        (ColorType::Rgba, BitDepth::Sixteen) => Samples::Rgb16(on_black16::<4>(&big_endian(&buffer))),
        (color, depth) => {
            return Err(DecodeError::unsupported(format!(
                "a PNG of colour type {color:?} with {depth:?} bits"
            )));
        }
    };
    Image::new(output.width, output.height, samples).map_err(|error| DecodeError::shape(Format::Png, error))
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

fn big_endian(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// Composites `N`-sample pixels, the last sample being alpha, on black: value times alpha,
/// rounded.
fn on_black8<const N: usize>(values: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() / N * (N - 1));
    for pixel in values.as_chunks::<N>().0 {
        let alpha = u32::from(pixel[N - 1]);
        out.extend(pixel[..N - 1].iter().map(|&value| ((u32::from(value) * alpha + 127) / 255) as u8));
    }
    out
}

/// As [`on_black8`], for 16 bits.
fn on_black16<const N: usize>(values: &[u16]) -> Vec<u16> {
    let mut out = Vec::with_capacity(values.len() / N * (N - 1));
    for pixel in values.as_chunks::<N>().0 {
        let alpha = u64::from(pixel[N - 1]);
        out.extend(pixel[..N - 1].iter().map(|&value| ((u64::from(value) * alpha + 32_767) / 65_535) as u16));
    }
    out
}
