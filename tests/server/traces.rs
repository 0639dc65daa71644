//! Spans to an OpenTelemetry collector, black box: a collector of our own takes what the server
//! sends. It finds the requests of the traces that are recorded, with nothing of a person in
//! them; and requests and the end do not mind whether there is a collector.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::tls::{Certificate, Private};
use crate::support::{Server, shipped_models};
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::serve::Listener;
use hex::encode as hex;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message;
use reqwest::{Client, Method, Response};
use serde_json::json;
use tokio::net::TcpListener;
use vision::phantom::chest_phantom;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector on this machine that keeps the bodies it was sent.
struct Collector {
    endpoint: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        Collector::listening(listener, endpoint)
    }

    /// One at an https address, and its certificate.
    async fn start_private() -> (Collector, String) {
        let certificate = Certificate::new();
        let (listener, endpoint) = Private::bind(&certificate).await;
        (Collector::listening(listener, endpoint), certificate.pem)
    }

    fn listening(listener: impl Listener<Addr = SocketAddr>, endpoint: String) -> Collector {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = bodies.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            kept.lock().unwrap().push(body);
        };
        let routes = axum::Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Collector { endpoint, bodies }
    }

    /// A server whose spans come here.
    fn server(&self, arguments: &[&str]) -> Server {
        Server::start(&shipped_models(), &[&["--otlp-endpoint", &self.endpoint], arguments].concat())
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let of_resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let of_scopes = of_resources.flat_map(|resource| resource.scope_spans);
        of_scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.as_str(), text(pair))).collect()
}

async fn classify(server: &Server, flags: &str) -> Response {
    let request = Client::new().post(server.at("/v1/images/classify?model=pneumonia"));
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}"));
    request.body(chest_phantom(1, 64).unwrap()).send().await.unwrap()
}

/// The span of the server, as the answer tells it, and whether it is recorded.
fn told(response: &Response) -> (String, bool) {
    let told = response.headers()["traceparent"].to_str().unwrap();
    let parts: Vec<&str> = told.split('-').collect();
    (parts[2].to_string(), parts[3] == "01")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_recorded_trace_is_a_span_and_so_are_its_stages() {
    let collector = Collector::start().await;
    let server = collector.server(&[]);
    let response = classify(&server, "01").await;
    assert_eq!(response.status(), 200);
    let (told, recorded) = told(&response);
    assert!(recorded);
    // The end sends what waits.
    let (status, log) = server.terminate();
    assert_eq!(status, Some(0), "{log}");

    for request in collector.requests() {
        let resource = request.resource_spans[0].resource.as_ref().unwrap();
        let resource = attributes(&resource.attributes);
        assert_eq!(resource["service.name"], "medserve");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    }
    let spans = collector.spans();
    let (served, stages): (Vec<&Span>, Vec<&Span>) =
        spans.iter().partition(|span| span.kind() == SpanKind::Server);
    let [served] = served[..] else { panic!("{spans:?}") };
    assert_eq!(served.name, "POST /v1/images/classify");
    let ids = [&served.trace_id, &served.span_id, &served.parent_span_id].map(hex);
    assert_eq!(ids, [TRACE, &told, PARENT]);
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/v1/images/classify"),
        ("url.scheme", "http"),
    ];
    assert_eq!(attributes(&served.attributes), expected.map(|(key, text)| (key, text.to_string())).into());
    assert_eq!(served.status.as_ref().unwrap().code(), StatusCode::Unset);

    let mut before = served.start_time_unix_nano;
    let mut names = Vec::new();
    for stage in stages.iter().rev() {
        assert_eq!((hex(&stage.trace_id).as_str(), &stage.parent_span_id), (TRACE, &served.span_id));
        assert!(stage.attributes.is_empty() && stage.kind() == SpanKind::Internal);
        assert!(before <= stage.start_time_unix_nano, "{stage:?} begins before what it follows");
        assert!(stage.start_time_unix_nano < stage.end_time_unix_nano);
        before = stage.end_time_unix_nano;
        names.push(stage.name.as_str());
    }
    assert_eq!(names, ["decode", "preprocess", "queue", "inference"]);
    assert!(before <= served.end_time_unix_nano);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_says_what_is_recorded_and_the_ratio_where_no_caller_does() {
    for (ratio, begun_is_recorded) in [("1", true), ("0", false)] {
        let collector = Collector::start().await;
        let server = collector.server(&["--trace-ratio", ratio]);
        assert!(!told(&classify(&server, "00").await).1);
        let (followed, recorded) = told(&classify(&server, "01").await);
        assert!(recorded);
        let (begun, recorded) = told(&Client::new().get(server.at("/v1/models")).send().await.unwrap());
        assert_eq!(recorded, begun_is_recorded);
        server.terminate();

        let spans = collector.spans();
        let served = spans.iter().filter(|span| span.kind() == SpanKind::Server);
        let served: Vec<(String, bool)> =
            served.map(|span| (hex(&span.span_id), span.parent_span_id.is_empty())).collect();
        let expected = [(followed, false), (begun, true)];
        assert_eq!(served, expected[..if begun_is_recorded { 2 } else { 1 }]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_tells_a_failure_of_the_server_and_no_other() {
    let collector = Collector::start().await;
    let empty = tempfile::tempdir().unwrap();
    let server = Server::start(empty.path(), &["--otlp-endpoint", &collector.endpoint]);
    let client = Client::new();
    // Without a model it is not ready.
    assert_eq!(client.get(server.at("/health/ready")).send().await.unwrap().status(), 503);
    assert_eq!(client.get(server.at("/nowhere")).send().await.unwrap().status(), 404);
    let method = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(client.request(method, server.at("/nowhere")).send().await.unwrap().status(), 404);
    server.terminate();

    let spans = collector.spans();
    let line = |span: &Span| {
        let attributes = attributes(&span.attributes);
        let value = |key: &str| attributes.get(key).map_or("none", String::as_str);
        let (method, route) = (value("http.request.method"), value("http.route"));
        let status = span.status.as_ref().unwrap().code();
        format!("{}: {method}, {route}, {}, {status:?}", span.name, value("error.type"))
    };
    let seen: Vec<String> = spans.iter().map(line).collect();
    let expected = [
        "GET /health/ready: GET, /health/ready, 503, Error",
        "GET: GET, none, none, Unset",
        "HTTP: _OTHER, none, none, Unset",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_person_is_in_what_is_sent() {
    let canary = "Zyxwvut-Canary-4711";
    let collector = Collector::start().await;
    let server = collector.server(&[]);
    let client = Client::new();
    let marked = |request: reqwest::RequestBuilder| {
        let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
        let request = request.header("tracestate", format!("ward={canary}")).header("baggage", canary);
        request.header("x-request-id", canary).header("user-agent", canary).send()
    };
    let note = json!({"model": "triage", "records": [{"note": canary}]});
    let unfit = json!({"model": canary, "records": [{"note": "pain", "fields": {"age": canary}}]});
    let profile = json!({"profile": {"allergies": [canary]}});
    for request in [
        client.post(server.at("/v1/notes/classify")).json(&note),
        client.post(server.at("/v1/notes/classify")).json(&unfit),
        client.put(server.at(&format!("/v1/users/{canary}"))).json(&profile),
        client.get(server.at(&format!("/v1/users/{canary}/recommendations?kind=drug&limit={canary}"))),
        client.get(server.at(&format!("/v1/models/{canary}"))),
        client.get(server.at(&format!("/{canary}?name={canary}"))),
        client.request(Method::from_bytes(b"Zyxwvut-Canary-4711").unwrap(), server.at("/v1/models")),
    ] {
        marked(request).await.unwrap();
    }
    server.terminate();
    let served = collector.spans().into_iter().filter(|span| span.kind() == SpanKind::Server).count();
    assert_eq!(served, 7);
    for body in collector.bodies.lock().unwrap().iter() {
        let found = body.windows(canary.len()).any(|window| window.eq_ignore_ascii_case(canary.as_bytes()));
        assert!(!found, "{}", String::from_utf8_lossy(body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_spans_are_lost_and_nothing_else() {
    // An address at which nobody listens any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::start(&shipped_models(), &["--otlp-endpoint", &format!("http://{gone}")]);
    let lost = async || {
        let text = Client::new().get(server.at("/metrics")).send().await.unwrap().text().await.unwrap();
        let series = "medserve_spans_lost_total{reason=\"collector\"} ";
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
    };
    // Two batches, at the least, that nobody takes.
    for round in 0..2 {
        let before = lost().await;
        assert_eq!(classify(&server, "01").await.status(), 200, "{round}");
        while lost().await == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(classify(&server, "01").await.status(), 200);
    let (status, log) = server.terminate();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(log.matches("takes no spans").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_does_not_hold_up_the_end() {
    // It listens, and that is all.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    let bound = ["--otlp-endpoint", &endpoint, "--shutdown-timeout-ms", "300"];
    let server = Server::start(&shipped_models(), &bound);
    assert_eq!(classify(&server, "01").await.status(), 200);
    let (status, log) = server.terminate();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("the time given to end ran out"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_with_tls_gets_spans_if_its_certificate_is_vouched_for() {
    let (collector, certificate) = Collector::start_private().await;
    let (_, of_another) = Collector::start_private().await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    for (certificate, spans) in [(of_another, 0), (certificate, 1)] {
        std::fs::write(&ca, certificate).unwrap();
        let server = collector.server(&["--otlp-ca", ca.to_str().unwrap()]);
        assert_eq!(Client::new().get(server.at("/v1/models")).send().await.unwrap().status(), 200);
        let (status, log) = server.terminate();
        assert_eq!(status, Some(0), "{log}");
        assert_eq!(log.matches("takes no spans").count(), 1 - spans, "{log}");
        assert_eq!(collector.spans().len(), spans);
    }

    std::fs::write(&ca, "no certificate").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_medserve"));
    command.args(["serve", "--otlp-endpoint", &collector.endpoint, "--otlp-ca"]).arg(&ca);
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(said.contains("--otlp-ca") && said.contains("ca.pem: there is no certificate in it"), "{said}");
}
