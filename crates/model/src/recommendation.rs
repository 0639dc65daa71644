//! The description of a learned recommender: weights between items instead of a network.
//!
//! Such a package has no labels. Its tensors are the rows of a sparse matrix (`starts`, `targets`
//! and `weights`: item i speaks for the items `targets[starts[i]..starts[i + 1]]`) and `base`, what
//! speaks for an item whatever somebody has. The identifiers of the items, in the order of the
//! rows, are the JSON array in the file [`ITEMS`](crate::package::ITEMS).
//!
//! Where circumstances count as well, `context_starts`, `context_targets` and `context_weights` say in
//! the same form what each of them adds, and `factor_starts`, `factor_targets` and `factor_weights` the
//! logarithms of what each of them multiplies by; their names are the JSON array in the file
//! [`CONTEXT`](crate::package::CONTEXT).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most items that a package may have.
const MAX_ITEMS: usize = 1 << 24;

/// What a recommender is given: the items that somebody has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryInput {
    /// The kind of the items: hospital, doctor, pharmacy, drug or advice.
    pub item_kind: String,
    /// Number of items known.
    pub items: usize,
}

/// Weights of a linear item-item model in closed form (Steck 2019, "Embarrassingly shallow
/// autoencoders for sparse data").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EaseConfig {
    /// Strength of the penalty on the squares of the weights.
    pub lambda: f64,
    /// Whether something speaks for an item whatever somebody has.
    pub base: bool,
    /// Number of weights kept.
    pub weights: usize,
    /// What circumstances count, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextConfig>,
    /// Measured on the interactions that were held out when the settings were chosen.
    pub held_out: RankingMetrics,
}

/// How circumstances are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextConfig {
    /// Number of circumstances known.
    pub features: usize,
    /// Number of weights from them to items.
    pub weights: usize,
    /// The coefficients of the conditional logit, by what they are of (condition, distance): they
    /// are in the weights already.
    pub coefficients: BTreeMap<String, f64>,
    /// The score to this power is proportional to the probability of an item, where that was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// How the distance counts, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<DistanceConfig>,
}

/// How the distance counts: the score is multiplied by exp(weight x (ln(1 + km) - mean)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistanceConfig {
    /// What one more unit of ln(1 + km) adds to the logarithm of a score.
    pub weight: f64,
    /// The ln(1 + km) that adds nothing.
    pub mean: f64,
}

/// Metrics of lists of k items, each averaged over the users that something was held out from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankingMetrics {
    /// Users.
    pub users: usize,
    /// Length of a list.
    pub k: usize,
    /// Share of users for whom something held out was in the list.
    pub hit_rate: f64,
    /// Share of the list that was held out.
    pub precision: f64,
    /// Share of what was held out that was in the list.
    pub recall: f64,
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
    /// Mean average precision.
    pub map: f64,
    /// Share of users to whom anything could be recommended.
    pub coverage: f64,
    /// Share of the items that were recommended to anybody.
    pub catalogue_share: f64,
    /// The same gain of the neighbors that serve where there is no package.
    pub ndcg_of_neighbors: f64,
    /// The same gain of the most popular items.
    pub ndcg_of_popularity: f64,
}

pub(crate) fn check(input: &HistoryInput) -> Result<(), String> {
    match input.items {
        0 => Err("input.items is 0: a recommender of no items recommends nothing".to_string()),
        1..=MAX_ITEMS => Ok(()),
        more => Err(format!("input.items is {more}, more than {MAX_ITEMS}")),
    }
}
