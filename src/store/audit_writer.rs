//! The writer of the audit: rows are gathered and written together, one batch at a time.
//!
//! While a batch is being written the next one gathers, so the audit costs one commit a batch
//! however many answers there are. What cannot be written waits here and is tried again; nothing is
//! thrown away. Where as much waits as may, requests are refused before any work is done for them
//! ([`AuditWriter::check`]). Whether answers wait for their rows is configuration:
//!
//! - [`AuditWriter`] that *fails*: an answer goes out once its row is durable, and not at all (503) where
//!   that cannot be; while the audit is known to fail, requests are refused before work is done.
//! - [`AuditWriter`] that *continues*: answers go out at once, rows follow within milliseconds.
//!
//! What is not written when the program must end goes to the log, row by row, and is counted as lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::{AuditKey, AuditRow, Store, StoreError};
use crate::telemetry::{of_tenant, settle_logs};

/// Rows that may wait.
const CAPACITY: usize = 100_000;
/// Bytes that they may take.
const BYTES: usize = 128 << 20;
/// Rows of one batch.
const BATCH: usize = 1000;
/// Pause in which rows gather where nobody waits for them.
const GATHER: Duration = Duration::from_millis(10);
/// Pause after a batch that could not be written.
const RETRY: Duration = Duration::from_millis(500);
/// Longest time an answer waits for its row.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that the database has for a batch.
const LIMIT: Duration = Duration::from_secs(10);
/// Time for which what waits is tried again when the program is to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// The audit cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit cannot be written")]
pub struct NotWritten;

/// Takes rows and sees to it that they are written.
pub struct AuditWriter {
    /// Whose rows they are; empty for the default tenant.
    tenant: String,
    waits: bool,
    run: i64,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    bytes: usize,
    next: i64,
    failing: bool,
    closed: Option<Instant>,
    /// Nothing is written any more.
    ended: bool,
    /// So many of the next rows are written one at a time.
    alone: usize,
}

struct Entry {
    row: AuditRow,
    done: Option<oneshot::Sender<()>>,
}

impl State {
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.row.size();
        self.waiting.push_back(entry);
    }

    fn put_back(&mut self, entries: Vec<Entry>) {
        for entry in entries.into_iter().rev() {
            self.bytes += entry.row.size();
            self.waiting.push_front(entry);
        }
    }

    fn take(&mut self, most: usize) -> Vec<Entry> {
        let most = self.waiting.len().min(most);
        let entries: Vec<Entry> = self.waiting.drain(..most).collect();
        self.bytes -= entries.iter().map(|entry| entry.row.size()).sum::<usize>();
        entries
    }
}

impl AuditWriter {
    /// A writer of this tenant's rows whose answers wait for their rows, or do not. `run` tells this run of the program
    /// from all others.
    pub fn new(tenant: &str, waits: bool, run: i64) -> Arc<AuditWriter> {
        let tenant = tenant.to_string();
        Arc::new(AuditWriter { tenant, waits, run, state: Mutex::default(), filled: Notify::new() })
    }

    /// Whether a request may be worked on.
    ///
    /// # Errors
    /// Its answer could not go out, or its row could not be kept.
    pub fn check(&self) -> Result<(), NotWritten> {
        let state = self.lock();
        let full = state.waiting.len() >= CAPACITY || state.bytes >= BYTES;
        if full || (self.waits && state.failing) { Err(NotWritten) } else { Ok(()) }
    }

    /// Takes a row, whose place in this run is filled in. Returns when the answer may go out.
    ///
    /// # Errors
    /// It may not. The row is still written as soon as that is possible.
    pub async fn record(&self, row: AuditRow) -> Result<(), NotWritten> {
        let (done, written) = self.waits.then(oneshot::channel).unzip();
        self.add(row, done);
        let Some(written) = written else { return Ok(()) };
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotWritten),
        }
    }

    /// Takes the row of a refusal, which nobody waits for.
    pub fn note(&self, row: AuditRow) {
        self.add(row, None);
    }

    /// What was let in is kept, also beyond the bound that new requests are held to.
    fn add(&self, mut row: AuditRow, done: Option<oneshot::Sender<()>>) {
        let mut state = self.lock();
        (row.run, row.sequence) = (self.run, state.next);
        state.next += 1;
        if state.ended {
            drop(state);
            // The names that the audit has for people are not at hand any more.
            lost(&self.tenant, &[unnamed(row)]);
            return;
        }
        state.push(Entry { row, done });
        drop(state);
        self.filled.notify_one();
    }

    /// Writes until it is closed and everything is written, or cannot be.
    pub async fn run(&self, store: &dyn Store, key: &AuditKey) {
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                if self.end_if_closed() {
                    return;
                }
                self.filled.notified().await;
                continue;
            }
            let written = self.write(store, key, batch).await;
            let closed = self.lock().closed;
            match (written, closed) {
                (true, None) if !self.waits => tokio::time::sleep(GATHER).await,
                (true, _) => {}
                (false, Some(since)) if since.elapsed() > FAREWELL => {
                    self.give_up(Some(key));
                    return;
                }
                (false, _) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Ends when what there is has been written.
    pub fn close(&self) {
        self.lock().closed.get_or_insert(Instant::now());
        self.filled.notify_one();
    }

    /// Logs what waits: nobody will write it any more. Where there is no key as yet, without the people.
    pub fn give_up(&self, key: Option<&AuditKey>) {
        let mut state = self.lock();
        state.ended = true;
        let shown = |row: AuditRow| match key {
            Some(key) => as_written(&row, key),
            None => unnamed(row),
        };
        let rows: Vec<AuditRow> = state.take(usize::MAX).into_iter().map(|entry| shown(entry.row)).collect();
        drop(state);
        lost(&self.tenant, &rows);
    }

    fn end_if_closed(&self) -> bool {
        let mut state = self.lock();
        state.ended = state.closed.is_some() && state.waiting.is_empty();
        state.ended
    }

    fn next_batch(&self) -> Vec<Entry> {
        let mut state = self.lock();
        metrics::gauge!("medserve_audit_waiting", of_tenant(&self.tenant, []))
            .set(state.waiting.len() as f64);
        let most = if state.alone > 0 { 1 } else { BATCH };
        state.alone = state.alone.saturating_sub(1);
        state.take(most)
    }

    /// Writes a batch; false where it waits for another time.
    async fn write(&self, store: &dyn Store, key: &AuditKey, batch: Vec<Entry>) -> bool {
        let rows: Vec<AuditRow> = batch.iter().map(|entry| as_written(&entry.row, key)).collect();
        let written = match tokio::time::timeout(LIMIT, store.append_audit(&rows, key)).await {
            Ok(written) => written,
            Err(elapsed) => Err(StoreError::Unavailable(elapsed.into())),
        };
        let Err(error) = written else {
            if std::mem::take(&mut self.lock().failing) {
                tracing::info!("the audit is written again");
            }
            for done in batch.into_iter().filter_map(|entry| entry.done) {
                // Who waited too long has gone.
                let _ = done.send(());
            }
            return true;
        };
        let mut state = self.lock();
        if matches!(error, StoreError::Invalid { .. }) {
            report(&error);
            // A row that the database does not take must not hold up the others: next, each alone.
            match rows.as_slice() {
                [row] if is_plain(row) => lost(&self.tenant, &rows),
                [row] => state.put_back(vec![Entry { row: plain(row), done: None }]),
                _ => {
                    state.alone = rows.len();
                    state.put_back(batch);
                }
            }
            return true;
        }
        if !std::mem::replace(&mut state.failing, true) {
            report(&error);
        }
        // Their rows are written later, but nobody waits for that.
        state.put_back(batch);
        for entry in &mut state.waiting {
            entry.done = None;
        }
        false
    }

    /// No code panics while it holds the lock; were it to, the queue itself would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row with the names that the audit has for people.
fn as_written(row: &AuditRow, key: &AuditKey) -> AuditRow {
    let ids = row.people.iter().map(|id| key.person(id));
    let mut people: Vec<String> = ids.chain(row.named.iter().cloned()).collect();
    people.sort_unstable();
    people.dedup();
    AuditRow { people, named: Vec::new(), ..row.clone() }
}

/// The row without the people.
fn unnamed(row: AuditRow) -> AuditRow {
    AuditRow { people: Vec::new(), named: Vec::new(), ..row }
}

/// The row with nothing in it that a database could refuse.
fn plain(row: &AuditRow) -> AuditRow {
    let plain = |text: &String| text.chars().filter(|c| c.is_ascii() && !c.is_control()).take(200).collect();
    AuditRow {
        request_id: plain(&row.request_id),
        caller: plain(&row.caller),
        address: plain(&row.address),
        method: plain(&row.method),
        route: plain(&row.route),
        model: row.model.as_ref().map(plain),
        version: row.version.as_ref().map(plain),
        answers: row.answers.iter().map(|answer| answer.as_ref().map(plain)).collect(),
        latency_ms: if row.latency_ms.is_finite() { row.latency_ms } else { 0.0 },
        evidence: None,
        ..row.clone()
    }
}

fn is_plain(row: &AuditRow) -> bool {
    *row == plain(row)
}

fn report(error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(%error, cause, "the audit cannot be written");
}

/// Into the log, which is the last place for them. A row says nothing of a person but an identifier.
fn lost(tenant: &str, rows: &[AuditRow]) {
    if rows.is_empty() {
        return;
    }
    metrics::counter!("medserve_audit_lost_total", of_tenant(tenant, [])).increment(rows.len() as u64);
    tracing::error!(tenant, rows = rows.len(), "audit rows were not written; they follow");
    for (count, row) in rows.iter().enumerate() {
        // They are more than may wait for whoever reads the log.
        if count % BATCH == BATCH - 1 {
            settle_logs(PATIENCE);
        }
        tracing::error!(row = serde_json::to_string(row).unwrap_or_default(), "an audit row");
    }
}
