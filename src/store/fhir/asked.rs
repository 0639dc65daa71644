//! What a record system's question is answered from, beside what it sent along: whether the person who is stored under its id
//! is the one that it asks about, and the Medications that it left out.

use std::collections::{BTreeSet, HashMap};

use clinical::fhir::PersonChange;
use clinical::fhir::bundle::Bundle;
use clinical::fhir::people;
use clinical::fhir::references::held;
use clinical::fhir::resources::Medication;
use recommend::Profile;

use super::origin::Origin;
use super::{difference, known, stored_profile};
use crate::store::known::FORMER;
use crate::store::{Known, RecordStore, StoreError};

/// Most people with an identifier of one person who are looked at.
const OTHERS: usize = 8;

/// What is stored of the person of a question, by what a Bundle about that person would be refused for: two servers count their
/// patients from 1. Nothing of somebody else who has the id here; and no denial of a person of whom nothing says that it is this
/// one.
///
/// # Errors
/// A store that does not answer.
pub async fn of_person(
    store: &dyn RecordStore,
    user_id: &str,
    server: Option<&String>,
    said: Option<&PersonChange>,
    mut stored: Profile,
) -> Result<Option<Profile>, StoreError> {
    let mut asked = said.map(Origin::said).unwrap_or_default();
    asked.also(&server.into_iter().cloned().collect());
    if asked == Origin::default() {
        return Ok(Some(stored));
    }
    let known = store.known(&[format!("Patient/{user_id}")]).await?;
    let known = Origin::of(known.first());
    let unlike = said.is_some_and(|said| difference((said.birth_year, said.sex), &stored).is_some());
    // Of a record of which nobody said where it comes from: who was born in another year and is of another sex.
    let differs = said.is_some_and(|said| {
        said.birth_year.zip(stored.birth_year).is_some_and(|(one, other)| one != other)
            && said.sex.zip(stored.sex).is_some_and(|(one, other)| one != other)
    });
    if differs && !known.shares_a_number(&asked) || known.contradicted(&asked, false, unlike).is_some() {
        return Ok(None);
    }
    if known.is_unrelated(&asked) {
        people::take_denials_back(&mut stored);
    }
    Ok(Some(stored))
}

/// Who else is stored with an identifier of this person, and may be the same: an allergy may stand there alone. The identifiers are
/// those of the person who is stored, where it is this one, and those that are said of the person now. A family's
/// number is no such thing where year of birth or sex differ.
///
/// # Errors
/// A store that does not answer.
pub async fn again(
    store: &dyn RecordStore,
    user_id: &str,
    stored: Option<&Profile>,
    said: Option<&PersonChange>,
) -> Result<Vec<String>, StoreError> {
    let own = match stored {
        Some(_) => store.identifiers_of(user_id).await?,
        None => Vec::new(),
    };
    let is_now = |known: &Known| known.said.as_deref() != Some(FORMER);
    let own = own.iter().filter(|known| is_now(known)).map(|known| held(&known.name).to_owned());
    let names: BTreeSet<String> =
        own.chain(said.into_iter().flat_map(|said| said.identifiers.clone())).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = names.into_iter().collect();
    let others = store.holders(&names).await?.into_iter().filter(is_now).filter_map(|known| known.user_id);
    let others: BTreeSet<String> = others.filter(|other| other != user_id).collect();
    let mut person = stored.cloned().unwrap_or_default();
    if let Some(said) = said {
        person.birth_year = said.birth_year.or(person.birth_year);
        person.sex = said.sex.or(person.sex);
    }
    let mut same = Vec::new();
    for other in others.into_iter().take(OTHERS) {
        let profile = stored_profile(store, &other).await?;
        if profile.is_some_and(|profile| difference((profile.birth_year, profile.sex), &person).is_none()) {
            same.push(other);
        }
    }
    Ok(same)
}

/// The Medications that these resources name, as far as what is stored of them says more than they do.
///
/// # Errors
/// A store that does not answer.
pub async fn medications(
    store: &dyn RecordStore,
    sent: Option<&Bundle>,
) -> Result<HashMap<String, Medication>, StoreError> {
    match sent {
        Some(bundle) => Ok(known::read(&known::medication_texts(store, bundle).await?)),
        None => Ok(HashMap::new()),
    }
}
