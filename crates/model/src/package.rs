//! A model package on disk: `models/<name>/<version>/` with manifest, weights and card.
//!
//! A package is written whole or not at all (into a sibling folder that is then renamed), and
//! read with suspicion: a digest, a shape or a description that does not fit refuses it with a
//! sentence that names the file, because a classifier that loads the wrong weights still
//! answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use candle_core::{DType, Device, Tensor};
use sha2::{Digest, Sha256};

use super::manifest::{FORMAT, Manifest};

/// File names inside a package.
pub const MANIFEST: &str = "manifest.json";
/// The tokenizer of a model of notes.
pub const TOKENIZER: &str = "tokenizer.json";
/// The rules over a model of notes, where it has them.
pub const RED_FLAGS: &str = "red_flags.json";
/// The identifiers of the items of a recommender.
pub const ITEMS: &str = "items.json";
/// The circumstances that a recommender counts: a JSON array of names.
pub const CONTEXT: &str = "context.json";
/// What a model of images keeps of its training pictures to tell what is unlike them, where it does.
pub const LIKENESS: &str = "likeness.safetensors";
/// The network of a classifier that is an ONNX file.
pub const ONNX: &str = "model.onnx";
/// The weights, in safetensors form.
pub const WEIGHTS: &str = "model.safetensors";
/// The model card, in Markdown.
pub const CARD: &str = "README.md";

/// Files of a package that an answer depends on, besides manifest and weights.
pub const READ: [&str; 6] = [TOKENIZER, RED_FLAGS, ITEMS, CONTEXT, LIKENESS, ONNX];

/// A package that cannot be used: which file, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct PackageError {
    /// The file that does not fit.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl PackageError {
    /// An error about `file`.
    pub fn new(file: impl Into<PathBuf>, reason: impl ToString) -> PackageError {
        PackageError { file: file.into(), reason: reason.to_string() }
    }
}

/// A package read and checked: everything but whether the network's shapes fit, which the
/// network's builder says.
pub struct Package {
    /// Where it was read from.
    pub folder: PathBuf,
    /// Its description.
    pub manifest: Manifest,
    /// Weights by name.
    pub weights: BTreeMap<String, Tensor>,
    /// The model card.
    pub card: String,
}

impl Package {
    /// Reads and checks the package in `folder`.
    ///
    /// # Errors
    /// The first file that is missing or does not fit.
    pub fn read(folder: &Path) -> Result<Package, PackageError> {
        Package::read_accepted(folder, |_, _| Ok(()))
    }

    /// As [`Package::read`], of a package whose manifest, by its bytes and by what it says, somebody
    /// accepts before anything else of it is read.
    ///
    /// # Errors
    /// As there, or what `accept` says.
    pub fn read_accepted(
        folder: &Path,
        accept: impl FnOnce(&[u8], &Manifest) -> Result<(), PackageError>,
    ) -> Result<Package, PackageError> {
        let file = folder.join(MANIFEST);
        let bytes = read(&file)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| PackageError::new(&file, e))?;
        accept(&bytes, &manifest)?;
        if manifest.format != FORMAT {
            let reason = format!("package format {} is not {FORMAT}", manifest.format);
            return Err(PackageError::new(&file, reason));
        }
        manifest.check().map_err(|reason| PackageError::new(&file, reason))?;
        let (name, version) = (folder_name(folder.parent()), folder_name(Some(folder)));
        if name != manifest.name || version != manifest.version {
            let reason = format!(
                "describes {}/{}, but lies in the folder {name}/{version}",
                manifest.name, manifest.version
            );
            return Err(PackageError::new(&file, reason));
        }

        plain(folder)?;
        // What answers depend on is served as it was measured, or not at all: rules that somebody put there and that
        // nothing reads would be trusted in vain.
        if let Some(name) =
            READ.iter().find(|name| folder.join(name).exists() && !manifest.files.contains_key(**name))
        {
            let reason = format!("it is there, but `files` of {MANIFEST} does not name it with its sha256");
            return Err(PackageError::new(folder.join(name), reason));
        }
        for (name, digest) in &manifest.files {
            read_checked(&folder.join(name), digest)?;
        }
        let file = folder.join(&manifest.weights.file);
        let bytes = read_checked(&file, &manifest.weights.sha256)?;
        let weights = tensors(&bytes).map_err(|e| PackageError::new(&file, e))?;

        let file = folder.join(CARD);
        let card = String::from_utf8(read(&file)?).map_err(|e| PackageError::new(&file, e))?;
        Ok(Package { folder: folder.to_path_buf(), manifest, weights, card })
    }

    /// Puts weights, manifest, card and `extra` files (relative path, content) under
    /// `root/<name>/<version>`, replacing that version as a whole. The manifest's `weights` and
    /// `files` are filled in here. What was written is read back before it takes its place. Returns
    /// the folder.
    ///
    /// # Errors
    /// What the file system says, with the path; a package that would be refused.
    pub fn write(
        root: &Path,
        manifest: &mut Manifest,
        weights: &BTreeMap<String, Tensor>,
        card: &str,
        extra: &[(&str, Vec<u8>)],
    ) -> Result<PathBuf, PackageError> {
        let model = root.join(&manifest.name);
        let folder = model.join(&manifest.version);
        let staging = model.join(format!(".{}.new", manifest.version));
        // Named as in its final place, so that it can be read from here.
        let fresh = staging.join(&manifest.name).join(&manifest.version);
        let old = model.join(format!(".{}.old", manifest.version));
        let gone = |leftover: &Path| match leftover.exists() {
            true => fs::remove_dir_all(leftover).map_err(|e| PackageError::new(leftover, e)),
            false => Ok(()),
        };
        // A run that ended between two renames left the version itself under this name.
        if old.exists() && !folder.exists() {
            fs::rename(&old, &folder).map_err(|e| PackageError::new(&old, e))?;
        }
        gone(&staging)?;
        gone(&old)?;
        let put = |name: &str, content: &[u8]| {
            let file = fresh.join(name);
            let parent = file.parent().unwrap_or(&fresh);
            fs::create_dir_all(parent)
                .and_then(|()| write_durably(&file, content))
                .map_err(|e| PackageError::new(&file, e))
        };
        let bytes = serialize(weights).map_err(|e| PackageError::new(fresh.join(WEIGHTS), e))?;
        manifest.weights.file = WEIGHTS.to_string();
        manifest.weights.sha256 = sha256(&bytes);
        manifest.weights.parameters = values(weights);
        // Card and plots are for people, who may amend them: no answer depends on them.
        let digests = extra.iter().filter(|(name, _)| READ.contains(name));
        manifest.files = digests.map(|(name, content)| (name.to_string(), sha256(content))).collect();
        let mut json =
            serde_json::to_string_pretty(manifest).map_err(|e| PackageError::new(fresh.join(MANIFEST), e))?;
        json.push('\n');
        put(WEIGHTS, &bytes)?;
        put(MANIFEST, json.as_bytes())?;
        put(CARD, card.as_bytes())?;
        for (name, content) in extra {
            put(name, content)?;
        }
        Package::read(&fresh)?;
        let swap = || -> io::Result<()> {
            if folder.exists() {
                fs::rename(&folder, &old)?;
            }
            fs::rename(&fresh, &folder)?;
            fs::remove_dir_all(&staging)?;
            if old.exists() {
                fs::remove_dir_all(&old)?;
            }
            Ok(())
        };
        swap().map_err(|e| PackageError::new(&folder, e))?;
        Ok(folder)
    }
}

/// The folders of all versions of every model under `root`, by name and version. A folder whose
/// name is not a whole number is no version.
///
/// # Errors
/// `root` cannot be listed.
pub fn packages(root: &Path) -> Result<BTreeMap<String, BTreeMap<u64, PathBuf>>, PackageError> {
    let list = |folder: &Path| -> Result<Vec<PathBuf>, PackageError> {
        let entries = fs::read_dir(folder).map_err(|e| PackageError::new(folder, e))?;
        Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
    };
    let mut found = BTreeMap::new();
    for model in list(root)? {
        let name = folder_name(Some(&model));
        if name.starts_with('.') {
            continue;
        }
        let version = |path: PathBuf| Some((folder_name(Some(&path)).parse::<u64>().ok()?, path));
        let versions: BTreeMap<u64, PathBuf> = list(&model)?.into_iter().filter_map(version).collect();
        if !versions.is_empty() {
            found.insert(name, versions);
        }
    }
    Ok(found)
}

/// The folder of the highest version of every model under `root`, by name.
///
/// # Errors
/// `root` cannot be listed.
pub fn latest(root: &Path) -> Result<BTreeMap<String, PathBuf>, PackageError> {
    let highest = |(name, versions): (String, BTreeMap<u64, PathBuf>)| {
        versions.into_values().next_back().map(|folder| (name, folder))
    };
    Ok(packages(root)?.into_iter().filter_map(highest).collect())
}

/// Number of trained values among `weights`: what only names something is not one.
pub fn values(weights: &BTreeMap<String, Tensor>) -> usize {
    weights.values().filter(|tensor| tensor.dtype() != DType::U32).map(|tensor| tensor.elem_count()).sum()
}

/// Tensors in safetensors form.
///
/// # Errors
/// What the library reports.
pub fn serialize(tensors: &BTreeMap<String, Tensor>) -> candle_core::Result<Vec<u8>> {
    safetensors::serialize(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), None)
        .map_err(candle_core::Error::wrap)
}

/// The sha256 of `bytes` in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The content of a file of a package. It must be a file: a link could show any other file of the
/// machine to whoever may read the model card, and a pipe would never end.
///
/// # Errors
/// The file, and that it is missing, no file, or what the file system says.
pub fn read(file: &Path) -> Result<Vec<u8>, PackageError> {
    let named = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => PackageError::new(file, "the file is missing"),
        _ => PackageError::new(file, e),
    };
    let kind = fs::symlink_metadata(file).map_err(named)?.file_type();
    if kind.is_symlink() {
        return Err(PackageError::new(file, LINK));
    }
    if !kind.is_file() {
        return Err(PackageError::new(file, "it is no file"));
    }
    fs::read(file).map_err(named)
}

const LINK: &str = "it is a symbolic link; a package holds its files itself";

/// Whether all that lies in a folder of a package, at any depth, is files and folders: also what no manifest names, such as
/// plots, is shown to people.
///
/// # Errors
/// The first link, pipe or device.
pub fn plain(folder: &Path) -> Result<(), PackageError> {
    for entry in fs::read_dir(folder).map_err(|e| PackageError::new(folder, e))? {
        let path = entry.map_err(|e| PackageError::new(folder, e))?.path();
        let kind = fs::symlink_metadata(&path).map_err(|e| PackageError::new(&path, e))?.file_type();
        match () {
            () if kind.is_symlink() => return Err(PackageError::new(&path, LINK)),
            () if kind.is_dir() => plain(&path)?,
            () if kind.is_file() => {}
            () => return Err(PackageError::new(&path, "it is no file")),
        }
    }
    Ok(())
}

/// The content of a file whose digest is known.
fn read_checked(file: &Path, expected: &str) -> Result<Vec<u8>, PackageError> {
    let bytes = read(file)?;
    let digest = sha256(&bytes);
    match digest == expected {
        true => Ok(bytes),
        false => {
            Err(PackageError::new(file, format!("its sha256 is {digest}, the manifest says {expected}")))
        }
    }
}

fn write_durably(file: &Path, content: &[u8]) -> io::Result<()> {
    use io::Write;
    let mut handle = fs::File::create(file)?;
    handle.write_all(content)?;
    handle.sync_all()
}

fn folder_name(folder: Option<&Path>) -> String {
    folder.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|e| e.to_string())?;
    let mut read = BTreeMap::new();
    for (name, tensor) in tensors {
        let tensor = match tensor.dtype() {
            // The n-grams of a bag, the ways through trees, the places of a sparse matrix: no values.
            DType::U32 => {
                read.insert(name, tensor);
                continue;
            }
            DType::F32 => tensor,
            // Kept small on disk; computed with in full.
            DType::F16 => tensor.to_dtype(DType::F32).map_err(|e| e.to_string())?,
            other => return Err(format!("the tensor \"{name}\" is {other:?}, none of F32, F16 and U32")),
        };
        let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(|e| e.to_string())?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(format!("the tensor \"{name}\" holds a value that is not finite"));
        }
        read.insert(name, tensor);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_or_a_folder_is_no_file_of_a_package() {
        let root = tempfile::tempdir().unwrap();
        let (file, link) = (root.path().join("secret"), root.path().join(CARD));
        fs::write(&file, "secret").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(read(&link).unwrap_err().to_string().contains("symbolic link"));
        assert!(read(root.path()).unwrap_err().to_string().contains("no file"));
        assert_eq!(read(&file).unwrap(), b"secret");
        assert!(plain(root.path()).unwrap_err().to_string().contains("symbolic link"));
        fs::remove_file(&link).unwrap();
        let plots = root.path().join("plots");
        fs::create_dir(&plots).unwrap();
        fs::write(plots.join("roc.svg"), "<svg/>").unwrap();
        plain(root.path()).unwrap();
        let _pipe = std::os::unix::net::UnixListener::bind(plots.join("curve.svg")).unwrap();
        assert!(plain(root.path()).unwrap_err().to_string().contains("it is no file"));
    }

    #[test]
    fn the_highest_version_is_the_latest() {
        let root = tempfile::tempdir().unwrap();
        for folder in
            ["chest/9", "chest/10", "chest/notes", "chest/.11.new", "chest/v12", ".hidden/1", "empty"]
        {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("chest/13"), "a file is no version").unwrap();
        let found = latest(root.path()).unwrap();
        assert_eq!(found, BTreeMap::from([("chest".to_string(), root.path().join("chest/10"))]));
        let absent = latest(&root.path().join("absent")).unwrap_err();
        assert!(absent.to_string().contains("absent"), "{absent}");
    }

    /// Of a model that is shipped, without the files beside its weights.
    fn plain_manifest() -> Manifest {
        let shipped = include_str!("../../../models/pneumonia/1/manifest.json");
        let mut manifest: Manifest = serde_json::from_str(shipped).unwrap();
        (manifest.likeness, manifest.precision) = (None, None);
        manifest
    }

    fn bias(value: f32) -> BTreeMap<String, Tensor> {
        BTreeMap::from([("bias".to_string(), Tensor::new(&[value], &Device::Cpu).unwrap())])
    }

    #[test]
    fn a_file_that_answers_depend_on_is_named_by_the_manifest() {
        let root = tempfile::tempdir().unwrap();
        let mut manifest = plain_manifest();
        let folder = Package::write(root.path(), &mut manifest, &bias(0.5), "card", &[]).unwrap();
        for name in READ {
            fs::write(folder.join(name), "{}").unwrap();
            let error = Package::read(&folder).err().unwrap();
            assert!(error.file.ends_with(name) && error.reason.contains("does not name it"), "{error}");
            fs::remove_file(folder.join(name)).unwrap();
        }
    }

    #[test]
    fn a_version_that_was_put_aside_comes_back_before_it_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let mut manifest = plain_manifest();
        let folder = Package::write(root.path(), &mut manifest, &bias(0.5), "first", &[]).unwrap();
        // As a run left it that ended between its two renames.
        let old = folder.with_file_name(".1.old");
        fs::rename(&folder, &old).unwrap();
        Package::write(root.path(), &mut manifest, &bias(f32::NAN), "second", &[]).unwrap_err();
        assert_eq!(Package::read(&folder).unwrap().card, "first");
        assert!(!old.exists());
    }
}
