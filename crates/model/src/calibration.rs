//! From logits to probabilities that mean what they say.
//!
//! One temperature divides all logits before the softmax (Guo et al. 2017, "On calibration of
//! modern neural networks"). It changes no ranking and no label; it only takes back, or adds,
//! confidence until the probabilities fit what was seen on examples the network did not learn
//! from.
//!
//! The names that a tagger finds have a probability each, of being right, and no logits. Theirs is corrected in the same
//! spirit by a straight line through log-odds ([`NameCalibration`]).

use serde::{Deserialize, Serialize};

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

/// How the probability of the names of one label, or of one relation, is corrected: its log-odds times a slope, and an offset (Platt 1999,
/// "Probabilistic outputs for support vector machines", with log-odds for margins). A higher one stays higher.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameCalibration {
    /// What log-odds are multiplied by, above 0.
    pub slope: f64,
    /// What is added.
    pub offset: f64,
}

/// Log-odds of a probability, which is taken within one in a million of 0 and 1.
fn log_odds(probability: f64) -> f64 {
    let p = probability.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

impl NameCalibration {
    /// The one that changes nothing.
    pub const NONE: NameCalibration = NameCalibration { slope: 1.0, offset: 0.0 };

    /// The corrected probability.
    pub fn apply(self, probability: f64) -> f64 {
        1.0 / (1.0 + (-self.slope * log_odds(probability) - self.offset).exp())
    }

    /// The line under which what was seen is most likely: probabilities, and whether the name was right. A weak penalty
    /// keeps it near [`NameCalibration::NONE`] where little was seen.
    pub fn fit(seen: &[(f64, bool)]) -> NameCalibration {
        const PENALTY: f64 = 1.0;
        let rows: Vec<(f64, f64)> =
            seen.iter().map(|(p, right)| (log_odds(*p), f64::from(u8::from(*right)))).collect();
        // Terms of the loss by a log-odds that cannot overflow.
        let loss = |slope: f64, offset: f64| -> f64 {
            let one = |(x, right): &(f64, f64)| {
                let z = slope * x + offset;
                z.max(0.0) - z * right + (-z.abs()).exp().ln_1p()
            };
            rows.iter().map(one).sum::<f64>() + PENALTY / 2.0 * ((slope - 1.0).powi(2) + offset.powi(2))
        };
        let (mut slope, mut offset) = (1.0, 0.0);
        for _ in 0..50 {
            // Newton's step; the penalty keeps the second derivatives' matrix invertible.
            let (mut g, mut h) = ([PENALTY * (slope - 1.0), PENALTY * offset], [PENALTY, 0.0, PENALTY]);
            for (x, right) in &rows {
                let p = 1.0 / (1.0 + (-slope * x - offset).exp());
                let (off, weight) = (p - right, p * (1.0 - p));
                g = [g[0] + off * x, g[1] + off];
                h = [h[0] + weight * x * x, h[1] + weight * x, h[2] + weight];
            }
            let determinant = h[0] * h[2] - h[1] * h[1];
            let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
            let before = loss(slope, offset);
            let mut size = 1.0;
            while size > 1e-6 && loss(slope - size * step[0], offset - size * step[1]) > before {
                size /= 2.0;
            }
            (slope, offset) = (slope - size * step[0], offset - size * step[1]);
            if (size * step[0]).abs().max((size * step[1]).abs()) < 1e-9 {
                break;
            }
        }
        // A line that falls would turn the order round: then nothing is known but how often names are right.
        NameCalibration { slope: slope.max(1e-3), offset }
    }
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
    fn names_are_as_often_right_as_is_said() {
        // Said with 0.9 and 0.6, right in 70 and 50 of a hundred.
        let seen: Vec<(f64, bool)> =
            (0..2000).map(|i| if i % 2 == 0 { (0.9, i % 200 < 140) } else { (0.6, i % 200 < 100) }).collect();
        let line = NameCalibration::fit(&seen);
        assert!((line.apply(0.9) - 0.7).abs() < 0.01 && (line.apply(0.6) - 0.5).abs() < 0.01, "{line:?}");
        // What fits stays, and so does what nothing is known of.
        let fits: Vec<(f64, bool)> = (0..2000).map(|i| (0.75, i % 4 != 0)).collect();
        assert!((NameCalibration::fit(&fits).apply(0.75) - 0.75).abs() < 0.01);
        assert_eq!(NameCalibration::fit(&[]), NameCalibration::NONE);
        for p in [0.0, 1e-9, 0.3, 1.0] {
            assert!((NameCalibration::NONE.apply(p) - p).abs() < 2e-6);
        }
        // Always right, or the less the surer: still numbers, and the order is kept.
        for seen in [vec![(0.9, true); 50], [(0.9, false), (0.8, false), (0.2, true), (0.1, true)].repeat(20)]
        {
            let line = NameCalibration::fit(&seen);
            assert!(line.apply(0.2) <= line.apply(0.8) && line.slope.is_finite() && line.offset.is_finite());
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
