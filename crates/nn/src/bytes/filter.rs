//! A convolution over bytes: its weights as signed bytes, and all scales folded together.

use std::ops::Range;

use super::Instructions;
pub(crate) use super::kernel::Output;
use super::kernel::Product;
use super::kernel::{Folded, Residual};
use super::lanes::to_half;
use super::levels::{Levels, WeightLevels};
use super::pack::PackedBytes;
use crate::direct;
use crate::filter::Filter;
use crate::graph::Activation;
use crate::map::Map;
use crate::simd::AlignedVec;

/// Most products of a sum: so many of the largest stay below 2^31.
const MOST: usize = (i32::MAX / (255 * 127)) as usize;

/// What is added to the results of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Added {
    /// Bytes of these levels.
    Bytes(Levels),
    /// Numbers of half the length.
    Halves,
    /// Numbers.
    Floats,
}

/// A convolution packed for maps of given layouts and levels.
#[derive(Debug, Clone)]
pub(crate) struct ByteFilter {
    weights: PackedBytes,
    folded: Folded,
    /// What a residual is multiplied by.
    residual: f32,
    /// In bytes, as is the length.
    taps: Vec<usize>,
    length: usize,
    /// Bytes of an input.
    size: usize,
    /// From where to where, for every output position of `together` images.
    places: Vec<(u32, u32)>,
    together: usize,
    instructions: Instructions,
}

/// One application to a batch of maps.
pub(crate) struct ByteArgs<'a> {
    /// Layout of `x`.
    pub from: &'a Map,
    /// Layout of `out` and of what is added.
    pub to: &'a Map,
    /// Maps of the batch.
    pub images: usize,
    /// Inputs; a few bytes behind the last map are read, and count for nothing.
    pub x: &'a [u8],
    /// What is added, and how it is kept.
    pub added: Option<(&'a [f32], Added)>,
    /// Results; what surrounds the maps is left alone.
    pub out: Output<'a>,
}

impl ByteFilter {
    /// True where no sum can grow too large.
    pub fn suits(filter: &Filter) -> bool {
        filter.inputs * filter.window.taps() <= MOST
    }

    /// Packs `filter` for inputs of `levels` like `from` and for outputs like `to`, which are bytes of the levels
    /// `out` or numbers.
    pub fn new(
        filter: &Filter,
        (from, levels): (&Map, Levels),
        (to, out): (&Map, Option<Levels>),
        added: Option<Added>,
        activation: Option<Activation>,
        instructions: Instructions,
    ) -> ByteFilter {
        assert!(Instructions::available().contains(&instructions) && ByteFilter::suits(filter));
        let (taps, length) = direct::taps(filter, from);
        let each = filter.inputs * filter.window.taps();
        let signed: Vec<WeightLevels> = filter.weights.chunks_exact(each).map(WeightLevels::over).collect();
        let byte = |output: usize, weight: f32| signed[output].byte(weight);
        let runs = filter.window.taps() / taps.len().max(1);
        let depth = from.depth;
        let weights =
            PackedBytes::new((taps.len(), length), filter.outputs, instructions, |tap, k, output| {
                match k % depth < filter.inputs {
                    true => byte(output, filter.weight(output, k % depth, tap * runs + k / depth)),
                    false => 0,
                }
            });
        let out_levels = out.unwrap_or(Levels { scale: 1.0, zero: 0 });
        let (out_scale, out_zero) = (f64::from(out_levels.scale), f64::from(out_levels.zero));
        let (residual, offset) = match added {
            None => (0.0, 0.0),
            Some(Added::Floats | Added::Halves) => (1.0 / out_scale, 0.0),
            Some(Added::Bytes(levels)) => {
                let by = f64::from(levels.scale) / out_scale;
                (by, -f64::from(levels.zero) * by)
            }
        };
        let mut factor = AlignedVec::zeros(weights.columns());
        let mut term = AlignedVec::zeros(weights.columns());
        for column in 0..weights.columns() {
            term[column] = (out_zero + offset) as f32;
        }
        for (output, own) in filter.weights.chunks_exact(each).enumerate() {
            let by = f64::from(levels.scale) * f64::from(signed[output].scale);
            let sum: i64 = own.iter().map(|weight| i64::from(byte(output, *weight))).sum();
            let zeros = by * f64::from(levels.zero) * sum as f64;
            factor[output] = (by / out_scale) as f32;
            term[output] = ((f64::from(filter.bias[output]) - zeros) / out_scale + out_zero + offset) as f32;
        }
        let (low, high) = limits(activation, out);
        let together = direct::FEW.div_ceil((to.height * to.width).max(1));
        ByteFilter {
            weights,
            folded: Folded { factor, term, low, high },
            residual: residual as f32,
            taps,
            length,
            size: 1,
            places: direct::places(filter, from, to, together),
            together,
            instructions,
        }
    }

    /// Packs `filter` for inputs of half the length like `from` and for outputs like `to`.
    pub fn halves(
        filter: &Filter,
        from: &Map,
        to: &Map,
        activation: Option<Activation>,
        instructions: Instructions,
    ) -> ByteFilter {
        assert!(Instructions::halves().contains(&instructions));
        let (mut taps, length) = direct::taps(filter, from);
        taps.iter_mut().for_each(|tap| *tap *= 2);
        let runs = filter.window.taps() / taps.len().max(1);
        let depth = from.depth;
        let sizes = (taps.len(), 2 * length);
        let weights = PackedBytes::new(sizes, filter.outputs, instructions, |tap, byte, output| {
            let k = byte / 2;
            match k % depth < filter.inputs {
                true => {
                    let weight = filter.weight(output, k % depth, tap * runs + k / depth);
                    to_half(weight).to_le_bytes()[byte % 2] as i8
                }
                false => 0,
            }
        });
        let mut factor = AlignedVec::zeros(weights.columns());
        let mut term = AlignedVec::zeros(weights.columns());
        factor[..filter.outputs].fill(1.0);
        term[..filter.outputs].copy_from_slice(&filter.bias);
        let (low, high) = limits(activation, None);
        let together = direct::FEW.div_ceil((to.height * to.width).max(1));
        ByteFilter {
            weights,
            folded: Folded { factor, term, low, high },
            residual: 1.0,
            taps,
            length: 2 * length,
            size: 2,
            places: direct::places(filter, from, to, together),
            together,
            instructions,
        }
    }

    /// True for the activations that it applies to its results.
    pub fn applies(activation: Option<Activation>) -> bool {
        activation.is_none_or(Activation::is_clipped)
    }

    /// Convolves the rows `rows` of the result of the map at `first` of `x`, to numbers in the first rows of `out`.
    pub fn rows(&self, (x, first): (&[u8], usize), to: &Map, rows: Range<usize>, out: &mut [f32]) {
        let back = 0usize.wrapping_sub(rows.start * to.row());
        let places = rows.start * to.width..rows.end * to.width;
        self.product(x, places, (first, back), Residual::None, Output::Floats(out));
    }

    /// The results at some places, moved by `from` and `to`.
    fn product(
        &self,
        x: &[u8],
        places: Range<usize>,
        (from, to): (usize, usize),
        residual: Residual,
        out: Output,
    ) {
        let product = Product {
            x,
            taps: &self.taps,
            length: self.length,
            size: self.size,
            places: &self.places[places],
            from,
            to,
            weights: &self.weights,
            folded: &self.folded,
            by_row: None,
            residual,
            out,
        };
        product.run(self.instructions);
    }

    /// Convolves a batch of maps.
    pub fn run(&self, args: ByteArgs) {
        let ByteArgs { from, to, images, x, added, mut out } = args;
        let residual = match added {
            None => Residual::None,
            Some((values, Added::Bytes(_))) => Residual::Bytes(bytemuck::cast_slice(values), self.residual),
            Some((values, Added::Halves)) => Residual::Halves(bytemuck::cast_slice(values), self.residual),
            Some((values, Added::Floats)) => Residual::Floats(values, self.residual),
        };
        let positions = self.places.len() / self.together;
        for first in (0..images).step_by(self.together) {
            let images = self.together.min(images - first);
            let out = match &mut out {
                Output::Bytes(out) => Output::Bytes(out),
                Output::Halves(out) => Output::Halves(out),
                Output::Floats(out) => Output::Floats(out),
            };
            self.product(x, 0..images * positions, (first * from.image(), first * to.image()), residual, out);
        }
    }
}

/// Least and greatest result, in bytes or in numbers.
fn limits(activation: Option<Activation>, out: Option<Levels>) -> (f32, f32) {
    let (rectified, six) = (activation.is_some(), activation == Some(Activation::Relu6));
    match out {
        None => (if rectified { 0.0 } else { f32::NEG_INFINITY }, if six { 6.0 } else { f32::INFINITY }),
        Some(levels) => {
            let zero = f32::from(levels.zero);
            let high = if six { (6.0 / levels.scale + zero).min(255.0) } else { 255.0 };
            (if rectified { zero } else { 0.0 }, high)
        }
    }
}
