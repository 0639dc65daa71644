//! What is known of a case beside its text, and questions for it.
//!
//! Attributes are a flat JSON object: each value is a text, a number, true or false, or a list of texts.
//! A filter has the same shape: a case passes if it has, for each name of the filter, the value asked
//! for, or one of the list of values. Of a case whose value is a list, one of its texts must fit.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::FieldError;
use crate::record::escape;

/// Most attributes of a case, and names in a filter.
pub const MOST: usize = 64;
/// Most texts in a list.
pub const MOST_VALUES: usize = 256;
/// Longest name and longest text, in bytes.
pub const LONGEST_NAME: usize = 128;
/// Longest text of a value, in bytes.
pub const LONGEST_VALUE: usize = 1024;

/// Attributes of a case.
pub type Attributes = Map<String, Value>;

/// Everything that is wrong with attributes, or with a filter (`pointer` says which).
pub fn check(attributes: &Attributes, pointer: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut say = |pointer: String, detail: String| errors.push(FieldError { pointer, detail });
    if attributes.len() > MOST {
        say(pointer.to_string(), format!("has {} members; at most {MOST} are accepted", attributes.len()));
    }
    for (name, value) in attributes.iter().take(MOST) {
        let at = format!("{pointer}/{}", escape(name));
        if !(1..=LONGEST_NAME).contains(&name.len()) || name.contains('\0') {
            let short: String = name.chars().take(40).collect();
            let detail = format!("the name \"{short}\" must have 1 to {LONGEST_NAME} bytes and no NUL");
            say(pointer.to_string(), detail);
            continue;
        }
        let problem = match value {
            Value::Array(list) => match list.iter().find_map(text_problem) {
                _ if list.len() > MOST_VALUES => Some(format!("has more than {MOST_VALUES} elements")),
                problem => problem,
            },
            Value::Null | Value::Object(_) => {
                Some("must be a text, a number, true or false, or a list of texts".to_string())
            }
            Value::String(_) => text_problem(value),
            Value::Bool(_) | Value::Number(_) => None,
        };
        if let Some(problem) = problem {
            say(at, problem);
        }
    }
    errors
}

fn text_problem(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() > LONGEST_VALUE => {
            Some(format!("a text has {} bytes; at most {LONGEST_VALUE} are accepted", text.len()))
        }
        Value::String(text) if text.contains('\0') => {
            Some("a text must not contain the character NUL".to_string())
        }
        Value::String(_) => None,
        _ => Some("a list holds texts alone".to_string()),
    }
}

/// By what a value is known: its name and what it is, each value of a list by itself.
pub fn keys(attributes: &Attributes) -> BTreeSet<String> {
    attributes
        .iter()
        .flat_map(|(name, value)| values(value).into_iter().map(move |v| key(name, &v)))
        .collect()
}

fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().map(plain).collect(),
        one => vec![plain(one)],
    }
}

fn key(name: &str, value: &str) -> String {
    format!("{name}\0{value}")
}

/// A value as text in which different values differ; 1 and 1.0 are the same number.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => format!("t{text}"),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => format!("n{}", float as i64),
            _ => format!("n{number}"),
        },
        other => format!("j{other}"),
    }
}

/// A question for attributes: for each name, by what its values are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(Vec<(String, Vec<String>)>);

impl Filter {
    /// Reads a filter that [`check`] has nothing to say of.
    pub fn new(filter: &Attributes) -> Filter {
        let one = |(name, value): (&String, &Value)| {
            (name.clone(), values(value).iter().map(|value| key(name, value)).collect())
        };
        Filter(filter.iter().map(one).collect())
    }

    /// True where everything passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names, each with the keys of which a case must have one.
    pub fn conditions(&self) -> &[(String, Vec<String>)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Attributes {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn flat_objects_are_accepted_and_everything_wrong_is_said_with_its_place() {
        let good = object(json!({"ward": "7", "year": 2021, "icu": false, "drugs": ["a", "b"], "none": []}));
        assert_eq!(check(&good, "/attributes"), []);
        let bad = object(json!({"a": null, "b": {"c": 1}, "d/e": [1], "": "x", "f": "x".repeat(2000)}));
        let pointers: Vec<String> = check(&bad, "/attributes").into_iter().map(|e| e.pointer).collect();
        assert_eq!(
            pointers,
            ["/attributes", "/attributes/a", "/attributes/b", "/attributes/d~1e", "/attributes/f"]
        );
        let many: Attributes = (0..65).map(|n| (n.to_string(), json!(1))).collect();
        assert_eq!(check(&many, "/filter").len(), 1);
    }

    #[test]
    fn values_are_told_apart_by_what_they_are() {
        let keys = |value: Value| keys(&object(json!({ "a": value })));
        assert_ne!(keys(json!("1")), keys(json!(1)));
        assert_ne!(keys(json!("true")), keys(json!(true)));
        assert_eq!(keys(json!(1)), keys(json!(1.0)));
        assert_ne!(keys(json!(1.5)), keys(json!(1)));
        assert_eq!(keys(json!(["x", "y", "x"])).len(), 2);
    }
}
