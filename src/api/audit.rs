//! `GET /v1/audit` and `GET /v1/audit/{number}`: who asked what, about whom, of which model, and what was
//! answered. For administrators.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Id, Parameters};
use super::{AppState, Problem};
use crate::store::{AuditQuery, NumberedRow};
use recommend::clock::rfc3339;

/// Rows on a page.
const PAGE: u32 = 100;
/// Most rows on a page.
const MAX_PAGE: u32 = 1000;
/// The route whose answers are cards.
const CARDS: &str = "/cds-services/{id}";

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
}

impl Answered {
    /// The labels that a model gave.
    pub fn labels(model: &str, version: &str, labels: impl Iterator<Item = Option<String>>) -> Answered {
        let answers: Vec<Option<String>> = labels.collect();
        let abstained = answers.iter().any(Option::is_none);
        Answered { model: Some(model.to_string()), version: Some(version.to_string()), answers, abstained }
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

/// One answer, and what was done with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditDecision {
    #[serde(flatten)]
    entry: AuditEntry,
    /// What people did with the cards of this answer (CDS Hooks), the first first; empty where nothing was told.
    feedback: Vec<CardFeedback>,
}

/// What a person did with a card.
#[derive(Debug, Serialize, ToSchema)]
pub struct CardFeedback {
    /// The row of the audit that says so.
    pub number: i64,
    /// When it was told.
    #[schema(example = "2026-03-01T09:31:00.000Z")]
    pub time: String,
    /// Who told it, as of other rows.
    #[schema(example = "key:ehr")]
    pub caller: String,
    /// "accepted" with the card and the suggestions taken, or "overridden" with the card and the coded reason.
    #[schema(example = "overridden 4e0a3a1e-3283-4575-ab82-028d55fe2719 benefit-outweighs-risk")]
    pub outcome: String,
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
    Parameters(parameters): Parameters<AuditParameters>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = parameters.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_parameter("limit", format!("must be from 1 to {MAX_PAGE}")));
    }
    // One more than is shown says whether there is a next page.
    let person = match &parameters.user {
        Some(user) => Some(state.audit_key()?.person(user)),
        None => None,
    };
    let query = AuditQuery { before: parameters.before, person, limit: limit + 1 };
    let mut rows = state.people()?.store.list_audit(&query).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.number);
    Ok(Json(AuditPage { rows: rows.into_iter().map(AuditEntry::from).collect(), next }))
}

/// One row of the audit; for administrators
///
/// As the list has it, with its place in the chain, and with what was done afterwards with the cards that it gave.
#[utoipa::path(
    get,
    path = "/v1/audit/{number}",
    operation_id = "get_audit",
    tag = "operations",
    params(("number" = i64, Path, description = "Number of the row", example = 1)),
    responses((status = 200, body = AuditDecision))
)]
pub async fn get(State(state): State<AppState>, Id(number): Id) -> Result<Json<AuditDecision>, Problem> {
    let Ok(number) = number.parse::<i64>() else {
        return Err(Problem::bad_request("a row of the audit has a whole number, such as 17"));
    };
    let store = state.people()?.store.clone();
    let Some(row) = store.get_audit(number).await? else {
        return Err(Problem::not_found(format!("the audit has no row {number}")));
    };
    let mut feedback = Vec::new();
    for card in cards(&row) {
        for told in store.audit_feedback(number, card, MAX_PAGE).await? {
            let said = told.row.answers.iter().flatten().find(|line| line.split(' ').nth(1) == Some(card));
            if let Some(outcome) = said.filter(|_| told.row.status == 200) {
                feedback.push(CardFeedback {
                    number: told.number,
                    time: rfc3339(told.row.time),
                    caller: told.row.caller.clone(),
                    outcome: outcome.clone(),
                });
            }
        }
    }
    feedback.sort_by_key(|one| one.number);
    Ok(Json(AuditDecision { entry: row.into(), feedback }))
}

/// The ids of the cards that an answer of CDS Hooks gave; its lines are the indicator and the id.
fn cards(row: &NumberedRow) -> impl Iterator<Item = &str> {
    let lines = row.row.answers.iter().flatten().filter(move |_| row.row.route == CARDS);
    lines.filter_map(|line| line.split_once(' ')).map(|(_, card)| card)
}
