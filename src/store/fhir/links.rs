//! Orders whose Medication comes later, or again with another name: what is taken is what the Medication says now. An order
//! itself is not kept, so it is kept of which Medication it is, in two rows of `resources_known`: one by which a Medication
//! finds its orders (`Medication/m1#MedicationRequest/r1`), and one that says of which an order is now and what it calls it
//! (`MedicationRequest/r1#drug`), since an order may be changed to be of another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::fhir::bundle::Bundle;
use clinical::fhir::people::{self, List, PersonChange, Statement};
use clinical::fhir::references::{Index, lasts};
use clinical::fhir::resources::Medication;
use clinical::fhir::{Settled, ordered};
use serde::{Deserialize, Serialize};

use super::stored_profile;
use crate::store::{Known, RecordStore, StoreError};

/// Of which Medication an order is that is taken.
#[derive(Debug, Serialize, Deserialize)]
struct Of {
    /// The name under which it is known.
    medication: String,
    /// What the order calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display: Option<String>,
}

/// The name of the row that says of which Medication an order is.
fn of_order(order: &str) -> String {
    format!("{order}#drug")
}

/// Of which Medications the orders of a Bundle are. Of one that is of none any more, or is not taken, that is said as well.
pub(super) async fn links(
    store: &dyn RecordStore,
    settled: &Settled,
) -> Result<BTreeMap<String, Known>, StoreError> {
    let linked: HashMap<usize, _> = settled.links.iter().map(|link| (link.entry, link)).collect();
    let mut rows = BTreeMap::new();
    let mut without: BTreeMap<String, &String> = BTreeMap::new();
    for person in &settled.people {
        let orders = person.statements.iter().filter(|said| said.list == List::Medications);
        for said in orders.filter(|said| lasts(&said.resource)) {
            let Some(link) = linked.get(&said.entry).filter(|link| link.taken) else {
                without.insert(of_order(&said.resource), &person.user_id);
                continue;
            };
            let of = Of { medication: link.medication.clone(), display: link.display.clone() };
            // Strings are always JSON.
            let of = serde_json::to_string(&of).unwrap_or_default();
            let by = format!("{}#{}", link.medication, said.resource);
            for (name, said) in [(by, None), (of_order(&said.resource), Some(of))] {
                let user_id = Some(person.user_id.clone());
                rows.insert(name.clone(), Known { name, user_id, said, ..Known::default() });
            }
        }
    }
    let names: Vec<String> = without.keys().cloned().collect();
    for known in store.known(&names).await? {
        let user_id = without.get(&known.name).map(|user| (*user).clone());
        rows.insert(known.name.clone(), Known { user_id, said: None, ..known });
    }
    Ok(rows)
}

/// Has the orders that came before say what these Medications, by name the entry, are now.
pub(super) async fn restate(
    store: &dyn RecordStore,
    bundle: &Bundle,
    settled: &mut Settled,
    changed: &BTreeMap<String, usize>,
    medications: &HashMap<String, Medication>,
) -> Result<(), StoreError> {
    let names: Vec<String> = changed.keys().cloned().collect();
    let here: BTreeSet<&String> =
        settled.people.iter().flat_map(|person| &person.statements).map(|said| &said.resource).collect();
    let orders: BTreeSet<String> = store
        .holders(&names)
        .await?
        .into_iter()
        .filter_map(|known| Some(known.name.split_once('#')?.1.to_owned()))
        .filter(|order| !here.contains(order))
        .collect();
    if orders.is_empty() {
        return Ok(());
    }
    let rows: Vec<String> = orders.iter().map(|order| of_order(order)).collect();
    let index = Index::new(bundle);
    let mut concerned: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for known in store.known(&rows).await? {
        let (Some(user_id), Some(said)) = (known.user_id, known.said) else { continue };
        let Ok(of) = serde_json::from_str::<Of>(&said) else { continue };
        let Some(&entry) = changed.get(&of.medication) else { continue };
        let resource = known.name.trim_end_matches("#drug").to_owned();
        // What was deleted since, or taken out of the profile by hand, is said no more.
        let stored = stored_profile(store, &user_id).await?.unwrap_or_default();
        if !people::is_said(&stored, List::Medications, &resource) {
            continue;
        }
        concerned.entry(entry).or_default().insert(user_id.clone());
        let says = ordered(bundle, &index, entry, (&resource, of.display), medications);
        let said = Statement { entry, list: List::Medications, resource, says };
        match settled.people.iter_mut().find(|person| person.user_id == user_id) {
            Some(person) => person.statements.push(said),
            None => {
                let statements = vec![said];
                settled.people.push(PersonChange { user_id, statements, ..PersonChange::default() });
            }
        }
    }
    for (entry, people) in concerned {
        let note =
            format!("is the drug of orders that came before, of {} people: they say it now", people.len());
        settled.outcomes[entry].notes.push(("informational", note));
    }
    Ok(())
}
