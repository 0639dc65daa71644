//! Building a matrix in one pass over interactions that come in any order.
//!
//! Interactions are kept as numbers in fixed-size pieces (12 bytes each, 20 where the latest has
//! to be told from the earlier), then counted into rows, each piece freed as soon as it is
//! placed. Identifiers are renumbered in sorted order on the way, so the same interactions give
//! the same matrix, bit for bit, in whatever order they were read.

use super::data::Millis;
use super::layers::Layers;
use super::matrix::Matrix;
use super::names::{GONE, Interner, Names};
use super::weights::{Repeats, Weighing, combine};

/// Interactions in a piece: large enough that pieces cost nothing, small enough that the last,
/// half-empty one does not matter.
const PIECE: usize = 1 << 20;

#[derive(Debug, Default)]
struct Piece {
    users: Vec<u32>,
    items: Vec<u32>,
    weights: Vec<f32>,
    /// Filled only where the latest interaction alone counts.
    times: Vec<Millis>,
}

/// Collects interactions of one kind.
#[derive(Debug)]
pub struct Loader {
    weighing: Weighing,
    users: Interner,
    items: Interner,
    pieces: Vec<Piece>,
}

impl Loader {
    /// A loader without anything yet, that weighs like this.
    pub fn new(weighing: Weighing) -> Self {
        Self { weighing, users: Interner::default(), items: Interner::default(), pieces: Vec::new() }
    }

    /// Makes an item known, though nobody may have had it yet.
    pub fn add_item(&mut self, item_id: &str) {
        self.items.intern(item_id);
    }

    /// Takes one interaction.
    pub fn push(&mut self, user_id: &str, item_id: &str, event: &str, weight: f32, time: Millis) {
        let Some(weight) = self.weighing.weigh(event, weight, time) else { return };
        let (user, item) = (self.users.intern(user_id), self.items.intern(item_id));
        if self.pieces.last().is_none_or(|piece| piece.users.len() == PIECE) {
            self.pieces.push(Piece::default());
        }
        let Some(piece) = self.pieces.last_mut() else { return };
        piece.users.push(user);
        piece.items.push(item);
        piece.weights.push(weight);
        if self.weighing.repeats == Repeats::Last {
            piece.times.push(time);
        }
    }

    /// The matrix and the tables of its users and items.
    pub fn finish(self) -> Layers {
        let repeats = self.weighing.repeats;
        let (users, user_numbers) = self.users.finish();
        let (items, item_numbers) = self.items.finish();
        let matrix = build(&users, &items, &user_numbers, &item_numbers, self.pieces, repeats);
        Layers::new(users, items, matrix)
    }
}

fn build(
    users: &Names,
    items: &Names,
    user_numbers: &[u32],
    item_numbers: &[u32],
    pieces: Vec<Piece>,
    repeats: Repeats,
) -> Matrix {
    debug_assert!(!user_numbers.contains(&GONE) && !item_numbers.contains(&GONE));
    let mut starts = vec![0usize; users.len() + 1];
    for user in pieces.iter().flat_map(|piece| &piece.users) {
        starts[user_numbers[*user as usize] as usize + 1] += 1;
    }
    for user in 0..users.len() {
        starts[user + 1] += starts[user];
    }
    let total = starts[users.len()];
    let mut next = starts.clone();
    let mut row_items = vec![0u32; total];
    let mut row_weights = vec![0f32; total];
    let mut row_times = vec![0; if repeats == Repeats::Last { total } else { 0 }];
    for piece in pieces {
        for i in 0..piece.users.len() {
            let place = &mut next[user_numbers[piece.users[i] as usize] as usize];
            row_items[*place] = item_numbers[piece.items[i] as usize];
            row_weights[*place] = piece.weights[i];
            if let Some(&time) = piece.times.get(i) {
                row_times[*place] = time;
            }
            *place += 1;
        }
    }
    drop(next);

    // Sort each row by item and combine repeats; rows only shrink, so they move down in place.
    let mut kept = 0;
    let mut row: Vec<(u32, Millis, f32)> = Vec::new();
    let mut from = 0;
    for start in starts.iter_mut().skip(1) {
        row.clear();
        row.extend(
            (from..*start)
                .map(|i| (row_items[i], row_times.get(i).copied().unwrap_or_default(), row_weights[i])),
        );
        combine(&mut row, repeats, |item, weight| {
            row_items[kept] = item;
            row_weights[kept] = weight;
            kept += 1;
        });
        from = std::mem::replace(start, kept);
    }
    drop(row_times);
    row_items.truncate(kept);
    row_weights.truncate(kept);
    // What repeats left over is given back, if it is worth a copy.
    if kept < total - total / 16 {
        row_items.shrink_to_fit();
        row_weights.shrink_to_fit();
    }
    Matrix::from_rows(items.len(), starts, row_items, row_weights)
}
