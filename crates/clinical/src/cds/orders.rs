//! The draft orders of drugs of a call, in Bundles and in what groups them. What names a drug and is no order, and an
//! order that cannot be looked at, is told and never passed over.

use std::collections::{BTreeMap, BTreeSet};

use recommend::{Item, Profile, Recorded, normalise, without_dose, without_salts};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::person::Person;
use super::prefetch::{DEEPEST, Sheet, is_refusal, kind_of};
use super::request::{CdsError, DraftOrder, error};
use crate::fhir::bundle::{Bundle, Entry, MAX_ENTRIES_SENT, Resource, entry};
use crate::fhir::items;
use crate::fhir::mapping::{Drug, Shelves, Standing};
use crate::fhir::people::{self, List};
use crate::fhir::references::{Index, local, without_server};
use crate::fhir::resources::{Contained, MedicationRequest};

/// Most orders of one call: each is compared with all others.
const MOST_ORDERS: usize = 100;

const POINTER: &str = "/context/draftOrders";

/// What was read of the draft orders.
#[derive(Default)]
pub(super) struct Orders {
    /// Orders of drugs.
    pub(super) orders: Vec<DraftOrder>,
    /// What the record may have of the same orders.
    pub(super) drafts: Vec<Draft>,
    /// What could not be looked at, in words.
    pub(super) unread: Vec<String>,
}

/// A draft that may be stored already.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its id.
    id: String,
    /// Its drug, where it has one.
    item: Option<Item>,
    /// Whether it ends the order.
    ends: bool,
}

/// A resource among the drafts.
struct Sent<'a> {
    entry: Entry,
    text: &'a str,
    /// By what selections may name it.
    names: Vec<String>,
    /// Whether it lies within another, and cannot be removed by itself.
    within: bool,
}

#[derive(Deserialize)]
struct Holder<'a> {
    #[serde(borrow)]
    contained: Option<Vec<&'a RawValue>>,
    action: Option<Value>,
}

/// Reads the draft orders. `beside` are Bundles in which Medications may have been sent along.
pub(super) fn read(
    text: &str,
    selections: Option<&[String]>,
    beside: &[&Bundle],
    person: &Person,
) -> Result<Orders, CdsError> {
    let mut read = Orders::default();
    let mut sent = Vec::new();
    gather(text, 0, &mut sent, &mut read.unread)?;
    let mut entries = Vec::with_capacity(sent.len());
    let mut rest = Vec::with_capacity(sent.len());
    for Sent { entry, text, names, within } in sent {
        entries.push(entry);
        rest.push((text, names, within));
    }
    let bundle = Bundle::of(entries);
    let bundles: Vec<&Bundle> = [&bundle].into_iter().chain(beside.iter().copied()).collect();
    let indices: Vec<Index> = bundles.iter().map(|bundle| Index::new(bundle)).collect();
    let places: Vec<(&Bundle, &Index)> = bundles.iter().copied().zip(&indices).collect();
    let chosen: Option<BTreeSet<&str>> = selections.map(|selections| {
        selections.iter().flat_map(|selection| [selection.as_str(), local(selection)]).collect()
    });
    for (number, (entry, (text, names, within))) in bundle.entries.iter().zip(&rest).enumerate() {
        let checked =
            chosen.as_ref().is_none_or(|chosen| names.iter().any(|name| chosen.contains(name.as_str())));
        let shelves = Shelves { places: &places, stored: None, from: entry.server.as_deref() };
        let resource = entry.resource.as_ref().map_err(|wrong| error(POINTER, wrong.to_string()))?;
        let name = names.first().cloned().unwrap_or_else(|| format!("{} number {number}", entry.kind));
        // Of what is no drug nothing is checked, whatever it means.
        let of_drugs =
            ["Medication", "Substance"].contains(&entry.kind.as_str()) || text.contains("MedicationRequest");
        for modifier in entry.modifiers.iter().filter(|_| of_drugs) {
            read.unread.push(format!("the {modifier} of the draft order {name:?}, which is not understood"));
        }
        match resource {
            Resource::MedicationRequest(order) => {
                let reference = entry.id.as_ref().map(|id| format!("MedicationRequest/{id}"));
                let modified = !entry.modifiers.is_empty();
                let draft =
                    Seen { number, name, reference: reference.filter(|_| !within), checked, modified };
                let before = read.orders.len();
                read.order(order, draft, entry.id.as_deref(), &shelves, selections.is_some(), person)?;
                for order in &mut read.orders[before..] {
                    order.resource = serde_json::from_str(text).unwrap_or_default();
                }
            }
            _ if names_a_drug(&entry.kind) => {
                read.unread.push(format!("the draft order {name:?}, which is no MedicationRequest"));
            }
            _ => {}
        }
    }
    let there: BTreeSet<&str> = rest.iter().flat_map(|(_, names, _)| names).map(String::as_str).collect();
    for selection in selections.into_iter().flatten() {
        if !there.contains(selection.as_str()) && !there.contains(local(selection)) {
            let selection: String = selection.chars().take(200).collect();
            read.unread.push(format!("the selection {selection:?}, which is none of the draft orders"));
        }
    }
    for (text, names, _) in &rest {
        let holder = serde_json::from_str::<Holder>(text).ok();
        let Some(action) = holder.and_then(|holder| holder.action) else { continue };
        let mut orders = BTreeSet::new();
        actions(&action, &mut orders);
        for order in orders.iter().filter(|order| !there.contains(order.as_str())) {
            let of = names.first().map_or("a group", String::as_str);
            read.unread.push(format!("the order {order:?} of {of:?}, which was not sent along"));
        }
    }
    Ok(read)
}

/// An order as it was met.
struct Seen {
    number: usize,
    name: String,
    reference: Option<String>,
    checked: bool,
    /// Whether it has a modifier that is not understood: it is checked, and ends and replaces nothing.
    modified: bool,
}

impl Orders {
    fn order(
        &mut self,
        order: &MedicationRequest,
        seen: Seen,
        id: Option<&str>,
        shelves: &Shelves,
        choosing: bool,
        person: &Person,
    ) -> Result<(), CdsError> {
        let Seen { number, name, reference, checked, modified } = seen;
        if let Some(other) = person.other(order.subject.as_ref()) {
            self.unread.push(format!("the order {name:?}, which is for another person: {other}"));
            return Ok(());
        }
        let concept = order.medication_codeable_concept.as_ref();
        let medication = order.medication_reference.as_ref();
        let Drug { concept, missing, found, unnamed } = shelves.drug(concept, medication, &order.contained);
        let item = concept.as_ref().and_then(items::drug);
        // An order that ends a drug, or that nobody gave, is none to be warned of.
        let ends = order.do_not_perform == Some(true) || ends(order.status.as_deref());
        // What the record has and is held now is begun by nobody, and counts as taken.
        let is_this = |entry: &Entry| entry.kind == "MedicationRequest" && entry.id.as_deref() == id;
        let recorded = || shelves.places.iter().skip(1).any(|(record, _)| record.entries.iter().any(is_this));
        let held =
            order.status.as_deref().is_some_and(|status| status.trim().eq_ignore_ascii_case("on-hold"));
        if held && !modified && id.is_some() && recorded() {
            return Ok(());
        }
        if let Some(id) = id.filter(|_| !modified) {
            self.drafts.push(Draft { id: id.to_owned(), item: item.clone(), ends });
        }
        if !ends && !modified {
            // A renewal has an id of its own, and takes the place of what it renews.
            let renewed = replaced(order).into_iter();
            self.drafts.extend(renewed.map(|id| Draft { id, item: item.clone(), ends: false }));
        }
        // While somebody chooses there may be an order that has no drug yet; who signs one has to say which.
        let chosen_yet = order.medication_codeable_concept.is_some() || medication.is_some();
        if ends || (choosing && !chosen_yet) {
            return Ok(());
        }
        let Some(item) = item else {
            if let Some(reference) = medication {
                // The other orders can be checked all the same.
                let name = reference.reference.as_deref().unwrap_or("a Medication");
                let why = match (found, missing.is_empty()) {
                    (false, _) => "which was not sent along",
                    (true, false) => "of which what is in it was not sent along",
                    (true, true) => "which has no code and no words",
                };
                self.unread.push(format!("the order of {name:?}, {why}"));
                return Ok(());
            }
            let detail =
                format!("entry {number}: a MedicationRequest needs its medication, with a code or words");
            return Err(error(POINTER, detail));
        };
        for part in missing {
            let name = &item.name;
            self.unread
                .push(format!("an ingredient of the order of {name:?}: {part}, which was not sent along"));
        }
        if let Some(unnamed) = unnamed {
            let name = &item.name;
            self.unread.push(format!(
                "the Medication of the order of {name:?}: {unnamed}, which was not sent along"
            ));
        }
        if self.orders.len() == MOST_ORDERS {
            let detail = format!(
                "has more than {MOST_ORDERS} orders of drugs; at most so many are checked in one call"
            );
            return Err(error(POINTER, detail));
        }
        self.orders.push(DraftOrder { reference, item, checked, resource: Value::Null });
        Ok(())
    }
}

/// The ids of the orders that one says it takes the place of, or carries out.
fn replaced(order: &MedicationRequest) -> Vec<String> {
    let based = order.based_on.as_ref().and_then(Value::as_array).into_iter().flatten();
    let references = order.prior_prescription.iter().chain(based);
    let references = references.filter_map(|reference| reference.get("reference")?.as_str());
    let ids = references.filter_map(|reference| local(reference).strip_prefix("MedicationRequest/"));
    ids.map(str::to_owned).collect()
}

/// Whether a draft of this status ends an order, or is none.
fn ends(status: Option<&str>) -> bool {
    let draft = status.is_some_and(|status| status.trim().eq_ignore_ascii_case("draft"));
    !draft && Standing::of_request(status) != Standing::Taken
}

/// Whether a resource of a type that is no order of a drug names one all the same.
fn names_a_drug(kind: &str) -> bool {
    ["MedicationStatement", "MedicationDispense", "MedicationAdministration", "Immunization"].contains(&kind)
}

/// The orders of drugs that the actions of a group refer to.
fn actions(value: &Value, orders: &mut BTreeSet<String>) {
    for action in value.as_array().into_iter().flatten() {
        let reference = action.get("resource").and_then(|resource| resource.get("reference"));
        if let Some(reference) = reference.and_then(Value::as_str)
            && local(reference).starts_with("MedicationRequest/")
        {
            orders.insert(local(reference).to_owned());
        }
        if let Some(within) = action.get("action") {
            actions(within, orders);
        }
    }
}

/// Puts together the resources of a Bundle, those of the Bundles in it, and the orders within others.
fn gather<'a>(
    text: &'a str,
    depth: usize,
    into: &mut Vec<Sent<'a>>,
    unread: &mut Vec<String>,
) -> Result<(), CdsError> {
    let bundle = Bundle::read_collection(text).map_err(|wrong| error(POINTER, wrong.to_string()))?;
    let texts: Vec<Option<&str>> = match kind_of(text).as_deref() {
        Some("Bundle") => {
            let shape = |_| error(POINTER, "does not have the shape of a FHIR Bundle");
            let sheet: Sheet = serde_json::from_str(text).map_err(shape)?;
            sheet.entry.unwrap_or_default().into_iter().map(|line| line.resource.map(RawValue::get)).collect()
        }
        _ => vec![Some(text)],
    };
    for (number, (entry, text)) in bundle.entries.into_iter().zip(texts).enumerate() {
        let Some(text) = text else {
            unread.push(format!("entry {number} of the draft orders, which has no resource"));
            continue;
        };
        match entry.kind.as_str() {
            "Bundle" if depth < DEEPEST => gather(text, depth + 1, into, unread)?,
            "Bundle" => unread.push("a Bundle too deep within the draft orders".to_owned()),
            "OperationOutcome" if is_refusal(text) => {
                unread.push("draft orders that could not be fetched".to_owned());
            }
            _ => {
                let names = names(&entry, None);
                if entry.kind != "MedicationRequest" {
                    contained(text, &names, into)?;
                }
                into.push(Sent { entry, text, names, within: false });
            }
        }
        if into.len() > MAX_ENTRIES_SENT {
            return Err(error(POINTER, format!("has more than {MAX_ENTRIES_SENT} entries")));
        }
    }
    Ok(())
}

/// The orders of drugs that lie within another resource, such as a RequestGroup.
fn contained<'a>(text: &'a str, of: &[String], into: &mut Vec<Sent<'a>>) -> Result<(), CdsError> {
    let holder: Option<Holder> = serde_json::from_str(text).ok();
    let within = holder.and_then(|holder| holder.contained).unwrap_or_default();
    let is_order = |text: &&&RawValue| kind_of(text.get()).as_deref() == Some("MedicationRequest");
    if !within.iter().any(|text| is_order(&text)) {
        return Ok(());
    }
    let others: Vec<Contained> =
        within.iter().filter_map(|text| serde_json::from_str(text.get()).ok()).collect();
    for text in within.iter().filter(is_order) {
        let mut order = entry(into.len(), None, None, text);
        if let Ok(Resource::MedicationRequest(order)) = &mut order.resource {
            order.contained.clone_from(&others);
        }
        let names = names(&order, Some(of));
        into.push(Sent { entry: order, text: text.get(), names, within: true });
        if into.len() > MAX_ENTRIES_SENT {
            break;
        }
    }
    Ok(())
}

/// By what a selection may name a resource: itself, and what it lies within.
fn names(entry: &Entry, within: Option<&[String]>) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(id) = &entry.id {
        match within {
            Some(_) => names.push(format!("#{id}")),
            None => names.extend([format!("{}/{id}", entry.kind), id.clone()]),
        }
    }
    names.extend(entry.full_url.clone());
    names.extend(within.into_iter().flatten().cloned());
    names
}

/// Leaves out of a record the drafts that are stored already: a draft is not a second drug beside itself. What the
/// record has by the same id and is another drug is taken beside it, whoever changed it.
pub(super) fn leave_out_drafts(record: &mut Bundle, drafts: &[Draft]) {
    let mut by_id: BTreeMap<&str, Vec<&Draft>> = BTreeMap::new();
    for draft in drafts {
        by_id.entry(&draft.id).or_default().push(draft);
    }
    let index = Index::new(record);
    let places = [(&*record, &index)];
    let is_draft = |entry: &Entry| {
        let shelves = Shelves { places: &places, stored: None, from: entry.server.as_deref() };
        let Ok(Resource::MedicationRequest(order)) = &entry.resource else { return false };
        let Some(drafts) = entry.id.as_deref().and_then(|id| by_id.get(id)) else { return false };
        let concept = order.medication_codeable_concept.as_ref();
        let drug = shelves.drug(concept, order.medication_reference.as_ref(), &order.contained);
        let stored = drug.concept.as_ref().and_then(items::drug);
        drafts.iter().any(|draft| draft.is_of(stored.as_ref()))
    };
    let left: Vec<bool> = record.entries.iter().map(is_draft).collect();
    let mut left = left.into_iter();
    record.entries.retain(|_| !left.next().unwrap_or(false));
}

/// Takes out of a stored profile what drafts take the place of, by the same rule.
pub(super) fn take_out_drafts(profile: &mut Profile, drafts: &[Draft]) {
    let medications = profile.recorded.get(List::Medications.name()).into_iter().flatten();
    let replaced = |(words, recorded): (&String, &Recorded)| {
        let drug = items::taken(words, recorded);
        let of_draft =
            |own: &&String| drafts.iter().any(|draft| draft.is_named(own) && draft.is_of(Some(&drug)));
        recorded.resources.iter().filter(of_draft).cloned().collect::<Vec<_>>()
    };
    let replaced: BTreeSet<String> = medications.flat_map(replaced).collect();
    if !replaced.is_empty() {
        people::take_back(profile, &|resource, _| replaced.contains(resource));
    }
}

impl Draft {
    /// Whether a stored order by the draft's id is of its drug, or is ended by it.
    fn is_of(&self, stored: Option<&Item>) -> bool {
        match (&self.item, stored) {
            (Some(item), Some(stored)) => is_same(item, stored),
            (None, _) => self.ends,
            (Some(_), None) => false,
        }
    }

    /// Whether a stored resource's name has the draft's id.
    fn is_named(&self, resource: &str) -> bool {
        without_server(resource).strip_prefix("MedicationRequest/") == Some(self.id.as_str())
    }
}

/// Whether two drugs are one, whatever the dose and form: where all that one is called the other is called, too. A code that
/// both have decides only where their names do not differ: one of a house's own may stand for any drug at all.
fn is_same(one: &Item, other: &Item) -> bool {
    let codes = one.codes();
    let shared = other.codes().iter().any(|code| codes.contains(code));
    let (names, others) = (bare_names(one), bare_names(other));
    if names.is_empty() || others.is_empty() {
        return shared;
    }
    let alike = |name: &str, other: &str| {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
        name == other
            || (shared && (words(name).is_subset(&words(other)) || words(other).is_subset(&words(name))))
    };
    let within = |few: &BTreeSet<String>, many: &BTreeSet<String>| {
        few.iter().all(|name| many.iter().any(|other| alike(name, other)))
    };
    within(&names, &others) || within(&others, &names)
}

/// All that a drug is called in words, without dose, form and salt.
fn bare_names(item: &Item) -> BTreeSet<String> {
    let codes = item.codes();
    let bare = |text: &String| {
        let name = normalise(text);
        let bare = without_salts(&without_dose(&name));
        if bare.is_empty() { name } else { bare }
    };
    let words = std::iter::once(item.name.clone()).chain(item.texts("synonyms"));
    words.filter(|text| !codes.contains(text)).map(|text| bare(&text)).collect()
}
