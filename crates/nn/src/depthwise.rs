//! Depthwise convolution of one image: every channel with a kernel of its own, channels last.
//!
//! There is no sum over channels, so no matrix product: each value under the kernel is multiplied by
//! its weight, for all channels at once.

use super::map::{Image, ImageMut, Map};
use super::pooling::taps;
use super::window::Window;

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

/// Convolves an image with packed weights; `bias` is as deep as the maps.
#[inline(always)]
pub fn forward(window: &Window, weights: &[f32], bias: &[f32], x: Image, mut out: ImageMut) {
    let depth = x.map.depth;
    for (row, column) in out.map.places() {
        let out = out.at(row, column);
        out.copy_from_slice(bias);
        taps(window, size(x.map), (row, column), |tap, i, j| {
            let weights = &weights[tap * depth..][..depth];
            for ((out, value), weight) in out.iter_mut().zip(x.at(i, j)).zip(weights) {
                *out += value * weight;
            }
        });
    }
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
