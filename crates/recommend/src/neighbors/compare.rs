//! From a dot product to a similarity. The definitions are those of
//! [`Similarity`](crate::source::Similarity): all three follow from the dot product
//! and sums kept with each row, so one accumulation serves them all.

use super::{Rows, Search};
use crate::matrix::Stats;
use crate::source::{MIN_SIMILARITY, Similarity};

/// Compares one row, the asking user's, with others.
#[derive(Debug)]
pub struct Compare {
    similarity: Similarity,
    pub rows: Rows,
    own: Stats,
    own_norm: f64,
    item_total: f64,
}

impl Compare {
    pub fn new(search: &Search, own: Stats) -> Self {
        let own_norm = match search.rows {
            Rows::Raw => own.norm(),
            Rows::Centred => own.centred_norm,
        };
        Self {
            similarity: search.similarity,
            rows: search.rows,
            own,
            own_norm,
            item_total: search.item_total as f64,
        }
    }

    /// The similarity to a row with these sums and this dot product, or `None` if it is too low
    /// for a neighbor or not defined (a row without variance has no correlation).
    pub fn similarity(&self, dot: f64, theirs: &Stats) -> Option<f64> {
        let similarity = match (self.similarity, self.rows) {
            (Similarity::Cosine, Rows::Raw) => dot / (self.own_norm * theirs.norm()),
            (Similarity::Cosine, Rows::Centred) => dot / (self.own_norm * theirs.centred_norm),
            (Similarity::Pearson, _) => {
                let m = self.item_total;
                let covariance = m * dot - self.own.sum * theirs.sum;
                let own = m * self.own.square - self.own.sum * self.own.sum;
                let their = m * theirs.square - theirs.sum * theirs.sum;
                covariance / (own * their).sqrt()
            }
            (Similarity::Euclidean, _) => {
                let squared = self.own.square + theirs.square - 2.0 * dot;
                1.0 / (1.0 + squared.max(0.0).sqrt())
            }
        };
        (similarity.is_finite() && similarity >= MIN_SIMILARITY).then_some(similarity)
    }

    /// A bar for cosines of raw rows: a user whose dot product is below `bar x norm` cannot come
    /// up to the similarity `worst`. Where there is no such test, the bar is below everything.
    /// The bar is a hair lower than it might be, so that rounding cannot shut anyone out.
    pub fn bar(&self, worst: f64) -> f64 {
        match (self.similarity, self.rows) {
            (Similarity::Cosine, Rows::Raw) => worst.max(MIN_SIMILARITY) * self.own_norm * (1.0 - 1e-9),
            _ => f64::NEG_INFINITY,
        }
    }
}
