//! One typed configuration: flags over environment over file over default.
//!
//! [`Settings`] is what a person may write; [`Config`] is what the program uses, every member
//! present and valid. All that is wrong is reported at once, before anything is opened.

mod identity;
mod settings;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

pub use identity::{ApiKey, Scope, TlsFiles, TokenSource, hex};
pub use settings::Settings;
use settings::{Reader, called};

const GIB: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;
/// Most requests in flight for each engine, where nothing else is said. As many are let in only while
/// they are done in good time.
const IN_FLIGHT: u64 = 128;

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
    /// The keys that are let in.
    pub api_keys: Vec<ApiKey>,
    /// Where tokens come from that are let in.
    pub tokens: Option<TokenSource>,
    /// The files for TLS; without them connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// Origins of web pages that may read answers.
    pub cors_origins: Vec<String>,
    /// Requests a second that one caller may make.
    pub rate_limit: Option<NonZeroU32>,
    /// What becomes of an answer whose audit row cannot be written.
    pub audit: AuditMode,
    /// Time for which the audit is kept.
    pub audit_keep: Duration,
    /// The OpenTelemetry collector that spans go to.
    pub collector: Option<Collector>,
    /// Share of the traces that begin here and are exported, 0 to 1.
    pub trace_ratio: f64,
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
    /// Time a request may take that says nothing of it.
    pub request_timeout: Duration,
    /// Most time a request may ask for.
    pub max_request_timeout: Duration,
    /// Time within which a body must have arrived.
    pub body_timeout: Duration,
    /// Time within which a connection's next request must begin.
    pub idle_timeout: Duration,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most requests worked on at a time.
    pub max_in_flight: usize,
    /// Time that requests in flight get at shutdown.
    pub shutdown_timeout: Duration,
    /// Threads that own a copy of each model.
    pub engines: usize,
    /// Largest number of inputs an engine takes at once.
    pub max_batch: usize,
    /// Inputs that may wait for each model.
    pub queue: usize,
}

/// What becomes of an answer whose audit row cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditMode {
    /// It does not go out. Answers wait until their rows are durable.
    Fail,
    /// It goes out; the row follows, and is counted where it is lost.
    Continue,
}

/// An OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Its address; `/v1/traces` is under it.
    pub endpoint: String,
    /// The certificates that it is believed by, in PEM, where the address is one of https.
    pub ca: Option<PathBuf>,
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
        let api_keys = api_keys(&mut reader);
        let tokens = tokens(&mut reader);
        let anonymous = reader.truth("allow-anonymous");
        let known = !api_keys.is_empty() || tokens.is_some();
        if !listen.ip().is_loopback() && !known && !anonymous {
            reader.note(format!(
                "{} is \"{listen}\", which others can reach, and everyone would be let in: configure {}, keep to \
                 a loopback address such as 127.0.0.1:{}, or say {}",
                called("listen"),
                called("api-keys"),
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
        let request_timeout = Duration::from_millis(reader.number("request-timeout-ms", 30_000, 1..=HOUR_MS));
        let most = reader.number("max-request-timeout-ms", 120_000, 1..=HOUR_MS);
        let max_request_timeout = Duration::from_millis(most).max(request_timeout);
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let engines = reader.number("engines", cores, 1..=1024);
        let config = Config {
            listen,
            database_url,
            database_connections: reader.number("database-connections", 10, 1..=1000) as u32,
            demo,
            api_keys,
            tokens,
            tls: tls(&mut reader),
            cors_origins: cors_origins(&mut reader),
            rate_limit: reader
                .parsed("rate-limit", None, "a number of 1 or more", |text| text.parse().ok().map(Some)),
            audit: reader.parsed("audit", AuditMode::Continue, "fail or continue", |text| match text {
                "fail" => Some(AuditMode::Fail),
                "continue" => Some(AuditMode::Continue),
                _ => None,
            }),
            audit_keep: Duration::from_secs(86_400 * reader.number("audit-days", 2192, 1..=36_525)),
            collector: collector(&mut reader),
            trace_ratio: reader.parsed("trace-ratio", 1.0, "a number from 0 to 1", |text| {
                text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
            }),
            recommender: recommender(&mut reader, postgres),
            recommendations: reader.table("recommendations"),
            refresh: Duration::from_millis(reader.number("refresh-ms", 500, 1..=1000)),
            models_dir: reader.text("models-dir").unwrap_or_else(|| "models".to_string()).into(),
            max_body_bytes: reader.number("max-body-bytes", 64 << 20, 1..=4 * GIB) as usize,
            max_pixels: reader.number("max-pixels", 64 << 20, 1..=GIB),
            request_timeout,
            max_request_timeout,
            body_timeout: Duration::from_millis(reader.number("body-timeout-ms", 20_000, 1..=HOUR_MS)),
            idle_timeout: Duration::from_millis(reader.number("idle-timeout-ms", 75_000, 1..=HOUR_MS)),
            max_connections: reader.number("max-connections", 900, 1..=1 << 20) as usize,
            max_in_flight: reader.number("max-in-flight", IN_FLIGHT * engines, 1..=1 << 20) as usize,
            shutdown_timeout: Duration::from_millis(reader.number(
                "shutdown-timeout-ms",
                10_000,
                1..=HOUR_MS,
            )),
            engines: engines as usize,
            max_batch: reader.number("max-batch", 32, 1..=4096) as usize,
            queue: reader.number("queue", 1024, 1..=1 << 20) as usize,
        };
        (config, reader.finish())
    }
}

/// The keys. A line that is no key is not repeated: somebody may have written the key itself.
fn api_keys(reader: &mut Reader) -> Vec<ApiKey> {
    let mut keys: Vec<ApiKey> = Vec::new();
    for (index, line) in reader.list("api-keys").iter().enumerate() {
        match line.parse::<ApiKey>() {
            Ok(key) if keys.iter().any(|other| other.name == key.name || other.sha256 == key.sha256) => {
                reader.note(format!("{}: entry {} repeats a name or a key", called("api-keys"), index + 1));
            }
            Ok(key) => keys.push(key),
            Err(problem) => {
                reader.note(format!("{}: entry {} {problem}", called("api-keys"), index + 1));
            }
        }
    }
    keys
}

/// Where tokens come from: all of it, or nothing.
fn tokens(reader: &mut Reader) -> Option<TokenSource> {
    match ["jwt-keys", "jwt-issuer", "jwt-audience"].map(|name| reader.text(name)) {
        [None, None, None] => None,
        [Some(keys), Some(issuer), Some(audience)] => {
            Some(TokenSource { keys: keys.into(), issuer, audience })
        }
        _ => {
            let names = ["jwt-keys", "jwt-issuer", "jwt-audience"].map(called).join(", ");
            reader.note(format!("{names} go together: give all of them or none"));
            None
        }
    }
}

fn tls(reader: &mut Reader) -> Option<TlsFiles> {
    match ["tls-certificate", "tls-key"].map(|name| reader.text(name)) {
        [None, None] => None,
        [Some(certificate), Some(key)] => Some(TlsFiles { certificate: certificate.into(), key: key.into() }),
        _ => {
            let names = ["tls-certificate", "tls-key"].map(called).join(" and ");
            reader.note(format!("{names} go together: give both or none"));
            None
        }
    }
}

/// Origins as browsers send them: without a path.
fn cors_origins(reader: &mut Reader) -> Vec<String> {
    let origins = reader.list("cors-origins");
    for origin in &origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let sound = |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if !host.is_some_and(sound) {
            reader.refuse("cors-origins", origin, "an origin such as https://ward.example.org");
        }
    }
    origins
}

/// The collector. An address that does not fit is not repeated: it may hold a password.
fn collector(reader: &mut Reader) -> Option<Collector> {
    let (endpoint, ca) = (reader.text("otlp-endpoint"), reader.text("otlp-ca"));
    let scheme = endpoint.as_ref().and_then(|text| {
        let uri = text.parse::<Uri>().ok()?;
        let authority = uri.authority().map_or("@", |authority| authority.as_str());
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let scheme = ["http", "https"].into_iter().find(|known| uri.scheme_str() == Some(*known))?;
        (host && !authority.contains('@') && uri.query().is_none()).then_some(scheme)
    });
    let [endpoint_name, ca_name] = ["otlp-endpoint", "otlp-ca"].map(called);
    let problem = match (endpoint, scheme, ca) {
        (None, _, None) => return None,
        (Some(endpoint), Some("http"), None) => return Some(Collector { endpoint, ca: None }),
        (Some(endpoint), Some("https"), Some(ca)) => {
            return Some(Collector { endpoint, ca: Some(ca.into()) });
        }
        (Some(_), None, _) => {
            format!(
                "{endpoint_name} must be an address such as http://127.0.0.1:4318, without user and query"
            )
        }
        (Some(_), Some(_), None) => {
            format!("{endpoint_name} with https needs {ca_name}, the certificates that it is believed by")
        }
        (_, _, Some(_)) => format!("{ca_name} is for a collector with https: {endpoint_name}"),
    };
    reader.note(problem);
    None
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
    fn the_page_for_operators_has_every_setting() {
        let page = include_str!("../docs/operations.md");
        let command = <Settings as clap::Args>::augment_args(clap::Command::new("serve"));
        for setting in command.get_arguments().filter_map(clap::Arg::get_long) {
            let told = page.contains(&format!("`{setting}`"));
            assert!(told, "docs/operations.md does not tell of --{setting}");
        }
    }

    #[test]
    fn defaults_are_valid() {
        let (config, problems) = Config::read(&Settings::default());
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.engines >= 1);
        assert_eq!(config.max_in_flight, 128 * config.engines);
        let (config, _) = Config::read(&Settings { engines: Some("3".into()), ..Settings::default() });
        assert_eq!(config.max_in_flight, 384, "so many for each engine");
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
        let key = format!("ward:classify:{}", "0f".repeat(32));
        for settled in [
            Settings { allow_anonymous: Some("true".into()), ..open.clone() },
            Settings { api_keys: Some(key), ..open },
        ] {
            assert_eq!(Config::read(&settled).1, [""; 0]);
        }
    }

    #[test]
    fn what_is_secret_is_not_repeated_and_what_goes_together_is_said() {
        let given = Settings {
            api_keys: Some("ward:classify:hunter2, ward:everything:hunter2".into()),
            jwt_issuer: Some("https://login.example.org".into()),
            tls_key: Some("key.pem".into()),
            cors_origins: Some("ward.example.org".into()),
            rate_limit: Some("0".into()),
            audit: Some("maybe".into()),
            ..Settings::default()
        };
        let (_, problems) = Config::read(&given);
        assert_eq!(problems.len(), 7, "{problems:#?}");
        assert!(!problems.concat().contains("hunter2"), "{problems:#?}");
        assert!(problems.concat().contains("entry 2 has a scope that is not"), "{problems:#?}");
    }

    #[test]
    fn a_password_is_not_repeated() {
        let given = Settings {
            database_url: Some("mysql://me:hunter2@host/db".into()),
            otlp_endpoint: Some("https://me:hunter2@host:4318".into()),
            ..Settings::default()
        };
        let (_, problems) = Config::read(&given);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("DATABASE_URL") && problems[1].contains("MEDSERVE_OTLP_ENDPOINT"));
        assert!(!problems.concat().contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn spans_go_nowhere_unless_an_address_is_given_that_can_be() {
        assert!(Config::read(&Settings::default()).0.collector.is_none());
        let read = |endpoint: &str, ca: Option<&str>, ratio: &str| {
            let given = Settings {
                otlp_endpoint: Some(endpoint.to_string()),
                otlp_ca: ca.map(str::to_string),
                trace_ratio: Some(ratio.into()),
                ..Settings::default()
            };
            Config::read(&given).1
        };
        let ca = Some("ca.pem");
        for (endpoint, ca) in [
            ("http://127.0.0.1:4318", None),
            ("http://collector.hospital.example/otlp/", None),
            ("https://collector.hospital.example:4318", ca),
        ] {
            assert_eq!(read(endpoint, ca, "0.1"), [""; 0]);
        }
        for (endpoint, ca) in [
            ("", None),
            ("collector:4318", None),
            ("ftp://collector:4318", ca),
            ("http://", None),
            ("http://collector:4318?a=b", None),
            ("https://collector:4318", None),
            ("http://collector:4318", ca),
        ] {
            assert_eq!(read(endpoint, ca, "0").len(), 1, "{endpoint}");
        }
        for ratio in ["1.1", "-0.1", "NaN", "all"] {
            assert_eq!(read("http://[::1]:4318", None, ratio).len(), 1, "{ratio}");
        }
    }
}
