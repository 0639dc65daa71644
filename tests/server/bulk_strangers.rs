//! An export of a hospital whose numbers others have here as well, black box: nothing of theirs is changed or erased, and
//! nothing of its own people is lost.

use serde_json::{Value, json};

use crate::bulk::{KEY, ask, hospital, private_key, start};
use crate::bulk_deletions::{deletions, make_due};
use crate::support::logged;

fn person(id: &str, number: &str, more: Value) -> Value {
    let mut person =
        json!({"resourceType": "Patient", "id": id, "identifier": [{"system": "urn:mrn", "value": number}]});
    person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    person
}

fn allergy(id: &str, person: &str, words: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": format!("Patient/{person}")},
        "code": {"text": words}})
}

fn lines(resources: &[Value]) -> String {
    resources.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_another_hospital_are_neither_changed_nor_erased() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let (jwk, public) = private_key();
    let key = folder.path().join("key.json");
    std::fs::write(&key, jwk.to_string()).unwrap();
    let hospital = hospital(public, &[]);
    *hospital.0.files.lock().unwrap() = Vec::new();
    let base = hospital.open().await;
    // Another hospital's people are here.
    let server = start(&base, key.to_str().unwrap(), Some(&database), &[]);
    logged(&server, "an export was taken in").await;
    let entry = |resource: Value| {
        let name =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"fullUrl": format!("https://a.example/fhir/{name}"), "resource": resource, "request": {"method": "PUT", "url": name}})
    };
    let stored = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        entry(person("1", "A1", json!({"birthDate": "1950-01-01"}))), entry(allergy("1", "1", "penicillin")),
        entry(person("3", "A3", json!({}))), entry(allergy("3", "3", "latex")),
    ]});
    let sent = reqwest::Client::new()
        .post(server.at("/fhir/R4"))
        .bearer_auth(KEY)
        .json(&stored)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200);
    server.terminate();
    // The hospital counts from 1 as well; its own person 7 was given another number meanwhile.
    let exports: [(&[Value], &[Value]); 3] = [
        (
            &[person("1", "B1", json!({"birthDate": "1999-01-01"})), person("7", "B7", json!({}))],
            &[allergy("1", "7", "peanut")],
        ),
        (&[], &[allergy("2", "1", "sulfa")]),
        (&[person("7", "B77", json!({}))], &[allergy("3", "7", "codeine")]),
    ];
    for (turn, (people, allergies)) in exports.into_iter().enumerate() {
        *hospital.0.files.lock().unwrap() =
            vec![("Patient", lines(people)), ("AllergyIntolerance", lines(allergies))];
        *hospital.0.deleted.lock().unwrap() =
            vec![deletions(&["Patient/1", "Patient/3", "AllergyIntolerance/3"])];
        make_due(&database).await;
        let server = start(&base, key.to_str().unwrap(), Some(&database), &[]);
        logged(&server, "an export was taken in").await;
        if turn < 2 {
            logged(&server, "resources of people whose ids people of other servers have").await;
        }
        for (id, words) in [("1", json!(["penicillin"])), ("3", json!(["latex"]))] {
            let (status, user) = ask(&server, &format!("/v1/users/{id}")).await;
            assert_eq!((status, &user["profile"]["allergies"]), (200, &words), "turn {turn}, {id}: {user}");
        }
        let own = &ask(&server, "/v1/users/7").await.1["profile"]["allergies"];
        let expected = if turn < 2 { json!(["peanut"]) } else { json!(["peanut", "codeine"]) };
        assert_eq!(own, &expected, "turn {turn}");
        server.terminate();
    }
    // What could not be taken in is asked for again.
    let since: Vec<Option<String>> =
        hospital.asked("/export").iter().map(|(_, query)| query.get("_since").cloned()).collect();
    assert_eq!(since[1], since[2], "{since:?}");
}
