//! A step beside the definition of its layers in double precision: results, and gradients beside small
//! differences; and what must hold of any step.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Var};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::graph::{Activation, Conv, GraphBuilder, Interpolation, NodeId, Shape};
use crate::reference::{self, Weights};
use crate::{Window, random};

type Layers = fn(&mut GraphBuilder, NodeId) -> std::result::Result<NodeId, crate::GraphError>;

pub(crate) fn graph(input: [usize; 3], layers: Layers) -> Graph {
    let mut g = GraphBuilder::new();
    let x = g.input("images", Shape::map(input[0], input[1], input[2]));
    let x = layers(&mut g, x).unwrap();
    g.finish(x).unwrap()
}

/// Networks of every layer, and of every way that layers can lie between each other.
pub(crate) const NETWORKS: [(&str, [usize; 3], Layers); 14] = [
    ("a residual block of an image", [1, 9, 12], |g, x| {
        let x = norm_relu(g, "stem", x, 16, 3)?;
        let y = norm_relu(g, "first", x, 16, 3)?;
        let y = g.conv("second", y, Conv::new(16, Window::new(3).padding(1)))?;
        let y = g.batch_norm("second.norm", y);
        let x = g.add("sum", y, x)?;
        let x = g.relu(x);
        Ok(g.global_average(x))
    }),
    ("a block whose way around changes the shape", [3, 11, 7], |g, x| {
        let x = norm_relu(g, "stem", x, 8, 5)?;
        let around = g.conv("around", x, Conv::new(20, Window::new(1).stride(2)))?;
        let around = g.batch_norm("around.norm", around);
        let y = g.conv("first", x, Conv::new(20, Window::new(3).stride(2).padding(1)))?;
        let y = g.batch_norm("first.norm", y);
        let x = g.add("sum", y, around)?;
        let x = g.relu(x);
        let x = g.global_average(x);
        Ok(g.dense("head", x, 3, Init::glorot(20, 3)))
    }),
    ("a classical stack", [2, 10, 9], |g, x| {
        let x = g.conv("0", x, Conv::new(5, Window::new(3).padding(2)).bias())?;
        let x = g.relu(x);
        let x = g.max_pool("1", x, Window::new(2).stride(2))?;
        let x = g.conv("2", x, Conv::new(17, Window::new(2)).bias())?;
        let x = g.relu(x);
        let x = g.flatten(x);
        let x = g.dropout(x, 0.0);
        let x = g.dense("3", x, 12, Init::he(17));
        let x = g.relu(x);
        Ok(g.dense("head", x, 2, Init::glorot(12, 2)))
    }),
    ("inverted residuals", [3, 8, 8], |g, x| {
        let y = g.conv("stem", x, Conv::new(12, Window::new(3).stride(2).padding(1)))?;
        let y = g.batch_norm("stem.norm", y);
        let x = g.activation(y, Activation::Relu6);
        let y = g.conv("wide", x, Conv::new(24, Window::new(1)))?;
        let y = g.batch_norm("wide.norm", y);
        let y = g.activation(y, Activation::Relu6);
        let y = g.conv("deep", y, Conv::new(24, Window::new(3).padding(1)).groups(24))?;
        let y = g.batch_norm("deep.norm", y);
        let y = g.activation(y, Activation::Relu6);
        let y = g.conv("narrow", y, Conv::new(12, Window::new(1)))?;
        let y = g.batch_norm("narrow.norm", y);
        let x = g.add("sum", x, y)?;
        let x = g.global_average(x);
        Ok(g.dense("head", x, 4, Init::glorot(12, 4)))
    }),
    ("dense connections", [1, 8, 6], |g, x| {
        let x = g.conv("stem", x, Conv::new(6, Window::new(3).padding(1)))?;
        let y = g.batch_norm("a.norm", x);
        let y = g.relu(y);
        let y = g.conv("a", y, Conv::new(4, Window::new(3).padding(1)))?;
        let x = g.concat("a.join", &[x, y])?;
        let y = g.batch_norm("b.norm", x);
        let y = g.relu(y);
        let y = g.conv("b", y, Conv::new(4, Window::new(1)))?;
        let x = g.concat("b.join", &[x, y])?;
        let x = g.batch_norm("end.norm", x);
        let x = g.relu(x);
        let x = g.average_pool("pool", x, Window::new(2).stride(2))?;
        Ok(g.global_average(x))
    }),
    ("down and up again", [2, 8, 12], |g, x| {
        let a = norm_silu(g, "a", x, 6)?;
        let b = g.max_pool("down", a, Window::new(2).stride(2))?;
        let b = norm_silu(g, "b", b, 10)?;
        let up = g.upsample("up", b, 2, Interpolation::Bilinear)?;
        let x = g.concat("join", &[up, a])?;
        let x = norm_silu(g, "c", x, 6)?;
        g.conv("masks", x, Conv::new(3, Window::new(1)).bias())
    }),
    ("inception", [3, 9, 9], |g, x| {
        let tall = Window { kernel: (5, 1), padding: (2, 0), ..Window::new(1) };
        let wide = Window { kernel: (1, 5), padding: (0, 2), ..Window::new(1) };
        let a = g.conv("a.tall", x, Conv::new(7, tall).bias())?;
        let a = g.activation(a, Activation::Gelu);
        let a = g.conv("a.wide", a, Conv::new(6, wide).bias())?;
        let a = g.batch_norm("a.norm", a);
        let a = g.activation(a, Activation::Tanh);
        let b = g.average_pool("b", x, Window::new(3).padding(1))?;
        let c = g.max_pool("c", x, Window::new(3).padding(1))?;
        let x = g.concat("join", &[a, b, c])?;
        let x = g.max_pool("pool", x, Window::new(3).stride(2).padding(1))?;
        let x = g.upsample("up", x, 2, Interpolation::Nearest)?;
        let x = g.flatten(x);
        Ok(g.dense("head", x, 3, Init::glorot(100, 3)))
    }),
    ("groups, gaps and sums of sums", [4, 9, 8], |g, x| {
        let dilated = Window { dilation: 2, ..Window::new(3).padding(2) };
        let a = g.conv("a", x, Conv::new(8, dilated).groups(2).bias())?;
        let b = g.conv("b", x, Conv::new(8, Window::new(3).padding(1)).bias())?;
        let c = g.conv("c", x, Conv::new(8, Window::new(1)))?;
        let c = g.batch_norm("c.norm", c);
        let ab = g.add("ab", a, b)?;
        let abc = g.add("abc", ab, c)?;
        let x = g.activation(abc, Activation::Sigmoid);
        let twice = g.add("twice", x, abc)?;
        let x = g.batch_norm("norm", twice);
        let x = g.add("again", x, x)?;
        Ok(g.global_average(x))
    }),
    ("layers in unusual orders", [3, 6, 6], |g, x| {
        let x = g.batch_norm("images.norm", x);
        let x = g.conv("a", x, Conv::new(5, Window::new(3).padding(1)).bias())?;
        let y = g.relu(x);
        let y = g.batch_norm("relu.norm", y);
        let y = g.activation(y, Activation::Silu);
        let y = g.relu(y);
        let z = g.activation(x, Activation::Tanh);
        let z = g.batch_norm("tanh.norm", z);
        let x = g.add("sum", y, z)?;
        let x = g.conv("deep", x, Conv::new(5, Window::new(3).stride(2).padding(1)).groups(5).bias())?;
        let x = g.flatten(x);
        let x = g.batch_norm("flat.norm", x);
        let x = g.relu(x);
        Ok(g.dense("head", x, 2, Init::glorot(45, 2)))
    }),
    ("a stem for large images", [1, 21, 18], |g, x| {
        let x = g.conv("stem", x, Conv::new(16, Window::new(7).stride(2).padding(3)))?;
        let x = g.batch_norm_over("stem.norm", x, 1e-3);
        let x = g.relu(x);
        let x = g.max_pool("stem.pool", x, Window::new(3).stride(2).padding(1))?;
        let y = g.conv("first", x, Conv::new(4, Window::new(1)))?;
        let y = g.batch_norm("first.norm", y);
        let y = g.relu(y);
        let y = g.conv("second", y, Conv::new(4, Window::new(3).stride(2).padding(1)))?;
        let y = g.batch_norm("second.norm", y);
        let y = g.relu(y);
        let y = g.conv("third", y, Conv::new(20, Window::new(1)))?;
        let y = g.batch_norm("third.norm", y);
        let around = g.conv("around", x, Conv::new(20, Window::new(1).stride(2)))?;
        let around = g.batch_norm("around.norm", around);
        let x = g.add("sum", y, around)?;
        let x = g.relu(x);
        let x = g.global_average(x);
        Ok(g.dense("head", x, 3, Init::glorot(20, 3)))
    }),
    ("a wide kernel over channels of their own", [3, 9, 8], |g, x| {
        let x = g.conv("stem", x, Conv::new(16, Window::new(3).stride(2).padding(1)))?;
        let x = g.activation(x, Activation::Relu6);
        let x = g.conv("deep", x, Conv::new(16, Window::new(5).stride(2).padding(2)).groups(16))?;
        let x = g.batch_norm_over("deep.norm", x, 1e-3);
        let x = g.upsample("up", x, 2, Interpolation::Nearest)?;
        g.conv("masks", x, Conv::new(2, Window::new(1)).bias())
    }),
    ("the images twice", [16, 5, 5], |g, x| {
        let a = g.conv("a", x, Conv::new(16, Window::new(3).padding(1)))?;
        let a = g.relu(a);
        let x = g.add("sum", x, a)?;
        let b = g.relu(x);
        let x = g.add("rectified", x, b)?;
        Ok(g.global_average(x))
    }),
    ("a vector at each place of a block", [5, 6, 8], |g, x| {
        let v = g.global_average(x);
        let v = g.dense("embedding", v, 9, Init::glorot(5, 9));
        let v = g.activation(v, Activation::Silu);
        let stem = g.conv("stem", x, Conv::new(18, Window::new(3).padding(1)).bias())?;
        let y = norm_silu(g, "first", stem, 18)?;
        let y = g.conv("second", y, Conv::new(18, Window::new(3).padding(1)))?;
        let y = g.batch_norm("second.norm", y);
        let own = g.dense("second.condition", v, 18, Init::glorot(9, 18));
        let y = g.add_vector("second.add", y, own)?;
        let y = g.activation(y, Activation::Silu);
        let x = g.add("sum", y, stem)?;
        let other = g.dense("end.condition", v, 18, Init::glorot(9, 18));
        let x = g.add_vector("end.add", x, other)?;
        let x = g.relu(x);
        g.conv("maps", x, Conv::new(3, Window::new(1)).bias())
    }),
    ("vectors in unusual places", [4, 5, 6], |g, x| {
        let v = g.global_average(x);
        let v = g.batch_norm("vector.norm", v);
        let v = g.activation(v, Activation::Tanh);
        let x = g.add_vector("images", x, v)?;
        let y = g.batch_norm("norm", x);
        let y = g.relu(y);
        let y = g.add_vector("rectified", y, v)?;
        let y = g.add_vector("twice", y, v)?;
        let x = g.add("sum", x, y)?;
        let x = g.global_average(x);
        g.add_vector("of a vector", x, v)
    }),
];

fn norm_relu(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    outputs: usize,
    kernel: usize,
) -> std::result::Result<NodeId, crate::GraphError> {
    let x = g.conv(name, x, Conv::new(outputs, Window::new(kernel).padding(kernel / 2)))?;
    let x = g.batch_norm(&format!("{name}.norm"), x);
    Ok(g.relu(x))
}

fn norm_silu(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    outputs: usize,
) -> std::result::Result<NodeId, crate::GraphError> {
    let x = g.conv(name, x, Conv::new(outputs, Window::new(3).padding(1)).bias())?;
    let x = g.batch_norm(&format!("{name}.norm"), x);
    Ok(g.activation(x, Activation::Silu))
}

/// Values of a network, none of them where training starts it.
pub(crate) fn trained(graph: &Graph, seed: u64) -> BTreeMap<String, Tensor> {
    let mut params = Params::fresh(seed);
    ImageNetwork::new(graph.clone(), &mut params).unwrap();
    let mut rng = random::stream(seed, "values");
    let mut draw = |low: f32, high: f32| random::uniform(&mut rng, low, high);
    let mut values = params.snapshot().unwrap();
    for (name, tensor) in &mut values {
        let (low, high) = match name.rsplit('.').next() {
            Some("scale" | "running_variance") => (0.5, 1.5),
            Some("shift" | "running_mean" | "bias") => (-0.5, 0.5),
            _ => continue,
        };
        let drawn: Vec<f32> = (0..tensor.elem_count()).map(|_| draw(low, high)).collect();
        *tensor = Tensor::from_vec(drawn, tensor.shape(), &Device::Cpu).unwrap();
    }
    values
}

fn network(graph: &Graph, values: &BTreeMap<String, Tensor>) -> (Params, ImageNetwork) {
    let mut params = Params::fresh(0);
    let network = ImageNetwork::new(graph.clone(), &mut params).unwrap();
    params.restore(values).unwrap();
    (params, network)
}

pub(crate) fn noise(dims: &[usize], seed: u64) -> Tensor {
    let mut rng = random::stream(seed, "noise");
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| random::normal(&mut rng)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

pub(crate) fn double(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn doubles(values: &BTreeMap<String, Tensor>) -> Weights {
    values.iter().map(|(name, tensor)| (name.clone(), double(tensor))).collect()
}

fn rng() -> ChaCha8Rng {
    random::stream(0, "pass")
}

fn train(network: &ImageNetwork, images: &Tensor) -> Result<Tensor> {
    network.logits(images, &mut Pass::Training(&mut rng()))
}

/// Images of a network's input.
fn images(batch: usize, [channels, height, width]: [usize; 3], seed: u64) -> Tensor {
    noise(&[batch, channels, height, width], seed)
}

#[test]
fn results_and_gradients_are_those_of_the_definition() {
    const BATCH: usize = 5;
    for (name, input, layers) in NETWORKS {
        let graph = graph(input, layers);
        let values = trained(&graph, 7);
        let (params, network) = network(&graph, &values);
        let images = Var::from_tensor(&images(BATCH, input, 8)).unwrap();
        let got = train(&network, &images).unwrap();
        let weights = noise(got.dims(), 9);
        let gradients = (&got * &weights).unwrap().sum_all().unwrap().backward().unwrap();

        let (plain, pixels) = (doubles(&values), double(&images));
        let want = reference::run(&graph, &plain, &pixels, BATCH, true);
        for (got, want) in double(&got).iter().zip(&want) {
            assert!((got - want).abs() < 2e-4 * (1.0 + want.abs()), "{name}: {got} for {want}");
        }
        let factors = double(&weights);
        let loss = |plain: &Weights, pixels: &[f64]| -> f64 {
            let results = reference::run(&graph, plain, pixels, BATCH, true);
            results.iter().zip(&factors).map(|(result, factor)| result * factor).sum()
        };
        // A few of every tensor; steps so small that next to none crosses a corner of a rectifier.
        const STEP: f64 = 1e-6;
        let check = |what: &str, got: &[f64], slope: &dyn Fn(usize, f64) -> f64| {
            let largest = got.iter().fold(0.1f64, |most, value| most.max(value.abs()));
            let count = got.len().min(6);
            for at in (0..count).map(|i| i * (got.len() - 1) / count.max(2).saturating_sub(1)) {
                let want = (slope(at, STEP) - slope(at, -STEP)) / (2.0 * STEP);
                let apart = (got[at] - want).abs();
                assert!(apart < 2e-3 * largest, "{name}, {what} {at}: {} for {want}", got[at]);
            }
        };
        for (parameter, var) in params.trainable() {
            let got =
                double(gradients.get(var).unwrap_or_else(|| panic!("{name}: no gradient of {parameter}")));
            check(parameter, &got, &|at, by| {
                let mut moved = plain.clone();
                moved.get_mut(parameter).unwrap()[at] += by;
                loss(&moved, &pixels)
            });
        }
        check("images", &double(gradients.get(&images).unwrap()), &|at, by| {
            let mut moved = pixels.clone();
            moved[at] += by;
            loss(&plain, &moved)
        });
    }
}

/// The gradients of a step do not depend on whether those of the images are asked for, nor on the
/// memory that an earlier step left.
#[test]
fn a_step_depends_on_nothing_before_it() {
    for (name, input, layers) in NETWORKS {
        let graph = graph(input, layers);
        let (params, network) = network(&graph, &trained(&graph, 3));
        let gradients = |images: &Tensor| {
            let loss = train(&network, images).unwrap().sqr().unwrap().sum_all().unwrap();
            let gradients = loss.backward().unwrap();
            params.trainable().values().map(|var| double(gradients.get(var).unwrap())).collect::<Vec<_>>()
        };
        let small = images(3, input, 1);
        let first = gradients(&small);
        gradients(&images(7, input, 2));
        assert!(first == gradients(&small), "{name}");
        let asked = gradients(&Var::from_tensor(&small).unwrap());
        for (a, b) in first.iter().flatten().zip(asked.iter().flatten()) {
            assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{name}: {a} and {b}");
        }
        // A step that never goes back gives its memory back, too.
        train(&network, &small).unwrap();
        assert!(first == gradients(&small), "{name}");
    }
}

#[test]
fn the_number_of_cores_does_not_show() {
    for (name, input, layers) in NETWORKS {
        let graph = graph(input, layers);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (params, network) = network(&graph, &trained(&graph, 2));
                let results = train(&network, &images(40, input, 1)).unwrap();
                let gradients = results.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let of = |var: &Var| double(gradients.get(var).unwrap());
                let moved = params.snapshot().unwrap();
                (
                    double(&results),
                    params.trainable().values().map(of).collect::<Vec<_>>(),
                    moved.values().map(double).collect::<Vec<_>>(),
                )
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5), "{name}");
    }
}

#[test]
fn running_statistics_follow_the_batch() {
    let (_, input, layers) = NETWORKS[1];
    let whole = graph(input, layers);
    let mut params = Params::fresh(3);
    let network = ImageNetwork::new(whole, &mut params).unwrap();
    let images = images(6, input, 4);
    train(&network, &images).unwrap();
    // What the first normalisation reads.
    let stem = graph(input, |g, x| g.conv("stem", x, Conv::new(8, Window::new(5).padding(2))));
    let moved = params.snapshot().unwrap();
    let x = reference::run(&stem, &doubles(&moved), &double(&images), 6, false);
    let [means, variances] =
        ["mean", "variance"].map(|name| double(&moved[&format!("stem.norm.running_{name}")]));
    let area = input[1] * input[2];
    for channel in 0..8 {
        let of = |image: usize| &x[(image * 8 + channel) * area..][..area];
        let x: Vec<f64> = (0..6).flat_map(|image| of(image).to_vec()).collect();
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!((means[channel] - 0.1 * mean).abs() < 1e-5);
        assert!((variances[channel] - 0.9 - 0.1 * variance).abs() < 1e-4);
    }
}

#[test]
fn a_batch_of_one_value_stays_finite() {
    let graph = graph([1, 1, 1], NETWORKS[0].2);
    let (params, network) = network(&graph, &trained(&graph, 5));
    let images = noise(&[1, 1, 1, 1], 6);
    let features = train(&network, &images).unwrap();
    let gradients = features.sum_all().unwrap().backward().unwrap();
    assert!(double(&features).iter().all(|value| value.is_finite()));
    for var in params.trainable().values() {
        assert!(double(gradients.get(var).unwrap()).iter().all(|value| value.is_finite()));
    }
    let answer = network.logits(&images, &mut Pass::Inference).unwrap();
    assert!(double(&answer).iter().all(|value| value.is_finite()));
}

/// A first convolution of 1 x 1 makes channels of one value of images of one value.
#[test]
fn a_channel_of_one_value_stays_finite() {
    let graph = graph([1, 9, 9], |g, x| norm_relu(g, "stem", x, 4, 1));
    let (_, network) = network(&graph, &trained(&graph, 5));
    for value in [0.0f32, 1e-20, 1e4, 1e8] {
        let images = Tensor::full(value, (5, 1, 9, 9), &Device::Cpu).unwrap();
        let results = train(&network, &images).unwrap();
        assert!(double(&results).iter().all(|value| value.is_finite()), "{value}");
    }
}

#[test]
fn what_is_no_number_is_not_hidden() {
    let (_, input, layers) = NETWORKS[0];
    let graph = graph(input, layers);
    let (_, network) = network(&graph, &trained(&graph, 5));
    for poison in [f32::NAN, f32::INFINITY] {
        let mut pixels: Vec<f32> = images(3, input, 5).flatten_all().unwrap().to_vec1().unwrap();
        pixels[108 + 54] = poison;
        let images = Tensor::from_vec(pixels, (3, 1, 9, 12), &Device::Cpu).unwrap();
        assert!(double(&train(&network, &images).unwrap()).iter().all(|value| !value.is_finite()));
        // Statistics that were poisoned would poison every answer.
        let (_, network) = self::network(&graph, &trained(&graph, 5));
        let answer = network.logits(&images, &mut Pass::Inference).unwrap();
        assert!(double(&answer.get(1).unwrap()).iter().all(|value| !value.is_finite()));
        assert!(double(&answer.get(0).unwrap()).iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_view_into_a_larger_tensor_is_read_at_its_place() {
    let (_, input, layers) = NETWORKS[1];
    let graph = graph(input, layers);
    let (_, network) = network(&graph, &trained(&graph, 5));
    let all = noise(&[6, 3, 7, 11], 5);
    let view = all.narrow(0, 2, 3).unwrap().transpose(2, 3).unwrap();
    let values = view.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let copy = Tensor::from_vec(values, view.shape(), &Device::Cpu).unwrap();
    assert_eq!(double(&train(&network, &view).unwrap()), double(&train(&network, &copy).unwrap()));
    let answer = |images: &Tensor| double(&network.logits(images, &mut Pass::Inference).unwrap());
    assert_eq!(answer(&view), answer(&copy));
}

#[test]
fn dropout_drops_in_training_and_its_gradient_follows() {
    let graph = graph([1, 20, 20], |g, x| {
        let x = g.conv("one", x, Conv::new(2, Window::new(1)))?;
        Ok(g.dropout(x, 0.25))
    });
    let mut params = Params::fresh(1);
    let network = ImageNetwork::new(graph, &mut params).unwrap();
    let ones = Tensor::ones((3, 1, 20, 20), DType::F32, &Device::Cpu).unwrap();
    let results = train(&network, &ones).unwrap();
    let weight = params.trainable()["one.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let kept: Vec<f64> = double(&results)
        .iter()
        .enumerate()
        .map(|(at, result)| result / f64::from(weight[at / 400 % 2]) * 0.75)
        .collect();
    assert!(kept.iter().all(|share| share.abs() < 1e-6 || (share - 1.0).abs() < 1e-5));
    let share = kept.iter().sum::<f64>() / kept.len() as f64;
    assert!((share - 0.75).abs() < 0.05, "{share}");
    let gradients = results.sum_all().unwrap().backward().unwrap();
    let gradient = double(gradients.get(&params.trainable()["one.weight"]).unwrap());
    for (channel, got) in gradient.iter().enumerate() {
        let own = kept.iter().enumerate().filter(|(at, _)| at / 400 % 2 == channel);
        let want: f64 = own.map(|(_, kept)| kept / 0.75).sum();
        assert!((got - want).abs() < 1e-2, "{got} for {want}");
    }
}

#[test]
fn what_a_step_holds_is_said_before_it_and_grows_with_the_batch() {
    let (_, input, layers) = NETWORKS[4];
    let graph = graph(input, layers);
    let (_, network) = network(&graph, &trained(&graph, 5));
    let loss = train(&network, &images(9, input, 1)).unwrap().sum_all().unwrap();
    loss.backward().unwrap();
    let held: usize = network.memory.lock().unwrap().iter().map(|slot| 4 * slot.len()).sum();
    assert!(held > 0 && network.step_bytes(9) == held, "{held}");
    assert_eq!(network.step_bytes(18), 2 * held);
}

#[test]
fn empty_batches_other_sizes_and_the_weights_of_a_package_are_errors() {
    let (_, input, layers) = NETWORKS[0];
    let graph = graph(input, layers);
    let values = trained(&graph, 5);
    let (_, network) = network(&graph, &values);
    let error = |network: &ImageNetwork, images: &Tensor| train(network, images).unwrap_err().to_string();
    assert!(error(&network, &images(0, input, 1)).contains("empty"));
    assert!(error(&network, &images(2, [2, 9, 12], 1)).contains("do not fit"));
    let frozen = ImageNetwork::new(graph, &mut Params::frozen(values)).unwrap();
    assert!(error(&frozen, &images(2, input, 1)).contains("frozen"));
}
