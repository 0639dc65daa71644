//! Pictures that were made, over HTTP, black box: what is asked for, what is marked, what is refused. The model is a small one of
//! random weights, whose pictures show nothing.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candle_core::{Device, Tensor};
use model::manifest::{Generation, ImageInput, Input};
use model::{Manifest, Package};
use nn::Params;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use vision::generate::codec::Codec;

use crate::support::{Server, api_key, shipped_models};

/// Side of its pictures.
const SIDE: u32 = 64;

fn manifest(steps: usize) -> Manifest {
    serde_json::from_value(json!({
        "format": 1, "name": "cells", "version": "3", "description": "", "labels": ["round", "plättchen"],
        "input": {"kind": "image", "height": SIDE, "width": SIDE, "channels": 3, "crop": "centre", "resize": "bicubic",
                  "normalisation": {"kind": "per-image", "floor": 0.02}},
        "architecture": {"kind": "denoiser", "widths": [8, 16], "blocks": 1, "embedding": 8},
        "generation": {"patch": 4, "components": 6, "frequencies": 3, "steps": steps, "guidance": 0.5},
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
        "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0},
    }))
    .unwrap()
}

/// Writes a package of random weights whose squares' components are waves.
fn write(root: &Path, mut manifest: Manifest) {
    let mut params = Params::fresh(5);
    vision::generate::network(&manifest, &mut params).unwrap();
    let mut weights: BTreeMap<String, Tensor> = params.snapshot().unwrap();
    let (Some(generation), Input::Image(input)) = (manifest.generation.clone(), manifest.input.clone())
    else {
        panic!("a generator of images")
    };
    codec(&generation, &input).put(&mut weights).unwrap();
    Package::write(root, &mut manifest, &weights, "A card.", &[]).unwrap();
}

fn codec(generation: &Generation, input: &ImageInput) -> Codec {
    let wave = |k: usize, at: usize| (std::f32::consts::PI * (at as f32 + 0.5) * k as f32 / 48.0).cos();
    let basis = (0..6).flat_map(|k| (0..48).map(move |at| wave(k, at) / 24f32.sqrt())).collect();
    Codec::new(generation, input, vec![0.5; 48], basis, vec![0.5; 6]).unwrap()
}

fn server(folder: &Path, steps: usize, arguments: &[&str]) -> Server {
    write(folder, manifest(steps));
    Server::start(folder, arguments)
}

async fn post(server: &Server, body: Value) -> Response {
    Client::new().post(server.at("/v1/images/generate")).json(&body).send().await.unwrap()
}

async fn answer(server: &Server, body: Value) -> Value {
    let response = post(server, body).await;
    let status = response.status();
    let body = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn refused(response: Response, status: u16, pointer: &str) -> Value {
    let got = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(got, status, "{body}");
    assert!(pointer.is_empty() || body["errors"][0]["pointer"] == pointer, "{body}");
    body
}

fn files(answer: &Value) -> Vec<Vec<u8>> {
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|result| STANDARD.decode(result["png"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn pictures_say_that_they_were_made_and_the_same_seed_makes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), 4, &[]);
    let asked = json!({"model": "cells", "label": "plättchen", "count": 3, "seed": 7});
    let response = post(&server, asked.clone()).await;
    assert!(response.headers()["server-timing"].to_str().unwrap().contains("inference;dur="));
    let first: Value = response.json().await.unwrap();
    assert_eq!((&first["model"], &first["version"]), (&json!("cells"), &json!("3")));
    assert_eq!(
        (&first["label"], &first["seed"], &first["synthetic"]),
        (&json!("plättchen"), &json!(7), &json!(true))
    );
    let made = files(&first);
    assert_eq!(made.len(), 3);
    for (number, file) in made.iter().enumerate() {
        let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
        assert_eq!(reader.info().size(), (SIDE, SIDE));
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let info = reader.info();
        let texts: BTreeMap<String, String> = (info.uncompressed_latin1_text.iter())
            .map(|chunk| (chunk.keyword.clone(), chunk.text.clone()))
            .collect();
        assert_eq!((texts["synthetic"].as_str(), texts["seed"].as_str()), ("true", "7"));
        assert_eq!((texts["model"].as_str(), texts["version"].as_str()), ("cells", "3"));
        assert_eq!(
            (texts["label"].as_str(), texts["number"].as_str()),
            ("plättchen", number.to_string().as_str())
        );
        // The word is white on black in the lower right corner.
        let corner = |row: usize, column: usize| pixels[(row * SIDE as usize + column) * 3];
        let word: Vec<u8> =
            (57..64).flat_map(|row| (27..64).map(move |column| corner(row, column))).collect();
        assert!(word.iter().all(|value| [0, 255].contains(value)));
        let ink = word.iter().filter(|value| **value == 255).count();
        assert!((60..120).contains(&ink), "{ink}");
    }
    assert_eq!(answer(&server, asked).await, first);
    // A picture does not depend on how many are asked for, and does on seed, number and label.
    let one = answer(&server, json!({"label": "plättchen", "seed": 7})).await;
    assert_eq!(files(&one), made[..1]);
    for other in [json!({"label": "plättchen", "seed": 8}), json!({"label": "round", "seed": 7})] {
        assert_ne!(files(&answer(&server, other).await)[0], made[0]);
    }
    assert_ne!(made[0], made[1]);
    // Without a seed the answer names the one that it took.
    let chance = answer(&server, json!({"label": "round"})).await;
    let again = json!({"label": "round", "seed": chance["seed"]});
    assert_eq!(files(&answer(&server, again).await), files(&chance));

    let model: Value = reqwest::get(server.at("/v1/models/cells")).await.unwrap().json().await.unwrap();
    assert_eq!(model["task"], "image-generation");
    let metrics = reqwest::get(server.at("/metrics")).await.unwrap().text().await.unwrap();
    let counted =
        metrics.lines().find(|line| line.starts_with("medserve_answers_total") && line.contains("round"));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

#[tokio::test]
async fn a_made_picture_in_dicom_is_of_nobody_and_is_refused_like_the_others() {
    let folder = tempfile::tempdir().unwrap();
    crate::support::copy_model("pneumonia", folder.path());
    let server = server(folder.path(), 4, &[]);
    let asked = |count: usize| {
        let body = json!({"label": "plättchen", "count": count, "seed": 7});
        let url = server.at("/v1/images/generate");
        Client::new().post(url).header("accept", "application/dicom").json(&body).send()
    };
    let response = asked(1).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"application/dicom".parse().unwrap())
    );
    let file = response.bytes().await.unwrap();
    assert_eq!(&file[128..132], b"DICM");
    let holds = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("DERIVED\\SECONDARY\\OTHER\\SYNTHETIC") && holds("label plättchen, seed 7, number 0"));
    // Group, element, representation, length and value of Synthetic Data.
    assert!(file.windows(11).any(|window| window == b"\x08\0\x1c\0CS\x04\0YES"));
    assert_eq!(asked(1).await.unwrap().bytes().await.unwrap(), file, "the same seed, the same bytes");
    // The pixels are those of the PNG, with its mark.
    let png = files(&answer(&server, json!({"label": "plättchen", "seed": 7})).await).remove(0);
    let mut reader = png::Decoder::new(Cursor::new(&png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    assert!(file.windows(pixels.len()).any(|window| window == pixels));
    assert_eq!(asked(2).await.unwrap().status(), StatusCode::NOT_ACCEPTABLE);
    let asked_png = |count: usize| {
        let body = json!({"label": "plättchen", "count": count, "seed": 7});
        let url = server.at("/v1/images/generate");
        Client::new().post(url).header("accept", "image/png").json(&body).send()
    };
    let response = asked_png(1).await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    assert_eq!(response.bytes().await.unwrap(), png, "the file that is in the JSON");
    assert_eq!(asked_png(2).await.unwrap().status(), StatusCode::NOT_ACCEPTABLE);

    let classify = |query: &str| {
        let url = server.at(&format!("/v1/images/classify?model=pneumonia{query}"));
        Client::new().post(url).header("content-type", "application/dicom").body(file.clone()).send()
    };
    let body = refused(classify("").await.unwrap(), 422, "").await;
    assert!(body["detail"].as_str().unwrap().contains("allow_synthetic"), "{body}");
    assert_eq!(classify("&allow_synthetic=true").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), 4, &[]);
    let body = refused(post(&server, json!({"label": "square"})).await, 422, "/label").await;
    assert!(body["detail"].as_str().unwrap().contains("round, plättchen"), "{body}");
    for count in [0, 65, 10_001] {
        let asked = json!({"label": "round", "count": count});
        let body = refused(post(&server, asked).await, 422, "/count").await;
        assert!(body["detail"].as_str().unwrap().contains("1 to 64"), "{body}");
    }
    let both = refused(post(&server, json!({"label": "square", "count": 0})).await, 422, "/label").await;
    assert_eq!(both["errors"].as_array().unwrap().len(), 2);
    for wrong in
        [json!({"label": "round", "count": -1}), json!({"label": "round", "seed": "x"}), json!({"count": 1})]
    {
        refused(post(&server, wrong).await, 422, "").await;
    }
    refused(post(&server, json!({"label": "round", "colour": "red"})).await, 422, "").await;
    refused(post(&server, json!({"model": "none", "label": "round"})).await, 404, "").await;
    let query = Client::new().post(server.at("/v1/images/generate?count=2")).json(&json!({"label": "round"}));
    refused(query.send().await.unwrap(), 400, "").await;
    // Each model at its own route.
    let picture = &files(&answer(&server, json!({"label": "round", "seed": 1})).await)[0];
    let classify = Client::new().post(server.at("/v1/images/classify?model=cells")).body(picture.clone());
    refused(classify.send().await.unwrap(), 400, "model").await;
    let infer = json!({"inputs": [{"name": "pixels", "shape": [1, 1], "datatype": "UINT8", "data": [0]}]});
    let infer = Client::new().post(server.at("/v2/models/cells/infer")).json(&infer).send().await.unwrap();
    assert_eq!(infer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_classifier_of_images_makes_none() {
    let server = Server::start(&shipped_models(), &[]);
    refused(post(&server, json!({"model": "pneumonia", "label": "normal"})).await, 400, "/model").await;
}

#[tokio::test]
async fn classifiers_refuse_made_pictures_unless_asked_not_to() {
    let folder = tempfile::tempdir().unwrap();
    crate::support::copy_model("pneumonia", folder.path());
    let server = server(folder.path(), 4, &[]);
    let made = files(&answer(&server, json!({"label": "round", "seed": 1})).await).remove(0);
    // Saved anew by somebody, without its texts: the corner says it.
    let mut reader = png::Decoder::new(Cursor::new(&made)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let bare = |pixels: &[u8]| {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, SIDE, SIDE);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        file
    };
    let classify = |query: &str, file: Vec<u8>| {
        Client::new()
            .post(server.at(&format!("/v1/images/classify?model=pneumonia{query}")))
            .body(file)
            .send()
    };
    for file in [made.clone(), bare(&pixels)] {
        let body = refused(classify("", file.clone()).await.unwrap(), 422, "").await;
        assert!(body["detail"].as_str().unwrap().contains("allow_synthetic"), "{body}");
        for query in ["&allow_synthetic=true", "&allow_synthetic=true&explain=true"] {
            let allowed = classify(query, file.clone()).await.unwrap();
            assert_eq!(allowed.status(), StatusCode::OK);
            let body: Value = allowed.json().await.unwrap();
            assert_eq!(
                body["results"][0]["synthetic"], true,
                "whoever reads the answer sees that it is of nobody"
            );
        }
    }
    // Nothing of it is said in a form that is about people.
    let in_fhir = Client::new()
        .post(server.at("/v1/images/classify?model=pneumonia&allow_synthetic=true"))
        .header("accept", "application/fhir+json")
        .body(made.clone());
    refused(in_fhir.send().await.unwrap(), 406, "").await;
    let explain = Client::new().post(server.at("/v1/images/explain?model=pneumonia")).body(made);
    refused(explain.send().await.unwrap(), 422, "").await;
    // A picture of anybody is not taken for one that was made.
    let plain: Vec<u8> = (0..SIDE * SIDE * 3).map(|at| (at * 37 % 251) as u8).collect();
    let allowed = classify("&allow_synthetic=true", bare(&plain)).await.unwrap();
    assert_eq!(allowed.status(), StatusCode::OK);
    let body: Value = allowed.json().await.unwrap();
    assert!(body["results"][0].get("synthetic").is_none(), "{body}");
    assert_eq!(classify("", bare(&plain)).await.unwrap().status(), StatusCode::OK);
}

/// The value of a counter without labels.
async fn counter(server: &Server, name: &str) -> f64 {
    let metrics = reqwest::get(server.at("/metrics")).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn the_deadline_and_a_client_that_goes_end_the_work() {
    const GIVEN_UP: &str = "medserve_pictures_given_up_total";
    let folder = tempfile::tempdir().unwrap();
    // A picture of a thousand steps takes longer than anybody waits here.
    let server = server(folder.path(), 1000, &[]);
    let asked = json!({"label": "round", "count": 64, "seed": 1});
    let ask = || Client::new().post(server.at("/v1/images/generate")).json(&asked);
    refused(ask().header("x-request-timeout", "1").send().await.unwrap(), 504, "").await;
    let gone = ask().timeout(Duration::from_secs(1)).send().await;
    assert!(gone.is_err());
    // Both pictures that were begun are given up, none of the others is begun.
    let patience = Instant::now() + Duration::from_secs(30);
    while counter(&server, GIVEN_UP).await < 2.0 {
        assert!(Instant::now() < patience, "the work goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(counter(&server, GIVEN_UP).await, 2.0);
}

#[tokio::test]
async fn pictures_are_for_those_who_may_classify_and_stand_in_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [
        api_key("ward", "classify", "w-secret"),
        api_key("desk", "recommend", "d-secret"),
        api_key("chief", "admin", "c-secret"),
    ];
    let server = server(folder.path(), 4, &["--api-keys", &keys.join(",")]);
    let ask = |key: &str| {
        let request = Client::new().post(server.at("/v1/images/generate")).bearer_auth(key);
        request.json(&json!({"label": "round", "count": 2, "seed": 5})).send()
    };
    refused(ask("d-secret").await.unwrap(), 403, "").await;
    assert_eq!(ask("w-secret").await.unwrap().status(), StatusCode::OK);
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let rows = Client::new().get(server.at("/v1/audit")).bearer_auth("c-secret").send().await.unwrap();
        let rows: Value = rows.json().await.unwrap();
        let row = rows["rows"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["status"] == 200 && row["model"] == "cells");
        if let Some(row) = row {
            assert_eq!(
                (&row["route"], &row["version"]),
                (&json!("/v1/images/generate"), &json!("3")),
                "{row}"
            );
            assert_eq!(row["answers"], json!(["round", "round"]), "{row}");
            break;
        }
        assert!(Instant::now() < patience, "{rows}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_package_that_makes_no_pictures_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), manifest(4));
    let place = folder.path().join("cells/3");
    let package = Package::read(&place).unwrap();
    let mut weights = package.weights.clone();
    weights.remove("codec.basis");
    let error = vision::generate::Generator::build(&package.manifest, weights).err().unwrap().to_string();
    assert!(error.contains("codec.basis"), "{error}");
    let mut weights = package.weights;
    weights.insert("stranger".to_string(), Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap());
    let error = vision::generate::Generator::build(&package.manifest, weights).err().unwrap().to_string();
    assert!(error.contains("stranger"), "{error}");
    let mut wrong = package.manifest;
    wrong.generation = None;
    assert!(wrong.check().unwrap_err().contains("generation"));
}
