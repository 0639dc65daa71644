//! The recommender: exact nearest neighbors over sparse user-item matrices, safety before rank,
//! and a reason with every answer. Pure code over plain data, it reads through the traits in
//! [`source`] and knows nothing of HTTP or SQL.
//!
//! From the bottom up:
//!
//! - [`data`], [`source`], [`answer`]: what comes in, what is asked of a store, what goes out
//! - [`names`], [`weights`], [`matrix`], [`load`], [`layers`]: the matrix, and how it stays fresh
//! - [`neighbors`], [`ranking`]: similarities and scores
//! - [`catalogue`], [`filters`], [`context`], [`places`], [`explain`]: what is known of items and
//!   people, and what follows from it
//! - [`evaluate`]: how good the recommendations are
//! - [`snapshot`], [`fresh`], [`engine`], [`recommender`]: all of it at one moment, kept true to the store,
//!   and asked

#![forbid(unsafe_code)]

pub mod answer;
pub mod catalogue;
pub mod clock;
pub mod context;
pub mod data;
pub mod engine;
pub mod evaluate;
pub mod explain;
pub mod filters;
pub mod fresh;
pub mod layers;
pub mod load;
pub mod matrix;
pub mod names;
pub mod neighbors;
pub mod places;
pub mod ranking;
pub mod recommender;
pub mod shared;
pub mod snapshot;
pub mod source;
pub mod weights;

#[cfg(test)]
mod tests;
