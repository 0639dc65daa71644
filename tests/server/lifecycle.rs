//! The server's life, black box: what it refuses to start with, how it starts, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::{Server, shipped_models};

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
        "unknown setting \"quue\"",
        "neighbours",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(!database.exists());
}

/// A variable that was misspelt is no silence; what an orchestrator sets for a service of this name stops nothing.
#[test]
fn a_variable_that_is_nearly_a_setting_ends_the_start() {
    let slips = [("MEDSERVE_APIKEYS", "MEDSERVE_API_KEYS"), ("MEDSERVE_MODEL_KEY", "MEDSERVE_MODEL_KEYS")];
    let output = run(&["--max-batch", "many"], &slips.map(|(slip, _)| (slip, "hunter2")));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--max-batch") && !said.contains("hunter2"), "{said}");
    for (slip, meant) in slips {
        assert!(said.contains(&format!("{slip} is no setting; {meant} is one")), "{said}");
    }
    // Every command is told of it.
    let program = || Command::new(env!("CARGO_BIN_EXE_medserve"));
    let settings = program().arg("settings").env("MEDSERVE_AUDIT_KEYFILE", "key").output().unwrap();
    assert!(!settings.status.success());
    for (name, value) in [
        ("MEDSERVE_SERVICE_HOST", "10.0.0.1"),
        ("MEDSERVE_PORT", "tcp://10.0.0.1:80"),
        ("MEDSERVE_PORT_80_TCP", ""),
    ] {
        assert!(program().arg("settings").env(name, value).output().unwrap().status.success(), "{name}");
    }
    let models = tempfile::tempdir().unwrap();
    let variables = [("MEDSERVE_PORT_8080_TCP_ADDR", "10.0.0.1"), ("MEDSERVE_IMAGE_NAME", "hunter2")];
    let (_, log) = Server::start_with(models.path(), &[], &variables).terminate();
    assert!(log.contains("MEDSERVE_IMAGE_NAME is no setting"), "{log}");
    assert!(!log.contains("8080_TCP") && !log.contains("hunter2"), "{log}");
}

#[test]
fn without_identity_the_log_says_so() {
    let models = tempfile::tempdir().unwrap();
    let (_, log) = Server::start(models.path(), &[]).terminate();
    assert!(log.contains("no identity is configured"), "{log}");
    let open = Server::start(models.path(), &["--listen", "0.0.0.0:0", "--allow-anonymous"]);
    until_logged(&open, "no identity is configured");
}

const NOTE: &str = r#"{"model":"triage","records":[{"note":"chest pain"}]}"#;

/// A request that has arrived but for the last byte of its body.
fn almost(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "POST /v1/notes/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        NOTE.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&NOTE.as_bytes()[..NOTE.len() - 1]).unwrap();
    stream
}

fn signal(server: &Server) {
    assert!(Command::new("kill").args(["-TERM", &server.pid().to_string()]).status().unwrap().success());
}

/// Waits until the log says these words.
fn until_logged(server: &Server, words: &str) {
    for _ in 0..600 {
        if server.log().contains(words) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{words:?} is not in {}", server.log());
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_new_is_begun() {
    let server = Server::start(&shipped_models(), &["--shutdown-timeout-ms", "60000"]);
    assert_eq!(reqwest::get(server.at("/health/startup")).await.unwrap().status(), 200);
    let mut stream = almost(&server);
    // The server has begun to read it once a later connection was answered.
    assert_eq!(reqwest::get(server.at("/health/ready")).await.unwrap().status(), 200);
    signal(&server);
    until_logged(&server, "stopping");
    stream.write_all(&NOTE.as_bytes()[NOTE.len() - 1..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let address = server.url.trim_start_matches("http://").to_string();
    let (status, log) = server.wait();
    assert_eq!(status, Some(0), "{log}");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn work_that_takes_too_long_is_cut_off_at_the_end() {
    let server = Server::start(&shipped_models(), &["--shutdown-timeout-ms", "200"]);
    let _stream = almost(&server);
    let (status, log) = server.terminate();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = Server::start(&shipped_models(), &["--shutdown-timeout-ms", "3600000"]);
    let _stream = almost(&server);
    signal(&server);
    until_logged(&server, "stopping");
    signal(&server);
    let (status, log) = server.wait();
    assert_eq!(status, Some(1), "{log}");
}
