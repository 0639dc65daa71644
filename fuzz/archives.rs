//! Where strangers' archives enter the offline program; apart from the server's entries, which know
//! nothing of `train`.

use train::examples::Source;

/// An archive of images to train on.
pub fn npz(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("data.npz");
    std::fs::write(&file, data).expect("a file");
    let _ = Source::read(&file, &[], 0, None);
}
