//! Cases over HTTP: what is written is found with the next question, by every server over the database,
//! with the reason; and what is erased is found no more.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::embeddings::{write_package, write_version};
use crate::store::database::Database;
use crate::store::on_both;
use crate::support::{Server, api_key};

on_both!(
    what_is_written_is_found_with_the_next_question,
    another_server_finds_it_a_moment_later_and_after_a_restart,
    a_change_by_somebody_else_is_not_lost,
    a_file_is_imported_whole_or_not_at_all,
    what_means_the_like_is_found_without_a_word_in_common,
);

/// A client of one server.
struct Api {
    client: Client,
    server: Server,
    _models: tempfile::TempDir,
}

impl Api {
    fn over(database: &Database, arguments: &[&str]) -> Api {
        Api::at(&database.url, arguments)
    }

    /// A server without models, over this database.
    fn at(url: &str, arguments: &[&str]) -> Api {
        let models = tempfile::tempdir().unwrap();
        let server = Server::start_over(url, models.path(), arguments);
        Api { client: Client::new(), server, _models: models }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (StatusCode, Value) {
        let mut request = self.client.request(method, self.server.at(path));
        if !body.is_null() {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    async fn put(&self, id: &str, text: &str, attributes: Value) {
        let body = json!({"text": text, "attributes": attributes});
        let (status, answer) = self.send(Method::PUT, &format!("/v1/cases/{id}"), &[], &body).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn delete(&self, id: &str) -> StatusCode {
        self.send(Method::DELETE, &format!("/v1/cases/{id}"), &[], &Value::Null).await.0
    }

    async fn ask(&self, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, "/v1/cases/search", &[], &body).await
    }

    async fn audited(&self, route: &str, key: &str) -> (Value, Value) {
        audited(&self.server, route, key).await
    }

    /// The results of a search.
    async fn found(&self, query: &str) -> Vec<Value> {
        let (status, answer) = self.ask(json!({"query": query})).await;
        assert_eq!(status, 200, "{answer}");
        answer["results"].as_array().unwrap().clone()
    }

    async fn ids(&self, query: &str) -> Vec<String> {
        self.found(query).await.iter().map(|one| one["case_id"].as_str().unwrap().to_string()).collect()
    }

    /// Waits until a question finds this.
    async fn until(&self, query: &str, expected: &[&str]) {
        let start = Instant::now();
        loop {
            let ids = self.ids(query).await;
            if ids == expected {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{query}: {ids:?} and not {expected:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The audit and its latest row of this route, which is written a moment after the answer.
async fn audited(server: &Server, route: &str, key: &str) -> (Value, Value) {
    let start = Instant::now();
    loop {
        let response = Client::new().get(server.at("/v1/audit")).bearer_auth(key).send().await.unwrap();
        let audit: Value = response.json().await.unwrap();
        let row = audit["rows"].as_array().unwrap().iter().find(|row| row["route"] == route).cloned();
        if let Some(row) = row {
            return (audit, row);
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{audit}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn what_is_written_is_found_with_the_next_question(database: Database) {
    let api = Api::over(&database, &[]);
    assert!(api.found("chest pain").await.is_empty());
    api.put("c1", "Crushing chest pain radiating to the left arm, sweating.", json!({"ward": "cardiology"}))
        .await;
    api.put("c2", "Itching rash on both arms after amoxicillin.", json!({"ward": "dermatology"})).await;
    api.put("c3", "胸痛三天，活动后加重，伴有出汗。", json!({"ward": "cardiology"})).await;
    let found = api.found("What is this PAIN in my chests and arms?").await;
    assert_eq!(found[0]["case_id"], "c1");
    assert_eq!(found[0]["attributes"], json!({"ward": "cardiology"}));
    assert_eq!(found[0]["score"], 1.0);
    let mut words: Vec<&str> =
        found[0]["because"]["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    words.sort_unstable();
    assert_eq!(words, ["arms", "chests", "pain"]);
    assert_eq!(found[0]["because"]["similarity"], Value::Null, "no model makes vectors");
    assert_eq!(found[1]["case_id"], "c2");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(api.ids("病人胸痛").await, ["c3"]);
    // Traditional characters find simplified ones.
    assert_eq!(api.ids("活動後").await, ["c3"]);
    let (status, case) = api.send(Method::GET, "/v1/cases/c2", &[], &Value::Null).await;
    assert_eq!(status, 200);
    let text = "Itching rash on both arms after amoxicillin.";
    assert_eq!(case, json!({"case_id": "c2", "text": text, "attributes": {"ward": "dermatology"}}));

    api.put("c1", "Sore throat.", json!({})).await;
    assert_eq!(api.ids("chest pain").await, Vec::<String>::new());
    assert_eq!(api.ids("throats").await, ["c1"]);
    assert_eq!(api.delete("c1").await, 204);
    assert!(api.found("throat").await.is_empty());
    assert_eq!(api.delete("c1").await, 404);
    assert_eq!(api.send(Method::GET, "/v1/cases/c1", &[], &Value::Null).await.0, 404);
}

async fn another_server_finds_it_a_moment_later_and_after_a_restart(database: Database) {
    let (first, second) = (Api::over(&database, &[]), Api::over(&database, &[]));
    first.put("a", "Fever after travel to the tropics", json!({"year": 2023})).await;
    first.put("b", "Fever and cough", json!({"year": 2024})).await;
    second.until("fever in the tropics", &["a", "b"]).await;
    let filtered = second.ask(json!({"query": "fever", "filter": {"year": 2024}})).await.1;
    assert_eq!(filtered["results"][0]["case_id"], "b");
    assert_eq!(second.delete("a").await, 204);
    first.until("fever in the tropics", &["b"]).await;
    // Somebody who knows nothing of this program.
    database.plain_sql("INSERT INTO cases (id, text) VALUES ('c', 'Fever and a stiff neck')").await;
    first.until("stiff neck", &["c"]).await;
    second.until("stiff neck", &["c"]).await;
    let before = first.found("fever cough neck").await;
    drop((first, second));
    let third = Api::over(&database, &[]);
    assert_eq!(third.found("fever cough neck").await, before);
}

async fn a_change_by_somebody_else_is_not_lost(database: Database) {
    let api = Api::over(&database, &[]);
    let path = "/v1/cases/c1";
    let put = async |headers: &[(&str, &str)], text: &str| {
        api.send(Method::PUT, path, headers, &json!({ "text": text })).await.0
    };
    let tag = async || {
        let response = api.client.get(api.server.at(path)).send().await.unwrap();
        response.headers()["etag"].to_str().unwrap().to_string()
    };
    assert_eq!(put(&[("if-match", "*")], "one").await, 412);
    assert_eq!(put(&[("if-none-match", "*")], "one").await, 200);
    assert_eq!(put(&[("if-none-match", "*")], "two").await, 412);
    let first = tag().await;
    assert_eq!(put(&[("if-match", &first)], "two").await, 200);
    assert_eq!(put(&[("if-match", &first)], "three").await, 412);
    let second = tag().await;
    assert_ne!(first, second);
    let get = api.client.get(api.server.at(path)).header("if-none-match", &second).send().await.unwrap();
    assert_eq!(get.status(), 304);
    assert_eq!(api.ids("two").await, ["c1"]);
    assert_eq!(api.send(Method::DELETE, path, &[("if-match", &first)], &Value::Null).await.0, 412);
    assert_eq!(api.send(Method::DELETE, path, &[("if-match", &second)], &Value::Null).await.0, 204);
}

async fn what_means_the_like_is_found_without_a_word_in_common(database: Database) {
    let before = Api::over(&database, &[]);
    before.put("early", "Pain of the chest", json!({})).await;
    assert!(before.found("heart").await.is_empty());
    drop(before);

    let models = tempfile::tempdir().unwrap();
    write_package(models.path(), "meaning");
    let key = api_key("boss", "admin", "boss");
    let server = Server::start_over(&database.url, models.path(), &["--api-keys", &key]);
    let client = Client::new();
    let ask = async |method: Method, path: &str, body: Value| {
        let request = client.request(method, server.at(path)).bearer_auth("boss").json(&body);
        let response = request.send().await.unwrap();
        let status = response.status();
        assert!(status.is_success(), "{path}: {}", response.text().await.unwrap());
        serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap_or_default()
    };
    let found = async |query: &str| {
        ask(Method::POST, "/v1/cases/search", json!({"query": query})).await["results"].clone()
    };
    ask(Method::PUT, "/v1/cases/skin", json!({"text": "Rash of the skin"})).await;
    ask(Method::PUT, "/v1/cases/odd", json!({"text": "Xylophobia"})).await;
    // What was written while there was no model gets its vector too.
    let start = Instant::now();
    let results = loop {
        let results = found("heart").await;
        if results[0]["case_id"] == "early" {
            break results;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{results}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(results[0]["because"]["words"], json!([]));
    let similarity = |results: &Value, at: usize| results[at]["because"]["similarity"].as_f64().unwrap();
    assert!(similarity(&results, 0) > 0.8 && similarity(&results, 1) < 0.5, "{results}");
    // Of a text in which the model knows no word there is no vector; by its word it is found.
    assert_eq!(results.as_array().unwrap().len(), 2, "{results}");
    let results = found("xylophobia").await;
    assert_eq!((&results[0]["case_id"], &results[0]["because"]["similarity"]), (&json!("odd"), &Value::Null));
    let stored =
        "SELECT count(*) FROM cases WHERE model = 'meaning' AND version = '1' AND length(vector) = 12";
    assert_eq!(database.number(stored).await, 3);
    let (_, row) = audited(&server, "/v1/cases/search", "boss").await;
    assert_eq!((&row["model"], &row["version"]), (&json!("meaning"), &json!("1")));

    // Another version: its vectors take the place of the old ones.
    write_version(models.path(), "meaning", "2");
    ask(Method::POST, "/v2/repository/models/meaning/load", json!({})).await;
    let start = Instant::now();
    while database.number(&stored.replace("'1'", "'2'")).await < 3 {
        assert!(start.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let start = Instant::now();
    while found("heart").await[0]["case_id"] != "early" {
        assert!(start.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Without the model words are left.
    ask(Method::POST, "/v2/repository/models/meaning/unload", Value::Null).await;
    let start = Instant::now();
    while found("heart").await != json!([]) {
        assert!(start.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(found("skins").await[0]["because"]["similarity"], Value::Null);
}

fn import(database: &Database, file: &Path) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_medserve"))
        .args(["import", "cases"])
        .arg(file)
        .args(["--database-url", &database.url])
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).join("");
    (done.status.success(), said)
}

async fn a_file_is_imported_whole_or_not_at_all(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.jsonl");
    let api = Api::over(&database, &[]);
    let good = "{\"case_id\": \"a\", \"text\": \"Gout in the big toe\", \"attributes\": {\"site\": \"toe\"}}\n\n\
                {\"case_id\": \"b\", \"text\": \"Gout in the knee\"}\n";
    for (line, problem) in [
        ("{\"case_id\": \"a\", \"text\": \"again\"}", "line 4: \"a\" was given in line 1 already"),
        ("{\"case_id\": \"c\", \"text\": \"\"}", "line 4: /text must not be blank"),
        (
            "{\"case_id\": \"c\", \"text\": \"x\", \"attributes\": {\"a\": {}}}",
            "line 4: /attributes/a must be",
        ),
        ("{\"case_id\": \"c\", \"words\": \"secret\"}", "line 4: unknown field"),
        ("{\"text\": \"x\"}", "line 4: /case_id must not be empty"),
    ] {
        std::fs::write(&file, format!("{good}{line}\n")).unwrap();
        let (done, said) = import(&database, &file);
        assert!(!done && said.contains(problem) && said.contains("nothing was imported"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(database.number("SELECT count(*) FROM cases").await, 0);
    }
    std::fs::write(&file, good).unwrap();
    let (done, said) = import(&database, &file);
    assert!(done && said.contains("cases: 2 created"), "{said}");
    api.until("gout in a toe", &["a", "b"]).await;
    let (done, said) = import(&database, &file);
    assert!(done && said.contains("cases: 0 created, 0 updated, 2 unchanged"), "{said}");
}

async fn sqlite(arguments: &[&str]) -> (Api, Database) {
    let database = Database::sqlite().await;
    (Api::over(&database, arguments), database)
}

#[tokio::test]
async fn a_filter_lets_through_what_has_the_value_or_one_of_several() {
    let (api, _database) = sqlite(&[]).await;
    let (status, answer) = api.ask(json!({"query": "fever", "filter": {"ward": "7"}})).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["errors"][0]["detail"].as_str().unwrap().contains("no case has any"), "{answer}");
    api.put("a", "Fever", json!({"ward": "7", "drugs": ["x", "y"], "icu": true, "year": 2023})).await;
    api.put("b", "Fever", json!({"ward": "8", "drugs": ["y"], "icu": false, "year": 2024})).await;
    api.put("c", "Fever", json!({"ward": "9", "n": 1.0})).await;
    for (filter, expected) in [
        (json!({}), vec!["a", "b", "c"]),
        (json!({"ward": "7"}), vec!["a"]),
        (json!({"ward": ["7", "9", "none"]}), vec!["a", "c"]),
        (json!({"drugs": "y"}), vec!["a", "b"]),
        (json!({"drugs": ["x", "z"]}), vec!["a"]),
        (json!({"drugs": "y", "icu": false}), vec!["b"]),
        (json!({"year": 2024}), vec!["b"]),
        (json!({"year": "2024"}), vec![]),
        (json!({"n": 1}), vec!["c"]),
        (json!({"ward": "77"}), vec![]),
        (json!({"ward": []}), vec![]),
    ] {
        let (status, answer) = api.ask(json!({"query": "fever", "filter": filter})).await;
        assert_eq!(status, 200, "{filter}: {answer}");
        let ids: Vec<&str> = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["case_id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{filter}");
    }
    let (status, answer) = api.ask(json!({"query": "fever", "filter": {"wrad": "7", "ward": "7"}})).await;
    assert_eq!((status.as_u16(), &answer["errors"][0]["pointer"]), (422, &json!("/filter/wrad")));
    let detail = answer["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("drugs, icu, n, ward, year"), "{detail}");
    // With the last case that has it, an attribute goes.
    assert_eq!(api.delete("c").await, 204);
    assert_eq!(api.ask(json!({"query": "fever", "filter": {"n": 1}})).await.0, 422);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place() {
    let (api, _database) = sqlite(&[]).await;
    let long = "x".repeat((1 << 20) + 1);
    for (body, pointer) in [
        (json!({"text": " \n"}), "/text"),
        (json!({"text": long}), "/text"),
        (json!({"text": "a\u{0}b"}), "/text"),
        (json!({"text": 7}), "/text"),
        (json!({}), ""),
        (json!({"text": "x", "attributes": {"a": null}}), "/attributes/a"),
        (json!({"text": "x", "attributes": {"a": {"b": 1}}}), "/attributes/a"),
        (json!({"text": "x", "attributes": {"a/b": [1]}}), "/attributes/a~1b"),
        (json!({"text": "x", "attributes": {"": 1}}), "/attributes"),
        (json!({"text": "x", "attributes": []}), "/attributes"),
        (json!({"text": "x", "attributes": {"a": "y".repeat(1025)}}), "/attributes/a"),
    ] {
        let (status, answer) = api.send(Method::PUT, "/v1/cases/c1", &[], &body).await;
        assert_eq!((status.as_u16(), &answer["errors"][0]["pointer"]), (422, &json!(pointer)), "{answer}");
        assert!(!answer.to_string().contains("xxxxxxxx"), "the text is repeated");
    }
    let (status, _) =
        api.send(Method::PUT, "/v1/cases/c1", &[], &json!({"case_id": "c2", "text": "x"})).await;
    assert_eq!(status, 422);
    let id = "i".repeat(201);
    assert_eq!(api.send(Method::PUT, &format!("/v1/cases/{id}"), &[], &json!({"text": "x"})).await.0, 422);
    for (body, pointer) in [
        (json!({"query": ""}), "/query"),
        (json!({"query": "x".repeat(70_000)}), "/query"),
        (json!({"query": "x", "limit": 0}), "/limit"),
        (json!({"query": "x", "limit": 101}), "/limit"),
        (json!({"query": "x", "limit": -1}), "/limit"),
        (json!({"query": "x", "limit": 1.5}), "/limit"),
        (json!({"query": "x", "filter": {"a": {}}}), "/filter/a"),
        (json!({"query": "x", "filter": "a"}), "/filter"),
        (json!({"query": "x", "Limit": 3}), ""),
        (json!({"limit": 3}), ""),
    ] {
        let (status, answer) = api.ask(body.clone()).await;
        assert_eq!(status, 422, "{body}: {answer}");
        let found = answer["errors"][0]["pointer"].as_str().unwrap();
        assert!(found == pointer || pointer.is_empty(), "{found} for {pointer}: {answer}");
    }
    // As long as is accepted, and found.
    api.put("long", &("fever ".to_string() + &"x ".repeat(500_000)), json!({})).await;
    api.put("short", "fever", json!({})).await;
    assert_eq!(api.ids("fever").await, ["short", "long"]);
    assert_eq!(
        api.ask(json!({"query": "fever", "limit": 1})).await.1["results"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn equal_cases_come_in_the_order_of_their_identifiers() {
    let (api, _database) = sqlite(&[]).await;
    for id in ["m", "b", "z", "a", "10", "9"] {
        api.put(id, "The same words", json!({})).await;
    }
    assert_eq!(api.ids("same words").await, ["10", "9", "a", "b", "m", "z"]);
}

#[tokio::test]
async fn who_may_classify_may_search_and_who_may_write_may_change() {
    let keys = ["ward:classify", "clerk:write", "other:recommend"]
        .map(|one| one.split_once(':').map(|(name, scope)| api_key(name, scope, name)).unwrap())
        .join(",");
    let (api, _database) = sqlite(&["--api-keys", &keys]).await;
    let ask = async |key: &str, method: Method, path: &str, body: Value| {
        let authorization = format!("Bearer {key}");
        api.send(method, path, &[("authorization", &authorization)], &body).await.0.as_u16()
    };
    let case = json!({"text": "fever"});
    assert_eq!(ask("ward", Method::PUT, "/v1/cases/a", case.clone()).await, 403);
    assert_eq!(ask("clerk", Method::PUT, "/v1/cases/a", case).await, 200);
    for (key, status) in [("ward", 200), ("clerk", 200), ("other", 403), ("nobody", 401)] {
        assert_eq!(ask(key, Method::GET, "/v1/cases/a", Value::Null).await, status, "{key}");
        assert_eq!(
            ask(key, Method::POST, "/v1/cases/search", json!({"query": "fever"})).await,
            status,
            "{key}"
        );
    }
    assert_eq!(ask("ward", Method::DELETE, "/v1/cases/a", Value::Null).await, 403);
    assert_eq!(ask("clerk", Method::DELETE, "/v1/cases/a", Value::Null).await, 204);
}

#[tokio::test]
async fn the_audit_names_what_was_found_and_nothing_says_what_was_asked() {
    let key = api_key("boss", "admin", "boss");
    let (api, _database) = sqlite(&["--api-keys", &key]).await;
    let header = [("authorization", "Bearer boss")];
    let case = json!({"text": "Xylophobia since childhood", "attributes": {"ward": "7"}});
    api.send(Method::PUT, "/v1/cases/a", &header, &case).await;
    api.send(Method::POST, "/v1/cases/search", &header, &json!({"query": "xylophobia"})).await;
    let (audit, row) = api.audited("/v1/cases/search", "boss").await;
    assert_eq!((&row["answers"], &row["status"]), (&json!(["a"]), &json!(200)));
    assert!(!audit.to_string().to_lowercase().contains("xylophobia"));
    let metrics = reqwest::get(api.server.at("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("medserve_cases{vector=\"no\"} 1"), "{metrics}");
    let log = api.server.terminate().1;
    assert!(!log.to_lowercase().contains("xylophobia"), "{log}");
}

#[tokio::test]
async fn a_backup_holds_the_cases() {
    let (api, database) = sqlite(&[]).await;
    api.put("a", "Fever", json!({"ward": "7"})).await;
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medserve"));
        let done = command.args(arguments).args(["--database-url", url]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let copy = folder.path().join("copy.db").display().to_string();
    let said = run(&["backup", &copy], &database.url);
    assert!(said.contains("cases: 1 rows"), "{said}");
    let mut targets = vec![format!("sqlite://{}/new.db", folder.path().display())];
    if Database::postgres().await.is_some() {
        targets.push(Database::postgres_without_tables().await);
    }
    for target in targets {
        assert_eq!(run(&["restore", &copy], &target), said);
        assert_eq!(Api::at(&target, &[]).ids("fever").await, ["a"]);
    }
}
