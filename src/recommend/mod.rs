//! The recommender: exact nearest neighbors over sparse user-item matrices, safety before rank,
//! and a reason with every answer. Pure code over plain data, it reads through the traits in
//! [`source`] and knows nothing of HTTP or SQL.

pub mod clock;
pub mod data;
pub mod source;
