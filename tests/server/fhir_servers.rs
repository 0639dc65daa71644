//! Resources of several servers, black box: each counts its own from 1, so that an id alone says neither whose allergy it is
//! nor which drug.

use serde_json::{Value, json};

use crate::fhir::{get, on_both, patient, send};
use crate::support::Server;

/// An entry with an address on a server.
fn at(server: &str, resource: Value) -> Value {
    let name = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({"fullUrl": format!("https://{server}/fhir/{name}"), "resource": resource,
        "request": {"method": "PUT", "url": name}})
}

fn numbered(id: &str, number: &str) -> Value {
    let mut person = patient(id);
    person["identifier"] = json!([{"system": "urn:mrn", "value": number}]);
    person
}

fn allergy(id: &str, of: &str, words: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": of}, "code": {"text": words}})
}

fn bundle(kind: &str, entries: &[Value]) -> Value {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries})
}

async fn take(server: &Server, entries: &[Value]) -> Value {
    let response = send(server, &bundle("transaction", entries)).await;
    let (status, answer) = (response.status(), response.json::<Value>().await.unwrap());
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn refused(server: &Server, entries: &[Value]) -> (u16, String) {
    let response = send(server, &bundle("transaction", entries)).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn list(server: &Server, person: &str, list: &str) -> Value {
    get(server, &format!("/v1/users/{person}")).await["profile"][list].clone()
}

#[tokio::test]
async fn a_resource_of_another_server_takes_nothing_from_anybody() {
    for (server, _database) in on_both().await {
        let visit = |host: &str, person: &str, doctor: &str| {
            let visit = json!({"resourceType": "Encounter", "id": "1", "status": "finished",
                "subject": {"reference": format!("Patient/{person}")}, "period": {"start": "2025-05-01T09:00:00Z"},
                "participant": [{"individual": {"reference": format!("Practitioner/{doctor}")}}]});
            at(host, visit)
        };
        let doctor = |host: &str, id: &str| {
            at(host, json!({"resourceType": "Practitioner", "id": id, "name": [{"family": "Kim"}]}))
        };
        let of = |host: &str, person: &str, words: &str, doctor_id: &str| {
            vec![
                at(host, patient(person)),
                at(host, allergy("1", &format!("Patient/{person}"), words)),
                doctor(host, doctor_id),
                visit(host, person, doctor_id),
            ]
        };
        take(&server, &of("a.example", "ann", "penicillin", "7")).await;
        take(&server, &of("b.example", "bob", "peanut", "8")).await;
        for (person, words) in [("ann", "penicillin"), ("bob", "peanut")] {
            assert_eq!(list(&server, person, "allergies").await, json!([words]));
            let visits = get(&server, &format!("/v1/users/{person}/interactions")).await;
            assert_eq!(visits["interactions"].as_array().unwrap().len(), 1, "{visits}");
        }
        // The server's own word on its own resource still counts, by whatever way its address is written.
        let mut refuted = allergy("1", "https://A.example:443/fhir/Patient/ann/_history/3", "penicillin");
        refuted["verificationStatus"] = json!({"coding": [{"code": "refuted"}]});
        take(&server, &[at("A.example:443", refuted)]).await;
        assert_eq!(list(&server, "ann", "allergies").await, Value::Null);
        assert_eq!(list(&server, "bob", "allergies").await, json!(["peanut"]));
        // A doctor of one server does not become one of another.
        let (status, words) = refused(&server, &[doctor("b.example", "7")]).await;
        assert!(status == 409 && words.contains("another server"), "{words}");
    }
}

#[tokio::test]
async fn a_medication_is_that_of_the_server_of_its_order() {
    for (server, _database) in on_both().await {
        let medication = |host: &str, words: &str| {
            at(host, json!({"resourceType": "Medication", "id": "1", "code": {"text": words}}))
        };
        let order = |host: &str, person: &str| {
            at(
                host,
                json!({"resourceType": "MedicationRequest", "id": "r1", "status": "active", "intent": "order",
                    "subject": {"reference": format!("Patient/{person}")},
                    "medicationReference": {"reference": "Medication/1"}}),
            )
        };
        take(&server, &[at("a.example", patient("ann")), medication("a.example", "warfarin")]).await;
        take(&server, &[at("b.example", patient("bob")), medication("b.example", "paracetamol")]).await;
        take(&server, &[order("a.example", "ann")]).await;
        take(&server, &[order("b.example", "bob")]).await;
        assert_eq!(list(&server, "ann", "medications").await, json!(["warfarin"]));
        assert_eq!(list(&server, "bob", "medications").await, json!(["paracetamol"]));
    }
}

#[tokio::test]
async fn a_relative_reference_is_to_the_resources_own_server() {
    for (server, _database) in on_both().await {
        take(
            &server,
            &[at("a.example", numbered("1", "A1")), at("a.example", allergy("x", "Patient/1", "latex"))],
        )
        .await;
        let none = json!({"resourceType": "AllergyIntolerance", "id": "b9", "patient": {"reference": "Patient/1"},
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "716186003", "display": "No known allergy"}]}});
        let (status, words) = refused(&server, &[at("b.example", none)]).await;
        assert!(status == 409 && words.contains("another server"), "{words}");
        assert_eq!(list(&server, "1", "allergies").await, json!(["latex"]));
    }
}

#[tokio::test]
async fn what_is_added_has_no_id_that_another_could_have() {
    for (server, _database) in on_both().await {
        let post = |uuid: &str, resource: Value, condition: Option<&str>| {
            let mut entry = json!({"fullUrl": format!("urn:uuid:{uuid}"), "request": {"method": "POST", "url": resource["resourceType"]},
                "resource": resource});
            if let Some(search) = condition {
                entry["request"]["ifNoneExist"] = json!(search);
            }
            entry
        };
        // An interface that gives everything the same id each time.
        for (number, words) in [("1", "penicillin"), ("2", "latex")] {
            let person = post("p", patient("patient"), Some(&format!("identifier=urn:k|{number}")));
            take(&server, &[person, post("a", allergy("allergy", "urn:uuid:p", words), None)]).await;
        }
        assert_eq!(list(&server, "urn%3Ak%7C1", "allergies").await, json!(["penicillin"]));
        assert_eq!(list(&server, "urn%3Ak%7C2", "allergies").await, json!(["latex"]));
        // Of somebody who is here nothing is overwritten by a create that was to happen only otherwise.
        let mut other = patient("x1");
        (other["gender"], other["birthDate"]) = (json!("male"), json!("1911-01-01"));
        let before = get(&server, "/v1/users/urn%3Ak%7C1").await;
        let answer = take(&server, &[post("p", other, Some("identifier=urn:k|1"))]).await;
        let said = &answer["entry"][0]["response"];
        assert_eq!(
            (&said["status"], &said["location"]),
            (&json!("200 OK"), &json!("Patient/urn:k|1")),
            "{said}"
        );
        assert_eq!(get(&server, "/v1/users/urn%3Ak%7C1").await["profile"], before["profile"]);
    }
}

#[tokio::test]
async fn a_refused_record_takes_nothing_from_the_one_whom_it_was_of() {
    for (server, _database) in on_both().await {
        let put = |resource: Value| {
            let mut entry = at("a.example", resource);
            entry.as_object_mut().unwrap().remove("fullUrl");
            entry
        };
        take(&server, &[put(patient("ann")), put(allergy("z", "Patient/ann", "penicillin"))]).await;
        // The list of whom it moves to would be too long.
        let mut entries = vec![put(patient("bob")), put(allergy("z", "Patient/bob", "penicillin"))];
        entries.extend((0..1001).map(|number| {
            put(json!({"resourceType": "Condition", "id": format!("c{number}"), "subject": {"reference": "Patient/bob"},
                "code": {"text": format!("disease {number}")}}))
        }));
        let answer: Value = send(&server, &bundle("batch", &entries)).await.json().await.unwrap();
        assert_eq!(answer["entry"][1]["response"]["status"], "422 Unprocessable Entity");
        assert_eq!(list(&server, "ann", "allergies").await, json!(["penicillin"]));
    }
}

#[tokio::test]
async fn a_shared_number_does_not_hide_a_record_of_its_own() {
    for (server, _database) in on_both().await {
        let twin = |uuid: &str, number: &str, words: &str| {
            let mut person = patient("x");
            person.as_object_mut().unwrap().remove("id");
            person["identifier"] =
                json!([{"system": "urn:insurance", "value": "F77"}, {"system": "urn:mrn", "value": number}]);
            let person = json!({"fullUrl": format!("urn:uuid:{uuid}"), "resource": person,
                "request": {"method": "POST", "url": "Patient"}});
            let allergy = json!({"fullUrl": format!("urn:uuid:{uuid}a"), "resource": allergy("x", &format!("urn:uuid:{uuid}"), words),
                "request": {"method": "POST", "url": "AllergyIntolerance"}});
            [person, allergy]
        };
        take(&server, &twin("1", "T1", "penicillin")).await;
        let (status, words) = refused(&server, &twin("2", "T2", "latex")).await;
        assert!(status == 409 && words.contains("MR"), "{words}");
        assert_eq!(list(&server, "urn%3Ainsurance%7CF77", "allergies").await, json!(["penicillin"]));
        // The number of the medical record tells them apart, wherever it stands.
        for (uuid, number) in [("3", "T3"), ("4", "T4")] {
            let mut entries = twin(uuid, number, "latex");
            entries[0]["resource"]["identifier"][1]["type"] = json!({"coding": [{"code": "MR"}]});
            take(&server, &entries).await;
            assert_eq!(list(&server, &format!("urn%3Amrn%7C{number}"), "allergies").await, json!(["latex"]));
        }
        // A common number does not make people of two servers one who differ.
        let of = |host: &str, year: &str| {
            let mut person = numbered("q", "999-99-9999");
            person["birthDate"] = json!(year);
            at(host, person)
        };
        take(&server, &[of("a.example", "1950-01-01")]).await;
        let (status, words) = refused(&server, &[of("b.example", "1999-01-01")]).await;
        assert!(status == 409 && words.contains("year of birth"), "{words}");
        take(&server, &[of("b.example", "1950-01-01")]).await;
    }
}
