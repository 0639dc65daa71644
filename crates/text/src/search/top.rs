//! The best of many, with bounded memory.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A case and its score. The greater one is better: the higher score, and of equal ones the smaller
/// identifier in byte order, so that an answer depends on nothing but what is stored.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// How well it fits; never NaN.
    pub score: f32,
    /// Its identifier.
    pub id: &'a str,
    /// Its segment.
    pub segment: usize,
    /// Its place in the segment.
    pub place: usize,
}

impl Ord for Scored<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.id.cmp(self.id))
    }
}

impl PartialOrd for Scored<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored<'_> {}

/// Keeps the best `limit` of what it is given.
#[derive(Debug)]
pub struct Top<'a> {
    limit: usize,
    /// The worst of those kept is on top.
    heap: BinaryHeap<Reverse<Scored<'a>>>,
}

impl<'a> Top<'a> {
    /// Nothing yet.
    pub fn new(limit: usize) -> Top<'a> {
        Top { limit, heap: BinaryHeap::with_capacity(limit + 1) }
    }

    /// Takes one in, if it is among the best.
    pub fn offer(&mut self, one: Scored<'a>) {
        if self.heap.len() < self.limit {
            self.heap.push(Reverse(one));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && one > worst.0
        {
            worst.0 = one;
        }
    }

    /// The score below which nothing is taken in any more; nothing while there is room.
    pub fn floor(&self) -> Option<f32> {
        let full = self.heap.len() >= self.limit;
        self.heap.peek().filter(|_| full).map(|worst| worst.0.score)
    }

    /// Those of both.
    pub fn merge(mut self, other: Top<'a>) -> Top<'a> {
        other.heap.into_iter().for_each(|one| self.offer(one.0));
        self
    }

    /// The best first.
    pub fn into_sorted(self) -> Vec<Scored<'a>> {
        let mut all: Vec<Scored> = self.heap.into_iter().map(|one| one.0).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_what_sorting_everything_keeps(scores in prop::collection::vec(0u8..6, 0..60), limit in 1usize..12, cut in 0usize..60) {
            let ids: Vec<String> = (0..scores.len()).map(|n| format!("{}", (n * 7) % 61)).collect();
            let all: Vec<Scored> = scores
                .iter()
                .zip(&ids)
                .map(|(score, id)| Scored { score: f32::from(*score), id, segment: 0, place: 0 })
                .collect();
            let cut = cut.min(all.len());
            let (mut first, mut second) = (Top::new(limit), Top::new(limit));
            all[..cut].iter().for_each(|one| first.offer(*one));
            all[cut..].iter().for_each(|one| second.offer(*one));
            let found: Vec<&str> = first.merge(second).into_sorted().iter().map(|one| one.id).collect();
            let mut sorted = all.clone();
            sorted.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(b.id)));
            let expected: Vec<&str> = sorted.iter().take(limit).map(|one| one.id).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
