//! Who a message is about: ADT^A01 (admission), A04 (registration), A08 and A31 (changes) as a FHIR transaction of a
//! Patient, an AllergyIntolerance for each AL1 and a Condition for each DG1, so that what they mean for a person is
//! said in one place (`fhir`).
//!
//! An allergy and a diagnosis are known by the person and their code or words, so that a message that comes again changes
//! nothing. One that a later message leaves out stays: a message says what its sender knows, not all that is known.

use std::collections::BTreeSet;

use recommend::clock;
use serde_json::{Value, json};

use super::message::{Hl7Error, Message};
use crate::dicom::uid::derived;
use crate::fhir::people::EARLIEST;

/// The events that are read.
pub const EVENTS: [&str; 4] = ["A01", "A04", "A08", "A31"];

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

/// The transaction that says what a message says.
///
/// # Errors
/// A message of another type or event, or one that names no patient.
pub fn bundle(message: &Message) -> Result<Value, Hl7Error> {
    if message.get(("MSH", 0), 9, 1) != "ADT" {
        return Err(Hl7Error::new("MSH-9", 200, "messages of type ADT are read"));
    }
    // Chapter 2.9.2.2: what is sent for training or debugging is nobody's record. A sender that says nothing means it.
    let processing = message.get(("MSH", 0), 11, 1);
    if !["", "P"].contains(&processing.as_str()) {
        let detail = "of the processing IDs P (production) is taken; T and D are of training and debugging";
        return Err(Hl7Error::new("MSH-11", 202, detail));
    }
    let event = message.get(("MSH", 0), 9, 2);
    if !EVENTS.contains(&event.as_str()) {
        return Err(Hl7Error::new("MSH-9", 201, format!("the events {} are read", EVENTS.join(", "))));
    }
    message.without_controls()?;
    if message.count("PID") != 1 {
        return Err(Hl7Error::new("PID", 100, "a message is about one patient, in one PID segment"));
    }
    let patient = patient_id(message)?;
    let reference = json!({"reference": format!("Patient/{patient}")});
    let mut entries = vec![entry(person(message, &patient)?)];
    for nth in 0..message.count("AL1") {
        entries.extend(allergy(message, nth, &patient, &reference).map(entry));
    }
    for nth in 0..message.count("DG1") {
        entries.extend(diagnosis(message, nth, &patient, &reference).map(entry));
    }
    // Said twice, it is one resource all the same; of what is said of it the last counts.
    let mut known = BTreeSet::new();
    entries.reverse();
    entries.retain(|entry| known.insert(entry["request"]["url"].to_string()));
    entries.reverse();
    Ok(json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
}

fn entry(resource: Value) -> Value {
    let name = |member: &str| resource[member].as_str().unwrap_or_default().to_string();
    let url = format!("{}/{}", name("resourceType"), name("id"));
    json!({"resource": resource, "request": {"method": "PUT", "url": url}})
}

/// The number that the hospital gave the person: of several identifiers the one of type MR or PI, or else the first.
fn patient_id(message: &Message) -> Result<String, Hl7Error> {
    let all = message.repetitions(("PID", 0), 3);
    let of_hospital = |own: &Vec<String>| own.get(4).is_some_and(|kind| kind == "MR" || kind == "PI");
    let chosen = all.iter().position(of_hospital).unwrap_or(0);
    let id = match message.identifiers("PID", 3).into_iter().nth(chosen) {
        Some(None) => {
            let detail = "an identifier has no escapes and no subcomponents";
            return Err(Hl7Error::new("PID-3", 102, detail));
        }
        id => id.flatten().unwrap_or_default(),
    };
    let sound = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match (id.is_empty(), id.len() <= 64 && id.chars().all(sound)) {
        (true, _) => Err(Hl7Error::new("PID-3", 101, "there is no identifier of the patient")),
        (false, true) => Ok(id),
        (false, false) => {
            let detail = "an identifier has at most 64 letters, digits, dashes, dots and underscores";
            Err(Hl7Error::new("PID-3", 102, detail))
        }
    }
}

fn person(message: &Message, id: &str) -> Result<Value, Hl7Error> {
    let mut patient = json!({"resourceType": "Patient", "id": id});
    let born = message.get(("PID", 0), 7, 1);
    if !born.is_empty() {
        let digits = born.get(..born.len().min(8)).unwrap_or_default();
        let date = match (digits.len(), digits.bytes().all(|byte| byte.is_ascii_digit())) {
            (4, true) => digits.to_string(),
            (6, true) => format!("{}-{}", &digits[..4], &digits[4..]),
            (8, true) => format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]),
            _ => return Err(Hl7Error::new("PID-7", 102, "a date of birth is YYYY, YYYYMM or YYYYMMDD")),
        };
        // Who sends one wrong can be told; of a Bundle of many only that person's date is left out.
        let year = digits[..4].parse().unwrap_or(0);
        if !(EARLIEST..=clock::year_of(clock::now())).contains(&year) {
            return Err(Hl7Error::new(
                "PID-7",
                102,
                format!("a year of birth is from {EARLIEST} to this one"),
            ));
        }
        patient["birthDate"] = json!(date);
    }
    let gender = match message.get(("PID", 0), 8, 1).as_str() {
        "F" => Some("female"),
        "M" => Some("male"),
        "O" | "A" => Some("other"),
        "U" | "N" => Some("unknown"),
        _ => None,
    };
    if let Some(gender) = gender {
        patient["gender"] = json!(gender);
    }
    Ok(patient)
}

/// AL1: what somebody is allergic to.
fn allergy(message: &Message, nth: usize, patient: &str, reference: &Value) -> Option<Value> {
    let code = concept(message, ("AL1", nth), 3)?;
    let category = match message.get(("AL1", nth), 2, 1).as_str() {
        "DA" => "medication",
        "FA" => "food",
        "AA" | "PA" | "LA" | "EA" => "environment",
        _ => "",
    };
    let mut resource = json!({
        "resourceType": "AllergyIntolerance",
        "id": known_by("allergy", patient, &code),
        "patient": reference,
        "clinicalStatus": status("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active"),
        "code": code,
    });
    if !category.is_empty() {
        resource["category"] = json!([category]);
    }
    Some(resource)
}

/// DG1: a diagnosis; one of admission or work is provisional.
fn diagnosis(message: &Message, nth: usize, patient: &str, reference: &Value) -> Option<Value> {
    let mut code = concept(message, ("DG1", nth), 3).unwrap_or_else(|| json!({}));
    let words = message.get(("DG1", nth), 4, 1);
    // Senders of 2.2 and 2.3 write the words here beside a code of the house.
    if !words.is_empty()
        && message.get(("DG1", nth), 3, 2).is_empty()
        && message.get(("DG1", nth), 3, 5).is_empty()
    {
        code["text"] = json!(words);
    }
    code.as_object().filter(|members| !members.is_empty())?;
    let deleted = message.get(("DG1", nth), 21, 1) == "D";
    let verified = match message.get(("DG1", nth), 6, 1).as_str() {
        _ if deleted => "entered-in-error",
        "A" | "W" => "provisional",
        _ => "confirmed",
    };
    Some(json!({
        "resourceType": "Condition",
        "id": known_by("diagnosis", patient, &code),
        "subject": reference,
        "clinicalStatus": status("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "verificationStatus": status("http://terminology.hl7.org/CodeSystem/condition-ver-status", verified),
        "code": code,
    }))
}

fn status(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

/// A coded element: identifier, text and coding system, and the same of an alternative.
fn concept(message: &Message, segment: (&str, usize), field: usize) -> Option<Value> {
    let part = |component: usize| message.get(segment, field, component);
    let mut codings = Vec::new();
    let mut text = String::new();
    for first in [1, 4] {
        let (code, words, system) = (part(first), part(first + 1), part(first + 2).to_uppercase());
        if text.is_empty() {
            text.clone_from(&words);
        }
        let known = SYSTEMS.iter().find(|(name, _)| *name == system).map(|(_, address)| *address);
        match (code.to_uppercase().as_str(), known) {
            ("", _) => {}
            // As wards write it: no known allergies, no known drug allergies.
            ("NKA", None) => codings.push(json!({"system": SYSTEMS[0].1, "code": "716186003"})),
            ("NKDA", None) => codings.push(json!({"system": SYSTEMS[0].1, "code": "409137002"})),
            (_, Some(system)) => codings.push(json!({"system": system, "code": code})),
            // A code of the house says nothing without its words.
            (_, None) if text.is_empty() => text.clone_from(&code),
            (_, None) => {}
        }
    }
    let mut concept = json!({});
    if !codings.is_empty() {
        concept["coding"] = json!(codings);
    }
    if !text.is_empty() {
        concept["text"] = json!(text);
    }
    concept.as_object().is_some_and(|members| !members.is_empty()).then_some(concept)
}

/// The id of what is known by the person and its code or words: the whole number of a UID.
fn known_by(what: &str, patient: &str, code: &Value) -> String {
    let by = match code["coding"].as_array().and_then(|all| all.first()) {
        Some(coding) => coding.to_string(),
        None => code["text"].as_str().unwrap_or_default().to_lowercase(),
    };
    format!("hl7-{}", derived(&[what, patient, &by]).trim_start_matches("2.25."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A01: &str = "MSH|^~\\&|ADT|WARD|MEDSERVE|H|20260301093000||ADT^A01^ADT_A01|7|P|2.5.1\r\
        EVN|A01|20260301093000\r\
        PID|1||77^^^NAT^NI~p1^^^H^MR||Doe^Jane||19540301|F\r\
        AL1|1|DA|7980^Penicillin G^RXNORM|SV|hives\r\
        AL1|2|FA|^peanuts\r\
        DG1|1||E11.9^Type 2 diabetes^I10||20260301|A\r";

    fn of(text: &str) -> Result<Value, Hl7Error> {
        bundle(&Message::read(text).unwrap())
    }

    #[test]
    fn a_message_says_who_what_allergies_and_what_diagnoses() {
        let bundle = of(A01).unwrap();
        let resource = |at: usize| &bundle["entry"][at]["resource"];
        assert_eq!(resource(0)["id"], "p1", "the hospital's own number");
        assert_eq!(
            (&resource(0)["birthDate"], &resource(0)["gender"]),
            (&json!("1954-03-01"), &json!("female"))
        );
        assert!(!bundle.to_string().contains("Doe"), "a name is not kept");
        assert_eq!(resource(1)["code"]["coding"][0]["code"], "7980");
        assert_eq!(
            (&resource(2)["code"]["text"], &resource(2)["category"][0]),
            (&json!("peanuts"), &json!("food"))
        );
        assert_eq!(resource(3)["verificationStatus"]["coding"][0]["code"], "provisional");
        assert_eq!(of(A01).unwrap(), bundle, "sent again it is the same");
        let authority = of(&A01.replace("p1^^^H^MR", " p1 ^^^H&1.2.3&ISO^MR")).unwrap();
        assert_eq!(authority["entry"][0]["resource"]["id"], "p1");
        let none = of(&A01.replace("7980^Penicillin G^RXNORM", "NKDA")).unwrap();
        assert_eq!(none["entry"][1]["resource"]["code"]["coding"][0]["code"], "409137002");
    }

    #[test]
    fn a_diagnosis_has_the_words_beside_a_code_of_the_house_and_can_be_deleted() {
        let of_diagnosis = |segment: &str| {
            let bundle = of(&A01.replace("DG1|1||E11.9^Type 2 diabetes^I10||20260301|A", segment)).unwrap();
            bundle["entry"][3]["resource"].clone()
        };
        let asthma = of_diagnosis("DG1|1|L|A123|Asthma|20260301|F");
        assert_eq!(asthma["code"]["text"], "Asthma");
        let gone = of_diagnosis(&format!("DG1|1||E11.9^Type 2 diabetes^I10||20260301|F{}D", "|".repeat(15)));
        assert_eq!(gone["verificationStatus"]["coding"][0]["code"], "entered-in-error");
        let before = of_diagnosis("DG1|1||E11.9^Type 2 diabetes^I10||20260301|F");
        assert_eq!(gone["id"], before["id"], "it is the same diagnosis");
    }

    #[test]
    fn what_is_said_twice_is_one_resource() {
        let text = A01.replace("AL1|2|", "AL1|3|DA|7980^Penicillin G^RXNORM|SV|hives\rAL1|2|");
        assert_eq!(of(&text).unwrap(), of(A01).unwrap());
    }

    #[test]
    fn what_is_not_read_is_told_by_its_place_and_never_repeated() {
        for (from, to, place, code) in [
            ("ADT^A01", "ORM^O01", "MSH-9", 200),
            ("ADT^A01", "ADT^A40", "MSH-9", 201),
            ("PID|1||77^^^NAT^NI~p1^^^H^MR", "PID|1||", "PID-3", 101),
            ("p1^^^H^MR", "Jane Doe^^^H^MR", "PID-3", 102),
            ("p1^^^H^MR", "p1\\X41\\^^^H^MR", "PID-3", 102),
            ("p1^^^H^MR", "p1&2^^^H^MR", "PID-3", 102),
            ("p1^^^H^MR", "p1\u{1}^^^H^MR", "PID-3", 102),
            ("Doe^Jane", "Doe\u{2}^Jane", "PID-5", 102),
            ("19540301", "yesterday", "PID-7", 102),
            ("19540301", "17540301", "PID-7", 102),
            ("PID|1|", "PIX|1|", "PID", 100),
            ("|P|2.5.1", "|T|2.5.1", "MSH-11", 202),
            ("|P|2.5.1", "|D|2.5.1", "MSH-11", 202),
        ] {
            let error = of(&A01.replacen(from, to, 1)).unwrap_err();
            assert_eq!((error.place.as_ref(), error.code), (place, code));
            assert!(!error.to_string().contains("Jane") && !error.to_string().contains("yesterday"));
        }
    }
}
