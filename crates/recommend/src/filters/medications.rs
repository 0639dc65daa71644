//! Drugs that a person takes, or that are recommended beside others, against a drug: what interacts with them, and what is the
//! same once more.

use std::collections::BTreeSet;

use super::{Concern, Reason};
use crate::catalogue::{Catalogue, Entry, Parts, Rule, Sources, forms, parts};
use crate::data::{Item, Kind, Severity};
use crate::terminology::{Key, Keys, Meaning, Terminology, plain};

/// Drugs of one class that are given together by plan: an order of the one is no duplicate of the other, and what rules about
/// wider classes say of both is a caution.
const GIVEN_TOGETHER: [(&str, &str); 2] = [("aspirin", "p2y12 inhibitor"), ("aspirin", "dipyridamole")];

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
    own: Keys,
    /// The drugs of the catalogue that it is, by number.
    entries: Vec<(u32, &'a Entry)>,
    /// Where it is a class: the drugs of it, of which it may be any.
    members: Vec<&'a Entry>,
    /// The classes within which a second drug would be duplicate therapy.
    therapeutic: BTreeSet<Key>,
    /// Whether it is a form of which little gets into the blood.
    local: bool,
    /// The items whose rules hold for it.
    rules: Sources<'a>,
}

impl<'a> Medication<'a> {
    /// A drug as a list has it, with all the rules that hold for it, as they do for one that is ordered.
    pub fn stated(written: &str, meaning: Meaning, drugs: &'a Catalogue, terminology: &Terminology) -> Self {
        let is_class = meaning.names.iter().any(|name| terminology.is_class(name));
        let mut parts =
            if is_class { Parts::new() } else { parts(&meaning.names, &meaning.therapeutic, terminology) };
        let mut own: Keys = meaning.broader.into_iter().collect();
        let (mut names, mut therapeutic) = (meaning.names, meaning.therapeutic);
        let (unexplained, single_words) = (meaning.unexplained, meaning.single_words);
        let (mut entries, mut members) = (Vec::new(), Vec::new());
        let called = plain(written);
        let wanted: BTreeSet<&Key> = names.iter().chain([&called]).collect();
        let numbers = wanted.iter().flat_map(|&name| drugs.vocabulary().items_called(name));
        let mut described = false;
        for &number in numbers.collect::<BTreeSet<_>>() {
            let Some(entry) = drugs.get(number).filter(|entry| !entry.is_rule()) else { continue };
            let named = [&entry.item.item_id, &entry.item.name].into_iter().any(|name| plain(name) == called);
            if named || entry.substances.is_subset(&names) {
                entries.push((number, entry.as_ref()));
                described |= named && !entry.local;
            } else if names.iter().any(|name| entry.called.contains(name) && !entry.substances.contains(name))
            {
                members.push(entry.as_ref());
            }
        }
        for (_, entry) in &entries {
            own.extend(entry.called.iter().cloned());
            therapeutic.extend(entry.therapeutic.iter().cloned());
            names.extend(entry.substances.iter().cloned());
            for part in &entry.parts {
                match parts.iter_mut().find(|(name, _)| *name == part.0) {
                    Some((_, classes)) => classes.extend(part.1.iter().cloned()),
                    None => parts.push(part.clone()),
                }
            }
        }
        let local = !described && forms::is_local(written, &own);
        let mut rules = drugs.sources(&parts, &own);
        let unlisted =
            entries.iter().filter(|(number, _)| rules.same.iter().all(|(known, _)| known != number));
        let unlisted: Vec<_> = unlisted.copied().collect();
        rules.same.extend(unlisted);
        own.extend(unexplained.iter().chain(&single_words).cloned());
        let written = written.to_owned();
        Self { written, names, unexplained, single_words, own, entries, members, therapeutic, local, rules }
    }

    /// A drug that is ordered at the same time.
    pub fn ordered(item: &Item, meaning: Meaning, drugs: &'a Catalogue, terminology: &Terminology) -> Self {
        let written = format!("{} (ordered too)", item.name);
        Self { written, ..Self::stated(&item.name, meaning, drugs, terminology) }
    }

    /// A drug of the catalogue that is suggested for another order.
    pub fn suggested(item: &Item, meaning: Meaning, drugs: &'a Catalogue, terminology: &Terminology) -> Self {
        let written = format!("{} (suggested too)", item.name);
        Self { written, ..Self::stated(&item.name, meaning, drugs, terminology) }
    }

    /// Whether the catalogue has it by this very name, and knows what it is.
    pub fn is_catalogued(&self, name: &str) -> bool {
        let called = plain(name);
        self.entries.iter().filter(|(_, entry)| !entry.unclear).any(|(_, entry)| {
            [&entry.item.item_id, &entry.item.name].into_iter().any(|own| plain(own) == called)
        })
    }

    /// Whether it is a drug, and not this one: words for none mean nothing.
    pub fn is_another(&self, entry: &Entry) -> bool {
        let itself = self.entries.iter().any(|(_, own)| own.item.item_id == entry.item.item_id);
        !itself && !self.names.is_empty()
    }

    /// Where it is a class: the drugs of it that the catalogue has.
    pub fn members(&self) -> &[&'a Entry] {
        &self.members
    }

    /// Whether it is a form of which little gets into the blood.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// The items whose rules hold for it.
    pub fn rules(&self) -> &Sources<'a> {
        &self.rules
    }

    /// The drugs of the catalogue that it is.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &'a Entry)> {
        self.entries.iter().copied()
    }

    /// What speaks against the item beside this one, each with how much it matters.
    pub fn findings(&self, number: u32, entry: &'a Entry) -> Vec<(Concern, Severity, Reason)> {
        let interaction = self.interaction(entry);
        let interaction = interaction.map(|(severity, reason)| (Concern::Interaction, severity, reason));
        let duplicate = self.duplicate(number, entry).filter(|_| !self.given_together(entry));
        let duplicate = duplicate.map(|(severity, reason)| (Concern::Duplicate, severity, reason));
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
            therapeutic: entry.therapeutic.clone(),
            local: entry.local,
            rules: Sources { same: vec![(number, entry)], ..Sources::default() },
        }
    }

    /// The most severe rule about the two together, on either side. Where a rule says how severe it is, those that only
    /// name the other are no more severe for that.
    fn clash(&self, entry: &'a Entry) -> Option<&'a Rule> {
        let members = || self.members.iter().copied();
        let is_this =
            |name: &Key| self.own.contains(name) || members().any(|drug| drug.called.contains(name));
        let theirs = entry.partners.iter().filter(|rule| rule.names.iter().any(is_this));
        let own = self.rules.all().chain(members()).flat_map(|drug| &drug.partners);
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
        let mut reason = Reason::of(format!("interaction: {}", self.written), Some(rule));
        let severity = self.lowered(entry, rule.severity);
        if severity != rule.severity {
            reason.severity = Some(severity);
        }
        Some((severity, reason))
    }

    /// How much something matters, where one of the two may be a form of which little gets into the blood, or where they are
    /// given together by plan.
    fn lowered(&self, entry: &Entry, severity: Severity) -> Severity {
        let lowered = self.local || entry.local || self.given_together(entry);
        if lowered { Severity::Caution } else { severity }
    }

    /// Whether the two are given together by plan, although they are of one class.
    fn given_together(&self, entry: &Entry) -> bool {
        let apart = self.names.is_disjoint(&entry.substances);
        apart
            && GIVEN_TOGETHER.iter().any(|&(one, other)| {
                (self.own.contains(one) && entry.called.contains(other))
                    || (self.own.contains(other) && entry.called.contains(one))
            })
    }

    /// That the item is the same once more, or of the same class. Whoever orders the very substance that is taken mostly
    /// renews it or changes its dose.
    pub(super) fn duplicate(&self, number: u32, entry: &Entry) -> Option<(Severity, Reason)> {
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
            let renewed = self.names == entry.substances;
            let severity = if renewed { Severity::Caution } else { self.lowered(entry, Severity::Serious) };
            return Some((severity, Reason::plain(format!("duplicate therapy: already taking {written}"))));
        }
        let class = entry.therapeutic.iter().find(|class| self.own.contains(*class));
        let theirs = || self.therapeutic.iter().find(|class| entry.called.contains(*class));
        let class = class.or_else(theirs)?;
        let called = entry.item.contraindications.therapeutic_class.as_deref();
        let class = called.filter(|called| plain(called) == *class).unwrap_or(class).trim();
        let reason = Reason::plain(format!("duplicate therapy: {class} (already taking {written})"));
        Some((self.lowered(entry, Severity::Serious), reason))
    }

    /// Whether it is a class, or several, of what can be called by these names.
    pub(super) fn is_class_of(&self, called: &Keys) -> bool {
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
        interaction.or_else(|| self.duplicate(number, entry)).map(|(_, reason)| reason)
    }

    /// What is to be heeded of the two together, if anything.
    pub fn caution(&self, entry: &'a Entry) -> Option<String> {
        let interaction = self.interaction(entry).filter(|(severity, _)| *severity == Severity::Caution);
        interaction.map(|(_, reason)| reason.told())
    }
}
