//! A layer of a pre-norm encoder (Vaswani et al. 2017; Xiong et al. 2020): layer normalisation
//! before attention and before the feed-forward part, each with a way around it.
//!
//! Everything but attention itself works on the rows of all sequences at once. Attention is done
//! sequence by sequence over its own rows: there is no padding, so none has to be masked, and a
//! short note beside a long one costs nothing.

use candle_core::{D, DType, Result, Tensor};

use super::dropout::dropout;
use super::params::{Init, Params};
use super::serve::dense::LayerNormWeights;
use super::serve::encoder::{Layer, Parts, Pool};
use super::{Linear, Pass};

/// Added to the variance before the root.
const EPSILON: f64 = 1e-5;

/// Normalisation of every row to mean 0 and variance 1, then a scale and a shift a column.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// A layer named `name` over `width` columns.
    pub fn new(params: &mut Params, name: &str, width: usize) -> Result<LayerNorm> {
        Ok(LayerNorm {
            weight: params.get(&format!("{name}.weight"), width, Init::Constant(1.0))?,
            bias: params.get(&format!("{name}.bias"), width, Init::Constant(0.0))?,
        })
    }

    /// (rows, width) to the same.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
        normal.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }

    fn norm(&self) -> Result<LayerNormWeights> {
        Ok(LayerNormWeights { weight: self.weight.to_vec1()?, bias: self.bias.to_vec1()? })
    }
}

/// One layer. See the module's introduction.
#[derive(Debug, Clone)]
pub struct EncoderLayer {
    heads: usize,
    attention_norm: LayerNorm,
    queries_keys_values: Linear,
    output: Linear,
    feed_forward_norm: LayerNorm,
    expand: Linear,
    contract: Linear,
    dropout: f32,
}

impl EncoderLayer {
    /// A layer named `name`; `heads` divides `width`.
    pub fn new(
        params: &mut Params,
        name: &str,
        width: usize,
        heads: usize,
        feed_forward: usize,
        rate: f32,
    ) -> Result<EncoderLayer> {
        let mut linear = |part: &str, inputs, outputs| {
            Linear::new(params, &format!("{name}.{part}"), inputs, outputs, Init::glorot(inputs, outputs))
        };
        let queries_keys_values = linear("queries_keys_values", width, 3 * width)?;
        let output = linear("output", width, width)?;
        let expand = linear("expand", width, feed_forward)?;
        let contract = linear("contract", feed_forward, width)?;
        Ok(EncoderLayer {
            heads,
            attention_norm: LayerNorm::new(params, &format!("{name}.attention_norm"), width)?,
            queries_keys_values,
            output,
            feed_forward_norm: LayerNorm::new(params, &format!("{name}.feed_forward_norm"), width)?,
            expand,
            contract,
            dropout: rate,
        })
    }

    /// (rows of all sequences, width) to the same.
    pub fn forward(&self, x: &Tensor, lengths: &[usize], pass: &mut Pass) -> Result<Tensor> {
        let attended = self.attend(&self.attention_norm.forward(x)?, lengths)?;
        let x = (x + dropout(&self.output.forward(&attended)?, self.dropout, pass)?)?;
        let inner = self.expand.forward(&self.feed_forward_norm.forward(&x)?)?.gelu_erf()?;
        let inner = dropout(&inner, self.dropout, pass)?;
        &x + dropout(&self.contract.forward(&inner)?, self.dropout, pass)?
    }

    /// The layer as it serves.
    pub fn serve(&self) -> Result<Layer> {
        Ok(Layer::new(Parts {
            heads: self.heads,
            attention_norm: self.attention_norm.norm()?,
            queries_keys_values: self.queries_keys_values.dense()?,
            output: self.output.dense()?,
            feed_forward_norm: self.feed_forward_norm.norm()?,
            expand: self.expand.dense()?,
            contract: self.contract.dense()?,
        }))
    }

    fn attend(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (_, width) = x.dims2()?;
        let head = width / self.heads;
        let all = self.queries_keys_values.forward(x)?;
        let mut start = 0;
        let mut parts = Vec::with_capacity(lengths.len());
        for &length in lengths {
            // (length, 3, heads, head) to three of (heads, length, head).
            let own = all.narrow(0, start, length)?.reshape((length, 3, self.heads, head))?;
            let part = |which: usize| own.narrow(1, which, 1)?.squeeze(1)?.transpose(0, 1)?.contiguous();
            let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
            let scores = (queries.matmul(&keys.t()?)? / (head as f64).sqrt())?;
            let mixed = softmax(&scores)?.matmul(&values)?;
            parts.push(mixed.transpose(0, 1)?.contiguous()?.reshape((length, width))?);
            start += length;
        }
        Tensor::cat(&parts, 0)
    }
}

/// Pooling by attention: every row has a score, and a sequence's value is the mean of its rows
/// weighted by the softmax of their scores.
#[derive(Debug, Clone)]
pub struct AttentionPool {
    score: Linear,
}

impl AttentionPool {
    /// A layer named `name` over `width` columns.
    pub fn new(params: &mut Params, name: &str, width: usize) -> Result<AttentionPool> {
        Ok(AttentionPool { score: Linear::new(params, name, width, 1, Init::Constant(0.0))? })
    }

    /// (rows of all sequences, width) to (sequences, width).
    pub fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let scores = self.score.forward(x)?;
        let mut start = 0;
        let mut pooled = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let weights = softmax(&scores.narrow(0, start, length)?.t()?.contiguous()?)?;
            pooled.push(weights.matmul(&x.narrow(0, start, length)?.contiguous()?)?);
            start += length;
        }
        Tensor::cat(&pooled, 0)
    }

    /// The layer as it serves, over rows that `norm` comes before.
    pub fn serve(&self, norm: &LayerNorm) -> Result<Pool> {
        Ok(Pool::new(norm.norm()?, &self.score.dense()?.weight))
    }
}

/// Softmax over the last dimension.
fn softmax(x: &Tensor) -> Result<Tensor> {
    // The highest is a constant here: it cancels, and so does its gradient.
    let highest = x.max_keepdim(D::Minus1)?.detach();
    let terms = x.broadcast_sub(&highest)?.exp()?;
    debug_assert_eq!(terms.dtype(), DType::F32);
    terms.broadcast_div(&terms.sum_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::{assert_gradient, draw};

    const LENGTHS: [usize; 3] = [3, 1, 2];

    /// Parameters of which none is left at a value that hides a mistake, such as 0 or 1.
    fn shaken(params: &Params) {
        let shake = |(place, (name, value)): (usize, (String, Tensor))| {
            let noise = (draw(value.shape().clone(), place as u64) * 0.3).unwrap();
            (name, (value + noise).unwrap())
        };
        params.restore(&params.snapshot().unwrap().into_iter().enumerate().map(shake).collect()).unwrap();
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let mut params = Params::fresh(1);
        let norm = LayerNorm::new(&mut params, "norm", 4).unwrap();
        let layer = EncoderLayer::new(&mut params, "layer", 4, 2, 6, 0.0).unwrap();
        let pool = AttentionPool::new(&mut params, "pool", 4).unwrap();
        shaken(&params);
        let x = draw((6, 4), 2);
        assert_gradient(&x, |x| norm.forward(x).unwrap());
        assert_gradient(&x, |x| layer.forward(x, &LENGTHS, &mut Pass::Inference).unwrap());
        assert_gradient(&x, |x| pool.forward(x, &LENGTHS).unwrap());
    }

    #[test]
    fn a_sequence_has_the_same_values_alone_and_among_others() {
        let mut params = Params::fresh(1);
        let layer = EncoderLayer::new(&mut params, "layer", 4, 2, 6, 0.0).unwrap();
        let pool = AttentionPool::new(&mut params, "pool", 4).unwrap();
        shaken(&params);
        let x = draw((6, 4), 3);
        let pooled = |x: &Tensor, lengths: &[usize]| -> Vec<Vec<f32>> {
            let y = layer.forward(x, lengths, &mut Pass::Inference).unwrap();
            pool.forward(&y, lengths).unwrap().to_vec2().unwrap()
        };
        let together = pooled(&x, &LENGTHS);
        for (place, (start, length)) in [(0, 3), (3, 1), (4, 2)].into_iter().enumerate() {
            let alone = pooled(&x.narrow(0, start, length).unwrap(), &[length]);
            for (a, b) in alone[0].iter().zip(&together[place]) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
