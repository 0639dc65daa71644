//! The weights' gradient of a convolution that went Winograd's way: the same road backwards.
//!
//! An output tile is Aᵀ (sum over channels of U ⊙ Bᵀ d B) A with U = G g Gᵀ, so the gradient of
//! the points' weights U is the sum over the tiles of (Bᵀ d B) ⊙ (A y Aᵀ), where y is the
//! gradient of the tile's outputs: 36 matrix products over all tiles, a quarter of the
//! multiplications of the definition. The gradient of g is then Gᵀ U G.

// Tiles are walked by row and column, as the formulas are written.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use super::map::Map;
use super::matrix::{View, multiply};
use super::simd::Buffer;
use super::winograd::{A, B, Forward, POINTS, Points, SIDE, TILE, filter_transform};

/// Tiles that are transformed together.
const BLOCK: usize = 48;

/// A sum over tiles on its way.
pub struct WeightGradient {
    /// (point, inputs, outputs), channels filled up to whole vectors.
    sums: Vec<f32>,
    inputs: (usize, usize),
    outputs: (usize, usize),
    scratch: Buffer,
}

impl WeightGradient {
    /// Widens the zeros around the gradient's maps to whole tiles.
    pub fn make_room(to: &mut Map) {
        to.make_room(0, to.height.next_multiple_of(TILE), to.width.next_multiple_of(TILE));
    }

    /// A sum of nothing for inputs like `from` and outputs like `to`.
    pub fn new(from: &Map, to: &Map) -> WeightGradient {
        WeightGradient {
            sums: vec![0.0; POINTS * from.depth * to.depth],
            inputs: (from.channels, from.depth),
            outputs: (to.channels, to.depth),
            scratch: Buffer::zeros(POINTS * BLOCK * (from.depth + to.depth)),
        }
    }

    /// The gradient of the weights, (outputs, inputs, 3, 3).
    pub fn finish(&self) -> Vec<f32> {
        let transform = filter_transform();
        let (inputs, outputs) = (self.inputs.0, self.outputs.0);
        let mut out = vec![0.0; outputs * inputs * 9];
        let mut half = vec![0f64; 3 * SIDE * outputs];
        let mut tap = vec![0f64; outputs];
        for input in 0..inputs {
            let point =
                |i: usize| &self.sums[(i * self.inputs.1 + input) * self.outputs.1..][..self.outputs.1];
            half.fill(0.0);
            for (place, half) in half.chunks_exact_mut(outputs).enumerate() {
                for (i, row) in transform.iter().enumerate() {
                    let factor = row[place / SIDE];
                    let values = point(i * SIDE + place % SIDE);
                    half.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * f64::from(*value));
                }
            }
            for place in 0..9 {
                tap.fill(0.0);
                for (j, row) in transform.iter().enumerate() {
                    let half = &half[(place / 3 * SIDE + j) * outputs..][..outputs];
                    tap.iter_mut().zip(half).for_each(|(sum, value)| *sum += row[place % 3] * value);
                }
                for (output, value) in tap.iter().enumerate() {
                    out[(output * inputs + input) * 9 + place] = *value as f32;
                }
            }
        }
        out
    }
}

/// Adds the tiles of a batch of maps to a sum.
pub struct Add<'a> {
    /// What is added to.
    pub sum: &'a mut WeightGradient,
    /// Layout of `x`.
    pub from: &'a Map,
    /// Layout of `gradient`.
    pub to: &'a Map,
    /// Zeros on each side of the input.
    pub padding: usize,
    /// Maps of the batch.
    pub images: usize,
    /// Inputs.
    pub x: &'a [f32],
    /// The gradient of the outputs.
    pub gradient: &'a [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Add { sum, from, to, padding, images, x, gradient } = self;
        let (depth, width) = (from.depth, to.depth);
        let (inputs, outputs) = sum.scratch.split_at_mut(POINTS * BLOCK * depth);
        let wide = to.width.div_ceil(TILE);
        let each = to.height.div_ceil(TILE) * wide;
        for first in (0..images * each).step_by(BLOCK) {
            let count = BLOCK.min(images * each - first);
            for tile in 0..count {
                let (image, place) = ((first + tile) / each, (first + tile) % each);
                let (y, column) = (place / wide * TILE, place % wide * TILE);
                let x = &x[image * from.image() + from.place(y, column, padding)..];
                let points = Points { start: tile * depth, step: count * depth };
                simd.vectorize(Forward { x, row: from.row(), depth, points: inputs, to: points });
                let gradient = &gradient[image * to.image() + to.place(y, column, 0)..];
                let points = Points { start: tile * width, step: count * width };
                simd.vectorize(Spread { gradient, row: to.row(), depth: width, points: outputs, to: points });
            }
            for point in 0..POINTS {
                let left = View::new(&inputs[point * count * depth..][..count * depth], count, depth);
                let right = View::new(&outputs[point * count * width..][..count * width], count, width);
                multiply(
                    &mut sum.sums[point * depth * width..][..depth * width],
                    left.transposed(),
                    right,
                    true,
                );
            }
        }
    }
}

/// From the gradient of a tile's outputs to that of its points.
struct Spread<'a> {
    /// From the tile's first value.
    gradient: &'a [f32],
    row: usize,
    depth: usize,
    points: &'a mut [f32],
    to: Points,
}

/// Four values of a row or column to six: the transpose of how six become four.
#[inline(always)]
fn spread<S: Simd>(simd: S, y: [S::f32s; TILE]) -> [S::f32s; SIDE] {
    let times = |x: f32, y| simd.mul_f32s(simd.splat_f32s(x), y);
    let fma = |x: f32, y, z| simd.mul_add_e_f32s(simd.splat_f32s(x), y, z);
    let (even_a, even_b) = (fma(0.5, y[2], y[0]), fma(2.0, y[2], y[0]));
    let (odd_a, odd_b) = (times(A, fma(0.5, y[3], y[1])), times(B, fma(2.0, y[3], y[1])));
    [
        y[0],
        simd.add_f32s(even_a, odd_a),
        simd.sub_f32s(even_a, odd_a),
        simd.add_f32s(even_b, odd_b),
        simd.sub_f32s(even_b, odd_b),
        y[3],
    ]
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Spread { gradient, row, depth, points, to } = self;
        for channel in (0..depth).step_by(S::F32_LANES) {
            let read = |i: usize, j: usize| {
                S::as_simd_f32s(&gradient[i * row + j * depth + channel..][..S::F32_LANES]).0[0]
            };
            let mut half = [[simd.splat_f32s(0.0); TILE]; SIDE];
            for j in 0..TILE {
                let column = spread(simd, [read(0, j), read(1, j), read(2, j), read(3, j)]);
                for i in 0..SIDE {
                    half[i][j] = column[i];
                }
            }
            for i in 0..SIDE {
                let values = spread(simd, half[i]);
                for j in 0..SIDE {
                    let at = to.start + (i * SIDE + j) * to.step + channel;
                    S::as_mut_simd_f32s(&mut points[at..at + S::F32_LANES]).0[0] = values[j];
                }
            }
        }
    }
}
