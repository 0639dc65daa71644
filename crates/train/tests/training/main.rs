//! `train`, black box: what it reads, that a seed decides everything, and that a run can be
//! stopped and gone on with.

mod adopt;
mod adopt_heads;
mod adopt_images;
mod adopt_onnx;
#[path = "../../../../fuzz/archives.rs"]
mod archives;
mod embed;
mod extract;
mod generate;
#[path = "../../../../fuzz/mutations.rs"]
mod mutations;
mod networks;
mod outputs;
mod own_data;
mod precision;
mod segment;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use serde_json::Value;

/// Side of the test's images.
const SIDE: usize = 12;

/// Images of label 0 are bright on the left, of label 1 on the right; the number shifts them.
fn pixels(label: usize, number: usize) -> Vec<u8> {
    let noise = |at: usize| (at * 31 + number * 17 + at * at * number) % 60;
    let bright = |at: usize| if (at % SIDE < SIDE / 2) == (label == 0) { 150 } else { 20 };
    (0..SIDE * SIDE).map(|at| (bright(at) + noise(at) + number % 7) as u8).collect()
}

fn archive(folder: &Path) -> PathBuf {
    let mut tensors = Vec::new();
    for (split, count) in [("train", 48), ("val", 16), ("test", 16)] {
        let images: Vec<u8> = (0..count).flat_map(|i| pixels(i % 2, i)).collect();
        let labels: Vec<u8> = (0..count).map(|i| (i % 2) as u8).collect();
        let images = Tensor::from_vec(images, (count, SIDE, SIDE), &Device::Cpu).unwrap();
        tensors.push((format!("{split}_images"), images));
        tensors
            .push((format!("{split}_labels"), Tensor::from_vec(labels, (count, 1), &Device::Cpu).unwrap()));
    }
    let file = folder.join("halves.npz");
    Tensor::write_npz(&tensors, &file).unwrap();
    file
}

fn image_folder(folder: &Path) -> PathBuf {
    let root = folder.join("images");
    for (split, count) in [("train", 48), ("val", 16)] {
        for number in 0..count {
            let label = number % 2;
            let place = root.join(split).join(["left", "right"][label]);
            std::fs::create_dir_all(&place).unwrap();
            let file = std::fs::File::create(place.join(format!("{number:03}.png"))).unwrap();
            let mut encoder = png::Encoder::new(file, SIDE as u32, SIDE as u32);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header().unwrap().write_image_data(&pixels(label, number)).unwrap();
        }
    }
    root
}

fn image_command(data: &Path, out: &Path, further: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["image", "--name", "halves", "--widths", "4,8", "--batch-size", "16", "--augment", "none"]);
    command.arg("--data").arg(data).arg("--out").arg(out).args(further);
    command
}

fn finished(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn manifest(out: &Path, name: &str, version: u64) -> Value {
    let file = out.join(name).join(version.to_string()).join("manifest.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn weights(out: &Path, version: u64) -> String {
    manifest(out, "halves", version)["weights"]["sha256"].as_str().unwrap().to_string()
}

#[test]
fn a_seed_decides_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (archive(folder.path()), folder.path().join("models"));
    for seed in ["5", "5", "6"] {
        finished(image_command(&data, &out, &["--epochs", "3", "--seed", seed]).output().unwrap());
    }
    assert_eq!(weights(&out, 1), weights(&out, 2));
    assert_ne!(weights(&out, 1), weights(&out, 3));
}

#[test]
fn both_architectures_learn_from_archives_and_folders_and_evaluate_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, images) = (archive(folder.path()), image_folder(folder.path()));
    let cnn = ["--arch", "cnn", "--layers", "conv4x3,pool2,flatten,dense8", "--epochs", "8", "--lr", "0.01"];
    for (place, (data, further)) in
        [(&archive, &cnn[..]), (&images, &cnn[..]), (&archive, &["--epochs", "8"])].into_iter().enumerate()
    {
        let out = folder.path().join(format!("models{place}"));
        let summary = finished(image_command(data, &out, further).output().unwrap());
        assert!(summary.contains("| val "), "{summary}");
        let manifest = manifest(&out, "halves", 1);
        assert_eq!(manifest["metrics"]["val"]["accuracy"], 1.0, "{manifest}");
        let package = out.join("halves").join("1");
        for file in ["README.md", "plots/learning-curve.svg", "plots/reliability.svg", "plots/roc.svg"] {
            assert!(package.join(file).metadata().unwrap().len() > 100, "{file}");
        }
        assert!(!out.join("halves").join(".checkpoint").exists());
    }
    let labels = &manifest(&folder.path().join("models1"), "halves", 1)["labels"];
    assert_eq!(labels, &serde_json::json!(["left", "right"]));
    let mut evaluate = Command::new(env!("CARGO_BIN_EXE_train"));
    evaluate.args(["evaluate", "--json", "--model"]).arg(folder.path().join("models0").join("halves"));
    let said = finished(evaluate.arg("--data").arg(&archive).output().unwrap());
    let said: Value = serde_json::from_str(&said).unwrap();
    let test = &manifest(&folder.path().join("models0"), "halves", 1)["metrics"]["test"];
    assert!(said.to_string().contains(&test["auc"].to_string()), "{said}\n{test}");
}

#[test]
fn a_report_shows_every_wrong_answer_with_its_picture_or_note_and_only_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive(folder.path());
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name).join("1/report.html"));
    finished(image_command(&data, folder.path(), &["--epochs", "1"]).output().unwrap());
    assert!(page("halves").is_err(), "nobody asked for it");

    // One epoch at next to no learning rate: some answers are wrong.
    let further = ["--epochs", "1", "--lr", "1e-6", "--version", "1", "--report"];
    finished(image_command(&data, folder.path(), &further).output().unwrap());
    let report = page("halves").unwrap();
    let confusion = &manifest(folder.path(), "halves", 1)["metrics"]["test"]["confusion"];
    let wrong = confusion[0][1].as_u64().unwrap() + confusion[1][0].as_u64().unwrap();
    assert!(wrong > 0, "{confusion}");
    assert_eq!(report.matches("data:image/png;base64,").count() as u64, wrong);
    assert_eq!(report.matches("<svg").count(), 3);
    assert!(report.contains(&format!("{wrong} of 16 answers are wrong")));

    let data = notes(folder.path());
    let further = ["--arch", "bag", "--report", "--version", "1"];
    finished(text_command(&data, folder.path(), &further).output().unwrap());
    let report = page("halves").unwrap();
    assert!(report.contains("<h2>Wrong, and how sure</h2>") && !report.contains("<img"), "{report}");
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (data, whole, halted) =
        (archive(folder.path()), folder.path().join("whole"), folder.path().join("halted"));
    let settings = ["--epochs", "150", "--keep-last"];
    let mut child = image_command(&data, &halted, &settings).stderr(Stdio::null()).spawn().unwrap();
    let checkpoint = halted.join("halves").join(".checkpoint");
    let start = Instant::now();
    while !checkpoint.exists() {
        assert!(start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success() && child.wait().unwrap().success());
    // What was reached so far is a package, and the way on is kept.
    let epochs = manifest(&halted, "halves", 1)["training"]["epochs"].as_u64().unwrap();
    assert!((1..150).contains(&epochs), "{epochs}");
    assert!(checkpoint.exists());

    let mut resumed = image_command(&data, &halted, &settings);
    finished(resumed.arg("--resume").output().unwrap());
    assert!(!checkpoint.exists());
    assert_eq!(manifest(&halted, "halves", 2)["training"]["epochs"], 150);
    finished(image_command(&data, &whole, &settings).output().unwrap());
    assert_eq!(weights(&halted, 2), weights(&whole, 1));
}

/// Ctrl-C while data is read, weights are learnt, likeness is fitted, bytes are measured or files are written, once or
/// twice: what the server would pick up is whole or not there.
#[test]
fn ctrl_c_in_any_phase_leaves_no_half_of_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive(folder.path());
    let start = Instant::now();
    finished(image_command(&data, &folder.path().join("whole"), &["--epochs", "3"]).output().unwrap());
    let whole = start.elapsed();
    let (mut none, mut some) = (0, 0);
    for part in 0..10u32 {
        let out = folder.path().join(format!("out{part}"));
        let mut child = image_command(&data, &out, &["--epochs", "3"]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * part / 10);
        for _ in 0..1 + part % 2 {
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            std::thread::sleep(Duration::from_millis(30));
        }
        child.wait().unwrap();
        let folder = out.join("halves").join("1");
        if folder.exists() {
            model::Package::read(&folder).unwrap();
            some += 1;
        } else {
            none += 1;
        }
        let found = if out.is_dir() { model::package::latest(&out).unwrap().len() } else { 0 };
        assert_eq!(found, usize::from(folder.exists()));
    }
    assert!(none + some == 10 && none > 0, "{none} without a package and {some} with one");
}

#[test]
fn data_that_does_not_fit_is_refused_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("no.npz");
    std::fs::write(&text, "this is no archive").unwrap();
    for data in [text, folder.path().join("absent")] {
        let output = image_command(&data, folder.path(), &[]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let name = data.file_name().unwrap().to_str().unwrap();
        assert!(!output.status.success() && error.contains(name), "{error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

/// Notes whose words decide, and a vital sign that decides where the words do not.
fn notes(folder: &Path) -> PathBuf {
    let rows = |count: usize, shift: usize| -> String {
        let row = |i: usize| {
            let (label, words) = match i % 3 {
                0 => ("heart", "chest pain and palpitations"),
                1 => ("skin", "itching rash on both arms"),
                _ => ("bone", "fall from a ladder, wrist pain"),
            };
            format!("\"{words}, day {}\",{},{label}\n", (i + shift) % 9, 20 + i % 60)
        };
        format!("note,age,label\n{}", (0..count).map(row).collect::<String>())
    };
    let data = folder.join("notes");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("train.csv"), rows(60, 0)).unwrap();
    std::fs::write(data.join("val.csv"), rows(24, 4)).unwrap();
    data
}

fn text_command(data: &Path, out: &Path, further: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(["text", "--name", "halves", "--embedding", "16", "--hidden", "16", "--batch-size", "8"]);
    command.args(["--vocabulary", "300"]).arg("--data").arg(data).arg("--out").arg(out).args(further);
    command
}

#[test]
fn every_text_architecture_learns_and_a_seed_decides() {
    let folder = tempfile::tempdir().unwrap();
    let data = notes(folder.path());
    for arch in ["bag", "lstm", "transformer"] {
        let out = folder.path().join(arch);
        for _ in 0..2 {
            finished(text_command(&data, &out, &["--arch", arch, "--lr", "0.01"]).output().unwrap());
        }
        assert_eq!(weights(&out, 1), weights(&out, 2), "{arch}");
        assert_eq!(manifest(&out, "halves", 1)["metrics"]["val"]["accuracy"], 1.0, "{arch}");
    }
}

/// Notes that say nothing, beside two fields: what counts is whether they are the same.
fn pairs(folder: &Path) -> PathBuf {
    let rows = |count: usize, known: bool| -> String {
        let row = |i: usize| {
            let (left, right) = (["no", "yes"][i % 2], ["no", "yes"][i / 2 % 2]);
            let label = if left == right { "same" } else { "other" };
            match known {
                true => format!("seen on day {},{left},{right},{label}\n", i % 5),
                false => format!("seen on day {},,,{label}\n", i % 5),
            }
        };
        format!("note,left,right,label\n{}", (0..count).map(row).collect::<String>())
    };
    let data = folder.join("pairs");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("train.csv"), rows(160, true)).unwrap();
    std::fs::write(data.join("val.csv"), rows(40, true)).unwrap();
    std::fs::write(data.join("test.csv"), rows(40, false)).unwrap();
    data
}

/// Whether two fields are the same is no sum of what each says by itself.
#[test]
fn trees_learn_what_a_sum_cannot_and_a_package_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (pairs(folder.path()), folder.path().join("models"));
    let labels = ["--labels", "same,other"];
    for further in [&["--trees", "0"][..], &[], &["--refit"], &["--trees", "20", "--refit"]] {
        finished(text_command(&data, &out, &[&labels[..], further].concat()).output().unwrap());
    }
    let accuracy =
        |version| manifest(&out, "halves", version)["metrics"]["val"]["accuracy"].as_f64().unwrap();
    let trees = |version| manifest(&out, "halves", version)["architecture"]["trees"]["trees"].clone();
    assert!(accuracy(1) < 0.8 && trees(1).is_null());
    for (version, number) in [(2, 150), (3, 150), (4, 20)] {
        assert_eq!(accuracy(version), 1.0);
        assert_eq!(trees(version), number);
        // Where both fields are missing nothing can be known, and no answer is given.
        let unknown = &manifest(&out, "halves", version)["metrics"]["test"];
        assert_eq!(unknown["abstained"], 1.0, "{unknown}");
    }
    let mut evaluate = Command::new(env!("CARGO_BIN_EXE_train"));
    evaluate.args(["evaluate", "--json", "--split", "val", "--model"]).arg(out.join("halves/2"));
    let said = finished(evaluate.arg("--data").arg(&data).output().unwrap());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["metrics"], manifest(&out, "halves", 2)["metrics"]["val"]);
    finished(text_command(&data, &out, &[&labels[..], &["--refit"]].concat()).output().unwrap());
    assert_eq!(weights(&out, 3), weights(&out, 5));
}

#[test]
fn auto_tells_what_it_tried_and_refit_says_so_in_the_card() {
    let folder = tempfile::tempdir().unwrap();
    let data = notes(folder.path());
    let out = folder.path().join("auto");
    finished(text_command(&data, &out, &["--arch", "auto", "--epochs", "4"]).output().unwrap());
    let card = std::fs::read_to_string(out.join("halves/1/README.md")).unwrap();
    for arch in ["| bag |", "| lstm |", "| transformer |"] {
        assert!(card.contains(arch), "{card}");
    }
    finished(text_command(&data, &out, &["--arch", "bag", "--refit"]).output().unwrap());
    let card = std::fs::read_to_string(out.join("halves/2/README.md")).unwrap();
    assert!(card.contains("## Fitted twice"), "{card}");
}

#[test]
fn what_no_package_can_hold_is_refused_before_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let (images, notes) = (archive(folder.path()), notes(folder.path()));
    let cost = folder.path().join("cost.json");
    std::fs::write(&cost, "[[0, 1], [1, 0]]").unwrap();
    let cost = cost.to_str().unwrap();
    let of_images: [(&[&str], &str); 7] = [
        (&["--lr", "0"], "--lr is 0"),
        (&["--label-smoothing", "1"], "--label-smoothing is 1"),
        (&["--abstain-share", "2"], "--abstain-share is 2"),
        (&["--mixup", "11"], "--mixup is 11"),
        (&["--mixup", "0.2"], "--augment none makes none"),
        (&["--dropout", "1.5"], "a dropout rate of 1.5"),
        (&["--version", "0"], "version \"0\""),
    ];
    let of_notes: [(&[&str], &str); 10] = [
        (&["--epochs", "0"], "--epochs is 0"),
        (&["--arch", "lstm", "--lr", "nan"], "--lr is NaN"),
        (&["--arch", "auto", "--heads", "3"], "3 heads do not divide a width of 16"),
        (&["--label-description", "lung=Lung"], "\"lung\", which is no label"),
        (&["--cost", cost], "--cost is for labels that are steps of a scale"),
        (&["--scale", "mine"], "tell their order with --labels"),
        (&["--labels", "skin,bone,heart", "--scale", "mine", "--cost", cost], "not a matrix of 3 x 3"),
        (&["--trees", "99999"], "--trees is 99999, not 4096 or fewer"),
        (&["--trees", "5", "--fields", "none"], "--trees is 5, but there is no field"),
        (&["--labels", "skin,bone"], "line 2: the label \"heart\""),
    ];
    let of_images = of_images.map(|(further, want)| (image_command(&images, folder.path(), further), want));
    let of_notes = of_notes.map(|(further, want)| (text_command(&notes, folder.path(), further), want));
    for (mut command, want) in of_images.into_iter().chain(of_notes) {
        let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(want), "{want}: {error}");
        assert!(!error.contains("panicked") && !error.contains("inverse penalty"), "{error}");
    }
    let mut misnamed = Command::new(env!("CARGO_BIN_EXE_train"));
    misnamed.args(["image", "--name", "Two Words", "--data"]).arg(&images).arg("--out").arg(folder.path());
    let error = String::from_utf8(misnamed.output().unwrap().stderr).unwrap();
    assert!(error.contains("\"Two Words\"") && !error.contains("epoch"), "{error}");
    assert!(!folder.path().join("halves").exists());
}

/// Notes of levels of urgency, named `levels`, from the most urgent on.
fn levels(folder: &Path, levels: &[&str]) -> PathBuf {
    let words =
        ["not breathing", "crushing chest pain", "broken wrist", "sore throat", "wants a certificate"];
    let rows = |count: usize| -> String {
        let row =
            |i: usize| format!("{} since {},{}\n", words[i % levels.len()], i % 7, levels[i % levels.len()]);
        format!("note,level\n{}", (0..count).map(row).collect::<String>())
    };
    let data = folder.join(levels.join("-"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("train.csv"), rows(60)).unwrap();
    std::fs::write(data.join("val.csv"), rows(20)).unwrap();
    data
}

#[test]
fn labels_that_are_steps_of_a_scale_are_measured_and_decided_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = levels(folder.path(), &["2", "3", "4", "5"]);
    let (out, column) = (folder.path().join("out"), ["--label-column", "level"]);
    let train = |data: &Path, further: &[&str]| {
        finished(text_command(data, &out, &[&column[..], further].concat()).output().unwrap())
    };
    let said = train(&numbers, &[]);
    let found = manifest(&out, "halves", 1);
    assert_eq!(found["ordinal"], serde_json::json!({"scale": "level"}));
    assert!(said.contains("weighted kappa") && said.contains("under-triage"), "{said}");
    assert_eq!(found["metrics"]["val"]["ordinal"]["quadratic_weighted_kappa"], 1.0);
    let card = |version: u64| {
        std::fs::read_to_string(out.join("halves").join(version.to_string()).join("README.md")).unwrap()
    };
    assert!(card(1).contains("label of highest probability"));

    assert!(!train(&numbers, &["--nominal"]).contains("kappa"));
    assert!(manifest(&out, "halves", 2)["ordinal"].is_null());

    // Words say no order by themselves: by name, high would come before low.
    let words = levels(folder.path(), &["high", "medium", "low"]);
    let cost = folder.path().join("cost.json");
    // To call anything but high costs more than any doubt is worth.
    std::fs::write(&cost, "[[0, 900, 900], [0, 900, 900], [0, 900, 900]]").unwrap();
    let order = ["--labels", "high,medium,low", "--scale", "mine", "--cost", cost.to_str().unwrap()];
    train(&words, &order);
    let found = manifest(&out, "halves", 3);
    assert_eq!(found["labels"], serde_json::json!(["high", "medium", "low"]));
    assert_eq!(found["ordinal"]["cost"][2][1], 900.0);
    let val = &found["metrics"]["val"];
    assert_eq!(val["sensitivity"]["high"], 1.0);
    assert_eq!(val["sensitivity"]["low"], 0.0);
    assert!(card(3).contains("label of least expected cost"));
}

#[test]
fn a_split_of_one_label_is_measured_as_far_as_it_can_be_and_an_empty_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = notes(folder.path());
    let val: String = (0..6).map(|i| format!("\"itching rash, day {i}\",30,skin\n")).collect();
    std::fs::write(data.join("val.csv"), format!("note,age,label\n{val}")).unwrap();
    std::fs::write(data.join("test.csv"), "note,age,label\n").unwrap();
    let out = folder.path().join("out");
    finished(text_command(&data, &out, &[]).output().unwrap());
    let found = manifest(&out, "halves", 1);
    assert!(found["metrics"]["val"]["auc"].is_null() && found["metrics"]["test"].is_null(), "{found}");
    assert_eq!(found["metrics"]["val"]["accuracy"], 1.0);
    // It can be read again, from within its folder too, and a set that has only `test` will do.
    let other = folder.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::rename(data.join("train.csv"), other.join("test.csv")).unwrap();
    let mut evaluate = Command::new(env!("CARGO_BIN_EXE_train"));
    evaluate.current_dir(&out).args(["evaluate", "--model", "halves", "--data"]).arg(&other);
    let said = finished(evaluate.output().unwrap());
    assert!(
        said.contains("halves, version 1") && said.contains("| test ") && said.contains("| skin "),
        "{said}"
    );
}

#[test]
fn ctrl_c_keeps_the_best_of_the_architectures_and_a_network_over_tokens_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = notes(folder.path());
    let stopped = |out: &Path, further: &[&str]| {
        let mut child = text_command(&data, out, further).stderr(Stdio::null()).spawn().unwrap();
        let checkpoint = out.join("halves").join(".lstm.checkpoint");
        let start = Instant::now();
        while !checkpoint.join("checkpoint.json").exists() {
            assert!(start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success() && child.wait().unwrap().success());
        assert!(checkpoint.exists());
    };
    let auto = folder.path().join("auto");
    stopped(&auto, &["--arch", "auto", "--epochs", "4000", "--patience", "0"]);
    let card = std::fs::read_to_string(auto.join("halves/1/README.md")).unwrap();
    assert!(card.contains("| bag |") && card.contains("## Stopped early"), "{card}");
    assert!(!card.contains("| transformer |"), "{card}");

    let (halted, whole) = (folder.path().join("halted"), folder.path().join("whole"));
    let settings = ["--arch", "lstm", "--epochs", "40", "--patience", "0"];
    stopped(&halted, &settings);
    finished(text_command(&data, &halted, &[&settings[..], &["--resume"]].concat()).output().unwrap());
    finished(text_command(&data, &whole, &settings).output().unwrap());
    assert_eq!(manifest(&halted, "halves", 2)["training"]["epochs"], 40);
    assert_eq!(weights(&halted, 2), weights(&whole, 1));
}

#[test]
fn archives_come_back() {
    come_back("npz", archives::npz);
}

#[test]
fn weights_of_others_come_back() {
    come_back("weights", archives::weights);
}

#[test]
fn tables_come_back() {
    come_back("table", archives::table);
}

fn come_back(target: &str, entry: fn(&[u8])) {
    mutations::come_back(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz"), target, entry);
}

#[test]
fn a_package_of_images_has_a_measure_of_likeness_and_can_be_given_one_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (archive(folder.path()), folder.path().join("models"));
    let further =
        ["--epochs", "2", "--modality", "cr,DX", "--body-part", "CHEST", "--oldest", "17", "--crop", "none"];
    finished(image_command(&data, &out, &further).output().unwrap());
    let whole = manifest(&out, "halves", 1);
    assert_eq!(whole["likeness"]["kind"], "training-pictures");
    assert_eq!(whole["likeness"]["measured_on"], "test");
    let auroc = whole["likeness"]["auroc"].as_f64().unwrap();
    // Turned, a half of one label is one of the other: some alterations are none here.
    assert!(auroc > 0.7, "{auroc}");
    let accepts = serde_json::json!({"modalities": ["CR", "DX"], "body_parts": ["CHEST"], "oldest": 17});
    assert_eq!((&whole["input"]["accepts"], &whole["input"]["crop"]), (&accepts, &"none".into()));
    let card = std::fs::read_to_string(out.join("halves/1/README.md")).unwrap();
    assert!(card.contains("unlike_training") && card.contains("none of CR, DX"), "{card}");

    finished(image_command(&data, &out, &["--epochs", "2", "--no-likeness"]).output().unwrap());
    assert!(manifest(&out, "halves", 2)["likeness"].is_null());
    let likeness = |model: &Path, data: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.arg("likeness").arg("--model").arg(model).arg("--data").arg(data).output().unwrap()
    };
    let told = finished(likeness(&out.join("halves"), &data));
    assert!(told.contains("unlike_training"), "{told}");
    let amended = manifest(&out, "halves", 2);
    assert_eq!(amended["likeness"], whole["likeness"]);
    assert_eq!(amended["weights"], whole["weights"]);
    assert!(std::fs::read_to_string(out.join("halves/2/README.md")).unwrap().contains("unlike_training"));

    let renamed = folder.path().join("others.npz");
    std::fs::copy(&data, &renamed).unwrap();
    let other = likeness(&out.join("halves"), &renamed);
    assert!(!other.status.success());
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(error.contains("not the data"), "{error}");
}
