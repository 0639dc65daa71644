//! Any convolution as one product: the values under the kernel, where they lie, times the weights.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::activation::Clip;
use super::filter::{ConvArgs, Filter};
use super::map::Map;
use super::packed::{Epilogue, PackedWeights, Residual, Rows, Scattered, product};
use super::simd::{AlignedVec, round_up};
use super::window::Window;

/// Output positions that one call of the product should have at least: as many as use the weights while
/// these are near.
pub const FEW: usize = 96;

/// Where the values under the kernel of `filter` lie in a map, from the first of them on: the starts of
/// the runs, and the length of each. A row of the kernel lies in one piece unless it is dilated.
pub fn taps(filter: &Filter, from: &Map) -> (Vec<usize>, usize) {
    let (tall, wide) = filter.window.kernel;
    match filter.window.dilation {
        1 => ((0..tall).map(|y| y * from.row()).collect(), wide * from.depth),
        step => {
            let tap = |i| i / wide * step * from.row() + i % wide * step * from.depth;
            ((0..tall * wide).map(tap).collect(), from.depth)
        }
    }
}

/// Makes the zeros around `from` wide enough for what lies under the kernel of `filter`.
pub fn make_room(filter: &Filter, from: &mut Map, to: &Map) {
    let Window { kernel, stride, padding, dilation } = filter.window;
    let end = |side: usize, kernel: usize, padding: usize| {
        ((side - 1) * stride + (kernel - 1) * dilation + 1).saturating_sub(padding)
    };
    let (bottom, right) = (end(to.height, kernel.0, padding.0), end(to.width, kernel.1, padding.1));
    from.make_room(padding.0.max(padding.1), bottom, right);
}

/// From where to where, for every output position of `images` images.
pub fn places(filter: &Filter, from: &Map, to: &Map, images: usize) -> Vec<(u32, u32)> {
    let Window { stride, padding, .. } = filter.window;
    let mut places = Vec::with_capacity(images * to.height * to.width);
    for image in 0..images {
        for y in 0..to.height {
            for x in 0..to.width {
                let start = image * from.image() + from.padded(y * stride, x * stride, padding);
                places.push((start as u32, (image * to.image() + to.place(y, x)) as u32));
            }
        }
    }
    places
}

/// A filter packed for maps of given layouts.
#[derive(Debug, Clone)]
pub struct Direct {
    weights: PackedWeights,
    bias: AlignedVec,
    taps: Vec<usize>,
    length: usize,
    /// From where to where, for every output position of `together` images.
    places: Vec<(u32, u32)>,
    together: usize,
}

impl Direct {
    /// Packs `filter` for its input `from` and its output `to`.
    pub fn new(filter: &Filter, from: &Map, to: &Map) -> Direct {
        let (taps, length) = taps(filter, from);
        let count = filter.window.taps();
        // What fills up the channels of a place is left out where it ends a run.
        let (depth, length) =
            if taps.len() == count { (from.channels, from.channels) } else { (from.depth, length) };
        let mut weights = PackedWeights::zeros(count * depth, round_up(filter.outputs));
        for tap in 0..count {
            for input in 0..filter.inputs {
                let row: Vec<f32> = (0..filter.outputs).map(|o| filter.weight(o, input, tap)).collect();
                weights.set_row(tap * depth + input, &row);
            }
        }
        let bias = weights.pad(&filter.bias);
        let together = FEW.div_ceil((to.height * to.width).max(1));
        let places = places(filter, from, to, together);
        Direct { weights, bias, taps, length, places, together }
    }

    /// Convolves the maps of a args.
    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S, args: ConvArgs) {
        let residual = args.residual.map_or(Residual::None, Residual::Values);
        let positions = self.places.len() / self.together;
        for first in (0..args.images).step_by(self.together) {
            let images = self.together.min(args.images - first);
            let offsets = Scattered {
                places: &self.places[..images * positions],
                from: first * args.from.image(),
                to: first * args.to.image(),
            };
            self.product(simd, args.x, offsets, (residual, args.clip), args.out);
        }
    }

    /// The results at some places.
    #[inline(always)]
    fn product<S: Simd>(
        &self,
        simd: S,
        values: &[f32],
        offsets: Scattered,
        (residual, clip): (Residual, Clip),
        out: &mut [f32],
    ) {
        let rows = Rows { values, taps: &self.taps, length: self.length };
        let epilogue = Epilogue { bias: Some(&self.bias), residual, clip };
        product(simd, rows, offsets, &self.weights, epilogue, out);
    }
}

/// [`Direct::run`] as a kernel.
pub struct Run<'a>(pub &'a Direct, pub ConvArgs<'a>);

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run(simd, self.1);
    }
}

/// The rows `rows` of the result of the map at `first` of `x`, as the first rows of `out`.
pub struct RunRows<'a> {
    /// What is applied.
    pub kernel: &'a Direct,
    /// Inputs.
    pub x: &'a [f32],
    /// Where the map lies in them.
    pub first: usize,
    /// Layout of the whole result.
    pub to: &'a Map,
    /// Which of it.
    pub rows: Range<usize>,
    /// What the results are kept within.
    pub clip: Clip,
    /// Where to.
    pub out: &'a mut [f32],
}

impl WithSimd for RunRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let RunRows { kernel, x, first, to, rows, clip, out } = self;
        let offsets = Scattered {
            places: &kernel.places[rows.start * to.width..rows.end * to.width],
            from: first,
            to: 0usize.wrapping_sub(rows.start * to.row()),
        };
        kernel.product(simd, x, offsets, (Residual::None, clip), out);
    }
}
