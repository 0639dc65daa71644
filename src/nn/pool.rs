//! Pooling over space.

use candle_core::{D, Result, Tensor};

/// Maximum over `size` x `size` windows without overlap; rows and columns that do not fill a
/// window are left out, as is usual. (batch, channels, height, width) in and out.
///
/// Candle's max-pool knows its gradient only where kernel and stride are the same, which is the
/// one case offered here.
pub fn max_pool(x: &Tensor, size: usize) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    if size == 0 || height < size || width < size {
        candle_core::bail!("a pool of {size} x {size} does not fit an input of {height} x {width}")
    }
    let whole = x.narrow(2, 0, height / size * size)?.narrow(3, 0, width / size * size)?;
    whole.contiguous()?.max_pool2d(size)
}

/// Mean over rows and columns: (batch, channels, height, width) to (batch, channels).
pub fn global_average(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.mean(D::Minus1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::differences::assert_gradient;
    use candle_core::Device;

    #[test]
    fn gradients_agree_with_finite_differences() {
        // Far enough apart that no small step changes which is the highest; 5 x 5 leaves an edge.
        let values: Vec<f32> = (0..50).map(|at| (at * 37 % 50) as f32 * 0.1).collect();
        let x = Tensor::from_vec(values, (1, 2, 5, 5), &Device::Cpu).unwrap();
        assert_gradient(&x, |x| max_pool(x, 2).unwrap());
        assert_gradient(&x, |x| global_average(x).unwrap());
    }
}
