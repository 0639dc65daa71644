//! Products with a matrix that is laid out once for the processor.
//!
//! A weight lies in panels of a few neighboring outputs, input after input, the way the inner
//! loop reads it, so that nothing is packed while serving; a general product packs anew at every
//! call, which costs as much as the product itself where the rows are few. A tile of rows and
//! outputs is summed in registers, from the bias on, and written once. Attention lays out keys
//! and values in the same form as it goes, which costs little beside the products over them.
//!
//! A convolution's product ([`crate::panels`]) gathers its rows from a map and rounds outputs
//! up; here rows are plain, may be a single one, and write no further than their outputs.

// The indices are those of the formulas, often of several arrays at once.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use crate::simd::{Buffer, dispatch, lanes};

/// A dense layer as training keeps it.
pub struct Dense {
    /// (outputs, inputs), row after row.
    pub weight: Vec<f32>,
    /// One value an output.
    pub bias: Vec<f32>,
}

impl Dense {
    /// The layer laid out.
    pub fn panels(&self) -> Panels {
        Panels::new(&self.weight, &self.bias)
    }
}

/// A matrix in panels, each two vectors of the processor wide: the bias of its outputs, then
/// their weights, input after input.
#[derive(Clone, Default)]
pub struct Panels {
    values: Buffer,
    inputs: usize,
    outputs: usize,
}

impl Panels {
    /// Lays out `weight`, (outputs, inputs) row after row, and `bias`, one value an output.
    pub fn new(weight: &[f32], bias: &[f32]) -> Panels {
        let inputs = weight.len() / bias.len().max(1);
        let mut panels = Panels::default();
        panels.fill(bias.len(), inputs, |j, k| weight[j * inputs + k]);
        let width = 2 * lanes();
        for (first, bias) in (0..).step_by(width).zip(bias.chunks(width)) {
            panels.values[first * (inputs + 1)..][..bias.len()].copy_from_slice(bias);
        }
        panels
    }

    /// Lays out the matrix whose weight of input k for output j is `at(j, k)`, without a bias; the
    /// room of an earlier matrix is used again.
    #[inline(always)]
    pub fn fill(&mut self, outputs: usize, inputs: usize, at: impl Fn(usize, usize) -> f32) {
        let width = 2 * lanes();
        let size = (inputs + 1) * width;
        let needed = outputs.div_ceil(width) * size;
        if self.values.len() < needed {
            self.values = Buffer::zeros(needed);
        }
        (self.inputs, self.outputs) = (inputs, outputs);
        for (first, panel) in (0..outputs).step_by(width).zip(self.values.chunks_exact_mut(size)) {
            let own = width.min(outputs - first);
            let (bias, panel) = panel.split_at_mut(width);
            bias.fill(0.0);
            for (k, values) in panel.chunks_exact_mut(width).enumerate() {
                for (j, value) in values[..own].iter_mut().enumerate() {
                    *value = at(first + j, k);
                }
                values[own..].fill(0.0);
            }
        }
    }

    /// Values of a row that goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x W^T + b` for `rows` rows, or that added to what is in `out`, whose rows begin every
    /// `stride` values.
    ///
    /// # Panics
    /// Rows that are shorter than the matrix asks for; slices that end before the last row.
    pub fn product(&self, rows: usize, x: Rows, finish: Finish, out: &mut [f32], stride: usize) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        if rows == 0 || outputs == 0 {
            return;
        }
        assert!(x.stride >= inputs && x.values.len() >= (rows - 1) * x.stride + inputs, "rows");
        assert!(stride >= outputs && out.len() >= (rows - 1) * stride + outputs, "room");
        dispatch(Product { rows, x, panels: self, finish, out, stride });
    }
}

/// Rows inside a slice, one every `stride` values.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// What they lie in.
    pub values: &'a [f32],
    /// From the beginning of one row to that of the next.
    pub stride: usize,
}

/// What becomes of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It is the result.
    Set,
    /// It is added to what is there.
    Add,
}

struct Product<'a> {
    rows: usize,
    x: Rows<'a>,
    panels: &'a Panels,
    finish: Finish,
    out: &'a mut [f32],
    stride: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Panels { values, inputs, outputs } = self.panels;
        let width = 2 * S::F32_LANES;
        let size = (inputs + 1) * width;
        for (first, panel) in (0..*outputs).step_by(width).zip(values.chunks_exact(size)) {
            let panel = S::as_simd_f32s(panel).0;
            let own = first..(first + width).min(*outputs);
            let mut row = 0;
            while row < self.rows {
                // Six rows by two vectors are twelve sums. What is left is split evenly, and with
                // few rows the inputs are summed in parts, so that a sum never waits for itself.
                row += match self.rows - row {
                    1 => self.tile::<S, 1, 4>(simd, row, panel, own.clone()),
                    2 => self.tile::<S, 2, 2>(simd, row, panel, own.clone()),
                    3 => self.tile::<S, 3, 2>(simd, row, panel, own.clone()),
                    4 | 7 | 8 => self.tile::<S, 4, 1>(simd, row, panel, own.clone()),
                    5 | 9 | 10 => self.tile::<S, 5, 1>(simd, row, panel, own.clone()),
                    _ => self.tile::<S, 6, 1>(simd, row, panel, own.clone()),
                };
            }
        }
    }
}

impl Product<'_> {
    /// `M` rows from `row` on against one panel, whose outputs are `own`; returns `M`. The inputs
    /// are summed in `U` parts.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const U: usize>(
        &mut self,
        simd: S,
        row: usize,
        panel: &[S::f32s],
        own: std::ops::Range<usize>,
    ) -> usize {
        let inputs = self.panels.inputs;
        let mut x = [&[][..]; M];
        for (i, x) in x.iter_mut().enumerate() {
            *x = &self.x.values[(row + i) * self.x.stride..][..inputs];
        }
        assert_eq!(panel.len(), 2 * inputs + 2);
        let (bias, panel) = panel.split_at(2);
        let mut parts = [[[simd.splat_f32s(0.0); 2]; M]; U];
        parts[0] = [[bias[0], bias[1]]; M];
        let whole = inputs - inputs % U;
        for k in (0..whole).step_by(U) {
            for u in 0..U {
                // SAFETY: k + u < whole <= inputs; a row has `inputs` values, and the panel two
                // vectors for each of them, as was asserted.
                unsafe {
                    let low = *panel.get_unchecked(2 * (k + u));
                    let high = *panel.get_unchecked(2 * (k + u) + 1);
                    for i in 0..M {
                        let value = simd.splat_f32s(*x[i].get_unchecked(k + u));
                        parts[u][i][0] = simd.mul_add_e_f32s(value, low, parts[u][i][0]);
                        parts[u][i][1] = simd.mul_add_e_f32s(value, high, parts[u][i][1]);
                    }
                }
            }
        }
        let mut sums = parts[0];
        for part in &parts[1..] {
            for i in 0..M {
                for v in 0..2 {
                    sums[i][v] = simd.add_f32s(sums[i][v], part[i][v]);
                }
            }
        }
        for k in whole..inputs {
            for i in 0..M {
                let value = simd.splat_f32s(x[i][k]);
                for v in 0..2 {
                    sums[i][v] = simd.mul_add_e_f32s(value, panel[2 * k + v], sums[i][v]);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let out = &mut self.out[(row + i) * self.stride..][own.clone()];
            if out.len() == 2 * S::F32_LANES {
                let out = S::as_mut_simd_f32s(out).0;
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = match self.finish {
                        Finish::Set => *sum,
                        Finish::Add => simd.add_f32s(*out, *sum),
                    };
                }
            } else {
                for (out, sum) in out.iter_mut().zip(bytemuck::cast_slice::<_, f32>(sums)) {
                    *out = match self.finish {
                        Finish::Set => *sum,
                        Finish::Add => *out + *sum,
                    };
                }
            }
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use proptest::prelude::*;

    fn draw(count: usize, seed: u64, name: &str) -> Vec<f32> {
        let mut rng = random::stream(seed, name);
        (0..count).map(|_| random::normal(&mut rng)).collect()
    }

    proptest! {
        #[test]
        fn products_agree_with_double_precision_and_write_nothing_else(
            rows in 0usize..20, inputs in 0usize..70, outputs in 1usize..80, apart in 0usize..5, add: bool, seed: u64,
        ) {
            let (weight, bias) = (draw(outputs * inputs, seed, "weight"), draw(outputs, seed, "bias"));
            let (from, to) = (inputs + apart, outputs + apart);
            let x = draw(rows * from, seed, "x");
            let before = draw(rows * to, seed, "out");
            let mut out = before.clone();
            let finish = if add { Finish::Add } else { Finish::Set };
            let panels = Panels::new(&weight, &bias);
            panels.product(rows, Rows { values: &x, stride: from }, finish, &mut out, to);
            for place in 0..rows * to {
                let (i, j) = (place / to, place % to);
                let was = f64::from(before[place]);
                let want = if j < outputs {
                    let terms = (0..inputs).map(|k| f64::from(x[i * from + k]) * f64::from(weight[j * inputs + k]));
                    terms.sum::<f64>() + f64::from(bias[j]) + if add { was } else { 0.0 }
                } else {
                    was
                };
                prop_assert!((f64::from(out[place]) - want).abs() < 1e-4, "{} for {want}", out[place]);
            }
        }

        #[test]
        fn a_matrix_laid_out_anew_keeps_nothing_of_the_one_before(
            sizes in prop::collection::vec((1usize..60, 1usize..60), 2..5), seed: u64,
        ) {
            let mut panels = Panels::default();
            for (outputs, inputs) in sizes {
                let weight = draw(outputs * inputs, seed, "weight");
                panels.fill(outputs, inputs, |j, k| weight[j * inputs + k]);
                let x = draw(inputs, seed, "x");
                let (mut again, mut fresh) = (vec![0.0; outputs], vec![0.0; outputs]);
                let rows = Rows { values: &x, stride: inputs };
                panels.product(1, rows, Finish::Set, &mut again, outputs);
                let once = Panels::new(&weight, &vec![0.0; outputs]);
                once.product(1, rows, Finish::Set, &mut fresh, outputs);
                prop_assert_eq!(again, fresh);
            }
        }
    }

    #[test]
    fn what_is_no_number_reaches_its_row_alone() {
        let panels = Panels::new(&[1.0; 40 * 3], &[0.0; 40]);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut out = vec![0.0; 3 * 40];
            let x = [1.0, 2.0, 3.0, 1.0, bad, 3.0, 1.0, 2.0, 3.0];
            panels.product(3, Rows { values: &x, stride: 3 }, Finish::Set, &mut out, 40);
            for (row, out) in out.chunks(40).enumerate() {
                assert!(out.iter().all(|x| if row == 1 { !x.is_finite() } else { *x == 6.0 }));
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows")]
    fn rows_that_end_too_early_are_refused() {
        let panels = Panels::new(&[1.0; 6], &[0.0; 2]);
        panels.product(2, Rows { values: &[0.0; 5], stride: 3 }, Finish::Set, &mut [0.0; 4], 2);
    }
}
