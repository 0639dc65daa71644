//! Networks over sequences of tokens: what a description becomes while it trains, and while it
//! serves.
//!
//! Training runs the layers as candle operations, whose gradients candle keeps ([`train`]).
//! Serving needs neither a graph nor a tensor for every operation: a plan works on plain values,
//! weights packed once, what follows a product done while its result is in cache, and memory that
//! is kept from batch to batch ([`lower`], [`program`], [`plan`]). Sequences lie one after the other
//! without padding in both, and both are tested to agree.

mod attention;
mod dense;
mod lower;
mod plan;
mod program;
mod recurrence;
mod relative;
mod rows;
#[cfg(test)]
mod tests;
mod train;

use candle_core::{Result, Tensor};

use crate::graph::{Graph, NodeId};
use crate::params::Params;

pub use dense::Numbers;
pub use plan::SequencePlan;

/// One example: a sequence of tokens, and values that belong to all of it.
#[derive(Debug, Clone, Copy)]
pub struct SequenceInput<'a> {
    /// At least one.
    pub tokens: &'a [u32],
    /// As many as the description's input of values has; none where it has no such input.
    pub values: &'a [f32],
}

/// A network over sequences with its weights.
pub struct SequenceNetwork {
    graph: Graph,
    /// Those of each node, in the order of [`Graph::parameters`].
    weights: Vec<Vec<Tensor>>,
}

impl SequenceNetwork {
    /// The network that `graph` describes, with the values of `params`.
    ///
    /// # Errors
    /// Weights that do not fit the description.
    pub fn new(graph: Graph, params: &mut Params) -> Result<SequenceNetwork> {
        let mut weights = Vec::with_capacity(graph.nodes().len());
        for place in 0..graph.nodes().len() {
            let own = graph.parameters(NodeId(place));
            let own = own.into_iter().map(|value| params.get(&value.name, value.shape, value.init));
            weights.push(own.collect::<Result<Vec<Tensor>>>()?);
        }
        Ok(SequenceNetwork { graph, weights })
    }

    /// The network as it serves.
    ///
    /// # Errors
    /// Layers that cannot be served over sequences.
    pub fn plan(&self) -> Result<SequencePlan> {
        self.plan_as(Numbers::Single)
    }

    /// The same, its dense layers over rows computed over `numbers`; all else, and a dense layer whose result is the
    /// network's, is in single precision.
    ///
    /// # Errors
    /// As [`SequenceNetwork::plan`].
    pub fn plan_as(&self, numbers: Numbers) -> Result<SequencePlan> {
        lower::lower(&self.graph, &self.weights, numbers).map(SequencePlan::new)
    }
}
