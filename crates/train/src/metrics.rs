//! What a classifier is worth, in numbers.
//!
//! All metrics are computed from calibrated probabilities, as the server would answer them, and
//! agree with scikit-learn's definitions (`tests/golden/metrics.py` makes the values the tests
//! compare with).

use std::collections::BTreeMap;

use model::manifest::{Metrics, OrdinalMetrics};

/// Bins of the calibration error and of the reliability plot.
pub const BINS: usize = 15;

/// One bin of confidence: answers whose highest probability lies in it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// Number of answers.
    pub count: usize,
    /// Their mean highest probability.
    pub confidence: f64,
    /// The share that is right.
    pub accuracy: f64,
}

/// All metrics over one split.
///
/// `probabilities` has one row an example; `truth` and `answers` are label indices, an answer
/// being the label given (that of the highest probability, or of least expected cost);
/// `abstain_below` is the threshold of abstention; `ordinal` adds the metrics of ordered labels.
pub fn metrics(
    labels: &[String],
    probabilities: &[Vec<f32>],
    truth: &[usize],
    answers: &[usize],
    abstain_below: f32,
    ordinal: bool,
) -> Metrics {
    let confusion = confusion(labels.len(), truth, answers);
    let right = |i: &usize| truth[*i] == answers[*i];
    let answered: Vec<usize> =
        (0..truth.len()).filter(|i| highest(&probabilities[*i]).1 >= abstain_below).collect();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    // A figure whose denominator is 0 is none.
    let by_label = |f: &dyn Fn(usize) -> Option<f64>| -> BTreeMap<String, f64> {
        labels.iter().enumerate().filter_map(|(i, name)| Some((name.clone(), f(i)?))).collect()
    };
    let total = truth.len() as u64;
    let row = |i: usize| confusion[i].iter().sum::<u64>();
    let column = |i: usize| confusion.iter().map(|row| row[i]).sum::<u64>();
    Metrics {
        examples: truth.len(),
        accuracy: share((0..truth.len()).filter(right).count(), truth.len()),
        auc: macro_auc(labels.len(), probabilities, truth),
        macro_f1: macro_f1(&confusion),
        ece: expected_calibration_error(probabilities, truth),
        abstained: share(truth.len() - answered.len(), truth.len()),
        accuracy_answered: ratio(answered.iter().filter(|i| right(i)).count() as u64, answered.len() as u64),
        sensitivity: by_label(&|i| ratio(confusion[i][i], row(i))),
        specificity: by_label(&|i| {
            let others = total - row(i);
            ratio(others + confusion[i][i] - column(i), others)
        }),
        ordinal: ordinal.then(|| ordinal_metrics(&confusion)),
        extraction: None,
        retrieval: None,
        confusion,
    }
}

/// A share; none of nothing.
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Index and value of the highest probability; the first of equals.
pub fn highest(row: &[f32]) -> (usize, f32) {
    row.iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, p)| if *p > best.1 { (i, *p) } else { best })
}

/// `matrix[truth][answer]`.
pub fn confusion(labels: usize, truth: &[usize], answers: &[usize]) -> Vec<Vec<u64>> {
    let mut matrix = vec![vec![0; labels]; labels];
    for (&t, &a) in truth.iter().zip(answers) {
        matrix[t][a] += 1;
    }
    matrix
}

/// Mean of the harmonic mean of precision and recall over the labels that are right or answered somewhere; 0 where both are.
pub fn macro_f1(confusion: &[Vec<u64>]) -> f64 {
    let f1 = |i: usize| {
        let truth: u64 = confusion[i].iter().sum();
        let answered: u64 = confusion.iter().map(|row| row[i]).sum();
        ratio(2 * confusion[i][i], truth + answered)
    };
    let defined: Vec<f64> = (0..confusion.len()).filter_map(f1).collect();
    defined.iter().sum::<f64>() / defined.len().max(1) as f64
}

/// Area under the ROC curve of `scores` for the examples where `positive`: the share of pairs of
/// a positive and a negative that are in the right order, ties half (Mann and Whitney 1947).
/// None where one of the two is missing.
pub fn auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let value = scores[order[start]];
        let end = start + order[start..].iter().take_while(|i| scores[**i] == value).count();
        let rank = (start + 1 + end) as f64 / 2.0;
        rank_sum += rank * order[start..end].iter().filter(|i| positive[**i]).count() as f64;
        start = end;
    }
    let positives = positive.iter().filter(|p| **p).count() as f64;
    let negatives = positive.len() as f64 - positives;
    let pairs = positives * negatives;
    (pairs > 0.0).then(|| (rank_sum - positives * (positives + 1.0) / 2.0) / pairs)
}

/// [`auc`] of the second label where there are two; otherwise the mean over the labels, each
/// against the rest, those left out that the split lacks. None where the split has one label.
pub fn macro_auc(labels: usize, probabilities: &[Vec<f32>], truth: &[usize]) -> Option<f64> {
    let one = |label: usize| {
        let scores: Vec<f64> = probabilities.iter().map(|row| f64::from(row[label])).collect();
        let positive: Vec<bool> = truth.iter().map(|t| *t == label).collect();
        auc(&scores, &positive)
    };
    if labels == 2 {
        return one(1);
    }
    let areas: Vec<f64> = (0..labels).filter_map(one).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// Bins of equal width over the highest probability.
pub fn reliability(probabilities: &[Vec<f32>], truth: &[usize]) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); BINS];
    for (row, t) in probabilities.iter().zip(truth) {
        let (answer, confidence) = highest(row);
        // A bin holds its upper edge, not its lower one.
        let place = ((f64::from(confidence) * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        let bin = &mut bins[place];
        bin.count += 1;
        bin.confidence += f64::from(confidence);
        bin.accuracy += f64::from(u8::from(answer == *t));
    }
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        bin.confidence /= bin.count as f64;
        bin.accuracy /= bin.count as f64;
    }
    bins
}

/// Expected calibration error (Naeini et al. 2015): the mean over the answers of the gap between
/// confidence and accuracy in their bin of [`reliability`].
pub fn expected_calibration_error(probabilities: &[Vec<f32>], truth: &[usize]) -> f64 {
    let gaps = reliability(probabilities, truth)
        .iter()
        .map(|bin| bin.count as f64 * (bin.confidence - bin.accuracy).abs())
        .sum::<f64>();
    gaps / truth.len().max(1) as f64
}

/// Agreement beyond chance with quadratic weights (Cohen 1968), under- and over-triage; the
/// first label is the most urgent.
pub fn ordinal_metrics(confusion: &[Vec<u64>]) -> OrdinalMetrics {
    let total: u64 = confusion.iter().flatten().sum();
    let n = total.max(1) as f64;
    let row = |i: usize| confusion[i].iter().sum::<u64>() as f64;
    let column = |i: usize| confusion.iter().map(|row| row[i]).sum::<u64>() as f64;
    let (mut seen, mut chance, mut under, mut over) = (0.0, 0.0, 0, 0);
    for (truth, answers) in confusion.iter().enumerate() {
        for (answer, &count) in answers.iter().enumerate() {
            let weight = (truth.abs_diff(answer) as f64).powi(2);
            seen += weight * count as f64;
            chance += weight * row(truth) * column(answer) / n;
            if answer > truth {
                under += count;
            } else if answer < truth {
                over += count;
            }
        }
    }
    OrdinalMetrics {
        quadratic_weighted_kappa: (chance > 0.0).then(|| 1.0 - seen / chance),
        under_triage: under as f64 / n,
        over_triage: over as f64 / n,
    }
}

/// The ROC curve of `scores`: (false positive rate, true positive rate) from (0, 0) to (1, 1).
pub fn roc(scores: &[f64], positive: &[bool]) -> Vec<(f64, f64)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let positives = positive.iter().filter(|p| **p).count().max(1) as f64;
    let negatives = positive.iter().filter(|p| !**p).count().max(1) as f64;
    let mut curve = vec![(0.0, 0.0)];
    let (mut true_positives, mut false_positives) = (0.0, 0.0);
    for (place, &i) in order.iter().enumerate() {
        if positive[i] {
            true_positives += 1.0;
        } else {
            false_positives += 1.0;
        }
        if order.get(place + 1).is_none_or(|next| scores[*next] != scores[i]) {
            curve.push((false_positives / negatives, true_positives / positives));
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn agree_with_scikit_learn() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/golden/metrics.json")).unwrap();
        for case in &cases {
            let rows: Vec<Vec<f32>> = list(&case["probabilities"]);
            let truth: Vec<usize> = list(&case["truth"]);
            let labels: Vec<String> = (0..rows[0].len()).map(|i| i.to_string()).collect();
            let answers: Vec<usize> = rows.iter().map(|row| highest(row).0).collect();
            let got = metrics(&labels, &rows, &truth, &answers, 0.0, true);
            let close = |name: &str, got: f64| {
                let want = case[name].as_f64().unwrap();
                assert!((got - want).abs() < 1e-6, "{name}: {got} for {want}");
            };
            close("accuracy", got.accuracy);
            close("auc", got.auc.unwrap());
            close("macro_f1", got.macro_f1);
            close("ece", got.ece);
            close("quadratic_weighted_kappa", got.ordinal.unwrap().quadratic_weighted_kappa.unwrap());
            assert_eq!(got.confusion, list::<Vec<Vec<u64>>>(&case["confusion"]));
            for (name, got) in [("sensitivity", &got.sensitivity), ("specificity", &got.specificity)] {
                for (label, want) in labels.iter().zip(list::<Vec<f64>>(&case[name])) {
                    assert!((got[label] - want).abs() < 1e-9, "{name} of {label}: {} for {want}", got[label]);
                }
            }
        }
    }

    #[test]
    fn a_split_of_one_label_has_no_area() {
        let rows = [vec![0.9, 0.1, 0.0], vec![0.6, 0.3, 0.1]];
        assert_eq!(macro_auc(3, &rows, &[1, 1]), None);
        assert_eq!(macro_auc(3, &[], &[]), None);
        assert_eq!(macro_auc(3, &rows, &[0, 2]), Some(0.5 * (1.0 + 1.0)));
    }

    #[test]
    fn what_a_split_cannot_say_is_no_figure() {
        let labels = ["a".to_string(), "b".to_string(), "c".to_string()];
        let rows = [vec![0.8, 0.1, 0.1], vec![0.7, 0.2, 0.1]];
        let got = metrics(&labels, &rows, &[0, 0], &[0, 0], 0.9, true);
        // As scikit-learn has it: labels that are nowhere count for nothing.
        assert_eq!((got.accuracy, got.macro_f1, got.abstained), (1.0, 1.0, 1.0));
        assert_eq!((got.accuracy_answered, got.ordinal.unwrap().quadratic_weighted_kappa), (None, None));
        assert_eq!(got.sensitivity, BTreeMap::from([("a".to_string(), 1.0)]));
        assert_eq!(got.specificity, BTreeMap::from([("b".to_string(), 1.0), ("c".to_string(), 1.0)]));
        let wrong = metrics(&labels, &rows, &[0, 0], &[0, 1], 0.0, true);
        assert!((wrong.macro_f1 - (2.0 / 3.0) / 2.0).abs() < 1e-12 && wrong.accuracy_answered == Some(0.5));
    }

    #[test]
    fn abstentions_are_counted_apart() {
        let labels = ["a".to_string(), "b".to_string()];
        let rows = [vec![0.9, 0.1], vec![0.55, 0.45], vec![0.2, 0.8]];
        let got = metrics(&labels, &rows, &[0, 1, 1], &[0, 0, 1], 0.6, false);
        assert!((got.abstained - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!((got.accuracy_answered, got.confusion[1][0]), (Some(1.0), 1));
    }

    #[test]
    fn the_roc_curve_runs_from_corner_to_corner_and_its_area_is_the_auc() {
        let scores = [0.1, 0.4, 0.35, 0.8, 0.4];
        let positive = [false, false, true, true, true];
        let curve = roc(&scores, &positive);
        let area: f64 = curve.windows(2).map(|w| (w[1].0 - w[0].0) * (w[0].1 + w[1].1) / 2.0).sum();
        assert_eq!((curve[0], curve[curve.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
        assert!((area - auc(&scores, &positive).unwrap()).abs() < 1e-12);
    }
}
