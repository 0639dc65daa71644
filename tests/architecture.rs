//! The house keeps its order: imports run downwards only, and each library stays in its rooms.
//!
//! A structure that is only written down decays. This test reads every source file, finds what
//! it uses of the crate and of the guarded libraries, and names each line that breaks a rule.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use of the others.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "app",
        &["api", "config", "inference", "model", "nn", "recommend", "store", "telemetry", "text", "vision"],
    ),
    ("api", &["config", "inference", "model", "recommend", "store", "text", "vision"]),
    ("inference", &["config", "model", "nn", "text", "vision"]),
    ("store", &["config", "recommend"]),
    ("recommend", &[]),
    ("train", &["model", "nn", "recommend", "text", "vision"]),
    ("vision", &["model", "nn"]),
    ("text", &["model", "nn"]),
    ("model", &["nn"]),
    ("nn", &[]),
    ("config", &[]),
    ("telemetry", &["config"]),
];

/// The rooms that may use each library.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("axum", &["api", "app"]),
    ("utoipa", &["api", "app"]),
    ("sqlx", &["store"]),
    ("candle_core", &["nn", "model", "vision", "text", "inference", "train"]),
    ("candle_nn", &["nn", "model", "vision", "text", "inference", "train"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The room a file lies in; `None` for the crate's root and its programs.
fn room(file: &Path) -> Option<String> {
    let first = file.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_string();
    (!["lib", "main", "bin"].contains(&first.as_str())).then_some(first)
}

/// Every name that follows `prefix` in a line, the braces of `use prefix{a, b::c}` opened.
fn names_after(line: &str, prefix: &str) -> Vec<String> {
    let identifier =
        |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, _) in line.match_indices(prefix) {
        let bounded = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &line[at + prefix.len()..];
        if !bounded {
            continue;
        }
        match rest.strip_prefix('{') {
            Some(inside) => names.extend(inside.split(',').map(|part| identifier(part.trim()))),
            None => names.push(identifier(rest)),
        }
    }
    names
}

/// The rules a file breaks.
fn broken(file: &Path, text: &str) -> Vec<String> {
    let Some(room) = room(file) else { return Vec::new() };
    let rules: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let Some(allowed) = rules.get(room.as_str()) else {
        return vec![format!("src/{}: the room \"{room}\" has no rule", file.display())];
    };
    let mut broken = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let mut say = |what: String| broken.push(format!("src/{}:{}: {what}", file.display(), number + 1));
        for used in names_after(code, "crate::") {
            if used != room && rules.contains_key(used.as_str()) && !allowed.contains(&used.as_str()) {
                say(format!("{room} uses {used}"));
            }
        }
        for (library, rooms) in LIBRARIES {
            let named = !names_after(code, &format!("{library}::")).is_empty()
                || code.trim() == format!("use {library};");
            if named && !rooms.contains(&room.as_str()) {
                say(format!("{room} uses the library {library}"));
            }
        }
    }
    broken
}

#[test]
fn imports_run_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "only {} sources were found", files.len());
    let broken: Vec<String> = files
        .iter()
        .flat_map(|file| broken(file.strip_prefix(&root).unwrap(), &fs::read_to_string(file).unwrap()))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_broken_rule_is_seen() {
    let seen = |file: &str, text: &str| broken(Path::new(file), text).len();
    assert_eq!(seen("nn/conv.rs", "use crate::api::Problem;"), 1);
    assert_eq!(seen("nn/conv.rs", "use crate::{model::Manifest, api};"), 2);
    assert_eq!(seen("vision/decode.rs", "fn f() -> axum::Json<u8> {"), 1);
    assert_eq!(seen("recommend/data.rs", "let x = crate::store::open();"), 1);
    assert_eq!(seen("vision/decode.rs", "use crate::nn::Params; // not crate::api"), 0);
    assert_eq!(seen("api/images.rs", "use axum::Json;"), 0);
    assert_eq!(seen("attic/new.rs", ""), 1);
}

/// `unsafe` stays in the kernels, each use with its reason.
#[test]
fn unsafe_code_lies_in_kernels_and_says_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe {") && !code.contains("unsafe fn") && !code.contains("unsafe impl") {
                continue;
            }
            let place = format!("{}:{}", file.display(), number + 1);
            assert!(
                room(file.strip_prefix(&root).unwrap()).as_deref() == Some("nn"),
                "{place}: unsafe outside nn"
            );
            let reasoned = lines[number.saturating_sub(8)..number]
                .iter()
                .any(|l| l.contains("SAFETY:") || l.contains("# Safety"));
            assert!(reasoned, "{place}: unsafe without its safety sentence");
        }
    }
}
