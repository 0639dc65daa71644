//! The server's life, black box: what it refuses to start with, how it starts, and how it ends.

mod support;

use std::process::{Command, Output};

use support::Server;

/// Runs the program to its end, with nothing but `arguments` and `variables` configured.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medserve"));
    command.arg("serve").args(arguments).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn everything_wrong_is_said_at_once_and_nothing_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("medserve.toml");
    std::fs::write(&file, "quue = 3\n[recommendations]\nneighbours = 5\n").unwrap();
    let database = folder.path().join("never.db");
    let arguments = [
        "--config",
        file.to_str().unwrap(),
        "--listen",
        "0.0.0.0:0",
        "--database-url",
        &format!("sqlite://{}", database.display()),
        "--max-batch",
        "many",
    ];
    let output = run(&arguments, &[("MEDSERVE_ENGINES", "-1")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    for words in [
        "--listen (MEDSERVE_LISTEN) is \"0.0.0.0:0\"",
        "--allow-anonymous (MEDSERVE_ALLOW_ANONYMOUS)",
        "--max-batch (MEDSERVE_MAX_BATCH) is \"many\"",
        "--engines (MEDSERVE_ENGINES) is \"-1\"",
        "\"quue\" is not known",
        "neighbours",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(!database.exists());
}

#[test]
fn without_identity_the_log_says_so() {
    let models = tempfile::tempdir().unwrap();
    let (_, log) = Server::start(models.path(), &[]).terminate();
    assert!(log.contains("no identity is configured"), "{log}");
    let open = Server::start(models.path(), &["--listen", "0.0.0.0:0", "--allow-anonymous"]);
    assert!(open.log().contains("no identity is configured"));
}
