//! Allergies of a person, against a drug: what it is, what is in it, what is of a class or a group with that, and what the person
//! tolerates all the same.

use std::collections::BTreeSet;

use super::Reason;
use crate::catalogue::{Entry, Rule};
use crate::data::Severity;
use crate::terminology::{Key, Keys, Meaning};

/// An allergy: as it is written, and what drugs and their rules are compared with.
pub(super) struct Allergy<'a> {
    written: &'a str,
    pub(super) names: Keys,
    /// Those and all classes they are of: a rule about a class is about who is allergic to a drug of it.
    classes: BTreeSet<Key>,
    /// The single words of those that are several and that no term explains.
    single_words: BTreeSet<Key>,
    /// What it says that the person tolerates.
    tolerated: BTreeSet<Key>,
}

impl<'a> Allergy<'a> {
    pub(super) fn of(written: &'a str, mut meaning: Meaning) -> Self {
        let single_words = std::mem::take(&mut meaning.single_words);
        let tolerated = std::mem::take(&mut meaning.tolerated);
        let classes = std::mem::take(&mut meaning.broader);
        Self { written, names: meaning.allergens().collect(), classes, single_words, tolerated }
    }

    /// Whether it is to this very drug, or to something in it, of its class or of a group with it. A single word of
    /// several is compared only with what is that one word: many texts have words in common.
    fn is_to(&self, entry: &Entry) -> bool {
        self.names.iter().any(|name| entry.allergens.contains(name) || entry.single_words.contains(name))
            || self.single_words.iter().any(|word| entry.unexplained.contains(word))
    }

    /// Whether it says that the person tolerates all that is in the drug.
    fn tolerates(&self, entry: &Entry) -> bool {
        let substances = &entry.substances;
        // Who tolerates the others of a class may be allergic to the very one.
        let class = substances.len() == 1
            && substances.iter().all(|substance| !self.names.contains(substance))
            && self.tolerated.iter().any(|name| entry.called.contains(name));
        !substances.is_empty() && (class || substances.is_subset(&self.tolerated))
    }

    pub(super) fn against(&self, entry: &Entry) -> Option<(Severity, Reason)> {
        let text = || format!("allergy: {}", self.written);
        let (severity, reason) = match self.is_to(entry) {
            true => (Severity::Contraindicated, Reason::plain(text())),
            false => {
                let about = |rule: &&Rule| {
                    rule.names.iter().any(|name| self.names.contains(name))
                        || !rule.itself.is_disjoint(&self.classes)
                };
                let rule = entry.allergies.iter().filter(about).min_by_key(|rule| rule.severity)?;
                (rule.severity, Reason::of(text(), Some(rule)))
            }
        };
        // What is said of it is told all the same: whoever orders may know better.
        let tolerated = severity != Severity::Caution && self.tolerates(entry);
        Some(if tolerated { (Severity::Caution, Reason::plain(text())) } else { (severity, reason) })
    }
}
