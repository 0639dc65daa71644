//! `medserve import fhir`: a Bundle, a Bulk Data file (NDJSON), or a folder of them.
//!
//! A Bundle goes in whole or not at all; so do all NDJSON files of a folder together, since one refers to
//! the other. A Bundle that refers to somebody, or to a Medication, in a Bundle that comes later waits for it. One that is
//! refused does not keep the others out, but the command fails in the end, as it does where an allergy is nobody's.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use crate::store::fhir::take_in;
use crate::store::{Loaded, Store};
use clinical::fhir::{Bundle, Report};
use recommend::Millis;

/// What an import of records did.
#[derive(Debug, Default)]
pub struct FhirReport {
    /// Bundles taken in; all NDJSON together count as one.
    pub bundles: u64,
    /// What they said.
    pub report: Report,
    /// What was written.
    pub loaded: Loaded,
    /// Allergies of which nothing was taken, each with the reason.
    pub lost: Vec<String>,
}

impl fmt::Display for FhirReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Bundles; {}", self.bundles, self.report)?;
        let Loaded { users, items, interactions, .. } = self.loaded;
        for (name, written) in [("users", users), ("items", items), ("interactions", interactions)] {
            write!(
                f,
                "\n{name}: {} created, {} updated, {} unchanged",
                written.created, written.updated, written.unchanged
            )?;
        }
        Ok(())
    }
}

/// Imports what is at the path.
///
/// # Errors
/// What cannot be read; in the end, that Bundles were refused, each having been told on standard error.
pub async fn import_fhir(
    store: &dyn Store,
    path: &Path,
    now: Millis,
    bar: &ProgressBar,
) -> Result<FhirReport> {
    let (bundles, lines): (Vec<PathBuf>, Vec<PathBuf>) =
        files(path)?.into_iter().partition(|file| file.extension().is_none_or(|kind| kind != "ndjson"));
    let mut report = FhirReport::default();
    let mut refused = 0;
    if !lines.is_empty() {
        match import_lines(store, &lines, now, bar).await {
            Ok(taken) => add(&mut report, taken),
            Err(error) => {
                refused += 1;
                bar.suspend(|| {
                    eprintln!("{}: nothing of its NDJSON was imported: {error:#}", path.display())
                });
            }
        }
    }
    let mut queue: VecDeque<(PathBuf, bool)> = bundles.into_iter().map(|file| (file, true)).collect();
    while let Some((file, may_wait)) = queue.pop_front() {
        let text = match read(&file, bar) {
            Ok(text) => text,
            Err(error) => {
                refused += 1;
                bar.suspend(|| eprintln!("{error:#}: nothing of it was imported"));
                continue;
            }
        };
        let taken = match Bundle::read(&text) {
            Ok(bundle) => take_in(store, &bundle, now, may_wait && !queue.is_empty()).await,
            Err(error) => Err(crate::store::fhir::BundleError::Refused(vec![error])),
        };
        match taken {
            Ok(None) => queue.push_back((file, false)),
            Ok(taken) => add(&mut report, taken),
            Err(error) => {
                refused += 1;
                bar.suspend(|| eprintln!("{}: nothing of it was imported: {error}", file.display()));
            }
        }
    }
    if refused > 0 {
        bar.suspend(|| println!("{report}"));
        bail!("{refused} Bundles were refused; all NDJSON together counts as one");
    }
    if let Some(first) = report.lost.first() {
        bar.suspend(|| println!("{report}"));
        bail!("{} allergies were left out, the first: {first}", report.lost.len());
    }
    Ok(report)
}

/// All NDJSON of a folder.
async fn import_lines(
    store: &dyn Store,
    files: &[PathBuf],
    now: Millis,
    bar: &ProgressBar,
) -> Result<Option<(clinical::fhir::Settled, Loaded)>> {
    let mut all = Bundle::of(Vec::new());
    for file in files {
        let text = read(file, bar)?;
        all.append(Bundle::read_lines(&text).with_context(|| file.display().to_string())?);
    }
    Ok(take_in(store, &all, now, false).await?)
}

fn add(report: &mut FhirReport, taken: Option<(clinical::fhir::Settled, Loaded)>) {
    let Some((settled, loaded)) = taken else { return };
    report.bundles += 1;
    report.report.add(&settled);
    let allergies = settled.outcomes.iter().filter(|outcome| outcome.kind == "AllergyIntolerance");
    report.lost.extend(allergies.filter_map(|outcome| outcome.error.as_ref()).map(ToString::to_string));
    report.loaded.users += loaded.users;
    report.loaded.items += loaded.items;
    report.loaded.interactions += loaded.interactions;
}

fn read(file: &Path, bar: &ProgressBar) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    bar.inc(bytes.len() as u64);
    String::from_utf8(bytes).ok().with_context(|| format!("{}: is not UTF-8", file.display()))
}

/// The files of a folder whose names end in .json or .ndjson, in the order of their names; or the file.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
        let file = entry?.path();
        if file.is_file() && file.extension().is_some_and(|kind| kind == "json" || kind == "ndjson") {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => bail!("{}: there is no file whose name ends in .json or .ndjson", path.display()),
        false => Ok(files),
    }
}
