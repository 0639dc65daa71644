//! A dense layer over rows in less than single precision.
//!
//! A row is brought to bytes by its own least and greatest value right before the product (dynamic quantisation), or
//! rounded to half its length. Rows of an encoder differ so much in size that one range for all of them, as maps of
//! pictures have, would leave most of them few levels; a row's own needs no examples, and makes what is said of a text
//! independent of the texts beside it. Weights are signed bytes with a scale for each output, as in convolutions.

use pulp::{Simd, WithSimd};

use super::Instructions;
use super::kernel::{ByRow, Folded, Output, Product, Residual};
use super::lanes::to_half;
use super::levels::{Levels, WeightLevels};
use super::pack::PackedBytes;
use crate::packed::{self, Matrix};
use crate::simd::{AlignedVec, dispatch};

/// Most products of a sum: so many of the largest stay below 2^31.
const MOST: usize = (i32::MAX / (255 * 127)) as usize;

/// See the module's introduction.
#[derive(Debug, Clone)]
pub(crate) struct RowLayer {
    weights: PackedBytes,
    folded: Folded,
    /// Of bytes what a row's zero is multiplied by, one a column; empty where values have half the length.
    zeros: AlignedVec,
    inputs: usize,
    outputs: usize,
    instructions: Instructions,
}

/// Memory for the rows of one product, kept from call to call.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowBytes {
    values: AlignedVec,
    /// Scale and zero of each row of bytes.
    levels: Vec<(f32, f32)>,
    places: Vec<(u32, u32)>,
}

impl RowLayer {
    /// True for sizes whose sums cannot grow too large and whose results fill whole vectors.
    pub fn suits(inputs: usize, outputs: usize) -> bool {
        inputs > 0 && inputs <= MOST && outputs > 0 && outputs.is_multiple_of(16)
    }

    /// A layer over bytes; `weight` is (outputs, inputs), row after row, `bias` one value an output.
    ///
    /// # Panics
    /// Sizes that do not suit; instructions that this processor lacks.
    pub fn bytes(weight: &[f32], bias: &[f32], instructions: Instructions) -> RowLayer {
        assert!(Instructions::available().contains(&instructions), "{instructions:?}");
        let (inputs, outputs) = sizes(weight, bias);
        let rows: Vec<(&[f32], WeightLevels)> =
            weight.chunks_exact(inputs).map(|row| (row, WeightLevels::over(row))).collect();
        let byte = |k: usize, output: usize| {
            let (row, levels) = rows[output];
            levels.byte(row[k])
        };
        let weights = PackedBytes::new((1, inputs), outputs, instructions, |_, k, output| byte(k, output));
        let mut factor = AlignedVec::zeros(weights.columns());
        let mut zeros = AlignedVec::zeros(weights.columns());
        for (output, (_, levels)) in rows.iter().enumerate() {
            let sum: i64 = (0..inputs).map(|k| i64::from(byte(k, output))).sum();
            factor[output] = levels.scale;
            zeros[output] = (f64::from(levels.scale) * sum as f64) as f32;
        }
        RowLayer { folded: folded(factor, bias), weights, zeros, inputs, outputs, instructions }
    }

    /// A layer over numbers of half the length.
    ///
    /// # Panics
    /// As [`RowLayer::bytes`].
    pub fn halves(weight: &[f32], bias: &[f32], instructions: Instructions) -> RowLayer {
        assert!(Instructions::halves().contains(&instructions), "{instructions:?}");
        let (inputs, outputs) = sizes(weight, bias);
        let weights = PackedBytes::new((1, 2 * inputs), outputs, instructions, |_, byte, output| {
            to_half(weight[output * inputs + byte / 2]).to_le_bytes()[byte % 2] as i8
        });
        let mut factor = AlignedVec::zeros(weights.columns());
        factor[..outputs].fill(1.0);
        let (folded, zeros) = (folded(factor, bias), AlignedVec::default());
        RowLayer { weights, folded, zeros, inputs, outputs, instructions }
    }

    /// Values of a row that goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `x W^T + b + residual` for `count` rows, to `out`, whose rows begin every `stride` values. A row with a value
    /// that is no number has no number in its result.
    ///
    /// # Panics
    /// Rows that are too short; slices that end before the last row.
    pub fn forward(
        &self,
        count: usize,
        x: Matrix,
        residual: packed::Residual,
        (out, stride): (&mut [f32], usize),
        memory: &mut RowBytes,
    ) {
        assert!(stride >= self.outputs, "rows of {stride} for {} values", self.outputs);
        let over_bytes = !self.zeros.is_empty();
        // A row ends with whole groups of four bytes.
        let (size, each) = match over_bytes {
            true => (1, self.inputs.next_multiple_of(4)),
            false => (2, self.inputs.next_multiple_of(2)),
        };
        let needed = (count * each * size).div_ceil(4);
        if memory.values.len() < needed {
            memory.values = AlignedVec::zeros(needed);
        }
        memory.levels.resize(count, (0.0, 0.0));
        memory.places.clear();
        memory.places.extend((0..count).map(|row| ((row * each) as u32, (row * stride) as u32)));
        let RowBytes { values, levels, places } = memory;
        match over_bytes {
            true => {
                let bytes = bytemuck::cast_slice_mut(&mut values[..]);
                dispatch(Quantise { x, inputs: self.inputs, each, bytes, levels });
            }
            false => {
                let halves = bytemuck::cast_slice_mut(&mut values[..]);
                dispatch(Halve { count, x, inputs: self.inputs, each, halves });
            }
        }
        Product {
            x: bytemuck::cast_slice(&values[..]),
            taps: &[0],
            length: self.inputs * size,
            size,
            places,
            from: 0,
            to: 0,
            weights: &self.weights,
            folded: &self.folded,
            by_row: over_bytes.then_some(ByRow { levels, zeros: &self.zeros }),
            residual: match residual {
                packed::Residual::None => Residual::None,
                packed::Residual::Values(values) => Residual::Floats(values, 1.0),
                packed::Residual::Output => Residual::Output,
            },
            out: Output::Floats(out),
        }
        .run(self.instructions);
    }
}

/// Inputs and outputs of a layer.
fn sizes(weight: &[f32], bias: &[f32]) -> (usize, usize) {
    let outputs = bias.len();
    let inputs = weight.len() / outputs.max(1);
    assert!(RowLayer::suits(inputs, outputs), "{inputs} inputs and {outputs} outputs");
    (inputs, outputs)
}

fn folded(factor: AlignedVec, bias: &[f32]) -> Folded {
    let mut term = AlignedVec::zeros(factor.len());
    term[..bias.len()].copy_from_slice(bias);
    Folded { factor, term, low: f32::NEG_INFINITY, high: f32::INFINITY }
}

/// Brings each row to bytes by its own levels; what is no number makes the scale none.
struct Quantise<'a> {
    x: Matrix<'a>,
    inputs: usize,
    /// From the beginning of one row of bytes to that of the next.
    each: usize,
    bytes: &'a mut [u8],
    levels: &'a mut [(f32, f32)],
}

impl WithSimd for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Quantise { x, inputs, each, bytes, levels } = self;
        let rows = levels.iter_mut().zip(bytes.chunks_exact_mut(each));
        for (row, (levels, bytes)) in rows.enumerate() {
            let values = &x.values[row * x.stride..][..inputs];
            let (body, tail) = S::as_simd_f32s(values);
            let zero = simd.splat_f32s(0.0);
            let (mut least, mut most, mut odd) = (zero, zero, zero);
            for value in body {
                least = simd.min_f32s(*value, least);
                most = simd.max_f32s(*value, most);
                // 0 times what is no number, or infinite, is none.
                odd = simd.mul_add_e_f32s(*value, zero, odd);
            }
            let (mut low, mut high) = (simd.reduce_min_f32s(least), simd.reduce_max_f32s(most));
            let mut odd = simd.reduce_sum_f32s(odd);
            for value in tail {
                low = low.min(*value);
                high = high.max(*value);
                odd += 0.0 * value;
            }
            let of = Levels::over(low, high);
            let (by, middle) = (1.0 / of.scale, f32::from(of.zero));
            *levels = (if odd == 0.0 { of.scale } else { f32::NAN }, middle);
            for (byte, value) in bytes.iter_mut().zip(values) {
                // Adding 1.5 * 2^23 rounds to a whole number, which is left in the lowest bits.
                let place = value.mul_add(by, middle).clamp(0.0, 255.0) + 12_582_912.0;
                *byte = place.to_bits() as u8;
            }
        }
    }
}

/// Rounds each row to half its length.
struct Halve<'a> {
    count: usize,
    x: Matrix<'a>,
    inputs: usize,
    each: usize,
    halves: &'a mut [u16],
}

impl WithSimd for Halve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Halve { count, x, inputs, each, halves } = self;
        for (row, halves) in halves.chunks_exact_mut(each).take(count).enumerate() {
            let values = &x.values[row * x.stride..][..inputs];
            halves.iter_mut().zip(values).for_each(|(half, value)| *half = to_half(*value));
            // What an earlier layer left here might be no number, and 0 times that is none.
            halves[inputs..].fill(0);
        }
    }
}
