//! Networks that others have trained, over HTTP, black box: small ones of random weights answer as any other model.

use std::path::Path;

use model::manifest::Input;
use model::{Manifest, Package};
use nn::Params;
use reqwest::Client;
use serde_json::{Value, json};
use vision::phantom::chest_phantom;

use crate::support::Server;

/// Writes a package of an architecture that reads the middle of pictures whose shorter side became 40 pixels.
fn write(root: &Path, name: &str, architecture: Value) {
    let mut manifest: Manifest = serde_json::from_value(json!({
        "format": 1, "name": name, "version": "1", "description": "", "labels": ["a", "b", "c"],
        "input": {"kind": "image", "height": 32, "width": 32, "channels": 3, "crop": {"resized": {"shorter": 40}},
                  "resize": "bicubic", "normalisation": {"kind": "fixed", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}},
        "architecture": architecture, "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
        "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0},
    }))
    .unwrap();
    let Input::Image(input) = manifest.input.clone() else { panic!("an image") };
    let mut params = Params::fresh(3);
    vision::network::build(&manifest.architecture, &input, 3, &mut params).unwrap();
    Package::write(root, &mut manifest, &params.snapshot().unwrap(), "", &[]).unwrap();
}

#[tokio::test]
async fn transformers_and_convnext_classify_the_middle_of_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let vit = json!({"kind": "vit", "patch": 8, "width": 24, "heads": 3, "layers": 2, "feed_forward": 40, "epsilon": 1e-12});
    let stages = json!([{"channels": 8, "blocks": 1}, {"channels": 20, "blocks": 2}]);
    write(folder.path(), "vit", vit);
    write(folder.path(), "next", json!({"kind": "convnext", "patch": 4, "stages": stages, "epsilon": 1e-12}));
    let server = Server::start(folder.path(), &[]);
    for name in ["vit", "next"] {
        let picture = chest_phantom(0, 96).unwrap();
        let url = server.at(&format!("/v1/images/classify?model={name}&explain=true"));
        let response = Client::new().post(url).body(picture).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let answer: Value = response.json().await.unwrap();
        let result = &answer["results"][0];
        let all = result["predictions"].as_array().unwrap();
        let sum: f64 = all.iter().map(|prediction| prediction["probability"].as_f64().unwrap()).sum();
        assert!(all.len() == 3 && (sum - 1.0).abs() < 1e-5, "{answer}");
        // 32 of 40 places of 2.4 pixels.
        assert_eq!(result["evidence"]["area"], json!({"left": 10, "top": 10, "width": 76, "height": 76}));
    }
    let models: Value = reqwest::get(server.at("/v1/models/vit")).await.unwrap().json().await.unwrap();
    assert_eq!(models["task"], "image-classification");
}
