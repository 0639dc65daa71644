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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::{assert_gradient, draw};
    use crate::random;

    #[test]
    fn what_is_kept_is_scaled_and_what_is_dropped_has_no_gradient() {
        let x = Tensor::ones((40, 50), candle_core::DType::F32, &Device::Cpu).unwrap();
        let drop = |x: &Tensor, rate| {
            dropout(x, rate, &mut Pass::Training(&mut random::stream(1, "dropout"))).unwrap()
        };
        let values: Vec<f32> = drop(&x, 0.2).flatten_all().unwrap().to_vec1().unwrap();
        let kept = values.iter().filter(|value| **value != 0.0).count();
        assert!(values.iter().all(|value| *value == 0.0 || *value == 1.25));
        assert!((1500..1700).contains(&kept), "{kept} of 2000");
        assert_gradient(&draw((3, 4), 2), |x| drop(x, 0.5));
        let served: Vec<f32> =
            dropout(&x, 0.2, &mut Pass::Inference).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert!(served.iter().all(|value| *value == 1.0));
    }
}
