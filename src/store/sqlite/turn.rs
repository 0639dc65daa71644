//! Writers of this process one after another.
//!
//! SQLite lets one connection write and has no queue for the others: each looks again and again, after pauses that grow
//! to a tenth of a second, and one that came late may find the lock free before one that waits for long. So writers
//! here queue for a turn first, in the order in which they came, and find the lock free. Writers of other
//! processes (a command beside the server) are waited for by looking again, as before.

use std::ops::{Deref, DerefMut};

use sqlx::{Connection, Executor, Sqlite, SqliteConnection, Transaction};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::{BUSY_TIMEOUT, SqliteStore, StoreError};

/// What takes the write lock; where the file can only be read it takes none, without an error.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// What writes nothing, and fails where nothing can be written.
const NOTHING: &str = "DELETE FROM users WHERE 0";
/// How often another connection is tried.
const TRIES: usize = 3;

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
        for _ in 0..TRIES {
            let mut transaction = self.pool.begin_with(BEGIN).await?;
            match transaction.execute(NOTHING).await {
                Err(error) if is_read_only(&error) => transaction.rollback().await?,
                done => return done.map(|_| Write { transaction, _turn: turn }).map_err(StoreError::from),
            }
            self.close_read_only().await?;
        }
        Err(StoreError::Unavailable("connections to the file can only read".into()))
    }

    /// The same before there are tables.
    pub(super) async fn first_write(&self) -> Result<Write, StoreError> {
        let turn = self.turn().await?;
        Ok(Write { transaction: self.pool.begin_with(BEGIN).await?, _turn: turn })
    }

    /// A connection that was opened while the file took no writes takes none ever after, so those go once the file does. While
    /// it does not they stay: what is there can be read by them, and perhaps by no new one.
    async fn close_read_only(&self) -> Result<(), StoreError> {
        let mut fresh = SqliteConnection::connect_with(&self.connect).await?;
        let takes_writes = take_lock(&mut fresh).await;
        fresh.close().await?;
        takes_writes?;
        for pool in [&self.pool, &self.leases] {
            let idle: Vec<_> = std::iter::from_fn(|| pool.try_acquire()).collect();
            for mut connection in idle {
                if take_lock(&mut connection).await.is_ok() {
                    connection.execute("ROLLBACK").await?;
                } else {
                    connection.close().await?;
                }
            }
        }
        tracing::info!("connections that could only read the database's file were closed");
        Ok(())
    }
}

/// Begins a transaction that can write.
async fn take_lock(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    connection.execute(BEGIN).await?;
    connection.execute(NOTHING).await?;
    Ok(())
}

/// Whether SQLite says so (READONLY, whose code is in the low byte).
fn is_read_only(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 8)
}
