//! Results by HL7, black box: what a model says of an image goes to a record system until that has it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Client;
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use clinical::dicom::tags;

use crate::dicom::{KEY, changed, radiograph, start, stow};
use crate::support::tls::Certificate;
use crate::support::{Server, api_key, logged, shipped_models, until};

/// What a record system says to a message of this id.
type Says = fn(usize, &str) -> Option<String>;

/// A record system that keeps what it is sent and answers as it is told.
struct Record {
    address: String,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Record {
    fn start(says: Says) -> Record {
        Record::listening(TcpListener::bind("127.0.0.1:0").unwrap(), says, None)
    }

    fn listening(listener: TcpListener, says: Says, tls: Option<Certificate>) -> Record {
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = messages.clone();
        let tls = tls.map(|certificate| certificate.server());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                match &tls {
                    None => talk(stream, says, &kept),
                    Some(config) => {
                        let connection = ServerConnection::new(config.clone()).unwrap();
                        talk(StreamOwned::new(connection, stream), says, &kept);
                    }
                }
            }
        });
        Record { address, messages }
    }

    fn taken(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }
}

fn field(message: &str, segment: &str, number: usize) -> String {
    let line = message.split('\r').find(|line| line.starts_with(segment)).unwrap();
    line.split('|').nth(number).unwrap_or_default().to_string()
}

fn talk(mut stream: impl Read + Write, says: Says, kept: &Mutex<Vec<String>>) {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while stream.read_exact(&mut byte).is_ok() {
        bytes.push(byte[0]);
        if !bytes.ends_with(b"\x1c\r") {
            continue;
        }
        let message = String::from_utf8(bytes[1..bytes.len() - 2].to_vec()).unwrap();
        bytes.clear();
        let id = field(&message, "MSH", 9);
        let number = {
            let mut kept = kept.lock().unwrap();
            kept.push(message);
            kept.len()
        };
        let Some(answer) = says(number, &id) else { return };
        if stream.write_all(&[b"\x0b", answer.as_bytes(), b"\x1c\r"].concat()).is_err() {
            return;
        }
    }
}

fn acknowledge(code: &str, id: &str) -> String {
    format!("MSH|^~\\&|EHR||MEDSERVE||20260301||ACK^R01^ACK|A1|P|2.5.1\rMSA|{code}|{id}\r")
}

async fn metric(server: &Server, line: &str) -> bool {
    let metrics = Client::new().get(server.at("/metrics")).bearer_auth(KEY).send().await.unwrap();
    metrics.text().await.unwrap().contains(line)
}

async fn sent(server: &Server, result: &str, count: usize) {
    until("the metric", async || {
        metric(server, &format!("medserve_hl7_sent_total{{result=\"{result}\"}} {count}")).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_result_is_sent_until_it_is_acknowledged_and_then_no_more() {
    // First nothing, then an acknowledgement of something else, then the right one.
    let record = Record::start(|number, id| match number {
        1 => None,
        2 => Some(acknowledge("AA", "another")),
        _ => Some(acknowledge("AA", id)),
    });
    let server = start(&["--hl7-peer", &record.address, "--hl7-receiver", "EHR@H"]);
    assert_eq!(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
    sent(&server, "sent", 1).await;
    assert!(metric(&server, "medserve_hl7_sent_total{result=\"failed\"} 2").await);
    let messages = record.taken();
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message == &messages[0]), "each time the same, with the same id");
    let of = |segment, number| field(&messages[0], segment, number);
    assert_eq!(
        (of("MSH", 4), of("MSH", 5), of("MSH", 8)),
        ("EHR".into(), "H".into(), "ORU^R01^ORU_R01".into())
    );
    assert!(of("PID", 3).starts_with("p1^^^^MR") && of("PID", 5).starts_with("Doe^Jane"), "{}", messages[0]);
    assert!(messages[0].contains("|121071^Finding^DCM|"), "{}", messages[0]);
    assert!(messages[0].contains("^SOP Instance UID^99MEDSERVE|") && messages[0].contains("|1.2.3.1|"));
    assert_eq!((of("OBR", 3), of("OBR", 7)), (of("MSH", 9), String::new()), "nobody knows when it was taken");
    // An image that comes again has its message sent again, by the id that it had.
    assert_eq!(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
    sent(&server, "sent", 2).await;
    assert_eq!((record.taken().len(), &record.taken()[3]), (4, &messages[0]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(record.taken().len(), 4);
    assert!(!server.log().contains("Doe") && !server.log().contains("p1^"));
}

/// Of an image that names nobody a message would be filed under nobody, or under anybody.
#[tokio::test]
async fn of_an_image_without_a_patient_nothing_is_said() {
    let record = Record::start(|_, id| Some(acknowledge("AA", id)));
    let server = start(&["--hl7-peer", &record.address]);
    let nobody = changed("1.2.3.1", |set| {
        set.text(tags::PATIENT_ID, b"LO", "");
    });
    assert_eq!(stow(&server, "/dicom-web/studies", &[&nobody, &radiograph("1.2.3.2")]).await.status(), 200);
    sent(&server, "sent", 1).await;
    sent(&server, "nobody", 1).await;
    assert_eq!(record.taken().len(), 1);
    assert!(record.taken()[0].contains("|1.2.3.2|"), "{}", record.taken()[0]);
    logged(&server, "has no Patient ID").await;
}

#[tokio::test]
async fn what_is_refused_is_told_and_keeps_nothing_behind_it() {
    // The first is not sound (AE); the second cannot be taken now (AR), and can be later.
    let record = Record::start(|number, id| {
        let code = if number == 2 { "AR" } else { "AA" };
        match number {
            1 => Some(acknowledge("AE", id) + "ERR||PID^1^3|204^^HL70357|E||||Doe^Jane is not known\r"),
            _ => Some(acknowledge(code, id)),
        }
    });
    let server = start(&["--hl7-peer", &record.address]);
    assert_eq!(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
    sent(&server, "given_up", 1).await;
    logged(&server, "the peer answered AE (204)").await;
    assert_eq!(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.2")]).await.status(), 200);
    sent(&server, "sent", 1).await;
    assert!(metric(&server, "medserve_hl7_sent_total{result=\"failed\"} 1").await);
    let ids: Vec<String> = record.taken().iter().map(|message| field(message, "MSH", 9)).collect();
    assert_eq!(ids.len(), 3, "what is not sound is offered once");
    assert!(ids[0] != ids[1] && ids[1] == ids[2], "{ids:?}");
    assert!(!server.log().contains("Doe"), "the peer's words are not repeated");
}

#[tokio::test]
async fn what_was_made_is_sent_after_a_crash_when_the_record_system_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    // A port at which nobody listens yet.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let peer = format!("127.0.0.1:{port}");
    let keys = api_key("root", "admin", KEY);
    let arguments = ["--api-keys", &keys, "--dicom-models", "pneumonia", "--hl7-peer", &peer];
    let server = Server::start_over(&database, &shipped_models(), &arguments);
    assert_eq!(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
    sent(&server, "failed", 1).await;
    drop(server);
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let record = Record::listening(listener, |_, id| Some(acknowledge("AA", id)), None);
    let server = Server::start_over(&database, &shipped_models(), &arguments);
    sent(&server, "sent", 1).await;
    assert_eq!(record.taken().len(), 1);
}

#[tokio::test]
async fn over_tls_the_peer_must_be_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let (own, other) = (Certificate::new(), Certificate::new());
    let (own_pem, listener) = (own.pem.clone(), TcpListener::bind("127.0.0.1:0").unwrap());
    let record = Record::listening(listener, |_, id| Some(acknowledge("AA", id)), Some(own));
    for (certificate, result) in [(&other.pem, "failed"), (&own_pem, "sent")] {
        std::fs::write(&file, certificate).unwrap();
        let server = start(&["--hl7-peer", &record.address, "--hl7-peer-ca", file.to_str().unwrap()]);
        assert_eq!(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
        sent(&server, result, 1).await;
        assert_eq!(record.taken().len(), usize::from(result == "sent"));
    }
    // And one that does not speak TLS gets nothing.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", plain.local_addr().unwrap().port());
    let heard = std::thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = plain.accept().unwrap();
        let mut bytes = [0; 2];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    });
    let server = start(&["--hl7-peer", &address, "--hl7-peer-ca", file.to_str().unwrap()]);
    assert_eq!(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
    assert_eq!(heard.join().unwrap(), [0x16, 0x03], "a handshake, and no message");
}
