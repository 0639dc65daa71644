//! What an image does by coming, black box: of two that have one UID the one that came last stays, whichever is answered first,
//! by whichever way they come, and whoever sends them.

use clinical::dicom::data_set::{data_set_of, part10};
use clinical::dicom::tags;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::network::{open, start as listening};
use super::{DX, KEY, STUDY, changed, first, get, json_of, radiograph, start, stow};
use crate::support::{Server, api_key, until};

/// The Patient IDs of the results of an image, of all that is there of its study.
async fn patients(server: &Server, instance: &str) -> Vec<String> {
    let response = get(server, &format!("/dicom-web/studies/{STUDY}/metadata"), "*/*").await;
    if response.status() == StatusCode::NOT_FOUND {
        return Vec::new();
    }
    let all = json_of(response).await;
    let of = |one: &&Value| one.to_string().contains(&format!("\"{instance}\""));
    let of = all.as_array().unwrap().iter().filter(of);
    of.map(|one| first(one, "00100020").as_str().unwrap_or_default().to_string()).collect()
}

fn of_patient(instance: &str, patient: &str) -> Vec<u8> {
    changed(instance, |set| {
        set.text(tags::PATIENT_ID, b"LO", patient);
    })
}

/// So many images that the last ones are still to be answered when somebody has seen the first answer: how many that takes
/// depends on the machine.
const MANY: [usize; 3] = [40, 160, 640];

/// Whether one of these does so.
async fn with_enough(mut under_way: impl AsyncFnMut(usize) -> bool) -> bool {
    for many in MANY {
        if under_way(many).await {
            return true;
        }
    }
    false
}

fn images(many: usize, image: impl Fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..many).map(|number| image(&format!("1.2.3.{number}"))).collect()
}

async fn first_answer(server: &Server) {
    let answered = async || (!patients(server, "1.2.3.0").await.is_empty()).then_some(());
    until("the first answer", answered).await;
}

/// A large request is under way; its last image comes again, corrected, before it is its turn.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_comes_while_it_is_answered_as_it_was_stays() {
    for by_network in [false, true] {
        let under_way = async |many| corrected_under_way(many, by_network).await;
        assert!(with_enough(under_way).await, "all were answered before the correction came");
    }
}

/// Whether the correction came in time.
async fn corrected_under_way(many: usize, by_network: bool) -> bool {
    let (server, address) = listening(&["--dicom-results", "sr", "--engines", "1"]);
    let last = format!("1.2.3.{}", many - 1);
    let images = images(many, |instance| of_patient(instance, "wrong"));
    let files: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let correction = async {
        first_answer(&server).await;
        let now = of_patient(&last, "right");
        if by_network {
            let (status, comment) = open(&address).store(DX, &last, data_set_of(&now), 9000);
            assert_eq!(status, 0, "{comment}");
        } else {
            let answer = json_of(stow(&server, "/dicom-web/studies", &[&now]).await).await;
            assert!(answer.get("00081198").is_none(), "{answer}");
        }
    };
    let (all, ()) = tokio::join!(stow(&server, "/dicom-web/studies", &files), correction);
    let in_time = all.status() == StatusCode::ACCEPTED;
    if in_time {
        assert!(all.headers()["warning"].to_str().unwrap().contains("it came again"));
        let failed = json_of(all).await["00081198"]["Value"].clone();
        assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
        assert_eq!(failed[0]["00081155"]["Value"][0], *last);
    } else {
        assert_eq!(all.status(), StatusCode::OK);
    }
    let right = until("the correction", async || {
        Some(patients(&server, &last).await).filter(|all| !all.is_empty() && (in_time || all == &["right"]))
    });
    assert_eq!(right.await, ["right"], "{by_network}");
    assert_eq!(patients(&server, "1.2.3.5").await, ["wrong"]);
    in_time
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_person_who_is_erased_nothing_is_kept_that_was_under_way() {
    assert!(with_enough(erased_under_way).await, "all were answered before the person was erased");
}

/// Whether the erasure came in time.
async fn erased_under_way(many: usize) -> bool {
    let server = start(&["--dicom-results", "sr", "--engines", "1"]);
    let images = images(many, radiograph);
    let files: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let erasure = async {
        first_answer(&server).await;
        let erased = Client::new().delete(server.at("/v1/users/p1")).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(erased.status(), StatusCode::NO_CONTENT);
    };
    let (all, ()) = tokio::join!(stow(&server, "/dicom-web/studies", &files), erasure);
    let in_time = all.status() == StatusCode::ACCEPTED;
    if in_time {
        assert!(all.headers()["warning"].to_str().unwrap().contains("was erased"));
    } else {
        assert_eq!(all.status(), StatusCode::OK);
    }
    let left = get(&server, &format!("/dicom-web/studies/{STUDY}/metadata"), "*/*").await;
    assert_eq!(left.status(), StatusCode::NOT_FOUND);
    in_time
}

/// What cannot be read is a correction as well, as soon as it says which image it is.
#[tokio::test]
async fn a_correction_that_cannot_be_read_ends_what_was_answered_before() {
    let server = start(&["--dicom-results", "sr"]);
    let (jpeg_xl, mpeg, jpip) =
        ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.95");
    let now = of_patient("1.2.3.1", "p2");
    let pixels = now.windows(4).position(|four| four == [0xe0, 0x7f, 0x10, 0]).unwrap();
    for (number, (syntax, data)) in [
        (jpeg_xl, data_set_of(&now)),
        (mpeg, data_set_of(&now)),
        // A data set that is deflated, and one of which nothing is left: the file around it says which it is.
        (jpip, &b"\x03\x00nothing"[..]),
        ("1.2.840.10008.1.2.1", b""),
        // One that is cut off in its pixels.
        ("1.2.840.10008.1.2.1", &now[..pixels + 2000][now.len() - data_set_of(&now).len()..]),
    ]
    .into_iter()
    .enumerate()
    {
        json_of(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await).await;
        assert_eq!(patients(&server, "1.2.3.1").await, ["p1"]);
        let refused = stow(&server, "/dicom-web/studies", &[&part10(DX, "1.2.3.1", syntax, data)]).await;
        assert_eq!(refused.status(), StatusCode::CONFLICT, "{number}");
        assert_eq!(patients(&server, "1.2.3.1").await, [""; 0], "{number}");
    }
}

#[tokio::test]
async fn who_may_ask_some_models_ends_nothing_that_others_made() {
    const LIMITED: &str = "the key of a triage desk";
    let keys = [api_key("root", "admin", KEY), api_key("desk", "classify+model=triage", LIMITED)].join(",");
    let server = start(&["--dicom-results", "sr", "--api-keys", &keys]);
    json_of(stow(&server, "/dicom-web/studies", &[&radiograph("1.2.3.1")]).await).await;
    let corrections: [fn(&mut clinical::dicom::DataSet); 3] = [
        |set| {
            set.text(tags::PATIENT_ID, b"LO", "p2");
        },
        |set| {
            set.text(tags::BODY_PART, b"CS", "HAND");
        },
        |set| {
            set.text(tags::PATIENT_ID, b"LO", "p1\\p2");
        },
    ];
    for correction in corrections {
        let request = Client::new().post(server.at("/dicom-web/studies")).bearer_auth(LIMITED);
        let request =
            request.header("content-type", "application/dicom").body(changed("1.2.3.1", correction));
        let refused = request.send().await.unwrap().status();
        assert!(matches!(refused, StatusCode::FORBIDDEN | StatusCode::CONFLICT), "{refused}");
        assert_eq!(patients(&server, "1.2.3.1").await, ["p1"]);
    }
    // What nobody has made anything of is refused for what it is.
    let request = Client::new().post(server.at("/dicom-web/studies")).bearer_auth(LIMITED);
    let hand = changed("1.2.3.2", corrections[1]);
    let refused = request.header("content-type", "application/dicom").body(hand).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(refused.headers()["warning"].to_str().unwrap().contains("no model"));
}

/// Two images of one study that name two patients: each result is found, counted and filed under its own.
#[tokio::test]
async fn results_of_two_patients_of_one_study_are_two_answers_and_two_series() {
    let server = start(&["--dicom-results", "sr"]);
    let files = [of_patient("1.2.3.1", "p1"), of_patient("1.2.3.2", "p2"), of_patient("1.2.3.3", "p2")];
    json_of(stow(&server, "/dicom-web/studies", &files.each_ref().map(Vec::as_slice)).await).await;
    let found =
        json_of(get(&server, &format!("/dicom-web/studies?StudyInstanceUID={STUDY}"), "*/*").await).await;
    let mut counted: Vec<(String, u64)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (first(one, "00100020").to_string(), first(one, "00201208").as_u64().unwrap()))
        .collect();
    counted.sort();
    assert_eq!(counted, [("\"p1\"".to_string(), 1), ("\"p2\"".to_string(), 2)]);
    let series = json_of(get(&server, &format!("/dicom-web/studies/{STUDY}/series"), "*/*").await).await;
    assert_eq!(series.as_array().unwrap().len(), 2, "{series}");
}

/// A correction takes away what was made of somebody, who is named in the audit as well as whose it is now.
#[tokio::test]
async fn whose_results_go_by_a_correction_is_told_in_the_audit() {
    let (server, address) = listening(&["--dicom-results", "sr", "--audit", "fail", "--audit-people", "id"]);
    let named = async |patient: &str, caller: &str| {
        let page = json_of(get(&server, &format!("/v1/audit?user={patient}"), "*/*").await).await;
        let rows = page["rows"].as_array().unwrap().clone();
        rows.iter().any(|row| {
            row["caller"].as_str().unwrap().starts_with(caller) && row["people"].to_string().contains("\"p9")
        })
    };
    json_of(stow(&server, "/dicom-web/studies", &[&of_patient("1.2.3.1", "wrong")]).await).await;
    json_of(stow(&server, "/dicom-web/studies", &[&of_patient("1.2.3.1", "p9")]).await).await;
    assert!(named("wrong", "key:").await);
    let (status, comment) =
        open(&address).store(DX, "1.2.3.1", data_set_of(&of_patient("1.2.3.1", "right")), 9000);
    assert_eq!(status, 0, "{comment}");
    assert!(named("p9", "ae:").await);
}
