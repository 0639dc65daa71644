//! The forward passes of the packages in `models/`, as the engines run them, and single layers.
//!
//!     cargo bench --bench inference
//!
//! With `--peer` the program measures on request instead, for `benches/peers/inference.py`: it
//! reads lines such as `{"package": "models/pneumonia/1", "inputs": "FILE", "threads": 1,
//! "rounds": 20}` and answers each with the median seconds of a batch and its logits.

mod convolution;
mod image;
mod measure;
mod text;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use criterion::Criterion;
use model::Package;
use model::manifest::{Input, Precision};
use model::package::latest;
use serde::Deserialize;

use convolution::Convolution;
use measure::{Measured, floats};

/// What a peer asks for.
#[derive(Deserialize)]
struct Request {
    #[serde(flatten)]
    network: Network,
    /// File with the batch, in the form of its kind of network.
    inputs: PathBuf,
    /// Engines.
    threads: usize,
    /// Batches each engine computes.
    rounds: usize,
}

/// What is measured.
#[derive(Deserialize, PartialEq)]
#[serde(untagged)]
enum Network {
    /// The network in this folder.
    Package {
        package: PathBuf,
        #[serde(default = "single")]
        precision: Precision,
    },
    /// A network of images that is described in a file, its weights in another; over bytes it is calibrated on
    /// the images of a third.
    Described { description: PathBuf, weights: PathBuf, examples: PathBuf, precision: Precision },
    /// A single convolution, its weights in a file.
    Convolution { channels: usize, side: usize, weights: PathBuf },
}

fn single() -> Precision {
    Precision::F32
}

fn main() {
    if std::env::args().any(|argument| argument == "--peer") {
        return answer_requests();
    }
    let mut criterion = Criterion::default().configure_from_args();
    convolution::bench(&mut criterion);
    text::networks(&mut criterion);
    for (name, folder) in latest(Path::new("models")).expect("the folder of the packages") {
        let package = read(&folder);
        match package.manifest.input {
            Input::Image(_) => image::bench(&mut criterion, &name, &package),
            Input::Record(_) => text::bench(&mut criterion, &name, &package),
            // These run on no engines of floats.
            Input::Text(_) | Input::History(_) => {}
        }
    }
    criterion.final_summary();
}

fn read(folder: &Path) -> Package {
    Package::read(folder).unwrap_or_else(|error| panic!("{error}"))
}

fn load(network: &Network) -> Box<dyn Measured> {
    match network {
        Network::Convolution { channels, side, weights } => {
            Box::new(Convolution::new(*channels, *side, floats(weights)))
        }
        Network::Described { description, weights, examples, precision } => {
            Box::new(image::described(description, weights, examples, *precision))
        }
        Network::Package { package, precision } => {
            let package = read(package);
            match package.manifest.input {
                Input::Image(_) => Box::new(image::engines(&package, *precision)),
                Input::Record(_) => Box::new(text::engines(&package)),
                _ => panic!("{} has no peer", package.manifest.name),
            }
        }
    }
}

fn answer_requests() {
    let mut loaded: Option<(Network, Box<dyn Measured>)> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line.expect("a line")).expect("a request");
        let (_, engines) = match &mut loaded {
            Some(entry) if entry.0 == request.network => entry,
            _ => {
                let engines = load(&request.network);
                loaded.insert((request.network, engines))
            }
        };
        println!("{}", engines.measure(&request.inputs, request.threads, request.rounds));
    }
}
