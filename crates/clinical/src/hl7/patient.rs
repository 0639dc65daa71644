//! Who a message is about (PID-3): which of several identifiers is the person's, and who gave it. Two hospitals give the same
//! number to two people, so it is remembered whose number somebody came with.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::message::{Hl7Error, Message};
use crate::fhir::references::patient_name;

/// The types of identifiers (table 0203) by which people are known, the first before the second, whatever their order.
const TYPES: [&str; 2] = ["MR", "PI"];
/// The system of an identifier of which it is remembered that somebody gave it.
const GIVEN: &str = "urn:medserve:hl7:identifier";
/// The system of one of which the message does not say who gave it.
const UNSAID: &str = "urn:medserve:hl7:unsaid";

/// The person of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The identifier.
    pub id: String,
    /// The names of those who gave it (PID-3.4), in small letters: their namespaces and their universal ids.
    authorities: Vec<String>,
    /// The identifiers that FHIR has for the same, where the authority has a universal id: system, bar and value.
    universal: Vec<String>,
    /// The same of the person's other numbers of these types.
    others: Vec<String>,
}

/// Under what an identity is remembered (`fhir::references::patient_name`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// That the identifier came from somebody.
    pub given: String,
    /// That it came from one of those who are named now.
    pub by: Vec<String>,
}

impl Identity {
    /// The number that the hospital gave the person: of several identifiers the first of type MR, or else of type PI, or else
    /// the first.
    ///
    /// # Errors
    /// There is none, or it is no identifier.
    pub fn of(message: &Message) -> Result<Identity, Hl7Error> {
        let parts = message.parts(("PID", 0), 3);
        let ids = message.identifiers("PID", 3);
        let all: Vec<(&Option<String>, &Vec<Vec<String>>)> =
            ids.iter().zip(&parts).filter(|(id, _)| id.as_deref() != Some("")).collect();
        let kind = |parts: &[Vec<String>]| parts.get(4).and_then(|kind| kind.first()).cloned();
        let of_kind = |wanted: &&str| all.iter().find(|(_, parts)| kind(parts).as_deref() == Some(wanted));
        let id = match TYPES.iter().find_map(of_kind).or_else(|| all.first()) {
            None => return Err(Hl7Error::new("PID-3", 101, "there is no identifier of the patient")),
            Some((None, _)) => {
                let detail = "an identifier has no escapes and no subcomponents";
                return Err(Hl7Error::new("PID-3", 102, detail));
            }
            Some((Some(id), _)) => id.clone(),
        };
        let sound = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if id.len() > 64 || !id.chars().all(sound) {
            let detail = "an identifier has at most 64 letters, digits, dashes, dots and underscores";
            return Err(Hl7Error::new("PID-3", 102, detail));
        }
        // The same number twice is one that two have given to one person.
        let given = all.iter().filter(|(other, _)| other.as_ref() == Some(&id));
        let given: Vec<&Vec<String>> = given.filter_map(|(_, parts)| parts.get(3)).collect();
        let universal =
            given.iter().filter_map(|own| system(own)).map(|system| format!("{system}|{id}")).collect();
        let numbers =
            all.iter().filter(|(_, parts)| TYPES.iter().any(|own| kind(parts).as_deref() == Some(own)));
        let others = numbers.filter(|(other, _)| other.as_ref() != Some(&id));
        let others = others.filter_map(|(other, parts)| {
            let value = other.as_ref().filter(|value| !value.contains('|'))?;
            Some(format!("{}|{value}", system(parts.get(3)?)?))
        });
        let others = others.collect();
        let authorities = given.iter().flat_map(|own| own.iter().take(2));
        let authorities = authorities.filter(|name| !name.is_empty()).map(|name| name.to_lowercase());
        Ok(Identity { authorities: authorities.collect(), universal, others, id })
    }

    /// The identifiers of the Patient resource, by which it is remembered who gave the number.
    pub(super) fn identifiers(&self) -> Vec<Value> {
        let systems = self.systems();
        // A number that nobody is said to have given has a source all the same, and it is no FHIR server.
        let unsaid = systems.is_empty().then_some(UNSAID);
        let own = systems.iter().map(String::as_str).chain(unsaid).map(|system| (system, self.id.as_str()));
        let universal = self.universal.iter().chain(&self.others).filter_map(|own| own.rsplit_once('|'));
        own.chain(universal).map(|(system, value)| json!({"system": system, "value": value})).collect()
    }

    /// Under what the identifiers of the Patient resource are known (`fhir::references::patient_name`).
    pub fn all_names(&self) -> BTreeSet<String> {
        let part = |own: &Value, name: &str| own[name].as_str().unwrap_or_default().to_owned();
        let name = |own: &Value| patient_name(&format!("{}|{}", part(own, "system"), part(own, "value")));
        self.identifiers().iter().map(name).collect()
    }

    /// Under what somebody is known who has another number of this person's (`fhir::references::patient_name`).
    pub fn other_names(&self) -> Vec<String> {
        self.others.iter().map(|own| patient_name(own)).collect()
    }

    /// Under what somebody is known who came with this number of one of the authorities, by HL7 or by FHIR
    /// (`fhir::references::patient_name`).
    pub fn names(&self) -> Vec<String> {
        let by = self.remembered().map(|remembered| remembered.by).unwrap_or_default();
        self.universal.iter().map(|own| patient_name(own)).chain(by).collect()
    }

    /// Under what it is remembered who gave the number; nothing where the message does not say who did.
    pub fn remembered(&self) -> Option<Remembered> {
        let systems = self.systems();
        let mut names = systems.iter().map(|system| patient_name(&format!("{system}|{}", self.id)));
        Some(Remembered { given: names.next()?, by: names.collect() })
    }

    fn systems(&self) -> Vec<String> {
        let by = self.authorities.iter().map(|name| format!("urn:medserve:hl7:authority:{name}"));
        let given = (!self.authorities.is_empty()).then(|| GIVEN.to_owned());
        given.into_iter().chain(by).collect()
    }
}

/// The system that FHIR has for an authority with a universal id: its namespace, the id and the type of that (table 0301).
fn system(authority: &[String]) -> Option<String> {
    let part = |at: usize| authority.get(at).map(|text| text.trim()).filter(|text| !text.is_empty());
    let (id, kind) = (part(1)?, part(2)?.to_uppercase());
    match kind.as_str() {
        "ISO" => Some(format!("urn:oid:{id}")),
        "UUID" | "GUID" => Some(format!("urn:uuid:{}", id.to_lowercase())),
        "URI" => Some(id.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(field: &str) -> Identity {
        Identity::of(&Message::read(&format!("MSH|^~\\&|\rPID|1||{field}\r")).unwrap()).unwrap()
    }

    #[test]
    fn the_order_of_identifiers_does_not_decide_who_it_is() {
        for (field, id) in [
            ("9001^^^H^PI~5001^^^H^MR", "5001"),
            ("5001^^^H^MR~9001^^^H^PI", "5001"),
            ("7^^^N^NI~9001^^^H^PI", "9001"),
            ("7^^^N^NI~8^^^N^SS", "7"),
            ("^^^H^MR~9001^^^H^PI", "9001"),
            ("888", "888"),
        ] {
            assert_eq!(of(field).id, id, "{field}");
        }
    }

    #[test]
    fn who_gave_a_number_is_remembered() {
        let a = of("777^^^HOSPA&1.2.3&ISO^MR");
        let remembered = a.remembered().unwrap();
        assert_eq!(a.authorities, ["hospa", "1.2.3"]);
        let shares = |field: &str| {
            let other = of(field).remembered().unwrap();
            assert_eq!(other.given, remembered.given);
            other.by.iter().any(|name| remembered.by.contains(name))
        };
        assert!(shares("777^^^HospA^MR") && shares("777^^^&1.2.3&ISO^MR"));
        assert!(shares("777^^^HOSPB^MR~777^^^HOSPA^MR"), "one person, by two");
        assert!(!shares("777^^^HOSPB^MR") && !shares("777^^^HOSPB^MR~778^^^HOSPA^MR"));
        assert_eq!(of("777^^^^MR").remembered(), None);
        for (field, same) in [
            ("777^^^HOSPA&1.2.3&ISO^MR", vec!["urn:oid:1.2.3|777"]),
            ("777^^^&https://h.example/mrn&URI^MR", vec!["https://h.example/mrn|777"]),
            ("777^^^HOSPA&1.2.3^MR", vec![]),
            ("777^^^HOSPA^MR", vec![]),
        ] {
            assert_eq!(of(field).universal, same);
        }
    }

    #[test]
    fn other_numbers_of_a_person_are_known_where_fhir_may_have_them() {
        let own = of("9444^^^HOSP^MR~K444^^^&1.2.3&ISO^PI~078^^^&2.16.840.1.113883.4.1&ISO^SS~5^^^LAB^PI");
        assert_eq!((own.id.as_str(), &own.others[..]), ("9444", &["urn:oid:1.2.3|K444".to_string()][..]));
        let said = own.identifiers();
        assert!(said.contains(&json!({"system": "urn:oid:1.2.3", "value": "K444"})), "{said:?}");
        assert_eq!(own.other_names(), [patient_name("urn:oid:1.2.3|K444")]);
        assert_eq!(of("7^^^^MR").identifiers(), [json!({"system": UNSAID, "value": "7"})]);
    }
}
