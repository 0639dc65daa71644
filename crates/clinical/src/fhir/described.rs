//! What stands beside the code of a Condition and says what the code leaves out: how severe it is, where, how far it has come,
//! and, in German records, how certain (ICD-10-GM). Systems that put such parts together send "Ulcer" with the body site "Stomach".

use serde_json::Value;

use super::none_known::{self, Absence};
use super::people::List;
use super::resources::{CodeableConcept, Coding, Condition};

/// The extension of a coding that has the certainty.
const CERTAINTY: &str = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit";
/// What the names of code systems have whose letters are certainties (KBV, and before it DIMDI).
const OF_CERTAINTIES: &str = "diagnosesicherheit";
/// Excluded, and status post.
const EXCLUDED: &str = "A";
const PAST: &str = "Z";

/// Whether the codes say that the condition was excluded.
pub(super) fn is_excluded(condition: &Condition) -> bool {
    is_certainly(condition, EXCLUDED)
}

/// Whether the codes say that it was there once.
pub(super) fn is_past(condition: &Condition) -> bool {
    is_certainly(condition, PAST)
}

/// Whether all certainties that the codes have are this one.
fn is_certainly(condition: &Condition, wanted: &str) -> bool {
    let codings = condition.code.iter().flat_map(|code| &code.coding);
    let extensions = codings.filter_map(|coding| coding.extension.as_ref()?.as_array()).flatten();
    let certain = extensions.filter(|own| own.get("url").and_then(Value::as_str) == Some(CERTAINTY));
    let letter = |own: &Value| {
        let coding = own.get("valueCoding")?;
        // A letter of another system says something else.
        let of_certainties = |system: &Value| {
            system.as_str().is_some_and(|system| system.to_lowercase().contains(OF_CERTAINTIES))
        };
        let sound = coding.get("system").is_none_or(of_certainties);
        coding.get("code").and_then(Value::as_str).filter(|_| sound).map(|letter| letter.trim().to_owned())
    };
    let mut letters = certain.map(letter);
    let first = letters.next().flatten();
    first.as_deref() == Some(wanted) && letters.all(|other| other == first)
}

/// The code of a condition with what stands beside it among its words: each reading is looked up, and what is not understood
/// takes nothing from what is.
pub(super) fn described(condition: &Condition) -> Option<CodeableConcept> {
    let mut code = condition.code.clone()?;
    let Some(words) = code.words().filter(|_| none_known::of(List::Conditions, &code) == Absence::Not) else {
        return Some(code);
    };
    let mut readings = Vec::new();
    let severity = all(condition.severity.as_ref()).first().and_then(worded);
    let stages = all(condition.stage.as_ref()).into_iter().filter_map(|stage| stage.get("summary").cloned());
    let stages: Vec<Value> = stages.collect();
    let stage = stages.first().and_then(worded);
    readings.extend(severity.iter().map(|severity| format!("{severity} {words}")));
    readings.extend(stage.iter().map(|stage| format!("{words} {stage}")));
    for site in all(condition.body_site.as_ref()).iter().filter_map(worded).map(|site| place(&site)) {
        readings.push(format!("{site} {words}"));
        readings.push(format!("{words} of {site}"));
    }
    // The code of a stage is often one of the condition at that stage.
    for stage in stages.into_iter().filter_map(|stage| serde_json::from_value::<CodeableConcept>(stage).ok())
    {
        readings.extend(stage.codes());
    }
    code.coding
        .extend(readings.into_iter().map(|words| Coding { display: Some(words), ..Coding::default() }));
    Some(code)
}

/// The name of a place in the body without what SNOMED CT puts around it: "Stomach structure", "Structure of stomach".
fn place(site: &str) -> String {
    let around =
        |word: &&str| !["structure", "tract", "entire", "of"].contains(&word.to_lowercase().as_str());
    site.split(" (")
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter(around)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A value, or all of an array.
fn all(value: Option<&Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(all)) => all.clone(),
        Some(value) => vec![value.clone()],
        None => Vec::new(),
    }
}

/// The words of a concept; what has a code alone has none.
fn worded(concept: &Value) -> Option<String> {
    let concept: CodeableConcept = serde_json::from_value(concept.clone()).ok()?;
    concept.words().filter(|_| concept.has_words())
}
