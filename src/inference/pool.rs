//! A model's engines behind its queue: what a classifier of images and one of notes share.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batcher::{Batcher, QueueFull, Reply};
use super::engine::{self, InferenceError, Model};
use super::meter::{self, Meter};
use super::prediction::Outcome;
use crate::config::Config;
use model::calibration::NotFinite;
use model::{Manifest, PackageError};

/// Why a model gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The request is larger than the queue ever is.
    #[error("{inputs} inputs came in one request; at most {most} fit the queue")]
    TooMany {
        /// Inputs of the request.
        inputs: usize,
        /// Length of the queue.
        most: usize,
    },
    /// It is busy.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// It failed, or was not free in time.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// Its answer is no number.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
}

/// Where a request's time went; over several inputs, the longest of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// From bytes to pixels; nothing for notes.
    pub decode: Duration,
    /// From pixels or text to the network's input.
    pub preprocess: Duration,
    /// Waiting for a core, and then for an engine.
    pub queue: Duration,
    /// The network.
    pub inference: Duration,
}

/// The engines of one model.
pub struct Pool<I> {
    batcher: Arc<Batcher<I>>,
    queue: usize,
    meter: Meter,
}

impl<I: Clone + Send + 'static> Pool<I> {
    /// Builds, warms (one single input and one full batch of `blank`) and starts the engines.
    ///
    /// # Errors
    /// A model that cannot be built from the package in `folder`, or that does not answer with
    /// finite numbers.
    pub fn start<M, F>(
        manifest: &Manifest,
        folder: &Path,
        config: &Config,
        blank: I,
        build: F,
    ) -> Result<Pool<I>, PackageError>
    where
        M: Model<Input = I> + 'static,
        F: Fn() -> candle_core::Result<M> + Clone + Send + 'static,
    {
        let check = |row: &[f32]| Outcome::new(manifest, row, 1).map(drop);
        Pool::start_with(manifest, folder, config, blank, build, check)
    }

    /// As [`Pool::start`], for a model whose rows are no logits of its labels: `check` says whether one
    /// is an answer.
    ///
    /// # Errors
    /// As [`Pool::start`].
    pub fn start_with<M, F>(
        manifest: &Manifest,
        folder: &Path,
        config: &Config,
        blank: I,
        build: F,
        check: impl Fn(&[f32]) -> Result<(), NotFinite>,
    ) -> Result<Pool<I>, PackageError>
    where
        M: Model<Input = I> + 'static,
        F: Fn() -> candle_core::Result<M> + Clone + Send + 'static,
    {
        let weights = folder.join(&manifest.weights.file);
        let misfit = |error: candle_core::Error| PackageError::new(&weights, error);
        let batcher = Arc::new(Batcher::new(config.queue));
        let pool = Pool { batcher, queue: config.queue, meter: Meter::new(manifest) };
        for _ in 0..config.engines {
            let mut model = build().map_err(misfit)?;
            for size in [1, config.max_batch] {
                for row in model.logits(&vec![blank.clone(); size]).map_err(misfit)? {
                    check(&row).map_err(|e| PackageError::new(&weights, e))?;
                }
            }
            engine::spawn(&manifest.name, pool.batcher.clone(), config.max_batch, model, build.clone())
                .map_err(|e| PackageError::new(folder, e))?;
        }
        Ok(pool)
    }

    /// One outcome an input, in order, after `settle` has had its say on each; the waiting and the
    /// computing go into `timing`.
    ///
    /// # Errors
    /// A model that is busy or failed: then no input has an outcome.
    pub async fn ask(
        &self,
        manifest: &Manifest,
        inputs: Vec<I>,
        top_k: usize,
        deadline: Instant,
        timing: &mut Timing,
        settle: impl Fn(usize, &mut Outcome),
    ) -> Result<Vec<Outcome>, AskError> {
        let mut outcomes = self.outcomes(manifest, inputs, top_k, deadline, timing).await;
        if let Ok(outcomes) = &mut outcomes {
            outcomes.iter_mut().enumerate().for_each(|(index, outcome)| settle(index, outcome));
        }
        match &outcomes {
            Ok(outcomes) => self.meter.answered(outcomes, timing),
            Err(error) => meter::refused(error),
        }
        outcomes
    }

    /// Number of inputs that wait.
    pub fn waiting(&self) -> usize {
        self.batcher.len()
    }

    /// As [`Pool::ask`], counted nowhere.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn outcomes(
        &self,
        manifest: &Manifest,
        inputs: Vec<I>,
        top_k: usize,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Vec<Outcome>, AskError> {
        let rows = self.answers(inputs, deadline, timing).await?;
        Ok(rows.iter().map(|row| Outcome::new(manifest, row, top_k)).collect::<Result<_, _>>()?)
    }

    /// The rows of the inputs as the engine wrote them, in order; the waiting and the computing go into
    /// `timing`. [`Pool::found`] counts what they say.
    ///
    /// # Errors
    /// A model that is busy or failed: then no input has a row.
    pub async fn rows(
        &self,
        inputs: Vec<I>,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Vec<Vec<f32>>, AskError> {
        let rows = self.answers(inputs, deadline, timing).await;
        if let Err(error) = &rows {
            meter::refused(error);
        }
        rows
    }

    /// Counts an answer of any number of labels with their probabilities.
    pub fn found(&self, labels: impl Iterator<Item = (usize, f32)>, timing: &Timing) {
        self.meter.found(labels, timing);
    }

    async fn answers(
        &self,
        inputs: Vec<I>,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Vec<Vec<f32>>, AskError> {
        // Refused for good: coming back would not help.
        if inputs.len() > self.queue {
            return Err(AskError::TooMany { inputs: inputs.len(), most: self.queue });
        }
        let replies: Vec<Reply> = self.batcher.submit(inputs, deadline)?;
        let mut rows = Vec::with_capacity(replies.len());
        let before = timing.queue;
        for reply in replies {
            let answer = reply.await.map_err(|_| InferenceError::Failed)??;
            timing.queue = timing.queue.max(before + answer.queued);
            timing.inference = timing.inference.max(answer.inference);
            rows.push(answer.logits);
        }
        Ok(rows)
    }
}

impl<I> Drop for Pool<I> {
    fn drop(&mut self) {
        self.batcher.close();
    }
}
