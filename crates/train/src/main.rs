//! `train`: the offline program that makes and measures models. Argument parsing only.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use train::{card, evaluate, image, likeness, recommender, tables, text, text_options::TextOptions};

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
    /// Train a classifier of notes
    Text(Box<TextOptions>),
    /// Measure the recommender on interactions, beside popularity and random
    EvaluateRecommender {
        #[command(flatten)]
        options: recommender::EvaluationOptions,
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

/// Set by Ctrl-C; a second Ctrl-C ends the program at once.
static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> anyhow::Result<()> {
    stop_on_ctrl_c();
    match Cli::parse().command {
        Command::Image(options) => {
            let (folder, manifest) = image::train(&options, &STOP)?;
            print!("wrote {}\n\n{}", folder.display(), tables::by_split(&manifest.metrics));
        }
        Command::Text(options) => {
            let (folder, manifest) = text::train(&options, &STOP)?;
            print!("wrote {}\n\n{}", folder.display(), tables::by_split(&manifest.metrics));
        }
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
        Command::Evaluate { model, data, split, json } => {
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
