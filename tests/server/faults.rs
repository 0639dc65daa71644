//! When the database cannot be written, black box: a full disk, files that take no writes, a database
//! that is read-only, a right that was taken away. Writes are refused as problems that pass, reads and
//! models go on answering, and when there is room again writes work and no row of the audit is missing.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Server, api_key, postgres, shipped_models, until};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

const KEY: &str = "the key of these tests";

/// A server that knows an administrator, and how many notes it has answered.
struct Subject {
    server: Server,
    notes: usize,
    people: usize,
}

impl Subject {
    fn start(database: &str) -> Subject {
        let keys = api_key("root", "admin", KEY);
        let server = Server::start_over(database, &shipped_models(), &["--api-keys", &keys]);
        Subject { server, notes: 0, people: 0 }
    }

    async fn send(&self, request: RequestBuilder) -> Response {
        request.bearer_auth(KEY).send().await.unwrap()
    }

    /// Writes a person with much to say.
    async fn write(&mut self) -> Response {
        self.people += 1;
        let conditions: Vec<String> = (0..200).map(|n| format!("condition {n} of {}", self.people)).collect();
        let path = self.server.at(&format!("/v1/users/u{}", self.people));
        let body = json!({"profile": {"conditions": conditions}});
        self.send(Client::new().put(path).json(&body)).await
    }

    async fn reads_and_answers(&mut self) {
        let user = self.send(Client::new().get(self.server.at("/v1/users/u1"))).await;
        assert_eq!(user.status(), 200, "a read");
        let body = json!({"model": "triage", "records": [{"note": "chest pain"}]});
        let note = self.send(Client::new().post(self.server.at("/v1/notes/classify")).json(&body)).await;
        assert_eq!(note.status(), 200, "a model");
        self.notes += 1;
    }

    /// Writes until that is refused, as a problem that passes; reads go on.
    async fn takes_no_writes(&mut self) {
        for attempt in 0.. {
            let refused = self.write().await;
            let status = refused.status().as_u16();
            if status == 200 {
                assert!(attempt < 20_000, "there is room for ever");
                continue;
            }
            assert_eq!(refused.headers()["content-type"], "application/problem+json");
            let problem: Value = refused.json().await.unwrap();
            assert!([503, 507].contains(&status), "{problem}");
            break;
        }
        for _ in 0..3 {
            self.reads_and_answers().await;
            assert!([503, 507].contains(&self.write().await.status().as_u16()));
        }
    }

    /// Writes work again; nothing is missing in the audit, and it is in order.
    async fn takes_writes(&mut self) {
        for attempt in 0.. {
            if self.write().await.status() == 200 {
                break;
            }
            assert!(attempt < 1200, "writes are refused for ever: {}", self.server.log());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        self.reads_and_answers().await;
        let wanted = self.notes;
        until("all rows of the audit", async || {
            let mut found = 0;
            let mut before = String::new();
            loop {
                let path = self.server.at(&format!("/v1/audit?limit=1000{before}"));
                let page: Value = self.send(Client::new().get(path)).await.json().await.unwrap();
                let rows = page["rows"].as_array().unwrap();
                found += rows.iter().filter(|row| row["route"] == "/v1/notes/classify").count();
                match page["next"].as_i64() {
                    Some(next) => before = format!("&before={next}"),
                    None => return (found == wanted).then_some(()),
                }
            }
        })
        .await;
    }

    /// The server knows of it by itself.
    async fn says_so(&self) {
        until("the server to know", async || {
            let ready = reqwest::get(self.server.at("/health/ready?capability=write")).await.unwrap();
            (ready.status() == 503 || self.server.log().contains("no longer takes writes")).then_some(())
        })
        .await;
    }
}

fn in_order(database: &str) {
    let verified = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .args(["audit", "verify", "--database-url", database])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

fn done(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A file system of a few megabytes, gone with this value.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// None where these tests may not mount.
    fn new(megabytes: u32) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let disk = SmallDisk { folder };
        // Postgres is another user and comes through here.
        assert!(done("chmod", &["755", disk.folder.path().to_str().unwrap()]));
        std::fs::create_dir(disk.path()).unwrap();
        let size = format!("size={megabytes}m");
        if done("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", disk.path().to_str().unwrap()]) {
            return Some(disk);
        }
        eprintln!("\n!!! SKIPPED: no small file system can be mounted here, so no full disk was tested\n");
        None
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        for size in [1 << 16, 512, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        done("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

#[tokio::test]
async fn a_full_disk_under_sqlite_passes() {
    let Some(disk) = SmallDisk::new(24) else { return };
    let database = format!("sqlite://{}", disk.path().join("test.db").display());
    let mut subject = Subject::start(&database);
    assert_eq!(subject.write().await.status(), 200);
    subject.reads_and_answers().await;
    disk.fill();
    subject.takes_no_writes().await;
    subject.says_so().await;
    disk.make_room();
    subject.takes_writes().await;
    let (status, _) = subject.server.terminate();
    assert_eq!(status, Some(0));
    in_order(&database);
}

/// Two files to which nobody may write until this is dropped, so that they can be deleted.
struct Immutable([String; 2]);

impl Immutable {
    fn set(&self, flag: &str) -> bool {
        done("chattr", &[flag, &self.0[0], &self.0[1]])
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        self.set("-i");
    }
}

#[tokio::test]
async fn files_of_sqlite_that_take_no_writes_pass() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    let database = format!("sqlite://{}", file.display());
    let mut subject = Subject::start(&database);
    assert_eq!(subject.write().await.status(), 200);
    subject.reads_and_answers().await;
    let files = [file.to_str().unwrap().to_string(), format!("{}-wal", file.display())];
    let flag = Immutable(files);
    if !flag.set("+i") {
        eprintln!("\n!!! SKIPPED: files cannot be made immutable here, so none without writes were tested\n");
        return;
    }
    subject.takes_no_writes().await;
    // Connections that are opened meanwhile can only read.
    let url = subject.server.at("/v1/items?limit=1000");
    let read = || async { subject.send(Client::new().get(&url)).await.status().as_u16() };
    let read = futures::future::join_all((0..40).map(|_| read())).await;
    assert!(read.iter().all(|status| *status == 200), "{read:?}");
    subject.says_so().await;
    assert!(flag.set("-i"));
    subject.takes_writes().await;
    subject.server.terminate();
    in_order(&database);
}

/// A file that this account may read and not write: the start says so, and makes nothing up.
#[test]
fn a_file_of_sqlite_that_may_not_be_written_is_said_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    let database = format!("sqlite://{}", file.display());
    drop(Server::start_over(&database, &shipped_models(), &[]));
    for (path, mode) in [(folder.path(), "755"), (file.as_path(), "444")] {
        assert!(done("chmod", &[mode, path.to_str().unwrap()]));
    }
    let whole = std::fs::read(&file).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_medserve")).to_str().unwrap();
    let somebody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    if !done("setpriv", &[&somebody[..], &[program, "--version"]].concat()) {
        eprintln!("\n!!! SKIPPED: no other account can be taken here, so no missing right was tested\n");
        return;
    }
    // Were it to start all the same, it would not end.
    let output = Command::new("timeout")
        .args(["60", "setpriv"])
        .args(somebody)
        .args([program, "serve", "--listen", "127.0.0.1:0", "--database-url", &database])
        .env("MEDSERVE_MODELS_DIR", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("opening the database"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), whole);
}

/// Runs a statement as the cluster's owner on the database of this address.
async fn sql(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let done = connection.execute(AssertSqlSafe(statement.to_owned())).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The name of a database, and the address of the one from where others are changed.
fn around(url: &str) -> (String, String) {
    let (base, rest) = url.rsplit_once('/').unwrap();
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    (name.to_string(), format!("{base}/postgres?{query}"))
}

#[tokio::test]
async fn a_full_disk_under_postgres_passes() {
    let Some(database) = postgres::database().await else { return };
    let Some(disk) = SmallDisk::new(40) else { return };
    let (name, other) = around(&database.url);
    let place = disk.path().join("space");
    std::fs::create_dir(&place).unwrap();
    // The tests' own cluster runs as `postgres`; one that was given may run anywhere.
    let place = place.to_str().unwrap();
    if !done("chown", &["postgres", place]) || std::env::var("TEST_DATABASE_URL").is_ok() {
        eprintln!(
            "\n!!! SKIPPED: the test server cannot use a small file system, so no full disk was tested\n"
        );
        return;
    }
    let space = format!("space_of_{name}");
    sql(&other, &format!("CREATE TABLESPACE {space} LOCATION '{place}'")).await;
    sql(&other, &format!("ALTER DATABASE {name} SET TABLESPACE {space}")).await;
    let mut subject = Subject::start(&database.url);
    assert_eq!(subject.write().await.status(), 200);
    subject.reads_and_answers().await;
    disk.fill();
    subject.takes_no_writes().await;
    disk.make_room();
    subject.takes_writes().await;
    subject.server.terminate();
    in_order(&database.url);
    // Before its files go: the cluster would miss them at its next checkpoint.
    sql(&other, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    sql(&other, &format!("DROP TABLESPACE {space}")).await;
}

#[tokio::test]
async fn a_postgres_that_is_read_only_passes() {
    let Some(database) = postgres::database().await else { return };
    let (name, other) = around(&database.url);
    let mut subject = Subject::start(&database.url);
    assert_eq!(subject.write().await.status(), 200);
    for read_only in [true, false] {
        sql(&other, &format!("ALTER DATABASE {name} SET default_transaction_read_only = {read_only}")).await;
        // Sessions keep what they began with.
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        sql(&other, &end).await;
        match read_only {
            true => {
                // Until every connection is a new one, a read may meet an ended one.
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                subject.takes_no_writes().await;
                subject.says_so().await;
            }
            false => subject.takes_writes().await,
        }
    }
    subject.server.terminate();
    in_order(&database.url);
}

#[tokio::test]
async fn a_right_that_was_taken_away_in_postgres_passes() {
    let Some(database) = postgres::database().await else { return };
    let (name, _) = around(&database.url);
    // The owner applies the migrations.
    Subject::start(&database.url).server.terminate();
    let role = format!("server_of_{name}");
    let grants = format!(
        "CREATE ROLE {role} LOGIN;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    sql(&database.url, &grants).await;
    let (scheme, rest) = database.url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let mut subject = Subject::start(&format!("{scheme}://{role}@{place}"));
    assert_eq!(subject.write().await.status(), 200);
    sql(&database.url, &format!("REVOKE INSERT, UPDATE ON users FROM {role}")).await;
    subject.takes_no_writes().await;
    sql(&database.url, &format!("GRANT INSERT, UPDATE ON users TO {role}")).await;
    subject.takes_writes().await;
    subject.server.terminate();
    in_order(&database.url);
}

/// The log goes to a full disk, to somebody who does not read it, or to nobody any more: all else works, and the end comes.
#[tokio::test]
async fn a_log_that_nobody_takes_hinders_nothing() {
    for case in ["full", "unread", "gone"] {
        let (reader, writer) = std::io::pipe().unwrap();
        let unread = (case == "unread").then_some(reader);
        let log = match case {
            "full" => Stdio::from(File::options().write(true).open("/dev/full").unwrap()),
            _ => Stdio::from(writer),
        };
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_medserve"))
            .args(["serve", "--listen", "127.0.0.1:0", "--models-dir"])
            .arg(shipped_models())
            .args(["--database-url", &format!("sqlite://{}", folder.path().join("test.db").display())])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url = first.split_whitespace().find(|word| word.starts_with("http")).unwrap();
        let client = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        // More lines than a pipe holds.
        for _ in 0..600 {
            let answer = client.get(format!("{url}/health/live")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{case}");
        }
        let metrics = client.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
        let lost = metrics.lines().find_map(|line| line.strip_prefix("medserve_log_lines_lost_total "));
        assert_eq!(lost.unwrap() == "0", case == "unread", "{case}: {lost:?}");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        until("the end", async || child.try_wait().unwrap()).await;
        drop(unread);
    }
}
