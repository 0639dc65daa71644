//! Which settings, by what they do on a part that is held out for choosing.
//!
//! What is given here is the training part alone. Of its interactions some are held out once
//! more, each candidate is computed from the rest and measured on them, and the best is then
//! fitted on all that was given. So nothing is chosen on what is reported.

use std::collections::HashSet;

use anyhow::{Result, bail};
use recommend::{
    Candidate, Groups, HeldOut, Interaction, Partition, Report, Settings, Similarity, Split, measure,
    rank_by_neighbors,
};
use serde::Serialize;

use super::ease::{Ease, EaseSettings};

/// Settings are chosen on the most frequent items only, so that choosing among many costs no more
/// than one fit of a large catalogue.
const ITEMS: usize = 2_000;
/// And on no more people than this.
const PEOPLE: usize = 2_000;
/// Neighbors take far longer to find than scores to add up, so among those is chosen on fewer.
const PEOPLE_OF_NEIGHBORS: usize = 500;

/// How neighbors are found and counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NeighborSettings {
    /// How people are compared.
    #[serde(serialize_with = "name_of")]
    pub similarity: Similarity,
    /// How many count.
    pub neighbors: usize,
    /// The power that similarities are raised to.
    pub amplification: f64,
}

fn name_of<S: serde::Serializer>(similarity: &Similarity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(similarity.as_str())
}

impl NeighborSettings {
    /// The settings of a server that counts neighbors like this.
    pub fn settings(&self, like: &Settings) -> Settings {
        Settings { neighbors: self.neighbors, amplification: self.amplification, ..like.clone() }
    }
}

/// The part of the training interactions that settings are chosen on.
pub struct Choice {
    partition: Partition,
    k: usize,
    seed: u64,
    settings: Settings,
}

impl Choice {
    /// Holds out again what a split of this sort would: one item a person where one is left out
    /// at a time, otherwise a share.
    ///
    /// # Errors
    /// Nobody has two items.
    pub fn new(
        known: &[Interaction],
        split: Split,
        k: usize,
        seed: u64,
        settings: &Settings,
    ) -> Result<Choice> {
        let frequent = most_frequent(known, ITEMS);
        let kept: Vec<Interaction> =
            known.iter().filter(|event| frequent.contains(event.item_id.as_str())).cloned().collect();
        let split = match split {
            Split::LeaveOneOut => Split::LeaveOneOut,
            _ => Split::Ratio(0.2),
        };
        let mut partition = Partition::new(&kept, split, seed, &settings.weighing);
        partition.held_out = spread(&partition.held_out, PEOPLE);
        if partition.held_out.is_empty() {
            bail!("there is nobody with two items, so there is nothing to choose the settings on");
        }
        Ok(Choice { partition, k, seed, settings: settings.clone() })
    }

    /// What is made as large as possible: the hit rate where one item is left out, otherwise the gain.
    fn goal(&self, report: &Report) -> f64 {
        match self.partition.leave_one_out {
            true => report.recommender.hit_rate,
            false => report.recommender.ndcg,
        }
    }

    /// How the neighbors do that a server goes by where it is not told otherwise.
    pub fn usual_neighbors(&self) -> Report {
        let Settings { neighbors, amplification, .. } = self.settings;
        let usual = NeighborSettings { similarity: Similarity::default(), neighbors, amplification };
        self.by_neighbors(&self.partition, usual)
    }

    fn by_neighbors(&self, partition: &Partition, neighbors: NeighborSettings) -> Report {
        let settings = neighbors.settings(&self.settings);
        let rank =
            &mut |case: &HeldOut| rank_by_neighbors(&partition.known, case, neighbors.similarity, &settings);
        measure(partition, self.k, self.seed, &Groups::new(), rank)
    }

    /// The best neighbors, and how they do.
    pub fn neighbors(&self) -> (NeighborSettings, Report, f64) {
        let few = Partition {
            known: self.partition.known.clone(),
            held_out: spread(&self.partition.held_out, PEOPLE_OF_NEIGHBORS),
            leave_one_out: self.partition.leave_one_out,
        };
        let (similarity, neighbors, amplification) = (Similarity::default(), 200, 1.0);
        let mut best = (NeighborSettings { similarity, neighbors, amplification }, f64::NEG_INFINITY);
        for similarity in [Similarity::Cosine, Similarity::Pearson] {
            for neighbors in [50, 100, 200] {
                for amplification in [1.0, 2.0, 3.0] {
                    let these = NeighborSettings { similarity, neighbors, amplification };
                    let goal = self.goal(&self.by_neighbors(&few, these));
                    if goal > best.1 {
                        best = (these, goal);
                    }
                }
            }
        }
        let report = self.by_neighbors(&self.partition, best.0);
        let goal = self.goal(&report);
        (best.0, report, goal)
    }

    /// How these weights do.
    ///
    /// # Errors
    /// As [`Ease::fit`].
    pub fn by_weights(&self, settings: EaseSettings) -> Result<(EaseSettings, Report, f64)> {
        let known = &self.partition.known;
        let ease = Ease::fit(known, settings)?;
        let rank = &mut |case: &HeldOut| ranked(&ease, &self.partition, case);
        let report = measure(&self.partition, self.k, self.seed, &Groups::new(), rank);
        let goal = self.goal(&report);
        Ok((settings, report, goal))
    }

    /// The best weights, and how they do: first lambda, on a grid of factors of two from where
    /// the average item's frequency stands, as far as it goes up; then whether a base and then
    /// whether dropout do better, each with a lambda nearer by.
    ///
    /// # Errors
    /// As [`Ease::fit`].
    pub fn weights(&self) -> Result<(EaseSettings, Report, f64)> {
        let known = &self.partition.known;
        let mean = known.entry_count() as f64 / known.items.len().max(1) as f64;
        let start = 2f64.powf((2.0 * mean).max(4.0).log2().round());
        let mut best = self.by_weights(EaseSettings { lambda: start, base: false, dropout: 0.0 })?;
        for base in [false, true] {
            for dropout in [0.0, 0.5] {
                let from = best.0.lambda;
                let tried = EaseSettings { lambda: from, base, dropout };
                let mut here = if tried == best.0 { best.clone() } else { self.by_weights(tried)? };
                for factor in [2.0, 0.5] {
                    let mut lambda = here.0.lambda;
                    loop {
                        lambda *= factor;
                        let next = self.by_weights(EaseSettings { lambda, base, dropout })?;
                        if next.2 <= here.2 {
                            break;
                        }
                        here = next;
                    }
                }
                if here.2 > best.2 {
                    best = here;
                }
            }
        }
        Ok(best)
    }
}

/// At most so many of the cases, spread evenly.
fn spread(cases: &[HeldOut], most: usize) -> Vec<HeldOut> {
    cases.iter().step_by(cases.len().div_ceil(most).max(1)).cloned().collect()
}

/// The scores of a case as candidates: what nothing speaks for is none, as in the server.
pub fn ranked(ease: &Ease, partition: &Partition, case: &HeldOut) -> Vec<Candidate> {
    let scores = ease.scores_of(&partition.known, case, partition.leave_one_out);
    let scores = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0);
    scores.map(|(item, score)| Candidate { item: item as u32, score }).collect()
}

/// The items that most interactions are with, at most so many, ties by id.
pub fn most_frequent(events: &[Interaction], most: usize) -> HashSet<&str> {
    let mut ids: Vec<&str> = events.iter().map(|event| event.item_id.as_str()).collect();
    ids.sort_unstable();
    let mut counts: Vec<(usize, &str)> = ids.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
    counts.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    counts.into_iter().take(most).map(|(_, id)| id).collect()
}

/// The interactions of a matrix without those that are held out from it.
pub fn known_events(partition: &Partition) -> Vec<Interaction> {
    let known = &partition.known;
    let mut events = Vec::with_capacity(known.entry_count());
    let held: std::collections::HashMap<u32, &[u32]> =
        partition.held_out.iter().filter_map(|case| Some((case.user?, case.items.as_slice()))).collect();
    for user in 0..known.users.len() as u32 {
        let hidden = held.get(&user).filter(|_| partition.leave_one_out).copied().unwrap_or(&[]);
        for (item, weight) in known.row(user).iter().filter(|(item, _)| !hidden.contains(item)) {
            events.push(Interaction {
                user_id: known.users.name(user).to_owned(),
                item_id: known.items.name(item).to_owned(),
                event: String::new(),
                weight,
                time: 0,
            });
        }
    }
    events
}
