//! The inverse of a large symmetric positive definite matrix.
//!
//! By blocks: with the matrix cut in four, the inverse of the first diagonal block and that of the
//! Schur complement of it give the whole (Boyd and Vandenberghe, "Convex Optimization", appendix
//! A.5.5), so that nearly all of the work, 4/3 n^3 operations, is products of large matrices, which
//! run at the speed of the processor on all its cores. Blocks of at most [`SMALL`] rows are inverted
//! through their Cholesky factor. Double precision throughout.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

/// Rows of a block that is inverted directly.
const SMALL: usize = 64;

/// Most bytes that [`inverse`] holds at a time for a matrix of `size` rows: at the top level the
/// matrix, its four parts, and what comes of them.
pub fn memory(size: usize) -> u64 {
    28 * (size as u64) * (size as u64)
}

/// The inverse of a symmetric matrix of `size` x `size` values in rows, of which only the lower half is read.
///
/// # Errors
/// A matrix that is not positive definite.
pub fn inverse(matrix: Vec<f64>, size: usize) -> Result<Vec<f64>> {
    let matrix = Tensor::from_vec(matrix, (size, size), &Device::Cpu)?;
    Ok(by_blocks(matrix)?.flatten_all()?.to_vec1()?)
}

fn by_blocks(matrix: Tensor) -> Result<Tensor> {
    let size = matrix.dim(0)?;
    if size <= SMALL {
        let mut values = matrix.flatten_all()?.to_vec1()?;
        invert_small(&mut values, size)?;
        return Ok(Tensor::from_vec(values, (size, size), &Device::Cpu)?);
    }
    let half = size / 2;
    let rest = size - half;
    let part = |row, rows, column, columns| -> Result<Tensor> {
        // Copied, so that the whole can be let go.
        Ok(matrix.narrow(0, row, rows)?.narrow(1, column, columns)?.force_contiguous()?)
    };
    let (first, lower) = (part(0, half, 0, half)?, part(half, rest, 0, half)?);
    let last = part(half, rest, half, rest)?;
    drop(matrix);
    let first = by_blocks(first)?;
    let lower_first = lower.matmul(&first)?;
    let complement = (last - lower_first.matmul(&lower.t()?)?)?;
    drop(lower);
    let last = by_blocks(complement)?;
    let corner = last.matmul(&lower_first)?;
    let first = (first + lower_first.t()?.matmul(&corner)?)?;
    drop(lower_first);
    let corner = corner.neg()?;
    let above = Tensor::cat(&[&first, &corner.t()?.contiguous()?], 1)?;
    drop(first);
    let below = Tensor::cat(&[&corner, &last], 1)?;
    drop((corner, last));
    Ok(Tensor::cat(&[&above, &below], 0)?)
}

/// Inverts in place, through the Cholesky factor L: the inverse is that of L, transposed, times
/// that of L.
fn invert_small(values: &mut [f64], size: usize) -> Result<()> {
    let at = |row: usize, column: usize| row * size + column;
    for column in 0..size {
        for row in column..size {
            let mut sum = values[at(row, column)];
            for k in 0..column {
                sum -= values[at(row, k)] * values[at(column, k)];
            }
            values[at(row, column)] = if row == column {
                ensure!(
                    sum > 0.0 && sum.is_finite(),
                    "the matrix is not positive definite: is lambda too small?"
                );
                sum.sqrt()
            } else {
                sum / values[at(column, column)]
            };
        }
    }
    let mut lower = vec![0.0; size * size];
    for column in 0..size {
        lower[at(column, column)] = 1.0 / values[at(column, column)];
        for row in column + 1..size {
            let sum: f64 = (column..row).map(|k| values[at(row, k)] * lower[at(k, column)]).sum();
            lower[at(row, column)] = -sum / values[at(row, row)];
        }
    }
    for row in 0..size {
        for column in 0..size {
            let from = row.max(column);
            values[at(row, column)] = (from..size).map(|k| lower[at(k, row)] * lower[at(k, column)]).sum();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Sizes around the borders of the blocks: the product with the matrix is the identity.
    #[test]
    fn the_product_with_the_matrix_is_the_identity() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for size in [1, 2, 63, 64, 65, 129, 200] {
            let x: Vec<f64> = (0..2 * size * size).map(|_| f64::from(rng.random_bool(0.2))).collect();
            let mut gram = vec![0.0; size * size];
            for (i, row) in gram.chunks_mut(size).enumerate() {
                for (j, value) in row.iter_mut().enumerate() {
                    *value = x.chunks(size).map(|x| x[i] * x[j]).sum();
                }
                row[i] += 3.0;
            }
            let lower = |place: usize| if place % size <= place / size { gram[place] } else { f64::NAN };
            let inverted = inverse((0..size * size).map(lower).collect(), size).unwrap();
            for i in 0..size {
                for j in 0..size {
                    let product: f64 = (0..size).map(|k| gram[i * size + k] * inverted[k * size + j]).sum();
                    let expected = f64::from(u8::from(i == j));
                    assert!((product - expected).abs() < 1e-9, "{size}: {i} {j} {product}");
                }
            }
        }
        assert!(inverse(vec![1.0, 2.0, 2.0, 1.0], 2).is_err(), "indefinite");
    }
}
