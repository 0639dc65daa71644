//! Pooling over space.
//!
//! Candle has a maximum over windows too, but its gradient (0.11) is too small by the number of
//! values in a window, and a NaN may lose against a number. Here the gradient goes to the value
//! that won, the first of equals, and a NaN wins.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};

/// Maximum over `size` x `size` windows without overlap; rows and columns that do not fill a
/// window are left out, as is usual. (batch, channels, height, width) in and out.
///
/// # Errors
/// An input smaller than a window; values that are not of 32 bits.
pub fn max_pool(x: &Tensor, size: usize) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    if size == 0 || height < size || width < size {
        bail!("a pool of {size} x {size} does not fit an input of {height} x {width}")
    }
    x.contiguous()?.apply_op1(MaxPool { size })
}

struct MaxPool {
    size: usize,
}

impl MaxPool {
    /// Calls `found` with the place of every window's highest value, window after window.
    fn highest(&self, x: &[f32], dims: &[usize], mut found: impl FnMut(usize)) {
        let (height, width) = (dims[2], dims[3]);
        for plane in 0..dims[0] * dims[1] {
            for window in 0..(height / self.size) * (width / self.size) {
                let (row, column) = (window / (width / self.size), window % (width / self.size));
                let corner = (plane * height + row * self.size) * width + column * self.size;
                let mut best = corner;
                for place in (0..self.size).flat_map(|r| (0..self.size).map(move |q| corner + r * width + q))
                {
                    if x[place] > x[best] || (x[place].is_nan() && !x[best].is_nan()) {
                        best = place;
                    }
                }
                found(best);
            }
        }
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (Some((start, end)), dims) = (layout.contiguous_offsets(), layout.dims()) else {
            bail!("max-pool wants a contiguous input")
        };
        let x = &storage.as_slice::<f32>()?[start..end];
        let shape = Shape::from((dims[0], dims[1], dims[2] / self.size, dims[3] / self.size));
        let mut out = Vec::with_capacity(shape.elem_count());
        self.highest(x, dims, |place| out.push(x[place]));
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(&self, arg: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let x = arg.flatten_all()?.to_vec1::<f32>()?;
        let mut gradient = gradient.flatten_all()?.to_vec1::<f32>()?.into_iter();
        let mut out = vec![0.0; x.len()];
        self.highest(&x, arg.dims(), |place| out[place] = gradient.next().unwrap_or_default());
        Ok(Some(Tensor::from_vec(out, arg.shape(), arg.device())?))
    }
}

/// Mean over rows and columns: (batch, channels, height, width) to (batch, channels).
pub fn global_average(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.mean(D::Minus1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::assert_gradient;
    use candle_core::Device;

    #[test]
    fn gradients_agree_with_finite_differences() {
        // Far enough apart that no small step changes which is the highest; 5 x 5 leaves an edge.
        let values: Vec<f32> = (0..50).map(|at| (at * 37 % 50) as f32 * 0.1).collect();
        let x = Tensor::from_vec(values, (1, 2, 5, 5), &Device::Cpu).unwrap();
        assert_gradient(&x, |x| max_pool(x, 2).unwrap());
        assert_gradient(&x, |x| global_average(x).unwrap());
    }

    #[test]
    fn a_nan_is_not_hidden_and_windows_that_are_not_whole_are_left_out() {
        let mut values: Vec<f32> = (0..15).map(|v| v as f32).collect();
        values[6] = f32::NAN;
        let x = Tensor::from_vec(values, (1, 1, 3, 5), &Device::Cpu).unwrap();
        let y = max_pool(&x, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y.len() == 2 && y[0].is_nan() && y[1] == 8.0, "{y:?}");
        // A view into a larger tensor, columns first.
        let view = x.transpose(2, 3).unwrap().narrow(2, 1, 4).unwrap();
        let y = max_pool(&view, 3).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y.len() == 1 && y[0].is_nan(), "{y:?}");
        assert!(max_pool(&x, 4).is_err() && max_pool(&x, 0).is_err());
    }
}
