//! Electronic records in and answers out, black box: what a record system sends and what it gets back, over
//! both databases, and every way in which a Bundle can be bad.

use std::process::Command;

use crate::support::{Server, postgres as cluster, shipped_models};
use reqwest::{Client, Response};
use serde_json::{Value, json};

const PENICILLIN: &str = "91936005";

/// A server over each database that there is.
pub(crate) async fn on_both() -> Vec<(Server, Option<cluster::TestDatabase>)> {
    let models = tempfile::tempdir().unwrap();
    let mut servers = vec![(Server::start(models.path(), &[]), None)];
    if let Some(database) = cluster::database().await {
        servers.push((Server::start_over(&database.url, models.path(), &[]), Some(database)));
    }
    servers
}

fn empty() -> Server {
    Server::start(tempfile::tempdir().unwrap().path(), &[])
}

pub(crate) async fn send(server: &Server, body: &Value) -> Response {
    let request = Client::new().post(server.at("/fhir/R4")).header("content-type", "application/fhir+json");
    request.body(body.to_string()).send().await.unwrap()
}

pub(crate) async fn get(server: &Server, path: &str) -> Value {
    Client::new().get(server.at(path)).send().await.unwrap().json().await.unwrap()
}

pub(crate) fn bundle(kind: &str, resources: &[Value]) -> Value {
    let entry = |resource: &Value| {
        let url =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    };
    json!({"resourceType": "Bundle", "type": kind, "entry": resources.iter().map(entry).collect::<Vec<_>>()})
}

pub(crate) fn patient(id: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "gender": "female", "birthDate": "1954-03-01"})
}

fn allergy(of: &str, code: &str, words: &str, verification: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": format!("{of}-a"), "patient": {"reference": format!("Patient/{of}")},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": words}]},
        "verificationStatus": {"coding": [{"code": verification}]}})
}

pub(crate) fn order(of: &str, status: &str) -> Value {
    json!({"resourceType": "MedicationRequest", "id": format!("{of}-m"), "status": status, "intent": "order",
        "subject": {"reference": format!("Patient/{of}")}, "authoredOn": "2026-01-05T08:00:00Z",
        "medicationCodeableConcept": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm",
            "code": "855332", "display": "Warfarin Sodium 5 MG Oral Tablet"}]}})
}

pub(crate) fn visit(of: &str) -> Value {
    json!({"resourceType": "Encounter", "id": format!("{of}-e"), "status": "finished", "class": {"code": "AMB"},
        "subject": {"reference": format!("Patient/{of}")}, "period": {"start": "2026-01-05T07:00:00Z"},
        "serviceProvider": {"reference": "Organization/o1"}})
}

pub(crate) fn hospital() -> Value {
    json!({"resourceType": "Organization", "id": "o1", "name": "Harbour Hospital",
        "identifier": [{"system": "urn:sites", "value": "17"}]})
}

/// Checks for an OperationOutcome of this status, one of whose issues has this code and these words.
async fn assert_outcome(response: Response, status: u16, code: &str, words: &str) -> Value {
    let got = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_string();
    let body: Value = response.json().await.unwrap();
    assert_eq!((got, body["resourceType"].as_str()), (status, Some("OperationOutcome")), "{body}");
    assert!(kind.starts_with("application/fhir+json"), "{kind}");
    let issues = body["issue"].as_array().unwrap();
    let said = |issue: &&Value| issue["details"]["text"].as_str().is_some_and(|text| text.contains(words));
    assert!(issues.iter().filter(said).any(|issue| issue["code"] == code), "{code}, {words}: {body}");
    body
}

#[tokio::test]
async fn a_record_becomes_a_person_items_and_interactions_once() {
    for (server, _database) in on_both().await {
        let record = bundle(
            "transaction",
            &[
                patient("ann"),
                allergy("ann", PENICILLIN, "Allergy to penicillin", "confirmed"),
                order("ann", "active"),
                hospital(),
                visit("ann"),
                json!({"resourceType": "Observation", "id": "x", "status": "final", "code": {"text": "pulse"}}),
            ],
        );
        let mut seen = Vec::new();
        for _ in 0..2 {
            let response = send(&server, &record).await;
            assert_eq!(response.status(), 200);
            let answer: Value = response.json().await.unwrap();
            assert_eq!(
                (&answer["type"], answer["entry"].as_array().unwrap().len()),
                (&json!("transaction-response"), 6)
            );
            let issue = &answer["entry"][5]["response"]["outcome"]["issue"][0];
            assert_eq!(issue["code"], "not-supported", "{answer}");
            let user = get(&server, "/v1/users/ann").await;
            assert_eq!(user["profile"]["allergies"], json!(["Allergy to penicillin"]));
            assert_eq!(user["profile"]["medications"], json!(["Warfarin Sodium 5 MG Oral Tablet"]));
            assert_eq!(user["profile"]["birth_year"], 1954);
            assert!(user["profile"].get("conditions").is_none(), "{user}");
            let item = get(&server, "/v1/items/rxnorm:855332").await;
            let codes = &item["attributes"]["codes"];
            assert_eq!(*codes, json!(["http://www.nlm.nih.gov/research/umls/rxnorm|855332"]));
            seen.push((user, item, get(&server, "/v1/users/ann/interactions").await));
        }
        assert_eq!(seen[0], seen[1], "a second time changes nothing");
        let interactions = seen[0].2["interactions"].as_array().unwrap();
        let with: Vec<_> = interactions
            .iter()
            .map(|one| (one["item_id"].as_str().unwrap(), one["event"].as_str().unwrap()))
            .collect();
        assert_eq!(with, [("rxnorm:855332", "prescription"), ("Organization/o1", "visit")]);
    }
}

#[tokio::test]
async fn a_later_bundle_corrects_an_earlier_one() {
    for (server, _database) in on_both().await {
        let first = [
            patient("ann"),
            allergy("ann", PENICILLIN, "Allergy to penicillin", "confirmed"),
            order("ann", "active"),
        ];
        assert_eq!(send(&server, &bundle("transaction", &first)).await.status(), 200);
        // The person is stored, and need not come again.
        let later = [allergy("ann", PENICILLIN, "Allergy to penicillin", "refuted"), order("ann", "stopped")];
        assert_eq!(send(&server, &bundle("transaction", &later)).await.status(), 200);
        let user = get(&server, "/v1/users/ann").await;
        let none = |list: &str| user["profile"].get(list).is_none();
        assert!(none("allergies") && none("medications") && none("recorded"), "{user}");
        let known = [allergy("ann", "716186003", "No known allergy", "confirmed")];
        assert_eq!(send(&server, &bundle("batch", &known)).await.status(), 200);
        assert_eq!(get(&server, "/v1/users/ann").await["profile"]["allergies"], json!([]));
    }
}

#[tokio::test]
async fn what_a_hospital_wrote_of_a_drug_outlives_an_import_and_rules_it_out() {
    let server = empty();
    let rules = json!({"kind": "drug", "name": "Warfarin", "contraindications": {"conditions": ["gout"]}});
    let put = Client::new().put(server.at("/v1/items/rxnorm:855332")).json(&rules);
    assert_eq!(put.send().await.unwrap().status(), 200);
    let record = bundle("transaction", &[patient("ann"), order("ann", "active")]);
    assert_eq!(send(&server, &record).await.status(), 200);
    let item = get(&server, "/v1/items/rxnorm:855332").await;
    assert_eq!(
        (&item["name"], &item["contraindications"]["conditions"]),
        (&json!("Warfarin"), &json!(["gout"]))
    );
    assert_eq!(item["attributes"]["codes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing_and_a_batch_is_not() {
    for (server, _database) in on_both().await {
        let stranger = allergy("bob", PENICILLIN, "Allergy to penicillin", "confirmed");
        let refused = send(&server, &bundle("transaction", &[patient("ann"), stranger.clone()])).await;
        let outcome = assert_outcome(refused, 422, "processing", "neither in the Bundle nor stored").await;
        assert_eq!(outcome["issue"][0]["expression"], json!(["Bundle.entry[1].resource"]));
        assert_eq!(Client::new().get(server.at("/v1/users/ann")).send().await.unwrap().status(), 404);
        let batch: Value =
            send(&server, &bundle("batch", &[patient("ann"), stranger])).await.json().await.unwrap();
        let status = |entry: usize| batch["entry"][entry]["response"]["status"].as_str().unwrap().to_string();
        assert_eq!(
            (status(0), status(1)),
            ("201 Created".to_string(), "422 Unprocessable Entity".to_string()),
            "{batch}"
        );
        assert_eq!(get(&server, "/v1/users/ann").await["user_id"], "ann");
    }
}

#[tokio::test]
async fn one_odd_person_does_not_keep_the_others_of_a_batch_out() {
    for (server, _database) in on_both().await {
        let mut many = vec![patient("ann"), patient("bob")];
        many.extend((0..1_001).map(|n| {
            json!({"resourceType": "Condition", "id": format!("c{n}"), "subject": {"reference": "Patient/bob"},
                "code": {"text": format!("condition {n}")}})
        }));
        let mut old = patient("cid");
        old["birthDate"] = json!("1800-01-01");
        many.push(old);
        let batch: Value = send(&server, &bundle("batch", &many)).await.json().await.unwrap();
        let status = |entry: usize| batch["entry"][entry]["response"]["status"].as_str().unwrap().to_string();
        assert_eq!(
            (status(0), status(many.len() - 1)),
            ("201 Created".to_string(), "201 Created".to_string())
        );
        for entry in [1, 2] {
            assert_eq!(status(entry), "422 Unprocessable Entity");
            let said = batch["entry"][entry]["response"]["outcome"].to_string();
            assert!(said.contains("conditions must have at most 1000 entries"), "{said}");
        }
        assert_eq!(get(&server, "/v1/users/ann").await["user_id"], "ann");
        assert!(get(&server, "/v1/users/cid").await["profile"].get("birth_year").is_none());
        assert_eq!(Client::new().get(server.at("/v1/users/bob")).send().await.unwrap().status(), 404);
        // Of a transaction it is the whole, and the entry is named.
        many.pop();
        let refused = send(&server, &bundle("transaction", &many)).await;
        let outcome = assert_outcome(refused, 422, "processing", "at most 1000 entries").await;
        assert_eq!(outcome["issue"][0]["expression"], json!(["Bundle.entry[1].resource"]), "{outcome}");
    }
}

/// An allergy with a version.
fn version(person: &str, number: u32, code: &str, status: &str) -> Value {
    let mut said = allergy(person, code, "an allergy", status);
    said["id"] = json!("v1");
    said["meta"] =
        json!({"versionId": number.to_string(), "lastUpdated": format!("2026-01-{number:02}T00:00:00Z")});
    said
}

#[tokio::test]
async fn an_older_version_changes_nothing_and_a_moved_resource_leaves_the_first_person() {
    for (server, _database) in on_both().await {
        let people = [patient("ann"), patient("bob")];
        assert_eq!(send(&server, &bundle("transaction", &people)).await.status(), 200);
        let allergies = async |person: &str| {
            get(&server, &format!("/v1/users/{person}")).await["profile"].get("allergies").cloned()
        };
        const NONE: &str = "716186003";
        for (said, of_ann, of_bob) in [
            (version("ann", 2, NONE, "entered-in-error"), None, None),
            (version("ann", 1, NONE, "confirmed"), None, None),
            (version("ann", 3, NONE, "confirmed"), Some(json!([])), None),
            // It was entered into the wrong record.
            (version("bob", 4, NONE, "confirmed"), None, Some(json!([]))),
            (version("ann", 3, NONE, "confirmed"), None, Some(json!([]))),
        ] {
            let answer: Value =
                send(&server, &bundle("batch", std::slice::from_ref(&said))).await.json().await.unwrap();
            assert_eq!((allergies("ann").await, allergies("bob").await), (of_ann, of_bob), "{said} {answer}");
        }
        let twice = [version("ann", 5, NONE, "confirmed"), version("ann", 6, NONE, "refuted")];
        let refused = send(&server, &bundle("transaction", &twice)).await;
        assert_outcome(refused, 422, "processing", "twice").await;
    }
}

#[tokio::test]
async fn orders_refer_to_medications_of_earlier_bundles() {
    for (server, _database) in on_both().await {
        let order = |id: &str, status: &str| {
            json!({"resourceType": "MedicationRequest", "id": id, "status": status, "intent": "order",
                "subject": {"reference": "Patient/ann"}, "authoredOn": "2026-01-01",
                "medicationReference": {"reference": "Medication/w"}})
        };
        let medication = json!({"resourceType": "Medication", "id": "w", "code": {"text": "Warfarin"}});
        for (said, taken) in [
            (
                vec![patient("ann"), order("m1", "active")],
                json!(["a medication without a name (MedicationRequest/m1)"]),
            ),
            (vec![medication, order("m1", "active")], json!(["Warfarin"])),
            (vec![order("m2", "active")], json!(["Warfarin"])),
            (vec![order("m1", "stopped")], json!(["Warfarin"])),
            (vec![order("m2", "stopped")], Value::Null),
        ] {
            assert_eq!(send(&server, &bundle("transaction", &said)).await.status(), 200);
            assert_eq!(get(&server, "/v1/users/ann").await["profile"]["medications"], taken);
        }
    }
}

#[tokio::test]
async fn people_are_found_by_an_identifier_they_came_with() {
    for (server, _database) in on_both().await {
        let mut known = patient("ann");
        known["identifier"] = json!([{"system": "urn:mrn", "value": "77"}]);
        assert_eq!(send(&server, &bundle("transaction", &[known])).await.status(), 200);
        let mut said = allergy("x", PENICILLIN, "Allergy to penicillin", "confirmed");
        said["patient"]["reference"] = json!("Patient?identifier=urn%3Amrn%7C77");
        assert_eq!(send(&server, &bundle("transaction", std::slice::from_ref(&said))).await.status(), 200);
        assert_eq!(
            get(&server, "/v1/users/ann").await["profile"]["allergies"],
            json!(["Allergy to penicillin"])
        );
        // A conditional create makes no second person.
        let create = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"fullUrl": "urn:uuid:0d3e0b1c-0000-4000-8000-000000000001",
             "resource": {"resourceType": "Patient", "gender": "female"},
             "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|77"}}]});
        let answer: Value = send(&server, &create).await.json().await.unwrap();
        assert_eq!(answer["entry"][0]["response"]["location"], "Patient/ann", "{answer}");
        assert_eq!(get(&server, "/v1/users/ann").await["profile"]["sex"], "female");
        // Of an identifier that two people have nobody can say whose it is.
        let mut other = patient("bob");
        other["identifier"] = json!([{"system": "urn:mrn", "value": "77"}]);
        assert_eq!(send(&server, &bundle("transaction", &[other])).await.status(), 200);
        assert_eq!(send(&server, &bundle("transaction", &[said])).await.status(), 422);
        // With a person goes what is known by the identifier.
        for person in ["ann", "bob"] {
            let erased =
                Client::new().delete(server.at(&format!("/v1/users/{person}"))).send().await.unwrap();
            assert!(erased.status().is_success());
        }
    }
}

#[tokio::test]
async fn bad_bundles_are_refused_by_an_operation_outcome() {
    let server = empty();
    let r5 = json!({"resourceType": "Encounter", "id": "e", "class": [{"text": "x"}], "subject": {"reference": "Patient/ann"}});
    let shape = json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/ann"}, "code": {"coding": "a secret"}});
    let dstu2 =
        json!({"resourceType": "MedicationOrder", "id": "o", "patient": {"reference": "Patient/ann"}});
    let nameless = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": {"resourceType": "Patient", "gender": "male"}, "request": {"method": "POST", "url": "Patient"}}]});
    let read = json!({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": {"method": "GET", "url": "Patient/ann"}}]});
    for (body, status, words) in [
        (bundle("transaction", &[patient("ann"), r5]), 422, "this is FHIR R5"),
        (bundle("transaction", &[patient("ann"), dstu2]), 422, "this is FHIR DSTU2"),
        (bundle("transaction", &[patient("ann"), shape]), 422, "does not have the shape"),
        (nameless, 422, "no id"),
        (read, 422, "no POST or PUT"),
        (json!({"resourceType": "Bundle", "type": "collection"}), 422, "batch or transaction"),
        (json!({"resourceType": "Bundle", "type": "subscription"}), 422, "holds no records"),
        (patient("ann"), 422, "batch or transaction"),
    ] {
        let code = "processing";
        let outcome = assert_outcome(send(&server, &body).await, status, code, words).await;
        assert!(!outcome.to_string().contains("secret"), "{outcome}");
    }
    let raw = |kind: &'static str, text: &'static str| {
        Client::new().post(server.at("/fhir/R4")).header("content-type", kind).body(text).send()
    };
    let fhir = "application/fhir+json";
    assert_outcome(raw(fhir, "{").await.unwrap(), 400, "structure", "not whole").await;
    let twice = "{\"resourceType\": \"Bundle\", \"type\": \"batch\", \"type\": \"transaction\"}";
    assert_outcome(raw(fhir, twice).await.unwrap(), 400, "structure", "twice").await;
    let later = raw("application/fhir+json; fhirVersion=5.0", "{}").await.unwrap();
    assert_outcome(later, 415, "not-supported", "4.0 (R4)").await;
    assert_outcome(
        raw("application/fhir+xml", "<Bundle/>").await.unwrap(),
        415,
        "not-supported",
        "content type",
    )
    .await;
    let missing = Client::new().get(server.at("/fhir/R4/Patient/ann")).send().await.unwrap();
    assert_outcome(missing, 404, "not-found", "nothing at this path").await;
}

#[tokio::test]
async fn a_bundle_of_a_hundred_megabytes_is_refused_over_http() {
    let server = empty();
    let text = "x".repeat(100 << 20);
    let condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"}, "code": {"text": text}});
    let body = bundle("transaction", &[patient("ann"), condition]).to_string();
    let request = Client::new().post(server.at("/fhir/R4")).header("content-type", "application/fhir+json");
    match request.body(body).send().await {
        Ok(response) => {
            assert_outcome(response, 413, "too-long", "").await;
        }
        // The server does not wait for all of it.
        Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
    }
    assert_eq!(send(&server, &bundle("transaction", &[patient("ann")])).await.status(), 200);
}

#[tokio::test]
async fn the_capability_statement_names_what_is_read() {
    let statement = get(&empty(), "/fhir/R4/metadata").await;
    assert_eq!(
        (&statement["resourceType"], &statement["fhirVersion"]),
        (&json!("CapabilityStatement"), &json!("4.0.1"))
    );
    let kinds = statement["rest"][0]["resource"].as_array().unwrap();
    assert!(kinds.iter().any(|kind| kind["type"] == "AllergyIntolerance"));
    // No type has an address of its own.
    assert!(kinds.iter().all(|kind| kind.get("interaction").is_none()));
    assert_eq!(statement["rest"][0]["interaction"], json!([{"code": "transaction"}, {"code": "batch"}]));
}

/// Runs `medserve import fhir` and says whether it succeeded and what it wrote.
pub(crate) fn import(path: &std::path::Path, database: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .args(["import", "fhir"])
        .arg(path)
        .args(["--database-url", database])
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test]
async fn files_are_imported_whole_whatever_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("records.db").display());
    let records = folder.path().join("records");
    std::fs::create_dir(&records).unwrap();
    let mut record = bundle("transaction", &[patient("ann"), visit("ann")]);
    // By identifier, of a hospital that comes in a later file.
    record["entry"][1]["resource"]["serviceProvider"]["reference"] =
        json!("Organization?identifier=urn:sites|17");
    std::fs::write(records.join("a.json"), record.to_string()).unwrap();
    std::fs::write(records.join("b.json"), bundle("batch", &[hospital()]).to_string()).unwrap();
    let broken = bundle("transaction", &[patient("eve"), allergy("bob", PENICILLIN, "x", "confirmed")]);
    std::fs::write(records.join("c.json"), broken.to_string()).unwrap();
    let (ok, text) = import(&records, &database);
    assert!(!ok && text.contains("c.json: nothing of it was imported: entry 1"), "{text}");
    assert!(text.contains("users: 1 created") && text.contains("interactions: 1 created"), "{text}");

    // Bulk Data: the files refer to each other, in whatever order.
    let lines = folder.path().join("bulk");
    std::fs::create_dir(&lines).unwrap();
    let allergies = format!(
        "{}\n\n{}\n",
        allergy("bob", PENICILLIN, "Allergy to penicillin", "confirmed"),
        json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/nobody"}, "code": {"text": "gout"}})
    );
    std::fs::write(lines.join("AllergyIntolerance.ndjson"), allergies).unwrap();
    std::fs::write(lines.join("Patient.ndjson"), patient("bob").to_string()).unwrap();
    let (ok, text) = import(&lines, &database);
    assert!(ok && text.contains("3 resources read") && text.contains("users: 1 created"), "{text}");
    assert!(text.contains("1 Condition: refers to a Patient that is neither"), "{text}");
    std::fs::write(lines.join("Patient.ndjson"), "{\"resourceType\": \"Patient\", \"id\": \"zoe\"}\n{\n")
        .unwrap();
    let (ok, text) = import(&lines, &database);
    assert!(!ok && text.contains("line 2"), "{text}");

    let server = Server::start_over(&database, tempfile::tempdir().unwrap().path(), &[]);
    assert_eq!(get(&server, "/v1/users/bob").await["profile"]["allergies"], json!(["Allergy to penicillin"]));
    let interactions = get(&server, "/v1/users/ann/interactions").await;
    assert_eq!(interactions["interactions"][0]["item_id"], "Organization/o1");
    for absent in ["eve", "zoe"] {
        assert_eq!(
            Client::new().get(server.at(&format!("/v1/users/{absent}"))).send().await.unwrap().status(),
            404
        );
    }
}

#[tokio::test]
async fn a_folder_may_hold_the_person_and_the_medication_in_later_files() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("records.db").display());
    let records = folder.path().join("records");
    std::fs::create_dir(&records).unwrap();
    let order = json!({"resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/ann"}, "medicationReference": {"reference": "Medication/w"}});
    let medication = json!({"resourceType": "Medication", "id": "w", "code": {"text": "Warfarin"}});
    let penicillin = allergy("bob", PENICILLIN, "Allergy to penicillin", "confirmed");
    for (name, kind, resources) in [
        ("a", "collection", vec![patient("ann"), order]),
        ("b", "collection", vec![medication]),
        ("c", "collection", vec![penicillin.clone()]),
        ("d", "transaction", vec![allergy("cid", PENICILLIN, "Allergy to penicillin", "confirmed")]),
        ("e", "collection", vec![patient("bob"), patient("cid")]),
    ] {
        std::fs::write(records.join(format!("{name}.json")), bundle(kind, &resources).to_string()).unwrap();
    }
    let (ok, text) = import(&records, &database);
    assert!(ok, "{text}");
    let server = Server::start_over(&database, tempfile::tempdir().unwrap().path(), &[]);
    assert_eq!(get(&server, "/v1/users/ann").await["profile"]["medications"], json!(["Warfarin"]));
    for person in ["bob", "cid"] {
        let user = get(&server, &format!("/v1/users/{person}")).await;
        assert_eq!(user["profile"]["allergies"], json!(["Allergy to penicillin"]), "{person}");
    }
    drop(server);
    // A file that is no text does not keep those behind it out.
    let odd = folder.path().join("odd");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("a.json"), b"{\xff").unwrap();
    std::fs::write(odd.join("a.ndjson"), "{\n").unwrap();
    std::fs::write(odd.join("b.json"), bundle("batch", &[patient("dan")]).to_string()).unwrap();
    let (ok, text) = import(&odd, &database);
    assert!(!ok && text.contains("users: 1 created") && text.contains("not UTF-8"), "{text}");
    assert!(text.contains("2 Bundles were refused"), "{text}");
    // An allergy that is nobody's is no success.
    let lost = folder.path().join("lost.json");
    std::fs::write(&lost, bundle("collection", &[allergy("zoe", PENICILLIN, "x", "confirmed")]).to_string())
        .unwrap();
    let (ok, text) = import(&lost, &database);
    assert!(!ok && text.contains("1 allergies were left out"), "{text}");
}

fn kinds(bundle: &Value) -> Vec<&str> {
    bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["resource"]["resourceType"].as_str().unwrap())
        .collect()
}

/// Every resource is labelled, and what the Provenance names is there.
fn assert_labelled(bundle: &Value) {
    assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("collection")));
    let entries = bundle["entry"].as_array().unwrap();
    let names: Vec<&str> = entries.iter().map(|entry| entry["fullUrl"].as_str().unwrap()).collect();
    for entry in entries {
        assert_eq!(entry["resource"]["meta"]["security"][0]["code"], "AIAST", "{entry}");
    }
    let provenance = entries.iter().find(|entry| entry["resource"]["resourceType"] == "Provenance").unwrap();
    for target in provenance["resource"]["target"].as_array().unwrap() {
        assert!(names.contains(&target["reference"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn answers_come_as_fhir_resources_where_that_is_asked_for() {
    let server = Server::start(&shipped_models(), &["--demo"]);
    let fhir = |request: reqwest::RequestBuilder| request.header("accept", "application/fhir+json");
    let note =
        json!({"model": "triage", "records": [{"note": "chest pain", "fields": {"age": 67, "sbp": 91}}]});
    let response =
        fhir(Client::new().post(server.at("/v1/notes/classify"))).json(&note).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/fhir+json"));
    let answer: Value = response.json().await.unwrap();
    assert_labelled(&answer);
    assert_eq!(kinds(&answer), ["Device", "Observation", "DiagnosticReport", "RiskAssessment", "Provenance"]);
    let plain: Value = Client::new()
        .post(server.at("/v1/notes/classify"))
        .json(&note)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let first = &plain["results"][0]["predictions"][0];
    let risk = &answer["entry"][3]["resource"]["prediction"][0];
    let (said, meant) =
        (risk["probabilityDecimal"].as_f64().unwrap(), first["probability"].as_f64().unwrap());
    assert!((said - meant).abs() < 1e-6, "{risk} {first}");
    assert_eq!(
        answer["entry"][1]["resource"]["valueCodeableConcept"]["coding"][0]["code"],
        plain["results"][0]["label"]
    );

    let image = vision::phantom::chest_phantom(0, 64).unwrap();
    let request = Client::new()
        .post(server.at("/v1/images/classify?model=pneumonia"))
        .header("content-type", "image/png");
    let answer: Value = fhir(request).body(image).send().await.unwrap().json().await.unwrap();
    assert_labelled(&answer);
    assert_eq!(kinds(&answer), ["Device", "Observation", "DiagnosticReport", "Provenance"]);

    // Somebody of the demonstration for whom some drug was ruled out.
    let mut issues = 0;
    for n in 1..=40 {
        let path = format!("/v1/users/p{n:03}/recommendations?kind=drug");
        let response = fhir(Client::new().get(server.at(&path))).send().await.unwrap();
        if response.status() == 200 {
            let answer: Value = response.json().await.unwrap();
            assert_labelled(&answer);
            issues += kinds(&answer).iter().filter(|kind| **kind == "DetectedIssue").count();
        }
    }
    let put = Client::new()
        .put(server.at("/v1/users/me"))
        .json(&json!({"profile": {"birth_year": 1960, "sex": "male",
        "allergies": ["aspirin"], "medications": ["warfarin"], "conditions": ["hypertension"]}}));
    assert_eq!(put.send().await.unwrap().status(), 200);
    let path = "/v1/users/me/recommendations?kind=drug";
    let answer: Value = fhir(Client::new().get(server.at(path))).send().await.unwrap().json().await.unwrap();
    assert_labelled(&answer);
    issues += kinds(&answer).iter().filter(|kind| **kind == "DetectedIssue").count();
    assert!(issues > 0, "{answer}");
}

#[tokio::test]
async fn a_model_card_is_data_and_says_what_is_unknown() {
    let server = Server::start(&shipped_models(), &[]);
    let card = get(&server, "/v1/models/triage/card.json").await;
    let attributes = card["source_attributes"].as_array().unwrap();
    assert_eq!(attributes.len(), 31);
    let of = |name: &str| attributes.iter().find(|one| one["attribute"] == name).unwrap();
    assert_eq!((&of("funding")["known"], &of("funding")["value"]), (&json!(false), &Value::Null));
    assert!(of("sensitive_inputs")["value"]["used"].as_array().unwrap().contains(&json!("age")));
    let request =
        Client::new().get(server.at("/v1/models/triage/card.json")).header("accept", "application/fhir+json");
    let document: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(document["resourceType"], "DocumentReference");
    assert_eq!(document["content"].as_array().unwrap().len(), 2);
    assert_eq!(Client::new().get(server.at("/v1/models/none/card.json")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_route_that_does_not_answer_in_fhir_says_so_and_does_nothing() {
    let server = empty();
    let put = |accept: &str| {
        let request = Client::new().put(server.at("/v1/users/me")).header("accept", accept);
        request.json(&json!({"profile": {"birth_year": 1960}})).send()
    };
    let response = put("application/fhir+json; q=0.9").await.unwrap();
    assert_eq!(response.status(), 406);
    let problem: Value = response.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("application/json") && detail.contains("/v1/notes/classify"), "{problem}");
    assert_eq!(Client::new().get(server.at("/v1/users/me")).send().await.unwrap().status(), 404);
    for accept in ["application/fhir+json, application/json", "application/json", "*/*"] {
        assert_eq!(put(accept).await.unwrap().status(), 200, "{accept}");
    }
    for path in ["/v1/notes/extract", "/v1/notes/classify"] {
        let request = Client::new().post(server.at(path)).header("accept", "application/fhir+json");
        let status = request
            .json(&json!({"model": "none", "records": [{"note": "x"}]}))
            .send()
            .await
            .unwrap()
            .status();
        assert_eq!(status == 406, path.ends_with("extract"), "{path}: {status}");
    }
}
