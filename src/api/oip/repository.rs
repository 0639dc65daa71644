//! The model repository extension: administrators see what is in the folder of models, put a
//! version into service and take a model out of it.

use axum::Json;
use axum::extract::State;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::extract::{Id, Whole};
use crate::api::json::parse;
use crate::api::{AppState, Problem};
use crate::inference::change::{self, ChangeError, Listed};

/// Which models to list.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct IndexRequest {
    /// True for those in service alone.
    #[serde(default)]
    ready: bool,
}

/// A version of a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexEntry {
    /// The model.
    #[schema(example = "triage")]
    name: String,
    /// Its version.
    #[schema(example = "1")]
    version: String,
    /// READY where it is in service, otherwise UNAVAILABLE.
    #[schema(example = "READY")]
    state: &'static str,
    /// Why it is not in service, where it was tried.
    reason: String,
}

impl IndexEntry {
    fn new(listed: Listed) -> IndexEntry {
        let state = if listed.ready { "READY" } else { "UNAVAILABLE" };
        IndexEntry { name: listed.name, version: listed.version, state, reason: listed.reason }
    }
}

/// What to load.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct LoadRequest {
    /// About the loading.
    parameters: Option<LoadParameters>,
}

/// Parameters of loading. What asks for something else is refused rather than ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadParameters {
    /// The version; default: the highest in the folder.
    #[schema(example = "1")]
    version: Option<String>,
}

/// The version in service now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Loaded {
    /// The model.
    #[schema(example = "triage")]
    name: String,
    /// Its version.
    #[schema(example = "1")]
    version: String,
}

/// The model out of service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unloaded {
    /// The model.
    #[schema(example = "triage")]
    name: String,
}

/// What is in the folder of models, and what of it is in service; for administrators
///
/// Each version of each package, and why it is not in service where loading it failed.
#[utoipa::path(
    post,
    path = "/v2/repository/index",
    operation_id = "oip_repository_index",
    tag = "open inference protocol",
    request_body(content = Option<IndexRequest>, example = json!({"ready": true})),
    responses(
        (status = 200, body = Vec<IndexEntry>),
        (status = 500, description = "The folder cannot be listed"),
    )
)]
pub async fn index(State(state): State<AppState>, body: Whole) -> Result<Json<Vec<IndexEntry>>, Problem> {
    let IndexRequest { ready } = read(&body)?;
    let registry = state.registry()?;
    let work = move || change::index(&registry, &state.config);
    let listed = blocking(work).await?.map_err(|error| {
        tracing::error!(%error, "the folder of models cannot be listed");
        Problem::internal()
    })?;
    Ok(Json(listed.into_iter().filter(|listed| listed.ready || !ready).map(IndexEntry::new).collect()))
}

/// Load a version of a model and put it into service; for administrators
///
/// It is loaded and warmed beside the version in service and takes its place in one step. A
/// package that does not fit is refused, and what was in service stays.
#[utoipa::path(
    post,
    path = "/v2/repository/models/{name}/load",
    operation_id = "oip_load_model",
    tag = "open inference protocol",
    params(("name" = String, Path, description = "Name of the model", example = "triage")),
    request_body(content = Option<LoadRequest>, example = json!({"parameters": {"version": "1"}})),
    responses((status = 200, body = Loaded))
)]
pub async fn load(State(state): State<AppState>, Id(name): Id, body: Whole) -> Result<Json<Loaded>, Problem> {
    let LoadRequest { parameters } = read(&body)?;
    let version = parameters.and_then(|parameters| parameters.version);
    let serving = state.clone();
    let work = move || {
        change::load(&state.registry, &state.config, &name, version.as_deref(), |served| state.fits(served))
    };
    let loaded = blocking(work).await?;
    let result = if loaded.is_ok() { "loaded" } else { "refused" };
    metrics::counter!("medserve_model_loads_total", "result" => result).increment(1);
    let served = loaded?;
    serving.keep(&served).await;
    let manifest = served.manifest();
    tracing::info!(model = manifest.name, version = manifest.version, "serving");
    Ok(Json(Loaded { name: manifest.name.clone(), version: manifest.version.clone() }))
}

/// Take a model out of service; for administrators
///
/// Requests that have reached it are still answered.
#[utoipa::path(
    post,
    path = "/v2/repository/models/{name}/unload",
    operation_id = "oip_unload_model",
    tag = "open inference protocol",
    params(("name" = String, Path, description = "Name of the model", example = "triage")),
    responses((status = 200, body = Unloaded))
)]
pub async fn unload(State(state): State<AppState>, Id(name): Id) -> Result<Json<Unloaded>, Problem> {
    let asked = name.clone();
    // It waits for its turn behind a change in progress.
    blocking(move || change::unload(&state.registry, &asked)).await??;
    tracing::info!(model = name, "no longer serving");
    Ok(Json(Unloaded { name }))
}

/// The body, which may be empty.
fn read<T: DeserializeOwned + Default>(Whole(body): &Whole) -> Result<T, Problem> {
    match body.is_empty() {
        true => Ok(T::default()),
        false => parse(body).map_err(|problem| Problem { status: http::StatusCode::BAD_REQUEST, ..problem }),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        match error {
            ChangeError::Loading => Problem::unavailable(error.to_string()),
            ChangeError::Unknown(_) => Problem::not_found(error.to_string()),
            ChangeError::Package(error) => {
                tracing::error!(%error, "a model package was refused");
                Problem::unprocessable(error.to_string())
            }
        }
    }
}
