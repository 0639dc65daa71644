//! A drawn chest, so that a newcomer has something to send.
//!
//! The phantom is made of ellipses, arcs and noise from a seed. It is a drawing: it shows no
//! person, no machine took it, and what a model says about it means nothing beyond "the server
//! answers". The file says so itself, in a `Comment` text chunk.

use std::io::{Error, ErrorKind, Result};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The sides a phantom may have, in pixels.
pub const SIZES: std::ops::RangeInclusive<u32> = 32..=4096;

/// The text that every phantom carries.
pub const COMMENT: &str = "A drawing of a chest radiograph made by medserve for testing. It shows no person.";

/// Standard deviation of the noise, in levels of 255: about the grain of an 8-bit radiograph.
const NOISE: f32 = 1.5;

/// Draws a chest of `size` x `size` pixels as an 8-bit grey PNG file. The same seed and size give
/// the same bytes; another seed moves the organs a little and draws other noise. A size outside
/// [`SIZES`] is an error.
pub fn chest_phantom(seed: u64, size: u32) -> Result<Vec<u8>> {
    if !SIZES.contains(&size) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a phantom has {} to {} pixels a side, not {size}", SIZES.start(), SIZES.end()),
        ));
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size, size);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.add_text_chunk("Comment".into(), COMMENT.into()).map_err(Error::other)?;
    let mut writer = encoder.write_header().map_err(Error::other)?;
    writer.write_image_data(&draw(seed, size)).map_err(Error::other)?;
    writer.finish().map_err(Error::other)?;
    Ok(file)
}

/// Where the organs of one phantom lie, in parts of the side.
struct Anatomy {
    /// Shift of everything, to the right and down.
    shift: (f32, f32),
    /// Half width and half height of a lung.
    lung: (f32, f32),
    /// Half width of the heart.
    heart: f32,
    /// Distance between ribs.
    rib_gap: f32,
}

/// The pixels, row by row.
fn draw(seed: u64, size: u32) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut around = |middle: f32, spread: f32| middle + spread * (2.0 * uniform(&mut rng) - 1.0);
    let anatomy = Anatomy {
        shift: (around(0.0, 0.015), around(0.0, 0.015)),
        lung: (around(0.165, 0.012), around(0.31, 0.02)),
        heart: around(0.15, 0.02),
        rib_gap: around(0.078, 0.004),
    };
    let scale = 1.0 / size as f32;
    let mut pixels = Vec::with_capacity(size as usize * size as usize);
    for row in 0..size {
        for column in 0..size {
            let x = (column as f32 + 0.5) * scale - 0.5 - anatomy.shift.0;
            let y = (row as f32 + 0.5) * scale - anatomy.shift.1;
            let brightness = anatomy.brightness(x, y);
            // Four uniform numbers add up to nearly a normal one, of variance 4/12.
            let sum: f32 = (0..4).map(|_| uniform(&mut rng) - 0.5).sum();
            let noise = sum * 3f32.sqrt() * NOISE;
            pixels.push((brightness + noise).round().clamp(0.0, 255.0) as u8);
        }
    }
    pixels
}

fn uniform(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}

impl Anatomy {
    /// Brightness, 0 to 255, at `x` from the midline and `y` from the top. What weakens X-rays
    /// is bright: bone and heart; the air in the lungs is dark.
    fn brightness(&self, x: f32, y: f32) -> f32 {
        let side = x.abs();
        let body = ellipse(x, y - 0.62, 0.47, 0.60, 0.05);
        let shoulders = ellipse(x, y - 0.34, 0.52, 0.22, 0.08);
        let tissue = body.max(shoulders);
        let lungs = ellipse(side - 0.225, y - 0.46, self.lung.0, self.lung.1, 0.10);
        // The diaphragm cuts the lungs off below, a dome on each side.
        let dome = 0.72 + 1.6 * (side - 0.21).powi(2);
        let lungs = lungs * (1.0 - step(y - dome, 0.015));
        let heart = ellipse(x - 0.06, y - 0.60, self.heart, 0.15, 0.12);
        let vessels = ellipse(x, y - 0.38, 0.055, 0.20, 0.30);
        let spine = step(0.036 - side, 0.012) * (0.8 + 0.2 * (y * 90.0).sin());
        let clavicles =
            band(y - 0.185 + 0.25 * (side - 0.2), 0.011) * step(0.36 - side, 0.03) * step(side - 0.03, 0.02);

        let mut value = 12.0 + 150.0 * tissue;
        value -= 105.0 * lungs;
        value += 70.0 * heart * (0.35 + 0.65 * lungs);
        value += 28.0 * vessels * tissue;
        value += 24.0 * spine * tissue;
        value += 30.0 * clavicles * tissue;
        value + 20.0 * self.ribs(side, y) * tissue
    }

    /// Eight pairs of ribs, each an arc that falls towards the side of the chest.
    fn ribs(&self, side: f32, y: f32) -> f32 {
        let reach = step(0.40 - side, 0.02) * step(side - 0.03, 0.02);
        let arc = 0.9 * (side - 0.17).powi(2);
        let nearest = ((y - 0.17 - arc) / self.rib_gap).round().clamp(0.0, 7.0);
        reach * band(y - 0.17 - arc - nearest * self.rib_gap, 0.011)
    }
}

/// 0 below, 1 above, with a smooth edge about `edge` wide around 0.
fn step(distance: f32, edge: f32) -> f32 {
    let t = (0.5 + distance / edge).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 inside the ellipse with half axes `a` and `b` around the origin, 0 outside.
fn ellipse(x: f32, y: f32, a: f32, b: f32, edge: f32) -> f32 {
    step(1.0 - ((x / a).powi(2) + (y / b).powi(2)).sqrt(), edge)
}

/// 1 on a line, fading to 0 at `half` beside it.
fn band(distance: f32, half: f32) -> f32 {
    let t = (1.0 - (distance / half).abs()).max(0.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeOptions, Format, Samples, decode};

    #[test]
    fn a_phantom_is_a_grey_png_that_depends_on_its_seed_alone() {
        let file = chest_phantom(7, 64).unwrap();
        assert_eq!(file, chest_phantom(7, 64).unwrap());
        assert_ne!(file, chest_phantom(8, 64).unwrap());
        let image = decode(Format::Png, &file, &DecodeOptions::default()).unwrap();
        assert_eq!((image.width(), image.height()), (64, 64));
        let Samples::Gray8(values) = image.samples() else {
            panic!("a phantom is grey with 8 bits");
        };
        // Lungs are dark, the midline bright.
        let at = |x: usize, y: usize| values[y * 64 + x];
        assert!(at(18, 25) + 40 < at(32, 25));
        assert!(at(46, 25) + 40 < at(32, 25));
    }

    #[test]
    fn a_phantom_says_that_it_is_a_drawing() {
        let file = chest_phantom(0, 32).unwrap();
        assert!(file.windows(COMMENT.len()).any(|part| part == COMMENT.as_bytes()));
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert!(chest_phantom(0, 0).is_err());
        assert!(chest_phantom(0, 100_000).is_err());
    }
}
