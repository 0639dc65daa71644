//! Rows of numbers that several threads read and write at once, without waiting for each other.
//!
//! Threads of a run step the same rows (Niu et al. 2011, "Hogwild!"): now and then one overwrites what another
//! has just written, which costs a step of many and nothing else. In Rust that has to be said: every two
//! numbers are one atomic word, read and written in no order relative to others, so there is no data race
//! that the language leaves undefined; on the processor these are plain loads and stores.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module's introduction.
pub struct SharedMatrix {
    dimensions: usize,
    /// Pairs of a row.
    pairs: usize,
    values: Vec<AtomicU64>,
}

impl SharedMatrix {
    /// Of values, row after row.
    ///
    /// # Panics
    /// Values that are no whole rows.
    pub fn new(values: &[f32], dimensions: usize) -> SharedMatrix {
        assert_eq!(values.len() % dimensions, 0, "values that are no whole rows");
        let pair = |pair: &[f32]| AtomicU64::new(packed(pair[0], pair.get(1).copied().unwrap_or(0.0)));
        let rows = values.chunks_exact(dimensions);
        let values = rows.flat_map(|row| row.chunks(2).map(pair)).collect();
        SharedMatrix { dimensions, pairs: dimensions.div_ceil(2), values }
    }

    fn row(&self, row: usize) -> &[AtomicU64] {
        &self.values[row * self.pairs..][..self.pairs]
    }

    /// Values of a row with room for an even number.
    pub fn width(&self) -> usize {
        2 * self.pairs
    }

    /// Copies a row to `to`, of [`SharedMatrix::width`] values.
    pub fn load(&self, row: usize, to: &mut [f32]) {
        for (pair, to) in self.row(row).iter().zip(to.chunks_exact_mut(2)) {
            (to[0], to[1]) = unpacked(pair.load(Relaxed));
        }
    }

    /// Adds a row to `to`.
    pub fn add_to(&self, row: usize, to: &mut [f32]) {
        for (pair, to) in self.row(row).iter().zip(to.chunks_exact_mut(2)) {
            let (first, second) = unpacked(pair.load(Relaxed));
            to[0] += first;
            to[1] += second;
        }
    }

    /// Writes a row.
    pub fn store(&self, row: usize, from: &[f32]) {
        for (pair, from) in self.row(row).iter().zip(from.chunks_exact(2)) {
            pair.store(packed(from[0], from[1]), Relaxed);
        }
    }

    /// Adds `by` to a row.
    pub fn add(&self, row: usize, by: &[f32]) {
        for (pair, by) in self.row(row).iter().zip(by.chunks_exact(2)) {
            let (first, second) = unpacked(pair.load(Relaxed));
            pair.store(packed(first + by[0], second + by[1]), Relaxed);
        }
    }

    /// All values, row after row.
    pub fn into_values(self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.values.len() / self.pairs.max(1) * self.dimensions);
        for row in self.values.chunks_exact(self.pairs) {
            let both = row.iter().flat_map(|pair| <[f32; 2]>::from(unpacked(pair.load(Relaxed))));
            values.extend(both.take(self.dimensions));
        }
        values
    }
}

fn packed(first: f32, second: f32) -> u64 {
    u64::from(first.to_bits()) | u64::from(second.to_bits()) << 32
}

fn unpacked(pair: u64) -> (f32, f32) {
    (f32::from_bits(pair as u32), f32::from_bits((pair >> 32) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_come_back_as_they_were_put() {
        for dimensions in [1, 2, 5] {
            let values: Vec<f32> = (0..3 * dimensions).map(|value| value as f32 - 4.5).collect();
            let shared = SharedMatrix::new(&values, dimensions);
            let mut row = vec![0.0; shared.width()];
            shared.load(1, &mut row);
            assert_eq!(row[..dimensions], values[dimensions..2 * dimensions]);
            shared.add(1, &row);
            let mut doubled = values.clone();
            doubled[dimensions..2 * dimensions].iter_mut().for_each(|value| *value *= 2.0);
            assert_eq!(shared.into_values(), doubled);
        }
    }
}
