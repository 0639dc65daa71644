//! What the program says about itself: logs and metrics.
//!
//! Logs go to standard error, in lines for people on a terminal and as JSON otherwise. Neither
//! they nor the metrics hold anything of a request but its route, status and request id.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Upper edges of the latency histograms' buckets, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 4.0, 16.0];

/// Starts logging at the level of `MEDSERVE_LOG` (such as "debug" or "medserve=debug,warn"),
/// "info" without it. Called once; a second call changes nothing.
pub fn start_logging() {
    let filter = EnvFilter::try_from_env("MEDSERVE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let result = match std::io::stderr().is_terminal() {
        true => builder.try_init(),
        false => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "logging was started before");
    }
    // A panic is a line like any other, by its place alone: its words may hold parts of a request.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name().unwrap_or_default(), "a thread panicked");
    }));
}

/// Starts collecting metrics; the handle renders them in the Prometheus text format.
///
/// # Errors
/// A second call in one process.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_string()), &SECONDS)?
        .install_recorder()
}
