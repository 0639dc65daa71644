//! One typed configuration: flags over environment over file over default.
//!
//! [`Settings`] is what a person may write; [`Config`] is what the program uses, every member
//! present and valid. All that is wrong is reported at once, before anything is opened.

mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use settings::Settings;
use settings::{Reader, called};

const GIB: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

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
    /// Adds the file's settings and the defaults to those given, and checks them all. Beside the
    /// configuration comes what is wrong with it, each setting with its flag, its variable and
    /// its value: only without any may the configuration be used.
    pub fn read(given: &Settings) -> (Config, Vec<String>) {
        let mut reader = Reader::new(given);
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        let accepted = "an address and a port, such as 127.0.0.1:8080";
        let listen = reader.parsed("listen", default, accepted, |text| text.parse().ok());
        let anonymous = reader.truth("allow-anonymous");
        if !listen.ip().is_loopback() && !anonymous {
            reader.note(format!(
                "{} is \"{listen}\", which others can reach, and everyone would be let in: keep to a loopback \
                 address such as 127.0.0.1:{}, or say {}",
                called("listen"),
                listen.port(),
                called("allow-anonymous"),
            ));
        }
        let demo = reader.truth("demo");
        let database_url = reader.text("database-url").unwrap_or_else(|| match demo {
            true => "sqlite://medserve-demo.db".to_string(),
            false => "sqlite://medserve.db".to_string(),
        });
        let postgres = ["postgres://", "postgresql://"].iter().any(|scheme| database_url.starts_with(scheme));
        if !postgres && !database_url.starts_with("sqlite:") {
            // The address may hold a password, so it is not repeated.
            reader.note(format!("{} must begin with postgres:// or sqlite://", called("database-url")));
        }
        let admin_token = reader.text("admin-token");
        if admin_token.as_ref().is_some_and(|token| token.chars().count() < 16) {
            reader.note(format!("{} must have at least 16 characters", called("admin-token")));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let config = Config {
            listen,
            database_url,
            database_connections: reader.number("database-connections", 10, 1..=1000) as u32,
            demo,
            admin_token,
            recommender: recommender(&mut reader, postgres),
            recommendations: reader.table("recommendations"),
            refresh: Duration::from_millis(reader.number("refresh-ms", 500, 1..=1000)),
            models_dir: reader.text("models-dir").unwrap_or_else(|| "models".to_string()).into(),
            max_body_bytes: reader.number("max-body-bytes", 64 << 20, 1..=4 * GIB) as usize,
            max_pixels: reader.number("max-pixels", 64 << 20, 1..=GIB),
            request_timeout: Duration::from_millis(reader.number("request-timeout-ms", 30_000, 1..=HOUR_MS)),
            shutdown_timeout: Duration::from_millis(reader.number(
                "shutdown-timeout-ms",
                10_000,
                1..=HOUR_MS,
            )),
            engines: reader.number("engines", cores, 1..=1024) as usize,
            max_batch: reader.number("max-batch", 32, 1..=4096) as usize,
            queue: reader.number("queue", 1024, 1..=1 << 20) as usize,
        };
        (config, reader.finish())
    }
}

fn recommender(reader: &mut Reader, postgres: bool) -> RecommenderEngine {
    let accepted = match postgres {
        true => "memory or database",
        false => "memory (database needs Postgres)",
    };
    reader.parsed("recommender", RecommenderEngine::Memory, accepted, |text| match text {
        "memory" => Some(RecommenderEngine::Memory),
        "database" if postgres => Some(RecommenderEngine::Database),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("medserve.toml");
        std::fs::write(&path, text).unwrap();
        let config = Some(path.to_str().unwrap().to_string());
        (folder, Settings { config, ..Settings::default() })
    }

    #[test]
    fn defaults_are_valid() {
        let (config, problems) = Config::read(&Settings::default());
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.engines >= 1);
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let (_folder, given) = file("max_batch = 4\nqueue = 7\ndemo = true\n");
        let (config, problems) = Config::read(&Settings { max_batch: Some("5".into()), ..given });
        assert_eq!(problems, [""; 0]);
        assert_eq!((config.max_batch, config.queue, config.demo), (5, 7, true));
    }

    #[test]
    fn every_problem_is_reported_at_once_wherever_it_was_written() {
        let (_folder, given) = file("max_bach = 4\nmax_batch = 0\nqueue = [1]\ndemo = \"perhaps\"\n");
        let given = Settings { listen: Some("nowhere".into()), engines: Some("two".into()), ..given };
        let (_, problems) = Config::read(&given);
        let expected = [
            "--listen (MEDSERVE_LISTEN) is \"nowhere\"",
            "--demo (MEDSERVE_DEMO) is \"perhaps\"",
            "--engines (MEDSERVE_ENGINES) is \"two\"",
            "--max-batch (MEDSERVE_MAX_BATCH) is \"0\"; accepted is a number from 1 to 4096",
            "--queue (MEDSERVE_QUEUE) must be one value",
            "the file's setting \"max_bach\" is not known",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, words) in problems.iter().zip(expected) {
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_word() {
        let open = Settings { listen: Some("0.0.0.0:80".into()), ..Settings::default() };
        let (_, problems) = Config::read(&open);
        assert!(
            problems[0].contains("0.0.0.0:80") && problems[0].contains("--allow-anonymous"),
            "{problems:?}"
        );
        let (_, problems) = Config::read(&Settings { allow_anonymous: Some("true".into()), ..open });
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn a_password_is_not_repeated() {
        let given =
            Settings { database_url: Some("mysql://me:hunter2@host/db".into()), ..Settings::default() };
        let (_, problems) = Config::read(&given);
        assert!(problems[0].contains("DATABASE_URL") && !problems[0].contains("hunter2"), "{problems:?}");
    }
}
