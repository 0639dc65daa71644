//! The layers of a network over sequences as candle operations, which keep what gradients need.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::{SequenceInput, SequenceNetwork};
use crate::Pass;
use crate::attention::{attention, attention_pool, layer_norm, relative_attention, rotary};
use crate::dropout::dropout;
use crate::graph::{Activation, Node, Op, Pooling, SequenceOp, Shape};
use crate::lstm::lstm;
use crate::segments;

/// The tokens of all sequences of a batch, one after the other, and what belongs to the sequences.
struct Batch {
    ids: Tensor,
    lengths: Vec<usize>,
    /// (sequences, values), where the description has such an input.
    values: Option<Tensor>,
}

impl Batch {
    fn new(sequences: &[SequenceInput], width: Option<usize>) -> Result<Batch> {
        if sequences.is_empty() {
            bail!("a batch of no sequences")
        }
        let expected = width.unwrap_or(0);
        if let Some(odd) = sequences.iter().find(|sequence| sequence.values.len() != expected) {
            bail!("a sequence with {} values, where {expected} are read", odd.values.len())
        }
        let ids: Vec<u32> = sequences.iter().flat_map(|sequence| sequence.tokens).copied().collect();
        let values: Vec<f32> = sequences.iter().flat_map(|sequence| sequence.values).copied().collect();
        let values = width.map(|width| Tensor::from_vec(values, (sequences.len(), width), &Device::Cpu));
        Ok(Batch {
            ids: Tensor::from_slice(&ids, ids.len(), &Device::Cpu)?,
            lengths: sequences.iter().map(|sequence| sequence.tokens.len()).collect(),
            values: values.transpose()?,
        })
    }
}

impl SequenceNetwork {
    /// The result of every sequence, (sequences, values), or of every token, (tokens of all sequences, values), as a
    /// tensor that gradients flow back from.
    ///
    /// # Errors
    /// Sequences that the network cannot read: no tokens or too many, a token it does not know,
    /// other values; a layer that is not one of networks over sequences.
    pub fn forward(&self, sequences: &[SequenceInput], pass: &mut Pass) -> Result<Tensor> {
        let widths = self.graph.nodes().iter().filter(|node| node.op == Op::Input);
        let width = widths.map(|node| node.shape).find_map(|shape| shape.vector_width());
        let batch = Batch::new(sequences, width)?;
        let mut results: Vec<Tensor> = Vec::with_capacity(self.graph.nodes().len());
        for (node, weights) in self.graph.nodes().iter().zip(&self.weights) {
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|input| &results[input.0]).collect();
            results.push(apply(node, weights, &inputs, &batch, pass)?);
        }
        Ok(results.swap_remove(self.graph.output().0))
    }
}

/// The result of one layer over a batch: (tokens of all sequences, width) for rows, (sequences,
/// width) for vectors.
fn apply(
    node: &Node,
    weights: &[Tensor],
    inputs: &[&Tensor],
    batch: &Batch,
    pass: &mut Pass,
) -> Result<Tensor> {
    let lengths = &batch.lengths;
    Ok(match (&node.op, inputs, weights) {
        (Op::Input, ..) => match (node.shape, &batch.values) {
            (Shape::Tokens, _) => batch.ids.clone(),
            (_, Some(values)) => values.clone(),
            (shape, None) => bail!("{}: an input of {shape} is not one of sequences", node.name),
        },
        (Op::Dense { .. }, [x], [weight, bias]) => x.matmul(&weight.t()?)?.broadcast_add(bias)?,
        (Op::Activation(Activation::Gelu), [x], _) => x.gelu_erf()?,
        (Op::Activation(Activation::Relu), [x], _) => x.relu()?,
        (Op::Activation(Activation::Tanh), [x], _) => x.tanh()?,
        (Op::Add, [x, y], _) => (*x + *y)?,
        (Op::Concat, parts, _) => Tensor::cat(parts, 1)?,
        (Op::Dropout(rate), [x], _) => dropout(x, *rate, pass)?,
        (Op::Sequence(op), [x, ..], weights) => match (op, weights) {
            (SequenceOp::Embedding { token_dropout, .. }, [table]) => {
                let rows = table.index_select(x, 0)?;
                match pass.is_training() && *token_dropout > 0.0 {
                    true => {
                        let ones = Tensor::ones((rows.dim(0)?, 1), DType::F32, &Device::Cpu)?;
                        rows.broadcast_mul(&dropout(&ones, *token_dropout, pass)?)?
                    }
                    false => rows,
                }
            }
            (SequenceOp::Positions { most }, [table]) => {
                if let Some(length) = lengths.iter().find(|length| *length > most) {
                    bail!("a sequence of {length} tokens, where 1 to {most} are read")
                }
                let places: Vec<u32> = lengths.iter().flat_map(|length| 0..*length as u32).collect();
                let places = Tensor::from_slice(&places, places.len(), &Device::Cpu)?;
                (*x + table.index_select(&places, 0)?)?
            }
            (SequenceOp::LayerNorm, [weight, bias]) => layer_norm(x, weight, bias)?,
            (SequenceOp::Attention { heads, reach }, _) => attention(x, *heads, *reach, lengths)?,
            (SequenceOp::RelativeAttention { heads, places }, tables) => {
                relative_attention(x, *heads, *places, tables, lengths)?
            }
            (SequenceOp::Rotary { heads, base }, _) => rotary(x, *heads, *base, lengths)?,
            (SequenceOp::GatedGelu, _) => {
                let half = x.dim(1)? / 2;
                (x.narrow(1, 0, half)?.gelu_erf()? * x.narrow(1, half, half)?)?
            }
            (SequenceOp::Lstm { hidden, reverse, recurrent_dropout }, [weight, bias, recurrent]) => {
                let mask = match pass.is_training() && *recurrent_dropout > 0.0 {
                    true => {
                        let ones = Tensor::ones((lengths.len(), *hidden), DType::F32, &Device::Cpu)?;
                        Some(dropout(&ones, *recurrent_dropout, pass)?.flatten_all()?.to_vec1()?)
                    }
                    false => None,
                };
                let gates = x.matmul(&weight.t()?)?.broadcast_add(bias)?;
                lstm(&gates, recurrent, lengths, *reverse, mask, pass.is_training())?
            }
            (SequenceOp::Pool(Pooling::Mean), _) => segments::mean(x, lengths)?,
            (SequenceOp::Pool(Pooling::Max), _) => segments::max(x, lengths)?,
            (SequenceOp::Pool(Pooling::First), _) => {
                let starts = lengths.iter().scan(0, |start, length| {
                    let own = *start;
                    *start += *length as u32;
                    Some(own)
                });
                let starts: Vec<u32> = starts.collect();
                x.index_select(&Tensor::from_slice(&starts, starts.len(), &Device::Cpu)?, 0)?
            }
            (SequenceOp::Pool(Pooling::Attention), [weight, bias]) => {
                attention_pool(x, weight, bias, lengths)?
            }
            (SequenceOp::BinaryLogits, _) => Tensor::cat(&[&x.zeros_like()?, *x], 1)?,
            _ => bail!("{}: weights are missing", node.name),
        },
        _ => bail!("{}: this layer cannot be trained in a network over sequences", node.name),
    })
}
