//! What made pictures are worth, beside real ones that training has not seen.
//!
//! *Of use*: a classifier is trained on made pictures alone and asked about real ones. *Like real ones*: the Fréchet distance (Heusel
//! et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash equilibrium") and precision and recall of
//! manifolds (Kynkäänniemi et al. 2019), in the features of our own classifier of the same labels, as features learnt on
//! photographs know nothing of cells. *Not learnt by heart*: the distance to the nearest training picture, in every way that
//! pictures may lie, beside that of real ones.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use candle_core::Tensor;
use rayon::prelude::*;

use super::eigen;
use super::pictures::{Pictures, turned, ways};
use crate::fit::{Examples, FitOptions, Session, fit, predict};
use crate::image::{Augment, Orientation};
use crate::image_set::ImageSet;
use crate::metrics::highest;
use crate::progress;
use model::manifest::{
    Architecture, FewExamples, GenerationMetrics, ImageInput, Memorisation, ResnetConfig, ResnetStage,
};
use nn::{ImageNetwork, Network, Params, Pass};
use vision::generate::{GenerateError, Generator};
use vision::{Image, Preprocessor, network};

/// Fewest pictures of each label that say anything.
pub const FEWEST: usize = 8;

/// Real pictures of each label where there are few.
const FEW: usize = 50;

/// Pictures of either kind that are compared with each other, and with those of training.
const COMPARED: usize = 2000;
const COMPARED_WITH_TRAINING: usize = 1000;

/// The neighbor whose distance is how far a manifold reaches.
const NEIGHBOR: usize = 3;

/// Side of the thumbnails whose distances are taken.
const THUMBNAIL: usize = 16;

/// Share of the real pictures below whose distance a picture counts as a copy.
const NEAR: f64 = 0.01;

/// Pictures that go through a classifier together.
const TOGETHER: usize = 64;

/// The seed of the pictures that are measured: not that of any sheet.
const SEED: u64 = 0x006d_6561_7375_7265;

/// Everything that is measured.
pub struct Measures<'a> {
    pub generator: &'a Generator,
    pub input: &'a ImageInput,
    pub labels: usize,
    pub train: &'a Pictures,
    pub train_examples: &'a [(Image, usize)],
    pub held_out: &'a Pictures,
    pub held_out_examples: &'a [(Image, usize)],
    /// The split that is held out.
    pub split: &'a str,
    pub orientation: Orientation,
    /// Pictures made of each label.
    pub each: usize,
    /// Steps of a classifier.
    pub steps: usize,
    /// Largest share of copies.
    pub at_most: f64,
    pub seed: u64,
    pub stop: &'a AtomicBool,
}

/// A classifier and what it is worth.
struct Classifier {
    params: Params,
    accuracy: f64,
}

impl Measures<'_> {
    /// Makes pictures and measures them.
    ///
    /// # Errors
    /// A network that fails; stopped.
    pub fn run(&self) -> Result<GenerationMetrics> {
        eprintln!("making {} pictures to be measured", self.each * self.labels);
        let made = self.made()?;
        let distances = self.memorisation(&made)?;
        eprintln!("a classifier of real pictures");
        let real = self.classifier(self.train_examples.to_vec())?;
        eprintln!("a classifier of pictures that were made");
        let from_made = self.classifier(made.clone())?;
        let few = self.few(&made)?;
        let features = self.features(&real)?;
        let of = |examples: &[(Image, usize)], most: usize| features.of(&sample(examples, most));
        let (held_out, train) = (of(self.held_out_examples, COMPARED)?, of(self.train_examples, COMPARED)?);
        let made_features = of(&made, COMPARED)?;
        let (precision, recall) = manifolds(&held_out, &made_features);
        Ok(GenerationMetrics {
            generated: made.len(),
            measured_on: self.split.to_string(),
            trained_on_generated: from_made.accuracy,
            trained_on_real: real.accuracy,
            few,
            frechet_distance: frechet(&held_out, &made_features),
            frechet_distance_of_real: frechet(&held_out, &train),
            precision,
            recall,
            memorisation: distances,
        })
    }

    fn check_stop(&self) -> Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "stopped while it was measured: no package was written");
        Ok(())
    }

    /// As many pictures of each label, labels in turn.
    fn made(&self) -> Result<Vec<(Image, usize)>> {
        let bar = progress::bar(self.each * self.labels, "pictures");
        let make = |generator: &mut Generator, at: usize| {
            let (number, label) = (at / self.labels, at % self.labels);
            let picture =
                generator.run(label, SEED ^ self.seed, number, || self.stop.load(Ordering::Relaxed));
            bar.inc(1);
            picture.map(|picture| (picture, label))
        };
        let made: Result<Vec<_>, GenerateError> =
            (0..self.each * self.labels).into_par_iter().map_init(|| self.generator.clone(), make).collect();
        bar.finish_and_clear();
        self.check_stop()?;
        Ok(made?)
    }

    /// A small residual network trained on examples, and its accuracy on the pictures held out.
    fn classifier(&self, examples: Vec<(Image, usize)>) -> Result<Classifier> {
        self.check_stop()?;
        let augmentation = Augment::Light.settings().map(|settings| self.orientation.of(settings));
        let train = ImageSet::new(&examples, self.input, augmentation)?;
        let held_out = ImageSet::new(self.held_out_examples, self.input, None)?;
        // Its loss is asked for after each epoch, and decides nothing.
        let few =
            ImageSet::new(&self.held_out_examples[..self.held_out_examples.len().min(2)], self.input, None)?;
        let mut params = Params::fresh(self.seed);
        let network = network::build(&self.architecture(), self.input, self.labels, &mut params)?;
        let steps = examples.len().div_ceil(TOGETHER).max(1);
        let options = FitOptions {
            epochs: self.steps.div_ceil(steps).clamp(1, 60),
            batch_size: TOGETHER,
            learning_rate: 3e-3,
            warmup: 0.1,
            weight_decay: 0.05,
            clip: 2.0,
            label_smoothing: 0.1,
            balance: 0.5,
            average_decay: 0.99,
            patience: 0,
            keep_last: true,
            seed: self.seed,
        };
        let session = Session {
            stop: self.stop,
            checkpoint: None,
            resume: false,
            about: Default::default(),
            progress: false,
        };
        fit(&network, &params, &train, &few, self.labels, &options, &session)?;
        self.check_stop()?;
        let logits = predict(&network, &held_out, TOGETHER)?;
        let right = logits.iter().zip(held_out.labels()).filter(|(row, truth)| highest(row).0 == **truth);
        let accuracy = right.count() as f64 / held_out.labels().len() as f64;
        Ok(Classifier { params, accuracy })
    }

    /// Whether made pictures help where there are few real ones; nothing where there are not even these.
    fn few(&self, made: &[(Image, usize)]) -> Result<Option<FewExamples>> {
        let mut counts = vec![0; self.labels];
        let mut real: Vec<(Image, usize)> = Vec::new();
        for (image, label) in self.train_examples {
            if counts[*label] < FEW {
                counts[*label] += 1;
                real.push((image.clone(), *label));
            }
        }
        if counts.iter().any(|count| *count < FEW) {
            return Ok(None);
        }
        eprintln!("classifiers of {FEW} real pictures of each label, without and with those that were made");
        let alone = self.classifier(real.clone())?.accuracy;
        // Together as often as the made ones, of which there are more.
        let copies = (made.len() / real.len()).max(1);
        let both = std::iter::repeat_n(real, copies).flatten().chain(made.iter().cloned()).collect();
        let both = self.classifier(both)?.accuracy;
        Ok(Some(FewExamples { per_label: FEW, real: alone, real_and_generated: both }))
    }

    fn architecture(&self) -> Architecture {
        let stage = |channels, stride| ResnetStage { channels, blocks: 1, stride };
        Architecture::Resnet(ResnetConfig {
            stem_channels: 32,
            stem_kernel: 3,
            stem_stride: if self.input.height >= 48 { 2 } else { 1 },
            stem_pool: false,
            bottleneck: false,
            stages: vec![stage(32, 1), stage(64, 2), stage(128, 2)],
            dropout: 0.1,
        })
    }

    fn features(&self, classifier: &Classifier) -> Result<Features<'_>> {
        let mut params = Params::frozen(classifier.params.snapshot()?);
        let network = network::features(&self.architecture(), self.input, &mut params)?;
        Ok(Features { network, input: self.input })
    }

    fn memorisation(&self, made: &[(Image, usize)]) -> Result<Memorisation> {
        eprintln!("distances to the pictures of training");
        let channels = self.input.channels as usize;
        let all = (0..self.train.len()).into_par_iter();
        let known: Vec<Vec<f32>> =
            all.map(|index| Ok(thumbnail(&self.train.fractions(index)?, channels))).collect::<Result<_>>()?;
        let ways = ways(self.orientation);
        let nearest = |set: &Pictures| -> Result<Vec<f64>> {
            let step = set.len().div_ceil(COMPARED_WITH_TRAINING).max(1);
            let chosen: Vec<usize> = (0..set.len()).step_by(step).collect();
            let one = |index: &usize| {
                let picture = thumbnail(&set.fractions(*index)?, channels);
                let turned: Vec<Vec<f32>> = (0..ways).map(|way| turned(&picture, channels, way)).collect();
                let distance =
                    |known: &Vec<f32>| turned.iter().map(|own| apart(own, known)).fold(f32::MAX, f32::min);
                Ok(f64::from(known.iter().map(distance).fold(f32::MAX, f32::min)).sqrt())
            };
            chosen.par_iter().map(one).collect()
        };
        let own = nearest(&Pictures::new(made, self.input)?)?;
        self.check_stop()?;
        let real = nearest(self.held_out)?;
        Ok(copies(own, real, self.at_most))
    }
}

/// The share of distances below the hundredth part of others.
fn copies(mut own: Vec<f64>, mut real: Vec<f64>, at_most: f64) -> Memorisation {
    own.sort_by(f64::total_cmp);
    real.sort_by(f64::total_cmp);
    let limit = real[(NEAR * real.len() as f64) as usize];
    let nearer = own.iter().filter(|distance| **distance < limit).count() as f64 / own.len() as f64;
    let median_ratio = own[own.len() / 2] / real[real.len() / 2].max(1e-12);
    Memorisation { nearer, at_most, median_ratio }
}

/// Means over squares of a square picture of `channels` planes: at most [`THUMBNAIL`] a side.
fn thumbnail(picture: &[f32], channels: usize) -> Vec<f32> {
    let side = (picture.len() / channels).isqrt();
    let by = side.div_ceil(THUMBNAIL);
    let small = side / by;
    let mut out = Vec::with_capacity(channels * small * small);
    for plane in picture.chunks_exact(side * side) {
        for (row, column) in (0..small).flat_map(|row| (0..small).map(move |column| (row, column))) {
            let square = (0..by).flat_map(|y| (0..by).map(move |x| (row * by + y) * side + column * by + x));
            out.push(square.map(|at| plane[at]).sum::<f32>() / (by * by) as f32);
        }
    }
    out
}

/// The square of a distance.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    let mut strands = [0f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (a, b) in a.zip(b) {
        for ((strand, x), y) in strands.iter_mut().zip(a).zip(b) {
            *strand += (x - y) * (x - y);
        }
    }
    rest + strands.iter().sum::<f32>()
}

/// At most so many examples, spread over all.
fn sample(examples: &[(Image, usize)], most: usize) -> Vec<&Image> {
    let step = examples.len().div_ceil(most).max(1);
    examples.iter().step_by(step).map(|(image, _)| image).collect()
}

/// The features of a classifier.
struct Features<'a> {
    network: ImageNetwork,
    input: &'a ImageInput,
}

impl Features<'_> {
    /// A row for each image.
    fn of(&self, images: &[&Image]) -> Result<Vec<Vec<f32>>> {
        let mut preprocessor = Preprocessor::new(self.input.clone())?;
        let ImageInput { channels, height, width, .. } = *self.input;
        let mut rows = Vec::with_capacity(images.len());
        for part in images.chunks(TOGETHER) {
            let mut values = Vec::new();
            part.iter().try_for_each(|image| preprocessor.append(image, &mut values))?;
            let shape = (part.len(), channels as usize, height as usize, width as usize);
            let batch = Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?;
            rows.extend(self.network.logits(&batch, &mut Pass::Inference)?.to_vec2::<f32>()?);
        }
        Ok(rows)
    }
}

/// Mean and covariance of rows.
fn moments(rows: &[Vec<f32>]) -> (Vec<f64>, Vec<f64>) {
    let (count, n) = (rows.len() as f64, rows[0].len());
    let mut mean = vec![0.0; n];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / count));
    let mut covariance = vec![0.0; n * n];
    for row in rows {
        let apart: Vec<f64> = row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
        for (line, a) in covariance.chunks_exact_mut(n).zip(&apart) {
            line.iter_mut().zip(&apart).for_each(|(sum, b)| *sum += a * b / (count - 1.0).max(1.0));
        }
    }
    (mean, covariance)
}

/// The Fréchet distance between normal distributions with the moments of two sets of rows: the square of the distance of the means,
/// and the traces of both covariances less twice that of the root of their product.
fn frechet(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let n = a[0].len();
    let ((mean_a, cov_a), (mean_b, cov_b)) = (moments(a), moments(b));
    let means: f64 = mean_a.iter().zip(&mean_b).map(|(x, y)| (x - y).powi(2)).sum();
    let trace = |matrix: &[f64]| (0..n).map(|i| matrix[i * n + i]).sum::<f64>();
    // The root of A B has the eigenvalues of the root of the symmetric root(A) B root(A).
    let mut root = vec![0.0; n * n];
    for (value, vector) in eigen::symmetric(cov_a.clone(), n) {
        let length = value.max(0.0).sqrt();
        for (line, x) in root.chunks_exact_mut(n).zip(&vector) {
            line.iter_mut().zip(&vector).for_each(|(sum, y)| *sum += length * x * y);
        }
    }
    let mut product = times(&times(&root, &cov_b, n), &root, n);
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (product[i * n + j] + product[j * n + i]);
            (product[i * n + j], product[j * n + i]) = (mean, mean);
        }
    }
    let roots: f64 = eigen::symmetric(product, n).iter().map(|(value, _)| value.max(0.0).sqrt()).sum();
    means + trace(&cov_a) + trace(&cov_b) - 2.0 * roots
}

fn times(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for (i, line) in out.chunks_exact_mut(n).enumerate() {
        for k in 0..n {
            let factor = a[i * n + k];
            line.iter_mut().zip(&b[k * n..(k + 1) * n]).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    out
}

/// The share of `made` that lies within reach of some real row, and the other way round.
fn manifolds(real: &[Vec<f32>], made: &[Vec<f32>]) -> (f64, f64) {
    let within = |set: &[Vec<f32>], others: &[Vec<f32>]| {
        let reach = |row: &Vec<f32>| {
            let mut distances: Vec<f32> = set.iter().map(|other| apart(row, other)).collect();
            // The nearest is the row itself.
            let place = NEIGHBOR.min(distances.len() - 1);
            *distances.select_nth_unstable_by(place, f32::total_cmp).1
        };
        let reaches: Vec<f32> = set.par_iter().map(reach).collect();
        let lies =
            |other: &&Vec<f32>| set.iter().zip(&reaches).any(|(row, reach)| apart(row, other) <= *reach);
        others.par_iter().filter(lies).count() as f64 / others.len().max(1) as f64
    };
    (within(real, made), within(made, real))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::random;

    fn rows(count: usize, n: usize, mean: f32, deviation: f32, seed: u64) -> Vec<Vec<f32>> {
        let mut rng = random::stream(seed, "rows");
        let row = |rng: &mut _| (0..n).map(|_| mean + deviation * random::normal(rng)).collect();
        (0..count).map(|_| row(&mut rng)).collect()
    }

    #[test]
    fn the_frechet_distance_of_normal_rows_is_that_of_their_definition() {
        // Of independent values: squares of the differences of means, and of deviations.
        let (a, b) = (rows(20_000, 4, 0.0, 1.0, 1), rows(20_000, 4, 0.5, 2.0, 2));
        let want = 4.0 * (0.25 + 1.0);
        assert!((frechet(&a, &b) - want).abs() < 0.15, "{}", frechet(&a, &b));
        assert!(frechet(&a, &a).abs() < 1e-9, "{}", frechet(&a, &a));
        // Turned together, nothing changes.
        let turn = |rows: &[Vec<f32>]| -> Vec<Vec<f32>> {
            rows.iter().map(|r| vec![0.6 * r[0] + 0.8 * r[1], 0.8 * r[0] - 0.6 * r[1], r[2], r[3]]).collect()
        };
        assert!((frechet(&turn(&a), &turn(&b)) - frechet(&a, &b)).abs() < 1e-4);
    }

    #[test]
    fn precision_and_recall_tell_what_is_lacking() {
        let real = rows(400, 2, 0.0, 1.0, 3);
        let (precision, recall) = manifolds(&real, &rows(400, 2, 0.0, 1.0, 4));
        assert!(precision > 0.85 && recall > 0.85, "{precision} {recall}");
        // All of one kind: each is real, most of the real ones are missing.
        let (precision, recall) = manifolds(&real, &rows(400, 2, 0.0, 0.1, 5));
        assert!(precision > 0.95 && recall < 0.3, "{precision} {recall}");
        let (precision, recall) = manifolds(&real, &rows(400, 2, 30.0, 1.0, 6));
        assert!(precision == 0.0 && recall == 0.0);
    }

    #[test]
    fn copies_are_told_from_what_is_merely_alike() {
        let real: Vec<f64> = (0..1000).map(|at| 1.0 + f64::from(at) / 1000.0).collect();
        let alike = copies(real.clone(), real.clone(), 0.02);
        assert!((alike.nearer - 0.01).abs() < 1e-9 && (alike.median_ratio - 1.0).abs() < 1e-9);
        let heart: Vec<f64> = real.iter().map(|distance| distance * 0.1).collect();
        assert_eq!(copies(heart, real, 0.02).nearer, 1.0);
    }

    #[test]
    fn a_thumbnail_is_of_means() {
        let picture: Vec<f32> =
            (0..2 * 64 * 64).map(|at| (at / 4096) as f32 + (at % 64 / 32) as f32).collect();
        let small = thumbnail(&picture, 2);
        assert_eq!(small.len(), 2 * 16 * 16);
        assert_eq!((small[0], small[15], small[256], small[256 + 15]), (0.0, 1.0, 1.0, 2.0));
        assert_eq!(thumbnail(&[1.0, 2.0, 3.0, 4.0], 1), [1.0, 2.0, 3.0, 4.0]);
    }
}
