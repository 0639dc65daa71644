//! Classifiers of notes. A peer's file holds a note a line: `{"tokens": [...], "fields": [...]}`,
//! as the tokenizer and the fields' encoding leave them.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::Criterion;
use medserve::inference::engine::Model;
use medserve::inference::note::NoteModel;
use model::Package;
use model::manifest::{Architecture, Input, LstmConfig, RecordInput, TransformerConfig};
use nn::{Params, Pass};
use serde::Deserialize;
use text::encoder::{Encoded, Example};
use text::tokenizer::Tokens;
use text::{Encoder, FieldValue, Record, Tokenizer, network};

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
        _ => panic!("{} reads no notes and fields", package.manifest.name),
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

/// The networks over tokens, of the sizes that training makes by default: as they serve, beside the
/// graph they were trained with.
pub fn networks(criterion: &mut Criterion) {
    let input = RecordInput { max_tokens: 384, fields: Vec::new() };
    let lstm = LstmConfig {
        vocabulary: 8192,
        embedding: 128,
        hidden: 128,
        bidirectional: true,
        token_dropout: 0.2,
        dropout: 0.2,
        recurrent_dropout: 0.2,
    };
    let transformer = TransformerConfig {
        vocabulary: 8192,
        width: 128,
        heads: 4,
        layers: 2,
        feed_forward: 256,
        token_dropout: 0.2,
        dropout: 0.2,
    };
    for architecture in [Architecture::Lstm(lstm), Architecture::Transformer(transformer)] {
        let mut params = Params::fresh(0);
        let graph = network::build(&architecture, &input, 5, &mut params).expect("a network");
        let mut params = Params::frozen(params.snapshot().expect("its values"));
        let mut plan = network::plan(&architecture, &input, 5, &mut params).expect("the same network");
        let mut group = criterion.benchmark_group(format!("text:{}", architecture.as_str()));
        // From 8 to 256 tokens, in no order.
        let mixed = (0..32).map(|i| 8 + (i * 13) % 32 * 8).collect();
        for (name, lengths) in [("one-of-64", vec![64]), ("32-mixed", mixed)] {
            let batch: Vec<Example> = lengths.into_iter().map(note).collect();
            group.bench_function(format!("{name}/plan"), |b| b.iter(|| plan.logits(black_box(&batch))));
            group.bench_function(format!("{name}/graph"), |b| {
                b.iter(|| graph.logits(black_box(&batch), &mut Pass::Inference))
            });
        }
        group.finish();
    }
}

fn note(length: u32) -> Example {
    let ids: Vec<u32> = (0..length).map(|i| (i * 7919 + length) % 8192).collect();
    let tokens = Tokens { total: ids.len(), ids };
    Arc::new(Encoded { tokens, words: Vec::new(), characters: Vec::new(), fields: Vec::new() })
}

/// Whole models, one engine: what is done to a short note before the network, and the network.
pub fn bench(criterion: &mut Criterion, name: &str, package: &Package) {
    let mut model = build(package);
    let input = input(package);
    let tokenizer = Tokenizer::read(&package.folder, &package.manifest.architecture).expect("a tokenizer");
    let encoder = Encoder::new(input.clone(), &package.manifest.architecture, tokenizer.clone());
    let note = "Chest pain for two hours, worse on breathing in; short of breath.".to_string();
    let record = Record { note, fields: vec![FieldValue::Missing; input.fields.len()] };
    let example = Arc::new(encoder.encode(&record).expect("an encoded note"));
    let mut group = criterion.benchmark_group(format!("text:{name}"));
    group.bench_function("normalise", |b| b.iter(|| tokenizer.normalise(black_box(&record.note))));
    group.bench_function("tokens", |b| b.iter(|| tokenizer.encode(black_box(&record.note), 384)));
    group.bench_function("encode", |b| b.iter(|| encoder.encode(black_box(&record))));
    for size in [1, 32] {
        let batch = vec![example.clone(); size];
        group.bench_function(format!("batch-{size}"), |b| b.iter(|| model.logits(black_box(&batch))));
    }
    group.finish();
}
