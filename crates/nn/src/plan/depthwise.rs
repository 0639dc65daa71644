//! A depthwise convolution as it is served: in bands of rows, and where nothing else reads its input, together with the
//! convolution that makes this.
//!
//! What lies between the two is the widest map of the networks that have them, several times the second cache. A few rows
//! of it at a time are made and read while they are near, and the rest of it is never anywhere. The results leave as
//! what their readers want: numbers, numbers of half the length or bytes.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Place;
use super::formats::Format;
use crate::activation::Clip;
use crate::bytes::{self, ByteFilter};
use crate::depthwise::{Band, Weights, forward};
use crate::direct::{Direct, RunRows};
use crate::map::{Image, ImageMut, Map};
use crate::simd::dispatch;
use crate::window::Window;

/// Floats of the rows that are made at a time: a quarter of the second cache.
const NEAR: usize = 64 << 10;

/// Kernels, biases, and what makes the input.
#[derive(Debug, Clone)]
pub struct Depthwise {
    pub window: Window,
    /// Packed, as deep as the maps.
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
    pub clip: Clip,
    /// The convolution whose results it reads, where nothing else does.
    pub before: Option<Before>,
}

/// A convolution whose results are made a few rows at a time.
#[derive(Debug, Clone)]
pub struct Before {
    /// Of the layer.
    pub name: String,
    pub kernel: Maker,
    /// All of its results.
    pub map: Map,
}

/// How they are computed.
#[derive(Debug, Clone)]
pub enum Maker {
    /// In single precision.
    Direct(Direct, Clip),
    /// Over bytes or numbers of half the length.
    Bytes(ByteFilter),
}

impl Depthwise {
    /// True where making a map of this size a few rows at a time saves more than it costs.
    pub fn pays(map: &Map) -> bool {
        map.image() > NEAR
    }

    /// Rows of results that are made from rows that lie near, of what is made before them.
    fn band(&self, map: &Map) -> usize {
        let reach = self.window.reach(self.window.kernel.0);
        (NEAR / map.row().max(1)).saturating_sub(reach) / self.window.stride + 1
    }

    /// Rows of the input that a band reads.
    fn reads(&self, map: &Map) -> usize {
        let reach = self.window.reach(self.window.kernel.0);
        ((self.band(map) - 1) * self.window.stride + reach).min(map.height)
    }

    /// Floats that it works in to write results like `to`.
    pub fn scratch(&self, to: &Map) -> usize {
        let rows = self.before.as_ref().map_or(0, |before| self.reads(&before.map) * before.map.row());
        rows + to.width * to.depth
    }

    /// Convolves a batch of maps.
    pub fn run(
        &self,
        (from, x): (&Place, &[f32]),
        (to, out): (&Place, &mut [f32]),
        images: usize,
        scratch: &mut [f32],
    ) {
        let (line, near) = scratch.split_at_mut(to.map.width * to.map.depth);
        for image in 0..images {
            let first = image * from.map.image();
            let Some(before) = &self.before else {
                let values = &x[first..first + from.map.image()];
                let x = Image { map: &from.map, values }.into();
                dispatch(Rows { layer: self, x, rows: 0..to.map.height, to, image, line, out });
                continue;
            };
            // Which rows lie in the memory near, from its beginning on.
            let mut held = 0..0;
            let (map, band) = (&before.map, self.band(&before.map));
            let step = map.row();
            for first_row in (0..to.map.height).step_by(band) {
                let rows = first_row..(first_row + band).min(to.map.height);
                let read = self.window.rows(rows.clone(), map.height);
                // Those that the band before it read as well are kept.
                let kept = read.start.clamp(held.start, held.end) - held.start;
                near.copy_within(kept * step..held.len() * step, 0);
                let missing = held.end.max(read.start)..read.end;
                held = read;
                let into = (missing.start - held.start) * step..held.len() * step;
                before.make((x, first), missing, &mut near[into]);
                let values = &near[..held.len() * step];
                let x = Band { image: Image { map, values }, above: held.start, height: map.height };
                dispatch(Rows { layer: self, x, rows, to, image, line, out });
            }
        }
    }
}

impl Before {
    /// Writes some rows of the results of the map at `first` of `x`.
    fn make(&self, (x, first): (&[f32], usize), rows: Range<usize>, out: &mut [f32]) {
        match &self.kernel {
            Maker::Direct(kernel, clip) => {
                dispatch(RunRows { kernel, x, first, to: &self.map, rows, clip: *clip, out });
            }
            Maker::Bytes(filter) => filter.rows((bytemuck::cast_slice(x), first), &self.map, rows, out),
        }
    }
}

/// Rows of results.
struct Rows<'a> {
    layer: &'a Depthwise,
    x: Band<'a>,
    rows: Range<usize>,
    to: &'a Place,
    image: usize,
    /// Memory for a row of them.
    line: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Rows { layer, x, rows, to: Place { map, format, .. }, image, line, out } = self;
        let Depthwise { window, weights, bias, clip, .. } = layer;
        let filter = Weights { window, weights, bias, clip: *clip };
        let alone = Map::new(1, map.width, map.channels, map.depth);
        for row in rows {
            // Where the first row of a map would begin, what is around it included, this row's begins further on.
            let start = image * map.image() + row * map.row();
            let result = match format {
                Format::Floats => ImageMut { map, values: &mut out[start..] },
                Format::Bytes(_) | Format::Halves => ImageMut { map: &alone, values: &mut *line },
            };
            forward(simd, filter, x, row..row + 1, result);
            let place = image * map.image() + map.place(row, 0);
            match *format {
                Format::Floats => {}
                Format::Bytes(levels) => {
                    bytes::quantise(&alone, levels, line, &mut bytemuck::cast_slice_mut(out)[place..]);
                }
                Format::Halves => {
                    bytes::halve(&alone, line, &mut bytemuck::cast_slice_mut(out)[place..]);
                }
            }
        }
    }
}
