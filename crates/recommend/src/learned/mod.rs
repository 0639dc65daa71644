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
//!
//! Where the package has learned what circumstances speak for ([`context`]), they are added for the
//! person as described at the moment of the request.

mod context;
mod weights;

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde::Serialize;

use super::catalogue::Catalogue;
use super::data::Kind;
use super::names::{GONE, Names};
use super::neighbors::best::Best;
use super::places::Place;
use super::ranking::Candidate;
use super::source::Sum;

pub use context::{ContextWeights, DistanceWeight, LEAST, Laid};
pub use weights::{ItemWeights, SparseRows};

/// How many circumstances an explanation names.
const NAMED_CIRCUMSTANCES: usize = 5;

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
    digest: String,
    weights: ItemWeights,
    context: Option<ContextWeights>,
    numbering: ArcSwapOption<Numbering>,
}

/// Who asks, as far as circumstances count.
pub(super) struct Asking<'a> {
    /// Those of the person's circumstances that the package knows, by its numbers.
    pub features: Vec<u32>,
    /// Where the person is.
    pub origin: Option<Place>,
    /// Where the items are.
    pub catalogue: &'a Catalogue,
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
        let (digest, context, numbering) = (String::new(), None, ArcSwapOption::empty());
        Self { name, version, kind, digest, weights, context, numbering }
    }

    /// The same, known by a digest of everything that is in the package: a store keeps weights by it.
    pub fn with_digest(self, digest: String) -> Self {
        Self { digest, ..self }
    }

    /// That digest; empty where there is none.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The same with what circumstances speak for, over the items of the weights.
    pub fn with_context(self, context: ContextWeights) -> Self {
        Self { context: Some(context), ..self }
    }

    /// What circumstances speak for, where that was learned.
    pub fn context(&self) -> Option<&ContextWeights> {
        self.context.as_ref()
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

    /// What the history `own` (numbers of the snapshot) and the circumstances of who asks lead to,
    /// with the items in the numbers of the snapshot; none where nothing of the history is known to
    /// the package. `sums` are what a store has added up; without them that is done here.
    pub(super) fn answer<'a>(
        &'a self,
        names: &Names,
        own: &[u32],
        asking: Asking<'a>,
        sums: Option<&[Sum]>,
    ) -> Option<LearnedAnswer<'a>> {
        let numbering = self.numbering(names);
        let inner = own.iter().filter_map(|&item| numbering.inner.get(item as usize).copied());
        let mut known: Vec<u32> = inner.filter(|&number| number != GONE).collect();
        if known.is_empty() {
            return None;
        }
        known.sort_unstable();
        let shown = |&&item: &&u32| asking.catalogue.get(item).is_some_and(|entry| !entry.item.hidden);
        let new_items = numbering.new.iter().filter(shown).count();
        let candidates = Vec::new();
        let mut answer = LearnedAnswer { learned: self, numbering, known, asking, new_items, candidates };
        answer.candidates = match sums {
            Some(sums) => sums.iter().filter_map(|sum| answer.candidate(*sum)).collect(),
            None => answer.scored(),
        };
        Some(answer)
    }
}

/// What a history leads to.
pub struct LearnedAnswer<'a> {
    learned: &'a Learned,
    numbering: Arc<Numbering>,
    /// The own items that the package knows, by its numbers, ascending.
    known: Vec<u32>,
    asking: Asking<'a>,
    /// How many items that may be shown came after the package.
    pub new_items: usize,
    /// Every item that something speaks for, in no particular order.
    pub candidates: Vec<Candidate>,
}

impl LearnedAnswer<'_> {
    /// Every item of the package that is in the snapshot and that something speaks for: the sum of
    /// the parts is above 0.
    fn scored(&self) -> Vec<Candidate> {
        let Learned { weights, context, .. } = self.learned;
        let features = &self.asking.features;
        SUMS.with_borrow_mut(|sums| {
            weights.scores(&self.known, sums);
            if let Some(context) = context {
                features.iter().for_each(|&feature| context.parts().add(feature, sums));
            }
            let logarithms = context.as_ref().filter(|context| context.multiplies()).map(|context| {
                let mut logarithms = vec![0.0; sums.len()];
                features.iter().for_each(|&feature| context.factors().add(feature, &mut logarithms));
                logarithms
            });
            let logarithm = |item: usize| logarithms.as_ref().map_or(0.0, |logarithms| logarithms[item]);
            let sum = |(item, &sum)| Sum { item: item as u32, sum, logarithm: logarithm(item) };
            sums.iter().enumerate().filter_map(|one| self.candidate(sum(one))).collect()
        })
    }

    /// An item and its score, in the numbers of the snapshot. What nothing speaks for is no
    /// recommendation, and neither is what the snapshot does not have.
    fn candidate(&self, Sum { item, sum, logarithm }: Sum) -> Option<Candidate> {
        let item = *self.numbering.outer.get(item as usize).filter(|&&item| item != GONE)?;
        if sum <= 0.0 {
            return None;
        }
        let score = match &self.learned.context {
            Some(context) if context.multiplies() => {
                let distance = self.distance_part(item).unwrap_or_default();
                sum.max(LEAST) * (logarithm + distance).exp()
            }
            _ => sum,
        };
        Some(Candidate { item, score })
    }

    /// The logarithm of what the distance multiplies an item's score by, where it counts and both
    /// places are known.
    fn distance_part(&self, item: u32) -> Option<f64> {
        let weight = self.learned.context.as_ref()?.distance()?;
        let item = &self.asking.catalogue.get(item)?.item;
        let place = Place::new(item.latitude, item.longitude)?;
        Some(weight.logarithm(self.asking.origin?.distance_km(place)))
    }

    /// The circumstances that speak for an item, at most five, ties by name: the first is that
    /// without which the score would fall the farthest. `distance` is one of them where it does.
    pub fn speaking(&self, item: u32) -> Vec<String> {
        let Some(context) = &self.learned.context else { return Vec::new() };
        let target = self.numbering.inner.get(item as usize).copied().filter(|&number| number != GONE);
        let Some(target) = target else { return Vec::new() };
        let of_items = self.learned.weights.contributions(&self.known, target).map(|part| part.score);
        let part = |&feature: &u32| context.parts().weight(feature, target).unwrap_or_default();
        let base = f64::from(self.learned.weights.base()[target as usize]);
        let features = &self.asking.features;
        let sum = (base + of_items.sum::<f64>() + features.iter().map(part).sum::<f64>()).max(LEAST);
        // By which share the score falls without it.
        let share = |feature: &u32| {
            let factor = context.factors().weight(*feature, target).unwrap_or_default();
            let fall = 1.0 - (1.0 - part(feature) / sum).max(0.0) * (-factor).exp();
            (fall, context.features()[*feature as usize].to_string())
        };
        let distance = self.distance_part(item).map(|factor| (1.0 - (-factor).exp(), "distance".to_owned()));
        let shares = features.iter().map(share).chain(distance);
        let mut shares: Vec<(f64, String)> = shares.filter(|(fall, _)| *fall > 0.0).collect();
        shares.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        shares.into_iter().take(NAMED_CIRCUMSTANCES).map(|(_, name)| name).collect()
    }

    /// Whether the package knows the item.
    pub fn knows(&self, item: u32) -> bool {
        self.numbering.inner.get(item as usize).is_some_and(|&number| number != GONE)
    }

    /// Adds the new items among the neighbors' candidates, each with the score of the candidate
    /// that stands where the neighbors put the new item. What the person has, `own` (ascending), takes
    /// no place in either list.
    pub fn add_new(&mut self, names: &Names, own: &[u32], by_neighbors: &[Candidate]) {
        let others = |candidate: &&Candidate| own.binary_search(&candidate.item).is_err();
        let mut scores: Vec<f64> = self.candidates.iter().filter(others).map(|one| one.score).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let Some(&least) = scores.last() else { return };
        let mut by_neighbors: Vec<Candidate> = by_neighbors.iter().filter(others).copied().collect();
        by_neighbors
            .sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| names.compare(a.item, b.item)));
        for (place, Candidate { item, .. }) in by_neighbors.into_iter().enumerate() {
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
    pub fn scored_by(&self) -> ScoredBy {
        let Learned { name, version, .. } = self.learned;
        ScoredBy { name: name.clone(), version: version.clone(), new_items: self.new_items }
    }
}
