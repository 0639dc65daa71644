//! What resources say of a person's lists, by the names under which they are known again.

use std::collections::HashMap;

use super::{Mapping, Shelves};
use crate::fhir::bundle::{Bundle, Entry, FhirError, Resource};
use crate::fhir::people::{self, Beside, List, Says, Statement};
use crate::fhir::references::{Index, id_of, known_name, lasts};
use crate::fhir::resources::{CodeableConcept, Medication, Reference, clean};
use crate::fhir::settle::Link;
use crate::fhir::status;

/// What an order says that came before and is of a Medication that is an entry of this Bundle; `display` is what the order
/// calls it, and `stored` are Medications that it may be made of.
pub fn ordered(
    bundle: &Bundle,
    index: &Index,
    entry: usize,
    (order, display): (&str, Option<String>),
    stored: &HashMap<String, Medication>,
) -> Says {
    let own = &bundle.entries[entry];
    let name = || format!("Medication/{}", id_of(own).unwrap_or_default());
    let reference = own.full_url.clone().unwrap_or_else(name);
    let reference = Reference { reference: Some(reference), display, ..Reference::default() };
    let places = [(bundle, index)];
    let shelves = Shelves { places: &places, stored: Some(stored), from: own.server.as_deref() };
    let concept = shelves.drug(None, Some(&reference), &[]).concept;
    // What else the order says is not known any more, and so it denies nothing.
    let says = concept
        .and_then(|concept| people::medication(&concept, &Beside::default()).ok())
        .filter(|says| matches!(says, Says::Entry { .. }))
        .unwrap_or_else(|| unnamed("a medication", order));
    // What a Medication is called of which nobody knows the meaning is taken beside what it was called.
    if own.modifiers.is_empty() { says } else { says.modified() }
}

impl Mapping<'_> {
    /// The name of a resource. Of one that is added without an id it is no name that lasts (`references::lasts`): by it what
    /// is sent again is the same, and nothing is taken back.
    fn resource_name(&self, entry: &Entry, concept: Option<&CodeableConcept>) -> String {
        let name = match id_of(entry) {
            Some(id) => known_name(&entry.kind, &id, entry.server.as_deref()),
            None => {
                let words = concept.and_then(CodeableConcept::words).filter(|words| !words.is_empty());
                let what = words.or_else(|| entry.digest.clone()).unwrap_or_default();
                format!("{}/#{what}", entry.kind)
            }
        };
        name.chars().take(500).collect()
    }

    /// Adds what a resource says of a list.
    fn say(&mut self, number: usize, user: &str, list: List, resource: String, says: Says) {
        if matches!(says, Says::Nothing(_)) && !lasts(&resource) {
            self.left_out(
                number,
                "added without an id of its own: of what was said before it takes back no more than a denial in its words",
            );
        }
        let says = if self.is_kept_apart(number) { says.modified() } else { says };
        self.person(user).statements.push(Statement { entry: number, list, resource, says });
    }

    /// That a resource was deleted takes back what it said, of whomever that was.
    pub(super) fn deleted(&mut self, number: usize, entry: &Entry) {
        self.left_out(number, "was deleted, as the history says");
        let list = match entry.kind.as_str() {
            "AllergyIntolerance" => List::Allergies,
            "Condition" => List::Conditions,
            "MedicationRequest" | "MedicationStatement" => List::Medications,
            _ => return,
        };
        let name = self.resource_name(entry, None);
        self.mapped.deleted.push((number, list, name));
    }

    pub(super) fn states(
        &mut self,
        number: usize,
        entry: &Entry,
        list: List,
        subject: Option<&Reference>,
        says: Result<Says, &'static str>,
    ) -> Result<(), FhirError> {
        let user = self.subject(number, subject)?;
        for member in entry.resource.as_ref().map(status::unclear).unwrap_or_default() {
            let note = format!(
                "its {member} is not understood: its codes contradict each other, or are none of those to which FHIR R4 binds \
                 it. What is said counts, but for a denial"
            );
            self.note(number, "value", note);
        }
        let says = match says {
            Ok(says) => says,
            // Somebody is allergic, and nobody can tell to what: the list must not look complete.
            Err(reason) if list == List::Allergies => {
                self.left_out(number, reason);
                let name = self.resource_name(entry, None);
                unnamed("an allergy", &name)
            }
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
        let resource = self.resource_name(entry, concept);
        self.say(number, &user, list, resource, says);
        self.used(number);
        Ok(())
    }

    /// What a drug order or statement says of the drugs that are taken now; with what stands beside it, if it is taken.
    pub(super) fn takes(
        &mut self,
        number: usize,
        entry: &Entry,
        subject: Option<&Reference>,
        concept: &Option<CodeableConcept>,
        taken: Option<Beside>,
    ) -> Result<(), FhirError> {
        let user = self.subject(number, subject)?;
        let resource = self.resource_name(entry, concept.as_ref());
        let says = match (taken, concept) {
            // Which drug it was does not matter any more.
            (None, _) => Says::Nothing("not taken any more"),
            // Something is taken, and nobody can tell what: the list must not look complete.
            (Some(_), None) => unnamed("a medication", &resource),
            (Some(beside), Some(concept)) => {
                let says = people::medication(concept, &beside);
                if let Ok(Says::Nothing(reason)) = says {
                    self.left_out(number, reason);
                }
                says.unwrap_or_else(|_| unnamed("a medication", &resource))
            }
        };
        self.say(number, &user, List::Medications, resource, says);
        Ok(())
    }

    /// Notes of which Medication an order is: one that comes later, or again, says what is taken. What the order says itself
    /// stands.
    pub(super) fn link(
        &mut self,
        number: usize,
        own: Option<&CodeableConcept>,
        reference: Option<&Reference>,
        taken: bool,
    ) {
        let reference = reference.filter(|_| !own.is_some_and(CodeableConcept::is_worded));
        let Some(medication) = reference.and_then(|reference| self.medication_name(number, reference)) else {
            return;
        };
        let display = reference.and_then(|reference| reference.display.clone());
        self.mapped.links.push(Link { entry: number, medication, display, taken });
    }

    /// An order that does not hold takes back what it may have said before.
    pub(super) fn withdraws(
        &mut self,
        number: usize,
        entry: &Entry,
        subject: Option<&Reference>,
        concept: Option<&CodeableConcept>,
    ) -> Result<(), FhirError> {
        let user = self.subject(number, subject)?;
        let resource = self.resource_name(entry, concept);
        self.say(number, &user, List::Medications, resource, Says::Nothing("does not hold"));
        Ok(())
    }
}

const WITHOUT_A_NAME: &str = " without a name (";

/// Whether an entry is one for what is there without a name.
pub(crate) fn is_unnamed(words: &str) -> bool {
    words.contains(WITHOUT_A_NAME)
}

/// An entry for what is there without a name. No terminology knows it, and so no drug is recommended beside it.
fn unnamed(what: &str, resource: &str) -> Says {
    Says::Entry {
        words: clean(&format!("{what}{WITHOUT_A_NAME}{resource})")),
        codes: Vec::new(),
        synonyms: Vec::new(),
    }
}
