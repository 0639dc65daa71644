//! `train text`: a data set in, a package out; and what a package says of a split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::bag::{BagOptions, Labelled, train_bag};
use super::field_dropout::FieldDropout;
use super::finish::{Answers, Finished, finish};
use super::fit::{Epoch, Examples, FitOptions, Session, fit, predict};
use super::notes::NoteSource;
use super::text_options::{Arch, TextOptions};
use crate::model::calibration::{fit_temperature, negative_log_likelihood};
use crate::model::manifest::{
    Architecture, BagConfig, Calibration, DataSource, FORMAT, Input, LstmConfig, Manifest, NGrams, Ordinal,
    RecordInput, Training, TransformerConfig, Weights,
};
use crate::model::package::{TOKENIZER, WEIGHTS};
use crate::nn::{Network, Params, random};
use crate::text::encoder::Example;
use crate::text::{Encoder, Record, Tokenizer, network};

/// Records a forward pass takes while measuring.
const EVALUATION_BATCH: usize = 64;
/// Tokens of a bag's tokenizer, which only counts them and normalises the note.
const BAG_VOCABULARY: usize = 2048;
/// What the card says of a model whose last fit had the validation records too.
const REFIT: &str = "## Fitted twice\n\nThe figures above are of a model fitted on the training records alone. The weights in this package \
                     were then fitted once more, with the same settings, on training and validation records together, \
                     so measuring them on validation would flatter them.\n";
/// A bag reads notes of any length; this bounds the work on one.
const BAG_TOKENS: usize = 1 << 16;

/// Trains and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit, a run that diverged.
pub fn train(options: &TextOptions, stop: &AtomicBool) -> Result<(PathBuf, Manifest)> {
    let source = NoteSource::read(
        &options.data,
        &options.note_column,
        &options.label_column,
        &options.fields,
        options.seed,
    )?;
    if source.blank > 0 {
        eprintln!("left out {} rows whose note is blank", source.blank);
    }
    let ordinal = ordinal(options, &source.labels)?;
    let version = options.version()?;
    let archs = match options.arch {
        Arch::Auto => vec![Arch::Bag, Arch::Lstm, Arch::Transformer],
        one => vec![one],
    };
    let mut notes = String::new();
    if archs.len() > 1 {
        notes += "## Architectures tried\n\nChosen by the negative log likelihood on validation, each at its own temperature.\n\n\
                  | architecture | negative log likelihood | accuracy |\n|---|---|---|\n";
    }
    let mut best: Option<(f64, Candidate)> = None;
    for arch in &archs {
        let candidate = candidate(*arch, options, &source, ordinal.is_some(), stop)
            .with_context(|| format!("training the architecture \"{}\"", arch.as_str()))?;
        let val = &candidate.splits["val"];
        let temperature = fit_temperature(&val.logits, &val.truth);
        let loss = negative_log_likelihood(&val.logits, &val.truth, temperature);
        if archs.len() > 1 {
            let line = format!("| {} | {loss:.4} | {:.4} |\n", arch.as_str(), accuracy(val));
            eprint!("{line}");
            notes += &line;
        }
        if best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
            best = Some((loss, candidate));
        }
    }
    let (_, candidate) = best.context("no architecture to train")?;
    let Candidate { input, architecture, tokenizer, weights, refit, settings, calibration, splits, history } =
        candidate;
    if refit {
        notes += REFIT;
    }
    let epochs = history.len();
    let manifest = describe(options, &source, ordinal, input, architecture, version, settings, epochs)?;
    let json = tokenizer.to_json().map_err(|e| anyhow!(e))?;
    let finished = Finished {
        manifest,
        weights,
        calibration,
        splits,
        abstain_share: options.abstain_share,
        history,
        notes,
        extra: vec![(TOKENIZER, json.into_bytes())],
    };
    finish(finished, &options.out)
}

/// What the network of a package says of one split of `data`.
///
/// # Errors
/// A package or data that cannot be read, or labels that are not the model's.
pub fn answers_of(package: crate::model::Package, data: &Path, split: &str) -> Result<(Manifest, Answers)> {
    let manifest = package.manifest;
    let Input::Record(input) = &manifest.input else {
        bail!("the model \"{}\" does not read notes", manifest.name)
    };
    let column = |name: &str, default: &str| -> String {
        let known = manifest.training.settings.get(name).and_then(Value::as_str);
        known.unwrap_or(default).to_string()
    };
    let (note, label) = (column("note_column", "note"), column("label_column", "label"));
    let records = NoteSource::read_split(data, split, (&note, &label), &input.fields, &manifest.labels)?;
    ensure!(!records.is_empty(), "the split \"{split}\" has no records");
    let tokenizer = Tokenizer::read(&package.folder, &manifest.architecture)?;
    let encoder = Encoder::new(input.clone(), &manifest.architecture, tokenizer);
    let mut params = Params::frozen(package.weights);
    let network = network::build(&manifest.architecture, input, manifest.labels.len(), &mut params)?;
    params.finish()?;
    let set = NoteSet::new(&encoder, &records, FieldDropout::new(&[], 0.0))?;
    let answers = answers(network.as_ref(), &set)?;
    Ok((manifest, answers))
}

/// One architecture, trained.
struct Candidate {
    input: RecordInput,
    architecture: Architecture,
    tokenizer: Tokenizer,
    weights: BTreeMap<String, candle_core::Tensor>,
    /// The weights are of a fit on training and validation records, the answers of one on
    /// training records alone.
    refit: bool,
    settings: BTreeMap<String, Value>,
    calibration: Answers,
    splits: BTreeMap<String, Answers>,
    history: Vec<Epoch>,
}

fn candidate(
    arch: Arch,
    options: &TextOptions,
    source: &NoteSource,
    ordinal: bool,
    stop: &AtomicBool,
) -> Result<Candidate> {
    let vocabulary = if arch == Arch::Bag { BAG_VOCABULARY } else { options.vocabulary };
    let notes = source.splits["train"].iter().map(|(record, _)| record.note.as_str());
    let tokenizer = Tokenizer::train(notes, vocabulary).map_err(|e| anyhow!(e))?;
    let max_tokens = if arch == Arch::Bag { BAG_TOKENS } else { options.max_tokens };
    let input = RecordInput { max_tokens, fields: source.fields.clone() };
    let architecture = architecture(arch, options, tokenizer.vocabulary())?;
    let encoder = Encoder::new(input.clone(), &architecture, tokenizer.clone());
    let field_dropout = FieldDropout::new(&source.fields, options.field_dropout);
    let mut sets = BTreeMap::new();
    for (split, records) in &source.splits {
        sets.insert(split.clone(), NoteSet::new(&encoder, records, field_dropout.clone())?);
    }
    let labels = source.labels.len();
    let mut refitted = None;
    let (architecture, weights, settings, unseen, history) = match &architecture {
        Architecture::Bag(config) => {
            let fitting = bag_options(options, config, field_dropout, ordinal);
            let (train, val) = (&sets["train"].records, &sets["val"].records);
            let trained = train_bag(train, val, labels, &fitting, stop)?;
            let architecture = Architecture::Bag(trained.config);
            refitted = trained.refitted;
            (architecture, trained.weights, trained.settings, Some(trained.unseen), trained.history)
        }
        _ => {
            let mut params = Params::fresh(options.seed);
            let network = network::build(&architecture, &input, labels, &mut params)?;
            let fit_options = fit_options(arch, options);
            // Several architectures share no checkpoint.
            let checkpoint = options.out.join(&options.name).join(format!(".{}.checkpoint", arch.as_str()));
            let session =
                Session { stop, checkpoint: Some(checkpoint), resume: options.resume, progress: true };
            let (train, val) = (&sets["train"], &sets["val"]);
            let history = fit(network.as_ref(), &params, train, val, labels, &fit_options, &session)?;
            session.close()?;
            let settings = match serde_json::to_value(&fit_options)? {
                Value::Object(members) => members.into_iter().collect(),
                _ => BTreeMap::new(),
            };
            (architecture.clone(), params.snapshot()?, settings, None, history)
        }
    };
    let mut params = Params::frozen(weights.clone());
    let network = network::build(&architecture, &input, labels, &mut params)?;
    let mut splits = BTreeMap::new();
    for (split, set) in &sets {
        splits.insert(split.clone(), answers(network.as_ref(), set)?);
    }
    let calibration = match unseen {
        Some(unseen) => unseen,
        None => answers(network.as_ref(), &sets["val"])?,
    };
    let refit = refitted.is_some();
    let (architecture, weights) = match refitted {
        Some((config, weights)) => (Architecture::Bag(config), weights),
        None => (architecture, weights),
    };
    Ok(Candidate { input, architecture, tokenizer, weights, refit, settings, calibration, splits, history })
}

/// One split, encoded as the server would.
struct NoteSet {
    records: Labelled,
    field_dropout: FieldDropout,
}

impl NoteSet {
    fn new(encoder: &Encoder, records: &[(Record, usize)], field_dropout: FieldDropout) -> Result<NoteSet> {
        let encode = |(record, _): &(Record, usize)| encoder.encode(record).map(Arc::new);
        let examples = records.iter().map(encode).collect::<Result<_, _>>().map_err(|e| anyhow!(e))?;
        let records = Labelled { examples, truth: records.iter().map(|(_, label)| *label).collect() };
        Ok(NoteSet { records, field_dropout })
    }
}

impl Examples for NoteSet {
    type Batch = Vec<Example>;

    fn labels(&self) -> &[usize] {
        &self.records.truth
    }

    fn batch(&self, indices: &[usize]) -> candle_core::Result<Vec<Example>> {
        Ok(indices.iter().map(|i| self.records.examples[*i].clone()).collect())
    }

    fn training_batch(
        &self,
        indices: &[usize],
        _: &mut [Vec<f32>],
        rng: &mut ChaCha8Rng,
    ) -> candle_core::Result<Vec<Example>> {
        let mut batch = self.batch(indices)?;
        let share = self.field_dropout.share();
        if share > 0.0 {
            for example in &mut batch {
                if random::uniform(rng, 0.0, 1.0) < share {
                    *example = self.field_dropout.apply(example, rng);
                }
            }
        }
        Ok(batch)
    }
}

fn answers(network: &dyn Network<Vec<Example>>, set: &NoteSet) -> Result<Answers> {
    Ok(Answers { logits: predict(network, set, EVALUATION_BATCH)?, truth: set.labels().to_vec() })
}

fn accuracy(answers: &Answers) -> f64 {
    let right = answers.logits.iter().zip(&answers.truth);
    let right = right.filter(|(row, truth)| super::metrics::highest(row).0 == **truth).count();
    right as f64 / answers.truth.len().max(1) as f64
}

fn architecture(arch: Arch, options: &TextOptions, vocabulary: usize) -> Result<Architecture> {
    Ok(match arch {
        Arch::Bag => Architecture::Bag(BagConfig {
            words: n_grams("--words", &options.words)?,
            characters: n_grams("--characters", &options.characters)?,
            ngrams: 0,
            inverse_document_frequency: false,
            field_scale: options.field_scale,
        }),
        Arch::Lstm => Architecture::Lstm(LstmConfig {
            vocabulary,
            embedding: options.embedding,
            hidden: options.hidden,
            bidirectional: !options.one_direction,
            token_dropout: options.token_dropout,
            dropout: options.dropout,
            recurrent_dropout: options.recurrent_dropout,
        }),
        Arch::Transformer => Architecture::Transformer(TransformerConfig {
            vocabulary,
            width: options.embedding,
            heads: options.heads,
            layers: options.layers,
            feed_forward: 2 * options.embedding,
            token_dropout: options.token_dropout,
            dropout: options.dropout,
        }),
        Arch::Auto => bail!("\"auto\" is no architecture of its own"),
    })
}

/// N-grams as written on the command line: "1-2", "1-2*0.5" or "none".
fn n_grams(option: &str, text: &str) -> Result<NGrams> {
    if text == "none" {
        return Ok(NGrams { min: 1, max: 0, scale: 1.0 });
    }
    let parse = || -> Option<NGrams> {
        let (lengths, scale) = text.split_once('*').unwrap_or((text, "1"));
        let (min, max) = lengths.split_once('-')?;
        Some(NGrams { min: min.parse().ok()?, max: max.parse().ok()?, scale: scale.parse().ok()? })
    };
    parse().with_context(|| format!("{option}: \"{text}\" is not none, MIN-MAX or MIN-MAX*SCALE"))
}

fn bag_options(
    options: &TextOptions,
    config: &BagConfig,
    field_dropout: FieldDropout,
    ordinal: bool,
) -> BagOptions {
    BagOptions {
        config: config.clone(),
        ngrams: options.ngrams,
        least: options.least_notes,
        inverse_penalty: options.inverse_penalty,
        rarity: options.rarity,
        field_dropout,
        ordinal,
        refit: options.refit,
        iterations: options.epochs.unwrap_or(200),
        seed: options.seed,
    }
}

fn fit_options(arch: Arch, options: &TextOptions) -> FitOptions {
    let (epochs, rate) = match arch {
        Arch::Transformer => (30, 1e-3),
        _ => (20, 2e-3),
    };
    FitOptions {
        epochs: options.epochs.unwrap_or(epochs),
        batch_size: options.batch_size,
        learning_rate: options.lr.unwrap_or(rate),
        warmup: 0.05,
        weight_decay: options.weight_decay,
        clip: 1.0,
        label_smoothing: 0.0,
        balance: 0.0,
        average_decay: 0.99,
        patience: options.patience,
        keep_last: false,
        seed: options.seed,
    }
}

/// The scale of the labels: as told, or where they are the numbers 1 to 5.
fn ordinal(options: &TextOptions, labels: &[String]) -> Result<Option<Ordinal>> {
    if options.nominal {
        return Ok(None);
    }
    let scale = match &options.scale {
        Some(scale) => scale.clone(),
        None if labels == ["1", "2", "3", "4", "5"] => options.label_column.clone(),
        None => return Ok(None),
    };
    let cost = match &options.cost {
        Some(file) => {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            Some(serde_json::from_slice(&bytes).with_context(|| file.display().to_string())?)
        }
        None => None,
    };
    Ok(Some(Ordinal { scale, cost }))
}

#[allow(clippy::too_many_arguments)]
fn describe(
    options: &TextOptions,
    source: &NoteSource,
    ordinal: Option<Ordinal>,
    input: RecordInput,
    architecture: Architecture,
    version: u64,
    mut settings: BTreeMap<String, Value>,
    epochs: usize,
) -> Result<Manifest> {
    settings.insert("note_column".to_string(), json!(options.note_column));
    settings.insert("label_column".to_string(), json!(options.label_column));
    let mut label_descriptions = BTreeMap::new();
    for text in &options.label_descriptions {
        let (label, meaning) = text
            .split_once('=')
            .with_context(|| format!("--label-description: \"{text}\" is not LABEL=MEANING"))?;
        label_descriptions.insert(label.to_string(), meaning.to_string());
    }
    let folder = || options.data.file_name().map(|name| name.to_string_lossy().into_owned());
    let manifest = Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options.description.clone(),
        labels: source.labels.clone(),
        label_descriptions,
        ordinal,
        input: Input::Record(input),
        architecture,
        exact_convolution: false,
        calibration: Calibration { temperature: 1.0 },
        abstain_below: 0.0,
        data: DataSource {
            name: options.data_name.clone().or_else(folder).unwrap_or_default(),
            source: options.data_source.clone(),
            licence: options.data_licence.clone(),
            sha256: source.sha256.clone(),
            examples: source.splits.iter().map(|(split, records)| (split.clone(), records.len())).collect(),
        },
        training: Training {
            seed: options.seed,
            epochs,
            settings,
            program: concat!("medserve train ", env!("CARGO_PKG_VERSION")).to_string(),
        },
        metrics: BTreeMap::new(),
        weights: Weights { file: WEIGHTS.to_string(), sha256: String::new(), parameters: 0 },
        files: BTreeMap::new(),
    };
    manifest.check().map_err(anyhow::Error::msg)?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_grams_are_read_as_written() {
        assert_eq!(n_grams("--words", "1-2").unwrap(), NGrams { min: 1, max: 2, scale: 1.0 });
        assert_eq!(n_grams("--words", "2-5*0.5").unwrap(), NGrams { min: 2, max: 5, scale: 0.5 });
        assert_eq!(n_grams("--words", "none").unwrap().max, 0);
        for bad in ["", "2", "a-b", "1-2*x"] {
            assert!(n_grams("--words", bad).is_err(), "{bad}");
        }
    }
}
