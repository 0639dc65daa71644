//! `POST /v1/images/classify`: what does this image show?
//!
//! The body is one image, or `multipart/form-data` with one or more parts named `image`. What an
//! image is, its first bytes say: a content type that contradicts them is refused rather than
//! believed or ignored, since one of the two is a mistake.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::multipart::MultipartError;
use axum::extract::{Extension, FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clinical::dicom::Named;
use clinical::fhir::answers::{Classified, classifications};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::Answered;
use super::classify::{ModelAnswer, Prediction, Reason, classified, find_model, rested_on, timed};
use super::extract::{Parameters, Whole, cut, media_type};
use super::identity::Caller;
use super::{AppState, Deadline, Problem, fhir};
use crate::inference::head;
use crate::inference::image::explain::Evidence;
use crate::inference::image::{ImageService, ImagesError, ReadAs};
use crate::inference::registry::{Registry, Served};
use crate::inference::{Estimate, Outcome};
use model::Manifest;
use model::manifest::{Outputs, Task};
use vision::{DecodeError, Format};

/// Most images of one request.
pub const MAX_IMAGES: usize = 256;

/// Most images of one request whose answers are explained, each of which costs some fifty answers.
pub const MAX_EXPLAINED: usize = 16;

/// Most parts of a form of which a refusal says the names.
const MOST_NAMED: usize = 8;

/// What a refusal calls a body that is one image.
const BODY: &str = "the body";

/// Parameters of a classification.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ClassifyParameters {
    /// Name of the model; may be left out where only one fits.
    #[param(example = "pneumonia")]
    pub model: Option<String>,
    /// Number of labels to return with their probabilities, highest first; default: all.
    #[param(minimum = 1, example = 2)]
    pub top_k: Option<usize>,
    /// Frame of a multi-frame DICOM file, from 1; default: the first.
    #[param(minimum = 1)]
    pub frame: Option<u32>,
    /// Add to each result what its answer rests on; at most 16 images then; default: false.
    pub explain: Option<bool>,
    /// Classify an image, too, that is marked as synthetic; default: false, it is refused with 422.
    pub allow_synthetic: Option<bool>,
}

/// The answers for the images of a request, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageAnswer {
    /// The model that answered.
    #[schema(example = "pneumonia")]
    pub model: String,
    /// Its version.
    #[schema(example = "1")]
    pub version: String,
    /// One answer an image.
    pub results: Vec<ImageResult>,
}

/// The answer for one image.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageResult {
    /// The most probable label; null for an abstention, for a number, and where of several labels none holds.
    #[schema(example = "pneumonia")]
    pub label: Option<String>,
    /// True where the model gives no answer.
    pub abstained: bool,
    /// Of an abstention: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Labels with their probabilities, highest first, ties in label order.
    pub predictions: Vec<Prediction>,
    /// Of a model of several labels at once: those that hold, the most probable first; then the probabilities do not add up
    /// to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Of a model of a number: the number; none of an abstention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberAnswer>,
    /// With `explain=true`: what the answer rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<ImageEvidence>,
    /// With `allow_synthetic=true`: true of an image that is marked as synthetic, so that its answer is about nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<bool>,
}

/// A number that an image was given.
#[derive(Debug, Serialize, ToSchema)]
pub struct NumberAnswer {
    /// What it says.
    #[schema(example = "age")]
    pub name: String,
    /// The number.
    #[schema(example = 61.4)]
    pub value: f64,
    /// What it is counted in, where the model says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "years")]
    pub unit: Option<String>,
    /// Lower end of the interval in which the true number is expected.
    #[schema(example = 52.9)]
    pub low: f64,
    /// Its upper end.
    #[schema(example = 69.9)]
    pub high: f64,
    /// In what share of the cases it lies there, by the model's validation.
    #[schema(example = 0.9)]
    pub share: f64,
}

/// What the answer for an image rests on: a grid over the part of the picture that the network saw. It is evidence of
/// the answer and not the place of a finding.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageEvidence {
    /// How it was found: by `occlusion`, covering parts of the picture one after another.
    #[schema(example = "occlusion")]
    pub method: &'static str,
    /// The label whose evidence it is: the one answered, or of an abstention the most probable one.
    #[schema(example = "pneumonia")]
    pub label: String,
    /// Rows of the grid.
    #[schema(example = 8)]
    pub height: usize,
    /// Columns of the grid.
    #[schema(example = 8)]
    pub width: usize,
    /// Row after row, what the logarithm of the label's odds loses where the part is covered: above 0 it speaks for the
    /// label, below 0 against it. Of a number, what the number loses, in standard deviations.
    pub values: Vec<f32>,
    /// The part of the picture that the grid lies on.
    pub area: Area,
}

/// A rectangle of a picture, in pixels from its upper left corner.
#[derive(Debug, Serialize, ToSchema)]
pub struct Area {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl ImageResult {
    /// What a model of this manifest says.
    pub(super) fn new(manifest: &Manifest, mut outcome: Outcome) -> ImageResult {
        let holding = outcome.holding.take();
        let labels = holding.map(|holding| holding.into_iter().map(|own| own.label).collect());
        let estimate = outcome.estimate.filter(|_| outcome.reason.is_none());
        let number = match (&manifest.outputs, estimate) {
            (Some(Outputs::Number(output)), Some(Estimate { value, low, high, .. })) => Some(NumberAnswer {
                name: manifest.labels.first().cloned().unwrap_or_default(),
                value,
                unit: output.unit.clone(),
                low,
                high,
                share: output.interval.share,
            }),
            _ => None,
        };
        let synthetic = outcome.synthetic.then_some(true);
        let ModelAnswer { label, abstained, reason, predictions } = outcome.into();
        ImageResult { label, abstained, reason, predictions, labels, number, evidence: None, synthetic }
    }

    /// What the audit keeps of it: the label, or what there is instead of one; nothing of an abstention.
    pub(super) fn audited(&self) -> Option<String> {
        match (&self.labels, &self.number) {
            _ if self.abstained => None,
            (Some(labels), _) if labels.is_empty() => Some("none".to_string()),
            (Some(labels), _) => Some(labels.join(", ")),
            (None, Some(number)) => Some(number.name.clone()),
            (None, None) => self.label.clone(),
        }
    }
}

impl From<Evidence> for ImageEvidence {
    fn from(evidence: Evidence) -> ImageEvidence {
        let Evidence { label, grid: (height, width), values, seen: (rows, columns) } = evidence;
        let area = Area { left: columns.start, top: rows.start, width: columns.len(), height: rows.len() };
        ImageEvidence { method: "occlusion", label, height, width, values, area }
    }
}

/// The bytes of a PNG, JPEG or DICOM file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code)]
pub struct ImageFile(Vec<u8>);

/// A multipart body: one or more parts named `image`.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct ImageForm {
    /// PNG, JPEG or DICOM.
    image: Vec<ImageFile>,
}

/// Classify one image, or several
///
/// The response header `server-timing` says where the time went.
#[utoipa::path(
    post,
    path = "/v1/images/classify",
    operation_id = "classify_images",
    tag = "images",
    params(ClassifyParameters),
    request_body(content(
        (ImageFile = "image/png"), (ImageFile = "image/jpeg"), (ImageFile = "application/dicom"), (ImageForm = "multipart/form-data")
    )),
    responses(
        (status = 200, body = ImageAnswer, description = "The answer; with `accept: application/fhir+json` a Bundle of FHIR R4 resources"),
        (status = 404, description = "No such model; the names that exist"),
        (status = 406, description = "FHIR is asked for of a model of several labels at once or of a number, or with `allow_synthetic=true`"),
    )
)]
pub async fn classify(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Parameters(parameters): Parameters<ClassifyParameters>,
    request: Request,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let service = find(&registry, &caller, parameters.model.as_deref())?;
    let top_k = match parameters.top_k {
        Some(0) => {
            return Err(Problem::bad_parameter("top_k", "0 labels were asked for; at least 1 is accepted"));
        }
        Some(top_k) => top_k,
        None => usize::MAX,
    };
    check_frame(parameters.frame)?;
    let in_fhir = fhir::asked(request.headers());
    if in_fhir && service.manifest.outputs.is_some() {
        let detail = "a model of several labels at once or of a number answers as application/json";
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    let synthetic = parameters.allow_synthetic.unwrap_or(false);
    if in_fhir && synthetic {
        let detail = "with allow_synthetic=true the answer is application/json: FHIR's resources are about people, and such an image shows nobody";
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    let images = read(request, state.config.max_body_bytes).await?;
    let mut named: Vec<Option<Named>> = vec![None; images.len()];
    for (named, (_, bytes)) in
        named.iter_mut().zip(&images).filter(|(_, (format, _))| in_fhir && *format == Format::Dicom)
    {
        let read = head::read(bytes, names).await.flatten();
        *named = read.map(|named| named.of_frame(parameters.frame.unwrap_or(1)));
    }
    let read_as = ReadAs { frame: parameters.frame, synthetic };
    // FHIR's resources have no place for evidence.
    let explain = parameters.explain.unwrap_or(false) && !in_fhir;
    if explain && images.len() > MAX_EXPLAINED {
        let detail = format!("{} images came; at most {MAX_EXPLAINED} are explained at a time", images.len());
        return Err(Problem::bad_parameter("explain", detail));
    }
    let (results, timing) = if explain {
        let (explained, timing) = service.classify_with_evidence(images, read_as, top_k, deadline).await?;
        let result = |(outcome, evidence): (Outcome, Evidence)| ImageResult {
            evidence: Some(evidence.into()),
            ..ImageResult::new(&service.manifest, outcome)
        };
        (explained.into_iter().map(result).collect::<Vec<_>>(), timing)
    } else {
        let (outcomes, timing) = service.classify(images, read_as, top_k, deadline).await?;
        (outcomes.into_iter().map(|outcome| ImageResult::new(&service.manifest, outcome)).collect(), timing)
    };
    let answer = ImageAnswer {
        model: service.manifest.name.clone(),
        version: service.manifest.version.clone(),
        results,
    };
    let labels = answer.results.iter().map(ImageResult::audited);
    let answered = Answered::labels(&answer.model, &answer.version, labels)
        .resting_on(answer.results.iter().map(|result| rested_on(result.reason, &result.predictions)));
    if in_fhir {
        let manifest = &service.manifest;
        let results = answer.results.iter().zip(named).map(|(result, image)| {
            let ImageResult { label, reason, predictions, .. } = result;
            Classified { image, ..classified(manifest, label.as_deref(), *reason, predictions) }
        });
        let results: Vec<_> = results.collect();
        let bundle = fhir::made_by(&answer.model, &answer.version, |maker| {
            classifications(maker, "image", None, &results)
        });
        return Ok((Extension(answered), timed(&timing)?, fhir::resource(&bundle)).into_response());
    }
    Ok((Extension(answered), timed(&timing)?, Json(answer)).into_response())
}

/// Which image a DICOM file is and whose.
fn names(file: &[u8]) -> Option<Named> {
    let found = vision::attributes(file, &Named::wanted())?;
    Some(Named::read(|tag| found.get(&tag).cloned()))
}

/// Refuses frame 0.
pub(super) fn check_frame(frame: Option<u32>) -> Result<(), Problem> {
    match frame {
        Some(0) => Err(Problem::bad_parameter("frame", "frames are counted from 1")),
        _ => Ok(()),
    }
}

/// The model asked for, or the only one that reads images.
pub(super) fn find(
    registry: &Registry,
    caller: &Caller,
    name: Option<&str>,
) -> Result<Arc<ImageService>, Problem> {
    let image = |served: &Served| match served {
        Served::Image(service) => Some(service.clone()),
        _ => None,
    };
    find_model(registry, caller, name, Task::ImageClassification, image, |detail| {
        Problem::bad_parameter("model", detail)
    })
}

/// The images of a request, each with the format its first bytes show.
pub(super) async fn read(request: Request, max_body_bytes: usize) -> Result<Vec<(Format, Bytes)>, Problem> {
    let content_type = content_type(request.headers())?;
    if content_type.as_deref().is_some_and(|t| media_type(t).eq_ignore_ascii_case("multipart/form-data")) {
        let form =
            Multipart::from_request(request, &()).await.map_err(|e| Problem::bad_request(e.body_text()))?;
        return read_form(form, max_body_bytes).await;
    }
    let Whole(bytes) = Whole::from_request(request, &()).await?;
    Ok(vec![(format(content_type.as_deref(), &bytes, BODY)?, bytes)])
}

async fn read_form(mut form: Multipart, max_body_bytes: usize) -> Result<Vec<(Format, Bytes)>, Problem> {
    let failed = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(max_body_bytes),
        _ => Problem::bad_request(format!("the form cannot be read: {}", error.body_text())),
    };
    let mut images = Vec::new();
    let mut others = BTreeSet::new();
    let mut unread = None;
    while let Some(field) = form.next_field().await.map_err(failed)? {
        let name = field.name().unwrap_or_default();
        if name != "image" {
            // A file that nobody looks at would be missed among the results, whose places are those of the images.
            if field.file_name().is_some() {
                unread.get_or_insert_with(|| cut(name).to_string());
            }
            if others.len() < MOST_NAMED {
                others.insert(format!("\"{}\"", cut(name)));
            }
            continue;
        }
        if images.len() == MAX_IMAGES {
            return Err(Problem::bad_request(format!(
                "the form has more than {MAX_IMAGES} parts named \"image\""
            )));
        }
        // Many clients send files without saying what they are: that is not a contradiction.
        let content_type =
            field.content_type().filter(|t| media_type(t) != "application/octet-stream").map(str::to_string);
        let bytes = field.bytes().await.map_err(failed)?;
        let format = format(content_type.as_deref(), &bytes, &format!("image {}", images.len() + 1))?;
        images.push((format, bytes));
    }
    if images.is_empty() {
        let came = match others.is_empty() {
            true => "none at all".to_string(),
            false => others.into_iter().collect::<Vec<_>>().join(", "),
        };
        return Err(Problem::bad_request(format!(
            "the form has no part named \"image\"; its parts are named: {came}"
        )));
    }
    if let Some(name) = unread {
        let detail = format!(
            "the form has a file in a part named \"{name}\"; every image is in a part named \"image\""
        );
        return Err(Problem::bad_request(detail));
    }
    Ok(images)
}

/// What `bytes` are, which must be what `content_type` says if it says anything.
pub(super) fn format(content_type: Option<&str>, bytes: &[u8], place: &str) -> Result<Format, Problem> {
    if bytes.is_empty() {
        return Err(Problem::bad_request(format!("{place} is empty: send a PNG, JPEG or DICOM file")));
    }
    let claimed = match content_type {
        None => None,
        Some(text) => Some(Format::from_content_type(text).ok_or_else(|| {
            let detail =
                format!("{place} has the content type \"{}\"; {}", media_type(text), accepted(place));
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        })?),
    };
    let refuse = |detail: String| Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    match (claimed, Format::sniff(bytes)) {
        (None, Some(seen)) => Ok(seen),
        (Some(claimed), Some(seen)) if claimed == seen => Ok(seen),
        (Some(claimed), Some(seen)) => refuse(format!(
            "{place} is called {claimed}, but its first bytes are those of {seen}: say {}",
            seen.content_type()
        )),
        (Some(claimed), None) => {
            refuse(format!("{place} is called {claimed}, but its first bytes are not those of one"))
        }
        (None, None) => refuse(format!("{place} is not an image of a known kind; {}", accepted(place))),
    }
}

/// What may stand at a place: a part of a form is no form.
fn accepted(place: &str) -> &'static str {
    match place == BODY {
        true => {
            "accepted are image/png, image/jpeg, application/dicom and multipart/form-data with parts named \"image\""
        }
        false => "accepted are image/png, image/jpeg and application/dicom",
    }
}

fn content_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    // What curl sends with --data-binary where nobody said anything: no claim of any kind.
    const NO_CLAIM: [&str; 2] = ["application/x-www-form-urlencoded", "application/octet-stream"];
    match headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) if NO_CLAIM.iter().any(|kind| media_type(text).eq_ignore_ascii_case(kind)) => Ok(None),
        Some(Ok(text)) => Ok(Some(text.to_string())),
        Some(Err(_)) => Err(Problem::bad_request("the content type is not text")),
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than the {limit} bytes accepted"))
}

/// The image at a place in the request that could not be read.
pub(super) fn decode_problem(index: usize, error: &DecodeError) -> Problem {
    let status = match error {
        DecodeError::Empty => StatusCode::BAD_REQUEST,
        DecodeError::TooLarge { .. } | DecodeError::TooMuchMemory { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        DecodeError::UnsupportedTransferSyntax { .. } | DecodeError::Unsupported { .. } => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, format!("image {}: {error}", index + 1))
}

impl From<ImagesError> for Problem {
    fn from(error: ImagesError) -> Problem {
        match error {
            ImagesError::Decode { index, error } => decode_problem(index, &error),
            ImagesError::Synthetic { .. } => Problem::unprocessable(error.to_string()),
            ImagesError::Preprocess(error) => {
                tracing::error!(%error, "preprocessing failed");
                Problem::internal()
            }
            ImagesError::Likeness(error) => {
                tracing::error!(%error, "an image could not be compared with those of training");
                Problem::internal()
            }
            ImagesError::Ask(error) => error.into(),
        }
    }
}
