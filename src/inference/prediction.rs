//! An answer for people and programs: labels with probabilities, or an abstention.

use model::Manifest;
use model::calibration::{NotFinite, probabilities};
use model::manifest::{NumberOutput, Outputs};

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

/// A number that a model gives, and between what the true one is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The value in standard deviations of the numbers of training.
    pub scaled: f64,
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
    /// The label answered; `None` for an abstention, for a number, and where of several labels none holds.
    pub label: Option<String>,
    /// Of an abstention: why.
    pub reason: Option<Reason>,
    /// The labels with their probabilities, highest first, ties in label order.
    pub predictions: Vec<Prediction>,
    /// Of a model of several labels at once: those that hold, the most probable first.
    pub holding: Option<Vec<Prediction>>,
    /// Of a model of a number; of an abstention what it would have said.
    pub estimate: Option<Estimate>,
    /// Whether the label is not the model's but the least that a rule allows.
    pub raised: bool,
    /// Whether what was asked about was made by a model and shows nobody.
    pub synthetic: bool,
}

impl Outcome {
    /// The outcome of one row of logits under a manifest's calibration, decision rule and
    /// abstention threshold, with the `top_k` most probable labels.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn new(manifest: &Manifest, logits: &[f32], top_k: usize) -> Result<Outcome, NotFinite> {
        match &manifest.outputs {
            None => {}
            Some(outputs @ Outputs::Binary { .. }) => return several(manifest, outputs, logits, top_k),
            Some(Outputs::Number(output)) => return number(output, logits),
        }
        let row = probabilities(logits, manifest.calibration.temperature)?;
        let order = highest_first(&row);
        let abstained = order.first().is_none_or(|best| row[*best] < manifest.abstain_below);
        let name = |index: usize| manifest.labels[index].clone();
        Ok(Outcome {
            label: (!abstained).then(|| name(manifest.decide(&row))),
            reason: abstained.then_some(Reason::LowConfidence),
            predictions: predictions(manifest, &row, order.into_iter().take(top_k)),
            holding: None,
            estimate: None,
            raised: false,
            synthetic: false,
        })
    }

    /// The same probabilities or number without a label, for this reason.
    pub fn abstain(&mut self, reason: Reason) {
        (self.label, self.reason) = (None, Some(reason));
        if let Some(holding) = &mut self.holding {
            holding.clear();
        }
    }

    /// The same probabilities with a label that is at least as urgent as that of index `floor`. Where that is an
    /// emergency, an abstention becomes a label, too, so that no emergency is lost in it: that of `floor`, or the most
    /// probable if it is more urgent. Another floor leaves an abstention as it is: what made the model abstain may be
    /// worse than what the rule is about.
    pub fn raise(&mut self, manifest: &Manifest, floor: usize, is_emergency: bool) {
        let level = |label: &String| manifest.labels.iter().position(|known| known == label);
        let answered = self.label.as_ref().and_then(level);
        if answered.is_none() && !is_emergency {
            return;
        }
        let probable = self.predictions.first().map(|prediction| prediction.index);
        let label = answered.or(probable).map_or(floor, |label| label.min(floor));
        self.raised = answered != Some(label);
        (self.label, self.reason) = (Some(manifest.labels[label].clone()), None);
    }
}

/// Places of a row, its highest value first, equals in their order.
fn highest_first(row: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    order
}

fn predictions(manifest: &Manifest, row: &[f32], order: impl Iterator<Item = usize>) -> Vec<Prediction> {
    let one =
        |index: usize| Prediction { label: manifest.labels[index].clone(), index, probability: row[index] };
    order.map(one).collect()
}

/// The outcome of a model of which several labels may hold at once.
fn several(
    manifest: &Manifest,
    outputs: &Outputs,
    logits: &[f32],
    top_k: usize,
) -> Result<Outcome, NotFinite> {
    let of = |(label, logit): (&String, &f32)| {
        let binary = outputs.binary(label).ok_or(NotFinite)?;
        Ok((binary.probability(*logit)?, binary.threshold))
    };
    let row: Vec<(f32, f32)> = manifest.labels.iter().zip(logits).map(of).collect::<Result<_, _>>()?;
    let chances: Vec<f32> = row.iter().map(|(chance, _)| *chance).collect();
    let order = highest_first(&chances);
    let holding =
        predictions(manifest, &chances, order.iter().copied().filter(|at| row[*at].0 >= row[*at].1));
    Ok(Outcome {
        label: holding.first().map(|first| first.label.clone()),
        reason: None,
        predictions: predictions(manifest, &chances, order.into_iter().take(top_k)),
        holding: Some(holding),
        estimate: None,
        raised: false,
        synthetic: false,
    })
}

/// The outcome of a model of a number.
fn number(output: &NumberOutput, logits: &[f32]) -> Result<Outcome, NotFinite> {
    let scaled = *logits.first().ok_or(NotFinite)?;
    let value = output.number(scaled)?;
    let half = output.interval.half;
    let estimate = Estimate { value, low: value - half, high: value + half, scaled: f64::from(scaled) };
    Ok(Outcome {
        label: None,
        reason: None,
        predictions: Vec::new(),
        holding: None,
        estimate: Some(estimate),
        raised: false,
        synthetic: false,
    })
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

    /// A model of images, since only these have other outputs.
    fn of_images(labels: &[&str], outputs: Value) -> Manifest {
        let input = json!({"kind": "image", "height": 8, "width": 8, "channels": 1, "crop": "none", "resize": "bilinear",
                           "normalisation": {"kind": "per-image", "floor": 0.02}});
        manifest(labels, json!({"input": input, "outputs": outputs}))
    }

    #[test]
    fn of_several_labels_each_holds_by_its_own_threshold() {
        let one = |threshold: f32| json!({"slope": 1.0, "offset": 0.0, "threshold": threshold});
        let labels = json!({"fluid": one(0.5), "mass": one(0.9), "line": one(0.2)});
        let manifest = of_images(&["fluid", "mass", "line"], json!({"kind": "binary", "labels": labels}));
        let outcome = Outcome::new(&manifest, &[0.1, 1.0, -1.0], 2).unwrap();
        assert_eq!((outcome.label.as_deref(), outcome.reason), (Some("fluid"), None));
        let names = |all: &[Prediction]| all.iter().map(|own| own.label.clone()).collect::<Vec<_>>();
        assert_eq!(names(outcome.holding.as_ref().unwrap()), ["fluid", "line"]);
        assert_eq!(names(&outcome.predictions), ["mass", "fluid"]);
        let mut nothing = Outcome::new(&manifest, &[-4.0; 3], 3).unwrap();
        assert_eq!(
            (nothing.label.clone(), nothing.reason, nothing.holding.clone()),
            (None, None, Some(vec![]))
        );
        nothing.abstain(Reason::Blank);
        assert_eq!((nothing.reason, nothing.predictions.len()), (Some(Reason::Blank), 3));
        assert_eq!(Outcome::new(&manifest, &[0.0, f32::NAN, 0.0], 3), Err(NotFinite));
    }

    #[test]
    fn a_number_comes_with_its_interval() {
        let interval = json!({"share": 0.9, "half": 6.0});
        let number = json!({"kind": "number", "mean": 50.0, "deviation": 20.0, "interval": interval});
        let manifest = of_images(&["age"], number);
        let outcome = Outcome::new(&manifest, &[0.5], 1).unwrap();
        let estimate = outcome.estimate.unwrap();
        assert_eq!((estimate.low, estimate.value, estimate.high), (54.0, 60.0, 66.0));
        assert_eq!((outcome.label.clone(), outcome.predictions.len()), (None, 0));
        assert_eq!(Outcome::new(&manifest, &[f32::INFINITY], 1), Err(NotFinite));
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
    fn a_floor_ends_an_abstention_only_where_it_is_an_emergency() {
        let scale = manifest(&["1", "2", "3", "4"], json!({"abstain_below": 0.9, "ordinal": {"scale": "s"}}));
        for (most_probable, floor, is_emergency, label) in
            [(3, 1, true, Some("2")), (0, 1, true, Some("1")), (3, 2, false, None), (1, 2, false, None)]
        {
            let mut logits = [0.0; 4];
            logits[most_probable] = 1.0;
            let mut outcome = Outcome::new(&scale, &logits, 4).unwrap();
            assert_eq!(outcome.label, None);
            outcome.raise(&scale, floor, is_emergency);
            assert_eq!(outcome.label.as_deref(), label, "{most_probable} {floor}");
            assert_eq!((outcome.reason.is_none(), outcome.raised), (label.is_some(), label.is_some()));
        }
        let mut sure = Outcome::new(&scale, &[0.0, 0.0, 0.0, 9.0], 4).unwrap();
        sure.raise(&scale, 2, false);
        assert_eq!((sure.label.as_deref(), sure.raised), (Some("3"), true));
    }

    #[test]
    fn what_is_no_number_is_no_outcome() {
        let manifest = manifest(&["no", "yes"], json!({}));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(Outcome::new(&manifest, &[0.0, bad], 2), Err(NotFinite));
        }
    }
}
