//! A deadline for every request, carried into the queue.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::{AppState, Deadline, Problem};

/// Answers 504 where the configured time passes first; the handler is dropped, and with it its
/// place in the queue.
pub async fn layer(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let limit = state.config.request_timeout;
    request.extensions_mut().insert(Deadline(Instant::now() + limit));
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!(
                "no answer within {} ms, which counts the time the body took to arrive",
                limit.as_millis()
            );
            Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
        }
    }
}
