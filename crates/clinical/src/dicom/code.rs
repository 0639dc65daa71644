//! Coded concepts (PS3.3 section 8), and those of DICOM itself that results need.

use super::data_set::DataSet;
use super::tags;

/// A concept: its code, whose code it is, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Code Value.
    pub value: String,
    /// Coding Scheme Designator: DCM, SCT, UCUM, ...
    pub scheme: String,
    /// Code Meaning.
    pub meaning: String,
}

impl Code {
    /// A concept of DICOM's own (PS3.16 annex D).
    pub fn dcm(value: &str, meaning: &str) -> Code {
        Code::of(value, "DCM", meaning)
    }

    /// A concept of a coding scheme.
    pub fn of(value: &str, scheme: &str, meaning: &str) -> Code {
        Code { value: value.to_string(), scheme: scheme.to_string(), meaning: meaning.to_string() }
    }

    /// As an item of a sequence.
    pub fn item(&self) -> DataSet {
        let mut item = DataSet::new();
        match self.value.len() <= 16 {
            true => item.text(tags::CODE_VALUE, b"SH", &self.value),
            false => item.text(tags::LONG_CODE_VALUE, b"UC", &self.value),
        };
        item.text(tags::CODING_SCHEME, b"SH", &self.scheme).text(tags::CODE_MEANING, b"LO", &self.meaning);
        item
    }
}
