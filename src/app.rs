//! The composition root: the order of start-up and of shutdown.
//!
//! The address is bound first, so that a port in use is said at once and liveness can be asked
//! while models load; readiness follows only when they are loaded and warm.

pub mod health;
pub mod import;
mod listen;
mod tls;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use arc_swap::ArcSwapOption;
use governor::{Quota, RateLimiter};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use crate::api::{Admission, AppState, Identity, People, Shared, router};
use crate::config::{self, ApiKey, AuditMode, Collector, Config, ConfigError, RecommenderEngine};
use crate::inference::Registry;
use crate::store::{self, AuditWriter, KEEP_CHANGES, Store, StoreOptions, TRIM_BATCH, demo};
use crate::telemetry;
use crate::telemetry::spans::{self, Exporter, Spans};
use listen::Bounds;
use recommend::clock;
use recommend::{Recommender, Settings, Source};

/// Time between two trims of the change feed.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Time between two rounds of upkeep.
const KEEP_UP_EVERY: Duration = Duration::from_secs(30);

/// All that can be known to be right before anything is opened.
pub struct Prepared {
    config: Config,
    recommendations: Settings,
    identity: Identity,
    tls: Option<TlsAcceptor>,
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
    let tls = config.tls.as_ref().map(tls::acceptor).transpose();
    let tls = tls.map_err(|problem| problems.push(format!("--tls-certificate, --tls-key: {problem}")));
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

/// Serves until a signal ends it.
///
/// # Errors
/// The address cannot be bound, or the database not be opened.
pub async fn serve(prepared: Prepared) -> Result<()> {
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

    let console_key = demo_key(&config)?.map(|(key, entry)| {
        identity.admit(entry);
        key
    });
    let state = AppState::new(Shared {
        config: config.clone(),
        registry: Arc::new(ArcSwapOption::empty()),
        people: Arc::new(ArcSwapOption::empty()),
        identity: Arc::new(identity),
        rate: config.rate_limit.map(|limit| Arc::new(RateLimiter::keyed(Quota::per_second(limit)))),
        audit: AuditWriter::new(config.audit == AuditMode::Fail, rand::random()),
        admission: Admission::new(config.max_in_flight, config.engines, config.max_body_bytes),
        metrics: Some(metrics),
        spans,
    });
    let exporting = exporter.map(|exporter| tokio::spawn(exporter.run()));
    let (stop, stopped) = watch::channel(false);
    let bounds = Bounds { connections: config.max_connections, idle: config.idle_timeout };
    let scheme = scheme(&config);
    let server = tokio::spawn(listen::serve(listener, tls, router::router(state.clone()), bounds, stopped));

    let people = tokio::select! {
        started = start(&state, recommendations) => started?,
        () = signals.next() => return Ok(()),
    };
    let feeding = tokio::spawn(keep_fresh(people.clone(), config.refresh));
    let upkeep = tokio::spawn(keep_up(state.clone(), people.clone()));
    let (audit, store) = (state.audit.clone(), people.store.clone());
    let auditing = tokio::spawn(async move { audit.run(store.as_ref()).await });
    // One line on standard output for whoever started the program and waits for it.
    writeln!(std::io::stdout(), "medserve listens on {scheme}://{address} (try {scheme}://{address}/docs)")?;
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
    tokio::select! {
        result = finish(server, state.spans.clone().zip(exporting)) => result?,
        () = tokio::time::sleep(config.shutdown_timeout) => {
            tracing::warn!("the time given to end ran out: requests still in flight were cut off");
        }
        () = signals.next() => {
            tracing::warn!("a second signal: ending at once");
            std::process::exit(1);
        }
    }
    feeding.abort();
    upkeep.abort();
    state.audit.close();
    auditing.await?;
    people.store.close().await;
    Ok(())
}

/// Waits for the requests in flight, and then for their spans.
async fn finish(server: JoinHandle<()>, exporting: Option<(Spans, JoinHandle<()>)>) -> Result<(), JoinError> {
    server.await?;
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
    state.people.store(Some(people.clone()));
    Ok(people)
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
    Ok(People { store, recommender, reachable: AtomicBool::new(true) })
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

/// Takes over writes of other replicas and of plain SQL, again and again, and tidies up behind.
async fn keep_fresh(people: Arc<People>, every: Duration) {
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trimmed = Instant::now();
    let mut merging: Option<JoinHandle<()>> = None;
    // At most one; a set, because that ends with this task.
    let mut loading = JoinSet::new();
    loop {
        rounds.tick().await;
        let fresh = people.recommender.fresh();
        let refreshed = fresh.refresh(clock::now()).await;
        let answers = refreshed.is_ok();
        let reachable = people.reachable.swap(answers, Ordering::Relaxed);
        match refreshed {
            Err(error) if reachable => {
                tracing::warn!(%error, "the database does not answer; recommendations go on from the last snapshot");
            }
            Ok(()) if !reachable => tracing::info!("the database answers again"),
            _ => {}
        }
        // The looks at the feed go on during this as well.
        if let Some(loaded) = loading.try_join_next() {
            match loaded {
                Ok(Ok(())) => tracing::info!("everything was loaded anew"),
                Ok(Err(error)) => tracing::warn!(%error, "loading everything anew failed"),
                Err(_) => tracing::error!("loading everything anew broke off"),
            }
        }
        if answers && fresh.reload_is_due() && loading.is_empty() {
            let people = people.clone();
            loading.spawn(async move { people.recommender.fresh().reload(clock::now()).await });
        }
        let age = clock::now() - fresh.snapshot().as_of;
        metrics::gauge!("medserve_recommender_age_seconds").set(age as f64 / 1e3);
        let tidying = trimmed.elapsed() >= TRIM_EVERY;
        // A merge computes for seconds, during which the looks at the feed go on.
        if merging.as_ref().is_none_or(JoinHandle::is_finished) {
            if let Some(merged) = merging.take()
                && merged.await.is_err()
            {
                tracing::error!("merging the recent writes failed");
            }
            if fresh.merge_is_due(tidying) {
                let people = people.clone();
                merging = Some(spawn_blocking(move || people.recommender.fresh().merge(tidying)));
            }
        }
        if tidying {
            trimmed = Instant::now();
            if let Err(error) = people.store.trim_changes(KEEP_CHANGES).await {
                tracing::warn!(%error, "the change feed was not trimmed");
            }
        }
    }
}

/// Tidies up now and then: callers that stayed away, keys that were replaced, audit rows whose
/// time has passed.
async fn keep_up(state: AppState, people: Arc<People>) {
    let mut rounds = tokio::time::interval(KEEP_UP_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        state.identity.reload();
        if let Some(rate) = &state.rate {
            rate.retain_recent();
        }
        loop {
            match people.store.trim_audit(state.config.audit_keep).await {
                Ok(gone) if gone < u64::from(TRIM_BATCH) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the audit was not trimmed");
                    break;
                }
            }
        }
    }
}

/// A new key of 256 random bits, and the entry by which the server knows it.
///
/// # Errors
/// A name or scopes that cannot be.
pub fn make_key(name: &str, scopes: &str) -> Result<(String, ApiKey)> {
    let key = format!("medserve_{}", hex::encode(rand::random::<[u8; 32]>()));
    let digest = hex::encode(Sha256::digest(&key));
    let entry =
        format!("{name}:{scopes}:{digest}").parse().map_err(|problem| anyhow!("the entry {problem}"))?;
    Ok((key, entry))
}

/// An administrator's key for the console of a demonstration that only this machine can reach.
fn demo_key(config: &Config) -> Result<Option<(String, ApiKey)>> {
    (config.demo && config.listen.ip().is_loopback()).then(|| make_key("demo console", "admin")).transpose()
}

/// Ctrl-C and SIGTERM, from the moment this was made.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns at the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
