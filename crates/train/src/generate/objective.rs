//! What a generator learns: of a picture with noise on it, the velocity between the two.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::ON_SHEET;
use super::pictures::{Pictures, turned};
use crate::fit::{Objective, Validation};
use model::manifest::{Generation, ImageInput};
use nn::{ImageNetwork, Network, Pass, random};
use vision::generate::codec::Codec;
use vision::generate::sampler::noised;
use vision::generate::{Generator, Sizes, conditions, network_input};
use vision::{Image, Samples, write};

/// Validation pictures that are looked at.
const VALIDATED: usize = 512;

/// Validation pictures that go through the network together.
const TOGETHER: usize = 64;

/// Pixels between the pictures of a sheet.
const GAP: usize = 2;

/// A run of training.
pub struct Denoising<'a> {
    pub network: &'a ImageNetwork,
    pub codec: &'a Codec,
    pub generation: &'a Generation,
    pub input: &'a ImageInput,
    pub labels: &'a [String],
    pub train: &'a Pictures,
    pub val: &'a Pictures,
    /// In how many ways a picture may lie.
    pub ways: usize,
    /// Share of the pictures whose label the network is not told.
    pub unlabelled: f32,
    pub seed: u64,
    /// Where sheets of samples are written.
    pub sheets: PathBuf,
}

/// What a network reads, and what it is to say of that.
struct Task {
    input: Vec<f32>,
    velocity: Vec<f32>,
}

impl Denoising<'_> {
    fn sizes(&self) -> Sizes {
        Sizes::new(self.generation, self.input, self.labels.len())
    }

    /// A picture in one of its ways, with noise of the time `t`.
    fn task(
        &self,
        set: &Pictures,
        index: usize,
        way: usize,
        label: Option<usize>,
        t: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<Task> {
        let picture = turned(&set.fractions(index)?, self.input.channels as usize, way);
        let numbers = self.codec.encode(&picture);
        let (noisy, velocity) = noised(&numbers, &random::normals(rng, numbers.len()), t);
        let told = conditions(self.generation, self.labels.len(), t, label);
        Ok(Task { input: network_input(&noisy, &told, self.sizes().places), velocity })
    }

    /// What the network says of tasks, less what it is to say.
    fn apart(&self, tasks: Vec<Task>, pass: &mut Pass) -> Result<Tensor> {
        let Sizes { places, values, conditions } = self.sizes();
        let (rows, columns) = {
            let rows = self.input.height as usize / self.generation.patch;
            (rows, places / rows)
        };
        let (count, components) = (tasks.len(), self.generation.components);
        let (mut inputs, mut truth) =
            (Vec::with_capacity(count * (values + conditions * places)), Vec::with_capacity(count * values));
        for task in tasks {
            inputs.extend(task.input);
            truth.extend(task.velocity);
        }
        let inputs = Tensor::from_vec(inputs, (count, components + conditions, rows, columns), &Device::Cpu)?;
        let truth = Tensor::from_vec(truth, (count, values), &Device::Cpu)?;
        Ok((self.network.logits(&inputs, pass)?.reshape((count, values))? - truth)?)
    }

    /// The network as it is now, ready to make pictures.
    ///
    /// # Errors
    /// Memory that runs out.
    pub fn generator(&self) -> Result<Generator> {
        let plan = self.network.plan(false)?;
        Ok(Generator::new(self.labels.len(), self.generation, self.input, plan, self.codec.clone()))
    }

    /// A PNG of pictures of every label, a row each, from the same seed every time.
    ///
    /// # Errors
    /// A network that fails.
    pub fn sheet(&self, generator: &mut Generator, each: usize) -> Result<Vec<u8>> {
        let ImageInput { height, width, channels, .. } = *self.input;
        let (height, width, channels) = (height as usize, width as usize, channels as usize);
        let (rows, columns) = (self.labels.len() * (height + GAP) + GAP, each * (width + GAP) + GAP);
        let mut sheet = vec![u8::MAX; rows * columns * channels];
        for label in 0..self.labels.len() {
            for number in 0..each {
                let picture = generator.run(label, self.seed, number, || false)?;
                let (Samples::Gray8(values) | Samples::Rgb8(values)) = picture.samples() else {
                    anyhow::bail!("a picture that was made has 8 bits")
                };
                let (top, left) = (GAP + label * (height + GAP), GAP + number * (width + GAP));
                for (row, line) in values.chunks_exact(width * channels).enumerate() {
                    let start = ((top + row) * columns + left) * channels;
                    sheet[start..start + line.len()].copy_from_slice(line);
                }
            }
        }
        let samples = if channels == 1 { Samples::Gray8(sheet) } else { Samples::Rgb8(sheet) };
        let image = Image::new(columns as u32, rows as u32, samples)?;
        // Whoever finds the sheet sees that its pictures were made.
        Ok(write::png_with(&image, &[(vision::synthetic::KEYWORD, "true".to_string())])?)
    }
}

impl Objective for Denoising<'_> {
    fn examples(&self) -> usize {
        self.train.len()
    }

    fn loss(&self, indices: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let count = indices.len() as f64;
        // Times spread evenly over a batch, which makes its loss steadier than times of chance would.
        let shift = rng.random::<f64>();
        let seeded: Vec<(usize, f64, u64)> = indices
            .iter()
            .enumerate()
            .map(|(at, index)| (*index, (at as f64 + shift) / count, rng.random()))
            .collect();
        let task = |(index, t, seed): &(usize, f64, u64)| {
            let mut rng = ChaCha8Rng::seed_from_u64(*seed);
            let way = rng.random_range(0..self.ways);
            let told = rng.random::<f32>() >= self.unlabelled;
            let label = told.then_some(self.train.labels()[*index]);
            self.task(self.train, *index, way, label, *t, &mut rng)
        };
        let tasks = seeded.par_iter().map(task).collect::<Result<Vec<Task>>>()?;
        Ok(self.apart(tasks, &mut Pass::Training(rng))?.sqr()?.mean_all()?)
    }

    /// The loss on validation pictures, each with the same noise every time. The accuracy is the share of the velocity's
    /// variance that the network explains.
    fn validate(&self) -> Result<Validation> {
        let step = self.val.len().div_ceil(VALIDATED).max(1);
        let chosen: Vec<usize> = (0..self.val.len()).step_by(step).collect();
        let (mut lost, mut all, mut count) = (0.0, 0.0, 0);
        for (part, indices) in chosen.chunks(TOGETHER).enumerate() {
            let task = |(at, index): (usize, &usize)| {
                let mut rng = random::stream(self.seed, &format!("validation:{index}"));
                let t = ((part + at * 7) % TOGETHER) as f64 / TOGETHER as f64 + 0.5 / TOGETHER as f64;
                self.task(self.val, *index, 0, Some(self.val.labels()[*index]), t, &mut rng)
            };
            let tasks = indices.par_iter().enumerate().map(task).collect::<Result<Vec<Task>>>()?;
            all += tasks.iter().flat_map(|task| &task.velocity).map(|v| f64::from(v * v)).sum::<f64>();
            let apart = self.apart(tasks, &mut Pass::Inference)?;
            lost += f64::from(apart.sqr()?.sum_all()?.to_scalar::<f32>()?);
            count += apart.elem_count();
        }
        Ok(Validation { loss: lost / count.max(1) as f64, accuracy: 1.0 - lost / all.max(1e-12), auc: None })
    }

    fn validated(&self, epoch: usize) -> Result<()> {
        let file = self.sheets.join(format!("epoch-{epoch:03}.png"));
        let sheet = self.sheet(&mut self.generator()?, ON_SHEET)?;
        std::fs::create_dir_all(&self.sheets)
            .and_then(|()| std::fs::write(&file, sheet))
            .with_context(|| file.display().to_string())
    }
}
