//! Vectors of texts over HTTP, black box: what OpenAI's clients send and read, what the vectors are worth,
//! and every way in which a request can be bad.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::manifest::{Architecture, Manifest, VectorsConfig};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use text::vectors::WordVectors;
use text::vectors::words::word_hash;

use crate::support::{Server, shipped_models, until};

/// Words with their vectors: what is of the chest goes one way, what is of the skin another.
const WORDS: [(&str, [f32; 3]); 6] = [
    ("chest", [1.0, 0.0, 0.1]),
    ("heart", [0.9, 0.1, 0.0]),
    ("pain", [0.6, 0.4, 0.0]),
    ("rash", [0.0, 1.0, 0.1]),
    ("skin", [0.1, 0.9, 0.0]),
    ("the", [0.0, 0.0, 1.0]),
];

/// Writes a package of a few words under `models`.
pub(crate) fn write_package(models: &Path, name: &str) {
    write_version(models, name, "1");
}

/// The same as this version.
pub(crate) fn write_version(models: &Path, name: &str, version: &str) {
    let mut words = WORDS;
    words.sort_by_key(|(word, _)| word_hash(word));
    let config = VectorsConfig {
        dimensions: 3,
        words: WORDS.len(),
        subwords: 0,
        min_characters: 3,
        max_characters: 6,
        common: 0,
        damped: false,
    };
    let weight = |word: &str| if word == "the" { 0.01 } else { 1.0 };
    let vectors = WordVectors {
        config: config.clone(),
        hashes: words.iter().map(|(word, _)| word_hash(word)).collect(),
        table: words.iter().flat_map(|(_, row)| *row).collect(),
        weights: words.iter().map(|(word, _)| weight(word)).chain([1.0]).collect(),
        common: Vec::new(),
    };
    let mut manifest: Manifest = serde_json::from_value(json!({
        "format": 1, "name": name, "version": version, "description": "A few words.", "labels": [],
        "input": {"kind": "text", "max_tokens": 100},
        "architecture": Architecture::Vectors(config),
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "words", "source": "made up", "licence": "none", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": "test"},
        "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0},
    }))
    .unwrap();
    let none: &[(&str, Vec<u8>)] = &[];
    model::Package::write(models, &mut manifest, &vectors.tensors().unwrap(), "# Words\n", none).unwrap();
}

fn server(arguments: &[&str]) -> (Server, tempfile::TempDir) {
    let models = tempfile::tempdir().unwrap();
    write_package(models.path(), "words");
    (Server::start(models.path(), arguments), models)
}

async fn post(server: &Server, body: &Value) -> Response {
    let request = Client::new().post(server.at("/v1/embeddings"));
    request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
}

async fn answer(server: &Server, body: Value) -> Value {
    let response = post(server, &body).await;
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer
}

fn numbers(entry: &Value) -> Vec<f32> {
    entry["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn texts_that_mean_the_like_are_near_and_every_vector_has_length_1() {
    let (server, _models) = server(&[]);
    let texts = ["chest pain", "the heart", "rash on the skin"];
    let answer = answer(&server, json!({"model": "words", "input": texts})).await;
    assert_eq!(
        (&answer["object"], &answer["model"], &answer["version"]),
        (&json!("list"), &json!("words"), &json!("1"))
    );
    assert_eq!(answer["usage"], json!({"prompt_tokens": 8, "total_tokens": 8}));
    let data = answer["data"].as_array().unwrap();
    for (index, entry) in data.iter().enumerate() {
        assert_eq!((&entry["object"], &entry["index"]), (&json!("embedding"), &json!(index)));
        assert!((product(&numbers(entry), &numbers(entry)) - 1.0).abs() < 1e-5);
    }
    let near = product(&numbers(&data[0]), &numbers(&data[1]));
    let far = product(&numbers(&data[0]), &numbers(&data[2]));
    assert!(near > far + 0.3, "{near} {far}");
}

#[tokio::test]
async fn one_text_alone_base64_and_fewer_dimensions_are_as_in_openai_s_api() {
    let (server, _models) = server(&[]);
    let whole = answer(&server, json!({"model": "words", "input": "chest pain", "user": "ward-7"})).await;
    let whole = numbers(&whole["data"][0]);
    let packed =
        answer(&server, json!({"model": "words", "input": "chest pain", "encoding_format": "base64"})).await;
    let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let read: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(read, whole);
    let fewer = answer(&server, json!({"model": "words", "input": "chest pain", "dimensions": 2})).await;
    let fewer = numbers(&fewer["data"][0]);
    assert_eq!(fewer.len(), 2);
    assert!((product(&fewer, &fewer) - 1.0).abs() < 1e-5);
    assert!((fewer[0] / fewer[1] - whole[0] / whole[1]).abs() < 1e-3);
    // The only model that fits needs no name.
    let unnamed = answer(&server, json!({"input": "chest pain"})).await;
    assert_eq!(numbers(&unnamed["data"][0]), whole);
}

#[tokio::test]
async fn company_order_and_script_change_no_vector() {
    let (server, _models) = server(&[]);
    let long = "chest ".repeat(5000);
    let texts = ["CHEST, pain!", "胸痛 😷", "\u{202e}tsehc", "pain", &long, "?"];
    let all = answer(&server, json!({"input": texts})).await;
    for (index, text) in texts.iter().enumerate() {
        let alone = answer(&server, json!({"input": [text]})).await;
        assert_eq!(alone["data"][0]["embedding"], all["data"][index]["embedding"], "{text}");
    }
    // Nothing the model knows: no direction rather than any.
    assert_eq!(numbers(&all["data"][5]), [0.0, 0.0, 0.0]);
    // At most 100 words are read.
    assert_eq!(all["usage"]["total_tokens"], 2 + 2 + 1 + 1 + 100);
}

#[tokio::test]
async fn ten_thousand_texts_are_answered_and_one_more_is_refused() {
    let (server, _models) = server(&["--queue", "8", "--max-batch", "4"]);
    let texts: Vec<&str> = (0..10_000).map(|number| WORDS[number % WORDS.len()].0).collect();
    let many = answer(&server, json!({"input": texts, "encoding_format": "base64"})).await;
    let data = many["data"].as_array().unwrap();
    assert_eq!(data.len(), 10_000);
    assert_eq!(data[1]["embedding"], data[9_997]["embedding"]);
    assert_ne!(data[0]["embedding"], data[1]["embedding"]);
    let more: Vec<&str> = texts.iter().copied().chain(["pain"]).collect();
    let problem = assert_problem(post(&server, &json!({"input": more})).await, 422, &["/input"]).await;
    assert!(problem["detail"].as_str().unwrap().contains("10,000"), "{problem}");
}

#[tokio::test]
async fn the_shipped_vectors_know_other_words_for_a_thing_and_misspelt_ones() {
    let server = Server::start(&shipped_models(), &[]);
    let texts = [
        "What are the treatments for high blood pressure?",
        "hypertension therapy",
        "skin rash",
        "cardiac amyloidosis",
        "Hello doctor, my mother has cardiac amylodosis, thank you very much",
    ];
    let answer = answer(&server, json!({"model": "medical-vectors", "input": texts})).await;
    let vectors: Vec<Vec<f32>> = answer["data"].as_array().unwrap().iter().map(numbers).collect();
    let near = |a: usize, b: usize| product(&vectors[a], &vectors[b]);
    assert!(near(0, 1) > near(0, 2) + 0.2, "{} {}", near(0, 1), near(0, 2));
    assert!(near(3, 4) > near(0, 4) + 0.3, "{} {}", near(3, 4), near(0, 4));
}

async fn assert_problem(response: Response, status: u16, pointers: &[&str]) -> Value {
    let got = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_string();
    let body: Value = response.json().await.unwrap();
    assert_eq!((got, kind.as_str()), (status, "application/problem+json"), "{body}");
    let empty = Vec::new();
    let errors = body["errors"].as_array().unwrap_or(&empty);
    let found: Vec<&str> = errors.iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(found, pointers, "{body}");
    body
}

#[tokio::test]
async fn what_cannot_be_is_a_problem_that_says_where() {
    let (server, models) = server(&[]);
    for (body, status, pointers) in [
        (json!({"input": []}), 422, vec!["/input"]),
        (json!({"input": ""}), 422, vec!["/input"]),
        (json!({"input": 7}), 422, vec!["/input"]),
        (json!({"input": null}), 422, vec!["/input"]),
        (json!({"input": ["pain", "", 3, null]}), 422, vec!["/input/1", "/input/2", "/input/3"]),
        (json!({"input": "pain", "encoding_format": "int8"}), 400, vec!["/encoding_format"]),
        (json!({"input": "pain", "dimensions": 0}), 400, vec!["/dimensions"]),
        (json!({"input": "pain", "dimensions": 4}), 400, vec!["/dimensions"]),
        (json!({"input": "pain", "model": "none"}), 404, vec![]),
        (json!({"input": "a".repeat((1 << 20) + 1)}), 422, vec!["/input"]),
    ] {
        assert_problem(post(&server, &body).await, status, &pointers).await;
    }
    // What clients that count tokens themselves send.
    for tokens in [json!([[15339, 1917], [3]]), json!([15339])] {
        let response = post(&server, &json!({"model": "words", "input": tokens})).await;
        assert_eq!(response.status(), 422);
        let text = response.text().await.unwrap();
        assert!(text.contains("token numbers are another tokenizer's"), "{text}");
    }
    let extra = post(&server, &json!({"input": "pain", "colour": "red"})).await;
    assert_eq!(extra.status(), 422);
    drop(server);
    // Of two models one has to be named.
    write_package(models.path(), "more-words");
    let server = Server::start(models.path(), &[]);
    let problem = assert_problem(post(&server, &json!({"input": "pain"})).await, 400, &["/model"]).await;
    assert!(problem["detail"].as_str().unwrap().contains("more-words, words"), "{problem}");
}

#[tokio::test]
async fn the_index_the_audit_and_the_other_routes_know_the_task() {
    let (server, _models) = server(&[]);
    let model: Value = reqwest::get(server.at("/v1/models/words")).await.unwrap().json().await.unwrap();
    assert_eq!((&model["task"], &model["labels"]), (&json!("text-embedding"), &json!([])));
    let card = reqwest::get(server.at("/v1/models/words/card.json")).await.unwrap();
    assert_eq!(card.status(), 200);
    let metadata: Value = reqwest::get(server.at("/v2/models/words")).await.unwrap().json().await.unwrap();
    assert_eq!(metadata["inputs"], json!([]));
    let body =
        json!({"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["chest pain"]}]});
    let request = Client::new().post(server.at("/v2/models/words/infer"));
    let response = request.json(&body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(response.text().await.unwrap().contains("/v1/embeddings"));
    let response = post(&server, &json!({"input": ["chest pain", "rash"]})).await;
    let timing = response.headers()["server-timing"].to_str().unwrap().to_string();
    assert!(timing.contains("inference"), "{timing}");
    let metrics = reqwest::get(server.at("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("medserve_stage_seconds") && metrics.contains("model=\"words\""));
}

#[tokio::test]
async fn the_audit_says_how_many_vectors_and_not_of_what() {
    let key = crate::support::api_key("boss", "admin+classify", "boss");
    let (server, _models) = server(&["--api-keys", &key]);
    let body = json!({"input": ["chest pain", "rash"]});
    let request = Client::new().post(server.at("/v1/embeddings")).bearer_auth("boss").json(&body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let (row, audit) = until("its row", async || {
        let request = Client::new().get(server.at("/v1/audit?limit=9")).bearer_auth("boss");
        let audit: Value = request.send().await.unwrap().json().await.unwrap();
        let rows = audit["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["route"] == "/v1/embeddings").cloned()?;
        Some((row, audit))
    })
    .await;
    assert_eq!((&row["model"], &row["answers"]), (&json!("words"), &json!(["2 vectors of 3 values"])));
    assert!(!audit.to_string().contains("chest"));
}

#[tokio::test]
async fn who_may_classify_may_embed_and_nobody_else() {
    let keys = [
        crate::support::api_key("ward", "classify", "one"),
        crate::support::api_key("shop", "recommend", "two"),
    ]
    .join(",");
    let (server, _models) = server(&["--api-keys", &keys]);
    let ask = |key: &str| {
        let request = Client::new().post(server.at("/v1/embeddings")).bearer_auth(key);
        request.json(&BTreeMap::from([("input", "pain")])).send()
    };
    assert_eq!(ask("one").await.unwrap().status(), 200);
    assert_eq!(ask("two").await.unwrap().status(), 403);
    assert_eq!(ask("three").await.unwrap().status(), 401);
}
