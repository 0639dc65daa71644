//! Operations: is the process alive, can it answer, what has it measured.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::Parameters;
use super::{AppState, Problem, gauges};

/// A health answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// "live", "started" or "ready".
    #[schema(example = "ready")]
    pub status: &'static str,
    /// Of readiness, how many models are not served since the package that would be was refused; the log and the
    /// repository's index say why. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<usize>,
}

impl Health {
    fn of(status: &'static str) -> Json<Health> {
        Json(Health { status, refused: None })
    }
}

/// The process runs
///
/// Whoever restarts processes asks this; it needs no model and no database.
#[utoipa::path(get, path = "/health/live", operation_id = "health_live", tag = "operations", responses((status = 200, body = Health)))]
pub async fn live() -> Json<Health> {
    Health::of("live")
}

/// What had to be loaded was loaded; from now on readiness is what to ask for
///
/// Until then it is 503 and says what is missing.
#[utoipa::path(
    get,
    path = "/health/startup",
    operation_id = "health_startup",
    tag = "operations",
    responses(
        (status = 200, body = Health),
        (status = 503, description = "Not yet, and what is missing"),
    )
)]
pub async fn startup(State(state): State<AppState>) -> Result<Json<Health>, Problem> {
    state.registry()?;
    state.people()?;
    Ok(Health::of("started"))
}

/// What readiness is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadyParameters {
    /// "classify" asks whether models answer, "recommend" whether care can be recommended, "write" whether the
    /// database takes writes; default: all of them.
    #[param(inline, value_type = Option<Capability>)]
    pub capability: Option<String>,
}

/// What a server can do.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)]
enum Capability {
    Classify,
    Recommend,
    Write,
}

/// The server can answer
///
/// The models are loaded and warm, people, things and interactions are at hand, the database answers and takes
/// writes. With `capability` one of these is asked for alone: a database that is away keeps no model from
/// answering.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "health_ready",
    tag = "operations",
    params(ReadyParameters),
    responses(
        (status = 200, body = Health),
        (status = 400, description = "No such capability"),
        (status = 503, description = "Not ready, and why"),
    )
)]
pub async fn ready(
    State(state): State<AppState>,
    Parameters(parameters): Parameters<ReadyParameters>,
) -> Result<Json<Health>, Problem> {
    if state.admission.is_draining() {
        return Err(Problem::unavailable("the server is shutting down"));
    }
    if state.audit.check().is_err() {
        return Err(Problem::unavailable("the audit cannot be written, and without it nothing is answered"));
    }
    let classify = || match state.registry()?.is_empty() {
        true => Err(Problem::unavailable(
            "no model is served: the folder of model packages has none that could be loaded",
        )),
        false => Ok(()),
    };
    let recommend = || state.people().map(|_| ());
    let writes = |state: &AppState| {
        let people = state.people()?;
        if !people.reachable.load(Ordering::Relaxed) {
            return Err(Problem::unavailable("the database does not answer"));
        }
        match people.writable.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(Problem::unavailable("the database takes no writes")),
        }
    };
    let write = || state.everyone().try_for_each(writes);
    match parameters.capability.as_deref() {
        None => classify().and_then(|()| recommend()).and_then(|()| write())?,
        Some("classify") => classify()?,
        Some("recommend") => recommend()?,
        Some("write") => write()?,
        Some(_) => {
            return Err(Problem::bad_parameter("capability", "must be classify, recommend or write"));
        }
    }
    let refused = state.registry().map_or(0, |registry| registry.refused());
    Ok(Json(Health { status: "ready", refused: Some(refused).filter(|count| *count > 0) }))
}

/// Metrics in the Prometheus text format
///
/// docs/metrics.md lists them.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
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
