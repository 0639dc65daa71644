//! Serving a classifier of images: decode, preprocess, queue, network, probabilities.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use candle_core::{Device, Tensor};
use futures::future::join_all;
use tokio::sync::Semaphore;

use super::batcher::{Batcher, QueueFull, Reply};
use super::engine::{self, InferenceError, Model};
use super::prediction::Outcome;
use crate::config::Config;
use crate::model::manifest::{ImageInput, Input};
use crate::model::{Manifest, Package, PackageError};
use crate::nn::{Network, Params, Pass};
use crate::vision::{DecodeError, DecodeOptions, Format, PreprocessError, Preprocessor, decode, network};

/// A network over images, ready to answer.
pub struct ImageModel {
    input: ImageInput,
    network: Box<dyn Network<Tensor>>,
}

impl ImageModel {
    /// Builds the network of a manifest from its weights.
    ///
    /// # Errors
    /// Weights that do not fit the manifest.
    pub fn build(
        manifest: &Manifest,
        input: &ImageInput,
        weights: &BTreeMap<String, Tensor>,
    ) -> candle_core::Result<ImageModel> {
        let mut params = Params::frozen(weights.clone());
        let network = network::build(&manifest.architecture, input, manifest.labels.len(), &mut params)?;
        params.finish()?;
        Ok(ImageModel { input: input.clone(), network })
    }
}

impl Model for ImageModel {
    type Input = Vec<f32>;

    fn logits(&mut self, inputs: &[Vec<f32>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let ImageInput { channels, height, width, .. } = self.input;
        let shape = (inputs.len(), channels as usize, height as usize, width as usize);
        let batch = Tensor::from_vec(inputs.concat(), shape, &Device::Cpu)?;
        self.network.logits(&batch, &mut Pass::Inference)?.to_vec2()
    }
}

/// Why an image got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// The image at this place in the request could not be read.
    #[error("image {index}: {error}")]
    Decode {
        /// Place in the request, from 0.
        index: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The model's preprocessing failed.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The model is busy.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The model gave no answer.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The model's answer is no number.
    #[error(transparent)]
    NotFinite(#[from] crate::model::calibration::NotFinite),
}

/// Where a request's time went; over several images, the longest of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// From bytes to pixels.
    pub decode: Duration,
    /// From pixels to the network's input.
    pub preprocess: Duration,
    /// Waiting for an engine.
    pub queue: Duration,
    /// The network.
    pub inference: Duration,
}

/// A served classifier of images.
pub struct ImageService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    batcher: Arc<Batcher<Vec<f32>>>,
    preprocessors: Mutex<Vec<Preprocessor>>,
    decoders: Arc<Semaphore>,
    max_pixels: u64,
    input: ImageInput,
}

impl ImageService {
    /// Builds, warms (one single input and one full batch) and starts the engines of a package.
    ///
    /// # Errors
    /// A package whose weights do not fit, or that does not answer with finite numbers.
    pub fn start(
        package: Package,
        config: &Config,
        decoders: Arc<Semaphore>,
    ) -> Result<ImageService, PackageError> {
        let Package { folder, manifest, weights, card } = package;
        let file = folder.join(crate::model::package::MANIFEST);
        let Input::Image(input) = manifest.input.clone() else {
            return Err(PackageError::new(file, "this model does not read images"));
        };
        let weights_file = folder.join(&manifest.weights.file);
        let misfit = |error: candle_core::Error| PackageError::new(&weights_file, error);
        let preprocessor = Preprocessor::new(input.clone()).map_err(|e| PackageError::new(&file, e))?;
        let blank = vec![0.0; preprocessor.output_len()];
        let batcher = Arc::new(Batcher::new(config.queue));
        let shared = Arc::new((manifest.clone(), input.clone(), weights));
        for _ in 0..config.engines {
            let shared = shared.clone();
            let build = move || ImageModel::build(&shared.0, &shared.1, &shared.2);
            let mut model = build().map_err(misfit)?;
            for size in [1, config.max_batch] {
                let rows = model.logits(&vec![blank.clone(); size]).map_err(misfit)?;
                for row in rows {
                    Outcome::new(&manifest, &row, 1).map_err(|e| PackageError::new(&weights_file, e))?;
                }
            }
            engine::spawn(&manifest.name, batcher.clone(), config.max_batch, model, build)
                .map_err(|e| PackageError::new(&folder, e))?;
        }
        Ok(ImageService {
            manifest,
            card,
            batcher,
            preprocessors: Mutex::new(vec![preprocessor]),
            decoders,
            max_pixels: config.max_pixels,
            input,
        })
    }

    /// Classifies the images of one request, all or none of them.
    ///
    /// # Errors
    /// The first image that cannot be read; a model that is busy or failed.
    pub async fn classify(
        self: &Arc<Self>,
        images: Vec<(Format, Bytes)>,
        frame: Option<u32>,
        top_k: usize,
        deadline: Instant,
    ) -> Result<(Vec<Outcome>, Timing), ClassifyError> {
        let mut timing = Timing::default();
        let read = |(index, (format, bytes))| self.clone().read(index, format, bytes, frame);
        let mut inputs = Vec::with_capacity(images.len());
        for read in join_all(images.into_iter().enumerate().map(read)).await {
            let (input, decode, preprocess) = read?;
            timing.decode = timing.decode.max(decode);
            timing.preprocess = timing.preprocess.max(preprocess);
            inputs.push(input);
        }
        let replies: Vec<Reply> = self.batcher.submit(inputs, deadline)?;
        let mut outcomes = Vec::with_capacity(replies.len());
        for reply in replies {
            let answer = reply.await.map_err(|_| InferenceError::Failed)??;
            timing.queue = timing.queue.max(answer.queued);
            timing.inference = timing.inference.max(answer.inference);
            outcomes.push(Outcome::new(&self.manifest, &answer.logits, top_k)?);
        }
        Ok((outcomes, timing))
    }

    /// Decodes and preprocesses one image on a blocking thread, when a core is free for it.
    async fn read(
        self: Arc<Self>,
        index: usize,
        format: Format,
        bytes: Bytes,
        frame: Option<u32>,
    ) -> Result<(Vec<f32>, Duration, Duration), ClassifyError> {
        // The semaphore is never closed; were it, the work would go on without its bound.
        let _permit = self.decoders.clone().acquire_owned().await.ok();
        let work = move || {
            let start = Instant::now();
            let options = DecodeOptions { max_pixels: self.max_pixels, frame };
            let image =
                decode(format, &bytes, &options).map_err(|error| ClassifyError::Decode { index, error })?;
            let decoded = start.elapsed();
            let mut preprocessor = self.preprocessor()?;
            let input = preprocessor.run(&image)?;
            self.preprocessors.lock().unwrap_or_else(PoisonError::into_inner).push(preprocessor);
            Ok((input, decoded, start.elapsed() - decoded))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| InferenceError::Failed)?
    }

    /// A preprocessor with its scratch memory, kept between requests.
    fn preprocessor(&self) -> Result<Preprocessor, PreprocessError> {
        let kept = self.preprocessors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| Preprocessor::new(self.input.clone()), Ok)
    }

    /// Number of inputs that wait for an engine.
    pub fn queue_length(&self) -> usize {
        self.batcher.len()
    }
}

impl Drop for ImageService {
    fn drop(&mut self) {
        self.batcher.close();
    }
}
