//! Pictures at a network's size, as training and measuring take them: in batches, altered or as they are.
//!
//! An image goes through the same crop and resize as in the server, once, and is kept at the network's size in its own samples;
//! channels and normalisation follow when a batch is made, again by the server's code.

use anyhow::Result;
use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::augment::{Augmentation, Planes};
use super::fit::Examples;
use model::manifest::{Crop, ImageInput};
use vision::{Image, PreprocessError, Preprocessor};

/// One split, every image at the network's size.
pub struct ImageSet {
    input: ImageInput,
    images: Vec<Image>,
    labels: Vec<usize>,
    augmentation: Option<Augmentation>,
}

impl ImageSet {
    /// Crops and resizes `examples` as the server would; `augmentation` alters training batches.
    ///
    /// # Errors
    /// An image that cannot be resized.
    pub fn new(
        examples: &[(Image, usize)],
        input: &ImageInput,
        augmentation: Option<Augmentation>,
    ) -> Result<ImageSet> {
        let mut preprocessor = Preprocessor::new(input.clone())?;
        let images =
            examples.iter().map(|(image, _)| preprocessor.resized(image)).collect::<Result<_, _>>()?;
        let labels = examples.iter().map(|(_, label)| *label).collect();
        // What is to be cut off has been.
        let input = ImageInput { crop: Crop::None, ..input.clone() };
        Ok(ImageSet { input, images, labels, augmentation })
    }

    fn tensor(&self, values: Vec<f32>, count: usize) -> candle_core::Result<Tensor> {
        let ImageInput { channels, height, width, .. } = self.input;
        Tensor::from_vec(values, (count, channels as usize, height as usize, width as usize), &Device::Cpu)
    }
}

impl Examples for ImageSet {
    type Batch = Tensor;

    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn batch(&self, indices: &[usize]) -> candle_core::Result<Tensor> {
        let mut preprocessor = Preprocessor::new(self.input.clone()).map_err(candle_core::Error::wrap)?;
        let mut values = Vec::with_capacity(indices.len() * preprocessor.output_len());
        for &index in indices {
            preprocessor.append(&self.images[index], &mut values).map_err(candle_core::Error::wrap)?;
        }
        self.tensor(values, indices.len())
    }

    fn training_batch(
        &self,
        indices: &[usize],
        targets: &mut [Vec<f32>],
        rng: &mut ChaCha8Rng,
    ) -> candle_core::Result<Tensor> {
        let Some(augmentation) = &self.augmentation else {
            return self.batch(indices);
        };
        let preprocessor = || Preprocessor::new(self.input.clone());
        let size = Planes {
            channels: self.input.channels as usize,
            height: self.input.height as usize,
            width: self.input.width as usize,
        };
        // Each copy has a seed of its own, so that the number of cores does not show.
        let seeded: Vec<(usize, u64)> = indices.iter().map(|index| (*index, rng.random())).collect();
        let copy = |preprocessor: &mut Result<Preprocessor, _>, (index, seed): &(usize, u64)| {
            let preprocessor = preprocessor.as_mut().map_err(|error: &mut PreprocessError| error.clone())?;
            let fractions = preprocessor.fractions(&self.images[*index])?;
            let mut copy = augmentation.apply(&fractions, size, &mut ChaCha8Rng::seed_from_u64(*seed));
            preprocessor.normalise(&mut copy);
            Ok::<_, PreprocessError>(copy)
        };
        let copies: Result<Vec<Vec<f32>>, _> = seeded.par_iter().map_init(preprocessor, copy).collect();
        let mut values = copies.map_err(candle_core::Error::wrap)?.concat();
        let each = size.channels * size.height * size.width;
        if let Some(share) = augmentation.mixture(rng) {
            // Each image is mixed with its neighbor in the batch, whose order is random.
            let (shifted_values, shifted_targets) = (rotated(&values, each), rotated(targets, 1));
            mix(&mut values, &shifted_values, share);
            for (target, other) in targets.iter_mut().zip(&shifted_targets) {
                mix(target, other, share);
            }
        }
        self.tensor(values, indices.len())
    }
}

fn rotated<T: Clone>(values: &[T], by: usize) -> Vec<T> {
    let mut turned = values.to_vec();
    turned.rotate_left(by);
    turned
}

fn mix(values: &mut [f32], others: &[f32], share: f32) {
    for (value, other) in values.iter_mut().zip(others) {
        *value = share * *value + (1.0 - share) * other;
    }
}
