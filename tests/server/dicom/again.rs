//! Images that come again, black box: changed under their UID, refused as they are now, twice in one request, and our own
//! results on their way back.

use std::collections::BTreeSet;

use clinical::dicom::data_set::data_set_of;
use clinical::dicom::{DataSet, Drawing, Maker, Source, capture, tags};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::network::{open, reports, start as listening};
use super::scu::{EXPLICIT, Scu};
use super::{DX, STUDY, changed, first, get, json_of, radiograph, start, stow};
use crate::support::{Server, until};

const SC: &str = "1.2.840.10008.5.1.4.1.1.7";

/// What is another in an image that comes again.
type Correction = fn(&mut DataSet);

/// The attributes of what is there of a study.
async fn made(server: &Server, study: &str) -> Vec<Value> {
    let response = get(server, &format!("/dicom-web/studies/{study}/metadata"), "*/*").await;
    match response.status() {
        StatusCode::NOT_FOUND => Vec::new(),
        _ => json_of(response).await.as_array().unwrap().clone(),
    }
}

/// Without a body part, and of the region of this code.
fn region(set: &mut DataSet, code: &str) {
    let mut item = DataSet::new();
    item.text(tags::CODE_VALUE, b"SH", code).text(tags::CODING_SCHEME, b"SH", "SCT").text(
        tags::CODE_MEANING,
        b"LO",
        "Region",
    );
    set.text(tags::BODY_PART, b"CS", "").items(0x0008_2218, vec![item]);
}

#[tokio::test]
async fn a_corrected_side_region_or_orientation_is_answered_anew() {
    let server = start(&["--dicom-results", "sr"]);
    let corrections: [Correction; 6] = [
        |set| {
            set.text(tags::IMAGE_LATERALITY, b"CS", "L");
        },
        |set| {
            set.text(tags::IMAGE_LATERALITY, b"CS", "R");
        },
        |set| {
            set.text(tags::PATIENT_ORIENTATION, b"CS", "R\\F");
        },
        |set| {
            set.text(tags::BODY_PART, b"CS", "");
        },
        |set| region(set, "51185008"),
        |set| region(set, "85562004"),
    ];
    let mut seen = BTreeSet::new();
    let mut last = Value::Null;
    for correction in corrections {
        json_of(stow(&server, "/dicom-web/studies", &[&changed("1.2.3.1", correction)]).await).await;
        let all = made(&server, STUDY).await;
        assert_eq!(all.len(), 1);
        assert!(seen.insert(first(&all[0], "00080018").to_string()), "the old answer was given");
        last = all[0].clone();
    }
    // A hand is nothing that the model reads.
    assert!(last.to_string().contains("that the model does not read"), "{last}");
}

/// What shows that an image has changed ends what was made of it, whether or not it can be answered as it is now.
#[tokio::test]
async fn a_correction_that_is_refused_ends_what_was_answered_before() {
    let (server, address) = listening(&["--dicom-results", "sr"]);
    let corrections: [(Correction, u16); 4] = [
        (
            |set| {
                set.text(tags::BODY_PART, b"CS", "ABDOMEN");
            },
            0xc001,
        ),
        (
            |set| {
                set.text(tags::MODALITY, b"CS", "MR");
            },
            0xc001,
        ),
        (
            |set| {
                set.text(tags::PATIENT_ID, b"LO", "p1\\p2");
            },
            0xc000,
        ),
        // It is taken, and its failure kept.
        (
            |set| {
                set.bytes(tags::PIXELS, vec![0; 10]);
            },
            0,
        ),
    ];
    for (number, (correction, status)) in corrections.into_iter().enumerate() {
        for by_network in [false, true] {
            let instance = format!("1.2.3.{number}.{}", u8::from(by_network));
            json_of(stow(&server, "/dicom-web/studies", &[&radiograph(&instance)]).await).await;
            assert_eq!(made(&server, STUDY).await.len(), 1);
            let now = changed(&instance, correction);
            if by_network {
                let (got, comment) = open(&address).store(DX, &instance, data_set_of(&now), 9000);
                assert_eq!(got, status, "{comment}");
            } else {
                let refused = stow(&server, "/dicom-web/studies", &[&now]).await;
                assert_eq!(refused.status(), StatusCode::CONFLICT);
            }
            assert_eq!(made(&server, STUDY).await, Vec::<Value>::new(), "{number} {by_network}");
        }
    }
}

#[tokio::test]
async fn of_one_image_twice_in_a_request_the_last_is_answered() {
    let server = start(&["--dicom-results", "sr"]);
    let other = "1.2.826.0.1.3680043.8.498.9";
    let before = radiograph("1.2.3.1");
    let after = changed("1.2.3.1", |set| {
        set.text(tags::STUDY, b"UI", other).text(tags::PATIENT_ID, b"LO", "p2");
    });
    json_of(stow(&server, "/dicom-web/studies", &[&before]).await).await;
    let counts = async || (made(&server, STUDY).await.len(), made(&server, other).await.len());
    for (files, expected) in [([&after, &before], (1, 0)), ([&before, &after], (0, 1))] {
        let answer = json_of(stow(&server, "/dicom-web/studies", &files.map(Vec::as_slice)).await).await;
        assert_eq!(answer["00081199"]["Value"].as_array().unwrap().len(), 2, "{answer}");
        assert_eq!(counts().await, expected);
    }
}

/// Another server made it, or this one did of an image that was corrected since: the database knows nothing of it.
#[tokio::test]
async fn a_result_that_comes_back_is_not_answered_as_if_it_were_an_image() {
    let (server, address) = listening(&["--dicom-models", "blood-cells", "--dicom-results", "sr"]);
    let file = radiograph("1.2.3.1");
    let found = vision::attributes(&file, &Source::wanted()).unwrap();
    let source = Source::read(|tag| found.get(&tag).cloned()).unwrap();
    let maker = Maker {
        program: "0",
        model: "pneumonia",
        version: "1",
        weights: "0f",
        labels: &[],
        now: 1_772_357_400_000,
    };
    let drawing = Drawing { width: 64, height: 64, pixels: vec![90; 3 * 64 * 64] };
    let picture = capture(&maker, &source, &drawing, "pneumonia", 0.97);
    let answer = json_of(stow(&server, "/dicom-web/studies", &[&picture.file()]).await).await;
    assert!(answer.get("00081198").is_none(), "it is taken: {answer}");
    assert_eq!(made(&server, STUDY).await.len(), 0, "and let go");
    let own = picture.get(tags::SOP_INSTANCE).unwrap();
    let mut scu = Scu::open(&address, "MEDSERVE", "PACS", &[(SC, &[EXPLICIT])]).ok().unwrap();
    assert_eq!(scu.store(SC, &own, &picture.encode(), 9000).0, 0);
    // What comes after it is answered, and it is not.
    assert_eq!(open(&address).store(DX, "1.2.3.1", data_set_of(&file), 9000).0, 0);
    let made = reports(&server, 1).await;
    assert_eq!(made.len(), 1);
    assert!(made[0].to_string().contains("1.2.3.1") && !made[0].to_string().contains(&own));
}

#[tokio::test]
async fn the_audit_has_every_model_that_answered_an_image() {
    let server = start(&["--dicom-models", "chest-xray,pneumonia", "--dicom-results", "sr"]);
    let files = [radiograph("1.2.3.1"), radiograph("1.2.3.2")];
    json_of(stow(&server, "/dicom-web/studies", &[&files[0], &files[1]]).await).await;
    let row = until("its row", async || {
        let audit = json_of(get(&server, "/v1/audit", "*/*").await).await;
        audit["rows"].as_array().unwrap().iter().find(|row| row["route"] == "/dicom-web/studies").cloned()
    })
    .await;
    assert_eq!((&row["model"], &row["version"]), (&json!("chest-xray, pneumonia"), &json!("2, 1")));
    let whole = json_of(get(&server, &format!("/v1/audit/{}", row["number"]), "*/*").await).await;
    let models = whole["models"].as_array().unwrap();
    let names: Vec<&Value> = models.iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["chest-xray", "pneumonia"]);
    assert!(models.iter().all(|model| model["in_service"] == true && model["card"].is_object()), "{whole}");
}
