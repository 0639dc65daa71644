//! Serving a model that finds names in notes: text, tokens, queue, chain or encoder, names.
//!
//! An engine answers a text with a row of numbers, as engines do: the names that were found and what
//! ties them, written flat. The rest, such as the words of a name, is added where the text is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Model;
use super::pool::{AskError, Pool, Timing};
use super::precision::choose;
use super::preprocess_pool::PreprocessPool;
use crate::config::Config;
use model::manifest::Precision;
use model::{Manifest, Package, PackageError};
use text::Extractor;
use text::tagger::{Document, Found};

/// Texts of at most so many bytes together are described where they are.
const SHORT: usize = 128;

#[derive(Clone)]
struct ExtractModel(Extractor);

impl Model for ExtractModel {
    type Input = Arc<Document>;

    fn logits(&mut self, inputs: &[Arc<Document>]) -> candle_core::Result<Vec<Vec<f32>>> {
        Ok(self.0.find(inputs)?.iter().map(Found::to_row).collect())
    }
}

/// Why texts got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
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

/// What was found in one text.
pub struct Extraction {
    /// Its names and what ties them.
    pub found: Found,
    /// The text as it was read.
    pub document: Arc<Document>,
}

impl Extraction {
    /// Tokens of the text.
    pub fn tokens(&self) -> usize {
        self.document.total
    }

    /// True where only the beginning of the text was read.
    pub fn truncated(&self) -> bool {
        self.document.total > self.document.tokens.len()
    }
}

/// A served model that finds names.
pub struct ExtractService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    /// What it is computed in.
    pub precision: Precision,
    extractor: Extractor,
    preprocess: Arc<PreprocessPool>,
    pool: Pool<Arc<Document>>,
}

impl ExtractService {
    /// Builds, warms and starts the engines of a package.
    ///
    /// # Errors
    /// A package whose weights or tokenizer do not fit.
    pub fn start(
        package: Package,
        config: &Config,
        preprocess: Arc<PreprocessPool>,
    ) -> Result<ExtractService, PackageError> {
        let precision = choose(&package.manifest, config.precision);
        let extractor = Extractor::read_in(&package, precision)?;
        let Package { folder, manifest, card, .. } = package;
        let blank = extractor.read_text("no pain").map_err(|e| PackageError::new(&folder, e))?;
        let model = ExtractModel(extractor.clone());
        let build = move || Ok(model.clone());
        // A chain answers with numbers whatever the weights are, and an encoder that does not has failed.
        let pool = Pool::start_with(&manifest, &folder, config, Arc::new(blank), build, |_| Ok(()))?;
        Ok(ExtractService { manifest, card, precision, extractor, preprocess, pool })
    }

    /// The names of its relations, in order.
    pub fn relations(&self) -> &[String] {
        self.extractor.relations()
    }

    /// Number of texts that wait for an engine.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// What is in the texts of one request, in order.
    ///
    /// # Errors
    /// A model that is busy or failed, a text that cannot be cut into tokens: then no text is answered.
    pub async fn extract(
        self: &Arc<Self>,
        texts: Arc<Vec<String>>,
        deadline: Instant,
    ) -> Result<(Vec<Extraction>, Timing), ExtractError> {
        let short = texts.iter().map(String::len).sum::<usize>() <= SHORT;
        let service = self.clone();
        let describe = move || -> Result<(Vec<Arc<Document>>, Duration), ExtractError> {
            let start = Instant::now();
            let read = |(index, text): (usize, &String)| match service.extractor.read_text(text) {
                Ok(document) => Ok(Arc::new(document)),
                Err(_) => Err(ExtractError::Tokenizer { index }),
            };
            Ok((texts.iter().enumerate().map(read).collect::<Result<_, _>>()?, start.elapsed()))
        };
        let (described, queue) = match short {
            true => (describe(), Duration::ZERO),
            false => self.preprocess.run(deadline, describe).await.map_err(AskError::from)?,
        };
        let (documents, preprocess) = described?;
        let mut timing = Timing { preprocess, queue, ..Timing::default() };
        let rows = self.pool.rows(documents.clone(), deadline, &mut timing).await?;
        let found: Vec<Found> = rows.iter().map(|row| Found::from_row(row)).collect();
        let entities = found.iter().flat_map(|found| &found.entities);
        self.pool.found(entities.map(|entity| (entity.span.label, entity.probability as f32)), &timing);
        let with = |(found, document)| Extraction { found, document };
        Ok((found.into_iter().zip(documents).map(with).collect(), timing))
    }
}
