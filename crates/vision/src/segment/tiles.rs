//! A picture larger than a network, cut into overlapping tiles along one side.
//!
//! Near its edge a tile misses what lies beyond, so of two tiles that overlap each answers for its own
//! half: no pixel is answered for twice, and nothing has to be kept to be averaged.

use std::ops::Range;

/// A tile along one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Where it begins in the picture.
    pub start: usize,
    /// The places of the picture that it answers for.
    pub answers: Range<usize>,
}

/// The tiles of `tile` places over a side of `length`, neighbors sharing at least `overlap`. A side shorter
/// than a tile has one.
pub fn spans(length: usize, tile: usize, overlap: usize) -> Vec<Span> {
    if length <= tile {
        return vec![Span { start: 0, answers: 0..length }];
    }
    let step = tile.saturating_sub(overlap).max(1);
    let count = (length - tile).div_ceil(step) + 1;
    // Evenly spread, so that the overlap is as wide as it can be for so many.
    let start = |at: usize| at * (length - tile) / (count - 1);
    let middle = |at: usize| (start(at) + tile + start(at + 1)) / 2;
    let span = |at: usize| Span {
        start: start(at),
        answers: if at == 0 { 0 } else { middle(at - 1) }..if at + 1 == count { length } else { middle(at) },
    };
    (0..count).map(span).collect()
}

/// The place that stands for `at` on a side of `length`: beyond the end a picture goes on as its mirror image.
pub fn mirrored(at: usize, length: usize) -> usize {
    if length < 2 {
        return 0;
    }
    let around = at % (2 * length - 2);
    around.min(2 * length - 2 - around)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_answered_for_once_and_from_well_within_its_tile() {
        for (length, tile, overlap) in
            [(1, 8, 2), (8, 8, 2), (9, 8, 4), (100, 16, 6), (1388, 256, 64), (33, 16, 15)]
        {
            let spans = spans(length, tile, overlap);
            let mut next = 0;
            for (at, Span { start, answers }) in spans.iter().enumerate() {
                assert_eq!(answers.start, next);
                assert!(*start <= answers.start && answers.end <= start + tile, "{length} {tile} {overlap}");
                assert!(length < tile || start + tile <= length);
                assert!(at == 0 || answers.start >= start + overlap / 2);
                next = answers.end;
            }
            assert_eq!(next, length);
        }
    }

    #[test]
    fn beyond_its_end_a_side_is_mirrored() {
        let places: Vec<usize> = (0..9).map(|at| mirrored(at, 4)).collect();
        assert_eq!(places, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(mirrored(5, 1), 0);
    }
}
