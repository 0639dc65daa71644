//! Recommendations over HTTP, black box: what a hospital's software asks all day, on the demonstration, on
//! small data, and while the database is away.

use std::time::{Duration, Instant};

use crate::support::postgres as cluster;
use crate::support::wire::Wire;
use crate::support::{Server, api_key};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

pub const KEY: &str = "a-key-for-tests-only";

pub fn empty() -> Server {
    let models = tempfile::tempdir().unwrap();
    Server::start(models.path(), &[])
}

fn demo() -> Server {
    let models = tempfile::tempdir().unwrap();
    Server::start(models.path(), &["--demo", "--api-keys", &api_key("tests", "admin", KEY)])
}

pub async fn send(server: &Server, method: Method, path: &str, body: Option<Value>) -> Response {
    // Where nobody is known, a key does no harm.
    let mut request = Client::new().request(method, server.at(path)).bearer_auth(KEY);
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.unwrap()
}

pub async fn get(server: &Server, path: &str) -> Value {
    let response = send(server, Method::GET, path, None).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

pub async fn put(server: &Server, path: &str, body: Value) {
    let response = send(server, Method::PUT, path, Some(body)).await;
    let status = response.status();
    assert_eq!(status, StatusCode::OK, "{path}: {}", response.text().await.unwrap());
}

/// Checks for a problem of this status, one of whose errors points to `pointer`.
pub async fn assert_problem(response: Response, status: u16, pointer: &str) {
    let got = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(got, status, "{body}");
    if !pointer.is_empty() {
        let pointers: Vec<_> =
            body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert!(pointers.contains(&pointer), "{pointer} is not in {body}");
    }
}

pub fn ids(answer: &Value, list: &str) -> Vec<String> {
    answer[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["item_id"].as_str().unwrap().to_string())
        .collect()
}

/// Three people who share drugs, and drugs with reasons against them.
pub async fn clinic(server: &Server) {
    for (id, extra) in [
        ("aspirin", json!({})),
        ("statin", json!({"therapeutic_class": "statins"})),
        ("amoxicillin", json!({"allergies": ["penicillin"]})),
        ("metformin", json!({})),
    ] {
        put(
            server,
            &format!("/v1/items/{id}"),
            json!({"kind": "drug", "name": id, "contraindications": extra}),
        )
        .await;
    }
    for id in ["ann", "bob", "cid"] {
        put(server, &format!("/v1/users/{id}"), json!({"profile": {"allergies": [], "medications": []}}))
            .await;
    }
    let of = |user: &str, item: &str| json!({"user_id": user, "item_id": item, "event": "prescription", "time": "2026-01-05T08:00:00Z"});
    let all = json!([
        of("ann", "aspirin"),
        of("ann", "statin"),
        of("ann", "amoxicillin"),
        of("bob", "aspirin"),
        of("bob", "metformin"),
        of("bob", "amoxicillin"),
        of("cid", "aspirin"),
    ]);
    let response = send(server, Method::POST, "/v1/interactions", Some(all)).await;
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"created": 7, "updated": 0, "unchanged": 0}));
}

#[tokio::test]
async fn what_similar_people_have_is_recommended_with_the_reason() {
    let server = empty();
    clinic(&server).await;
    let answer = get(&server, "/v1/users/cid/recommendations?kind=drug").await;
    assert_eq!(answer["strategy"], "neighbors");
    assert_eq!(answer["similarity"], "cosine");
    // cid shares aspirin with both: cosine 1/sqrt(3) each; amoxicillin is supported by two.
    assert_eq!(ids(&answer, "items"), ["amoxicillin", "metformin", "statin"]);
    let score = answer["items"][0]["score"].as_f64().unwrap();
    assert!((score - 2.0 / 3f64.sqrt()).abs() < 1e-9, "{score}");
    let because = &answer["items"][0]["because"];
    assert_eq!(because["supporting_neighbors"], "few");
    assert_eq!(because["shared_items"], json!(["aspirin"]));
    assert!(!answer.to_string().contains("ann") && !answer.to_string().contains("bob"), "{answer}");
}

#[tokio::test]
async fn a_write_is_seen_by_the_very_next_read() {
    let server = empty();
    clinic(&server).await;
    let drugs = "/v1/users/cid/recommendations?kind=drug";

    put(&server, "/v1/users/cid", json!({"allergies": ["Penicillin"], "medications": []})).await;
    let answer = get(&server, drugs).await;
    assert_eq!(ids(&answer, "items"), ["metformin", "statin"]);
    assert_eq!(answer["excluded"], json!([{"item_id": "amoxicillin", "reason": "allergy: Penicillin"}]));

    put(&server, "/v1/users/cid", json!({"allergies": []})).await;
    let answer = get(&server, drugs).await;
    assert_eq!(ids(&answer, "items"), Vec::<String>::new(), "unknown medications are not none");
    assert!(answer["abstained"].as_str().unwrap().contains("medications"), "{answer}");

    put(&server, "/v1/users/cid", json!({"allergies": [], "medications": []})).await;
    put(&server, "/v1/items/metformin", json!({"kind": "drug", "name": "metformin", "hidden": true})).await;
    assert_eq!(ids(&get(&server, drugs).await, "items"), ["amoxicillin", "statin"]);

    let more = json!([{"user_id": "cid", "item_id": "statin", "event": "prescription", "time": "2026-01-06T08:00:00Z"}]);
    for expected in ["created", "unchanged"] {
        let written: Value =
            send(&server, Method::POST, "/v1/interactions", Some(more.clone())).await.json().await.unwrap();
        assert_eq!(written[expected], 1, "{written}");
        assert_eq!(ids(&get(&server, drugs).await, "items"), ["amoxicillin"]);
    }

    let response = send(&server, Method::DELETE, "/v1/users/bob", None).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    for path in ["/v1/users/bob", "/v1/users/bob/interactions", "/v1/users/bob/recommendations?kind=drug"] {
        assert_problem(send(&server, Method::GET, path, None).await, 404, "").await;
    }
    let answer = get(&server, drugs).await;
    let expected = 2.0 / 6f64.sqrt();
    assert!((answer["items"][0]["score"].as_f64().unwrap() - expected).abs() < 1e-9, "{answer}");
}

#[tokio::test]
async fn the_demo_region_answers_for_every_kind_and_never_against_a_rule() {
    let server = demo();
    for kind in ["hospital", "doctor", "pharmacy", "drug", "advice"] {
        let answer = get(&server, &format!("/v1/users/u1/recommendations?kind={kind}&limit=5")).await;
        assert_eq!(answer["kind"], kind);
        assert!(answer["items"].as_array().unwrap().len() <= 5);
        let scores: Vec<f64> =
            answer["items"].as_array().unwrap().iter().map(|i| i["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
    let near = get(&server, "/v1/users/u1/recommendations?kind=pharmacy&limit=3").await;
    assert!(near["items"][0]["distance_km"].is_number(), "{near}");

    let items = get(&server, "/v1/items?kind=drug&limit=1000").await;
    let allergies: std::collections::BTreeMap<String, Value> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (item["item_id"].as_str().unwrap().to_string(), item["contraindications"]["allergies"].clone())
        })
        .collect();
    let mut excluded = 0;
    for user in 1..=60 {
        let profile = get(&server, &format!("/v1/users/u{user}")).await["profile"].clone();
        let answer = get(&server, &format!("/v1/users/u{user}/recommendations?kind=drug&limit=50")).await;
        let own: Vec<String> = profile["allergies"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|a| a.as_str().unwrap().to_lowercase())
            .collect();
        for item in ids(&answer, "items") {
            let against = allergies[&item].as_array().cloned().unwrap_or_default();
            assert!(
                !against.iter().any(|a| own.contains(&a.as_str().unwrap().to_lowercase())),
                "{item} for {profile}"
            );
        }
        excluded += answer["excluded"].as_array().unwrap().len();
    }
    assert!(excluded > 0, "no rule ever spoke, so nothing was tested");
}

#[tokio::test]
async fn neighbors_are_for_administrators() {
    let path = "/v1/users/cid/neighbors?kind=drug&limit=5";
    assert_problem(send(&empty(), Method::GET, path, None).await, 401, "").await;
    let models = tempfile::tempdir().unwrap();
    let keys = [api_key("admin", "admin", KEY), api_key("ward", "recommend+write", "another-key")].join(",");
    let server = Server::start(models.path(), &["--api-keys", &keys]);
    clinic(&server).await;
    let ask = async |token: Option<&str>| {
        let mut request = Client::new().get(server.at(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    };
    assert_problem(ask(None).await, 401, "").await;
    assert_problem(ask(Some("another-key")).await, 403, "").await;
    let answer: Value = ask(Some(KEY)).await.json().await.unwrap();
    let names: Vec<_> =
        answer["neighbors"].as_array().unwrap().iter().map(|n| n["user_id"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "bob"], "equally alike, so by id");
    for limit in [0, 10_001] {
        let path = format!("/v1/users/cid/neighbors?kind=drug&limit={limit}");
        let response = Client::new().get(server.at(&path)).bearer_auth(KEY).send().await.unwrap();
        assert_problem(response, 400, "limit").await;
    }
}

#[tokio::test]
async fn places_are_told_with_their_distance_and_cut_by_it() {
    let server = empty();
    for (id, latitude) in [("near", 41.1), ("far", 43.0)] {
        let item = json!({"kind": "pharmacy", "name": id, "latitude": latitude, "longitude": -95.0});
        put(&server, &format!("/v1/items/{id}"), item).await;
    }
    put(&server, "/v1/items/nowhere", json!({"kind": "pharmacy", "name": "nowhere"})).await;
    put(&server, "/v1/users/ann", json!({})).await;
    put(&server, "/v1/users/cid", json!({})).await;
    let happened: Vec<Value> =
        ["near", "far", "nowhere"].iter().map(|item| json!({"user_id": "ann", "item_id": item})).collect();
    let response = send(&server, Method::POST, "/v1/interactions", Some(happened.into())).await;
    assert_eq!(response.status(), StatusCode::OK);
    let path = "/v1/users/cid/recommendations?kind=pharmacy&near=41,-95";
    let all = get(&server, path).await;
    assert_eq!(ids(&all, "items"), ["far", "near", "nowhere"]);
    let distance = |place: usize| all["items"][place]["distance_km"].as_f64();
    // A degree of latitude is 111.195 km on the sphere.
    assert!((distance(0).unwrap() - 222.39).abs() < 0.01 && (distance(1).unwrap() - 11.1195).abs() < 0.001);
    assert_eq!(distance(2), None);
    let close = get(&server, &format!("{path}&radius_km=50")).await;
    assert_eq!(ids(&close, "items"), ["near"]);
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let server = empty();
    clinic(&server).await;
    let ask = async |query: &str| {
        send(&server, Method::GET, &format!("/v1/users/cid/recommendations{query}"), None).await
    };
    for (query, name) in [
        ("?kind=hospitals", "kind"),
        ("?kind=drug&limit=0", "limit"),
        ("?kind=drug&limit=10000", "limit"),
        ("?kind=drug&similarity=manhattan", "similarity"),
        ("?kind=drug&neighbors=0", "neighbors"),
        ("?kind=pharmacy&near=here", "near"),
        ("?kind=pharmacy&near=91,0", "near"),
        ("?kind=pharmacy&radius_km=5", "radius_km"),
        ("?kind=pharmacy&near=1,1&radius_km=-1", "radius_km"),
    ] {
        assert_problem(ask(query).await, 400, name).await;
    }
    let response = ask("?kind=hospitals").await.text().await.unwrap();
    assert!(response.contains("hospital, doctor, pharmacy, drug, advice"), "{response}");
    assert_problem(ask("").await, 400, "").await;
    assert_problem(
        send(&server, Method::GET, "/v1/users/nobody/recommendations?kind=drug", None).await,
        404,
        "",
    )
    .await;
    assert_problem(send(&server, Method::GET, "/v1/items/nothing", None).await, 404, "").await;
}

/// A server over Postgres, reached through a wire. Nothing where there is no Postgres.
async fn over_postgres() -> Option<(Server, Wire, cluster::TestDatabase)> {
    let database = cluster::database().await?;
    let (credentials, rest) = database.url.split_once('@').unwrap();
    let (address, rest) = rest.split_once('/').unwrap();
    let wire = Wire::to(address.to_string()).await;
    let url = format!("{credentials}@127.0.0.1:{}/{rest}", wire.port);
    let models = tempfile::tempdir().unwrap();
    Some((Server::start_over(&url, models.path(), &[]), wire, database))
}

/// Asks until `expected` items are recommended to cid; gives up after a time no refresh needs.
async fn until_recommended(server: &Server, expected: &[&str]) {
    let start = Instant::now();
    loop {
        let found = ids(&get(server, "/v1/users/cid/recommendations?kind=drug").await, "items");
        if found == expected {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{found:?} where {expected:?} was expected");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_writes_say_so_and_no_drug_is_recommended() {
    let Some((server, wire, _database)) = over_postgres().await else { return };
    clinic(&server).await;
    let drugs = "/v1/users/cid/recommendations?kind=drug";
    let before = get(&server, drugs).await;
    assert_eq!(ids(&before, "items"), ["amoxicillin", "metformin", "statin"]);

    wire.whole.send(false).unwrap();
    let more = json!([{"user_id": "cid", "item_id": "statin", "event": "prescription", "time": "2026-01-06T08:00:00Z"}]);
    let response = send(&server, Method::POST, "/v1/interactions", Some(more.clone())).await;
    assert_problem(response, 503, "").await;
    let response = send(&server, Method::PUT, "/v1/users/eve", Some(json!({"profile": {}}))).await;
    assert_problem(response, 503, "").await;
    // Whether somebody took an allergy meanwhile cannot be known.
    let during = get(&server, drugs).await;
    assert_eq!(during["items"], json!([]));
    assert!(during["abstained"].as_str().unwrap().contains("as it is now"), "{during}");
    // However often it looks for changes in vain, it does not claim to know of any.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let later = get(&server, drugs).await;
    assert_eq!((&later["items"], &later["as_of"]), (&json!([]), &during["as_of"]));
    assert_eq!(get(&server, "/v1/users/cid/recommendations?kind=advice").await["user_id"], "cid");

    wire.whole.send(true).unwrap();
    let start = Instant::now();
    while send(&server, Method::POST, "/v1/interactions", Some(more.clone())).await.status() != StatusCode::OK
    {
        assert!(start.elapsed() < Duration::from_secs(30), "writes are still refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until_recommended(&server, &["amoxicillin", "metformin"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_plain_sql_writes_is_seen() {
    let Some((server, _wire, database)) = over_postgres().await else { return };
    clinic(&server).await;
    until_recommended(&server, &["amoxicillin", "metformin", "statin"]).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute("UPDATE items SET hidden = true WHERE id = 'metformin'").await.unwrap();
    until_recommended(&server, &["amoxicillin", "statin"]).await;
    connection.execute("DELETE FROM interactions WHERE item_id = 'statin'").await.unwrap();
    until_recommended(&server, &["amoxicillin"]).await;
    // Of this the feed cannot say whom it concerns: everything is loaded anew.
    connection.execute("TRUNCATE interactions").await.unwrap();
    until_recommended(&server, &[]).await;
    connection
        .execute("INSERT INTO interactions (user_id, item_id, event) VALUES ('ann', 'statin', 'visit')")
        .await
        .unwrap();
    until_recommended(&server, &["statin"]).await;
}

/// A hospital's own word lets no drug through until its table says what it means; a running server
/// learns of it.
async fn an_imported_term_is_understood(url: &str) {
    let models = tempfile::tempdir().unwrap();
    let server = Server::start_over(url, models.path(), &[]);
    clinic(&server).await;
    put(&server, "/v1/users/cid", json!({"allergies": ["Code Yellow"], "medications": []})).await;
    let answer = get(&server, "/v1/users/cid/recommendations?kind=drug").await;
    assert_eq!((&answer["strategy"], &answer["items"]), (&json!("insufficient_evidence"), &json!([])));
    assert_eq!(answer["abstained"], "allergies: \"Code Yellow\" is not understood");

    let store = medserve::store::connect(url, &Default::default()).await.unwrap();
    let file = "kind,name,synonyms\nclass,penicillin,Code Yellow\n";
    medserve::store::import::import_terminology(store.as_ref(), file.as_bytes()).await.unwrap();
    until_recommended(&server, &["metformin", "statin"]).await;
    let answer = get(&server, "/v1/users/cid/recommendations?kind=drug").await;
    assert_eq!(answer["excluded"], json!([{"item_id": "amoxicillin", "reason": "allergy: Code Yellow"}]));
    assert_eq!((answer.get("abstained"), answer.get("flags")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_term_is_understood_on_both_databases() {
    let folder = tempfile::tempdir().unwrap();
    an_imported_term_is_understood(&format!("sqlite://{}/terms.db", folder.path().display())).await;
    let Some(database) = cluster::database().await else { return };
    an_imported_term_is_understood(&database.url).await;
}

#[tokio::test]
async fn the_demo_offers_no_drugs_that_exclude_each_other_or_without_a_reason_to_take_them() {
    let server = demo();
    let child =
        json!({"birth_year": 2013, "sex": "male", "conditions": [], "allergies": [], "medications": []});
    put(&server, "/v1/users/child", child).await;
    let answer = get(&server, "/v1/users/child/recommendations?kind=drug&limit=1000").await;
    assert!(!ids(&answer, "items").is_empty(), "what needs no prescription remains");
    for drug in ["lisinopril", "atorvastatin", "ethinylestradiol-levonorgestrel"] {
        assert!(!ids(&answer, "items").contains(&drug.to_owned()), "{answer}");
    }
    let mut asked = 0;
    for user in 1..=30 {
        let path = format!("/v1/users/u{user}/recommendations?kind=drug&limit=5");
        let offered = ids(&get(&server, &path).await, "items");
        let Some((first, others)) = offered.split_first() else { continue };
        let mut profile = get(&server, &format!("/v1/users/u{user}")).await["profile"].clone();
        profile["medications"].as_array_mut().unwrap().push(json!(first));
        put(&server, &format!("/v1/users/u{user}"), profile).await;
        let again = get(&server, &path.replace("limit=5", "limit=1000")).await;
        let taken = ids(&again, "items");
        assert!(
            others.iter().all(|other| taken.contains(other)),
            "u{user}: {first} with {others:?}: {again}"
        );
        asked += others.len();
    }
    assert!(asked > 30, "{asked}");
}
