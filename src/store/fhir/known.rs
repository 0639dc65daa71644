//! What came before, put beside what comes now. An older version of a resource changes nothing, as a record may be sent in
//! any order: an entry in error must not come back. A record of somebody else under the id of a person is refused. A resource that moves to another person says no more of the first, whom
//! it never concerned. An order may refer to a Medication of an earlier Bundle, since an export that begins where the last
//! one ended has only what has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::bundle::{Bundle, Method, Version, has_come, medication};
use clinical::fhir::people::{PersonChange, Says, Statement};
use clinical::fhir::references::{id_of, known_name, lasts, without_server};
use clinical::fhir::resources::Medication;
use clinical::fhir::{Settled, medications_elsewhere};

use super::origin::Origin;
use super::patients::{Holders, of_others};
use super::{BundleError, links, patients, places};
use crate::store::{Known, RecordStore, StoreError};

/// What is said of a resource that says nothing any more and of which nothing was known.
const NOT_KNOWN: &str = "nothing is known here that it said";
/// The same, where something came under its id another way.
const OTHER_WAY: &str =
    "what came under this id another way (with a server, or without one) stays, unless it was a denial";

/// What is said of a denial about somebody whose records of two sources have no identifier in common.
const OF_WHOM: &str = "denies, of a person whose records came from two sources without an identifier in common: that counts for \
                       nobody, since it may be of another";

/// The Medications that a Bundle holds, by the names under which they are known, with their versions.
fn medications_here(bundle: &Bundle) -> HashMap<String, Vec<Version>> {
    let mut here: HashMap<String, Vec<Version>> = HashMap::new();
    for entry in bundle.entries.iter().filter(|entry| entry.kind == "Medication") {
        // An id with a NUL is refused, and no database is to be asked for one.
        let id = id_of(entry).filter(|id| !id.chars().any(char::is_control));
        if let Some(name) = id.map(|id| known_name(&entry.kind, &id, entry.server.as_deref())) {
            here.entry(name).or_default().push(entry.version);
        }
    }
    here
}

/// The names of the Medications that a Bundle holds or refers to.
pub(super) fn medication_names(bundle: &Bundle) -> BTreeSet<String> {
    medications_here(bundle).into_keys().chain(medications_elsewhere(bundle)).collect()
}

/// The Medications that a Bundle refers to and does not hold, and those of which it holds none but older versions, by the
/// names under which they are known, as they are stored: what its orders are is what the newest says.
pub(super) async fn medication_texts(
    store: &dyn RecordStore,
    bundle: &Bundle,
) -> Result<BTreeMap<String, String>, StoreError> {
    let here = medications_here(bundle);
    let names: Vec<String> = medication_names(bundle).into_iter().collect();
    let known = store.known(&names).await?.into_iter();
    let newest = known.filter(|known| {
        here.get(&known.name).is_none_or(|versions| versions.iter().all(|version| older(*version, known)))
    });
    Ok(newest.filter_map(|known| Some((known.name, known.said?))).collect())
}

/// Reads what is stored of Medications.
pub(super) fn read(stored: &BTreeMap<String, String>) -> HashMap<String, Medication> {
    stored.iter().filter_map(|(name, text)| Some((name.clone(), medication(text)?))).collect()
}

/// What came before, beside what comes now.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What is to be remembered once the Bundle is taken in.
    pub remember: BTreeMap<String, Known>,
    /// What resources say no more of people to whom they do not belong any more.
    pub moved: BTreeMap<String, Vec<Statement>>,
    /// Entries that are older versions of items, and the items.
    pub older_items: Vec<(usize, String)>,
}

/// What is known of all that a Bundle speaks of.
pub(super) struct Before {
    /// By name.
    pub known: HashMap<String, Known>,
    /// By a resource's name what came under the same id another way: where one of both says its server and the other does not.
    other_ways: HashMap<String, Vec<Known>>,
}

impl Before {
    /// The people of whom something may have been said under a name that came another way.
    fn others<'a>(&'a self, said: &'a Statement) -> impl Iterator<Item = &'a Known> {
        self.other_ways.get(&said.resource).into_iter().flatten()
    }

    /// Where the record of a person comes from.
    fn origin(&self, user_id: &str) -> Origin {
        Origin::of(self.known.get(&format!("Patient/{user_id}")))
    }
}

/// Leaves out what is older than what came before, and tells what resources said of the people to whom they do not
/// belong any more.
///
/// # Errors
/// A transaction that speaks of one person under the id of another, and a store that does not answer.
pub(super) async fn compare(
    store: &dyn RecordStore,
    bundle: &Bundle,
    settled: &mut Settled,
    stored: &HashMap<String, Medication>,
) -> Result<Compared, BundleError> {
    let before = look_up(store, bundle, settled).await?;
    let known = &before.known;
    let mut holders = Holders::of(store, settled).await?;
    of_deleted(settled, known);
    of_others(store, bundle, settled, known).await?;
    let places::Compared { mut remember, older: older_items } = places::compare(bundle, settled, known)?;
    places::at_others(bundle, settled, known);
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
        if let Some(patient) = person.patient {
            let (version, outcome) = (bundle.entries[patient].version, &mut settled.outcomes[patient]);
            let rows = patients::compare(store, person, (version, outcome), known, &mut holders).await?;
            remember.extend(rows);
        }
        person.without_denials |= before.origin(&user_id).is_mixed();
        if person.without_denials {
            for said in person.statements.iter_mut().filter(|said| said.says == Says::NoneKnown) {
                said.says = Says::Nothing(OF_WHOM);
                settled.outcomes[said.entry].notes.push(("incomplete", OF_WHOM.to_owned()));
            }
        }
        person.statements.retain(|said| {
            if !lasts(&said.resource) {
                return true;
            }
            let (entry, outcome) = (&bundle.entries[said.entry], &mut settled.outcomes[said.entry]);
            let row = known.get(&said.resource);
            let own = |other: &&Known| other.user_id.as_ref() == Some(&user_id);
            // A denial goes with what may be the same, and so it does not come back by an older version of that.
            let denied = before.others(said).filter(|_| said.says == Says::NoneKnown);
            if row.into_iter().chain(denied.filter(own)).any(|known| older(entry.version, known)) {
                outcome.used = false;
                outcome.notes.push(note());
                return false;
            }
            if let (Says::Nothing(reason), None) = (&said.says, row) {
                let other_way = before.others(said).any(|other| own(&other));
                let unknown = entry.method == Some(Method::Put) && reason.contains("entered in error");
                let note = match (other_way, unknown) {
                    (true, _) => Some(OTHER_WAY),
                    (false, true) => Some(NOT_KNOWN),
                    (false, false) => None,
                };
                outcome.notes.extend(note.map(|note| ("informational", note.to_owned())));
            }
            // What may be the same belongs to somebody else now, where both people's records are on that server.
            let other_ways = before.others(said).filter(|other| {
                let (first, second) = (other.user_id.as_deref().unwrap_or_default(), &user_id);
                before.origin(first).is_with(&said.resource) && before.origin(second).is_with(&other.name)
            });
            if here.get(&said.resource) == Some(&user_id) {
                for other in row.into_iter().chain(other_ways).filter_map(|known| known.user_id.as_ref()) {
                    if *other != user_id {
                        let says = Says::Nothing("of somebody else");
                        moved.entry(other.clone()).or_default().push(Statement { says, ..said.clone() });
                    }
                }
            }
            let (updated, version) = (entry.version.updated, number(entry.version));
            let (name, user_id) = (said.resource.clone(), Some(user_id.clone()));
            remember.insert(name.clone(), Known { name, user_id, said: None, updated, version });
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
    Ok(Compared { remember, moved, older_items })
}

/// Reads what is known of all that a Bundle speaks of.
async fn look_up(store: &dyn RecordStore, bundle: &Bundle, settled: &Settled) -> Result<Before, StoreError> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut plain: BTreeSet<String> = BTreeSet::new();
    for person in &settled.people {
        names.insert(format!("Patient/{}", person.user_id));
        for name in person.statements.iter().map(|said| &said.resource).filter(|name| lasts(name)) {
            names.extend([name.clone(), without_server(name).to_owned()]);
            plain.extend(Some(name).filter(|name| without_server(name) == *name).cloned());
        }
    }
    for (_, _, name) in &settled.deleted {
        names.extend([name.clone(), without_server(name).to_owned()]);
    }
    names.extend(settled.addressed.iter().map(|(_, user_id, _)| format!("Patient/{user_id}")));
    names.extend(settled.addressed_items.iter().map(|(_, item_id, _)| item_id.clone()));
    names.extend(places::described(bundle, settled).into_iter().map(|(_, item_id, _)| item_id));
    names.extend(medications_of(bundle, settled).map(|(_, name, _)| name.clone()));
    let known = store.known(&names.into_iter().collect::<Vec<_>>()).await?;
    let mut known: HashMap<String, Known> =
        known.into_iter().map(|known| (known.name.clone(), known)).collect();
    let mut other_ways: HashMap<String, Vec<Known>> = HashMap::new();
    for row in store.on_servers(&plain.into_iter().collect::<Vec<_>>()).await? {
        if lasts(&row.name) {
            other_ways.entry(without_server(&row.name).to_owned()).or_default().push(row);
        }
    }
    for said in settled.people.iter().flat_map(|person| &person.statements) {
        let plain = without_server(&said.resource);
        if let Some(row) = known.get(plain).filter(|_| plain != said.resource) {
            other_ways.entry(said.resource.clone()).or_insert_with(|| vec![row.clone()]);
        }
    }
    let owners = other_ways.values().flatten().filter_map(|row| row.user_id.as_ref());
    let owners: BTreeSet<String> = owners.map(|user_id| format!("Patient/{user_id}")).collect();
    let owners: Vec<String> = owners.into_iter().filter(|name| !known.contains_key(name)).collect();
    let owners = store.known(&owners).await?;
    known.extend(owners.into_iter().map(|known| (known.name.clone(), known)));
    Ok(Before { known, other_ways })
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

/// Has what was deleted say nothing any more, of whomever it was said. Of what is known without a server a denial alone may
/// be meant.
fn of_deleted(settled: &mut Settled, known: &HashMap<String, Known>) {
    for (entry, list, resource) in std::mem::take(&mut settled.deleted) {
        let row = known.get(&resource).or_else(|| known.get(without_server(&resource)));
        let Some(user_id) = row.and_then(|known| known.user_id.clone()) else {
            settled.outcomes[entry].notes.push(("informational", NOT_KNOWN.to_owned()));
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

/// Writes down what is to be remembered of those who went in.
pub(super) async fn remember(
    store: &dyn RecordStore,
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
