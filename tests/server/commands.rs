//! What commands say to whoever mistypes them, and to a reader that has read enough.

use std::process::{Command, Stdio};

fn said(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_medserve")).args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_slip_is_told_with_what_is_accepted() {
    for (arguments, words) in [
        (&["--database-url", "sqlite://x.db", "restore", "file"][..], "options stand behind the command"),
        (
            &["health", "--address", "http://127.0.0.1:8080"],
            "an IP address and a port, such as 127.0.0.1:8080",
        ),
        (&["serve", "--hl7-charset", "klingon"], "it must be UTF-8 (or UNICODE UTF-8), ASCII"),
    ] {
        let said = said(arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn a_reader_that_goes_has_read_enough() {
    for command in ["openapi", "settings"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_medserve"))
            .arg(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.is_empty(), "{command}: {said}");
    }
}
