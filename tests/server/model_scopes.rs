//! A key for some models alone, black box, on every route that asks a model.

use crate::dicom::{STUDY, radiograph};
use crate::support::{Server, api_key, shipped_models};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use vision::phantom::chest_phantom;

/// Of every route that asks a model one request, by the model that is asked; none where it is not named.
fn requests(server: &Server, model: Option<&str>) -> Vec<(&'static str, RequestBuilder)> {
    let client = Client::new();
    let image = || chest_phantom(0, 96).unwrap();
    let query = model.map_or_else(String::new, |model| format!("?model={model}"));
    let images = ["/v1/images/classify", "/v1/images/explain", "/v1/images/segment"];
    let mut requests: Vec<(&str, RequestBuilder)> =
        images.map(|path| (path, client.post(server.at(&format!("{path}{query}"))).body(image()))).into();
    for (path, body) in [
        ("/v1/notes/classify", json!({"records": [{"note": "chest pain"}]})),
        ("/v1/notes/extract", json!({"records": [{"note": "rash after amoxicillin"}]})),
        ("/v1/images/generate", json!({"label": "nobody"})),
        ("/v1/embeddings", json!({"input": "chest pain"})),
    ] {
        let mut body = body;
        if let Some(model) = model {
            body["model"] = model.into();
        }
        requests.push((path, client.post(server.at(path)).json(&body)));
    }
    if let Some(model) = model {
        let infer = server.at(&format!("/v2/models/{model}/infer"));
        requests.push(("/v2/models/{name}/infer", client.post(infer).json(&json!({"inputs": []}))));
        let infer = server.at(&format!("/v2/models/{model}/versions/1/infer"));
        requests
            .push(("/v2/models/{name}/versions/1/infer", client.post(infer).json(&json!({"inputs": []}))));
    }
    requests
}

async fn answer(request: RequestBuilder, key: &str) -> (u16, Value) {
    let response = request.bearer_auth(key).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn a_key_for_one_model_asks_that_one_alone() {
    let keys = [
        api_key("cath-lab", "classify+model=pneumonia", "key-one"),
        api_key("both", "classify+model=pneumonia+model=chest-xray", "key-two"),
        api_key("all", "classify", "key-all"),
    ];
    let server = Server::start(&shipped_models(), &["--api-keys", &keys.join(",")]);
    for other in ["chest-xray", "triage", "medical-vectors", "nuclei", "adverse-drug-events", "no-such-model"]
    {
        for (route, request) in requests(&server, Some(other)) {
            let (status, problem) = answer(request, "key-one").await;
            let detail = problem["detail"].as_str().or(problem["error"].as_str()).unwrap_or_default();
            assert!(status == 403 && detail.contains("may ask: pneumonia"), "{route} of {other}: {problem}");
        }
    }
    for (route, request) in requests(&server, Some("pneumonia")) {
        let (status, said) = answer(request, "key-one").await;
        assert_ne!(status, 403, "{route}: {said}");
        if ["/v1/images/classify", "/v1/images/explain"].contains(&route) {
            assert_eq!(status, 200, "{route}: {said}");
        }
    }
    // Where no model is named, the only one of those that it may ask answers.
    for (route, request) in requests(&server, None) {
        let (status, said) = answer(request, "key-one").await;
        match route {
            "/v1/images/classify" => assert_eq!((status, &said["model"]), (200, &json!("pneumonia"))),
            "/v1/images/explain" => assert_eq!(status, 200),
            // Where no such model is shipped, there is none to be refused.
            "/v1/images/generate" => assert!([403, 404].contains(&status), "{said}"),
            _ => assert_eq!(status, 403, "{route}: {said}"),
        }
    }
    let classify = |key: &'static str| {
        let request =
            Client::new().post(server.at("/v1/images/classify")).body(chest_phantom(0, 96).unwrap());
        answer(request, key)
    };
    let (status, problem) = classify("key-two").await;
    assert!(
        status == 400 && problem["detail"].as_str().unwrap().ends_with("chest-xray, pneumonia"),
        "{problem}"
    );
    // Searching cases asks the model that makes vectors.
    let search = || Client::new().post(server.at("/v1/cases/search")).json(&json!({"query": "chest pain"}));
    assert_eq!(answer(search(), "key-one").await.0, 403);
    assert_eq!(answer(search(), "key-all").await.0, 200);
    // Which models there are, everybody may see.
    assert_eq!(answer(Client::new().get(server.at("/v1/models/triage")), "key-one").await.0, 200);
}

#[tokio::test]
async fn a_dicom_image_is_answered_by_the_models_that_the_key_may_ask() {
    let keys = [
        api_key("cath-lab", "classify+model=pneumonia", "key-one"),
        api_key("notes", "classify+model=triage", "key-notes"),
    ];
    let server = Server::start(&shipped_models(), &["--api-keys", &keys.join(",")]);
    let store = |key: &'static str, instance: &str| {
        let request = Client::new().post(server.at("/dicom-web/studies"));
        answer(request.header("content-type", "application/dicom").body(radiograph(instance)), key)
    };
    let (status, problem) = store("key-notes", "1.2.826.0.1.3680043.8.498.7.5").await;
    assert!(status == 403 && problem["detail"].as_str().unwrap().contains("may ask: triage"), "{problem}");
    assert_eq!(store("key-one", "1.2.826.0.1.3680043.8.498.7.5").await.0, 200);
    let found = Client::new().get(server.at(&format!("/dicom-web/studies/{STUDY}/instances")));
    let found = found.bearer_auth("key-one").send().await.unwrap();
    let found: Value = found.json().await.unwrap();
    let made = found.as_array().unwrap().len();
    assert!((1..=2).contains(&made), "of one model: {found}");
}
