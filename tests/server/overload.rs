//! More than the server can do, black box: what is refused is refused cleanly and told when to
//! come back, what is accepted is answered, and slow clients cost nobody else anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::time::Duration;

use crate::support::{Server, shipped_models};
use futures::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use vision::phantom::chest_phantom;

static PNG: LazyLock<Vec<u8>> = LazyLock::new(|| chest_phantom(0, 1024).unwrap());

async fn classify(server: &Server, timeout: Option<&str>) -> Response {
    let mut request = Client::new().post(server.at("/v1/images/classify?model=pneumonia")).body(PNG.clone());
    if let Some(timeout) = timeout {
        request = request.header("x-request-timeout", timeout);
    }
    request.send().await.unwrap()
}

/// A connection that is never waited for longer than a test may take.
fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// A request whose body stays out, but for its first byte.
fn slow(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    let head = "POST /v1/images/classify?model=pneumonia HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: 100000\r\n\r\nP";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Everything the server still says on a connection that it closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn beyond_the_limit_requests_are_told_when_to_come_back() {
    let server = Server::start(&shipped_models(), &["--max-in-flight", "1"]);
    let responses = join_all((0..40).map(|_| classify(&server, None))).await;
    let (mut answered, mut refused) = (0, 0);
    for response in responses {
        if response.status() == StatusCode::OK {
            answered += 1;
            continue;
        }
        refused += 1;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds));
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["title"], "Too Many Requests");
    }
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
    assert_eq!(classify(&server, None).await.status(), StatusCode::OK, "it went on afterwards");
}

#[tokio::test]
async fn more_than_a_queue_holds_is_refused_for_good() {
    let server = Server::start(&shipped_models(), &["--queue", "1", "--engines", "1"]);
    let note = serde_json::json!({"model": "triage", "records": [{"note": "pain"}, {"note": "cough"}]});
    let response = Client::new().post(server.at("/v1/notes/classify")).json(&note).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_request_says_how_long_it_waits() {
    let server = Server::start(&shipped_models(), &[]);
    assert_eq!(classify(&server, Some("0.000001")).await.status(), StatusCode::GATEWAY_TIMEOUT);
    for fine in ["20", "2.5", "1e9"] {
        assert_eq!(classify(&server, Some(fine)).await.status(), StatusCode::OK, "{fine}");
    }
    for bad in ["", "soon", "0", "-1", "NaN", "inf"] {
        assert_eq!(classify(&server, Some(bad)).await.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn slow_clients_hold_no_place_and_are_cut_off() {
    // Two: those that are still on their way when the other one is at work are let in as well.
    let arguments = ["--max-in-flight", "2", "--body-timeout-ms", "2000"];
    let server = Server::start(&shipped_models(), &arguments);
    let mut clients: Vec<TcpStream> = (0..50).map(|_| slow(&server)).collect();
    assert_eq!(classify(&server, None).await.status(), StatusCode::OK);
    for client in &mut clients {
        let answer = rest(client);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("within 2000 ms"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_closed() {
    let server = Server::start(&shipped_models(), &["--idle-timeout-ms", "300"]);
    let silent = connect(&server);
    let mut halting = connect(&server);
    halting.write_all(b"GET /health/live HTTP/1.1\r\nhost").unwrap();
    let mut used = connect(&server);
    used.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let answer = rest(&mut used);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for mut stream in [silent, halting] {
        assert!(!rest(&mut stream).starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let server = Server::start(&shipped_models(), &["--max-connections", "3", "--body-timeout-ms", "60000"]);
    // On each of them a request has begun.
    let kept: Vec<TcpStream> = (0..3).map(|_| slow(&server)).collect();
    assert_eq!(connect(&server).read(&mut [0; 1]).unwrap_or(0), 0, "the fourth is closed");
    drop(kept);
    let mut again = false;
    for _ in 0..100 {
        again = reqwest::get(server.at("/health/live")).await.is_ok();
        if again {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(again, "room was not made when connections ended");
}

#[tokio::test]
async fn connections_on_which_nothing_is_asked_keep_nobody_out() {
    let server = Server::start(&shipped_models(), &["--max-connections", "20"]);
    let crowd: Vec<TcpStream> = (0..60).map(|_| connect(&server)).collect();
    for _ in 0..10 {
        assert_eq!(Client::new().get(server.at("/health/live")).send().await.unwrap().status(), 200);
    }
    drop(crowd);
}

#[tokio::test]
async fn health_has_a_listener_of_its_own() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap().to_string();
    drop(probe);
    let arguments = ["--health-listen", &address, "--max-connections", "1", "--body-timeout-ms", "60000"];
    let server = Server::start(&shipped_models(), &arguments);
    let _busy = slow(&server);
    for path in ["/health/live", "/health/ready", "/health/startup", "/metrics"] {
        let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    assert_eq!(reqwest::get(format!("http://{address}/v1/models")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_its_connection() {
    let server = Server::start(&shipped_models(), &["--response-timeout-ms", "500"]);
    let mut stream = connect(&server);
    // More than any buffer between holds.
    let request = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n";
    for _ in 0..16 {
        stream.write_all(request).unwrap();
    }
    std::thread::sleep(Duration::from_secs(3));
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    assert!(text.len() < 16 * 1_000_000, "all of {} bytes were kept for it", text.len());
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let server = Server::start(&shipped_models(), &["--head-timeout-ms", "500"]);
    let mut slow = connect(&server);
    slow.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    slow.read_exact(&mut [0; 12]).unwrap();
    let mut ended = false;
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(50));
        if slow.write_all(b"x").is_err() {
            ended = true;
            break;
        }
    }
    assert!(ended);
}

/// Each route takes as large a body as its largest sensible request, and errors are a list that ends.
#[tokio::test]
async fn json_has_its_bounds() {
    let server = Server::start(&shipped_models(), &[]);
    let send = async |method: reqwest::Method, path: &str, body: Vec<u8>| {
        let request =
            Client::new().request(method, server.at(path)).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    };
    let zeros = [&b"["[..], &b"0,".repeat(4 << 20), b"0]"].concat();
    assert_eq!(send(reqwest::Method::PUT, "/v1/users/x", zeros).await.status(), 413);
    let many = [&b"{\"model\":\"triage\",\"records\":["[..], &b"0,".repeat(2 << 20), b"0]}"].concat();
    assert_eq!(send(reqwest::Method::POST, "/v1/notes/classify", many).await.status(), 422);
    let fields: String = (0..20_000).map(|n| format!("\"f{n}\":1,")).collect();
    let record = format!("{{\"note\":\"x\",\"fields\":{{{fields}\"f\":1}}}}");
    let records = format!("{{\"model\":\"triage\",\"records\":[{record},{record}]}}");
    let response = send(reqwest::Method::POST, "/v1/notes/classify", records.into_bytes()).await;
    assert_eq!(response.status(), 422);
    let problem: Value = response.json().await.unwrap();
    assert!(
        problem["errors"].as_array().unwrap().len() <= 101,
        "{}",
        problem["errors"].as_array().unwrap().len()
    );
}

/// Long notes cost their sender little and a thread seconds: they are read in turns, on some of the threads.
#[tokio::test]
async fn an_image_does_not_wait_behind_the_long_notes_of_others() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("!!! SKIPPED: on one core a note and an image share a thread");
        return;
    }
    let server = Server::start(&shipped_models(), &[]);
    let records = vec![serde_json::json!({"note": "chest pain and fever ".repeat(60_000)}); 5];
    let body = serde_json::json!({"model": "triage", "records": records}).to_string();
    let note = || {
        let request = Client::new().post(server.at("/v1/notes/classify")).body(body.clone());
        let request = request.header("content-type", "application/json");
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    let notes: Vec<_> = (0..6).map(|_| note()).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(notes.iter().any(|note| !note.is_finished()), "the notes took no time, so nothing was tested");
    for _ in 0..3 {
        let answer = classify(&server, Some("20")).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    for note in notes {
        assert!([200, 429, 504].contains(&note.await.unwrap()));
    }
}
