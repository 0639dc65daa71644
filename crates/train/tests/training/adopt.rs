//! Adoption: the vectors of small random encoders are those of transformers (`tests/golden/encoders.py`), and
//! what cannot be adopted is refused with a sentence that says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use model::manifest::Precision::F32;
use model::manifest::{BY_ROW, Measure, Precision, TextPooling};
use serde_json::{Value, json};
use text::Embedder;
use text::adopted_tokenizer::AdoptedTokenizer;
use text::embedder::EncodedText;
use train::adopt::directory::Directory;
use train::adopt::{AdoptOptions, adopt, names};

pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

pub fn expected() -> Value {
    serde_json::from_slice(&fs::read(golden().join("encoders.json")).unwrap()).unwrap()
}

#[test]
fn vectors_are_those_of_transformers() {
    let expected = expected();
    let most = expected["most"].as_u64().unwrap() as usize;
    for (family, rows) in expected["families"].as_object().unwrap() {
        for (pooling, name) in [(TextPooling::Mean, "mean"), (TextPooling::Cls, "cls")] {
            let directory =
                Directory::read(&golden().join("encoders").join(family), Some(pooling), &[]).unwrap();
            let (weights, _) = names::weights(&directory).unwrap();
            let tokenizer = AdoptedTokenizer::parse(&directory.tokenizer).unwrap();
            let mut embedder =
                Embedder::of_encoder(&directory.config, weights, tokenizer, most, F32).unwrap();
            let rows = rows.as_array().unwrap();
            let texts: Vec<Arc<EncodedText>> = rows
                .iter()
                .map(|row| Arc::new(embedder.encode(row["text"].as_str().unwrap()).unwrap()))
                .collect();
            // All together, of lengths from 3 to the most, without padding.
            let vectors = embedder.vectors(&texts).unwrap();
            for ((row, text), vector) in rows.iter().zip(&texts).zip(&vectors) {
                let EncodedText::Tokens(tokens) = &**text else { panic!("no tokens") };
                assert_eq!(json!(tokens.ids), row["ids"], "{family}: {}", row["text"]);
                let want: Vec<f64> =
                    row[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
                assert_eq!(vector.len(), want.len());
                let worst =
                    vector.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-4, "{family}, {name}, {}: {worst}", row["text"]);
            }
        }
    }
}

/// A copy of a family's directory, to be broken.
pub fn copy(family: &str, folder: &Path) -> PathBuf {
    let (from, to) = (golden().join("encoders").join(family), folder.join("adopted"));
    fs::create_dir_all(&to).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    to
}

pub fn amend(file: &Path, change: impl Fn(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

#[test]
fn what_cannot_be_adopted_is_refused_with_a_sentence() {
    type Break = fn(&Path);
    let cases: [(Break, &[&str]); 12] = [
        (
            |dir| fs::remove_file(dir.join("tokenizer.json")).unwrap(),
            &["no tokenizer.json", "save_pretrained"],
        ),
        (|dir| fs::remove_file(dir.join("config.json")).unwrap(), &["no config.json"]),
        (|dir| fs::remove_file(dir.join("model.safetensors")).unwrap(), &["no model.safetensors"]),
        (
            |dir| fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).unwrap(),
            &["pytorch_model.bin", "pickle", "safe_serialization"],
        ),
        (
            |dir| amend(&dir.join("config.json"), |c| c["auto_map"] = json!({"AutoModel": "evil.Model"})),
            &["auto_map", "AutoModel: evil.Model", "trust_remote_code"],
        ),
        (
            |dir| fs::write(dir.join("modeling_evil.py"), "print()").unwrap(),
            &["modeling_evil.py", "trust_remote_code"],
        ),
        (|dir| amend(&dir.join("config.json"), |c| c["model_type"] = json!("gpt2")), &["gpt2", "distilbert"]),
        (|dir| amend(&dir.join("config.json"), |c| c["hidden_act"] = json!("gelu_new")), &["gelu_new"]),
        (
            |dir| amend(&dir.join("config.json"), |c| c["position_embedding_type"] = json!("relative_key")),
            &["relative_key", "absolute"],
        ),
        (|dir| amend(&dir.join("config.json"), |c| c["hidden_size"] = json!("many")), &["hidden_size"]),
        (
            |dir| {
                let dense =
                    json!([{"path": "", "type": "a.Transformer"}, {"path": "2_Dense", "type": "a.Dense"}]);
                fs::write(dir.join("modules.json"), dense.to_string()).unwrap();
            },
            &["module Dense"],
        ),
        (
            |dir| {
                fs::write(
                    dir.join("modules.json"),
                    json!([{"path": "1_Pooling", "type": "a.Pooling"}]).to_string(),
                )
                .unwrap();
                fs::create_dir(dir.join("1_Pooling")).unwrap();
                let max = json!({"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": false});
                fs::write(dir.join("1_Pooling/config.json"), max.to_string()).unwrap();
            },
            &["pooling_mode_max_tokens"],
        ),
    ];
    for (change, wanted) in cases {
        let folder = tempfile::tempdir().unwrap();
        let directory = copy("bert", folder.path());
        change(&directory);
        let error = format!("{:#}", Directory::read(&directory, None, &[]).unwrap_err());
        assert!(wanted.iter().all(|words| error.contains(words)), "{error}");
    }
    let error = Directory::read(Path::new("/nowhere/at/all"), None, &[]).unwrap_err().to_string();
    assert!(error.contains("no directory"), "{error}");
    for (name, value) in [
        ("relative_attention", json!(false)),
        ("conv_kernel_size", json!(3)),
        ("embedding_size", json!(8)),
        ("pooler_hidden_size", json!(8)),
        ("attention_head_size", json!(8)),
        ("pos_att_type", json!("p2c|p2p")),
        ("pooler_hidden_act", json!("tanh")),
        ("layer_norm_eps", json!(0.1)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let directory = copy("deberta-v2", folder.path());
        amend(&directory.join("config.json"), |c| c[name] = value.clone());
        let error = format!("{:#}", Directory::read(&directory, None, &[]).unwrap_err());
        assert!(error.contains(name), "{error}");
    }
    // A table of distances of another size.
    let folder = tempfile::tempdir().unwrap();
    let directory = copy("deberta-v2", folder.path());
    amend(&directory.join("config.json"), |c| c["max_relative_positions"] = json!(9));
    let directory = Directory::read(&directory, None, &[]).unwrap();
    let error = format!("{:#}", names::weights(&directory).unwrap_err());
    assert!(error.contains("rel_embeddings") && error.contains("18 distances"), "{error}");
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: AdoptOptions,
}

fn options(directory: &Path, data: &Path, out: &Path) -> AdoptOptions {
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let line = ["train", &text(directory), "--data", &text(data), "--out", &text(out), "--name", "small"]
        .map(str::to_string);
    Line::parse_from(line).options
}

fn pairs(folder: &Path, count: usize) -> PathBuf {
    let line =
        |number: usize| json!({"question": format!("pain {number}"), "answer": format!("fever {number}")});
    let file = folder.join("pairs.jsonl");
    fs::write(&file, (0..count).map(|number| line(number).to_string() + "\n").collect::<String>()).unwrap();
    file
}

#[test]
fn a_directory_becomes_a_package_once_it_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, out) = (copy("roberta", folder.path()), folder.path().join("models"));
    // As most tokenizers come; both are the server's.
    amend(&directory.join("tokenizer.json"), |t| {
        t["truncation"] =
            json!({"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"});
    });
    fs::write(directory.join("sentence_bert_config.json"), json!({"max_seq_length": 20}).to_string())
        .unwrap();
    let few = adopt(&options(&directory, &pairs(folder.path(), 5), &out)).unwrap_err().to_string();
    assert!(few.contains("5 pairs are too few") && !out.exists(), "{few}");
    let (package, manifest) = adopt(&options(&directory, &pairs(folder.path(), 30), &out)).unwrap();
    let metrics = manifest.metrics["val"].retrieval.unwrap();
    assert_eq!((metrics.questions, metrics.texts), (30, 30));
    assert_eq!(manifest.task().as_str(), "text-embedding");
    let package = model::Package::read(&package).unwrap();
    let embedder = Embedder::read(&package).unwrap();
    let text = embedder.encode(&"pain ".repeat(100)).unwrap();
    assert_eq!((text.read(), text.total()), (20, 102));
    assert!(package.card.contains("roberta") && package.card.contains("no medical device"));
    // What less than single precision costs was measured as the package is used.
    let precision = package.manifest.precision.as_ref().unwrap();
    let (int8, bf16) = (&precision.int8, precision.bf16.as_ref().unwrap());
    for cost in [&int8.cost, &bf16.cost] {
        assert_eq!((cost.measure, cost.examples), (Measure::Ndcg, 30));
        assert!((cost.accuracy_f32 - metrics.ndcg_at_10).abs() < 1e-9, "{cost:?}");
        assert!(cost.probability_difference > 0.0 && cost.probability_difference < 0.01, "{cost:?}");
    }
    assert_eq!((int8.allowed, int8.clipping.as_str()), (int8.cost.is_small(), BY_ROW));
    assert!(
        package.card.contains("Over bytes (`int8`) its nDCG@10 on the 30 val questions"),
        "{}",
        package.card
    );
    let texts =
        ["chest pain", "two days of fever, no rash"].map(|text| Arc::new(embedder.encode(text).unwrap()));
    let single = Embedder::read(&package).unwrap().vectors(&texts).unwrap();
    for of in [Precision::Int8, Precision::Bf16] {
        let low = Embedder::read_in(&package, of).unwrap().vectors(&texts).unwrap();
        for (a, b) in single.iter().zip(&low) {
            let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.99 && a != b, "{of:?}: {cosine}");
        }
    }
    // A manifest that allows what costs too much is refused.
    let file = package.folder.join("manifest.json");
    amend(&file, |m| {
        m["precision"]["int8"]["allowed"] = json!(true);
        m["precision"]["int8"]["cost"]["accuracy"] =
            json!(m["precision"]["int8"]["cost"]["accuracy_f32"].as_f64().unwrap() - 0.01);
    });
    assert!(model::Package::read(&package.folder).err().unwrap().to_string().contains("precision.int8"));
}
