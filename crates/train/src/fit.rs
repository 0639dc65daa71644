//! The training loop: epochs of seeded batches, validation, early stopping, checkpoints.
//!
//! Everything random in epoch `e` comes from the stream "epoch:e" of the seed, so a run that was
//! stopped and resumed ends with the very weights of one that was not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use candle_core::{D, Tensor};
use indicatif::ProgressBar;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::optimizer::{AdamW, Average};
use super::{checkpoint, metrics, progress};
use model::calibration;
use nn::{Network, Params, Pass, random};

/// One split of a data set, as the loop sees it.
pub trait Examples {
    /// What the network takes.
    type Batch;

    /// Index of the right label of every example.
    fn labels(&self) -> &[usize];

    /// The examples at `indices`, as they are.
    fn batch(&self, indices: &[usize]) -> candle_core::Result<Self::Batch>;

    /// The examples at `indices` for one step of training, altered at random where that helps,
    /// with targets of shape (examples, labels): `targets` comes as the certain labels and may
    /// be mixed.
    fn training_batch(
        &self,
        indices: &[usize],
        targets: &mut [Vec<f32>],
        rng: &mut ChaCha8Rng,
    ) -> candle_core::Result<Self::Batch> {
        let _ = (targets, rng);
        self.batch(indices)
    }
}

/// Settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitOptions {
    /// Most epochs.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// Highest learning rate: reached after the warm-up, then lowered along a cosine.
    pub learning_rate: f64,
    /// Share of the steps that warm up.
    pub warmup: f64,
    /// Decay of matrices and kernels a step, times the learning rate.
    pub weight_decay: f64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Share of a target spread over all labels.
    pub label_smoothing: f32,
    /// Examples weigh as the inverse of their label's frequency to this power: at 0 all examples
    /// count the same, at 1 all labels do.
    pub balance: f64,
    /// Decay of the average of the weights, which is what is validated and kept.
    pub average_decay: f64,
    /// Epochs without a better validation loss after which training stops; 0 for never.
    pub patience: usize,
    /// Keep the weights of the last epoch instead of those of the best validation loss.
    pub keep_last: bool,
    /// Seed of everything random.
    pub seed: u64,
}

impl FitOptions {
    /// Refuses what cannot train, by the name of its option.
    ///
    /// # Errors
    /// The first setting that is out of range, and its range.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.epochs > 0, "--epochs is 0, not 1 or more");
        ensure!(self.batch_size > 0, "--batch-size is 0, not 1 or more");
        let rate = self.learning_rate;
        ensure!(rate > 0.0 && rate <= 1.0, "--lr is {rate}, not above 0 and up to 1");
        let decay = self.weight_decay;
        ensure!((0.0..=1.0).contains(&decay), "--weight-decay is {decay}, not from 0 to 1");
        let smoothing = self.label_smoothing;
        ensure!((0.0..1.0).contains(&smoothing), "--label-smoothing is {smoothing}, not from 0 to below 1");
        ensure!((0.0..=1.0).contains(&self.balance), "--balance is {}, not from 0 to 1", self.balance);
        Ok(())
    }
}

/// One epoch's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Number, from 1.
    pub epoch: usize,
    /// Mean training loss.
    pub train_loss: f64,
    /// Mean negative log likelihood on validation.
    pub val_loss: f64,
    /// Accuracy on validation.
    pub val_accuracy: f64,
    /// Area under the ROC curve on validation, where it has more than one label.
    pub val_auc: Option<f64>,
}

impl Epoch {
    /// The outcome on validation, for the terminal.
    fn validation(&self) -> String {
        let auc = self.val_auc.map(|auc| format!("  AUC {auc:.4}")).unwrap_or_default();
        format!("val loss {:.4}  accuracy {:.4}{auc}", self.val_loss, self.val_accuracy)
    }
}

/// Where and how a run shows and saves itself.
pub struct Session<'a> {
    /// Set from outside (Ctrl-C): the run ends after the step it is at, with the best so far.
    pub stop: &'a AtomicBool,
    /// Folder of the checkpoint, or none.
    pub checkpoint: Option<PathBuf>,
    /// Go on from the checkpoint, if there is one.
    pub resume: bool,
    /// What the run is made of besides its [`FitOptions`] (data, labels, network), by name: a
    /// checkpoint made of anything else is not gone on from.
    pub about: BTreeMap<String, String>,
    /// Draw progress bars on standard error.
    pub progress: bool,
}

impl Session<'_> {
    /// Ends a run: its checkpoint goes, unless the run was stopped and may be gone on with.
    ///
    /// # Errors
    /// What the file system says.
    pub fn close(&self) -> std::io::Result<()> {
        match self.checkpoint.as_ref().filter(|folder| folder.exists()) {
            Some(folder) if !self.stop.load(Ordering::Relaxed) => std::fs::remove_dir_all(folder),
            _ => Ok(()),
        }
    }

    /// What a checkpoint is compared by.
    fn identity(&self, options: &FitOptions) -> anyhow::Result<BTreeMap<String, String>> {
        let mut about = self.about.clone();
        about.entry("settings".to_string()).or_default().push_str(&serde_json::to_string(options)?);
        Ok(about)
    }
}

/// What a run learns: the loop below knows nothing of labels, masks or networks.
pub trait Objective {
    /// Number of training examples.
    fn examples(&self) -> usize;

    /// The loss of one step over the training examples at `indices`, with its graph.
    ///
    /// # Errors
    /// What candle reports.
    fn loss(&self, indices: &[usize], rng: &mut ChaCha8Rng) -> anyhow::Result<Tensor>;

    /// What the network is worth on the validation examples.
    ///
    /// # Errors
    /// What candle reports.
    fn validate(&self) -> anyhow::Result<Validation>;

    /// Called after each validation, with the weights that were validated.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn validated(&self, epoch: usize) -> anyhow::Result<()> {
        let _ = epoch;
        Ok(())
    }
}

/// An outcome on validation.
#[derive(Debug, Clone, Copy)]
pub struct Validation {
    /// What is to become small.
    pub loss: f64,
    /// Share of what is right: of examples, or of pixels.
    pub accuracy: f64,
    /// Area under the ROC curve, where there is one.
    pub auc: Option<f64>,
}

/// Labels for whole examples, by cross-entropy.
struct Classification<'a, B, E: Examples<Batch = B>> {
    network: &'a dyn Network<B>,
    train: &'a E,
    val: &'a E,
    labels: usize,
    weights: Vec<f32>,
    batch_size: usize,
    smoothing: f32,
}

impl<B, E: Examples<Batch = B>> Objective for Classification<'_, B, E> {
    fn examples(&self) -> usize {
        self.train.labels().len()
    }

    fn loss(&self, indices: &[usize], rng: &mut ChaCha8Rng) -> anyhow::Result<Tensor> {
        let truth = self.train.labels();
        let mut targets: Vec<Vec<f32>> = indices.iter().map(|i| one_hot(truth[*i], self.labels)).collect();
        let batch = self.train.training_batch(indices, &mut targets, rng)?;
        let logits = self.network.logits(&batch, &mut Pass::Training(rng))?;
        Ok(cross_entropy(&logits, &targets, &self.weights, self.smoothing)?)
    }

    fn validate(&self) -> anyhow::Result<Validation> {
        let logits = predict(self.network, self.val, self.batch_size)?;
        let (loss, accuracy, auc) = validate(&logits, self.val.labels(), self.labels)?;
        Ok(Validation { loss, accuracy, auc })
    }
}

/// Trains a classifier `network`, whose values are `params`, and leaves the kept weights in `params`.
///
/// # Errors
/// As [`fit_to`].
pub fn fit<B, E: Examples<Batch = B>>(
    network: &dyn Network<B>,
    params: &Params,
    train: &E,
    val: &E,
    labels: usize,
    options: &FitOptions,
    session: &Session,
) -> anyhow::Result<Vec<Epoch>> {
    let weights = label_weights(train.labels(), labels, options.balance);
    let (batch_size, smoothing) = (options.batch_size, options.label_smoothing);
    let objective = Classification { network, train, val, labels, weights, batch_size, smoothing };
    fit_to(&objective, params, options, session)
}

/// Trains the values of `params` to an objective and leaves the kept ones in `params`.
///
/// # Errors
/// Settings out of range; a loss or gradient that is not finite; a checkpoint that does not fit;
/// what candle reports.
pub fn fit_to(
    objective: &dyn Objective,
    params: &Params,
    options: &FitOptions,
    session: &Session,
) -> anyhow::Result<Vec<Epoch>> {
    options.check()?;
    let identity = session.identity(options)?;
    let mut run = Run::new(params, options)?;
    if session.resume
        && let Some(folder) = &session.checkpoint
    {
        match checkpoint::exists(folder) {
            true => run.load(folder, params, &identity).with_context(|| checkpoint_in(folder))?,
            false => eprintln!("no checkpoint in {}: starting from the beginning", folder.display()),
        }
    }
    while run.history.len() < options.epochs && !run.out_of_patience(options) {
        let epoch = run.history.len() + 1;
        let Some(train_loss) = run.train_epoch(objective, params, options, session)? else { break };
        let own = params.snapshot()?;
        params.restore(run.average.values())?;
        let Validation { loss: val_loss, accuracy: val_accuracy, auc: val_auc } = objective.validate()?;
        objective.validated(epoch)?;
        let done = Epoch { epoch, train_loss, val_loss, val_accuracy, val_auc };
        if session.progress {
            eprintln!("epoch {epoch:>3}  train loss {train_loss:.4}  {}", done.validation());
        }
        run.history.push(done);
        if options.keep_last || run.best.as_ref().is_none_or(|best| val_loss < best.loss) {
            run.best = Some(Best { epoch, loss: val_loss, values: params.snapshot()? });
        }
        params.restore(&own)?;
        if let Some(folder) = &session.checkpoint {
            run.save(folder, params, &identity).with_context(|| checkpoint_in(folder))?;
        }
    }
    if session.stop.load(Ordering::Relaxed) && session.checkpoint.is_some() && !run.history.is_empty() {
        eprintln!("the same command with --resume goes on from here");
    }
    match &run.best {
        Some(best) => params.restore(&best.values)?,
        None => bail!("stopped before the first epoch ended: there is nothing to keep"),
    }
    Ok(run.history)
}

/// What reading or writing a checkpoint failed at.
fn checkpoint_in(folder: &Path) -> String {
    format!("the checkpoint in {}", folder.display())
}

/// Logits of every example of a split, in order.
pub fn predict<B, E: Examples<Batch = B>>(
    network: &dyn Network<B>,
    examples: &E,
    batch_size: usize,
) -> candle_core::Result<Vec<Vec<f32>>> {
    let indices: Vec<usize> = (0..examples.labels().len()).collect();
    let mut logits = Vec::with_capacity(indices.len());
    for part in indices.chunks(batch_size) {
        let batch = examples.batch(part)?;
        logits.extend(network.logits(&batch, &mut Pass::Inference)?.detach().to_vec2::<f32>()?);
    }
    Ok(logits)
}

fn validate(logits: &[Vec<f32>], truth: &[usize], labels: usize) -> anyhow::Result<(f64, f64, Option<f64>)> {
    let probabilities: Vec<Vec<f32>> =
        logits.iter().map(|row| calibration::probabilities(row, 1.0)).collect::<Result<_, _>>()?;
    let right = probabilities.iter().zip(truth).filter(|(row, t)| metrics::highest(row).0 == **t).count();
    Ok((
        calibration::negative_log_likelihood(logits, truth, 1.0),
        right as f64 / truth.len().max(1) as f64,
        metrics::macro_auc(labels, &probabilities, truth),
    ))
}

/// The weight of an example of each label, 1 on average over the examples.
fn label_weights(truth: &[usize], labels: usize, balance: f64) -> Vec<f32> {
    let mut counts = vec![0usize; labels];
    truth.iter().for_each(|t| counts[*t] += 1);
    let raw = |count: &usize| if *count > 0 { (*count as f64).powf(-balance) } else { 0.0 };
    let total: f64 = counts.iter().map(|count| *count as f64 * raw(count)).sum();
    counts.iter().map(|count| (raw(count) * truth.len() as f64 / total) as f32).collect()
}

/// The learning rate as a share of the highest: a straight rise, then half a cosine (Loshchilov
/// and Hutter 2017). `progress` runs from 0 to 1.
fn schedule(progress: f64, warmup: f64) -> f64 {
    if progress < warmup {
        return progress / warmup;
    }
    let rest = (progress - warmup) / (1.0 - warmup).max(1e-9);
    0.5 * (1.0 + (std::f64::consts::PI * rest.min(1.0)).cos())
}

/// The weights that are kept, so far.
pub(super) struct Best {
    pub(super) epoch: usize,
    pub(super) loss: f64,
    pub(super) values: BTreeMap<String, Tensor>,
}

/// A run between two epochs: all that a checkpoint keeps.
pub(super) struct Run {
    pub(super) optimizer: AdamW,
    pub(super) average: Average,
    pub(super) steps: u32,
    pub(super) history: Vec<Epoch>,
    pub(super) best: Option<Best>,
}

impl Run {
    pub(super) fn new(params: &Params, options: &FitOptions) -> anyhow::Result<Run> {
        Ok(Run {
            optimizer: AdamW::new(params, options.weight_decay, options.clip)?,
            average: Average::new(params, options.average_decay)?,
            steps: 0,
            history: Vec::new(),
            best: None,
        })
    }

    fn out_of_patience(&self, options: &FitOptions) -> bool {
        let best = self.best.as_ref().map_or(0, |best| best.epoch);
        options.patience > 0 && self.history.len() >= best + options.patience
    }

    /// One epoch; `None` where it was stopped from outside.
    fn train_epoch(
        &mut self,
        objective: &dyn Objective,
        params: &Params,
        options: &FitOptions,
        session: &Session,
    ) -> anyhow::Result<Option<f64>> {
        let epoch = self.history.len() + 1;
        let mut rng = random::stream(options.seed, &format!("epoch:{epoch}"));
        let mut order: Vec<usize> = (0..objective.examples()).collect();
        order.shuffle(&mut rng);
        let steps = order.len().div_ceil(options.batch_size);
        let bar = self.bar(steps, epoch, options, session);
        let before = self.history.last().map(|epoch| format!("  {}", epoch.validation())).unwrap_or_default();
        let mut total = 0.0;
        for (step, part) in order.chunks(options.batch_size).enumerate() {
            if session.stop.load(Ordering::Relaxed) {
                bar.finish_and_clear();
                return Ok(None);
            }
            let loss = objective.loss(part, &mut rng)?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            ensure!(
                value.is_finite(),
                "the loss is not finite in epoch {epoch}; a lower learning rate may help"
            );
            let progress = ((epoch - 1) * steps + step) as f64 / (options.epochs * steps) as f64;
            let rate = options.learning_rate
                * schedule(progress + 0.5 / (options.epochs * steps) as f64, options.warmup);
            self.optimizer.step(params, &loss.backward()?, rate)?;
            self.steps += 1;
            self.average.update(params, self.steps)?;
            total += value * part.len() as f64;
            let seen = ((step + 1) * options.batch_size).min(order.len());
            bar.set_message(format!("loss {:.4}{before}", total / seen as f64));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Some(total / order.len().max(1) as f64))
    }

    /// The bar spans the whole run, so that the time left is that of the run.
    fn bar(&self, steps: usize, epoch: usize, options: &FitOptions, session: &Session) -> ProgressBar {
        let bar = match session.progress {
            true => {
                progress::bar(options.epochs * steps, "steps").with_position(((epoch - 1) * steps) as u64)
            }
            false => ProgressBar::hidden(),
        };
        bar.set_prefix(format!("epoch {epoch}/{}", options.epochs));
        bar.reset_eta();
        bar
    }
}

fn one_hot(label: usize, labels: usize) -> Vec<f32> {
    let mut row = vec![0.0; labels];
    row[label] = 1.0;
    row
}

/// Mean cross-entropy of `logits` with soft targets, each label's part weighted.
fn cross_entropy(
    logits: &Tensor,
    targets: &[Vec<f32>],
    weights: &[f32],
    smoothing: f32,
) -> candle_core::Result<Tensor> {
    let labels = weights.len();
    let spread = smoothing / labels as f32;
    let mut values = Vec::with_capacity(targets.len() * labels);
    for row in targets {
        let weight: f32 = row.iter().zip(weights).map(|(t, w)| t * w).sum();
        values.extend(row.iter().map(|t| weight * (t * (1.0 - smoothing) + spread)));
    }
    let targets = Tensor::from_vec(values, (targets.len(), labels), logits.device())?;
    (candle_nn::ops::log_softmax(logits, D::Minus1)? * targets)?.sum(D::Minus1)?.mean_all()?.neg()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use candle_core::Device;
    use nn::{Init, Linear};

    /// A straight line over one number, which is all that a run needs to learn something.
    pub struct Line(Linear);

    impl Line {
        pub fn new(params: &mut Params) -> Line {
            Line(Linear::new(params, "line", 1, 2, Init::glorot(1, 2)).unwrap())
        }
    }

    impl Network<Tensor> for Line {
        fn logits(&self, batch: &Tensor, _: &mut Pass) -> candle_core::Result<Tensor> {
            self.0.forward(batch)
        }
    }

    /// Numbers and their labels.
    pub struct Points(pub Vec<(f32, usize)>, Vec<usize>);

    impl Points {
        /// From -1 to 1; those above 0 have the label `above`.
        pub fn new(above: usize) -> Points {
            let points: Vec<(f32, usize)> = (0..16)
                .map(|i| i as f32 / 7.5 - 1.0)
                .map(|x| (x, if x > 0.0 { above } else { 1 - above }))
                .collect();
            let labels = points.iter().map(|(_, label)| *label).collect();
            Points(points, labels)
        }
    }

    impl Examples for Points {
        type Batch = Tensor;

        fn labels(&self) -> &[usize] {
            &self.1
        }

        fn batch(&self, indices: &[usize]) -> candle_core::Result<Tensor> {
            let values: Vec<f32> = indices.iter().map(|i| self.0[*i].0).collect();
            Tensor::from_vec(values, (indices.len(), 1), &Device::Cpu)
        }
    }

    pub fn options() -> FitOptions {
        FitOptions {
            epochs: 20,
            batch_size: 4,
            learning_rate: 0.05,
            warmup: 0.1,
            weight_decay: 0.0,
            clip: 1.0,
            label_smoothing: 0.0,
            balance: 0.0,
            average_decay: 0.5,
            patience: 3,
            keep_last: false,
            seed: 0,
        }
    }

    /// The history of a run, and the validation loss of what it kept.
    fn trained(options: &FitOptions) -> (Vec<Epoch>, f64) {
        let mut params = Params::fresh(0);
        let network = Line::new(&mut params);
        // What is right in training is wrong on validation, whose loss therefore only rises.
        let (train, val) = (Points::new(1), Points::new(0));
        let stop = AtomicBool::new(false);
        let session =
            Session { stop: &stop, checkpoint: None, resume: false, about: BTreeMap::new(), progress: false };
        let history = fit(&network, &params, &train, &val, 2, options, &session).unwrap();
        let logits = predict(&network, &val, 4).unwrap();
        (history, calibration::negative_log_likelihood(&logits, val.labels(), 1.0))
    }

    #[test]
    fn patience_ends_a_run_with_the_weights_of_the_best_validation() {
        let (history, kept) = trained(&options());
        let best = history.iter().min_by(|a, b| a.val_loss.total_cmp(&b.val_loss)).unwrap();
        assert!(history.len() < 20 && history.len() == best.epoch + 3, "{history:?}");
        assert!((kept - best.val_loss).abs() < 1e-6, "{kept} {history:?}");
        let (history, kept) = trained(&FitOptions { patience: 0, keep_last: true, ..options() });
        assert_eq!(history.len(), 20);
        assert!((kept - history[19].val_loss).abs() < 1e-6 && kept > best.val_loss, "{kept} {history:?}");
    }

    #[test]
    fn rare_labels_weigh_more_as_asked_and_all_weigh_one_on_average() {
        let truth = [0, 0, 0, 1];
        assert_eq!(label_weights(&truth, 2, 0.0), [1.0, 1.0]);
        let even = label_weights(&truth, 3, 1.0);
        assert!(
            (even[0] - 2.0 / 3.0).abs() < 1e-6 && (even[1] - 2.0).abs() < 1e-6 && even[2] == 0.0,
            "{even:?}"
        );
    }

    #[test]
    fn the_learning_rate_rises_straight_and_falls_along_a_cosine() {
        for (progress, want) in [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0)] {
            assert!((schedule(progress, 0.1) - want).abs() < 1e-9, "{progress}");
        }
        assert_eq!(schedule(0.0, 0.0), 1.0);
    }

    #[test]
    fn settings_that_cannot_train_are_named() {
        let wrong: [(&str, FitOptions); 8] = [
            ("--epochs", FitOptions { epochs: 0, ..options() }),
            ("--batch-size", FitOptions { batch_size: 0, ..options() }),
            ("--lr", FitOptions { learning_rate: f64::NAN, ..options() }),
            ("--lr", FitOptions { learning_rate: -0.1, ..options() }),
            ("--weight-decay", FitOptions { weight_decay: f64::INFINITY, ..options() }),
            ("--label-smoothing", FitOptions { label_smoothing: 1.0, ..options() }),
            ("--balance", FitOptions { balance: -1.0, ..options() }),
            ("--balance", FitOptions { balance: f64::NAN, ..options() }),
        ];
        assert!(options().check().is_ok());
        for (name, options) in wrong {
            let error = options.check().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
