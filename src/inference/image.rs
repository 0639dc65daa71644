//! Serving a classifier of images: decode, preprocess, queue, network, probabilities.

pub mod explain;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use candle_core::Tensor;
use futures::future::join_all;

use super::engine::Model;
use super::pool::{AskError, Pool, Timing};
use super::prediction::{Outcome, Reason};
use super::preprocess_pool::PreprocessPool;
use crate::config::Config;
use model::manifest::{ImageInput, Input};
use model::package::MANIFEST;
use model::{Manifest, Package, PackageError};
use nn::{Params, Runner};
use vision::preprocess::EIGHT_BIT;
use vision::{DecodeError, DecodeOptions, Format, PreprocessError, Preprocessor, decode, memory, network};

/// A single image of at most so many bytes and so many pixels is read where it is: that takes tens of
/// microseconds, as does handing it to another thread and back.
const SMALL: (usize, u64) = (4 << 10, 64 * 64);

/// A network over images, ready to answer, with the memory it works in. Copies share the weights.
#[derive(Clone)]
pub struct ImageModel {
    runner: Runner,
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
        let (labels, exact) = (manifest.labels.len(), manifest.exact_convolution);
        let plan = network::plan(&manifest.architecture, input, labels, &mut params, exact)?;
        params.finish()?;
        Ok(ImageModel { runner: Runner::new(Arc::new(plan)) })
    }
}

impl Model for ImageModel {
    type Input = Vec<f32>;

    fn logits(&mut self, inputs: &[Vec<f32>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(inputs.len());
        self.runner.run(inputs, |logits| rows.push(logits.to_vec()))?;
        Ok(rows)
    }
}

/// Images of the network's own size, one after the other, each channels x height x width.
pub enum Pixels {
    /// 8-bit samples.
    Bytes(Vec<u8>),
    /// Fractions of full scale, 0 to 1.
    Fractions(Vec<f32>),
}

impl Pixels {
    /// Each image of `len` values as fractions of full scale.
    fn fractions(&self, len: usize) -> Vec<Vec<f32>> {
        match self {
            Pixels::Bytes(values) => values
                .chunks_exact(len)
                .map(|image| image.iter().map(|&value| f32::from(value) * EIGHT_BIT).collect())
                .collect(),
            Pixels::Fractions(values) => values.chunks_exact(len).map(<[f32]>::to_vec).collect(),
        }
    }
}

/// Why images got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
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
    /// The model gave no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// What came of an image's bytes.
struct Reading {
    input: Vec<f32>,
    blank: bool,
    decode: Duration,
    preprocess: Duration,
}

/// A blank picture gets no label, whatever the network makes of it.
fn settle_blank(blank: bool, outcome: &mut Outcome) {
    if blank {
        outcome.abstain(Reason::Blank);
    }
}

/// A served classifier of images.
pub struct ImageService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    pool: Pool<Vec<f32>>,
    preprocessors: Mutex<Vec<Preprocessor>>,
    preprocess: Arc<PreprocessPool>,
    max_pixels: u64,
    input: ImageInput,
    /// Whether what the network reads is no larger than a small image.
    is_small: bool,
}

impl ImageService {
    /// Builds, warms (one single input and one full batch) and starts the engines of a package.
    ///
    /// # Errors
    /// A package whose weights do not fit, or that does not answer with finite numbers.
    pub fn start(
        package: Package,
        config: &Config,
        preprocess: Arc<PreprocessPool>,
    ) -> Result<ImageService, PackageError> {
        let Package { folder, manifest, weights, card } = package;
        let file = folder.join(MANIFEST);
        let Input::Image(input) = manifest.input.clone() else {
            return Err(PackageError::new(file, "this model does not read images"));
        };
        let preprocessor = Preprocessor::new(input.clone()).map_err(|e| PackageError::new(&file, e))?;
        let blank = vec![0.0; preprocessor.output_len()];
        let is_small = blank.len() as u64 <= SMALL.1;
        let model = ImageModel::build(&manifest, &input, &weights)
            .map_err(|e| PackageError::new(folder.join(&manifest.weights.file), e))?;
        let build = move || Ok(model.clone());
        let pool = Pool::start(&manifest, &folder, config, blank, build)?;
        Ok(ImageService {
            manifest,
            card,
            pool,
            preprocessors: Mutex::new(vec![preprocessor]),
            preprocess,
            max_pixels: config.max_pixels,
            input,
            is_small,
        })
    }

    /// Number of images that wait for an engine.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
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
    ) -> Result<(Vec<Outcome>, Timing), ImagesError> {
        let mut timing = Timing::default();
        let alone = images.len() == 1;
        let read = |(index, (format, bytes))| self.clone().read(index, format, bytes, frame, alone, deadline);
        let mut inputs = Vec::with_capacity(images.len());
        let mut blanks = Vec::with_capacity(images.len());
        for read in join_all(images.into_iter().enumerate().map(read)).await {
            let (Reading { input, blank, decode, preprocess }, waited) = read?;
            timing.queue = timing.queue.max(waited);
            timing.decode = timing.decode.max(decode);
            timing.preprocess = timing.preprocess.max(preprocess);
            inputs.push(input);
            blanks.push(blank);
        }
        let settle = |index: usize, outcome: &mut Outcome| settle_blank(blanks[index], outcome);
        let outcomes = self.pool.ask(&self.manifest, inputs, top_k, deadline, &mut timing, settle).await?;
        Ok((outcomes, timing))
    }

    /// Classifies images that have the network's size already; they are normalised as any other.
    ///
    /// # Errors
    /// A model that is busy or failed.
    pub async fn classify_pixels(
        self: &Arc<Self>,
        pixels: Pixels,
        top_k: usize,
        deadline: Instant,
    ) -> Result<(Vec<Outcome>, Timing), ImagesError> {
        let service = self.clone();
        let work = move || -> Result<_, PreprocessError> {
            let start = Instant::now();
            let preprocessor = service.preprocessor()?;
            let read = |mut input: Vec<f32>| {
                let blank = preprocessor.is_blank(&input);
                preprocessor.normalise(&mut input);
                (input, blank)
            };
            let inputs: Vec<_> = pixels.fractions(preprocessor.output_len()).into_iter().map(read).collect();
            service.keep(preprocessor);
            Ok((inputs, start.elapsed()))
        };
        let (read, queue) = self.preprocess.run(deadline, work).await.map_err(AskError::from)?;
        let (inputs, preprocess) = read?;
        let (inputs, blanks): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
        let mut timing = Timing { preprocess, queue, ..Timing::default() };
        let settle = |index: usize, outcome: &mut Outcome| settle_blank(blanks[index], outcome);
        let outcomes = self.pool.ask(&self.manifest, inputs, top_k, deadline, &mut timing, settle).await?;
        Ok((outcomes, timing))
    }

    /// Decodes and preprocesses one image: here where it is small and `alone`, otherwise when a core is
    /// free for it. Says how long it waited for that.
    async fn read(
        self: Arc<Self>,
        index: usize,
        format: Format,
        bytes: Bytes,
        frame: Option<u32>,
        alone: bool,
        deadline: Instant,
    ) -> Result<(Reading, Duration), ImagesError> {
        let (few, small) = SMALL;
        if alone && self.is_small && bytes.len() <= few {
            let options = DecodeOptions { max_pixels: self.max_pixels.min(small), frame };
            match self.reading(index, format, &bytes, &options) {
                Err(ImagesError::Decode { error: DecodeError::TooLarge { .. }, .. }) => {}
                reading => return Ok((reading?, Duration::ZERO)),
            }
        }
        let preprocess = self.preprocess.clone();
        let options = DecodeOptions { max_pixels: self.max_pixels, frame };
        let (needed, limit) = (memory(format, &bytes, &options), preprocess.limit());
        if needed > limit {
            // With no pixels allowed the declared size comes back before any memory is taken; where that
            // is over the limit of pixels, it says more than bytes do.
            let declared = decode(format, &bytes, &DecodeOptions { max_pixels: 0, frame });
            let error = match declared {
                Err(DecodeError::TooLarge { width, height, .. })
                    if width.saturating_mul(height) > self.max_pixels =>
                {
                    DecodeError::TooLarge { width, height, limit: self.max_pixels }
                }
                _ => DecodeError::TooMuchMemory { needed, limit },
            };
            return Err(ImagesError::Decode { index, error });
        }
        let work = move || self.reading(index, format, &bytes, &options);
        let (reading, waited) =
            preprocess.run_within(needed, deadline, work).await.map_err(AskError::from)?;
        Ok((reading?, waited))
    }

    fn reading(
        &self,
        index: usize,
        format: Format,
        bytes: &[u8],
        options: &DecodeOptions,
    ) -> Result<Reading, ImagesError> {
        let start = Instant::now();
        let image = decode(format, bytes, options).map_err(|error| ImagesError::Decode { index, error })?;
        let decode = start.elapsed();
        let mut preprocessor = self.preprocessor()?;
        let mut input = preprocessor.fractions(&image)?;
        let blank = preprocessor.is_blank(&input);
        preprocessor.normalise(&mut input);
        self.keep(preprocessor);
        Ok(Reading { input, blank, decode, preprocess: start.elapsed() - decode })
    }

    /// A preprocessor with its scratch memory, kept between requests.
    fn preprocessor(&self) -> Result<Preprocessor, PreprocessError> {
        let kept = self.preprocessors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| Preprocessor::new(self.input.clone()), Ok)
    }

    fn keep(&self, preprocessor: Preprocessor) {
        self.preprocessors.lock().unwrap_or_else(PoisonError::into_inner).push(preprocessor);
    }
}
