//! Who is meant: two people must not become one by a name that both have, nor one person two.

use serde_json::{Value, json};

use super::references::patient_name;
use super::{Bundle, FhirError, Found, Settled, map};

/// 2026-01-01.
const NOW: i64 = 1_767_225_600_000;

fn settle(kind: &str, entries: &[Value], found: &Found) -> Result<Settled, Vec<FhirError>> {
    let text = json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string();
    map(&Bundle::read(&text).unwrap(), NOW).settle(found)
}

/// An entry of a person without an id, who is to be added.
fn added(uuid: &str, identifiers: Value) -> Value {
    json!({"fullUrl": format!("urn:uuid:{uuid}"), "resource": {"resourceType": "Patient", "identifier": identifiers},
        "request": {"method": "POST", "url": "Patient"}})
}

fn conditional(uuid: &str, search: &str) -> Value {
    let mut entry = added(uuid, json!([]));
    entry["request"]["ifNoneExist"] = json!(search);
    entry
}

fn put(id: &str) -> Value {
    json!({"resource": {"resourceType": "Patient", "id": id}, "request": {"method": "PUT", "url": format!("Patient/{id}")}})
}

fn allergy(of: &str) -> Value {
    json!({"resource": {"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": of}, "code": {"text": "Penicillin"}},
        "request": {"method": "PUT", "url": "AllergyIntolerance/a"}})
}

fn people(settled: &Settled) -> Vec<&str> {
    settled.people.iter().map(|person| person.user_id.as_str()).collect()
}

fn first(settled: Result<Settled, Vec<FhirError>>) -> (&'static str, String) {
    let error = settled.unwrap_err().remove(0);
    (error.code, error.detail)
}

#[test]
fn an_identifier_without_a_system_is_nobodys() {
    let none = Found::default();
    for system in [json!(null), json!(""), json!(" ")] {
        let number = json!([{"system": system, "value": "71"}]);
        let settled =
            settle("transaction", &[added("1", number.clone()), added("2", number)], &none).unwrap();
        assert_eq!(people(&settled), ["1", "2"], "{system}");
        assert!(settled.people.iter().all(|person| person.identifiers.is_empty()));
    }
    for reference in ["Patient?identifier=71", "Patient?identifier=|71", "Patient?identifier=u|71,u|72"] {
        let (code, detail) = first(settle("transaction", &[put("ann"), allergy(reference)], &none));
        assert!(code == "not-found" && detail.contains("Patient?identifier=system|value"), "{reference}");
    }
    for search in ["identifier=71", "identifier=|71"] {
        assert_eq!(first(settle("transaction", &[conditional("1", search)], &none)).0, "not-supported");
    }
    // Numbers that are given to others later name nobody who is new.
    for usage in ["old", "temp"] {
        let numbers = json!([{"system": "u", "value": "1", "use": usage}, {"system": "u", "value": "2"}]);
        let settled = settle("transaction", &[added("1", numbers)], &none).unwrap();
        assert_eq!(people(&settled), ["u|2"], "{usage}");
    }
}

#[test]
fn two_entries_that_nobody_can_tell_apart_are_refused() {
    let none = Found::default();
    let named = |url: &str, id: &str| {
        let mut entry = put(id);
        entry["fullUrl"] = json!(url);
        entry
    };
    let insurance = json!([{"system": "insurance", "value": "F1"}]);
    for (entries, words) in [
        (vec![named("urn:uuid:1", "d1"), named("urn:uuid:1", "d2")], "fullUrl of another entry"),
        (vec![named("http://s/Patient/d2", "d1")], "another id"),
        (vec![added("1", insurance.clone()), added("2", insurance.clone())], "would be one person"),
        (vec![put("7"), added("7", json!([]))], "would be one person"),
    ] {
        let (code, detail) = first(settle("transaction", &entries, &none));
        assert!(code == "duplicate" && detail.contains(words), "{detail}");
        // Of a batch neither goes in, and nothing that names them, whoever is stored.
        let url = entries[0]["fullUrl"].as_str().unwrap_or("Patient/7").to_owned();
        let stored = ["d1", "d2", "7", "insurance|F1"].map(str::to_owned);
        let found = Found { people: stored.into(), ..Found::default() };
        let all = [entries, vec![allergy(&url), put("bob")]].concat();
        let settled = settle("batch", &all, &found).unwrap();
        assert_eq!(people(&settled), ["bob"], "{url}");
    }
    // So are other resources of one fullUrl; versions of one resource are not.
    let mut drug = json!({"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Medication", "id": "m"}});
    drug["request"] = json!({"method": "PUT", "url": "Medication/m"});
    assert_eq!(first(settle("transaction", &[named("urn:uuid:1", "d1"), drug], &none)).0, "duplicate");
    let version = |number: &str| {
        let mut entry = named("http://s/Patient/d1", "d1");
        entry["resource"]["meta"] = json!({"versionId": number});
        entry
    };
    assert!(settle("batch", &[version("1"), version("2")], &none).is_ok());
    // An identifier of two people of the Bundle names neither.
    let mut both = [put("ann"), put("bob"), allergy("Patient?identifier=insurance|F1")];
    for entry in &mut both[..2] {
        entry["resource"]["identifier"] = insurance.clone();
    }
    let (code, detail) = first(settle("transaction", &both, &none));
    assert!(code == "not-found" && detail.contains("several Patients"), "{detail}");
    let created = [both[0].clone(), conditional("1", "identifier=insurance|F1")];
    assert_eq!(first(settle("transaction", &created, &none)).0, "duplicate");
}

#[test]
fn an_identifier_that_several_people_have_creates_nobody() {
    let shared = || Found { shared: [patient_name("u|7")].into(), ..Found::default() };
    let created = [conditional("1", "identifier=u|7"), allergy("urn:uuid:1")];
    let (code, detail) = first(settle("transaction", &created, &shared()));
    assert!(code == "multiple-matches" && detail.contains("several people"), "{detail}");
    // Of a batch neither that person goes in nor the allergy, not even where an earlier one went by the identifier.
    for stored in [vec![], vec!["u|7".to_owned()]] {
        let found = Found { people: stored.into_iter().collect(), ..shared() };
        let settled = settle("batch", &[created.as_slice(), &[put("bob")]].concat(), &found).unwrap();
        assert_eq!(people(&settled), ["bob"]);
        assert_eq!(first(settle("transaction", &[allergy("Patient?identifier=u|7")], &found)).0, "not-found");
        let guessed = added("1", json!([{"system": "u", "value": "7"}]));
        assert_eq!(first(settle("transaction", &[guessed], &found)).0, "conflict");
    }
}

#[test]
fn records_that_are_linked_or_out_of_use_are_named() {
    let mut entry = put("m1");
    entry["resource"]["active"] = json!(false);
    entry["resource"]["link"] = json!([{"other": {"reference": "Patient/m2"}, "type": "replaced-by"}]);
    let settled = settle("transaction", &[entry, put("m2")], &Found::default()).unwrap();
    let notes: Vec<&str> = settled.outcomes[0].notes.iter().map(|(_, note)| note.as_str()).collect();
    assert!(notes.len() == 2 && notes[0].contains("not merged") && notes[1].contains("active"), "{notes:?}");
    assert!(settled.outcomes[0].used && settled.outcomes[1].notes.is_empty());
    let mut report = super::Report::default();
    report.add(&settled);
    assert_eq!(report.left_out.iter().filter(|(why, _)| why.starts_with("Patient: is")).count(), 2);
}

#[test]
fn what_a_history_says_was_deleted_says_nothing_any_more() {
    let mut none = allergy("Patient/ann");
    none["resource"]["code"] = json!({"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]});
    let deleted = json!({"fullUrl": "https://a.example/fhir/AllergyIntolerance/a",
        "request": {"method": "DELETE", "url": "https://a.example/fhir/AllergyIntolerance/a"}});
    let said = |entries: &[Value]| {
        let settled = settle("history", entries, &Found::default()).unwrap();
        settled.people.iter().map(|person| person.statements.len()).sum::<usize>()
    };
    assert_eq!(said(&[none.clone(), put("ann")]), 1);
    assert_eq!(said(&[deleted, none, put("ann")]), 0);
}

#[test]
fn an_address_is_compared_without_its_version_its_scheme_and_the_usual_port() {
    use super::references::server;
    for (address, of) in [
        ("https://h.example/fhir/Patient/7", Some("h.example/fhir")),
        ("https://H.example:443/fhir/Patient/7/_history/3", Some("h.example/fhir")),
        ("http://h.example:80/fhir/Patient/7/", Some("h.example/fhir")),
        ("http://h.example:8080/Fhir/R4/Patient/7", Some("h.example:8080/Fhir/R4")),
        ("http://localhost:8080/fhir/Patient/7", None),
        ("http://127.0.0.1/fhir/Patient/7", None),
        ("Patient/7", None),
        ("urn:uuid:7", None),
    ] {
        assert_eq!(server(address).as_deref(), of, "{address}");
    }
}
