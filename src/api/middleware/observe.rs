//! A log line and metrics for every request, by route and never by path: a path names people.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

use super::request_id::RequestId;

/// Measures and logs.
pub async fn layer(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route =
        request.extensions().get::<MatchedPath>().map_or("unmatched", |path| path.as_str()).to_string();
    let id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    let elapsed = start.elapsed();
    let status = response.status().as_u16();
    metrics::counter!("medserve_requests_total", "method" => method.to_string(), "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("medserve_request_seconds", "route" => route.clone()).record(elapsed.as_secs_f64());
    let request_id = id.as_ref().map_or("", RequestId::as_str);
    let ms = elapsed.as_secs_f64() * 1e3;
    match status {
        // The load's fault or the start's, and passing.
        503 | 504 => tracing::warn!(%method, route, status, ms, request_id, "request"),
        500.. => tracing::error!(%method, route, status, ms, request_id, "request"),
        _ => tracing::info!(%method, route, status, ms, request_id, "request"),
    }
    response
}
