//! `train extract`: marked texts in, a package out that finds names in notes.
//!
//! Several folders may be given: one model is fitted on all of them, and where a folder does not mark
//! some label, its texts say nothing of that label, neither that a word is such a name nor that it is
//! none.

pub mod confidence;
pub mod corpus;
pub mod fitting;
pub mod knowledge;
pub mod measure;
pub mod objective;
pub mod owlqn;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use self::corpus::Corpus;
use self::fitting::{Fitting, fit, marked, relation_names};
use self::measure::{measure, relation_labels, table, write_splits};
use self::owlqn::Penalty;
use super::adopt;
use super::card::noticed;
use super::evaluate::Evaluation;
use super::finish::{STOPPED, version};
use super::label_names::check_distinct;
use crate::about::{AboutOptions, meanings, training, unwritten_weights};
use model::manifest::{Architecture, Calibration, FORMAT, Input, Manifest, TextInput};
use model::{Package, package};
use text::Tagger;
use text::tagger::lexicon::Lexicons;

/// Below this relative change of what is made least a fit ends.
const TOLERANCE: f64 = 2e-4;

/// Settings of `train extract`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExtractOptions {
    /// Data set: a folder with train, dev and, if there is one, test, each .tsv (IOB) or .jsonl; several, with commas
    /// between them, are learned together
    #[arg(long, env = "MEDSERVE_DATA", value_delimiter = ',', required = true)]
    pub data: Vec<PathBuf>,
    /// Name the model is served under
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// Version of the package; default: one above the highest there is
    #[arg(long, env = "MEDSERVE_VERSION")]
    pub version: Option<u64>,
    /// Folder the package is written under
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// Lists of names that the tagger may know, NAME=FILE.txt, NAME=FILE.csv:COLUMN, NAME=FILE.jsonl:MEMBER or
    /// NAME=FOLDER:LABEL of other marked texts
    #[arg(long, env = "MEDSERVE_NAMES", value_delimiter = ',')]
    pub names: Vec<String>,
    /// Plain texts (.txt, .jsonl, .tsv) from which classes of words used alike are learned; best other than those to learn from
    #[arg(long, env = "MEDSERVE_PLAIN", value_delimiter = ',')]
    pub plain: Vec<PathBuf>,
    /// Penalty on the sizes of the weights
    #[arg(long, env = "MEDSERVE_L1", default_value_t = 0.05)]
    pub l1: f64,
    /// Penalty on their squares
    #[arg(long, env = "MEDSERVE_L2", default_value_t = 0.4)]
    pub l2: f64,
    /// Most iterations
    #[arg(long, env = "MEDSERVE_ITERATIONS", default_value_t = 100)]
    pub iterations: usize,
    /// Least number of training tokens that have a feature
    #[arg(long, env = "MEDSERVE_LEAST_TOKENS", default_value_t = 1)]
    pub least_tokens: u32,
    /// A name is chosen from this probability on, where no other is worth more
    #[arg(long, env = "MEDSERVE_THRESHOLD", default_value_t = 0.33)]
    pub threshold: f32,
    /// Most tokens of a note that are read
    #[arg(long, env = "MEDSERVE_MAX_TOKENS", default_value_t = 16_384)]
    pub max_tokens: usize,
    /// After measuring, fit once more with the same settings on training and development texts together
    #[arg(long, env = "MEDSERVE_REFIT")]
    pub refit: bool,
    /// Seed of everything random
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    /// What a label means, LABEL=MEANING; may be given several times, in the environment one a line
    #[arg(long = "label-description", env = "MEDSERVE_LABEL_DESCRIPTION", value_delimiter = '\n')]
    pub label_descriptions: Vec<String>,
    #[command(flatten)]
    pub about: AboutOptions,
}

/// Trains and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit.
pub fn train(options: &ExtractOptions, stop: &AtomicBool) -> Result<(PathBuf, Manifest)> {
    ensure!(options.l1 >= 0.0 && options.l2 >= 0.0, "--l1 and --l2 are not below 0");
    ensure!(options.iterations > 0, "--iterations is 0, not 1 or more");
    let corpora: Vec<Corpus> =
        options.data.iter().map(|folder| Corpus::read(folder)).collect::<Result<_>>()?;
    let labels: Vec<String> = corpora
        .iter()
        .flat_map(|corpus| &corpus.labels)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .cloned()
        .collect();
    check_distinct(&labels)?;
    let relations = relation_names(&corpora);
    let version = version(options.version, &options.out, &options.name)?;
    let mut manifest = describe(options, &corpora, &labels, version)?;
    manifest.check().map_err(anyhow::Error::msg)?;
    let mut lists = Vec::new();
    for given in &options.names {
        lists.extend(knowledge::lists(given)?);
    }
    let (list_names, lists): (Vec<String>, Vec<_>) = lists.into_iter().unzip();
    // Of other texts than those to learn from: a class that every word of the training texts has, and
    // hardly any new word, would be trusted too much.
    let classes = knowledge::classes(&plain(options)?, options.seed);
    let lexicons = Lexicons { lists, classes };
    let fitting = Fitting {
        penalty: Penalty {
            l1: options.l1,
            l2: options.l2,
            iterations: options.iterations,
            tolerance: TOLERANCE,
        },
        least: options.least_tokens,
        threshold: options.threshold,
    };
    eprintln!("labels {}; relations {}", labels.join(", "), listed(&relations));
    let mut tagger = fit(
        &marked(&corpora, &["train"], &labels, &lexicons),
        &labels,
        &relations,
        &lexicons,
        &fitting,
        stop,
    );
    let stopped = || stop.load(Ordering::Relaxed);
    let warnings: Vec<String> = corpora.iter().flat_map(Corpus::shared).collect();
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let mut notes = noticed(&warnings);
    let dev = confidence::answered(&tagger, &labels, &corpora, "dev");
    if !dev.is_empty() {
        manifest.calibration.names = confidence::fit_all(labels.len(), &dev);
        manifest.calibration.relations = confidence::fit_all_relations(&relations, &dev);
        dev.iter().for_each(|of| confidence::report(&relations, of));
    }
    let test = confidence::answered(&tagger, &labels, &corpora, "test");
    for (split, of) in dev.iter().map(|of| ("dev", of)).chain(test.iter().map(|of| ("test", of))) {
        let name = if corpora.len() == 1 { split.to_string() } else { format!("{split}, {}", of.name) };
        let found = match split {
            "dev" => confidence::crossed(labels.len(), &of.texts, &of.found),
            _ => confidence::corrected(&of.found, &manifest.calibration.names),
        };
        let metrics = measure(&labels, &relations, &of.texts, &found);
        eprintln!("{name}\n{}", table(&metrics));
        manifest.metrics.insert(name, metrics);
    }
    if options.refit && !stopped() {
        let both = ["train", "dev"];
        let again =
            fit(&marked(&corpora, &both, &labels, &lexicons), &labels, &relations, &lexicons, &fitting, stop);
        if !stopped() {
            tagger = again;
            notes += "## Fitted twice\n\nThe figures above are of a model fitted on the training texts alone. The weights \
                      in this package were then fitted once more, with the same settings, on training and development \
                      texts together.\n";
        }
    }
    if stopped() {
        notes += STOPPED;
    }
    let config = tagger.config(&labels, &list_names, &relations);
    manifest.architecture = Architecture::Crf(config);
    let weights = tagger.tensors()?;
    manifest.weights.parameters = package::values(&weights);
    let card = card(&manifest, &notes);
    let folder = Package::write(&options.out, &mut manifest, &weights, &card, &[])?;
    Ok((folder, manifest))
}

/// Measures a package on a split of `data`.
///
/// # Errors
/// Data that cannot be read or lacks the split; labels that the model does not have.
pub fn evaluate(package: Package, data: &Path, split: &str) -> Result<Evaluation> {
    let corpus = match &package.manifest.architecture {
        Architecture::Crf(_) => Corpus::read(data)?,
        _ => Corpus::read_to_measure(data)?,
    };
    let split = if split == "val" { "dev" } else { split };
    ensure!(corpus.splits.contains_key(split), "{}: no split \"{split}\"", data.display());
    let labels = &package.manifest.labels;
    if let Some(stranger) = corpus.labels.iter().find(|label| !labels.contains(label)) {
        bail!("the label \"{stranger}\" is none of {}", labels.join(", "))
    }
    let metrics = match &package.manifest.architecture {
        Architecture::Crf(config) => {
            let tagger = Tagger::read(config, labels, package.weights)?;
            let relations = relation_labels(config);
            let mut of = confidence::answered(&tagger, labels, std::slice::from_ref(&corpus), split);
            let of = of.pop().with_context(|| format!("no split \"{split}\""))?;
            let found = confidence::corrected(&of.found, &package.manifest.calibration.names);
            measure(labels, &relations, &of.texts, &found)
        }
        _ => adopt::entities::measured_as_served(&package, &corpus, split)?,
    };
    let manifest = package.manifest;
    let Manifest { name: model, version, labels, .. } = manifest;
    Ok(Evaluation { model, version, split: split.to_string(), labels, metrics, with_red_flags: None })
}

fn texts_of(corpora: &[Corpus], splits: &[&str]) -> Vec<String> {
    let samples =
        corpora.iter().flat_map(|corpus| splits.iter().filter_map(|split| corpus.splits.get(*split)));
    samples.flatten().map(|sample| sample.text.clone()).collect()
}

fn plain(options: &ExtractOptions) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for file in &options.plain {
        texts.extend(knowledge::plain(file)?);
    }
    Ok(texts)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}

/// The package as far as it is known before training.
fn describe(
    options: &ExtractOptions,
    corpora: &[Corpus],
    labels: &[String],
    version: u64,
) -> Result<Manifest> {
    let mut examples: BTreeMap<String, usize> = BTreeMap::new();
    for (split, samples) in corpora.iter().flat_map(|corpus| &corpus.splits) {
        *examples.entry(split.clone()).or_default() += samples.len();
    }
    let given = options.label_descriptions.iter().filter(|given| !given.trim().is_empty());
    let meanings = meanings(given)?;
    let settings: [(&str, Value); 7] = [
        ("l1", json!(options.l1)),
        ("l2", json!(options.l2)),
        ("least_tokens", json!(options.least_tokens)),
        ("iterations", json!(options.iterations)),
        ("refit", json!(options.refit)),
        ("names", json!(options.names.iter().map(|given| file_name(given)).collect::<Vec<_>>())),
        (
            "plain",
            json!(options.plain.iter().map(|file| file_name(&file.to_string_lossy())).collect::<Vec<_>>()),
        ),
    ];
    let names = corpora.iter().map(|corpus| corpus.name.clone()).collect::<Vec<_>>().join(" and ");
    Ok(Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options.about.description_or(format!("Finds names in notes: {}.", labels.join(", "))),
        labels: labels.to_vec(),
        label_descriptions: meanings,
        ordinal: None,
        input: Input::Text(TextInput { max_tokens: options.max_tokens }),
        outputs: None,
        segmentation: None,
        generation: None,
        architecture: Architecture::Crf(model::manifest::CrfConfig {
            features: 0,
            threshold: options.threshold,
            lists: Vec::new(),
            classes: 0,
            relations: Vec::new(),
        }),
        exact_convolution: false,
        precision: None,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        data: options.about.data(
            Some(names),
            corpora.iter().flat_map(|corpus| corpus.sha256.clone()).collect(),
            examples,
        ),
        training: training(
            options.seed,
            options.iterations,
            settings.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        ),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    })
}

/// What was given without its folders, which are nobody's business in a card.
fn file_name(given: &str) -> String {
    let (name, file) = given.split_once('=').map_or(("", given), |(name, file)| (name, file));
    let file = file.rsplit('/').next().unwrap_or(file);
    if name.is_empty() { file.to_string() } else { format!("{name}={file}") }
}

/// The model card (Mitchell et al. 2019).
fn card(manifest: &Manifest, notes: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut text, manifest, notes);
    text
}

fn write_card(out: &mut String, m: &Manifest, notes: &str) -> std::fmt::Result {
    writeln!(out, "# {}, version {}\n\n{}\n", m.name, m.version, m.description)?;
    writeln!(
        out,
        "This model is no medical device and what it finds is no diagnosis. It was measured on the texts named here, \
         which are English and mostly sentences of journals, not notes of a ward; on other texts it will miss more.\n"
    )?;
    writeln!(out, "## Answers\n")?;
    for label in &m.labels {
        let meaning = m.label_descriptions.get(label).map_or(String::new(), |meaning| format!(": {meaning}"));
        writeln!(out, "- `{label}`{meaning}")?;
    }
    if let Architecture::Crf(config) = &m.architecture {
        for relation in &config.relations {
            writeln!(out, "- relation `{}` from `{}` to `{}`", relation.label, relation.from, relation.to)?;
        }
        writeln!(
            out,
            "\nA name's probability is its exact marginal under the chain. Chosen are the names, none over another, \
             whose probabilities less {} sum to the most. `negated`, `speculated`, `historical` and `subject` come from rules \
             over English cue phrases, not from training. A relation's probability is that the two belong together, given that both names are right.\n",
            config.threshold
        )?;
    }
    out.push_str(&confidence::paragraph(m));
    crate::card::write_data(out, m, "Texts")?;
    writeln!(out, "\n## Metrics\n\nA name is right where its beginning, its end and its label are.\n")?;
    write_splits(out, m)?;
    writeln!(
        out,
        "## Training\n\nA linear-chain conditional random field, {} values, by {}.\n",
        m.weights.parameters, m.training.program
    )?;
    for (name, value) in &m.training.settings {
        writeln!(out, "- {name}: `{value}`")?;
    }
    if !notes.is_empty() {
        writeln!(out, "\n{}", notes.trim_end())?;
    }
    Ok(())
}
