//! Where a record says that there is nothing: no known allergy, no medication, and of what. An empty list lets drugs be
//! recommended, so it follows only from what says so of drugs and is not contradicted beside it. "No known food allergy" says
//! nothing of drugs, "not on file" says nothing at all.

use recommend::{Terminology, normalise};

use super::people::List;
use super::resources::{CodeableConcept, Coding};

const SNOMED: [&str; 2] = ["http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"];

/// Codes of SNOMED CT and of the International Patient Summary that say that there is none, by list.
const NO_DRUG_ALLERGY: [&str; 2] = ["409137002", "no-known-medication-allergies"];
const NO_ALLERGY: [&str; 2] = ["716186003", "no-known-allergies"];
const NO_CONDITION: [&str; 3] = ["160245001", "no-known-problems", "no-known-conditions"];
const NO_MEDICATION: [&str; 2] = ["787481004", "no-known-medications"];
/// Codes that say so of something that is no drug: nothing follows for drugs.
const NO_OTHER_ALLERGY: [&str; 8] = [
    "428197003",
    "428607008",
    "429625007",
    "716184000",
    "716220001",
    "1003774007",
    "no-known-environmental-allergies",
    "no-known-food-allergies",
];
/// Codes of the International Patient Summary that say that nobody knows.
const NO_INFORMATION: [&str; 3] = ["no-allergy-info", "no-problem-info", "no-medication-info"];

/// How words begin that say that there is none of something.
const DENIALS: [&str; 14] = [
    "no ",
    "nk",
    "nil",
    "none",
    "not ",
    "denies ",
    "patient denies ",
    "negative for ",
    "keine",
    "aucune",
    "无",
    "未",
    "否认",
    "sin ",
];
/// Words for what is no drug.
const NO_DRUG: [&str; 12] = [
    "food",
    "environment",
    "latex",
    "insect",
    "animal",
    "nut",
    "pollen",
    "dust",
    "seasonal",
    "contact",
    "lebensmittel",
    "食物",
];
/// Words for drugs.
const DRUG: [&str; 5] = ["drug", "medication", "medicine", "medikament", "药"];
/// Words for nobody asked, as records write them of allergies. "Unknown" is not among them: it may be what somebody
/// reacted to.
const NOT_KNOWN: [&str; 8] = [
    "not on file",
    "allergies not on file",
    "not asked",
    "unable to assess",
    "unable to obtain",
    "no information",
    "no allergy information available",
    "no allergies recorded",
];
/// Words for no allergy or no drug allergy that the terminology need not know.
const NO_ALLERGY_WORDS: [&str; 4] = [
    "no known medication allergies",
    "no known medication allergy",
    "no known allergies to medications",
    "no known allergies to drugs",
];

/// What a concept says of there being nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// It names something.
    Not,
    /// There is none.
    None,
    /// There is none among drugs, whatever category the resource gives.
    NoDrug,
    /// There is none of a kind that is no drug.
    NoOther,
    /// Nobody knows.
    Unknown,
}

/// What a concept says of there being nothing. What names something beside that is heeded: of the two the named thing is
/// the one that can do harm.
pub(super) fn of(list: List, concept: &CodeableConcept) -> Absence {
    let mut said = Absence::Not;
    for coding in &concept.coding {
        let coded = by_code(list, coding);
        // The words of a code that is known to say so say nothing more.
        let worded = match coded {
            Absence::Not => coding.display.as_deref().and_then(|words| by_words(list, words)),
            coded => Some(coded),
        };
        let worded = worded.or_else(|| named(list, &coding.qualified()?).then_some(Absence::Not));
        match worded {
            Some(Absence::Not) => return Absence::Not,
            Some(absence) => said = stronger(said, absence),
            None => {}
        }
    }
    match concept.text.as_deref().and_then(|words| by_words(list, words)) {
        Some(Absence::Not) => Absence::Not,
        Some(absence) => stronger(said, absence),
        None => said,
    }
}

/// Whether a code says that there is nothing, so that it belongs to no entry.
pub(super) fn is_absence(list: List, coding: &Coding) -> bool {
    by_code(list, coding) != Absence::Not
}

/// Of two the one from which less follows: that nobody knows, then that it is about something else.
fn stronger(first: Absence, second: Absence) -> Absence {
    let order = |absence: Absence| match absence {
        Absence::Not => 0,
        Absence::None => 1,
        Absence::NoDrug => 2,
        Absence::NoOther => 3,
        Absence::Unknown => 4,
    };
    if order(second) > order(first) { second } else { first }
}

fn by_code(list: List, coding: &Coding) -> Absence {
    let system = coding.system.as_deref().map_or("", str::trim);
    let Some(code) = coding.code.as_deref().map(str::trim) else { return Absence::Not };
    // A house may use the same digits for something of its own.
    if !(system.is_empty() || SNOMED.contains(&system) || system.contains("absent-unknown")) {
        return Absence::Not;
    }
    if NO_INFORMATION.contains(&code) {
        return Absence::Unknown;
    }
    match list {
        List::Allergies if NO_DRUG_ALLERGY.contains(&code) => Absence::NoDrug,
        List::Allergies if NO_ALLERGY.contains(&code) => Absence::None,
        List::Allergies if NO_OTHER_ALLERGY.contains(&code) => Absence::NoOther,
        List::Conditions if NO_CONDITION.contains(&code) => Absence::None,
        List::Medications if NO_MEDICATION.contains(&code) => Absence::None,
        _ => Absence::Not,
    }
}

/// What words say; nothing where they say nothing that is understood and deny nothing either.
fn by_words(list: List, words: &str) -> Option<Absence> {
    let normal = normalise(words);
    if normal.is_empty() {
        return None;
    }
    let has = |parts: &[&str]| parts.iter().any(|part| normal.contains(part));
    let denied = DENIALS.iter().any(|denial| normal.starts_with(denial));
    if list == List::Allergies && NOT_KNOWN.contains(&normal.as_str()) {
        return Some(Absence::Unknown);
    }
    let except = has(&["except", "other than", " but "]);
    if list == List::Allergies && denied && !except {
        if NO_ALLERGY_WORDS.contains(&normal.as_str()) {
            return Some(Absence::NoDrug);
        }
        if normal == "nkfa" || (normal.contains("known") && has(&NO_DRUG) && !has(&DRUG)) {
            return Some(Absence::NoOther);
        }
    }
    let meaning = Terminology::shared(&[]).understand(list.field(), words);
    match (meaning.known, meaning.names.is_empty()) {
        (true, true) => Some(if has(&DRUG) || normal == "nkda" { Absence::NoDrug } else { Absence::None }),
        (true, false) => Some(Absence::Not),
        // "Not allergic to penicillin" names nothing that there is; it is no proof of none either.
        (false, _) if denied && !except => None,
        (false, _) => Some(Absence::Not),
    }
}

fn named(list: List, code: &str) -> bool {
    let meaning = Terminology::shared(&[]).understand(list.field(), code);
    meaning.known && !meaning.names.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concept(codes: &[(&str, &str, &str)], text: &str) -> CodeableConcept {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let coding = |(system, code, display): &(&str, &str, &str)| Coding {
            system: some(system),
            code: some(code),
            display: some(display),
        };
        CodeableConcept { coding: codes.iter().map(coding).collect(), text: some(text) }
    }

    #[test]
    fn none_is_said_of_drugs_or_of_something_else_or_not_at_all() {
        let sct = SNOMED[0];
        for (codes, text, said) in [
            (vec![(sct, "716186003", "No known allergy (situation)")], "", Absence::None),
            (vec![("urn:local", "716186003", "")], "", Absence::Not),
            (
                vec![(sct, "716186003", ""), (sct, "91936005", "Allergy to penicillin")],
                "Penicillin",
                Absence::Not,
            ),
            (vec![(sct, "716186003", "")], "Penicillin", Absence::Not),
            (vec![(sct, "716186003", ""), ("urn:local", "1", "NKA (no known allergies)")], "", Absence::None),
            (vec![(sct, "716186003", "")], "no known food allergies", Absence::NoOther),
            (vec![], "No known food allergy", Absence::NoOther),
            (vec![], "NKFA", Absence::NoOther),
            (vec![], "No known latex allergies", Absence::NoOther),
            (vec![], "No Known Medication Allergies", Absence::NoDrug),
            (vec![], "No known food or drug allergies", Absence::Not),
            (vec![], "NKDA", Absence::NoDrug),
            (vec![], "No known allergies", Absence::None),
            (vec![], "No known drug allergies except penicillin", Absence::Not),
            (vec![], "Not on file", Absence::Unknown),
            (vec![], "Unknown", Absence::Not),
            (vec![], "Peanut", Absence::Not),
        ] {
            assert_eq!(of(List::Allergies, &concept(&codes, text)), said, "{codes:?} {text}");
        }
    }
}
