//! What was measured of a model on one split, as the manifest holds it and cards show it.

use std::collections::BTreeMap;

use super::embedding::RetrievalMetrics;
use serde::{Deserialize, Serialize};

/// Metrics over one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Number of examples.
    pub examples: usize,
    /// Share of the examples whose label is right, abstentions counted by the label that would
    /// have been answered.
    pub accuracy: f64,
    /// Area under the ROC curve; over more than two labels the mean of one against the rest. A
    /// split of a single label has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
    /// Mean of the harmonic mean of precision and recall, over the labels that are right or answered somewhere.
    pub macro_f1: f64,
    /// Expected calibration error: 15 bins of equal width over the highest probability.
    pub ece: f64,
    /// Share of the examples on which the model would abstain for low confidence; those unlike its training are not counted.
    pub abstained: f64,
    /// Accuracy over the examples on which it would not; none where it would on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_answered: Option<f64>,
    /// By label that the split has: share of its examples that are found.
    pub sensitivity: BTreeMap<String, f64>,
    /// By label that not all of the split has: share of the other examples that are not taken for it.
    pub specificity: BTreeMap<String, f64>,
    /// `confusion[truth][answer]`, in label order.
    pub confusion: Vec<Vec<u64>>,
    /// For ordered labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<OrdinalMetrics>,
    /// For names found in text. Then `accuracy` is that of the tokens' tags, `macro_f1` the mean over
    /// the labels, `ece` that of the names' probabilities, and `sensitivity` the recall by label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extraction: Option<ExtractionMetrics>,
    /// For texts found again by their vectors. Then `accuracy` is the share of questions whose own answer
    /// comes first, and what is of labels is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<RetrievalMetrics>,
}

/// Metrics of names found in text: a name is right where its beginning, its end and its label are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractionMetrics {
    /// Over the names of all labels.
    pub entities: FoundMetrics,
    /// By label.
    pub by_label: BTreeMap<String, FoundMetrics>,
    /// By relation: a pair is right where both its names and the relation are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub relations: BTreeMap<String, FoundMetrics>,
}

/// How much of what is there was found, and how much of what was found is there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundMetrics {
    /// Number that is there.
    pub count: usize,
    /// Share of what was found that is right; none where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Share of what is there that was found; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Harmonic mean of the two; none where nothing is there and nothing was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
}

/// Metrics of an ordered scale whose first label is the most urgent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdinalMetrics {
    /// Cohen's kappa with quadratic weights; none where one label is all that is right and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quadratic_weighted_kappa: Option<f64>,
    /// Share of the examples answered as less urgent than they are.
    pub under_triage: f64,
    /// Share of the examples answered as more urgent than they are.
    pub over_triage: f64,
}
