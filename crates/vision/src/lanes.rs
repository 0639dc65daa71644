//! Sums over pixels, in lanes, and the parts of a row that are summed.
//!
//! One running sum waits for itself at every addition, as an order of floating-point additions is part of a program's
//! meaning. Sixteen that take turns wait for nobody, become vector instructions, and round less.

use std::ops::Range;

/// Sums that take turns.
const LANES: usize = 16;

/// Sum of a function of every value.
#[inline]
pub fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += of(*value));
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| of(*value)).sum::<f32>()
}

/// The same in double precision.
#[inline]
pub fn sum_f64(values: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0f64; LANES];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += of(f64::from(*value)));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| of(f64::from(*value))).sum::<f64>()
}

/// Sum of a function of every two values at the same place, as far as both go.
#[inline]
pub fn sum_of_pairs(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let both = a.len().min(b.len());
    let (a, rest_a) = a[..both].as_chunks::<LANES>();
    let (b, rest_b) = b[..both].as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += of(*a, *b);
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| of(*a, *b)).sum::<f32>()
}

/// Sum of the products of two rows.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of_pairs(a, b, |a, b| a * b)
}

/// Which of `pixels` in a row are in one of `parts` that hardly differ in size, from part 0 on.
pub fn part(at: usize, parts: usize, pixels: usize) -> Range<usize> {
    (at * pixels).div_ceil(parts)..((at + 1) * pixels).div_ceil(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_are_those_of_one_after_the_other(
            pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..100), further in 0usize..20,
        ) {
            let (a, mut b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let exact = |of: &dyn Fn(f64, f64) -> f64| {
                a.iter().zip(&b).map(|(a, b)| of(f64::from(*a), f64::from(*b))).sum::<f64>()
            };
            let (squares, products) = (exact(&|a, _| a * a), exact(&|a, b| a * b));
            let apart = exact(&|a, b| (a - b).abs());
            b.resize(b.len() + further, 9.0);
            prop_assert!((f64::from(sum(&a, |a| a * a)) - squares).abs() < 1e-4);
            prop_assert!((sum_f64(&a, |a| a * a) - squares).abs() < 1e-12);
            prop_assert!((f64::from(dot(&a, &b)) - products).abs() < 1e-4);
            prop_assert!((f64::from(sum_of_pairs(&b, &a, |b, a| (a - b).abs())) - apart).abs() < 1e-4);
        }
    }
}
