//! `train generate`, black box: a package that makes pictures, what is measured of it, and what is not written.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

const SIDE: u32 = 16;

/// Squares and discs of chance in colour, and pictures held out that are like them or unlike.
fn data(folder: &Path, alike: bool) -> PathBuf {
    let root = folder.join(if alike { "alike" } else { "unlike" });
    for (split, count) in [("train", 24), ("val", 10)] {
        for (label, round) in [("disc", true), ("square", false)] {
            let place = root.join(split).join(label);
            std::fs::create_dir_all(&place).unwrap();
            for number in 0..count {
                let (y, x) = if alike { (6 + number % 4, 6 + number / 4 % 4) } else { (7, 7) };
                let noisy = !alike && split == "val";
                let inside = |at: u32| {
                    let (down, across) = ((at / SIDE).abs_diff(y), (at % SIDE).abs_diff(x));
                    if round { down * down + across * across <= 16 } else { down.max(across) <= 4 }
                };
                let pixel = |at: u32| match (noisy, inside(at)) {
                    (true, _) => [0, 1, 2].map(|k| ((at * 7919 + k * 104_729 + number * 31) % 251) as u8),
                    (false, true) => [200, 60 + number as u8, 60],
                    (false, false) => [30, 30, 40],
                };
                let file = std::fs::File::create(place.join(format!("{number}.png"))).unwrap();
                let mut encoder = png::Encoder::new(file, SIDE, SIDE);
                encoder.set_color(png::ColorType::Rgb);
                let pixels: Vec<u8> = (0..SIDE * SIDE).flat_map(pixel).collect();
                encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
            }
        }
    }
    root
}

fn generate(data: &Path, out: &Path, further: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["generate", "--name", "shapes", "--size", "16", "--widths", "8,16", "--blocks", "1"]);
    command.args(["--embedding", "8", "--components", "12", "--batch-size", "8", "--steps", "4"]);
    command.args(["--measured", "8", "--classifier-steps", "4"]);
    command.arg("--data").arg(data).arg("--out").arg(out).args(further);
    command
}

fn error(output: Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_package_says_what_was_measured_and_the_same_seed_gives_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), true);
    let run = |out: &str| {
        let out = folder.path().join(out);
        let further = ["--epochs", "3", "--orientation", "any", "--most-memorised", "1", "--seed", "4"];
        let output = generate(&data, &out, &further).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let place = out.join("shapes/1");
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(place.join("manifest.json")).unwrap()).unwrap();
        (out, place, manifest)
    };
    let (out, place, manifest) = run("first");
    let metrics = &manifest["generation"]["metrics"];
    assert_eq!((&metrics["generated"], &metrics["measured_on"]), (&Value::from(16), &Value::from("val")));
    for share in ["trained_on_generated", "trained_on_real", "precision", "recall"] {
        assert!((0.0..=1.0).contains(&metrics[share].as_f64().unwrap()), "{share}: {metrics}");
    }
    assert!(metrics["frechet_distance"].as_f64().unwrap() >= 0.0);
    // Fifty real pictures of each label are not there.
    assert!(metrics["few"].is_null());
    let card = std::fs::read_to_string(place.join("README.md")).unwrap();
    assert!(card.contains("they show nobody") && card.contains("share of copies"), "{card}");
    assert!(place.join("plots/samples.png").is_file() && place.join("plots/learning-curve.svg").is_file());
    // A sheet an epoch, and nothing else left over.
    let sheets = std::fs::read_dir(out.join("shapes/.samples")).unwrap().count();
    assert_eq!(sheets, 3);
    assert!(!out.join("shapes/.checkpoint").exists());
    let (_, _, again) = run("second");
    assert_eq!(manifest["weights"]["sha256"], again["weights"]["sha256"]);
}

#[test]
fn a_model_that_has_learnt_by_heart_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    // All training pictures are nearly one; what is held out looks nothing like it.
    let data = data(folder.path(), false);
    let output = generate(&data, folder.path(), &["--epochs", "30", "--lr", "0.01"]).output().unwrap();
    let error = error(output);
    assert!(error.contains("No package was written"), "{error}");
    assert!(!folder.path().join("shapes/1").exists());
}

#[test]
fn an_interrupted_run_leaves_no_package_and_can_be_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), true);
    let epochs = ["--epochs", "400"];
    let mut command = generate(&data, folder.path(), &epochs);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let checkpoint = folder.path().join("shapes/.checkpoint/checkpoint.json");
    let patience = Instant::now() + Duration::from_secs(60);
    while !checkpoint.exists() {
        assert!(Instant::now() < patience, "no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let error = error(child.wait_with_output().unwrap());
    assert!(error.contains("--resume") && error.contains("no package was written"), "{error}");
    assert!(!folder.path().join("shapes/1").exists() && checkpoint.exists());
    // With other settings it is not gone on with.
    let other = generate(&data, folder.path(), &["--epochs", "401", "--resume"]).output().unwrap();
    assert!(self::error(other).contains("was made with other settings"));
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), true);
    let refused = |further: &[&str]| error(generate(&data, folder.path(), further).output().unwrap());
    for (further, words) in [
        (vec!["--patch", "5"], "squares of 5"),
        (vec!["--patch", "4", "--unlabelled", "2"], "--unlabelled"),
        (vec!["--guidance=-1"], "guidance"),
        (vec!["--noise-kept=1"], "noise_kept"),
        (vec!["--noise-anew=3"], "noise_anew"),
        (vec!["--epochs", "0"], "--epochs"),
        (vec!["--most-memorised", "1.5"], "--most-memorised"),
    ] {
        let error = refused(&further);
        assert!(error.contains(words), "{further:?}: {error}");
    }
}
