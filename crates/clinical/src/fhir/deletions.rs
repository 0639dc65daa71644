//! What an export says was deleted (Bulk Data Access 2.0, `deleted` in its manifest): Bundles a line, whose entries ask
//! for the deletion of a resource by its type and id.
//!
//! A deleted Patient is a person to be erased; what a deleted resource said of a profile is taken back, and so is an
//! interaction that it made; a deleted place or doctor is no longer recommended. Of other types nothing can be undone: they
//! are counted by type.

use std::collections::{BTreeMap, BTreeSet};

use recommend::Millis;
use serde::Deserialize;

use super::bundle::{Bundle, FhirError, MAX_ENTRIES};
use super::modifiers;
use super::references::{base_of, known_name};

/// Types whose resources say something of a profile.
pub(super) const STATEMENTS: [&str; 4] =
    ["AllergyIntolerance", "Condition", "MedicationRequest", "MedicationStatement"];
/// Types whose resources make interactions.
pub const HAPPENINGS: [&str; 6] = [
    "Encounter",
    "Immunization",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "ServiceRequest",
];
/// Types of items, whose ids are their references.
pub const ITEMS: [&str; 3] = ["Organization", "Location", "Practitioner"];

/// The resources that were deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deletions {
    /// The people, by id.
    pub people: BTreeSet<String>,
    /// What said something of a profile: `AllergyIntolerance/a1`.
    pub statements: BTreeSet<String>,
    /// What made interactions and says nothing of a profile: `Encounter/e1`.
    pub happenings: BTreeSet<String>,
    /// The items, by id: `Practitioner/7`.
    pub items: BTreeSet<String>,
    /// Of how many others nothing can be undone, by type.
    pub others: BTreeMap<String, usize>,
    /// The server on which they were, as it is compared with others.
    pub server: Option<String>,
    /// By when they were deleted.
    pub time: Option<Millis>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "resourceType")]
    resource_type: Option<String>,
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Option<Request>,
}

#[derive(Deserialize)]
struct Request {
    method: Option<String>,
    url: Option<String>,
}

impl Deletions {
    /// Adds what a file says, as far as it is of one of these types.
    ///
    /// # Errors
    /// The first line that is no Bundle of deletions; lines count from 1. Nothing of a line is repeated.
    pub fn read_lines(&mut self, text: &str, types: &[String]) -> Result<(), FhirError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let wrong = |detail: &str| FhirError::whole("structure", format!("line {}: {detail}", line + 1));
            let read: Line = serde_json::from_str(text).map_err(|_| wrong("it is no Bundle"))?;
            if read.resource_type.as_deref() != Some("Bundle") {
                return Err(wrong("it is no Bundle"));
            }
            // What is to be done under rules that nobody knows here is not done, and counted.
            let modified = !modifiers::of(text).is_empty();
            for entry in read.entry {
                let request = entry.request.ok_or_else(|| wrong("an entry has no request"))?;
                if request.method.as_deref() != Some("DELETE") {
                    return Err(wrong("an entry asks for something else than a deletion"));
                }
                let url = request.url.unwrap_or_default();
                let (kind, id) =
                    named(&url).ok_or_else(|| wrong("an entry names no resource by type and id"))?;
                match types.iter().any(|known| known == kind) {
                    true if modified => *self.others.entry(format!("{kind} (modified)")).or_default() += 1,
                    true => self.add(kind, id),
                    false => {}
                }
            }
            if self.len() > MAX_ENTRIES {
                return Err(FhirError::whole(
                    "too-long",
                    format!("there are more than {MAX_ENTRIES} deletions"),
                ));
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: &str, id: &str) {
        let reference = || format!("{kind}/{id}");
        match kind {
            "Patient" => drop(self.people.insert(id.to_owned())),
            kind if STATEMENTS.contains(&kind) => drop(self.statements.insert(reference())),
            kind if HAPPENINGS.contains(&kind) => drop(self.happenings.insert(reference())),
            kind if ITEMS.contains(&kind) => drop(self.items.insert(reference())),
            kind => *self.others.entry(kind.to_owned()).or_default() += 1,
        }
    }

    /// Leaves out what is among the resources of the same export: it was made again.
    pub fn leave_out(&mut self, bundle: &Bundle) {
        if self.is_empty() {
            return;
        }
        for entry in &bundle.entries {
            let Some(id) = &entry.id else { continue };
            let reference = format!("{}/{id}", entry.kind);
            if entry.kind == "Patient" {
                self.people.remove(id);
            }
            self.statements.remove(&reference);
            self.happenings.remove(&reference);
            self.items.remove(&reference);
        }
    }

    /// Says that they were on the server at this base address.
    pub fn set_server(&mut self, base: &str) {
        self.server = base_of(base);
    }

    /// The names under which deleted resources are known: of their server, where that is known.
    pub fn known_names<'a>(&self, names: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
        let server = self.server.as_deref();
        let of_server =
            |name: &'a String| name.split_once('/').map(|(kind, id)| known_name(kind, id, server));
        names.filter_map(of_server).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let others: usize = self.others.values().sum();
        self.people.len() + self.statements.len() + self.happenings.len() + self.items.len() + others
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Type and id of an address: `Patient/7`, also below a server's.
fn named(url: &str) -> Option<(&str, &str)> {
    let mut parts = url.rsplit('/');
    let (id, kind) = (parts.next()?, parts.next()?);
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && text.len() <= 180
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (plain(kind, "") && plain(id, "-._")).then_some((kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Vec<String> {
        ["Patient", "Condition", "Practitioner", "Encounter", "Claim"].map(str::to_owned).to_vec()
    }

    fn line(urls: &[&str]) -> String {
        let entries = urls.iter().map(|url| serde_json::json!({"request": {"method": "DELETE", "url": url}}));
        serde_json::json!({"resourceType": "Bundle", "type": "transaction", "entry": entries.collect::<Vec<_>>()})
            .to_string()
    }

    #[test]
    fn what_was_deleted_is_told_apart_by_type() {
        let mut deletions = Deletions::default();
        let text = [
            line(&["Patient/ann", "https://ehr.example.org/fhir/Condition/c.1"]),
            line(&["Practitioner/7", "Encounter/1", "Encounter/2", "Claim/1"]),
        ];
        deletions.read_lines(&text.join("\n"), &types()).unwrap();
        assert_eq!(deletions.people, BTreeSet::from(["ann".to_owned()]));
        assert_eq!(deletions.statements, BTreeSet::from(["Condition/c.1".to_owned()]));
        assert_eq!(deletions.items, BTreeSet::from(["Practitioner/7".to_owned()]));
        assert_eq!(deletions.others, BTreeMap::from([("Claim".to_owned(), 1)]));
        assert_eq!(deletions.happenings, ["Encounter/1", "Encounter/2"].map(str::to_owned).into());
        let again = r#"{"resourceType": "Patient", "id": "ann"}"#;
        deletions.leave_out(&Bundle::read_lines(again).unwrap());
        assert!(deletions.people.is_empty());
        assert_eq!(deletions.len(), 5);
    }

    #[test]
    fn what_is_no_deletion_is_refused_by_its_line_and_not_repeated() {
        for (bad, words) in [
            ("Mrs Doe".to_owned(), "line 2: it is no Bundle"),
            (r#"{"resourceType": "Patient"}"#.to_owned(), "no Bundle"),
            (r#"{"resourceType": "Bundle", "entry": [{}]}"#.to_owned(), "no request"),
            (line(&["Patient?name=Doe"]), "no resource by type and id"),
            (line(&["Doe"]), "no resource by type and id"),
            (line(&["Patient/"]), "no resource by type and id"),
            (
                r#"{"resourceType": "Bundle", "entry": [{"request": {"method": "PUT", "url": "Patient/Doe"}}]}"#
                    .to_owned(),
                "something else",
            ),
        ] {
            let text = format!("{}\n{bad}\n", line(&["Patient/ann"]));
            let error = Deletions::default().read_lines(&text, &types()).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("Doe"), "{bad}: {error}");
        }
    }
}
