//! Model packages as the server takes them in, black box: what refuses one, and how its manifest
//! decides what is answered.

use std::path::{Path, PathBuf};

use crate::support::{Server, copy_model, logged, shipped_models};
use candle_core::{Device, Tensor};
use model::manifest::Input;
use model::{Package, package};
use nn::Params;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use text::trees::LEAF;
use vision::{network, phantom::chest_phantom};

/// Asks a model about a drawn chest X-ray.
async fn ask(server: &Server, model: &str) -> Response {
    let request = Client::new().post(server.at(&format!("/v1/images/classify?model={model}")));
    request.body(chest_phantom(0, 96).unwrap()).send().await.unwrap()
}

/// Version 1 of a model `name` under `root`, which is the shipped model `like` by another name.
fn package(root: &Path, name: &str, like: &str) -> PathBuf {
    let staging = tempfile::tempdir().unwrap();
    let folder = root.join(name).join("1");
    std::fs::create_dir_all(root.join(name)).unwrap();
    std::fs::rename(copy_model(like, staging.path()), &folder).unwrap();
    amend(&folder, |manifest| manifest["name"] = name.into());
    folder
}

fn amend(folder: &Path, change: impl FnOnce(&mut Value)) {
    let file = folder.join("manifest.json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(file, manifest.to_string()).unwrap();
}

/// Changes a byte in the middle of a file.
fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn lose(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

/// Makes the last weight no number, under a digest that fits.
fn spoil(folder: &Path) {
    let file = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(file, &bytes).unwrap();
    amend(folder, |manifest| manifest["weights"]["sha256"] = package::sha256(&bytes).into());
}

/// Puts a tree of one split and two leaves into a model of notes, in place of any it has. A leaf's
/// number is marked by the highest bit.
fn plant(folder: &Path, threshold: f32, children: [u32; 2]) {
    let file = folder.join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    weights.retain(|name, _| !name.starts_with("trees."));
    let mut put = |name: &str, tensor: candle_core::Result<Tensor>| {
        weights.insert(format!("trees.{name}"), tensor.unwrap());
    };
    put("root", Tensor::new(&[0u32], &Device::Cpu));
    put("input", Tensor::new(&[3u32], &Device::Cpu));
    put("threshold", Tensor::new(&[threshold], &Device::Cpu));
    put("child", Tensor::new(&[children], &Device::Cpu));
    put("share", Tensor::full(0.2f32, (2, 5), &Device::Cpu));
    candle_core::safetensors::save(&weights, &file).unwrap();
    let digest = package::sha256(&std::fs::read(&file).unwrap());
    amend(folder, |manifest| {
        manifest["weights"]["sha256"] = digest.into();
        manifest["architecture"]["trees"] = json!({"trees": 1, "splits": 1, "leaves": 2});
    });
}

/// A package that does not fit is refused with its file; the others serve.
#[tokio::test]
async fn broken_packages_are_refused_by_name() {
    type Break = fn(&Path);
    let cases: [(&str, &str, Break, &str, &str); 18] = [
        ("flipped", "pneumonia", |f| flip(&f.join("model.safetensors")), "model.safetensors", "sha256"),
        ("lost", "pneumonia", |f| lose(&f.join("model.safetensors")), "model.safetensors", "missing"),
        ("not-finite", "pneumonia", spoil, "model.safetensors", "not finite"),
        (
            "relabelled",
            "pneumonia",
            |f| amend(f, |m| m["labels"].as_array_mut().unwrap().push("third".into())),
            "model.safetensors",
            "the manifest asks for",
        ),
        (
            "another-network",
            "pneumonia",
            |f| amend(f, |m| m["architecture"]["stages"][0]["blocks"] = 7.into()),
            "model.safetensors",
            "have no tensor",
        ),
        (
            "another-input",
            "pneumonia",
            |f| amend(f, |m| m["input"] = json!({"kind": "record", "max_tokens": 8, "fields": []})),
            "manifest.json",
            "does not take record input",
        ),
        (
            "garbled",
            "pneumonia",
            |f| std::fs::write(f.join("manifest.json"), "{").unwrap(),
            "manifest.json",
            "EOF",
        ),
        (
            "moved",
            "pneumonia",
            |f| amend(f, |m| m["name"] = "other".into()),
            "manifest.json",
            "lies in the folder",
        ),
        (
            "newer",
            "pneumonia",
            |f| amend(f, |m| m["format"] = 2.into()),
            "manifest.json",
            "format 2 is not 1",
        ),
        ("no-card", "pneumonia", |f| lose(&f.join("README.md")), "README.md", "missing"),
        (
            "unnamed-rules",
            "ed-admission",
            |f| std::fs::write(f.join("red_flags.json"), "{}").unwrap(),
            "red_flags.json",
            "does not name it",
        ),
        ("other-words", "triage", |f| flip(&f.join("tokenizer.json")), "tokenizer.json", "sha256"),
        ("no-words", "triage", |f| lose(&f.join("tokenizer.json")), "tokenizer.json", "missing"),
        ("circle", "triage", |f| plant(f, 0.5, [0, LEAF]), "model.safetensors", "by two ways"),
        ("beyond", "triage", |f| plant(f, 0.5, [LEAF, LEAF | 7]), "model.safetensors", "do not have"),
        (
            "endless",
            "triage",
            |f| plant(f, f32::INFINITY, [LEAF, LEAF | 1]),
            "model.safetensors",
            "not finite",
        ),
        (
            "more-trees",
            "triage",
            |f| {
                plant(f, 0.5, [LEAF, LEAF | 1]);
                amend(f, |m| m["architecture"]["trees"]["trees"] = 2.into());
            },
            "model.safetensors",
            "the manifest asks for",
        ),
        (
            "a-wood",
            "triage",
            |f| {
                amend(f, |m| m["architecture"]["trees"] = json!({"trees": 1, "splits": 0, "leaves": 1 << 30}))
            },
            "manifest.json",
            "nodes",
        ),
    ];
    let root = tempfile::tempdir().unwrap();
    package(root.path(), "chest", "pneumonia");
    plant(&package(root.path(), "tree", "triage"), 0.5, [LEAF, LEAF | 1]);
    for (name, like, break_it, ..) in cases {
        break_it(&package(root.path(), name, like));
    }
    let server = Server::start(root.path(), &[]);
    let ready: Value = reqwest::get(server.at("/health/ready")).await.unwrap().json().await.unwrap();
    assert_eq!(ready, json!({"status": "ready", "refused": cases.len()}));
    let served: Value = reqwest::get(server.at("/v1/models")).await.unwrap().json().await.unwrap();
    let served: Vec<&Value> = served["models"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert_eq!(served, ["chest", "tree"]);
    assert_eq!(ask(&server, "chest").await.status(), 200);
    assert_eq!(ask(&server, "flipped").await.status(), 404);
    let (_, log) = server.terminate();
    for (name, _, _, file, reason) in cases {
        let place = format!("/{name}/1/{file}");
        let refusal = log.lines().find(|line| line.contains("refused") && line.contains(&place));
        assert!(refusal.is_some_and(|line| line.contains(reason)), "{place}: {reason} is not in {log}");
    }
}

#[tokio::test]
async fn no_model_at_all_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let ready = reqwest::get(server.at("/health/ready")).await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("no model"));
    assert_eq!(reqwest::get(server.at("/health/live")).await.unwrap().status(), 200);
    assert_eq!(ask(&server, "pneumonia").await.status(), 404);
}

#[tokio::test]
async fn the_manifest_decides_what_probabilities_say() {
    let root = tempfile::tempdir().unwrap();
    let careful = package(root.path(), "careful", "pneumonia");
    amend(&careful, |manifest| manifest["abstain_below"] = 0.9999.into());
    // To overlook a pneumonia costs far more than to suspect one.
    let cost = json!([[0.0, 1.0], [9999.0, 0.0]]);
    let anxious = package(root.path(), "anxious", "pneumonia");
    amend(&anxious, |manifest| {
        manifest["abstain_below"] = 0.0.into();
        manifest["ordinal"] = json!({"scale": "severity", "cost": cost});
    });
    let server = Server::start(root.path(), &[]);
    let result = async |model| {
        let answer: Value = ask(&server, model).await.json().await.unwrap();
        answer["results"][0].clone()
    };
    let abstained = result("careful").await;
    assert_eq!((&abstained["label"], &abstained["abstained"]), (&Value::Null, &json!(true)));
    assert_eq!(abstained["predictions"].as_array().unwrap().len(), 2, "{abstained}");
    let answered = result("anxious").await;
    assert_eq!(answered["predictions"], abstained["predictions"], "the cost changes no probability");
    assert_eq!((&answered["label"], &answered["abstained"]), (&json!("pneumonia"), &json!(false)));
    assert_eq!(answered["predictions"][0]["label"], "normal", "{answered}");
    let describe = async |model: &str| -> Value {
        reqwest::get(server.at(&format!("/v1/models/{model}"))).await.unwrap().json().await.unwrap()
    };
    assert_eq!(describe("anxious").await["cost"], cost);
    assert!(describe("careful").await.get("cost").is_none());
}

/// Finite weights whose sums overflow, as a training run that went astray leaves them.
#[tokio::test]
async fn an_output_that_is_no_number_is_a_500_that_says_so() {
    let root = tempfile::tempdir().unwrap();
    let Package { mut manifest, .. } = Package::read(&shipped_models().join("pneumonia/1")).unwrap();
    manifest.name = "astray".to_string();
    manifest.likeness = None;
    manifest.precision = None;
    let layers = json!({"kind": "cnn", "layers": [{"layer": "flatten"}]});
    manifest.architecture = serde_json::from_value(layers).unwrap();
    let Input::Image(input) = &manifest.input else { panic!("pneumonia reads images") };
    let mut params = Params::fresh(0);
    network::build(&manifest.architecture, input, manifest.labels.len(), &mut params).unwrap();
    let mut weights = params.snapshot().unwrap();
    for tensor in weights.values_mut() {
        *tensor = Tensor::full(f32::MAX, tensor.shape(), &Device::Cpu).unwrap();
    }
    Package::write(root.path(), &mut manifest, &weights, "A model gone astray.", &[]).unwrap();
    let server = Server::start(root.path(), &[]);
    for _ in 0..2 {
        let response = ask(&server, "astray").await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("not a number"), "{problem}");
    }
}

/// A link in a package could show any file of the machine, a pipe never ends, and a tokenizer that pads
/// makes every note as long as it likes. Each is refused by name, and keeps no other from being served.
#[tokio::test]
async fn what_is_no_file_and_a_tokenizer_that_pads_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    package(root.path(), "sound", "pneumonia");
    let card = package(root.path(), "linked", "pneumonia").join("README.md");
    lose(&card);
    std::os::unix::fs::symlink("/etc/hostname", &card).unwrap();
    let card = package(root.path(), "piped", "pneumonia").join("README.md");
    lose(&card);
    assert!(std::process::Command::new("mkfifo").arg(&card).status().unwrap().success());
    // Plots are shown to people, though no manifest names them.
    let plots = package(root.path(), "drawn", "pneumonia").join("plots");
    std::fs::create_dir_all(&plots).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", plots.join("more.svg")).unwrap();
    let folder = package(root.path(), "padding", "triage");
    let file = folder.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    tokenizer["padding"] = json!({"strategy": {"Fixed": 1u64 << 40}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"});
    std::fs::write(&file, tokenizer.to_string()).unwrap();
    amend(&folder, |manifest| {
        manifest["files"]["tokenizer.json"] = package::sha256(tokenizer.to_string().as_bytes()).into();
    });
    let server = Server::start(root.path(), &[]);
    assert_eq!(ask(&server, "sound").await.status(), 200);
    for refused in ["linked", "piped", "drawn"] {
        assert_eq!(ask(&server, refused).await.status(), 404, "{refused}");
    }
    for words in ["symbolic link", "it is no file", "it pads or truncates"] {
        logged(&server, words).await;
    }
}

/// What a classification says of a model's labels, by name.
async fn probabilities(server: &Server, model: &str) -> Vec<(String, f64)> {
    let answer: Value = ask(server, model).await.json().await.unwrap();
    let predictions = answer["results"][0]["predictions"].as_array().unwrap().clone();
    let pair =
        |one: &Value| (one["label"].as_str().unwrap().to_string(), one["probability"].as_f64().unwrap());
    let mut pairs: Vec<_> = predictions.iter().map(pair).collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs
}

async fn precision(server: &Server, model: &str) -> String {
    let said: Value =
        reqwest::get(server.at(&format!("/v1/models/{model}"))).await.unwrap().json().await.unwrap();
    said["precision"].as_str().unwrap().to_string()
}

/// A package is served over bytes where it allows that and the operator does not ask for single precision, says
/// so, and answers nearly the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_serves_in_the_precision_that_it_allows() {
    let root = tempfile::tempdir().unwrap();
    let allowed = package(root.path(), "allowed", "pneumonia");
    let denied = package(root.path(), "denied", "pneumonia");
    let mut found = Value::Null;
    amend(&allowed, |manifest| found = manifest["precision"].clone());
    assert_eq!(found["int8"]["allowed"], true, "the shipped package allows it: {found}");
    amend(&denied, |manifest| {
        manifest["precision"]["int8"]["allowed"] = false.into();
    });
    let single = Server::start(root.path(), &["--precision", "f32"]);
    let bytes = Server::start(root.path(), &["--precision", "int8"]);
    for (server, model, wanted) in [
        (&single, "allowed", "f32"),
        (&single, "denied", "f32"),
        (&bytes, "allowed", "int8"),
        (&bytes, "denied", "f32"),
    ] {
        assert_eq!(precision(server, model).await, wanted, "{model}");
    }
    let (exact, near) = (probabilities(&single, "allowed").await, probabilities(&bytes, "allowed").await);
    assert_eq!(probabilities(&bytes, "denied").await, exact);
    assert_ne!(near, exact);
    for ((label, exact), (_, near)) in exact.iter().zip(&near) {
        assert!((exact - near).abs() < 0.05, "{label}: {near} for {exact}");
    }
}

/// Ranges that do not fit the network, or make no sense, refuse the package with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_do_not_fit_refuse_the_package() {
    let root = tempfile::tempdir().unwrap();
    let stranger = package(root.path(), "stranger", "pneumonia");
    amend(&stranger, |manifest| manifest["precision"]["int8"]["ranges"]["nowhere"] = json!([0.0, 1.0]));
    let wrong = package(root.path(), "wrong", "pneumonia");
    amend(&wrong, |manifest| manifest["precision"]["int8"]["ranges"]["stem.conv"] = json!([1.0, 2.0]));
    let dear = package(root.path(), "dear", "pneumonia");
    amend(&dear, |manifest| manifest["precision"]["int8"]["cost"]["accuracy"] = 0.5.into());
    let server = Server::start(root.path(), &["--precision", "int8"]);
    for model in ["stranger", "wrong", "dear"] {
        assert_eq!(ask(&server, model).await.status(), 404, "{model}");
    }
    for reason in ["nowhere", "stem.conv", "falls by more than"] {
        logged(&server, reason).await;
    }
}
