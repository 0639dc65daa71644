//! Interactions that follow from resources, and are taken back with them: of an Encounter that was entered in error, moved to
//! another day or deleted nothing stays. What a resource made is kept beside it (`resources_known`), and goes only where no
//! other resource of the person says the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::Settled;
use clinical::fhir::bundle::{Bundle, Version};
use clinical::fhir::deletions::HAPPENINGS;
use clinical::fhir::references::{lasts, without_server};
use recommend::Millis;

use super::known::{note, number, older};
use crate::store::known::DELETED;
use crate::store::{Intake, InteractionFilter, Known, RecordStore, StoreError};

/// An interaction as a resource made it: item, event and time.
type Made = (String, String, Millis);

/// What is to be done once a Bundle is taken in.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// What its resources made.
    pub known: Vec<Known>,
    /// What they made before and do not make any more, by person.
    gone: BTreeMap<String, BTreeSet<Made>>,
    /// The resources that are spoken of.
    names: BTreeSet<String>,
}

/// What a resource made before, where that is known.
fn before(known: &Known) -> BTreeSet<Made> {
    known.said.as_deref().and_then(|said| serde_json::from_str(said).ok()).unwrap_or_default()
}

/// Puts what resources make beside what they made before. Of those that are older than what came before nothing is taken.
pub(super) async fn compare(
    store: &dyn RecordStore,
    bundle: &Bundle,
    settled: &mut Settled,
) -> Result<Changes, StoreError> {
    let mut entries: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, outcome) in settled.outcomes.iter().enumerate() {
        let name = outcome.name.as_ref().filter(|name| lasts(name) && name.len() <= 500);
        if let Some(name) =
            name.filter(|_| HAPPENINGS.contains(&outcome.kind.as_str()) && outcome.error.is_none())
        {
            entries.entry(name.clone()).or_default().push(at);
        }
    }
    let names: Vec<String> = entries.keys().cloned().collect();
    let known: HashMap<String, Known> =
        store.known(&names).await?.into_iter().map(|known| (known.name.clone(), known)).collect();
    let newest = |of: &[usize]| -> Version {
        let versions = of.iter().map(|at| bundle.entries[*at].version);
        versions.max_by_key(|version| (version.updated, version.number)).unwrap_or_default()
    };
    let is_old = |(name, of): (&String, &Vec<usize>)| {
        known.get(name).filter(|before| older(newest(of), before)).map(|_| of.clone())
    };
    let old: BTreeSet<usize> = entries.iter().filter_map(is_old).flatten().collect();
    for at in &old {
        let outcome = &mut settled.outcomes[*at];
        outcome.used = false;
        if !outcome.notes.contains(&note()) {
            outcome.notes.push(note());
        }
    }
    settled.leave_out_happened(&old);
    let mut made: BTreeMap<usize, BTreeSet<(String, Made)>> = BTreeMap::new();
    for (one, of) in settled.happened() {
        let made_of = (one.user_id.clone(), (one.item_id.clone(), one.event.clone(), one.time));
        for at in of {
            made.entry(*at).or_default().insert(made_of.clone());
        }
    }
    let mut changes = Changes::default();
    for (name, of) in entries.into_iter().filter(|(_, of)| !of.iter().any(|at| old.contains(at))) {
        let now: BTreeSet<&(String, Made)> = of.iter().filter_map(|at| made.get(at)).flatten().collect();
        let known = known.get(&name);
        let user_id = now.first().map(|(user, _)| user.clone());
        let Some(user_id) = user_id.or_else(|| known.and_then(|known| known.user_id.clone())) else {
            continue;
        };
        if let Some((other, known)) = known.and_then(|known| Some((known.user_id.clone()?, known))) {
            let stays = |made: &Made| now.iter().any(|(user, own)| *user == other && own == made);
            let gone = before(known).into_iter().filter(|made| !stays(made));
            changes.gone.entry(other.clone()).or_default().extend(gone);
        }
        let version = newest(&of);
        let said: Vec<&Made> = now.iter().map(|(_, made)| made).collect();
        // Strings and numbers are always JSON.
        let said = (!said.is_empty()).then(|| serde_json::to_string(&said).unwrap_or_default());
        changes.known.push(Known {
            name: name.clone(),
            user_id: Some(user_id),
            said,
            updated: version.updated,
            version: number(version),
        });
        changes.names.insert(name);
    }
    changes.gone.retain(|_, gone| !gone.is_empty());
    for one in &settled.interactions {
        if let Some(gone) = changes.gone.get_mut(&one.user_id) {
            gone.remove(&(one.item_id.clone(), one.event.clone(), one.time));
        }
    }
    Ok(changes)
}

impl Changes {
    /// Takes back what is not made any more; the people of whom something was.
    pub(super) async fn take_back(&self, intake: &dyn Intake) -> Result<BTreeSet<String>, StoreError> {
        let mut changed = BTreeSet::new();
        for (user_id, gone) in &self.gone {
            let others = intake.known_of(user_id).await?.into_iter();
            let others = others.filter(|known| !self.names.contains(&known.name));
            let others: BTreeSet<Made> = others.flat_map(|known| before(&known)).collect();
            for (item_id, event, time) in gone.difference(&others) {
                let filter = InteractionFilter {
                    item_id: Some(item_id.clone()),
                    event: Some(event.clone()),
                    time: Some(*time),
                };
                match intake.delete_interactions(user_id, &filter).await {
                    Ok(0) | Err(StoreError::NotFound { .. }) => {}
                    Ok(_) => drop(changed.insert(user_id.clone())),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(changed)
    }
}

/// What became of deleted resources.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// People of whom an interaction was taken back.
    pub changed: BTreeSet<String>,
    /// How many resources are not known here, by type.
    pub unknown: BTreeMap<String, usize>,
}

/// Takes back what deleted resources made; `known_names` are those under which they are known.
pub(super) async fn undo(
    intake: &dyn Intake,
    deleted: &BTreeSet<String>,
    known_names: impl Fn(&BTreeSet<String>) -> BTreeSet<String>,
) -> Result<Undone, StoreError> {
    let names = known_names(deleted);
    let mut changes = Changes { names: names.clone(), ..Changes::default() };
    let mut undone = Undone::default();
    let mut unknown = deleted.clone();
    for known in intake.known(&names.into_iter().collect::<Vec<_>>()).await? {
        unknown.remove(without_server(&known.name));
        let made = known.said.as_deref().is_some_and(|said| said != DELETED);
        if let Some(user_id) = known.user_id.as_ref().filter(|_| made) {
            changes.gone.entry(user_id.clone()).or_default().extend(before(&known));
            changes.known.push(Known { said: None, ..known });
        }
    }
    for name in unknown {
        let kind = name.split('/').next().unwrap_or_default();
        *undone.unknown.entry(kind.to_owned()).or_default() += 1;
    }
    undone.changed = changes.take_back(intake).await?;
    intake.put_known(&changes.known).await?;
    Ok(undone)
}
