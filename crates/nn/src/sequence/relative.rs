//! What attention scores say of how far apart two rows are (He et al. 2021, "DeBERTa").
//!
//! A query has a product with a learnt key of the distance, and a key one with a learnt query of it. Both tables are the
//! same for every text, and for rows of a sequence of n there are 2 n - 1 distances: so they are packed in the order of
//! distances, one product gives what every row says of each of them, and what belongs to the scores of a query lies side
//! by side in it, what belongs to those of a key along a diagonal.

use super::attention::{Head, grow};
use crate::graph::RelativePlaces;
use crate::packed::{Epilogue, Matrix, PackedWeights};
use crate::simd::lanes;

/// Learnt keys and queries of distances.
pub struct RelativeTables {
    /// Which rows of the tables are for which distance.
    pub places: RelativePlaces,
    /// (2 span, width), where the places have keys.
    pub keys: Option<Vec<f32>>,
    /// (2 span, width), where the places have queries.
    pub queries: Option<Vec<f32>>,
}

/// Memory for one sequence, kept from call to call.
#[derive(Clone, Default)]
pub struct RelativeMemory {
    /// The row of the tables for every distance: the last key from the first query first.
    rows: Vec<usize>,
    place_keys: Option<PackedWeights>,
    place_queries: PackedWeights,
    /// (rows of a block, distances): what queries say.
    by_query: Vec<f32>,
    /// (rows, distances): what keys say; empty where there are no queries of distances.
    by_key: Vec<f32>,
    padded: usize,
}

impl RelativeMemory {
    /// Finds the distances of a sequence of `length` rows.
    pub fn begin(&mut self, tables: &RelativeTables, length: usize) {
        // At place t the key lies t - (length - 1) rows behind the query.
        let distance = |t: usize| length as isize - 1 - t as isize;
        self.rows.clear();
        self.rows.extend((0..2 * length - 1).map(|t| tables.places.row(distance(t))));
        self.padded = self.rows.len().next_multiple_of(2 * lanes());
    }

    /// Makes what one head needs: `keys` are its rows, and products are multiplied by `scale`.
    pub fn head(&mut self, tables: &RelativeTables, of: Head, scale: f32, keys: Matrix, width: usize) {
        let RelativeMemory { rows, place_keys, place_queries, by_key, padded, .. } = self;
        let Head { length, head, size, .. } = of;
        let packed = |into: &mut PackedWeights, table: &[f32]| {
            into.fill(size, *padded, |k, t| match rows.get(t) {
                Some(row) => scale * table[row * width + head * size + k],
                None => 0.0,
            });
        };
        match &tables.keys {
            Some(table) => packed(place_keys.get_or_insert_default(), table),
            None => *place_keys = None,
        }
        by_key.clear();
        if let Some(table) = &tables.queries {
            packed(place_queries, table);
            grow(by_key, length * *padded);
            place_queries.multiply(length, keys, Epilogue::default(), by_key, *padded);
        }
    }

    /// Adds what distances say to the scores of the queries from `from` on; a row of scores has `stride` values.
    pub fn add(&mut self, of: Head, from: usize, queries: Matrix, scores: &mut [f32], stride: usize) {
        let RelativeMemory { place_keys, by_query, by_key, padded, .. } = self;
        let length = of.length;
        if let Some(place_keys) = place_keys {
            let count = scores.len() / stride;
            grow(by_query, count * *padded);
            place_keys.multiply(count, queries, Epilogue::default(), by_query, *padded);
            for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
                let said = &by_query[row * *padded + length - 1 - (from + row)..][..length];
                scores.iter_mut().zip(said).for_each(|(score, said)| *score += said);
            }
        }
        if !by_key.is_empty() {
            for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
                let said = by_key[length - 1 - (from + row)..].iter().step_by(*padded + 1);
                scores[..length].iter_mut().zip(said).for_each(|(score, said)| *score += said);
            }
        }
    }
}
