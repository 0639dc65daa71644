//! Products with weights that were packed once and are used again and again.
//!
//! A product keeps a tile of its result in registers, eight rows by two vectors on the widest
//! machines, and reads the packed weights from front to back. Its left rows are not copied
//! anywhere: a row is a few runs of a larger array, which is what the values under a kernel are
//! in a map with its channels last (an implicit im2col; Dukhan 2019, "The indirect convolution
//! algorithm"), and what a row of a matrix is, in one run. What follows a layer, its epilogue,
//! happens before the tile leaves its registers.

// The indices are those of the formulas, often of several arrays at once.
#![allow(clippy::needless_range_loop)]

#[cfg(test)]
mod tests;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::activation::Clip;
use super::simd::{AlignedVec, dispatch, lanes, round_up};

/// Rows of a result that are worked on for all panels before the next ones are.
const BLOCK: usize = 96;

/// A matrix (depth, columns) cut into panels of `width` columns; a panel lies row after row. The
/// last panel is filled up with columns of zeros.
#[derive(Debug, Clone, Default)]
pub struct PackedWeights {
    values: AlignedVec,
    depth: usize,
    columns: usize,
    width: usize,
}

impl PackedWeights {
    /// A matrix of zeros.
    pub fn zeros(depth: usize, columns: usize) -> PackedWeights {
        let width = panel_width(columns);
        let values = AlignedVec::zeros(depth * columns.next_multiple_of(width));
        PackedWeights { values, depth, columns, width }
    }

    /// The weights of a dense layer: `weights` is (columns, depth), row after row.
    pub fn new(weights: &[f32], columns: usize) -> PackedWeights {
        let depth = weights.len() / columns.max(1);
        let mut packed = PackedWeights::default();
        packed.fill(depth, columns, |k, j| weights[j * depth + k]);
        packed
    }

    /// Packs the matrix whose value in row k and column j is `at(k, j)`, in the memory of an earlier
    /// one.
    #[inline(always)]
    pub fn fill(&mut self, depth: usize, columns: usize, at: impl Fn(usize, usize) -> f32) {
        let width = panel_width(columns);
        let needed = depth * columns.next_multiple_of(width);
        if self.values.len() < needed {
            self.values = AlignedVec::zeros(needed);
        }
        (self.depth, self.columns, self.width) = (depth, columns, width);
        for first in (0..columns).step_by(width) {
            let own = width.min(columns - first);
            let panel = &mut self.values[first * depth..][..width * depth];
            for (k, values) in panel.chunks_exact_mut(width).enumerate() {
                for (j, value) in values[..own].iter_mut().enumerate() {
                    *value = at(k, first + j);
                }
                values[own..].fill(0.0);
            }
        }
    }

    /// Sets the first values of a row.
    pub fn set_row(&mut self, row: usize, values: &[f32]) {
        assert!(row < self.depth && values.len() <= self.columns);
        for (panel, part) in values.chunks(self.width).enumerate() {
            let start = (panel * self.depth + row) * self.width;
            self.values[start..start + part.len()].copy_from_slice(part);
        }
    }

    /// Values of a row that is multiplied.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// One value a column, filled up as the columns are: what [`Epilogue::bias`] takes.
    pub fn pad(&self, bias: &[f32]) -> AlignedVec {
        let mut padded = AlignedVec::zeros(self.columns.next_multiple_of(self.width.max(1)));
        padded[..bias.len()].copy_from_slice(bias);
        padded
    }

    /// Writes `epilogue(x · weights)` for the `count` rows of `x` to `out`, whose rows begin every
    /// `stride` values; what lies between them is left alone.
    ///
    /// # Panics
    /// Rows that are shorter than the weights are deep; slices that end before the last row.
    pub fn multiply(&self, count: usize, x: Matrix, epilogue: Epilogue, out: &mut [f32], stride: usize) {
        if count == 0 || self.columns == 0 {
            return;
        }
        let (rows, offsets) = (Rows::of(x.values, self.depth), Strided { count, from: x.stride, to: stride });
        dispatch(Product { rows, offsets, weights: self, epilogue, out });
    }
}

/// Columns of a panel: one, two or four vectors of this machine, as its registers allow.
fn panel_width(columns: usize) -> usize {
    match lanes() {
        16 if round_up(columns).is_multiple_of(32) => 32,
        4.. => 16,
        few => 4 * few,
    }
}

/// Rows of a tile of the result. More would fit the 32 registers of the widest machines, but
/// their addresses would not fit the sixteen that hold addresses.
fn most_rows<S: Simd>() -> usize {
    match S::F32_LANES {
        16 => 8,
        8 => 6,
        _ => 4,
    }
}

/// A matrix inside a slice: a row begins every `stride` values.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// What the rows lie in.
    pub values: &'a [f32],
    /// From the beginning of one row to that of the next.
    pub stride: usize,
}

/// What the left rows of a product are made of: a row at `start` is the runs of `length` values
/// that begin at `start + tap`, one for each of `taps`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// What they lie in.
    pub values: &'a [f32],
    /// Where the runs of a row begin.
    pub taps: &'a [usize],
    /// Values of a run.
    pub length: usize,
}

impl<'a> Rows<'a> {
    /// Rows that lie in one run of `length` values.
    pub fn of(values: &'a [f32], length: usize) -> Rows<'a> {
        Rows { values, taps: &[0], length }
    }
}

/// Where the rows of a product begin: in the values on the left, and in the result.
pub trait Offsets: Copy {
    /// Number of rows.
    fn count(self) -> usize;
    /// Where row `index` begins.
    fn row(self, index: usize) -> (usize, usize);
}

/// Rows that begin at `places`, all of them moved by `from` and `to`; `to` may stand
/// for less than 0, which wraps around.
#[derive(Debug, Clone, Copy)]
pub struct Scattered<'a> {
    /// A pair of offsets a row.
    pub places: &'a [(u32, u32)],
    /// Added to the first of every pair.
    pub from: usize,
    /// Added to the second.
    pub to: usize,
}

impl Offsets for Scattered<'_> {
    #[inline(always)]
    fn count(self) -> usize {
        self.places.len()
    }

    #[inline(always)]
    fn row(self, index: usize) -> (usize, usize) {
        let (from, to) = self.places[index];
        (self.from + from as usize, self.to.wrapping_add(to as usize))
    }
}

/// Rows that begin every so many values.
#[derive(Debug, Clone, Copy)]
struct Strided {
    count: usize,
    from: usize,
    to: usize,
}

impl Offsets for Strided {
    #[inline(always)]
    fn count(self) -> usize {
        self.count
    }

    #[inline(always)]
    fn row(self, index: usize) -> (usize, usize) {
        (index * self.from, index * self.to)
    }
}

/// What is done to the values of a product before they are stored, in this order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One value a column, added; as long as [`PackedWeights::pad`] makes it.
    pub bias: Option<&'a [f32]>,
    /// What else is added.
    pub residual: Residual<'a>,
    /// What the values are kept within.
    pub clip: Clip,
}

/// Values that are added to those of a product.
#[derive(Debug, Clone, Copy, Default)]
pub enum Residual<'a> {
    /// None.
    #[default]
    None,
    /// Those at the places of the result.
    Values(&'a [f32]),
    /// Those that the result is written over.
    Output,
}

/// Writes `epilogue(row · weights)` for every row.
///
/// # Panics
/// Rows that are not as long as the weights are deep; offsets outside the slices.
#[inline(always)]
pub fn product<S: Simd>(
    simd: S,
    rows: Rows,
    offsets: impl Offsets,
    weights: &PackedWeights,
    epilogue: Epilogue,
    out: &mut [f32],
) {
    Product { rows, offsets, weights, epilogue, out }.with_simd(simd);
}

struct Product<'a, O> {
    rows: Rows<'a>,
    offsets: O,
    weights: &'a PackedWeights,
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
}

impl<O: Offsets> WithSimd for Product<'_, O> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Product { rows, offsets, weights, epilogue, out } = self;
        assert_eq!(rows.taps.len() * rows.length, weights.depth, "values of a row");
        let reach = rows.taps.iter().max().map_or(0, |tap| tap + rows.length);
        let mut panel = Panel { rows, reach, offsets, weights: &[], columns: 0..0, epilogue, out };
        match weights.width / S::F32_LANES {
            1 => panel.all::<S, 1>(simd, weights),
            2 => panel.all::<S, 2>(simd, weights),
            _ => panel.all::<S, 4>(simd, weights),
        }
    }
}

/// A product on its way through the panels.
struct Panel<'a, O> {
    rows: Rows<'a>,
    /// Values from the beginning of a row to its end.
    reach: usize,
    offsets: O,
    weights: &'a [f32],
    /// Those of the panel that are columns of the result.
    columns: Range<usize>,
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
}

impl<'a, O: Offsets> Panel<'a, O> {
    #[inline(always)]
    fn all<S: Simd, const V: usize>(&mut self, simd: S, weights: &'a PackedWeights) {
        let PackedWeights { values, depth, columns, width } = weights;
        assert_eq!(*width, V * S::F32_LANES);
        let count = self.offsets.count();
        for first in (0..count).step_by(BLOCK) {
            let rows = first..(first + BLOCK).min(count);
            let tiles = rows.len().div_ceil(most_rows::<S>());
            let split = (rows.len() / tiles, rows.len() % tiles);
            for column in (0..*columns).step_by(*width) {
                self.weights = &values[column * depth..][..width * depth];
                self.columns = column..(column + width).min(*columns);
                self.block::<S, V>(simd, rows.clone(), split);
            }
        }
    }

    /// A block of rows, in tiles of `size` rows, the first `larger` of one row more. Of a few rows the
    /// products are summed in several parts, so that a sum never waits for itself.
    #[inline(always)]
    fn block<S: Simd, const V: usize>(
        &mut self,
        simd: S,
        rows: Range<usize>,
        (size, mut larger): (usize, usize),
    ) {
        let mut first = rows.start;
        while first < rows.end {
            let count = size + usize::from(larger > 0);
            larger = larger.saturating_sub(1);
            match count {
                1 => self.tile::<S, 1, V, 4>(simd, first),
                2 => self.tile::<S, 2, V, 2>(simd, first),
                3 => self.tile::<S, 3, V, 2>(simd, first),
                4 => self.tile::<S, 4, V, 1>(simd, first),
                5 => self.tile::<S, 5, V, 1>(simd, first),
                6 => self.tile::<S, 6, V, 1>(simd, first),
                7 => self.tile::<S, 7, V, 1>(simd, first),
                _ => self.tile::<S, 8, V, 1>(simd, first),
            }
            first += count;
        }
    }

    /// `R` rows by `V` vectors, each value summed in `U` parts.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize, const U: usize>(&mut self, simd: S, first: usize) {
        let Rows { values, taps, length } = self.rows;
        let weights = S::as_simd_f32s(self.weights).0;
        assert!(weights.len() == taps.len() * length * V);
        let mut starts = [0; R];
        for (r, start) in starts.iter_mut().enumerate() {
            *start = self.offsets.row(first + r).0;
            assert!(*start + self.reach <= values.len(), "a row ends beyond the values");
        }
        let mut parts = [[[simd.splat_f32s(0.0); V]; R]; U];
        let mut right = weights.as_ptr();
        for &tap in taps {
            // SAFETY: `values` holds `reach` values from every start, so it holds `length` from
            // every start + tap; the panel has V vectors for each of the taps.len() * length
            // values of a row. Both were asserted.
            unsafe {
                let mut left = [values.as_ptr(); R];
                for r in 0..R {
                    left[r] = left[r].add(starts[r] + tap);
                }
                let whole = length - length % U;
                for k in (0..whole).step_by(U) {
                    for u in 0..U {
                        for r in 0..R {
                            let value = simd.splat_f32s(*left[r].add(k + u));
                            for v in 0..V {
                                parts[u][r][v] = simd.mul_add_e_f32s(value, *right.add(v), parts[u][r][v]);
                            }
                        }
                        right = right.add(V);
                    }
                }
                for k in whole..length {
                    for r in 0..R {
                        let value = simd.splat_f32s(*left[r].add(k));
                        for v in 0..V {
                            parts[0][r][v] = simd.mul_add_e_f32s(value, *right.add(v), parts[0][r][v]);
                        }
                    }
                    right = right.add(V);
                }
            }
        }
        let mut sums = parts[0];
        for u in 1..U {
            for r in 0..R {
                for v in 0..V {
                    sums[r][v] = simd.add_f32s(sums[r][v], parts[u][r][v]);
                }
            }
        }
        let Range { start, end } = self.columns;
        let whole = end - start == V * S::F32_LANES;
        for (r, mut sums) in sums.into_iter().enumerate() {
            let row = self.offsets.row(first + r).1;
            if let Some(bias) = self.epilogue.bias {
                let bias = S::as_simd_f32s(&bias[start..start + V * S::F32_LANES]).0;
                for v in 0..V {
                    sums[v] = simd.add_f32s(sums[v], bias[v]);
                }
            }
            match whole {
                true => self.store::<S, V>(simd, sums, row + start),
                false => self.store_part::<S, V>(simd, sums, row + start..row + end),
            }
        }
    }

    /// One row of a tile, with its bias, to the columns of the result that begin at `at`.
    #[inline(always)]
    fn store<S: Simd, const V: usize>(&mut self, simd: S, mut sums: [S::f32s; V], at: usize) {
        let width = V * S::F32_LANES;
        let added = match self.epilogue.residual {
            Residual::None => None,
            Residual::Values(values) => Some(&values[at..at + width]),
            Residual::Output => Some(&self.out[at..at + width]),
        };
        if let Some(added) = added {
            let added = S::as_simd_f32s(added).0;
            for v in 0..V {
                sums[v] = simd.add_f32s(sums[v], added[v]);
            }
        }
        let out = S::as_mut_simd_f32s(&mut self.out[at..at + width]).0;
        for v in 0..V {
            out[v] = self.epilogue.clip.apply(simd, sums[v]);
        }
    }

    /// The same for the last panel, which is filled up with columns that the result has no room for.
    #[inline(always)]
    fn store_part<S: Simd, const V: usize>(&mut self, simd: S, sums: [S::f32s; V], columns: Range<usize>) {
        for (v, mut sum) in sums.into_iter().enumerate() {
            let part =
                columns.start + v * S::F32_LANES..columns.end.min(columns.start + (v + 1) * S::F32_LANES);
            if part.is_empty() {
                return;
            }
            match self.epilogue.residual {
                Residual::None => {}
                Residual::Values(values) => {
                    sum = simd.add_f32s(sum, simd.partial_load_f32s(&values[part.clone()]));
                }
                Residual::Output => {
                    sum = simd.add_f32s(sum, simd.partial_load_f32s(&self.out[part.clone()]));
                }
            }
            let sum = self.epilogue.clip.apply(simd, sum);
            simd.partial_store_f32s(&mut self.out[part], sum);
        }
    }
}
