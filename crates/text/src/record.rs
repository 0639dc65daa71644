//! A record as a client sends it, checked against what a model's manifest names.
//!
//! A record is a note and the fields beside it. A field that is absent or `null` is missing,
//! which is normal and modelled. What cannot be is refused, all of it at once and each with the
//! JSON pointer of its place, so that the sender can mend everything in one go. Messages name
//! fields and what is accepted; they never repeat the note.

use serde_json::{Map, Value};

use model::manifest::{Field, FieldKind, RecordInput};

/// A record that fits a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The clinical note.
    pub note: String,
    /// One value a field, in the manifest's order.
    pub fields: Vec<FieldValue>,
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue {
    /// Not known.
    Missing,
    /// A number within the field's range.
    Number(f64),
    /// Index of one of the field's values.
    Choice(usize),
}

/// Something in a record that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

impl Record {
    /// Reads the record `value`, which lies at the JSON pointer `at` of the request.
    ///
    /// # Errors
    /// Everything in it that does not fit `input`.
    pub fn parse(input: &RecordInput, value: &Value, at: &str) -> Result<Record, Vec<FieldError>> {
        let mut errors = Vec::new();
        let Value::Object(members) = value else {
            return Err(vec![error(at, format!("a record is an object, not {}", kind_of(value)))]);
        };
        for name in members.keys().filter(|name| !["note", "fields"].contains(&name.as_str())) {
            let pointer = format!("{at}/{}", escape(name));
            errors.push(error(&pointer, "a record has the members \"note\" and \"fields\" only".to_string()));
        }
        let note = match members.get("note") {
            Some(Value::String(note)) if note.len() > MAX_NOTE_BYTES => {
                let detail =
                    format!("a note has at most {MAX_NOTE_BYTES} bytes, this one has {}", note.len());
                errors.push(error(&format!("{at}/note"), detail));
                String::new()
            }
            Some(Value::String(note)) if normalised_length(note) > MAX_NOTE_BYTES => {
                let detail = format!(
                    "the note's characters stand for more than {MAX_NOTE_BYTES} others when they are normalised"
                );
                errors.push(error(&format!("{at}/note"), detail));
                String::new()
            }
            Some(Value::String(note)) if !is_blank(note) => note.clone(),
            Some(Value::String(_)) => {
                errors.push(error(&format!("{at}/note"), "the note is blank".to_string()));
                String::new()
            }
            Some(other) => {
                let detail = format!("a note is a string, not {}", kind_of(other));
                errors.push(error(&format!("{at}/note"), detail));
                String::new()
            }
            None => {
                errors.push(error(&format!("{at}/note"), "the note is absent".to_string()));
                String::new()
            }
        };
        let none = Map::new();
        let given = match members.get("fields") {
            None | Some(Value::Null) => &none,
            Some(Value::Object(given)) => given,
            Some(other) => {
                let detail = format!("fields are an object, not {}", kind_of(other));
                errors.push(error(&format!("{at}/fields"), detail));
                &none
            }
        };
        let unknown = given.keys().filter(|name| input.fields.iter().all(|field| &field.name != *name));
        for name in unknown.take(MAX_UNKNOWN) {
            let pointer = format!("{at}/fields/{}", escape(name));
            errors.push(error(&pointer, format!("no such field; the model's are {}", names(&input.fields))));
        }
        let mut fields = Vec::with_capacity(input.fields.len());
        for field in &input.fields {
            let value = given.get(&field.name).unwrap_or(&Value::Null);
            match field_value(field, value) {
                Ok(value) => fields.push(value),
                Err(detail) => {
                    errors.push(error(&format!("{at}/fields/{}", escape(&field.name)), detail));
                }
            }
        }
        if errors.is_empty() { Ok(Record { note, fields }) } else { Err(errors) }
    }

    /// The names of the fields that are missing, in the manifest's order.
    pub fn missing<'a>(&self, input: &'a RecordInput) -> Vec<&'a str> {
        let pairs = input.fields.iter().zip(&self.fields);
        pairs
            .filter(|(_, value)| **value == FieldValue::Missing)
            .map(|(field, _)| field.name.as_str())
            .collect()
    }
}

/// Reads one field's value; the error says what is accepted.
fn field_value(field: &Field, value: &Value) -> Result<FieldValue, String> {
    match (&field.kind, value) {
        (_, Value::Null) => Ok(FieldValue::Missing),
        (FieldKind::Numeric { min, max, unit, .. }, Value::Number(number)) => {
            // Every JSON number has a nearest double; one that overflows is infinite.
            let number = number.as_f64().unwrap_or(f64::INFINITY);
            match (*min..=*max).contains(&number) {
                true => Ok(FieldValue::Number(number)),
                false => Err(format!("{number} is not within {min} to {max}{}", with_unit(unit))),
            }
        }
        (FieldKind::Numeric { min, max, unit, .. }, other) => {
            let unit = with_unit(unit);
            Err(format!("{} where a number from {min} to {max}{unit} is expected", kind_of(other)))
        }
        (FieldKind::Categorical { values }, Value::String(text)) => {
            match values.iter().position(|value| value == text) {
                Some(index) => Ok(FieldValue::Choice(index)),
                None => Err(format!("not one of {}", quoted(values.iter()))),
            }
        }
        (FieldKind::Categorical { values }, other) => {
            Err(format!("{} where one of {} is expected", kind_of(other), quoted(values.iter())))
        }
    }
}

/// Members of `fields` that the model has not, of which one record's errors tell.
const MAX_UNKNOWN: usize = 100;

/// The longest note, in bytes of UTF-8, and in characters once it is normalised. Normalisation can make
/// eighteen times as much of one, so what is longer is refused before it.
const MAX_NOTE_BYTES: usize = 2 << 20;

/// About how many characters a note has after NFKC: exact for the characters that become many, and never
/// less than a third of the truth for others.
fn normalised_length(note: &str) -> usize {
    let becomes = |c: char| match c {
        '\u{fdfa}' => 18,
        '\u{fdfb}' => 8,
        '\u{3300}'..='\u{33ff}' => 6,
        '\u{2460}'..='\u{24ff}' | '\u{3200}'..='\u{32ff}' => 5,
        '\u{bc}'..='\u{be}' | '\u{2000}'..='\u{218f}' | '\u{fb00}'..='\u{fdff}' => 4,
        _ => 1,
    };
    note.chars().map(becomes).sum()
}

/// True where a note holds nothing that could be read: no character but blanks, controls and
/// marks that show nothing.
pub fn is_blank(note: &str) -> bool {
    let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    note.chars().all(|c| c.is_whitespace() || c.is_control() || invisible(c))
}

fn error(pointer: &str, detail: String) -> FieldError {
    FieldError { pointer: pointer.to_string(), detail }
}

/// A member's name inside a JSON pointer. A stranger's name is cut, as it may be of any length.
pub(crate) fn escape(name: &str) -> String {
    name.chars().take(64).collect::<String>().replace('~', "~0").replace('/', "~1")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn with_unit(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

fn quoted<'a>(values: impl Iterator<Item = &'a String>) -> String {
    values.map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ")
}

fn names(fields: &[Field]) -> String {
    match fields.is_empty() {
        true => "none".to_string(),
        false => quoted(fields.iter().map(|field| &field.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn input() -> RecordInput {
        let spo2 = FieldKind::Numeric {
            min: 0.0,
            max: 100.0,
            unit: "%".to_string(),
            mean: 97.0,
            std: 3.0,
            knots: vec![],
            normal: None,
        };
        let sex = FieldKind::Categorical { values: vec!["female".to_string(), "male".to_string()] };
        let field = |name: &str, kind| Field { name: name.to_string(), kind };
        RecordInput { max_tokens: 64, fields: vec![field("spo2", spo2), field("sex", sex)] }
    }

    fn errors(value: Value) -> Vec<String> {
        Record::parse(&input(), &value, "/records/3").unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_missing_field_is_normal_and_named() {
        for fields in [json!({"sex": "male"}), json!({"sex": "male", "spo2": null})] {
            let record = Record::parse(&input(), &json!({"note": "cough", "fields": fields}), "").unwrap();
            assert_eq!(record.fields, [FieldValue::Missing, FieldValue::Choice(1)]);
            assert_eq!(record.missing(&input()), ["spo2"]);
        }
        let record = Record::parse(&input(), &json!({"note": "cough"}), "").unwrap();
        assert_eq!(record.missing(&input()), ["spo2", "sex"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place_and_what_is_accepted() {
        assert_eq!(
            errors(json!({"note": "x", "fields": {"spo2": 900}})),
            ["/records/3/fields/spo2: 900 is not within 0 to 100 %"]
        );
        assert_eq!(
            errors(json!({"note": "x", "fields": {"spo2": "90"}})),
            ["/records/3/fields/spo2: a string where a number from 0 to 100 % is expected"]
        );
        assert_eq!(
            errors(json!({"note": "x", "fields": {"sex": "m"}})),
            ["/records/3/fields/sex: not one of \"female\", \"male\""]
        );
        assert_eq!(
            errors(json!({"note": "x", "fields": {"a/b": 1}})),
            ["/records/3/fields/a~1b: no such field; the model's are \"spo2\", \"sex\""]
        );
        assert_eq!(errors(json!({"note": null})), ["/records/3/note: a note is a string, not null"]);
        assert_eq!(errors(json!({})), ["/records/3/note: the note is absent"]);
        assert_eq!(errors(json!([])), ["/records/3: a record is an object, not an array"]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let found = errors(json!({"note": " ", "fields": {"spo2": -1, "sex": 3}, "age": 4}));
        assert_eq!(found.len(), 4, "{found:?}");
    }

    #[test]
    fn a_note_that_normalisation_makes_too_long_is_refused_before_it() {
        let found = errors(json!({"note": "\u{fdfa}".repeat(200_000)}));
        assert!(found[0].starts_with("/records/3/note: the note's characters stand for more"), "{found:?}");
        let note = format!("\u{fdfa}{}", "pain ".repeat(200_000));
        assert!(Record::parse(&input(), &json!({"note": note}), "").is_ok());
    }

    #[test]
    fn a_note_of_nothing_visible_is_blank() {
        for note in ["", " \t\n", "\u{0}\u{1}", "\u{200b}\u{feff}", "\u{3000}"] {
            assert!(is_blank(note), "{note:?}");
        }
        for note in ["?", "痛", "😷", "\u{0}a"] {
            assert!(!is_blank(note), "{note:?}");
        }
    }
}
