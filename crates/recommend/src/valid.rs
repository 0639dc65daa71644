//! What is wrong with the plain data, and where.
//!
//! Every `validate` returns all that it found, each with a JSON pointer, so that a client can mend a whole request at once.

use serde::Serialize;

use super::clock;
use super::data::{
    CLOCK_LEEWAY_MS, DATE_LEEWAY_MS, EARLIEST_TIME, Interaction, Item, Kind, MAX_CODES, MAX_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS, Millis, Profile, User,
};

/// What is wrong with one field: where (a JSON pointer, such as `/3/weight`) and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

impl FieldError {
    /// An error at this place.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// Checks an identifier: 1 to [`MAX_ID_CHARACTERS`] characters of any script, slashes and spaces
/// among them, without control characters. It is not `.` or `..`: clients take these out of an
/// address, percent-encoded or not, so nobody could ask for what has such a name.
pub fn validate_id(pointer: &str, id: &str) -> Result<(), FieldError> {
    if matches!(id, "." | "..") {
        let detail = "must not be . or .., which clients take out of an address";
        return Err(FieldError::new(pointer, detail));
    }
    validate_word(pointer, id)
}

/// The same for what stands in no address.
fn validate_word(pointer: &str, id: &str) -> Result<(), FieldError> {
    let detail = if id.is_empty() {
        "must not be empty".to_owned()
    } else if longer_than(id, MAX_ID_CHARACTERS) {
        format!("must have at most {MAX_ID_CHARACTERS} characters")
    } else if id.chars().any(char::is_control) {
        "must not contain control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(FieldError::new(pointer, detail))
}

impl Profile {
    /// All that is wrong with the profile. `base` is the pointer of the profile itself (`""` if
    /// it is the whole document), `now` the present time.
    pub fn validate(&self, base: &str, now: Millis) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(year) = self.birth_year {
            let this_year = clock::year_of(now);
            if !(1880..=this_year).contains(&year) {
                errors.push(FieldError::new(
                    format!("{base}/birth_year"),
                    format!("must be a year from 1880 to {this_year}"),
                ));
            }
        }
        let lists = [
            ("conditions", self.conditions.as_deref()),
            ("allergies", self.allergies.as_deref()),
            ("medications", self.medications.as_deref()),
            ("lifestyle", Some(self.lifestyle.as_slice())),
        ];
        for (name, codes) in lists {
            validate_codes(&format!("{base}/{name}"), codes.unwrap_or_default(), &mut errors);
        }
        validate_location(base, self.latitude, self.longitude, &mut errors);
        for (list, entries) in &self.recorded {
            let base = format!("{base}/recorded/{}", escaped(list));
            if entries.len() > MAX_CODES {
                errors.push(FieldError::new(base.as_str(), format!("must have at most {MAX_CODES} entries")));
                continue;
            }
            for (entry, recorded) in entries {
                let base = format!("{base}/{}", escaped(entry));
                validate_codes(&format!("{base}/codes"), &recorded.codes, &mut errors);
                validate_codes(&format!("{base}/resources"), &recorded.resources, &mut errors);
            }
        }
        errors
    }

    /// The codes and other words that an entry of a list was recorded with.
    pub fn recorded_as(&self, list: &str, entry: &str) -> impl Iterator<Item = &String> {
        let recorded = self.recorded.get(list).and_then(|entries| entries.get(entry));
        recorded.into_iter().flat_map(|recorded| recorded.codes.iter().chain(&recorded.synonyms))
    }
}

/// A name as a step of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl User {
    /// All that is wrong with the user; pointers start at `base`.
    pub fn validate(&self, base: &str, now: Millis) -> Vec<FieldError> {
        let mut errors = self.profile.validate(&format!("{base}/profile"), now);
        errors.extend(validate_id(&format!("{base}/user_id"), &self.user_id).err());
        errors
    }
}

impl Item {
    /// All that is wrong with the item; pointers start at `base`.
    pub fn validate(&self, base: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        errors.extend(validate_id(&format!("{base}/item_id"), &self.item_id).err());
        validate_text(&format!("{base}/name"), &self.name, &mut errors);
        validate_location(base, self.latitude, self.longitude, &mut errors);
        if self.kind == Kind::Drug {
            for name in ["codes", "synonyms", "treats"] {
                let Some(value) = self.attributes.get(name) else { continue };
                let list = value.as_array();
                if !list.is_some_and(|list| list.iter().all(serde_json::Value::is_string)) {
                    let detail =
                        "must be a list of texts, codes with their system before them: [\"atc:J01CA04\"]";
                    errors.push(FieldError::new(format!("{base}/attributes/{name}"), detail));
                }
            }
        }
        let rules = &self.contraindications;
        let base = format!("{base}/contraindications");
        validate_codes(&format!("{base}/allergies"), &rules.allergies, &mut errors);
        validate_codes(&format!("{base}/conditions"), &rules.conditions, &mut errors);
        validate_codes(&format!("{base}/interacts_with"), &rules.interacts_with, &mut errors);
        if let Some(class) = &rules.therapeutic_class {
            validate_text(&format!("{base}/therapeutic_class"), class, &mut errors);
        }
        validate_codes(&format!("{base}/indications"), &rules.indications, &mut errors);
        if rules.rules.len() > MAX_CODES {
            let detail = format!("must have at most {MAX_CODES} entries");
            errors.push(FieldError::new(format!("{base}/rules"), detail));
        }
        for (i, rule) in rules.rules.iter().take(MAX_CODES).enumerate() {
            validate_text(&format!("{base}/rules/{i}/code"), &rule.code, &mut errors);
            for (name, text) in [("note", &rule.note), ("source", &rule.source)] {
                if !text.is_empty() {
                    validate_text(&format!("{base}/rules/{i}/{name}"), text, &mut errors);
                }
            }
        }
        if let (Some(min), Some(max)) = (rules.min_age, rules.max_age)
            && min > max
        {
            errors.push(FieldError::new(format!("{base}/max_age"), "must not be below min_age"));
        }
        errors
    }
}

impl Interaction {
    /// All that is wrong with the interaction; pointers start at `base` (such as `/3` for the
    /// fourth of an array).
    pub fn validate(&self, base: &str, now: Millis) -> Vec<FieldError> {
        let mut errors = Vec::new();
        errors.extend(validate_id(&format!("{base}/user_id"), &self.user_id).err());
        errors.extend(validate_id(&format!("{base}/item_id"), &self.item_id).err());
        errors.extend(validate_word(&format!("{base}/event"), &self.event).err());
        errors.extend(validate_weight(&format!("{base}/weight"), f64::from(self.weight)).err());
        if self.time < EARLIEST_TIME {
            errors.push(FieldError::new(format!("{base}/time"), "must not be before 1880"));
        }
        let leeway = if self.time % 86_400_000 == 0 { DATE_LEEWAY_MS } else { CLOCK_LEEWAY_MS };
        if self.time > now.saturating_add(leeway) {
            errors.push(FieldError::new(format!("{base}/time"), "must not be in the future"));
        }
        errors
    }
}

/// Checks a weight before it is narrowed to 32 bits: finite, above zero, and still so when
/// narrowed.
pub fn validate_weight(pointer: &str, weight: f64) -> Result<(), FieldError> {
    let narrowed = weight as f32;
    if weight.is_finite() && narrowed.is_finite() && narrowed >= f32::MIN_POSITIVE {
        Ok(())
    } else {
        Err(FieldError::new(pointer, "must be a finite number above 0"))
    }
}

/// Whether the text has more than `limit` characters, without walking a megabyte to find out.
fn longer_than(text: &str, limit: usize) -> bool {
    text.chars().nth(limit).is_some()
}

fn validate_text(pointer: &str, text: &str, errors: &mut Vec<FieldError>) {
    errors.extend(text_problem(text).map(|detail| FieldError::new(pointer, detail)));
}

/// What is wrong with a name or a code, if anything.
pub(crate) fn text_problem(text: &str) -> Option<String> {
    let detail = if text.trim().is_empty() {
        "must not be blank".to_owned()
    } else if longer_than(text, MAX_TEXT_CHARACTERS) {
        format!("must have at most {MAX_TEXT_CHARACTERS} characters")
    } else if text.chars().any(char::is_control) {
        "must not contain control characters".to_owned()
    } else {
        return None;
    };
    Some(detail)
}

fn validate_codes(pointer: &str, codes: &[String], errors: &mut Vec<FieldError>) {
    if codes.len() > MAX_CODES {
        errors.push(FieldError::new(pointer, format!("must have at most {MAX_CODES} entries")));
        return;
    }
    for (i, code) in codes.iter().enumerate() {
        validate_text(&format!("{pointer}/{i}"), code, errors);
    }
}

fn validate_location(
    base: &str,
    latitude: Option<f64>,
    longitude: Option<f64>,
    errors: &mut Vec<FieldError>,
) {
    if latitude.is_some_and(|degrees| !(-90.0..=90.0).contains(&degrees)) {
        errors.push(FieldError::new(format!("{base}/latitude"), "must be from -90 to 90"));
    }
    if longitude.is_some_and(|degrees| !(-180.0..=180.0).contains(&degrees)) {
        errors.push(FieldError::new(format!("{base}/longitude"), "must be from -180 to 180"));
    }
    match (latitude, longitude) {
        (Some(_), None) => {
            errors.push(FieldError::new(format!("{base}/longitude"), "must be given together with latitude"))
        }
        (None, Some(_)) => {
            errors.push(FieldError::new(format!("{base}/latitude"), "must be given together with longitude"))
        }
        _ => {}
    }
}
