//! Dropout (Srivastava et al. 2014), with a mask that the training seed fixes.

use candle_core::{Device, Result, Tensor};
use rand::RngExt;

use super::Pass;

/// While training, sets a share `rate` of the values to zero and scales the others by
/// `1 / (1 - rate)`; otherwise returns `x`.
pub fn dropout(x: &Tensor, rate: f32, pass: &mut Pass) -> Result<Tensor> {
    match pass {
        Pass::Training(rng) if rate > 0.0 => {
            let kept = 1.0 / (1.0 - rate);
            let mask: Vec<f32> =
                (0..x.elem_count()).map(|_| if rng.random::<f32>() < rate { 0.0 } else { kept }).collect();
            x * Tensor::from_vec(mask, x.shape(), &Device::Cpu)?
        }
        _ => Ok(x.clone()),
    }
}
