//! `train image`: a data set in, a package out; and what a package says of a split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};

use super::about::{AboutOptions, training, unwritten_weights};
use super::amount;
use super::architectures::NetworkOptions;
use super::augment::Augmentation;
use super::card::{members, noticed, plain};
use super::examples::Source;
use super::finish::{Answers, Finished, STOPPED, about, check_abstain_share, finish, version};
use super::fit::{Examples, FitOptions, Session, fit, predict};
use super::from;
use super::image_outputs;
use super::image_set::ImageSet;
use super::likeness;
use super::precision;
use super::report::{Shown, Subjects};
use super::splits::Grouping;
use model::Package;
use model::manifest::{
    Accepts, Architecture, Calibration, Crop, FORMAT, ImageInput, Input, Manifest, Normalisation, Outputs,
    ResizeFilter,
};
use nn::{Network, Params, Pass, random};
use vision::network;
use vision::onnx::OnnxNetwork;

/// Examples a forward pass takes while measuring.
const EVALUATION_BATCH: usize = 64;

/// The pattern of groups, among a package's settings.
const GROUP_BY: &str = "group_by";

/// Altered copies of each validation image that the temperature is fitted on.
const CALIBRATION_COPIES: usize = 4;

/// How far training copies go from their originals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Augment {
    /// The images as they are.
    None,
    /// Small moves and exposures.
    Light,
    /// What another hospital's device and positioning would make.
    Strong,
}

impl Augment {
    /// What is drawn from.
    pub(crate) fn settings(self) -> Option<Augmentation> {
        let light = Augmentation {
            rotation: 8.0,
            translation: 0.06,
            zoom: 0.1,
            shear: 0.05,
            flip: 0.0,
            quarter_turns: false,
            gamma: 0.2,
            contrast: 0.2,
            brightness: 0.05,
            noise: 0.02,
            sharpness: 0.3,
            cutout: 0.0,
            mixup: 0.0,
        };
        match self {
            Augment::None => None,
            Augment::Light => Some(light),
            Augment::Strong => Some(Augmentation {
                rotation: 12.0,
                translation: 0.1,
                zoom: 0.15,
                shear: 0.1,
                flip: 0.0,
                quarter_turns: false,
                gamma: 0.5,
                contrast: 0.5,
                brightness: 0.12,
                noise: 0.05,
                sharpness: 1.5,
                cutout: 0.3,
                mixup: 0.0,
            }),
        }
    }
}

/// What else a picture could have been without another label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Orientation {
    /// Nothing: left is left
    Fixed,
    /// Its mirror image
    Mirrored,
    /// Its mirror image and every quarter turn, as under a microscope
    Any,
}

impl Orientation {
    /// The same copies, turned as they may be.
    pub(crate) fn of(self, settings: Augmentation) -> Augmentation {
        match self {
            Orientation::Fixed => settings,
            Orientation::Mirrored => Augmentation { flip: 0.5, ..settings },
            Orientation::Any => Augmentation { flip: 0.5, quarter_turns: true, ..settings },
        }
    }
}

/// What is cut off a picture that is no square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CropKind {
    /// What lies outside of the square in its middle
    Centre,
    /// Nothing: it is squashed to a square, as those of training were if they are squares that were films of another shape
    None,
}

impl CropKind {
    fn crop(self) -> Crop {
        match self {
            CropKind::Centre => Crop::Centre,
            CropKind::None => Crop::None,
        }
    }
}

/// What training makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LossKind {
    /// Labels exclude each other
    CrossEntropy,
    /// Several labels may hold at once
    Binary,
    /// The network gives a number
    MeanSquaredError,
}

/// What a DICOM file may say that it is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AcceptsOptions {
    /// Values of DICOM's Modality that are accepted, such as CR,DX; default: any
    #[arg(long, env = "MEDSERVE_MODALITY", value_delimiter = ',')]
    pub modality: Vec<String>,
    /// Values of DICOM's Body Part Examined that are accepted, such as CHEST; default: any
    #[arg(long, env = "MEDSERVE_BODY_PART", value_delimiter = ',')]
    pub body_part: Vec<String>,
    /// Values of DICOM's View Position that are accepted, such as PA,AP; default: any
    #[arg(long, env = "MEDSERVE_VIEW", value_delimiter = ',')]
    pub view: Vec<String>,
    /// Age in whole years above which a DICOM file's picture gets no label, such as 17 for a model of children; default: any
    #[arg(long, env = "MEDSERVE_OLDEST")]
    pub oldest: Option<u16>,
}

impl AcceptsOptions {
    /// For the manifest; none where nothing is named.
    pub fn accepts(&self) -> Option<Accepts> {
        let words = |words: &[String]| {
            let words = words.iter().map(|word| word.trim().to_uppercase());
            words.filter(|word| !word.is_empty()).collect::<Vec<_>>()
        };
        let accepts = Accepts {
            modalities: words(&self.modality),
            body_parts: words(&self.body_part),
            views: words(&self.view),
            oldest: self.oldest,
        };
        (accepts != Accepts::default()).then_some(accepts)
    }
}

/// Settings of `train image`.
#[derive(Debug, Clone, clap::Args)]
pub struct ImageOptions {
    /// Data set: an .npz in the MedMNIST form, or a folder train|val|test/<label>/*.png|jpg|dcm, or <label>/*; for several labels at
    /// once or a number a folder with labels.csv
    #[arg(long, env = "MEDSERVE_DATA")]
    pub data: PathBuf,
    /// Name the model is served under
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// Version of the package; default: one above the highest there is
    #[arg(long, env = "MEDSERVE_VERSION")]
    pub version: Option<u64>,
    /// Folder the package is written under
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// Kind of network and its sizes
    #[command(flatten)]
    pub network: NetworkOptions,
    /// Side of the network's square input in pixels; default: the median of the images' shorter sides, 224 at most, and
    /// 64 where there are fewer than 1,500 to train on
    #[arg(long, env = "MEDSERVE_SIZE")]
    pub size: Option<u32>,
    /// What is cut off a picture that is no square; default: centre
    #[arg(long, env = "MEDSERVE_CROP", value_enum)]
    pub crop: Option<CropKind>,
    /// What training makes small: whether labels exclude each other, several may hold at once, or there is a number
    #[arg(long, env = "MEDSERVE_LOSS", value_enum, default_value = "cross-entropy")]
    pub loss: LossKind,
    /// Column of labels.csv with the number; default: the only one
    #[arg(long, env = "MEDSERVE_NUMBER")]
    pub number: Option<String>,
    /// What the number is counted in, such as years
    #[arg(long, env = "MEDSERVE_UNIT")]
    pub unit: Option<String>,
    /// Label names: of an archive in the order of its numbers, of a folder in the order wanted
    #[arg(long, env = "MEDSERVE_LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Pattern that names in a file's name whose picture it is: nobody is in two splits
    #[arg(long, env = "MEDSERVE_GROUP_BY")]
    pub group_by: Option<String>,
    /// Most epochs; default: 24, and up to 100 where these are few steps
    #[arg(long, env = "MEDSERVE_EPOCHS")]
    pub epochs: Option<usize>,
    /// Examples a step
    #[arg(long, env = "MEDSERVE_BATCH_SIZE", default_value_t = 64)]
    pub batch_size: usize,
    /// Highest learning rate
    #[arg(long, env = "MEDSERVE_LR", default_value_t = 3e-3)]
    pub lr: f64,
    /// Decay of weights a step, times the learning rate
    #[arg(long, env = "MEDSERVE_WEIGHT_DECAY", default_value_t = 0.05)]
    pub weight_decay: f64,
    /// Share of a target that is spread over all labels
    #[arg(long, env = "MEDSERVE_LABEL_SMOOTHING", default_value_t = 0.1)]
    pub label_smoothing: f32,
    /// How far training copies go from their originals
    #[arg(long, env = "MEDSERVE_AUGMENT", value_enum, default_value = "strong")]
    pub augment: Augment,
    /// What else a picture could have been without another label
    #[arg(long, env = "MEDSERVE_ORIENTATION", value_enum, default_value = "fixed")]
    pub orientation: Orientation,
    /// Mixes pictures of training, and their labels, in shares of the Beta distribution of this parameter (Zhang et al. 2018):
    /// 0.2 to 0.4 where labels are uncertain, 0 for none
    #[arg(long, env = "MEDSERVE_MIXUP", default_value_t = 0.0)]
    pub mixup: f32,
    /// Weights to start from: a package, or a file of safetensors or of PyTorch by torchvision's or Hugging Face's names
    #[arg(long, env = "MEDSERVE_FROM")]
    pub from: Option<PathBuf>,
    /// Weight of an example by how rare its label is: 0 all examples the same, 1 all labels the same
    #[arg(long, env = "MEDSERVE_BALANCE", default_value_t = 0.5)]
    pub balance: f64,
    /// Epochs without a better validation loss after which training stops; 0 for never; default: a third of the epochs
    #[arg(long, env = "MEDSERVE_PATIENCE")]
    pub patience: Option<usize>,
    /// Keep the last epoch's weights, not those of the best validation loss; training then never stops early
    #[arg(long, env = "MEDSERVE_KEEP_LAST")]
    pub keep_last: bool,
    /// Share of the validation examples on which the model may abstain
    #[arg(long, env = "MEDSERVE_ABSTAIN_SHARE", default_value_t = 0.01)]
    pub abstain_share: f64,
    /// Leave out the measure of likeness by which the model abstains on pictures unlike its training
    #[arg(long, env = "MEDSERVE_NO_LIKENESS")]
    pub no_likeness: bool,
    /// Leave out the measurement by which a server may compute the network over bytes
    #[arg(long, env = "MEDSERVE_NO_INT8")]
    pub no_int8: bool,
    #[command(flatten)]
    pub accepts: AcceptsOptions,
    /// Seed of everything random
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    /// Go on from the checkpoint of an interrupted run with the same settings
    #[arg(long, env = "MEDSERVE_RESUME")]
    pub resume: bool,
    /// Write a page of plots, groups and wrong answers into the package (report.html); it shows examples of the data
    #[arg(long, env = "MEDSERVE_REPORT")]
    pub report: bool,
    #[command(flatten)]
    pub about: AboutOptions,
}

impl ImageOptions {
    /// How training copies are altered.
    pub(crate) fn augmentation(&self) -> Option<Augmentation> {
        let settings = self.augment.settings().map(|settings| self.orientation.of(settings));
        settings.map(|settings| Augmentation { mixup: self.mixup, ..settings })
    }
}

/// Trains and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit, a run that diverged.
pub fn train(options: &ImageOptions, stop: &AtomicBool) -> Result<(PathBuf, Manifest)> {
    // What can be refused without the data is refused before it is read.
    fit_options(options, 0).check()?;
    check_abstain_share(options.abstain_share)?;
    check_mixup(options)?;
    let groups = options.group_by.as_deref().map(Grouping::new).transpose()?;
    if options.loss != LossKind::CrossEntropy {
        return image_outputs::train(options, groups.as_ref(), stop);
    }
    for (name, given) in [("--number", &options.number), ("--unit", &options.unit)] {
        ensure!(given.is_none(), "{name} is for a number: --loss mean-squared-error");
    }
    let mut source = Source::read(&options.data, &options.labels, options.seed, groups.as_ref())?;
    let checked = source.check_trainable().and_then(|()| source.check_measurable());
    checked.with_context(|| options.data.display().to_string())?;
    let input = input(&mut source, options);
    source.say();
    let fit_options = fit_options(options, source.splits["train"].len());
    let architecture = options.network.architecture(input.height, source.splits["train"].len())?;
    // Whatever would make the package refuse itself is said now, not after the training.
    let mut manifest = describe(options, &source, input.clone(), architecture, &fit_options, None)?;

    let sets = sets(&source, &input, options)?;
    let (train, val) = (&sets["train"], &sets["val"]);

    let mut params = Params::fresh(options.seed);
    let network = network::build(&manifest.architecture, &input, source.labels.len(), &mut params)?;
    from::start(options.from.as_deref(), &mut manifest, &params)?;
    let session = session(options, &manifest, &input, network.step_bytes(options.batch_size), stop);
    let history = fit(&network, &params, train, val, source.labels.len(), &fit_options, &session)?;
    manifest.training.epochs = history.len();

    let mut splits = BTreeMap::new();
    for (split, set) in &sets {
        splits.insert(split.clone(), answers(&network, set)?);
    }
    let mut extra = Vec::new();
    let enough = source.splits["train"].len() >= likeness::FEWEST;
    if enough && !options.no_likeness && !stop.load(Ordering::Relaxed) {
        eprintln!("fitting what tells pictures unlike these");
        let fitted = likeness::fit(&input, &source.splits, options.seed)?;
        manifest.likeness = Some(fitted.described);
        extra.push((model::package::LIKENESS, fitted.likeness.to_bytes()?));
    }
    let finished = Finished {
        floors: BTreeMap::new(),
        manifest,
        weights: params.snapshot()?,
        calibration: calibration(&network, &source, &input, options)?,
        splits,
        abstain_share: options.abstain_share,
        history,
        notes: noticed(&source.warnings) + if stop.load(Ordering::Relaxed) { STOPPED } else { "" },
        extra,
        subjects: Some(Box::new(|split| subjects(&source, split))),
        report: options.report,
    };
    let (folder, mut manifest) = finish(finished, &options.out)?;
    session.close()?;
    if !options.no_int8 && !stop.load(Ordering::Relaxed) {
        eprintln!("measuring what it costs over bytes");
        manifest = precision::amend(Package::read(&folder)?, &source)?;
    }
    Ok((folder, manifest))
}

/// Refuses a mixture that there is not.
fn check_mixup(options: &ImageOptions) -> Result<()> {
    let mixup = options.mixup;
    ensure!((0.0..=10.0).contains(&mixup), "--mixup is {mixup}, not from 0 to 10");
    ensure!(
        mixup == 0.0 || options.augment != Augment::None,
        "--mixup alters copies, and --augment none makes none"
    );
    Ok(())
}

/// What the network of a package says of one split of `data`.
///
/// # Errors
/// A package or data that cannot be read, or labels that are not the model's.
pub fn answers_of(package: Package, data: &Path, split: &str) -> Result<(Manifest, Answers)> {
    let manifest = package.manifest;
    let Input::Image(input) = &manifest.input else {
        bail!("the model \"{}\" does not read images", manifest.name)
    };
    let source = source(&manifest, data)?;
    let examples = source.splits.get(split).with_context(|| format!("the data has no split \"{split}\""))?;
    let set = ImageSet::new(examples, input, None)?;
    if let Architecture::Onnx(config) = &manifest.architecture {
        let file = package.folder.join(model::package::ONNX);
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let network = OnnxNetwork::load(&bytes, config, input, manifest.labels.len())
            .with_context(|| file.display().to_string())?;
        let answers = answers(&network, &set)?;
        return Ok((manifest, answers));
    }
    let mut params = Params::frozen(package.weights);
    let network = network::build(&manifest.architecture, input, manifest.labels.len(), &mut params)?;
    params.finish()?;
    let answers = answers(&network, &set)?;
    Ok((manifest, answers))
}

/// The data of a package again, split as it was in training.
///
/// # Errors
/// Data that cannot be read, or labels that are not the model's.
pub fn source(manifest: &Manifest, data: &Path) -> Result<Source> {
    if manifest.outputs.is_some() {
        return Ok(image_outputs::table(manifest, data)?.source);
    }
    let groups = groups(manifest, data)?;
    Source::read(data, &manifest.labels, manifest.training.seed, groups.as_ref())
}

/// What says whose a file is, as it was in training.
///
/// # Errors
/// A pattern that is none.
pub(crate) fn groups(manifest: &Manifest, data: &Path) -> Result<Option<Grouping>> {
    let groups = manifest.training.settings.get(GROUP_BY).and_then(serde_json::Value::as_str);
    groups.filter(|_| data.is_dir()).map(Grouping::new).transpose()
}

/// The same, which must be the data that the package was trained on.
///
/// # Errors
/// As [`source`], or other data.
pub fn own_source(manifest: &Manifest, data: &Path) -> Result<Source> {
    let source = source(manifest, data)?;
    ensure!(
        source.sha256 == manifest.data.sha256,
        "{} is not the data that the model \"{}\" was trained on",
        data.display(),
        manifest.name
    );
    Ok(source)
}

/// What a network says of a split.
///
/// # Errors
/// A network that fails.
pub(crate) fn answers(network: &dyn Network<candle_core::Tensor>, set: &ImageSet) -> Result<Answers> {
    Ok(Answers { logits: predict(network, set, EVALUATION_BATCH)?, truth: set.labels().to_vec() })
}

/// What the temperature is fitted on: altered copies of the validation images. Images from another
/// hospital differ from the validation split as the copies do, and a temperature fitted on the
/// easy originals would promise too much.
pub(crate) fn calibration(
    network: &dyn Network<candle_core::Tensor>,
    source: &Source,
    input: &ImageInput,
    options: &ImageOptions,
) -> Result<Answers> {
    let augmentation = options.augmentation().map(|settings| Augmentation { mixup: 0.0, ..settings });
    let copies = if augmentation.is_some() { CALIBRATION_COPIES } else { 1 };
    let set = ImageSet::new(&source.splits["val"], input, augmentation)?;
    let indices: Vec<usize> = (0..set.labels().len()).collect();
    let mut found = Answers { logits: Vec::new(), truth: Vec::new() };
    let mut rng = random::stream(options.seed, "calibration");
    for _ in 0..copies {
        for part in indices.chunks(EVALUATION_BATCH) {
            let batch = set.training_batch(part, &mut [], &mut rng)?;
            found.logits.extend(network.logits(&batch, &mut Pass::Inference)?.to_vec2::<f32>()?);
            found.truth.extend(part.iter().map(|i| set.labels()[*i]));
        }
    }
    Ok(found)
}

/// The pictures of a split, as a report shows them.
fn subjects<'a>(source: &'a Source, split: &str) -> Subjects<'a> {
    let examples = source.splits.get(split).map_or(&[][..], Vec::as_slice);
    Subjects {
        show: Box::new(|index| Ok(Shown::Picture(vision::write::png(&examples[index].0)?))),
        groups: Vec::new(),
    }
}

/// The pictures of each split as the network reads them, those of training altered as the options say.
pub(crate) fn sets(
    source: &Source,
    input: &ImageInput,
    options: &ImageOptions,
) -> Result<BTreeMap<String, ImageSet>> {
    let set = |(split, examples): (&String, &Vec<(vision::Image, usize)>)| {
        let augmentation = if split == "train" { options.augmentation() } else { None };
        Ok((split.clone(), ImageSet::new(examples, input, augmentation)?))
    };
    source.splits.iter().map(set).collect()
}

/// How a run shows and saves itself; what a step of it holds is said before it begins.
pub(crate) fn session<'a>(
    options: &ImageOptions,
    manifest: &Manifest,
    input: &ImageInput,
    step_bytes: usize,
    stop: &'a AtomicBool,
) -> Session<'a> {
    let (count, held) = (options.batch_size, megabytes(step_bytes));
    eprintln!("a step of {count} images of {} x {} pixels holds {held}", input.height, input.width);
    Session {
        stop,
        checkpoint: Some(options.out.join(&options.name).join(".checkpoint")),
        resume: options.resume,
        about: about(manifest),
        progress: true,
    }
}

/// A size in memory, for people.
fn megabytes(bytes: usize) -> String {
    format!("{} MB of values and gradients", bytes.div_ceil(1_000_000))
}

/// The settings of the loop over so many training images.
pub(crate) fn fit_options(options: &ImageOptions, images: usize) -> FitOptions {
    let epochs = options.epochs.unwrap_or_else(|| amount::epochs(images, options.batch_size));
    let patience = options.patience.unwrap_or_else(|| amount::patience(epochs));
    FitOptions {
        epochs,
        batch_size: options.batch_size,
        learning_rate: options.lr,
        warmup: 0.1,
        weight_decay: options.weight_decay,
        clip: 2.0,
        label_smoothing: options.label_smoothing,
        balance: options.balance,
        average_decay: 0.99,
        // Where the last epoch is kept, however good, an earlier end would keep a worse one.
        patience: if options.keep_last { 0 } else { patience },
        keep_last: options.keep_last,
        seed: options.seed,
    }
}

/// What is done to a picture before the network reads it; what nobody can know of that is noted among the warnings.
pub(crate) fn input(source: &mut Source, options: &ImageOptions) -> ImageInput {
    if options.crop.is_none()
        && let Some(side) = source.one_square()
    {
        source.warnings.push(format!(
            "all pictures are squares of {side} pixels; others than squares are cut to their middle square, and where \
             these were squashed to squares that is another geometry: --crop none squashes, --crop centre cuts"
        ));
    }
    let (median, channels) = source.shape();
    let side = options.size.unwrap_or_else(|| amount::side(median, source.splits["train"].len()));
    ImageInput {
        height: side,
        width: side,
        channels,
        crop: options.crop.unwrap_or(CropKind::Centre).crop(),
        resize: ResizeFilter::Bicubic,
        normalisation: Normalisation::PerImage { floor: 0.02 },
        accepts: options.accepts.accepts(),
    }
}

pub(crate) fn describe(
    options: &ImageOptions,
    source: &Source,
    input: ImageInput,
    architecture: Architecture,
    fit_options: &FitOptions,
    outputs: Option<Outputs>,
) -> Result<Manifest> {
    let mut settings = members(fit_options);
    if let Some(pattern) = &options.group_by {
        settings.insert(GROUP_BY.to_string(), pattern.clone().into());
    }
    settings.insert("augmentation".to_string(), plain(&options.augmentation()));
    let version = version(options.version, &options.out, &options.name)?;
    let manifest = Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options.about.description.clone(),
        labels: source.labels.clone(),
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::Image(input),
        architecture,
        exact_convolution: false,
        precision: None,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        outputs,
        segmentation: None,
        generation: None,
        data: options.about.data_of(&source.sha256, &source.splits),
        training: training(options.seed, 0, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    };
    manifest.check().map_err(anyhow::Error::msg)?;
    Ok(manifest)
}
