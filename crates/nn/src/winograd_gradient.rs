//! The weights' gradient of a convolution that went Winograd's way: the same road backwards.
//!
//! An output tile is Aᵀ (sum over channels of U ⊙ Bᵀ d B) A with U = G g Gᵀ, so the gradient of
//! the points' weights U is the sum over the tiles of (Bᵀ d B) ⊙ (A y Aᵀ), where y is the
//! gradient of the tile's outputs: 36 matrix products over all tiles, a quarter of the
//! multiplications of the definition. The gradient of g is then Gᵀ U G.

// Tiles are walked by row and column, as the formulas are written.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::map::Map;
use super::simd::dispatch;
use super::winograd::{A, B, Forward, Points, SIDE, TILE, filter_transform};

/// Tiles of an image of gradients.
pub fn count(to: &Map) -> usize {
    to.height.div_ceil(TILE) * to.width.div_ceil(TILE)
}

/// Widens the zeros around the gradient's maps to whole tiles.
pub fn make_room(to: &mut Map) {
    to.make_room(0, to.height.next_multiple_of(TILE), to.width.next_multiple_of(TILE));
}

/// The gradient of the weights, (outputs, inputs, 3, 3), from the sums of (point, inputs, outputs).
/// Channels are given as (those that there are, those with what they were filled up with).
pub fn finish(sums: &[f32], inputs: (usize, usize), outputs: (usize, usize)) -> Vec<f32> {
    let mut out = vec![0.0; outputs.0 * inputs.0 * 9];
    dispatch(Unpack { sums, inputs, outputs, out: &mut out });
    out
}

struct Unpack<'a> {
    sums: &'a [f32],
    inputs: (usize, usize),
    outputs: (usize, usize),
    out: &'a mut [f32],
}

impl WithSimd for Unpack<'_> {
    type Output = ();

    /// The loops run along the outputs, which a compiler turns into vector code by itself.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Unpack { sums, inputs: (inputs, depth), outputs: (outputs, width), out } = self;
        let transform = filter_transform();
        let mut half = vec![0f64; 3 * SIDE * width];
        let mut taps = vec![0f32; 9 * width];
        let mut tap = vec![0f64; width];
        for input in 0..inputs {
            let point = |i: usize| &sums[(i * depth + input) * width..][..width];
            half.fill(0.0);
            for (place, half) in half.chunks_exact_mut(width).enumerate() {
                for (i, row) in transform.iter().enumerate() {
                    let factor = row[place / SIDE];
                    let values = point(i * SIDE + place % SIDE);
                    half.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * f64::from(*value));
                }
            }
            for (place, taps) in taps.chunks_exact_mut(width).enumerate() {
                tap.fill(0.0);
                for (j, row) in transform.iter().enumerate() {
                    let half = &half[(place / 3 * SIDE + j) * width..][..width];
                    tap.iter_mut().zip(half).for_each(|(sum, value)| *sum += row[place % 3] * value);
                }
                taps.iter_mut().zip(&tap).for_each(|(to, from)| *to = *from as f32);
            }
            for output in 0..outputs {
                let to = &mut out[(output * inputs + input) * 9..][..9];
                to.iter_mut().enumerate().for_each(|(place, to)| *to = taps[place * width + output]);
            }
        }
    }
}

/// Turns tiles of the inputs and of the outputs' gradient into points, (point, tile, channel).
pub struct Transform<'a> {
    /// Layout of `x`.
    pub from: &'a Map,
    /// Layout of `gradient`.
    pub to: &'a Map,
    /// Rows and columns of zeros on each side of the input.
    pub padding: (usize, usize),
    /// Which of the tiles of all maps.
    pub tiles: Range<usize>,
    /// Inputs.
    pub x: &'a [f32],
    /// The gradient of the outputs.
    pub gradient: &'a [f32],
    /// Points of the inputs.
    pub inputs: &'a mut [f32],
    /// Points of the gradient.
    pub outputs: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Transform { from, to, padding, tiles, x, gradient, inputs, outputs } = self;
        let (depth, width, count) = (from.depth, to.depth, tiles.len());
        let wide = to.width.div_ceil(TILE);
        let each = self::count(to);
        for (at, tile) in tiles.enumerate() {
            let (image, place) = (tile / each, tile % each);
            let (y, column) = (place / wide * TILE, place % wide * TILE);
            let x = &x[image * from.image() + from.padded(y, column, padding)..];
            let points = Points { start: at * depth, step: count * depth };
            simd.vectorize(Forward { x, row: from.row(), depth, points: inputs, to: points });
            let gradient = &gradient[image * to.image() + to.place(y, column)..];
            let points = Points { start: at * width, step: count * width };
            simd.vectorize(Spread { gradient, row: to.row(), depth: width, points: outputs, to: points });
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
