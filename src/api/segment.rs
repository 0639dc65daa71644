//! `POST /v1/images/segment`: where on this image is what?
//!
//! The bodies are those of a classification. The answer is JSON with a mask for each label in COCO's run lengths, or, where the
//! client accepts `image/png`, one picture whose pixels are the numbers themselves, or with `application/dicom`, of a
//! DICOM image, a DICOM Segmentation in the image's study.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clinical::dicom::{Mask, Source, segmentation};
use model::Manifest;
use model::manifest::Task;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept;
use super::audit::Answered;
use super::classify::{Reason, find_model, timed};
use super::extract::Parameters;
use super::identity::Caller;
use super::images::{ImageFile, ImageForm, check_frame, decode_problem, read};
use super::{AppState, Deadline, Problem};
use crate::dicom_net::answers;
use crate::inference::head;
use crate::inference::registry::{Registry, Served};
use crate::inference::segment::{Outlined, SegmentService, SegmentsError};
use crate::store::audit::evidence::ResultEvidence;
use vision::segment::{Regions, SegmentError, rle};
use vision::write::png;
use vision::{Format, Image, Samples, ShapeError};

/// Parameters of a segmentation.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SegmentParameters {
    /// Name of the model; may be left out where only one fits.
    #[param(example = "nuclei")]
    pub model: Option<String>,
    /// Frame of a multi-frame DICOM file, from 1; default: the first.
    #[param(minimum = 1)]
    pub frame: Option<u32>,
}

/// The regions on the images of a request, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct SegmentAnswer {
    /// The model that answered.
    #[schema(example = "nuclei")]
    pub model: String,
    /// Its version.
    #[schema(example = "1")]
    pub version: String,
    /// One answer an image.
    pub results: Vec<SegmentResult>,
}

/// The regions on one image.
#[derive(Debug, Serialize, ToSchema)]
pub struct SegmentResult {
    /// Rows of the image.
    #[schema(example = 256)]
    pub height: usize,
    /// Columns of the image.
    #[schema(example = 320)]
    pub width: usize,
    /// True where the model is not sure enough, or the image is unlike its training: then there are no regions.
    pub abstained: bool,
    /// Of an abstention: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// One a label that is on the image, in the order of the model's labels.
    pub regions: Vec<Region>,
}

/// Where a label is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Region {
    /// The label.
    #[schema(example = "nucleus")]
    pub label: String,
    /// Pixels that have it.
    #[schema(example = 5120)]
    pub pixels: usize,
    /// Their share of the image.
    #[schema(example = 0.0625)]
    pub fraction: f64,
    /// Objects, of a model that tells them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 31)]
    pub objects: Option<u32>,
    /// The mask, as COCO writes it.
    pub rle: Rle,
}

/// A mask in COCO's compressed run lengths: `pycocotools.mask.decode` reads it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rle {
    /// Rows and columns.
    pub size: [usize; 2],
    /// The lengths, down the columns, as text.
    pub counts: String,
}

/// Outline what is on one image, or on several
///
/// With `accept: image/png`, and one image, the answer is a mask of the image's size: class numbers in 8 bits, of a
/// model that tells objects apart object numbers in 16 bits, 0 background. With `accept: application/dicom`, and one DICOM
/// image, it is a DICOM Segmentation of the labels. The response header `server-timing` says where the time went.
#[utoipa::path(
    post,
    path = "/v1/images/segment",
    operation_id = "segment_images",
    tag = "images",
    params(SegmentParameters),
    request_body(content(
        (ImageFile = "image/png"), (ImageFile = "image/jpeg"), (ImageFile = "application/dicom"), (ImageForm = "multipart/form-data")
    )),
    responses(
        (status = 200, content((SegmentAnswer = "application/json"), (ImageFile = "image/png"), (ImageFile = "application/dicom"))),
        (status = 404, description = "No such model; the names that exist"),
        (status = 406, description = "No form of an answer is accepted, a mask is asked for of several images, or a Segmentation of what is no DICOM image"),
    )
)]
pub async fn segment(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Parameters(parameters): Parameters<SegmentParameters>,
    request: Request,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let service = find(&registry, &caller, parameters.model.as_deref())?;
    check_frame(parameters.frame)?;
    let wanted = wanted(request.headers())?;
    let images = read(request, state.config.max_body_bytes).await?;
    if wanted != Wanted::Json && images.len() != 1 {
        let detail = format!("a mask is of one image; {} came. Ask for application/json", images.len());
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    let source = match wanted {
        Wanted::Dicom => Some(source(&images[0], parameters.frame).await?),
        _ => None,
    };
    let (mut outlined, timing) = service.segment(images, parameters.frame, deadline).await?;
    let manifest = &service.manifest;
    let labels = outlined.iter().map(|one| one.regions.is_ok().then(|| "regions".to_string()));
    let reason = |one: &Outlined| one.regions.as_ref().err().map(|reason| Reason::from(*reason).code());
    let grounds = outlined.iter().map(|one| ResultEvidence::new(reason(one), std::iter::empty()));
    let answered = Answered::labels(&manifest.name, &manifest.version, labels).resting_on(grounds);
    let answered = Extension(answered);
    if wanted == Wanted::Mask
        && let Some(only) = outlined.pop()
    {
        let regions = match only.regions {
            Ok(regions) => regions,
            Err(reason) => return Ok((answered, unsaid(reason, "a mask")).into_response()),
        };
        let file = mask(regions).map_err(|error| error.to_string());
        let file = file.and_then(|mask| png(&mask).map_err(|error| error.to_string()));
        let png = file.map_err(|error| {
            tracing::error!(error, "a mask could not be written");
            Problem::internal()
        })?;
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
        return Ok((answered, timed(&timing)?, [kind], png).into_response());
    }
    if let (Some(source), Some(only)) = (source, outlined.first()) {
        let regions = match &only.regions {
            Ok(regions) => regions,
            Err(reason) => return Ok((answered, unsaid(*reason, "a Segmentation")).into_response()),
        };
        let file = in_dicom(manifest, &source, regions);
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/dicom"));
        return Ok((answered, timed(&timing)?, [kind], file).into_response());
    }
    let results = outlined.iter().map(|one| result(one, &manifest.labels)).collect();
    let answer = SegmentAnswer { model: manifest.name.clone(), version: manifest.version.clone(), results };
    Ok((answered, timed(&timing)?, Json(answer)).into_response())
}

/// The model asked for, or the only one that outlines regions.
fn find(registry: &Registry, caller: &Caller, name: Option<&str>) -> Result<Arc<SegmentService>, Problem> {
    let outlines = |served: &Served| match served {
        Served::Segment(service) => Some(service.clone()),
        _ => None,
    };
    find_model(registry, caller, name, Task::ImageSegmentation, outlines, |detail| {
        Problem::bad_parameter("model", detail)
    })
}

/// The DICOM image that a Segmentation is to be of.
async fn source((format, bytes): &(Format, Bytes), frame: Option<u32>) -> Result<Source, Problem> {
    if *format != Format::Dicom {
        let detail =
            format!("a DICOM Segmentation is of a DICOM image; this is {format}. Ask for application/json");
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    let source = head::read(bytes, answers::source).await.ok_or_else(Problem::internal)?;
    let source = source.map_err(|error| Problem::unprocessable(format!("image 1: {error}")))?;
    Ok(source.of_frame(frame.unwrap_or(1)))
}

/// Refuses a picture that gets no regions, in a form that cannot say so.
fn unsaid(reason: crate::inference::Reason, form: &str) -> Problem {
    let words = Reason::from(reason).words();
    Problem::unprocessable(format!("{words}, and {form} cannot say so: ask for application/json"))
}

/// The regions as a DICOM Segmentation.
fn in_dicom(manifest: &Manifest, source: &Source, regions: &Regions) -> Vec<u8> {
    let Regions { width, height, labels, .. } = regions;
    let mask = Mask { width: *width, height: *height, labels, names: &manifest.labels };
    segmentation(&answers::maker(manifest), source, &mask).file()
}

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Json,
    Mask,
    Dicom,
}

/// What the client accepts.
fn wanted(headers: &HeaderMap) -> Result<Wanted, Problem> {
    let kinds = [
        ("application/json", Wanted::Json),
        ("image/png", Wanted::Mask),
        ("application/dicom", Wanted::Dicom),
    ];
    accept::best(&accept::ranges(headers), &kinds).ok_or_else(|| {
        let detail = "regions are answered as application/json, image/png or application/dicom";
        Problem::new(StatusCode::NOT_ACCEPTABLE, detail)
    })
}

fn result(outlined: &Outlined, labels: &[String]) -> SegmentResult {
    let Outlined { height, width, ref regions } = *outlined;
    let (regions, reason) = match regions {
        Ok(regions) => (found(regions, labels), None),
        Err(reason) => (Vec::new(), Some(Reason::from(*reason))),
    };
    SegmentResult { height, width, abstained: reason.is_some(), reason, regions }
}

fn found(regions: &Regions, labels: &[String]) -> Vec<Region> {
    let (height, width) = (regions.height, regions.width);
    let region = |(number, label): (usize, &String)| {
        let number = number as u8;
        let pixels = regions.labels.iter().filter(|own| **own == number).count();
        let runs = || rle::runs(height, width, |row, column| regions.labels[row * width + column] == number);
        (pixels > 0).then(|| Region {
            label: label.clone(),
            pixels,
            fraction: pixels as f64 / (height * width) as f64,
            objects: regions.objects.as_ref().map(|objects| objects.iter().copied().max().unwrap_or(0)),
            rle: Rle { size: [height, width], counts: rle::text(&runs()) },
        })
    };
    labels.iter().enumerate().skip(1).filter_map(region).collect()
}

/// A mask as a picture: object numbers in 16 bits where there are any, otherwise label numbers in 8.
fn mask(regions: Regions) -> Result<Image, ShapeError> {
    let samples = match regions.objects {
        Some(objects) => {
            let number = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
            Samples::Gray16(objects.into_iter().map(number).collect())
        }
        None => Samples::Gray8(regions.labels),
    };
    Image::new(regions.width as u32, regions.height as u32, samples)
}

impl From<SegmentsError> for Problem {
    fn from(error: SegmentsError) -> Problem {
        match error {
            SegmentsError::Decode { index, error } => decode_problem(index, &error),
            SegmentsError::Synthetic { .. } => Problem::unprocessable(error.to_string()),
            SegmentsError::Segment { error: SegmentError::TooLarge { .. }, .. } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            SegmentsError::Segment { error, .. } => {
                tracing::error!(%error, "a picture could not be segmented");
                Problem::internal()
            }
            SegmentsError::Ask(error) => error.into(),
        }
    }
}
