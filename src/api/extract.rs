//! Extractors that refuse with problem documents.

use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::Problem;
use super::error::FieldError;

/// The query string as `T`.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Parameters(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(error)) => {
                Err(Problem::bad_request(format!("the query string: {}", error.body_text())))
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
            _ => Problem::bad_request("the body did not arrive whole"),
        })
    }
}

/// A JSON body as `T`. What is no JSON is a 400; what is JSON of another shape a 422 that points
/// to the place.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if let Some(content_type) = request.headers().get(header::CONTENT_TYPE) {
            let text = content_type.to_str().unwrap_or_default();
            let essence = text.split(';').next().unwrap_or_default().trim();
            // What curl says on its own is no claim about the body.
            let json = essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json");
            if !json && !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                let detail = format!("the content type is \"{essence}\"; application/json is accepted");
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
            }
        }
        let Whole(bytes) = Whole::from_request(request, state).await?;
        parse(&bytes).map(Body)
    }
}

/// Reads JSON, telling what is not JSON from what does not fit.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Problem::bad_request("the body is not UTF-8"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inner = error.inner();
        match inner.classify() {
            Category::Data => {
                let detail = without_place(&inner.to_string());
                let errors = vec![FieldError { pointer: pointer(error.path()), detail }];
                Problem {
                    errors,
                    ..Problem::unprocessable("the body does not have the shape that is asked for")
                }
            }
            _ => Problem::bad_request(format!("the body is not JSON: {inner}")),
        }
    })?;
    deserializer.end().map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// A stranger's name, short enough to be repeated in an answer.
pub fn cut(name: &str) -> String {
    name.chars().take(64).collect()
}

/// The JSON pointer (RFC 6901) of a path.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}

/// Serde's message without its "at line 1 column 2", and with no more of a value than says what
/// kind it was: the value may be a note.
fn without_place(message: &str) -> String {
    let text = message.split(" at line ").next().unwrap_or(message);
    match (text.find("string \""), text.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => format!("{}a string{}", &text[..start], &text[end + 1..]),
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Row {
        #[allow(dead_code)]
        age: u8,
    }

    #[test]
    fn the_place_is_a_pointer_and_the_value_is_not_repeated() {
        let problem = parse::<Vec<Row>>(br#"[{"age": 3}, {"age": "a secret"}]"#).unwrap_err();
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem.errors[0].pointer, "/1/age");
        assert!(!problem.errors[0].detail.contains("secret"), "{}", problem.errors[0].detail);
        assert!(problem.errors[0].detail.contains("expected u8"));
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        for bad in [&b"["[..], b"[] []", b"\xff", b"", "[".repeat(100_000).as_bytes()] {
            assert_eq!(parse::<serde_json::Value>(bad).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
    }
}
