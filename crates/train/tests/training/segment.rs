//! `train segment` and `--from`, black box: what they read and what they refuse by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const SIDE: u32 = 32;

fn write(file: &Path, width: u32, height: u32, pixels: &[u8]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(file).unwrap(), width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}

/// Dark pictures with a bright disc at another place on each, and their masks.
fn discs(folder: &Path, kind: &str) -> PathBuf {
    let root = folder.join(kind);
    for (split, count) in [("train", 16), ("val", 4)] {
        for number in 0..count {
            let (y, x) = (10 + number % 4 * 4, 10 + number / 4 * 4);
            let inside = |at: u32| (at / SIDE).abs_diff(y).pow(2) + (at % SIDE).abs_diff(x).pow(2) <= 36;
            let pixels = |light: u8, dark: u8| -> Vec<u8> {
                (0..SIDE * SIDE).map(|at| if inside(at) { light } else { dark + (at % 7) as u8 }).collect()
            };
            let mask: Vec<u8> = (0..SIDE * SIDE).map(|at| u8::from(inside(at))).collect();
            write(
                &root.join(split).join("images").join(format!("{number}.png")),
                SIDE,
                SIDE,
                &pixels(200, 20),
            );
            write(&root.join(split).join(kind).join(format!("{number}.png")), SIDE, SIDE, &mask);
        }
    }
    root
}

fn segment(data: &Path, out: &Path, further: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["segment", "--name", "discs", "--labels", "disc", "--overlap", "8", "--stem", "small"]);
    command.args(["--batch-size", "4"]);
    let given = |option: &str| further.contains(&option);
    for (option, value) in [("--size", "32"), ("--widths", "8,16"), ("--augment", "none")] {
        if !given(option) {
            command.args([option, value]);
        }
    }
    command.arg("--data").arg(data).arg("--out").arg(out).args(further);
    command.output().unwrap()
}

fn error(output: Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn finished(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn discs_are_found_and_a_package_says_how_well() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, version) in [("masks", 1), ("instances", 2)] {
        let data = discs(folder.path(), kind);
        let printed = finished(segment(&data, folder.path(), &["--epochs", "25", "--lr", "0.01"]));
        assert!(printed.contains("| Dice"), "{printed}");
        let place = folder.path().join("discs").join(version.to_string());
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(place.join("manifest.json")).unwrap()).unwrap();
        let metrics = &manifest["segmentation"]["metrics"]["val"];
        assert!(metrics["dice"].as_f64().unwrap() > 0.9, "{kind}: {metrics}");
        assert_eq!(metrics["objects"].is_null(), kind == "masks");
        // What was measured after training is measured again.
        let mut again = Command::new(env!("CARGO_BIN_EXE_train"));
        again.args(["evaluate", "--split", "val", "--json", "--model"]).arg(&place).arg("--data").arg(&data);
        let again: Value = serde_json::from_str(&finished(again.output().unwrap())).unwrap();
        assert_eq!(&again["metrics"], metrics);
    }
    let started = segment(
        &folder.path().join("masks"),
        folder.path(),
        &["--epochs", "1", "--from", folder.path().join("discs/1").to_str().unwrap()],
    );
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(started.status.success() && said.contains("tensors are those of"), "{said}");
}

#[test]
fn what_cannot_be_trained_on_is_refused_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let data = discs(folder.path(), "masks");
    let refused = |further: &[&str], words: &str| {
        let said = error(segment(&data, &out, further));
        assert!(said.contains(words), "{words:?} is not in {said}");
    };
    refused(&["--size", "31"], "a multiple of 2");
    refused(&["--widths", "8"], "two or more");
    let mask = data.join("train/masks/3.png");
    let kept = std::fs::read(&mask).unwrap();
    write(&mask, SIDE, SIDE, &[7; (SIDE * SIDE) as usize]);
    refused(&[], "the number 7; labels are 0 to 1");
    write(&mask, SIDE, SIDE, &[255; (SIDE * SIDE) as usize]);
    refused(&[], "masks/3.png: the mask has the number 255");
    refused(&[], "where 255 stands for the label 1, write 1");
    let mut lossy = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut lossy, 90);
    encoder
        .encode(&[0; (SIDE * SIDE) as usize], SIDE as u16, SIDE as u16, jpeg_encoder::ColorType::Luma)
        .unwrap();
    std::fs::remove_file(&mask).unwrap();
    std::fs::write(mask.with_extension("jpg"), lossy).unwrap();
    refused(&[], "a mask is a PNG file");
    std::fs::remove_file(mask.with_extension("jpg")).unwrap();
    write(&mask, 8, 8, &[1; 64]);
    refused(&[], "a mask of 8 x 8 pixels for a picture of 32 x 32");
    std::fs::remove_file(&mask).unwrap();
    refused(&[], "3.png: there is no mask of this name");
    std::fs::write(&mask, &kept).unwrap();
    for number in 0..4 {
        write(&data.join(format!("val/masks/{number}.png")), SIDE, SIDE, &[0; (SIDE * SIDE) as usize]);
    }
    refused(&[], "nothing is marked in any mask of val");
    std::fs::remove_file(data.join("train/images/3.png")).unwrap();
    refused(&[], "there is no picture of this name");
    assert!(error(segment(folder.path(), &out, &[])).contains("neither train/masks nor train/instances"));
    assert!(!out.join("discs").join("1").exists());
}

#[test]
fn weights_of_another_shape_are_not_taken() {
    use candle_core::{DType, Device, Tensor};
    let folder = tempfile::tempdir().unwrap();
    let data = discs(folder.path(), "masks");
    let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let write = |name: &str, tensors: Vec<(&str, Tensor)>| {
        let file = folder.path().join(name);
        candle_core::safetensors::save(&tensors.into_iter().collect(), &file).unwrap();
        file
    };
    let from =
        |file: &Path| segment(&data, folder.path(), &["--epochs", "1", "--from", file.to_str().unwrap()]);
    let none =
        write("none.safetensors", vec![("conv1.weight", tensor(&[8, 2, 3, 3])), ("bn1.bias", tensor(&[9]))]);
    assert!(error(from(&none)).contains("none of its tensors fits this network"));
    assert!(!folder.path().join("discs").exists());
    let some =
        write("some.safetensors", vec![("conv1.weight", tensor(&[8, 2, 3, 3])), ("bn1.bias", tensor(&[8]))]);
    let started = from(&some);
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(started.status.success() && said.contains("1 of "), "{said}");
    assert!(said.contains("not used are conv1.weight") && said.contains("drawn anew are"), "{said}");
}

#[test]
fn the_last_step_at_full_size_is_the_default_and_limits_are_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let data = discs(folder.path(), "instances");
    for (version, further) in [(1u64, &[][..]), (2, &["--fine", "0"])] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.args(["segment", "--name", "discs", "--labels", "disc", "--overlap", "8", "--size", "32"]);
        command.args([
            "--widths",
            "8,16",
            "--epochs",
            "30",
            "--lr",
            "0.01",
            "--batch-size",
            "4",
            "--augment",
            "none",
        ]);
        command.arg("--data").arg(&data).arg("--out").arg(folder.path()).args(further);
        finished(command.output().unwrap());
        let file = folder.path().join("discs").join(version.to_string()).join("manifest.json");
        let manifest: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let fine = &manifest["architecture"]["fine"];
        match version {
            1 => assert_eq!(fine, &serde_json::json!({"skip": 16, "channels": 16})),
            _ => assert!(fine.is_null()),
        }
        let instances = &manifest["segmentation"]["instances"];
        assert!(instances["seed"].as_f64().unwrap() > 0.0 && instances["pixels"].as_u64().unwrap() >= 16);
        let metrics = &manifest["segmentation"]["metrics"]["val"];
        assert!(metrics["objects"]["f1"].as_f64().unwrap() > 0.5, "{fine}: {metrics}");
    }
}

#[test]
fn weights_that_would_have_something_run_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = discs(folder.path(), "masks");
    let file = folder.path().join("weights.pth");
    std::fs::write(&file, b"\x80\x02cposix\nsystem\nX\x0a\x00\x00\x00touch /tmp\x85R.").unwrap();
    let from = |file: &Path| segment(&data, folder.path(), &["--from", file.to_str().unwrap()]);
    assert!(error(from(&file)).contains("the file calls posix.system"));
    let cut = folder.path().join("cut.safetensors");
    std::fs::write(&cut, b"\x40\x00\x00\x00\x00\x00\x00\x00{\"a\":").unwrap();
    assert!(error(from(&cut)).contains("no safetensors file"));
    assert!(error(from(&folder.path().join("nothing"))).contains("nothing"));
}

#[test]
fn views_are_measured_and_a_finished_package_is_given_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = discs(folder.path(), "instances");
    let out = folder.path().join("out");
    finished(segment(
        &data,
        &out,
        &["--epochs", "12", "--lr", "0.01", "--augment", "light", "--orientation", "any"],
    ));
    let place = out.join("discs/1");
    let read = |name: &str| std::fs::read_to_string(place.join(name)).unwrap();
    let manifest = || serde_json::from_str::<Value>(&read("manifest.json")).unwrap();
    let card = read("README.md");
    for row in ["1 view ", "2 views", "4 views", "8 views"] {
        assert!(card.contains(&format!("| {row} ")), "{row} is not in {card}");
    }
    let chosen = manifest();

    let views = |data: &Path, further: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.args(["views", "--model"]).arg(out.join("discs")).arg("--data").arg(data).args(further);
        command.output().unwrap()
    };
    std::fs::write(place.join("README.md"), card.replace("## Plots", "## Commands\n\nmake it\n\n## Plots"))
        .unwrap();
    finished(views(&data, &["--views", "8"]));
    let eight = manifest();
    assert_eq!(eight["segmentation"]["views"], 8);
    assert_eq!(eight["weights"], chosen["weights"]);
    assert_ne!(eight["calibration"], manifest_of(&out, &data, &["--views", "1"])["calibration"]);
    assert!(read("README.md").contains("## Commands\n\nmake it\n"), "{}", read("README.md"));
    assert!(manifest()["segmentation"]["views"].is_null());
    // What the command wrote is measured again, and asked again it takes what training took.
    let mut again = Command::new(env!("CARGO_BIN_EXE_train"));
    again.args(["evaluate", "--split", "val", "--json", "--model"]).arg(&place).arg("--data").arg(&data);
    let again: Value = serde_json::from_str(&finished(again.output().unwrap())).unwrap();
    assert_eq!(again["metrics"], manifest()["segmentation"]["metrics"]["val"]);
    assert!(finished(views(&data, &[])).contains("| 8 views "));
    assert_eq!(manifest(), chosen);

    assert!(error(views(&data, &["--views", "3"])).contains("--views is 3"));
    let other = discs(folder.path(), "masks");
    assert!(error(views(&other, &[])).contains("is not the data"));
    finished(segment(&other, &out, &["--epochs", "1"]));
    assert!(error(views(&other, &["--views", "4"])).contains("the model has [1]"));
}

/// The manifest after `train views` with these options.
fn manifest_of(out: &Path, data: &Path, further: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["views", "--model"]).arg(out.join("discs/1")).arg("--data").arg(data).args(further);
    finished(command.output().unwrap());
    serde_json::from_slice(&std::fs::read(out.join("discs/1/manifest.json")).unwrap()).unwrap()
}
