//! The audit: who asked what, of which model, and what was answered, without what was said.
//!
//! Rows are only ever added, in batches, and go when their time has passed. A row names no
//! person: of the input it holds the digest, which shows that a given input was or was not the
//! one, and nothing else.

use serde::{Deserialize, Serialize};

use recommend::Millis;

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// The run of the program that wrote it, a number drawn at its start; with `sequence` it
    /// makes a row that is sent twice, after a broken connection, count once.
    pub run: i64,
    /// Its place in that run.
    pub sequence: i64,
    /// When it was answered.
    pub time: Millis,
    /// The request's id.
    pub request_id: String,
    /// Who asked.
    pub caller: String,
    /// The HTTP method.
    pub method: String,
    /// The route, as the router knows it: with `{user_id}` and never an identifier.
    pub route: String,
    /// The HTTP status.
    pub status: u16,
    /// The model that answered.
    pub model: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// SHA-256 of the input in hexadecimal digits: of the body, or else of path and query.
    pub input_sha256: String,
    /// The labels answered, null for an abstention; or the ids of the items recommended.
    pub answers: Vec<Option<String>>,
    /// Whether an answer was withheld for want of certainty or evidence.
    pub abstained: bool,
    /// From the request's first byte to its answer, in milliseconds.
    pub latency_ms: f64,
}

/// A row with its number, by which the audit is paged.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedRow {
    /// Grows with time, by whatever replica it was written.
    pub number: i64,
    /// The row.
    pub row: AuditRow,
}
