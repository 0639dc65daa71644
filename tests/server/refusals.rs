//! What a refusal of a query or of a content type says: which part of the request, what was wrong, and what is accepted, in
//! `errors` as well as in a sentence, on whatever route.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{Server, api_key, shipped_models, until};

const ADMIN: &str = "refusals-admin";

fn server() -> Server {
    Server::start(&shipped_models(), &["--demo", "--api-keys", &api_key("admin", "admin", ADMIN)])
}

async fn refused(server: &Server, method: Method, path: &str) -> Value {
    let request = Client::new().request(method, server.at(path)).bearer_auth(ADMIN);
    let response = request.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(response.status(), 400, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_query_that_does_not_fit_is_told_by_parameter_with_what_is_accepted() {
    let server = server();
    let kinds = "hospital, doctor, pharmacy, drug or advice";
    let whole = |from: &str| format!("must be a whole number {from}");
    for (method, path, expected) in [
        (
            Method::GET,
            "/v1/users/u1/recommendations?kind=drug&limit=abc",
            vec![("limit", whole("from 1 to 1000"))],
        ),
        (
            Method::GET,
            "/v1/users/u1/recommendations?kind=drug&radius_km=10km",
            vec![("radius_km", "must be a number, with a point before decimals".to_string())],
        ),
        (Method::GET, "/v1/users/u1/recommendations", vec![("kind", format!("must be given: {kinds}"))]),
        (
            Method::GET,
            "/v1/users/u1/recommendations?limit=-1&neighbors=1.5",
            vec![
                ("kind", format!("must be given: {kinds}")),
                ("limit", whole("from 1 to 1000")),
                ("neighbors", whole("from 1 to 10000")),
            ],
        ),
        (
            Method::GET,
            "/v1/users/u1/neighbors?kind=drug&kind=advice",
            vec![("kind", "is given more than once; give it once".to_string())],
        ),
        (
            Method::GET,
            "/v1/users/u1/interactions?limit=99999999999999999999",
            vec![("limit", whole("from 1 to 1000"))],
        ),
        (Method::GET, "/v1/items?limit=&kind=drug", vec![("limit", whole("from 1 to 1000"))]),
        (Method::GET, "/v1/audit?before=x", vec![("before", "must be a whole number".to_string())]),
        (
            Method::POST,
            "/v1/images/classify?frame=-1&top_k=1.5&explain=yes",
            vec![
                ("top_k", whole("from 1 upwards")),
                ("frame", whole("from 1 upwards")),
                ("explain", "must be true or false".to_string()),
            ],
        ),
        (Method::POST, "/v1/images/segment?frame=two", vec![("frame", whole("from 1 upwards"))]),
        (
            Method::POST,
            "/v1/notes/classify?explain=1",
            vec![("explain", "must be true or false".to_string())],
        ),
        (
            Method::POST,
            "/v1/notes/classify?top_k=3",
            vec![(
                "top_k",
                "is not known here; this route takes truncate, explain and red_flags".to_string(),
            )],
        ),
        (Method::GET, "/dicom-web/studies?0020000D=1&limit=x", vec![("limit", whole("from 1 to 1000"))]),
    ] {
        let body = refused(&server, method, path).await;
        let found: Vec<(&str, &str)> = body["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("{path}: {body}"))
            .iter()
            .map(|one| (one["pointer"].as_str().unwrap(), one["detail"].as_str().unwrap()))
            .collect();
        let wanted: Vec<(&str, &str)> =
            expected.iter().map(|(name, detail)| (*name, detail.as_str())).collect();
        assert_eq!(found, wanted, "{path}");
        for (name, detail) in wanted {
            let said = body["detail"].as_str().unwrap();
            assert!(said.contains(name) && said.contains(detail), "{path}: {said}");
        }
    }
}

#[tokio::test]
async fn a_model_of_another_task_is_told_with_the_route_that_asks_it() {
    let server = server();
    for (path, model, does) in [
        (
            "/v1/images/classify?model=nuclei",
            "",
            "outlines regions of images: ask it by POST /v1/images/segment",
        ),
        ("/v1/images/segment?model=pneumonia", "", "classifies images: ask it by POST /v1/images/classify"),
        (
            "/v1/notes/classify",
            "adverse-drug-events",
            "finds names in notes: ask it by POST /v1/notes/extract",
        ),
        ("/v1/notes/extract", "triage", "classifies notes: ask it by POST /v1/notes/classify"),
        ("/v1/embeddings", "triage", "classifies notes: ask it by POST /v1/notes/classify"),
    ] {
        let body = match path {
            "/v1/embeddings" => format!("{{\"model\": \"{model}\", \"input\": \"x\"}}"),
            _ => format!("{{\"model\": \"{model}\", \"records\": [{{\"note\": \"fever\"}}]}}"),
        };
        let request = Client::new().post(server.at(path)).bearer_auth(ADMIN);
        let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        let said = response.text().await.unwrap();
        assert!(said.contains(does), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_content_type_is_refused_with_those_that_the_route_takes() {
    let keyed = server();
    let open = Server::start(&shipped_models(), &["--demo"]);
    for server in [&keyed, &open] {
        for (path, kind, accepted) in [
            ("/v1/notes/classify", "text/plain", "accepted is application/json"),
            ("/fhir/R4", "application/fhir+xml", "accepted is application/fhir+json or application/json"),
            ("/fhir/R4", "text/plain", "accepted is application/fhir+json or application/json"),
        ] {
            let request = Client::new().post(server.at(path)).header("content-type", kind).body("x");
            let request = if std::ptr::eq(server, &keyed) { request.bearer_auth(ADMIN) } else { request };
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 415, "{path} {kind}");
            let said = response.text().await.unwrap();
            assert!(said.contains(accepted) && !said.contains("without a key"), "{path} {kind}: {said}");
        }
    }
}

/// Whoever is known leaves a row also where the request is refused before anything is done for it.
#[tokio::test]
async fn what_is_refused_by_its_head_or_its_size_is_in_the_audit_with_the_person() {
    let keys = api_key("admin", "admin", ADMIN);
    let arguments = ["--api-keys", &keys, "--max-body-bytes", "2000", "--audit-people", "id"];
    let server = Server::start(&shipped_models(), &arguments);
    let request = |id: &str| {
        let request =
            Client::new().put(server.at("/v1/users/u7")).bearer_auth(ADMIN).header("x-request-id", id);
        request.header("content-type", "application/json")
    };
    let chunks = futures::stream::iter((0..2).map(|_| Ok::<_, std::io::Error>("x".repeat(1500))));
    for (id, request, status) in [
        ("announced", request("announced").body("x".repeat(3000)), 413),
        ("in-pieces", request("in-pieces").body(reqwest::Body::wrap_stream(chunks)), 413),
        ("compressed", request("compressed").header("content-encoding", "gzip").body("{}"), 415),
        ("timeout", request("timeout").header("x-request-timeout", "soon").body("{}"), 400),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status, "{id}");
        let row = until("the row", async || {
            let page = Client::new().get(server.at("/v1/audit?user=u7")).bearer_auth(ADMIN);
            let page: Value = page.send().await.unwrap().json().await.unwrap();
            page["rows"].as_array().unwrap().iter().find(|row| row["request_id"] == id).cloned()
        })
        .await;
        assert_eq!((&row["status"], &row["caller"]), (&json!(status), &json!("key:admin")), "{row}");
        assert_eq!((&row["people"], &row["input_sha256"]), (&json!(["u7"]), &json!("")), "{row}");
    }
}
