//! The protocol's health and metadata: of the server and of each model.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::find;
use super::spec::{self, TensorSpec};
use crate::api::extract::{Id, ModelVersion, Parameters};
use crate::api::health::ReadyParameters;
use crate::api::{AppState, Problem, health};
use crate::inference::registry::Served;

/// What this server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerMetadata {
    /// "medserve".
    #[schema(example = "medserve")]
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// The extensions of the protocol that it speaks.
    #[schema(example = json!(["binary_tensor_data"]))]
    extensions: Vec<&'static str>,
}

/// Whether the server lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerLive {
    /// Always true where there is an answer.
    live: bool,
}

/// Whether the server is ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerReady {
    /// Always true: what is not ready answers 503.
    ready: bool,
}

/// Whether a model is ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelReady {
    /// Its name.
    #[schema(example = "triage")]
    name: String,
    /// Always true: what is not in service answers 404.
    ready: bool,
}

/// What a model takes and gives.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelMetadata {
    /// Its name.
    #[schema(example = "triage")]
    name: String,
    /// The versions that may be asked for.
    #[schema(example = json!(["1"]))]
    versions: Vec<String>,
    /// What computes it.
    #[schema(example = "medserve_bag")]
    platform: String,
    /// What it takes: of a classifier of images one of the inputs, of a classifier of notes `note`
    /// and any of the fields beside it.
    inputs: Vec<TensorSpec>,
    /// What it gives.
    outputs: Vec<TensorSpec>,
    /// Beyond the protocol: the labels in the order of `probabilities`.
    labels: Vec<String>,
}

impl ModelMetadata {
    fn new(served: &Served) -> ModelMetadata {
        let manifest = served.manifest();
        ModelMetadata {
            name: manifest.name.clone(),
            versions: vec![manifest.version.clone()],
            platform: format!("medserve_{}", manifest.architecture.as_str()),
            inputs: spec::inputs(manifest),
            outputs: spec::outputs(manifest),
            labels: manifest.labels.clone(),
        }
    }
}

/// What this server is
///
/// Its name, its version and the extensions of the protocol that it speaks.
#[utoipa::path(get, path = "/v2", operation_id = "oip_server_metadata", tag = "open inference protocol", responses((status = 200, body = ServerMetadata)))]
pub async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: "medserve",
        version: env!("CARGO_PKG_VERSION"),
        extensions: vec!["binary_tensor_data", "model_repository"],
    })
}

/// The process runs
///
/// It needs no model and no database.
#[utoipa::path(get, path = "/v2/health/live", operation_id = "oip_server_live", tag = "open inference protocol", responses((status = 200, body = ServerLive)))]
pub async fn live() -> Json<ServerLive> {
    Json(ServerLive { live: true })
}

/// As `/health/ready`
///
/// Whether the models are loaded and warm and the database answers.
#[utoipa::path(
    get,
    path = "/v2/health/ready",
    operation_id = "oip_server_ready",
    tag = "open inference protocol",
    responses((status = 200, body = ServerReady), (status = 503, description = "Not ready, and why"))
)]
pub async fn ready(state: State<AppState>) -> Result<Json<ServerReady>, Problem> {
    let _ = health::ready(state, Parameters(ReadyParameters::default())).await?;
    Ok(Json(ServerReady { ready: true }))
}

/// What a model takes and gives
///
/// The tensors by their names, types and shapes.
#[utoipa::path(
    get,
    path = "/v2/models/{name}",
    operation_id = "oip_model_metadata",
    tag = "open inference protocol",
    params(("name" = String, Path, description = "Name of the model", example = "triage")),
    responses((status = 200, body = ModelMetadata))
)]
pub async fn model(State(state): State<AppState>, Id(name): Id) -> Result<Json<ModelMetadata>, Problem> {
    Ok(Json(ModelMetadata::new(&find(&state, &name, None)?)))
}

/// What a version of a model takes and gives
///
/// The tensors by their names, types and shapes.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}",
    operation_id = "oip_model_version_metadata",
    tag = "open inference protocol",
    params(
        ("name" = String, Path, description = "Name of the model", example = "triage"),
        ("version" = String, Path, description = "Version of the model", example = "1"),
    ),
    responses((status = 200, body = ModelMetadata))
)]
pub async fn model_version(
    State(state): State<AppState>,
    ModelVersion { name, version }: ModelVersion,
) -> Result<Json<ModelMetadata>, Problem> {
    Ok(Json(ModelMetadata::new(&find(&state, &name, Some(&version))?)))
}

/// A model is loaded and warm
///
/// 404 for a model that is not in service.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/ready",
    operation_id = "oip_model_ready",
    tag = "open inference protocol",
    params(("name" = String, Path, description = "Name of the model", example = "triage")),
    responses((status = 200, body = ModelReady))
)]
pub async fn model_ready(State(state): State<AppState>, Id(name): Id) -> Result<Json<ModelReady>, Problem> {
    find(&state, &name, None)?;
    Ok(Json(ModelReady { name, ready: true }))
}

/// A version of a model is loaded and warm
///
/// 404 for a version that is not in service.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}/ready",
    operation_id = "oip_model_version_ready",
    tag = "open inference protocol",
    params(
        ("name" = String, Path, description = "Name of the model", example = "triage"),
        ("version" = String, Path, description = "Version of the model", example = "1"),
    ),
    responses((status = 200, body = ModelReady))
)]
pub async fn model_version_ready(
    State(state): State<AppState>,
    ModelVersion { name, version }: ModelVersion,
) -> Result<Json<ModelReady>, Problem> {
    find(&state, &name, Some(&version))?;
    Ok(Json(ModelReady { name, ready: true }))
}
