//! The end of a request's time.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::{Deadline, Problem};

/// Answers 504 where the request's deadline passes first; the handler is dropped, and with it its
/// place in the queue. The deadline itself goes with the work, which is not begun after it.
pub async fn layer<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let Some(Deadline(deadline)) = request.extensions().get().copied() else {
        return next(request).await;
    };
    match tokio::time::timeout_at(deadline.into(), next(request)).await {
        Ok(response) => response,
        Err(_) => passed().into_response(),
    }
}

/// The problem of a request whose time has passed.
pub fn passed() -> Problem {
    let detail = "the time limit of the request passed before it was answered";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
}
