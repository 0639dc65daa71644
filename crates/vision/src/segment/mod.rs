//! A label for every pixel: what a segmentation model makes of a picture, in training's measures and in the
//! server alike.
//!
//! A picture is read whole, resized to the network, or at its own size in tiles; either way the answer has the
//! size of the picture. One whose pixels are not square is read in tiles as it is shown, in square ones.

mod found;
pub mod objects;
pub mod rle;
pub mod tiles;
pub mod views;

use model::Manifest;
use model::manifest::{Calibration, Crop, ImageInput, Input, Reading, Segmentation};
use nn::{Plan, Runner};

use super::image::Image;
use super::preprocess::{MAX_SIDE, PreprocessError, Preprocessor};
use found::area;
pub use found::{Maps, Regions};
use tiles::{mirrored, spans};
use views::views;

/// A picture of more tiles than these is read in one view, however many the manifest says: it takes long enough.
const MOST_TILES: usize = 64;

/// Why a picture has no regions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SegmentError {
    /// It is larger than can be read in tiles.
    #[error(
        "a picture of {width} x {height} square pixels is more than the {MAX_SIDE} x {MAX_SIDE} that are read in tiles"
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
        Maps { height, width, labels, inside, object, sum: 0.0, area: 1.0 }
    }

    fn whole(&mut self, image: &Image, stop: &impl Fn() -> bool) -> Result<Maps, SegmentError> {
        let values = Preprocessor::new(self.input.clone())?.run(image)?;
        let logits = self.logits(&values, self.segmentation.views, stop)?;
        let (rows, columns) = (self.input.height as usize, self.input.width as usize);
        let (height, width) = (image.height() as usize, image.width() as usize);
        let mut maps = Maps { area: area(image), ..self.empty(height, width) };
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
        let (width, height) = image.square_size();
        let (height, width) = (height as usize, width as usize);
        let (rows, columns) = (self.input.height as usize, self.input.width as usize);
        let mut maps = self.empty(height, width);
        let mut pixel = vec![0f32; self.outputs];
        let (below, across) = (spans(height, rows, overlap), spans(width, columns, overlap));
        let many = below.len() * across.len() > MOST_TILES;
        let views = if many { 1 } else { self.segmentation.views };
        for down in below {
            for span in &across {
                let tile = cut(&values, (height, width), (down.start, span.start), (rows, columns));
                let logits = self.logits(&tile, views, stop)?;
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
        Ok(maps.in_pixels_of(image))
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

    /// The maps of a tile as large as the network's input, in as many views as the manifest says, before calibration.
    ///
    /// # Errors
    /// A network that fails.
    pub fn tile(&mut self, values: &[f32]) -> Result<Vec<f32>, SegmentError> {
        self.logits(values, self.segmentation.views, &|| false)
    }

    /// The maps of a tile: logits, or of several views the logarithm of their mean probabilities, which is calibrated as
    /// logits are. `stop` is asked before each view.
    fn logits(
        &mut self,
        values: &[f32],
        count: u8,
        stop: &impl Fn() -> bool,
    ) -> Result<Vec<f32>, SegmentError> {
        let views = views(count);
        if views.len() == 1 {
            return if stop() { Err(SegmentError::Stopped) } else { self.once(values) };
        }
        let size = (self.input.height as usize, self.input.width as usize);
        let area = size.0 * size.1;
        let mut means = vec![0f32; self.outputs * area];
        let mut pixel = vec![0f32; self.outputs];
        for view in views {
            if stop() {
                return Err(SegmentError::Stopped);
            }
            let logits = self.once(&view.of(values, size))?;
            for (at, place) in view.places(size).enumerate() {
                let own = logits[at..].iter().step_by(area);
                pixel.iter_mut().zip(own).for_each(|(pixel, logit)| *pixel = *logit);
                let all = joined(&pixel);
                if !all.is_finite() {
                    return Err(SegmentError::NotFinite);
                }
                let means = means[place..].iter_mut().step_by(area);
                means.zip(&pixel).for_each(|(mean, logit)| *mean += (logit - all).exp());
            }
        }
        let count = views.len() as f32;
        means.iter_mut().for_each(|mean| *mean = (*mean / count).max(f32::MIN_POSITIVE).ln());
        Ok(means)
    }

    fn once(&mut self, values: &[f32]) -> Result<Vec<f32>, SegmentError> {
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

/// A picture's values at its own size in square pixels, normalised over all of it.
///
/// # Errors
/// A picture of more than [`MAX_SIDE`] on a side.
pub fn own_size(image: &Image, input: &ImageInput) -> Result<Vec<f32>, SegmentError> {
    let (width, height) = image.square_size();
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

/// Bytes that a picture of so many pixels takes beside its own while it is segmented, where it is read in so many square ones.
pub fn memory(pixels: u64, square: u64, channels: u32) -> u64 {
    // Pixels that are not square are resampled first, in colour of 16 bits and in two steps at the most.
    let resampled = if square == pixels { 0 } else { square.saturating_mul(12) };
    // Values of four bytes a channel; label, inside and object; two maps of numbers; a queue of places.
    square.saturating_mul(4 * u64::from(channels) + 3 + 8 + 16).saturating_add(resampled)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::network;
    use nn::{Params, random};

    const SIDE: u32 = 16;

    /// A network of chance, which says another thing of every view.
    fn segmenter(views: u8, instances: bool) -> Segmenter {
        let mut segmentation = json!({"reading": {"kind": "tiles", "overlap": 4}, "views": views});
        if instances {
            segmentation["instances"] = json!({"seed": 0.5, "object": 0.5, "pixels": 4});
        }
        let stage = |channels, stride| json!({"channels": channels, "blocks": 1, "stride": stride});
        let manifest: Manifest = serde_json::from_value(json!({
            "format": 1, "name": "a", "version": "1", "description": "", "labels": ["background", "spot"],
            "input": {"kind": "image", "height": SIDE, "width": SIDE, "channels": 1, "crop": "none", "resize": "bilinear",
                      "normalisation": {"kind": "per-image", "floor": 0.02}},
            "architecture": {"kind": "unet", "decoder": [4], "encoder": {
                "stem_channels": 4, "stem_kernel": 3, "stem_stride": 1, "dropout": 0.0,
                "stages": [stage(4, 1), stage(8, 2)]}},
            "segmentation": segmentation, "calibration": {"temperature": 1.5}, "abstain_below": 0.0,
            "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
            "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
            "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0},
        }))
        .unwrap();
        manifest.check().unwrap();
        let Input::Image(input) = &manifest.input else { panic!("an image") };
        let outputs = 2 + usize::from(instances);
        let plan = network::plan(&manifest.architecture, input, outputs, &mut Params::fresh(7), false);
        Segmenter::new(&manifest, Arc::new(plan.unwrap())).unwrap()
    }

    /// A square picture, and the same with rows for columns.
    fn pictures(side: u32) -> [Image; 2] {
        let mut rng = random::stream(1, "picture");
        let pixels: Vec<u8> = (0..side * side).map(|_| random::uniform(&mut rng, 0.0, 255.0) as u8).collect();
        let at = |row: u32, column: u32| pixels[(row * side + column) as usize];
        let other = (0..side * side).map(|place| at(place % side, place / side)).collect();
        [pixels.clone(), other].map(|pixels| Image::from_gray8(side, side, pixels).unwrap())
    }

    /// The most that the maps of a picture and of its transposed one differ by, one of them transposed back.
    fn difference(segmenter: &mut Segmenter, side: u32) -> u8 {
        let [own, other] = pictures(side).map(|picture| segmenter.maps(&picture, || false).unwrap());
        let side = side as usize;
        let places = 0..side * side;
        let apart = |a: &[u8], b: &[u8]| {
            places.clone().map(|at| a[at].abs_diff(b[at % side * side + at / side])).max().unwrap()
        };
        apart(&own.object, &other.object).max(apart(&own.inside, &other.inside))
    }

    #[test]
    fn in_eight_views_a_picture_and_its_transposed_one_have_the_same_answer() {
        for instances in [false, true] {
            // One tile, and sixteen.
            for side in [SIDE, 44] {
                assert!(difference(&mut segmenter(8, instances), side) <= 1);
                assert!(difference(&mut segmenter(1, instances), side) > 8);
                assert!(difference(&mut segmenter(4, instances), side) > 8);
            }
        }
    }

    #[test]
    fn the_mean_of_views_is_that_of_their_probabilities() {
        let [picture, _] = pictures(SIDE);
        let mut single = segmenter(1, false);
        let values = own_size(&picture, &single.input).unwrap();
        let size = (SIDE as usize, SIDE as usize);
        let chance = |logits: &[f32], at: usize| {
            let [a, b] = [logits[at], logits[at + size.0 * size.1]].map(f64::from);
            1.0 / (1.0 + (a - b).exp())
        };
        let mut want = vec![0.0; size.0 * size.1];
        for view in views(4) {
            let logits = single.tile(&view.of(&values, size)).unwrap();
            view.places(size).enumerate().for_each(|(at, place)| want[place] += chance(&logits, at) / 4.0);
        }
        let mean = segmenter(4, false).tile(&values).unwrap();
        for (at, want) in want.iter().enumerate() {
            assert!((chance(&mean, at) - want).abs() < 1e-5, "{at}: {} {want}", chance(&mean, at));
        }
    }

    #[test]
    fn a_large_picture_is_read_once_and_nobody_waits_for_one_that_was_given_up() {
        // 13 x 13 tiles.
        assert!(difference(&mut segmenter(8, false), 160) > 8);
        let [picture, _] = pictures(SIDE);
        let asked = std::cell::Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 5
        };
        assert_eq!(segmenter(8, false).maps(&picture, stop).err(), Some(SegmentError::Stopped));
        assert_eq!(asked.get(), 6);
    }

    #[test]
    fn pixels_that_are_not_square_are_read_in_square_ones_and_answered_for_as_they_are() {
        // Every second row of a picture, and what its pixels say of that.
        let tall = Image::from_gray8(40, 20, (0..800).map(|at| (at * 37 % 251) as u8).collect()).unwrap();
        let tall = tall.of_pixels(crate::PixelShape::new(2.0, 1.0).unwrap());
        let square = crate::in_square_pixels(tall.clone(), 1 << 20).unwrap();
        assert_eq!((square.width(), square.height()), (40, 40));
        let read = |image: &Image| segmenter(1, true).maps(image, || false).unwrap();
        let (own, whole) = (read(&tall), read(&square));
        assert_eq!((own.height, own.width, own.area), (20, 40, 2.0));
        for row in 0..20 {
            assert_eq!(own.object[row * 40..][..40], whole.object[(2 * row + 1) * 40..][..40], "{row}");
        }
        let (own, whole) = (own.regions(None), whole.regions(None));
        assert_eq!((own.height, own.width, own.labels.len()), (20, 40, 800));
        assert!((own.confidence - whole.confidence).abs() < 1e-6);
        // What is small is so in square pixels.
        let of = |area| {
            let objects = vec![1, 1, 0, 2, 2, 2];
            let labels = objects.iter().map(|number| u8::from(*number > 0)).collect();
            Regions {
                height: 2,
                width: 3,
                labels,
                objects: Some(objects),
                confidence: 1.0,
                certainty: 1.0,
                area,
            }
        };
        assert_eq!((of(1.0).median_pixels(), of(2.0).median_pixels()), (Some(2.5), Some(5.0)));
    }
}
