//! What a Bundle speaks of is held before it is looked at, so that nobody else writes it meanwhile: the Medications that say what
//! its orders are, the identifiers that say who its people are, its resources, and then all people of whose records it may write,
//! among them those whom its resources were said of before. What it means is worked out before the transaction begins, and
//! again only if the Medications that say so changed meanwhile: for a Bundle of megabytes that takes long, and nobody who
//! writes is to wait for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use clinical::fhir::bundle::Bundle;
use clinical::fhir::references::without_server;
use clinical::fhir::resources::Medication;
use clinical::fhir::{Mapped, Spoken, map_while, map_with};
use recommend::Millis;

use super::{BundleError, aside, known};
use crate::store::{Held, Intake, RecordStore, StoreError};

/// What a Bundle means by the Medications that are stored.
pub struct Foreseen {
    /// What is stored of them, by their names.
    stored: BTreeMap<String, String>,
    medications: HashMap<String, Medication>,
    mapped: Mapped,
}

impl Foreseen {
    /// The people whom the Bundle speaks of, by the ids in it.
    pub fn people(&self) -> BTreeSet<String> {
        self.mapped.spoken().people
    }

    fn of(bundle: &Bundle, now: Millis, stored: BTreeMap<String, String>) -> Foreseen {
        aside(|| {
            let medications = known::read(&stored);
            let mapped = map_with(bundle, now, &medications);
            Foreseen { stored, medications, mapped }
        })
    }
}

/// What a Bundle means as things stand, with nothing held.
///
/// # Errors
/// A store that does not answer; `until`, where that is said, has passed.
pub async fn foresee(
    store: &dyn RecordStore,
    bundle: &Bundle,
    now: Millis,
    until: Option<Instant>,
) -> Result<Foreseen, BundleError> {
    let stored = known::medication_texts(store, bundle).await?;
    aside(|| {
        let medications = known::read(&stored);
        let in_time = || until.is_none_or(|until| Instant::now() < until);
        let mapped = map_while(bundle, now, &medications, in_time).ok_or(BundleError::DeadlinePassed)?;
        Ok(Foreseen { stored, medications, mapped })
    })
}

/// What a Bundle means, once all that it speaks of is held: what was foreseen, if that still holds.
pub(super) async fn map(
    intake: &dyn Intake,
    bundle: &Bundle,
    now: Millis,
    foreseen: Option<Foreseen>,
) -> Result<(Mapped, HashMap<String, Medication>), StoreError> {
    let drugs = known::medication_names(bundle);
    intake.hold(Held::Medications, &drugs).await?;
    let stored = known::medication_texts(intake, bundle).await?;
    let Foreseen { mapped, medications, .. } = match foreseen.filter(|foreseen| foreseen.stored == stored) {
        Some(foreseen) => foreseen,
        None => Foreseen::of(bundle, now, stored),
    };
    if !intake.is_alone() {
        hold(intake, mapped.spoken(), drugs).await?;
    }
    Ok((mapped, medications))
}

/// Holds what is spoken of, and all people whom that may concern.
pub(super) async fn hold(
    intake: &dyn Intake,
    spoken: Spoken,
    medications: BTreeSet<String>,
) -> Result<(), StoreError> {
    let Spoken { mut people, identifiers, mut resources } = spoken;
    // An id with a NUL is refused, and no database is to be asked for one.
    resources.retain(|name| !name.chars().any(char::is_control));
    intake.hold(Held::Identifiers, &identifiers).await?;
    // With a server and without one it may be the same.
    let plain: BTreeSet<String> = resources.iter().map(|name| without_server(name).to_owned()).collect();
    intake.hold(Held::Resources, &plain).await?;
    // A Medication has the rows of its orders behind its name, as an identifier has those of who has it.
    let named: Vec<String> = identifiers.into_iter().chain(medications).collect();
    let plain: Vec<String> = plain.into_iter().collect();
    let resources: Vec<String> = resources.into_iter().filter(|name| name.contains('@')).collect();
    for known in [
        intake.holders(&named).await?,
        intake.known(&plain).await?,
        intake.known(&resources).await?,
        intake.on_servers(&plain).await?,
    ] {
        people.extend(known.into_iter().filter_map(|known| known.user_id));
    }
    intake.hold(Held::People, &people).await
}
