//! Depthwise convolution of one image: every channel with a kernel of its own, channels last.
//!
//! There is no sum over channels, so no matrix product: each value under the kernel is multiplied by
//! its weight, for all channels at once.

// The indices are those of the formulas, of several arrays at once.
#![allow(clippy::needless_range_loop)]

use super::map::{Image, ImageMut, Map};
use super::pooling::taps;
use super::window::Window;

/// Results that are not limited.
pub const UNLIMITED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// Weights of (channels, rows, columns) with channels last, filled up to `depth`.
pub fn pack(weights: &[f32], taps: usize, depth: usize) -> Vec<f32> {
    let mut packed = vec![0.0; taps * depth];
    for (channel, weights) in weights.chunks_exact(taps).enumerate() {
        let places = packed[channel..].iter_mut().step_by(depth);
        places.zip(weights).for_each(|(to, from)| *to = *from);
    }
    packed
}

/// The way back from [`pack`].
pub fn unpack(packed: &[f32], taps: usize, depth: usize, weights: &mut [f32]) {
    for (channel, weights) in weights.chunks_exact_mut(taps).enumerate() {
        let places = packed[channel..].iter().step_by(depth);
        weights.iter_mut().zip(places).for_each(|(to, from)| *to = *from);
    }
}

/// Rows and columns of a map.
fn size(map: &Map) -> (usize, usize) {
    (map.height, map.width)
}

/// Convolves an image with packed weights; `bias` is as deep as the maps, and results are kept within `limits`.
#[inline(always)]
pub fn forward(
    window: &Window,
    weights: &[f32],
    bias: &[f32],
    limits: (f32, f32),
    x: Image,
    mut out: ImageMut,
) {
    for (row, column) in out.map.places() {
        let out = out.at(row, column);
        // A few vectors of channels at a time, so that their sums stay in registers.
        let (wide, narrow) = out.as_chunks_mut::<64>();
        for (part, out) in wide.iter_mut().enumerate() {
            *out = channels(window, weights, bias, limits, x, (row, column), part * 64);
        }
        let (narrow, rest) = narrow.as_chunks_mut::<16>();
        for (part, out) in narrow.iter_mut().enumerate() {
            *out = channels(window, weights, bias, limits, x, (row, column), wide.len() * 64 + part * 16);
        }
        let before = wide.len() * 64 + narrow.len() * 16;
        for (part, out) in rest.as_chunks_mut::<1>().0.iter_mut().enumerate() {
            *out = channels(window, weights, bias, limits, x, (row, column), before + part);
        }
    }
}

/// The results of the `N` channels from `first` on at one place.
#[inline(always)]
fn channels<const N: usize>(
    window: &Window,
    weights: &[f32],
    bias: &[f32],
    (low, high): (f32, f32),
    x: Image,
    place: (usize, usize),
    first: usize,
) -> [f32; N] {
    let depth = x.map.depth;
    let mut sums = [0.0; N];
    sums.copy_from_slice(&bias[first..first + N]);
    // Loops and no closure: a closure that is not inlined is not compiled for the vectors of this machine.
    for i in 0..window.kernel.0 {
        let Some(row) = window.reads(place.0, i, window.padding.0, x.map.height) else { continue };
        for j in 0..window.kernel.1 {
            let Some(column) = window.reads(place.1, j, window.padding.1, x.map.width) else { continue };
            let weights = &weights[(i * window.kernel.1 + j) * depth + first..][..N];
            let values = &x.at(row, column)[first..first + N];
            for k in 0..N {
                sums[k] += values[k] * weights[k];
            }
        }
    }
    for sum in &mut sums {
        // What is no number is neither, and stays none.
        *sum = if *sum < low { low } else { *sum };
        *sum = if *sum > high { high } else { *sum };
    }
    sums
}

/// Adds the gradient of the input to `into`.
#[inline(always)]
pub fn input_gradient(window: &Window, weights: &[f32], gradient: Image, mut into: ImageMut) {
    let (depth, size) = (into.map.depth, size(into.map));
    for (row, column) in gradient.map.places() {
        taps(window, size, (row, column), |tap, i, j| {
            let (weights, gradient) = (&weights[tap * depth..][..depth], gradient.at(row, column));
            for ((into, gradient), weight) in into.at(i, j).iter_mut().zip(gradient).zip(weights) {
                *into += gradient * weight;
            }
        });
    }
}

/// Adds the gradient of the packed weights to `sums`.
#[inline(always)]
pub fn weight_gradient(window: &Window, x: Image, gradient: Image, sums: &mut [f32]) {
    let depth = x.map.depth;
    for (row, column) in gradient.map.places() {
        taps(window, size(x.map), (row, column), |tap, i, j| {
            let (sums, gradient) = (&mut sums[tap * depth..][..depth], gradient.at(row, column));
            for ((sum, value), gradient) in sums.iter_mut().zip(x.at(i, j)).zip(gradient) {
                *sum += value * gradient;
            }
        });
    }
}
