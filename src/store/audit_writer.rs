//! The writer of the audit: rows are gathered and written together, one batch at a time.
//!
//! While a batch is being written the next one gathers, so the audit costs one commit a batch
//! however many answers there are. What cannot be written waits here and is tried again. Whether
//! answers wait for their rows is configuration:
//!
//! - [`AuditWriter`] that *fails*: an answer goes out once its row is durable, and not at all (503) where
//!   that cannot be; while the audit is known to fail, requests are refused before work is done.
//! - [`AuditWriter`] that *continues*: answers go out at once, rows follow within milliseconds. What does
//!   not fit any more, or is not written by the end of the program, is counted and logged as lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::{AuditRow, Store, StoreError};

/// Rows that may wait.
const CAPACITY: usize = 100_000;
/// Rows of one batch.
const BATCH: usize = 1000;
/// Pause in which rows gather where nobody waits for them.
const GATHER: Duration = Duration::from_millis(10);
/// Pause after a batch that could not be written.
const RETRY: Duration = Duration::from_millis(500);
/// Longest time an answer waits for its row.
const PATIENCE: Duration = Duration::from_secs(5);

/// The audit cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit cannot be written")]
pub struct NotWritten;

/// Takes rows and sees to it that they are written.
pub struct AuditWriter {
    waits: bool,
    run: i64,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    next: i64,
    failing: bool,
    closed: bool,
    /// So many of the next rows are written one at a time.
    alone: usize,
}

struct Entry {
    row: AuditRow,
    done: Option<oneshot::Sender<()>>,
}

impl State {
    fn put_back(&mut self, rows: Vec<AuditRow>, waiters: Vec<Option<oneshot::Sender<()>>>) {
        for (row, done) in rows.into_iter().zip(waiters).rev() {
            self.waiting.push_front(Entry { row, done });
        }
    }
}

impl AuditWriter {
    /// A writer whose answers wait for their rows, or do not. `run` tells this run of the program
    /// from all others.
    pub fn new(waits: bool, run: i64) -> Arc<AuditWriter> {
        Arc::new(AuditWriter { waits, run, state: Mutex::default(), filled: Notify::new() })
    }

    /// Whether a request may be worked on.
    ///
    /// # Errors
    /// Its answer could not go out.
    pub fn check(&self) -> Result<(), NotWritten> {
        if !self.waits {
            return Ok(());
        }
        let state = self.lock();
        let refused = state.failing || state.waiting.len() >= CAPACITY;
        if refused { Err(NotWritten) } else { Ok(()) }
    }

    /// Takes a row, whose place in this run is filled in. Returns when the answer may go out.
    ///
    /// # Errors
    /// It may not. The row is still written as soon as that is possible, if there is room for it.
    pub async fn record(&self, mut row: AuditRow) -> Result<(), NotWritten> {
        let (done, written) = self.waits.then(oneshot::channel).unzip();
        {
            let mut state = self.lock();
            if state.closed || state.waiting.len() >= CAPACITY {
                drop(state);
                lost(1);
                return if self.waits { Err(NotWritten) } else { Ok(()) };
            }
            (row.run, row.sequence) = (self.run, state.next);
            state.next += 1;
            state.waiting.push_back(Entry { row, done });
        }
        self.filled.notify_one();
        let Some(written) = written else { return Ok(()) };
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotWritten),
        }
    }

    /// Writes until it is closed and everything is written, or cannot be.
    pub async fn run(&self, store: &dyn Store) {
        loop {
            let (batch, closed) = self.next_batch();
            if batch.is_empty() {
                if closed {
                    return;
                }
                self.filled.notified().await;
                continue;
            }
            match (self.write(store, batch).await, closed) {
                (true, false) if !self.waits => tokio::time::sleep(GATHER).await,
                (true, _) => {}
                (false, false) => tokio::time::sleep(RETRY).await,
                (false, true) => {
                    lost(self.lock().waiting.drain(..).len());
                    return;
                }
            }
        }
    }

    /// Takes no more rows.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn next_batch(&self) -> (Vec<Entry>, bool) {
        let mut state = self.lock();
        metrics::gauge!("medserve_audit_waiting").set(state.waiting.len() as f64);
        let most = if state.alone > 0 { 1 } else { BATCH };
        state.alone = state.alone.saturating_sub(1);
        let most = state.waiting.len().min(most);
        (state.waiting.drain(..most).collect(), state.closed)
    }

    /// Writes a batch; false where it waits for another time.
    async fn write(&self, store: &dyn Store, batch: Vec<Entry>) -> bool {
        let (rows, waiters): (Vec<AuditRow>, Vec<_>) =
            batch.into_iter().map(|entry| (entry.row, entry.done)).unzip();
        let Err(error) = store.append_audit(&rows).await else {
            if std::mem::take(&mut self.lock().failing) {
                tracing::info!("the audit is written again");
            }
            for done in waiters.into_iter().flatten() {
                // Who waited too long has gone.
                let _ = done.send(());
            }
            return true;
        };
        let mut state = self.lock();
        if !error.is_transient() {
            report(&error);
            // A row that the database does not take must not hold up the others: next, each alone.
            if rows.len() == 1 {
                lost(1);
                return true;
            }
            state.alone = rows.len();
            state.put_back(rows, waiters);
            return true;
        }
        if !std::mem::replace(&mut state.failing, true) {
            report(&error);
        }
        // Their rows are written later, but nobody waits for that.
        let nobody = waiters.iter().map(|_| None).collect();
        state.put_back(rows, nobody);
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

fn report(error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(%error, cause, "the audit cannot be written");
}

fn lost(rows: usize) {
    if rows > 0 {
        metrics::counter!("medserve_audit_lost_total").increment(rows as u64);
        tracing::error!(rows, "audit rows were lost");
    }
}
