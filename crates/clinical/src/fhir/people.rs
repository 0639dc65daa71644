//! What resources say of a person, and how that becomes a profile.
//!
//! A record arrives in pieces and is corrected later: an allergy is refuted, a drug is stopped. So each
//! entry of a profile remembers the resources that say it. A resource that comes again replaces what it
//! said before, and an entry that no resource says any more goes. Nothing else takes an entry away: neither
//! one that was added without an id, nor one of the same id of which nobody knows the server. A denial goes
//! where it may be meant, since what hangs on it is that drugs are recommended. What was written into a
//! profile by hand is never taken away.

use std::collections::{BTreeMap, BTreeSet};

use recommend::{Field, Millis, Profile, Recorded, Sex, clock};

use super::holds::{Over, beside_allergy, ends, noted, over};
use super::none_known::{self, Absence};
use super::references::{lasts, may_be_one, origin_name, patient_name, qualified};
use super::resources::{AllergyIntolerance, CodeableConcept, Condition, Patient, clean};
use super::{described, ended, status};

/// Stands among the resources of an entry that was in the profile before any resource said so.
const BY_HAND: &str = "by hand";
/// What a denial may be of.
pub(crate) const DENIALS: [&str; 3] = ["none known", "no drug known", "none known that is no drug"];
/// Stands among a list's entries for the resources that say that there are none.
pub(crate) const NONE_KNOWN: &str = "none known";
/// Why nothing follows from "no known food allergy".
const NO_OTHER: &str = "none known of a kind that is no drug";
/// What a condition that is over says.
pub(super) const OVER: &str = "inactive or resolved";
/// What a denial says whose statuses may take it back.
const UNCLEAR: &str = "that there is none, with a status by which it may not hold: that counts where a status is left out, active, \
    confirmed or unconfirmed";
/// The earliest year of birth that somebody can have who is cared for.
pub const EARLIEST: i32 = 1880;

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
    pub(crate) fn name(self) -> &'static str {
        match self {
            List::Allergies => "allergies",
            List::Conditions => "conditions",
            List::Medications => "medications",
        }
    }

    pub(super) fn field(self) -> Field {
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
        /// Other words for it.
        synonyms: Vec<String>,
    },
    /// That it is known to be empty.
    NoneKnown,
    /// Nothing, now: it is refuted, resolved, stopped. Why, in words.
    Nothing(&'static str),
    /// That it has an entry, unless the person was born in this year or before: it ended at an age.
    UnlessBornBy {
        /// The year.
        year: i32,
        /// The entry.
        entry: Box<Says>,
        /// What is said once it has ended.
        over: Box<Says>,
    },
    /// Perhaps that it has this entry, and otherwise nothing: a modifier of the resource is not understood, so that of what it
    /// said before nothing goes but a denial.
    Kept(Option<Box<Says>>),
}

impl Says {
    /// What is said of somebody who was born in this year, where that is known.
    fn of(&self, born: Option<i32>) -> &Says {
        match self {
            Says::UnlessBornBy { over, .. } if self.ended(born).is_some() => over,
            Says::UnlessBornBy { entry, .. } | Says::Kept(Some(entry)) => entry,
            said => said,
        }
    }

    /// What is said under a modifier that is not understood.
    pub(super) fn modified(self) -> Says {
        match self {
            entry @ Says::Entry { .. } => Says::Kept(Some(Box::new(entry))),
            Says::UnlessBornBy { entry, .. } => Says::Kept(Some(entry)),
            Says::Kept(_) => self,
            Says::NoneKnown | Says::Nothing(_) => Says::Kept(None),
        }
    }

    /// Whether what it takes back goes, of a denial or of something else.
    fn takes_back(&self, denial: bool) -> bool {
        denial || !matches!(self, Says::Kept(_))
    }

    /// The entry that somebody who was born in this year has no more, and the last year of birth of whom that is true.
    fn ended(&self, born: Option<i32>) -> Option<(i32, &Says)> {
        match self {
            Says::UnlessBornBy { year, entry, .. } if born.is_some_and(|born| born <= *year) => {
                Some((*year, entry))
            }
            _ => None,
        }
    }
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
    /// Whether what was known of the sex is not known any more.
    pub sex_unknown: bool,
    /// Where the person lives, if it is said: degrees north and east.
    pub place: Option<(f64, f64)>,
    /// What resources say of the lists.
    pub statements: Vec<Statement>,
    /// The names of the person's identifiers (`references::patient_name`).
    pub identifiers: Vec<String>,
    /// The same, with their systems, for what is known of where the person comes from (`references::origin_name`).
    pub numbers: BTreeSet<String>,
    /// The server on which the Patient resource is, where its address says so.
    pub server: Option<String>,
    /// Whether the person is known by an identifier of which nobody said that it tells who this is.
    pub guessed: bool,
    /// Whether no denial counts, since nobody can say that it is of this person.
    pub without_denials: bool,
}

impl PersonChange {
    /// Takes over what the Patient resource says; what of it is left out, in words.
    pub fn describe(&mut self, patient: &Patient, now: Millis) -> Vec<&'static str> {
        let mut left_out = Vec::new();
        let born = patient.birth_date.as_deref();
        let year: Option<i32> = born.and_then(|date| date.trim().get(..4)?.parse().ok());
        // Records fill in 1800-01-01 or 0001-01-01 where nobody knows.
        self.birth_year = year.filter(|year| (EARLIEST..=clock::year_of(now)).contains(year));
        if born.is_some() && self.birth_year.is_none() {
            left_out.push("birthDate: it is no date, or before 1880, or in the future");
        }
        let gender = patient.gender.as_deref().map(|gender| gender.trim().to_lowercase());
        self.sex = match gender.as_deref() {
            Some("female") => Some(Sex::Female),
            Some("male") => Some(Sex::Male),
            Some("other") => Some(Sex::Other),
            None | Some("" | "unknown") => None,
            Some(_) => {
                left_out.push("a gender that FHIR R4 does not have: it has female, male, other and unknown");
                None
            }
        };
        self.sex_unknown = gender.as_deref() == Some("unknown");
        // The gender is that of the administration (R4): whoever was born as a woman may be pregnant.
        if super::patient::born_female(patient) {
            (self.sex, self.sex_unknown) = (Some(Sex::Female), false);
        }
        self.place = patient.address.iter().find_map(|address| super::items::place(&address.extension));
        for own in patient.identifier.iter().filter_map(qualified) {
            self.identified_by(&own);
        }
        left_out
    }

    /// Adds an identifier, with its system before it.
    pub fn identified_by(&mut self, identifier: &str) {
        self.identifiers.push(patient_name(identifier));
        self.numbers.extend(origin_name(identifier));
    }

    /// Adds what is said of the same person under another id.
    pub fn merge(&mut self, other: PersonChange) {
        if other.patient.is_some() {
            self.patient = other.patient;
            self.birth_year = other.birth_year.or(self.birth_year);
            self.sex = other.sex.or(self.sex.filter(|_| !other.sex_unknown));
            self.sex_unknown |= other.sex_unknown;
            self.place = other.place.or(self.place);
            self.server = other.server.or(self.server.take());
            self.guessed |= other.guessed;
        }
        self.without_denials |= other.without_denials;
        self.statements.extend(other.statements);
        self.identifiers.extend(other.identifiers);
        self.numbers.extend(other.numbers);
    }

    /// Lets no denial count that is said here; the entries that denied.
    pub(super) fn deny_nothing(&mut self) -> Vec<usize> {
        let denials = self.statements.iter_mut().filter(|said| said.says == Says::NoneKnown);
        denials
            .map(|said| {
                said.says = Says::Kept(None);
                said.entry
            })
            .collect()
    }

    /// The profile after what is said here.
    pub fn apply(&self, profile: &mut Profile) {
        if self.without_denials {
            take_denials_back(profile);
        }
        profile.birth_year = self.birth_year.or(profile.birth_year);
        profile.sex = self.sex.or(profile.sex.filter(|_| !self.sex_unknown));
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
        let back = ended::back(profile);
        if !back.is_empty() {
            apply_list(profile, List::Conditions, &back.iter().collect::<Vec<_>>());
        }
    }
}

/// Of a concept that denies, what it denies: nothing that is known of the list, or of drugs alone, or of something else. With
/// what stands beside it, where that contradicts it, it denies nothing.
pub(crate) fn denies(list: List, concept: &CodeableConcept, beside: &[&str]) -> Option<&'static str> {
    if beside.iter().any(|words| none_known::contradicts(list, words)) {
        return None;
    }
    match none_known::of(list, concept) {
        Absence::None => Some(DENIALS[0]),
        Absence::NoDrug => Some(DENIALS[1]),
        Absence::NoOther => Some(DENIALS[2]),
        Absence::Not | Absence::Unknown => None,
    }
}

/// Whether a list has something that a resource says. What was taken out of it by hand is there no more, whatever is recorded.
pub fn is_said(profile: &Profile, list: List, resource: &str) -> bool {
    let entries = match list {
        List::Allergies => &profile.allergies,
        List::Conditions => &profile.conditions,
        List::Medications => &profile.medications,
    };
    let said = |known: &Recorded| known.resources.iter().any(|own| own == resource);
    let recorded = profile.recorded.get(list.name()).into_iter().flatten();
    recorded
        .filter(|(_, known)| said(known))
        .any(|(words, _)| entries.iter().flatten().any(|entry| entry == words) || words == NONE_KNOWN)
}

/// Takes back what resources denied: that a list is empty is known no more.
pub fn take_denials_back(profile: &mut Profile) {
    take_back(profile, &|resource, denial| denial && resource != BY_HAND);
}

/// Takes back what these resources said of a profile; whether they said anything. `gone` is asked for each resource, and
/// whether what it says is a denial.
pub fn take_back(profile: &mut Profile, gone: &dyn Fn(&str, bool) -> bool) -> bool {
    let mut changed = false;
    for list in [List::Allergies, List::Conditions, List::Medications] {
        let ended = (list == List::Conditions).then(|| profile.recorded.get(ended::NAME)).flatten();
        let known = profile.recorded.get(list.name()).into_iter().chain(ended).flatten();
        let said: Vec<Statement> = known
            .flat_map(|(words, known)| known.resources.iter().map(move |resource| (words, resource)))
            .filter(|(words, resource)| gone(resource, *words == NONE_KNOWN))
            .map(|(_, resource)| Statement {
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
    let born = profile.birth_year;
    if list == List::Conditions {
        let ending = statements.iter().filter(|own| own.says.takes_back(false));
        let said = |resource: &str| ending.clone().any(|own| takes_back(&own.resource, resource, false));
        ended::take_back(profile, &said);
        for statement in statements {
            if let Some((year, entry)) = statement.says.ended(born) {
                ended::keep(profile, &statement.resource, year, entry);
            }
        }
    }
    let mut recorded = profile.recorded.remove(list.name()).unwrap_or_default();
    let slot = list.of(profile);
    let mut entries = slot.take();
    let before = entries.clone();
    // What each of these resources said before is taken back first, and with the last of them all codes of an entry.
    for (words, known) in &mut recorded {
        let denial = words == NONE_KNOWN;
        let taking = statements.iter().filter(|own| own.says.takes_back(denial));
        let said = |resource: &str| taking.clone().any(|own| takes_back(&own.resource, resource, denial));
        known.resources.retain(|resource| !said(resource));
        if known.resources.is_empty() {
            known.codes.clear();
            known.synonyms.clear();
        }
    }
    for statement in statements {
        let says = statement.says.of(born);
        let (words, codes, synonyms) = match says {
            Says::Nothing(_) | Says::UnlessBornBy { .. } | Says::Kept(_) => continue,
            Says::NoneKnown => (NONE_KNOWN, &[][..], &[][..]),
            Says::Entry { words, codes, synonyms } => (words.as_str(), codes.as_slice(), synonyms.as_slice()),
        };
        // An empty list of nobody's is one that somebody wrote.
        let there = match says {
            Says::NoneKnown => entries.as_ref().is_some_and(Vec::is_empty),
            _ => entries.iter().flatten().any(|entry| entry == words),
        };
        let by_hand = there && !recorded.contains_key(words);
        let known = recorded.entry(words.to_owned()).or_default();
        if by_hand {
            known.resources.push(BY_HAND.to_owned());
        }
        known
            .codes
            .extend(codes.iter().filter(|code| !known.codes.contains(code)).cloned().collect::<Vec<_>>());
        let new =
            synonyms.iter().filter(|words| !known.synonyms.contains(words)).cloned().collect::<Vec<_>>();
        known.synonyms.extend(new);
        if !known.resources.contains(&statement.resource) {
            known.resources.push(statement.resource.clone());
            known.resources.sort_unstable();
        }
        if *says != Says::NoneKnown {
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
            if left.is_empty()
                && !none_known
                && (gone.iter().any(|words| words == NONE_KNOWN)
                    || before.as_ref().is_none_or(|before| !before.is_empty())) =>
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

/// Whether a resource that comes takes back what one said before: the very same does. Of a denial it is enough that it may be
/// the same: what was added without an id and has its words, or the same id where one of both came without a server.
fn takes_back(resource: &str, before: &str, denial: bool) -> bool {
    match resource == before {
        true => denial || lasts(resource),
        false => denial && may_be_one(resource, before),
    }
}

fn of_nobody(recorded: &BTreeMap<String, Recorded>) -> impl Iterator<Item = &str> {
    recorded.iter().filter(|(_, known)| known.resources.is_empty()).map(|(words, _)| words.as_str())
}

/// What an AllergyIntolerance says of the allergies, or why nothing follows from it.
pub fn allergy(allergy: &AllergyIntolerance) -> Result<Says, &'static str> {
    let [clinical, verification] = status::of_allergy(allergy);
    if verification.is_over() {
        return Ok(Says::Nothing("refuted or entered in error"));
    }
    if clinical.is_over() {
        return Ok(Says::Nothing(OVER));
    }
    let beside = || beside_allergy(allergy);
    if let Some(entry) = allergy.code.as_ref().and_then(|code| contradicted(List::Allergies, code, beside)) {
        return Ok(entry);
    }
    let substances: Vec<&CodeableConcept> =
        allergy.reaction.iter().filter_map(|reaction| reaction.substance.as_ref()).collect();
    let code = allergy.code.clone().or_else(|| substances.first().map(|_| CodeableConcept::default()));
    let concept = &code.ok_or("without a code")?.naming(substances);
    // Some records say "no known allergy" once for each category.
    let categories: Vec<&str> = allergy.category.iter().flatten().flatten().map(String::as_str).collect();
    let of_drugs = categories.is_empty() || categories.contains(&"medication");
    if !of_drugs && none_known::of(List::Allergies, concept) == Absence::None {
        return Ok(Says::Nothing(NO_OTHER));
    }
    let holds = verification.is_plain() && clinical.is_plain();
    says(List::Allergies, concept).map(|says| plainly(says, holds))
}

/// The entry of a denial beside which something else is said, such as "NKDA" with a reaction. What that is may not be
/// understood here, and somebody has to look: so it has the words of both.
fn contradicted(list: List, code: &CodeableConcept, beside: impl Fn() -> Vec<String>) -> Option<Says> {
    if none_known::of(list, code) == Absence::Not {
        return None;
    }
    let mut said: Vec<String> = Vec::new();
    for words in beside().iter().map(|words| words.trim()) {
        if none_known::contradicts(list, words) && !said.iter().any(|other| other == words) {
            said.push(words.to_owned());
        }
    }
    let displays = code.coding.iter().filter_map(|coding| coding.display.as_deref());
    let denial = code.text.as_deref().into_iter().chain(displays).find(|words| !words.trim().is_empty());
    let words = format!("{} - but beside it: {}", denial.unwrap_or("none known").trim(), said.join("; "));
    let entry = Says::Entry { words: clean(&words), codes: Vec::new(), synonyms: Vec::new() };
    (!said.is_empty()).then_some(entry)
}

/// A denial counts where it holds plainly.
fn plainly(says: Says, holds: bool) -> Says {
    if says == Says::NoneKnown && !holds { Says::Nothing(UNCLEAR) } else { says }
}

/// What a Condition says of the conditions.
pub fn condition(condition: &Condition, now: Millis) -> Result<Says, &'static str> {
    let [clinical, verification] = status::of_condition(condition);
    // A certainty beside the code says what no verification status does.
    let excluded = verification.is_absent() && described::is_excluded(condition);
    if excluded || verification.is_over() {
        return Ok(Says::Nothing("refuted, entered in error or one of several that it may be"));
    }
    let over = match clinical.is_silent() {
        true if described::is_past(condition) => Over::Yes,
        true => over(condition, now),
        false => Over::No,
    };
    let described = described::described(condition);
    if over == Over::Yes || clinical.is_over() {
        let said = described.and_then(|code| says(List::Conditions, &code).ok());
        return Ok(said.map_or(Says::Nothing(OVER), ended::once_had));
    }
    let code = condition.code.as_ref().ok_or("without a code")?;
    if let Some(entry) = contradicted(List::Conditions, code, || noted(condition.note.as_ref())) {
        return Ok(entry);
    }
    let says = says(List::Conditions, described.as_ref().unwrap_or(code))?;
    let holds = verification.is_plain() && clinical.is_plain() && !ends(condition);
    Ok(match (plainly(says, holds), over) {
        (entry @ Says::Entry { .. }, Over::IfBornBy(year)) => {
            let over = Box::new(ended::once_had(entry.clone()));
            Says::UnlessBornBy { year, entry: Box::new(entry), over }
        }
        (says, _) => says,
    })
}

/// What a drug that is taken says of the medications. A denial of them has to hold plainly (`holds`), and nothing that stands
/// beside it may say something else.
pub fn medication(concept: &CodeableConcept, beside: &Beside) -> Result<Says, &'static str> {
    if let Some(entry) = contradicted(List::Medications, concept, || beside.words.clone()) {
        return Ok(entry);
    }
    says(List::Medications, concept).map(|says| plainly(says, beside.holds))
}

/// Whether a medicine's concept names none: it denies that there is one, or says that nobody knows.
pub fn names_no_drug(concept: &CodeableConcept) -> bool {
    none_known::names_nothing(List::Medications, concept)
}

/// What stands beside the concept of a medicine.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Whether its status and its times leave no doubt that it holds now.
    pub holds: bool,
    /// Notes, reasons and doses, in words.
    pub words: Vec<String>,
}

fn says(list: List, concept: &CodeableConcept) -> Result<Says, &'static str> {
    match none_known::of(list, concept) {
        Absence::Not => {}
        Absence::None | Absence::NoDrug => return Ok(Says::NoneKnown),
        Absence::NoOther => return Ok(Says::Nothing(NO_OTHER)),
        Absence::Unknown => return Ok(Says::Nothing("no information")),
    }
    let named = none_known::entry(list, concept);
    let words = named.words().filter(|words| !words.is_empty()).ok_or("without a code")?;
    let (words, codes) = (none_known::in_the_list(list, words), named.codes());
    let codes = codes.into_iter().filter(|code| !none_known::is_none(list, code)).collect();
    let synonyms = named.synonyms().into_iter().map(|words| none_known::in_the_list(list, words)).collect();
    Ok(Says::Entry { words, codes, synonyms })
}
