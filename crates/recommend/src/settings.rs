//! How the recommender computes: the table `[recommendations]` of the configuration's file.

use serde::{Deserialize, Serialize};

use super::answer::MAX_NEIGHBORS;
use super::filters::{Unknown, Unmatched};
use super::ranking::{Raters, Scoring};
use super::weights::{Repeats, Weighing};

/// How the recommender computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How interactions become weights.
    pub weighing: Weighing,
    /// How neighbors' weights become scores.
    pub scoring: Scoring,
    /// How many neighbors to go by where a request does not say.
    pub neighbors: usize,
    /// For `implicit`: the power that similarities are raised to in a score; above 1, the most
    /// alike count for more.
    pub amplification: f64,
    /// For `explicit`: how many of the most similar raters count for one item.
    pub raters: usize,
    /// For `explicit`: an item with fewer such raters is not recommended; 1 for no such minimum,
    /// and never more than `raters`.
    pub min_raters: usize,
    /// For `explicit`: how many raters it takes for a prediction to stand half way between the
    /// user's mean and what the raters say; 0 to take them at their word.
    pub shrinkage: f64,
    /// A history of fewer items is too little to find neighbors by.
    pub min_history: usize,
    /// What is done about drugs when allergies or medications are not recorded.
    pub unknown: Unknown,
    /// What is done about drugs when an allergy or a medication is not understood.
    pub unmatched: Unmatched,
    /// How old, in seconds, what is known of items, rules and histories may be for drugs to be
    /// recommended on it. What is known of the person is always read as it is now.
    pub drug_max_age: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weighing: Weighing::default(),
            scoring: Scoring::default(),
            neighbors: 200,
            amplification: 1.0,
            raters: 30,
            min_raters: 3,
            shrinkage: 10.0,
            min_history: 1,
            unknown: Unknown::default(),
            unmatched: Unmatched::default(),
            drug_max_age: 60,
        }
    }
}

impl Settings {
    /// Which raters count for `explicit`.
    pub(super) fn raters(&self) -> Raters {
        Raters { most: self.raters, least: self.min_raters.min(self.raters), shrinkage: self.shrinkage }
    }

    /// All that is wrong with these settings, each by its name; `in_database` where the store is
    /// to compute the neighbors.
    pub fn validate(&self, in_database: bool) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.weighing.validate().err().map(|problem| format!("weighing: {problem}")));
        if self.scoring == Scoring::Explicit && in_database {
            problems.push("scoring: \"explicit\" needs the recommender \"memory\"".to_owned());
        }
        if self.scoring == Scoring::Explicit && self.weighing.repeats == Repeats::Add {
            let detail = "needs weighing.repeats = \"last\", as two ratings of one item do not add up";
            problems.push(format!("scoring: \"explicit\" {detail}"));
        }
        if !(1..=MAX_NEIGHBORS).contains(&self.neighbors) {
            problems.push(format!("neighbors: must be from 1 to {MAX_NEIGHBORS}"));
        }
        if !(self.amplification.is_finite() && (0.0..=10.0).contains(&self.amplification)) {
            problems.push("amplification: must be from 0 to 10".to_owned());
        }
        if self.amplification != 1.0 && in_database {
            problems.push("amplification: other than 1 needs the recommender \"memory\"".to_owned());
        }
        if self.raters == 0 {
            problems.push("raters: must be at least 1".to_owned());
        }
        if self.min_raters == 0 {
            problems.push("min_raters: must be at least 1".to_owned());
        }
        if !(self.shrinkage.is_finite() && self.shrinkage >= 0.0) {
            problems.push("shrinkage: must be a finite number, not below 0".to_owned());
        }
        if self.drug_max_age == 0 {
            problems.push("drug_max_age: must be at least 1 second".to_owned());
        }
        if self.min_history == 0 {
            problems.push("min_history: must be at least 1".to_owned());
        }
        problems
    }
}
