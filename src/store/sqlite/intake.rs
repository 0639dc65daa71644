//! Taking records in on SQLite: one write transaction from the first reading on. Nobody else writes meanwhile, so no name has to
//! be held.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::load::SqliteLoad;
use super::replace::{FIND_USER, erase};
use super::{SqliteStore, not_found};
use crate::store::intake::{intake_adapter, record_adapter};
use crate::store::known::known_adapter;
use crate::store::rows::{ItemRow, UserRow};
use crate::store::{Answer, Held, InteractionFilter, ItemQuery, Loaded, StoreError};
use recommend::{Item, User};

/// A transaction and what a load does in it.
pub(super) struct SqliteIntake {
    load: Mutex<SqliteLoad>,
    store: SqliteStore,
    /// Whether somebody was erased.
    erased: AtomicBool,
}

/// The turn to write that an intake has already.
struct SameTurn;

impl SqliteStore {
    const READS: &'static str = "";

    pub(super) async fn connection(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.pool.acquire().await?)
    }
}

impl SqliteIntake {
    const READS: &'static str = "";
    const ALONE: bool = true;

    pub async fn begin(store: &SqliteStore) -> Result<Self, StoreError> {
        let load = Mutex::new(SqliteLoad::begin(store.write().await?).await?);
        Ok(Self { load, store: store.clone(), erased: AtomicBool::new(false) })
    }

    async fn connection(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, StoreError> {
        Ok(MutexGuard::map(self.load.lock().await, |load| &mut *load.transaction))
    }

    #[expect(clippy::unused_async, reason = "as the store has it")]
    async fn turn(&self) -> Result<SameTurn, StoreError> {
        Ok(SameTurn)
    }

    async fn remove_interactions(
        &self,
        user_id: &str,
        filter: &InteractionFilter,
    ) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        remove_interactions(&mut connection, user_id, filter).await
    }

    async fn erase_user(&self, user_id: &str) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        erase(&mut connection, "DELETE FROM users WHERE id = ?", "user", user_id).await?;
        self.erased.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Loaded, StoreError> {
        let Self { load, store, erased } = *self;
        let loaded = load.into_inner().finish(None).await?;
        if erased.into_inner() {
            store.empty_log().await;
        }
        Ok(loaded)
    }
}

record_adapter!(SqliteStore);
record_adapter!(SqliteIntake);
known_adapter!(SqliteStore, Sqlite, StoreError::from);
known_adapter!(SqliteIntake, Sqlite, StoreError::from);
intake_adapter!(SqliteIntake);

#[expect(clippy::unused_async, reason = "as the other store has it")]
async fn hold(_: &mut SqliteConnection, _: Held, _: impl Iterator<Item = &str>) -> Result<(), StoreError> {
    Ok(())
}

async fn find_user(connection: &mut SqliteConnection, id: &str, _: &str) -> Result<User, StoreError> {
    sqlx::query_as::<_, UserRow>(FIND_USER)
        .bind(id)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| not_found("user", id))?
        .into_user()
}

pub(super) async fn find_items(
    connection: &mut SqliteConnection,
    ids: &[String],
) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        let row = sqlx::query_as::<_, ItemRow>("SELECT * FROM items WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(row) = row {
            items.push(row.into_known()?);
        }
    }
    Ok(items)
}

async fn page_of_items(
    connection: &mut SqliteConnection,
    query: &ItemQuery,
) -> Result<Vec<Item>, StoreError> {
    // Ids are never empty, so the first page begins after the empty one.
    let after = query.after.as_deref().unwrap_or_default();
    let rows = match query.kind {
        Some(kind) => {
            sqlx::query_as::<_, ItemRow>("SELECT * FROM items WHERE kind = ? AND id > ? ORDER BY id LIMIT ?")
                .bind(kind.as_str())
        }
        None => sqlx::query_as("SELECT * FROM items WHERE id > ? ORDER BY id LIMIT ?"),
    };
    rows.bind(after)
        .bind(query.limit)
        .fetch_all(connection)
        .await?
        .into_iter()
        .map(ItemRow::into_item)
        .collect()
}

/// Deletes a user's interactions that fit.
pub(super) async fn remove_interactions(
    connection: &mut SqliteConnection,
    user_id: &str,
    filter: &InteractionFilter,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM interactions
         WHERE user_id = ?1 AND (?2 IS NULL OR item_id = ?2)
             AND (?3 IS NULL OR event = ?3) AND (?4 IS NULL OR occurred_at = ?4)",
    )
    .bind(user_id)
    .bind(filter.item_id.as_deref())
    .bind(filter.event.as_deref())
    .bind(filter.time)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
