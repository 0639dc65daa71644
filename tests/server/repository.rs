//! Models change while serving, black box: versions are listed, loaded, refused and taken out,
//! and no request fails for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Server, api_key, copy_model};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const TOKEN: &str = "a-token-of-administrators";

fn server(models: &Path) -> Server {
    Server::start(models, &["--api-keys", &api_key("operator", "admin", TOKEN), "--engines", "2"])
}

/// Writes version 2 of a copied model, which differs from version 1 in its number alone.
fn second_version(first: &Path) -> std::path::PathBuf {
    let second = first.with_file_name("2");
    std::fs::create_dir(&second).unwrap();
    for entry in std::fs::read_dir(first).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, second.join(path.file_name().unwrap())).unwrap();
    }
    let file = second.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    manifest["version"] = json!("2");
    std::fs::write(&file, manifest.to_string()).unwrap();
    second
}

async fn repository(server: &Server, path: &str, body: &str) -> (u16, Value) {
    let request = Client::new().post(server.at(&format!("/v2/repository/{path}"))).bearer_auth(TOKEN);
    let response = request.body(body.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Asks the triage model; the status and the version that answered.
async fn ask(client: &Client, url: &str) -> (StatusCode, Value) {
    let body =
        json!({"inputs": [{"name": "note", "datatype": "BYTES", "shape": [1], "data": ["chest pain"]}]});
    let response = client.post(url).bearer_auth(TOKEN).body(body.to_string()).send().await.unwrap();
    (response.status(), response.json::<Value>().await.unwrap()["model_version"].clone())
}

#[tokio::test]
async fn versions_are_listed_loaded_and_taken_out() {
    let models = tempfile::tempdir().unwrap();
    let first = copy_model("triage", models.path());
    let server = server(models.path());
    let url = server.at("/v2/models/triage/infer");
    let client = Client::new();
    let entry = |version: &str, state: &str| json!({"name": "triage", "version": version, "state": state, "reason": ""});
    assert_eq!(repository(&server, "index", "").await, (200, json!([entry("1", "READY")])));

    second_version(&first);
    let (_, index) = repository(&server, "index", "{}").await;
    assert_eq!(index, json!([entry("1", "READY"), entry("2", "UNAVAILABLE")]));
    assert_eq!(ask(&client, &url).await, (StatusCode::OK, json!("1")));
    let (status, loaded) = repository(&server, "models/triage/load", "").await;
    assert_eq!((status, loaded), (200, json!({"name": "triage", "version": "2"})));
    assert_eq!(ask(&client, &url).await, (StatusCode::OK, json!("2")));
    let (_, ready) = repository(&server, "index", r#"{"ready": true}"#).await;
    assert_eq!(ready, json!([entry("2", "READY")]));

    // Back again, by its number.
    let body = r#"{"parameters": {"version": "1"}}"#;
    assert_eq!(repository(&server, "models/triage/load", body).await.0, 200);
    assert_eq!(ask(&client, &url).await, (StatusCode::OK, json!("1")));

    assert_eq!(repository(&server, "models/triage/unload", "{}").await, (200, json!({"name": "triage"})));
    assert_eq!(ask(&client, &url).await.0, StatusCode::NOT_FOUND);
    assert_eq!(repository(&server, "models/triage/unload", "").await.0, 404);
    let ready = client.get(server.at("/v2/health/ready")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(repository(&server, "models/triage/load", "").await.0, 200);
    assert_eq!(ask(&client, &url).await, (StatusCode::OK, json!("2")));
}

#[tokio::test]
async fn a_bad_package_says_why_and_leaves_the_old_one_serving() {
    let models = tempfile::tempdir().unwrap();
    let first = copy_model("triage", models.path());
    let server = server(models.path());
    let second = second_version(&first);
    let weights = second.join("model.safetensors");
    let sound = std::fs::read(&weights).unwrap();
    let mut bytes = sound.clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();

    let (status, refusal) = repository(&server, "models/triage/load", "").await;
    let why = refusal["error"].as_str().unwrap();
    assert!(status == 422 && why.contains("model.safetensors") && why.contains("sha256"), "{status} {why}");
    let url = server.at("/v2/models/triage/infer");
    assert_eq!(ask(&Client::new(), &url).await, (StatusCode::OK, json!("1")));
    let (_, index) = repository(&server, "index", "").await;
    assert_eq!(index[0]["state"], "READY");
    assert_eq!((&index[1]["state"], &index[1]["reason"]), (&json!("UNAVAILABLE"), &json!(why)));

    std::fs::write(&weights, sound).unwrap();
    assert_eq!(repository(&server, "models/triage/load", "").await.0, 200);
    let (_, index) = repository(&server, "index", "").await;
    assert_eq!((&index[1]["state"], &index[1]["reason"]), (&json!("READY"), &json!("")));
}

#[tokio::test]
async fn no_request_fails_while_models_are_swapped_under_load() {
    let models = tempfile::tempdir().unwrap();
    second_version(&copy_model("triage", models.path()));
    let server = server(models.path());
    let url = server.at("/v2/models/triage/infer");
    let (done, answers) = (Arc::new(AtomicBool::new(false)), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let answers = Arc::new(answers);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (url, done, answers) = (url.clone(), done.clone(), answers.clone());
            tokio::spawn(async move {
                let client = Client::new();
                while !done.load(Ordering::Relaxed) {
                    let (status, version) = ask(&client, &url).await;
                    assert_eq!(status, StatusCode::OK);
                    let at = usize::from(version == "2");
                    answers[at].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Each version serves until it has answered, so that every swap happens under load.
    for round in 0..10 {
        let at = usize::from(round % 2 == 0);
        let body = format!(r#"{{"parameters": {{"version": "{}"}}}}"#, at + 1);
        let (status, loaded) = repository(&server, "models/triage/load", &body).await;
        assert_eq!(status, 200, "{loaded}");
        let before = answers[at].load(Ordering::Relaxed);
        while answers[at].load(Ordering::Relaxed) < before + 10 {
            assert!(clients.iter().all(|client| !client.is_finished()));
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn only_administrators_change_models_and_only_with_what_is_understood() {
    let models = tempfile::tempdir().unwrap();
    copy_model("triage", models.path());
    let server = server(models.path());
    for path in ["index", "models/triage/load", "models/triage/unload"] {
        let url = server.at(&format!("/v2/repository/{path}"));
        for request in
            [Client::new().post(&url), Client::new().post(&url).bearer_auth("another token of someone")]
        {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert!(response.json::<Value>().await.unwrap()["error"].is_string());
        }
    }
    for (path, body, status) in [
        ("models/none/load", "", 404),
        ("models/..%2F..%2Fetc/load", "", 404),
        ("models/triage/load", r#"{"parameters": {"version": "3"}}"#, 404),
        ("models/triage/load", r#"{"parameters": {"version": "../1"}}"#, 404),
        ("models/triage/load", r#"{"parameters": {"config": "{}"}}"#, 400),
        ("models/triage/load", r#"{"parameters": 1}"#, 400),
        ("models/triage/load", "[", 400),
        ("index", r#"{"ready": "yes"}"#, 400),
    ] {
        let (got, answer) = repository(&server, path, body).await;
        assert_eq!(got, status, "{path} {body}: {answer}");
        assert!(answer["error"].is_string(), "{answer}");
    }
}
