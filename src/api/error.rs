//! Errors as RFC 9457 problem documents, written for the person who gets them.
//!
//! A handler returns a [`Problem`]; the middleware renders it, so that every error, from a
//! handler, an extractor, a time-out or a panic, has one shape and names its request.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Parts of a request that do not fit of which an answer tells; further ones are not looked for.
pub const MAX_ERRORS: usize = 100;

/// One part of a request that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a JSON pointer into the body, or the name of a query parameter.
    #[schema(example = "/records/0/fields/spo2")]
    pub pointer: String,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

/// A problem document, as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// Names the kind of problem: `urn:medserve:problem:<kind>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:medserve:problem:unsupported-media-type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, where, and what is accepted.
    pub detail: String,
    /// The request's id, as in the header `x-request-id` and in the logs.
    pub request_id: String,
    /// The parts of the request that do not fit, if the problem is in parts of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What was wrong.
    pub detail: String,
    /// Parts of the request that do not fit.
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), errors: Vec::new() }
    }

    /// 400: the request is not understood.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400 about one query parameter.
    pub fn bad_parameter(name: &str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        let errors = vec![FieldError { pointer: name.to_string(), detail: detail.clone() }];
        Problem { errors, ..Problem::bad_request(format!("the query parameter \"{name}\": {detail}")) }
    }

    /// 400: a member of the body, named by its JSON pointer, has no value that is accepted.
    pub fn bad_member(pointer: &str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        let errors = vec![FieldError { pointer: pointer.to_string(), detail: detail.clone() }];
        Problem { errors, ..Problem::bad_request(format!("{pointer}: {detail}")) }
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// 422: understood, but it cannot be.
    pub fn unprocessable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// 500: the server's own fault, told without its inside.
    pub fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server failed; its log says more under this request id",
        )
    }

    /// The document for a request.
    pub fn document(mut self, request_id: &str) -> ProblemDocument {
        let more = self.errors.len().saturating_sub(MAX_ERRORS);
        if more > 0 {
            self.errors.truncate(MAX_ERRORS);
            let detail = format!("and {more} more or as many as were looked for");
            self.errors.push(FieldError { pointer: String::new(), detail });
        }
        let title = self.status.canonical_reason().unwrap_or("Error").to_string();
        ProblemDocument {
            kind: format!("urn:medserve:problem:{}", title.to_lowercase().replace(' ', "-")),
            title,
            status: self.status.as_u16(),
            detail: self.detail,
            request_id: request_id.to_string(),
            errors: self.errors,
        }
    }
}

impl IntoResponse for Problem {
    /// A response without a body that carries the problem; the middleware writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
