//! Whose something is. What was fetched for a person is that person's, where it names nobody who could be found; what
//! names somebody else is not, and is told.

use std::collections::HashMap;

use crate::fhir::bundle::{Bundle, Entry, Resource};
use crate::fhir::references::local;
use crate::fhir::resources::Reference;

/// The person of a call.
pub(super) struct Person<'a> {
    id: &'a str,
    /// The Patients that were sent, by their `fullUrl`.
    sent: HashMap<String, String>,
}

impl<'a> Person<'a> {
    /// Of this id.
    pub(super) fn new(id: &'a str) -> Person<'a> {
        Person { id, sent: HashMap::new() }
    }

    /// Learns whom the addresses of these Bundles mean.
    pub(super) fn meets<'b>(&mut self, bundles: impl Iterator<Item = &'b Bundle>) {
        for entry in bundles.flat_map(|bundle| &bundle.entries).filter(|entry| entry.kind == "Patient") {
            if let (Some(url), Some(id)) = (&entry.full_url, &entry.id) {
                self.sent.insert(url.clone(), id.clone());
            }
        }
    }

    /// The name of somebody else, where a resource is of somebody else.
    pub(super) fn other<'r>(&self, subject: Option<&'r Reference>) -> Option<&'r str> {
        let named = subject.and_then(|subject| subject.reference.as_deref()).map(str::trim);
        let named = named.unwrap_or_default();
        if let Some(id) = self.sent.get(named) {
            return (id != self.id).then_some(named);
        }
        if is_unnamed(named) {
            return None;
        }
        let own = local(named).strip_prefix("Patient/") == Some(self.id);
        (!own).then_some(named)
    }

    /// Makes what was fetched for this person this person's. What names somebody else is answered by that name.
    pub(super) fn adopt(&self, entry: &mut Entry) -> Option<String> {
        let subject = match &mut entry.resource {
            Ok(Resource::Patient(_)) => {
                let id = entry.id.get_or_insert_with(|| self.id.to_owned());
                return (id != self.id).then(|| format!("Patient/{id}"));
            }
            Ok(Resource::AllergyIntolerance(allergy)) => &mut allergy.patient,
            Ok(Resource::Condition(condition)) => &mut condition.subject,
            Ok(Resource::MedicationRequest(request)) => &mut request.subject,
            Ok(Resource::MedicationStatement(statement)) => &mut statement.subject,
            _ => return None,
        };
        if let Some(other) = self.other(subject.as_ref()) {
            return Some(other.to_owned());
        }
        let named = subject.as_ref().and_then(|subject| subject.reference.as_deref()).unwrap_or_default();
        if is_unnamed(named.trim()) {
            let reference = Some(format!("Patient/{}", self.id));
            *subject = Some(Reference { reference, ..Reference::default() });
        }
        None
    }
}

/// Whether a reference names nobody by an id that a server knows.
fn is_unnamed(named: &str) -> bool {
    named.is_empty() || named.starts_with("urn:") || named.starts_with('#') || named.contains('?')
}
