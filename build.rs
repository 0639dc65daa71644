//! Lists the migrations for `src/store/migrate.rs` and the console's files for `src/api/console.rs`, so that a new one
//! is a new file and nothing else.
//!
//! `sqlx::migrate!` would do the same, and with it both databases and their TLS would be built a second time,
//! for the compiler.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=web");
    let root = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let mut code = String::new();
    for database in ["postgres", "sqlite"] {
        let folder = Path::new(&root).join("migrations").join(database);
        let mut files: Vec<_> =
            fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
        files.sort();
        writeln!(code, "const {}: &[(&str, &str)] = &[", database.to_uppercase()).expect("a string");
        for file in files {
            let name = file.file_stem().expect("a name").display();
            let file = place(Path::new(&root), &file);
            writeln!(code, "    (\"{name}\", include_str!({file})),").expect("a string");
        }
        code.push_str("];\n");
    }
    let out = env::var("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&out).join("migrations.rs"), code).expect("a list of migrations");
    let console = console(Path::new(&root));
    fs::write(Path::new(&out).join("console.rs"), console).expect("a list of the console's files");
}

/// Where a file is, in code that is the same in whatever folder this is built: so is the program then.
fn place(root: &Path, file: &Path) -> String {
    let within = file.strip_prefix(root).expect("a file below").display();
    format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{within}\")")
}

/// Every file below `web`, by its path there.
fn console(root: &Path) -> String {
    let web = root.join("web");
    let mut files = Vec::new();
    collect(&web, &mut files);
    files.sort();
    let mut code = String::from("const FILES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let name = file.strip_prefix(&web).expect("a file below").display().to_string();
        let file = place(root, &file);
        writeln!(code, "    ({name:?}, include_bytes!({file})),").expect("a string");
    }
    code + "];\n"
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
