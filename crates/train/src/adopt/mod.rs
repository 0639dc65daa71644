//! `train adopt`: a model that others have trained becomes a package: an encoder of texts, or a classifier of images
//! ([`classifier`]).
//!
//! What it is worth elsewhere says little about a hospital's own texts, so it becomes a package only once it
//! was measured on data of the hospital's own. What it does there is what `config.json` says that it was trained for:
//! vectors of texts ([`vectors`]), labels of notes ([`notes`]) or names in notes ([`entities`]).

pub mod classifier;
pub mod directory;
pub mod entities;
pub mod labels;
pub mod linear;
pub mod names;
pub mod notes;
pub mod onnx;
pub mod picture;
pub mod picture_weights;
pub mod vectors;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use self::directory::{Directory, Head};
use crate::about::{AboutOptions, training, unwritten_weights};
use crate::embed::retrieval;
use crate::extract::measure;
use crate::finish::version;
use crate::{tables, text_precision};
use model::Package;
use model::manifest::{
    Architecture, Calibration, DataSource, FORMAT, Input, Manifest, Task, TextInput, TextPooling,
};
use text::adopted_tokenizer::AdoptedTokenizer;

/// Fewest examples that say anything.
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
    /// Directory with config.json and model.safetensors. With tokenizer.json, of a BERT, DistilBERT, RoBERTa, XLM-R, DeBERTa (2 or 3) or ModernBERT: a
    /// sentence encoder, a ...ForSequenceClassification or a ...ForTokenClassification; with preprocessor_config.json, of a ResNet,
    /// ViT or ConvNeXt that classifies images, or with model.onnx (or the .onnx file itself) of any network that does
    #[arg(env = "MEDSERVE_ADOPT")]
    pub directory: PathBuf,
    /// The hospital's own data to measure on. Of a sentence encoder pairs, a .jsonl of objects, or notes with labels, to which a
    /// head is fitted; of a classifier of notes a folder or a .csv as for train text; of a tagger a folder as for train extract; of
    /// a classifier of images a folder as for train image
    #[arg(long, env = "MEDSERVE_DATA")]
    pub data: PathBuf,
    /// Name the model is served under
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// Version of the package; default: one above the highest there is
    #[arg(long, env = "MEDSERVE_VERSION")]
    pub version: Option<u64>,
    /// Folder the package is written under
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// Most tokens of a text that are read, of a tagger most words; default: as sentence_bert_config.json says, or as many as
    /// there are places, and 16,384 words
    #[arg(long, env = "MEDSERVE_MAX_TOKENS")]
    pub max_tokens: Option<usize>,
    /// Sentence encoder: two members of a line, QUESTION,ANSWER
    #[arg(long, env = "MEDSERVE_PAIRS", default_value = "question,answer")]
    pub pairs: String,
    /// Sentence encoder: most pairs that are measured, taken evenly from the file
    #[arg(long, env = "MEDSERVE_EXAMPLES", default_value_t = 1000)]
    pub examples: usize,
    /// Sentence encoder: how a text's vector is made; default: as modules.json says, or the mean
    #[arg(long, env = "MEDSERVE_POOLING", value_enum)]
    pub pooling: Option<PoolingOption>,
    /// Do not measure what an encoder of texts costs in less than single precision: it is served in that always
    #[arg(long, env = "MEDSERVE_NO_INT8")]
    pub no_int8: bool,
    #[command(flatten)]
    pub head: HeadOptions,
    #[command(flatten)]
    pub about: AboutOptions,
}

/// Settings of a model with a head, which gives labels.
#[derive(Debug, Clone, clap::Args)]
pub struct HeadOptions {
    /// Names of the head's outputs, in their order, in place of those in config.json
    #[arg(long, env = "MEDSERVE_LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// What a label means, LABEL=MEANING; may be given several times, in the environment one a line
    #[arg(long = "label-description", env = "MEDSERVE_LABEL_DESCRIPTION", value_delimiter = '\n')]
    pub label_descriptions: Vec<String>,
    /// Classifier: column of the note
    #[arg(long, env = "MEDSERVE_NOTE_COLUMN", default_value = "note")]
    pub note_column: String,
    /// Classifier: column of the label
    #[arg(long, env = "MEDSERVE_LABEL_COLUMN", default_value = "label")]
    pub label_column: String,
    /// Classifier: column of what is the same in rows that are held out together, such as a patient or a hospital
    #[arg(long, env = "MEDSERVE_GROUP_BY")]
    pub group_by: Option<String>,
    /// Classifier: leave out rows without a label instead of refusing them
    #[arg(long, env = "MEDSERVE_SKIP_UNLABELLED")]
    pub skip_unlabelled: bool,
    /// Classifier: share of the validation examples on which the model may abstain
    #[arg(long, env = "MEDSERVE_ABSTAIN_SHARE", default_value_t = 0.01)]
    pub abstain_share: f64,
    /// Classifier: seed of what is held out
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    /// Tagger: a name is chosen from this probability on, where no other is worth more
    #[arg(long, env = "MEDSERVE_THRESHOLD", default_value_t = 0.33)]
    pub threshold: f32,
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
    let directory = Directory::read(&options.directory, pooling, &options.head.labels)?;
    ensure!(
        pooling.is_none() || matches!(directory.head, Head::None),
        "--pooling is for sentence encoders; this model has a head, which says what is read of a text"
    );
    let (folder, manifest) = match &directory.head {
        // What the data holds says what a model without a head is to become.
        Head::None
            if options.data.is_dir() || options.data.extension().is_some_and(|ending| ending == "csv") =>
        {
            notes::adopt(options, &directory, None)?
        }
        Head::None => vectors::adopt(options, &directory)?,
        Head::Labels(names) => notes::adopt(options, &directory, Some(names))?,
        Head::Tags(tags) => entities::adopt(options, &directory, tags)?,
    };
    let manifest = match options.no_int8 {
        true => manifest,
        false => text_precision::amend(Package::read(&folder)?, &options.data)?,
    };
    Ok((folder, manifest))
}

/// What was measured, as a table for the terminal.
pub fn summary(manifest: &Manifest) -> String {
    let metrics = manifest.metrics.iter();
    match manifest.task() {
        Task::NoteClassification => tables::by_split(&manifest.metrics),
        Task::NoteExtraction => {
            metrics.map(|(split, metrics)| format!("{split}\n\n{}\n", measure::table(metrics))).collect()
        }
        _ => retrieval::table(metrics),
    }
}

/// The tokenizer of a directory.
fn tokenizer(directory: &Directory) -> Result<AdoptedTokenizer> {
    let shown = directory.path.display();
    let tokenizer = AdoptedTokenizer::parse(&directory.tokenizer)
        .map_err(|e| anyhow::anyhow!("{shown}/tokenizer.json: {e}"))?;
    ensure!(
        tokenizer.ids() <= directory.config.vocabulary,
        "{shown}: tokenizer.json has {} tokens, and the weights have values for {}",
        tokenizer.ids(),
        directory.config.vocabulary
    );
    Ok(tokenizer)
}

/// Most tokens of a text that are read at once.
fn most_tokens(options: &AdoptOptions, directory: &Directory) -> Result<usize> {
    let most = options.max_tokens.unwrap_or(directory.most);
    ensure!(
        (4..=directory.config.positions).contains(&most),
        "--max-tokens is {most}, not from 4 to the {} places that the model knows",
        directory.config.positions
    );
    Ok(most)
}

/// The package as far as the directory says it: a model of texts without labels, and without data.
fn describe(options: &AdoptOptions, directory: &Directory) -> Result<Manifest> {
    let version = version(options.version, &options.out, &options.name)?;
    let folder = options.directory.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut settings: BTreeMap<String, Value> =
        BTreeMap::from([("adopted".to_string(), json!(folder.unwrap_or_default()))]);
    for (file, digest) in &directory.sha256 {
        settings.insert(format!("{file} sha256"), json!(digest));
    }
    Ok(Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options.about.description.clone(),
        labels: Vec::new(),
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::Text(TextInput { max_tokens: 1 }),
        outputs: None,
        segmentation: None,
        generation: None,
        precision: None,
        architecture: Architecture::Encoder(directory.config.clone()),
        exact_convolution: false,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        data: DataSource {
            name: String::new(),
            source: String::new(),
            licence: String::new(),
            sha256: BTreeMap::new(),
            examples: BTreeMap::new(),
        },
        training: training(0, 0, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    })
}

/// What the encoder is, and where it came from, for a card.
fn write_origin(out: &mut String, m: &Manifest) -> std::fmt::Result {
    writeln!(out, "## Adopted from\n")?;
    if let Architecture::Encoder(config) = &m.architecture {
        writeln!(
            out,
            "An encoder of the family {} with {} layers of width {}, {} values, trained by others on texts that are not named \
             here; no weight was changed.\n",
            config.family, config.layers, config.width, m.weights.parameters
        )?;
    }
    for (name, value) in &m.training.settings {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        writeln!(out, "- {name}: `{shown}`")?;
    }
    Ok(())
}
