//! What a record does not say, or says that it does not know, black box: nothing of that may look like knowledge, neither a
//! denial with a doubt beside it nor a text that was cut, and what is not known any more is not kept as known.

use serde_json::{Value, json};

use crate::fhir::{get, on_both, patient};
use crate::fhir_servers::{allergy, at, list, take};
use crate::support::Server;

const HOSPITAL: &str = "a.example";

fn statement(of: &str, words: &str) -> Value {
    json!({"resourceType": "MedicationStatement", "id": format!("{of}-m"), "status": "active",
        "subject": {"reference": format!("Patient/{of}")}, "medicationCodeableConcept": {"text": words},
        "effectiveDateTime": "2026-01-01"})
}

fn condition(of: &str, code: Value) -> Value {
    json!({"resourceType": "Condition", "id": format!("{of}-c"), "subject": {"reference": format!("Patient/{of}")},
        "code": code})
}

/// A person of whom this alone is said.
async fn with(server: &Server, id: &str, resource: Value) {
    take(server, &[at(HOSPITAL, patient(id)), at(HOSPITAL, resource)]).await;
}

#[tokio::test]
async fn a_denial_of_medications_counts_where_nothing_beside_it_says_otherwise() {
    let server = Server::start(tempfile::tempdir().unwrap().path(), &[]);
    let denies = [
        "No known medications",
        "no active medications",
        "Denies medications",
        "Not taking any medications",
        "No medications",
    ];
    for (at, words) in denies.into_iter().enumerate() {
        let id = format!("d{at}");
        with(&server, &id, statement(&id, words)).await;
        let taken = list(&server, &id, "medications").await;
        assert_eq!(taken, json!([]), "{words}");
    }
    let beside = [
        json!({"note": [{"text": "except warfarin 5 mg daily from the anticoagulation clinic"}]}),
        json!({"dosage": [{"text": "warfarin 5 mg daily"}]}),
        json!({"reasonCode": [{"text": "stopped warfarin, now apixaban"}]}),
        json!({"status": "unknown"}),
        json!({"status": "on-hold"}),
        json!({"status": "intended"}),
        json!({"effectivePeriod": {"start": "2018-01-01", "end": "2019-01-01"}}),
    ];
    for (at, members) in beside.into_iter().enumerate() {
        let (id, mut denial) = (format!("b{at}"), statement("b", "No medications"));
        denial["subject"] = json!({"reference": format!("Patient/{id}")});
        denial["id"] = json!(id);
        denial.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        with(&server, &id, denial).await;
        assert_ne!(list(&server, &id, "medications").await, json!([]), "{members}");
    }
    // None of that is a drug that others could be recommended.
    for (at, words) in
        ["Unknown", "Not on file", "unknown medication", "No regular medications"].iter().enumerate()
    {
        let id = format!("u{at}");
        with(&server, &id, statement(&id, words)).await;
        assert_ne!(list(&server, &id, "medications").await, json!([]), "{words}");
    }
    let items = get(&server, "/v1/items?kind=drug").await;
    assert_eq!(items["items"], json!([]), "{items}");
}

#[tokio::test]
async fn a_condition_that_nobody_knows_leaves_the_list_unknown() {
    let server = Server::start(tempfile::tempdir().unwrap().path(), &[]);
    let coded = |system: &str, code: &str, display: &str| json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code, "display": display}]});
    let unknown = [
        json!({"text": "Unknown"}),
        json!({"text": "No information available"}),
        json!({"text": "Not on file"}),
        json!({"text": "not asked"}),
        json!({"text": "No information about problems"}),
        coded("data-absent-reason", "unknown", "Unknown"),
        coded("v3-NullFlavor", "NI", "NoInformation"),
    ];
    for (at, code) in unknown.into_iter().enumerate() {
        let id = format!("u{at}");
        with(&server, &id, condition(&id, code.clone())).await;
        assert_eq!(list(&server, &id, "conditions").await, Value::Null, "{code}");
    }
    for (at, (words, known)) in [
        ("No known problems", json!([])),
        ("No problems", json!([])),
        ("No active problems", json!([])),
        ("Unknown fever", json!(["Unknown fever"])),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("k{at}");
        with(&server, &id, condition(&id, json!({"text": words}))).await;
        assert_eq!(list(&server, &id, "conditions").await, known, "{words}");
    }
    let mut named = coded("data-absent-reason", "unknown", "Unknown");
    named["text"] = json!("Asthma");
    with(&server, "named", condition("named", named)).await;
    assert_eq!(list(&server, "named", "conditions").await, json!(["Asthma"]));
}

#[tokio::test]
async fn a_sex_that_is_not_known_any_more_is_not_kept() {
    for (server, _database) in on_both().await {
        let of = |members: Value| {
            let mut person = json!({"resourceType": "Patient", "id": "ann"});
            person.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            person
        };
        let known = async || {
            let profile = get(&server, "/v1/users/ann").await["profile"].clone();
            (profile["sex"].clone(), profile["birth_year"].clone())
        };
        let all = json!({"gender": "male", "birthDate": "1995-02-03"});
        for (host, said, sex, year) in [
            (HOSPITAL, all.clone(), json!("male"), json!(1995)),
            (HOSPITAL, json!({"gender": "unknown"}), Value::Null, json!(1995)),
            (HOSPITAL, all.clone(), json!("male"), json!(1995)),
            // A record that says nothing of it may have come in part, from whatever server.
            (HOSPITAL, json!({}), json!("male"), json!(1995)),
        ] {
            let answer = take(&server, &[at(host, of(said.clone()))]).await.to_string();
            assert_eq!(known().await, (sex, year), "{said}");
            let silent = said == json!({});
            assert_eq!(answer.contains("says no date of birth and gender any more"), silent, "{answer}");
        }
        let plain =
            |said: Value| json!({"resource": of(said), "request": {"method": "PUT", "url": "Patient/ann"}});
        let answer = take(&server, &[plain(json!({}))]).await;
        assert!(answer.to_string().contains("says no date of birth and gender any more"), "{answer}");
        assert_eq!(known().await, (json!("male"), json!(1995)));
        let answer = take(&server, &[plain(json!({"gender": "unknown"}))]).await;
        assert!(answer.to_string().contains("which another source said"), "{answer}");
        assert_eq!(known().await, (json!("male"), json!(1995)));
    }
}

#[tokio::test]
async fn a_text_that_was_cut_is_not_taken_for_the_whole() {
    let server = Server::start(tempfile::tempdir().unwrap().path(), &["--demo"]);
    // The cut would fall at the end of a word.
    let words = "latex, ".repeat(71) + "egg";
    assert_eq!(words.len(), 500);
    let mut entries = vec![at(HOSPITAL, patient("ann"))];
    entries.push(at(HOSPITAL, allergy("a", "Patient/ann", &format!("{words}, penicillin"))));
    entries.push(at(HOSPITAL, statement("ann", "None")));
    take(&server, &entries).await;
    let listed = list(&server, "ann", "allergies").await;
    let text = listed[0].as_str().unwrap();
    assert!(text.chars().count() <= 500 && text.contains("cut"), "{text}");
    let answer = get(&server, "/v1/users/ann/recommendations?kind=drug").await;
    assert_eq!(answer["items"], json!([]), "{answer}");
}
