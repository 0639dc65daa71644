//! Serving a classifier of images: decode, preprocess, queue, network, probabilities.

pub mod explain;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use candle_core::Tensor;
use futures::future::join_all;

use super::engine::{InferenceError, Model};
use super::head;
use super::pool::{AskError, Pool, Timing};
use super::precision::{choose, numerics};
use super::prediction::{Outcome, Reason};
use super::preprocess_pool::PreprocessPool;
use crate::config::Config;
use model::manifest::{Accepts, Architecture, ImageInput, Input, Precision};
use model::package::{MANIFEST, ONNX, read};
use model::{Manifest, Package, PackageError};
use nn::{Params, Runner};
use vision::likeness::Likeness;
use vision::onnx::OnnxNetwork;
use vision::preprocess::EIGHT_BIT;
use vision::{
    Declared, DecodeError, DecodeOptions, Format, Identity, PreprocessError, Preprocessor, declared, decode,
    network,
};

/// A single image of at most so many bytes and so many pixels is read where it is: that takes tens of
/// microseconds, as does handing it to another thread and back.
const SMALL: (usize, u64) = (4 << 10, 64 * 64);

/// A network over images, ready to answer, with the memory it works in. Copies share the weights.
#[derive(Clone)]
pub enum ImageModel {
    /// One of ours.
    Plan(Runner),
    /// A file of others.
    Onnx(OnnxNetwork),
}

impl ImageModel {
    /// Builds the network of a manifest from its weights, to be computed in `precision`.
    ///
    /// # Errors
    /// Weights that do not fit the manifest.
    pub fn build(
        manifest: &Manifest,
        input: &ImageInput,
        weights: &BTreeMap<String, Tensor>,
        precision: Precision,
    ) -> candle_core::Result<ImageModel> {
        let mut params = Params::frozen(weights.clone());
        let (labels, numerics) = (manifest.labels.len(), numerics(manifest, precision));
        let plan = network::plan_with(&manifest.architecture, input, labels, &mut params, &numerics)?;
        params.finish()?;
        Ok(ImageModel::Plan(Runner::new(Arc::new(plan))))
    }
}

impl Model for ImageModel {
    type Input = Vec<f32>;

    fn logits(&mut self, inputs: &[Vec<f32>]) -> candle_core::Result<Vec<Vec<f32>>> {
        match self {
            ImageModel::Plan(runner) => {
                let mut rows = Vec::with_capacity(inputs.len());
                runner.run(inputs, |logits| rows.push(logits.to_vec()))?;
                Ok(rows)
            }
            ImageModel::Onnx(network) => network.run(inputs),
        }
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
    #[error("image {}: {error}", .index + 1)]
    Decode {
        /// Place in the request, from 0.
        index: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The image at this place says that it was made by a model.
    #[error(
        "image {}: it is marked as synthetic, and shows nobody; a classification with allow_synthetic=true answers all the same",
        .index + 1
    )]
    Synthetic {
        /// Place in the request, from 0.
        index: usize,
    },
    /// The model's preprocessing failed.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The measure of likeness failed.
    #[error(transparent)]
    Likeness(#[from] candle_core::Error),
    /// The model gave no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// How the images of a request are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadAs {
    /// Frame of a multi-frame DICOM file, from 1.
    pub frame: Option<u32>,
    /// Whether one that is marked as synthetic is read, too.
    pub synthetic: bool,
}

/// What came of an image's bytes.
struct Reading {
    look: Look,
    /// Rows and columns of the picture that the network's input shows.
    seen: (Range<usize>, Range<usize>),
    decode: Duration,
    preprocess: Duration,
}

/// What is known of an image before the network is asked.
struct Look {
    input: Vec<f32>,
    /// Why it gets no label, whatever the network makes of it.
    refused: Option<Reason>,
    /// Whether it is marked as made by a model.
    synthetic: bool,
}

/// What reads images, with its memory; kept between requests.
struct Reader {
    preprocessor: Preprocessor,
    likeness: Option<Likeness>,
}

impl Reader {
    /// Looks at what [`Preprocessor::fractions`] gave of a picture of such colour.
    fn look(&mut self, mut input: Vec<f32>, colour: f32) -> candle_core::Result<Look> {
        let strangeness = match &mut self.likeness {
            Some(likeness) => likeness.strangeness(&input, colour)?,
            None => 0.0,
        };
        let refused = match () {
            () if self.preprocessor.is_blank(&input) => Some(Reason::Blank),
            () if strangeness > 1.0 => Some(Reason::UnlikeTraining),
            () => None,
        };
        self.preprocessor.normalise(&mut input);
        Ok(Look { input, refused, synthetic: false })
    }
}

/// A served classifier of images.
pub struct ImageService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    /// What its network is computed in.
    pub precision: Precision,
    pool: Pool<Vec<f32>>,
    readers: Mutex<Vec<Reader>>,
    likeness: Option<Likeness>,
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
        let likeness = Likeness::read(&folder, &manifest)?;
        let blank = vec![0.0; preprocessor.output_len()];
        let is_small = blank.len() as u64 <= SMALL.1;
        let precision = choose(&manifest, config.precision);
        let model = match &manifest.architecture {
            Architecture::Onnx(config) => {
                let file = folder.join(ONNX);
                let network = OnnxNetwork::load(&read(&file)?, config, &input, manifest.labels.len());
                ImageModel::Onnx(network.map_err(|e| PackageError::new(&file, e))?)
            }
            _ => ImageModel::build(&manifest, &input, &weights, precision)
                .map_err(|e| PackageError::new(folder.join(&manifest.weights.file), e))?,
        };
        let build = move || Ok(model.clone());
        let pool = Pool::start(&manifest, &folder, config, blank, build)?;
        Ok(ImageService {
            manifest,
            card,
            precision,
            pool,
            readers: Mutex::new(vec![Reader { preprocessor, likeness: likeness.clone() }]),
            likeness,
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
        read_as: ReadAs,
        top_k: usize,
        deadline: Instant,
    ) -> Result<(Vec<Outcome>, Timing), ImagesError> {
        let (readings, timing) = self.read_all(images, read_as, deadline).await?;
        let looks = readings.into_iter().map(|reading| reading.look).collect();
        self.answer(looks, top_k, deadline, timing).await
    }

    /// Reads the images of a request, all or none of them, and says how long it took.
    async fn read_all(
        self: &Arc<Self>,
        images: Vec<(Format, Bytes)>,
        read_as: ReadAs,
        deadline: Instant,
    ) -> Result<(Vec<Reading>, Timing), ImagesError> {
        let mut timing = Timing::default();
        let alone = images.len() == 1;
        let read =
            |(index, (format, bytes))| self.clone().read(index, format, bytes, read_as, alone, deadline);
        let mut readings = Vec::with_capacity(images.len());
        for read in join_all(images.into_iter().enumerate().map(read)).await {
            let (reading, waited) = read?;
            timing.queue = timing.queue.max(waited);
            timing.decode = timing.decode.max(reading.decode);
            timing.preprocess = timing.preprocess.max(reading.preprocess);
            readings.push(reading);
        }
        Ok((readings, timing))
    }

    /// What the network says of images that were looked at, but for those that get no label.
    async fn answer(
        &self,
        looks: Vec<Look>,
        top_k: usize,
        deadline: Instant,
        mut timing: Timing,
    ) -> Result<(Vec<Outcome>, Timing), ImagesError> {
        let (inputs, known): (Vec<_>, Vec<_>) =
            looks.into_iter().map(|look| (look.input, (look.refused, look.synthetic))).unzip();
        let settle = |index: usize, outcome: &mut Outcome| {
            let (refused, synthetic) = known[index];
            if let Some(reason) = refused {
                outcome.abstain(reason);
            }
            outcome.synthetic = synthetic;
        };
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
        let work = move || -> Result<_, ImagesError> {
            let start = Instant::now();
            let mut reader = service.reader()?;
            let mut looks = Vec::new();
            for input in pixels.fractions(reader.preprocessor.output_len()) {
                let colour = reader.preprocessor.colour_of(&input);
                looks.push(reader.look(input, colour)?);
            }
            service.keep(reader);
            Ok((looks, start.elapsed()))
        };
        let (read, queue) = self.preprocess.run(deadline, work).await.map_err(AskError::from)?;
        let (looks, preprocess) = read?;
        self.answer(looks, top_k, deadline, Timing { preprocess, queue, ..Timing::default() }).await
    }

    /// Decodes and preprocesses one image: here where it is small and `alone`, otherwise when a core is
    /// free for it. Says how long it waited for that.
    async fn read(
        self: Arc<Self>,
        index: usize,
        format: Format,
        bytes: Bytes,
        read_as: ReadAs,
        alone: bool,
        deadline: Instant,
    ) -> Result<(Reading, Duration), ImagesError> {
        let (few, small) = SMALL;
        if alone && self.is_small && bytes.len() <= few {
            let options = DecodeOptions { max_pixels: self.max_pixels.min(small), frame: read_as.frame };
            match self.reading(index, format, &bytes, &options, read_as.synthetic) {
                Err(ImagesError::Decode { error: DecodeError::TooLarge { .. }, .. }) => {}
                reading => return Ok((reading?, Duration::ZERO)),
            }
        }
        let preprocess = self.preprocess.clone();
        let options = DecodeOptions { max_pixels: self.max_pixels, frame: read_as.frame };
        let of_head = options.clone();
        let declared = head::read(&bytes, move |bytes| declared(format, bytes, &of_head)).await;
        let Some(Declared { memory: needed, size: (width, height), .. }) = declared else {
            return Err(AskError::from(InferenceError::Failed).into());
        };
        let limit = preprocess.limit();
        if needed > limit {
            // Where the size is over the limit of pixels, it says more than bytes do.
            let error = match width.saturating_mul(height) > self.max_pixels {
                true => DecodeError::TooLarge { width, height, limit: self.max_pixels },
                false => DecodeError::TooMuchMemory { needed, limit },
            };
            return Err(ImagesError::Decode { index, error });
        }
        let work = move || self.reading(index, format, &bytes, &options, read_as.synthetic);
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
        synthetic: bool,
    ) -> Result<Reading, ImagesError> {
        let start = Instant::now();
        let mut image =
            decode(format, bytes, options).map_err(|error| ImagesError::Decode { index, error })?;
        let decode = start.elapsed();
        let made = vision::synthetic::is_made(format, bytes, &image);
        if made {
            if !synthetic {
                return Err(ImagesError::Synthetic { index });
            }
            image = vision::synthetic::unmarked(image);
        }
        let mut reader = self.reader()?;
        let input = reader.preprocessor.fractions(&image)?;
        let (colour, seen) = (reader.preprocessor.colour(), reader.preprocessor.seen(&image));
        let mut look = reader.look(input, colour)?;
        self.keep(reader);
        look.synthetic = made;
        let unseen =
            |image| vision::is_cut_short(image, &self.input) || vision::is_too_small(image, &self.input);
        if look.refused.is_none() && unseen(&image) {
            look.refused = Some(Reason::UnlikeTraining);
        }
        // Only such a file says what it is; of others the header is not read a second time.
        if format == Format::Dicom
            && let Some(accepts) = &self.input.accepts
            && !is_accepted(accepts, declared(format, bytes, options).identity)
        {
            look.refused = Some(Reason::WrongModality);
        }
        Ok(Reading { look, seen, decode, preprocess: start.elapsed() - decode })
    }

    /// A reader with its scratch memory, kept between requests.
    fn reader(&self) -> Result<Reader, PreprocessError> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let fresh = || {
            let preprocessor = Preprocessor::new(self.input.clone())?;
            Ok(Reader { preprocessor, likeness: self.likeness.clone() })
        };
        kept.map_or_else(fresh, Ok)
    }

    fn keep(&self, reader: Reader) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }
}

/// Whether a file that says this of itself may be what the model reads.
fn is_accepted(accepts: &Accepts, identity: Identity) -> bool {
    let [modality, part] = [identity.modality, identity.body_part].map(Option::unwrap_or_default);
    !identity.inhuman
        && accepts.admits(&modality, &part, "")
        && identity.views.iter().all(|view| accepts.admits("", "", view))
        && identity.age.is_none_or(|age| accepts.admits_age(age))
}
