//! The migrations are compiled into the program, so a new one is a reason to compile it again.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
