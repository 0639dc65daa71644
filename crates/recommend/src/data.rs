//! The plain data the recommender works on: users, items and what happened between them.
//!
//! These types know nothing of HTTP or SQL, so that the API, the store, the importers and the
//! evaluation all speak of the same things and check them by the same rules. They serialise to the
//! JSON that clients send and get; the feature `openapi` derives its schema, so that there is one
//! definition and no copy for the API.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock;

/// The longest identifier accepted, in characters.
pub const MAX_ID_CHARACTERS: usize = 200;
/// The longest name of an item, or code in a list of a profile, in characters.
pub const MAX_TEXT_CHARACTERS: usize = 500;
/// The most codes in one list of a profile or of an item's contraindications.
pub const MAX_CODES: usize = 1_000;
/// How far ahead of our clock an interaction's time may lie, in milliseconds: clocks of client
/// machines are not ours, so a small lead is not an error.
pub const CLOCK_LEEWAY_MS: i64 = 60_000;
/// How far ahead a date alone may lie, which stands for its midnight at UTC: fourteen hours east of
/// UTC the day has begun by then.
pub const DATE_LEEWAY_MS: i64 = 14 * 3_600_000;

/// The earliest time of an interaction, 1880-01-01: a history may go back to its owner's birth, and
/// birth years begin there too.
pub const EARLIEST_TIME: Millis = -2_840_140_800_000;

/// The attribute of an item that came with a record. A hospital that describes the item writes it without.
const IMPORTED: &str = "imported";
/// Its value where a file of interactions names the item and says no more of it.
const INTERACTIONS: &str = "interactions";

/// Milliseconds since 1970-01-01T00:00:00Z, negative before.
pub type Millis = i64;

/// What kind of thing an item is. Each kind has a matrix of its own: what people like among
/// hospitals says nothing exact about drugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl Kind {
    /// Every kind, in the order they are listed to people.
    pub const ALL: [Kind; 5] = [Kind::Hospital, Kind::Doctor, Kind::Pharmacy, Kind::Drug, Kind::Advice];

    /// The name used in requests, files and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Hospital => "hospital",
            Kind::Doctor => "doctor",
            Kind::Pharmacy => "pharmacy",
            Kind::Drug => "drug",
            Kind::Advice => "advice",
        }
    }

    /// The kind's place in [`Kind::ALL`], for tables with one entry a kind.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name given is not a [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind; the kinds are hospital, doctor, pharmacy, drug and advice")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or(UnknownKind)
    }
}

/// A person's sex, as far as the filters and the context need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither.
    Other,
}

impl Sex {
    /// The name used in requests and reasons.
    pub const fn as_str(self) -> &'static str {
        match self {
            Sex::Female => "female",
            Sex::Male => "male",
            Sex::Other => "other",
        }
    }
}

/// Where an entry of a profile's list comes from, if it comes from an electronic record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Recorded {
    /// Its codes, each with its system before it. What the terminology knows of them is heeded
    /// beside the entry's own words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(example = json!(["http://snomed.info/sct|91936005"])))]
    pub codes: Vec<String>,
    /// Other words for it: what its codes are called, of a reaction the substance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(example = json!(["Allergy to penicillin"])))]
    pub synonyms: Vec<String>,
    /// The resources that say so. Without any that still does, the entry goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(example = json!(["AllergyIntolerance/a1"])))]
    pub resources: Vec<String>,
}

/// What is known of a person. Absent means unknown, which is not the same as none: a profile
/// without `allergies` is of someone nobody asked, `"allergies": []` of someone who has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Year of birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = 1954))]
    pub birth_year: Option<i32>,
    /// Sex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// Conditions; an empty list says there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<String>>,
    /// Allergies; an empty list says there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allergies: Option<Vec<String>>,
    /// Drugs taken now, by name, item id, code or class; an empty list says there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medications: Option<Vec<String>>,
    /// Whether the person is pregnant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pregnant: Option<bool>,
    /// Free words such as "smoker" or "vegetarian".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lifestyle: Vec<String>,
    /// Degrees north, -90 to 90.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east, -180 to 180.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// By the name of a list above and an entry of it: the entry's codes and where it comes from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub recorded: BTreeMap<String, BTreeMap<String, Recorded>>,
}

/// A person items are recommended to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Identifier; may be left out where the path names it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = "u1"))]
    pub user_id: String,
    /// What is known of the person.
    #[serde(default)]
    pub profile: Profile,
}

/// How much a rule matters. The first two rule an item out; of the third the answer tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Must not be.
    #[default]
    Contraindicated,
    /// Should not be without somebody who weighs it up.
    Serious,
    /// Can be, with care.
    Caution,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// An allergy of the person.
    Allergy,
    /// A condition of the person.
    Condition,
    /// A drug the person takes, or its class.
    Medication,
}

/// A rule about an item that says how severe it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GradedRule {
    /// What the rule is about.
    pub about: Subject,
    /// The allergy, condition, drug or class.
    #[cfg_attr(feature = "openapi", schema(example = "warfarin"))]
    pub code: String,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// What happens, in words for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Where the rule comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// For whom an item is wrong. Codes are compared by what they mean: names, synonyms and codes of
/// the terminology, without regard to case, plural, salt, dose and form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Contraindications {
    /// Allergies that rule the item out, such as "penicillin".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allergies: Vec<String>,
    /// Conditions that rule the item out, such as "kidney failure".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// Drugs (names or item ids) or therapeutic classes that must not be taken together with
    /// the item. It is enough that one of two items names the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interacts_with: Vec<String>,
    /// The class within which a second drug would be duplicate therapy, such as "statin".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub therapeutic_class: Option<String>,
    /// Whether the item is ruled out in pregnancy.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pregnancy: bool,
    /// The youngest age, in whole years, the item is meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age: Option<u16>,
    /// The oldest age, in whole years, the item is meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u16>,
    /// The sex the item is meant for; left out where it is meant for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// What the item is for: it is recommended to people with one of these conditions only. Left
    /// out where it needs no condition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indications: Vec<String>,
    /// More rules, each with its severity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<GradedRule>,
}

/// Something that can be recommended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Identifier; may be left out where the path names it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = "drug:metformin"))]
    pub item_id: String,
    /// Kind.
    pub kind: Kind,
    /// Name for people.
    #[cfg_attr(feature = "openapi", schema(example = "Harbour Pharmacy"))]
    pub name: String,
    /// Whatever else a client wants to keep with the item. Of it the lists `codes` (codes, each with its
    /// system before it) and `synonyms` of a drug are read, and `treats` (conditions), by which an alternative
    /// to the drug is found; `imported` says that nobody has described the item yet.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Degrees north, -90 to 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east, -180 to 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// A hidden item is never recommended, but what people did with it still counts.
    #[serde(default)]
    pub hidden: bool,
    /// A repeatable item, such as a refill, may be recommended to someone who has had it.
    #[serde(default)]
    pub repeatable: bool,
    /// For whom it is wrong.
    #[serde(default)]
    pub contraindications: Contraindications,
}

/// One thing that happened between a user and an item. The same user, item, event and time is
/// the same interaction: sent twice, it counts once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Interaction {
    /// Whose.
    #[cfg_attr(feature = "openapi", schema(example = "u1"))]
    pub user_id: String,
    /// With what.
    #[cfg_attr(feature = "openapi", schema(example = "drug:metformin"))]
    pub item_id: String,
    /// What happened, such as "visit", "prescription" or "rating".
    #[serde(default = "default_event")]
    #[cfg_attr(feature = "openapi", schema(example = "prescription"))]
    pub event: String,
    /// How much it counts: finite and above 0. 32-bit, in memory and in the database alike, so
    /// that both engines start from the same number.
    #[serde(default = "default_weight")]
    pub weight: f32,
    /// When, in milliseconds since 1970-01-01T00:00:00Z. As JSON: RFC 3339, or seconds or
    /// milliseconds since 1970; default: now, which makes a repeat another interaction.
    #[serde(default = "clock::now", with = "clock")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "2026-03-01T09:30:00Z"))]
    pub time: Millis,
}

fn default_event() -> String {
    "interaction".to_owned()
}

fn default_weight() -> f32 {
    1.0
}

impl Item {
    /// The codes among the attributes: `"codes": ["http://www.nlm.nih.gov/research/umls/rxnorm|562251"]`.
    pub fn codes(&self) -> Vec<String> {
        self.texts("codes")
    }

    /// What else it is called: its codes, and the synonyms among its attributes.
    pub fn also_called(&self) -> Vec<String> {
        let mut called = self.codes();
        called.extend(self.texts("synonyms"));
        called
    }

    /// Marks the item as one that came with a record, which nobody has described.
    pub fn set_imported(&mut self, from: &str) {
        self.attributes.insert(IMPORTED.to_owned(), from.into());
    }

    /// Whether it came with a record: there is such an item, and no more is said of it.
    pub fn is_imported(&self) -> bool {
        self.attributes.contains_key(IMPORTED)
    }

    /// The attributes of an item of this kind that a file of interactions names.
    pub const fn attributes_of_named(kind: Kind) -> &'static str {
        match kind {
            Kind::Drug => r#"{"imported":"interactions"}"#,
            _ => "{}",
        }
    }

    /// Whether a file of interactions named it, and nobody said more of it.
    pub fn is_named_alone(&self) -> bool {
        self.attributes.get(IMPORTED).and_then(serde_json::Value::as_str) == Some(INTERACTIONS)
    }

    /// The texts of a list among the attributes.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let texts = self.attributes.get(name).and_then(serde_json::Value::as_array);
        texts.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }
}
