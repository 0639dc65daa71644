//! Safety before rank: for whom an item is wrong, decided before the best are chosen, so that an
//! unsafe item can neither be recommended nor push a safe one out.
//!
//! Rules, in the order they are looked at; the first that applies gives the reason:
//!
//! 1. `allergy`: the item lists one of the person's allergies, or is itself called so (by id,
//!    name or class)
//! 2. `condition`: the item lists one of the person's conditions
//! 3. `interaction`: the item lists one of the person's medications (as written, or as a drug of
//!    the catalogue is called by id, name or class), or such a drug lists the item; a medication
//!    given as a class may be any drug of that class
//! 4. `duplicate therapy`: the person takes the item already (unless it is repeatable, as a
//!    refill is) or another drug of its class
//! 5. `pregnancy`: the person is pregnant and the item is ruled out then
//! 6. `age`: the person may be younger or older than the item is meant for (only the year of
//!    birth is known, so a person is taken to be of either age possible this year)
//! 7. unknown: for drugs, what is *not recorded* is not taken as harmless. Without recorded
//!    allergies and medications no drug passes; without recorded conditions, pregnancy or year
//!    of birth none does that has a rule about it. Configuration can allow the unknown.
//!
//! A code of the profile that nothing in the catalogue could match is not dropped in silence:
//! [`Patient::flags`] names it. For drugs that holds even where no drug has any rule; for other
//! kinds only where there are rules to check, and not for a code that the drugs know, since that
//! one is spelt well and simply has nothing to do with, say, advice.

use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Code, Entry, Vocabulary};
use super::clock::year_of;
use super::data::{Kind, Millis, Profile, Sex};

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

/// A drug the person takes: the code in the profile and what the catalogue knows under it.
struct Medication<'a> {
    code: Code,
    /// The drugs called so, by number.
    entries: Vec<(u32, &'a Entry)>,
    /// The drugs of the class called so: the person takes one of them, it is not known which.
    members: Vec<&'a Entry>,
}

/// A person as the rules see one, made once for each request.
pub struct Patient<'a> {
    profile: &'a Profile,
    allergies: Vec<Code>,
    conditions: Vec<Code>,
    medications: Vec<Medication<'a>>,
    /// The youngest and the oldest the person can be this year.
    ages: Option<(i32, i32)>,
    /// Whether the unknown rules anything out.
    strict: bool,
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
        unknown: Unknown,
        now: Millis,
    ) -> Self {
        let codes = |list: &Option<Vec<String>>| Code::all(list.as_deref().unwrap_or_default());
        let resolve = |code: Code| {
            let entry = |&number: &u32| Some((number, drugs.get(number)?.as_ref()));
            let entries = drugs.vocabulary().items_called(&code).iter().filter_map(entry).collect();
            let members = drugs.vocabulary().items_of_class(&code).iter().filter_map(entry);
            Medication { entries, members: members.map(|(_, drug)| drug).collect(), code }
        };
        let mut patient = Self {
            profile,
            allergies: codes(&profile.allergies),
            conditions: codes(&profile.conditions),
            medications: codes(&profile.medications).into_iter().map(resolve).collect(),
            ages: profile.birth_year.map(|year| (year_of(now) - year - 1, year_of(now) - year)),
            strict: kind == Kind::Drug && unknown == Unknown::Abstain,
            flags: Vec::new(),
        };
        let words = [catalogue.vocabulary(), drugs.vocabulary()];
        if kind == Kind::Drug || words[0].has_rules() {
            let mut flags = Vec::new();
            let mut look = |list: &str, code: &Code, knows: fn(&Vocabulary, &Code) -> bool| {
                if !words.iter().any(|words| knows(words, code)) {
                    let code = &code.written;
                    flags.push(format!(
                        "{list}: {code:?} matches nothing in the catalogue and was not checked"
                    ));
                }
            };
            for code in &patient.allergies {
                look("allergies", code, Vocabulary::knows_allergy);
            }
            for code in &patient.conditions {
                look("conditions", code, Vocabulary::knows_condition);
            }
            for medication in &patient.medications {
                look("medications", &medication.code, Vocabulary::knows_medication);
            }
            patient.flags = flags;
        }
        patient
    }

    /// Codes of the profile that could not be checked, in words.
    pub fn flags(&self) -> &[String] {
        &self.flags
    }

    /// Why no item at all can be recommended, if so.
    pub fn abstains(&self) -> Option<&'static str> {
        if !self.strict {
            None
        } else if self.profile.allergies.is_none() {
            Some("allergies: not recorded")
        } else if self.profile.medications.is_none() {
            Some("medications: not recorded")
        } else {
            None
        }
    }

    /// Whether any rule could speak against the item: a quick look before the thorough one.
    pub fn may_exclude(&self, entry: &Entry) -> bool {
        self.strict || entry.restricted || !self.allergies.is_empty() || !self.medications.is_empty()
    }

    /// Why the item (by number, of the drugs' catalogue if it is a drug) is wrong for this
    /// person, or `None` if no rule speaks against it.
    pub fn excludes(&self, number: u32, entry: &Entry) -> Option<String> {
        self.allergy(entry)
            .or_else(|| self.condition(entry))
            .or_else(|| self.interaction(entry))
            .or_else(|| self.duplicate(number, entry))
            .or_else(|| self.pregnancy(entry))
            .or_else(|| self.age(entry))
            .or_else(|| self.unknown(entry))
    }

    fn allergy(&self, entry: &Entry) -> Option<String> {
        let listed =
            |code: &&Code| entry.allergies.iter().chain(entry.called()).any(|c| c.normal == code.normal);
        self.allergies.iter().find(listed).map(|code| format!("allergy: {}", code.written))
    }

    fn condition(&self, entry: &Entry) -> Option<String> {
        let listed = |code: &&Code| entry.conditions.iter().any(|c| c.normal == code.normal);
        self.conditions.iter().find(listed).map(|code| format!("condition: {}", code.written))
    }

    fn interaction(&self, entry: &Entry) -> Option<String> {
        let clashes = |medication: &&Medication<'_>| {
            let lists = |code: &Code| entry.interacts_with.iter().any(|c| c.normal == code.normal);
            let listed = |other: &Entry| {
                let calls = |code: &Code| entry.called().any(|c| c.normal == code.normal);
                other.interacts_with.iter().any(calls)
            };
            let mut taken = medication.entries.iter().map(|(_, drug)| drug).chain(&medication.members);
            lists(&medication.code) || taken.any(|drug| drug.called().any(lists) || listed(drug))
        };
        let found = self.medications.iter().find(clashes)?;
        Some(format!("interaction: {}", found.code.written))
    }

    fn duplicate(&self, number: u32, entry: &Entry) -> Option<String> {
        let same_class = |class: &Option<Code>| match (class, &entry.class) {
            (Some(a), Some(b)) => a.normal == b.normal,
            _ => false,
        };
        for medication in &self.medications {
            let written = &medication.code.written;
            let is_drug = entry.item.kind == Kind::Drug;
            let itself = is_drug && medication.entries.iter().any(|&(n, _)| n == number);
            if itself {
                if entry.item.repeatable {
                    continue;
                }
                return Some(format!("duplicate therapy: already taking {written}"));
            }
            let by_class = entry.class.as_ref().is_some_and(|c| c.normal == medication.code.normal);
            if by_class || medication.entries.iter().any(|(_, drug)| same_class(&drug.class)) {
                let class = entry.class.as_ref().map_or("", |class| class.written.as_str());
                return Some(format!("duplicate therapy: {class} (already taking {written})"));
            }
        }
        None
    }

    fn pregnancy(&self, entry: &Entry) -> Option<String> {
        let ruled_out = entry.item.contraindications.pregnancy;
        (ruled_out && self.profile.pregnant == Some(true)).then(|| "pregnancy".to_owned())
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

    fn unknown(&self, entry: &Entry) -> Option<String> {
        if !self.strict {
            return None;
        }
        let rules = &entry.item.contraindications;
        let may_be_pregnant = self.profile.pregnant.is_none()
            && self.profile.sex != Some(Sex::Male)
            && self.ages.is_none_or(|(youngest, oldest)| oldest >= 10 && youngest <= 60);
        let reason = if let Some(reason) = self.abstains() {
            reason
        } else if self.profile.conditions.is_none() && !entry.conditions.is_empty() {
            "conditions: not recorded"
        } else if rules.pregnancy && may_be_pregnant {
            "pregnancy: not recorded"
        } else if self.ages.is_none() && (rules.min_age.is_some() || rules.max_age.is_some()) {
            "birth_year: not recorded"
        } else {
            return None;
        };
        Some(reason.to_owned())
    }
}
