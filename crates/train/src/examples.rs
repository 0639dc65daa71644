//! Reading image data sets: MedMNIST archives and folders.
//!
//! What is read is what was found: neither a network's size nor its channels are known here (see [`super::image_set`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rand::seq::SliceRandom;

use super::splits::{self, Grouping};
use super::{label_names, picture_archive};
use model::package::sha256;
use nn::random;
use vision::{DecodeOptions, Format, Image, decode};

/// The splits a data set may have, in the order they are reported.
pub const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Most pictures that one refusal names.
const NAMED: usize = 10;

/// An image data set as found, before the network's size is known.
pub struct Source {
    /// Label names in order.
    pub labels: Vec<String>,
    /// Images and label indices by split.
    pub splits: BTreeMap<String, Vec<(Image, usize)>>,
    /// sha256 by file, or one over a folder: that of the lines "digest  path" of its images, sorted
    /// by path.
    pub sha256: BTreeMap<String, String>,
    /// What whoever trains on it should know before trusting what is measured, a sentence each.
    pub warnings: Vec<String>,
}

impl Source {
    /// Reads `path`: an `.npz` in the MedMNIST form, or a folder `train|val|test/<label>/*` or
    /// `<label>/*`; the latter is split here, by `seed`, files of the same content and of one group together, with a
    /// share of every label in each split.
    /// `labels` are the labels' names in order; without any, an archive's are its numbers and a
    /// folder's those of its folders. A split without examples is none.
    ///
    /// # Errors
    /// What is missing or cannot be read, with its file.
    pub fn read(path: &Path, labels: &[String], seed: u64, groups: Option<&Grouping>) -> Result<Source> {
        let source = match path.is_dir() {
            true => read_folder(path, labels, seed, groups),
            false if groups.is_some() => bail!("--group-by: an archive has no file names"),
            false => picture_archive::read(path, labels),
        };
        let mut source = source.with_context(|| format!("reading {}", path.display()))?;
        ensure!(source.labels.len() >= 2, "{}: fewer than two labels", path.display());
        source.splits.retain(|_, examples| !examples.is_empty());
        ensure!(!source.splits.is_empty(), "{}: no images", path.display());
        label_names::check_distinct(&source.labels).with_context(|| path.display().to_string())?;
        Ok(source)
    }

    /// Refuses a data set that cannot be trained on.
    ///
    /// # Errors
    /// The split that is missing; a label with too few pictures.
    pub fn check_trainable(&self) -> Result<()> {
        for split in ["train", "val"] {
            ensure!(self.splits.contains_key(split), "the data has no examples in the split \"{split}\"");
        }
        let count = |label: usize| self.splits["train"].iter().filter(|(_, own)| *own == label).count();
        for (label, name) in self.labels.iter().enumerate() {
            let found = count(label);
            ensure!(found >= 2, "the label \"{name}\" has {found} pictures to train on; two are the least");
        }
        Ok(())
    }

    /// Notes of which labels a split that is measured on has no picture.
    ///
    /// # Errors
    /// Validation pictures of one label, by which no probability can be calibrated.
    pub fn check_measurable(&mut self) -> Result<()> {
        let mut lacking = Vec::new();
        for split in ["val", "test"] {
            let Some(examples) = self.splits.get(split) else { continue };
            let there: BTreeSet<usize> = examples.iter().map(|(_, label)| *label).collect();
            ensure!(
                split == "test" || there.len() >= 2,
                "all pictures of val have one label; no probability can be calibrated by them"
            );
            let absent = self.labels.iter().enumerate().filter(|(label, _)| !there.contains(label));
            lacking.extend(absent.map(|(_, name)| format!("{split} has no picture of the label \"{name}\"")));
        }
        self.warnings.extend(lacking);
        Ok(())
    }

    /// Tells how many pictures of each label there are, and what is to be known of them.
    pub fn say(&self) {
        for (split, examples) in &self.splits {
            let count = |label: usize| examples.iter().filter(|(_, own)| *own == label).count();
            let counts: Vec<String> = self
                .labels
                .iter()
                .enumerate()
                .map(|(label, name)| format!("{name} {}", count(label)))
                .collect();
            eprintln!("{split}: {}", counts.join(", "));
        }
        self.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }

    /// The side of all pictures, if they are squares of one size: what shape they had before is not to be seen in them.
    pub fn one_square(&self) -> Option<u32> {
        let mut images = self.splits.values().flatten().map(|(image, _)| (image.width(), image.height()));
        let (width, height) = images.next()?;
        (width == height && images.all(|size| size == (width, height))).then_some(width)
    }

    /// The side and channels that a network has unless told otherwise: the median of the images'
    /// shorter sides, 224 at most, and three channels as soon as one image has them. Neither
    /// depends on the order of the images or on how they are split.
    pub fn shape(&self) -> (u32, u32) {
        let images = || self.splits.values().flatten().map(|(image, _)| image);
        let mut sides: Vec<u32> = images().map(|image| image.width().min(image.height())).collect();
        sides.sort_unstable();
        let side = sides.get(sides.len() / 2).copied().unwrap_or(224).min(224);
        (side, images().map(Image::channels).max().unwrap_or(1))
    }
}

/// As [`splits::shared`], of contents that are kept somewhere.
pub(super) fn shared(contents: &[(&str, String, String)]) -> Vec<String> {
    splits::shared(contents.iter().map(|(split, digest, label)| (*split, digest.as_str(), label.as_str())))
}

fn read_folder(path: &Path, names: &[String], seed: u64, groups: Option<&Grouping>) -> Result<Source> {
    let mut roots: Vec<(&str, PathBuf)> =
        SPLITS.iter().map(|s| (*s, path.join(s))).filter(|(_, p)| p.is_dir()).collect();
    let split_already = !roots.is_empty();
    if !split_already {
        roots.push(("all", path.to_path_buf()));
    }
    let mut found = BTreeSet::new();
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    for (split, root) in &roots {
        for folder in children(root)?.into_iter().filter(|p| p.is_dir()) {
            let label = file_name(&folder);
            let before = files.len();
            let mut skipped = Vec::new();
            for file in children(&folder)? {
                match format_of(&file).filter(|_| file.is_file()) {
                    Some(format) => files.push((*split, label.clone(), format, file)),
                    None => skipped.push(file),
                }
            }
            ensure!(
                files.len() > before,
                "the folder {} holds no pictures{}",
                folder.display(),
                if split_already { "" } else { "; if it is a split, its name is train, val or test" }
            );
            warnings.extend(not_read(&folder, &skipped));
            ensure!(
                names.is_empty() || names.contains(&label),
                "the folder {} is none of the labels {}",
                folder.display(),
                names.join(", ")
            );
            found.insert(label);
        }
    }
    let labels: Vec<String> = if names.is_empty() { found.into_iter().collect() } else { names.to_vec() };
    // By path, so that the digest does not depend on the seed.
    let mut digests: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut splits: BTreeMap<String, Vec<(Image, usize)>> = BTreeMap::new();
    let mut examples = Vec::new();
    let mut rng = random::stream(seed, "split");
    files.shuffle(&mut rng);
    let (mut contents, mut broken) = (Vec::new(), Vec::new());
    for (split, label, format, file) in &files {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let digest = sha256(&bytes);
        let image = match decode(*format, &bytes, &DecodeOptions::default()) {
            Ok(image) => image,
            Err(error) => {
                broken.push(format!("{}: {error}", file.display()));
                continue;
            }
        };
        contents.push((*split, digest.clone(), label.clone()));
        let index = labels.iter().position(|name| name == label).context("a label without a name")?;
        // The same content always falls to the same split.
        let group = groups.map_or_else(|| Ok(digest.clone()), |groups| groups.of(&file_name(file)))?;
        digests.insert(file.strip_prefix(path).unwrap_or(file).to_path_buf(), digest);
        examples.push((*split, group, image, index));
    }
    if !broken.is_empty() {
        broken.sort();
        let (count, more) = (broken.len(), broken.len().saturating_sub(NAMED));
        broken.truncate(NAMED);
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        bail!("{count} pictures cannot be read:\n{}{more}", broken.join("\n"))
    }
    warnings.extend(shared(&contents));
    let mut grouped: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (_, group, _, label) in &examples {
        grouped.entry(group.clone()).or_default().push(*label);
    }
    let assigned = match split_already {
        true => BTreeMap::new(),
        false => splits::assign(&grouped, &mut rng),
    };
    if split_already && groups.is_some() {
        splits::check_apart(examples.iter().map(|(split, group, ..)| (*split, group.clone())))?;
    }
    for (split, group, image, label) in examples {
        let split = assigned.get(&group).copied().unwrap_or(split);
        splits.entry(split.to_string()).or_default().push((image, label));
    }
    let lines: String =
        digests.iter().map(|(file, digest)| format!("{digest}  {}\n", file.display())).collect();
    let sha256 = BTreeMap::from([(file_name(path), sha256(lines.as_bytes()))]);
    Ok(Source { labels, splits, sha256, warnings })
}

/// What lies in a folder of pictures and is not read, by kind, as a sentence.
fn not_read(folder: &Path, skipped: &[PathBuf]) -> Option<String> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for file in skipped {
        let kind = match file.extension() {
            _ if file.is_dir() => "folders within it".to_string(),
            Some(ending) => format!("files ending in .{}", ending.to_string_lossy()),
            None => "files without an ending".to_string(),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    (!kinds.is_empty()).then(|| format!("not read in {}: {}", folder.display(), kinds.join(", ")))
}

/// Folders that other programs keep beside somebody's files.
const OTHERS: [&str; 2] = ["__MACOSX", "@eaDir"];

/// Sorted, so that the order does not depend on the file system, and without what is hidden or another program's.
pub(crate) fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .with_context(|| folder.display().to_string())?;
    found.retain(|path| {
        let name = file_name(path);
        !name.starts_with('.') && !OTHERS.contains(&name.as_str())
    });
    found.sort();
    Ok(found)
}

/// The format that a file's name says.
pub(crate) fn format_of(file: &Path) -> Option<Format> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => Some(Format::Png),
        "jpg" | "jpeg" => Some(Format::Jpeg),
        "dcm" => Some(Format::Dicom),
        _ => None,
    }
}

/// The last part of a path.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    type Arrays = Vec<(&'static str, Tensor)>;

    fn bytes(shape: &[usize]) -> Tensor {
        let values: Vec<u8> = (0..shape.iter().product::<usize>()).map(|at| at as u8).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn labels(labels: &[u8]) -> Tensor {
        Tensor::from_vec(labels.to_vec(), (labels.len(), 1), &Device::Cpu).unwrap()
    }

    fn archive(arrays: Arrays, names: &[&str]) -> Result<Source> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("set.npz");
        Tensor::write_npz(&arrays, &file).unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        Source::read(&file, &names, 0, None)
    }

    fn set(images: Tensor, truth: &[u8]) -> Arrays {
        vec![
            ("train_images", images.clone()),
            ("train_labels", labels(truth)),
            ("val_images", images),
            ("val_labels", labels(truth)),
        ]
    }

    #[test]
    fn an_archive_in_colour_is_read_and_decides_the_network_s_shape() {
        let source = archive(set(bytes(&[4, 6, 5, 3]), &[0, 1, 1, 0]), &[]).unwrap();
        assert!(source.check_trainable().is_ok());
        assert_eq!((source.labels.clone(), source.shape()), (vec!["0".to_string(), "1".to_string()], (5, 3)));
        assert_eq!(source.splits["train"].iter().map(|(_, label)| *label).collect::<Vec<_>>(), [0, 1, 1, 0]);
        assert_eq!(source.one_square(), None);
        assert_eq!(archive(set(bytes(&[2, 4, 4]), &[0, 1]), &[]).unwrap().one_square(), Some(4));
    }

    #[test]
    fn an_archive_that_is_no_data_set_is_refused_with_what_is_wrong() {
        let floats = bytes(&[2, 4, 4]).to_dtype(candle_core::DType::F32).unwrap();
        let missing = vec![("train_images", bytes(&[2, 4, 4]))];
        let empty: Arrays = set(bytes(&[2, 4, 4]), &[0, 1])
            .into_iter()
            .map(|(name, array)| if name == "val_images" { (name, bytes(&[0, 4, 4])) } else { (name, array) })
            .map(|(name, array)| if name == "val_labels" { (name, labels(&[])) } else { (name, array) })
            .collect();
        let cases: [(Arrays, &[&str], &str); 6] = [
            (set(bytes(&[2, 4, 4, 2]), &[0, 1]), &[], "[2, 4, 4, 2] is not N x H x W or N x H x W x 3"),
            (set(floats, &[0, 1]), &[], "are not uint8"),
            (set(bytes(&[2, 4, 4]), &[0, 1, 1]), &[], "train has 2 images and 3 labels"),
            (set(bytes(&[2, 4, 4]), &[0, 2]), &["a", "b"], "label 2 has no name among the 2 given"),
            (missing, &["a", "b"], "no images"),
            (empty, &[], "no examples in the split \"val\""),
        ];
        for (arrays, names, want) in cases {
            let read = archive(arrays, names).and_then(|source| source.check_trainable());
            let error = format!("{:#}", read.unwrap_err());
            assert!(error.contains(want), "{error}");
        }
    }

    /// `<label>/*` with 60 images of two labels, PNG and JPEG.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..60usize {
            let place = folder.path().join(["left", "right"][number % 2]);
            fs::create_dir_all(&place).unwrap();
            let side = if number == 7 { 9u16 } else { 12 };
            let pixels: Vec<u8> = (0..usize::from(side) * usize::from(side))
                .map(|at| (at * (number + 3) % 251) as u8)
                .collect();
            match number % 3 {
                0 => {
                    let mut file = Vec::new();
                    let encoder = jpeg_encoder::Encoder::new(&mut file, 90);
                    encoder.encode(&pixels, side, side, jpeg_encoder::ColorType::Luma).unwrap();
                    fs::write(place.join(format!("{number}.jpg")), file).unwrap();
                }
                _ => {
                    let file = fs::File::create(place.join(format!("{number}.png"))).unwrap();
                    let mut encoder = png::Encoder::new(file, u32::from(side), u32::from(side));
                    encoder.set_color(png::ColorType::Grayscale);
                    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
                }
            }
        }
        folder
    }

    #[test]
    fn a_folder_is_split_by_the_seed_and_its_digest_and_shape_are_not() {
        let folder = folder();
        let read = |seed| Source::read(folder.path(), &[], seed, None).unwrap();
        let sizes = |source: &Source| -> Vec<usize> {
            SPLITS.iter().map(|split| source.splits.get(*split).map_or(0, Vec::len)).collect()
        };
        let first = read(0);
        assert_eq!(sizes(&first).iter().sum::<usize>(), 60);
        assert_eq!(sizes(&first), [48, 6, 6]);
        assert!(read(0).splits["val"] == first.splits["val"] && read(1).splits["val"] != first.splits["val"]);
        for split in first.splits.values() {
            assert_eq!(split.iter().filter(|(_, label)| *label == 0).count() * 2, split.len());
        }
        for seed in 1..4 {
            assert_eq!((read(seed).sha256, read(seed).shape()), (first.sha256.clone(), (12, 1)));
        }
        // A new name is other data, even with the same contents.
        fs::rename(folder.path().join("left/6.jpg"), folder.path().join("left/600.jpg")).unwrap();
        assert_ne!(read(0).sha256, first.sha256);
    }

    #[test]
    fn a_folder_s_labels_keep_the_order_given_and_a_lone_split_is_one() {
        let folder = folder();
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let source = Source::read(folder.path(), &names(&["right", "left", "none"]), 0, None).unwrap();
        assert_eq!(source.labels, ["right", "left", "none"]);
        let error = Source::read(folder.path(), &names(&["right", "wrong"]), 0, None).err().unwrap();
        assert!(format!("{error:#}").contains("left is none of the labels right, wrong"), "{error:#}");

        let whole = tempfile::tempdir().unwrap();
        fs::rename(folder.path(), whole.path().join("test")).unwrap();
        let source = Source::read(whole.path(), &[], 0, None).unwrap();
        assert_eq!((source.labels.len(), source.splits["test"].len()), (2, 60));
        assert!(source.check_trainable().unwrap_err().to_string().contains("\"train\""));
    }

    #[test]
    fn a_label_without_pictures_or_with_one_is_refused() {
        let folder = folder();
        fs::create_dir(folder.path().join("nothing")).unwrap();
        let error = format!("{:#}", Source::read(folder.path(), &[], 0, None).err().unwrap());
        assert!(error.contains("nothing holds no pictures"), "{error}");
        fs::copy(folder.path().join("left/0.jpg"), folder.path().join("nothing/one.jpg")).unwrap();
        let source = Source::read(folder.path(), &[], 0, None).unwrap();
        let error = source.check_trainable().unwrap_err().to_string();
        assert!(error.contains("the label \"nothing\" has"), "{error}");
    }

    #[test]
    fn pictures_of_one_group_are_in_one_split() {
        let folder = folder();
        let tens = Grouping::new("^([0-9])").unwrap();
        let source = Source::read(folder.path(), &[], 3, Some(&tens)).unwrap();
        // Groups have 1 or 11 pictures.
        assert!(SPLITS.iter().all(|split| source.splits.contains_key(*split)));
        let error = format!(
            "{:#}",
            Source::read(folder.path(), &[], 3, Some(&Grouping::new("^x").unwrap())).err().unwrap()
        );
        assert!(error.contains("does not match"), "{error}");
        // Where the splits are given, they are checked.
        let given = tempfile::tempdir().unwrap();
        fs::rename(folder.path().join("left"), given.path().join("left")).unwrap();
        fs::create_dir_all(given.path().join("val/left")).unwrap();
        fs::create_dir(given.path().join("train")).unwrap();
        fs::rename(folder.path().join("right"), given.path().join("train/right")).unwrap();
        fs::rename(given.path().join("left"), given.path().join("train/left")).unwrap();
        fs::copy(given.path().join("train/left/12.jpg"), given.path().join("val/left/13.jpg")).unwrap();
        let error = format!("{:#}", Source::read(given.path(), &[], 0, Some(&tens)).err().unwrap());
        assert!(error.contains("the group \"1\" is in"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_image_is_named() {
        let folder = folder();
        fs::write(folder.path().join("left/odd.dcm"), "this is no image").unwrap();
        let error = format!("{:#}", Source::read(folder.path(), &[], 0, None).err().unwrap());
        assert!(error.contains("odd.dcm"), "{error}");
    }

    #[test]
    fn labels_of_an_archive_are_whole_numbers_and_the_same_picture_in_two_splits_is_said() {
        let labelled = |labels: &[f32]| -> Arrays {
            let labels = Tensor::from_vec(labels.to_vec(), labels.len(), &Device::Cpu).unwrap();
            let mut arrays = set(bytes(&[4, 4, 4]), &[0, 1, 0, 1]);
            arrays[1] = ("train_labels", labels);
            arrays
        };
        for (wrong, want) in
            [(0.5, "0.5 is no whole number"), (f32::NAN, "NaN is no whole number"), (-1.0, "below 0")]
        {
            let error = format!("{:#}", archive(labelled(&[0.0, 1.0, wrong, 1.0]), &[]).err().unwrap());
            assert!(error.contains("train_labels") && error.contains(want), "{error}");
        }
        let source = archive(labelled(&[0.0, 1.0, 0.0, 0.0]), &[]).unwrap();
        assert_eq!(
            source.warnings,
            [
                "4 pictures of val are in train as well",
                "1 pictures are there more than once, with different labels"
            ]
        );
    }

    #[test]
    fn what_is_not_read_is_counted_and_what_others_keep_there_is_passed_over() {
        let folder = folder();
        let left = folder.path().join("left");
        for name in ["._0.jpg", ".hidden.png"] {
            fs::write(left.join(name), "no picture").unwrap();
        }
        for name in ["__MACOSX", "@eaDir", ".ipynb_checkpoints"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::create_dir(left.join(name)).unwrap();
        }
        assert!(Source::read(folder.path(), &[], 0, None).unwrap().warnings.is_empty());
        fs::write(left.join("scan.tif"), "").unwrap();
        fs::write(left.join("IM0"), "").unwrap();
        fs::create_dir(left.join("more")).unwrap();
        fs::copy(left.join("0.jpg"), folder.path().join("right/again.jpg")).unwrap();
        let said = Source::read(folder.path(), &[], 0, None).unwrap().warnings.join("; ");
        for want in
            ["1 files ending in .tif", "1 files without an ending", "1 folders within it", "different labels"]
        {
            assert!(said.contains(want), "{said}");
        }
        // All that is broken is named at once.
        for number in 0..12 {
            fs::write(left.join(format!("broken{number:02}.png")), "no picture").unwrap();
        }
        let error = format!("{:#}", Source::read(folder.path(), &[], 0, None).err().unwrap());
        assert!(error.contains("12 pictures cannot be read") && error.contains("broken00.png"), "{error}");
        assert!(error.contains("broken09.png") && error.contains("and 2 more"), "{error}");
    }

    #[test]
    fn a_split_that_lacks_a_label_is_told_and_one_that_has_one_calibrates_nothing() {
        let arrays = |val: &[u8]| {
            let mut arrays = set(bytes(&[4, 4, 4]), &[0, 1, 2, 0]);
            arrays[2] = ("val_images", bytes(&[val.len(), 4, 4]));
            arrays[3] = ("val_labels", labels(val));
            arrays
        };
        let mut source = archive(arrays(&[0, 1, 0, 1]), &[]).unwrap();
        source.check_measurable().unwrap();
        assert!(
            source.warnings.contains(&"val has no picture of the label \"2\"".to_string()),
            "{:?}",
            source.warnings
        );
        let error = archive(arrays(&[1, 1]), &[]).unwrap().check_measurable().unwrap_err().to_string();
        assert!(error.contains("all pictures of val have one label"), "{error}");
    }

    #[test]
    fn folders_of_one_label_or_of_a_misnamed_split_are_refused() {
        let folder = folder();
        fs::rename(folder.path().join("right"), folder.path().join("LEFT")).unwrap();
        let error = format!("{:#}", Source::read(folder.path(), &[], 0, None).err().unwrap());
        assert!(error.contains("one label written in two ways"), "{error}");
        let whole = tempfile::tempdir().unwrap();
        fs::rename(folder.path(), whole.path().join("training")).unwrap();
        let error = format!("{:#}", Source::read(whole.path(), &[], 0, None).err().unwrap());
        assert!(error.contains("training holds no pictures; if it is a split"), "{error}");
    }
}
