//! Whether what a resource says holds, beside its statuses (`status`): when a condition ended, and what stands beside a denial.
//! What a denial says is relied on, so it has to hold plainly; what warns holds until it is surely over.

use recommend::{Millis, clock, normalise};
use serde_json::Value;

use super::mapping::date_time;
use super::resources::{AllergyIntolerance, CodeableConcept, Condition};

/// The age that nobody reaches, in years.
const OLDEST: f64 = 150.0;
/// Units of an age, and how many of them are a year.
const UNITS: [(&[&str], f64); 4] = [
    (&["a", "yr", "yrs", "year", "years"], 1.0),
    (&["mo", "month", "months"], 12.0),
    (&["wk", "week", "weeks"], 52.0),
    (&["d", "day", "days"], 365.0),
];

/// What records write where a reaction is not known, or there was none to know.
const UNKNOWN: [&str; 4] = ["unknown", "unk", "unknown reaction", "reaction unknown"];

/// Whether a condition is over by when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It is not, or nobody knows.
    No,
    /// It is.
    Yes,
    /// It is, if the person was born in this year or before: it ended at an age.
    IfBornBy(i32),
}

/// Whether a condition is over, by when it ends or ended: one that is expected to end is there until then, and of a
/// time that cannot be read ("ongoing", "2010 - now") nobody knows.
pub(super) fn over(condition: &Condition, now: Millis) -> Over {
    let past = |time: &Value| time.as_str().and_then(date_time).is_some_and(|time| time <= now);
    let ended = |period: &Value| period.get("end").or_else(|| period.get("start")).is_some_and(past);
    if condition.abatement_date_time.as_ref().is_some_and(past)
        || condition.abatement_period.as_ref().is_some_and(ended)
        || condition.abatement_string.as_ref().is_some_and(past)
    {
        return Over::Yes;
    }
    let range = condition.abatement_range.as_ref().and_then(|range| range.get("high"));
    match condition.abatement_age.as_ref().or(range).and_then(years) {
        // Of a year of birth the last day counts.
        Some(years) => Over::IfBornBy(clock::year_of(now) - years - 1),
        None => Over::No,
    }
}

/// An age in whole years, rounded up.
fn years(age: &Value) -> Option<i32> {
    let unit = |name: &str| age.get(name).and_then(Value::as_str).map(|unit| unit.trim().to_lowercase());
    let unit = unit("code").or_else(|| unit("unit"))?;
    let (_, per_year) = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()))?;
    let years = (age.get("value")?.as_f64()? / per_year).ceil();
    let sound = age.get("comparator").is_none() && (0.0..=OLDEST).contains(&years);
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 150")]
    sound.then_some(years as i32)
}

/// Whether anything says that a condition ends or ended.
pub(super) fn ends(condition: &Condition) -> bool {
    let all = [
        &condition.abatement_date_time,
        &condition.abatement_period,
        &condition.abatement_age,
        &condition.abatement_string,
        &condition.abatement_range,
    ];
    all.into_iter().any(Option::is_some)
}

/// The words of what happened (substance, manifestation, description) and of notes. What has a code alone is its code.
pub(super) fn beside_allergy(allergy: &AllergyIntolerance) -> Vec<String> {
    let mut texts = Vec::new();
    for reaction in &allergy.reaction {
        texts.extend(reaction.substance.as_ref().and_then(CodeableConcept::words));
        let mut happened = Vec::new();
        for value in [&reaction.description, &reaction.manifestation].into_iter().flatten() {
            gather(value, &mut happened);
        }
        // What nobody knows is nothing that happened.
        texts.extend(happened.into_iter().filter(|words| !is_unknown(words)));
        if let Some(note) = &reaction.note {
            gather(note, &mut texts);
        }
    }
    texts.extend(noted(allergy.note.as_ref()));
    texts
}

/// Whether the words of a reaction say that it is not known.
pub(crate) fn is_unknown(reaction: &str) -> bool {
    UNKNOWN.contains(&normalise(reaction).as_str())
}

/// The words of notes.
pub(super) fn noted(note: Option<&Value>) -> Vec<String> {
    let mut texts = Vec::new();
    note.into_iter().for_each(|note| gather(note, &mut texts));
    texts
}

/// The texts of a value, however deep; of an Annotation not who wrote it and when.
fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|value| gather(value, texts)),
        Value::Object(members) => {
            let worded = |name: &&str| members.get(*name).is_some_and(|text| !text.is_null());
            let names = ["text", "display", "coding", "concept"];
            let mut found = false;
            for name in names.iter().filter(|name| worded(name)) {
                gather(&members[*name], texts);
                found = true;
            }
            if let (false, Some(code)) = (found, members.get("code")) {
                gather(code, texts);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_is_a_time_that_has_come_or_an_age_that_has() {
        // 2026-01-01.
        let over = |members: Value| over(&serde_json::from_value(members).unwrap(), 1_767_225_600_000);
        let age = |value: f64, unit: &str| json!({"abatementAge": {"value": value, "unit": unit}});
        for (members, said) in [
            (json!({}), Over::No),
            (json!({"abatementDateTime": "2020"}), Over::Yes),
            (json!({"abatementString": "2020-05-01"}), Over::Yes),
            (json!({"abatementString": "2090-05-01"}), Over::No),
            (json!({"abatementString": "ongoing"}), Over::No),
            (json!({"abatementString": "unknown"}), Over::No),
            (json!({"abatementString": "2010 - ongoing"}), Over::No),
            (age(120.0, "a"), Over::IfBornBy(1905)),
            (age(18.0, "months"), Over::IfBornBy(2023)),
            (age(30.0, "moons"), Over::No),
            (json!({"abatementAge": {"value": 30, "unit": "a", "comparator": ">"}}), Over::No),
            (json!({"abatementAge": {"value": 1e300, "unit": "a"}}), Over::No),
            (json!({"abatementAge": "30"}), Over::No),
            (json!({"abatementRange": {"low": {"value": 20, "unit": "a"}}}), Over::No),
            (json!({"abatementRange": {"high": {"value": 30, "code": "a"}}}), Over::IfBornBy(1995)),
        ] {
            assert_eq!(over(members.clone()), said, "{members}");
        }
    }
}
