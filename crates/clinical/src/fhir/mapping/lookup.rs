//! What a resource refers to: its person, drug, visit, and those who cared, as far as the Bundle holds them.

use super::Mapping;
use crate::fhir::bundle::{Bundle, FhirError, Resource};
use crate::fhir::items;
use crate::fhir::references::{Index, Target, id_of, server};
use crate::fhir::resources::{CodeableConcept, Contained, Ingredient, Period, Reference};
use crate::fhir::settle::ItemName;

impl Mapping<'_> {
    /// The person that a reference stands for, by id.
    pub(super) fn subject(
        &mut self,
        number: usize,
        reference: Option<&Reference>,
    ) -> Result<String, FhirError> {
        let bundle = self.bundle;
        let entry = &bundle.entries[number];
        let member = match entry.resource {
            Ok(Resource::AllergyIntolerance(_) | Resource::Immunization(_)) => "patient",
            _ => "subject",
        };
        let path = || format!("{}.{member}", entry.kind);
        let unknown = |detail: &str| FhirError::at(number, path(), "not-found", detail);
        match self.index.resolve(reference, &["Patient"]) {
            Target::Entry(index) => {
                let target = &bundle.entries[index];
                if self.index.clash(index).is_some() {
                    return Err(unknown("refers to an entry that cannot be told from another"));
                }
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
                Some(("Patient", id)) => {
                    let address =
                        reference.and_then(|reference| server(reference.reference.as_deref()?.trim()));
                    let address = address.map(|server| (number, id.to_owned(), server.to_owned()));
                    self.mapped.addressed.extend(address);
                    Ok(id.to_owned())
                }
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
                self.mapped.identified.entry(id.to_owned()).or_default().insert(number);
                Ok(id.to_owned())
            }
            Target::Several => {
                Err(unknown("refers to several Patients of the Bundle, and nobody can tell which is meant"))
            }
            Target::Nothing => Err(unknown(
                "refers to nobody in the Bundle, and names nobody who could be stored: accepted are a fullUrl of the Bundle, Patient/id and Patient?identifier=system|value",
            )),
        }
    }

    pub(super) fn medication(
        &self,
        concept: Option<&CodeableConcept>,
        reference: Option<&Reference>,
        contained: &[Contained],
    ) -> Option<CodeableConcept> {
        medication(self.bundle, &self.index, concept, reference, contained).or_else(|| {
            // One that came with an earlier Bundle.
            match self.index.resolve(reference, &["Medication"]) {
                Target::Outside(name) => self.medications.get(&name)?.code.clone(),
                _ => None,
            }
        })
    }

    pub(super) fn visit_start(&self, encounter: Option<&Reference>) -> Option<String> {
        let Target::Entry(index) = self.index.resolve(encounter, &["Encounter"]) else { return None };
        match &self.bundle.entries[index].resource {
            Ok(Resource::Encounter(encounter)) => {
                encounter.period.as_ref().and_then(|Period { start, .. }| start.clone())
            }
            _ => None,
        }
    }

    /// The item of an Organization, a Location, a Practitioner or a role of one; none for somebody else
    /// who took part.
    pub(super) fn provider(&self, reference: &Reference, kinds: &[&str]) -> Result<Option<ItemName>, String> {
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
            Target::Several => Err("refers to several entries of the Bundle".to_owned()),
            Target::Nothing => {
                Err("refers to nothing in the Bundle, and names nothing that could be stored".to_owned())
            }
        }
    }

    /// The organization that a place belongs to: its own, or that of the place that it is part of.
    pub(super) fn owner(&self, mut index: usize) -> Option<Target> {
        // A place that is part of itself, by however many steps, belongs to nobody.
        for _ in 0..8 {
            let Ok(Resource::Location(location)) = &self.bundle.entries[index].resource else { return None };
            if location.managing_organization.is_some() {
                let owner = self.index.resolve(location.managing_organization.as_ref(), &["Organization"]);
                return Some(owner).filter(|owner| !matches!(owner, Target::Nothing | Target::Several));
            }
            match self.index.resolve(location.part_of.as_ref(), &["Location"]) {
                Target::Entry(part_of) => index = part_of,
                _ => return None,
            }
        }
        None
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
        if let Some(concept) = within.and_then(|own| of_parts(own.code.as_ref(), &own.ingredient, contained))
        {
            return Some(concept);
        }
    }
    if let Target::Entry(number) = index.resolve(Some(reference), &["Medication"])
        && let Ok(Resource::Medication(medication)) = &bundle.entries[number].resource
        && let Some(concept) = of_parts(medication.code.as_ref(), &medication.ingredient, &[])
    {
        return Some(concept);
    }
    let display = reference.display.clone().filter(|display| !display.trim().is_empty())?;
    Some(CodeableConcept { coding: Vec::new(), text: Some(display) })
}

/// A medicine's concept with the substances in it, whether these are named in it or are resources within.
fn of_parts(
    code: Option<&CodeableConcept>,
    parts: &[Ingredient],
    contained: &[Contained],
) -> Option<CodeableConcept> {
    let part = |part: &Ingredient| {
        let reference = part.item_reference.as_ref();
        let written = reference.and_then(|reference| reference.reference.as_deref()).unwrap_or_default();
        let within = written.strip_prefix('#');
        let within = within.and_then(|id| contained.iter().find(|own| own.id.as_deref() == Some(id)));
        let display = reference.and_then(|reference| reference.display.clone());
        let display = || display.map(|text| CodeableConcept { coding: Vec::new(), text: Some(text) });
        part.item_codeable_concept
            .clone()
            .or_else(|| within.and_then(|own| own.code.clone()))
            .or_else(display)
    };
    let parts: Vec<CodeableConcept> = parts.iter().filter_map(part).collect();
    let code = code.cloned().or_else(|| parts.first().map(|_| CodeableConcept::default()))?;
    Some(code.naming(&parts))
}
