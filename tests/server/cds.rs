//! CDS Hooks, black box: what a record system asks in the middle of a decision, and the few cards it gets.

use std::collections::HashSet;

use crate::support::{Server, api_key, postgres as cluster};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Response};
use ring::hmac;
use serde_json::{Value, json};

pub(crate) const SIGN: &str = "medserve-order-sign";
pub(crate) const SELECT: &str = "medserve-order-select";
pub(crate) const VIEW: &str = "medserve-patient-view";

pub(crate) fn demo() -> Server {
    Server::start(tempfile::tempdir().unwrap().path(), &["--demo"])
}

pub(crate) async fn call(server: &Server, id: &str, body: &Value) -> Response {
    Client::new().post(server.at(&format!("/cds-services/{id}"))).json(body).send().await.unwrap()
}

pub(crate) async fn cards(server: &Server, id: &str, body: &Value) -> Vec<Value> {
    let response = call(server, id, body).await;
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["cards"].as_array().unwrap().clone()
}

pub(crate) fn draft(id: &str, drug: &str) -> Value {
    json!({"resourceType": "MedicationRequest", "id": id, "status": "draft", "intent": "order",
        "subject": {"reference": "Patient/p"}, "medicationCodeableConcept": {"text": drug}})
}

pub(crate) fn found(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entries})
}

pub(crate) fn allergy(code: &str, words: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": words}]}})
}

pub(crate) fn taken(id: &str, drug: &str) -> Value {
    json!({"resourceType": "MedicationRequest", "id": id, "status": "active", "intent": "order",
        "subject": {"reference": "Patient/p"}, "medicationCodeableConcept": {"text": drug}})
}

/// A call for order-sign about a person who is not stored here.
pub(crate) fn sign(
    drafts: &[Value],
    allergies: &[Value],
    conditions: &[Value],
    medications: &[Value],
) -> Value {
    json!({"hook": "order-sign", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "fhirServer": "http://127.0.0.1:1/never-called",
        "context": {"userId": "Practitioner/7", "patientId": "p", "draftOrders": found(drafts)},
        "prefetch": {"patient": {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1950-01-01"},
            "allergies": found(allergies), "conditions": found(conditions), "medications": found(medications)}})
}

#[tokio::test]
async fn discovery_names_the_services_and_what_they_need() {
    let server = Server::start(tempfile::tempdir().unwrap().path(), &[]);
    let answer: Value =
        Client::new().get(server.at("/cds-services")).send().await.unwrap().json().await.unwrap();
    let services = answer["services"].as_array().unwrap();
    let pairs: HashSet<(&str, &str)> =
        services.iter().map(|s| (s["id"].as_str().unwrap(), s["hook"].as_str().unwrap())).collect();
    assert_eq!(
        pairs,
        HashSet::from([(VIEW, "patient-view"), (SELECT, "order-select"), (SIGN, "order-sign")])
    );
    for service in services {
        assert_eq!(service["prefetch"]["patient"], "Patient/{{context.patientId}}");
        assert!(service["description"].is_string() && service["prefetch"]["allergies"].is_string());
    }
}

#[tokio::test]
async fn an_allergy_stops_an_order_with_one_critical_card() {
    let server = demo();
    let penicillin = allergy("91936005", "Allergy to penicillin");
    let found = cards(
        &server,
        SIGN,
        &sign(&[draft("m1", "Amoxicillin 500 MG Oral Capsule")], &[penicillin], &[], &[]),
    )
    .await;
    assert_eq!(found.len(), 1, "{found:?}");
    let card = &found[0];
    assert_eq!(card["indicator"], "critical");
    let summary = card["summary"].as_str().unwrap();
    assert!(summary.contains("allergy") && summary.chars().count() < 140, "{summary}");
    assert!(card["detail"].as_str().unwrap().contains("penicillin"));
    assert!(card["source"]["label"].is_string() && card["uuid"].is_string());
    assert!(!card["overrideReasons"].as_array().unwrap().is_empty());
    // What is suggested can be ordered, with a caution at the most.
    let mut offered = 0;
    for suggestion in card["suggestions"].as_array().unwrap() {
        for action in suggestion["actions"].as_array().unwrap().iter().filter(|a| a["type"] == "create") {
            let drug = action["resource"]["medicationCodeableConcept"]["text"].as_str().unwrap().to_string();
            let again =
                sign(&[draft("m2", &drug)], &[allergy("91936005", "Allergy to penicillin")], &[], &[]);
            let cards = cards(&server, SIGN, &again).await;
            assert!(cards.iter().all(|card| card["indicator"] == "info"), "{drug}: {cards:?}");
            offered += 1;
        }
    }
    assert!((1..=3).contains(&offered), "{card}");
}

#[tokio::test]
async fn where_everything_is_known_a_safe_alternative_is_offered() {
    let server = demo();
    let profile = json!({"profile": {"birth_year": 1950, "sex": "male", "allergies": [],
        "conditions": ["osteoarthritis", "pain", "hypertension"], "medications": ["warfarin"], "pregnant": false}});
    let put = Client::new().put(server.at("/v1/users/p")).json(&profile);
    assert_eq!(put.send().await.unwrap().status(), 200);
    let ask = |drug: &str| {
        json!({"hook": "order-sign", "hookInstance": "x", "context": {"userId": "Practitioner/7", "patientId": "p",
            "draftOrders": found(&[draft("m1", drug)])}})
    };
    let cards_of = cards(&server, SIGN, &ask("Ibuprofen 400 MG")).await;
    assert_eq!(cards_of.len(), 1, "{cards_of:?}");
    assert!(cards_of[0]["detail"].as_str().unwrap().contains("warfarin"), "{cards_of:?}");
    let creates: Vec<String> = cards_of[0]["suggestions"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|suggestion| suggestion["actions"].as_array().unwrap().clone())
        .filter(|action| action["type"] == "create")
        .map(|action| action["resource"]["medicationCodeableConcept"]["text"].as_str().unwrap().to_string())
        .collect();
    assert!(!creates.is_empty(), "{cards_of:?}");
    let labels = cards_of[0]["suggestions"].to_string();
    for drug in creates {
        // What is to be heeded with it was told with the suggestion.
        for card in cards(&server, SIGN, &ask(&drug)).await {
            assert_eq!(card["indicator"], "info", "{drug}: {card}");
            assert!(labels.contains(&format!("{drug} instead of Ibuprofen 400 MG, for ")), "{labels}");
            assert!(labels.contains("(caution: "), "{labels}");
        }
    }
}

#[tokio::test]
async fn nothing_is_said_where_nothing_is_to_be_said() {
    let server = demo();
    assert_eq!(
        cards(&server, SIGN, &sign(&[draft("m1", "Paracetamol 500 MG")], &[], &[], &[])).await,
        Vec::<Value>::new()
    );
    // What is not a drug is not our matter, and an order is no second drug beside itself.
    let other = json!({"resourceType": "ServiceRequest", "id": "s", "status": "draft", "intent": "order",
        "subject": {"reference": "Patient/p"}, "code": {"text": "chest film"}});
    assert_eq!(cards(&server, SIGN, &sign(&[other], &[], &[], &[])).await, Vec::<Value>::new());
    let same = sign(&[draft("m1", "Warfarin")], &[], &[], &[taken("m1", "Warfarin")]);
    assert_eq!(cards(&server, SIGN, &same).await, Vec::<Value>::new());
}

#[tokio::test]
async fn drugs_are_checked_against_those_taken_and_those_ordered_beside_them() {
    let server = demo();
    let beside_taken =
        sign(&[draft("m1", "Ibuprofen")], &[], &[], &[taken("w", "Warfarin Sodium 5 MG Oral Tablet")]);
    let beside_other = sign(&[draft("m1", "Ibuprofen"), draft("m2", "Warfarin")], &[], &[], &[]);
    for (body, drug) in [(&beside_taken, "Warfarin"), (&beside_other, "Ibuprofen")] {
        let found = cards(&server, SIGN, body).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0]["detail"].as_str().unwrap().contains(&format!("interaction: {drug}")), "{found:?}");
    }
    // Several drugs that must not be: one critical card for all of them.
    let penicillin = allergy("91936005", "Allergy to penicillin");
    let drafts = [draft("m1", "Amoxicillin"), draft("m2", "Flucloxacillin"), draft("m3", "Paracetamol")];
    let found = cards(&server, SIGN, &sign(&drafts, &[penicillin], &[], &[])).await;
    let critical: Vec<&Value> = found.iter().filter(|card| card["indicator"] == "critical").collect();
    assert_eq!(critical.len(), 1, "{found:?}");
    let detail = critical[0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("Amoxicillin")
            && detail.contains("Flucloxacillin")
            && !detail.contains("Paracetamol"),
        "{detail}"
    );
}

#[tokio::test]
async fn an_allergy_is_found_in_the_words_of_order_catalogues_and_in_every_name_of_a_drug() {
    let server = demo();
    let penicillin = || allergy("91936005", "Allergy to penicillin");
    for words in [
        "AMOXICILLIN 250 MG/5 ML PO SUSR",
        "amoxicillin-potassium clavulanate (AUGMENTIN) 875-125 mg per tablet",
        "piperacillin-tazobactam (ZOSYN) 4.5 g in sodium chloride 0.9 % 100 mL IVPB",
        "Amoxicillin Oral Suspension [Amoxil]",
        "amoxicillin 875 MG / clavulanate 125 MG Oral Tablet [Augmentin]",
        "Take amoxicillin 500mg TID x 7d",
        "Augmentin Duo Forte",
        "阿莫西林胶囊",
    ] {
        let found = cards(&server, SIGN, &sign(&[draft("m1", words)], &[penicillin()], &[], &[])).await;
        assert_eq!(
            found.first().map(|card| &card["indicator"]),
            Some(&json!("critical")),
            "{words}: {found:?}"
        );
    }
    let rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm";
    let coded = json!({"resourceType": "MedicationRequest", "id": "m1", "status": "draft", "intent": "order",
        "medicationCodeableConcept": {"text": "AMX CAP 500", "coding": [{"system": "urn:local", "code": "1", "display": "AMX CAP"},
            {"system": rxnorm, "code": "308191", "display": "amoxicillin 500 MG Oral Capsule"}]}});
    let parts = json!({"resourceType": "MedicationRequest", "id": "m1", "status": "draft", "intent": "order",
        "medicationReference": {"reference": "#1"},
        "contained": [{"resourceType": "Medication", "id": "1", "code": {"text": "Infectomox"},
            "ingredient": [{"itemCodeableConcept": {"text": "Amoxicillin"}}]}]});
    for order in [coded, parts] {
        let found =
            cards(&server, SIGN, &sign(std::slice::from_ref(&order), &[penicillin()], &[], &[])).await;
        assert_eq!(
            found.first().map(|card| &card["indicator"]),
            Some(&json!("critical")),
            "{order}: {found:?}"
        );
    }
    // What a reaction was to is what the person is allergic to.
    let reaction = json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/p"},
        "reaction": [{"substance": {"text": "Penicillin"}}]});
    for allergy in [reaction, allergy("1", "Penicillin - rash as child"), allergy("2", "青霉素过敏")] {
        let found = cards(&server, SIGN, &sign(&[draft("m1", "Amoxicillin")], &[allergy], &[], &[])).await;
        assert_eq!(found[0]["indicator"], "critical", "{found:?}");
    }
}

#[tokio::test]
async fn what_is_not_understood_or_not_sent_is_told_and_never_silent() {
    let server = demo();
    let penicillin = || allergy("91936005", "Allergy to penicillin");
    let not_checked = |found: &[Value], indicator: &str, named: &str| {
        let card = found.iter().find(|card| card["summary"].as_str().unwrap().starts_with("Not checked"));
        let card = card.unwrap_or_else(|| panic!("{named}: {found:?}"));
        assert_eq!(card["indicator"], indicator, "{card}");
        assert!(card["detail"].as_str().unwrap().contains(named), "{named}: {card}");
    };
    let found =
        cards(&server, SIGN, &sign(&[draft("m1", "Zorbatrix 500 mg")], &[penicillin()], &[], &[])).await;
    not_checked(&found, "warning", "Zorbatrix");
    let found =
        cards(&server, SIGN, &sign(&[draft("m1", "amoxicilin 500 mg")], &[penicillin()], &[], &[])).await;
    not_checked(&found, "warning", "amoxicillin");
    let strange = allergy("1", "penicilin");
    let found = cards(&server, SIGN, &sign(&[draft("m1", "Amoxicillin")], &[strange], &[], &[])).await;
    not_checked(&found, "info", "penicillin");
    // A Medication that was not sent along costs the other orders nothing.
    let elsewhere = json!({"resourceType": "MedicationRequest", "id": "m2", "status": "draft", "intent": "order",
        "medicationReference": {"reference": "Medication/9"}});
    let orders = [draft("m1", "Amoxicillin"), elsewhere];
    let mut body = sign(&orders, &[penicillin()], &[], &[]);
    let found = cards(&server, SIGN, &body).await;
    not_checked(&found, "warning", "Medication/9");
    assert_eq!(found[0]["indicator"], "critical", "{found:?}");
    body["prefetch"]["drugs"] =
        json!({"resourceType": "Medication", "id": "9", "code": {"text": "Flucloxacillin"}});
    let found = cards(&server, SIGN, &body).await;
    assert!(found[0]["detail"].as_str().unwrap().contains("Flucloxacillin"), "{found:?}");
    // A refusal is no empty list, and a first page no whole one.
    let mut body = sign(&[draft("m1", "Amoxicillin")], &[], &[], &[]);
    body["prefetch"]["allergies"] =
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]});
    assert_eq!(call(&server, SIGN, &body).await.status(), 412);
    body["prefetch"]["allergies"] = found_page(&[penicillin()]);
    assert_eq!(call(&server, SIGN, &body).await.status(), 412);
    // What ends a drug is no order of it.
    let mut ended = draft("m1", "Amoxicillin");
    ended["status"] = json!("stopped");
    assert_eq!(cards(&server, SIGN, &sign(&[ended], &[penicillin()], &[], &[])).await, Vec::<Value>::new());
}

/// The first page of a search that has more.
fn found_page(resources: &[Value]) -> Value {
    let mut page = found(resources);
    page["link"] = json!([{"relation": "next", "url": "https://ehr.example.org/fhir?page=2"}]);
    page
}

#[tokio::test]
async fn what_was_fetched_for_the_person_is_never_passed_over() {
    let server = demo();
    let order = |allergy: Value| sign(&[draft("m1", "Amoxicillin")], &[allergy], &[], &[]);
    let of = |patient: Value| {
        let mut allergy = allergy("91936005", "Allergy to penicillin");
        allergy["patient"] = patient;
        allergy
    };
    for patient in [
        json!({"reference": "https://ehr.example.org/fhir/Patient/p"}),
        json!({"reference": "urn:uuid:7"}),
        json!({"display": "Jane"}),
        Value::Null,
    ] {
        assert_eq!(cards(&server, SIGN, &order(of(patient.clone()))).await.len(), 1, "{patient}");
    }
    // Another person's allergy is not this person's, and nobody may believe that this one's was looked at.
    let other = cards(&server, SIGN, &order(of(json!({"reference": "Patient/q"})))).await;
    assert_eq!((other.len(), &other[0]["indicator"]), (1, &json!("warning")), "{other:?}");
    assert!(other[0]["detail"].as_str().unwrap().contains("Patient/q"), "{other:?}");
    // CDS Hooks' own examples: a Bundle without a type, a Patient without an id.
    let mut body = order(of(json!({"reference": "Patient/p"})));
    body["context"]["draftOrders"].as_object_mut().unwrap().remove("type");
    body["prefetch"]["patient"].as_object_mut().unwrap().remove("id");
    assert_eq!(cards(&server, SIGN, &body).await.len(), 1);
}

#[tokio::test]
async fn only_what_was_selected_is_checked() {
    let server = demo();
    let mut body = sign(
        &[draft("m1", "Amoxicillin"), draft("m2", "Paracetamol")],
        &[allergy("91936005", "Allergy to penicillin")],
        &[],
        &[],
    );
    body["hook"] = json!("order-select");
    body["context"]["selections"] = json!(["MedicationRequest/m2"]);
    assert_eq!(cards(&server, SELECT, &body).await, Vec::<Value>::new());
    body["context"]["selections"] = json!(["MedicationRequest/m1"]);
    assert_eq!(cards(&server, SELECT, &body).await.len(), 1);
    // An order that somebody has begun and that has no drug yet is not held against the others; to be signed it is.
    let begun = &mut body["context"]["draftOrders"]["entry"][1]["resource"];
    begun.as_object_mut().unwrap().remove("medicationCodeableConcept");
    assert_eq!(cards(&server, SELECT, &body).await.len(), 1);
    body["context"]["selections"] = json!(["MedicationRequest/m2"]);
    assert_eq!(cards(&server, SELECT, &body).await, Vec::<Value>::new());
    body["hook"] = json!("order-sign");
    assert_eq!(call(&server, SIGN, &body).await.status(), 400);
}

#[tokio::test]
async fn what_is_needed_is_prefetched_or_stored() {
    for database in [None, cluster::database().await] {
        let models = tempfile::tempdir().unwrap();
        let server = match &database {
            Some(database) => Server::start_over(&database.url, models.path(), &["--demo"]),
            None => demo(),
        };
        let mut body = sign(&[draft("m1", "Amoxicillin")], &[], &[], &[]);
        body.as_object_mut().unwrap().remove("prefetch");
        let response = call(&server, SIGN, &body).await;
        assert_eq!(response.status(), 412);
        let problem: Value = response.json().await.unwrap();
        assert!(
            problem["detail"].as_str().unwrap().contains("allergies, conditions, medications"),
            "{problem}"
        );
        let profile = json!({"profile": {"allergies": ["penicillin"], "medications": [], "conditions": []}});
        let put = Client::new().put(server.at("/v1/users/p")).json(&profile);
        assert_eq!(put.send().await.unwrap().status(), 200);
        assert_eq!(cards(&server, SIGN, &body).await[0]["indicator"], "critical");
        // What is prefetched corrects what an earlier record said.
        body["prefetch"] =
            json!({"patient": null, "allergies": found(&[allergy("91934008", "Allergy to nut")])});
        assert_eq!(
            cards(&server, SIGN, &body).await[0]["indicator"],
            "critical",
            "what was written by hand stays"
        );
    }
}

#[tokio::test]
async fn a_call_has_a_bounded_number_of_orders_and_its_cards_of_lines() {
    let server = demo();
    let drafts = |count: usize, drug: &str| -> Vec<Value> {
        (0..count).map(|n| draft(&format!("m{n}"), &format!("{drug} {n}"))).collect()
    };
    let body = sign(&drafts(101, "amoxicillin"), &[], &[], &[]);
    let response = call(&server, SIGN, &body).await;
    assert_eq!(response.status(), 400);
    let problem: Value = response.json().await.unwrap();
    assert!(problem.to_string().contains("more than 100 orders"), "{problem}");
    for drug in ["amoxicillin", "zorbamycin"] {
        let body = sign(&drafts(100, drug), &[allergy("91936005", "Allergy to penicillin")], &[], &[]);
        let all = Value::from(cards(&server, SIGN, &body).await).to_string();
        assert!(all.contains("and ") && all.contains(" more") && all.len() < 1 << 20, "{}", all.len());
    }
}

#[tokio::test]
async fn bad_requests_are_refused_by_their_place() {
    let server = demo();
    let good = sign(&[draft("m1", "Amoxicillin")], &[], &[], &[]);
    let without = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, place) in [
        (json!({"hook": "order-sign"}), "/hookInstance"),
        (without("/hook", json!("patient-view")), "/hook"),
        (without("/hookInstance", json!("")), "/hookInstance"),
        (without("/context", json!(null)), "/context"),
        (without("/context/patientId", json!("")), "/context/patientId"),
        (without("/context/draftOrders", json!(null)), "/context/draftOrders"),
        (
            without("/context/draftOrders/entry/0/resource/medicationCodeableConcept", json!({})),
            "/context/draftOrders",
        ),
        (
            without("/prefetch/allergies", json!({"resourceType": "AllergyIntolerance", "substance": {}})),
            "/prefetch/allergies",
        ),
    ] {
        let response = call(&server, SIGN, &body).await;
        let status = response.status().as_u16();
        let problem: Value = response.json().await.unwrap();
        assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (400, Some(place)), "{problem}");
    }
    assert_eq!(call(&server, SIGN, &json!([])).await.status(), 400);
    assert_eq!(call(&server, "another", &good).await.status(), 404);
}

#[tokio::test]
async fn feedback_stands_in_the_audit_beside_the_card() {
    let models = tempfile::tempdir().unwrap();
    let keys = [api_key("ehr", "recommend", "ehr-key"), api_key("boss", "admin", "boss-key")].join(",");
    let server = Server::start(models.path(), &["--demo", "--api-keys", &keys]);
    let post = |path: String, body: Value| {
        Client::new().post(server.at(&path)).bearer_auth("ehr-key").json(&body).send()
    };
    let order =
        sign(&[draft("m1", "Amoxicillin")], &[allergy("91936005", "Allergy to penicillin")], &[], &[]);
    assert_eq!(call(&server, SIGN, &order).await.status(), 401);
    let answer: Value = post(format!("/cds-services/{SIGN}"), order).await.unwrap().json().await.unwrap();
    let card = answer["cards"][0]["uuid"].as_str().unwrap();
    let told = json!({"feedback": [{"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-03-01T09:30:00Z",
        "overrideReason": {"reason": {"code": "benefit-outweighs-risk", "system": "urn:medserve:override-reason"},
            "userComment": "Mrs Doe insists"}}]});
    let path = format!("/cds-services/{SIGN}/feedback");
    assert_eq!(post(path.clone(), told).await.unwrap().status(), 200);
    let wrong = json!({"feedback": [{"card": "x y", "outcome": "accepted"}]});
    assert_eq!(post(path.clone(), wrong).await.unwrap().status(), 422);
    assert_eq!(
        post(path, json!({"feedback": [{"card": card, "outcome": "ignored"}]})).await.unwrap().status(),
        422
    );
    let audit = || async {
        let request = Client::new().get(server.at("/v1/audit")).bearer_auth("boss-key");
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let mut page = audit().await;
    for _ in 0..100 {
        if page.to_string().contains("overridden") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        page = audit().await;
    }
    let answers: Vec<&Value> =
        page["rows"].as_array().unwrap().iter().flat_map(|row| row["answers"].as_array().unwrap()).collect();
    assert!(answers.contains(&&json!(format!("critical {card}"))), "{page}");
    assert!(answers.contains(&&json!(format!("overridden {card} benefit-outweighs-risk"))), "{page}");
    // The decision has it beside the card; the row of the feedback is another.
    let row = |words: &str| {
        let rows = page["rows"].as_array().unwrap();
        let found = rows.iter().find(|row| row["answers"].to_string().contains(words)).unwrap();
        (found["number"].as_i64().unwrap(), found["people"].clone())
    };
    let ((number, people), (told, _)) = (row("critical"), row("overridden"));
    let decision = async |number: i64| {
        let request = Client::new().get(server.at(&format!("/v1/audit/{number}"))).bearer_auth("boss-key");
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let whole = decision(number).await;
    assert_eq!((&whole["number"], &whole["people"]), (&json!(number), &people));
    let feedback = whole["feedback"].as_array().unwrap();
    assert_eq!(feedback.len(), 1, "{whole}");
    assert_eq!((&feedback[0]["number"], &feedback[0]["caller"]), (&json!(told), &json!("key:ehr")));
    assert_eq!(feedback[0]["outcome"], format!("overridden {card} benefit-outweighs-risk"));
    assert_eq!(decision(told).await["feedback"], json!([]));
    assert!(!page.to_string().contains("Doe"), "{page}");
}

fn token(claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT", "kid": "ehr"})), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}

#[tokio::test]
async fn a_client_shows_who_it_is_by_its_token_and_may_call_nothing_else() {
    const SECRET: &[u8] = b"a secret of thirty-two bytes or more, shared";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let jwk = json!({"kty": "oct", "kid": "ehr", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    std::fs::write(&file, json!({"keys": [jwk]}).to_string()).unwrap();
    let server = Server::start(
        folder.path(),
        &[
            "--demo",
            "--jwt-keys",
            file.to_str().unwrap(),
            "--jwt-issuer",
            "https://ehr.example.org",
            "--jwt-audience",
            "https://medserve.example.org",
        ],
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"iss": "https://ehr.example.org", "jti": "1", "iat": now, "exp": now + 300,
        "aud": format!("https://medserve.example.org/cds-services/{SIGN}")});
    let changed = |member: &str, value: Value| {
        let mut claims = claims.clone();
        claims[member] = value;
        token(&claims, SECRET)
    };
    let body = sign(&[draft("m1", "Paracetamol")], &[], &[], &[]);
    let unsigned = {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims))
    };
    for (bearer, status) in [
        (token(&claims, SECRET), 200),
        (changed("aud", json!("https://medserve.example.org")), 200),
        (changed("aud", json!("https://medserve.example.org/cds-services")), 200),
        // A token for one service opens no other.
        (changed("aud", json!(format!("https://medserve.example.org/cds-services/{SELECT}"))), 401),
        (changed("aud", json!(format!("https://medserve.example.org/cds-services/{SIGN}/feedback"))), 401),
        (changed("exp", json!(now as f64 + 300.5)), 200),
        (changed("exp", json!(now - 3600)), 401),
        (changed("iss", json!("https://somebody.example.org")), 401),
        (changed("aud", json!("https://elsewhere.example.org")), 401),
        (changed("jti", Value::Null), 401),
        (changed("iat", Value::Null), 401),
        (token(&claims, b"another secret of thirty-two bytes or so"), 401),
        (unsigned, 401),
    ] {
        let request =
            Client::new().post(server.at(&format!("/cds-services/{SIGN}"))).bearer_auth(bearer).json(&body);
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let whole = changed("aud", json!("https://medserve.example.org"));
    for elsewhere in [
        "/v1/users/p/recommendations?kind=drug",
        "/v1/items",
        "/v1/models",
        "/v1/models/triage",
        "/v1/models/triage/card.json",
        "/v2",
        "/v2/models/triage",
    ] {
        let request = Client::new().get(server.at(elsewhere)).bearer_auth(&whole);
        assert_eq!(request.send().await.unwrap().status(), 403, "{elsewhere}");
    }
}

#[tokio::test]
async fn a_page_of_a_configured_origin_may_call() {
    let models = tempfile::tempdir().unwrap();
    let server = Server::start(models.path(), &["--cors-origins", "https://sandbox.cds-hooks.org"]);
    let preflight = |origin: &'static str| {
        Client::new()
            .request(reqwest::Method::OPTIONS, server.at(&format!("/cds-services/{SIGN}")))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,authorization")
            .send()
    };
    let allowed = preflight("https://sandbox.cds-hooks.org").await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://sandbox.cds-hooks.org");
    let headers = allowed.headers()["access-control-allow-headers"].to_str().unwrap().to_string();
    assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
    let other = preflight("https://elsewhere.example.org").await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));
}
