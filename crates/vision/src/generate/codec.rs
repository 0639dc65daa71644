//! A picture as a few numbers for each of its squares, and back.
//!
//! Neighboring pixels say nearly the same. Of a square of 4 x 4 pixels in three colours half of the principal components hold
//! next to everything, and on maps of a sixteenth of the places a network is that much faster. Each component is divided by the
//! root of its deviation: between noise that drowns small components at once and noise that drowns all alike.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, bail};
use model::manifest::{Generation, ImageInput};

const MEAN: &str = "codec.mean";
const BASIS: &str = "codec.basis";
const SCALE: &str = "codec.scale";

/// What the numbers of a square stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Codec {
    /// Channels, rows and columns of a picture.
    size: (usize, usize, usize),
    patch: usize,
    /// Of a square: (channels, rows, columns).
    mean: Vec<f32>,
    /// One row of a square's values a component, of norm 1 and at right angles to each other.
    basis: Vec<f32>,
    /// What a component is divided by.
    scale: Vec<f32>,
}

impl Codec {
    /// From the mean of the squares, the components one after the other, and what each is divided by.
    ///
    /// # Errors
    /// Numbers of values that do not fit the manifest.
    pub fn new(
        generation: &Generation,
        input: &ImageInput,
        mean: Vec<f32>,
        basis: Vec<f32>,
        scale: Vec<f32>,
    ) -> Result<Codec> {
        let ImageInput { height, width, channels, .. } = *input;
        let size = (channels as usize, height as usize, width as usize);
        let Generation { patch, components, .. } = *generation;
        let values = patch * patch * size.0;
        if mean.len() != values || basis.len() != values * components || scale.len() != components {
            bail!("the squares' components are not {components} of {values} values")
        }
        Ok(Codec { size, patch, mean, basis, scale })
    }

    /// Takes it out of the weights of a package.
    ///
    /// # Errors
    /// A tensor that is missing or does not fit the manifest.
    pub fn take(
        weights: &mut BTreeMap<String, Tensor>,
        generation: &Generation,
        input: &ImageInput,
    ) -> Result<Codec> {
        let mut take = |name: &str| match weights.remove(name) {
            Some(tensor) => tensor.flatten_all()?.to_vec1::<f32>(),
            None => bail!("the weights have no tensor \"{name}\""),
        };
        let (mean, basis, scale) = (take(MEAN)?, take(BASIS)?, take(SCALE)?);
        Codec::new(generation, input, mean, basis, scale)
    }

    /// Puts it among the weights of a package.
    ///
    /// # Errors
    /// Memory that runs out.
    pub fn put(&self, weights: &mut BTreeMap<String, Tensor>) -> Result<()> {
        let (values, components) = (self.mean.len(), self.scale.len());
        let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu);
        weights.insert(MEAN.to_string(), tensor(&self.mean, &[values])?);
        weights.insert(BASIS.to_string(), tensor(&self.basis, &[components, values])?);
        weights.insert(SCALE.to_string(), tensor(&self.scale, &[components])?);
        Ok(())
    }

    /// Calls `f` with the number of each square and where its values lie in a picture.
    fn squares(&self, mut f: impl FnMut(usize, &mut dyn Iterator<Item = usize>)) {
        let (channels, height, width) = self.size;
        let patch = self.patch;
        let columns = width / patch;
        for square in 0..(height / patch) * columns {
            let (top, left) = (square / columns * patch, square % columns * patch);
            let row = |channel: usize, row: usize| {
                let start = (channel * height + top + row) * width + left;
                start..start + patch
            };
            let rows = (0..channels).flat_map(|channel| (0..patch).map(move |row| (channel, row)));
            f(square, &mut rows.flat_map(|(channel, at)| row(channel, at)));
        }
    }

    /// The values of every square of a picture, one after the other.
    pub fn cut(size: (usize, usize, usize), patch: usize, picture: &[f32]) -> Vec<Vec<f32>> {
        let codec = Codec { size, patch, mean: Vec::new(), basis: Vec::new(), scale: Vec::new() };
        let mut squares = Vec::new();
        codec.squares(|_, places| squares.push(places.map(|at| picture[at]).collect()));
        squares
    }

    /// The numbers (components, rows, columns) of a picture of (channels, rows, columns).
    pub fn encode(&self, picture: &[f32]) -> Vec<f32> {
        let places = picture.len() / self.mean.len().max(1);
        let mut numbers = vec![0.0; places * self.scale.len()];
        // Value by value, for all components at once: a sum for each of its own would wait for every addition.
        let (count, values) = (self.scale.len(), self.mean.len());
        let across: Vec<f32> =
            (0..values).flat_map(|at| (0..count).map(move |k| self.basis[k * values + at])).collect();
        let mut along = vec![0.0f32; count];
        self.squares(|square, places_of_values| {
            along.fill(0.0);
            for ((at, mean), parts) in places_of_values.zip(&self.mean).zip(across.chunks_exact(count)) {
                let apart = picture[at] - mean;
                along.iter_mut().zip(parts).for_each(|(along, part)| *along += apart * part);
            }
            for (k, (along, scale)) in along.iter().zip(&self.scale).enumerate() {
                numbers[k * places + square] = along / scale;
            }
        });
        numbers
    }

    /// The picture (channels, rows, columns) of numbers (components, rows, columns).
    pub fn decode(&self, numbers: &[f32]) -> Vec<f32> {
        let (channels, height, width) = self.size;
        let places = numbers.len() / self.scale.len().max(1);
        let mut picture = vec![0.0; channels * height * width];
        let mut values = vec![0.0f32; self.mean.len()];
        self.squares(|square, into| {
            values.copy_from_slice(&self.mean);
            let components = self.basis.chunks_exact(self.mean.len()).zip(&self.scale);
            for (k, (component, scale)) in components.enumerate() {
                let along = numbers[k * places + square] * scale;
                values.iter_mut().zip(component).for_each(|(value, part)| *value += along * part);
            }
            into.zip(&values).for_each(|(at, value)| picture[at] = *value);
        });
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::manifest::{Crop, Normalisation, ResizeFilter};

    fn input() -> ImageInput {
        ImageInput {
            height: 4,
            width: 6,
            channels: 3,
            crop: Crop::Centre,
            resize: ResizeFilter::Bicubic,
            normalisation: Normalisation::PerImage { floor: 0.02 },
            accepts: None,
        }
    }

    #[test]
    fn all_components_give_the_picture_back_and_the_places_are_those_of_the_squares() {
        let generation = Generation {
            patch: 2,
            components: 12,
            frequencies: 3,
            steps: 4,
            guidance: 0.0,
            noise_kept: 0.0,
            noise_anew: 0.0,
            metrics: None,
        };
        // Each value is its own component, in another order and with another sign.
        let mut basis = vec![0.0; 12 * 12];
        (0..12).for_each(|k| basis[k * 12 + (5 * k + 1) % 12] = if k % 2 == 0 { 1.0 } else { -1.0 });
        let scale: Vec<f32> = (1..=12).map(|k| k as f32 / 4.0).collect();
        let codec = Codec::new(&generation, &input(), vec![0.5; 12], basis, scale).unwrap();
        let picture: Vec<f32> = (0..72).map(|at| (at * 7 % 72) as f32 / 72.0).collect();
        let numbers = codec.encode(&picture);
        assert_eq!(numbers.len(), 12 * 6);
        // The second square of the first row begins at the third column.
        let first = (picture[2 + 1] - 0.5) / 0.25;
        assert!((numbers[1] - first).abs() < 1e-6, "{} for {first}", numbers[1]);
        let back = codec.decode(&numbers);
        assert!(back.iter().zip(&picture).all(|(a, b)| (a - b).abs() < 1e-6));
        let mut weights = BTreeMap::new();
        codec.put(&mut weights).unwrap();
        assert_eq!(Codec::take(&mut weights, &generation, &input()).unwrap(), codec);
        assert!(weights.is_empty());
        let error = Codec::take(&mut weights, &generation, &input()).unwrap_err().to_string();
        assert!(error.contains("codec.mean"), "{error}");
    }
}
