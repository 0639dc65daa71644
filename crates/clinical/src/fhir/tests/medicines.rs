//! Medicines of a record: what is in them, and whether they are taken. Conditions: whether they are over.

use std::collections::HashMap;

use recommend::{Field, Meaning, Terminology};
use serde_json::{Value, json};

use super::{NOW, ann, bundle, profile, settle};
use crate::fhir::bundle::medication;
use crate::fhir::{Bundle, Found, map_with, medications_elsewhere};

fn of(kind: &str, members: Value) -> Value {
    let mut resource = json!({"resourceType": kind, "id": "m", "subject": {"reference": "Patient/ann"},
        "medicationCodeableConcept": {"text": "warfarin"}, "authoredOn": "2020-05-01"});
    resource.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    resource
}

#[test]
fn what_does_not_surely_mean_not_taken_is_taken_and_told() {
    let taken = |kind: &str, members: Value| {
        let settled = settle("transaction", &[ann(), of(kind, members)]).unwrap();
        let taken = profile(&settled).medications.is_some();
        (taken, settled.outcomes[1].notes.iter().filter(|(code, _)| *code == "value").count())
    };
    for (member, value, noted) in [
        ("status", "Active", 0),
        ("status", "in-progress", 1),
        ("status", "taking", 1),
        ("status", "ended", 1),
        ("intent", "Order", 0),
        ("intent", "directive", 1),
        ("intent", "plan", 0),
    ] {
        assert_eq!(taken("MedicationRequest", json!({member: value})), (true, noted), "{value}");
    }
    for status in ["Intended", "taking", "recorded"] {
        assert!(taken("MedicationStatement", json!({"status": status})).0, "{status}");
    }
    for (kind, member, value) in [
        ("MedicationRequest", "status", "stopped"),
        ("MedicationRequest", "status", "Completed"),
        ("MedicationRequest", "status", "cancelled"),
        ("MedicationRequest", "intent", "proposal"),
        ("MedicationRequest", "intent", "option"),
        ("MedicationStatement", "status", "not-taken"),
        ("MedicationStatement", "status", "stopped"),
    ] {
        assert_eq!(taken(kind, json!({member: value})), (false, 0), "{value}");
    }
    // Handing out says that it happened, whatever its status is called.
    let handed = json!({"status": "done", "whenHandedOver": "2020-05-01"});
    assert_eq!(
        settle("transaction", &[ann(), of("MedicationDispense", handed)]).unwrap().interactions.len(),
        1
    );
}

#[test]
fn what_is_in_a_medication_counts_wherever_it_lies() {
    let substance = json!({"resourceType": "Substance", "id": "s", "code": {"text": "warfarin"}});
    let drug = |reference: &str, contained: &[Value]| {
        json!({"resourceType": "Medication", "id": "d", "code": {"text": "aspirin"}, "contained": contained,
            "ingredient": [{"itemReference": {"reference": reference}}]})
    };
    let mut order = of("MedicationRequest", json!({"medicationReference": {"reference": "Medication/d"}}));
    order.as_object_mut().unwrap().remove("medicationCodeableConcept");
    let within = drug("#s", std::slice::from_ref(&substance));
    for entries in [vec![within.clone()], vec![drug("Substance/s", &[]), substance]] {
        let all: Vec<Value> = [ann(), order.clone()].into_iter().chain(entries).collect();
        let settled = settle("transaction", &all).unwrap();
        assert!(settled.items[0].also_called().contains(&"warfarin".to_owned()), "{:?}", settled.items);
        assert!(settled.outcomes.iter().all(|outcome| outcome.used));
    }
    // So does what is in one that came earlier, and an ingredient that is nowhere is told.
    let later = Bundle::read(&bundle("transaction", &[ann(), order.clone()])).unwrap();
    assert_eq!(medications_elsewhere(&later).into_iter().collect::<Vec<_>>(), ["Medication/d"]);
    let known = HashMap::from([("Medication/d".to_owned(), medication(&within.to_string()).unwrap())]);
    let settled = map_with(&later, NOW, &known).settle(&Found::default()).unwrap();
    assert!(settled.items[0].also_called().contains(&"warfarin".to_owned()), "{:?}", settled.items);
    let settled = settle("transaction", &[ann(), order, drug("Substance/9", &[])]).unwrap();
    assert!(settled.outcomes[1].notes.iter().any(|(_, note)| note.contains("ingredient")));
}

/// What an order's Medication, made of these, is understood as.
fn understood(code: Value, ingredients: &[Value], display: &str) -> (String, Meaning) {
    let concepts: Vec<Value> =
        ingredients.iter().map(|concept| json!({"itemCodeableConcept": concept})).collect();
    let mut order = of(
        "MedicationRequest",
        json!({"medicationReference": {"reference": "#d"},
        "contained": [{"resourceType": "Medication", "id": "d", "ingredient": concepts}]}),
    );
    order.as_object_mut().unwrap().remove("medicationCodeableConcept");
    order["contained"][0]["code"] = code;
    if !display.is_empty() {
        order["medicationReference"]["display"] = json!(display);
    }
    let settled = settle("transaction", &[ann(), order]).unwrap();
    let item = &settled.items[0];
    (item.name.clone(), Terminology::shared(&[]).understand_item(Field::Medication, item))
}

#[test]
fn a_medicine_is_understood_only_with_all_that_is_in_it() {
    let rxnorm = |code: &str| json!({"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code}]});
    let text = |words: &str| json!({"text": words});
    for (code, ingredients, display) in [
        (text("Ampicillin"), vec![text("ampicillin"), text("zorbacillin")], ""),
        (Value::Null, vec![text("ampicillin"), text("zorbacillin")], ""),
        (Value::Null, vec![text("ampicillin"), rxnorm("999999")], ""),
        (text("metformin"), vec![rxnorm("999999")], ""),
        (text("lansoprazole"), vec![], "Prevpac"),
        (json!({"text": "lansoprazole", "coding": [{"display": "Prevpac"}]}), vec![], ""),
    ] {
        let (name, meaning) = understood(code, &ingredients, display);
        assert!(!meaning.known && meaning.partly && !meaning.unclear.is_empty(), "{name}: {meaning:?}");
    }
    let mut coded = rxnorm("999998");
    coded["text"] = json!("ampicillin sodium");
    for (code, ingredients) in [
        (text("Ampicillin 500 mg"), vec![coded.clone()]),
        (rxnorm("999997"), vec![coded.clone(), text("metformin")]),
        (Value::Null, vec![coded, rxnorm("11289")]),
        (
            json!({"text": "metformin", "coding": [{"system": "urn:x", "code": "1"}, {"code": "MET5"}]}),
            vec![],
        ),
    ] {
        let (name, meaning) = understood(code, &ingredients, "");
        assert!(meaning.known, "{name}: {meaning:?}");
    }
    // What has no name of its own is not called after the first that is in it.
    let (name, _) = understood(Value::Null, &[text("lidocaine"), text("selegiline")], "");
    assert_eq!(name, "lidocaine / selegiline");
}

#[test]
fn every_word_and_every_substance_of_an_allergy_counts() {
    let of = |members: Value| {
        let mut allergy = json!({"resourceType": "AllergyIntolerance", "id": "a",
            "patient": {"reference": "Patient/ann"}, "code": {"text": "NSAID"}});
        allergy.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let profile = profile(&settle("transaction", &[ann(), allergy]).unwrap());
        let entry = profile.allergies.as_ref().unwrap()[0].clone();
        let recorded = &profile.recorded["allergies"][&entry];
        let terms = Terminology::shared(&[]);
        terms.understand_coded(Field::Allergy, &entry, &recorded.codes, &recorded.synonyms).known
    };
    assert!(of(json!({"reaction": [{"substance": {"text": "Ibuprofen"}}]})));
    assert!(of(json!({"code": {"text": "Penicillins", "coding": [
        {"system": "http://snomed.info/sct", "code": "1", "display": "Allergy to penicillin (finding)"}]}})));
    for members in [
        json!({"reaction": [{"substance": {"text": "Moxatag"}}]}),
        json!({"reaction": [{"substance": {"coding": [{"system": "urn:x", "code": "7"}]}}]}),
        json!({"code": {"text": "Ofirmev", "coding": [{"display": "penicillin"}]}}),
        json!({"code": {"text": "ibuprofen and Moxatag", "coding": [{"display": "Ibuprofen"}]}}),
    ] {
        assert!(!of(members.clone()), "{members}");
    }
}

#[test]
fn a_condition_that_is_expected_to_end_is_there_until_then() {
    let there = |members: Value| {
        let mut condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
            "code": {"text": "pregnancy"}});
        condition.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        profile(&settle("transaction", &[ann(), condition]).unwrap()).conditions.is_some()
    };
    for members in [
        json!({"abatementDateTime": "2030-01-01"}),
        json!({"abatementDateTime": "2030"}),
        json!({"abatementPeriod": {"start": "2025-01-01", "end": "2030-01-01"}}),
        json!({"abatementDateTime": "some day"}),
        json!({"abatementString": "last year"}),
    ] {
        assert!(there(members.clone()), "{members}");
    }
    for members in [
        json!({"abatementDateTime": "2025-01-01"}),
        json!({"abatementPeriod": {"start": "2025-01-01"}}),
        json!({"abatementString": "2025-01-01"}),
    ] {
        assert!(!there(members.clone()), "{members}");
    }
}

#[test]
fn a_text_that_was_cut_is_understood_in_no_list() {
    let terms = recommend::Terminology::shared(&[]);
    for (list, word) in [
        (recommend::Field::Allergy, "latex, "),
        (recommend::Field::Allergy, "penicillin; "),
        (recommend::Field::Condition, "asthma, "),
        (recommend::Field::Condition, "asthma; "),
        (recommend::Field::Medication, "warfarin / "),
        (recommend::Field::Medication, "warfarin, "),
    ] {
        let words = crate::fhir::resources::clean(&word.repeat(200));
        assert!(words.chars().count() <= 500, "{words}");
        assert!(!terms.understand(list, &words).known, "{words}");
    }
    let whole = "latex, ".repeat(71) + "egg";
    assert_eq!(crate::fhir::resources::clean(&whole), whole);
}
