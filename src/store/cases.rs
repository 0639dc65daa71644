//! Cases as they are kept: texts to be found again, what is known of them, and their vectors.
//!
//! A vector is kept with the model and the version that made it, so that one of another model is known
//! as such. Nothing is searched here: a search is over the index in memory, which follows the change feed
//! of this trait as the recommender follows the other.

use futures::future::BoxFuture;
use recommend::{Cursor, FieldError, validate_id};
use serde::{Deserialize, Serialize};
use text::search::{Attributes, attributes};

use super::{Answer, Check, StoreError, Written};

/// Longest text of a case, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// A case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its identifier.
    #[serde(default)]
    pub case_id: String,
    /// What it is found by.
    pub text: String,
    /// What else is known of it.
    #[serde(default)]
    pub attributes: Attributes,
}

impl Case {
    /// All that is wrong with it.
    pub fn validate(&self, base: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        errors.extend(validate_id(&format!("{base}/case_id"), &self.case_id).err());
        errors.extend(
            text_problem(&self.text, MAX_TEXT_BYTES).map(|detail| field(format!("{base}/text"), detail)),
        );
        let found = attributes::check(&self.attributes, &format!("{base}/attributes"));
        errors.extend(found.into_iter().map(|error| field(error.pointer, error.detail)));
        errors
    }
}

/// What speaks against a text of at most so many bytes.
pub fn text_problem(text: &str, most: usize) -> Option<String> {
    match text {
        _ if text.len() > most => Some(format!("has {} bytes; at most {most} are accepted", text.len())),
        _ if text.trim().is_empty() => Some("must not be blank".to_string()),
        _ if text.contains('\0') => Some("must not contain the character NUL".to_string()),
        _ => None,
    }
}

fn field(pointer: String, detail: String) -> FieldError {
    FieldError { pointer, detail }
}

/// A vector of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseVector {
    /// The model that made it.
    pub model: String,
    /// Its version.
    pub version: String,
    /// The vector.
    pub values: Vec<f32>,
}

impl CaseVector {
    /// As it is kept: 32-bit floats, the lowest byte first.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// From what is kept; nothing where that is no vector.
    pub(super) fn read(
        model: Option<String>,
        version: Option<String>,
        bytes: Option<Vec<u8>>,
    ) -> Option<Self> {
        let bytes = bytes.filter(|bytes| bytes.len().is_multiple_of(4))?;
        let values =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        Some(CaseVector { model: model?, version: version?, values: values.collect() })
    }
}

/// A case with its vector, if it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCase {
    /// The case.
    pub case: Case,
    /// Its vector.
    pub vector: Option<CaseVector>,
}

/// Which cases changed since a cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaseChanges {
    /// Those that were added, changed or deleted, in any order, also more than once.
    pub cases: Vec<String>,
    /// The feed cannot say: everything has to be read anew.
    pub reload: bool,
    /// Where to go on from.
    pub cursor: Cursor,
}

/// The part of a store that keeps cases. [`super::Store`] says what holds of all its writes.
pub trait CaseStore: Send + Sync {
    /// Adds these cases, or replaces those that exist. One that is stored with the same text keeps its
    /// vector where none comes with it.
    fn put_cases<'a>(&'a self, cases: &'a [StoredCase]) -> Answer<'a, Written>;

    /// The case, or [`StoreError::NotFound`].
    fn get_case<'a>(&'a self, case_id: &'a str) -> Answer<'a, Case>;

    /// Erases the case, or [`StoreError::NotFound`].
    fn delete_case<'a>(&'a self, case_id: &'a str) -> Answer<'a, ()>;

    /// As [`super::Store::replace_user`], of a case.
    fn replace_case<'a>(
        &'a self,
        case_id: &'a str,
        new: Option<&'a StoredCase>,
        check: Check<'a, Case>,
    ) -> Answer<'a, Written>;

    /// Gives these cases their vectors, each if its text is still the one that the vector is of.
    fn put_case_vectors<'a>(&'a self, vectors: &'a [StoredCase]) -> Answer<'a, ()>;

    /// Hands over every case once, in any order.
    fn scan_cases<'a>(&'a self, visit: &'a mut (dyn FnMut(StoredCase) + Send)) -> Answer<'a, ()>;

    /// The present state of these cases; one that does not exist is left out.
    fn read_cases<'a>(&'a self, case_ids: &'a [String]) -> Answer<'a, Vec<StoredCase>>;

    /// How many there are.
    fn count_cases(&self) -> Answer<'_, u64>;

    /// Where the change feed of cases stands now.
    fn case_cursor(&self) -> Answer<'_, Cursor>;

    /// Which cases changed since the cursor.
    fn case_changes<'a>(&'a self, since: &'a Cursor) -> Answer<'a, CaseChanges>;
}

/// So that an implementation may be boxed in one place.
pub(super) fn boxed<'a, T: Send>(
    future: impl Future<Output = Result<T, StoreError>> + Send + 'a,
) -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_read_as_it_was_written() {
        let vector = CaseVector {
            model: "m".into(),
            version: "2".into(),
            values: vec![0.5, -1.25, f32::MIN_POSITIVE],
        };
        let read = CaseVector::read(Some("m".into()), Some("2".into()), Some(vector.bytes()));
        assert_eq!(read, Some(vector));
        assert_eq!(CaseVector::read(Some("m".into()), Some("2".into()), Some(vec![1, 2, 3])), None);
        assert_eq!(CaseVector::read(None, None, None), None);
    }

    #[test]
    fn what_is_wrong_with_a_case_is_said_at_once() {
        let case = Case { case_id: String::new(), text: " ".into(), attributes: Attributes::new() };
        let pointers: Vec<String> = case.validate("").into_iter().map(|error| error.pointer).collect();
        assert_eq!(pointers, ["/case_id", "/text"]);
        let long = Case { case_id: "a".into(), text: "x".repeat(MAX_TEXT_BYTES + 1), ..case };
        assert!(long.validate("")[0].detail.contains("1048577 bytes"));
    }
}
