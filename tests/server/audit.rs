//! The audit, black box: every answer leaves a row, none is lost unnoticed, and nothing that was
//! said of a person is in it or anywhere else.

use std::time::Duration;

use crate::support::postgres as cluster;
use crate::support::wire::Wire;
use crate::support::{Server, api_key, logged, shipped_models, until};
use hex::encode as hex;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vision::phantom::chest_phantom;

const ADMIN: &str = "key-of-the-administrator";
const WARD: &str = "key-of-a-ward";

fn keys() -> String {
    [api_key("root", "admin", ADMIN), api_key("ward-7", "classify+recommend+write", WARD)].join(",")
}

fn start(arguments: &[&str]) -> Server {
    let keys = keys();
    Server::start(&shipped_models(), &[&["--api-keys", &keys][..], arguments].concat())
}

fn post(server: &Server, path: &str) -> RequestBuilder {
    Client::new().post(server.at(path)).bearer_auth(WARD)
}

async fn classify(server: &Server, note: &str) -> Response {
    let body = json!({"model": "triage", "records": [{"note": note, "fields": {"age": 40}}]});
    post(server, "/v1/notes/classify").json(&body).send().await.unwrap()
}

async fn page(server: &Server, query: &str) -> Value {
    let response =
        Client::new().get(server.at(&format!("/v1/audit{query}"))).bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

/// The rows of other routes than the audit's own, once there are `count`; the latest first.
async fn rows(server: &Server, count: usize) -> Vec<Value> {
    for _ in 0..600 {
        let page = page(server, "?limit=1000").await;
        let rows: Vec<Value> = page["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| !row["route"].as_str().unwrap().starts_with("/v1/audit"))
            .cloned()
            .collect();
        if rows.len() >= count {
            assert_eq!(rows.len(), count, "{rows:?}");
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{count} rows did not come");
}

#[tokio::test]
async fn every_answer_leaves_a_row() {
    let server = start(&["--demo"]);
    let body = json!({"model": "triage", "records": [{"note": "chest pain"}, {"note": "cough"}]}).to_string();
    let request = post(&server, "/v1/notes/classify").header("content-type", "application/json");
    let response = request.header("x-request-id", "one").body(body.clone()).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    let png = chest_phantom(0, 64).unwrap();
    let image: Value = post(&server, "/v1/images/classify?model=pneumonia")
        .body(png.clone())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let path = "/v1/users/u17/recommendations?kind=pharmacy&limit=3";
    let response = Client::new().get(server.at(path)).bearer_auth(WARD).send().await.unwrap();
    let recommended: Value = response.json().await.unwrap();
    assert_eq!(post(&server, "/v1/notes/classify").body("no JSON").send().await.unwrap().status(), 400);

    let rows = rows(&server, 4).await;
    let [bad, recommendation, classified, notes] = rows.as_slice() else { unreachable!() };
    assert_eq!(notes["request_id"], "one");
    assert_eq!((&notes["caller"], &notes["method"]), (&json!("key:ward-7"), &json!("POST")));
    assert_eq!((&notes["route"], &notes["status"]), (&json!("/v1/notes/classify"), &json!(200)));
    assert_eq!((&notes["model"], &notes["version"]), (&answer["model"], &answer["version"]));
    assert_eq!(notes["input_sha256"], hex(Sha256::digest(&body)));
    assert_eq!(notes["request_sha256"], hex(Sha256::digest(format!("POST /v1/notes/classify\n{body}"))));
    assert_eq!((&notes["address"], &notes["people"]), (&json!("127.0.0.1"), &json!([])));
    let labels: Vec<&Value> = answer["results"].as_array().unwrap().iter().map(|r| &r["label"]).collect();
    assert_eq!(notes["answers"], json!(labels));
    assert_eq!(notes["abstained"], labels.iter().any(|label| label.is_null()));
    assert!(notes["latency_ms"].as_f64().unwrap() > 0.0);

    assert_eq!(classified["model"], "pneumonia");
    assert_eq!(classified["answers"][0], image["results"][0]["label"]);
    assert_eq!(classified["input_sha256"], hex(Sha256::digest(&png)));

    assert_eq!(recommendation["route"], "/v1/users/{user_id}/recommendations");
    assert_eq!(recommendation["input_sha256"], hex(Sha256::digest(path)));
    let items: Vec<&Value> = recommended["items"].as_array().unwrap().iter().map(|i| &i["item_id"]).collect();
    assert_eq!((&recommendation["answers"], items.is_empty()), (&json!(items), false));
    assert_eq!(recommendation["model"], Value::Null);

    assert_eq!((&bad["status"], &bad["answers"]), (&json!(400), &json!([])));
}

#[tokio::test]
async fn the_audit_is_paged_and_for_administrators() {
    let server = start(&["--audit", "fail"]);
    for _ in 0..5 {
        assert_eq!(classify(&server, "pain").await.status(), 200);
    }
    let first = page(&server, "?limit=3").await;
    let numbers = |page: &Value| -> Vec<i64> {
        page["rows"].as_array().unwrap().iter().map(|row| row["number"].as_i64().unwrap()).collect()
    };
    assert_eq!(numbers(&first), [5, 4, 3], "answers waited for their rows");
    assert_eq!(first["next"], 3);
    assert_eq!(numbers(&page(&server, "?limit=3&before=3").await), [2, 1]);
    let ward = Client::new().get(server.at("/v1/audit")).bearer_auth(WARD).send().await.unwrap();
    assert_eq!(ward.status(), 403);
    // A time before and a time after all of them.
    assert_eq!(
        numbers(&page(&server, "?limit=3&before=3&from=2024-02-29&to=9999-01-01T00:00:00Z").await),
        [2, 1]
    );
    assert_eq!(page(&server, "?to=2024-02-29").await["rows"], json!([]));
    let turned = "?from=2024-03-01&to=2024-02-29";
    for bad in
        ["?limit=0", "?limit=1001", "?before=x", "?surprise=1", "?from=yesterday", "?to=12345678", turned]
    {
        let request = Client::new().get(server.at(&format!("/v1/audit{bad}"))).bearer_auth(ADMIN);
        assert_eq!(request.send().await.unwrap().status(), 400, "{bad}");
    }
}

/// Classifies under load; every answer that went out has its row, the end of the program included.
#[tokio::test]
async fn no_answer_is_without_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/audit.db", folder.path().display());
    let keys = keys();
    let arguments = ["--api-keys", &keys, "--max-in-flight", "8"];
    let server = Server::start_over(&database, &shipped_models(), &arguments);
    let statuses = futures::future::join_all(
        (0..300).map(|_| async { classify(&server, "pain").await.status().as_u16() }),
    )
    .await;
    let answered = statuses.iter().filter(|status| **status == 200).count();
    assert!(answered > 0 && statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    let (status, log) = server.terminate();
    assert_eq!(status, Some(0), "{log}");
    let again = Server::start_over(&database, &shipped_models(), &arguments);
    assert_eq!(rows(&again, answered).await.len(), answered);
}

/// A server over a Postgres that can be cut off. Nothing where there is no Postgres.
async fn over_postgres(arguments: &[&str]) -> Option<(Server, Wire, cluster::TestDatabase)> {
    let database = cluster::database().await?;
    let (credentials, rest) = database.url.split_once('@').unwrap();
    let (address, rest) = rest.split_once('/').unwrap();
    let wire = Wire::to(address.to_string()).await;
    let url = format!("{credentials}@127.0.0.1:{}/{rest}", wire.port);
    let keys = keys();
    let arguments = [&["--api-keys", &keys][..], arguments].concat();
    Some((Server::start_over(&url, &shipped_models(), &arguments), wire, database))
}

#[tokio::test(flavor = "multi_thread")]
async fn where_answers_wait_for_the_audit_none_goes_out_without_it() {
    let Some((server, wire, _database)) = over_postgres(&["--audit", "fail"]).await else { return };
    assert_eq!(classify(&server, "pain").await.status(), 200);
    wire.whole.send(false).unwrap();
    for _ in 0..3 {
        let response = classify(&server, "pain").await;
        assert_eq!(response.status(), 503);
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("audit"), "{problem}");
    }
    wire.whole.send(true).unwrap();
    for attempt in 0.. {
        if classify(&server, "pain").await.status() == 200 {
            break;
        }
        assert!(attempt < 600, "answers are still refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the server answers the question whether it is ready with this status.
async fn until_ready(server: &Server, status: u16) {
    for _ in 0..600 {
        if reqwest::get(server.at("/health/ready")).await.unwrap().status() == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("ready was never answered with {status}");
}

/// After a power cut the server may be there before its database: what needs none is answered, and its rows follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_database_that_is_away() {
    let Some(database) = cluster::database().await else { return };
    let (credentials, rest) = database.url.split_once('@').unwrap();
    let (address, rest) = rest.split_once('/').unwrap();
    let wire = Wire::to(address.to_string()).await;
    wire.whole.send(false).unwrap();
    let url = format!("{credentials}@127.0.0.1:{}/{rest}", wire.port);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let listen = free.clone();
    let starting = std::thread::spawn(move || {
        Server::start_over(&url, &shipped_models(), &["--listen", &listen, "--api-keys", &keys()])
    });
    let ask = async |path: &str| {
        let answer = reqwest::get(format!("http://{free}{path}")).await;
        answer.map_or(0, |answer| answer.status().as_u16())
    };
    until("the models", async || (ask("/health/ready?capability=classify").await == 200).then_some(())).await;
    assert_eq!((ask("/health/startup").await, ask("/health/ready").await), (503, 503));
    let note = json!({"model": "triage", "records": [{"note": "chest pain"}]});
    let asked = Client::new().post(format!("http://{free}/v1/notes/classify")).bearer_auth(WARD).json(&note);
    assert_eq!(asked.send().await.unwrap().status(), 200);
    wire.whole.send(true).unwrap();
    let server = starting.join().unwrap();
    assert_eq!(ask("/health/startup").await, 200);
    assert_eq!(rows(&server, 1).await[0]["route"], "/v1/notes/classify");
    logged(&server, "the start waits for it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_answers_go_on_their_rows_follow() {
    let Some((server, wire, _database)) = over_postgres(&["--audit", "continue"]).await else { return };
    wire.whole.send(false).unwrap();
    for _ in 0..20 {
        assert_eq!(classify(&server, "pain").await.status(), 200);
    }
    until_ready(&server, 503).await;
    wire.whole.send(true).unwrap();
    until_ready(&server, 200).await;
    rows(&server, 20).await;
}

/// The PNG with a text chunk and an EXIF-like chunk that hold these words.
fn png_saying(words: &str) -> Vec<u8> {
    let png = chest_phantom(3, 64).unwrap();
    let mut said = b"Comment\0".to_vec();
    said.extend(words.as_bytes());
    let mut chunk = (said.len() as u32).to_be_bytes().to_vec();
    let mut body = b"tEXt".to_vec();
    body.extend(&said);
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    chunk.extend(&body);
    chunk.extend(crc.sum().to_be_bytes());
    // After the header, which is always 8 + 25 bytes long.
    [&png[..33], &chunk, &png[33..]].concat()
}

#[tokio::test]
async fn what_is_said_of_a_person_is_nowhere_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/audit.db", folder.path().display());
    let keys = keys();
    let server = Server::start_over(&database, &shipped_models(), &["--api-keys", &keys]);
    let canary = "Zyxwvut-Canary-4711";
    let client = Client::new();
    let mut answers = Vec::new();
    let bodies = [
        json!({"model": "triage", "records": [{"note": canary}]}),
        json!({"model": "triage", "records": [{"note": "pain", "fields": {"age": canary}}]}),
        json!({"model": "triage", "records": [{"note": "pain", "fields": {"sex": canary}}]}),
        json!({"model": "triage", "records": [{"note": {"text": canary}}]}),
        json!({"model": "triage", "records": canary}),
        json!({"model": "triage", "records": [{"note": format!("{canary} ").repeat(50_000)}]}),
    ];
    for body in &bodies {
        answers.push(post(&server, "/v1/notes/classify").json(body).send().await.unwrap());
    }
    for broken in [format!("{{\"note\": \"{canary}"), format!("[\"{canary}\"] {canary}"), canary.to_string()]
    {
        let request = post(&server, "/v1/notes/classify").header("content-type", "application/json");
        answers.push(request.body(broken).send().await.unwrap());
    }
    answers.push(
        post(&server, "/v1/images/classify?model=pneumonia").body(png_saying(canary)).send().await.unwrap(),
    );
    answers.push(
        post(&server, "/v1/images/classify?model=pneumonia")
            .body(format!("DICOM of {canary}"))
            .send()
            .await
            .unwrap(),
    );
    let part = reqwest::multipart::Part::bytes(png_saying(canary)).file_name(format!("{canary}.png"));
    let form = reqwest::multipart::Form::new().part("image", part).text(canary, canary);
    answers.push(post(&server, "/v1/images/classify?model=pneumonia").multipart(form).send().await.unwrap());
    let profile = json!({"profile": {"allergies": [canary], "conditions": [canary], "birth_year": 1960}});
    let put = client.put(server.at("/v1/users/u1")).bearer_auth(WARD);
    answers.push(put.json(&profile).send().await.unwrap());
    let put = client.put(server.at("/v1/users/u2")).bearer_auth(WARD);
    answers.push(put.json(&json!({"profile": {"sex": canary, "latitude": canary}})).send().await.unwrap());
    answers.push(client.get(server.at("/v1/models")).bearer_auth(canary).send().await.unwrap());

    let mut statuses = Vec::new();
    for answer in answers {
        statuses.push(answer.status().as_u16());
        let text = answer.text().await.unwrap();
        assert!(!text.contains(canary), "an answer repeats it: {text}");
    }
    assert!(statuses.contains(&200) && statuses.contains(&400) && statuses.contains(&422), "{statuses:?}");
    assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
    // Also of the last, whose bearer nobody knows.
    let audit = json!(rows(&server, statuses.len()).await).to_string();
    assert!(audit.contains("/v1/images/classify") && !audit.contains(canary), "{audit}");
    let metrics = reqwest::get(server.at("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("medserve_requests_total") && !metrics.contains(canary));
    let (_, log) = server.terminate();
    assert!(log.contains("/v1/notes/classify") && !log.contains(canary), "{log}");
}

fn write_user(server: &Server, user: &str) -> RequestBuilder {
    Client::new().put(server.at(&format!("/v1/users/{user}"))).bearer_auth(WARD)
}

/// Whose record was read, changed or erased is told by the path, whatever lies in the body.
#[tokio::test]
async fn who_asked_about_a_person_is_one_question() {
    let server = start(&["--audit", "fail"]);
    for user in ["u18", "u19"] {
        assert_eq!(
            write_user(&server, user).json(&json!({"profile": {}})).send().await.unwrap().status(),
            200
        );
    }
    let read = Client::new().get(server.at("/v1/users/u18")).bearer_auth(WARD).body("x");
    assert_eq!(read.send().await.unwrap().status(), 200);
    let unknown = Client::new().get(server.at("/v1/users/u18")).bearer_auth("nobody");
    assert_eq!(unknown.send().await.unwrap().status(), 401);
    let forbidden = Client::new().get(server.at("/v1/users/u18/neighbors?kind=drug")).bearer_auth(WARD);
    assert_eq!(forbidden.send().await.unwrap().status(), 403);

    // Its own row waited for those before it.
    page(&server, "").await;
    let about = page(&server, "?user=u18").await;
    let told: Vec<(&str, u64, &str)> = about["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["route"] != "/v1/audit")
        .map(|row| {
            (
                row["method"].as_str().unwrap(),
                row["status"].as_u64().unwrap(),
                row["caller"].as_str().unwrap(),
            )
        })
        .collect();
    let ward = "key:ward-7";
    assert_eq!(told, [("GET", 403, ward), ("GET", 401, "unknown"), ("GET", 200, ward), ("PUT", 200, ward)]);
    let row = &about["rows"].as_array().unwrap().last().unwrap();
    let number = row["number"].as_i64().unwrap();
    let person = row["people"][0].as_str().unwrap();
    assert!(person.len() == 32 && !about["rows"].to_string().contains("u18"), "{about}");
    // Asking about a person is asking about a person.
    let again = page(&server, "?user=u18").await;
    assert_eq!(again["rows"][0]["route"], "/v1/audit");

    let one = async |path: &str| {
        let response = Client::new().get(server.at(path)).bearer_auth(ADMIN).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    // One decision whole has what was said of it, which a list has not.
    let mut whole = (*row).clone();
    whole["feedback"] = json!([]);
    whole["models"] = json!([]);
    whole["evidence"] = Value::Null;
    assert_eq!(one(&format!("/v1/audit/{number}")).await, (200, whole));
    assert_eq!((one("/v1/audit/999999").await.0, one("/v1/audit/first").await.0), (404, 400));
    // Who reads a decision reads of its person, and a parameter is the same however its name is written.
    let spelt = page(&server, "?%75ser=u18").await;
    assert_eq!(spelt["rows"][0]["route"], "/v1/audit/{number}", "{spelt}");
    let about = page(&server, "?user=u18").await;
    assert_eq!((&about["rows"][0]["route"], &about["rows"][1]), (&json!("/v1/audit"), &spelt["rows"][0]));
}

#[tokio::test]
async fn rows_of_interactions_name_everybody_in_them() {
    let server = start(&["--demo", "--audit", "fail", "--audit-people", "id"]);
    let body = json!([
        {"user_id": "u1", "item_id": "metformin", "event": "prescription", "time": "2026-01-01"},
        {"user_id": "u2", "item_id": "metformin", "event": "prescription", "time": "2026-01-01"},
    ]);
    let sent = post(&server, "/v1/interactions").json(&body).send().await.unwrap();
    assert_eq!(sent.status(), 200, "{}", sent.text().await.unwrap());
    let row = page(&server, "?user=u2").await["rows"][0].clone();
    assert_eq!((&row["route"], &row["people"]), (&json!("/v1/interactions"), &json!(["u1", "u2"])));
}

#[tokio::test]
async fn a_refused_bundle_names_those_of_whom_it_speaks() {
    let server = start(&["--demo", "--audit", "fail", "--audit-people", "id"]);
    let entry =
        |resource: Value, url: &str| json!({"resource": resource, "request": {"method": "PUT", "url": url}});
    let body = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        entry(json!({"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/u3"}, "code": {"text": "gout"}}), "Condition/c1"),
        entry(json!({"resourceType": "Condition", "id": "c2", "subject": {"reference": "Patient/nobody"}, "code": {"text": "gout"}}), "Condition/c2"),
    ]});
    let sent = post(&server, "/fhir/R4").json(&body).send().await.unwrap();
    assert_eq!(sent.status(), 422, "{}", sent.text().await.unwrap());
    let row = page(&server, "?user=u3").await["rows"][0].clone();
    assert_eq!((&row["route"], &row["people"]), (&json!("/fhir/R4"), &json!(["nobody", "u3"])));
}

/// Cuts connections right behind the request. What was written is in the audit.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_client_has_gone_is_in_the_audit() {
    use std::io::Write;
    let server = start(&["--audit", "fail"]);
    let address = server.url.trim_start_matches("http://").to_string();
    let body = json!({"profile": {"lifestyle": ["walks"]}}).to_string();
    for n in 0..200u64 {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let head = format!(
            "PUT /v1/users/cut{n} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {WARD}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(200 * (n % 20)));
        drop(stream);
    }
    // Another write waits for its row, and so for those before it.
    assert_eq!(write_user(&server, "last").json(&json!({"profile": {}})).send().await.unwrap().status(), 200);
    let mut written = 0;
    for attempt in 0.. {
        let mut found = 0;
        for n in 0..200 {
            let path = format!("/v1/users/cut{n}");
            let response = Client::new().get(server.at(&path)).bearer_auth(WARD).send().await.unwrap();
            found += u32::from(response.status() == 200);
        }
        if found == written || attempt > 20 {
            break;
        }
        written = found;
    }
    let mut audited = std::collections::HashSet::new();
    for n in 0..200 {
        let about = page(&server, &format!("?user=cut{n}")).await;
        if about["rows"].as_array().unwrap().iter().any(|row| row["method"] == "PUT") {
            audited.insert(n);
        }
    }
    assert!(written > 0, "no write was committed");
    assert!(audited.len() >= written as usize, "{written} written, {} of them audited", audited.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lasting_failure_of_the_audit_refuses_work_before_it_is_done() {
    let Some((server, _wire, database)) = over_postgres(&["--audit", "fail"]).await else { return };
    let put = async |user: &str| {
        write_user(&server, user).json(&json!({"profile": {}})).send().await.unwrap().status().as_u16()
    };
    assert_eq!(put("before").await, 200);
    let sql = async |sql: &'static str| {
        use sqlx::{Connection, Executor};
        let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
        connection.execute(sql).await.unwrap();
    };
    sql("ALTER TABLE audit RENAME TO audit_away").await;
    for n in 0..3 {
        assert_eq!(put(&format!("unaudited{n}")).await, 503);
    }
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM users WHERE id LIKE 'unaudited%'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(count <= 1, "{count} writes were done that nobody could audit");
    sql("ALTER TABLE audit_away RENAME TO audit").await;
    for attempt in 0.. {
        if put("after").await == 200 {
            break;
        }
        assert!(attempt < 600, "answers are still refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing was thrown away meanwhile.
    let about = page(&server, "?user=unaudited0").await;
    assert_eq!(about["rows"].as_array().unwrap().iter().filter(|row| row["method"] == "PUT").count(), 1);
}

#[tokio::test]
async fn who_fails_again_and_again_is_told_so_and_keeps_nobody_out() {
    let server = start(&[]);
    let ask = async |key: &str| {
        Client::new().get(server.at("/v1/models")).bearer_auth(key).send().await.unwrap().status().as_u16()
    };
    let mut statuses = Vec::new();
    for _ in 0..120 {
        statuses.push(ask("guess").await);
    }
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask(WARD).await, 200);
    logged(&server, "a request was not let in").await;
}

#[test]
fn the_audit_is_verified_exported_and_signed_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/audit.db", folder.path().display());
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_medserve"))
            .arg("audit")
            .args(arguments)
            .args(["--database-url", &database])
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (made, secret) = run(&["key"]);
    assert!(made && secret.trim().len() == 64, "{secret}");
    let file = folder.path().join("audit.key");
    std::fs::write(&file, secret).unwrap();
    let key_file = ["--audit-key-file", file.to_str().unwrap()];
    let keys = keys();
    let arguments = [&["--api-keys", &keys][..], &key_file].concat();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start_over(&database, &shipped_models(), &arguments);
    runtime.block_on(async {
        for _ in 0..3 {
            assert_eq!(classify(&server, "pain").await.status(), 200);
        }
    });
    assert_eq!(server.terminate().0, Some(0));
    let with = |arguments: &[&str]| run(&[arguments, &key_file].concat());
    let (sound, said) = with(&["verify"]);
    assert!(sound && said.contains("3 rows fit"), "{said}");
    let (sound, said) = run(&["verify"]);
    assert!(!sound && said.contains("not signed by this key"), "the database has not the key: {said}");
    let out = folder.path().join("audit.jsonl");
    let public = with(&["verify"]).1.trim().rsplit(' ').next().unwrap().to_string();
    assert!(with(&["export", "--out", out.to_str().unwrap()]).0);
    let check = ["verify", "--export", out.to_str().unwrap(), "--public-key", &public];
    assert!(run(&check).0, "{}", run(&check).1);
    let changed = std::fs::read_to_string(&out).unwrap().replacen("ward-7", "ward-8", 1);
    std::fs::write(&out, changed).unwrap();
    assert!(!run(&check).0);
}

/// The database is exchanged for a fresh one under the same secret: what was kept elsewhere tells, and a server that finds its
/// audit emptied does not go on.
#[test]
fn an_audit_that_was_replaced_or_emptied_shows_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let run = |arguments: &[&str], database: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_medserve"))
            .args(arguments)
            .args([
                "--audit-key-file",
                &at("audit.key"),
                "--database-url",
                &format!("sqlite://{}", at(database)),
            ])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    std::fs::write(at("audit.key"), "5".repeat(64)).unwrap();
    let keys = keys();
    let (key_file, out) = (at("audit.key"), at("audit.jsonl"));
    let arguments = ["--api-keys", &keys, "--audit-key-file", &key_file];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (database, answers) in [("first.db", 3), ("second.db", 4)] {
        let url = format!("sqlite://{}", at(database));
        let server = Server::start_over(&url, &shipped_models(), &arguments);
        runtime.block_on(async {
            for _ in 0..answers {
                assert_eq!(classify(&server, "pain").await.status(), 200);
            }
        });
        assert_eq!(server.terminate().0, Some(0));
        if database == "first.db" {
            assert_eq!(run(&["audit", "export", "--out", &out], database).0, Some(0));
        }
        assert_eq!(run(&["audit", "verify"], database).0, Some(0));
    }
    let kept = std::fs::read_to_string(&out).unwrap();
    std::fs::write(at("seal"), kept.lines().last().unwrap()).unwrap();
    for since in [&out, &at("seal")] {
        let (status, said) = run(&["audit", "verify", "--since", since], "first.db");
        assert_eq!(status, Some(0), "{said}");
        let (status, said) = run(&["audit", "verify", "--since", since], "second.db");
        assert!(
            status == Some(1) && said.contains("row 3 is not the one that the export ends with"),
            "{said}"
        );
    }

    runtime.block_on(async {
        use sqlx::{Connection, Executor};
        let mut connection =
            sqlx::SqliteConnection::connect(&format!("sqlite://{}", at("second.db"))).await.unwrap();
        let sql = "DROP TRIGGER audit_is_kept; DELETE FROM audit;
            UPDATE audit_head SET number = 0, chain = '', dropped = 0, dropped_chain = '', signature = ''";
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    });
    let (status, said) = run(&["audit", "verify"], "second.db");
    assert!(status == Some(1) && said.contains("it was emptied"), "{said}");
    let models = shipped_models();
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--models-dir", models.to_str().unwrap(), "--audit", "fail"];
    let (status, said) = run(&serve, "second.db");
    assert!(
        status == Some(1) && said.contains("was never written, but the database has given numbers up to 4"),
        "{said}"
    );
}
