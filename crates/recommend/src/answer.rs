//! What is asked of the recommender and what it answers, as plain data. The answer serialises to
//! the shape clients get.

use serde::{Serialize, Serializer};

use super::clock;
use super::data::{Kind, Millis, Profile, Severity};
use super::filters::Reason;
use super::learned::ScoredBy;
use super::places::Place;
use super::source::{Similarity, SourceError};

/// The most items one request may ask for.
pub const MAX_LIMIT: usize = 1_000;
/// The most neighbors one request may ask for.
pub const MAX_NEIGHBORS: usize = 10_000;

/// A request for recommendations.
#[derive(Debug, Clone)]
pub struct Request {
    /// For whom.
    pub user_id: String,
    /// Of what kind.
    pub kind: Kind,
    /// How many items, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// How users are compared.
    pub similarity: Similarity,
    /// How many neighbors to go by, 1 to [`MAX_NEIGHBORS`]; `None`: as configured.
    pub neighbors: Option<usize>,
    /// Where distances are measured from; `None`: from where the person lives, if known.
    pub near: Option<Place>,
    /// Leave out what is farther than this, or nowhere.
    pub radius_km: Option<f64>,
    /// What is known of the person, instead of what is stored; then the person need not be stored.
    pub profile: Option<Profile>,
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
            profile: None,
            now,
        }
    }

    /// Checks that everything is in its range.
    ///
    /// # Errors
    /// [`RecommendError::Invalid`] with the parameter and why.
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
    /// There is no such user.
    #[error("there is no user with this id")]
    UnknownUser,
    /// A parameter of the request is out of range.
    #[error("{parameter}: {detail}")]
    Invalid {
        /// Which.
        parameter: &'static str,
        /// What is accepted.
        detail: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A score came out as no number: weights too large to be added up.
    #[error("the scores overflowed: the weights of this kind are too large")]
    NotANumber,
}

/// What the answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The history of people with a similar history.
    Neighbors,
    /// Weights between items, fitted offline, applied to the person's own history.
    Learned,
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
    /// Fewer than are told: `"few"`.
    Few,
    /// So many.
    Count(u32),
}

impl Support {
    /// The least number that is told.
    pub(super) const TOLD_FROM: u32 = 5;

    pub(super) fn of(count: u32) -> Self {
        if count < Self::TOLD_FROM { Support::Few } else { Support::Count(count) }
    }
}

/// A number, or the word "few".
#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Support {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
        let count = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(Support::TOLD_FROM));
        let few = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["few"]));
        OneOfBuilder::new().item(count).item(few).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Support {}

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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Because {
    /// The number of neighbors who have the item (for `popular`: of people), or `"few"`; always
    /// `"few"` for what is scored by `learned`, which asks no neighbors.
    pub supporting_neighbors: Support,
    /// The user's own items that tie it to those neighbors, or that carry the learned score,
    /// strongest first.
    pub shared_items: Vec<String>,
    /// What of the user's circumstances at least half of those neighbors share; empty where they
    /// are few. Of what is scored by `learned`: the circumstances that speak for the item in the
    /// package, strongest first, with `distance` among them where being near does.
    pub context: Vec<String>,
}

/// A recommended item.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recommended {
    /// Identifier.
    pub item_id: String,
    /// Name for people.
    pub name: String,
    /// Higher is better; comparable within one answer only.
    pub score: f64,
    /// `neighbors` for an item of a `learned` answer that came after the package was trained: its
    /// score is that of the learned item at the place where neighbors put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scored_by: Option<Strategy>,
    /// Distance in kilometres from the place asked about, where both places are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_km: Option<f64>,
    /// What is to be heeded: rules that caution and do not rule the item out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cautions: Vec<String>,
    /// Why it is recommended.
    pub because: Because,
}

/// An item that was in the running and was ruled out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Excluded {
    /// Identifier.
    pub item_id: String,
    /// The rule, such as "allergy: penicillin".
    #[cfg_attr(feature = "openapi", schema(example = "allergy: penicillin"))]
    pub reason: String,
    /// How severe the rule is, where the item says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What would happen, where the item says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Excluded {
    pub(super) fn new(item_id: &str, reason: Reason) -> Self {
        Self {
            item_id: item_id.to_owned(),
            reason: reason.text,
            severity: reason.severity,
            note: reason.note,
        }
    }
}

/// Recommendations for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recommendation {
    /// For whom.
    #[cfg_attr(feature = "openapi", schema(example = "u1"))]
    pub user_id: String,
    /// Of what kind.
    pub kind: Kind,
    /// How people were compared.
    pub similarity: Similarity,
    /// What the answer rests on.
    pub strategy: Strategy,
    /// The package that a `learned` answer rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ScoredBy>,
    /// The answer knows of everything that had been written by then.
    #[serde(serialize_with = "clock::serialize")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "2026-03-01T09:30:00.000Z"))]
    pub as_of: Millis,
    /// Highest score first, ties by id.
    pub items: Vec<Recommended>,
    /// In the order the items would have had.
    pub excluded: Vec<Excluded>,
    /// Why nothing at all is recommended, where there is one reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstained: Option<String>,
    /// What of the profile is not understood and could not be checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

impl Recommendation {
    /// Takes every item back, for this reason.
    pub(super) fn withhold(&mut self, reason: String) {
        self.items.clear();
        self.strategy = Strategy::InsufficientEvidence;
        self.abstained = Some(reason);
    }
}
