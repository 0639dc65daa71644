//! A row of the audit for every answer to a known caller.

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};

use super::intake::Received;
use super::request_id::RequestId;
use crate::api::audit::Answered;
use crate::api::identity::Caller;
use crate::api::{AppState, Problem};
use crate::store::AuditRow;
use recommend::clock::now;

/// Sees to the row. Where answers wait for theirs and it cannot be written, the answer is 503.
pub async fn layer<F: Future<Output = Response>>(
    state: &AppState,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let extensions = request.extensions();
    let (Some(received), Some(caller)) = (extensions.get::<Received>(), extensions.get::<Caller>()) else {
        return next(request).await;
    };
    if state.audit.check().is_err() {
        return not_written();
    }
    let (received, caller) = (*received, caller.name.clone());
    let method = request.method().to_string();
    let route = extensions.get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_string());
    let request_id = extensions.get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_string());
    let mut response = next(request).await;
    let answered = response.extensions_mut().remove::<Answered>().unwrap_or_default();
    let row = AuditRow {
        run: 0,
        sequence: 0,
        time: now(),
        request_id,
        caller,
        method,
        route,
        status: response.status().as_u16(),
        model: answered.model,
        version: answered.version,
        input_sha256: hex::encode(received.sha256),
        answers: answered.answers,
        abstained: answered.abstained,
        latency_ms: received.at.elapsed().as_secs_f64() * 1e3,
    };
    match state.audit.record(row).await {
        Ok(()) => response,
        Err(_) => not_written(),
    }
}

fn not_written() -> Response {
    let detail = "the audit cannot be written, and answers wait for it; a write that was requested may have been carried out";
    Problem::unavailable(detail).into_response()
}
