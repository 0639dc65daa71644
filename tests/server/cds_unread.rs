//! CDS Hooks, black box: what a call holds that cannot be read, or that is of somebody else, brings a card.

use serde_json::{Value, json};

use crate::cds::{SELECT, SIGN, allergy, call, cards, demo, draft, found, sign, taken};

#[tokio::test]
async fn what_cannot_be_read_or_is_of_somebody_else_brings_a_card() {
    let server = demo();
    let penicillin = || allergy("91936005", "Allergy to penicillin");
    let indicators = async |body: &Value| -> Vec<String> {
        let found = cards(&server, SIGN, body).await;
        found.iter().map(|card| card["indicator"].as_str().unwrap().to_owned()).collect()
    };
    // An ingredient within the Medication that the order refers to.
    let order = json!({"resourceType": "MedicationRequest", "id": "m1", "status": "draft", "intent": "order",
        "medicationReference": {"reference": "Medication/1"}});
    let aspirin = json!({"resourceType": "Medication", "id": "1", "code": {"text": "aspirin"},
        "contained": [{"resourceType": "Substance", "id": "s", "code": {"text": "amoxicillin"}}],
        "ingredient": [{"itemReference": {"reference": "#s"}}]});
    let body = sign(&[order, aspirin], &[penicillin()], &[], &[]);
    assert!(indicators(&body).await.contains(&"critical".to_owned()));
    // Warfarin in whatever way it is taken, or called.
    let mut active = taken("w", "Warfarin");
    active["status"] = json!("taking");
    let mut given = taken("w", "Warfarin");
    given["resourceType"] = json!("MedicationAdministration");
    for record in [active, given, found(&[taken("w", "Warfarin")]), taken("m1", "Warfarin")] {
        let body = sign(&[draft("m1", "Ibuprofen")], &[], &[], std::slice::from_ref(&record));
        let cards_of = cards(&server, SIGN, &body).await;
        assert!(cards_of[0]["detail"].as_str().unwrap().contains("interaction: Warfarin"), "{record}");
    }
    // A draft for somebody else is not checked against this record, and somebody else's record not taken for this one.
    let mut strange = draft("m1", "Amoxicillin");
    strange["subject"]["reference"] = json!("Patient/q");
    assert_eq!(indicators(&sign(&[strange], &[penicillin()], &[], &[])).await, ["warning"]);
    let mut body = sign(&[draft("m1", "Paracetamol")], &[], &[], &[]);
    body["prefetch"]["patient"]["id"] = json!("q");
    assert_eq!(indicators(&body).await, ["warning"]);
    // A list with something that is not read is none.
    let observation = json!({"resourceType": "Observation", "id": "o", "status": "final"});
    let body = sign(&[draft("m1", "Amoxicillin")], &[observation], &[], &[]);
    assert_eq!(call(&server, SIGN, &body).await.status(), 412);
    // A selection that is none of the drafts.
    let mut body = sign(&[draft("m1", "Amoxicillin")], &[penicillin()], &[], &[]);
    body["hook"] = json!("order-select");
    body["context"]["selections"] = json!(["#m1"]);
    let found = cards(&server, SELECT, &body).await;
    assert!(found[0]["summary"].as_str().unwrap().contains("#m1"), "{found:?}");
}
