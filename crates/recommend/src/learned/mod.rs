//! The learned scorer: weights between items, fitted offline ([`weights`]), applied to somebody's
//! history as it is at the moment of the request.
//!
//! A package numbers its items in its own way, and the snapshot numbers the catalogue in another,
//! which changes as items come and go. The table between the two is made once for each state of
//! the snapshot's names and kept beside the weights.
//!
//! Items that came after the package was made are new to it. They are not left out until the next
//! training: the neighbors rank them, and a new item gets the score that the learned scorer gives
//! at the place where the neighbors put the new item. The answer says which items these are.

mod weights;

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde::Serialize;

use super::catalogue::Catalogue;
use super::data::Kind;
use super::names::{GONE, Names};
use super::neighbors::best::Best;
use super::ranking::Candidate;

pub use weights::ItemWeights;

/// The package that an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScoredBy {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How many items of the catalogue it does not know, because they came later. Those are
    /// ranked by neighbors.
    pub new_items: usize,
}

/// A learned scorer for one kind of item.
#[derive(Debug)]
pub struct Learned {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it recommends.
    pub kind: Kind,
    weights: ItemWeights,
    numbering: ArcSwapOption<Numbering>,
}

/// The package's numbers and the snapshot's.
#[derive(Debug)]
struct Numbering {
    names: Names,
    /// The snapshot's number of each item of the package; [`GONE`] where it has none.
    outer: Vec<u32>,
    /// The package's number of each item of the snapshot; [`GONE`] where it is new.
    inner: Vec<u32>,
    /// The snapshot's numbers of the items that are new.
    new: Vec<u32>,
}

impl Numbering {
    fn new(weights: &ItemWeights, names: &Names) -> Self {
        let mut inner = vec![GONE; names.len()];
        let outer: Vec<u32> = weights.items().iter().map(|item| names.get(item).unwrap_or(GONE)).collect();
        for (number, &name) in outer.iter().enumerate() {
            if let Some(place) = inner.get_mut(name as usize) {
                *place = number as u32;
            }
        }
        let new = (0..inner.len() as u32).filter(|&name| inner[name as usize] == GONE).collect();
        Self { names: names.clone(), outer, inner, new }
    }
}

thread_local! {
    static SUMS: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

impl Learned {
    /// The scorer of a package.
    pub fn new(name: String, version: String, kind: Kind, weights: ItemWeights) -> Self {
        Self { name, version, kind, weights, numbering: ArcSwapOption::empty() }
    }

    /// The weights.
    pub fn weights(&self) -> &ItemWeights {
        &self.weights
    }

    fn numbering(&self, names: &Names) -> Arc<Numbering> {
        match self.numbering.load_full() {
            Some(known) if known.names.is_same(names) => known,
            _ => {
                let numbering = Arc::new(Numbering::new(&self.weights, names));
                self.numbering.store(Some(Arc::clone(&numbering)));
                numbering
            }
        }
    }

    /// What the history `own` (numbers of the snapshot) leads to, with the items in the numbers
    /// of the snapshot; none where nothing of it is known to the package.
    pub(super) fn answer<'a>(&'a self, names: &Names, own: &[u32]) -> Option<LearnedAnswer<'a>> {
        let numbering = self.numbering(names);
        let inner = own.iter().filter_map(|&item| numbering.inner.get(item as usize).copied());
        let mut known: Vec<u32> = inner.filter(|&number| number != GONE).collect();
        if known.is_empty() {
            return None;
        }
        known.sort_unstable();
        let candidates = SUMS.with_borrow_mut(|sums| {
            self.weights.scores(&known, sums);
            let scored = sums.iter().zip(&numbering.outer);
            // What nothing speaks for is no recommendation.
            let scored = scored.filter(|&(&score, &item)| item != GONE && (score > 0.0 || score.is_nan()));
            scored.map(|(&score, &item)| Candidate { item, score }).collect()
        });
        Some(LearnedAnswer { learned: self, numbering, known, candidates })
    }
}

/// What a history leads to.
pub struct LearnedAnswer<'a> {
    learned: &'a Learned,
    numbering: Arc<Numbering>,
    /// The own items that the package knows, by its numbers, ascending.
    known: Vec<u32>,
    /// Every item that something speaks for, in no particular order.
    pub candidates: Vec<Candidate>,
}

impl LearnedAnswer<'_> {
    /// Whether the package knows the item.
    pub fn knows(&self, item: u32) -> bool {
        self.numbering.inner.get(item as usize).is_some_and(|&number| number != GONE)
    }

    /// How many items that may be shown came after the package.
    pub fn new_items(&self, catalogue: &Catalogue) -> usize {
        let shown = |&&item: &&u32| catalogue.get(item).is_some_and(|entry| !entry.item.hidden);
        self.numbering.new.iter().filter(shown).count()
    }

    /// Adds the new items among the neighbors' candidates, each with the score of the candidate
    /// that stands where the neighbors put the new item. What the person has, `own`, takes no
    /// place in either list.
    pub fn add_new(&mut self, names: &Names, own: &[u32], by_neighbors: &[Candidate]) {
        let own: HashSet<u32> = own.iter().copied().collect();
        let sorted = |candidates: &[Candidate]| {
            let mut best = Best::new(candidates.len(), |a, b| names.compare(a, b));
            for candidate in candidates.iter().filter(|candidate| !own.contains(&candidate.item)) {
                best.offer(candidate.item, candidate.score);
            }
            best.into_sorted()
        };
        let scores: Vec<f64> = sorted(&self.candidates).into_iter().map(|(_, score)| score).collect();
        let Some(&least) = scores.last() else { return };
        for (place, (item, _)) in sorted(by_neighbors).into_iter().enumerate() {
            if !self.knows(item) {
                let score = scores.get(place).copied().unwrap_or(least);
                self.candidates.push(Candidate { item, score });
            }
        }
    }

    /// The own items that carry the score of an item, the strongest first, ties by id: at most
    /// `count` of those that `admits` admits, by the numbers of the snapshot. Items that speak
    /// against it are not among them.
    pub fn strongest(
        &self,
        names: &Names,
        item: u32,
        count: usize,
        admits: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let Some(&target) = self.numbering.inner.get(item as usize) else { return Vec::new() };
        let mut best = Best::new(count, |a, b| names.compare(a, b));
        for part in self.learned.weights.contributions(&self.known, target) {
            let own = self.numbering.outer[part.item as usize];
            if part.score > 0.0 && own != GONE && admits(own) {
                best.offer(own, part.score);
            }
        }
        best.into_sorted().into_iter().map(|(item, _)| item).collect()
    }

    /// The package, as an answer names it.
    pub fn scored_by(&self, catalogue: &Catalogue) -> ScoredBy {
        let Learned { name, version, .. } = self.learned;
        ScoredBy { name: name.clone(), version: version.clone(), new_items: self.new_items(catalogue) }
    }
}
