//! Losses beside cross-entropy: binary, for labels of which several may hold at once, and the mean square, for a number.
//!
//! What the network says becomes an answer by what is fitted on validation pictures: of each label a logistic curve and a
//! threshold, of a number the interval that holds the true one.

use anyhow::{Result, ensure};
use candle_core::{D, Tensor};
use rand_chacha::ChaCha8Rng;

use super::fit::{Examples, Objective, Validation, predict};
use super::image_set::ImageSet;
use super::metrics::{BINS, auc, ratio};
use model::calibration::NotFinite;
use model::manifest::{Binary, BinaryMetrics, Interval, NumberMetrics, NumberOutput};
use nn::{ImageNetwork, Network, Pass};

/// Share of the cases in which the interval of a number holds the true one.
pub const SHARE: f64 = 0.9;

/// Least slope of a label's curve.
const LEAST_SLOPE: f64 = 1e-3;

/// Most steps of Newton's method, which needs a handful.
const STEPS: usize = 100;

/// What is to become small.
#[derive(Debug, Clone, PartialEq)]
pub enum Loss {
    /// Mean over labels of the binary cross-entropy.
    Binary {
        /// Weight of an example with the label, by label; one without it weighs 1.
        weights: Vec<f32>,
        /// Share of a target that is brought to one half.
        smoothing: f32,
    },
    /// Mean square of the distance in standard deviations.
    Square,
}

impl Loss {
    /// The binary loss for such targets; `balance` 0 is for examples that weigh the same, 1 for labels that weigh as much as
    /// their absence.
    pub fn binary(targets: &[Vec<f32>], balance: f64, smoothing: f32) -> Loss {
        let labels = targets.first().map_or(0, Vec::len);
        let weight = |label: usize| {
            let with = targets.iter().filter(|row| row[label] > 0.5).count();
            let without = targets.len() - with;
            (without.max(1) as f64 / with.max(1) as f64).powf(balance) as f32
        };
        Loss::Binary { weights: (0..labels).map(weight).collect(), smoothing }
    }

    /// Of logits and targets of shape (examples, outputs).
    fn of(&self, logits: &Tensor, targets: &[Vec<f32>]) -> candle_core::Result<Tensor> {
        let (rows, outputs) = logits.dims2()?;
        match self {
            Loss::Square => {
                let targets = Tensor::from_vec(targets.concat(), (rows, outputs), logits.device())?;
                (logits - targets)?.sqr()?.mean_all()
            }
            Loss::Binary { weights, smoothing } => {
                // A label and its absence are two labels that exclude each other.
                let mut values = Vec::with_capacity(2 * rows * outputs);
                for row in targets {
                    for (target, weight) in row.iter().zip(weights) {
                        let target = target * (1.0 - smoothing) + 0.5 * smoothing;
                        values.extend([weight * target, 1.0 - target]);
                    }
                }
                let targets = Tensor::from_vec(values, (rows, outputs, 2), logits.device())?;
                let pairs = Tensor::stack(&[logits, &logits.zeros_like()?], 2)?;
                let logs = candle_nn::ops::log_softmax(&pairs, D::Minus1)?;
                (logs * targets)?.sum(D::Minus1)?.mean_all()?.neg()
            }
        }
    }
}

/// A network that learns targets; the label of an example of a set is its place among them.
pub struct Targeted<'a> {
    /// What learns.
    pub network: &'a ImageNetwork,
    /// What it learns from.
    pub train: &'a ImageSet,
    /// One row an example of [`Targeted::train`].
    pub train_targets: &'a [Vec<f32>],
    /// What it is validated on.
    pub val: &'a ImageSet,
    /// One row an example of [`Targeted::val`].
    pub val_targets: &'a [Vec<f32>],
    /// What is to become small.
    pub loss: Loss,
    /// Examples of a forward pass while measuring.
    pub batch_size: usize,
}

impl Objective for Targeted<'_> {
    fn examples(&self) -> usize {
        self.train.labels().len()
    }

    fn loss(&self, indices: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let places = self.train.labels();
        let mut targets: Vec<Vec<f32>> =
            indices.iter().map(|index| self.train_targets[places[*index]].clone()).collect();
        let batch = self.train.training_batch(indices, &mut targets, rng)?;
        let logits = self.network.logits(&batch, &mut Pass::Training(rng))?;
        Ok(self.loss.of(&logits, &targets)?)
    }

    fn validate(&self) -> Result<Validation> {
        let logits = predict(self.network, self.val, self.batch_size)?;
        let truth: Vec<&Vec<f32>> = self.val.labels().iter().map(|place| &self.val_targets[*place]).collect();
        ensure!(
            logits.iter().flatten().all(|logit| logit.is_finite()),
            "the network's output is not a finite number; a lower learning rate may help"
        );
        let pairs = || logits.iter().flatten().zip(truth.iter().copied().flatten());
        let count = pairs().count().max(1) as f64;
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            pairs().map(|(logit, target)| of(f64::from(*logit), f64::from(*target))).sum::<f64>() / count
        };
        Ok(match self.loss {
            Loss::Square => {
                let loss = mean(&|output, target| (output - target).powi(2));
                let middle = mean(&|_, target| target);
                let spread = mean(&|_, target| (target - middle).powi(2));
                // The share of the variance that is explained.
                Validation { loss, accuracy: 1.0 - loss / spread.max(1e-12), auc: None }
            }
            Loss::Binary { .. } => {
                let areas: Vec<f64> = (0..truth.first().map_or(0, |row| row.len()))
                    .filter_map(|label| {
                        let scores: Vec<f64> = logits.iter().map(|row| f64::from(row[label])).collect();
                        let positive: Vec<bool> = truth.iter().map(|row| row[label] > 0.5).collect();
                        auc(&scores, &positive)
                    })
                    .collect();
                Validation {
                    loss: mean(&|logit, target| softplus(logit) - target * logit),
                    accuracy: mean(&|logit, target| f64::from(u8::from((logit > 0.0) == (target > 0.5)))),
                    auc: (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64),
                }
            }
        })
    }
}

/// The logarithm of one plus the exponential.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The curve from a label's logits to its probability, and the threshold at which sensitivity and specificity together are
/// highest (Youden 1950).
///
/// The curve is Platt's (1999): the logistic function of least cross-entropy with his targets, which keep a label of few
/// examples from being certain.
pub fn fit_binary(logits: &[f32], holds: &[bool]) -> Binary {
    let with = holds.iter().filter(|holds| **holds).count() as f64;
    let without = holds.len() as f64 - with;
    let target = |holds: bool| if holds { (with + 1.0) / (with + 2.0) } else { 1.0 / (without + 2.0) };
    let (mut slope, mut offset) = (1.0f64, ((with + 1.0) / (without + 1.0)).ln());
    let loss = |slope: f64, offset: f64| -> f64 {
        let one = |(logit, holds): (&f32, &bool)| {
            let z = slope * f64::from(*logit) + offset;
            softplus(z) - target(*holds) * z
        };
        logits.iter().zip(holds).map(one).sum()
    };
    let mut now = loss(slope, offset);
    for _ in 0..STEPS {
        // Gradient and Hessian over both, the latter kept from being singular.
        let (mut g, mut h) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
        for (logit, holds) in logits.iter().zip(holds) {
            let x = f64::from(*logit);
            let p = 1.0 / (1.0 + (-(slope * x + offset)).exp());
            let (off, weight) = (p - target(*holds), p * (1.0 - p));
            g = [g[0] + off * x, g[1] + off];
            h = [h[0] + weight * x * x, h[1] + weight * x, h[2] + weight];
        }
        let determinant = (h[0] * h[2] - h[1] * h[1]).max(1e-18);
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        // A shorter step where the whole one overshoots.
        let shorter = (0..30).map(|halvings| 0.5f64.powi(halvings)).find_map(|share| {
            let (a, b) = (slope - share * step[0], offset - share * step[1]);
            let next = loss(a, b);
            (next < now).then_some((a, b, next))
        });
        let Some((a, b, next)) = shorter else { break };
        let gained = now - next;
        (slope, offset, now) = (a, b, next);
        if gained < 1e-10 {
            break;
        }
    }
    // What was not learned, or the wrong way round, is as likely for one picture as for the next.
    if slope < LEAST_SLOPE {
        (slope, offset) = (LEAST_SLOPE, ((with + 1.0) / (without + 1.0)).ln());
    }
    let binary = Binary { slope: slope as f32, offset: offset as f32, threshold: 0.5 };
    let chances: Vec<f64> = logits.iter().map(|logit| chance(&binary, *logit)).collect();
    Binary { threshold: threshold(&chances, holds), ..binary }
}

fn chance(binary: &Binary, logit: f32) -> f64 {
    binary.probability(logit).map_or(0.0, f64::from)
}

/// The threshold of highest sensitivity and specificity, in the middle between the probabilities that it parts; 0.5 where
/// one of the two is missing.
fn threshold(chances: &[f64], holds: &[bool]) -> f32 {
    let mut order: Vec<(f64, bool)> = chances.iter().copied().zip(holds.iter().copied()).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let with = holds.iter().filter(|holds| **holds).count() as f64;
    let without = holds.len() as f64 - with;
    if with == 0.0 || without == 0.0 {
        return 0.5;
    }
    let (mut best, mut most) = (0.5, f64::NEG_INFINITY);
    let (mut missed, mut right) = (0.0, 0.0);
    for pair in order.windows(2) {
        let [(below, held), (above, _)] = [pair[0], pair[1]];
        if held {
            missed += 1.0
        } else {
            right += 1.0
        }
        let worth = (with - missed) / with + right / without;
        if above > below && worth > most {
            (best, most) = (f64::midpoint(below, above), worth);
        }
    }
    best as f32
}

/// What a label is worth on a split.
///
/// # Errors
/// A logit that is not finite.
pub fn measure_binary(binary: &Binary, logits: &[f32], holds: &[bool]) -> Result<BinaryMetrics, NotFinite> {
    let chances: Vec<f32> =
        logits.iter().map(|logit| binary.probability(*logit)).collect::<Result<_, _>>()?;
    let mut counts = [[0usize; 2]; 2];
    let mut bins = vec![(0usize, 0.0, 0.0); BINS];
    for (chance, holds) in chances.iter().zip(holds) {
        counts[usize::from(*holds)][usize::from(*chance >= binary.threshold)] += 1;
        let bin = ((f64::from(*chance) * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        let (count, sum, held) = &mut bins[bin];
        (*count, *sum, *held) = (*count + 1, *sum + f64::from(*chance), *held + f64::from(u8::from(*holds)));
    }
    let share = |part: usize, whole: usize| ratio(part as u64, whole as u64);
    let [[rest, alarms], [missed, found]] = counts;
    let gaps: f64 = bins.iter().map(|(_, sum, held)| f64::abs(sum - held)).sum();
    let scores: Vec<f64> = chances.iter().map(|chance| f64::from(*chance)).collect();
    Ok(BinaryMetrics {
        examples: holds.len(),
        positives: found + missed,
        auc: auc(&scores, holds),
        sensitivity: share(found, found + missed),
        specificity: share(rest, rest + alarms),
        f1: share(2 * found, 2 * found + missed + alarms),
        ece: gaps / holds.len().max(1) as f64,
    })
}

/// The place of the error at which the interval ends, among so many from the smallest on.
fn rank(errors: usize) -> usize {
    ((errors + 1) as f64 * SHARE).ceil() as usize
}

/// How many errors there have to be before one of them bounds the share.
pub fn fewest() -> usize {
    (1..).find(|errors| rank(*errors) <= *errors).unwrap_or(1)
}

/// The interval that holds the true number in [`SHARE`] of the cases, by the errors on examples that the network did not
/// learn from, [`fewest`] at the least: the quantile of split conformal prediction.
pub fn fit_interval(errors: &[f64]) -> Interval {
    let mut sorted: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = rank(sorted.len());
    let half = sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0);
    // The example that it ends at lies within, however the numbers are rounded when they are written and read.
    let half = half * (1.0 + 1e-9);
    Interval { share: SHARE, half }
}

/// What a number is worth on a split; `truth` and `found` are numbers.
pub fn measure_number(output: &NumberOutput, found: &[f64], truth: &[f64]) -> NumberMetrics {
    let count = truth.len().max(1) as f64;
    let errors: Vec<f64> = found.iter().zip(truth).map(|(found, truth)| found - truth).collect();
    let mean = truth.iter().sum::<f64>() / count;
    let spread: f64 = truth.iter().map(|truth| (truth - mean).powi(2)).sum();
    let squares: f64 = errors.iter().map(|error| error * error).sum();
    let inside = errors.iter().filter(|error| error.abs() <= output.interval.half).count();
    NumberMetrics {
        examples: truth.len(),
        mae: errors.iter().map(|error| error.abs()).sum::<f64>() / count,
        rmse: (squares / count).sqrt(),
        r2: (spread > 0.0).then(|| 1.0 - squares / spread),
        covered: inside as f64 / count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use nn::random;

    #[test]
    fn losses_and_their_gradients_are_those_by_hand() {
        let logits =
            Var::from_tensor(&Tensor::new(&[[0.5f32, -2.0], [1.5, 0.3]], &Device::Cpu).unwrap()).unwrap();
        let targets = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        let values = [0.5f64, -2.0, 1.5, 0.3];
        let wanted = [1.0f64, 0.0, 0.0, 1.0];
        let weights = [3.0f64, 1.0, 3.0, 1.0];
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let smoothing = 0.2;
        let soft = |t: f64| t * (1.0 - smoothing) + 0.5 * smoothing;
        let binary = Loss::Binary { weights: vec![3.0, 1.0], smoothing: smoothing as f32 };
        let by_hand: f64 = (0..4)
            .map(|i| {
                let (p, t) = (sigmoid(values[i]), soft(wanted[i]));
                -(weights[i] * t * p.ln() + (1.0 - t) * (1.0 - p).ln()) / 4.0
            })
            .sum();
        let slopes: Vec<f64> = (0..4)
            .map(|i| {
                let (p, t) = (sigmoid(values[i]), soft(wanted[i]));
                (-weights[i] * t * (1.0 - p) + (1.0 - t) * p) / 4.0
            })
            .collect();
        let square: f64 = (0..4).map(|i| (values[i] - wanted[i]).powi(2) / 4.0).sum();
        let falls: Vec<f64> = (0..4).map(|i| (values[i] - wanted[i]) / 2.0).collect();
        for (loss, value, gradient) in [(binary, by_hand, slopes), (Loss::Square, square, falls)] {
            let got = loss.of(&logits, &targets).unwrap();
            assert!((f64::from(got.to_scalar::<f32>().unwrap()) - value).abs() < 1e-6, "{loss:?}");
            let got: Vec<f32> =
                got.backward().unwrap().get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            for (got, want) in got.iter().zip(&gradient) {
                assert!((f64::from(*got) - want).abs() < 1e-6, "{loss:?} {got} {want}");
            }
        }
        let rare = vec![vec![1.0], vec![0.0], vec![0.0], vec![0.0], vec![0.0]];
        assert_eq!(Loss::binary(&rare, 0.5, 0.0), Loss::Binary { weights: vec![2.0], smoothing: 0.0 });
    }

    #[test]
    fn a_curve_that_made_the_labels_is_found_again() {
        let mut rng = random::stream(2, "logits");
        let logits: Vec<f32> = (0..20_000).map(|_| random::uniform(&mut rng, -4.0, 4.0)).collect();
        let made = Binary { slope: 0.7, offset: -1.2, threshold: 0.5 };
        let holds: Vec<bool> = logits
            .iter()
            .map(|logit| random::uniform(&mut rng, 0.0, 1.0) < made.probability(*logit).unwrap())
            .collect();
        let found = fit_binary(&logits, &holds);
        assert!((found.slope - 0.7).abs() < 0.05 && (found.offset + 1.2).abs() < 0.05, "{found:?}");
        let metrics = measure_binary(&found, &logits, &holds).unwrap();
        assert!(metrics.ece < 0.02, "{metrics:?}");
        // One that was learned the wrong way round still has a probability, nearly the same for all.
        let wrong = fit_binary(&logits, &holds.iter().map(|holds| !holds).collect::<Vec<_>>());
        assert!(wrong.slope > 0.0 && wrong.slope < 0.01, "{wrong:?}");
    }

    #[test]
    fn labels_that_are_told_apart_have_a_threshold_between_and_no_certainty() {
        let logits = [-3.0, -2.0, -1.0, 2.0, 3.0, 4.0];
        let holds = [false, false, false, true, true, true];
        let found = fit_binary(&logits, &holds);
        let [below, above] = [-1.0, 2.0].map(|logit| found.probability(logit).unwrap());
        assert!(below < found.threshold && found.threshold < above, "{found:?}");
        assert!(found.probability(4.0).unwrap() < 0.99, "{found:?}");
        let metrics = measure_binary(&found, &logits, &holds).unwrap();
        assert_eq!(
            (metrics.sensitivity, metrics.specificity, metrics.f1, metrics.auc),
            (Some(1.0), Some(1.0), Some(1.0), Some(1.0))
        );
        assert_eq!(measure_binary(&found, &[f32::NAN], &[true]), Err(NotFinite));
        assert_eq!(fit_binary(&[1.0, 2.0], &[true, true]).threshold, 0.5);
    }

    #[test]
    fn an_interval_holds_its_share_of_numbers_never_seen() {
        let mut rng = random::stream(5, "errors");
        let mut errors =
            |count: usize| -> Vec<f64> { (0..count).map(|_| f64::from(random::normal(&mut rng))).collect() };
        let interval = fit_interval(&errors(4000));
        // The 95 % quantile of the standard normal distribution is 1.645.
        assert!((interval.half - 1.645).abs() < 0.08, "{interval:?}");
        let output = NumberOutput {
            unit: None,
            mean: 0.0,
            deviation: 1.0,
            interval,
            metrics: std::collections::BTreeMap::new(),
        };
        let found = errors(4000);
        let metrics = measure_number(&output, &found, &vec![0.0; 4000]);
        assert!((metrics.covered - 0.9).abs() < 0.02, "{metrics:?}");
        assert_eq!(metrics.r2, None);
        let metrics = measure_number(&output, &[1.0, 2.0, 3.0], &[1.0, 4.0, 1.0]);
        assert!(
            (metrics.mae - 4.0 / 3.0).abs() < 1e-12 && (metrics.rmse - (8f64 / 3.0).sqrt()).abs() < 1e-12
        );
        assert!((metrics.r2.unwrap() - (1.0 - 8.0 / 6.0)).abs() < 1e-12);
        assert_eq!(fewest(), 9);
        assert!((fit_interval(&[3.0, -5.0]).half - 5.0).abs() < 1e-6);
    }
}
