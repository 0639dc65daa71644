//! The numbers that the README gives of the models are those of their manifests, of the version that is served.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::shipped_models;

const README: &str = include_str!("../../README.md");

/// The manifest of the highest version of each shipped model.
fn manifests() -> BTreeMap<String, Value> {
    let folders = |path: &std::path::Path| -> Vec<String> {
        let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    };
    let read = |name: String| {
        let versions = folders(&shipped_models().join(&name));
        let last = versions.iter().filter_map(|one| one.parse::<u32>().ok()).max()?;
        let file = shipped_models().join(&name).join(last.to_string()).join("manifest.json");
        Some((name, serde_json::from_slice(&std::fs::read(file).ok()?).unwrap()))
    };
    folders(&shipped_models()).into_iter().filter_map(read).collect()
}

/// Every number in a value, and of answers by truth the accuracy of the commonest label.
fn numbers(value: &Value, found: &mut Vec<f64>) {
    match value {
        Value::Number(number) => found.extend(number.as_f64()),
        Value::Array(all) => all.iter().for_each(|one| numbers(one, found)),
        Value::Object(members) => {
            members.values().for_each(|one| numbers(one, found));
            let rows = members.get("confusion").and_then(Value::as_array).into_iter().flatten();
            let sum = |row: &Value| row.as_array().unwrap().iter().filter_map(Value::as_f64).sum::<f64>();
            let rows: Vec<f64> = rows.map(sum).collect();
            if !rows.is_empty() {
                found.push(rows.iter().copied().fold(0.0, f64::max) / rows.iter().sum::<f64>());
                found.extend(rows);
            }
        }
        _ => {}
    }
}

/// The decimals of a text, but for those that no manifest has.
fn decimals(text: &str) -> Vec<String> {
    let text = text.replace("average precision 0.", "").replace("IoU of 0.5", "");
    text.split(|character: char| !(character.is_ascii_digit() || character == '.'))
        .map(|word| word.trim_end_matches('.').to_string())
        .filter(|word| word.contains('.') && word.parse::<f64>().is_ok())
        .collect()
}

/// The shown decimals that none of the numbers rounds to.
fn strangers(shown: &[String], numbers: &[f64]) -> Vec<String> {
    let fits = |text: &str| {
        let digits = text.len() - text.find('.').unwrap() - 1;
        numbers.iter().any(|number| format!("{number:.digits$}") == text)
    };
    shown.iter().filter(|text| !fits(text)).cloned().collect()
}

#[test]
fn the_readme_tells_what_the_manifests_hold() {
    let manifests = manifests();
    // Each model's part of the README: from its name with its version in a row or a sentence to the next one's.
    let (_, section) = README.split_once("## The models").unwrap();
    let (section, _) = section.split_once("Both splits of").unwrap();
    let mut of: Option<&Value> = None;
    let mut told = 0;
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        let first = line.split('|').nth(1).unwrap().trim();
        if let Some((name, version)) = first.strip_prefix('`').and_then(|rest| rest.split_once("` ")) {
            let manifest = &manifests[name];
            assert_eq!(manifest["version"], version, "{name}");
            of = Some(manifest);
        }
        let shown = decimals(line);
        let Some(manifest) = of.filter(|_| !shown.is_empty()) else { continue };
        let splits: Vec<Vec<f64>> = manifest["metrics"]
            .as_object()
            .unwrap()
            .values()
            .map(|split| {
                let mut found = Vec::new();
                numbers(split, &mut found);
                found
            })
            .collect();
        // All of a row is of one split.
        let best = splits.iter().map(|split| strangers(&shown, split)).min_by_key(Vec::len).unwrap();
        assert!(best.is_empty(), "{}: {best:?} are in no split of the manifest: {line}", manifest["name"]);
        told += 1;
    }
    assert!(told >= 13, "{told} rows");
    let prose: Vec<&str> = section.lines().filter(|line| !line.starts_with('|')).collect();
    let prose = prose.join(" ");
    for (name, manifest) in &manifests {
        let version = manifest["version"].as_str().unwrap();
        for (_, after) in
            prose.match_indices(&format!("`{name}` ")).map(|(at, own)| prose[at..].split_at(own.len()))
        {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            if digits.is_empty() {
                continue;
            }
            assert_eq!(digits, version, "{name}");
            let part = after.split('`').next().unwrap();
            let mut found = Vec::new();
            numbers(manifest, &mut found);
            let strangers = strangers(&decimals(part), &found);
            assert!(strangers.is_empty(), "{name}: {strangers:?} are not in the manifest: {part}");
        }
    }
}
