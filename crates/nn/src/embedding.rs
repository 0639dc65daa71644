//! Values of tokens.

use candle_core::{DType, Device, Result, Tensor};

use super::params::{Init, Params};
use super::{Pass, dropout};

/// A table with one row a token.
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: Tensor,
    token_dropout: f32,
}

impl Embedding {
    /// A table named `name`; `token_dropout` is the share of tokens that are left out in
    /// training, all values of one at once.
    pub fn new(
        params: &mut Params,
        name: &str,
        vocabulary: usize,
        width: usize,
        std: f32,
        token_dropout: f32,
    ) -> Result<Embedding> {
        let weight = params.get(&format!("{name}.weight"), (vocabulary, width), Init::Normal(std))?;
        Ok(Embedding { weight, token_dropout })
    }

    /// (vocabulary, width), row after row.
    pub fn values(&self) -> Result<Vec<f32>> {
        self.weight.flatten_all()?.to_vec1()
    }

    /// (ids) to (ids, width).
    ///
    /// # Errors
    /// An id beyond the table.
    pub fn forward(&self, ids: &[u32], pass: &mut Pass) -> Result<Tensor> {
        let index = Tensor::from_slice(ids, ids.len(), &Device::Cpu)?;
        let rows = self.weight.index_select(&index, 0)?;
        if !pass.is_training() || self.token_dropout == 0.0 {
            return Ok(rows);
        }
        let ones = Tensor::ones((ids.len(), 1), DType::F32, &Device::Cpu)?;
        rows.broadcast_mul(&dropout::dropout(&ones, self.token_dropout, pass)?)
    }
}
