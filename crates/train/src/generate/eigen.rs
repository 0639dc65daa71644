//! Eigenvalues of symmetric matrices, by Jacobi's rotations (Golub and Van Loan 2013, section 8.5): as exact as double precision
//! allows and a few lines, for matrices of a hundred rows or two.

/// Rounds after which what is left beside the diagonal is nothing.
const ROUNDS: usize = 60;

/// Eigenvalues of the symmetric matrix `a` of `n` rows, the largest first, and an eigenvector of norm 1 for each.
pub fn symmetric(mut a: Vec<f64>, n: usize) -> Vec<(f64, Vec<f64>)> {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    let scale: f64 = a.iter().map(|value| value * value).sum();
    for _ in 0..ROUNDS {
        let beside: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if beside <= 1e-28 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let vector = |k: usize| vectors[k * n..(k + 1) * n].to_vec();
    let mut found: Vec<(f64, Vec<f64>)> = (0..n).map(|k| (a[k * n + k], vector(k))).collect();
    found.sort_by(|x, y| y.0.total_cmp(&x.0));
    found
}

/// Turns rows and columns `p` and `q` so that nothing is left where they meet; the vectors are rows.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let meeting = a[p * n + q];
    if meeting == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * meeting);
    let t = if theta >= 0.0 { 1.0 } else { -1.0 } / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for matrix in [a, vectors] {
        for k in 0..n {
            let (x, y) = (matrix[p * n + k], matrix[q * n + k]);
            (matrix[p * n + k], matrix[q * n + k]) = (c * x - s * y, s * x + c * y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::random;

    #[test]
    fn eigenvectors_put_together_are_the_matrix_again() {
        let n = 17;
        let mut rng = random::stream(1, "matrix");
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let value = f64::from(random::normal(&mut rng));
                (a[i * n + j], a[j * n + i]) = (value, value);
            }
        }
        let found = symmetric(a.clone(), n);
        assert!(found.windows(2).all(|pair| pair[0].0 >= pair[1].0));
        for i in 0..n {
            for j in 0..n {
                let sum: f64 = found.iter().map(|(value, vector)| value * vector[i] * vector[j]).sum();
                assert!((sum - a[i * n + j]).abs() < 1e-10, "{sum} for {}", a[i * n + j]);
                let dot: f64 = found[i].1.iter().zip(&found[j].1).map(|(x, y)| x * y).sum();
                assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-10);
            }
        }
    }
}
