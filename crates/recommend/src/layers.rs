//! A matrix that stays fresh: an immutable snapshot in three layers.
//!
//! Rebuilding millions of entries for every write is out of the question, and so is changing a
//! matrix that others are reading. So a write replaces the whole rows of the users it touched in
//! `recent`, a small map of rows; when that has grown, its rows are gathered into `middle`, a
//! matrix of its own; and when that has grown, all three are merged into a new `base`. A row in
//! a younger layer hides the same user's rows below. Every step makes a new snapshot and shares
//! what did not change, so readers keep theirs and never wait.
//!
//! Each layer adds up its users' dot products in the same order, that of the items' identifiers,
//! so an answer does not depend, not even in its last bit, on which layer a row lies in.

use std::collections::HashMap;
use std::sync::Arc;

use super::matrix::{Matrix, RowView, Stats};
use super::names::{GONE, Names};
use super::neighbors::best::Best;

/// Rows that `recent` holds before they are gathered into `middle`.
pub const RECENT_ROWS: usize = 256;

/// One user's row, on its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Numbers of the items, in order of their identifiers.
    pub items: Vec<u32>,
    /// The weight of each.
    pub weights: Vec<f32>,
    /// Sums over the weights.
    pub stats: Stats,
}

impl Row {
    /// A row of entries in order of the items' identifiers.
    pub fn new(items: Vec<u32>, weights: Vec<f32>) -> Self {
        let stats = Stats::of(&weights);
        Self { items, weights, stats }
    }

    /// The row, borrowed.
    pub fn view(&self) -> RowView<'_> {
        RowView { items: &self.items, weights: &self.weights, stats: self.stats }
    }
}

/// The middle layer: a matrix over some of the users.
#[derive(Debug, Default)]
pub struct Middle {
    matrix: Matrix,
    /// The user of each slot, ascending by number.
    users: Vec<u32>,
}

/// A set of small numbers.
#[derive(Debug, Clone, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn insert(&mut self, number: usize) {
        if number / 64 >= self.0.len() {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }
}

/// A matrix of a layer, with what is needed to read it as part of the whole.
#[derive(Clone, Copy)]
pub struct LayerView<'a> {
    pub matrix: &'a Matrix,
    users: Option<&'a [u32]>,
    hidden: &'a Bits,
}

impl LayerView<'_> {
    /// The user of a slot, or `None` if a younger layer has that user's row.
    pub fn user(&self, slot: usize) -> Option<u32> {
        if self.hidden.contains(slot) {
            return None;
        }
        Some(self.users.map_or(slot as u32, |users| users[slot]))
    }
}

/// The snapshot. A clone is cheap and independent.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The users by number.
    pub users: Names,
    /// The items by number.
    pub items: Names,
    base: Arc<Matrix>,
    base_hidden: Arc<Bits>,
    middle: Arc<Middle>,
    middle_hidden: Arc<Bits>,
    recent: Arc<HashMap<u32, Arc<Row>>>,
    /// Whether a row below has been removed and not replaced: its numbers are hidden, but there.
    removed: bool,
    /// How many users each item has, by number; items without users may be missing at the end.
    popularity: Arc<Vec<u32>>,
}

impl Layers {
    /// A snapshot of one layer: slot s of the matrix is user s.
    pub fn new(users: Names, items: Names, base: Matrix) -> Self {
        let popularity = Arc::new(base.item_users());
        Self { users, items, base: Arc::new(base), popularity, ..Self::default() }
    }

    /// The matrices, oldest first; the rows of [`Layers::recent`] come on top of them.
    pub fn matrices(&self) -> [LayerView<'_>; 2] {
        [
            LayerView { matrix: &self.base, users: None, hidden: &self.base_hidden },
            LayerView {
                matrix: &self.middle.matrix,
                users: Some(&self.middle.users),
                hidden: &self.middle_hidden,
            },
        ]
    }

    /// The youngest rows, in no order.
    pub fn recent(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.recent.iter().map(|(&user, row)| (user, row.as_ref()))
    }

    /// The row of a user by number; empty if the user has nothing.
    pub fn row(&self, user: u32) -> RowView<'_> {
        if let Some(row) = self.recent.get(&user) {
            return row.view();
        }
        if let Ok(slot) = self.middle.users.binary_search(&user) {
            return self.middle.matrix.row(slot);
        }
        let slot = user as usize;
        if slot < self.base.user_count() { self.base.row(slot) } else { RowView::EMPTY }
    }

    /// What the user's entry for the item weighs, if there is one.
    pub fn weight(&self, user: u32, item: u32) -> Option<f32> {
        let row = self.row(user);
        let place = row.items.binary_search_by(|&probe| self.items.compare(probe, item)).ok()?;
        Some(row.weights[place])
    }

    /// How many users have the item.
    pub fn popularity(&self, item: u32) -> u32 {
        self.popularity.get(item as usize).copied().unwrap_or(0)
    }

    /// The `count` items most users have, with how many: most first, ties by identifier.
    pub fn most_popular(&self, count: usize) -> Vec<(u32, u32)> {
        let mut best = Best::new(count, |a, b| self.items.compare(a, b));
        for (item, &users) in self.popularity.iter().enumerate().filter(|&(_, &users)| users > 0) {
            best.offer(item as u32, f64::from(users));
        }
        best.into_sorted().into_iter().map(|(item, users)| (item, users as u32)).collect()
    }

    /// The numbers of all users who have the item, in no order.
    pub fn users_of(&self, item: u32) -> Vec<u32> {
        let mut users = Vec::new();
        for layer in self.matrices() {
            users.extend(layer.matrix.users_of(item).filter_map(|slot| layer.user(slot)));
        }
        let has = |row: &Row| row.items.contains(&item);
        users.extend(self.recent().filter(|(_, row)| has(row)).map(|(user, _)| user));
        users
    }

    /// Puts these users' present rows in place of whatever they had; an empty row removes the
    /// user. The rows' numbers are of this snapshot's tables, and no user is named twice.
    pub fn replace(&mut self, rows: Vec<(u32, Row)>) {
        if rows.is_empty() {
            return;
        }
        let mut popularity = std::mem::take(&mut self.popularity);
        let counts = Arc::make_mut(&mut popularity);
        counts.resize(self.items.len(), 0);
        for (user, row) in &rows {
            self.row(*user).items.iter().for_each(|&item| counts[item as usize] -= 1);
            row.items.iter().for_each(|&item| counts[item as usize] += 1);
        }
        self.popularity = popularity;
        let base_hidden = Arc::make_mut(&mut self.base_hidden);
        let middle_hidden = Arc::make_mut(&mut self.middle_hidden);
        let recent = Arc::make_mut(&mut self.recent);
        for (user, row) in rows {
            let mut below = false;
            if (user as usize) < self.base.user_count() {
                base_hidden.insert(user as usize);
                below = true;
            }
            if let Ok(slot) = self.middle.users.binary_search(&user) {
                middle_hidden.insert(slot);
                below = true;
            }
            self.removed |= below && row.items.is_empty();
            recent.insert(user, Arc::new(row));
        }
        if recent.len() > RECENT_ROWS {
            self.gather();
        }
    }

    /// Moves the recent rows into the middle layer.
    fn gather(&mut self) {
        let mut users: Vec<u32> = self.middle.users.clone();
        users.extend(self.recent.keys());
        users.sort_unstable();
        users.dedup();
        let mut rows = RowsBuilder::default();
        for &user in &users {
            rows.push(self.row(user), |item| item);
        }
        let matrix = rows.finish(self.items.len());
        self.middle = Arc::new(Middle { matrix, users });
        self.middle_hidden = Arc::default();
        self.recent = Arc::default();
    }

    /// How many users' rows lie above the base.
    pub fn fresh_rows(&self) -> usize {
        self.middle.users.len() + self.recent.len()
    }

    /// Whether enough lies above the base that merging pays: reads get slower and the gathering
    /// of the middle layer dearer with every row there. If `erasing`, whether anything was removed
    /// too.
    pub fn should_merge(&self, erasing: bool) -> bool {
        if erasing && self.removed {
            return true;
        }
        let limit = (self.base.user_count() / 16).clamp(4 * RECENT_ROWS, 8_192);
        self.middle.users.len() > limit || self.users.later_len() + self.items.later_len() > 2 * limit
    }

    /// One layer of the same rows, renumbered in order of the identifiers. Users without entries
    /// are forgotten, and items without entries unless `keep_item` wants them. The second value
    /// gives each item's new number ([`GONE`] if forgotten).
    pub fn merged(&self, keep_item: impl Fn(u32) -> bool) -> (Layers, Vec<u32>) {
        let (items, item_numbers) = self.items.rebuilt(|item| self.popularity(item) > 0 || keep_item(item));
        let (users, user_numbers) = self.users.rebuilt(|user| !self.row(user).is_empty());
        let mut old_numbers = vec![0; users.len()];
        for (old, &new) in user_numbers.iter().enumerate() {
            if new != GONE {
                old_numbers[new as usize] = old as u32;
            }
        }
        let mut rows = RowsBuilder::with_capacity(users.len(), self.entry_count());
        for old in old_numbers {
            rows.push(self.row(old), |item| item_numbers[item as usize]);
        }
        let matrix = rows.finish(items.len());
        (Layers::new(users, items, matrix), item_numbers)
    }

    /// How many entries are not zero.
    pub fn entry_count(&self) -> usize {
        self.popularity.iter().map(|&users| users as usize).sum()
    }

    /// What the matrices hold on to, in bytes, names not counted.
    pub fn memory(&self) -> usize {
        self.base.memory() + self.middle.matrix.memory()
    }
}

#[derive(Default)]
struct RowsBuilder {
    starts: Vec<usize>,
    items: Vec<u32>,
    weights: Vec<f32>,
}

impl RowsBuilder {
    fn with_capacity(rows: usize, entries: usize) -> Self {
        Self {
            starts: Vec::with_capacity(rows + 1),
            items: Vec::with_capacity(entries),
            weights: Vec::with_capacity(entries),
        }
    }

    fn push(&mut self, row: RowView<'_>, number: impl Fn(u32) -> u32) {
        self.starts.push(self.items.len());
        self.items.extend(row.items.iter().map(|&item| number(item)));
        self.weights.extend_from_slice(row.weights);
    }

    fn finish(mut self, item_count: usize) -> Matrix {
        self.starts.push(self.items.len());
        Matrix::from_rows(item_count, self.starts, self.items, self.weights)
    }
}
