//! A classifier of images that is an ONNX file: any network, since nothing of it is described here.
//!
//! Beside the file lies `preprocessor_config.json`, which says how pictures are brought to it, and `config.json` with the labels,
//! unless `--labels` gives them: as Hugging Face's exporters write them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model::manifest::{Architecture, OnnxConfig};
use model::package::{ONNX, sha256};
use serde_json::{Value, json};
use vision::onnx::{OnnxNetwork, are_probabilities};

use super::classifier::Classifier;
use super::directory::{file, no_program};
use super::picture::Members;
use crate::finish::Answers;

/// Whether a path is such a file.
fn is_file(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"))
}

/// Whether a path is such a file, or a directory of one that reads no texts.
pub fn is_one(path: &Path) -> bool {
    is_file(path) || found(path).is_some() && !path.join("tokenizer.json").is_file()
}

/// The folder and the file, of a path that is one or of a directory that has one and no weights of another form.
pub fn found(path: &Path) -> Option<(PathBuf, PathBuf)> {
    if is_file(path) {
        return Some((path.parent()?.to_path_buf(), path.to_path_buf()));
    }
    let inside = [path.join(ONNX), path.join("onnx").join(ONNX)].into_iter().find(|file| file.is_file());
    let inside = inside.filter(|_| !path.join("model.safetensors").is_file());
    inside.map(|file| (path.to_path_buf(), file))
}

/// Reads and checks such a file and what lies beside it; `labels` are taken before what that says.
///
/// # Errors
/// A sentence that says what is missing or does not fit.
pub fn read(folder: &Path, network: &Path, labels: &[String]) -> Result<Classifier> {
    let shown = folder.display();
    let mut digests = BTreeMap::new();
    let preprocessor = file(folder, "preprocessor_config.json", &mut digests)?.with_context(|| {
        format!("{shown} has no preprocessor_config.json, which says how pictures are brought to the network")
    })?;
    let preprocessor: Value =
        serde_json::from_slice(&preprocessor).with_context(|| format!("{shown}/preprocessor_config.json"))?;
    let config: Value = match file(folder, "config.json", &mut digests)? {
        Some(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{shown}/config.json"))?,
        None => json!({}),
    };
    no_program(folder, &config)?;
    let labels = match labels.is_empty() {
        true => Members { file: format!("{shown}/config.json"), value: &config }
            .labels()
            .context("--labels names the network's outputs, in their order, where no config.json does")?,
        false => labels.to_vec(),
    };
    let channels = config["num_channels"].as_u64().unwrap_or(3) as usize;
    ensure!([1, 3].contains(&channels), "{shown}: pictures of {channels} channels; 1 or 3 are read here");
    let members = Members { file: format!("{shown}/preprocessor_config.json"), value: &preprocessor };
    let input = members.input(channels)?;
    let bytes = std::fs::read(network).with_context(|| network.display().to_string())?;
    let config = OnnxConfig::default();
    OnnxNetwork::load(&bytes, &config, &input, labels.len())
        .with_context(|| network.display().to_string())?;
    digests.insert(ONNX.to_string(), sha256(&bytes));
    Ok(Classifier {
        architecture: Architecture::Onnx(config),
        input,
        labels,
        weights: BTreeMap::new(),
        onnx: Some(bytes),
        sha256: digests,
    })
}

/// The architecture, by what the file gave: where all rows are probabilities, their logarithms take their place.
pub fn settled(splits: &mut BTreeMap<String, Answers>) -> Architecture {
    let probabilities = splits.values().all(|answers| are_probabilities(&answers.logits));
    if probabilities {
        let values = splits.values_mut().flat_map(|answers| answers.logits.iter_mut().flatten());
        values.for_each(|value| *value = value.max(f32::MIN_POSITIVE).ln());
    }
    Architecture::Onnx(OnnxConfig { probabilities })
}
