//! The published networks against torchvision's, with the very same weights and pictures.
//!
//! `tests/golden/networks.py` draws both from names by a formula, which stands here again, and keeps logits: as
//! served, of a step of training, and as served after that step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{D, Device, Tensor};
use clap::Parser;
use model::manifest::{Architecture, CnnConfig, CnnLayer, Crop, ImageInput, Normalisation, ResizeFilter};
use nn::{Network, Params, Pass, Runner, random};
use serde::Deserialize;
use train::architectures::NetworkOptions;
use vision::{names, network};

#[derive(Deserialize)]
struct Golden {
    labels: usize,
    batch: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    arch: String,
    side: u32,
    rate: f64,
    served: Vec<Vec<f64>>,
    trained: Vec<Vec<f64>>,
    stepped: Vec<Vec<f64>>,
}

/// The program's options alone.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    network: NetworkOptions,
}

/// Numbers from -1 to 1: SplitMix64 over places, begun at the FNV-1a digest of the name.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let digest = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325, digest);
    (1..=count as u64).map(move |place| {
        let x = start.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

fn value(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let change: &dyn Fn(f64) -> f64 = match shape.len() {
        1 if name.ends_with("running_var") || name.ends_with("weight") => &|u| 1.0 + 0.3 * u,
        1 => &|u| 0.1 * u,
        _ => {
            let scale = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
            &move |u| u * scale
        }
    };
    let values: Vec<f32> = uniform(name, count).map(|u| change(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn architecture(name: &str, side: u32) -> Architecture {
    let options = Options::parse_from(["train", "--arch", name]);
    let architecture = options.network.architecture(side, 1000).unwrap();
    // Of VGG there are few channels: a hundred million numbers would be drawn for its first dense layer.
    let Architecture::Cnn(config) = architecture else { return architecture };
    let few = |layer: CnnLayer| match layer {
        CnnLayer::Conv { filters, kernel, padding } => {
            CnnLayer::Conv { filters: if filters > 128 { 16 } else { 8 }, kernel, padding }
        }
        CnnLayer::Dense { .. } => CnnLayer::Dense { units: 32 },
        CnnLayer::Dropout { .. } => CnnLayer::Dropout { rate: 0.0 },
        other => other,
    };
    Architecture::Cnn(CnnConfig { layers: config.layers.into_iter().map(few).collect() })
}

fn input(side: u32) -> ImageInput {
    ImageInput {
        height: side,
        width: side,
        channels: 3,
        crop: Crop::None,
        resize: ResizeFilter::Bilinear,
        normalisation: Normalisation::PerImage { floor: 0.02 },
        accepts: None,
    }
}

fn rows(logits: &Tensor) -> Vec<Vec<f32>> {
    logits.to_vec2().unwrap()
}

/// The largest difference, as a share of the largest logit where that is above 1.
fn apart(got: &[Vec<f32>], want: &[Vec<f64>]) -> f64 {
    assert_eq!((got.len(), got[0].len()), (want.len(), want[0].len()));
    let largest = want.iter().flatten().fold(1.0f64, |most, value| most.max(value.abs()));
    let pairs = got.iter().flatten().zip(want.iter().flatten());
    pairs.map(|(got, want)| (f64::from(*got) - want).abs()).fold(0.0, f64::max) / largest
}

/// What is too far apart, if anything is.
fn check(golden: &Golden, case: &Case) -> Result<(), String> {
    let Case { arch, side, rate, served, trained, stepped } = case;
    let near = |what: &str, far: f64, most: f64| match far < most {
        true => Ok(()),
        false => Err(format!("{arch}, {what}: {far} apart")),
    };
    let (architecture, input) = (architecture(arch, *side), input(*side));
    let mut params = Params::fresh(0);
    let network = network::build(&architecture, &input, golden.labels, &mut params).unwrap();
    let mut weights: BTreeMap<String, Tensor> = params.snapshot().unwrap();
    for (name, tensor) in &mut weights {
        let theirs = names::elsewhere(&architecture, name).into_iter().next();
        let theirs = theirs.unwrap_or_else(|| panic!("{arch}: {name} has no name elsewhere"));
        *tensor = value(&theirs, tensor.dims());
    }
    params.restore(&weights).unwrap();

    let side = *side as usize;
    let count = golden.batch * 3 * side * side;
    let pictures: Vec<f32> = uniform(&format!("pictures of {arch}"), count).map(|u| u as f32).collect();
    let pictures = Tensor::from_vec(pictures, (golden.batch, 3, side, side), &Device::Cpu).unwrap();
    let answer =
        |network: &dyn Network<Tensor>| rows(&network.logits(&pictures, &mut Pass::Inference).unwrap());
    let far = apart(&answer(&network), served);
    near("served", far, 1e-4)?;
    // As an engine runs it: image by image, convolutions by their definition.
    let mut runner = Runner::new(Arc::new(network.plan(true).unwrap()));
    let images: Vec<Vec<f32>> = pictures.flatten_from(1).unwrap().to_vec2().unwrap();
    let mut exact = Vec::new();
    runner.run(&images, |row| exact.push(row.to_vec())).unwrap();
    let far = apart(&exact, served);
    near("served by definition", far, 1e-4)?;

    let mut rng = random::stream(0, "pass");
    let logits = network.logits(&pictures, &mut Pass::Training(&mut rng)).unwrap();
    // Normalised by the statistics of a few places on the smallest maps, a rounding error is a larger one.
    let far = apart(&rows(&logits), trained);
    near("trained", far, 1e-3)?;
    let truth: Vec<u32> = (0..golden.batch).map(|i| (i % golden.labels) as u32).collect();
    let truth = Tensor::from_vec(truth, (golden.batch, 1), &Device::Cpu).unwrap();
    let likely = candle_nn::ops::log_softmax(&logits, D::Minus1).unwrap().gather(&truth, 1).unwrap();
    let gradients = likely.mean_all().unwrap().neg().unwrap().backward().unwrap();
    for var in params.trainable().values() {
        let gradient = gradients.get(var).unwrap();
        var.set(&(var.as_tensor() - (gradient * *rate).unwrap()).unwrap()).unwrap();
    }
    let far = apart(&answer(&network), stepped);
    near("after a step", far, 5e-3)
}

#[test]
fn published_networks_say_what_torchvision_s_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/networks.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let wrong: Vec<String> = golden.cases.iter().filter_map(|case| check(&golden, case).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
