//! Where candidates come from: the matrix in [`memory`], or a store that computes neighbors and
//! scores itself ([`database`]). Both speak of items by their numbers in the snapshot, so that
//! everything after them is the same code.

mod database;
mod memory;

use std::future::Future;

use super::context::Person;
use super::data::Millis;
use super::learned::Learned;
use super::ranking::Candidate;
use super::shared::ByName;
use super::source::{Similarity, SourceError, Sum};

pub use database::DatabaseCandidates;
pub use memory::MemoryCandidates;

/// What speaks for one candidate.
#[derive(Debug, Default)]
pub struct SupportedBy {
    pub count: u32,
    /// Ids of the asking user's own items.
    pub shared_items: Vec<String>,
    /// Ids of the supporters, for comparing circumstances; never shown.
    pub people: Vec<String>,
}

/// Whose neighbors are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub user_id: &'a str,
    pub similarity: Similarity,
    /// How many neighbors to go by.
    pub neighbors: usize,
}

/// The package that is to answer, and the circumstances of who asks, by its numbers.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub package: &'a Learned,
    pub features: &'a [u32],
}

/// What somebody has.
#[derive(Debug, Default)]
pub struct History {
    /// Numbers of the items.
    pub items: Vec<u32>,
    /// What the package makes of them, where the store has added it up.
    pub sums: Option<Vec<Sum>>,
}

/// Who asks about circumstances, and among whom.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub people: &'a ByName<Person>,
    pub user_id: &'a str,
    pub person: &'a Person,
    pub now: Millis,
}

/// Where candidates come from. One value serves one question and remembers, between finding
/// candidates and being asked what supports them, what it found.
pub trait Candidates: Send {
    /// What the user has. Asked first.
    fn history(
        &mut self,
        asked: Option<Asked<'_>>,
    ) -> impl Future<Output = Result<History, SourceError>> + Send;

    /// What the users with the most similar history have.
    fn by_neighbors(&mut self) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// What the people in the most similar circumstances have, scored by `implicit`.
    fn by_circumstances(
        &mut self,
        circumstances: Circumstances<'_>,
    ) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// Everything anybody has; the score is how many do.
    fn by_popularity(&mut self) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// What speaks for a candidate of the last search. `admits` says which own items may be
    /// named.
    fn support(&mut self, item: u32, admits: &dyn Fn(u32) -> bool) -> SupportedBy;
}
