//! What the drugs of a class have in common: it holds for another drug of the class of which nobody wrote down anything.

use std::collections::BTreeSet;

use super::rule::PREGNANCY;
use super::{Entry, Rule};
use crate::data::{Contraindications, Severity};
use crate::terminology::{ByKey, Key};

/// The rules that every one of these has, each as severe as it is for the one for which it matters least.
pub fn common(members: &[&Entry]) -> Option<Entry> {
    let (first, others) = members.split_first()?;
    let mut conditions = conditions(first);
    let mut common = Entry::clone(first);
    for other in others {
        conditions = shared(&conditions, &self::conditions(other), |rule| (false, rule.severity));
        common.partners = shared(&common.partners, &other.partners, |rule| (!rule.graded, rule.severity));
        common
            .allergies
            .retain(|rule| other.allergies.iter().any(|their| rule.names.is_subset(&their.names)));
    }
    let is_flag = |rule: &Rule| rule.names.contains(PREGNANCY) && !rule.graded;
    let pregnancy = conditions.iter().any(is_flag);
    conditions.retain(|rule| !is_flag(rule));
    common.conditions = conditions;
    let rules = || members.iter().map(|member| &member.item.contraindications);
    let youngest: Option<Vec<u16>> = rules().map(|rules| rules.min_age).collect();
    let oldest: Option<Vec<u16>> = rules().map(|rules| rules.max_age).collect();
    let sex = first.item.contraindications.sex.filter(|sex| rules().all(|rules| rules.sex == Some(*sex)));
    common.item.contraindications = Contraindications {
        pregnancy,
        sex,
        min_age: youngest.and_then(|ages| ages.into_iter().min()),
        max_age: oldest.and_then(|ages| ages.into_iter().max()),
        ..Contraindications::default()
    };
    Some(common)
}

/// The ages for which one drug is meant, if it says any.
pub fn ages(member: &Entry) -> Option<Entry> {
    let Contraindications { min_age, max_age, .. } = member.item.contraindications;
    if (min_age, max_age) == (None, None) {
        return None;
    }
    let mut ages = Entry::clone(member);
    (ages.allergies, ages.conditions, ages.partners) = (Vec::new(), Vec::new(), Vec::new());
    ages.item.contraindications = Contraindications { min_age, max_age, ..Contraindications::default() };
    Some(ages)
}

/// The rules about conditions, and that about pregnancy as one of them.
fn conditions(entry: &Entry) -> Vec<Rule> {
    let mut conditions = entry.conditions.clone();
    if entry.item.contraindications.pregnancy {
        conditions.push(Rule::about_pregnancy(Severity::Contraindicated));
    }
    conditions
}

/// The rules of either that the other has, too, about the same or about something broader. Of several rules about one thing
/// the first by `rank` holds.
fn shared<R: Ord>(one: &[Rule], other: &[Rule], rank: impl Fn(&Rule) -> R) -> Vec<Rule> {
    let by_name = |rules: &[Rule]| {
        let mut places: ByKey<usize> = ByKey::default();
        for (place, rule) in rules.iter().enumerate() {
            for name in &rule.names {
                let known = places.entry(Key::clone(name)).or_insert(place);
                if rank(rule) < rank(&rules[*known]) {
                    *known = place;
                }
            }
        }
        places
    };
    let mut found: Vec<Rule> = Vec::new();
    for (own, theirs) in [(one, other), (other, one)] {
        let places = by_name(theirs);
        let best = |names: &BTreeSet<Key>, rules: &[Rule], places: &ByKey<usize>| {
            let covering = names.iter().filter_map(|name| places.get(name)).copied();
            covering.min_by_key(|&place| rank(&rules[place]))
        };
        let own_places = by_name(own);
        for rule in own {
            let Some(their) = best(&rule.broader, theirs, &places) else { continue };
            let Some(mine) = best(&rule.broader, own, &own_places) else { continue };
            let (mine, their) = (&own[mine], &theirs[their]);
            let least = if their.severity > mine.severity { their } else { mine };
            let (severity, graded) = (least.severity, least.graded);
            let (note, source) = (least.note.clone(), least.source.clone());
            let rule = Rule { severity, graded, note, source, ..rule.clone() };
            let known = |known: &Rule| known.names == rule.names && known.severity <= rule.severity;
            if !found.iter().any(known) {
                found.push(rule);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Item, Kind};
    use crate::terminology::Terminology;
    use serde_json::json;

    fn drug(name: &str, rules: serde_json::Value) -> Entry {
        let item = json!({"item_id": name, "kind": Kind::Drug, "name": name, "contraindications": rules});
        Entry::new(serde_json::from_value::<Item>(item).unwrap(), &Terminology::default())
    }

    #[test]
    fn what_all_have_is_as_severe_as_for_the_least_concerned() {
        let rule = |about: &str, code: &str, severity: &str| json!({"about": about, "code": code, "severity": severity});
        let one = json!({"pregnancy": true, "min_age": 6, "conditions": ["gout", "epilepsy"], "rules": [
            rule("medication", "ssri", "serious"), rule("medication", "lithium", "serious")]});
        let other = json!({"min_age": 12, "rules": [
            rule("condition", "pregnancy", "caution"), rule("condition", "gout", "serious"),
            rule("medication", "sertraline", "caution"), rule("medication", "digoxin", "serious")]});
        for members in [[&one, &other], [&other, &one]] {
            let [a, b] = members;
            let (a, b) = (drug("ramipril", a.clone()), drug("lisinopril", b.clone()));
            let common = common(&[&a, &b]).unwrap();
            let told = |rules: &[Rule]| -> BTreeSet<(String, Severity)> {
                rules
                    .iter()
                    .flat_map(|rule| rule.names.iter().map(|name| (name.to_string(), rule.severity)))
                    .collect()
            };
            let pairs = |pairs: &[(&str, Severity)]| -> BTreeSet<(String, Severity)> {
                pairs.iter().map(|&(name, severity)| (name.to_owned(), severity)).collect()
            };
            let expected = [("gout", Severity::Serious), ("pregnancy", Severity::Caution)];
            assert_eq!(told(&common.conditions), pairs(&expected));
            assert_eq!(told(&common.partners), pairs(&[("sertraline", Severity::Caution)]));
            assert_eq!(common.item.contraindications.min_age, Some(6));
            assert!(!common.item.contraindications.pregnancy);
        }
    }
}
