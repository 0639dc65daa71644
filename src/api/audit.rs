//! `GET /v1/audit`: who asked what, about whom, of which model, and what was answered. For administrators. One row
//! with all that is known of it is in [`decision`](super::decision).

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::Parameters;
use super::middleware::audit::Concerned;
use super::{AppState, Problem};
use crate::store::audit::evidence::{Evidence, ResultEvidence};
use crate::store::{AuditQuery, NumberedRow};
use recommend::Millis;
use recommend::clock::{self, parse_time, rfc3339};

/// Rows on a page.
const PAGE: u32 = 100;
/// Most rows on a page.
pub(super) const MAX_PAGE: u32 = 1000;

/// What a handler says of its answer, for the audit; in the response's extensions.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// The model that answered.
    pub model: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The labels answered, none for an abstention; or the ids of the items recommended.
    pub answers: Vec<Option<String>>,
    /// Whether an answer was withheld for want of certainty or evidence.
    pub abstained: bool,
    /// What the answer rested on. The packages of the model are filled in behind the handler.
    pub evidence: Evidence,
}

impl Answered {
    /// The labels that a model gave.
    pub fn labels(model: &str, version: &str, labels: impl Iterator<Item = Option<String>>) -> Answered {
        let answers: Vec<Option<String>> = labels.collect();
        let abstained = answers.iter().any(Option::is_none);
        let (model, version) = (Some(model.to_string()), Some(version.to_string()));
        Answered { model, version, answers, abstained, evidence: Evidence::default() }
    }

    /// The same with what each answer rested on.
    #[must_use]
    pub fn resting_on(mut self, results: impl ExactSizeIterator<Item = ResultEvidence>) -> Answered {
        self.evidence = Evidence::of_results(results);
        self
    }
}

/// Which rows to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditParameters {
    /// Number of the last row of the page before.
    pub before: Option<i64>,
    /// Rows on the page; default: 100.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Only rows that concern this person, by the identifier; default: all.
    #[param(example = "u1")]
    pub user: Option<String>,
    /// Only rows of answers then or later: a date (its first moment, UTC), or a date and time; default: all.
    #[param(example = "2026-03-01")]
    pub from: Option<String>,
    /// Only rows of answers before then; default: all.
    #[param(example = "2026-03-02T08:00:00Z")]
    pub to: Option<String>,
}

/// One answer, as it was audited.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Grows with time.
    pub number: i64,
    /// When it was answered.
    #[schema(example = "2026-03-01T09:30:00.000Z")]
    pub time: String,
    /// The request's id.
    pub request_id: String,
    /// Who asked: "key:" with the name of the key, "token:" with the subject of the token,
    /// "cert:" with the name of the certificate's owner, "anonymous", or
    /// "unknown" where nobody was let in.
    #[schema(example = "key:ward-7")]
    pub caller: String,
    /// The address that asked.
    #[schema(example = "10.0.7.31")]
    pub address: String,
    /// The HTTP method.
    #[schema(example = "POST")]
    pub method: String,
    /// The route, never with an identifier in it.
    #[schema(example = "/v1/notes/classify")]
    pub route: String,
    /// The HTTP status.
    #[schema(example = 200)]
    pub status: u16,
    /// The model that answered.
    #[schema(example = "triage")]
    pub model: Option<String>,
    /// Its version.
    #[schema(example = "1")]
    pub version: Option<String>,
    /// The people concerned: keyed pseudonyms, or identifiers where that is configured. To ask for one person's
    /// rows, use the parameter `user`.
    pub people: Vec<String>,
    /// SHA-256 of the body, or of path and query where there is none; empty where the body was not read.
    pub input_sha256: String,
    /// SHA-256 of the method, a blank, path and query, a line feed, and the body.
    pub request_sha256: String,
    /// The labels answered, null for an abstention; or the ids of the items recommended.
    #[schema(example = json!(["2"]))]
    pub answers: Vec<Option<String>>,
    /// Whether an answer was withheld for want of certainty or evidence.
    pub abstained: bool,
    /// From the request's first byte to its answer.
    #[schema(example = 1.25)]
    pub latency_ms: f64,
    /// SHA-256 over this row and the chain of the row before; null for rows that are older than the chain.
    pub chain: Option<String>,
}

impl From<NumberedRow> for AuditEntry {
    fn from(NumberedRow { number, row, chain }: NumberedRow) -> AuditEntry {
        AuditEntry {
            number,
            time: rfc3339(row.time),
            request_id: row.request_id,
            caller: row.caller,
            address: row.address,
            method: row.method,
            route: row.route,
            status: row.status,
            model: row.model,
            version: row.version,
            people: row.people,
            input_sha256: row.input_sha256,
            request_sha256: row.request_sha256,
            answers: row.answers,
            abstained: row.abstained,
            latency_ms: row.latency_ms,
            chain,
        }
    }
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// The latest first.
    pub rows: Vec<AuditEntry>,
    /// `before` of the next page; null on the last.
    pub next: Option<i64>,
}

/// Who asked what and was answered what, a page at a time; for administrators
///
/// The latest first. Inputs are not in it, only their digests.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "list_audit",
    tag = "operations",
    params(AuditParameters),
    responses((status = 200, body = AuditPage))
)]
pub async fn list(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    Parameters(parameters): Parameters<AuditParameters>,
) -> Result<Json<AuditPage>, Problem> {
    concerned.add(parameters.user.clone());
    let limit = parameters.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_parameter("limit", format!("must be from 1 to {MAX_PAGE}")));
    }
    let from = moment("from", parameters.from.as_deref())?;
    let to = moment("to", parameters.to.as_deref())?;
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Problem::bad_parameter("to", "must be after from"));
    }
    // One more than is shown says whether there is a next page.
    let person = match &parameters.user {
        Some(user) => Some(state.audit_key()?.person(user)),
        None => None,
    };
    let query = AuditQuery { before: parameters.before, person, from, to, limit: limit + 1 };
    let mut rows = state.people()?.store.list_audit(&query).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.number);
    Ok(Json(AuditPage { rows: rows.into_iter().map(AuditEntry::from).collect(), next }))
}

/// The time that a parameter names.
fn moment(name: &'static str, text: Option<&str>) -> Result<Option<Millis>, Problem> {
    let wrong = || Problem::bad_parameter(name, format!("must be a time: {}", clock::TIME_FORMS));
    text.map(|text| parse_time(text).ok_or_else(wrong)).transpose()
}
