//! Results on their way to the peer: tried until they have arrived, with pauses that grow, for as long as results are
//! kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::client::{Client, ClientError};
use super::listen::Network;
use super::queue::pause;
use super::stow;
use crate::config::{DicomConfig, Peer};
use crate::outbound::{self, Duplex, Http, Trust};
use crate::store::Store;
use crate::store::dicom::DicomResult;
use recommend::clock;

/// Time between two looks for results whose turn has come.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time that sending one takes.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(600);
/// How often a result is offered to a peer that says that it does not take it: over nearly two hours, in which people may mend its
/// list of what it takes.
const REFUSALS: i64 = 20;

/// Why a result was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The peer could not be reached, or broke off.
    #[error("{0}")]
    Unreached(String),
    /// The peer says that it does not take it.
    #[error("{0}")]
    Refused(String),
}

impl From<ClientError> for SendError {
    fn from(error: ClientError) -> SendError {
        match error {
            ClientError::Status(status) if passes(status) => SendError::Unreached(error.to_string()),
            ClientError::NoContext | ClientError::Status(_) => SendError::Refused(error.to_string()),
            error => SendError::Unreached(error.to_string()),
        }
    }
}

/// Whether a status of C-STORE, or a failure reason of STOW-RS, is about the peer's own state, which passes, and not about the
/// instance: out of resources (PS3.4 table B.2-1), processing failure and resource limitation (PS3.7 annex C).
pub fn passes(status: u16) -> bool {
    matches!(status, 0xa700..=0xa7ff | 0x0110 | 0x0213)
}

/// The peer, and the ways to it.
struct Way {
    peer: Peer,
    trust: Option<Trust>,
    http: Http,
}

/// Sends until it is dropped.
pub async fn deliver(network: Arc<Network>, trust: Option<Trust>) {
    let Some(peer) = network.state.config.dicom.peer.clone() else { return };
    let way = match Http::new(trust.as_ref()) {
        Ok(http) => Way { peer, trust, http },
        Err(error) => {
            tracing::error!(error, "DICOM results cannot be sent");
            return;
        }
    };
    loop {
        if !batch(&network, &way).await {
            let _ = timeout(LOOK, network.made.notified()).await;
        }
    }
}

/// Sends what there is, over one association; false where the last was not sent, or there was nothing. What the peer refuses
/// leaves the association sound, and what follows it is not held up.
async fn batch(network: &Network, way: &Way) -> bool {
    let Ok(people) = network.state.people() else { return false };
    let config = &network.state.config.dicom;
    let mut client = None;
    let mut sent = false;
    loop {
        let now = clock::now();
        let until = now + i64::try_from(2 * LIMIT.as_millis()).unwrap_or(i64::MAX);
        let Ok(Some((result, tries))) = people.store.take_result(now, until).await else { break };
        let outcome = match timeout(LIMIT, one(config, way, &mut client, &result)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError::Unreached("the peer did not answer in time".to_string())),
        };
        sent = outcome.is_ok();
        note(people.store.as_ref(), config, &result, tries, outcome.as_ref().err()).await;
        if matches!(outcome, Err(SendError::Unreached(_))) {
            client = None;
            break;
        }
    }
    if let Some(client) = client {
        let _ = timeout(LIMIT, client.release()).await;
    }
    sent
}

async fn one(
    config: &DicomConfig,
    way: &Way,
    client: &mut Option<Client<Box<dyn Duplex>>>,
    result: &DicomResult,
) -> Result<(), SendError> {
    match &way.peer {
        Peer::Web(address) => stow::store(&way.http, address, result).await,
        Peer::Entity { title, address } => {
            let open = match client {
                Some(open) => open,
                None => {
                    let stream = outbound::connect(address, way.trust.as_ref()).await;
                    let stream = stream.map_err(|error| SendError::Unreached(error.to_string()))?;
                    client.insert(Client::open(stream, &config.ae_title, title).await?)
                }
            };
            Ok(open.store(&result.sop_class, &result.sop_instance, &result.file).await?)
        }
    }
}

/// Writes down what became of it.
async fn note(
    store: &dyn Store,
    config: &DicomConfig,
    result: &DicomResult,
    tries: i64,
    error: Option<&SendError>,
) {
    let old = i64::try_from(config.keep.as_millis()).unwrap_or(i64::MAX);
    let (due, failure, counted) = match error {
        None => (None, None, "sent"),
        Some(error) => {
            let refused = matches!(error, SendError::Refused(_)) && tries >= REFUSALS;
            let given_up = refused || clock::now() - result.created > old;
            let next = clock::now() + i64::try_from(pause(tries, LONGEST).as_millis()).unwrap_or(0);
            match given_up {
                true => (None, Some(error.to_string()), "given_up"),
                false => (Some(next), Some(error.to_string()), "failed"),
            }
        }
    };
    if let Some(reason) = &failure {
        tracing::warn!(reason, tries, "a DICOM result was not sent");
    }
    metrics::counter!("medserve_dicom_sent_total", "result" => counted).increment(1);
    if let Err(error) = store.sent_result(&result.sop_instance, due, failure.as_deref()).await {
        tracing::warn!(%error, "what became of a DICOM result was not written down; it may be sent twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_resources_is_tried_for_as_long_as_what_is_not_reached() {
        let sent = |status| SendError::from(ClientError::Status(status));
        for passing in [0xa700, 0xa7ff, 0x0110, 0x0213] {
            assert!(matches!(sent(passing), SendError::Unreached(_)), "{passing:04X}");
        }
        for lasting in [0xa900, 0xc000, 0x0122, 0x0124] {
            assert!(matches!(sent(lasting), SendError::Refused(_)), "{lasting:04X}");
        }
        let offered: u64 = (1..REFUSALS).map(|tries| pause(tries, LONGEST).as_secs()).sum();
        assert!(offered > 6600, "{offered} s, nearly two hours");
    }
}
