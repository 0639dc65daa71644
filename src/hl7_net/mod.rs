//! HL7 version 2 on the network: messages of admission come over MLLP and become people, as FHIR Bundles do; results go
//! to a record system (`send`).
//!
//! MLLP frames a message by three control characters and knows neither who speaks nor encryption, so the addresses that may
//! send are a setting, and TLS is the server's. A message is acknowledged once what it says is in the database.

pub mod frames;
mod order;
mod send;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clinical::fhir::Bundle;
use clinical::fhir::references::held;
use clinical::hl7::{Accepted, Hl7Error, Identity, Message, Sent, acknowledgement, bundle, text};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::api::AppState;
use crate::places::Places;
use crate::store::audit::chain::request_digest;
use crate::store::fhir::{BundleError, Wait, hold, take_in_within};
use crate::store::known::FORMER;
use crate::store::{AuditRow, Held, Intake, KnownStore, StoreError};
use frames::Block;
use order::Order;
use recommend::clock;

pub use send::deliver;

/// Most connections at a time.
const CONNECTIONS: usize = 64;
/// Most bytes of a message.
const MOST: usize = 1 << 20;

/// Takes messages until `stopped` says so.
pub async fn serve(state: AppState, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let places = Places::new(CONNECTIONS);
    let number = Arc::new(AtomicU64::new(0));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let senders = &state.config.hl7.senders;
        let may = senders.is_empty() || senders.contains(&peer.ip().to_canonical());
        let (Ok(place), true) = (places.take(peer.ip()), may) else {
            metrics::counter!("medserve_hl7_messages_total", "result" => "unheard").increment(1);
            let (status, why) = match may {
                true => (503, "too many connections"),
                false => (403, "the address is not among the senders"),
            };
            let address = peer.ip().to_canonical().to_string();
            state.note_refusal(AuditRow {
                status,
                answers: vec![Some(why.to_string())],
                ..AuditRow::of("unknown", &address, "MLLP", "hl7")
            });
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (state, number, mut stopped) = (state.clone(), number.clone(), stopped.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = talk(&state, BufReader::new(stream), peer, &number) => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
}

/// One message after another, each with its acknowledgement.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    state: &AppState,
    mut stream: BufReader<S>,
    peer: SocketAddr,
    number: &AtomicU64,
) {
    let mut block = Block::default();
    loop {
        let read = timeout(state.config.idle_timeout, frames::read(&mut stream, MOST, &mut block)).await;
        let broken = match read {
            Ok(Ok(true)) => None,
            Err(_) => Some("a block ends with the bytes 1C and 0D, and nothing more came"),
            Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                Some("a message is longer than is accepted")
            }
            Ok(_) => return,
        };
        // Who was silent from the start has sent nothing that could be answered.
        let Some(bytes) = block.message.take() else { return };
        let id = format!("{}", number.fetch_add(1, Ordering::Relaxed) + 1);
        let answer = answered(state, &bytes, broken, peer, &id).await;
        let written =
            timeout(state.config.response_timeout, stream.write_all(&frames::framed(&answer))).await;
        if !matches!(written, Ok(Ok(()))) || stream.flush().await.is_err() || broken.is_some() {
            return;
        }
    }
}

/// Takes a message in, unless its block is `broken`, and says what became of it.
async fn answered(
    state: &AppState,
    bytes: &[u8],
    broken: Option<&'static str>,
    peer: SocketAddr,
    id: &str,
) -> String {
    let begun = Instant::now();
    let text = match broken {
        Some(detail) => Err(Hl7Error::new("MSH", 207, detail)),
        None => text(bytes, state.config.hl7.charset),
    };
    // The header is read all the same, so that the refusal goes back to who sent it.
    let message = match &text {
        Ok(text) => Message::read(text),
        Err(_) => Message::read(&String::from_utf8_lossy(bytes)),
    };
    let (taken, mut patients) = match (&message, &text) {
        (Ok(_), Err(error)) => (Err((Accepted::Error, error.clone())), Vec::new()),
        (Ok(message), Ok(_)) => taken_in(state, message).await,
        (Err(error), _) => (Err((Accepted::Error, error.clone())), Vec::new()),
    };
    let (mut accepted, mut told, result) = match &taken {
        Ok(warnings) => (Accepted::Yes, warnings.as_slice(), "taken"),
        Err((accepted, error)) => (*accepted, std::slice::from_ref(error), "refused"),
    };
    metrics::counter!("medserve_hl7_messages_total", "result" => result).increment(1);
    if let (true, Ok(message)) = (patients.is_empty(), &message) {
        patients = named(state, message, accepted).await;
    }
    let row = AuditRow {
        request_id: format!("hl7-{id}"),
        status: match accepted {
            Accepted::Yes => 200,
            Accepted::Error => 422,
            Accepted::Rejected if told.iter().any(|error| error.code == 202) => 422,
            Accepted::Rejected => 503,
        },
        people: patients,
        input_sha256: hex::encode(Sha256::digest(bytes)),
        request_sha256: hex::encode({
            let mut digest = request_digest("ADT", "hl7");
            digest.update(bytes);
            digest.finalize()
        }),
        answers: told.iter().map(|error| Some(format!("{} {}", error.place, error.code))).collect(),
        latency_ms: begun.elapsed().as_secs_f64() * 1e3,
        ..AuditRow::of("hl7", &peer.ip().to_canonical().to_string(), "ADT", "hl7")
    };
    let unwritten = Hl7Error::new("MSH", 207, "the audit cannot be written; send it again in a moment");
    // It may have been taken in: sent again, it changes nothing.
    if state.audit.record(row).await.is_err() {
        (accepted, told) = (Accepted::Rejected, std::slice::from_ref(&unwritten));
    }
    acknowledgement(message.as_ref().ok(), accepted, told, clock::now(), id)
}

/// Whom a message names that was not taken: by its number, and by the id that whoever has it is kept under. Of one that may come
/// again in a moment, since the database is away, the number alone.
async fn named(state: &AppState, message: &Message, accepted: Accepted) -> Vec<String> {
    let Ok(identity) = Identity::of(message) else { return Vec::new() };
    let mut names = vec![identity.id];
    if accepted == Accepted::Error
        && let Ok(people) = state.people()
        && let Ok(user_id) = person_of(people.store.as_ref(), message).await
    {
        names.push(user_id);
    }
    names
}

/// What of a message that is taken its sender is told, or why it is not taken.
type Taken = Result<Vec<Hl7Error>, (Accepted, Hl7Error)>;

async fn taken_in(state: &AppState, message: &Message) -> (Taken, Vec<String>) {
    let refused = |accepted, place, code, words: &str| Err((accepted, Hl7Error::new(place, code, words)));
    match bundle(message, None) {
        Ok(_) => {}
        // "Application reject" is what chapter 2 answers to what is of no concern to a production system.
        Err(error) if error.code == 202 => return (Err((Accepted::Rejected, error)), Vec::new()),
        Err(error) => return (Err((Accepted::Error, error)), Vec::new()),
    }
    let later =
        || (refused(Accepted::Rejected, "MSH", 207, "not now; send it again in a moment"), Vec::new());
    let Ok(people) = state.people() else { return later() };
    if state.audit.check().is_err() {
        return later();
    }
    let Ok(intake) = people.store.begin_intake().await else { return later() };
    let store = intake.as_ref();
    if hold_numbers(store, message).await.is_err() {
        return later();
    }
    match somebody_elses(store, message).await {
        Ok(false) => {}
        Ok(true) => {
            let detail = "the number is known as another assigning authority's, and may be somebody else's: the number of \
                 one person of two authorities comes once with both (PID-3, two repetitions)";
            return (refused(Accepted::Error, "PID-3", 205, detail), Vec::new());
        }
        Err(_) => return later(),
    }
    let Ok(user_id) = person_of(store, message).await else { return later() };
    let unread = || (refused(Accepted::Error, "MSH", 207, "it could not be read"), Vec::new());
    let Ok(mut said) = bundle(message, Some(&user_id)) else { return unread() };
    let now = clock::now();
    let Ok(whole) = Bundle::read(&said.to_string()) else { return unread() };
    if hold(store, &whole, now).await.is_err() {
        return later();
    }
    let (remember, told) = match order::compare(store, &Sent::of(message, now), &user_id, &mut said).await {
        Ok(Order::New { remember, told }) => (remember, told),
        Ok(Order::Again) => return (Ok(Vec::new()), vec![user_id]),
        Err(_) => return later(),
    };
    let Ok(read) = Bundle::read(&said.to_string()) else { return unread() };
    match take_in_within(store, &read, now, Wait::No, None).await {
        Ok(Some(settled)) => {
            let users: Vec<String> = settled.people.iter().map(|person| person.user_id.clone()).collect();
            if store.put_known(&remember).await.is_err() || intake.commit().await.is_err() {
                return later();
            }
            people.written(&users, &[]).await;
            (Ok(told), users)
        }
        Ok(None) => (refused(Accepted::Error, "MSH", 207, "it could not be taken in"), Vec::new()),
        Err(BundleError::Refused(errors)) => {
            let words = errors.first().map(ToString::to_string).unwrap_or_default();
            // Somebody else has the number.
            let conflict = errors.iter().any(|error| error.code == "conflict");
            let (place, code) = if conflict { ("PID-3", 205) } else { ("PID", 102) };
            (refused(Accepted::Error, place, code, &words), Vec::new())
        }
        Err(BundleError::Unfit { error, .. }) => {
            (refused(Accepted::Error, "PID", 102, &error.detail), Vec::new())
        }
        Err(_) => later(),
    }
}

/// Holds the person's numbers, and who gave them: of two messages at the same moment the second sees what the first was.
async fn hold_numbers(intake: &dyn Intake, message: &Message) -> Result<(), StoreError> {
    // What has no sound identifier was refused before.
    let Ok(identity) = Identity::of(message) else { return Ok(()) };
    intake.hold(Held::Identifiers, &identity.all_names()).await
}

/// Under which id the person of a message is kept: whoever came with the same identifier, such as by FHIR, has an id already, or
/// else with another of the person's own. Where several have the identifier it is the number.
async fn person_of(store: &dyn KnownStore, message: &Message) -> Result<String, StoreError> {
    // What has no sound identifier was refused before.
    let Ok(identity) = Identity::of(message) else { return Ok(String::new()) };
    // What is an id of FHIR.
    let sound = |id: &String| {
        id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    for names in [identity.names(), identity.other_names()] {
        let holders: BTreeSet<String> = store
            .holders(&names)
            .await?
            .into_iter()
            .filter(|known| known.said.as_deref() != Some(FORMER))
            .filter_map(|known| known.user_id)
            .collect();
        let mut holders = holders.into_iter();
        match (holders.next(), holders.next()) {
            (Some(user_id), None) if sound(&user_id) => return Ok(user_id),
            (None, _) => {}
            _ => break,
        }
    }
    Ok(identity.id)
}

/// Whether a person's number came from another assigning authority before, and never from one that this message names.
async fn somebody_elses(store: &dyn KnownStore, message: &Message) -> Result<bool, StoreError> {
    // What has no sound identifier was refused before.
    let Some(remembered) = Identity::of(message).ok().and_then(|own| own.remembered()) else {
        return Ok(false);
    };
    let mut names = remembered.by.clone();
    names.push(remembered.given.clone());
    let known = store.holders(&names).await?;
    let has = |name: &String| known.iter().any(|known| held(&known.name) == *name);
    Ok(has(&remembered.given) && !remembered.by.iter().any(has))
}
