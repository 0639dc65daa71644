//! What tells a note unlike those that a bag was trained on, and what that is worth.
//!
//! Two measures ([`text::familiarity`]): the share of known n-grams, and how likely the characters of a note are
//! after one another. The limits are chosen on training notes, each measured by what the other folds hold: a small share
//! of them lies below each. How a note's length counts is chosen by how many of the sentences in `everyday.txt`, which are
//! about other things, are told. Validation notes, measured by all training notes, then say how many good notes it costs.
//!
//! A finished package is given these measures as well (`train likeness`): its weights stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::Tensor;
use serde_json::Value;

use super::bag::folds;
use super::metrics::auc;
use super::notes::NoteSource;
use model::manifest::{Architecture, BagConfig, Input, Likeness};
use model::{Manifest, Package};
use text::bag::Table;
use text::encoder::{Encoded, Encoder};
use text::familiarity::{Order, distance};
use text::{Familiarity, Language, Record, Tokenizer};

/// Share of the training notes below each limit.
const SHARE: f64 = 0.01;
/// What the length of a note may count for.
const EXPONENTS: [f64; 3] = [0.0, 0.25, 0.5];
/// Characters that a script has at most if it is an alphabet; of a script with more, shorter n-grams are counted.
const ALPHABET: usize = 500;

/// Sentences of ours about anything but health.
const EVERYDAY: &str = include_str!("everyday.txt");

/// What is fitted, and how it is described.
pub struct FittedFamiliarity {
    /// For the manifest.
    pub described: Likeness,
    /// For the package's `likeness.safetensors`.
    pub tensors: BTreeMap<String, Tensor>,
    /// The n-grams that are known, rising.
    pub known: Vec<u32>,
}

/// How a bag's n-grams were chosen.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Kinds of n-grams.
    pub config: &'a BagConfig,
    /// Most of them.
    pub ngrams: usize,
    /// Notes that have to have one.
    pub least: usize,
    /// Seed of the folds.
    pub seed: u64,
}

/// The training notes in the three forms that the measures need.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// As normalised text.
    pub notes: &'a [String],
    /// As n-grams.
    pub encoded: &'a [&'a Encoded],
    /// Their labels, which the folds share out.
    pub truth: &'a [usize],
}

/// Notes as they are before they are cut into n-grams.
///
/// # Errors
/// A note that cannot be normalised.
pub fn texts(tokenizer: &Tokenizer, records: &[(Record, usize)]) -> Result<Vec<String>> {
    records.iter().map(|(record, _)| tokenizer.normalise(&record.note).map_err(|e| anyhow!(e))).collect()
}

/// Fits both measures on the training notes; `unseen` are the texts of the validation records, and `normalise` makes such a
/// text of a note.
///
/// # Errors
/// A sentence that cannot be normalised; what candle says.
pub fn fit(
    choice: Choice,
    train: Training,
    unseen: &[String],
    normalise: &dyn Fn(&str) -> Result<String>,
) -> Result<FittedFamiliarity> {
    let notes = train.notes;
    let known = |members: &[usize]| {
        let examples = members.iter().map(|i| train.encoded[*i]);
        let table = Table::learn(choice.config.clone(), examples, choice.ngrams, choice.least);
        Familiarity::new(table.config().clone(), table.hashes().to_vec())
    };
    let alphabet: BTreeSet<char> = notes.iter().flat_map(|note| note.chars()).collect();
    let order = if alphabet.len() > ALPHABET { 2 } else { 3 };
    let language = |members: &[usize]| Language::learn(order, members.iter().map(|i| notes[*i].as_str()));
    let (mut shares, mut likely) = (Vec::with_capacity(notes.len()), Vec::with_capacity(notes.len()));
    for held in folds(train.truth, choice.seed) {
        let mut is_held = vec![false; notes.len()];
        held.iter().for_each(|i| is_held[*i] = true);
        let rest: Vec<usize> = (0..notes.len()).filter(|i| !is_held[*i]).collect();
        let (known, language) = (known(&rest), language(&rest));
        shares.extend(held.iter().map(|i| f64::from(known.share(&notes[*i]))));
        likely.extend(held.iter().map(|i| language.mean_log_probability(&notes[*i])));
    }
    let at_least = limit(shares) as f32;
    let mean = likely.iter().map(|(own, _)| own).sum::<f64>() / likely.len().max(1) as f64;

    let all: Vec<usize> = (0..notes.len()).collect();
    let (known, language) = (known(&all), language(&all));
    let everyday = EVERYDAY.lines().map(normalise).collect::<Result<Vec<_>>>()?;
    let told = |texts: &[String], order: &Order| {
        let below = |text: &&String| known.share(text) < at_least || order.distance(text) < order.least;
        texts.iter().filter(below).count() as f64 / texts.len().max(1) as f64
    };
    let mut best: Option<(f64, Order)> = None;
    for exponent in EXPONENTS {
        let own = likely.iter().map(|own| distance(*own, mean, exponent)).collect();
        let order = Order { language: language.clone(), mean, exponent, least: limit(own) };
        let share = told(&everyday, &order);
        if best.as_ref().is_none_or(|(highest, _)| share > *highest) {
            best = Some((share, order));
        }
    }
    let (everyday_abstained, chosen) = best.context("there is no exponent to choose from")?;
    let measured = unseen.iter().map(|note| (note, true)).chain(everyday.iter().map(|line| (line, false)));
    let (scores, own): (Vec<f64>, Vec<bool>) =
        measured.map(|(text, is_own)| (chosen.distance(text), is_own)).unzip();
    let described = Likeness::Characters {
        at_least,
        order,
        mean,
        exponent: chosen.exponent,
        least: chosen.least,
        abstained: told(unseen, &chosen),
        everyday_abstained,
        auroc: auc(&scores, &own).unwrap_or(0.5),
    };
    Ok(FittedFamiliarity { described, tensors: chosen.language.tensors()?, known: known.hashes().to_vec() })
}

/// What a small share of the values lie below, rounded down so that what was at the limit stays above it.
fn limit(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (SHARE * values.len() as f64) as usize;
    values.get(place).map_or(0.0, |value| (value * 1000.0).floor() / 1000.0)
}

/// The likeness of a package's notes, from the data that it was trained on.
///
/// # Errors
/// A package that is no bag; data that cannot be read.
pub fn of_package(package: &Package, data: &Path) -> Result<FittedFamiliarity> {
    let Manifest { name, labels, architecture, input, training, .. } = &package.manifest;
    let (Architecture::Bag(config), Input::Record(input)) = (architecture, input) else {
        bail!(
            "the model \"{name}\" is no bag of n-grams, and of notes only a bag says what is like its training"
        )
    };
    let setting = |key: &str| training.settings.get(key);
    let column =
        |key: &str, otherwise: &str| setting(key).and_then(Value::as_str).unwrap_or(otherwise).to_string();
    let (note, label) = (column("note_column", "note"), column("label_column", "label"));
    let read = |split: &str| NoteSource::read_split(data, split, (&note, &label), &input.fields, labels);
    let (train, val) = (read("train")?, read("val")?);
    ensure!(!train.is_empty() && !val.is_empty(), "{}: a split has no notes", data.display());
    let tokenizer = Tokenizer::read(&package.folder, architecture)?;
    let encoder = Encoder::new(input.clone(), architecture, tokenizer.clone());
    let encode = |(record, _): &(Record, usize)| encoder.encode(record).map_err(|e| anyhow!(e));
    let encoded = train.iter().map(encode).collect::<Result<Vec<_>>>()?;
    let truth: Vec<usize> = train.iter().map(|(_, label)| *label).collect();
    let least = setting("least_notes_of_an_ngram").and_then(Value::as_u64).unwrap_or(1) as usize;
    let choice = Choice { config, ngrams: config.ngrams, least, seed: training.seed };
    let (notes, unseen) = (texts(&tokenizer, &train)?, texts(&tokenizer, &val)?);
    let encoded: Vec<&Encoded> = encoded.iter().collect();
    let training = Training { notes: &notes, encoded: &encoded, truth: &truth };
    fit(choice, training, &unseen, &|line| tokenizer.normalise(line).map_err(|e| anyhow!(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_values_is_below_the_limit_and_never_more() {
        let values: Vec<f64> = (0..1000).map(|value| f64::from(value) / 7.0).collect();
        let limit = limit(values.clone());
        assert_eq!(values.iter().filter(|value| **value < limit).count(), 10);
    }

    #[test]
    fn the_sentences_are_of_both_languages_and_none_is_there_twice() {
        let lines: BTreeSet<&str> = EVERYDAY.lines().collect();
        assert_eq!(lines.len(), EVERYDAY.lines().count());
        let chinese = lines.iter().filter(|line| line.chars().any(|c| c > '\u{4e00}')).count();
        assert!(chinese >= 30 && lines.len() - chinese >= 30);
    }
}
