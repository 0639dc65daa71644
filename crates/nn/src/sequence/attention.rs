//! Attention, and pooling by attention, over sequences that lie one after the other.
//!
//! A head goes over the rows of one sequence at a time: there is no padding, so none has to be
//! masked. Keys and values are packed like weights, which costs little beside the products with
//! them, and the keys are scaled on the way.
//!
//! Where scores also say how far apart two rows are, what each query (or key) says of every distance is one more product
//! ([`super::relative`]), and is added along the diagonals.

use super::relative::{RelativeMemory, RelativeTables};
use super::rows::{add_scaled, dot, softmax_terms};
use crate::packed::{Epilogue, Matrix, PackedWeights};
use crate::simd::{lanes, round_up};

/// Queries that are worked on together, so that their scores stay in cache.
const BLOCK: usize = 48;

/// Memory for one sequence, kept from call to call.
#[derive(Clone, Default)]
pub struct AttentionMemory {
    scores: Vec<f32>,
    keys: PackedWeights,
    values: PackedWeights,
    relative: RelativeMemory,
}

/// Writes what the `heads` heads make of every sequence to `out`, (rows, width). `x` is (rows, 3
/// width): queries, keys and values, each head after head. A row sees at most `reach` rows on either side. With `tables`
/// scores also say how far apart two rows are.
pub fn attend(
    (heads, reach, tables): (usize, usize, Option<&RelativeTables>),
    lengths: &[usize],
    x: &[f32],
    out: &mut [f32],
    width: usize,
    memory: &mut AttentionMemory,
) {
    let (mut x, mut out) = (x, out);
    for &length in lengths {
        let (own, rest) = x.split_at(3 * width * length);
        let (own_out, rest_out) = out.split_at_mut(width * length);
        (x, out) = (rest, rest_out);
        if let Some(tables) = tables {
            memory.relative.begin(tables, length);
        }
        for head in 0..heads {
            one_head(Head { length, reach, head, size: width / heads }, tables, own, own_out, width, memory);
        }
    }
}

/// One head over the rows of one sequence.
#[derive(Clone, Copy)]
pub struct Head {
    /// Rows.
    pub length: usize,
    /// Rows on either side that a row sees.
    pub reach: usize,
    /// Its number.
    pub head: usize,
    /// Values of its part of a row.
    pub size: usize,
}

fn one_head(
    of: Head,
    tables: Option<&RelativeTables>,
    x: &[f32],
    out: &mut [f32],
    width: usize,
    memory: &mut AttentionMemory,
) {
    let Head { length, reach, head, size } = of;
    let stride = 3 * width;
    let AttentionMemory { scores, keys, values, relative } = memory;
    let (own_keys, own_values) = (&x[width + head * size..], &x[2 * width + head * size..]);
    let terms = tables.map_or(1, |tables| tables.places.terms());
    let scale = 1.0 / ((size * terms) as f32).sqrt();
    // Scores of whole panels are written, and those beyond the sequence taken away.
    let padded = length.next_multiple_of(2 * lanes());
    keys.fill(size, padded, |k, j| if j < length { scale * own_keys[j * stride + k] } else { 0.0 });
    values.fill(length, size, |k, j| own_values[k * stride + j]);
    if let Some(tables) = tables {
        relative.head(tables, of, scale, Matrix { values: own_keys, stride }, width);
    }
    grow(scores, BLOCK * padded);
    for from in (0..length).step_by(BLOCK) {
        let rows = BLOCK.min(length - from);
        let queries = Matrix { values: &x[from * stride + head * size..], stride };
        let scores = &mut scores[..rows * padded];
        keys.multiply(rows, queries, Epilogue::default(), scores, padded);
        if tables.is_some() {
            relative.add(of, from, queries, scores, padded);
        }
        if reach < length {
            for (place, scores) in (from..).zip(scores.chunks_exact_mut(padded)) {
                scores[..place.saturating_sub(reach)].fill(f32::NEG_INFINITY);
                scores[(place + reach + 1).min(length)..length].fill(f32::NEG_INFINITY);
            }
        }
        let mut totals = [0.0; BLOCK];
        softmax_terms(scores, padded, length, &mut totals);
        let out = &mut out[from * width + head * size..];
        values.multiply(rows, Matrix { values: scores, stride: padded }, Epilogue::default(), out, width);
        for (out, total) in out.chunks_mut(width).zip(&totals[..rows]) {
            let factor = 1.0 / total;
            out[..size].iter_mut().for_each(|value| *value *= factor);
        }
    }
}

/// Writes the mean of one sequence's rows, weighted by the softmax of their products with `score`,
/// to `out`. What would move all scores alike cancels, so there is no bias.
pub fn attention_pool(score: &[f32], x: &[f32], out: &mut [f32], memory: &mut AttentionMemory) {
    let width = score.len();
    let length = x.len() / width;
    let padded = round_up(length);
    grow(&mut memory.scores, padded);
    let scores = &mut memory.scores[..padded];
    for (row, value) in x.chunks_exact(width).zip(scores.iter_mut()) {
        *value = dot(row, score);
    }
    let mut total = [0.0];
    softmax_terms(scores, padded, length, &mut total);
    out.fill(0.0);
    for (row, value) in x.chunks_exact(width).zip(scores.iter()) {
        add_scaled(out, row, value / total[0]);
    }
}

/// Cosines and sines of the angles of places, kept from call to call.
#[derive(Clone)]
pub struct Rotation {
    base: f32,
    half: usize,
    /// (places, pairs).
    values: Vec<(f32, f32)>,
}

impl Rotation {
    /// One of heads with `half` pairs of values.
    pub fn new(base: f32, half: usize) -> Rotation {
        Rotation { base, half, values: Vec::new() }
    }

    /// Whether it is that one.
    pub fn is(&self, base: f32, half: usize) -> bool {
        self.base.to_bits() == base.to_bits() && self.half == half
    }

    /// Turns the queries and keys of every sequence by their places; `x` is (rows, 3 width), each head after head.
    pub fn turn(&mut self, lengths: &[usize], x: &mut [f32], width: usize) {
        let Rotation { base, half, .. } = *self;
        for place in self.values.len() / half..lengths.iter().copied().max().unwrap_or(0) {
            let angle = |pair: usize| place as f64 / f64::from(base).powf(pair as f64 / half as f64);
            self.values.extend((0..half).map(angle).map(|angle| (angle.cos() as f32, angle.sin() as f32)));
        }
        let places = lengths.iter().flat_map(|length| self.values.chunks_exact(half).take(*length));
        for (row, angles) in x.chunks_exact_mut(3 * width).zip(places) {
            for part in row[..2 * width].chunks_exact_mut(2 * half) {
                let (first, second) = part.split_at_mut(half);
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(angles) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}

/// Makes room for so many values.
pub fn grow(values: &mut Vec<f32>, length: usize) {
    if values.len() < length {
        values.resize(length, 0.0);
    }
}
