//! What is done to the rows of a matrix besides products.

use pulp::{Simd, WithSimd};

use super::dense::LayerNormWeights;
use crate::activation::{exp, gelu};
use crate::simd::dispatch;

/// Added to the variance before the root.
const EPSILON: f32 = 1e-5;

/// Brings every row of `x`, each of `width` values, to mean 0 and variance 1, in `out`.
pub fn normalise(x: &[f32], width: usize, out: &mut [f32]) {
    dispatch(Normalise { x, width, out });
}

/// Scales and shifts the columns of a row that is normalised.
pub fn scale_and_shift(row: &mut [f32], norm: &LayerNormWeights) {
    for ((x, scale), shift) in row.iter_mut().zip(&norm.weight).zip(&norm.bias) {
        *x = *x * scale + shift;
    }
}

/// Puts the Gaussian error linear unit of every value in its place.
pub fn gelu_in_place(values: &mut [f32]) {
    dispatch(Gelu(values));
}

/// Makes every row of `scores` into the terms of a softmax, the highest 1; their sums go to
/// `totals`. A row has `width` values, which are whole vectors; those from `length` on do not
/// count and become nearly 0. A score that is no number makes its whole
/// row none.
pub fn softmax_terms(scores: &mut [f32], width: usize, length: usize, totals: &mut [f32]) {
    dispatch(SoftmaxTerms { scores, width, length, totals });
}

/// Sum of the products of two rows.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    dispatch(Dot(a, b))
}

/// `sum += factor * x`.
pub fn add_scaled(sum: &mut [f32], x: &[f32], factor: f32) {
    dispatch(AddScaled(sum, x, factor));
}

struct Normalise<'a> {
    x: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let count = self.width as f32;
        for (x, out) in self.x.chunks_exact(self.width).zip(self.out.chunks_exact_mut(self.width)) {
            let (body, tail) = S::as_simd_f32s(x);
            let total = body.iter().fold(simd.splat_f32s(0.0), |sum, x| simd.add_f32s(sum, *x));
            let mean = (simd.reduce_sum_f32s(total) + tail.iter().sum::<f32>()) / count;
            let means = simd.splat_f32s(mean);
            let total = body.iter().fold(simd.splat_f32s(0.0), |sum, x| {
                let centred = simd.sub_f32s(*x, means);
                simd.mul_add_e_f32s(centred, centred, sum)
            });
            let rest: f32 = tail.iter().map(|x| (x - mean) * (x - mean)).sum();
            let factor = 1.0 / ((simd.reduce_sum_f32s(total) + rest) / count + EPSILON).sqrt();
            let factors = simd.splat_f32s(factor);
            let (out, out_tail) = S::as_mut_simd_f32s(out);
            for (out, x) in out.iter_mut().zip(body) {
                *out = simd.mul_f32s(simd.sub_f32s(*x, means), factors);
            }
            for (out, x) in out_tail.iter_mut().zip(tail) {
                *out = (x - mean) * factor;
            }
        }
    }
}

struct Gelu<'a>(&'a mut [f32]);

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (body, tail) = S::as_mut_simd_f32s(self.0);
        for value in body {
            *value = gelu(simd, *value);
        }
        if !tail.is_empty() {
            simd.partial_store_f32s(tail, gelu(simd, simd.partial_load_f32s(tail)));
        }
    }
}

struct SoftmaxTerms<'a> {
    scores: &'a mut [f32],
    width: usize,
    length: usize,
    totals: &'a mut [f32],
}

impl WithSimd for SoftmaxTerms<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (scores, total) in self.scores.chunks_exact_mut(self.width).zip(self.totals) {
            scores[self.length..].fill(f32::NEG_INFINITY);
            let (scores, rest) = S::as_mut_simd_f32s(scores);
            debug_assert!(rest.is_empty());
            let lowest = simd.splat_f32s(f32::NEG_INFINITY);
            let highest = scores.iter().fold(lowest, |highest, score| simd.max_f32s(*score, highest));
            let highest = simd.splat_f32s(simd.reduce_max_f32s(highest));
            let mut sum = simd.splat_f32s(0.0);
            for score in scores.iter_mut() {
                *score = exp(simd, simd.sub_f32s(*score, highest));
                sum = simd.add_f32s(sum, *score);
            }
            *total = simd.reduce_sum_f32s(sum);
            if total.is_nan() {
                scores.fill(simd.splat_f32s(f32::NAN));
            }
        }
    }
}

struct Dot<'a>(&'a [f32], &'a [f32]);

impl WithSimd for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (S::as_simd_f32s(self.0), S::as_simd_f32s(self.1));
        let sum = a.iter().zip(b).fold(simd.splat_f32s(0.0), |sum, (a, b)| simd.mul_add_e_f32s(*a, *b, sum));
        simd.reduce_sum_f32s(sum) + a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum::<f32>()
    }
}

struct AddScaled<'a>(&'a mut [f32], &'a [f32], f32);

impl WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ((sum, sum_tail), (x, x_tail)) = (S::as_mut_simd_f32s(self.0), S::as_simd_f32s(self.1));
        let factor = simd.splat_f32s(self.2);
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum = simd.mul_add_e_f32s(*x, factor, *sum);
        }
        for (sum, x) in sum_tail.iter_mut().zip(x_tail) {
            *sum += self.2 * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised_as_the_definition_says() {
        for width in [1, 5, 16, 37] {
            let x: Vec<f32> = (0..3 * width).map(|i| ((i * 31) % 17) as f32 - 3.0).collect();
            let mut out = vec![0.0; x.len()];
            normalise(&x, width, &mut out);
            for (x, out) in x.chunks(width).zip(out.chunks(width)) {
                let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
                let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
                for (got, x) in out.iter().zip(x) {
                    let want = (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{got} for {want}");
                }
            }
        }
    }

    #[test]
    fn terms_are_those_of_a_softmax_whatever_the_length() {
        for length in [1, 15, 16, 17, 40] {
            let width = 48;
            let scores: Vec<f32> = (0..2 * width).map(|i| ((i * 13) % 7) as f32 * 3.0 - 90.0).collect();
            let (mut terms, mut totals) = (scores.clone(), [0.0; 2]);
            softmax_terms(&mut terms, width, length, &mut totals);
            for ((scores, terms), total) in scores.chunks(width).zip(terms.chunks(width)).zip(totals) {
                let highest = scores[..length].iter().copied().fold(f32::MIN, f32::max);
                for (term, score) in terms[..length].iter().zip(scores) {
                    let want = f64::from(score - highest).exp();
                    assert!((f64::from(*term) - want).abs() < 1e-6, "{term} for {want}");
                }
                assert!(terms[length..].iter().all(|term| *term < 1e-30));
                assert!((terms.iter().sum::<f32>() - total).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn sums_take_the_last_columns_too() {
        for width in [1, 16, 21] {
            let a: Vec<f32> = (0..width).map(|i| i as f32).collect();
            assert_eq!(dot(&a, &a), a.iter().map(|x| x * x).sum::<f32>());
            let mut sum = vec![1.0; width];
            add_scaled(&mut sum, &a, 2.0);
            assert!(sum.iter().zip(&a).all(|(sum, x)| *sum == 1.0 + 2.0 * x));
        }
    }

    #[test]
    fn what_is_no_number_is_not_hidden() {
        for bad in [f32::NAN, f32::INFINITY] {
            for place in [0, 19] {
                let mut x = vec![1.0; 32];
                x[place] = bad;
                let (mut scores, mut totals) = (x.clone(), [0.0]);
                softmax_terms(&mut scores, 32, 20, &mut totals);
                assert!(totals[0].is_nan() && scores.iter().all(|x| x.is_nan()));
                let mut out = vec![0.0; 20];
                normalise(&x[..20], 20, &mut out);
                assert!(out.iter().all(|x| x.is_nan()));
                gelu_in_place(&mut x);
                assert!(!x[place].is_finite());
            }
        }
    }
}
