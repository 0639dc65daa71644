//! Reading a Bundle, or a file of resources one a line (Bulk Data NDJSON).
//!
//! Most of a record is of types that say nothing here (observations, claims). Each resource is looked at
//! twice: for its type and id, and where the type is one that is read for what is in it; the rest is passed
//! over as text. No error repeats what a resource says, as that may be a patient's.

use recommend::Millis;
use recommend::clock::{now, parse_time};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::kept::{MAX_MEDICATION, digest_of, which_drug};
use super::modifiers;
use super::references::{base_of, server};
use super::request::{Asked, few_entries, last_modified, too_many};
use super::resources::{
    AllergyIntolerance, CodeableConcept, Condition, Encounter, Immunization, Location, Medication,
    MedicationDispense, MedicationRequest, MedicationStatement, Organization, Patient, Practitioner,
    PractitionerRole, ServiceRequest, Substance,
};
use super::version::other_release;

/// Most entries of one Bundle.
pub const MAX_ENTRIES: usize = 1_000_000;
/// Most entries of a Bundle that comes in a request: an entry that says nothing takes some hundred times the memory of
/// its text, and so does the answer to it.
pub const MAX_ENTRIES_SENT: usize = 30_000;

/// Why a Bundle, or one resource of it, cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{detail}", self.before())]
pub struct FhirError {
    /// The entry, counted from 0; none where it is about the whole.
    pub entry: Option<usize>,
    /// Where in the resource, as FHIRPath: `AllergyIntolerance.code`.
    pub path: String,
    /// The code of FHIR's `IssueType` that fits.
    pub code: &'static str,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

impl FhirError {
    /// About the whole.
    pub fn whole(code: &'static str, detail: impl Into<String>) -> FhirError {
        FhirError { entry: None, path: String::new(), code, detail: detail.into() }
    }

    /// About a place in an entry.
    pub fn at(
        entry: usize,
        path: impl Into<String>,
        code: &'static str,
        detail: impl Into<String>,
    ) -> FhirError {
        FhirError { entry: Some(entry), path: path.into(), code, detail: detail.into() }
    }

    fn before(&self) -> String {
        match (self.entry, self.path.as_str()) {
            (None, _) => String::new(),
            (Some(entry), "") => format!("entry {entry}: "),
            (Some(entry), path) => format!("entry {entry}, {path}: "),
        }
    }
}

/// What a Bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleKind {
    /// All of it or nothing.
    Transaction,
    /// Each entry by itself.
    Batch,
    /// Resources that were put together: a collection, a document, an answer to a search, a file of lines.
    Collection,
}

/// What an entry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Add.
    Post,
    /// Add or replace.
    Put,
    /// Anything else.
    Other,
}

/// A resource, as far as it is read.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Resource {
    Patient(Patient),
    AllergyIntolerance(AllergyIntolerance),
    Condition(Condition),
    Medication(Medication),
    Substance(Substance),
    MedicationRequest(Box<MedicationRequest>),
    MedicationStatement(Box<MedicationStatement>),
    MedicationDispense(Box<MedicationDispense>),
    Encounter(Box<Encounter>),
    Immunization(Immunization),
    Location(Location),
    Organization(Organization),
    Practitioner(Practitioner),
    PractitionerRole(PractitionerRole),
    ServiceRequest(Box<ServiceRequest>),
    /// Of a type that is not read.
    Other,
}

/// Which version of a resource an entry holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version {
    /// When it was made (meta.lastUpdated).
    pub updated: Option<Millis>,
    /// Its number (meta.versionId), where it is one.
    pub number: Option<u64>,
    /// Whether the newest comes first, as in a history.
    pub newest_first: bool,
}

/// One resource of a Bundle.
#[derive(Debug)]
pub struct Entry {
    /// The name of it within the Bundle.
    pub full_url: Option<String>,
    /// The server that it is on, as it is compared with others.
    pub server: Option<String>,
    /// Its type.
    pub kind: String,
    /// Its id.
    pub id: Option<String>,
    /// What is asked for; nothing in a collection.
    pub method: Option<Method>,
    /// The identifier by which a conditional create names the resource: `system|value`.
    pub if_none: Option<String>,
    /// Which version of the resource it is, as far as it says so.
    pub version: Version,
    /// Of a Medication what says which drug it is: orders that come later refer to it.
    pub text: Option<Box<str>>,
    /// Of what says that there is something and has no words for it: a digest, by which it is the same when it comes again.
    pub digest: Option<String>,
    /// Its modifiers, of which none is understood, in words: it denies, ends and takes back nothing.
    pub modifiers: Vec<String>,
    /// Whether it says that the resource was deleted.
    pub deleted: bool,
    /// Of what came in a file with one a line, the line, counted from 1.
    pub line: Option<usize>,
    /// What it says, or why it cannot be read.
    pub resource: Result<Resource, FhirError>,
}

/// A Bundle that was read.
#[derive(Debug)]
pub struct Bundle {
    /// What it is for.
    pub kind: BundleKind,
    /// Its entries, in their order.
    pub entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBundle<'a, const MOST: usize> {
    resource_type: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    implicit_rules: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "few_entries::<_, _, MOST>")]
    entry: Vec<RawEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry<'a> {
    full_url: Option<String>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    request: Option<Asked>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    modifier_extension: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    resource_type: Option<String>,
    id: Option<String>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    profile: Vec<String>,
    last_updated: Option<String>,
    version_id: Option<String>,
}

impl Meta {
    fn version(&self) -> Version {
        let number = self.version_id.as_deref().and_then(|id| id.trim().parse().ok());
        let updated = self.last_updated.as_deref().and_then(|time| parse_time(time.trim()));
        Version { updated: updated.filter(|time| has_come(*time)), number, newest_first: false }
    }
}

/// How far ahead of ours a server's clock may be.
const AHEAD: Millis = 5 * 60 * 1000;

/// Whether a version may have been made at a time: one that is still to come would be newer than all that is said until then.
pub fn has_come(time: Millis) -> bool {
    time <= now() + AHEAD
}

impl Bundle {
    /// Reads a Bundle. A single resource that is no Bundle is taken for a collection of one.
    ///
    /// # Errors
    /// What is not JSON, is no resource or is a Bundle of a type that holds no records. What is wrong with
    /// one resource stands in its entry.
    pub fn read(text: &str) -> Result<Bundle, FhirError> {
        Bundle::read_as::<MAX_ENTRIES>(text, None)
    }

    /// As [`Bundle::read`], of a Bundle that came in a request.
    ///
    /// # Errors
    /// As there.
    pub fn read_sent(text: &str) -> Result<Bundle, FhirError> {
        Bundle::read_as::<MAX_ENTRIES_SENT>(text, None)
    }

    /// As [`Bundle::read`], where a Bundle that does not say what it is for is a collection: so are some of
    /// CDS Hooks' own examples.
    ///
    /// # Errors
    /// As there.
    pub fn read_collection(text: &str) -> Result<Bundle, FhirError> {
        Bundle::read_as::<MAX_ENTRIES_SENT>(text, Some(BundleKind::Collection))
    }

    fn read_as<const MOST: usize>(text: &str, unsaid: Option<BundleKind>) -> Result<Bundle, FhirError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let head: Head = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        match head.resource_type.as_deref() {
            Some("Bundle") => {}
            Some(_) => {
                let raw: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
                return Ok(Bundle::of(vec![entry(0, None, None, raw)]));
            }
            None => {
                return Err(FhirError::whole(
                    "structure",
                    "this is no FHIR resource: it has no resourceType",
                ));
            }
        }
        if let Some((release, profile)) = head.meta.as_ref().and_then(named_release) {
            return Err(refused(None, release, format!("meta.profile {profile}")));
        }
        let raw: RawBundle<'_, MOST> =
            serde_json::from_str(text).map_err(|error| match too_many(&error) {
                true => FhirError::whole(
                    "too-long",
                    format!(
                        "the Bundle has more than {MOST} entries; send it in parts, or import it from files"
                    ),
                ),
                false => not_json(&error),
            })?;
        let kind = match raw.kind.as_deref() {
            Some("transaction") => BundleKind::Transaction,
            Some("batch") => BundleKind::Batch,
            Some("collection" | "searchset" | "document" | "message" | "history") => BundleKind::Collection,
            Some(kind) => {
                let detail = format!(
                    "a Bundle of type {kind:?} holds no records; accepted are transaction, batch, collection, searchset and document"
                );
                return Err(FhirError::whole("value", detail));
            }
            None => unsaid.ok_or_else(|| FhirError::whole("required", "Bundle.type is missing"))?,
        };
        debug_assert_eq!(raw.resource_type.as_deref(), Some("Bundle"));
        let newest_first = raw.kind.as_deref() == Some("history");
        let rules = modifiers::of_rules(raw.implicit_rules);
        let mut entries = Vec::with_capacity(raw.entry.len());
        for (index, raw) in raw.entry.into_iter().enumerate() {
            let deleted = raw.request.as_ref().filter(|_| newest_first).and_then(Asked::deleted);
            let mut read = match raw.resource {
                Some(resource) => entry(index, raw.full_url, None, resource),
                None => Entry {
                    method: Some(Method::Other),
                    ..Entry::bare(raw.full_url, String::new(), None, Ok(Resource::Other))
                },
            };
            read.modifiers.extend(modifiers::of_entry(raw.modifier_extension));
            read.modifiers.extend(rules.clone());
            if let Some(asked) = raw.request {
                // What an answer or a history says of a request was done elsewhere.
                match kind {
                    BundleKind::Collection => read.method = Some(asked.method()),
                    _ => asked.ask(index, &mut read),
                }
            }
            // That a resource was deleted is its newest version.
            if let Some((kind, id)) = deleted.as_deref().and_then(|name| name.split_once('/')) {
                (read.kind, read.id, read.deleted) = (kind.to_owned(), Some(id.to_owned()), true);
                (read.resource, read.text) = (Ok(Resource::Other), None);
                read.version.updated = raw.response.and_then(|answer| last_modified(answer.get()));
            }
            read.version.newest_first = newest_first;
            entries.push(read);
        }
        Ok(Bundle { kind, entries })
    }

    /// Resources that were put together.
    pub fn of(entries: Vec<Entry>) -> Bundle {
        Bundle { kind: BundleKind::Collection, entries }
    }

    /// Reads resources one a line, as a Bulk Data export writes them.
    ///
    /// # Errors
    /// The first line that is no resource; lines count from 1.
    pub fn read_lines(text: &str) -> Result<Bundle, FhirError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut entries = Vec::new();
        for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
                FhirError::whole("structure", format!("line {}: {}", line + 1, not_json(&error).detail))
            })?;
            let read = entry(entries.len(), None, None, raw);
            entries.push(Entry { line: Some(line + 1), ..read });
        }
        Ok(Bundle::of(entries))
    }

    /// Says on which server the resources are of which no address says so: on that at this base address.
    pub fn set_server(&mut self, base: &str) {
        let server = base_of(base);
        for entry in &mut self.entries {
            entry.server = entry.server.take().or_else(|| server.clone());
        }
    }

    /// Puts another collection's resources behind these.
    pub fn append(&mut self, mut other: Bundle) {
        let before = self.entries.len();
        for error in other.entries.iter_mut().filter_map(|entry| entry.resource.as_mut().err()) {
            error.entry = error.entry.map(|entry| before + entry);
        }
        self.entries.append(&mut other.entries);
    }
}

/// The release that a profile names, where it is another than R4 (4.0 and 4.3).
fn named_release(meta: &Meta) -> Option<(&'static str, String)> {
    let releases = [("/1.0/", "DSTU2"), ("/3.0/", "STU3"), ("/5.0/", "R5"), ("/6.0/", "R6")];
    meta.profile.iter().find_map(|profile| {
        let path = profile.strip_prefix("http://hl7.org/fhir")?;
        let (_, release) = releases.iter().find(|(part, _)| path.starts_with(part))?;
        Some((*release, profile.clone()))
    })
}

fn refused(entry: Option<usize>, release: &str, seen: String) -> FhirError {
    let detail = format!("this is FHIR {release}, as is seen by {seen}; R4 (4.0.1) is accepted");
    FhirError { entry, path: String::new(), code: "not-supported", detail }
}

/// An entry of a resource as it is written.
pub(crate) fn entry(index: usize, full_url: Option<String>, method: Option<Method>, raw: &RawValue) -> Entry {
    let failed =
        |full_url, kind: String, id, error| Entry { method, ..Entry::bare(full_url, kind, id, Err(error)) };
    let head: Head = match serde_json::from_str(raw.get()) {
        Ok(head) => head,
        Err(_) => {
            let error = FhirError::at(index, "", "structure", "this is no FHIR resource");
            return failed(full_url, String::new(), None, error);
        }
    };
    let Some(kind) = head.resource_type else {
        let error = FhirError::at(index, "", "structure", "the resource has no resourceType");
        return failed(full_url, String::new(), head.id, error);
    };
    if let Some((release, profile)) = head.meta.as_ref().and_then(named_release) {
        let error = refused(Some(index), release, format!("meta.profile {profile}"));
        return failed(full_url, kind, head.id, error);
    }
    let modifiers = if kind == "Bundle" { Vec::new() } else { modifiers::of(raw.get()) };
    let resource = resource(index, &kind, raw.get());
    let resource = resource.and_then(|resource| match other_release(&resource, &kind) {
        Some((release, seen)) => Err(refused(Some(index), release, seen)),
        None => Ok(resource),
    });
    let version = head.meta.as_ref().map_or_else(Version::default, Meta::version);
    let id = head.id.filter(|id| !id.is_empty());
    let (resource, text) = match resource {
        Ok(Resource::Medication(_)) => match which_drug(raw.get()) {
            Some(text) => (resource, Some(text.into())),
            None => {
                let detail = format!(
                    "has a code, ingredients and contained resources of more than {MAX_MEDICATION} bytes"
                );
                (Err(FhirError::at(index, kind.clone(), "too-long", detail)), None)
            }
        },
        resource => (resource, None),
    };
    let digest = resource.as_ref().ok().filter(|resource| resource.is_wordless());
    let digest = digest.and_then(|_| digest_of(raw.get()));
    Entry { method, version, text, digest, modifiers, ..Entry::bare(full_url, kind, id, resource) }
}

impl Entry {
    /// One that asks for nothing.
    fn bare(
        full_url: Option<String>,
        kind: String,
        id: Option<String>,
        resource: Result<Resource, FhirError>,
    ) -> Entry {
        let full_url = full_url.filter(|url| !url.trim().is_empty());
        Entry {
            server: full_url.as_deref().and_then(server),
            full_url,
            kind,
            id,
            method: None,
            if_none: None,
            version: Version::default(),
            text: None,
            digest: None,
            modifiers: Vec::new(),
            deleted: false,
            line: None,
            resource,
        }
    }
}

impl Resource {
    /// Whether it may say that there is something and has no words for it.
    fn is_wordless(&self) -> bool {
        let concept = match self {
            Resource::AllergyIntolerance(allergy) => &allergy.code,
            Resource::MedicationRequest(request) => &request.medication_codeable_concept,
            Resource::MedicationStatement(statement) => &statement.medication_codeable_concept,
            _ => return false,
        };
        !concept.as_ref().is_some_and(CodeableConcept::is_worded)
    }
}

/// A Medication that was kept.
pub fn medication(text: &str) -> Option<Medication> {
    match resource(0, "Medication", text) {
        Ok(Resource::Medication(medication)) => Some(medication),
        _ => None,
    }
}

fn resource(index: usize, kind: &str, text: &str) -> Result<Resource, FhirError> {
    fn read<T: DeserializeOwned>(index: usize, kind: &str, text: &str) -> Result<T, FhirError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = format!("{kind}.{}", error.path());
            FhirError::at(index, path, "structure", "does not have the shape that FHIR R4 gives it")
        })
    }
    Ok(match kind {
        "Patient" => Resource::Patient(read(index, kind, text)?),
        "AllergyIntolerance" => Resource::AllergyIntolerance(read(index, kind, text)?),
        "Condition" => Resource::Condition(read(index, kind, text)?),
        "Medication" => Resource::Medication(read(index, kind, text)?),
        // One of another shape says nothing, and costs nobody the Bundle: who asks for it does not find it.
        "Substance" => read(index, kind, text).map_or(Resource::Other, Resource::Substance),
        "MedicationRequest" => Resource::MedicationRequest(read(index, kind, text)?),
        "MedicationStatement" => Resource::MedicationStatement(read(index, kind, text)?),
        "MedicationDispense" => Resource::MedicationDispense(read(index, kind, text)?),
        "Encounter" => Resource::Encounter(read(index, kind, text)?),
        "Immunization" => Resource::Immunization(read(index, kind, text)?),
        "Location" => Resource::Location(read(index, kind, text)?),
        "Organization" => Resource::Organization(read(index, kind, text)?),
        "Practitioner" => Resource::Practitioner(read(index, kind, text)?),
        "PractitionerRole" => Resource::PractitionerRole(read(index, kind, text)?),
        "ServiceRequest" => Resource::ServiceRequest(read(index, kind, text)?),
        _ => Resource::Other,
    })
}

/// The parser's place without its words, which may be a patient's.
fn not_json(error: &serde_json::Error) -> FhirError {
    let (line, column) = (error.line(), error.column());
    let what = match error.classify() {
        serde_json::error::Category::Data => "does not have the shape of a FHIR Bundle",
        serde_json::error::Category::Eof => "ends in the middle: it is not whole",
        _ => "is not JSON",
    };
    FhirError::whole("structure", format!("the text {what} (line {line}, column {column})"))
}
