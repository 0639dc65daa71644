//! The convolution of a batch through the kernels of serving: a few images at a time are put
//! between their zeros, convolved and looked at while the cache holds them.

use std::ops::Range;

use rayon::prelude::*;

use super::Sizes;
use super::source::{Fill, Source};
use crate::activation::Clip;
use crate::filter::{ConvArgs, Kernel};
use crate::scratch;
use crate::simd::dispatch;

/// Writes the convolution of `x` to `out`, (images, rows, columns, channels) with the channels filled
/// up to whole vectors, and calls `then` with the range of images of every piece and its results.
/// Returns what it gave, in the order of the images.
pub fn forward<T: Send>(
    sizes: &Sizes,
    x: &Source,
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    then: impl Fn(Range<usize>, &mut [f32]) -> T + Sync,
) -> Vec<T> {
    let (mut from, to) = (sizes.input(x.is_planes()), sizes.output());
    assert_eq!(out.len(), sizes.batch * to.image(), "values of the output");
    let filter = sizes.filter(weight, bias);
    Kernel::make_room(&filter, &mut from, &to);
    let kernel = Kernel::new(&filter, &from, &to, false);
    let chunk = sizes.chunk();
    let work = |(index, out): (usize, &mut [f32])| {
        let images = out.len() / to.image();
        let mut maps = scratch::take(images * from.image());
        for (image, into) in maps.chunks_exact_mut(from.image()).enumerate() {
            dispatch(Fill { source: x, image: index * chunk + image, map: &from, into });
        }
        let mut scratch = scratch::take(kernel.scratch());
        kernel.run(ConvArgs {
            from: &from,
            to: &to,
            images,
            x: &maps,
            residual: None,
            clip: Clip::None,
            out,
            scratch: &mut scratch,
        });
        then(index * chunk..index * chunk + images, out)
    };
    out.par_chunks_mut(chunk * to.image()).enumerate().map(work).collect()
}
