//! `train segment`: pictures with masks in, a package that outlines regions out.
//!
//! Training cuts tiles from pictures at random. Validation and the metrics read whole pictures by the very code that
//! serves them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::about::{AboutOptions, training, unwritten_weights};
use super::architectures::Stem;
use super::augment::{Augmentation, Planes};
use super::card::{members, noticed, plain};
use super::finish::{Answers, Finished, STOPPED, about, check_abstain_share, finish, version};
use super::fit::{FitOptions, Objective, Session, Validation, fit_to};
use super::image::{Augment, Orientation};
use super::masks::{Example, Masks, Page, targets, weights};
use super::region_choice::{maps, network_of, worth};
use super::region_limits;
use super::region_loss::region_loss;
use super::region_views;
use model::manifest::{
    Architecture, Calibration, Crop, FORMAT, FineStep, ImageInput, Input, Normalisation, Reading,
    RegionMetrics, ResizeFilter, ResnetConfig, ResnetStage, Segmentation, UnetConfig,
};
use model::{Manifest, Package};
use nn::{ImageNetwork, Network, Params, Pass};
use vision::network;

/// Least deviation of a picture that is brought to 1: that of one level of 255, since a fluorescent picture may use few.
const FLOOR: f32 = 0.004;

/// How a picture is brought to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ReadingKind {
    /// Tiles where objects are told apart, whole otherwise
    Auto,
    /// Resized to the network's input
    Whole,
    /// At its own size, in tiles
    Tiles,
}

/// Settings of `train segment`.
#[derive(Debug, Clone, clap::Args)]
pub struct SegmentOptions {
    /// Data set: a folder train|val|test/images, with masks (label numbers) or instances (object numbers) beside it
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
    /// Names of the labels beside the background, in the order of their numbers
    #[arg(long, env = "MEDSERVE_LABELS", value_delimiter = ',', default_value = "region")]
    pub labels: Vec<String>,
    /// How a picture is brought to the network
    #[arg(long, env = "MEDSERVE_READING", value_enum, default_value = "auto")]
    pub reading: ReadingKind,
    /// Kind of network
    #[arg(long, env = "MEDSERVE_ARCH", default_value = "unet", value_parser = ["unet"])]
    pub arch: String,
    /// Channels of the way down, from the largest maps to the smallest
    #[arg(long, env = "MEDSERVE_WIDTHS", value_delimiter = ',', default_value = "32,64,128,128")]
    pub widths: Vec<usize>,
    /// Residual blocks of each size of the way down
    #[arg(long, env = "MEDSERVE_BLOCKS", default_value_t = 1)]
    pub blocks: usize,
    /// First layers: small works at full size, large at half of it; auto is large
    #[arg(long, env = "MEDSERVE_STEM", value_enum, default_value = "auto")]
    pub stem: Stem,
    /// Channels of a last step at the picture's full size, behind first layers that halve it; 0 for none
    #[arg(long, env = "MEDSERVE_FINE", default_value_t = 16)]
    pub fine: usize,
    /// Side of the network's square input in pixels
    #[arg(long, env = "MEDSERVE_SIZE", default_value_t = 256)]
    pub size: u32,
    /// Pixels that neighboring tiles share at least
    #[arg(long, env = "MEDSERVE_OVERLAP", default_value_t = 64)]
    pub overlap: u32,
    /// Most epochs
    #[arg(long, env = "MEDSERVE_EPOCHS", default_value_t = 40)]
    pub epochs: usize,
    /// Tiles cut from each picture in an epoch
    #[arg(long, env = "MEDSERVE_TILES", default_value_t = 1)]
    pub tiles: usize,
    /// Tiles a step
    #[arg(long, env = "MEDSERVE_BATCH_SIZE", default_value_t = 8)]
    pub batch_size: usize,
    /// Highest learning rate
    #[arg(long, env = "MEDSERVE_LR", default_value_t = 2e-3)]
    pub lr: f64,
    /// Decay of weights a step, times the learning rate
    #[arg(long, env = "MEDSERVE_WEIGHT_DECAY", default_value_t = 0.02)]
    pub weight_decay: f64,
    /// Dropout before the way up
    #[arg(long, env = "MEDSERVE_UNET_DROPOUT", default_value_t = 0.0)]
    pub dropout: f32,
    /// How far training copies go from their originals
    #[arg(long, env = "MEDSERVE_AUGMENT", value_enum, default_value = "light")]
    pub augment: Augment,
    /// What else a picture could have been
    #[arg(long, env = "MEDSERVE_ORIENTATION", value_enum, default_value = "fixed")]
    pub orientation: Orientation,
    /// Epochs without a better validation after which training stops; 0 for never
    #[arg(long, env = "MEDSERVE_PATIENCE", default_value_t = 0)]
    pub patience: usize,
    /// Share of the validation pixels that abstentions are measured on
    #[arg(long, env = "MEDSERVE_ABSTAIN_SHARE", default_value_t = 0.01)]
    pub abstain_share: f64,
    /// Seed of everything random
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    /// Go on from the checkpoint of an interrupted run with the same settings
    #[arg(long, env = "MEDSERVE_RESUME")]
    pub resume: bool,
    /// Weights to start from: a package, or a file of safetensors or of PyTorch by torchvision's or Hugging Face's names
    #[arg(long, env = "MEDSERVE_FROM")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub about: AboutOptions,
}

/// Trains and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit, a run that diverged.
pub fn train(options: &SegmentOptions, stop: &AtomicBool) -> Result<(PathBuf, Manifest)> {
    let fit_options = fit_options(options);
    fit_options.check()?;
    check_abstain_share(options.abstain_share)?;
    ensure!(options.tiles > 0, "--tiles is 0, not 1 or more");
    let masks = Masks::read(&options.data, &["train", "val"])?;
    masks.check_marked().with_context(|| options.data.display().to_string())?;
    masks.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let mut labels = vec!["background".to_string()];
    labels.extend(options.labels.iter().cloned());
    match masks.instances {
        true => ensure!(labels.len() == 2, "--labels: objects are told apart for one label"),
        false => masks.check_labels(labels.len())?,
    }
    let mut manifest = describe(options, &masks, labels, &fit_options)?;
    let (Input::Image(input), Some(segmentation)) = (manifest.input.clone(), manifest.segmentation.clone())
    else {
        bail!("a segmentation reads images")
    };
    let outputs = segmentation.outputs(manifest.labels.len());
    let mut params = Params::fresh(options.seed);
    let network = network::build(&manifest.architecture, &input, outputs, &mut params)?;
    super::from::start(options.from.as_deref(), &mut manifest, &params)?;
    eprintln!(
        "a step of {} tiles of {} x {} pixels holds {} MB of values and gradients",
        options.batch_size,
        input.height,
        input.width,
        network.step_bytes(options.batch_size).div_ceil(1_000_000)
    );
    let pages = |split: &str| -> Result<Vec<Page>> {
        masks.splits[split].iter().map(|example| Page::new(example, &input, segmentation.reading)).collect()
    };
    let (train, val) = (pages("train")?, pages("val")?);
    let augmentation = augmentation(options);
    let size = planes(&input);
    let cuts = |(place, page): (usize, &Page)| vec![place; options.tiles * page.share(size)];
    let regions = Regions {
        network: &network,
        manifest: &manifest,
        input: &input,
        train: &train,
        val: &masks.splits["val"],
        cuts: train.iter().enumerate().flat_map(cuts).collect(),
        augmentation: augmentation.as_ref(),
    };
    let session = Session {
        stop,
        checkpoint: Some(options.out.join(&options.name).join(".checkpoint")),
        resume: options.resume,
        about: about(&manifest),
        progress: true,
    };
    let history = fit_to(&regions, &params, &fit_options, &session)?;
    manifest.training.epochs = history.len();
    let tried = region_views::possible(options.orientation);
    let measures = region_views::measure(&network, &manifest, &masks.splits["val"], &val, tried)?;
    let (settled, compared) = region_views::best(measures).context("nothing was measured")?;
    manifest.segmentation = Some(settled.segmentation.clone());
    manifest.calibration = Calibration::at(settled.temperature);
    let metrics = region_views::of_splits(&network, &manifest, &masks.splits)?;
    let notes = region_views::notes(&metrics, settled.segmentation.views, &compared);
    let usual = region_limits::usual(&network, &manifest, &masks.splits)?;
    let stopped = if stop.load(Ordering::Relaxed) { STOPPED } else { "" };
    manifest.segmentation = Some(Segmentation { metrics, usual, ..settled.segmentation });
    let answers = settled.answers;
    let finished = Finished {
        floors: BTreeMap::new(),
        manifest,
        weights: params.snapshot()?,
        calibration: Answers { logits: answers.logits.clone(), truth: answers.truth.clone() },
        splits: BTreeMap::from([("val".to_string(), answers)]),
        abstain_share: options.abstain_share,
        history,
        notes: format!("{notes}\n{}{stopped}", noticed(&masks.warnings)),
        extra: Vec::new(),
        subjects: None,
        report: false,
    };
    let written = finish(finished, &options.out)?;
    session.close()?;
    Ok(written)
}

/// The metrics of one split of `data` under a package.
///
/// # Errors
/// A package or data that cannot be read, or masks of other labels.
pub fn metrics_of(package: Package, data: &Path, split: &str) -> Result<RegionMetrics> {
    let manifest = package.manifest;
    let Some(segmentation) = &manifest.segmentation else {
        bail!("the model \"{}\" outlines no regions", manifest.name)
    };
    let masks = Masks::read(data, &[split])?;
    let kinds = |instances: bool| if instances { "instances" } else { "masks" };
    let (own, given) = (segmentation.instances.is_some(), masks.instances);
    ensure!(
        own == given,
        "{}: the model is measured on {} and not on {}",
        data.display(),
        kinds(own),
        kinds(given)
    );
    if !given {
        masks.check_labels(manifest.labels.len())?;
    }
    let network = network_of(&manifest, package.weights)?;
    measure(&network, &manifest, &masks.splits[split])
}

/// The metrics of whole pictures, as the server would answer them.
///
/// # Errors
/// A picture that cannot be read, or a network that fails.
pub fn measure(network: &ImageNetwork, manifest: &Manifest, examples: &[Example]) -> Result<RegionMetrics> {
    let maps = maps(network, manifest, examples)?;
    let instances = manifest.segmentation.as_ref().and_then(|segmentation| segmentation.instances.as_ref());
    Ok(super::region_choice::measure(&manifest.labels, instances, examples, &maps))
}

/// What a run learns.
struct Regions<'a> {
    network: &'a ImageNetwork,
    manifest: &'a Manifest,
    input: &'a ImageInput,
    train: &'a [Page],
    val: &'a [Example],
    /// The picture of each tile of an epoch.
    cuts: Vec<usize>,
    augmentation: Option<&'a Augmentation>,
}

impl Regions<'_> {
    fn instances(&self) -> bool {
        self.manifest.segmentation.as_ref().is_some_and(|segmentation| segmentation.instances.is_some())
    }
}

fn planes(input: &ImageInput) -> Planes {
    Planes { channels: input.channels as usize, height: input.height as usize, width: input.width as usize }
}

impl Objective for Regions<'_> {
    fn examples(&self) -> usize {
        self.cuts.len()
    }

    fn loss(&self, indices: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let size = planes(self.input);
        let seeded: Vec<(usize, u64)> = indices.iter().map(|index| (*index, rng.random())).collect();
        let cut = |(index, seed): &(usize, u64)| {
            let mut rng = ChaCha8Rng::seed_from_u64(*seed);
            let page = &self.train[self.cuts[*index]];
            let (values, numbers) = page.tile(size, self.augmentation, &mut rng);
            let truth = targets(&numbers, size.width, self.instances());
            (values, (truth, weights(&numbers, size.width, self.instances())))
        };
        let (values, sides): (Vec<Vec<f32>>, Vec<_>) = seeded.par_iter().map(cut).unzip();
        let (truth, weights): (Vec<Vec<u8>>, Vec<Vec<f32>>) = sides.into_iter().unzip();
        let shape = (indices.len(), size.channels, size.height, size.width);
        let tiles = Tensor::from_vec(values.concat(), shape, &Device::Cpu)?;
        let logits = self.network.logits(&tiles, &mut Pass::Training(rng))?;
        Ok(region_loss(&logits, truth.concat(), weights.concat())?)
    }

    fn validate(&self) -> Result<Validation> {
        let metrics = measure(self.network, self.manifest, self.val)?;
        Ok(Validation {
            loss: 1.0 - worth(&metrics),
            accuracy: metrics.dice,
            auc: metrics.objects.map(|objects| objects.f1),
        })
    }
}

fn augmentation(options: &SegmentOptions) -> Option<Augmentation> {
    let settings = options.augment.settings().map(|settings| Augmentation { cutout: 0.0, ..settings })?;
    Some(options.orientation.of(settings))
}

fn fit_options(options: &SegmentOptions) -> FitOptions {
    FitOptions {
        epochs: options.epochs,
        batch_size: options.batch_size,
        learning_rate: options.lr,
        warmup: 0.1,
        weight_decay: options.weight_decay,
        clip: 2.0,
        label_smoothing: 0.0,
        balance: 0.0,
        average_decay: 0.99,
        patience: options.patience,
        keep_last: false,
        seed: options.seed,
    }
}

/// The way down in the sizes of the options, and a way up as wide as the maps that it joins.
fn architecture(options: &SegmentOptions) -> Result<Architecture> {
    let first = *options.widths.first().context("--widths names no size")?;
    let half = options.stem != Stem::Small;
    let stage = |(place, channels): (usize, &usize)| ResnetStage {
        channels: *channels,
        blocks: options.blocks,
        stride: if place == 0 { 1 } else { 2 },
    };
    let encoder = ResnetConfig {
        stem_channels: first,
        stem_kernel: 3,
        stem_stride: if half { 2 } else { 1 },
        stem_pool: false,
        bottleneck: false,
        stages: options.widths.iter().enumerate().map(stage).collect(),
        dropout: options.dropout,
    };
    let decoder: Vec<usize> = options.widths.iter().rev().skip(1).copied().collect();
    ensure!(!decoder.is_empty(), "--widths names one size; a U-Net has two or more");
    let most = (1 << decoder.len()) * if half { 2 } else { 1 };
    ensure!(
        options.size.is_multiple_of(most) && options.size > 0,
        "--size is {}; with these widths it is a multiple of {most}",
        options.size
    );
    let fine = (half && options.fine > 0).then_some(FineStep { skip: options.fine, channels: options.fine });
    Ok(Architecture::Unet(UnetConfig { encoder, decoder, fine }))
}

fn describe(
    options: &SegmentOptions,
    masks: &Masks,
    labels: Vec<String>,
    fit_options: &FitOptions,
) -> Result<Manifest> {
    let mut settings = members(fit_options);
    settings.insert("augmentation".to_string(), plain(&augmentation(options)));
    settings.insert("tiles".to_string(), options.tiles.into());
    settings.insert(region_views::ABSTAIN_SHARE.to_string(), options.abstain_share.into());
    let tiled = match options.reading {
        ReadingKind::Auto => masks.instances,
        ReadingKind::Whole => false,
        ReadingKind::Tiles => true,
    };
    let channels = masks.splits.values().flatten().map(|example| example.image.channels()).max().unwrap_or(1);
    let version = version(options.version, &options.out, &options.name)?;
    let manifest = Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options.about.description.clone(),
        labels,
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::Image(ImageInput {
            height: options.size,
            width: options.size,
            channels,
            crop: Crop::None,
            resize: ResizeFilter::Bicubic,
            normalisation: Normalisation::PerImage { floor: FLOOR },
            accepts: None,
        }),
        architecture: architecture(options)?,
        exact_convolution: false,
        precision: None,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        outputs: None,
        segmentation: Some(Segmentation {
            reading: if tiled { Reading::Tiles { overlap: options.overlap } } else { Reading::Whole },
            instances: masks.instances.then_some(region_views::START),
            least_share: masks.least_share(),
            usual: None,
            views: 1,
            metrics: BTreeMap::new(),
        }),
        generation: None,
        data: options.about.data_of(&masks.sha256, &masks.splits),
        training: training(options.seed, 0, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    };
    manifest.check().map_err(anyhow::Error::msg)?;
    Ok(manifest)
}
