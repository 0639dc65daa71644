//! Classifiers of images. A peer's file holds the batch as numbers in single precision, image
//! after image, channel after channel, as preprocessing leaves them.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::Criterion;
use medserve::inference::engine::Model;
use medserve::inference::image::ImageModel;
use model::Package;
use model::manifest::{Architecture, Crop, ImageInput, Input, Normalisation, Precision, ResizeFilter};
use nn::{Calibration, Clipping, Numerics, Params, Plan, Ranges, Runner};
use serde::Deserialize;
use vision::network;

use crate::measure::{Engines, Measured, floats};

fn input(package: &Package) -> ImageInput {
    match &package.manifest.input {
        Input::Image(input) => input.clone(),
        _ => panic!("{} reads no images", package.manifest.name),
    }
}

fn build(package: &Package, precision: Precision) -> ImageModel {
    ImageModel::build(&package.manifest, &input(package), &package.weights, precision)
        .expect("a sound package")
}

/// Values of one image.
fn length(input: &ImageInput) -> usize {
    (input.channels * input.height * input.width) as usize
}

/// The images of a peer's file.
fn images(file: &Path, length: usize) -> Vec<Vec<f32>> {
    floats(file).chunks_exact(length).map(<[f32]>::to_vec).collect()
}

/// The engines of a package, for a peer.
pub fn engines(package: &Package, precision: Precision) -> impl Measured + use<> {
    let length = length(&input(package));
    let model = build(package, precision);
    Engines::new(move || model.clone(), move |file: &Path| images(file, length))
}

/// A network without a package: its sizes, for weights of chance.
#[derive(Deserialize)]
struct Description {
    architecture: Architecture,
    channels: u32,
    side: u32,
    labels: usize,
}

/// Its plan with the memory it works in.
#[derive(Clone)]
struct Described(Runner);

impl Model for Described {
    type Input = Vec<f32>;

    fn logits(&mut self, inputs: &[Vec<f32>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(inputs.len());
        self.0.run(inputs, |logits| rows.push(logits.to_vec()))?;
        Ok(rows)
    }
}

/// The engines of a described network with the weights of a file; over bytes it is calibrated on the
/// images of `examples`.
pub fn described(
    description: &Path,
    weights: &Path,
    examples: &Path,
    precision: Precision,
) -> impl Measured + use<> {
    let text = std::fs::read_to_string(description).expect("a description");
    let Description { architecture, channels, side, labels } =
        serde_json::from_str(&text).expect("a description");
    let input = ImageInput {
        height: side,
        width: side,
        channels,
        crop: Crop::None,
        resize: ResizeFilter::Bilinear,
        normalisation: Normalisation::PerImage { floor: 0.02 },
        accepts: None,
    };
    let weights: BTreeMap<_, _> = candle_core::safetensors::load(weights, &candle_core::Device::Cpu)
        .expect("weights")
        .into_iter()
        .collect();
    let halves = precision == Precision::Bf16;
    let plan = |ranges: Ranges| -> Plan {
        let mut params = Params::frozen(weights.clone());
        let numerics = Numerics { exact: false, ranges, halves };
        network::plan_with(&architecture, &input, labels, &mut params, &numerics).expect("a network")
    };
    let length = length(&input);
    let mut plain = plan(Ranges::new());
    if precision == Precision::Int8 {
        let last = plain.convolutions().pop();
        let mut runner = Runner::new(Arc::new(plain));
        let calibration = Calibration::new(&mut runner, &images(examples, length)).expect("ranges");
        let mut ranges = calibration.ranges(Clipping::Nothing);
        ranges.retain(|name, _| Some(name) != last.as_ref());
        plain = plan(ranges);
    }
    let runner = Runner::new(Arc::new(plain));
    Engines::new(move || Described(runner.clone()), move |file: &Path| images(file, length))
}

/// Whole models, one engine.
pub fn bench(criterion: &mut Criterion, name: &str, package: &Package) {
    let length = length(&input(package));
    let allowed = package.manifest.precision.as_ref().is_some_and(|precision| precision.int8.allowed);
    let precisions = [Some(Precision::F32), allowed.then_some(Precision::Int8)];
    let mut group = criterion.benchmark_group(format!("image:{name}"));
    for precision in precisions.into_iter().flatten() {
        let mut model = build(package, precision);
        for size in [1, 32] {
            let values =
                |i: usize| (0..length).map(|j| ((i * 31 + j * 17) % 97) as f32 / 48.5 - 1.0).collect();
            let batch: Vec<Vec<f32>> = (0..size).map(values).collect();
            let title = format!("{}/batch-{size}", precision.as_str());
            group.bench_function(title, |b| b.iter(|| model.logits(black_box(&batch))));
        }
    }
    group.finish();
}
