//! The layers of a step that are no matrix products, image by image.

use pulp::{Simd, WithSimd};

use super::compile::Work;
use crate::activation::Clip;
use crate::conv::{Fill, Source};
use crate::map::{Image, ImageMut, Map};
use crate::{depthwise, pooling, reshape, scratch};

/// Rows, columns and depth of a map.
pub fn size(map: &Map) -> (usize, usize, usize) {
    (map.height, map.width, map.depth)
}

/// What a layer reads besides its inputs.
#[derive(Clone, Copy, Default)]
pub struct Extra<'a> {
    /// Packed weights and padded bias of a depthwise convolution.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    /// Factors of dropout.
    pub mask: &'a [f32],
}

/// Writes the results of images from `first` on.
pub struct Forward<'a> {
    pub work: Work,
    pub inputs: &'a [(Source<'a>, &'a Map)],
    pub extra: Extra<'a>,
    pub first: usize,
    pub map: &'a Map,
    pub out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Forward { work, inputs, extra, first, map, out } = self;
        let most = inputs.iter().map(|(_, map)| map.image()).max().unwrap_or(0);
        let mut memory = scratch::take(most);
        for (index, out) in out.chunks_exact_mut(map.image()).enumerate() {
            let index = first + index;
            let (source, from) = &inputs[0];
            if let Work::Copy = work {
                Fill { source, image: index, map, into: out }.with_simd(simd);
                continue;
            }
            if let Work::Add = work {
                add(simd, source, &inputs[1].0, index, map, out);
                continue;
            }
            if let Work::AddVector = work {
                let (vector, own) = &inputs[1];
                Fill { source, image: index, map, into: &mut *out }.with_simd(simd);
                let vector = vector.image(simd, index, size(own), &mut memory[..own.image()]);
                reshape::add_vector(vector, ImageMut { map, values: out });
                continue;
            }
            if let Work::Concat = work {
                let mut before = 0;
                for (source, from) in inputs {
                    let values = source.image(simd, index, size(from), &mut memory[..from.image()]);
                    reshape::concat(Image { map: from, values }, before, ImageMut { map, values: out });
                    before += from.channels;
                }
                continue;
            }
            let values = source.image(simd, index, size(from), &mut memory[..from.image()]);
            let (x, out) = (Image { map: from, values }, ImageMut { map, values: out });
            match &work {
                Work::Depthwise(window) => {
                    let Extra { weights, bias, .. } = extra;
                    let filter = depthwise::Weights { window, weights, bias, clip: Clip::None };
                    depthwise::forward(simd, filter, x.into(), 0..map.height, out)
                }
                Work::MaxPool(window) => pooling::max(window, x, out),
                Work::AveragePool(window) => pooling::average(window, x, out),
                Work::GlobalAverage => pooling::global_average(x, out),
                Work::Upsample(factor, method) => reshape::upsample(*factor, *method, x, out),
                Work::Flatten => reshape::flatten(x, out),
                Work::Dropout(_) => {
                    let mask = &extra.mask[index * map.image()..][..map.image()];
                    let values = out.values.iter_mut().zip(x.values).zip(mask);
                    values.for_each(|((out, x), mask)| *out = x * mask);
                }
                Work::Input
                | Work::Conv(_)
                | Work::Dense
                | Work::Add
                | Work::AddVector
                | Work::Concat
                | Work::Copy => {
                    unreachable!("these have ways of their own")
                }
            }
        }
    }
}

/// The sum of two images.
#[inline(always)]
fn add<S: Simd>(simd: S, a: &Source, b: &Source, image: usize, map: &Map, out: &mut [f32]) {
    let line = map.row();
    let mut memory = scratch::take(line);
    for (row, out) in out.chunks_exact_mut(line).enumerate() {
        a.row(simd, image, row, size(map), out);
        let other = b.look(simd, image, row, size(map), &mut memory);
        out.iter_mut().zip(other).for_each(|(out, other)| *out += other);
    }
}

/// Writes the gradient of an input of images from `first` on, added to what was written `earlier`.
pub struct Backward<'a> {
    pub work: Work,
    /// Of the layer's results, and how they lie.
    pub gradient: &'a Source<'a>,
    pub map: &'a Map,
    /// The input, for work that reads it again.
    pub x: Option<Source<'a>>,
    pub extra: Extra<'a>,
    /// Channels of the inputs before this one.
    pub before: usize,
    pub earlier: Option<&'a [f32]>,
    pub first: usize,
    /// How the input lies.
    pub from: &'a Map,
    pub out: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Backward { work, gradient, map, x, extra, before, earlier, first, from, out } = self;
        let mut memory = scratch::take(map.image());
        let mut inputs = scratch::take(from.image());
        for (index, out) in out.chunks_exact_mut(from.image()).enumerate() {
            let index = first + index;
            match earlier {
                Some(earlier) => out.copy_from_slice(&earlier[index * from.image()..][..from.image()]),
                None => out.fill(0.0),
            }
            let values = gradient.image(simd, index, size(map), &mut memory);
            let (gradient, into) = (Image { map, values }, ImageMut { map: from, values: out });
            match &work {
                Work::Depthwise(window) => {
                    depthwise::input_gradient(window, extra.weights, gradient, into);
                }
                Work::MaxPool(window) => {
                    let x = x.as_ref().expect("the gradient of a maximum reads the input again");
                    let values = x.image(simd, index, size(from), &mut inputs);
                    pooling::max_gradient(window, Image { map: from, values }, gradient, into);
                }
                Work::AveragePool(window) => pooling::average_gradient(window, gradient, into),
                Work::GlobalAverage => pooling::global_average_gradient(gradient, into),
                Work::Upsample(factor, method) => {
                    reshape::upsample_gradient(*factor, *method, gradient, into);
                }
                Work::Flatten => reshape::flatten_gradient(gradient, into),
                Work::Concat => reshape::concat_gradient(gradient, before, into),
                // The map comes before the vector.
                Work::AddVector if before > 0 => reshape::vector_gradient(gradient, into.values),
                Work::Dropout(_) => {
                    let mask = &extra.mask[index * map.image()..][..map.image()];
                    let values = into.values.iter_mut().zip(gradient.values).zip(mask);
                    values.for_each(|((into, gradient), mask)| *into += gradient * mask);
                }
                Work::Add | Work::AddVector | Work::Copy => {
                    let values = into.values.iter_mut().zip(gradient.values);
                    values.for_each(|(into, gradient)| *into += gradient);
                }
                Work::Input | Work::Conv(_) | Work::Dense => unreachable!("these have ways of their own"),
            }
        }
    }
}

/// Adds the gradient of a depthwise convolution's packed weights over some images to `sums`.
pub struct DepthwiseWeights<'a> {
    pub window: &'a crate::Window,
    pub gradient: &'a Source<'a>,
    pub map: &'a Map,
    pub x: &'a Source<'a>,
    pub from: &'a Map,
    pub images: std::ops::Range<usize>,
    pub sums: &'a mut [f32],
}

impl WithSimd for DepthwiseWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let DepthwiseWeights { window, gradient, map, x, from, images, sums } = self;
        let mut memory = scratch::take(map.image());
        let mut inputs = scratch::take(from.image());
        for index in images {
            let x = Image { map: from, values: x.image(simd, index, size(from), &mut inputs) };
            let values = gradient.image(simd, index, size(map), &mut memory);
            depthwise::weight_gradient(window, x, Image { map, values }, sums);
        }
    }
}

/// Writes the sum of several gradients of images from `first` on.
pub struct Combine<'a> {
    pub sources: &'a [Source<'a>],
    pub first: usize,
    pub map: &'a Map,
    pub out: &'a mut [f32],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Combine { sources, first, map, out } = self;
        let line = map.row();
        let mut memory = scratch::take(line);
        for (row, out) in out.chunks_exact_mut(line).enumerate() {
            let (image, row) = (first + row / map.height, row % map.height);
            sources[0].row(simd, image, row, size(map), out);
            for source in &sources[1..] {
                let other = source.look(simd, image, row, size(map), &mut memory);
                out.iter_mut().zip(other).for_each(|(out, other)| *out += other);
            }
        }
    }
}
