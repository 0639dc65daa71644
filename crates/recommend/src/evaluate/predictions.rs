//! Predicted ratings beside those that others have computed.

use std::collections::HashMap;

use serde::Serialize;

use super::scorer;
use crate::data::Interaction;
use crate::load::Loader;
use crate::ranking::Scoring;
use crate::settings::Settings;
use crate::source::Similarity;
use crate::weights::{Repeats, Weighing};

/// A prediction made elsewhere, to compare with.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Whose.
    pub user_id: String,
    /// Of what.
    pub item_id: String,
    /// The predicted rating.
    pub rating: f64,
}

/// How far our predicted ratings are from others'.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Predictions both have.
    pub compared: usize,
    /// Predictions we could not make: an unknown user or item, or no rater among the neighbors.
    pub missing: usize,
    /// The largest difference of the two predictions.
    pub max_abs_error: f64,
}

/// Compares the `explicit` scoring (each item's `raters` most similar raters; of several ratings
/// of an item the last, without a minimum of raters and without shrinkage) with predictions made
/// elsewhere.
pub fn compare_predictions(events: &[Interaction], oracle: &[Prediction], raters: usize) -> Comparison {
    let weighing = Weighing { repeats: Repeats::Last, ..Weighing::default() };
    let mut loader = Loader::new(weighing);
    for event in events {
        loader.push(&event.user_id, &event.item_id, &event.event, event.weight, event.time);
    }
    let layers = loader.finish();
    let settings =
        Settings { scoring: Scoring::Explicit, raters, min_raters: 1, shrinkage: 0.0, ..Settings::default() };
    let scorer = scorer(&layers, Similarity::Cosine, &settings);
    let mut predicted: HashMap<&str, HashMap<u32, f64>> = HashMap::new();
    let mut comparison = Comparison { compared: 0, missing: 0, max_abs_error: 0.0 };
    for prediction in oracle {
        let ratings = predicted.entry(&prediction.user_id).or_insert_with(|| {
            let Some(user) = layers.users.get(&prediction.user_id) else { return HashMap::new() };
            let candidates = scorer.score(&layers, layers.row(user), Some(user)).candidates;
            candidates.into_iter().map(|c| (c.item, c.score)).collect()
        });
        let item = layers.items.get(&prediction.item_id);
        match item.and_then(|item| ratings.get(&item)) {
            Some(rating) => {
                comparison.compared += 1;
                let error = (rating - prediction.rating).abs();
                comparison.max_abs_error = comparison.max_abs_error.max(error);
            }
            None => comparison.missing += 1,
        }
    }
    comparison
}
