//! How good the recommendations are, measured by hiding some of what people have and looking
//! whether it is recommended.
//!
//! Every evaluated user has some items held out. With `leave-one-out` that is one item, and it is
//! missing only while that user is asked about: all the rest, of this user and of everybody, is
//! known. With `ratio` it is a share of the items of every user, missing throughout. A recommender
//! puts k items in order that the user is not known to have. With H the held-out items of a user
//! and r = 1.. the ranks of those of them among the k:
//!
//! - hit rate: 1 if any of H is among the k, else 0
//! - precision: hits / k
//! - recall: hits / |H|
//! - NDCG: sum over hits of 1 / log2(r + 1), over the same sum for ranks 1..min(|H|, k)
//! - MAP: sum over hits of (hits up to r) / r, over min(|H|, k)
//!
//! each averaged over the evaluated users, and
//!
//! - coverage: the share of evaluated users to whom the recommender itself could recommend
//!   anything
//! - catalogue share: the share of the known items that were recommended to anybody
//!
//! Beside the recommender stand two that know nothing of the user: `popularity` (the items most
//! users have) and `random` (any items, seeded). A user the recommender has nothing for is given
//! the popular items, as the server does.

use std::collections::HashMap;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::data::Interaction;
use super::layers::{Layers, Row};
use super::load::Loader;
use super::matrix::RowView;
use super::neighbors::best::Best;
use super::ranking::{Candidate, Scorer, Scoring, popular};
use super::settings::Settings;
use super::source::Similarity;
use super::weights::{Repeats, Weighing};

/// What is held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Split {
    /// One item, drawn by the seed, of everyone who has at least two, from one at a time.
    LeaveOneOut,
    /// This share of the items (rounded, at least one, never all) of everyone who has at least
    /// two, drawn by the seed, from all at once.
    Ratio(f64),
}

impl std::str::FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "leave-one-out" {
            return Ok(Split::LeaveOneOut);
        }
        let share = text.strip_prefix("ratio:").and_then(|share| share.parse::<f64>().ok());
        match share {
            Some(share) if share > 0.0 && share < 1.0 => Ok(Split::Ratio(share)),
            _ => Err(format!(
                "unknown split {text:?}; the splits are leave-one-out and ratio:R with R between 0 and 1"
            )),
        }
    }
}

/// How to evaluate.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is held out.
    pub split: Split,
    /// How many items are recommended.
    pub k: usize,
    /// How users are compared.
    pub similarity: Similarity,
    /// The settings that the server would have.
    pub settings: Settings,
    /// What is held out, and what is recommended at random, follow from it.
    pub seed: u64,
}

/// Averages over the evaluated users; the formulas stand at the head of this file.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// Share of users for whom something held out was recommended.
    pub hit_rate: f64,
    /// Share of the recommended items that were held out.
    pub precision: f64,
    /// Share of the held-out items that were recommended.
    pub recall: f64,
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
    /// Mean average precision.
    pub map: f64,
    /// Share of users to whom the recommender itself could recommend anything.
    pub coverage: f64,
    /// Share of the items that were recommended to anybody.
    pub catalogue_share: f64,
}

/// The outcome of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Users of the matrix that recommendations are computed from.
    pub users: usize,
    /// Its items.
    pub items: usize,
    /// Its entries that are not zero.
    pub entries: usize,
    /// Users with something held out.
    pub evaluated_users: usize,
    /// How many items are held out from them together.
    pub held_out: usize,
    /// How many items were recommended to each.
    pub k: usize,
    /// Of the recommender.
    pub recommender: Metrics,
    /// Of the most popular items.
    pub popularity: Metrics,
    /// Of items drawn at random.
    pub random: Metrics,
    /// The recommender's hit rate over that of popularity, unless that is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_rate_over_popularity: Option<f64>,
}

/// An item's id and all that happened between one user and it.
type Happened<'a> = (&'a str, Vec<&'a Interaction>);

/// Each user's items with all that happened with them, users and items in order of their ids.
fn by_user(events: &[Interaction]) -> Vec<(&str, Vec<Happened<'_>>)> {
    let mut sorted: Vec<&Interaction> = events.iter().collect();
    sorted.sort_by(|a, b| (&a.user_id, &a.item_id).cmp(&(&b.user_id, &b.item_id)));
    let users = sorted.chunk_by(|a, b| a.user_id == b.user_id).map(|events| {
        let items = events.chunk_by(|a, b| a.item_id == b.item_id);
        let items = items.map(|events| (events[0].item_id.as_str(), events.to_vec()));
        (events[0].user_id.as_str(), items.collect())
    });
    users.collect()
}

/// Evaluates on these interactions.
pub fn evaluate(events: &[Interaction], options: &Options) -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut loader = Loader::new(options.settings.weighing.clone());
    let mut held: Vec<(&str, Vec<&str>)> = Vec::new();
    for (user, mut items) in by_user(events) {
        let out = match options.split {
            _ if items.len() < 2 => 0,
            Split::LeaveOneOut => 1,
            Split::Ratio(share) => ((share * items.len() as f64).round() as usize).clamp(1, items.len() - 1),
        };
        items.shuffle(&mut rng);
        let (held_out, kept) = items.split_at(out);
        let known = if options.split == Split::LeaveOneOut { &items } else { kept };
        for event in known.iter().flat_map(|(_, events)| events) {
            loader.push(user, &event.item_id, &event.event, event.weight, event.time);
        }
        if out > 0 {
            held.push((user, held_out.iter().map(|&(item, _)| item).collect()));
        }
    }
    let layers = loader.finish();

    let mut ours = Tally::new(&layers, options.k);
    let mut popularity = Tally::new(&layers, options.k);
    let mut random = Tally::new(&layers, options.k);
    for (user_id, held_out) in &held {
        let Some(user) = layers.users.get(user_id) else { continue };
        // An item nobody else has cannot be recommended by anyone; it counts as missed.
        let wanted: Vec<u32> =
            held_out.iter().map(|item| layers.items.get(item).unwrap_or(u32::MAX)).collect();
        let (items, weights) = layers.row(user).iter().filter(|(item, _)| !wanted.contains(item)).unzip();
        let own = Row::new(items, weights);

        let most = most_popular(&layers, &own, &wanted, options);
        let found = recommend(&layers, user, own.view(), options);
        ours.add(if found.is_empty() { &most } else { &found }, &wanted, !found.is_empty());
        popularity.add(&most, &wanted, !most.is_empty());
        let mut any = Vec::new();
        let free = layers.items.len() - own.items.len();
        while any.len() < options.k.min(free) {
            let item = rng.random_range(0..layers.items.len() as u32);
            if own.items.binary_search(&item).is_err() && !any.contains(&item) {
                any.push(item);
            }
        }
        random.add(&any, &wanted, !any.is_empty());
    }
    let recommender = ours.metrics();
    let popularity = popularity.metrics();
    Report {
        users: layers.users.len(),
        items: layers.items.len(),
        entries: layers.entry_count(),
        evaluated_users: held.len(),
        held_out: held.iter().map(|(_, items)| items.len()).sum(),
        k: options.k,
        hit_rate_over_popularity: (popularity.hit_rate > 0.0)
            .then(|| recommender.hit_rate / popularity.hit_rate),
        recommender,
        popularity,
        random: random.metrics(),
    }
}

/// The k items most users have, of those the user does not, best first. What is held out from
/// this user must not count here either.
fn most_popular(layers: &Layers, own: &Row, wanted: &[u32], options: &Options) -> Vec<u32> {
    let known = popular(layers).map(|Candidate { item, score }| {
        let left_out = options.split == Split::LeaveOneOut && wanted.contains(&item);
        Candidate { item, score: if left_out { score - 1.0 } else { score } }
    });
    best(layers, own.view(), known.filter(|candidate| candidate.score > 0.0), options.k)
}

/// The k best items for the user, best first.
fn recommend(layers: &Layers, user: u32, own: RowView<'_>, options: &Options) -> Vec<u32> {
    let scorer = scorer(layers, options.similarity, &options.settings);
    let candidates = scorer.score(layers, own, Some(user)).candidates;
    best(layers, own, candidates.into_iter(), options.k)
}

fn scorer(layers: &Layers, similarity: Similarity, settings: &Settings) -> Scorer {
    let &Settings { scoring, neighbors, raters, .. } = settings;
    Scorer { similarity, scoring, neighbors, raters, item_total: layers.items.len() }
}

/// The best k of the candidates that the user does not have.
fn best(
    layers: &Layers,
    own: RowView<'_>,
    candidates: impl Iterator<Item = Candidate>,
    k: usize,
) -> Vec<u32> {
    let mut best = Best::new(k, |a, b| layers.items.compare(a, b));
    for candidate in candidates.filter(|candidate| own.items.binary_search(&candidate.item).is_err()) {
        best.offer(candidate.item, candidate.score);
    }
    best.into_sorted().into_iter().map(|(item, _)| item).collect()
}

/// Sums on the way to [`Metrics`].
struct Tally {
    k: usize,
    users: usize,
    sums: Metrics,
    recommended: Vec<bool>,
}

impl Tally {
    fn new(layers: &Layers, k: usize) -> Self {
        let recommended = vec![false; layers.items.len()];
        Self { k, users: 0, sums: Metrics::default(), recommended }
    }

    fn add(&mut self, ranked: &[u32], wanted: &[u32], covered: bool) {
        let one = score(ranked, wanted, self.k);
        self.users += 1;
        self.sums.hit_rate += one.hit_rate;
        self.sums.precision += one.precision;
        self.sums.recall += one.recall;
        self.sums.ndcg += one.ndcg;
        self.sums.map += one.map;
        self.sums.coverage += f64::from(u8::from(covered));
        for &item in ranked {
            self.recommended[item as usize] = true;
        }
    }

    fn metrics(self) -> Metrics {
        let users = self.users.max(1) as f64;
        let recommended = self.recommended.iter().filter(|&&was| was).count();
        Metrics {
            hit_rate: self.sums.hit_rate / users,
            precision: self.sums.precision / users,
            recall: self.sums.recall / users,
            ndcg: self.sums.ndcg / users,
            map: self.sums.map / users,
            coverage: self.sums.coverage / users,
            catalogue_share: recommended as f64 / self.recommended.len().max(1) as f64,
        }
    }
}

/// One user's metrics (coverage and catalogue share left at 0): `ranked` best first, of which
/// the first k count, `wanted` held out.
pub fn score(ranked: &[u32], wanted: &[u32], k: usize) -> Metrics {
    if k == 0 || wanted.is_empty() {
        return Metrics::default();
    }
    let gain = |rank: usize| 1.0 / ((rank + 1) as f64).log2();
    let (mut hits, mut dcg, mut precisions) = (0usize, 0.0, 0.0);
    for (rank, item) in (1..).zip(ranked.iter().take(k)) {
        if wanted.contains(item) {
            hits += 1;
            dcg += gain(rank);
            precisions += hits as f64 / rank as f64;
        }
    }
    let reachable = wanted.len().min(k);
    let ideal: f64 = (1..=reachable).map(gain).sum();
    Metrics {
        hit_rate: f64::from(u8::from(hits > 0)),
        precision: hits as f64 / k as f64,
        recall: hits as f64 / wanted.len() as f64,
        ndcg: dcg / ideal,
        map: precisions / reachable as f64,
        ..Metrics::default()
    }
}

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
/// of an item the last) with predictions made elsewhere.
pub fn compare_predictions(events: &[Interaction], oracle: &[Prediction], raters: usize) -> Comparison {
    let weighing = Weighing { repeats: Repeats::Last, ..Weighing::default() };
    let mut loader = Loader::new(weighing);
    for event in events {
        loader.push(&event.user_id, &event.item_id, &event.event, event.weight, event.time);
    }
    let layers = loader.finish();
    let settings = Settings { scoring: Scoring::Explicit, raters, ..Settings::default() };
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
