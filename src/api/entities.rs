//! `POST /v1/notes/extract`: which drugs, diseases and effects are in this note, and what ties them?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::audit::Answered;
use super::classify::{find_model, timed};
use super::error::FieldError;
use super::extract::{Body, Parameters};
use super::identity::Caller;
use super::notes::MAX_RECORDS;
use super::{AppState, Deadline, Problem};
use crate::inference::Timing;
use crate::inference::extractor::{ExtractError, ExtractService, Extraction};
use crate::inference::registry::Served;
use model::manifest::{RecordInput, Task};
use text::Record;
use text::tagger::assertion::Subject;

/// Parameters of an extraction: none.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExtractParameters {}

/// Notes to find names in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractRequest {
    /// Name of the model; may be left out where only one fits.
    #[schema(example = "adverse-drug-events")]
    pub model: Option<String>,
    /// One to 256 records: `{"note": "..."}`.
    #[schema(value_type = Vec<ExtractRecord>)]
    pub records: Vec<Value>,
}

/// A note.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct ExtractRecord {
    /// The clinical note.
    #[schema(example = "Rash after amoxicillin for otitis media, no fever.")]
    note: String,
}

/// A name in a note. Places count Unicode code points.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedEntity {
    /// What relations call it, in this answer.
    #[schema(example = "e1")]
    pub id: String,
    /// What it is the name of.
    #[schema(example = "Drug")]
    pub label: String,
    /// Its first code point.
    #[schema(example = 11)]
    pub start: usize,
    /// The code point after its last.
    #[schema(example = 22)]
    pub end: usize,
    /// Its words, as they stand in the note.
    #[schema(example = "amoxicillin")]
    pub text: String,
    /// Probability that exactly these words are a name of this label.
    #[schema(example = 0.98)]
    pub probability: f32,
    /// True where the note denies it, by rules over English cues.
    pub negated: bool,
    /// True where the note only supposes it, asks for it or says what may come, by rules over English cues.
    pub speculated: bool,
    /// True where the note tells it as history, which may go on, by rules over English cues.
    pub historical: bool,
    /// Of whom the note says it, by rules over English cues: the patient where it names nobody else.
    pub subject: EntitySubject,
}

/// Of whom something is said.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntitySubject {
    /// The patient.
    Patient,
    /// A relative, husband or wife.
    Family,
    /// Somebody else.
    Other,
}

impl From<Subject> for EntitySubject {
    fn from(subject: Subject) -> EntitySubject {
        match subject {
            Subject::Patient => EntitySubject::Patient,
            Subject::Family => EntitySubject::Family,
            Subject::Other => EntitySubject::Other,
        }
    }
}

/// What ties two names.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntityRelation {
    /// What it is.
    #[schema(example = "adverse_effect")]
    pub label: String,
    /// The name it goes from.
    #[schema(example = "e1")]
    pub from: String,
    /// The name it goes to.
    #[schema(example = "e2")]
    pub to: String,
    /// Probability, given that both names are right.
    #[schema(example = 0.9)]
    pub probability: f32,
    /// True where nothing of the kind is said to have happened, by rules over English cues: the note denies what it goes to, says
    /// that the one did not cause the other or only relieved it, or that the drug was never given. That a drug is no longer taken, or
    /// is not to be given, does not deny what it did.
    pub negated: bool,
    /// True where one of the two names is speculated.
    pub speculated: bool,
}

/// Most relations of an answer.
const MAX_RELATIONS: usize = 100_000;

/// What is in one note.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExtractResult {
    /// Names in the order of the note; none overlap.
    pub entities: Vec<NamedEntity>,
    /// What ties them.
    pub relations: Vec<EntityRelation>,
    /// Tokens of the note.
    pub tokens: usize,
    /// True where the note is longer than the model reads: its beginning was read.
    pub truncated: bool,
}

impl ExtractResult {
    fn new(service: &ExtractService, text: &str, extraction: &Extraction) -> ExtractResult {
        let tokens = &extraction.document.tokens;
        let found = &extraction.found;
        let id = |place: usize| format!("e{}", place + 1);
        let entity = |(place, entity): (usize, &text::tagger::Entity)| {
            let (first, last) = (&tokens[entity.span.start], &tokens[entity.span.end - 1]);
            NamedEntity {
                id: id(place),
                label: service.manifest.labels[entity.span.label].clone(),
                start: first.start,
                end: last.end,
                text: text[first.bytes.start..last.bytes.end].to_string(),
                probability: entity.probability as f32,
                negated: entity.assertion.negated,
                speculated: entity.assertion.speculated,
                historical: entity.assertion.historical,
                subject: entity.assertion.subject.into(),
            }
        };
        let relation = |link: &text::tagger::Link| {
            let either = [link.from, link.to].map(|place| found.entities[place].assertion);
            EntityRelation {
                label: service.relations()[link.relation].clone(),
                from: id(link.from),
                to: id(link.to),
                probability: link.probability as f32,
                negated: link.denied,
                speculated: either.iter().any(|said| said.speculated),
            }
        };
        ExtractResult {
            entities: found.entities.iter().enumerate().map(entity).collect(),
            relations: found.links.iter().map(relation).collect(),
            tokens: extraction.tokens(),
            truncated: extraction.truncated(),
        }
    }

    /// How many names of each label there are, in words: what the audit keeps of a note.
    pub fn counted(&self) -> Option<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.entities.iter().for_each(|entity| *counts.entry(&entity.label).or_default() += 1);
        let words: Vec<String> =
            counts.into_iter().map(|(label, count)| format!("{label}: {count}")).collect();
        Some(if words.is_empty() { "nothing".to_string() } else { words.join(", ") })
    }
}

/// What is in the notes of a request, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExtractAnswer {
    /// The model that answered.
    #[schema(example = "adverse-drug-events")]
    pub model: String,
    /// Its version.
    #[schema(example = "1")]
    pub version: String,
    /// One answer a record.
    pub results: Vec<ExtractResult>,
}

/// Find names in one note, or several
///
/// Drugs, diseases and effects with their places, whether the note denies or only supposes them, whether they are history or
/// somebody else's, and what ties them. A request is answered whole or refused whole.
#[utoipa::path(
    post,
    path = "/v1/notes/extract",
    operation_id = "extract_notes",
    tag = "notes",
    params(ExtractParameters),
    request_body(
        content = ExtractRequest,
        example = json!({"model": "adverse-drug-events",
            "records": [{"note": "Rash after amoxicillin for otitis media, no fever."}]}),
    ),
    responses(
        (status = 200, body = ExtractAnswer),
        (status = 404, description = "No such model; the names that exist"),
    )
)]
pub async fn extract(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Parameters(ExtractParameters {}): Parameters<ExtractParameters>,
    Body(request): Body<ExtractRequest>,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let extracts = |served: &Served| match served {
        Served::Extract(service) => Some(service.clone()),
        _ => None,
    };
    let refuse = |detail| Problem::bad_member("/model", detail);
    let service: Arc<ExtractService> =
        find_model(&registry, &caller, request.model.as_deref(), Task::NoteExtraction, extracts, refuse)?;
    let texts = read(&request.records)?;
    let (results, timing) = find(&service, texts, deadline).await?;
    let ties: usize = results.iter().map(|result| result.relations.len()).sum();
    if ties > MAX_RELATIONS {
        let detail = format!(
            "{ties} relations were found; at most {MAX_RELATIONS} are answered at once: send fewer notes"
        );
        return Err(Problem::unprocessable(detail));
    }
    let (model, version) = (service.manifest.name.clone(), service.manifest.version.clone());
    let answered = Answered::labels(&model, &version, results.iter().map(ExtractResult::counted));
    let answer = ExtractAnswer { model, version, results };
    Ok((Extension(answered), timed(&timing)?, Json(answer)).into_response())
}

impl From<ExtractError> for Problem {
    fn from(error: ExtractError) -> Problem {
        match error {
            ExtractError::Tokenizer { .. } => Problem::unprocessable(error.to_string()),
            ExtractError::Ask(error) => error.into(),
        }
    }
}

/// What the service finds in each text.
pub(super) async fn find(
    service: &Arc<ExtractService>,
    texts: Vec<String>,
    deadline: Instant,
) -> Result<(Vec<ExtractResult>, Timing), Problem> {
    let texts = Arc::new(texts);
    let (found, timing) = service.extract(texts.clone(), deadline).await?;
    let result = |(text, extraction): (&String, &Extraction)| ExtractResult::new(service, text, extraction);
    Ok((texts.iter().zip(&found).map(result).collect(), timing))
}

/// The notes of the records, which have no fields.
pub(super) fn read(records: &[Value]) -> Result<Vec<String>, Problem> {
    if !(1..=MAX_RECORDS).contains(&records.len()) {
        let detail = format!("{} records were sent; 1 to {MAX_RECORDS} are accepted", records.len());
        let errors = vec![FieldError { pointer: "/records".to_string(), detail: detail.clone() }];
        return Err(Problem { errors, ..Problem::unprocessable(detail) });
    }
    let no_fields = RecordInput { max_tokens: 1, fields: Vec::new() };
    let mut texts = Vec::with_capacity(records.len());
    let mut errors = Vec::new();
    for (index, value) in records.iter().enumerate() {
        match Record::parse(&no_fields, value, &format!("/records/{index}")) {
            Ok(record) => texts.push(record.note),
            Err(found) => {
                errors.extend(found.into_iter().map(|e| FieldError { pointer: e.pointer, detail: e.detail }));
            }
        }
    }
    match errors.is_empty() {
        true => Ok(texts),
        false => Err(Problem {
            errors,
            ..Problem::unprocessable("records do not fit the model; nothing was extracted")
        }),
    }
}
