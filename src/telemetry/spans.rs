//! Spans of the requests answered, to an OpenTelemetry collector by OTLP over HTTP.
//!
//! The library knows the protocol: the messages, and when to try again. The queue before it is
//! ours, so that what does not go out is bounded, counted and said once: a request hands its span
//! over without waiting, or the span is lost. A span holds a request's method, route, status and
//! times, and nothing else of it: a path names people, and a caller's `tracestate` may.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use rand::RngExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::config::Collector;
use crate::outbound::Trust;

/// Requests whose spans may wait.
const CAPACITY: usize = 4096;
/// Requests whose spans go out together.
const BATCH: usize = 256;
/// Time in which they gather.
const GATHER: Duration = Duration::from_secs(1);
/// Longest time for a batch to go out, tries included.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request that was answered.
#[derive(Debug)]
pub struct Served {
    /// The trace.
    pub trace: u128,
    /// The server's span.
    pub span: u64,
    /// The caller's span; none where the trace begins here.
    pub parent: Option<u64>,
    /// The method; none for one that HTTP does not know.
    pub method: Option<&'static str>,
    /// The route's pattern; none for a path that fits no route.
    pub route: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// When it was answered.
    pub end: SystemTime,
    /// Time from the request's head to the answer.
    pub elapsed: Duration,
    /// Where a classification's time went.
    pub stages: Option<Stages>,
}

/// Where a classification's time went.
#[derive(Debug, Clone, Copy)]
pub struct Stages {
    /// When the last of them ended.
    pub end: SystemTime,
    /// Their names and times, one after another.
    pub times: [(&'static str, Duration); 4],
}

/// Takes the spans of requests; shared by those who answer.
#[derive(Debug, Clone)]
pub struct Spans {
    queue: mpsc::Sender<Served>,
    ratio: f64,
    closed: Arc<Notify>,
}

impl Spans {
    /// The share of the traces begun here that is recorded, 0 to 1.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Takes the spans of a request, if there is room for them.
    pub fn record(&self, served: Served) {
        if self.queue.try_send(served).is_err() {
            lost("queue_full", 1);
        }
    }

    /// Takes no more. What waits still goes out.
    pub fn close(&self) {
        self.closed.notify_one();
    }
}

/// Sends what [`Spans`] takes.
pub struct Exporter {
    queue: mpsc::Receiver<Served>,
    closed: Arc<Notify>,
    client: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    /// The scheme of the requests: http or https.
    scheme: &'static str,
    scope: InstrumentationScope,
    failing: bool,
}

/// The way to `collector`, for a server that speaks `scheme` and records a share of `ratio` of the
/// traces that begin with it.
///
/// # Errors
/// Certificates that cannot be read; what the library reads from the environment, such as headers, and
/// does not understand.
pub fn export(collector: &Collector, ratio: f64, scheme: &'static str) -> Result<(Spans, Exporter), String> {
    let Collector { endpoint, ca } = collector;
    let mut builder = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(PATIENCE);
    if let Some(file) = ca {
        let config = Trust::read(file)?.config();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        builder = builder.with_http_client(HyperClient::new(connector, PATIENCE, None));
    }
    let mut client = builder.build().map_err(|error| error.to_string())?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    client.set_resource(&Resource::builder().with_service_name("medserve").with_attribute(version).build());
    let (sender, queue) = mpsc::channel(CAPACITY);
    let closed = Arc::new(Notify::new());
    let exporter = Exporter {
        queue,
        closed: closed.clone(),
        client,
        endpoint: endpoint.clone(),
        scheme,
        scope: InstrumentationScope::builder("medserve").build(),
        failing: false,
    };
    Ok((Spans { queue: sender, ratio, closed }, exporter))
}

impl Exporter {
    /// Sends until no more is taken and everything is sent, or cannot be.
    pub async fn run(mut self) {
        for reason in ["queue_full", "collector"] {
            lost(reason, 0);
        }
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let ended = tokio::select! {
                () = gather(&mut self.queue, &mut batch) => batch.is_empty(),
                () = self.closed.notified() => {
                    self.queue.close();
                    false
                }
            };
            if ended {
                return;
            }
            if !batch.is_empty() && !self.send(&mut batch).await && self.queue.is_closed() {
                // There is no time to try with each batch that is left.
                lost("collector", self.queue.len());
                return;
            }
        }
    }

    /// Sends a batch and empties it; false where the collector did not take it.
    async fn send(&mut self, batch: &mut Vec<Served>) -> bool {
        let requests = batch.len();
        let spans = batch.drain(..).flat_map(|served| self.spans(served)).collect();
        match self.client.export(spans).await {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(endpoint = self.endpoint, "the collector takes spans again");
                }
                true
            }
            Err(error) => {
                lost("collector", requests);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, endpoint = self.endpoint, "the collector takes no spans; they are lost until it does");
                }
                false
            }
        }
    }

    /// The request's span by the conventions of OpenTelemetry for HTTP servers, and those within
    /// it. `url.path` is left out, which the conventions would have.
    fn spans(&self, served: Served) -> Vec<SpanData> {
        let Served { trace, span, parent, method, route, status, end, elapsed, stages } = served;
        let start = end - elapsed;
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
            KeyValue::new("url.scheme", self.scheme),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        let mut name = method.unwrap_or("HTTP").to_string();
        if let Some(route) = route {
            name = format!("{name} {route}");
            attributes.push(KeyValue::new("http.route", route));
        }
        let failed = status >= 500;
        if failed {
            attributes.push(KeyValue::new("error.type", status.to_string()));
        }
        let request = SpanData {
            parent_span_is_remote: parent.is_some(),
            span_kind: SpanKind::Server,
            name: name.into(),
            attributes,
            status: if failed { Status::error("") } else { Status::Unset },
            ..self.span(trace, span, parent.unwrap_or_default(), start, end)
        };
        let mut spans = vec![request];
        let mut random = rand::rng();
        let mut end = stages.map_or(start, |stages| stages.end);
        for (stage, time) in stages.into_iter().flat_map(|stages| stages.times).rev() {
            // Over several inputs the stages overlap and each is the longest: in a row they may be
            // longer than the request.
            let begin = (end - time).max(start).min(end);
            if !time.is_zero() {
                let id = random.random_range(1..=u64::MAX);
                spans.push(SpanData { name: stage.into(), ..self.span(trace, id, span, begin, end) });
            }
            end = begin;
        }
        spans
    }

    /// A span within this server of which nothing is said but its place.
    fn span(&self, trace: u128, span: u64, parent: u64, start: SystemTime, end: SystemTime) -> SpanData {
        let (trace, span) = (TraceId::from(trace), SpanId::from(span));
        SpanData {
            span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "".into(),
            start_time: start,
            end_time: end,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// Waits for something to send and for what follows soon; nothing comes once the queue is closed
/// and empty. What was gathered is in the batch wherever this is left off.
async fn gather(queue: &mut mpsc::Receiver<Served>, batch: &mut Vec<Served>) {
    queue.recv_many(batch, BATCH).await;
    let due = Instant::now() + GATHER;
    while !batch.is_empty() && batch.len() < BATCH {
        let room = BATCH - batch.len();
        match timeout_at(due, queue.recv_many(batch, room)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
}

fn lost(reason: &'static str, requests: usize) {
    metrics::counter!("medserve_spans_lost_total", "reason" => reason).increment(requests as u64);
}
