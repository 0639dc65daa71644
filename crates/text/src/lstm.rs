//! A recurrent network over a note's tokens, joined with the fields.
//!
//! A last state alone remembers little of a long note. The head therefore sees the mean and the
//! maximum of all states, and beside them the mean of the embeddings, so that it can never do
//! worse than a bag of tokens for want of memory.

use candle_core::{Result, Tensor};

use super::encoder::Example;
use super::head::{Head, Packed};
use super::plan::{Limits, LstmPlan};
use model::manifest::LstmConfig;
use nn::dropout::dropout;
use nn::lstm::Lstm;
use nn::{Embedding, Network, Params, Pass, segments};

/// The network. See the module's introduction.
pub struct LstmNetwork {
    embedding: Embedding,
    directions: Vec<Lstm>,
    head: Head,
    dropout: f32,
    limits: Limits,
}

impl LstmNetwork {
    /// A network over records of `width` field inputs.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn new(config: &LstmConfig, width: usize, labels: usize, params: &mut Params) -> Result<LstmNetwork> {
        let limits = Limits { vocabulary: config.vocabulary, tokens: usize::MAX, fields: width };
        let LstmConfig { vocabulary, embedding: values, hidden, .. } = *config;
        let embedding = Embedding::new(params, "embedding", vocabulary, values, 0.1, config.token_dropout)?;
        let mut directions = Vec::new();
        for (name, reverse) in [("forward", false), ("backward", true)] {
            if !reverse || config.bidirectional {
                let rate = config.recurrent_dropout;
                directions.push(Lstm::new(params, name, values, hidden, reverse, rate)?);
            }
        }
        let pooled = 2 * hidden * directions.len() + values;
        let head = Head::new(params, pooled + width, labels)?;
        Ok(LstmNetwork { embedding, directions, head, dropout: config.dropout, limits })
    }

    /// The network as it serves.
    pub fn plan(&self) -> Result<LstmPlan> {
        let directions = self.directions.iter().map(Lstm::serve).collect::<Result<_>>()?;
        Ok(LstmPlan::new(self.limits, self.embedding.values()?, directions, self.head.serve()?))
    }
}

impl Network<Vec<Example>> for LstmNetwork {
    fn logits(&self, batch: &Vec<Example>, pass: &mut Pass) -> Result<Tensor> {
        let Packed { ids, lengths, fields } = Packed::new(batch)?;
        let x = self.embedding.forward(&ids, pass)?;
        let inputs = dropout(&x, self.dropout, pass)?;
        let mut parts = Vec::with_capacity(2 * self.directions.len() + 2);
        for direction in &self.directions {
            let states = direction.forward(&inputs, &lengths, pass)?;
            parts.push(segments::mean(&states, &lengths)?);
            parts.push(segments::max(&states, &lengths)?);
        }
        parts.push(segments::mean(&x, &lengths)?);
        let pooled = dropout(&Tensor::cat(&parts, 1)?, self.dropout, pass)?;
        self.head.forward(&pooled, fields.as_ref())
    }
}
