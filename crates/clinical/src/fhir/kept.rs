//! What of a resource's text is kept: of a Medication what says which drug it is, of what has no words a digest by which it is
//! known again.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longest Medication that is kept, in bytes, of what in it says which drug it is.
pub(super) const MAX_MEDICATION: usize = 100_000;

/// What of a Medication says which drug it is, as it is kept; nothing where that is too long.
pub(super) fn which_drug(text: &str) -> Option<String> {
    fn only(value: &mut Value, names: &[&str]) {
        if let Value::Object(members) = value {
            members.retain(|name, _| names.contains(&name.as_str()));
        }
    }
    let mut resource: Value = serde_json::from_str(text).ok()?;
    only(&mut resource, &["resourceType", "id", "code", "ingredient", "contained"]);
    let within = resource.get_mut("contained").and_then(Value::as_array_mut);
    within.into_iter().flatten().for_each(|own| only(own, &["resourceType", "id", "code", "ingredient"]));
    Some(resource.to_string()).filter(|text| text.len() <= MAX_MEDICATION)
}

/// A digest of what a resource says, whatever it is called and whoever it is about: these names are new each time that it
/// is added.
pub(super) fn digest_of(text: &str) -> Option<String> {
    let mut resource: Value = serde_json::from_str(text).ok()?;
    let members = resource.as_object_mut()?;
    for name in ["id", "meta", "text", "patient", "subject"] {
        members.remove(name);
    }
    without_uuids(&mut resource);
    let digest = Sha256::digest(resource.to_string());
    Some(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn without_uuids(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("urn:uuid:") => text.clear(),
        Value::Array(all) => all.iter_mut().for_each(without_uuids),
        Value::Object(members) => members.values_mut().for_each(without_uuids),
        _ => {}
    }
}
