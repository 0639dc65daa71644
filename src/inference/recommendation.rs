//! A learned recommender in service: the weights of a package, ready to be applied to a history.
//!
//! It has no engines and no queue. An answer is a few additions over what is in memory, and is
//! computed where neighbors are computed.

use std::path::Path;

use candle_core::Tensor;
use model::manifest::{Architecture, Input};
use model::package::{CONTEXT, ITEMS, read, sha256};
use model::{Manifest, Package, PackageError};
use recommend::{ContextWeights, DistanceWeight, ItemWeights, Kind, Learned};

/// A learned recommender.
pub struct RecommendationService {
    /// Its description.
    pub manifest: Manifest,
    /// Its card.
    pub card: String,
    /// Its weights, for the kind of item that the manifest names.
    pub learned: Learned,
}

/// Rows of a sparse matrix: where each starts, places, values.
type Rows = (Vec<usize>, Vec<u32>, Vec<f32>);

impl RecommendationService {
    /// The recommender of a package.
    ///
    /// # Errors
    /// The file that does not fit, and why.
    pub fn start(package: Package) -> Result<RecommendationService, PackageError> {
        let Package { folder, manifest, mut weights, card } = package;
        let error = |file: &str, reason: String| PackageError::new(folder.join(file), reason);
        let Input::History(input) = &manifest.input else {
            return Err(error(model::package::MANIFEST, "it takes no history".to_string()));
        };
        let kind: Kind = input.item_kind.parse().map_err(|_| {
            let kinds = Kind::ALL.map(Kind::as_str).join(", ");
            error(
                model::package::MANIFEST,
                format!("input.item_kind is \"{}\"; the kinds are {kinds}", input.item_kind),
            )
        })?;
        let items = names(&folder.join(ITEMS))?;
        if items.len() != input.items {
            let reason = format!("it names {} items, the manifest says {}", items.len(), input.items);
            return Err(error(ITEMS, reason));
        }
        let file = manifest.weights.file.clone();
        let mut take = |name: &str| {
            weights.remove(name).ok_or_else(|| error(&file, format!("there is no tensor \"{name}\"")))
        };
        let mut rows = |prefix: &str| -> Result<Rows, PackageError> {
            let starts: Vec<u32> =
                values(&take(&format!("{prefix}starts"))?).map_err(|reason| error(&file, reason))?;
            let targets =
                values(&take(&format!("{prefix}targets"))?).map_err(|reason| error(&file, reason))?;
            let weights =
                values(&take(&format!("{prefix}weights"))?).map_err(|reason| error(&file, reason))?;
            Ok((starts.into_iter().map(|start| start as usize).collect(), targets, weights))
        };
        let (starts, targets, fitted) = rows("")?;
        let context = match &manifest.architecture {
            Architecture::Ease(ease) => ease.context.as_ref(),
            _ => None,
        };
        let context = match context {
            Some(config) => {
                let features = names(&folder.join(CONTEXT))?;
                if features.len() != config.features {
                    let reason = format!(
                        "it names {} circumstances, the manifest says {}",
                        features.len(),
                        config.features
                    );
                    return Err(error(CONTEXT, reason));
                }
                let distance = config.distance.map(|it| DistanceWeight { weight: it.weight, mean: it.mean });
                let context =
                    ContextWeights::new(features, items.len(), rows("context_")?, rows("factor_")?, distance);
                Some(context.map_err(|reason| error(&file, reason))?)
            }
            None => None,
        };
        let base: Vec<f32> = values(&take("base")?).map_err(|reason| error(&file, reason))?;
        let fitted = ItemWeights::new(items, base, starts, targets, fitted);
        let fitted = fitted.map_err(|reason| error(&file, reason))?;
        let learned = Learned::new(manifest.name.clone(), manifest.version.clone(), kind, fitted);
        let mut learned = learned.with_digest(digest(&manifest));
        if let Some(context) = context {
            learned = learned.with_context(context);
        }
        Ok(RecommendationService { manifest, card, learned })
    }
}

/// A digest of all that an answer depends on: of the digests of the files.
fn digest(manifest: &Manifest) -> String {
    let files = manifest.files.iter().map(|(name, digest)| format!("{name} {digest}\n"));
    sha256(format!("{}\n{}", manifest.weights.sha256, files.collect::<String>()).as_bytes())
}

fn names(file: &Path) -> Result<Vec<Box<str>>, PackageError> {
    serde_json::from_slice(&read(file)?).map_err(|error| PackageError::new(file, error))
}

fn values<T: candle_core::WithDType>(tensor: &Tensor) -> Result<Vec<T>, String> {
    tensor.to_vec1().map_err(|error| error.to_string())
}
