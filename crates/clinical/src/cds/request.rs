//! What a client sends to a service: the hook's context, and the resources that it fetched beforehand.
//! The prefetched resources are read by the same code as an imported record, so that an allergy means here
//! what it means there.

use std::collections::{BTreeSet, HashMap};

use recommend::{Item, Millis, Profile};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::orders::{self, Draft};
use super::person::Person;
use super::prefetch::{self, List};
use super::services::{NEEDED, Service};
use crate::fhir::bundle::{Bundle, BundleKind, FhirError, Resource};
use crate::fhir::mapping::is_unnamed;
use crate::fhir::patient::beyond;
use crate::fhir::people::{NONE_KNOWN, PersonChange, Says, Statement};
use crate::fhir::references::{base_of, may_be_one, without_server};
use crate::fhir::resources::Medication;
use crate::fhir::{Found, map_with};

/// Why a request cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct CdsError {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

pub(super) fn error(pointer: &str, detail: impl Into<String>) -> CdsError {
    CdsError { pointer: pointer.to_owned(), detail: detail.into() }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    hook: Option<String>,
    hook_instance: Option<String>,
    fhir_server: Option<String>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    prefetch: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    patient_id: Option<String>,
    #[serde(borrow)]
    draft_orders: Option<&'a RawValue>,
    selections: Option<Vec<String>>,
}

/// An order of a drug.
#[derive(Debug)]
pub struct DraftOrder {
    /// By what the context refers to it: `MedicationRequest/id`.
    pub reference: Option<String>,
    /// The drug.
    pub item: Item,
    /// Whether it is to be checked.
    pub checked: bool,
    /// The resource as it was sent.
    pub resource: Value,
}

/// A request, read.
#[derive(Debug)]
pub struct HookRequest {
    /// The person.
    pub patient_id: String,
    /// Draft orders of drugs.
    pub orders: Vec<DraftOrder>,
    /// The FHIR server whose patient that is, by its address without the scheme, where the client says so.
    pub server: Option<String>,
    /// What was prefetched of the person.
    prefetched: Option<Bundle>,
    /// Drafts, which take the place of what is stored of the same orders.
    drafts: Vec<Draft>,
    /// Lists that the prefetch was asked for and has nothing of.
    empty: Vec<&'static str>,
    /// Needed keys that the prefetch does not have.
    pub missing: Vec<&'static str>,
    /// Why those of them that were sent do not count, in words.
    pub not_whole: Vec<String>,
    /// Whether anything was prefetched at all.
    pub any_prefetch: bool,
    /// What was sent and could not be looked at, in words.
    pub unread: Vec<String>,
    /// Bytes of the request.
    pub size: usize,
}

impl HookRequest {
    /// Reads a request to a service.
    ///
    /// # Errors
    /// What is missing or has another shape, and where.
    pub fn read(service: Service, text: &str) -> Result<HookRequest, CdsError> {
        let shape = |_| error("", "must be an object with hook, hookInstance, context and, mostly, prefetch");
        let sent: Sent = serde_json::from_str(text).map_err(shape)?;
        match sent.hook.as_deref() {
            None => return Err(error("/hook", format!("is missing; here it is {:?}", service.hook()))),
            Some(hook) if hook != service.hook() => {
                return Err(error("/hook", format!("must be {:?} for this service", service.hook())));
            }
            Some(_) => {}
        }
        if sent.hook_instance.as_deref().is_none_or(str::is_empty) {
            return Err(error("/hookInstance", "is missing: a UUID that names this call"));
        }
        let context = sent.context.ok_or_else(|| error("/context", "is missing"))?;
        let shape = |_| error("/context", "does not have the shape that CDS Hooks gives it");
        let context: Context = serde_json::from_str(context.get()).map_err(shape)?;
        let patient_id = context.patient_id.as_deref().map(|id| id.strip_prefix("Patient/").unwrap_or(id));
        let patient_id = patient_id.filter(|id| !id.is_empty() && id.len() <= 200);
        let patient_id = patient_id
            .ok_or_else(|| error("/context/patientId", "is missing: the FHIR id of the Patient"))?;
        let mut request = HookRequest {
            patient_id: patient_id.to_owned(),
            orders: Vec::new(),
            server: sent.fhir_server.as_deref().and_then(base_of),
            prefetched: None,
            drafts: Vec::new(),
            empty: Vec::new(),
            missing: NEEDED.to_vec(),
            not_whole: Vec::new(),
            any_prefetch: false,
            unread: Vec::new(),
            size: text.len(),
        };
        let mut lists = sent.prefetch.map(|prefetch| prefetch::read(prefetch.get())).transpose()?;
        let mut person = Person::new(patient_id);
        person.meets(lists.iter().flatten().map(|list| &list.bundle));
        if service != Service::PatientView {
            let orders =
                context.draft_orders.ok_or_else(|| error("/context/draftOrders", "is missing: a Bundle"))?;
            let selections = match service {
                Service::OrderSelect => Some(
                    context.selections.ok_or_else(|| error("/context/selections", "is missing: an array"))?,
                ),
                _ => None,
            };
            let beside: Vec<&Bundle> = lists.iter().flatten().map(|list| &list.bundle).collect();
            let read = orders::read(orders.get(), selections.as_deref(), &beside, &person)?;
            request.drafts = read.drafts;
            (request.orders, request.unread) = (read.orders, read.unread);
        }
        if let Some(lists) = lists.take() {
            request.read_prefetch(lists, &person, sent.fhir_server.as_deref());
        }
        Ok(request)
    }

    fn read_prefetch(&mut self, lists: Vec<List>, person: &Person, server: Option<&str>) {
        let mut all = Bundle { kind: BundleKind::Collection, entries: Vec::new() };
        for List { key, mut bundle, unread } in lists {
            let others: Vec<String> =
                bundle.entries.iter_mut().filter_map(|entry| person.adopt(entry)).collect();
            let another = |name: String| format!("the record's {key:?} names another person: {name}");
            self.unread.extend(others.into_iter().map(another));
            if unread.is_empty() {
                if bundle.kind == BundleKind::Collection && bundle.entries.is_empty() {
                    self.empty.extend(NEEDED.into_iter().filter(|needed| *needed == key));
                }
                self.missing.retain(|needed| *needed != key);
            }
            if NEEDED.contains(&key.as_str()) {
                self.not_whole.extend(unread.iter().cloned());
            }
            self.unread.extend(unread);
            self.any_prefetch = true;
            all.entries.extend(bundle.entries);
        }
        if let Some(server) = server {
            all.set_server(server);
        }
        orders::leave_out_drafts(&mut all, &self.drafts);
        self.unread.extend(prefetch::tell_apart(&mut all.entries));
        self.unread.extend(prefetch::without_parts(&all));
        self.unread.extend(prefetch::unclear(&all));
        self.unread.extend(all.entries.iter().flat_map(|entry| match &entry.resource {
            Ok(Resource::Patient(patient)) if entry.id.as_ref() == Some(&self.patient_id) => beyond(patient),
            _ => Vec::new(),
        }));
        self.prefetched = Some(all);
    }

    /// What was prefetched of the person.
    pub fn prefetched(&self) -> Option<&Bundle> {
        self.prefetched.as_ref()
    }

    /// What the prefetched resources say of the person. `medications` are those that are known by their references.
    ///
    /// # Errors
    /// Prefetched resources that cannot be understood.
    pub fn said(
        &self,
        now: Millis,
        medications: &HashMap<String, Medication>,
    ) -> Result<Option<PersonChange>, CdsError> {
        let Some(bundle) = &self.prefetched else { return Ok(None) };
        let found = Found { people: BTreeSet::from([self.patient_id.clone()]), ..Found::default() };
        // What is passed over here could be the allergy that matters.
        let refused = |wrong: Vec<FhirError>| {
            error("/prefetch", wrong.first().map(ToString::to_string).unwrap_or_default())
        };
        let settled = map_with(bundle, now, medications).settle(&found).map_err(refused)?;
        Ok(settled.people.into_iter().find(|person| person.user_id == self.patient_id))
    }

    /// The person's profile: what is stored, with what was prefetched on top, and without the orders that drafts take the place of.
    pub fn profile(&self, stored: Option<Profile>, said: Option<PersonChange>) -> Profile {
        let mut profile = stored.unwrap_or_default();
        orders::take_out_drafts(&mut profile, &self.drafts);
        if let Some(mut said) = said {
            over_stored(&mut said, &profile);
            said.apply(&mut profile);
        }
        // The client asked its record for all that is taken or diagnosed, and there is none. Of allergies
        // that says nothing: nobody may have asked the person.
        let lists = [("conditions", &mut profile.conditions), ("medications", &mut profile.medications)];
        for (name, list) in lists {
            if list.is_none() && self.empty.contains(&name) {
                *list = Some(Vec::new());
            }
        }
        profile
    }
}

/// Fits what was prefetched to what is stored of the same person. The same resource may have been stored with its server's address
/// or without, a denial also with another address of that server; and an order whose drug nobody sent along stands beside what
/// is known of it, which it does not take back.
fn over_stored(said: &mut PersonChange, profile: &Profile) {
    let known = || profile.recorded.values().flatten();
    let nameless = |own: &&mut Statement| matches!(&own.says, Says::Entry { words, .. } if is_unnamed(words));
    for own in said.statements.iter_mut().filter(nameless) {
        let is_this = |name: &String| *name == own.resource || may_be_one(name, &own.resource);
        let mut named = known().filter(|(before, _)| !is_unnamed(before));
        if named.any(|(_, recorded)| recorded.resources.iter().any(is_this)) {
            own.resource.push_str("#unnamed");
        }
    }
    let again = |own: &Statement| {
        let twins = known().flat_map(|(words, recorded)| {
            let denial = words == NONE_KNOWN;
            recorded.resources.iter().map(move |name| (name, denial))
        });
        let is_twin = |(name, denial): &(&String, bool)| {
            **name != own.resource
                && (may_be_one(name, &own.resource)
                    || *denial && without_server(name) == without_server(&own.resource))
        };
        // What takes nothing back under its own name takes nothing back under another.
        let says = || match own.says {
            Says::Kept(_) => Says::Kept(None),
            _ => Says::Nothing("known by its other name"),
        };
        let twin =
            |(name, _): (&String, bool)| Statement { resource: name.clone(), says: says(), ..own.clone() };
        twins.filter(is_twin).map(twin).collect::<Vec<_>>()
    };
    let twins: Vec<Statement> = said.statements.iter().flat_map(again).collect();
    said.statements.extend(twins);
}
