//! What the networks over tokens share: how a batch is laid out, and the dense layer at its end.

use candle_core::{Device, Result, Tensor, bail};

use super::encoder::Example;
use crate::plan;
use nn::{Init, Linear, Params};

/// A batch without padding: the tokens of all notes, one after the other.
pub struct Packed {
    /// Tokens.
    pub ids: Vec<u32>,
    /// Tokens of each note.
    pub lengths: Vec<usize>,
    /// (records, field inputs), where there are fields.
    pub fields: Option<Tensor>,
}

impl Packed {
    /// Lays out `batch`.
    ///
    /// # Errors
    /// Records of different widths; an empty batch.
    pub fn new(batch: &[Example]) -> Result<Packed> {
        let Some(first) = batch.first() else { bail!("a batch of no records") };
        let width = first.fields.len();
        if batch.iter().any(|record| record.fields.len() != width) {
            bail!("records of different fields in one batch")
        }
        let ids = batch.iter().flat_map(|record| record.tokens.ids.iter().copied()).collect();
        let lengths = batch.iter().map(|record| record.tokens.ids.len()).collect();
        let values: Vec<f32> = batch.iter().flat_map(|record| record.fields.iter().copied()).collect();
        let fields = match width {
            0 => None,
            _ => Some(Tensor::from_vec(values, (batch.len(), width), &Device::Cpu)?),
        };
        Ok(Packed { ids, lengths, fields })
    }
}

/// A dense layer from the pooled note and the fields to the labels. Two labels need one output,
/// whose sigmoid is the probability of the second; more have one each and a softmax.
#[derive(Debug, Clone)]
pub struct Head {
    dense: Linear,
    labels: usize,
}

impl Head {
    /// A head over `inputs` values, fields included.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn new(params: &mut Params, inputs: usize, labels: usize) -> Result<Head> {
        let outputs = if labels == 2 { 1 } else { labels };
        let dense = Linear::new(params, "head", inputs, outputs, Init::glorot(inputs, outputs))?;
        Ok(Head { dense, labels })
    }

    /// The layer as it serves.
    pub fn serve(&self) -> Result<plan::Head> {
        Ok(plan::Head { dense: self.dense.dense()?.pack(), labels: self.labels })
    }

    /// Logits of shape (records, labels).
    pub fn forward(&self, pooled: &Tensor, fields: Option<&Tensor>) -> Result<Tensor> {
        let joined = match fields {
            Some(fields) => Tensor::cat(&[pooled, fields], 1)?,
            None => pooled.clone(),
        };
        let out = self.dense.forward(&joined)?;
        match self.labels {
            // The softmax of (0, z) is (1 - sigmoid(z), sigmoid(z)).
            2 => Tensor::cat(&[&out.zeros_like()?, &out], 1),
            _ => Ok(out),
        }
    }
}
