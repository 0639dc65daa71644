//! A dense layer.

use candle_core::{Result, Tensor};

use super::params::{Init, Params};

/// `y = x W^T + b`, with `W` of shape (outputs, inputs).
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A layer named `name`, its weights started by `init`, its bias zero.
    pub fn new(params: &mut Params, name: &str, inputs: usize, outputs: usize, init: Init) -> Result<Linear> {
        Ok(Linear {
            weight: params.get(&format!("{name}.weight"), (outputs, inputs), init)?,
            bias: params.get(&format!("{name}.bias"), outputs, Init::Constant(0.0))?,
        })
    }

    /// (rows, inputs) to (rows, outputs).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }

    /// The weights row after row and the bias, as plain numbers.
    pub fn values(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok((self.weight.flatten_all()?.to_vec1()?, self.bias.to_vec1()?))
    }
}
