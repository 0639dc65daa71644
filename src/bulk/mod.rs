//! Records that are pulled from a hospital's FHIR server on a schedule (SMART Backend Services and Bulk Data Access), and
//! taken in as `medserve import fhir` takes in a folder of NDJSON: all of an export or nothing of it.
//!
//! The schedule is in the database, so that a start does not pull anew and of several replicas one pulls. After a failure
//! the pauses grow up to the usual time between two exports. Each export has rows in the audit, with everybody whom it
//! concerns.
//!
//! - `key`: who this server is; `client`: tokens, patience, and no way elsewhere; `export`: one export

mod client;
mod export;
mod key;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::api::{AppState, People};
use crate::config::BulkConfig;
use crate::dicom_net::pause;
use crate::outbound::Http;
use crate::store::fhir::{BundleError, TakenBack, Wait, take_back, take_in};
use crate::store::{AuditRow, NotWritten, Store};
use client::{Hospital, Patience, PullError};
use clinical::fhir::{Deletions, FhirError};
use export::export;
use recommend::{Millis, clock};

pub use key::ClientKey;

/// Time for which an export is nobody else's, beyond what it waits for.
const MARGIN: Duration = Duration::from_secs(600);
/// Longest time between two looks at the schedule.
const LOOK: Duration = Duration::from_secs(60);
/// People of one row of the audit.
const PEOPLE: usize = 1000;

fn ms(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Pulls until it is dropped.
pub async fn pull(state: AppState, config: BulkConfig, key: ClientKey, http: Http) {
    let name = format!("{}/{}", config.server, config.export);
    let mut hospital = Hospital::new(config, key, http);
    loop {
        let rest = match state.people() {
            Ok(people) => turn(&state, &people, &mut hospital, &name).await,
            Err(_) => Duration::from_secs(1),
        };
        sleep(rest.min(LOOK)).await;
    }
}

/// What an export came to.
struct Taken {
    since: String,
    people: Vec<String>,
    resources: usize,
    /// What became of deletions, in words; empty where there were none.
    deletions: String,
    /// Errors that the server had while it exported.
    errors: usize,
    /// Resources that were left out, as they are of people who are somebody else here.
    of_others: usize,
}

/// Pulls where it is time to; how long there is nothing to do then.
async fn turn(state: &AppState, people: &People, hospital: &mut Hospital, name: &str) -> Duration {
    let now = clock::now();
    let (since, tries) = match people.store.take_bulk(name, now, now + ms(MARGIN)).await {
        Ok(Some(taken)) => taken,
        Ok(None) => return LOOK,
        Err(error) => {
            tracing::warn!(%error, "the schedule of exports cannot be read");
            return LOOK;
        }
    };
    let begun = Instant::now();
    let every = hospital.config().every;
    let taken = take(state, people, hospital, (name, since.as_deref())).await;
    let (rest, ended) = match &taken {
        // What is missing has not changed since, so the next export begins where this one began.
        Ok(taken) if taken.errors > 0 => (every, Err(incomplete(taken.errors))),
        Ok(taken) if taken.of_others > 0 => (every, Err(of_others(taken.of_others))),
        Ok(taken) => (every, Ok(taken.since.as_str())),
        Err(error) => (pause(tries, every), Err(error.to_string())),
    };
    let result = match &taken {
        Ok(taken) if taken.errors + taken.of_others > 0 => "incomplete",
        Ok(_) => "imported",
        Err(_) => "failed",
    };
    metrics::counter!("medserve_bulk_exports_total", "result" => result).increment(1);
    if let Err(reason) = &ended {
        let seconds = rest.as_secs();
        tracing::warn!(
            reason,
            tries,
            "records were not pulled, or not all; trying again in {seconds} seconds"
        );
    }
    // Until its rows are written an export has not ended: were the process to, it is pulled again.
    if recorded(state, &taken, begun).await.is_err() {
        tracing::warn!("an export was taken in and the audit cannot be written; it is pulled again");
        return LOOK;
    }
    let ended = ended.as_deref().map_err(String::as_str);
    if let Err(error) = people.store.end_bulk(name, clock::now() + ms(rest), ended).await {
        tracing::warn!(%error, "what became of an export was not written down; it is pulled again");
    }
    rest
}

async fn take(
    state: &AppState,
    people: &People,
    hospital: &mut Hospital,
    (name, since): (&str, Option<&str>),
) -> Result<Taken, PullError> {
    if state.audit.check().is_err() {
        return Err(PullError::Store(
            "the audit cannot be written, and nothing is done without it".to_string(),
        ));
    }
    let holding = Holding { store: people.store.as_ref(), name };
    let exported = export(hospital, since, &holding).await?;
    let resources = exported.bundle.entries.len();
    let now = clock::now();
    let settled = take_in(people.store.as_ref(), &exported.bundle, now, Wait::No, None).await;
    let failed = |words: String| PullError::Store(format!("nothing of the export was taken in: {words}"));
    let (settled, loaded) = settled
        .map_err(|error| match error {
            // Whose it is stays out of the log.
            BundleError::Unfit { error, .. } => failed(format!("{}: {}", error.pointer, error.detail)),
            BundleError::Refused(errors) if !errors.is_empty() => {
                failed(exported.sources.in_words(&exported.bundle, &errors[0]))
            }
            error => failed(error.to_string()),
        })?
        .ok_or_else(|| failed("it refers to what is not here".to_string()))?;
    // What is here of them is known only now: an export that is refused deletes nothing.
    let back = take_back(people.store.as_ref(), &exported.deletions).await;
    let back = back.map_err(|error| {
        PullError::Store(format!("the export was taken in, but not all deletions were carried out: {error}"))
    })?;
    let users: BTreeSet<String> = settled
        .people
        .iter()
        .map(|person| person.user_id.clone())
        .chain(settled.interactions.iter().map(|interaction| interaction.user_id.clone()))
        .chain(settled.taken_back.iter().cloned())
        .chain(back.erased.iter().chain(&back.changed).chain(&back.undone).cloned())
        .collect();
    let users: Vec<String> = users.into_iter().collect();
    let items: Vec<String> =
        settled.items.iter().map(|item| item.item_id.clone()).chain(back.hidden.iter().cloned()).collect();
    people.written(&users, &items).await;
    let left_out: Vec<&FhirError> =
        settled.outcomes.iter().filter_map(|outcome| outcome.error.as_ref()).collect();
    if let Some(first) = left_out.first() {
        tracing::warn!(resources = left_out.len(), %first, "resources of an export were left out");
    }
    tracing::info!(
        resources,
        left_out = left_out.len(),
        not_exported = exported.errors,
        users_created = loaded.users.created,
        users_updated = loaded.users.updated,
        items_created = loaded.items.created,
        interactions_created = loaded.interactions.created,
        deletions = exported.deletions.len(),
        users_erased = back.erased.len(),
        "an export was taken in"
    );
    let deletions = in_words(&exported.deletions, &back);
    let of_others = left_out.iter().filter(|error| error.code == "conflict").count();
    let (since, errors) = (exported.time, exported.errors);
    Ok(Taken { since, people: users, resources, deletions, errors, of_others })
}

/// What is said of an export with people whose ids others have here.
fn of_others(resources: usize) -> String {
    format!(
        "the export was taken in, but for {resources} resources of people whose ids people of other servers have here; nothing \
         of them is known until the ids are told apart"
    )
}

/// What is said of an export that its server could not finish.
fn incomplete(errors: usize) -> String {
    format!("the export was taken in, but the server says that it is not complete ({errors} errors)")
}

/// What became of deletions.
fn in_words(deletions: &Deletions, back: &TakenBack) -> String {
    if deletions.is_empty() {
        return String::new();
    }
    let TakenBack { erased, changed, hidden, undone, not_undone, of_others } = back;
    let mut words = format!(
        "{} deletions: {} people erased, statements taken back of {}, interactions of {}, {} items hidden",
        deletions.len(),
        erased.len(),
        changed.len(),
        undone.len(),
        hidden.len()
    );
    if *of_others > 0 {
        words.push_str(&format!(", {of_others} people not erased, as other servers have them"));
    }
    for (kind, count) in deletions.others.iter().chain(not_undone) {
        words.push_str(&format!(", {count} {kind} not undone"));
    }
    words
}

/// Writes the rows of the audit: of everybody concerned, some at a time.
async fn recorded(
    state: &AppState,
    taken: &Result<Taken, PullError>,
    begun: Instant,
) -> Result<(), NotWritten> {
    let row = |status, people: &[String], said: String| AuditRow {
        status,
        people: people.to_vec(),
        answers: vec![Some(said)],
        latency_ms: begun.elapsed().as_secs_f64() * 1e3,
        ..AuditRow::of("bulk", "", "GET", "bulk export")
    };
    match taken {
        Ok(taken) => {
            let groups: Vec<&[String]> = match taken.people.is_empty() {
                true => vec![&[][..]],
                false => taken.people.chunks(PEOPLE).collect(),
            };
            for people in groups {
                let mut row = row(200, people, format!("{} resources taken in", taken.resources));
                row.answers.extend(Some(taken.errors).filter(|errors| *errors > 0).map(incomplete).map(Some));
                row.answers.extend(Some(taken.of_others).filter(|count| *count > 0).map(of_others).map(Some));
                row.answers.extend(Some(taken.deletions.clone()).filter(|words| !words.is_empty()).map(Some));
                state.audit.record(row).await?;
            }
        }
        Err(error) => state.audit.note(row(502, &[], error.to_string())),
    }
    Ok(())
}

/// Keeps the export from other replicas while it waits.
struct Holding<'a> {
    store: &'a dyn Store,
    name: &'a str,
}

impl Patience for Holding<'_> {
    async fn wait(&self, duration: Duration) {
        let until = clock::now() + ms(duration + MARGIN);
        if let Err(error) = self.store.hold_bulk(self.name, until).await {
            tracing::warn!(%error, "an export that is waited for was not kept from other replicas");
        }
        sleep(duration).await;
    }
}
