//! What came before, put beside what comes now. An older version of a resource changes nothing, as a record may be sent in
//! any order: an entry in error must not come back. A record of somebody else under the id of a person is refused. A resource that moves to another person says no more of the first, whom
//! it never concerned. An order may refer to a Medication of an earlier Bundle, since an export that begins where the last
//! one ended has only what has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::bundle::{Bundle, BundleKind, Method, Version, medication};
use clinical::fhir::deletions::ITEMS;
use clinical::fhir::people::{Says, Statement};
use clinical::fhir::resources::Medication;
use clinical::fhir::{FhirError, Settled};

use super::origin::Origin;
use super::{BundleError, difference, stored_profile};
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

/// What came before, beside what comes now.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What is to be remembered once the Bundle is taken in.
    pub remember: BTreeMap<String, Known>,
    /// What resources say no more of people to whom they do not belong any more.
    pub moved: BTreeMap<String, Vec<Statement>>,
}

/// Leaves out what is older than what came before, and tells what resources said of the people to whom they do not
/// belong any more.
///
/// # Errors
/// A transaction that speaks of one person under the id of another, and a store that does not answer.
pub(super) async fn compare(
    store: &dyn Store,
    bundle: &Bundle,
    settled: &mut Settled,
) -> Result<Compared, BundleError> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for person in &settled.people {
        names.extend(person.patient.map(|_| format!("Patient/{}", person.user_id)));
        names.extend(person.identifiers.iter().cloned());
        let said = || person.statements.iter().map(|said| said.resource.as_str()).filter(|name| lasts(name));
        names.extend(said().map(str::to_owned));
        names.extend(said().filter_map(without_server).map(str::to_owned));
    }
    names.extend(settled.addressed.iter().map(|(_, user_id, _)| format!("Patient/{user_id}")));
    names.extend(places(bundle, settled).into_iter().map(|(_, item_id, _)| item_id));
    let names: Vec<String> = names.into_iter().collect();
    let known = store.known(&names).await?;
    let known: HashMap<String, Known> = known.into_iter().map(|known| (known.name.clone(), known)).collect();
    of_others(store, bundle, settled, &known).await?;
    let mut remember = places_of_others(bundle, settled, &known)?;
    let mut moved: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    for person in &mut settled.people {
        for said in &mut person.statements {
            // It came before servers were told apart.
            let plain = without_server(&said.resource).filter(|_| !known.contains_key(&said.resource));
            let plain = plain.and_then(|name| known.get(name));
            if let Some(plain) = plain.filter(|known| known.user_id.as_ref() == Some(&person.user_id)) {
                said.resource.clone_from(&plain.name);
            }
            // What is added belongs to nobody else yet.
            let added = bundle.entries[said.entry].method == Some(Method::Post);
            let of_another = |known: &Known| known.user_id.as_ref().is_some_and(|of| *of != person.user_id);
            if added && known.get(&said.resource).is_some_and(of_another) {
                said.resource = format!("{}#{}", said.resource, person.user_id).chars().take(500).collect();
            }
        }
    }
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
        if let Some(patient) = person.patient.filter(|patient| !settled.outcomes[*patient].matched) {
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
            let other = known.get(name).or_else(|| remember.get(name)).filter(|known| of_another(known));
            if let Some(other) = other {
                row.user_id = None;
                if let Some(patient) = person.patient {
                    let whom = match &other.user_id {
                        Some(user) => format!("Patient/{user}"),
                        None => "other people".to_owned(),
                    };
                    let note =
                        format!("has an identifier that {whom} came with: by it nobody can tell them apart");
                    settled.outcomes[patient].notes.push(("incomplete", note));
                }
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
    for (at, entry) in bundle.entries.iter().enumerate().filter(|(_, entry)| entry.resource.is_ok()) {
        if let (Some(text), Some(name)) = (&entry.text, &settled.outcomes[at].name) {
            let known = Known { name: name.clone(), said: Some(text.to_string()), ..Known::default() };
            remember.insert(name.clone(), known);
        }
    }
    Ok(Compared { remember, moved })
}

/// The name that a resource had before servers were told apart.
fn without_server(name: &str) -> Option<&str> {
    name.split_once('@').map(|(name, _)| name)
}

/// The items that a Bundle describes of which the server is known: entry, id and server.
fn places(bundle: &Bundle, settled: &Settled) -> Vec<(usize, String, String)> {
    let described = settled.outcomes.iter().enumerate();
    let described = described.filter(|(_, outcome)| outcome.used && outcome.error.is_none());
    let described = described.filter(|(_, outcome)| ITEMS.contains(&outcome.kind.as_str()));
    described
        .filter_map(|(at, outcome)| Some((at, outcome.location.clone()?, bundle.entries[at].server.clone()?)))
        .collect()
}

/// Refuses an item under the id of one of another server; of a batch or a collection it is left out. Where the others are.
fn places_of_others(
    bundle: &Bundle,
    settled: &mut Settled,
    known: &HashMap<String, Known>,
) -> Result<BTreeMap<String, Known>, BundleError> {
    let mut remember = BTreeMap::new();
    let mut refused = Vec::new();
    for (entry, item_id, server) in places(bundle, settled) {
        let before = Origin::of(known.get(&item_id));
        if before.has(&server) {
            let said = before.after(Origin::at(&server));
            remember.insert(item_id.clone(), Known { name: item_id, said, ..Known::default() });
        } else {
            let detail = "has the id of one of another server; accepted is an id that no other server's has";
            let kind = settled.outcomes[entry].kind.clone();
            refused.push((item_id, FhirError::at(entry, kind, "conflict", detail)));
        }
    }
    if bundle.kind == BundleKind::Transaction && !refused.is_empty() {
        return Err(BundleError::Refused(refused.into_iter().map(|(_, error)| error).collect()));
    }
    for (item_id, error) in refused {
        settled.leave_out_item(&item_id, error);
    }
    Ok(remember)
}

/// Refuses what is said of one person under the id of another; of a batch or a collection it is left out.
async fn of_others(
    store: &dyn Store,
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
        let unlike = before.is_elsewhere(&now) && {
            let stored = stored_profile(store, &person.user_id).await?.unwrap_or_default();
            difference(person, &stored).is_some()
        };
        if let Some(detail) = before.contradicted(&now, person.guessed, unlike) {
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
