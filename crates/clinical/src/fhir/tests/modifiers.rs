//! What a resource says that has a modifier which nobody here understands: against drugs all of it, and nothing else.

use super::*;

/// A resource with a modifier extension, with one in a part of it, and with rules of its own.
fn modified(resource: &Value) -> Vec<Value> {
    let negated = json!([{"url": "http://e.org/statement-negated", "valueBoolean": true}]);
    let with = |member: &str, value: Value| {
        let mut resource = resource.clone();
        resource[member] = value;
        resource
    };
    vec![
        with("modifierExtension", negated.clone()),
        with("contained", json!([{"resourceType": "Basic", "modifierExtension": negated}])),
        with("implicitRules", json!("http://e.org/rules")),
    ]
}

fn told(settled: &Settled, entry: usize) -> bool {
    let notes = &settled.outcomes[entry].notes;
    notes.iter().any(|(code, note)| *code == "extension" && note.starts_with("not understood: "))
}

fn condition(code: Value, members: Value) -> Value {
    let mut condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"}, "code": code});
    condition.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    condition
}

fn taken(drug: &str, status: &str) -> Value {
    json!({"resourceType": "MedicationStatement", "id": "m", "status": status, "subject": {"reference": "Patient/ann"},
        "medicationCodeableConcept": {"text": drug}})
}

fn order(intent: &str, status: &str) -> Value {
    json!({"resourceType": "MedicationRequest", "id": "o", "status": status, "intent": intent, "subject": {"reference": "Patient/ann"},
        "medicationCodeableConcept": {"text": "warfarin"}})
}

#[test]
fn what_denies_with_a_modifier_says_nothing_and_takes_back_an_earlier_denial() {
    for denial in [
        allergy("a", snomed("716186003", "No known allergy"), "confirmed"),
        condition(snomed("160245001", "No current problems"), json!({})),
        taken("No current medications", "active"),
    ] {
        let lists = |known: &Profile| {
            [&known.allergies, &known.conditions, &known.medications].into_iter().flatten().count()
        };
        let plain = settle("transaction", &[ann(), denial.clone()]).unwrap();
        assert_eq!(lists(&profile(&plain)), 1, "{denial}");
        for modified in modified(&denial) {
            let settled = settle("transaction", &[ann(), modified.clone()]).unwrap();
            assert!(lists(&profile(&settled)) == 0 && told(&settled, 1), "{modified}");
            let mut known = profile(&plain);
            settled.people[0].apply(&mut known);
            assert_eq!(lists(&known), 0, "{modified}");
        }
    }
}

#[test]
fn what_ends_or_refutes_with_a_modifier_takes_nothing_back() {
    let text = |words: &str| json!({"text": words});
    let over = || json!({"clinicalStatus": {"coding": [{"code": "resolved"}]}});
    for (before, after) in [
        (allergy("a", text("Latex"), "confirmed"), allergy("a", text("Latex"), "refuted")),
        (allergy("a", text("Latex"), "confirmed"), allergy("a", text("Latex"), "entered-in-error")),
        (condition(text("asthma"), json!({})), condition(text("asthma"), over())),
        (
            condition(text("asthma"), json!({})),
            condition(text("asthma"), json!({"abatementDateTime": "2015"})),
        ),
        (
            condition(text("asthma"), json!({})),
            condition(text("asthma"), json!({"abatementAge": {"value": 30, "unit": "a"}})),
        ),
        (taken("warfarin", "active"), taken("warfarin", "stopped")),
        (taken("warfarin", "active"), taken("warfarin", "entered-in-error")),
        (order("order", "active"), order("order", "cancelled")),
        (order("order", "active"), order("proposal", "active")),
    ] {
        let first = settle("transaction", &[ann(), before.clone()]).unwrap();
        let mut known = profile(&first);
        let lists = known.clone();
        for modified in modified(&after) {
            let settled = settle("transaction", &[ann(), modified.clone()]).unwrap();
            assert!(told(&settled, 1), "{modified}");
            settled.people[0].apply(&mut known);
            assert_eq!(known, lists, "{modified}");
            // Nor as a newer version of the same Bundle.
            let both = settle("collection", &[ann(), before.clone(), modified.clone()]).unwrap();
            assert_eq!(profile(&both), lists, "{modified}");
        }
        // Without a modifier it does.
        settle("transaction", &[ann(), after]).unwrap().people[0].apply(&mut known);
        assert_ne!(known, lists, "{before}");
    }
    // Of a newer one that is understood the older ones do not stand.
    let said = |status: &str| allergy("a", text("Latex"), status);
    let doubtful = modified(&said("refuted")).remove(0);
    let three = settle("collection", &[ann(), said("confirmed"), doubtful.clone(), said("refuted")]).unwrap();
    assert_eq!(profile(&three).allergies, None);
    // A denial does not come back by an older version.
    let none = allergy("a", snomed("716186003", ""), "confirmed");
    let both = settle("collection", &[ann(), none, doubtful]).unwrap();
    assert_eq!(profile(&both).allergies, None);
}

#[test]
fn what_warns_counts_with_a_modifier_and_nothing_goes_for_it_but_a_denial() {
    let penicillin = allergy("a", json!({"text": "Penicillin"}), "confirmed");
    let latex = allergy("a", json!({"text": "Latex"}), "confirmed");
    for modified in modified(&latex) {
        let settled = settle("transaction", &[ann(), modified]).unwrap();
        assert!(told(&settled, 1));
        let mut known = profile(&settle("transaction", &[ann(), penicillin.clone()]).unwrap());
        settled.people[0].apply(&mut known);
        assert_eq!(known.allergies.as_deref().unwrap(), ["Penicillin", "Latex"]);
        let denial = allergy("a", snomed("716186003", ""), "confirmed");
        let mut known = profile(&settle("transaction", &[ann(), denial]).unwrap());
        settled.people[0].apply(&mut known);
        assert_eq!(known.allergies.as_deref().unwrap(), ["Latex"]);
        assert!(!known.recorded["allergies"].contains_key("none known"));
        // What is understood again is the last word.
        settle("transaction", &[ann(), latex.clone()]).unwrap().people[0].apply(&mut known);
        settle("transaction", &[ann(), allergy("a", json!({"text": "Latex"}), "refuted")]).unwrap().people[0]
            .apply(&mut known);
        assert_eq!(known.allergies, None);
    }
}

#[test]
fn of_a_patient_with_a_modifier_and_of_a_bundle_with_rules_nothing_is_denied() {
    let denial = allergy("a", snomed("716186003", ""), "confirmed");
    let mut known = profile(&settle("transaction", &[ann(), denial.clone()]).unwrap());
    for patient in modified(&ann()) {
        let settled = settle("transaction", &[patient.clone(), denial.clone()]).unwrap();
        assert!(told(&settled, 0) && settled.outcomes[1].notes.iter().any(|(code, _)| *code == "extension"));
        assert_eq!(profile(&settled).allergies, None, "{patient}");
        settled.people[0].apply(&mut known);
        assert_eq!(known.allergies, None);
    }
    for (member, place) in [("implicitRules", ""), ("modifierExtension", "/entry/1")] {
        let mut all: Value = serde_json::from_str(&bundle("transaction", &[ann(), denial.clone()])).unwrap();
        all.pointer_mut(place).unwrap()[member] = match place {
            "" => json!("http://e.org/rules"),
            _ => json!([{"url": "http://e.org/negated"}]),
        };
        let read = Bundle::read(&all.to_string()).unwrap();
        let settled = map(&read, NOW).settle(&Found::default()).unwrap();
        assert!(profile(&settled).allergies.is_none() && told(&settled, 1), "{member}");
    }
}

#[test]
fn a_visit_with_a_modifier_makes_none_and_a_deletion_with_one_deletes_nothing() {
    let vaccine = json!({"resourceType": "Immunization", "id": "i", "status": "completed", "patient": {"reference": "Patient/ann"},
        "occurrenceDateTime": "2020-05-01", "vaccineCode": {"text": "influenza vaccine"}});
    assert_eq!(settle("transaction", &[ann(), vaccine.clone()]).unwrap().interactions.len(), 1);
    for modified in modified(&vaccine) {
        let settled = settle("transaction", &[ann(), modified]).unwrap();
        assert!(settled.interactions.is_empty() && told(&settled, 1));
        assert_eq!(settled.outcomes[1].name, None, "what it made before stays");
    }
    let deleted = |members: Value| {
        let mut entry = json!({"request": {"method": "DELETE", "url": "AllergyIntolerance/a"}});
        entry.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let history =
            json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": ann()}, entry]});
        map(&Bundle::read(&history.to_string()).unwrap(), NOW).settle(&Found::default()).unwrap()
    };
    assert_eq!(deleted(json!({})).deleted.len(), 1);
    let modified = deleted(json!({"modifierExtension": [{"url": "http://e.org/negated"}]}));
    assert!(modified.deleted.is_empty() && told(&modified, 1));
    let line = json!({"resourceType": "Bundle", "type": "transaction", "implicitRules": "http://e.org/rules",
        "entry": [{"request": {"method": "DELETE", "url": "Patient/ann"}}]});
    let mut deletions = super::super::Deletions::default();
    deletions.read_lines(&line.to_string(), &["Patient".to_owned()]).unwrap();
    assert!(deletions.people.is_empty() && deletions.others.len() == 1);
}
