//! What a record system's question is answered from, beside what it sent along: whether the person who is stored under its id
//! is the one that it asks about, and the Medications that it left out.

use std::collections::HashMap;

use clinical::fhir::PersonChange;
use clinical::fhir::bundle::Bundle;
use clinical::fhir::resources::Medication;
use recommend::Profile;

use super::origin::Origin;
use super::{difference, known};
use crate::store::{Store, StoreError};

/// Whether the person who is stored under this id is somebody else than the one of a FHIR server's question, by what a Bundle
/// about that person would be refused for: two servers count their patients from 1.
///
/// # Errors
/// A store that does not answer.
pub async fn is_another(
    store: &dyn Store,
    user_id: &str,
    server: Option<&String>,
    said: Option<&PersonChange>,
    stored: &Profile,
) -> Result<bool, StoreError> {
    let mut asked = said.map(Origin::said).unwrap_or_default();
    asked.also(&server.into_iter().cloned().collect());
    if asked == Origin::default() {
        return Ok(false);
    }
    let known = store.known(&[format!("Patient/{user_id}")]).await?;
    let known = Origin::of(known.first());
    let unlike = said.is_some_and(|said| difference((said.birth_year, said.sex), stored).is_some());
    // Of a record without a server: who was born in another year and is of another sex, and has no number of that person.
    let differs = said.is_some_and(|said| {
        said.birth_year.zip(stored.birth_year).is_some_and(|(one, other)| one != other)
            && said.sex.zip(stored.sex).is_some_and(|(one, other)| one != other)
    });
    Ok(differs && !known.shares_a_number(&asked) || known.contradicted(&asked, false, unlike).is_some())
}

/// The Medications that these resources name, as far as what is stored of them says more than they do.
///
/// # Errors
/// A store that does not answer.
pub async fn medications(
    store: &dyn Store,
    sent: Option<&Bundle>,
) -> Result<HashMap<String, Medication>, StoreError> {
    match sent {
        Some(bundle) => known::medications(store, bundle).await,
        None => Ok(HashMap::new()),
    }
}
