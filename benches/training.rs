//! A step of training the shipped network of images: ours, and the same layers in stock candle.
//!
//!     cargo bench --bench training
//!
//! The stock network has the same shapes and goes through candle's own convolution and batch
//! normalisation. With `--peer` the program measures on request instead, for
//! `benches/peers/training.py`: it reads lines such as `{"package": "models/pneumonia/1",
//! "network": "ours", "batch": 64, "rounds": 5}` and answers each with the median seconds of a step.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::{BatchNormConfig, Conv2dConfig, Module, ModuleT, Optimizer, VarBuilder, VarMap};
use criterion::Criterion;
use model::Package;
use model::manifest::{Architecture, Input, Manifest, ResnetConfig};
use nn::{Network, Params, Pass, random};
use serde::Deserialize;
use train::optimizer::AdamW;
use vision::network;

/// That of `train`: maps of a batch come and go at every step, and the system's allocator fetches
/// their pages anew each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LABELS: usize = 2;

/// What a peer asks for.
#[derive(Deserialize)]
struct Request {
    package: PathBuf,
    network: String,
    batch: usize,
    rounds: usize,
}

/// Something that takes a step on images and their labels.
type Step = Box<dyn FnMut(&Tensor, &Tensor) -> Result<()>>;

fn main() {
    if std::env::args().any(|argument| argument == "--peer") {
        return answer_requests();
    }
    let mut criterion = Criterion::default().configure_from_args();
    let manifest = read(PathBuf::from("models/pneumonia/1"));
    let (images, labels) = batch(&manifest, 64).expect("a batch");
    let mut group = criterion.benchmark_group("training-step");
    group.sample_size(10);
    for (name, step) in [("ours", ours(&manifest)), ("stock", stock(&manifest))] {
        let mut step = step.expect("a network");
        group.bench_function(name, |bencher| bencher.iter(|| step(&images, &labels).expect("a step")));
    }
    group.finish();
    criterion.final_summary();
}

fn read(folder: PathBuf) -> Manifest {
    Package::read(&folder).unwrap_or_else(|error| panic!("{error}")).manifest
}

fn answer_requests() {
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line.expect("a line")).expect("a request");
        let manifest = read(request.package);
        let (images, labels) = batch(&manifest, request.batch).expect("a batch");
        let step = if request.network == "stock" { stock(&manifest) } else { ours(&manifest) };
        let mut step = step.expect("a network");
        step(&images, &labels).expect("a step");
        let round = |_| {
            let start = Instant::now();
            step(&images, &labels).expect("a step");
            start.elapsed().as_secs_f64()
        };
        let mut seconds: Vec<f64> = (0..request.rounds).map(round).collect();
        seconds.sort_by(f64::total_cmp);
        println!("{}", serde_json::json!({ "seconds": seconds[seconds.len() / 2] }));
    }
}

/// Noise with labels.
fn batch(manifest: &Manifest, size: usize) -> Result<(Tensor, Tensor)> {
    let Input::Image(input) = &manifest.input else { panic!("{} reads notes", manifest.name) };
    let shape = (size, input.channels as usize, input.height as usize, input.width as usize);
    let mut rng = random::stream(0, "batch");
    let values: Vec<f32> =
        (0..shape.0 * shape.1 * shape.2 * shape.3).map(|_| random::normal(&mut rng)).collect();
    let labels: Vec<u32> = (0..size).map(|i| (i % LABELS) as u32).collect();
    Ok((Tensor::from_vec(values, shape, &Device::Cpu)?, Tensor::from_vec(labels, size, &Device::Cpu)?))
}

fn loss(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    candle_nn::ops::log_softmax(logits, D::Minus1)?.gather(&labels.unsqueeze(1)?, 1)?.mean_all()?.neg()
}

fn ours(manifest: &Manifest) -> Result<Step> {
    let Input::Image(input) = &manifest.input else { panic!("{} reads notes", manifest.name) };
    let mut params = Params::fresh(0);
    let network = network::build(&manifest.architecture, input, LABELS, &mut params)?;
    let mut optimizer = AdamW::new(&params, 0.05, 2.0)?;
    let mut rng = random::stream(0, "steps");
    Ok(Box::new(move |images, labels| {
        let logits = network.logits(images, &mut Pass::Training(&mut rng))?;
        optimizer.step(&params, &loss(&logits, labels)?.backward()?, 1e-3)?;
        Ok(())
    }))
}

/// A convolution and the normalisation behind it.
struct Unit {
    conv: candle_nn::Conv2d,
    norm: candle_nn::BatchNorm,
}

impl Unit {
    fn new(vb: VarBuilder, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Result<Unit> {
        let config = Conv2dConfig { padding: kernel / 2, stride, ..Default::default() };
        Ok(Unit {
            conv: candle_nn::conv2d_no_bias(inputs, outputs, kernel, config, vb.pp("conv"))?,
            norm: candle_nn::batch_norm(outputs, BatchNormConfig::default(), vb.pp("norm"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward_t(&self.conv.forward(x)?, true)
    }
}

fn stock(manifest: &Manifest) -> Result<Step> {
    let Architecture::Resnet(config) = &manifest.architecture else { panic!("not a resnet") };
    let Input::Image(input) = &manifest.input else { panic!("{} reads notes", manifest.name) };
    let ResnetConfig { stem_channels, stem_kernel, stem_stride, stages, .. } = config;
    let values = VarMap::new();
    let vb = VarBuilder::from_varmap(&values, candle_core::DType::F32, &Device::Cpu);
    let stem = Unit::new(vb.pp("stem"), input.channels as usize, *stem_channels, *stem_kernel, *stem_stride)?;
    let mut blocks = Vec::new();
    let mut channels = *stem_channels;
    for (s, stage) in stages.iter().enumerate() {
        for b in 0..stage.blocks {
            let vb = vb.pp(format!("{s}.{b}"));
            let stride = if b == 0 { stage.stride } else { 1 };
            let around = match channels != stage.channels || stride != 1 {
                true => Some(Unit::new(vb.pp("around"), channels, stage.channels, 1, stride)?),
                false => None,
            };
            let first = Unit::new(vb.pp("first"), channels, stage.channels, 3, stride)?;
            blocks.push((first, Unit::new(vb.pp("second"), stage.channels, stage.channels, 3, 1)?, around));
            channels = stage.channels;
        }
    }
    let head = candle_nn::linear(channels, LABELS, vb.pp("head"))?;
    let mut optimizer = candle_nn::AdamW::new_lr(values.all_vars(), 1e-3)?;
    Ok(Box::new(move |images, labels| {
        let mut x = stem.forward(images)?.relu()?;
        for (first, second, around) in &blocks {
            let y = second.forward(&first.forward(&x)?.relu()?)?;
            let around = around.as_ref().map_or_else(|| Ok(x.clone()), |around| around.forward(&x))?;
            x = (y + around)?.relu()?;
        }
        let logits = head.forward(&x.flatten_from(2)?.mean(D::Minus1)?)?;
        optimizer.backward_step(&loss(&logits, labels)?)
    }))
}
