//! Probabilities of names that mean what they say.
//!
//! A chain's probabilities are exact under its weights, which were fitted to the training texts and so promise too much or
//! too little elsewhere. On development texts, which the weights have not seen, every name that is found is right or wrong;
//! by that each label's probabilities are corrected ([`NameCalibration`]). Which names are found does not change. What is
//! measured on the development texts is measured crosswise, each half corrected by what the other says.
//!
//! A package that was fitted once more on development texts has none that it has not seen: for such one the fit on the
//! training texts alone is made again, with what the package knows besides its weights, and thrown away.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::corpus::Corpus;
use super::fitting::{Fitting, Marked, fit as fit_tagger, marked, relation_names};
use super::measure::{answers, calibration_error, measure, relation_labels};
use super::owlqn::Penalty;
use super::texts_of;
use crate::finish::amend as rewrite;
use model::manifest::{Architecture, CrfConfig, NameCalibration};
use model::{Manifest, Package};
use text::Tagger;
use text::tagger::Found;
use text::tagger::lexicon::Lexicons;

/// Texts that follow each other are on the same side of a crosswise measurement.
const TOGETHER: usize = 50;

/// The texts of a split of one corpus, and what was found in them.
pub struct Answered {
    /// Name of the corpus.
    pub name: String,
    /// Its texts.
    pub texts: Vec<Marked>,
    /// One answer a text.
    pub found: Vec<Found>,
}

/// What a tagger finds in a split of each corpus that has it.
pub fn answered(tagger: &Tagger, labels: &[String], corpora: &[Corpus], split: &str) -> Vec<Answered> {
    let of = |corpus: &Corpus| {
        let one = std::slice::from_ref(corpus);
        let texts = marked(one, &[split], labels, &Lexicons::default());
        let found = answers(tagger, &texts_of(one, &[split]));
        Answered { name: corpus.name.clone(), texts, found }
    };
    corpora.iter().filter(|corpus| corpus.splits.contains_key(split)).map(of).collect()
}

/// What corrects the probabilities of each label's names; names of labels that a text's source does not mark say nothing.
pub fn fit<'a>(
    labels: usize,
    answers: impl Iterator<Item = (&'a Marked, &'a Found)>,
) -> Vec<NameCalibration> {
    let mut seen = vec![Vec::new(); labels];
    for (text, found) in answers {
        for entity in found.entities.iter().filter(|entity| text.known[entity.span.label]) {
            seen[entity.span.label].push((entity.probability, text.spans.contains(&entity.span)));
        }
    }
    seen.iter().map(|seen| NameCalibration::fit(seen)).collect()
}

/// What corrects the probabilities of each relation's pairs, of which both names are right: it is given that they are.
pub fn fit_relations<'a>(
    relations: &[String],
    answers: impl Iterator<Item = (&'a Marked, &'a Found)>,
) -> Vec<NameCalibration> {
    seen_pairs(relations, answers).iter().map(|seen| NameCalibration::fit(seen)).collect()
}

/// Of each relation the pairs that were found, of two right names: how probable they were, and whether they were right.
fn seen_pairs<'a>(
    relations: &[String],
    answers: impl Iterator<Item = (&'a Marked, &'a Found)>,
) -> Vec<Vec<(f64, bool)>> {
    let mut seen = vec![Vec::new(); relations.len()];
    for (text, found) in answers {
        for link in &found.links {
            let place = |of: usize| text.spans.iter().position(|span| *span == found.entities[of].span);
            let (Some(from), Some(to)) = (place(link.from), place(link.to)) else { continue };
            let label = &relations[link.relation];
            let right = text.relations.iter().any(|of| (of.0, of.1, &of.2) == (from, to, label));
            seen[link.relation].push((link.probability, right));
        }
    }
    seen
}

/// The expected calibration error of each relation's pairs of two right names, and the same after each half of the texts was
/// corrected by what the other says.
pub fn relation_errors(relations: &[String], texts: &[Marked], found: &[Found]) -> Vec<(f64, f64)> {
    let of_side = |side: usize| {
        let pairs =
            texts.iter().zip(found).enumerate().filter(move |(place, _)| place / TOGETHER % 2 == side);
        seen_pairs(relations, pairs.map(|(_, pair)| pair))
    };
    let sides = [of_side(0), of_side(1)];
    let error = |relation: usize| {
        let mut before = Vec::new();
        let mut after = Vec::new();
        for side in 0..2 {
            let by = NameCalibration::fit(&sides[1 - side][relation]);
            for (probability, right) in &sides[side][relation] {
                before.push((*probability, *right));
                after.push((by.apply(*probability), *right));
            }
        }
        (calibration_error(&before), calibration_error(&after))
    };
    (0..relations.len()).map(error).collect()
}

/// What corrects probabilities by all that was answered.
pub fn fit_all(labels: usize, answered: &[Answered]) -> Vec<NameCalibration> {
    fit(labels, answered.iter().flat_map(|of| of.texts.iter().zip(&of.found)))
}

/// The same of each relation's pairs.
pub fn fit_all_relations(relations: &[String], answered: &[Answered]) -> Vec<NameCalibration> {
    fit_relations(relations, answered.iter().flat_map(|of| of.texts.iter().zip(&of.found)))
}

/// Says how far the probabilities of each relation are from what was seen.
pub fn report(relations: &[String], of: &Answered) {
    for (label, (before, after)) in relations.iter().zip(relation_errors(relations, &of.texts, &of.found)) {
        eprintln!("{label}, both names right: expected calibration error {before:.4}, corrected {after:.4}");
    }
}

/// What was found, corrected.
pub fn corrected(found: &[Found], by: &[NameCalibration]) -> Vec<Found> {
    let mut found = found.to_vec();
    found.iter_mut().for_each(|found| found.correct(by));
    found
}

/// The same, each text by what those on the other side say.
pub fn crossed(labels: usize, texts: &[Marked], found: &[Found]) -> Vec<Found> {
    let side = |place: usize| place / TOGETHER % 2;
    let by = [0, 1].map(|own| {
        let others = texts.iter().zip(found).enumerate().filter(|(place, _)| side(*place) != own);
        fit(labels, others.map(|(_, pair)| pair))
    });
    let mut found = found.to_vec();
    found.iter_mut().enumerate().for_each(|(place, found)| found.correct(&by[side(place)]));
    found
}

/// Gives a finished package what corrects its names' probabilities, by the development texts of the data that it was trained
/// on; weights, and which names are found, stay.
///
/// # Errors
/// A package of another kind, or other data; what the file system says.
pub fn amend(package: Package, data: &[PathBuf], stop: &AtomicBool) -> Result<Manifest> {
    let Package { folder, mut manifest, weights, mut card } = package;
    let Architecture::Crf(config) = manifest.architecture.clone() else {
        bail!("the model \"{}\" finds no names by a chain", manifest.name)
    };
    let corpora: Vec<Corpus> = data.iter().map(|folder| Corpus::read(folder)).collect::<Result<_>>()?;
    is_own(&manifest, &corpora, data)?;
    let labels = manifest.labels.clone();
    let mut tagger = Tagger::read(&config, &labels, weights)?;
    if manifest.training.settings.get("refit") == Some(&Value::Bool(true)) {
        eprintln!("fitting to the training texts alone, by which development texts are new");
        tagger = again(&manifest, &config, &tagger, &corpora, stop)?;
    }
    let dev = answered(&tagger, &labels, &corpora, "dev");
    ensure!(!dev.is_empty(), "the data has no development texts");
    let relations = relation_labels(&config);
    for of in &dev {
        let name = if corpora.len() == 1 { "dev".to_string() } else { format!("dev, {}", of.name) };
        let found = crossed(labels.len(), &of.texts, &of.found);
        let metrics = measure(&labels, &relations, &of.texts, &found);
        let before = measure(&labels, &relations, &of.texts, &of.found).ece;
        eprintln!("{name}: expected calibration error {before:.4}, corrected {:.4}", metrics.ece);
        report(&relations, of);
        let Some(known) = manifest.metrics.get_mut(&name) else { continue };
        card = restated(&card, &name, known.ece, metrics.ece);
        known.ece = metrics.ece;
    }
    let before = paragraph(&manifest);
    manifest.calibration.names = fit_all(labels.len(), &dev);
    manifest.calibration.relations = fit_all_relations(&relations, &dev);
    let after = paragraph(&manifest);
    card = match !before.is_empty() && card.contains(&before) {
        true => card.replacen(&before, &after, 1),
        false => card.replacen("## Data\n", &format!("{after}## Data\n"), 1),
    };
    rewrite(&folder, &manifest, &card, &[])?;
    Ok(manifest)
}

/// Refuses data whose training and development texts are not those of the package; texts to test on may be new.
fn is_own(manifest: &Manifest, corpora: &[Corpus], data: &[PathBuf]) -> Result<()> {
    let found =
        |name: &String, digest: &String| corpora.iter().any(|corpus| corpus.sha256.get(name) == Some(digest));
    let shown: Vec<String> = data.iter().map(|folder| folder.display().to_string()).collect();
    match manifest.data.sha256.iter().find(|(name, digest)| !found(name, digest)) {
        Some((name, _)) => bail!(
            "{} is not the data that the model \"{}\" was trained on: {name} is missing or another",
            shown.join(", "),
            manifest.name
        ),
        None => Ok(()),
    }
}

/// The tagger as it was before it was fitted to development texts as well.
fn again(
    manifest: &Manifest,
    config: &CrfConfig,
    tagger: &Tagger,
    corpora: &[Corpus],
    stop: &AtomicBool,
) -> Result<Tagger> {
    let setting = |name: &str| {
        let value = manifest.training.settings.get(name);
        value.and_then(Value::as_f64).with_context(|| format!("the manifest has no setting \"{name}\""))
    };
    let fitting = Fitting {
        penalty: Penalty {
            l1: setting("l1")?,
            l2: setting("l2")?,
            iterations: setting("iterations")? as usize,
            tolerance: super::TOLERANCE,
        },
        least: setting("least_tokens")? as u32,
        threshold: config.threshold,
    };
    let texts = marked(corpora, &["train"], &manifest.labels, tagger.lexicons());
    let relations = relation_names(corpora);
    let fitted = fit_tagger(&texts, &manifest.labels, &relations, tagger.lexicons(), &fitting, stop);
    ensure!(!stop.load(std::sync::atomic::Ordering::Relaxed), "stopped; nothing was written");
    Ok(fitted)
}

/// The card's sentence on the calibration error of a split with another figure.
fn restated(card: &str, split: &str, before: f64, after: f64) -> String {
    let (old, new) = (sentence(before), sentence(after));
    let Some(at) = card.find(&format!("On {split}, ")) else { return card.to_string() };
    let (head, tail) = card.split_at(at);
    format!("{head}{}", tail.replacen(&old, &new, 1))
}

/// What a card says of a split's calibration error.
pub fn sentence(ece: f64) -> String {
    format!("Expected calibration error of the names' probabilities, over 15 bins: {ece:.4}.")
}

/// What a card says of how probabilities are corrected; nothing where they are not.
pub fn paragraph(manifest: &Manifest) -> String {
    let names = &manifest.calibration.names;
    if names.is_empty() {
        return String::new();
    }
    let each = manifest.labels.iter().zip(names);
    let each = each.map(|(label, of)| format!("`{label}` {:.3} and {:+.3}", of.slope, of.offset));
    format!(
        "Probabilities of names are corrected by how often names were right in the development texts, found by a fit that had not \
         seen them: log-odds are multiplied by a slope, and an offset is added ({}). Which names are found does not depend on \
         it. The calibration error on development texts is measured crosswise, each half corrected by what the other half says.\n\n",
        each.collect::<Vec<_>>().join(", ")
    ) + &relation_paragraph(manifest)
}

/// The same of relations.
fn relation_paragraph(manifest: &Manifest) -> String {
    let (Architecture::Crf(config), of) = (&manifest.architecture, &manifest.calibration.relations) else {
        return String::new();
    };
    if of.is_empty() {
        return String::new();
    }
    let each = config.relations.iter().zip(of);
    let each =
        each.map(|(relation, of)| format!("`{}` {:.3} and {:+.3}", relation.label, of.slope, of.offset));
    format!(
        "Probabilities of relations are corrected alike, by the pairs of which both names were right ({}).\n\n",
        each.collect::<Vec<_>>().join(", ")
    )
}

/// Whether `train calibrate` corrects the names of a package by this module.
pub fn is_for(manifest: &Manifest) -> bool {
    matches!(manifest.architecture, Architecture::Crf(_))
}

/// The one folder that other kinds of packages are calibrated with.
///
/// # Errors
/// There are several.
pub fn only(data: &[PathBuf]) -> Result<&Path> {
    match data {
        [one] => Ok(one),
        _ => bail!("--data names {} data sets; this model was trained on one", data.len()),
    }
}
