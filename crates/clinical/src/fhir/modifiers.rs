//! Modifiers that are not understood. R4 (extensibility, `modifierExtension`; Resource, `implicitRules`) lets a resource say what
//! turns its meaning round ("negated", "of the donor"), and nobody may process what has such a word that is not known. None is
//! known here. So what has one denies nothing, ends nothing and takes nothing back; what it says against drugs counts all the
//! same, since the other mistake would hide it. Both are told.

use serde_json::Value;
use serde_json::value::RawValue;

/// The members that are modifiers: extensions, and the rules by which a resource was made.
const EXTENSION: &str = "modifierExtension";
const RULES: [&str; 2] = ["implicitRules", "_implicitRules"];
/// What stands for modifiers that cannot be looked for.
const UNREAD: &str = "one that cannot be read";
/// Most modifiers of one resource that are named.
const MOST: usize = 3;

/// The modifiers of a resource or a part of one, as it is written, however deep they lie; in words, each once.
pub(super) fn of(text: &str) -> Vec<String> {
    // Most resources have none, and are not read for that. What is escaped may be anything.
    let may_have = [EXTENSION, RULES[0], "\\u"].iter().any(|name| text.contains(name));
    let mut found = Vec::new();
    if may_have {
        match serde_json::from_str(text) {
            Ok(value) => gather(&value, &mut found),
            // Elsewhere a member that is not read is passed over, whatever is wrong within it; here it may be a modifier.
            Err(_) => add(&mut found, UNREAD.to_owned()),
        }
    }
    found
}

/// The rules of a Bundle, which are those of all that is in it.
pub(super) fn of_rules(rules: Option<&RawValue>) -> Vec<String> {
    rules.map(|rules| of(&format!("{{\"{}\":{rules}}}", RULES[0]))).unwrap_or_default()
}

/// The modifier extensions of an entry, which turn round what it is there for.
pub(super) fn of_entry(extensions: Option<&RawValue>) -> Vec<String> {
    extensions.map(|own| of(&format!("{{\"{EXTENSION}\":{own}}}"))).unwrap_or_default()
}

fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|value| gather(value, found)),
        Value::Object(members) => {
            for (name, value) in members {
                if RULES.contains(&name.as_str()) && says_something(value) {
                    add(found, RULES[0].to_owned());
                }
                if name == EXTENSION && says_something(value) {
                    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    all.iter().for_each(|own| add(found, named(own)));
                }
                gather(value, found);
            }
        }
        _ => {}
    }
}

/// Whether a member is there: FHIR has no empty ones.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(all) => !all.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::String(text) => !text.trim().is_empty(),
        _ => true,
    }
}

/// A modifier extension by its definition's address. What is no plain address may be a patient's, and is not repeated.
fn named(extension: &Value) -> String {
    let url = extension.get("url").and_then(Value::as_str).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/".contains(c);
    match (1..=200).contains(&url.len()) && url.chars().all(plain) {
        true => format!("modifier extension {url}"),
        false => "modifier extension".to_owned(),
    }
}

fn add(found: &mut Vec<String>, name: String) {
    if found.len() < MOST && !found.contains(&name) {
        found.push(name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_modifier_is_found_wherever_it_lies() {
        let negated = || json!([{"url": "http://e.org/negated", "valueBoolean": true}]);
        let words = "modifier extension http://e.org/negated";
        for (resource, found) in [
            (json!({"modifierExtension": negated()}), vec![words]),
            (json!({"reaction": [{"modifierExtension": negated()}]}), vec![words]),
            (json!({"contained": [{"dosage": {"modifierExtension": negated()}}]}), vec![words]),
            (json!({"modifierExtension": [negated()[0], negated()[0]]}), vec![words]),
            (json!({"modifierExtension": negated()[0]}), vec![words]),
            (json!({"modifierExtension": [{"url": "Mrs Doe"}]}), vec!["modifier extension"]),
            (json!({"modifierExtension": [{}]}), vec!["modifier extension"]),
            (json!({"implicitRules": "http://e.org/rules"}), vec!["implicitRules"]),
            (json!({"_implicitRules": {"extension": [{"url": "u"}]}}), vec!["implicitRules"]),
            (json!({"modifierExtension": [], "implicitRules": null}), vec![]),
            (json!({"extension": negated(), "text": "modifierExtension"}), vec![]),
        ] {
            assert_eq!(of(&resource.to_string()), found, "{resource}");
        }
        assert_eq!(of(r#"{"\u006dodifierExtension": [{"url": "http://e.org/negated"}]}"#), [words]);
    }
}
