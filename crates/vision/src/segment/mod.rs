//! A label for every pixel: what a segmentation model makes of a picture, in training's measures and in the
//! server alike.
//!
//! A picture is read whole, resized to the network, or at its own size in tiles; either way the answer has the
//! size of the picture.

pub mod objects;
pub mod rle;
pub mod tiles;

use model::Manifest;
use model::manifest::{Calibration, Crop, ImageInput, Input, Instances, Reading, Segmentation};
use nn::{Plan, Runner};

use super::image::Image;
use super::preprocess::{MAX_SIDE, PreprocessError, Preprocessor};
use objects::Growth;
use tiles::{mirrored, spans};

/// What is seen on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Index of the label of each pixel, 0 for background.
    pub labels: Vec<u8>,
    /// Number of the object at each pixel, 0 for none, where objects are told apart.
    pub objects: Option<Vec<u32>>,
    /// Mean over the pixels of the highest probability.
    pub confidence: f32,
}

/// Why a picture has no regions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SegmentError {
    /// It is larger than can be read in tiles.
    #[error(
        "a picture of {width} x {height} pixels is more than the {MAX_SIDE} x {MAX_SIDE} that are read in tiles"
    )]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// It could not be preprocessed.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The network did not answer.
    #[error("the network failed: {0}")]
    Network(String),
    /// Its answer is no number.
    #[error("the network's answer is not a number")]
    NotFinite,
    /// Nobody waits for the answer any more.
    #[error("the picture was given up")]
    Stopped,
}

/// A segmentation model ready to be run. Copies share the weights.
#[derive(Clone)]
pub struct Segmenter {
    runner: Runner,
    input: ImageInput,
    segmentation: Segmentation,
    temperature: f32,
    /// Maps that the network gives.
    outputs: usize,
}

/// Probabilities of a picture at its own size, in 1 / 255.
pub struct Maps {
    height: usize,
    width: usize,
    /// The most probable label of each pixel; an edge counts as its object.
    labels: Vec<u8>,
    /// That it is the inside of an object.
    inside: Vec<u8>,
    /// That it is no background.
    object: Vec<u8>,
    sum: f64,
}

impl Maps {
    /// The regions, with objects told apart where `instances` says how.
    pub fn regions(&self, instances: Option<&Instances>) -> Regions {
        let Maps { height, width, ref labels, ref inside, ref object, sum } = *self;
        let mut labels = labels.clone();
        let objects = instances.map(|instances| {
            let Instances { seed, object: least, pixels } = *instances;
            let byte = |share: f32| (share * 255.0).round().clamp(1.0, 255.0) as u8;
            let growth = Growth { seed: byte(seed), object: byte(least), least: pixels as usize };
            let objects = objects::objects(inside, object, width, &growth);
            labels.iter_mut().zip(&objects).for_each(|(label, number)| *label = u8::from(*number > 0));
            objects
        });
        let confidence = (sum / (height * width).max(1) as f64) as f32;
        Regions { height, width, labels, objects, confidence }
    }
}

impl Segmenter {
    /// The model of a manifest with its plan; `None` where the manifest describes no segmentation.
    pub fn new(manifest: &Manifest, plan: std::sync::Arc<Plan>) -> Option<Segmenter> {
        let (Input::Image(input), Some(segmentation)) = (&manifest.input, &manifest.segmentation) else {
            return None;
        };
        let Calibration { temperature, .. } = manifest.calibration;
        let outputs = segmentation.outputs(manifest.labels.len());
        let (input, segmentation) = (input.clone(), segmentation.clone());
        Some(Segmenter { runner: Runner::new(plan), input, segmentation, temperature, outputs })
    }

    /// The regions of a picture. `stop` is asked before each tile.
    ///
    /// # Errors
    /// A picture too large to be read; a network that fails.
    pub fn run(&mut self, image: &Image, stop: impl Fn() -> bool) -> Result<Regions, SegmentError> {
        let maps = self.maps(image, stop)?;
        Ok(maps.regions(self.segmentation.instances.as_ref()))
    }

    /// What the network says of each pixel of a picture, from which its regions are made. `stop` is asked before each tile.
    ///
    /// # Errors
    /// As [`Segmenter::run`].
    pub fn maps(&mut self, image: &Image, stop: impl Fn() -> bool) -> Result<Maps, SegmentError> {
        match self.segmentation.reading {
            Reading::Whole => self.whole(image, &stop),
            Reading::Tiles { overlap } => self.tiles(image, overlap as usize, &stop),
        }
    }

    fn empty(&self, height: usize, width: usize) -> Maps {
        let [labels, inside, object] = [0; 3].map(|_| vec![0u8; height * width]);
        Maps { height, width, labels, inside, object, sum: 0.0 }
    }

    fn whole(&mut self, image: &Image, stop: &impl Fn() -> bool) -> Result<Maps, SegmentError> {
        if stop() {
            return Err(SegmentError::Stopped);
        }
        let values = Preprocessor::new(self.input.clone())?.run(image)?;
        let logits = self.logits(&values)?;
        let (rows, columns) = (self.input.height as usize, self.input.width as usize);
        let (height, width) = (image.height() as usize, image.width() as usize);
        let mut maps = self.empty(height, width);
        let mut pixel = vec![0f32; self.outputs];
        // Of the two places around on each side, and the share of the second.
        let between = |at: usize, length: usize, own: usize| {
            let place = ((at as f32 + 0.5) * own as f32 / length as f32 - 0.5).clamp(0.0, (own - 1) as f32);
            (place as usize, (place as usize + 1).min(own - 1), place.fract())
        };
        for row in 0..height {
            let (above, below, down) = between(row, height, rows);
            for column in 0..width {
                let (left, right, across) = between(column, width, columns);
                for (map, value) in logits.chunks_exact(rows * columns).zip(&mut pixel) {
                    let at = |row: usize, column: usize| map[row * columns + column];
                    let upper = at(above, left) * (1.0 - across) + at(above, right) * across;
                    let lower = at(below, left) * (1.0 - across) + at(below, right) * across;
                    *value = upper * (1.0 - down) + lower * down;
                }
                self.settle(&mut pixel, &mut maps, row * width + column)?;
            }
        }
        Ok(maps)
    }

    fn tiles(
        &mut self,
        image: &Image,
        overlap: usize,
        stop: &impl Fn() -> bool,
    ) -> Result<Maps, SegmentError> {
        let values = own_size(image, &self.input)?;
        let (height, width) = (image.height() as usize, image.width() as usize);
        let (rows, columns) = (self.input.height as usize, self.input.width as usize);
        let mut maps = self.empty(height, width);
        let mut pixel = vec![0f32; self.outputs];
        let across = spans(width, columns, overlap);
        for down in spans(height, rows, overlap) {
            for span in &across {
                if stop() {
                    return Err(SegmentError::Stopped);
                }
                let tile = cut(&values, (height, width), (down.start, span.start), (rows, columns));
                let logits = self.logits(&tile)?;
                for row in down.answers.clone() {
                    for column in span.answers.clone() {
                        let at = (row - down.start) * columns + column - span.start;
                        let own = logits[at..].iter().step_by(rows * columns);
                        pixel.iter_mut().zip(own).for_each(|(pixel, logit)| *pixel = *logit);
                        self.settle(&mut pixel, &mut maps, row * width + column)?;
                    }
                }
            }
        }
        Ok(maps)
    }

    /// Turns the logits of a pixel into probabilities and writes down what is kept of them.
    fn settle(&self, pixel: &mut [f32], maps: &mut Maps, at: usize) -> Result<(), SegmentError> {
        let most = pixel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !most.is_finite() || pixel.iter().any(|value| value.is_nan()) {
            return Err(SegmentError::NotFinite);
        }
        if self.segmentation.instances.is_some() && pixel.len() == 3 {
            // Calibrated is whether there is an object; how much of that is its inside the network says.
            let (object, inside) = (joined(&pixel[1..]), pixel[1]);
            let share = (inside - object).exp();
            let object = 1.0 / (1.0 + ((pixel[0] - object) / self.temperature).exp());
            let byte = |value: f32| (value * 255.0).round() as u8;
            maps.labels[at] = u8::from(object > 0.5);
            maps.inside[at] = byte(object * share);
            maps.object[at] = byte(object);
            maps.sum += f64::from(object.max(1.0 - object));
            return Ok(());
        }
        let mut total = 0.0;
        for value in pixel.iter_mut() {
            *value = ((*value - most) / self.temperature).exp();
            total += *value;
        }
        let byte = |value: f32| (value / total * 255.0).round() as u8;
        let best =
            (0..pixel.len()).fold(0, |best, label| if pixel[label] > pixel[best] { label } else { best });
        maps.labels[at] = best as u8;
        maps.object[at] = byte(total - pixel[0]);
        maps.sum += f64::from(pixel[best] / total);
        Ok(())
    }

    fn logits(&mut self, values: &[f32]) -> Result<Vec<f32>, SegmentError> {
        let mut logits = Vec::new();
        let run = self.runner.run(&[values], |row| logits.extend_from_slice(row));
        run.map_err(|error| SegmentError::Network(error.to_string()))?;
        Ok(logits)
    }
}

/// The logit of any of several labels together, before calibration.
pub fn joined(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    most + logits.iter().map(|logit| (logit - most).exp()).sum::<f32>().ln()
}

/// A picture's values at its own size, normalised over all of it.
///
/// # Errors
/// A picture of more than [`MAX_SIDE`] on a side.
pub fn own_size(image: &Image, input: &ImageInput) -> Result<Vec<f32>, SegmentError> {
    let (width, height) = (image.width(), image.height());
    if width.max(height) > MAX_SIDE {
        return Err(SegmentError::TooLarge { width, height });
    }
    let own = ImageInput { height, width, crop: Crop::None, ..input.clone() };
    Ok(Preprocessor::new(own)?.run(image)?)
}

/// The part of planes of `size` that begins at `start`, beyond their ends mirrored.
pub fn cut(values: &[f32], size: (usize, usize), start: (usize, usize), tile: (usize, usize)) -> Vec<f32> {
    let (height, width) = size;
    let mut part = Vec::with_capacity(values.len() / (height * width) * tile.0 * tile.1);
    for plane in values.chunks_exact(height * width) {
        for row in start.0..start.0 + tile.0 {
            let line = &plane[mirrored(row, height) * width..][..width];
            let inner = start.1.min(width)..(start.1 + tile.1).min(width);
            let beyond = inner.end..start.1 + tile.1;
            part.extend_from_slice(&line[inner]);
            part.extend(beyond.map(|column| line[mirrored(column, width)]));
        }
    }
    part
}

/// Bytes that a picture of so many pixels takes beside its own while it is segmented.
pub fn memory(pixels: u64, channels: u32) -> u64 {
    // Values of four bytes a channel; label, inside and object; two maps of numbers; a queue of places.
    pixels * (4 * u64::from(channels) + 3 + 8 + 16)
}
