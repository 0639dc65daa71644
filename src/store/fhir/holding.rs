//! What a Bundle speaks of is held before it is looked at, so that nobody else writes it meanwhile: the Medications that say what
//! its orders are, the identifiers that say who its people are, its resources, and then all people of whose records it may write,
//! among them those whom its resources were said of before.

use std::collections::{BTreeSet, HashMap};

use clinical::fhir::bundle::Bundle;
use clinical::fhir::references::without_server;
use clinical::fhir::resources::Medication;
use clinical::fhir::{Mapped, Spoken, map_with};
use recommend::Millis;

use super::known;
use crate::store::{Held, Intake, StoreError};

/// What a Bundle means, once all that it speaks of is held.
pub(super) async fn map(
    intake: &dyn Intake,
    bundle: &Bundle,
    now: Millis,
) -> Result<(Mapped, HashMap<String, Medication>), StoreError> {
    let drugs = known::medication_names(bundle);
    intake.hold(Held::Medications, &drugs).await?;
    let medications = known::medications(intake, bundle).await?;
    let mapped = map_with(bundle, now, &medications);
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
