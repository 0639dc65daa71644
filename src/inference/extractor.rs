//! Serving a model that finds names in notes: text, tokens, queue, chain, names.
//!
//! An engine answers a text with a row of numbers, as engines do: the names that were found and what
//! ties them, written flat. The rest, such as the words of a name, is added where the text is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Model;
use super::pool::{AskError, Pool, Timing};
use super::preprocess_pool::PreprocessPool;
use crate::config::Config;
use model::manifest::{Architecture, Input, TextInput};
use model::package::MANIFEST;
use model::{Manifest, Package, PackageError};
use text::Tagger;
use text::tagger::{Document, Found};

/// Texts of at most so many bytes together are described where they are.
const SHORT: usize = 128;

/// A tagger, ready to answer. Clones share the weights.
#[derive(Clone)]
struct TaggerModel(Arc<Tagger>);

impl Model for TaggerModel {
    type Input = Arc<Document>;

    fn logits(&mut self, inputs: &[Arc<Document>]) -> candle_core::Result<Vec<Vec<f32>>> {
        Ok(inputs.iter().map(|document| self.0.find(document).to_row()).collect())
    }
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
    tagger: Arc<Tagger>,
    relations: Vec<String>,
    max_tokens: usize,
    preprocess: Arc<PreprocessPool>,
    pool: Pool<Arc<Document>>,
}

impl ExtractService {
    /// Builds, warms and starts the engines of a package.
    ///
    /// # Errors
    /// A package whose weights do not fit.
    pub fn start(
        package: Package,
        config: &Config,
        preprocess: Arc<PreprocessPool>,
    ) -> Result<ExtractService, PackageError> {
        let Package { folder, manifest, weights, card } = package;
        let (Input::Text(TextInput { max_tokens }), Architecture::Crf(crf)) =
            (&manifest.input, &manifest.architecture)
        else {
            return Err(PackageError::new(folder.join(MANIFEST), "this model finds no names in notes"));
        };
        let tagger = Tagger::read(crf, &manifest.labels, weights)
            .map_err(|e| PackageError::new(folder.join(&manifest.weights.file), e))?;
        let (tagger, max_tokens) = (Arc::new(tagger), *max_tokens);
        let relations = crf.relations.iter().map(|relation| relation.label.clone()).collect();
        let blank = Arc::new(tagger.read_text("no pain", max_tokens));
        let model = TaggerModel(tagger.clone());
        let build = move || Ok(model.clone());
        // The chain scales its sums and answers with numbers whatever the weights are.
        let pool = Pool::start_with(&manifest, &folder, config, blank, build, |_| Ok(()))?;
        Ok(ExtractService { manifest, card, tagger, relations, max_tokens, preprocess, pool })
    }

    /// The names of its relations, in order.
    pub fn relations(&self) -> &[String] {
        &self.relations
    }

    /// Number of texts that wait for an engine.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// What is in the texts of one request, in order.
    ///
    /// # Errors
    /// A model that is busy or failed: then no text is answered.
    pub async fn extract(
        self: &Arc<Self>,
        texts: Arc<Vec<String>>,
        deadline: Instant,
    ) -> Result<(Vec<Extraction>, Timing), AskError> {
        let short = texts.iter().map(String::len).sum::<usize>() <= SHORT;
        let service = self.clone();
        let describe = move || -> (Vec<Arc<Document>>, Duration) {
            let start = Instant::now();
            let read = |text: &String| Arc::new(service.tagger.read_text(text, service.max_tokens));
            (texts.iter().map(read).collect(), start.elapsed())
        };
        let ((documents, preprocess), queue) = match short {
            true => (describe(), Duration::ZERO),
            false => self.preprocess.run(deadline, describe).await?,
        };
        let mut timing = Timing { preprocess, queue, ..Timing::default() };
        let rows = self.pool.rows(documents.clone(), deadline, &mut timing).await?;
        let found: Vec<Found> = rows.iter().map(|row| Found::from_row(row)).collect();
        let entities = found.iter().flat_map(|found| &found.entities);
        self.pool.found(entities.map(|entity| (entity.span.label, entity.probability as f32)), &timing);
        let with = |(found, document)| Extraction { found, document };
        Ok((found.into_iter().zip(documents).map(with).collect(), timing))
    }
}
