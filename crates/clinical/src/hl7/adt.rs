//! Who a message is about: ADT^A01 (admission), A04 (registration), A08 and A31 (changes) as a FHIR transaction of a
//! Patient, an AllergyIntolerance for each AL1 and IAM and a Condition for each DG1, so that what they mean for a person is
//! said in one place (`fhir`).
//!
//! An allergy and a diagnosis are known by the person and their code or words, so that a message that comes again changes
//! nothing. Denials ("NKDA") are known by what they deny, however they are written, so that one is taken back by another's
//! words. One that a later message leaves out stays: a message says what its sender knows, not all that is known. What is
//! left out of a message that is taken is told in its acknowledgement.

use std::collections::BTreeSet;

use recommend::{Field, clock};
use serde_json::{Value, json};

use super::coded::{concepts, id_by, known_by, words};
use super::message::{Hl7Error, Message};
use super::patient::Identity;
use super::tables::{
    AL1_TYPE, Code, DG1_ACTION, DG1_TYPE, IAM_ACTION, IAM_STATUS, IAM_TYPE, PID_SEX, Tabled, not_understood,
};
use crate::fhir::holds::is_unknown;
use crate::fhir::people::{self, DENIALS, EARLIEST, List};
use crate::fhir::resources::CodeableConcept;

/// What stands in the Bundle for a code that is not understood: with it an allergy or a diagnosis counts, and no denial.
const UNREAD: &str = "hl7-not-understood";

/// The events that are read.
pub const EVENTS: [&str; 4] = ["A01", "A04", "A08", "A31"];

/// The transaction that says what a message says, of the person of this id, or of that of the number in the message.
///
/// # Errors
/// A message of another type or event, or one that names no patient.
pub fn bundle(message: &Message, known_as: Option<&str>) -> Result<Value, Hl7Error> {
    if message.get(("MSH", 0), 10, 1).is_empty() {
        return Err(Hl7Error::new(
            "MSH-10",
            101,
            "a message has an id, so that its sender knows what is acknowledged",
        ));
    }
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
    message.one_message()?;
    if message.count("PID") != 1 {
        return Err(Hl7Error::new("PID", 100, "a message is about one patient, in one PID segment"));
    }
    let identity = Identity::of(message)?;
    let patient = known_as.unwrap_or(&identity.id);
    let reference = json!({"reference": format!("Patient/{patient}")});
    let mut entries = vec![entry(person(message, patient, &identity))];
    for name in ["AL1", "IAM"] {
        for nth in 0..message.count(name) {
            entries.extend(allergies(message, (name, nth), patient, &reference)?.into_iter().map(entry));
        }
    }
    for nth in 0..message.count("DG1") {
        entries.extend(diagnoses(message, nth, patient, &reference)?.into_iter().map(entry));
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

fn person(message: &Message, id: &str, identity: &Identity) -> Value {
    let mut patient = json!({"resourceType": "Patient", "id": id});
    let identifiers = identity.identifiers();
    if !identifiers.is_empty() {
        patient["identifier"] = json!(identifiers);
    }
    // An allergy is not lost for a date that nobody knows: senders fill in 00000000 and U.
    if let Ok(Some(date)) = born(message) {
        patient["birthDate"] = json!(date);
    }
    if let Ok(Some(gender)) = sex(message) {
        patient["gender"] = json!(gender);
    }
    patient
}

/// The date of birth, where there is one.
fn born(message: &Message) -> Result<Option<String>, Hl7Error> {
    let born = message.get(("PID", 0), 7, 1);
    if born.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let detail = format!(
            "the date of birth is left out: one is YYYY, YYYYMM or YYYYMMDD, of a year from {EARLIEST} to this one"
        );
        Hl7Error::new("PID-7", 102, detail)
    };
    let digits = born.get(..born.len().min(8)).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = digits.ok_or_else(wrong)?;
    let date = match digits.len() {
        4 => digits.to_string(),
        6 => format!("{}-{}", &digits[..4], &digits[4..]),
        8 => format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]),
        _ => return Err(wrong()),
    };
    let year = digits[..4].parse().unwrap_or(0);
    let sound = (EARLIEST..=clock::year_of(clock::now())).contains(&year);
    if sound { Ok(Some(date)) } else { Err(wrong()) }
}

/// The sex, as FHIR's gender, where there is one: a code of table 0001 in any case, or its words, as senders write them.
fn sex(message: &Message) -> Result<Option<&'static str>, Hl7Error> {
    let code = match PID_SEX.read(message, 0) {
        Code::None => return Ok(None),
        Code::Of(code) => code.to_lowercase(),
        Code::Other => String::new(),
    };
    match code.as_str() {
        "f" | "female" => Ok(Some("female")),
        "m" | "male" => Ok(Some("male")),
        "o" | "a" | "other" | "ambiguous" => Ok(Some("other")),
        "u" | "n" | "unknown" | "not applicable" => Ok(Some("unknown")),
        _ => {
            let detail =
                "the sex is left out: F, M, O, A, U and N of table HL70001 are read, and Female and Male";
            Err(Hl7Error::new("PID-8", 103, detail))
        }
    }
}

/// What of a message that is taken is left out.
pub(super) fn left_out(message: &Message) -> Vec<Hl7Error> {
    let mut left_out: Vec<Hl7Error> = born(message).err().into_iter().chain(sex(message).err()).collect();
    for (name, place) in [("AL1", "AL1-3"), ("IAM", "IAM-3")] {
        if (0..message.count(name)).any(|nth| message.only_erases((name, nth))) {
            let detail = "nothing is erased: a segment of double quotes alone does not say which allergy; one is taken back by \
                IAM with IAM-6 D and what it is to";
            left_out.push(Hl7Error::new(place, 101, detail));
        }
    }
    left_out.extend(not_understood(message));
    left_out
}

/// AL1 and IAM: what somebody is allergic to. One without AL1-3 says that there is an allergy all the same, and in AL1-5
/// perhaps to what.
fn allergies(
    message: &Message,
    segment: (&'static str, usize),
    patient: &str,
    reference: &Value,
) -> Result<Vec<Value>, Hl7Error> {
    let mut codes = concepts(message, segment, 3, Field::Allergy)?;
    let nameless = codes.is_empty() && message.says_something(segment);
    if nameless {
        let reaction = words(message, segment, 5)?;
        let text = format!("an allergy without a name ({reaction})");
        codes.push(if reaction.is_empty() { Value::Null } else { json!({"text": text}) });
    }
    let in_iam = segment.0 == "IAM";
    let own = |field: &Tabled| if in_iam { field.read(message, segment.1) } else { Code::None };
    let kind = if in_iam { IAM_TYPE } else { AL1_TYPE }.read(message, segment.1);
    let category = match &kind {
        Code::Of(code) => match code.as_str() {
            "DA" => "medication",
            "FA" => "food",
            "AA" | "PA" | "LA" | "EA" => "environment",
            _ => "",
        },
        // Of what kind there is none nobody can say.
        Code::Other => UNREAD,
        Code::None => "",
    };
    // "NKDA" beside a reaction is no "NKDA".
    let reaction = if nameless { String::new() } else { message.words(segment, 5) };
    let action = own(&IAM_ACTION);
    // Of a table of the house, or doubt was raised: an allergy counts, and a denial does not.
    let (clinical, verified) = match own(&IAM_STATUS) {
        _ if action == Code::Of("D".to_owned()) => ("active", "entered-in-error"),
        _ if action == Code::Other => ("active", UNREAD),
        Code::None => ("active", ""),
        Code::Other => ("active", UNREAD),
        Code::Of(code) => match code.as_str() {
            "C" => ("active", "confirmed"),
            "U" | "P" | "S" => ("active", "unconfirmed"),
            "I" => ("inactive", "confirmed"),
            "E" => ("active", "entered-in-error"),
            _ => ("active", UNREAD),
        },
    };
    let over = verified == "entered-in-error" || clinical == "inactive";
    let resource = |(id, code): (String, Value)| {
        let mut resource = json!({
            "resourceType": "AllergyIntolerance",
            "id": id,
            "patient": reference,
            "clinicalStatus": status("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", clinical),
        });
        if !code.is_null() {
            resource["code"] = code;
        }
        if !reaction.is_empty() {
            resource["reaction"] = json!([{"description": reaction}]);
        }
        if !category.is_empty() {
            resource["category"] = json!([category]);
        }
        if !verified.is_empty() {
            let system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
            resource["verificationStatus"] = status(system, verified);
        }
        resource
    };
    let named = |code: Value| -> Vec<(String, Value)> {
        // Whoever takes a denial back does not repeat its words, nor whether it was of drugs alone.
        let denied = denies(&code, &reaction, over);
        let ids: Vec<String> = match (denied, over) {
            (None, _) => vec![known_by("allergy", Field::Allergy, patient, &code)],
            (Some(kind), true) if kind != DENIALS[2] => {
                DENIALS[..2].iter().map(|kind| id_by("allergy", patient, kind)).collect()
            }
            (Some(kind), _) => vec![id_by("allergy", patient, kind)],
        };
        ids.into_iter().map(|id| (id, code.clone())).collect()
    };
    Ok(codes.into_iter().flat_map(named).map(resource).collect())
}

/// What a concept of an allergy denies. Beside a reaction it denies nothing, but where it is taken back.
fn denies(code: &Value, reaction: &str, over: bool) -> Option<&'static str> {
    let concept: CodeableConcept = serde_json::from_value(code.clone()).ok()?;
    let beside: &[&str] = if over || is_unknown(reaction) { &[] } else { &[reaction] };
    people::denies(List::Allergies, &concept, beside)
}

/// DG1: a diagnosis; one of admission or work is provisional.
fn diagnoses(
    message: &Message,
    nth: usize,
    patient: &str,
    reference: &Value,
) -> Result<Vec<Value>, Hl7Error> {
    let segment = ("DG1", nth);
    let mut codes = concepts(message, segment, 3, Field::Condition)?;
    let described = words(message, segment, 4)?;
    if !described.is_empty() {
        if codes.is_empty() {
            codes.push(json!({}));
        }
        let own = |component: usize| !message.get(segment, 3, component).is_empty();
        // Senders of 2.2 and 2.3 write the words here beside a code of the house.
        if !(own(2) || own(5)) {
            codes[0]["text"] = json!(described);
        } else if codes[0]["text"].as_str() != Some(&described) {
            let mut codings = codes[0]["coding"].as_array().cloned().unwrap_or_default();
            codings.push(json!({"display": described}));
            codes[0]["coding"] = json!(codings);
        }
    }
    let verified = match (DG1_ACTION.read(message, nth), DG1_TYPE.read(message, nth)) {
        (Code::Of(action), _) if action == "D" => "entered-in-error",
        (Code::Other, _) | (_, Code::Other) => UNREAD,
        (_, Code::Of(kind)) if ["A", "W"].contains(&kind.as_str()) => "provisional",
        _ => "confirmed",
    };
    let resource = |code: Value| {
        json!({
            "resourceType": "Condition",
            "id": known_by("diagnosis", Field::Condition, patient, &code),
            "subject": reference,
            "clinicalStatus": status("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
            "verificationStatus": status("http://terminology.hl7.org/CodeSystem/condition-ver-status", verified),
            "code": code,
        })
    };
    Ok(codes.into_iter().map(resource).collect())
}

fn status(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
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
        bundle(&Message::read(text).unwrap(), None)
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
        let both = of_diagnosis("DG1|1||R69^Illness^I10|Pregnancy|20260301|F");
        assert_eq!(
            (&both["code"]["text"], &both["code"]["coding"][1]["display"]),
            (&json!("Illness"), &json!("Pregnancy"))
        );
    }

    #[test]
    fn an_allergy_is_never_left_out() {
        let allergies = |segments: &str| {
            let bundle = of(&A01.replace("AL1|2|FA|^peanuts\r", segments)).unwrap();
            let all = bundle["entry"].as_array().unwrap().iter().map(|entry| entry["resource"].clone());
            let all = all.filter(|resource| resource["resourceType"] == "AllergyIntolerance").skip(1);
            all.map(|resource| resource["code"]["text"].clone()).collect::<Vec<_>>()
        };
        let nameless = json!("an allergy without a name (penicillin anaphylaxis)");
        assert_eq!(allergies("AL1|2|DA||SV|penicillin anaphylaxis\r"), [nameless]);
        for empty in ["AL1|2|DA\r", "AL1|2|DA|\"\"|SV\r", "AL1|2|DA|^|SV\r"] {
            assert_eq!(allergies(empty), [Value::Null], "{empty}");
        }
        for nothing in ["AL1|2\r", "AL1|2|\"\"|\"\"\r", "AL1|2|\"\"^\"\"|\r", "IAM|1|\"\"|\"\"\r"] {
            assert!(allergies(nothing).is_empty(), "it names nothing: {nothing}");
        }
        assert_eq!(allergies("AL1|2|DA|^sulfa~^codeine\r"), [json!("sulfa"), json!("codeine")]);
        let general = "AL1|2|DA|419511003^Codeine^SCT\rAL1|3|DA|419511003^Sulfa^SCT\r";
        assert_eq!(allergies(general), [json!("Codeine"), json!("Sulfa")]);
        assert_eq!(allergies("IAM|1|DA|^codeine|SV|hives|A\r"), [json!("codeine")]);
        let gone = of(&A01.replace("AL1|2|FA|^peanuts", "IAM|1|DA|^codeine|SV|hives|D")).unwrap();
        let status = &gone["entry"][2]["resource"]["verificationStatus"]["coding"][0]["code"];
        assert_eq!(status, "entered-in-error");
    }

    #[test]
    fn what_is_left_out_of_a_message_that_is_taken_is_told() {
        for born in ["00000000", "18000101", "U", "yesterday", "1954030", "29990101", "19é"] {
            let text = A01.replace("19540301", born);
            let bundle = of(&text).unwrap();
            assert!(bundle["entry"][0]["resource"].get("birthDate").is_none(), "{born}");
            assert_eq!(bundle["entry"][1]["resource"]["code"]["coding"][0]["code"], "7980", "{born}");
            let told = left_out(&Message::read(&text).unwrap());
            assert_eq!((told.len(), told[0].place.as_ref(), told[0].code), (1, "PID-7", 102), "{born}");
            assert!(!told[0].detail.contains(born), "it is not repeated");
        }
        for born in ["1954", "195403", "19540301120000", ""] {
            let text = A01.replace("19540301", born);
            assert_eq!(left_out(&Message::read(&text).unwrap()), [], "{born}");
        }
        let erasing = Message::read(&A01.replace("AL1|2|FA|^peanuts", "AL1|2|\"\"|\"\"")).unwrap();
        assert_eq!(left_out(&erasing)[0].place, "AL1-3");
    }

    #[test]
    fn a_sex_is_read_as_it_is_plainly_meant_and_told_where_it_is_not() {
        for (written, gender, told) in [
            ("F", json!("female"), false),
            ("f", json!("female"), false),
            ("Female", json!("female"), false),
            ("F^Female^HL70001", json!("female"), false),
            ("MALE", json!("male"), false),
            ("m", json!("male"), false),
            ("O", json!("other"), false),
            ("A", json!("other"), false),
            ("U", json!("unknown"), false),
            ("N", json!("unknown"), false),
            ("", Value::Null, false),
            ("\"\"", Value::Null, false),
            ("X", Value::Null, true),
            ("weiblich", Value::Null, true),
            ("F^^99LOCAL", Value::Null, true),
            ("M~F", Value::Null, true),
        ] {
            let text = A01.replace("19540301|F", &format!("19540301|{written}"));
            assert_eq!(of(&text).unwrap()["entry"][0]["resource"]["gender"], gender, "{written}");
            let left_out = left_out(&Message::read(&text).unwrap());
            let places: Vec<&str> = left_out.iter().map(|own| own.place.as_ref()).collect();
            assert_eq!(places, if told { vec!["PID-8"] } else { vec![] }, "{written}");
        }
    }

    /// What a message says of somebody of whom nothing was known.
    fn profile(text: &str) -> recommend::Profile {
        let bundle = crate::fhir::Bundle::read(&of(text).unwrap().to_string()).unwrap();
        let settled = crate::fhir::map(&bundle, clock::now()).settle(&crate::fhir::Found::default()).unwrap();
        let mut profile = recommend::Profile::default();
        settled.people[0].apply(&mut profile);
        profile
    }

    #[test]
    fn a_denial_beside_a_reaction_is_none() {
        let allergies = |segment: &str| {
            let text = A01.replace("AL1|1|DA|7980^Penicillin G^RXNORM|SV|hives\r", "");
            profile(&text.replace("AL1|2|FA|^peanuts", segment)).allergies
        };
        for segment in ["AL1|1|DA|^No known drug allergies", "AL1|1|DA|NKDA||none", "AL1|1|DA|NKDA||\"\""] {
            assert_eq!(allergies(segment), Some(Vec::new()), "{segment}");
        }
        for segment in [
            "AL1|1|DA|^No known drug allergies||anaphylaxis after amoxicillin",
            "AL1|1|DA|NKDA||hives~anaphylaxis after amoxicillin",
            "AL1|1|FA|^No known food allergies||anaphylaxis after amoxicillin",
            "IAM|1|DA|NKDA||anaphylaxis after amoxicillin",
        ] {
            let list = allergies(segment).unwrap();
            assert!(list.len() == 1 && list[0].contains("amoxicillin"), "{segment} {list:?}");
            let meaning = recommend::Terminology::shared(&[]).understand(Field::Allergy, &list[0]);
            assert!(!meaning.known, "{list:?}");
        }
        assert_eq!(allergies("AL1|1|DA|^Penicillin||hives"), Some(vec!["Penicillin".to_owned()]));
    }

    #[test]
    fn a_denial_is_taken_back_whatever_its_words_are_and_holds_by_its_status() {
        let after = |segments: &[&str]| {
            let mut known = recommend::Profile::default();
            for segment in segments {
                let text = A01.replace("AL1|1|DA|7980^Penicillin G^RXNORM|SV|hives\r", "");
                let bundle = of(&text.replace("AL1|2|FA|^peanuts", segment)).unwrap();
                let bundle = crate::fhir::Bundle::read(&bundle.to_string()).unwrap();
                let mapped = crate::fhir::map(&bundle, clock::now());
                mapped.settle(&crate::fhir::Found::default()).unwrap().people[0].apply(&mut known);
            }
            known.allergies
        };
        let status = |code: &str, status: &str| format!("IAM|1|DA|{code}|||A{}{status}", "|".repeat(11));
        for denial in [
            "IAM|1|DA|NKDA^^L|||A",
            "AL1|1|DA|^No known drug allergies",
            "AL1|1|DA|NKA",
            "AL1|1|DA|NKDA||Unknown",
        ] {
            assert_eq!(after(&[denial]), Some(Vec::new()), "{denial}");
            for back in [
                "IAM|1|DA|NKDA^No known drug allergies^L|||D",
                "IAM|1|DA|^NKDA|||D",
                &status("NKDA", "E"),
                &status("NKA", "I"),
            ] {
                assert_eq!(after(&[denial, back]), None, "{denial} {back}");
            }
        }
        for (code, list) in
            [("C", Some(Vec::new())), ("U", Some(Vec::new())), ("D", None), ("E", None), ("X", None)]
        {
            assert_eq!(after(&[&status("NKDA", code)]), list, "{code}");
        }
        let penicillin = Some(vec!["Penicillin".to_owned()]);
        for (code, list) in [("D", penicillin.clone()), ("S", penicillin), ("E", None), ("I", None)] {
            assert_eq!(after(&["AL1|1|DA|^Penicillin", &status("^Penicillin", code)]), list, "{code}");
        }
        // Codes of a table of the house take nothing back, and deny nothing.
        let house = Some(vec!["Penicillin".to_owned()]);
        for (segment, list) in [
            (status("^Penicillin", "I^imported from old system^99LOCAL"), house.clone()),
            (status("^Penicillin", "E^^L"), house.clone()),
            (status("^Penicillin", "I^inactive^HL70438"), None),
            ("IAM|1|DA|^Penicillin|||D^documented^99LOCAL".to_owned(), house),
            ("IAM|1|DA|^Penicillin|||D^Delete^HL70323".to_owned(), None),
        ] {
            assert_eq!(after(&["AL1|1|DA|^Penicillin", &segment]), list, "{segment}");
        }
        for denial in [
            status("NKDA", "C^current^99LOCAL"),
            "IAM|1|DA|NKDA|||A^archived^99LOCAL".to_owned(),
            "AL1|1|FA^Food^99LOCAL|NKA".to_owned(),
        ] {
            assert_eq!(after(&[&denial]), None, "{denial}");
        }
        // A number without a coding system is no denial, and not understood.
        for segment in
            ["AL1|1|DA|716186003^^L", "AL1|1|DA|716186003", "AL1|1|DA|^716186003", "AL1|1|DA|409137002^^99X"]
        {
            let list = after(&[segment]).unwrap();
            let meaning = recommend::Terminology::shared(&[]).understand(Field::Allergy, &list[0]);
            assert!(list.len() == 1 && !meaning.known, "{segment} {list:?}");
        }
        assert_eq!(after(&["AL1|1|DA|716186003^^SCT"]), Some(Vec::new()));
        // What stands beside a denial is not taken back by one that is plain.
        let both = after(&["AL1|1|DA|NKDA||anaphylaxis after amoxicillin", "AL1|1|DA|NKDA"]).unwrap();
        assert!(both.len() == 1 && both[0].contains("amoxicillin"), "{both:?}");
    }

    #[test]
    fn a_diagnosis_goes_by_the_codes_of_hl7_alone() {
        for (action, code) in [
            ("D", "entered-in-error"),
            ("D^Delete^HL70206", "entered-in-error"),
            ("D^documented^99LOCAL", UNREAD),
            ("A", "provisional"),
        ] {
            let segment = format!("DG1|1||E11.9^Type 2 diabetes^I10||20260301|A{}{action}", "|".repeat(15));
            let text = A01.replace("DG1|1||E11.9^Type 2 diabetes^I10||20260301|A", &segment);
            let said = &of(&text).unwrap()["entry"][3]["resource"]["verificationStatus"]["coding"][0]["code"];
            assert_eq!(said, code, "{action}");
            assert_eq!(
                profile(&text).conditions.is_some(),
                action != "D" && code != "entered-in-error",
                "{action}"
            );
            let told = left_out(&Message::read(&text).unwrap());
            assert_eq!(told.len(), usize::from(code == UNREAD), "{action} {told:?}");
        }
    }

    #[test]
    fn a_diagnosis_that_is_deleted_takes_no_other_with_it() {
        let deleted = |segment: &str| format!("{segment}||20260301|A{}D", "|".repeat(15));
        for (one, other) in [
            ("O09.9^Pregnancy^I10", "O09.9^Pregnancy^I10|Gestational diabetes"),
            ("E11.9^Type 2 diabetes^I10", "E11.9^Chronic kidney disease^I10"),
            ("E11.9^^I10", "E11.9^Zorblax^I10"),
        ] {
            for (stays, goes) in [(one, other), (other, one)] {
                let fields = if goes.contains('|') { goes.to_owned() } else { format!("{goes}|") };
                let goes = deleted(&format!("DG1|1||{fields}")).replacen("||20260301", "|20260301", 1);
                let both = |last: &str| {
                    let text = A01.replace("DG1|1||E11.9^Type 2 diabetes^I10||20260301|A", last);
                    let entries = of(&text).unwrap()["entry"].as_array().unwrap().clone();
                    entries
                        .into_iter()
                        .filter(|entry| entry["resource"]["resourceType"] == "Condition")
                        .map(|entry| entry["resource"]["id"].clone())
                        .collect::<Vec<_>>()
                };
                let (kept, gone) = (both(&format!("DG1|1||{stays}")), both(&goes));
                assert_eq!((kept.len(), gone.len()), (1, 1), "{goes}");
                assert_ne!(kept, gone, "{stays} {goes}");
            }
        }
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
            ("PID|1|", "PIX|1|", "PID", 100),
            ("|P|2.5.1", "|T|2.5.1", "MSH-11", 202),
            ("|P|2.5.1", "|D|2.5.1", "MSH-11", 202),
            ("|7|P|", "||P|", "MSH-10", 101),
            ("EVN|A01", "MSH|^~\\&|A|B|C|D|2026||ADT^A01|8|P|2.5.1\rEVN|A01", "MSH", 100),
            ("AL1|1", "Al1|1", "MSH", 100),
        ] {
            let error = of(&A01.replacen(from, to, 1)).unwrap_err();
            assert_eq!((error.place.as_ref(), error.code), (place, code));
            assert!(!error.to_string().contains("Jane") && !error.to_string().contains("yesterday"));
        }
    }
}
