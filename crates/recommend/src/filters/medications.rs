//! Drugs that a person takes, or that are recommended beside others, against a drug: what interacts with them, and what is the
//! same once more.

use std::collections::{BTreeSet, HashSet};

use super::{Concern, Reason};
use crate::catalogue::{Catalogue, Entry, Rule};
use crate::data::{Item, Kind, Severity};
use crate::terminology::{Key, Meaning, plain};

/// A drug that is taken, or recommended beside others.
pub struct Medication<'a> {
    written: String,
    /// The substances, or the class, meant.
    names: BTreeSet<Key>,
    /// What of its words no term explains.
    unexplained: BTreeSet<Key>,
    /// The single words of those that are several.
    single_words: BTreeSet<Key>,
    /// What it can be called in rules: those, their classes, and what the catalogue calls it.
    own: HashSet<Key>,
    /// The drugs of the catalogue that it is, by number.
    entries: Vec<(u32, &'a Entry)>,
    /// Where it is a class: the drugs of it, of which it may be any.
    members: Vec<&'a Entry>,
    /// The items that are named for a class that it is of, or may be of.
    classes: Vec<&'a Entry>,
}

impl<'a> Medication<'a> {
    pub fn stated(written: &str, meaning: Meaning, drugs: &'a Catalogue) -> Self {
        let mut names = meaning.names;
        let (unexplained, single_words) = (meaning.unexplained, meaning.single_words);
        let mut classes: Vec<&Entry> = drugs.of_classes(&meaning.broader).collect();
        let mut own: HashSet<Key> = meaning.broader.into_iter().collect();
        own.extend(unexplained.iter().chain(&single_words).cloned());
        let (mut entries, mut members) = (Vec::new(), Vec::new());
        let called = plain(written);
        let wanted: BTreeSet<&Key> = names.iter().chain([&called]).collect();
        let numbers = wanted.iter().flat_map(|&name| drugs.vocabulary().items_called(name));
        for &number in numbers.collect::<BTreeSet<_>>() {
            let Some(entry) = drugs.get(number) else { continue };
            if entry.is_rule() {
                classes.push(entry.as_ref());
                continue;
            }
            let named = [&entry.item.item_id, &entry.item.name].into_iter().any(|name| plain(name) == called);
            if named || entry.substances.is_subset(&names) {
                entries.push((number, entry.as_ref()));
            } else if names.iter().any(|name| entry.called.contains(name) && !entry.substances.contains(name))
            {
                members.push(entry.as_ref());
            }
        }
        for (_, entry) in &entries {
            own.extend(entry.called.iter().cloned());
            names.extend(entry.substances.iter().cloned());
        }
        Self { written: written.to_owned(), names, unexplained, single_words, own, entries, members, classes }
    }

    /// A drug that is ordered at the same time.
    pub fn ordered(item: &Item, meaning: Meaning, drugs: &'a Catalogue) -> Self {
        Self { written: format!("{} (ordered too)", item.name), ..Self::stated(&item.name, meaning, drugs) }
    }

    /// A drug of the catalogue that is suggested for another order.
    pub fn suggested(item: &Item, meaning: Meaning, drugs: &'a Catalogue) -> Self {
        let written = format!("{} (suggested too)", item.name);
        Self { written, ..Self::stated(&item.name, meaning, drugs) }
    }

    /// Whether the catalogue has it by this very name, and knows what it is.
    pub fn is_catalogued(&self, name: &str) -> bool {
        let called = plain(name);
        self.entries.iter().filter(|(_, entry)| !entry.unclear).any(|(_, entry)| {
            [&entry.item.item_id, &entry.item.name].into_iter().any(|own| plain(own) == called)
        })
    }

    /// Where it is a class: the drugs of it that the catalogue has.
    pub fn members(&self) -> &[&'a Entry] {
        &self.members
    }

    /// The drugs of the catalogue that it is.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &'a Entry)> {
        self.entries.iter().copied()
    }

    /// What speaks against the item beside this one, each with how much it matters.
    pub fn findings(&self, number: u32, entry: &'a Entry) -> Vec<(Concern, Severity, Reason)> {
        let interaction = self.interaction(entry);
        let interaction = interaction.map(|(severity, reason)| (Concern::Interaction, severity, reason));
        let duplicate = self.duplicate(number, entry);
        let duplicate = duplicate.map(|reason| (Concern::Duplicate, Severity::Serious, reason));
        interaction.into_iter().chain(duplicate).collect()
    }

    /// A drug that stands in an answer, beside which others must be safe.
    pub fn recommended(number: u32, entry: &'a Entry) -> Self {
        Self {
            written: format!("{}, recommended above", entry.item.name),
            names: entry.substances.clone(),
            unexplained: entry.unexplained.clone(),
            single_words: entry.single_words.clone(),
            own: entry.called.clone(),
            entries: vec![(number, entry)],
            members: Vec::new(),
            classes: Vec::new(),
        }
    }

    /// The most severe rule about the two together, on either side. Where a rule says how severe it is, those that only
    /// name the other are no more severe for that.
    fn clash(&self, entry: &'a Entry) -> Option<&'a Rule> {
        let taken = || self.entries.iter().map(|&(_, drug)| drug).chain(self.members.iter().copied());
        let is_this = |name: &Key| self.own.contains(name) || taken().any(|drug| drug.called.contains(name));
        let theirs = entry.partners.iter().filter(|rule| rule.names.iter().any(is_this));
        let own = taken().chain(self.classes.iter().copied()).flat_map(|drug| &drug.partners);
        let is_that = |name: &Key| {
            [&entry.unexplained, &entry.single_words].iter().any(|words| words.contains(name))
                || entry.called.contains(name)
        };
        let own = own.filter(|rule| rule.names.iter().any(is_that));
        // The graded first, and of those the most severe.
        theirs.chain(own).min_by_key(|rule| (!rule.graded, rule.severity))
    }

    pub(super) fn interaction(&self, entry: &'a Entry) -> Option<(Severity, Reason)> {
        // A rule between members of a class is none between a drug and itself.
        if self.names == entry.substances {
            return None;
        }
        let rule = self.clash(entry)?;
        Some((rule.severity, Reason::of(format!("interaction: {}", self.written), Some(rule))))
    }

    pub(super) fn duplicate(&self, number: u32, entry: &Entry) -> Option<Reason> {
        if entry.item.kind != Kind::Drug {
            return None;
        }
        let written = &self.written;
        let itself = self.entries.iter().any(|&(n, _)| n == number);
        if itself && entry.item.repeatable {
            return None;
        }
        let same = !self.names.is_disjoint(&entry.substances)
            || [&entry.unexplained, &entry.single_words].iter().any(|words| !self.names.is_disjoint(words))
            || [&self.unexplained, &self.single_words]
                .iter()
                .any(|words| !words.is_disjoint(&entry.substances));
        if itself || same {
            return Some(Reason::plain(format!("duplicate therapy: already taking {written}")));
        }
        let theirs = || self.entries.iter().flat_map(|(_, drug)| &drug.therapeutic);
        let class = entry.therapeutic.iter().find(|class| self.own.contains(*class));
        let class = class.or_else(|| theirs().find(|class| entry.called.contains(*class)))?;
        let called = entry.item.contraindications.therapeutic_class.as_deref();
        let class = called.filter(|called| plain(called) == *class).unwrap_or(class).trim();
        Some(Reason::plain(format!("duplicate therapy: {class} (already taking {written})")))
    }

    /// Whether it is a class, or several, of what can be called by these names.
    pub(super) fn is_class_of(&self, called: &HashSet<Key>) -> bool {
        self.entries.is_empty() && self.names.iter().all(|name| called.contains(name))
    }

    /// Takes away those of the first `noted` that are the class of a later one: "long term use of anticoagulants" is no second
    /// drug beside warfarin. How many of the first are left.
    pub(super) fn without_classes(medications: &mut Vec<Self>, noted: usize) -> usize {
        let listed = medications.split_off(noted);
        medications.retain(|noted| !listed.iter().any(|drug| noted.is_class_of(&drug.own)));
        let left = medications.len();
        medications.extend(listed);
        left
    }

    /// Whether any rule is about the two together.
    pub fn interacts(&self, entry: &'a Entry) -> bool {
        self.interaction(entry).is_some()
    }

    /// Why the item must not stand beside this one, if so.
    pub fn excludes(&self, number: u32, entry: &'a Entry) -> Option<Reason> {
        let interaction = self.interaction(entry).filter(|(severity, _)| *severity != Severity::Caution);
        interaction.map(|(_, reason)| reason).or_else(|| self.duplicate(number, entry))
    }

    /// What is to be heeded of the two together, if anything.
    pub fn caution(&self, entry: &'a Entry) -> Option<String> {
        let interaction = self.interaction(entry).filter(|(severity, _)| *severity == Severity::Caution);
        interaction.map(|(_, reason)| reason.told())
    }
}
