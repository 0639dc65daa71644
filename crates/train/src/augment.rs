//! Altered copies of training images: what another device, exposure or position would have made.
//!
//! A network that saw each image in one exposure learns the exposure. Here a copy is moved,
//! turned, scaled and sheared in one bilinear resampling, its contrast and brightness changed as
//! another device would, and parts of it hidden. All values are fractions of full scale, before
//! normalisation.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use nn::random::{normal, uniform};

/// How far copies may go from their original. Every amount is the largest one; the amount used
/// is drawn evenly up to it, in either direction, and some copies are spared each kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Degrees of rotation.
    pub rotation: f32,
    /// Shift along each axis, as a share of the side.
    pub translation: f32,
    /// Scale: a factor between 1 / (1 + zoom) and 1 + zoom.
    pub zoom: f32,
    /// Shear, as a tangent.
    pub shear: f32,
    /// Chance of a mirror image.
    pub flip: f32,
    /// Turned by any number of right angles first: what lies on a microscope's slide has no top.
    #[serde(default)]
    pub quarter_turns: bool,
    /// Exponent of the values: a factor between 1 / (1 + gamma) and 1 + gamma.
    pub gamma: f32,
    /// Contrast around the image's mean: a factor between 1 / (1 + contrast) and 1 + contrast.
    pub contrast: f32,
    /// Added to all values.
    pub brightness: f32,
    /// Standard deviation of noise added to every value.
    pub noise: f32,
    /// How far an image is softened or sharpened: the amount of its 3 x 3 binomial blur that is
    /// blended in, or of what the blur takes away that is added.
    pub sharpness: f32,
    /// Chance that a rectangle of up to a third of each side is set to one value.
    pub cutout: f32,
    /// Parameter of the Beta distribution of mixtures of two images (Zhang et al. 2018, "mixup");
    /// 0 for none.
    pub mixup: f32,
}

/// Share of the copies that are moved, turned, scaled and sheared.
const WARPED: f32 = 0.9;
/// Share that is softened or sharpened.
const FOCUSED: f32 = 0.7;
/// Share whose gamma, contrast and brightness are changed, each on its own.
const EXPOSED: f32 = 0.8;
/// Share that gets noise.
const NOISY: f32 = 0.5;

/// The size of an image in memory: `channels` planes of `height` x `width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planes {
    /// Number of planes.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
}

impl Augmentation {
    /// Copies like their originals.
    pub const fn none() -> Augmentation {
        Augmentation {
            rotation: 0.0,
            translation: 0.0,
            zoom: 0.0,
            shear: 0.0,
            flip: 0.0,
            quarter_turns: false,
            gamma: 0.0,
            contrast: 0.0,
            brightness: 0.0,
            noise: 0.0,
            sharpness: 0.0,
            cutout: 0.0,
            mixup: 0.0,
        }
    }

    /// An altered copy of `image`.
    pub fn apply(&self, image: &[f32], size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
        // Each kind of change spares some copies, so that the originals stay among what is seen.
        let mut copy = match rng.random::<f32>() < WARPED {
            true => self.warp(image, size, rng),
            false => image.to_vec(),
        };
        self.retouch(&mut copy, size, rng);
        self.hide(&mut copy, size, rng);
        copy
    }

    /// The share of the first of two images in a mixture, or `None` for no mixture.
    pub fn mixture(&self, rng: &mut ChaCha8Rng) -> Option<f32> {
        (self.mixup > 0.0).then(|| {
            let (a, b) = (gamma_variate(self.mixup, rng), gamma_variate(self.mixup, rng));
            if a + b > 0.0 { (a / (a + b)) as f32 } else { 1.0 }
        })
    }

    /// A turn, scale, shear and mirror image: from a place (x, y) in a copy, seen from the centre, to the place
    /// (a x + b y, c x + d y) in the original.
    pub fn motion(&self, rng: &mut ChaCha8Rng) -> [f32; 4] {
        let mut angle = uniform(rng, -self.rotation, self.rotation).to_radians();
        if self.quarter_turns {
            angle += std::f32::consts::FRAC_PI_2 * rng.random_range(0..4) as f32;
        }
        let scale = factor(self.zoom, rng);
        let shear = uniform(rng, -self.shear, self.shear);
        let mirror = if rng.random::<f32>() < self.flip { -1.0 } else { 1.0 };
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (mirror * cos / scale, mirror * (shear * cos - sin) / scale);
        let (c, d) = (sin / scale, (shear * sin + cos) / scale);
        [a, b, c, d]
    }

    /// Changes what a device, and not a position, changes: focus, exposure, noise.
    pub fn retouch(&self, image: &mut [f32], size: Planes, rng: &mut ChaCha8Rng) {
        if rng.random::<f32>() < FOCUSED {
            self.focus(image, size, rng);
        }
        self.expose(image, rng);
    }

    fn warp(&self, image: &[f32], size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let [a, b, c, d] = self.motion(rng);
        let shift = self.translation;
        let (dx, dy) = (uniform(rng, -shift, shift), uniform(rng, -shift, shift));
        let (width, height) = (size.width as f32, size.height as f32);
        let (middle_x, middle_y) = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
        let area = size.height * size.width;
        let mut copy = vec![0.0; image.len()];
        for row in 0..size.height {
            let y = row as f32 - middle_y - dy * height;
            for column in 0..size.width {
                let x = column as f32 - middle_x - dx * width;
                let place = Between::new(size, a * x + b * y + middle_x, c * x + d * y + middle_y);
                let places = copy[row * size.width + column..].iter_mut().step_by(area);
                places.zip(image.chunks_exact(area)).for_each(|(copy, plane)| *copy = place.of(plane));
            }
        }
        copy
    }

    fn focus(&self, image: &mut [f32], size: Planes, rng: &mut ChaCha8Rng) {
        let amount = uniform(rng, -self.sharpness, self.sharpness);
        if amount == 0.0 {
            return;
        }
        let mut soft = image.to_vec();
        blur(&mut soft, size);
        // Beyond a whole blur there is nothing more to blend in.
        let amount = amount.max(-1.0);
        for (value, soft) in image.iter_mut().zip(soft) {
            *value = (*value + amount * (*value - soft)).clamp(0.0, 1.0);
        }
    }

    fn expose(&self, image: &mut [f32], rng: &mut ChaCha8Rng) {
        let mut spared = |share: f32| rng.random::<f32>() >= share;
        let (same_gamma, same_contrast, same_brightness) =
            (spared(EXPOSED), spared(EXPOSED), spared(EXPOSED));
        let noiseless = spared(NOISY);
        let gamma = if same_gamma { 1.0 } else { factor(self.gamma, rng) };
        let contrast = if same_contrast { 1.0 } else { factor(self.contrast, rng) };
        let brightness = if same_brightness { 0.0 } else { uniform(rng, -self.brightness, self.brightness) };
        let noise = if noiseless { 0.0 } else { self.noise * rng.random::<f32>() };
        let mean = mean(image);
        let curve = Curve::new(gamma);
        for value in image.iter_mut() {
            let exposed = (*value - mean) * contrast + mean + brightness;
            *value = curve.of(exposed.clamp(0.0, 1.0));
        }
        if noise > 0.0 {
            image.iter_mut().for_each(|value| *value = (*value + noise * near_normal(rng)).clamp(0.0, 1.0));
        }
    }

    fn hide(&self, image: &mut [f32], size: Planes, rng: &mut ChaCha8Rng) {
        if rng.random::<f32>() >= self.cutout {
            return;
        }
        let mut span = |side: usize| {
            let length = (side as f32 * uniform(rng, 0.1, 0.34)) as usize;
            let start = rng.random_range(0..=side - length);
            start..start + length
        };
        let (rows, columns) = (span(size.height), span(size.width));
        let value = rng.random::<f32>();
        for plane in image.chunks_mut(size.height * size.width) {
            for row in plane.chunks_mut(size.width).skip(rows.start).take(rows.len()) {
                row[columns.clone()].fill(value);
            }
        }
    }
}

/// A factor between 1 / (1 + amount) and 1 + amount, even on a logarithmic scale.
fn factor(amount: f32, rng: &mut ChaCha8Rng) -> f32 {
    let edge = (1.0 + amount).ln();
    uniform(rng, -edge, edge).exp()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

/// A place between four pixels; outside, that of the nearest edge.
struct Between {
    /// Upper left, upper right, lower left, lower right.
    pixels: [usize; 4],
    shares: [f32; 4],
}

impl Between {
    fn new(size: Planes, x: f32, y: f32) -> Between {
        let x = x.clamp(0.0, (size.width - 1) as f32);
        let y = y.clamp(0.0, (size.height - 1) as f32);
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(size.width - 1), (top + 1).min(size.height - 1));
        let (fx, fy) = (x - left as f32, y - top as f32);
        let (upper, lower) = (top * size.width, bottom * size.width);
        Between {
            pixels: [upper + left, upper + right, lower + left, lower + right],
            shares: [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy],
        }
    }

    fn of(&self, plane: &[f32]) -> f32 {
        self.pixels.iter().zip(&self.shares).map(|(pixel, share)| plane[*pixel] * share).sum()
    }
}

/// Powers of numbers from 0 to 1 from a table: a power of every pixel would cost as much as a small network.
struct Curve(Option<Vec<f32>>);

/// Places of the table between 0 and 1.
const CURVE: usize = 1024;

impl Curve {
    fn new(exponent: f32) -> Curve {
        let power = |place: usize| (place.min(CURVE) as f32 / CURVE as f32).powf(exponent);
        Curve((exponent != 1.0).then(|| (0..CURVE + 2).map(power).collect()))
    }

    fn of(&self, value: f32) -> f32 {
        let Some(table) = &self.0 else { return value };
        let place = value * CURVE as f32;
        let low = place as usize;
        table[low] + (table[low + 1] - table[low]) * (place - low as f32)
    }
}

/// A number near the normal distribution: the sum of four even ones, of mean 0 and variance 1.
fn near_normal(rng: &mut ChaCha8Rng) -> f32 {
    const DEVIATION: f32 = 147.801;
    let sum: u32 = rng.random::<u32>().to_le_bytes().into_iter().map(u32::from).sum();
    (sum as f32 - 510.0) / DEVIATION
}

/// Weights 1 2 1 along rows, then along columns; edges repeat.
fn blur(image: &mut [f32], size: Planes) {
    let pass = |plane: &mut [f32], lines: usize, length: usize, line_step: usize, step: usize| {
        let mut line = vec![0.0; length];
        for start in (0..lines).map(|l| l * line_step) {
            for (i, value) in line.iter_mut().enumerate() {
                *value = plane[start + i * step];
            }
            for i in 0..length {
                let (before, after) = (line[i.saturating_sub(1)], line[(i + 1).min(length - 1)]);
                plane[start + i * step] = 0.25 * before + 0.5 * line[i] + 0.25 * after;
            }
        }
    };
    for plane in image.chunks_mut(size.height * size.width) {
        pass(plane, size.height, size.width, size.width, 1);
        pass(plane, size.width, size.height, 1, size.width);
    }
}

/// A number of the Gamma distribution of this shape (Marsaglia and Tsang 2000).
fn gamma_variate(shape: f32, rng: &mut ChaCha8Rng) -> f64 {
    let shape = f64::from(shape);
    if shape < 1.0 {
        let boost = (1.0 - rng.random::<f64>()).powf(1.0 / shape);
        return boost * gamma_variate(shape as f32 + 1.0, rng);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = f64::from(normal(rng));
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.random::<f64>()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::random::stream;

    const NONE: Augmentation = Augmentation::none();
    const SIZE: Planes = Planes { channels: 1, height: 5, width: 7 };

    fn ramp() -> Vec<f32> {
        (0..35).map(|i| i as f32 / 35.0).collect()
    }

    fn close(a: &[f32], b: &[f32]) {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-5, "{a} for {b}");
        }
    }

    #[test]
    fn no_augmentation_changes_nothing() {
        close(&NONE.apply(&ramp(), SIZE, &mut stream(0, "t")), &ramp());
    }

    #[test]
    fn a_mirror_image_is_one() {
        let flip = Augmentation { flip: 1.0, ..NONE };
        let mirrored: Vec<f32> =
            ramp().chunks(7).flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>()).collect();
        close(&flip.warp(&ramp(), SIZE, &mut stream(0, "t")), &mirrored);
    }

    #[test]
    fn values_stay_fractions_of_full_scale() {
        let wild = Augmentation {
            rotation: 40.0,
            translation: 0.3,
            zoom: 0.5,
            shear: 0.3,
            flip: 0.5,
            quarter_turns: true,
            gamma: 1.0,
            contrast: 1.0,
            brightness: 0.5,
            noise: 0.3,
            sharpness: 1.5,
            cutout: 0.9,
            mixup: 0.4,
        };
        let mut rng = stream(1, "t");
        for _ in 0..200 {
            let copy = wild.apply(&ramp(), SIZE, &mut rng);
            assert_eq!(copy.len(), 35);
            assert!(copy.iter().all(|v| (0.0..=1.0).contains(v)));
            let share = wild.mixture(&mut rng).unwrap();
            assert!((0.0..=1.0).contains(&share));
        }
    }
}
