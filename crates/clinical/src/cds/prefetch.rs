//! The lists that were fetched beforehand, each under its key. A list counts as fetched where it is whole and all that
//! it holds was read: a page of several, a server's refusal, an entry that says nothing and one of a type that is not
//! read leave something out, and that is told and never passed over.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::request::{CdsError, error};
use crate::fhir::bundle::{Bundle, BundleKind, Entry, MAX_ENTRIES_SENT, Resource};
use crate::fhir::mapping::{Shelves, Standing};
use crate::fhir::references::Index;
use crate::fhir::resources::{MedicationAdministration, MedicationStatement};
use crate::fhir::status;

/// How deep Bundles may lie within Bundles.
pub(super) const DEEPEST: usize = 3;

/// What says which medicines somebody takes.
const MEDICINES: [&str; 4] =
    ["MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"];

/// What stands beside the entries that a search was for, and says nothing of allergies, conditions or medicines.
const BESIDE: [&str; 13] = [
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
    "Organization",
    "Location",
    "Encounter",
    "Medication",
    "Substance",
    "Provenance",
    "Device",
    "CareTeam",
    "Group",
];

/// What was fetched under one key.
pub(super) struct List {
    pub(super) key: String,
    pub(super) bundle: Bundle,
    /// What of it could not be read, in words; where that is nothing, the list is whole.
    pub(super) unread: Vec<String>,
}

/// A Bundle as it is written, for what is in it beside the resources.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sheet<'a> {
    link: Option<Value>,
    implicit_rules: Option<Value>,
    total: Option<Value>,
    #[serde(borrow)]
    pub(super) entry: Option<Vec<Line<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) resource: Option<&'a RawValue>,
    search: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    resource_type: Option<String>,
}

/// The type of a resource.
pub(super) fn kind_of(text: &str) -> Option<String> {
    serde_json::from_str::<Head>(text).ok()?.resource_type
}

/// Reads a prefetch.
pub(super) fn read(text: &str) -> Result<Vec<List>, CdsError> {
    let shape = |_| error("/prefetch", "must be an object");
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(shape)?;
    let sent = members.into_iter().filter(|(_, value)| value.get().trim() != "null");
    sent.map(|(key, value)| Reader::new(key).read(value.get())).collect()
}

/// Reads one key's list.
struct Reader {
    key: String,
    pointer: String,
    entries: Vec<Entry>,
    unread: Vec<String>,
    /// Entries without a resource, and how many there are of each type that is not read.
    bare: usize,
    strange: BTreeMap<String, usize>,
    /// Entries of the types that the key is for, and others that the search found.
    own: usize,
    others: usize,
    /// Whether the server had something to say, and whether that it did not do what it was asked.
    answered: bool,
    refused: bool,
}

impl Reader {
    fn new(key: String) -> Reader {
        let pointer = format!("/prefetch/{key}");
        let (unread, strange) = (Vec::new(), BTreeMap::new());
        Reader {
            key,
            pointer,
            entries: Vec::new(),
            unread,
            bare: 0,
            strange,
            own: 0,
            others: 0,
            answered: false,
            refused: false,
        }
    }

    /// The types that the key is for, where it is one that was asked for.
    fn answers(&self) -> Option<&'static [&'static str]> {
        match self.key.as_str() {
            "patient" => Some(&["Patient"]),
            "allergies" => Some(&["AllergyIntolerance"]),
            "conditions" => Some(&["Condition"]),
            "medications" | "statements" => Some(&MEDICINES),
            _ => None,
        }
    }

    fn read(mut self, text: &str) -> Result<List, CdsError> {
        let kind = self.bundle(text, 0)?;
        let key = &self.key;
        let mut unread = std::mem::take(&mut self.unread);
        if self.refused || (self.answered && self.entries.is_empty()) {
            let why = match self.entries.is_empty() {
                true => "which could not be fetched",
                false => "of which the server reports that it could not fetch all",
            };
            unread.push(format!("the record's {key:?}, {why}"));
        }
        if self.bare > 0 {
            unread.push(format!("the record's {key:?}, which has {} without a resource", entries(self.bare)));
        }
        for (kind, count) in &self.strange {
            let kind: String = kind.chars().take(100).collect();
            unread.push(format!(
                "the record's {key:?}, which has {} of the type {kind:?}, which is not read",
                entries(*count)
            ));
        }
        // Other resources alone are no answer to what was asked for.
        if let Some(kinds) = self.answers()
            && self.own == 0
            && self.others > 0
            && unread.is_empty()
        {
            unread
                .push(format!("the record's {key:?}, which has nothing of the type {}", kinds.join(" or ")));
        }
        let bundle = Bundle { kind, entries: self.entries };
        Ok(List { key: self.key, bundle, unread })
    }

    fn bundle(&mut self, text: &str, depth: usize) -> Result<BundleKind, CdsError> {
        let wrong = |detail: String| error(&self.pointer, detail);
        let bundle = Bundle::read_collection(text).map_err(|fault| wrong(fault.to_string()))?;
        let kind = bundle.kind;
        if kind_of(text).as_deref() != Some("Bundle") {
            for entry in bundle.entries {
                self.entry(entry, text, None, depth)?;
            }
            return Ok(kind);
        }
        let sheet: Sheet = serde_json::from_str(text)
            .map_err(|_| wrong("does not have the shape of a FHIR Bundle".to_owned()))?;
        if self.entries.len() + bundle.entries.len() > MAX_ENTRIES_SENT {
            return Err(wrong(format!(
                "has more than {MAX_ENTRIES_SENT} entries, those of its Bundles with it"
            )));
        }
        // By rules that nobody knows a list that is empty says nothing.
        if sheet.implicit_rules.is_some_and(|rules| !rules.is_null()) {
            self.unread.push(format!("the record's {:?}, whose implicitRules are not understood", self.key));
        }
        let mut found = 0;
        for (entry, line) in bundle.entries.into_iter().zip(sheet.entry.unwrap_or_default()) {
            let Some(resource) = line.resource else {
                self.bare += 1;
                continue;
            };
            let mode = line.search.as_ref().and_then(|search| search.get("mode")).and_then(Value::as_str);
            found += usize::from(self.entry(entry, resource.get(), mode, depth)?);
        }
        if has_more(sheet.link.as_ref()) || !is_total(sheet.total.as_ref(), found) {
            self.unread.push(format!("the record's {:?}, of which a part was sent", self.key));
        }
        Ok(kind)
    }

    /// Takes an entry in; whether it is one that the search was for.
    fn entry(
        &mut self,
        entry: Entry,
        text: &str,
        mode: Option<&str>,
        depth: usize,
    ) -> Result<bool, CdsError> {
        if let Err(fault) = &entry.resource {
            return Err(error(&self.pointer, fault.to_string()));
        }
        let beside = mode.is_some_and(|mode| ["include", "outcome"].contains(&mode.trim()));
        match entry.kind.as_str() {
            "Bundle" if depth < DEEPEST => drop(self.bundle(text, depth + 1)?),
            "Bundle" => *self.strange.entry("Bundle".to_owned()).or_default() += 1,
            "OperationOutcome" => {
                self.answered = true;
                self.refused |= is_refusal(text);
                return Ok(false);
            }
            kind => {
                let own = self.answers().map(|kinds| kinds.contains(&kind));
                let read = ["AllergyIntolerance", "Condition"].contains(&kind) || MEDICINES.contains(&kind);
                let passed = read || beside || BESIDE.contains(&kind);
                if own == Some(false) && !passed {
                    *self.strange.entry(kind.to_owned()).or_default() += 1;
                }
                match own {
                    Some(true) => self.own += 1,
                    _ => self.others += usize::from(!beside),
                }
                // Where nobody says what an entry is there for, its type does.
                let found = match mode {
                    Some(_) => !beside,
                    None => own.unwrap_or(true),
                };
                let entry = self.taken(entry, text)?;
                self.entries.push(entry);
                return Ok(found);
            }
        }
        Ok(!beside)
    }

    /// What was handed out or given is taken, as far as anybody knows.
    fn taken(&self, mut entry: Entry, text: &str) -> Result<Entry, CdsError> {
        let wrong = |detail: &str| error(&self.pointer, format!("a MedicationAdministration {detail}"));
        let statement = match &mut entry.resource {
            Ok(Resource::MedicationDispense(dispense)) => {
                if Standing::of_dispense(dispense.status.as_deref()) == Standing::Void {
                    return Ok(entry);
                }
                let dispense = std::mem::take(dispense);
                MedicationStatement {
                    medication_codeable_concept: dispense.medication_codeable_concept,
                    medication_reference: dispense.medication_reference,
                    subject: dispense.subject,
                    contained: dispense.contained,
                    ..MedicationStatement::default()
                }
            }
            Ok(Resource::Other) if entry.kind == "MedicationAdministration" => {
                let given: MedicationAdministration = serde_json::from_str(text)
                    .map_err(|_| wrong("does not have the shape that FHIR R4 gives it"))?;
                if given.medication.is_some() {
                    return Err(wrong("with the member medication is of FHIR R5; R4 (4.0.1) is accepted"));
                }
                if Standing::of_administration(given.status.as_deref()) == Standing::Void {
                    return Ok(entry);
                }
                MedicationStatement {
                    medication_codeable_concept: given.medication_codeable_concept,
                    medication_reference: given.medication_reference,
                    subject: given.subject,
                    contained: given.contained,
                    ..MedicationStatement::default()
                }
            }
            _ => return Ok(entry),
        };
        let status = Some("active".to_owned());
        entry.resource =
            Ok(Resource::MedicationStatement(Box::new(MedicationStatement { status, ..statement })));
        Ok(entry)
    }
}

fn entries(count: usize) -> String {
    if count == 1 { "an entry".to_owned() } else { format!("{count} entries") }
}

/// Whether there are further pages, or nobody can say.
fn has_more(link: Option<&Value>) -> bool {
    let is_next = |link: &Value| match link.get("relation") {
        Some(Value::String(relation)) => relation.trim().eq_ignore_ascii_case("next"),
        _ => true,
    };
    match link {
        None | Some(Value::Null) => false,
        Some(Value::Array(links)) => links.iter().any(is_next),
        Some(link) => is_next(link),
    }
}

/// Whether all that a search found is here. A number may be written as a text; what is no number leaves it open.
fn is_total(total: Option<&Value>, found: usize) -> bool {
    let number = match total {
        None | Some(Value::Null) => return true,
        Some(Value::String(text)) => text.trim().parse::<u64>().ok(),
        Some(total) => total.as_u64(),
    };
    number.is_some_and(|number| number <= found as u64)
}

/// Whether an OperationOutcome says that something was not fetched: warnings and information do not.
pub(super) fn is_refusal(text: &str) -> bool {
    let outcome: Value = serde_json::from_str(text).unwrap_or_default();
    let harmless = |issue: &Value| {
        let severity = issue.get("severity").and_then(Value::as_str).unwrap_or_default();
        ["warning", "information"].contains(&severity.trim().to_lowercase().as_str())
    };
    match outcome.get("issue") {
        Some(Value::Array(issues)) => !issues.iter().all(harmless),
        _ => true,
    }
}

/// Gives resources of one type and id that say nothing of which is newer ids of their own, so that each counts. What
/// cannot be told apart so is answered, in words.
pub(super) fn tell_apart(entries: &mut [Entry]) -> Vec<String> {
    let mut unread = Vec::new();
    let mut known: HashMap<(String, String), (usize, usize)> = HashMap::new();
    for index in 0..entries.len() {
        let Some(id) = entries[index].id.clone() else { continue };
        let kind = entries[index].kind.clone();
        let Some((first, count)) = known.get_mut(&(kind.clone(), id.clone())) else {
            known.insert((kind, id), (index, 1));
            continue;
        };
        let (one, other) = (&entries[*first], &entries[index]);
        let (before, after) = (one.version, other.version);
        let differ = |one: Option<i64>, other: Option<i64>| one.zip(other).is_some_and(|(a, b)| a != b);
        let numbers = before.number.zip(after.number).is_some_and(|(a, b)| a != b);
        let in_order = differ(before.updated, after.updated) || numbers || after.newest_first;
        let server = |entry: &Entry| {
            let url = entry.full_url.as_deref()?;
            url.starts_with("http").then(|| url.split("/_history/").next().unwrap_or(url).to_owned())
        };
        let elsewhere = server(one).zip(server(other)).is_some_and(|(a, b)| a != b);
        if !elsewhere && (in_order || same(one, other)) {
            continue;
        }
        *count += 1;
        match &entries[index].resource {
            Ok(Resource::Patient(_) | Resource::Medication(_) | Resource::Substance(_)) => {
                unread.push(format!("{kind}/{id}, which was sent twice and differs"));
            }
            Ok(Resource::Other) => {}
            _ => entries[index].id = Some(format!("{id} ({count})")),
        }
    }
    unread
}

fn same(one: &Entry, other: &Entry) -> bool {
    let all = |entry: &Entry| format!("{:?} {:?}", entry.resource, entry.modifiers);
    all(one) == all(other)
}

/// The statuses and the modifiers of a record that are not understood, in words: what is said counts, but ends, denies and takes
/// back nothing.
pub(super) fn unclear(bundle: &Bundle) -> Vec<String> {
    let of = |entry: &Entry| {
        let name = format!("{}/{}", entry.kind, entry.id.as_deref().unwrap_or_default());
        let members = entry.resource.as_ref().map(status::unclear).unwrap_or_default().into_iter();
        let read = !matches!(entry.resource, Ok(Resource::Other));
        members
            .chain(entry.modifiers.iter().map(String::as_str).filter(|_| read))
            .map(move |member| {
                format!("the {member} of the record's {name:?}, which is not understood and ends nothing")
            })
            .collect::<Vec<_>>()
    };
    bundle.entries.iter().flat_map(of).collect()
}

/// The medicines of a record of which an ingredient, or the Medication beside their own words, was not sent along, in
/// words. What has no words at all is refused where the record is read.
pub(super) fn without_parts(bundle: &Bundle) -> Vec<String> {
    let index = Index::new(bundle);
    let places = [(bundle, &index)];
    let missing = |entry: &Entry| {
        let shelves = Shelves { places: &places, stored: None, from: entry.server.as_deref() };
        let (concept, reference, contained) = match &entry.resource {
            Ok(Resource::MedicationRequest(own)) => {
                (&own.medication_codeable_concept, &own.medication_reference, &own.contained)
            }
            Ok(Resource::MedicationStatement(own)) => {
                (&own.medication_codeable_concept, &own.medication_reference, &own.contained)
            }
            _ => return None,
        };
        let drug = shelves.drug(concept.as_ref(), reference.as_ref(), contained);
        let name = format!("{}/{}", entry.kind, entry.id.as_deref().unwrap_or_default());
        if let Some(first) = drug.missing.first() {
            return Some(format!(
                "an ingredient of the record's {name:?}: {first}, which was not sent along"
            ));
        }
        let unnamed = drug.unnamed.filter(|_| drug.concept.is_some())?;
        Some(format!("the Medication of the record's {name:?}: {unnamed}, which was not sent along"))
    };
    bundle.entries.iter().filter_map(missing).collect()
}
