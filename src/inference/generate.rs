//! Serving a model that makes pictures: one after the other, each by one of the threads that read pictures.
//!
//! Other requests get their turn between two pictures, so a request for many delays nobody by more than one. Between two steps of a
//! picture the work looks whether anybody still waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::InferenceError;
use super::meter::{self, Meter};
use super::pool::{AskError, Timing};
use super::preprocess_pool::PreprocessPool;
use model::package::MANIFEST;
use model::{Manifest, Package, PackageError};
use vision::Image;
use vision::generate::{GenerateError, Generator};

/// Bytes that making a picture takes beside its generator.
const MEMORY: u64 = 4 << 20;

/// Why no pictures were made.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    /// The network failed.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// There was no room or no time.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Index of the label.
    pub label: usize,
    /// Pictures, numbered from 0.
    pub count: usize,
    /// Where their noise comes from.
    pub seed: u64,
}

/// A served model that makes pictures.
pub struct GenerateService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    first: Generator,
    generators: Mutex<Vec<Generator>>,
    preprocess: Arc<PreprocessPool>,
    meter: Meter,
}

/// Says to the work that nobody waits any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl GenerateService {
    /// Builds the network of a package and makes one picture.
    ///
    /// # Errors
    /// A package whose weights do not fit, or whose picture is no number.
    pub fn start(package: Package, preprocess: Arc<PreprocessPool>) -> Result<GenerateService, PackageError> {
        let Package { folder, manifest, weights, card } = package;
        if manifest.generation.is_none() {
            return Err(PackageError::new(folder.join(MANIFEST), "this model makes no pictures"));
        }
        let file = folder.join(&manifest.weights.file);
        let mut first =
            Generator::build(&manifest, weights).map_err(|error| PackageError::new(&file, error))?;
        first.run(0, 0, 0, || false).map_err(|error| PackageError::new(&file, error))?;
        let meter = Meter::new(&manifest);
        Ok(GenerateService { manifest, card, first, generators: Mutex::default(), preprocess, meter })
    }

    /// The pictures of one request, all or none of them.
    ///
    /// # Errors
    /// A network that fails; no room or no time.
    pub async fn generate(
        self: &Arc<Self>,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<(Vec<Image>, Timing), PicturesError> {
        let gone = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(gone.clone());
        let mut timing = Timing::default();
        let mut pictures = Vec::with_capacity(wanted.count);
        for number in 0..wanted.count {
            let (service, gone) = (self.clone(), gone.clone());
            let work = move || service.picture(wanted, number, deadline, &gone);
            let made = match self.preprocess.run_within(MEMORY, deadline, work).await {
                Ok((made, waited)) => made.map(|made| (made, waited)),
                Err(error) => Err(PicturesError::Ask(error.into())),
            };
            let ((picture, took), waited) = made.inspect_err(|error| {
                if let PicturesError::Ask(error) = error {
                    meter::refused(error);
                }
            })?;
            timing.queue += waited;
            timing.inference += took;
            pictures.push(picture);
        }
        self.meter.made(wanted.label, wanted.count as u64, &timing);
        Ok((pictures, timing))
    }

    fn picture(
        &self,
        Wanted { label, seed, .. }: Wanted,
        number: usize,
        deadline: Instant,
        gone: &AtomicBool,
    ) -> Result<(Image, Duration), PicturesError> {
        let start = Instant::now();
        let kept = self.generators.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut generator = kept.unwrap_or_else(|| self.first.clone());
        let stop = || gone.load(Ordering::Relaxed) || Instant::now() >= deadline;
        let picture = generator.run(label, seed, number, stop);
        self.generators.lock().unwrap_or_else(PoisonError::into_inner).push(generator);
        let picture = picture.map_err(|error| match error {
            GenerateError::Stopped => {
                metrics::counter!("medserve_pictures_given_up_total").increment(1);
                PicturesError::Ask(AskError::Inference(InferenceError::DeadlinePassed))
            }
            error => PicturesError::Generate(error),
        })?;
        Ok((picture, start.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_waiting_says_so() {
        let gone = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(gone.clone());
        assert!(!gone.load(Ordering::Relaxed));
        drop(waiting);
        assert!(gone.load(Ordering::Relaxed));
    }
}
