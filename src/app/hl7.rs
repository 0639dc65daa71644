//! HL7's part of the server: its listener, and what sends results.

use std::io::Write;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::AppState;
use crate::config::Hl7Config;
use crate::hl7_net;
use crate::outbound::Trust;

/// Takes the address, so that a port in use is said at once.
pub async fn bind(config: &Hl7Config) -> Result<Option<TcpListener>> {
    let Some(at) = config.listen else { return Ok(None) };
    Ok(Some(TcpListener::bind(at).await.with_context(|| format!("listening on {at}"))?))
}

/// Takes messages and sends results, where that is configured, until what is given back is dropped.
pub fn start(
    state: &AppState,
    listener: Option<TcpListener>,
    trust: Option<Trust>,
    stopped: watch::Receiver<bool>,
) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    if let Some(peer) = state.config.hl7.peer.clone() {
        tasks.spawn(hl7_net::deliver(state.clone(), peer, trust));
    }
    if let Some(listener) = listener {
        let address = listener.local_addr()?;
        tasks.spawn(hl7_net::serve(state.clone(), listener, stopped));
        writeln!(std::io::stdout(), "medserve takes HL7 at {address}")?;
    }
    Ok(tasks)
}
