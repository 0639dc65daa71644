//! Batch normalisation (Ioffe and Szegedy 2015) over values with their channels last: the parts that
//! a step of training puts between and into its convolutions, so that nothing is passed over twice.
//!
//! Channels are filled up to whole vectors with zeros, which stay zeros. Sums run over a few
//! thousand values in single precision and over all in double precision, in a fixed order.

use pulp::{Simd, WithSimd};

use super::conv::Source;
use super::graph::Activation;
use super::simd::{AlignedVec, dispatch, round_up};

/// Added to the variance, so that a constant channel stays finite.
pub const EPSILON: f32 = 1e-5;

/// Values that are looked at twice while the first cache holds them.
const GROUP: usize = 4096;

/// Places whose sums are kept in single precision.
const PLACES: usize = 128;

/// Mean and sum of square deviations of each channel.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    count: f64,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    /// Those of (places, `depth`) values.
    pub fn of(values: &[f32], depth: usize) -> Moments {
        let mut moments = Moments { count: 0.0, means: vec![0.0; depth], squares: vec![0.0; depth] };
        dispatch(Observe { moments: &mut moments, values, depth });
        moments
    }

    /// Those of all parts together (Chan, Golub and LeVeque 1979, "Updating formulae").
    pub fn add(&mut self, other: &Moments) {
        if self.count == 0.0 {
            *self = other.clone();
            return;
        }
        let count = self.count + other.count;
        let (share, weight) = (other.count / count, self.count * other.count / count);
        let own = self.means.iter_mut().zip(&mut self.squares);
        for ((mean, square), (other, squares)) in own.zip(other.means.iter().zip(&other.squares)) {
            let apart = other - *mean;
            *mean += apart * share;
            *square += squares + apart * apart * weight;
        }
        self.count = count;
    }

    /// Values a channel has.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Mean and mean square deviation of a channel.
    pub fn channel(&self, channel: usize) -> (f32, f32) {
        let square = self.squares[channel] / self.count;
        // Rounding may leave a constant channel a little below 0.
        (self.means[channel] as f32, if square < 0.0 { 0.0 } else { square as f32 })
    }
}

struct Observe<'a> {
    moments: &'a mut Moments,
    values: &'a [f32],
    depth: usize,
}

impl WithSimd for Observe<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Observe { moments, values, depth } = self;
        let vectors = depth / S::F32_LANES;
        let mut group = Moments::default();
        let mut sums = vec![[0f32; 3]; depth];
        for values in values.chunks((GROUP / depth).max(16) * depth) {
            let count = (values.len() / depth) as f32;
            let values = S::as_simd_f32s(values).0;
            for (v, sums) in sums.chunks_exact_mut(S::F32_LANES).enumerate() {
                let column = || values[v..].iter().step_by(vectors);
                let sum = column().fold(simd.splat_f32s(0.0), |sum, x| simd.add_f32s(sum, *x));
                let around = simd.mul_f32s(sum, simd.splat_f32s(1.0 / count));
                let mut apart = simd.splat_f32s(0.0);
                let mut square = simd.splat_f32s(0.0);
                for x in column() {
                    let x = simd.sub_f32s(*x, around);
                    apart = simd.add_f32s(apart, x);
                    square = simd.mul_add_e_f32s(x, x, square);
                }
                let vectors = [around, apart, square];
                for (place, vector) in vectors.iter().enumerate() {
                    let lanes: &[f32] = bytemuck::cast_slice(std::slice::from_ref(vector));
                    sums.iter_mut().zip(lanes).for_each(|(sums, lane)| sums[place] = *lane);
                }
            }
            let count = f64::from(count);
            group.count = count;
            group.means.clear();
            group.squares.clear();
            for [around, apart, square] in sums.iter().map(|sums| sums.map(f64::from)) {
                group.means.push(around + apart / count);
                group.squares.push(square - apart * apart / count);
            }
            moments.add(&group);
        }
    }
}

/// What a batch's normalisation makes of its values: `x * factor + offset`, channel by channel.
#[derive(Debug)]
pub struct Norm {
    pub(super) mean: AlignedVec,
    pub(super) factor: AlignedVec,
    pub(super) offset: AlignedVec,
    inverse: Vec<f32>,
    count: f64,
}

impl Norm {
    /// By the batch's moments, then scaled and shifted.
    pub fn new(moments: &Moments, epsilon: f32, scale: &[f32], shift: &[f32]) -> Norm {
        let depth = round_up(scale.len());
        let [mut mean, mut factor, mut offset] = [0; 3].map(|_| AlignedVec::zeros(depth));
        let mut inverse = Vec::with_capacity(scale.len());
        for (channel, (scale, shift)) in scale.iter().zip(shift).enumerate() {
            let (middle, variance) = moments.channel(channel);
            inverse.push(1.0 / (variance + epsilon).sqrt());
            mean[channel] = middle;
            factor[channel] = scale * inverse[channel];
            offset[channel] = shift - middle * factor[channel];
        }
        Norm { mean, factor, offset, inverse, count: moments.count }
    }

    /// Channels, filled up.
    pub fn depth(&self) -> usize {
        self.mean.len()
    }
}

/// Sums over a gradient, channel by channel: of the gradient itself, and for each of some
/// normalisations that gave the values, of the gradient times the value's deviation from the mean.
#[derive(Debug, Clone)]
pub struct Sums {
    plain: Vec<f64>,
    weighted: Vec<Vec<f64>>,
}

impl Sums {
    fn zeros(depth: usize, norms: usize) -> Sums {
        Sums { plain: vec![0.0; depth], weighted: vec![vec![0.0; depth]; norms] }
    }

    /// Adds those of another part of the batch.
    pub fn add(&mut self, other: &Sums) {
        self.plain.iter_mut().zip(&other.plain).for_each(|(sum, value)| *sum += value);
        for (own, other) in self.weighted.iter_mut().zip(&other.weighted) {
            own.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
        }
    }

    /// The gradient of a bias.
    pub fn plain(&self) -> &[f64] {
        &self.plain
    }

    /// The gradients of scale and shift of a normalisation, the `index`-th of those that were summed
    /// for.
    pub fn gradients<'a>(&'a self, index: usize, norm: &'a Norm) -> impl Iterator<Item = (f32, f32)> + 'a {
        let sums = self.plain.iter().zip(&self.weighted[index]).zip(&norm.inverse);
        sums.map(|((plain, weighted), inverse)| ((weighted * f64::from(*inverse)) as f32, *plain as f32))
    }
}

/// What the gradient of a normalisation's values takes beside that of its results: theirs is
/// `factor * (gradient - plain - (x - mean) * weighted)`.
#[derive(Debug)]
pub struct Means {
    pub(super) plain: AlignedVec,
    pub(super) weighted: AlignedVec,
}

impl Means {
    /// Of the sums over a whole batch, for the `index`-th normalisation that was summed for.
    pub fn new(sums: &Sums, index: usize, norm: &Norm) -> Means {
        let [mut plain, mut weighted] = [0; 2].map(|_| AlignedVec::zeros(norm.depth()));
        for (channel, inverse) in norm.inverse.iter().enumerate() {
            plain[channel] = (sums.plain[channel] / norm.count) as f32;
            let inverse = f64::from(*inverse);
            weighted[channel] = (sums.weighted[index][channel] / norm.count * inverse * inverse) as f32;
        }
        Means { plain, weighted }
    }
}

/// What is done to a gradient while a piece of it is in cache: it goes back through an activation,
/// and is summed for the normalisations and biases before that.
pub struct GradientEpilogue<'a> {
    /// What the activation was applied to (or, if it is clipped, gave).
    pub activation: Option<(Activation, Source<'a>)>,
    /// Normalisations whose results, and nothing else, were summed up before it, and their values.
    pub norms: Vec<(&'a [f32], &'a Norm)>,
    /// Whether sums are wanted where there is no normalisation.
    pub bias: bool,
    /// Rows, columns and depth of an image.
    pub size: (usize, usize, usize),
}

impl GradientEpilogue<'_> {
    /// Changes the gradient of images from `first` on. Returns the sums over them, if any are wanted.
    pub fn apply(&self, first: usize, gradient: &mut [f32]) -> Option<Sums> {
        if self.activation.is_none() && self.norms.is_empty() && !self.bias {
            return None;
        }
        dispatch(Apply { epilogue: self, first, gradient })
    }
}

struct Apply<'a> {
    epilogue: &'a GradientEpilogue<'a>,
    first: usize,
    gradient: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = Option<Sums>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<Sums> {
        let Apply { epilogue: GradientEpilogue { activation, norms, bias, size }, first, gradient } = self;
        let (height, width, depth) = *size;
        let (line, vectors) = (width * depth, depth / S::F32_LANES);
        let mut memory = super::scratch::take(line);
        let mut totals = Sums::zeros(depth, norms.len());
        let mut plain = vec![simd.splat_f32s(0.0); vectors];
        let mut weighted = vec![simd.splat_f32s(0.0); vectors * norms.len()];
        let summed = *bias || !norms.is_empty();
        let zero = simd.splat_f32s(0.0);
        let mut places = 0;
        let rows = gradient.len() / line;
        for (row, gradient) in gradient.chunks_exact_mut(line).enumerate() {
            let (image, at) = (first + row / height, row % height);
            let gradient = S::as_mut_simd_f32s(gradient).0;
            if let Some((activation, x)) = activation {
                let x = S::as_simd_f32s(x.look(simd, image, at, *size, &mut memory)).0;
                for (gradient, x) in gradient.iter_mut().zip(x) {
                    *gradient = activation.slope(simd, *x, *gradient);
                }
            }
            if !summed {
                continue;
            }
            for (v, plain) in plain.iter_mut().enumerate() {
                let column = gradient[v..].iter().step_by(vectors);
                *plain = column.fold(*plain, |sum, gradient| simd.add_f32s(sum, *gradient));
            }
            for ((values, norm), weighted) in norms.iter().zip(weighted.chunks_exact_mut(vectors)) {
                let values = S::as_simd_f32s(&values[(image * height + at) * line..][..line]).0;
                let mean = S::as_simd_f32s(&norm.mean).0;
                for (v, weighted) in weighted.iter_mut().enumerate() {
                    let column = gradient[v..].iter().step_by(vectors);
                    for (gradient, x) in column.zip(values[v..].iter().step_by(vectors)) {
                        *weighted = simd.mul_add_e_f32s(simd.sub_f32s(*x, mean[v]), *gradient, *weighted);
                    }
                }
            }
            places += width;
            if places >= PLACES || row + 1 == rows {
                places = 0;
                let lanes: &[f32] = bytemuck::cast_slice(&plain);
                totals.plain.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += f64::from(*lane));
                for (totals, weighted) in totals.weighted.iter_mut().zip(weighted.chunks_exact(vectors)) {
                    let lanes: &[f32] = bytemuck::cast_slice(weighted);
                    totals.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += f64::from(*lane));
                }
                plain.fill(zero);
                weighted.fill(zero);
            }
        }
        summed.then_some(totals)
    }
}
