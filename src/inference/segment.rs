//! Serving a model that outlines regions: a picture is decoded, cut into tiles, run and put together by one
//! of the threads that read pictures.
//!
//! A picture is many tiles, so there is nothing to gather from several requests: as many pictures as there are cores are
//! worked on, each by one core, and the others wait as they do for their decoding.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;

use super::InferenceError;
use super::meter::{self, Meter};
use super::pool::{AskError, Timing};
use super::prediction::Reason;
use super::preprocess_pool::PreprocessPool;
use crate::config::Config;
use model::manifest::{ImageInput, Input, Reading, Segmentation};
use model::package::MANIFEST;
use model::{Manifest, Package, PackageError};
use nn::Params;
use vision::likeness::Likeness;
use vision::segment::{Regions, SegmentError, Segmenter};
use vision::synthetic::is_made;
use vision::{DecodeError, DecodeOptions, Format, Image, Preprocessor, declared, decode, network, segment};

/// Why pictures got no regions.
#[derive(Debug, thiserror::Error)]
pub enum SegmentsError {
    /// The picture at this place in the request could not be read.
    #[error("image {}: {error}", .index + 1)]
    Decode {
        /// Place in the request, from 0.
        index: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The picture at this place says that it was made by a model.
    #[error("image {}: it is marked as synthetic, and shows nobody", .index + 1)]
    Synthetic {
        /// Place in the request, from 0.
        index: usize,
    },
    /// The picture at this place could not be segmented.
    #[error("image {}: {error}", .index + 1)]
    Segment {
        /// Place in the request, from 0.
        index: usize,
        /// Why.
        error: SegmentError,
    },
    /// There was no room or no time.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// What a model says of a picture.
pub struct Outlined {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// What is where, or why the model does not say: the picture, or what is found in it, is unlike those of training, or the
    /// mean confidence is below its threshold.
    pub regions: Result<Regions, Reason>,
}

/// What reads and segments pictures, with its memory; kept between requests.
struct Reader {
    segmenter: Segmenter,
    likeness: Option<(Preprocessor, Likeness)>,
}

impl Reader {
    /// The regions of a picture, if the model stands by them. A picture that is unlike those of training is not even asked
    /// about: the network takes a hundred times as long as to see that.
    fn read(
        &mut self,
        image: &Image,
        manifest: &Manifest,
        deadline: Instant,
    ) -> Result<Result<Regions, Reason>, SegmentError> {
        if let Some(reason) = self.refused(image)? {
            return Ok(Err(reason));
        }
        // In tiles a picture is read as it is, and none is too small.
        if let (Input::Image(input), Some(Segmentation { reading: Reading::Whole, .. })) =
            (&manifest.input, &manifest.segmentation)
            && vision::is_too_small(image, input)
        {
            return Ok(Err(Reason::UnlikeTraining));
        }
        let regions = self.segmenter.run(image, || Instant::now() >= deadline)?;
        let unlike = manifest.segmentation.as_ref().is_some_and(|segmentation| regions.unlike(segmentation));
        Ok(match (unlike, regions.confidence < manifest.abstain_below) {
            (true, _) => Err(Reason::UnlikeTraining),
            (false, true) => Err(Reason::LowConfidence),
            (false, false) => Ok(regions),
        })
    }

    /// Why a picture gets no regions, whatever the network makes of it.
    fn refused(&mut self, image: &Image) -> Result<Option<Reason>, SegmentError> {
        let Some((preprocessor, likeness)) = &mut self.likeness else { return Ok(None) };
        let fractions = preprocessor.fractions(image)?;
        if preprocessor.is_blank(&fractions) {
            return Ok(Some(Reason::Blank));
        }
        let strangeness = likeness.strangeness(&fractions, preprocessor.colour());
        let strangeness = strangeness.map_err(|error| SegmentError::Network(error.to_string()))?;
        Ok((strangeness > 1.0).then_some(Reason::UnlikeTraining))
    }
}

/// A served model that outlines regions.
pub struct SegmentService {
    /// What it is.
    pub manifest: Manifest,
    /// Its model card.
    pub card: String,
    input: ImageInput,
    readers: Mutex<Vec<Reader>>,
    first: Segmenter,
    likeness: Option<Likeness>,
    preprocess: Arc<PreprocessPool>,
    max_pixels: u64,
    meter: Meter,
}

impl SegmentService {
    /// Builds and warms the network of a package.
    ///
    /// # Errors
    /// A package whose weights do not fit, or that does not answer with finite numbers.
    pub fn start(
        package: Package,
        config: &Config,
        preprocess: Arc<PreprocessPool>,
    ) -> Result<SegmentService, PackageError> {
        let Package { folder, manifest, weights, card } = package;
        let file = folder.join(MANIFEST);
        let (Input::Image(input), Some(segmentation)) = (manifest.input.clone(), &manifest.segmentation)
        else {
            return Err(PackageError::new(file, "this model outlines no regions"));
        };
        let outputs = segmentation.outputs(manifest.labels.len());
        let misfit =
            |error: &dyn std::fmt::Display| PackageError::new(folder.join(&manifest.weights.file), error);
        let mut params = Params::frozen(weights);
        let exact = manifest.exact_convolution;
        let plan = network::plan(&manifest.architecture, &input, outputs, &mut params, exact);
        let plan = plan.and_then(|plan| params.finish().map(|()| plan)).map_err(|error| misfit(&error))?;
        if plan.labels() != outputs * input.height as usize * input.width as usize {
            return Err(PackageError::new(file, "the network's maps are not as large as its input"));
        }
        let Some(mut first) = Segmenter::new(&manifest, Arc::new(plan)) else {
            return Err(PackageError::new(file, "this model outlines no regions"));
        };
        let blank = Image::from_gray8(8, 8, vec![0; 64]).map_err(|error| misfit(&error))?;
        first.run(&blank, || false).map_err(|error| misfit(&error))?;
        let likeness = Likeness::read(&folder, &manifest)?;
        let meter = Meter::new(&manifest);
        let (readers, max_pixels) = (Mutex::default(), config.max_pixels);
        Ok(SegmentService { manifest, card, input, readers, first, likeness, preprocess, max_pixels, meter })
    }

    /// Outlines the pictures of one request, all or none of them.
    ///
    /// # Errors
    /// The first picture that cannot be read or segmented; no room or no time.
    pub async fn segment(
        self: &Arc<Self>,
        images: Vec<(Format, Bytes)>,
        frame: Option<u32>,
        deadline: Instant,
    ) -> Result<(Vec<Outlined>, Timing), SegmentsError> {
        let one = |(index, (format, bytes))| self.clone().one(index, format, bytes, frame, deadline);
        let mut timing = Timing::default();
        let mut all = Vec::new();
        for done in join_all(images.into_iter().enumerate().map(one)).await {
            let (outlined, decode, inference, queue) = done.inspect_err(|error| {
                if let SegmentsError::Ask(error) = error {
                    meter::refused(error);
                }
            })?;
            timing.decode = timing.decode.max(decode);
            timing.inference = timing.inference.max(inference);
            timing.queue = timing.queue.max(queue);
            all.push(outlined);
        }
        self.meter.outlined(all.iter().map(|one| one.regions.as_ref().ok()), &timing);
        Ok((all, timing))
    }

    async fn one(
        self: Arc<Self>,
        index: usize,
        format: Format,
        bytes: Bytes,
        frame: Option<u32>,
        deadline: Instant,
    ) -> Result<(Outlined, Duration, Duration, Duration), SegmentsError> {
        let options = DecodeOptions { max_pixels: self.max_pixels, frame };
        let limit = self.preprocess.limit();
        let declared = declared(format, &bytes, &options);
        let (width, height) = declared.size;
        let pixels = width.saturating_mul(height);
        if pixels > self.max_pixels {
            let error = DecodeError::TooLarge { width, height, limit: self.max_pixels };
            return Err(SegmentsError::Decode { index, error });
        }
        let reading = self.manifest.segmentation.as_ref().map(|segmentation| segmentation.reading);
        let (width, height) = match reading {
            Some(Reading::Tiles { .. }) => declared.square_size(),
            _ => declared.size,
        };
        let square = width.saturating_mul(height);
        let needed = declared.memory.saturating_add(segment::memory(pixels, square, self.input.channels));
        if needed > limit {
            let error = DecodeError::TooMuchMemory { needed, limit };
            return Err(SegmentsError::Decode { index, error });
        }
        let preprocess = self.preprocess.clone();
        let work = move || self.outline(index, format, &bytes, &options, deadline);
        let (done, waited) = preprocess.run_within(needed, deadline, work).await.map_err(AskError::from)?;
        let (outlined, decode, inference) = done?;
        Ok((outlined, decode, inference, waited))
    }

    fn reader(&self) -> Result<Reader, SegmentError> {
        if let Some(kept) = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(kept);
        }
        let likeness = match &self.likeness {
            Some(likeness) => Some((Preprocessor::new(self.input.clone())?, likeness.clone())),
            None => None,
        };
        Ok(Reader { segmenter: self.first.clone(), likeness })
    }

    fn outline(
        &self,
        index: usize,
        format: Format,
        bytes: &[u8],
        options: &DecodeOptions,
        deadline: Instant,
    ) -> Result<(Outlined, Duration, Duration), SegmentsError> {
        let start = Instant::now();
        let image = decode(format, bytes, options).map_err(|error| SegmentsError::Decode { index, error })?;
        let decode = start.elapsed();
        if is_made(format, bytes, &image) {
            return Err(SegmentsError::Synthetic { index });
        }
        let mut reader = self.reader().map_err(|error| SegmentsError::Segment { index, error })?;
        let regions = reader.read(&image, &self.manifest, deadline);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        let regions = regions.map_err(|error| match error {
            SegmentError::Stopped => SegmentsError::Ask(AskError::Inference(InferenceError::DeadlinePassed)),
            error => SegmentsError::Segment { index, error },
        })?;
        let (height, width) = (image.height() as usize, image.width() as usize);
        Ok((Outlined { height, width, regions }, decode, start.elapsed() - decode))
    }
}
