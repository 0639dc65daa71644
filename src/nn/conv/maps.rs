//! A batch of (batch, channels, height, width) through the kernels of serving, which want channels
//! last: a few images at a time are turned, convolved and turned back while the cache holds them.

use rayon::prelude::*;

use super::ConvShape;
use super::unfold::Sizes;
use crate::nn::filter::{Filter, Job, Kernel};
use crate::nn::map::Map;
use crate::nn::simd::{Buffer, dispatch, round_up};
use crate::nn::winograd::Winograd;
use crate::nn::winograd_gradient::{Add, WeightGradient};

/// Most images that are turned together: the partial sums of a weight gradient.
const TOGETHER: usize = 16;

/// Floats that are turned together where images are large.
const FLOATS: usize = 1 << 20;

/// Channels from which on filling them up to whole vectors pays.
const FEW: usize = 8;

/// True where filling up the channels costs less than unfolding.
pub fn suits(sizes: &Sizes) -> bool {
    sizes.outputs >= FEW && sizes.image() > 0
}

/// True where the weight gradient can go Winograd's way too.
pub fn suits_winograd(sizes: &Sizes) -> bool {
    let none = Filter { weights: Vec::new(), bias: Vec::new(), ..filter(sizes) };
    suits(sizes) && sizes.positions() > 0 && Winograd::suits(&none, &maps(sizes).0)
}

/// The convolution that turns the output's gradient into the input's, and its weights; only a
/// convolution of stride 1 has one.
pub fn reverse(sizes: &Sizes, weight: &[f32]) -> Option<(Sizes, Vec<f32>)> {
    let ConvShape { kernel, stride, padding, dilation, .. } = sizes.conv;
    let padding = ((kernel - 1) * dilation).checked_sub(padding)?;
    if stride != 1 {
        return None;
    }
    let taps = kernel * kernel;
    let mut turned = vec![0.0; weight.len()];
    for output in 0..sizes.outputs {
        for input in 0..sizes.inputs {
            for tap in 0..taps {
                turned[(input * sizes.outputs + output) * taps + taps - 1 - tap] =
                    weight[(output * sizes.inputs + input) * taps + tap];
            }
        }
    }
    let reversed = Sizes {
        inputs: sizes.outputs,
        height: sizes.out_height,
        width: sizes.out_width,
        outputs: sizes.inputs,
        out_height: sizes.height,
        out_width: sizes.width,
        conv: ConvShape { padding, ..sizes.conv },
        ..*sizes
    };
    suits(&reversed).then_some((reversed, turned))
}

/// The filter of a convolution, its weights still missing.
fn filter(sizes: &Sizes) -> Filter {
    let ConvShape { kernel, stride, padding, dilation, .. } = sizes.conv;
    Filter {
        weights: Vec::new(),
        bias: vec![0.0; sizes.outputs],
        outputs: sizes.outputs,
        inputs: sizes.inputs,
        kernel: (kernel, kernel),
        stride,
        padding,
        dilation,
    }
}

/// Layouts of input and output.
fn maps(sizes: &Sizes) -> (Map, Map) {
    let depth = |channels: usize| if channels < FEW { channels } else { round_up(channels) };
    let mut from = Map::new(sizes.height, sizes.width, sizes.inputs, depth(sizes.inputs));
    let to = Map::new(sizes.out_height, sizes.out_width, sizes.outputs, round_up(sizes.outputs));
    Kernel::make_room(&filter(sizes), &mut from, &to);
    (from, to)
}

/// Images that are turned together.
fn together(from: &Map, to: &Map) -> usize {
    (FLOATS / (from.image() + to.image())).clamp(1, TOGETHER)
}

/// The convolution of a batch.
pub fn forward(sizes: &Sizes, parallel: bool, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let (from, to) = maps(sizes);
    let kernel = Kernel::new(&Filter { weights: weight.to_vec(), ..filter(sizes) }, &from, &to, false);
    let together = together(&from, &to);
    let each = sizes.outputs * sizes.positions();
    let mut out = vec![0.0; sizes.batch * each];
    let memory = || {
        let maps = [&from, &to].map(|map| Buffer::zeros(together * map.image()));
        (maps, Buffer::zeros(kernel.scratch()))
    };
    let work = |([maps, results], scratch): &mut ([Buffer; 2], Buffer), x: &[f32], out: &mut [f32]| {
        let images = out.len() / each;
        for (image, map) in x.chunks_exact(sizes.image()).zip(maps.chunks_exact_mut(from.image())) {
            from.read(image, map);
        }
        let (from, residual, relu) = (&from, None, false);
        kernel.run(Job { from, to: &to, images, x: maps, residual, relu, out: results, scratch });
        for (map, image) in results.chunks_exact(to.image()).zip(out.chunks_exact_mut(each)) {
            to.write(map, image);
        }
    };
    if each == 0 {
        return out;
    }
    let (input, output) = (together * sizes.image(), together * each);
    match parallel {
        true => x
            .par_chunks(input)
            .zip(out.par_chunks_mut(output))
            .for_each_init(memory, |memory, (x, out)| work(memory, x, out)),
        false => {
            let mut memory = memory();
            x.chunks(input).zip(out.chunks_mut(output)).for_each(|(x, out)| work(&mut memory, x, out));
        }
    }
    out
}

/// The weights' gradient of a convolution that goes Winograd's way, from its inputs and the
/// gradient of its outputs.
pub fn weight_gradient(sizes: &Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (from, mut to) = maps(sizes);
    WeightGradient::make_room(&mut to);
    let together = together(&from, &to);
    let each = sizes.outputs * sizes.positions();
    let part = |(x, gradient): (&[f32], &[f32])| -> Vec<f32> {
        let [mut inputs, mut outputs] = [&from, &to].map(|map| Buffer::zeros(together * map.image()));
        for (image, map) in x.chunks_exact(sizes.image()).zip(inputs.chunks_exact_mut(from.image())) {
            from.read(image, map);
        }
        for (image, map) in gradient.chunks_exact(each).zip(outputs.chunks_exact_mut(to.image())) {
            to.read(image, map);
        }
        let mut sum = WeightGradient::new(&from, &to);
        let (images, padding) = (x.len() / sizes.image(), sizes.conv.padding);
        dispatch(Add {
            sum: &mut sum,
            from: &from,
            to: &to,
            padding,
            images,
            x: &inputs,
            gradient: &outputs,
        });
        sum.finish()
    };
    let parts = x.par_chunks(together * sizes.image()).zip(gradient.par_chunks(together * each));
    let parts: Vec<Vec<f32>> = parts.map(part).collect();
    let mut total = vec![0.0; sizes.outputs * sizes.inputs * 9];
    for part in &parts {
        total.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    total
}
