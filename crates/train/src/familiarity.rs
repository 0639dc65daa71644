//! What tells a note unlike those that a bag was trained on, and what that is worth.
//!
//! Two measures ([`text::familiarity`]): the share of known n-grams, and how likely the characters of a note are
//! after one another. The limits are chosen on training notes, each measured by what the other folds hold: a small share
//! of them lies below either, the largest at which next to none of the validation notes do. How long the n-grams are and
//! how a note's length counts is chosen by how many of the texts in `everyday.txt`, which are no notes, are told. What is
//! reported of other texts is measured on those of `benches/unlike`, which choose nothing.
//!
//! A finished package is given these measures as well (`train likeness`): its weights stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use candle_core::Tensor;
use serde_json::Value;

use super::folds::folds;
use super::metrics::auc;
use super::notes::OwnRecords;
use model::manifest::{Architecture, BagConfig, Input, Likeness};
use model::{Manifest, Package};
use text::bag::Table;
use text::encoder::{Encoded, Encoder};
use text::familiarity::{Order, distance};
use text::{Familiarity, Language, Record, Tokenizer};

/// Share of the training notes below either limit: the first at which the validation notes allow it.
const SHARES: [f64; 3] = [0.015, 0.01, 0.005];
/// Most of the validation notes that may be below either limit, as a share.
const MOST: f64 = 0.02;
/// What the length of a note may count for.
const EXPONENTS: [f64; 3] = [0.0, 0.25, 0.5];
/// Characters that a script has at most if it is an alphabet; of a script with more, shorter n-grams are counted.
const ALPHABET: usize = 500;

/// Texts of ours that are no notes: sentences about anything but health, code, other languages, single words.
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
    /// A number each: the folds keep those with the same one together.
    pub units: &'a [usize],
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
    let orders = if alphabet.len() > ALPHABET { [2, 3] } else { [3, 5] };
    let members = |which: &[usize], order| Language::learn(order, which.iter().map(|i| notes[*i].as_str()));
    let mut shares = Vec::with_capacity(notes.len());
    let mut likely = vec![Vec::with_capacity(notes.len()); orders.len()];
    for held in folds(train.truth, train.units, choice.seed) {
        let mut is_held = vec![false; notes.len()];
        held.iter().for_each(|i| is_held[*i] = true);
        let rest: Vec<usize> = (0..notes.len()).filter(|i| !is_held[*i]).collect();
        let seen = known(&rest);
        shares.extend(held.iter().map(|i| f64::from(seen.share(&notes[*i]))));
        for (likely, order) in likely.iter_mut().zip(orders) {
            let language = members(&rest, order);
            likely.extend(held.iter().map(|i| language.mean_log_probability(&notes[*i])));
        }
    }
    let all: Vec<usize> = (0..notes.len()).collect();
    let known = known(&all);
    let everyday = EVERYDAY.lines().map(normalise).collect::<Result<Vec<_>>>()?;

    let mut best: Option<(Fit, Order)> = None;
    for (order, likely) in orders.into_iter().zip(&likely) {
        let language = members(&all, order);
        let mean = likely.iter().map(|(own, _)| own).sum::<f64>() / likely.len().max(1) as f64;
        for exponent in EXPONENTS {
            let far: Vec<f64> = likely.iter().map(|own| distance(*own, mean, exponent)).collect();
            for share in SHARES {
                let (at_least, least) = limits(&shares, &far, share);
                let limited = Order { language: language.clone(), mean, exponent, least };
                let told = |texts: &[String]| told(&known, at_least as f32, &limited, texts);
                let (abstained, everyday) = (told(unseen), told(&everyday));
                let fit = Fit { order, at_least: at_least as f32, abstained, everyday };
                if best.as_ref().is_none_or(|(other, _)| fit.is_better(other)) {
                    best = Some((fit, limited));
                }
                if abstained <= MOST {
                    break;
                }
            }
        }
    }
    let (Fit { order, at_least, abstained, everyday: everyday_abstained }, chosen) =
        best.context("there is nothing to choose from")?;
    let measured = unseen.iter().map(|note| (note, true)).chain(everyday.iter().map(|line| (line, false)));
    let (scores, own): (Vec<f64>, Vec<bool>) =
        measured.map(|(text, is_own)| (chosen.distance(text), is_own)).unzip();
    let described = Likeness::Characters {
        at_least,
        order,
        mean: chosen.mean,
        exponent: chosen.exponent,
        least: chosen.least,
        abstained,
        everyday_abstained,
        auroc: auc(&scores, &own).unwrap_or(0.5),
    };
    Ok(FittedFamiliarity { described, tensors: chosen.language.tensors()?, known: known.hashes().to_vec() })
}

/// What limits on both measures do.
struct Fit {
    order: usize,
    at_least: f32,
    /// Share of the validation notes below either.
    abstained: f64,
    /// Share of the texts of `everyday.txt` below either.
    everyday: f64,
}

impl Fit {
    /// Few validation notes first; then more of the other texts; then fewer validation notes, and shorter n-grams.
    fn is_better(&self, other: &Fit) -> bool {
        let rank = |fit: &Fit| (fit.abstained <= MOST, fit.everyday, -fit.abstained);
        rank(self) > rank(other)
    }
}

/// The share of `texts` that either measure tells.
fn told(known: &Familiarity, at_least: f32, order: &Order, texts: &[String]) -> f64 {
    let is_told = |text: &&String| !known.has_seen(text, at_least) || order.distance(text) < order.least;
    texts.iter().filter(is_told).count() as f64 / texts.len().max(1) as f64
}

/// Limits of two measures, each passed by as many, so that no more than a share of the notes lie below either;
/// rounded down, so that what was at a limit stays above it.
fn limits(one: &[f64], other: &[f64], share: f64) -> (f64, f64) {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (first, second) = (sorted(one), sorted(other));
    let at = |values: &[f64], place: usize| {
        values.get(place).map_or(0.0, |value| (value * 1000.0).floor() / 1000.0)
    };
    let most = (share * one.len() as f64) as usize;
    let mut found = (at(&first, 0), at(&second, 0));
    for place in 0..=most {
        let limits = (at(&first, place), at(&second, place));
        let below = one.iter().zip(other).filter(|(a, b)| **a < limits.0 || **b < limits.1).count();
        if below > most {
            break;
        }
        found = limits;
    }
    found
}

/// The likeness of a package's notes, from the data that it was trained on.
///
/// # Errors
/// A package that is no bag; data that cannot be read.
pub fn of_package(package: &Package, data: &Path) -> Result<FittedFamiliarity> {
    let Manifest { name, architecture, input, training, .. } = &package.manifest;
    let (Architecture::Bag(config), Input::Record(input)) = (architecture, input) else {
        bail!(
            "the model \"{name}\" is no bag of n-grams, and of notes only a bag says what is like its training"
        )
    };
    let setting = |key: &str| training.settings.get(key);
    let OwnRecords { mut splits, units } = OwnRecords::read(data, &package.manifest, &input.fields)?;
    let mut take =
        |split: &str| splits.remove(split).with_context(|| format!("{}: no {split}", data.display()));
    let (train, val) = (take("train")?, take("val")?);
    let tokenizer = Tokenizer::read(&package.folder, architecture)?;
    let encoder = Encoder::new(input.clone(), architecture, tokenizer.clone());
    let encode = |(record, _): &(Record, usize)| encoder.encode(record).map_err(|e| anyhow!(e));
    let encoded = train.iter().map(encode).collect::<Result<Vec<_>>>()?;
    let truth: Vec<usize> = train.iter().map(|(_, label)| *label).collect();
    let least = setting("least_notes_of_an_ngram").and_then(Value::as_u64).unwrap_or(1) as usize;
    let choice = Choice { config, ngrams: config.ngrams, least, seed: training.seed };
    let (notes, unseen) = (texts(&tokenizer, &train)?, texts(&tokenizer, &val)?);
    let encoded: Vec<&Encoded> = encoded.iter().collect();
    let training = Training { notes: &notes, encoded: &encoded, truth: &truth, units: &units["train"] };
    fit(choice, training, &unseen, &|line| tokenizer.normalise(line).map_err(|e| anyhow!(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_share_of_the_notes_is_below_either_limit() {
        let one: Vec<f64> = (0..1000).map(|value| f64::from(value) / 7.0).collect();
        // Low in one measure and in the other are different notes, or the same.
        for (other, together) in [(one.iter().rev().copied().collect::<Vec<_>>(), 10), (one.clone(), 10)] {
            let (first, second) = limits(&one, &other, 0.01);
            let below = one.iter().zip(&other).filter(|(a, b)| **a < first || **b < second).count();
            assert_eq!(below, together);
        }
    }

    #[test]
    fn few_validation_notes_go_before_more_of_the_other_texts() {
        let fit = |abstained, everyday| Fit { order: 3, at_least: 0.5, abstained, everyday };
        assert!(fit(0.01, 0.9).is_better(&fit(0.03, 1.0)));
        assert!(fit(0.02, 1.0).is_better(&fit(0.0, 0.9)));
        assert!(fit(0.0, 0.9).is_better(&fit(0.01, 0.9)) && !fit(0.01, 0.9).is_better(&fit(0.01, 0.9)));
    }

    #[test]
    fn the_sentences_are_of_both_languages_and_none_is_there_twice() {
        let lines: BTreeSet<&str> = EVERYDAY.lines().collect();
        assert_eq!(lines.len(), EVERYDAY.lines().count());
        let chinese = lines.iter().filter(|line| line.chars().any(|c| c > '\u{4e00}')).count();
        assert!(chinese >= 30 && lines.len() - chinese >= 30);
    }
}
