//! The same numbers from an independent implementation: numpy and scikit-learn, by
//! `tests/golden/recommend.py`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::fake_store::{self, FakeStore};
use super::numbers::now;
use crate::answer::{Request, Strategy};
use crate::data::{Interaction, Item, Kind, Profile};
use crate::evaluate::{Prediction, compare_predictions, score};
use crate::layers::Layers;
use crate::load::Loader;
use crate::neighbors::{Rows, Search, search};
use crate::ranking::{Scoring, implicit};
use crate::recommender::Recommender;
use crate::settings::Settings;
use crate::source::Similarity;
use crate::weights::{Repeats, Weighing};

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
    serde_json::from_str(include_str!("../../../../tests/golden/recommend.json")).unwrap()
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
    let events: Vec<Interaction> = golden
        .ratings
        .into_iter()
        .map(|(user_id, item_id, weight)| Interaction {
            user_id,
            item_id,
            event: String::new(),
            weight,
            time: 0,
        })
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

/// The same predictions out of the recommender itself, as the scores of its answers.
#[test]
fn an_explicit_recommender_answers_with_the_predictions_of_numpy() {
    let golden = golden();
    let store = FakeStore::default();
    let mut tables = store.tables();
    for (user, item, rating) in &golden.ratings {
        tables.put_user(user, Profile::default());
        tables.put_item(Item { repeatable: true, ..fake_store::item(item, Kind::Advice) });
        // What was rated before does not count.
        tables.add(user, item, 1.0);
        tables.add(user, item, *rating);
    }
    drop(tables);
    let settings = Settings {
        scoring: Scoring::Explicit,
        raters: golden.raters,
        min_raters: 1,
        shrinkage: 0.0,
        weighing: Weighing { repeats: Repeats::Last, ..Weighing::default() },
        ..Settings::default()
    };
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, settings, 0)).unwrap();
    let mut expected: BTreeMap<&str, Valued> = BTreeMap::new();
    for (user, item, rating) in &golden.predictions {
        expected.entry(user).or_default().push((item.clone(), *rating));
    }
    assert!(expected.len() > 20);
    for (user, mut predictions) in expected {
        let mut request = Request::new(user, Kind::Advice, 0);
        request.limit = 100;
        let answer = now(recommender.recommend(&request)).unwrap();
        let mut scores: Valued = answer.items.into_iter().map(|item| (item.item_id, item.score)).collect();
        scores.sort_by(|a, b| a.0.cmp(&b.0));
        predictions.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(answer.strategy, Strategy::Neighbors);
        assert_alike(&scores, &predictions, user);
    }
}
