//! CDS Hooks, black box: what a call holds that cannot be read, or that is of somebody else, brings a card.

use reqwest::Client;
use serde_json::{Value, json};

use crate::cds::{SELECT, SIGN, allergy, call, cards, demo, draft, found, sign, taken};

#[tokio::test]
async fn what_cannot_be_read_or_is_of_somebody_else_brings_a_card() {
    let server = demo();
    let penicillin = || allergy("91936005", "Allergy to penicillin");
    let indicators = async |body: &Value| -> Vec<String> {
        let found = cards(&server, SIGN, body).await;
        found.iter().map(|card| card["indicator"].as_str().unwrap().to_owned()).collect()
    };
    // An ingredient within the Medication that the order refers to.
    let order = json!({"resourceType": "MedicationRequest", "id": "m1", "status": "draft", "intent": "order",
        "medicationReference": {"reference": "Medication/1"}});
    let aspirin = json!({"resourceType": "Medication", "id": "1", "code": {"text": "aspirin"},
        "contained": [{"resourceType": "Substance", "id": "s", "code": {"text": "amoxicillin"}}],
        "ingredient": [{"itemReference": {"reference": "#s"}}]});
    let body = sign(&[order, aspirin], &[penicillin()], &[], &[]);
    assert!(indicators(&body).await.contains(&"critical".to_owned()));
    // Warfarin in whatever way it is taken, or called.
    let mut active = taken("w", "Warfarin");
    active["status"] = json!("taking");
    let mut given = taken("w", "Warfarin");
    given["resourceType"] = json!("MedicationAdministration");
    for record in [active, given, found(&[taken("w", "Warfarin")]), taken("m1", "Warfarin")] {
        let body = sign(&[draft("m1", "Ibuprofen")], &[], &[], std::slice::from_ref(&record));
        let cards_of = cards(&server, SIGN, &body).await;
        assert!(cards_of[0]["detail"].as_str().unwrap().contains("interaction: Warfarin"), "{record}");
    }
    // A draft for somebody else is not checked against this record, and somebody else's record not taken for this one.
    let mut strange = draft("m1", "Amoxicillin");
    strange["subject"]["reference"] = json!("Patient/q");
    assert_eq!(indicators(&sign(&[strange], &[penicillin()], &[], &[])).await, ["warning"]);
    let mut body = sign(&[draft("m1", "Paracetamol")], &[], &[], &[]);
    body["prefetch"]["patient"]["id"] = json!("q");
    assert_eq!(indicators(&body).await, ["warning"]);
    // A list with something that is not read is none.
    let observation = json!({"resourceType": "Observation", "id": "o", "status": "final"});
    let body = sign(&[draft("m1", "Amoxicillin")], &[observation], &[], &[]);
    assert_eq!(call(&server, SIGN, &body).await.status(), 412);
    // A selection that is none of the drafts.
    let mut body = sign(&[draft("m1", "Amoxicillin")], &[penicillin()], &[], &[]);
    body["hook"] = json!("order-select");
    body["context"]["selections"] = json!(["#m1"]);
    let found = cards(&server, SELECT, &body).await;
    assert!(found[0]["summary"].as_str().unwrap().contains("#m1"), "{found:?}");
}

/// Of a person who is stored, too: what was sent in part may hold the allergy to what would be suggested.
#[tokio::test]
async fn no_drug_is_suggested_where_something_was_not_looked_at() {
    let server = demo();
    let profile = json!({"profile": {"birth_year": 1950, "sex": "male", "allergies": ["penicillin"],
        "conditions": ["pneumonia", "sinusitis"], "medications": [], "pregnant": false}});
    let put = Client::new().put(server.at("/v1/users/p")).json(&profile);
    assert_eq!(put.send().await.unwrap().status(), 200);
    let penicillin = || allergy("91936005", "Allergy to penicillin");
    let failed =
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]});
    let mut part = found(&[penicillin()]);
    part["link"] = json!([{"relation": "next", "url": "http://127.0.0.1:1/next"}]);
    let mut other = allergy("294460009", "Allergy to levofloxacin");
    other["id"] = json!("b");
    other["patient"]["reference"] = json!("Patient/merged");
    let ask = async |drafts: &[Value], prefetch: Value| -> (Value, bool) {
        let body = json!({"hook": "order-sign", "hookInstance": "x", "prefetch": prefetch,
            "context": {"userId": "Practitioner/7", "patientId": "p", "draftOrders": found(drafts)}});
        let cards = cards(&server, SIGN, &body).await;
        let creates = |action: &Value| action["type"] == "create";
        let suggestions =
            cards.iter().flat_map(|card| card["suggestions"].as_array().cloned().unwrap_or_default());
        let suggests =
            suggestions.flat_map(|one| one["actions"].as_array().unwrap().clone()).any(|one| creates(&one));
        (cards[0]["indicator"].clone(), suggests)
    };
    let amoxicillin = draft("m1", "Amoxicillin");
    let alone = std::slice::from_ref(&amoxicillin);
    for (prefetch, suggests) in [
        (json!({}), true),
        (json!({"allergies": found(&[penicillin()])}), true),
        (json!({"allergies": failed}), false),
        (json!({"statements": failed}), false),
        (json!({"allergies": part}), false),
        (json!({"allergies": found(&[penicillin(), other])}), false),
    ] {
        assert_eq!(ask(alone, prefetch.clone()).await, (json!("critical"), suggests), "{prefetch}");
    }
    let elsewhere = json!({"resourceType": "MedicationRequest", "id": "m2", "status": "draft", "intent": "order",
        "medicationReference": {"reference": "Medication/9"}});
    for beside in [draft("m2", "Zorbatrix"), elsewhere] {
        let told = ask(&[amoxicillin.clone(), beside.clone()], json!({})).await;
        assert_eq!(told, (json!("critical"), false), "{beside}");
    }
}

/// A Medication that somebody names beside words of another drug is ordered, for all that anybody knows.
#[tokio::test]
async fn a_reference_beside_a_concept_is_not_passed_over() {
    let server = demo();
    let penicillin = || allergy("91936005", "Allergy to penicillin");
    let with = |reference: Value| {
        let mut order = draft("m1", "ibuprofen");
        order["medicationReference"] = reference;
        order
    };
    let mut within = with(json!({"reference": "#m", "display": "Amoxicillin 500 mg"}));
    within.as_object_mut().unwrap().remove("medicationCodeableConcept");
    within["contained"] = json!([{"resourceType": "Medication", "id": "m", "code": {"text": "ibuprofen"}}]);
    for (order, indicator) in [
        (with(json!({"display": "Amoxicillin 500"})), "critical"),
        (within, "critical"),
        (with(json!({"reference": "Medication/zz"})), "warning"),
    ] {
        let found =
            cards(&server, SIGN, &sign(std::slice::from_ref(&order), &[penicillin()], &[], &[])).await;
        assert!(found.iter().any(|card| card["indicator"] == indicator), "{order}: {found:?}");
    }
}
