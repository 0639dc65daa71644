//! Imports of folders, black box: nothing in one is passed over in silence, whatever its files are called and whatever their
//! order is.

use std::path::Path;

use serde_json::{Value, json};

use crate::fhir::{bundle, get, hospital, import, patient, visit};
use crate::support::Server;

fn allergy(id: &str, words: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": "Patient/ann"}, "code": {"text": words}})
}

/// A fresh database, and a folder of these files.
fn folder(files: &[(&str, String)]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("records.db").display());
    write(folder.path(), files);
    (folder, database)
}

fn write(folder: &Path, files: &[(&str, String)]) {
    for (name, text) in files {
        let file = folder.join("records").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

async fn allergies(database: &str) -> Value {
    let server = Server::start_over(database, tempfile::tempdir().unwrap().path(), &[]);
    get(&server, "/v1/users/ann").await["profile"]["allergies"].clone()
}

fn collection(resources: &[Value]) -> String {
    bundle("collection", resources).to_string()
}

#[tokio::test]
async fn files_wait_for_files_that_wait_for_others() {
    let (folder, database) = folder(&[
        ("a.json", collection(&[allergy("1", "Penicillin")])),
        ("b.json", collection(&[patient("ann"), visit("ann")])),
        ("c.json", collection(&[hospital()])),
    ]);
    let (ok, text) = import(&folder.path().join("records"), &database);
    assert!(ok && text.contains("interactions: 1 created"), "{text}");
    assert_eq!(allergies(&database).await, json!(["Penicillin"]));
}

#[tokio::test]
async fn one_who_waits_for_a_person_outlasts_one_who_waits_for_a_hospital_that_never_comes() {
    let (folder, database) = folder(&[
        ("a.json", collection(&[allergy("1", "Penicillin")])),
        ("b.json", collection(&[patient("ann"), visit("ann")])),
    ]);
    let (ok, text) = import(&folder.path().join("records"), &database);
    assert!(ok, "{text}");
    assert_eq!(allergies(&database).await, json!(["Penicillin"]));
}

#[tokio::test]
async fn what_is_passed_over_is_named_and_fails() {
    let (folder, database) = folder(&[
        ("Patient.ndjson", patient("ann").to_string()),
        ("AllergyIntolerance.000.NDJSON", allergy("1", "Penicillin").to_string()),
        ("AllergyIntolerance.jsonl", allergy("2", "codeine").to_string()),
        ("more/AllergyIntolerance.ndjson", allergy("3", "latex").to_string()),
        (".DS_Store", String::new()),
    ]);
    let (ok, text) = import(&folder.path().join("records"), &database);
    assert!(!ok && text.contains("2 files or folders were passed over"), "{text}");
    for name in ["AllergyIntolerance.jsonl", "more"] {
        assert!(text.contains(&format!("{name}: passed over")), "{text}");
    }
    assert_eq!(allergies(&database).await, json!(["Penicillin"]));
}

#[tokio::test]
async fn a_bundle_within_a_bundle_or_in_a_line_is_refused() {
    let mut within = bundle("searchset", &[allergy("1", "Penicillin")]);
    within["id"] = json!("w");
    for (name, text) in
        [("a.json", collection(&[patient("ann"), within.clone()])), ("a.ndjson", within.to_string())]
    {
        let (folder, database) = folder(&[(name, text)]);
        let (ok, text) = import(&folder.path().join("records"), &database);
        assert!(!ok && text.contains("a Bundle within a Bundle is not read"), "{text}");
    }
}

#[tokio::test]
async fn what_a_history_says_was_deleted_is_taken_back_and_lost_is_nothing() {
    let at = |mut resource: Value| {
        let name =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        resource["meta"] = json!({"versionId": "1"});
        json!({"fullUrl": format!("https://a.example/fhir/{name}"), "resource": resource})
    };
    let none = at(allergy("1", "no known allergies"));
    let first = json!({"resourceType": "Bundle", "type": "collection", "entry": [at(patient("ann")), none]});
    let deleted = json!({"fullUrl": "https://a.example/fhir/AllergyIntolerance/1",
        "request": {"method": "DELETE", "url": "AllergyIntolerance/1"}, "response": {"status": "204"}});
    let history = |entries: &[&Value]| {
        json!({"resourceType": "Bundle", "type": "history", "entry": entries}).to_string()
    };
    // With the versions before it, and alone.
    for later in [history(&[&deleted, &none]), history(&[&deleted])] {
        let (folder, database) = folder(&[("1.json", first.to_string())]);
        let records = folder.path().join("records");
        assert!(import(&records, &database).0);
        assert_eq!(allergies(&database).await, json!([]));
        write(folder.path(), &[("1.json", later)]);
        let (ok, text) = import(&records, &database);
        assert!(ok, "{text}");
        assert_eq!(allergies(&database).await, Value::Null);
    }
}

#[tokio::test]
async fn an_allergy_that_is_left_out_as_older_is_lost_and_one_from_the_future_keeps_none_out() {
    let version = |year: &str, words: &str| {
        let mut said = allergy("1", words);
        said["meta"] = json!({"lastUpdated": format!("{year}-01-01T00:00:00Z")});
        collection(&[patient("ann"), said])
    };
    let (folder, database) = folder(&[
        ("1.json", version("2206", "no known allergies")),
        ("2.json", version("2020", "Penicillin")),
    ]);
    let records = folder.path().join("records");
    let (ok, text) = import(&records, &database);
    assert!(ok, "{text}");
    assert_eq!(allergies(&database).await, json!(["Penicillin"]));
    write(folder.path(), &[("1.json", version("2019", "latex")), ("2.json", version("2020", "Penicillin"))]);
    let (ok, text) = import(&records, &database);
    assert!(!ok && text.contains("1 allergies were left out") && text.contains("older version"), "{text}");
    assert_eq!(allergies(&database).await, json!(["Penicillin"]));
}

#[tokio::test]
async fn a_line_of_another_release_is_told_by_its_file_and_line() {
    let mut newer = allergy("2", "codeine");
    newer["type"] = json!({"coding": []});
    let (folder, database) = folder(&[
        ("a.ndjson", patient("ann").to_string()),
        ("b.ndjson", format!("{}\n\n{newer}\n", allergy("1", "latex"))),
    ]);
    let (ok, text) = import(&folder.path().join("records"), &database);
    assert!(!ok && text.contains("b.ndjson: line 3: this is FHIR R5"), "{text}");
}

#[tokio::test]
async fn what_the_exporting_server_could_not_do_and_what_is_left_out_are_told_with_the_file() {
    let lines = |resources: &[Value]| resources.iter().map(|one| format!("{one}\n")).collect::<String>();
    let outcome = |severity: &str| {
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "processing",
            "diagnostics": "AllergyIntolerance of Patient/ann could not be exported"}]})
    };
    for (severity, ok) in [("error", false), ("information", true)] {
        let (folder, database) = folder(&[
            ("Patient.ndjson", lines(&[patient("ann")])),
            ("OperationOutcome.ndjson", lines(&[outcome("warning"), outcome(severity)])),
        ]);
        let (done, text) = import(&folder.path().join("records"), &database);
        assert_eq!((done, text.contains("of Patient/ann could not be exported")), (ok, !ok), "{text}");
        assert_eq!(text.contains("reports 1 errors"), !ok, "{text}");
    }
    let mut elsewhere = allergy("2", "Sulfa");
    elsewhere["patient"]["reference"] = json!("Patient/nobody");
    let (folder, database) = folder(&[
        ("Patient.ndjson", lines(&[patient("ann")])),
        ("AllergyIntolerance.ndjson", lines(&[allergy("1", "Penicillin"), elsewhere])),
    ]);
    let (done, text) = import(&folder.path().join("records"), &database);
    assert!(!done && text.contains("AllergyIntolerance.ndjson: line 2"), "{text}");
}
