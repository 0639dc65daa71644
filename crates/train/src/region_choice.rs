//! From which probabilities on objects grow and where they end, chosen on the validation pictures.
//!
//! A network that is rarely sure of the inside of small objects needs lower limits than one that runs large ones together.
//! What the network says is computed once; only the growing is tried over and over.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use rayon::prelude::*;

use super::masks::Example;
use super::region_metrics::{Measure, Pair};
use model::Manifest;
use model::manifest::{Input, Instances, RegionMetrics};
use nn::{ImageNetwork, Params};
use vision::network;
use vision::segment::{Maps, Segmenter};

/// Least probabilities of the inside that are tried.
const SEEDS: [f32; 7] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Least probabilities of an object.
const OBJECTS: [f32; 5] = [0.35, 0.4, 0.45, 0.5, 0.6];
/// Least numbers of pixels.
const PIXELS: [u32; 3] = [16, 24, 40];

/// What another limit has to be worth more: less is chance.
const MARGIN: f64 = 5e-4;

/// The network of a finished package that outlines regions.
///
/// # Errors
/// A manifest of something else, or weights that do not fit it.
pub fn network_of(manifest: &Manifest, weights: BTreeMap<String, Tensor>) -> Result<ImageNetwork> {
    let (Input::Image(input), Some(segmentation)) = (&manifest.input, &manifest.segmentation) else {
        bail!("the model \"{}\" outlines no regions", manifest.name)
    };
    let mut params = Params::frozen(weights);
    let outputs = segmentation.outputs(manifest.labels.len());
    let network = network::build(&manifest.architecture, input, outputs, &mut params)?;
    params.finish()?;
    Ok(network)
}

/// What reads pictures as the server does.
///
/// # Errors
/// A network without a serving plan, or a manifest of something else.
pub fn segmenter(network: &ImageNetwork, manifest: &Manifest) -> Result<Segmenter> {
    let plan = Arc::new(network.plan(manifest.exact_convolution)?);
    Segmenter::new(manifest, plan).context("the manifest describes no segmentation")
}

/// What the network says of each of `examples`, which the limits do not change.
///
/// # Errors
/// A picture that cannot be read, or a network that fails.
pub fn maps(network: &ImageNetwork, manifest: &Manifest, examples: &[Example]) -> Result<Vec<Maps>> {
    let segmenter = segmenter(network, manifest)?;
    let read = |segmenter: &mut Segmenter, example: &Example| segmenter.maps(&example.image, || false);
    Ok(examples.par_iter().map_init(|| segmenter.clone(), read).collect::<Result<_, _>>()?)
}

/// The metrics of maps, with objects told apart where `instances` says how.
pub fn measure(
    labels: &[String],
    instances: Option<&Instances>,
    examples: &[Example],
    maps: &[Maps],
) -> RegionMetrics {
    let found: Vec<_> = maps.par_iter().map(|maps| maps.regions(instances)).collect();
    let mut measure = Measure::new(labels);
    for (example, found) in examples.iter().zip(&found) {
        let label = |number: &u32| if instances.is_some() { u8::from(*number > 0) } else { *number as u8 };
        let truth: Vec<u8> = example.mask.iter().map(label).collect();
        let objects = found.objects.as_deref().map(|objects| (&example.mask[..], objects));
        measure.add(&Pair { truth: &truth, found: &found.labels, objects });
    }
    measure.metrics()
}

/// What a segmentation is worth, of 1. Where objects are told apart, both what is found and how it is parted count.
pub fn worth(metrics: &RegionMetrics) -> f64 {
    match &metrics.objects {
        Some(objects) => f64::midpoint(metrics.dice, objects.f1),
        None => metrics.dice,
    }
}

/// The limits of the highest worth, one after the other from `start`, which stays where nothing is clearly better.
pub fn choose(labels: &[String], start: Instances, examples: &[Example], maps: &[Maps]) -> Instances {
    let of = |instances: &Instances| worth(&measure(labels, Some(instances), examples, maps));
    let (mut best, mut most) = (start, of(&start));
    let mut take = |candidates: Vec<Instances>| {
        for candidate in candidates {
            let own = of(&candidate);
            if own > most + MARGIN {
                (best, most) = (candidate, own);
            }
        }
        best
    };
    let seeds = |from: Instances| SEEDS.map(|seed| Instances { seed, ..from }).to_vec();
    let first = take(seeds(start));
    let second = take(OBJECTS.map(|object| Instances { object, ..first }).to_vec());
    let third = take(seeds(second));
    take(PIXELS.map(|pixels| Instances { pixels, ..third }).to_vec())
}
