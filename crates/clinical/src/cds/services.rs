//! The services that there are: `GET /cds-services`.

use serde_json::{Value, json};

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// When a record is opened: what suits this person.
    PatientView,
    /// When drugs are being chosen: the chosen ones are checked.
    OrderSelect,
    /// When orders are about to be signed: all of them are checked.
    OrderSign,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 3] = [Service::PatientView, Service::OrderSelect, Service::OrderSign];

    /// Its id, in its path.
    pub const fn id(self) -> &'static str {
        match self {
            Service::PatientView => "medserve-patient-view",
            Service::OrderSelect => "medserve-order-select",
            Service::OrderSign => "medserve-order-sign",
        }
    }

    /// The hook that it is for.
    pub const fn hook(self) -> &'static str {
        match self {
            Service::PatientView => "patient-view",
            Service::OrderSelect => "order-select",
            Service::OrderSign => "order-sign",
        }
    }

    /// The service of an id.
    pub fn of(id: &str) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.id() == id)
    }

    const fn title(self) -> &'static str {
        match self {
            Service::PatientView => "What suits this person",
            Service::OrderSelect => "Is this drug safe for this person?",
            Service::OrderSign => "Are these orders safe for this person?",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Service::PatientView => {
                "Drugs and advice that suit the person, as people like this one have them; without what is unsafe"
            }
            Service::OrderSelect => {
                "Checks the drugs that were chosen against allergies, conditions, medications and the other draft orders"
            }
            Service::OrderSign => {
                "Checks all draft orders of drugs against allergies, conditions, medications and each other"
            }
        }
    }
}

/// What a client is asked to send along, by key.
pub const PREFETCH: [(&str, &str); 5] = [
    ("patient", "Patient/{{context.patientId}}"),
    ("allergies", "AllergyIntolerance?patient={{context.patientId}}"),
    ("conditions", "Condition?patient={{context.patientId}}"),
    ("medications", "MedicationRequest?patient={{context.patientId}}&status=active,on-hold"),
    ("statements", "MedicationStatement?patient={{context.patientId}}&status=active,intended,on-hold"),
];

/// The keys without which orders cannot be checked for a person who is not stored here.
pub const NEEDED: [&str; 3] = ["allergies", "conditions", "medications"];

/// The answer to discovery.
pub fn discovery() -> Value {
    let prefetch: serde_json::Map<String, Value> =
        PREFETCH.iter().map(|(key, template)| ((*key).to_owned(), json!(template))).collect();
    let service = |service: Service| {
        json!({
            "hook": service.hook(),
            "id": service.id(),
            "title": service.title(),
            "description": service.description(),
            "prefetch": prefetch,
            "usageRequirements": "Without the prefetched data the person has to be stored here; a FHIR server is never called.",
        })
    };
    json!({"services": Service::ALL.map(service)})
}
