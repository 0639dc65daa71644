//! Results on their way to a record system as ORU^R01: one after another, each until it is acknowledged, with pauses that
//! grow where the peer is away.
//!
//! A message that the peer will not take (AE) is not offered again; one that it cannot take now (AR) is, a few times. Then
//! it stays with its reason, which is logged and counted, until what is kept goes.

use std::time::Duration;

use clinical::hl7::{Message, acknowledged};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::time::{sleep, timeout};

use super::frames;
use crate::api::AppState;
use crate::config::Hl7Peer;
use crate::dicom_net::pause;
use crate::outbound::{self, Duplex, Trust};
use crate::store::Store;
use crate::store::hl7::Outgoing;
use recommend::clock;

/// Time between two looks for messages whose turn has come.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time that sending one and its acknowledgement take.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(600);
/// How often a message is offered to a peer that says that it cannot take it now.
const REFUSALS: i64 = 5;
/// Most bytes of an acknowledgement.
const MOST: usize = 64 << 10;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
enum SendError {
    /// The peer could not be reached, broke off, or answered with something else.
    #[error("{0}")]
    Unreached(String),
    /// AE or AR, and the code of the error where one is given.
    #[error("the peer answered {code}{}", .error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default())]
    Refused { code: String, error: Option<String> },
}

impl From<std::io::Error> for SendError {
    fn from(error: std::io::Error) -> SendError {
        SendError::Unreached(error.to_string())
    }
}

type Open = Option<BufReader<Box<dyn Duplex>>>;

/// Sends until it is dropped.
pub async fn deliver(state: AppState, peer: Hl7Peer, trust: Option<Trust>) {
    let mut open: Open = None;
    loop {
        if !next(&state, &peer, trust.as_ref(), &mut open).await {
            // Who is silent for long is cut off by firewalls without a word.
            open = None;
            sleep(LOOK).await;
        }
    }
}

/// Sends the next message; false where there is none, or the peer is away.
async fn next(state: &AppState, peer: &Hl7Peer, trust: Option<&Trust>, open: &mut Open) -> bool {
    let Ok(people) = state.people() else { return false };
    let now = clock::now();
    let until = now + i64::try_from(2 * LIMIT.as_millis()).unwrap_or(i64::MAX);
    let Ok(Some((message, tries))) = people.store.take_hl7(now, until).await else { return false };
    let outcome = match timeout(LIMIT, exchange(&message, peer, trust, open)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SendError::Unreached("the peer did not answer in time".to_string())),
    };
    let keep = i64::try_from(state.config.dicom.keep.as_millis()).unwrap_or(i64::MAX);
    note(people.store.as_ref(), &message, tries, keep, outcome.as_ref().err()).await;
    !matches!(outcome, Err(SendError::Unreached(_)))
}

async fn exchange(
    message: &Outgoing,
    peer: &Hl7Peer,
    trust: Option<&Trust>,
    open: &mut Open,
) -> Result<(), SendError> {
    let stream = match open {
        Some(stream) => stream,
        None => open.insert(BufReader::new(outbound::connect(&peer.address, trust).await?)),
    };
    stream.write_all(&frames::framed(&message.message)).await?;
    stream.flush().await?;
    let unreached = |words: &str| SendError::Unreached(words.to_string());
    let mut block = frames::Block::default();
    let ended = frames::read(stream, MOST, &mut block).await?;
    let answer = block.message.filter(|_| ended);
    let answer =
        answer.ok_or_else(|| unreached("the peer ended the connection without an acknowledgement"))?;
    // Of an acknowledgement the codes are read, which are of ASCII whatever its character set is.
    let text = String::from_utf8_lossy(&answer);
    let answer = Message::read(&text).ok().and_then(|message| acknowledged(&message));
    let answer =
        answer.ok_or_else(|| unreached("the peer answered with something else than an acknowledgement"))?;
    if answer.of != message.id {
        return Err(unreached("the peer acknowledged another message"));
    }
    match answer.code.as_str() {
        "AA" | "CA" => Ok(()),
        "AE" | "AR" | "CE" | "CR" => Err(SendError::Refused { code: answer.code, error: answer.error }),
        _ => Err(unreached("the peer acknowledged with a code that HL7 does not have")),
    }
}

/// Writes down what became of it.
async fn note(store: &dyn Store, message: &Outgoing, tries: i64, keep: i64, error: Option<&SendError>) {
    let later = || clock::now() + i64::try_from(pause(tries, LONGEST).as_millis()).unwrap_or(0);
    let old = clock::now() - message.created > keep;
    let (due, counted) = match error {
        None => (None, "sent"),
        Some(SendError::Refused { code, .. }) if code.ends_with('E') || tries >= REFUSALS => {
            (None, "given_up")
        }
        Some(_) if old => (None, "given_up"),
        Some(_) => (Some(later()), "failed"),
    };
    let failure = error.map(ToString::to_string);
    if let Some(reason) = &failure {
        let given_up = due.is_none();
        tracing::warn!(id = message.id, reason, tries, given_up, "a result was not taken by HL7's peer");
    }
    metrics::counter!("medserve_hl7_sent_total", "result" => counted).increment(1);
    if let Err(error) = store.sent_hl7(&message.id, due, failure.as_deref()).await {
        tracing::warn!(%error, "what became of an HL7 message was not written down; it may be sent twice");
    }
}
