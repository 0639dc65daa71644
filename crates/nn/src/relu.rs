//! The rectifier behind a sum, which is how a residual block ends, in one pass each way.
//!
//! Candle's own takes a pass for the sum, one for the maximum and four for their gradient, and its
//! maximum turns what is no number into 0. Here that stays visible.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::conv::{slice, with_values};

/// Values a task works on.
const CHUNK: usize = 16 * 1024;

/// `max(a + b, 0)`, for tensors of one shape.
///
/// # Errors
/// Different shapes.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, AddRelu)
}

/// The gradient of what went into a rectifier that gave `y`.
fn rectified(y: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let pass = |y: &[f32], g: &[f32]| zip(y, g, |y, g| if y <= 0.0 { 0.0 } else { g });
    let values = with_values(y, |y| with_values(gradient, |g| pass(y, g)))??;
    Tensor::from_vec(values, y.shape(), y.device())
}

fn zip(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0.0; a.len()];
    let parts = out.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)));
    parts.for_each(|(out, (a, b))| {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = f(*a, *b);
        }
    });
    out
}

struct AddRelu;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add-relu"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if al.shape() != bl.shape() {
            bail!("a sum of {:?} and {:?}", al.dims(), bl.dims())
        }
        let sum = |a, b| {
            let sum = a + b;
            if sum < 0.0 { 0.0 } else { sum }
        };
        Ok((CpuStorage::F32(zip(slice(a, al)?, slice(b, bl)?, sum)), al.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = rectified(y, gradient)?;
        Ok((Some(gradient.clone()), Some(gradient)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn value_and_gradients_are_those_of_the_definition() {
        let tensor = |values: &[f32]| Var::new(values, &Device::Cpu).unwrap();
        let (a, b) = (tensor(&[1.0, -2.0, 3.0, f32::NAN]), tensor(&[1.0, 1.0, -4.0, 0.0]));
        let y = add_relu(&a, &b).unwrap();
        let values = y.to_vec1::<f32>().unwrap();
        assert_eq!(values[..3], [2.0, 0.0, 0.0]);
        assert!(values[3].is_nan());
        let weights = Tensor::new(&[5f32, 6.0, 7.0, 8.0], &Device::Cpu).unwrap();
        let gradients = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        for var in [&a, &b] {
            assert_eq!(gradients.get(var).unwrap().to_vec1::<f32>().unwrap(), [5.0, 0.0, 0.0, 8.0]);
        }
        assert!(add_relu(&a, &Tensor::new(&[1f32], &Device::Cpu).unwrap()).is_err());
    }
}
