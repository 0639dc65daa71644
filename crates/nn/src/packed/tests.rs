//! Products beside the same sums in double precision.

use super::*;
use crate::random;
use proptest::prelude::*;

fn draw(count: usize, seed: u64, name: &str) -> Vec<f32> {
    let mut rng = random::stream(seed, name);
    (0..count).map(|_| random::normal(&mut rng)).collect()
}

proptest! {
    #[test]
    fn products_agree_with_double_precision_and_write_nothing_else(
        rows in 0usize..120, depth in 0usize..70, columns in 1usize..80, apart in 0usize..5,
        residual in 0usize..3, clip in 0usize..3, seed: u64,
    ) {
        let (weights, bias) = (draw(columns * depth, seed, "weights"), draw(columns, seed, "bias"));
        let (from, to) = (depth + apart, columns + apart);
        let x = draw(rows * from, seed, "x");
        let (before, other) = (draw(rows * to, seed, "out"), draw(rows * to, seed, "residual"));
        let mut out = before.clone();
        let packed = PackedWeights::new(&weights, columns);
        let bias_padded = packed.pad(&bias);
        let residual = [Residual::None, Residual::Values(&other), Residual::Output][residual];
        let clip = [Clip::None, Clip::Relu, Clip::Relu6][clip];
        let epilogue = Epilogue { bias: Some(&bias_padded), residual, clip };
        packed.multiply(rows, Matrix { values: &x, stride: from }, epilogue, &mut out, to);
        for place in 0..rows * to {
            let (i, j) = (place / to, place % to);
            let added = match residual {
                Residual::None => 0.0,
                Residual::Values(values) => f64::from(values[place]),
                Residual::Output => f64::from(before[place]),
            };
            let want = if j < columns {
                let terms = (0..depth).map(|k| f64::from(x[i * from + k]) * f64::from(weights[j * depth + k]));
                let sum = terms.sum::<f64>() + f64::from(bias[j]) + added;
                match clip {
                    Clip::None => sum,
                    Clip::Relu => sum.max(0.0),
                    Clip::Relu6 => sum.clamp(0.0, 6.0),
                }
            } else {
                f64::from(before[place])
            };
            prop_assert!((f64::from(out[place]) - want).abs() < 1e-4, "{} for {want}", out[place]);
        }
    }

    #[test]
    fn rows_in_runs_agree_with_double_precision(
        rows in 1usize..20, taps in 1usize..4, length in 1usize..20, columns in 1usize..50, scalar: bool, seed: u64,
    ) {
        let depth = taps * length;
        let taps: Vec<usize> = (0..taps).map(|tap| tap * 41).collect();
        let places: Vec<(u32, u32)> = (0..rows as u32).map(|i| (i * 3 % 17, i * 50)).collect();
        let (values, weights) = (draw(5 + 17 + 3 * 41 + length, seed, "x"), draw(columns * depth, seed, "weights"));
        let mut out = vec![0.0; 2 + rows * 50];
        let packed = PackedWeights::new(&weights, columns);
        let rows = Rows { values: &values, taps: &taps, length };
        let offsets = Scattered { places: &places, from: 5, to: 2 };
        // A panel is four vectors of the narrowest machine, which is also what one number is.
        let product =
            Product { rows, offsets, weights: &packed, epilogue: Epilogue::default(), out: &mut out };
        match scalar && packed.width == 4 {
            true => product.with_simd(pulp::Scalar),
            false => dispatch(product),
        }
        for (i, (from, to)) in places.iter().enumerate() {
            for j in 0..columns {
                let left = |k: usize| values[5 + *from as usize + taps[k / length] + k % length];
                let terms = (0..depth).map(|k| f64::from(left(k)) * f64::from(weights[j * depth + k]));
                let (got, want) = (out[2 + *to as usize + j], terms.sum::<f64>());
                prop_assert!((f64::from(got) - want).abs() < 1e-4, "{got} for {want} in row {i}");
            }
        }
    }

    #[test]
    fn a_matrix_packed_anew_keeps_nothing_of_the_one_before(
        sizes in prop::collection::vec((1usize..60, 1usize..60), 2..5), seed: u64,
    ) {
        let mut packed = PackedWeights::default();
        for (columns, depth) in sizes {
            let weights = draw(columns * depth, seed, "weights");
            packed.fill(depth, columns, |k, j| weights[j * depth + k]);
            let x = draw(depth, seed, "x");
            let (mut again, mut fresh) = (vec![0.0; columns], vec![0.0; columns]);
            let row = Matrix { values: &x, stride: depth };
            packed.multiply(1, row, Epilogue::default(), &mut again, columns);
            PackedWeights::new(&weights, columns).multiply(1, row, Epilogue::default(), &mut fresh, columns);
            prop_assert_eq!(again, fresh);
        }
    }
}

#[test]
fn what_is_no_number_reaches_its_row_alone() {
    let packed = PackedWeights::new(&[1.0; 40 * 3], 40);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut out = vec![0.0; 3 * 40];
        let x = [1.0, 2.0, 3.0, 1.0, bad, 3.0, 1.0, 2.0, 3.0];
        packed.multiply(3, Matrix { values: &x, stride: 3 }, Epilogue::default(), &mut out, 40);
        for (row, out) in out.chunks(40).enumerate() {
            assert!(out.iter().all(|x| if row == 1 { !x.is_finite() } else { *x == 6.0 }));
        }
    }
}

#[test]
#[should_panic(expected = "a row ends beyond the values")]
fn rows_that_end_too_early_are_refused() {
    let packed = PackedWeights::new(&[1.0; 6], 2);
    packed.multiply(2, Matrix { values: &[0.0; 5], stride: 3 }, Epilogue::default(), &mut [0.0; 4], 2);
}
