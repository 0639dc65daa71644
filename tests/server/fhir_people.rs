//! Who is meant by a record, black box: two people must not become one, nor one person two, whatever an interface sends again
//! and whatever number two hospitals give.

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::fhir::{get, on_both, patient, send};
use crate::support::Server;

fn bundle(kind: &str, entries: &[Value]) -> Value {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries})
}

fn put(resource: Value) -> Value {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({"resource": resource, "request": {"method": "PUT", "url": url}})
}

/// A person who has these numbers of the system `u`.
fn numbered(id: &str, numbers: &[&str]) -> Value {
    let mut person = patient(id);
    person["identifier"] = numbers.iter().map(|number| json!({"system": "u", "value": number})).collect();
    person
}

/// The same without an id, to be added.
fn added(uuid: &str, mut person: Value, condition: Option<&str>) -> Value {
    person.as_object_mut().unwrap().remove("id");
    let mut entry = json!({"fullUrl": format!("urn:uuid:{uuid}"), "resource": person, "request": {"method": "POST", "url": "Patient"}});
    if let Some(search) = condition {
        entry["request"]["ifNoneExist"] = json!(search);
    }
    entry
}

fn allergy(id: &str, of: &str, words: &str) -> Value {
    put(
        json!({"resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": of}, "code": {"text": words}}),
    )
}

async fn take(server: &Server, entries: &[Value]) -> Value {
    let response = send(server, &bundle("transaction", entries)).await;
    let (status, answer) = (response.status(), response.json::<Value>().await.unwrap());
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The status of an outcome, and what it says.
async fn refused(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let outcome: Value = response.json().await.unwrap();
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    (status, outcome["issue"][0]["details"]["text"].as_str().unwrap().to_owned())
}

async fn allergies(server: &Server, person: &str) -> Value {
    get(server, &format!("/v1/users/{person}")).await["profile"]["allergies"].clone()
}

async fn is_stored(server: &Server, person: &str) -> bool {
    let answer = Client::new().get(server.at(&format!("/v1/users/{person}"))).send().await.unwrap();
    answer.status() == StatusCode::OK
}

#[tokio::test]
async fn a_conditional_create_that_comes_again_with_its_identifier_is_the_same_person() {
    for (server, _database) in on_both().await {
        take(&server, &[put(numbered("ann", &["7", "7"]))]).await;
        for (round, words) in ["latex", "penicillin", "codeine"].into_iter().enumerate() {
            let created = added("1", numbered("x", &["7"]), Some("identifier=u|7"));
            let answer = take(&server, &[created, allergy(&format!("a{round}"), "urn:uuid:1", words)]).await;
            assert_eq!(answer["entry"][0]["response"]["location"], "Patient/ann", "{answer}");
        }
        take(&server, &[allergy("a3", "Patient?identifier=u|7", "sulfa")]).await;
        assert_eq!(allergies(&server, "ann").await, json!(["latex", "penicillin", "codeine", "sulfa"]));
        assert!(!is_stored(&server, "u%7C7").await);
        // Of two people who have it nobody is created, and nothing is said of either.
        take(&server, &[put(numbered("bob", &["7"]))]).await;
        let created = added("1", patient("x"), Some("identifier=u|7"));
        let entries = [created, allergy("a4", "urn:uuid:1", "aspirin")];
        let (status, words) = refused(send(&server, &bundle("transaction", &entries)).await).await;
        assert!(status == 412 && words.contains("several people"), "{words}");
        let batch: Value = send(&server, &bundle("batch", &entries)).await.json().await.unwrap();
        assert_eq!(batch["entry"][0]["response"]["status"], "412 Precondition Failed", "{batch}");
        assert_eq!(batch["entry"][1]["response"]["status"], "422 Unprocessable Entity", "{batch}");
        assert!(!is_stored(&server, "u%7C7").await);
    }
}

#[tokio::test]
async fn a_number_that_two_people_have_does_not_make_them_one() {
    for (server, _database) in on_both().await {
        let (man, woman) = (
            json!({"resourceType": "Patient", "gender": "male", "birthDate": "1970-01-01"}),
            json!({"resourceType": "Patient", "gender": "female", "birthDate": "1999-01-01"}),
        );
        let with = |person: &Value, identifier: Value| {
            let mut person = person.clone();
            person["identifier"] = json!([identifier]);
            person
        };
        // Without a system it names nobody.
        let mut places = Vec::new();
        for (uuid, person) in [("1", &man), ("2", &woman)] {
            let answer = take(&server, &[added(uuid, with(person, json!({"value": "71"})), None)]).await;
            places.push(answer["entry"][0]["response"]["location"].as_str().unwrap().to_owned());
        }
        assert_eq!(places, ["Patient/1", "Patient/2"]);
        assert_eq!(get(&server, "/v1/users/1").await["profile"]["birth_year"], 1970);
        // A family's number does not make the second the first.
        let family = json!({"system": "insurance", "value": "F1"});
        take(&server, &[added("1", with(&man, family.clone()), None)]).await;
        let second = [added("2", with(&woman, family.clone()), None), allergy("f", "urn:uuid:2", "latex")];
        let (status, words) = refused(send(&server, &bundle("transaction", &second)).await).await;
        assert!(status == 422 && words.contains("ifNoneExist"), "{words}");
        let first = get(&server, "/v1/users/insurance%7CF1").await;
        assert_eq!(
            (&first["profile"]["birth_year"], &first["profile"]["allergies"]),
            (&json!(1970), &Value::Null)
        );
        // The same person again is the same person.
        take(&server, &[added("3", with(&man, family), None)]).await;
    }
}

#[tokio::test]
async fn the_people_of_two_servers_with_one_id_are_two() {
    for (server, _database) in on_both().await {
        let of = |host: &str, number: &str, year: &str| {
            let mut entry = put(numbered("q", &[number]));
            entry["resource"]["birthDate"] = json!(format!("{year}-01-01"));
            entry["fullUrl"] = json!(format!("https://{host}/fhir/Patient/q"));
            entry
        };
        let reference = |host: &str| format!("https://{host}/fhir/Patient/q");
        take(&server, &[of("a.example", "1", "1970"), allergy("qa", &reference("a.example"), "penicillin")])
            .await;
        let other = [of("b.example", "2", "1999"), allergy("qb", &reference("b.example"), "sulfa")];
        let (status, words) = refused(send(&server, &bundle("transaction", &other)).await).await;
        assert!(status == 409 && words.contains("another server"), "{words}");
        let (status, words) = refused(send(&server, &bundle("transaction", &other[1..])).await).await;
        assert!(status == 409 && words.contains("another server"), "{words}");
        // Who is new is created, and who is here by then is not (R4, http.html#upsert).
        for (entries, expected) in [(&other[..], "201 Created"), (&other[1..], "200 OK")] {
            let batch = bundle("batch", &[entries, &[put(patient("zoe"))]].concat());
            let batch: Value = send(&server, &batch).await.json().await.unwrap();
            let statuses: Vec<&str> = batch["entry"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["response"]["status"].as_str().unwrap())
                .collect();
            let (last, refused) = statuses.split_last().unwrap();
            assert!(refused.iter().all(|status| *status == "409 Conflict") && *last == expected, "{batch}");
        }
        // Without an address the numbers tell.
        let (status, words) =
            refused(send(&server, &bundle("transaction", &[put(numbered("q", &["3"]))])).await).await;
        assert!(status == 409 && words.contains("same system"), "{words}");
        let user = get(&server, "/v1/users/q").await;
        assert_eq!(
            (&user["profile"]["birth_year"], &user["profile"]["allergies"]),
            (&json!(1970), &json!(["penicillin"]))
        );
        // The first server's own corrections are taken, and so is its new address where a number and the rest tell who it is.
        take(&server, &[of("a.example", "5", "1971"), allergy("qc", "Patient/q", "latex")]).await;
        take(&server, &[of("new.example", "5", "1971")]).await;
        take(&server, &[allergy("qd", &reference("new.example"), "codeine")]).await;
        assert_eq!(get(&server, "/v1/users/q").await["profile"]["birth_year"], 1971);
        assert_eq!(allergies(&server, "q").await, json!(["penicillin", "latex", "codeine"]));
    }
}

#[tokio::test]
async fn a_name_of_two_entries_is_refused_and_a_replaced_record_is_named() {
    let (server, _database) = on_both().await.remove(0);
    let named = |id: &str| {
        let mut entry = put(patient(id));
        entry["fullUrl"] = json!("urn:uuid:1");
        entry
    };
    let twice = [named("d1"), named("d2"), allergy("da", "urn:uuid:1", "penicillin")];
    let (status, words) = refused(send(&server, &bundle("transaction", &twice)).await).await;
    assert!(status == 422 && words.contains("fullUrl"), "{words}");
    assert!(!is_stored(&server, "d1").await && !is_stored(&server, "d2").await);
    let mut old = patient("m1");
    old["active"] = json!(false);
    old["link"] = json!([{"other": {"reference": "Patient/m2"}, "type": "replaced-by"}]);
    let answer =
        take(&server, &[put(old), put(patient("m2")), allergy("ma", "Patient/m1", "penicillin")]).await;
    let issues = answer["entry"][0]["response"]["outcome"]["issue"].to_string();
    assert!(issues.contains("records are not merged") && issues.contains("active: false"), "{answer}");
    assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");
}

#[tokio::test]
async fn an_answer_is_of_the_form_and_the_release_that_is_accepted() {
    let server = Server::start(&crate::support::shipped_models(), &[]);
    let card = "/v1/models/triage/card.json";
    for (path, accept, kind) in [
        (card, "application/fhir+json", Some("application/fhir+json")),
        (card, "application/fhir+json; fhirVersion=4.0", Some("application/fhir+json")),
        (card, "application/fhir+json;q=0, application/json", Some("application/json")),
        (card, "application/fhir+json;q=0.5, application/json", Some("application/json")),
        (card, "application/fhir+xml, */*;q=0.1", Some("application/json")),
        (card, "application/fhir+json; fhirVersion=5.0, application/json", Some("application/json")),
        (card, "application/fhir+xml", None),
        (card, "application/fhir+json; fhirVersion=5.0", None),
        (card, "application/xml", None),
        (card, "application/json;q=0", None),
        (card, "application/xml, application/json;q=0.1", Some("application/json")),
        ("/fhir/R4/metadata", "application/fhir+xml", None),
        ("/fhir/R4/metadata", "application/fhir+json; fhirVersion=\"5.0\"", None),
        ("/fhir/R4/metadata", "application/json", Some("application/fhir+json")),
        ("/fhir/R4/metadata", "text/html, */*", Some("application/fhir+json")),
    ] {
        let response = Client::new().get(server.at(path)).header("accept", accept).send().await.unwrap();
        let got = response.headers()["content-type"].to_str().unwrap().to_owned();
        match kind {
            Some(kind) => {
                assert!(response.status() == 200 && got.starts_with(kind), "{path} {accept}: {got}")
            }
            None => {
                assert_eq!(response.status(), 406, "{path} {accept}");
                let words = response.text().await.unwrap();
                assert!(words.contains("application/fhir+json; fhirVersion=4.0"), "{words}");
            }
        }
    }
}
