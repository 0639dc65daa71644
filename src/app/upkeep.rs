//! What goes on beside the requests: taking over what others wrote, tidying up, reading keys again.
//!
//! Nothing here has a client whose patience ends it, so every question to the database has a limit of
//! its own: a network that falls silent, with no word that a connection is gone, must not end the work
//! for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::MissedTickBehavior;

use super::tls::Certificates;
use crate::api::{AppState, People, drift};
use crate::cases::{Cases, CasesError};
use crate::store::{AuditKey, KEEP_CHANGES, Store, StoreError, TRIM_BATCH};
use crate::telemetry::of_tenant;
use recommend::SourceError;
use recommend::clock;

/// Time between two trims of the change feed.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Time between two rounds of upkeep.
const KEEP_UP_EVERY: Duration = Duration::from_secs(30);

/// Time between two looks at files of keys and certificates.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Time between two steps of the audit's clock.
const TICK_EVERY: Duration = Duration::from_secs(10);

/// Time between two looks for cases without a vector.
const FILL_EVERY: Duration = Duration::from_secs(1);

/// Longest time that the database has for one question, and for loading everything.
const LIMIT: Duration = Duration::from_secs(10);
const RELOAD_LIMIT: Duration = Duration::from_secs(900);

/// Milliseconds for which it is kept what a card suggested: feedback may come so late.
const OFFERS_KEPT: i64 = 7 * 86_400_000;

/// An error that says no answer came in time.
trait Silence {
    fn silence() -> Self;
}

impl Silence for CasesError {
    fn silence() -> Self {
        StoreError::silence().into()
    }
}

const NO_ANSWER: &str = "no answer came in time";

impl Silence for SourceError {
    fn silence() -> Self {
        SourceError::Unavailable(NO_ANSWER.to_string())
    }
}

impl Silence for StoreError {
    fn silence() -> Self {
        StoreError::Unavailable(NO_ANSWER.into())
    }
}

/// The answer, or that there was none in time. The question is dropped then, and with it its
/// connection, if that does not answer either.
async fn within<T, E: Silence>(limit: Duration, asked: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(E::silence()))
}

/// Takes over writes of other replicas and of plain SQL, again and again, and tidies up behind.
pub async fn keep_fresh(people: Arc<People>, tenant: String, every: Duration) {
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trimmed = Instant::now();
    let mut merging: Option<JoinHandle<()>> = None;
    // At most one; a set, because that ends with this task.
    let mut loading = JoinSet::new();
    loop {
        rounds.tick().await;
        let fresh = people.recommender.fresh();
        let refreshed = within(LIMIT, fresh.refresh(clock::now())).await;
        let answers = refreshed.is_ok();
        let reachable = people.reachable.swap(answers, Ordering::Relaxed);
        match refreshed {
            Err(error) if reachable => {
                tracing::warn!(%error, "the database does not answer; recommendations go on from the last snapshot");
            }
            Ok(()) if !reachable => tracing::info!("the database answers again"),
            _ => {}
        }
        // The looks at the feed go on during this as well.
        if let Some(loaded) = loading.try_join_next() {
            match loaded {
                Ok(Ok(())) => tracing::info!("everything was loaded anew"),
                Ok(Err(error)) => tracing::warn!(%error, "loading everything anew failed"),
                Err(_) => tracing::error!("loading everything anew broke off"),
            }
        }
        if answers && fresh.reload_is_due() && loading.is_empty() {
            let people = people.clone();
            loading.spawn(async move {
                within(RELOAD_LIMIT, people.recommender.fresh().reload(clock::now())).await
            });
        }
        let age = clock::now() - fresh.snapshot().as_of;
        metrics::gauge!("medserve_recommender_age_seconds", of_tenant(&tenant, [])).set(age as f64 / 1e3);
        let tidying = trimmed.elapsed() >= TRIM_EVERY;
        // A merge computes for seconds, during which the looks at the feed go on.
        if merging.as_ref().is_none_or(JoinHandle::is_finished) {
            if let Some(merged) = merging.take()
                && merged.await.is_err()
            {
                tracing::error!("merging the recent writes failed");
            }
            if fresh.merge_is_due(tidying) {
                let people = people.clone();
                merging = Some(spawn_blocking(move || people.recommender.fresh().merge(tidying)));
            }
        }
        if tidying {
            trimmed = Instant::now();
            if let Err(error) = within(LIMIT, people.store.trim_changes(KEEP_CHANGES)).await {
                tracing::warn!(%error, "the change feed was not trimmed");
            }
        }
    }
}

/// Takes over cases that other replicas and plain SQL wrote, and drops from memory what was erased.
pub async fn keep_cases(cases: Arc<Cases>, every: Duration) {
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut tidied, mut answers) = (Instant::now(), true);
    loop {
        rounds.tick().await;
        let refreshed = within(RELOAD_LIMIT, cases.refresh()).await;
        match (&refreshed, answers) {
            (Err(error), true) => {
                tracing::warn!(%error, "cases of other processes cannot be read; searches go on without them");
            }
            (Ok(()), false) => tracing::info!("cases of other processes are read again"),
            _ => {}
        }
        answers = refreshed.is_ok();
        if tidied.elapsed() >= TRIM_EVERY {
            cases.tidy().await;
            tidied = Instant::now();
        }
    }
}

/// Makes the vectors of cases that have none.
pub async fn fill_cases(cases: Arc<Cases>) {
    loop {
        match cases.fill().await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(FILL_EVERY).await,
            Err(error) => {
                tracing::warn!(%error, "vectors of cases were not made; trying again");
                tokio::time::sleep(LIMIT).await;
            }
        }
    }
}

/// Reads files of keys, of tokens' keys and of the certificate again when they have changed.
pub async fn reload(state: AppState, tls: Option<Certificates>) {
    let mut rounds = tokio::time::interval(RELOAD_EVERY);
    loop {
        rounds.tick().await;
        let (state, tls) = (state.clone(), tls.clone());
        let read = spawn_blocking(move || {
            state.identity.reload();
            if let Some(tls) = tls {
                tls.reload();
            }
        });
        if read.await.is_err() {
            tracing::error!("reading keys again broke off");
        }
    }
}

/// Moves the audit's clock on, by the time that this process ran and not by the time of day. As this
/// writes, it is known by it whether the database takes writes.
pub async fn tick(people: Arc<People>) {
    let mut rounds = tokio::time::interval(TICK_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since = Instant::now();
    loop {
        rounds.tick().await;
        let ran = since.elapsed();
        let ticked = within(LIMIT, people.store.tick_audit(ran)).await;
        if ticked.is_ok() {
            since += ran;
        }
        note(&people.writable, ticked.is_ok(), "takes writes");
    }
}

/// Keeps whether the database does something, and logs when that changes.
fn note(does: &AtomicBool, now: bool, what: &str) {
    match (does.swap(now, Ordering::Relaxed), now) {
        (true, false) => tracing::warn!("the database no longer {what}"),
        (false, true) => tracing::info!("the database {what} again"),
        _ => {}
    }
}

/// Writes the counts of answers, and lets go of those whose time has passed.
async fn keep_answers(store: &dyn Store) {
    if let Err(error) = within(LIMIT, drift::keep(store)).await {
        tracing::warn!(%error, "counts of answers were not written; they wait");
    }
    let last = drift::hour(clock::now()) - drift::KEPT;
    if let Err(error) = within(LIMIT, store.trim_answers(last)).await {
        tracing::warn!(%error, "counts of answers were not trimmed");
    }
}

/// Tidies up now and then: callers that stayed away, audit rows whose time has passed.
pub async fn keep_up(state: AppState, people: Arc<People>, key: Arc<AuditKey>) {
    let mut rounds = tokio::time::interval(KEEP_UP_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        state.failures.retain_recent();
        if let Some(rate) = &state.rate {
            rate.retain_recent();
        }
        loop {
            match within(LIMIT, people.store.trim_audit(state.config.audit_keep, &key)).await {
                Ok(gone) if gone < u64::from(TRIM_BATCH) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the audit was not trimmed");
                    break;
                }
            }
        }
        // Models are everybody's, and so are the counts of their answers.
        if state.tenant.is_empty() {
            keep_answers(people.store.as_ref()).await;
        }
        let kept = i64::try_from(state.config.dicom.keep.as_millis()).unwrap_or(i64::MAX);
        let before = clock::now().saturating_sub(kept);
        if let Err(error) = within(LIMIT, people.store.trim_dicom(before)).await {
            tracing::warn!(%error, "DICOM results were not trimmed");
        }
        if let Err(error) = within(LIMIT, people.store.trim_hl7(before)).await {
            tracing::warn!(%error, "HL7 messages were not trimmed");
        }
        if let Err(error) = within(LIMIT, people.store.trim_offers(clock::now() - OFFERS_KEPT)).await {
            tracing::warn!(%error, "what cards suggested was not trimmed");
        }
        if let Ok(backlog) = within(LIMIT, people.store.hl7_backlog()).await {
            let labels = of_tenant(&state.tenant, []);
            metrics::gauge!("medserve_hl7_unsent", labels.clone()).set(backlog.unsent as f64);
            metrics::gauge!("medserve_hl7_given_up", labels).set(backlog.given_up as f64);
        }
        if let Ok(backlog) = within(LIMIT, people.store.dicom_backlog()).await {
            let labels = of_tenant(&state.tenant, []);
            metrics::gauge!("medserve_dicom_waiting", labels.clone()).set(backlog.waiting as f64);
            metrics::gauge!("medserve_dicom_unsent", labels).set(backlog.unsent as f64);
        }
    }
}
