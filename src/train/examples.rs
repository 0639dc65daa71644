//! Reading image data sets: MedMNIST archives and folders.
//!
//! Whatever the source, an image goes through the same crop and resize as in the server, once,
//! and is kept at the network's size in its own samples; channels and normalisation follow when
//! a batch is made, again by the server's code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::npy::NpzTensors;
use candle_core::{Device, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::augment::{Augmentation, Planes};
use super::fit::Examples;
use crate::model::manifest::ImageInput;
use crate::model::package::sha256;
use crate::nn::random;
use crate::vision::{DecodeOptions, Format, Image, Preprocessor, decode};

/// The splits a data set may have, in the order they are reported.
pub const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Share of the examples that `val` and `test` get where a folder is split here.
const HELD_OUT: f64 = 0.1;

/// Most labels of a data set.
const MAX_LABELS: usize = 1 << 16;

/// What a byte of a deflated archive can become at most.
const DEFLATE: u64 = 1032;

/// An image data set as found, before the network's size is known.
pub struct Source {
    /// Label names in order.
    pub labels: Vec<String>,
    /// Images and label indices by split.
    pub splits: BTreeMap<String, Vec<(Image, usize)>>,
    /// sha256 by file, or one digest over all files of a folder.
    pub sha256: BTreeMap<String, String>,
}

impl Source {
    /// Reads `path`: an `.npz` in the MedMNIST form, or a folder `train|val|test/<label>/*` or
    /// `<label>/*`; the latter is split here, by `seed`, files of the same content together.
    /// `labels` names the labels of an archive, which has numbers only.
    ///
    /// # Errors
    /// What is missing or cannot be read, with its file.
    pub fn read(path: &Path, labels: &[String], seed: u64) -> Result<Source> {
        let source = match path.is_dir() {
            true => read_folder(path, seed),
            false => read_npz(path, labels),
        };
        let source = source.with_context(|| format!("reading {}", path.display()))?;
        ensure!(source.labels.len() >= 2, "{}: fewer than two labels", path.display());
        for split in ["train", "val"] {
            ensure!(
                source.splits.get(split).is_some_and(|examples| !examples.is_empty()),
                "{}: no examples in the split \"{split}\"",
                path.display()
            );
        }
        Ok(source)
    }

    /// The first training image, whose size and channels are the defaults of the network's.
    pub fn first(&self) -> Option<&Image> {
        self.splits.get("train").and_then(|examples| examples.first()).map(|(image, _)| image)
    }
}

/// One split, every image at the network's size.
pub struct ImageSet {
    input: ImageInput,
    images: Vec<Image>,
    labels: Vec<usize>,
    augmentation: Option<Augmentation>,
}

impl ImageSet {
    /// Crops and resizes `examples` as the server would; `augmentation` alters training batches.
    ///
    /// # Errors
    /// An image that cannot be resized.
    pub fn new(
        examples: &[(Image, usize)],
        input: &ImageInput,
        augmentation: Option<Augmentation>,
    ) -> Result<ImageSet> {
        let mut preprocessor = Preprocessor::new(input.clone())?;
        let images =
            examples.iter().map(|(image, _)| preprocessor.resized(image)).collect::<Result<_, _>>()?;
        let labels = examples.iter().map(|(_, label)| *label).collect();
        Ok(ImageSet { input: input.clone(), images, labels, augmentation })
    }

    fn tensor(&self, values: Vec<f32>, count: usize) -> candle_core::Result<Tensor> {
        let ImageInput { channels, height, width, .. } = self.input;
        Tensor::from_vec(values, (count, channels as usize, height as usize, width as usize), &Device::Cpu)
    }
}

impl Examples for ImageSet {
    type Batch = Tensor;

    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn batch(&self, indices: &[usize]) -> candle_core::Result<Tensor> {
        let mut preprocessor = Preprocessor::new(self.input.clone()).map_err(candle_core::Error::wrap)?;
        let mut values = Vec::with_capacity(indices.len() * preprocessor.output_len());
        for &index in indices {
            preprocessor.append(&self.images[index], &mut values).map_err(candle_core::Error::wrap)?;
        }
        self.tensor(values, indices.len())
    }

    fn training_batch(
        &self,
        indices: &[usize],
        targets: &mut [Vec<f32>],
        rng: &mut ChaCha8Rng,
    ) -> candle_core::Result<Tensor> {
        let Some(augmentation) = &self.augmentation else {
            return self.batch(indices);
        };
        let mut preprocessor = Preprocessor::new(self.input.clone()).map_err(candle_core::Error::wrap)?;
        let size = Planes {
            channels: self.input.channels as usize,
            height: self.input.height as usize,
            width: self.input.width as usize,
        };
        let each = preprocessor.output_len();
        let mut values = Vec::with_capacity(indices.len() * each);
        for &index in indices {
            let fractions = preprocessor.fractions(&self.images[index]).map_err(candle_core::Error::wrap)?;
            let mut copy = augmentation.apply(&fractions, size, rng);
            preprocessor.normalise(&mut copy);
            values.extend(copy);
        }
        if let Some(share) = augmentation.mixture(rng) {
            // Each image is mixed with its neighbor in the batch, whose order is random.
            let (shifted_values, shifted_targets) = (rotated(&values, each), rotated(targets, 1));
            mix(&mut values, &shifted_values, share);
            for (target, other) in targets.iter_mut().zip(&shifted_targets) {
                mix(target, other, share);
            }
        }
        self.tensor(values, indices.len())
    }
}

fn rotated<T: Clone>(values: &[T], by: usize) -> Vec<T> {
    let mut turned = values.to_vec();
    turned.rotate_left(by);
    turned
}

fn mix(values: &mut [f32], others: &[f32], share: f32) {
    for (value, other) in values.iter_mut().zip(others) {
        *value = share * *value + (1.0 - share) * other;
    }
}

fn read_npz(path: &Path, names: &[String]) -> Result<Source> {
    let digest = sha256(&fs::read(path)?);
    let archive = NpzTensors::new(path)?;
    let most = fs::metadata(path)?.len().saturating_mul(DEFLATE);
    let mut splits = BTreeMap::new();
    let mut highest = 0;
    for split in SPLITS {
        let array = |kind: &str| -> Result<Option<Tensor>> {
            let name = format!("{split}_{kind}");
            if !archive.names().contains(&&name) {
                return Ok(None);
            }
            // The reader allocates what the header claims, so the claim is held against the file.
            let (shape, _) = archive.get_shape_and_dtype(&name)?;
            let claimed = shape.dims().iter().try_fold(1u64, |all, side| all.checked_mul(*side as u64));
            let fits = claimed.is_some_and(|claimed| claimed <= most);
            ensure!(fits, "{name} claims a shape of {shape:?}, which the file cannot hold");
            Ok(archive.get(&name)?)
        };
        let (Some(images), Some(labels)) = (array("images")?, array("labels")?) else {
            continue;
        };
        let labels: Vec<i64> = labels.flatten_all()?.to_dtype(candle_core::DType::I64)?.to_vec1()?;
        let images = images_of(&images).with_context(|| format!("{split}_images"))?;
        ensure!(
            images.len() == labels.len(),
            "{split} has {} images and {} labels",
            images.len(),
            labels.len()
        );
        let mut examples = Vec::with_capacity(images.len());
        for (image, label) in images.into_iter().zip(labels) {
            let label = usize::try_from(label).context("a label below 0")?;
            ensure!(label < MAX_LABELS, "label {label} is not below {MAX_LABELS}");
            highest = highest.max(label);
            examples.push((image, label));
        }
        splits.insert(split.to_string(), examples);
    }
    let labels: Vec<String> = match names.is_empty() {
        true => (0..=highest).map(|label| label.to_string()).collect(),
        false => names.to_vec(),
    };
    ensure!(highest < labels.len(), "label {highest} has no name among the {} given", labels.len());
    Ok(Source { labels, splits, sha256: BTreeMap::from([(file_name(path), digest)]) })
}

/// The images of an array of N x H x W or N x H x W x 3 bytes.
fn images_of(array: &Tensor) -> Result<Vec<Image>> {
    let (count, height, width, channels) = match *array.dims() {
        [n, h, w] | [n, h, w, 1] => (n, h, w, 1),
        [n, h, w, 3] => (n, h, w, 3),
        ref other => bail!("an array of shape {other:?} is not N x H x W or N x H x W x 3"),
    };
    ensure!(array.dtype() == candle_core::DType::U8, "values of type {:?} are not uint8", array.dtype());
    let (width, height, each) = (u32::try_from(width)?, u32::try_from(height)?, height * width * channels);
    let values: Vec<u8> = array.flatten_all()?.to_vec1()?;
    let image = |i: usize| {
        let part = values[i * each..(i + 1) * each].to_vec();
        match channels {
            1 => Image::from_gray8(width, height, part),
            _ => Image::from_rgb8(width, height, part),
        }
    };
    Ok((0..count).map(image).collect::<Result<_, _>>()?)
}

fn read_folder(path: &Path, seed: u64) -> Result<Source> {
    let split_already = path.join("train").is_dir();
    let roots: Vec<(&str, PathBuf)> = match split_already {
        true => SPLITS.iter().map(|s| (*s, path.join(s))).filter(|(_, p)| p.is_dir()).collect(),
        false => vec![("all", path.to_path_buf())],
    };
    let mut labels = BTreeSet::new();
    let mut files = Vec::new();
    for (split, root) in &roots {
        for folder in children(root)?.into_iter().filter(|p| p.is_dir()) {
            let label = file_name(&folder);
            files.extend(
                children(&folder)?
                    .into_iter()
                    .filter_map(|f| Some((*split, label.clone(), format_of(&f)?, f))),
            );
            labels.insert(label);
        }
    }
    let labels: Vec<String> = labels.into_iter().collect();
    let mut digests = String::new();
    let mut splits: BTreeMap<String, Vec<(Image, usize)>> = BTreeMap::new();
    let mut contents: BTreeMap<String, String> = BTreeMap::new();
    let mut rng = random::stream(seed, "split");
    files.shuffle(&mut rng);
    for (split, label, format, file) in &files {
        let bytes = fs::read(file)?;
        let digest = sha256(&bytes);
        let image =
            decode(*format, &bytes, &DecodeOptions::default()).with_context(|| file.display().to_string())?;
        let index = labels.binary_search(label).unwrap_or_default();
        let split = match split_already {
            true => split.to_string(),
            // The same content always falls to the same split.
            false => contents.entry(digest.clone()).or_insert_with(|| draw_split(&mut rng)).clone(),
        };
        digests.push_str(&digest);
        splits.entry(split).or_default().push((image, index));
    }
    let digest = sha256(digests.as_bytes());
    Ok(Source { labels, splits, sha256: BTreeMap::from([(file_name(path), digest)]) })
}

fn draw_split(rng: &mut ChaCha8Rng) -> String {
    let place = rng.random::<f64>();
    let split = match () {
        () if place < HELD_OUT => "test",
        () if place < 2.0 * HELD_OUT => "val",
        () => "train",
    };
    split.to_string()
}

/// Sorted, so that the order does not depend on the file system.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .with_context(|| folder.display().to_string())?;
    found.sort();
    Ok(found)
}

fn format_of(file: &Path) -> Option<Format> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => Some(Format::Png),
        "jpg" | "jpeg" => Some(Format::Jpeg),
        "dcm" => Some(Format::Dicom),
        _ => None,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
