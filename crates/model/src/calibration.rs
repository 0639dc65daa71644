//! From logits to probabilities that mean what they say.
//!
//! One temperature divides all logits before the softmax (Guo et al. 2017, "On calibration of
//! modern neural networks"). It changes no ranking and no label; it only takes back, or adds,
//! confidence until the probabilities fit what was seen on examples the network did not learn
//! from.

/// A network's output that is not a number, or infinite: nothing can be said from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the network's output is not a finite number")]
pub struct NotFinite;

/// Softmax of `logits / temperature`, computed in double precision.
///
/// # Errors
/// A logit that is not finite.
pub fn probabilities(logits: &[f32], temperature: f32) -> Result<Vec<f32>, NotFinite> {
    if logits.is_empty() || logits.iter().any(|l| !l.is_finite()) {
        return Err(NotFinite);
    }
    let highest = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let terms: Vec<f64> =
        logits.iter().map(|l| (f64::from(l - highest) / f64::from(temperature)).exp()).collect();
    let total: f64 = terms.iter().sum();
    Ok(terms.iter().map(|t| (t / total) as f32).collect())
}

/// Mean negative log likelihood of `labels` at a temperature; lower is better.
///
/// `logits` holds one row an example, `labels` the index of the right label.
pub fn negative_log_likelihood(logits: &[Vec<f32>], labels: &[usize], temperature: f64) -> f64 {
    let total: f64 = logits
        .iter()
        .zip(labels)
        .map(|(row, &label)| {
            let highest = f64::from(row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b)));
            let scaled = |l: f32| (f64::from(l) - highest) / temperature;
            row.iter().map(|&l| scaled(l).exp()).sum::<f64>().ln() - scaled(row[label])
        })
        .sum();
    total / labels.len().max(1) as f64
}

/// The temperature between 0.05 and 20 of least negative log likelihood. The likelihood is
/// convex in 1 / temperature, so a golden-section search finds the one minimum.
pub fn fit_temperature(logits: &[Vec<f32>], labels: &[usize]) -> f64 {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.05f64.ln(), 20f64.ln());
    let loss = |x: f64| negative_log_likelihood(logits, labels, x.exp());
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (loss(a), loss(b));
    while high - low > 1e-6 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = loss(b);
        }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn probabilities_sum_to_one_and_keep_the_order(
            logits in prop::collection::vec(-200f32..200.0, 2..30), temperature in 0.05f32..20.0,
        ) {
            let p = probabilities(&logits, temperature).unwrap();
            prop_assert!((p.iter().map(|p| f64::from(*p)).sum::<f64>() - 1.0).abs() < 1e-5);
            for (a, pa) in logits.iter().zip(&p) {
                for (b, pb) in logits.iter().zip(&p) {
                    prop_assert!(a < b || pa >= pb);
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(probabilities(&[0.0, bad], 1.0), Err(NotFinite));
        }
    }

    #[test]
    fn overconfidence_is_taken_back() {
        // Right in 75 of 100 cases with a logit gap of 4: the gap that says so is ln 3.
        let logits = vec![vec![4.0, 0.0]; 100];
        let labels: Vec<usize> = (0..100).map(|i| usize::from(i % 4 == 0)).collect();
        let temperature = fit_temperature(&logits, &labels);
        assert!((temperature - 4.0 / 3f64.ln()).abs() < 1e-3, "{temperature}");
    }
}
