//! A sparse user-item matrix, held both ways.
//!
//! By rows (a user's items and weights, 8 bytes an entry) for the scores, and by columns (an
//! item's users and weights, 6 bytes an entry) for the similarities. The columns are cut into
//! blocks of 65,536 users: within a block a user is a 16-bit number, which saves a quarter of the
//! memory traffic a request consists of, keeps the running sums in the processor's cache, and
//! lets the compiler see that no index can be out of bounds.
//!
//! Together 14 bytes an entry, and some 40 bytes a user and 8 an item and block beside it.

use std::ops::Range;

/// How many users a block of columns covers.
pub const BLOCK: usize = 1 << 16;

/// The immutable matrix. Its users are slots 0 to `user_count`; what user a slot is, its owner
/// knows.
#[derive(Debug, Default)]
pub struct Matrix {
    item_count: usize,
    starts: Vec<usize>,
    items: Vec<u32>,
    weights: Vec<f32>,
    stats: Vec<Stats>,
    /// |x| of every slot, apart from the other stats because every request reads all of it.
    norms: Vec<f64>,
    blocks: Vec<Block>,
}

/// Sums over one row, added in the row's order, in double precision.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// The sum of the weights.
    pub sum: f64,
    /// |x|^2.
    pub square: f64,
    /// The mean weight of the items the user has.
    pub mean: f64,
    /// The norm of the row with the mean subtracted from the items the user has.
    pub centred_norm: f64,
}

impl Stats {
    pub fn of(weights: &[f32]) -> Self {
        if weights.is_empty() {
            return Self::default();
        }
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let square: f64 = weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
        let mean = sum / weights.len() as f64;
        let centred: f64 = weights.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum();
        Self { sum, square, mean, centred_norm: centred.sqrt() }
    }

    /// |x|.
    pub fn norm(&self) -> f64 {
        self.square.sqrt()
    }
}

/// One user's entries, in order of the items' identifiers.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    pub items: &'a [u32],
    pub weights: &'a [f32],
    pub stats: Stats,
}

impl<'a> RowView<'a> {
    pub const EMPTY: RowView<'static> = RowView {
        items: &[],
        weights: &[],
        stats: Stats { sum: 0.0, square: 0.0, mean: 0.0, centred_norm: 0.0 },
    };

    pub fn iter(self) -> impl Iterator<Item = (u32, f32)> + 'a {
        self.items.iter().copied().zip(self.weights.iter().copied())
    }

    pub fn is_empty(self) -> bool {
        self.items.is_empty()
    }
}

/// The columns of up to [`BLOCK`] users.
#[derive(Debug)]
pub struct Block {
    /// The slot its first user has.
    pub first_slot: usize,
    /// How many users it covers.
    pub len: usize,
    /// Where each item's entries begin; one more than there are items.
    starts: Vec<usize>,
    users: Vec<u16>,
    weights: Vec<f32>,
}

impl Block {
    fn range(&self, item: u32) -> Range<usize> {
        let item = item as usize;
        match (self.starts.get(item), self.starts.get(item + 1)) {
            (Some(&start), Some(&end)) => start..end,
            // The item is younger than the matrix.
            _ => 0..0,
        }
    }

    /// The users (relative to `first_slot`, ascending) who have the item, and their weights.
    pub fn column(&self, item: u32) -> (&[u16], &[f32]) {
        let range = self.range(item);
        (&self.users[range.clone()], &self.weights[range])
    }

    /// How many of its users have the item.
    pub fn column_len(&self, item: u32) -> usize {
        self.range(item).len()
    }
}

impl Matrix {
    /// A matrix of rows one after another: the entries of slot s are `starts[s]..starts[s + 1]`,
    /// each row in order of the items' identifiers, items below `item_count`.
    pub fn from_rows(item_count: usize, starts: Vec<usize>, items: Vec<u32>, weights: Vec<f32>) -> Self {
        let rows = || starts.windows(2).map(|pair| pair[0]..pair[1]);
        let stats: Vec<Stats> = rows().map(|row| Stats::of(&weights[row])).collect();
        let norms = stats.iter().map(Stats::norm).collect();
        let mut blocks = Vec::new();
        for first_slot in (0..stats.len()).step_by(BLOCK) {
            let last_slot = (first_slot + BLOCK).min(stats.len());
            blocks.push(transpose(item_count, first_slot, &starts[first_slot..=last_slot], &items, &weights));
        }
        Self { item_count, starts, items, weights, stats, norms, blocks }
    }

    pub fn user_count(&self) -> usize {
        self.stats.len()
    }

    pub fn item_count(&self) -> usize {
        self.item_count
    }

    /// How many entries are not zero.
    pub fn entry_count(&self) -> usize {
        self.items.len()
    }

    pub fn row(&self, slot: usize) -> RowView<'_> {
        let range = self.starts[slot]..self.starts[slot + 1];
        RowView { items: &self.items[range.clone()], weights: &self.weights[range], stats: self.stats[slot] }
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub fn norms(&self) -> &[f64] {
        &self.norms
    }

    pub fn stats(&self) -> &[Stats] {
        &self.stats
    }

    /// The slots of all who have the item, ascending.
    pub fn users_of(&self, item: u32) -> impl Iterator<Item = usize> + '_ {
        self.blocks.iter().flat_map(move |block| {
            block.column(item).0.iter().map(|&user| block.first_slot + usize::from(user))
        })
    }

    /// How many users each item has, by item number.
    pub fn item_users(&self) -> Vec<u32> {
        let mut counts = vec![0; self.item_count];
        self.items.iter().for_each(|&item| counts[item as usize] += 1);
        counts
    }

    /// What the matrix holds on to, in bytes.
    pub fn memory(&self) -> usize {
        fn bytes<T>(v: &Vec<T>) -> usize {
            v.capacity() * size_of::<T>()
        }
        let blocks: usize =
            self.blocks.iter().map(|b| bytes(&b.starts) + bytes(&b.users) + bytes(&b.weights)).sum();
        bytes(&self.starts)
            + bytes(&self.items)
            + bytes(&self.weights)
            + bytes(&self.stats)
            + bytes(&self.norms)
            + blocks
    }
}

/// The columns of one block, by counting: users come out ascending because the rows are walked
/// in order.
fn transpose(
    item_count: usize,
    first_slot: usize,
    row_starts: &[usize],
    items: &[u32],
    weights: &[f32],
) -> Block {
    let (from, to) = match (row_starts.first(), row_starts.last()) {
        (Some(&from), Some(&to)) => (from, to),
        _ => (0, 0),
    };
    let mut starts = vec![0usize; item_count + 1];
    for &item in &items[from..to] {
        starts[item as usize + 1] += 1;
    }
    for item in 0..item_count {
        starts[item + 1] += starts[item];
    }
    let mut next = starts.clone();
    let mut column_users = vec![0u16; to - from];
    let mut column_weights = vec![0f32; to - from];
    for (user, row) in row_starts.windows(2).enumerate() {
        for entry in row[0]..row[1] {
            let place = &mut next[items[entry] as usize];
            column_users[*place] = user as u16;
            column_weights[*place] = weights[entry];
            *place += 1;
        }
    }
    Block { first_slot, len: row_starts.len() - 1, starts, users: column_users, weights: column_weights }
}
