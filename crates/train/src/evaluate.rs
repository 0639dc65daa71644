//! `train evaluate`: a package and a data set in, metrics out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::examples::SPLITS;
use super::finish::{calibrated, measure};
use super::image_outputs::{self, OutputsEvaluation};
use super::{embed, extract, image, segment, tables, text};
use model::manifest::{Input, Metrics, RegionMetrics};
use model::package::{MANIFEST, latest};
use model::{Manifest, Package};

/// One split's outcome under a package.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Name of the model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// The split measured.
    pub split: String,
    /// The labels, in the order of the metrics' rows.
    pub labels: Vec<String>,
    /// What was measured of the model alone.
    pub metrics: Metrics,
    /// What was measured of the model and the package's rules for red flags, where it has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_red_flags: Option<Metrics>,
}

impl Evaluation {
    /// The metrics as tables, for the terminal.
    pub fn tables(&self) -> String {
        let mut one = BTreeMap::from([(self.split.clone(), self.metrics.clone())]);
        if let Some(metrics) = &self.with_red_flags {
            one.insert(format!("{}, with red flags", self.split), metrics.clone());
        }
        let (model, version) = (&self.model, &self.version);
        if self.metrics.extraction.is_some() {
            return format!(
                "{model}, version {version}, {}\n\n{}",
                self.split,
                extract::measure::table(&self.metrics)
            );
        }
        if self.metrics.retrieval.is_some() {
            return format!("{model}, version {version}\n\n{}", embed::retrieval::table(one.iter()));
        }
        let (split, labels) = (tables::by_split(&one), tables::by_label(&self.labels, &self.metrics));
        format!("{model}, version {version}\n\n{split}\n{labels}")
    }
}

/// Measures the highest version of the package `model` (`models/<name>`, or one version's
/// folder) on a split of `data`.
///
/// # Errors
/// A package or data that cannot be read, or labels that are not the model's.
pub fn evaluate(model: &Path, data: &Path, split: &str) -> Result<Evaluation> {
    let package = read_package(model)?;
    ensure!(SPLITS.contains(&split), "the split \"{split}\" is not one of {}", SPLITS.join(", "));
    if split == "val" && package.manifest.training.settings.get("refit") == Some(&true.into()) {
        eprintln!(
            "warning: \"{}\" was fitted again on validation data as well, so these figures flatter it; those of before are in \
             its card",
            package.manifest.name
        );
    }
    let (manifest, answers, floors) = match package.manifest.input {
        Input::Text(_) if package.manifest.labels.is_empty() => return embed::evaluate(package, data, split),
        Input::Text(_) => return extract::evaluate(package, data, split),
        Input::Image(_) => {
            let (manifest, answers) = image::answers_of(package, data, split)?;
            (manifest, answers, None)
        }
        Input::Record(_) => {
            let records = text::records_of(&package.manifest, data, split)?;
            text::answers_of(package, &records)?
        }
        Input::History(_) => bail!("{model:?} recommends: it is measured by train evaluate-recommender"),
    };
    let rows = calibrated(&answers, manifest.calibration.temperature)?;
    let metrics = measure(&manifest, &rows, &answers.truth, &[]);
    let with_red_flags = floors.map(|floors| measure(&manifest, &rows, &answers.truth, &floors));
    let Manifest { name: model, version, labels, .. } = manifest;
    Ok(Evaluation { model, version, split: split.to_string(), labels, metrics, with_red_flags })
}

/// One split's outcome under a package that outlines regions.
#[derive(Debug, Serialize)]
pub struct RegionEvaluation {
    /// Name of the model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// The split measured.
    pub split: String,
    /// What was measured on whole pictures.
    pub metrics: RegionMetrics,
}

/// As [`evaluate`], for a package that outlines regions; `None` where it does not.
///
/// # Errors
/// As [`evaluate`].
pub fn regions(model: &Path, data: &Path, split: &str) -> Result<Option<RegionEvaluation>> {
    let package = read_package(model)?;
    if package.manifest.segmentation.is_none() {
        return Ok(None);
    }
    ensure!(SPLITS.contains(&split), "the split \"{split}\" is not one of {}", SPLITS.join(", "));
    let (model, version) = (package.manifest.name.clone(), package.manifest.version.clone());
    let metrics = segment::metrics_of(package, data, split)?;
    Ok(Some(RegionEvaluation { model, version, split: split.to_string(), metrics }))
}

/// As [`evaluate`], for a package of several labels at once or of a number, with its labels; `None` where it is neither.
///
/// # Errors
/// As [`evaluate`].
pub fn outputs(model: &Path, data: &Path, split: &str) -> Result<Option<(Vec<String>, OutputsEvaluation)>> {
    let package = read_package(model)?;
    if package.manifest.outputs.is_none() {
        return Ok(None);
    }
    let labels = package.manifest.labels.clone();
    Ok(Some((labels, image_outputs::evaluate(package, data, split)?)))
}

/// The package in `path`, or in its highest version.
///
/// # Errors
/// No package there, or one that does not fit.
pub fn read_package(path: &Path) -> Result<Package> {
    // The folders above say a package's name and version, also where `path` is relative to one.
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    if path.join(MANIFEST).exists() {
        return Ok(Package::read(&path)?);
    }
    let name = path.file_name().context("--model names no folder")?.to_string_lossy().into_owned();
    let versions = latest(path.parent().unwrap_or(&path))?;
    let folder =
        versions.get(&name).with_context(|| format!("{}: no version of a model here", path.display()))?;
    Ok(Package::read(folder)?)
}
