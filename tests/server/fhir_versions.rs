//! Versions of one resource, black box: the newest counts whatever comes after it, of a medicine, of a number, of a denial and of
//! a place alike, and what the server of another says is no version of it.

use serde_json::{Value, json};

use crate::fhir::{get, on_both, patient, send};
use crate::fhir_servers::{allergy, at, list, numbered, refused, take};
use crate::support::Server;

const HOSPITAL: &str = "a.example";

/// A resource as its server had it on the first of a month of 2026.
fn of_month(month: u32, mut resource: Value) -> Value {
    resource["meta"] =
        json!({"lastUpdated": format!("2026-{month:02}-01T00:00:00Z"), "versionId": month.to_string()});
    resource
}

/// The same without an address.
fn without_server(resource: Value) -> Value {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({"resource": resource, "request": {"method": "PUT", "url": url}})
}

fn medication(id: &str, words: &str) -> Value {
    json!({"resourceType": "Medication", "id": id, "code": {"text": words}})
}

fn order(id: &str, medication: &str) -> Value {
    json!({"resourceType": "MedicationRequest", "id": id, "status": "active", "intent": "order",
        "subject": {"reference": "Patient/ann"}, "medicationReference": {"reference": format!("Medication/{medication}")}})
}

fn in_error(mut resource: Value) -> Value {
    resource["verificationStatus"] = json!({"coding": [{"code": "entered-in-error"}]});
    resource
}

/// What is said of the entries of an answer.
fn said(answer: &Value) -> String {
    answer["entry"].as_array().unwrap().iter().map(|entry| entry["response"]["outcome"].to_string()).collect()
}

#[tokio::test]
async fn an_order_is_of_what_the_newest_version_of_its_medication_says() {
    for (server, _database) in on_both().await {
        let first = [
            at(HOSPITAL, patient("ann")),
            at(HOSPITAL, of_month(1, order("r1", "m1"))),
            at(HOSPITAL, of_month(1, medication("m1", "paracetamol"))),
        ];
        take(&server, &first).await;
        take(&server, &[at(HOSPITAL, of_month(2, medication("m1", "warfarin")))]).await;
        assert_eq!(list(&server, "ann", "medications").await, json!(["warfarin"]));
        // Sent again, and with a new order of the old version.
        take(&server, &first).await;
        assert_eq!(list(&server, "ann", "medications").await, json!(["warfarin"]));
        let late =
            [at(HOSPITAL, order("r2", "m1")), at(HOSPITAL, of_month(1, medication("m1", "paracetamol")))];
        take(&server, &late).await;
        assert_eq!(list(&server, "ann", "medications").await, json!(["warfarin"]));
        // However long the narrative is.
        let mut long = of_month(3, medication("m1", "aspirin"));
        long["text"] = json!({"status": "generated", "div": format!("<div>{}</div>", "x".repeat(200_000))});
        let answer = take(&server, &[at(HOSPITAL, long)]).await;
        assert!(said(&answer).contains("of 1 people"), "{answer}");
        assert_eq!(list(&server, "ann", "medications").await, json!(["aspirin"]));
        let mut huge = medication("m1", "aspirin");
        huge["code"]["coding"] = json!([{"display": "x".repeat(200_000)}]);
        let (status, words) = refused(&server, &[at(HOSPITAL, huge)]).await;
        assert!(status == 422 && words.contains("bytes"), "{words}");
        // What somebody took out by hand does not come back by another name.
        let mut profile = get(&server, "/v1/users/ann").await["profile"].clone();
        profile["medications"] = json!([]);
        let put = reqwest::Client::new().put(server.at("/v1/users/ann")).json(&json!({"profile": profile}));
        assert_eq!(put.send().await.unwrap().status(), 200);
        take(&server, &[at(HOSPITAL, of_month(4, medication("m1", "ibuprofen")))]).await;
        assert_eq!(list(&server, "ann", "medications").await, json!([]));
    }
}

#[tokio::test]
async fn a_number_that_was_corrected_away_does_not_come_back_by_an_older_version() {
    for (server, _database) in on_both().await {
        let by = async |number: &str| {
            let said = allergy("x", &format!("Patient?identifier=urn:mrn|{number}"), "NKDA");
            refused(&server, &[at(HOSPITAL, said)]).await
        };
        let (old, new) = (of_month(1, numbered("p1", "W-77")), of_month(2, numbered("p1", "R-78")));
        take(&server, &[at(HOSPITAL, old.clone())]).await;
        take(&server, &[at(HOSPITAL, new)]).await;
        for turn in 0..2 {
            let (status, words) = by("W-77").await;
            assert!(status == 422 && words.contains("a person had, and has no more"), "{turn} {words}");
            take(&server, &[at(HOSPITAL, old.clone())]).await;
        }
        // The newest came first; of a server that alone has the record it says all numbers.
        let mut none = of_month(2, patient("p2"));
        none["identifier"] = json!([{"system": "urn:other", "value": "7"}]);
        take(&server, &[at(HOSPITAL, none)]).await;
        take(&server, &[at(HOSPITAL, of_month(1, numbered("p2", "W-81")))]).await;
        assert_eq!(by("W-81").await.0, 422);
        // Nor does whoever is to be added by it become that person.
        let mut added = numbered("x", "W-77");
        added.as_object_mut().unwrap().remove("id");
        let added = json!({"fullUrl": "urn:uuid:1", "resource": added, "request": {"method": "POST", "url": "Patient",
            "ifNoneExist": "identifier=urn:mrn|W-77"}});
        assert_eq!(refused(&server, &[added]).await.0, 412);
        assert_eq!(by("R-78").await.0, 200, "the newest still finds the person");
        assert_eq!(list(&server, "p1", "allergies").await, json!([]));
    }
}

#[tokio::test]
async fn a_denial_does_not_come_back_the_other_way() {
    for (server, _database) in on_both().await {
        let denial = |month: u32| of_month(month, allergy("d1", "Patient/ann", "No known allergies"));
        take(&server, &[at(HOSPITAL, patient("ann")), at(HOSPITAL, denial(1))]).await;
        assert_eq!(list(&server, "ann", "allergies").await, json!([]));
        take(&server, &[at(HOSPITAL, in_error(denial(3)))]).await;
        for (old, list_now) in [(denial(1), Value::Null), (denial(4), json!([]))] {
            take(&server, &[without_server(old)]).await;
            assert_eq!(list(&server, "ann", "allergies").await, list_now);
        }
        // It was somebody else's, as the other way says later.
        take(&server, &[at(HOSPITAL, patient("bob")), at(HOSPITAL, allergy("d1", "Patient/bob", "NKDA"))])
            .await;
        assert_eq!(list(&server, "ann", "allergies").await, Value::Null);
        assert_eq!(list(&server, "bob", "allergies").await, json!([]));
        // Of an allergy that came another way nothing is taken back, and that is said.
        take(&server, &[at(HOSPITAL, allergy("a1", "Patient/ann", "latex"))]).await;
        let answer = take(&server, &[without_server(in_error(allergy("a1", "Patient/ann", "latex")))]).await;
        assert!(said(&answer).contains("what came under this id another way"), "{answer}");
        assert_eq!(list(&server, "ann", "allergies").await, json!(["latex"]));
        let answer = take(&server, &[at(HOSPITAL, in_error(allergy("a9", "Patient/ann", "latex")))]).await;
        assert!(said(&answer).contains("nothing is known here that it said"), "{answer}");
    }
}

#[tokio::test]
async fn a_relative_reference_is_not_to_an_entry_that_says_no_server() {
    for (server, _database) in on_both().await {
        take(
            &server,
            &[at(HOSPITAL, patient("m1")), at(HOSPITAL, allergy("a1", "Patient/m1", "penicillin"))],
        )
        .await;
        for of in ["Patient/m1", "https://b.example/fhir/Patient/m1"] {
            let denial = at("b.example", allergy("b1", of, "NKDA"));
            let (status, words) = refused(&server, &[without_server(patient("m1")), denial]).await;
            assert!(status == 409 && words.contains("another server"), "{of} {words}");
        }
        assert_eq!(list(&server, "m1", "allergies").await, json!(["penicillin"]));
        // Of somebody who is new nobody can say so, and a name within the Bundle names its entry.
        let new = [without_server(patient("m2")), at("b.example", allergy("b2", "Patient/m2", "latex"))];
        take(&server, &new).await;
        assert_eq!(list(&server, "m2", "allergies").await, json!(["latex"]));
    }
}

#[tokio::test]
async fn versions_of_places_are_compared_and_of_people_by_their_servers() {
    for (server, _database) in on_both().await {
        let hospital = |month: u32, name: &str| {
            of_month(month, json!({"resourceType": "Organization", "id": "h1", "name": name}))
        };
        for (month, name) in [(2, "New Hospital"), (1, "Old Hospital")] {
            let answer = take(&server, &[at(HOSPITAL, hospital(month, name))]).await;
            assert_eq!(said(&answer).contains("an older version"), month == 1, "{answer}");
        }
        assert_eq!(get(&server, "/v1/items/Organization%2Fh1").await["name"], "New Hospital");
        let born = |month: u32, year: &str| {
            let mut person = of_month(month, numbered("p1", "S1"));
            person["birthDate"] = json!(year);
            person
        };
        take(&server, &[at(HOSPITAL, born(3, "1950"))]).await;
        let answer = take(&server, &[at("b.example", born(1, "1950"))]).await;
        assert!(!said(&answer).contains("an older version"), "another server's resource: {answer}");
        let answer = take(&server, &[at(HOSPITAL, born(2, "1951"))]).await;
        assert!(said(&answer).contains("an older version"), "{answer}");
        assert_eq!(get(&server, "/v1/users/p1").await["profile"]["birth_year"], 1950);
    }
}

#[tokio::test]
async fn a_refusal_is_said_once() {
    let server = Server::start(tempfile::tempdir().unwrap().path(), &[]);
    take(&server, &[at(HOSPITAL, numbered("5", "A5"))]).await;
    let other =
        json!({"resourceType": "Bundle", "type": "batch", "entry": [at("b.example", numbered("5", "B5"))]});
    let answer: Value = send(&server, &other).await.json().await.unwrap();
    let issues = answer["entry"][0]["response"]["outcome"]["issue"].as_array().unwrap();
    assert_eq!(issues.len(), 1, "{answer}");
}
