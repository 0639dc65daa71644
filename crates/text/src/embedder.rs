//! From a text to its vector, whatever kind of model makes it: what the server and `train` go through alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use model::manifest::{Architecture, EncoderConfig, Input, Precision};
use model::package::MANIFEST;
use model::{Package, PackageError};
use nn::{Params, SequenceInput, SequenceNetwork, SequencePlan};

use super::adopted_tokenizer::AdoptedTokenizer;
use super::network::numbers;
use super::pretrained;
use super::tokenizer::Tokens;
use super::vectors::{WeightedRows, WordVectors, to_unit};

/// One text as the model reads it. Cheap to clone and to send between threads.
pub type TextExample = Arc<EncodedText>;

/// What a model that embeds reads of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum EncodedText {
    /// Words with their weights.
    Words(WeightedRows),
    /// Tokens of an encoder, those around the text with them.
    Tokens(Tokens),
}

impl EncodedText {
    /// Words or tokens of the whole text.
    pub fn total(&self) -> usize {
        match self {
            EncodedText::Words(rows) => rows.total,
            EncodedText::Tokens(tokens) => tokens.total,
        }
    }

    /// Those of them that are read.
    pub fn read(&self) -> usize {
        match self {
            EncodedText::Words(rows) => rows.read,
            EncodedText::Tokens(tokens) => tokens.ids.len(),
        }
    }
}

/// A model that makes vectors of texts. Clones share the weights; each has memory of its own.
#[derive(Clone)]
pub struct Embedder {
    kind: Kind,
    most: usize,
}

#[derive(Clone)]
enum Kind {
    Words(Arc<WordVectors>),
    Encoder { tokenizer: Arc<AdoptedTokenizer>, plan: Box<SequencePlan>, width: usize },
}

impl Embedder {
    /// The model of a package.
    ///
    /// # Errors
    /// The file that does not fit, and why.
    pub fn read(package: &Package) -> std::result::Result<Embedder, PackageError> {
        Embedder::read_in(package, Precision::F32)
    }

    /// The same, the dense layers of an encoder computed in `precision`.
    ///
    /// # Errors
    /// As [`Embedder::read`].
    pub fn read_in(package: &Package, precision: Precision) -> std::result::Result<Embedder, PackageError> {
        let Package { folder, manifest, weights, .. } = package;
        let Input::Text(input) = &manifest.input else {
            return Err(PackageError::new(folder.join(MANIFEST), "this model reads no texts"));
        };
        let file = || folder.join(&manifest.weights.file);
        match &manifest.architecture {
            Architecture::Vectors(config) => {
                let vectors =
                    WordVectors::read(config, weights.clone()).map_err(|e| PackageError::new(file(), e))?;
                Ok(Embedder::of_words(Arc::new(vectors), input.max_tokens))
            }
            Architecture::Encoder(config) => {
                let tokenizer = AdoptedTokenizer::read(folder, config.vocabulary)?;
                Embedder::of_encoder(config, weights.clone(), tokenizer, input.max_tokens, precision)
                    .map_err(|e| PackageError::new(file(), e))
            }
            other => {
                let reason = format!("the architecture \"{}\" makes no vectors of texts", other.as_str());
                Err(PackageError::new(folder.join(MANIFEST), reason))
            }
        }
    }

    /// One of vectors of words, which reads at most `most` words of a text.
    pub fn of_words(vectors: Arc<WordVectors>, most: usize) -> Embedder {
        Embedder { kind: Kind::Words(vectors), most }
    }

    /// One of an encoder, which reads at most `most` tokens of a text and whose dense layers are computed in `precision`.
    ///
    /// # Errors
    /// Weights that do not fit the sizes.
    pub fn of_encoder(
        config: &EncoderConfig,
        weights: BTreeMap<String, Tensor>,
        tokenizer: AdoptedTokenizer,
        most: usize,
        precision: Precision,
    ) -> Result<Embedder> {
        let mut params = Params::frozen(weights);
        let plan =
            SequenceNetwork::new(pretrained::encoder(config)?, &mut params)?.plan_as(numbers(precision))?;
        params.finish()?;
        let (tokenizer, plan, width) = (Arc::new(tokenizer), Box::new(plan), config.width);
        Ok(Embedder { kind: Kind::Encoder { tokenizer, plan, width }, most: most.min(config.positions) })
    }

    /// Values of a vector.
    pub fn dimensions(&self) -> usize {
        match &self.kind {
            Kind::Words(vectors) => vectors.config.dimensions,
            Kind::Encoder { width, .. } => *width,
        }
    }

    /// A text as the model reads it.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn encode(&self, text: &str) -> tokenizers::Result<EncodedText> {
        match &self.kind {
            Kind::Words(vectors) => Ok(EncodedText::Words(vectors.rows(text, self.most))),
            Kind::Encoder { tokenizer, .. } => Ok(EncodedText::Tokens(tokenizer.encode(text, self.most)?)),
        }
    }

    /// The vectors of texts that were encoded for this model, in order, each of length 1, or all zeros where
    /// there is nothing in a text that the model reads.
    ///
    /// # Errors
    /// Texts that were encoded for another model.
    pub fn vectors(&mut self, texts: &[TextExample]) -> Result<Vec<Vec<f32>>> {
        match &mut self.kind {
            Kind::Words(vectors) => {
                let vector = |text: &TextExample| match &**text {
                    EncodedText::Words(rows) => Ok(vectors.vector(rows)),
                    EncodedText::Tokens(_) => candle_core::bail!("tokens, where words are read"),
                };
                texts.iter().map(vector).collect()
            }
            Kind::Encoder { plan, .. } => {
                let sequence = |text: &'_ TextExample| match &**text {
                    EncodedText::Tokens(tokens) => Ok(tokens.ids.clone()),
                    EncodedText::Words(_) => candle_core::bail!("words, where tokens are read"),
                };
                let ids = texts.iter().map(sequence).collect::<Result<Vec<_>>>()?;
                let inputs: Vec<SequenceInput> =
                    ids.iter().map(|tokens| SequenceInput { tokens, values: &[] }).collect();
                let mut vectors = plan.logits(&inputs)?;
                // What is no number stays none, so that it is noticed.
                vectors.iter_mut().filter(|v| v.iter().all(|x| x.is_finite())).for_each(|v| to_unit(v));
                Ok(vectors)
            }
        }
    }
}
