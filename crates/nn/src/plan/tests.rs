//! Plans beside the definition of their layers in double precision.

use std::sync::Arc;

use super::steps::Action;
use super::*;
use crate::reference;
use crate::step::tests::{NETWORKS, double, doubles, graph, noise, trained};

#[test]
fn a_plan_says_what_the_layers_say_alone_and_in_a_batch() {
    for (name, input, layers) in NETWORKS {
        let graph = graph(input, layers);
        let values = trained(&graph, 4);
        let images = noise(&[37, input[0], input[1], input[2]], 5);
        let want = reference::run(&graph, &doubles(&values), &double(&images), 37, false);
        let weights: BTreeMap<String, Vec<f32>> = values
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.flatten_all().unwrap().to_vec1().unwrap()))
            .collect();
        let images: Vec<Vec<f32>> = images.flatten_from(1).unwrap().to_vec2().unwrap();
        for exact in [false, true] {
            let plan = Plan::new(&graph, &weights, exact).unwrap();
            let labels = plan.labels();
            let mut runner = Runner::new(Arc::new(plan));
            let mut rows = Vec::new();
            runner.run(&images, |row| rows.push(row.to_vec())).unwrap();
            assert_eq!(rows.len() * labels, want.len());
            for (got, want) in rows.iter().flatten().zip(&want) {
                let apart = (f64::from(*got) - want).abs();
                assert!(apart < 1e-4 * (1.0 + want.abs()), "{name}: {got} for {want}");
            }
            for (image, row) in images.iter().zip(&rows).rev() {
                runner.run(&[image], |alone| assert!(close(alone, row), "{name}")).unwrap();
            }
        }
    }
}

#[test]
fn layers_that_are_served_only_say_what_their_definition_says() {
    let gelu = crate::Activation::Gelu;
    let mut g = crate::GraphBuilder::new();
    let x = g.input("images", crate::Shape::map(3, 8, 12));
    let x = g.conv("patches", x, crate::Conv::new(24, crate::Window::new(4).stride(4)).bias()).unwrap();
    let wide = crate::Window::new(7).padding(3);
    let y = g.conv("deep", x, crate::Conv::new(24, wide).groups(24).bias()).unwrap();
    let y = g.channel_norm("deep.norm", y, 1e-6);
    let y = g.conv("expand", y, crate::Conv::new(40, crate::Window::new(1)).bias()).unwrap();
    let y = g.activation(y, gelu);
    let y = g.conv("narrow", y, crate::Conv::new(24, crate::Window::new(1)).bias()).unwrap();
    let x = g.add("sum", x, y).unwrap();
    let x = g.tokens("tokens", x);
    let y = g.channel_norm("norm", x, 1e-12);
    let y = g.conv("all", y, crate::Conv::new(72, crate::Window::new(1)).bias()).unwrap();
    let y = g.self_attention("attention", y, 3).unwrap();
    let y = g.conv("out", y, crate::Conv::new(24, crate::Window::new(1)).bias()).unwrap();
    let x = g.add("both", x, y).unwrap();
    let x = g.first(x);
    let x = g.channel_norm("last", x, 1e-12);
    let x = g.dense("head", x, 5, crate::Init::glorot(24, 5));
    let graph = g.finish(x).unwrap();
    assert!(!graph.is_trainable());
    let values = trained(&graph, 4);
    let images = noise(&[5, 3, 8, 12], 5);
    let want = reference::run(&graph, &doubles(&values), &double(&images), 5, false);
    let images: Vec<Vec<f32>> = images.flatten_from(1).unwrap().to_vec2().unwrap();
    let mut runner = Runner::new(Arc::new(Plan::new(&graph, &plain(&values), false).unwrap()));
    let mut rows = Vec::new();
    runner.run(&images, |row| rows.extend_from_slice(row)).unwrap();
    assert_eq!(rows.len(), want.len());
    for (got, want) in rows.iter().zip(&want) {
        assert!((f64::from(*got) - want).abs() < 1e-4 * (1.0 + want.abs()), "{got} for {want}");
    }
    // Over bytes nearly the same.
    let calibration = Calibration::new(&mut runner, &images).unwrap();
    let numerics = Numerics { ranges: calibration.ranges(Clipping::Nothing), ..Numerics::default() };
    let mut runner = Runner::new(Arc::new(Plan::with(&graph, &plain(&values), &numerics).unwrap()));
    let mut bytes = Vec::new();
    runner.run(&images, |row| bytes.extend_from_slice(row)).unwrap();
    let largest = rows.iter().fold(0f32, |most, value| most.max(value.abs()));
    assert!(bytes.iter().zip(&rows).all(|(a, b)| (a - b).abs() < 0.2 * largest), "{bytes:?} {rows:?}");
    // A step of training is refused, not wrong.
    let mut params = crate::Params::frozen(values);
    let network = crate::ImageNetwork::new(graph, &mut params).unwrap();
    let batch = noise(&[2, 3, 8, 12], 6);
    let mut rng = crate::random::stream(0, "step");
    let refused = crate::Network::logits(&network, &batch, &mut crate::Pass::Training(&mut rng));
    assert!(refused.unwrap_err().to_string().contains("served and not trained"));
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()))
}

type Weights = BTreeMap<String, Vec<f32>>;

/// Weights of a network, images of (images, channels, rows, columns), and what its definition says of them.
fn case(graph: &Graph, size: [usize; 4]) -> (Weights, Vec<Vec<f32>>, Vec<f64>) {
    let (values, images) = (trained(graph, 4), noise(&size, 5));
    let want = reference::run(graph, &doubles(&values), &double(&images), size[0], false);
    (plain(&values), images.flatten_from(1).unwrap().to_vec2().unwrap(), want)
}

#[test]
fn depthwise_convolutions_over_large_maps_are_made_in_bands_and_say_what_their_definition_says() {
    use crate::{Activation, Conv, Window};
    let mut g = crate::GraphBuilder::new();
    let x = g.input("images", crate::Shape::map(3, 75, 93));
    let x = g.conv("stem", x, Conv::new(20, Window::new(3).padding(1))).unwrap();
    let x = g.batch_norm("stem.norm", x);
    let x = g.activation(x, Activation::Relu6);
    let y = g.conv("deep", x, Conv::new(20, Window::new(5).padding(2)).groups(20).bias()).unwrap();
    let y = g.activation(y, Activation::Relu6);
    // Read by two, so whole.
    let y = g.conv("narrow", y, Conv::new(24, Window::new(1)).bias()).unwrap();
    let z = g.conv("wide", y, Conv::new(40, Window::new(1)).bias()).unwrap();
    let z = g.activation(z, Activation::Relu);
    let z = g.conv("far", z, Conv::new(40, Window::new(3).stride(2).padding(1)).groups(40).bias()).unwrap();
    let z = g.conv("last", z, Conv::new(24, Window::new(1)).bias()).unwrap();
    let own = g.conv("own", y, Conv::new(24, Window::new(1).stride(2)).bias()).unwrap();
    let x = g.add("sum", z, own).unwrap();
    let x = g.global_average(x);
    let x = g.dense("head", x, 5, crate::Init::glorot(24, 5));
    let graph = g.finish(x).unwrap();
    let (weights, images, want) = case(&graph, [2, 3, 75, 93]);
    let largest = want.iter().fold(0f64, |most, value| most.max(value.abs()));
    let rows = |numerics: &Numerics, most: f64| {
        let plan = Plan::with(&graph, &weights, numerics).unwrap();
        let in_bands =
            |step: &&Step| matches!(&step.action, Action::Depthwise(layer) if layer.before.is_some());
        assert_eq!(plan.steps.iter().filter(in_bands).count(), 2);
        let mut runner = Runner::new(Arc::new(plan));
        let mut rows = Vec::new();
        runner.run(&images, |row| rows.extend_from_slice(row)).unwrap();
        for (got, want) in rows.iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < most * (0.1 + largest), "{got} for {want}");
        }
        runner
    };
    let mut runner = rows(&Numerics::default(), 1e-4);
    rows(&Numerics { exact: true, ..Numerics::default() }, 1e-4);
    rows(&Numerics { halves: true, ..Numerics::default() }, 0.03);
    let calibration = Calibration::new(&mut runner, &images).unwrap();
    let ranges = calibration.ranges(Clipping::Nothing);
    assert_eq!(
        ranges.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["head", "last", "last.residual", "narrow", "own", "stem", "wide"]
    );
    rows(&Numerics { ranges, ..Numerics::default() }, 0.1);
    // What is no number is not hidden.
    let mut broken = images[0].clone();
    broken[40] = f32::NAN;
    runner.run(&[&broken], |row| assert!(row.iter().all(|value| value.is_nan()))).unwrap();
}

#[test]
fn a_mean_beside_a_convolution_is_taken_in_every_precision() {
    use crate::{Activation, Conv, Window};
    for depthwise in [true, false] {
        let mut g = crate::GraphBuilder::new();
        let x = g.input("images", crate::Shape::map(3, 12, 10));
        let groups = if depthwise { 32 } else { 1 };
        let x = g.conv("stem", x, Conv::new(32, Window::new(3).padding(1)).bias()).unwrap();
        let x = g.conv("deep", x, Conv::new(32, Window::new(3).padding(1)).groups(groups).bias()).unwrap();
        let x = g.activation(x, Activation::Relu6);
        let y = g.conv("beside", x, Conv::new(24, Window::new(1)).bias()).unwrap();
        let mean = g.global_average(x);
        let mean = g.dense("mean", mean, 24, crate::Init::glorot(32, 24));
        let y = g.add_vector("sum", y, mean).unwrap();
        let y = g.global_average(y);
        let y = g.dense("head", y, 5, crate::Init::glorot(24, 5));
        let graph = g.finish(y).unwrap();
        let (weights, images, want) = case(&graph, [3, 3, 12, 10]);
        let largest = want.iter().fold(0f64, |most, value| most.max(value.abs()));
        let mut runner = Runner::new(Arc::new(Plan::new(&graph, &weights, false).unwrap()));
        let ranges = Calibration::new(&mut runner, &images).unwrap().ranges(Clipping::Nothing);
        for numerics in [
            Numerics { halves: true, ..Numerics::default() },
            Numerics { ranges: ranges.clone(), ..Numerics::default() },
            Numerics {
                halves: true,
                ranges: Ranges::from([("beside".to_string(), ranges["beside"])]),
                ..Numerics::default()
            },
        ] {
            let mut runner = Runner::new(Arc::new(Plan::with(&graph, &weights, &numerics).unwrap()));
            let mut rows = Vec::new();
            runner.run(&images, |row| rows.extend_from_slice(row)).unwrap();
            for (got, want) in rows.iter().zip(&want) {
                assert!((f64::from(*got) - want).abs() < 0.1 * (0.1 + largest), "{got} for {want}");
            }
        }
    }
}

#[test]
fn weights_that_are_missing_are_named() {
    let (_, input, layers) = NETWORKS[1];
    let error = Plan::new(&graph(input, layers), &BTreeMap::new(), false).unwrap_err().to_string();
    assert!(error.contains("\"stem.weight\""), "{error}");
}

/// Values of a network's weights by name.
fn plain(values: &BTreeMap<String, candle_core::Tensor>) -> Weights {
    values
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.flatten_all().unwrap().to_vec1().unwrap()))
        .collect()
}

#[test]
fn over_bytes_a_plan_says_nearly_the_same_alone_and_in_a_batch() {
    for (name, input, layers) in NETWORKS {
        let graph = graph(input, layers);
        let weights = plain(&trained(&graph, 4));
        let images: Vec<Vec<f32>> =
            noise(&[37, input[0], input[1], input[2]], 5).flatten_from(1).unwrap().to_vec2().unwrap();
        let exact = Plan::new(&graph, &weights, true).unwrap();
        if exact.convolutions().is_empty() {
            continue;
        }
        let labels = exact.labels();
        assert_eq!(exact.lowered(), 0);
        let mut runner = Runner::new(Arc::new(exact));
        let mut want = Vec::new();
        runner.run(&images, |row| want.push(row.to_vec())).unwrap();
        let calibration = Calibration::new(&mut runner, &images).unwrap();
        for clipping in [Clipping::Nothing, Clipping::Share(1e-4), Clipping::Error] {
            let numerics = Numerics { ranges: calibration.ranges(clipping), ..Numerics::default() };
            assert!(!numerics.ranges.is_empty());
            let plan = Plan::with(&graph, &weights, &numerics).unwrap();
            assert!(plan.lowered() > 0, "{name}");
            let mut runner = Runner::new(Arc::new(plan));
            let mut rows = Vec::new();
            runner.run(&images, |row| rows.push(row.to_vec())).unwrap();
            // Of the deviation of all results, as little as a few levels of 255 come to.
            let all: Vec<f64> = want.iter().flatten().map(|value| f64::from(*value)).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let deviation = all.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            let off: f64 = rows.iter().flatten().zip(&all).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
            assert!(
                off < 0.01 * deviation,
                "{name}, {clipping:?}: {off} of {deviation} over {labels} results"
            );
            for (image, row) in images.iter().zip(&rows).rev() {
                runner.run(&[image], |alone| assert!(alone == row, "{name}")).unwrap();
            }
            let mut broken = images[0].clone();
            broken[3] = f32::NAN;
            runner.run(&[&broken], |row| assert!(row.iter().all(|value| value.is_nan()), "{name}")).unwrap();
        }
    }
}

#[test]
fn layers_without_a_range_stay_in_single_precision() {
    let (_, input, layers) = NETWORKS[0];
    let graph = graph(input, layers);
    let weights = plain(&trained(&graph, 4));
    let ranges = Ranges::from([("first".to_string(), Range { low: 0.0, high: 3.0 })]);
    let numerics = Numerics { ranges, ..Numerics::default() };
    let names: Vec<&str> = graph.nodes().iter().map(|node| &*node.name).collect();
    assert!(names.iter().any(|name| name.starts_with("first")), "{names:?}");
    let named = numerics.ranges.keys().filter(|name| names.contains(&&***name)).count();
    assert_eq!(Plan::with(&graph, &weights, &numerics).unwrap().lowered(), named);
}

#[test]
fn over_numbers_of_half_the_length_a_plan_says_nearly_the_same() {
    for (name, input, layers) in NETWORKS {
        let graph = graph(input, layers);
        let weights = plain(&trained(&graph, 4));
        let images: Vec<Vec<f32>> =
            noise(&[9, input[0], input[1], input[2]], 5).flatten_from(1).unwrap().to_vec2().unwrap();
        let mut runner = Runner::new(Arc::new(Plan::new(&graph, &weights, true).unwrap()));
        let mut want = Vec::new();
        runner.run(&images, |row| want.extend_from_slice(row)).unwrap();
        let numerics = Numerics { halves: true, ..Numerics::default() };
        let mut runner = Runner::new(Arc::new(Plan::with(&graph, &weights, &numerics).unwrap()));
        let mut got = Vec::new();
        runner.run(&images, |row| got.extend_from_slice(row)).unwrap();
        let largest = want.iter().fold(0f32, |most, value| most.max(value.abs()));
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() < 0.03 * (0.1 + largest), "{name}: {got} for {want}");
        }
        let mut broken = images[0].clone();
        broken[3] = f32::NAN;
        runner.run(&[&broken], |row| assert!(row.iter().any(|value| value.is_nan()), "{name}")).unwrap();
    }
}
