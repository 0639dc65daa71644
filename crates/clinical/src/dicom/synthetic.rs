//! A picture that a model made, as Secondary Capture: of nobody, and saying so wherever a program or a person looks.
//!
//! There is no clock in it: the same picture is the same file whenever it is made.

use super::capture::Drawing;
use super::data_set::DataSet;
use super::maker::{Kind, cut};
use super::tags;
use super::uid::derived;

/// Name and number of the patient who is nobody. Archives that refuse an instance without a patient take it.
const NOBODY: &str = "SYNTHETIC";

/// What a made picture says of its making.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// The program's version.
    pub program: &'a str,
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

/// The Secondary Capture of a made picture: Synthetic Data (0008,001C) is YES, its Image Type is derived, and its UIDs
/// follow from model, version, label, seed and number. The study is one of a model's version, the series one of a label.
pub fn synthetic(making: &Making<'_>, drawing: Drawing) -> DataSet {
    let Making { program, model, version, label, seed, number } = *making;
    let (seed, number) = (seed.to_string(), number.to_string());
    let derivation = format!(
        "Made by model {model} {version} of label {label}, seed {seed}, number {number}. It shows nobody."
    );
    let mut set = DataSet::new();
    set.text(tags::CHARACTER_SET, b"CS", "ISO_IR 192")
        .text(tags::IMAGE_TYPE, b"CS", "DERIVED\\SECONDARY\\OTHER\\SYNTHETIC")
        .text(tags::SOP_CLASS, b"UI", Kind::Capture.sop_class())
        .text(tags::SOP_INSTANCE, b"UI", derived(&["synthetic", model, version, label, &seed, &number]))
        .text(tags::SYNTHETIC, b"CS", "YES")
        .text(tags::STUDY_DATE, b"DA", "")
        .text(tags::STUDY_TIME, b"TM", "")
        .text(tags::ACCESSION_NUMBER, b"SH", "")
        .text(tags::MODALITY, b"CS", "OT")
        .text(tags::CONVERSION_TYPE, b"CS", "SYN")
        .text(tags::MANUFACTURER, b"LO", "medserve")
        .text(tags::REFERRING_PHYSICIAN, b"PN", "")
        .text(tags::SERIES_DESCRIPTION, b"LO", cut(&format!("Synthetic: {label}"), 64))
        .text(tags::MODEL_NAME, b"LO", cut(model, 64))
        .text(tags::DERIVATION, b"ST", cut(&derivation, 1024))
        .text(tags::PATIENT_NAME, b"PN", format!("{NOBODY}^"))
        .text(tags::PATIENT_ID, b"LO", NOBODY)
        .text(tags::BIRTH_DATE, b"DA", "")
        .text(tags::SEX, b"CS", "")
        .text(tags::SOFTWARE, b"LO", format!("{}\\{}", cut(program, 32), cut(version, 31)))
        .text(tags::STUDY, b"UI", derived(&["synthetic study", model, version]))
        .text(tags::SERIES, b"UI", derived(&["synthetic series", model, version, label]))
        .text(tags::STUDY_ID, b"SH", "")
        .text(tags::SERIES_NUMBER, b"IS", "1")
        .text(tags::INSTANCE_NUMBER, b"IS", &number)
        .text(tags::PATIENT_ORIENTATION, b"CS", "")
        .text(tags::LATERALITY, b"CS", "")
        .text(tags::IMAGE_COMMENTS, b"LT", cut(&derivation, 1024))
        .text(tags::BURNED_IN, b"CS", "NO")
        .words(tags::SAMPLES, &[3])
        .text(tags::PHOTOMETRIC, b"CS", "RGB")
        .words(tags::PLANAR, &[0])
        .words(tags::ROWS, &[drawing.height as u16])
        .words(tags::COLUMNS, &[drawing.width as u16])
        .words(tags::BITS_ALLOCATED, &[8])
        .words(tags::BITS_STORED, &[8])
        .words(tags::HIGH_BIT, &[7])
        .words(tags::PIXEL_REPRESENTATION, &[0])
        .bytes(tags::PIXELS, drawing.pixels);
    set
}
