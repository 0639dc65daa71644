//! DICOM's network, black box: images come by C-STORE, are answered, and their results go to the archive.

use std::io::Write;
use std::time::{Duration, Instant};

use clinical::dicom::data_set::data_set_of;
use clinical::dicom::tags;
use serde_json::Value;

use super::scu::{Archive, ECHO, EXPLICIT, IMPLICIT, Scu, command, message, part, receive, request};
use super::{DX, KEY, STUDY, changed, files, get, json_of, radiograph};
use crate::support::{Server, api_key, shipped_models, until};

fn start(more: &[&str]) -> (Server, String) {
    let server = super::start(&[&["--dicom-listen", "127.0.0.1:0"], more].concat());
    let address = address(&server);
    (server, address)
}

/// Where the server said that it answers DICOM.
fn address(server: &Server) -> String {
    let since = Instant::now();
    loop {
        let said = server.said();
        if let Some(rest) = said.split("DICOM at ").nth(1) {
            return rest.split_whitespace().next().unwrap().to_string();
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{said}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn open(address: &str) -> Scu {
    Scu::open(address, "MEDSERVE", "PACS", &[(DX, &[EXPLICIT])]).unwrap_or_else(|e| panic!("{e:?}"))
}

/// The SOP Instance UIDs of the reports in the study, when there are so many.
async fn reports(server: &Server, count: usize) -> Vec<Value> {
    until("reports", async || {
        let response = get(server, &format!("/dicom-web/studies/{STUDY}/metadata"), "*/*").await;
        let all =
            if response.status().is_success() { json_of(response).await } else { Value::Array(Vec::new()) };
        let mut reports = all.as_array().unwrap().clone();
        reports.retain(|one| one["00080060"]["Value"][0] == "SR");
        (reports.len() >= count).then_some(reports)
    })
    .await
}

#[tokio::test]
async fn an_image_that_comes_is_answered_and_its_results_go_to_the_archive() {
    let archive = Archive::start();
    let peer = format!("ARCHIVE@{}", archive.address);
    let (server, address) = start(&["--dicom-peer", &peer, "--audit-people", "id"]);
    let mut echo = Scu::open(&address, "MEDSERVE", "PACS", &[(ECHO, &[IMPLICIT])]).ok().unwrap();
    assert_eq!(echo.echo(), 0);
    echo.release();

    let mut scu = open(&address);
    let file = radiograph("1.2.3.1");
    assert_eq!(scu.store(DX, "1.2.3.1", data_set_of(&file), 4096).0, 0);
    // The same again, in the middle of the first or after it, and in parts of another size.
    assert_eq!(scu.store(DX, "1.2.3.1", data_set_of(&file), 1000).0, 0);
    scu.release();
    let reports = reports(&server, 1).await;
    assert_eq!(reports.len(), 1, "two results of one image");
    let kept = files(get(&server, &format!("/dicom-web/studies/{STUDY}"), "*/*").await).await;
    let sent = until("the archive", async || {
        let taken = archive.taken.lock().unwrap().clone();
        (taken.len() >= kept.len()).then_some(taken)
    })
    .await;
    for file in &kept {
        assert!(sent.iter().any(|(_, data)| data == data_set_of(file)), "the archive has what we have");
    }
    let row = until("its row", async || {
        let audit = json_of(get(&server, "/v1/audit?user=p1", "*/*").await).await;
        // What was sent again has a row as well, without an answer of its own.
        let answered = |row: &&Value| row["method"] == "C-STORE" && !row["model"].is_null();
        audit["rows"].as_array().unwrap().iter().find(answered).cloned()
    })
    .await;
    assert_eq!((row["caller"].as_str(), row["model"].as_str()), (Some("ae:PACS"), Some("pneumonia")));
    assert!(!server.log().contains("Doe") && !server.log().contains("\"p1\""));
    let metrics = get(&server, "/metrics", "*/*").await.text().await.unwrap();
    assert!(metrics.contains("medserve_dicom_received_total{result=\"accepted\"} 2"), "{metrics}");
    // What we made comes back where everything is forwarded: it is taken and let go.
    let own = kept.iter().find(|file| file.windows(13).any(|w| w == b"DERIVED\\SECON"));
    if let Some(own) = own {
        let uid = sent.iter().find(|(_, data)| data == data_set_of(own)).unwrap().0.clone();
        let class = "1.2.840.10008.5.1.4.1.1.7";
        let mut scu = Scu::open(&address, "MEDSERVE", "PACS", &[(class, &[EXPLICIT])]).ok().unwrap();
        assert_eq!(scu.store(class, &uid, data_set_of(own), 9000).0, 0);
    }
}

#[tokio::test]
async fn who_calls_another_or_may_not_call_is_refused() {
    let (_server, address) = start(&["--dicom-callers", "PACS,CT 1", "--dicom-ae-title", "AI"]);
    let open = |called: &str, calling: &str| {
        Scu::open(&address, called, calling, &[(ECHO, &[IMPLICIT])])
            .map(|_| ())
            .map_err(|(kind, body)| (kind, body[1..].to_vec()))
    };
    assert_eq!(open("AI", "CT 1"), Ok(()));
    assert_eq!(open("MEDSERVE", "PACS"), Err((3, vec![1, 1, 7])));
    assert_eq!(open("AI", "STRANGER"), Err((3, vec![1, 1, 3])));
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_reason() {
    let (server, address) = start(&["--max-body-bytes", "200000"]);
    let mut scu = open(&address);
    let file = radiograph("1.2.3.1");
    let data = data_set_of(&file);
    assert_eq!(scu.store(DX, "1.2.3.2", data, 4096).0, 0xa900, "it was announced as another instance");
    let mr = changed("1.2.3.3", |set| {
        set.text(tags::MODALITY, b"CS", "MR");
    });
    let (status, comment) = scu.store(DX, "1.2.3.3", data_set_of(&mr), 4096);
    assert_eq!((status, comment.contains("no model")), (0xc001, true), "{comment}");
    let (status, _) = scu.store(DX, "1.2.3.4", b"no data set", 4096);
    assert_eq!(status, 0xc000);
    let large = changed("1.2.3.5", |set| {
        set.bytes(0x0009_1001, vec![0; 300_000]);
    });
    assert_eq!(scu.store(DX, "1.2.3.5", data_set_of(&large), 4096).0, 0xc002);
    // The association goes on, and what is sound is taken. A picture that is cut off is taken, and its failure kept.
    let cut = changed("1.2.3.6", |set| {
        set.bytes(tags::PIXELS, vec![0; 10]);
    });
    assert_eq!(scu.store(DX, "1.2.3.6", data_set_of(&cut), 4096).0, 0);
    assert_eq!(scu.store(DX, "1.2.3.1", data, 4096).0, 0);
    reports(&server, 1).await;
    until("the failure", async || {
        let metrics = get(&server, "/metrics", "*/*").await.text().await.unwrap();
        metrics.contains("medserve_dicom_answered_total{result=\"failed\"} 1").then_some(())
    })
    .await;
    assert!(server.log().contains("a DICOM image got no answer"));
}

#[tokio::test]
async fn lengths_that_lie_and_transfers_that_break_off_leave_nothing_behind() {
    let (server, address) = start(&["--head-timeout-ms", "1000", "--idle-timeout-ms", "2000"]);
    let ends = |bytes: &[u8]| {
        let mut stream = Scu::connect(&address);
        stream.write_all(bytes).unwrap();
        let mut last = None;
        while let Some((kind, _)) = receive(&mut stream) {
            last = Some(kind);
        }
        last
    };
    let sound = request("MEDSERVE", "PACS", &[(DX, &[EXPLICIT])]);
    assert_eq!(ends(b"\x01\0\xff\xff\xff\xff"), Some(7), "a request of four gigabytes");
    assert_eq!(ends(b"GET / HTTP/1.1\r\n\r\n"), Some(7), "another protocol");
    assert_eq!(ends(&message(4, &[0, 0, 0, 2, 1, 3])), Some(7), "data before an association");
    assert_eq!(ends(b"\x01\0\0\0\x01"), Some(7), "nothing more comes");
    assert_eq!(
        ends(&[&sound[..], b"\x04\0\x7f\xff\xff\xff"].concat()),
        Some(7),
        "a message of two gigabytes"
    );
    assert_eq!(
        ends(&[&sound[..], &message(4, b"\0\0\0\x09\x01\x03")].concat()),
        Some(7),
        "a part beyond its message"
    );
    assert_eq!(
        ends(&[&sound[..], &part(9, 3, &command(0x30, ECHO, "", false))].concat()),
        Some(7),
        "no such context"
    );
    assert_eq!(ends(&[&sound[..], &part(1, 2, b"data")].concat()), Some(7), "data without a command");
    let file = radiograph("1.2.3.1");
    let begun =
        [&sound[..], &part(1, 3, &command(1, DX, "1.2.3.1", true)), &part(1, 0, &data_set_of(&file)[..1000])]
            .concat();
    assert_eq!(ends(&begun), Some(7), "an image that breaks off");
    assert_eq!(ends(&[&begun[..], &message(7, &[0; 4])].concat()), Some(2), "an image that is aborted");
    let studies = json_of(get(&server, "/dicom-web/studies", "*/*").await).await;
    assert_eq!(studies, Value::Array(Vec::new()));
    // And it is answered as before.
    assert_eq!(open(&address).store(DX, "1.2.3.1", data_set_of(&file), 9000).0, 0);
    reports(&server, 1).await;
}

#[tokio::test]
async fn a_flood_of_associations_is_refused_beyond_the_bound() {
    let (_server, address) = start(&["--dicom-associations", "3"]);
    let held: Vec<Scu> = (0..3).map(|_| open(&address)).collect();
    for _ in 0..20 {
        let refused = Scu::open(&address, "MEDSERVE", "PACS", &[(DX, &[EXPLICIT])]).err().unwrap();
        assert_eq!((refused.0, &refused.1[1..]), (3, &[2, 3, 2][..]));
    }
    held.into_iter().for_each(Scu::release);
    until("a free place", async || {
        Scu::open(&address, "MEDSERVE", "PACS", &[(ECHO, &[IMPLICIT])]).ok().map(|mut scu| scu.echo())
    })
    .await;
}

#[tokio::test]
async fn what_was_accepted_is_answered_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let keys = api_key("root", "admin", KEY);
    let arguments = [
        "--api-keys",
        &keys,
        "--dicom-listen",
        "127.0.0.1:0",
        "--request-timeout-ms",
        "3000",
        "--dicom-models",
        "pneumonia",
    ];
    let server = Server::start_over(&database, &shipped_models(), &arguments);
    let mut scu = open(&address(&server));
    for number in 1..=12 {
        let instance = format!("1.2.3.{number}");
        assert_eq!(scu.store(DX, &instance, data_set_of(&radiograph(&instance)), 16_000).0, 0);
    }
    // Killed at once: dropping does that.
    drop(server);
    let server = Server::start_over(&database, &shipped_models(), &arguments);
    let reports = reports(&server, 12).await;
    assert_eq!(reports.len(), 12);
}
