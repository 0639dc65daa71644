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
use super::forward::{Form, write};
use super::reverse::Reverse;
use super::source::{Fill, Source};
use super::weights::Weights;
use crate::nn::filter::{Job, Kernel};
use crate::nn::map::Map;
use crate::nn::scratch;
use crate::nn::simd::dispatch;

/// Where the gradient of the inputs goes.
pub struct Into<'a, F> {
    /// As large as the inputs.
    pub out: &'a mut [f32],
    /// How `out` lies.
    pub form: Form,
    /// Added to it, for places.
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
    into: Option<Into<F>>,
) -> (Vec<f32>, Vec<T>) {
    let (mut from, mut to) = (sizes.input(x.is_planes()), sizes.output());
    Kernel::make_room(&sizes.filter(&[]), &mut from, &to);
    Weights::make_room(sizes, &from, &mut to);
    let inputs = sizes.input(false);
    let reverse = into.as_ref().map(|_| Reverse::new(sizes, weight, &mut to, &inputs));
    let weights = Weights::new(sizes, &from, &to);
    let (part, together, chunk) = (sizes.part(), sizes.together(), sizes.chunk());
    let (out, inward) = match (into, &reverse) {
        (Some(Into { out, form, residual, then }), Some(reverse)) => {
            assert_eq!(out.len(), sizes.batch * form.image(&inputs), "values of the input");
            (Some(out), Some(Inward { reverse, from: &to, to: &inputs, form, residual, then }))
        }
        _ => (None, None),
    };
    let image = inward.as_ref().map_or(0, |inward| inward.form.image(&inputs));
    // The range of images of every part, and its piece of the output.
    let work = |(index, mut out): (usize, Option<&mut [f32]>)| {
        let all = index * part..(index * part + part).min(sizes.batch);
        let mut sums = weights.zeros();
        let mut given = Vec::new();
        for first in all.clone().step_by(together) {
            let count = together.min(all.end - first);
            let mut pieces: Vec<_> =
                (0..count).step_by(chunk).map(|start| weights.piece(chunk.min(count - start))).collect();
            let mut outs: Vec<Option<&mut [f32]>> = match &mut out {
                Some(out) => {
                    let start = (first - all.start) * image;
                    out[start..start + count * image].chunks_mut(chunk * image).map(Some).collect()
                }
                None => pieces.iter().map(|_| None).collect(),
            };
            let gave = pieces.par_iter_mut().zip(&mut outs).enumerate().map(|(at, (piece, out))| {
                let start = first + at * chunk;
                fill(x, &from, start, &mut piece.x);
                fill(gradient, &to, start, &mut piece.gradient);
                Some(inward.as_ref()?.run(start, &piece.gradient, out.as_mut()?))
            });
            given.extend(gave.collect::<Vec<_>>().into_iter().flatten());
            weights.add(&mut pieces, &mut sums);
        }
        (sums, given)
    };
    let outs: Vec<Option<&mut [f32]>> = match out {
        Some(out) => out.chunks_mut(part * image).map(Some).collect(),
        None => (0..sizes.batch.div_ceil(part)).map(|_| None).collect(),
    };
    let mut parts = outs.into_par_iter().enumerate().map(work).collect::<Vec<_>>().into_iter();
    let (mut total, mut given) = parts.next().unwrap_or_else(|| (weights.zeros(), Vec::new()));
    for (sums, gave) in parts {
        total.iter_mut().zip(sums.iter()).for_each(|(total, sum)| *total += sum);
        given.extend(gave);
    }
    (weights.finish(&total), given)
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
    form: Form,
    residual: Option<&'a [f32]>,
    then: F,
}

impl<T, F: Fn(Range<usize>, &mut [f32]) -> T> Inward<'_, F> {
    /// Writes the gradient of a piece's inputs, whose images begin with `first`.
    fn run(&self, first: usize, gradient: &[f32], out: &mut [f32]) -> T {
        let Inward { reverse, from, to, form, .. } = *self;
        let each = form.image(to);
        let images = out.len() / each;
        let residual = self.residual.map(|residual| &residual[first * each..][..out.len()]);
        let mut scratch = scratch::take(reverse.scratch());
        write(to, out, form, |out| {
            let scratch = &mut *scratch;
            reverse.run(Job { from, to, images, x: gradient, residual, relu: false, out, scratch });
        });
        (self.then)(first..first + images, out)
    }
}
