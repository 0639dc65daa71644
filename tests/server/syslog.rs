//! The audit as a stream of syslog messages, black box: with a receiver that reads, hangs, closes, goes
//! away and comes back.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Server, logged, shipped_models, until};
use reqwest::Client;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};

/// What a receiver does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Reads,
    /// Takes it and reads nothing.
    Hangs,
    /// Ends it at once.
    Closes,
    /// Reads a little of it and ends it.
    BreaksOff,
}

/// A syslog receiver and the messages that it has read.
struct Receiver {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start(tls: Option<Arc<ServerConfig>>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (manner, messages) = (Arc::new(Mutex::new(Manner::Reads)), Arc::default());
        let receiver = Receiver { port, manner, messages };
        let (manner, messages) = (receiver.manner.clone(), receiver.messages.clone());
        std::thread::spawn(move || {
            let mut hanging: Vec<TcpStream> = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                match *manner.lock().unwrap() {
                    Manner::Closes => {}
                    Manner::Hangs => hanging.push(stream),
                    Manner::BreaksOff => drop(stream.read(&mut [0; 700])),
                    Manner::Reads => {
                        let mut text = Vec::new();
                        let read = match &tls {
                            None => stream.read_to_end(&mut text),
                            Some(tls) => {
                                let connection = ServerConnection::new(tls.clone()).unwrap();
                                StreamOwned::new(connection, stream).read_to_end(&mut text)
                            }
                        };
                        // As a real one does, it keeps what is whole of what it got.
                        let _ = read;
                        messages.lock().unwrap().extend(frames(&text));
                    }
                }
            }
        });
        receiver
    }

    fn is(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The numbers of the rows that arrived.
    fn numbers(&self) -> BTreeSet<i64> {
        let messages = self.messages.lock().unwrap();
        messages.iter().map(|message| number(message)).collect()
    }
}

/// The messages of a stream, each after its length (RFC 6587).
fn frames(mut stream: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(blank) = stream.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&stream[..blank]).unwrap().parse().unwrap();
        let Some(message) = stream.get(blank + 1..blank + 1 + length) else { break };
        found.push(String::from_utf8(message.to_vec()).unwrap());
        stream = &stream[blank + 1 + length..];
    }
    found
}

/// The number of the row of a message: of the object of type 2.
fn number(message: &str) -> i64 {
    let (before, _) = message.split_once("\" ParticipantObjectTypeCode=\"2\"").unwrap();
    before.rsplit_once('"').unwrap().1.parse().unwrap()
}

async fn ask(server: &Server, times: usize) {
    for _ in 0..times {
        let body = json!({"model": "triage", "records": [{"note": "chest pain"}]});
        let answer = Client::new().post(server.at("/v1/notes/classify")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

async fn arrived(receiver: &Receiver, last: i64) {
    until(&format!("row {last} at the receiver"), async || receiver.numbers().contains(&last).then_some(()))
        .await;
    assert_eq!(receiver.numbers(), (1..=last).collect(), "a gap");
}

#[tokio::test]
async fn every_row_arrives_whatever_the_receiver_does() {
    let receiver = Receiver::start(None);
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let address = format!("tcp://127.0.0.1:{}", receiver.port);
    let start = || Server::start_over(&database, &shipped_models(), &["--audit-syslog", &address]);
    let server = start();
    ask(&server, 3).await;
    arrived(&receiver, 3).await;
    let mut last = 3;
    for manner in [Manner::Closes, Manner::BreaksOff, Manner::Hangs] {
        receiver.is(manner);
        ask(&server, 4).await;
        last += 4;
        // Long enough for a try or two.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!receiver.numbers().contains(&last), "it has read nothing");
        receiver.is(Manner::Reads);
        arrived(&receiver, last).await;
    }
    // A new start between what was answered and what was sent.
    receiver.is(Manner::Closes);
    ask(&server, 5).await;
    server.terminate();
    receiver.is(Manner::Reads);
    let server = start();
    ask(&server, 1).await;
    arrived(&receiver, last + 6).await;
    // What was confirmed is not sent again by the next start.
    let many = receiver.messages.lock().unwrap().len();
    let until_now = async || {
        let text = reqwest::get(server.at("/metrics")).await.unwrap().text().await.unwrap();
        text.contains("medserve_audit_unsent 0").then_some(())
    };
    until("nothing left to send", until_now).await;
    server.terminate();
    let server = start();
    ask(&server, 1).await;
    arrived(&receiver, last + 7).await;
    assert_eq!(receiver.messages.lock().unwrap().len(), many + 1);
    let message = receiver.messages.lock().unwrap().last().unwrap().clone();
    assert!(message.starts_with("<85>1 2") && message.contains(" medserve "), "{message}");
    assert!(message.contains("UserID=\"anonymous\"") && !message.contains("chest pain"), "{message}");
}

#[tokio::test]
async fn over_tls_a_receiver_is_believed_by_its_certificate_alone() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let receiver = Receiver::start(Some(Arc::new(config)));
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own.pem"), folder.path().join("other.pem"));
    std::fs::write(&own, made.cert.pem()).unwrap();
    let another = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    std::fs::write(&other, another.cert.pem()).unwrap();
    let address = format!("tls://localhost:{}", receiver.port);
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let start = |ca: &std::path::Path| {
        let arguments = ["--audit-syslog", &address, "--audit-syslog-ca", ca.to_str().unwrap()];
        Server::start_over(&database, &shipped_models(), &arguments)
    };
    let server = start(&other);
    ask(&server, 2).await;
    logged(&server, "not sent to the syslog receiver").await;
    assert!(receiver.numbers().is_empty());
    server.terminate();
    let server = start(&own);
    ask(&server, 1).await;
    arrived(&receiver, 3).await;
}

/// The messages are well-formed, by a parser that is not ours; skipped where there is none.
#[tokio::test]
async fn the_messages_are_xml() {
    let receiver = Receiver::start(None);
    let keys = crate::support::api_key("a<b>&\"c\" é", "write+admin", "key-one");
    let address = format!("tcp://127.0.0.1:{}", receiver.port);
    let arguments = ["--audit-syslog", &address, "--api-keys", &keys, "--audit-people", "id"];
    let server = Server::start(&shipped_models(), &arguments);
    let client = Client::new();
    let put = client.put(server.at("/v1/users/%3Cu%26%22%01")).bearer_auth("key-one");
    let _: Value = put.json(&json!({"profile": {}})).send().await.unwrap().json().await.unwrap();
    let refused = client.get(server.at("/v1/audit")).bearer_auth("nobody").send().await.unwrap();
    assert_eq!(refused.status(), 401);
    arrived(&receiver, 2).await;
    let program = "import sys, xml.dom.minidom as d\n\
                   m = d.parseString(sys.stdin.buffer.read())\n\
                   print(m.getElementsByTagName('ActiveParticipant')[0].getAttribute('UserID'))\n\
                   print(m.getElementsByTagName('EventID')[0].getAttribute('csd-code'))";
    let mut said = Vec::new();
    for message in receiver.messages.lock().unwrap().iter() {
        let xml = message.split_once('\u{feff}').unwrap().1;
        let child = std::process::Command::new("python3")
            .args(["-c", program])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("!!! SKIPPED: there is no python3 to parse the messages");
            return;
        };
        child.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
        said.push(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap());
    }
    said.sort();
    assert_eq!(said, ["key:a<b>&\"c\" é\n110110\n", "unknown\n110114\n"]);
}
