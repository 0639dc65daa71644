//! An answer for people and programs: labels with probabilities, or an abstention.

use crate::model::Manifest;
use crate::model::calibration::{NotFinite, probabilities};

/// A label and its calibrated probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The label.
    pub label: String,
    /// Its place among the model's labels.
    pub index: usize,
    /// Its probability, 0 to 1.
    pub probability: f32,
}

/// The answer for one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The label answered; `None` for an abstention.
    pub label: Option<String>,
    /// The labels with their probabilities, highest first, ties in label order.
    pub predictions: Vec<Prediction>,
}

impl Outcome {
    /// The outcome of one row of logits under a manifest's calibration, decision rule and
    /// abstention threshold, with the `top_k` most probable labels.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn new(manifest: &Manifest, logits: &[f32], top_k: usize) -> Result<Outcome, NotFinite> {
        let row = probabilities(logits, manifest.calibration.temperature)?;
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        let abstained = order.first().is_none_or(|best| row[*best] < manifest.abstain_below);
        let name = |index: usize| manifest.labels[index].clone();
        Ok(Outcome {
            label: (!abstained).then(|| name(manifest.decide(&row))),
            predictions: order
                .into_iter()
                .take(top_k)
                .map(|index| Prediction { label: name(index), index, probability: row[index] })
                .collect(),
        })
    }
}
