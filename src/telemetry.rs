//! What the program says about itself: logs, metrics and, where it is configured, spans.
//!
//! Logs go to standard error, in lines for people on a terminal and as JSON otherwise (see [`lines`]). Neither
//! they nor the metrics hold anything of a request but its route, status and request id.

mod lines;
pub mod spans;

use std::io::IsTerminal;
use std::time::Duration;

use lines::Lines;
use metrics::{Label, SharedString};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// The lines of the log.
static LINES: Lines = Lines::new();

/// Upper edges of the latency histograms' buckets, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 4.0, 16.0];

/// Time between two foldings of the histograms.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Upper edges of the batch sizes' buckets.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Upper edges of the confidences' buckets, closer where models mostly are.
const CONFIDENCES: [f64; 12] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];

/// Every metric: its name, its kind and what it says.
const METRICS: [(&str, Kind, &str); 40] = [
    ("medserve_requests_total", Kind::Counter, "Requests by method, route and status"),
    ("medserve_request_seconds", Kind::Histogram, "Time from a request's head to its answer, by route"),
    ("medserve_rejected_total", Kind::Counter, "Requests refused for want of room or time, by reason"),
    ("medserve_panics_total", Kind::Counter, "Requests whose handler panicked"),
    (
        "medserve_stage_seconds",
        Kind::Histogram,
        "Time of a classification by model and stage: decode, preprocess, queue, inference",
    ),
    ("medserve_queue_length", Kind::Gauge, "Inputs that wait for a model"),
    ("medserve_batch_size", Kind::Histogram, "Inputs that an engine took at once, by model"),
    ("medserve_batches_failed_total", Kind::Counter, "Batches that a model failed on"),
    ("medserve_answers_total", Kind::Counter, "Answers by model, version and label, abstentions aside"),
    ("medserve_abstentions_total", Kind::Counter, "Answers withheld by model and version"),
    (
        "medserve_confidence",
        Kind::Histogram,
        "Highest calibrated probability of an answer or abstention, by model and version",
    ),
    (
        "medserve_model_serving",
        Kind::Gauge,
        "1 for the version of a model that is in service, 0 for one that was",
    ),
    (
        "medserve_pictures_given_up_total",
        Kind::Counter,
        "Pictures that were begun and not made, as nobody waited for them any more",
    ),
    ("medserve_model_loads_total", Kind::Counter, "Packages that administrators asked to load, by result"),
    ("medserve_recommender_age_seconds", Kind::Gauge, "Age of what recommendations are computed from"),
    ("medserve_cases", Kind::Gauge, "Cases that are searched, with a vector of the served model or without"),
    ("medserve_database_connections", Kind::Gauge, "Connections to the database by state: busy, idle"),
    ("medserve_database_connections_max", Kind::Gauge, "Most connections to the database"),
    ("medserve_audit_waiting", Kind::Gauge, "Audit rows that are not written yet"),
    ("medserve_audit_unsent", Kind::Gauge, "Audit rows that the syslog receiver has not read yet"),
    (
        "medserve_audit_lost_total",
        Kind::Counter,
        "Audit rows that were not written by the end; they are in the log",
    ),
    (
        "medserve_log_lines_lost_total",
        Kind::Counter,
        "Lines of the log that could not be written, or not soon enough",
    ),
    ("medserve_spans_lost_total", Kind::Counter, "Requests whose spans were not exported, by reason"),
    (
        "medserve_audit_problems",
        Kind::Gauge,
        "Faults of the audit found at the start: triggers that are not there, an end that another key signed",
    ),
    (
        "medserve_connections_cut_total",
        Kind::Counter,
        "Connections that were closed, by reason: evicted for another, idle, no_request, slow_head, unread",
    ),
    (
        "medserve_dicom_associations_total",
        Kind::Counter,
        "Associations that others opened, by how they ended: released, aborted, refused, too_many",
    ),
    (
        "medserve_dicom_received_total",
        Kind::Counter,
        "Images that came by C-STORE, by whether they were accepted or refused",
    ),
    (
        "medserve_dicom_answered_total",
        Kind::Counter,
        "Images of the DICOM queue by what came of them: answered, failed",
    ),
    (
        "medserve_dicom_answer_seconds",
        Kind::Histogram,
        "Time from an image's arrival by C-STORE to its answer",
    ),
    (
        "medserve_dicom_sent_total",
        Kind::Counter,
        "Tries to send a DICOM result to the peer: sent, failed, given_up",
    ),
    ("medserve_dicom_waiting", Kind::Gauge, "Images of the DICOM queue without an answer"),
    ("medserve_dicom_unsent", Kind::Gauge, "DICOM results that are still to be sent"),
    ("medserve_hl7_sent_total", Kind::Counter, "Tries to send a result by HL7"),
    ("medserve_hl7_unsent", Kind::Gauge, "HL7 messages that are still to be sent"),
    ("medserve_hl7_given_up", Kind::Gauge, "HL7 messages that the peer did not take"),
    ("medserve_bulk_exports_total", Kind::Counter, "Exports pulled from a FHIR server"),
    (
        "medserve_hl7_messages_total",
        Kind::Counter,
        "HL7 messages that came: taken, refused, or unheard for want of a place or the right address",
    ),
    ("medserve_build_info", Kind::Gauge, "1, with the version of the program"),
    ("process_resident_memory_bytes", Kind::Gauge, "Resident memory of the process"),
    ("process_open_fds", Kind::Gauge, "Open file descriptors of the process"),
];

/// The counters that are there from the start, with 0: an alert looks for an increase, and what appears
/// with its first event has none. Those of a model begin when it is put into service.
const FROM_THE_START: [(&str, &str, &[&str]); 13] = [
    ("medserve_pictures_given_up_total", "", &[""]),
    (
        "medserve_rejected_total",
        "reason",
        &[
            "busy",
            "connections",
            "deadline",
            "draining",
            "failed_logins",
            "forbidden",
            "queue_full",
            "rate",
            "slow_body",
            "too_many",
            "unauthorized",
        ],
    ),
    ("medserve_model_loads_total", "result", &["loaded", "refused"]),
    ("medserve_dicom_associations_total", "result", &["released", "aborted", "refused", "too_many"]),
    ("medserve_dicom_received_total", "result", &["accepted", "refused"]),
    ("medserve_dicom_answered_total", "result", &["answered", "failed"]),
    ("medserve_dicom_sent_total", "result", &["sent", "failed", "given_up"]),
    ("medserve_hl7_sent_total", "result", &["sent", "failed", "given_up"]),
    ("medserve_bulk_exports_total", "result", &["imported", "incomplete", "failed"]),
    ("medserve_hl7_messages_total", "result", &["taken", "refused", "unheard"]),
    ("medserve_panics_total", "", &[""]),
    ("medserve_audit_lost_total", "", &[""]),
    ("medserve_log_lines_lost_total", "", &[""]),
];

/// Kinds of metrics.
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Starts logging at the level of `MEDSERVE_LOG` (such as "debug" or "medserve=debug,warn"),
/// "info" without it. Called once; a second call changes nothing.
pub fn start_logging() {
    let filter = EnvFilter::try_from_env("MEDSERVE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    LINES.write_to(std::io::stderr());
    // What cannot be logged is counted: there is nowhere else to say it.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(&LINES).log_internal_errors(false);
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

/// Waits until what was logged is written, for no longer than this.
pub fn settle_logs(patience: Duration) {
    LINES.settle(patience);
}

/// Starts collecting metrics; the handle renders them in the Prometheus text format.
///
/// # Errors
/// A second call in one process.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_string()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("medserve_batch_size".to_string()), &BATCHES)?
        .set_buckets_for_metric(Matcher::Full("medserve_confidence".to_string()), &CONFIDENCES)?
        .install_recorder()?;
    for (name, kind, help) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram => metrics::describe_histogram!(name, help),
        }
    }
    for (name, label, values) in FROM_THE_START {
        for value in values {
            let _ = match label {
                "" => metrics::counter!(name),
                label => metrics::counter!(name, label => *value),
            };
        }
    }
    metrics::gauge!("medserve_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// These labels, and that of the tenant, unless it is the default one: a server without tenants has
/// the series that it always had.
pub fn of_tenant(tenant: &str, labels: impl IntoIterator<Item = (&'static str, SharedString)>) -> Vec<Label> {
    let named = (!tenant.is_empty()).then(|| ("tenant", tenant.to_string().into()));
    labels.into_iter().chain(named).map(|(name, value)| Label::new(name, value)).collect()
}

/// Folds what histograms have collected, again and again: where nobody scrapes the metrics, their
/// samples would otherwise pile up.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut rounds = tokio::time::interval(UPKEEP_EVERY);
    loop {
        rounds.tick().await;
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_operators_has_every_metric() {
        let page = include_str!("../docs/metrics.md");
        for (name, ..) in METRICS {
            assert!(page.contains(&format!("`{name}`")), "docs/metrics.md does not tell of {name}");
        }
    }

    /// The names that the sources under a folder count by.
    fn counted(folder: &std::path::Path, names: &mut std::collections::BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                counted(&path, names);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                for kind in ["counter!(", "gauge!(", "histogram!("] {
                    let named =
                        text.split(kind).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
                    let named = named.filter_map(|name| Some(name.split_once('"')?.0.to_string()));
                    // Not this function's own words.
                    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                    names.extend(named.filter(|name| name.chars().all(letter)));
                }
            }
        }
    }

    #[test]
    fn what_is_counted_says_what_it_is() {
        let mut names = std::collections::BTreeSet::new();
        counted(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
        assert!(names.len() > 25, "{names:?}");
        for name in names {
            assert!(METRICS.iter().any(|(own, ..)| *own == name), "{name} is not among the metrics");
        }
    }
}
