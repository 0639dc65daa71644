//! `medserve import fhir`: a Bundle, a Bulk Data file (NDJSON), or a folder of them.
//!
//! A Bundle goes in whole or not at all; so do all NDJSON files of a folder together, since one refers to
//! the other. A Bundle that refers to somebody, or to a Medication, in a Bundle that comes later waits for it, in as many
//! rounds as bring something. One that is refused does not keep the others out, but the command fails in the end, as it does
//! where an allergy is left out, where the server that exported the files says in them that something is missing, or where a file
//! or folder is passed over whose name does not say what it holds.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use crate::store::fhir::{BundleError, Wait, is_older, take_in};
use crate::store::{Loaded, Store};
use clinical::fhir::{Bundle, FhirError, Report, Sources, outcome};
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
    /// What the server that exported the files could not do.
    pub failed: Vec<String>,
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
    let Files { bundles, lines, others } = files(path)?;
    for other in &others {
        bar.suspend(|| eprintln!("{}: passed over: {ACCEPTED}", other.display()));
    }
    let mut report = FhirReport::default();
    let mut refused = 0;
    if !lines.is_empty()
        && let Err(error) = import_lines(store, &lines, now, bar, &mut report).await
    {
        refused += 1;
        bar.suspend(|| eprintln!("{}: nothing of its NDJSON was imported: {error:#}", path.display()));
    }
    // Those that miss something wait while others come, at last for people alone and then for nothing.
    let mut waits = [Wait::All, Wait::People, Wait::No].into_iter().peekable();
    let (mut left, mut first) = (bundles, true);
    while let Some(wait) = waits.peek().copied().filter(|_| !left.is_empty()) {
        let mut waiting = Vec::new();
        let before = report.bundles;
        for file in left {
            let text = match read(&file, bar, first) {
                Ok(text) => text,
                Err(error) => {
                    refused += 1;
                    bar.suspend(|| eprintln!("{error:#}: nothing of it was imported"));
                    continue;
                }
            };
            let taken = match Bundle::read(&text) {
                Ok(bundle) => take_in(store, &bundle, now, wait, None).await,
                Err(error) => Err(BundleError::Refused(vec![error])),
            };
            match taken {
                Ok(None) => waiting.push(file),
                Ok(taken) => add(&mut report, taken, &ToString::to_string),
                Err(error) => {
                    refused += 1;
                    bar.suspend(|| eprintln!("{}: nothing of it was imported: {error}", file.display()));
                }
            }
        }
        if report.bundles == before {
            waits.next();
        }
        (left, first) = (waiting, false);
    }
    if refused > 0 {
        bar.suspend(|| println!("{report}"));
        bail!("{refused} Bundles were refused; all NDJSON together counts as one");
    }
    if let Some(first) = report.lost.first() {
        bar.suspend(|| println!("{report}"));
        bail!("{} allergies were left out, the first: {first}", report.lost.len());
    }
    if let Some(first) = report.failed.first() {
        bar.suspend(|| println!("{report}"));
        bail!(
            "the server that exported the files reports {} errors, the first: {first}",
            report.failed.len()
        );
    }
    if !others.is_empty() {
        bar.suspend(|| println!("{report}"));
        bail!("{} files or folders were passed over: {ACCEPTED}", others.len());
    }
    Ok(report)
}

/// All NDJSON of a folder.
async fn import_lines(
    store: &dyn Store,
    files: &[PathBuf],
    now: Millis,
    bar: &ProgressBar,
    report: &mut FhirReport,
) -> Result<()> {
    let (mut all, mut sources) = (Bundle::of(Vec::new()), Sources::default());
    for file in files {
        let text = read(file, bar, true)?;
        let name = file.display().to_string();
        let lines = Bundle::read_lines(&text).with_context(|| name.clone())?;
        for failure in text.lines().filter_map(outcome::failure) {
            bar.suspend(|| eprintln!("{name}: the server reports: {failure}"));
            report.failed.push(format!("{name}: {failure}"));
        }
        sources.append(&mut all, lines, name);
    }
    match take_in(store, &all, now, Wait::No, None).await {
        Err(BundleError::Refused(errors)) if !errors.is_empty() => {
            bail!(sources.in_words(&all, &errors[0]))
        }
        taken => {
            add(report, taken?, &|error| sources.in_words(&all, error));
            Ok(())
        }
    }
}

fn add(
    report: &mut FhirReport,
    taken: Option<(clinical::fhir::Settled, Loaded)>,
    in_words: &dyn Fn(&FhirError) -> String,
) {
    let Some((settled, loaded)) = taken else { return };
    report.bundles += 1;
    report.report.add(&settled);
    let allergies = settled.outcomes.iter().filter(|outcome| outcome.kind == "AllergyIntolerance");
    report.lost.extend(allergies.filter_map(|outcome| match &outcome.error {
        Some(error) => Some(in_words(error)),
        None => {
            is_older(outcome).then(|| format!("{}: an older version than one that came before", outcome.kind))
        }
    }));
    report.loaded.users += loaded.users;
    report.loaded.items += loaded.items;
    report.loaded.interactions += loaded.interactions;
}

/// Reads a file; `first` is whether it counts as progress.
fn read(file: &Path, bar: &ProgressBar, first: bool) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    bar.inc(if first { bytes.len() as u64 } else { 0 });
    String::from_utf8(bytes).ok().with_context(|| format!("{}: is not UTF-8", file.display()))
}

/// What is read of a folder.
const ACCEPTED: &str = "of a folder files are read whose names end in .json (Bundles) or .ndjson (resources one a line); \
                        others, and folders within it, are to be imported by themselves, or moved out of it";

/// The files of a folder, in the order of their names.
#[derive(Default)]
struct Files {
    bundles: Vec<PathBuf>,
    lines: Vec<PathBuf>,
    /// What may hold records and is not read.
    others: Vec<PathBuf>,
}

/// The files of a folder by the ends of their names, small letters or large; or the file.
fn files(path: &Path) -> Result<Files> {
    let kind = |file: &Path| file.extension().map(|kind| kind.to_string_lossy().to_lowercase());
    let mut files = Files::default();
    if !path.is_dir() {
        let of_lines = kind(path).as_deref() == Some("ndjson");
        let own = if of_lines { &mut files.lines } else { &mut files.bundles };
        own.push(path.to_path_buf());
        return Ok(files);
    }
    for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
        let entry = entry?;
        // What an operating system keeps in every folder.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let file = entry.path();
        match kind(&file).as_deref().filter(|_| file.is_file()) {
            Some("json") => files.bundles.push(file),
            Some("ndjson") => files.lines.push(file),
            _ => files.others.push(file),
        }
    }
    for all in [&mut files.bundles, &mut files.lines, &mut files.others] {
        all.sort();
    }
    match files.bundles.is_empty() && files.lines.is_empty() {
        true => bail!("{}: there is no file whose name ends in .json or .ndjson", path.display()),
        false => Ok(files),
    }
}
