//! The composition root: the order of start-up and of shutdown.
//!
//! The address is bound first, so that a port in use is said at once and liveness can be asked
//! while models load; readiness follows only when they are loaded and warm.

pub mod import;

use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::api::{AppState, People, router};
use crate::config::{Config, RecommenderEngine};
use crate::inference::Registry;
use crate::recommend::clock;
use crate::recommend::recommender::{Recommender, Settings};
use crate::recommend::source::Source;
use crate::recommend::weights::Weighing;
use crate::store::{self, KEEP_CHANGES, Store, StoreOptions, demo};
use crate::telemetry;

/// Time between two trims of the change feed.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Serves until a signal ends it.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(config: Config) -> Result<()> {
    telemetry::start_logging();
    let metrics = telemetry::start_metrics().context("starting metrics")?;
    tokio::spawn(telemetry::upkeep(metrics.clone()));
    let config = Arc::new(config);
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?;

    let registry = Arc::new(ArcSwapOption::empty());
    let people = Arc::new(ArcSwapOption::empty());
    let state = AppState {
        config: config.clone(),
        registry: registry.clone(),
        people: people.clone(),
        metrics: Some(metrics),
    };
    let (stop, stopped) = watch::channel(false);
    let server = axum::serve(listener, router::router(state)).with_graceful_shutdown(wait(stopped));
    let server = tokio::spawn(server.into_future());

    let loading = config.clone();
    let (loaded, refused) = tokio::task::spawn_blocking(move || Registry::load(&loading)).await?;
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
    registry.store(Some(Arc::new(loaded)));
    let opened = Arc::new(open(&config).await?);
    people.store(Some(opened.clone()));
    let feeding = tokio::spawn(keep_fresh(opened.clone(), config.refresh));
    // One line on standard output for whoever started the program and waits for it.
    writeln!(std::io::stdout(), "medserve listens on http://{address} (try http://{address}/docs)")?;

    signal().await;
    tracing::info!("stopping: no new connections, requests in flight are finished");
    // The server holds the other end until it has stopped.
    let _ = stop.send(true);
    tokio::select! {
        result = server => result??,
        () = tokio::time::sleep(config.shutdown_timeout) => tracing::warn!("requests in flight were cut off"),
        () = signal() => tracing::warn!("a second signal: stopping at once"),
    }
    feeding.abort();
    opened.store.close().await;
    Ok(())
}

/// Connects the store, fills it for a demonstration, and loads the recommender.
async fn open(config: &Config) -> Result<People> {
    let settings: Settings =
        config.recommendations.clone().try_into().context("the table [recommendations] of the file")?;
    settings
        .weighing
        .validate()
        .map_err(anyhow::Error::msg)
        .context("the table [recommendations] of the file")?;
    let weighing = Weighing { reference_time: clock::now(), ..settings.weighing };
    let settings = Settings { weighing, ..settings };
    let options = StoreOptions { max_connections: config.database_connections, ..StoreOptions::default() };
    let now = clock::now();
    let store = store::connect(&config.database_url, &options).await.context("opening the database")?;
    fill(config, store.as_ref()).await?;
    let source: Arc<dyn Source> = store.clone();
    let recommender = match config.recommender {
        RecommenderEngine::Memory => Recommender::in_memory(source, settings, now).await,
        RecommenderEngine::Database => {
            let evidence =
                store.evidence(&settings.weighing).await.context("preparing the database's engine")?;
            Recommender::in_database(source, evidence, settings, now).await
        }
    };
    Ok(People { store, recommender: recommender.context("loading people, things and interactions")? })
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
    let mut failing = false;
    loop {
        rounds.tick().await;
        let fresh = people.recommender.fresh();
        match fresh.refresh(clock::now()).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "recommendations go on from the last snapshot");
            }
            Err(_) => {}
        }
        let age = clock::now() - fresh.snapshot().as_of;
        metrics::gauge!("medserve_recommender_age_seconds").set(age as f64 / 1e3);
        if fresh.merge_is_due() {
            let people = people.clone();
            let merged = tokio::task::spawn_blocking(move || people.recommender.fresh().merge()).await;
            if merged.is_err() {
                tracing::error!("merging the recent writes failed");
            }
        }
        if trimmed.elapsed() >= TRIM_EVERY {
            trimmed = Instant::now();
            if let Err(error) = people.store.trim_changes(KEEP_CHANGES).await {
                tracing::warn!(%error, "the change feed was not trimmed");
            }
        }
    }
}

/// Asks the server at `address` whether it is ready, for container health checks: an image
/// without a shell or a client has nothing else to ask with.
///
/// # Errors
/// No answer, or another than 200.
pub fn check_health(address: SocketAddr) -> Result<()> {
    let limit = Duration::from_secs(2);
    let mut stream =
        TcpStream::connect_timeout(&address, limit).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET /health/ready HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer)?;
    ensure!(
        answer.split_whitespace().nth(1) == Some("200"),
        "not ready: {}",
        answer.lines().last().unwrap_or_default()
    );
    Ok(())
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // An error means the sender is gone, which ends the server as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Returns at Ctrl-C or SIGTERM.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending::<()>().await,
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
