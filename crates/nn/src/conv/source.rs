//! What a convolution reads: values that lie in memory, or that come from them on the way.
//!
//! A normalisation with its rectifier costs little while an image is put between its zeros, and
//! would cost two passes over the batch as a tensor of its own. The same holds for its gradient.

use pulp::{Simd, WithSimd};

use crate::activation::relu;
use crate::graph::Activation;
use crate::map::Map;
use crate::norm::{Means, Norm};

/// The values of a batch. Except for planes, channels come last and are filled up to whole vectors.
pub enum Source<'a> {
    /// (images, channels, rows, columns).
    Planes(&'a [f32]),
    /// (images, rows, columns, channels).
    Places(&'a [f32]),
    /// Values normalised and activated, each on request.
    Applied { values: &'a [f32], norm: Option<&'a Norm>, activation: Option<Activation> },
    /// The gradient of values from the gradient of what their normalisation made of them.
    Gradient { gradient: &'a [f32], values: &'a [f32], norm: &'a Norm, means: &'a Means },
}

impl Source<'_> {
    /// One row of an image, of a batch of (rows, columns, depth) images that is no [`Source::Planes`].
    #[inline(always)]
    pub fn row<S: Simd>(
        &self,
        simd: S,
        image: usize,
        row: usize,
        (height, width, depth): (usize, usize, usize),
        out: &mut [f32],
    ) {
        let line = width * depth;
        let start = (image * height + row) * line;
        let vectors = depth / S::F32_LANES;
        match self {
            Source::Planes(_) => unreachable!("planes have no rows of places"),
            Source::Places(values) => out[..line].copy_from_slice(&values[start..start + line]),
            Source::Applied { values, norm: None, activation } => {
                out[..line].copy_from_slice(&values[start..start + line]);
                if let Some(activation) = activation {
                    activation.apply(simd, &mut out[..line]);
                }
            }
            Source::Applied { values, norm: Some(norm), activation } => {
                let (factor, offset) = (S::as_simd_f32s(&norm.factor).0, S::as_simd_f32s(&norm.offset).0);
                let (factor, offset) = (&factor[..vectors], &offset[..vectors]);
                let rectified = *activation == Some(Activation::Relu);
                let places = S::as_mut_simd_f32s(&mut out[..line]).0.chunks_exact_mut(vectors);
                let inputs = S::as_simd_f32s(&values[start..start + line]).0.chunks_exact(vectors);
                for (out, x) in places.zip(inputs) {
                    for v in 0..vectors {
                        let y = simd.mul_add_e_f32s(x[v], factor[v], offset[v]);
                        out[v] = if rectified { relu(simd, y) } else { y };
                    }
                }
                if let (Some(activation), false) = (activation, rectified) {
                    activation.apply(simd, &mut out[..line]);
                }
            }
            Source::Gradient { gradient, values, norm, means } => {
                let (mean, factor) = (S::as_simd_f32s(&norm.mean).0, S::as_simd_f32s(&norm.factor).0);
                let (plain, weighted) = (S::as_simd_f32s(&means.plain).0, S::as_simd_f32s(&means.weighted).0);
                let (mean, factor) = (&mean[..vectors], &factor[..vectors]);
                let (plain, weighted) = (&plain[..vectors], &weighted[..vectors]);
                let out = S::as_mut_simd_f32s(&mut out[..line]).0.chunks_exact_mut(vectors);
                let inputs = S::as_simd_f32s(&gradient[start..start + line])
                    .0
                    .chunks_exact(vectors)
                    .zip(S::as_simd_f32s(&values[start..start + line]).0.chunks_exact(vectors));
                for (out, (g, x)) in out.zip(inputs) {
                    for v in 0..vectors {
                        let apart = simd.sub_f32s(mean[v], x[v]);
                        let rest = simd.sub_f32s(g[v], plain[v]);
                        out[v] = simd.mul_f32s(factor[v], simd.mul_add_e_f32s(apart, weighted[v], rest));
                    }
                }
            }
        }
    }

    /// The same where it lies, if it does; otherwise in `memory`.
    #[inline(always)]
    pub fn look<'a, S: Simd>(
        &'a self,
        simd: S,
        image: usize,
        row: usize,
        size @ (height, width, depth): (usize, usize, usize),
        memory: &'a mut [f32],
    ) -> &'a [f32] {
        if let Source::Places(values) = self {
            return &values[(image * height + row) * width * depth..][..width * depth];
        }
        self.row(simd, image, row, size, memory);
        memory
    }

    /// All rows of an image, as [`Source::look`] gives one.
    #[inline(always)]
    pub fn image<'a, S: Simd>(
        &'a self,
        simd: S,
        image: usize,
        size @ (height, width, depth): (usize, usize, usize),
        memory: &'a mut [f32],
    ) -> &'a [f32] {
        if let Source::Places(values) = self {
            return &values[image * height * width * depth..][..height * width * depth];
        }
        for (row, line) in memory.chunks_exact_mut(width * depth).enumerate() {
            self.row(simd, image, row, size, line);
        }
        memory
    }

    /// True for channels first.
    pub fn is_planes(&self) -> bool {
        matches!(self, Source::Planes(_))
    }
}

/// Puts an image into the memory of one map, with zeros around it.
pub struct Fill<'a> {
    pub source: &'a Source<'a>,
    pub image: usize,
    pub map: &'a Map,
    pub into: &'a mut [f32],
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Fill { source, image, map, into } = self;
        let Map { height, width, channels, depth, .. } = *map;
        let line = width * depth;
        let place = |y: usize| map.place(y, 0);
        into[..place(0)].fill(0.0);
        for y in 0..height {
            let end = if y + 1 < height { place(y + 1) } else { map.image() };
            let (row, gap) = into[place(y)..end].split_at_mut(line);
            gap.fill(0.0);
            let Source::Planes(values) = source else {
                source.row(simd, image, y, (height, width, depth), row);
                continue;
            };
            if channels != depth {
                row.fill(0.0);
            }
            for channel in 0..channels {
                let plane = &values[((image * channels + channel) * height + y) * width..][..width];
                let places = row[channel..].iter_mut().step_by(depth);
                places.zip(plane).for_each(|(to, from)| *to = *from);
            }
        }
    }
}
