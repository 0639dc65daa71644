//! What is asked of the recommender and what it answers, as plain data. The answer serialises to
//! the shape clients get.

use serde::{Serialize, Serializer};

use super::clock::rfc3339;
use super::data::{Kind, Millis};
use super::places::Place;
use super::source::{Similarity, SourceError};

/// The most items one request may ask for.
pub const MAX_LIMIT: usize = 1_000;
/// The most neighbors one request may ask for.
pub const MAX_NEIGHBORS: usize = 10_000;

/// A request for recommendations.
#[derive(Debug, Clone)]
pub struct Request {
    pub user_id: String,
    pub kind: Kind,
    /// How many items, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    pub similarity: Similarity,
    /// How many neighbors to go by, 1 to [`MAX_NEIGHBORS`]; `None`: as configured.
    pub neighbors: Option<usize>,
    /// Where distances are measured from; `None`: from where the person lives, if known.
    pub near: Option<Place>,
    /// Leave out what is farther than this, or nowhere.
    pub radius_km: Option<f64>,
    /// The present time.
    pub now: Millis,
}

impl Request {
    /// A request with the defaults.
    pub fn new(user_id: impl Into<String>, kind: Kind, now: Millis) -> Self {
        Self {
            user_id: user_id.into(),
            kind,
            limit: 10,
            similarity: Similarity::default(),
            neighbors: None,
            near: None,
            radius_km: None,
            now,
        }
    }

    /// What is wrong with the request: the parameter and why.
    pub fn validate(&self) -> Result<(), RecommendError> {
        let invalid = |parameter, detail: String| Err(RecommendError::Invalid { parameter, detail });
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            return invalid("limit", format!("must be from 1 to {MAX_LIMIT}"));
        }
        if self.neighbors.is_some_and(|count| !(1..=MAX_NEIGHBORS).contains(&count)) {
            return invalid("neighbors", format!("must be from 1 to {MAX_NEIGHBORS}"));
        }
        if self.radius_km.is_some_and(|km| !(km.is_finite() && km > 0.0)) {
            return invalid("radius_km", "must be a finite number above 0".to_owned());
        }
        if let Some(Place { latitude, longitude }) = self.near
            && !((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude))
        {
            return invalid("near", "must be latitude,longitude: -90 to 90 and -180 to 180".to_owned());
        }
        Ok(())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecommendError {
    #[error("there is no user with this id")]
    UnknownUser,
    #[error("{parameter}: {detail}")]
    Invalid { parameter: &'static str, detail: String },
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A score came out as no number: weights too large to be added up.
    #[error("the scores overflowed: the weights of this kind are too large")]
    NotANumber,
}

/// What the answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The history of people with a similar history.
    Neighbors,
    /// The history of people in similar circumstances.
    Context,
    /// What most people have.
    Popular,
    /// Nothing: no item may be recommended on what is known.
    InsufficientEvidence,
}

/// How many neighbors speak for an item. Small numbers are not told: they could point at people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    Few,
    Count(u32),
}

impl Support {
    /// The least number that is told.
    pub const TOLD_FROM: u32 = 5;

    pub fn of(count: u32) -> Self {
        if count < Self::TOLD_FROM { Support::Few } else { Support::Count(count) }
    }
}

impl Serialize for Support {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Support::Few => serializer.serialize_str("few"),
            Support::Count(count) => serializer.serialize_u32(*count),
        }
    }
}

/// Why an item is recommended. It names what is the asking user's own, never anybody else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Because {
    /// The number of neighbors who have the item (for `popular`: of people), or `"few"`.
    pub supporting_neighbors: Support,
    /// The user's own items that tie it to those neighbors, strongest first.
    pub shared_items: Vec<String>,
    /// What of the user's circumstances at least half of those neighbors share; empty where they
    /// are few.
    pub context: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommended {
    pub item_id: String,
    pub name: String,
    pub score: f64,
    /// From the place asked about, where both places are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_km: Option<f64>,
    pub because: Because,
}

/// An item that was in the running and was ruled out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Excluded {
    pub item_id: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    pub user_id: String,
    pub kind: Kind,
    pub similarity: Similarity,
    pub strategy: Strategy,
    /// The answer knows of everything that had been written by then.
    #[serde(serialize_with = "serialize_time")]
    pub as_of: Millis,
    /// Highest score first, ties by id.
    pub items: Vec<Recommended>,
    /// In the order the items would have had.
    pub excluded: Vec<Excluded>,
    /// Why nothing at all is recommended, where there is one reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstained: Option<String>,
    /// Codes of the profile that could not be checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

fn serialize_time<S: Serializer>(time: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}
