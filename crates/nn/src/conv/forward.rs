//! The convolution of a batch through the kernels of serving: a few images at a time are put
//! between their zeros, convolved and looked at while the cache holds them.

use std::ops::Range;

use rayon::prelude::*;

use super::Sizes;
use super::source::{Fill, Source};
use crate::filter::{Job, Kernel};
use crate::map::Map;
use crate::scratch;
use crate::simd::dispatch;

/// How a batch of results lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// (images, channels, rows, columns).
    Planes,
    /// (images, rows, columns, channels), channels filled up to whole vectors.
    Places,
}

impl Form {
    /// Floats of an image of `map`.
    pub(super) fn image(self, map: &Map) -> usize {
        let channels = if self == Form::Planes { map.channels } else { map.depth };
        map.height * map.width * channels
    }
}

/// Writes the convolution of `x` to `out` and calls `then` with the range of images of every piece
/// and its results. Returns what it gave, in the order of the images.
pub fn forward<T: Send>(
    sizes: &Sizes,
    parallel: bool,
    x: &Source,
    weight: &[f32],
    (out, form): (&mut [f32], Form),
    then: impl Fn(Range<usize>, &mut [f32]) -> T + Sync,
) -> Vec<T> {
    let (mut from, to) = (sizes.input(x.is_planes()), sizes.output());
    let each = form.image(&to);
    assert_eq!(out.len(), sizes.batch * each, "values of the output");
    let filter = sizes.filter(weight);
    Kernel::make_room(&filter, &mut from, &to);
    let kernel = Kernel::new(&filter, &from, &to, false);
    let chunk = sizes.chunk();
    let work = |(index, out): (usize, &mut [f32])| {
        let images = out.len() / each;
        let mut maps = scratch::take(images * from.image());
        for (image, into) in maps.chunks_exact_mut(from.image()).enumerate() {
            dispatch(Fill { source: x, image: index * chunk + image, map: &from, into });
        }
        let mut scratch = scratch::take(kernel.scratch());
        write(&to, out, form, |out| {
            let (from, to, x, scratch) = (&from, &to, &*maps, &mut *scratch);
            kernel.run(Job { from, to, images, x, residual: None, relu: false, out, scratch });
        });
        then(index * chunk..index * chunk + images, out)
    };
    match parallel {
        true => out.par_chunks_mut(chunk * each).enumerate().map(work).collect(),
        false => out.chunks_mut(chunk * each).enumerate().map(work).collect(),
    }
}

/// Has `f` write the maps of `out`, and turns them if their channels come first.
pub(super) fn write(map: &Map, out: &mut [f32], form: Form, f: impl FnOnce(&mut [f32])) {
    if form == Form::Places {
        return f(out);
    }
    let each = form.image(map);
    let mut maps = scratch::take(out.len() / each * map.image());
    f(&mut maps);
    for (values, image) in maps.chunks_exact(map.image()).zip(out.chunks_exact_mut(each)) {
        map.write(values, image);
    }
}
