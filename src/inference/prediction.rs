//! An answer for people and programs: labels with probabilities, or an abstention.

use model::Manifest;
use model::calibration::{NotFinite, probabilities};

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

/// Why a model gives no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No label is probable enough.
    LowConfidence,
    /// The input is unlike what the model was trained on, or belongs to none of its labels.
    UnlikeTraining,
    /// The picture is of one tone: there is nothing on it.
    Blank,
    /// The file says that it is of a modality or a body part that the model does not read.
    WrongModality,
}

/// The answer for one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The label answered; `None` for an abstention.
    pub label: Option<String>,
    /// Why there is none.
    pub reason: Option<Reason>,
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
            reason: abstained.then_some(Reason::LowConfidence),
            predictions: order
                .into_iter()
                .take(top_k)
                .map(|index| Prediction { label: name(index), index, probability: row[index] })
                .collect(),
        })
    }

    /// The same probabilities without a label, for this reason.
    pub fn abstain(&mut self, reason: Reason) {
        (self.label, self.reason) = (None, Some(reason));
    }

    /// The same probabilities with a label that is at least as urgent as that of index `floor`: an
    /// abstention becomes that label, so that no emergency is lost in it.
    pub fn raise(&mut self, manifest: &Manifest, floor: usize) {
        let level = |label: &String| manifest.labels.iter().position(|known| known == label);
        let answered = self.label.as_ref().and_then(level);
        let label = answered.map_or(floor, |answered| answered.min(floor));
        (self.label, self.reason) = (Some(manifest.labels[label].clone()), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A manifest over `labels`, with the members of `changes` in place of its own.
    fn manifest(labels: &[&str], changes: Value) -> Manifest {
        let mut manifest = json!({
            "format": 1, "name": "test", "version": "1", "description": "", "labels": labels,
            "input": {"kind": "record", "max_tokens": 8, "fields": []},
            "architecture": {"kind": "lstm", "vocabulary": 9, "embedding": 2, "hidden": 2, "bidirectional": false,
                             "token_dropout": 0.0, "dropout": 0.0, "recurrent_dropout": 0.0},
            "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
            "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
            "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
            "metrics": {}, "weights": {"file": "w", "sha256": "", "parameters": 0},
        });
        manifest.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(manifest).unwrap()
    }

    fn labels(outcome: &Outcome) -> Vec<&str> {
        outcome.predictions.iter().map(|prediction| prediction.label.as_str()).collect()
    }

    #[test]
    fn equals_come_in_label_order_and_the_rest_highest_first() {
        let manifest = manifest(&["c", "a", "b"], json!({}));
        let equal = Outcome::new(&manifest, &[0.0, 0.0, 0.0], 3).unwrap();
        assert_eq!((equal.label.as_deref(), labels(&equal)), (Some("c"), vec!["c", "a", "b"]));
        let tied = Outcome::new(&manifest, &[0.0, 2.0, 2.0], 2).unwrap();
        assert_eq!((tied.label.as_deref(), labels(&tied)), (Some("a"), vec!["a", "b"]));
        let all = Outcome::new(&manifest, &[1.0, 3.0, 2.0], usize::MAX).unwrap();
        assert_eq!(labels(&all), ["a", "b", "c"]);
        let total: f32 = all.predictions.iter().map(|prediction| prediction.probability).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }

    #[test]
    fn below_the_threshold_there_is_no_label_but_there_are_probabilities() {
        let manifest = manifest(&["no", "yes"], json!({"abstain_below": 0.9}));
        let odds = |p: f32| [0.0, (p / (1.0 - p)).ln()];
        let unsure = Outcome::new(&manifest, &odds(0.89), 2).unwrap();
        assert_eq!((unsure.label.as_deref(), labels(&unsure)), (None, vec!["yes", "no"]));
        assert!((unsure.predictions[0].probability - 0.89).abs() < 1e-6);
        assert_eq!(Outcome::new(&manifest, &odds(0.91), 2).unwrap().label.as_deref(), Some("yes"));
    }

    #[test]
    fn a_cost_matrix_decides_by_what_a_mistake_costs_and_changes_no_probability() {
        // cost[truth][answer]: the second label, taken for the first, costs nine times the reverse.
        let cost = manifest(&["calm", "grave"], json!({"ordinal": {"scale": "s", "cost": [[0, 1], [9, 0]]}}));
        assert_eq!(cost.decide(&[0.7, 0.3]), 1);
        assert_eq!(cost.decide(&[0.95, 0.05]), 0);
        let outcome = Outcome::new(&cost, &[0.7f32.ln(), 0.3f32.ln()], 2).unwrap();
        assert_eq!((outcome.label.as_deref(), labels(&outcome)), (Some("grave"), vec!["calm", "grave"]));
        let plain = manifest(&["calm", "grave"], json!({"ordinal": {"scale": "s"}}));
        assert_eq!((plain.decide(&[0.7, 0.3]), plain.decide(&[0.5, 0.5])), (0, 0));
    }

    #[test]
    fn the_temperature_takes_back_confidence() {
        let sharp = manifest(&["no", "yes"], json!({}));
        let mild = manifest(&["no", "yes"], json!({"calibration": {"temperature": 4.0}}));
        let highest = |manifest| Outcome::new(manifest, &[0.0, 4.0], 1).unwrap().predictions[0].probability;
        assert!((highest(&sharp) - 1.0 / (1.0 + (-4f32).exp())).abs() < 1e-6);
        assert!((highest(&mild) - 1.0 / (1.0 + (-1f32).exp())).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_number_is_no_outcome() {
        let manifest = manifest(&["no", "yes"], json!({}));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(Outcome::new(&manifest, &[0.0, bad], 2), Err(NotFinite));
        }
    }
}
