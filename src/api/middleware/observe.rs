//! A log line, metrics and, where they are exported, a span for every request, by route and never
//! by path: a path names people.

use std::time::{Instant, SystemTime};

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;

use super::request_id::RequestId;
use super::trace_context::TraceContext;
use crate::api::AppState;
use crate::telemetry::of_tenant;
use crate::telemetry::spans::Served;

/// A route where none fits.
const UNMATCHED: &str = "unmatched";
/// A method that HTTP does not know.
const OTHER: &str = "other";

/// Measures and logs.
pub async fn layer<F: Future<Output = Response>>(
    state: &AppState,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let start = Instant::now();
    let method = name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, |path| path.as_str()).to_string();
    let id = request.extensions().get::<RequestId>().cloned();
    let trace = request.extensions().get::<TraceContext>().copied();
    let response = next(request).await;
    let (elapsed, end) = (start.elapsed(), SystemTime::now());
    let status = response.status().as_u16();
    let tenant = state.tenant.as_str();
    let labels =
        [("method", method.into()), ("route", route.clone().into()), ("status", status.to_string().into())];
    metrics::counter!("medserve_requests_total", of_tenant(tenant, labels)).increment(1);
    let labels = of_tenant(tenant, [("route", route.clone().into())]);
    metrics::histogram!("medserve_request_seconds", labels).record(elapsed.as_secs_f64());
    let tenant = Some(tenant).filter(|tenant| !tenant.is_empty());
    let request_id = id.as_ref().map_or("", RequestId::as_str);
    let trace_id = trace.map_or_else(String::new, |trace| format!("{:032x}", trace.trace));
    let span_id = trace.map_or_else(String::new, |trace| format!("{:016x}", trace.span));
    let ms = elapsed.as_secs_f64() * 1e3;
    match status {
        // The load's fault or the start's, and passing.
        503 | 504 => {
            tracing::warn!(method, route, tenant, status, ms, request_id, trace_id, span_id, "request")
        }
        500.. => tracing::error!(method, route, tenant, status, ms, request_id, trace_id, span_id, "request"),
        _ => tracing::info!(method, route, tenant, status, ms, request_id, trace_id, span_id, "request"),
    }
    if let (Some(spans), Some(trace)) = (&state.spans, trace)
        && trace.is_recorded()
    {
        spans.record(Served {
            trace: trace.trace,
            span: trace.span,
            parent: trace.parent,
            method: Some(method).filter(|method| *method != OTHER),
            route: Some(route).filter(|route| route != UNMATCHED),
            status,
            end,
            elapsed,
            stages: response.extensions().get().copied(),
        });
    }
    response
}

/// A method's name: a client may send any word, and a word of its own would be a series of its
/// own.
fn name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| method.as_str() == *known).unwrap_or(OTHER)
}
