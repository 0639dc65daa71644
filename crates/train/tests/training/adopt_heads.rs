//! Adoption of models with a head: their logits are those of transformers (`tests/golden/encoders.py`), a package is made
//! once they are measured on a hospital's data, and what does not fit that data is refused.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use model::Package;
use model::calibration::probabilities;
use model::manifest::Precision::F32;
use model::manifest::{Architecture, Likeness, Measure, RecordInput};
use nn::Params;
use serde_json::{Value, json};
use text::tagger::{Document, EncoderTagger};
use text::{Encoder, Familiarity, Record, network};
use train::adopt::directory::{Directory, Head};
use train::adopt::{AdoptOptions, adopt, names};

use super::adopt::{amend, copy, expected, golden};
use text::adopted_tokenizer::AdoptedTokenizer;

const FAMILIES: [&str; 6] = ["bert", "distilbert", "roberta", "xlm-roberta", "modernbert", "deberta-v2"];

fn record(note: &str) -> Record {
    Record { note: note.to_string(), fields: Vec::new() }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn assert_near(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let worst = got.iter().zip(want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-4, "{what}: {worst}");
}

#[test]
fn logits_of_labels_are_those_of_transformers() {
    let expected = expected();
    for family in FAMILIES {
        let rows = expected["labels"][family].as_array().unwrap();
        let path = golden().join("encoders").join(format!("{family}-labels"));
        let directory = Directory::read(&path, None, &[]).unwrap();
        assert_eq!(directory.head, Head::Labels(["Home", "ward", "ICU"].map(str::to_string).to_vec()));
        let (weights, _) = names::weights(&directory).unwrap();
        let max_tokens = expected["most"].as_u64().unwrap() as usize;
        let input = RecordInput { max_tokens, fields: Vec::new() };
        let architecture = Architecture::Encoder(directory.config.clone());
        let mut params = Params::frozen(weights);
        let mut plan = network::plan(&architecture, &input, 3, &mut params).unwrap();
        params.finish().unwrap();
        let encoder = Encoder::adopted(input, AdoptedTokenizer::parse(&directory.tokenizer).unwrap());
        let encode = |row: &Value| Arc::new(encoder.encode(&record(row["text"].as_str().unwrap())).unwrap());
        let batch: Vec<_> = rows.iter().map(encode).collect();
        // All together, without padding.
        let logits = plan.logits(&batch).unwrap();
        for ((row, example), logits) in rows.iter().zip(&batch).zip(&logits) {
            assert_eq!(json!(example.tokens.ids), row["ids"], "{family}: {}", row["text"]);
            assert_near(logits, &numbers(&row["logits"]), &format!("{family}: {}", row["text"]));
        }
    }
}

fn tagger(family: &str) -> EncoderTagger {
    let path = golden().join("encoders").join(format!("{family}-tags"));
    let directory = Directory::read(&path, None, &[]).unwrap();
    let Head::Tags(tags) = &directory.head else { panic!("{:?}", directory.head) };
    assert_eq!(tags.labels, ["Disease", "Symptom"]);
    let (weights, _) = names::weights(&directory).unwrap();
    let tokenizer = AdoptedTokenizer::parse(&directory.tokenizer).unwrap();
    EncoderTagger::new(&directory.config, 2, weights, tokenizer, F32).unwrap()
}

#[test]
fn scores_of_words_are_those_of_their_first_pieces_in_transformers() {
    let expected = expected();
    for family in FAMILIES {
        let mut tagger = tagger(family);
        let rows = expected["tags"][family].as_array().unwrap();
        let read = |row: &Value| Arc::new(tagger.read_text(row["text"].as_str().unwrap(), 99).unwrap());
        let documents: Vec<Arc<Document>> = rows.iter().map(read).collect();
        let scores = tagger.scores(&documents).unwrap();
        for ((row, document), scores) in rows.iter().zip(&documents).zip(&scores) {
            let [window] = &document.windows[..] else { panic!("{document:?}") };
            assert_eq!(json!(window.ids), row["ids"], "{family}: {}", row["text"]);
            assert_eq!(scores.len(), 5 * document.tokens.len());
            for (scores, place) in scores.chunks(5).zip(&window.firsts) {
                // Their outputs are I-Disease, O, B-Symptom, B-Disease.
                let theirs = numbers(&row["logits"][place]);
                let want = [theirs[1], theirs[3], theirs[0], theirs[2]];
                assert_near(&scores[..4], &want, &format!("{family}: {}", row["text"]));
                assert!(scores[4] < -1000.0);
            }
        }
    }
}

#[test]
fn a_long_text_is_read_in_parts_as_if_each_were_alone() {
    let mut tagger = tagger("roberta");
    let sentences = ["No fever.", "Two days cough and rash for two days.", "胸痛 and 胸痛."];
    let text = format!("{} {}", sentences.join(" ").repeat(12), "pain ".repeat(90));
    let whole = Arc::new(tagger.read_text(&text, usize::MAX).unwrap());
    let mut next = 0;
    for window in &whole.windows {
        assert_eq!(window.tokens.start, next);
        next = window.tokens.end;
        // There are 30 places; a part ends where a sentence does, or is full.
        let ends = whole.sentences.iter().any(|sentence| sentence.end == next);
        assert!(window.ids.len() <= 30 && (ends || window.ids.len() == 30), "{window:?}");
    }
    assert_eq!(next, whole.tokens.len());
    let all = tagger.scores(std::slice::from_ref(&whole)).unwrap().remove(0);
    for window in [&whole.windows[0], &whole.windows[3], whole.windows.last().unwrap()] {
        let (first, last) = (&whole.tokens[window.tokens.start], &whole.tokens[window.tokens.end - 1]);
        let part = tagger.read_text(&text[first.bytes.start..last.bytes.end], usize::MAX).unwrap();
        assert_eq!(part.windows[0].ids, window.ids);
        let alone = tagger.scores(&[Arc::new(part)]).unwrap().remove(0);
        let within = &all[5 * window.tokens.start..5 * window.tokens.end];
        assert!(alone.iter().zip(within).all(|(a, b)| (a - b).abs() < 1e-4));
    }
    // Nothing to read, more blanks than places, and a word of more pieces than places.
    for (text, words) in [(String::new(), 0), (" ".repeat(500) + "pain", 1), ("z".repeat(300) + " pain", 2)] {
        let document = Arc::new(tagger.read_text(&text, usize::MAX).unwrap());
        assert_eq!(document.tokens.len(), words);
        assert_eq!(tagger.scores(&[document]).unwrap()[0].len(), 5 * words);
    }
    let cut = tagger.read_text(&text, 7).unwrap();
    assert_eq!((cut.tokens.len(), cut.total), (7, whole.total));
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: AdoptOptions,
}

fn options(directory: &Path, data: &Path, more: &[&str]) -> AdoptOptions {
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let out = data.parent().unwrap().join("models");
    let line = ["train", &text(directory), "--data", &text(data), "--out", &text(&out), "--name", "small"];
    Line::parse_from(line.iter().chain(more).map(ToString::to_string)).options
}

/// Notes with labels, written otherwise than the head writes them.
fn notes(folder: &Path, count: usize, third: &str) -> PathBuf {
    let mut csv = "patient,note,label\n".to_string();
    for number in 0..count {
        let words = ["chest pain and cough", "fever for two days", "no rash, two coughs"][number % 3];
        let label = ["HOME", "ward", third][number % 3];
        writeln!(csv, "p{number},\"{words} {number}\",{label}").unwrap();
    }
    let file = folder.join("notes.csv");
    fs::write(&file, csv).unwrap();
    file
}

#[test]
fn a_classifier_becomes_a_package_once_it_was_measured_and_calibrated() {
    let folder = tempfile::tempdir().unwrap();
    let directory = copy("bert-labels", folder.path());
    let data = notes(folder.path(), 240, "ICU");
    let (package, manifest) = adopt(&options(&directory, &data, &["--abstain-share", "0.1"])).unwrap();
    assert_eq!(manifest.labels, ["HOME", "ward", "ICU"]);
    assert_eq!(manifest.task().as_str(), "note-classification");
    let val = &manifest.metrics["val"];
    assert_eq!(val.examples, manifest.data.examples["val"]);
    assert!(val.examples >= 20 && val.abstained <= 0.1, "{val:?}");
    assert!(!manifest.metrics.contains_key("train"));
    let temperature = manifest.calibration.temperature;
    assert!(temperature != 1.0 && manifest.abstain_below > 0.0);
    assert!(matches!(manifest.likeness, Some(Likeness::Characters { .. })));

    let precision = manifest.precision.as_ref().unwrap();
    assert_eq!(
        (precision.int8.cost.measure, precision.int8.cost.examples),
        (Measure::Accuracy, val.examples)
    );
    assert!((precision.int8.cost.accuracy_f32 - val.accuracy).abs() < 1e-9);

    let package = Package::read(&package).unwrap();
    assert!(package.card.contains("Over bytes (`int8`) its accuracy on the"), "{}", package.card);
    assert!(package.card.contains("no medical device") && package.card.contains("none was changed"));
    assert!(!package.card.contains("learning-curve") && package.folder.join("plots/roc.svg").exists());
    // What is unlike the notes is told by what the package keeps.
    let familiar = Familiarity::read(&package.folder, &package.manifest, &package.weights).unwrap().unwrap();
    let known = (0..240).filter(|number| familiar.knows(&format!("fever for two days {number}"))).count();
    assert!(known >= 120 && !familiar.knows("zyx qwvut, zzgh"), "{known}");
    // The package answers as the directory did, and is measured as it was.
    let evaluation = train::evaluate::evaluate(&package.folder, &data, "train").unwrap();
    assert_eq!(evaluation.metrics.examples, manifest.data.examples["train"]);
    let golden = &expected()["labels"]["bert"][0];
    let input = RecordInput { max_tokens: 32, fields: Vec::new() };
    let mut params = Params::frozen(package.weights.clone());
    let mut plan = network::plan(&manifest.architecture, &input, 3, &mut params).unwrap();
    let encoder = Encoder::read(&package.folder, input, &manifest.architecture).unwrap();
    let example = Arc::new(encoder.encode(&record(golden["text"].as_str().unwrap())).unwrap());
    let logits = plan.logits(&[example]).unwrap().remove(0);
    assert_near(&logits, &numbers(&golden["logits"]), "package");
    assert!((probabilities(&logits, temperature).unwrap().iter().sum::<f32>() - 1.0).abs() < 1e-5);
    // Of a long note the beginning and the end are read, with what stands around them.
    let long = encoder.encode(&record(&format!("{} fever", "pain ".repeat(90)))).unwrap();
    assert_eq!((long.tokens.ids.len(), long.tokens.total), (32, 93));
    let fever = encoder.encode(&record("fever")).unwrap().tokens.ids;
    assert_eq!(long.tokens.ids[30..], fever[1..]);
}

#[test]
fn an_encoder_without_a_head_is_given_one_that_is_fitted() {
    let folder = tempfile::tempdir().unwrap();
    let directory = copy("distilbert", folder.path());
    let data = notes(folder.path(), 240, "ICU");
    let (package, manifest) =
        adopt(&options(&directory, &data, &["--pooling", "mean", "--no-int8"])).unwrap();
    assert!(manifest.precision.is_none());
    // Labels are those of the data, in their order.
    assert_eq!(manifest.labels, ["HOME", "ICU", "ward"]);
    assert_eq!(manifest.task().as_str(), "note-classification");
    assert!(manifest.metrics["val"].accuracy > 0.95, "{:?}", manifest.metrics["val"]);
    let package = Package::read(&package).unwrap();
    assert!(package.card.contains("Its head was fitted to the training notes"));
    let evaluation = train::evaluate::evaluate(&package.folder, &data, "train").unwrap();
    assert!(evaluation.metrics.accuracy > 0.95);
    // Pairs of texts make the same directory a sentence encoder.
    let other = data.with_file_name("pairs.jsonl");
    fs::write(&other, "{\"question\": \"pain\", \"answer\": \"rash\"}\n").unwrap();
    let error = adopt(&options(&directory, &other, &[])).unwrap_err().to_string();
    assert!(error.contains("1 pairs are too few"), "{error}");
}

/// Marked texts in JSON lines, with a label as the data writes it.
fn marked(folder: &Path, count: usize, label: &str) -> PathBuf {
    let data = folder.join("marked");
    fs::create_dir_all(&data).unwrap();
    let line = |number: usize| {
        let text = format!("😷 {number} days pain and fever");
        let start = text.chars().count() - 14;
        json!({"text": text, "entities": [{"start": start, "end": start + 4, "label": label}]}).to_string()
            + "\n"
    };
    fs::write(data.join("dev.jsonl"), (0..count).map(line).collect::<String>()).unwrap();
    data
}

#[test]
fn a_tagger_becomes_a_package_once_it_was_measured_and_calibrated() {
    let folder = tempfile::tempdir().unwrap();
    let directory = copy("distilbert-tags", folder.path());
    let data = marked(folder.path(), 30, "SYMPTOM");
    let (package, manifest) = adopt(&options(&directory, &data, &["--threshold", "0.2"])).unwrap();
    assert_eq!(manifest.labels, ["Disease", "SYMPTOM"]);
    assert_eq!(manifest.task().as_str(), "note-extraction");
    let metrics = manifest.metrics["dev"].extraction.as_ref().unwrap();
    assert_eq!((metrics.entities.count, metrics.by_label["SYMPTOM"].count), (30, 30));
    assert!(manifest.calibration.temperature != 1.0);
    let package = Package::read(&package).unwrap();
    assert!(package.card.contains("first piece") && package.card.contains("no weight was changed"));
    let evaluation = train::evaluate::evaluate(&package.folder, &data, "val").unwrap();
    assert_eq!(evaluation.metrics.extraction.unwrap(), *metrics);
    // Probabilities are corrected label by label, and what less than single precision costs was measured by the names.
    assert_eq!(manifest.calibration.names.len(), 2);
    let precision = manifest.precision.as_ref().unwrap();
    assert_eq!((precision.int8.cost.measure, precision.int8.cost.examples), (Measure::F1, 30));
    assert_eq!(Some(precision.int8.cost.accuracy_f32), metrics.entities.f1);
    assert!(package.card.contains("its F1 on the 30 dev texts"), "{}", package.card);
}

#[test]
fn what_does_not_fit_is_refused_with_a_sentence() {
    type Break = fn(&Path);
    let head = |change: Break, family: &str, more: &[&str], third: &str| {
        let folder = tempfile::tempdir().unwrap();
        let directory = copy(family, folder.path());
        change(&directory);
        let data = match family.ends_with("labels") {
            true => notes(folder.path(), 240, third),
            false => marked(folder.path(), 30, third),
        };
        let error = format!("{:#}", adopt(&options(&directory, &data, more)).unwrap_err());
        assert!(!folder.path().join("models").exists(), "{error}");
        error
    };
    let nothing: Break = |_| {};
    type Case<'a> = (Break, &'a str, &'a [&'a str], &'a str, &'a [&'a str]);
    let cases: [Case; 12] = [
        (
            nothing,
            "bert-labels",
            &[],
            "morgue",
            &["\"morgue\" of the data is none that the head knows", "Home, ward, ICU"],
        ),
        (
            nothing,
            "bert-tags",
            &[],
            "Drug",
            &["\"Drug\" of the data is none that the head knows", "Disease, Symptom"],
        ),
        (nothing, "bert-labels", &["--labels", "a,b"], "ICU", &["2 names for the 3 outputs"]),
        (nothing, "bert-labels", &["--pooling", "mean"], "ICU", &["--pooling is for sentence encoders"]),
        (nothing, "bert-labels", &["--max-tokens", "33"], "ICU", &["33", "32 places"]),
        (
            |dir| amend(&dir.join("config.json"), |c| c["id2label"] = json!({"0": "home", "1": "ward"})),
            "roberta-labels",
            &["--label-column", "label"],
            "ward",
            &["classifier.out_proj", "[3, 16]", "id2label", "2 outputs"],
        ),
        (
            |dir| amend(&dir.join("config.json"), |c| c["id2label"]["4"] = json!("B-Drug")),
            "bert-tags",
            &[],
            "Symptom",
            &["\"classifier\"", "[4, 16]", "5 outputs"],
        ),
        (
            |dir| amend(&dir.join("config.json"), |c| c["id2label"]["0"] = json!("E-Disease")),
            "bert-tags",
            &[],
            "Symptom",
            &["\"E-Disease\" of the head is not O, B- or I-"],
        ),
        (
            |dir| amend(&dir.join("config.json"), |c| c["problem_type"] = json!("regression")),
            "bert-labels",
            &[],
            "ICU",
            &["regression"],
        ),
        (
            |dir| {
                let other = golden().join("encoders/bert/model.safetensors");
                fs::copy(other, dir.join("model.safetensors")).unwrap();
            },
            "bert-labels",
            &[],
            "ICU",
            &["pooler.dense", "the head was not saved"],
        ),
        (
            |dir| fs::remove_file(dir.join("tokenizer.json")).unwrap(),
            "bert-labels",
            &[],
            "ICU",
            &["no tokenizer.json"],
        ),
        (
            |dir| fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).unwrap(),
            "bert-tags",
            &[],
            "Symptom",
            &["pickle"],
        ),
    ];
    for (change, family, more, third, wanted) in cases {
        let error = head(change, family, more, third);
        assert!(wanted.iter().all(|words| error.contains(words)), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let directory = copy("bert-labels", folder.path());
    let error = adopt(&options(&directory, &notes(folder.path(), 30, "ICU"), &[])).unwrap_err().to_string();
    assert!(error.contains("validation notes are too few"), "{error}");
    let directory = copy("bert-tags", folder.path());
    let error =
        adopt(&options(&directory, &marked(folder.path(), 5, "Symptom"), &[])).unwrap_err().to_string();
    assert!(error.contains("5 development texts are too few"), "{error}");
    let directory = copy("bert", folder.path());
    let error = adopt(&options(&directory, &notes(folder.path(), 240, "ICU"), &["--labels", "a,b"]));
    assert!(format!("{:#}", error.unwrap_err()).contains("gives no labels"), "names for no outputs");
}
