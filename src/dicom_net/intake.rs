//! Images that arrived, on their way into the queue: those that wait at the same moment are written together.
//!
//! An instance is answered when it is durable, so each association waits for a commit. While one is being made the
//! instances of the others gather, and whoever comes next writes all of them in one transaction: a commit is then of
//! as many instances as there are associations that send.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::store::dicom::Received;
use crate::store::{Store, StoreError};

/// Most instances of one transaction, and bytes of their files beyond which none is added.
const BATCH: usize = 32;
const BYTES: usize = 32 << 20;

/// Why an instance does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotQueued {
    /// As many wait as may.
    Full,
    /// The database is not available.
    Unavailable,
    /// The database does not take it.
    Refused,
}

struct Arrived {
    instance: Received,
    done: oneshot::Sender<Result<(), NotQueued>>,
}

/// Instances that wait to be written.
#[derive(Default)]
pub struct Intake {
    waiting: Mutex<Vec<Arrived>>,
    turn: tokio::sync::Mutex<()>,
}

impl Intake {
    /// Has an instance wait, where not more than `most` do; it is durable then.
    ///
    /// # Errors
    /// It does not wait.
    pub async fn queue(&self, store: &dyn Store, instance: Received, most: u32) -> Result<(), NotQueued> {
        let (done, mut queued) = oneshot::channel();
        self.lock().push(Arrived { instance, done });
        let _turn = self.turn.lock().await;
        loop {
            match queued.try_recv() {
                Ok(outcome) => return outcome,
                // Whoever wrote it has gone in the middle of that.
                Err(TryRecvError::Closed) => return Err(NotQueued::Unavailable),
                Err(TryRecvError::Empty) => write(store, self.batch(), most).await,
            }
        }
    }

    /// Those that wait for longest.
    fn batch(&self) -> Vec<Arrived> {
        let mut waiting = self.lock();
        let mut bytes = 0;
        let fits = |arrived: &&Arrived| {
            let fits = bytes < BYTES;
            bytes += arrived.instance.file.len();
            fits
        };
        let count = waiting.iter().take(BATCH).take_while(fits).count();
        waiting.drain(..count).collect()
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Vec<Arrived>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(store: &dyn Store, batch: Vec<Arrived>, most: u32) {
    let (instances, done): (Vec<Received>, Vec<_>) =
        batch.into_iter().map(|arrived| (arrived.instance, arrived.done)).unzip();
    let outcomes = match store.queue_dicom(&instances, most).await {
        Ok(waits) => waits.into_iter().map(outcome).collect(),
        // One that the database does not take must not be in the way of the others.
        Err(error) if instances.len() > 1 && !error.is_transient() => {
            let mut outcomes = Vec::with_capacity(instances.len());
            for instance in &instances {
                let waits = store.queue_dicom(std::slice::from_ref(instance), most).await;
                outcomes.push(waits.map_err(not_queued).and_then(|waits| outcome(waits == [true])));
            }
            outcomes
        }
        Err(error) => vec![Err(not_queued(error)); instances.len()],
    };
    for (done, outcome) in done.into_iter().zip(outcomes) {
        // An association that has broken off does not wait for it.
        let _ = done.send(outcome);
    }
}

fn outcome(waits: bool) -> Result<(), NotQueued> {
    if waits { Ok(()) } else { Err(NotQueued::Full) }
}

fn not_queued(error: StoreError) -> NotQueued {
    if error.is_transient() {
        return NotQueued::Unavailable;
    }
    tracing::error!(error = &error as &dyn std::error::Error, "a DICOM image was not queued");
    NotQueued::Refused
}
