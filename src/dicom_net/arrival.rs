//! What an image does by coming, before it is answered: a result of ours that comes back is known for what it is, and what was made
//! of an image as it was before it changed goes. Of two that have one UID the one that came last stays, whichever is answered
//! first.

use clinical::dicom::Source;

use super::answers::{AnswerError, models};
use crate::config::{Config, Models};
use crate::inference::registry::{Registry, Served};
use crate::store::dicom::{Arrival, Arrived};
use crate::store::{Store, StoreError};
use recommend::clock;

/// Whether it is no image of a patient's but a result of ours that comes back, as it does where everything is forwarded: one that
/// is here, or says of itself that it was made here or by another server of this kind. An answer about it would be one about
/// our own words.
///
/// # Errors
/// The store's.
pub async fn is_ours(store: &dyn Store, source: &Source) -> Result<bool, StoreError> {
    Ok(source.ours || !store.known_dicom(std::slice::from_ref(&source.sop_instance)).await?.is_empty())
}

/// Whether there are models that read an image and that the caller may ask.
///
/// # Errors
/// No model reads it, or the caller may ask none of those that do.
pub fn is_read(
    registry: &Registry,
    config: &Config,
    allowed: &Models,
    source: &Source,
) -> Result<(), AnswerError> {
    let models = models(registry, config, source);
    let may = |served: &Served| allowed.include(&served.manifest().name);
    match models.is_empty() {
        true => Err(AnswerError::NoModel),
        false if models.iter().any(may) => Ok(()),
        false => Err(AnswerError::NotAllowed),
    }
}

/// An image that has come, as the store takes it.
pub fn arrival(source: &Source, waits: bool) -> Arrival {
    let Source { sop_instance, image, patient_id, .. } = source;
    Arrival { sop_instance: sop_instance.clone(), image: image.clone(), patient: patient_id.clone(), waits }
}

/// The same of one that cannot be answered since it does not say whose it is: it is another than any that was answered under its
/// UID.
pub fn unread(instance: &str) -> Arrival {
    // No digest is this word.
    let image = "unread".to_string();
    Arrival { sop_instance: instance.to_string(), image, patient: String::new(), waits: false }
}

/// An image that may have any model has come and is not answered: what was made of it as it was goes.
///
/// # Errors
/// The store's.
pub async fn refused(store: &dyn Store, arrival: Arrival) -> Result<Vec<Arrived>, StoreError> {
    let now = clock::now();
    store.arrive_dicom(&[arrival], None, (now, now)).await
}
