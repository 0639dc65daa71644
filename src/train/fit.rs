//! The training loop: epochs of seeded batches, validation, early stopping, checkpoints.
//!
//! Everything random in epoch `e` comes from the stream "epoch:e" of the seed, so a run that was
//! stopped and resumed ends with the very weights of one that was not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{D, Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::metrics;
use super::optimizer::{AdamW, Average};
use crate::model::calibration;
use crate::nn::{Network, Params, Pass, random};

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
    /// Area under the ROC curve on validation.
    pub val_auc: f64,
}

/// Where and how a run shows and saves itself.
pub struct Session<'a> {
    /// Set from outside (Ctrl-C): the run ends after the step it is at, with the best so far.
    pub stop: &'a AtomicBool,
    /// Folder of the checkpoint, or none.
    pub checkpoint: Option<PathBuf>,
    /// Go on from the checkpoint, if there is one.
    pub resume: bool,
    /// Draw progress bars on standard error.
    pub progress: bool,
}

impl Session<'_> {
    /// Ends a run: its checkpoint goes, unless the run was stopped and may be gone on with.
    ///
    /// # Errors
    /// What the file system says.
    pub fn close(&self) -> std::io::Result<()> {
        let Some(folder) = self.checkpoint.as_ref().filter(|folder| folder.exists()) else { return Ok(()) };
        if self.stop.load(Ordering::Relaxed) {
            eprintln!("the same command with --resume goes on from here");
            return Ok(());
        }
        std::fs::remove_dir_all(folder)
    }
}

/// Trains `network`, whose values are `params`, and leaves the kept weights in `params`.
///
/// # Errors
/// A loss or gradient that is not finite; a checkpoint that does not fit; what candle reports.
pub fn fit<B, E: Examples<Batch = B>>(
    network: &dyn Network<B>,
    params: &Params,
    train: &E,
    val: &E,
    labels: usize,
    options: &FitOptions,
    session: &Session,
) -> anyhow::Result<Vec<Epoch>> {
    let mut run = Run::new(params, options)?;
    if session.resume
        && let Some(folder) = &session.checkpoint
        && folder.join(CHECKPOINT_STATE).exists()
    {
        run.load(folder, params, options)?;
    }
    let weights = label_weights(train.labels(), labels, options.balance);
    while run.history.len() < options.epochs && !run.out_of_patience(options) {
        let epoch = run.history.len() + 1;
        let Some(train_loss) = run.train_epoch(network, params, train, labels, &weights, options, session)?
        else {
            break;
        };
        let own = params.snapshot()?;
        params.restore(run.average.values())?;
        let logits = predict(network, val, options.batch_size)?;
        let (val_loss, val_accuracy, val_auc) = validate(&logits, val.labels(), labels)?;
        run.history.push(Epoch { epoch, train_loss, val_loss, val_accuracy, val_auc });
        if options.keep_last || run.best.as_ref().is_none_or(|best| val_loss < best.loss) {
            run.best = Some(Best { epoch, loss: val_loss, values: params.snapshot()? });
        }
        params.restore(&own)?;
        if let Some(folder) = &session.checkpoint {
            run.save(folder, params, options)?;
        }
    }
    match &run.best {
        Some(best) => params.restore(&best.values)?,
        None => anyhow::bail!("stopped before the first epoch ended: there is nothing to keep"),
    }
    Ok(run.history)
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

fn validate(logits: &[Vec<f32>], truth: &[usize], labels: usize) -> anyhow::Result<(f64, f64, f64)> {
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

struct Best {
    epoch: usize,
    loss: f64,
    values: BTreeMap<String, Tensor>,
}

struct Run {
    optimizer: AdamW,
    average: Average,
    steps: u32,
    history: Vec<Epoch>,
    best: Option<Best>,
}

/// What a checkpoint says besides its tensors.
#[derive(Serialize, Deserialize)]
struct State {
    options: FitOptions,
    steps: u32,
    history: Vec<Epoch>,
    best_epoch: usize,
    best_loss: f64,
}

const CHECKPOINT_STATE: &str = "checkpoint.json";
const CHECKPOINT_TENSORS: &str = "checkpoint.safetensors";

impl Run {
    fn new(params: &Params, options: &FitOptions) -> anyhow::Result<Run> {
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
    #[allow(clippy::too_many_arguments)]
    fn train_epoch<B, E: Examples<Batch = B>>(
        &mut self,
        network: &dyn Network<B>,
        params: &Params,
        train: &E,
        labels: usize,
        weights: &[f32],
        options: &FitOptions,
        session: &Session,
    ) -> anyhow::Result<Option<f64>> {
        let epoch = self.history.len() + 1;
        let mut rng = random::stream(options.seed, &format!("epoch:{epoch}"));
        let truth = train.labels();
        let mut order: Vec<usize> = (0..truth.len()).collect();
        order.shuffle(&mut rng);
        let steps = order.len().div_ceil(options.batch_size);
        let bar = self.bar(steps, epoch, options, session);
        let mut total = 0.0;
        for (step, part) in order.chunks(options.batch_size).enumerate() {
            if session.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut targets: Vec<Vec<f32>> = part.iter().map(|i| one_hot(truth[*i], labels)).collect();
            let batch = train.training_batch(part, &mut targets, &mut rng)?;
            let logits = network.logits(&batch, &mut Pass::Training(&mut rng))?;
            let loss = cross_entropy(&logits, &targets, weights, options.label_smoothing)?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            anyhow::ensure!(
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
            bar.set_message(format!(
                "loss {:.4}",
                total / ((step + 1) * options.batch_size).min(order.len()) as f64
            ));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Some(total / order.len().max(1) as f64))
    }

    fn bar(&self, steps: usize, epoch: usize, options: &FitOptions, session: &Session) -> ProgressBar {
        if !session.progress {
            return ProgressBar::hidden();
        }
        if let Some(last) = self.history.last() {
            eprintln!(
                "epoch {:>3}  train loss {:.4}  val loss {:.4}  accuracy {:.4}  AUC {:.4}",
                last.epoch, last.train_loss, last.val_loss, last.val_accuracy, last.val_auc
            );
        }
        // The bar spans the whole run, so that the time left is that of the run.
        let bar =
            ProgressBar::new((options.epochs * steps) as u64).with_position(((epoch - 1) * steps) as u64);
        if let Ok(style) =
            ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} steps  {msg}  {eta} left")
        {
            bar.set_style(style);
        }
        bar.set_prefix(format!("epoch {epoch}/{}", options.epochs));
        bar.reset_eta();
        bar
    }

    /// Both files are written beside their final places and renamed, tensors first: the state
    /// file names the tensors' steps, so a crash between the two is seen at load.
    fn save(&self, folder: &Path, params: &Params, options: &FitOptions) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let (optimizer, _) = self.optimizer.state();
        let best = self.best.as_ref();
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        let mut put = |kind: &str, values: &BTreeMap<String, Tensor>| {
            tensors.extend(values.iter().map(|(name, t)| (format!("{kind}/{name}"), t.clone())));
        };
        put("params", &params.snapshot()?);
        put("average", self.average.values());
        put("optimizer", &optimizer);
        if let Some(best) = best {
            put("best", &best.values);
        }
        tensors.insert("steps".to_string(), Tensor::new(self.steps, &Device::Cpu)?);
        let state = State {
            options: options.clone(),
            steps: self.steps,
            history: self.history.clone(),
            best_epoch: best.map_or(0, |b| b.epoch),
            best_loss: best.map_or(f64::INFINITY, |b| b.loss),
        };
        let new = folder.join(format!("{CHECKPOINT_TENSORS}.new"));
        safetensors::serialize_to_file(tensors, None, &new)?;
        std::fs::rename(&new, folder.join(CHECKPOINT_TENSORS))?;
        let new = folder.join(format!("{CHECKPOINT_STATE}.new"));
        std::fs::write(&new, serde_json::to_vec_pretty(&state)?)?;
        std::fs::rename(&new, folder.join(CHECKPOINT_STATE))?;
        Ok(())
    }

    fn load(&mut self, folder: &Path, params: &Params, options: &FitOptions) -> anyhow::Result<()> {
        let state: State = serde_json::from_slice(&std::fs::read(folder.join(CHECKPOINT_STATE))?)?;
        anyhow::ensure!(
            state.options == *options,
            "the checkpoint in {} was made with other settings; resume with the same ones, or train without --resume",
            folder.display()
        );
        let tensors = candle_core::safetensors::load(folder.join(CHECKPOINT_TENSORS), &Device::Cpu)?;
        let steps = tensors.get("steps").map(|t| t.to_scalar::<u32>()).transpose()?;
        anyhow::ensure!(steps == Some(state.steps), "the checkpoint in {} is torn", folder.display());
        let part = |kind: &str| -> BTreeMap<String, Tensor> {
            let prefix = format!("{kind}/");
            let named = tensors
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_string(), t.clone())));
            named.collect()
        };
        params.restore(&part("params"))?;
        self.optimizer.restore(&part("optimizer"), state.steps)?;
        self.average.restore(part("average"));
        self.steps = state.steps;
        self.history = state.history;
        self.best = Some(Best { epoch: state.best_epoch, loss: state.best_loss, values: part("best") });
        Ok(())
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
