//! Models change while serving.
//!
//! A version is loaded and warmed beside the one in service and takes its place in one step: the
//! registry is replaced as a whole. A request that has found its model keeps it until it is
//! answered, and the engines of a model end when the last such request has gone, so no request
//! fails for a change. What does not load changes nothing but the reason that the index gives.

use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwapOption;

use super::registry::{Registry, Served, start};
use crate::config::Config;
use model::PackageError;
use model::package::packages;

/// Why a model was not changed; what was in service still is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The models are being loaded for the first time.
    #[error("the models are being loaded; try again in a moment")]
    Loading,
    /// There is nothing of this name: a sentence that says what there is.
    #[error("{0}")]
    Unknown(String),
    /// The package does not fit.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// A version of a model that is in the folder or in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// True where it is in service.
    pub ready: bool,
    /// Why it is not, where that was tried, or what is odd about it; otherwise empty.
    pub reason: String,
}

/// Loads a version of a model, the highest where none is given, and puts it into service.
///
/// It takes seconds and a core. `fits` says what speaks against a model that loads, such as data
/// that it is not made for.
///
/// # Errors
/// A version that does not exist, does not load or does not fit.
pub fn load(
    current: &ArcSwapOption<Registry>,
    config: &Config,
    name: &str,
    version: Option<&str>,
    fits: impl Fn(&Served) -> Result<(), String>,
) -> Result<Served, ChangeError> {
    let registry = current.load_full().ok_or(ChangeError::Loading)?;
    // All registries of a server share the lock: of two changes the second sees the first.
    let _turn = registry.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let registry = current.load_full().ok_or(ChangeError::Loading)?;
    let mut versions = packages(&config.models_dir)?
        .remove(name)
        .ok_or_else(|| ChangeError::Unknown(format!("the folder of models has no model \"{name}\"")))?;
    let folder = match version {
        None => versions.pop_last().map(|(_, folder)| folder),
        Some(version) => version.parse().ok().and_then(|version: u64| versions.remove(&version)),
    };
    let folder = folder.ok_or_else(|| {
        let names: Vec<String> = versions.keys().map(|version| format!("\"{version}\"")).collect();
        ChangeError::Unknown(format!(
            "the model \"{name}\" has no such version; there are {}",
            names.join(", ")
        ))
    })?;
    let refused = registry.refused.iter().filter(|error| !error.file.starts_with(&folder));
    let mut next = registry.successor(registry.models.clone(), refused.cloned().collect());
    let started = start(&folder, config, &registry.preprocess)
        .and_then(|made| fits(&made.0).map(|()| made).map_err(|why| PackageError::new(&folder, why)));
    match started {
        Ok((served, digest)) => {
            next.digests.insert(name.to_string(), digest);
            if let Some(old) = next.models.insert(name.to_string(), served.clone()) {
                old.announce(false);
            }
            served.announce(true);
            current.store(Some(Arc::new(next)));
            Ok(served)
        }
        Err(error) => {
            next.refused.push(error.clone());
            current.store(Some(Arc::new(next)));
            Err(error.into())
        }
    }
}

/// Takes every model out of service that does not fit, as [`load`] would have refused it. Returns
/// what was refused, and why.
pub fn refuse_unfit(
    current: &ArcSwapOption<Registry>,
    config: &Config,
    fits: impl Fn(&Served) -> Result<(), String>,
) -> Vec<PackageError> {
    let Some(registry) = current.load_full() else { return Vec::new() };
    let _turn = registry.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(registry) = current.load_full() else { return Vec::new() };
    let mut models = registry.models.clone();
    let mut unfit = Vec::new();
    models.retain(|name, served| {
        let Err(why) = fits(served) else { return true };
        served.announce(false);
        unfit.push(PackageError::new(config.models_dir.join(name).join(&served.manifest().version), why));
        false
    });
    if !unfit.is_empty() {
        let refused = registry.refused.iter().chain(&unfit).cloned().collect();
        current.store(Some(Arc::new(registry.successor(models, refused))));
    }
    unfit
}

/// Takes a model out of service. Requests that have found it are still answered.
///
/// # Errors
/// A model that is not in service.
pub fn unload(current: &ArcSwapOption<Registry>, name: &str) -> Result<(), ChangeError> {
    let registry = current.load_full().ok_or(ChangeError::Loading)?;
    let _turn = registry.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let registry = current.load_full().ok_or(ChangeError::Loading)?;
    let mut models = registry.models.clone();
    let old = models
        .remove(name)
        .ok_or_else(|| ChangeError::Unknown(format!("the model \"{name}\" is not in service")))?;
    old.announce(false);
    current.store(Some(Arc::new(registry.successor(models, registry.refused.clone()))));
    Ok(())
}

/// Every version in the folder, and every model in service, in the order of names and versions.
///
/// # Errors
/// The folder cannot be listed.
pub fn index(registry: &Registry, config: &Config) -> Result<Vec<Listed>, PackageError> {
    let mut listed = Vec::new();
    let mut folders = packages(&config.models_dir)?;
    for served in registry.all() {
        let manifest = served.manifest();
        let versions = folders.entry(manifest.name.clone()).or_default();
        let present = manifest.version.parse().is_ok_and(|version| versions.remove(&version).is_some());
        let reason = if present { "" } else { "its package is no longer in the folder" };
        let (name, version) = (manifest.name.clone(), manifest.version.clone());
        listed.push(Listed { name, version, ready: true, reason: reason.to_string() });
    }
    for (name, versions) in folders {
        for (version, folder) in versions {
            let refused = registry.refused.iter().find(|error| error.file.starts_with(&folder));
            let reason = refused.map(ToString::to_string).unwrap_or_default();
            listed.push(Listed { name: name.clone(), version: version.to_string(), ready: false, reason });
        }
    }
    let number = |version: &str| version.parse::<u64>().unwrap_or(u64::MAX);
    listed.sort_by(|a, b| (&a.name, number(&a.version)).cmp(&(&b.name, number(&b.version))));
    Ok(listed)
}
