//! Interactions that FHIR resources made and take back, black box over both databases.

use serde_json::{Value, json};

use crate::fhir::{bundle, get, hospital, on_both, order, patient, send, visit};
use crate::support::Server;

fn dispense() -> Value {
    json!({"resourceType": "MedicationDispense", "id": "d1", "status": "completed", "subject": {"reference": "Patient/ann"},
        "whenHandedOver": "2026-01-06T08:00:00Z", "medicationCodeableConcept": {"text": "warfarin"}})
}

fn vaccine() -> Value {
    json!({"resourceType": "Immunization", "id": "i1", "status": "completed", "patient": {"reference": "Patient/ann"},
        "occurrenceDateTime": "2026-01-07T08:00:00Z", "vaccineCode": {"text": "influenza vaccine"}})
}

fn with(mut resource: Value, member: &str, value: Value) -> Value {
    resource[member] = value;
    resource
}

async fn take(server: &Server, resources: &[Value]) {
    let response = send(server, &bundle("transaction", resources)).await;
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
}

/// The events of a person, each once, in the order of the alphabet.
async fn events(server: &Server, person: &str) -> Vec<String> {
    let page = get(server, &format!("/v1/users/{person}/interactions")).await;
    let all = page["interactions"].as_array().unwrap().iter();
    let mut events: Vec<String> = all.map(|one| one["event"].as_str().unwrap().to_owned()).collect();
    events.sort();
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_entered_in_error_takes_back_what_it_made() {
    for (server, _database) in on_both().await {
        let all = [patient("ann"), hospital(), visit("ann"), order("ann", "active"), dispense(), vaccine()];
        take(&server, &all).await;
        let everything = ["dispense", "immunization", "prescription", "visit"];
        assert_eq!(events(&server, "ann").await, everything);
        take(&server, &all).await;
        assert_eq!(events(&server, "ann").await, everything, "sent again it changes nothing");
        let error = json!("entered-in-error");
        let mut left = everything.to_vec();
        for (wrong, event) in [
            (with(visit("ann"), "status", error.clone()), "visit"),
            (with(dispense(), "status", error.clone()), "dispense"),
            (with(vaccine(), "status", error.clone()), "immunization"),
            (with(order("ann", "active"), "status", error.clone()), "prescription"),
        ] {
            take(&server, &[wrong]).await;
            left.retain(|one| *one != event);
            assert_eq!(events(&server, "ann").await, left, "{event}");
        }
        // What was right after all comes back.
        take(&server, &[visit("ann")]).await;
        assert_eq!(events(&server, "ann").await, ["visit"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_or_moves_leaves_nothing_behind_and_what_others_say_stays() {
    for (server, _database) in on_both().await {
        let twin = with(visit("ann"), "id", json!("another"));
        take(&server, &[patient("ann"), patient("bob"), hospital(), visit("ann"), twin.clone()]).await;
        assert_eq!(events(&server, "ann").await, ["visit"], "two resources say the same");
        let error = json!("entered-in-error");
        take(&server, &[with(visit("ann"), "status", error.clone())]).await;
        assert_eq!(events(&server, "ann").await, ["visit"], "the other says it still");
        take(&server, &[with(twin.clone(), "period", json!({"start": "2026-02-05T07:00:00Z"}))]).await;
        let page = get(&server, "/v1/users/ann/interactions").await;
        assert_eq!(page["interactions"].as_array().unwrap().len(), 1, "{page}");
        assert!(page["interactions"][0]["time"].as_str().unwrap().starts_with("2026-02-05"), "{page}");
        // It was somebody else's.
        take(&server, &[with(twin, "subject", json!({"reference": "Patient/bob"}))]).await;
        assert!(events(&server, "ann").await.is_empty());
        assert_eq!(events(&server, "bob").await, ["visit"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_brings_back_nothing() {
    for (server, _database) in on_both().await {
        let of = |resource: Value, day: u32| {
            with(resource, "meta", json!({"lastUpdated": format!("2026-03-{day:02}T00:00:00Z")}))
        };
        take(&server, &[patient("ann"), hospital(), of(visit("ann"), 1)]).await;
        take(&server, &[of(with(visit("ann"), "status", json!("entered-in-error")), 3)]).await;
        assert!(events(&server, "ann").await.is_empty());
        take(&server, &[of(visit("ann"), 2)]).await;
        assert!(events(&server, "ann").await.is_empty());
        take(&server, &[of(visit("ann"), 4)]).await;
        assert_eq!(events(&server, "ann").await, ["visit"]);
    }
}
