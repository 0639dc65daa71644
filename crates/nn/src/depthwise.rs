//! Depthwise convolution of one image: every channel with a kernel of its own, channels last.
//!
//! There is no sum over channels, so no matrix product: each value under the kernel is multiplied by
//! its weight, for a vector of channels at once, and for a few results beside each other, so that a weight that was
//! read serves all of them. Results at the edges leave out the taps that lie in the padding.

// The indices are those of the formulas, of several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Scalar, Simd};

use super::activation::Clip;
use super::map::{Image, ImageMut, Map};
use super::pooling::taps;
use super::window::Window;

/// Weights of (channels, rows, columns) with channels last, filled up to `depth`.
pub fn pack(weights: &[f32], taps: usize, depth: usize) -> Vec<f32> {
    let mut packed = vec![0.0; taps * depth];
    for (channel, weights) in weights.chunks_exact(taps).enumerate() {
        let places = packed[channel..].iter_mut().step_by(depth);
        places.zip(weights).for_each(|(to, from)| *to = *from);
    }
    packed
}

/// The way back from [`pack`].
pub fn unpack(packed: &[f32], taps: usize, depth: usize, weights: &mut [f32]) {
    for (channel, weights) in weights.chunks_exact_mut(taps).enumerate() {
        let places = packed[channel..].iter().step_by(depth);
        weights.iter_mut().zip(places).for_each(|(to, from)| *to = *from);
    }
}

/// Rows and columns of a map.
fn size(map: &Map) -> (usize, usize) {
    (map.height, map.width)
}

/// Most results of a row that are computed together: their sums stay in registers, and are as many as keep both units
/// of a processor busy while each waits for itself.
const TOGETHER: usize = 8;

/// Kernels and biases, as deep as the maps that they are for.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// What lies under a kernel.
    pub window: &'a Window,
    /// As [`pack`] packs them.
    pub weights: &'a [f32],
    /// One a channel.
    pub bias: &'a [f32],
    /// What results are kept within.
    pub clip: Clip,
}

/// Rows of an input, from row `above` on, of all `height` that it has.
#[derive(Debug, Clone, Copy)]
pub struct Band<'a> {
    /// The rows, and how they lie.
    pub image: Image<'a>,
    /// Rows of the input before the first of them.
    pub above: usize,
    /// Rows of the input.
    pub height: usize,
}

impl<'a> From<Image<'a>> for Band<'a> {
    fn from(image: Image<'a>) -> Band<'a> {
        Band { image, above: 0, height: image.map.height }
    }
}

/// Convolves rows of an image: writes the rows `rows` of the result as the first ones of `out`.
///
/// # Panics
/// Weights and a bias of another depth; rows that read others than there are.
#[inline(always)]
pub fn forward<S: Simd>(simd: S, filter: Weights, x: Band, rows: Range<usize>, out: ImageMut) {
    let (depth, width, window) = (x.image.map.depth, out.map.width, filter.window);
    assert!(filter.bias.len() == depth && filter.weights.len() == window.taps() * depth);
    assert!(out.map.depth == depth);
    let mut run = Run { filter, x, rows: 0..0, columns: 0..0 };
    let length = x.image.map.width;
    let whole = window.whole(width, window.kernel.1, window.padding.1, length);
    for (at, row) in rows.enumerate() {
        run.rows = window.inside(row, window.kernel.0, window.padding.0, x.height);
        let mut first = 0;
        while first < width {
            // Those at the edges one by one, the others together. Of a single tap there is no weight worth keeping, and channels are
            // best read in their order.
            let together = whole.contains(&first) && window.taps() > 1;
            let left = if together { whole.end - first } else { 1 };
            let count = left.div_ceil(left.div_ceil(TOGETHER));
            run.columns = window.inside(first, window.kernel.1, window.padding.1, length);
            let from = run.start(row, first);
            let start = out.map.place(at, first);
            let out = &mut out.values[start..start + count * depth];
            match count {
                1 => run.places::<S, 1>(simd, from, out),
                2 => run.places::<S, 2>(simd, from, out),
                3 => run.places::<S, 3>(simd, from, out),
                4 => run.places::<S, 4>(simd, from, out),
                5 => run.places::<S, 5>(simd, from, out),
                6 => run.places::<S, 6>(simd, from, out),
                7 => run.places::<S, 7>(simd, from, out),
                _ => run.places::<S, TOGETHER>(simd, from, out),
            }
            first += count;
        }
    }
}

/// A few results of one row that read the same taps.
struct Run<'a> {
    filter: Weights<'a>,
    x: Band<'a>,
    /// The taps that lie in the input.
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Run<'_> {
    /// Where the first tap of the result at (`row`, `column`) lies in the rows of the input, if there is one.
    #[inline(always)]
    fn start(&self, row: usize, column: usize) -> usize {
        if self.rows.is_empty() || self.columns.is_empty() {
            return 0;
        }
        let Window { stride, padding, dilation, .. } = *self.filter.window;
        let y = row * stride + self.rows.start * dilation - padding.0 - self.x.above;
        let x = column * stride + self.columns.start * dilation - padding.1;
        self.x.image.map.place(y, x)
    }

    /// The results of `N` places beside each other, of which the first one's first tap lies at `from`.
    #[inline(always)]
    fn places<S: Simd, const N: usize>(&self, simd: S, from: usize, out: &mut [f32]) {
        let (Weights { window, weights, bias, clip }, Image { map, values }) = (self.filter, self.x.image);
        let depth = map.depth;
        assert!(out.len() == N * depth && bias.len() == depth);
        let (down, right) = (window.dilation * map.row(), window.dilation * depth);
        let step = window.stride * depth;
        let taps = (self.rows.len(), self.columns.len());
        let reach = match taps.0 * taps.1 {
            0 => 0,
            _ => from + (taps.0 - 1) * down + (taps.1 - 1) * right + (N - 1) * step + depth,
        };
        assert!(reach <= values.len(), "a window ends beyond the values");
        assert!(self.rows.end <= window.kernel.0 && self.columns.end <= window.kernel.1);
        assert!(weights.len() == window.taps() * depth);
        let whole = depth - depth % S::F32_LANES;
        for channel in (0..whole).step_by(S::F32_LANES) {
            // SAFETY: a vector begins at `channel` at the latest that leaves it whole within the depth. Of the
            // input, the last tap of the last place then ends at `reach`; of the weights, the last tap of the
            // window ends where they do; the bias is as long as the depth, and the results are N times
            // that. All were asserted. What moves on behind the last tap is not read.
            unsafe {
                let vector = |from: *const f32| from.cast::<S::f32s>().read_unaligned();
                let mut sums = [vector(bias.as_ptr().add(channel)); N];
                let mut line = values.as_ptr().add(from + channel);
                for i in self.rows.clone() {
                    let first = i * window.kernel.1 + self.columns.start;
                    let mut weight = weights.as_ptr().add(first * depth + channel);
                    let mut value = line;
                    for _ in self.columns.clone() {
                        let own = vector(weight);
                        for n in 0..N {
                            sums[n] = simd.mul_add_e_f32s(vector(value.add(n * step)), own, sums[n]);
                        }
                        weight = weight.wrapping_add(depth);
                        value = value.wrapping_add(right);
                    }
                    line = line.wrapping_add(down);
                }
                for n in 0..N {
                    let value = clip.apply(simd, sums[n]);
                    out.as_mut_ptr().add(n * depth + channel).cast::<S::f32s>().write_unaligned(value);
                }
            }
        }
        for channel in whole..depth {
            for n in 0..N {
                let mut sum = bias[channel];
                for (down, i) in (from..).step_by(down).zip(self.rows.clone()) {
                    for (at, j) in (down..).step_by(right).zip(self.columns.clone()) {
                        let weight = weights[(i * window.kernel.1 + j) * depth + channel];
                        sum += values[at + n * step + channel] * weight;
                    }
                }
                out[n * depth + channel] = clip.apply(Scalar, sum);
            }
        }
    }
}

/// Adds the gradient of the input to `into`.
#[inline(always)]
pub fn input_gradient(window: &Window, weights: &[f32], gradient: Image, mut into: ImageMut) {
    let (depth, size) = (into.map.depth, size(into.map));
    for (row, column) in gradient.map.places() {
        taps(window, size, (row, column), |tap, i, j| {
            let (weights, gradient) = (&weights[tap * depth..][..depth], gradient.at(row, column));
            for ((into, gradient), weight) in into.at(i, j).iter_mut().zip(gradient).zip(weights) {
                *into += gradient * weight;
            }
        });
    }
}

/// Adds the gradient of the packed weights to `sums`.
#[inline(always)]
pub fn weight_gradient(window: &Window, x: Image, gradient: Image, sums: &mut [f32]) {
    let depth = x.map.depth;
    for (row, column) in gradient.map.places() {
        taps(window, size(x.map), (row, column), |tap, i, j| {
            let (sums, gradient) = (&mut sums[tap * depth..][..depth], gradient.at(row, column));
            for ((sum, value), gradient) in sums.iter_mut().zip(x.at(i, j)).zip(gradient) {
                *sum += value * gradient;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::dispatch;
    use proptest::prelude::*;
    use pulp::WithSimd;

    struct Forward<'a>(Weights<'a>, Band<'a>, Range<usize>, ImageMut<'a>);

    impl WithSimd for Forward<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            forward(simd, self.0, self.1, self.2, self.3);
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_its_definition_in_double_precision_and_writes_nothing_else(
            size in (1usize..20, 1usize..20), depth in 1usize..40, zeros in 0usize..3,
            kernel in (1usize..6, 1usize..6), padding in (0usize..4, 0usize..4),
            stride in 1usize..4, dilation in 1usize..3, clip in 0usize..3, seed: u64,
        ) {
            let window = Window { kernel, stride, padding, dilation };
            let Ok((height, width)) = window.output(size.0, size.1) else { return Ok(()) };
            let mut rng = crate::random::stream(seed, "depthwise");
            let mut draw = |count: usize| -> Vec<f32> {
                (0..count).map(|_| crate::random::normal(&mut rng)).collect()
            };
            let mut from = Map::new(size.0, size.1, depth, depth);
            let mut to = Map::new(height, width, depth, depth);
            from.make_room(zeros, size.0 + zeros, size.1);
            to.make_room(zeros, height, width + zeros);
            // What lies around a map is not read, whatever it is.
            let (x, before) = (draw(from.image()), draw(to.image()));
            let (weights, bias) = (draw(window.taps() * depth), draw(depth));
            let clip = [Clip::None, Clip::Relu, Clip::Relu6][clip];
            for plain in [false, true] {
                let mut out = before.clone();
                let filter = Weights { window: &window, weights: &weights, bias: &bias, clip };
                // All rows at once, or a few of them from what these read alone.
                let step = if plain { height } else { 1 + height / 3 };
                for start in (0..height).step_by(step) {
                    let rows = start..height.min(start + step);
                    let read = window.rows(rows.clone(), size.0);
                    let read = if plain { 0..size.0 } else { read };
                    let band = Band {
                        image: Image { map: &from, values: &x[read.start * from.row()..] },
                        above: read.start,
                        height: size.0,
                    };
                    let image = ImageMut { map: &to, values: &mut out[start * to.row()..] };
                    let run = Forward(filter, band, rows, image);
                    if plain { run.with_simd(Scalar) } else { dispatch(run) }
                }
                let mut want: Vec<f64> = before.iter().map(|value| f64::from(*value)).collect();
                for (row, column) in to.places() {
                    for channel in 0..depth {
                        let mut sum = f64::from(bias[channel]);
                        taps(&window, size, (row, column), |tap, i, j| {
                            let weight = f64::from(weights[tap * depth + channel]);
                            sum += f64::from(x[from.place(i, j) + channel]) * weight;
                        });
                        want[to.place(row, column) + channel] = match clip {
                            Clip::None => sum,
                            Clip::Relu => sum.max(0.0),
                            Clip::Relu6 => sum.clamp(0.0, 6.0),
                        };
                    }
                }
                for (got, want) in out.iter().zip(want) {
                    prop_assert!((f64::from(*got) - want).abs() < 1e-4 * (1.0 + want.abs()), "{got} for {want}");
                }
            }
        }
    }
}
