//! What a network costs over bytes: measured at the end of training, left out on request, and afterwards.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{archive, finished, image_command, manifest};

fn calibrate(model: &Path, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.arg("calibrate").arg("--model").arg(model).arg("--data").arg(data);
    command
}

#[test]
fn a_package_says_what_it_costs_over_bytes_and_a_finished_one_can_be_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive(folder.path());
    let (measured, left_out) = (folder.path().join("measured"), folder.path().join("left-out"));
    finished(image_command(&data, &measured, &["--epochs", "8"]).output().unwrap());
    finished(image_command(&data, &left_out, &["--epochs", "8", "--no-int8"]).output().unwrap());
    let (with, without) = (manifest(&measured, "halves", 1), manifest(&left_out, "halves", 1));
    assert_eq!(with["weights"], without["weights"]);
    assert_eq!(without["precision"], Value::Null);
    let int8 = &with["precision"]["int8"];
    assert_eq!(int8["allowed"], true, "{int8}");
    assert_eq!((&int8["cost"]["measured_on"], &int8["cost"]["examples"]), (&"val".into(), &16.into()));
    let ranges = int8["ranges"].as_object().unwrap();
    assert!(ranges.contains_key("stem.conv") && !ranges.contains_key("head"), "{int8}");

    let said = finished(calibrate(&left_out.join("halves"), &data).output().unwrap());
    assert!(said.contains("same label"), "{said}");
    assert_eq!(manifest(&left_out, "halves", 1)["precision"], with["precision"]);
    let card = std::fs::read_to_string(left_out.join("halves/1/README.md")).unwrap();
    assert!(card.contains(said.trim()), "{card}");
    // Once more: the paragraph is replaced, not repeated.
    finished(calibrate(&left_out.join("halves"), &data).output().unwrap());
    assert_eq!(std::fs::read_to_string(left_out.join("halves/1/README.md")).unwrap(), card);

    let other = folder.path().join("others.npz");
    std::fs::copy(&data, &other).unwrap();
    let error = calibrate(&left_out.join("halves"), &other).output().unwrap();
    let said = String::from_utf8_lossy(&error.stderr).into_owned();
    assert!(!error.status.success() && said.contains("is not the data"), "{said}");
}
