//! In which order messages count. Interface engines send again what they sent before, and late what others overtook: what a
//! newer message of the same sender said stays, and one that came already does nothing. Two senders have two clocks, so each
//! message is compared with those of its own.
//!
//! What is needed for that stands in `resources_known`: of each sender and resource when the last message that said it was
//! made, and of each sender and person which messages came last. It goes with the person.

use std::collections::HashMap;

use clinical::hl7::{Hl7Error, Sent};
use recommend::Millis;
use serde_json::Value;

use crate::store::{Known, KnownStore, StoreError};

/// Most messages of one sender about one person that are known again.
const MESSAGES: usize = 64;
/// A message that is made again so much later says the same anew: some senders count from 1 each day, or not at all.
const ANEW: Millis = 12 * 60 * 60 * 1000;
/// What of a Patient a later message may correct.
const CORRECTED: [&str; 2] = ["birthDate", "gender"];

/// A message beside those that came before.
pub(super) enum Order {
    /// It came before.
    Again,
    /// It says something.
    New {
        /// What is to be written down once it is taken in.
        remember: Vec<Known>,
        /// What its sender is told where it is late, or nobody can tell.
        told: Vec<Hl7Error>,
    },
}

/// Puts a message about a person beside those that came before, and takes out of its transaction what a newer one of its sender
/// said.
pub(super) async fn compare(
    store: &dyn KnownStore,
    sent: &Sent,
    user_id: &str,
    bundle: &mut Value,
) -> Result<Order, StoreError> {
    let row = |name: &str| format!("HL7/{}/{name}", sent.sender);
    let url = |entry: &Value| row(entry["request"]["url"].as_str().unwrap_or_default());
    let person = row(&format!("Patient/{user_id}"));
    let member = |name: &str| format!("{person}#{name}");
    let entries = bundle["entry"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let names: Vec<String> = entries.iter().map(url).chain(CORRECTED.map(member)).collect();
    let known: HashMap<String, Known> =
        store.known(&names).await?.into_iter().map(|known| (known.name.clone(), known)).collect();
    let said = known.get(&person).and_then(|known| known.said.as_deref());
    let mut messages: Vec<String> = said.and_then(|said| serde_json::from_str(said).ok()).unwrap_or_default();
    let came = |own: &String| {
        let (message, at) = own.split_once('@').unwrap_or((own, ""));
        let anew = at.parse().ok().zip(sent.at).is_some_and(|(at, now): (Millis, _)| now >= at + ANEW);
        message == sent.message && !anew
    };
    if messages.iter().any(came) {
        return Ok(Order::Again);
    }
    messages.push(match sent.at {
        Some(at) => format!("{}@{at}", sent.message),
        None => sent.message.clone(),
    });
    messages.drain(..messages.len().saturating_sub(MESSAGES));
    // Strings are always JSON.
    let messages = serde_json::to_string(&messages).unwrap_or_default();
    let before = |name: &String| known.get(name).and_then(|known| known.updated);
    // Of a message without a time nobody can tell whether it is late.
    let is_late = |name: &String| before(name).zip(sent.until).is_some_and(|(before, now)| now < before);
    let (mut remember, mut late) = (Vec::new(), false);
    let mut taken = |name: String, said: Option<String>| {
        let is_late = is_late(&name);
        late |= is_late;
        let (updated, user_id) = (before(&name).max(sent.at), Some(user_id.to_owned()));
        remember.push(Known { name, user_id, said, updated, version: None });
        !is_late
    };
    let mut kept = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let name = url(&entry);
        if name != person {
            kept.extend(taken(name, None).then_some(entry));
            continue;
        }
        taken(name, Some(messages.clone()));
        if let Some(patient) = entry["resource"].as_object_mut() {
            patient.retain(|name, _| !CORRECTED.contains(&name.as_str()) || taken(member(name), None));
        }
        kept.push(entry);
    }
    bundle["entry"] = Value::Array(kept);
    let mut told = Vec::new();
    if late {
        let detail = "older than a message of this sender that came before: what that one said stays";
        told.push(Hl7Error::new("MSH-7", 207, detail));
    }
    if sent.unread {
        let detail = "no time in the form YYYYMMDDHHMMSS with or without a zone, or one to come: whether the message is late \
                      nobody can tell, so it counts as it comes";
        told.push(Hl7Error::new("MSH-7", 102, detail));
    }
    Ok(Order::New { remember, told })
}
