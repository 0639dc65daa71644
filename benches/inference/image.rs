//! Classifiers of images. A peer's file holds the batch as numbers in single precision, image
//! after image, channel after channel, as preprocessing leaves them.

use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use medserve::inference::engine::Model;
use medserve::inference::image::ImageModel;
use model::Package;
use model::manifest::{ImageInput, Input};

use crate::measure::{Engines, Measured, floats};

fn input(package: &Package) -> ImageInput {
    match &package.manifest.input {
        Input::Image(input) => input.clone(),
        _ => panic!("{} reads no images", package.manifest.name),
    }
}

fn build(package: &Package) -> ImageModel {
    ImageModel::build(&package.manifest, &input(package), &package.weights).expect("a sound package")
}

/// Values of one image.
fn length(input: &ImageInput) -> usize {
    (input.channels * input.height * input.width) as usize
}

/// The engines of a package, for a peer.
pub fn engines(package: &Package) -> impl Measured + use<> {
    let length = length(&input(package));
    let model = build(package);
    let read = move |file: &Path| floats(file).chunks_exact(length).map(<[f32]>::to_vec).collect();
    Engines::new(move || model.clone(), read)
}

/// Whole models, one engine.
pub fn bench(criterion: &mut Criterion, name: &str, package: &Package) {
    let mut model = build(package);
    let length = length(&input(package));
    let mut group = criterion.benchmark_group(format!("image:{name}"));
    for size in [1, 32] {
        let values = |i: usize| (0..length).map(|j| ((i * 31 + j * 17) % 97) as f32 / 48.5 - 1.0).collect();
        let batch: Vec<Vec<f32>> = (0..size).map(values).collect();
        group.bench_function(format!("batch-{size}"), |b| b.iter(|| model.logits(black_box(&batch))));
    }
    group.finish();
}
