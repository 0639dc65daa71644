//! Starting from weights: what of them fits a network is taken, and what does not is said.
//!
//! Weights are those of a package of this program, or others' in safetensors or PyTorch's own files, by the names that
//! torchvision, Hugging Face and EfficientNet implementations give them. A first convolution over colour is summed up for a
//! network over grey pictures, whose three channels would be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};

use super::torch_file;
use model::Manifest;
use model::manifest::Architecture;
use model::package::{MANIFEST, WEIGHTS, latest, sha256};
use nn::Params;
use vision::names;

/// Most names that are listed.
const LISTED: usize = 8;

/// Weights as they were found.
pub struct Start {
    /// Of the file.
    pub sha256: String,
    file: PathBuf,
    values: BTreeMap<String, Tensor>,
}

/// Reads the weights that `path` names: a file, or the folder of a package or of one of its versions.
///
/// # Errors
/// No such file; a file that holds no tensors, or that would have something run.
pub fn read(path: &Path) -> Result<Start> {
    let file = file(path)?;
    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let torch =
        file.extension().is_some_and(|kind| ["pth", "pt", "bin", "ckpt"].iter().any(|known| kind == *known));
    let values = match torch {
        true => torch_file::read(&bytes).with_context(|| file.display().to_string())?,
        false => candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .with_context(|| format!("{} is no safetensors file", file.display()))?
            .into_iter()
            .collect(),
    };
    Ok(Start { sha256: sha256(&bytes), file, values })
}

fn file(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    // A package of ours, or a folder as Hugging Face has them.
    if path.join(MANIFEST).exists() || path.join(WEIGHTS).exists() {
        return Ok(path.join(WEIGHTS));
    }
    Ok(newest(path)?.join(WEIGHTS))
}

/// The newest version of the package whose folder `path` is.
///
/// # Errors
/// There is none.
pub fn newest(path: &Path) -> Result<PathBuf> {
    let path = path.canonicalize().with_context(|| format!("--from {}", path.display()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut versions = latest(path.parent().unwrap_or(&path))?;
    versions.remove(&name).with_context(|| format!("{}: no package here", path.display()))
}

/// Starts the network of `params` from the weights that `path` names, says what of them fits, and writes down in
/// the manifest which they were. Without a path nothing is done.
///
/// # Errors
/// As [`read`] and [`Start::put`].
pub fn start(path: Option<&Path>, manifest: &mut Manifest, params: &Params) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let weights = read(path)?;
    manifest.training.settings.insert("from".to_string(), weights.sha256.clone().into());
    eprintln!("{}", weights.put(&manifest.architecture, params)?);
    Ok(())
}

impl Start {
    /// Sets the values of `params`, a network of `architecture`, that are here in the same shape. Returns what was taken
    /// and what was not, for people.
    ///
    /// # Errors
    /// Nothing fits.
    pub fn put(&self, architecture: &Architecture, params: &Params) -> Result<String> {
        let mut values = params.snapshot()?;
        let all = values.len();
        let (mut used, mut fresh) = (BTreeSet::new(), Vec::new());
        for (name, value) in &mut values {
            let elsewhere = names::elsewhere(architecture, name);
            let known = std::iter::once(name.clone()).chain(elsewhere);
            let fitting = known.filter_map(|known| {
                let found = self.values.get(&known)?;
                Some((known, fitted(found, value.dims())?))
            });
            match fitting.into_iter().next() {
                Some((known, found)) => {
                    *value = found.to_dtype(DType::F32)?;
                    used.insert(known);
                }
                None => fresh.push(name.clone()),
            }
        }
        let file = self.file.display();
        ensure!(!used.is_empty(), "{file}: none of its tensors fits this network");
        params.restore(&values)?;
        // Counters of batches are no weights.
        let left = self.values.keys().filter(|name| !name.ends_with("num_batches_tracked"));
        let left: Vec<String> = left.filter(|name| !used.contains(*name)).cloned().collect();
        let taken = all - fresh.len();
        Ok(format!(
            "{taken} of {all} tensors are those of {file}{}{}",
            listed("; drawn anew are", &fresh),
            listed("; not used are", &left)
        ))
    }
}

/// A tensor of this shape, summed over its input channels where the network has one and not three.
fn fitted(found: &Tensor, shape: &[usize]) -> Option<Tensor> {
    if found.dims() == shape {
        return Some(found.clone());
    }
    match (found.dims(), shape) {
        ([outputs, 3, rows, columns], [own, 1, r, c]) if (outputs, rows, columns) == (own, r, c) => {
            found.sum_keepdim(1).ok()
        }
        _ => None,
    }
}

fn listed(what: &str, names: &[String]) -> String {
    match names.len() {
        0 => String::new(),
        count if count <= LISTED => format!("{what} {}", names.join(", ")),
        count => format!("{what} {} and {} more", names[..LISTED].join(", "), count - LISTED),
    }
}
