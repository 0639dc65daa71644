//! The sizes of one application of a convolution, and how its batch is cut for the cores and caches.

use candle_core::{Result, bail};

use crate::filter::{Filter, output_side};
use crate::map::Map;
use crate::simd::round_up;
use crate::winograd_gradient as tiles;

/// A convolution's sizes, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Zeros on each side of the input.
    pub padding: usize,
    /// Step between the values under the kernel.
    pub dilation: usize,
    /// Parts that the channels fall into, each convolved by itself.
    pub groups: usize,
}

impl ConvShape {
    /// A convolution over all channels whose kernel has no gaps.
    pub fn new(kernel: usize, stride: usize, padding: usize) -> ConvShape {
        ConvShape { kernel, stride, padding, dilation: 1, groups: 1 }
    }
}

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
    pub conv: ConvShape,
}

impl Sizes {
    /// Of an input (batch, channels, height, width) and weights (outputs, inputs, kernel, kernel).
    ///
    /// # Errors
    /// Shapes that do not fit each other.
    pub fn new(x: (usize, usize, usize, usize), weight: &[usize], conv: ConvShape) -> Result<Sizes> {
        let (batch, inputs, height, width) = x;
        let &[outputs, weight_inputs, kernel_height, kernel_width] = weight else {
            bail!("weights of a convolution have four dimensions")
        };
        if weight_inputs != inputs || kernel_height != conv.kernel || kernel_width != conv.kernel {
            bail!("weights of {weight:?} do not fit an input of {x:?}")
        }
        let side = |length| output_side(length, conv.kernel, conv.stride, conv.padding, conv.dilation);
        let (out_height, out_width) = (side(height)?, side(width)?);
        Ok(Sizes { batch, inputs, height, width, outputs, out_height, out_width, conv })
    }

    /// Values of one image of the input.
    pub fn image(&self) -> usize {
        self.inputs * self.height * self.width
    }

    /// Output positions.
    pub fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// True where there is nothing to sum or nowhere to put it.
    pub fn is_empty(&self) -> bool {
        self.batch * self.image() * self.outputs == 0
    }

    /// The filter with these weights.
    pub(super) fn filter(&self, weights: &[f32]) -> Filter {
        let ConvShape { kernel, stride, padding, dilation, .. } = self.conv;
        Filter {
            weights: weights.to_vec(),
            bias: vec![0.0; self.outputs],
            outputs: self.outputs,
            inputs: self.inputs,
            kernel: (kernel, kernel),
            stride,
            padding,
            dilation,
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
