//! Lists the migrations for `src/store/migrate.rs`, so that a new one is a new file and nothing else.
//!
//! `sqlx::migrate!` would do the same, and with it both databases and their TLS would be built a second time,
//! for the compiler.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=migrations");
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
            writeln!(code, "    (\"{name}\", include_str!({:?})),", file.display().to_string())
                .expect("a string");
        }
        code.push_str("];\n");
    }
    let out = env::var("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&out).join("migrations.rs"), code).expect("a list of migrations");
}
