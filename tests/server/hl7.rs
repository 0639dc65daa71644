//! HL7 version 2 over MLLP, black box: admissions become people.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{Server, api_key, shipped_models, until};

const A01: &str = "MSH|^~\\&|ADT|WARD|MEDSERVE|H|20260301093000||ADT^A01^ADT_A01|M7|P|2.5.1\r\
    EVN|A01|20260301093000\rPID|1||p1^^^H^MR||Doe^Jane||19540301|F\r\
    AL1|1|DA|7980^Penicillin G^RXNORM|SV|hives\rDG1|1||E11.9^Type 2 diabetes^I10||20260301|F\r";

/// The administrator's key of these tests.
const KEY: &str = "the key of these tests";

fn start(more: &[&str]) -> (Server, String) {
    let keys = api_key("root", "admin", KEY);
    let arguments = [&["--hl7-listen", "127.0.0.1:0", "--api-keys", &keys], more].concat();
    let server = Server::start(&shipped_models(), &arguments);
    let address = listening(&server);
    (server, address)
}

/// Where a server listens for messages.
pub(crate) fn listening(server: &Server) -> String {
    let since = Instant::now();
    loop {
        if let Some(rest) = server.said().split("HL7 at ").nth(1) {
            return rest.split_whitespace().next().unwrap().to_string();
        }
        assert!(since.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends messages over one connection; their acknowledgements.
pub(crate) fn send(address: &str, messages: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    messages
        .iter()
        .map(|message| {
            stream.write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat()).unwrap();
            let mut answer = Vec::new();
            let mut byte = [0];
            while !answer.ends_with(b"\x1c\r") {
                stream.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
            String::from_utf8(answer[1..answer.len() - 2].to_vec()).unwrap()
        })
        .collect()
}

async fn person(server: &Server, id: &str) -> Value {
    Client::new()
        .get(server.at(&format!("/v1/users/{id}")))
        .bearer_auth(KEY)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_admission_becomes_a_person_and_comes_again_without_a_change() {
    let (server, address) = start(&["--audit-people", "id"]);
    let update = A01.replace("A01", "A08").replace("19540301", "19550301").replace("|M7|", "|M8|");
    let answers = send(&address, &[A01, A01, &update]);
    assert!(answers.iter().all(|answer| answer.contains("\rMSA|AA|M")), "{answers:?}");
    assert!(answers[0].contains("|ADT|WARD|") && answers[0].contains("|ACK^A01^ACK|"), "{}", answers[0]);
    let profile = person(&server, "p1").await["profile"].clone();
    assert_eq!((&profile["birth_year"], &profile["sex"]), (&json!(1955), &json!("female")));
    assert_eq!(profile["allergies"], json!(["Penicillin G"]));
    assert_eq!(profile["conditions"], json!(["Type 2 diabetes"]));
    let rows = until("three rows", async || {
        let audit = Client::new().get(server.at("/v1/audit?user=p1")).bearer_auth(KEY).send().await.unwrap();
        let audit: Value = audit.json().await.unwrap();
        let rows = audit["rows"].as_array().unwrap().iter().filter(|row| row["method"] == "ADT").count();
        (rows >= 3).then_some(rows)
    })
    .await;
    assert_eq!(rows, 3);
    assert!(!server.log().contains("Doe"));
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_next_message_is_read() {
    let (server, address) = start(&[]);
    let answers = send(
        &address,
        &[
            "no message",
            &A01.replace("ADT^A01", "ORM^O01"),
            &A01.replace("p1^^^H^MR", ""),
            &A01.replace("p1^^^H^MR", "Jane Doe^^^H^MR"),
            A01,
        ],
    );
    let codes: Vec<bool> = answers.iter().map(|answer| answer.contains("\rMSA|AE|")).collect();
    assert_eq!(codes, [true, true, true, true, false], "{answers:?}");
    assert!(answers[2].contains("ERR||PID^1^3|101^^HL70357|E"), "{}", answers[2]);
    assert_eq!(person(&server, "p1").await["profile"]["birth_year"], 1954);
    // A date that nobody has costs the date alone.
    let born = send(&address, &[&A01.replace("19540301", "00000000").replace("p1^^^H^MR", "p3^^^H^MR")]);
    assert!(born[0].contains("\rMSA|AA|M7\rERR||PID^1^7|102^^HL70357|W|"), "{}", born[0]);
    let profile = person(&server, "p3").await["profile"].clone();
    assert!(
        profile.get("birth_year").is_none() && profile["allergies"] == json!(["Penicillin G"]),
        "{profile}"
    );
    // What was refused has its row, with the place and the code and nothing of the message.
    until("the rows of the refused", async || {
        let audit = Client::new().get(server.at("/v1/audit")).bearer_auth(KEY).send().await.unwrap();
        let audit: Value = audit.json().await.unwrap();
        let rows = audit["rows"].as_array().unwrap().clone();
        let refused: Vec<&Value> = rows.iter().filter(|row| row["status"] == 422).collect();
        let has = |said: &str| refused.iter().any(|row| row["answers"] == json!([said]));
        (refused.len() == 4 && has("PID-3 101") && has("MSH-9 200")).then_some(())
    })
    .await;
    // A message without an end, and one that is too long, end their connections alone.
    let mut endless = TcpStream::connect(&address).unwrap();
    let _ = endless.write_all(&[&b"\x0bMSH"[..], &vec![b'x'; 2 << 20]].concat());
    assert!(send(&address, &[A01])[0].contains("MSA|AA|M7"));
}

#[tokio::test]
async fn a_message_of_another_character_set_or_of_a_training_is_not_taken() {
    let (server, address) = start(&[]);
    let chinese = A01.replace("|2.5.1", "|2.5.1||||||KS X 1001").replace("7980^Penicillin G^RXNORM", "^é");
    let training = A01.replace("|P|2.5.1", "|T|2.5.1");
    let answers = send(&address, &[&chinese, &training]);
    assert!(answers[0].contains("\rMSA|AE|M7") && answers[0].contains("MSH^1^18|102"), "{}", answers[0]);
    assert!(answers[1].contains("\rMSA|AR|M7") && answers[1].contains("MSH^1^11|202"), "{}", answers[1]);
    assert!(person(&server, "p1").await.get("profile").is_none());
    let deleted = A01.replace("|20260301|F", &format!("|20260301|F{}D", "|".repeat(15)));
    assert!(send(&address, &[A01, &deleted]).iter().all(|answer| answer.contains("\rMSA|AA|M7")));
    let profile = person(&server, "p1").await["profile"].clone();
    assert!(profile.get("conditions").is_none() && profile.get("allergies").is_some(), "{profile}");
}

/// Everything that comes back until the other side ends the connection, or nothing more comes.
pub(crate) fn answers_to(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes).unwrap();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn what_breaks_its_block_or_an_identifier_is_refused_whole_and_nobody_is_taken_for_somebody_else() {
    let (server, address) = start(&["--idle-timeout-ms", "1000"]);
    let other = A01.replace("p1^^^H^MR", "p2^^^H^MR").replace("|M7|", "|M8|");
    let block = |message: &str| [b"\x0b", message.as_bytes(), b"\x1c\r"].concat();
    // A separator within a name; the start of another message within a message; the same behind half a message.
    let separator = block(&A01.replace("Doe", "Doe\u{1c}"));
    let within = block(&A01.replace("Jane", &format!("Jane\u{b}{other}")));
    let half = [&b"\x0b"[..], &A01.as_bytes()[..A01.find("Doe").unwrap()], &block(&other)].concat();
    for (broken, place) in [(separator, "PID^1^5"), (within, "PID^1^5"), (half, "PID^1^5")] {
        let answer = answers_to(&address, &[broken, block("no message")].concat());
        assert!(
            answer.contains("\rMSA|AE|M7\r") && answer.contains(&format!("ERR||{place}|102")),
            "{answer}"
        );
        assert_eq!(answer.matches("MSA|").count(), 2, "each block has one answer: {answer}");
    }
    for (id, place) in
        [("p1\u{1}", "PID^1^3"), ("p1\\X41\\", "PID^1^3"), ("p1&2", "PID^1^3"), ("p\0", "PID^1^3")]
    {
        let answer = answers_to(&address, &block(&A01.replace("p1^", &format!("{id}^"))));
        assert!(answer.contains("MSA|AE|M7") && answer.contains(&format!("ERR||{place}|102")), "{answer}");
    }
    // A block without its end is told so, and does not hold the connection.
    let mut endless = TcpStream::connect(&address).unwrap();
    endless.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    endless.write_all(&[b"\x0b", A01.as_bytes(), b"\x1c"].concat()).unwrap();
    let mut answer = String::new();
    endless.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("MSA|AE|M7") && answer.contains("ERR||MSH^1^|207"), "{answer}");
    for id in ["p1", "p2", "p1A"] {
        assert!(person(&server, id).await.get("profile").is_none(), "{id}");
    }
    assert!(send(&address, &[A01])[0].contains("MSA|AA|M7"));
    assert!(!server.log().contains("Doe"));
}

/// A message about somebody with these segments.
fn about(identifiers: &str, segments: &str) -> String {
    let from = A01.find("AL1|").unwrap();
    A01[..from].replace("p1^^^H^MR", identifiers) + segments
}

#[tokio::test]
async fn no_allergy_of_an_acknowledged_message_is_missing_from_the_list() {
    let (server, address) = start(&[]);
    for (number, (allergies, named)) in [
        ("AL1|2|DA||SV|penicillin anaphylaxis\r", vec!["penicillin"]),
        ("AL1|2|DA||SV\r", vec!["without a name"]),
        ("AL1|2|DA|^\\X50656E6963696C6C696E\\|SV\r", vec!["Penicillin"]),
        ("AL1|2|DA|^sulfa & penicillin|SV\r", vec!["sulfa & penicillin"]),
        ("AL1|2|DA|^sulfa~^penicillin|SV\r", vec!["sulfa", "penicillin"]),
        ("AL1|2|DA|419511003^Penicillin^SCT\rAL1|3|DA|419511003^Sulfa^SCT\r", vec!["Penicillin", "Sulfa"]),
        ("AL1|2|FA|^No known food allergies; penicillin causes hives\r", vec!["penicillin"]),
        ("IAM|1|DA|^penicillin|SV|hives|A\r", vec!["penicillin"]),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("q{number}");
        let message = about(&format!("{id}^^^H^MR"), &format!("AL1|1|DA|NKDA\r{allergies}"));
        let answers = send(&address, &[&message]);
        assert!(answers[0].contains("\rMSA|AA|M7"), "{allergies} {answers:?}");
        let list = person(&server, &id).await["profile"]["allergies"].clone();
        assert_eq!(list.as_array().map(Vec::len), Some(named.len()), "{allergies} {list}");
        for name in named {
            assert!(list.to_string().contains(name), "{allergies} {list}");
        }
    }
    let refused = [
        about("r1^^^H^MR", "MSH|^~\\&|A|B|C|D|2026||ADT^A01|2|P|2.5\rAL1|1|DA|^penicillin\r"),
        about("r1^^^H^MR", "al1|1|DA|^penicillin\r"),
        about("r1^^^H^MR", "").replace("|M7|", "||"),
    ];
    for (message, place) in refused.iter().zip(["MSH^1^|100", "MSH^1^|100", "MSH^1^10|101"]) {
        let answer = &send(&address, &[message])[0];
        assert!(answer.contains("\rMSA|AE|") && answer.contains(&format!("ERR||{place}")), "{answer}");
    }
    assert!(person(&server, "r1").await.get("profile").is_none());
}

#[tokio::test]
async fn one_number_of_two_hospitals_is_not_one_person() {
    let (server, address) = start(&[]);
    let sent = |identifiers: &str, allergy: &str| {
        send(&address, &[&about(identifiers, &format!("AL1|1|DA|{allergy}\r"))]).remove(0)
    };
    assert!(sent("777^^^HOSPA&1.2.3&ISO^MR", "NKDA").contains("\rMSA|AA|"));
    let other = sent("777^^^HOSPB^MR", "^penicillin");
    assert!(other.contains("\rMSA|AE|M7") && other.contains("ERR||PID^1^3|205"), "{other}");
    assert!(!other.contains("777") && !other.contains("HOSP"));
    assert_eq!(person(&server, "777").await["profile"]["allergies"], json!([]));
    // The same hospital by its other name, nobody's name, and two that say that it is one person.
    for own in ["777^^^&1.2.3&ISO^MR", "777^^^^MR", "777^^^HOSPB^MR~777^^^HOSPA^MR", "777^^^HOSPB^MR"] {
        assert!(sent(own, "^sulfa").contains("\rMSA|AA|"), "{own}");
    }
    // Which of two numbers it is does not follow from their order.
    for both in ["9001^^^H^PI~5001^^^H^MR", "5001^^^H^MR~9001^^^H^PI"] {
        assert!(sent(both, "^sulfa").contains("\rMSA|AA|"));
    }
    assert!(person(&server, "5001").await.get("profile").is_some());
    assert!(person(&server, "9001").await.get("profile").is_none());
    // With the person goes what is remembered of the number.
    let erased = Client::new().delete(server.at("/v1/users/777")).bearer_auth(KEY).send().await.unwrap();
    assert!(erased.status().is_success());
    assert!(sent("777^^^HOSPC^MR", "NKDA").contains("\rMSA|AA|"));
}

#[tokio::test]
async fn who_is_not_among_the_senders_is_not_heard() {
    let (server, address) = start(&["--hl7-senders", "10.0.0.7"]);
    let mut stream = TcpStream::connect(&address).unwrap();
    let _ = stream.write_all(&[b"\x0b", A01.as_bytes(), b"\x1c\r"].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty());
    let row = until("its row", async || {
        let audit = Client::new().get(server.at("/v1/audit")).bearer_auth(KEY).send().await.unwrap();
        let audit: Value = audit.json().await.unwrap();
        audit["rows"].as_array().unwrap().iter().find(|row| row["method"] == "MLLP").cloned()
    })
    .await;
    assert_eq!((&row["status"], &row["caller"]), (&json!(403), &json!("unknown")));
    assert_eq!(row["answers"], json!(["the address is not among the senders"]));
}

/// Whose record a message that was refused was about, is asked of the audit as well.
#[tokio::test]
async fn a_message_that_is_refused_names_the_person_in_its_row() {
    let (server, address) = start(&["--audit-people", "id"]);
    let mut sent = Vec::new();
    for (identifiers, change, code, status) in [
        ("h1^^^H^MR", ("", ""), "AA", 200),
        ("h1^^^OTHER^MR", ("", ""), "AE", 422),
        ("h1^^^H^MR", ("|M7|P|", "|M7|T|"), "AR", 422),
        ("h1^^^H^MR", ("|M7|P|", "||P|"), "AE", 422),
    ] {
        let message = about(identifiers, "AL1|1|DA|^sulfa\r").replace(change.0, change.1);
        let answer = send(&address, &[&message]).remove(0);
        assert!(answer.contains(&format!("\rMSA|{code}|")), "{answer}");
        sent.push(json!(status));
    }
    let rows = until("the rows", async || {
        let audit = Client::new().get(server.at("/v1/audit?user=h1")).bearer_auth(KEY).send().await.unwrap();
        let audit: Value = audit.json().await.unwrap();
        let mut rows = audit["rows"].as_array().unwrap().clone();
        rows.retain(|row| row["route"] == "hl7");
        (rows.len() >= sent.len()).then_some(rows)
    })
    .await;
    assert!(rows.iter().all(|row| row["people"] == json!(["h1"])), "{rows:?}");
    assert_eq!(rows.iter().rev().map(|row| row["status"].clone()).collect::<Vec<_>>(), sent);
}

/// Where answers wait for the audit, so do acknowledgements: who was told that a message was taken finds its row, whatever
/// ends the server the next moment.
#[tokio::test]
async fn what_was_acknowledged_is_in_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let keys = api_key("root", "admin", KEY);
    let arguments = ["--hl7-listen", "127.0.0.1:0", "--api-keys", &keys, "--audit", "fail"];
    for round in 1..=5 {
        let server = Server::start_over(&database, &shipped_models(), &arguments);
        let message = A01.replace("M7", &format!("M{round}")).replace("p1^^^", &format!("p{round}^^^"));
        let acknowledged = send(&listening(&server), &[&message]);
        assert!(acknowledged[0].contains("MSA|AA|"), "{acknowledged:?}");
        // Killed at once.
        drop(server);
    }
    let server = Server::start_over(&database, &shipped_models(), &["--api-keys", &keys]);
    let page = Client::new().get(server.at("/v1/audit")).bearer_auth(KEY).send().await.unwrap();
    let page: Value = page.json().await.unwrap();
    assert_eq!(
        page["rows"].as_array().unwrap().iter().filter(|row| row["route"] == "hl7").count(),
        5,
        "{page}"
    );
}
