//! What a client sends to a service: the hook's context, and the resources that it fetched beforehand.
//! The prefetched resources are read by the same code as an imported record, so that an allergy means here
//! what it means there.

use std::collections::BTreeSet;

use recommend::{Item, Millis, Profile};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::services::{NEEDED, Service};
use crate::fhir::Found;
use crate::fhir::bundle::{Bundle, BundleKind, Entry, FhirError, Resource};
use crate::fhir::items;
use crate::fhir::mapping::{map, medication};
use crate::fhir::references::{Index, local};
use crate::fhir::resources::{MedicationRequest, Reference};

/// Most orders of one call: each is compared with all others.
const MOST_ORDERS: usize = 100;

/// Why a request cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct CdsError {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

fn error(pointer: &str, detail: impl Into<String>) -> CdsError {
    CdsError { pointer: pointer.to_owned(), detail: detail.into() }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    hook: Option<String>,
    hook_instance: Option<String>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    prefetch: Option<&'a RawValue>,
}

/// Draft orders as text: a Bundle, or one resource.
struct Orders<'a> {
    whole: &'a str,
    entries: Option<Vec<OrderEntry<'a>>>,
}

#[derive(Deserialize)]
struct OrderBundle<'a> {
    #[serde(borrow)]
    entry: Option<Vec<OrderEntry<'a>>>,
}

#[derive(Deserialize)]
struct OrderEntry<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

impl<'a> Orders<'a> {
    fn read(text: &'a str) -> Option<Orders<'a>> {
        let OrderBundle { entry } = serde_json::from_str(text).ok()?;
        Some(Orders { whole: text, entries: entry })
    }

    fn resource(&self, number: usize) -> Option<&'a str> {
        match &self.entries {
            Some(entries) => entries.get(number)?.resource.map(RawValue::get),
            None => Some(self.whole),
        }
    }
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
    /// What was prefetched of the person.
    prefetched: Option<Bundle>,
    /// Lists that the prefetch was asked for and has nothing of.
    empty: Vec<&'static str>,
    /// Needed keys that the prefetch does not have.
    pub missing: Vec<&'static str>,
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
            prefetched: None,
            empty: Vec::new(),
            missing: NEEDED.to_vec(),
            any_prefetch: false,
            unread: Vec::new(),
            size: text.len(),
        };
        let prefetch = sent.prefetch.map(|prefetch| fetched(prefetch.get())).transpose()?;
        let mut drafts = BTreeSet::new();
        if service != Service::PatientView {
            let orders =
                context.draft_orders.ok_or_else(|| error("/context/draftOrders", "is missing: a Bundle"))?;
            let selections = match service {
                Service::OrderSelect => Some(
                    context.selections.ok_or_else(|| error("/context/selections", "is missing: an array"))?,
                ),
                _ => None,
            };
            let beside = prefetch.iter().flatten().map(|fetched| &fetched.bundle);
            drafts = request.read_orders(orders.get(), selections.as_deref(), beside)?;
        }
        if let Some(prefetch) = prefetch {
            request.read_prefetch(prefetch, &drafts)?;
        }
        Ok(request)
    }

    fn read_orders<'b>(
        &mut self,
        text: &str,
        selections: Option<&[String]>,
        beside: impl Iterator<Item = &'b Bundle> + Clone,
    ) -> Result<BTreeSet<String>, CdsError> {
        let pointer = "/context/draftOrders";
        let bundle = Bundle::read_collection(text).map_err(|wrong| error(pointer, wrong.to_string()))?;
        let raw = Orders::read(text).ok_or_else(|| error(pointer, "is not JSON"))?;
        let index = Index::new(&bundle);
        let mut selected = vec![false; selections.map_or(0, <[String]>::len)];
        let mut drafts = BTreeSet::new();
        for (number, entry) in bundle.entries.iter().enumerate() {
            let resource = entry.resource.as_ref().map_err(|wrong| error(pointer, wrong.to_string()))?;
            let Resource::MedicationRequest(order) = resource else { continue };
            let reference = entry.id.as_ref().map(|id| format!("MedicationRequest/{id}"));
            drafts.extend(reference.clone());
            let known = [entry.full_url.as_deref(), reference.as_deref(), entry.id.as_deref()];
            let mut checked = selections.is_none();
            for (selection, seen) in selections.into_iter().flatten().zip(&mut selected) {
                if known.contains(&Some(selection.as_str())) || reference.as_deref() == Some(local(selection))
                {
                    (*seen, checked) = (true, true);
                }
            }
            // An order that ends a drug, or that nobody gave, is none to be warned of.
            let ends = ["entered-in-error", "stopped", "cancelled", "completed"];
            if order.do_not_perform == Some(true)
                || order.status.as_deref().is_some_and(|s| ends.contains(&s))
            {
                continue;
            }
            // While somebody chooses there may be an order that has no drug yet; who signs one has to say which.
            let chosen_yet =
                order.medication_codeable_concept.is_some() || order.medication_reference.is_some();
            if selections.is_some() && !chosen_yet {
                continue;
            }
            // A Medication may have been sent along with the record.
            let elsewhere = || beside.clone().find_map(|bundle| drug_of(order, bundle, &Index::new(bundle)));
            let Some(item) = drug_of(order, &bundle, &index).or_else(elsewhere) else {
                if let Some(reference) = order.medication_reference.as_ref() {
                    // The other orders can be checked all the same.
                    let name = reference.reference.as_deref().unwrap_or("a Medication");
                    self.unread.push(format!("the order of {name:?}, which was not sent along"));
                    continue;
                }
                let detail =
                    format!("entry {number}: a MedicationRequest needs its medication, with a code or words");
                return Err(error(pointer, detail));
            };
            if self.orders.len() == MOST_ORDERS {
                let detail = format!(
                    "has more than {MOST_ORDERS} orders of drugs; at most so many are checked in one call"
                );
                return Err(error(pointer, detail));
            }
            // The rest of a Bundle of orders may be of other things.
            let resource = raw.resource(number).and_then(|text| serde_json::from_str(text).ok());
            self.orders.push(DraftOrder { reference, item, checked, resource: resource.unwrap_or_default() });
        }
        for (selection, _) in selections.into_iter().flatten().zip(selected).filter(|(_, seen)| !seen) {
            // What is chosen may be an order of something else than a drug.
            if local(selection).starts_with("MedicationRequest/") {
                self.unread.push(format!("the selection {selection:?}, which is none of the draft orders"));
            }
        }
        Ok(drafts)
    }

    fn read_prefetch(&mut self, sent: Vec<Fetched>, drafts: &BTreeSet<String>) -> Result<(), CdsError> {
        let mut all = Bundle { kind: BundleKind::Collection, entries: Vec::new() };
        for Fetched { key, mut bundle, whole } in sent {
            let others: Vec<String> =
                bundle.entries.iter_mut().filter_map(|entry| self.adopt(entry)).collect();
            let another = |name: String| format!("the record's {key:?} names another person: {name}");
            self.unread.extend(others.into_iter().map(another));
            // A server's refusal is no empty list, and a first page no whole one.
            let refused = bundle.entries.iter().any(|entry| entry.kind == "OperationOutcome");
            bundle.entries.retain(|entry| entry.kind != "OperationOutcome");
            if (refused && bundle.entries.is_empty()) || !whole {
                let why = if whole { "which could not be fetched" } else { "of which a part was sent" };
                self.unread.push(format!("the record's {key:?}, {why}"));
            } else {
                if bundle.kind == BundleKind::Collection && bundle.entries.is_empty() {
                    self.empty.extend(NEEDED.into_iter().filter(|needed| *needed == key));
                }
                self.missing.retain(|needed| *needed != key);
            }
            for entry in &bundle.entries {
                if let Err(wrong) = &entry.resource {
                    return Err(error(&format!("/prefetch/{key}"), wrong.to_string()));
                }
            }
            self.any_prefetch = true;
            // A draft that is stored already is not a second drug beside itself.
            let is_draft = |entry: &Entry| {
                entry.id.as_ref().is_some_and(|id| drafts.contains(&format!("{}/{id}", entry.kind)))
            };
            all.entries.extend(bundle.entries.into_iter().filter(|entry| !is_draft(entry)));
        }
        self.prefetched = Some(all);
        Ok(())
    }

    /// What was fetched for this person is this person's, where it names nobody who could be found; what
    /// names somebody else by id is not, and is answered by that name.
    fn adopt(&self, entry: &mut Entry) -> Option<String> {
        let subject = match &mut entry.resource {
            Ok(Resource::Patient(_)) => {
                entry.id.get_or_insert_with(|| self.patient_id.clone());
                return None;
            }
            Ok(Resource::AllergyIntolerance(allergy)) => &mut allergy.patient,
            Ok(Resource::Condition(condition)) => &mut condition.subject,
            Ok(Resource::MedicationRequest(request)) => &mut request.subject,
            Ok(Resource::MedicationStatement(statement)) => &mut statement.subject,
            _ => return None,
        };
        let named = subject.as_ref().and_then(|subject| subject.reference.as_deref()).unwrap_or_default();
        if named.is_empty() || named.starts_with("urn:") || named.starts_with('#') || named.contains('?') {
            let reference = Some(format!("Patient/{}", self.patient_id));
            *subject = Some(Reference { reference, ..Reference::default() });
            return None;
        }
        let own = local(named).strip_prefix("Patient/") == Some(self.patient_id.as_str());
        (!own).then(|| named.to_owned())
    }

    /// The person's profile: what is stored, with what was prefetched on top.
    ///
    /// # Errors
    /// Prefetched resources that cannot be understood.
    pub fn profile(&self, stored: Option<Profile>, now: Millis) -> Result<Profile, CdsError> {
        let mut profile = stored.unwrap_or_default();
        let Some(bundle) = &self.prefetched else { return Ok(profile) };
        let found = Found { people: BTreeSet::from([self.patient_id.clone()]), ..Found::default() };
        // What is passed over here could be the allergy that matters.
        let refused = |wrong: Vec<FhirError>| {
            error("/prefetch", wrong.first().map(ToString::to_string).unwrap_or_default())
        };
        let settled = map(bundle, now).settle(&found).map_err(refused)?;
        for person in settled.people.iter().filter(|person| person.user_id == self.patient_id) {
            person.apply(&mut profile);
        }
        // The client asked its record for all that is taken or diagnosed, and there is none. Of allergies
        // that says nothing: nobody may have asked the person.
        let lists = [("conditions", &mut profile.conditions), ("medications", &mut profile.medications)];
        for (name, list) in lists {
            if list.is_none() && self.empty.contains(&name) {
                *list = Some(Vec::new());
            }
        }
        Ok(profile)
    }
}

/// What was fetched beforehand under one key.
struct Fetched {
    key: String,
    bundle: Bundle,
    /// Whether it is all that there is: a server may answer in pages.
    whole: bool,
}

#[derive(Default, Deserialize)]
struct Pages {
    #[serde(default)]
    link: Vec<PageLink>,
    /// How many entries the whole search found.
    total: Option<usize>,
}

#[derive(Deserialize)]
struct PageLink {
    relation: Option<String>,
}

fn fetched(text: &str) -> Result<Vec<Fetched>, CdsError> {
    let shape = |_| error("/prefetch", "must be an object");
    let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(shape)?;
    let sent = members.into_iter().filter(|(_, value)| value.get().trim() != "null");
    sent.map(|(key, value)| {
        let bundle = Bundle::read_collection(value.get());
        let bundle = bundle.map_err(|wrong| error(&format!("/prefetch/{key}"), wrong.to_string()))?;
        let Pages { link, total } = serde_json::from_str(value.get()).unwrap_or_default();
        let whole = link.iter().all(|link| link.relation.as_deref() != Some("next"))
            && total.is_none_or(|total| total <= bundle.entries.len());
        Ok(Fetched { key, bundle, whole })
    })
    .collect()
}

fn drug_of(order: &MedicationRequest, bundle: &Bundle, index: &Index) -> Option<Item> {
    let concept = order.medication_codeable_concept.as_ref();
    let concept = medication(bundle, index, concept, order.medication_reference.as_ref(), &order.contained);
    concept.as_ref().and_then(items::drug)
}
