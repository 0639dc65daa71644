//! `/v2`: the Open Inference Protocol, version 2, with Triton's binary tensor data extension.
//!
//! The serving world's common language, so that its clients, gateways and load generators work
//! here unchanged. It is a second way of asking and no second way of answering: tensors are turned
//! into the images and records of `/v1`, and go through the same checks, preprocessing and
//! engines. A model declares its tensors in [`spec`]; the same declaration is shown as metadata
//! and held against every request.
//!
//! Errors are `{"error": "..."}` with the status that `/v1` would give (see [`error`]).

pub mod error;
pub mod infer;
pub mod metadata;
pub mod repository;
pub mod request;
pub mod response;
pub mod spec;
pub mod tensor;

use super::models::unknown_model;
use super::{AppState, Problem};
use crate::inference::registry::Served;

/// The model of this name and, if one is asked for, version.
///
/// # Errors
/// 404 for a name or a version that is not served; 503 while models are being loaded.
fn find(state: &AppState, name: &str, version: Option<&str>) -> Result<Served, Problem> {
    let registry = state.registry()?;
    let served = registry.get(name).ok_or_else(|| unknown_model(&registry, name))?;
    let manifest = served.manifest();
    match version {
        Some(version) if version != manifest.version => Err(Problem::not_found(format!(
            "this version of the model \"{name}\" is not served; version \"{}\" is",
            manifest.version
        ))),
        _ => Ok(served.clone()),
    }
}
