//! The image networks as a manifest describes them: that the classical ones can be said, that they
//! compute what plain loops compute, and that an image does not feel its batch.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::network::build;
use model::manifest::{Architecture, ImageInput};
use nn::{Network, Params, Pass, random};

fn input(side: u32, channels: u32) -> ImageInput {
    let ones = vec![1.0; channels as usize];
    serde_json::from_value(json!({
        "height": side, "width": side, "channels": channels, "crop": "centre", "resize": "bilinear",
        "normalisation": {"kind": "fixed", "mean": ones, "std": ones}
    }))
    .unwrap()
}

fn cnn(layers: Value) -> Architecture {
    serde_json::from_value(json!({"kind": "cnn", "layers": layers})).unwrap()
}

fn resnet() -> Architecture {
    serde_json::from_value(json!({
        "kind": "resnet", "stem_channels": 4, "stem_kernel": 3, "stem_stride": 1, "dropout": 0.2,
        "stages": [{"channels": 4, "blocks": 1, "stride": 1}, {"channels": 8, "blocks": 1, "stride": 2}]
    }))
    .unwrap()
}

fn noise(images: usize, channels: usize, side: usize) -> Tensor {
    let mut rng = random::stream(3, "images");
    let values: Vec<f32> = (0..images * channels * side * side).map(|_| random::normal(&mut rng)).collect();
    Tensor::from_vec(values, (images, channels, side, side), &Device::Cpu).unwrap()
}

/// A network's values with running statistics that are not those of a fresh one.
fn trained(architecture: &Architecture, input: &ImageInput) -> BTreeMap<String, Tensor> {
    let mut params = Params::fresh(5);
    let network = build(architecture, input, 3, &mut params).unwrap();
    let images = noise(8, input.channels as usize, input.height as usize);
    network.logits(&images, &mut Pass::Training(&mut random::stream(1, "dropout"))).unwrap();
    params.snapshot().unwrap()
}

#[test]
fn the_classical_networks_of_28_and_of_224_pixels_can_be_said() {
    let small = cnn(json!([{"layer": "conv", "filters": 32, "kernel": 3}, {"layer": "flatten"}]));
    let large = cnn(json!([
        {"layer": "conv", "filters": 32, "kernel": 3}, {"layer": "pool", "size": 2},
        {"layer": "conv", "filters": 64, "kernel": 3}, {"layer": "pool", "size": 2},
        {"layer": "flatten"}, {"layer": "dense", "units": 16}
    ]));
    let small_values = (9 + 1) * 32 + 26 * 26 * 32 * 2 + 2;
    let large_values = (27 + 1) * 32 + (32 * 9 + 1) * 64 + (54 * 54 * 64 + 1) * 16 + (16 + 1) * 2;
    for (architecture, side, channels, values) in
        [(small, 28, 1, small_values), (large, 224, 3, large_values)]
    {
        let mut params = Params::fresh(0);
        let network = build(&architecture, &input(side, channels), 2, &mut params).unwrap();
        assert_eq!(params.count(), values);
        let images = noise(1, channels as usize, side as usize);
        assert_eq!(network.logits(&images, &mut Pass::Inference).unwrap().dims(), [1, 2]);
    }
}

#[test]
fn a_cnn_computes_what_plain_loops_compute() {
    let architecture = cnn(json!([
        {"layer": "conv", "filters": 3, "kernel": 3, "padding": 1}, {"layer": "pool", "size": 2},
        {"layer": "conv", "filters": 2, "kernel": 2}, {"layer": "flatten"},
        {"layer": "dense", "units": 5}
    ]));
    let mut params = Params::fresh(11);
    let network = build(&architecture, &input(7, 2), 3, &mut params).unwrap();
    let images = noise(1, 2, 7);
    let found: Vec<Vec<f32>> = network.logits(&images, &mut Pass::Inference).unwrap().to_vec2().unwrap();

    let values = params.snapshot().unwrap();
    let value = |name: &str| -> Vec<f64> {
        let flat = values[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        flat.into_iter().map(f64::from).collect()
    };
    let x: Vec<f64> =
        images.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    let x = plain_conv(&x, 2, 7, &value("layers.0.weight"), &value("layers.0.bias"), 3, 1);
    let x = plain_pool(&x, 3, 7);
    let x = plain_conv(&x, 3, 3, &value("layers.2.weight"), &value("layers.2.bias"), 2, 0);
    let x = plain_dense(&x, &value("layers.4.weight"), &value("layers.4.bias"));
    let x: Vec<f64> = x.into_iter().map(|v| v.max(0.0)).collect();
    let expected = plain_dense(&x, &value("head.weight"), &value("head.bias"));
    for (a, b) in found[0].iter().zip(&expected) {
        assert!((f64::from(*a) - b).abs() < 1e-5, "{found:?} {expected:?}");
    }
}

#[test]
fn an_image_gets_the_same_logits_whatever_its_batch_holds() {
    let layers = json!([{"layer": "conv", "filters": 4, "kernel": 3}, {"layer": "flatten"}]);
    for architecture in [cnn(layers), resnet()] {
        let input = input(12, 1);
        let mut params = Params::frozen(trained(&architecture, &input));
        let network = build(&architecture, &input, 3, &mut params).unwrap();
        let images = noise(6, 1, 12);
        let together: Vec<Vec<f32>> =
            network.logits(&images, &mut Pass::Inference).unwrap().to_vec2().unwrap();
        for (i, expected) in together.iter().enumerate() {
            let alone = network.logits(&images.narrow(0, i, 1).unwrap(), &mut Pass::Inference).unwrap();
            for (a, b) in alone.to_vec2::<f32>().unwrap()[0].iter().zip(expected) {
                assert!((a - b).abs() < 1e-5, "image {i}: {a} alone, {b} in the batch");
            }
        }
    }
}

/// Stride 1, then ReLU; (channels, side, side) row by row, `outputs` kernels.
fn plain_conv(
    x: &[f64],
    channels: usize,
    side: usize,
    weight: &[f64],
    bias: &[f64],
    outputs: usize,
    padding: usize,
) -> Vec<f64> {
    let kernel = ((weight.len() / (outputs * channels)) as f64).sqrt() as usize;
    let out = side + 2 * padding + 1 - kernel;
    let mut y = Vec::new();
    for o in 0..outputs {
        for (row, column) in (0..out * out).map(|p| (p / out, p % out)) {
            let mut sum = bias[o];
            for c in 0..channels {
                for (i, j) in (0..kernel * kernel).map(|t| (t / kernel, t % kernel)) {
                    let (r, q) = ((row + i).wrapping_sub(padding), (column + j).wrapping_sub(padding));
                    if r < side && q < side {
                        sum += weight[((o * channels + c) * kernel + i) * kernel + j]
                            * x[(c * side + r) * side + q];
                    }
                }
            }
            y.push(sum.max(0.0));
        }
    }
    y
}

/// Windows of 2 x 2; an odd last row and column are left out.
fn plain_pool(x: &[f64], channels: usize, side: usize) -> Vec<f64> {
    let at = |c: usize, r: usize, q: usize| x[(c * side + r) * side + q];
    let half = side / 2;
    let mut y = Vec::new();
    for c in 0..channels {
        for (r, q) in (0..half * half).map(|p| (2 * (p / half), 2 * (p % half))) {
            let top = at(c, r, q).max(at(c, r, q + 1));
            y.push(top.max(at(c, r + 1, q)).max(at(c, r + 1, q + 1)));
        }
    }
    y
}

fn plain_dense(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let rows = weight.chunks(x.len()).zip(bias);
    rows.map(|(row, b)| b + row.iter().zip(x).map(|(w, v)| w * v).sum::<f64>()).collect()
}
