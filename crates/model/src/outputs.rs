//! What the outputs of a network over images are, where they are not the logits of labels that exclude each other: one
//! logit a label of several that may hold at once, or a number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calibration::NotFinite;

/// What the outputs are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outputs {
    /// Each label holds or does not, whatever the others do.
    Binary {
        /// By label.
        labels: BTreeMap<String, Binary>,
        /// By split and label.
        #[serde(default)]
        metrics: BTreeMap<String, BTreeMap<String, BinaryMetrics>>,
    },
    /// A number; the one label is its name.
    Number(NumberOutput),
}

/// How a label's logit becomes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// The probability is the logistic function of slope times logit plus offset (Platt 1999).
    pub slope: f32,
    /// See the slope.
    pub offset: f32,
    /// From this probability on the label is said to hold.
    pub threshold: f32,
}

impl Binary {
    /// The probability of a logit.
    ///
    /// # Errors
    /// A logit that is not finite.
    pub fn probability(&self, logit: f32) -> Result<f32, NotFinite> {
        let scaled = f64::from(self.slope) * f64::from(logit) + f64::from(self.offset);
        let probability = (1.0 / (1.0 + (-scaled).exp())) as f32;
        if logit.is_finite() { Ok(probability) } else { Err(NotFinite) }
    }
}

/// Metrics of one label over one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryMetrics {
    /// Number of examples.
    pub examples: usize,
    /// Those that have the label.
    pub positives: usize,
    /// Area under the ROC curve; none where all have the label, or none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
    /// Share of the examples with the label that are said to have it; none where none has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<f64>,
    /// Share of the others that are not; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specificity: Option<f64>,
    /// Harmonic mean of precision and sensitivity; none where none has the label and none is said to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
    /// Expected calibration error: 15 bins of equal width over the probability of the label.
    pub ece: f64,
}

/// How an output becomes a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberOutput {
    /// What it is counted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The number is the mean and the deviation times the output: those of the training examples.
    pub mean: f64,
    /// See the mean.
    pub deviation: f64,
    /// Where the true number is expected.
    pub interval: Interval,
    /// By split.
    #[serde(default)]
    pub metrics: BTreeMap<String, NumberMetrics>,
}

impl NumberOutput {
    /// The number of an output.
    ///
    /// # Errors
    /// An output that is not finite.
    pub fn number(&self, output: f32) -> Result<f64, NotFinite> {
        let number = self.mean + self.deviation * f64::from(output);
        if number.is_finite() { Ok(number) } else { Err(NotFinite) }
    }
}

/// An interval around a number that holds the true one in a share of the cases: its half is a quantile of the errors on the
/// validation examples (split conformal prediction; Lei et al. 2018).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Share of the cases.
    pub share: f64,
    /// Distance of its ends from the number.
    pub half: f64,
}

/// Metrics of a number over one split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberMetrics {
    /// Number of examples.
    pub examples: usize,
    /// Mean absolute error.
    pub mae: f64,
    /// Square root of the mean square error.
    pub rmse: f64,
    /// Share of the variance that is explained; none where all examples have one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// Share of the examples whose number lies in the interval.
    pub covered: f64,
}

impl Outputs {
    /// How the logit of a label becomes an answer; none of a number.
    pub fn binary(&self, label: &str) -> Option<&Binary> {
        match self {
            Outputs::Binary { labels, .. } => labels.get(label),
            Outputs::Number(_) => None,
        }
    }

    /// Refuses what cannot be.
    pub(crate) fn check(&self, labels: &[String]) -> Result<(), String> {
        match self {
            Outputs::Binary { labels: own, .. } => {
                if labels.len() != own.len() || labels.iter().any(|label| !own.contains_key(label)) {
                    return Err("outputs.labels does not name every label".to_string());
                }
                let sound = |one: &Binary| {
                    one.slope.is_finite()
                        && one.slope > 0.0
                        && one.offset.is_finite()
                        && (0.0..=1.0).contains(&one.threshold)
                };
                match own.iter().find(|(_, one)| !sound(one)) {
                    Some((label, _)) => Err(format!(
                        "outputs: \"{label}\" has no positive slope, finite offset and threshold from 0 to 1"
                    )),
                    None => Ok(()),
                }
            }
            Outputs::Number(NumberOutput { mean, deviation, interval, .. }) => {
                if labels.len() != 1 {
                    return Err("labels: a number has one, which is its name".to_string());
                }
                let Interval { share, half } = *interval;
                let sound = mean.is_finite() && deviation.is_finite() && *deviation > 0.0;
                if !(sound && share > 0.0 && share < 1.0 && half.is_finite() && half >= 0.0) {
                    return Err(
                        "outputs: mean, deviation and interval are no finite numbers of a possible size"
                            .to_string(),
                    );
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_logit_becomes_a_probability_and_an_output_a_number() {
        let binary = Binary { slope: 2.0, offset: -1.0, threshold: 0.5 };
        assert!((binary.probability(0.5).unwrap() - 0.5).abs() < 1e-6);
        assert!((binary.probability(1.0).unwrap() - 1.0 / (1.0 + (-1f32).exp())).abs() < 1e-6);
        assert_eq!(binary.probability(f32::NAN), Err(NotFinite));
        let number: NumberOutput = serde_json::from_value(
            json!({"mean": 50.0, "deviation": 10.0, "interval": {"share": 0.9, "half": 3.0}}),
        )
        .unwrap();
        assert!((number.number(-0.5).unwrap() - 45.0).abs() < 1e-12);
        assert_eq!(number.number(f32::INFINITY), Err(NotFinite));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let labels = ["a".to_string(), "b".to_string()];
        let check = |value: serde_json::Value, labels: &[String]| {
            serde_json::from_value::<Outputs>(value).unwrap().check(labels)
        };
        let one = |slope: f32, threshold: f32| json!({"slope": slope, "offset": 0.0, "threshold": threshold});
        let both = |a, b| json!({"kind": "binary", "labels": {"a": a, "b": b}});
        assert_eq!(check(both(one(1.0, 0.5), one(1.0, 0.0)), &labels), Ok(()));
        assert!(check(both(one(1.0, 0.5), one(0.0, 0.0)), &labels).unwrap_err().contains("\"b\""));
        assert!(check(both(one(1.0, 1.5), one(1.0, 0.0)), &labels).unwrap_err().contains("\"a\""));
        assert!(check(both(one(1.0, 0.5), one(1.0, 0.0)), &labels[..1]).unwrap_err().contains("every label"));
        let number = |deviation: f64, share: f64| json!({"kind": "number", "mean": 1.0, "deviation": deviation, "interval": {"share": share, "half": 0.0}});
        assert_eq!(check(number(1.0, 0.9), &labels[..1]), Ok(()));
        assert!(check(number(1.0, 0.9), &labels).unwrap_err().contains("has one"));
        assert!(check(number(0.0, 0.9), &labels[..1]).is_err());
        assert!(check(number(1.0, 1.0), &labels[..1]).is_err());
    }
}
