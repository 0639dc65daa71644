//! One typed configuration: flags over environment over file over default.
//!
//! [`Settings`] is what a person may write; [`Config`] is what the program uses, every member
//! present and valid. All that is wrong is reported at once, before anything is opened.

mod bulk;
mod cds;
mod client_certificates;
mod dicom;
mod given;
mod hl7;
mod identity;
mod model_keys;
mod page;
mod setting;
mod settings;
mod syslog;
mod tenants;
#[cfg(test)]
mod tests;
mod variables;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

pub use bulk::BulkConfig;
pub use cds::CdsConfig;
pub use client_certificates::{CertificateCaller, CertificateFile, ClientRoots};
pub use dicom::{DicomConfig, Peer};
use given::Reader;
pub use given::{DatabaseSettings, Settings};
pub use hl7::{Hl7Config, Hl7Peer};
pub use identity::{ApiKey, KeyFile, Models, Scope, Stamp, TlsFiles, TokenSource, allowed, is_unseen};
pub use model_keys::{ModelKey, read_model_keys, read_signing_key};
pub use page::table;
use setting::called;
pub use variables::{Strange, strange};

pub use crate::store::Naming;
use settings::DATABASE_URL;
pub use syslog::SyslogTarget;
pub use tenants::TenantsConfig;

/// The configuration in use.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Address to answer on about health alone.
    pub health_listen: Option<SocketAddr>,
    /// The database.
    pub database_url: String,
    /// Connections to it.
    pub database_connections: u32,
    /// Fill it, if it is empty, with an invented region.
    pub demo: bool,
    /// The keys that are let in.
    pub api_keys: Vec<ApiKey>,
    /// The file of further keys.
    pub api_keys_file: Option<KeyFile>,
    /// Where tokens come from that are let in.
    pub tokens: Option<TokenSource>,
    /// Whose data there is.
    pub tenants: TenantsConfig,
    /// Those who come with a client certificate.
    pub certificates: Option<CertificateFile>,
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
    /// How the audit names people.
    pub audit_people: Naming,
    /// The audit's secret, where a file holds it.
    pub audit_secret: Option<[u8; 32]>,
    /// The syslog receiver that audit rows are sent to.
    pub audit_syslog: Option<SyslogTarget>,
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
    /// By whom packages must be signed; none where they need not be.
    pub model_keys: Option<Vec<ModelKey>>,
    /// What image networks and encoders are computed in.
    pub precision: ServingPrecision,
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
    /// Time within which a connection's first request, and every head, must have arrived.
    pub head_timeout: Duration,
    /// Time within which a client must read.
    pub response_timeout: Duration,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most connections of one address.
    pub max_connections_per_address: usize,
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
    /// DICOM's network and results.
    pub dicom: DicomConfig,
    /// What becomes of feedback to cards.
    pub cds: CdsConfig,
    /// HL7 version 2.
    pub hl7: Hl7Config,
    /// Where records are pulled from.
    pub bulk: Option<BulkConfig>,
}

/// What image networks are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServingPrecision {
    /// The fastest that the package allows and the processor has instructions for.
    Auto,
    /// Single precision.
    F32,
    /// Numbers of half the length where the package allows it, whatever the processor.
    Bf16,
    /// Bytes where the package allows it, whatever the processor.
    Int8,
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
        let api_keys_file = api_keys_file(read, &api_keys);
        let mut tokens = tokens(read);
        let anonymous = read.value(&settings::ALLOW_ANONYMOUS);
        let tls = tls(read);
        let certificates = certificates(read, tls.as_ref());
        let known =
            !api_keys.is_empty() || api_keys_file.is_some() || tokens.is_some() || certificates.is_some();
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
        let (demo, database_url) = database(read);
        let postgres = !database_url.starts_with("sqlite:");
        let keys: Vec<&ApiKey> =
            api_keys.iter().chain(api_keys_file.iter().flat_map(|file| &file.keys)).collect();
        let tenants = TenantsConfig::read(read, &database_url, &keys, &mut tokens, known);
        let request_timeout = read.value(&settings::REQUEST_TIMEOUT_MS);
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let engines = read.given(&settings::ENGINES).unwrap_or(cores);
        let max_connections = read.value(&settings::MAX_CONNECTIONS) as usize;
        let dicom = DicomConfig::read(read, anonymous, tls.is_some());
        let audit_syslog = SyslogTarget::read(read, tls.as_ref());
        let cds = CdsConfig::read(read);
        let hl7 = Hl7Config::read(read, anonymous);
        let bulk = BulkConfig::read(read);
        let config = Config {
            listen,
            health_listen: read.given(&settings::HEALTH_LISTEN),
            database_url,
            database_connections: read.value(&settings::DATABASE_CONNECTIONS) as u32,
            demo,
            api_keys,
            api_keys_file,
            tokens,
            tenants,
            certificates,
            tls,
            cors_origins: cors_origins(read),
            rate_limit: read.given(&settings::RATE_LIMIT).and_then(|limit| NonZeroU32::new(limit as u32)),
            audit: read.value(&settings::AUDIT),
            audit_keep: Duration::from_secs(86_400 * read.value(&settings::AUDIT_DAYS)),
            audit_people: read.value(&settings::AUDIT_PEOPLE),
            audit_secret: audit_secret(read),
            audit_syslog,
            collector: collector(read),
            trace_ratio: read.value(&settings::TRACE_RATIO),
            recommender: recommender(read, postgres),
            recommendations: read.table("recommendations"),
            refresh: read.value(&settings::REFRESH_MS),
            models_dir: read.value(&settings::MODELS_DIR).into(),
            model_keys: model_keys(read),
            precision: read.value(&settings::PRECISION),
            max_body_bytes: read.value(&settings::MAX_BODY_BYTES) as usize,
            max_pixels: read.value(&settings::MAX_PIXELS),
            decode_memory: read.value(&settings::DECODE_MEMORY),
            request_timeout,
            max_request_timeout: read.value(&settings::MAX_REQUEST_TIMEOUT_MS).max(request_timeout),
            body_timeout: read.value(&settings::BODY_TIMEOUT_MS),
            idle_timeout: read.value(&settings::IDLE_TIMEOUT_MS),
            head_timeout: read.value(&settings::HEAD_TIMEOUT_MS),
            response_timeout: read.value(&settings::RESPONSE_TIMEOUT_MS),
            max_connections,
            max_connections_per_address: read
                .given(&settings::MAX_CONNECTIONS_PER_ADDRESS)
                .map_or(max_connections, |most| most as usize),
            max_in_flight: read.given(&settings::MAX_IN_FLIGHT).unwrap_or(settings::IN_FLIGHT * engines)
                as usize,
            shutdown_timeout: read.value(&settings::SHUTDOWN_TIMEOUT_MS),
            engines: engines as usize,
            max_batch: read.value(&settings::MAX_BATCH) as usize,
            queue: read.value(&settings::QUEUE) as usize,
            dicom,
            cds,
            hl7,
            bulk,
        };
        (config, reader.finish())
    }
}

/// The keys. A line that is no key is not repeated: somebody may have written the key itself.
fn api_keys(reader: &mut Reader) -> Vec<ApiKey> {
    let lines = reader.list(&settings::API_KEYS);
    let called = called(settings::API_KEYS.name);
    let mut keys: Vec<ApiKey> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if let Err(problem) = identity::add_key(&mut keys, line) {
            reader.note(format!("{called}: entry {} {problem}", index + 1));
        }
    }
    keys
}

/// The file of further keys.
fn api_keys_file(reader: &mut Reader, others: &[ApiKey]) -> Option<KeyFile> {
    let path: PathBuf = reader.given(&settings::API_KEYS_FILE)?.into();
    let called = called(settings::API_KEYS_FILE.name);
    match KeyFile::read(&path) {
        Ok((file, problems)) => {
            problems.into_iter().for_each(|problem| reader.note(format!("{called}: {problem}")));
            for key in &file.keys {
                if others.iter().any(|other| other.name == key.name || other.sha256 == key.sha256) {
                    reader.note(format!("{called}: the entry of \"{}\" is among the keys already", key.name));
                }
            }
            Some(file)
        }
        Err(problem) => {
            reader.note(format!("{called}: {problem}"));
            None
        }
    }
}

/// The address of the database that these settings lead to.
///
/// # Errors
/// What is wrong with them.
pub fn database_address(given: &DatabaseSettings) -> Result<String, String> {
    let mut read = Reader::new(&given.0);
    let (_, url) = database(&mut read);
    let problems = read.problems();
    if problems.is_empty() { Ok(url) } else { Err(problems.join("\n")) }
}

/// Whether a tenant is the default one, or named where the server is configured.
pub fn names_tenant(given: &DatabaseSettings, tenant: &str) -> bool {
    let named: Vec<String> = Reader::new(&given.0).given(&settings::TENANTS).unwrap_or_default();
    tenant.is_empty() || named.iter().any(|name| name == tenant)
}

/// Whether it is the demonstration, and the address of the database.
fn database(read: &mut Reader) -> (bool, String) {
    let demo = read.value(&settings::DEMO);
    let url = database_url(read).unwrap_or_else(|| match demo {
        true => settings::DEMO_DATABASE.to_string(),
        false => settings::DEFAULT_DATABASE.to_string(),
    });
    if !["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme)) {
        // The address may hold a password, so it is not repeated.
        read.note(format!("{} must begin with postgres:// or sqlite://", called(DATABASE_URL.name)));
    }
    (demo, url)
}

/// The address of the database, which may be in a file.
fn database_url(reader: &mut Reader) -> Option<String> {
    let (given, file) = (reader.given(&DATABASE_URL), reader.given(&settings::DATABASE_URL_FILE));
    let (Some(file), called) = (file, called(settings::DATABASE_URL_FILE.name)) else { return given };
    match std::fs::read_to_string(&file) {
        Ok(_) if given.is_some() => {
            reader.note(format!(
                "{called} is in place of {}; give one of them",
                setting::called(DATABASE_URL.name)
            ));
            given
        }
        Ok(text) => Some(text.trim().to_string()),
        Err(error) => {
            reader.note(format!("{called}: {file}: {error}"));
            None
        }
    }
}

/// The keys of those who sign packages.
fn model_keys(reader: &mut Reader) -> Option<Vec<ModelKey>> {
    let file = reader.given(&settings::MODEL_KEYS)?;
    read_model_keys(file.as_ref())
        .map_err(|problem| reader.note(format!("{}: {problem}", called(settings::MODEL_KEYS.name))))
        .ok()
}

/// The audit's secret. It is not repeated.
fn audit_secret(reader: &mut Reader) -> Option<[u8; 32]> {
    let file = reader.given(&settings::AUDIT_KEY_FILE)?;
    read_audit_secret(&file)
        .map_err(|problem| reader.note(format!("{}: {problem}", called(settings::AUDIT_KEY_FILE.name))))
        .ok()
}

/// Reads a file of the audit's secret.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_audit_secret(file: &str) -> Result<[u8; 32], String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let mut secret = [0; 32];
    hex::decode_to_slice(text.trim(), &mut secret)
        .map_err(|_| format!("{file} must hold 64 hexadecimal digits; `medserve audit key` prints some"))?;
    Ok(secret)
}

/// Where tokens come from: all of it, or nothing.
fn tokens(reader: &mut Reader) -> Option<TokenSource> {
    let all = [&settings::JWT_KEYS, &settings::JWT_ISSUER, &settings::JWT_AUDIENCE];
    let max_life = Duration::from_secs(reader.value(&settings::JWT_MAX_LIFE_S));
    match all.map(|setting| reader.given(setting)) {
        [None, None, None] => None,
        [Some(keys), Some(issuer), Some(audience)] => {
            Some(TokenSource { keys: keys.into(), issuer, audience, max_life, tenant_claim: None })
        }
        _ => {
            let names = all.map(|setting| called(setting.name)).join(", ");
            reader.note(format!("{names} go together: give all of them or none"));
            None
        }
    }
}

/// The file of those who come with a client certificate.
fn certificates(reader: &mut Reader, tls: Option<&TlsFiles>) -> Option<CertificateFile> {
    let path: PathBuf = reader.given(&settings::TLS_CLIENT_CALLERS)?.into();
    let called = called(settings::TLS_CLIENT_CALLERS.name);
    if tls.is_none_or(|tls| tls.clients.is_none()) {
        reader.note(format!("{called} needs {}", setting::called(settings::TLS_CLIENT_ROOTS.name)));
    }
    match CertificateFile::read(&path) {
        Ok((file, problems)) => {
            problems.into_iter().for_each(|problem| reader.note(format!("{called}: {problem}")));
            Some(file)
        }
        Err(problem) => {
            reader.note(format!("{called}: {problem}"));
            None
        }
    }
}

fn tls(reader: &mut Reader) -> Option<TlsFiles> {
    let required = reader.value(&settings::TLS_CLIENT_REQUIRED);
    let clients = reader.given(&settings::TLS_CLIENT_ROOTS);
    let clients = clients.map(|file| ClientRoots { file: file.into(), required });
    if required && clients.is_none() {
        let names = [settings::TLS_CLIENT_REQUIRED.name, settings::TLS_CLIENT_ROOTS.name].map(called);
        reader.note(format!("{} needs {}", names[0], names[1]));
    }
    let both = [&settings::TLS_CERTIFICATE, &settings::TLS_KEY];
    match both.map(|setting| reader.given(setting)) {
        [None, None] if clients.is_some() => {
            let names = both.map(|setting| called(setting.name)).join(" and ");
            reader.note(format!("{} needs {names}", called(settings::TLS_CLIENT_ROOTS.name)));
            None
        }
        [None, None] => None,
        [Some(certificate), Some(key)] => {
            Some(TlsFiles { certificate: certificate.into(), key: key.into(), clients })
        }
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
