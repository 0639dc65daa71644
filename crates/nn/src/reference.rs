//! A described network by the definition of its layers, in double precision, for tests.

use std::collections::BTreeMap;

use crate::graph::{Activation, Conv, Graph, Interpolation, NodeId, Op, Shape};
use crate::window::Window;

/// Values by name.
pub type Weights = BTreeMap<String, Vec<f64>>;

type Size = (usize, usize, usize);

fn size(shape: Shape) -> Size {
    let Shape::Map { channels, height, width } = shape else { panic!("{shape} is no map") };
    (channels, height, width)
}

/// Results (images, channels, rows, columns) of a network without dropout. `training` normalises by
/// the batch's own statistics.
pub fn run(graph: &Graph, weights: &Weights, images: &[f64], batch: usize, training: bool) -> Vec<f64> {
    let mut results: Vec<Vec<f64>> = Vec::new();
    for (place, node) in graph.nodes().iter().enumerate() {
        let weight = |part: usize| &weights[&graph.parameters(NodeId(place))[part].name];
        let inputs: Vec<(&[f64], Size)> =
            node.inputs.iter().map(|input| (&results[input.0][..], size(graph.node(*input).shape))).collect();
        let out = size(node.shape);
        let all = batch * out.0 * out.1 * out.2;
        let result = match &node.op {
            Op::Input => images.to_vec(),
            Op::Conv(conv) => {
                let mut y = vec![0.0; all];
                let (x, from) = inputs[0];
                let bias = conv.bias.then(|| weight(1));
                convolve(conv, (x, from), weight(0), (&mut y, out), batch);
                if let Some(bias) = bias {
                    each(batch, out, |at, (_, c, _, _)| y[at] += bias[c]);
                }
                y
            }
            Op::BatchNorm { epsilon } => {
                let x = inputs[0].0;
                let mut y = x.to_vec();
                for c in 0..out.0 {
                    let mut own = Vec::new();
                    each(batch, out, |at, place| own.extend((place.1 == c).then_some(at)));
                    let n = own.len() as f64;
                    let mean = own.iter().map(|at| x[*at]).sum::<f64>() / n;
                    let variance = own.iter().map(|at| (x[*at] - mean).powi(2)).sum::<f64>() / n;
                    let (mean, variance) =
                        if training { (mean, variance) } else { (weight(2)[c], weight(3)[c]) };
                    let factor = weight(0)[c] / (variance + f64::from(*epsilon)).sqrt();
                    own.iter().for_each(|at| y[*at] = (x[*at] - mean) * factor + weight(1)[c]);
                }
                y
            }
            Op::Activation(activation) => inputs[0].0.iter().map(|x| activate(*activation, *x)).collect(),
            Op::MaxPool(window) => pool(window, inputs[0], out, batch, true),
            Op::AveragePool(window) => pool(window, inputs[0], out, batch, false),
            Op::GlobalAverage => {
                let (x, from) = inputs[0];
                let area = from.1 * from.2;
                x.chunks(area).map(|plane| plane.iter().sum::<f64>() / area as f64).collect()
            }
            Op::Dense { outputs, .. } => {
                let (x, from) = inputs[0];
                let count = from.0 * from.1 * from.2;
                let row = |x: &[f64], o: usize| {
                    let row = &weight(0)[o * count..(o + 1) * count];
                    row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + weight(1)[o]
                };
                x.chunks(count).flat_map(|x| (0..*outputs).map(move |o| row(x, o))).collect()
            }
            Op::Add => inputs[0].0.iter().zip(inputs[1].0).map(|(a, b)| a + b).collect(),
            Op::AddVector => {
                let (x, from) = inputs[0];
                let area = from.1 * from.2;
                x.iter().enumerate().map(|(at, x)| x + inputs[1].0[at / area]).collect()
            }
            Op::Concat => {
                let mut y = Vec::new();
                for image in 0..batch {
                    for (x, from) in &inputs {
                        let count = from.0 * from.1 * from.2;
                        y.extend_from_slice(&x[image * count..(image + 1) * count]);
                    }
                }
                y
            }
            Op::Upsample { factor, method } => {
                let (x, from) = inputs[0];
                let mut y = vec![0.0; all];
                let side = |at: usize, length: usize| {
                    let place = ((at as f64 + 0.5) / *factor as f64 - 0.5).clamp(0.0, (length - 1) as f64);
                    let low = place.floor() as usize;
                    match method {
                        Interpolation::Nearest => [(at / factor, 1.0), (0, 0.0)],
                        Interpolation::Bilinear => {
                            let share = place - low as f64;
                            [(low, 1.0 - share), ((low + 1).min(length - 1), share)]
                        }
                    }
                };
                each(batch, out, |at, (n, c, i, j)| {
                    for (row, down) in side(i, from.1) {
                        for (column, across) in side(j, from.2) {
                            let from = ((n * from.0 + c) * from.1 + row) * from.2 + column;
                            y[at] += down * across * x[from];
                        }
                    }
                });
                y
            }
            Op::Flatten | Op::Dropout(_) => inputs[0].0.to_vec(),
            Op::ChannelNorm { epsilon } => {
                let (x, from) = inputs[0];
                let area = from.1 * from.2;
                let mut y = x.to_vec();
                for start in (0..batch).flat_map(|n| (0..area).map(move |at| n * from.0 * area + at)) {
                    let own = || x[start..].iter().step_by(area).take(from.0);
                    let mean = own().sum::<f64>() / from.0 as f64;
                    let variance = own().map(|value| (value - mean).powi(2)).sum::<f64>() / from.0 as f64;
                    let root = (variance + f64::from(*epsilon)).sqrt();
                    for c in 0..from.0 {
                        let at = start + c * area;
                        y[at] = (x[at] - mean) / root * weight(0)[c] + weight(1)[c];
                    }
                }
                y
            }
            Op::Tokens => {
                let (x, from) = inputs[0];
                let mut y = vec![0.0; all];
                each(batch, out, |at, (n, c, _, token)| {
                    let own = match token {
                        0 => weight(0)[c],
                        token => x[(n * from.0 + c) * from.1 * from.2 + token - 1],
                    };
                    y[at] = own + weight(1)[token * from.0 + c];
                });
                y
            }
            Op::SelfAttention { heads } => {
                let (x, (_, _, tokens)) = inputs[0];
                let size = out.0 / heads;
                let of = |n: usize, part: usize, c: usize, token: usize| {
                    x[((n * 3 + part) * out.0 + c) * tokens + token]
                };
                let mut y = vec![0.0; all];
                each(batch, out, |at, (n, c, _, token)| {
                    let own = c / size * size..(c / size + 1) * size;
                    let score = |other: usize| {
                        let products = own.clone().map(|c| of(n, 0, c, token) * of(n, 1, c, other));
                        (products.sum::<f64>() / (size as f64).sqrt()).exp()
                    };
                    let scores: Vec<f64> = (0..tokens).map(score).collect();
                    let mixed = scores.iter().enumerate().map(|(other, score)| score * of(n, 2, c, other));
                    y[at] = mixed.sum::<f64>() / scores.iter().sum::<f64>();
                });
                y
            }
            Op::First => {
                let (x, from) = inputs[0];
                x.iter().step_by(from.1 * from.2).copied().collect()
            }
            Op::Sequence(_) => panic!("{} is over sequences", node.name),
        };
        results.push(result);
    }
    results.swap_remove(graph.output().0)
}

/// Calls `f` with every place and its image, channel, row and column.
fn each(batch: usize, size: Size, mut f: impl FnMut(usize, (usize, usize, usize, usize))) {
    for at in 0..batch * size.0 * size.1 * size.2 {
        let (row, plane) = (at / size.2, at / size.2 / size.1);
        f(at, (plane / size.0, plane % size.0, row % size.1, at % size.2));
    }
}

fn convolve(conv: &Conv, (x, from): (&[f64], Size), w: &[f64], (y, to): (&mut [f64], Size), batch: usize) {
    let (window, each_group) = (conv.window, from.0 / conv.groups);
    each(batch, to, |at, (n, o, i, j)| {
        let group = o / (to.0 / conv.groups);
        for c in 0..each_group {
            for tap in 0..window.taps() {
                let (ky, kx) = (tap / window.kernel.1, tap % window.kernel.1);
                let place = (reads(&window, i, ky, 0, from.1), reads(&window, j, kx, 1, from.2));
                if let (Some(row), Some(column)) = place {
                    let channel = group * each_group + c;
                    y[at] += x[((n * from.0 + channel) * from.1 + row) * from.2 + column]
                        * w[(o * each_group + c) * window.taps() + tap];
                }
            }
        }
    });
}

fn reads(window: &Window, at: usize, tap: usize, side: usize, length: usize) -> Option<usize> {
    let padding = [window.padding.0, window.padding.1][side] as isize;
    let place = (at * window.stride + tap * window.dilation) as isize - padding;
    (place >= 0 && place < length as isize).then_some(place as usize)
}

fn pool(window: &Window, (x, from): (&[f64], Size), to: Size, batch: usize, max: bool) -> Vec<f64> {
    let mut y = vec![0.0; batch * to.0 * to.1 * to.2];
    each(batch, to, |at, (n, c, i, j)| {
        let mut under = Vec::new();
        for tap in 0..window.taps() {
            let (ky, kx) = (tap / window.kernel.1, tap % window.kernel.1);
            let place = (reads(window, i, ky, 0, from.1), reads(window, j, kx, 1, from.2));
            if let (Some(row), Some(column)) = place {
                under.push(x[((n * from.0 + c) * from.1 + row) * from.2 + column]);
            }
        }
        y[at] = match max {
            true => under.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            false => under.iter().sum::<f64>() / window.taps() as f64,
        };
    });
    y
}

fn activate(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => {
            // The share of a normal distribution below x, by the trapezoidal rule.
            let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let step = x / 400.0;
            let inner: f64 = (1..400).map(|i| density(f64::from(i) * step)).sum();
            x * (0.5 + step * (0.5 * (density(0.0) + density(x)) + inner))
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
    }
}
