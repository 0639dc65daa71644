//! All the recommender knows at one moment: everybody's profile, and for each kind the matrix and
//! the catalogue. Immutable once published; a change makes the next one, which shares with its
//! predecessor whatever did not change.

use std::collections::HashSet;
use std::sync::Arc;

use super::catalogue::{Catalogue, Entry};
use super::context::Person;
use super::data::{Item, Kind, Millis};
use super::layers::{Layers, Row};
use super::names::GONE;
use super::shared::ByName;
use super::source::UserState;
use super::terminology::Terminology;
use super::weights::{Weighing, combine};

/// One kind's matrix and catalogue, which number their items alike.
#[derive(Debug, Clone, Default)]
pub struct KindSnapshot {
    pub layers: Layers,
    pub catalogue: Catalogue,
}

#[derive(Debug, Clone)]
pub struct Snapshot {
    pub terminology: Arc<Terminology>,
    pub people: ByName<Person>,
    kinds: [KindSnapshot; Kind::ALL.len()],
    /// All that had committed by then is in here.
    pub as_of: Millis,
}

impl Default for Snapshot {
    fn default() -> Self {
        let terminology = Terminology::shared(&[]);
        Self { terminology, people: ByName::default(), kinds: Default::default(), as_of: 0 }
    }
}

impl Snapshot {
    pub fn kind(&self, kind: Kind) -> &KindSnapshot {
        &self.kinds[kind.index()]
    }

    pub fn kind_mut(&mut self, kind: Kind) -> &mut KindSnapshot {
        &mut self.kinds[kind.index()]
    }

    /// Takes over the present state of some users. Says whose rows changed, by kind.
    pub fn apply_users(&mut self, states: &[UserState], weighing: &Weighing) -> Vec<(Kind, String)> {
        let mut changed = Vec::new();
        for state in states {
            let known = self.people.get(&state.user_id).map(|person| &person.profile);
            if known != state.profile.as_ref() {
                let person = state.profile.clone().map(|profile| Arc::new(Person::new(profile)));
                self.people.set(&state.user_id, person);
            }
        }
        for kind in Kind::ALL {
            let layers = &mut self.kind_mut(kind).layers;
            let mut rows = Vec::new();
            for state in states {
                let events = state.interactions.iter().filter(|(k, _)| *k == kind);
                let mut weighed = Vec::new();
                for (_, i) in events {
                    if let Some(weight) = weighing.weigh(&i.event, i.weight, i.time) {
                        weighed.push((layers.items.intern(&i.item_id), i.time, weight));
                    }
                }
                let row = row_of(layers, weighed, weighing);
                let user = match layers.users.get(&state.user_id) {
                    Some(user) => user,
                    None if row.items.is_empty() => continue,
                    None => layers.users.intern(&state.user_id),
                };
                let old = layers.row(user);
                // Being named by the feed again, without a change, must cost nothing.
                if old.items != row.items || old.weights != row.weights {
                    changed.push((kind, state.user_id.clone()));
                    rows.push((user, row));
                }
            }
            layers.replace(rows);
        }
        changed
    }

    /// Takes over the present state of the items with these ids: those in `present` exist, the
    /// others do not. Returns the users whose rows have to be read again because an item they
    /// have is of another kind now.
    pub fn apply_items(&mut self, item_ids: &[String], present: &[Item]) -> Vec<String> {
        let mut moved = Vec::new();
        let kinds: HashSet<(&str, Kind)> =
            present.iter().map(|item| (item.item_id.as_str(), item.kind)).collect();
        for kind in Kind::ALL {
            let KindSnapshot { layers, catalogue } = self.kind_mut(kind);
            for id in item_ids.iter().filter(|id| !kinds.contains(&(id.as_str(), kind))) {
                if let Some(number) = layers.items.get(id)
                    && catalogue.get(number).is_some()
                {
                    catalogue.set(number, None);
                    let users = layers.users_of(number).into_iter();
                    moved.extend(users.map(|user| layers.users.name(user).to_owned()));
                }
            }
        }
        let terminology = Arc::clone(&self.terminology);
        for item in present {
            let KindSnapshot { layers, catalogue } = self.kind_mut(item.kind);
            let number = layers.items.intern(&item.item_id);
            if catalogue.get(number).is_none_or(|entry| entry.item != *item) {
                catalogue.set(number, Some(Arc::new(Entry::new(item.clone(), &terminology))));
            }
        }
        moved.sort_unstable();
        moved.dedup();
        moved
    }
}

/// The row of these weighed interactions, in order of the items' identifiers.
fn row_of(layers: &Layers, mut weighed: Vec<(u32, Millis, f32)>, weighing: &Weighing) -> Row {
    let mut entries = Vec::new();
    combine(&mut weighed, weighing.repeats, |item, weight| entries.push((item, weight)));
    entries.sort_unstable_by(|a, b| layers.items.compare(a.0, b.0));
    let (items, weights) = entries.into_iter().unzip();
    Row::new(items, weights)
}

impl KindSnapshot {
    /// The same with all layers merged into one; a long computation.
    pub fn merged(&self) -> (Self, Vec<u32>) {
        let (layers, numbers) = self.layers.merged(|item| self.catalogue.get(item).is_some());
        let mut merged = Self { layers, catalogue: Catalogue::default() };
        merged.adopt_catalogue(self, &numbers);
        (merged, numbers)
    }

    /// Takes over another snapshot's catalogue. `numbers` gives the new numbers of the items as
    /// far as they are known.
    fn adopt_catalogue(&mut self, other: &Self, numbers: &[u32]) {
        self.catalogue = Catalogue::default();
        for (old, entry) in other.catalogue.iter() {
            let new = match numbers.get(old as usize) {
                Some(&new) if new != GONE => new,
                _ => self.layers.items.intern(&entry.item.item_id),
            };
            self.catalogue.set(new, Some(Arc::clone(entry)));
        }
    }

    /// Brings a merge that began some time ago up to date: takes over the present catalogue and
    /// the present rows of the users that changed in the meantime.
    pub fn catch_up<'a>(
        &mut self,
        present: &Self,
        numbers: &[u32],
        changed: impl Iterator<Item = &'a String>,
    ) {
        self.adopt_catalogue(present, numbers);
        let mut rows = Vec::new();
        for user_id in changed {
            let row = match present.layers.users.get(user_id) {
                Some(user) => present.layers.row(user),
                None => continue,
            };
            let name = |item: &u32| present.layers.items.name(*item);
            let items = row.items.iter().map(|item| self.layers.items.intern(name(item))).collect();
            let user = self.layers.users.intern(user_id);
            rows.push((user, Row::new(items, row.weights.to_vec())));
        }
        self.layers.replace(rows);
    }
}
