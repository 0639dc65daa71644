//! The marks of a picture that a model made, and how they are found again.
//!
//! Such a picture looks like one of somebody, so it says what it is twice: in the file (text chunks of a PNG, an attribute of a
//! DICOM file) for programs, and in a corner of the picture itself for people and for whoever saves it in another format.

use super::decode::{DecodeOptions, Format};
use super::image::{Image, Samples};
use super::write::png_with;

/// The keyword of a PNG's text that says that it was made.
pub const KEYWORD: &str = "synthetic";

/// Pixels of the mark: the word in letters of 3 x 5, one between them and around.
const COLUMNS: usize = 4 * WORD.len() + 1;
const ROWS: usize = 7;
const WORD: [[u8; 5]; 9] = [
    [0b011, 0b100, 0b010, 0b001, 0b110],
    [0b101, 0b101, 0b010, 0b010, 0b010],
    [0b110, 0b101, 0b101, 0b101, 0b101],
    [0b111, 0b010, 0b010, 0b010, 0b010],
    [0b101, 0b101, 0b111, 0b101, 0b101],
    [0b111, 0b100, 0b110, 0b100, 0b111],
    [0b111, 0b010, 0b010, 0b010, 0b010],
    [0b111, 0b010, 0b010, 0b010, 0b111],
    [0b011, 0b100, 0b100, 0b100, 0b011],
];

/// Share of the mark's pixels that have to be as it was drawn; saving as a JPEG changes some.
const ALIKE: f32 = 0.9;

/// What is said of a made picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The model that made it.
    pub model: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The label it was made of.
    pub label: &'a str,
    /// The seed it was made from.
    pub seed: u64,
    /// Its number among the pictures of that seed, from 0.
    pub number: usize,
}

impl Origin<'_> {
    /// Keywords and texts.
    pub fn texts(&self) -> Vec<(&'static str, String)> {
        vec![
            (KEYWORD, "true".to_string()),
            ("model", self.model.to_string()),
            ("version", self.version.to_string()),
            ("label", self.label.to_string()),
            ("seed", self.seed.to_string()),
            ("number", self.number.to_string()),
        ]
    }
}

/// Whether the pixel of the mark at a place is of a letter.
fn is_ink(row: usize, column: usize) -> bool {
    let (Some(row), Some(column)) = (row.checked_sub(1), column.checked_sub(1)) else { return false };
    let (letter, within) = (column / 4, column % 4);
    row < 5 && within < 3 && WORD.get(letter).is_some_and(|rows| rows[row] >> (2 - within) & 1 == 1)
}

/// How many pixels of a picture each of the mark's is wide: a third of the picture at most, but legible.
fn scale(width: usize, height: usize) -> usize {
    (width / (3 * COLUMNS)).min(height / (8 * ROWS)).max(1)
}

/// Where the mark lies in a picture, if it fits: its scale, first row and first column.
fn corner(width: usize, height: usize) -> Option<(usize, usize, usize)> {
    let scale = scale(width, height);
    Some((scale, height.checked_sub(scale * ROWS)?, width.checked_sub(scale * COLUMNS)?))
}

/// A picture with the word "synthetic" in its lower right corner, white on black. One too small for the word gets none.
pub fn marked(image: Image) -> Image {
    let (width, height, channels) = (image.width(), image.height(), image.channels() as usize);
    let shape = image.pixel_shape();
    let Some((scale, top, left)) = corner(width as usize, height as usize) else { return image };
    let mut samples = image.into_samples();
    for row in 0..scale * ROWS {
        for column in 0..scale * COLUMNS {
            let ink = is_ink(row / scale, column / scale);
            let start = ((top + row) * width as usize + left + column) * channels;
            let places = start..start + channels;
            match &mut samples {
                Samples::Gray8(values) | Samples::Rgb8(values) => {
                    values[places].fill(if ink { u8::MAX } else { 0 })
                }
                Samples::Gray16(values) | Samples::Rgb16(values) => {
                    values[places].fill(if ink { u16::MAX } else { 0 });
                }
            }
        }
    }
    Image::new(width, height, samples).expect("a picture of the same size").of_pixels(shape)
}

/// A picture whose mark, if it has it, is covered with what lies above it, mirrored: a network would look at the mark
/// and at nothing else.
pub fn unmarked(image: Image) -> Image {
    let (width, height, channels) = (image.width(), image.height(), image.channels() as usize);
    let shape = image.pixel_shape();
    let Some((scale, top, left)) = corner(width as usize, height as usize) else { return image };
    if top < scale * ROWS || !is_marked(&image) {
        return image;
    }
    let row_length = width as usize * channels;
    let mut samples = image.into_samples();
    for row in 0..scale * ROWS {
        let from = (top - 1 - row) * row_length + left * channels..(top - row) * row_length;
        let to = (top + row) * row_length + left * channels;
        match &mut samples {
            Samples::Gray8(values) | Samples::Rgb8(values) => values.copy_within(from, to),
            Samples::Gray16(values) | Samples::Rgb16(values) => values.copy_within(from, to),
        }
    }
    Image::new(width, height, samples).expect("a picture of the same size").of_pixels(shape)
}

/// The PNG file of a made picture: marked in its corner unless `plain`, and with its origin as text.
///
/// # Errors
/// What the format does not hold.
pub fn png(image: Image, origin: &Origin, plain: bool) -> Result<Vec<u8>, ::png::EncodingError> {
    let image = if plain { image } else { marked(image) };
    png_with(&image, &origin.texts())
}

/// Whether a picture was made, by what its file says or by the mark in its corner.
pub fn is_made(format: Format, bytes: &[u8], image: &Image) -> bool {
    says_so(format, bytes) || is_marked(image)
}

/// Whether a file says of itself that it was made.
fn says_so(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Png => chunks(bytes).any(|(kind, data)| {
            let said = data.strip_prefix(KEYWORD.as_bytes()).and_then(|rest| rest.strip_prefix(&[0]));
            matches!(kind, b"tEXt" | b"iTXt" | b"zTXt")
                && said.is_some_and(|said| !said.eq_ignore_ascii_case(b"false"))
        }),
        Format::Dicom => super::declared(format, bytes, &DecodeOptions::default()).identity.synthetic,
        Format::Jpeg => false,
    }
}

/// Whether a picture has the mark in its corner.
fn is_marked(image: &Image) -> bool {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let Some((scale, top, left)) = corner(width, height) else { return false };
    let channels = image.channels() as usize;
    // Of the corner alone: a picture may be large.
    let light = |at: usize| {
        let places = at * channels..(at + 1) * channels;
        let mean = |sum: f32, white: f32| sum / white / channels as f32;
        match image.samples() {
            Samples::Gray8(values) | Samples::Rgb8(values) => {
                mean(values[places].iter().map(|value| f32::from(*value)).sum(), 255.0)
            }
            Samples::Gray16(values) | Samples::Rgb16(values) => {
                mean(values[places].iter().map(|value| f32::from(*value)).sum(), 65_535.0)
            }
        }
    };
    let alike = |row: usize, column: usize| {
        // The middle of a pixel of the mark.
        let (y, x) = (top + row * scale + scale / 2, left + column * scale + scale / 2);
        (light(y * width + x) > 0.5) == is_ink(row, column)
    };
    let places = (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| (row, column)));
    let found = places.filter(|(row, column)| alike(*row, *column)).count();
    found as f32 >= ALIKE * (ROWS * COLUMNS) as f32
}

/// The chunks of a PNG file, each its kind and what is in it, as far as they are whole.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let (kind, data) = (rest.get(4..8)?, rest.get(8..8usize.checked_add(length)?)?);
        rest = rest.get(length + 12..).unwrap_or_default();
        Some((kind, data))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    const ORIGIN: Origin = Origin { model: "cells", version: "3", label: "plättchen", seed: 7, number: 2 };

    fn picture(width: u32, height: u32, colour: bool) -> Image {
        let channels = if colour { 3 } else { 1 };
        let samples = (0..width * height * channels).map(|at| (at * 37 % 251) as u8).collect();
        match colour {
            true => Image::from_rgb8(width, height, samples).unwrap(),
            false => Image::from_gray8(width, height, samples).unwrap(),
        }
    }

    #[test]
    fn a_made_picture_is_known_by_its_text_and_by_its_corner() {
        for (width, height, colour) in [(64, 64, true), (38, 9, false), (512, 300, true)] {
            let image = picture(width, height, colour);
            assert!(!is_marked(&image));
            let file = png(image.clone(), &ORIGIN, false).unwrap();
            assert!(says_so(Format::Png, &file));
            let read = decode(Format::Png, &file, &DecodeOptions::default()).unwrap();
            assert!(is_marked(&read));
            // What is not the corner is as it was.
            let (Samples::Rgb8(a) | Samples::Gray8(a), Samples::Rgb8(b) | Samples::Gray8(b)) =
                (image.samples(), read.samples())
            else {
                panic!("8 bits")
            };
            assert_eq!(a[..width as usize], b[..width as usize]);
            let plain = png(image, &ORIGIN, true).unwrap();
            assert!(says_so(Format::Png, &plain));
            assert!(!is_marked(&decode(Format::Png, &plain, &DecodeOptions::default()).unwrap()));
        }
    }

    #[test]
    fn a_mark_is_covered_and_nothing_else_changes() {
        for (width, height, colour) in [(64, 64, true), (200, 120, false)] {
            let image = picture(width, height, colour);
            assert_eq!(unmarked(image.clone()), image, "there is nothing to cover");
            let covered = unmarked(marked(image.clone()));
            assert!(!is_marked(&covered));
            let (Samples::Rgb8(a) | Samples::Gray8(a), Samples::Rgb8(b) | Samples::Gray8(b)) =
                (image.samples(), covered.samples())
            else {
                panic!("8 bits")
            };
            let (_, top, _) = corner(width as usize, height as usize).unwrap();
            let above = top * width as usize * image.channels() as usize;
            assert_eq!(a[..above], b[..above]);
        }
    }

    #[test]
    fn the_mark_outlives_another_format() {
        let marked = marked(picture(64, 64, true));
        let Samples::Rgb8(samples) = marked.samples() else { panic!("8 bits") };
        let mut file = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut file, 75);
        encoder.encode(samples, 64, 64, jpeg_encoder::ColorType::Rgb).unwrap();
        assert!(!says_so(Format::Jpeg, &file));
        assert!(is_marked(&decode(Format::Jpeg, &file, &DecodeOptions::default()).unwrap()));
    }

    #[test]
    fn other_pictures_have_no_mark_and_too_small_ones_get_none() {
        for value in [0, 128, 255] {
            assert!(!is_marked(&Image::from_gray8(64, 64, vec![value; 64 * 64]).unwrap()));
        }
        let small = picture(20, 5, false);
        assert_eq!(marked(small.clone()), small);
        let file = crate::write::png(&picture(64, 64, true)).unwrap();
        assert!(!says_so(Format::Png, &file));
        for torn in [&file[..3], &file[..20], b"", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtsynthetic\0"] {
            assert!(!says_so(Format::Png, torn));
        }
    }
}
