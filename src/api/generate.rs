//! `POST /v1/images/generate`: pictures of a label that show nobody.
//!
//! What is answered looks like pictures of people, so each says that it was made: in its file and in its corner. The same request
//! with the same seed has the same bytes for an answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept;
use super::audit::Answered;
use super::classify::{find_model, timed};
use super::dicom_web::DICOM;
use super::error::FieldError;
use super::extract::{Body, Parameters, cut};
use super::identity::Caller;
use super::images::ImageFile;
use super::{AppState, Deadline, Problem};
use crate::inference::generate::{GenerateService, PicturesError, Wanted};
use crate::inference::registry::Served;
use clinical::dicom::{Drawing, Making};
use model::manifest::Task;
use vision::image::{Image, Samples};
use vision::synthetic::{self, Origin};

/// Most pictures of one request.
pub const MAX_PICTURES: usize = 64;

const PNG: &str = "image/png";

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Json,
    Png,
    Dicom,
}

/// There are no parameters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GenerateParameters {}

/// Pictures to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// Name of the model; may be left out where only one fits.
    #[schema(example = "blood-cells-generator")]
    pub model: Option<String>,
    /// What they are to show: one of the model's labels.
    #[schema(example = "platelet")]
    pub label: String,
    /// How many, 1 to 64; default: 1.
    #[schema(minimum = 1, maximum = 64, example = 4)]
    pub count: Option<u64>,
    /// The same seed makes the same pictures; default: another one each time, which the answer names.
    #[schema(example = 7)]
    pub seed: Option<u64>,
}

/// Pictures that were made.
#[derive(Debug, Serialize, ToSchema)]
pub struct GenerateAnswer {
    /// The model that made them.
    #[schema(example = "blood-cells-generator")]
    pub model: String,
    /// Its version.
    #[schema(example = "1")]
    pub version: String,
    /// What they show.
    #[schema(example = "platelet")]
    pub label: String,
    /// The seed that makes them again.
    #[schema(example = 7)]
    pub seed: u64,
    /// True: nobody is on them.
    pub synthetic: bool,
    /// In the order of their numbers.
    pub results: Vec<GeneratedPicture>,
}

/// A picture that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct GeneratedPicture {
    /// Its number among those of the seed, from 0.
    #[schema(example = 0)]
    pub number: usize,
    /// Rows of pixels.
    #[schema(example = 64)]
    pub height: u32,
    /// Columns of pixels.
    #[schema(example = 64)]
    pub width: u32,
    /// The PNG file, in base64. Its text chunks name model, version, label, seed and number, and say `synthetic`.
    pub png: String,
}

/// Make pictures of a label
///
/// For teaching and for trying software, and to have more examples of what is rare. Each picture is marked as synthetic, in its file
/// and in its lower right corner, and the classifiers refuse it unless asked not to. With a count of 1 and `accept: image/png` the answer
/// is the PNG file itself, with `accept: application/dicom` a DICOM file: a Secondary Capture of nobody, whose attribute Synthetic Data
/// (0008,001C) is YES.
#[utoipa::path(
    post,
    path = "/v1/images/generate",
    operation_id = "generate_images",
    tag = "images",
    params(GenerateParameters),
    request_body(
        content = GenerateRequest,
        example = json!({"model": "blood-cells-generator", "label": "platelet", "count": 4, "seed": 7}),
    ),
    responses(
        (status = 200, content((GenerateAnswer = "application/json"), (ImageFile = "image/png"), (ImageFile = "application/dicom"))),
        (status = 404, description = "No such model; the names that exist"),
        (status = 406, description = "A file is asked for of several pictures"),
    )
)]
pub async fn generate(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Parameters(GenerateParameters {}): Parameters<GenerateParameters>,
    headers: HeaderMap,
    Body(request): Body<GenerateRequest>,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let makes = |served: &Served| match served {
        Served::Generate(service) => Some(service.clone()),
        _ => None,
    };
    let refuse = |detail| Problem::bad_member("/model", detail);
    let service: Arc<GenerateService> =
        find_model(&registry, &caller, request.model.as_deref(), Task::ImageGeneration, makes, refuse)?;
    let wanted = wanted(&request, &service.manifest.labels)?;
    let kinds = [("application/json", Form::Json), (PNG, Form::Png), (DICOM, Form::Dicom)];
    let form = accept::best(&accept::ranges(&headers), &kinds).unwrap_or(Form::Json);
    if form != Form::Json && wanted.count != 1 {
        let detail =
            format!("a file is of one picture; {} were asked for. Ask for application/json", wanted.count);
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    let (mut pictures, timing) = service.generate(wanted, deadline).await?;
    let (model, version, label) =
        (&service.manifest.name, &service.manifest.version, &service.manifest.labels[wanted.label]);
    let png = |picture: Image, number: usize| {
        let origin = Origin { model, version, label, seed: wanted.seed, number };
        synthetic::png(picture, &origin, false).map_err(|error| {
            tracing::error!(%error, "a picture could not be written");
            Problem::internal()
        })
    };
    let answered = Answered::labels(model, version, pictures.iter().map(|_| Some(label.clone())));
    if form != Form::Json
        && let Some(only) = pictures.pop()
    {
        let (kind, file) = match form {
            Form::Dicom => {
                let program = env!("CARGO_PKG_VERSION");
                let making = Making { program, model, version, label, seed: wanted.seed, number: 0 };
                (DICOM, clinical::dicom::synthetic(&making, drawing(synthetic::marked(only))?).file())
            }
            _ => (PNG, png(only, 0)?),
        };
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
        return Ok((Extension(answered), timed(&timing)?, [kind], file).into_response());
    }
    let mut results = Vec::with_capacity(pictures.len());
    for (number, picture) in pictures.into_iter().enumerate() {
        let (height, width) = (picture.height(), picture.width());
        results.push(GeneratedPicture { number, height, width, png: STANDARD.encode(png(picture, number)?) });
    }
    let answer = GenerateAnswer {
        model: model.clone(),
        version: version.clone(),
        label: label.clone(),
        seed: wanted.seed,
        synthetic: true,
        results,
    };
    Ok((Extension(answered), timed(&timing)?, Json(answer)).into_response())
}

/// A picture in red, green and blue.
fn drawing(picture: Image) -> Result<Drawing, Problem> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = match picture.into_samples() {
        Samples::Rgb8(pixels) => pixels,
        Samples::Gray8(pixels) => pixels.into_iter().flat_map(|value| [value; 3]).collect(),
        Samples::Gray16(_) | Samples::Rgb16(_) => {
            tracing::error!("a picture of 16 bits was made, which no model here makes");
            return Err(Problem::internal());
        }
    };
    Ok(Drawing { width, height, pixels })
}

/// What is asked for, everything wrong with it said at once.
fn wanted(request: &GenerateRequest, labels: &[String]) -> Result<Wanted, Problem> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, detail: String| {
        errors.push(FieldError { pointer: pointer.to_string(), detail });
    };
    let label = labels.iter().position(|label| *label == request.label);
    if label.is_none() {
        wrong(
            "/label",
            format!("there is no label \"{}\"; there are {}", cut(&request.label), labels.join(", ")),
        );
    }
    let count = request.count.unwrap_or(1);
    if !(1..=MAX_PICTURES as u64).contains(&count) {
        wrong(
            "/count",
            format!("{count} pictures were asked for; 1 to {MAX_PICTURES} are made in one request"),
        );
    }
    match label {
        Some(label) if errors.is_empty() => {
            // Of 32 bits, which every client's numbers hold.
            let seed = request.seed.unwrap_or_else(|| rand::random::<u32>().into());
            Ok(Wanted { label, count: count as usize, seed })
        }
        _ => {
            let detail = errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; ");
            Err(Problem { errors, ..Problem::unprocessable(detail) })
        }
    }
}

impl From<PicturesError> for Problem {
    fn from(error: PicturesError) -> Problem {
        match error {
            PicturesError::Ask(error) => error.into(),
            PicturesError::Generate(error) => {
                tracing::error!(%error, "a picture could not be made");
                Problem::internal()
            }
        }
    }
}
