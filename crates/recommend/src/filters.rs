//! Safety before rank: for whom an item is wrong, decided before the best are chosen, so that an
//! unsafe item can neither be recommended nor push a safe one out.
//!
//! What a list says is compared by what it means (see [`terminology`](super::terminology)): names,
//! synonyms, codes, substances, classes. Rules, in the order they are looked at; the first that
//! applies gives the reason:
//!
//! 1. `allergy`: the item is, or is of the class or of the group of cross-reactivity of, what the
//!    person is allergic to, or lists that
//! 2. `condition`: the item lists one of the person's conditions, or a broader one
//! 3. `interaction`: the item lists one of the person's medications or its class, or the
//!    medication lists the item; a medication given as a class may be any drug of that class
//! 4. `duplicate therapy`: the person takes the item already (unless it is repeatable, as a
//!    refill is), a substance of it, or another drug of its class
//! 5. `pregnancy`: the person is pregnant and the item is ruled out then
//! 6. `sex`: the item is meant for the other sex
//! 7. `age`: the person may be younger or older than the item is meant for (only the year of
//!    birth is known, so a person is taken to be of either age possible this year)
//! 8. unknown: for drugs, what is *not recorded* is not taken as harmless. Without recorded
//!    allergies and medications no drug passes, and neither where one of them is not understood;
//!    without recorded conditions, pregnancy, sex or year of birth none does that has a rule about
//!    it, and none that came with a record under words that are not understood; and where a condition is not understood and
//!    looks like another, none that has a rule about that one. Configuration can allow the
//!    unknown, and lower what is not understood to a flag.
//! 9. `indication`: the item says what it is for, and the person has nothing of it
//!
//! A rule that only cautions rules nothing out: [`Patient::cautions`] tells of it.

mod allergies;
mod medications;
mod perhaps;
mod unknown;

use serde::{Deserialize, Serialize};

use super::catalogue::{CHILDBEARING, Catalogue, Entry, OLDER_ADULT, Rule, Vocabulary};
use super::clock::year_of;
use super::data::{Kind, Millis, Profile, Severity, Sex};
use super::settings::Settings;
use super::terminology::{Field, Key, Keys, Meaning, Terminology, Unclear, Value, is_code, plain};
use allergies::Allergy;
pub use medications::Medication;
use perhaps::Perhaps;

/// What is done about drugs when the profile does not say what has to be known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Recommend none.
    #[default]
    Abstain,
    /// Treat unknown as none.
    Allow,
}

/// What is done about drugs when an allergy or a medication is not understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// Recommend none.
    #[default]
    Abstain,
    /// Recommend, and say that it was not checked.
    Flag,
}

/// Near misses are looked for as often as this in one profile: each look goes through all names.
const NEAR_MISSES: usize = 5;

/// Why an item is ruled out.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    pub text: String,
    /// Where the rule says how severe it is.
    pub severity: Option<Severity>,
    pub note: Option<String>,
    /// Where the rule comes from, where it says so.
    pub source: Option<String>,
}

impl Reason {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), severity: None, note: None, source: None }
    }

    fn of(text: String, rule: Option<&Rule>) -> Self {
        let graded = rule.filter(|rule| rule.graded);
        let note = graded.map(|rule| rule.note.clone()).filter(|note| !note.is_empty());
        let source = graded.map(|rule| rule.source.clone()).filter(|source| !source.is_empty());
        Self { text, severity: graded.map(|rule| rule.severity), note, source }
    }

    /// As people read it beside a recommended item.
    fn told(self) -> String {
        match self.note {
            Some(note) => format!("{} ({note})", self.text),
            None => self.text,
        }
    }
}

/// What a finding about a drug and a person is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    /// An allergy of the person.
    Allergy,
    /// A condition of the person.
    Condition,
    /// A drug that is taken or ordered beside it.
    Interaction,
    /// The person takes the same, or another of the class, already.
    Duplicate,
    /// The person is pregnant.
    Pregnancy,
    /// It is meant for the other sex.
    Sex,
    /// It is meant for another age.
    Age,
}

/// A condition: as it is written, and what rules are compared with.
struct Stated<'a> {
    written: &'a str,
    names: Keys,
    /// The values that it gives.
    values: Vec<Value>,
}

impl<'a> Stated<'a> {
    fn of(written: &'a str, meaning: Meaning) -> Self {
        let Meaning { broader, values, .. } = meaning;
        Self { written, names: broader.into_iter().collect(), values }
    }
}

/// A person as the rules see one, made once for each request.
pub struct Patient<'a> {
    profile: &'a Profile,
    allergies: Vec<Allergy<'a>>,
    conditions: Vec<Stated<'a>>,
    medications: Vec<Medication<'a>>,
    /// How many of them, the first, conditions tell of.
    noted: usize,
    pregnant: Option<bool>,
    /// The youngest and the oldest the person can be this year.
    ages: Option<(i32, i32)>,
    /// Whether the unknown rules anything out.
    strict: bool,
    /// Whether a drug that nobody understands is ruled out.
    wary: bool,
    /// Why no drug at all can be recommended.
    abstains: Option<String>,
    /// Whether all conditions are understood, or are such as no rule is about.
    conditions_understood: bool,
    /// Conditions that are not understood and look like another: as they are written, and what may be meant.
    maybe: Vec<(String, Keys)>,
    /// The same of allergies and medications.
    perhaps: Perhaps<'a>,
    /// Whether the person is allergic to anything.
    allergic: bool,
    /// Whether the person has a condition that any rule about drugs is about.
    concerned: bool,
    drugs: &'a Vocabulary,
    flags: Vec<String>,
}

impl<'a> Patient<'a> {
    /// The person with this profile, before items of the kind in the catalogue. `drugs` is the
    /// catalogue medications are looked up in.
    pub fn new(
        profile: &'a Profile,
        kind: Kind,
        catalogue: &Catalogue,
        drugs: &'a Catalogue,
        terminology: &Terminology,
        settings: &Settings,
        now: Millis,
    ) -> Self {
        let words = [catalogue.vocabulary(), drugs.vocabulary()];
        let checked = kind == Kind::Drug || words[0].has_rules();
        let (mut flags, mut looks, mut first_unmatched) = (Vec::new(), NEAR_MISSES, None);
        let (mut conditions_understood, mut maybe, mut perhaps) = (true, Vec::new(), Perhaps::default());
        let recorded = |list: &str, written: &str| {
            let recorded = profile.recorded.get(list).and_then(|entries| entries.get(written));
            let (codes, synonyms) = recorded.map(|known| (&known.codes, &known.synonyms)).unzip();
            (codes.into_iter().flatten(), synonyms.into_iter().flatten())
        };
        let read = |list: &str, field: Field, written: &'a str| {
            let (codes, synonyms) = recorded(list, written);
            terminology.understand_coded(field, written, codes, synonyms)
        };
        let mut told = |list: &str, field: Field, written: &str, mut meaning: Meaning| {
            if meaning.known || !checked {
                return meaning;
            }
            let mut unclear = std::mem::take(&mut meaning.unclear);
            if field == Field::Condition {
                unclear = vec![Unclear::of(written, &meaning)];
            }
            // A catalogue knows what its own drugs are called, whatever terms know.
            let known = |unclear: &Unclear| words.iter().any(|words| words.knows(field, &unclear.called));
            for unclear in unclear.iter().filter(|unclear| !known(unclear)) {
                let near = (looks > 0 && !unclear.partly).then(|| {
                    looks -= 1;
                    let more = words.iter().flat_map(|words| words.words(field));
                    terminology.nearest(field, &unclear.text, more)
                });
                let near = near.flatten();
                if let Some(near) = near.filter(|_| field == Field::Condition) {
                    let names = terminology.understand(field, near).broader;
                    maybe.push((written.to_owned(), names.into_iter().collect()));
                }
                if let Some(near) = near {
                    perhaps.add(field, (written, near), drugs, terminology);
                }
                let text = match field == Field::Condition && unclear.partly {
                    true => format!("{list}: {written:?} is understood in part"),
                    false => format!("{list}: {}", not_understood(written, &unclear.text, near)),
                };
                // A condition that no rule mentions rules nothing out; a misspelt one might.
                // It cannot be seen of a code that it was not understood, as it can of words; and the names of some scripts
                // are too short to be very like another.
                let unread = || is_code(written) || terminology.says_nothing_known(written);
                let worth = field != Field::Condition || near.is_some() || unclear.partly || unread();
                conditions_understood &= field != Field::Condition || !worth;
                if worth && !flags.contains(&text) {
                    flags.push(text.clone());
                }
                if field != Field::Condition {
                    first_unmatched.get_or_insert(text);
                }
            }
            meaning
        };
        let trimmed = |list: &'a Option<Vec<String>>| list.iter().flatten().map(|written| written.trim());
        let mut allergies = Vec::new();
        let mut allergic = false;
        for written in trimmed(&profile.allergies) {
            let meaning =
                told("allergies", Field::Allergy, written, read("allergies", Field::Allergy, written));
            let mut allergy = Allergy::of(written, meaning);
            allergic |= !allergy.names.is_empty();
            allergy.names.insert(plain(written));
            allergies.push(allergy);
        }
        let (mut conditions, mut medications) = (Vec::new(), Vec::new());
        for written in trimmed(&profile.conditions) {
            let (codes, synonyms) = recorded("conditions", written);
            let belonging = terminology.belonging(written, codes, synonyms);
            if let Some(meaning) = belonging.allergy {
                let meaning = told("conditions", Field::Allergy, written, meaning);
                allergic = true;
                allergies.push(Allergy::of(written, meaning));
            }
            if let Some(meaning) = belonging.medication {
                let meaning = told("conditions", Field::Medication, written, meaning);
                medications.push(Medication::stated(written, meaning, drugs, terminology));
            }
            if let Some(meaning) = belonging.condition {
                let meaning = told("conditions", Field::Condition, written, meaning);
                conditions.push(Stated::of(written, meaning));
            }
        }
        // What is known among words of lifestyle counts where it belongs; the others are no concern of any rule.
        for written in profile.lifestyle.iter().map(|written| written.trim()) {
            let belonging = terminology.belonging(written, [], []);
            // Who eats fish is not allergic to it.
            let eaten = terminology.is_allergen(written) && !written.to_lowercase().contains("allerg");
            if let Some(meaning) = belonging.allergy.filter(|meaning| meaning.known && !eaten) {
                allergic = true;
                allergies.push(Allergy::of(written, meaning));
            }
            if let Some(meaning) = belonging.medication.filter(|meaning| meaning.known) {
                medications.push(Medication::stated(written, meaning, drugs, terminology));
            }
            let ruled =
                |meaning: &Meaning| words.iter().any(|words| words.knows(Field::Condition, &meaning.names));
            let condition =
                belonging.condition.filter(|meaning| meaning.known || meaning.partly || ruled(meaning));
            conditions.extend(condition.map(|meaning| Stated::of(written, meaning)));
        }
        let noted = medications.len();
        for written in trimmed(&profile.medications) {
            let meaning = read("medications", Field::Medication, written);
            let meaning = told("medications", Field::Medication, written, meaning);
            medications.push(Medication::stated(written, meaning, drugs, terminology));
        }
        let noted = Medication::without_classes(&mut medications, noted);
        let unrecorded = [("allergies", &profile.allergies), ("medications", &profile.medications)];
        let unrecorded = unrecorded.into_iter().find(|(_, list)| list.is_none());
        let unrecorded = unrecorded.map(|(name, _)| format!("{name}: not recorded"));
        let abstains = unrecorded.filter(|_| settings.unknown == Unknown::Abstain);
        let unmatched = first_unmatched.filter(|_| settings.unmatched == Unmatched::Abstain);
        let pregnancy = Key::from("pregnancy");
        let ages = profile.birth_year.map(|year| (year_of(now) - year - 1, year_of(now) - year));
        if let Some(who) = not_pregnant(profile.sex, ages) {
            for condition in &mut conditions {
                if condition.names.remove(&pregnancy) && checked {
                    let written = condition.written;
                    flags.push(format!("conditions: {written:?} does not count as a pregnancy of {who}"));
                }
            }
        }
        let said_pregnant = conditions.iter().any(|condition| condition.names.contains(&pregnancy));
        if !said_pregnant && profile.pregnant == Some(true) {
            let names = Keys::from_iter([Key::clone(&pregnancy)]);
            conditions.push(Stated { written: "pregnancy", names, values: Vec::new() });
        }
        let pregnant = if said_pregnant { Some(true) } else { profile.pregnant };
        // What age and sex alone say is no concern: everybody has both.
        let concerned = pregnant == Some(true)
            || conditions
                .iter()
                .any(|stated| stated.names.iter().any(|name| words[1].is_about_condition(name)));
        for (code, written, applies) in circumstances(profile.sex, ages, pregnant) {
            if applies {
                let names = terminology.understand(Field::Condition, code).names;
                conditions.push(Stated { written, names: names.into_iter().collect(), values: Vec::new() });
            }
        }
        Self {
            profile,
            allergies,
            conditions,
            medications,
            noted,
            pregnant,
            ages,
            strict: kind == Kind::Drug && settings.unknown == Unknown::Abstain,
            wary: kind == Kind::Drug && settings.unmatched == Unmatched::Abstain,
            abstains: abstains.or(unmatched).filter(|_| kind == Kind::Drug),
            conditions_understood,
            maybe,
            perhaps,
            allergic,
            concerned,
            drugs: drugs.vocabulary(),
            flags,
        }
    }

    /// What of the profile could not be checked, in words.
    pub fn flags(&self) -> &[String] {
        &self.flags
    }

    /// Why no item at all can be recommended, if so.
    pub fn abstains(&self) -> Option<&str> {
        self.abstains.as_deref()
    }

    /// Whether any rule could speak against the item: a quick look before the thorough one.
    pub fn may_exclude(&self, entry: &Entry) -> bool {
        self.may_exclude_unruled() || entry.restricted
    }

    /// The same of an item that has no rules.
    pub fn may_exclude_unruled(&self) -> bool {
        self.strict
            || self.wary
            || self.abstains.is_some()
            || !self.allergies.is_empty()
            || !self.medications.is_empty()
    }

    /// Why the item (by number, of the drugs' catalogue if it is a drug) is wrong for this
    /// person, or `None` if no rule speaks against it.
    pub fn excludes(&self, number: u32, entry: &'a Entry) -> Option<Reason> {
        let worst = self.allergies(entry).filter(severe).min_by_key(|(severity, _)| *severity);
        worst
            .or_else(|| self.conditions(entry).filter(severe).min_by_key(|(severity, _)| *severity))
            .map(|(_, reason)| reason)
            .or_else(|| self.interaction(entry))
            .or_else(|| {
                let found = self.medications.iter().find_map(|taken| taken.duplicate(number, entry));
                found.map(|(_, reason)| reason)
            })
            .or_else(|| self.perhaps.against(number, entry).next().map(|(.., reason)| reason))
            .or_else(|| self.circumstances(entry))
    }

    /// What is to be heeded when the item is given to this person.
    pub fn cautions(&self, entry: &'a Entry) -> Vec<String> {
        let stated = self.allergies(entry).chain(self.conditions(entry));
        let stated = stated.filter(|found| !severe(found)).map(|(_, reason)| reason.told());
        let taken = self.medications.iter().filter_map(|medication| medication.caution(entry));
        let unknown = self.not_described(entry).filter(|_| !unknown::is_withheld(entry));
        stated.chain(taken).chain(unknown).collect()
    }

    /// What is to be heeded when the item is given to this person beside these; `None` where more speaks
    /// against it than a caution, where it is the same as one of these or of the class of one, or where it is not known what has
    /// to be known: a condition that is not understood may be what speaks against it. What it is for is not asked.
    pub fn heeding(&self, number: u32, entry: &'a Entry, beside: &[&Medication<'a>]) -> Option<Vec<String>> {
        let others = beside.iter().flat_map(|other| other.findings(number, entry));
        let found: Vec<_> = self.findings(number, entry).into_iter().chain(others).collect();
        let no_more = |(concern, severity, _): &(Concern, Severity, Reason)| {
            *severity == Severity::Caution && *concern != Concern::Duplicate
        };
        let known = self.unknown(entry).or_else(|| self.not_described(entry)).is_none();
        let safe = found.iter().all(no_more) && self.conditions_understood && known;
        safe.then(|| found.into_iter().map(|(.., reason)| reason.told()).collect())
    }

    /// Whether the person has this condition.
    pub fn has(&self, condition: &Key) -> bool {
        self.conditions.iter().any(|stated| stated.names.contains(condition))
    }

    /// All that speaks against the item for this person, or is to be heeded; what is not recorded says
    /// nothing here.
    pub fn findings(&self, number: u32, entry: &'a Entry) -> Vec<(Concern, Severity, Reason)> {
        let of = |concern: Concern| move |(severity, reason)| (concern, severity, reason);
        let plain = |concern: Concern, severity: Severity| {
            move |text: String| (concern, severity, Reason::plain(text))
        };
        let mut findings: Vec<_> = self.allergies(entry).map(of(Concern::Allergy)).collect();
        findings.extend(self.conditions(entry).map(of(Concern::Condition)));
        // A class that a list of problems says to be taken may be this very drug.
        let itself = |at: usize, taken: &Medication<'_>| at < self.noted && taken.is_class_of(&entry.called);
        let taken = self.medications.iter().enumerate().filter(|(at, taken)| !itself(*at, taken));
        findings.extend(taken.flat_map(|(_, medication)| medication.findings(number, entry)));
        findings.extend(self.perhaps.against(number, entry));
        findings.extend(self.pregnancy(entry).map(plain(Concern::Pregnancy, Severity::Contraindicated)));
        findings.extend(self.sex(entry).map(plain(Concern::Sex, Severity::Serious)));
        findings.extend(self.age(entry).map(plain(Concern::Age, Severity::Serious)));
        findings
    }

    /// What speaks against it of each allergy: none hides another.
    fn allergies<'s>(&'s self, entry: &'s Entry) -> impl Iterator<Item = (Severity, Reason)> + 's {
        self.allergies.iter().filter_map(|allergy| allergy.against(entry))
    }

    /// The most severe rule about each condition.
    fn conditions<'s>(&'s self, entry: &'s Entry) -> impl Iterator<Item = (Severity, Reason)> + 's {
        self.conditions.iter().filter_map(|stated| {
            let about = |rule: &&Rule| rule.is_about(&stated.names, &stated.values);
            let rule = entry.conditions.iter().filter(about).min_by_key(|rule| rule.severity)?;
            Some((rule.severity, Reason::of(format!("condition: {}", stated.written), Some(rule))))
        })
    }

    fn interaction(&self, entry: &'a Entry) -> Option<Reason> {
        let found = self.medications.iter().filter_map(|medication| medication.interaction(entry));
        found.filter(severe).min_by_key(|(severity, _)| *severity).map(|(_, reason)| reason)
    }

    fn circumstances(&self, entry: &Entry) -> Option<Reason> {
        let reason = self.pregnancy(entry).or_else(|| self.sex(entry)).or_else(|| self.age(entry));
        let reason = reason.or_else(|| self.unknown(entry)).or_else(|| self.indication(entry));
        reason.map(Reason::plain)
    }

    fn pregnancy(&self, entry: &Entry) -> Option<String> {
        let pregnant = entry.item.contraindications.pregnancy && self.pregnant == Some(true);
        pregnant.then(|| "pregnancy".to_owned())
    }

    fn sex(&self, entry: &Entry) -> Option<String> {
        let meant = entry.item.contraindications.sex?;
        let other = self.profile.sex.is_some_and(|sex| sex != meant);
        other.then(|| format!("sex: for {} only", meant.as_str()))
    }

    fn age(&self, entry: &Entry) -> Option<String> {
        let (youngest, oldest) = self.ages?;
        let rules = &entry.item.contraindications;
        match (rules.min_age, rules.max_age) {
            (Some(min), _) if youngest < i32::from(min) => Some(format!("age: under {min}")),
            (_, Some(max)) if oldest > i32::from(max) => Some(format!("age: over {max}")),
            _ => None,
        }
    }

    fn indication(&self, entry: &Entry) -> Option<String> {
        // Unknown conditions are not none; where that is allowed, they may be any.
        if entry.indications.is_empty() || self.profile.conditions.is_none() {
            return None;
        }
        let has = self
            .conditions
            .iter()
            .any(|condition| entry.indications.iter().any(|name| condition.names.contains(name)));
        let wanted = &entry.item.contraindications.indications;
        (!has).then(|| format!("indication: none recorded of {}", wanted.join(", ")))
    }
}

/// Of whom a text about a pregnancy is not, whatever its words: a man, or whoever is surely over 60.
fn not_pregnant(sex: Option<Sex>, ages: Option<(i32, i32)>) -> Option<&'static str> {
    match (sex, ages) {
        (Some(Sex::Male), _) => Some("a man"),
        (_, Some((youngest, _))) if youngest > 60 => Some("a person over 60"),
        _ => None,
    }
}

/// What age and sex say of a person that a rule can be about as it is about a condition: its code in rules, its words, and
/// whether it holds. Of a year of birth, from the earliest to the latest day on which it can hold.
fn circumstances(
    sex: Option<Sex>,
    ages: Option<(i32, i32)>,
    pregnant: Option<bool>,
) -> [(&'static str, &'static str, bool); 2] {
    let (youngest, oldest) = ages.unwrap_or((i32::MAX, i32::MIN));
    let fertile = sex == Some(Sex::Female) && oldest >= 12 && youngest <= 50 && pregnant != Some(true);
    [
        (OLDER_ADULT, "65 years of age or older", oldest >= 65),
        (CHILDBEARING, "may become pregnant (by sex and age)", fertile),
    ]
}

/// That words are not understood, or not wholly, and what may have been meant. `written` is by what people know the entry or
/// the order that they are of.
pub fn not_understood(written: &str, words: &str, near: Option<&str>) -> String {
    let beside = if words == written { String::new() } else { format!(" (beside {written:?})") };
    match near {
        Some(near) => format!("{words:?}{beside} is not understood; did you mean {near:?}?"),
        None => format!("{words:?}{beside} is not understood"),
    }
}

fn severe((severity, _): &(Severity, Reason)) -> bool {
    *severity != Severity::Caution
}
