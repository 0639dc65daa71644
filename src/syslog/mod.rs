//! The audit as a stream to a syslog receiver, such as an ATNA audit repository.
//!
//! Rows are read from the database, behind a number that the database keeps: the last row that arrived.
//! So no answer waits for the receiver, what it has not read is sent again, also after a new start or by
//! another replica, and no row is left out. A row may come twice, by its number recognisably so. Of
//! several replicas one sends at a time.

mod message;
mod send;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::api::People;
use crate::config::SyslogTarget;
use crate::store::StoreError;
use crate::telemetry::of_tenant;

/// Time between two looks for new rows.
const LOOK: Duration = Duration::from_secs(1);
/// Longest pause after a batch that did not arrive.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Rows of one batch.
const BATCH: u32 = 500;
/// Longest time for one batch to arrive, and for one question to the database.
const LIMIT: Duration = Duration::from_secs(5);
/// Time for which one replica sends before another may: that of four questions, and a little more.
const LEASE: Duration = Duration::from_secs(25);

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("{0}")]
    Receiver(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("no answer came in time")]
    Silence,
}

/// Sends the rows of a tenant as they come, for as long as this is polled. `holder` tells this process from others.
pub async fn stream(target: SyslogTarget, people: Arc<People>, tenant: String, holder: i64) {
    let host = host_name();
    let mut pause = Duration::ZERO;
    loop {
        match batch(&target, &people, &tenant, holder, &host).await {
            Ok(more) => {
                if !std::mem::take(&mut pause).is_zero() {
                    tracing::info!("audit rows are sent to the syslog receiver again");
                }
                if !more {
                    sleep(LOOK).await;
                }
            }
            Err(error) => {
                if pause.is_zero() {
                    tracing::warn!(%error, "audit rows are not sent to the syslog receiver; trying again");
                }
                pause = (2 * pause).clamp(LOOK, LONGEST_PAUSE);
                sleep(pause).await;
            }
        }
    }
}

/// Sends one batch; whether there may be more.
async fn batch(
    target: &SyslogTarget,
    people: &People,
    tenant: &str,
    holder: i64,
    host: &str,
) -> Result<bool, StreamError> {
    let store = people.store.as_ref();
    let claimed = timeout(LIMIT, store.claim_audit_stream(holder, LEASE)).await;
    let Some((sent, last)) = claimed.map_err(|_| StreamError::Silence)?? else { return Ok(false) };
    metrics::gauge!("medserve_audit_unsent", of_tenant(tenant, []))
        .set(last.saturating_sub(sent).max(0) as f64);
    if last <= sent {
        return Ok(false);
    }
    let rows = timeout(LIMIT, store.scan_audit(sent, BATCH)).await.map_err(|_| StreamError::Silence)??;
    let Some(end) = rows.last().map(|row| row.number) else { return Ok(false) };
    let frames: Vec<u8> = rows.iter().flat_map(|row| message::frame(row, host, tenant)).collect();
    timeout(LIMIT, send::send(target, &frames)).await.map_err(|_| StreamError::Silence)??;
    timeout(LIMIT, store.advance_audit_stream(holder, end)).await.map_err(|_| StreamError::Silence)??;
    Ok(true)
}

/// This machine's name, of the characters that syslog takes; "-" where it has none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_string() } else { name }
}
