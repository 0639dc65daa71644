//! The network that a manifest describes: as it trains and is evaluated, and as it serves.
//!
//! A network over tokens is described once ([`super::lstm`], [`super::transformer`], [`super::pretrained`]); training and
//! serving are both made from the description. A bag is its own plan.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use model::manifest::{Architecture, Precision, RecordInput};
use nn::{Graph, GraphBuilder, GraphError, Init, Network, NodeId, Numbers, Params, Pass, SequenceInput};
use nn::{SequenceNetwork, SequencePlan, Shape};

use super::bag::Bag;
use super::encoder::Example;
use super::fields;
use super::lstm::lstm;
use super::pretrained;
use super::transformer::transformer;

/// The network of `architecture` over records of `input`, with one output a label.
///
/// # Errors
/// Sizes that do not fit each other, or weights that do not fit the sizes.
pub fn build(
    architecture: &Architecture,
    input: &RecordInput,
    labels: usize,
    params: &mut Params,
) -> Result<Box<dyn Network<Vec<Example>>>> {
    match architecture {
        Architecture::Bag(config) => Ok(Box::new(Bag::new(config, &input.fields, labels, params)?)),
        other => {
            let graph = describe(other, input, labels)?;
            Ok(Box::new(TokenNetwork(SequenceNetwork::new(graph, params)?)))
        }
    }
}

/// The same network ready to serve.
///
/// # Errors
/// As [`build`].
pub fn plan(
    architecture: &Architecture,
    input: &RecordInput,
    labels: usize,
    params: &mut Params,
) -> Result<Plan> {
    plan_in(architecture, input, labels, params, Precision::F32)
}

/// The same, its dense layers computed in `precision`; a bag is always in single precision.
///
/// # Errors
/// As [`build`].
pub fn plan_in(
    architecture: &Architecture,
    input: &RecordInput,
    labels: usize,
    params: &mut Params,
    precision: Precision,
) -> Result<Plan> {
    match architecture {
        Architecture::Bag(config) => {
            Ok(Plan::Bag(Arc::new(Bag::new(config, &input.fields, labels, params)?)))
        }
        other => {
            let graph = describe(other, input, labels)?;
            let network = SequenceNetwork::new(graph, params)?;
            Ok(Plan::Tokens(Box::new(network.plan_as(numbers(precision))?)))
        }
    }
}

/// What the dense layers of a network over tokens are computed over in a precision.
pub fn numbers(precision: Precision) -> Numbers {
    match precision {
        Precision::F32 => Numbers::Single,
        Precision::Bf16 => Numbers::Halves,
        Precision::Int8 => Numbers::Bytes,
    }
}

/// The description of a network over tokens.
fn describe(architecture: &Architecture, input: &RecordInput, labels: usize) -> Result<Graph> {
    let width = fields::width(&input.fields);
    Ok(match architecture {
        Architecture::Lstm(config) => lstm(config, width, labels)?,
        Architecture::Transformer(config) => transformer(config, input.max_tokens, width, labels)?,
        Architecture::Encoder(config) => pretrained::classifier(config, labels)?,
        other => bail!("the architecture \"{}\" does not read notes", other.as_str()),
    })
}

/// Ends a network over tokens: a dense layer from the pooled note and the fields to the labels. Two
/// labels need one output, whose sigmoid is the probability of the second; more have one each and
/// a softmax.
pub(super) fn head(
    mut g: GraphBuilder,
    pooled: NodeId,
    fields: usize,
    labels: usize,
) -> std::result::Result<Graph, GraphError> {
    let mut x = pooled;
    if fields > 0 {
        let fields = g.input("fields", Shape::vector(fields));
        x = g.concat("joined", &[pooled, fields])?;
    }
    let (inputs, outputs) = (g.shape(x).values(), if labels == 2 { 1 } else { labels });
    let logits = g.dense("head", x, outputs, Init::glorot(inputs, outputs));
    let logits = if labels == 2 { g.binary_logits("logits", logits)? } else { logits };
    g.finish(logits)
}

/// What a network over tokens reads of records.
fn sequences<'a>(batch: &'a [Example]) -> Vec<SequenceInput<'a>> {
    let read = |record: &'a Example| SequenceInput { tokens: &record.tokens.ids, values: &record.fields };
    batch.iter().map(read).collect()
}

/// A network over tokens while it trains.
struct TokenNetwork(SequenceNetwork);

impl Network<Vec<Example>> for TokenNetwork {
    fn logits(&self, batch: &Vec<Example>, pass: &mut Pass) -> Result<Tensor> {
        self.0.forward(&sequences(batch), pass)
    }
}

/// A network ready to serve. A clone shares the weights and has memory of its own.
#[derive(Clone)]
pub enum Plan {
    /// Hashed n-grams; nothing to pack.
    Bag(Arc<Bag>),
    /// A network over tokens.
    Tokens(Box<SequencePlan>),
}

impl Plan {
    /// One row of logits a record, in order.
    ///
    /// # Errors
    /// Records that the network cannot read: no tokens or too many, a token it does not know,
    /// other fields.
    pub fn logits(&mut self, batch: &[Example]) -> Result<Vec<Vec<f32>>> {
        match self {
            Plan::Bag(bag) => bag.rows(batch),
            Plan::Tokens(plan) => plan.logits(&sequences(batch)),
        }
    }
}
