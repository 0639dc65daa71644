//! What a person may write, and the reading of it.
//!
//! [`Settings`] is filled from the command line and the environment. Its members are text, so
//! that a number that is none is reported beside everything else that is wrong, by flag, variable
//! and value, and not alone by whoever meets it first. [`Reader`] lays them over the file's.

use std::ops::RangeInclusive;

use serde::Serialize;
use toml::{Table, Value};

/// What may be set. The names are those of the flags, with underscores in the file.
#[derive(Clone, Default, clap::Args, Serialize)]
pub struct Settings {
    /// TOML file with any of these settings
    #[arg(long, env = "MEDSERVE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<String>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "MEDSERVE_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Database: postgres://user:password@host/name, or sqlite://file.db, which is created
    /// [default: sqlite://medserve.db, or sqlite://medserve-demo.db with --demo]
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Connections to the database [default: 10]
    #[arg(long, env = "MEDSERVE_DATABASE_CONNECTIONS", value_name = "N")]
    pub database_connections: Option<String>,
    /// Fill an empty database with an invented region, to try things out
    #[arg(long, env = "MEDSERVE_DEMO", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub demo: Option<String>,
    /// Let everyone in on an address that others can reach, where no identity is configured
    #[arg(long, env = "MEDSERVE_ALLOW_ANONYMOUS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_anonymous: Option<String>,
    /// Keys that are let in, as NAME:SCOPE+SCOPE:SHA256 with commas between them; `medserve key`
    /// makes one. The scopes are classify, recommend, write and admin
    #[arg(long, env = "MEDSERVE_API_KEYS", value_name = "KEYS", hide_env_values = true)]
    pub api_keys: Option<String>,
    /// JWKS file of the keys that sign the bearer tokens (JWT) that are let in
    #[arg(long, env = "MEDSERVE_JWT_KEYS", value_name = "FILE")]
    pub jwt_keys: Option<String>,
    /// Who issues those tokens: their iss
    #[arg(long, env = "MEDSERVE_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// For whom those tokens are: their aud
    #[arg(long, env = "MEDSERVE_JWT_AUDIENCE", value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// PEM file of the certificate, and those that lead to its root; with it the server speaks TLS
    #[arg(long, env = "MEDSERVE_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<String>,
    /// PEM file of the certificate's private key
    #[arg(long, env = "MEDSERVE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Origins of web pages that may read answers, with commas between them [default: none]
    #[arg(long, env = "MEDSERVE_CORS_ORIGINS", value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
    /// Requests a second that one caller may make, in bursts of as many [default: no limit]
    #[arg(long, env = "MEDSERVE_RATE_LIMIT", value_name = "N")]
    pub rate_limit: Option<String>,
    /// What becomes of an answer whose audit row cannot be written: fail or continue [default: continue]
    #[arg(long, env = "MEDSERVE_AUDIT", value_name = "WHAT")]
    pub audit: Option<String>,
    /// Days for which the audit is kept [default: 2192, six years]
    #[arg(long, env = "MEDSERVE_AUDIT_DAYS", value_name = "DAYS")]
    pub audit_days: Option<String>,
    /// OpenTelemetry collector that takes OTLP over HTTP, such as http://127.0.0.1:4318
    /// [default: none, and no span leaves the server]
    #[arg(long, env = "MEDSERVE_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Certificates that a collector at an https address is believed by, PEM
    #[arg(long, env = "MEDSERVE_OTLP_CA", value_name = "FILE")]
    pub otlp_ca: Option<String>,
    /// Share of the traces that begin here and are exported, 0 to 1 [default: 1]
    #[arg(long, env = "MEDSERVE_TRACE_RATIO", value_name = "RATIO")]
    pub trace_ratio: Option<String>,
    /// Where neighbors are computed: memory, or database (in SQL, Postgres only) [default: memory]
    #[arg(long, env = "MEDSERVE_RECOMMENDER", value_name = "ENGINE")]
    pub recommender: Option<String>,
    /// Milliseconds between two looks for writes of others [default: 500]
    #[arg(long, env = "MEDSERVE_REFRESH_MS", value_name = "MS")]
    pub refresh_ms: Option<String>,
    /// Folder of the model packages [default: models]
    #[arg(long, env = "MEDSERVE_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<String>,
    /// Largest request body in bytes [default: 67108864]
    #[arg(long, env = "MEDSERVE_MAX_BODY_BYTES", value_name = "BYTES")]
    pub max_body_bytes: Option<String>,
    /// Largest image in pixels, width times height, checked before decoding [default: 67108864]
    #[arg(long, env = "MEDSERVE_MAX_PIXELS", value_name = "PIXELS")]
    pub max_pixels: Option<String>,
    /// Milliseconds from a request's first byte to its answer, where it says nothing [default: 30000]
    #[arg(long, env = "MEDSERVE_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub request_timeout_ms: Option<String>,
    /// Most milliseconds a request may ask for with x-request-timeout [default: 120000]
    #[arg(long, env = "MEDSERVE_MAX_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub max_request_timeout_ms: Option<String>,
    /// Milliseconds within which a body must have arrived [default: 20000]
    #[arg(long, env = "MEDSERVE_BODY_TIMEOUT_MS", value_name = "MS")]
    pub body_timeout_ms: Option<String>,
    /// Milliseconds within which a connection's next request must begin [default: 75000]
    #[arg(long, env = "MEDSERVE_IDLE_TIMEOUT_MS", value_name = "MS")]
    pub idle_timeout_ms: Option<String>,
    /// Most connections at a time; more are closed at once [default: 900]
    #[arg(long, env = "MEDSERVE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<String>,
    /// Most requests worked on at a time; more are answered 429 [default: 32 an engine]
    #[arg(long, env = "MEDSERVE_MAX_IN_FLIGHT", value_name = "N")]
    pub max_in_flight: Option<String>,
    /// Milliseconds that requests in flight get to finish at shutdown [default: 10000]
    #[arg(long, env = "MEDSERVE_SHUTDOWN_TIMEOUT_MS", value_name = "MS")]
    pub shutdown_timeout_ms: Option<String>,
    /// Threads that own a copy of each model [default: one a core]
    #[arg(long, env = "MEDSERVE_ENGINES", value_name = "N")]
    pub engines: Option<String>,
    /// Largest number of inputs an engine takes at once [default: 32]
    #[arg(long, env = "MEDSERVE_MAX_BATCH", value_name = "N")]
    pub max_batch: Option<String>,
    /// Inputs that may wait for each model; no request may bring more [default: 1024]
    #[arg(long, env = "MEDSERVE_QUEUE", value_name = "N")]
    pub queue: Option<String>,
}

/// The settings given, laid over those of the file, and what is wrong with them.
pub(super) struct Reader {
    values: Table,
    problems: Vec<String>,
}

impl Reader {
    /// Reads the file, if one is named.
    pub fn new(given: &Settings) -> Reader {
        let mut problems = Vec::new();
        let mut values = match given.config.as_deref().map(read_file) {
            None => Table::new(),
            Some(Ok(table)) => table,
            Some(Err(problem)) => {
                problems.push(problem);
                Table::new()
            }
        };
        // A struct of texts always makes a table.
        values.extend(Table::try_from(given).unwrap_or_default());
        Reader { values, problems }
    }

    /// A text, which a number or a truth value in the file is too.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.values.remove(&member(name))? {
            Value::String(text) => Some(text),
            Value::Array(_) | Value::Table(_) => {
                self.problems.push(format!("{} must be one value", called(name)));
                None
            }
            value => Some(value.to_string()),
        }
    }

    /// Several texts: with commas between them, or a list in the file.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let texts = match self.values.remove(&member(name)) {
            None => Vec::new(),
            Some(Value::String(text)) => text.split(',').map(|part| part.trim().to_string()).collect(),
            Some(Value::Array(values)) => {
                values.iter().filter_map(|value| Some(value.as_str()?.to_string())).collect()
            }
            Some(_) => {
                self.problems.push(format!("{} must be a list of texts", called(name)));
                Vec::new()
            }
        };
        texts.into_iter().filter(|text| !text.is_empty()).collect()
    }

    /// A table, which only the file can hold.
    pub fn table(&mut self, name: &str) -> Table {
        match self.values.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.problems.push(format!("[{name}] in the file must be a table"));
                Table::new()
            }
        }
    }

    /// What `parse` makes of the text; the default without one, and where it makes nothing.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        default: T,
        accepted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(name) else { return default };
        parse(&text).unwrap_or_else(|| {
            self.refuse(name, &text, accepted);
            default
        })
    }

    /// A whole number within a range.
    pub fn number(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let accepted = format!("a number from {} to {}", range.start(), range.end());
        self.parsed(name, default, &accepted, |text| text.parse().ok().filter(|value| range.contains(value)))
    }

    /// True or false.
    pub fn truth(&mut self, name: &str) -> bool {
        self.parsed(name, false, "true or false", |text| text.parse().ok())
    }

    /// Notes that a value is not accepted.
    pub fn refuse(&mut self, name: &str, value: &str, accepted: &str) {
        self.problems.push(format!("{} is \"{value}\"; accepted is {accepted}", called(name)));
    }

    /// Notes a problem in words of its own, about a value that must not be repeated or several.
    pub fn note(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Everything that is wrong. What nobody asked for is unknown.
    pub fn finish(mut self) -> Vec<String> {
        let unknown = self.values.keys().map(|name| format!("the file's setting \"{name}\" is not known"));
        self.problems.extend(unknown);
        self.problems
    }
}

/// A setting by the names a person may have given it.
pub(super) fn called(name: &str) -> String {
    match name {
        "database-url" => format!("--{name} (DATABASE_URL)"),
        _ => format!("--{name} (MEDSERVE_{})", member(name).to_uppercase()),
    }
}

fn member(name: &str) -> String {
    name.replace('-', "_")
}

fn read_file(path: &str) -> Result<Table, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {path}: {error}", called("config")))?;
    text.parse().map_err(|error: toml::de::Error| {
        // The error's own rendering quotes the line, which may hold a password.
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        format!("{}: {path}: line {line}: {}", called("config"), error.message())
    })
}
