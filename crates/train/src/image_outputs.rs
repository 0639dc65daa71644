//! `train image` for several labels at once and for a number: the same data, network and loop as of one label, with another
//! loss, and with what makes answers of the outputs fitted on the validation pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::card::{card, noticed};
use super::examples::SPLITS;
use super::finish::{Answers, STOPPED};
use super::fit::fit_to;
use super::from;
use super::image::{self, ImageOptions, LossKind};
use super::image_set::ImageSet;
use super::image_table::{ImageTable, Wanted};
use super::likeness;
use super::plots;
use super::splits::Grouping;
use super::targets::{Loss, SHARE, Targeted, fit_binary, fit_interval, measure_binary, measure_number};
use model::manifest::{Binary, Input, Interval, NumberOutput, Outputs};
use model::{Manifest, Package, package};
use nn::Params;
use vision::network;

/// Examples a forward pass takes while measuring.
const BATCH: usize = 64;

/// The loss, among a package's settings.
const LOSS: &str = "loss";

/// Targets by split, one row an example.
type Targets = BTreeMap<String, Vec<Vec<f32>>>;

/// Trains and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit, a run that diverged.
pub fn train(
    options: &ImageOptions,
    groups: Option<&Grouping>,
    stop: &AtomicBool,
) -> Result<(PathBuf, Manifest)> {
    ensure!(!options.report, "--report is for labels that exclude each other");
    let is_number = options.loss == LossKind::MeanSquaredError;
    let wanted = match is_number {
        true => Wanted::Number(options.number.as_deref()),
        false => Wanted::Labels(&options.labels),
    };
    if is_number {
        ensure!(options.labels.is_empty(), "--labels: a number has none; --number names its column");
    } else {
        for (name, given) in [("--number", &options.number), ("--unit", &options.unit)] {
            ensure!(given.is_none(), "{name} is for a number: --loss mean-squared-error");
        }
    }
    let table = ImageTable::read(&options.data, wanted, options.seed, groups)?;
    table.check_trainable(wanted).with_context(|| options.data.display().to_string())?;
    let ImageTable { mut source, targets } = table;
    let input = image::input(&mut source, options);
    source.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let fit_options = image::fit_options(options, source.splits["train"].len());
    let architecture = options.network.architecture(input.height, source.splits["train"].len())?;
    let start = outset(options, &source.labels, &targets["train"]);
    let mut manifest =
        image::describe(options, &source, input.clone(), architecture, &fit_options, Some(start.clone()))?;
    let loss_name = if is_number { "mean-squared-error" } else { "binary" };
    manifest.training.settings.insert(LOSS.to_string(), loss_name.into());

    let sets = image::sets(&source, &input, options)?;
    let mut params = Params::fresh(options.seed);
    let network = network::build(&manifest.architecture, &input, source.labels.len(), &mut params)?;
    from::start(options.from.as_deref(), &mut manifest, &params)?;
    let session = image::session(options, &manifest, &input, network.step_bytes(options.batch_size), stop);
    let learned = to_learn(&start, &targets);
    let loss = match &start {
        Outputs::Number(_) => Loss::Square,
        Outputs::Binary { .. } => Loss::binary(&learned["train"], options.balance, options.label_smoothing),
    };
    let objective = Targeted {
        network: &network,
        train: &sets["train"],
        train_targets: &learned["train"],
        val: &sets["val"],
        val_targets: &learned["val"],
        loss,
        batch_size: BATCH,
    };
    let history = fit_to(&objective, &params, &fit_options, &session)?;
    manifest.training.epochs = history.len();

    let mut answers = BTreeMap::new();
    for (split, set) in &sets {
        answers.insert(split.clone(), image::answers(&network, set)?);
    }
    let altered = image::calibration(&network, &source, &input, options)?;
    manifest.outputs = Some(settled(&start, &source.labels, &targets, &answers, &altered)?);
    let mut extra = vec![("plots/learning-curve.svg", plots::learning_curve(&history)?)];
    let enough = source.splits["train"].len() >= likeness::FEWEST;
    if enough && !options.no_likeness && !stop.load(Ordering::Relaxed) {
        eprintln!("fitting what tells pictures unlike these");
        let fitted = likeness::fit(&input, &source.splits, options.seed)?;
        manifest.likeness = Some(fitted.described);
        extra.push((package::LIKENESS, fitted.likeness.to_bytes()?));
    }
    let weights = params.snapshot()?;
    manifest.weights.parameters = package::values(&weights);
    let notes = noticed(&source.warnings) + if stop.load(Ordering::Relaxed) { STOPPED } else { "" };
    let text = card(&manifest, &notes, "val");
    let folder = Package::write(&options.out, &mut manifest, &weights, &text, &extra)?;
    session.close()?;
    Ok((folder, manifest))
}

/// What the outputs are before anything is fitted.
fn outset(options: &ImageOptions, labels: &[String], train: &[Vec<f32>]) -> Outputs {
    if options.loss != LossKind::MeanSquaredError {
        let plain = Binary { slope: 1.0, offset: 0.0, threshold: 0.5 };
        let labels = labels.iter().map(|label| (label.clone(), plain)).collect();
        return Outputs::Binary { labels, metrics: BTreeMap::new() };
    }
    let numbers = || train.iter().flatten().map(|number| f64::from(*number));
    let count = train.len().max(1) as f64;
    let mean = numbers().sum::<f64>() / count;
    let deviation = (numbers().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
    let interval = Interval { share: SHARE, half: 0.0 };
    Outputs::Number(NumberOutput {
        unit: options.unit.clone(),
        mean,
        deviation,
        interval,
        metrics: BTreeMap::new(),
    })
}

/// The targets as the loss has them: of a number its distance from the mean in deviations.
fn to_learn(outputs: &Outputs, targets: &Targets) -> Targets {
    let Outputs::Number(NumberOutput { mean, deviation, .. }) = outputs else { return targets.clone() };
    let scaled = |number: &f32| ((f64::from(*number) - mean) / deviation) as f32;
    let rows = |rows: &Vec<Vec<f32>>| rows.iter().map(|row| row.iter().map(scaled).collect()).collect();
    targets.iter().map(|(split, own)| (split.clone(), rows(own))).collect()
}

/// Fits what makes answers on validation, and measures every split. `altered` are copies of the validation pictures, as
/// another hospital's would be.
fn settled(
    start: &Outputs,
    labels: &[String],
    targets: &Targets,
    answers: &BTreeMap<String, Answers>,
    altered: &Answers,
) -> Result<Outputs> {
    let mut outputs = start.clone();
    let val = &targets["val"];
    match &mut outputs {
        Outputs::Binary { labels: own, .. } => {
            for (place, label) in labels.iter().enumerate() {
                let logits: Vec<f32> = altered.logits.iter().map(|row| row[place]).collect();
                let holds: Vec<bool> = altered.truth.iter().map(|at| val[*at][place] > 0.5).collect();
                own.insert(label.clone(), fit_binary(&logits, &holds));
            }
        }
        Outputs::Number(number) => {
            let (found, truth) = numbers(number, &answers["val"], val)?;
            let errors: Vec<f64> = found.iter().zip(&truth).map(|(found, truth)| found - truth).collect();
            number.interval = fit_interval(&errors);
        }
    }
    for (split, answers) in answers {
        measure(&mut outputs, labels, split, answers, &targets[split])?;
    }
    Ok(outputs)
}

/// Numbers found and right.
fn numbers(number: &NumberOutput, answers: &Answers, targets: &[Vec<f32>]) -> Result<(Vec<f64>, Vec<f64>)> {
    let found = answers.logits.iter().map(|row| number.number(row[0])).collect::<Result<_, _>>()?;
    Ok((found, answers.truth.iter().map(|at| f64::from(targets[*at][0])).collect()))
}

/// Adds the metrics of a split.
fn measure(
    outputs: &mut Outputs,
    names: &[String],
    split: &str,
    answers: &Answers,
    targets: &[Vec<f32>],
) -> Result<()> {
    match outputs {
        Outputs::Binary { labels, metrics } => {
            let mut own = BTreeMap::new();
            for (place, name) in names.iter().enumerate() {
                let logits: Vec<f32> = answers.logits.iter().map(|row| row[place]).collect();
                let holds: Vec<bool> = answers.truth.iter().map(|at| targets[*at][place] > 0.5).collect();
                own.insert(name.clone(), measure_binary(&labels[name], &logits, &holds)?);
            }
            metrics.insert(split.to_string(), own);
        }
        Outputs::Number(number) => {
            let (found, truth) = numbers(number, answers, targets)?;
            let own = measure_number(number, &found, &truth);
            number.metrics.insert(split.to_string(), own);
        }
    }
    Ok(())
}

/// The data of a package again, split as it was in training.
///
/// # Errors
/// Data that cannot be read.
pub fn table(manifest: &Manifest, data: &Path) -> Result<ImageTable> {
    let wanted = match &manifest.outputs {
        Some(Outputs::Number(_)) => Wanted::Number(manifest.labels.first().map(String::as_str)),
        _ => Wanted::Labels(&manifest.labels),
    };
    let groups = image::groups(manifest, data)?;
    ImageTable::read(data, wanted, manifest.training.seed, groups.as_ref())
}

/// One split's outcome under a package of several labels at once or of a number.
#[derive(Debug, Serialize)]
pub struct OutputsEvaluation {
    /// Name of the model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// The split measured.
    pub split: String,
    /// What makes answers of its outputs, with the metrics of this split.
    pub outputs: Outputs,
}

/// What such a package is worth on a split of `data`.
///
/// # Errors
/// Data that cannot be read or has no such split.
pub fn evaluate(package: Package, data: &Path, split: &str) -> Result<OutputsEvaluation> {
    let manifest = package.manifest;
    let (Input::Image(input), Some(outputs)) = (&manifest.input, &manifest.outputs) else {
        bail!("the model \"{}\" has labels that exclude each other", manifest.name)
    };
    ensure!(SPLITS.contains(&split), "the split \"{split}\" is not one of {}", SPLITS.join(", "));
    let ImageTable { source, targets } = table(&manifest, data)?;
    let examples = source.splits.get(split).with_context(|| format!("the data has no split \"{split}\""))?;
    let mut params = Params::frozen(package.weights);
    let network = network::build(&manifest.architecture, input, manifest.labels.len(), &mut params)?;
    params.finish()?;
    let answers = image::answers(&network, &ImageSet::new(examples, input, None)?)?;
    let mut outputs = outputs.clone();
    match &mut outputs {
        Outputs::Binary { metrics, .. } => metrics.clear(),
        Outputs::Number(number) => number.metrics.clear(),
    }
    measure(&mut outputs, &manifest.labels, split, &answers, &targets[split])?;
    let Manifest { name: model, version, .. } = manifest;
    Ok(OutputsEvaluation { model, version, split: split.to_string(), outputs })
}
