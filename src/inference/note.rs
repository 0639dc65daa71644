//! Serving a classifier of notes: records, tokens, queue, network, probabilities.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use super::engine::{InferenceError, Model};
use super::pool::{AskError, Pool, Timing};
use super::prediction::Outcome;
use crate::config::Config;
use crate::model::manifest::{Input, RecordInput};
use crate::model::package::MANIFEST;
use crate::model::{Manifest, Package, PackageError};
use crate::nn::{Network, Params, Pass};
use crate::text::encoder::Example;
use crate::text::{Encoder, FieldValue, Record, Tokenizer, network};

/// A network over records, ready to answer.
pub struct NoteModel {
    network: Box<dyn Network<Vec<Example>>>,
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
        let mut params = Params::frozen(weights.clone());
        let network = network::build(&manifest.architecture, input, manifest.labels.len(), &mut params)?;
        params.finish()?;
        Ok(NoteModel { network })
    }
}

impl Model for NoteModel {
    type Input = Example;

    fn logits(&mut self, inputs: &[Example]) -> candle_core::Result<Vec<Vec<f32>>> {
        self.network.logits(&inputs.to_vec(), &mut Pass::Inference)?.to_vec2()
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
}

/// Why records got no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// The note of the record at this place is longer than the model reads, and the caller asked
    /// to be told.
    #[error("record {index}: the note has {tokens} tokens; the model reads {limit}")]
    TooLong {
        /// Place in the request, from 0.
        index: usize,
        /// Tokens of the note.
        tokens: usize,
        /// Most tokens read.
        limit: usize,
    },
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

/// A served classifier of notes.
pub struct NoteService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    encoder: Encoder,
    pool: Pool<Example>,
}

impl NoteService {
    /// Builds, warms and starts the engines of a package.
    ///
    /// # Errors
    /// A package whose weights or tokenizer do not fit.
    pub fn start(package: Package, config: &Config) -> Result<NoteService, PackageError> {
        let Package { folder, manifest, weights, card } = package;
        let file = folder.join(MANIFEST);
        let Input::Record(input) = manifest.input.clone() else {
            return Err(PackageError::new(file, "this model does not read notes"));
        };
        let tokenizer = Tokenizer::read(&folder)?;
        let encoder = Encoder::new(input.clone(), &manifest.architecture, tokenizer);
        let record =
            Record { note: "pain".to_string(), fields: vec![FieldValue::Missing; input.fields.len()] };
        let blank = encoder.encode(&record).map_err(|e| PackageError::new(&file, e))?;
        let shared = Arc::new((manifest.clone(), input, weights));
        let build = move || NoteModel::build(&shared.0, &shared.1, &shared.2);
        let pool = Pool::start(&manifest, &folder, config, Arc::new(blank), build)?;
        Ok(NoteService { manifest, card, encoder, pool })
    }

    /// What the manifest says of a record.
    pub fn input(&self) -> &RecordInput {
        self.encoder.input()
    }

    /// Number of records that wait for an engine.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// Classifies the records of one request, all or none of them. With `whole`, a note that
    /// would be truncated refuses the request.
    ///
    /// # Errors
    /// The first note that is too long; a model that is busy or failed.
    pub async fn classify(
        self: &Arc<Self>,
        records: Vec<Record>,
        whole: bool,
        top_k: usize,
        deadline: Instant,
    ) -> Result<(Vec<NoteOutcome>, Timing), NotesError> {
        let service = self.clone();
        let start = Instant::now();
        let encode = move || service.encode(records, whole);
        let encoded = tokio::task::spawn_blocking(encode)
            .await
            .map_err(|_| AskError::from(InferenceError::Failed))??;
        let mut timing = Timing { preprocess: start.elapsed(), ..Timing::default() };
        let inputs = encoded.iter().map(|(example, _)| example.clone()).collect();
        let outcomes = self.pool.ask(&self.manifest, inputs, top_k, deadline, &mut timing).await?;
        let answers =
            outcomes.into_iter().zip(encoded).map(|(outcome, (example, missing_fields))| NoteOutcome {
                outcome,
                tokens: example.tokens.total,
                truncated: example.tokens.total > example.tokens.ids.len(),
                missing_fields,
            });
        Ok((answers.collect(), timing))
    }

    fn encode(&self, records: Vec<Record>, whole: bool) -> Result<Vec<(Example, Vec<String>)>, NotesError> {
        let one = |(index, record): (usize, &Record)| {
            let example = self.encoder.encode(record).map_err(|_| NotesError::Tokenizer { index })?;
            let (tokens, limit) = (example.tokens.total, example.tokens.ids.len());
            if whole && tokens > limit {
                return Err(NotesError::TooLong { index, tokens, limit });
            }
            let missing = record.missing(self.input()).into_iter().map(str::to_string).collect();
            Ok((Arc::new(example), missing))
        };
        records.iter().enumerate().map(one).collect()
    }
}
