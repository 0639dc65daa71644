//! Classifiers of images that are ONNX files, over HTTP, black box: served like any other where the program was built for
//! it, and refused with a sentence where it was not.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Manifest, Package, package};
use reqwest::Client;
use serde_json::{Value, json};
use vision::phantom::chest_phantom;

use crate::support::Server;

/// Writes a package of one of the golden files.
fn write(root: &Path, name: &str) {
    let probabilities = name == "probabilities";
    let mut manifest: Manifest = serde_json::from_value(json!({
        "format": 1, "name": name, "version": "1", "description": "", "labels": ["a", "b", "c"],
        "input": {"kind": "image", "height": 32, "width": 32, "channels": 3, "crop": "none", "resize": "bilinear",
                  "normalisation": {"kind": "fixed", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
        "architecture": {"kind": "onnx", "probabilities": probabilities},
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
        "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0},
    }))
    .unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(name).join("model.onnx");
    let extra = [(package::ONNX, std::fs::read(file).unwrap())];
    Package::write(root, &mut manifest, &BTreeMap::new(), "", &extra).unwrap();
}

#[tokio::test]
async fn a_file_of_others_is_served_or_refused_by_what_the_program_was_built_with() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "logits");
    write(folder.path(), "probabilities");
    let server = Server::start(folder.path(), &["--engines", "2"]);
    for name in ["logits", "probabilities"] {
        let url = server.at(&format!("/v1/images/classify?model={name}&explain=true"));
        let response = Client::new().post(url).body(chest_phantom(0, 96).unwrap()).send().await.unwrap();
        if !cfg!(feature = "onnx") {
            assert_eq!(response.status(), 404);
            continue;
        }
        assert_eq!(response.status(), 200);
        let answer: Value = response.json().await.unwrap();
        let all = answer["results"][0]["predictions"].as_array().unwrap();
        let sum: f64 = all.iter().map(|prediction| prediction["probability"].as_f64().unwrap()).sum();
        assert!(all.len() == 3 && (sum - 1.0).abs() < 1e-5, "{answer}");
        assert!(answer["results"][0]["evidence"]["values"].as_array().unwrap().len() > 1);
    }
}
