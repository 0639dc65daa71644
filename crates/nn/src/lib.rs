//! Numerical layers on candle: what the networks of `vision` and `text` are built from.
//!
//! Candle brings tensors and gradients. What it lacks for us stands here: random numbers that a
//! seed fixes, parameters that are trainable or frozen by one switch, a convolution that is a
//! matrix product, and a batch normalisation that never divides by zero. A layer is built from
//! [`Params`] and applied under a [`Pass`]; neither knows whether it trains or serves.

#![warn(missing_docs)]

pub mod activation;
mod attention;
pub mod batch_norm;
pub mod conv;
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
pub mod plan;
pub mod pool;
pub mod random;
pub mod relu;
pub mod residual;
mod scratch;
mod segments;
mod sequence;
pub mod simd;
mod window;
pub mod winograd;
mod winograd_gradient;

pub use batch_norm::BatchNorm;
pub use conv::{Conv2d, ConvShape};
pub use filter::Filter;
pub use graph::{
    Activation, Conv, Graph, GraphBuilder, GraphError, Interpolation, Node, NodeId, Op, Parameter, Pooling,
    SequenceOp, Shape,
};
pub use linear::Linear;
pub use params::{Init, Params};
pub use plan::{Plan, Runner};
pub use sequence::{SequenceInput, SequenceNetwork, SequencePlan};
pub use window::Window;

use candle_core::{Result, Tensor};
use rand_chacha::ChaCha8Rng;

/// Whether a network learns or answers.
pub enum Pass<'a> {
    /// Dropout is off, running statistics are used, one thread works.
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
