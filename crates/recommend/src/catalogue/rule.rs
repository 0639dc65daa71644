//! Rules of an item: what each is about, and what is to be done where nobody understands its words. They are held to what
//! the words of a person's lists are held to: an allergy or a drug that is not understood may be any, a condition that is
//! not understood is compared by its name, and one that is very like a known one may be that. [`flags`] tells whoever writes
//! the item.

use std::collections::BTreeSet;

use crate::data::{Contraindications, Item, Kind, Severity, Subject};
use crate::terminology::{Bound, Field, Key, Keys, Meaning, RuleMeaning, Terminology, Value, is_code, plain};

/// The name of the condition that an item's `pregnancy` is about.
pub(super) const PREGNANCY: &str = "pregnancy";

/// What rules call somebody of whom age and sex say that much, as if it were a condition.
pub const OLDER_ADULT: &str = "older adult";
pub const CHILDBEARING: &str = "childbearing potential";

/// What interacts with drugs and is none: a rule about it is about nothing that a list of medications holds.
const NO_DRUG: [&str; 12] = [
    "alcohol",
    "ethanol",
    "grapefruit",
    "grapefruit juice",
    "food",
    "dairy",
    "milk",
    "tyramine",
    "tobacco",
    "smoking",
    "sunlight",
    "contrast",
];

/// Most of the words of one item that are told to be not understood: each is compared with all known ones.
const MOST_FLAGS: usize = 50;

/// A rule of an item: what it is about, and how much it matters.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it is about, as its list in a profile is compared with it.
    pub names: BTreeSet<Key>,
    /// What its words mean, without what is broader: a rule about a class is about all that is of it.
    pub itself: BTreeSet<Key>,
    /// Those and what is broader: a rule about one of these says no less.
    pub broader: BTreeSet<Key>,
    /// Of a condition: the bounds beyond which measured values are what it is about.
    pub bounds: Vec<Bound>,
    pub severity: Severity,
    /// Whether the item itself says how severe it is.
    pub graded: bool,
    /// What happens, in words for people.
    pub note: String,
    /// Where the rule comes from, if that is said.
    pub source: String,
    /// That its words are not understood, where they are not.
    pub doubt: Option<Doubt>,
}

/// Words of an item that are not understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    pub written: String,
    /// By what a catalogue may know them all the same.
    pub called: Key,
    /// Whether some of them are understood.
    pub partly: bool,
    /// The known word that is very like them.
    pub near: Option<String>,
    /// What that means.
    pub maybe: BTreeSet<Key>,
}

impl Doubt {
    /// What is not understood of these words, which mean this.
    fn of(field: Field, written: &str, meant: &RuleMeaning, terminology: &Terminology) -> Option<Self> {
        let RuleMeaning { meaning, bounds } = meant;
        if meaning.known && !meaning.names.is_empty() || !bounds.is_empty() {
            return None;
        }
        let called = plain(written);
        let plain_words = match field {
            Field::Allergy => false,
            Field::Condition => [OLDER_ADULT, CHILDBEARING].contains(&&*called),
            Field::Medication => NO_DRUG.contains(&&*called) || terminology.is_allergen(written),
        };
        if plain_words {
            return None;
        }
        let partly = meaning.partly;
        Some(Self { written: written.to_owned(), called, partly, near: None, maybe: BTreeSet::new() })
    }

    /// The same with the known word that is very like it, if there is one.
    fn looked_for(mut self, field: Field, terminology: &Terminology) -> Self {
        if !self.partly && !is_code(&self.written) {
            self.near = terminology.nearest_term(field, &self.written);
            let maybe = self.near.as_deref().map(|near| terminology.understand(field, near).names);
            self.maybe = maybe.unwrap_or_default();
        }
        self
    }

    /// That the name of a class is very like a known one: one that is not is the hospital's own.
    pub(super) fn of_class(written: &str, terminology: &Terminology) -> Option<Self> {
        let meant = terminology.understand_rule(Field::Medication, written);
        let doubt = Self::of(Field::Medication, written, &meant, terminology)?;
        Some(doubt.looked_for(Field::Medication, terminology)).filter(|doubt| doubt.near.is_some())
    }

    /// The same in words.
    pub fn told(&self) -> String {
        match self.partly {
            true => format!("{:?} is understood in part", self.written),
            false => crate::filters::not_understood(&self.written, &self.written, self.near.as_deref()),
        }
    }
}

/// The list in which what a rule is about stands.
fn field(subject: Subject) -> Field {
    match subject {
        Subject::Allergy => Field::Allergy,
        Subject::Condition => Field::Condition,
        Subject::Medication => Field::Medication,
    }
}

fn listed(rules: &Contraindications, subject: Subject) -> (&'static str, &[String]) {
    match subject {
        Subject::Allergy => ("allergies", &rules.allergies),
        Subject::Condition => ("conditions", &rules.conditions),
        Subject::Medication => ("interacts_with", &rules.interacts_with),
    }
}

impl Rule {
    /// All of an item's rules about this.
    pub(super) fn all(listed: &Contraindications, subject: Subject, terminology: &Terminology) -> Vec<Self> {
        let (_, codes) = self::listed(listed, subject);
        let plain = codes.iter().map(|code| Self::of(subject, code, terminology));
        let graded = listed.rules.iter().filter(|rule| rule.about == subject).map(|rule| Self {
            severity: rule.severity,
            graded: true,
            note: rule.note.clone(),
            source: rule.source.clone(),
            ..Self::of(subject, &rule.code, terminology)
        });
        plain.chain(graded).collect()
    }

    fn of(subject: Subject, code: &str, terminology: &Terminology) -> Self {
        let meant = terminology.understand_rule(field(subject), code);
        let doubt = Doubt::of(field(subject), code, &meant, terminology);
        // Of a condition it matters which may be meant; an allergy or a drug may be any.
        let doubt = match subject {
            Subject::Condition => doubt.map(|doubt| doubt.looked_for(Field::Condition, terminology)),
            _ => doubt,
        };
        let RuleMeaning { meaning: Meaning { names: itself, broader, groups, .. }, bounds } = meant;
        let names = match subject {
            // Who is allergic to penicillins is allergic to what amoxicillin is in.
            Subject::Allergy => broader.iter().cloned().chain(groups).collect(),
            _ => itself.clone(),
        };
        let (note, source) = (String::new(), String::new());
        Self {
            names,
            itself,
            broader,
            bounds,
            severity: Severity::Contraindicated,
            graded: false,
            note,
            source,
            doubt,
        }
    }

    /// A rule about pregnancy.
    pub(super) fn about_pregnancy(severity: Severity) -> Self {
        let names = BTreeSet::from([Key::from(PREGNANCY)]);
        let (note, source) = (String::new(), String::new());
        let (itself, broader) = (names.clone(), names.clone());
        let bounds = Vec::new();
        Self { names, itself, broader, bounds, severity, graded: false, note, source, doubt: None }
    }

    /// Whether it is about what somebody has who has what is called so, and of whom these values were measured.
    pub fn is_about(&self, names: &Keys, values: &[Value]) -> bool {
        self.names.iter().any(|name| names.contains(name))
            || self.bounds.iter().any(|bound| bound.holds(values))
    }
}

/// The words of an item that are not understood, each by its place in it: they are compared as they are written, and what is
/// said of that in the answers may be said to whoever writes the item.
pub fn flags(item: &Item, terminology: &Terminology, catalogued: impl Fn(&Key) -> bool) -> Vec<String> {
    let rules = &item.contraindications;
    let mut flags = Vec::new();
    let mut look = |place: String, field: Field, written: &str, near_only: bool| {
        if flags.len() == MOST_FLAGS {
            return;
        }
        let meant = terminology.understand_rule(field, written);
        let doubt = Doubt::of(field, written, &meant, terminology);
        let Some(doubt) = doubt.filter(|doubt| field == Field::Condition || !catalogued(&doubt.called))
        else {
            return;
        };
        let doubt = doubt.looked_for(field, terminology);
        if doubt.near.is_some() || !near_only {
            flags.push(format!("{place}: {}", doubt.told()));
        }
    };
    for subject in [Subject::Allergy, Subject::Condition, Subject::Medication] {
        let (list, codes) = listed(rules, subject);
        for (i, code) in codes.iter().enumerate() {
            look(format!("/contraindications/{list}/{i}"), field(subject), code, false);
        }
    }
    for (i, rule) in rules.rules.iter().enumerate() {
        look(format!("/contraindications/rules/{i}/code"), field(rule.about), &rule.code, false);
    }
    for (i, indication) in rules.indications.iter().enumerate() {
        look(format!("/contraindications/indications/{i}"), Field::Condition, indication, false);
    }
    if let Some(class) = &rules.therapeutic_class {
        look("/contraindications/therapeutic_class".to_owned(), Field::Medication, class, true);
    }
    if item.kind == Kind::Drug && super::Entry::new(item.clone(), terminology).blank {
        flags.push(format!(
            "/name: {:?} is not understood, and without rules it is recommended with a caution to whoever has an allergy, takes a drug or has a condition that rules are about",
            item.name
        ));
    }
    flags
}
