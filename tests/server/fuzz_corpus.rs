//! The fuzzers' entries on stable Rust: every seed and some mutations of it, and what grew out of them in long runs,
//! come back without a panic. It is no substitute for the fuzzers, whose runs `fuzz/README.md` describes; it keeps
//! the entries compiling and the cheapest mistakes out.

#[path = "../../fuzz/entries.rs"]
mod entries;
#[path = "../../fuzz/imports.rs"]
mod imports;
#[path = "../../fuzz/messages.rs"]
mod messages;
#[path = "../../fuzz/mutations.rs"]
mod mutations;
#[path = "../../fuzz/pictures.rs"]
mod pictures;
#[path = "../../fuzz/records.rs"]
mod records;

use std::path::Path;

fn come_back(target: &str, entry: fn(&[u8])) {
    mutations::come_back(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz"), target, entry);
}

#[test]
fn images_come_back() {
    come_back("image", pictures::image);
}

#[test]
fn dicom_files_come_back() {
    come_back("dicom", pictures::dicom);
}

#[test]
fn compressed_frames_come_back() {
    come_back("codec", pictures::codec);
}

/// Or the codecs behind would hardly be reached. What a fuzzer found is named after it.
#[test]
fn the_frames_that_fuzzing_begins_with_are_sound() {
    let seeds = mutations::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/codec"));
    for (name, seed) in seeds.iter().filter(|(name, _)| !name.contains("found-")) {
        let file = pictures::around_frame(seed).unwrap();
        let decoded = vision::decode(vision::Format::Dicom, &file, &vision::DecodeOptions::default());
        assert!(decoded.is_ok(), "{name}: {decoded:?}");
    }
}

#[test]
fn records_come_back() {
    come_back("record", entries::record);
}

#[test]
fn json_bodies_come_back() {
    come_back("body", messages::body);
}

#[test]
fn inference_requests_come_back() {
    come_back("infer", entries::infer);
}

#[test]
fn fhir_comes_back() {
    come_back("fhir", records::fhir);
}

#[test]
fn requests_of_cds_hooks_come_back() {
    come_back("cds", records::cds);
}

#[test]
fn hl7_messages_come_back() {
    come_back("hl7", messages::hl7);
}

#[test]
fn messages_of_the_dicom_network_come_back() {
    come_back("pdu", messages::pdu);
}

#[test]
fn imports_come_back() {
    come_back("import", imports::import);
}

#[test]
fn packages_come_back() {
    come_back("package", entries::package);
}
