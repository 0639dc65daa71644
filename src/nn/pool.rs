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
