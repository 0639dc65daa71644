//! People, things and what happened between them over HTTP, black box: any sound text comes through every
//! place that takes text, and what is not sound is refused whole, with its place.

use crate::recommendations::{assert_problem, clinic, empty, get, ids, put, send};
use crate::support::Server;
use crate::support::postgres as cluster;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn any_sound_identifier_survives_the_path() {
    let server = empty();
    for id in ["a/b", "two words", "名前", "x'; DROP TABLE users; --", "%41", "a?b#c", "e\u{301}"] {
        let mut url = reqwest::Url::parse(&server.at("/v1/users")).unwrap();
        url.path_segments_mut().unwrap().push(id);
        let client = Client::new();
        let response =
            client.put(url.clone()).json(&json!({"profile": {"birth_year": 1960}})).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{id}");
        let user: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(user["user_id"], id);
    }
    let long = "x".repeat(201);
    let response =
        send(&server, Method::PUT, &format!("/v1/users/{long}"), Some(json!({"profile": {}}))).await;
    assert_problem(response, 422, "/user_id").await;
}

#[tokio::test]
async fn a_query_on_a_route_without_parameters_is_refused_before_anything_is_done() {
    let server = empty();
    put(&server, "/v1/users/zz", json!({"profile": {"birth_year": 1960}})).await;
    put(&server, "/v1/items/it", json!({"kind": "drug", "name": "it"})).await;
    let erase = send(&server, Method::DELETE, "/v1/users/zz?item_id=metformin", None).await;
    assert_problem(erase, 400, "item_id").await;
    let body = json!({"profile": {"birth_year": 1970}});
    assert_problem(send(&server, Method::PUT, "/v1/users/zz?dry_run=true", Some(body)).await, 400, "dry_run")
        .await;
    assert_eq!(get(&server, "/v1/users/zz").await["profile"]["birth_year"], 1960);
    for path in ["/v1/users/zz", "/v1/items/it", "/v1/models", "/v2", "/cds-services"] {
        let status = async |query: &str, method: Method| {
            Client::new().request(method, server.at(&format!("{path}{query}"))).send().await.unwrap().status()
        };
        assert_eq!(status("?nosuch=1", Method::GET).await, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(status("?%ff", Method::HEAD).await, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(status("?", Method::GET).await, StatusCode::OK, "{path}");
    }
    // Pages, probes and protocols whose clients add parameters of their own.
    for path in
        ["/?a=1", "/openapi.json?a=1", "/health/live?a=1", "/metrics?a=1", "/fhir/R4/metadata?_format=json"]
    {
        let status = Client::new().get(server.at(path)).send().await.unwrap().status();
        assert_eq!(status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_value_of_another_type_where_a_word_belongs_has_its_place() {
    let server = empty();
    for kind in [json!(null), json!(5), json!({})] {
        let body = json!({"kind": kind, "name": "x"});
        assert_problem(send(&server, Method::PUT, "/v1/items/qq", Some(body)).await, 422, "/kind").await;
    }
}

/// Text that means something to a path, a query, a database or a person, in every place that takes
/// any.
async fn any_sound_text_comes_through(server: &Server) {
    let client = Client::new();
    let at = |segments: &[&str], query: &[(&str, &str)]| {
        let mut url = reqwest::Url::parse(&server.at("/v1")).unwrap();
        url.path_segments_mut().unwrap().extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    };
    let ok = async |request: reqwest::RequestBuilder| -> Value {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{}", response.url());
        response.json().await.unwrap()
    };
    put(server, "/v1/items/base", json!({"kind": "drug", "name": "base"})).await;
    for text in
        ["a/b", "two words", "名前", "x'; DROP TABLE users; --", "%41", "a?b#c&d=e+f", "e\u{301}", "../u"]
    {
        let item = json!({"kind": "drug", "name": text, "attributes": {text: text},
            "contraindications": {"allergies": [text], "interacts_with": [format!("not {text}")]}});
        ok(client.put(at(&["items", text], &[])).json(&item)).await;
        let kept = ok(client.get(at(&["items", text], &[]))).await;
        assert_eq!((&kept["item_id"], &kept["name"]), (&json!(text), &json!(text)));
        assert_eq!(
            (&kept["attributes"], &kept["contraindications"]),
            (&item["attributes"], &item["contraindications"])
        );
        let listed = ok(client.get(at(&["items"], &[("after", text), ("limit", "1000")]))).await;
        assert!(!ids(&listed, "items").contains(&text.to_owned()), "{listed}");

        let peer = format!("peer of {text}");
        let peer = peer.as_str();
        let profile = |allergies: Value| json!({"allergies": allergies, "medications": []});
        for (user, allergies) in [(text, json!([text])), (peer, json!([]))] {
            ok(client.put(at(&["users", user], &[])).json(&profile(allergies))).await;
        }
        let of = |user: &str, item: &str, day: u8| json!({"user_id": user, "item_id": item, "event": text, "time": format!("2025-03-0{day}T08:00:00Z")});
        let happened = json!([of(text, "base", 1), of(peer, "base", 2), of(peer, text, 3)]);
        let written = ok(client.post(at(&["interactions"], &[])).json(&happened)).await;
        assert_eq!(written["created"], 3);
        let page = ok(client.get(at(&["users", peer, "interactions"], &[("limit", "1")]))).await;
        let last = &page["interactions"][0];
        assert_eq!((&last["item_id"], &last["event"]), (&json!(text), &json!(text)));
        let after =
            [("after_time", last["time"].as_str().unwrap()), ("after_item", text), ("after_event", text)];
        let rest = ok(client.get(at(&["users", peer, "interactions"], &after))).await;
        assert_eq!(ids(&rest, "interactions"), ["base"]);

        let path = ["users", text, "recommendations"];
        let answer = ok(client.get(at(&path, &[("kind", "drug")]))).await;
        assert_eq!(answer["user_id"], text);
        assert_eq!(answer["excluded"], json!([{"item_id": text, "reason": format!("allergy: {text}")}]));
        ok(client.put(at(&["users", text], &[])).json(&profile(json!([])))).await;
        let answer = ok(client.get(at(&path, &[("kind", "drug")]))).await;
        assert_eq!(
            (&answer["items"][0]["item_id"], &answer["items"][0]["name"]),
            (&json!(text), &json!(text))
        );
        assert_eq!(answer["items"][0]["because"]["shared_items"], json!(["base"]));
        assert_problem(client.get(at(&path, &[("kind", text)])).send().await.unwrap(), 400, "kind").await;

        let filter = [("item_id", text), ("event", text)];
        let deleted = ok(client.delete(at(&["users", peer, "interactions"], &filter))).await;
        assert_eq!(deleted["deleted"], 1);
        for gone in [["users", text], ["users", peer], ["items", text]] {
            let response = client.delete(at(&gone, &[])).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::NO_CONTENT, "{gone:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_sound_text_comes_through_everywhere() {
    any_sound_text_comes_through(&empty()).await;
    let Some(database) = cluster::database().await else { return };
    let models = tempfile::tempdir().unwrap();
    for recommender in ["memory", "database"] {
        let arguments = ["--recommender", recommender];
        let server = Server::start_over(&database.url, models.path(), &arguments);
        any_sound_text_comes_through(&server).await;
        send(&server, Method::DELETE, "/v1/items/base", None).await;
    }
}

/// Longer than HTTP servers read: the refusal comes from below, and the server goes on.
#[tokio::test]
async fn an_identifier_of_a_megabyte_in_the_path_is_refused() {
    let server = empty();
    let address = server.url.strip_prefix("http://").unwrap();
    for length in [70_000, 1 << 20] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET /v1/users/{} HTTP/1.1\r\nhost: {address}\r\n\r\n", "x".repeat(length));
        // The server may have refused before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["414", "431"].contains(&status) || (length > 70_000 && status.is_empty()), "{answer}");
        assert_problem(send(&server, Method::GET, "/v1/users/x", None).await, 404, "").await;
    }
}

#[tokio::test]
async fn bad_interactions_are_refused_whole_with_their_places() {
    let server = empty();
    clinic(&server).await;
    let good = json!({"user_id": "cid", "item_id": "metformin", "event": "prescription", "time": "2026-01-07T08:00:00Z"});
    let with = |member: &str, value: Value| {
        let mut bad = good.clone();
        bad[member] = value;
        json!([good, bad])
    };
    for (member, value) in [
        ("weight", json!(0)),
        ("weight", json!(-1.5)),
        ("weight", json!(1e300)),
        ("weight", json!("NaN")),
        ("weight", json!(null)),
        ("time", json!("2999-01-01T00:00:00Z")),
        ("time", json!("yesterday")),
        ("user_id", json!("")),
        ("user_id", json!("nobody")),
        ("user_id", json!("x".repeat(1 << 20))),
        ("item_id", json!("nothing")),
        ("item_id", json!("'; DELETE FROM interactions; --")),
        ("event", json!(7)),
    ] {
        let response = send(&server, Method::POST, "/v1/interactions", Some(with(member, value))).await;
        assert_problem(response, 422, &format!("/1/{member}")).await;
    }
    let response = send(&server, Method::POST, "/v1/interactions", Some(with("colour", json!("red")))).await;
    assert_problem(response, 422, "/1/colour").await;
    for body in ["[", "{}", "[1]", "null", "[{\"weight\": NaN}]", "[{\"weight\": 1e999}]"] {
        let request = Client::new()
            .post(server.at("/v1/interactions"))
            .header("content-type", "application/json")
            .body(body);
        let status = request.send().await.unwrap().status().as_u16();
        assert!([400, 422].contains(&status), "{body}: {status}");
    }
    let history = get(&server, "/v1/users/cid/interactions").await;
    assert_eq!(
        history["interactions"].as_array().unwrap().len(),
        1,
        "nothing of a refused request stays: {history}"
    );
    let none: Value =
        send(&server, Method::POST, "/v1/interactions", Some(json!([]))).await.json().await.unwrap();
    assert_eq!(none["created"], 0);
}

#[tokio::test]
async fn bad_people_and_things_are_refused_with_their_places() {
    let server = empty();
    let cases = [
        ("/v1/users/x", json!({"profile": {"birth_year": 1700}}), "/profile/birth_year"),
        ("/v1/users/x", json!({"profile": {"latitude": 91, "longitude": 0}}), "/profile/latitude"),
        ("/v1/users/x", json!({"profile": {"allergies": "none"}}), "/profile/allergies"),
        ("/v1/items/x", json!({"kind": "drug", "name": " "}), "/name"),
        ("/v1/items/x", json!({"kind": "planet", "name": "x"}), "/kind"),
    ];
    for (path, body, pointer) in cases {
        assert_problem(send(&server, Method::PUT, path, Some(body)).await, 422, pointer).await;
    }
    let response =
        send(&server, Method::PUT, "/v1/users/x", Some(json!({"profile": {}, "user_id": "y"}))).await;
    assert_problem(response, 422, "").await;
    assert_problem(send(&server, Method::GET, "/v1/users/x", None).await, 404, "").await;
}

#[tokio::test]
async fn interactions_are_listed_and_deleted() {
    let server = empty();
    clinic(&server).await;
    let page = get(&server, "/v1/users/ann/interactions?limit=2").await;
    assert_eq!((page["interactions"].as_array().unwrap().len(), &page["more"]), (2, &json!(true)));
    let last = &page["interactions"][1];
    let next = format!(
        "/v1/users/ann/interactions?limit=2&after_time={}&after_item={}&after_event={}",
        last["time"].as_str().unwrap(),
        last["item_id"].as_str().unwrap(),
        last["event"].as_str().unwrap()
    );
    let rest = get(&server, &next).await;
    assert_eq!((rest["interactions"].as_array().unwrap().len(), &rest["more"]), (1, &json!(false)));
    let deleted: Value = send(&server, Method::DELETE, "/v1/users/ann/interactions?item_id=statin", None)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(deleted["deleted"], 1);
    assert_eq!(
        ids(&get(&server, "/v1/users/cid/recommendations?kind=drug").await, "items"),
        ["amoxicillin", "metformin"]
    );
}
