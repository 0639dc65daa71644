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
mod seal;
mod site;
mod tls;
mod upkeep;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arc_swap::ArcSwapOption;
use futures::future::join_all;
use governor::{Quota, RateLimiter};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};

use crate::api::{Admission, AppState, Identity, Shared, identity, router, tenants};
use crate::bulk::{self, ClientKey};
use crate::config::{self, ApiKey, AuditMode, Collector, Config, ConfigError, RecommenderEngine, Strange};
use crate::inference::registry::Served;
use crate::inference::{Registry, change};
use crate::outbound::{Http, Trust};
use crate::store::AuditWriter;
use crate::telemetry;
use crate::telemetry::spans::{self, Exporter, Spans};
use connections::Bounds;
use recommend::Settings;
use site::Site;
use tls::Certificates;

/// Connections to the listener that answers about health alone.
const HEALTH_CONNECTIONS: usize = 64;

/// For how long the end waits for whoever reads the log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// All that can be known to be right before anything is opened.
pub struct Prepared {
    config: Config,
    recommendations: Settings,
    identity: Identity,
    tls: Option<Certificates>,
    export: Option<(Spans, Exporter)>,
    peers: Peers,
    unknown: Vec<String>,
}

/// Who vouches for the programs that this one connects to, of each where it is configured.
#[derive(Default)]
struct Peers {
    dicom: Option<Trust>,
    hl7: Option<Trust>,
    bulk: Option<(ClientKey, Http)>,
}

/// Checks everything that was configured, and what of the environment looks as if it was meant to be.
///
/// # Errors
/// All that is wrong with it.
pub fn prepare(given: &config::Settings, strange: Strange) -> Result<Prepared, ConfigError> {
    let (config, mut problems) = Config::read(given);
    let Strange { slips, unknown } = strange;
    problems.extend(slips);
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
    let mut trust = |file: Option<&PathBuf>, flag: &str| match file.map(|file| Trust::read(file)).transpose()
    {
        Ok(trust) => trust,
        Err(problem) => {
            problems.push(format!("{flag}: {problem}"));
            None
        }
    };
    let peers = Peers {
        dicom: trust(config.dicom.peer_ca.as_ref(), "--dicom-peer-ca"),
        hl7: trust(config.hl7.peer.as_ref().and_then(|peer| peer.ca.as_ref()), "--hl7-peer-ca"),
        bulk: None,
    };
    let vouched = trust(config.bulk.as_ref().and_then(|bulk| bulk.ca.as_ref()), "--bulk-ca");
    let bulk = config
        .bulk
        .as_ref()
        .map(|bulk| -> Result<_, String> { Ok((ClientKey::read(&bulk.key)?, Http::new(vouched.as_ref())?)) });
    let bulk = bulk.transpose().unwrap_or_else(|problem| {
        problems.push(format!("--bulk-key: {problem}"));
        None
    });
    let peers = Peers { bulk, ..peers };
    match (identity, tls, export) {
        (Ok(identity), Ok(tls), Ok(export)) if problems.is_empty() => {
            Ok(Prepared { config, recommendations, identity, tls, export, peers, unknown })
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
    let ended = Runtime::new()?.block_on(serve(prepared));
    telemetry::settle_logs(LAST_LINES);
    ended
}

async fn serve(prepared: Prepared) -> Result<()> {
    telemetry::start_logging();
    let metrics = telemetry::start_metrics().context("starting metrics")?;
    let Prepared { config, recommendations, mut identity, tls, export, peers, unknown } = prepared;
    for problem in unknown {
        tracing::warn!(problem, "a variable of the environment counts for nothing");
    }
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
    let registry = Arc::new(ArcSwapOption::empty());
    let (identity, failures) = (Arc::new(identity), Arc::new(identity::failures()));
    let rate = config.rate_limit.map(|limit| Arc::new(RateLimiter::keyed(Quota::per_second(limit))));
    let admission = Admission::new(config.max_in_flight, config.engines, config.max_body_bytes);
    let state_of = |tenant: &str| {
        AppState::new(Shared {
            tenant: tenant.to_string(),
            others: OnceLock::new(),
            config: of_tenant(&config, tenant),
            registry: registry.clone(),
            people: Arc::new(ArcSwapOption::empty()),
            cases: Arc::new(ArcSwapOption::empty()),
            identity: identity.clone(),
            rate: rate.clone(),
            failures: failures.clone(),
            audit: AuditWriter::new(tenant, config.audit == AuditMode::Fail, rand::random()),
            audit_key: ArcSwapOption::empty(),
            admission: admission.clone(),
            metrics: Some(metrics.clone()),
            spans: spans.clone(),
        })
    };
    // The default tenant's is the first.
    let states: Vec<AppState> = config.tenants.all().map(state_of).collect();
    let (state, others) = (states[0].clone(), &states[1..]);
    let _ = state.others.set(others.to_vec());
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
    let router = tenants::router(state.clone(), others);
    let server = tokio::spawn(listen::serve(listener, tls.clone(), router, bounds, stopped.clone()));
    let reloading = tokio::spawn(upkeep::reload(state.clone(), tls.clone()));

    let sites = tokio::select! {
        started = start(&states, recommendations) => started?,
        () = signals.next() => {
            // What was answered while the start waited, such as for the database, is in the log at least.
            states.iter().for_each(|state| state.audit.give_up(None));
            return Ok(());
        }
    };
    // The default tenant's last: once it is there, the server says that it has started.
    let mut sites: Vec<site::Served> = sites.into_iter().rev().map(Site::serve).collect();
    // One line on standard output for whoever started the program and waits for it.
    writeln!(std::io::stdout(), "medserve listens on {scheme}://{address} (try {scheme}://{address}/docs)")?;
    let network = states.iter().find(|state| state.tenant == config.tenants.network).unwrap_or(&state);
    let dicom_network = dicom::start(network, dicom_listener, tls, peers.dicom, stopped.clone())?;
    let mut pulling = JoinSet::new();
    if let Some((config, (key, http))) = config.bulk.clone().zip(peers.bulk) {
        pulling.spawn(bulk::pull(network.clone(), config, key, http));
    }
    let hl7_network = hl7::start(network, hl7_listener, peers.hl7, stopped)?;
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
    reloading.abort();
    // What waits is in the database, and goes on with the next start.
    drop((dicom_network, hl7_network, pulling));
    join_all(sites.iter_mut().map(site::Served::end)).await;
    telemetry::settle_logs(LAST_LINES);
    if at_once {
        std::process::exit(1);
    }
    join_all(sites.into_iter().map(site::Served::close)).await;
    Ok(())
}

/// The configuration as a tenant has it: results are sent for the network's tenant alone.
fn of_tenant(config: &Arc<Config>, tenant: &str) -> Arc<Config> {
    let mut own = config.clone();
    if own.tenants.network != tenant {
        let own = Arc::make_mut(&mut own);
        own.dicom.peer = None;
        own.hl7.peer = None;
    }
    own
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

/// Loads what is served: the models, then what each tenant has.
async fn start(states: &[AppState], recommendations: Settings) -> Result<Vec<Site>> {
    let state = &states[0];
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
    let mut sites = Vec::with_capacity(states.len());
    for state in states {
        let opened = Site::open(state.clone(), recommendations.clone()).await;
        sites.push(match state.tenant.as_str() {
            "" => opened?,
            tenant => opened.with_context(|| format!("the tenant {tenant}"))?,
        });
    }
    let fits = |served: &Served| {
        let owner = state.config.tenants.owner(&served.manifest().name);
        sites.iter().find(|site| site.tenant() == owner).map_or(Ok(()), |site| site.people.fits(served))
    };
    for error in change::refuse_unfit(&state.registry, &state.config, fits) {
        tracing::error!(%error, "a model package was refused");
    }
    if let Some(registry) = state.registry.load_full() {
        for served in registry.all() {
            let owner = state.config.tenants.owner(&served.manifest().name);
            if let Some(site) = sites.iter().find(|site| site.tenant() == owner) {
                site.people.keep(served).await;
            }
        }
    }
    Ok(sites)
}

/// A new key of 256 random bits, and the entry by which the server knows it.
///
/// # Errors
/// A name or scopes that cannot be.
pub fn make_key(
    name: &str,
    scopes: &str,
    tenant: Option<&str>,
    expires: Option<&str>,
) -> Result<(String, ApiKey)> {
    let key = format!("medserve_{}", hex::encode(rand::random::<[u8; 32]>()));
    let digest = hex::encode(Sha256::digest(&key));
    let expires = expires.map_or_else(String::new, |date| format!(":{date}"));
    let tenant = tenant.map_or_else(String::new, |tenant| format!("@{tenant}"));
    let entry: ApiKey = format!("{name}:{scopes}{tenant}:{digest}{expires}")
        .parse()
        .map_err(|problem| anyhow!("the entry {problem}"))?;
    Ok((key, entry))
}

/// An administrator's key for the console of a demonstration that only this machine can reach.
fn demo_key(config: &Config) -> Result<Option<(String, ApiKey)>> {
    (config.demo && config.listen.ip().is_loopback())
        .then(|| make_key("demo console", "admin", None, None))
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
