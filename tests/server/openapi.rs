//! The committed contract is the one the code serves.

use std::path::Path;

#[test]
fn the_committed_document_has_not_drifted() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let committed = std::fs::read_to_string(file).unwrap();
    let served = medserve::api::router::document().to_pretty_json().unwrap();
    assert!(
        committed.trim_end() == served.trim_end(),
        "openapi/openapi.json is out of date: run `cargo run -- openapi > openapi/openapi.json`"
    );
}
