//! Serving a model that makes vectors of texts: text, words or tokens, queue, vector.
//!
//! A request may have more texts than a queue holds: they are handed on a part at a time, so that other
//! requests come in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::{InferenceError, Model};
use super::pool::{AskError, Pool, Timing};
use super::precision::choose;
use super::preprocess_pool::PreprocessPool;
use super::registry::{Registry, Served};
use crate::config::Config;
use model::calibration::NotFinite;
use model::manifest::Precision;
use model::{Manifest, Package, PackageError};
use text::Embedder;
use text::embedder::TextExample;

/// Texts of at most so many bytes together are encoded where they are.
const SHORT: usize = 256;
/// Most texts of one request that wait at a time.
const PART: usize = 64;

#[derive(Clone)]
struct EmbedModel(Embedder);

impl Model for EmbedModel {
    type Input = TextExample;

    fn logits(&mut self, inputs: &[TextExample]) -> candle_core::Result<Vec<Vec<f32>>> {
        self.0.vectors(inputs)
    }
}

/// The vectors of some texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The model that made them.
    pub model: String,
    /// Its version; vectors of another one cannot be compared with these.
    pub version: String,
    /// Values of a vector.
    pub dimensions: usize,
    /// One a text, in order, of length 1; all zeros where there is nothing in a text that the model reads.
    pub vectors: Vec<Vec<f32>>,
    /// Words or tokens that were read, of all texts together.
    pub tokens: usize,
}

/// Why there are no vectors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// No model of this name is served.
    #[error("there is no model \"{name}\" that makes vectors of texts; these do: {served}")]
    NoSuchModel {
        /// The name asked for.
        name: String,
        /// Names of those that are, or "none".
        served: String,
    },
    /// No model was named and none is served.
    #[error("no model that makes vectors of texts is served")]
    NoModel,
    /// The tokenizer failed.
    #[error("the text {index} could not be split into tokens")]
    Tokenizer {
        /// Place in the request, from 0.
        index: usize,
    },
    /// The model gave no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl From<InferenceError> for EmbedError {
    fn from(error: InferenceError) -> EmbedError {
        EmbedError::Ask(error.into())
    }
}

/// A served model that makes vectors of texts.
pub struct EmbedService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    /// What it is computed in.
    pub precision: Precision,
    embedder: Embedder,
    part: usize,
    patience: Duration,
    preprocess: Arc<PreprocessPool>,
    pool: Pool<TextExample>,
}

impl EmbedService {
    /// Builds, warms and starts the engines of a package.
    ///
    /// # Errors
    /// A package whose weights or tokenizer do not fit.
    pub fn start(
        package: Package,
        config: &Config,
        preprocess: Arc<PreprocessPool>,
    ) -> Result<EmbedService, PackageError> {
        let precision = choose(&package.manifest, config.precision);
        let embedder = Embedder::read_in(&package, precision)?;
        let Package { folder, manifest, card, .. } = package;
        let blank = embedder.encode("no pain").map_err(|e| PackageError::new(&folder, e))?;
        let model = EmbedModel(embedder.clone());
        let build = move || Ok(model.clone());
        let check = |row: &[f32]| match row.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(NotFinite),
        };
        let pool = Pool::start_with(&manifest, &folder, config, Arc::new(blank), build, check)?;
        let part = PART.min(config.queue).max(1);
        let patience = config.max_request_timeout;
        Ok(EmbedService { manifest, card, precision, embedder, part, patience, preprocess, pool })
    }

    /// Values of a vector.
    pub fn dimensions(&self) -> usize {
        self.embedder.dimensions()
    }

    /// Number of texts that wait for an engine.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// The vectors of the texts of one request, in order.
    ///
    /// # Errors
    /// A model that is busy or failed: then no text is answered.
    pub async fn embed(
        self: &Arc<Self>,
        texts: Vec<String>,
        deadline: Instant,
    ) -> Result<(Embedded, Timing), EmbedError> {
        let short = texts.iter().map(String::len).sum::<usize>() <= SHORT;
        let service = self.clone();
        let encode = move || -> Result<(Vec<TextExample>, Duration), EmbedError> {
            let start = Instant::now();
            let one = |(index, text): (usize, &String)| match service.embedder.encode(text) {
                Ok(encoded) => Ok(Arc::new(encoded)),
                Err(_) => Err(EmbedError::Tokenizer { index }),
            };
            Ok((texts.iter().enumerate().map(one).collect::<Result<_, _>>()?, start.elapsed()))
        };
        let (encoded, queue) = match short {
            true => (encode(), Duration::ZERO),
            false => self.preprocess.run(deadline, encode).await?,
        };
        let (encoded, preprocess) = encoded?;
        let tokens = encoded.iter().map(|text| text.read()).sum();
        let mut timing = Timing { preprocess, queue, ..Timing::default() };
        let mut vectors = Vec::with_capacity(encoded.len());
        let mut inference = Duration::ZERO;
        for part in encoded.chunks(self.part) {
            // Parts go one after the other: their times add up.
            timing.inference = Duration::ZERO;
            vectors.extend(self.pool.rows(part.to_vec(), deadline, &mut timing).await?);
            inference += timing.inference;
        }
        timing.inference = inference;
        if vectors.iter().flatten().any(|value| !value.is_finite()) {
            return Err(AskError::NotFinite(NotFinite).into());
        }
        self.pool.found(std::iter::empty(), &timing);
        let Manifest { name: model, version, .. } = &self.manifest;
        let (model, version, dimensions) = (model.clone(), version.clone(), self.dimensions());
        Ok((Embedded { model, version, dimensions, vectors, tokens }, timing))
    }
}

impl Registry {
    /// The model of this name that makes vectors of texts; where none is named, the one whose name comes first.
    ///
    /// # Errors
    /// There is none.
    pub fn embedder(&self, model: Option<&str>) -> Result<Arc<EmbedService>, EmbedError> {
        let mut services = self.all().filter_map(|served| match served {
            Served::Embed(service) => Some(service),
            _ => None,
        });
        let Some(name) = model else { return services.next().cloned().ok_or(EmbedError::NoModel) };
        let mut names = Vec::new();
        for service in services {
            if service.manifest.name == name {
                return Ok(service.clone());
            }
            names.push(service.manifest.name.as_str());
        }
        let served = if names.is_empty() { "none".to_string() } else { names.join(", ") };
        Err(EmbedError::NoSuchModel { name: name.chars().take(64).collect(), served })
    }

    /// The vectors of some texts by the model of this name; where none is named, by the one whose name comes
    /// first. It waits as long as the longest request may.
    ///
    /// # Errors
    /// No such model; one that is busy or failed: then no text is answered.
    pub async fn embed(&self, model: Option<&str>, texts: Vec<String>) -> Result<Embedded, EmbedError> {
        let service = self.embedder(model)?;
        let deadline = Instant::now() + service.patience;
        Ok(service.embed(texts, deadline).await?.0)
    }
}
