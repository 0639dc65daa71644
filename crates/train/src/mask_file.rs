//! The numbers in a mask: a PNG file, grey or with a palette, whose values are kept as they are.
//!
//! A decoder of pictures would make colours of a palette and spread one bit over a byte; of a mask the numbers count. A
//! lossy format has other numbers at every edge, so there is none.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, ColorType, Decoder, Transformations};

/// What a mask holds.
pub struct Numbers {
    /// Row after row.
    pub values: Vec<u32>,
    /// Width and height.
    pub size: (u32, u32),
}

/// Most pixels of a mask.
const MOST: u64 = 1 << 28;

/// Reads a mask.
///
/// # Errors
/// A file that is no PNG, is in colour, or is broken.
pub fn numbers(bytes: &[u8]) -> Result<Numbers> {
    ensure!(bytes.starts_with(b"\x89PNG"), "a mask is a PNG file, which keeps its numbers as they are");
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let info = reader.info();
    let size = (info.width, info.height);
    ensure!(
        u64::from(size.0) * u64::from(size.1) <= MOST,
        "a mask of {} x {} pixels is too large",
        size.0,
        size.1
    );
    if !matches!(info.color_type, ColorType::Grayscale | ColorType::Indexed) {
        bail!("a mask in colour; a mask is grey or has a palette, a number for each pixel");
    }
    let length = reader.output_buffer_size().context("a mask that is too large")?;
    let mut buffer = vec![0; length];
    let frame = reader.next_frame(&mut buffer)?;
    let bits = match frame.bit_depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        BitDepth::Eight => 8,
        BitDepth::Sixteen => 16,
    };
    let width = size.0 as usize;
    let mut values = Vec::with_capacity(width * size.1 as usize);
    for line in buffer.chunks(frame.line_size).take(size.1 as usize) {
        match bits {
            16 => values.extend(line.chunks_exact(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]))),
            _ => {
                let (each, most) = (8 / bits, (1u32 << bits) - 1);
                let value = |at: usize| u32::from(line[at / each]) >> (8 - bits - bits * (at % each)) & most;
                values.extend((0..width).map(value));
            }
        }
    }
    Ok(Numbers { values, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(colour: ColorType, depth: BitDepth, width: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, 2);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            encoder.set_palette(vec![0; 3 * 16]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[test]
    fn numbers_are_those_of_the_file_in_every_form_and_a_lossy_one_is_refused() {
        use {BitDepth as Depth, ColorType as Colour};
        let cases: [(Colour, Depth, &[u8], [u32; 6]); 6] = [
            (Colour::Grayscale, Depth::One, &[0b1010_0000, 0b0110_0000], [1, 0, 1, 0, 1, 1]),
            (Colour::Indexed, Depth::Two, &[0b1110_0100, 0b0001_1000], [3, 2, 1, 0, 1, 2]),
            (Colour::Indexed, Depth::Four, &[0x5f, 0x10, 0x01, 0x20], [5, 15, 1, 0, 1, 2]),
            (Colour::Indexed, Depth::Eight, &[1, 2, 15, 0, 1, 2], [1, 2, 15, 0, 1, 2]),
            (Colour::Grayscale, Depth::Eight, &[1, 2, 255, 0, 1, 2], [1, 2, 255, 0, 1, 2]),
            (Colour::Grayscale, Depth::Sixteen, &[1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3], [256, 2, 0, 1, 0, 3]),
        ];
        for (colour, depth, data, want) in cases {
            let got = numbers(&file(colour, depth, 3, data)).unwrap();
            assert_eq!((got.values, got.size), (want.to_vec(), (3, 2)), "{colour:?} {depth:?}");
        }
        let colour = file(Colour::Rgb, Depth::Eight, 1, &[0; 6]);
        assert!(numbers(&colour).err().unwrap().to_string().contains("in colour"));
        assert!(numbers(b"\xff\xd8\xff").err().unwrap().to_string().contains("a PNG file"));
        let whole = file(Colour::Grayscale, Depth::Eight, 3, &[0; 6]);
        assert!(numbers(&whole[..whole.len() - 20]).is_err());
    }
}
