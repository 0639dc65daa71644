//! One typed configuration: flags over environment over file over default.
//!
//! [`Settings`] is what a person may write, every member optional; the same struct is read from
//! the command line, the environment and a TOML file. [`Config`] is what the program uses, every
//! member present and valid. All that is wrong is reported at once, before anything is opened.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// What may be set. The names are those of the flags, with underscores in the file.
#[derive(Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// TOML file with any of these settings
    #[arg(long, env = "MEDSERVE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "MEDSERVE_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Database: postgres://user:password@host/name, or sqlite://file.db, which is created
    /// [default: sqlite://medserve.db, or sqlite://medserve-demo.db with --demo]
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Connections to the database [default: 10]
    #[arg(long, env = "MEDSERVE_DATABASE_CONNECTIONS", value_name = "N")]
    pub database_connections: Option<u32>,
    /// Fill an empty database with an invented region, to try things out
    #[arg(long, env = "MEDSERVE_DEMO", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub demo: Option<bool>,
    /// Token of the administrators; without one nobody is [default: none]
    #[arg(long, env = "MEDSERVE_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// Where neighbors are computed: memory, or database (in SQL, Postgres only) [default: memory]
    #[arg(long, env = "MEDSERVE_RECOMMENDER", value_name = "ENGINE")]
    pub recommender: Option<String>,
    /// How recommendations are computed, in the file only: the table [recommendations]
    #[arg(skip)]
    pub recommendations: Option<toml::Table>,
    /// Milliseconds between two looks for writes of others [default: 500]
    #[arg(long, env = "MEDSERVE_REFRESH_MS", value_name = "MS")]
    pub refresh_ms: Option<u64>,
    /// Folder of the model packages [default: models]
    #[arg(long, env = "MEDSERVE_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<PathBuf>,
    /// Largest request body in bytes [default: 67108864]
    #[arg(long, env = "MEDSERVE_MAX_BODY_BYTES", value_name = "BYTES")]
    pub max_body_bytes: Option<usize>,
    /// Largest image in pixels, width times height, checked before decoding [default: 67108864]
    #[arg(long, env = "MEDSERVE_MAX_PIXELS", value_name = "PIXELS")]
    pub max_pixels: Option<u64>,
    /// Milliseconds a request may take from its first byte to its answer [default: 30000]
    #[arg(long, env = "MEDSERVE_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub request_timeout_ms: Option<u64>,
    /// Milliseconds that requests in flight get to finish at shutdown [default: 10000]
    #[arg(long, env = "MEDSERVE_SHUTDOWN_TIMEOUT_MS", value_name = "MS")]
    pub shutdown_timeout_ms: Option<u64>,
    /// Threads that own a copy of each model [default: one a core]
    #[arg(long, env = "MEDSERVE_ENGINES", value_name = "N")]
    pub engines: Option<usize>,
    /// Largest number of inputs an engine takes at once [default: 32]
    #[arg(long, env = "MEDSERVE_MAX_BATCH", value_name = "N")]
    pub max_batch: Option<usize>,
    /// Inputs that may wait for each model [default: 1024]
    #[arg(long, env = "MEDSERVE_QUEUE", value_name = "N")]
    pub queue: Option<usize>,
}

/// The configuration in use.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The database.
    pub database_url: String,
    /// Connections to it.
    pub database_connections: u32,
    /// Fill it, if it is empty, with an invented region.
    pub demo: bool,
    /// Token of the administrators.
    pub admin_token: Option<String>,
    /// Where neighbors are computed.
    pub recommender: RecommenderEngine,
    /// How recommendations are computed, for the recommender to read.
    pub recommendations: toml::Table,
    /// Time between two looks for writes of others.
    pub refresh: Duration,
    /// Folder of the model packages.
    pub models_dir: PathBuf,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Largest image in pixels.
    pub max_pixels: u64,
    /// Time a request may take.
    pub request_timeout: Duration,
    /// Time that requests in flight get at shutdown.
    pub shutdown_timeout: Duration,
    /// Threads that own a copy of each model.
    pub engines: usize,
    /// Largest number of inputs an engine takes at once.
    pub max_batch: usize,
    /// Inputs that may wait for each model.
    pub queue: usize,
}

/// Where neighbors are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecommenderEngine {
    /// In this process, over matrices in memory.
    Memory,
    /// In the database, in SQL.
    Database,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is not valid:\n{}", .0.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Adds the file's settings and the defaults to those given, and checks them all.
    ///
    /// # Errors
    /// Every setting that is not valid, with its flag, its variable and its value.
    pub fn resolve(given: Settings) -> Result<Config, ConfigError> {
        let file = match &given.config {
            Some(path) => read_file(path).map_err(|problem| ConfigError(vec![problem]))?,
            None => Settings::default(),
        };
        let mut problems = Vec::new();
        let listen = given.listen.or(file.listen).unwrap_or_else(|| "127.0.0.1:8080".to_string());
        let listen: SocketAddr = listen.parse().unwrap_or_else(|_| {
            problems.push(problem("listen", &listen, "an address and a port, such as 127.0.0.1:8080"));
            SocketAddr::from(([127, 0, 0, 1], 8080))
        });
        let demo = given.demo.or(file.demo).unwrap_or(false);
        let database_url = given.database_url.or(file.database_url).unwrap_or_else(|| match demo {
            true => "sqlite://medserve-demo.db".to_string(),
            false => "sqlite://medserve.db".to_string(),
        });
        let postgres = ["postgres://", "postgresql://"].iter().any(|scheme| database_url.starts_with(scheme));
        if !postgres && !database_url.starts_with("sqlite:") {
            // The address may hold a password, so it is not repeated.
            problems
                .push("--database-url (DATABASE_URL) must begin with postgres:// or sqlite://".to_string());
        }
        let engine = given.recommender.or(file.recommender);
        let recommender = match engine.as_deref() {
            None | Some("memory") => RecommenderEngine::Memory,
            Some("database") if postgres => RecommenderEngine::Database,
            Some("database") => {
                problems.push(problem("recommender", "database", "memory, as the database is not Postgres"));
                RecommenderEngine::Memory
            }
            Some(other) => {
                problems.push(problem("recommender", other, "memory or database"));
                RecommenderEngine::Memory
            }
        };
        let admin_token = given.admin_token.or(file.admin_token);
        if admin_token.as_ref().is_some_and(|token| token.chars().count() < 16) {
            problems
                .push("--admin-token (MEDSERVE_ADMIN_TOKEN) must have at least 16 characters".to_string());
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut number = |name: &str, given: Option<u64>, file: Option<u64>, default: u64, most: u64| {
            let value = given.or(file).unwrap_or(default);
            if !(1..=most).contains(&value) {
                problems.push(problem(name, &value.to_string(), &format!("a number from 1 to {most}")));
            }
            value
        };
        let wide = |value: Option<usize>| value.map(|v| v as u64);
        const GIB: u64 = 1 << 30;
        const HOUR: u64 = 3_600_000;
        let config = Config {
            listen,
            database_url,
            database_connections: number(
                "database-connections",
                given.database_connections.map(u64::from),
                file.database_connections.map(u64::from),
                10,
                1000,
            ) as u32,
            demo,
            admin_token,
            recommender,
            recommendations: file.recommendations.unwrap_or_default(),
            refresh: Duration::from_millis(number(
                "refresh-ms",
                given.refresh_ms,
                file.refresh_ms,
                500,
                1000,
            )),
            models_dir: given.models_dir.or(file.models_dir).unwrap_or_else(|| PathBuf::from("models")),
            max_body_bytes: number(
                "max-body-bytes",
                wide(given.max_body_bytes),
                wide(file.max_body_bytes),
                64 << 20,
                4 * GIB,
            ) as usize,
            max_pixels: number("max-pixels", given.max_pixels, file.max_pixels, 64 << 20, GIB),
            request_timeout: Duration::from_millis(number(
                "request-timeout-ms",
                given.request_timeout_ms,
                file.request_timeout_ms,
                30_000,
                HOUR,
            )),
            shutdown_timeout: Duration::from_millis(number(
                "shutdown-timeout-ms",
                given.shutdown_timeout_ms,
                file.shutdown_timeout_ms,
                10_000,
                HOUR,
            )),
            engines: number("engines", wide(given.engines), wide(file.engines), cores as u64, 1024) as usize,
            max_batch: number("max-batch", wide(given.max_batch), wide(file.max_batch), 32, 4096) as usize,
            queue: number("queue", wide(given.queue), wide(file.queue), 1024, 1 << 20) as usize,
        };
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }
}

fn problem(flag: &str, value: &str, accepted: &str) -> String {
    let variable = flag.to_uppercase().replace('-', "_");
    format!("--{flag} (MEDSERVE_{variable}) is \"{value}\"; accepted is {accepted}")
}

fn read_file(path: &Path) -> Result<Settings, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("--config (MEDSERVE_CONFIG): {}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("--config (MEDSERVE_CONFIG): {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        let config = Config::resolve(Settings::default()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.engines >= 1);
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("medserve.toml");
        std::fs::write(&file, "max_batch = 4\nqueue = 7\n").unwrap();
        let given = Settings { config: Some(file), max_batch: Some(5), ..Settings::default() };
        let config = Config::resolve(given).unwrap();
        assert_eq!((config.max_batch, config.queue), (5, 7));
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let given = Settings { listen: Some("nowhere".into()), max_batch: Some(0), ..Settings::default() };
        let ConfigError(problems) = Config::resolve(given).err().unwrap();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("--listen (MEDSERVE_LISTEN) is \"nowhere\""), "{}", problems[0]);
        assert!(problems[1].contains("--max-batch (MEDSERVE_MAX_BATCH) is \"0\""), "{}", problems[1]);
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("medserve.toml");
        std::fs::write(&file, "max_bach = 4\n").unwrap();
        let error = Config::resolve(Settings { config: Some(file), ..Settings::default() }).err().unwrap();
        assert!(error.to_string().contains("max_bach"), "{error}");
    }
}
