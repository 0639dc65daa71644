//! What an image does by coming, before it is answered: a result of ours that comes back is known for what it is, and what was made
//! of an image as it was before it changed goes.

use clinical::dicom::Source;

use super::answers::{AnswerError, models};
use crate::config::{Config, Models};
use crate::inference::registry::{Registry, Served};
use crate::store::{Store, StoreError};

/// Whether it is no image of a patient's but a result of ours that comes back, as it does where everything is forwarded: one that
/// is here, or says of itself that it was made here or by another server of this kind. An answer about it would be one about
/// our own words.
///
/// # Errors
/// The store's.
pub async fn is_ours(store: &dyn Store, source: &Source) -> Result<bool, StoreError> {
    Ok(source.ours || !store.known_dicom(std::slice::from_ref(&source.sop_instance)).await?.is_empty())
}

/// An image has come, to be answered now or later. Whatever becomes of it, what was made of it as it was before it changed is of
/// another patient, study or picture, and goes.
///
/// # Errors
/// No model reads it; or the caller may ask none of those that do, and then nothing goes; or the store's.
pub async fn arrived(
    registry: &Registry,
    config: &Config,
    store: &dyn Store,
    allowed: &Models,
    source: &Source,
) -> Result<(), AnswerError> {
    let models = models(registry, config, source);
    let may = |served: &Served| allowed.include(&served.manifest().name);
    if !models.is_empty() && !models.iter().any(may) {
        return Err(AnswerError::NotAllowed);
    }
    superseded(store, &source.sop_instance, &source.image).await?;
    if models.is_empty() { Err(AnswerError::NoModel) } else { Ok(()) }
}

/// As [`arrived`], of an image that cannot be answered since it does not say whose it is: it is another than any that was
/// answered under its UID.
///
/// # Errors
/// The store's.
pub async fn arrived_unread(store: &dyn Store, instance: &str) -> Result<(), StoreError> {
    // No digest is this word.
    superseded(store, instance, "unread").await
}

async fn superseded(store: &dyn Store, instance: &str, image: &str) -> Result<(), StoreError> {
    let gone = store.supersede_dicom(instance, image).await?;
    if gone > 0 {
        tracing::info!(gone, "a DICOM image has changed; what was made of it before, or waited, was erased");
    }
    Ok(())
}
