//! Drift: what was answered is told by hour, against held-out data, and is there after a restart and to other replicas.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use vision::phantom::chest_phantom;

use crate::support::postgres;
use crate::support::{Server, api_key, shipped_models};

/// Whom the tests below are.
fn me() -> String {
    api_key("root", "classify+admin", "root")
}

async fn drift(server: &Server, model: &str, query: &str) -> Value {
    let url = server.at(&format!("/v1/models/{model}/drift{query}"));
    let response = Client::new().get(url).bearer_auth("root").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

/// Notes of chest pain, so many; the label each was given.
async fn ask(server: &Server, count: usize) -> Vec<Value> {
    let records = vec![json!({"note": "chest pain, sweating", "fields": {"age": 67, "sbp": 91}}); count];
    let body = json!({"model": "triage", "records": records});
    let response = Client::new()
        .post(server.at("/v1/notes/classify"))
        .bearer_auth("root")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = response.json().await.unwrap();
    answer["results"].as_array().unwrap().iter().map(|result| result["label"].clone()).collect()
}

fn sum(of: &Value) -> u64 {
    of["labels"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

async fn is_told_and_outlives_the_process(database: &str) {
    let server = Server::start_over(database, &shipped_models(), &["--api-keys", &me()]);
    let before = drift(&server, "triage", "").await;
    assert_eq!((&before["whole"]["verdict"], &before["periods"]), (&json!("no-answers"), &json!([])));
    // The confusion matrix of the package, of 155 records.
    let expected = &before["expected"];
    assert_eq!((&expected["split"], &expected["examples"]), (&json!("val, with red flags"), &json!(155)));
    assert!((expected["shares"]["1"].as_f64().unwrap() - 2.0 / 155.0).abs() < 1e-9, "{expected}");
    let shares: f64 = expected["shares"].as_object().unwrap().values().map(|one| one.as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    // Those that are not sure enough and those that are unlike.
    assert!((0.01..0.05).contains(&expected["abstained"].as_f64().unwrap()), "{expected}");

    let labels = ask(&server, 2).await;
    let few = drift(&server, "triage", "").await;
    assert_eq!(few["whole"]["verdict"], "few", "{few}");
    assert_eq!((few["whole"]["answered"].as_u64(), sum(&few["whole"])), (Some(2), 2));
    let label = labels[0].as_str().unwrap();
    assert_eq!(few["whole"]["labels"][label], 2);

    ask(&server, 120).await;
    let many = drift(&server, "triage", "").await;
    assert_eq!(
        (&many["whole"]["verdict"], &many["whole"]["answered"]),
        (&json!("shifted"), &json!(122)),
        "{many}"
    );
    let index = many["whole"]["stability_index"].as_f64().unwrap();
    assert!(index > 0.25 && index > many["whole"]["chance"].as_f64().unwrap());
    assert!((0.0..=1.0).contains(&many["whole"]["confidence"].as_f64().unwrap()));
    let periods = many["periods"].as_array().unwrap();
    // Midnight may have been between them.
    assert_eq!(periods.iter().map(sum).sum::<u64>(), 122);
    // Other models have their own.
    assert_eq!(drift(&server, "pneumonia", "").await["whole"]["answered"], 0);

    // What was not asked for before the end is written at the end.
    ask(&server, 3).await;
    server.terminate();
    let server = Server::start_over(database, &shipped_models(), &["--api-keys", &me()]);
    let replica = Server::start_over(database, &shipped_models(), &["--api-keys", &me()]);
    ask(&replica, 5).await;
    assert_eq!(drift(&replica, "triage", "").await["whole"]["answered"], 130);
    assert_eq!(drift(&server, "triage", "").await["whole"]["answered"], 130, "another replica's are counted");
}

#[tokio::test]
async fn on_sqlite_drift_is_told_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    is_told_and_outlives_the_process(&format!("sqlite://{}", folder.path().join("drift.db").display())).await;
}

#[tokio::test]
async fn on_postgres_drift_is_told_and_outlives_the_process() {
    if let Some(database) = postgres::database().await {
        is_told_and_outlives_the_process(&database.url).await;
    }
}

#[tokio::test]
async fn an_abstention_is_counted_as_one_and_a_model_without_measures_says_nothing_of_drift() {
    let server = Server::start(&shipped_models(), &["--api-keys", &me()]);
    let client = Client::new();
    let body = json!({"model": "triage", "records": [{"note": "lorem ipsum dolor sit amet consectetur"}]});
    let answer: Value = client
        .post(server.at("/v1/notes/classify"))
        .bearer_auth("root")
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["results"][0]["abstained"], true, "{answer}");
    let told = drift(&server, "triage", "").await;
    assert_eq!((&told["whole"]["answered"], &told["whole"]["abstained"]), (&json!(0), &json!(1)));

    let body = json!({"model": "adverse-drug-events", "records": [{"note": "rash after amoxicillin"}]});
    let response =
        client.post(server.at("/v1/notes/extract")).bearer_auth("root").json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let told = drift(&server, "adverse-drug-events", "").await;
    assert_eq!(told["expected"], Value::Null);
    let verdict = told["whole"]["verdict"].as_str().unwrap();
    assert!(["unknown", "no-answers"].contains(&verdict), "{told}");

    let request = client.post(server.at("/v1/images/classify?model=pneumonia")).bearer_auth("root");
    let image = chest_phantom(1, 64).unwrap();
    let response = request.header("content-type", "image/png").body(image).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let told = drift(&server, "pneumonia", "?by=day").await;
    assert_eq!(told["whole"]["answered"].as_u64().unwrap() + told["whole"]["abstained"].as_u64().unwrap(), 1);
}

#[tokio::test]
async fn drift_is_for_administrators_and_what_is_wrong_with_a_request_is_said() {
    let keys =
        [api_key("root", "admin", "root"), api_key("ward", "classify+recommend+write", "ward")].join(",");
    let server = Server::start(&shipped_models(), &["--api-keys", &keys]);
    let client = Client::new();
    let ask =
        async |path: &str, key: &str| client.get(server.at(path)).bearer_auth(key).send().await.unwrap();
    assert_eq!(ask("/v1/models/triage/drift", "ward").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(ask("/v1/models/triage/drift", "root").await.status(), StatusCode::OK);
    assert_eq!(ask("/v1/models/nothing/drift", "root").await.status(), StatusCode::NOT_FOUND);
    for query in
        ["since=yesterday", "since=2999-01-01", "since=2020-01-01&by=hour", "by=week", "from=2020-01-01"]
    {
        let response = ask(&format!("/v1/models/triage/drift?{query}"), "root").await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    }
}
