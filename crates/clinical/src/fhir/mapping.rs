//! From a Bundle to people, items and interactions.
//!
//! Two steps, since some of what a Bundle refers to may be stored already and this crate asks no
//! database: [`map`] says what is in the Bundle and what has to be looked up, [`Mapped::settle`] takes
//! the answer and leaves over what can be written. Everything that is left out is counted by its reason.

mod lookup;
mod medicine;
mod standing;
mod statements;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use recommend::clock::parse_time;
use recommend::{Item, Millis};

use super::bundle::{Bundle, BundleKind, Entry, FhirError, Method, Resource};
use super::deletions::{HAPPENINGS, STATEMENTS};
use super::people::{self, List, PersonChange};
use super::references::{Index, Target, id_of, is_guessed, known_name, patient_name};
use super::resources::{CodeableConcept, Medication, Reference};
use super::settle::{ItemName, Mapped, Outcome, Planned};
use super::{items, patient};

use self::medicine::elsewhere;
pub(crate) use self::medicine::{Drug, Shelves};
pub(crate) use self::standing::Standing;
pub(crate) use self::statements::is_unnamed;
pub use self::statements::ordered;

/// Reads a Bundle's meaning. `now` is the present time, after which nothing can have happened.
pub fn map(bundle: &Bundle, now: Millis) -> Mapped {
    map_with(bundle, now, &HashMap::new())
}

/// As [`map`], with Medications that are known by their references (`Medication/9`): those that the Bundle does not hold, and
/// newer ones than it holds.
pub fn map_with(bundle: &Bundle, now: Millis, medications: &HashMap<String, Medication>) -> Mapped {
    let mut mapping = Mapping::new(bundle, now, medications);
    bundle.entries.iter().enumerate().for_each(|(number, entry)| mapping.look(number, entry));
    mapping.finish()
}

/// As [`map_with`]; nothing where `go_on`, which is asked before each entry, says no.
pub fn map_while(
    bundle: &Bundle,
    now: Millis,
    medications: &HashMap<String, Medication>,
    go_on: impl Fn() -> bool,
) -> Option<Mapped> {
    let mut mapping = Mapping::new(bundle, now, medications);
    for (number, entry) in bundle.entries.iter().enumerate() {
        if !go_on() {
            return None;
        }
        mapping.look(number, entry);
    }
    Some(mapping.finish())
}

/// References to Medications that a Bundle does not hold.
pub fn medications_elsewhere(bundle: &Bundle) -> BTreeSet<String> {
    elsewhere(bundle)
}

struct Mapping<'a> {
    bundle: &'a Bundle,
    medications: &'a HashMap<String, Medication>,
    index: Index,
    mapped: Mapped,
}

impl<'a> Mapping<'a> {
    fn new(bundle: &'a Bundle, now: Millis, medications: &'a HashMap<String, Medication>) -> Self {
        Mapping {
            bundle,
            medications,
            index: Index::new(bundle),
            mapped: Mapped {
                kind: bundle.kind,
                people: BTreeMap::new(),
                items: BTreeMap::new(),
                planned: Vec::new(),
                aliases: BTreeMap::new(),
                conditional: BTreeMap::new(),
                identified: BTreeMap::new(),
                addressed: Vec::new(),
                created: Vec::new(),
                deleted: Vec::new(),
                links: Vec::new(),
                unknown_drugs: 0,
                outcomes: Vec::with_capacity(bundle.entries.len()),
                now,
            },
        }
    }

    /// Reads the next entry.
    fn look(&mut self, number: usize, entry: &'a Entry) {
        self.mapped.outcomes.push(Outcome {
            kind: entry.kind.clone(),
            location: id_of(entry).map(|id| format!("{}/{id}", entry.kind)),
            // Of what is not understood no visit goes that it made before.
            name: id_of(entry)
                .filter(|_| entry.modifiers.is_empty() || !says_of_visits(&entry.kind))
                .map(|id| known_name(&entry.kind, &id, entry.server.as_deref())),
            method: entry.method,
            ..Outcome::default()
        });
        if let Err(error) = self.entry(number, entry) {
            self.mapped.outcomes[number].error = Some(error);
        }
    }

    /// Reads what follows from all entries together.
    fn finish(mut self) -> Mapped {
        self.places();
        self.by_identifier();
        self.mapped
    }

    fn entry(&mut self, number: usize, entry: &'a Entry) -> Result<(), FhirError> {
        let resource = entry.resource.as_ref().map_err(Clone::clone)?;
        // What is known of a resource is kept by its id, and no database is to be asked for a NUL.
        if id_of(entry).is_some_and(|id| id.chars().any(char::is_control)) {
            let detail = "must have no control character";
            return Err(FhirError::at(number, format!("{}.id", entry.kind), "value", detail));
        }
        if self.index.older(number) {
            if self.bundle.kind == BundleKind::Transaction || self.index.stranger(number) {
                let detail = "another resource of the same type and id is in the Bundle, or the same twice";
                return Err(FhirError::at(number, entry.kind.clone(), "duplicate", detail));
            }
            if !self.index.stands(number) {
                self.left_out(number, "an older version of a resource that is here as well");
                return Ok(());
            }
            let why = "an older version: the newer one has a modifier that is not understood, so what this one says against drugs counts";
            self.left_out(number, why);
        }
        if let Some(detail) = self.index.clash(number) {
            return Err(FhirError::at(number, entry.kind.clone(), "duplicate", detail));
        }
        if !entry.modifiers.is_empty() && !matches!(resource, Resource::Other if !entry.deleted) {
            let modifiers = entry.modifiers.join(", ");
            let note = format!(
                "not understood: {modifiers}. What it says against drugs counts; it denies nothing, ends nothing and takes nothing back"
            );
            self.note(number, "extension", note);
            if entry.deleted {
                return Ok(());
            }
        }
        if entry.deleted {
            self.deleted(number, entry);
            return Ok(());
        }
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
                person.guessed = is_guessed(entry);
                person.server.clone_from(&entry.server);
                if let Some(identifier) = &entry.if_none {
                    person.identified_by(identifier);
                    self.mapped.aliases.insert(id.clone(), patient_name(identifier));
                    self.mapped.conditional.entry(id.clone()).or_default().push(number);
                }
                // Nobody can say that what is denied is of this person.
                let modified = self.is_kept_apart(number);
                self.person(&id).without_denials |= modified;
                let now = self.mapped.now;
                for left_out in self.person(&id).describe(patient, now) {
                    self.note(number, "value", left_out.to_owned());
                }
                for said in patient::apart(patient) {
                    self.note(number, "incomplete", said.to_owned());
                }
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
                let says = people::condition(condition, self.mapped.now);
                self.states(number, entry, List::Conditions, condition.subject.as_ref(), says)?;
            }
            Resource::Medication(_) | Resource::Substance(_) => self.used(number),
            Resource::MedicationRequest(request) => {
                let subject = request.subject.as_ref();
                if request.do_not_perform == Some(true) || !standing::is_ordered(request.intent.as_deref()) {
                    self.left_out(number, "no order: a proposal, an option or a prohibition");
                    return self.withdraws(
                        number,
                        entry,
                        subject,
                        request.medication_codeable_concept.as_ref(),
                    );
                }
                let standing = Standing::of_request(request.status.as_deref());
                if standing == Standing::Void {
                    self.left_out(number, "cancelled, entered in error or a draft");
                    return self.withdraws(
                        number,
                        entry,
                        subject,
                        request.medication_codeable_concept.as_ref(),
                    );
                }
                self.strange(number, "status", request.status.as_deref(), &standing::REQUEST);
                self.strange(number, "intent", request.intent.as_deref(), &standing::INTENT);
                let own = &request.medication_codeable_concept;
                let concept = own.as_ref();
                let reference = request.medication_reference.as_ref();
                let concept = self.medication(number, concept, reference, &request.contained);
                let taken = (standing == Standing::Taken).then(|| standing::beside_request(request));
                self.takes(number, entry, subject, &concept, taken)?;
                self.link(number, own.as_ref(), reference, standing == Standing::Taken);
                let start = || self.visit_start(number, request.encounter.as_ref());
                let time = request.authored_on.clone().or_else(start);
                // What a person takes without an order comes as an active plan (US Core, Medication List).
                let plan = standing::code(request.intent.as_deref()) == "plan";
                let event = if plan { "medication" } else { "prescription" };
                self.drug(number, subject, concept, event, time.as_deref())?;
            }
            Resource::MedicationStatement(statement) => {
                let subject = statement.subject.as_ref();
                let standing = Standing::of_statement(statement.status.as_deref());
                if standing == Standing::Void {
                    self.left_out(number, "not taken or entered in error");
                    return self.withdraws(
                        number,
                        entry,
                        subject,
                        statement.medication_codeable_concept.as_ref(),
                    );
                }
                self.strange(number, "status", statement.status.as_deref(), &standing::STATEMENT);
                let own = &statement.medication_codeable_concept;
                let concept = own.as_ref();
                let reference = statement.medication_reference.as_ref();
                let concept = self.medication(number, concept, reference, &statement.contained);
                let taken = (standing == Standing::Taken).then(|| standing::beside_statement(statement));
                self.takes(number, entry, subject, &concept, taken)?;
                self.link(number, own.as_ref(), reference, standing == Standing::Taken);
                let start = || statement.effective_period.as_ref().and_then(|period| period.start.clone());
                let time = statement.effective_date_time.clone().or_else(start);
                let time = time.or_else(|| statement.date_asserted.clone());
                // That nothing is taken follows all the same.
                if !concept.as_ref().is_some_and(people::names_no_drug) {
                    self.drug(number, subject, concept, "medication", time.as_deref())?;
                }
            }
            Resource::MedicationDispense(dispense) => {
                let subject = dispense.subject.as_ref();
                if Standing::of_dispense(dispense.status.as_deref()) == Standing::Void {
                    self.left_out(number, "not handed out or entered in error");
                    return Ok(());
                }
                self.strange(number, "status", dispense.status.as_deref(), &standing::DISPENSE);
                let concept = dispense.medication_codeable_concept.as_ref();
                let reference = dispense.medication_reference.as_ref();
                let concept = self.medication(number, concept, reference, &dispense.contained);
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
            // What is within it would be left out in silence.
            Resource::Other if entry.kind == "Bundle" => {
                let detail =
                    "a Bundle within a Bundle is not read; send each by itself, in a file of its own";
                return Err(FhirError::at(number, "Bundle", "not-supported", detail));
            }
            Resource::Other => self.note(number, "not-supported", "the type is not read".to_owned()),
        }
        Ok(())
    }

    fn id(&self, number: usize, entry: &Entry) -> Result<String, FhirError> {
        let id = id_of(entry).ok_or_else(|| {
            let detail =
                "has no id, no fullUrl and no identifier with a system by which it could be found again";
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

    /// Whether an entry has a modifier that is not understood, or stands for a newer version that has one.
    fn is_kept_apart(&self, number: usize) -> bool {
        !self.bundle.entries[number].modifiers.is_empty() || self.index.older(number)
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

    /// Notes a code of a medicine that is none of those which FHIR R4 has: it counts as one that is taken.
    fn strange(&mut self, number: usize, member: &str, code: Option<&str>, known: &[&str]) {
        if code.is_some() && !known.contains(&standing::code(code).as_str()) {
            let accepted = known.join(", ");
            let note =
                format!("its {member} is none that FHIR R4 has, and counts as taken; it has {accepted}");
            self.note(number, "value", note);
        }
    }

    fn item(&mut self, number: usize, item: Item) {
        let known = self.mapped.items.entry(item.item_id.clone()).or_insert_with(|| (Vec::new(), item));
        known.0.push(number);
        self.used(number);
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
        if self.is_kept_apart(number) {
            return Ok(());
        }
        // "No current medications" is no drug, and must not be recommended to others as one.
        if concept.as_ref().is_some_and(people::names_no_drug) {
            self.left_out(number, "no drug, but that there is none or that nobody knows which");
            return Ok(());
        }
        let Some(item) = concept.as_ref().and_then(items::drug) else {
            let kind = &self.bundle.entries[number].kind;
            let note = format!("{kind}: its medication is not in the Bundle or has no code and no words");
            self.note(number, "not-found", note);
            self.mapped.unknown_drugs += 1;
            return Ok(());
        };
        let item_id = item.item_id.clone();
        self.item(number, item);
        self.plan(number, user_id, ItemName::Here(item_id), event, time);
        Ok(())
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
        if self.is_kept_apart(number) {
            return Ok(());
        }
        for reference in references {
            match self.provider(number, reference, kinds) {
                Ok(Some(item)) => self.plan(number, user_id.clone(), item, event, time),
                Ok(None) => {}
                Err(note) => self.note(number, "not-found", note),
            }
        }
        Ok(())
    }

    fn plan(
        &mut self,
        number: usize,
        user_id: String,
        item: ItemName,
        event: &'static str,
        time: Option<&str>,
    ) {
        let kind = &self.bundle.entries[number].kind;
        let Some(text) = time else {
            let note = format!("{kind}: without a time, and so no interaction");
            self.note(number, "incomplete", note);
            return;
        };
        let Some(time) = date_time(text) else {
            // What the resource says beside that holds all the same.
            let note = format!("{kind}: its time is no FHIR date or dateTime, and so no interaction");
            self.note(number, "value", note);
            return;
        };
        self.mapped.planned.push(Planned { entry: number, user_id, item, event, time });
        self.used(number);
    }

    /// What places and roles say of the items of others.
    fn places(&mut self) {
        for (number, entry) in self.bundle.entries.iter().enumerate() {
            match &entry.resource {
                Ok(Resource::Location(location)) => {
                    if let Some((Target::Entry(owner), _)) = self.owner(number)
                        && let Some(item) = self.item_of(owner)
                    {
                        items::set_place(item, items::position(location));
                    }
                }
                Ok(Resource::PractitionerRole(role)) => {
                    let specialties = role.specialty.iter().filter_map(CodeableConcept::words).collect();
                    let target = self.resolve(number, role.practitioner.as_ref(), &["Practitioner"]);
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

    /// People who are named by an identifier may be stored under another id.
    fn by_identifier(&mut self) {
        let mapped = &mut self.mapped;
        let named = mapped.people.keys().chain(mapped.planned.iter().map(|planned| &planned.user_id));
        let named: Vec<String> = named.filter(|id| id.contains('|')).cloned().collect();
        for id in named {
            let name = patient_name(&id);
            mapped.aliases.entry(id).or_insert(name);
        }
    }

    fn item_of(&mut self, number: usize) -> Option<&mut Item> {
        let entry = &self.bundle.entries[number];
        let id = format!("{}/{}", entry.kind, id_of(entry)?);
        self.mapped.items.get_mut(&id).map(|(_, item)| item)
    }
}

/// Whether a type says what happened, and nothing of a list.
fn says_of_visits(kind: &str) -> bool {
    HAPPENINGS.contains(&kind) && !STATEMENTS.contains(&kind)
}

/// A FHIR date or dateTime: of a year or a month its first day.
pub(super) fn date_time(text: &str) -> Option<Millis> {
    let text = text.trim();
    match text.len() {
        4 => parse_time(&format!("{text}-01-01")),
        7 => parse_time(&format!("{text}-01")),
        0..=9 => None,
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => parse_time(text),
    }
}
