//! The sum that is the gradient of a convolution's weights, on its way over the images.
//!
//! A 3 x 3 kernel of stride 1 goes Winograd's way; for any other the gradient is the sum over all
//! output positions of the values under the kernel times the position's gradient, read where they lie.

use rayon::prelude::*;

use super::Sizes;
use crate::direct;
use crate::map::Map;
use crate::outer::Outer;
use crate::packed::Rows;
use crate::scratch::{self, PooledVec};
use crate::simd::dispatch;
use crate::winograd::{POINTS, Winograd};
use crate::winograd_gradient::{self as tiles, Transform};

/// Tiles of a piece that are transformed together.
const TILES: usize = 64;

/// Rows of the sum that a core works on at a time.
const ROWS: usize = 32;

/// How the sum is made, for maps of given layouts.
pub struct Weights {
    sizes: Sizes,
    from: Map,
    to: Map,
    way: Way,
    /// From where to where, for the tiles of a step or the positions of a piece.
    places: Vec<(u32, u32)>,
}

enum Way {
    Winograd,
    Direct { taps: Vec<usize>, length: usize },
}

/// The images that a core works on at a time, between their zeros, and room for their tiles.
pub struct Piece {
    pub x: PooledVec,
    pub gradient: PooledVec,
    pub images: usize,
    tiles: (PooledVec, PooledVec),
}

impl Weights {
    /// True where the sum goes Winograd's way.
    fn winograd(sizes: &Sizes, from: &Map) -> bool {
        Winograd::suits(&sizes.filter(&[], None), from)
    }

    /// Widens the zeros around the gradient's maps as the sum needs them.
    pub fn make_room(sizes: &Sizes, from: &Map, to: &mut Map) {
        if Weights::winograd(sizes, from) {
            tiles::make_room(to);
        }
    }

    /// For inputs like `from` and gradients of the outputs like `to`.
    pub fn new(sizes: &Sizes, from: &Map, to: &Map) -> Weights {
        let (way, places) = if Weights::winograd(sizes, from) {
            (
                Way::Winograd,
                (0..TILES).map(|tile| ((tile * from.depth) as u32, (tile * to.depth) as u32)).collect(),
            )
        } else {
            let filter = sizes.filter(&[], None);
            let (taps, length) = direct::taps(&filter, from);
            (Way::Direct { taps, length }, direct::places(&filter, from, to, sizes.chunk()))
        };
        Weights { sizes: *sizes, from: from.clone(), to: to.clone(), way, places }
    }

    /// Memory for `images`.
    pub fn piece(&self, images: usize) -> Piece {
        let tiles = match &self.way {
            Way::Winograd => TILES.min(images * tiles::count(&self.to)),
            Way::Direct { .. } => 0,
        };
        Piece {
            x: scratch::take(images * self.from.image()),
            gradient: scratch::take(images * self.to.image()),
            images,
            tiles: (
                scratch::take(POINTS * tiles * self.from.depth),
                scratch::take(POINTS * tiles * self.to.depth),
            ),
        }
    }

    /// Floats of a sum.
    pub fn size(&self) -> usize {
        let rows = match &self.way {
            Way::Winograd => POINTS * self.from.depth,
            Way::Direct { taps, length } => taps.len() * length,
        };
        rows * self.to.depth
    }

    /// Adds the images of all pieces to a sum.
    pub fn add(&self, pieces: &mut [Piece], sums: &mut [f32]) {
        match &self.way {
            Way::Winograd => self.add_tiles(pieces, sums),
            Way::Direct { taps, length } => {
                sums.par_chunks_mut(ROWS * self.to.depth).enumerate().for_each(|(index, sums)| {
                    let rows = sums.len() / self.to.depth;
                    for piece in &*pieces {
                        dispatch(Outer {
                            left: Rows { values: &piece.x, taps, length: *length },
                            range: index * ROWS..index * ROWS + rows,
                            right: &piece.gradient,
                            columns: self.to.depth,
                            places: &self.places[..piece.images * self.sizes.positions()],
                            base: (0, 0),
                            sums,
                        });
                    }
                });
            }
        }
    }

    fn add_tiles(&self, pieces: &mut [Piece], sums: &mut [f32]) {
        let (depth, width) = (self.from.depth, self.to.depth);
        let each = tiles::count(&self.to);
        let most = pieces.iter().map(|piece| piece.images * each).max().unwrap_or(0);
        for first in (0..most).step_by(TILES) {
            let step = |piece: &Piece| first..(first + TILES).min(piece.images * each).max(first);
            pieces.par_iter_mut().for_each(|piece| {
                let tiles = step(piece);
                let Piece { x, gradient, tiles: (inputs, outputs), .. } = piece;
                let (from, to, padding) = (&self.from, &self.to, self.sizes.window.padding);
                dispatch(Transform { from, to, padding, tiles, x, gradient, inputs, outputs });
            });
            sums.par_chunks_mut(depth * width).with_min_len(4).enumerate().for_each(|(point, sums)| {
                for piece in &*pieces {
                    let count = step(piece).len();
                    dispatch(Outer {
                        left: Rows { values: &piece.tiles.0, taps: &[0], length: depth },
                        range: 0..depth,
                        right: &piece.tiles.1,
                        columns: width,
                        places: &self.places[..count],
                        base: (point * count * depth, point * count * width),
                        sums,
                    });
                }
            });
        }
    }

    /// The gradient of the weights, (outputs, inputs, kernel, kernel).
    pub fn finish(&self, sums: &[f32]) -> Vec<f32> {
        let Sizes { inputs, outputs, window, .. } = self.sizes;
        if let Way::Winograd = self.way {
            return tiles::finish(sums, (inputs, self.from.depth), (outputs, self.to.depth));
        }
        let taps = window.taps();
        let mut out = vec![0.0; outputs * inputs * taps];
        for (row, values) in sums.chunks_exact(self.to.depth).enumerate() {
            let (tap, input) = (row / self.from.depth, row % self.from.depth);
            if input < inputs {
                let places = out[input * taps + tap..].iter_mut().step_by(inputs * taps);
                places.zip(values).for_each(|(to, from)| *to = *from);
            }
        }
        out
    }
}
