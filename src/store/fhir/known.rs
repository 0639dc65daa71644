//! What came before, put beside what comes now. An older version of a resource changes nothing, as a record may be sent in
//! any order: an entry in error must not come back. A record of somebody else under the id of a person is refused. A resource that moves to another person says no more of the first, whom
//! it never concerned. An order may refer to a Medication of an earlier Bundle, since an export that begins where the last
//! one ended has only what has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::bundle::BundleKind;
use clinical::fhir::bundle::{Bundle, Version, medication};
use clinical::fhir::people::{PersonChange, Says, Statement};
use clinical::fhir::resources::Medication;
use clinical::fhir::{FhirError, Settled};

use super::BundleError;
use super::origin::Origin;
use crate::store::{Known, Store, StoreError};

/// The Medications that are known by these references.
pub(super) async fn medications(
    store: &dyn Store,
    references: &BTreeSet<String>,
) -> Result<HashMap<String, Medication>, StoreError> {
    let names: Vec<String> = references.iter().cloned().collect();
    let known = store.known(&names).await?.into_iter();
    Ok(known.filter_map(|known| Some((known.name, medication(known.said.as_deref()?)?))).collect())
}

/// Leaves out what is older than what came before, and takes back what resources said of the people to whom they do not
/// belong any more. What is to be remembered once the Bundle is taken in.
///
/// # Errors
/// A transaction that speaks of one person under the id of another, and a store that does not answer.
pub(super) async fn compare(
    store: &dyn Store,
    bundle: &Bundle,
    settled: &mut Settled,
) -> Result<BTreeMap<String, Known>, BundleError> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for person in &settled.people {
        names.extend(person.patient.map(|_| format!("Patient/{}", person.user_id)));
        names.extend(person.identifiers.iter().cloned());
        names.extend(person.statements.iter().map(|said| said.resource.clone()).filter(|name| lasts(name)));
    }
    names.extend(settled.addressed.iter().map(|(_, user_id, _)| format!("Patient/{user_id}")));
    let names: Vec<String> = names.into_iter().collect();
    let known = store.known(&names).await?;
    let known: HashMap<String, Known> = known.into_iter().map(|known| (known.name.clone(), known)).collect();
    of_others(bundle, settled, &known)?;
    let mut remember = BTreeMap::new();
    let mut moved: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    let here: BTreeMap<String, String> = settled
        .people
        .iter()
        .flat_map(|person| {
            person.statements.iter().map(|said| (said.resource.clone(), person.user_id.clone()))
        })
        .collect();
    for person in &mut settled.people {
        let user_id = person.user_id.clone();
        let row = |name: &str, version: Version| Known {
            name: name.to_owned(),
            user_id: Some(user_id.clone()),
            said: None,
            updated: version.updated,
            version: number(version),
        };
        if let Some(patient) = person.patient {
            let (name, version) = (format!("Patient/{}", person.user_id), bundle.entries[patient].version);
            if known.get(&name).is_some_and(|known| older(version, known)) {
                (person.birth_year, person.sex, person.place) = (None, None, None);
                settled.outcomes[patient].notes.push(note());
            } else {
                let said = Origin::of(known.get(&name)).after(Origin::said(person));
                remember.insert(name.clone(), Known { said, ..row(&name, version) });
            }
        }
        for name in &person.identifiers {
            let mut row = row(name, Version::default());
            // An identifier that two people have, such as a family's insurance, says of neither who it is. One person may
            // have it twice: in the Patient and in what is asked for.
            let of_another = |known: &Known| known.user_id != row.user_id;
            if known.get(name).is_some_and(of_another) || remember.get(name).is_some_and(of_another) {
                row.user_id = None;
            }
            remember.insert(name.clone(), row);
        }
        person.statements.retain(|said| {
            if !lasts(&said.resource) {
                return true;
            }
            let version = bundle.entries[said.entry].version;
            let before = known.get(&said.resource);
            if before.is_some_and(|known| older(version, known)) {
                let outcome = &mut settled.outcomes[said.entry];
                outcome.used = false;
                outcome.notes.push(note());
                return false;
            }
            if let Some(other) =
                before.and_then(|known| known.user_id.as_ref()).filter(|other| **other != user_id)
                && here.get(&said.resource) == Some(&user_id)
            {
                let says = Says::Nothing("of somebody else");
                moved.entry(other.clone()).or_default().push(Statement { says, ..said.clone() });
            }
            remember.insert(said.resource.clone(), row(&said.resource, version));
            true
        });
    }
    for (user_id, statements) in moved {
        let person = PersonChange { user_id: user_id.clone(), statements, ..PersonChange::default() };
        match settled.people.iter_mut().find(|known| known.user_id == user_id) {
            Some(known) => known.statements.extend(person.statements),
            None => settled.people.push(person),
        }
    }
    for entry in bundle.entries.iter().filter(|entry| entry.resource.is_ok()) {
        if let (Some(text), Some(id)) = (&entry.text, &entry.id) {
            let name = format!("Medication/{id}");
            remember.insert(name.clone(), Known { name, said: Some(text.to_string()), ..Known::default() });
        }
    }
    Ok(remember)
}

/// Refuses what is said of one person under the id of another; of a batch or a collection it is left out.
fn of_others(
    bundle: &Bundle,
    settled: &mut Settled,
    known: &HashMap<String, Known>,
) -> Result<(), BundleError> {
    let mut refused: Vec<FhirError> = Vec::new();
    let mut strangers: Vec<(String, &str)> = Vec::new();
    for person in &settled.people {
        let Some(patient) = person.patient else { continue };
        let before = Origin::of(known.get(&format!("Patient/{}", person.user_id)));
        if let Some(detail) = before.contradicted(&Origin::said(person)) {
            refused.push(FhirError::at(patient, "Patient", "conflict", detail));
            strangers.push((person.user_id.clone(), detail));
        }
    }
    for (entry, user_id, server) in std::mem::take(&mut settled.addressed) {
        let sound = settled.outcomes[entry].error.is_none();
        if sound && !Origin::of(known.get(&format!("Patient/{user_id}"))).has(&server) {
            let kind = settled.outcomes[entry].kind.clone();
            let detail =
                "refers to a Patient of another server than the one whose record is stored under that id";
            refused.push(FhirError::at(entry, kind, "conflict", detail));
        }
    }
    if bundle.kind == BundleKind::Transaction && !refused.is_empty() {
        return Err(BundleError::Refused(refused));
    }
    for (user_id, detail) in strangers {
        settled.leave_out(&user_id, "conflict", detail);
    }
    for error in refused.into_iter().filter(|error| error.path != "Patient") {
        let again = error.entry.is_some_and(|entry| settled.outcomes[entry].error.is_some());
        if !again {
            settled.leave_out_entry(error);
        }
    }
    Ok(())
}

/// Writes down what is to be remembered of those who went in.
pub(super) async fn remember(
    store: &dyn Store,
    settled: &Settled,
    known: BTreeMap<String, Known>,
) -> Result<(), StoreError> {
    let went_in: BTreeSet<&String> = settled.people.iter().map(|person| &person.user_id).collect();
    let known: Vec<Known> = known
        .into_values()
        .filter(|known| known.user_id.as_ref().is_none_or(|user| went_in.contains(user)))
        .collect();
    store.put_known(&known).await
}

pub(super) fn note() -> (&'static str, String) {
    ("informational", "an older version than the one that came before".to_owned())
}

/// Whether a name is of a resource with an id, which names the same thing in the next Bundle.
pub(super) fn lasts(name: &str) -> bool {
    !name.contains('#')
}

/// Whether a version was made before the one that is known. Of versions without a time nobody can tell.
pub(super) fn older(version: Version, known: &Known) -> bool {
    match (version.updated, known.updated) {
        (Some(now), Some(before)) if now != before => now < before,
        _ => number(version).zip(known.version).is_some_and(|(now, before)| now < before),
    }
}

/// A version's number as the store has it.
pub(super) fn number(version: Version) -> Option<i64> {
    version.number.and_then(|number| i64::try_from(number).ok())
}
