//! The layers of the networks over notes, as they serve.
//!
//! Training needs a graph and a tensor for every operation. Serving needs neither: here the same
//! layers work on plain values, weights laid out once, what follows a product done while its
//! result is in cache, and memory that is kept from batch to batch. Sequences lie one after the
//! other without padding. The layers are made from those that trained, and tested to agree.

pub mod dense;
pub mod encoder;
pub mod recurrence;
pub mod rows;
