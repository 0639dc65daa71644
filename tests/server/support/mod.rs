//! What the black-box tests share: the real server program on a random port, and packages made
//! for one test.

pub mod postgres;
pub mod tls;
pub mod wire;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The shipped model packages.
pub fn shipped_models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// The entry of `--api-keys` for a key.
pub fn api_key(name: &str, scopes: &str, key: &str) -> String {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(key);
    format!("{name}:{scopes}:{}", hex::encode(digest))
}

/// A running server, ended when dropped.
pub struct Server {
    child: Child,
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub url: String,
    log: Arc<Mutex<String>>,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    folder: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts the server over `models` with further arguments and a database of its own, and
    /// waits until it listens.
    pub fn start(models: &Path, arguments: &[&str]) -> Server {
        Server::start_with(models, arguments, &[])
    }

    /// As [`Server::start`], with these variables of the environment.
    pub fn start_with(models: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite://{}", folder.path().join("test.db").display());
        let mut server = Server::begin(&database, models, arguments, variables);
        server.folder = Some(folder);
        server
    }

    /// As [`Server::start`], over a database of the caller's.
    pub fn start_over(database: &str, models: &Path, arguments: &[&str]) -> Server {
        Server::begin(database, models, arguments, &[])
    }

    fn begin(database: &str, models: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_medserve"))
            .env("MEDSERVE_LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .args(["serve", "--models-dir"])
            .arg(models)
            .args(["--database-url", database])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let sink = log.clone();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|n| n > 0) {
                sink.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        let url = first.split_whitespace().find(|word| word.starts_with("http"));
        let url = url
            .unwrap_or_else(|| panic!("no address in {first:?}; log: {}", log.lock().unwrap()))
            .to_string();
        let said = Arc::new(Mutex::new(first));
        let more = said.clone();
        // The pipe stays open: a server that writes to a closed one would fail.
        std::thread::spawn(move || {
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|n| n > 0) {
                more.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        Server { child, url, log, said, reader: Some(reader), folder: None }
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What was logged so far. Lines are written some milliseconds after what they are about: it waits for those, lest a test
    /// that looks for what must not be there looks too early.
    pub fn log(&self) -> String {
        std::thread::sleep(Duration::from_millis(25));
        self.log.lock().unwrap().clone()
    }

    /// What was written to standard output so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to end (SIGTERM) and waits for its exit status and whole log.
    pub fn terminate(self) -> (Option<i32>, String) {
        let done = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().unwrap();
        assert!(done.success());
        self.wait()
    }

    /// Waits for the server's end, its exit status and whole log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status.code(), self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies the shipped model `name` into `folder`, for a test to break.
pub fn copy_model(name: &str, folder: &Path) -> PathBuf {
    let (from, to) = (shipped_models().join(name).join("1"), folder.join(name).join("1"));
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    to
}

/// Waits until the log says these words, which are written a moment after what they are about.
pub async fn logged(server: &Server, words: &str) {
    until(words, async || server.log().contains(words).then_some(())).await;
}

/// What is found in the end, asked for again and again: rows of the audit, for one, are written beside the answers.
pub async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(90), "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
