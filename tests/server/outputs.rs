//! Several labels at once, and a number, over HTTP, black box, of networks whose every weight is known.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use model::manifest::Input;
use model::{Manifest, Package};
use nn::Params;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::support::Server;

/// Side of the pictures and of the network's input.
const SIDE: u32 = 8;

fn manifest(name: &str, labels: &[&str], outputs: Value) -> Manifest {
    let manifest: Manifest = serde_json::from_value(json!({
        "format": 1, "name": name, "version": "1", "description": "", "labels": labels,
        "input": {"kind": "image", "height": SIDE, "width": SIDE, "channels": 1, "crop": "none", "resize": "bilinear",
                  "normalisation": {"kind": "fixed", "mean": [0.0], "std": [1.0]}},
        "architecture": {"kind": "cnn", "layers": [{"layer": "flatten"}]},
        "outputs": outputs, "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
        "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0},
    }))
    .unwrap();
    manifest.check().unwrap();
    manifest
}

/// Writes a package whose output of place `o` is the mean brightness of the part `weights(o)`, less `bias[o]`.
fn write(root: &Path, mut manifest: Manifest, weight: impl Fn(usize, u32, u32) -> f32, bias: &[f32]) {
    let Input::Image(input) = manifest.input.clone() else { panic!("an image") };
    let outputs = manifest.labels.len();
    let mut params = Params::fresh(0);
    vision::network::build(&manifest.architecture, &input, outputs, &mut params).unwrap();
    let mut weights: BTreeMap<String, Tensor> = params.snapshot().unwrap();
    let area = SIDE * SIDE;
    for (name, tensor) in &mut weights {
        let values: Vec<f32> = match name.as_str() {
            "head.weight" => (0..outputs as u32 * area)
                .map(|at| weight((at / area) as usize, at % area / SIDE, at % SIDE))
                .collect(),
            "head.bias" => bias.to_vec(),
            other => panic!("{other}"),
        };
        *tensor = Tensor::from_vec(values, tensor.shape(), tensor.device()).unwrap();
    }
    Package::write(root, &mut manifest, &weights, "", &[]).unwrap();
}

/// One model of two labels, one of a number and one of labels that exclude each other.
fn server(folder: &Path) -> Server {
    let half = (SIDE * SIDE / 2) as f32;
    let left = |o: usize, _: u32, column: u32| {
        let own = if column < SIDE / 2 { 0 } else { 1 };
        if own == o { 10.0 / half } else { 0.0 }
    };
    let one = |threshold: f32| json!({"slope": 1.0, "offset": -5.0, "threshold": threshold});
    let metrics = json!({"val": {"left": {"examples": 4, "positives": 2, "auc": 1.0, "sensitivity": 1.0, "specificity": 1.0,
                                          "f1": 1.0, "ece": 0.0}}});
    let binary =
        json!({"kind": "binary", "labels": {"left": one(0.5), "right": one(0.9)}, "metrics": metrics});
    write(folder, manifest("sides", &["left", "right"], binary), left, &[0.0, 0.0]);
    let number = json!({"kind": "number", "unit": "years", "mean": 50.0, "deviation": 20.0,
                        "interval": {"share": 0.9, "half": 6.0}});
    // From one deviation below the mean for black to one above for white.
    write(folder, manifest("age", &["age"], number), |_, _, _| 2.0 / (2.0 * half), &[-1.0]);
    let mut plain = manifest(
        "plain",
        &["left", "right"],
        json!({"kind": "binary", "labels": {"left": one(0.5), "right": one(0.9)}}),
    );
    plain.outputs = None;
    write(folder, plain, left, &[0.0, 0.0]);
    Server::start(folder, &[])
}

/// A picture of two halves, so bright.
fn halves(left: u8, right: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> =
        (0..SIDE * SIDE).map(|at| if at % SIDE < SIDE / 2 { left } else { right }).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

async fn ask(server: &Server, query: &str, accept: &str, body: Vec<u8>) -> Response {
    let request = Client::new().post(server.at(&format!("/v1/images/{query}"))).body(body);
    request.header("content-type", "image/png").header("accept", accept).send().await.unwrap()
}

async fn result(server: &Server, query: &str, body: Vec<u8>) -> Value {
    let response = ask(server, &format!("classify?{query}"), "application/json", body).await;
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{body}");
    body["results"][0].clone()
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[tokio::test]
async fn several_labels_hold_at_once_each_from_its_threshold_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let both = result(&server, "model=sides", halves(255, 250)).await;
    assert_eq!(
        (&both["label"], &both["labels"], &both["abstained"]),
        (&json!("left"), &json!(["left", "right"]), &json!(false))
    );
    let chance = |result: &Value, place: usize| result["predictions"][place]["probability"].as_f64().unwrap();
    assert!((chance(&both, 0) - logistic(5.0)).abs() < 1e-5, "{both}");
    assert!((chance(&both, 1) - logistic(10.0 * 250.0 / 255.0 - 5.0)).abs() < 1e-5, "{both}");
    // A probability that is enough for one label is too low for the other.
    let much = 170;
    let p = logistic(10.0 * f64::from(much) / 255.0 - 5.0);
    assert!(p > 0.8 && p < 0.9);
    assert_eq!(result(&server, "model=sides", halves(much, 0)).await["labels"], json!(["left"]));
    let right = result(&server, "model=sides&top_k=1", halves(0, much)).await;
    assert_eq!(
        (&right["labels"], &right["label"], &right["abstained"]),
        (&json!([]), &Value::Null, &json!(false))
    );
    assert_eq!(right["predictions"].as_array().unwrap().len(), 1);
    assert_eq!(right["predictions"][0]["label"], "right");
    // A picture of one tone has no answer, and says why.
    let blank = result(&server, "model=sides", halves(255, 255)).await;
    assert_eq!(
        (&blank["abstained"], &blank["reason"], &blank["labels"]),
        (&json!(true), &json!("blank"), &json!([]))
    );

    // The answer of one label is as it was.
    let plain = result(&server, "model=plain", halves(200, 20)).await;
    assert_eq!(plain["label"], "left");
    assert!(plain.get("labels").is_none() && plain.get("number").is_none());
    let total: f64 = (0..2).map(|place| chance(&plain, place)).sum();
    assert!((total - 1.0).abs() < 1e-6);
}

#[tokio::test]
async fn a_number_comes_with_its_unit_and_its_interval() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let answer = result(&server, "model=age", halves(255, 0)).await;
    let number = &answer["number"];
    assert_eq!(
        (&number["name"], &number["unit"], &number["share"]),
        (&json!("age"), &json!("years"), &json!(0.9))
    );
    let of = |name: &str| number[name].as_f64().unwrap();
    assert!((of("value") - 50.0).abs() < 1e-4, "{answer}");
    assert!((of("low") - 44.0).abs() < 1e-4 && (of("high") - 56.0).abs() < 1e-4, "{answer}");
    assert_eq!(
        (&answer["label"], &answer["abstained"], &answer["predictions"]),
        (&Value::Null, &json!(false), &json!([]))
    );
    let blank = result(&server, "model=age", halves(9, 9)).await;
    assert!(blank.get("number").is_none() && blank["reason"] == "blank", "{blank}");

    // What covers a part is as dark as the dark half: without the bright one the number falls, without the dark one it stays.
    let explained = result(&server, "model=age&explain=true", halves(255, 0)).await;
    let evidence = &explained["evidence"];
    assert_eq!(evidence["label"], "age");
    let width = evidence["width"].as_u64().unwrap() as usize;
    let values: Vec<f64> =
        evidence["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert!(values[0] > 0.1 && values[width - 1].abs() < 1e-6, "{evidence}");
    let drawn = ask(&server, "explain?model=age", "image/png", halves(255, 0)).await;
    assert_eq!((drawn.status().as_u16(), &drawn.headers()["x-label"]), (200, &"age".parse().unwrap()));
}

#[tokio::test]
async fn what_has_no_place_for_such_answers_says_where_to_ask() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    for model in ["sides", "age"] {
        let fhir =
            ask(&server, &format!("classify?model={model}"), "application/fhir+json", halves(255, 0)).await;
        assert_eq!(fhir.status(), 406);
        let url = server.at(&format!("/v2/models/{model}/infer"));
        let tensor = json!({"inputs": [{"name": "pixels", "shape": [1, 1, SIDE, SIDE], "datatype": "UINT8",
                                        "data": vec![0; (SIDE * SIDE) as usize]}]});
        let response = Client::new().post(url).json(&tensor).send().await.unwrap();
        let status = response.status();
        let body = response.text().await.unwrap();
        assert_eq!(status, 400, "{body}");
        assert!(body.contains("/v1/images/classify"), "{body}");
        let told: Value =
            reqwest::get(server.at(&format!("/v1/models/{model}"))).await.unwrap().json().await.unwrap();
        assert_eq!((&told["task"], &told["precision"]), (&json!("image-classification"), &json!("f32")));
        assert_eq!(told["outputs"]["kind"], if model == "age" { "number" } else { "binary" });
        assert!(told["metrics"].is_object());
        let card: Value = reqwest::get(server.at(&format!("/v1/models/{model}/card.json")))
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(card["name"], model);
    }
    let drift: Value = reqwest::get(server.at("/v1/models/sides/drift")).await.unwrap().json().await.unwrap();
    assert_eq!(drift["expected"], Value::Null);
    // Labels that hold are counted, each for itself; where none holds nothing is withheld.
    result(&server, "model=sides", halves(255, 250)).await;
    result(&server, "model=sides", halves(0, 20)).await;
    let metrics = reqwest::get(server.at("/metrics")).await.unwrap().text().await.unwrap();
    let count = |start: &str, label: &str| {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(start) && line.contains("\"sides\"") && line.contains(label));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    assert_eq!(
        [count("medserve_answers_total", "left"), count("medserve_answers_total", "right")],
        [1.0, 1.0]
    );
    assert_eq!(count("medserve_abstentions_total", "sides"), 0.0);
}
