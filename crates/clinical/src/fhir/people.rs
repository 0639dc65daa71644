//! What resources say of a person, and how that becomes a profile.
//!
//! A record arrives in pieces and is corrected later: an allergy is refuted, a drug is stopped. So each
//! entry of a profile remembers the resources that say it. A resource that comes again replaces what it
//! said before, and an entry that no resource says any more goes. What was written into a profile by hand
//! is never taken away.

use std::collections::BTreeMap;

use recommend::{Field, Profile, Recorded, Sex, Terminology};

use super::resources::{AllergyIntolerance, CodeableConcept, Condition, Patient, codes_of};

/// Stands among the resources of an entry that was in the profile before any resource said so.
const BY_HAND: &str = "by hand";
/// Stands among a list's entries for the resources that say that there are none.
const NONE_KNOWN: &str = "none known";

/// Codes that say that there is no known allergy at all, or none to a drug (SNOMED CT, IPS).
const NO_ALLERGY: [&str; 4] =
    ["716186003", "409137002", "no-known-allergies", "no-known-medication-allergies"];
/// Codes that say so of something that is no drug: nothing follows for drugs.
const NO_OTHER_ALLERGY: [&str; 6] = [
    "429625007",
    "428607008",
    "716184000",
    "716220001",
    "no-known-environmental-allergies",
    "no-known-food-allergies",
];
/// Codes that say that nobody knows.
const NO_INFORMATION: [&str; 3] = ["no-allergy-info", "no-problem-info", "no-medication-info"];
const NO_CONDITION: [&str; 3] = ["160245001", "no-known-problems", "no-known-conditions"];
const NO_MEDICATION: [&str; 2] = ["787481004", "no-known-medications"];

/// A list of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Its allergies.
    Allergies,
    /// Its conditions.
    Conditions,
    /// The drugs taken now.
    Medications,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            List::Allergies => "allergies",
            List::Conditions => "conditions",
            List::Medications => "medications",
        }
    }

    fn field(self) -> Field {
        match self {
            List::Allergies => Field::Allergy,
            List::Conditions => Field::Condition,
            List::Medications => Field::Medication,
        }
    }

    fn of(self, profile: &mut Profile) -> &mut Option<Vec<String>> {
        match self {
            List::Allergies => &mut profile.allergies,
            List::Conditions => &mut profile.conditions,
            List::Medications => &mut profile.medications,
        }
    }
}

/// What a resource says of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// That it has this entry.
    Entry {
        /// In words.
        words: String,
        /// Its codes.
        codes: Vec<String>,
    },
    /// That it is known to be empty.
    NoneKnown,
    /// Nothing, now: it is refuted, resolved, stopped. Why, in words.
    Nothing(&'static str),
}

/// One resource's word on a list.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The entry of the Bundle.
    pub entry: usize,
    /// Which list.
    pub list: List,
    /// The resource: `AllergyIntolerance/a1`.
    pub resource: String,
    /// What it says.
    pub says: Says,
}

/// All that a Bundle says of one person.
#[derive(Debug, Clone, Default)]
pub struct PersonChange {
    /// Who.
    pub user_id: String,
    /// The entry of the person's Patient resource, if it is there.
    pub patient: Option<usize>,
    /// Year of birth, if it is said.
    pub birth_year: Option<i32>,
    /// Sex, if it is said.
    pub sex: Option<Sex>,
    /// Where the person lives, if it is said: degrees north and east.
    pub place: Option<(f64, f64)>,
    /// What resources say of the lists.
    pub statements: Vec<Statement>,
}

impl PersonChange {
    /// Takes over what the Patient resource says.
    pub fn describe(&mut self, patient: &Patient) {
        self.birth_year = patient.birth_date.as_deref().and_then(|date| date.get(..4)?.parse().ok());
        self.sex = match patient.gender.as_deref() {
            Some("female") => Some(Sex::Female),
            Some("male") => Some(Sex::Male),
            Some("other") => Some(Sex::Other),
            _ => None,
        };
        self.place = patient.address.iter().find_map(|address| super::items::place(&address.extension));
    }

    /// The profile after what is said here.
    pub fn apply(&self, profile: &mut Profile) {
        profile.birth_year = self.birth_year.or(profile.birth_year);
        profile.sex = self.sex.or(profile.sex);
        if let Some((latitude, longitude)) = self.place {
            (profile.latitude, profile.longitude) = (Some(latitude), Some(longitude));
        }
        for list in [List::Allergies, List::Conditions, List::Medications] {
            let statements: Vec<&Statement> =
                self.statements.iter().filter(|statement| statement.list == list).collect();
            if !statements.is_empty() {
                apply_list(profile, list, &statements);
            }
        }
    }
}

/// Takes back what these resources said of a profile; whether they said anything.
pub fn take_back(profile: &mut Profile, gone: &dyn Fn(&str) -> bool) -> bool {
    let mut changed = false;
    for list in [List::Allergies, List::Conditions, List::Medications] {
        let known = profile.recorded.get(list.name()).into_iter().flat_map(BTreeMap::values);
        let said: Vec<Statement> = known
            .flat_map(|known| &known.resources)
            .filter(|resource| gone(resource))
            .map(|resource| Statement {
                entry: 0,
                list,
                resource: resource.clone(),
                says: Says::Nothing("deleted"),
            })
            .collect();
        if !said.is_empty() {
            apply_list(profile, list, &said.iter().collect::<Vec<_>>());
            changed = true;
        }
    }
    changed
}

fn apply_list(profile: &mut Profile, list: List, statements: &[&Statement]) {
    let mut recorded = profile.recorded.remove(list.name()).unwrap_or_default();
    let slot = list.of(profile);
    let mut entries = slot.take();
    let before = entries.clone();
    // What each of these resources said before is taken back first.
    let said = |resource: &String| statements.iter().any(|statement| statement.resource == *resource);
    for known in recorded.values_mut() {
        known.resources.retain(|resource| !said(resource));
    }
    for statement in statements {
        let (words, codes) = match &statement.says {
            Says::Nothing(_) => continue,
            Says::NoneKnown => (NONE_KNOWN, &[][..]),
            Says::Entry { words, codes } => (words.as_str(), codes.as_slice()),
        };
        let by_hand = entries.iter().flatten().any(|entry| entry == words) && !recorded.contains_key(words);
        let known = recorded.entry(words.to_owned()).or_default();
        if by_hand {
            known.resources.push(BY_HAND.to_owned());
        }
        known
            .codes
            .extend(codes.iter().filter(|code| !known.codes.contains(code)).cloned().collect::<Vec<_>>());
        if !known.resources.contains(&statement.resource) {
            known.resources.push(statement.resource.clone());
            known.resources.sort_unstable();
        }
        if statement.says != Says::NoneKnown {
            let entries = entries.get_or_insert_default();
            if !entries.iter().any(|entry| entry == words) {
                entries.push(words.to_owned());
            }
        }
    }
    let gone: Vec<String> = of_nobody(&recorded).map(str::to_owned).collect();
    for words in &gone {
        recorded.remove(words);
        if let Some(entries) = &mut entries {
            entries.retain(|entry| entry != words);
        }
    }
    let none_known = recorded.contains_key(NONE_KNOWN);
    *slot = match entries {
        // Absence is no knowledge: a list whose last entry was taken back is unknown again.
        Some(left)
            if left.is_empty() && !none_known && before.as_ref().is_none_or(|before| !before.is_empty()) =>
        {
            None
        }
        None if none_known => Some(Vec::new()),
        left => left,
    };
    if !recorded.is_empty() {
        profile.recorded.insert(list.name().to_owned(), recorded);
    }
}

fn of_nobody(recorded: &BTreeMap<String, Recorded>) -> impl Iterator<Item = &str> {
    recorded.iter().filter(|(_, known)| known.resources.is_empty()).map(|(words, _)| words.as_str())
}

/// What an AllergyIntolerance says of the allergies, or why nothing follows from it.
pub fn allergy(allergy: &AllergyIntolerance) -> Result<Says, &'static str> {
    let verification = codes_of(allergy.verification_status.as_ref());
    if verification.iter().any(|code| ["refuted", "entered-in-error"].contains(code)) {
        return Ok(Says::Nothing("refuted or entered in error"));
    }
    let clinical = codes_of(allergy.clinical_status.as_ref());
    if clinical.iter().any(|code| ["inactive", "resolved"].contains(code)) {
        return Ok(Says::Nothing("inactive or resolved"));
    }
    let concept = allergy.code.as_ref().ok_or("without a code")?;
    if concept.has(&NO_OTHER_ALLERGY) {
        return Ok(Says::Nothing("none known of a kind that is no drug"));
    }
    says(List::Allergies, concept, &NO_ALLERGY)
}

/// What a Condition says of the conditions.
pub fn condition(condition: &Condition) -> Result<Says, &'static str> {
    let verification = codes_of(condition.verification_status.as_ref());
    if verification.iter().any(|code| ["refuted", "entered-in-error", "differential"].contains(code)) {
        return Ok(Says::Nothing("refuted, entered in error or one of several that it may be"));
    }
    let clinical = codes_of(condition.clinical_status.as_ref());
    let abated = condition.abatement_date_time.is_some()
        || condition.abatement_period.is_some()
        || condition.abatement_age.is_some()
        || condition.abatement_string.is_some()
        || condition.abatement_range.is_some();
    let over = clinical.iter().any(|code| ["inactive", "resolved"].contains(code));
    if over || (clinical.is_empty() && abated) {
        return Ok(Says::Nothing("inactive or resolved"));
    }
    says(List::Conditions, condition.code.as_ref().ok_or("without a code")?, &NO_CONDITION)
}

/// What a drug that is taken says of the medications.
pub fn medication(concept: &CodeableConcept) -> Result<Says, &'static str> {
    says(List::Medications, concept, &NO_MEDICATION)
}

fn says(list: List, concept: &CodeableConcept, none: &[&str]) -> Result<Says, &'static str> {
    if concept.has(&NO_INFORMATION) {
        return Ok(Says::Nothing("no information"));
    }
    let words = concept.words().filter(|words| !words.is_empty()).ok_or("without a code")?;
    // "NKDA" in words alone is known to the terminology.
    let meaning = Terminology::shared(&[]).understand(list.field(), &words);
    if concept.has(none) || (meaning.known && meaning.names.is_empty()) {
        return Ok(Says::NoneKnown);
    }
    Ok(Says::Entry { words, codes: concept.codes() })
}
