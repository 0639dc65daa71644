//! `GET /dicom-web/studies/{study}` and below: WADO-RS (PS3.18 section 10.4) of what was made of images. The images
//! themselves are not here.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;

use super::{DICOM, JSON, content_type, forms, in_json, of_instance, of_series, of_study};
use crate::api::extract::{Id, InstanceOfSeries, SeriesOfStudy};
use crate::api::middleware::audit::Concerned;
use crate::api::{AppState, Problem};
use crate::dicom_net::stow::boundary;
use crate::store::Store;
use crate::store::dicom::{DicomResult, ResultQuery};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most instances of one answer.
const MOST: u32 = 10_000;

/// Retrieve what was made of a study's images
///
/// As `multipart/related` of DICOM files.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}",
    operation_id = "retrieve_study",
    tag = "DICOM",
    params(("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1")),
    responses(
        (status = 200, description = "DICOM files", content((String = "multipart/related"))),
        (status = 406, description = "The client accepts no DICOM"),
    )
)]
pub async fn study(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    Id(study): Id,
) -> Result<Response, Problem> {
    files(&state, &concerned, &headers, of_study(&study)?).await
}

/// Retrieve what was made in one series
///
/// As `multipart/related` of DICOM files.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/series/{series}",
    operation_id = "retrieve_series",
    tag = "DICOM",
    params(
        ("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1"),
        ("series" = String, Path, description = "Series Instance UID", example = "2.25.1"),
    ),
    responses(
        (status = 200, description = "DICOM files", content((String = "multipart/related"))),
        (status = 406, description = "The client accepts no DICOM"),
    )
)]
pub async fn series(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    SeriesOfStudy { study, series }: SeriesOfStudy,
) -> Result<Response, Problem> {
    let query = of_series(&study, &series)?;
    files(&state, &concerned, &headers, query).await
}

/// Retrieve one result
///
/// As `multipart/related` of one DICOM file, or with `accept: application/dicom` as the file alone.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}",
    operation_id = "retrieve_instance",
    tag = "DICOM",
    params(
        ("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1"),
        ("series" = String, Path, description = "Series Instance UID", example = "2.25.1"),
        ("instance" = String, Path, description = "SOP Instance UID", example = "2.25.2"),
    ),
    responses(
        (status = 200, description = "A DICOM file", content((String = "multipart/related"), (String = "application/dicom"))),
        (status = 406, description = "The client accepts no DICOM"),
    )
)]
pub async fn instance(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    InstanceOfSeries { study, series, instance }: InstanceOfSeries,
) -> Result<Response, Problem> {
    let query = of_instance(&study, &series, &instance)?;
    if forms(&headers).alone {
        let found = list(&state, &concerned, query).await?;
        let store = state.people()?.store.clone();
        let file = file_of(&store, &found[0].sop_instance).await.map_err(|_| Problem::internal())?;
        return Ok((content_type(DICOM), file).into_response());
    }
    files(&state, &concerned, &headers, query).await
}

/// Retrieve the attributes of what was made of a study's images
///
/// As DICOM's JSON, without pixels.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/metadata",
    operation_id = "retrieve_metadata",
    tag = "DICOM",
    params(("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1")),
    responses(
        (status = 200, description = "One object an instance", content((Vec<Object> = "application/dicom+json"))),
        (status = 406, description = "The client accepts no JSON"),
    )
)]
pub async fn metadata(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    Id(study): Id,
) -> Result<Response, Problem> {
    attributes(&state, &concerned, &headers, of_study(&study)?).await
}

/// Retrieve the attributes of what was made in one series
///
/// As DICOM's JSON, without pixels.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/series/{series}/metadata",
    operation_id = "retrieve_series_metadata",
    tag = "DICOM",
    params(
        ("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1"),
        ("series" = String, Path, description = "Series Instance UID", example = "2.25.1"),
    ),
    responses(
        (status = 200, description = "One object an instance", content((Vec<Object> = "application/dicom+json"))),
        (status = 406, description = "The client accepts no JSON"),
    )
)]
pub async fn series_metadata(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    SeriesOfStudy { study, series }: SeriesOfStudy,
) -> Result<Response, Problem> {
    let query = of_series(&study, &series)?;
    attributes(&state, &concerned, &headers, query).await
}

/// Retrieve the attributes of one result
///
/// As DICOM's JSON, without pixels.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata",
    operation_id = "retrieve_instance_metadata",
    tag = "DICOM",
    params(
        ("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1"),
        ("series" = String, Path, description = "Series Instance UID", example = "2.25.1"),
        ("instance" = String, Path, description = "SOP Instance UID", example = "2.25.2"),
    ),
    responses(
        (status = 200, description = "One object", content((Vec<Object> = "application/dicom+json"))),
        (status = 406, description = "The client accepts no JSON"),
    )
)]
pub async fn instance_metadata(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    InstanceOfSeries { study, series, instance }: InstanceOfSeries,
) -> Result<Response, Problem> {
    let query = of_instance(&study, &series, &instance)?;
    attributes(&state, &concerned, &headers, query).await
}

async fn attributes(
    state: &AppState,
    concerned: &Concerned,
    headers: &HeaderMap,
    query: ResultQuery,
) -> Result<Response, Problem> {
    in_json(headers)?;
    let found = list(state, concerned, query).await?;
    let all: Vec<&str> = found.iter().map(|result| result.metadata.as_str()).collect();
    Ok((content_type(JSON), format!("[{}]", all.join(","))).into_response())
}

/// The people of results, each once, for the row of the audit.
pub(super) fn patients(results: &[DicomResult]) -> BTreeSet<String> {
    results.iter().map(|result| result.patient.clone()).filter(|id| !id.is_empty()).collect()
}

/// What fits, which is something.
async fn list(
    state: &AppState,
    concerned: &Concerned,
    query: ResultQuery,
) -> Result<Vec<DicomResult>, Problem> {
    let found = state.people()?.store.list_dicom(&ResultQuery { limit: MOST, ..query }).await?;
    concerned.add(patients(&found));
    match found.is_empty() {
        true => Err(Problem::not_found("nothing was made here that has these UIDs, or its time has passed")),
        false => Ok(found),
    }
}

async fn file_of(store: &Arc<dyn Store>, sop_instance: &str) -> Result<Bytes, std::io::Error> {
    let gone = || std::io::Error::other("a result went while it was sent");
    let found = store.get_dicom(sop_instance).await.map_err(std::io::Error::other)?;
    Ok(found.ok_or_else(gone)?.file)
}

/// The files one after another; no more than one is in memory.
async fn files(
    state: &AppState,
    concerned: &Concerned,
    headers: &HeaderMap,
    query: ResultQuery,
) -> Result<Response, Problem> {
    if !forms(headers).parts {
        let detail = "results are sent as multipart/related; type=\"application/dicom\"";
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    let found = list(state, concerned, query).await?;
    let store = state.people()?.store.clone();
    let uids = found.into_iter().map(|result| result.sop_instance).map(Some).chain([None]);
    let boundary = boundary();
    let kind = format!("multipart/related; type=\"{DICOM}\"; boundary={boundary}");
    let part = move |uid: Option<String>| {
        let (store, boundary) = (store.clone(), boundary.clone());
        async move {
            let Some(uid) = uid else { return Ok(Bytes::from(format!("--{boundary}--\r\n"))) };
            let file = file_of(&store, &uid).await?;
            let head = format!("--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n");
            Ok::<_, std::io::Error>([head.as_bytes(), &file, b"\r\n"].concat().into())
        }
    };
    let body = Body::from_stream(futures::StreamExt::then(stream::iter(uids), part));
    let kind = HeaderValue::from_str(&kind).map_err(|_| Problem::internal())?;
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}
