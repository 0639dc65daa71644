//! What the recommender's resources share: the wire forms of people, items and interactions, and
//! the translation of the store's errors.
//!
//! The forms are declared here because the recommender's own types know nothing of HTTP; each
//! converts to its twin, so a member added to one and not to the other does not compile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Problem;
use super::error::FieldError;
use crate::store::StoreError;
use crate::store::import::parse_time;
use recommend::answer::RecommendError;
use recommend::clock::rfc3339;
use recommend::data;
use recommend::source::SourceError;

/// What is known of a person. A member left out is unknown, which is not the same as none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Year of birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1954)]
    pub birth_year: Option<i32>,
    /// female, male or other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// Conditions; an empty list says there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<String>>,
    /// Allergies; an empty list says there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allergies: Option<Vec<String>>,
    /// Drugs taken now, by name, item id or class; an empty list says there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medications: Option<Vec<String>>,
    /// Whether the person is pregnant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pregnant: Option<bool>,
    /// Free words such as "smoker".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lifestyle: Vec<String>,
    /// Degrees north, -90 to 90.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east, -180 to 180.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
}

/// A person's sex.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither.
    Other,
}

/// What kind of thing an item is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A hospital.
    Hospital,
    /// A doctor.
    Doctor,
    /// A pharmacy.
    Pharmacy,
    /// A drug.
    Drug,
    /// Health advice.
    Advice,
}

/// For whom an item is wrong.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Contraindications {
    /// Allergies that rule it out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allergies: Vec<String>,
    /// Conditions that rule it out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// Drugs or classes that must not be taken together with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interacts_with: Vec<String>,
    /// Class within which a second drug would be duplicate therapy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub therapeutic_class: Option<String>,
    /// Ruled out in pregnancy.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pregnancy: bool,
    /// Youngest age in whole years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age: Option<u16>,
    /// Oldest age in whole years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u16>,
}

/// A person, as answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Identifier.
    #[schema(example = "u1")]
    pub user_id: String,
    /// What is known of the person.
    pub profile: Profile,
}

/// Something that can be recommended, as sent: the path names it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemForm {
    /// If given, the identifier in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Kind.
    pub kind: Kind,
    /// Name for people.
    #[schema(example = "Harbour Pharmacy")]
    pub name: String,
    /// Whatever else a client wants to keep with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Value>,
    /// Degrees north, -90 to 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east, -180 to 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Never recommended.
    #[serde(default)]
    pub hidden: bool,
    /// May be recommended to someone who has had it, as a refill is.
    #[serde(default)]
    pub repeatable: bool,
    /// For whom it is wrong.
    #[serde(default)]
    pub contraindications: Contraindications,
}

/// What happened between a user and an item. The same user, item, event and time is the same
/// interaction: sent twice, it counts once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Interaction {
    /// Whose.
    #[schema(example = "u1")]
    pub user_id: String,
    /// With what.
    #[schema(example = "drug:metformin")]
    pub item_id: String,
    /// What happened.
    #[serde(default = "default_event")]
    #[schema(example = "prescription")]
    pub event: String,
    /// How much it counts: finite and above 0.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// When: RFC 3339, or milliseconds since 1970; default: now, which makes a repeat another one.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "2026-03-01T09:30:00Z")]
    pub time: Option<Time>,
}

/// A time as sent: text or milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Time {
    /// Milliseconds since 1970.
    Millis(i64),
    /// RFC 3339.
    Text(String),
}

fn default_event() -> String {
    "interaction".to_string()
}

fn default_weight() -> f64 {
    1.0
}

/// What a write did.
#[derive(Debug, Serialize, ToSchema)]
pub struct Written {
    /// Rows that were not there before.
    pub created: u64,
    /// Rows that were there and differed.
    pub updated: u64,
    /// Rows that were there, the same.
    pub unchanged: u64,
}

impl From<crate::store::Written> for Written {
    fn from(written: crate::store::Written) -> Written {
        Written { created: written.created, updated: written.updated, unchanged: written.unchanged }
    }
}

/// Converts between a form and its twin, member by member, in both directions.
macro_rules! twins {
    ($form:ident, $twin:path { $($member:ident),* $(,)? }) => {
        impl From<$form> for $twin {
            fn from(form: $form) -> Self {
                Self { $($member: form.$member.map_into()),* }
            }
        }
        impl From<$twin> for $form {
            fn from(twin: $twin) -> Self {
                Self { $($member: twin.$member.map_into()),* }
            }
        }
    };
}

/// The same value in the other type; identity for all but the enumerations.
trait MapInto<T> {
    fn map_into(self) -> T;
}

macro_rules! identity {
    ($($type:ty),* $(,)?) => { $(impl MapInto<$type> for $type { fn map_into(self) -> $type { self } })* };
}

identity!(
    bool,
    Vec<String>,
    Option<Vec<String>>,
    Option<String>,
    Option<bool>,
    Option<f64>,
    Option<i32>,
    Option<u16>
);

impl MapInto<Option<data::Sex>> for Option<Sex> {
    fn map_into(self) -> Option<data::Sex> {
        self.map(|sex| match sex {
            Sex::Female => data::Sex::Female,
            Sex::Male => data::Sex::Male,
            Sex::Other => data::Sex::Other,
        })
    }
}

impl MapInto<Option<Sex>> for Option<data::Sex> {
    fn map_into(self) -> Option<Sex> {
        self.map(|sex| match sex {
            data::Sex::Female => Sex::Female,
            data::Sex::Male => Sex::Male,
            data::Sex::Other => Sex::Other,
        })
    }
}

twins!(
    Profile,
    data::Profile {
        birth_year,
        sex,
        conditions,
        allergies,
        medications,
        pregnant,
        lifestyle,
        latitude,
        longitude,
    }
);
twins!(
    Contraindications,
    data::Contraindications {
        allergies,
        conditions,
        interacts_with,
        therapeutic_class,
        pregnancy,
        min_age,
        max_age,
    }
);

impl From<Kind> for data::Kind {
    fn from(kind: Kind) -> data::Kind {
        match kind {
            Kind::Hospital => data::Kind::Hospital,
            Kind::Doctor => data::Kind::Doctor,
            Kind::Pharmacy => data::Kind::Pharmacy,
            Kind::Drug => data::Kind::Drug,
            Kind::Advice => data::Kind::Advice,
        }
    }
}

impl From<data::Kind> for Kind {
    fn from(kind: data::Kind) -> Kind {
        match kind {
            data::Kind::Hospital => Kind::Hospital,
            data::Kind::Doctor => Kind::Doctor,
            data::Kind::Pharmacy => Kind::Pharmacy,
            data::Kind::Drug => Kind::Drug,
            data::Kind::Advice => Kind::Advice,
        }
    }
}

impl ItemForm {
    /// The item of this form under an identifier.
    pub fn named(self, item_id: String) -> data::Item {
        data::Item {
            item_id,
            kind: self.kind.into(),
            name: self.name,
            attributes: self.attributes.into_iter().collect(),
            latitude: self.latitude,
            longitude: self.longitude,
            hidden: self.hidden,
            repeatable: self.repeatable,
            contraindications: self.contraindications.into(),
        }
    }
}

impl From<data::Item> for ItemForm {
    fn from(item: data::Item) -> ItemForm {
        ItemForm {
            item_id: Some(item.item_id),
            kind: item.kind.into(),
            name: item.name,
            attributes: item.attributes.into_iter().collect(),
            latitude: item.latitude,
            longitude: item.longitude,
            hidden: item.hidden,
            repeatable: item.repeatable,
            contraindications: item.contraindications.into(),
        }
    }
}

impl Interaction {
    /// The interaction of this form, `index` of its array, at a present time of `now`.
    ///
    /// # Errors
    /// Each member that does not fit.
    pub fn checked(self, index: usize, now: data::Millis) -> Result<data::Interaction, Vec<FieldError>> {
        let base = format!("/{index}");
        let mut errors: Vec<data::FieldError> = Vec::new();
        let time = match self.time {
            None => now,
            Some(Time::Millis(time)) => time,
            Some(Time::Text(text)) => parse_time(&text).unwrap_or_else(|| {
                errors.push(data::FieldError::new(
                    format!("{base}/time"),
                    "must be a time such as 2026-03-01T09:30:00Z",
                ));
                now
            }),
        };
        errors.extend(data::validate_weight(&format!("{base}/weight"), self.weight).err());
        let interaction = data::Interaction {
            user_id: self.user_id,
            item_id: self.item_id,
            event: self.event,
            // Narrowed only where it was found sound; 1 keeps a second complaint away.
            weight: if errors.iter().any(|e| e.pointer.ends_with("/weight")) {
                1.0
            } else {
                self.weight as f32
            },
            time,
        };
        errors.extend(interaction.validate(&base, now));
        match errors.is_empty() {
            true => Ok(interaction),
            false => Err(errors.into_iter().map(FieldError::from).collect()),
        }
    }
}

impl From<data::Interaction> for Interaction {
    fn from(interaction: data::Interaction) -> Interaction {
        Interaction {
            user_id: interaction.user_id,
            item_id: interaction.item_id,
            event: interaction.event,
            weight: f64::from(interaction.weight),
            time: Some(Time::Text(rfc3339(interaction.time))),
        }
    }
}

impl From<data::FieldError> for FieldError {
    fn from(error: data::FieldError) -> FieldError {
        FieldError { pointer: error.pointer, detail: error.detail }
    }
}

/// 422 naming each member that does not fit; `Ok` for none.
pub fn refuse(errors: impl IntoIterator<Item = impl Into<FieldError>>) -> Result<(), Problem> {
    let errors: Vec<FieldError> = errors.into_iter().map(Into::into).collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Problem { errors, ..Problem::unprocessable("the body has members that do not fit") }),
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        let detail = error.to_string();
        let at = |index: usize, member: &str, detail: String| {
            let errors = vec![FieldError { pointer: format!("/{index}/{member}"), detail: detail.clone() }];
            Problem { errors, ..Problem::unprocessable(detail) }
        };
        match error {
            StoreError::NotFound { .. } => Problem::not_found(detail),
            StoreError::UnknownUser { index, .. } => at(index, "user_id", detail),
            StoreError::UnknownItem { index, .. } => at(index, "item_id", detail),
            StoreError::Invalid { .. } => Problem::unprocessable(detail),
            StoreError::OtherKind { index, .. } => at(index, "item_id", detail),
            StoreError::Conflict(_) => Problem::new(http::StatusCode::CONFLICT, detail),
            StoreError::Unavailable(_) => Problem::unavailable(detail),
            StoreError::Setup(_) | StoreError::Internal(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                Problem::internal()
            }
        }
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Problem {
        match error {
            SourceError::Unavailable(_) => {
                Problem::unavailable("the database is not available at the moment")
            }
            SourceError::Failed(reason) => {
                tracing::error!(reason, "the store failed");
                Problem::internal()
            }
        }
    }
}

impl From<RecommendError> for Problem {
    fn from(error: RecommendError) -> Problem {
        match error {
            RecommendError::UnknownUser => Problem::not_found("there is no user with this id"),
            RecommendError::Invalid { parameter, detail } => Problem::bad_parameter(parameter, detail),
            RecommendError::Source(error) => error.into(),
            RecommendError::NotANumber => {
                Problem::new(http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}
