//! Classifiers of notes. A peer's file holds a note a line: `{"tokens": [...], "fields": [...]}`,
//! as the tokenizer and the fields' encoding leave them.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::Criterion;
use medserve::inference::engine::Model;
use medserve::inference::note::NoteModel;
use medserve::model::Package;
use medserve::model::manifest::{Input, RecordInput};
use medserve::text::encoder::{Encoded, Example};
use medserve::text::tokenizer::Tokens;
use medserve::text::{Encoder, FieldValue, Record, Tokenizer};
use serde::Deserialize;

use crate::measure::{Engines, Measured};

/// A note as a peer writes it.
#[derive(Deserialize)]
struct Note {
    tokens: Vec<u32>,
    fields: Vec<f32>,
}

fn input(package: &Package) -> RecordInput {
    match &package.manifest.input {
        Input::Record(input) => input.clone(),
        Input::Image(_) => panic!("{} reads images", package.manifest.name),
    }
}

fn build(package: &Package) -> NoteModel {
    NoteModel::build(&package.manifest, &input(package), &package.weights).expect("a sound package")
}

/// The engines of a package, for a peer; they share its weights, as those of the server do.
pub fn engines(package: &Package) -> impl Measured + use<> {
    let read = |file: &Path| -> Vec<Example> {
        let text = std::fs::read_to_string(file).expect("the inputs");
        let example = |line: &str| {
            let Note { tokens, fields } = serde_json::from_str(line).expect("a note");
            let tokens = Tokens { total: tokens.len(), ids: tokens };
            Arc::new(Encoded { tokens, words: Vec::new(), characters: Vec::new(), fields })
        };
        text.lines().map(example).collect()
    };
    let model = build(package);
    Engines::new(move || model.clone(), read)
}

/// Whole models, one engine: what is done to a short note before the network, and the network.
pub fn bench(criterion: &mut Criterion, name: &str, package: &Package) {
    let mut model = build(package);
    let input = input(package);
    let tokenizer = Tokenizer::read(&package.folder, &package.manifest.architecture).expect("a tokenizer");
    let encoder = Encoder::new(input.clone(), &package.manifest.architecture, tokenizer);
    let note = "Chest pain for two hours, worse on breathing in; short of breath.".to_string();
    let record = Record { note, fields: vec![FieldValue::Missing; input.fields.len()] };
    let example = Arc::new(encoder.encode(&record).expect("an encoded note"));
    let mut group = criterion.benchmark_group(format!("text:{name}"));
    group.bench_function("encode", |b| b.iter(|| encoder.encode(black_box(&record))));
    for size in [1, 32] {
        let batch = vec![example.clone(); size];
        group.bench_function(format!("batch-{size}"), |b| b.iter(|| model.logits(black_box(&batch))));
    }
    group.finish();
}
