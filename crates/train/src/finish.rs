//! From trained weights to a package: calibration, abstention, metrics, plots, card.
//!
//! The same steps end every training run, of images and of notes, so that every package is
//! measured the same way. Nothing here looks at the test split before the numbers are final.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use serde_json::{Value, json};

use super::card::{card, plain};
use super::fit::Epoch;
use super::groups::{measured, section};
use super::metrics::{highest, metrics, reliability};
use super::plots;
use super::report::{Outcome, REPORT, Subjects, report};
use model::calibration::{fit_temperature, probabilities};
use model::manifest::Metrics;
use model::package::latest;
use model::{Manifest, Package, package};

/// What the card says of a run that Ctrl-C ended.
pub const STOPPED: &str =
    "## Stopped early\n\nThe run was ended by hand before it was done; this is the best it had reached.\n";

/// Refuses a share of abstentions that is none.
///
/// # Errors
/// The share is not from 0 to below 1.
pub fn check_abstain_share(share: f64) -> Result<()> {
    ensure!((0.0..1.0).contains(&share), "--abstain-share is {share}, not from 0 to below 1");
    Ok(())
}

/// What a run is made of, which a checkpoint is compared by: everything that decides its weights
/// besides the settings of the loop.
pub fn about(manifest: &Manifest) -> BTreeMap<String, String> {
    let json = |value: Value| value.to_string();
    let (data, training) = (&manifest.data, &manifest.training);
    BTreeMap::from([
        ("data".to_string(), json(json!([data.sha256, data.examples]))),
        ("labels".to_string(), json(json!(manifest.labels))),
        ("input".to_string(), json(plain(&manifest.input))),
        ("architecture".to_string(), json(plain(&manifest.architecture))),
        ("settings".to_string(), json(json!(training.settings))),
    ])
}

/// The version that was asked for, said aloud where it is there already, or one above the highest of the model `name` under
/// `out`.
///
/// # Errors
/// The folder cannot be listed.
pub fn version(asked: Option<u64>, out: &Path, name: &str) -> Result<u64> {
    if let Some(version) = asked {
        let folder = out.join(name).join(version.to_string());
        if folder.exists() {
            eprintln!("{} is there already: it is replaced", folder.display());
        }
        return Ok(version);
    }
    let highest = if out.is_dir() { latest(out)?.remove(name) } else { None };
    let number = highest.and_then(|folder| folder.file_name()?.to_str()?.parse::<u64>().ok());
    Ok(number.map_or(1, |highest| highest + 1))
}

/// What the network said on one split.
pub struct Answers {
    /// One row an example.
    pub logits: Vec<Vec<f32>>,
    /// Index of the right label.
    pub truth: Vec<usize>,
}

/// Index of the label that an answer is at least, by example.
pub type Floors = Vec<Option<usize>>;

/// What a finished run hands over.
pub struct Finished<'a> {
    /// The package's description; calibration, threshold, metrics and weights are filled in.
    pub manifest: Manifest,
    /// The trained values.
    pub weights: BTreeMap<String, Tensor>,
    /// Answers by split.
    pub splits: BTreeMap<String, Answers>,
    /// By split and example: index of the label that red flags hold the answer to at least. Empty
    /// where the package has no rules.
    pub floors: BTreeMap<String, Floors>,
    /// What the temperature is fitted on.
    pub calibration: Answers,
    /// Share of the validation examples on which the model may abstain.
    pub abstain_share: f64,
    /// The learning curve; empty where nothing was learned.
    pub history: Vec<Epoch>,
    /// Paragraphs for the card.
    pub notes: String,
    /// Further files of the package.
    pub extra: Vec<(&'static str, Vec<u8>)>,
    /// The examples of a split, where the card has groups of them or a report shows them.
    pub subjects: Option<ShowSplit<'a>>,
    /// Whether the package has a report.
    pub report: bool,
}

/// The examples of the split of that name.
pub type ShowSplit<'a> = Box<dyn Fn(&str) -> Subjects<'a> + 'a>;

/// Calibrates, measures, draws and writes the package under `out`. Returns its folder and the
/// manifest as written.
///
/// # Errors
/// An output of the network that is not finite; what the file system says.
pub fn finish(run: Finished, out: &Path) -> Result<(PathBuf, Manifest)> {
    let Finished {
        mut manifest,
        weights,
        splits,
        floors,
        calibration,
        abstain_share,
        history,
        notes,
        mut extra,
        subjects,
        report: reported,
    } = run;
    let temperature = fit_temperature(&calibration.logits, &calibration.truth) as f32;
    manifest.calibration.temperature = temperature;
    let rows = |answers: &Answers| calibrated(answers, temperature);
    let val = splits.get("val").context("no validation split")?;
    manifest.abstain_below = threshold(&rows(val)?, abstain_share);
    for (split, answers) in &splits {
        let (rows, truth) = (rows(answers)?, &answers.truth);
        manifest.metrics.insert(split.clone(), measure(&manifest, &rows, truth, &[]));
        if let Some(floors) = floors.get(split) {
            let held = measure(&manifest, &rows, truth, floors);
            manifest.metrics.insert(format!("{split}, with red flags"), held);
        }
    }

    let (shown_split, shown) = splits.get("test").map_or(("val", val), |test| ("test", test));
    let shown_rows = rows(shown)?;
    if !history.is_empty() {
        extra.push(("plots/learning-curve.svg", plots::learning_curve(&history)?));
    }
    extra.push(("plots/reliability.svg", plots::reliability(&reliability(&shown_rows, &shown.truth))?));
    extra.push(("plots/roc.svg", plots::roc_curves(&manifest.labels, &shown_rows, &shown.truth)?));

    manifest.weights.parameters = package::values(&weights);
    let subjects = subjects.map(|subjects| subjects(shown_split));
    if let Some(subjects) = subjects.as_ref().filter(|_| reported) {
        let outcome = Outcome { split: shown_split, rows: &shown_rows, truth: &shown.truth };
        let drawn = extra.iter().filter(|(name, _)| name.ends_with(".svg"));
        let drawn: Vec<&[u8]> = drawn.map(|(_, svg)| svg.as_slice()).collect();
        extra.push((REPORT, report(&manifest, &outcome, subjects, &drawn)?));
    }
    let groups = subjects.map(|subjects| measured(&manifest, &shown_rows, &shown.truth, &subjects.groups));
    let notes = format!("{}{notes}", section(shown_split, &groups.unwrap_or_default()));
    let card = card(&manifest, &notes, shown_split);
    let folder = Package::write(out, &mut manifest, &weights, &card, &extra)?;
    Ok((folder, manifest))
}

/// Writes manifest, card and `extra` files (relative path, content) of a package that is there already, and reads it
/// again as the server would.
///
/// # Errors
/// What the file system says; a package that would be refused.
pub fn amend(folder: &Path, manifest: &Manifest, card: &str, extra: &[(&str, Vec<u8>)]) -> Result<()> {
    let json = serde_json::to_string_pretty(manifest)? + "\n";
    let own = [(package::CARD, card.as_bytes()), (package::MANIFEST, json.as_bytes())];
    for (name, content) in extra.iter().map(|(name, content)| (*name, &content[..])).chain(own) {
        // Whoever reads it meanwhile, or after Ctrl-C, finds the whole file or the old one.
        let (file, fresh) = (folder.join(name), folder.join(format!(".{}.new", name.replace('/', "."))));
        std::fs::write(&fresh, content)
            .and_then(|()| std::fs::rename(&fresh, &file))
            .with_context(|| file.display().to_string())?;
    }
    Package::read(folder)?;
    Ok(())
}

/// Calibrated probabilities of every example.
///
/// # Errors
/// An output that is not finite.
pub fn calibrated(answers: &Answers, temperature: f32) -> Result<Vec<Vec<f32>>> {
    Ok(answers.logits.iter().map(|row| probabilities(row, temperature)).collect::<Result<_, _>>()?)
}

/// Metrics of one split under a manifest's decision rule, the answers no less urgent than `floors`
/// where there are any.
pub fn measure(manifest: &Manifest, rows: &[Vec<f32>], truth: &[usize], floors: &[Option<usize>]) -> Metrics {
    let floor = |example: usize| floors.get(example).copied().flatten().unwrap_or(usize::MAX);
    let answers: Vec<usize> =
        rows.iter().enumerate().map(|(example, row)| manifest.decide(row).min(floor(example))).collect();
    metrics(&manifest.labels, rows, truth, &answers, manifest.abstain_below, manifest.ordinal.is_some())
}

/// The confidence that a share of the rows stay below, rounded down to three places.
pub(crate) fn threshold(rows: &[Vec<f32>], share: f64) -> f32 {
    let mut confidences: Vec<f32> = rows.iter().map(|row| highest(row).1).collect();
    confidences.sort_by(f32::total_cmp);
    let place = (share * confidences.len() as f64) as usize;
    confidences.get(place).map_or(0.0, |c| (c * 1000.0).floor() / 1000.0)
}
