//! Resources of several servers, black box: each counts its own from 1, so that an id alone says neither whose allergy it is
//! nor which drug.

use serde_json::{Value, json};

use crate::fhir::{get, on_both, patient, send};
use crate::support::Server;

/// An entry with an address on a server.
pub(crate) fn at(server: &str, resource: Value) -> Value {
    let name = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({"fullUrl": format!("https://{server}/fhir/{name}"), "resource": resource,
        "request": {"method": "PUT", "url": name}})
}

pub(crate) fn numbered(id: &str, number: &str) -> Value {
    let mut person = patient(id);
    person["identifier"] = json!([{"system": "urn:mrn", "value": number}]);
    person
}

pub(crate) fn allergy(id: &str, of: &str, words: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": of}, "code": {"text": words}})
}

fn bundle(kind: &str, entries: &[Value]) -> Value {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries})
}

pub(crate) async fn take(server: &Server, entries: &[Value]) -> Value {
    let response = send(server, &bundle("transaction", entries)).await;
    let (status, answer) = (response.status(), response.json::<Value>().await.unwrap());
    assert_eq!(status, 200, "{answer}");
    answer
}

pub(crate) async fn refused(server: &Server, entries: &[Value]) -> (u16, String) {
    let response = send(server, &bundle("transaction", entries)).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

pub(crate) async fn list(server: &Server, person: &str, list: &str) -> Value {
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
        // In one Bundle as well, of somebody who is not here before.
        let none = allergy("b9", "Patient/new", "no known allergies");
        let both = [at("a.example", numbered("new", "A2")), at("b.example", none)];
        let (status, words) = refused(&server, &both).await;
        assert!(status == 422 && words.contains("neither in the Bundle nor stored"), "{words}");
        let batch: Value = send(&server, &bundle("batch", &both)).await.json().await.unwrap();
        assert_eq!(batch["entry"][0]["response"]["status"], "201 Created", "{batch}");
        assert_eq!(list(&server, "new", "allergies").await, Value::Null);
        // What is said of the person who is stored is taken beside another server's person, who is refused.
        let said = allergy("y", "https://a.example/fhir/Patient/1", "codeine");
        let both = [at("b.example", numbered("1", "B1")), at("a.example", said)];
        let batch: Value = send(&server, &bundle("batch", &both)).await.json().await.unwrap();
        assert_eq!(batch["entry"][0]["response"]["status"], "409 Conflict", "{batch}");
        assert_eq!(list(&server, "1", "allergies").await, json!(["latex", "codeine"]));
    }
}

#[tokio::test]
async fn what_came_without_a_server_is_not_another_servers() {
    for (server, _database) in on_both().await {
        let plain = |resource: Value| {
            let mut entry = at("x", resource);
            entry.as_object_mut().unwrap().remove("fullUrl");
            entry
        };
        let taken = |words: &str| {
            json!({"resourceType": "MedicationStatement", "id": "1", "status": "active",
                "subject": {"reference": "Patient/ann"}, "medicationCodeableConcept": {"text": words}})
        };
        take(
            &server,
            &[
                plain(numbered("ann", "9")),
                plain(allergy("1", "Patient/ann", "penicillin")),
                plain(taken("warfarin")),
            ],
        )
        .await;
        for _ in 0..2 {
            let entries = [
                at("b.example", numbered("ann", "9")),
                at("b.example", allergy("1", "Patient/ann", "no known allergies")),
                at("b.example", taken("No current medications")),
            ];
            take(&server, &entries).await;
            assert_eq!(list(&server, "ann", "allergies").await, json!(["penicillin"]));
            assert_eq!(list(&server, "ann", "medications").await, json!(["warfarin"]));
        }
        // A denial that was wrong goes, by whatever way that is said.
        take(
            &server,
            &[
                at("a.example", patient("bob")),
                at("a.example", allergy("ch", "Patient/bob", "no known allergies")),
            ],
        )
        .await;
        assert_eq!(list(&server, "bob", "allergies").await, json!([]));
        let mut wrong = allergy("ch", "Patient/bob", "no known allergies");
        wrong["verificationStatus"] = json!({"coding": [{"code": "entered-in-error"}]});
        take(&server, &[plain(wrong)]).await;
        assert_eq!(list(&server, "bob", "allergies").await, Value::Null);
    }
}

#[tokio::test]
async fn a_number_that_was_corrected_or_whose_people_are_gone_finds_nobody() {
    for (server, _database) in on_both().await {
        let created = |number: &str, year: &str| {
            let mut person = numbered("x", number);
            person.as_object_mut().unwrap().remove("id");
            person["birthDate"] = json!(format!("{year}-01-01"));
            [
                json!({"fullUrl": "urn:uuid:1", "resource": person,
                    "request": {"method": "POST", "url": "Patient", "ifNoneExist": format!("identifier=urn:mrn|{number}")}}),
                json!({"fullUrl": "urn:uuid:2", "resource": allergy("z", "urn:uuid:1", "sulfa"),
                    "request": {"method": "POST", "url": "AllergyIntolerance"}}),
            ]
        };
        for person in [numbered("w1", "500"), numbered("w1", "501")] {
            take(&server, &[at("a.example", person)]).await;
        }
        let (status, words) = refused(&server, &created("500", "1954")).await;
        assert!(status == 412, "{words}");
        let said = at("b.example", allergy("y", "Patient?identifier=urn:mrn|500", "codeine"));
        assert_eq!(refused(&server, &[said]).await.0, 422);
        assert_eq!(list(&server, "w1", "allergies").await, Value::Null);
        take(&server, &created("501", "1954")).await;
        assert_eq!(list(&server, "w1", "allergies").await, json!(["sulfa"]));
        // It was right after all.
        take(&server, &[at("a.example", numbered("w1", "500"))]).await;
        take(&server, &created("500", "1954")).await;
        // Of two people who had one number nothing stays once they are erased.
        for id in ["e1", "e2"] {
            take(&server, &[at("a.example", numbered(id, "F1"))]).await;
        }
        let erase = async |id: &str| {
            let answer = reqwest::Client::new().delete(server.at(&format!("/v1/users/{id}"))).send().await;
            assert_eq!(answer.unwrap().status(), 204);
        };
        assert_eq!(refused(&server, &created("F1", "1954")).await.0, 412);
        erase("e1").await;
        take(&server, &created("F1", "1954")).await;
        assert_eq!(list(&server, "e2", "allergies").await, json!(["sulfa"]));
        erase("e2").await;
        take(&server, &created("F1", "1999")).await;
        assert_eq!(list(&server, "urn%3Amrn%7CF1", "allergies").await, json!(["sulfa"]));
    }
}

#[tokio::test]
async fn a_server_that_has_the_record_as_well_is_remembered_whatever_its_version() {
    for (server, _database) in on_both().await {
        let of = |host: &str, month: u32| {
            let mut person = numbered("44", "44");
            person["meta"] = json!({"lastUpdated": format!("2026-{month:02}-01T00:00:00Z")});
            at(host, person)
        };
        take(&server, &[of("a.example", 5)]).await;
        take(&server, &[of("b.example", 1)]).await;
        take(&server, &[at("b.example", allergy("1", "Patient/44", "latex"))]).await;
        assert_eq!(list(&server, "44", "allergies").await, json!(["latex"]));
    }
}

#[tokio::test]
async fn a_visit_is_not_with_the_doctor_of_another_server() {
    for (server, _database) in on_both().await {
        let doctor = json!({"resourceType": "Practitioner", "id": "1", "name": [{"family": "Kim"}]});
        let hospital = json!({"resourceType": "Organization", "id": "1", "name": "Harbour Hospital"});
        take(&server, &[at("a.example", doctor.clone()), at("a.example", hospital)]).await;
        let visit = |id: &str| {
            json!({"resourceType": "Encounter", "id": id, "status": "finished", "subject": {"reference": "Patient/q"},
                "period": {"start": "2025-05-01T09:00:00Z"}, "participant": [{"individual": {"reference": "Practitioner/1"}}],
                "serviceProvider": {"reference": "https://b.example/fhir/Organization/1"}})
        };
        let answer = take(&server, &[at("b.example", patient("q")), at("b.example", visit("5"))]).await;
        assert!(answer.to_string().contains("another server than what is stored"), "{answer}");
        let visits = get(&server, "/v1/users/q/interactions").await;
        assert_eq!(visits["interactions"], json!([]));
        // A Bundle that has one server's doctor names no other's by the id.
        take(&server, &[at("a.example", doctor), at("b.example", visit("6"))]).await;
        let visits = get(&server, "/v1/users/q/interactions").await;
        assert_eq!(visits["interactions"], json!([]));
    }
}

#[tokio::test]
async fn a_medication_that_comes_later_or_again_is_what_its_orders_are() {
    for (server, _database) in on_both().await {
        let medication = |id: &str, words: &str, month: u32| {
            at(
                "a.example",
                json!({"resourceType": "Medication", "id": id, "code": {"text": words},
                    "meta": {"lastUpdated": format!("2026-{month:02}-01T00:00:00Z")}}),
            )
        };
        let order = |id: &str, of: &str, status: &str| {
            at(
                "a.example",
                json!({"resourceType": "MedicationRequest", "id": id, "status": status, "intent": "order",
                    "subject": {"reference": "Patient/ann"}, "medicationReference": {"reference": format!("Medication/{of}")}}),
            )
        };
        let taken = async || list(&server, "ann", "medications").await;
        take(
            &server,
            &[at("a.example", patient("ann")), medication("m1", "vitamin d", 2), order("r1", "m1", "active")],
        )
        .await;
        take(&server, &[order("r2", "m2", "active")]).await;
        assert!(taken().await[1].as_str().unwrap().contains("without a name"));
        take(&server, &[medication("m2", "aspirin", 2)]).await;
        assert_eq!(taken().await, json!(["vitamin d", "aspirin"]));
        take(&server, &[medication("m1", "warfarin", 3)]).await;
        assert_eq!(taken().await, json!(["aspirin", "warfarin"]));
        // An older version changes nothing.
        take(&server, &[medication("m1", "vitamin c", 1)]).await;
        take(&server, &[order("r3", "m1", "active")]).await;
        assert_eq!(taken().await, json!(["aspirin", "warfarin"]));
        // Another server's is another one.
        let other = json!({"resourceType": "Medication", "id": "m1", "code": {"text": "zinc"}});
        take(&server, &[at("b.example", other)]).await;
        assert_eq!(taken().await, json!(["aspirin", "warfarin"]));
        // What is an order of another now, or stopped, stays so.
        take(&server, &[order("r1", "m2", "active"), order("r3", "m1", "stopped")]).await;
        take(&server, &[medication("m1", "zinc", 4)]).await;
        assert_eq!(taken().await, json!(["aspirin"]));
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
        // Of somebody who is here nothing is overwritten by a create that was to happen only otherwise; of somebody else it is
        // refused, whose number it was before.
        let mut other = patient("x1");
        other["birthDate"] = json!("1911-01-01");
        let before = get(&server, "/v1/users/urn%3Ak%7C1").await;
        let entries = [
            post("p", other.clone(), Some("identifier=urn:k|1")),
            post("a", allergy("allergy", "urn:uuid:p", "codeine"), None),
        ];
        let (status, words) = refused(&server, &entries).await;
        assert!(status == 412 && words.contains("year of birth"), "{words}");
        let batch: Value = send(&server, &bundle("batch", &entries)).await.json().await.unwrap();
        for entry in batch["entry"].as_array().unwrap() {
            assert_eq!(entry["response"]["status"], "412 Precondition Failed", "{batch}");
        }
        (other["birthDate"], other["address"]) = (json!("1954-12-31"), json!([{"city": "X"}]));
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
