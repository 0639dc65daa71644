//! Real Postgres for tests: a private, throwaway cluster, and a fresh database for each test.
//!
//! The store's promises (locks, concurrent commits, `COPY`) can only be tested against the real
//! program. The server is looked for in this order:
//!
//! 1. `TEST_DATABASE_URL`, a server on which the user may create databases;
//! 2. the installed binaries (`initdb` and `pg_ctl` on `PATH` or in `/usr/lib/postgresql/*/bin`),
//!    with which a cluster is started in a temporary directory on a random port of 127.0.0.1;
//! 3. otherwise the tests that need Postgres say loudly that they were skipped, or fail if
//!    `MEDSERVE_REQUIRE_POSTGRES=1`.
//!
//! One cluster serves a whole test binary. Rust does not run destructors of statics, so the
//! cluster is taken down by a small shell process that waits for the end of its standard input:
//! the kernel closes that pipe when the tests end, however they end, a panic or `kill -9` included.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The server shared by the tests of this binary.
struct Server {
    /// URL up to and without the database name, such as `postgres://postgres@127.0.0.1:5999`.
    base: String,
    /// What follows the database name in the URL, such as `?sslmode=disable`.
    query: String,
    /// The database to connect to in order to create others.
    maintenance: String,
    /// Whether databases must be dropped after use, because the server outlives the tests.
    shared: bool,
    /// Held open for the life of the process: its closing is what stops the cluster.
    _keep_alive: Option<Mutex<std::process::ChildStdin>>,
}

/// A database of one test, dropped with this value if the server outlives the tests.
pub struct TestDatabase {
    pub url: String,
    name: String,
}

/// A fresh, empty database, or `None` (after saying so) where there is no Postgres.
///
/// Panics if Postgres is absent and `MEDSERVE_REQUIRE_POSTGRES=1`.
pub async fn database() -> Option<TestDatabase> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = server()?;
    let name = format!("medserve_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    execute(server, &format!("CREATE DATABASE {name}")).await;
    let url = format!("{}/{name}{}", server.base, server.query);
    Some(TestDatabase { url, name })
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(server) = server().filter(|server| server.shared) else {
            return;
        };
        let name = std::mem::take(&mut self.name);
        let dropping = std::thread::spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                runtime.block_on(execute(server, &statement));
            }
        });
        let _ = dropping.join();
    }
}

async fn execute(server: &Server, statement: &str) {
    let url = format!("{}/{}{}", server.base, server.maintenance, server.query);
    let mut connection = PgConnection::connect(&url)
        .await
        .unwrap_or_else(|error| panic!("the test server at {url} does not answer: {error}"));
    connection
        .execute(AssertSqlSafe(statement.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER
        .get_or_init(|| {
            let found = match std::env::var("TEST_DATABASE_URL") {
                Ok(url) => Ok(given_server(&url)),
                Err(_) => start_cluster(),
            };
            match found {
                Ok(server) => Some(server),
                Err(why) if std::env::var("MEDSERVE_REQUIRE_POSTGRES").as_deref() == Ok("1") => {
                    panic!("MEDSERVE_REQUIRE_POSTGRES=1, but there is no Postgres: {why}")
                }
                Err(why) => {
                    eprintln!("\n!!! SKIPPED: the tests that need Postgres did not run: {why}\n");
                    None
                }
            }
        })
        .as_ref()
}

fn given_server(url: &str) -> Server {
    let (rest, query) = match url.split_once('?') {
        Some((rest, query)) => (rest, format!("?{query}")),
        None => (url, String::new()),
    };
    let authority_at = rest.find("://").map_or(0, |at| at + 3);
    let (base, maintenance) = match rest[authority_at..].find('/') {
        Some(slash) => (rest[..authority_at + slash].to_owned(), rest[authority_at + slash + 1..].to_owned()),
        None => (rest.to_owned(), "postgres".to_owned()),
    };
    Server { base, query, maintenance, shared: true, _keep_alive: None }
}

fn start_cluster() -> Result<Server, String> {
    let binaries = find_binaries()?;
    let root = tempfile::Builder::new()
        .prefix("medserve-postgres-")
        .tempdir()
        .map_err(|error| format!("no temporary directory: {error}"))?;
    // Postgres refuses to run as root, so root hands the directory and the programs to `postgres`.
    let as_postgres = run("id", &["-u"], None)? == "0";
    if as_postgres {
        run("chown", &["postgres", &text(root.path())], None)?;
    }
    let data = text(&root.path().join("data"));
    let log = text(&root.path().join("log"));
    let program = |name: &str| text(&binaries.join(name));
    let run_as = |name: &str, arguments: &[&str]| {
        let program = program(name);
        if as_postgres {
            let mut all = vec!["--reuid=postgres", "--regid=postgres", "--clear-groups", &program];
            all.extend_from_slice(arguments);
            run("setpriv", &all, Some(root.path()))
        } else {
            run(&program, arguments, Some(root.path()))
        }
    };
    run_as(
        "initdb",
        &[
            "--pgdata",
            &data,
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ],
    )?;

    let mut last = String::new();
    // The free port is found by binding it and letting go, so another program may take it first.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("no free port: {error}"))?
            .port();
        // Durability is of no use to a cluster that lives for seconds.
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off \
             -c synchronous_commit=off -c max_connections=200 -c shared_buffers=64MB",
            root.path().display()
        );
        let started = run_as("pg_ctl", &["-D", &data, "-l", &log, "-w", "-o", &options, "start"]);
        match started {
            Ok(_) => {
                let keep_alive = stop_at_end(&program("pg_ctl"), &data, &text(root.path()), as_postgres)?;
                // From here on the shell process owns the directory.
                let _ = root.keep();
                return Ok(Server {
                    base: format!("postgres://postgres@127.0.0.1:{port}"),
                    query: "?sslmode=disable".to_owned(),
                    maintenance: "postgres".to_owned(),
                    shared: false,
                    _keep_alive: Some(Mutex::new(keep_alive)),
                });
            }
            Err(why) => last = why,
        }
    }
    Err(format!("the cluster did not start: {last}"))
}

/// Starts the process that stops the cluster and removes its directory once the pipe closes.
fn stop_at_end(
    pg_ctl: &str,
    data: &str,
    root: &str,
    as_postgres: bool,
) -> Result<std::process::ChildStdin, String> {
    use std::os::unix::process::CommandExt;

    let drop_rights =
        if as_postgres { "setpriv --reuid=postgres --regid=postgres --clear-groups" } else { "" };
    let script =
        format!("cat > /dev/null; {drop_rights} \"$0\" -D \"$1\" -m immediate -w stop; rm -rf \"$2\"");
    let mut child = Command::new("sh")
        .args(["-c", &script, pg_ctl, data, root])
        .current_dir("/")
        // A process group of its own, so that Ctrl-C at the tests does not end it too early.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("sh: {error}"))?;
    child.stdin.take().ok_or_else(|| "sh has no stdin".into())
}

fn find_binaries() -> Result<PathBuf, String> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    // The newest version first; what is on PATH before all, where it holds the server too.
    folders.sort_by_key(|folder| {
        let version = folder.parent().and_then(|v| v.file_name()?.to_str());
        std::cmp::Reverse(version.and_then(|v| v.parse::<u32>().ok()))
    });
    if let Some(path) = std::env::var_os("PATH") {
        folders.splice(0..0, std::env::split_paths(&path));
    }
    folders
        .into_iter()
        .find(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file()))
        .ok_or_else(|| "neither TEST_DATABASE_URL nor initdb, pg_ctl and postgres".into())
}

fn run(program: &str, arguments: &[&str], folder: Option<&Path>) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    // `pg_ctl start` leaves the server behind it, which would hold a captured pipe open for ever:
    // so the output goes to a file.
    let output = tempfile::tempfile().map_err(|error| error.to_string())?;
    let copy = || output.try_clone().map(Stdio::from);
    let status = command
        .stdout(copy().map_err(|error| error.to_string())?)
        .stderr(copy().map_err(|error| error.to_string())?)
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    let said = read_all(output);
    if status.success() {
        Ok(said.trim().to_owned())
    } else {
        Err(format!("{program} {}: {said}", arguments.join(" ")))
    }
}

fn read_all(mut file: std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut said = String::new();
    let _ = file.rewind();
    let _ = file.read_to_string(&mut said);
    said
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
