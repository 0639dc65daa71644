//! Extractors that refuse with problem documents.

use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::{Problem, fhir, json, query};

/// The query string as `T`.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(Problem::bad_request("the query string is not UTF-8 when decoded"));
        }
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Parameters(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(error)) => {
                let text = error.body_text();
                let said = text.rsplit("query string: ").next().unwrap_or(&text);
                let given: Vec<(String, String)> =
                    Query::try_from_uri(&parts.uri).map(|Query(given)| given).unwrap_or_default();
                Err(query::problem(&given, &T::into_params(|| None), said))
            }
            Err(error) => Err(Problem::bad_request(error.body_text())),
        }
    }
}

/// The identifier in the path, decoded.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path(parts, state).await.map(Id)
    }
}

/// The name and the version of a model in the path, decoded.
pub struct ModelVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ModelVersion {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path(parts, state).await.map(|(name, version)| ModelVersion { name, version })
    }
}

/// The name of a model and of a plot in the path, decoded.
pub struct ModelPlot {
    /// The model's name.
    pub name: String,
    /// The plot's file name.
    pub plot: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ModelPlot {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path(parts, state).await.map(|(name, plot)| ModelPlot { name, plot })
    }
}

/// The study and the series in the path, decoded.
pub struct SeriesOfStudy {
    /// The study's UID.
    pub study: String,
    /// The series'.
    pub series: String,
}

impl<S: Send + Sync> FromRequestParts<S> for SeriesOfStudy {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path(parts, state).await.map(|(study, series)| SeriesOfStudy { study, series })
    }
}

/// The study, the series and the instance in the path, decoded.
pub struct InstanceOfSeries {
    /// The study's UID.
    pub study: String,
    /// The series'.
    pub series: String,
    /// The instance's.
    pub instance: String,
}

impl<S: Send + Sync> FromRequestParts<S> for InstanceOfSeries {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path(parts, state).await.map(|(study, series, instance)| InstanceOfSeries { study, series, instance })
    }
}

async fn path<S: Send + Sync, T: DeserializeOwned + Send>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Problem> {
    match Path::<T>::from_request_parts(parts, state).await {
        Ok(Path(value)) => Ok(value),
        Err(PathRejection::FailedToDeserializePathParams(_)) => {
            Err(Problem::bad_request("the identifier in the path is not UTF-8 when decoded"))
        }
        Err(_) => Err(Problem::internal()),
    }
}

/// The whole body as it came.
pub struct Whole(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Whole).map_err(|error| match error {
            BytesRejection::FailedToBufferBody(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than is accepted")
            }
            _ => Problem::bad_request("the body did not arrive completely"),
        })
    }
}

/// A body that is called JSON, or called nothing, not yet read: see [`json::parse`].
pub struct Json(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        called_json(&request)?;
        let Whole(bytes) = Whole::from_request(request, state).await?;
        Ok(Json(bytes))
    }
}

/// A JSON body as `T`.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(bytes) = Json::from_request(request, state).await?;
        json::off_thread(bytes, |bytes| json::parse(bytes)).await.map(Body)
    }
}

/// 415 where the content type is another than JSON's.
fn called_json(request: &Request) -> Result<(), Problem> {
    let path = request.uri().path();
    let Some(content_type) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = media_type(content_type.to_str().unwrap_or_default());
    // What curl says on its own is no claim about the body.
    let json = essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json");
    if json || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(other_type(essence, path))
}

/// 415: a body of this content type, where it is another than the route takes.
pub fn other_type(essence: &str, path: &str) -> Problem {
    let accepted = match path {
        _ if fhir::speaks(path) => "application/fhir+json or application/json",
        _ if path.starts_with("/dicom-web/") => "multipart/related; type=\"application/dicom\"",
        _ => "application/json",
    };
    let detail = format!("the content type is \"{essence}\"; accepted is {accepted}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

/// A content type without its parameters.
pub fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// A stranger's name, short enough to be repeated in an answer.
pub fn cut(name: &str) -> String {
    name.chars().take(64).collect()
}
