//! Fitting what tells a picture unlike those a model was trained on ([`vision::likeness`]).
//!
//! Mean, principal components and the small network come from four fifths of the training pictures.
//! The limits come from pictures that those did not see, the last fifth and the validation split: as
//! low as they can be with no more than a small share of these above any of them. Nothing of the
//! classifier takes part, so a package that is trained already can be given its likeness afterwards
//! (`train likeness`), its weights as they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::alterations::{KINDS, altered};
use super::augment::{Augmentation, Planes};
use super::card;
use super::familiarity;
use super::finish::amend as rewrite;
use super::fit::{Examples, FitOptions, Session, fit as fit_network, predict};
use super::image;
use super::masks::{Example, Masks};
use super::metrics::auc;
use super::region_choice::network_of;
use super::region_limits;
use model::manifest::{Accepts, ImageInput, Input, Likeness as Described};
use model::package::{LIKENESS, serialize, sha256};
use model::{Manifest, Package};
use nn::{ImageNetwork, Params, random};
use vision::likeness::{Likeness, MEASURES, Thumbnail, Tones, Values, standardise};
use vision::{Image, Preprocessor, network};

/// Most principal components.
const COMPONENTS: usize = 32;
/// Rounds of the orthogonal iteration that finds them.
const ROUNDS: usize = 40;
/// Share of the unseen pictures that may be unlike.
const SHARE: f64 = 0.01;
/// Fewest training pictures that say what is like them.
pub const FEWEST: usize = 20;
/// Most pictures that anything is fitted on.
const MOST: usize = 8000;
/// Least distance of the limit of a measure from its median: of a measure that is the same for all.
const LEAST: [f32; MEASURES] = [1e-3, 1e-3, 1e-3, 1e-3, 0.04, 0.04, 1e-3, 1e-3];
/// Least standard deviation that a value of tone is divided by: of one that is the same for all.
const EVEN: f32 = 1e-3;
/// Added to the variances of the values of tone, which have variance 1.
const RIDGE: f64 = 1e-3;
/// Of an alteration, the area under the ROC curve below which it is taken for no alteration: a blood
/// cell that is turned is a blood cell.
const TOLD: f64 = 0.9;

/// What a picture is measured by: what the network reads as fractions, and the colour it had.
pub struct Look {
    fractions: Vec<f32>,
    colour: f32,
}

/// A fitted likeness, and how it is described.
pub struct FittedLikeness {
    /// What tells.
    pub likeness: Likeness,
    /// For the manifest.
    pub described: Described,
}

/// What the measures see of `examples`.
///
/// # Errors
/// A picture that cannot be preprocessed.
pub fn looks(input: &ImageInput, examples: &[(Image, usize)]) -> Result<Vec<Look>> {
    let mut preprocessor = Preprocessor::new(input.clone())?;
    let mut look = |image: &Image| -> Result<Look> {
        let fractions = preprocessor.fractions(image)?;
        Ok(Look { fractions, colour: preprocessor.colour() })
    };
    examples.iter().map(|(image, _)| look(image)).collect()
}

/// Values of a network by name.
type Weights = BTreeMap<String, Tensor>;

/// Pictures by split.
pub type Splits = BTreeMap<String, Vec<(Image, usize)>>;

/// Fits on the splits "train" and "val" of a data set, for networks with this input, and measures on "test",
/// or on "val" where there is no other.
///
/// # Errors
/// Pictures that cannot be preprocessed, or too few of them; a network that did not train.
pub fn fit(input: &ImageInput, splits: &Splits, seed: u64) -> Result<FittedLikeness> {
    let split = |name: &str| splits.get(name).with_context(|| format!("the data has no split \"{name}\""));
    let train = looks(input, split("train")?)?;
    let val = looks(input, split("val")?)?;
    ensure!(train.len() >= FEWEST, "{} pictures are too few to say what is like them", train.len());
    // Folders are read in an order of chance, archives in their own: any five neighbors are unrelated.
    let thumbnail = Thumbnail::new(input);
    let every = train.len().div_ceil(MOST).max(1);
    let (mut fitted, mut unseen) = (Vec::new(), val);
    for (at, look) in train.into_iter().step_by(every).enumerate() {
        if at % 5 == 4 { unseen.push(look) } else { fitted.push(look) }
    }
    let thumbnails: Vec<Vec<f32>> = fitted.iter().map(|look| thumbnail.of(&look.fractions)).collect();
    let others: Vec<Vec<f32>> = unseen.iter().map(|look| thumbnail.of(&look.fractions)).collect();

    let (mean, components, deviations) = principal_components(&thumbnails);
    let toned: Vec<Vec<f32>> = fitted.iter().map(|look| thumbnail.tones(&look.fractions)).collect();
    let tones = Some(tones(&toned));
    let (network, kinds) = discriminator(&thumbnail, &thumbnails, &others, seed)?;
    let count = deviations.len();
    let (medians, unlimited) = ([0.0; MEASURES], [1.0; MEASURES]);
    let mut values = Values { mean, components, deviations, medians, limits: unlimited, network, tones };
    let mut unlimited = Likeness::new(input, values.clone())?;
    let mut measured = |looks: &[Look]| {
        let measures = looks.iter().map(|look| unlimited.measures(&look.fractions, look.colour));
        measures.collect::<candle_core::Result<Vec<_>>>()
    };
    let (own, seen) = (measured(&unseen)?, measured(&fitted)?);
    (values.medians, values.limits) = limits(&own);
    // Of few pictures the components draw those they come from further out than others.
    let (_, wider) = limits(&seen);
    values.limits.iter_mut().zip(wider).for_each(|(limit, seen)| *limit = limit.max(seen));
    let mut likeness = Likeness::new(input, values)?;

    let (name, shown) = match splits.get("test") {
        Some(test) => ("test", looks(input, test)?),
        None => ("val", looks(input, split("val")?)?),
    };
    let described = describe(&mut likeness, &thumbnail, count, (name, &shown), &kinds, seed)?;
    Ok(FittedLikeness { likeness, described })
}

/// Gives the package the likeness of the data it was trained on, and what DICOM files it `accepts` where that is
/// given; weights and answers stay.
///
/// # Errors
/// A package or data that cannot be read or written.
pub fn amend(package: Package, data: &Path, accepts: Option<Accepts>) -> Result<Manifest> {
    let mut limits = (None, None);
    let (described, bytes) = match package.manifest.input.clone() {
        Input::Image(input) => {
            let splits = match &package.manifest.segmentation {
                Some(_) => {
                    let masks = Masks::own(&package.manifest, data)?;
                    let network = network_of(&package.manifest, package.weights.clone())?;
                    let usual = region_limits::usual(&network, &package.manifest, &masks.splits)?;
                    limits = (masks.least_share(), usual);
                    pages(masks.splits)
                }
                None => image::own_source(&package.manifest, data)?.splits,
            };
            let fitted = fit(&input, &splits, package.manifest.training.seed)?;
            (fitted.described, fitted.likeness.to_bytes()?)
        }
        _ => {
            let fitted = familiarity::of_package(&package, data)?;
            (fitted.described, serialize(&fitted.tensors)?)
        }
    };
    let Package { folder, mut manifest, card, .. } = package;
    manifest.files.insert(LIKENESS.to_string(), sha256(&bytes));
    manifest.likeness = Some(described);
    if let Some(segmentation) = &mut manifest.segmentation {
        (segmentation.least_share, segmentation.usual) = limits;
    }
    if let (Input::Image(input), Some(accepts)) = (&mut manifest.input, accepts) {
        input.accepts = Some(accepts);
    }
    let card = card::with_likeness(&card, &manifest);
    rewrite(&folder, &manifest, &card, &[(LIKENESS, bytes)])?;
    Ok(manifest)
}

/// Pictures without their masks.
pub fn pages(splits: BTreeMap<String, Vec<Example>>) -> Splits {
    let pictures = |examples: Vec<Example>| examples.into_iter().map(|example| (example.image, 0)).collect();
    splits.into_iter().map(|(name, examples)| (name, pictures(examples))).collect()
}

/// How well the measures do: on pictures of a split, by its name, and on the same pictures altered in the `kinds` of
/// ways that its own network can tell.
fn describe(
    likeness: &mut Likeness,
    thumbnail: &Thumbnail,
    components: usize,
    (name, shown): (&str, &[Look]),
    kinds: &[usize],
    seed: u64,
) -> Result<Described> {
    let (mut scores, mut own) = (Vec::new(), Vec::new());
    for look in shown {
        scores.push(f64::from(likeness.strangeness(&look.fractions, look.colour)?));
        own.push(false);
    }
    let abstained = share(&scores);
    let mut rng = random::stream(seed, "likeness: measuring");
    let ([channels, height, width], start) = (thumbnail.size(), scores.len());
    let size = Planes { channels, height, width };
    let input = thumbnail.discriminator().1;
    // Thumbnails stand for the pictures: of a thumbnail the thumbnail is the same.
    let mut small = likeness.over(&input);
    for (at, look) in shown.iter().enumerate() {
        let kind = kinds[at % kinds.len()];
        let picture = altered(&thumbnail.of(&look.fractions), size, kind, &mut rng);
        scores.push(f64::from(small.strangeness(&picture, look.colour)?));
        own.push(true);
    }
    Ok(Described::TrainingPictures {
        components,
        measured_on: name.to_string(),
        abstained,
        altered_abstained: share(&scores[start..]),
        alterations: kinds.len(),
        auroc: auc(&scores, &own).unwrap_or(0.5),
    })
}

/// The share of strangenesses above the limit.
fn share(scores: &[f64]) -> f64 {
    scores.iter().filter(|score| **score > 1.0).count() as f64 / scores.len().max(1) as f64
}

/// Medians of the measures, and limits that no more than [`SHARE`] of the pictures pass, each passed by as
/// many.
fn limits(measured: &[[f32; MEASURES]]) -> ([f32; MEASURES], [f32; MEASURES]) {
    let sorted: Vec<Vec<f32>> = (0..MEASURES)
        .map(|which| {
            let mut values: Vec<f32> = measured.iter().map(|row| row[which]).collect();
            values.sort_by(f32::total_cmp);
            values
        })
        .collect();
    let medians: [f32; MEASURES] = std::array::from_fn(|which| sorted[which][sorted[which].len() / 2]);
    let at = |above: usize| -> [f32; MEASURES] {
        std::array::from_fn(|which| {
            let values = &sorted[which];
            values[values.len() - 1 - above].max(medians[which] + LEAST[which])
        })
    };
    let most = (SHARE * measured.len() as f64) as usize;
    let mut found = at(0);
    for above in 0..=most {
        let limits = at(above);
        let passed = |row: &&[f32; MEASURES]| row.iter().zip(limits).any(|(value, limit)| *value > limit);
        if measured.iter().filter(passed).count() > most {
            break;
        }
        found = limits;
    }
    (medians, found)
}

/// Pictures of training and alterations of them, as the small network sees them.
struct Told<'a> {
    pictures: &'a [Vec<f32>],
    /// 0 for the pictures, 1 for as many alterations.
    labels: Vec<usize>,
    size: Planes,
    kinds: &'a [usize],
    seed: u64,
}

impl Told<'_> {
    fn new<'a>(pictures: &'a [Vec<f32>], size: Planes, kinds: &'a [usize], seed: u64) -> Told<'a> {
        let labels = (0..2 * pictures.len()).map(|at| usize::from(at >= pictures.len())).collect();
        Told { pictures, labels, size, kinds, seed }
    }

    fn one(&self, index: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let count = self.pictures.len();
        match index < count {
            true => self.pictures[index].clone(),
            false => {
                altered(&self.pictures[index - count], self.size, self.kinds[index % self.kinds.len()], rng)
            }
        }
    }

    fn tensor(&self, values: Vec<f32>) -> candle_core::Result<Tensor> {
        let Planes { channels, height, width } = self.size;
        let count = values.len() / (channels * height * width);
        Tensor::from_vec(values, (count, channels, height, width), &Device::Cpu)
    }
}

impl Examples for Told<'_> {
    type Batch = Tensor;

    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn batch(&self, indices: &[usize]) -> candle_core::Result<Tensor> {
        let values = indices
            .iter()
            .flat_map(|index| self.one(*index, &mut random::stream(self.seed, &format!("altered:{index}"))));
        self.tensor(values.collect())
    }

    /// Pictures a little moved and exposed, as the next one will be; alterations made anew each time.
    fn training_batch(
        &self,
        indices: &[usize],
        _: &mut [Vec<f32>],
        rng: &mut ChaCha8Rng,
    ) -> candle_core::Result<Tensor> {
        const LIGHT: Augmentation = Augmentation {
            rotation: 6.0,
            translation: 0.04,
            zoom: 0.08,
            shear: 0.03,
            flip: 0.0,
            quarter_turns: false,
            gamma: 0.2,
            contrast: 0.0,
            brightness: 0.0,
            noise: 0.01,
            sharpness: 0.3,
            cutout: 0.0,
            mixup: 0.0,
        };
        let mut values = Vec::new();
        for index in indices {
            let mut picture = self.one(*index, rng);
            if *index < self.pictures.len() {
                let low = picture.iter().copied().fold(f32::INFINITY, f32::min);
                let high = picture.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                picture.iter_mut().for_each(|value| *value = (*value - low) / (high - low).max(1e-6));
                picture = LIGHT.apply(&picture, self.size, rng);
                standardise(&mut picture);
            } else if rng.random::<f32>() < 0.5 {
                // What is done to the pictures must not be what they are told by.
                picture.iter_mut().for_each(|value| *value += 0.03 * random::normal(rng));
                standardise(&mut picture);
            }
            values.extend(picture);
        }
        self.tensor(values)
    }
}

/// Trains the network that tells altered pictures, and says which kinds of alteration those are. An alteration that
/// it cannot tell on `unseen` pictures is none, and it is trained again without.
fn discriminator(
    thumbnail: &Thumbnail,
    pictures: &[Vec<f32>],
    unseen: &[Vec<f32>],
    seed: u64,
) -> Result<(Weights, Vec<usize>)> {
    let [channels, height, width] = thumbnail.size();
    let size = Planes { channels, height, width };
    let (architecture, input) = thumbnail.discriminator();
    let mut kinds: Vec<usize> = (0..KINDS).collect();
    let steps = 2 * pictures.len().div_ceil(64);
    let options = FitOptions {
        epochs: (2400 / steps.max(1)).clamp(4, 20),
        batch_size: 64,
        learning_rate: 3e-3,
        warmup: 0.1,
        weight_decay: 0.05,
        clip: 2.0,
        label_smoothing: 0.0,
        balance: 0.0,
        average_decay: 0.99,
        patience: 0,
        keep_last: true,
        seed,
    };
    let stop = AtomicBool::new(false);
    let session =
        Session { stop: &stop, checkpoint: None, resume: false, about: BTreeMap::new(), progress: false };
    loop {
        let mut params = Params::fresh(seed);
        let network = network::build(&architecture, &input, 2, &mut params)?;
        let (train, val) = (Told::new(pictures, size, &kinds, seed), Told::new(unseen, size, &kinds, seed));
        fit_network(&network, &params, &train, &val, 2, &options, &session)?;
        let kept = kinds_told(&network, &val, options.batch_size)?;
        if kept.len() == kinds.len() || kept.is_empty() {
            return Ok((params.snapshot()?, kinds));
        }
        kinds = kept;
    }
}

/// The kinds of alteration in `shown` that a network tells from the pictures.
fn kinds_told(network: &ImageNetwork, shown: &Told, batch_size: usize) -> Result<Vec<usize>> {
    let logits = predict(network, shown, batch_size)?;
    let scores: Vec<f64> = logits.iter().map(|row| f64::from(row[1] - row[0])).collect();
    let (count, kinds) = (shown.pictures.len(), shown.kinds);
    let told = |which: usize| {
        let members: Vec<usize> =
            (0..scores.len()).filter(|at| *at < count || at % kinds.len() == which).collect();
        let scores: Vec<f64> = members.iter().map(|at| scores[*at]).collect();
        let altered: Vec<bool> = members.iter().map(|at| *at >= count).collect();
        auc(&scores, &altered).unwrap_or(1.0) >= TOLD
    };
    Ok((0..kinds.len()).filter(|which| told(*which)).map(|which| kinds[which]).collect())
}

/// Means of the rows, and what whitens them: the inverse of the Cholesky factor of their covariance, over
/// values of variance 1 to which a little is added (Golub and Van Loan 2013, section 4.2).
fn tones(rows: &[Vec<f32>]) -> Tones {
    let (count, size) = (rows.len() as f64, rows[0].len());
    let mut mean = vec![0.0f64; size];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / count));
    let mut covariance = vec![0.0f64; size * size];
    for row in rows {
        let apart: Vec<f64> = row.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean).collect();
        for (line, value) in covariance.chunks_exact_mut(size).zip(&apart) {
            line.iter_mut().zip(&apart).for_each(|(sum, other)| *sum += value * other / count);
        }
    }
    let scale: Vec<f64> =
        (0..size).map(|at| covariance[at * size + at].sqrt().max(f64::from(EVEN))).collect();
    let entry = |i: usize, j: usize| {
        covariance[i * size + j] / (scale[i] * scale[j]) + if i == j { RIDGE } else { 0.0 }
    };
    let mut lower = vec![0.0f64; size * size];
    for i in 0..size {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| lower[i * size + k] * lower[j * size + k]).sum();
            lower[i * size + j] = match i == j {
                true => (entry(i, i) - sum).max(RIDGE * RIDGE).sqrt(),
                false => (entry(i, j) - sum) / lower[j * size + j],
            };
        }
    }
    let mut whitening = vec![0.0f64; size * size];
    for column in 0..size {
        for row in column..size {
            let own = if row == column { 1.0 } else { 0.0 };
            let sum: f64 = (column..row).map(|k| lower[row * size + k] * whitening[k * size + column]).sum();
            whitening[row * size + column] = (own - sum) / lower[row * size + row];
        }
    }
    let scaled = whitening.iter().enumerate().map(|(at, value)| (value / scale[at % size]) as f32).collect();
    Tones { mean: mean.into_iter().map(|value| value as f32).collect(), whitening: scaled }
}

/// Mean, components (one row each) and standard deviations along them, by orthogonal iteration
/// (Golub and Van Loan 2013, section 8.2.4).
fn principal_components(rows: &[Vec<f32>]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (count, size) = (rows.len() as f32, rows[0].len());
    let most = COMPONENTS.min(rows.len() / 4).min(size / 4).max(1);
    let mut mean = vec![0.0f32; size];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / count));
    let centred: Vec<Vec<f32>> =
        rows.iter().map(|row| row.iter().zip(&mean).map(|(value, mean)| value - mean).collect()).collect();
    let mut covariance = vec![0.0f32; size * size];
    for row in &centred {
        for (line, value) in covariance.chunks_exact_mut(size).zip(row) {
            line.iter_mut().zip(row).for_each(|(sum, other)| *sum += value * other / count);
        }
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let mut rng = random::stream(0, "principal components");
    let mut start = || (0..size).map(|_| random::normal(&mut rng)).collect::<Vec<f32>>();
    let mut components: Vec<Vec<f32>> = (0..most).map(|_| start()).collect();
    for _ in 0..ROUNDS {
        for k in 0..most {
            let mut next: Vec<f32> =
                covariance.chunks_exact(size).map(|line| dot(line, &components[k])).collect();
            for before in &components[..k] {
                let along = dot(&next, before);
                next.iter_mut().zip(before).for_each(|(value, other)| *value -= along * other);
            }
            let norm = dot(&next, &next).sqrt().max(1e-12);
            next.iter_mut().for_each(|value| *value /= norm);
            components[k] = next;
        }
    }
    let deviation = |component: &Vec<f32>| {
        let square: f32 = centred.iter().map(|row| dot(row, component).powi(2)).sum();
        (square / count).sqrt().max(1e-6)
    };
    let deviations = components.iter().map(deviation).collect();
    (mean, components.concat(), deviations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_those_of_the_largest_variance() {
        // Two directions of variance 9 and 1, the rest without.
        let mut rng = random::stream(3, "rows");
        let rows: Vec<Vec<f32>> = (0..400)
            .map(|_| {
                let (a, b) = (3.0 * random::normal(&mut rng), random::normal(&mut rng));
                vec![1.0 + a, 2.0 + a, b, -b, 0.0, 0.0, 0.0, 0.0]
            })
            .collect();
        let (mean, components, deviations) = principal_components(&rows);
        assert!((mean[0] - 1.0).abs() < 0.5 && (mean[1] - 2.0).abs() < 0.5, "{mean:?}");
        assert_eq!(deviations.len(), 2);
        assert!((deviations[0] - 3.0 * 2f32.sqrt()).abs() < 0.4, "{deviations:?}");
        assert!((deviations[1] - 2f32.sqrt()).abs() < 0.2, "{deviations:?}");
        assert!((components[0].abs() - 0.5f32.sqrt()).abs() < 0.05, "{components:?}");
    }

    #[test]
    fn whitened_values_are_independent_and_of_variance_one() {
        let mut rng = random::stream(5, "tones");
        let rows: Vec<Vec<f32>> = (0..4000)
            .map(|_| {
                let (a, b) = (random::normal(&mut rng), random::normal(&mut rng));
                vec![1.0 + 5.0 * a, 2.0 + 5.0 * a + 0.5 * b, 0.3]
            })
            .collect();
        let Tones { mean, whitening } = tones(&rows);
        assert!((mean[0] - 1.0).abs() < 0.3 && (mean[2] - 0.3).abs() < 1e-5);
        let white = |row: &Vec<f32>| -> Vec<f32> {
            let apart: Vec<f32> = row.iter().zip(&mean).map(|(a, b)| a - b).collect();
            whitening.chunks(3).map(|line| line.iter().zip(&apart).map(|(a, b)| a * b).sum()).collect()
        };
        let rows: Vec<Vec<f32>> = rows.iter().map(white).collect();
        let product = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f32>() / 4000.0;
        assert!((product(0, 0) - 1.0).abs() < 0.01 && product(0, 1).abs() < 0.05, "{}", product(0, 1));
        assert!((0.7..1.05).contains(&product(1, 1)), "{}", product(1, 1));
        // A value that is the same for all stays near, and another is far.
        assert!(product(2, 2) < 1e-3 && white(&vec![1.0, 2.0, 0.8])[2] > 100.0);
    }

    #[test]
    fn limits_let_a_share_pass_and_no_more() {
        let mut rng = random::stream(4, "measures");
        let measured: Vec<[f32; MEASURES]> =
            (0..10_000).map(|_| std::array::from_fn(|_| random::normal(&mut rng))).collect();
        let (medians, limits) = limits(&measured);
        let above = measured.iter().filter(|row| row.iter().zip(limits).any(|(v, l)| *v > l)).count();
        let most = (SHARE * measured.len() as f64) as usize;
        assert!((most / 2..=most).contains(&above), "{above} of {most}");
        assert!(medians.iter().all(|median| median.abs() < 0.2));
    }
}
