//! One typed configuration: flags over environment over file over default.
//!
//! [`Settings`] is what a person may write; [`Config`] is what the program uses, every member
//! present and valid. All that is wrong is reported at once, before anything is opened.

mod given;
mod identity;
mod page;
mod setting;
mod settings;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use given::Reader;
pub use given::Settings;
pub use identity::{ApiKey, Scope, TlsFiles, TokenSource};
pub use page::table;
use setting::called;
pub use settings::{DATABASE_URL, DEFAULT_DATABASE};

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
    /// Memory in bytes for images that are decoded at once.
    pub decode_memory: u64,
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
    /// The certificates that it is trusted by, in PEM, where the address is one of https.
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
        let read = &mut reader;
        let listen = read.value(&settings::LISTEN);
        let api_keys = api_keys(read);
        let tokens = tokens(read);
        let anonymous = read.value(&settings::ALLOW_ANONYMOUS);
        let known = !api_keys.is_empty() || tokens.is_some();
        if !listen.ip().is_loopback() && !known && !anonymous {
            read.note(format!(
                "{} is \"{listen}\", which others can reach, and anybody could use it: configure {}, keep to \
                 a loopback address such as 127.0.0.1:{}, or say {}",
                called(settings::LISTEN.name),
                called(settings::API_KEYS.name),
                listen.port(),
                called(settings::ALLOW_ANONYMOUS.name),
            ));
        }
        let demo = read.value(&settings::DEMO);
        let database_url = read.given(&DATABASE_URL).unwrap_or_else(|| match demo {
            true => settings::DEMO_DATABASE.to_string(),
            false => DEFAULT_DATABASE.to_string(),
        });
        let postgres = ["postgres://", "postgresql://"].iter().any(|scheme| database_url.starts_with(scheme));
        if !postgres && !database_url.starts_with("sqlite:") {
            // The address may hold a password, so it is not repeated.
            read.note(format!("{} must begin with postgres:// or sqlite://", called(DATABASE_URL.name)));
        }
        let request_timeout = read.value(&settings::REQUEST_TIMEOUT_MS);
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let engines = read.given(&settings::ENGINES).unwrap_or(cores);
        let config = Config {
            listen,
            database_url,
            database_connections: read.value(&settings::DATABASE_CONNECTIONS) as u32,
            demo,
            api_keys,
            tokens,
            tls: tls(read),
            cors_origins: cors_origins(read),
            rate_limit: read.given(&settings::RATE_LIMIT).and_then(|limit| NonZeroU32::new(limit as u32)),
            audit: read.value(&settings::AUDIT),
            audit_keep: Duration::from_secs(86_400 * read.value(&settings::AUDIT_DAYS)),
            collector: collector(read),
            trace_ratio: read.value(&settings::TRACE_RATIO),
            recommender: recommender(read, postgres),
            recommendations: read.table("recommendations"),
            refresh: read.value(&settings::REFRESH_MS),
            models_dir: read.value(&settings::MODELS_DIR).into(),
            max_body_bytes: read.value(&settings::MAX_BODY_BYTES) as usize,
            max_pixels: read.value(&settings::MAX_PIXELS),
            decode_memory: read.value(&settings::DECODE_MEMORY),
            request_timeout,
            max_request_timeout: read.value(&settings::MAX_REQUEST_TIMEOUT_MS).max(request_timeout),
            body_timeout: read.value(&settings::BODY_TIMEOUT_MS),
            idle_timeout: read.value(&settings::IDLE_TIMEOUT_MS),
            max_connections: read.value(&settings::MAX_CONNECTIONS) as usize,
            max_in_flight: read.given(&settings::MAX_IN_FLIGHT).unwrap_or(settings::IN_FLIGHT * engines)
                as usize,
            shutdown_timeout: read.value(&settings::SHUTDOWN_TIMEOUT_MS),
            engines: engines as usize,
            max_batch: read.value(&settings::MAX_BATCH) as usize,
            queue: read.value(&settings::QUEUE) as usize,
        };
        (config, reader.finish())
    }
}

/// The keys. A line that is no key is not repeated: somebody may have written the key itself.
fn api_keys(reader: &mut Reader) -> Vec<ApiKey> {
    let mut keys: Vec<ApiKey> = Vec::new();
    for (index, line) in reader.given(&settings::API_KEYS).unwrap_or_default().iter().enumerate() {
        match line.parse::<ApiKey>() {
            Ok(key) if keys.iter().any(|other| other.name == key.name || other.sha256 == key.sha256) => {
                reader.note(format!(
                    "{}: entry {} repeats a name or a key",
                    called(settings::API_KEYS.name),
                    index + 1
                ));
            }
            Ok(key) => keys.push(key),
            Err(problem) => {
                reader.note(format!("{}: entry {} {problem}", called(settings::API_KEYS.name), index + 1));
            }
        }
    }
    keys
}

/// Where tokens come from: all of it, or nothing.
fn tokens(reader: &mut Reader) -> Option<TokenSource> {
    let all = [&settings::JWT_KEYS, &settings::JWT_ISSUER, &settings::JWT_AUDIENCE];
    match all.map(|setting| reader.given(setting)) {
        [None, None, None] => None,
        [Some(keys), Some(issuer), Some(audience)] => {
            Some(TokenSource { keys: keys.into(), issuer, audience })
        }
        _ => {
            let names = all.map(|setting| called(setting.name)).join(", ");
            reader.note(format!("{names} go together: give all of them or none"));
            None
        }
    }
}

fn tls(reader: &mut Reader) -> Option<TlsFiles> {
    let both = [&settings::TLS_CERTIFICATE, &settings::TLS_KEY];
    match both.map(|setting| reader.given(setting)) {
        [None, None] => None,
        [Some(certificate), Some(key)] => Some(TlsFiles { certificate: certificate.into(), key: key.into() }),
        _ => {
            let names = both.map(|setting| called(setting.name)).join(" and ");
            reader.note(format!("{names} go together: give both or none"));
            None
        }
    }
}

/// Origins as browsers send them: without a path.
fn cors_origins(reader: &mut Reader) -> Vec<String> {
    let setting = &settings::CORS_ORIGINS;
    let origins = reader.given(setting).unwrap_or_default();
    for origin in &origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let sound = |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if !host.is_some_and(sound) {
            let called = called(setting.name);
            reader.note(format!("{called} has \"{origin}\"; an origin is such as https://ward.example.org"));
        }
    }
    origins
}

/// The collector. An address that does not fit is not repeated: it may hold a password.
fn collector(reader: &mut Reader) -> Option<Collector> {
    let (endpoint, ca) = (reader.given(&settings::OTLP_ENDPOINT), reader.given(&settings::OTLP_CA));
    let scheme = endpoint.as_ref().and_then(|text| {
        let uri = text.parse::<Uri>().ok()?;
        let authority = uri.authority().map_or("@", |authority| authority.as_str());
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let scheme = ["http", "https"].into_iter().find(|known| uri.scheme_str() == Some(*known))?;
        (host && !authority.contains('@') && uri.query().is_none()).then_some(scheme)
    });
    let [endpoint_name, ca_name] = [settings::OTLP_ENDPOINT.name, settings::OTLP_CA.name].map(called);
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
            format!("{endpoint_name} with https needs {ca_name}, the certificates that it is trusted by")
        }
        (_, _, Some(_)) => format!("{ca_name} is for a collector with https: {endpoint_name}"),
    };
    reader.note(problem);
    None
}

fn recommender(reader: &mut Reader, postgres: bool) -> RecommenderEngine {
    let engine = reader.value(&settings::RECOMMENDER);
    if engine == RecommenderEngine::Database && !postgres {
        reader.note(format!("{} is \"database\", which needs Postgres", called(settings::RECOMMENDER.name)));
    }
    engine
}
