//! How the recommender computes: the table `[recommendations]` of the configuration's file.

use serde::{Deserialize, Serialize};

use super::answer::MAX_NEIGHBORS;
use super::filters::{Unknown, Unmatched};
use super::ranking::Scoring;
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
    /// For `explicit`: how many of the most similar raters count for one item.
    pub raters: usize,
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
            raters: 30,
            min_history: 1,
            unknown: Unknown::default(),
            unmatched: Unmatched::default(),
            drug_max_age: 60,
        }
    }
}

impl Settings {
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
        if self.raters == 0 {
            problems.push("raters: must be at least 1".to_owned());
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
