//! From neighbors to scores of items.
//!
//! - `implicit` (the default; weights say how much, not how good): the score of an item is the
//!   sum of similarity x weight over the neighbors who have it. Similarities may be raised to a
//!   power first, so that the most alike count for more (case amplification, Breese, Heckerman and
//!   Kadie 1998, "Empirical analysis of predictive algorithms for collaborative filtering").
//! - `explicit` (weights are ratings): the score predicts the asking user's rating. Similarity
//!   is the cosine of mean-centred rows; for each item the K most similar users who rated it
//!   count: score = mean + sum(s x (r - their mean)) / sum(s). These are the user-user
//!   predictions of LensKit (K = 30, similarities of at least 1e-6). One rater alone makes a
//!   prediction as extreme as that rating, and a list of the highest predictions is then a list of
//!   what hardly anybody has rated. So an item needs a least number of raters, and a prediction is
//!   drawn towards the user's mean by n / (n + shrinkage), n the number of raters that count (the
//!   shrinkage of Bell and Koren 2007, "Scalable collaborative filtering with jointly derived
//!   neighborhood interpolation weights"). With 1 and 0 both are off.
//!
//! Sums are added in the order of the neighbors, most alike first, in double precision.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use super::layers::Layers;
use super::matrix::RowView;
use super::neighbors::{Rows, Search, search};
use super::source::Similarity;

/// How neighbors' weights become scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// Weights say how much.
    #[default]
    Implicit,
    /// Weights are ratings.
    Explicit,
}

/// An item, by number, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The item.
    pub item: u32,
    /// How much speaks for it.
    pub score: f64,
}

/// What a user's history leads to in a matrix.
pub struct Scored {
    /// Those the scores rest on (user, similarity as it counts), most alike first.
    pub neighbors: Vec<(u32, f64)>,
    /// All items of those neighbors, the user's own among them, in no particular order.
    pub candidates: Vec<Candidate>,
}

/// Whose ratings make a predicted rating, and how far it is believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Raters {
    /// How many of the most similar raters of an item count.
    pub most: usize,
    /// An item with fewer is not predicted.
    pub least: usize,
    /// How many raters it takes for a prediction to stand half way between the user's mean and
    /// what they say; 0: they are believed at once.
    pub shrinkage: f64,
}

/// From a row to scores: the one way that requests are answered and evaluations computed.
#[derive(Debug, Clone, Copy)]
pub struct Scorer {
    pub similarity: Similarity,
    pub scoring: Scoring,
    /// How many neighbors count, for `implicit`.
    pub neighbors: usize,
    /// The power that similarities are raised to before they are added up, for `implicit`.
    pub amplification: f64,
    /// Which raters of an item count, and how far they are believed, for `explicit`.
    pub raters: Raters,
    /// How many items of the kind there are.
    pub item_total: usize,
}

impl Scorer {
    /// The `count` users most like the owner of the row `own`; the user `asking` is left out.
    pub fn nearest(
        &self,
        layers: &Layers,
        own: RowView<'_>,
        asking: Option<u32>,
        count: usize,
    ) -> Vec<(u32, f64)> {
        let centred = self.scoring == Scoring::Explicit && self.similarity == Similarity::Cosine;
        let wanted = Search {
            similarity: self.similarity,
            rows: if centred { Rows::Centred } else { Rows::Raw },
            count,
            item_total: self.item_total,
        };
        search(layers, own, asking, &wanted)
    }

    /// What the neighbors of the owner of the row `own` have, with its scores.
    pub fn score(&self, layers: &Layers, own: RowView<'_>, asking: Option<u32>) -> Scored {
        match self.scoring {
            Scoring::Implicit => {
                let mut neighbors = self.nearest(layers, own, asking, self.neighbors);
                // A power of 1 would leave each as it is, and still cost time.
                if self.amplification != 1.0 {
                    neighbors.iter_mut().for_each(|(_, alike)| *alike = alike.powf(self.amplification));
                }
                Scored { candidates: implicit(layers, &neighbors), neighbors }
            }
            Scoring::Explicit => {
                let neighbors = self.nearest(layers, own, asking, layers.users.len());
                let candidates = explicit(layers, &neighbors, own.stats.mean, self.raters);
                Scored { candidates, neighbors }
            }
        }
    }
}

/// Every item that anybody has; the score is how many users do.
pub fn popular(layers: &Layers) -> impl Iterator<Item = Candidate> {
    let users = (0..layers.items.len() as u32).map(|item| (item, layers.popularity(item)));
    users.filter(|&(_, users)| users > 0).map(|(item, users)| Candidate { item, score: f64::from(users) })
}

/// Working memory of one thread, by item number: all zeros between uses.
#[derive(Default)]
struct Scratch {
    sums: Vec<f64>,
    ratings: Vec<Rating>,
}

/// What is added up for one item's predicted rating.
#[derive(Debug, Clone, Copy, Default)]
struct Rating {
    weighted: f64,
    similarities: f64,
    raters: u32,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Scores by `implicit`: every item the neighbors (user, similarity) have, in no particular
/// order.
pub fn implicit(layers: &Layers, neighbors: &[(u32, f64)]) -> Vec<Candidate> {
    SCRATCH.with_borrow_mut(|Scratch { sums, .. }| {
        let sums = fit(sums, layers.items.len());
        for &(user, similarity) in neighbors {
            for (item, weight) in layers.row(user).iter() {
                sums[item as usize] += similarity * f64::from(weight);
            }
        }
        let mut candidates = Vec::new();
        walk_touched(layers, neighbors, |item| {
            // Weights and similarities are above zero, so a zero is an item taken already.
            let score = std::mem::take(&mut sums[item as usize]);
            if score > 0.0 {
                candidates.push(Candidate { item, score });
            }
        });
        candidates
    })
}

/// Scores by `explicit`: predicted ratings of the items the neighbors have. `neighbors` are all
/// users with a similarity, most alike first; each item takes its first `raters.most` raters.
fn explicit(layers: &Layers, neighbors: &[(u32, f64)], own_mean: f64, raters: Raters) -> Vec<Candidate> {
    SCRATCH.with_borrow_mut(|Scratch { ratings, .. }| {
        let ratings = fit(ratings, layers.items.len());
        for &(user, similarity) in neighbors {
            let row = layers.row(user);
            for (item, weight) in row.iter() {
                let rating = &mut ratings[item as usize];
                if (rating.raters as usize) < raters.most {
                    rating.weighted += similarity * (f64::from(weight) - row.stats.mean);
                    rating.similarities += similarity;
                    rating.raters += 1;
                }
            }
        }
        let mut candidates = Vec::new();
        walk_touched(layers, neighbors, |item| {
            let rating = std::mem::take(&mut ratings[item as usize]);
            if rating.raters as usize >= raters.least.max(1) {
                let number = f64::from(rating.raters);
                let believed = number / (number + raters.shrinkage);
                let score = own_mean + believed * (rating.weighted / rating.similarities);
                candidates.push(Candidate { item, score });
            }
        });
        candidates
    })
}

/// Those of the neighbors who have the item, by their place in `neighbors`, most alike first, at
/// most `limit`.
pub fn supporters(layers: &Layers, neighbors: &[(u32, f64)], item: u32, limit: usize) -> Vec<usize> {
    neighbors
        .iter()
        .enumerate()
        .filter(|&(_, &(user, _))| layers.weight(user, item).is_some())
        .map(|(place, _)| place)
        .take(limit)
        .collect()
}

fn fit<T: Default + Clone>(values: &mut Vec<T>, len: usize) -> &mut [T] {
    if values.len() < len {
        values.resize(len, T::default());
    }
    &mut values[..len]
}

/// Calls `take` with every item the neighbors have, once or more, by a second walk over their
/// rows or, where that would be longer, over all items.
fn walk_touched(layers: &Layers, neighbors: &[(u32, f64)], mut take: impl FnMut(u32)) {
    let touched: usize = neighbors.iter().map(|&(user, _)| layers.row(user).items.len()).sum();
    let items = layers.items.len();
    if touched < items / 2 {
        for &(user, _) in neighbors {
            layers.row(user).items.iter().for_each(|&item| take(item));
        }
    } else {
        (0..items as u32).for_each(take);
    }
}
