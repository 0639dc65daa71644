//! The encoder as it serves. A few notes at a time go through all layers, so that their rows stay
//! in cache and scratch memory does not grow with the batch.

use std::sync::Arc;

use candle_core::Result;

use super::{Head, Limits, mean};
use crate::encoder::Example;
use nn::serve::encoder::{self, Layer, Pool};

/// Tokens that go through the layers together, where one note does not have more.
const TOGETHER: usize = 256;

/// See the module's introduction.
#[derive(Clone)]
pub struct TransformerPlan {
    weights: Arc<TransformerWeights>,
    lengths: Vec<usize>,
    rows: Vec<f32>,
    joined: Vec<f32>,
    scratch: encoder::Scratch,
}

/// What [`TransformerPlan`] computes with.
pub(crate) struct TransformerWeights {
    pub limits: Limits,
    /// (vocabulary, width).
    pub embedding: Vec<f32>,
    /// (most tokens, width).
    pub positions: Vec<f32>,
    pub layers: Vec<Layer>,
    pub pool: Pool,
    pub head: Head,
}

impl TransformerPlan {
    pub(crate) fn new(weights: TransformerWeights) -> TransformerPlan {
        TransformerPlan {
            weights: Arc::new(weights),
            lengths: Vec::new(),
            rows: Vec::new(),
            joined: Vec::new(),
            scratch: encoder::Scratch::default(),
        }
    }

    /// See [`super::Plan::logits`].
    pub(super) fn logits(&mut self, batch: &[Example]) -> Result<Vec<Vec<f32>>> {
        self.weights.limits.check(batch)?;
        let width = self.weights.head.width();
        self.joined.resize(batch.len() * width, 0.0);
        let mut first = 0;
        while first < batch.len() {
            let mut tokens = 0;
            let fit = |record: &&Example| {
                tokens += record.tokens.ids.len();
                tokens <= TOGETHER
            };
            let count = batch[first..].iter().take_while(fit).count().max(1);
            self.encode(&batch[first..first + count], first * width);
            first += count;
        }
        Ok(self.weights.head.logits(batch, &mut self.joined))
    }

    /// Writes what `records` are pooled to, one row each from `from` on.
    fn encode(&mut self, records: &[Example], from: usize) {
        let TransformerWeights { limits, embedding, positions, layers, pool, head } = &*self.weights;
        let width = (head.width() - limits.fields) / 2;
        self.lengths.clear();
        self.rows.clear();
        for record in records {
            self.lengths.push(record.tokens.ids.len());
            for (id, position) in record.tokens.ids.iter().zip(positions.chunks_exact(width)) {
                let token = &embedding[*id as usize * width..][..width];
                self.rows.extend(token.iter().zip(position).map(|(x, y)| x + y));
            }
        }
        for layer in layers {
            layer.forward(&mut self.rows, &self.lengths, &mut self.scratch);
        }
        let mut rows = &self.rows[..];
        for (record, joined) in records.iter().zip(self.joined[from..].chunks_exact_mut(head.width())) {
            let (own, others) = rows.split_at(record.tokens.ids.len() * width);
            rows = others;
            let (pooled, tokens) = joined.split_at_mut(width);
            pool.forward(own, pooled, &mut self.scratch);
            mean(embedding, &record.tokens.ids, &mut tokens[..width]);
        }
    }
}
