//! One training of a name at a time: two would take the same version, and each the other's checkpoint.
//!
//! The lock is the system's, on a file in the model's folder, so it ends with the program however that ends.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The file in the model's folder.
const LOCK: &str = ".lock";

/// Held while a model's folder is written to.
pub struct NameLock {
    folder: PathBuf,
    _file: File,
}

impl NameLock {
    /// Takes the lock of the model's folder, `models/<name>`, which is made if it is not there.
    ///
    /// # Errors
    /// Another run holds it; what the file system says.
    pub fn take(folder: &Path) -> Result<NameLock> {
        let path = folder.join(LOCK);
        loop {
            let named = || path.display().to_string();
            fs::create_dir_all(folder).with_context(named)?;
            let file = File::create(&path).with_context(named)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "{}: another training of this name is running; it would take the same version",
                        folder.display()
                    )
                }
                Err(TryLockError::Error(error)) => return Err(error).with_context(named),
            }
            // Whoever held it before may have taken the file away in between; then it locks nobody out.
            if is_at(&file, &path) {
                return Ok(NameLock { folder: folder.to_path_buf(), _file: file });
            }
        }
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.folder.join(LOCK));
        // Of a run that wrote nothing no folder is left.
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |of: fs::Metadata| (of.dev(), of.ino());
    file.metadata().ok().map(place) == fs::metadata(path).ok().map(place)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_locked_once_and_nothing_is_left_behind() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models/chest");
        let held = NameLock::take(&folder).unwrap();
        let error = NameLock::take(&folder).err().unwrap().to_string();
        assert!(error.contains("chest") && error.contains("another training"), "{error}");
        NameLock::take(&root.path().join("models/other")).unwrap();
        drop(held);
        assert!(!folder.exists());
        fs::create_dir_all(folder.join("1")).unwrap();
        drop(NameLock::take(&folder).unwrap());
        assert!(folder.join("1").exists() && !folder.join(LOCK).exists());
    }
}
