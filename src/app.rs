//! The composition root: the order of start-up and of shutdown.
//!
//! The address is bound first, so that a port in use is said at once and liveness can be asked
//! while models load; readiness follows only when they are loaded and warm.

use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{AppState, router};
use crate::config::Config;
use crate::inference::Registry;
use crate::telemetry;

/// Serves until a signal ends it.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(config: Config) -> Result<()> {
    telemetry::start_logging();
    let metrics = telemetry::start_metrics().context("starting metrics")?;
    let config = Arc::new(config);
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?;

    let registry = Arc::new(ArcSwapOption::empty());
    let state = AppState { config: config.clone(), registry: registry.clone(), metrics: Some(metrics) };
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
    Ok(())
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
