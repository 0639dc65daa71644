//! The composition root: the order of start-up and of shutdown.
//!
//! The address is bound first, so that a port in use is said at once and liveness can be asked
//! while models load; readiness follows only when they are loaded and warm.

pub mod audit;
pub mod backup;
mod connections;
mod dicom;
pub mod health;
mod hl7;
pub mod import;
mod import_fhir;
mod listen;
pub mod models;
mod tls;
mod upkeep;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arc_swap::ArcSwapOption;
use governor::{Quota, RateLimiter};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::api::{Admission, AppState, Identity, People, Shared, identity, router};
use crate::cases::Cases;
use crate::config::{self, ApiKey, AuditMode, Collector, Config, ConfigError, RecommenderEngine};
use crate::inference::{Registry, change};
use crate::store::{self, AuditWriter, Store, StoreOptions, demo};
use crate::syslog;
use crate::telemetry;
use crate::telemetry::spans::{self, Exporter, Spans};
use connections::Bounds;
use recommend::clock;
use recommend::{Recommender, Settings, Source};
use tls::Certificates;

/// Longest time that the last rows of the audit, and then the database, may take at the end.
const LAST_ROWS: Duration = Duration::from_secs(12);
const CLOSE: Duration = Duration::from_secs(3);

/// Connections to the listener that answers about health alone.
const HEALTH_CONNECTIONS: usize = 64;

/// All that can be known to be right before anything is opened.
pub struct Prepared {
    config: Config,
    recommendations: Settings,
    identity: Identity,
    tls: Option<Certificates>,
    export: Option<(Spans, Exporter)>,
}

/// Checks everything that was configured.
///
/// # Errors
/// All that is wrong with it.
pub fn prepare(given: &config::Settings) -> Result<Prepared, ConfigError> {
    let (config, mut problems) = Config::read(given);
    let recommendations = recommendations(&config).unwrap_or_else(|found| {
        let named = |problem| format!("the table [recommendations] of the file: {problem}");
        problems.extend(found.into_iter().map(named));
        Settings::default()
    });
    let identity = Identity::new(&config).map_err(|problem| problems.push(format!("--jwt-keys: {problem}")));
    let tls = config.tls.as_ref().map(Certificates::new).transpose();
    let tls = tls.map_err(|problem| {
        problems.push(format!("--tls-certificate, --tls-key, --tls-client-roots: {problem}"))
    });
    let export = |collector: &Collector| spans::export(collector, config.trace_ratio, scheme(&config));
    let export = config.collector.as_ref().map(export).transpose();
    let export = export.map_err(|problem| problems.push(format!("--otlp-endpoint, --otlp-ca: {problem}")));
    match (identity, tls, export) {
        (Ok(identity), Ok(tls), Ok(export)) if problems.is_empty() => {
            Ok(Prepared { config, recommendations, identity, tls, export })
        }
        _ => Err(ConfigError(problems)),
    }
}

/// The scheme that the server speaks.
fn scheme(config: &Config) -> &'static str {
    if config.tls.is_some() { "https" } else { "http" }
}

/// The table [recommendations] of the configuration's file, or all that is wrong with it.
fn recommendations(config: &Config) -> Result<Settings, Vec<String>> {
    let settings: Settings = config
        .recommendations
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| vec![error.message().to_string()])?;
    let problems = settings.validate(config.recommender == RecommenderEngine::Database);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// Serves until a signal ends it, on threads of its own.
///
/// It is not `async`, so that what it calls is compiled once, here, and not again in the program that
/// calls it.
///
/// # Errors
/// The address cannot be bound, or the database not be opened.
pub fn run(prepared: Prepared) -> Result<()> {
    Runtime::new()?.block_on(serve(prepared))
}

async fn serve(prepared: Prepared) -> Result<()> {
    telemetry::start_logging();
    let metrics = telemetry::start_metrics().context("starting metrics")?;
    let Prepared { config, recommendations, mut identity, tls, export } = prepared;
    let (spans, exporter) = export.unzip();
    tokio::spawn(telemetry::upkeep(metrics.clone()));
    let config = Arc::new(config);
    if !identity.is_configured() {
        let listen = config.listen;
        tracing::warn!(%listen, "no identity is configured: anybody who can reach this address may use it");
    } else if tls.is_none() && !config.listen.ip().is_loopback() {
        tracing::warn!(
            "keys and answers travel unencrypted, unless a proxy in front of this server encrypts them"
        );
    }
    let mut signals = Signals::new()?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?;
    let health = match config.health_listen {
        Some(at) => Some(TcpListener::bind(at).await.with_context(|| format!("listening on {at}"))?),
        None => None,
    };
    let dicom_listener = dicom::bind(&config.dicom).await?;
    let hl7_listener = hl7::bind(&config.hl7).await?;

    let console_key = demo_key(&config)?.map(|(key, entry)| {
        identity.admit(entry);
        key
    });
    let state = AppState::new(Shared {
        config: config.clone(),
        registry: Arc::new(ArcSwapOption::empty()),
        people: Arc::new(ArcSwapOption::empty()),
        cases: Arc::new(ArcSwapOption::empty()),
        identity: Arc::new(identity),
        rate: config.rate_limit.map(|limit| Arc::new(RateLimiter::keyed(Quota::per_second(limit)))),
        failures: identity::failures(),
        audit: AuditWriter::new(config.audit == AuditMode::Fail, rand::random()),
        audit_key: ArcSwapOption::empty(),
        admission: Admission::new(config.max_in_flight, config.engines, config.max_body_bytes),
        metrics: Some(metrics),
        spans,
    });
    let exporting = exporter.map(|exporter| tokio::spawn(exporter.run()));
    let (stop, stopped) = watch::channel(false);
    let bounds = Bounds {
        connections: config.max_connections,
        per_address: config.max_connections_per_address,
        idle: config.idle_timeout,
        head: config.head_timeout,
        response: config.response_timeout,
    };
    let scheme = scheme(&config);
    if let Some(health) = health {
        let few = HEALTH_CONNECTIONS;
        let bounds = Bounds { connections: few, per_address: few, ..bounds };
        tracing::info!(address = %health.local_addr()?, "health and metrics are answered here too");
        tokio::spawn(listen::serve(health, None, router::health(state.clone()), bounds, stopped.clone()));
    }
    let router = router::router(state.clone());
    let server = tokio::spawn(listen::serve(listener, tls.clone(), router, bounds, stopped.clone()));
    let reloading = tokio::spawn(upkeep::reload(state.clone(), tls.clone()));

    let people = tokio::select! {
        started = start(&state, recommendations) => started?,
        () = signals.next() => return Ok(()),
    };
    let cases = load_cases(&state, &people).await?;
    let key = audit::open(&config, people.store.as_ref()).await?;
    state.audit_key.store(Some(key.clone()));
    state.people.store(Some(people.clone()));
    state.cases.store(Some(cases.clone()));
    let finding = tokio::spawn(upkeep::keep_cases(cases.clone(), config.refresh));
    let filling = tokio::spawn(upkeep::fill_cases(cases));
    let feeding = tokio::spawn(upkeep::keep_fresh(people.clone(), config.refresh));
    let upkeep = tokio::spawn(upkeep::keep_up(state.clone(), people.clone(), key.clone()));
    let ticking = tokio::spawn(upkeep::tick(people.clone()));
    let sending = config.audit_syslog.clone();
    let sending = sending.map(|target| tokio::spawn(syslog::stream(target, people.clone(), rand::random())));
    let (audit, store, of) = (state.audit.clone(), people.store.clone(), key.clone());
    let auditing = tokio::spawn(async move { audit.run(store.as_ref(), &of).await });
    // One line on standard output for whoever started the program and waits for it.
    writeln!(std::io::stdout(), "medserve listens on {scheme}://{address} (try {scheme}://{address}/docs)")?;
    let dicom_network = dicom::start(&state, dicom_listener, tls, stopped.clone())?;
    let hl7_network = hl7::start(&state, hl7_listener, stopped)?;
    if let Some(key) = console_key {
        writeln!(
            std::io::stdout(),
            "console: {scheme}://{address}/#key={key} (opens it as administrator; the key is of this run and shown only now)"
        )?;
    }

    signals.next().await;
    tracing::info!("stopping: no new requests, those in flight are finished");
    state.admission.drain();
    // The server holds the other end until it has stopped.
    let _ = stop.send(true);
    let finished = finish(&state, server, state.spans.clone().zip(exporting));
    let at_once = tokio::select! {
        result = finished => {
            result?;
            false
        }
        () = tokio::time::sleep(config.shutdown_timeout) => {
            tracing::warn!("the time given to end ran out: requests still in flight were cut off");
            false
        }
        () = signals.next() => {
            tracing::warn!("a second signal: ending at once");
            true
        }
    };
    for task in [feeding, finding, filling, upkeep, ticking, reloading].into_iter().chain(sending) {
        task.abort();
    }
    // What waits is in the database, and goes on with the next start.
    drop((dicom_network, hl7_network));
    // What was answered is on record also where the end is in a hurry.
    state.audit.close();
    if timeout(LAST_ROWS, auditing).await.is_err() {
        state.audit.give_up(&key);
    }
    if at_once {
        std::process::exit(1);
    }
    if timeout(CLOSE, people.store.close()).await.is_err() {
        tracing::warn!("the database did not answer at the end");
    }
    Ok(())
}

/// Waits for the requests in flight, those whose clients have gone among them, and then for their spans.
async fn finish(
    state: &AppState,
    server: JoinHandle<()>,
    exporting: Option<(Spans, JoinHandle<()>)>,
) -> Result<(), JoinError> {
    server.await?;
    state.admission.until_idle().await;
    if let Some((spans, exporting)) = exporting {
        spans.close();
        exporting.await?;
    }
    Ok(())
}

/// Loads what is served: the models, then people, things and the recommender.
async fn start(state: &AppState, recommendations: Settings) -> Result<Arc<People>> {
    let config = state.config.clone();
    let (loaded, refused) = spawn_blocking(move || Registry::load(&config)).await??;
    for error in &refused {
        tracing::error!(%error, "a model package was refused");
    }
    for served in loaded.all() {
        let manifest = served.manifest();
        tracing::info!(
            model = manifest.name,
            version = manifest.version,
            task = manifest.task().as_str(),
            "serving"
        );
    }
    state.registry.store(Some(Arc::new(loaded)));
    let people = Arc::new(open(&state.config, recommendations).await?);
    for error in change::refuse_unfit(&state.registry, &state.config, |served| people.fits(served)) {
        tracing::error!(%error, "a model package was refused");
    }
    Ok(people)
}

/// Reads the cases that are kept into the index over them.
async fn load_cases(state: &AppState, people: &People) -> Result<Arc<Cases>> {
    let embedder = Arc::new(state.registry.clone());
    let cases = Cases::load(people.store.clone(), embedder).await.context("loading the cases")?;
    Ok(Arc::new(cases))
}

/// Connects the store, fills it for a demonstration, and loads the recommender.
async fn open(config: &Config, mut settings: Settings) -> Result<People> {
    let options = StoreOptions { max_connections: config.database_connections, ..StoreOptions::default() };
    let now = clock::now();
    let store = store::connect(&config.database_url, &options).await.context("opening the database")?;
    fill(config, store.as_ref()).await?;
    if let Some(oldest) = settings.weighing.oldest_reference(now) {
        settings.weighing.reference_time =
            store.reference_time(now, oldest).await.context("asking what ages are counted from")?;
    }
    let source: Arc<dyn Source> = store.clone();
    let recommender = match config.recommender {
        RecommenderEngine::Memory => Recommender::in_memory(source, settings, now).await,
        RecommenderEngine::Database => {
            let evidence =
                store.evidence(&settings.weighing).await.context("preparing the database's engine")?;
            Recommender::in_database(source, evidence, settings, now).await
        }
    };
    let recommender = recommender.context("loading people, things and interactions")?;
    Ok(People { store, recommender, reachable: AtomicBool::new(true), writable: AtomicBool::new(true) })
}

/// Fills an empty database with the invented region, where a demonstration is asked for.
async fn fill(config: &Config, store: &dyn Store) -> Result<()> {
    if !config.demo {
        return Ok(());
    }
    match demo::load(store, demo::SEED, clock::now()).await.context("filling the database")? {
        Some(_) => tracing::info!("the database was empty and now holds an invented region"),
        None => tracing::info!("the database is not empty and stays as it is"),
    }
    Ok(())
}

/// A new key of 256 random bits, and the entry by which the server knows it.
///
/// # Errors
/// A name or scopes that cannot be.
pub fn make_key(name: &str, scopes: &str, expires: Option<&str>) -> Result<(String, ApiKey)> {
    let key = format!("medserve_{}", hex::encode(rand::random::<[u8; 32]>()));
    let digest = hex::encode(Sha256::digest(&key));
    let expires = expires.map_or_else(String::new, |date| format!(":{date}"));
    let entry: ApiKey = format!("{name}:{scopes}:{digest}{expires}")
        .parse()
        .map_err(|problem| anyhow!("the entry {problem}"))?;
    Ok((key, entry))
}

/// An administrator's key for the console of a demonstration that only this machine can reach.
fn demo_key(config: &Config) -> Result<Option<(String, ApiKey)>> {
    (config.demo && config.listen.ip().is_loopback())
        .then(|| make_key("demo console", "admin", None))
        .transpose()
}

/// The signals that end the program, from the moment this was made: Ctrl-C, SIGTERM, SIGQUIT, and
/// SIGHUP, by which a terminal says that it goes away.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns at the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.quit.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
