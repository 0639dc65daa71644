//! A layer of a pre-norm encoder, and pooling by attention.
//!
//! Rows go through everything but attention in blocks that stay in the inner caches: normalised,
//! multiplied, activated and added while they are there. Attention goes sequence by sequence and
//! head by head over their own rows; its keys and values are laid out like weights. The scale and
//! shift of a normalisation and the root that divides the scores are folded into the weights
//! that follow or precede them.

use super::dense::{Dense, DenseWeights, LayerNormWeights};
use super::rows::{activate, add_scaled, dot, normalise, softmax_terms};
use crate::packed::{Epilogue, Matrix, PackedWeights, Residual};
use crate::simd::{lanes, round_up};

/// Rows of a block.
const BLOCK: usize = 48;

/// The parts of a layer, as training keeps them.
pub struct Parts {
    /// They divide the width.
    pub heads: usize,
    /// Before attention.
    pub attention_norm: LayerNormWeights,
    /// (3 width, width).
    pub queries_keys_values: DenseWeights,
    /// (width, width).
    pub output: DenseWeights,
    /// Before the feed-forward part.
    pub feed_forward_norm: LayerNormWeights,
    /// (inner, width).
    pub expand: DenseWeights,
    /// (width, inner).
    pub contract: DenseWeights,
}

/// A layer, ready to serve.
pub struct Layer {
    width: usize,
    heads: usize,
    queries_keys_values: Dense,
    output: Dense,
    expand: Dense,
    contract: Dense,
}

/// What a batch needs besides its rows; kept from batch to batch.
#[derive(Clone, Default)]
pub struct Scratch {
    normal: Vec<f32>,
    inner: Vec<f32>,
    all: Vec<f32>,
    mixed: Vec<f32>,
    scores: Vec<f32>,
    keys: PackedWeights,
    values: PackedWeights,
}

impl Layer {
    /// Folds and lays out the parts.
    pub fn new(parts: Parts) -> Layer {
        let width = parts.attention_norm.weight.len();
        let mut all = parts.queries_keys_values.after(&parts.attention_norm);
        let root = ((width / parts.heads) as f32).sqrt();
        all.weight[..width * width].iter_mut().for_each(|w| *w /= root);
        all.bias[..width].iter_mut().for_each(|b| *b /= root);
        Layer {
            width,
            heads: parts.heads,
            queries_keys_values: all.pack(),
            output: parts.output.pack(),
            expand: parts.expand.after(&parts.feed_forward_norm).pack(),
            contract: parts.contract.pack(),
        }
    }

    /// Changes `x`, (rows of all sequences, width), in place.
    pub fn forward(&self, x: &mut [f32], lengths: &[usize], scratch: &mut Scratch) {
        let width = self.width;
        let inner = self.expand.outputs();
        grow(&mut scratch.normal, BLOCK * width);
        grow(&mut scratch.inner, BLOCK * inner);
        grow(&mut scratch.all, 3 * x.len());
        grow(&mut scratch.mixed, x.len());

        for (x, all) in x.chunks(BLOCK * width).zip(scratch.all.chunks_mut(BLOCK * 3 * width)) {
            let normal = normalised(x, width, &mut scratch.normal);
            self.queries_keys_values.forward(x.len() / width, normal, Residual::None, all, 3 * width);
        }
        let mut start = 0;
        for &length in lengths {
            for head in 0..self.heads {
                self.attend(start, length, head, scratch);
            }
            start += length;
        }
        for (x, mixed) in x.chunks_mut(BLOCK * width).zip(scratch.mixed.chunks(BLOCK * width)) {
            let rows = x.len() / width;
            self.output.forward(rows, Matrix { values: mixed, stride: width }, Residual::Output, x, width);
            let normal = normalised(x, width, &mut scratch.normal);
            let values = &mut scratch.inner[..rows * inner];
            self.expand.forward(rows, normal, Residual::None, values, inner);
            activate(values);
            self.contract.forward(rows, Matrix { values, stride: inner }, Residual::Output, x, width);
        }
    }

    /// One head over the sequence of `length` rows from `start` on.
    fn attend(&self, start: usize, length: usize, head: usize, scratch: &mut Scratch) {
        let (width, size) = (self.width, self.width / self.heads);
        let stride = 3 * width;
        let Scratch { all, mixed, scores, keys, values, .. } = scratch;
        let all = &all[start * stride..(start + length) * stride];
        let mixed = &mut mixed[start * width..(start + length) * width];
        let (own_keys, own_values) = (&all[width + head * size..], &all[2 * width + head * size..]);
        // Scores of whole panels are written, and those beyond the sequence taken away.
        let padded = length.next_multiple_of(2 * lanes());
        keys.fill(size, padded, |k, j| if j < length { own_keys[j * stride + k] } else { 0.0 });
        values.fill(length, size, |k, j| own_values[k * stride + j]);
        grow(scores, BLOCK * padded);
        for from in (0..length).step_by(BLOCK) {
            let rows = BLOCK.min(length - from);
            let queries = Matrix { values: &all[from * stride + head * size..], stride };
            let scores = &mut scores[..rows * padded];
            keys.multiply(rows, queries, Epilogue::default(), scores, padded);
            let mut totals = [0.0; BLOCK];
            softmax_terms(scores, padded, length, &mut totals);
            let mixed = &mut mixed[from * width + head * size..];
            let weights = Matrix { values: scores, stride: padded };
            values.multiply(rows, weights, Epilogue::default(), mixed, width);
            for (mixed, total) in mixed.chunks_mut(width).zip(&totals[..rows]) {
                let factor = 1.0 / total;
                mixed[..size].iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

fn normalised<'a>(x: &[f32], width: usize, normal: &'a mut [f32]) -> Matrix<'a> {
    normalise(x, width, normal);
    Matrix { values: normal, stride: width }
}

fn grow(values: &mut Vec<f32>, length: usize) {
    if values.len() < length {
        values.resize(length, 0.0);
    }
}

/// A last normalisation, and the mean of a sequence's rows weighted by the softmax of their scores.
pub struct Pool {
    /// The norm's scale times the weight of the score. What moves all scores alike cancels.
    score: Vec<f32>,
    norm: LayerNormWeights,
}

impl Pool {
    /// `score` has one weight a column.
    pub fn new(norm: LayerNormWeights, score: &[f32]) -> Pool {
        Pool { score: score.iter().zip(&norm.weight).map(|(w, scale)| w * scale).collect(), norm }
    }

    /// Pools one sequence's rows into `out`.
    pub fn forward(&self, x: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        let width = self.score.len();
        let length = x.len() / width;
        let padded = round_up(length);
        let Scratch { all, scores, .. } = scratch;
        grow(all, x.len());
        grow(scores, padded);
        let (rows, scores) = (&mut all[..x.len()], &mut scores[..padded]);
        normalise(x, width, rows);
        for (row, score) in rows.chunks_exact(width).zip(scores.iter_mut()) {
            *score = dot(row, &self.score);
        }
        let mut total = [0.0];
        softmax_terms(scores, padded, length, &mut total);
        out.fill(0.0);
        for (row, score) in rows.chunks_exact(width).zip(scores.iter()) {
            add_scaled(out, row, score / total[0]);
        }
        for ((out, scale), shift) in out.iter_mut().zip(&self.norm.weight).zip(&self.norm.bias) {
            *out = *out * scale + shift;
        }
    }
}
