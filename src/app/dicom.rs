//! DICOM's part of the server: its listener, the workers of its queue, and what sends results.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::tls::Certificates;
use crate::api::AppState;
use crate::config::DicomConfig;
use crate::dicom_net::{self, Network};
use crate::outbound::Trust;

/// Takes the address, so that a port in use is said at once.
pub async fn bind(config: &DicomConfig) -> Result<Option<TcpListener>> {
    let Some(at) = config.listen else { return Ok(None) };
    let listener = TcpListener::bind(at).await.with_context(|| format!("listening on {at}"))?;
    Ok(Some(listener))
}

/// Starts what there is to do; all of it ends when what is given back is dropped.
pub fn start(
    state: &AppState,
    listener: Option<TcpListener>,
    tls: Option<Certificates>,
    trust: Option<Trust>,
    stopped: watch::Receiver<bool>,
) -> Result<JoinSet<()>> {
    let config = &state.config.dicom;
    let network = Network::new(state.clone());
    let mut tasks = JoinSet::new();
    if config.peer.is_some() {
        tasks.spawn(dicom_net::deliver(network.clone(), trust));
    }
    let Some(listener) = listener else { return Ok(tasks) };
    let address = listener.local_addr()?;
    let tls = tls.filter(|_| config.tls);
    let acceptor = tls.map(|tls| -> dicom_net::Acceptor { Arc::new(move || tls.acceptor()) });
    tasks.spawn(dicom_net::work(network.clone()));
    tasks.spawn(dicom_net::serve(network, listener, acceptor, stopped));
    writeln!(std::io::stdout(), "medserve answers DICOM at {address} as {}", config.ae_title)?;
    Ok(tasks)
}
