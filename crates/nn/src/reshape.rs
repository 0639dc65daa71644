//! Layers over one image that move values and weigh them at most, and their gradients, channels last.

use super::graph::Interpolation;
use super::map::{Image, ImageMut};

/// Puts all channels of `x` behind the first `before` channels of `out`, from the first part on.
#[inline(always)]
pub fn concat(x: Image, before: usize, mut out: ImageMut) {
    let channels = x.map.channels;
    for (row, column) in x.map.places() {
        if before == 0 {
            out.at(row, column).fill(0.0);
        }
        out.at(row, column)[before..before + channels].copy_from_slice(&x.at(row, column)[..channels]);
    }
}

/// Adds the gradient of what [`concat`] put behind the first `before` channels to `into`.
#[inline(always)]
pub fn concat_gradient(gradient: Image, before: usize, mut into: ImageMut) {
    for (row, column) in into.map.places() {
        let channels = into.map.channels;
        let from = &gradient.at(row, column)[before..before + channels];
        let into = &mut into.at(row, column)[..channels];
        into.iter_mut().zip(from).for_each(|(into, gradient)| *into += gradient);
    }
}

/// Adds a vector at each place of `out`.
#[inline(always)]
pub fn add_vector(vector: &[f32], mut out: ImageMut) {
    for (row, column) in out.map.places() {
        let values = out.at(row, column).iter_mut().zip(vector);
        values.for_each(|(out, value)| *out += value);
    }
}

/// Adds the gradient of the vector of [`add_vector`] to `into`: the sum over all places.
#[inline(always)]
pub fn vector_gradient(gradient: Image, into: &mut [f32]) {
    for (row, column) in gradient.map.places() {
        let values = into.iter_mut().zip(gradient.at(row, column));
        values.for_each(|(into, gradient)| *into += gradient);
    }
}

/// Channels, rows and columns as one vector, in this order.
#[inline(always)]
pub fn flatten(x: Image, mut out: ImageMut) {
    let (area, channels) = (x.map.height * x.map.width, x.map.channels);
    let out = out.at(0, 0);
    out.fill(0.0);
    for (place, (row, column)) in x.map.places().enumerate() {
        let values = out[place..].iter_mut().step_by(area);
        values.zip(&x.at(row, column)[..channels]).for_each(|(to, from)| *to = *from);
    }
}

/// Adds the gradient of the input of [`flatten`] to `into`.
#[inline(always)]
pub fn flatten_gradient(gradient: Image, mut into: ImageMut) {
    let (area, channels) = (into.map.height * into.map.width, into.map.channels);
    for (place, (row, column)) in into.map.places().enumerate() {
        let values = gradient.at(0, 0)[place..].iter().step_by(area);
        into.at(row, column)[..channels].iter_mut().zip(values).for_each(|(to, from)| *to += *from);
    }
}

/// What a place of an enlarged side of `length` is made of: two places and the share of the second.
/// The centres of the places are what is kept, and beyond the outermost ones nothing changes.
fn between(at: usize, factor: usize, length: usize) -> (usize, usize, f32) {
    let place = ((at as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
    let low = (place as usize).min(length - 1);
    (low, (low + 1).min(length - 1), place - low as f32)
}

/// Calls `f` with every place of an enlarged map, a place that it is made of and the share of that.
#[inline(always)]
fn sources(
    (height, width): (usize, usize),
    factor: usize,
    method: Interpolation,
    mut f: impl FnMut((usize, usize), (usize, usize), f32),
) {
    for row in 0..height * factor {
        for column in 0..width * factor {
            let to = (row, column);
            if method == Interpolation::Nearest {
                f(to, (row / factor, column / factor), 1.0);
                continue;
            }
            let (above, below, down) = between(row, factor, height);
            let (left, right, across) = between(column, factor, width);
            f(to, (above, left), (1.0 - down) * (1.0 - across));
            f(to, (above, right), (1.0 - down) * across);
            f(to, (below, left), down * (1.0 - across));
            f(to, (below, right), down * across);
        }
    }
}

/// Rows and columns multiplied by `factor`.
#[inline(always)]
pub fn upsample(factor: usize, method: Interpolation, x: Image, mut out: ImageMut) {
    for (row, column) in out.map.places() {
        out.at(row, column).fill(0.0);
    }
    sources((x.map.height, x.map.width), factor, method, |(row, column), (i, j), share| {
        let values = out.at(row, column).iter_mut().zip(x.at(i, j));
        // Nothing of what is no number is nothing: a share of 0 would spread it.
        values.for_each(|(out, value)| *out += if share == 0.0 { 0.0 } else { value * share });
    });
}

/// Adds the gradient of the input of [`upsample`] to `into`.
#[inline(always)]
pub fn upsample_gradient(factor: usize, method: Interpolation, gradient: Image, mut into: ImageMut) {
    sources((into.map.height, into.map.width), factor, method, |(row, column), (i, j), share| {
        let values = into.at(i, j).iter_mut().zip(gradient.at(row, column));
        values.for_each(|(into, gradient)| *into += gradient * share);
    });
}
