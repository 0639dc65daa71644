//! Request ids: the client's own where it is sound, otherwise a new one; and the rendering of
//! problems, which name it.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rand::RngExt;

use crate::api::oip::error::OipError;
use crate::api::{Problem, fhir, oip};

/// The header that carries the id, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, in its extensions.
#[derive(Debug, Clone)]
pub struct RequestId(pub HeaderValue);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Gives the request its id, and the response too; renders problems.
pub async fn layer<F: Future<Output = Response>>(
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let id = match request.headers().get(HEADER).filter(|value| is_sound(value)) {
        Some(value) => RequestId(value.clone()),
        None => fresh(),
    };
    request.extensions_mut().insert(id.clone());
    let oip = oip::error::speaks(request.uri().path());
    let fhir = fhir::speaks(request.uri().path());
    let mut response = next(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        let status = problem.status;
        let (kind, body) = match oip {
            _ if fhir => {
                (clinical::fhir::MEDIA_TYPE, Json(fhir::outcome_of(problem, id.as_str())).into_response())
            }
            true => ("application/json", Json(OipError::from(problem)).into_response()),
            false => ("application/problem+json", Json(problem.document(id.as_str())).into_response()),
        };
        response = (status, body).into_response();
        let kept = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        response.headers_mut().extend(kept.filter(|(name, _)| name != header::CONTENT_LENGTH));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response.headers_mut().insert(HEADER, id.0);
    response
}

/// A client's id is kept if it cannot break a log line or an answer.
fn is_sound(value: &HeaderValue) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    (1..=128).contains(&value.len()) && value.as_bytes().iter().all(allowed)
}

fn fresh() -> RequestId {
    let text = format!("{:032x}", rand::rng().random::<u128>());
    // Hexadecimal digits always make a header value.
    RequestId(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown")))
}
