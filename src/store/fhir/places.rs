//! Hospitals, pharmacies and doctors beside what came before: whose an item is that comes under an id, and which version.

use std::collections::{BTreeMap, HashMap, HashSet};

use clinical::fhir::bundle::{Bundle, BundleKind};
use clinical::fhir::deletions::ITEMS;
use clinical::fhir::{FhirError, Settled};

use super::BundleError;
use super::known::{number, older};
use super::origin::Origin;
use crate::store::Known;

/// What came before, beside what comes now.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What is to be remembered once the Bundle is taken in.
    pub remember: BTreeMap<String, Known>,
    /// Entries that are older versions of items, and the items.
    pub older: Vec<(usize, String)>,
}

/// The items that a Bundle describes: entry, id and, where it is known, server.
pub(super) fn described(bundle: &Bundle, settled: &Settled) -> Vec<(usize, String, Option<String>)> {
    let items: HashSet<&String> = settled.items.iter().map(|item| &item.item_id).collect();
    let described = settled.outcomes.iter().enumerate();
    let described = described.filter(|(_, outcome)| outcome.used && outcome.error.is_none());
    let described = described.filter(|(_, outcome)| ITEMS.contains(&outcome.kind.as_str()));
    let named = |at: usize, id: &String| (at, id.clone(), bundle.entries[at].server.clone());
    described
        .filter_map(|(at, outcome)| Some((at, outcome.location.as_ref()?)))
        .filter(|(_, id)| items.contains(id))
        .map(|(at, id)| named(at, id))
        .collect()
}

/// Refuses an item under the id of one of another server; of a batch or a collection it is left out. Where the others are, and
/// which of them are older than what came before.
pub(super) fn compare(
    bundle: &Bundle,
    settled: &mut Settled,
    known: &HashMap<String, Known>,
) -> Result<Compared, BundleError> {
    let mut compared = Compared::default();
    let mut refused = Vec::new();
    for (entry, item_id, server) in described(bundle, settled) {
        let (row, version) = (known.get(&item_id), bundle.entries[entry].version);
        let before = Origin::of(row);
        if server.as_ref().is_some_and(|server| !before.has(server)) {
            let detail = "has the id of one of another server; accepted is an id that no other server's has";
            let kind = settled.outcomes[entry].kind.clone();
            refused.push((item_id, FhirError::at(entry, kind, "conflict", detail)));
            continue;
        }
        let said = before.after(server.as_deref().map(Origin::at).unwrap_or_default());
        let (updated, version) = match row.filter(|row| older(version, row)) {
            Some(row) => {
                compared.older.push((entry, item_id.clone()));
                (row.updated, row.version)
            }
            None => (version.updated, number(version)),
        };
        if said.is_some() || updated.is_some() || version.is_some() || row.is_some() {
            let name = item_id.clone();
            compared.remember.insert(item_id, Known { name, user_id: None, said, updated, version });
        }
    }
    if bundle.kind == BundleKind::Transaction && !refused.is_empty() {
        return Err(BundleError::Refused(refused.into_iter().map(|(_, error)| error).collect()));
    }
    for (item_id, error) in refused {
        settled.leave_out_item(&item_id, error);
    }
    Ok(compared)
}

/// Leaves out what happened at places, and with people, of another server than those that are stored under their ids.
pub(super) fn at_others(bundle: &Bundle, settled: &mut Settled, known: &HashMap<String, Known>) {
    let here: BTreeMap<String, String> = described(bundle, settled)
        .into_iter()
        .filter_map(|(_, item_id, server)| Some((item_id, server?)))
        .collect();
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
