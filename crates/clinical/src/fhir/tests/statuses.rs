//! What a status of another code system says, and statuses that contradict each other: nothing ends by them, no denial holds
//! beside them, and they are told.

use super::*;

const TERMS: &str = "http://terminology.hl7.org/CodeSystem/";
const LOCAL: &str = "http://ehr.example.org/status";

/// A status of R4's code, where there is one, and of another coding.
fn status(system: &str, code: &str, other: Option<Value>) -> Value {
    let own = (!code.is_empty()).then(|| json!({"system": format!("{TERMS}{system}"), "code": code}));
    json!({"coding": own.into_iter().chain(other).collect::<Vec<_>>()})
}

fn local(code: &str) -> Option<Value> {
    Some(json!({"system": LOCAL, "code": code}))
}

fn resource(kind: &str, member: &str, status: &Value, code: Value) -> Value {
    let subject = if kind == "Condition" { "subject" } else { "patient" };
    json!({"resourceType": kind, "id": "a", subject: {"reference": "Patient/ann"}, member: status, "code": code})
}

/// The list of a resource's kind, and whether its outcome says that a status is not understood.
fn list_and_told(resource: &Value) -> (Option<Vec<String>>, bool) {
    let settled = settle("transaction", &[ann(), resource.clone()]).unwrap();
    let told = settled.outcomes[1].notes.iter().any(|(_, note)| note.contains("Status is not understood"));
    let known = profile(&settled);
    (if resource["resourceType"] == "Condition" { known.conditions } else { known.allergies }, told)
}

#[test]
fn a_code_of_another_system_ends_nothing_and_a_contradiction_is_told() {
    let r4 = |system: &str, code: &str| Some(json!({"system": format!("{TERMS}{system}"), "code": code}));
    let (allergy, verified) = ("allergyintolerance-clinical", "allergyintolerance-verification");
    for (kind, member, said, there, told) in [
        ("AllergyIntolerance", "clinicalStatus", status(allergy, "active", local("resolved")), true, true),
        ("AllergyIntolerance", "clinicalStatus", status(allergy, "active", local("inactive")), true, true),
        ("AllergyIntolerance", "clinicalStatus", status(allergy, "", local("resolved")), true, true),
        ("AllergyIntolerance", "clinicalStatus", status(verified, "", r4(verified, "refuted")), true, true),
        ("AllergyIntolerance", "clinicalStatus", status(allergy, "resolved", local("2")), false, false),
        ("AllergyIntolerance", "clinicalStatus", status(allergy, "active", local("1")), true, false),
        (
            "AllergyIntolerance",
            "verificationStatus",
            status(verified, "confirmed", local("refuted")),
            true,
            true,
        ),
        (
            "AllergyIntolerance",
            "verificationStatus",
            status(verified, "confirmed", r4(verified, "refuted")),
            true,
            true,
        ),
        (
            "AllergyIntolerance",
            "verificationStatus",
            status(verified, "", local("entered-in-error")),
            true,
            true,
        ),
        ("AllergyIntolerance", "verificationStatus", status(verified, "refuted", local("9")), false, false),
        (
            "Condition",
            "clinicalStatus",
            status("condition-clinical", "active", local("resolved")),
            true,
            true,
        ),
        ("Condition", "clinicalStatus", status("condition-clinical", "", local("resolved")), true, true),
        ("Condition", "clinicalStatus", status("condition-clinical", "inactive", local("x")), false, false),
        (
            "Condition",
            "verificationStatus",
            status("condition-ver-status", "confirmed", local("differential")),
            true,
            true,
        ),
    ] {
        let (list, is_told) = list_and_told(&resource(kind, member, &said, json!({"text": "Latex"})));
        assert_eq!((list.is_some(), is_told), (there, told), "{kind} {member} {said}");
    }
    // A status that does not matter any more is not told.
    let mut over = resource(
        "AllergyIntolerance",
        "clinicalStatus",
        &status(allergy, "active", local("resolved")),
        json!({"text": "Latex"}),
    );
    over["verificationStatus"] = status(verified, "refuted", None);
    assert_eq!(list_and_told(&over), (None, false));
}

#[test]
fn a_denial_does_not_hold_beside_a_status_of_another_system() {
    for (kind, system, code) in [
        ("AllergyIntolerance", "allergyintolerance-clinical", snomed("716186003", "")),
        ("Condition", "condition-clinical", snomed("160245001", "")),
    ] {
        for (said, holds) in [
            (status(system, "active", None), true),
            (status(system, "active", local("active")), true),
            (status(system, "active", local("resolved")), false),
            (status(system, "active", local("1")), false),
            (status(system, "", local("active")), false),
        ] {
            let (list, _) = list_and_told(&resource(kind, "clinicalStatus", &said, code.clone()));
            assert_eq!(list, holds.then(Vec::new), "{kind} {said}");
        }
    }
}

#[test]
fn what_was_said_is_not_taken_back_by_a_status_of_another_system() {
    let said = |code: Value| {
        let allergy =
            resource("AllergyIntolerance", "verificationStatus", &code, json!({"text": "Penicillin"}));
        settle("transaction", &[ann(), allergy]).unwrap()
    };
    let verified = "allergyintolerance-verification";
    let mut known = profile(&said(status(verified, "confirmed", None)));
    for (code, there) in [
        (status(verified, "", local("entered-in-error")), true),
        (status(verified, "confirmed", local("refuted")), true),
        (status(verified, "refuted", None), false),
    ] {
        said(code.clone()).people[0].apply(&mut known);
        assert_eq!(known.allergies.is_some(), there, "{code}");
    }
}

#[test]
fn a_certainty_of_icd_10_gm_counts_by_its_own_letters() {
    let of = |system: Option<&str>| {
        let url = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit";
        let mut letter = json!({"code": "A"});
        if let Some(system) = system {
            letter["system"] = json!(system);
        }
        let coding = json!({"system": "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "code": "J45.9",
            "extension": [{"url": url, "valueCoding": letter}]});
        let asthma =
            resource("Condition", "note", &Value::Null, json!({"text": "Asthma", "coding": [coding]}));
        list_and_told(&asthma).0
    };
    let kbv = "https://fhir.kbv.de/CodeSystem/KBV_CS_SFHIR_ICD_DIAGNOSESICHERHEIT";
    for (system, there) in [(None, false), (Some(kbv), false), (Some(LOCAL), true)] {
        assert_eq!(of(system).is_some(), there, "{system:?}");
    }
}
