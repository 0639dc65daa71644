//! From a text to the names in it, whatever kind of model finds them: what the server and `train` go through alike.

use std::sync::Arc;

use candle_core::Result;
use model::manifest::{Architecture, Calibration, Input, Precision};
use model::package::MANIFEST;
use model::{Package, PackageError};

use super::adopted_tokenizer::AdoptedTokenizer;
use super::tagger::{Document, EncoderTagger, Found, Tagger};

/// A model that finds names. Clones share the weights; each has memory of its own.
#[derive(Clone)]
pub struct Extractor {
    kind: Kind,
    most: usize,
    relations: Vec<String>,
    calibration: Calibration,
}

#[derive(Clone)]
enum Kind {
    Chain(Arc<Tagger>),
    Encoder(Box<EncoderTagger>),
}

impl Extractor {
    /// The model of a package.
    ///
    /// # Errors
    /// The file that does not fit, and why.
    pub fn read(package: &Package) -> std::result::Result<Extractor, PackageError> {
        Extractor::read_in(package, Precision::F32)
    }

    /// The same, the dense layers of an encoder computed in `precision`.
    ///
    /// # Errors
    /// As [`Extractor::read`].
    pub fn read_in(package: &Package, precision: Precision) -> std::result::Result<Extractor, PackageError> {
        let Package { folder, manifest, weights, .. } = package;
        let misfit = |e: candle_core::Error| PackageError::new(folder.join(&manifest.weights.file), e);
        let Input::Text(input) = &manifest.input else {
            return Err(PackageError::new(folder.join(MANIFEST), "this model reads no texts"));
        };
        let (kind, relations) = match &manifest.architecture {
            Architecture::Crf(config) => {
                let tagger = Tagger::read(config, &manifest.labels, weights.clone()).map_err(misfit)?;
                let relations = config.relations.iter().map(|relation| relation.label.clone()).collect();
                (Kind::Chain(Arc::new(tagger)), relations)
            }
            Architecture::Encoder(config) => {
                let tokenizer = AdoptedTokenizer::read(folder, config.vocabulary)?;
                let (labels, temperature) = (manifest.labels.len(), manifest.calibration.temperature);
                let tagger = EncoderTagger::new(config, labels, weights.clone(), tokenizer, precision);
                (Kind::Encoder(Box::new(tagger.map_err(misfit)?.at(temperature))), Vec::new())
            }
            other => {
                let reason = format!("the architecture \"{}\" finds no names in notes", other.as_str());
                return Err(PackageError::new(folder.join(MANIFEST), reason));
            }
        };
        let calibration = manifest.calibration.clone();
        Ok(Extractor { kind, most: input.max_tokens, relations, calibration })
    }

    /// The names of its relations, in order.
    pub fn relations(&self) -> &[String] {
        &self.relations
    }

    /// A text as the model reads it.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn read_text(&self, text: &str) -> tokenizers::Result<Document> {
        match &self.kind {
            Kind::Chain(tagger) => Ok(tagger.read_text(text, self.most)),
            Kind::Encoder(tagger) => tagger.read_text(text, self.most),
        }
    }

    /// What is found in texts that were read for this model, in order.
    ///
    /// # Errors
    /// Texts that were read for another model; scores that are no numbers.
    pub fn find(&mut self, documents: &[Arc<Document>]) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = match &mut self.kind {
            Kind::Chain(tagger) => documents.iter().map(|document| tagger.find(document)).collect(),
            Kind::Encoder(tagger) => tagger.find(documents)?,
        };
        for found in &mut found {
            found.correct(&self.calibration.names);
            found.correct_links(&self.calibration.relations);
        }
        Ok(found)
    }
}
