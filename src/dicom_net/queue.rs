//! Images that wait in the database, answered one after another by as many workers as there are engines.
//!
//! A worker takes an image for as long as an answer may take; were the process to end meanwhile, it is taken again
//! when that time has passed. What could be answered later is tried again, and what cannot be answered keeps its
//! reason in the place of its file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::answers::{self, AnswerError, Answered};
use super::listen::Network;
use crate::api::People;
use crate::config::Models;
use crate::inference::head;
use crate::store::AuditRow;
use crate::store::audit::chain::request_digest;
use crate::store::dicom::{Kept, Queued, Turn};
use recommend::clock;

/// Time between two looks for images of which nobody told, such as those that another replica left.
const LOOK: Duration = Duration::from_secs(1);
/// Time beyond an answer's own for which an image is nobody else's: the audit and the database have theirs.
const MARGIN: Duration = Duration::from_secs(15);
/// How often an image is tried.
const TRIES: i64 = 20;
/// [`Queued::unfinished`] of an image that was read alone twice by servers that ended meanwhile, after once beside others.
const UNFINISHED: i64 = 5;
/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(300);
/// Most workers.
const WORKERS: usize = 16;

/// Works until it is dropped.
pub async fn work(network: Arc<Network>) {
    let mut workers = JoinSet::new();
    for _ in 0..network.state.config.engines.min(WORKERS) {
        let network = network.clone();
        workers.spawn(async move {
            loop {
                if !one(&network).await {
                    let _ = tokio::time::timeout(LOOK, network.queued.notified()).await;
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
}

/// The pause before a try that follows so many.
pub fn pause(tries: i64, longest: Duration) -> Duration {
    Duration::from_secs(1 << tries.clamp(0, 12)).min(longest)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Answers the next image; false where none waits, or the database does not answer.
async fn one(network: &Network) -> bool {
    let state = &network.state;
    let (Ok(people), Ok(_)) = (state.people(), state.registry()) else { return false };
    if state.audit.check().is_err() {
        return false;
    }
    let limit = state.config.request_timeout;
    let now = clock::now();
    let taken = match people.store.take_dicom(now, now + ms(limit + MARGIN)).await {
        Ok(Some(taken)) => taken,
        Ok(None) => return false,
        Err(error) => {
            tracing::debug!(%error, "no DICOM image was taken");
            return false;
        }
    };
    // Others may wait for the next one.
    network.queued.notify_one();
    // An image that ends the process that reads it would end every one that starts. Of those that were read then nobody knows which it
    // was, so each is read once more with no other beside it.
    let suspected = taken.unfinished > 1;
    let (_beside, _alone) = match suspected {
        false => (Some(network.reading.read().await), None),
        true => (None, Some(network.reading.write().await)),
    };
    let begun = Instant::now();
    let outcome = match taken.unfinished > UNFINISHED {
        true => Err(AnswerError::Failed("the server ended twice while it alone was read".to_string())),
        false => {
            // Where it waited too long for its turn, another may have it.
            let until = clock::now() + ms(limit + MARGIN);
            if suspected && !matches!(people.store.read_dicom_alone(taken.number, until).await, Ok(true)) {
                return false;
            }
            answered(network, &people, &taken, begun + limit).await
        }
    };
    let later = || {
        let due = clock::now() + ms(pause(taken.tries, LONGEST));
        people.store.give_back_dicom(taken.number, due)
    };
    if let Err(error) = &outcome
        && error.passes()
        && taken.tries < TRIES
    {
        return later().await.is_ok();
    }
    // Before anything is kept: were the process to end between the two, a row without its answer is followed by another, and an
    // answer without its row by nothing.
    if state.audit.record(row(&taken, &outcome, begun).await).await.is_err() {
        tracing::warn!(number = taken.number, "a DICOM image waits for the audit");
        let _ = later().await;
        return false;
    }
    let kept = match &outcome {
        Ok(answered) => {
            let turn = Turn::Queued(taken.number);
            let kept = answers::keep(&state.config, people.store.as_ref(), turn, answered).await;
            network.made.notify_one();
            match kept {
                // What was erased, or came again and has changed, is not to be answered any more.
                Ok(Kept::Yes | Kept::Gone) => Ok(()),
                Ok(Kept::Again) => {
                    return people.store.give_back_dicom(taken.number, clock::now()).await.is_ok();
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => {
            tracing::warn!(number = taken.number, reason = %error, "a DICOM image got no answer");
            people.store.fail_dicom(taken.number, &error.to_string()).await
        }
    };
    if let Err(error) = kept {
        tracing::warn!(number = taken.number, %error, "an answer to a DICOM image was not kept; it is tried again");
        let _ = later().await;
        return false;
    }
    let result = if outcome.is_ok() { "answered" } else { "failed" };
    metrics::counter!("medserve_dicom_answered_total", "result" => result).increment(1);
    let waited = clock::now() - taken.instance.received;
    metrics::histogram!("medserve_dicom_answer_seconds").record(waited.max(0) as f64 / 1e3);
    true
}

async fn answered(
    network: &Network,
    people: &People,
    taken: &Queued,
    deadline: Instant,
) -> Result<Answered, AnswerError> {
    let state = &network.state;
    let registry = state.registry().map_err(|problem| AnswerError::Busy(problem.detail))?;
    let source = head::read(&taken.instance.file, answers::source).await;
    let source =
        source.unwrap_or_else(|| Err(AnswerError::Failed("its head could not be read".to_string())))?;
    let image = (&source, taken.instance.file.clone());
    // Callers of this network have no keys that could be for some models alone.
    let all = Models::default();
    answers::answer(&registry, &state.config, people.store.as_ref(), &all, image, deadline).await
}

/// The digests of an instance that came by C-STORE, for the audit: of its file, and of the request with it.
pub async fn digests(sop_instance: &str, file: &Bytes) -> (String, String) {
    let begin = request_digest("C-STORE", sop_instance);
    let digests = head::read(file, |file| {
        let mut request = begin;
        request.update(file);
        (hex::encode(Sha256::digest(file)), hex::encode(request.finalize()))
    });
    digests.await.unwrap_or_default()
}

/// The row of the audit.
async fn row(taken: &Queued, outcome: &Result<Answered, AnswerError>, begun: Instant) -> AuditRow {
    let instance = &taken.instance;
    let labels = outcome.as_ref().map(|answered| answered.labels.as_slice()).unwrap_or_default();
    let (model, version) = answers::names(labels);
    let (input_sha256, request_sha256) = digests(&instance.sop_instance, &instance.file).await;
    AuditRow {
        request_id: format!("dicom-{}", taken.number),
        status: if outcome.is_ok() { 200 } else { 422 },
        model,
        version,
        people: Some(instance.patient.clone()).filter(|id| !id.is_empty()).into_iter().collect(),
        input_sha256,
        request_sha256,
        answers: labels.iter().map(|own| own.label.clone()).collect(),
        abstained: labels.iter().any(|own| own.label.is_none()),
        latency_ms: begun.elapsed().as_secs_f64() * 1e3,
        evidence: answers::evidence(labels).text(),
        ..AuditRow::of(&format!("ae:{}", instance.caller), &instance.address, "C-STORE", "dicom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let longest = Duration::from_secs(60);
        let pauses: Vec<u64> = [0, 1, 5, 6, 50].map(|tries| pause(tries, longest).as_secs()).into();
        assert_eq!(pauses, [1, 2, 32, 60, 60]);
    }
}
