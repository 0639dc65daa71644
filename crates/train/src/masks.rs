//! Reading pictures with masks, and the tiles that training cuts from them.
//!
//! A data set is a folder `train|val|test/images` with `masks` (a label number for each pixel, 0 background) or
//! `instances` (an object number for each pixel) beside it, files of one name belonging together. Whatever cannot be
//! trained on is said by the name of its file before training begins.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::augment::{Augmentation, Planes};
use super::examples::{SPLITS, children, file_name, format_of};
use super::mask_file::{Numbers, numbers};
use super::splits;
use model::Manifest;
use model::manifest::{Crop, ImageInput, Reading};
use model::package::sha256;
use vision::segment::tiles::mirrored;
use vision::{DecodeOptions, Image, Preprocessor, decode};

/// One picture in so many may have less to outline than is asked of a picture.
const RARE: usize = 100;

/// A picture and the number of each of its pixels: of its label, or of its object.
pub struct Example {
    /// Where its mask was read.
    pub mask_file: PathBuf,
    /// The picture.
    pub image: Image,
    /// Row after row.
    pub mask: Vec<u32>,
}

/// A data set of pictures with masks.
pub struct Masks {
    /// By split.
    pub splits: BTreeMap<String, Vec<Example>>,
    /// Whether numbers are those of objects.
    pub instances: bool,
    /// sha256 of the lines "digest  path" of all files, sorted by path, under the folder's name.
    pub sha256: BTreeMap<String, String>,
    /// What whoever trains on it should know before trusting what is measured, a sentence each.
    pub warnings: Vec<String>,
}

impl Masks {
    /// Reads a folder, in which there have to be the splits `wanted`.
    ///
    /// # Errors
    /// A split that is missing, a picture without a mask, a mask without a picture, one of another size, a file that cannot be read.
    pub fn read(path: &Path, wanted: &[&str]) -> Result<Masks> {
        let has = |kind: &str| SPLITS.iter().any(|split| path.join(split).join(kind).is_dir());
        let instances = has("instances");
        ensure!(
            instances || has("masks"),
            "{}: neither train/masks nor train/instances is here, with pictures in train/images",
            path.display()
        );
        let kind = if instances { "instances" } else { "masks" };
        let (mut found, mut lines) = (BTreeMap::new(), Vec::new());
        let mut contents: Vec<(&str, [String; 2])> = Vec::new();
        for split in SPLITS.iter().filter(|split| path.join(split).join("images").is_dir()) {
            let masks = by_name(&path.join(split).join(kind))?;
            let images = by_name(&path.join(split).join("images"))?;
            if let Some(name) = masks.keys().find(|name| !images.contains_key(*name)) {
                bail!("{}: there is no picture of this name", masks[name].display());
            }
            let mut examples = Vec::new();
            for (name, file) in images {
                let mask = masks
                    .get(&name)
                    .with_context(|| format!("{}: there is no mask of this name", file.display()))?;
                let (example, digests) = read_example(&file, mask)?;
                contents.push((*split, digests.clone()));
                for (file, digest) in [&file, mask].into_iter().zip(digests) {
                    lines.push(format!("{}\n{digest}", file.strip_prefix(path).unwrap_or(file).display()));
                }
                examples.push(example);
            }
            if !examples.is_empty() {
                found.insert(split.to_string(), examples);
            }
        }
        for split in wanted {
            ensure!(found.contains_key(*split), "{}: no pictures in {split}/images", path.display());
        }
        lines.sort();
        let line = |line: &String| line.split_once('\n').map(|(file, digest)| format!("{digest}  {file}\n"));
        let text: String = lines.iter().filter_map(line).collect();
        let sha256 = BTreeMap::from([(file_name(path), sha256(text.as_bytes()))]);
        let contents =
            contents.iter().map(|(split, [picture, mask])| (*split, picture.as_str(), mask.as_str()));
        let warnings = splits::shared(contents);
        Ok(Masks { splits: found, instances, sha256, warnings })
    }

    /// Reads the data that a package was trained on.
    ///
    /// # Errors
    /// As [`Masks::read`], or other data.
    pub fn own(manifest: &Manifest, path: &Path) -> Result<Masks> {
        let masks = Masks::read(path, &["train", "val"])?;
        ensure!(
            masks.sha256 == manifest.data.sha256,
            "{} is not the data that the model \"{}\" was trained on",
            path.display(),
            manifest.name
        );
        Ok(masks)
    }

    /// Refuses masks with a number beyond the labels.
    ///
    /// # Errors
    /// The first such mask.
    pub fn check_labels(&self, labels: usize) -> Result<()> {
        for example in self.splits.values().flatten() {
            if let Some(number) = example.mask.iter().find(|number| **number as usize >= labels) {
                let drawn = example.mask.iter().all(|number| [0, 255].contains(number));
                bail!(
                    "{}: the mask has the number {number}; labels are 0 to {}{}",
                    example.mask_file.display(),
                    labels - 1,
                    if drawn { "; where 255 stands for the label 1, write 1" } else { "" }
                );
            }
        }
        Ok(())
    }

    /// Refuses a split to train or validate on in whose pictures nothing is marked.
    ///
    /// # Errors
    /// The split.
    pub fn check_marked(&self) -> Result<()> {
        for split in ["train", "val"] {
            let marked =
                self.splits[split].iter().flat_map(|example| &example.mask).any(|number| *number > 0);
            ensure!(marked, "nothing is marked in any mask of {split}");
        }
        Ok(())
    }
}

fn by_name(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let stem = |file: &PathBuf| file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let files = children(folder)?.into_iter().filter(|file| format_of(file).is_some());
    Ok(files.filter_map(|file| Some((stem(&file)?, file))).collect())
}

impl Masks {
    /// The share of pixels that are no background which one in [`RARE`] pictures of training and validation is below; none
    /// where such a picture is all background, since then there is nothing that a picture must have.
    pub fn least_share(&self) -> Option<f64> {
        let share = |example: &Example| {
            let marked = example.mask.iter().filter(|number| **number != 0).count();
            marked as f64 / example.mask.len().max(1) as f64
        };
        let seen = ["train", "val"].into_iter().filter_map(|split| self.splits.get(split)).flatten();
        let mut shares: Vec<f64> = seen.map(share).collect();
        shares.sort_by(f64::total_cmp);
        shares.get(shares.len() / RARE).copied().filter(|share| *share > 0.0 && *share < 1.0)
    }
}

fn read_file(file: &Path) -> Result<(Image, String)> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let format = format_of(file).with_context(|| format!("{}: no image", file.display()))?;
    let image =
        decode(format, &bytes, &DecodeOptions::default()).with_context(|| file.display().to_string())?;
    Ok((image, sha256(&bytes)))
}

fn read_example(file: &Path, mask: &Path) -> Result<(Example, [String; 2])> {
    let (image, digest) = read_file(file)?;
    let bytes = fs::read(mask).with_context(|| mask.display().to_string())?;
    let Numbers { values, size: other } = numbers(&bytes).with_context(|| mask.display().to_string())?;
    let own = (image.width(), image.height());
    ensure!(
        own == other,
        "{}: a mask of {} x {} pixels for a picture of {} x {}",
        mask.display(),
        other.0,
        other.1,
        own.0,
        own.1
    );
    Ok((Example { mask_file: mask.to_path_buf(), image, mask: values }, [digest, sha256(&bytes)]))
}

/// A picture as training reads it: normalised over all of it, as the server does, and its numbers, of one size.
pub struct Page {
    planes: Vec<f32>,
    numbers: Vec<u32>,
    size: Planes,
    /// Between these lie all values but the outermost thousandths.
    range: (f32, f32),
}

/// Rotation, scale and shear of a copy, from a place in it to one in the original, both from the middle.
struct Motion([f32; 4]);

impl Page {
    /// A picture at its own size in square pixels, or resized to the network's where it is read whole.
    ///
    /// # Errors
    /// A picture that cannot be resized.
    pub fn new(example: &Example, input: &ImageInput, reading: Reading) -> Result<Page> {
        let Example { image, mask, .. } = example;
        let (width, height) = match reading {
            Reading::Whole => (input.width, input.height),
            Reading::Tiles { .. } => image.square_size(),
        };
        let own = ImageInput { width, height, crop: Crop::None, ..input.clone() };
        let planes = Preprocessor::new(own)?.run(image)?;
        let channels = input.channels as usize;
        let size = Planes { channels, height: height as usize, width: width as usize };
        let (from_width, from_height) = (image.width() as usize, image.height() as usize);
        let nearest = |at: usize, to: usize, from: usize| (2 * at + 1) * from / (2 * to);
        let number = |at: usize| {
            let (row, column) = (at / size.width, at % size.width);
            let row = nearest(row, size.height, from_height);
            mask[row * from_width + nearest(column, size.width, from_width)]
        };
        let numbers = (0..size.height * size.width).map(number).collect();
        Ok(Page { range: range(&planes), planes, numbers, size })
    }

    /// Tiles that an epoch cuts for every one of the smallest pictures: one for each two tiles' worth of pixels.
    pub fn share(&self, tile: Planes) -> usize {
        (self.size.height * self.size.width / (2 * tile.height * tile.width).max(1)).max(1)
    }

    /// A tile of `tile` (its channels those of the page), moved and altered at random by `augmentation` or, without one,
    /// from the middle: normalised values, and numbers.
    pub fn tile(
        &self,
        tile: Planes,
        augmentation: Option<&Augmentation>,
        rng: &mut ChaCha8Rng,
    ) -> (Vec<f32>, Vec<u32>) {
        let Planes { height, width, .. } = self.size;
        // The middle of the tile, where all of it lies within the page if it can.
        let mut middle = |length: usize, tile: usize| match (augmentation, length > tile) {
            (Some(_), true) => rng.random_range(0..=length - tile) as f32 + tile as f32 / 2.0,
            _ => length as f32 / 2.0,
        };
        let (mut y0, mut x0) = (middle(height, tile.height), middle(width, tile.width));
        let Some(augmentation) = augmentation else {
            return self.moved(tile, (y0, x0), &Motion([1.0, 0.0, 0.0, 1.0]));
        };
        let mut shift =
            |tile: usize| augmentation.translation * tile as f32 * (2.0 * rng.random::<f32>() - 1.0);
        (y0, x0) = (y0 + shift(tile.height), x0 + shift(tile.width));
        let motion = Motion(augmentation.motion(rng));
        let (mut values, numbers) = self.moved(tile, (y0, x0), &motion);
        self.retouch(&mut values, tile, augmentation, rng);
        (values, numbers)
    }

    /// Alters a tile's exposure, focus and noise within the picture's own range: a fluorescent picture may use a tenth of
    /// full scale, which the noise of a whole scale would drown. Mean and deviation stay, since the normalisation of the
    /// altered picture would have taken their change away.
    fn retouch(&self, values: &mut [f32], tile: Planes, augmentation: &Augmentation, rng: &mut ChaCha8Rng) {
        let (low, high) = self.range;
        let scale = (1.0 - 2.0 * MARGIN) / (high - low);
        let before = moments(values);
        values.iter_mut().for_each(|value| *value = (*value - low) * scale + MARGIN);
        augmentation.retouch(values, tile, rng);
        let after = moments(values);
        // A tile without any contrast has none to be restored.
        let factor = if after.1 * 1e3 > scale * before.1 { before.1 / after.1 } else { 1.0 / scale };
        values.iter_mut().for_each(|value| *value = (*value - after.0) * factor + before.0);
    }

    fn moved(&self, tile: Planes, (y0, x0): (f32, f32), motion: &Motion) -> (Vec<f32>, Vec<u32>) {
        let Planes { height, width, .. } = self.size;
        let (area, own) = (height * width, tile.height * tile.width);
        let Motion([a, b, c, d]) = motion;
        let mut values = vec![0.0; tile.channels * own];
        let mut numbers = Vec::with_capacity(own);
        let place = |at: isize, length: usize| mirrored(at.unsigned_abs(), length);
        for row in 0..tile.height {
            for column in 0..tile.width {
                let (x, y) = (
                    column as f32 + 0.5 - tile.width as f32 / 2.0,
                    row as f32 + 0.5 - tile.height as f32 / 2.0,
                );
                let (x, y) = (x0 + a * x + b * y - 0.5, y0 + c * x + d * y - 0.5);
                let (left, top) = (x.floor(), y.floor());
                let (fx, fy) = (x - left, y - top);
                let (left, top) = (left as isize, top as isize);
                let columns = [place(left, width), place(left + 1, width)];
                let rows = [place(top, height) * width, place(top + 1, height) * width];
                let at = row * tile.width + column;
                for (values, plane) in values.chunks_exact_mut(own).zip(self.planes.chunks_exact(area)) {
                    let line =
                        |row: usize| plane[row + columns[0]] * (1.0 - fx) + plane[row + columns[1]] * fx;
                    values[at] = line(rows[0]) * (1.0 - fy) + line(rows[1]) * fy;
                }
                let near = rows[usize::from(fy >= 0.5)] + columns[usize::from(fx >= 0.5)];
                numbers.push(self.numbers[near]);
            }
        }
        (values, numbers)
    }
}

/// Of full scale, what is left on either side of a picture's range, so that a brighter copy is not cut off.
const MARGIN: f32 = 0.15;

/// The values of the thousandth from either end, not equal.
fn range(values: &[f32]) -> (f32, f32) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
    let (low, high) = (at(sorted.len() / 1000), at(sorted.len() - 1 - sorted.len() / 1000));
    (low, high.max(low + 1e-3))
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> (f32, f32) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    (mean as f32, variance.sqrt() as f32)
}

/// How much each pixel counts: [`TOUCHING`] where two objects meet, by whose parting objects are told apart; else 1.
pub fn weights(numbers: &[u32], width: usize, instances: bool) -> Vec<f32> {
    if !instances {
        return vec![1.0; numbers.len()];
    }
    let height = numbers.len() / width.max(1);
    let weight = |at: usize| {
        let (row, column) = (at / width, at % width);
        let near = |length: usize, at: usize| at.saturating_sub(EDGE)..=(at + EDGE).min(length - 1);
        let mut objects = near(height, row)
            .flat_map(|row| numbers[row * width..][near(width, column)].iter())
            .filter(|number| **number > 0);
        let first = objects.next();
        if objects.any(|other| Some(other) != first) { TOUCHING } else { 1.0 }
    };
    (0..numbers.len()).map(weight).collect()
}

/// Weight of a pixel where two objects meet, of which there are few.
const TOUCHING: f32 = 5.0;

/// What the network is to say of each pixel of a map `width` wide: the label's number; or, of objects, 0 background, 1
/// inside, 2 the edge, which is two pixels wide on the object's side.
pub fn targets(numbers: &[u32], width: usize, instances: bool) -> Vec<u8> {
    if !instances {
        return numbers.iter().map(|number| *number as u8).collect();
    }
    let height = numbers.len() / width.max(1);
    let target = |at: usize| {
        let (row, column, own) = (at / width, at % width, numbers[at]);
        if own == 0 {
            return 0;
        }
        let near = |length: usize, at: usize| at.saturating_sub(EDGE)..=(at + EDGE).min(length - 1);
        let alone = near(height, row).all(|other| {
            near(width, column).all(|beside| {
                let far = other.abs_diff(row).pow(2) + beside.abs_diff(column).pow(2) > EDGE * EDGE;
                far || numbers[other * width + beside] == own
            })
        });
        if alone { 1 } else { 2 }
    };
    (0..numbers.len()).map(target).collect()
}

/// Pixels of an edge.
const EDGE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use nn::random;

    #[test]
    fn an_edge_lies_on_the_object_s_side_and_between_objects() {
        let row: Vec<u32> = [0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2].to_vec();
        let numbers: Vec<u32> = (0..9).flat_map(|_| row.clone()).collect();
        let middle = &targets(&numbers, 12, true)[4 * 12..5 * 12];
        assert_eq!(middle, [0, 0, 2, 2, 1, 1, 2, 2, 2, 2, 1, 1]);
        assert_eq!(targets(&[0, 3], 2, false), [0, 3]);
    }

    #[test]
    fn pixels_between_objects_count_more() {
        let row: Vec<u32> = [0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2].to_vec();
        let numbers: Vec<u32> = (0..9).flat_map(|_| row.clone()).collect();
        let (one, more) = (1.0, TOUCHING);
        let middle = &weights(&numbers, 12, true)[4 * 12..5 * 12];
        assert_eq!(middle, [one, one, one, one, one, one, more, more, more, more, one, one]);
        assert!(weights(&numbers, 12, false).iter().all(|weight| *weight == one));
    }

    #[test]
    fn a_dark_picture_is_altered_as_a_bright_one() {
        let size = Planes { channels: 1, height: 64, width: 64 };
        let numbers = vec![0; 64 * 64];
        // A disc of one normalised contrast: what full scale was no longer shows.
        let planes: Vec<f32> =
            (0..64 * 64)
                .map(|at: usize| {
                    if (at / 64).abs_diff(32).pow(2) + (at % 64).abs_diff(32).pow(2) < 300 {
                        1.7
                    } else {
                        -0.6
                    }
                })
                .collect();
        let page = Page { range: range(&planes), planes: planes.clone(), numbers, size };
        let retouched =
            Augmentation { gamma: 0.2, contrast: 0.2, brightness: 0.05, noise: 0.02, ..Augmentation::none() };
        let mut rng = random::stream(0, "tile");
        let (mean, deviation) = moments(&planes);
        for _ in 0..50 {
            let mut values = planes.clone();
            page.retouch(&mut values, size, &retouched, &mut rng);
            let (own_mean, own_deviation) = moments(&values);
            assert!((own_mean - mean).abs() < 1e-3 && (own_deviation - deviation).abs() < 1e-3);
            // Disc and ground stay as far apart as they were, but for the noise.
            assert!(values.iter().zip(&planes).all(|(value, plane)| (value - plane).abs() < 0.5));
        }
        let flat = Page { range: range(&[0.0; 64]), planes: vec![0.0; 64], numbers: vec![0; 64], size };
        let mut values = vec![0.0; 64 * 64];
        flat.retouch(&mut values, size, &retouched, &mut rng);
        assert!(values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_large_picture_is_cut_more_often() {
        let tile = Planes { channels: 1, height: 16, width: 16 };
        let page = |side: usize| {
            let size = Planes { channels: 1, height: side, width: side };
            Page { range: (0.0, 1.0), planes: vec![0.0; side * side], numbers: vec![0; side * side], size }
        };
        assert_eq!([8, 16, 24, 32, 64].map(|side| page(side).share(tile)), [1, 1, 1, 2, 8]);
    }

    #[test]
    fn a_tile_keeps_pixels_and_numbers_together() {
        let size = Planes { channels: 1, height: 20, width: 24 };
        let numbers: Vec<u32> = (0..480).map(|at| u32::from(at % 24 > 11)).collect();
        let planes: Vec<f32> = numbers.iter().map(|n| *n as f32).collect();
        let page = Page { range: range(&planes), planes, numbers, size };
        let tile = Planes { channels: 1, height: 16, width: 16 };
        let turned = Augmentation { flip: 0.5, quarter_turns: true, zoom: 0.2, ..Augmentation::none() };
        let mut rng = random::stream(0, "tile");
        for _ in 0..50 {
            let (values, numbers) = page.tile(tile, Some(&turned), &mut rng);
            assert!(
                values.iter().zip(&numbers).all(|(value, number)| (value - *number as f32).abs() <= 0.51)
            );
        }
        let (values, numbers) = page.tile(tile, None, &mut rng);
        assert_eq!(values[..16], [vec![0.0; 8], vec![1.0; 8]].concat());
        assert_eq!(numbers[..16], [vec![0; 8], vec![1; 8]].concat());
    }
}
