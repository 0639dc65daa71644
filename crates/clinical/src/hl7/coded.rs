//! Coded elements (CE, CWE): codes and words for one thing, as a CodeableConcept of FHIR, and the id of the resource that
//! says it. Words are never left out for a code, nor one word for another: what is left out of an allergy looks like none.

use std::collections::BTreeSet;

use recommend::{Field, Terminology};
use serde_json::{Value, json};

use super::message::{Hl7Error, Message};
use crate::dicom::uid::derived;

/// What HL7 calls coding systems (table 0396), and their addresses in FHIR.
const SYSTEMS: [(&str, &str); 12] = [
    ("SCT", "http://snomed.info/sct"),
    ("SNM", "http://snomed.info/sct"),
    ("SNM3", "http://snomed.info/sct"),
    ("RXNORM", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("ATC", "http://www.whocc.no/atc"),
    ("WC", "http://www.whocc.no/atc"),
    ("I10", "http://hl7.org/fhir/sid/icd-10"),
    ("I10C", "http://hl7.org/fhir/sid/icd-10-cm"),
    ("ICD10", "http://hl7.org/fhir/sid/icd-10"),
    ("ICD-10", "http://hl7.org/fhir/sid/icd-10"),
    ("LN", "http://loinc.org"),
    ("NDC", "http://hl7.org/fhir/sid/ndc"),
];
/// Where the identifier, its text and its coding system begin: of the element, and of its two alternatives.
const TRIPLES: [usize; 3] = [0, 3, 9];
/// The place of the words that somebody typed.
const ORIGINAL: usize = 8;
/// Most characters of a text: a longer one would be cut, and what stands behind the cut forgotten.
const MOST: usize = 500;

/// The concepts of a field, one for each of its repetitions that says something.
///
/// # Errors
/// A text that is too long.
pub(super) fn concepts(
    message: &Message,
    segment: (&'static str, usize),
    field: usize,
    list: Field,
) -> Result<Vec<Value>, Hl7Error> {
    let all = message.whole(segment, field);
    if all.iter().flatten().any(|text| text.chars().count() > MOST) {
        return Err(too_long(segment.0, field));
    }
    Ok(all.iter().filter_map(|parts| concept(parts, list)).collect())
}

/// All words of a field that is a text.
///
/// # Errors
/// It is too long.
pub(super) fn words(
    message: &Message,
    segment: (&'static str, usize),
    field: usize,
) -> Result<String, Hl7Error> {
    let words = message.words(segment, field);
    if words.chars().count() > MOST { Err(too_long(segment.0, field)) } else { Ok(words) }
}

fn too_long(segment: &str, field: usize) -> Hl7Error {
    Hl7Error::new(format!("{segment}-{field}"), 102, format!("a text has at most {MOST} characters"))
}

fn concept(parts: &[String], list: Field) -> Option<Value> {
    let part = |at: usize| parts.get(at).map_or("", String::as_str);
    let (mut codings, mut texts, mut house) = (Vec::new(), Vec::new(), Vec::new());
    for first in TRIPLES {
        let (code, words, system) = (part(first), part(first + 1), part(first + 2).to_uppercase());
        let known = SYSTEMS.iter().find(|(name, _)| *name == system).map(|(_, address)| *address);
        match (code.to_uppercase().as_str(), known) {
            ("", _) => {}
            // As wards write it: no known allergies, no known drug allergies.
            ("NKA", None) => codings.push(json!({"system": SYSTEMS[0].1, "code": "716186003"})),
            ("NKDA", None) => codings.push(json!({"system": SYSTEMS[0].1, "code": "409137002"})),
            (_, Some(system)) => codings.push(json!({"system": system, "code": code})),
            // A code of the house says nothing without its words, unless it is a word.
            (_, None) if words.is_empty() => house.push(code),
            (_, None) => {}
        }
        texts.push(words);
    }
    texts.push(part(ORIGINAL));
    texts.retain(|text| !text.is_empty());
    let unnamed = texts.is_empty() && codings.iter().all(|coding| names(list, &qualified(coding)).is_none());
    if unnamed {
        texts.extend(house.first());
    }
    texts.extend(house.iter().filter(|code| names(list, code).is_some()));
    let mut texts = texts.into_iter();
    let text = texts.next();
    let mut more: Vec<&str> = texts.filter(|other| Some(*other) != text).collect();
    more.dedup();
    codings.extend(more.iter().map(|words| json!({"display": words})));
    let mut concept = json!({});
    if !codings.is_empty() {
        concept["coding"] = json!(codings);
    }
    if let Some(text) = text {
        concept["text"] = json!(text);
    }
    concept.as_object().is_some_and(|members| !members.is_empty()).then_some(concept)
}

/// What a text names that a list can hold, and all classes of that, where the terminology knows some of it.
fn names(list: Field, text: &str) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let meaning = Terminology::shared(&[]).understand(list, text);
    let own = |names: &BTreeSet<_>| names.iter().map(ToString::to_string).collect();
    ((meaning.known || meaning.partly) && !meaning.names.is_empty())
        .then(|| (own(&meaning.names), own(&meaning.broader)))
}

fn qualified(coding: &Value) -> String {
    let member = |name: &str| coding[name].as_str().unwrap_or_default();
    format!("{}|{}", member("system"), member("code"))
}

/// The id of what is known by the person and this.
pub(super) fn id_by(what: &str, patient: &str, by: &str) -> String {
    format!("hl7-{}", derived(&[what, patient, by]).trim_start_matches("2.25."))
}

/// The id of what is known by the person and its code, or its code and words: the whole number of a UID. No two things have
/// one, since what is deleted under it must be nothing else.
pub(super) fn known_by(what: &str, list: Field, patient: &str, concept: &Value) -> String {
    let id = |by: &str| id_by(what, patient, by);
    let codings: Vec<&Value> = concept["coding"].as_array().into_iter().flatten().collect();
    let (coded, worded): (Vec<&Value>, Vec<&Value>) =
        codings.into_iter().partition(|coding| coding["code"].is_string());
    let text = concept["text"].as_str();
    let worded: Vec<&str> =
        text.into_iter().chain(worded.iter().filter_map(|coding| coding["display"].as_str())).collect();
    let codes: Vec<String> = coded.iter().map(|coding| coding.to_string()).collect();
    // "419511003^Penicillin" and "419511003^Sulfa" are two allergies: the code says that there is one, and not to what.
    let says_all =
        coded.first().and_then(|coding| names(list, &qualified(coding))).is_some_and(|(_, broader)| {
            let others = coded.iter().skip(1).map(|coding| qualified(coding));
            let mut others = others.chain(worded.iter().map(ToString::to_string));
            // What is not understood, or in part, may say more than the code.
            let within = |other: &str| {
                let meaning = Terminology::shared(&[]).understand(list, other);
                meaning.known && meaning.names.iter().all(|name| broader.contains(&**name))
            };
            others.all(|other| within(&other))
        });
    match codes.first() {
        Some(code) if says_all => id(code),
        _ => {
            let by = codes.into_iter().chain(worded.iter().map(|words| words.to_lowercase()));
            id(&by.collect::<Vec<_>>().join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Result<Vec<Value>, Hl7Error> {
        let message = Message::read(&format!("MSH|^~\\&|\rAL1|1|DA|{field}\r")).unwrap();
        concepts(&message, ("AL1", 0), 3, Field::Allergy)
    }

    fn ids(field: &str) -> Vec<String> {
        read(field)
            .unwrap()
            .iter()
            .map(|concept| known_by("allergy", Field::Allergy, "p1", concept))
            .collect()
    }

    #[test]
    fn no_word_is_left_out_for_another() {
        let rxnorm = SYSTEMS[3].1;
        for (field, concepts) in [
            ("^sulfa & penicillin", json!([{"text": "sulfa & penicillin"}])),
            ("^sulfa~^penicillin~", json!([{"text": "sulfa"}, {"text": "penicillin"}])),
            (
                "X1^^L^7980^Penicillin G^RXNORM",
                json!([{"text": "Penicillin G", "coding": [{"system": rxnorm, "code": "7980"}]}]),
            ),
            ("X1^^L", json!([{"text": "X1"}])),
            ("X1^Nickel^L", json!([{"text": "Nickel"}])),
            ("^Sulfa^^^Penicillin^L", json!([{"text": "Sulfa", "coding": [{"display": "Penicillin"}]}])),
            ("PENICILLIN^^L^S^Sulfa^L", json!([{"text": "Sulfa", "coding": [{"display": "PENICILLIN"}]}])),
            ("^Sulfa^^^^^^^penicillin", json!([{"text": "Sulfa", "coding": [{"display": "penicillin"}]}])),
            ("^~\"\"", json!([])),
        ] {
            assert_eq!(json!(read(field).unwrap()), concepts, "{field}");
        }
        let error = read(&format!("^{} penicillin", "x".repeat(MOST))).unwrap_err();
        assert_eq!((error.place.as_ref(), error.code), ("AL1-3", 102));
    }

    #[test]
    fn a_code_that_does_not_say_all_makes_no_two_things_one() {
        for (one, other, same) in [
            ("419511003^Penicillin^SCT", "419511003^Sulfa^SCT", false),
            ("419511003^Penicillin^SCT", "419511003^PENICILLIN^SCT", true),
            ("91936005^Allergy to penicillin^SCT", "91936005^PCN^SCT", true),
            ("91936005^Allergy to penicillin^SCT", "91936005^Sulfa^SCT", false),
            ("7980^Penicillin G^RXNORM", "7980^Zorblax^RXNORM", false),
            ("7980^Penicillin G^RXNORM", "7980^Penicillin and zorblax^RXNORM", false),
            ("NKDA^Penicillin^L", "NKDA^Sulfa^L", false),
            ("^Penicillin", "^penicillin", true),
            ("^Sulfa^^^Penicillin^L", "^Sulfa^^^Codeine^L", false),
        ] {
            assert_eq!(ids(one) == ids(other), same, "{one} {other}");
        }
    }
}
