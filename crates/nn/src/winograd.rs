//! Convolution with a 3 x 3 kernel in fewer multiplications: Winograd's F(4 x 4, 3 x 3) (Lavin and
//! Gray 2016, "Fast algorithms for convolutional neural networks").
//!
//! Sixteen outputs at a time come from 36 products instead of 144. A tile of 6 x 6 inputs is
//! transformed, multiplied by the transformed weights summed over the channels (36 small matrix
//! products over many tiles), and transformed back, with bias, residual and rectifier on the way.
//!
//! The points of interpolation are 0, ±√½, ±√2 and infinity. The usual ±1, ±2 lose more digits: over
//! 64 channels of normal values the root mean square error here is half of theirs and the largest a
//! sixth (a search over pairs of points, as in Barabasz et al. 2020, "Error analysis and improving
//! the accuracy of Winograd convolution"). The error of an output stays below
//! [`ERROR`] * (largest |input| under its tile) * (sum of the |weights| of its channel).
//!
//! A value that is no number, or an infinity, makes all sixteen outputs of the tiles that it lies
//! in no number: it is never hidden, but it may show up to three places further than it would.

// Tiles are walked by row and column, as the formulas are written.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use super::activation::Clip;
use super::filter::{ConvArgs, Filter};
use super::map::Map;
use super::packed::{Epilogue, PackedWeights, Rows, Scattered, product};
use super::simd::{dispatch, round_up};
use super::window::Window;

/// See the module's introduction.
pub const ERROR: f32 = 2e-6;

/// Outputs of a tile on each side.
pub const TILE: usize = 4;

/// Inputs of a tile on each side.
pub(super) const SIDE: usize = TILE + 2;

/// Products of a tile.
pub(super) const POINTS: usize = SIDE * SIDE;

/// Floats of transformed tiles that stay in the second cache beside the weights.
const BLOCK: usize = 80 * 1024;

/// Most tiles that are worked on together.
const MOST: usize = 64;

/// Bytes of transformed weights from which on reading them takes longer than a few tiles do.
const MANY: usize = 16 << 20;

/// Bytes of transformed weights that lie near enough.
const NEAR: usize = 4 << 20;

/// Tiles that are few.
const FEW: usize = 4;

/// Tiles that are many.
const LOTS: usize = 32;

/// √½ and √2.
pub(super) const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
pub(super) const B: f32 = std::f32::consts::SQRT_2;

/// The transform of a filter's rows and columns, from 3 values to 6.
pub(super) fn filter_transform() -> [[f64; 3]; SIDE] {
    let row = |point: f64, scale: f64| [scale, point * scale, point * point * scale];
    let (a, b) = (0.5f64.sqrt(), 2f64.sqrt());
    [
        row(0.0, 1.0),
        row(a, -1.0 / 1.5),
        row(-a, -1.0 / 1.5),
        row(b, 1.0 / 6.0),
        row(-b, 1.0 / 6.0),
        [0.0, 0.0, 1.0],
    ]
}

/// A filter transformed and packed.
#[derive(Debug, Clone)]
pub struct Winograd {
    /// (inputs, outputs), one a point.
    weights: Vec<PackedWeights>,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    padding: (usize, usize),
    /// Tiles that are worked on together.
    block: usize,
    places: Vec<(u32, u32)>,
}

impl Winograd {
    /// True for the filters and inputs that it is for.
    pub fn suits(filter: &Filter, from: &Map) -> bool {
        let Window { kernel, stride, dilation, .. } = filter.window;
        kernel == (3, 3) && stride == 1 && dilation == 1 && from.depth == round_up(from.channels)
    }

    /// True where it is faster than a plain product. Transformed weights are four times as large as plain
    /// ones: where an image has few tiles, reading them would take longer than the products that they save.
    pub fn pays(filter: &Filter, to: &Map) -> bool {
        let bytes = 4 * POINTS * round_up(filter.inputs) * round_up(filter.outputs);
        bytes <= MANY || to.height.div_ceil(TILE) * to.width.div_ceil(TILE) > FEW
    }

    /// True where it is faster than a plain product of numbers of half the length, of which a processor with
    /// instructions for them does twice as many: where the transformed weights are near, or the tiles many.
    pub fn beats_halves(filter: &Filter, from: &Map) -> bool {
        let bytes = 4 * POINTS * round_up(filter.inputs) * round_up(filter.outputs);
        let tiles = from.height.div_ceil(TILE) * from.width.div_ceil(TILE);
        Winograd::suits(filter, from) && (bytes <= NEAR || tiles >= LOTS)
    }

    /// Transforms `filter`, in double precision.
    pub fn new(filter: &Filter) -> Winograd {
        let (inputs, outputs) = (round_up(filter.inputs), round_up(filter.outputs));
        let mut weights = vec![PackedWeights::zeros(inputs, outputs); POINTS];
        dispatch(Pack { filter, weights: &mut weights });
        let mut bias = filter.bias.clone();
        bias.resize(outputs, 0.0);
        // Tiles that fit beside the weights; of more weights than fit, as many as are read no more often for
        // the weights' sake than for their own.
        let fit = (BLOCK / (POINTS * (inputs + outputs))).next_multiple_of(8).clamp(16, 48);
        let balanced = (inputs * outputs / (2 * (inputs + outputs))).next_multiple_of(8).min(MOST);
        let block = fit.max(balanced);
        let place = |tile| ((tile * inputs) as u32, (tile * outputs) as u32);
        Winograd {
            weights,
            bias,
            inputs,
            outputs,
            padding: filter.window.padding,
            block,
            places: (0..block).map(place).collect(),
        }
    }

    /// Floats it works in.
    pub fn scratch(&self) -> usize {
        POINTS * self.block * (self.inputs + self.outputs)
    }

    /// Convolves a batch of maps.
    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S, args: ConvArgs) {
        let ConvArgs { from, to, images, x, residual, clip, out, scratch } = args;
        let wide = to.width.div_ceil(TILE);
        let each = to.height.div_ceil(TILE) * wide;
        let (inputs, outputs) = scratch.split_at_mut(POINTS * self.block * self.inputs);
        let mut tiles = 0..images * each;
        while !tiles.is_empty() {
            // What is left, in blocks of about the same size.
            let count = tiles.len().div_ceil(tiles.len().div_ceil(self.block));
            let first = tiles.start;
            let corner = |tile: usize| {
                let place = tile % each;
                (tile / each, place / wide * TILE, place % wide * TILE)
            };
            for tile in 0..count {
                let (image, y, x0) = corner(first + tile);
                let start = image * from.image() + from.padded(y, x0, self.padding);
                let to = Points { start: tile * self.inputs, step: count * self.inputs };
                simd.vectorize(Forward {
                    x: &x[start..],
                    row: from.row(),
                    depth: self.inputs,
                    points: inputs,
                    to,
                });
            }
            for (point, weights) in self.weights.iter().enumerate() {
                let values = &inputs[point * count * self.inputs..][..count * self.inputs];
                let (rows, offsets) = (
                    Rows::of(values, self.inputs),
                    Scattered { places: &self.places[..count], from: 0, to: 0 },
                );
                let products = &mut outputs[point * count * self.outputs..][..count * self.outputs];
                product(simd, rows, offsets, weights, Epilogue::default(), products);
            }
            for tile in 0..count {
                let (image, y, x0) = corner(first + tile);
                let start = image * to.image() + to.place(y, x0);
                simd.vectorize(Backward {
                    points: outputs,
                    from: Points { start: tile * self.outputs, step: count * self.outputs },
                    out: &mut out[start..],
                    residual: residual.map(|residual| &residual[start..]),
                    bias: &self.bias,
                    row: to.row(),
                    height: TILE.min(to.height - y),
                    width: TILE.min(to.width - x0),
                    clip,
                });
            }
            tiles.start += count;
        }
    }
}

/// Transforms a filter in double precision, all outputs of an input at once.
struct Pack<'a> {
    filter: &'a Filter,
    weights: &'a mut [PackedWeights],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    /// The loops run along the outputs, which a compiler turns into vector code by itself.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let transform = filter_transform();
        let outputs = self.filter.outputs;
        let mut taps = vec![0f64; 9 * outputs];
        let mut half = vec![0f64; SIDE * 3 * outputs];
        let mut row = vec![0f32; outputs];
        for input in 0..self.filter.inputs {
            for (place, tap) in taps.iter_mut().enumerate() {
                *tap = f64::from(self.filter.weight(place % outputs, input, place / outputs));
            }
            let tap = |y: usize, x: usize| &taps[(y * 3 + x) * outputs..][..outputs];
            for (place, half) in half.chunks_exact_mut(outputs).enumerate() {
                let ([a, b, c], x) = (transform[place / 3], place % 3);
                for (((out, p), q), r) in half.iter_mut().zip(tap(0, x)).zip(tap(1, x)).zip(tap(2, x)) {
                    *out = a * p + b * q + c * r;
                }
            }
            for (point, weights) in self.weights.iter_mut().enumerate() {
                let [a, b, c] = transform[point % SIDE];
                let half = |x: usize| &half[(point / SIDE * 3 + x) * outputs..][..outputs];
                for (((out, p), q), r) in row.iter_mut().zip(half(0)).zip(half(1)).zip(half(2)) {
                    *out = (a * p + b * q + c * r) as f32;
                }
                weights.set_row(input, &row);
            }
        }
    }
}

/// [`Winograd::run`] as a kernel.
pub struct Run<'a>(pub &'a Winograd, pub ConvArgs<'a>);

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run(simd, self.1);
    }
}

/// Where the points of a tile lie: `start + point * step`, then channel after channel.
#[derive(Clone, Copy)]
pub(super) struct Points {
    pub start: usize,
    pub step: usize,
}

/// From a tile of inputs to its points.
pub(super) struct Forward<'a> {
    /// From the tile's first value.
    pub x: &'a [f32],
    pub row: usize,
    pub depth: usize,
    pub points: &'a mut [f32],
    pub to: Points,
}

/// Six values of a row or column, transformed.
#[inline(always)]
fn forward<S: Simd>(simd: S, d: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    let fma = |x: f32, y, z| simd.mul_add_e_f32s(simd.splat_f32s(x), y, z);
    let (even_a, odd_a) = (fma(-2.0, d[2], d[4]), fma(-2.0, d[1], d[3]));
    let (even_b, odd_b) = (fma(-0.5, d[2], d[4]), fma(-0.5, d[1], d[3]));
    [
        fma(-2.5, d[2], simd.add_f32s(d[0], d[4])),
        fma(A, odd_a, even_a),
        fma(-A, odd_a, even_a),
        fma(B, odd_b, even_b),
        fma(-B, odd_b, even_b),
        fma(-2.5, d[3], simd.add_f32s(d[1], d[5])),
    ]
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Forward { x, row, depth, points, to } = self;
        assert!(depth.is_multiple_of(S::F32_LANES));
        assert!((SIDE - 1) * row + SIDE * depth <= x.len());
        assert!(to.start + (POINTS - 1) * to.step + depth <= points.len());
        for channel in (0..depth).step_by(S::F32_LANES) {
            // SAFETY: the vectors read begin at most (SIDE - 1) * row + (SIDE - 1) * depth +
            // depth - lanes into `x`, those written at most (POINTS - 1) * step + depth - lanes
            // behind the start; both ends were asserted.
            unsafe {
                let read = |i: usize, j: usize| {
                    x.as_ptr().add(i * row + j * depth + channel).cast::<S::f32s>().read_unaligned()
                };
                let mut half = [[simd.splat_f32s(0.0); SIDE]; SIDE];
                for j in 0..SIDE {
                    let column = [read(0, j), read(1, j), read(2, j), read(3, j), read(4, j), read(5, j)];
                    let column = forward(simd, column);
                    for i in 0..SIDE {
                        half[i][j] = column[i];
                    }
                }
                for i in 0..SIDE {
                    let values = forward(simd, half[i]);
                    for j in 0..SIDE {
                        let at = to.start + (i * SIDE + j) * to.step + channel;
                        points.as_mut_ptr().add(at).cast::<S::f32s>().write_unaligned(values[j]);
                    }
                }
            }
        }
    }
}

/// From the points of a tile to its outputs.
struct Backward<'a> {
    points: &'a [f32],
    from: Points,
    /// From the tile's first output.
    out: &'a mut [f32],
    residual: Option<&'a [f32]>,
    bias: &'a [f32],
    row: usize,
    /// Outputs that lie in the map.
    height: usize,
    width: usize,
    clip: Clip,
}

/// The four outputs of a row or column of six points.
#[inline(always)]
fn backward<S: Simd>(simd: S, m: [S::f32s; SIDE]) -> [S::f32s; TILE] {
    let times = |x: f32, y| simd.mul_f32s(simd.splat_f32s(x), y);
    let fma = |x: f32, y, z| simd.mul_add_e_f32s(simd.splat_f32s(x), y, z);
    let (even_a, even_b) = (simd.add_f32s(m[1], m[2]), simd.add_f32s(m[3], m[4]));
    let (odd_a, odd_b) = (times(A, simd.sub_f32s(m[1], m[2])), times(B, simd.sub_f32s(m[3], m[4])));
    [
        simd.add_f32s(m[0], simd.add_f32s(even_a, even_b)),
        simd.add_f32s(odd_a, odd_b),
        fma(2.0, even_b, times(0.5, even_a)),
        fma(2.0, odd_b, fma(0.5, odd_a, m[5])),
    ]
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Backward { points, from, out, residual, bias, row, height, width, clip } = self;
        let depth = bias.len();
        assert!(depth.is_multiple_of(S::F32_LANES));
        assert!(from.start + (POINTS - 1) * from.step + depth <= points.len());
        let reach = (height - 1) * row + width * depth;
        assert!(reach <= out.len() && residual.is_none_or(|residual| reach <= residual.len()));
        for channel in (0..depth).step_by(S::F32_LANES) {
            // SAFETY: the vectors read from the points begin at most (POINTS - 1) * step + depth -
            // lanes behind the start, and those of the outputs and the residual end at `reach` at
            // the latest; all were asserted.
            unsafe {
                let vector =
                    |from: &[f32], at: usize| from.as_ptr().add(at).cast::<S::f32s>().read_unaligned();
                let read =
                    |i: usize, j: usize| vector(points, from.start + (i * SIDE + j) * from.step + channel);
                let mut half = [[simd.splat_f32s(0.0); SIDE]; TILE];
                for j in 0..SIDE {
                    let column = [read(0, j), read(1, j), read(2, j), read(3, j), read(4, j), read(5, j)];
                    let column = backward(simd, column);
                    for i in 0..TILE {
                        half[i][j] = column[i];
                    }
                }
                let bias = vector(bias, channel);
                for (i, half) in half.into_iter().enumerate().take(height) {
                    for (j, value) in backward(simd, half).into_iter().enumerate().take(width) {
                        let at = i * row + j * depth + channel;
                        let mut value = simd.add_f32s(value, bias);
                        if let Some(residual) = residual {
                            value = simd.add_f32s(value, vector(residual, at));
                        }
                        let value = clip.apply(simd, value);
                        out.as_mut_ptr().add(at).cast::<S::f32s>().write_unaligned(value);
                    }
                }
            }
        }
    }
}
