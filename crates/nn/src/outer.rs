//! Sums of outer products: what the gradient of a matrix is, given the rows that it was multiplied
//! with and the gradients of the results.
//!
//! As in [`super::panels`] the left rows are runs of a larger array and lie where they lie. A block
//! of the result, eight rows by two vectors on the widest machines, stays in registers while the
//! places go by; places are taken a hundred or so at a time, which is what the first cache holds.

// The indices are those of the formulas, often of several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::packed::Rows;

/// Places that are worked on for the whole result before the next ones are.
const TOGETHER: usize = 128;

/// Adds to `sums`, (rows, columns), the products of the left rows' values `range` and the right
/// rows: the sum over the places of `left(place.0 + from)[row] * right[place.1 + to + column]`.
pub struct Outer<'a> {
    /// The left rows.
    pub left: Rows<'a>,
    /// Values of the left rows that are asked for: a row of the result each.
    pub range: Range<usize>,
    /// What the right rows lie in.
    pub right: &'a [f32],
    /// Values of a right row, whole vectors.
    pub columns: usize,
    /// Where the rows begin.
    pub places: &'a [(u32, u32)],
    /// What is added to all of them.
    pub base: (usize, usize),
    /// The result.
    pub sums: &'a mut [f32],
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        assert!(self.columns.is_multiple_of(S::F32_LANES));
        let places = self.places;
        for places in places.chunks(TOGETHER) {
            self.places = places;
            match self.columns / S::F32_LANES % 2 {
                0 => self.all::<S, 2>(simd),
                _ => self.all::<S, 1>(simd),
            }
        }
    }
}

impl Outer<'_> {
    #[inline(always)]
    fn all<S: Simd, const V: usize>(&mut self, simd: S) {
        let most = if S::F32_LANES == 16 { 8 } else { 4 };
        for column in (0..self.columns).step_by(V * S::F32_LANES) {
            let mut row = self.range.start;
            while row < self.range.end {
                // A block of rows lies in one run.
                let run = self.left.length - row % self.left.length;
                let rows = most.min(run).min(self.range.end - row);
                match rows {
                    1 => self.block::<S, 1, V>(simd, row, column),
                    2 => self.block::<S, 2, V>(simd, row, column),
                    3 => self.block::<S, 3, V>(simd, row, column),
                    4 => self.block::<S, 4, V>(simd, row, column),
                    5 => self.block::<S, 5, V>(simd, row, column),
                    6 => self.block::<S, 6, V>(simd, row, column),
                    7 => self.block::<S, 7, V>(simd, row, column),
                    _ => self.block::<S, 8, V>(simd, row, column),
                }
                row += rows;
            }
        }
    }

    /// `R` rows by `V` vectors.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, row: usize, column: usize) {
        let Rows { values, taps, length } = self.left;
        let (left, right) = (self.base.0 + taps[row / length] + row % length, self.base.1 + column);
        let width = V * S::F32_LANES;
        let furthest =
            |place: fn(&(u32, u32)) -> u32| self.places.iter().map(place).max().unwrap_or(0) as usize;
        assert!(left + furthest(|place| place.0) + R <= values.len());
        assert!(right + furthest(|place| place.1) + width <= self.right.len());
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (from, to) in self.places {
            // SAFETY: from the furthest places on, R values of the left array and `width` of the
            // right one lie inside, as was asserted; so they do from all others.
            unsafe {
                let left = values.as_ptr().add(left + *from as usize);
                let right = self.right.as_ptr().add(right + *to as usize);
                let mut vectors = [simd.splat_f32s(0.0); V];
                for v in 0..V {
                    vectors[v] = right.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                }
                for row in 0..R {
                    let value = simd.splat_f32s(*left.add(row));
                    for v in 0..V {
                        sums[row][v] = simd.mul_add_e_f32s(value, vectors[v], sums[row][v]);
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let at = (row - self.range.start + r) * self.columns + column;
            let out = S::as_mut_simd_f32s(&mut self.sums[at..at + width]).0;
            for v in 0..V {
                out[v] = simd.add_f32s(out[v], sums[v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use crate::simd::dispatch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_double_precision(
            length in 1usize..40, taps in 1usize..4, vectors in 1usize..4, places in 0usize..300,
            scalar: bool, seed: u64,
        ) {
            let mut rng = random::stream(seed, "outer");
            let columns = 16 * vectors;
            let places: Vec<(u32, u32)> = (0..places as u32).map(|i| (i * 3 % 251, i * 7 % 83)).collect();
            let taps: Vec<usize> = (0..taps).map(|tap| tap * 41).collect();
            let depth = taps.len() * length;
            let mut draw = |count| -> Vec<f32> { (0..count).map(|_| random::normal(&mut rng)).collect() };
            let (values, right) = (draw(5 + 250 + 3 * 41 + length), draw(2 + 82 + columns));
            let range = depth / 3..depth;
            let mut sums = vec![1.0; range.len() * columns];
            let left = Rows { values: &values, taps: &taps, length };
            let outer = Outer {
                left, range: range.clone(), right: &right, columns, places: &places, base: (5, 2), sums: &mut sums,
            };
            match scalar {
                true => outer.with_simd(pulp::Scalar),
                false => dispatch(outer),
            }
            for (at, sum) in sums.iter().enumerate() {
                let (row, column) = (range.start + at / columns, at % columns);
                let left = |from: u32| f64::from(values[5 + from as usize + taps[row / length] + row % length]);
                let right = |to: u32| f64::from(right[2 + to as usize + column]);
                let want: f64 = 1.0 + places.iter().map(|(from, to)| left(*from) * right(*to)).sum::<f64>();
                prop_assert!((f64::from(*sum) - want).abs() < 1e-3, "{sum} for {want}");
            }
        }
    }
}
