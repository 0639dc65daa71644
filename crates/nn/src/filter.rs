//! A convolution as it is served: weights with everything folded in that does not depend on the
//! input, and the kernel that suits its shape.

use candle_core::{Result, bail};

use super::direct::{self, Direct};
use super::map::Map;
use super::simd::dispatch;
use super::winograd::{self, TILE, Winograd};

/// Weights and biases, as plain numbers. A dense layer is one whose kernel covers its whole input.
#[derive(Debug, Clone)]
pub struct Filter {
    /// (outputs, inputs, rows, columns).
    pub weights: Vec<f32>,
    /// One an output.
    pub bias: Vec<f32>,
    /// Output channels.
    pub outputs: usize,
    /// Input channels.
    pub inputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: (usize, usize),
    /// Step between output positions.
    pub stride: usize,
    /// Zeros on each side of the input.
    pub padding: usize,
    /// Step between the values under the kernel.
    pub dilation: usize,
}

impl Filter {
    /// The weight at place `tap` of the kernel, counted row after row.
    pub fn weight(&self, output: usize, input: usize, tap: usize) -> f32 {
        let taps = self.kernel.0 * self.kernel.1;
        self.weights[(output * self.inputs + input) * taps + tap]
    }

    /// Scales and shifts every output: what follows a convolution and is linear.
    pub fn then(mut self, scale: &[f32], shift: &[f32]) -> Filter {
        let each = self.weights.len() / self.outputs.max(1);
        for (output, weights) in self.weights.chunks_exact_mut(each.max(1)).enumerate() {
            weights.iter_mut().for_each(|weight| *weight *= scale[output]);
            self.bias[output] = self.bias[output] * scale[output] + shift[output];
        }
        self
    }

    /// Rows and columns of the output over `height` x `width`.
    ///
    /// # Errors
    /// An input smaller than the kernel; a kernel, a stride or a dilation of 0.
    pub fn output(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        let side = |length: usize, kernel: usize| {
            output_side(length, kernel, self.stride, self.padding, self.dilation)
        };
        Ok((side(height, self.kernel.0)?, side(width, self.kernel.1)?))
    }
}

/// Output positions along a side of `length` values.
///
/// # Errors
/// As [`Filter::output`].
pub fn output_side(
    length: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Result<usize> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        bail!("a convolution needs a kernel, a stride and a dilation of at least 1")
    }
    let (reach, length) = ((kernel - 1) * dilation + 1, length + 2 * padding);
    match length.checked_sub(reach) {
        Some(room) => Ok(room / stride + 1),
        None => bail!("a kernel that reaches over {reach} values does not fit an input of {length}"),
    }
}

/// One application to a batch of maps.
pub struct Job<'a> {
    /// Layout of `x`.
    pub from: &'a Map,
    /// Layout of `out` and `residual`.
    pub to: &'a Map,
    /// Maps of the batch.
    pub images: usize,
    /// Inputs.
    pub x: &'a [f32],
    /// Added to the outputs.
    pub residual: Option<&'a [f32]>,
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// Outputs; what surrounds the maps is left alone.
    pub out: &'a mut [f32],
    /// Memory to work in, at least [`Kernel::scratch`].
    pub scratch: &'a mut [f32],
}

/// A filter packed for the way it is computed.
#[derive(Debug, Clone)]
pub enum Kernel {
    /// As a product.
    Direct(Direct),
    /// In fewer multiplications.
    Winograd(Winograd),
}

impl Kernel {
    /// Makes the zeros around `from` wide enough for whatever kernel is chosen.
    pub fn make_room(filter: &Filter, from: &mut Map, to: &Map) {
        let Filter { kernel, stride, padding, dilation, .. } = *filter;
        let (mut bottom, mut right) = (
            ((to.height - 1) * stride + (kernel.0 - 1) * dilation + 1).saturating_sub(padding),
            ((to.width - 1) * stride + (kernel.1 - 1) * dilation + 1).saturating_sub(padding),
        );
        if Winograd::suits(filter, from) {
            let whole_tiles = |side: usize| side.next_multiple_of(TILE) + 2 - padding.min(2);
            bottom = bottom.max(whole_tiles(to.height));
            right = right.max(whole_tiles(to.width));
        }
        from.make_room(padding, bottom, right);
    }

    /// Packs `filter`; `exact` asks for no other sums than those of the definition.
    pub fn new(filter: &Filter, from: &Map, to: &Map, exact: bool) -> Kernel {
        match !exact && Winograd::suits(filter, from) {
            true => Kernel::Winograd(Winograd::new(filter)),
            false => Kernel::Direct(Direct::new(filter, from, to)),
        }
    }

    /// Floats it works in.
    pub fn scratch(&self) -> usize {
        match self {
            Kernel::Direct(_) => 0,
            Kernel::Winograd(kernel) => kernel.scratch(),
        }
    }

    /// Convolves the maps of a job.
    pub fn run(&self, job: Job) {
        match self {
            Kernel::Direct(kernel) => dispatch(direct::Run(kernel, job)),
            Kernel::Winograd(kernel) => dispatch(winograd::Run(kernel, job)),
        }
    }
}
