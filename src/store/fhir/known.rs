//! What came before, put beside what comes now. An older version of a resource changes nothing, as a record may be sent in
//! any order: an entry in error must not come back. A record of somebody else under the id of a person is refused. A resource that moves to another person says no more of the first, whom
//! it never concerned. An order may refer to a Medication of an earlier Bundle, since an export that begins where the last
//! one ended has only what has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::bundle::{Bundle, BundleKind, Method, Version, has_come, medication};
use clinical::fhir::deletions::ITEMS;
use clinical::fhir::people::{PersonChange, Says, Statement};
use clinical::fhir::references::{held, holder_name, lasts};
use clinical::fhir::resources::Medication;
use clinical::fhir::{FhirError, Settled};

use super::links;
use super::origin::Origin;
use super::{BundleError, difference, stored_profile};
use crate::store::known::FORMER;
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
    stored: &HashMap<String, Medication>,
) -> Result<Compared, BundleError> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut identifiers: BTreeSet<String> = BTreeSet::new();
    for person in &settled.people {
        names.extend(person.patient.map(|_| format!("Patient/{}", person.user_id)));
        identifiers.extend(person.identifiers.iter().cloned());
        let said = person.statements.iter().map(|said| &said.resource).filter(|name| lasts(name));
        names.extend(said.cloned());
    }
    for (_, _, name) in &settled.deleted {
        names.extend([name.clone(), without_server(name).to_owned()]);
    }
    names.extend(settled.addressed.iter().map(|(_, user_id, _)| format!("Patient/{user_id}")));
    names.extend(settled.addressed_items.iter().map(|(_, item_id, _)| item_id.clone()));
    names.extend(places(bundle, settled).into_iter().map(|(_, item_id, _)| item_id));
    names.extend(medications_of(bundle, settled).map(|(_, name, _)| name.clone()));
    let names: Vec<String> = names.into_iter().collect();
    let known = store.known(&names).await?;
    let known: HashMap<String, Known> = known.into_iter().map(|known| (known.name.clone(), known)).collect();
    let mut holders = holders(store, identifiers).await?;
    of_deleted(settled, &known);
    of_others(store, bundle, settled, &known).await?;
    let mut remember = places_of_others(bundle, settled, &known)?;
    at_others(bundle, settled, &known);
    let mut moved: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    for person in &mut settled.people {
        for said in &mut person.statements {
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
            let before = Origin::of(known.get(&name));
            if let Some(newer) = known.get(&name).filter(|known| older(version, known)) {
                (person.birth_year, person.sex, person.place) = (None, None, None);
                settled.outcomes[patient].notes.push(note());
                // Where the record is as well is true whatever came first.
                let said = before.before(Origin::said(person)).written();
                remember.insert(name.clone(), Known { said, ..newer.clone() });
            } else {
                let now = before.clone().next(Origin::said(person));
                let dropped: Vec<&str> = before.dropped(&now).collect();
                if !dropped.is_empty() {
                    for had in store.identifiers_of(&user_id).await? {
                        let digest = had.name.trim_start_matches("Patient#");
                        if dropped.iter().any(|number| digest.starts_with(number)) {
                            let said = Some(FORMER.to_owned());
                            remember.insert(had.name.clone(), Known { said, ..had });
                        }
                    }
                }
                remember.insert(name.clone(), Known { said: now.written(), ..row(&name, version) });
            }
        }
        for name in &person.identifiers {
            // An identifier that two people have, such as a family's insurance, says of neither who it is.
            let all = holders.entry(name.clone()).or_default();
            let other = all.iter().find(|other| other.as_ref() != Some(&user_id));
            if let (Some(other), Some(patient)) = (other, person.patient) {
                let whom = match other {
                    Some(user) => format!("Patient/{user}"),
                    None => "other people".to_owned(),
                };
                let note =
                    format!("has an identifier that {whom} came with: by it nobody can tell them apart");
                settled.outcomes[patient].notes.push(("incomplete", note));
            }
            all.insert(Some(user_id.clone()));
            let name = holder_name(name, &user_id);
            remember.insert(name.clone(), row(&name, Version::default()));
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
    let medications: Vec<(usize, String, String)> =
        medications_of(bundle, settled).map(|(at, name, text)| (at, name.clone(), text.to_owned())).collect();
    let mut changed: BTreeMap<String, usize> = BTreeMap::new();
    for (at, name, text) in medications {
        let (version, before) = (bundle.entries[at].version, known.get(&name));
        if before.is_some_and(|known| older(version, known)) {
            settled.outcomes[at].used = false;
            settled.outcomes[at].notes.push(note());
            continue;
        }
        if before.and_then(|known| known.said.as_ref()).is_none_or(|said| *said != text) {
            changed.insert(name.clone(), at);
        }
        let (updated, version) = (version.updated, number(version));
        remember.insert(name.clone(), Known { name, user_id: None, said: Some(text), updated, version });
    }
    remember.extend(links::links(store, settled).await?);
    links::restate(store, bundle, settled, &changed, stored).await?;
    Ok(Compared { remember, moved })
}

/// The Medications of a Bundle: entry, the name under which it is known and its text.
fn medications_of<'a>(
    bundle: &'a Bundle,
    settled: &'a Settled,
) -> impl Iterator<Item = (usize, &'a String, &'a str)> {
    let sound = bundle.entries.iter().enumerate().filter(|(at, entry)| {
        entry.resource.is_ok() && settled.outcomes[*at].error.is_none() && settled.outcomes[*at].used
    });
    sound.filter_map(|(at, entry)| Some((at, settled.outcomes[at].name.as_ref()?, entry.text.as_deref()?)))
}

/// Who has, or had, each of these identifiers.
async fn holders(
    store: &dyn Store,
    identifiers: BTreeSet<String>,
) -> Result<HashMap<String, BTreeSet<Option<String>>>, StoreError> {
    let names: Vec<String> = identifiers.into_iter().collect();
    let mut holders: HashMap<String, BTreeSet<Option<String>>> = HashMap::new();
    for known in store.holders(&names).await? {
        holders.entry(held(&known.name).to_owned()).or_default().insert(known.user_id);
    }
    Ok(holders)
}

/// Has what was deleted say nothing any more, of whomever it was said. Of what is known without a server a denial alone may
/// be meant.
fn of_deleted(settled: &mut Settled, known: &HashMap<String, Known>) {
    for (entry, list, resource) in std::mem::take(&mut settled.deleted) {
        let row = known.get(&resource).or_else(|| known.get(without_server(&resource)));
        let Some(user_id) = row.and_then(|known| known.user_id.clone()) else {
            let note = "nothing is known here that it said";
            settled.outcomes[entry].notes.push(("informational", note.to_owned()));
            continue;
        };
        let said = Statement { entry, list, resource, says: Says::Nothing("deleted") };
        settled.outcomes[entry].used = true;
        match settled.people.iter_mut().find(|person| person.user_id == user_id) {
            Some(person) => person.statements.push(said),
            None => settled.people.push(PersonChange {
                user_id,
                statements: vec![said],
                ..PersonChange::default()
            }),
        }
    }
}

/// Leaves out what happened at places, and with people, of another server than those that are stored under their ids.
fn at_others(bundle: &Bundle, settled: &mut Settled, known: &HashMap<String, Known>) {
    let here: BTreeMap<String, String> =
        places(bundle, settled).into_iter().map(|(_, item_id, server)| (item_id, server)).collect();
    for (entry, item_id, server) in std::mem::take(&mut settled.addressed_items) {
        let stored = Origin::of(known.get(&item_id));
        let other = here.get(&item_id).is_some_and(|other| *other != server);
        if stored.is_of(&server) || (stored.has(&server) && !other) {
            continue;
        }
        let note = "refers to something of another server than what is stored under that id";
        settled.leave_out_happened_with(entry, &item_id, note);
    }
}

/// The name that a resource has where its server is not known.
fn without_server(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
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

/// Whether a version was made before the one that is known. Of versions without a time nobody can tell.
pub(super) fn older(version: Version, known: &Known) -> bool {
    // What was believed to come from a time that is still to come is older than nothing.
    let known_updated = known.updated.filter(|time| has_come(*time));
    match (version.updated, known_updated) {
        (Some(now), Some(before)) if now != before => now < before,
        _ => number(version).zip(known.version).is_some_and(|(now, before)| now < before),
    }
}

/// A version's number as the store has it.
pub(super) fn number(version: Version) -> Option<i64> {
    version.number.and_then(|number| i64::try_from(number).ok())
}
