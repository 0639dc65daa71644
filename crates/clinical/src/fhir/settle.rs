//! What a Bundle means, and what of it can be written once it is known what is stored already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use recommend::{Interaction, Item, Millis};

use super::bundle::{BundleKind, FhirError, Method};
use super::people::PersonChange;

/// What became of one entry.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The type of its resource.
    pub kind: String,
    /// Where it can be found: `Patient/7`.
    pub location: Option<String>,
    /// What it asked for.
    pub method: Option<Method>,
    /// Whether anything follows from it.
    pub used: bool,
    /// What of it was left out, and why; the code is of FHIR's `IssueType`.
    pub notes: Vec<(&'static str, String)>,
    /// Why nothing of it can be taken.
    pub error: Option<FhirError>,
}

/// How an item is named by an interaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemName {
    /// By its id, of an item of this Bundle.
    Here(String),
    /// By its id, of an item that has to be stored already.
    Outside(String),
    /// By type and identifier, likewise.
    Identified(String),
}

/// An interaction whose item may have to be looked up.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) entry: usize,
    pub(super) user_id: String,
    pub(super) item: ItemName,
    pub(super) event: &'static str,
    pub(super) time: Millis,
}

/// What has to be looked up.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// People by id.
    pub people: BTreeSet<String>,
    /// Items by id.
    pub items: BTreeSet<String>,
    /// Items by type and identifier: `Practitioner?identifier=system|value`.
    pub identifiers: BTreeSet<String>,
}

/// What was found of it.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// People that are stored.
    pub people: BTreeSet<String>,
    /// Items that are stored.
    pub items: BTreeSet<String>,
    /// By type and identifier: the id of the item.
    pub identifiers: HashMap<String, String>,
}

/// A Bundle's meaning.
#[derive(Debug)]
pub struct Mapped {
    pub(super) kind: BundleKind,
    pub(super) people: BTreeMap<String, PersonChange>,
    /// With the entries that speak of each.
    pub(super) items: BTreeMap<String, (Vec<usize>, Item)>,
    pub(super) planned: Vec<Planned>,
    /// What became of each entry, so far.
    pub(super) outcomes: Vec<Outcome>,
    pub(super) now: Millis,
}

/// What can be written.
#[derive(Debug, Default)]
pub struct Settled {
    /// What is said of people, in the order of their ids.
    pub people: Vec<PersonChange>,
    /// Items, in the order of their ids.
    pub items: Vec<Item>,
    /// Interactions, in the order of the Bundle, none twice.
    pub interactions: Vec<Interaction>,
    /// What became of each entry.
    pub outcomes: Vec<Outcome>,
    /// Interactions left out because their item is not known here.
    pub unknown_items: usize,
}

impl Mapped {
    /// What has to be looked up before this can be settled.
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for person in self.people.values().filter(|person| person.patient.is_none()) {
            wanted.people.insert(person.user_id.clone());
        }
        for planned in &self.planned {
            if self.people.get(&planned.user_id).is_none_or(|person| person.patient.is_none()) {
                wanted.people.insert(planned.user_id.clone());
            }
            match &planned.item {
                ItemName::Here(_) => {}
                ItemName::Outside(id) => drop(wanted.items.insert(id.clone())),
                ItemName::Identified(name) => drop(wanted.identifiers.insert(name.clone())),
            }
        }
        wanted
    }

    /// What can be written, given what is stored already.
    ///
    /// # Errors
    /// Of a transaction everything that is wrong with it; of a collection what cannot be read.
    pub fn settle(mut self, found: &Found) -> Result<Settled, Vec<FhirError>> {
        let here = |person: &PersonChange, outcomes: &[Outcome]| {
            person.patient.is_some_and(|patient| outcomes[patient].error.is_none())
        };
        let known: BTreeSet<&String> = self
            .people
            .values()
            .filter(|person| here(person, &self.outcomes))
            .map(|person| &person.user_id)
            .chain(&found.people)
            .collect();
        let said = self
            .people
            .values()
            .flat_map(|person| person.statements.iter().map(|statement| (statement.entry, &person.user_id)));
        let happened = self.planned.iter().map(|planned| (planned.entry, &planned.user_id));
        let unknown: BTreeSet<usize> =
            said.chain(happened).filter(|(_, user)| !known.contains(user)).map(|(entry, _)| entry).collect();
        for number in unknown {
            let outcome = &mut self.outcomes[number];
            let detail = "refers to a Patient that is neither in the Bundle nor stored";
            let error = FhirError::at(number, outcome.kind.clone(), "not-found", detail);
            match self.kind {
                BundleKind::Collection => {
                    outcome.notes.push(("not-found", detail.to_owned()));
                    outcome.used = false;
                    // Not an error of the whole, and yet nothing of it can be taken.
                    outcome.error = Some(FhirError { code: "informational", ..error });
                }
                _ => outcome.error = outcome.error.take().or(Some(error)),
            }
        }
        if self.kind == BundleKind::Collection {
            // A reference to nobody ends the entry, and not the collection.
            for outcome in &mut self.outcomes {
                if let Some(error) = outcome.error.as_mut().filter(|error| error.code == "not-found") {
                    outcome.notes.push(("not-found", error.detail.clone()));
                    outcome.used = false;
                    error.code = "informational";
                }
            }
        }
        let refused: Vec<FhirError> = match self.kind {
            BundleKind::Batch => Vec::new(),
            _ => self.outcomes.iter().filter_map(|outcome| outcome.error.clone()).collect(),
        };
        let refused: Vec<FhirError> =
            refused.into_iter().filter(|error| error.code != "informational").collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        Ok(self.write(found))
    }

    fn write(mut self, found: &Found) -> Settled {
        let sound = |outcomes: &[Outcome], entry: usize| outcomes[entry].error.is_none();
        let mut settled = Settled::default();
        for mut person in std::mem::take(&mut self.people).into_values() {
            person.statements.retain(|statement| sound(&self.outcomes, statement.entry));
            let described = person.patient.is_some_and(|patient| sound(&self.outcomes, patient));
            if described || !person.statements.is_empty() {
                settled.people.push(person);
            }
        }
        let mut seen = BTreeSet::new();
        for planned in std::mem::take(&mut self.planned) {
            if !sound(&self.outcomes, planned.entry) {
                continue;
            }
            let outcome = &mut self.outcomes[planned.entry];
            let item_id = match &planned.item {
                ItemName::Here(id) => Some(id.clone()),
                ItemName::Outside(id) => found.items.get(id).cloned(),
                ItemName::Identified(name) => found.identifiers.get(name).cloned(),
            };
            let Some(item_id) = item_id else {
                let detail = "refers to something that is neither in the Bundle nor stored";
                outcome.notes.push(("not-found", detail.to_owned()));
                settled.unknown_items += 1;
                continue;
            };
            let interaction = Interaction {
                user_id: planned.user_id,
                item_id,
                event: planned.event.to_owned(),
                weight: 1.0,
                time: planned.time,
            };
            if let Some(error) = interaction.validate("", self.now).into_iter().next() {
                let place = error.pointer.trim_start_matches('/');
                outcome
                    .notes
                    .push(("business-rule", format!("no interaction: its {place} {}", error.detail)));
                continue;
            }
            let key = (interaction.user_id.clone(), interaction.item_id.clone(), planned.event, planned.time);
            if seen.insert(key) {
                settled.interactions.push(interaction);
            }
        }
        let items = std::mem::take(&mut self.items).into_values();
        let spoken_of = |entries: &[usize]| entries.iter().any(|entry| sound(&self.outcomes, *entry));
        settled.items = items.filter(|(entries, _)| spoken_of(entries)).map(|(_, item)| item).collect();
        let kept: BTreeSet<&str> = settled.items.iter().map(|item| item.item_id.as_str()).collect();
        let stays = |interaction: &Interaction| {
            kept.contains(interaction.item_id.as_str())
                || found.items.contains(&interaction.item_id)
                || found.identifiers.values().any(|id| *id == interaction.item_id)
        };
        settled.interactions.retain(stays);
        settled.outcomes = self.outcomes;
        settled
    }
}
