//! Drugs that came with somebody's record: what holds for them, and what they do not make known.

use serde_json::json;

use super::fake_store::item;
use super::safety::{ask, ask_with, drug, excluded, ids, with};
use crate::data::{Item, Kind};
use crate::filters::Unmatched;
use crate::settings::Settings;

/// A drug that came with somebody's record: nothing is said of it but its name.
fn imported(name: &str) -> Item {
    let mut item = Item { name: name.to_owned(), ..item(name, Kind::Drug) };
    item.set_imported("fhir");
    item
}

#[test]
fn what_came_with_a_record_has_the_rules_of_its_substance() {
    let of = |rules: serde_json::Value, asked: serde_json::Value| {
        let catalogued = Item { name: "isotretinoin".to_owned(), ..drug("isotretinoin", rules) };
        let answer = ask(with(asked), vec![catalogued, imported("Isotretinoin 20 mg capsule")]);
        let reason = |id: &str| excluded(&answer).iter().find(|e| e.0 == id).map(|e| e.1.to_owned());
        assert_eq!(reason("isotretinoin"), reason("Isotretinoin 20 mg capsule"));
        reason("Isotretinoin 20 mg capsule")
    };
    let pregnant = || json!({"pregnant": true});
    assert_eq!(of(json!({"pregnancy": true}), pregnant()).as_deref(), Some("pregnancy"));
    let young = || json!({"birth_year": 2020});
    assert_eq!(of(json!({"min_age": 12}), young()).as_deref(), Some("age: under 12"));
    assert_eq!(of(json!({"sex": "male"}), json!({})).as_deref(), Some("sex: for male only"));
    let acne = || json!({"indications": ["acne"]});
    assert_eq!(of(acne(), json!({})).as_deref(), Some("indication: none recorded of acne"));
    let rule = json!({"rules": [{"about": "condition", "code": "depression", "severity": "serious"}]});
    let depressed = || json!({"conditions": ["depression"]});
    assert_eq!(of(rule, depressed()).as_deref(), Some("condition: depression"));
    let interacts = || json!({"interacts_with": ["tetracycline"]});
    let taking = || json!({"medications": ["doxycycline"]});
    assert_eq!(of(interacts(), taking()).as_deref(), Some("interaction: doxycycline"));
}

#[test]
fn a_combination_has_the_rules_of_its_parts_and_a_part_none_of_the_combination() {
    let named = |name: &str, rules| Item { name: name.to_owned(), ..drug(name, rules) };
    let drugs = vec![
        named("lisinopril", json!({"pregnancy": true})),
        named("amoxicillin/clavulanate", json!({"conditions": ["jaundice"]})),
        named("amoxicillin", json!({"allergies": ["penicillin"]})),
        imported("Lisinopril 10 MG / Hydrochlorothiazide 12.5 MG Oral Tablet"),
        imported("Amoxicillin 250 MG Oral Capsule"),
    ];
    let answer = ask(with(json!({"pregnant": true, "conditions": ["jaundice"]})), drugs);
    let out = excluded(&answer);
    let combination = "Lisinopril 10 MG / Hydrochlorothiazide 12.5 MG Oral Tablet";
    assert!(out.contains(&(combination, "pregnancy")), "{out:?}");
    assert!(!out.contains(&("Amoxicillin 250 MG Oral Capsule", "condition: jaundice")), "{out:?}");
}

#[test]
fn that_a_record_named_a_drug_does_not_make_it_understood() {
    let drugs = || vec![imported("Zorbamycin 5 mg tablet"), drug("x", json!({}))];
    let answer = ask(with(json!({})), drugs());
    assert_eq!(ids(&answer), ["x"]);
    let said = "item: \"Zorbamycin 5 mg tablet\" is not understood";
    assert_eq!(excluded(&answer), [("Zorbamycin 5 mg tablet", said)]);
    for list in ["medications", "allergies"] {
        let answer = ask(with(json!({list: ["Zorbamycin 5 mg tablet"]})), drugs());
        let said = format!("{list}: \"Zorbamycin 5 mg tablet\" is not understood");
        assert_eq!(answer.abstained, Some(said));
    }
    // Nor that it is safe: no rule says anything of these.
    for name in ["Phenytoin 100 mg capsule", "Statin"] {
        let answer = ask(with(json!({})), vec![imported(name), drug("x", json!({}))]);
        assert_eq!(ids(&answer), ["x"], "{name}");
        assert_eq!(answer.excluded.len(), 1);
    }
    // What the hospital itself has described is what it says.
    let mut described = imported("Zorbamycin 5 mg tablet");
    described.attributes.clear();
    let answer = ask(with(json!({"medications": ["Zorbamycin 5 mg tablet"]})), vec![described]);
    assert_eq!(answer.abstained, None);
    let flag = Settings { unmatched: Unmatched::Flag, ..Settings::default() };
    assert_eq!(ids(&ask_with(with(json!({})), drugs(), flag)), ["Zorbamycin 5 mg tablet", "x"]);
}
