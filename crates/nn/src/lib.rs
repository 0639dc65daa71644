//! Numerical layers: what the networks of `vision` and `text` are built from.
//!
//! A network over images is described once, layer by layer ([`GraphBuilder`]). From the description
//! come the step of training ([`ImageNetwork`]) and the serving plan ([`Plan`]), over kernels of our
//! own. Candle brings tensors, and the gradients of losses and of networks over notes. What it lacks
//! for those stands here, too: random numbers that a seed fixes, and parameters that are trainable or
//! frozen by one switch. Their layers are built from [`Params`] and applied under a [`Pass`].

#![warn(missing_docs)]

pub mod activation;
mod attention;
mod bytes;
pub mod coded_rows;
mod conv;
mod depthwise;
#[cfg(test)]
mod differences;
mod direct;
pub mod dropout;
pub mod filter;
mod graph;
pub mod linear;
mod lstm;
pub mod map;
pub mod matrix;
mod norm;
mod outer;
mod packed;
pub mod params;
mod plan;
mod pooling;
pub mod random;
#[cfg(test)]
mod reference;
mod reshape;
mod scratch;
mod segments;
mod sequence;
pub mod simd;
mod step;
pub mod tensors;
mod tokens;
mod window;
pub mod winograd;
mod winograd_gradient;

pub use bytes::{has_fast_halves, is_native as has_byte_instructions};
pub use filter::Filter;
pub use graph::{
    Activation, Conv, Graph, GraphBuilder, GraphError, Interpolation, Node, NodeId, Op, Parameter, Pooling,
    RelativePlaces, SequenceOp, Shape,
};
pub use linear::Linear;
pub use params::{Init, Params};
pub use plan::{Calibration, Clipping, Numerics, Plan, Range, Ranges, Runner};
pub use sequence::{Numbers, SequenceInput, SequenceNetwork, SequencePlan};
pub use step::ImageNetwork;
pub use window::Window;

use candle_core::{Result, Tensor};
use rand_chacha::ChaCha8Rng;

/// Whether a network learns or answers.
pub enum Pass<'a> {
    /// Dropout is off and running statistics are used.
    Inference,
    /// Dropout is on, batch statistics are used, every core works.
    Training(&'a mut ChaCha8Rng),
}

impl Pass<'_> {
    /// True while training.
    pub fn is_training(&self) -> bool {
        matches!(self, Pass::Training(_))
    }
}

/// A network that turns a batch into logits, one row an example, one column a label.
pub trait Network<B>: Send {
    /// Logits of shape (examples, labels).
    fn logits(&self, batch: &B, pass: &mut Pass) -> Result<Tensor>;
}
