//! One order out of two: by words and by vectors.
//!
//! Both scores of every candidate are known exactly, so they are added rather than their ranks: each is
//! brought to 0 to 1 by its lowest and highest among the candidates, and the share of either is fixed
//! (a convex combination: Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval",
//! 2023). A case without a vector counts as the farthest. Where there are no vectors, words alone
//! decide, and the other way round.

use super::top::{Scored, Top};

/// A candidate with both scores.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Which case.
    pub place: Scored<'a>,
    /// BM25; 0 where it shares no word.
    pub words: f32,
    /// Cosine; nothing where there is no vector.
    pub similarity: Option<f32>,
}

/// The best `limit` with their scores from 0 to 1, in which words count `share` and vectors the rest.
pub fn fuse(found: Vec<Found>, limit: usize, share: f32) -> Vec<(f32, Found)> {
    let best = found.iter().map(|one| one.words).fold(0.0, f32::max);
    let near = found.iter().filter_map(|one| one.similarity);
    let (low, high) =
        near.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), one| (low.min(one), high.max(one)));
    let score = |one: &Found| {
        let words = if best > 0.0 { one.words / best } else { 0.0 };
        let near = match one.similarity {
            Some(_) if high <= low => 1.0,
            Some(similarity) => (similarity - low) / (high - low),
            None => 0.0,
        };
        match (best > 0.0, high >= low) {
            (true, true) => share * words + (1.0 - share) * near,
            (true, false) => words,
            _ => near,
        }
    };
    let mut top = Top::new(limit);
    for (segment, one) in found.iter().enumerate() {
        top.offer(Scored { score: score(one), segment, ..one.place });
    }
    // `segment` was used for the place among the candidates.
    top.into_sorted().into_iter().map(|one| (one.score, found[one.segment])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: f32 = 0.25;

    fn found(id: &str, words: f32, similarity: Option<f32>) -> Found<'_> {
        Found { place: Scored { score: 0.0, id, segment: 0, place: 0 }, words, similarity }
    }

    fn order(candidates: &[(&'static str, f32, Option<f32>)]) -> Vec<(f32, &'static str)> {
        let all = candidates.iter().map(|(id, words, similarity)| found(id, *words, *similarity)).collect();
        fuse(all, 9, WORDS).into_iter().map(|(score, one)| (score, one.place.id)).collect()
    }

    #[test]
    fn both_count_and_what_is_best_by_both_has_1() {
        let order =
            order(&[("c", 0.0, Some(0.2)), ("a", 4.0, Some(0.9)), ("b", 4.0, Some(0.2)), ("d", 2.0, None)]);
        assert_eq!(order[0], (1.0, "a"));
        assert_eq!(order[1], (WORDS, "b"));
        assert_eq!(order[2], (WORDS / 2.0, "d"));
        assert_eq!(order[3], (0.0, "c"));
    }

    #[test]
    fn where_one_of_the_two_says_nothing_the_other_decides() {
        assert_eq!(order(&[("b", 2.0, None), ("a", 4.0, None)]), [(1.0, "a"), (0.5, "b")]);
        assert_eq!(order(&[("a", 0.0, Some(-0.5)), ("b", 0.0, Some(0.5))]), [(1.0, "b"), (0.0, "a")]);
        assert_eq!(order(&[("b", 0.0, Some(0.5)), ("a", 0.0, Some(0.5))]), [(1.0, "a"), (1.0, "b")]);
        assert!(order(&[]).is_empty());
    }
}
