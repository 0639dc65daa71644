//! The gradients of a convolution over a batch, of its inputs and of its weights together: the
//! images and their gradients are put between their zeros once for both.
//!
//! The weights' gradient is a sum over the whole batch. The batch is cut into parts that depend on
//! its sizes alone; each part has its own sum and the sums are added in order, so the result does
//! not depend on the number of cores. Within a part, cores share the images and then, each its own
//! piece, the sum.

use std::ops::Range;

use rayon::prelude::*;

use super::Sizes;
use super::reverse::Reverse;
use super::source::{Fill, Source};
use super::weights::{Piece, Weights};
use crate::activation::Clip;
use crate::filter::{ConvArgs, Kernel};
use crate::map::Map;
use crate::scratch;
use crate::simd::dispatch;

/// Where the gradient of the inputs goes.
pub struct Wanted<'a, F> {
    /// As large as the inputs, channels last and filled up.
    pub out: &'a mut [f32],
    /// Added to it.
    pub residual: Option<&'a [f32]>,
    /// Called with the range of images of every piece and their gradient.
    pub then: F,
}

/// The gradient of the weights (outputs, inputs, kernel, kernel), from the inputs and the gradient
/// of the outputs; on request that of the inputs, and what `then` gave, in the order of the images.
pub fn backward<T: Send, F: Fn(Range<usize>, &mut [f32]) -> T + Sync>(
    sizes: &Sizes,
    x: &Source,
    gradient: &Source,
    weight: &[f32],
    into: Option<Wanted<F>>,
) -> (Vec<f32>, Vec<T>) {
    let (mut from, mut to) = (sizes.input(x.is_planes()), sizes.output());
    Kernel::make_room(&sizes.filter(&[], None), &mut from, &to);
    Weights::make_room(sizes, &from, &mut to);
    let inputs = sizes.input(false);
    let reverse = into.as_ref().map(|_| Reverse::new(sizes, weight, &mut to, &inputs));
    let weights = Weights::new(sizes, &from, &to);
    let (out, inward) = match (into, &reverse) {
        (Some(Wanted { out, residual, then }), Some(reverse)) => {
            assert_eq!(out.len(), sizes.batch * inputs.image(), "values of the input");
            (Some(out), Some(Inward { reverse, from: &to, to: &inputs, residual, then }))
        }
        _ => (None, None),
    };
    let batch = Batch { sizes, x, gradient, from: &from, to: &to, weights: &weights, inward };
    let outs = cut(out, sizes.part() * batch.image(), sizes.batch.div_ceil(sizes.part()));
    // Taken and dropped by one thread, which keeps what is small.
    let mut sums = scratch::take(outs.len() * weights.size());
    let parts = sums.par_chunks_mut(weights.size()).zip(outs).enumerate();
    let given: Vec<_> = parts.map(|(at, (sums, out))| batch.part(at, sums, out)).collect();
    let (total, others) = sums.split_at_mut(weights.size());
    for part in others.chunks_exact(weights.size()) {
        total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
    }
    (weights.finish(total), given.into_iter().flatten().collect())
}

/// `out` in pieces of a size, or as many times nothing.
fn cut(out: Option<&mut [f32]>, size: usize, pieces: usize) -> Vec<Option<&mut [f32]>> {
    match out {
        Some(out) => out.chunks_mut(size).map(Some).collect(),
        None => (0..pieces).map(|_| None).collect(),
    }
}

/// What all parts of a batch share.
struct Batch<'a, F> {
    sizes: &'a Sizes,
    x: &'a Source<'a>,
    gradient: &'a Source<'a>,
    from: &'a Map,
    to: &'a Map,
    weights: &'a Weights,
    inward: Option<Inward<'a, F>>,
}

impl<T: Send, F: Fn(Range<usize>, &mut [f32]) -> T + Sync> Batch<'_, F> {
    /// Floats of an image of the inputs' gradient.
    fn image(&self) -> usize {
        self.inward.as_ref().map_or(0, |inward| inward.to.image())
    }

    /// Makes the sum of part number `index`, whose inputs' gradient goes to `out`. Returns what was
    /// given.
    fn part(&self, index: usize, sums: &mut [f32], mut out: Option<&mut [f32]>) -> Vec<T> {
        let Sizes { batch, .. } = *self.sizes;
        let (part, chunk, image) = (self.sizes.part(), self.sizes.chunk(), self.image());
        let images = index * part..(index * part + part).min(batch);
        sums.fill(0.0);
        let mut given = Vec::new();
        for first in images.clone().step_by(self.sizes.block()) {
            let count = self.sizes.block().min(images.end - first);
            let piece = |start| self.weights.piece(chunk.min(count - start));
            let mut pieces: Vec<_> = (0..count).step_by(chunk).map(piece).collect();
            let start = (first - images.start) * image;
            let out = out.as_mut().map(|out| &mut out[start..start + count * image]);
            let outs = cut(out, chunk * image, pieces.len());
            let work = |(at, (piece, out)): (usize, (&mut Piece, Option<&mut [f32]>))| {
                let start = first + at * chunk;
                fill(self.x, self.from, start, &mut piece.x);
                fill(self.gradient, self.to, start, &mut piece.gradient);
                Some(self.inward.as_ref()?.run(start, &piece.gradient, out?))
            };
            let gave: Vec<_> = pieces.par_iter_mut().zip(outs).enumerate().map(work).collect();
            given.extend(gave.into_iter().flatten());
            self.weights.add(&mut pieces, sums);
        }
        given
    }
}

/// Puts images from `first` on into maps.
fn fill(source: &Source, map: &Map, first: usize, maps: &mut [f32]) {
    for (image, into) in maps.chunks_exact_mut(map.image()).enumerate() {
        dispatch(Fill { source, image: first + image, map, into });
    }
}

/// The way to the inputs.
struct Inward<'a, F> {
    reverse: &'a Reverse,
    from: &'a Map,
    to: &'a Map,
    residual: Option<&'a [f32]>,
    then: F,
}

impl<T, F: Fn(Range<usize>, &mut [f32]) -> T> Inward<'_, F> {
    /// Writes the gradient of a piece's inputs, whose images begin with `first`.
    fn run(&self, first: usize, gradient: &[f32], out: &mut [f32]) -> T {
        let Inward { reverse, from, to, .. } = *self;
        let images = out.len() / to.image();
        let residual = self.residual.map(|residual| &residual[first * to.image()..][..out.len()]);
        let scratch = &mut *scratch::take(reverse.scratch());
        reverse.run(ConvArgs { from, to, images, x: gradient, residual, clip: Clip::None, out, scratch });
        (self.then)(first..first + images, out)
    }
}
