//! Starting from weights: what of them fits a network is taken, and what does not is said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};

use model::package::{MANIFEST, WEIGHTS, latest, sha256};
use nn::Params;

/// Weights as they were found.
pub struct Start {
    /// Of the file.
    pub sha256: String,
    file: PathBuf,
    values: BTreeMap<String, Tensor>,
}

/// Reads the weights of a package, which `path` names: the model's folder, one version's, or the file.
///
/// # Errors
/// No such file; a file that holds no tensors.
pub fn read(path: &Path) -> Result<Start> {
    let file = file(path)?;
    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let values = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .with_context(|| format!("{} is no safetensors file", file.display()))?;
    Ok(Start { sha256: sha256(&bytes), file, values: values.into_iter().collect() })
}

fn file(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    if path.join(MANIFEST).exists() {
        return Ok(path.join(WEIGHTS));
    }
    let path = path.canonicalize().with_context(|| format!("--from {}", path.display()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let versions = latest(path.parent().unwrap_or(&path))?;
    let folder = versions.get(&name).with_context(|| format!("{}: no version of a model here", path.display()))?;
    Ok(folder.join(WEIGHTS))
}

impl Start {
    /// Sets the values of `params` that are here in the same shape. Returns what was done, for people.
    ///
    /// # Errors
    /// Nothing fits.
    pub fn put(&self, params: &Params) -> Result<String> {
        let mut values = params.snapshot()?;
        let all = values.len();
        let (mut taken, mut fresh) = (0, Vec::new());
        for (name, value) in &mut values {
            match self.values.get(name).filter(|found| found.shape() == value.shape()) {
                Some(found) => {
                    *value = found.to_dtype(candle_core::DType::F32)?;
                    taken += 1;
                }
                None => fresh.push(name.as_str()),
            }
        }
        ensure!(taken > 0, "{}: none of its tensors fits this network", self.file.display());
        let rest = match fresh.is_empty() {
            true => String::new(),
            false => format!("; new are {}", fresh.join(", ")),
        };
        let said = format!("{taken} of {all} tensors are those of {}{rest}", self.file.display());
        params.restore(&values)?;
        Ok(said)
    }
}
