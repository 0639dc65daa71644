//! What the classifiers' routes share: finding the model, the shape of an answer, timings, and
//! the translation of what can go wrong behind the queue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponseParts;
use clinical::fhir::answers::Classified;
use model::Manifest;
use model::manifest::Task;
use serde::Serialize;
use utoipa::ToSchema;

use super::Problem;
use super::identity::Caller;
use super::models::unknown_model;
use crate::inference::registry::{Registry, Served};
use crate::inference::{AskError, InferenceError, Outcome, Timing};
use crate::store::audit::evidence::ResultEvidence;
use crate::telemetry::spans::Stages;

/// A label and its calibrated probability.
#[derive(Debug, Serialize, ToSchema)]
pub struct Prediction {
    /// The label.
    #[schema(example = "pneumonia")]
    pub label: String,
    /// Its probability, 0 to 1.
    #[schema(example = 0.97)]
    pub probability: f32,
}

/// Why a model abstains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No label is probable enough.
    LowConfidence,
    /// The input is unlike what the model was trained on, or belongs to none of its labels.
    UnlikeTraining,
    /// The picture is of one tone: there is nothing on it.
    Blank,
    /// The DICOM file says that it is of a modality, a body part, a view or an age that the model does not read.
    WrongModality,
}

impl From<crate::inference::Reason> for Reason {
    fn from(reason: crate::inference::Reason) -> Reason {
        match reason {
            crate::inference::Reason::LowConfidence => Reason::LowConfidence,
            crate::inference::Reason::UnlikeTraining => Reason::UnlikeTraining,
            crate::inference::Reason::Blank => Reason::Blank,
            crate::inference::Reason::WrongModality => Reason::WrongModality,
        }
    }
}

impl Reason {
    /// As answers have it.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::LowConfidence => "low_confidence",
            Reason::UnlikeTraining => "unlike_training",
            Reason::Blank => "blank",
            Reason::WrongModality => "wrong_modality",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Reason::LowConfidence => "no label is probable enough",
            Reason::UnlikeTraining => "the input is unlike what the model was trained on",
            Reason::Blank => "the picture is blank",
            Reason::WrongModality => {
                "the file says that it is of a modality, a body part, a view or an age that the model does not read"
            }
        }
    }
}

/// An answer as FHIR has it, without what it rests on.
pub fn classified<'a>(
    manifest: &'a Manifest,
    label: Option<&'a str>,
    reason: Option<Reason>,
    predictions: &'a [Prediction],
) -> Classified<'a> {
    Classified {
        label,
        meaning: label.and_then(|label| manifest.label_descriptions.get(label)).map(String::as_str),
        reason: reason.map(|reason| reason.words().to_string()),
        predictions: predictions.iter().map(|p| (p.label.as_str(), p.probability)).collect(),
        rules: Vec::new(),
        raised: false,
        image: None,
    }
}

/// What an answer rested on, for the audit.
pub fn rested_on(reason: Option<Reason>, predictions: &[Prediction]) -> ResultEvidence {
    let predictions = predictions.iter().map(|own| (own.label.as_str(), own.probability));
    ResultEvidence::new(reason.map(Reason::code), predictions)
}

/// As [`rested_on`], of a model's own answer.
pub fn outcome_rested_on(outcome: &Outcome) -> ResultEvidence {
    let predictions = outcome.predictions.iter().map(|own| (own.label.as_str(), own.probability));
    ResultEvidence::new(outcome.reason.map(|reason| Reason::from(reason).code()), predictions)
}

/// The answer for one input.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelAnswer {
    /// The label answered; null for an abstention.
    #[schema(example = "pneumonia")]
    pub label: Option<String>,
    /// True where there is no label.
    pub abstained: bool,
    /// Of an abstention: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Labels with their probabilities, highest first, ties in label order.
    pub predictions: Vec<Prediction>,
}

impl From<Outcome> for ModelAnswer {
    fn from(outcome: Outcome) -> ModelAnswer {
        let prediction =
            |p: crate::inference::Prediction| Prediction { label: p.label, probability: p.probability };
        ModelAnswer {
            abstained: outcome.reason.is_some(),
            reason: outcome.reason.map(Reason::from),
            label: outcome.label,
            predictions: outcome.predictions.into_iter().map(prediction).collect(),
        }
    }
}

/// What a model of a task does, and the route that asks it.
fn does(task: Task) -> (&'static str, &'static str) {
    match task {
        Task::ImageClassification => ("classifies images", "POST /v1/images/classify"),
        Task::ImageSegmentation => ("outlines regions of images", "POST /v1/images/segment"),
        Task::ImageGeneration => ("makes images of labels", "POST /v1/images/generate"),
        Task::NoteClassification => ("classifies notes", "POST /v1/notes/classify"),
        Task::NoteExtraction => ("finds names in notes", "POST /v1/notes/extract"),
        Task::TextEmbedding => ("makes vectors of texts", "POST /v1/embeddings"),
        Task::Recommendation => ("recommends", "GET /v1/users/{user_id}/recommendations"),
    }
}

/// The model asked for, or the only one of this task that the caller may ask. `refuse` makes a sentence about the
/// name asked for into a problem, as the name is a parameter here and a member of the body there.
///
/// # Errors
/// 403 for a name that the caller may not ask, 404 for one that is not served, 400 for a model of another task or where several fit.
pub fn find_model<T>(
    registry: &Registry,
    caller: &Caller,
    name: Option<&str>,
    task: Task,
    fits: impl Fn(&Served) -> Option<Arc<T>>,
    refuse: impl Fn(String) -> Problem,
) -> Result<Arc<T>, Problem> {
    let fitting: Vec<(&str, Arc<T>)> =
        registry.all().filter_map(|served| Some((served.manifest().name.as_str(), fits(served)?))).collect();
    let any = !fitting.is_empty();
    let fitting: Vec<(&str, Arc<T>)> =
        fitting.into_iter().filter(|(name, _)| caller.models.include(name)).collect();
    if let Some(name) = name {
        caller.check_model(name)?;
    }
    let (what, _) = does(task);
    let names = || match fitting.is_empty() {
        true => "none".to_string(),
        false => fitting.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
    };
    match name {
        Some(name) => match registry.get(name) {
            None => Err(unknown_model(registry, name)),
            Some(served) => fits(served).ok_or_else(|| {
                let (other, route) = does(served.manifest().task());
                refuse(format!("\"{name}\" {other}: ask it by {route}. What {what} is one of: {}", names()))
            }),
        },
        None => match fitting.as_slice() {
            [(_, only)] => Ok(only.clone()),
            [] if any => Err(caller.forbidden(&format!("a model that {what}"))),
            [] => Err(Problem::not_found(format!("no model that {what} is served"))),
            _ => Err(refuse(format!("more than one model {what}; name one of: {}", names()))),
        },
    }
}

/// Where the time went until now: for the caller in the header `server-timing`, in milliseconds,
/// and for the trace.
pub fn timed(timing: &Timing) -> Result<impl IntoResponseParts, Problem> {
    let Timing { decode, preprocess, queue, inference } = *timing;
    let times = [("decode", decode), ("preprocess", preprocess), ("queue", queue), ("inference", inference)];
    let stages = Stages { end: SystemTime::now(), times };
    Ok((Extension(stages), [("server-timing", server_timing(timing)?)]))
}

fn server_timing(timing: &Timing) -> Result<HeaderValue, Problem> {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let text = format!(
        "decode;dur={:.3}, preprocess;dur={:.3}, queue;dur={:.3}, inference;dur={:.3}",
        ms(timing.decode),
        ms(timing.preprocess),
        ms(timing.queue),
        ms(timing.inference)
    );
    HeaderValue::from_str(&text).map_err(|_| Problem::internal())
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Problem {
        match error {
            AskError::TooMany { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            AskError::QueueFull(_) => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "the model is busy and its queue has no room for this request; try again shortly",
            ),
            AskError::Inference(InferenceError::DeadlinePassed) => {
                Problem::new(StatusCode::GATEWAY_TIMEOUT, "the deadline passed before the model was free")
            }
            AskError::Inference(InferenceError::Failed) => Problem::internal(),
            AskError::NotFinite(error) => {
                tracing::error!(%error, "a model answered with no number");
                let detail = "the model's output is not a number; the fault is the model's, not the input's";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}
