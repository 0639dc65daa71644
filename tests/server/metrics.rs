//! What an operator sees, black box: metrics after traffic, their labels bounded whatever a
//! client sends, and the trace of a request in the logs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::{Server, api_key, shipped_models, until};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use vision::phantom::chest_phantom;

/// A scrape: every sample by its series, such as `name{label="value"}`, and the names with HELP.
struct Scrape {
    samples: BTreeMap<String, f64>,
    helped: BTreeSet<String>,
}

impl Scrape {
    async fn of(server: &Server) -> Scrape {
        let text = Client::new().get(server.at("/metrics")).send().await.unwrap().text().await.unwrap();
        let helped = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_string(), value.parse().ok()?))
        };
        Scrape {
            helped: helped.map(str::to_string).collect(),
            samples: text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect(),
        }
    }

    /// The sum over the series of `name` that have all of these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let found = self.samples.iter().filter(|(series, _)| {
            series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label))
        });
        found.map(|(_, value)| value).sum()
    }

    fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|series| series.split('{').next() == Some(name))
    }
}

async fn classify(server: &Server) {
    let client = Client::new();
    for seed in 0..3 {
        let image = chest_phantom(seed, 64).unwrap();
        let request = client.post(server.at("/v1/images/classify?model=pneumonia"));
        let response = request.header("content-type", "image/png").body(image).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let body = json!({"model": "triage", "records": [{"note": "chest pain"}, {"note": "sore throat"}]});
    let response = client.post(server.at("/v1/notes/classify")).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn traffic_shows_in_the_metrics_and_each_says_what_it_is() {
    let server = Server::start(&shipped_models(), &[]);
    classify(&server).await;
    // The age is told from the first look at the database on.
    let scrape = loop {
        let scrape = Scrape::of(&server).await;
        if scrape.has("medserve_recommender_age_seconds") {
            break scrape;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };

    let route = "route=\"/v1/images/classify\"";
    assert_eq!(scrape.sum("medserve_requests_total", &[route, "method=\"POST\"", "status=\"200\""]), 3.0);
    assert_eq!(scrape.sum("medserve_request_seconds_count", &[route]), 3.0);
    for stage in ["decode", "preprocess", "queue", "inference"] {
        let labels = ["model=\"pneumonia\"", &format!("stage=\"{stage}\"")];
        assert_eq!(scrape.sum("medserve_stage_seconds_count", &labels), 3.0, "{stage}");
    }
    assert_eq!(scrape.sum("medserve_batch_size_sum", &["model=\"triage\""]), 2.0);
    for (model, inputs) in [("pneumonia", 3.0), ("triage", 2.0)] {
        let labels = [format!("model=\"{model}\""), "version=\"1\"".to_string()];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let answered = scrape.sum("medserve_answers_total", &labels);
        assert_eq!(answered + scrape.sum("medserve_abstentions_total", &labels), inputs, "{model}");
        assert_eq!(scrape.sum("medserve_confidence_count", &labels), inputs, "{model}");
        assert_eq!(scrape.sum("medserve_model_serving", &labels), 1.0, "{model}");
        assert_eq!(scrape.sum("medserve_queue_length", &labels[..1]), 0.0, "{model}");
    }
    // What has not happened yet is 0, not absent: an alert on it must have something to look at.
    assert!(
        scrape.samples.contains_key("medserve_answers_total{model=\"triage\",version=\"1\",label=\"5\"}")
    );
    assert!(scrape.sum("medserve_database_connections_max", &[]) >= 1.0);
    assert!(scrape.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.sum("process_open_fds", &[]) > 3.0);
    for name in ["medserve_database_connections", "medserve_recommender_age_seconds", "medserve_build_info"] {
        assert!(scrape.has(name), "{name}");
    }
    for series in scrape.samples.keys() {
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let helped = scrape.helped.contains(name) || base.is_some_and(|base| scrape.helped.contains(base));
        assert!(helped, "{name} does not say what it is");
    }
}

#[tokio::test]
async fn what_alerts_watch_is_there_before_anything_happens() {
    let server = Server::start(&shipped_models(), &[]);
    let scrape = Scrape::of(&server).await;
    for series in [
        "medserve_panics_total",
        "medserve_audit_lost_total",
        "medserve_batches_failed_total{model=\"pneumonia\"}",
        "medserve_batches_failed_total{model=\"triage\"}",
        "medserve_abstentions_total{model=\"triage\",version=\"1\"}",
        "medserve_model_loads_total{result=\"refused\"}",
        "medserve_rejected_total{reason=\"busy\"}",
        "medserve_rejected_total{reason=\"queue_full\"}",
        "medserve_rejected_total{reason=\"unauthorized\"}",
    ] {
        assert_eq!(scrape.samples.get(series), Some(&0.0), "{series}");
    }
}

/// What each tenant's database is asked for is a series for each: else the last one that was asked would speak for all.
#[tokio::test]
async fn what_is_counted_in_a_database_is_counted_for_each_tenant() {
    let key = api_key("root", "admin", "a key");
    let server = Server::start(&shipped_models(), &["--tenants", "north,south", "--api-keys", &key]);
    for name in [
        "medserve_hl7_unsent",
        "medserve_hl7_given_up",
        "medserve_dicom_waiting",
        "medserve_dicom_unsent",
        "medserve_recommender_age_seconds",
        "medserve_audit_problems",
        "medserve_database_connections_max",
    ] {
        until(name, async || {
            let scrape = Scrape::of(&server).await;
            let of = |series: String| scrape.samples.contains_key(&series);
            let tenants = ["north", "south"].map(|tenant| format!("{name}{{tenant=\"{tenant}\"}}"));
            (of(name.to_string()) && tenants.into_iter().all(of)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn more_than_a_queue_holds_is_counted_as_such() {
    let server = Server::start(&shipped_models(), &["--queue", "1"]);
    let body = json!({"model": "triage", "records": [{"note": "a"}, {"note": "b"}]});
    let request = Client::new().post(server.at("/v1/notes/classify")).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 413);
    let scrape = Scrape::of(&server).await;
    assert_eq!(scrape.sum("medserve_rejected_total", &["reason=\"too_many\""]), 1.0);
}

#[tokio::test]
async fn what_a_client_makes_up_becomes_no_series() {
    let server = Server::start(&shipped_models(), &[]);
    let client = Client::new();
    let visit = async |round: usize| {
        for path in [
            format!("/nowhere/{round}"),
            format!("/v1/models/model{round}"),
            format!("/v2/models/model{round}"),
            format!("/v2/models/triage/versions/9{round}"),
            format!("/v1/users/user{round}"),
            format!("/v1/users/user{round}/recommendations?kind=drug"),
            format!("/docs/{round}"),
        ] {
            client.get(server.at(&path)).send().await.unwrap();
        }
        let url = server.at(&format!("/v1/images/classify?model=model{round}"));
        client.post(url).body("x").send().await.unwrap();
        client.post(server.at(&format!("/v2/models/model{round}/infer"))).body("{}").send().await.unwrap();
        let method = Method::from_bytes(format!("METHOD{round}").as_bytes()).unwrap();
        client.request(method, server.at("/v1/models")).send().await.unwrap();
    };
    visit(0).await;
    let names = |scrape: Scrape| scrape.samples.into_keys().collect::<BTreeSet<String>>();
    // The scrape itself is a request, and its route a series from the second one on; the age is
    // told from the first look at the database on.
    Scrape::of(&server).await;
    let before = loop {
        let names = names(Scrape::of(&server).await);
        // The last two that come by themselves.
        if ["medserve_recommender_age_seconds", "medserve_dicom_unsent"].iter().all(|n| names.contains(*n)) {
            break names;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for round in 1..20 {
        visit(round).await;
    }
    let after = names(Scrape::of(&server).await);
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(!after.iter().any(|series| series.contains("model1") || series.contains("METHOD")));
}

#[tokio::test]
async fn the_trace_of_a_caller_is_in_the_answer_and_in_the_log() {
    let server = Server::start(&shipped_models(), &[]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let ask = |parent: Option<String>| {
        let request = Client::new().get(server.at("/health/live"));
        parent.into_iter().fold(request, |request, parent| request.header("traceparent", parent)).send()
    };
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let response = ask(Some(parent)).await.unwrap();
    let answered = response.headers()["traceparent"].to_str().unwrap().to_string();
    assert!(answered.starts_with(&format!("00-{trace}-")) && answered.ends_with("-01"), "{answered}");
    let span = answered.split('-').nth(2).unwrap().to_string();
    assert_ne!(span, "00f067aa0ba902b7");
    for parent in [None, Some("00-nonsense".to_string())] {
        let response = ask(parent).await.unwrap();
        assert!(!response.headers()["traceparent"].to_str().unwrap().contains(trace));
    }
    let (_, log) = server.terminate();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["trace_id"] == trace).unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&line["span_id"], &line["route"]), (&json!(span), &json!("/health/live")));
}
