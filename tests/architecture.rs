//! The house keeps its order: imports run downwards only, and each library stays in its rooms.
//!
//! A structure that is only written down decays. This test reads every source file, finds what
//! it uses of the crate and of the guarded libraries, and names each line that breaks a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use of the others.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "app",
        &["api", "config", "inference", "model", "nn", "recommend", "store", "telemetry", "text", "vision"],
    ),
    ("api", &["config", "inference", "model", "recommend", "store", "telemetry", "text", "vision"]),
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
    ("hyper", &["api", "app"]),
    ("hyper_rustls", &["telemetry"]),
    ("tower", &["api", "app"]),
    ("tower_http", &["api", "app"]),
    ("utoipa", &["api", "app"]),
    ("utoipa_axum", &["api", "app"]),
    ("utoipa_swagger_ui", &["api", "app"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_http", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
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

/// The text without its comments; lines stay where they are.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Every path of a tree such as `a::{b, c::{d, e}}`, over as many lines as it takes.
fn paths(tree: &str) -> Vec<Vec<&str>> {
    let mut path = Vec::new();
    let mut rest = tree.trim_start();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            let ends = parts(inside).into_iter().flat_map(paths);
            return ends.map(|end| [path.clone(), end].concat()).collect();
        }
        let name = identifier(rest);
        if name.is_empty() {
            return vec![path];
        }
        path.push(name);
        match rest[name.len()..].trim_start().strip_prefix("::") {
            Some(next) => rest = next.trim_start(),
            None => return vec![path],
        }
    }
}

/// What stands between the commas of the braces that `inside` is within, inner braces left whole.
fn parts(inside: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Where in `code` the name `word` begins a path.
fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inner = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(inner) && identifier(&code[*at..]) == word)
}

/// The modules that a file is: `["api", "middleware"]` for `api/middleware/mod.rs`.
fn modules(file: &Path) -> Vec<String> {
    let names = file.with_extension("");
    let names = names.components().map(|name| name.as_os_str().to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

/// The name that a path has in the crate's root, if it leads there from a file of this depth.
fn in_root<'a>(path: &[&'a str], depth: usize) -> Option<&'a str> {
    match path.iter().take_while(|name| **name == "super").count() {
        0 if path[0] == "crate" => path.get(1).copied(),
        // A module within the file takes one more, so what leads beyond the root is in it.
        up if up >= depth => path.get(up).copied(),
        _ => None,
    }
}

/// The rules a file breaks.
fn broken(file: &Path, text: &str) -> Vec<String> {
    let Some(room) = room(file) else { return Vec::new() };
    let rules: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let Some(allowed) = rules.get(room.as_str()) else {
        return vec![format!("src/{}: the room \"{room}\" has no rule", file.display())];
    };
    let code = code(text);
    let depth = modules(file).len();
    let mut broken = Vec::new();
    let mut say = |at: usize, what: String| {
        let line = code[..at].matches('\n').count() + 1;
        broken.push(format!("src/{}:{line}: {what}", file.display()));
    };
    for at in places(&code, "crate").chain(places(&code, "super")) {
        let paths = paths(&code[at..]);
        for used in paths.iter().filter_map(|path| in_root(path, depth)).collect::<BTreeSet<_>>() {
            if used != room && rules.contains_key(used) && !allowed.contains(&used) {
                say(at, format!("{room} uses {used}"));
            }
        }
    }
    for (library, rooms) in LIBRARIES.iter().filter(|(_, rooms)| !rooms.contains(&room.as_str())) {
        for at in places(&code, library) {
            let imported = code[..at].trim_end().ends_with("use");
            if imported || code[at + library.len()..].trim_start().starts_with("::") {
                say(at, format!("{room} uses the library {library}, which belongs to {}", rooms.join(", ")));
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
    assert_eq!(
        seen("nn/conv.rs", "use crate::{\n    model::{Manifest, manifest::{Input, Task}},\n    api,\n};"),
        2
    );
    assert_eq!(seen("nn/conv.rs", "use super::super::api::Problem;"), 1);
    assert_eq!(seen("nn/conv.rs", "use super::{linear, super::{api, model}};"), 2);
    assert_eq!(seen("nn/mod.rs", "mod tests { use super::super::api; }"), 1);
    assert_eq!(seen("nn/conv.rs", "use super::api;"), 0);
    assert_eq!(seen("model/package.rs", "use axum;"), 1);
    assert_eq!(seen("inference/pool.rs", "use {std::fmt, tower_http::catch_panic, hyper::body};"), 2);
    assert_eq!(seen("store/mod.rs", "#[derive(utoipa_axum::Router)]"), 1);
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
