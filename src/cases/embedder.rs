//! What makes vectors of texts, as the cases see it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use model::Manifest;

use crate::inference::{AskError, EmbedError, Embedded, Registry};
use crate::store::CaseVector;

/// Which vectors can be compared: those of one version of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: String,
}

/// Vectors of some texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Of which model.
    pub space: Space,
    /// One a text, in order; all zeros where a text says nothing to the model.
    pub vectors: Vec<Vec<f32>>,
}

impl Made {
    /// The vectors as cases keep them.
    pub fn of_cases(self) -> impl Iterator<Item = CaseVector> {
        let Space { model, version } = self.space;
        let vector = move |values| CaseVector { model: model.clone(), version: version.clone(), values };
        self.vectors.into_iter().map(vector)
    }
}

/// Why no vectors were made where there is a model.
#[derive(Debug, thiserror::Error)]
pub enum NoVectors {
    /// The model cannot read this one of the texts.
    #[error("the model of the vectors cannot read the text")]
    Unreadable(usize),
    /// It is busy or failed.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// Makes vectors of texts.
pub trait Embedder: Send + Sync {
    /// The model that makes them now; nothing where none is served.
    fn space(&self) -> Option<Space>;

    /// The vectors of some texts; nothing where no model is served.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Option<Made>, NoVectors>>;
}

impl Embedder for Arc<ArcSwapOption<Registry>> {
    fn space(&self) -> Option<Space> {
        let service = self.load_full()?.embedder(None).ok()?;
        let Manifest { name, version, .. } = &service.manifest;
        Some(Space { model: name.clone(), version: version.clone() })
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Option<Made>, NoVectors>> {
        Box::pin(async move {
            let Some(registry) = self.load_full() else { return Ok(None) };
            match registry.embed(None, texts).await {
                Ok(Embedded { model, version, vectors, .. }) => {
                    Ok(Some(Made { space: Space { model, version }, vectors }))
                }
                Err(EmbedError::NoModel | EmbedError::NoSuchModel { .. }) => Ok(None),
                Err(EmbedError::Tokenizer { index }) => Err(NoVectors::Unreadable(index)),
                Err(EmbedError::Ask(error)) => Err(error.into()),
            }
        })
    }
}
