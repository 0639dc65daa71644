//! Decoding and preprocessing against values made by other programs.
//!
//! `tests/golden/vision.py` draws the files and computes what they hold with Pillow, numpy and
//! pydicom. A case states its own tolerance: zero or one level where coding is lossless, a few
//! levels for lossy coding, where two sound decoders round differently, and one rounding of a
//! resampling pass for preprocessing.

use std::path::PathBuf;

use crate::{DecodeOptions, Format, Image, Samples, decode, preprocess};
use model::manifest::ImageInput;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    file: String,
    frame: Option<u32>,
    tolerance: f64,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    /// Decoded pixels in levels of `full`, in hexadecimal.
    Pixels { width: u32, height: u32, channels: u32, full: u32, expected: String },
    /// The network's input.
    Preprocess { input: ImageInput, expected: Vec<f32> },
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vision")
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join("cases.json")).expect("cases.json");
    serde_json::from_str(&text).expect("cases.json is sound")
}

fn read(case: &Case) -> Result<Image, String> {
    let bytes = std::fs::read(folder().join(&case.file)).map_err(|error| error.to_string())?;
    let format = Format::sniff(&bytes).ok_or("no known format")?;
    let options = DecodeOptions { frame: case.frame, ..DecodeOptions::default() };
    decode(format, &bytes, &options).map_err(|error| error.to_string())
}

/// The levels of an image, and the level of white.
fn levels(image: &Image) -> (Vec<u32>, u32) {
    match image.samples() {
        Samples::Gray8(v) | Samples::Rgb8(v) => (v.iter().map(|&v| v.into()).collect(), 255),
        Samples::Gray16(v) | Samples::Rgb16(v) => (v.iter().map(|&v| v.into()).collect(), 65_535),
    }
}

fn check(case: &Case) -> Result<(), String> {
    let image = read(case)?;
    let (got, expected): (Vec<f64>, Vec<f64>) = match &case.kind {
        Kind::Pixels { width, height, channels, full, expected } => {
            let (got, white) = levels(&image);
            if (image.width(), image.height()) != (*width, *height)
                || image.channels() != *channels
                || white != *full
            {
                return Err(format!(
                    "{}x{}x{} of {white} levels, not {width}x{height}x{channels} of {full}",
                    image.width(),
                    image.height(),
                    image.channels()
                ));
            }
            let digits = if *full == 255 { 2 } else { 4 };
            let expected = (0..expected.len() / digits)
                .map(|i| u32::from_str_radix(&expected[i * digits..(i + 1) * digits], 16))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| error.to_string())?;
            (got.into_iter().map(f64::from).collect(), expected.into_iter().map(f64::from).collect())
        }
        Kind::Preprocess { input, expected } => {
            let got = preprocess(&image, input).map_err(|error| error.to_string())?;
            (got.into_iter().map(f64::from).collect(), expected.iter().copied().map(f64::from).collect())
        }
    };
    if got.len() != expected.len() {
        return Err(format!("{} values, not {}", got.len(), expected.len()));
    }
    let worst = got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max);
    if worst <= case.tolerance { Ok(()) } else { Err(format!("off by {worst}, {} allowed", case.tolerance)) }
}

fn check_all(wanted: impl Fn(&Case) -> bool) {
    let cases: Vec<Case> = cases().into_iter().filter(wanted).collect();
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|error| format!("{} ({}): {error}", case.name, case.file)))
        .collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn is_pixels_of(case: &Case, extension: &str) -> bool {
    matches!(case.kind, Kind::Pixels { .. }) && case.file.ends_with(extension)
}

#[test]
fn png_pixels() {
    check_all(|case| is_pixels_of(case, ".png"));
}

#[test]
fn jpeg_pixels() {
    check_all(|case| is_pixels_of(case, ".jpg"));
}

#[test]
fn dicom_pixels() {
    check_all(|case| is_pixels_of(case, ".dcm"));
}

#[test]
fn preprocessed_values() {
    check_all(|case| matches!(case.kind, Kind::Preprocess { .. }));
}
