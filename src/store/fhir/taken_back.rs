//! Carrying out deletions: people are erased, what deleted resources said of profiles and made is taken back, places and
//! doctors are hidden, and none of it comes back by an older version.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::deletions::HAPPENINGS;
use clinical::fhir::{Deletions, Spoken, people};
use recommend::{Item, User};

use super::origin::Origin;
use super::{BundleError, happened, holding, stored_profile};
use crate::store::known::DELETED;
use crate::store::{Intake, Known, RecordStore, Store, StoreError};

/// What became of deletions.
#[derive(Debug, Default)]
pub struct TakenBack {
    /// People who were erased.
    pub erased: Vec<String>,
    /// People of whose profiles something was taken back.
    pub changed: Vec<String>,
    /// People of whom an interaction was taken back.
    pub undone: Vec<String>,
    /// How many resources that make interactions were not known here, by type.
    pub not_undone: BTreeMap<String, usize>,
    /// Items that are hidden now.
    pub hidden: Vec<String>,
    /// How many deleted people are not erased: they came from other servers, or from others as well.
    pub of_others: usize,
}

/// Carries out deletions: people are erased, what resources said of profiles is taken back, items are hidden. What is not
/// here is passed over, so that deletions that come again change nothing.
///
/// # Errors
/// A store that does not answer; nothing is carried out then.
pub async fn take_back(store: &dyn Store, deletions: &Deletions) -> Result<TakenBack, BundleError> {
    let statements = deletions.known_names(deletions.statements.iter());
    // Which people a deleted resource was about is not said.
    let mut concerned: BTreeSet<String> = BTreeSet::new();
    if !statements.is_empty() {
        let gone = |resource: &str, _: bool| {
            statements.contains(resource) || deletions.statements.contains(resource)
        };
        let mut visit = |mut user: User| {
            if people::take_back(&mut user.profile, &gone) {
                concerned.insert(user.user_id);
            }
        };
        store.scan_users(&mut visit).await?;
    }
    let intake = store.begin_intake().await?;
    if !intake.is_alone() {
        let resources = deletions.statements.iter().chain(&deletions.happenings).chain(&deletions.items);
        let mut spoken = Spoken { resources: resources.cloned().collect(), ..Spoken::default() };
        spoken.people.extend(deletions.people.iter().chain(&concerned).cloned());
        holding::hold(intake.as_ref(), spoken, BTreeSet::new()).await?;
    }
    let done = take_back_within(intake.as_ref(), deletions, &concerned).await?;
    intake.commit().await?;
    Ok(done)
}

/// The same within a transaction; `concerned` are those of whom a deleted resource may have said something.
async fn take_back_within(
    store: &dyn Intake,
    deletions: &Deletions,
    concerned: &BTreeSet<String>,
) -> Result<TakenBack, BundleError> {
    let mut done = TakenBack::default();
    for user_id in &deletions.people {
        if let Some(server) = &deletions.server
            && !of_server_alone(store, user_id, server).await?
        {
            done.of_others += usize::from(stored_profile(store, user_id).await?.is_some());
            continue;
        }
        match store.delete_user(user_id).await {
            Ok(()) => done.erased.push(user_id.clone()),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Of what is known without a server a denial alone may be meant.
    let plain = without_server(store, deletions).await?;
    let statements = deletions.known_names(deletions.statements.iter());
    let gone =
        |resource: &str, denial: bool| statements.contains(resource) || (denial && plain.contains(resource));
    let mut users: Vec<User> = Vec::new();
    for user_id in concerned {
        let Some(mut profile) = stored_profile(store, user_id).await? else { continue };
        if people::take_back(&mut profile, &gone) {
            users.push(User { user_id: user_id.clone(), profile });
        }
    }
    let made = |name: &&String| HAPPENINGS.iter().any(|kind| name.split('/').next() == Some(*kind));
    let made: BTreeSet<String> =
        deletions.statements.iter().filter(made).chain(&deletions.happenings).cloned().collect();
    store.put(&users, &[], &[]).await?;
    done.changed = users.into_iter().map(|user| user.user_id).collect();
    let undone = happened::undo(store, &made, |names| deletions.known_names(names.iter())).await?;
    done.undone = undone.changed.into_iter().collect();
    done.not_undone = undone.unknown;
    // What these said of a profile was taken back all the same.
    done.not_undone.retain(|kind, _| deletions.happenings.iter().any(|name| name.starts_with(&**kind)));
    let places: Vec<String> = deletions.items.iter().cloned().collect();
    let places: HashMap<String, Known> =
        store.known(&places).await?.into_iter().map(|known| (known.name.clone(), known)).collect();
    let ours = |item_id: &&String| {
        let origin = Origin::of(places.get(*item_id));
        deletions.server.as_ref().is_none_or(|server| origin.has(server))
    };
    let ours: Vec<String> = deletions.items.iter().filter(ours).cloned().collect();
    let shown = store.stored_items(&ours).await?.into_iter().filter(|item| !item.hidden);
    let hidden: Vec<Item> = shown.map(|item| Item { hidden: true, ..item }).collect();
    store.put(&[], &hidden, &[]).await?;
    done.hidden = hidden.into_iter().map(|item| item.item_id).collect();
    write_down(store, deletions, &plain, places).await?;
    Ok(done)
}

/// Writes down that resources were deleted, as their newest version: what was deleted does not come back by an older one.
async fn write_down(
    store: &dyn Intake,
    deletions: &Deletions,
    plain: &BTreeSet<String>,
    places: HashMap<String, Known>,
) -> Result<(), StoreError> {
    let of_people = deletions.known_names(deletions.statements.iter().chain(&deletions.happenings));
    let said = Some(DELETED.to_owned());
    let mut rows: BTreeMap<String, Known> = BTreeMap::new();
    for known in store.known(&plain.iter().cloned().collect::<Vec<_>>()).await? {
        // What came without a server may be of this one, and must not come back from there.
        for name in deletions.known_names(std::iter::once(&known.name)) {
            let said = said.clone();
            rows.insert(name.clone(), Known { name, said, version: None, ..known.clone() });
        }
    }
    for known in store.known(&of_people.into_iter().collect::<Vec<_>>()).await? {
        // A server counts the deletion as a version.
        let next = |number: i64| number.saturating_add(i64::from(known.said != said));
        let version = known.version.map(next);
        rows.insert(known.name.clone(), Known { version, said: said.clone(), ..known });
    }
    rows.extend(places.into_iter().filter(|(_, known)| match &deletions.server {
        Some(server) => Origin::of(Some(known)).has(server),
        None => true,
    }));
    let deleted =
        rows.into_values().map(|known| Known { updated: deletions.time.or(known.updated), ..known });
    store.put_known(&deleted.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Whether a person came from this server and from no other. Where others have the record as well it stays, as theirs.
async fn of_server_alone(store: &dyn Intake, user_id: &str, server: &str) -> Result<bool, StoreError> {
    let known = store.known(&[format!("Patient/{user_id}")]).await?;
    let origin = Origin::of(known.first());
    if !origin.is_of(server) {
        return Ok(false);
    }
    let Some(rest) = origin.without(server) else { return Ok(true) };
    let row = known.into_iter().map(|known| Known { said: rest.clone().after(Origin::default()), ..known });
    store.put_known(&row.collect::<Vec<_>>()).await?;
    Ok(false)
}

/// The deleted resources that came without a server, of people who came from this one.
async fn without_server(
    store: &dyn RecordStore,
    deletions: &Deletions,
) -> Result<BTreeSet<String>, StoreError> {
    let Some(server) = &deletions.server else { return Ok(BTreeSet::new()) };
    let names: Vec<String> = deletions.statements.iter().cloned().collect();
    let known = store.known(&names).await?;
    let patients: BTreeSet<String> =
        known.iter().filter_map(|known| Some(format!("Patient/{}", known.user_id.as_ref()?))).collect();
    let patients = store.known(&patients.into_iter().collect::<Vec<_>>()).await?;
    let ours = |patient: &&Known| Origin::of(Some(patient)).is_of(server);
    let ours: BTreeSet<&str> = patients.iter().filter(ours).map(|patient| patient.name.as_str()).collect();
    let of_ours = |known: &Known| {
        known.user_id.as_ref().is_some_and(|user| ours.contains(format!("Patient/{user}").as_str()))
    };
    Ok(known.into_iter().filter(of_ours).map(|known| known.name).collect())
}
