//! One decision whole, black box: by which package an answer was given and on what evidence, with the model's card;
//! and nothing in it of what was said of the person.

use std::path::Path;

use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Server, api_key, copy_model, postgres as cluster, shipped_models};

const ADMIN: &str = "key-of-the-administrator";

fn arguments<'a>(keys: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--audit", "fail", "--api-keys", keys][..], more].concat()
}

fn keys() -> String {
    api_key("root", "admin", ADMIN)
}

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    let request = Client::new().post(server.at(path)).bearer_auth(ADMIN).json(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

async fn get(server: &Server, path: &str) -> Value {
    let response = Client::new().get(server.at(path)).bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

/// The last decision on this route; answers waited for their rows.
async fn last(server: &Server, route: &str) -> Value {
    let page = get(server, "/v1/audit").await;
    let row = page["rows"].as_array().unwrap().iter().find(|row| row["route"] == route).unwrap().clone();
    get(server, &format!("/v1/audit/{}", row["number"])).await
}

fn digest(package: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(package.join("manifest.json")).unwrap()))
}

#[tokio::test]
async fn a_decision_says_what_it_rested_on_on_both_stores() {
    const CANARY: &str = "Zyxwvut-Canary-4711";
    for database in [None, cluster::database().await] {
        let keys = keys();
        let arguments = arguments(&keys, &[]);
        let server = match &database {
            Some(database) => Server::start_over(&database.url, &shipped_models(), &arguments),
            None => Server::start(&shipped_models(), &arguments),
        };
        let note = format!("{CANARY} found unresponsive at home");
        let body = json!({"model": "triage", "records": [{"note": note, "fields": {"spo2": 61.5}}, {"note": "cough"}]});
        let answer = post(&server, "/v1/notes/classify", &body).await;
        let whole = last(&server, "/v1/notes/classify").await;
        let results = whole["evidence"]["results"].as_array().unwrap();
        assert_eq!(results.len(), 2, "{whole}");
        for (kept, result) in results.iter().zip(answer["results"].as_array().unwrap()) {
            let told = result["predictions"].as_array().unwrap();
            assert_eq!(kept["predictions"], json!(told[..told.len().min(5)]), "{whole}");
            assert_eq!(kept.get("reason"), result.get("reason"));
            assert_eq!(kept["missing_fields"], result["missing_fields"]);
        }
        let flags = |result: &Value| result["red_flags"].as_array().cloned().unwrap_or_default();
        let kept: Vec<Value> = flags(&results[0]);
        assert!(kept.iter().any(|flag| flag["sign"] == "spo2"), "{whole}");
        assert!(kept.iter().all(|flag| flag.get("value").is_none()), "{whole}");
        assert_eq!(kept.len(), flags(&answer["results"][0]).len());
        let text = whole["evidence"].to_string();
        assert!(
            !text.contains(CANARY) && !text.contains("61.5") && !text.contains("unresponsive at"),
            "{text}"
        );
        // The model, by its package and its card.
        let model = &whole["models"][0];
        assert_eq!((&model["name"], &model["version"]), (&answer["model"], &answer["version"]));
        let package = shipped_models().join("triage").join(answer["version"].as_str().unwrap());
        assert_eq!(
            (&model["package_sha256"], &model["in_service"]),
            (&json!(digest(&package)), &json!(true))
        );
        assert_eq!(model["card"], get(&server, "/v1/models/triage/card.json").await);
        assert_eq!(whole["feedback"], json!([]));
        // A call that no model answered has neither.
        let other = last(&server, "/v1/audit").await;
        assert_eq!((&other["evidence"], &other["models"]), (&Value::Null, &json!([])));
    }
}

#[tokio::test]
async fn an_abstention_says_why_and_exclusions_say_the_rule_alone() {
    let keys = keys();
    let server = Server::start(&shipped_models(), &arguments(&keys, &["--demo"]));
    let blank = vision::Image::new(64, 64, vision::Samples::Gray8(vec![0; 64 * 64])).unwrap();
    let blank = vision::write::png(&blank).unwrap();
    let request = Client::new().post(server.at("/v1/images/classify?model=pneumonia")).bearer_auth(ADMIN);
    let answer: Value = request.body(blank).send().await.unwrap().json().await.unwrap();
    let whole = last(&server, "/v1/images/classify").await;
    assert_eq!(whole["abstained"], true, "{answer}");
    assert_eq!(whole["evidence"]["results"][0]["reason"], answer["results"][0]["reason"]);

    let profile = json!({"profile": {"birth_year": 1958, "sex": "female", "allergies": ["penicillin"], "medications": ["warfarin"],
        "conditions": ["hypertension", "type 2 diabetes", "pneumonia"], "pregnant": false}});
    let put = Client::new().put(server.at("/v1/users/p")).bearer_auth(ADMIN).json(&profile);
    assert_eq!(put.send().await.unwrap().status(), 200);
    let answer = get(&server, "/v1/users/p/recommendations?kind=drug").await;
    let whole = last(&server, "/v1/users/{user_id}/recommendations").await;
    let kept = &whole["evidence"]["recommendation"];
    assert_eq!((&kept["strategy"], &kept["as_of"]), (&answer["strategy"], &answer["as_of"]));
    let (excluded, told) = (kept["excluded"].as_array().unwrap(), answer["excluded"].as_array().unwrap());
    assert!(!told.is_empty(), "{answer}");
    for (kept, told) in excluded.iter().zip(told) {
        assert_eq!(kept["item_id"], told["item_id"]);
        let reason = told["reason"].as_str().unwrap();
        assert_eq!(kept["rule"].as_str().unwrap(), reason.split(':').next().unwrap());
        assert_eq!(kept.as_object().unwrap().len(), 2, "{kept}");
    }
    assert_eq!(excluded.len() as u64 + kept["more_excluded"].as_u64().unwrap_or(0), told.len() as u64);
}

#[tokio::test]
async fn the_card_of_a_replaced_package_is_that_of_the_one_that_answered() {
    let models = tempfile::tempdir().unwrap();
    let first = copy_model("triage", models.path());
    let keys = keys();
    let server = Server::start(models.path(), &arguments(&keys, &[]));
    let body = json!({"model": "triage", "records": [{"note": "cough"}]});
    post(&server, "/v1/notes/classify", &body).await;
    let before = last(&server, "/v1/notes/classify").await;
    assert_eq!(before["models"][0]["in_service"], true);

    let second = models.path().join("triage").join("2");
    std::fs::create_dir(&second).unwrap();
    for entry in std::fs::read_dir(&first).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, second.join(path.file_name().unwrap())).unwrap();
    }
    let mut manifest: Value =
        serde_json::from_slice(&std::fs::read(first.join("manifest.json")).unwrap()).unwrap();
    manifest["version"] = json!("2");
    manifest["description"] = json!("Another one.");
    std::fs::write(second.join("manifest.json"), manifest.to_string()).unwrap();
    post(&server, "/v2/repository/models/triage/load", &json!({})).await;
    let number = &before["number"];
    let whole = get(&server, &format!("/v1/audit/{number}")).await;
    let model = &whole["models"][0];
    assert_eq!((&model["version"], &model["in_service"]), (&json!("1"), &json!(false)));
    assert_eq!(model["card"], before["models"][0]["card"]);
    // A package that was changed since is not the one that answered.
    manifest["version"] = json!("1");
    std::fs::write(first.join("manifest.json"), manifest.to_string()).unwrap();
    let whole = get(&server, &format!("/v1/audit/{number}")).await;
    assert_eq!(whole["models"][0]["card"], Value::Null);
    assert_eq!(whole["models"][0]["package_sha256"], before["models"][0]["package_sha256"]);
}
