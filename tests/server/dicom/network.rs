//! DICOM's network, black box: images come by C-STORE, are answered, and their results go to the archive.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use clinical::dicom::data_set::data_set_of;
use clinical::dicom::tags;
use serde_json::{Value, json};

use super::scu::{Archive, ECHO, EXPLICIT, IMPLICIT, Scu, command, message, part, receive, request};
use super::{DX, KEY, STUDY, changed, files, get, json_of, radiograph};
use crate::support::tls::{Certificate, Private};
use crate::support::{Server, api_key, logged, shipped_models, until};

pub(super) fn start(more: &[&str]) -> (Server, String) {
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

pub(super) fn open(address: &str) -> Scu {
    Scu::open(address, "MEDSERVE", "PACS", &[(DX, &[EXPLICIT])]).unwrap_or_else(|e| panic!("{e:?}"))
}

/// The SOP Instance UIDs of the reports in the study, when there are so many.
pub(super) async fn reports(server: &Server, count: usize) -> Vec<Value> {
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

#[tokio::test(flavor = "multi_thread")]
async fn images_of_several_associations_at_once_are_all_kept_and_answered() {
    let (server, address) = start(&["--dicom-results", "sr"]);
    let association = |number: usize| {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut scu = open(&address);
            let statuses: Vec<u16> = (0..3)
                .map(|image| {
                    // The last of each is one that all of them send.
                    let instance =
                        if image == 2 { "1.2.3.99".to_string() } else { format!("1.2.3.{number}.{image}") };
                    scu.store(DX, &instance, data_set_of(&radiograph(&instance)), 4096).0
                })
                .collect();
            scu.release();
            statuses
        })
    };
    let associations: Vec<_> = (1..6).map(association).collect();
    for association in associations {
        assert_eq!(association.join().unwrap(), [0, 0, 0]);
    }
    assert_eq!(reports(&server, 11).await.len(), 11);
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
    for own in &kept {
        let uid = sent.iter().find(|(_, data)| data == data_set_of(own)).unwrap().0.clone();
        let is_picture = own.windows(13).any(|w| w == b"DERIVED\\SECON");
        let class = if is_picture { "1.2.840.10008.5.1.4.1.1.7" } else { "1.2.840.10008.5.1.4.1.1.88.34" };
        let mut scu = Scu::open(&address, "MEDSERVE", "PACS", &[(class, &[EXPLICIT])]).ok().unwrap();
        assert_eq!(scu.store(class, &uid, data_set_of(own), 9000).0, 0);
    }
}

/// An archive that takes pictures and no reports must not get its pictures one a second.
#[tokio::test]
async fn what_the_archive_refuses_does_not_hold_up_what_follows() {
    let archive = Archive::refusing();
    let peer = format!("ARCHIVE@{}", archive.address);
    let (server, _) = start(&["--dicom-peer", &peer, "--dicom-results", "sr"]);
    let images: Vec<Vec<u8>> = (1..=6).map(|number| radiograph(&format!("1.2.3.{number}"))).collect();
    let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    assert_eq!(super::stow(&server, "/dicom-web/studies", &images).await.status(), 200);
    archive.open.store(true, Ordering::SeqCst);
    until("all that is offered", async || (archive.taken.lock().unwrap().len() >= 6).then_some(())).await;
    let offered = archive.taken.lock().unwrap().len();
    let associations = archive.associations.load(Ordering::SeqCst);
    assert!(associations < offered, "{offered} over {associations} associations");
    until("the notes", async || {
        let metrics = get(&server, "/metrics", "*/*").await.text().await.unwrap();
        metrics.contains("medserve_dicom_sent_total{result=\"failed\"}").then_some(())
    })
    .await;
    logged(&server, "the peer answered with status C000").await;
}

#[tokio::test]
async fn who_calls_another_or_may_not_call_is_refused() {
    let (server, address) = start(&["--dicom-callers", "PACS,CT 1", "--dicom-ae-title", "AI"]);
    let open = |called: &str, calling: &str| {
        Scu::open(&address, called, calling, &[(ECHO, &[IMPLICIT])])
            .map(|_| ())
            .map_err(|(kind, body)| (kind, body[1..].to_vec()))
    };
    assert_eq!(open("AI", "CT 1"), Ok(()));
    assert_eq!(open("MEDSERVE", "PACS"), Err((3, vec![1, 1, 7])));
    assert_eq!(open("AI", "STRANGER"), Err((3, vec![1, 1, 3])));
    let rows = refusals(&server, 2).await;
    let of = |caller: &str| rows.iter().find(|row| row["caller"] == caller).unwrap();
    assert_eq!((&of("ae:PACS")["status"], &of("ae:PACS")["route"]), (&json!(403), &json!("dicom")));
    assert_eq!(of("ae:PACS")["answers"], json!(["another title was called"]));
    assert_eq!(of("ae:STRANGER")["answers"], json!(["the calling title is not among the callers"]));
    assert!(rows.iter().all(|row| row["address"] == "127.0.0.1"));
}

/// The rows of the audit of refused associations, when there are so many.
async fn refusals(server: &Server, count: usize) -> Vec<Value> {
    until("the refusals", async || {
        let audit = json_of(get(server, "/v1/audit?limit=1000", "*/*").await).await;
        let mut rows = audit["rows"].as_array().unwrap().clone();
        rows.retain(|row| row["method"] == "A-ASSOCIATE");
        (rows.len() >= count).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_reason() {
    let (server, address) = start(&["--max-body-bytes", "200000", "--audit-people", "id"]);
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
    logged(&server, "a DICOM image got no answer").await;
    // Each refusal has its row, with the person where the image says who that is.
    let rows = until("the rows", async || {
        let audit = json_of(get(&server, "/v1/audit?limit=1000", "*/*").await).await;
        let mut rows = audit["rows"].as_array().unwrap().clone();
        rows.retain(|row| row["method"] == "C-STORE" && row["request_id"] == "");
        rows.reverse();
        (rows.len() >= 4).then_some(rows)
    })
    .await;
    let told: Vec<(u64, String, bool)> = rows
        .iter()
        .map(|row| (row["status"].as_u64().unwrap(), row["people"].to_string(), row["input_sha256"] != ""))
        .collect();
    let expected = [(409, "[\"p1\"]", true), (409, "[\"p1\"]", true), (409, "[]", true), (413, "[]", false)];
    assert_eq!(told, expected.map(|(status, people, digest)| (status, people.to_string(), digest)));
    assert!(rows.iter().all(|row| row["caller"] == "ae:PACS" && row["route"] == "dicom"), "{rows:?}");
    assert!(rows[1]["answers"][0].as_str().unwrap().contains("no model"), "{rows:?}");
}

/// Nothing has changed about it: what was made of it when there was a model stays.
#[tokio::test]
async fn an_image_for_which_there_is_no_model_any_more_keeps_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let keys = api_key("root", "admin", KEY);
    let serve = |model: &str| {
        let arguments = ["--api-keys", &keys, "--dicom-listen", "127.0.0.1:0", "--dicom-models", model];
        Server::start_over(&database, &shipped_models(), &arguments)
    };
    let image = radiograph("1.2.3.1");
    let server = serve("pneumonia");
    assert_eq!(open(&address(&server)).store(DX, "1.2.3.1", data_set_of(&image), 9000).0, 0);
    let made = reports(&server, 1).await;
    drop(server);
    // A model of notes reads no image.
    let server = serve("triage");
    assert_eq!(open(&address(&server)).store(DX, "1.2.3.1", data_set_of(&image), 9000).0, 0xc001);
    assert_eq!(reports(&server, 1).await, made);
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
    let (server, address) = start(&["--dicom-associations", "3"]);
    let held: Vec<Scu> = (0..3).map(|_| open(&address)).collect();
    for _ in 0..20 {
        let refused = Scu::open(&address, "MEDSERVE", "PACS", &[(DX, &[EXPLICIT])]).err().unwrap();
        assert_eq!((refused.0, &refused.1[1..]), (3, &[2, 3, 2][..]));
    }
    let rows = refusals(&server, 20).await;
    assert!(rows.iter().all(|row| row["status"] == 503 && row["caller"] == "ae:PACS"), "{rows:?}");
    // A flood does not fill the audit: of one address so many rows are kept and no more.
    for _ in 0..100 {
        drop(Scu::open(&address, "MEDSERVE", "PACS", &[(DX, &[EXPLICIT])]));
    }
    assert!((60..110).contains(&refusals(&server, 60).await.len()));
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

/// A file of certificates.
fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_string()
}

#[tokio::test]
async fn results_go_over_tls_to_an_archive_that_is_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (Certificate::new(), Certificate::new());
    let archive = Archive::start_with(Some(&own));
    let peer = format!("ARCHIVE@{}", archive.address);
    for (name, certificate) in [("other", &other), ("own", &own)] {
        let ca = file(&folder, name, &certificate.pem);
        let server = super::start(&["--dicom-peer", &peer, "--dicom-peer-ca", &ca]);
        assert_eq!(super::stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
        if name == "other" {
            logged(&server, "a DICOM result was not sent").await;
            logged(&server, "certificate").await;
            assert!(archive.taken.lock().unwrap().is_empty());
        } else {
            let kept = files(get(&server, &format!("/dicom-web/studies/{STUDY}"), "*/*").await).await;
            until("the archive", async || (archive.taken.lock().unwrap().len() >= kept.len()).then_some(()))
                .await;
        }
    }
}

#[tokio::test]
async fn results_go_by_https_and_never_where_a_redirect_says() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let ca = file(&folder, "ca", &certificate.pem);
    let (listener, address) = Private::bind(&certificate).await;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let elsewhere = Arc::new(AtomicUsize::new(0));
    let (kept, strayed) = (taken.clone(), elsewhere.clone());
    let store = async move |headers: HeaderMap, body: Bytes| {
        assert!(headers["content-type"].to_str().unwrap().starts_with("multipart/related; type="));
        let mut kept = kept.lock().unwrap();
        kept.push(body);
        // The first is told to go elsewhere; the same is offered again here.
        match kept.len() {
            1 => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
            _ => StatusCode::OK.into_response(),
        }
    };
    let stray = async move || {
        strayed.fetch_add(1, Ordering::SeqCst);
    };
    let routes =
        axum::Router::new().route("/web/studies/{study}", post(store)).route("/elsewhere", post(stray));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let server = super::start(&["--dicom-peer", &format!("{address}/web"), "--dicom-peer-ca", &ca]);
    assert_eq!(super::stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await.status(), 200);
    let made = files(get(&server, &format!("/dicom-web/studies/{STUDY}"), "*/*").await).await;
    until("the archive", async || {
        let bodies = taken.lock().unwrap().clone();
        let has =
            |file: &Vec<u8>| bodies[1..].iter().any(|body| body.windows(file.len()).any(|part| part == file));
        (bodies.len() > made.len() && made.iter().all(has)).then_some(())
    })
    .await;
    assert_eq!(elsewhere.load(Ordering::SeqCst), 0);
    logged(&server, "the peer answered 307").await;
}

#[tokio::test]
async fn over_tls_an_image_comes_from_those_who_may_call() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let (chain, key) = (file(&folder, "chain", &certificate.pem), file(&folder, "key", &certificate.key));
    let arguments =
        ["--tls-certificate", &chain, "--tls-key", &key, "--dicom-tls", "--dicom-callers", "PACS"];
    let (server, address) = start(&arguments);
    let open =
        |calling| Scu::open_private(&address, &certificate, ("MEDSERVE", calling), &[(DX, &[EXPLICIT])]);
    assert_eq!(
        open("STRANGER").err().map(|(kind, body)| (kind, body[1..].to_vec())),
        Some((3, vec![1, 1, 3]))
    );
    let file = radiograph("1.2.3.1");
    let mut scu = open("PACS").ok().unwrap();
    assert_eq!(scu.store(DX, "1.2.3.1", data_set_of(&file), 4096).0, 0);
    scu.release();
    // Without TLS nothing is said.
    assert!(
        Scu::open(&address, "MEDSERVE", "PACS", &[(ECHO, &[IMPLICIT])])
            .err()
            .is_some_and(|(kind, _)| kind != 3)
    );
    drop(server);
}
