//! A sentence encoder becomes a package of task `text-embedding`, measured on pairs of questions and answers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::directory::Directory;
use super::{AdoptOptions, FEWEST, describe, most_tokens, names, tokenizer, write_origin};
use crate::embed::corpus::{Corpus, Members, Row};
use crate::embed::retrieval::table;
use crate::embed::retrieval_of;
use model::manifest::Precision::F32;
use model::manifest::{Architecture, Input, Manifest, TextInput, TextPooling};
use model::package::TOKENIZER;
use model::{Package, package};
use text::Embedder;

/// Measures and writes the package. Returns its folder and manifest.
///
/// # Errors
/// Weights that do not fit, or pairs that cannot be read or are too few.
pub fn adopt(options: &AdoptOptions, directory: &Directory) -> Result<(PathBuf, Manifest)> {
    let (question, answer) = options
        .pairs
        .split_once(',')
        .with_context(|| format!("--pairs: \"{}\" is not QUESTION,ANSWER", options.pairs))?;
    let pair = Some((question.to_string(), answer.to_string()));
    let corpus = Corpus::read(&options.data, &Members { pair, ..Members::default() })?;
    let step = corpus.rows.len().div_ceil(options.examples.max(1)).max(1);
    let rows: Vec<&Row> = corpus.rows.iter().step_by(step).collect();
    ensure!(
        rows.len() >= FEWEST,
        "{} pairs are too few to measure a model by; at least {FEWEST} are asked for",
        rows.len()
    );
    let most = most_tokens(options, directory)?;
    let examples = BTreeMap::from([("val".to_string(), rows.len())]);
    let mut manifest = describe(options, directory)?;
    manifest.description = options
        .about
        .description_or("Makes vectors of texts by an encoder that others have trained.".to_string());
    manifest.input = Input::Text(TextInput { max_tokens: most });
    manifest.data = options.about.data(Some(corpus.name.clone()), corpus.sha256.clone(), examples);
    manifest.training.settings.insert("pairs".to_string(), json!(options.pairs));
    manifest.check().map_err(anyhow::Error::msg)?;
    let (weights, digest) = names::weights(directory)?;
    manifest.training.settings.insert("model.safetensors sha256".to_string(), json!(digest));
    let mut embedder =
        Embedder::of_encoder(&directory.config, weights.clone(), tokenizer(directory)?, most, F32)
            .with_context(|| format!("{}/model.safetensors", options.directory.display()))?;
    eprintln!("measuring on {} pairs of {}", rows.len(), corpus.name);
    manifest.metrics.insert("val".to_string(), retrieval_of(&mut embedder, &rows, &[], 0)?);
    manifest.weights.parameters = package::values(&weights);
    let mut card = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut card, &manifest);
    let extra = [(TOKENIZER, directory.tokenizer.clone())];
    let folder = Package::write(&options.out, &mut manifest, &weights, &card, &extra)?;
    Ok((folder, manifest))
}

fn write_card(out: &mut String, m: &Manifest) -> std::fmt::Result {
    writeln!(out, "# {}, version {}\n\n{}\n", m.name, m.version, m.description)?;
    writeln!(
        out,
        "This model is no medical device. It was trained by others on texts that are not named here; it says how alike two \
         texts are, and nothing about whether what a text says is true or right for anybody.\n"
    )?;
    if let Architecture::Encoder(config) = &m.architecture {
        let of = match config.pooling {
            TextPooling::Mean => "the mean over its tokens",
            TextPooling::Cls => "that of its first token",
        };
        writeln!(out, "A text's vector is {of} and has length 1.\n")?;
    }
    writeln!(out, "## Measured on\n\n{}. {} Licence: {}.\n", m.data.name, m.data.source, m.data.licence)?;
    for (file, digest) in &m.data.sha256 {
        writeln!(out, "- `{file}` sha256 `{digest}`")?;
    }
    writeln!(out, "\n{}", table(m.metrics.iter()))?;
    writeln!(
        out,
        "Each question is asked of all answers measured, and its own is the only right one. BM25 counts words alone; \"both\" \
         adds the two scores.\n"
    )?;
    write_origin(out, m)
}
