//! `POST /v1/notes/classify`: how urgent is this note, or where does it belong?

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::audit::Answered;
use super::classify::{ModelAnswer, Prediction, find_model, timed};
use super::error::FieldError;
use super::extract::{Body, Parameters};
use super::{AppState, Deadline, Problem};
use crate::inference::note::{LongNote, NoteOutcome, NoteService, NotesError};
use crate::inference::registry::Served;
use text::Record;

/// Most records of one request.
pub const MAX_RECORDS: usize = 256;

/// Parameters of a classification.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NoteParameters {
    /// "error" refuses a note that is longer than the model reads; by default its head and tail are read.
    #[param(inline, value_type = Option<Truncate>)]
    pub truncate: Option<String>,
}

/// What `truncate` may be.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)]
enum Truncate {
    Error,
}

/// Records to classify.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteRequest {
    /// Name of the model; may be left out where only one fits.
    #[schema(example = "triage")]
    pub model: Option<String>,
    /// One to 256 records: `{"note": "...", "fields": {...}}`; `GET /v1/models/{name}` names the fields.
    #[schema(value_type = Vec<RecordForm>)]
    pub records: Vec<Value>,
    /// Number of labels to return with their probabilities, highest first; default: all.
    #[schema(minimum = 1)]
    pub top_k: Option<usize>,
}

/// A note and its fields.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct RecordForm {
    /// The clinical note.
    #[schema(example = "chest pain since this morning")]
    note: String,
    /// Fields by name; one that is absent or null is missing, which is normal.
    #[schema(value_type = Option<Object>)]
    fields: Option<Value>,
}

/// The answer for one record.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoteResult {
    /// The label answered; null for an abstention.
    #[schema(example = "2")]
    pub label: Option<String>,
    /// True where the model is not sure enough to answer.
    pub abstained: bool,
    /// Labels with their probabilities, highest first, ties in label order.
    pub predictions: Vec<Prediction>,
    /// Tokens of the note.
    pub tokens: usize,
    /// True where the note is longer than the model reads: its head and tail were read.
    pub truncated: bool,
    /// Fields of the model that the record did not have.
    pub missing_fields: Vec<String>,
}

/// The answers for the records of a request, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoteAnswer {
    /// The model that answered.
    #[schema(example = "triage")]
    pub model: String,
    /// Its version.
    #[schema(example = "1")]
    pub version: String,
    /// One answer a record.
    pub results: Vec<NoteResult>,
}

impl From<NoteOutcome> for NoteResult {
    fn from(answer: NoteOutcome) -> NoteResult {
        let ModelAnswer { label, abstained, predictions } = answer.outcome.into();
        NoteResult {
            label,
            abstained,
            predictions,
            tokens: answer.tokens,
            truncated: answer.truncated,
            missing_fields: answer.missing_fields,
        }
    }
}

/// Classify one record, or several
///
/// A request is answered whole or refused whole, every record that does not fit named by its place.
#[utoipa::path(
    post,
    path = "/v1/notes/classify",
    operation_id = "classify_notes",
    tag = "notes",
    params(NoteParameters),
    request_body(
        content = NoteRequest,
        example = json!({"model": "triage", "records": [{"note": "chest pain since this morning",
            "fields": {"age": 67, "sbp": 91}}]}),
    ),
    responses(
        (status = 200, body = NoteAnswer),
        (status = 404, description = "No such model; the names that exist"),
    )
)]
pub async fn classify(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Parameters(parameters): Parameters<NoteParameters>,
    Body(request): Body<NoteRequest>,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let note = |served: &Served| match served {
        Served::Note(service) => Some(service.clone()),
        Served::Image(_) => None,
    };
    let refuse = |detail| Problem::bad_member("/model", detail);
    let service: Arc<NoteService> = find_model(&registry, request.model.as_deref(), "notes", note, refuse)?;
    let whole = match parameters.truncate.as_deref() {
        None => false,
        Some("error") => true,
        Some(_) => return Err(Problem::bad_parameter("truncate", "must be \"error\" or be left out")),
    };
    if request.top_k == Some(0) {
        return Err(Problem::bad_member("/top_k", "0 labels were asked for; at least 1 is accepted"));
    }
    let records = read(&service, &request.records)?;
    let (answers, timing) =
        service.classify(records, whole, request.top_k.unwrap_or(usize::MAX), deadline).await?;
    let answer = NoteAnswer {
        model: service.manifest.name.clone(),
        version: service.manifest.version.clone(),
        results: answers.into_iter().map(NoteResult::from).collect(),
    };
    let labels = answer.results.iter().map(|result| result.label.clone());
    let answered = Answered::labels(&answer.model, &answer.version, labels);
    Ok((Extension(answered), timed(&timing)?, Json(answer)).into_response())
}

/// The records, each checked against the model's fields.
pub(super) fn read(service: &NoteService, records: &[Value]) -> Result<Vec<Record>, Problem> {
    if !(1..=MAX_RECORDS).contains(&records.len()) {
        let detail = format!("{} records were sent; 1 to {MAX_RECORDS} are accepted", records.len());
        let errors = vec![FieldError { pointer: "/records".to_string(), detail: detail.clone() }];
        return Err(Problem { errors, ..Problem::unprocessable(detail) });
    }
    let mut read = Vec::with_capacity(records.len());
    let mut errors = Vec::new();
    for (index, value) in records.iter().enumerate() {
        match Record::parse(service.input(), value, &format!("/records/{index}")) {
            Ok(record) => read.push(record),
            Err(found) => {
                errors.extend(found.into_iter().map(|e| FieldError { pointer: e.pointer, detail: e.detail }));
            }
        }
    }
    match errors.is_empty() {
        true => Ok(read),
        false => Err(Problem {
            errors,
            ..Problem::unprocessable("records do not fit the model; nothing was classified")
        }),
    }
}

impl From<NotesError> for Problem {
    fn from(error: NotesError) -> Problem {
        match error {
            NotesError::TooLong(ref long) => {
                let place = |note: &LongNote| FieldError {
                    pointer: format!("/records/{}/note", note.index),
                    detail: note.to_string(),
                };
                let errors = long.iter().map(place).collect();
                Problem { errors, ..Problem::unprocessable(error.to_string()) }
            }
            NotesError::Tokenizer { .. } => Problem::unprocessable(error.to_string()),
            NotesError::Ask(error) => error.into(),
        }
    }
}
