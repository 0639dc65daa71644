//! From a ranking and what was held out to numbers.

use serde::Serialize;

/// Averages over the evaluated users; the formulas stand at the head of this module.
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

/// Sums on the way to [`Metrics`].
pub struct Tally {
    k: usize,
    users: usize,
    sums: Metrics,
    recommended: Vec<bool>,
}

impl Tally {
    /// Nothing yet, of lists of k of so many items.
    pub fn new(items: usize, k: usize) -> Self {
        Self { k, users: 0, sums: Metrics::default(), recommended: vec![false; items] }
    }

    /// How many users were counted.
    pub fn users(&self) -> usize {
        self.users
    }

    /// Counts one user's list.
    pub fn add(&mut self, ranked: &[u32], wanted: &[u32], covered: bool) {
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

    /// The averages.
    pub fn metrics(self) -> Metrics {
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
