//! Where strangers' files enter the offline program; apart from the server's entries, which know
//! nothing of `train`.

#![allow(dead_code)] // Each target uses one of them.

use train::embed::corpus::{Corpus, Members};
use train::embed::formats;
use train::examples::Source;
use train::notes::{Columns, NoteSource};

/// What `read` makes of a file of this name and content.
fn file<T>(name: &str, content: &[u8], read: impl FnOnce(&std::path::Path) -> T) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    std::fs::write(&file, content).expect("a file");
    drop(read(&file));
}

/// An archive of images to train on.
pub fn npz(data: &[u8]) {
    file("data.npz", data, |file| Source::read(file, &[], 0, None));
}

/// Weights of others: a pickle or an archive of them (PyTorch), or else safetensors.
pub fn weights(data: &[u8]) {
    let _ = train::torch_file::read(data);
    file("model.safetensors", data, train::from::read);
}

/// Tables and texts to train on: a byte for the kind (notes as CSV, lines of JSON, vectors of words), then the file.
pub fn table(data: &[u8]) {
    let Some((&kind, content)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            let (note, label) = ("note", "label");
            let columns = Columns { note, label, fields: &[], group: None, skip_unlabelled: false };
            file("notes.csv", content, |file| NoteSource::read(file, columns, &[], 0));
        }
        1 => {
            let members = Members { text: vec!["text".to_string()], ..Members::default() };
            file("corpus.jsonl", content, |file| Corpus::read(file, &members));
        }
        _ => file("vectors.txt", content, |file| formats::read(file, 100)),
    }
}
