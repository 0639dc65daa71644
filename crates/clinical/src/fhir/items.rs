//! Items of resources: hospitals and pharmacies of Organizations and Locations, doctors of Practitioners,
//! drugs of medications and vaccines. An item's id follows from the resource alone, so that a second import
//! finds the first one's.

use std::collections::HashSet;

use recommend::{Contraindications, Item, Kind, Recorded, normalise};
use serde_json::{Map, Value};

use super::references::qualified;
use super::resources::{
    CodeableConcept, Extension, HumanName, Identifier, Location, Organization, Practitioner, clean,
};

/// Code systems of drugs, the first that a drug has gives its id: the word before the code, and the system.
const DRUG_SYSTEMS: [(&str, &str); 5] = [
    ("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("snomed", "http://snomed.info/sct"),
    ("atc", "http://www.whocc.no/atc"),
    ("ndc", "http://hl7.org/fhir/sid/ndc"),
    ("cvx", "http://hl7.org/fhir/sid/cvx"),
];

/// Types of organizations that care for nobody.
const NO_CARE: [&str; 6] = ["pay", "ins", "edu", "reli", "crs", "bus"];

/// A drug, or a vaccine, of its concept; nothing where the concept has neither codes nor words.
pub fn drug(concept: &CodeableConcept) -> Option<Item> {
    let name = concept.words().filter(|name| !name.is_empty())?;
    let coding = DRUG_SYSTEMS.iter().find_map(|(word, system)| {
        let coding = concept.coding.iter().find(|coding| coding.system.as_deref() == Some(system))?;
        Some(format!("{word}:{}", coding.code.as_deref().map(str::trim).filter(|code| !code.is_empty())?))
    });
    let other = || concept.codes().into_iter().next();
    let id = coding.or_else(other).unwrap_or_else(|| format!("drug:{}", normalise(&name)));
    let mut attributes = Map::new();
    put_texts(&mut attributes, "codes", concept.codes());
    put_texts(&mut attributes, "synonyms", concept.synonyms());
    Some(item(Kind::Drug, id.chars().take(200).collect(), name, attributes))
}

/// The drug of an entry of a person's medications.
pub(crate) fn taken(words: &str, recorded: &Recorded) -> Item {
    let mut attributes = Map::new();
    put_texts(&mut attributes, "codes", recorded.codes.clone());
    put_texts(&mut attributes, "synonyms", recorded.synonyms.clone());
    item(Kind::Drug, String::new(), words.to_owned(), attributes)
}

/// A hospital or a pharmacy; nothing for an organization that cares for nobody, such as a payer.
pub fn organization(id: &str, organization: &Organization) -> Option<Item> {
    let kind = organization.kind.as_ref().map(|kind| kind.to_string().to_lowercase()).unwrap_or_default();
    let codes: Vec<&str> = type_codes(organization.kind.as_ref());
    if !codes.is_empty() && codes.iter().all(|code| NO_CARE.contains(code)) {
        return None;
    }
    let name = organization.name.as_deref().unwrap_or_default();
    let mut attributes = Map::new();
    put_texts(&mut attributes, "identifiers", identifiers(&organization.identifier));
    let mut item = item(place_kind(&kind, name), format!("Organization/{id}"), named(name, id), attributes);
    item.hidden = organization.active == Some(false);
    set_place(&mut item, organization.address.iter().find_map(|address| place(&address.extension)));
    Some(item)
}

/// A place of care that belongs to no organization.
pub fn location(id: &str, location: &Location) -> Item {
    let kind = location.kind.as_ref().map(|kind| kind.to_string().to_lowercase()).unwrap_or_default();
    let name = location.name.as_deref().unwrap_or_default();
    let mut attributes = Map::new();
    put_texts(&mut attributes, "identifiers", identifiers(&location.identifier));
    let mut item = item(place_kind(&kind, name), format!("Location/{id}"), named(name, id), attributes);
    item.hidden = location.status.as_deref() == Some("inactive");
    set_place(&mut item, position(location));
    item
}

/// A doctor.
pub fn practitioner(id: &str, practitioner: &Practitioner) -> Item {
    let names: Vec<HumanName> =
        practitioner.name.clone().and_then(|names| serde_json::from_value(names).ok()).unwrap_or_default();
    let usual = names.iter().find(|name| name.usage.as_deref() != Some("old")).or(names.first());
    let name = usual.map(human_name).unwrap_or_default();
    let mut attributes = Map::new();
    put_texts(&mut attributes, "identifiers", identifiers(&practitioner.identifier));
    let mut item = item(Kind::Doctor, format!("Practitioner/{id}"), named(&name, id), attributes);
    item.hidden = practitioner.active == Some(false);
    item
}

/// Adds texts to a list among an item's attributes, each once.
pub fn put_texts(attributes: &mut Map<String, Value>, name: &str, texts: Vec<String>) {
    if texts.is_empty() {
        return;
    }
    let list = attributes.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        let mut seen: HashSet<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        list.extend(texts.into_iter().filter(|text| seen.insert(text.clone())).map(Value::String));
    }
}

/// What is stored after an import of an item: what a hospital has written of it (for whom it is wrong,
/// whether it is shown) stays, and its codes and identifiers are added to.
pub fn merge(stored: Option<&Item>, new: &Item) -> Item {
    let Some(stored) = stored else {
        let mut first = new.clone();
        if first.kind == Kind::Drug {
            first.set_imported("fhir");
        }
        return first;
    };
    let mut merged = stored.clone();
    if stored.kind != Kind::Drug {
        merged.name.clone_from(&new.name);
        merged.hidden = new.hidden;
        if new.latitude.is_some() {
            (merged.latitude, merged.longitude) = (new.latitude, new.longitude);
        }
    }
    for (name, value) in &new.attributes {
        match value {
            Value::Array(texts) => {
                let texts = texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect();
                put_texts(&mut merged.attributes, name, texts);
            }
            other => {
                merged.attributes.insert(name.clone(), other.clone());
            }
        }
    }
    merged
}

/// Where a Location is.
pub fn position(location: &Location) -> Option<(f64, f64)> {
    let position = location.position.as_ref()?;
    on_earth(position.latitude?, position.longitude?)
}

/// Gives an item its place, if it has none.
pub fn set_place(item: &mut Item, place: Option<(f64, f64)>) {
    if let (None, Some((latitude, longitude))) = (item.latitude, place) {
        (item.latitude, item.longitude) = (Some(latitude), Some(longitude));
    }
}

/// The place that an address's extension `geolocation` gives.
pub fn place(extensions: &[Extension]) -> Option<(f64, f64)> {
    let geolocation = |extension: &&Extension| {
        extension.url.as_deref() == Some("http://hl7.org/fhir/StructureDefinition/geolocation")
    };
    let parts = &extensions.iter().find(geolocation)?.extension;
    let part = |name: &str| parts.iter().find(|part| part.url.as_deref() == Some(name))?.value_decimal;
    on_earth(part("latitude")?, part("longitude")?)
}

fn on_earth(latitude: f64, longitude: f64) -> Option<(f64, f64)> {
    let sound = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    sound.then_some((latitude, longitude))
}

fn item(kind: Kind, item_id: String, name: String, attributes: Map<String, Value>) -> Item {
    Item {
        item_id,
        kind,
        name,
        attributes,
        latitude: None,
        longitude: None,
        hidden: false,
        repeatable: false,
        contraindications: Contraindications::default(),
    }
}

fn named(name: &str, id: &str) -> String {
    Some(clean(name)).filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_owned())
}

fn identifiers(identifiers: &[Identifier]) -> Vec<String> {
    identifiers.iter().filter_map(qualified).collect()
}

fn place_kind(kind: &str, name: &str) -> Kind {
    let pharmacy = kind.contains("pharm") || name.to_lowercase().contains("pharmacy");
    if pharmacy { Kind::Pharmacy } else { Kind::Hospital }
}

fn type_codes(kind: Option<&Value>) -> Vec<&str> {
    let concepts = kind.and_then(Value::as_array).into_iter().flatten();
    concepts.flat_map(|concept| super::resources::codes_of(Some(concept))).collect()
}

fn human_name(name: &HumanName) -> String {
    if let Some(text) = name.text.as_deref().filter(|text| !text.trim().is_empty()) {
        return text.to_owned();
    }
    let parts = name.prefix.iter().chain(&name.given).flatten().chain(&name.family);
    parts.map(String::as_str).collect::<Vec<_>>().join(" ")
}
