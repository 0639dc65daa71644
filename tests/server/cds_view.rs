//! The hook `patient-view`, black box: one card of what suits the person whose record is opened.

use reqwest::Client;
use serde_json::{Value, json};

use crate::cds::{VIEW, allergy, call, cards, demo, found, sign, taken};

#[tokio::test]
async fn a_record_that_is_opened_gets_one_card_of_what_suits() {
    let server = demo();
    let users: Vec<String> = {
        let profile = json!({"profile": {"birth_year": 1958, "sex": "female", "allergies": [], "medications": [],
            "conditions": ["hypertension", "type 2 diabetes"], "pregnant": false}});
        let put = Client::new().put(server.at("/v1/users/p")).json(&profile);
        assert_eq!(put.send().await.unwrap().status(), 200);
        vec!["p".to_string()]
    };
    let body = |user: &str| json!({"hook": "patient-view", "hookInstance": "x", "context": {"userId": "Practitioner/7", "patientId": user}});
    let found = cards(&server, VIEW, &body(&users[0])).await;
    assert_eq!((found.len(), &found[0]["indicator"]), (1, &json!("info")), "{found:?}");
    assert!(found[0]["summary"].as_str().unwrap().chars().count() < 140);
    assert_eq!(call(&server, VIEW, &body("nobody")).await.status(), 412);
    let mut known_elsewhere = body("nobody");
    known_elsewhere["prefetch"] = json!({"patientToGreet": {"resourceType": "Patient", "id": "nobody"}});
    assert_eq!(cards(&server, VIEW, &known_elsewhere).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_suits_is_chosen_by_the_record_that_was_sent_along() {
    let server = demo();
    let none = json!({"resourceType": "AllergyIntolerance", "id": "n", "patient": {"reference": "Patient/p"},
        "code": {"text": "No known allergies"}});
    let aspirin = allergy("293586001", "Allergy to aspirin");
    let suits = async |allergies: Value, stored: bool| -> String {
        if stored {
            let profile = json!({"profile": {"birth_year": 1950, "sex": "male", "allergies": [],
                "medications": [], "conditions": []}});
            let put = Client::new().put(server.at("/v1/users/p")).json(&profile);
            assert_eq!(put.send().await.unwrap().status(), 200);
        }
        let mut body = sign(&[], &[], &[], &[]);
        body["prefetch"]["allergies"] = allergies;
        body["hook"] = json!("patient-view");
        let found = cards(&server, VIEW, &body).await;
        found.first().map_or_else(String::new, |card| card["summary"].as_str().unwrap().to_owned())
    };
    // What only cautions speak against is told by whoever asks for recommendations, and not in this card.
    let mut body = sign(&[], &[], &[], &[taken("r", "ramipril"), taken("f", "furosemide")]);
    body["prefetch"]["allergies"] = found(std::slice::from_ref(&none));
    body["hook"] = json!("patient-view");
    assert!(!cards(&server, VIEW, &body).await[0]["summary"].as_str().unwrap().contains("ibuprofen"));
    for stored in [false, true] {
        let healthy = suits(found(std::slice::from_ref(&none)), stored).await;
        assert!(healthy.contains("ibuprofen"), "{healthy}");
        let allergic = suits(found(std::slice::from_ref(&aspirin)), stored).await;
        assert!(allergic.contains("paracetamol") && !allergic.contains("ibuprofen"), "{allergic}");
        // The first page of a list is not the list.
        let mut page = found(std::slice::from_ref(&none));
        page["link"] = json!([{"relation": "next", "url": "http://127.0.0.1:1/next"}]);
        let mut few = found(std::slice::from_ref(&none));
        few["total"] = json!(5);
        for part in [page, few] {
            let partly = suits(part, stored).await;
            assert!(!partly.contains("paracetamol") && !partly.contains("ibuprofen"), "{partly}");
        }
    }
}
