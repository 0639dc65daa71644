//! `/v1/cases`: texts that are found again, by their words and by what they mean.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::audit::Answered;
use super::error::FieldError;
use super::etag::{Conditions, Representation};
use super::extract::{Body, Id};
use super::identity::Caller;
use super::json::escaped;
use super::people::{Written, refuse};
use super::{AppState, Problem};
use crate::cases::{CasesError, NoVectors};
use crate::store::Case;
use crate::store::cases::text_problem;
use text::search::{Filter, attributes};

/// Cases found where no limit is given.
const FOUND: usize = 10;
/// Most cases found.
const MAX_FOUND: usize = 100;
/// Longest question, in bytes.
const MAX_QUERY_BYTES: usize = 64 << 10;
/// Names of attributes that a refusal lists.
const NAMED: usize = 20;

/// A case as it is answered: a text to be found again, and what else is known of it.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)]
pub struct CaseDocument {
    /// Its identifier.
    #[schema(example = "case-7")]
    case_id: String,
    /// What it is found by: 1 byte to 1 MiB.
    #[schema(example = "Crushing chest pain radiating to the left arm, sweating.")]
    text: String,
    /// A flat object: each value is a text, a number, true or false, or a list of texts. At most 64.
    #[schema(value_type = Object, example = json!({"ward": "cardiology", "year": 2024}))]
    attributes: Map<String, Value>,
}

/// Add a case, or replace one
///
/// It is found from the next search on. Send the `ETag` of what you read in `If-Match`, so that a change that
/// somebody else made meanwhile is not lost, or `If-None-Match: *` to add a case and replace none.
#[utoipa::path(
    put,
    path = "/v1/cases/{case_id}",
    operation_id = "put_case",
    tag = "cases",
    params(
        ("case_id" = String, Path, description = "Identifier; not `.` or `..`, which clients take out of an address",
            example = "case-7"),
        ("If-Match" = Option<String>, Header, description = "Only if the case has this ETag, or exists at all (*)"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such case yet"),
    ),
    request_body(
        content = CasePut,
        example = json!({"text": "Crushing chest pain radiating to the left arm, sweating.",
            "attributes": {"ward": "cardiology", "year": 2024}}),
    ),
    responses(
        (status = 200, body = Written),
        (status = 412, description = "Somebody has changed the case since it was read, or it exists already"),
    )
)]
pub async fn put(
    State(state): State<AppState>,
    Id(case_id): Id,
    conditions: Conditions,
    Body(sent): Body<Case>,
) -> Result<Json<Written>, Problem> {
    if !sent.case_id.is_empty() && sent.case_id != case_id {
        return Err(Problem::unprocessable("case_id is not the identifier in the path"));
    }
    let case = Case { case_id, ..sent };
    refuse(case.validate(""))?;
    let allow = |now: Option<&Case>| conditions.allow(now);
    let written = state.cases()?.put(case, conditions.any().then_some(&allow)).await?;
    Ok(Json(written.into()))
}

/// A case as it is sent.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct CasePut {
    /// Its identifier, if it is repeated here.
    case_id: Option<String>,
    /// What it is found by: 1 byte to 1 MiB.
    text: String,
    /// A flat object: each value is a text, a number, true or false, or a list of texts. At most 64.
    #[schema(value_type = Object, required = false)]
    attributes: Map<String, Value>,
}

/// One case
///
/// The header `ETag` names this state of it, for `If-Match` of a change and `If-None-Match` of a next read.
#[utoipa::path(
    get,
    path = "/v1/cases/{case_id}",
    operation_id = "get_case",
    tag = "cases",
    params(
        ("case_id" = String, Path, description = "Identifier", example = "case-7"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what you have"),
    ),
    responses(
        (status = 200, body = CaseDocument, headers(("etag" = String, description = "Names this state"))),
        (status = 304, description = "You have it already"),
    )
)]
pub async fn get(
    State(state): State<AppState>,
    Id(case_id): Id,
    conditions: Conditions,
) -> Result<Response, Problem> {
    let case = state.cases()?.get(&case_id).await?;
    Ok(Representation::new(&case)?.answer(&conditions))
}

/// Erase a case
///
/// Its text, its vector and what is known of it are gone at once; it is found no more.
#[utoipa::path(
    delete,
    path = "/v1/cases/{case_id}",
    operation_id = "delete_case",
    tag = "cases",
    params(
        ("case_id" = String, Path, description = "Identifier", example = "case-7"),
        ("If-Match" = Option<String>, Header, description = "Only if the case has this ETag"),
    ),
    responses(
        (status = 204, description = "Erased"),
        (status = 412, description = "Somebody has changed the case since it was read"),
    )
)]
pub async fn delete(
    State(state): State<AppState>,
    Id(case_id): Id,
    conditions: Conditions,
) -> Result<StatusCode, Problem> {
    let allow = |now: Option<&Case>| conditions.allow(now);
    state.cases()?.delete(&case_id, conditions.any().then_some(&allow)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A question for cases.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// What is looked for, in words, short or long: 1 byte to 64 KiB.
    #[schema(example = "pressure on the chest going into the arm")]
    pub query: String,
    /// Most cases found; default: 10.
    #[schema(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
    /// What the attributes of a case must be: for each name one value, or a list of which one must fit.
    #[schema(value_type = Option<Object>, example = json!({"ward": ["cardiology", "emergency"]}))]
    pub filter: Option<Map<String, Value>>,
}

/// Why a case was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaseBecause {
    /// Words of the question that it has, in some form; those that count most first.
    #[schema(example = json!(["chest", "arm"]))]
    pub words: Vec<String>,
    /// Cosine of its vector and the question's, -1 to 1; null where no model makes vectors, or none was made yet.
    #[schema(example = 0.77)]
    pub similarity: Option<f32>,
}

/// A case that was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct FoundCase {
    /// Its identifier.
    #[schema(example = "case-7")]
    pub case_id: String,
    /// How well it fits among those of this answer, 0 to 1: not to be compared between questions.
    #[schema(example = 0.81)]
    pub score: f32,
    /// What else is known of it.
    #[schema(value_type = Object)]
    pub attributes: Map<String, Value>,
    /// Why it was found.
    pub because: CaseBecause,
}

/// Cases that fit a question.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    /// The best first; of equal ones the smaller identifier.
    pub results: Vec<FoundCase>,
}

/// Find cases that are like a text
///
/// By the words that they share with it and, where a model that makes vectors of texts is served, by what they
/// mean, over all cases.
#[utoipa::path(
    post,
    path = "/v1/cases/search",
    operation_id = "search_cases",
    tag = "cases",
    request_body(
        content = SearchRequest,
        example = json!({"query": "pressure on the chest going into the arm", "limit": 10}),
    ),
    responses((status = 200, body = SearchAnswer))
)]
pub async fn search(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<SearchRequest>,
) -> Result<Response, Problem> {
    let SearchRequest { query, limit, filter } = request;
    let filter = filter.unwrap_or_default();
    let limit = limit.map_or(FOUND, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let at = |pointer: &str, detail: String| FieldError { pointer: pointer.to_string(), detail };
    let mut errors = Vec::new();
    errors.extend(text_problem(&query, MAX_QUERY_BYTES).map(|detail| at("/query", detail)));
    if !(1..=MAX_FOUND).contains(&limit) {
        errors.push(at("/limit", format!("must be from 1 to {MAX_FOUND}")));
    }
    errors.extend(attributes::check(&filter, "/filter").into_iter().map(|e| at(&e.pointer, e.detail)));
    refuse(errors)?;
    let cases = state.cases()?;
    // The question becomes a vector by this model.
    let space = cases.space();
    if let Some(space) = &space {
        caller.check_model(&space.model)?;
    }
    let filter = Filter::new(&filter);
    if let Some((unknown, known)) = cases.unknown_names(&filter) {
        let known = match known.as_slice() {
            [] => "no case has any".to_string(),
            names if names.len() > NAMED => format!("cases have {} and others", names[..NAMED].join(", ")),
            names => format!("cases have {}", names.join(", ")),
        };
        let detail = format!("no case has an attribute of this name; {known}");
        refuse(unknown.iter().map(|name| at(&format!("/filter/{}", escaped(name)), detail.clone())))?;
    }
    let hits = cases.search(query, filter, limit).await?;
    let answered = Answered {
        model: space.as_ref().map(|space| space.model.clone()),
        version: space.map(|space| space.version),
        answers: hits.iter().map(|hit| Some(hit.id.clone())).collect(),
        abstained: false,
        ..Answered::default()
    };
    let found = |hit: text::search::Hit| FoundCase {
        case_id: hit.id,
        score: hit.score,
        attributes: serde_json::from_str(&hit.attributes).unwrap_or_default(),
        because: CaseBecause { words: hit.words, similarity: hit.similarity },
    };
    let answer = SearchAnswer { results: hits.into_iter().map(found).collect() };
    Ok((Extension(answered), Json(answer)).into_response())
}

impl From<CasesError> for Problem {
    fn from(error: CasesError) -> Problem {
        match error {
            CasesError::Store(error) => error.into(),
            CasesError::Vectors(NoVectors::Ask(error)) => error.into(),
            CasesError::Vectors(NoVectors::Unreadable(_)) => Problem::unprocessable(error.to_string()),
            CasesError::Broken => Problem::internal(),
        }
    }
}
