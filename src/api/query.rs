//! What is wrong with a query string that does not fit, in the words of the contract: the parser stops at the first
//! value and names no parameter, but a route's parameters are declared with their types and bounds.

use serde_json::Value;
use utoipa::openapi::path::Parameter;

use super::Problem;
use super::error::FieldError;
use super::extract::cut;

/// The problem of a query: each parameter that is missing, comes twice or has no value that is accepted. `said` is what the
/// parser says, which alone knows of names that nobody declared.
pub fn problem(given: &[(String, String)], declared: &[Parameter], said: &str) -> Problem {
    let mut errors: Vec<FieldError> = Vec::new();
    let mut note = |name: &str, detail: String| errors.push(FieldError { pointer: cut(name), detail });
    let unknown = said.split_once("unknown field `").and_then(|(_, rest)| rest.split('`').next());
    if let Some(name) = unknown {
        let names: Vec<&str> = declared.iter().map(|one| one.name.as_str()).collect();
        let accepted = match names.as_slice() {
            [] => "no query parameters".to_string(),
            names => in_words(names, "and"),
        };
        note(name, format!("is not known here; this route takes {accepted}"));
    }
    for parameter in declared {
        let schema = serde_json::to_value(parameter).map(|mut value| value["schema"].take());
        let accepted = Accepted::read(&schema.unwrap_or_default());
        let mut values = given.iter().filter(|(name, _)| *name == parameter.name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (None, _) if parameter.required == utoipa::openapi::Required::True => {
                note(&parameter.name, format!("must be given: {}", accepted.words));
            }
            (Some(_), Some(_)) => note(&parameter.name, "is given more than once; give it once".to_string()),
            (Some(value), None) if !accepted.holds(value) => {
                note(&parameter.name, format!("must be {}", accepted.words));
            }
            _ => {}
        }
    }
    let detail = match errors.as_slice() {
        [] => format!("the query string does not fit: {said}"),
        [one] => format!("the query parameter \"{}\": {}", one.pointer, one.detail),
        several => {
            let each: Vec<String> =
                several.iter().map(|one| format!("\"{}\": {}", one.pointer, one.detail)).collect();
            format!("the query parameters do not fit: {}", each.join("; "))
        }
    };
    Problem { errors, ..Problem::bad_request(detail) }
}

/// What a parameter may be.
struct Accepted {
    kind: String,
    least: Option<f64>,
    most: Option<f64>,
    values: Vec<String>,
    words: String,
}

impl Accepted {
    fn read(schema: &Value) -> Accepted {
        // One that may be left out is declared as null or something.
        let variants = ["oneOf", "anyOf"].iter().find_map(|name| schema[*name].as_array());
        let own = variants.and_then(|all| all.iter().find(|one| one["type"] != "null")).unwrap_or(schema);
        let kind = match &own["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
            kind => kind.as_str(),
        };
        let kind = kind.unwrap_or("string").to_string();
        let (least, most) = (own["minimum"].as_f64(), own["maximum"].as_f64());
        let values: Vec<String> = own["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_string)
            .collect();
        let what = match kind.as_str() {
            "integer" => "a whole number",
            "number" => "a number, with a point before decimals",
            "boolean" => "true or false",
            _ => "a text",
        };
        let words = match (least, most) {
            _ if !values.is_empty() => in_words(&values, "or"),
            (Some(least), Some(most)) => format!("{what} from {least} to {most}"),
            (Some(least), None) => format!("{what} from {least} upwards"),
            (None, Some(most)) => format!("{what} up to {most}"),
            (None, None) => what.to_string(),
        };
        Accepted { kind, least, most, values, words }
    }

    fn holds(&self, value: &str) -> bool {
        let within = |value: f64| {
            self.least.is_none_or(|least| value >= least) && self.most.is_none_or(|most| value <= most)
        };
        match self.kind.as_str() {
            _ if !self.values.is_empty() => self.values.iter().any(|one| one == value),
            // Larger ones do not fit what reads them.
            "integer" => value.parse::<i64>().is_ok_and(|value| within(value as f64)),
            "number" => value.parse::<f64>().is_ok_and(|value| value.is_finite() && within(value)),
            "boolean" => ["true", "false"].contains(&value),
            _ => true,
        }
    }
}

/// `a, b and c`.
fn in_words(names: &[impl AsRef<str>], last: &str) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => names.concat(),
    }
}
