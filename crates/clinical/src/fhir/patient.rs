//! What a Patient resource says of itself as a record: whether it is in use, which others there are of the same person, and what
//! of it the administrative gender does not say.

use serde_json::Value;

use super::resources::{Patient, PatientLink, clean};

/// Whether US Core's extensions say that the sex at birth is female.
pub(super) fn born_female(patient: &Patient) -> bool {
    const BASE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-";
    let all = patient.extension.as_ref().and_then(|all| all.as_array());
    all.into_iter().flatten().any(|own| {
        let member = |name: &str| own.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        match member("url").strip_prefix(BASE) {
            Some("birthsex") => member("valueCode") == "F",
            Some("sex") => ["248152002", "female"].contains(&member("valueCode")),
            _ => false,
        }
    })
}

/// What nobody could look at who answers for this record alone, in words: what is known of the same person under another id, and
/// what suits somebody who has died.
pub fn beyond(patient: &Patient) -> Vec<String> {
    let text =
        |value: &Value| value.get("reference").or(value.get("display")).and_then(Value::as_str).map(clean);
    let name = |link: &PatientLink| link.other.as_ref().and_then(text).unwrap_or_default();
    // Whoever is a relative somewhere has another record of another kind.
    let names = patient.link.iter().map(name).filter(|name| !name.contains("RelatedPerson/"));
    let mut beyond: Vec<String> = names
        .map(|name| format!("what is known under {name:?}, another record of this person (link)"))
        .collect();
    if beyond.is_empty() && patient.active.as_ref().is_some_and(|active| *active == false) {
        beyond.push(
            "what is known under another id of this person, whose record is not in use (active: false)"
                .to_owned(),
        );
    }
    let died = patient.deceased_boolean.as_ref().is_some_and(|died| *died == true);
    if died || patient.deceased_date_time.as_ref().is_some_and(|time| !time.is_null()) {
        beyond.push("what suits this person, who has died by the record".to_owned());
    }
    beyond
}

/// What a Patient resource says of other records of the same person, and of not being in use: records are not merged here,
/// and whoever relies on them has to know that an allergy stays where it was written.
pub fn apart(patient: &Patient) -> Vec<&'static str> {
    let link = |link: &PatientLink| match link.kind.as_deref() {
        Some("replaced-by") => {
            "is replaced by another record (link): records are not merged, and what is known of this person does not reach the other"
        }
        Some("replaces") => {
            "replaces another record (link): records are not merged, and what is known under the other id is not known of this person"
        }
        _ => {
            "has another record (link): records are not merged, and what is known under one id is not known under the other"
        }
    };
    let inactive = patient.active.as_ref().is_some_and(|active| *active == false);
    let inactive =
        inactive.then_some("is not in use (active: false): it is kept, and answered for, all the same");
    patient.link.iter().map(link).chain(inactive).collect()
}
