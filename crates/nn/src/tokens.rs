//! Layers of a vision transformer (Dosovitskiy et al. 2021) over one map, channels last. Its tokens are the places
//! of a map of one row; a normalisation over the channels of each place is ConvNeXt's as well.

use super::map::{Image, ImageMut};

/// Values that are added up side by side, so that sums are done in vectors.
const LANES: usize = 16;

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += of(*value));
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|value| of(*value)).sum::<f32>()
}

/// Brings the channels of every place to mean 0 and variance 1, then scales and shifts each.
#[inline(always)]
pub fn layer_norm(epsilon: f32, scale: &[f32], shift: &[f32], x: Image, mut out: ImageMut) {
    let channels = x.map.channels;
    for (row, column) in x.map.places() {
        let values = &x.at(row, column)[..channels];
        let mean = sum(values, |value| value) / channels as f32;
        let variance = sum(values, |value| (value - mean) * (value - mean)) / channels as f32;
        let factor = 1.0 / (variance + epsilon).sqrt();
        let (own, rest) = out.at(row, column).split_at_mut(channels);
        let learnt = scale.iter().zip(shift);
        for ((out, value), (scale, shift)) in own.iter_mut().zip(values).zip(learnt) {
            *out = (value - mean) * factor * scale + shift;
        }
        rest.fill(0.0);
    }
}

/// The places of a map in one row behind a learnt one, each with a learnt value added: `positions` has a row of
/// channels for each token.
#[inline(always)]
pub fn tokens(class: &[f32], positions: &[f32], x: Image, mut out: ImageMut) {
    let channels = x.map.channels;
    let mut write = |token: usize, values: &[f32]| {
        let (own, rest) = out.at(0, token).split_at_mut(channels);
        let learnt = &positions[token * channels..];
        let sums = own.iter_mut().zip(values).zip(learnt);
        sums.for_each(|((out, value), position)| *out = value + position);
        rest.fill(0.0);
    };
    write(0, class);
    for (token, (row, column)) in x.map.places().enumerate() {
        write(token + 1, x.at(row, column));
    }
}

/// What the heads make of queries, keys and values, which lie behind each other at every token.
#[inline(always)]
pub fn attention(heads: usize, x: Image, mut out: ImageMut) {
    let (tokens, width) = (x.map.width, out.map.channels);
    let size = width / heads;
    let scale = 1.0 / (size as f32).sqrt();
    // Keys of a head with tokens last, so that a query meets all of them in vectors.
    let mut keys = vec![0f32; size * tokens];
    let mut scores = vec![0f32; tokens];
    for first in (0..heads).map(|head| head * size) {
        for token in 0..tokens {
            let own = &x.at(0, token)[width + first..][..size];
            keys[token..].iter_mut().step_by(tokens).zip(own).for_each(|(key, value)| *key = *value);
        }
        for token in 0..tokens {
            let query = &x.at(0, token)[first..][..size];
            scores.fill(0.0);
            for (query, keys) in query.iter().zip(keys.chunks_exact(tokens)) {
                let query = query * scale;
                scores.iter_mut().zip(keys).for_each(|(score, key)| *score += query * key);
            }
            let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            scores.iter_mut().for_each(|score| *score = (*score - highest).exp());
            let share = 1.0 / sum(&scores, |score| score);
            let mixed = &mut out.at(0, token)[first..][..size];
            mixed.fill(0.0);
            for (other, score) in scores.iter().enumerate() {
                let share = score * share;
                let values = &x.at(0, other)[2 * width + first..][..size];
                mixed.iter_mut().zip(values).for_each(|(mixed, value)| *mixed += share * value);
            }
        }
    }
    for token in 0..tokens {
        out.at(0, token)[width..].fill(0.0);
    }
}

/// The first token as a vector.
#[inline(always)]
pub fn first(x: Image, mut out: ImageMut) {
    out.at(0, 0).copy_from_slice(x.at(0, 0));
}
