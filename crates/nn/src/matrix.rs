//! Matrix products over plain slices, one thread: a safe face on the `gemm` crate.
//!
//! The products inside our kernels are many and small; the kernel that calls them decides what
//! runs in parallel, so a product itself never spawns work.

use gemm::Parallelism;

/// A matrix inside a slice: element (i, j) lies at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A matrix of `rows` x `columns`, row after row.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> View<'a> {
        assert!(values.len() >= rows * columns, "{} values for {rows} x {columns}", values.len());
        View { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same matrix with rows and columns exchanged; nothing moves.
    pub fn transposed(self) -> View<'a> {
        View {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// `out = a b`, or `out += a b` where `accumulate`; `out` is row after row.
///
/// # Panics
/// Sizes that do not fit each other.
pub fn multiply(out: &mut [f32], a: View, b: View, accumulate: bool) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "inner sizes");
    assert!(out.len() >= m * n, "{} values for a result of {m} x {n}", out.len());
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            out[..m * n].fill(0.0);
        }
        return;
    }
    // SAFETY: every view was built over a slice of at least rows * columns values, and a stride
    // pair is (columns, 1) or, transposed, (1, columns): all elements read lie in their slices.
    // `out` holds m * n values and is borrowed exclusively, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(a: View, b: View) -> Vec<f64> {
        let at = |v: &View, i: usize, j: usize| f64::from(v.values[i * v.row_stride + j * v.column_stride]);
        let mut out = vec![0.0; a.rows * b.columns];
        for i in 0..a.rows {
            for j in 0..b.columns {
                out[i * b.columns + j] = (0..a.columns).map(|k| at(&a, i, k) * at(&b, k, j)).sum();
            }
        }
        out
    }

    proptest! {
        #[test]
        fn agrees_with_double_precision(m in 0usize..40, n in 0usize..40, k in 0usize..40, ta: bool, tb: bool, seed: u64) {
            let mut rng = crate::random::stream(seed, "matrix");
            let mut draw = |count: usize| -> Vec<f32> {
                (0..count).map(|_| crate::random::normal(&mut rng)).collect()
            };
            let (x, y) = (draw(m * k), draw(k * n));
            let a = if ta { View::new(&x, k, m).transposed() } else { View::new(&x, m, k) };
            let b = if tb { View::new(&y, n, k).transposed() } else { View::new(&y, k, n) };
            let mut out = vec![1.0; m * n];
            multiply(&mut out, a, b, true);
            for (got, want) in out.iter().zip(plain(a, b)) {
                prop_assert!((f64::from(*got) - 1.0 - want).abs() < 1e-4, "{got} for {}", want + 1.0);
            }
            multiply(&mut out, a, b, false);
            for (got, want) in out.iter().zip(plain(a, b)) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-4, "{got} for {want}");
            }
        }
    }
}
