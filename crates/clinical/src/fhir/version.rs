//! Which release of FHIR a resource is of. A Bundle does not say so itself; its resources show it by
//! members and types that other releases do not have. What is not R4 is refused by its name, since most of
//! it would be read as R4 without an error and lose, say, an allergy.

use serde_json::Value;

use super::bundle::Resource;

/// Resource types that R4 does not have, each with a release that has it.
const ELSEWHERE: [(&str, &str); 30] = [
    ("MedicationOrder", "DSTU2"),
    ("DiagnosticOrder", "DSTU2"),
    ("DeviceUseRequest", "DSTU2"),
    ("Order", "DSTU2"),
    ("OrderResponse", "DSTU2"),
    ("BodySite", "DSTU2 or STU3"),
    ("ProcedureRequest", "DSTU2 or STU3"),
    ("ReferralRequest", "DSTU2 or STU3"),
    ("EligibilityRequest", "DSTU2 or STU3"),
    ("EligibilityResponse", "DSTU2 or STU3"),
    ("ProcessRequest", "DSTU2 or STU3"),
    ("Sequence", "STU3"),
    ("ImagingManifest", "STU3"),
    ("ActorDefinition", "R5"),
    ("ArtifactAssessment", "R5"),
    ("BiologicallyDerivedProductDispense", "R5"),
    ("ConditionDefinition", "R5"),
    ("DeviceAssociation", "R5"),
    ("DeviceDispense", "R5"),
    ("DeviceUsage", "R5"),
    ("EncounterHistory", "R5"),
    ("FormularyItem", "R5"),
    ("GenomicStudy", "R5"),
    ("ImagingSelection", "R5"),
    ("InventoryItem", "R5"),
    ("InventoryReport", "R5"),
    ("NutritionIntake", "R5"),
    ("Permission", "R5"),
    ("Requirements", "R5"),
    ("Transport", "R5"),
];

/// The release a resource is of, and by what that is seen, where it is another than R4.
pub fn other_release(resource: &Resource, kind: &str) -> Option<(&'static str, String)> {
    let seen = |release, what: &str| Some((release, what.to_owned()));
    match resource {
        Resource::AllergyIntolerance(allergy) => match () {
            () if allergy.substance.is_some() => seen("DSTU2", "AllergyIntolerance.substance"),
            () if is_text(&allergy.clinical_status) => {
                seen("STU3", "AllergyIntolerance.clinicalStatus is a code")
            }
            () if matches!(allergy.kind, Some(Value::Object(_))) => {
                seen("R5", "AllergyIntolerance.type is a CodeableConcept")
            }
            () => None,
        },
        Resource::Condition(condition) => match () {
            () if condition.patient.is_some() => seen("DSTU2", "Condition.patient"),
            () if is_text(&condition.clinical_status) => seen("STU3", "Condition.clinicalStatus is a code"),
            () => None,
        },
        Resource::Encounter(encounter) => match () {
            () if encounter.patient.is_some() || is_text(&encounter.class) => {
                seen("DSTU2", "Encounter.patient or Encounter.class is a code")
            }
            () if matches!(encounter.class, Some(Value::Array(_))) => {
                seen("R5", "Encounter.class is an array")
            }
            () if encounter.actual_period.is_some() => seen("R5", "Encounter.actualPeriod"),
            () if encounter.subject_status.is_some() => seen("R5", "Encounter.subjectStatus"),
            () if encounter.participant.iter().any(|participant| participant.actor.is_some()) => {
                seen("R5", "Encounter.participant.actor")
            }
            () => None,
        },
        Resource::MedicationRequest(request) => match &request.requester {
            _ if request.medication.is_some() => seen("R5", "MedicationRequest.medication"),
            Some(Value::Object(requester)) if requester.contains_key("agent") => {
                seen("STU3", "MedicationRequest.requester.agent")
            }
            _ => None,
        },
        Resource::MedicationStatement(statement) => match () {
            () if statement.patient.is_some() => seen("DSTU2", "MedicationStatement.patient"),
            () if statement.taken.is_some() => seen("STU3", "MedicationStatement.taken"),
            () if statement.medication.is_some() => seen("R5", "MedicationStatement.medication"),
            () => None,
        },
        Resource::MedicationDispense(dispense) if dispense.medication.is_some() => {
            seen("R5", "MedicationDispense.medication")
        }
        Resource::Immunization(immunization) if immunization.date.is_some() => {
            seen("DSTU2", "Immunization.date")
        }
        Resource::Practitioner(practitioner) if matches!(practitioner.name, Some(Value::Object(_))) => {
            seen("DSTU2", "Practitioner.name is no array")
        }
        Resource::ServiceRequest(request) => match &request.code {
            Some(Value::Object(code)) if code.contains_key("concept") || code.contains_key("reference") => {
                seen("R5", "ServiceRequest.code is a CodeableReference")
            }
            _ => None,
        },
        Resource::Other => {
            let known = ELSEWHERE.iter().find(|(name, _)| *name == kind);
            known.map(|(name, release)| (*release, format!("a resource {name}")))
        }
        _ => None,
    }
}

fn is_text(value: &Option<Value>) -> bool {
    matches!(value, Some(Value::String(_)))
}
