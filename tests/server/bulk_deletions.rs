//! What an export says was deleted, black box: people are erased, statements taken back, doctors hidden, on both stores.

use serde_json::{Value, json};

use crate::bulk::{KEY, ann, ask, hospital, private_key, start};
use crate::support::{logged, postgres as cluster, until};

/// Has an export be due at the next start.
pub(crate) async fn make_due(database: &str) {
    const SQL: &str = "UPDATE bulk_exports SET due = 0";
    if database.starts_with("sqlite") {
        let pool = sqlx::SqlitePool::connect(database).await.unwrap();
        sqlx::query(SQL).execute(&pool).await.unwrap();
        pool.close().await;
    } else {
        let pool = sqlx::PgPool::connect(database).await.unwrap();
        sqlx::query(SQL).execute(&pool).await.unwrap();
        pool.close().await;
    }
}

pub(crate) fn deletions(urls: &[&str]) -> String {
    let entries: Vec<Value> =
        urls.iter().map(|url| json!({"request": {"method": "DELETE", "url": url}})).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_there_is_erased_or_taken_back_here() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("test.db").display());
    let postgres = cluster::database().await;
    for database in std::iter::once(&sqlite).chain(postgres.as_ref().map(|database| &database.url)) {
        let (jwk, public) = private_key();
        let of = |kind: &str, id: &str, person: &str, code: &str, words: &str| {
            let member = if kind == "Condition" { "subject" } else { "patient" };
            json!({"resourceType": kind, "id": id, member: {"reference": format!("Patient/{person}")},
                "code": {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": words}]}})
            .to_string()
        };
        let patient =
            |id: &str| json!({"resourceType": "Patient", "id": id, "birthDate": "1954-03-01"}).to_string();
        let visit = json!({"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": {"reference": "Patient/ann"},
            "period": {"start": "2025-05-01T09:00:00Z"}, "participant": [{"individual": {"reference": "Practitioner/7"}}]});
        let doctor = json!({"resourceType": "Practitioner", "id": "7", "name": [{"family": "Kim"}]});
        let first = vec![
            ("Patient", [patient("ann"), patient("bob"), patient("cid")].join("\n")),
            ("AllergyIntolerance", of("AllergyIntolerance", "a", "ann", "91936005", "Allergy to penicillin")),
            (
                "Condition",
                [
                    of("Condition", "c1", "ann", "38341003", "Hypertension"),
                    of("Condition", "c2", "ann", "195967001", "Asthma"),
                ]
                .join("\n"),
            ),
            ("Practitioner", doctor.to_string()),
            ("Encounter", visit.to_string()),
        ];
        let hospital = hospital(public, &[]);
        *hospital.0.files.lock().unwrap() = first;
        let base = hospital.open().await;
        let key = folder.path().join("key.json");
        std::fs::write(&key, jwk.to_string()).unwrap();
        let server = start(&base, key.to_str().unwrap(), Some(database), &[]);
        assert_eq!(ann(&server).await["profile"]["conditions"], json!(["Hypertension", "Asthma"]));
        logged(&server, "an export was taken in").await;
        // What was written by hand is nobody's to take back.
        let by_hand = json!({"profile": {"allergies": ["latex"]}});
        let put = reqwest::Client::new().put(server.at("/v1/users/dan")).bearer_auth(KEY).json(&by_hand);
        assert_eq!(put.send().await.unwrap().status(), 200);
        server.terminate();
        // One of the files is broken at first: nothing is deleted then.
        *hospital.0.files.lock().unwrap() = vec![("Patient", patient("cid"))];
        let broken = "{\"resourceType\": \"Bundle\", \"entry\": [{\"request\": {\"method\": \"DELETE\", \"url\": \"Mrs Doe\"}}]}";
        *hospital.0.deleted.lock().unwrap() = vec![
            deletions(&["Patient/bob", "Patient/cid", "Patient/nobody", "AllergyIntolerance/a", "Claim/1"]),
            format!("{}\n{broken}", deletions(&["Condition/c1"])),
        ];
        make_due(database).await;
        let server = start(&base, key.to_str().unwrap(), Some(database), &[]);
        logged(&server, "file 2 of deletions: line 2: ").await;
        assert_eq!(ask(&server, "/v1/users/bob").await.0, 200);
        server.terminate();
        *hospital.0.deleted.lock().unwrap() = vec![
            deletions(&["Patient/bob", "Patient/cid", "Patient/nobody", "AllergyIntolerance/a", "Claim/1"]),
            deletions(&[
                "https://ehr.example.org/fhir/Condition/c1",
                "Practitioner/7",
                "Encounter/e1",
                "Immunization/never",
            ]),
        ];
        for turn in 0..2 {
            make_due(database).await;
            let server = start(&base, key.to_str().unwrap(), Some(database), &[]);
            logged(&server, "an export was taken in").await;
            assert!(!server.log().contains("Doe"), "{}", server.log());
            assert_eq!(ask(&server, "/v1/users/bob").await.0, 404);
            assert_eq!(ask(&server, "/v1/users/cid").await.0, 200, "it was made again");
            let profile = &ask(&server, "/v1/users/ann").await.1["profile"];
            assert_eq!((profile.get("allergies"), &profile["conditions"]), (None, &json!(["Asthma"])));
            assert_eq!(ask(&server, "/v1/users/dan").await.1["profile"]["allergies"], json!(["latex"]));
            assert_eq!(ask(&server, "/v1/items/Practitioner%2F7").await.1["hidden"], true);
            let (_, visits) = ask(&server, "/v1/users/ann/interactions").await;
            assert_eq!(visits["interactions"], json!([]), "the visit was deleted");
            let words = match turn {
                0 => {
                    "7 deletions: 1 people erased, statements taken back of 1, interactions of 1, 1 items hidden, 1 Immunization not undone"
                }
                _ => {
                    "7 deletions: 0 people erased, statements taken back of 0, interactions of 0, 0 items hidden, 1 Immunization not undone"
                }
            };
            let row = until("the row", async || {
                let (_, audit) = ask(&server, "/v1/audit").await;
                let rows = audit["rows"].as_array().unwrap();
                rows.iter().find(|row| row["answers"].to_string().contains(words)).cloned()
            })
            .await;
            assert_eq!(row["people"].to_string().contains("bob"), turn == 0, "{row}");
            server.terminate();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let (jwk, public) = private_key();
    let person = || ("Patient", json!({"resourceType": "Patient", "id": "ann"}).to_string());
    let denial = || {
        let denial = json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/ann"},
            "meta": {"lastUpdated": "2026-01-01T00:00:00Z", "versionId": "1"}, "code": {"text": "No known allergies"}});
        ("AllergyIntolerance", denial.to_string())
    };
    let order = json!({"resourceType": "MedicationRequest", "id": "r", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/ann"}, "medicationReference": {"reference": "Medication/m"}});
    let medication = |words: &str| {
        ("Medication", json!({"resourceType": "Medication", "id": "m", "code": {"text": words}}).to_string())
    };
    let hospital = hospital(public, &[]);
    let base = hospital.open().await;
    let key = folder.path().join("key.json");
    std::fs::write(&key, jwk.to_string()).unwrap();
    for (files, deleted, allergies, medications) in [
        (
            vec![person(), denial(), ("MedicationRequest", order.to_string()), medication("warfarin")],
            vec![],
            json!([]),
            json!(["warfarin"]),
        ),
        (vec![], vec!["MedicationRequest/r", "AllergyIntolerance/a"], Value::Null, Value::Null),
        (vec![denial(), medication("aspirin")], vec![], Value::Null, Value::Null),
    ] {
        *hospital.0.files.lock().unwrap() = files;
        let lines: Vec<String> = if deleted.is_empty() { vec![] } else { vec![deletions(&deleted)] };
        *hospital.0.deleted.lock().unwrap() = lines;
        if allergies == Value::Null {
            make_due(&database).await;
        }
        let server = start(&base, key.to_str().unwrap(), Some(&database), &[]);
        logged(&server, "an export was taken in").await;
        let profile = ann(&server).await["profile"].clone();
        assert_eq!((&profile["allergies"], &profile["medications"]), (&allergies, &medications), "{profile}");
        server.terminate();
    }
}
