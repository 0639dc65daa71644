//! `train text`: a data set in, a package out; and what a package says of a split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::bag::{Labelled, train_bag};
use super::card;
use super::familiarity::{self, Choice, FittedFamiliarity, Training};
use super::field_dropout::FieldDropout;
use super::finish::{Answers, Finished, Floors, STOPPED, about, check_abstain_share, finish, version};
use super::fit::{Epoch, Examples, Session, fit, predict};
use super::groups::Groups;
use super::notes::{Columns, NoteSource};
use super::report::{Shown, Subjects};
use super::start_vectors::StartVectors;
use super::text_options::{Arch, TextOptions};
use super::text_plan::{architecture, bag_options, describe, fit_options, ordinal, record_input};
use model::calibration::{fit_temperature, negative_log_likelihood};
use model::manifest::{Architecture, Field, FieldKind, Input, Manifest, RecordInput};
use model::package::{LIKENESS, RED_FLAGS, TOKENIZER, serialize};
use nn::{Network, Params, random};
use text::encoder::{Encoded, Example};
use text::{Encoder, FieldValue, Record, RedFlags, Tokenizer, network};

/// Records a forward pass takes while measuring.
const EVALUATION_BATCH: usize = 64;
/// Tokens of a bag's tokenizer, which only counts them and normalises the note.
const BAG_VOCABULARY: usize = 2048;
/// What the card says of a model whose last fit had the validation records too.
const REFIT: &str = "## Fitted twice\n\nThe figures above are of a model fitted on the training records alone. The weights in this package \
                     were then fitted once more, with the same settings, on training and validation records together, \
                     so measuring them on validation would flatter them.\n";

/// Trains and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit, a run that diverged.
pub fn train(options: &TextOptions, stop: &AtomicBool) -> Result<(PathBuf, Manifest)> {
    check_abstain_share(options.abstain_share)?;
    let columns = Columns {
        note: &options.note_column,
        label: &options.label_column,
        fields: &options.fields,
        group: options.group_by.as_deref(),
        skip_unlabelled: options.skip_unlabelled,
    };
    let about_data = match &options.card_notes {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("--card-notes: {}", file.display()))?
        }
        None => String::new(),
    };
    let source = NoteSource::read(&options.data, columns, &options.labels, options.seed)?;
    if source.blank > 0 {
        eprintln!("left out {} rows whose note is blank", source.blank);
    }
    if source.unlabelled > 0 {
        eprintln!("left out {} rows without a label", source.unlabelled);
    }
    let fields: Vec<&str> = source.fields.iter().map(|field| field.name.as_str()).collect();
    eprintln!("fields: {}", if fields.is_empty() { "none".to_string() } else { fields.join(", ") });
    for reason in &source.left_out {
        eprintln!("not taken as a field: {reason}");
    }
    source.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let ordinal = ordinal(options, &source.labels)?;
    let version = version(options.version, &options.out, &options.name)?;
    let archs = match options.arch {
        Arch::Auto => vec![Arch::Bag, Arch::Lstm, Arch::Transformer],
        one => vec![one],
    };
    let rules = match &options.red_flags {
        Some(file) => Some(std::fs::read(file).with_context(|| format!("--red-flags: {}", file.display()))?),
        None => None,
    };
    let vectors = match &options.vectors {
        Some(path) => {
            ensure!(
                archs != [Arch::Bag],
                "--vectors is for networks over tokens (--arch lstm, transformer or auto); a bag has no values of tokens"
            );
            let vectors = StartVectors::read(path)?;
            vectors.check(options.embedding)?;
            Some(vectors)
        }
        None => None,
    };
    // Whatever would make a package refuse itself is said now, not after the training.
    let plans: Vec<(Arch, Manifest)> = archs
        .iter()
        .map(|arch| Ok((*arch, describe(*arch, options, &source, ordinal.clone(), version)?)))
        .collect::<Result<_>>()?;
    let red_flags = match &rules {
        Some(json) => {
            let rules = RedFlags::parse(json, &plans[0].1).map_err(|e| anyhow!("--red-flags: {e}"))?;
            Some(rules)
        }
        None => None,
    };
    let mut notes = about_data;
    let noticed = card::noticed(&source.warnings);
    if !notes.is_empty() && !noticed.is_empty() {
        notes += "\n";
    }
    notes += &noticed;
    if plans.len() > 1 {
        notes += if notes.is_empty() { "" } else { "\n" };
        notes += "## Architectures tried\n\nChosen by the negative log likelihood on validation, each at its own temperature.\n\n\
                  | architecture | negative log likelihood | accuracy |\n|---|---|---|\n";
    }
    let stopped = || stop.load(Ordering::Relaxed);
    let mut sessions = Vec::new();
    let mut best: Option<(f64, Candidate)> = None;
    for (arch, mut manifest) in plans {
        if let Some(vectors) = vectors.as_ref().filter(|_| arch != Arch::Bag) {
            let described = Value::from(vectors.described.clone());
            manifest.training.settings.insert("vectors".to_string(), described);
        }
        let session = session(arch, options, &manifest, stop);
        let trained = candidate(arch, manifest, options, &source, vectors.as_ref(), &session)
            .with_context(|| format!("training the architecture \"{}\"", arch.as_str()));
        sessions.push(session);
        let candidate = match trained {
            Ok(candidate) => candidate,
            // An architecture that was stopped before it had anything leaves the best of the others.
            Err(_) if stopped() && best.is_some() => break,
            Err(error) => return Err(error),
        };
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
        if stopped() {
            break;
        }
    }
    let (_, candidate) = best.context("no architecture to train")?;
    let Candidate { mut manifest, tokenizer, weights, refit, calibration, splits, history, familiar } =
        candidate;
    if refit {
        notes += if notes.is_empty() { "" } else { "\n" };
        notes += REFIT;
    }
    if stopped() {
        notes = format!("{notes}\n{STOPPED}");
    }
    let json = tokenizer.to_json().map_err(|e| anyhow!(e))?;
    let mut extra = vec![(TOKENIZER, json.into_bytes())];
    extra.extend(rules.map(|rules| (RED_FLAGS, rules)));
    if let Some(familiar) = familiar {
        manifest.likeness = Some(familiar.described);
        extra.push((LIKENESS, serialize(&familiar.tensors)?));
    }
    let mut floors = BTreeMap::new();
    let encoder = match &manifest.input {
        Input::Record(input) => Encoder::new(input.clone(), &manifest.architecture, tokenizer),
        _ => bail!("the model \"{}\" does not read notes", manifest.name),
    };
    if let (Some(red_flags), true) = (&red_flags, manifest.ordinal.is_some()) {
        for (split, records) in &source.splits {
            floors.insert(split.clone(), floors_of(red_flags, &encoder, records)?);
        }
    }
    let finished = Finished {
        manifest,
        weights,
        calibration,
        splits,
        floors,
        abstain_share: options.abstain_share,
        history,
        notes,
        extra,
        subjects: Some(Box::new(|split| subjects(&source, split))),
        report: options.report,
    };
    let written = finish(finished, &options.out)?;
    for session in &sessions {
        session.close()?;
    }
    Ok(written)
}

/// How a run of one architecture shows and saves itself.
fn session<'a>(arch: Arch, options: &TextOptions, manifest: &Manifest, stop: &'a AtomicBool) -> Session<'a> {
    if options.resume && arch == Arch::Bag {
        eprintln!("a bag has no checkpoint: it is fitted anew");
    }
    Session {
        stop,
        // Several architectures share no checkpoint.
        checkpoint: Some(options.out.join(&options.name).join(format!(".{}.checkpoint", arch.as_str()))),
        resume: options.resume,
        about: about(manifest),
        progress: true,
    }
}

/// The records of a split, as a report shows them; each field parts them into groups.
fn subjects<'a>(source: &'a NoteSource, split: &str) -> Subjects<'a> {
    let records = source.splits.get(split).map_or(&[][..], Vec::as_slice);
    let value = |record: &Record, field: usize| value(&source.fields[field], record.fields[field]);
    Subjects {
        groups: groups(&source.fields, records),
        show: Box::new(move |index| {
            let record = &records[index].0;
            let fields =
                source.fields.iter().enumerate().map(|(i, field)| (field.name.clone(), value(record, i)));
            let known = fields.filter(|(_, value)| !value.is_empty()).collect();
            Ok(Shown::Note(record.note.clone(), known))
        }),
    }
}

/// The value of a field as a person reads it; nothing where it is not known.
fn value(field: &Field, value: FieldValue) -> String {
    match (value, &field.kind) {
        (FieldValue::Missing, _) => String::new(),
        (FieldValue::Number(number), _) => number.to_string(),
        (FieldValue::Choice(choice), FieldKind::Categorical { values }) => values[choice].clone(),
        (FieldValue::Choice(choice), FieldKind::Numeric { .. }) => choice.to_string(),
    }
}

/// A field of words parts the records into groups, and so does the age; other numbers are measured and say little of who
/// somebody is.
pub fn groups(fields: &[Field], records: &[(Record, usize)]) -> Groups {
    let is_who = |field: &Field| field.name == "age" || matches!(field.kind, FieldKind::Categorical { .. });
    let of = |(at, field): (usize, &Field)| {
        let values = records.iter().map(|(record, _)| value(field, record.fields[at]));
        (field.name.clone(), values.collect())
    };
    fields.iter().enumerate().filter(|(_, field)| is_who(field)).map(of).collect()
}

/// The records of one split of `data`, by the columns that the package was trained on.
///
/// # Errors
/// A package that reads no notes; data that cannot be read, or labels that are not the model's.
pub fn records_of(manifest: &Manifest, data: &Path, split: &str) -> Result<Vec<(Record, usize)>> {
    let input = record_input_of(manifest)?;
    let records = NoteSource::read_split(data, split, manifest, &input.fields)?;
    ensure!(!records.is_empty(), "the split \"{split}\" has no records");
    Ok(records)
}

fn record_input_of(manifest: &Manifest) -> Result<&RecordInput> {
    match &manifest.input {
        Input::Record(input) => Ok(input),
        _ => bail!("the model \"{}\" does not read notes", manifest.name),
    }
}

/// What red flags hold the answers to some records to.
fn floors_of(rules: &RedFlags, encoder: &Encoder, records: &[(Record, usize)]) -> Result<Floors> {
    let floor = |(record, _): &(Record, usize)| {
        let layout = encoder.layout(record).map_err(|e| anyhow!(e))?;
        let text = layout.map_or_else(|| encoder.text(record), Ok).map_err(|e| anyhow!(e))?;
        Ok(rules.floor(&rules.find(record, &rules.scan(&text))))
    };
    records.iter().map(floor).collect()
}

/// What the network of a package says of records, and what its red flags hold the answers to, where it has
/// them and its labels are a scale.
///
/// # Errors
/// A package that cannot be read, or that reads no notes.
pub fn answers_of(
    package: model::Package,
    records: &[(Record, usize)],
) -> Result<(Manifest, Answers, Option<Floors>)> {
    let rules = RedFlags::read(&package.folder, &package.manifest)?;
    let manifest = package.manifest;
    let input = record_input_of(&manifest)?;
    let encoder = Encoder::read(&package.folder, input.clone(), &manifest.architecture)?;
    let rules = rules.filter(|_| manifest.ordinal.is_some());
    let floors = rules.map(|rules| floors_of(&rules, &encoder, records)).transpose()?;
    let mut params = Params::frozen(package.weights);
    let network = network::build(&manifest.architecture, input, manifest.labels.len(), &mut params)?;
    params.finish()?;
    let units = (0..records.len()).collect();
    let set = NoteSet::new(&encoder, records, units, FieldDropout::new(&[], 0.0))?;
    let answers = answers(network.as_ref(), &set)?;
    Ok((manifest, answers, floors))
}

/// One architecture, trained.
struct Candidate {
    manifest: Manifest,
    tokenizer: Tokenizer,
    weights: BTreeMap<String, candle_core::Tensor>,
    /// The weights are of a fit on training and validation records, the answers of one on
    /// training records alone.
    refit: bool,
    calibration: Answers,
    splits: BTreeMap<String, Answers>,
    history: Vec<Epoch>,
    familiar: Option<FittedFamiliarity>,
}

/// Trains what `manifest` describes, and puts into it what only training tells.
fn candidate(
    arch: Arch,
    mut manifest: Manifest,
    options: &TextOptions,
    source: &NoteSource,
    vectors: Option<&StartVectors>,
    session: &Session,
) -> Result<Candidate> {
    let vocabulary = if arch == Arch::Bag { BAG_VOCABULARY } else { options.vocabulary };
    let notes = source.splits["train"].iter().map(|(record, _)| record.note.as_str());
    let tokenizer = Tokenizer::train(notes, vocabulary).map_err(|e| anyhow!(e))?;
    let input = record_input(arch, options, source);
    let architecture = architecture(arch, options, tokenizer.vocabulary())?;
    let encoder = Encoder::new(input.clone(), &architecture, tokenizer.clone());
    let field_dropout = FieldDropout::new(&source.fields, options.field_dropout);
    let mut sets = BTreeMap::new();
    for (split, records) in &source.splits {
        let units = source.units[split].clone();
        sets.insert(split.clone(), NoteSet::new(&encoder, records, units, field_dropout.clone())?);
    }
    let labels = source.labels.len();
    let mut refitted = None;
    let mut familiar = None;
    let (architecture, weights, unseen, history) = match &architecture {
        Architecture::Bag(config) => {
            let fitting = bag_options(options, config, &source.fields, manifest.ordinal.is_some());
            let (train, val) = (&sets["train"].records, &sets["val"].records);
            let notes = familiarity::texts(&tokenizer, &source.splits["train"])?;
            let unseen = familiarity::texts(&tokenizer, &source.splits["val"])?;
            let trained = train_bag(train, val, labels, &fitting, session.stop)?;
            manifest.training.settings.extend(trained.settings);
            let choice = Choice {
                config: &fitting.config,
                ngrams: fitting.ngrams,
                least: fitting.least,
                seed: fitting.seed,
            };
            let encoded: Vec<&Encoded> = train.examples.iter().map(Arc::as_ref).collect();
            let (truth, units) = (&train.truth, &train.units);
            let training = Training { notes: &notes, encoded: &encoded, truth, units };
            let normalise = |line: &str| tokenizer.normalise(line).map_err(|e| anyhow!(e));
            familiar = Some(familiarity::fit(choice, training, &unseen, &normalise)?);
            refitted = trained.refitted;
            let architecture = Architecture::Bag(trained.config);
            (architecture, trained.weights, Some(trained.unseen), trained.history)
        }
        _ => {
            let mut params = Params::fresh(options.seed);
            let network = network::build(&architecture, &input, labels, &mut params)?;
            if let Some(vectors) = vectors {
                let known = vectors.set(&params, &tokenizer)?;
                eprintln!("{} of {} tokens start as the vector of a word", known.tokens, known.of);
                let known = Value::from(known.tokens);
                manifest.training.settings.insert("tokens_from_vectors".to_string(), known);
            }
            let (train, val) = (&sets["train"], &sets["val"]);
            let fit_options = fit_options(arch, options);
            let history = fit(network.as_ref(), &params, train, val, labels, &fit_options, session)?;
            (architecture.clone(), params.snapshot()?, None, history)
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
    manifest.architecture = architecture;
    manifest.training.epochs = history.len();
    Ok(Candidate { manifest, tokenizer, weights, refit, calibration, splits, history, familiar })
}

/// One split, encoded as the server would.
struct NoteSet {
    records: Labelled,
    field_dropout: FieldDropout,
}

impl NoteSet {
    fn new(
        encoder: &Encoder,
        records: &[(Record, usize)],
        units: Vec<usize>,
        field_dropout: FieldDropout,
    ) -> Result<NoteSet> {
        let encode = |(record, _): &(Record, usize)| encoder.encode(record).map(Arc::new);
        let examples = records.iter().map(encode).collect::<Result<_, _>>().map_err(|e| anyhow!(e))?;
        let truth = records.iter().map(|(_, label)| *label).collect();
        let records = Labelled { examples, truth, units };
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
