//! How good the recommendations are, measured by hiding some of what people have and looking
//! whether it is recommended.
//!
//! Every evaluated user has some items held out. With `leave-one-out` that is one item, and it is
//! missing only while that user is asked about: all the rest, of this user and of everybody, is
//! known. With `ratio` and `time` it is a share of the items of every user, missing throughout; or
//! what is held out comes from a file, so that other people's splits can be used. A recommender
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

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;

use super::data::Interaction;
use super::layers::{Layers, Row};
use super::matrix::RowView;
use super::neighbors::best::Best;
use super::ranking::{Candidate, Scorer, popular};
use super::settings::Settings;
use super::source::Similarity;

mod metrics;
mod predictions;
mod safety;
mod split;

pub use metrics::{Metrics, score};
pub use predictions::{Comparison, Prediction, compare_predictions};
pub use safety::{DrugListReport, DrugLists, ListSafety};
pub use split::{HeldOut, Partition, Split};

use metrics::Tally;

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
    /// Of the recommender, by group of users; the groups' catalogue shares are of all items.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_group: BTreeMap<String, Group>,
}

/// The recommender on one group of users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// How many of the evaluated users are in it.
    pub users: usize,
    /// Their metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Groups of users: for each id the names of the groups that the user is in.
pub type Groups = BTreeMap<String, Vec<String>>;

/// Evaluates the neighbors on these interactions.
pub fn evaluate(events: &[Interaction], options: &Options) -> Report {
    let partition = Partition::new(events, options.split, options.seed, &options.settings.weighing);
    let mut rank = |case: &HeldOut| neighbors(&partition.known, case, options.similarity, &options.settings);
    measure(&partition, options.k, options.seed, &Groups::new(), &mut rank)
}

/// What the neighbors of the user have, with its scores: what a server with these settings ranks.
pub fn neighbors(
    known: &Layers,
    case: &HeldOut,
    similarity: Similarity,
    settings: &Settings,
) -> Vec<Candidate> {
    scorer(known, similarity, settings).score(known, case.own.view(), case.user).candidates
}

/// Those most like the user of a case, at most `count`, most alike first: (user, similarity). What
/// they have is scored by [`implicit`](super::ranking::implicit).
pub fn nearest(
    known: &Layers,
    case: &HeldOut,
    similarity: Similarity,
    count: usize,
    settings: &Settings,
) -> Vec<(u32, f64)> {
    scorer(known, similarity, settings).nearest(known, case.own.view(), case.user, count)
}

/// Measures any recommender: `rank` scores candidates for a user, in any order, from what is left
/// of the user's row; items that the user has do not count.
pub fn measure(
    partition: &Partition,
    k: usize,
    seed: u64,
    groups: &Groups,
    rank: &mut dyn FnMut(&HeldOut) -> Vec<Candidate>,
) -> Report {
    let layers = &partition.known;
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ RANDOM_STREAM);
    let tally = || Tally::new(layers.items.len(), k);
    let (mut ours, mut popularity, mut random) = (tally(), tally(), tally());
    let mut by_group: BTreeMap<&str, Tally> = BTreeMap::new();
    for case in &partition.held_out {
        let (own, wanted) = (&case.own, &case.items);
        let most = most_popular(partition, own, wanted, k);
        let found = best(layers, own.view(), rank(case).into_iter(), k);
        let (shown, covered) = (if found.is_empty() { &most } else { &found }, !found.is_empty());
        ours.add(shown, wanted, covered);
        for group in groups.get(&case.user_id).into_iter().flatten() {
            by_group.entry(group).or_insert_with(tally).add(shown, wanted, covered);
        }
        popularity.add(&most, wanted, !most.is_empty());
        let mut any = Vec::new();
        let free = layers.items.len() - own.items.len();
        while any.len() < k.min(free) {
            let item = rng.random_range(0..layers.items.len() as u32);
            if own.items.binary_search(&item).is_err() && !any.contains(&item) {
                any.push(item);
            }
        }
        random.add(&any, wanted, !any.is_empty());
    }
    let recommender = ours.metrics();
    let popularity = popularity.metrics();
    let group = |(name, tally): (&str, Tally)| {
        (name.to_owned(), Group { users: tally.users(), metrics: tally.metrics() })
    };
    Report {
        users: layers.users.len(),
        items: layers.items.len(),
        entries: layers.entry_count(),
        evaluated_users: partition.held_out.len(),
        held_out: partition.held_out.iter().map(|case| case.items.len()).sum(),
        k,
        hit_rate_over_popularity: (popularity.hit_rate > 0.0)
            .then(|| recommender.hit_rate / popularity.hit_rate),
        recommender,
        popularity,
        random: random.metrics(),
        by_group: by_group.into_iter().map(group).collect(),
    }
}

/// Keeps what is drawn at random apart from what is held out by the same seed.
const RANDOM_STREAM: u64 = 0x72616e646f6d;

/// The k items most users have, of those the user does not, best first. What is held out from
/// this user must not count here either.
fn most_popular(partition: &Partition, own: &Row, wanted: &[u32], k: usize) -> Vec<u32> {
    let layers = &partition.known;
    let known = popular(layers).map(|Candidate { item, score }| {
        let left_out = partition.leave_one_out && wanted.contains(&item);
        Candidate { item, score: if left_out { score - 1.0 } else { score } }
    });
    best(layers, own.view(), known.filter(|candidate| candidate.score > 0.0), k)
}

fn scorer(layers: &Layers, similarity: Similarity, settings: &Settings) -> Scorer {
    let &Settings { scoring, neighbors, amplification, .. } = settings;
    let raters = settings.raters();
    Scorer { similarity, scoring, neighbors, amplification, raters, item_total: layers.items.len() }
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
