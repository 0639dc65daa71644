//! What every package says of itself and of its data, asked for and written down once for all kinds of training.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use model::manifest::{DataSource, Training, Weights};
use model::package::WEIGHTS;
use serde_json::Value;

/// What people are told of a model.
#[derive(Debug, Clone, clap::Args)]
pub struct AboutOptions {
    /// One sentence for people
    #[arg(long, env = "MEDSERVE_DESCRIPTION", default_value = "")]
    pub description: String,
    /// Name of the data set, for the card; default: the name of its file or folder
    #[arg(long, env = "MEDSERVE_DATA_NAME")]
    pub data_name: Option<String>,
    /// Who made the data set and where it was published
    #[arg(long, env = "MEDSERVE_DATA_SOURCE", default_value = "Source not stated.")]
    pub data_source: String,
    /// Licence of the data set
    #[arg(long, env = "MEDSERVE_DATA_LICENCE", default_value = "not stated")]
    pub data_licence: String,
}

impl AboutOptions {
    /// The data of a package: files with their digests, and how many examples there are of what.
    /// Without a name given it has that of its `file`.
    pub fn data(
        &self,
        file: Option<String>,
        sha256: BTreeMap<String, String>,
        examples: BTreeMap<String, usize>,
    ) -> DataSource {
        DataSource {
            name: self.data_name.clone().or(file).unwrap_or_default(),
            source: self.data_source.clone(),
            licence: self.data_licence.clone(),
            sha256,
            examples,
        }
    }

    /// The same of examples by split; the first file gives the name.
    pub fn data_of<T>(
        &self,
        sha256: &BTreeMap<String, String>,
        splits: &BTreeMap<String, Vec<T>>,
    ) -> DataSource {
        let examples = splits.iter().map(|(split, examples)| (split.clone(), examples.len())).collect();
        self.data(sha256.keys().next().cloned(), sha256.clone(), examples)
    }

    /// What was given to describe the model, or else this.
    pub fn description_or(&self, otherwise: String) -> String {
        if self.description.is_empty() { otherwise } else { self.description.clone() }
    }
}

/// How a package was trained.
pub fn training(seed: u64, epochs: usize, settings: BTreeMap<String, Value>) -> Training {
    let program = concat!("medserve train ", env!("CARGO_PKG_VERSION")).to_string();
    Training { seed, epochs, settings, program }
}

/// Weights that [`model::Package::write`] has yet to fill in.
pub fn unwritten_weights() -> Weights {
    Weights { file: WEIGHTS.to_string(), sha256: String::new(), parameters: 0 }
}

/// What labels mean, each given as LABEL=MEANING.
///
/// # Errors
/// One that is not.
pub fn meanings<'a>(given: impl IntoIterator<Item = &'a String>) -> Result<BTreeMap<String, String>> {
    let meaning = |text: &'a String| {
        let (label, meaning) = text
            .split_once('=')
            .with_context(|| format!("--label-description: \"{text}\" is not LABEL=MEANING"))?;
        Ok((label.to_string(), meaning.to_string()))
    };
    given.into_iter().map(meaning).collect()
}
