//! `train image` for several labels at once and for a number, black box, on drawn pictures.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{finished, manifest};

const SIDE: u32 = 12;

/// A picture whose upper left and lower right quarters are bright or not, over a ground as bright as `ground`.
fn write(file: &Path, corners: [bool; 2], ground: u8, number: usize) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let pixel = |at: u32| {
        let (row, column) = (at / SIDE, at % SIDE);
        let own = [row < 5 && column < 5, row >= 7 && column >= 7];
        let bright = (own[0] && corners[0]) || (own[1] && corners[1]);
        let noise = (at as usize * 31 + number * 17 + number * number) % 12;
        if bright { 220 + noise as u8 } else { ground + noise as u8 }
    };
    let mut encoder = png::Encoder::new(std::fs::File::create(file).unwrap(), SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(pixel).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

/// Pictures with every mixture of two corners, and a table of them and of how wide a bar is.
fn data(folder: &Path) -> PathBuf {
    let root = folder.join("corners");
    let mut table = "file,upper,lower,split,width\n".to_string();
    for (split, count) in [("train", 64), ("val", 32), ("test", 32)] {
        for number in 0..count {
            let corners = [number % 2 == 1, number % 4 > 1];
            let name = format!("{split}-{number:03}.png");
            write(&root.join(&name), corners, 20, number);
            let width = 3 + 2 * usize::from(corners[0]) + 5 * usize::from(corners[1]);
            let [upper, lower] = corners.map(u8::from);
            writeln!(table, "{name},{upper},{lower},{split},{width}").unwrap();
        }
    }
    std::fs::write(root.join("labels.csv"), table).unwrap();
    root
}

fn command(data: &Path, out: &Path, further: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args([
        "image",
        "--name",
        "corners",
        "--widths",
        "4,8",
        "--batch-size",
        "16",
        "--augment",
        "none",
    ]);
    command.args(["--epochs", "30", "--lr", "0.01"]);
    command.arg("--data").arg(data).arg("--out").arg(out).args(further).output().unwrap()
}

fn evaluated(package: &Path, data: &Path, split: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["evaluate", "--json", "--split", split, "--model"]).arg(package).arg("--data").arg(data);
    serde_json::from_str(&finished(command.output().unwrap())).unwrap()
}

#[test]
fn several_labels_are_learned_at_once_each_with_its_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (data(folder.path()), folder.path().join("models"));
    let printed = finished(command(&data, &out, &["--loss", "binary", "--labels", "upper,lower"]));
    assert!(printed.contains("| test  | upper |"), "{printed}");
    let written = manifest(&out, "corners", 1);
    assert_eq!(written["labels"], serde_json::json!(["upper", "lower"]));
    assert_eq!(
        (&written["outputs"]["kind"], &written["training"]["settings"]["loss"]),
        (&"binary".into(), &"binary".into())
    );
    assert!(written["precision"].is_null() && written["metrics"].as_object().unwrap().is_empty());
    for label in ["upper", "lower"] {
        let one = &written["outputs"]["labels"][label];
        let threshold = one["threshold"].as_f64().unwrap();
        assert!(threshold > 0.0 && threshold < 1.0 && one["slope"].as_f64().unwrap() > 0.0, "{one}");
        let test = &written["outputs"]["metrics"]["test"][label];
        assert_eq!((&test["examples"], &test["positives"]), (&32.into(), &16.into()));
        assert!(test["auc"].as_f64().unwrap() > 0.99, "{test}");
        assert!(test["f1"].as_f64().unwrap() > 0.95, "{test}");
    }
    let card = std::fs::read_to_string(out.join("corners/1/README.md")).unwrap();
    assert!(
        card.contains("- `upper` from 0.") && card.contains("Several of these may hold at once"),
        "{card}"
    );
    assert!(!card.contains("divided by the temperature"), "{card}");
    let again = evaluated(&out.join("corners"), &data, "test");
    assert_eq!(again["outputs"]["metrics"]["test"], written["outputs"]["metrics"]["test"]);
    // A likeness is fitted to it as to any other.
    let mut likeness = Command::new(env!("CARGO_BIN_EXE_train"));
    likeness.args(["likeness", "--model"]).arg(out.join("corners")).arg("--data").arg(&data);
    assert!(finished(likeness.output().unwrap()).contains("unlike_training"));
    let mut calibrate = Command::new(env!("CARGO_BIN_EXE_train"));
    calibrate.args(["calibrate", "--model"]).arg(out.join("corners")).arg("--data").arg(&data);
    let refused = calibrate.output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("single precision"));
}

#[test]
fn folders_say_the_same_as_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("folders");
    for (split, count) in [("train", 64), ("val", 16)] {
        for number in 0..count {
            let corners = [number % 2 == 1, number % 4 > 1];
            let labels = ["upper", "lower"].into_iter().zip(corners).filter(|(_, own)| *own);
            let mut places: Vec<&str> = labels.map(|(label, _)| label).collect();
            if places.is_empty() {
                places.push("none");
            }
            for place in places {
                write(&root.join(split).join(place).join(format!("{number}.png")), corners, 20, number);
            }
        }
    }
    let out = folder.path().join("models");
    finished(command(&root, &out, &["--loss", "binary", "--no-likeness"]));
    let written = manifest(&out, "corners", 1);
    assert_eq!(written["labels"], serde_json::json!(["lower", "upper"]));
    assert_eq!(written["data"]["examples"], serde_json::json!({"train": 64, "val": 16}));
    for label in ["upper", "lower"] {
        let val = &written["outputs"]["metrics"]["val"][label];
        assert_eq!(val["positives"], 8, "{val}");
        assert!(val["auc"].as_f64().unwrap() > 0.99, "{val}");
    }
}

#[test]
fn a_number_is_learned_with_its_error_and_its_interval() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (data(folder.path()), folder.path().join("models"));
    let options = ["--loss", "mean-squared-error", "--number", "width", "--unit", "mm"];
    let printed = finished(command(&data, &out, &options));
    assert!(printed.contains("mean absolute error"), "{printed}");
    let written = manifest(&out, "corners", 1);
    assert_eq!(written["labels"], serde_json::json!(["width"]));
    let outputs = &written["outputs"];
    assert_eq!((&outputs["kind"], &outputs["unit"]), (&"number".into(), &"mm".into()));
    assert!((outputs["mean"].as_f64().unwrap() - 6.5).abs() < 1e-9);
    assert!((outputs["deviation"].as_f64().unwrap() - 7.25f64.sqrt()).abs() < 1e-9);
    let test = &outputs["metrics"]["test"];
    assert!(test["mae"].as_f64().unwrap() < 0.8 && test["r2"].as_f64().unwrap() > 0.8, "{test}");
    assert!(outputs["metrics"]["val"]["covered"].as_f64().unwrap() >= 0.9, "{outputs}");
    assert!(test["covered"].as_f64().unwrap() > 0.6, "{outputs}");
    let card = std::fs::read_to_string(out.join("corners/1/README.md")).unwrap();
    assert!(card.contains("The answer is a number in mm.") && card.contains(" mm to either side"), "{card}");
    assert_eq!(
        evaluated(&out.join("corners"), &data, "val")["outputs"]["metrics"]["val"],
        outputs["metrics"]["val"]
    );
}

#[test]
fn what_does_not_fit_a_loss_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (data(folder.path()), folder.path().join("models"));
    let refused = |further: &[&str], words: &str| {
        let output = command(&data, &out, further);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{words:?} is not in {said}");
    };
    refused(&["--loss", "binary"], "\"width\" is \"3\", not 0 or 1");
    refused(&["--loss", "binary", "--labels", "upper,middle"], "no column \"middle\"");
    refused(&["--loss", "binary", "--labels", "upper", "--unit", "mm"], "--unit is for a number");
    refused(&["--loss", "mean-squared-error"], "--number names one");
    refused(&["--loss", "mean-squared-error", "--labels", "width"], "--number names its column");
    refused(&["--number", "width"], "--loss mean-squared-error");
    let table = data.join("labels.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, text.replace("train-001.png,1,", "train-001.png,yes,")).unwrap();
    refused(&["--loss", "binary", "--labels", "upper"], "line 3: \"upper\" is \"yes\"");
    std::fs::write(&table, text.replace(",0,1,", ",0,0,").replace(",1,1,", ",1,0,")).unwrap();
    refused(&["--loss", "binary", "--labels", "lower"], "\"lower\" holds for 0");
    std::fs::remove_file(&table).unwrap();
    refused(&["--loss", "mean-squared-error"], "there is no labels.csv");
    assert!(!out.join("corners").join("1").exists());
}
