//! Search over cases: texts that are found again by their words and by what they mean.
//!
//! [`Prepared`] reads a text once; [`Index`] keeps what a search needs of all of them, the texts themselves
//! excepted, and follows every change; [`Query`] asks it. [`analysis`] says what a word is, [`search`] how the
//! words of a question count, [`fusion`] how words and vectors are put together.

pub mod analysis;
pub mod attributes;
pub mod english;
pub mod fusion;
pub mod index;
pub mod lists;
pub mod ranking;
#[allow(clippy::module_inception)]
pub mod search;
pub mod segment;
#[cfg(test)]
mod tests;
pub mod top;

pub use attributes::{Attributes, Filter};
pub use index::{Index, Prepared, Sizes};
pub use ranking::Ranking;
pub use search::{Hit, Query};
