//! Exact nearest neighbors: the users most like one user, found on request.
//!
//! Three short files: [`accumulate`] adds up the dot products along the columns of the user's
//! items, [`compare`] turns a dot product into a similarity, [`best`] keeps the best. The cost
//! is the length of those columns, not the number of users: someone who shares nothing with the
//! asking user is never looked at, unless the columns are so long that looking at everyone once
//! is cheaper than a second walk along them.

mod accumulate;
pub mod best;
pub mod compare;

use std::cell::RefCell;
use std::cmp::Ordering;

use super::layers::{LayerView, Layers};
use super::matrix::{BLOCK, Block, RowView};
use super::source::Similarity;
use best::Best;
use compare::Compare;

/// Which rows are compared: as they are, or with each user's mean weight subtracted from the
/// items the user has (for ratings).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// As they are.
    Raw,
    /// Less their mean.
    Centred,
}

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// How users are compared.
    pub similarity: Similarity,
    /// Which rows are compared.
    pub rows: Rows,
    /// How many neighbors to find.
    pub count: usize,
    /// How many items of the kind there are: pearson counts the absent ones as zeros.
    pub item_total: usize,
}

/// Working memory of one thread, used again by every request: all zeros between uses.
struct Scratch {
    /// One block's running dot products.
    dots: Box<[f64; BLOCK]>,
    /// The asking user's weights by item, for rows that have no columns yet.
    own: Vec<f64>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        dots: vec![0.0; BLOCK].try_into().unwrap_or_else(|_| unreachable!("its length is BLOCK")),
        own: Vec::new(),
    });
}

/// The users most like the owner of the row `own`, most alike first, ties by identifier. The
/// user `asking` is left out.
pub fn search(layers: &Layers, own: RowView<'_>, asking: Option<u32>, search: &Search) -> Vec<(u32, f64)> {
    if own.is_empty() || search.count == 0 {
        return Vec::new();
    }
    let compare = Compare::new(search, own.stats);
    let mean = if search.rows == Rows::Centred { own.stats.mean } else { 0.0 };
    let query: Vec<(u32, f64)> = own.iter().map(|(item, weight)| (item, f64::from(weight) - mean)).collect();
    let mut best = Best::new(search.count.min(layers.users.len()), |a, b| layers.users.compare(a, b));
    SCRATCH.with_borrow_mut(|scratch| {
        for layer in layers.matrices() {
            for block in layer.matrix.blocks() {
                search_block(&layer, block, &query, asking, &compare, &mut scratch.dots, &mut best);
            }
        }
        search_recent(layers, &query, asking, &compare, &mut scratch.own, &mut best);
    });
    best.into_sorted()
}

/// Offers the users of one block who share an item with the query. Leaves `dots` all zeros.
fn search_block<F: Fn(u32, u32) -> Ordering>(
    layer: &LayerView<'_>,
    block: &Block,
    query: &[(u32, f64)],
    asking: Option<u32>,
    compare: &Compare,
    dots: &mut [f64; BLOCK],
    best: &mut Best<F>,
) {
    let touched: usize = query.iter().map(|&(item, _)| block.column_len(item)).sum();
    if touched == 0 {
        return;
    }
    let slots = block.first_slot..block.first_slot + block.len;
    let stats = &layer.matrix.stats()[slots.clone()];
    let norms = &layer.matrix.norms()[slots];
    match compare.rows {
        Rows::Raw => accumulate::raw(block, query, dots),
        Rows::Centred => accumulate::centred(block, query, stats, dots),
    }
    // Most users fall below the bar, which one product tells.
    let mut bar = compare.bar(best.worst());
    let mut offer = |user: usize, dot: f64, norm: f64| {
        if dot < bar * norm || dot == 0.0 {
            return;
        }
        let Some(number) = layer.user(block.first_slot + user) else { return };
        if Some(number) != asking
            && let Some(similarity) = compare.similarity(dot, &stats[user])
            && best.offer(number, similarity)
        {
            bar = compare.bar(best.worst());
        }
    };
    if touched < block.len / 4 {
        for &(item, _) in query {
            for &user in block.column(item).0 {
                let user = usize::from(user);
                let dot = std::mem::take(&mut dots[user]);
                offer(user, dot, norms[user]);
            }
        }
    } else {
        for (user, (dot, &norm)) in dots.iter_mut().zip(norms).enumerate() {
            offer(user, std::mem::take(dot), norm);
        }
    }
}

/// Offers the users whose rows are too young to be in a matrix, one row at a time.
fn search_recent<F: Fn(u32, u32) -> Ordering>(
    layers: &Layers,
    query: &[(u32, f64)],
    asking: Option<u32>,
    compare: &Compare,
    own: &mut Vec<f64>,
    best: &mut Best<F>,
) {
    if own.len() < layers.items.len() {
        own.resize(layers.items.len(), 0.0);
    }
    for &(item, weight) in query {
        own[item as usize] = weight;
    }
    for (user, row) in layers.recent().filter(|&(user, _)| Some(user) != asking) {
        let mean = if compare.rows == Rows::Centred { row.stats.mean } else { 0.0 };
        // An item the asking user does not have adds a zero, which changes no sum.
        let dot: f64 =
            row.view().iter().map(|(item, weight)| own[item as usize] * (f64::from(weight) - mean)).sum();
        if dot != 0.0
            && let Some(similarity) = compare.similarity(dot, &row.stats)
        {
            best.offer(user, similarity);
        }
    }
    for &(item, _) in query {
        own[item as usize] = 0.0;
    }
}
