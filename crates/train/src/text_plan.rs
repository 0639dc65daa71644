//! What `train text` is going to make: scale, network and manifest, from the options and the data.
//!
//! All of it is known, and checked, before any training begins, so that a mistake in an option
//! costs nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::about::{meanings, training, unwritten_weights};
use super::bag::BagOptions;
use super::card::members;
use super::field_dropout::FieldDropout;
use super::fit::FitOptions;
use super::label_names::whole;
use super::notes::NoteSource;
use super::text_options::{Arch, TextOptions};
use model::manifest::{
    Architecture, BagConfig, Calibration, FORMAT, Field, FieldKind, Input, LstmConfig, Manifest, NGrams,
    Ordinal, RecordInput, TransformerConfig,
};

/// A bag reads notes of any length; this bounds the work on one.
const BAG_TOKENS: usize = 1 << 16;

/// The network of one architecture, for a tokenizer of so many tokens.
///
/// # Errors
/// N-grams that are not written as they should be.
pub fn architecture(arch: Arch, options: &TextOptions, vocabulary: usize) -> Result<Architecture> {
    Ok(match arch {
        Arch::Bag => Architecture::Bag(BagConfig {
            words: n_grams("--words", &options.words)?,
            characters: n_grams("--characters", &options.characters)?,
            ngrams: 0,
            inverse_document_frequency: false,
            field_scale: options.field_scale,
            trees: None,
        }),
        Arch::Lstm => Architecture::Lstm(LstmConfig {
            vocabulary,
            embedding: options.embedding,
            hidden: options.hidden,
            bidirectional: !options.one_direction,
            token_dropout: options.token_dropout,
            dropout: options.dropout,
            recurrent_dropout: options.recurrent_dropout,
        }),
        Arch::Transformer => Architecture::Transformer(TransformerConfig {
            vocabulary,
            width: options.embedding,
            heads: options.heads,
            layers: options.layers,
            feed_forward: 2 * options.embedding,
            token_dropout: options.token_dropout,
            dropout: options.dropout,
        }),
        Arch::Auto => bail!("\"auto\" is no architecture of its own"),
    })
}

/// N-grams as written on the command line: "1-2", "1-2*0.5" or "none".
fn n_grams(option: &str, text: &str) -> Result<NGrams> {
    if text == "none" {
        return Ok(NGrams { min: 1, max: 0, scale: 1.0 });
    }
    let parse = || -> Option<NGrams> {
        let (lengths, scale) = text.split_once('*').unwrap_or((text, "1"));
        let (min, max) = lengths.split_once('-')?;
        Some(NGrams { min: min.parse().ok()?, max: max.parse().ok()?, scale: scale.parse().ok()? })
    };
    parse().with_context(|| format!("{option}: \"{text}\" is not none, MIN-MAX or MIN-MAX*SCALE"))
}

/// How a bag is fitted.
pub fn bag_options(options: &TextOptions, config: &BagConfig, fields: &[Field], ordinal: bool) -> BagOptions {
    BagOptions {
        config: config.clone(),
        ngrams: options.ngrams,
        least: options.least_notes,
        inverse_penalty: options.inverse_penalty,
        rarity: options.rarity,
        fields: fields.to_vec(),
        trees: options.trees,
        field_dropout: FieldDropout::new(fields, options.field_dropout),
        ordinal,
        refit: options.refit,
        iterations: options.epochs.unwrap_or(200),
        seed: options.seed,
    }
}

/// How a network over tokens is fitted.
pub fn fit_options(arch: Arch, options: &TextOptions) -> FitOptions {
    let (epochs, rate) = match arch {
        Arch::Transformer => (30, 1e-3),
        _ => (20, 2e-3),
    };
    FitOptions {
        epochs: options.epochs.unwrap_or(epochs),
        batch_size: options.batch_size,
        learning_rate: options.lr.unwrap_or(rate),
        warmup: 0.05,
        weight_decay: options.weight_decay,
        clip: 1.0,
        label_smoothing: 0.0,
        balance: 0.0,
        average_decay: 0.99,
        patience: options.patience.unwrap_or(if options.arch == Arch::Auto { 1 } else { 4 }),
        keep_last: false,
        seed: options.seed,
    }
}

/// The scale of the labels: as told, or where they are three or more of the numbers 1 to 5 in a row.
///
/// # Errors
/// An order that is not known, a cost matrix without a scale or that cannot be read.
pub fn ordinal(options: &TextOptions, labels: &[String]) -> Result<Option<Ordinal>> {
    let numbers: Option<Vec<i64>> = labels.iter().map(|label| whole(label)).collect();
    let steps = |numbers: &Vec<i64>| {
        numbers.len() >= 3
            && numbers.iter().all(|number| (1..=5).contains(number))
            && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
    };
    let scale = match &options.scale {
        _ if options.nominal => None,
        Some(scale) => {
            ensure!(
                numbers.is_some() || !options.labels.is_empty(),
                "--scale: the labels {} are no numbers; tell their order with --labels, the most urgent first",
                labels.join(", ")
            );
            Some(scale.clone())
        }
        None if numbers.as_ref().is_some_and(steps) => {
            eprintln!(
                "the labels {} are taken for steps of a scale, {} the most urgent; --nominal if they are none, --labels and \
                 --scale for another order",
                labels.join(", "),
                labels[0]
            );
            Some(options.label_column.clone())
        }
        None => None,
    };
    let Some(scale) = scale else {
        ensure!(
            options.cost.is_none(),
            "--cost is for labels that are steps of a scale: name it with --scale"
        );
        return Ok(None);
    };
    let cost = match &options.cost {
        Some(file) => {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            Some(serde_json::from_slice(&bytes).with_context(|| file.display().to_string())?)
        }
        None => None,
    };
    Ok(Some(Ordinal { scale, cost }))
}

/// What a network of one architecture is given.
pub fn record_input(arch: Arch, options: &TextOptions, source: &NoteSource) -> RecordInput {
    let max_tokens = if arch == Arch::Bag { BAG_TOKENS } else { options.max_tokens };
    RecordInput { max_tokens, fields: source.fields.clone() }
}

/// The package as far as it is known before training, checked.
///
/// # Errors
/// Settings that do not fit.
pub fn describe(
    arch: Arch,
    options: &TextOptions,
    source: &NoteSource,
    ordinal: Option<Ordinal>,
    version: u64,
) -> Result<Manifest> {
    let has_normal = |field: &Field| matches!(field.kind, FieldKind::Numeric { normal: Some(_), .. });
    ensure!(
        ordinal.is_some() || !source.fields.iter().any(has_normal),
        "--fields: a normal range is for labels of a scale, of which more or less urgent can be said"
    );
    let field_dropout = FieldDropout::new(&source.fields, options.field_dropout);
    let architecture = architecture(arch, options, options.vocabulary)?;
    let mut settings = match &architecture {
        Architecture::Bag(config) => {
            bag_options(options, config, &source.fields, ordinal.is_some()).check()?;
            BTreeMap::from([("refit".to_string(), json!(options.refit))])
        }
        _ => {
            let fit_options = fit_options(arch, options);
            fit_options.check()?;
            members(&fit_options)
        }
    };
    settings.insert("field_dropout".to_string(), json!(field_dropout.weight()));
    settings.insert("note_column".to_string(), json!(options.note_column));
    settings.insert("label_column".to_string(), json!(options.label_column));
    if let Some(group) = &options.group_by {
        settings.insert("group_by".to_string(), json!(group));
    }
    let label_descriptions = meanings(&options.label_descriptions)?;
    let folder = options.data.file_name().map(|name| name.to_string_lossy().into_owned());
    let manifest = Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options.about.description.clone(),
        labels: source.labels.clone(),
        label_descriptions,
        ordinal,
        input: Input::Record(record_input(arch, options, source)),
        architecture,
        exact_convolution: false,
        precision: None,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        outputs: None,
        segmentation: None,
        generation: None,
        data: options.about.data(
            folder,
            source.sha256.clone(),
            source.splits.iter().map(|(split, records)| (split.clone(), records.len())).collect(),
        ),
        training: training(options.seed, 0, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    };
    manifest.check().map_err(anyhow::Error::msg)?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_grams_are_read_as_written() {
        assert_eq!(n_grams("--words", "1-2").unwrap(), NGrams { min: 1, max: 2, scale: 1.0 });
        assert_eq!(n_grams("--words", "2-5*0.5").unwrap(), NGrams { min: 2, max: 5, scale: 0.5 });
        assert_eq!(n_grams("--words", "none").unwrap().max, 0);
        for bad in ["", "2", "a-b", "1-2*x"] {
            assert!(n_grams("--words", bad).is_err(), "{bad}");
        }
    }
}
