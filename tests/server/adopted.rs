//! Models that others have trained, adopted in a temporary folder and spoken to over HTTP: a classifier and a tagger of
//! random weights (`tests/golden/encoders.py`), whose answers are those of transformers.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use model::Manifest;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use train::adopt::{AdoptOptions, adopt};

use crate::support::Server;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: AdoptOptions,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn adopted(folder: &Path, model: &str, data: &Path, name: &str) -> Manifest {
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let (from, out) = (text(&golden().join("encoders").join(model)), text(&folder.join("models")));
    let line = ["train", &from, "--data", &text(data), "--out", &out, "--name", name, "--threshold", "0.2"];
    adopt(&Line::parse_from(line.map(str::to_string)).options).unwrap().1
}

/// A classifier and a tagger behind one server.
struct Adopted {
    server: Server,
    classifier: Manifest,
    tagger: Manifest,
    folder: tempfile::TempDir,
}

fn start() -> Adopted {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = "note,label\n".to_string();
    let mut lines = String::new();
    for number in 0..240 {
        let words = ["chest pain and cough", "fever for two days", "no rash, two coughs"][number % 3];
        writeln!(csv, "\"{words} {number}\",{}", ["home", "ward", "ICU"][number % 3]).unwrap();
        let mark = json!({"start": 0, "end": words.len(), "label": (["Disease", "Symptom"][number % 2])});
        writeln!(lines, "{}", json!({"text": words, "entities": [mark]})).unwrap();
    }
    let (notes, marked) = (folder.path().join("notes.csv"), folder.path().join("marked"));
    fs::write(&notes, csv).unwrap();
    fs::create_dir(&marked).unwrap();
    fs::write(marked.join("dev.jsonl"), lines).unwrap();
    let classifier = adopted(folder.path(), "xlm-roberta-labels", &notes, "ward-finder");
    let tagger = adopted(folder.path(), "bert-tags", &marked, "names-finder");
    // What transformers says is in single precision.
    let server = Server::start(&folder.path().join("models"), &["--precision", "f32"]);
    Adopted { server, classifier, tagger, folder }
}

async fn post(server: &Server, path: &str, body: Value) -> Response {
    let request = Client::new().post(server.at(path)).header("content-type", "application/json");
    request.body(body.to_string()).send().await.unwrap()
}

async fn results(server: &Server, path: &str, notes: &[&str]) -> Vec<Value> {
    let records: Vec<Value> = notes.iter().map(|note| json!({"note": note})).collect();
    let response = post(server, path, json!({"records": records})).await;
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["results"].as_array().unwrap().clone()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-4
}

#[tokio::test]
async fn a_classifier_answers_with_the_calibrated_probabilities_of_transformers() {
    let Adopted { server, classifier, .. } = &start();
    assert_eq!(classifier.labels, ["home", "ward", "ICU"]);
    let expected: Value = serde_json::from_slice(&fs::read(golden().join("encoders.json")).unwrap()).unwrap();
    let rows = expected["labels"]["xlm-roberta"].as_array().unwrap();
    let notes: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
    let answers = results(server, "/v1/notes/classify", &notes).await;
    for (row, answer) in rows.iter().zip(&answers) {
        let temperature = f64::from(classifier.calibration.temperature);
        let logits = row["logits"].as_array().unwrap().iter();
        let terms: Vec<f64> = logits.map(|x| (x.as_f64().unwrap() / temperature).exp()).collect();
        let sum: f64 = terms.iter().sum();
        for (label, term) in classifier.labels.iter().zip(&terms) {
            let of =
                answer["predictions"].as_array().unwrap().iter().find(|p| p["label"] == **label).unwrap();
            assert!(near(of["probability"].as_f64().unwrap(), term / sum), "{answer} {terms:?}");
        }
        assert_eq!(answer["tokens"], row["ids"].as_array().unwrap().len());
        assert_eq!((&answer["truncated"], &answer["missing_fields"]), (&json!(false), &json!([])));
    }
    // Nonsense is unlike the hospital's notes, and hardly any of theirs is.
    let own: Vec<String> = (0..60).map(|i| format!("fever for two days {}", 3 * i + 1)).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).chain(["zyx qwvut zzgh"]).collect();
    let answers = results(server, "/v1/notes/classify", &own).await;
    let unlike = |answer: &&Value| answer["reason"] == "unlike_training";
    assert!(answers[..60].iter().filter(unlike).count() <= 20, "{answers:?}");
    assert!(answers[60]["label"].is_null() && unlike(&&answers[60]), "{}", answers[60]);
    // The end of a long note counts, and company does not.
    let (fever, rash) = (format!("{}fever", "pain ".repeat(90)), format!("{}rash", "pain ".repeat(90)));
    let both = results(server, "/v1/notes/classify", &[&fever, &rash]).await;
    assert!(both.iter().all(|answer| answer["truncated"] == true && answer["tokens"] == 93), "{both:?}");
    assert_ne!(both[0]["predictions"], both[1]["predictions"]);
    let alone = results(server, "/v1/notes/classify", &[&rash]).await;
    for (one, other) in
        alone[0]["predictions"].as_array().unwrap().iter().zip(both[1]["predictions"].as_array().unwrap())
    {
        assert_eq!(one["label"], other["label"]);
        assert!(
            near(one["probability"].as_f64().unwrap(), other["probability"].as_f64().unwrap()),
            "{one} {other}"
        );
    }
}

#[tokio::test]
async fn a_tagger_answers_with_names_where_they_stand() {
    let Adopted { server, tagger, .. } = &start();
    assert_eq!(tagger.labels, ["Disease", "Symptom"]);
    let long = "Two days fever and cough. ".repeat(40);
    let notes = ["😷 Chest pain, no fever.", "胸痛 and rash", "e\u{301} \u{202e}niap", "???", &long];
    let together = results(server, "/v1/notes/extract", &notes).await;
    let mut found = 0;
    for (note, result) in notes.iter().zip(&together) {
        let characters: Vec<char> = note.chars().collect();
        let mut end = 0;
        for entity in result["entities"].as_array().unwrap() {
            let at = |name: &str| entity[name].as_u64().unwrap() as usize;
            assert!(
                end <= at("start") && at("start") < at("end") && at("end") <= characters.len(),
                "{result}"
            );
            end = at("end");
            assert_eq!(entity["text"], characters[at("start")..end].iter().collect::<String>(), "{result}");
            let probability = entity["probability"].as_f64().unwrap();
            // Corrected by how often such names were right, which of a model of chance is seldom.
            assert!(probability > 0.0 && probability <= 1.0, "{result}");
            assert!(tagger.labels.iter().any(|label| entity["label"] == **label), "{result}");
            found += 1;
        }
        assert_eq!(
            (&result["truncated"], &result["relations"]),
            (&json!(false), &json!([])),
            "{note}: {result}"
        );
    }
    assert!(found > 0);
    assert_eq!(together[4]["tokens"], 240);
    for (note, result) in notes.iter().zip(&together) {
        let alone = &results(server, "/v1/notes/extract", &[note]).await[0];
        assert!(is_nearly(alone, result), "{alone}\n{result}");
    }
}

/// Whether two answers are the same but for the last digits of their numbers: some kernels add in another order where a batch is
/// larger.
fn is_nearly(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| (one - other).abs() < 1e-5)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_nearly(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| is_nearly(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

/// Where packages allow it they are served over bytes or halves, say so, and answer nearly the same.
#[tokio::test]
async fn in_less_than_single_precision_they_say_nearly_the_same() {
    let Adopted { server, folder, .. } = &start();
    let models = folder.path().join("models");
    for name in ["ward-finder", "names-finder"] {
        let file = models.join(name).join("1/manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for of in ["int8", "bf16"] {
            // So few validation texts say little of what it costs; here it is allowed whatever it does.
            let cost = &mut manifest["precision"][of];
            cost["allowed"] = json!(true);
            cost["cost"]["accuracy"] = cost["cost"]["accuracy_f32"].clone();
        }
        fs::write(&file, manifest.to_string()).unwrap();
    }
    let notes = ["chest pain and cough", "fever for two days, no rash", "no rash, two coughs"];
    let exact = results(server, "/v1/notes/classify", &notes).await;
    for of in ["int8", "bf16"] {
        let low = Server::start(&models, &["--precision", of]);
        for name in ["ward-finder", "names-finder"] {
            let path = low.at(&format!("/v1/models/{name}"));
            let model: Value = reqwest::get(path).await.unwrap().json().await.unwrap();
            assert_eq!(model["precision"], of);
        }
        let near = results(&low, "/v1/notes/classify", &notes).await;
        assert_ne!(near, exact, "{of}");
        for (near, exact) in near.iter().zip(&exact) {
            for one in near["predictions"].as_array().unwrap() {
                let other =
                    exact["predictions"].as_array().unwrap().iter().find(|p| p["label"] == one["label"]);
                let (a, b) = (&one["probability"], &other.unwrap()["probability"]);
                assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 0.1, "{of}: {near} for {exact}");
            }
        }
        let alone = &results(&low, "/v1/notes/classify", &notes[1..2]).await[0];
        assert_eq!(alone["label"], near[1]["label"], "{of}");
        results(&low, "/v1/notes/extract", &notes).await;
    }
}

#[tokio::test]
async fn the_other_routes_know_what_they_are() {
    let Adopted { server, .. } = &start();
    for (name, task) in [("ward-finder", "note-classification"), ("names-finder", "note-extraction")] {
        let get = |path: String| async move { reqwest::get(server.at(&path)).await.unwrap() };
        let model: Value = get(format!("/v1/models/{name}")).await.json().await.unwrap();
        assert_eq!(model["task"], task);
        assert!(model["card"].as_str().unwrap().contains("no medical device"));
        assert_eq!(get(format!("/v1/models/{name}/card.json")).await.status(), 200);
        let body =
            json!({"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["no pain"]}]});
        let response = post(server, &format!("/v2/models/{name}/infer"), body).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }
    let body = json!({"records": [{"note": "no pain"}]});
    let explained = post(server, "/v1/notes/classify?explain=true", body).await;
    assert_eq!(explained.status(), 400);
    let body = json!({"records": [{"note": "no pain", "fields": {"age": 7}}]});
    assert_eq!(post(server, "/v1/notes/classify", body).await.status(), 422);
    let body = json!({"records": [{"note": "pain ".repeat(90)}]});
    let response = post(server, "/v1/notes/classify?truncate=error", body).await;
    assert_eq!(response.status(), 422);
    assert!(response.text().await.unwrap().contains("the note has 92 tokens; the model reads 30"));
}
