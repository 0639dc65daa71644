//! From a Bundle to people, items and interactions.
//!
//! Two steps, since some of what a Bundle refers to may be stored already and this crate asks no
//! database: [`map`] says what is in the Bundle and what has to be looked up, [`Mapped::settle`] takes
//! the answer and leaves over what can be written. Everything that is left out is counted by its reason.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use recommend::clock::parse_time;
use recommend::{Interaction, Item, Millis};

use super::bundle::{Bundle, BundleKind, Entry, FhirError, Method, Resource};
use super::items;
use super::people::{self, List, PersonChange, Says, Statement};
use super::references::{Index, Target, id_of};
use super::resources::{CodeableConcept, Contained, Period, Reference};

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
enum ItemName {
    /// By its id, of an item of this Bundle.
    Here(String),
    /// By its id, of an item that has to be stored already.
    Outside(String),
    /// By type and identifier, likewise.
    Identified(String),
}

/// An interaction whose item may have to be looked up.
#[derive(Debug, Clone)]
struct Planned {
    entry: usize,
    user_id: String,
    item: ItemName,
    event: &'static str,
    time: Millis,
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
    kind: BundleKind,
    people: BTreeMap<String, PersonChange>,
    /// With the entries that speak of each.
    items: BTreeMap<String, (Vec<usize>, Item)>,
    planned: Vec<Planned>,
    /// What became of each entry, so far.
    outcomes: Vec<Outcome>,
    now: Millis,
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

/// Reads a Bundle's meaning. `now` is the present time, after which nothing can have happened.
pub fn map(bundle: &Bundle, now: Millis) -> Mapped {
    let mut mapping = Mapping {
        bundle,
        index: Index::new(bundle),
        mapped: Mapped {
            kind: bundle.kind,
            people: BTreeMap::new(),
            items: BTreeMap::new(),
            planned: Vec::new(),
            outcomes: Vec::with_capacity(bundle.entries.len()),
            now,
        },
    };
    for (number, entry) in bundle.entries.iter().enumerate() {
        mapping.mapped.outcomes.push(Outcome {
            kind: entry.kind.clone(),
            location: id_of(entry).map(|id| format!("{}/{id}", entry.kind)),
            method: entry.method,
            ..Outcome::default()
        });
        if let Err(error) = mapping.entry(number, entry) {
            mapping.mapped.outcomes[number].error = Some(error);
        }
    }
    mapping.places();
    mapping.mapped
}

struct Mapping<'a> {
    bundle: &'a Bundle,
    index: Index,
    mapped: Mapped,
}

impl<'a> Mapping<'a> {
    fn entry(&mut self, number: usize, entry: &'a Entry) -> Result<(), FhirError> {
        let resource = entry.resource.as_ref().map_err(Clone::clone)?;
        let asks = entry.method.is_none_or(|method| method != Method::Other);
        match self.bundle.kind {
            BundleKind::Collection => {}
            _ if entry.method.is_none() => {
                return Err(FhirError::at(number, "", "required", "the entry has no request"));
            }
            _ if !asks => {
                let detail = "the request is no POST or PUT with a resource; a person is erased by DELETE /v1/users/{user_id}";
                return Err(FhirError::at(number, "", "not-supported", detail));
            }
            _ => {}
        }
        match resource {
            Resource::Patient(patient) => {
                let id = self.id(number, entry)?;
                let person = self.person(&id);
                person.patient = Some(number);
                person.describe(patient);
                self.used(number);
            }
            Resource::AllergyIntolerance(allergy) => {
                self.states(
                    number,
                    entry,
                    List::Allergies,
                    allergy.patient.as_ref(),
                    people::allergy(allergy),
                )?;
            }
            Resource::Condition(condition) => {
                let says = people::condition(condition);
                self.states(number, entry, List::Conditions, condition.subject.as_ref(), says)?;
            }
            Resource::Medication(_) => self.used(number),
            Resource::MedicationRequest(request) => {
                let subject = request.subject.as_ref();
                let intent = request.intent.as_deref();
                let ordered = intent.is_none_or(|intent| intent.ends_with("order"));
                let status = request.status.as_deref().unwrap_or("unknown");
                if request.do_not_perform == Some(true) || !ordered {
                    self.left_out(number, "no order: a plan, a proposal or a prohibition");
                    return self.withdraws(number, entry, subject);
                }
                if ["cancelled", "entered-in-error", "draft"].contains(&status) {
                    self.left_out(number, "cancelled, entered in error or a draft");
                    return self.withdraws(number, entry, subject);
                }
                let concept = request.medication_codeable_concept.as_ref();
                let concept =
                    self.medication(concept, request.medication_reference.as_ref(), &request.contained);
                let taken = ["active", "on-hold", "unknown"].contains(&status);
                self.takes(number, entry, subject, &concept, taken)?;
                let start = || self.visit_start(request.encounter.as_ref());
                let time = request.authored_on.clone().or_else(start);
                self.drug(number, subject, concept, "prescription", time.as_deref())?;
            }
            Resource::MedicationStatement(statement) => {
                let subject = statement.subject.as_ref();
                let status = statement.status.as_deref().unwrap_or("unknown");
                if ["entered-in-error", "not-taken"].contains(&status) {
                    self.left_out(number, "not taken or entered in error");
                    return self.withdraws(number, entry, subject);
                }
                let concept = statement.medication_codeable_concept.as_ref();
                let reference = statement.medication_reference.as_ref();
                let concept = self.medication(concept, reference, &statement.contained);
                let taken = ["active", "on-hold", "unknown", "intended"].contains(&status);
                self.takes(number, entry, subject, &concept, taken)?;
                let start = || statement.effective_period.as_ref().and_then(|period| period.start.clone());
                let time = statement.effective_date_time.clone().or_else(start);
                let time = time.or_else(|| statement.date_asserted.clone());
                if !matches!(concept.as_ref().map(people::medication), Some(Ok(Says::NoneKnown))) {
                    self.drug(number, subject, concept, "medication", time.as_deref())?;
                }
            }
            Resource::MedicationDispense(dispense) => {
                let subject = dispense.subject.as_ref();
                let status = dispense.status.as_deref().unwrap_or("unknown");
                if !["completed", "in-progress", "on-hold", "unknown", "stopped"].contains(&status) {
                    self.left_out(number, "not handed out or entered in error");
                    return Ok(());
                }
                let concept = dispense.medication_codeable_concept.as_ref();
                let reference = dispense.medication_reference.as_ref();
                let concept = self.medication(concept, reference, &dispense.contained);
                let time = dispense.when_handed_over.as_deref().or(dispense.when_prepared.as_deref());
                self.drug(number, subject, concept, "dispense", time)?;
                let from = dispense.performer.iter().filter_map(|performer| performer.actor.as_ref());
                let from: Vec<&Reference> = from.chain(&dispense.location).collect();
                self.providers(number, subject, &from, &["Organization", "Location"], "dispense", time)?;
            }
            Resource::Encounter(encounter) => {
                let subject = encounter.subject.as_ref();
                let status = encounter.status.as_deref().unwrap_or("unknown");
                if ["planned", "cancelled", "entered-in-error"].contains(&status) {
                    self.left_out(number, "planned, cancelled or entered in error");
                    return Ok(());
                }
                let time = encounter.period.as_ref().and_then(|period| period.start.as_deref());
                let individuals = encounter.participant.iter().filter_map(|one| one.individual.as_ref());
                let places = encounter.location.iter().filter_map(|one| one.location.as_ref());
                let places: Vec<&Reference> = match &encounter.service_provider {
                    Some(provider) => vec![provider],
                    None => places.collect(),
                };
                let all: Vec<&Reference> = places.into_iter().chain(individuals).collect();
                self.providers(
                    number,
                    subject,
                    &all,
                    &["Organization", "Location", "Practitioner"],
                    "visit",
                    time,
                )?;
            }
            Resource::Immunization(immunization) => {
                if immunization.status.as_deref().is_some_and(|status| status != "completed") {
                    self.left_out(number, "not done or entered in error");
                    return Ok(());
                }
                let concept = immunization.vaccine_code.clone();
                let time = immunization.occurrence_date_time.as_deref();
                self.drug(number, immunization.patient.as_ref(), concept, "immunization", time)?;
            }
            Resource::Location(location) => match self.owner(number) {
                Some(_) => self.used(number),
                None => {
                    let id = self.id(number, entry)?;
                    self.item(number, items::location(&id, location));
                }
            },
            Resource::Organization(organization) => {
                let id = self.id(number, entry)?;
                match items::organization(&id, organization) {
                    Some(item) => self.item(number, item),
                    None => self.left_out(number, "an organization that cares for nobody, such as a payer"),
                }
            }
            Resource::Practitioner(practitioner) => {
                let id = self.id(number, entry)?;
                self.item(number, items::practitioner(&id, practitioner));
            }
            Resource::PractitionerRole(_) => self.used(number),
            Resource::ServiceRequest(request) => {
                let status = request.status.as_deref().unwrap_or("unknown");
                let left = ["draft", "revoked", "entered-in-error"].contains(&status)
                    || request.do_not_perform == Some(true)
                    || request.intent.as_deref().is_some_and(|intent| !intent.ends_with("order"));
                if left || request.performer.is_empty() {
                    let reason =
                        if left { "no order, or revoked" } else { "names nobody who is to perform it" };
                    self.left_out(number, reason);
                    return Ok(());
                }
                let performers: Vec<&Reference> = request.performer.iter().collect();
                let kinds = &["Practitioner", "Organization", "Location"];
                let time = request.authored_on.as_deref();
                self.providers(number, request.subject.as_ref(), &performers, kinds, "referral", time)?;
            }
            Resource::Other => self.note(number, "not-supported", "the type is not read".to_owned()),
        }
        Ok(())
    }

    fn id(&self, number: usize, entry: &Entry) -> Result<String, FhirError> {
        let id = id_of(entry).ok_or_else(|| {
            let detail = "has no id, no fullUrl and no identifier by which it could be found again";
            FhirError::at(number, entry.kind.clone(), "required", detail)
        })?;
        match id.chars().count() <= 180 && !id.chars().any(char::is_control) {
            true => Ok(id),
            false => {
                let detail = "must have at most 180 characters, none of them a control character";
                Err(FhirError::at(number, format!("{}.id", entry.kind), "value", detail))
            }
        }
    }

    fn person(&mut self, id: &str) -> &mut PersonChange {
        let person = self.mapped.people.entry(id.to_owned()).or_default();
        person.user_id = id.to_owned();
        person
    }

    fn used(&mut self, number: usize) {
        self.mapped.outcomes[number].used = true;
    }

    fn note(&mut self, number: usize, code: &'static str, note: String) {
        let notes = &mut self.mapped.outcomes[number].notes;
        if !notes.iter().any(|(_, known)| *known == note) {
            notes.push((code, note));
        }
    }

    fn left_out(&mut self, number: usize, reason: &str) {
        self.note(number, "informational", reason.to_owned());
    }

    fn item(&mut self, number: usize, item: Item) {
        let known = self.mapped.items.entry(item.item_id.clone()).or_insert_with(|| (Vec::new(), item));
        known.0.push(number);
        self.used(number);
    }

    /// The person that a reference stands for, by id.
    fn subject(&self, number: usize, reference: Option<&Reference>) -> Result<String, FhirError> {
        let entry = &self.bundle.entries[number];
        let member = match entry.resource {
            Ok(Resource::AllergyIntolerance(_) | Resource::Immunization(_)) => "patient",
            _ => "subject",
        };
        let path = || format!("{}.{member}", entry.kind);
        let unknown = |detail: &str| FhirError::at(number, path(), "not-found", detail);
        match self.index.resolve(reference, &["Patient"]) {
            Target::Entry(index) => {
                let target = &self.bundle.entries[index];
                match (&target.resource, id_of(target)) {
                    (Ok(Resource::Patient(_)), Some(id)) => Ok(id),
                    (Err(_), _) => Err(unknown("refers to an entry that cannot be read")),
                    _ => Err(FhirError::at(
                        number,
                        path(),
                        "not-supported",
                        "refers to something that is no Patient",
                    )),
                }
            }
            Target::Outside(name) => match name.split_once('/') {
                Some(("Patient", id)) => Ok(id.to_owned()),
                _ => Err(FhirError::at(
                    number,
                    path(),
                    "not-supported",
                    "refers to something that is no Patient",
                )),
            },
            Target::Identified(name) => {
                // People are stored by id alone; one without an id was stored by its identifier.
                let id = name
                    .strip_prefix("Patient?identifier=")
                    .ok_or_else(|| unknown("refers to no Patient"))?;
                Ok(id.to_owned())
            }
            Target::Nothing => {
                Err(unknown("refers to nobody in the Bundle, and names nobody who could be stored"))
            }
        }
    }

    fn resource_name(&self, number: usize, entry: &Entry, concept: Option<&CodeableConcept>) -> String {
        let id = id_of(entry).or_else(|| Some(format!("#{}", concept?.words()?)));
        let name = format!("{}/{}", entry.kind, id.unwrap_or_else(|| format!("#{number}")));
        name.chars().take(500).collect()
    }

    fn states(
        &mut self,
        number: usize,
        entry: &Entry,
        list: List,
        subject: Option<&Reference>,
        says: Result<Says, &'static str>,
    ) -> Result<(), FhirError> {
        let user = self.subject(number, subject)?;
        let says = match says {
            Ok(says) => says,
            Err(reason) => {
                self.left_out(number, reason);
                return Ok(());
            }
        };
        if let Says::Nothing(reason) = says {
            self.left_out(number, reason);
        }
        let concept = match &entry.resource {
            Ok(Resource::AllergyIntolerance(allergy)) => allergy.code.as_ref(),
            Ok(Resource::Condition(condition)) => condition.code.as_ref(),
            _ => None,
        };
        let resource = self.resource_name(number, entry, concept);
        self.person(&user).statements.push(Statement { entry: number, list, resource, says });
        self.used(number);
        Ok(())
    }

    /// What a drug order or statement says of the drugs that are taken now.
    fn takes(
        &mut self,
        number: usize,
        entry: &Entry,
        subject: Option<&Reference>,
        concept: &Option<CodeableConcept>,
        taken: bool,
    ) -> Result<(), FhirError> {
        let user = self.subject(number, subject)?;
        let Some(concept) = concept else { return Ok(()) };
        let says = match taken {
            true => people::medication(concept),
            false => Ok(Says::Nothing("not taken any more")),
        };
        let resource = self.resource_name(number, entry, Some(concept));
        if let Ok(says) = says {
            let list = List::Medications;
            self.person(&user).statements.push(Statement { entry: number, list, resource, says });
        }
        Ok(())
    }

    /// An order that does not hold takes back what it may have said before.
    fn withdraws(
        &mut self,
        number: usize,
        entry: &Entry,
        subject: Option<&Reference>,
    ) -> Result<(), FhirError> {
        let user = self.subject(number, subject)?;
        let resource = self.resource_name(number, entry, None);
        let says = Says::Nothing("does not hold");
        let list = List::Medications;
        self.person(&user).statements.push(Statement { entry: number, list, resource, says });
        Ok(())
    }

    fn medication(
        &self,
        concept: Option<&CodeableConcept>,
        reference: Option<&Reference>,
        contained: &[Contained],
    ) -> Option<CodeableConcept> {
        medication(self.bundle, &self.index, concept, reference, contained)
    }

    fn visit_start(&self, encounter: Option<&Reference>) -> Option<String> {
        let Target::Entry(index) = self.index.resolve(encounter, &["Encounter"]) else { return None };
        match &self.bundle.entries[index].resource {
            Ok(Resource::Encounter(encounter)) => {
                encounter.period.as_ref().and_then(|Period { start, .. }| start.clone())
            }
            _ => None,
        }
    }

    /// An interaction with a drug.
    fn drug(
        &mut self,
        number: usize,
        subject: Option<&Reference>,
        concept: Option<CodeableConcept>,
        event: &'static str,
        time: Option<&str>,
    ) -> Result<(), FhirError> {
        let user_id = self.subject(number, subject)?;
        let Some(item) = concept.as_ref().and_then(items::drug) else {
            let kind = &self.bundle.entries[number].kind;
            let note = format!("{kind}: its medication is not in the Bundle or has no code and no words");
            self.note(number, "not-found", note);
            return Ok(());
        };
        let item_id = item.item_id.clone();
        self.item(number, item);
        self.plan(number, user_id, ItemName::Here(item_id), event, time)
    }

    /// Interactions with those who cared.
    fn providers(
        &mut self,
        number: usize,
        subject: Option<&Reference>,
        references: &[&Reference],
        kinds: &[&str],
        event: &'static str,
        time: Option<&str>,
    ) -> Result<(), FhirError> {
        let user_id = self.subject(number, subject)?;
        for reference in references {
            match self.provider(reference, kinds) {
                Ok(Some(item)) => self.plan(number, user_id.clone(), item, event, time)?,
                Ok(None) => {}
                Err(note) => self.note(number, "not-found", note),
            }
        }
        Ok(())
    }

    /// The item of an Organization, a Location, a Practitioner or a role of one; none for somebody else
    /// who took part.
    fn provider(&self, reference: &Reference, kinds: &[&str]) -> Result<Option<ItemName>, String> {
        let mut target = self.index.resolve(Some(reference), kinds);
        // A role leads to its practitioner, a place to its organization: no further.
        for _ in 0..2 {
            target = match target {
                Target::Entry(index) => match &self.bundle.entries[index].resource {
                    Ok(Resource::PractitionerRole(role)) => {
                        self.index.resolve(role.practitioner.as_ref(), &["Practitioner"])
                    }
                    Ok(Resource::Location(_)) => match self.owner(index) {
                        Some(owner) => owner,
                        None => break,
                    },
                    _ => break,
                },
                _ => break,
            };
        }
        match target {
            Target::Entry(index) => {
                let entry = &self.bundle.entries[index];
                let kind = entry.kind.as_str();
                if !["Organization", "Location", "Practitioner"].contains(&kind) {
                    return Ok(None);
                }
                if let Ok(Resource::Organization(organization)) = &entry.resource
                    && items::organization("", organization).is_none()
                {
                    return Ok(None);
                }
                match (&entry.resource, id_of(entry)) {
                    (Ok(_), Some(id)) => Ok(Some(ItemName::Here(format!("{kind}/{id}")))),
                    _ => Err("refers to an entry that cannot be read".to_owned()),
                }
            }
            Target::Outside(name) => {
                let kind = name.split('/').next().unwrap_or_default();
                let known = ["Organization", "Location", "Practitioner"].contains(&kind);
                Ok(known.then_some(ItemName::Outside(name)))
            }
            Target::Identified(name) => Ok(Some(ItemName::Identified(name))),
            Target::Nothing => {
                Err("refers to nothing in the Bundle, and names nothing that could be stored".to_owned())
            }
        }
    }

    /// The organization that a place belongs to: its own, or that of the place that it is part of.
    fn owner(&self, mut index: usize) -> Option<Target> {
        // A place that is part of itself, by however many steps, belongs to nobody.
        for _ in 0..8 {
            let Ok(Resource::Location(location)) = &self.bundle.entries[index].resource else { return None };
            if location.managing_organization.is_some() {
                let owner = self.index.resolve(location.managing_organization.as_ref(), &["Organization"]);
                return Some(owner).filter(|owner| *owner != Target::Nothing);
            }
            match self.index.resolve(location.part_of.as_ref(), &["Location"]) {
                Target::Entry(part_of) => index = part_of,
                _ => return None,
            }
        }
        None
    }

    fn plan(
        &mut self,
        number: usize,
        user_id: String,
        item: ItemName,
        event: &'static str,
        time: Option<&str>,
    ) -> Result<(), FhirError> {
        let kind = &self.bundle.entries[number].kind;
        let Some(text) = time else {
            let note = format!("{kind}: without a time, and so no interaction");
            self.note(number, "incomplete", note);
            return Ok(());
        };
        let Some(time) = date_time(text) else {
            return Err(FhirError::at(
                number,
                kind.clone(),
                "value",
                "has a time that is no FHIR date or dateTime",
            ));
        };
        self.mapped.planned.push(Planned { entry: number, user_id, item, event, time });
        self.used(number);
        Ok(())
    }

    /// What places and roles say of the items of others.
    fn places(&mut self) {
        for (number, entry) in self.bundle.entries.iter().enumerate() {
            match &entry.resource {
                Ok(Resource::Location(location)) => {
                    if let Some(Target::Entry(owner)) = self.owner(number)
                        && let Some(item) = self.item_of(owner)
                    {
                        items::set_place(item, items::position(location));
                    }
                }
                Ok(Resource::PractitionerRole(role)) => {
                    let specialties = role.specialty.iter().filter_map(CodeableConcept::words).collect();
                    let target = self.index.resolve(role.practitioner.as_ref(), &["Practitioner"]);
                    if let Target::Entry(practitioner) = target
                        && let Some(item) = self.item_of(practitioner)
                    {
                        items::put_texts(&mut item.attributes, "specialties", specialties);
                    }
                }
                _ => {}
            }
        }
    }

    fn item_of(&mut self, number: usize) -> Option<&mut Item> {
        let entry = &self.bundle.entries[number];
        let id = format!("{}/{}", entry.kind, id_of(entry)?);
        self.mapped.items.get_mut(&id).map(|(_, item)| item)
    }
}

impl Mapped {
    /// What has to be looked up before this can be settled.
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for person in self.people.values().filter(|person| person.patient.is_none()) {
            wanted.people.insert(person.user_id.clone());
        }
        for planned in &self.planned {
            if !self.people.get(&planned.user_id).is_some_and(|person| person.patient.is_some()) {
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

/// A medication's concept: its own, or that of the Medication it refers to, in it or in the Bundle.
pub(crate) fn medication(
    bundle: &Bundle,
    index: &Index,
    concept: Option<&CodeableConcept>,
    reference: Option<&Reference>,
    contained: &[Contained],
) -> Option<CodeableConcept> {
    if let Some(concept) = concept {
        return Some(concept.clone());
    }
    let reference = reference?;
    let written = reference.reference.as_deref().unwrap_or_default();
    if let Some(id) = written.strip_prefix('#') {
        let within = contained.iter().find(|resource| resource.id.as_deref() == Some(id));
        if let Some(code) = within.and_then(|resource| resource.code.clone()) {
            return Some(code);
        }
    }
    if let Target::Entry(number) = index.resolve(Some(reference), &["Medication"])
        && let Ok(Resource::Medication(medication)) = &bundle.entries[number].resource
        && let Some(code) = &medication.code
    {
        return Some(code.clone());
    }
    let display = reference.display.clone().filter(|display| !display.trim().is_empty())?;
    Some(CodeableConcept { coding: Vec::new(), text: Some(display) })
}

/// A FHIR date or dateTime: of a year or a month its first day.
fn date_time(text: &str) -> Option<Millis> {
    let text = text.trim();
    match text.len() {
        4 => parse_time(&format!("{text}-01-01")),
        7 => parse_time(&format!("{text}-01")),
        0..=9 => None,
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => parse_time(text),
    }
}
