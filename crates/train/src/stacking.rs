//! Trees on top of a bag: which rows they grow on, and whether they are worth having.
//!
//! The trees read the linear answer, so they must grow on answers as they will be: of records that
//! the linear fit has not seen. Fits on four fifths of the training records give those of the last
//! fifth (Wolpert 1992, "Stacked generalization"). Beside each record stand copies with fields
//! left out, as beside the rows of the linear fit, so that a blank means no more than it says.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::bag::{Labelled, Recipe};
use super::finish::Answers;
use super::folds::folds;
use super::progress;
use super::trees::{Rows, grow};
use model::calibration::{fit_temperature, negative_log_likelihood};
use nn::random;
use text::bag::{beyond, split};
use text::encoder::Example;
use text::fields::{Plain, plain};
use text::trees::{Forest, inputs};

/// How many times each record is shown with fields left out.
const COPIES: usize = 2;
/// Trees, unless told otherwise.
const TREES: usize = 150;

/// Trees that are worth having.
pub struct Stacked {
    /// Grown on all training records.
    pub forest: Forest,
    /// What linear model and trees together say of training records that they have not seen.
    pub unseen: Answers,
    /// Negative log likelihood of `unseen`.
    pub loss: f64,
    /// That of the linear model alone.
    pub without: f64,
}

/// Grows trees on `train`. None where there are no fields, which is where trees have nothing to
/// add, and where the run was stopped. Unless their number was given, they have to earn their
/// place: on unseen records the loss must fall by more than its standard error, or the simpler
/// model is kept (the rule of one standard error, Breiman et al. 1984, "Classification and
/// regression trees").
///
/// # Errors
/// What [`grow`] says.
pub fn stack(train: &Labelled, recipe: &Recipe, stop: &AtomicBool) -> Result<Option<Stacked>> {
    let Some(shown) = Shown::new(train, recipe, stop) else { return Ok(None) };
    let Some(unseen) = shown.unseen(recipe)? else { return Ok(None) };
    let logits = (0..train.truth.len()).map(|record| shown.with_beyond(record, shown.logits[record].clone()));
    let linear = Answers { logits: logits.collect(), truth: train.truth.clone() };
    let (with, without) = (losses(&unseen), losses(&linear));
    let gain: Vec<f64> = without.iter().zip(&with).map(|(without, with)| without - with).collect();
    let (gain, error) = mean(&gain);
    let (loss, without) = (mean(&with).0, mean(&without).0);
    eprintln!(
        "trees: loss {loss:.4} on unseen records, {without:.4} without, standard error of the difference {error:.4}"
    );
    if recipe.options.trees.is_none() && gain <= error {
        return Ok(None);
    }
    let forest = shown.grow(recipe, |_| true)?;
    Ok(forest.map(|forest| Stacked { forest, unseen, loss, without }))
}

/// Trees as of [`stack`], without asking whether they are worth having.
///
/// # Errors
/// As [`stack`].
pub fn regrow(set: &Labelled, recipe: &Recipe, stop: &AtomicBool) -> Result<Option<Forest>> {
    match Shown::new(set, recipe, stop) {
        Some(shown) => shown.grow(recipe, |_| true),
        None => Ok(None),
    }
}

/// Records and their copies with fields left out, with linear answers that had not seen them.
struct Shown {
    /// All records as they are, then the copies.
    examples: Vec<Example>,
    /// Fold of the record, or of the record that a copy is of.
    fold: Vec<usize>,
    /// Without what lies beyond the fields' normal ranges, which trees do not see.
    logits: Vec<Vec<f32>>,
    /// What that adds.
    beyond: Vec<Vec<f32>>,
    fields: Vec<Plain>,
    rows: Rows,
    /// Number of records.
    records: usize,
    folds: usize,
}

impl Shown {
    fn new(set: &Labelled, recipe: &Recipe, stop: &AtomicBool) -> Option<Shown> {
        let options = recipe.options;
        if options.fields.is_empty() || options.trees == Some(0) {
            return None;
        }
        let records = set.truth.len();
        let mut examples = set.examples.clone();
        let mut of: Vec<usize> = (0..records).collect();
        let mut weights = vec![1.0; records];
        let weight = options.field_dropout.weight();
        if weight > 0.0 {
            let mut rng = random::stream(options.seed, "field dropout of trees");
            for record in (0..records).flat_map(|record| [record; COPIES]) {
                examples.push(options.field_dropout.apply(&set.examples[record], &mut rng));
                of.push(record);
                weights.push(weight / COPIES as f64);
            }
        }
        let folds = folds(&set.truth, &set.units, options.seed);
        let mut fold_of = vec![0; records];
        for (number, held) in folds.iter().enumerate() {
            held.iter().for_each(|record| fold_of[*record] = number);
        }
        let fold: Vec<usize> = of.iter().map(|record| fold_of[*record]).collect();
        let mut logits = vec![Vec::new(); examples.len()];
        let mut added = vec![Vec::new(); examples.len()];
        let bar = progress::bar(folds.len(), "fits");
        bar.set_prefix("answers for the trees");
        for number in 0..folds.len() {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let rest: Vec<usize> = (0..records).filter(|record| fold_of[*record] != number).collect();
            let (table, fitted) = recipe.fit(set, &rest, |_, _, _| true);
            for row in (0..examples.len()).filter(|row| fold[*row] == number) {
                let columns = beyond(&options.fields, table.config().ngrams);
                let vector = table.vector(&examples[row]);
                let whole = fitted.logits(&vector);
                let (within, _) = split(vector, &columns);
                logits[row] = fitted.logits(&within);
                added[row] = whole.iter().zip(&logits[row]).map(|(whole, within)| whole - within).collect();
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let fields = plain(&options.fields);
        let mut columns = vec![Vec::with_capacity(examples.len()); fields.len() + recipe.labels];
        for (example, logits) in examples.iter().zip(&logits) {
            let values = inputs(&fields, &example.fields, logits);
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        let truth = of.iter().map(|record| set.truth[*record]).collect();
        let rows = Rows { columns, truth, weights, labels: recipe.labels };
        Some(Shown { examples, fold, logits, beyond: added, fields, rows, records, folds: folds.len() })
    }

    /// The logits of a record with what lies beyond its fields' normal ranges.
    fn with_beyond(&self, record: usize, mut logits: Vec<f32>) -> Vec<f32> {
        logits.iter_mut().zip(&self.beyond[record]).for_each(|(logit, added)| *logit += added);
        logits
    }

    /// Trees over the rows of the folds that `of` holds for.
    fn grow(&self, recipe: &Recipe, of: impl Fn(usize) -> bool) -> Result<Option<Forest>> {
        let members: Vec<usize> = (0..self.examples.len()).filter(|row| of(self.fold[*row])).collect();
        let trees = recipe.options.trees.unwrap_or(TREES);
        grow(&self.rows, &members, &self.fields, trees, recipe.options.seed)
    }

    /// What trees grown on four folds say, with the linear answer, of the records of the fifth.
    /// The linear answers that those trees grow on are of fits that had seen the fifth fold; of
    /// its records' own answers that is not so, so the figure is only a little too good.
    fn unseen(&self, recipe: &Recipe) -> Result<Option<Answers>> {
        let mut logits = vec![Vec::new(); self.records];
        for number in 0..self.folds {
            let Some(forest) = self.grow(recipe, |fold| fold != number)? else { return Ok(None) };
            for record in (0..self.records).filter(|record| self.fold[*record] == number) {
                let mixed = forest.mix(&self.examples[record].fields, &self.logits[record]);
                logits[record] = self.with_beyond(record, mixed);
            }
        }
        Ok(Some(Answers { logits, truth: self.rows.truth[..self.records].to_vec() }))
    }
}

/// Negative log likelihood of every answer, at the temperature that suits them best.
fn losses(answers: &Answers) -> Vec<f64> {
    let temperature = fit_temperature(&answers.logits, &answers.truth);
    let loss = |(row, truth): (&Vec<f32>, &usize)| {
        negative_log_likelihood(std::slice::from_ref(row), &[*truth], temperature)
    };
    answers.logits.iter().zip(&answers.truth).map(loss).collect()
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(2) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (square / (count - 1.0) / count).sqrt())
}
