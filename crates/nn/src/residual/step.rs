//! One step through the convolutions of a residual network, forward and backward, over plain memory.
//!
//! Channels come last throughout. What a normalisation and its rectifier make of a convolution's
//! results is not written down: whoever reads them makes it on the way, and only the sums at the
//! ends of blocks are kept. The gradient goes the same way back. A piece of the batch is looked at
//! for its moments, and its gradient for their gradients, while the cache still holds it.

use std::ops::Range;

use candle_core::{Result, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::activation::relu;
use crate::conv::{Form, Sizes, Source, Wanted, backward, forward};
use crate::norm::{Behind, Means, Moments, Norm, Sums};
use crate::scratch::{self, PooledVec};
use crate::simd::{dispatch, round_up};

/// A convolution with a normalisation: its sizes, and where its values begin among all parameters;
/// weights, then scales, then shifts.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub sizes: Sizes,
    pub start: usize,
}

impl Layer {
    fn weights(&self) -> usize {
        self.sizes.outputs * self.sizes.inputs * self.sizes.conv.kernel.pow(2)
    }

    /// Parameters it has.
    pub fn count(&self) -> usize {
        self.weights() + 2 * self.sizes.outputs
    }

    /// Weights, scales and shifts.
    fn split<'a>(&self, parameters: &'a [f32]) -> (&'a [f32], &'a [f32], &'a [f32]) {
        let (weights, rest) = parameters[self.start..][..self.count()].split_at(self.weights());
        let (scale, shift) = rest.split_at(self.sizes.outputs);
        (weights, scale, shift)
    }

    /// Rows, columns and channels of its results, channels filled up.
    fn size(&self) -> (usize, usize, usize) {
        (self.sizes.out_height, self.sizes.out_width, round_up(self.sizes.outputs))
    }

    /// Floats of an image of its results.
    fn image(&self) -> usize {
        let (height, width, depth) = self.size();
        height * width * depth
    }

    fn apply(&self, x: &Source, parameters: &[f32]) -> Applied {
        let (weights, scale, shift) = self.split(parameters);
        let depth = self.size().2;
        let mut values = scratch::take(self.sizes.batch * self.image());
        let out = (&mut *values, Form::Places);
        let parts = forward(&self.sizes, true, x, weights, out, |_, part| Moments::of(part, depth));
        let mut moments = Moments::default();
        parts.iter().for_each(|part| moments.add(part));
        Applied { layer: *self, values, norm: Norm::new(&moments, scale, shift), moments }
    }
}

/// The layers of a block; the last is the way around, where the shape changes.
pub type BlockLayers = (Layer, Layer, Option<Layer>);

/// What a layer made of a batch.
struct Applied {
    layer: Layer,
    values: PooledVec,
    norm: Norm,
    moments: Moments,
}

impl Applied {
    /// Its results normalised.
    fn normal(&self, relu: bool) -> Source<'_> {
        Source::Normal { values: &self.values, norm: &self.norm, relu }
    }

    /// What its gradient meets behind the rectifier that gave `y`, and others beside it.
    fn behind<'a>(&'a self, y: Source<'a>, beside: Option<&'a Applied>) -> Behind<'a> {
        let (height, width, _) = self.layer.size();
        let norms = std::iter::once(self).chain(beside);
        Behind { y, norms: norms.map(|one| (&*one.values, &one.norm)).collect(), size: (height, width) }
    }

    /// Writes the gradients of its parameters. `gradient` is that of its normalised results, `sums`
    /// are its sums. Returns what [`backward`] does for the input.
    fn backward<T: Send>(
        &self,
        x: &Source,
        (gradient, sums): (&[f32], &Sums),
        (parameters, gradients): (&[f32], &mut [f32]),
        into: Option<Wanted<impl Fn(Range<usize>, &mut [f32]) -> T + Sync>>,
    ) -> Vec<T> {
        let Layer { sizes, start } = &self.layer;
        let means = Means::new(sums, &self.norm);
        let source = Source::Gradient { gradient, values: &self.values, norm: &self.norm, means: &means };
        let (weights, given) = backward(sizes, x, &source, self.layer.split(parameters).0, into);
        let (for_weights, rest) = gradients[*start..][..self.layer.count()].split_at_mut(weights.len());
        for_weights.copy_from_slice(&weights);
        let (scales, shifts) = rest.split_at_mut(sizes.outputs);
        for ((scale, shift), sum) in scales.iter_mut().zip(shifts).zip(sums.gradients(&self.norm)) {
            (*scale, *shift) = sum;
        }
        given
    }
}

struct BlockApplied {
    first: Applied,
    second: Applied,
    around: Option<Applied>,
    out: PooledVec,
}

impl BlockApplied {
    fn layers(&self) -> impl Iterator<Item = &Applied> {
        [Some(&self.first), Some(&self.second), self.around.as_ref()].into_iter().flatten()
    }

    fn behind(&self) -> Behind<'_> {
        self.second.behind(Source::Places(&self.out), self.around.as_ref())
    }
}

/// A step that has gone forward.
pub struct Step {
    stem: Applied,
    blocks: Vec<BlockApplied>,
    /// (images, channels): the mean of the last block's results over rows and columns.
    pub features: Vec<f32>,
}

impl Step {
    /// Forward over images of (channels, rows, columns).
    ///
    /// # Errors
    /// An empty batch.
    pub fn forward(stem: Layer, blocks: &[BlockLayers], images: &[f32], parameters: &[f32]) -> Result<Step> {
        let layers =
            blocks.iter().flat_map(|(first, second, around)| [Some(first), Some(second), around.as_ref()]);
        for layer in layers.flatten().chain([&stem]) {
            if layer.sizes.is_empty() || layer.sizes.positions() == 0 {
                bail!("batch normalisation of an empty batch")
            }
        }
        let stem = stem.apply(&Source::Planes(images), parameters);
        let mut applied: Vec<BlockApplied> = Vec::with_capacity(blocks.len());
        for (first, second, around) in blocks {
            let x = value(&stem, &applied);
            let first = first.apply(&x, parameters);
            let second = second.apply(&first.normal(true), parameters);
            let around = around.as_ref().map(|around| around.apply(&x, parameters));
            let beside = around.as_ref().map_or(x, |around| around.normal(false));
            let (size, each) = (second.layer.size(), second.layer.image());
            let mut out = scratch::take(second.values.len());
            let chunk = second.layer.sizes.chunk();
            out.par_chunks_mut(chunk * each).enumerate().for_each(|(at, out)| {
                dispatch(Join { a: &second.normal(false), b: &beside, size, first: at * chunk, out });
            });
            applied.push(BlockApplied { first, second, around, out });
        }
        let last = applied.last().map_or(&stem, |block| &block.second).layer;
        let mut features = vec![0.0; last.sizes.batch * last.sizes.outputs];
        let (y, channels) = (&value(&stem, &applied), last.sizes.outputs);
        dispatch(Average { y, size: last.size(), channels, out: &mut features });
        Ok(Step { stem, blocks: applied, features })
    }

    /// The moments of every layer's results: the stem's, then each block's first, second and around.
    pub fn moments(&self) -> impl Iterator<Item = &Moments> {
        let blocks = self.blocks.iter().flat_map(BlockApplied::layers);
        std::iter::once(&self.stem).chain(blocks).map(|one| &one.moments)
    }

    /// The gradients of the parameters from that of the features; on request that of the images.
    pub fn backward(
        &self,
        images: &[f32],
        parameters: &[f32],
        features: &[f32],
        for_images: Option<&mut [f32]>,
    ) -> Vec<f32> {
        let mut gradients = vec![0.0; parameters.len()];
        let (mut gradient, mut sums) = self.spread(features);
        for place in (0..self.blocks.len()).rev() {
            let both = (parameters, &mut *gradients);
            (gradient, sums) = self.through(place, (&gradient, &sums), both);
        }
        let then = |_, _: &mut [f32]| ();
        let into = for_images.map(|out| Wanted { out, form: Form::Planes, residual: None, then });
        let both = (parameters, &mut *gradients);
        self.stem.backward(&Source::Planes(images), (&gradient, &sums[0]), both, into);
        gradients
    }

    /// The gradient of what went into the last rectifier, and its sums, from that of the features.
    fn spread(&self, features: &[f32]) -> (PooledVec, Vec<Sums>) {
        let layer @ Layer { sizes, .. } = self.layer_before(self.blocks.len());
        let behind = self.behind(self.blocks.len());
        let (chunk, each, depth) = (sizes.chunk(), layer.image(), layer.size().2);
        let mut gradient = scratch::take(sizes.batch * each);
        let parts = gradient.par_chunks_mut(chunk * each).enumerate().map(|(at, part)| {
            for (image, part) in part.chunks_exact_mut(each).enumerate() {
                let row = &features[(at * chunk + image) * sizes.outputs..][..sizes.outputs];
                for place in part.chunks_exact_mut(depth) {
                    place[sizes.outputs..].fill(0.0);
                    let share = 1.0 / sizes.positions() as f32;
                    place.iter_mut().zip(row).for_each(|(to, from)| *to = from * share);
                }
            }
            behind.pass(at * chunk, part)
        });
        let parts = parts.collect();
        (gradient, Behind::total(parts))
    }

    /// From the gradient of what went into the rectifier at the end of a block, and its sums, to
    /// that of what went into the one before it.
    fn through(
        &self,
        place: usize,
        (gradient, sums): (&[f32], &[Sums]),
        (parameters, gradients): (&[f32], &mut [f32]),
    ) -> (PooledVec, Vec<Sums>) {
        let BlockApplied { first, second, around, .. } = &self.blocks[place];
        let form = Form::Places;
        let behind = first.behind(first.normal(true), None);
        let mut inner = scratch::take(first.values.len());
        let then = |images: Range<usize>, part: &mut [f32]| behind.pass(images.start, part);
        let into = Wanted { out: &mut inner, form, residual: None, then };
        let both = (parameters, &mut *gradients);
        let parts = second.backward(&first.normal(true), (gradient, &sums[0]), both, Some(into));
        let inner_sums = Behind::total(parts);

        let x = value(&self.stem, &self.blocks[..place]);
        let size = first.layer.sizes.batch * self.layer_before(place).image();
        let beside = around.as_ref().map(|around| {
            let mut out = scratch::take(size);
            let then = |_, _: &mut [f32]| ();
            let into = Wanted { out: &mut out, form, residual: None, then };
            around.backward(&x, (gradient, &sums[1]), (parameters, &mut *gradients), Some(into));
            out
        });
        let behind = self.behind(place);
        let mut out = scratch::take(size);
        let then = |images: Range<usize>, part: &mut [f32]| behind.pass(images.start, part);
        let residual = Some(beside.as_deref().unwrap_or(gradient));
        let into = Wanted { out: &mut out, form, residual, then };
        let parts = first.backward(&x, (&inner, &inner_sums[0]), (parameters, gradients), Some(into));
        let sums = Behind::total(parts);
        (out, sums)
    }

    /// What a gradient meets behind the input of block `place`, or behind the last block.
    fn behind(&self, place: usize) -> Behind<'_> {
        match place.checked_sub(1) {
            Some(before) => self.blocks[before].behind(),
            None => self.stem.behind(self.stem.normal(true), None),
        }
    }

    /// The layer whose results' size the input of block `place` has.
    fn layer_before(&self, place: usize) -> Layer {
        place.checked_sub(1).map_or(&self.stem, |before| &self.blocks[before].second).layer
    }
}

/// The results of the last of the blocks, or of the stem.
fn value<'a>(stem: &'a Applied, blocks: &'a [BlockApplied]) -> Source<'a> {
    blocks.last().map_or_else(|| stem.normal(true), |block| Source::Places(&block.out))
}

/// Rectified sums.
struct Join<'a> {
    a: &'a Source<'a>,
    b: &'a Source<'a>,
    size: (usize, usize, usize),
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Join { a, b, size: size @ (height, width, depth), first, out } = self;
        let mut memory = scratch::take(width * depth);
        for (row, out) in out.chunks_exact_mut(width * depth).enumerate() {
            let (image, row) = (first + row / height, row % height);
            a.row(simd, image, row, size, out);
            let other = b.look(simd, image, row, size, &mut memory);
            for (out, other) in S::as_mut_simd_f32s(out).0.iter_mut().zip(S::as_simd_f32s(other).0) {
                *out = relu(simd, simd.add_f32s(*out, *other));
            }
        }
    }
}

/// Means over rows and columns.
struct Average<'a> {
    y: &'a Source<'a>,
    size: (usize, usize, usize),
    channels: usize,
    out: &'a mut [f32],
}

impl WithSimd for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Average { y, size: size @ (height, width, depth), channels, out } = self;
        let mut memory = scratch::take(width * depth);
        let mut sums = vec![0f64; depth];
        for (image, out) in out.chunks_exact_mut(channels).enumerate() {
            sums.fill(0.0);
            for row in 0..height {
                let line = y.look(simd, image, row, size, &mut memory);
                for place in line.chunks_exact(depth) {
                    sums.iter_mut().zip(place).for_each(|(sum, value)| *sum += f64::from(*value));
                }
            }
            out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = (sum / (height * width) as f64) as f32);
        }
    }
}
