//! What became of a request, as FHIR says it: an OperationOutcome, and the Bundle that answers a batch or
//! a transaction.

use serde_json::{Value, json};

use super::bundle::{BundleKind, FhirError, Method};
use super::settle::Outcome;

/// One thing that is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// fatal, error, warning or information.
    pub severity: &'static str,
    /// A code of FHIR's `IssueType`.
    pub code: String,
    /// In words.
    pub details: String,
    /// Where, as FHIRPath.
    pub expression: Option<String>,
}

impl From<&FhirError> for Issue {
    fn from(error: &FhirError) -> Issue {
        let expression = match (error.entry, error.path.is_empty()) {
            (None, _) => None,
            (Some(entry), true) => Some(format!("Bundle.entry[{entry}].resource")),
            // FHIRPath goes on with the member, without the type before it.
            (Some(entry), false) => {
                let path = error.path.split_once('.').map_or("", |(_, member)| member);
                let place = format!("Bundle.entry[{entry}].resource.{path}");
                Some(place.trim_end_matches('.').to_owned())
            }
        };
        Issue { severity: "error", code: error.code.to_owned(), details: error.to_string(), expression }
    }
}

/// An OperationOutcome. `id` is the request's, by which the log can be asked.
pub fn operation_outcome(id: Option<&str>, issues: &[Issue]) -> Value {
    let issue = |issue: &Issue| {
        let mut said = json!({
            "severity": issue.severity,
            "code": issue.code,
            "details": {"text": issue.details},
            "diagnostics": issue.details,
        });
        if let Some(expression) = &issue.expression {
            said["expression"] = json!([expression]);
        }
        said
    };
    let issues: Vec<Value> = issues.iter().map(issue).collect();
    let mut outcome = json!({"resourceType": "OperationOutcome", "issue": issues});
    // Of an id FHIR wants letters, digits, "-" and ".", at most 64.
    let sound = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    if let Some(id) = id.filter(sound) {
        outcome["id"] = json!(id);
    }
    outcome
}

/// The answer to a batch or a transaction, entry by entry.
pub fn response(kind: BundleKind, outcomes: &[Outcome]) -> Value {
    let entry = |outcome: &Outcome| {
        let mut issues: Vec<Issue> = outcome.error.iter().map(Issue::from).collect();
        // What an entry is refused for may stand among what is said of it as well.
        let refused = |note: &String| outcome.error.as_ref().is_some_and(|error| error.detail == *note);
        let notes = outcome.notes.iter().filter(|(_, note)| !refused(note));
        issues.extend(notes.map(|(code, note)| Issue {
            severity: if *code == "informational" { "information" } else { "warning" },
            code: (*code).to_owned(),
            details: note.clone(),
            expression: None,
        }));
        let status = match (&outcome.error, outcome.method) {
            (Some(error), _) if error.code == "not-supported" => "405 Method Not Allowed",
            (Some(error), _) if error.code == "conflict" => "409 Conflict",
            (Some(error), _) if error.code == "multiple-matches" => "412 Precondition Failed",
            (Some(_), _) => "422 Unprocessable Entity",
            (None, _) if !outcome.used || outcome.matched => "200 OK",
            (None, Some(Method::Post)) => "201 Created",
            (None, _) if outcome.created => "201 Created",
            (None, _) => "200 OK",
        };
        let mut response = json!({"status": status});
        if let Some(location) = outcome.location.as_ref().filter(|_| outcome.error.is_none() && outcome.used)
        {
            response["location"] = json!(location);
        }
        if !issues.is_empty() {
            response["outcome"] = operation_outcome(None, &issues);
        }
        json!({"response": response})
    };
    let kind = if kind == BundleKind::Batch { "batch-response" } else { "transaction-response" };
    let mut bundle = json!({"resourceType": "Bundle", "type": kind});
    if !outcomes.is_empty() {
        // FHIR has no empty arrays.
        bundle["entry"] = outcomes.iter().map(entry).collect();
    }
    bundle
}

/// What a resource says that a server could not do, where it is an OperationOutcome of an error: an export has such lines among
/// its files, beside warnings and information.
pub fn failure(line: &str) -> Option<String> {
    let outcome = Some(line).filter(|line| line.contains("OperationOutcome"));
    let outcome: Value = serde_json::from_str(outcome?).ok()?;
    let issues = outcome
        .get("issue")
        .and_then(Value::as_array)
        .filter(|_| outcome["resourceType"] == "OperationOutcome")?;
    let failed = issues.iter().find(|issue| {
        let severity = issue["severity"].as_str().unwrap_or_default().trim().to_lowercase();
        !["warning", "information"].contains(&severity.as_str())
    })?;
    let text = |pointer: &str| {
        failed.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
    };
    let text = ["/details/text", "/diagnostics", "/code"].into_iter().find_map(text);
    Some(super::resources::clean(text.unwrap_or("without a text")))
}
