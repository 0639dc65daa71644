//! Whether a picture is as sharp as those of training, as far as a network can see.
//!
//! A film that was blurred, or made larger from a stamp, has the drawing and the tones of a film and nothing fine on it, which to a
//! classifier looks like illness. Of the values of tone and grain ([`super::tones`]) one difference tells it: how much brightness
//! changes from a pixel to the next but one, against how much it does over sixteen. Among so many values, each with its spread, it is
//! lost in their distance, so it has a limit of its own.

use super::likeness::Tones;
use super::tones::lags;

/// The least share of the fine contrast that is usual in training, as a logarithm: three tenths. Of 1,986 films and 2,851 cells
/// that two models were trained and validated on none is below four tenths.
const SHARE: f32 = -1.2;

/// Where pictures of training differ much among themselves, so many standard deviations.
const DEVIATIONS: f32 = 4.0;

/// Distances in pixels, as powers of two: what is fine, and what it is held against.
const FINE: usize = 1;
const COARSE: usize = 4;

/// The limit of a model's pictures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sharpness {
    usual: f32,
    below: f32,
}

impl Sharpness {
    /// Of training pictures of `height` x `width` with these tones; none where they are too small to tell.
    pub fn new(tones: &Tones, height: usize, width: usize) -> Option<Sharpness> {
        if lags(height, width).count() <= COARSE {
            return None;
        }
        let deviation = deviation(tones)?;
        Some(Sharpness { usual: fine(&tones.mean), below: (DEVIATIONS * deviation).max(-SHARE) })
    }

    /// How unsharp a picture with these tones is: above 1 it is more so than any of training.
    pub fn lack(self, tones: &[f32]) -> f32 {
        (self.usual - fine(tones)) / self.below
    }
}

/// Logarithm of the fine contrast against the coarse, both along rows and along columns.
fn fine(tones: &[f32]) -> f32 {
    let at = |lag: usize| f32::midpoint(tones[2 * lag], tones[2 * lag + 1]);
    at(FINE) - at(COARSE)
}

/// Standard deviation of [`fine`] over the training pictures. Whitened values have variance 1, so it is the length of what
/// whitening makes `fine` of: the solution of a system of equations, by Gauss's elimination. None where that has no solution.
fn deviation(tones: &Tones) -> Option<f32> {
    let count = tones.mean.len();
    // Row by row the columns of the whitening, and at the end of each what `fine` takes of that value.
    let mut rows: Vec<Vec<f64>> = (0..count)
        .map(|value| {
            let column = tones.whitening.iter().skip(value).step_by(count).map(|weight| f64::from(*weight));
            let taken = match value / 2 {
                FINE => 0.5,
                COARSE => -0.5,
                _ => 0.0,
            };
            column.chain([taken]).collect()
        })
        .collect();
    for step in 0..count {
        let size = |row: &usize| rows[*row][step].abs();
        let pivot = (step..count).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        rows.swap(step, pivot);
        let row = rows[step].clone();
        if row[step].abs() < 1e-9 {
            return None;
        }
        for (_, other) in rows.iter_mut().enumerate().filter(|(at, _)| *at != step) {
            let share = other[step] / row[step];
            other.iter_mut().zip(&row).skip(step).for_each(|(value, own)| *value -= share * own);
        }
    }
    let square: f64 = rows.iter().enumerate().map(|(at, row)| (row[count] / row[at]).powi(2)).sum();
    Some(square.sqrt() as f32).filter(|deviation| deviation.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tones;

    const SIDE: usize = 96;

    /// Waves of every length, and the same drawn in squares of `step` pixels, one tone each.
    fn picture(step: usize) -> Vec<f32> {
        let at = |place: usize| (place / step * step) as f32;
        let value = |row: f32, column: f32| {
            [2.0f32, 4.0, 8.0, 16.0, 32.0]
                .map(|length| length.sqrt() * ((row + 0.7 * column) * std::f32::consts::TAU / length).sin())
                .iter()
                .sum::<f32>()
        };
        (0..SIDE * SIDE).map(|place| 0.5 + 0.02 * value(at(place / SIDE), at(place % SIDE))).collect()
    }

    /// Means over a square around each pixel.
    fn blurred(picture: &[f32], reach: usize) -> Vec<f32> {
        let around = |at: usize| at.saturating_sub(reach)..(at + reach + 1).min(SIDE);
        let mean = |at: usize| {
            let places = around(at / SIDE).flat_map(|row| around(at % SIDE).map(move |column| (row, column)));
            let (sum, count) = places.fold((0.0, 0.0), |(sum, count), (row, column)| {
                (sum + picture[row * SIDE + column], count + 1.0)
            });
            sum / count
        };
        (0..SIDE * SIDE).map(mean).collect()
    }

    fn tones_of(picture: &[f32]) -> Vec<f32> {
        tones::of(picture, 1, SIDE, SIDE)
    }

    #[test]
    fn a_blurred_picture_lacks_what_is_fine_on_those_of_training() {
        let sharp = picture(1);
        let mean = tones_of(&sharp);
        let count = mean.len();
        // Each value with a deviation of its own: of four that are halved, 0.1.
        let weighed = |deviation: f32| {
            let whitening = (0..count * count)
                .map(|at| if at % (count + 1) == 0 { 1.0 / deviation } else { 0.0 })
                .collect();
            Tones { mean: mean.clone(), whitening }
        };
        assert!((deviation(&weighed(0.1)).unwrap() - 0.1).abs() < 1e-5);
        let own = Sharpness::new(&weighed(0.1), SIDE, SIDE).unwrap();
        assert!(own.lack(&tones_of(&sharp)).abs() < 1e-5);
        assert!(own.lack(&tones_of(&blurred(&sharp, 4))) > 1.0);
        assert!(own.lack(&tones_of(&picture(2))) < 1.0);
        // Where sharp and blurred pictures were trained on neither is strange.
        let wide = Sharpness::new(&weighed(2.0), SIDE, SIDE).unwrap();
        assert!(wide.lack(&tones_of(&blurred(&sharp, 4))) < 1.0);
    }

    #[test]
    fn what_cannot_be_told_has_no_limit() {
        let mean = tones_of(&picture(1));
        let nothing = vec![0.0; mean.len() * mean.len()];
        assert!(Sharpness::new(&Tones { mean: mean.clone(), whitening: nothing }, SIDE, SIDE).is_none());
        let small = tones::values(1, 28, 28);
        let tones = Tones { mean: vec![0.0; small], whitening: vec![1.0; small * small] };
        assert!(Sharpness::new(&tones, 28, 28).is_none());
    }
}
