//! `POST /v1/images/explain`: what does the answer for this image rest on?

use std::time::Instant;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;
use utoipa::IntoParams;

use super::audit::Answered;
use super::classify::{Reason, outcome_rested_on, timed};
use super::extract::Parameters;
use super::identity::Caller;
use super::images::{ImageFile, ImageForm, ImageResult, check_frame, find, read};
use super::{AppState, Deadline, Problem};
use crate::inference::head;
use crate::inference::image::ReadAs;
use crate::inference::image::explain::ExplainError;
use vision::{DecodeOptions, Format};

/// The label whose evidence was drawn, in an answer's headers.
const LABEL: HeaderName = HeaderName::from_static("x-label");
/// Why the model abstains on it, if it does.
const REASON: HeaderName = HeaderName::from_static("x-reason");

/// Mebibytes of pictures that are drawn and written at once.
const PICTURES: u32 = 512;
/// Bytes that a picture takes for each pixel: as read, in colour and written.
const BYTES_PER_PIXEL: u64 = 8;

static ROOM: Semaphore = Semaphore::const_new(PICTURES as usize);

/// Parameters of an explanation.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainParameters {
    /// Name of the model; may be left out where only one fits.
    #[param(example = "pneumonia")]
    pub model: Option<String>,
    /// The label to find evidence for; default: the most probable one.
    #[param(example = "pneumonia")]
    pub label: Option<String>,
    /// Frame of a multi-frame DICOM file, from 1; default: the first.
    #[param(minimum = 1)]
    pub frame: Option<u32>,
}

/// Show what the answer for an image rests on
///
/// Parts of the picture are covered one after another, and what the answer loses is drawn over them: red speaks for the label, blue
/// against it. It is evidence of the answer and not the place of a finding. The header `x-label` says which label it is about, and `x-reason` is
/// there where no label is probable enough. A picture on which the model abstains for another reason is refused with 422.
#[utoipa::path(
    post,
    path = "/v1/images/explain",
    operation_id = "explain_image",
    tag = "images",
    params(ExplainParameters),
    request_body(content(
        (ImageFile = "image/png"), (ImageFile = "image/jpeg"), (ImageFile = "application/dicom"), (ImageForm = "multipart/form-data")
    )),
    responses(
        (status = 200, content((ImageFile = "image/png"))),
        (status = 404, description = "No such model; the names that exist"),
    )
)]
pub async fn explain(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Parameters(parameters): Parameters<ExplainParameters>,
    request: Request,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let service = find(&registry, &caller, parameters.model.as_deref())?;
    check_frame(parameters.frame)?;
    let mut images = read(request, state.config.max_body_bytes).await?;
    let (Some(image), true) = (images.pop(), images.is_empty()) else {
        return Err(Problem::bad_request("one image is explained at a time; several came"));
    };
    let turn = place(&image, parameters.frame, state.config.max_pixels, deadline).await?;
    let read_as = ReadAs { frame: parameters.frame, ..ReadAs::default() };
    let (explained, timing) = service.explain(image, read_as, parameters.label.as_deref(), deadline).await?;
    let manifest = &service.manifest;
    let reason = explained.outcome.reason.map(Reason::from);
    let grounds = std::iter::once(outcome_rested_on(&explained.outcome));
    let labels = std::iter::once(ImageResult::new(manifest, explained.outcome).audited());
    let answered = Answered::labels(&manifest.name, &manifest.version, labels).resting_on(grounds);
    let answered = Extension(answered);
    // A drawing has no place for "withheld": of a picture that the model does not read nothing may look like an answer.
    if let Some(reason) = reason.filter(|reason| *reason != Reason::LowConfidence) {
        let detail = format!("the answer is withheld ({}): {}", reason.code(), reason.words());
        return Ok((answered, Problem::unprocessable(detail)).into_response());
    }
    let picture = explained.picture;
    // Seconds of a core for a large one, which the async threads do not have.
    let written = tokio::task::spawn_blocking(move || vision::write::png(&picture)).await;
    let file = written.map_err(|_| Problem::internal())?.map_err(|error| {
        tracing::error!(%error, "a picture could not be written");
        Problem::internal()
    })?;
    drop(turn);
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))];
    let mut response = (StatusCode::OK, answered, timed(&timing)?, kind, file).into_response();
    // A label that no header can hold is in the request, or on the list of the model's.
    if let Ok(label) = HeaderValue::from_str(&explained.label) {
        response.headers_mut().insert(LABEL, label);
    }
    if let Some(reason) = reason {
        response.headers_mut().insert(REASON, HeaderValue::from_static(reason.code()));
    }
    Ok(response)
}

/// Room for the picture of an image until it is written: in colour it takes several times what the image
/// does, and it lives on after the image was decoded.
///
/// # Errors
/// There was none before the deadline.
async fn place(
    (format, bytes): &(Format, Bytes),
    frame: Option<u32>,
    max_pixels: u64,
    deadline: Instant,
) -> Result<SemaphorePermit<'static>, Problem> {
    let (format, options) = (*format, DecodeOptions { max_pixels, frame });
    let declared = head::read(bytes, move |bytes| vision::declared(format, bytes, &options)).await;
    let declared = declared.ok_or_else(Problem::internal)?;
    let pixels = |(width, height): (u64, u64)| width.saturating_mul(height);
    // Pixels that are not square become square ones, and no more of them than an image may have.
    let pixels = pixels(declared.square_size()).min(max_pixels).max(pixels(declared.size));
    let units = (pixels.saturating_mul(BYTES_PER_PIXEL) >> 20).clamp(1, u64::from(PICTURES)) as u32;
    match timeout_at(deadline.into(), ROOM.acquire_many(units)).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => {
            let detail = "the deadline passed before there was room for the picture";
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, detail))
        }
    }
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Problem {
        match error {
            ExplainError::UnknownLabel { .. } => Problem::bad_parameter("label", error.to_string()),
            ExplainError::Images(error) => error.into(),
            ExplainError::Drawing(_) => {
                tracing::error!(%error, "evidence could not be drawn");
                Problem::internal()
            }
        }
    }
}
