//! The fuzzers' entries on stable Rust: every seed and some mutations of it come back without a
//! panic. It is no substitute for the fuzzers, whose long run `fuzz/Cargo.toml` describes; it keeps
//! the entries compiling and the cheapest mistakes out.

#[path = "../../fuzz/entries.rs"]
mod entries;
#[path = "../../fuzz/mutations.rs"]
mod mutations;

use std::path::Path;

fn come_back(target: &str, entry: fn(&[u8])) {
    mutations::come_back(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target), entry);
}

#[test]
fn images_come_back() {
    come_back("image", entries::image);
}

#[test]
fn dicom_files_come_back() {
    come_back("dicom", entries::dicom);
}

#[test]
fn records_come_back() {
    come_back("record", entries::record);
}

#[test]
fn inference_requests_come_back() {
    come_back("infer", entries::infer);
}

#[test]
fn packages_come_back() {
    come_back("package", entries::package);
}
