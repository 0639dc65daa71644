//! What a resource refers to: its person, drug, visit, and those who cared, as far as the Bundle holds them.

use super::medicine::elsewhere_name;
use super::{Drug, Mapping, Shelves};
use crate::fhir::bundle::{BundleKind, Entry, FhirError, Method, Resource};
use crate::fhir::items;
use crate::fhir::references::{Target, id_of, known_name, server_of};
use crate::fhir::resources::{CodeableConcept, Contained, Period, Reference};
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
        let from = entry.server.as_deref();
        match self.index.resolve_from(from, reference, &["Patient"]) {
            Target::Entry(index) => {
                let target = &bundle.entries[index];
                if self.index.clash(index).is_some() {
                    return Err(unknown("refers to an entry that cannot be told from another"));
                }
                match (&target.resource, id_of(target)) {
                    (Ok(Resource::Patient(_)), Some(id)) => {
                        // By type and id alone another server's person is named, if the entry does not say where it is.
                        let server = reference.filter(|one| target.server.is_none() && is_by_id(one, target));
                        let server = server.and_then(|reference| server_of(reference, from));
                        self.mapped.addressed.extend(server.map(|server| (number, id.clone(), server)));
                        Ok(id)
                    }
                    // Of a batch each entry goes by itself: the person may be stored.
                    (Err(_), Some(id))
                        if bundle.kind == BundleKind::Batch
                            && target.kind == "Patient"
                            && target.method == Some(Method::Put) =>
                    {
                        let server = target.server.clone();
                        self.mapped.addressed.extend(server.map(|server| (number, id.clone(), server)));
                        Ok(id)
                    }
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
                    let server = reference.and_then(|reference| server_of(reference, from));
                    self.mapped.addressed.extend(server.map(|server| (number, id.to_owned(), server)));
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

    /// The concept of the drug of an entry, with what is in it.
    pub(super) fn medication(
        &mut self,
        number: usize,
        concept: Option<&CodeableConcept>,
        reference: Option<&Reference>,
        contained: &[Contained],
    ) -> Option<CodeableConcept> {
        let places = [(self.bundle, &self.index)];
        let shelves = Shelves {
            places: &places,
            stored: Some(self.medications),
            from: self.bundle.entries[number].server.as_deref(),
        };
        let Drug { concept, missing, unnamed, .. } = shelves.drug(concept, reference, contained);
        if concept.is_some() && !missing.is_empty() {
            let detail = "an ingredient of its medication is not in the Bundle or has no code and no words";
            self.note(number, "not-found", detail.to_owned());
        }
        if concept.is_some() && unnamed.is_some() {
            let detail = "the Medication that it refers to is nowhere, and its own words alone are taken";
            self.note(number, "not-found", detail.to_owned());
        }
        concept
    }

    /// The name under which the Medication is known that a reference of an entry is to.
    pub(super) fn medication_name(&self, number: usize, reference: &Reference) -> Option<String> {
        match self.resolve(number, Some(reference), &["Medication"]) {
            Target::Entry(index) => {
                let entry = &self.bundle.entries[index];
                let id = id_of(entry).filter(|_| entry.kind == "Medication")?;
                Some(known_name("Medication", &id, entry.server.as_deref()))
            }
            Target::Outside(name) => {
                elsewhere_name(&name, reference, self.bundle.entries[number].server.as_deref())
            }
            _ => None,
        }
    }

    pub(super) fn visit_start(&self, number: usize, encounter: Option<&Reference>) -> Option<String> {
        let Target::Entry(index) = self.resolve(number, encounter, &["Encounter"]) else { return None };
        match &self.bundle.entries[index].resource {
            Ok(Resource::Encounter(encounter)) => {
                encounter.period.as_ref().and_then(|Period { start, .. }| start.clone())
            }
            _ => None,
        }
    }

    /// What a reference of an entry stands for.
    pub(super) fn resolve(&self, number: usize, reference: Option<&Reference>, kinds: &[&str]) -> Target {
        self.index.resolve_from(self.bundle.entries[number].server.as_deref(), reference, kinds)
    }

    /// The server of what a reference of an entry is to.
    fn server_of(&self, number: usize, reference: Option<&Reference>) -> Option<String> {
        server_of(reference?, self.bundle.entries[number].server.as_deref())
    }

    /// The item of an Organization, a Location, a Practitioner or a role of one; none for somebody else
    /// who took part.
    pub(super) fn provider(
        &self,
        number: usize,
        reference: &Reference,
        kinds: &[&str],
    ) -> Result<Option<ItemName>, String> {
        let mut target = self.resolve(number, Some(reference), kinds);
        let mut server = self.server_of(number, Some(reference));
        // A role leads to its practitioner, a place to its organization: no further.
        for _ in 0..2 {
            target = match target {
                Target::Entry(index) => match &self.bundle.entries[index].resource {
                    Ok(Resource::PractitionerRole(role)) => {
                        let practitioner = role.practitioner.as_ref();
                        server = self.server_of(index, practitioner);
                        self.resolve(index, practitioner, &["Practitioner"])
                    }
                    Ok(Resource::Location(_)) => match self.owner(index) {
                        Some((owner, of)) => {
                            server = of;
                            owner
                        }
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
                Ok(known.then_some(ItemName::Outside(name, server)))
            }
            Target::Identified(name) => Ok(Some(ItemName::Identified(name))),
            Target::Several => Err("refers to several entries of the Bundle".to_owned()),
            Target::Nothing => {
                Err("refers to nothing in the Bundle, and names nothing that could be stored".to_owned())
            }
        }
    }

    /// The organization that a place belongs to, and on which server it is: its own, or that of the place that it is part of.
    pub(super) fn owner(&self, mut index: usize) -> Option<(Target, Option<String>)> {
        // A place that is part of itself, by however many steps, belongs to nobody.
        for _ in 0..8 {
            let Ok(Resource::Location(location)) = &self.bundle.entries[index].resource else { return None };
            if let organization @ Some(_) = location.managing_organization.as_ref() {
                let owner = self.resolve(index, organization, &["Organization"]);
                let known = !matches!(owner, Target::Nothing | Target::Several);
                return known.then(|| (owner, self.server_of(index, organization)));
            }
            match self.resolve(index, location.part_of.as_ref(), &["Location"]) {
                Target::Entry(part_of) => index = part_of,
                _ => return None,
            }
        }
        None
    }
}

/// Whether a reference names an entry by type and id, and not by the name that it has in the Bundle or by an identifier.
fn is_by_id(reference: &Reference, target: &Entry) -> bool {
    let written = reference.reference.as_deref().map(str::trim).unwrap_or_default();
    let named = written.starts_with("urn:") || written.contains('?') || written.is_empty();
    !named && target.full_url.as_deref().is_none_or(|url| url != written || !url.contains(':'))
}
