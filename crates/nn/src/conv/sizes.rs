//! The sizes of one application of a convolution, and how its batch is cut for the cores and caches.

use crate::filter::Filter;
use crate::map::Map;
use crate::simd::round_up;
use crate::window::Window;
use crate::winograd_gradient as tiles;

/// Channels from which on filling them up to whole vectors pays.
const FEW: usize = 8;

/// Tiles of 4 x 4 outputs whose weight gradient is summed in one go.
const BLOCK: usize = 64;

/// Blocks of a part of the batch that has its own sum of the weight gradient.
const BLOCKS: usize = 4;

/// All sizes of one application.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub inputs: usize,
    pub height: usize,
    pub width: usize,
    pub outputs: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub window: Window,
}

impl Sizes {
    /// Of a batch of inputs like `from` and of outputs like `to`.
    pub fn new(batch: usize, from: &Map, to: &Map, window: Window) -> Sizes {
        let (inputs, height, width) = (from.channels, from.height, from.width);
        let (outputs, out_height, out_width) = (to.channels, to.height, to.width);
        Sizes { batch, inputs, height, width, outputs, out_height, out_width, window }
    }

    /// Output positions.
    pub fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// The filter with these weights, and a bias or none.
    pub(super) fn filter(&self, weights: &[f32], bias: Option<&[f32]>) -> Filter {
        Filter {
            weights: weights.to_vec(),
            bias: bias.map_or_else(|| vec![0.0; self.outputs], <[f32]>::to_vec),
            outputs: self.outputs,
            inputs: self.inputs,
            window: self.window,
        }
    }

    /// Layout of the input; few channels are left as they are where the source allows it.
    pub(super) fn input(&self, tight: bool) -> Map {
        let depth = if tight && self.inputs < FEW { self.inputs } else { round_up(self.inputs) };
        Map::new(self.height, self.width, self.inputs, depth)
    }

    /// Layout of the output.
    pub(super) fn output(&self) -> Map {
        Map::new(self.out_height, self.out_width, self.outputs, round_up(self.outputs))
    }

    /// Images whose weight gradient is summed in one go.
    pub(super) fn block(&self) -> usize {
        BLOCK.div_ceil(tiles::count(&self.output())).next_power_of_two().min(self.batch.next_power_of_two())
    }

    /// Images that a core works on at a time.
    pub fn chunk(&self) -> usize {
        self.block().div_ceil(2)
    }

    /// Images that have their own sum of the weight gradient.
    pub(super) fn part(&self) -> usize {
        BLOCKS * self.block()
    }
}
