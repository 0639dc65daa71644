//! What whoever writes items is told of their words, and what becomes of items in words that nobody understands: by PUT, by an
//! import of items and by one of interactions.

use std::path::Path;
use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::recommendations::{assert_problem, empty, get, ids, put, send};
use crate::support::Server;
use crate::support::postgres as cluster;

const DRUGS: &str = "/v1/users/me/recommendations?kind=drug";

/// Somebody with this profile, and another who takes what may be recommended.
async fn ask(server: &Server, profile: Value) -> Value {
    let mut whole =
        json!({"birth_year": 1980, "sex": "male", "allergies": [], "medications": [], "conditions": []});
    whole.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    put(server, "/v1/users/me", whole).await;
    get(server, DRUGS).await
}

#[tokio::test]
async fn a_rule_in_words_that_are_not_understood_is_told_and_fails_closed() {
    let server = empty();
    put(&server, "/v1/users/other", json!({"profile": {}})).await;
    let item = json!({"kind": "drug", "name": "Zorbamox", "contraindications": {
        "allergies": ["penicilin"], "conditions": ["kidny failure"], "interacts_with": ["wafarin"],
        "rules": [{"about": "condition", "code": "hart failure", "severity": "contraindicated"}]}});
    let answer = send(&server, Method::PUT, "/v1/items/z", Some(item)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    let flags: Vec<&str> =
        answer["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
    let said =
        "/contraindications/allergies/0: \"penicilin\" is not understood; did you mean \"penicillin\"?";
    assert!(flags.len() == 4 && flags.contains(&said), "{flags:?}");
    let taken = json!([{"user_id": "other", "item_id": "z", "time": "2026-01-05T08:00:00Z"}]);
    send(&server, Method::POST, "/v1/interactions", Some(taken)).await;
    for (person, reason) in [
        (json!({"allergies": ["penicillin"]}), "item: its rule about \"penicilin\" is not understood"),
        (json!({"medications": ["warfarin"]}), "item: its rule about \"wafarin\" is not understood"),
        (
            json!({"conditions": ["kidney failure"]}),
            "item: its rule about \"kidny failure\" is not understood; did you mean \"kidney failure\"?",
        ),
        (
            json!({"conditions": ["heart failure"]}),
            "item: its rule about \"hart failure\" is not understood; did you mean \"heart failure\"?",
        ),
    ] {
        let answer = ask(&server, person).await;
        assert_eq!(answer["excluded"], json!([{"item_id": "z", "reason": reason}]), "{answer}");
    }
    assert_eq!(ids(&ask(&server, json!({})).await, "items"), ["z"]);
    // What is understood is not told.
    let item =
        json!({"kind": "drug", "name": "Zorbamox", "contraindications": {"allergies": ["penicillin"]}});
    let answer = send(&server, Method::PUT, "/v1/items/z", Some(item)).await;
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"created": 0, "updated": 1, "unchanged": 0}));
}

#[tokio::test]
async fn what_is_read_of_attributes_is_a_list_of_texts() {
    let server = empty();
    for (name, value, fits) in [
        ("codes", json!(["atc:J01CA04"]), true),
        ("codes", json!("atc:J01CA04"), false),
        ("codes", json!([{"system": "atc", "code": "J01CA04"}]), false),
        ("codes", json!({"atc": "J01CA04"}), false),
        ("codes", json!([7]), false),
        ("synonyms", json!("amoxicillin"), false),
        ("treats", json!("pneumonia"), false),
        ("shelf", json!("a text of the client's own"), true),
    ] {
        let item = json!({"kind": "drug", "name": "Zorbamox", "attributes": {name: value}});
        let answer = send(&server, Method::PUT, "/v1/items/z", Some(item)).await;
        match fits {
            true => assert_eq!(answer.status(), StatusCode::OK, "{name}: {value}"),
            false => assert_problem(answer, 422, &format!("/attributes/{name}")).await,
        }
        // Of other kinds nothing is read.
        let place = json!({"kind": "hospital", "name": "Zorb Hill", "attributes": {name: value}});
        put(&server, "/v1/items/place", place).await;
    }
}

#[tokio::test]
async fn a_profile_of_null_is_refused_by_its_shape() {
    let server = empty();
    let answer = send(&server, Method::PUT, "/v1/users/me", Some(json!({"profile": null}))).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let told = answer.text().await.unwrap();
    assert!(told.contains("null") && !told.contains("unknown field"), "{told}");
}

fn import(folder: &Path, url: &str, arguments: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .arg("import")
        .args(arguments.split_whitespace())
        .env("DATABASE_URL", url)
        .current_dir(folder)
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_tell_of_words_and_do_not_describe_what_interactions_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let mut urls = vec![format!("sqlite://{}/words.db", folder.display())];
    let postgres = cluster::database().await;
    urls.extend(postgres.as_ref().map(|database| database.url.clone()));
    let drug = |id: &str, rules: Value| {
        format!("{}\n", json!({"item_id": id, "kind": "drug", "name": id, "contraindications": rules}))
    };
    let ours = drug("our mixture", json!({"pregnancy": true}));
    let file = drug("aspirin", json!({"allergies": ["penicilin"], "interacts_with": ["our mixture"]}));
    write("drugs.jsonl", &(ours + &file));
    write("array.jsonl", "[{\"item_id\": \"a\"}]\n");
    write("taken.csv", "U,I\n1,PENVK500\n2,metformin\n3,aspirin\n");
    for url in urls {
        let (done, told) = import(folder, &url, "items drugs.jsonl");
        let flag = "line 2: /contraindications/allergies/0: \"penicilin\" is not understood; did you mean \"penicillin\"?";
        assert!(done && told.contains(flag) && !told.contains("our mixture\" is"), "{told}");
        let (done, told) = import(folder, &url, "items array.jsonl");
        assert!(!done && told.contains("line 1: must be one JSON object a line, and no array"), "{told}");
        let (done, told) =
            import(folder, &url, "interactions taken.csv --kind drug --user-column U --item-column I");
        assert!(done && told.contains("items: 2 created"), "{told}");

        let server = Server::start_over(&url, &folder.join("models"), &[]);
        let answer = ask(&server, json!({})).await;
        assert_eq!(ids(&answer, "items").len(), 3, "{answer}");
        let answer = ask(&server, json!({"allergies": ["penicillin"]})).await;
        let cautions: Vec<_> =
            answer["items"].as_array().unwrap().iter().map(|item| &item["cautions"]).collect();
        assert_eq!(cautions, [&json!(["item: no rules are known about \"metformin\""])], "{answer}");
        let reason = json!("item: \"PENVK500\" is not understood");
        assert!(answer["excluded"].as_array().unwrap().iter().any(|out| out["reason"] == reason), "{answer}");
        assert_eq!(
            get(&server, "/v1/items/PENVK500").await["attributes"],
            json!({"imported": "interactions"})
        );
        // Whoever writes the item describes it.
        put(&server, "/v1/items/metformin", json!({"kind": "drug", "name": "metformin"})).await;
        let answer = ask(&server, json!({"allergies": ["penicillin"]})).await;
        assert_eq!(ids(&answer, "items"), ["metformin"], "{answer}");
        assert!(answer["items"][0]["cautions"].as_array().is_none_or(Vec::is_empty), "{answer}");
    }
}
