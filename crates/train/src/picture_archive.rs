//! Reading an archive of pictures in the MedMNIST form: `train_images`, `train_labels` and the like in one `.npz`.
//!
//! What an archive says of its own size is held against the file before anything is allocated for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;
use candle_core::npy::NpzTensors;

use super::examples::{SPLITS, Source, file_name, shared};
use model::package::sha256;
use vision::Image;

/// Most labels of a data set.
const MAX_LABELS: usize = 1 << 16;

/// What a byte of a deflated archive of pictures becomes at most; deflate itself makes a thousand of one,
/// but those are no pictures.
const DEFLATE: u64 = 64;

/// What any archive may become, in bytes.
const SMALL: u64 = 128 << 20;

/// What a picture and a label take besides their values: their places in memory and a digest.
const EACH: u64 = 256;

/// Longest description of an array, in bytes; numpy's own are of a hundred.
const MAX_HEADER: u32 = u16::MAX as u32;

/// The data set in the archive; `names` are those of its labels in order, which without any are its numbers.
pub(super) fn read(path: &Path, names: &[String]) -> Result<Source> {
    let digest = sha256(&fs::read(path)?);
    check_headers(path)?;
    let archive = NpzTensors::new(path)?;
    let most = fs::metadata(path)?.len().saturating_mul(DEFLATE).max(SMALL);
    let mut splits = BTreeMap::new();
    let mut highest = 0;
    let mut contents = Vec::new();
    for split in SPLITS {
        let array = |kind: &str| -> Result<Option<Tensor>> {
            let name = format!("{split}_{kind}");
            if !archive.names().contains(&&name) {
                return Ok(None);
            }
            // The reader allocates what the header claims, so the claim is held against the file.
            let (shape, kind) = archive.get_shape_and_dtype(&name)?;
            let size = kind.size_in_bytes() as u64;
            let claimed = shape.dims().iter().try_fold(size, |all, side| all.checked_mul(*side as u64));
            let each = shape.dims().first().and_then(|count| (*count as u64).checked_mul(EACH));
            let claimed = claimed.zip(each).and_then(|(values, each)| values.checked_add(each));
            let fits = claimed.is_some_and(|claimed| claimed <= most);
            ensure!(fits, "{name} claims a shape of {shape:?}, which the file cannot hold");
            Ok(archive.get(&name)?)
        };
        let (Some(images), Some(labels)) = (array("images")?, array("labels")?) else {
            continue;
        };
        let labels: Vec<f64> = labels.flatten_all()?.to_dtype(candle_core::DType::F64)?.to_vec1()?;
        let images = images_of(images).with_context(|| format!("{split}_images"))?;
        ensure!(
            images.len() == labels.len(),
            "{split} has {} images and {} labels",
            images.len(),
            labels.len()
        );
        let mut examples = Vec::with_capacity(images.len());
        for ((image, digest), label) in images.into_iter().zip(labels) {
            ensure!(label.fract() == 0.0, "{split}_labels: the label {label} is no whole number");
            ensure!(label >= 0.0, "{split}_labels: a label below 0");
            ensure!(label < MAX_LABELS as f64, "label {label} is not below {MAX_LABELS}");
            let label = label as usize;
            highest = highest.max(label);
            contents.push((split, digest, label.to_string()));
            examples.push((image, label));
        }
        splits.insert(split.to_string(), examples);
    }
    let labels: Vec<String> = match names.is_empty() {
        true => (0..=highest).map(|label| label.to_string()).collect(),
        false => names.to_vec(),
    };
    ensure!(highest < labels.len(), "label {highest} has no name among the {} given", labels.len());
    let warnings = shared(&contents);
    Ok(Source { labels, splits, sha256: BTreeMap::from([(file_name(path), digest)]), warnings })
}

/// Refuses an array whose description is longer than any is: the reader allocates what its length says before it looks for it.
fn check_headers(path: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path)?))?;
    for index in 0..archive.len() {
        let mut array = archive.by_index(index)?;
        let name = array.name()?.to_string();
        let split = |split: &&str| name.strip_prefix(*split).is_some_and(|rest| rest.starts_with('_'));
        if !SPLITS.iter().any(split) {
            continue;
        }
        // Six bytes of magic, two of the version, and of version 2 four of the length.
        let mut start = Vec::new();
        array.by_ref().take(12).read_to_end(&mut start)?;
        if let [_, _, _, _, _, _, 2, _, length @ ..] = &start[..]
            && let Ok(length) = <[u8; 4]>::try_from(length)
        {
            let length = u32::from_le_bytes(length);
            ensure!(
                length <= MAX_HEADER,
                "{name} claims a description of {length} bytes; at most {MAX_HEADER} are read"
            );
        }
    }
    Ok(())
}

/// The images of an array of N x H x W or N x H x W x 3 bytes, each with the digest of its own.
fn images_of(array: Tensor) -> Result<Vec<(Image, String)>> {
    let (count, height, width, channels) = match *array.dims() {
        [n, h, w] | [n, h, w, 1] => (n, h, w, 1),
        [n, h, w, 3] => (n, h, w, 3),
        ref other => bail!("an array of shape {other:?} is not N x H x W or N x H x W x 3"),
    };
    ensure!(array.dtype() == candle_core::DType::U8, "values of type {:?} are not uint8", array.dtype());
    let (width, height, each) = (u32::try_from(width)?, u32::try_from(height)?, height * width * channels);
    let values: Vec<u8> = array.flatten_all()?.to_vec1()?;
    // Each copy may be gigabytes.
    drop(array);
    let image = |i: usize| {
        let part = values[i * each..(i + 1) * each].to_vec();
        let digest = sha256(&part);
        let image = match channels {
            1 => Image::from_gray8(width, height, part),
            _ => Image::from_rgb8(width, height, part),
        };
        image.map(|image| (image, digest))
    };
    Ok((0..count).map(image).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// An archive of one array that begins like this.
    fn archive(name: &str, start: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
        let mut archive = zip::ZipWriter::new(file.reopen().unwrap());
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(start).unwrap();
        archive.finish().unwrap();
        file
    }

    /// Why it cannot be read.
    fn refused(archive: &tempfile::NamedTempFile) -> String {
        let Err(error) = read(archive.path(), &[]) else { panic!("it was read") };
        error.to_string()
    }

    #[test]
    fn a_description_is_not_allocated_because_it_claims_to_be_long() {
        let long = b"\x93NUMPY\x02\x00\xf6\xff\x7a\x27";
        let error = refused(&archive("train_images.npy", long));
        assert!(error.starts_with("train_images.npy claims a description of 662372342 bytes"), "{error}");
        // Of an array that nobody reads nobody cares, and the short beginning of one is no claim.
        assert!(check_headers(archive("notes.npy", long).path()).is_ok());
        assert!(check_headers(archive("train_images.npy", &long[..9]).path()).is_ok());
    }

    #[test]
    fn what_an_array_becomes_is_held_against_its_file() {
        // Fewer numbers than a small archive may have bytes, and a picture of one of them takes more than that.
        for (kind, shape) in [("<f8", "400, 300, 300"), ("|u1", "1000000, 1, 1")] {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
            let length = (header.len() as u16).to_le_bytes();
            let start = [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes()].concat();
            let error = refused(&archive("train_images.npy", &start));
            assert!(error.starts_with(&format!("train_images claims a shape of [{shape}]")), "{error}");
        }
    }
}
