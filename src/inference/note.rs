//! Serving a classifier of notes: records, tokens, queue, network, probabilities.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use super::engine::Model;
use super::pool::{AskError, Pool, Timing};
use super::precision::choose;
use super::prediction::{Outcome, Reason};
use super::preprocess_pool::PreprocessPool;
use crate::config::Config;
use model::manifest::{Input, Precision, RecordInput};
use model::package::MANIFEST;
use model::{Manifest, Package, PackageError};
use nn::Params;
use text::bag::Bag;
use text::encoder::Example;
use text::network::Plan;
use text::{Encoder, Familiarity, FieldValue, Record, RedFlag, RedFlags, network};

/// Records of at most so many bytes together are encoded where they are: that takes tens of
/// microseconds, as does handing them to another thread and back, with all cores busy far longer.
const SHORT: usize = 256;
/// Bytes of notes that are encoded in one piece where there are more; one note is never parted.
const PIECE: usize = 64 << 10;
/// What a record counts beside its note, in bytes, for its fields.
const FIELDS: usize = 64;

/// A network over records, ready to answer. Clones share the weights.
#[derive(Clone)]
pub struct NoteModel {
    plan: Plan,
}

impl NoteModel {
    /// Builds the network of a manifest from its weights.
    ///
    /// # Errors
    /// Weights that do not fit the manifest.
    pub fn build(
        manifest: &Manifest,
        input: &RecordInput,
        weights: &BTreeMap<String, Tensor>,
    ) -> candle_core::Result<NoteModel> {
        NoteModel::build_in(manifest, input, weights, Precision::F32)
    }

    /// The same, its dense layers computed in `precision`.
    ///
    /// # Errors
    /// As [`NoteModel::build`].
    pub fn build_in(
        manifest: &Manifest,
        input: &RecordInput,
        weights: &BTreeMap<String, Tensor>,
        precision: Precision,
    ) -> candle_core::Result<NoteModel> {
        let mut params = Params::frozen(weights.clone());
        let labels = manifest.labels.len();
        let plan = network::plan_in(&manifest.architecture, input, labels, &mut params, precision)?;
        params.finish()?;
        Ok(NoteModel { plan })
    }
}

impl Model for NoteModel {
    type Input = Example;

    fn logits(&mut self, inputs: &[Example]) -> candle_core::Result<Vec<Vec<f32>>> {
        self.plan.logits(inputs)
    }
}

/// What is said of one record.
pub struct NoteOutcome {
    /// The answer.
    pub outcome: Outcome,
    /// Tokens of the note.
    pub tokens: usize,
    /// True where the network read only the head and the tail of them.
    pub truncated: bool,
    /// Fields the record did not have.
    pub missing_fields: Vec<String>,
    /// Rules that hold for the record; `None` where the package has none or they are switched off.
    pub red_flags: Option<Vec<RedFlag>>,
    /// What the answer is made of, where it was asked for.
    pub evidence: Option<Explained>,
}

/// What an answer is made of. The parts and the base sum to the logarithm of the label's probability
/// less the mean of the logarithms over all labels.
pub struct Explained {
    /// What no word and no field has a part in.
    pub base: f64,
    /// Words, in code points of the note, with their parts.
    pub words: Vec<(Range<usize>, f64)>,
    /// Fields with their parts.
    pub fields: Vec<(String, f64)>,
}

/// What is known of one record before the network answers.
struct Encoded {
    example: Example,
    missing_fields: Vec<String>,
    red_flags: Option<Vec<RedFlag>>,
    is_familiar: bool,
}

/// A note that is longer than the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the note has {tokens} tokens; the model reads {limit}")]
pub struct LongNote {
    /// Place in the request, from 0.
    pub index: usize,
    /// Tokens of the note.
    pub tokens: usize,
    /// Tokens of it that would be read.
    pub limit: usize,
}

/// Why records got no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// Notes are longer than the model reads, and the caller asked to be told.
    #[error("{} of the notes are longer than the model reads; nothing was classified", .0.len())]
    TooLong(Vec<LongNote>),
    /// The tokenizer failed.
    #[error("record {index}: the note could not be split into tokens")]
    Tokenizer {
        /// Place in the request, from 0.
        index: usize,
    },
    /// The model gave no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// As much of a note as is compared with those of training: comparing takes time for each character, and
/// this much text tells its language.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(PIECE)]
}

/// The records of all pieces, or every note among them that is too long.
fn whole_or_none(pieces: Vec<Result<Vec<Encoded>, NotesError>>) -> Result<Vec<Encoded>, NotesError> {
    let (mut all, mut long) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Ok(encoded) => all.extend(encoded),
            Err(NotesError::TooLong(found)) => long.extend(found),
            Err(error) => return Err(error),
        }
    }
    if long.is_empty() { Ok(all) } else { Err(NotesError::TooLong(long)) }
}

/// A served classifier of notes.
pub struct NoteService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    /// What it is computed in.
    pub precision: Precision,
    encoder: Encoder,
    red_flags: Option<RedFlags>,
    familiarity: Option<Familiarity>,
    preprocess: Arc<PreprocessPool>,
    pool: Pool<Example>,
    /// What can say which words and fields decided.
    bag: Option<Arc<Bag>>,
}

impl NoteService {
    /// Builds, warms and starts the engines of a package.
    ///
    /// # Errors
    /// A package whose weights or tokenizer do not fit.
    pub fn start(
        package: Package,
        config: &Config,
        preprocess: Arc<PreprocessPool>,
    ) -> Result<NoteService, PackageError> {
        let Package { folder, manifest, weights, card } = package;
        let file = folder.join(MANIFEST);
        let Input::Record(input) = manifest.input.clone() else {
            return Err(PackageError::new(file, "this model does not read notes"));
        };
        let encoder = Encoder::read(&folder, input.clone(), &manifest.architecture)?;
        let red_flags = RedFlags::read(&folder, &manifest)?;
        let familiarity =
            Familiarity::read(&folder, &manifest, &weights).map_err(|e| PackageError::new(&folder, e))?;
        let record =
            Record { note: "pain".to_string(), fields: vec![FieldValue::Missing; input.fields.len()] };
        let blank = encoder.encode(&record).map_err(|e| PackageError::new(&file, e))?;
        let precision = choose(&manifest, config.precision);
        let model = NoteModel::build_in(&manifest, &input, &weights, precision)
            .map_err(|e| PackageError::new(folder.join(&manifest.weights.file), e))?;
        let bag = match &model.plan {
            Plan::Bag(bag) => Some(bag.clone()),
            Plan::Tokens(_) => None,
        };
        let build = move || Ok(model.clone());
        let pool = Pool::start(&manifest, &folder, config, Arc::new(blank), build)?;
        Ok(NoteService { manifest, card, precision, encoder, red_flags, familiarity, preprocess, pool, bag })
    }

    /// What the manifest says of a record.
    pub fn input(&self) -> &RecordInput {
        self.encoder.input()
    }

    /// Whether it can say which words and fields decided.
    pub fn explains(&self) -> bool {
        self.bag.is_some()
    }

    /// What the answer to each record is made of; none for a model that cannot say.
    ///
    /// # Errors
    /// The deadline passed; the tokenizer failed.
    pub async fn explain(
        self: &Arc<Self>,
        records: Vec<Record>,
        labels: Vec<usize>,
        deadline: Instant,
    ) -> Result<Vec<Option<Explained>>, NotesError> {
        let service = self.clone();
        let all = move || {
            let each = records.iter().zip(labels).enumerate();
            each.map(|(index, (record, label))| service.explained(index, record, label))
                .collect::<Result<Vec<_>, NotesError>>()
        };
        self.preprocess.run_text(deadline, all).await.map_err(AskError::from)?.0
    }

    fn explained(
        &self,
        index: usize,
        record: &Record,
        label: usize,
    ) -> Result<Option<Explained>, NotesError> {
        let Some(bag) = &self.bag else { return Ok(None) };
        let example = self.encoder.encode(record).map_err(|_| NotesError::Tokenizer { index })?;
        let text = self.encoder.text(record).map_err(|_| NotesError::Tokenizer { index })?;
        let fields = &self.input().fields;
        let evidence = bag.evidence(&example, &text, fields, label);
        let (stretches, parts): (Vec<Range<usize>>, Vec<f64>) = evidence.words.into_iter().unzip();
        let places = self.encoder.places(record, &stretches).map_err(|_| NotesError::Tokenizer { index })?;
        let scale = 1.0 / f64::from(self.manifest.calibration.temperature);
        let named = |(field, part): (usize, f64)| (fields[field].name.clone(), part * scale);
        Ok(Some(Explained {
            base: evidence.base * scale,
            words: places.into_iter().zip(parts).map(|(place, part)| (place, part * scale)).collect(),
            fields: evidence.fields.into_iter().map(named).collect(),
        }))
    }

    /// Number of records that wait for an engine.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// Classifies the records of one request, all or none of them. With `whole`, a note that
    /// would be truncated refuses the request; without `rules`, the model answers alone.
    ///
    /// # Errors
    /// Every note that is too long; a model that is busy or failed.
    pub async fn classify(
        self: &Arc<Self>,
        records: Vec<Record>,
        whole: bool,
        rules: bool,
        top_k: usize,
        deadline: Instant,
    ) -> Result<(Vec<NoteOutcome>, Timing), NotesError> {
        let short = records.iter().map(|record| record.note.len() + FIELDS).sum::<usize>() <= SHORT;
        let mut timing = Timing::default();
        let encoded = match short {
            true => {
                let start = Instant::now();
                let encoded = self.encode(0, &records, whole, rules);
                timing.preprocess = start.elapsed();
                whole_or_none(vec![encoded])?
            }
            false => whole_or_none(self.encode_long(records, whole, rules, deadline, &mut timing).await?)?,
        };
        let inputs = encoded.iter().map(|record| record.example.clone()).collect();
        let settle = |index: usize, outcome: &mut Outcome| self.settle(&encoded[index], outcome);
        let outcomes = self.pool.ask(&self.manifest, inputs, top_k, deadline, &mut timing, settle).await?;
        let answers = outcomes.into_iter().zip(encoded).map(|(outcome, record)| NoteOutcome {
            outcome,
            tokens: record.example.tokens.total,
            truncated: record.example.tokens.truncated(),
            missing_fields: record.missing_fields,
            red_flags: record.red_flags,
            evidence: None,
        });
        Ok((answers.collect(), timing))
    }

    /// The model's answer, unless the note is unlike its training; then what the rules make of it.
    fn settle(&self, record: &Encoded, outcome: &mut Outcome) {
        if !record.is_familiar {
            outcome.abstain(Reason::UnlikeTraining);
        }
        let (Some(rules), Some(flags)) = (&self.red_flags, &record.red_flags) else { return };
        match rules.floor(flags) {
            Some(floor) => outcome.raise(&self.manifest, floor, rules.is_emergency(floor)),
            // An emergency is none of labels that are no levels of urgency.
            None if !flags.is_empty() => outcome.abstain(Reason::UnlikeTraining),
            None => {}
        }
    }

    /// As [`NoteService::encode`], of all records, on threads of their own and in pieces: between two of
    /// them others have their turn, and the deadline is looked at.
    async fn encode_long(
        self: &Arc<Self>,
        records: Vec<Record>,
        whole: bool,
        rules: bool,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Vec<Result<Vec<Encoded>, NotesError>>, NotesError> {
        let records = Arc::new(records);
        let mut encoded = Vec::new();
        let mut first = 0;
        while first < records.len() {
            let mut bytes = 0;
            let in_piece = |record: &&Record| {
                bytes += record.note.len() + FIELDS;
                bytes <= PIECE
            };
            let end = first + records[first..].iter().take_while(in_piece).count().max(1);
            let (service, these) = (self.clone(), records.clone());
            let piece = move || {
                let start = Instant::now();
                (service.encode(first, &these[first..end], whole, rules), start.elapsed())
            };
            let ((piece, took), waited) =
                self.preprocess.run_text(deadline, piece).await.map_err(AskError::from)?;
            timing.preprocess += took;
            timing.queue += waited;
            encoded.push(piece);
            first = end;
        }
        Ok(encoded)
    }

    /// Encodes records, the first of which has the number `first` in its request.
    fn encode(
        &self,
        first: usize,
        records: &[Record],
        whole: bool,
        rules: bool,
    ) -> Result<Vec<Encoded>, NotesError> {
        let mut long = Vec::new();
        let mut one = |(place, record): (usize, &Record)| {
            let index = first + place;
            let example = self.encoder.encode(record).map_err(|_| NotesError::Tokenizer { index })?;
            if whole && example.tokens.truncated() {
                let (tokens, limit) = (example.tokens.total, example.tokens.ids.len());
                long.push(LongNote { index, tokens, limit });
            }
            let missing_fields = record.missing(self.input()).into_iter().map(str::to_string).collect();
            let text = self.encoder.text(record).map_err(|_| NotesError::Tokenizer { index })?;
            let red_flags = self.red_flags.as_ref().filter(|_| rules);
            let layout = red_flags.map(|_| self.encoder.layout(record)).transpose();
            let layout = layout.map_err(|_| NotesError::Tokenizer { index })?.flatten();
            let layout = layout.as_deref().unwrap_or(&text);
            let scanned = red_flags.map(|red_flags| (red_flags, red_flags.scan(layout)));
            let is_familiar = self.familiarity.as_ref().is_none_or(|known| known.knows(beginning(&text)));
            let is_elsewhere = scanned.as_ref().is_some_and(|(red_flags, note)| red_flags.is_elsewhere(note));
            Ok(Encoded {
                example: Arc::new(example),
                missing_fields,
                red_flags: scanned.map(|(red_flags, note)| red_flags.find(record, &note)),
                is_familiar: is_familiar && !is_elsewhere,
            })
        };
        let encoded = records.iter().enumerate().map(&mut one).collect::<Result<_, NotesError>>()?;
        if long.is_empty() { Ok(encoded) } else { Err(NotesError::TooLong(long)) }
    }
}
