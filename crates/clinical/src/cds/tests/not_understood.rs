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
