//! A Patient beside what came before of the person: which version it is, who else has its identifiers, and whether it is the
//! person at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::bundle::{Bundle, BundleKind, Version};
use clinical::fhir::people::PersonChange;
use clinical::fhir::references::{held, holder_name};
use clinical::fhir::settle::Outcome;
use clinical::fhir::{FhirError, Settled};

use super::known::{note, number};
use super::origin::Origin;
use super::{BundleError, difference, stored_profile};
use crate::store::known::FORMER;
use crate::store::{Known, RecordStore, StoreError};

/// Who has, or had, the identifiers that a Bundle gives people.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The people, by the name of the identifier.
    of: HashMap<String, BTreeSet<Option<String>>>,
    /// The rows of those who have it no more.
    former: BTreeSet<String>,
}

impl Holders {
    /// Reads them.
    pub(super) async fn of(store: &dyn RecordStore, settled: &Settled) -> Result<Holders, StoreError> {
        let names: BTreeSet<&String> = settled.people.iter().flat_map(|person| &person.identifiers).collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        let mut holders = Holders::default();
        for known in store.holders(&names).await? {
            holders.of.entry(held(&known.name).to_owned()).or_default().insert(known.user_id);
            holders.former.extend((known.said.as_deref() == Some(FORMER)).then_some(known.name));
        }
        Ok(holders)
    }
}

/// Puts a Patient beside the versions of it that came before, and says what is to be remembered. Of one that is older nothing is
/// taken but where the record is as well, and what it was known by.
pub(super) async fn compare(
    store: &dyn RecordStore,
    person: &mut PersonChange,
    (version, outcome): (Version, &mut Outcome),
    known: &HashMap<String, Known>,
    holders: &mut Holders,
) -> Result<BTreeMap<String, Known>, StoreError> {
    let mut remember = BTreeMap::new();
    let user_id = person.user_id.clone();
    let of = |name: String, said: Option<String>| {
        let user_id = Some(user_id.clone());
        Known { name, user_id, said, ..Known::default() }
    };
    let name = format!("Patient/{user_id}");
    let before = Origin::of(known.get(&name));
    let mut now = Origin::said(person).of_version(version);
    // Whether a denial is of this person nobody can say: which drugs are recommended must not hang on it.
    if before.is_unrelated(&now) || before.is_mixed() {
        now = now.mixed();
        person.without_denials = true;
    }
    let newer = known
        .get(&name)
        .filter(|row| !outcome.matched && before.has_newer(person.server.as_deref(), version, row));
    let newest = if outcome.matched {
        before
    } else if let Some(newer) = newer {
        (person.birth_year, person.sex, person.place) = (None, None, None);
        person.sex_unknown = false;
        outcome.notes.push(note());
        // Where the record is as well is true whatever came first.
        let newest = before.before(now);
        remember.insert(name, Known { said: newest.written(), ..newer.clone() });
        newest
    } else {
        if person.sex_unknown && !before.is_of_same(&now) {
            person.sex_unknown = false;
            let note = "does not know the sex, which another source said: that stays".to_owned();
            outcome.notes.push(("informational", note));
        }
        outcome.notes.extend(unsaid(person, &before, &now));
        let mut next = before.clone().next(now);
        if person.sex_unknown {
            next = next.without_sex();
        }
        let dropped: Vec<&str> = before.dropped(&next).collect();
        if !dropped.is_empty() {
            for had in store.identifiers_of(&user_id).await? {
                let digest = had.name.trim_start_matches("Patient#");
                if dropped.iter().any(|number| digest.starts_with(number)) {
                    remember.insert(had.name.clone(), of(had.name, Some(FORMER.to_owned())));
                }
            }
        }
        let (updated, version) = (version.updated, number(version));
        remember.insert(name.clone(), Known { updated, version, ..of(name, next.written()) });
        next
    };
    for name in &person.identifiers {
        // An identifier that two people have, such as a family's insurance, says of neither who it is.
        let all = holders.of.entry(name.clone()).or_default();
        if let Some(other) = all.iter().find(|other| other.as_ref() != Some(&user_id)) {
            let whom = match other {
                Some(user) => format!("Patient/{user}"),
                None => "other people".to_owned(),
            };
            let note = format!("has an identifier that {whom} came with: by it nobody can tell them apart");
            outcome.notes.push(("incomplete", note));
        }
        all.insert(Some(user_id.clone()));
        let row = holder_name(name, &user_id);
        // What the newest version has no more does not come back by an older one.
        let former = newer.is_some() && (holders.former.contains(&row) || !newest.has_identifier(name));
        remember.insert(row.clone(), of(row, former.then(|| FORMER.to_owned())));
    }
    Ok(remember)
}

/// A year of birth or a sex that the record said before and says no more stays: a record may have come in part. Only who says that
/// the sex is unknown takes it back.
fn unsaid(person: &PersonChange, before: &Origin, now: &Origin) -> Option<(&'static str, String)> {
    let (birth, sex) = before.unsaid(now);
    let what = match (birth, sex && !person.sex_unknown) {
        (true, true) => "date of birth and gender",
        (true, false) => "date of birth",
        (false, true) => "gender",
        (false, false) => return None,
    };
    Some(("informational", format!("says no {what} any more: what was said before stays")))
}

/// Refuses what is said of one person under the id of another; of a batch or a collection it is left out.
pub(super) async fn of_others(
    store: &dyn RecordStore,
    bundle: &Bundle,
    settled: &mut Settled,
    known: &HashMap<String, Known>,
) -> Result<(), BundleError> {
    let mut refused: Vec<FhirError> = Vec::new();
    let mut strangers: Vec<(String, &str)> = Vec::new();
    for person in &settled.people {
        let Some(patient) = person.patient else { continue };
        let before = Origin::of(known.get(&format!("Patient/{}", person.user_id)));
        let now = Origin::said(person);
        // Of few the profile tells anything, and each is read once more when it is written.
        let unlike = (before.is_elsewhere(&now) || before.is_unrelated(&now) || before.is_mixed()) && {
            let stored = stored_profile(store, &person.user_id).await?.unwrap_or_default();
            difference((person.birth_year, person.sex), &stored).is_some()
        };
        if let Some(detail) = before.contradicted(&now, person.guessed, unlike) {
            refused.push(FhirError::at(patient, "Patient", "conflict", detail));
            strangers.push((person.user_id.clone(), detail));
        }
    }
    let described: BTreeMap<&String, Option<&String>> = settled
        .people
        .iter()
        .filter(|person| person.patient.is_some())
        .map(|person| (&person.user_id, person.server.as_ref()))
        .collect();
    // Entries that name the person who is stored, by that person's own server.
    let mut of_stored: BTreeSet<usize> = BTreeSet::new();
    for (entry, user_id, server) in &settled.addressed {
        let stored = Origin::of(known.get(&format!("Patient/{user_id}")));
        let here = described.get(user_id).copied().flatten();
        let own = stored.is_of(server) || here == Some(server);
        of_stored.extend(Some(*entry).filter(|_| stored.is_of(server)));
        // Of a person who came without an address nobody can say that the server is another one.
        if settled.outcomes[*entry].error.is_none() && !own && !(stored.has(server) && here.is_none()) {
            let kind = settled.outcomes[*entry].kind.clone();
            let detail =
                "refers to a Patient of another server than the one whose record is stored under that id";
            refused.push(FhirError::at(*entry, kind, "conflict", detail));
        }
    }
    settled.addressed.clear();
    if bundle.kind == BundleKind::Transaction && !refused.is_empty() {
        return Err(BundleError::Refused(refused));
    }
    for (user_id, detail) in strangers {
        settled.leave_out_but(&user_id, "conflict", detail, &of_stored);
    }
    for error in refused.into_iter().filter(|error| error.path != "Patient") {
        let again = error.entry.is_some_and(|entry| settled.outcomes[entry].error.is_some());
        if !again {
            settled.leave_out_entry(error);
        }
    }
    Ok(())
}
