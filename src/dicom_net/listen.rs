//! All associations that others open: accepted up to a number, each under bounds of time and memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{Notify, RwLock, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::association::{Association, refused};
use super::intake::Intake;
use super::negotiation::TOO_MANY;
use super::pdu;
use crate::api::AppState;
use crate::places::Places;

/// What connections get TLS from, where they do.
pub type Acceptor = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// Longest time of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that wait to be told that there are too many.
const REFUSED: usize = 64;
/// Longest time that telling one takes.
const REFUSAL: Duration = Duration::from_secs(2);
/// Instances of the largest size that may be in memory at once.
const INSTANCES: usize = 4;

/// What the parts of the DICOM network share.
pub struct Network {
    /// Models, the store, the audit, the configuration.
    pub state: AppState,
    /// Free kibibytes for data sets that arrive.
    pub memory: Arc<Semaphore>,
    /// Images on their way into the queue.
    pub intake: Intake,
    /// An image was queued.
    pub queued: Notify,
    /// A result is to be sent.
    pub made: Notify,
    /// Held by whoever reads an image of the queue; alone, by whoever reads one that may have ended the process.
    pub reading: RwLock<()>,
}

impl Network {
    /// With nothing in it yet.
    pub fn new(state: AppState) -> Arc<Network> {
        let kibibytes = (INSTANCES * state.config.max_body_bytes).div_ceil(1024);
        let memory = Arc::new(Semaphore::new(kibibytes.min(Semaphore::MAX_PERMITS)));
        let intake = Intake::default();
        let (queued, made, reading) = (Notify::new(), Notify::new(), RwLock::new(()));
        Arc::new(Network { state, memory, intake, queued, made, reading })
    }
}

/// Takes associations until `stopped` says so. Those that are open are aborted then: what they sent completely is
/// queued.
pub async fn serve(
    network: Arc<Network>,
    listener: TcpListener,
    tls: Option<Acceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Places::new(network.state.config.dicom.associations);
    let refusals = Arc::new(Semaphore::new(REFUSED));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a DICOM connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let Ok(place) = places.take(peer.ip()) else {
            metrics::counter!("medserve_dicom_associations_total", "result" => "too_many").increment(1);
            // One that does not listen to why is only closed.
            if let Ok(refusal) = refusals.clone().try_acquire_owned() {
                let network = network.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REFUSAL, refuse(&network, stream, peer)).await;
                    drop(refusal);
                });
            }
            continue;
        };
        let (network, tls, mut stopped) = (network.clone(), tls.as_ref().map(|tls| tls()), stopped.clone());
        tokio::spawn(async move {
            let talking = async {
                match tls {
                    None => talk(network, stream, peer).await,
                    Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) => talk(network, stream, peer).await,
                        _ => tracing::debug!("a TLS handshake of the DICOM network failed"),
                    },
                }
            };
            tokio::select! {
                () = talking => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send>(network: Arc<Network>, stream: S, peer: SocketAddr) {
    Association::new(network, BufReader::with_capacity(64 << 10, stream), peer).run().await;
}

/// Reads the request and refuses it.
async fn refuse(network: &Network, mut stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
    let read = pdu::read(&mut stream, 0).await;
    if let Ok(pdu::Pdu::Request(request)) = &read {
        refused(network, peer, &request.calling, TOO_MANY);
    }
    if read.is_ok() {
        let _ = pdu::write(&mut stream, &pdu::Pdu::Reject(TOO_MANY)).await;
    }
}
