//! Operations: is the process alive, can it answer, what has it measured.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ProblemDocument;
use super::{AppState, Problem, gauges};

/// A health answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// "live" or "ready".
    #[schema(example = "ready")]
    pub status: &'static str,
}

/// The process runs
#[utoipa::path(get, path = "/health/live", tag = "operations", responses((status = 200, body = Health)))]
pub async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// The models are loaded and warm, and people, things and interactions are at hand
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    responses(
        (status = 200, body = Health),
        (status = 503, description = "Not ready, and why", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn ready(State(state): State<AppState>) -> Result<Json<Health>, Problem> {
    if state.registry()?.is_empty() {
        return Err(Problem::unavailable(
            "no model is served: the folder of model packages has none that could be loaded",
        ));
    }
    state.people()?;
    Ok(Json(Health { status: "ready" }))
}

/// Metrics in the Prometheus text format
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(state): State<AppState>) -> Response {
    match &state.metrics {
        Some(handle) => {
            gauges::read(&state);
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response()
        }
        None => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], String::new())
            .into_response(),
    }
}
