//! `POST /v1/notes/classify`: how urgent is this note, or where does it belong?

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use clinical::fhir::answers::{Classified, classifications};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::audit::Answered;
use super::classify::{ModelAnswer, Prediction, Reason, classified, find_model, rested_on, timed};
use super::error::{FieldError, MAX_ERRORS};
use super::extract::{Body, Parameters};
use super::identity::Caller;
use super::json::at_most;
use super::{AppState, Deadline, Problem, fhir};
use crate::inference::note::{Explained, LongNote, NoteOutcome, NoteService, NotesError};
use crate::inference::registry::Served;
use crate::store::audit::evidence::{FlagEvidence, ResultEvidence};
use model::manifest::Task;
use text::{FlagValue, Record};

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
    /// "true" says which words and fields the answer is made of, of models that can say so exactly; default: false.
    pub explain: Option<bool>,
    /// "false" answers by the model alone, without the package's rules for red flags; default: true.
    pub red_flags: Option<bool>,
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
    #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
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
    /// The label answered; null for an abstention. Of a rare outcome the most probable label is nearly always that it is not: read
    /// the probabilities, beside how often it is so and is found in the model's metrics (`confusion`, `sensitivity`).
    #[schema(example = "2")]
    pub label: Option<String>,
    /// True where there is no label.
    pub abstained: bool,
    /// Of an abstention: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Labels with their probabilities, highest first, ties in label order.
    pub predictions: Vec<Prediction>,
    /// Tokens of the note.
    pub tokens: usize,
    /// True where the note is longer than the model reads: its head and tail were read.
    pub truncated: bool,
    /// Fields of the model that the record did not have.
    pub missing_fields: Vec<String>,
    /// Rules of the package that hold for the record, the most urgent first. The label is at least as
    /// urgent as they say; the probabilities are the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub red_flags: Option<Vec<RedFlag>>,
    /// With `explain=true`: the parts of the answered label's logit, words in the order of the note, then fields; of an
    /// abstention, that of the most probable label. They and `evidence_base` sum to the logarithm of the label's
    /// probability less the mean of the logarithms over all labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Vec<Evidence>>,
    /// With `explain=true`: the part that no word and no field has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_base: Option<f64>,
    /// Whether the label is not the model's but the least that a rule allows.
    #[serde(skip)]
    raised: bool,
}

/// A part of an answer: a word of the note, or a field.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Evidence {
    /// A word; places count Unicode code points.
    Word {
        /// Its first code point.
        start: usize,
        /// The code point after its last.
        end: usize,
        /// The word.
        text: String,
        /// What it adds to the label's logit.
        weight: f64,
    },
    /// A field.
    Field {
        /// Its name.
        field: String,
        /// What it, or its absence, adds to the label's logit.
        weight: f64,
    },
}

/// The parts of an answer to the record `note`.
fn evidence(note: &str, explained: &Explained) -> Vec<Evidence> {
    let characters: Vec<char> = note.chars().collect();
    let word = |(place, weight): &(std::ops::Range<usize>, f64)| Evidence::Word {
        start: place.start,
        end: place.end,
        text: characters[place.clone()].iter().collect(),
        weight: *weight,
    };
    let field = |(field, weight): &(String, f64)| Evidence::Field { field: field.clone(), weight: *weight };
    explained.words.iter().map(word).chain(explained.fields.iter().map(field)).collect()
}

/// A rule that holds for a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct RedFlag {
    /// What it is about: a field, or an emergency.
    #[schema(example = "spo2")]
    pub sign: String,
    /// The value that the rule holds for: a number, a field's value or words of the note.
    #[schema(example = 60)]
    pub value: Value,
    /// The rule, in words.
    #[schema(example = "below 90 %")]
    pub rule: String,
    /// The label that the answer is at least; null where the labels are no scale: then the note
    /// belongs to none of them, and there is no label.
    #[schema(example = "2")]
    pub at_least: Option<String>,
}

impl From<text::RedFlag> for RedFlag {
    fn from(flag: text::RedFlag) -> RedFlag {
        let value = match flag.value {
            // A whole number is written as one.
            FlagValue::Number(x) if x.fract() == 0.0 => Value::from(x as i64),
            FlagValue::Number(x) => Value::from(x),
            FlagValue::Text(text) => Value::from(text),
        };
        RedFlag { sign: flag.sign, value, rule: flag.rule, at_least: flag.at_least }
    }
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

impl NoteResult {
    /// For the audit: of red flags the rules, and not the values of the record that they hold for.
    fn rested_on(&self) -> ResultEvidence {
        let flags = self.red_flags.iter().flatten().map(|flag| FlagEvidence {
            sign: flag.sign.clone(),
            rule: flag.rule.clone(),
            at_least: flag.at_least.clone(),
        });
        let mut evidence = rested_on(self.reason, &self.predictions);
        evidence.red_flags = flags.collect();
        evidence.missing_fields.clone_from(&self.missing_fields);
        evidence.truncated = self.truncated;
        evidence
    }
}

impl From<NoteOutcome> for NoteResult {
    fn from(answer: NoteOutcome) -> NoteResult {
        let raised = answer.outcome.raised;
        let ModelAnswer { label, abstained, reason, predictions } = answer.outcome.into();
        NoteResult {
            label,
            abstained,
            reason,
            predictions,
            tokens: answer.tokens,
            truncated: answer.truncated,
            missing_fields: answer.missing_fields,
            red_flags: answer.red_flags.map(|flags| flags.into_iter().map(RedFlag::from).collect()),
            evidence: None,
            evidence_base: None,
            raised,
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
        (status = 200, body = NoteAnswer, description = "The answer; with `accept: application/fhir+json` a Bundle of FHIR R4 resources"),
        (status = 404, description = "No such model; the names that exist"),
    )
)]
pub async fn classify(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Parameters(parameters): Parameters<NoteParameters>,
    headers: HeaderMap,
    Body(request): Body<NoteRequest>,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let note = |served: &Served| match served {
        Served::Note(service) => Some(service.clone()),
        _ => None,
    };
    let refuse = |detail| Problem::bad_member("/model", detail);
    let service: Arc<NoteService> =
        find_model(&registry, &caller, request.model.as_deref(), Task::NoteClassification, note, refuse)?;
    let rules = parameters.red_flags.unwrap_or(true);
    let whole = match parameters.truncate.as_deref() {
        None => false,
        Some("error") => true,
        Some(_) => return Err(Problem::bad_parameter("truncate", "must be \"error\" or be left out")),
    };
    if request.top_k == Some(0) {
        return Err(Problem::bad_member("/top_k", "0 labels were asked for; at least 1 is accepted"));
    }
    let explain = parameters.explain.unwrap_or(false);
    if explain && !service.explains() {
        let detail = "the model's architecture cannot say exactly what its answer is made of; only a bag can";
        return Err(Problem::bad_parameter("explain", detail));
    }
    let records = read(&service, &request.records)?;
    let explaining = if explain { records.clone() } else { Vec::new() };
    let (answers, timing) =
        service.classify(records, whole, rules, request.top_k.unwrap_or(usize::MAX), deadline).await?;
    let labels = &service.manifest.labels;
    let place = |answer: &NoteOutcome| match &answer.outcome.label {
        Some(label) => labels.iter().position(|known| known == label),
        None => answer.outcome.predictions.first().map(|best| best.index),
    };
    let explained = match explain {
        true => {
            let labels = answers.iter().map(|answer| place(answer).unwrap_or_default()).collect();
            service.explain(explaining.clone(), labels, deadline).await?
        }
        false => Vec::new(),
    };
    let mut answer = NoteAnswer {
        model: service.manifest.name.clone(),
        version: service.manifest.version.clone(),
        results: answers.into_iter().map(NoteResult::from).collect(),
    };
    for ((result, record), explained) in answer.results.iter_mut().zip(&explaining).zip(explained) {
        result.evidence = explained.as_ref().map(|explained| evidence(&record.note, explained));
        result.evidence_base = explained.map(|explained| explained.base);
    }
    let labels = answer.results.iter().map(|result| result.label.clone());
    let answered = Answered::labels(&answer.model, &answer.version, labels)
        .resting_on(answer.results.iter().map(NoteResult::rested_on));
    if fhir::asked(&headers) {
        let manifest = &service.manifest;
        let results = answer.results.iter().map(|result| {
            let NoteResult { label, reason, predictions, .. } = result;
            let told = |flag: &RedFlag| format!("red flag: {}: {}", flag.sign, flag.rule);
            let rules = result.red_flags.iter().flatten().map(told).collect();
            let raised = result.raised;
            Classified { rules, raised, ..classified(manifest, label.as_deref(), *reason, predictions) }
        });
        let results: Vec<Classified> = results.collect();
        let scale = manifest.ordinal.as_ref().map(|ordinal| ordinal.scale.as_str());
        let bundle = fhir::made_by(&answer.model, &answer.version, |maker| {
            classifications(maker, "note", scale, &results)
        });
        return Ok((Extension(answered), timed(&timing)?, fhir::resource(&bundle)).into_response());
    }
    Ok((Extension(answered), timed(&timing)?, Json(answer)).into_response())
}

/// The records, each checked against the model's fields.
pub(super) fn read(service: &NoteService, records: &[Value]) -> Result<Vec<Record>, Problem> {
    if !(1..=MAX_RECORDS).contains(&records.len()) {
        let sent = if records.is_empty() { "no" } else { "too many" };
        let detail = format!("{sent} records were sent; 1 to {MAX_RECORDS} are accepted");
        let errors = vec![FieldError { pointer: "/records".to_string(), detail: detail.clone() }];
        return Err(Problem { errors, ..Problem::unprocessable(detail) });
    }
    let mut read = Vec::with_capacity(records.len());
    let mut errors = Vec::new();
    for (index, value) in records.iter().enumerate() {
        if errors.len() > MAX_ERRORS {
            break;
        }
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
