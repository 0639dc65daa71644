//! `train embed` from a file to a package: what is learned, what is held out, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use serde_json::json;
use text::Embedder;
use train::embed::{EmbedOptions, train};
use train::evaluate::evaluate;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: EmbedOptions,
}

fn options(data: &Path, out: &Path, further: &[&str]) -> EmbedOptions {
    let line = ["train", "--data", data.to_str().unwrap(), "--out", out.to_str().unwrap(), "--name", "small"];
    Line::parse_from(line.iter().chain(further)).options
}

/// Questions about made-up illnesses, whose answers use other words for what is asked.
fn pairs(folder: &Path) -> PathBuf {
    let name = |at: usize| -> String {
        let syllables = ["ba", "do", "fi", "gu", "ka", "le", "mo", "nu", "pi", "ro"];
        format!("{}{}{}osis", syllables[at % 10], syllables[at / 10 % 10], syllables[(at * 7 + 3) % 10])
    };
    let mut lines = String::new();
    for at in 0..80 {
        let illness = name(at);
        for (question, answer) in [
            (
                format!("How is {illness} treated?"),
                format!("Therapy of {illness} begins with rest and tablets at home."),
            ),
            (
                format!("What causes {illness}?"),
                format!("The reason for {illness} is a change in a gene of the parents."),
            ),
        ] {
            lines += &(json!({"question": question, "answer": answer, "focus": illness}).to_string() + "\n");
        }
    }
    let file = folder.join("pairs.jsonl");
    fs::write(&file, lines).unwrap();
    file
}

fn cosine(embedder: &mut Embedder, a: &str, b: &str) -> f32 {
    let encoded = [a, b].map(|text| Arc::new(embedder.encode(text).unwrap()));
    let vectors = embedder.vectors(&encoded).unwrap();
    vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum()
}

#[test]
fn pairs_become_a_package_that_finds_answers_and_knows_new_words_by_their_parts() {
    let folder = tempfile::tempdir().unwrap();
    let data = pairs(folder.path());
    let out = folder.path().join("models");
    let further = [
        "--pairs",
        "question,answer",
        "--group-by",
        "focus",
        "--min-count",
        "1",
        "--dimensions",
        "24",
        "--subwords",
        "500",
        "--epochs",
        "2",
        "--pair-epochs",
        "40",
        "--batch-size",
        "32",
        "--holdout",
        "0.2",
    ];
    let never = AtomicBool::new(false);
    let (package, manifest) = train(&options(&data, &out, &further), &never).unwrap();
    let val = manifest.metrics["val"].retrieval.unwrap();
    // The illnesses asked for were never seen: their n-grams lead there, and what treats is near what is a therapy.
    assert!(val.questions >= 16 && val.texts == val.questions, "{val:?}");
    assert!(val.ndcg_at_10 > 0.6, "{val:?}");
    let read = model::Package::read(&package).unwrap();
    let mut embedder = Embedder::read(&read).unwrap();
    assert_eq!(embedder.dimensions(), 24);
    let near = cosine(&mut embedder, "how is it treated", "therapy, rest, tablets");
    let far = cosine(&mut embedder, "how is it treated", "the reason is a gene of the parents");
    assert!(near > far + 0.3, "{near} {far}");
    let evaluation = evaluate(&package, &data, "test").unwrap();
    assert_eq!(evaluation.metrics.examples, 160);
    // The same seed and one thread: the same weights.
    let (_, again) = train(&options(&data, &folder.path().join("again"), &further), &never).unwrap();
    assert_eq!(again.weights.sha256, manifest.weights.sha256);
    let (_, other) = train(
        &options(&data, &folder.path().join("other"), &[&further[..], &["--seed", "1"]].concat()),
        &never,
    )
    .unwrap();
    assert_ne!(other.weights.sha256, manifest.weights.sha256);
    // What was held out is learned from in the end, and what was measured stays.
    let (_, refit) =
        train(&options(&data, &folder.path().join("refit"), &[&further[..], &["--refit"]].concat()), &never)
            .unwrap();
    assert_eq!(refit.metrics, manifest.metrics);
    assert_ne!(refit.weights.sha256, manifest.weights.sha256);
}

#[test]
fn every_way_of_learning_reads_plain_text_and_vectors_of_others_are_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("notes.txt");
    let lines: String = (0..300)
        .map(|at| match at % 2 {
            0 => "the chest hurts with pain and the heart races\n",
            _ => "a rash itches on the skin of the arm\n",
        })
        .collect();
    fs::write(&data, lines).unwrap();
    let never = AtomicBool::new(false);
    let plain =
        ["--common", "0", "--dimensions", "16", "--subsample", "0", "--epochs", "20", "--subwords", "300"];
    for arch in ["skipgram", "cbow", "subword"] {
        let out = folder.path().join(arch);
        let (package, manifest) =
            train(&options(&data, &out, &[&plain[..], &["--arch", arch]].concat()), &never).unwrap();
        assert!(manifest.metrics.is_empty());
        let mut embedder = Embedder::read(&model::Package::read(&package).unwrap()).unwrap();
        let (near, far) = (cosine(&mut embedder, "chest", "heart"), cosine(&mut embedder, "chest", "rash"));
        assert!(near > far + 0.1, "{arch}: {near} {far}");
        let (near, far) = (cosine(&mut embedder, "chests", "chest"), cosine(&mut embedder, "chests", "rash"));
        assert!(near > far, "{arch}, a new word: {near} {far}");
    }
    let vectors = folder.path().join("others.vec");
    fs::write(&vectors, "3 2\nchest 1 0\nthorax 0.9 0.1\nrash 0 1\n").unwrap();
    let from = ["--from", vectors.to_str().unwrap(), "--epochs", "0", "--common", "0", "--subwords", "0"];
    let (package, manifest) = train(&options(&data, &folder.path().join("from"), &from), &never).unwrap();
    assert_eq!(manifest.training.settings["from"], "others.vec");
    let mut embedder = Embedder::read(&model::Package::read(&package).unwrap()).unwrap();
    // A word that the texts do not have comes from the file.
    assert!(
        cosine(&mut embedder, "thorax", "chest") > 0.99
            && cosine(&mut embedder, "chest", "rash").abs() < 0.01
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = pairs(folder.path());
    let mixed = folder.path().join("mixed.vec");
    fs::write(&mixed, "a 1 2 3\nb 1 2\n").unwrap();
    let refused = |further: &[&str]| {
        let never = AtomicBool::new(false);
        format!("{:#}", train(&options(&data, folder.path(), further), &never).unwrap_err())
    };
    let pair = ["--pairs", "question,answer"];
    for (further, wanted) in [
        (
            vec!["--from", mixed.to_str().unwrap(), "--text-field", "answer"],
            "line 2: 2 values, where the others have 3",
        ),
        (vec!["--text-field", "note"], "no member \"note\"; it has"),
        (vec!["--pairs", "question"], "is not QUESTION,ANSWER"),
        (vec!["--text-field", "answer", "--min-count", "100000"], "no word comes 100000 times"),
        (vec!["--text-field", "answer", "--epochs", "0"], "learns nothing"),
        ([&pair[..], &["--holdout", "1"]].concat(), "--holdout is 1"),
        ([&pair[..], &["--stretches", "0.8"]].concat(), "add up to 1"),
        (vec!["--text-field", "answer", "--arch", "subword", "--subwords", "0"], "needs --subwords"),
    ] {
        let error = refused(&further);
        assert!(error.contains(wanted), "{error}");
    }
}
