//! What an encoder over texts loses when its dense layers are computed over bytes or over numbers of half the length, and
//! whether a package allows it.
//!
//! Rows are brought to bytes each by itself, so nothing is measured on training texts. What it costs is measured as the
//! package is used: by the accuracy of labels, by the F1 of names, or by how well questions find their answers, each on the
//! validation texts and as the server computes it. Where that falls by more than 0.2 points, the precision is not allowed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use super::adopt::entities::found_as_served;
use super::embed::corpus::{Corpus as Texts, Members, Row};
use super::embed::{Asked, asked};
use super::extract::corpus::Corpus as Marked;
use super::notes::OwnRecords;
use super::precision::{cost, say};
use model::manifest::{
    Architecture, BY_ROW, Bf16, Input, Int8, Measure, Precision, PrecisionCost, Precisions, RecordInput, Task,
};
use model::{Manifest, Package};
use nn::Params;
use text::tagger::Found;
use text::{Embedder, Encoder, Record, network};

/// Notes that go through the network together.
const TOGETHER: usize = 32;

/// Whether a package can be computed in less than single precision.
pub fn is_for(manifest: &Manifest) -> bool {
    let encoder = matches!(manifest.architecture, Architecture::Encoder(_) | Architecture::Transformer(_));
    encoder && matches!(manifest.input, Input::Record(_) | Input::Text(_))
}

/// Measures the package on the validation split of the data that it was adopted or trained on, and writes what was found
/// to its manifest and its card; weights and answers in single precision stay.
///
/// # Errors
/// A package that is no encoder over texts; data that do not fit it; what the file system says.
pub fn amend(package: Package, data: &Path) -> Result<Manifest> {
    let manifest = &package.manifest;
    ensure!(is_for(manifest), "the model \"{}\" is no encoder over texts", manifest.name);
    eprintln!("measuring what less than single precision costs");
    let precisions = match (&manifest.input, manifest.task()) {
        (Input::Record(input), _) => labels(&package, input, data)?,
        (_, Task::TextEmbedding) => vectors(&package, data)?,
        _ => names(&package, data)?,
    };
    say(package, precisions)
}

/// What every precision costs: `answer` says what a package answers in one, `cost` what the second answer costs beside the
/// first.
fn all<T>(
    mut answer: impl FnMut(Precision) -> Result<T>,
    cost: impl Fn(&T, &T) -> Result<PrecisionCost>,
) -> Result<Precisions> {
    let single = answer(Precision::F32)?;
    let int8 = cost(&single, &answer(Precision::Int8)?)?;
    let bf16 = cost(&single, &answer(Precision::Bf16)?)?;
    Ok(Precisions {
        int8: Int8 {
            allowed: int8.is_small(),
            cost: int8,
            clipping: BY_ROW.to_string(),
            ranges: BTreeMap::new(),
        },
        bf16: Some(Bf16 { allowed: bf16.is_small(), cost: bf16 }),
    })
}

fn own(manifest: &Manifest, data: &Path, sha256: &BTreeMap<String, String>) -> Result<()> {
    ensure!(
        *sha256 == manifest.data.sha256,
        "{} is not the data that the model \"{}\" was measured on",
        data.display(),
        manifest.name
    );
    Ok(())
}

/// Of a classifier of notes.
fn labels(package: &Package, input: &RecordInput, data: &Path) -> Result<Precisions> {
    let manifest = &package.manifest;
    let (records, truth) = validation(manifest, input, data)?;
    let encoder = Encoder::read(&package.folder, input.clone(), &manifest.architecture)?;
    let encode = |record: &Record| encoder.encode(record).map(Arc::new).map_err(|e| anyhow!(e));
    let examples = records.iter().map(encode).collect::<Result<Vec<_>>>()?;
    let answer = |precision: Precision| -> Result<Vec<Vec<f32>>> {
        let mut params = Params::frozen(package.weights.clone());
        let labels = manifest.labels.len();
        let mut plan = network::plan_in(&manifest.architecture, input, labels, &mut params, precision)?;
        params.finish()?;
        let parts = examples.chunks(TOGETHER).map(|part| plan.logits(part));
        Ok(parts.collect::<candle_core::Result<Vec<_>>>()?.concat())
    };
    all(answer, |single, low| cost(manifest, (single, low), &truth))
}

/// The validation notes of a data set, and the places of their labels.
fn validation(manifest: &Manifest, input: &RecordInput, data: &Path) -> Result<(Vec<Record>, Vec<usize>)> {
    let mut own = OwnRecords::read(data, manifest, &input.fields)?;
    let val = own.splits.remove("val").context("no validation notes")?;
    Ok(val.into_iter().unzip())
}

/// Of a sentence encoder, by its pairs of questions and answers.
fn vectors(package: &Package, data: &Path) -> Result<Precisions> {
    let manifest = &package.manifest;
    let pair = manifest.training.settings.get("pairs").and_then(Value::as_str);
    let pair = pair.and_then(|pair| pair.split_once(','));
    let Some((question, answer)) = pair else {
        bail!("the model \"{}\" was not measured on pairs", manifest.name)
    };
    let members = Members { pair: Some((question.to_string(), answer.to_string())), ..Members::default() };
    let corpus = Texts::read(data, &members)?;
    own(manifest, data, &corpus.sha256)?;
    let count = manifest.data.examples.get("val").copied().unwrap_or(corpus.rows.len());
    let step = corpus.rows.len().div_ceil(count.max(1)).max(1);
    let rows: Vec<&Row> = corpus.rows.iter().step_by(step).collect();
    let answer = |precision: Precision| {
        let mut embedder = Embedder::read_in(package, precision)?;
        asked(&mut embedder, &rows, &[], 0)
    };
    all(answer, |single, low| {
        let gain = |of: &Asked| of.metrics.retrieval.map(|of| of.ndcg_at_10).context("no questions");
        let same = nearest(single).iter().zip(&nearest(low)).filter(|(a, b)| a == b).count();
        let vectors = |of: &'_ Asked| -> Vec<Vec<f32>> { [&of.questions[..], &of.texts].concat() };
        Ok(PrecisionCost {
            measured_on: "val".to_string(),
            examples: single.questions.len(),
            measure: Measure::Ndcg,
            accuracy_f32: gain(single)?,
            accuracy: gain(low)?,
            same_label: same as f64 / single.questions.len().max(1) as f64,
            other_abstention: 0.0,
            probability_difference: drift(&vectors(single), &vectors(low)),
        })
    })
}

/// The text that is nearest to each question.
fn nearest(of: &Asked) -> Vec<usize> {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let one = |question: &Vec<f32>| {
        let products = of.texts.iter().map(|text| product(question, text));
        products.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(place, _)| place)
    };
    of.questions.iter().map(one).collect()
}

/// The mean of 1 less the cosine of vectors of length 1.
fn drift(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let apart = a.iter().zip(b).map(|(a, b)| {
        let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        // What has nothing that is read has the vector 0 in both.
        if a.iter().all(|x| *x == 0.0) { 0.0 } else { 1.0 - dot }
    });
    (apart.sum::<f64>() / a.len().max(1) as f64).max(0.0)
}

/// Of a tagger, by the names that it finds.
fn names(package: &Package, data: &Path) -> Result<Precisions> {
    let corpus = Marked::read_to_measure(data)?;
    own(&package.manifest, data, &corpus.sha256)?;
    let split = ["dev", "train"].into_iter().find(|split| corpus.splits.contains_key(*split));
    let split = split.context("no development texts")?;
    let answer = |precision: Precision| found_as_served(package, &corpus, split, precision);
    all(answer, |(single, names), (low, own_names)| {
        let f1 = |metrics: &model::manifest::Metrics| {
            metrics.extraction.as_ref().and_then(|of| of.entities.f1).context("nothing was measured")
        };
        let (same, apart) = shared(names, own_names);
        Ok(PrecisionCost {
            measured_on: split.to_string(),
            examples: names.len(),
            measure: Measure::F1,
            accuracy_f32: f1(single)?,
            accuracy: f1(low)?,
            same_label: same,
            other_abstention: 0.0,
            probability_difference: apart,
        })
    })
}

/// The share of names that both find among those that either finds, and the mean difference of their probabilities.
fn shared(a: &[Found], b: &[Found]) -> (f64, f64) {
    let (mut both, mut either, mut apart) = (0usize, 0usize, 0.0);
    for (a, b) in a.iter().zip(b) {
        either += a.entities.len() + b.entities.len();
        for entity in &a.entities {
            let Some(other) = b.entities.iter().find(|other| other.span == entity.span) else { continue };
            both += 1;
            apart += (entity.probability - other.probability).abs();
        }
    }
    let share = both as f64 / (either - both).max(1) as f64;
    (if either == 0 { 1.0 } else { share }, apart / both.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use text::tagger::Entity;
    use text::tagger::assertion::Assertion;
    use text::tagger::chain::Span;

    fn found(names: &[(usize, f64)]) -> Found {
        let entity = |(start, probability): &(usize, f64)| Entity {
            span: Span { start: *start, end: start + 1, label: 0 },
            probability: *probability,
            assertion: Assertion::default(),
        };
        Found { entities: names.iter().map(entity).collect(), links: Vec::new() }
    }

    #[test]
    fn names_are_the_same_where_their_places_are() {
        let (a, b) = (found(&[(0, 0.9), (2, 0.5), (7, 0.8)]), found(&[(0, 0.7), (2, 0.5), (8, 0.8)]));
        let (same, apart) = shared(&[a], &[b]);
        assert!((same - 0.5).abs() < 1e-12 && (apart - 0.1).abs() < 1e-12, "{same} {apart}");
        assert_eq!(shared(&[found(&[])], &[found(&[])]), (1.0, 0.0));
    }

    #[test]
    fn vectors_drift_by_their_cosines() {
        let (a, b) = (vec![vec![1.0, 0.0], vec![0.0, 0.0]], vec![vec![0.6, 0.8], vec![0.0, 0.0]]);
        assert!((drift(&a, &b) - 0.2).abs() < 1e-6);
    }
}
