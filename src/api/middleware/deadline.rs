//! The end of a request's time.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::{Deadline, Problem};

/// Answers 504 where the request's deadline passes first; the handler is dropped, and with it its
/// place in the queue. The deadline itself goes with the work, which is not begun after it.
pub async fn layer(request: Request, next: Next) -> Response {
    let Some(Deadline(deadline)) = request.extensions().get().copied() else {
        return next.run(request).await;
    };
    match tokio::time::timeout_at(deadline.into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => passed().into_response(),
    }
}

/// The problem of a request whose time has passed.
pub fn passed() -> Problem {
    let detail = "the time given to the request passed before there was an answer";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
}
