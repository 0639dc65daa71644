//! Whether a medicine of a record is taken, by its status and intent. A record writes "Active" as well, or a code
//! of its own; what does not surely mean that the medicine is not taken counts as taken, since the other mistake
//! hides it from every check.

use serde_json::Value;

use crate::fhir::holds::noted;
use crate::fhir::people::Beside;
use crate::fhir::resources::{MedicationRequest, MedicationStatement};

/// The statuses that FHIR R4 has of a MedicationRequest.
pub(super) const REQUEST: [&str; 8] =
    ["active", "on-hold", "cancelled", "completed", "entered-in-error", "stopped", "draft", "unknown"];
/// Its intents.
pub(super) const INTENT: [&str; 8] = [
    "proposal",
    "plan",
    "order",
    "original-order",
    "reflex-order",
    "filler-order",
    "instance-order",
    "option",
];
/// The statuses of a MedicationStatement.
pub(super) const STATEMENT: [&str; 8] =
    ["active", "completed", "entered-in-error", "intended", "stopped", "on-hold", "unknown", "not-taken"];
/// The statuses of a MedicationDispense.
pub(super) const DISPENSE: [&str; 9] = [
    "preparation",
    "in-progress",
    "cancelled",
    "on-hold",
    "completed",
    "entered-in-error",
    "stopped",
    "declined",
    "unknown",
];

/// What a status says of a medicine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is taken, or nobody can say that it is not.
    Taken,
    /// It was taken, and is not any more.
    Ended,
    /// It never held: entered in error, cancelled, not begun.
    Void,
}

impl Standing {
    /// Of a MedicationRequest.
    pub(crate) fn of_request(status: Option<&str>) -> Standing {
        match code(status).as_str() {
            "cancelled" | "entered-in-error" | "draft" => Standing::Void,
            "completed" | "stopped" => Standing::Ended,
            _ => Standing::Taken,
        }
    }

    /// Of a MedicationStatement.
    pub(crate) fn of_statement(status: Option<&str>) -> Standing {
        match code(status).as_str() {
            "entered-in-error" | "not-taken" => Standing::Void,
            "completed" | "stopped" => Standing::Ended,
            _ => Standing::Taken,
        }
    }

    /// Of a MedicationDispense: what was handed out was.
    pub(crate) fn of_dispense(status: Option<&str>) -> Standing {
        match code(status).as_str() {
            "preparation" | "cancelled" | "entered-in-error" | "declined" => Standing::Void,
            _ => Standing::Taken,
        }
    }

    /// Of a MedicationAdministration: what was given was.
    pub(crate) fn of_administration(status: Option<&str>) -> Standing {
        match code(status).as_str() {
            "not-done" | "entered-in-error" => Standing::Void,
            _ => Standing::Taken,
        }
    }
}

/// Whether an intent is that of something that is to be done. A proposal and an option may never be.
pub(super) fn is_ordered(intent: Option<&str>) -> bool {
    !["proposal", "option"].contains(&code(intent).as_str())
}

/// A code as it is compared.
pub(super) fn code(written: Option<&str>) -> String {
    let code = written.map(|code| code.trim().to_lowercase()).filter(|code| !code.is_empty());
    code.unwrap_or_else(|| "unknown".to_owned())
}

/// What stands beside the medicine of an order.
pub(super) fn beside_request(request: &MedicationRequest) -> Beside {
    let words = words([&request.note, &request.reason_code, &request.dosage_instruction]);
    Beside { holds: is_active(request.status.as_deref()), words }
}

/// What stands beside the medicine of a statement. One that says when it ends, or ended, does not surely hold.
pub(super) fn beside_statement(statement: &MedicationStatement) -> Beside {
    let ends = statement.effective_period.as_ref().is_some_and(|period| period.end.is_some());
    let words = words([&statement.note, &statement.reason_code, &statement.dosage]);
    Beside { holds: is_active(statement.status.as_deref()) && !ends, words }
}

fn is_active(status: Option<&str>) -> bool {
    status.is_none_or(|_| code(status) == "active")
}

fn words(of: [&Option<Value>; 3]) -> Vec<String> {
    of.into_iter().flat_map(|value| noted(value.as_ref())).collect()
}
