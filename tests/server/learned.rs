//! The learned recommender over HTTP, black box: a package is applied to histories as they are,
//! says why, leaves what it does not know to neighbors, and is refused where it does not fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::recommendations::{KEY, get, ids, put, send};
use crate::support::{Server, api_key, postgres};
use candle_core::{Device, Tensor};
use model::package::{CONTEXT, ITEMS};
use model::{Manifest, Package};
use reqwest::Method;
use serde_json::{Value, json};

/// What speaks for what, in numbers that add up without rounding.
const WEIGHTS: [(usize, usize, f32); 5] =
    [(0, 2, 0.75), (1, 2, 0.5), (0, 3, 0.25), (1, 3, 0.125), (2, 3, 0.5)];

/// A package of four items of a kind, as version `version` of the model `habits`.
fn package(root: &Path, version: &str, kind: &str, items: [&str; 4]) -> PathBuf {
    let mut manifest: Manifest = serde_json::from_value(json!({
        "format": 1, "name": "habits", "version": version, "description": "Made for a test.",
        "labels": [], "input": {"kind": "history", "item_kind": kind, "items": 4},
        "architecture": {"kind": "ease", "lambda": 1.0, "base": false, "weights": WEIGHTS.len(), "held_out": {
            "users": 4, "k": 10, "hit_rate": 0.5, "precision": 0.1, "recall": 0.5, "ndcg": 0.4, "map": 0.3,
            "coverage": 1.0, "catalogue_share": 1.0, "ndcg_of_neighbors": 0.3, "ndcg_of_popularity": 0.2}},
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "invented", "source": "none", "licence": "none", "sha256": {}, "examples": {"users": 4}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": "a test"}, "metrics": {},
        "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0}
    }))
    .unwrap();
    let (mut starts, mut targets, mut values) = (vec![0u32], Vec::new(), Vec::new());
    for item in 0..4 {
        for (_, to, weight) in WEIGHTS.iter().filter(|(from, ..)| *from == item) {
            targets.push(*to as u32);
            values.push(*weight);
        }
        starts.push(targets.len() as u32);
    }
    let cpu = &Device::Cpu;
    let tensors = BTreeMap::from([
        ("starts".to_string(), Tensor::new(starts, cpu).unwrap()),
        ("targets".to_string(), Tensor::new(targets, cpu).unwrap()),
        ("weights".to_string(), Tensor::new(values, cpu).unwrap()),
        ("base".to_string(), Tensor::new(&[0f32; 4], cpu).unwrap()),
    ]);
    let items = json!(items).to_string().into_bytes();
    Package::write(root, &mut manifest, &tensors, "# habits\n", &[(ITEMS, items)]).unwrap()
}

/// The same items, with what an age, a condition and the distance speak for, as version `version`.
fn package_with_context(root: &Path, version: &str, features: &[&str]) -> PathBuf {
    let mut manifest: Manifest = serde_json::from_value(json!({
        "format": 1, "name": "habits", "version": version, "description": "Made for a test.",
        "labels": [], "input": {"kind": "history", "item_kind": "advice", "items": 4},
        "architecture": {"kind": "ease", "lambda": 1.0, "base": false, "weights": 2,
            "context": {"features": 2, "weights": 2, "coefficients": {"condition": 0.5, "distance": -1.0},
                "scale": 0.9, "distance": {"weight": -1.0, "mean": 0.0}},
            "held_out": {"users": 4, "k": 10, "hit_rate": 0.5, "precision": 0.1, "recall": 0.5, "ndcg": 0.4,
                "map": 0.3, "coverage": 1.0, "catalogue_share": 1.0, "ndcg_of_neighbors": 0.3,
                "ndcg_of_popularity": 0.2}},
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "invented", "source": "none", "licence": "none", "sha256": {}, "examples": {"users": 4}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": "a test"}, "metrics": {},
        "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0}
    }))
    .unwrap();
    let mut tensors = BTreeMap::new();
    let mut rows = |prefix: &str, starts: &[u32], targets: &[u32], values: &[f32]| {
        tensors.insert(format!("{prefix}starts"), Tensor::new(starts, &Device::Cpu).unwrap());
        tensors.insert(format!("{prefix}targets"), Tensor::new(targets, &Device::Cpu).unwrap());
        tensors.insert(format!("{prefix}weights"), Tensor::new(values, &Device::Cpu).unwrap());
    };
    // Air speaks for bath and cook alike; the age for cook, and asthma, as a factor, for bath.
    rows("", &[0, 2, 2, 2, 2], &[1, 2], &[0.5, 0.5]);
    rows("context_", &[0, 1, 1], &[2], &[0.25]);
    rows("factor_", &[0, 0, 1], &[1], &[1.0]);
    tensors.insert("base".to_string(), Tensor::new(&[0f32; 4], &Device::Cpu).unwrap());
    let items = json!(["air", "bath", "cook", "dance"]).to_string().into_bytes();
    let context = json!(features).to_string().into_bytes();
    Package::write(root, &mut manifest, &tensors, "# habits\n", &[(ITEMS, items), (CONTEXT, context)])
        .unwrap()
}

/// Who and where count as they are at the moment of the request, are named, and rule nothing in
/// that is wrong for the person.
#[tokio::test]
async fn circumstances_count_in_a_learned_score() {
    let models = tempfile::tempdir().unwrap();
    package_with_context(models.path(), "1", &["age: 60 to 69", "condition: asthma"]);
    let server = Server::start(models.path(), &["--api-keys", &api_key("tests", "admin", KEY)]);
    for item in ["air", "bath", "cook", "dance"] {
        let rules = if item == "bath" { json!({"conditions": ["epilepsy"]}) } else { json!({}) };
        let body = json!({"kind": "advice", "name": item, "contraindications": rules});
        put(&server, &format!("/v1/items/{item}"), body).await;
    }
    put(&server, "/v1/users/una", json!({"conditions": []})).await;
    has(&server, "una", &["air"]).await;
    let shown = |answer: &Value| -> Vec<(String, f64, Value)> {
        let item = |item: &Value| {
            let id = item["item_id"].as_str().unwrap().to_string();
            (id, item["score"].as_f64().unwrap(), item["because"]["context"].clone())
        };
        answer["items"].as_array().unwrap().iter().map(item).collect()
    };
    let (bath, cook) = ("bath".to_string(), "cook".to_string());
    let answer = get(&server, LIST).await;
    assert_eq!(answer["strategy"], "learned", "{answer}");
    assert_eq!(shown(&answer), [(bath.clone(), 0.5, json!([])), (cook.clone(), 0.5, json!([]))]);

    let birth_year = recommend::clock::year_of(recommend::clock::now()) - 65;
    put(&server, "/v1/users/una", json!({"conditions": [], "birth_year": birth_year})).await;
    let answer = get(&server, LIST).await;
    assert_eq!(shown(&answer)[0], (cook.clone(), 0.75, json!(["age: 60 to 69"])), "{answer}");

    put(&server, "/v1/users/una", json!({"conditions": ["Asthma"], "birth_year": birth_year})).await;
    let answer = get(&server, LIST).await;
    let (first, score, context) = shown(&answer).swap_remove(0);
    assert_eq!((first, context), (bath, json!(["condition: asthma"])), "{answer}");
    assert!((score - 0.5 * std::f64::consts::E).abs() < 1e-6, "{answer}");

    // What is wrong for the person stays ruled out, however much speaks for it.
    let conditions = json!({"conditions": ["Asthma", "epilepsy"], "birth_year": birth_year});
    put(&server, "/v1/users/una", conditions).await;
    let answer = get(&server, LIST).await;
    assert_eq!(ids(&answer, "items"), ["cook"]);
    assert_eq!(answer["excluded"], json!([{"item_id": "bath", "reason": "condition: epilepsy"}]));

    // The nearer counts for more.
    for (item, longitude) in [("bath", 0.5), ("cook", 0.01)] {
        let body = json!({"kind": "advice", "name": item, "latitude": 0.0, "longitude": longitude});
        put(&server, &format!("/v1/items/{item}"), body).await;
    }
    put(&server, "/v1/users/una", json!({"conditions": []})).await;
    let near = get(&server, &format!("{LIST}&near=0,0")).await;
    let other = get(&server, &format!("{LIST}&near=0,0.5")).await;
    assert_eq!((ids(&near, "items")[0].as_str(), ids(&other, "items")[0].as_str()), ("cook", "bath"));
    assert_eq!(
        other["items"][0]["because"]["context"],
        json!([]),
        "on the spot is no farther than usual: {other}"
    );

    // A package whose circumstances do not fit is refused, and the one before goes on.
    package_with_context(models.path(), "2", &["condition: asthma", "age: 60 to 69"]);
    let body = json!({"parameters": {"version": "2"}});
    let (status, problem) = repository(&server, "models/habits/load", body).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["error"].as_str().unwrap().contains("circumstances are not sorted"), "{problem}");
}

const LIST: &str = "/v1/users/una/recommendations?kind=advice";

async fn has(server: &Server, user: &str, items: &[&str]) {
    let events: Vec<Value> =
        items.iter().map(|item| json!({"user_id": user, "item_id": item, "event": "follow", "time": "2026-01-06T08:00:00Z"})).collect();
    let response = send(server, Method::POST, "/v1/interactions", Some(json!(events))).await;
    assert!(response.status().is_success(), "{}", response.text().await.unwrap());
}

async fn a_history_is_scored_as_it_is_now(server: &Server) {
    send(server, Method::DELETE, "/v1/items/new", None).await;
    for item in ["air", "bath", "cook", "dance"] {
        let rules = if item == "dance" { json!({"conditions": ["vertigo"]}) } else { json!({}) };
        let body = json!({"kind": "advice", "name": item, "contraindications": rules});
        put(server, &format!("/v1/items/{item}"), body).await;
    }
    for user in ["una", "van", "wim", "newcomer"] {
        send(server, Method::DELETE, &format!("/v1/users/{user}"), None).await;
        put(server, &format!("/v1/users/{user}"), json!({"conditions": []})).await;
    }
    has(server, "una", &["air", "bath"]).await;

    let answer = get(server, LIST).await;
    assert_eq!(answer["strategy"], "learned", "{answer}");
    assert_eq!(answer["model"], json!({"name": "habits", "version": "1", "new_items": 0}));
    assert_eq!(ids(&answer, "items"), ["cook", "dance"]);
    assert_eq!([&answer["items"][0]["score"], &answer["items"][1]["score"]], [1.25, 0.375]);
    let because = json!({"supporting_neighbors": "few", "shared_items": ["air", "bath"], "context": []});
    assert_eq!(answer["items"][0]["because"], because);
    assert!(answer["items"][0].get("scored_by").is_none(), "{answer}");

    // The next read knows of a write, and names what carries the score now.
    has(server, "una", &["cook"]).await;
    let answer = get(server, LIST).await;
    assert_eq!(ids(&answer, "items"), ["dance"]);
    assert_eq!(answer["items"][0]["score"], 0.875);
    assert_eq!(answer["items"][0]["because"]["shared_items"], json!(["cook", "air", "bath"]));

    // What is wrong for the person stays ruled out.
    put(server, "/v1/users/una", json!({"conditions": ["vertigo"]})).await;
    let answer = get(server, LIST).await;
    assert_eq!(answer["excluded"], json!([{"item_id": "dance", "reason": "condition: vertigo"}]));
    put(server, "/v1/users/una", json!({"conditions": []})).await;

    // Who says how neighbors are to be found asks for neighbors.
    has(server, "van", &["air", "bath", "dance"]).await;
    let answer = get(server, &format!("{LIST}&similarity=cosine")).await;
    assert_eq!((&answer["strategy"], answer.get("model")), (&json!("neighbors"), None), "{answer}");

    // An item that came after the package stands where neighbors put it, and says so.
    put(server, "/v1/items/new", json!({"kind": "advice", "name": "new"})).await;
    has(server, "wim", &["air", "bath", "cook", "new"]).await;
    let answer = get(server, LIST).await;
    assert_eq!(answer["model"]["new_items"], 1, "{answer}");
    assert_eq!(answer["strategy"], "learned");
    let new = answer["items"].as_array().unwrap().iter().find(|item| item["item_id"] == "new").unwrap();
    assert_eq!((&new["scored_by"], &new["score"]), (&json!("neighbors"), &json!(0.875)), "{answer}");
    assert_eq!(new["because"]["shared_items"], json!(["air", "bath", "cook"]));

    // A history of nothing that the package knows is left to neighbors altogether.
    has(server, "newcomer", &["new"]).await;
    let answer = get(server, "/v1/users/newcomer/recommendations?kind=advice").await;
    assert_eq!((&answer["strategy"], answer.get("model")), (&json!("neighbors"), None), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_scored_as_it_is_now_on_every_store() {
    let models = tempfile::tempdir().unwrap();
    package(models.path(), "1", "advice", ["air", "bath", "cook", "dance"]);
    a_history_is_scored_as_it_is_now(&Server::start(models.path(), &[])).await;
    let Some(database) = postgres::database().await else { return };
    for recommender in ["memory", "database"] {
        let arguments = ["--recommender", recommender];
        let server = Server::start_over(&database.url, models.path(), &arguments);
        a_history_is_scored_as_it_is_now(&server).await;
    }
}

async fn repository(server: &Server, path: &str, body: Value) -> (u16, Value) {
    let response = send(server, Method::POST, &format!("/v2/repository/{path}"), Some(body)).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_a_sentence_and_the_rest_serves() {
    let models = tempfile::tempdir().unwrap();
    let items = ["air", "bath", "cook", "dance"];
    package(models.path(), "1", "advice", items);
    let server = Server::start(models.path(), &["--api-keys", &api_key("tests", "admin", KEY)]);
    for item in items {
        put(&server, &format!("/v1/items/{item}"), json!({"kind": "advice", "name": item})).await;
    }
    put(&server, "/v1/users/una", json!({})).await;
    has(&server, "una", &["air"]).await;

    package(models.path(), "2", "advice", ["w", "x", "y", "z"]);
    package(models.path(), "3", "film", items);
    package(models.path(), "4", "advice", ["bath", "air", "cook", "dance"]);
    let empty = package(models.path(), "5", "advice", items).join("manifest.json");
    let manifest = std::fs::read_to_string(&empty).unwrap().replace("\"items\": 4", "\"items\": 0");
    std::fs::write(&empty, manifest).unwrap();
    for (version, sentence) in [
        ("2", "none of its 4 items is among the 4 of kind advice"),
        ("3", "input.item_kind is \"film\"; the kinds are hospital"),
        ("4", "the items are not sorted and distinct at \"air\""),
        ("5", "a recommender of no items"),
    ] {
        let body = json!({"parameters": {"version": version}});
        let (status, problem) = repository(&server, "models/habits/load", body).await;
        assert_eq!(status, 422, "{problem}");
        assert!(problem["error"].as_str().unwrap().contains(sentence), "{problem}");
    }
    let model = get(&server, "/v1/models/habits").await;
    assert_eq!((&model["version"], &model["task"]), (&json!("1"), &json!("recommendation")));
    assert_eq!(model["metrics"]["held-out"]["ndcg"], 0.4);
    assert_eq!(get(&server, LIST).await["strategy"], "learned");

    // It takes no tensors, and can be taken out as any model.
    let infer = send(&server, Method::POST, "/v2/models/habits/infer", Some(json!({"inputs": []}))).await;
    assert_eq!(infer.status().as_u16(), 400);
    assert_eq!(repository(&server, "models/habits/unload", json!({})).await.0, 200);
    assert_ne!(get(&server, LIST).await["strategy"], "learned");
}

/// At a start the catalogue is there already.
#[tokio::test]
async fn a_package_of_other_items_is_refused_at_the_start() {
    let models = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("people.db").display());
    let server = Server::start_over(&url, models.path(), &["--api-keys", &api_key("tests", "admin", KEY)]);
    put(&server, "/v1/items/other", json!({"kind": "advice", "name": "other"})).await;
    assert_eq!(server.terminate().0, Some(0));
    package(models.path(), "1", "advice", ["air", "bath", "cook", "dance"]);
    let server = Server::start_over(&url, models.path(), &["--api-keys", &api_key("tests", "admin", KEY)]);
    let (_, index) = repository(&server, "index", json!({})).await;
    assert!(index[0]["reason"].as_str().unwrap().contains("none of its 4 items"), "{index}");
}

/// Weights that were fitted to one tenant's people answer nobody of another.
#[tokio::test]
async fn a_package_answers_its_own_tenant_alone() {
    let items = ["air", "bath", "cook", "dance"];
    for (owner, more) in [("", &[][..]), ("north", &["--tenant-recommenders", "north=habits"])] {
        let models = tempfile::tempdir().unwrap();
        package(models.path(), "1", "advice", items);
        let keys = ["", "@north", "@south"]
            .map(|at| api_key(&format!("k{at}"), &format!("admin{at}"), &format!("k{at}")));
        let tenants = ["--tenants", "north,south", "--api-keys", &keys.join(",")];
        let server = Server::start(models.path(), &[&tenants, more].concat());
        let ask = async |at: &str, method: Method, path: &str, body: Option<Value>| {
            let mut request =
                reqwest::Client::new().request(method, server.at(path)).bearer_auth(format!("k{at}"));
            if let Some(body) = body {
                request = request.json(&body);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            response.json::<Value>().await.unwrap()
        };
        for at in ["", "@north", "@south"] {
            for item in items {
                let body = json!({"kind": "advice", "name": item});
                ask(at, Method::PUT, &format!("/v1/items/{item}"), Some(body)).await;
            }
            for user in ["una", "vera"] {
                ask(at, Method::PUT, &format!("/v1/users/{user}"), Some(json!({}))).await;
            }
            let of = |user: &str, item: &str| json!({"user_id": user, "item_id": item, "event": "follow", "time": "2026-01-06T08:00:00Z"});
            let rows = json!([of("una", "air"), of("vera", "air"), of("vera", "bath")]);
            ask(at, Method::POST, "/v1/interactions", Some(rows)).await;
            let answer = ask(at, Method::GET, LIST, None).await;
            let strategy = if at.trim_start_matches('@') == owner { "learned" } else { "neighbors" };
            assert_eq!(answer["strategy"], strategy, "{at:?} of {owner:?}: {answer}");
        }
    }
}
