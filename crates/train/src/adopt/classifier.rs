//! `train adopt` for classifiers of images: a directory of Hugging Face's form becomes a package once it was measured,
//! calibrated and given its abstention on the hospital's own pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use model::manifest::{Architecture, Calibration, FORMAT, ImageInput, Input, Manifest};
use nn::{Network, Params};
use serde_json::{Value, json};
use vision::network;
use vision::onnx::OnnxNetwork;

use super::directory::{file, no_program, weights_file};
use super::picture::{FAMILIES, Members, check_side};
use super::picture_weights::weights;
use super::{AdoptOptions, onnx};
use crate::about::{training, unwritten_weights};
use crate::examples::Source;
use crate::finish::{Answers, Finished, check_abstain_share, finish, version};
use crate::image::answers;
use crate::image_set::ImageSet;
use crate::likeness;

/// Fewest validation pictures by which a model is calibrated.
const FEWEST: usize = 20;

/// What is read of a directory.
pub struct Classifier {
    /// The network.
    pub architecture: Architecture,
    /// What is done to a picture.
    pub input: ImageInput,
    /// Labels in the order of the network's outputs.
    pub labels: Vec<String>,
    /// Values under our names; none of an ONNX file.
    pub weights: BTreeMap<String, candle_core::Tensor>,
    /// The file, where the network is one.
    pub onnx: Option<Vec<u8>>,
    /// Digests of what was read, by name.
    pub sha256: BTreeMap<String, String>,
}

/// Whether a directory is of a model that reads images: it says how they are brought to it, or is of a known family.
pub fn is_one(path: &Path) -> bool {
    let config = std::fs::read(path.join("config.json")).ok();
    let config: Option<Value> = config.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let family = config.and_then(|config| Some(config.get("model_type")?.as_str()?.to_string()));
    onnx::is_one(path)
        || path.join("preprocessor_config.json").is_file()
        || family.is_some_and(|family| FAMILIES.contains(&family.as_str()))
}

impl Classifier {
    /// Reads and checks a directory; `labels` are taken before what it says.
    ///
    /// # Errors
    /// A sentence that says what is missing or must not be there, and what is accepted.
    pub fn read(path: &Path, labels: &[String]) -> Result<Classifier> {
        if let Some((folder, file)) = onnx::found(path) {
            return onnx::read(&folder, &file, labels);
        }
        let shown = path.display();
        let mut sha256 = BTreeMap::new();
        let bytes =
            file(path, "config.json", &mut sha256)?.with_context(|| format!("{shown} has no config.json"))?;
        let config: Value = serde_json::from_slice(&bytes).with_context(|| format!("{shown}/config.json"))?;
        no_program(path, &config)?;
        let bytes = file(path, "preprocessor_config.json", &mut sha256)?.with_context(|| {
            format!(
                "{shown} has no preprocessor_config.json, which says how pictures are brought to the network"
            )
        })?;
        let preprocessor: Value =
            serde_json::from_slice(&bytes).with_context(|| format!("{shown}/preprocessor_config.json"))?;
        weights_file(path)?;
        let config = Members { file: format!("{shown}/config.json"), value: &config };
        let family = config.value["model_type"].as_str().unwrap_or_default();
        ensure!(
            FAMILIES.contains(&family),
            "{shown}: networks of the type \"{family}\" are not known; these are: {}",
            FAMILIES.join(", ")
        );
        let architecture = config.architecture(family)?;
        let channels = config.value["num_channels"].as_u64().unwrap_or(3) as usize;
        ensure!([1, 3].contains(&channels), "{shown}: pictures of {channels} channels; 1 or 3 are read here");
        let preprocessor =
            Members { file: format!("{shown}/preprocessor_config.json"), value: &preprocessor };
        let input = preprocessor.input(channels)?;
        check_side(family, &config, &input, path)?;
        let own = config.labels()?;
        let labels = match labels.is_empty() {
            true => own,
            false => {
                ensure!(
                    labels.len() == own.len(),
                    "--labels names {} labels; the model has {}",
                    labels.len(),
                    own.len()
                );
                labels.to_vec()
            }
        };
        let graph = network::describe(&architecture, &input, labels.len())
            .with_context(|| format!("{shown}/config.json"))?;
        let name = format!("{shown}/model.safetensors");
        let bytes = file(path, "model.safetensors", &mut sha256)?.with_context(|| name.clone())?;
        let weights = weights(&bytes, &name, &architecture, &graph)?;
        Ok(Classifier { architecture, input, labels, weights, onnx: None, sha256 })
    }
}

/// Reads, measures and writes a package. Returns its folder and manifest.
///
/// # Errors
/// A directory that cannot be adopted, or data that it cannot be measured on.
pub fn adopt(options: &AdoptOptions) -> Result<(PathBuf, Manifest)> {
    check_abstain_share(options.head.abstain_share)?;
    let classifier = Classifier::read(&options.directory, &options.head.labels)?;
    let source = Source::read(&options.data, &classifier.labels, 0, None).with_context(|| {
        format!(
            "the model's labels are {}; --labels gives them, in this order, the names of your folders",
            classifier.labels.join(", ")
        )
    })?;
    let val = source.splits.get("val").map_or(0, Vec::len);
    ensure!(
        val >= FEWEST,
        "{}: {val} pictures in the split val are too few to calibrate a model by; at least {FEWEST} are asked for",
        options.data.display()
    );
    let version = version(options.version, &options.out, &options.name)?;
    let mut manifest = describe(options, &classifier, &source, version);
    manifest.check().map_err(anyhow::Error::msg)?;
    let Classifier { architecture, input, labels, weights, onnx, .. } = classifier;
    let network: Box<dyn Network<Tensor>> = match (&onnx, &architecture) {
        (Some(file), Architecture::Onnx(config)) => {
            Box::new(OnnxNetwork::load(file, config, &input, labels.len())?)
        }
        _ => {
            let mut params = Params::frozen(weights.clone());
            let network = network::build(&architecture, &input, labels.len(), &mut params)?;
            params.finish()?;
            Box::new(network)
        }
    };
    let mut splits = BTreeMap::new();
    for split in ["val", "test"] {
        let Some(examples) = source.splits.get(split) else { continue };
        eprintln!("measuring on {} pictures of the split {split}", examples.len());
        splits.insert(split.to_string(), answers(network.as_ref(), &ImageSet::new(examples, &input, None)?)?);
    }
    let mut extra = Vec::new();
    if let Some(file) = onnx {
        manifest.architecture = onnx::settled(&mut splits);
        extra.push((model::package::ONNX, file));
    }
    if source.splits.get("train").is_some_and(|train| train.len() >= likeness::FEWEST) {
        eprintln!("fitting what tells pictures unlike these");
        let fitted = likeness::fit(&input, &source.splits, 0)?;
        manifest.likeness = Some(fitted.described);
        extra.push((model::package::LIKENESS, fitted.likeness.to_bytes()?));
    }
    let Answers { logits, truth } = &splits["val"];
    let calibration = Answers { logits: logits.clone(), truth: truth.clone() };
    let finished = Finished {
        floors: BTreeMap::new(),
        manifest,
        weights,
        calibration,
        splits,
        abstain_share: options.head.abstain_share,
        history: Vec::new(),
        notes: "## Adopted\n\nThe weights were trained by others, on pictures that are not named here. Temperature, abstention and \
                metrics are of the data above, which it was not trained on unless its makers had it, too.\n"
            .to_string(),
        extra,
        subjects: None,
        report: false,
    };
    finish(finished, &options.out)
}

fn describe(options: &AdoptOptions, classifier: &Classifier, source: &Source, version: u64) -> Manifest {
    let folder = options.directory.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut settings: BTreeMap<String, Value> =
        BTreeMap::from([("adopted".to_string(), json!(folder.unwrap_or_default()))]);
    for (file, digest) in &classifier.sha256 {
        settings.insert(format!("{file} sha256"), json!(digest));
    }
    Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options
            .about
            .description_or("Classifies images by a network that others have trained.".to_string()),
        labels: classifier.labels.clone(),
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::Image(classifier.input.clone()),
        outputs: None,
        segmentation: None,
        generation: None,
        precision: None,
        architecture: classifier.architecture.clone(),
        exact_convolution: false,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        data: options.about.data_of(&source.sha256, &source.splits),
        training: training(0, 0, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    }
}
