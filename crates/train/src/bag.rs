//! Fitting a bag: which n-grams, how weighted, how strongly penalised.
//!
//! The fit itself is convex (`logistic`), so what is left to choose is the penalty, and whether
//! rarity counts. Both are chosen by the likelihood of training records that a fit has not seen:
//! in five folds ([`folds`]), or in one where there are many records. The same unseen answers give the
//! temperature, so that validation stays untouched until it is reported. Where there are fields,
//! trees may join the fit (`stacking`), by the same measure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::field_dropout::FieldDropout;
use super::finish::Answers;
use super::fit::Epoch;
use super::folds::folds;
use super::logistic::{Coupling, Design, Fitted, Settings, fit};
use super::metrics::{highest, macro_auc};
use super::progress;
use super::stacking::{regrow, stack};
use model::calibration::{fit_temperature, negative_log_likelihood, probabilities};
use model::manifest::{BagConfig, Field};
use nn::random;
use text::bag::{Sparse, Table, beyond};
use text::encoder::Example;
use text::trees::Forest;

/// Inverse penalties that are tried, in rising order; the search stops when two in a row are no
/// better.
const PENALTIES: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// Records beyond which only the first fold is used.
const MANY: usize = 2000;
/// Most trees.
const MAX_TREES: usize = 1 << 12;
/// How many times each record is shown with fields left out.
const COPIES: usize = 4;

/// Settings of a bag's training.
#[derive(Debug, Clone)]
pub struct BagOptions {
    /// Kinds of n-grams and scales; rarity is chosen here.
    pub config: BagConfig,
    /// Most n-grams.
    pub ngrams: usize,
    /// Least number of notes that have an n-gram.
    pub least: usize,
    /// Inverse penalty; chosen if none.
    pub inverse_penalty: Option<f64>,
    /// Whether rarity counts; chosen if none.
    pub rarity: Option<bool>,
    /// The fields of the records.
    pub fields: Vec<Field>,
    /// Number of trees beside the linear fit, 0 for none; chosen if none is given.
    pub trees: Option<usize>,
    /// Which fields are left out of the records shown beside the whole ones.
    pub field_dropout: FieldDropout,
    /// The labels are steps of one scale.
    pub ordinal: bool,
    /// Fit once more, on training and validation records together.
    pub refit: bool,
    /// Most iterations of one fit.
    pub iterations: usize,
    /// Seed of the folds.
    pub seed: u64,
}

impl BagOptions {
    /// Refuses what cannot train, by the name of its option.
    ///
    /// # Errors
    /// The first setting that is out of range, and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(self.iterations > 0, "--epochs is 0, not 1 or more");
        ensure!(self.ngrams > 0, "--ngrams is 0, not 1 or more");
        if let Some(penalty) = self.inverse_penalty {
            ensure!(penalty > 0.0 && penalty.is_finite(), "--inverse-penalty is {penalty}, not above 0");
        }
        if let Some(trees) = self.trees {
            ensure!(trees <= MAX_TREES, "--trees is {trees}, not {MAX_TREES} or fewer");
            ensure!(
                trees == 0 || !self.fields.is_empty(),
                "--trees is {trees}, but there is no field to read"
            );
        }
        Ok(())
    }
}

/// Records of one split, with the index of each one's label.
pub struct Labelled {
    /// The records.
    pub examples: Vec<Example>,
    /// Their labels.
    pub truth: Vec<usize>,
    /// A number each: those that are held out together have the same one.
    pub units: Vec<usize>,
}

/// Tensors by name.
pub type Weights = BTreeMap<String, Tensor>;

/// A trained bag.
pub struct TrainedBag {
    /// Its sizes.
    pub config: BagConfig,
    /// What was fitted on the training records.
    pub weights: Weights,
    /// Sizes and values fitted on training and validation records together, where asked for.
    pub refitted: Option<(BagConfig, Weights)>,
    /// What was chosen.
    pub settings: BTreeMap<String, Value>,
    /// Answers on training records that the fit had not seen.
    pub unseen: Answers,
    /// Loss by iteration of the last fit.
    pub history: Vec<Epoch>,
}

/// Chooses, then fits on all of `train`; `val` is only watched.
///
/// # Errors
/// A run stopped from outside; what candle reports.
pub fn train_bag(
    train: &Labelled,
    val: &Labelled,
    labels: usize,
    options: &BagOptions,
    stop: &AtomicBool,
) -> Result<TrainedBag> {
    let coupling = coupling(labels, options.ordinal);
    let choice = choose(train, labels, options, &coupling, stop)?;
    let stopped = || stop.load(Ordering::Relaxed);
    // Whoever stops the choosing wants its best so far, which takes one whole fit.
    let chosen_early = stopped();

    let settings = settings(choice.inverse_penalty, coupling, options);
    let recipe = Recipe { rarity: choice.rarity, labels, settings: &settings, options };
    let stacked = stack(train, &recipe, stop)?;
    let mut losses = BTreeMap::from([("unseen_negative_log_likelihood".to_string(), json!(choice.loss))]);
    let (forest, unseen) = match stacked {
        Some(stacked) => {
            losses = BTreeMap::from([
                ("unseen_negative_log_likelihood".to_string(), json!(stacked.loss)),
                ("unseen_negative_log_likelihood_without_trees".to_string(), json!(stacked.without)),
            ]);
            (Some(stacked.forest), stacked.unseen)
        }
        None => (None, choice.unseen),
    };
    let mut history = Vec::new();
    let (config, weights) = recipe.package(train, forest.as_ref(), |table, loss, fitted| {
        let val_rows: Vec<Sparse> = val.examples.iter().map(|e| table.vector(e)).collect();
        history.push(epoch(history.len() + 1, loss, fitted, &val_rows, &val.truth, labels));
        chosen_early || !stopped()
    })?;
    let refitted = match options.refit && !stopped() {
        true => {
            let examples = train.examples.iter().chain(&val.examples).cloned().collect();
            let (truth, units) =
                ([&train.truth[..], &val.truth[..]].concat(), [&train.units[..], &val.units[..]].concat());
            let all = Labelled { examples, truth, units };
            let forest = if forest.is_some() { regrow(&all, &recipe, stop)? } else { None };
            // Stopped while they grew anew: what was fitted before, trees and all, stands.
            let whole = forest.is_some() == config.trees.is_some();
            if whole { Some(recipe.package(&all, forest.as_ref(), |_, _, _| true)?) } else { None }
        }
        false => None,
    };
    let mut settings = BTreeMap::from([
        ("inverse_penalty".to_string(), json!(choice.inverse_penalty)),
        ("ordinal_coupling".to_string(), json!(options.ordinal)),
        ("least_notes_of_an_ngram".to_string(), json!(options.least)),
        ("refit".to_string(), json!(refitted.is_some())),
    ]);
    settings.extend(losses);
    Ok(TrainedBag { config, weights, refitted, settings, unseen, history })
}

/// How a fit is made, once everything is chosen.
pub struct Recipe<'a> {
    /// Whether rarity counts.
    pub rarity: bool,
    /// Number of labels.
    pub labels: usize,
    /// Penalty and iterations.
    pub settings: &'a Settings,
    /// Everything else.
    pub options: &'a BagOptions,
}

impl Recipe<'_> {
    /// Fits on the records `members` of `set`; `seen` is called as [`fit`] does, with the n-grams too.
    pub fn fit(
        &self,
        set: &Labelled,
        members: &[usize],
        mut seen: impl FnMut(&Table, f64, &Fitted) -> bool,
    ) -> (Table, Fitted) {
        let (table, design) = prepare(set, members, self.labels, self.rarity, self.options);
        let fitted = fit(&design, self.settings, None, |loss, fitted| seen(&table, loss, fitted));
        (table, fitted)
    }

    /// Fits on all of `set`: the sizes and values of a package, with trees that have been grown.
    fn package(
        &self,
        set: &Labelled,
        forest: Option<&Forest>,
        seen: impl FnMut(&Table, f64, &Fitted) -> bool,
    ) -> Result<(BagConfig, Weights)> {
        let all: Vec<usize> = (0..set.truth.len()).collect();
        let (table, fitted) = self.fit(set, &all, seen);
        let shape = (width(&table, set), self.labels);
        let mut weights: Weights = table.tensors()?.into_iter().collect();
        weights.insert("weight".to_string(), Tensor::from_vec(fitted.weight, shape, &Device::Cpu)?);
        weights.insert("bias".to_string(), Tensor::from_vec(fitted.bias, self.labels, &Device::Cpu)?);
        let mut config = table.config().clone();
        if let Some(forest) = forest {
            weights.extend(forest.tensors()?);
            config.trees = Some(forest.config());
        }
        Ok((config, weights))
    }
}

/// The n-grams of the records `members`, and the rows to fit on.
fn prepare(
    set: &Labelled,
    members: &[usize],
    labels: usize,
    rarity: bool,
    options: &BagOptions,
) -> (Table, Design) {
    let config = BagConfig { inverse_document_frequency: rarity, ..options.config.clone() };
    let notes = members.iter().map(|i| set.examples[*i].as_ref());
    let table = Table::learn(config, notes, options.ngrams, options.least);
    let design = design(&table, set, members, labels, options);
    (table, design)
}

/// What speaks for a level speaks, four times as much, for the direction on the scale.
fn coupling(labels: usize, ordinal: bool) -> Coupling {
    if ordinal { Coupling::ordinal(labels, 0.5, 2.0) } else { Coupling::none() }
}

fn settings(inverse_penalty: f64, coupling: Coupling, options: &BagOptions) -> Settings {
    Settings { inverse_penalty, coupling, iterations: options.iterations, tolerance: 1e-5 }
}

/// Rows of the records `members`, and of the same records with fields left out.
fn design(table: &Table, set: &Labelled, members: &[usize], labels: usize, options: &BagOptions) -> Design {
    let mut rows: Vec<Sparse> = members.iter().map(|i| table.vector(&set.examples[*i])).collect();
    let mut truth: Vec<usize> = members.iter().map(|i| set.truth[*i]).collect();
    let mut weights = vec![1.0; members.len()];
    let weight = options.field_dropout.weight();
    if weight > 0.0 {
        let mut rng = random::stream(options.seed, "field dropout");
        for i in members.iter().flat_map(|i| [*i; COPIES]) {
            rows.push(table.vector(&options.field_dropout.apply(&set.examples[i], &mut rng)));
            truth.push(set.truth[i]);
            weights.push(weight / COPIES as f64);
        }
    }
    let falling = if options.ordinal { beyond(&options.fields, table.config().ngrams) } else { Vec::new() };
    Design::new(rows, width(table, set), truth, weights, labels).falling(falling)
}

fn width(table: &Table, set: &Labelled) -> usize {
    table.config().ngrams + set.examples.first().map_or(0, |example| example.fields.len())
}

struct Choice {
    inverse_penalty: f64,
    rarity: bool,
    loss: f64,
    unseen: Answers,
}

fn choose(
    train: &Labelled,
    labels: usize,
    options: &BagOptions,
    coupling: &Coupling,
    stop: &AtomicBool,
) -> Result<Choice> {
    let folds = folds(&train.truth, &train.units, options.seed);
    let folds = if train.truth.len() > MANY { &folds[..1] } else { &folds[..] };
    let rarities = options.rarity.map_or(vec![false, true], |rarity| vec![rarity]);
    let penalties = options.inverse_penalty.map_or(PENALTIES.to_vec(), |penalty| vec![penalty]);
    let mut best: Option<Choice> = None;
    let bar = progress::bar(rarities.len() * penalties.len() * folds.len(), "fits");
    bar.set_prefix("choosing the penalty");
    'choosing: for rarity in rarities {
        let mut parts: Vec<Fold> =
            folds.iter().map(|held| Fold::new(train, held, labels, rarity, options)).collect();
        let mut lowest = f64::INFINITY;
        let mut worse = 0;
        for &penalty in &penalties {
            let mut unseen = Answers { logits: Vec::new(), truth: Vec::new() };
            for part in &mut parts {
                if stop.load(Ordering::Relaxed) {
                    break 'choosing;
                }
                bar.inc(1);
                part.refit(&settings(penalty, coupling.clone(), options), &mut unseen);
            }
            let temperature = fit_temperature(&unseen.logits, &unseen.truth);
            let loss = negative_log_likelihood(&unseen.logits, &unseen.truth, temperature);
            bar.set_message(format!("inverse penalty {penalty}, loss {loss:.4}"));
            worse = if loss < lowest { 0 } else { worse + 1 };
            lowest = lowest.min(loss);
            if best.as_ref().is_none_or(|best| loss < best.loss) {
                best = Some(Choice { inverse_penalty: penalty, rarity, loss, unseen });
            }
            if worse == 2 {
                break;
            }
        }
    }
    bar.finish_and_clear();
    let stopped = stop.load(Ordering::Relaxed);
    let best = best.with_context(|| match stopped {
        true => "stopped before the first penalty was tried: there is nothing to keep",
        false => "no penalty gave a finite loss",
    })?;
    eprintln!(
        "inverse penalty {}, rarity {}: loss {:.4} on unseen records",
        best.inverse_penalty, best.rarity, best.loss
    );
    Ok(best)
}

/// A part of the training records that is held back, and the rest, on which a fit is made.
struct Fold {
    design: Design,
    held: Vec<Sparse>,
    truth: Vec<usize>,
    fitted: Option<Fitted>,
}

impl Fold {
    fn new(train: &Labelled, held: &[usize], labels: usize, rarity: bool, options: &BagOptions) -> Fold {
        let mut is_held = vec![false; train.truth.len()];
        held.iter().for_each(|i| is_held[*i] = true);
        let rest: Vec<usize> = (0..train.truth.len()).filter(|i| !is_held[*i]).collect();
        let (table, design) = prepare(train, &rest, labels, rarity, options);
        let rows = held.iter().map(|i| table.vector(&train.examples[*i])).collect();
        Fold { design, held: rows, truth: held.iter().map(|i| train.truth[*i]).collect(), fitted: None }
    }

    /// Fits, from where the last fit ended, and appends what it says of the records held back.
    fn refit(&mut self, settings: &Settings, unseen: &mut Answers) {
        let fitted = fit(&self.design, settings, self.fitted.as_ref(), |_, _| true);
        unseen.logits.extend(self.held.iter().map(|row| fitted.logits(row)));
        unseen.truth.extend(&self.truth);
        self.fitted = Some(fitted);
    }
}

fn epoch(
    number: usize,
    train_loss: f64,
    fitted: &Fitted,
    rows: &[Sparse],
    truth: &[usize],
    labels: usize,
) -> Epoch {
    let logits: Vec<Vec<f32>> = rows.iter().map(|row| fitted.logits(row)).collect();
    // A logit that is not finite shows as chance here and as an error at the end.
    let uniform = vec![1.0 / labels as f32; labels];
    let rows: Vec<Vec<f32>> =
        logits.iter().map(|row| probabilities(row, 1.0).unwrap_or_else(|_| uniform.clone())).collect();
    let right = rows.iter().zip(truth).filter(|(row, t)| highest(row).0 == **t).count();
    Epoch {
        epoch: number,
        train_loss,
        val_loss: negative_log_likelihood(&logits, truth, 1.0),
        val_accuracy: right as f64 / truth.len().max(1) as f64,
        val_auc: macro_auc(labels, &rows, truth),
    }
}
