//! CDS Hooks beside records that came by FHIR: whose record is stored under an id, which of two versions of an order counts, and
//! what a Medication that was not sent along is.

use crate::cds::{SIGN, VIEW, call, cards, demo, draft, found, sign, taken};
use crate::support::Server;
use reqwest::Client;
use serde_json::{Value, json};

const A: &str = "https://ehr-a.example.org/fhir";
const B: &str = "https://ehr-b.example.org/fhir";

/// Stores resources of a server.
async fn store(server: &Server, of: &str, resources: &[Value]) {
    let entry = |resource: &Value| {
        let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"fullUrl": format!("{of}/{kind}/{id}"), "resource": resource,
            "request": {"method": "PUT", "url": format!("{kind}/{id}")}})
    };
    let bundle = json!({"resourceType": "Bundle", "type": "transaction",
        "entry": resources.iter().map(entry).collect::<Vec<_>>()});
    let answer = Client::new().post(server.at("/fhir/R4")).json(&bundle).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

fn patient(number: &str, born: &str) -> Value {
    json!({"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": born,
        "identifier": [{"system": "urn:mrn", "value": number}]})
}

fn no_allergies() -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": "none", "patient": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]}})
}

/// A call about one draft, by a client of this server, with this patient and these medications.
fn asked(of: &str, patient: &Value, drug: &str, medications: &[Value]) -> Value {
    let mut body = sign(&[draft("d1", drug)], &[], &[], medications);
    body["fhirServer"] = json!(of);
    body["prefetch"]["patient"] = patient.clone();
    body
}

fn summaries(cards: &[Value]) -> String {
    cards.iter().map(|card| format!("{} {}\n", card["indicator"], card["summary"])).collect()
}

#[tokio::test]
async fn a_person_of_another_server_is_not_answered_for_by_the_one_who_is_stored() {
    let server = demo();
    store(&server, A, &[patient("A-1", "1990-05-01"), no_allergies(), taken("m1", "Warfarin 5 mg")]).await;

    let own = cards(&server, SIGN, &asked(A, &patient("A-1", "1990-05-01"), "Ibuprofen", &[])).await;
    assert!(summaries(&own).contains("warning"), "the stored warfarin counts: {own:?}");

    let other = cards(&server, SIGN, &asked(B, &patient("B-7", "1931-02-03"), "Ibuprofen", &[])).await;
    let told = serde_json::to_string(&other).unwrap();
    assert!(!told.to_lowercase().contains("warfarin"), "{told}");
    assert!(told.contains("which is of another person"), "{told}");

    // Where nothing was sent along there is nobody to answer for.
    let mut bare = asked(B, &patient("B-7", "1931-02-03"), "Ibuprofen", &[]);
    bare["prefetch"] = json!({});
    assert_eq!(call(&server, SIGN, &bare).await.status(), 412);
    let view = json!({"hook": "patient-view", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "fhirServer": B,
        "context": {"userId": "Practitioner/7", "patientId": "p"}, "prefetch": bare["prefetch"]});
    assert_eq!(call(&server, VIEW, &view).await.status(), 412);

    // The same person in both, by the number that both have.
    let same = cards(&server, SIGN, &asked(B, &patient("A-1", "1990-05-01"), "Ibuprofen", &[])).await;
    assert!(summaries(&same).contains("warning"), "{same:?}");
}

#[tokio::test]
async fn a_draft_takes_the_place_of_the_stored_order_of_its_id() {
    let server = demo();
    let orders = [taken("m1", "Warfarin 5 mg"), taken("m2", "Warfarin 5 mg")];
    store(&server, A, &[&[patient("A-1", "1990-05-01"), no_allergies()][..], &orders].concat()).await;
    let signed = |drafts: &[Value]| {
        let mut body = sign(drafts, &[], &[], &[]);
        body["fhirServer"] = json!(A);
        body["prefetch"] = json!({"patient": patient("A-1", "1990-05-01")});
        body
    };
    let ended = |id: &str| {
        let mut ended = draft(id, "Warfarin 5 mg");
        ended["status"] = json!("stopped");
        ended
    };
    // Both orders are ended: nothing speaks against the other drug any more.
    let cards_of = cards(&server, SIGN, &signed(&[ended("m1"), ended("m2"), draft("d", "Ibuprofen")])).await;
    assert!(!summaries(&cards_of).contains("warning"), "{cards_of:?}");
    // One is left.
    let cards_of = cards(&server, SIGN, &signed(&[ended("m1"), draft("d", "Ibuprofen")])).await;
    assert!(summaries(&cards_of).contains("warning"), "{cards_of:?}");
}

#[tokio::test]
async fn a_medication_that_was_not_sent_along_is_what_is_stored_of_it() {
    let server = demo();
    let warfarin = json!({"resourceType": "Medication", "id": "w", "code": {"text": "Warfarin"}});
    let by_reference = json!({"resourceType": "MedicationRequest", "id": "m1", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/p"}, "medicationReference": {"reference": "Medication/w"}});
    store(&server, A, &[patient("A-1", "1990-05-01"), no_allergies(), warfarin, by_reference.clone()]).await;
    let own = asked(A, &patient("A-1", "1990-05-01"), "Ibuprofen", std::slice::from_ref(&by_reference));
    let told = cards(&server, SIGN, &own).await;
    assert!(summaries(&told).contains("warning"), "{told:?}");
    // An order that the store knows under a name stays known, also where the reference leads nowhere.
    let mut elsewhere = by_reference;
    elsewhere["medicationReference"]["reference"] = json!("Medication/unheard-of");
    let own = asked(A, &patient("A-1", "1990-05-01"), "Ibuprofen", &[elsewhere]);
    let told = cards(&server, SIGN, &own).await;
    assert!(summaries(&told).contains("warning"), "{told:?}");
    // Nor is it passed over that the order is of something else now.
    assert!(serde_json::to_string(&told).unwrap().contains("without a name"), "{told:?}");
}

#[tokio::test]
async fn a_denial_is_taken_back_by_its_record_under_another_address_of_the_server() {
    let server = demo();
    store(&server, A, &[patient("A-1", "1990-05-01"), no_allergies(), taken("m1", "Warfarin")]).await;
    let mut wrong = no_allergies();
    wrong["verificationStatus"] = json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
            "code": "entered-in-error"}]});
    for (allergies, offers) in [(vec![no_allergies()], true), (vec![wrong], false)] {
        let mut body = asked(B, &patient("A-1", "1990-05-01"), "Ibuprofen", &[taken("m1", "Warfarin")]);
        body["prefetch"]["allergies"] = found(&allergies);
        body["prefetch"]["conditions"] = found(&[json!({"resourceType": "Condition", "id": "c",
            "subject": {"reference": "Patient/p"}, "code": {"text": "osteoarthritis"}})]);
        let told = serde_json::to_string(&cards(&server, SIGN, &body).await).unwrap();
        // Where allergies are not known nothing is offered.
        assert_eq!(told.contains("instead of"), offers, "{told}");
    }
}

#[tokio::test]
async fn what_the_record_has_taken_back_counts_no_more() {
    let server = demo();
    let penicillin = json!({"resourceType": "AllergyIntolerance", "id": "a1", "patient": {"reference": "Patient/p"},
        "code": {"text": "Penicillin"}});
    store(&server, A, &[patient("A-1", "1990-05-01"), penicillin.clone(), taken("m1", "Warfarin")]).await;
    let mut wrong = penicillin;
    wrong["verificationStatus"] = json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
            "code": "entered-in-error"}]});
    let mut body = asked(A, &patient("A-1", "1990-05-01"), "Amoxicillin", &[]);
    body["prefetch"]["allergies"] = found(&[wrong]);
    let told = cards(&server, SIGN, &body).await;
    assert!(!summaries(&told).contains("critical"), "{told:?}");
}
