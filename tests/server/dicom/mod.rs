//! DICOMweb and DICOM's network over the real server, black box.

mod again;
mod arrivals;
mod network;
mod scu;

use clinical::dicom::{DataSet, tags};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Server, api_key, shipped_models, until};

pub(crate) const DX: &str = "1.2.840.10008.5.1.4.1.1.1.1";
pub(crate) const STUDY: &str = "1.2.826.0.1.3680043.8.498.7";

/// The administrator's key of these tests, since the audit is for administrators.
pub(crate) const KEY: &str = "the key of these tests";

/// A server with the shipped models that knows the administrator.
pub(crate) fn start(more: &[&str]) -> Server {
    let keys = api_key("root", "admin", KEY);
    let keys: &[&str] = if more.contains(&"--api-keys") { &[] } else { &["--api-keys", &keys] };
    // Another model of radiographs is shipped, too; here one answers.
    let one: &[&str] = if more.contains(&"--dicom-models") { &[] } else { &["--dicom-models", "pneumonia"] };
    Server::start(&shipped_models(), &[keys, one, more].concat())
}

/// A radiograph of nothing in particular, `change`d.
pub(crate) fn changed(instance: &str, change: impl FnOnce(&mut DataSet)) -> Vec<u8> {
    let png = vision::phantom::chest_phantom(7, 256).unwrap();
    let picture = vision::decode(vision::Format::Png, &png, &vision::DecodeOptions::default()).unwrap();
    let side = picture.width() as u16;
    let vision::Samples::Gray8(pixels) = picture.into_samples() else { panic!("grey of 8 bits") };
    let mut set = DataSet::new();
    set.text(tags::SOP_CLASS, b"UI", DX)
        .text(tags::SOP_INSTANCE, b"UI", instance)
        .text(tags::MODALITY, b"CS", "DX")
        .text(tags::BODY_PART, b"CS", "CHEST")
        .text(tags::PATIENT_NAME, b"PN", "Doe^Jane")
        .text(tags::PATIENT_ID, b"LO", "p1")
        .text(tags::STUDY, b"UI", STUDY)
        .text(tags::SERIES, b"UI", "1.2.826.0.1.3680043.8.498.7.1")
        .words(tags::SAMPLES, &[1])
        .text(tags::PHOTOMETRIC, b"CS", "MONOCHROME2")
        .words(tags::ROWS, &[side])
        .words(tags::COLUMNS, &[side])
        .words(tags::BITS_ALLOCATED, &[8])
        .words(tags::BITS_STORED, &[8])
        .words(tags::HIGH_BIT, &[7])
        .words(tags::PIXEL_REPRESENTATION, &[0])
        .bytes(tags::PIXELS, pixels);
    change(&mut set);
    set.file()
}

pub(crate) fn radiograph(instance: &str) -> Vec<u8> {
    changed(instance, |_| {})
}

fn multipart(files: &[&[u8]]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(b"--frontier\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontier--\r\n");
    ("multipart/related; type=\"application/dicom\"; boundary=frontier".to_string(), body)
}

pub(crate) async fn stow(server: &Server, path: &str, files: &[&[u8]]) -> Response {
    let (kind, body) = multipart(files);
    Client::new()
        .post(server.at(path))
        .bearer_auth(KEY)
        .header("content-type", kind)
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn get(server: &Server, path: &str, accept: &str) -> Response {
    Client::new().get(server.at(path)).bearer_auth(KEY).header("accept", accept).send().await.unwrap()
}

async fn json_of(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn first<'a>(object: &'a Value, tag: &str) -> &'a Value {
    &object[tag]["Value"][0]
}

/// The files of a multipart answer.
async fn files(response: Response) -> Vec<Vec<u8>> {
    let kind = response.headers()["content-type"].to_str().unwrap().to_string();
    assert!(kind.starts_with("multipart/related; type=\"application/dicom\"; boundary="), "{kind}");
    let boundary = format!("--{}", kind.rsplit('=').next().unwrap());
    let body = response.bytes().await.unwrap();
    let places: Vec<usize> = body
        .windows(boundary.len())
        .enumerate()
        .filter(|(_, w)| *w == boundary.as_bytes())
        .map(|(at, _)| at)
        .collect();
    places
        .windows(2)
        .map(|pair| {
            let part = &body[pair[0]..pair[1]];
            let head = part.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            part[head + 4..part.len() - 2].to_vec()
        })
        .collect()
}

#[tokio::test]
async fn a_stored_image_is_answered_in_its_study() {
    let server = start(&[]);
    let response = stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await;
    assert_eq!(response.headers()["content-type"], "application/dicom+json");
    let answer = json_of(response).await;
    assert_eq!(first(&answer, "00081199")["00081155"]["Value"][0], "1.2.3.1");
    assert!(answer.get("00081198").is_none());
    let study = format!("/dicom-web/studies/{STUDY}");
    assert!(first(&answer, "00081190").as_str().unwrap().ends_with(&study));

    let all = json_of(get(&server, &format!("{study}/metadata"), "*/*").await).await;
    let modalities: Vec<&str> =
        all.as_array().unwrap().iter().map(|one| first(one, "00080060").as_str().unwrap()).collect();
    assert!(modalities.contains(&"SR"), "{modalities:?}");
    let report = all.as_array().unwrap().iter().find(|one| first(one, "00080060") == "SR").unwrap();
    assert_eq!(first(report, "0020000D"), STUDY);
    assert_eq!(first(report, "00100010")["Alphabetic"], "Doe^Jane");
    assert!(report.to_string().contains("1.2.3.1") && report.to_string().contains("pneumonia"));
    let sent = files(get(&server, &study, "*/*").await).await;
    assert_eq!(sent.len(), modalities.len());
    for file in &sent {
        assert_eq!(&file[128..132], b"DICM");
    }
    // What is drawn is a picture that our own reader reads.
    let picture = sent
        .iter()
        .find_map(|file| vision::decode(vision::Format::Dicom, file, &vision::DecodeOptions::default()).ok());
    assert!(picture.is_none_or(|picture| picture.channels() == 3));

    let studies = json_of(get(&server, "/dicom-web/studies?PatientID=p1", "*/*").await).await;
    assert_eq!(first(&studies[0], "0020000D"), STUDY);
    assert_eq!(first(&studies[0], "00201208"), modalities.len());
    let none = json_of(get(&server, "/dicom-web/studies?PatientID=p2", "*/*").await).await;
    assert_eq!(none, json!([]));
    let series = json_of(get(&server, &format!("{study}/series"), "*/*").await).await;
    assert_eq!(series.as_array().unwrap().len(), modalities.len());
    let uid = first(&series[0], "0020000E").as_str().unwrap();
    let instances = json_of(get(&server, &format!("{study}/series/{uid}/instances"), "*/*").await).await;
    let instance = first(&instances[0], "00080018").as_str().unwrap();
    let path = format!("{study}/series/{uid}/instances/{instance}");
    let file = get(&server, &path, "application/dicom").await;
    assert_eq!(file.headers()["content-type"], "application/dicom");
    assert!(sent.contains(&file.bytes().await.unwrap().to_vec()));
    assert_eq!(get(&server, &path, "image/jpeg").await.status(), StatusCode::NOT_ACCEPTABLE);
    let gone = get(&server, &format!("{study}/series/1.2/instances/1.2"), "*/*").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_image_that_is_stored_twice_has_one_result() {
    let server = start(&[]);
    let study = format!("/dicom-web/studies/{STUDY}");
    json_of(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await).await;
    let once = files(get(&server, &study, "*/*").await).await;
    json_of(stow(&server, &study, &[&radiograph("1.2.3.1"), &radiograph("1.2.3.1")]).await).await;
    assert_eq!(files(get(&server, &study, "*/*").await).await, once);
}

#[tokio::test]
async fn studies_and_results_are_found_by_what_a_viewer_asks_for() {
    let server = start(&[]);
    let other = "1.2.826.0.1.3680043.8.498.9";
    let second = changed("1.2.3.2", |set| {
        set.text(tags::STUDY, b"UI", other)
            .text(tags::PATIENT_ID, b"LO", "p2")
            .text(tags::PATIENT_NAME, b"PN", "Roe^Richard")
            .text(tags::STUDY_DATE, b"DA", "20260301")
            .text(tags::STUDY_TIME, b"TM", "101010")
            .text(tags::ACCESSION_NUMBER, b"SH", "A17");
    });
    json_of(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1"), &second]).await).await;
    let found = async |query: &str| {
        let all = json_of(get(&server, &format!("/dicom-web/studies{query}"), "*/*").await).await;
        let mut uids: Vec<String> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|one| first(one, "0020000D").as_str().unwrap().to_string())
            .collect();
        uids.sort();
        uids
    };
    let both = [STUDY.to_string(), other.to_string()];
    for query in [
        "",
        "?PatientName=*oe^*",
        "?PatientID=p*",
        "?ModalitiesInStudy=SR",
        "?ModalitiesInStudy=CT,SR",
        "?ModalitiesInStudy=SR%5CSEG",
        "?StudyTime=*",
        // As dicomweb-client asks for attributes.
        "?includefield=00081030&limit=10&includefield=00080060",
    ] {
        assert_eq!(found(query).await, both, "{query}");
    }
    assert_eq!(found(&format!("?StudyInstanceUID={STUDY},{other}&fuzzymatching=true")).await, both);
    for query in [
        "?PatientName=roe*",
        "?PatientID=p2",
        "?StudyDate=20260101-20260401",
        "?StudyTime=1010",
        "?StudyTime=101010.000-101011",
        "?AccessionNumber=A17",
        "?00100010=Roe*",
    ] {
        assert_eq!(found(query).await, [other.to_string()], "{query}");
    }
    for query in ["?PatientName=Poe*", "?ModalitiesInStudy=CT", "?StudyDate=-20251231", "?StudyID=9"] {
        assert!(found(query).await.is_empty(), "{query}");
    }
    let fuzzy = get(&server, "/dicom-web/studies?fuzzymatching=true", "*/*").await;
    assert!(fuzzy.headers()["warning"].to_str().unwrap().starts_with("299 "));
    let within = async |path: &str| {
        json_of(get(&server, &format!("/dicom-web/studies/{other}/{path}"), "*/*").await)
            .await
            .as_array()
            .unwrap()
            .len()
    };
    let reports = "instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.88.34";
    assert_eq!((within("series?Modality=SR").await, within(reports).await), (1, 1));
    let numbered = within("series?SeriesNumber=09001").await;
    assert_eq!((within("instances?Modality=CT,SR").await, numbered), (1, 1));
    let others = "instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.66.4";
    assert_eq!((within("series?Modality=SEG").await, within(others).await), (0, 0));
    for (query, words) in [
        ("?Colour=red", "Colour"),
        ("?StudyDate=junk", "20260301-20260331"),
        ("?StudyTime=25", "StudyTime"),
        ("?ModalitiesInStudy=sr", "ModalitiesInStudy"),
        ("?StudyDate=20260301&StudyDate=20260302", "StudyDate"),
        ("?StudyInstanceUID=1.2.x", "UID"),
    ] {
        let unknown = get(&server, &format!("/dicom-web/studies{query}"), "*/*").await;
        assert_eq!(unknown.status(), StatusCode::BAD_REQUEST, "{query}");
        assert!(unknown.text().await.unwrap().contains(words), "{query}");
    }
    let odd = get(&server, &format!("/dicom-web/studies/{other}/series?SeriesNumber=nine"), "*/*").await;
    assert_eq!(odd.status(), StatusCode::BAD_REQUEST);
    let reports = json_of(get(&server, &format!("/dicom-web/studies/{other}/{reports}"), "*/*").await).await;
    let (series, instance) =
        (first(&reports[0], "0020000E").as_str().unwrap(), first(&reports[0], "00080018"));
    let series = format!("series/{series}");
    let instance = format!("{series}/instances/{}", instance.as_str().unwrap());
    for path in [format!("{series}/metadata"), format!("{instance}/metadata")] {
        assert_eq!(within(&path).await, 1, "{path}");
    }
    let jpeg = "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.50";
    let file = get(&server, &format!("/dicom-web/studies/{other}/{instance}"), jpeg).await;
    assert_eq!(file.status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn who_accepts_no_json_gets_no_attributes_in_it() {
    let server = start(&["--dicom-results", "sr"]);
    json_of(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await).await;
    let study = format!("/dicom-web/studies/{STUDY}");
    for path in [
        "/dicom-web/studies",
        &format!("{study}/series"),
        &format!("{study}/instances"),
        &format!("{study}/metadata"),
    ] {
        for accept in [
            "application/dicom+json",
            "application/json",
            "application/dicom+xml, */*;q=0.1",
            "application/*",
        ] {
            let answer = get(&server, path, accept).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path} {accept}");
            assert_eq!(answer.headers()["content-type"], "application/dicom+json");
        }
        for accept in [
            "multipart/related; type=\"application/dicom+xml\"",
            "application/dicom+xml",
            "text/plain",
            "application/dicom+json;q=0, application/json;q=0, */*",
        ] {
            let answer = get(&server, path, accept).await;
            assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE, "{path} {accept}");
            assert!(answer.text().await.unwrap().contains("application/dicom+json"), "{path}");
        }
    }
}

/// As an archive corrects a patient: the same SOP Instance UID.
#[tokio::test]
async fn an_image_that_has_changed_under_its_uid_is_answered_anew_and_its_old_results_go() {
    let server = start(&["--dicom-results", "sr"]);
    let report = async |study: &str| {
        let response = get(&server, &format!("/dicom-web/studies/{study}/metadata"), "*/*").await;
        let all = if response.status() == 404 { json!([]) } else { json_of(response).await };
        all.as_array()
            .unwrap()
            .iter()
            .map(|one| (first(one, "00100020").clone(), first(one, "00080018").clone()))
            .collect::<Vec<_>>()
    };
    json_of(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1"), &radiograph("1.2.3.2")]).await)
        .await;
    let before = report(STUDY).await;
    assert_eq!(before.len(), 2);
    let right = changed("1.2.3.1", |set| {
        set.text(tags::PATIENT_ID, b"LO", "p2");
    });
    json_of(stow(&server, "/dicom-web/studies", &[&right]).await).await;
    let corrected = report(STUDY).await;
    let of = |patient: &str| {
        corrected.iter().filter(|(own, _)| own == patient).map(|(_, uid)| uid.clone()).collect::<Vec<_>>()
    };
    assert_eq!((of("p1").len(), of("p2").len()), (1, 1), "{corrected:?}");
    assert!(before.iter().all(|(_, uid)| *uid != of("p2")[0]), "archives keep what they have under a UID");
    // Of another study, and then of another picture.
    let moved = |set: &mut DataSet| {
        set.text(tags::PATIENT_ID, b"LO", "p2").text(tags::STUDY, b"UI", "1.2.826.0.1.3680043.8.498.9");
    };
    json_of(stow(&server, "/dicom-web/studies", &[&changed("1.2.3.1", moved)]).await).await;
    let elsewhere = report("1.2.826.0.1.3680043.8.498.9").await;
    assert_eq!((report(STUDY).await.len(), elsewhere.len()), (1, 1));
    let blank = changed("1.2.3.1", |set| {
        moved(set);
        set.bytes(tags::PIXELS, vec![9; 256 * 256]);
    });
    json_of(stow(&server, "/dicom-web/studies", &[&blank]).await).await;
    let shown = report("1.2.826.0.1.3680043.8.498.9").await;
    assert_eq!(shown.len(), 1);
    assert_ne!(shown, elsewhere);
}

#[tokio::test]
async fn what_cannot_be_answered_is_named_with_its_reason() {
    let server = start(&[]);
    let good = radiograph("1.2.3.1");
    let mr = changed("1.2.3.2", |set| {
        set.text(tags::MODALITY, b"CS", "MR");
    });
    let mut cut = radiograph("1.2.3.3");
    cut.truncate(cut.len() - 100);
    let response = stow(&server, "/dicom-web/studies", &[&good, &mr, &cut, b"no DICOM"]).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let warnings: Vec<_> = response.headers().get_all("warning").iter().cloned().collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    let answer = json_of(response).await;
    assert_eq!(answer["00081199"]["Value"].as_array().unwrap().len(), 1);
    let failed = answer["00081198"]["Value"].as_array().unwrap();
    let reasons: Vec<_> =
        failed.iter().map(|one| (first(one, "00081155").clone(), first(one, "00081197").clone())).collect();
    assert_eq!(reasons, [(json!("1.2.3.2"), json!(0x0122)), (json!("1.2.3.3"), json!(0xc000))]);
    assert_eq!(answer["0008119A"]["Value"].as_array().unwrap().len(), 1);

    let none = stow(&server, "/dicom-web/studies", &[&mr]).await;
    assert_eq!(none.status(), StatusCode::CONFLICT);
    let other = stow(&server, "/dicom-web/studies/1.2.3", &[&good]).await;
    assert_eq!(other.status(), StatusCode::CONFLICT);
    let (kind, body) = multipart(&[&mr]);
    let request =
        Client::new().post(server.at("/dicom-web/studies")).bearer_auth(KEY).header("content-type", &kind);
    let in_xml = request.header("accept", "application/dicom+xml").body(body).send().await.unwrap();
    assert_eq!(in_xml.headers()["content-type"], "application/dicom+xml");
    assert!(in_xml.text().await.unwrap().contains("<Value number=\"1\">290</Value>"));
}

#[tokio::test]
async fn an_image_of_two_patients_is_answered_for_neither() {
    let server = start(&[]);
    let of = |instance: &str, patient: &[u8]| {
        changed(instance, |set| {
            set.text(tags::PATIENT_ID, b"LO", patient);
        })
    };
    let (two, broken) = (of("1.2.3.1", b"p1\\p2"), of("1.2.3.2", b"p1\np2"));
    let response = stow(&server, "/dicom-web/studies", &[&two, &broken]).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let warnings: Vec<_> = response.headers().get_all("warning").iter().cloned().collect();
    for (warning, words) in warnings.iter().zip(["has a backslash", "has a control character"]) {
        let warning = warning.to_str().unwrap();
        assert!(warning.contains("Patient ID (0010,0020)") && warning.contains(words), "{warning}");
    }
    assert_eq!(warnings.len(), 2);
    let none = get(&server, &format!("/dicom-web/studies/{STUDY}/metadata"), "*/*").await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bodies_that_are_none_are_problems() {
    let server = start(&[]);
    let post = async |path: &str, kind: &str, body: &'static str| {
        let request =
            Client::new().post(server.at(path)).bearer_auth(KEY).header("content-type", kind).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        response.status().as_u16()
    };
    let all = "/dicom-web/studies";
    assert_eq!(post(all, "multipart/related; type=\"application/dicom\"", "--q--").await, 400);
    assert_eq!(post(all, "multipart/related; boundary=q", "--q\r\n\r\nx").await, 400);
    assert_eq!(post(all, "multipart/related; boundary=q", "--q--").await, 400);
    assert_eq!(post(all, "application/json", "{}").await, 415);
    assert_eq!(
        post(all, "multipart/related; boundary=q", "--q\r\nContent-Type: image/png\r\n\r\nx\r\n--q--").await,
        415
    );
    assert_eq!(post("/dicom-web/studies/Jane", "application/dicom", "x").await, 400);
    assert_eq!(get(&server, "/dicom-web/studies/Jane", "*/*").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(get(&server, "/dicom-web/studies?limit=0", "*/*").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(get(&server, "/dicom-web/studies/1.2.3", "*/*").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_erased_person_has_no_results_and_the_audit_names_the_person_by_a_pseudonym() {
    let server = start(&["--audit-people", "id"]);
    let put = Client::new()
        .put(server.at("/v1/users/p1"))
        .bearer_auth(KEY)
        .json(&json!({"profile": {}}))
        .send()
        .await
        .unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
    json_of(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await).await;
    let row = until("its row", async || {
        let audit = json_of(get(&server, "/v1/audit?user=p1", "*/*").await).await;
        audit["rows"].as_array().unwrap().iter().find(|row| row["route"] == "/dicom-web/studies").cloned()
    })
    .await;
    assert_eq!((&row["model"], &row["people"]), (&json!("pneumonia"), &json!(["p1"])));
    // Who looked at the results has rows of the person as well.
    let study = format!("/dicom-web/studies/{STUDY}");
    let looks = [
        "/dicom-web/studies?PatientID=p1".to_string(),
        format!("{study}/series"),
        format!("{study}/metadata"),
        study,
    ];
    for path in &looks {
        assert_eq!(get(&server, path, "*/*").await.status(), StatusCode::OK, "{path}");
    }
    until("the rows of who looked", async || {
        let audit = json_of(get(&server, "/v1/audit?user=p1", "*/*").await).await;
        let rows = audit["rows"].as_array().unwrap().iter();
        let looked = rows.filter(|row| {
            row["method"] == "GET" && row["route"].as_str().unwrap().starts_with("/dicom-web/")
        });
        (looked.count() == looks.len()).then_some(())
    })
    .await;
    let gone = Client::new().delete(server.at("/v1/users/p1")).bearer_auth(KEY).send().await.unwrap();
    assert!(gone.status().is_success());
    let study = get(&server, &format!("/dicom-web/studies/{STUDY}"), "*/*").await;
    assert_eq!(study.status(), StatusCode::NOT_FOUND);
    assert!(!server.log().contains("Doe"));
}
