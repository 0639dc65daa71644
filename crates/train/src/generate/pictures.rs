//! The pictures that a generator learns from, and what it makes of their squares: [`Codec`]'s components.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::eigen;
use crate::image::Orientation;
use model::manifest::{Generation, ImageInput};
use vision::generate::codec::Codec;
use vision::{Image, Preprocessor};

/// Pictures whose squares the components are found from.
const LOOKED_AT: usize = 2000;

/// One split at the generator's size: 8-bit samples stay so until they are asked for.
pub struct Pictures {
    input: ImageInput,
    images: Vec<Image>,
    labels: Vec<usize>,
}

impl Pictures {
    /// Crops and resizes examples as the server would.
    ///
    /// # Errors
    /// An image that cannot be resized.
    pub fn new(examples: &[(Image, usize)], input: &ImageInput) -> Result<Pictures> {
        let mut preprocessor = Preprocessor::new(input.clone())?;
        let images =
            examples.iter().map(|(image, _)| preprocessor.resized(image)).collect::<Result<_, _>>()?;
        Ok(Pictures {
            input: input.clone(),
            images,
            labels: examples.iter().map(|(_, label)| *label).collect(),
        })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Index of the label of each.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// A picture as fractions of full scale, (channels, rows, columns).
    ///
    /// # Errors
    /// None that its resizing did not have.
    pub fn fractions(&self, index: usize) -> Result<Vec<f32>> {
        Ok(Preprocessor::new(self.input.clone())?.fractions(&self.images[index])?)
    }
}

/// In how many ways a picture may lie.
pub fn ways(orientation: Orientation) -> usize {
    match orientation {
        Orientation::Fixed => 1,
        Orientation::Mirrored => 2,
        Orientation::Any => 8,
    }
}

/// A square picture of `channels` planes in one of eight ways: 0 as it is, odd ones mirrored, 4 and beyond turned by a right
/// angle, and 2, 3, 6 and 7 upside down.
pub fn turned(picture: &[f32], channels: usize, way: usize) -> Vec<f32> {
    let area = picture.len() / channels.max(1);
    let side = area.isqrt();
    let mut out = Vec::with_capacity(picture.len());
    for plane in picture.chunks_exact(area) {
        for row in 0..side {
            for column in 0..side {
                let (mut y, mut x) = if way & 4 == 0 { (row, column) } else { (column, row) };
                if way & 1 == 1 {
                    x = side - 1 - x;
                }
                if way & 2 == 2 {
                    y = side - 1 - y;
                }
                out.push(plane[y * side + x]);
            }
        }
    }
    out
}

/// The components of the squares of training pictures, and how far a picture comes back changed: the root of the mean square of
/// what is lost, in levels of 255.
///
/// # Errors
/// Pictures that do not fit.
pub fn codec(pictures: &Pictures, generation: &Generation, input: &ImageInput) -> Result<(Codec, f64)> {
    let ImageInput { channels, height, width, .. } = *input;
    let size = (channels as usize, height as usize, width as usize);
    let step = pictures.len().div_ceil(LOOKED_AT).max(1);
    let looked: Vec<usize> = (0..pictures.len()).step_by(step).collect();
    ensure!(!looked.is_empty(), "there are no pictures");
    let n = generation.patch * generation.patch * size.0;
    let cut = |index: &usize| -> Result<Vec<Vec<f32>>> {
        Ok(Codec::cut(size, generation.patch, &pictures.fractions(*index)?))
    };
    let sums = |squares: Vec<Vec<f32>>| {
        let (mut sum, mut products) = (vec![0.0f64; n], vec![0.0f64; n * n]);
        for square in &squares {
            for (i, a) in square.iter().enumerate() {
                sum[i] += f64::from(*a);
                for (total, b) in products[i * n..(i + 1) * n].iter_mut().zip(square) {
                    *total += f64::from(a * b);
                }
            }
        }
        (sum, products, squares.len())
    };
    // In the order of the pictures, so that the number of cores does not show.
    let parts: Vec<_> = looked.par_iter().map(|index| cut(index).map(sums)).collect::<Result<_>>()?;
    let (mut sum, mut products, mut count) = (vec![0.0; n], vec![0.0; n * n], 0);
    for (own, own_products, squares) in parts {
        sum.iter_mut().zip(own).for_each(|(total, value)| *total += value);
        products.iter_mut().zip(own_products).for_each(|(total, value)| *total += value);
        count += squares;
    }
    let mean: Vec<f64> = sum.iter().map(|total| total / count as f64).collect();
    let covariance = |at: usize| products[at] / count as f64 - mean[at / n] * mean[at % n];
    let found = eigen::symmetric((0..n * n).map(covariance).collect(), n);
    let kept = &found[..generation.components];
    let deviation = |(variance, _): &(f64, Vec<f64>)| variance.max(1e-12).sqrt();
    // Divided by the root of their deviations, and all so that their mean variance is 1.
    let root: Vec<f64> = kept.iter().map(|one| deviation(one).sqrt()).collect();
    let mean_variance = root.iter().map(|root| root * root).sum::<f64>() / root.len() as f64;
    let scale = root.iter().map(|root| (root * mean_variance.sqrt()) as f32).collect();
    let basis = kept.iter().flat_map(|(_, vector)| vector.iter().map(|value| *value as f32)).collect();
    let mean = mean.iter().map(|value| *value as f32).collect();
    let lost: f64 = found[generation.components..].iter().map(|(variance, _)| variance.max(0.0)).sum();
    Ok((Codec::new(generation, input, mean, basis, scale)?, 255.0 * (lost / n as f64).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::manifest::{Crop, Normalisation, ResizeFilter};
    use nn::random;

    #[test]
    fn a_picture_lies_in_eight_ways() {
        let picture: Vec<f32> = (0..18).map(|at| at as f32).collect();
        let ways: Vec<Vec<f32>> = (0..8).map(|way| turned(&picture, 2, way)).collect();
        assert_eq!(ways[0], picture);
        assert_eq!(ways[1][..3], [2.0, 1.0, 0.0]);
        assert_eq!(ways[2][..3], [6.0, 7.0, 8.0]);
        assert_eq!(ways[4][..3], [0.0, 3.0, 6.0]);
        for (at, way) in ways.iter().enumerate() {
            assert!(ways[..at].iter().all(|other| other != way), "{at}");
        }
    }

    #[test]
    fn numbers_of_training_pictures_have_variance_one_on_average_and_hold_the_picture() {
        let input = ImageInput {
            height: 16,
            width: 16,
            channels: 3,
            crop: Crop::Centre,
            resize: ResizeFilter::Bicubic,
            normalisation: Normalisation::PerImage { floor: 0.02 },
            accepts: None,
        };
        let mut rng = random::stream(2, "pictures");
        // Smooth pictures: waves of chance in three colours.
        let picture = |rng: &mut _| {
            let [a, b, c] = [0; 3].map(|_| random::normal(rng));
            let pixel = |at: usize| {
                let (y, x) = (at / 16, at % 16);
                let wave = (a * y as f32 * 0.3 + b * x as f32 * 0.3 + c).sin();
                [wave, wave * a, wave * b].map(|v| (128.0 + 50.0 * v).clamp(0.0, 255.0) as u8)
            };
            Image::from_rgb8(16, 16, (0..256).flat_map(pixel).collect()).unwrap()
        };
        let examples: Vec<(Image, usize)> = (0..60).map(|at| (picture(&mut rng), at % 2)).collect();
        let pictures = Pictures::new(&examples, &input).unwrap();
        let generation = Generation {
            patch: 4,
            components: 20,
            frequencies: 4,
            steps: 4,
            guidance: 0.0,
            noise_kept: 0.0,
            noise_anew: 0.0,
            metrics: None,
        };
        let (codec, lost) = codec(&pictures, &generation, &input).unwrap();
        let mut squares = (0.0, 0);
        let mut apart = 0.0;
        for index in 0..pictures.len() {
            let picture = pictures.fractions(index).unwrap();
            let numbers = codec.encode(&picture);
            squares.0 += numbers.iter().map(|value| f64::from(value * value)).sum::<f64>();
            squares.1 += numbers.len();
            let back = codec.decode(&numbers);
            apart += back.iter().zip(&picture).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        }
        let variance = squares.0 / squares.1 as f64;
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
        let measured = 255.0 * (apart / (pictures.len() * 768) as f64).sqrt();
        assert!((measured - lost).abs() < 0.05 * lost + 0.01 && lost < 5.0, "{measured} and {lost}");
    }
}
