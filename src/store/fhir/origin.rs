//! Where a person's record comes from: the server in the address of the Patient resource, and the person's identifiers. Two
//! servers count their patients from 1, so the id alone does not say that two records are of one person. What is known stands
//! beside the Patient's id in `resources_known`; of identifiers only digests.

use std::collections::{BTreeMap, BTreeSet};

use clinical::fhir::bundle::Version;
use clinical::fhir::people::PersonChange;
use clinical::fhir::references::{known_name, without_server};
use recommend::Millis;
use serde::{Deserialize, Serialize};

use super::known::{number, older};
use crate::store::Known;

/// Most servers of one person that are remembered.
const SERVERS: usize = 8;

/// What is known of where a person's record comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Servers that have the record, by their addresses without the scheme.
    #[serde(default)]
    servers: BTreeSet<String>,
    /// Digests of identifiers, each behind that of its system.
    #[serde(default)]
    numbers: BTreeSet<String>,
    /// Which version of each server's resource came last, when it was made and its number; of one without a server under "".
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    versions: BTreeMap<String, (Option<Millis>, Option<i64>)>,
    /// Whether a version of the record has said the year of birth.
    #[serde(default, skip_serializing_if = "is_false")]
    birth: bool,
    /// Whether one has said the sex.
    #[serde(default, skip_serializing_if = "is_false")]
    sex: bool,
    /// Whether records of two sources were put together that have no identifier in common.
    #[serde(default, skip_serializing_if = "is_false")]
    mixed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Origin {
    /// What is known of a person; nothing of one who came before this was written down.
    pub(super) fn of(known: Option<&Known>) -> Origin {
        known.and_then(|known| serde_json::from_str(known.said.as_deref()?).ok()).unwrap_or_default()
    }

    /// What a Patient resource says.
    pub(super) fn said(person: &PersonChange) -> Origin {
        Origin {
            servers: person.server.iter().cloned().collect(),
            numbers: person.numbers.clone(),
            birth: person.birth_year.is_some(),
            sex: person.sex.is_some(),
            ..Origin::default()
        }
    }

    /// The same, of this version.
    pub(super) fn of_version(mut self, version: Version) -> Origin {
        let of = self.servers.first().cloned().unwrap_or_default();
        if version.updated.is_some() || version.number.is_some() {
            self.versions.insert(of, (version.updated, number(version)));
        }
        self
    }

    /// Whether a newer version of the resource came before: of this server's, or of one that may be the same, as one of both
    /// says no server. `known` is the row.
    pub(super) fn has_newer(&self, server: Option<&str>, version: Version, known: &Known) -> bool {
        if self.versions.is_empty() {
            return older(version, known);
        }
        let own = server.unwrap_or_default();
        let may_be_one = |of: &str| own.is_empty() || of.is_empty() || of == own;
        let mut versions = self.versions.iter().filter(|(of, _)| may_be_one(of));
        versions.any(|(_, (updated, number))| {
            older(version, &Known { updated: *updated, version: *number, ..Known::default() })
        })
    }

    /// Of what came from this server.
    pub(super) fn at(server: &str) -> Origin {
        Origin { servers: BTreeSet::from([server.to_owned()]), ..Origin::default() }
    }

    /// Whether an address of this server may be one of the person.
    pub(super) fn has(&self, server: &str) -> bool {
        self.servers.is_empty() || self.servers.contains(server)
    }

    /// The record without one server, where others have it as well.
    pub(super) fn without(mut self, server: &str) -> Option<Origin> {
        self.servers.remove(server);
        (!self.servers.is_empty()).then_some(self)
    }

    /// Whether both came from servers, and from none in common.
    pub(super) fn is_elsewhere(&self, now: &Origin) -> bool {
        let both = !self.servers.is_empty() && !now.servers.is_empty();
        both && self.servers.is_disjoint(&now.servers)
    }

    /// Whether the record came from this server.
    pub(super) fn is_of(&self, server: &str) -> bool {
        self.servers.contains(server)
    }

    /// Whether each says where it comes from, and nothing says that both are one: they have no server and no identifier in common.
    pub(super) fn is_unrelated(&self, now: &Origin) -> bool {
        let says = |own: &Origin| !own.servers.is_empty() || !own.numbers.is_empty();
        let apart = self.servers.is_disjoint(&now.servers) && self.numbers.is_disjoint(&now.numbers);
        says(self) && says(now) && apart
    }

    /// The same, put together with such.
    pub(super) fn mixed(mut self) -> Origin {
        self.mixed = true;
        self
    }

    /// Whether the record was put together from such.
    pub(super) fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Why a record that comes now is not of this person, where that is to be feared, by whatever door it comes. One identifier
    /// that both have tells that it is; so does the server, which gives each id once. `guessed` is a person who is known by an
    /// identifier alone, which a family may share: then another number of a system in which the person has one tells that it is
    /// somebody else. `unlike`, of another year of birth or sex, is a correction where it comes from the same source, and tells
    /// that it is somebody else where nothing says that both are one.
    pub(super) fn contradicted(&self, now: &Origin, guessed: bool, unlike: bool) -> Option<&'static str> {
        let both = !self.servers.is_empty() && !now.servers.is_empty();
        let elsewhere = self.is_elsewhere(now);
        let (before, after) = (by_system(&self.numbers), by_system(&now.numbers));
        if guessed && before.iter().any(|(system, number)| after.get(system).is_some_and(|own| own != number))
        {
            return Some(
                "has an identifier in common with a person who is stored, and another one of a system in which that person has \
                 one; accepted is a resource with an id, or with the number of the medical record (type MR) before what others may share",
            );
        }
        if !self.numbers.is_disjoint(&now.numbers) {
            // Of a record of two sources that only agree nobody can say which of them is corrected.
            return ((elsewhere || self.mixed) && unlike).then_some(
                "has the id and an identifier of a person of another source, and another year of birth or sex; accepted are an id \
                 that no other source's person has, or a record that agrees with that person's",
            );
        }
        if both && !elsewhere {
            return None;
        }
        if both {
            return Some(
                "has the id of a person of another server, and no identifier that says that they are one; \
                 accepted are an id that no other server's person has, or an identifier (system and value) that both records have",
            );
        }
        let differs = |system: &&str| after.contains_key(*system);
        if before.keys().any(differs) {
            return Some(
                "has the id of a person who came with another identifier of the same system; accepted are an id that nobody else \
                 has, or the identifier that the person came with beside the new one (use: old)",
            );
        }
        (unlike && self.is_unrelated(now)).then_some(
            "has the id of a person who came another way (by HL7, or with another server's identifiers) with another year of birth \
             or sex, and no identifier says that they are one; accepted are an id that nobody else has, or an identifier (system \
             and value) that both records have",
        )
    }

    /// Whether both came from the same servers, or both from none that is known.
    pub(super) fn is_of_same(&self, other: &Origin) -> bool {
        self.servers == other.servers
    }

    /// Whether both have an identifier in common.
    pub(super) fn shares_a_number(&self, other: &Origin) -> bool {
        !self.numbers.is_disjoint(&other.numbers)
    }

    /// Whether a record is of the server that alone has it.
    pub(super) fn is_alone(&self, now: &Origin) -> bool {
        !now.servers.is_empty() && self.is_of_same(now)
    }

    /// Whether this record says the year of birth and that one does not; the same of the sex.
    pub(super) fn unsaid(&self, now: &Origin) -> (bool, bool) {
        (self.birth && !now.birth, self.sex && !now.sex)
    }

    /// Says that the sex is not known any more.
    pub(super) fn without_sex(mut self) -> Origin {
        self.sex = false;
        self
    }

    /// The record as it is once this one was taken. Of a server that alone has it, the newest says which identifiers it has;
    /// of others one of the same system replaces what came before.
    pub(super) fn next(mut self, now: Origin) -> Origin {
        let alone = self.is_alone(&now);
        let replaced = by_system(&now.numbers);
        self.numbers.retain(|number| !alone && !replaced.contains_key(system(number)));
        self.mixed |= now.mixed;
        // What it said of these stays.
        self.birth |= now.birth;
        self.sex |= now.sex;
        self.versions.extend(now.versions);
        self.also(&now.servers);
        self.numbers.extend(now.numbers);
        self
    }

    /// Adds servers that have the record as well.
    pub(super) fn also(&mut self, servers: &BTreeSet<String>) {
        let free = SERVERS.saturating_sub(self.servers.len());
        self.servers.extend(servers.iter().take(free).cloned());
    }

    /// Adds what an older version of the record says, where a newer one says nothing of it. Where both are of the server that
    /// alone has the record, the newer one says all.
    pub(super) fn before(mut self, older: Origin) -> Origin {
        let known: BTreeSet<String> = self.numbers.iter().map(|number| system(number).to_owned()).collect();
        self.mixed |= older.mixed;
        if !self.is_alone(&older) {
            self.also(&older.servers);
            self.numbers.extend(older.numbers.into_iter().filter(|number| !known.contains(system(number))));
        }
        self
    }

    /// Whether the record has an identifier, by the name under which that is kept (`references::patient_name`).
    pub(super) fn has_identifier(&self, name: &str) -> bool {
        let digest = name.trim_start_matches("Patient#");
        self.numbers
            .iter()
            .filter_map(|number| number.split_once(':'))
            .any(|(_, own)| digest.starts_with(own))
    }

    /// Whether a resource of this name (`references::known_name`) is on one of the servers where the record is, or says none.
    pub(super) fn is_with(&self, name: &str) -> bool {
        let Some((kind, id)) = without_server(name).split_once('/') else { return false };
        let of = |server: &String| known_name(kind, id, Some(server)) == name;
        !name.contains('@') || self.servers.iter().any(of)
    }

    /// The identifiers that this record had and that one has no more.
    pub(super) fn dropped<'a>(&'a self, now: &'a Origin) -> impl Iterator<Item = &'a str> {
        self.numbers.difference(&now.numbers).filter_map(|number| Some(number.split_once(':')?.1))
    }

    /// As it is stored.
    pub(super) fn written(&self) -> Option<String> {
        // Sets of strings are always JSON.
        (*self != Origin::default()).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// What is known once the record was taken.
    pub(super) fn after(self, now: Origin) -> Option<String> {
        self.next(now).written()
    }
}

fn system(number: &str) -> &str {
    number.split(':').next().unwrap_or_default()
}

fn by_system(numbers: &BTreeSet<String>) -> BTreeMap<&str, &str> {
    numbers.iter().map(|number| (system(number), number.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(servers: &[&str], numbers: &[&str]) -> Origin {
        let set = |all: &[&str]| all.iter().map(|one| one.to_string()).collect();
        Origin { servers: set(servers), numbers: set(numbers), ..Origin::default() }
    }

    #[test]
    fn a_record_is_of_another_person_by_its_server_or_its_numbers() {
        let known = origin(&["a/fhir"], &["mrn:1", "ssn:9"]);
        for (now, fits) in [
            (origin(&["a/fhir"], &[]), true),
            // The hospital corrected the number.
            (origin(&["a/fhir"], &["mrn:2"]), true),
            (origin(&["b/fhir"], &[]), false),
            (origin(&["b/fhir"], &["mrn:2"]), false),
            (origin(&["b/fhir"], &["other:5"]), false),
            // The hospital's server has moved.
            (origin(&["b/fhir"], &["mrn:1"]), true),
            (origin(&[], &[]), true),
            (origin(&[], &["other:5"]), true),
            (origin(&[], &["mrn:2"]), false),
            (origin(&[], &["mrn:2", "ssn:9"]), true),
        ] {
            assert_eq!(known.contradicted(&now, false, false).is_none(), fits, "{now:?}");
            let nothing = Origin::default();
            assert!(nothing.contradicted(&now, true, true).is_none(), "nothing is known: {now:?}");
        }
        // A corrected record of the same server, and one of another that has a number in common.
        assert!(known.contradicted(&origin(&["a/fhir"], &["mrn:1"]), false, true).is_none());
        assert!(known.contradicted(&origin(&["b/fhir"], &["mrn:1"]), false, true).is_some());
        // Twins have one insurance and two numbers of records.
        let twin = origin(&[], &["mrn:2", "ssn:9"]);
        assert!(known.contradicted(&twin, true, false).is_some());
        assert!(known.contradicted(&origin(&[], &["ssn:9"]), true, false).is_none());
    }

    #[test]
    fn records_of_two_sources_without_an_identifier_in_common_are_one_only_while_they_agree() {
        let hl7 = origin(&[], &["given:1", "authority:1"]);
        for (now, unrelated) in [
            (origin(&["a/fhir"], &["mrn:1"]), true),
            (origin(&["a/fhir"], &[]), true),
            (origin(&[], &["mrn:1"]), true),
            (origin(&["a/fhir"], &["mrn:1", "authority:1"]), false),
            (origin(&[], &["given:1", "authority:1"]), false),
            (origin(&[], &[]), false),
        ] {
            for (one, other) in [(&hl7, &now), (&now, &hl7)] {
                assert_eq!(one.is_unrelated(other), unrelated, "{one:?} {other:?}");
                assert_eq!(one.contradicted(other, false, true).is_some(), unrelated, "{one:?} {other:?}");
                assert!(one.contradicted(other, false, false).is_none(), "{one:?} {other:?}");
            }
        }
        let mixed = Origin { mixed: true, ..origin(&["a/fhir"], &["mrn:1"]) };
        // Who agreed once is not taken over by a correction.
        let correction = origin(&[], &["mrn:1"]);
        assert!(mixed.contradicted(&correction, false, true).is_some());
        assert!(mixed.contradicted(&correction, false, false).is_none());
        assert!(hl7.clone().next(mixed).is_mixed() && !hl7.is_mixed());
    }

    #[test]
    fn what_is_not_said_again_stays_known() {
        let known = |text: Option<String>| Origin::of(Some(&Known { said: text, ..Known::default() }));
        let first = origin(&["a/fhir"], &["mrn:1", "ssn:9"]).after(origin(&[], &[]));
        assert_eq!(known(first.clone()), origin(&["a/fhir"], &["mrn:1", "ssn:9"]));
        let then = known(first).after(origin(&["b/fhir"], &["mrn:2"]));
        assert_eq!(known(then), origin(&["a/fhir", "b/fhir"], &["mrn:2", "ssn:9"]));
        assert_eq!(Origin::default().after(Origin::default()), None);
        // The server that alone has the record says which identifiers it has.
        let before = origin(&["a/fhir"], &["mrn:1", "ssn:9"]);
        let next = before.clone().next(origin(&["a/fhir"], &["mrn:2"]));
        assert_eq!(next, origin(&["a/fhir"], &["mrn:2"]));
        assert_eq!(before.dropped(&next).collect::<Vec<_>>(), ["1", "9"]);
        // An older version adds what nobody has said since.
        let older = next.before(origin(&["b/fhir"], &["mrn:0", "nat:4"]));
        assert_eq!(older, origin(&["a/fhir", "b/fhir"], &["mrn:2", "nat:4"]));
        // Of the server that alone has it the newest says all.
        let alone = origin(&["a/fhir"], &["mrn:2"]);
        assert_eq!(alone.clone().before(origin(&["a/fhir"], &["nat:4"])), alone);
        assert_eq!(known(Some("[[\"x\", \"visit\", 5]]".to_string())), Origin::default());
    }
}
