//! Writing pictures: PNG of whatever samples there are.

use std::io::Cursor;

use super::image::{Image, Samples};

/// The PNG file of a picture.
///
/// # Errors
/// A picture that the format does not hold, such as one without pixels.
pub fn png(image: &Image) -> Result<Vec<u8>, ::png::EncodingError> {
    png_with(image, &[])
}

/// The same with texts under their keywords.
///
/// # Errors
/// As [`png`]; a keyword that the format does not hold.
pub fn png_with(image: &Image, texts: &[(&'static str, String)]) -> Result<Vec<u8>, ::png::EncodingError> {
    use ::png::{BitDepth, ColorType, Encoder};
    let mut file = Vec::new();
    let mut encoder = Encoder::new(Cursor::new(&mut file), image.width(), image.height());
    let (color, depth) = match image.samples() {
        Samples::Gray8(_) => (ColorType::Grayscale, BitDepth::Eight),
        Samples::Rgb8(_) => (ColorType::Rgb, BitDepth::Eight),
        Samples::Gray16(_) => (ColorType::Grayscale, BitDepth::Sixteen),
        Samples::Rgb16(_) => (ColorType::Rgb, BitDepth::Sixteen),
    };
    encoder.set_color(color);
    encoder.set_depth(depth);
    for (keyword, text) in texts {
        // A plain text chunk holds Latin-1.
        match text.chars().all(|c| u32::from(c) < 256) {
            true => encoder.add_text_chunk(keyword.to_string(), text.clone())?,
            false => encoder.add_itxt_chunk(keyword.to_string(), text.clone())?,
        }
    }
    let mut writer = encoder.write_header()?;
    match image.samples() {
        Samples::Gray8(values) | Samples::Rgb8(values) => writer.write_image_data(values)?,
        Samples::Gray16(values) | Samples::Rgb16(values) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
            writer.write_image_data(&bytes)?;
        }
    }
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeOptions, Format, decode};

    #[test]
    fn what_is_written_is_read_again() {
        let images = [
            Image::from_gray8(3, 2, (0..6).collect()).unwrap(),
            Image::from_rgb8(2, 2, (0..12).collect()).unwrap(),
            Image::new(2, 1, Samples::Gray16(vec![7, 65_000])).unwrap(),
        ];
        for image in images {
            let file = png(&image).unwrap();
            assert_eq!(decode(Format::Png, &file, &DecodeOptions::default()).unwrap(), image);
        }
    }
}
