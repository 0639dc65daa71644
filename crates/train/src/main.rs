//! `train`: the offline program that makes and measures models. Argument parsing only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use train::{
    adopt, card, embed, evaluate, extract, extract::confidence, generate, groups, image, likeness, lock,
    precision, recommender, region_views, segment, tables, text, text_options::TextOptions, text_precision,
};

/// A step of training takes and gives back large tensors, which the system's allocator returns to the
/// system each time and has to have cleared again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains and measures the models that medserve serves.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a classifier of images
    Image(Box<image::ImageOptions>),
    /// Train a model that outlines regions of images
    Segment(Box<segment::SegmentOptions>),
    /// Train a model that makes pictures, and measure them
    Generate(Box<generate::GenerateOptions>),
    /// Train a classifier of notes
    Text(Box<TextOptions>),
    /// Train a model that finds names in notes
    Extract(Box<extract::ExtractOptions>),
    /// Learn vectors of words and of texts, for search
    Embed(Box<embed::EmbedOptions>),
    /// Make a package of an encoder that others have trained (of sentences, of classes or of tags), once it was measured
    Adopt(Box<adopt::AdoptOptions>),
    /// Fit a recommender to interactions, as a package
    Recommender(Box<recommender::train::RecommenderOptions>),
    /// Measure the recommender on interactions, beside popularity and random
    EvaluateRecommender {
        #[command(flatten)]
        options: Box<recommender::EvaluationOptions>,
        /// Print JSON in one line
        #[arg(long, env = "MEDSERVE_JSON")]
        json: bool,
    },
    /// Give a finished package of images the measure by which it abstains on pictures unlike its training
    Likeness {
        /// Package: models/<name>, or one version's folder
        #[arg(long, env = "MEDSERVE_MODEL")]
        model: PathBuf,
        /// The data set that it was trained on
        #[arg(long, env = "MEDSERVE_DATA")]
        data: PathBuf,
        #[command(flatten)]
        accepts: image::AcceptsOptions,
    },
    /// Measure what a package of images, or an encoder of texts, costs in less than single precision, and allow that where it
    /// is next to nothing; of a model that train extract made, correct the probabilities of names
    Calibrate {
        /// Package: models/<name>, or one version's folder
        #[arg(long, env = "MEDSERVE_MODEL")]
        model: PathBuf,
        /// The data set that it was trained on; several, with commas between them, as train extract takes them
        #[arg(long, env = "MEDSERVE_DATA", value_delimiter = ',', required = true)]
        data: Vec<PathBuf>,
    },
    /// Measure a package of notes by groups of people, and put the table into its card
    Groups {
        /// Package: models/<name>, or one version's folder
        #[arg(long, env = "MEDSERVE_MODEL")]
        model: PathBuf,
        /// Data set, in a form that training reads
        #[arg(long, env = "MEDSERVE_DATA")]
        data: PathBuf,
    },
    /// Measure a package of regions in mirror images and quarter turns, and average over them where that is better
    Views {
        /// Package: models/<name>, or one version's folder
        #[arg(long, env = "MEDSERVE_MODEL")]
        model: PathBuf,
        /// The data set that it was trained on
        #[arg(long, env = "MEDSERVE_DATA")]
        data: PathBuf,
        /// Views to take whatever they are worth: 1, 2, 4 or 8; default: the best
        #[arg(long, env = "MEDSERVE_VIEWS")]
        views: Option<u8>,
    },
    /// Measure a package on a split of a data set
    Evaluate {
        /// Package: models/<name>, or one version's folder
        #[arg(long, env = "MEDSERVE_MODEL")]
        model: PathBuf,
        /// Data set, in a form that training reads
        #[arg(long, env = "MEDSERVE_DATA")]
        data: PathBuf,
        /// Split: train, val or test
        #[arg(long, env = "MEDSERVE_SPLIT", default_value = "test")]
        split: String,
        /// Print JSON instead of tables for people
        #[arg(long, env = "MEDSERVE_JSON")]
        json: bool,
    },
}

impl Command {
    /// The model's folder that the command writes to, if its name can be one.
    fn writes(&self) -> Option<PathBuf> {
        let (out, name) = match self {
            Command::Image(options) => (&options.out, &options.name),
            Command::Segment(options) => (&options.out, &options.name),
            Command::Generate(options) => (&options.out, &options.name),
            Command::Text(options) => (&options.out, &options.name),
            Command::Extract(options) => (&options.out, &options.name),
            Command::Embed(options) => (&options.out, &options.name),
            Command::Adopt(options) => (&options.out, &options.name),
            Command::Recommender(options) => (&options.out, &options.name),
            Command::Likeness { model, .. }
            | Command::Calibrate { model, .. }
            | Command::Groups { model, .. }
            | Command::Views { model, .. } => return folder_of(model),
            Command::EvaluateRecommender { .. } | Command::Evaluate { .. } => return None,
        };
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_plain.then(|| out.join(name))
    }
}

/// `models/<name>` of a package that was named by that folder or by one of its versions.
fn folder_of(model: &Path) -> Option<PathBuf> {
    let path = model.canonicalize().ok()?;
    match path.join(model::package::MANIFEST).exists() {
        true => path.parent().map(Path::to_path_buf),
        false => Some(path),
    }
}

/// Set by Ctrl-C; a second Ctrl-C ends the program at once.
static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> anyhow::Result<()> {
    stop_on_ctrl_c();
    let command = Cli::parse().command;
    let _lock = command.writes().map(|folder| lock::NameLock::take(&folder)).transpose()?;
    match command {
        Command::Image(options) => {
            let (folder, manifest) = image::train(&options, &STOP)?;
            let table = match &manifest.outputs {
                Some(outputs) => tables::by_output(&manifest.labels, outputs),
                None => tables::by_split(&manifest.metrics),
            };
            print!("wrote {}\n\n{table}", folder.display());
        }
        Command::Segment(options) => {
            let (folder, manifest) = segment::train(&options, &STOP)?;
            let metrics = manifest.segmentation.map(|segmentation| segmentation.metrics).unwrap_or_default();
            print!("wrote {}\n\n{}", folder.display(), tables::by_region("split", &metrics));
        }
        Command::Generate(options) => {
            let (folder, _) = generate::train(&options, &STOP)?;
            println!("wrote {}", folder.display());
        }
        Command::Text(options) => {
            let (folder, manifest) = text::train(&options, &STOP)?;
            print!("wrote {}\n\n{}", folder.display(), tables::by_split(&manifest.metrics));
        }
        Command::Extract(options) => {
            let (folder, _) = extract::train(&options, &STOP)?;
            println!("wrote {}", folder.display());
        }
        Command::Embed(options) => {
            let (folder, manifest) = embed::train(&options, &STOP)?;
            println!("wrote {}", folder.display());
            // Without pairs nothing was measured.
            if !manifest.metrics.is_empty() {
                print!("\n{}", embed::retrieval::table(manifest.metrics.iter()));
            }
        }
        Command::Adopt(options) => {
            let (folder, manifest) = adopt::adopt(&options)?;
            print!("wrote {}\n\n{}", folder.display(), adopt::summary(&manifest));
        }
        Command::Recommender(options) => match recommender::train::train(&options)? {
            recommender::train::Outcome::Wrote(folder, summary) => {
                println!("wrote {}\n{summary}", folder.display());
            }
            recommender::train::Outcome::NeighborsDoBetter(summary) => println!("{summary}"),
        },
        Command::EvaluateRecommender { options, json } => {
            let report = recommender::report(&options)?;
            match json {
                true => println!("{report}"),
                false => println!("{report:#}"),
            }
        }
        Command::Likeness { model, data, accepts } => {
            let package = evaluate::read_package(&model)?;
            let manifest = likeness::amend(package, &data, accepts.accepts())?;
            print!("{}", card::likeness(&manifest));
        }
        Command::Calibrate { model, data } => {
            let package = evaluate::read_package(&model)?;
            if confidence::is_for(&package.manifest) {
                let manifest = confidence::amend(package, &data, &STOP)?;
                print!("{}", confidence::paragraph(&manifest));
                return Ok(());
            }
            let data = confidence::only(&data)?;
            let manifest = match text_precision::is_for(&package.manifest) {
                true => text_precision::amend(package, data)?,
                false => {
                    let source = image::own_source(&package.manifest, data)?;
                    precision::amend(package, &source)?
                }
            };
            print!("{}", card::precision(&manifest));
        }
        Command::Groups { model, data } => {
            print!("{}", groups::amend(evaluate::read_package(&model)?, &data)?)
        }
        Command::Views { model, data, views } => {
            let (_, notes) = region_views::amend(evaluate::read_package(&model)?, &data, views)?;
            print!("{notes}");
        }
        Command::Evaluate { model, data, split, json } => {
            if let Some(evaluation) = evaluate::regions(&model, &data, &split)? {
                let table =
                    || tables::by_region("split", &BTreeMap::from([(split, evaluation.metrics.clone())]));
                match json {
                    true => println!("{}", serde_json::to_string(&evaluation)?),
                    false => print!("{}, version {}\n\n{}", evaluation.model, evaluation.version, table()),
                }
                return Ok(());
            }
            if let Some((labels, evaluation)) = evaluate::outputs(&model, &data, &split)? {
                let table = || tables::by_output(&labels, &evaluation.outputs);
                match json {
                    true => println!("{}", serde_json::to_string(&evaluation)?),
                    false => print!("{}, version {}\n\n{}", evaluation.model, evaluation.version, table()),
                }
                return Ok(());
            }
            let evaluation = evaluate::evaluate(&model, &data, &split)?;
            match json {
                true => println!("{}", serde_json::to_string(&evaluation)?),
                false => print!("{}", evaluation.tables()),
            }
        }
    }
    Ok(())
}

fn stop_on_ctrl_c() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!("stopping; the best weights so far are kept (Ctrl-C again to end at once)");
                STOP.store(true, Ordering::Relaxed);
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
    });
}
