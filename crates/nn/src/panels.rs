//! Products with a matrix that was packed once: weights that are used again and again.
//!
//! A product keeps a block of its result in registers, eight rows by two vectors on the widest
//! machines, and reads the packed matrix from front to back. Its left rows are not copied
//! anywhere: a row is a few runs of a larger array, which is what the values under a kernel are
//! in a map with its channels last (the implicit product of Dukhan 2019, "The indirect
//! convolution algorithm"). What follows a layer happens before the block leaves its registers.

// The indices are those of the formulas, often of several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::Simd;

use super::simd::{Buffer, lanes, round_up};

/// Rows of a result that are worked on for all panels before the next ones are.
const BLOCK: usize = 96;

/// A matrix (depth, columns) cut into panels of `width` columns; a panel lies row after row.
/// Columns are filled up with zeros.
#[derive(Debug, Clone)]
pub struct Panels {
    values: Buffer,
    depth: usize,
    columns: usize,
    width: usize,
}

impl Panels {
    /// A matrix of zeros.
    pub fn zeros(depth: usize, columns: usize) -> Panels {
        let columns = round_up(columns);
        Panels { values: Buffer::zeros(depth * columns), depth, columns, width: width(columns) }
    }

    /// Sets the first values of a row.
    pub fn set_row(&mut self, row: usize, values: &[f32]) {
        assert!(row < self.depth && values.len() <= self.columns);
        for (panel, part) in values.chunks(self.width).enumerate() {
            let start = (panel * self.depth + row) * self.width;
            self.values[start..start + part.len()].copy_from_slice(part);
        }
    }

    /// Columns, those of zeros included.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// Columns of a panel: one, two or four vectors of this machine, as its registers allow.
fn width(columns: usize) -> usize {
    match lanes() {
        16 if columns.is_multiple_of(32) => 32,
        4.. => 16,
        few => 4 * few,
    }
}

/// Rows of a block of the result. More would fit the 32 registers of the widest machines, but
/// their addresses would not fit the sixteen that hold addresses.
fn most_rows<S: Simd>() -> usize {
    match S::F32_LANES {
        16 => 8,
        8 => 6,
        _ => 4,
    }
}

/// Where the left rows of a product lie: a row at `start` is the runs of `length` values that
/// begin at `start + tap`, one for each of `taps`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// What they lie in.
    pub values: &'a [f32],
    /// Where the runs of a row begin.
    pub taps: &'a [usize],
    /// Values of a run.
    pub length: usize,
}

/// What is done to the values of a product before they are stored.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    /// One value a column, added.
    pub bias: Option<&'a [f32]>,
    /// Values added, at the places of the output.
    pub residual: Option<&'a [f32]>,
    /// Whether negative values become 0.
    pub relu: bool,
}

/// Writes `finish(row · panels)` for every place: the row at `place.0 + from` goes to
/// `out[place.1 + to..]`.
///
/// # Panics
/// Rows that are not as long as the matrix is deep; places outside the slices.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn product<S: Simd>(
    simd: S,
    rows: Rows,
    panels: &Panels,
    places: &[(u32, u32)],
    (from, to): (usize, usize),
    finish: Finish,
    out: &mut [f32],
) {
    assert_eq!(rows.taps.len() * rows.length, panels.depth, "values of a row");
    let mut task = Task { rows, panel: &[], columns: 0..0, from, to, finish, out };
    match panels.width / S::F32_LANES {
        1 => task.all::<S, 1>(simd, panels, places),
        2 => task.all::<S, 2>(simd, panels, places),
        _ => task.all::<S, 4>(simd, panels, places),
    }
}

/// A product on its way through the panels.
struct Task<'a> {
    rows: Rows<'a>,
    panel: &'a [f32],
    columns: Range<usize>,
    from: usize,
    to: usize,
    finish: Finish<'a>,
    out: &'a mut [f32],
}

impl<'a> Task<'a> {
    #[inline(always)]
    fn all<S: Simd, const V: usize>(&mut self, simd: S, panels: &'a Panels, places: &[(u32, u32)]) {
        assert_eq!(panels.width, V * S::F32_LANES);
        let size = panels.depth * panels.width;
        for block in places.chunks(BLOCK) {
            for index in 0..panels.columns / panels.width {
                self.panel = &panels.values[index * size..][..size];
                self.columns = index * panels.width..(index + 1) * panels.width;
                self.block::<S, V>(simd, block);
            }
        }
    }

    /// All rows of `places`, in groups of about the same size.
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, mut places: &[(u32, u32)]) {
        for groups in (1..=places.len().div_ceil(most_rows::<S>())).rev() {
            let (group, rest) = places.split_at(places.len().div_ceil(groups));
            places = rest;
            match group.len() {
                1 => self.group::<S, 1, V>(simd, group),
                2 => self.group::<S, 2, V>(simd, group),
                3 => self.group::<S, 3, V>(simd, group),
                4 => self.group::<S, 4, V>(simd, group),
                5 => self.group::<S, 5, V>(simd, group),
                6 => self.group::<S, 6, V>(simd, group),
                7 => self.group::<S, 7, V>(simd, group),
                _ => self.group::<S, 8, V>(simd, group),
            }
        }
    }

    /// `R` rows by `V` vectors.
    #[inline(always)]
    fn group<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, places: &[(u32, u32)]) {
        let Rows { values, taps, length } = self.rows;
        let panel = S::as_simd_f32s(self.panel).0;
        assert!(places.len() == R && panel.len() == taps.len() * length * V);
        let reach = taps.iter().max().map_or(0, |tap| tap + length);
        let mut starts = [0; R];
        for (start, place) in starts.iter_mut().zip(places) {
            *start = self.from + place.0 as usize;
            assert!(*start + reach <= values.len());
        }
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let mut right = panel.as_ptr();
        for &tap in taps {
            // SAFETY: `values` holds `reach` values from every start, so it holds `length` from
            // every start + tap; the panel has V vectors for each of the taps.len() * length
            // values of a row. Both were asserted.
            unsafe {
                let mut left = [values.as_ptr(); R];
                for row in 0..R {
                    left[row] = left[row].add(starts[row] + tap);
                }
                for k in 0..length {
                    for row in 0..R {
                        let value = simd.splat_f32s(*left[row].add(k));
                        for (v, sum) in sums[row].iter_mut().enumerate() {
                            *sum = simd.mul_add_e_f32s(value, *right.add(v), *sum);
                        }
                    }
                    right = right.add(V);
                }
            }
        }
        self.store::<S, R, V>(simd, sums, places);
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; V]; R],
        places: &[(u32, u32)],
    ) {
        let width = self.columns.len();
        for (mut sums, place) in sums.into_iter().zip(places) {
            let at = self.to + place.1 as usize + self.columns.start;
            if let Some(bias) = self.finish.bias {
                let bias = S::as_simd_f32s(&bias[self.columns.clone()]).0;
                for v in 0..V {
                    sums[v] = simd.add_f32s(sums[v], bias[v]);
                }
            }
            if let Some(residual) = self.finish.residual {
                let residual = S::as_simd_f32s(&residual[at..at + width]).0;
                for v in 0..V {
                    sums[v] = simd.add_f32s(sums[v], residual[v]);
                }
            }
            let out = S::as_mut_simd_f32s(&mut self.out[at..at + width]).0;
            for v in 0..V {
                out[v] = if self.finish.relu { relu(simd, sums[v]) } else { sums[v] };
            }
        }
    }
}

/// 0 where x is below it. A maximum would also turn what is no number into 0.
#[inline(always)]
pub fn relu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}
