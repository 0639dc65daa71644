//! How a picture is toned and grained, as numbers.
//!
//! A thumbnail says what is where; it does not say how dark the film is, how much of it is burnt out or black, or how
//! fast tones change from a pixel to one further on. These differ from machine to machine and from one kind
//! of patient to another, and hardly with size or compression. Taken are the variogram along rows and columns
//! (Matheron 1963, "Principles of geostatistics"), quantiles of the tones, and contrast in parts; their Mahalanobis
//! distance from the training pictures is what [`super::likeness`] looks at.

use super::lanes::{part, sum, sum_of_pairs};

/// Parts of each side that contrast is measured in.
const PARTS: usize = 7;
/// Quantiles of the tones.
const QUANTILES: [f32; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// Bins of the histogram that quantiles are read from.
const BINS: usize = 512;
/// Least standard deviation that differences are divided by.
const FLOOR: f32 = 0.02;
/// Added to a share of the pixels before its logarithm is taken.
const SHARE: f32 = 2e-3;

/// Distances, in pixels, at which tones are compared.
pub(super) fn lags(height: usize, width: usize) -> impl Iterator<Item = usize> {
    let longest = height.min(width) / 3;
    (0..).map(|power| 1usize << power).take_while(move |lag| *lag <= longest)
}

/// Number of values that [`of`] gives for pictures of this size.
pub fn values(channels: usize, height: usize, width: usize) -> usize {
    2 * lags(height, width).count() + QUANTILES.len() + 5 + if channels > 1 { 4 } else { 0 }
}

/// The values of fractions of full scale (channels x height x width).
pub fn of(fractions: &[f32], channels: usize, height: usize, width: usize) -> Vec<f32> {
    let plane = height * width;
    let count = plane.max(1) as f32;
    let mut light = vec![0.0f32; plane];
    for channel in fractions.chunks_exact(plane.max(1)).take(channels) {
        light.iter_mut().zip(channel).for_each(|(sum, value)| *sum += value / channels as f32);
    }
    let (mean, deviation) = moments(&light);
    let scale = deviation.max(FLOOR).powi(2);
    let mut out = Vec::with_capacity(values(channels, height, width));
    for lag in lags(height, width) {
        let apart = |a: &[f32], b: &[f32]| sum_of_pairs(a, b, |a, b| (a - b).powi(2));
        let along: f32 = light.chunks_exact(width).map(|row| apart(row, &row[lag..])).sum();
        let down = apart(&light, &light[lag * width..]);
        out.push((along / (height * (width - lag)) as f32 / scale + 1e-6).ln());
        out.push((down / ((height - lag) * width) as f32 / scale + 1e-6).ln());
    }
    out.extend(quantiles(&light));
    out.extend([mean, deviation, contrast(&light, height, width)]);
    let white = light.iter().filter(|value| **value > 0.98).count() as f32 / count;
    let black = light.iter().filter(|value| **value < 0.02).count() as f32 / count;
    out.extend([(white + SHARE).ln(), (black + SHARE).ln()]);
    if channels > 1 {
        for channel in [0, channels - 1] {
            let own = &fractions[channel * plane..(channel + 1) * plane];
            let difference: Vec<f32> = own.iter().zip(&light).map(|(own, light)| own - light).collect();
            let (mean, deviation) = moments(&difference);
            out.extend([mean, deviation]);
        }
    }
    out
}

fn moments(values: &[f32]) -> (f32, f32) {
    let count = values.len().max(1) as f32;
    let mean = sum(values, |value| value) / count;
    let square = sum(values, |value| (value - mean).powi(2)) / count;
    (mean, square.sqrt())
}

fn quantiles(values: &[f32]) -> impl Iterator<Item = f32> {
    // Four take turns, as one waits for itself where neighbors have the same tone.
    let mut turns = [[0u32; BINS]; 4];
    for values in values.chunks(turns.len()) {
        for (bins, value) in turns.iter_mut().zip(values) {
            bins[((value.clamp(0.0, 1.0) * BINS as f32) as usize).min(BINS - 1)] += 1;
        }
    }
    let bins: [u32; BINS] = std::array::from_fn(|bin| turns.iter().map(|bins| bins[bin]).sum());
    let count = values.len() as f32;
    QUANTILES.into_iter().map(move |share| {
        let (mut below, wanted) = (0.0f32, share * count);
        for (bin, own) in bins.iter().enumerate() {
            let own = *own as f32;
            if below + own >= wanted && own > 0.0 {
                return (bin as f32 + (wanted - below) / own) / BINS as f32;
            }
            below += own;
        }
        1.0
    })
}

/// Mean logarithm of the standard deviations in parts.
fn contrast(light: &[f32], height: usize, width: usize) -> f32 {
    let (rows, columns) = (PARTS.min(height), PARTS.min(width));
    let mut sums = vec![(0.0f32, 0.0f32, 0.0f32); rows * columns];
    for (y, row) in light.chunks_exact(width).enumerate() {
        for column in 0..columns {
            let pixels = &row[part(column, columns, width)];
            let (count, total, square) = &mut sums[y * rows / height * columns + column];
            *count += pixels.len() as f32;
            *total += sum(pixels, |value| value);
            *square += sum(pixels, |value| value * value);
        }
    }
    let deviation = |(count, sum, square): &(f32, f32, f32)| {
        let mean = sum / count.max(1.0);
        (square / count.max(1.0) - mean * mean).max(0.0).sqrt()
    };
    sums.iter().map(|part| (deviation(part) + 0.01).ln()).sum::<f32>() / sums.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_definition() {
        // A ramp along rows: a difference at a lag is the lag times the slope, and none down.
        let (height, width) = (14, 12);
        let picture: Vec<f32> = (0..height * width).map(|at| (at % width) as f32 / 12.0).collect();
        let got = of(&picture, 1, height, width);
        assert_eq!(got.len(), values(1, height, width));
        let variance = (144.0 - 1.0) / 12.0 / 144.0f32;
        for (at, lag) in [(0, 1.0f32), (2, 2.0), (4, 4.0)] {
            assert!((got[at] - ((lag / 12.0).powi(2) / variance).ln()).abs() < 1e-3, "{got:?}");
            assert!(got[at + 1] < -13.0);
        }
        let tones = &got[6..];
        assert!((tones[4] - 0.46).abs() < 0.05 && tones[0] < 0.02 && tones[8] > 0.9, "{tones:?}");
        assert!((tones[9] - 11.0 / 24.0).abs() < 1e-4 && (tones[10] - variance.sqrt()).abs() < 1e-4);
        // A twelfth of the pixels is black, none is white.
        assert!(
            (tones[12] - SHARE.ln()).abs() < 1e-4 && (tones[13] - (1.0f32 / 12.0 + SHARE).ln()).abs() < 1e-4
        );
    }

    #[test]
    fn contrast_is_of_parts_that_hardly_differ_in_size() {
        let (height, width) = (17, 23);
        let picture: Vec<f32> = (0..height * width).map(|at| (at * 13 % 29) as f32 / 28.0).collect();
        let mut parts = vec![Vec::new(); PARTS * PARTS];
        for (at, value) in picture.iter().enumerate() {
            parts[at / width * PARTS / height * PARTS + at % width * PARTS / width].push(*value);
        }
        let want: f32 =
            parts.iter().map(|part| (moments(part).1 + 0.01).ln()).sum::<f32>() / parts.len() as f32;
        let got = contrast(&picture, height, width);
        assert!((got - want).abs() < 1e-4, "{got} {want}");
    }

    #[test]
    fn colour_counts_where_there_are_channels() {
        let grey = vec![0.5f32; 3 * 49];
        let mut red = grey.clone();
        red[..49].fill(0.8);
        let (grey, red) = (of(&grey, 3, 7, 7), of(&red, 3, 7, 7));
        assert_eq!(grey.len(), values(3, 7, 7));
        let last = grey.len() - 4;
        assert!(
            grey[last].abs() < 1e-6 && (red[last] - 0.2).abs() < 1e-5 && (red[last + 2] + 0.1).abs() < 1e-5
        );
        assert!(grey.iter().chain(&red).all(|value| value.is_finite()));
    }
}
