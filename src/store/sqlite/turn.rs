//! Writers of this process one after another.
//!
//! SQLite lets one connection write and has no queue for the others: each looks again and again, after pauses that grow
//! to a tenth of a second, and one that came late may find the lock free before one that waits for long. So writers
//! here queue for a turn first, in the order in which they came, and find the lock free. Writers of other
//! processes (a command beside the server) are waited for by looking again, as before.

use std::ops::{Deref, DerefMut};

use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::{BUSY_TIMEOUT, SqliteStore, StoreError};

/// The turn of a writer. Nobody else of this process writes until it is dropped.
pub struct Turn(#[expect(dead_code, reason = "it is held")] OwnedMutexGuard<()>);

impl Turn {
    /// The next writer's turn begins.
    pub fn end(self) {}
}

/// A write transaction and its turn, which ends after it.
pub struct Write {
    transaction: Transaction<'static, Sqlite>,
    _turn: Turn,
}

impl Write {
    /// Makes it durable.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

impl Deref for Write {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

impl SqliteStore {
    /// Waits for a turn, as long as for a lock. Who has one must not wait for another.
    pub(super) async fn turn(&self) -> Result<Turn, StoreError> {
        match timeout(BUSY_TIMEOUT, self.turns.clone().lock_owned()).await {
            Ok(turn) => Ok(Turn(turn)),
            Err(_) => Err(StoreError::Unavailable("another write takes too long".into())),
        }
    }

    /// Begins a write: the write lock is taken at once, since a reader that turns into a writer
    /// cannot wait for another.
    pub(super) async fn write(&self) -> Result<Write, StoreError> {
        let turn = self.turn().await?;
        Ok(Write { transaction: self.pool.begin_with("BEGIN IMMEDIATE").await?, _turn: turn })
    }
}
