//! One convolution, 3 x 3 with stride 1 and padding 1, from maps to maps as inside a network.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use criterion::Criterion;
use nn::Window;
use nn::activation::Clip;
use nn::filter::{ConvArgs, Filter, Kernel};
use nn::map::Map;
use nn::simd::{AlignedVec, round_up};
use serde_json::{Value, json};

use crate::measure::{Measured, floats, median};

/// A layer of as many channels in as out.
pub struct Convolution {
    kernel: Kernel,
    map: Map,
}

impl Convolution {
    /// Over `channels` x `side` x `side`, with `weights` (channels, channels, 3, 3).
    pub fn new(channels: usize, side: usize, weights: Vec<f32>) -> Convolution {
        let filter = Filter {
            weights,
            bias: vec![0.0; channels],
            outputs: channels,
            inputs: channels,
            window: Window::new(3).padding(1),
        };
        let mut map = Map::new(side, side, channels, round_up(channels));
        let to = map.clone();
        Kernel::make_room(&filter, &mut map, &to);
        Convolution { kernel: Kernel::new(&filter, &map, &map, false), map }
    }

    /// Values of one image.
    fn image(&self) -> usize {
        self.map.channels * self.map.height * self.map.width
    }

    /// A batch (images, channels, side, side) as maps.
    fn maps(&self, batch: &[f32]) -> AlignedVec {
        let mut maps = AlignedVec::zeros(batch.len() / self.image() * self.map.image());
        for (image, map) in batch.chunks_exact(self.image()).zip(maps.chunks_exact_mut(self.map.image())) {
            self.map.read(image, map);
        }
        maps
    }

    fn run(&self, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let (from, images) = (&self.map, x.len() / self.map.image());
        self.kernel.run(ConvArgs {
            from,
            to: from,
            images,
            x,
            residual: None,
            clip: Clip::None,
            out,
            scratch,
        });
    }
}

impl Measured for Convolution {
    fn measure(&mut self, inputs: &Path, _: usize, rounds: usize) -> Value {
        let batch = floats(inputs);
        let x = self.maps(&batch);
        let (mut out, mut scratch) = (x.clone(), AlignedVec::zeros(self.kernel.scratch()));
        let mut round = || {
            let start = Instant::now();
            self.run(black_box(&x), black_box(&mut out), &mut scratch);
            start.elapsed().as_secs_f64()
        };
        round();
        let seconds = median((0..rounds).map(|_| round()).collect());
        let mut outputs = vec![0.0; batch.len()];
        for (map, image) in out.chunks_exact(self.map.image()).zip(outputs.chunks_exact_mut(self.image())) {
            self.map.write(map, image);
        }
        json!({ "seconds": seconds, "logits": outputs })
    }
}

/// Ours beside candle's own.
pub fn bench(criterion: &mut Criterion) {
    for (batch, channels, side) in [(1, 64, 28), (8, 64, 28), (1, 32, 28), (32, 16, 28), (32, 128, 4)] {
        let noise = |count: usize| (0..count).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0);
        let weights: Vec<f32> = noise(channels * channels * 9).collect();
        let images: Vec<f32> = noise(batch * channels * side * side).collect();
        let mut group = criterion.benchmark_group(format!("conv3x3-{batch}x{channels}x{side}"));
        let ours = Convolution::new(channels, side, weights.clone());
        let x = ours.maps(&images);
        let (mut out, mut scratch) = (x.clone(), AlignedVec::zeros(ours.kernel.scratch()));
        group.bench_function("ours", |b| b.iter(|| ours.run(black_box(&x), &mut out, &mut scratch)));
        let x = Tensor::from_vec(images, (batch, channels, side, side), &Device::Cpu).expect("a tensor");
        let w = Tensor::from_vec(weights, (channels, channels, 3, 3), &Device::Cpu).expect("a tensor");
        group.bench_function("stock", |b| b.iter(|| black_box(&x).conv2d(&w, 1, 1, 1, 1).expect("a result")));
        group.finish();
    }
}
