//! Names' probabilities mean what they say: corrected when a tagger is made, and the same afterwards for a package that
//! was made before.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{finished, manifest};

/// Texts in which "iron" is a drug in so many of ten, and other words always are what they are.
fn texts(count: usize, of_ten: usize) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let drug = ["iron", "zoltrex", "abcidin"][number % 3];
        let text = format!("Patient {number} took {drug} and went home 😷.");
        let start = text.find(drug).unwrap();
        let is_name = number % 3 > 0 || number / 3 * 7 % 10 < of_ten;
        let names = match is_name {
            true => json!([{"start": start, "end": start + drug.len(), "label": "Drug"}]),
            false => json!([]),
        };
        writeln!(lines, "{}", json!({"text": text, "entities": names})).unwrap();
    }
    lines
}

fn corpus(folder: &Path) -> PathBuf {
    let data = folder.join("marked");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("train.jsonl"), texts(300, 9)).unwrap();
    std::fs::write(data.join("dev.jsonl"), texts(300, 6)).unwrap();
    data
}

fn train(command: &str, arguments: &[&str], data: &Path) -> Output {
    let mut train = Command::new(env!("CARGO_BIN_EXE_train"));
    train.arg(command).args(arguments).arg("--data").arg(data).output().unwrap()
}

fn amend(file: &Path, change: impl Fn(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(file, value.to_string()).unwrap();
}

#[test]
fn probabilities_of_names_are_corrected_when_a_tagger_is_made_and_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (corpus(folder.path()), folder.path().join("models"));
    let of = ["--name", "drugs", "--out", out.to_str().unwrap(), "--iterations", "30"];
    for (version, refit) in [(1, None), (2, Some("--refit"))] {
        let arguments: Vec<&str> = of.iter().copied().chain(refit).collect();
        finished(train("extract", &arguments, &data));
        let made = manifest(&out, "drugs", version);
        let names = made["calibration"]["names"].as_array().unwrap();
        assert_eq!(names.len(), 1);
        // Training promised nine of ten where there are six.
        assert!(made["metrics"]["dev"]["ece"].as_f64().unwrap() < 0.05, "{made}");
        let package = out.join("drugs").join(version.to_string());
        let card = std::fs::read_to_string(package.join("README.md")).unwrap();
        assert!(card.contains("corrected by how often names were right"), "{card}");

        // As a package was before that.
        let file = package.join("manifest.json");
        amend(&file, |m| {
            m["calibration"].as_object_mut().unwrap().remove("names");
            m["metrics"]["dev"]["ece"] = json!(0.4321);
        });
        let line = card.lines().find(|line| line.starts_with("Expected")).unwrap();
        let paragraph = card.lines().find(|line| line.starts_with("Probabilities of names")).unwrap();
        let old = card
            .replace(line, "Expected calibration error of the names' probabilities, over 15 bins: 0.4321.");
        std::fs::write(package.join("README.md"), old.replace(&format!("{paragraph}\n\n"), "")).unwrap();
        let said = train("calibrate", &["--model", package.to_str().unwrap()], &data);
        let told = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(finished(said).contains("`Drug`"), "{told}");
        assert_eq!(told.contains("training texts alone"), refit.is_some(), "{told}");
        let figures: Vec<f64> =
            told.split_whitespace().filter_map(|word| word.trim_end_matches(',').parse().ok()).collect();
        assert!(matches!(figures[..], [before, after] if before > 0.05 && after < 0.05), "{told}");
        assert_eq!(manifest(&out, "drugs", version), made);
        assert_eq!(std::fs::read_to_string(package.join("README.md")).unwrap(), card);
    }
    // Other data are refused, and so are several folders of another kind of package.
    std::fs::write(data.join("dev.jsonl"), texts(30, 6)).unwrap();
    let said = train("calibrate", &["--model", out.join("drugs").to_str().unwrap()], &data);
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && told.contains("marked/dev.jsonl is missing or another"), "{told}");
}

/// Texts in which a drug is tied to an effect in so many of ten.
fn pairs(count: usize, of_ten: usize) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let (drug, effect) = (["zoltrex", "abcidin"][number % 2], ["rash", "tremor"][number / 2 % 2]);
        let text = format!("Patient {number} took {drug} and had {effect}.");
        let entity = |id: &str, name: &str, label: &str| {
            let start = text.find(name).unwrap();
            json!({"id": id, "start": start, "end": start + name.len(), "label": label})
        };
        let entities = [entity("d", drug, "Drug"), entity("e", effect, "Effect")];
        let tied = number / 4 * 7 % 10 < of_ten;
        let relations = [json!({"from": "d", "to": "e", "label": "adverse_effect"})];
        let relations = &relations[..usize::from(tied)];
        writeln!(lines, "{}", json!({"text": text, "entities": entities, "relations": relations})).unwrap();
    }
    lines
}

#[test]
fn probabilities_of_relations_are_corrected_by_pairs_of_right_names() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("tied"), folder.path().join("models"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("train.jsonl"), pairs(400, 9)).unwrap();
    std::fs::write(data.join("dev.jsonl"), pairs(400, 6)).unwrap();
    let said =
        train("extract", &["--name", "tied", "--out", out.to_str().unwrap(), "--iterations", "30"], &data);
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    finished(said);
    let line = told.lines().find(|line| line.starts_with("adverse_effect, both names right")).unwrap();
    let figures: Vec<f64> =
        line.split_whitespace().filter_map(|word| word.trim_end_matches(',').parse().ok()).collect();
    // Training promised nine of ten where there are six.
    assert!(matches!(figures[..], [before, after] if before > 0.2 && after < 0.1), "{told}");
    let made = manifest(&out, "tied", 1);
    assert_eq!(made["calibration"]["relations"].as_array().unwrap().len(), 1, "{made}");
    let card = std::fs::read_to_string(out.join("tied/1/README.md")).unwrap();
    assert!(card.contains("Probabilities of relations are corrected alike"), "{card}");
    // The same from the package afterwards.
    let package = out.join("tied/1");
    amend(&package.join("manifest.json"), |m| {
        m["calibration"].as_object_mut().unwrap().remove("relations");
    });
    finished(train("calibrate", &["--model", package.to_str().unwrap()], &data));
    assert_eq!(manifest(&out, "tied", 1), made);
}
