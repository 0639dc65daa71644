//! What is in a medicine: its own words and codes, those of the Medication that it refers to, and of all that this is
//! made of. The parts may be named in place, lie within the resource that refers to them, or be entries or stored; what
//! is nowhere is told, as a medicine of which a part is not known has been compared with nothing as to that part.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::fhir::bundle::{Bundle, Entry, Resource};
use crate::fhir::references::{Index, Target, id_of, known_name, server_of};
use crate::fhir::resources::{CodeableConcept, Contained, Ingredient, Medication, Reference, clean};

/// Most ingredients of one medicine that are looked at: they may refer to each other in circles.
const MOST_PARTS: usize = 200;

/// Where Medications and Substances are looked for.
pub(crate) struct Shelves<'a> {
    /// Bundles, the first before the others.
    pub(crate) places: &'a [(&'a Bundle, &'a Index)],
    /// Those that came with an earlier Bundle, by the names under which they are known (`references::known_name`): of what is
    /// in a Bundle as well they are the newer ones.
    pub(crate) stored: Option<&'a HashMap<String, Medication>>,
    /// The server of the resource that refers to it.
    pub(crate) from: Option<&'a str>,
}

/// A medicine, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Drug {
    /// Its concept, with what is in it among its words; nothing where nobody says what it is.
    pub(crate) concept: Option<CodeableConcept>,
    /// Its ingredients that are nowhere, or that say nothing.
    pub(crate) missing: Vec<String>,
    /// Whether the Medication that it refers to is there.
    pub(crate) found: bool,
    /// What it refers to, where that is nowhere and nobody says what it is called: it may be another drug than the words
    /// beside it say.
    pub(crate) unnamed: Option<String>,
}

/// A Medication or a Substance.
struct Found<'a> {
    code: Option<&'a CodeableConcept>,
    parts: &'a [Ingredient],
    contained: &'a [Contained],
    /// Where it lies, by which it is told from others.
    place: usize,
}

impl Shelves<'_> {
    /// The medicine of a resource: of its concept, or of the Medication that it refers to. `contained` lie within it.
    pub(crate) fn drug(
        &self,
        concept: Option<&CodeableConcept>,
        reference: Option<&Reference>,
        contained: &[Contained],
    ) -> Drug {
        let Some(reference) = reference else {
            return Drug { concept: concept.cloned(), ..Drug::default() };
        };
        let own = concept.filter(|concept| concept.is_worded()).cloned();
        let mut drug = Drug::default();
        let mut named = None;
        if let Some(found) = self.find(reference, contained) {
            drug.found = true;
            let code = found.code.filter(|code| code.is_worded()).cloned();
            let parts = self.parts(found, &mut drug.missing);
            let code = code.or_else(|| together(&parts));
            named = code.map(|code| code.naming(&parts));
        }
        let shown = display(reference);
        if !drug.found && shown.is_none() {
            drug.unnamed = Some(written(reference, "a Medication without a name"));
        }
        // Words beside a reference, and those that it has itself, are words for the same thing. Who wrote one of them may
        // have meant another drug than who wrote the others, and all of them are looked at.
        drug.concept = called_too(called_too(own, named), shown);
        drug
    }

    /// All that something is made of, through all that this is made of.
    fn parts<'f>(&'f self, whole: Found<'f>, missing: &mut Vec<String>) -> Vec<CodeableConcept> {
        let mut parts = Vec::new();
        let mut seen = HashSet::from([whole.place]);
        let mut wholes = vec![whole];
        let (mut next, mut looked_at) = (0, 0);
        while let Some(&Found { parts: of, contained, .. }) = wholes.get(next) {
            next += 1;
            for part in of {
                looked_at += 1;
                if looked_at > MOST_PARTS {
                    missing.push(format!("all after the first {MOST_PARTS}"));
                    return parts;
                }
                let own = part.item_codeable_concept.as_ref().filter(|concept| concept.is_worded());
                parts.extend(own.cloned());
                let Some(reference) = part.item_reference.as_ref() else {
                    if own.is_none() {
                        missing.push("one without a name".to_owned());
                    }
                    continue;
                };
                let found = self.find(reference, contained);
                let code = found.as_ref().and_then(|found| found.code).filter(|code| code.is_worded());
                let named = called_too(code.cloned(), display(reference));
                // What is itself made of something is known by that.
                let made = found.as_ref().is_some_and(|found| !found.parts.is_empty());
                if named.is_none() && own.is_none() && !made {
                    missing.push(written(reference, "one without a name"));
                }
                // A circle says nothing new.
                if found.as_ref().is_none_or(|found| seen.insert(found.place)) {
                    parts.extend(named);
                    wholes.extend(found);
                }
            }
        }
        parts
    }

    fn find<'f>(&'f self, reference: &Reference, contained: &'f [Contained]) -> Option<Found<'f>> {
        let written = reference.reference.as_deref().map(str::trim).unwrap_or_default();
        if let Some(id) = written.strip_prefix('#') {
            let within = |own: &&Contained| {
                own.id.as_deref().map(|own| own.strip_prefix('#').unwrap_or(own)) == Some(id)
            };
            if let Some(own) = contained.iter().find(within) {
                let place = std::ptr::from_ref(own).addr();
                return Some(Found { code: own.code.as_ref(), parts: &own.ingredient, contained, place });
            }
        }
        let kinds = ["Medication", "Substance"];
        for (bundle, index) in self.places {
            let Target::Entry(number) = index.resolve_from(self.from, Some(reference), &kinds) else {
                continue;
            };
            let entry = &bundle.entries[number];
            match &entry.resource {
                Ok(Resource::Medication(own)) => {
                    let name = id_of(entry).map(|id| known_name("Medication", &id, entry.server.as_deref()));
                    let newer = name.and_then(|name| self.stored?.get(&name));
                    return Some(Found::of(newer.unwrap_or(own)));
                }
                Ok(Resource::Substance(own)) => {
                    let place = std::ptr::from_ref(own).addr();
                    let (code, contained) = (own.code.as_ref(), own.contained.as_slice());
                    return Some(Found { code, parts: &own.ingredient, contained, place });
                }
                _ => {}
            }
        }
        let (_, index) = self.places.first()?;
        match index.resolve_from(self.from, Some(reference), &kinds) {
            Target::Outside(name) => {
                self.stored?.get(&elsewhere_name(&name, reference, self.from)?).map(Found::of)
            }
            _ => None,
        }
    }
}

/// The concept of what has no name of its own: it is called what is in it, so that nobody takes it for the first of that.
fn together(parts: &[CodeableConcept]) -> Option<CodeableConcept> {
    let text = (parts.len() > 1 && parts.iter().all(CodeableConcept::has_words)).then(|| {
        let words: Vec<String> = parts.iter().filter_map(CodeableConcept::words).collect();
        words.join(" / ")
    });
    // A name that is cut off would be that of something else.
    let text = text.filter(|text| *text == clean(text));
    (!parts.is_empty()).then(|| CodeableConcept { text, ..CodeableConcept::default() })
}

impl<'a> Found<'a> {
    fn of(own: &'a Medication) -> Found<'a> {
        let place = std::ptr::from_ref(own).addr();
        Found { code: own.code.as_ref(), parts: &own.ingredient, contained: &own.contained, place }
    }
}

/// What a reference refers to, as it is written.
fn written(reference: &Reference, otherwise: &str) -> String {
    reference.reference.as_deref().unwrap_or(otherwise).chars().take(200).collect()
}

fn display(reference: &Reference) -> Option<CodeableConcept> {
    let display = reference.display.clone().filter(|display| !display.trim().is_empty())?;
    Some(CodeableConcept { coding: Vec::new(), text: Some(display) })
}

/// The concept, with what else the same thing is called.
fn called_too(concept: Option<CodeableConcept>, other: Option<CodeableConcept>) -> Option<CodeableConcept> {
    match (concept, other) {
        (Some(mut concept), Some(other)) => {
            concept.alias(&other);
            Some(concept)
        }
        (concept, other) => concept.or(other),
    }
}

/// The name under which a Medication is known that came with an earlier Bundle.
pub(super) fn elsewhere_name(name: &str, reference: &Reference, from: Option<&str>) -> Option<String> {
    let id = name.strip_prefix("Medication/")?;
    Some(known_name("Medication", id, server_of(reference, from).as_deref()))
}

/// The names of Medications that a Bundle does not hold: of orders and the like, and of Medications made of others.
pub(super) fn elsewhere(bundle: &Bundle) -> BTreeSet<String> {
    let index = Index::new(bundle);
    let of = |entry: &Entry| -> Vec<String> {
        let from = entry.server.as_deref();
        let outside = |reference: &Reference| match index.resolve_from(from, Some(reference), &["Medication"])
        {
            Target::Outside(name) => elsewhere_name(&name, reference, from),
            _ => None,
        };
        let one = |reference: &Option<Reference>| reference.iter().filter_map(outside).collect();
        match &entry.resource {
            Ok(Resource::MedicationRequest(request)) => one(&request.medication_reference),
            Ok(Resource::MedicationStatement(statement)) => one(&statement.medication_reference),
            Ok(Resource::MedicationDispense(dispense)) => one(&dispense.medication_reference),
            Ok(Resource::Medication(Medication { ingredient, .. })) => ingredient
                .iter()
                .filter_map(|part| part.item_reference.as_ref())
                .filter_map(outside)
                .collect(),
            _ => Vec::new(),
        }
    };
    bundle.entries.iter().flat_map(of).collect()
}
