//! Reading and writing people and items on conditions, so that no change is lost between two clients;
//! and the strict reading of what they send.

use crate::support::{Server, shipped_models};
use recommend::clock::{now, rfc3339};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

fn start() -> Server {
    Server::start(&shipped_models(), &[])
}

struct Api {
    client: Client,
    server: Server,
}

impl Api {
    fn new() -> Api {
        Api { client: Client::new(), server: start() }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = self.client.request(method, self.server.at(path)).body(body.to_string());
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn put(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> StatusCode {
        self.send(Method::PUT, path, headers, &body.to_string()).await.status()
    }

    /// The tag and the body.
    async fn get(&self, path: &str) -> (String, Value) {
        let response = self.send(Method::GET, path, &[], "").await;
        assert_eq!(response.status(), 200, "{path}");
        let tag = response.headers()["etag"].to_str().unwrap().to_string();
        (tag, response.json().await.unwrap())
    }
}

fn person(allergies: &[&str], medications: &[&str]) -> Value {
    json!({"profile": {"allergies": allergies, "medications": medications}})
}

fn drug(name: &str) -> Value {
    json!({"kind": "drug", "name": name})
}

#[tokio::test]
async fn a_change_by_somebody_else_is_not_lost() {
    let api = Api::new();
    for (path, first, second, third) in [
        ("/v1/users/p1", person(&[], &[]), person(&["penicillin"], &[]), person(&[], &["metformin"])),
        ("/v1/items/d1", drug("one"), drug("two"), drug("three")),
    ] {
        assert_eq!(api.put(path, &[], &first).await, 200);
        let (read, before) = api.get(path).await;
        assert_eq!(api.put(path, &[("if-match", &read)], &second).await, 200);
        let (now, after) = api.get(path).await;
        assert!(now != read && after != before, "{after}");
        assert_eq!(api.put(path, &[("if-match", &read)], &third).await, 412);
        let stale = api.send(Method::DELETE, path, &[("if-match", &read)], "").await;
        assert_eq!(stale.status(), 412);
        let problem: Value = stale.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("read it again"), "{problem}");
        assert_eq!(api.get(path).await, (now.clone(), after.clone()));
        // What two clients write at the same moment, one of them writes.
        let at_once = futures::future::join_all((0..8).map(|n| {
            let body = match path.contains("users") {
                true => person(&[], &[&format!("drug {n}")]),
                false => drug(&format!("drug {n}")),
            };
            let (api, now) = (&api, &now);
            async move { api.put(path, &[("if-match", now)], &body).await.as_u16() }
        }))
        .await;
        assert_eq!(at_once.iter().filter(|status| **status == 200).count(), 1, "{at_once:?}");
        assert_eq!(at_once.iter().filter(|status| **status == 412).count(), 7, "{at_once:?}");
        let (last, _) = api.get(path).await;
        assert_eq!(api.send(Method::DELETE, path, &[("if-match", &last)], "").await.status(), 204);
        assert_eq!(api.put(path, &[("if-match", "*")], &first).await, 412, "it is gone");
    }
}

#[tokio::test]
async fn what_exists_is_not_replaced_by_who_means_to_add_it() {
    let api = Api::new();
    for (path, body, other) in [
        ("/v1/users/p1", person(&["penicillin"], &[]), person(&[], &[])),
        ("/v1/items/d1", drug("one"), drug("two")),
    ] {
        assert_eq!(api.put(path, &[("if-none-match", "*")], &body).await, 200);
        let (tag, stored) = api.get(path).await;
        assert_eq!(api.put(path, &[("if-none-match", "*")], &other).await, 412);
        assert_eq!(api.get(path).await, (tag.clone(), stored));
        assert_eq!(api.put(path, &[("if-match", "*")], &body).await, 200);
        assert_eq!(api.put(path, &[("if-match", "not a tag")], &body).await, 400);
        let again = api.send(Method::GET, path, &[("if-none-match", &tag)], "").await;
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers()["etag"], tag.as_str());
        assert_eq!(again.text().await.unwrap(), "");
        let weak = format!("\"other\", W/{tag}");
        assert_eq!(api.send(Method::GET, path, &[("if-none-match", &weak)], "").await.status(), 304);
        assert_eq!(api.send(Method::GET, path, &[("if-none-match", "\"other\"")], "").await.status(), 200);
    }
}

#[tokio::test]
async fn a_member_that_comes_twice_is_refused_on_every_route_and_named() {
    let api = Api::new();
    api.put("/v1/users/p1", &[], &person(&["penicillin"], &[])).await;
    let stored = api.get("/v1/users/p1").await;
    for (method, path, body, pointer) in [
        (
            Method::PUT,
            "/v1/users/p1",
            r#"{"profile":{"allergies":["penicillin"],"medications":[],"allergies":[]}}"#,
            "/profile/allergies",
        ),
        (Method::PUT, "/v1/items/d1", r#"{"kind":"drug","name":"a","name":"b"}"#, "/name"),
        (
            Method::PUT,
            "/v1/items/d1",
            r#"{"kind":"drug","name":"a","attributes":{"x":1,"x":2}}"#,
            "/attributes/x",
        ),
        (
            Method::POST,
            "/v1/interactions",
            r#"[{"user_id":"p1","user_id":"p2","item_id":"d1"}]"#,
            "/0/user_id",
        ),
        (
            Method::POST,
            "/v1/notes/classify",
            r#"{"model":"triage","records":[{"note":"chest pain","fields":{"sbp":60,"sbp":120}}]}"#,
            "/records/0/fields/sbp",
        ),
        (Method::POST, "/v2/models/triage/infer", r#"{"inputs":[],"inputs":[]}"#, "/inputs"),
    ] {
        let response = api.send(method, path, &[], body).await;
        assert_eq!(response.status(), 400, "{path}: {body}");
        let problem = response.text().await.unwrap();
        assert!(problem.contains(&format!("{pointer}: ")) && problem.contains("twice"), "{problem}");
    }
    assert_eq!(api.get("/v1/users/p1").await, stored);
    assert_eq!(api.send(Method::GET, "/v1/items/d1", &[], "").await.status(), 404);
}

#[tokio::test]
async fn an_array_is_no_object_and_wipes_no_profile() {
    let api = Api::new();
    api.put("/v1/users/p1", &[], &person(&["penicillin"], &["warfarin"])).await;
    let stored = api.get("/v1/users/p1").await;
    for (method, path, body) in [
        (Method::PUT, "/v1/users/p1", "[]"),
        (Method::PUT, "/v1/users/p1", r#"[1960,"male",[],[],[],false,[],null,null]"#),
        (Method::PUT, "/v1/users/p1", r#"{"profile":[]}"#),
        (Method::PUT, "/v1/users/p1", "null"),
        (Method::PUT, "/v1/items/d1", r#"["d1","drug","a"]"#),
        (Method::POST, "/v1/interactions", r#"[["p1","metformin","prescription",1,"2026-01-01"]]"#),
        (Method::POST, "/v1/notes/classify", r#"["triage",[{"note":"x"}],null]"#),
    ] {
        let response = api.send(method, path, &[], body).await;
        assert_eq!(response.status(), 422, "{path}: {body}");
        let problem: Value = response.json().await.unwrap();
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("must be an object"), "{problem}");
    }
    let infer = api.send(Method::POST, "/v2/models/triage/infer", &[], r#"[null,null,[]]"#).await;
    assert_eq!(infer.status(), 400);
    assert_eq!(api.get("/v1/users/p1").await, stored);
}

#[tokio::test]
async fn a_compressed_body_is_415_on_every_route() {
    let api = Api::new();
    for (method, path) in [
        (Method::POST, "/v1/notes/classify"),
        (Method::POST, "/v1/images/classify"),
        (Method::POST, "/v1/interactions"),
        (Method::PUT, "/v1/users/p1"),
        (Method::POST, "/v2/models/triage/infer"),
    ] {
        let response = api.send(method, path, &[("content-encoding", "gzip")], "\u{1f}").await;
        assert_eq!(response.status(), 415, "{path}");
        assert!(response.text().await.unwrap().contains("compressed"), "{path}");
    }
    let plain = r#"{"model":"triage","records":[{"note":"chest pain"}]}"#;
    let identity = [("content-encoding", "identity")];
    let response = api.send(Method::POST, "/v1/notes/classify", &identity, plain).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn the_last_page_says_that_it_is_the_last_and_text_that_is_not_utf_8_is_refused() {
    let api = Api::new();
    for name in ["a", "b", "c"] {
        api.put(&format!("/v1/items/{name}"), &[], &drug(name)).await;
    }
    let page = |limit: u32| format!("/v1/items?limit={limit}");
    let list = async |path: String| {
        let response = api.send(Method::GET, &path, &[], "").await;
        response.json::<Value>().await.unwrap()
    };
    assert_eq!(list(page(3)).await["next"], Value::Null);
    assert_eq!(list(page(2)).await["next"], "b");
    assert_eq!(list(format!("{}&after=b", page(2))).await["next"], Value::Null);
    let broken = api.send(Method::GET, "/v1/items?after=%ff", &[], "").await;
    assert_eq!(broken.status(), 400);
}

#[tokio::test]
async fn a_date_that_has_begun_somewhere_is_not_in_the_future() {
    let api = Api::new();
    api.put("/v1/users/p1", &[], &person(&[], &[])).await;
    api.put("/v1/items/d1", &[], &drug("one")).await;
    let date = |hours: i64| rfc3339(now() + hours * 3_600_000)[..10].to_string();
    for (time, status) in
        [(date(0), 200), (date(14), 200), (date(39), 422), (rfc3339(now() + 3_600_001), 422)]
    {
        let body = json!([{"user_id": "p1", "item_id": "d1", "time": time}]);
        let response = api.send(Method::POST, "/v1/interactions", &[], &body.to_string()).await;
        assert_eq!(response.status(), status, "{time}");
    }
}

#[tokio::test]
async fn a_request_says_once_which_host_it_is_for() {
    use std::io::{Read, Write};
    let server = start();
    let address = server.url.trim_start_matches("http://");
    let ask = |head: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_string()
    };
    let end = "connection: close\r\n\r\n";
    assert_eq!(ask(&format!("GET /health/live HTTP/1.1\r\n{end}")), "400");
    assert_eq!(ask(&format!("GET /health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\n{end}")), "400");
    assert_eq!(ask(&format!("GET /health/live HTTP/1.1\r\nhost: a\r\n{end}")), "200");
    assert_eq!(ask("GET /health/live HTTP/1.0\r\n\r\n"), "200");
}
