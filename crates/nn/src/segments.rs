//! Pooling over sequences of different lengths that lie one after the other: no padding, so
//! nothing to mask, and a sequence's value does not depend on its neighbors.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use super::tensors::{slice, values};

/// Mean over the rows of each sequence: (rows, width) to (sequences, width).
///
/// # Errors
/// Lengths that do not sum to the rows; a sequence of no rows.
pub fn mean(x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    apply(x, lengths, Kind::Mean)
}

/// Maximum over the rows of each sequence: (rows, width) to (sequences, width). The gradient
/// goes to the first of equals.
///
/// # Errors
/// As [`mean`].
pub fn max(x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    apply(x, lengths, Kind::Max)
}

#[derive(Clone, Copy)]
enum Kind {
    Mean,
    Max,
}

struct Pool {
    lengths: Vec<usize>,
    kind: Kind,
}

fn apply(x: &Tensor, lengths: &[usize], kind: Kind) -> Result<Tensor> {
    let (rows, _) = x.dims2()?;
    if lengths.iter().sum::<usize>() != rows || lengths.contains(&0) {
        bail!("sequences of {lengths:?} rows do not fit {rows} rows")
    }
    x.contiguous()?.apply_op1(Pool { lengths: lengths.to_vec(), kind })
}

/// For each column of one sequence, its highest row; the first of equals.
fn highest(rows: &[f32], width: usize) -> Vec<usize> {
    let mut best = vec![0; width];
    for (at, row) in rows.chunks(width).enumerate() {
        for (column, value) in row.iter().enumerate() {
            let highest = rows[best[column] * width + column];
            // What is no number is not hidden: it counts as higher than any.
            if *value > highest || value.is_nan() && !highest.is_nan() {
                best[column] = at;
            }
        }
    }
    best
}

impl Pool {
    fn pool(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.lengths.len() * width];
        let mut rest = x;
        for (out, length) in out.chunks_mut(width).zip(&self.lengths) {
            let (rows, others) = rest.split_at(length * width);
            rest = others;
            match self.kind {
                Kind::Mean => {
                    for row in rows.chunks(width) {
                        out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                    }
                    out.iter_mut().for_each(|sum| *sum /= *length as f32);
                }
                Kind::Max => {
                    for (column, at) in highest(rows, width).into_iter().enumerate() {
                        out[column] = rows[at * width + column];
                    }
                }
            }
        }
        out
    }

    fn spread(&self, x: &[f32], gradient: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let mut start = 0;
        for (gradient, length) in gradient.chunks(width).zip(&self.lengths) {
            let rows = &mut out[start * width..(start + length) * width];
            match self.kind {
                Kind::Mean => {
                    for row in rows.chunks_mut(width) {
                        row.iter_mut().zip(gradient).for_each(|(x, g)| *x = g / *length as f32);
                    }
                }
                Kind::Max => {
                    let own = &x[start * width..(start + length) * width];
                    for (column, at) in highest(own, width).into_iter().enumerate() {
                        rows[at * width + column] = gradient[column];
                    }
                }
            }
            start += length;
        }
        out
    }
}

impl CustomOp1 for Pool {
    fn name(&self) -> &'static str {
        "pool-sequences"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let out = self.pool(slice(x, layout)?, width);
        Ok((CpuStorage::F32(out), Shape::from((self.lengths.len(), width))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, width) = x.dims2()?;
        let (from, gradient) = (x.contiguous()?, gradient.contiguous()?);
        let spread = self.spread(&values(&from)?, &values(&gradient)?, width);
        Ok(Some(Tensor::from_vec(spread, x.shape(), &Device::Cpu)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn each_sequence_is_pooled_by_itself_and_gradients_go_back() {
        let x = Var::new(&[[1f32, 5.0], [3.0, 1.0], [-7.0, -8.0]], &Device::Cpu).unwrap();
        let mean = mean(&x, &[2, 1]).unwrap();
        assert_eq!(mean.to_vec2::<f32>().unwrap(), [[2.0, 3.0], [-7.0, -8.0]]);
        let max = max(&x, &[2, 1]).unwrap();
        assert_eq!(max.to_vec2::<f32>().unwrap(), [[3.0, 5.0], [-7.0, -8.0]]);
        let weights = Tensor::new(&[[1f32, 10.0], [100.0, 1000.0]], &Device::Cpu).unwrap();
        let gradient = |y: &Tensor| {
            let sum = (y * &weights).unwrap().sum_all().unwrap();
            sum.backward().unwrap().get(&x).unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(gradient(&mean), [[0.5, 5.0], [0.5, 5.0], [100.0, 1000.0]]);
        assert_eq!(gradient(&max), [[0.0, 10.0], [1.0, 0.0], [100.0, 1000.0]]);
        assert!(super::mean(&x, &[2]).is_err() && super::max(&x, &[3, 0]).is_err());
    }
}
