//! Networks over notes as they serve: weights laid out once and shared by all engines, scratch
//! memory that each engine keeps, no graph and no padding. A plan is made from the network that
//! trained, and agrees with it.

mod lstm;
#[cfg(test)]
mod tests;
mod transformer;

use std::sync::Arc;

use candle_core::{Result, bail};

pub use lstm::LstmPlan;
pub use transformer::TransformerPlan;
pub(super) use transformer::TransformerWeights;

use super::bag::Bag;
use super::encoder::Example;
use nn::serve::dense::Dense;
use nn::{Matrix, Residual};

/// A network ready to serve. A clone shares the weights and has scratch memory of its own.
#[derive(Clone)]
pub enum Plan {
    /// Hashed n-grams; nothing to lay out.
    Bag(Arc<Bag>),
    /// A recurrent network.
    Lstm(LstmPlan),
    /// An encoder.
    Transformer(TransformerPlan),
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
            Plan::Lstm(plan) => plan.logits(batch),
            Plan::Transformer(plan) => plan.logits(batch),
        }
    }
}

/// What a network over tokens reads.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Tokens known.
    pub vocabulary: usize,
    /// Most tokens of a note.
    pub tokens: usize,
    /// Field inputs.
    pub fields: usize,
}

impl Limits {
    fn check(&self, batch: &[Example]) -> Result<()> {
        for record in batch {
            let ids = &record.tokens.ids;
            if ids.is_empty() || ids.len() > self.tokens {
                bail!("a note of {} tokens, where 1 to {} are read", ids.len(), self.tokens)
            }
            if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocabulary) {
                bail!("the token {id} in a vocabulary of {}", self.vocabulary)
            }
            if record.fields.len() != self.fields {
                bail!("a record of {} field inputs, where {} are read", record.fields.len(), self.fields)
            }
        }
        Ok(())
    }
}

/// The dense layer at the end, over rows of pooled values with the fields behind them.
pub(super) struct Head {
    pub dense: Dense,
    pub labels: usize,
}

impl Head {
    /// Values of a row.
    fn width(&self) -> usize {
        self.dense.inputs()
    }

    /// Copies the fields of `batch` to the ends of `rows` and computes the logits.
    fn logits(&self, batch: &[Example], rows: &mut [f32]) -> Vec<Vec<f32>> {
        for (row, record) in rows.chunks_exact_mut(self.width()).zip(batch) {
            let pooled = row.len() - record.fields.len();
            row[pooled..].copy_from_slice(&record.fields);
        }
        let outputs = self.dense.outputs();
        let mut logits = vec![0.0; batch.len() * outputs];
        let rows = Matrix { values: rows, stride: self.width() };
        self.dense.forward(batch.len(), rows, Residual::None, &mut logits, outputs);
        let row = |row: &[f32]| match self.labels {
            2 => vec![0.0, row[0]],
            _ => row.to_vec(),
        };
        logits.chunks_exact(outputs).map(row).collect()
    }
}

/// Writes the mean of the rows of `table` that `ids` name to `out`.
fn mean(table: &[f32], ids: &[u32], out: &mut [f32]) {
    let width = out.len();
    out.fill(0.0);
    for id in ids {
        let row = &table[*id as usize * width..][..width];
        out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    out.iter_mut().for_each(|sum| *sum /= ids.len() as f32);
}
