//! What the server can do in FHIR, as a CapabilityStatement.

use serde_json::{Value, json};

/// The resource types that are read, each with what becomes of it.
pub const READ: [(&str, &str); 14] = [
    ("Patient", "A person; what is absent is unknown."),
    (
        "AllergyIntolerance",
        "An allergy of the person. \"No known allergy\" is an empty list, absence is unknown; what is refuted, entered in error, inactive or resolved is none.",
    ),
    ("Condition", "A condition of the person, unless it is over, refuted or entered in error."),
    ("Medication", "What another resource refers to."),
    (
        "MedicationRequest",
        "An interaction \"prescription\" with a drug; a drug taken now while it is active or on hold.",
    ),
    (
        "MedicationStatement",
        "An interaction \"medication\" with a drug; a drug taken now unless it was stopped or completed.",
    ),
    ("MedicationDispense", "An interaction \"dispense\" with a drug, and with the pharmacy."),
    ("Encounter", "Interactions \"visit\" with the hospital and with each doctor."),
    ("Immunization", "An interaction \"immunization\" with a vaccine."),
    ("Location", "Where an organization is; a place of care where it belongs to none."),
    ("Organization", "A hospital or a pharmacy, unless it cares for nobody."),
    ("Practitioner", "A doctor."),
    ("PractitionerRole", "What a doctor is specialised in."),
    ("ServiceRequest", "An interaction \"referral\" with whoever is to perform it."),
];

/// The statement of a server that takes Bundles at its base alone: no type has an address of its own, and so no interaction.
/// It is of this version at this address, made at this moment (RFC 3339).
pub fn statement(version: &str, url: Option<&str>, date: &str) -> Value {
    let resources: Vec<Value> = READ
        .iter()
        .map(|(kind, meaning)| {
            json!({
                "type": kind,
                "documentation": meaning,
                "versioning": "no-version",
                "referencePolicy": ["literal", "logical", "local"],
            })
        })
        .collect();
    let mut statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "medserve", "version": version},
        "implementation": {"description": "medserve: people, items and interactions of electronic records"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{
            "mode": "server",
            "documentation": "Resources are sent in a Bundle of type batch or transaction to the base; the id of a resource stays as it was sent. Resources are not kept as such: what follows from them is, and is read under /v1.",
            "security": {"cors": true, "description": "A key or a token (JWT): authorization: Bearer ..."},
            "resource": resources,
            "interaction": [{"code": "transaction"}, {"code": "batch"}],
        }],
    });
    if let Some(url) = url {
        statement["implementation"]["url"] = json!(url);
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_is_declared() {
        let rest = &statement("1.0.0", None, "2026-01-01T00:00:00Z")["rest"][0];
        assert_eq!(rest["interaction"], json!([{"code": "transaction"}, {"code": "batch"}]));
        let resources = rest["resource"].as_array().unwrap();
        assert_eq!(resources.len(), READ.len());
        for resource in resources {
            assert!(
                resource.get("interaction").is_none() && resource.get("updateCreate").is_none(),
                "{resource}"
            );
        }
    }
}
