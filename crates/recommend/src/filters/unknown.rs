//! What rules a drug out because it is not known: of the person, what was not recorded or not understood; of the item, what it is
//! and what its rules are about.

use super::{Patient, not_understood};
use crate::catalogue::{Doubt, Entry, Rule};
use crate::data::{Severity, Sex};
use crate::terminology::Keys;

impl Patient<'_> {
    /// Why the item is ruled out for what is not known, if so.
    pub(super) fn unknown(&self, entry: &Entry) -> Option<String> {
        if let Some(reason) = &self.abstains {
            return Some(reason.clone());
        }
        let withheld = || self.not_described(entry).filter(|_| is_withheld(entry));
        if let Some(reason) = withheld().or_else(|| self.unclear_rule(entry)).filter(|_| self.wary) {
            return Some(reason);
        }
        if let Some((written, _)) = self.maybe.iter().find(|(_, names)| self.wary && may_matter(names, entry))
        {
            return Some(format!(
                "condition: {written:?} is not understood, and may be one that speaks against it"
            ));
        }
        if !self.strict {
            return None;
        }
        let rules = &entry.item.contraindications;
        let may_be_pregnant = self.pregnant.is_none()
            && self.profile.sex != Some(Sex::Male)
            && self.ages.is_none_or(|(youngest, oldest)| oldest >= 10 && youngest <= 60);
        let rules_out = |rule: &Rule| rule.severity != Severity::Caution;
        let about_conditions = entry.conditions.iter().any(rules_out) || !entry.indications.is_empty();
        let reason = if self.profile.conditions.is_none() && about_conditions {
            "conditions: not recorded"
        } else if rules.pregnancy && may_be_pregnant {
            "pregnancy: not recorded"
        } else if rules.sex.is_some() && self.profile.sex.is_none() {
            "sex: not recorded"
        } else if self.ages.is_none() && (rules.min_age.is_some() || rules.max_age.is_some()) {
            "birth_year: not recorded"
        } else {
            return None;
        };
        Some(reason.to_owned())
    }

    /// That nobody knows what the item is, or for whom it is wrong, where somebody has what it could clash with; of a record it
    /// is told of everybody.
    pub(super) fn not_described(&self, entry: &Entry) -> Option<String> {
        let name = &entry.item.name;
        let reason = if entry.unclear || entry.blank {
            format!("item: {}", not_understood(name, name, None))
        } else if entry.is_unruled() {
            format!("item: no rules are known about {name:?}")
        } else {
            return None;
        };
        let of_record = entry.item.is_imported() && !entry.item.is_named_alone();
        (of_record || self.allergic || self.concerned || self.takes_another(entry)).then_some(reason)
    }

    /// That a rule of the item, in words that are not understood, may speak against it.
    fn unclear_rule(&self, entry: &Entry) -> Option<String> {
        // A catalogue knows what its own drugs and classes are called.
        let unknown = |doubt: &&Doubt| !self.drugs.is_called(&doubt.called);
        let has = |doubt: &&Doubt| {
            self.conditions.iter().any(|stated| doubt.maybe.iter().any(|name| stated.names.contains(name)))
        };
        // Few items have such rules: what the person takes is looked through for these alone.
        let takes = || self.takes_another(entry);
        let of_list = |rules| doubts(rules).find(unknown);
        let rule = of_list(&entry.allergies)
            .filter(|_| self.allergic)
            .or_else(|| of_list(&entry.partners).filter(|_| takes()))
            .or_else(|| doubts(&entry.conditions).find(has));
        let class = || entry.class_doubt.as_ref().filter(|_| self.allergic || takes());
        rule.map(|doubt| format!("item: its rule about {}", doubt.told()))
            .or_else(|| Some(format!("item: its class {}", class()?.told())))
    }

    /// Whether the person takes any drug but this.
    fn takes_another(&self, entry: &Entry) -> bool {
        self.medications.iter().any(|taken| taken.is_another(entry))
    }
}

/// Whether what nobody described is ruled out, and not only told: where it came with a record, or where interactions name it and its
/// name is not understood. Who wrote the item, or gave it the name of a drug, knows what it is.
pub(super) fn is_withheld(entry: &Entry) -> bool {
    entry.unclear || entry.item.is_imported() && !entry.item.is_named_alone()
}

/// What is not understood of those that rule the item out.
fn doubts(rules: &[Rule]) -> impl Iterator<Item = &Doubt> {
    let severe = rules.iter().filter(|rule| rule.severity != Severity::Caution);
    severe.filter_map(|rule| rule.doubt.as_ref())
}

/// Whether a rule that rules the item out is about one of these conditions.
fn may_matter(names: &Keys, entry: &Entry) -> bool {
    let about = |rule: &Rule| {
        rule.severity != Severity::Caution && rule.names.iter().any(|name| names.contains(name))
    };
    entry.conditions.iter().any(about)
        || entry.item.contraindications.pregnancy && names.contains("pregnancy")
}
