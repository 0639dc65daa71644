//! Which models are served.
//!
//! Packages are loaded at start, each on its own: one that does not fit is refused with the file
//! and the reason, and the others serve.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::embedder::EmbedService;
use super::extractor::ExtractService;
use super::generate::GenerateService;
use super::image::ImageService;
use super::note::NoteService;
use super::preprocess_pool::PreprocessPool;
use super::recommendation::RecommendationService;
use super::segment::SegmentService;
use super::signature;
use crate::config::Config;
use model::manifest::{Input, Precision};
use model::package::{latest, sha256};
use model::{Manifest, Package, PackageError};
use recommend::Kind;

/// A model in service.
#[derive(Clone)]
pub enum Served {
    /// It classifies images.
    Image(Arc<ImageService>),
    /// It outlines regions of images.
    Segment(Arc<SegmentService>),
    /// It makes pictures.
    Generate(Arc<GenerateService>),
    /// It classifies notes.
    Note(Arc<NoteService>),
    /// It finds names in notes.
    Extract(Arc<ExtractService>),
    /// It makes vectors of texts.
    Embed(Arc<EmbedService>),
    /// It recommends.
    Recommendation(Arc<RecommendationService>),
}

impl Served {
    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        match self {
            Served::Image(service) => &service.manifest,
            Served::Segment(service) => &service.manifest,
            Served::Generate(service) => &service.manifest,
            Served::Note(service) => &service.manifest,
            Served::Extract(service) => &service.manifest,
            Served::Embed(service) => &service.manifest,
            Served::Recommendation(service) => &service.manifest,
        }
    }

    /// Number of inputs that wait for it.
    pub fn waiting(&self) -> usize {
        match self {
            Served::Image(service) => service.waiting(),
            // They wait where pictures are read.
            Served::Segment(_) | Served::Generate(_) => 0,
            Served::Note(service) => service.waiting(),
            Served::Extract(service) => service.waiting(),
            Served::Embed(service) => service.waiting(),
            Served::Recommendation(_) => 0,
        }
    }

    /// What it is computed in.
    pub fn precision(&self) -> Precision {
        match self {
            Served::Image(service) => service.precision,
            Served::Note(service) => service.precision,
            Served::Extract(service) => service.precision,
            Served::Embed(service) => service.precision,
            // These have no other form.
            _ => Precision::F32,
        }
    }

    /// Says in the metrics whether this version is in service.
    pub(super) fn announce(&self, serving: bool) {
        let Manifest { name, version, .. } = self.manifest();
        metrics::gauge!("medserve_model_serving", "model" => name.clone(), "version" => version.clone())
            .set(if serving { 1.0 } else { 0.0 });
    }

    /// Its model card, in Markdown.
    pub fn card(&self) -> &str {
        match self {
            Served::Image(service) => &service.card,
            Served::Segment(service) => &service.card,
            Served::Generate(service) => &service.card,
            Served::Note(service) => &service.card,
            Served::Extract(service) => &service.card,
            Served::Embed(service) => &service.card,
            Served::Recommendation(service) => &service.card,
        }
    }
}

/// All models in service, by name.
pub struct Registry {
    pub(super) models: BTreeMap<String, Served>,
    /// The digests of their packages, by name.
    pub(super) digests: BTreeMap<String, String>,
    /// Packages that could not be loaded, and why.
    pub(super) refused: Vec<PackageError>,
    /// Where all models read their images and notes.
    pub(super) preprocess: Arc<PreprocessPool>,
    /// Held while a model changes; one lock for a registry and all that replace it.
    pub(super) changing: Arc<Mutex<()>>,
}

impl Registry {
    /// Loads the highest version of every package under the configured folder. What was refused
    /// comes beside what serves.
    ///
    /// # Errors
    /// Threads could not be started.
    pub fn load(config: &Config) -> std::io::Result<(Registry, Vec<PackageError>)> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let preprocess = Arc::new(PreprocessPool::start(threads, config.decode_memory)?);
        let (mut models, mut digests) = (BTreeMap::new(), BTreeMap::new());
        let mut refused = Vec::new();
        match latest(&config.models_dir) {
            Err(error) => refused.push(error),
            Ok(packages) => {
                for (name, folder) in packages {
                    match start(&folder, config, &preprocess) {
                        Ok((served, digest)) => {
                            served.announce(true);
                            digests.insert(name.clone(), digest);
                            models.insert(name, served);
                        }
                        Err(error) => refused.push(error),
                    }
                }
            }
        }
        let told = refused.clone();
        Ok((Registry { models, digests, refused, preprocess, changing: Arc::default() }, told))
    }

    /// The registry that replaces this one.
    pub(super) fn successor(&self, models: BTreeMap<String, Served>, refused: Vec<PackageError>) -> Registry {
        let (preprocess, changing) = (self.preprocess.clone(), self.changing.clone());
        Registry { models, digests: self.digests.clone(), refused, preprocess, changing }
    }

    /// The model of this name.
    pub fn get(&self, name: &str) -> Option<&Served> {
        self.models.get(name)
    }

    /// SHA-256, in hexadecimal, of the manifest of the package that is served under this name. The manifest has the
    /// digests of the weights and of all else that an answer depends on.
    pub fn digest(&self, name: &str) -> Option<&str> {
        self.models.get(name).and_then(|_| self.digests.get(name)).map(String::as_str)
    }

    /// The learned recommender of a kind of item: of several the one whose name comes first.
    pub fn recommender(&self, kind: Kind, own: impl Fn(&str) -> bool) -> Option<Arc<RecommendationService>> {
        self.all().find_map(|served| match served {
            Served::Recommendation(service)
                if service.learned.kind == kind && own(&service.manifest.name) =>
            {
                Some(service.clone())
            }
            _ => None,
        })
    }

    /// All models in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Served> {
        self.models.values()
    }

    /// How many packages were refused.
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    /// True where no model is served.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }
}

/// Loads the package in `folder` as it would be served, and lets it go again.
///
/// # Errors
/// Why it would be refused.
pub fn try_out(folder: &Path, config: &Config) -> Result<(), PackageError> {
    let preprocess =
        PreprocessPool::start(1, config.decode_memory).map_err(|error| PackageError::new(folder, error))?;
    start(folder, config, &Arc::new(preprocess)).map(drop)
}

/// Loads the package in `folder` and warms its model. The digest of its manifest comes with it.
pub(super) fn start(
    folder: &Path,
    config: &Config,
    preprocess: &Arc<PreprocessPool>,
) -> Result<(Served, String), PackageError> {
    let mut digest = String::new();
    let package = Package::read_accepted(folder, |manifest, described| {
        digest = sha256(manifest);
        config.model_keys.as_ref().map_or(Ok(()), |keys| signature::check(folder, manifest, described, keys))
    })?;
    let served = match &package.manifest.input {
        Input::Image(_) if package.manifest.segmentation.is_some() => {
            Served::Segment(Arc::new(SegmentService::start(package, config, preprocess.clone())?))
        }
        Input::Image(_) if package.manifest.generation.is_some() => {
            Served::Generate(Arc::new(GenerateService::start(package, preprocess.clone())?))
        }
        Input::Image(_) => Served::Image(Arc::new(ImageService::start(package, config, preprocess.clone())?)),
        Input::Record(_) => Served::Note(Arc::new(NoteService::start(package, config, preprocess.clone())?)),
        Input::Text(_) if package.manifest.labels.is_empty() => {
            Served::Embed(Arc::new(EmbedService::start(package, config, preprocess.clone())?))
        }
        Input::Text(_) => {
            Served::Extract(Arc::new(ExtractService::start(package, config, preprocess.clone())?))
        }
        Input::History(_) => Served::Recommendation(Arc::new(RecommendationService::start(package)?)),
    };
    Ok((served, digest))
}
