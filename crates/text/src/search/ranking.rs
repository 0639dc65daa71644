//! How much what counts.

/// The weights of a ranking. Chosen by `crates/text/examples/search_ranking.rs`; `docs/performance.md` says on what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// How soon more occurrences of a term count for less (BM25's k1).
    pub k1: f32,
    /// How much the length of a case counts against it (BM25's b).
    pub b: f32,
    /// The power to which a term's rarity (BM25's inverse document frequency) is taken. More than 1 makes more
    /// of rare words, the matter of a long question, than of its many common ones.
    pub rarity: f32,
    /// What words count; vectors count the rest to 1.
    pub words: f32,
}

impl Default for Ranking {
    fn default() -> Ranking {
        Ranking { k1: 1.5, b: 0.75, rarity: 1.5, words: 0.5 }
    }
}

impl Ranking {
    /// What a term counts that so many of so many cases have.
    pub(super) fn rarity(&self, with: usize, cases: usize) -> f32 {
        let (with, cases) = (with as f32, cases as f32);
        (1.0 + (cases - with + 0.5) / (with + 0.5)).ln().powf(self.rarity)
    }

    /// What a case's length makes of a term's count: `k1 ((1 - b) + b length / mean length)`.
    pub(super) fn norm(&self, mean_length: f32) -> Norm {
        Norm { none: self.k1 * (1.0 - self.b), a_word: self.k1 * self.b / mean_length.max(1.0) }
    }

    /// What a case adds to a term that it has so often.
    pub(super) fn part(&self, count: f32, norm: f32) -> f32 {
        count * (self.k1 + 1.0) / (count + norm)
    }

    /// More than [`Ranking::part`] ever is.
    pub(super) fn most(&self) -> f32 {
        self.k1 + 1.0
    }
}

/// What length makes of counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Norm {
    none: f32,
    a_word: f32,
}

impl Norm {
    pub(super) fn of(self, length: u32) -> f32 {
        self.none + self.a_word * length as f32
    }
}
