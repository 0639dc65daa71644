//! A convolution as it is served: weights with everything folded in that does not depend on the
//! input, and the kernel that suits its shape.

use super::activation::Clip;
use super::direct::{self, Direct};
use super::map::Map;
use super::simd::dispatch;
use super::window::Window;
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
    /// What lies under the kernel; padding is zeros.
    pub window: Window,
}

impl Filter {
    /// The weight at place `tap` of the kernel, counted row after row.
    pub fn weight(&self, output: usize, input: usize, tap: usize) -> f32 {
        self.weights[(output * self.inputs + input) * self.window.taps() + tap]
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
}

/// One application to a batch of maps.
pub struct ConvArgs<'a> {
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
    /// What the outputs are kept within.
    pub clip: Clip,
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
        direct::make_room(filter, from, to);
        if Winograd::suits(filter, from) {
            let padding = filter.window.padding;
            let whole_tiles = |side: usize, padding: usize| side.next_multiple_of(TILE) + 2 - padding.min(2);
            let (bottom, right) = (whole_tiles(to.height, padding.0), whole_tiles(to.width, padding.1));
            from.make_room(0, bottom, right);
        }
    }

    /// Packs `filter`; `exact` asks for no other sums than those of the definition.
    pub fn new(filter: &Filter, from: &Map, to: &Map, exact: bool) -> Kernel {
        match Kernel::is_winograd(filter, from, to, exact) {
            true => Kernel::Winograd(Winograd::new(filter)),
            false => Kernel::Direct(Direct::new(filter, from, to)),
        }
    }

    /// Which of them [`Kernel::new`] chooses.
    pub fn is_winograd(filter: &Filter, from: &Map, to: &Map, exact: bool) -> bool {
        !exact && Winograd::suits(filter, from) && Winograd::pays(filter, to)
    }

    /// Floats it works in.
    pub fn scratch(&self) -> usize {
        match self {
            Kernel::Direct(_) => 0,
            Kernel::Winograd(kernel) => kernel.scratch(),
        }
    }

    /// Convolves a batch of maps.
    pub fn run(&self, args: ConvArgs) {
        match self {
            Kernel::Direct(kernel) => dispatch(direct::Run(kernel, args)),
            Kernel::Winograd(kernel) => dispatch(winograd::Run(kernel, args)),
        }
    }
}
