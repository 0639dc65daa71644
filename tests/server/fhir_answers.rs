//! Answers of classifiers in FHIR, black box: what stands in them where the model abstains, where a rule and not the model
//! gives the label, and of whose image.

use clinical::dicom::tags;
use reqwest::Client;
use serde_json::{Value, json};

use crate::dicom::{KEY, STUDY, changed, start};
use crate::support::Server;

async fn resources(server: &Server, path: &str, kind: &str, body: Vec<u8>) -> Vec<Value> {
    let request = Client::new().post(server.at(path)).bearer_auth(KEY).header("content-type", kind);
    let response = request.header("accept", "application/fhir+json").body(body).send().await.unwrap();
    let bundle: Value = response.json().await.unwrap();
    let entries = bundle["entry"].as_array().unwrap_or_else(|| panic!("{bundle}"));
    entries.iter().map(|entry| entry["resource"].clone()).collect()
}

fn of<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|resource| resource["resourceType"] == kind).collect()
}

#[tokio::test]
async fn who_abstains_gives_no_numbers_and_a_rule_s_label_is_not_the_model_s() {
    let server = start(&[]);
    let records = json!([{"note": "chest pain", "fields": {"age": 67, "sbp": 60}}, {"note": "qzx jjk vvq"}]);
    let body = json!({"model": "triage", "records": records}).to_string().into_bytes();
    let all = resources(&server, "/v1/notes/classify", "application/json", body).await;
    let (observations, reports) = (of(&all, "Observation"), of(&all, "DiagnosticReport"));
    assert!(observations[1].get("dataAbsentReason").is_some() && observations[1].get("component").is_none());
    assert!(reports[1]["conclusion"].as_str().unwrap().starts_with("no answer: the model abstains: "));
    let risks = of(&all, "RiskAssessment");
    assert_eq!(risks.len(), 1, "who abstains has assessed nothing");
    let conclusion = reports[0]["conclusion"].as_str().unwrap();
    assert!(conclusion.starts_with("1, by a rule") && conclusion.contains("red flag: sbp"), "{conclusion}");
    assert!(!conclusion.contains("probability") && risks[0].get("mitigation").is_none());
    assert_eq!(risks[0]["prediction"].as_array().unwrap().len(), 1, "{}", risks[0]);
    assert!(risks[0]["prediction"][0].get("probabilityDecimal").is_none());
}

#[tokio::test]
async fn an_answer_about_a_dicom_image_says_whose_it_is_and_which() {
    let server = start(&[]);
    let file = changed("1.2.3.7", |set| {
        set.text(tags::PATIENT_ID_ISSUER, b"LO", "HOSP-A")
            .text(tags::ACQUISITION_DATE, b"DA", "20190304")
            .text(tags::ACQUISITION_TIME, b"TM", "101500")
            .text(tags::TIMEZONE, b"SH", "+0100")
            .text(tags::FRAMES, b"IS", "2");
        set.bytes(tags::PIXELS, (0..2 * 256 * 256).map(|at| (at % 251) as u8).collect());
    });
    let all =
        resources(&server, "/v1/images/classify?model=pneumonia&frame=2", "application/dicom", file).await;
    for kind in ["Observation", "DiagnosticReport"] {
        let identifier = &of(&all, kind)[0]["subject"]["identifier"];
        assert_eq!(
            (&identifier["value"], &identifier["assigner"]["display"]),
            (&json!("p1"), &json!("HOSP-A"))
        );
    }
    // Of two frames of one image each says which it is of; and it says when it was taken, which is not now.
    assert_eq!(of(&all, "Observation")[0]["derivedFrom"][1]["display"], "frame 2 of 2");
    for kind in ["Observation", "DiagnosticReport"] {
        assert_eq!(of(&all, kind)[0]["effectiveDateTime"], "2019-03-04T10:15:00+01:00");
    }
    let from = &of(&all, "Observation")[0]["derivedFrom"];
    assert_eq!(from[0]["identifier"]["value"], format!("urn:oid:{STUDY}"));
    assert_eq!(from[1]["identifier"]["value"], "urn:oid:1.2.3.7");
}
