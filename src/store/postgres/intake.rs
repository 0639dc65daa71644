//! Taking records in on Postgres, where many write at once: names that must not be written at one moment are held by advisory
//! locks, which end with the transaction.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::batches::remove_interactions;
use super::dicom::WriterTurn;
use super::load::PostgresLoad;
use super::replace::erase;
use super::write::{FollowUp, follow_up};
use super::{ITEM_COLUMNS, PostgresStore, described, not_found};
use crate::store::intake::{intake_adapter, record_adapter};
use crate::store::known::known_adapter;
use crate::store::rows::{ItemRow, UserRow};
use crate::store::{Answer, Held, InteractionFilter, ItemQuery, Loaded, StoreError};
use recommend::{Item, Kind, User};

/// Locks of each kind of name. All that one transaction can take are few beside those that Postgres has room for (64 for each
/// connection that it accepts); two names that share one only wait for each other now and then.
const LOCKS: i32 = 256;

/// A transaction and what a load does in it.
pub(super) struct PostgresIntake {
    load: Mutex<PostgresLoad>,
}

impl PostgresStore {
    const READS: &'static str = "";

    pub(super) async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pool.acquire().await?)
    }
}

impl PostgresIntake {
    /// Whoever writes a row that is read here without holding its name waits, too.
    const READS: &'static str = " FOR NO KEY UPDATE";
    const ALONE: bool = false;

    pub async fn begin(pool: &PgPool, follow_up: FollowUp) -> Result<Self, StoreError> {
        Ok(Self { load: Mutex::new(PostgresLoad::begin(pool, follow_up).await?) })
    }

    async fn connection(&self) -> Result<MappedMutexGuard<'_, PgConnection>, StoreError> {
        Ok(MutexGuard::map(self.load.lock().await, |load| &mut *load.transaction))
    }

    #[expect(clippy::unused_async, reason = "as the store has it")]
    async fn turn(&self) -> Result<WriterTurn, StoreError> {
        Ok(WriterTurn)
    }

    async fn remove_interactions(
        &self,
        user_id: &str,
        filter: &InteractionFilter,
    ) -> Result<u64, StoreError> {
        let mut load = self.load.lock().await;
        let removed = remove_interactions(&mut load.transaction, user_id, filter).await?;
        if load.follow_up == FollowUp::Writer {
            follow_up(&mut load.transaction, &[], &[], &[user_id]).await?;
        }
        Ok(removed)
    }

    async fn erase_user(&self, user_id: &str) -> Result<(), StoreError> {
        let mut load = self.load.lock().await;
        erase(&mut load.transaction, "DELETE FROM users WHERE id = $1", "user", user_id).await?;
        if load.follow_up == FollowUp::Writer {
            follow_up(&mut load.transaction, &[], &[], &[user_id]).await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Loaded, StoreError> {
        self.load.into_inner().finish(None).await
    }
}

record_adapter!(PostgresStore);
record_adapter!(PostgresIntake);
known_adapter!(PostgresStore, Postgres, described);
known_adapter!(PostgresIntake, Postgres, described);
intake_adapter!(PostgresIntake);

/// Waits until nobody else holds one of these names of this schema, and holds them until the end of the transaction. In one
/// order for all, so that no two wait for each other.
pub(super) async fn hold(
    connection: &mut PgConnection,
    what: Held,
    names: impl Iterator<Item = &str>,
) -> Result<(), StoreError> {
    let of = |name: &str| what as i32 * LOCKS + i32::from(Sha256::digest(name)[0]);
    let keys: BTreeSet<i32> = names.map(of).collect();
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtext('medserve intake ' || current_schema()::text), key)
         FROM unnest($1::integer[]) AS key",
    )
    .bind(keys.into_iter().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn find_user(connection: &mut PgConnection, id: &str, lock: &str) -> Result<User, StoreError> {
    sqlx::query_as::<_, UserRow>(AssertSqlSafe(format!(
        "SELECT id, profile::text FROM users WHERE id = $1{lock}"
    )))
    .bind(id)
    .fetch_optional(connection)
    .await
    .map_err(described)?
    .ok_or_else(|| not_found("user", id))?
    .into_user()
}

pub(super) async fn find_items(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<Vec<Item>, StoreError> {
    let query = AssertSqlSafe(format!("SELECT {ITEM_COLUMNS} FROM items WHERE id = ANY ($1)"));
    sqlx::query_as::<_, ItemRow>(query)
        .bind(ids)
        .fetch_all(connection)
        .await?
        .into_iter()
        .map(ItemRow::into_known)
        .collect()
}

async fn page_of_items(connection: &mut PgConnection, query: &ItemQuery) -> Result<Vec<Item>, StoreError> {
    sqlx::query_as::<_, ItemRow>(AssertSqlSafe(format!(
        "SELECT {ITEM_COLUMNS} FROM items
         WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR id > $2)
         ORDER BY id LIMIT $3"
    )))
    .bind(query.kind.map(Kind::as_str))
    .bind(query.after.as_deref())
    .bind(i64::from(query.limit))
    .fetch_all(connection)
    .await
    .map_err(described)?
    .into_iter()
    .map(ItemRow::into_item)
    .collect()
}
