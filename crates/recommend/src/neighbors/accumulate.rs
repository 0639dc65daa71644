//! Adding up dot products along columns: the loop nearly all of a request's time goes into.
//!
//! The columns are walked in the order of the query, which is that of the items' identifiers, so
//! every user's sum is added in that order, in double precision. A 16-bit number cannot miss an
//! array of 65,536, so there is nothing to check in the loop.

use crate::matrix::{BLOCK, Block, Stats};

/// Adds to `dots[u]`, for every user u of the block, the products of the query's weights
/// (item, weight) with the user's.
pub fn raw(block: &Block, query: &[(u32, f64)], dots: &mut [f64; BLOCK]) {
    for &(item, own) in query {
        let (users, weights) = block.column(item);
        for (&user, &weight) in users.iter().zip(weights) {
            dots[usize::from(user)] += own * f64::from(weight);
        }
    }
}

/// The same with each user's mean subtracted from the user's weights.
pub fn centred(block: &Block, query: &[(u32, f64)], stats: &[Stats], dots: &mut [f64; BLOCK]) {
    for &(item, own) in query {
        let (users, weights) = block.column(item);
        for (&user, &weight) in users.iter().zip(weights) {
            let user = usize::from(user);
            dots[user] += own * (f64::from(weight) - stats[user].mean);
        }
    }
}
