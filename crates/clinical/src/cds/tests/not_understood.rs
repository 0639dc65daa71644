//! Statuses and modifiers that are not understood: what warns counts, a denial does not, and both are told.

use super::*;

const TERMS: &str = "http://terminology.hl7.org/CodeSystem/";

#[test]
fn a_status_that_is_not_understood_ends_nothing_and_is_told() {
    let status = |system: &str, code: &str, other: &str| {
        json!({"coding": [{"system": format!("{TERMS}{system}"), "code": code},
            {"system": "http://ehr.example.org/reconciliation-status", "code": other}]})
    };
    let penicillin = |member: &str, status: Value| {
        let mut allergy = allergy("a", "penicillin");
        allergy[member] = status;
        read(&with("allergies", list(&[allergy])))
    };
    for (member, status) in [
        ("clinicalStatus", status("allergyintolerance-clinical", "active", "resolved")),
        ("clinicalStatus", status("allergyintolerance-clinical", "active", "inactive")),
        ("verificationStatus", status("allergyintolerance-verification", "confirmed", "refuted")),
    ] {
        let request = penicillin(member, status.clone());
        assert_eq!(profile(&request).allergies.unwrap(), ["penicillin"], "{status}");
        told(&request, member);
    }
    let condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
        "code": {"text": "Chronic kidney disease stage 4"},
        "clinicalStatus": status("condition-clinical", "active", "resolved")});
    let request = read(&with("conditions", list(&[condition])));
    assert_eq!(profile(&request).conditions.unwrap().len(), 1);
    told(&request, "clinicalStatus of the record's \"Condition/c\"");
    // What R4 ends is over, whatever a hospital calls it beside that, and there is nothing to tell.
    for (member, over) in [
        ("clinicalStatus", status("allergyintolerance-clinical", "resolved", "2")),
        ("verificationStatus", status("allergyintolerance-verification", "refuted", "9")),
    ] {
        let request = penicillin(member, over.clone());
        assert_eq!((profile(&request).allergies, request.unread.len()), (None, 0), "{over}");
    }
}

fn modified(mut resource: Value) -> Value {
    resource["modifierExtension"] = json!([{"url": "http://e.org/statement-negated", "valueBoolean": true}]);
    resource
}

#[test]
fn what_a_modifier_may_turn_round_counts_where_it_warns_and_is_told() {
    let none = json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]}});
    assert_eq!(
        profile(&read(&with("allergies", list(std::slice::from_ref(&none))))).allergies,
        Some(Vec::new())
    );
    let mut ruled = none.clone();
    ruled["implicitRules"] = json!("http://e.org/rules");
    for (denial, words) in
        [(modified(none.clone()), "modifier extension http://e.org"), (ruled, "implicitRules")]
    {
        let request = read(&with("allergies", list(&[denial])));
        assert_eq!(profile(&request).allergies, None);
        told(&request, words);
    }
    let mut refuted = allergy("a", "penicillin");
    refuted["verificationStatus"] = json!({"coding": [{"code": "refuted"}]});
    for (record, allergies) in [
        (vec![modified(allergy("a", "penicillin"))], Some(vec!["penicillin".to_owned()])),
        (vec![modified(refuted.clone())], None),
    ] {
        let request = read(&with("allergies", list(&record)));
        assert_eq!(profile(&request).allergies, allergies, "{record:?}");
        told(&request, "AllergyIntolerance/a");
    }
    // What is stored of it stays, under whatever address it was stored.
    for name in ["AllergyIntolerance/a", "AllergyIntolerance/a@ehr.example.org/fhir"] {
        let mut stored = profile(&read(&with("allergies", list(&[allergy("a", "penicillin")]))));
        let known = stored.recorded.get_mut("allergies").unwrap().get_mut("penicillin").unwrap();
        known.resources = vec![name.to_owned()];
        let request = read(&with("allergies", list(&[modified(refuted.clone())])));
        let said = request.said(NOW, &Default::default()).unwrap();
        assert_eq!(request.profile(Some(stored), said).allergies.unwrap(), ["penicillin"], "{name}");
    }
    // The Patient's own, and an empty list by rules that nobody knows.
    let mut body = with("allergies", list(&[none]));
    body["prefetch"]["patient"] = modified(body["prefetch"]["patient"].clone());
    let request = read(&body);
    assert_eq!(profile(&request).allergies, None);
    told(&request, "Patient/p");
    let mut empty = list(&[]);
    empty["implicitRules"] = json!("http://e.org/rules");
    let request = read(&with("conditions", empty));
    assert_eq!(profile(&request).conditions, None);
    told(&request, "implicitRules");
}

#[test]
fn an_order_with_a_modifier_is_checked_and_replaces_nothing() {
    let warfarin = order("d", "warfarin");
    let mut stopped = warfarin.clone();
    stopped["status"] = json!("stopped");
    let mut held = warfarin.clone();
    held["status"] = json!("on-hold");
    for (draft, orders) in [(warfarin.clone(), 1), (stopped, 0), (held, 1)] {
        let mut body = sign(&[modified(draft.clone())]);
        body["prefetch"]["medications"] = list(std::slice::from_ref(&warfarin));
        let request = read(&body);
        assert_eq!((request.orders.len(), medications(&request).len()), (orders, 1), "{draft}");
        told(&request, "of the draft order \"MedicationRequest/d\"");
    }
    let medication = modified(json!({"resourceType": "Medication", "id": "m", "code": {"text": "warfarin"}}));
    told(&read(&sign(&[of_medication("d", "Medication/m"), medication])), "Medication/m");
}
