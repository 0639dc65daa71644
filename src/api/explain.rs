//! `POST /v1/images/explain`: what does the answer for this image rest on?

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::audit::Answered;
use super::classify::timed;
use super::extract::Parameters;
use super::images::{ImageFile, ImageForm, check_frame, find, read};
use super::{AppState, Deadline, Problem};
use crate::inference::image::ReadAs;
use crate::inference::image::explain::ExplainError;

/// The label whose evidence was drawn, in an answer's headers.
const LABEL: HeaderName = HeaderName::from_static("x-label");

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
/// against it. It is evidence of the answer and not the place of a finding. The header `x-label` says which label it is about.
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
    Parameters(parameters): Parameters<ExplainParameters>,
    request: Request,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let service = find(&registry, parameters.model.as_deref())?;
    check_frame(parameters.frame)?;
    let mut images = read(request, state.config.max_body_bytes).await?;
    let (Some(image), true) = (images.pop(), images.is_empty()) else {
        return Err(Problem::bad_request("one image is explained at a time; several came"));
    };
    let read_as = ReadAs { frame: parameters.frame, ..ReadAs::default() };
    let (explained, timing) = service.explain(image, read_as, parameters.label.as_deref(), deadline).await?;
    let file = vision::write::png(&explained.picture).map_err(|error| {
        tracing::error!(%error, "a picture could not be written");
        Problem::internal()
    })?;
    let manifest = &service.manifest;
    let labels = std::iter::once(explained.outcome.label.clone());
    let answered = Extension(Answered::labels(&manifest.name, &manifest.version, labels));
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))];
    let mut response = (StatusCode::OK, answered, timed(&timing)?, kind, file).into_response();
    // A label that no header can hold is in the request, or on the list of the model's.
    if let Ok(label) = HeaderValue::from_str(&explained.label) {
        response.headers_mut().insert(LABEL, label);
    }
    Ok(response)
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
