//! Taking a FHIR Bundle into a store: what it refers to is looked up, what it says is put beside what is
//! stored, and what follows is written, all in one transaction ([`Intake`]), so that of two Bundles about one person the
//! second reads what the first has written, and neither loses the other's allergy.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::bundle::Bundle;
use clinical::fhir::items::merge;
use clinical::fhir::references::held;
use clinical::fhir::settle::{Created, Outcome};
use clinical::fhir::{BundleKind, FhirError, Found, PersonChange, Settled, Statement, Wanted};
use recommend::{FieldError, Item, Kind, Millis, Profile, Sex, SourceError, User};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

pub use self::holding::{Foreseen, foresee};
pub use self::taken_back::{TakenBack, take_back};
use super::known::FORMER;
use super::postgres::was_taken_back;
use super::{Intake, ItemQuery, Loaded, RecordStore, Store, StoreError};

pub mod asked;
mod happened;
mod holding;
mod known;
mod links;
mod origin;
mod patients;
mod places;
mod taken_back;

/// Items read at once where one is looked for by an identifier.
const PAGE: u32 = 1_000;

/// How often a Bundle is tried that the database takes back for another write's sake.
const TRIES: u32 = 5;

/// Why nothing of a Bundle was taken in.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// What is wrong with the Bundle: everything at once.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Refused(Vec<FhirError>),
    /// A person or an item does not fit once it is put together.
    #[error("{what} {}: {}", .error.pointer, .error.detail)]
    Unfit {
        /// Whose: `Patient/7`.
        what: String,
        /// An entry that speaks of it.
        entry: Option<usize>,
        /// Which part of it, and why.
        error: FieldError,
    },
    /// The store refused or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The time for it passed before anything was written.
    #[error("the time limit passed before the Bundle was read")]
    DeadlinePassed,
}

/// For what a Bundle waits that refers to something which may come with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For nothing: what is missing is left out.
    No,
    /// For people.
    People,
    /// For people, items and Medications.
    All,
}

/// Whether an entry was left out, as a version of its resource that is no older came before.
pub fn is_older(outcome: &Outcome) -> bool {
    outcome.notes.contains(&known::note())
}

/// Takes a Bundle in, whole or not at all; of a batch, each entry that can be taken. One that misses what it is to wait for
/// is left for later. What was `foreseen` of it need not be worked out once more.
///
/// # Errors
/// What is wrong with the Bundle, and a store that does not answer; nothing of it is taken then.
pub async fn take_in(
    store: &dyn Store,
    bundle: &Bundle,
    now: Millis,
    wait: Wait,
    mut foreseen: Option<Foreseen>,
) -> Result<Option<(Settled, Loaded)>, BundleError> {
    let mut left = TRIES;
    loop {
        left -= 1;
        let foreseen = match foreseen.take() {
            Some(foreseen) => foreseen,
            None => foresee(store, bundle, now, None).await?,
        };
        match take_in_once(store, bundle, now, wait, foreseen).await {
            Err(BundleError::Store(error)) if left > 0 && was_taken_back(&error) => {}
            done => return done,
        }
    }
}

/// Runs what may take long on a thread from which the tasks of others are taken first, where the runtime has others.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        _ => work(),
    }
}

async fn take_in_once(
    store: &dyn Store,
    bundle: &Bundle,
    now: Millis,
    wait: Wait,
    foreseen: Foreseen,
) -> Result<Option<(Settled, Loaded)>, BundleError> {
    let intake = store.begin_intake().await?;
    let settled = take_in_within(intake.as_ref(), bundle, now, wait, Some(foreseen)).await?;
    let Some(settled) = settled else { return Ok(None) };
    Ok(Some((settled, intake.commit().await?)))
}

/// The same within a transaction, at whose end it is there. What was `foreseen` of it need not be worked out again.
///
/// # Errors
/// As of [`take_in`]; the transaction is to be dropped then.
pub async fn take_in_within(
    store: &dyn Intake,
    bundle: &Bundle,
    now: Millis,
    wait: Wait,
    foreseen: Option<Foreseen>,
) -> Result<Option<Settled>, BundleError> {
    let (mapped, medications) = holding::map(store, bundle, now, foreseen).await?;
    let found = look_up(store, &mapped.wanted()).await?;
    let mut settled = match aside(|| mapped.settle(&found)) {
        Err(errors) if wait != Wait::No && errors.iter().all(|error| error.code == "not-found") => {
            return Ok(None);
        }
        settled => settled.map_err(BundleError::Refused)?,
    };
    let missing = match wait {
        Wait::No => 0,
        Wait::People => settled.unknown_people,
        Wait::All => settled.unknown_items + settled.unknown_people + settled.unknown_drugs,
    };
    if missing > 0 {
        return Ok(None);
    }
    of_another(store, bundle, &mut settled).await?;
    let known::Compared { remember, moved, older_items } =
        known::compare(store, bundle, &mut settled, &medications).await?;
    let mut users = Vec::with_capacity(settled.people.len());
    let mut unfit = Vec::new();
    for person in &settled.people {
        let stored = stored_profile(store, &person.user_id).await?;
        if let Some(patient) = person.patient.filter(|_| stored.is_none()) {
            settled.outcomes[patient].created = true;
        }
        let mut profile = stored.unwrap_or_default();
        let another = unlike(person, &profile);
        person.apply(&mut profile);
        let user = User { user_id: person.user_id.clone(), profile };
        match another.or_else(|| user.validate("", now).into_iter().next()) {
            None => users.push(user),
            Some(error) if bundle.kind == BundleKind::Transaction => {
                let entry = person.patient.or_else(|| person.statements.first().map(|said| said.entry));
                let what = format!("Patient/{}", user.user_id);
                return Err(BundleError::Unfit { what, entry, error });
            }
            Some(error) => unfit.push((user.user_id, error)),
        }
    }
    // One odd record does not keep a hospital's others out.
    for (user_id, error) in unfit {
        let detail =
            format!("the person's {} {}", error.pointer.trim_start_matches("/profile/"), error.detail);
        settled.leave_out(&user_id, "business-rule", &detail);
    }
    take_away(store, &mut settled, moved, &mut users).await?;
    let changes = happened::compare(store, bundle, &mut settled).await?;
    let ids: Vec<String> = settled.items.iter().map(|item| item.item_id.clone()).collect();
    let mut stored: HashMap<String, Item> = HashMap::new();
    for ids in ids.chunks(PAGE as usize) {
        stored.extend(store.stored_items(ids).await?.into_iter().map(|item| (item.item_id.clone(), item)));
    }
    for (entry, item_id) in older_items {
        // One that was removed here comes again all the same.
        let Some(newer) = stored.get(&item_id) else { continue };
        settled
            .items
            .iter_mut()
            .filter(|item| item.item_id == item_id)
            .for_each(|item| item.clone_from(newer));
        settled.outcomes[entry].used = false;
        settled.outcomes[entry].notes.push(known::note());
    }
    for item in &mut settled.items {
        *item = merge(stored.get(&item.item_id), item);
        if let Some(error) = item.validate("").into_iter().next() {
            return Err(BundleError::Unfit { what: item.item_id.clone(), entry: None, error });
        }
    }
    store.put(&users, &settled.items, &settled.interactions).await?;
    settled.taken_back = changes.take_back(store).await?;
    known::remember(store, &settled, remember).await?;
    store.put_known(&changes.known).await?;
    Ok(Some(settled))
}

/// Holds all that a Bundle speaks of, for who reads what is known of its people before it is taken in.
///
/// # Errors
/// A store that does not answer.
pub async fn hold(store: &dyn Intake, bundle: &Bundle, now: Millis) -> Result<(), StoreError> {
    if !store.is_alone() {
        holding::map(store, bundle, now, None).await?;
    }
    Ok(())
}

/// Takes from people what resources said of them that belong to others now, as far as these resources go in.
async fn take_away(
    store: &dyn RecordStore,
    settled: &mut Settled,
    moved: BTreeMap<String, Vec<Statement>>,
    users: &mut Vec<User>,
) -> Result<(), StoreError> {
    for (user_id, mut statements) in moved {
        statements.retain(|said| settled.outcomes[said.entry].error.is_none());
        if statements.is_empty() {
            continue;
        }
        let person = PersonChange { user_id: user_id.clone(), statements, ..PersonChange::default() };
        match users.iter_mut().find(|user| user.user_id == user_id) {
            Some(user) => person.apply(&mut user.profile),
            None => {
                let Some(stored) = stored_profile(store, &user_id).await? else { continue };
                let mut profile = stored.clone();
                person.apply(&mut profile);
                if profile == stored {
                    continue;
                }
                users.push(User { user_id: user_id.clone(), profile });
            }
        }
        match settled.people.iter_mut().find(|known| known.user_id == user_id) {
            Some(known) => known.statements.extend(person.statements),
            None => settled.people.push(person),
        }
    }
    Ok(())
}

/// Refuses the creation of somebody whose identifier one has here who is of another year of birth or sex: the number was
/// given to two, or corrected, and what is said of the one must not be said of the other. Of a batch or a collection it is
/// left out, with what is said of that person.
async fn of_another(
    store: &dyn RecordStore,
    bundle: &Bundle,
    settled: &mut Settled,
) -> Result<(), BundleError> {
    const DETAIL: &str = "is created by an identifier (ifNoneExist) that a person has who is stored with another year of birth \
                          or sex; name the person by the id, or give each an identifier of its own";
    let mut others = Vec::new();
    for created in std::mem::take(&mut settled.created) {
        let stored = stored_profile(store, &created.user_id).await?.unwrap_or_default();
        if difference((created.birth_year, created.sex), &stored).is_some() {
            others.push(created);
        }
    }
    let errors = |created: &Created| -> Vec<FhirError> {
        let of = created.entries.iter();
        of.map(|entry| FhirError::at(*entry, "Patient", "multiple-matches", DETAIL)).collect()
    };
    let refused: Vec<FhirError> = others.iter().flat_map(errors).collect();
    if bundle.kind == BundleKind::Transaction && !refused.is_empty() {
        return Err(BundleError::Refused(refused));
    }
    for created in others {
        settled.leave_out(&created.user_id, "multiple-matches", DETAIL);
        for error in errors(&created) {
            if let Some(entry) = error.entry {
                settled.outcomes[entry].error = Some(error);
            }
        }
    }
    Ok(())
}

/// What of a record is another than of the person who is stored, of the year of birth and the sex.
fn difference(said: (Option<i32>, Option<Sex>), stored: &Profile) -> Option<&'static str> {
    let birth = stored.birth_year.zip(said.0).is_some_and(|(one, other)| one != other);
    let sex = stored.sex.zip(said.1).is_some_and(|(one, other)| one != other);
    birth.then_some("/profile/birth_year").or(sex.then_some("/profile/sex"))
}

/// Why somebody who is known by an identifier alone is another than the one who is stored: a number that a family shares must
/// not make two people one. Whoever says that it tells who this is (an id, ifNoneExist) may correct the rest.
fn unlike(person: &PersonChange, stored: &Profile) -> Option<FieldError> {
    let pointer = difference((person.birth_year, person.sex), stored).filter(|_| person.guessed)?;
    let detail = "is another than that of the person who came with this identifier; accepted is a resource with an id, or \
                  ifNoneExist with an identifier that nobody else has";
    Some(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() })
}

/// A person's profile, if the person is stored.
///
/// # Errors
/// A store that does not answer.
pub async fn stored_profile(store: &dyn RecordStore, user_id: &str) -> Result<Option<Profile>, StoreError> {
    match store.get_user(user_id).await {
        Ok(user) => Ok(Some(user.profile)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn look_up(store: &dyn RecordStore, wanted: &Wanted) -> Result<Found, BundleError> {
    let mut found = Found::default();
    for user_id in &wanted.people {
        if stored_profile(store, user_id).await?.is_some() {
            found.people.insert(user_id.clone());
        }
    }
    let ids: Vec<String> = wanted.items.iter().cloned().collect();
    if !ids.is_empty() {
        found.items = store.stored_items(&ids).await?.into_iter().map(|item| item.item_id).collect();
    }
    let names: Vec<String> = wanted.people_by_identifier.iter().cloned().collect();
    let mut holders: HashMap<String, usize> = HashMap::new();
    for known in store.holders(&names).await? {
        let name = held(&known.name).to_owned();
        // One that somebody had before tells of nobody who that is.
        let holder = known.user_id.filter(|_| known.said.as_deref() != Some(FORMER));
        *holders.entry(name.clone()).or_default() += 1;
        match (holder, found.people_by_identifier.get(&name)) {
            (Some(user), None) => drop(found.people_by_identifier.insert(name, user)),
            (Some(user), Some(other)) if user == *other => {}
            _ => drop(found.shared.insert(name)),
        }
    }
    found.former = found.shared.iter().filter(|name| holders.get(*name) == Some(&1)).cloned().collect();
    found.people_by_identifier.retain(|name, _| !found.shared.contains(name));
    if !wanted.identifiers.is_empty() {
        found.identifiers = identified(store, &wanted.identifiers).await?;
    }
    Ok(found)
}

/// The items that have these identifiers, by type and identifier.
async fn identified(
    store: &dyn RecordStore,
    wanted: &BTreeSet<String>,
) -> Result<HashMap<String, String>, StoreError> {
    let mut found = HashMap::new();
    for kind in [Kind::Hospital, Kind::Doctor, Kind::Pharmacy] {
        let mut after = None;
        loop {
            let query = ItemQuery { kind: Some(kind), after, limit: PAGE };
            let items = store.list_items(&query).await?;
            for item in &items {
                let resource = item.item_id.split('/').next().unwrap_or_default();
                let identifiers = item.attributes.get("identifiers").and_then(|list| list.as_array());
                for identifier in identifiers.into_iter().flatten().filter_map(|one| one.as_str()) {
                    let name = format!("{resource}?identifier={identifier}");
                    if wanted.contains(&name) {
                        found.insert(name, item.item_id.clone());
                    }
                }
            }
            if items.len() < PAGE as usize || found.len() == wanted.len() {
                break;
            }
            after = items.last().map(|item| item.item_id.clone());
        }
    }
    Ok(found)
}
