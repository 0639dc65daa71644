//! The same numbers from an independent implementation: numpy and scikit-learn, by
//! `tests/golden/recommend.py`.

use std::collections::HashMap;

use serde::Deserialize;

use crate::recommend::evaluate::{Event, Prediction, compare_predictions, score};
use crate::recommend::layers::Layers;
use crate::recommend::load::Loader;
use crate::recommend::neighbors::{Rows, Search, search};
use crate::recommend::ranking::implicit;
use crate::recommend::source::Similarity;
use crate::recommend::weights::Weighing;

type Valued = Vec<(String, f64)>;

#[derive(Deserialize)]
struct Golden {
    ratings: Vec<(String, String, f32)>,
    items: usize,
    neighbor_count: usize,
    raters: usize,
    neighbors: HashMap<String, HashMap<String, Valued>>,
    scores: HashMap<String, HashMap<String, Valued>>,
    predictions: Vec<(String, String, f64)>,
    metrics: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    ranked: Vec<u32>,
    wanted: Vec<u32>,
    hit_rate: f64,
    precision: f64,
    recall: f64,
    ndcg: f64,
    map: Option<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../tests/golden/recommend.json")).unwrap()
}

fn assert_alike(ours: &[(String, f64)], theirs: &[(String, f64)], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}: {ours:?} {theirs:?}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-12, "{what}: {a:?} {b:?}");
    }
}

#[test]
fn neighbors_and_scores_are_those_of_numpy_and_scikit_learn() {
    let golden = golden();
    let mut loader = Loader::new(Weighing::default());
    for (user, item, weight) in &golden.ratings {
        loader.push(user, item, "rating", *weight, 0);
    }
    let layers: Layers = loader.finish();
    for similarity in Similarity::ALL {
        for (user_id, neighbors) in &golden.neighbors[similarity.as_str()] {
            let user = layers.users.get(user_id).unwrap();
            let wanted = Search {
                similarity,
                rows: Rows::Raw,
                count: golden.neighbor_count,
                item_total: golden.items,
            };
            let found = search(&layers, layers.row(user), Some(user), &wanted);
            let named: Valued = found.iter().map(|&(u, s)| (layers.users.name(u).to_owned(), s)).collect();
            assert_alike(&named, neighbors, &format!("{similarity:?} neighbors of {user_id}"));

            let mut scores: Valued = implicit(&layers, &found)
                .into_iter()
                .map(|c| (layers.items.name(c.item).to_owned(), c.score))
                .collect();
            scores.sort_by(|a, b| a.0.cmp(&b.0));
            let theirs = &golden.scores[similarity.as_str()][user_id];
            assert_alike(&scores, theirs, &format!("{similarity:?} scores of {user_id}"));
        }
    }
}

#[test]
fn predicted_ratings_are_those_of_numpy() {
    let golden = golden();
    let events: Vec<Event> = golden
        .ratings
        .into_iter()
        .map(|(user_id, item_id, weight)| Event { user_id, item_id, weight, time: 0 })
        .collect();
    let oracle: Vec<Prediction> = golden
        .predictions
        .into_iter()
        .map(|(user_id, item_id, rating)| Prediction { user_id, item_id, rating })
        .collect();
    let comparison = compare_predictions(&events, &oracle, golden.raters);
    assert_eq!((comparison.compared, comparison.missing), (oracle.len(), 0));
    assert!(comparison.max_abs_error < 1e-12, "{comparison:?}");
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    for case in golden().metrics {
        let ours = score(&case.ranked, &case.wanted, 10);
        assert_eq!(ours.hit_rate, case.hit_rate);
        assert!((ours.precision - case.precision).abs() < 1e-12);
        assert!((ours.recall - case.recall).abs() < 1e-12);
        assert!((ours.ndcg - case.ndcg).abs() < 1e-12);
        assert!(case.map.is_none_or(|map| (ours.map - map).abs() < 1e-12));
    }
}
