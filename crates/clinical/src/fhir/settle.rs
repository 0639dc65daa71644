//! What a Bundle means, and what of it can be written once it is known what is stored already.

mod left_out;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use recommend::{Interaction, Item, Millis, Sex};

use super::bundle::{BundleKind, FhirError, Method};
use super::people::{List, PersonChange};

/// What became of one entry.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The type of its resource.
    pub kind: String,
    /// Where it can be found: `Patient/7`.
    pub location: Option<String>,
    /// The name under which what follows from it is known (`references::known_name`).
    pub name: Option<String>,
    /// What it asked for.
    pub method: Option<Method>,
    /// Whether anything follows from it.
    pub used: bool,
    /// Whether it was to be added only if it was not here, and is.
    pub matched: bool,
    /// Whether it made somebody who was not here before.
    pub created: bool,
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
    /// By its id, of an item that has to be stored already; and on which server it is, where that is known.
    Outside(String, Option<String>),
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
    /// People by the names of their identifiers (`references::patient_name`).
    pub people_by_identifier: BTreeSet<String>,
}

/// Whom and what a Bundle speaks of, however it names them.
#[derive(Debug, Clone, Default)]
pub struct Spoken {
    /// People by the ids that they have in the Bundle.
    pub people: BTreeSet<String>,
    /// The names of people's identifiers (`references::patient_name`).
    pub identifiers: BTreeSet<String>,
    /// The names of resources (`references::known_name`), and the ids of the items that it describes.
    pub resources: BTreeSet<String>,
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
    /// By the name of an identifier: the id of the person.
    pub people_by_identifier: HashMap<String, String>,
    /// The names of identifiers that several people have, or had.
    pub shared: BTreeSet<String>,
    /// Those of them that one person alone had, and has no more.
    pub former: BTreeSet<String>,
}

/// What a Patient says who was to be added only if nobody had an identifier, and whom the store has under an id.
#[derive(Debug, Clone)]
pub struct Created {
    /// The id there.
    pub user_id: String,
    /// The entries that asked for it.
    pub entries: Vec<usize>,
    /// Year of birth, if it is said.
    pub birth_year: Option<i32>,
    /// Sex, if it is said.
    pub sex: Option<Sex>,
}

/// Of which Medication an order or a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The entry of the order.
    pub entry: usize,
    /// The name under which the Medication is known.
    pub medication: String,
    /// What the order calls it.
    pub display: Option<String>,
    /// Whether it is taken.
    pub taken: bool,
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
    /// People who may be stored under another id: by the id here the name of an identifier that they have.
    pub(super) aliases: BTreeMap<String, String>,
    /// By the id here of people who are created conditionally: their entries.
    pub(super) conditional: BTreeMap<String, Vec<usize>>,
    /// Entries that name a person by an identifier, by the id here.
    pub(super) identified: BTreeMap<String, BTreeSet<usize>>,
    /// Entries that name a person who is not in the Bundle by an address: entry, id and server.
    pub(super) addressed: Vec<(usize, String, String)>,
    /// People who were to be added only if nobody had an identifier, and who are here.
    pub(super) created: Vec<Created>,
    /// What was deleted: entry, list and the name under which it is known.
    pub(super) deleted: Vec<(usize, List, String)>,
    /// Of which Medications orders are.
    pub(super) links: Vec<Link>,
    /// Drugs whose Medication is not in the Bundle.
    pub(super) unknown_drugs: usize,
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
    /// Entries left out because their person is not known here.
    pub unknown_people: usize,
    /// Drugs whose Medication is not known here.
    pub unknown_drugs: usize,
    /// People of whom resources took back an interaction that they had made before.
    pub taken_back: BTreeSet<String>,
    /// Entries that name a person who is not in the Bundle by an address: entry, id and server.
    pub addressed: Vec<(usize, String, String)>,
    /// Entries that name an item that is not in the Bundle by an address: entry, id and server.
    pub addressed_items: Vec<(usize, String, String)>,
    /// People who were to be added only if nobody had an identifier, and who are here.
    pub created: Vec<Created>,
    /// What was deleted: entry, list and the name under which it is known.
    pub deleted: Vec<(usize, List, String)>,
    /// Of which Medications orders are.
    pub links: Vec<Link>,
    /// The entries that each of the interactions comes from.
    happened: Vec<Vec<usize>>,
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
                ItemName::Outside(id, _) => drop(wanted.items.insert(id.clone())),
                ItemName::Identified(name) => drop(wanted.identifiers.insert(name.clone())),
            }
        }
        wanted.people.extend(self.addressed.iter().map(|(_, user, _)| user.clone()));
        for (id, name) in &self.aliases {
            wanted.people.insert(id.clone());
            wanted.people_by_identifier.insert(name.clone());
        }
        wanted
    }

    /// Whom and what this speaks of.
    pub fn spoken(&self) -> Spoken {
        let mut spoken = Spoken::default();
        spoken.people.extend(self.people.keys().chain(self.aliases.keys()).cloned());
        spoken.people.extend(self.planned.iter().map(|planned| planned.user_id.clone()));
        spoken.people.extend(self.addressed.iter().map(|(_, user, _)| user.clone()));
        spoken.identifiers.extend(self.aliases.values().cloned());
        for person in self.people.values() {
            spoken.identifiers.extend(person.identifiers.iter().cloned());
            spoken.resources.extend(person.statements.iter().map(|said| said.resource.clone()));
        }
        spoken.resources.extend(self.items.keys().cloned());
        spoken.resources.extend(self.outcomes.iter().filter_map(|outcome| outcome.name.clone()));
        spoken.resources.extend(self.deleted.iter().map(|(_, _, name)| name.clone()));
        spoken
    }

    /// Refuses an entry: of a collection it is left out, and the others are taken.
    fn refuse(&mut self, number: usize, code: &'static str, detail: &str) {
        let outcome = &mut self.outcomes[number];
        let error = FhirError::at(number, outcome.kind.clone(), code, detail);
        match self.kind {
            BundleKind::Collection => {
                outcome.notes.push((code, detail.to_owned()));
                outcome.used = false;
                outcome.error = Some(FhirError { code: "informational", ..error });
            }
            _ => outcome.error = outcome.error.take().or(Some(error)),
        }
    }

    /// Refuses whatever names a person by an identifier that several people have, and whatever is said of that person.
    fn refuse_shared(&mut self, found: &Found) {
        let shared = self.aliases.iter().filter(|(_, name)| found.shared.contains(*name));
        let shared = shared.map(|(id, name)| (id.clone(), found.former.contains(name)));
        for (id, former) in shared.collect::<Vec<_>>() {
            let who = if former { "a person had, and has no more," } else { "several people have" };
            let created = self.conditional.get(&id).cloned().unwrap_or_default();
            let guessed =
                self.people.get(&id).filter(|person| person.guessed).and_then(|person| person.patient);
            let detail = format!("{who} the identifier of ifNoneExist; name the person by the id");
            for number in &created {
                self.refuse(*number, "multiple-matches", &detail);
            }
            let detail =
                format!("{who} the identifier by which this one would be known; give the resource an id");
            if let Some(number) = guessed {
                self.refuse(number, "conflict", &detail);
            }
            let of_nobody: BTreeSet<usize> = match created.is_empty() && guessed.is_none() {
                true => self.identified.get(&id).cloned().unwrap_or_default(),
                false => {
                    let said = self.people.get(&id).into_iter().flat_map(|person| &person.statements);
                    let happened = self.planned.iter().filter(|planned| planned.user_id == id);
                    said.map(|said| said.entry).chain(happened.map(|planned| planned.entry)).collect()
                }
            };
            let who = who.trim_end_matches(',');
            let detail = format!("refers to a Patient by an identifier that {who}; Patient/id is accepted");
            for number in of_nobody {
                self.refuse(number, "not-found", &detail);
            }
        }
    }

    /// Takes nothing of a Patient who was to be added only if nobody had the identifier (R4, conditional create): what else
    /// the Bundle says is said of the one who has it.
    fn is_here_already(&mut self, id: &str, known: &str) {
        let Some(created) = self.conditional.get(id) else { return };
        if let Some(person) = self.people.get(id) {
            self.created.push(Created {
                user_id: known.to_owned(),
                entries: created.clone(),
                birth_year: person.birth_year,
                sex: person.sex,
            });
        }
        for number in created {
            let outcome = &mut self.outcomes[*number];
            outcome.matched = true;
            let note = "is here already (ifNoneExist): nothing of this resource was taken";
            outcome.notes.push(("informational", note.to_owned()));
        }
        if let Some(person) = self.people.get_mut(id) {
            (person.birth_year, person.sex, person.place) = (None, None, None);
            person.sex_unknown = false;
            person.identifiers.clear();
            person.numbers.clear();
            person.server = None;
        }
    }

    /// Gives people the ids under which they are stored; these ids.
    fn rename(&mut self, found: &Found) -> BTreeSet<String> {
        let mut stored = BTreeSet::new();
        for (id, name) in std::mem::take(&mut self.aliases) {
            let here = found.people.contains(&id).then_some(&id);
            let Some(known) = here.or(found.people_by_identifier.get(&name)) else { continue };
            self.is_here_already(&id, known);
            if *known == id {
                continue;
            }
            stored.insert(known.clone());
            if let Some(person) = self.people.remove(&id) {
                if let Some(patient) = person.patient {
                    self.outcomes[patient].location = Some(format!("Patient/{known}"));
                }
                match self.people.get_mut(known) {
                    Some(other) => other.merge(person),
                    None => {
                        let person = PersonChange { user_id: known.clone(), ..person };
                        self.people.insert(known.clone(), person);
                    }
                }
            }
            for planned in self.planned.iter_mut().filter(|planned| planned.user_id == id) {
                planned.user_id.clone_from(known);
            }
            for (_, user, _) in self.addressed.iter_mut().filter(|(_, user, _)| *user == id) {
                user.clone_from(known);
            }
        }
        stored
    }

    /// What can be written, given what is stored already.
    ///
    /// # Errors
    /// Of a transaction everything that is wrong with it; of a collection what cannot be read.
    pub fn settle(mut self, found: &Found) -> Result<Settled, Vec<FhirError>> {
        self.refuse_shared(found);
        let renamed = self.rename(found);
        let here = |person: &PersonChange, outcomes: &[Outcome]| {
            person.patient.is_some_and(|patient| outcomes[patient].error.is_none())
        };
        let known: BTreeSet<&String> = self
            .people
            .values()
            .filter(|person| here(person, &self.outcomes))
            .map(|person| &person.user_id)
            .chain(&found.people)
            .chain(&renamed)
            .collect();
        let said = self
            .people
            .values()
            .flat_map(|person| person.statements.iter().map(|statement| (statement.entry, &person.user_id)));
        let happened = self.planned.iter().map(|planned| (planned.entry, &planned.user_id));
        let unknown = said.chain(happened).filter(|(_, user)| !known.contains(user)).map(|(entry, _)| entry);
        // The Bundle may have another server's person under the id.
        let of_another = |user: &String, server: &String| {
            let here = self.people.get(user).filter(|person| here(person, &self.outcomes));
            here.and_then(|person| person.server.as_ref()).is_some_and(|other| other != server)
        };
        let strangers = self
            .addressed
            .iter()
            .filter(|(_, user, server)| !found.people.contains(user) && of_another(user, server));
        let unknown: BTreeSet<usize> = unknown.chain(strangers.map(|(entry, _, _)| *entry)).collect();
        let unknown_people = unknown.len();
        for number in unknown {
            // Of a collection not an error of the whole, and yet nothing of it can be taken.
            self.refuse(number, "not-found", "refers to a Patient that is neither in the Bundle nor stored");
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
        Ok(Settled { unknown_people, ..self.write(found) })
    }

    fn write(mut self, found: &Found) -> Settled {
        let sound = |outcomes: &[Outcome], entry: usize| outcomes[entry].error.is_none();
        let addressed = std::mem::take(&mut self.addressed);
        let (created, deleted) = (std::mem::take(&mut self.created), std::mem::take(&mut self.deleted));
        let links = std::mem::take(&mut self.links);
        let mut settled = Settled {
            unknown_drugs: self.unknown_drugs,
            addressed,
            created,
            deleted,
            links,
            ..Settled::default()
        };
        for mut person in std::mem::take(&mut self.people).into_values() {
            person.statements.retain(|statement| sound(&self.outcomes, statement.entry));
            if person.without_denials {
                for entry in person.deny_nothing() {
                    let note = "denies, of a person whose Patient has a modifier that is not understood: that counts for nobody";
                    self.outcomes[entry].notes.push(("extension", note.to_owned()));
                }
            }
            let described = person.patient.is_some_and(|patient| sound(&self.outcomes, patient));
            if described || !person.statements.is_empty() {
                settled.people.push(person);
            }
        }
        let mut seen = BTreeMap::new();
        for planned in std::mem::take(&mut self.planned) {
            if !sound(&self.outcomes, planned.entry) {
                continue;
            }
            let outcome = &mut self.outcomes[planned.entry];
            let item_id = match &planned.item {
                ItemName::Here(id) => Some(id.clone()),
                ItemName::Outside(id, server) => {
                    let known = found.items.get(id).cloned();
                    let addressed = known.iter().cloned().zip(server.clone());
                    settled
                        .addressed_items
                        .extend(addressed.map(|(item, server)| (planned.entry, item, server)));
                    known
                }
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
            let place = *seen.entry(key).or_insert(settled.happened.len());
            match settled.happened.get_mut(place) {
                Some(entries) => entries.push(planned.entry),
                None => {
                    settled.interactions.push(interaction);
                    settled.happened.push(vec![planned.entry]);
                }
            }
        }
        let items = std::mem::take(&mut self.items).into_values();
        let spoken_of = |entries: &[usize]| entries.iter().any(|entry| sound(&self.outcomes, *entry));
        settled.items = items.filter(|(entries, _)| spoken_of(entries)).map(|(_, item)| item).collect();
        let kept: BTreeSet<String> = settled.items.iter().map(|item| item.item_id.clone()).collect();
        let stays = |interaction: &Interaction| {
            kept.contains(&interaction.item_id)
                || found.items.contains(&interaction.item_id)
                || found.identifiers.values().any(|id| *id == interaction.item_id)
        };
        settled.keep_interactions(stays);
        settled.outcomes = self.outcomes;
        settled
    }
}
