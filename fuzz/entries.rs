//! Where strangers' bytes enter: one function a kind of input. Each must come back, whatever it
//! is given; what it says of the input is of no interest here.

#![allow(dead_code)] // Each target uses one of them.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use medserve::api::oip::request;
use medserve::inference::image::ImageModel;
use medserve::inference::note::NoteModel;
use medserve::inference::recommendation::RecommendationService;
use model::manifest::{Architecture, Input};
use model::package::{CARD, MANIFEST, WEIGHTS, sha256};
use model::{Manifest, Package};
use serde_json::{Value, json};
use text::{Record, Tagger};

static PNEUMONIA: LazyLock<Manifest> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../models/pneumonia/1/manifest.json")).expect("a shipped manifest")
});
static TRIAGE: LazyLock<Manifest> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../models/triage/1/manifest.json")).expect("a shipped manifest")
});

/// A record of notes' requests.
pub fn record(data: &[u8]) {
    if let (Ok(value), Input::Record(input)) = (serde_json::from_slice::<Value>(data), &TRIAGE.input) {
        let _ = Record::parse(input, &value, "/records/0");
    }
}

/// A request of the Open Inference Protocol: two bytes for the length of its JSON, then its body.
pub fn infer(data: &[u8]) {
    let Some((length, body)) = data.split_first_chunk() else { return };
    let mut headers = HeaderMap::new();
    headers.insert(request::HEADER_LENGTH, HeaderValue::from(u16::from_le_bytes(*length)));
    for manifest in [&*PNEUMONIA, &*TRIAGE] {
        let _ = request::read(manifest, &headers, Bytes::copy_from_slice(body));
        let _ = request::read(manifest, &HeaderMap::new(), Bytes::copy_from_slice(body));
    }
}

/// A model package: four bytes for the length of its manifest, the manifest, the weights. Name,
/// version and digest are made to fit, or nothing behind their checks would ever be reached.
pub fn package(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let length = u32::from_le_bytes(*length) as usize;
    let Some((manifest, weights)) = rest.split_at_checked(length) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("fuzzed/1");
    std::fs::create_dir_all(&folder).expect("a folder");
    let manifest = match serde_json::from_slice::<Value>(manifest) {
        Ok(Value::Object(mut members)) => {
            members.insert("name".to_string(), json!("fuzzed"));
            members.insert("version".to_string(), json!("1"));
            if let Some(Value::Object(file)) = members.get_mut("weights") {
                file.insert("file".to_string(), json!(WEIGHTS));
                file.insert("sha256".to_string(), json!(sha256(weights)));
            }
            Value::Object(members).to_string().into_bytes()
        }
        _ => manifest.to_vec(),
    };
    for (name, content) in [(MANIFEST, &manifest[..]), (WEIGHTS, weights), (CARD, b"a card")] {
        std::fs::write(folder.join(name), content).expect("a file");
    }
    let Ok(package) = Package::read(&folder) else { return };
    let Package { manifest, weights, .. } = &package;
    match (&manifest.input, &manifest.architecture) {
        (Input::Image(input), _) => {
            drop(ImageModel::build(manifest, input, weights, model::manifest::Precision::Int8))
        }
        (Input::Record(input), _) => drop(NoteModel::build(manifest, input, weights)),
        (Input::Text(_), Architecture::Crf(crf)) => {
            drop(Tagger::read(crf, &manifest.labels, weights.clone()))
        }
        (Input::Text(_), _) => {}
        (Input::History(_), _) => drop(RecommendationService::start(package)),
    }
}
