//! `train adopt`: a model that others have trained becomes a package: an encoder of texts, or a classifier of images
//! ([`classifier`]).
//!
//! What it is worth elsewhere says little about a hospital's own texts, so it becomes a package only once it
//! was measured on pairs of the hospital's own.

pub mod classifier;
pub mod directory;
pub mod names;
pub mod picture;
pub mod picture_weights;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::directory::Directory;
use crate::about::{AboutOptions, training, unwritten_weights};
use crate::embed::corpus::{Corpus, Members, Row};
use crate::embed::retrieval::table;
use crate::embed::retrieval_of;
use crate::finish::next_version;
use model::manifest::{Architecture, Calibration, FORMAT, Input, Manifest, TextInput, TextPooling};
use model::package::TOKENIZER;
use model::{Package, package};
use text::Embedder;
use text::tokenizer::AdoptedTokenizer;

/// Fewest pairs that say anything.
const FEWEST: usize = 20;

/// How the rows of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PoolingOption {
    /// Their mean
    Mean,
    /// The first, which stands for all
    Cls,
}

/// Settings of `train adopt`.
#[derive(Debug, Clone, clap::Args)]
pub struct AdoptOptions {
    /// Directory with config.json and model.safetensors: of a BERT, DistilBERT, RoBERTa or XLM-R with tokenizer.json, of a
    /// ResNet, ViT or ConvNeXt with preprocessor_config.json
    #[arg(env = "MEDSERVE_ADOPT")]
    pub directory: PathBuf,
    /// The hospital's own data to measure on: of texts pairs, a .jsonl of objects; of images folders val/<label>
    #[arg(long, env = "MEDSERVE_DATA")]
    pub data: PathBuf,
    /// Two members of a line, QUESTION,ANSWER
    #[arg(long, env = "MEDSERVE_PAIRS", default_value = "question,answer")]
    pub pairs: String,
    /// Most pairs that are measured, taken evenly from the file
    #[arg(long, env = "MEDSERVE_EXAMPLES", default_value_t = 1000)]
    pub examples: usize,
    /// Name the model is served under
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// Version of the package; default: one above the highest there is
    #[arg(long, env = "MEDSERVE_VERSION")]
    pub version: Option<u64>,
    /// Folder the package is written under
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// How a text's vector is made; default: as modules.json says, or the mean
    #[arg(long, env = "MEDSERVE_POOLING", value_enum)]
    pub pooling: Option<PoolingOption>,
    /// Most tokens of a text that are read; default: as sentence_bert_config.json says, or as many as there are places
    #[arg(long, env = "MEDSERVE_MAX_TOKENS")]
    pub max_tokens: Option<usize>,
    /// Of images: labels in the order of the network's outputs; default: those of config.json
    #[arg(long, env = "MEDSERVE_LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Of images: share of the validation examples on which the model may abstain
    #[arg(long, env = "MEDSERVE_ABSTAIN_SHARE", default_value_t = 0.01)]
    pub abstain_share: f64,
    #[command(flatten)]
    pub about: AboutOptions,
}

/// Reads, measures and writes a package. Returns its folder and manifest.
///
/// # Errors
/// A directory that cannot be adopted, or data that it cannot be measured on.
pub fn adopt(options: &AdoptOptions) -> Result<(PathBuf, Manifest)> {
    if classifier::is_one(&options.directory) {
        return classifier::adopt(options);
    }
    let pooling = options.pooling.map(|pooling| match pooling {
        PoolingOption::Mean => TextPooling::Mean,
        PoolingOption::Cls => TextPooling::Cls,
    });
    let directory = Directory::read(&options.directory, pooling)?;
    let (question, answer) = options
        .pairs
        .split_once(',')
        .with_context(|| format!("--pairs: \"{}\" is not QUESTION,ANSWER", options.pairs))?;
    let pair = Some((question.to_string(), answer.to_string()));
    let corpus = Corpus::read(&options.data, &Members { pair, ..Members::default() })?;
    let step = corpus.rows.len().div_ceil(options.examples.max(1)).max(1);
    let rows: Vec<&Row> = corpus.rows.iter().step_by(step).collect();
    ensure!(
        rows.len() >= FEWEST,
        "{} pairs are too few to measure a model by; at least {FEWEST} are asked for",
        rows.len()
    );
    let version = options.version.map_or_else(|| next_version(&options.out, &options.name), Ok)?;
    let most = options.max_tokens.unwrap_or(directory.most);
    ensure!(
        (4..=directory.config.positions).contains(&most),
        "--max-tokens is {most}, not from 4 to the {} places that the model knows",
        directory.config.positions
    );
    let mut manifest = describe(options, &directory, &corpus, most, version, rows.len());
    manifest.check().map_err(anyhow::Error::msg)?;
    let (weights, digest) = names::weights(&directory)?;
    let tokenizer = AdoptedTokenizer::parse(&directory.tokenizer)
        .map_err(|e| anyhow::anyhow!("{}/tokenizer.json: {e}", options.directory.display()))?;
    ensure!(
        tokenizer.ids() <= directory.config.vocabulary,
        "{}: tokenizer.json has {} tokens, and the weights have values for {}",
        options.directory.display(),
        tokenizer.ids(),
        directory.config.vocabulary
    );
    manifest.training.settings.insert("model.safetensors sha256".to_string(), json!(digest));
    let mut embedder = Embedder::of_encoder(&directory.config, weights.clone(), tokenizer, most)
        .with_context(|| format!("{}/model.safetensors", options.directory.display()))?;
    eprintln!("measuring on {} pairs of {}", rows.len(), corpus.name);
    manifest.metrics.insert("val".to_string(), retrieval_of(&mut embedder, &rows, &[], 0)?);
    manifest.weights.parameters = package::values(&weights);
    let card = card(&manifest);
    let extra = [(TOKENIZER, directory.tokenizer.clone())];
    let folder = Package::write(&options.out, &mut manifest, &weights, &card, &extra)?;
    Ok((folder, manifest))
}

fn describe(
    options: &AdoptOptions,
    directory: &Directory,
    corpus: &Corpus,
    most: usize,
    version: u64,
    pairs: usize,
) -> Manifest {
    let folder = options.directory.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut settings: BTreeMap<String, Value> = BTreeMap::from([
        ("adopted".to_string(), json!(folder.unwrap_or_default())),
        ("pairs".to_string(), json!(options.pairs)),
    ]);
    for (file, digest) in &directory.sha256 {
        settings.insert(format!("{file} sha256"), json!(digest));
    }
    let examples = BTreeMap::from([("val".to_string(), pairs)]);
    Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options
            .about
            .description_or("Makes vectors of texts by an encoder that others have trained.".to_string()),
        labels: Vec::new(),
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::Text(TextInput { max_tokens: most }),
        segmentation: None,
        generation: None,
        precision: None,
        architecture: Architecture::Encoder(directory.config.clone()),
        exact_convolution: false,
        calibration: Calibration { temperature: 1.0 },
        abstain_below: 0.0,
        likeness: None,
        data: options.about.data(Some(corpus.name.clone()), corpus.sha256.clone(), examples),
        training: training(0, 0, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    }
}

fn card(m: &Manifest) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut text, m);
    text
}

fn write_card(out: &mut String, m: &Manifest) -> std::fmt::Result {
    writeln!(out, "# {}, version {}\n\n{}\n", m.name, m.version, m.description)?;
    writeln!(
        out,
        "This model is no medical device. It was trained by others on texts that are not named here; it says how alike two \
         texts are, and nothing about whether what a text says is true or right for anybody.\n"
    )?;
    if let Architecture::Encoder(config) = &m.architecture {
        writeln!(
            out,
            "An encoder of the family {} with {} layers of width {}, {} values. A text's vector is {} and has length 1.\n",
            config.family,
            config.layers,
            config.width,
            m.weights.parameters,
            match config.pooling {
                TextPooling::Mean => "the mean over its tokens",
                TextPooling::Cls => "that of its first token",
            }
        )?;
    }
    writeln!(out, "## Measured on\n\n{}. {} Licence: {}.\n", m.data.name, m.data.source, m.data.licence)?;
    for (file, digest) in &m.data.sha256 {
        writeln!(out, "- `{file}` sha256 `{digest}`")?;
    }
    writeln!(out, "\n{}", table(m.metrics.iter()))?;
    writeln!(
        out,
        "Each question is asked of all answers measured, and its own is the only right one. BM25 counts words alone; \"both\" \
         adds the two scores.\n\n## Adopted from\n"
    )?;
    for (name, value) in &m.training.settings {
        writeln!(out, "- {name}: `{}`", value.as_str().unwrap_or_default())?;
    }
    Ok(())
}
