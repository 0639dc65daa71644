//! A package is measured again on the rows that its training held out, and what is chosen within training is chosen on
//! people whom the fit has not seen.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::{finished, manifest, text_command};

/// One file: of each person four notes that say who they are, with a label by the person, which the notes do not tell.
fn people(folder: &Path, name: &str, people: usize) -> PathBuf {
    let row = |i: usize| {
        let person = i / 4;
        let label = ["well", "ill"][person * 7 % 11 % 2];
        format!(
            "\"seen as p{person}x{} again, day {}\",p{person},{},{label}\n",
            person * 31 % 97,
            i % 4,
            ["f", "m"][i % 2]
        )
    };
    let file = folder.join(name);
    std::fs::write(&file, format!("note,pid,sex,label\n{}", (0..4 * people).map(row).collect::<String>()))
        .unwrap();
    file
}

fn program(command: &str, model: &Path, data: &Path, further: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_train"));
    program.arg(command).arg("--model").arg(model).arg("--data").arg(data).args(further);
    program.env("RUST_BACKTRACE", "0").output().unwrap()
}

fn refused(output: Output, want: &str) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains(want), "{want}: {error}");
}

#[test]
fn one_file_is_parted_again_as_in_training() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (people(folder.path(), "all.csv", 100), folder.path().join("out"));
    let model = out.join("halves");
    let further = ["--group-by", "pid", "--seed", "3", "--trees", "0", "--field-dropout", "0", "--refit"];
    finished(text_command(&data, &out, &further).output().unwrap());
    finished(text_command(&data, &out, &further[..8]).output().unwrap());
    let made = manifest(&out, "halves", 2);
    let count = made["data"]["examples"]["val"].as_u64().unwrap();
    assert!((45..70).contains(&count), "{made}");
    // By another name it is the same file.
    let renamed = folder.path().join("renamed.csv");
    std::fs::copy(&data, &renamed).unwrap();
    for data in [&data, &renamed] {
        let said = finished(program("evaluate", &model, data, &["--split", "val", "--json"]));
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["metrics"], made["metrics"]["val"]);
    }
    refused(program("evaluate", &model, &data, &[]), "it has no split \"test\"");
    let groups = finished(program("groups", &model, &data, &[]));
    let sizes: u64 = groups
        .lines()
        .filter(|line| line.starts_with("| sex"))
        .map(|line| line.split('|').nth(2).unwrap().trim().parse::<u64>().unwrap())
        .sum();
    assert_eq!(sizes, count, "{groups}");
    finished(program("likeness", &model, &data, &[]));

    let other = people(folder.path(), "other.csv", 20);
    refused(program("evaluate", &model, &other, &["--split", "val"]), "--split test measures all of it");
    let said = finished(program("evaluate", &model, &other, &["--json"]));
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["metrics"]["examples"], 80);
    for command in ["groups", "likeness"] {
        refused(
            program(command, &model, &other, &[]),
            "is not the data that the model \"halves\" was trained on",
        );
    }
    // A package that does not say by what its rows were kept together is not measured on others.
    let file = out.join("halves/2/manifest.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"group_by\": \"pid\",", "")).unwrap();
    refused(program("evaluate", &model, &data, &["--split", "val"]), "cannot be parted as they were");
    // What was fitted again had the validation rows.
    let output = program("evaluate", &out.join("halves/1"), &data, &["--split", "val"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("fitted again on validation data"));
}

/// The label is of the person and nothing in the notes tells it, so whoever knows the person's other notes is right and
/// everybody else guesses.
#[test]
fn penalty_and_temperature_are_chosen_on_people_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (people(folder.path(), "all.csv", 40), folder.path().join("out"));
    let further = ["--group-by", "pid", "--fields", "none", "--epochs", "30"];
    finished(text_command(&data, &out, &further).output().unwrap());
    let made = manifest(&out, "halves", 1);
    let loss = made["training"]["settings"]["unseen_negative_log_likelihood"].as_f64().unwrap();
    assert!(loss > 0.6, "{loss}");
    let val = &made["metrics"]["val"];
    assert!(val["ece"].as_f64().unwrap() < 0.3, "{val}");
}

#[test]
fn a_name_is_trained_by_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (people(folder.path(), "all.csv", 20), folder.path().join("out"));
    let further = ["--group-by", "pid", "--fields", "none", "--inverse-penalty", "1", "--rarity", "false"];
    let held = train::lock::NameLock::take(&out.join("halves")).unwrap();
    refused(
        text_command(&data, &out, &further).output().unwrap(),
        "another training of this name is running",
    );
    drop(held);
    finished(text_command(&data, &out, &further).output().unwrap());
    assert!(!out.join("halves/.lock").exists());
    let output = text_command(&data, &out, &[&further[..], &["--version", "1"]].concat()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is there already: it is replaced"));
}
