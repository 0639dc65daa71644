//! Feedback to cards of CDS Hooks that becomes interactions, black box, on both stores.

use crate::support::{Server, api_key, postgres as cluster, until};
use reqwest::Client;
use serde_json::{Value, json};

const SIGN: &str = "/cds-services/medserve-order-sign";
const FEEDBACK: &str = "/cds-services/medserve-order-sign/feedback";
const BOSS: &str = "key-of-the-administrator";
const NORTH: &str = "key-of-the-north";

async fn send(server: &Server, key: &str, method: reqwest::Method, path: &str, body: &Value) -> Value {
    let request = Client::new().request(method, server.at(path)).bearer_auth(key);
    let request = if body.is_null() { request } else { request.json(body) };
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

async fn post(server: &Server, key: &str, path: &str, body: &Value) -> Value {
    send(server, key, reqwest::Method::POST, path, body).await
}

async fn get(server: &Server, key: &str, path: &str) -> Value {
    send(server, key, reqwest::Method::GET, path, &Value::Null).await
}

async fn put_person(server: &Server, key: &str, id: &str) {
    let profile = json!({"profile": {"birth_year": 1950, "sex": "male", "allergies": ["penicillin"],
        "conditions": ["pneumonia", "sinusitis"], "medications": [], "pregnant": false}});
    send(server, key, reqwest::Method::PUT, &format!("/v1/users/{id}"), &profile).await;
}

/// A draft order of a drug that this person is allergic to.
async fn order(server: &Server, key: &str, id: &str) -> Value {
    let body = json!({"hook": "order-sign", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/7", "patientId": id, "draftOrders": {"resourceType": "Bundle",
            "type": "collection", "entry": [{"resource": {"resourceType": "MedicationRequest", "id": "m1",
                "status": "draft", "intent": "order", "subject": {"reference": format!("Patient/{id}")},
                "medicationCodeableConcept": {"text": "Amoxicillin"}}}]}}});
    let answer = post(server, key, SIGN, &body).await;
    let cards = answer["cards"].as_array().unwrap();
    assert_eq!(cards.len(), 1, "{answer}");
    cards[0].clone()
}

/// The suggestion of a card that orders a drug, and the drug.
fn suggested(card: &Value) -> (String, String) {
    let suggestions = card["suggestions"].as_array().unwrap();
    let orders = |suggestion: &&Value| suggestion["actions"][0]["type"] == "create";
    let first = suggestions.iter().find(orders).unwrap();
    let drug = &first["actions"][0]["resource"]["medicationCodeableConcept"]["text"];
    (first["uuid"].as_str().unwrap().to_string(), drug.as_str().unwrap().to_string())
}

fn accepted(card: &Value, suggestion: &str) -> Value {
    json!({"feedback": [{"card": card["uuid"], "outcome": "accepted", "acceptedSuggestions": [{"id": suggestion}],
        "outcomeTimestamp": "2026-03-01T09:30:00Z"}]})
}

fn overridden(card: &Value) -> Value {
    json!({"feedback": [{"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-03-01T09:30:00Z",
        "overrideReason": {"reason": {"code": "tolerated-before", "system": "urn:medserve:override-reason"}}}]})
}

/// What happened with drugs: event, item, weight.
async fn happened(server: &Server, key: &str, id: &str) -> Vec<(String, String, f64)> {
    let list = get(server, key, &format!("/v1/users/{id}/interactions?kind=drug")).await;
    let one = |own: &Value| {
        let text = |member: &str| own[member].as_str().unwrap().to_string();
        (text("event"), text("item_id"), own["weight"].as_f64().unwrap())
    };
    list["interactions"].as_array().unwrap().iter().map(one).collect()
}

fn keys() -> String {
    [api_key("boss", "admin", BOSS), api_key("north", "admin@north", NORTH)].join(",")
}

const BOTH: [&str; 4] = ["--cds-accepted-weight", "2", "--cds-overridden-weight", "0.5"];

async fn start(database: Option<&cluster::TestDatabase>, more: &[&str]) -> Server {
    let keys = keys();
    let arguments =
        [&["--demo", "--audit", "fail", "--tenants", "north", "--api-keys", &keys][..], more].concat();
    let models = tempfile::tempdir().unwrap();
    match database {
        Some(database) => Server::start_over(&database.url, models.path(), &arguments),
        None => Server::start(models.path(), &arguments),
    }
}

#[tokio::test]
async fn what_was_accepted_or_overridden_becomes_an_interaction_once() {
    for database in [None, cluster::database().await] {
        let server = start(database.as_ref(), &BOTH).await;
        put_person(&server, BOSS, "p").await;
        let card = order(&server, BOSS, "p").await;
        let (suggestion, drug) = suggested(&card);
        for _ in 0..2 {
            post(&server, BOSS, FEEDBACK, &accepted(&card, &suggestion)).await;
        }
        let items = get(&server, BOSS, "/v1/items?kind=drug&limit=1000").await;
        let of = |name: &str| {
            let items = items["items"].as_array().unwrap();
            let found = items.iter().find(|item| {
                item["name"] == name || item["name"].as_str().unwrap().eq_ignore_ascii_case(name)
            });
            found.unwrap_or_else(|| panic!("{name}"))["item_id"].as_str().unwrap().to_string()
        };
        let taken = ("accepted".to_string(), of(&drug), 2.0);
        assert_eq!(happened(&server, BOSS, "p").await, std::slice::from_ref(&taken));
        // The next read counts it: the person has the drug.
        let path = "/v1/users/p/recommendations?kind=drug&limit=1000";
        let named = get(&server, BOSS, path).await;
        let ids = named["items"].as_array().unwrap().iter().map(|item| item["item_id"].as_str().unwrap());
        assert!(!ids.collect::<Vec<_>>().contains(&taken.1.as_str()), "{named}");
        // Of an override, the drug that was ordered all the same.
        let card = order(&server, BOSS, "p").await;
        for _ in 0..2 {
            post(&server, BOSS, FEEDBACK, &overridden(&card)).await;
        }
        let mut all = happened(&server, BOSS, "p").await;
        all.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(all, [taken, ("overridden".to_string(), of("amoxicillin"), 0.5)]);
        // The rows of the feedback name the person.
        let about = get(&server, BOSS, "/v1/audit?user=p").await;
        let told = about["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["route"] == "/cds-services/{id}/feedback");
        assert_eq!(told.count(), 4, "{about}");
        // Who removes an order orders nothing; a suggestion that nobody made is none.
        let card = order(&server, BOSS, "p").await;
        let removal =
            card["suggestions"].as_array().unwrap().iter().find(|own| own["actions"][0]["type"] == "delete");
        post(&server, BOSS, FEEDBACK, &accepted(&card, removal.unwrap()["uuid"].as_str().unwrap())).await;
        post(&server, BOSS, FEEDBACK, &accepted(&card, "00000000-0000-4000-8000-000000000000")).await;
        assert_eq!(happened(&server, BOSS, "p").await.len(), 2);
        // Nothing is left of somebody who was erased, and feedback that comes later makes nobody.
        let (suggestion, _) = suggested(&card);
        send(&server, BOSS, reqwest::Method::DELETE, "/v1/users/p", &Value::Null).await;
        post(&server, BOSS, FEEDBACK, &accepted(&card, &suggestion)).await;
        let gone = Client::new().get(server.at("/v1/users/p")).bearer_auth(BOSS).send().await.unwrap();
        assert_eq!(gone.status(), 404);
        put_person(&server, BOSS, "p").await;
        post(&server, BOSS, FEEDBACK, &accepted(&card, &suggestion)).await;
        assert_eq!(happened(&server, BOSS, "p").await, []);
    }
}

#[tokio::test]
async fn a_tenants_feedback_is_its_own() {
    for database in [None, cluster::database().await] {
        let server = start(database.as_ref(), &BOTH).await;
        put_person(&server, BOSS, "p").await;
        put_person(&server, NORTH, "p").await;
        let card = order(&server, BOSS, "p").await;
        let (suggestion, _) = suggested(&card);
        post(&server, NORTH, FEEDBACK, &accepted(&card, &suggestion)).await;
        assert_eq!(
            (happened(&server, BOSS, "p").await, happened(&server, NORTH, "p").await),
            (vec![], vec![])
        );
        post(&server, BOSS, FEEDBACK, &accepted(&card, &suggestion)).await;
        assert_eq!(happened(&server, BOSS, "p").await.len(), 1);
        assert_eq!(happened(&server, NORTH, "p").await, []);
    }
}

#[tokio::test]
async fn a_decision_has_all_that_was_done_with_its_card() {
    let server = start(None, &[]).await;
    put_person(&server, BOSS, "p").await;
    let card = order(&server, BOSS, "p").await;
    let (suggestion, _) = suggested(&card);
    let mut both = accepted(&card, &suggestion);
    both["feedback"].as_array_mut().unwrap().push(overridden(&card)["feedback"][0].clone());
    both["feedback"][1]["acceptedSuggestions"] = Value::Null;
    post(&server, BOSS, FEEDBACK, &both).await;
    let id = card["uuid"].as_str().unwrap();
    let mut large = overridden(&card);
    large["feedback"][0]["card"] = json!(id.to_uppercase());
    large["feedback"][0]["overrideReason"] = json!({"reason": {"code": "Mr. Miller said so"}});
    post(&server, BOSS, FEEDBACK, &large).await;
    let page = get(&server, BOSS, "/v1/audit").await;
    assert!(!page.to_string().contains("Miller"), "{page}");
    let rows = page["rows"].as_array().unwrap();
    let call = rows.iter().find(|row| row["route"] == "/cds-services/{id}").unwrap();
    let whole = get(&server, BOSS, &format!("/v1/audit/{}", call["number"])).await;
    let told: Vec<&str> =
        whole["feedback"].as_array().unwrap().iter().map(|own| own["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            format!("accepted {id} {suggestion}"),
            format!("overridden {id} tolerated-before"),
            format!("overridden {id} other"),
        ]
    );
}

#[tokio::test]
async fn without_a_weight_feedback_goes_to_the_audit_alone() {
    let server = start(None, &["--cds-accepted-weight", "1"]).await;
    put_person(&server, BOSS, "p").await;
    let card = order(&server, BOSS, "p").await;
    post(&server, BOSS, FEEDBACK, &overridden(&card)).await;
    assert_eq!(happened(&server, BOSS, "p").await, []);
    let off = start(None, &[]).await;
    put_person(&off, BOSS, "p").await;
    let card = order(&off, BOSS, "p").await;
    post(&off, BOSS, FEEDBACK, &accepted(&card, &suggested(&card).0)).await;
    assert_eq!(happened(&off, BOSS, "p").await, []);
    let number = until("the row", async || {
        let page = get(&off, BOSS, "/v1/audit").await;
        let rows = page["rows"].as_array().unwrap();
        let found = rows.iter().find(|row| row["route"] == "/cds-services/{id}")?;
        found["number"].as_i64()
    })
    .await;
    // The decision says by which rules the card spoke, and what was done with it.
    let whole = get(&off, BOSS, &format!("/v1/audit/{number}")).await;
    let kept = &whole["evidence"]["cards"][0];
    assert_eq!(
        (&kept["card"], &kept["indicator"], &kept["orders"]),
        (&card["uuid"], &json!("critical"), &json!(1))
    );
    assert!(kept["rules"].as_array().unwrap().contains(&json!("allergy")), "{whole}");
    assert_eq!(whole["feedback"].as_array().unwrap().len(), 1, "{whole}");
}

/// Who overrode a card about somebody is asked of the audit by that person, whether or not the feedback becomes an interaction.
async fn named(database: Option<&cluster::TestDatabase>) {
    let server = start(database, &["--audit-people", "id"]).await;
    put_person(&server, BOSS, "p").await;
    put_person(&server, BOSS, "q").await;
    let (of_p, of_q) = (order(&server, BOSS, "p").await, order(&server, BOSS, "q").await);
    let strange = json!({"uuid": "4e0a3a1e-3283-4575-ab82-028d55fe2719"});
    // A word that stands in every such row, and is no card.
    let word = json!({"uuid": "critical"});
    post(&server, BOSS, FEEDBACK, &overridden(&of_p)).await;
    for card in [&strange, &word] {
        post(&server, BOSS, FEEDBACK, &overridden(card)).await;
    }
    let mut both = overridden(&of_q);
    both["feedback"].as_array_mut().unwrap().push(overridden(&of_p)["feedback"][0].clone());
    post(&server, BOSS, FEEDBACK, &both).await;
    let page = get(&server, BOSS, "/v1/audit").await;
    let rows = page["rows"].as_array().unwrap().iter();
    let told =
        rows.filter(|row| row["route"] == "/cds-services/{id}/feedback").map(|row| row["people"].clone());
    assert_eq!(told.collect::<Vec<_>>(), [json!(["p", "q"]), json!([]), json!([]), json!(["p"])]);
    let of_q = get(&server, BOSS, "/v1/audit?user=q").await;
    assert!(of_q.to_string().contains("feedback"), "{of_q}");
}

#[tokio::test]
async fn feedback_names_in_the_audit_whose_card_it_is_about() {
    named(None).await;
    if let Some(database) = cluster::database().await {
        named(Some(&database)).await;
    }
}
