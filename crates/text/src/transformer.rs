//! A small encoder over a note's tokens, joined with the fields.
//!
//! Tokens have learned values and learned places. Attention pooling makes one vector of a note;
//! beside it stands the mean of the embeddings, as in the recurrent network.

use candle_core::{Device, Result, Tensor, bail};

use super::encoder::Example;
use super::head::{Head, Packed};
use super::plan::{Limits, TransformerPlan, TransformerWeights};
use model::manifest::TransformerConfig;
use nn::attention::{AttentionPool, EncoderLayer, LayerNorm};
use nn::dropout::dropout;
use nn::{Embedding, Init, Network, Params, Pass, segments};

/// The network. See the module's introduction.
pub struct Transformer {
    embedding: Embedding,
    /// (most tokens, width).
    positions: Tensor,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    pool: AttentionPool,
    head: Head,
    dropout: f32,
    limits: Limits,
}

impl Transformer {
    /// A network over notes of at most `max_tokens` tokens and `fields` field inputs.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn new(
        config: &TransformerConfig,
        max_tokens: usize,
        fields: usize,
        labels: usize,
        params: &mut Params,
    ) -> Result<Transformer> {
        let TransformerConfig { vocabulary, width, heads, feed_forward, .. } = *config;
        let embedding = Embedding::new(params, "embedding", vocabulary, width, 0.1, config.token_dropout)?;
        let positions = params.get("positions.weight", (max_tokens, width), Init::Normal(0.02))?;
        let layers = (0..config.layers)
            .map(|i| {
                EncoderLayer::new(params, &format!("layer{i}"), width, heads, feed_forward, config.dropout)
            })
            .collect::<Result<_>>()?;
        let limits = Limits { vocabulary, tokens: max_tokens, fields };
        let norm = LayerNorm::new(params, "norm", width)?;
        let pool = AttentionPool::new(params, "pool", width)?;
        let head = Head::new(params, 2 * width + fields, labels)?;
        Ok(Transformer { embedding, positions, layers, norm, pool, head, dropout: config.dropout, limits })
    }

    /// The network as it serves.
    pub fn plan(&self) -> Result<TransformerPlan> {
        Ok(TransformerPlan::new(TransformerWeights {
            limits: self.limits,
            embedding: self.embedding.values()?,
            positions: self.positions.flatten_all()?.to_vec1()?,
            layers: self.layers.iter().map(EncoderLayer::serve).collect::<Result<_>>()?,
            pool: self.pool.serve(&self.norm)?,
            head: self.head.serve()?,
        }))
    }
}

impl Network<Vec<Example>> for Transformer {
    fn logits(&self, batch: &Vec<Example>, pass: &mut Pass) -> Result<Tensor> {
        let Packed { ids, lengths, fields } = Packed::new(batch)?;
        let most = self.positions.dim(0)?;
        if lengths.iter().any(|length| *length > most) {
            bail!("a note of more than {most} tokens")
        }
        let places: Vec<u32> = lengths.iter().flat_map(|length| 0..*length as u32).collect();
        let places = Tensor::from_vec(places, ids.len(), &Device::Cpu)?;
        let tokens = self.embedding.forward(&ids, pass)?;
        let mut x = dropout(&(&tokens + self.positions.index_select(&places, 0)?)?, self.dropout, pass)?;
        for layer in &self.layers {
            x = layer.forward(&x, &lengths, pass)?;
        }
        let pooled = self.pool.forward(&self.norm.forward(&x)?, &lengths)?;
        let joined = Tensor::cat(&[pooled, segments::mean(&tokens, &lengths)?], 1)?;
        self.head.forward(&dropout(&joined, self.dropout, pass)?, fields.as_ref())
    }
}
