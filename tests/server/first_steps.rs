//! What the README promises somebody who tries it: the invented region answers as it is written
//! there, and files go in by the commands that are given there, whole or not at all.

use std::path::Path;
use std::process::Command;

use crate::support::Server;
use crate::support::postgres as cluster;
use serde_json::{Value, json};

const README: &str = include_str!("../../README.md");

/// The command of the README that contains `words`, and the JSON given below it.
fn example(words: &str) -> (&'static str, Value) {
    let command = README.lines().find(|line| line.starts_with("curl") && line.contains(words)).unwrap();
    let (_, after) = README.split_once(command).unwrap();
    let (_, answer) = after.split_once("```json\n").unwrap();
    let (answer, _) = answer.split_once("```").unwrap();
    (command, serde_json::from_str(answer).unwrap())
}

async fn get(server: &Server, path: &str) -> Value {
    let response = reqwest::get(server.at(path)).await.unwrap();
    assert_eq!(response.status(), reqwest::StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn the_invented_region_answers_as_the_readme_says() {
    let models = tempfile::tempdir().unwrap();
    let server = Server::start(models.path(), &["--demo"]);
    let (command, mut promised) = example("/v1/users/u17/recommendations");
    let (_, path) = command.split_once("http://127.0.0.1:8080").unwrap();
    let mut answer = get(&server, path.trim_end_matches('\'')).await;
    // The one thing that is of the moment.
    for answer in [&mut promised, &mut answer] {
        assert!(answer.as_object_mut().unwrap().remove("as_of").unwrap().is_string());
    }
    assert_eq!(answer, promised);

    let drugs = "/v1/users/u1/recommendations?kind=drug";
    assert!(README.contains(drugs));
    let excluded = get(&server, drugs).await["excluded"].clone();
    for promised in [
        r#"{"item_id":"amoxicillin","reason":"allergy: penicillin"}"#,
        r#"{"item_id":"itraconazole","reason":"interaction: atorvastatin","severity":"serious","note":"muscle damage"}"#,
    ] {
        assert!(README.contains(promised), "{promised}");
        let promised: Value = serde_json::from_str(promised).unwrap();
        assert!(excluded.as_array().unwrap().contains(&promised), "{promised} is not in {excluded}");
    }
}

/// Runs a command of the README in `folder`: whether it succeeded, and what it said.
fn run(folder: &Path, database: &str, command: &str) -> (bool, String) {
    assert!(README.lines().any(|line| line == command), "{command:?} is not in the README");
    let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .args(command.split_whitespace().skip(1))
        .env("DATABASE_URL", database)
        .current_dir(folder)
        .output()
        .unwrap();
    // Which database it was stands on standard error.
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_in_whole_or_not_at_all() {
    let users = "medserve import users people.jsonl";
    let items = "medserve import items drugs.jsonl";
    let interactions = "medserve import interactions prescriptions.csv --kind drug --user-column SEQN \
                        --item-column RXDDRUG";
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let mut urls = vec![format!("sqlite://{}/import.db", folder.display())];
    let postgres = cluster::database().await;
    urls.extend(postgres.as_ref().map(|database| database.url.clone()));
    for url in urls {
        let person = |id: &str| json!({"user_id": id, "profile": {"allergies": [], "medications": []}});
        let drug = |id: &str| json!({"item_id": id, "kind": "drug", "name": id});
        // Each file has a fault in its last line at first.
        write("people.jsonl", &format!("{}\n{{\"user_id\": 7}}\n", person("1")));
        write("drugs.jsonl", &format!("{}\n\n{}\n", drug("ASPIRIN"), drug(" ")));
        write("prescriptions.csv", "SEQN,RXDDRUG\n1,ASPIRIN\n2,ASPIRIN\n,INSULIN\n");
        for (command, file, problem) in [
            (users, "people.jsonl", "line 2: invalid type"),
            (items, "drugs.jsonl", "line 3: /name must not be blank"),
            (interactions, "prescriptions.csv", "line 4: column SEQN must not be empty"),
        ] {
            let (done, said) = run(folder, &url, command);
            assert!(!done, "{said}");
            assert!(
                said.contains(&format!("{file}: nothing was imported")) && said.contains(problem),
                "{said}"
            );
        }

        write("people.jsonl", &format!("{}\n{}\n", person("1"), person("2")));
        write("drugs.jsonl", &format!("{}\n{}\n", drug("ASPIRIN"), drug("INSULIN")));
        write("prescriptions.csv", "SEQN,RXDDRUG\n1,ASPIRIN\n2,ASPIRIN\n2,INSULIN\n");
        let created = |rows: u64, what: &str, count: u64| {
            format!("{rows} rows read; {what}: {count} created, 0 updated, 0 unchanged\n")
        };
        // Had anything of the faulty files stayed, it would not be created now.
        assert_eq!(run(folder, &url, users), (true, created(2, "users", 2)));
        assert_eq!(run(folder, &url, items), (true, created(2, "items", 2)));
        assert_eq!(run(folder, &url, interactions), (true, created(3, "interactions", 3)));
        let again = "3 rows read; interactions: 0 created, 0 updated, 3 unchanged\n".to_owned();
        assert_eq!(run(folder, &url, interactions), (true, again));

        let server = Server::start_over(&url, &folder.join("models"), &[]);
        let answer = get(&server, "/v1/users/1/recommendations?kind=drug").await;
        assert_eq!(answer["items"][0]["item_id"], "INSULIN", "{answer}");
    }
}
