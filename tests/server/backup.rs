//! Back-ups, black box: made while a server writes, restored into either database, and the same.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::fhir_servers::{at as entry, list, numbered, refused, take};
use crate::support::postgres as cluster;
use crate::support::{Server, shipped_models};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

/// Runs a command on a database; what it said, and whether it worked.
fn run(arguments: &[&str], database: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .args(arguments)
        .args(["--database-url", database])
        .output()
        .unwrap();
    // Which database it was stands on standard error.
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn drugs(server: &Server) -> Value {
    let response =
        Client::new().get(server.at("/v1/users/u17/recommendations?kind=drug")).send().await.unwrap();
    let mut answer: Value = response.json().await.unwrap();
    answer.as_object_mut().unwrap().remove("as_of");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_copied_while_it_is_written_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let url = format!("sqlite://{}", at("live.db"));
    let server = Server::start_over(&url, &shipped_models(), &["--demo"]);
    let writing = async {
        for n in 0..40 {
            let put =
                Client::new().put(server.at(&format!("/v1/users/new{n}"))).json(&json!({"profile": {}}));
            assert_eq!(put.send().await.unwrap().status(), 200);
        }
    };
    let (copy, from) = (at("copy.db"), url.clone());
    let copying = tokio::task::spawn_blocking(move || run(&["backup", &copy], &from));
    let ((), copied) = tokio::join!(writing, copying);
    let (made, said) = copied.unwrap();
    assert!(made && said.contains("users: "), "{said}");
    let mode = std::fs::metadata(at("copy.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!run(&["backup", &at("copy.db")], &url).0, "it would replace a back-up");
    let before = drugs(&server).await;
    assert_eq!(server.terminate().0, Some(0));

    assert!(!run(&["restore", &at("copy.db")], &url).0, "it would replace a database");
    let restored = format!("sqlite://{}", at("restored.db"));
    let (done, told) = run(&["restore", &at("copy.db")], &restored);
    assert!(done, "{told}");
    assert_eq!(told, said, "counts and digests are those of the back-up");
    let again = Server::start_over(&restored, &shipped_models(), &[]);
    assert_eq!(drugs(&again).await, before);
    assert_eq!(again.terminate().0, Some(0));
    assert!(run(&["audit", "verify"], &restored).0, "the audit came along");

    let damaged = at("damaged.db");
    let bytes = std::fs::read(at("copy.db")).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    assert!(!run(&["restore", &damaged], &format!("sqlite://{}", at("never.db"))).0);
    assert!(!std::path::Path::new(&at("never.db")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_moves_from_sqlite_to_postgres_and_back() {
    let Some(database) = cluster::database().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let url = format!("sqlite://{}", at("live.db"));
    let server = Server::start_over(&url, &shipped_models(), &["--demo"]);
    let before = drugs(&server).await;
    let (made, first) = run(&["backup", &at("first.db")], &url);
    assert!(made, "{first}");
    drop(server);
    let (moved, told) = run(&["restore", &at("first.db")], &database.url);
    assert!(moved, "{told}");
    assert_eq!(told, first);
    assert!(!run(&["restore", &at("first.db")], &database.url).0, "it is not empty any more");
    let server = Server::start_over(&database.url, &shipped_models(), &[]);
    assert_eq!(drugs(&server).await, before);
    let (made, second) = run(&["backup", &at("second.db")], &database.url);
    assert!(made, "{second}");
    assert_eq!(second, first);
}

#[test]
fn commands_find_the_database_that_the_server_is_given_and_make_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let medserve = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
            .args(arguments)
            .current_dir(folder.path())
            .env_remove("DATABASE_URL")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let missing = at("typo.db");
    for arguments in [&["backup", "copy.db"][..], &["audit", "verify"], &["audit", "export"]] {
        let (done, said) = medserve(arguments, &[("DATABASE_URL", &format!("sqlite://{missing}"))]);
        assert!(!done && said.contains("there is no database at") && said.contains(&missing), "{said}");
        assert!(!folder.path().join("typo.db").exists() && !folder.path().join("copy.db").exists());
    }
    std::fs::write(at("users.jsonl"), "{\"user_id\": \"ada\", \"profile\": {}}\n").unwrap();
    std::fs::write(at("url"), format!("sqlite://{}\n", at("theirs.db"))).unwrap();
    let (done, said) =
        medserve(&["import", "users", "users.jsonl"], &[("MEDSERVE_DATABASE_URL_FILE", &at("url"))]);
    assert!(done && said.contains("theirs.db"), "{said}");
    // A server's file has settings that no command asks for.
    std::fs::write(at("medserve.toml"), "listen = \"127.0.0.1:1\"\ndatabase_url_file = \"url\"\n").unwrap();
    let (done, said) = medserve(&["backup", "copy.db"], &[("MEDSERVE_CONFIG", "medserve.toml")]);
    assert!(done && said.contains("theirs.db"), "{said}");
    let (done, said) = medserve(&["audit", "--config", "medserve.toml", "verify"], &[]);
    assert!(done && said.contains("theirs.db"), "{said}");
    assert!(!folder.path().join("medserve.db").exists());
}

/// A back-up with one person in it, made by `arguments`.
fn back_up(folder: &std::path::Path, name: &str, arguments: &[&str]) -> Vec<u8> {
    let at = |name: &str| folder.join(name).display().to_string();
    let url = format!("sqlite://{}", at("source.db"));
    std::fs::write(at("users.jsonl"), "{\"user_id\": \"ada-of-the-ward\", \"profile\": {}}\n").unwrap();
    let (done, said) = run(&["import", "users", &at("users.jsonl")], &url);
    assert!(done, "{said}");
    let file = at(name);
    let (made, said) = run(&[&["backup", &file][..], arguments].concat(), &url);
    assert!(made, "{said}");
    std::fs::read(file).unwrap()
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| changed[*at..*at + to.len()].copy_from_slice(to));
    changed
}

async fn a_changed_file_is_not_restored(target: impl AsyncFn(&std::path::Path) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let whole = back_up(folder.path(), "whole.db", &[]);
    let changed = replaced(&whole, b"ada-of-the-ward", b"eva-of-the-ward");
    let url = target(folder.path()).await;
    for (bytes, why) in [
        (&changed[..], "not as it was written"),
        (&whole[..whole.len() - 40], "no seal"),
        (&whole[..whole.len() - 4096], "no seal"),
        (&[&whole[..], b"more"].concat(), "no seal"),
    ] {
        std::fs::write(at("bad.db"), bytes).unwrap();
        let (done, said) = run(&["restore", &at("bad.db")], &url);
        assert!(!done && said.contains(why), "{why}: {said}");
        assert_eq!(std::fs::read(at("bad.db")).unwrap(), bytes, "the file stays as it is");
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
    }
    // Who knows what it is takes it all the same.
    std::fs::write(at("bad.db"), &changed).unwrap();
    let (done, said) = run(&["restore", "--unsealed", &at("bad.db")], &url);
    assert!(done && said.contains("users: 1 rows"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_not_restored_into_sqlite() {
    a_changed_file_is_not_restored(async |folder| format!("sqlite://{}/restored.db", folder.display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_not_restored_into_postgres() {
    let Some(database) = cluster::database().await else { return };
    a_changed_file_is_not_restored(async |_| database.url.clone()).await;
}

#[test]
fn a_database_in_which_there_is_nothing_gives_way_to_a_back_up() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    back_up(folder.path(), "whole.db", &[]);
    let restore = |into: &str| run(&["restore", &at("whole.db")], &format!("sqlite://{}", at(into)));
    // A server has made it and nobody has written to it: not while the server has it open, but then.
    let server =
        Server::start_over(&format!("sqlite://{}", at("made.db")), &folder.path().join("models"), &[]);
    let (done, said) = restore("made.db");
    assert!(!done && said.contains("has it open"), "{said}");
    assert_eq!(server.terminate().0, Some(0));
    std::fs::write(at("zero.db"), "").unwrap();
    for file in ["made.db", "zero.db"] {
        let (done, said) = restore(file);
        assert!(done && said.contains("users: 1 rows"), "{file}: {said}");
        let (done, said) = restore(file);
        assert!(
            !done && said.contains("it is not empty; rows: ") && said.contains("users 1"),
            "{file}: {said}"
        );
    }
    // What is no database of this program stays.
    std::fs::write(
        at("text.db"),
        "these are notes and no database, and they are long enough for a header of SQLite's",
    )
    .unwrap();
    let before = std::fs::read(at("text.db")).unwrap();
    let (done, said) = restore("text.db");
    assert!(!done && said.contains("not an SQLite database"), "{said}");
    assert_eq!(std::fs::read(at("text.db")).unwrap(), before);
}

#[test]
fn a_signed_back_up_takes_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (name, digit) in [("secret", "1"), ("other", "2")] {
        std::fs::write(at(name), digit.repeat(64)).unwrap();
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    back_up(folder.path(), "signed.db", &["--audit-key-file", &at("secret")]);
    back_up(folder.path(), "unsigned.db", &[]);
    let restore = |file: &str, key: &str, into: &str| {
        let key = if key.is_empty() { vec![] } else { vec!["--audit-key-file".to_owned(), at(key)] };
        let file = at(file);
        let mut arguments = vec!["restore", file.as_str()];
        arguments.extend(key.iter().map(String::as_str));
        run(&arguments, &format!("sqlite://{}", at(into)))
    };
    for (file, key, why) in
        [("signed.db", "other", "but by another"), ("unsigned.db", "secret", "is not signed")]
    {
        let (done, said) = restore(file, key, "never.db");
        assert!(!done && said.contains(why), "{said}");
    }
    assert!(restore("signed.db", "secret", "one.db").0);
    assert!(restore("signed.db", "", "two.db").0, "the digest fits");
    // What an earlier database left would be taken for the log of this one.
    std::fs::write(at("three.db-wal"), "x").unwrap();
    let (done, said) = restore("signed.db", "secret", "three.db");
    assert!(!done && said.contains("three.db-wal is there already"), "{said}");
}

/// What is known of resources tells people apart and which version is newest: without it the same messages, sent again to what
/// was restored, would mix people and delete allergies.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_who_and_what_waits_move_along() {
    let Some(database) = cluster::database().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let models = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let url = format!("sqlite://{}", at("live.db"));
    let allergy = |updated: &str, status: &str| {
        json!({"resourceType": "AllergyIntolerance", "id": "a1", "meta": {"lastUpdated": updated},
            "clinicalStatus": {"coding": [{"code": status}]}, "patient": {"reference": "Patient/ann"},
            "code": {"text": "penicillin"}})
    };
    let ann = entry("a.example", numbered("ann", "A1"));
    let server = Server::start_over(&url, models.path(), &[]);
    take(&server, &[ann, entry("a.example", allergy("2026-03-01T10:00:00Z", "active"))]).await;
    drop(server);
    // One row of each table that goes row by row, with what may be nothing and with bytes.
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    connection
        .execute(
            "INSERT INTO dicom_queue (sop_instance, study, patient, caller, address, received, due, file, image)
                 VALUES ('1.2', '1', 'ann', 'CT', '10.0.0.1', 5, 6, x'00ff44', 'd'), ('1.3', '1', 'bob', 'CT', '10.0.0.1', 5, 6, x'01', 'e');
             INSERT INTO dicom_queue (sop_instance, study, patient, caller, address, received, due, failure)
                 VALUES ('1.1', '1', '', 'CT', '10.0.0.1', 5, 6, 'no model');
             INSERT INTO dicom_results (sop_instance, series, study, sop_class, source, patient, model, version, created, due, metadata, file)
                 VALUES ('2.1', '2', '1', '3', '1.2', 'ann', 'm', '1', 7, 8, '{}', x'4449'), ('2.2', '2', '1', '3', '1.2', 'ann', 'm', '1', 7, NULL, '{}', x'');
             INSERT INTO hl7_results (id, source, patient, created, due, message) VALUES ('m1', '1.2', 'ann', 7, 8, 'MSH|');
             INSERT INTO bulk_exports (export, due, since) VALUES ('https://a.example/fhir', 9, '2026-01-01');
             INSERT INTO cds_offers (card, suggestion, patient, item_id, offered) VALUES ('c', '', 'ann', 'drug', 1);
             INSERT INTO answers_by_hour (model, version, hour, label, answers, confidence) VALUES ('m', '1', 1, 'l', 2, 3)",
        )
        .await
        .unwrap();
    connection.close().await.unwrap();
    let (made, first) = run(&["backup", &at("first.db")], &url);
    assert!(made, "{first}");
    for table in [
        "dicom_queue: 3",
        "dicom_results: 2",
        "hl7_results: 1",
        "bulk_exports: 1",
        "cds_offers: 1",
        "answers_by_hour: 1",
    ] {
        assert!(first.contains(&format!("{table} rows")), "{table}: {first}");
    }
    assert!(!first.contains("resources_known: 0"), "{first}");
    let (moved, told) = run(&["restore", &at("first.db")], &database.url);
    assert!(moved, "{told}");
    let (made, second) = run(&["backup", &at("second.db")], &database.url);
    assert!(made, "{second}");
    let again = format!("sqlite://{}", at("again.db"));
    let (back, third) = run(&["restore", &at("second.db")], &again);
    assert!(back, "{third}");
    assert_eq!((&told, &second, &third), (&first, &first, &first));
    for url in [&database.url, &again] {
        let server = Server::start_over(url, models.path(), &[]);
        // A queue that is replayed.
        take(&server, &[entry("a.example", allergy("2026-02-01T10:00:00Z", "inactive"))]).await;
        assert_eq!(list(&server, "ann", "allergies").await, json!(["penicillin"]), "{url}");
        let (status, words) = refused(&server, &[entry("b.example", numbered("ann", "B7"))]).await;
        assert_eq!(status, 409, "{url}: {words}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .args(["backup", &at("third.db"), "--database-url", &database.url])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("left out: the audit"), "{said}");
}
