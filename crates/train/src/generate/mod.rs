//! `train generate`: labelled pictures in, a package that makes more of them out.
//!
//! What such a model is worth is not seen on its loss, so the pictures it makes are measured before anything is written: whether a
//! classifier can learn from them what real ones show, and whether they are those of training again ([`measure`]). A model that has
//! learnt its training pictures by heart is not written: whoever shares made pictures shares no patients'.

mod card;
mod eigen;
mod measure;
mod objective;
mod pictures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nn::Params;

use super::about::{AboutOptions, training, unwritten_weights};
use super::card::{members, plain};
use super::examples::Source;
use super::finish::{about, version};
use super::fit::{FitOptions, Session, fit_to};
use super::from::newest;
use super::image::Orientation;
use super::plots;
use super::splits::Grouping;
use measure::Measures;
use model::manifest::{
    Architecture, Calibration, Crop, DenoiserConfig, FORMAT, Generation, GenerationMetrics, ImageInput,
    Input, Normalisation, ResizeFilter,
};
use model::{Manifest, Package, package};
use objective::Denoising;
use pictures::Pictures;
use vision::generate::codec::Codec;

/// Frequencies whose sines and cosines tell the network the time.
const FREQUENCIES: usize = 8;

/// Pictures of each label on a sheet of samples.
const ON_SHEET: usize = 6;

/// Settings of `train generate`.
#[derive(Debug, Clone, clap::Args)]
pub struct GenerateOptions {
    /// Data set: an .npz in the MedMNIST form, or a folder train|val|test/<label>/*.png|jpg|dcm, or <label>/*
    #[arg(long, env = "MEDSERVE_DATA")]
    pub data: PathBuf,
    /// Name the model is served under
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// Version of the package; default: one above the highest there is
    #[arg(long, env = "MEDSERVE_VERSION")]
    pub version: Option<u64>,
    /// Folder the package is written under; sheets of samples by epoch lie in NAME/.samples beside it
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// Side of the square pictures in pixels
    #[arg(long, env = "MEDSERVE_SIZE", default_value_t = 64)]
    pub size: u32,
    /// Label names: of an archive in the order of its numbers, of a folder in the order wanted
    #[arg(long, env = "MEDSERVE_LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Pattern that names in a file's name whose picture it is: nobody is in two splits
    #[arg(long, env = "MEDSERVE_GROUP_BY")]
    pub group_by: Option<String>,
    /// Side in pixels of the squares that become a few numbers each
    #[arg(long, env = "MEDSERVE_PATCH", default_value_t = 4)]
    pub patch: usize,
    /// Numbers a square
    #[arg(long, env = "MEDSERVE_COMPONENTS", default_value_t = 24)]
    pub components: usize,
    /// Kind of network
    #[arg(long, env = "MEDSERVE_ARCH", default_value = "denoiser", value_parser = ["denoiser"])]
    pub arch: String,
    /// Channels of the network's maps, from the largest maps to the smallest
    #[arg(long, env = "MEDSERVE_WIDTHS", value_delimiter = ',', default_value = "64,96,128")]
    pub widths: Vec<usize>,
    /// Residual blocks of each size, on the way down and again on the way up
    #[arg(long, env = "MEDSERVE_BLOCKS", default_value_t = 2)]
    pub blocks: usize,
    /// Values that say the noise level and the label
    #[arg(long, env = "MEDSERVE_EMBEDDING", default_value_t = 128)]
    pub embedding: usize,
    /// Steps from noise to a picture
    #[arg(long, env = "MEDSERVE_STEPS", default_value_t = 12)]
    pub steps: usize,
    /// How much further than asked each step goes towards the label; 0 halves the work
    #[arg(long, env = "MEDSERVE_GUIDANCE", default_value_t = 0.3)]
    pub guidance: f32,
    /// Share of the noise that stays on the way, times its ratio to the picture: without it pictures are flatter than real ones
    #[arg(long, env = "MEDSERVE_NOISE_KEPT", default_value_t = 0.01)]
    pub noise_kept: f32,
    /// How much of the noise of a step is new: 0 for none, 1 for as much as training puts on
    #[arg(long, env = "MEDSERVE_NOISE_ANEW", default_value_t = 1.0)]
    pub noise_anew: f32,
    /// Share of the training pictures whose label the network is not told, for guidance
    #[arg(long, env = "MEDSERVE_UNLABELLED", default_value_t = 0.1)]
    pub unlabelled: f32,
    /// Epochs
    #[arg(long, env = "MEDSERVE_EPOCHS", default_value_t = 40)]
    pub epochs: usize,
    /// Pictures a step
    #[arg(long, env = "MEDSERVE_BATCH_SIZE", default_value_t = 32)]
    pub batch_size: usize,
    /// Highest learning rate
    #[arg(long, env = "MEDSERVE_LR", default_value_t = 1.5e-3)]
    pub lr: f64,
    /// Decay of weights a step, times the learning rate
    #[arg(long, env = "MEDSERVE_WEIGHT_DECAY", default_value_t = 0.01)]
    pub weight_decay: f64,
    /// Decay of the average of the weights, which is what is kept
    #[arg(long, env = "MEDSERVE_AVERAGE", default_value_t = 0.9995)]
    pub average: f64,
    /// Package to go on from, of the same labels and sizes; with --epochs 0 it is measured anew, such as with another --guidance
    #[arg(long, env = "MEDSERVE_FROM")]
    pub from: Option<PathBuf>,
    /// What else a picture could have been without another label
    #[arg(long, env = "MEDSERVE_ORIENTATION", value_enum, default_value = "fixed")]
    pub orientation: Orientation,
    /// Pictures of each label made to be measured
    #[arg(long, env = "MEDSERVE_MEASURED", default_value_t = 1000)]
    pub measured: usize,
    /// Steps of the classifiers that measure
    #[arg(long, env = "MEDSERVE_CLASSIFIER_STEPS", default_value_t = 1500)]
    pub classifier_steps: usize,
    /// Largest share of the pictures made that may be nearer to a training picture than all but a hundredth of the real ones
    #[arg(long, env = "MEDSERVE_MOST_MEMORISED", default_value_t = 0.02)]
    pub most_memorised: f64,
    /// Seed of everything random
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    /// Go on from the checkpoint of an interrupted run with the same settings
    #[arg(long, env = "MEDSERVE_RESUME")]
    pub resume: bool,
    #[command(flatten)]
    pub about: AboutOptions,
}

/// Trains, measures and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit, a run that diverged or was stopped, a model that has learnt its training
/// pictures by heart.
pub fn train(options: &GenerateOptions, stop: &AtomicBool) -> Result<(PathBuf, Manifest)> {
    let fit_options = fit_options(options);
    check(options, &fit_options)?;
    let groups = options.group_by.as_deref().map(Grouping::new).transpose()?;
    let source = Source::read(&options.data, &options.labels, options.seed, groups.as_ref())?;
    source.check_trainable().with_context(|| options.data.display().to_string())?;
    let mut manifest = describe(options, &source, &fit_options)?;
    let (Input::Image(input), Some(generation)) = (manifest.input.clone(), manifest.generation.clone())
    else {
        bail!("a generator has a size")
    };
    let mut sets = BTreeMap::new();
    for (split, examples) in &source.splits {
        sets.insert(split.as_str(), Pictures::new(examples, &input)?);
    }
    let (mut codec, lost) = pictures::codec(&sets["train"], &generation, &input)?;
    let mut params = Params::fresh(options.seed);
    let network = vision::generate::network(&manifest, &mut params)?;
    let mut epochs = 0;
    if let Some(from) = &options.from {
        let mut start = package_of(from)?;
        check_start(&start.manifest, &manifest).with_context(|| format!("--from {}", from.display()))?;
        codec = Codec::take(&mut start.weights, &generation, &input)?;
        params.restore(&start.weights)?;
        epochs = start.manifest.training.epochs;
        manifest.training.settings.insert("from".to_string(), start.manifest.weights.sha256.into());
    }
    eprintln!(
        "{} numbers for {} values of a square, {lost:.1} of 255 levels lost; {} values to learn; a step of {} pictures holds {} MB",
        generation.components,
        generation.patch * generation.patch * input.channels as usize,
        params.count(),
        options.batch_size,
        network.step_bytes(options.batch_size).div_ceil(1_000_000)
    );
    let model = options.out.join(&options.name);
    let denoising = Denoising {
        network: &network,
        codec: &codec,
        generation: &generation,
        input: &input,
        labels: &source.labels,
        train: &sets["train"],
        val: &sets["val"],
        ways: pictures::ways(options.orientation),
        unlabelled: options.unlabelled,
        seed: options.seed,
        sheets: model.join(".samples"),
    };
    let session = Session {
        stop,
        checkpoint: Some(model.join(".checkpoint")),
        resume: options.resume,
        about: about(&manifest),
        progress: true,
    };
    let history = match options.epochs {
        0 => Vec::new(),
        _ => fit_to(&denoising, &params, &fit_options, &session)?,
    };
    manifest.training.epochs = epochs + history.len();
    ensure!(!stop.load(Ordering::Relaxed), "stopped before its end: no package was written");

    let generator = denoising.generator()?;
    let measured = if sets.contains_key("test") { "test" } else { "val" };
    let metrics = Measures {
        generator: &generator,
        input: &input,
        labels: manifest.labels.len(),
        train: &sets["train"],
        train_examples: &source.splits["train"],
        held_out: &sets[measured],
        held_out_examples: &source.splits[measured],
        split: measured,
        orientation: options.orientation,
        each: options.measured,
        steps: options.classifier_steps,
        at_most: options.most_memorised,
        seed: options.seed,
        stop,
    }
    .run()?;
    ensure!(!stop.load(Ordering::Relaxed), "stopped while it was measured: no package was written");
    let written = write(options, manifest, metrics, &denoising, &params, &history)?;
    session.close()?;
    Ok(written)
}

fn write(
    options: &GenerateOptions,
    mut manifest: Manifest,
    metrics: GenerationMetrics,
    denoising: &Denoising,
    params: &Params,
    history: &[super::fit::Epoch],
) -> Result<(PathBuf, Manifest)> {
    let memorised = metrics.memorisation;
    print!("{}", card::measures(&metrics));
    ensure!(
        memorised.nearer <= memorised.at_most,
        "{:.1} % of the pictures made are nearer to a training picture than all but a hundredth of the real ones are; at most {:.1} % may be. \
         No package was written: fewer epochs or a smaller network learn less by heart",
        100.0 * memorised.nearer,
        100.0 * memorised.at_most
    );
    let sheet = denoising.sheet(&mut denoising.generator()?, ON_SHEET)?;
    let mut weights = params.snapshot()?;
    denoising.codec.put(&mut weights)?;
    if let Some(generation) = &mut manifest.generation {
        generation.metrics = Some(metrics);
    }
    manifest.weights.parameters = package::values(&weights);
    let card = card::card(&manifest);
    let mut extra = vec![("plots/samples.png", sheet)];
    if !history.is_empty() {
        extra.push(("plots/learning-curve.svg", plots::learning_curve(history)?));
    }
    let folder = Package::write(&options.out, &mut manifest, &weights, &card, &extra)?;
    Ok((folder, manifest))
}

fn check(options: &GenerateOptions, fit_options: &FitOptions) -> Result<()> {
    match (options.epochs, &options.from) {
        (0, Some(_)) => FitOptions { epochs: 1, ..fit_options.clone() }.check()?,
        _ => fit_options.check()?,
    }
    let share = |name: &str, value: f64| {
        ensure!((0.0..=1.0).contains(&value), "{name} is {value}, not from 0 to 1");
        Ok(())
    };
    share("--unlabelled", f64::from(options.unlabelled))?;
    share("--most-memorised", options.most_memorised)?;
    share("--average", options.average)?;
    ensure!(
        options.measured >= measure::FEWEST,
        "--measured is {}, not {} or more",
        options.measured,
        measure::FEWEST
    );
    ensure!(options.classifier_steps > 0, "--classifier-steps is 0, not 1 or more");
    Ok(())
}

fn fit_options(options: &GenerateOptions) -> FitOptions {
    FitOptions {
        epochs: options.epochs,
        batch_size: options.batch_size,
        learning_rate: options.lr,
        warmup: 0.05,
        weight_decay: options.weight_decay,
        clip: 1.0,
        label_smoothing: 0.0,
        balance: 0.0,
        average_decay: options.average,
        patience: 0,
        // A loss this near its end says little of the pictures.
        keep_last: true,
        seed: options.seed,
    }
}

fn describe(options: &GenerateOptions, source: &Source, fit_options: &FitOptions) -> Result<Manifest> {
    let mut settings = members(fit_options);
    settings.insert("orientation".to_string(), pictures::ways(options.orientation).into());
    settings.insert("unlabelled".to_string(), plain(&options.unlabelled));
    settings.insert("components".to_string(), plain(&[options.patch, options.components]));
    let version = version(options.version, &options.out, &options.name)?;
    let (_, channels) = source.shape();
    let described = "Makes pictures of the label asked for, each marked as synthetic.".to_string();
    let manifest = Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options.about.description_or(described),
        labels: source.labels.clone(),
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::Image(ImageInput {
            height: options.size,
            width: options.size,
            channels,
            crop: Crop::Centre,
            resize: ResizeFilter::Bicubic,
            normalisation: Normalisation::PerImage { floor: 0.02 },
            accepts: None,
        }),
        architecture: Architecture::Denoiser(DenoiserConfig {
            widths: options.widths.clone(),
            blocks: options.blocks,
            embedding: options.embedding,
        }),
        exact_convolution: false,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        outputs: None,
        segmentation: None,
        precision: None,
        generation: Some(Generation {
            patch: options.patch,
            components: options.components,
            frequencies: FREQUENCIES,
            steps: options.steps,
            guidance: options.guidance,
            noise_kept: options.noise_kept,
            noise_anew: options.noise_anew,
            metrics: None,
        }),
        data: options.about.data_of(&source.sha256, &source.splits),
        training: training(options.seed, 0, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    };
    manifest.check().map_err(anyhow::Error::msg)?;
    Ok(manifest)
}

/// The package in a folder, which may be that of a version or that of all versions.
fn package_of(path: &Path) -> Result<Package> {
    if path.join(package::MANIFEST).exists() {
        return Ok(Package::read(path)?);
    }
    Ok(Package::read(&newest(path)?)?)
}

/// Whether a package can be gone on from: its numbers mean the same, and its network is the same.
fn check_start(start: &Manifest, wanted: &Manifest) -> Result<()> {
    let size = |manifest: &Manifest| match &manifest.input {
        Input::Image(input) => Some((input.height, input.width, input.channels)),
        _ => None,
    };
    let squares = |manifest: &Manifest| {
        manifest.generation.as_ref().map(|generation| (generation.patch, generation.components))
    };
    ensure!(start.generation.is_some(), "this package makes no pictures");
    ensure!(
        start.labels == wanted.labels,
        "its labels are {}, not {}",
        start.labels.join(", "),
        wanted.labels.join(", ")
    );
    ensure!(size(start) == size(wanted), "its pictures are of another size");
    ensure!(squares(start) == squares(wanted), "its --patch and --components are others");
    ensure!(start.architecture == wanted.architecture, "its --widths, --blocks or --embedding are others");
    Ok(())
}
