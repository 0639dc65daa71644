//! What the recommender reads from Postgres: scans of everything, and the change feed.
//!
//! A cursor of the feed is a snapshot (`pg_current_snapshot()`): which transactions had ended
//! when it was taken. The next read asks for the log's rows whose transaction that snapshot did
//! not see. All that is visible now and was not then is found, exactly once, whatever the order
//! of commits, and no reader waits for a transaction that is still open. The feed is polled, a
//! query on an index of microseconds, rather than announced by NOTIFY, which makes all commits
//! of a database queue up behind one lock.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use sqlx::postgres::PgPoolCopyExt;
use sqlx::{PgConnection, PgPool};

use super::copy::{RowReader, columns};
use super::intake::find_items;
use super::{ITEM_COLUMNS, PostgresStore};
use crate::store::StoreError;
use crate::store::rows::{self, ItemRow, UserRow, profiles_within, source_error};
use recommend::{
    Changes, Cursor, InteractionRow, Item, Kind, Profile, Source, SourceError, Term, User, UserState,
};

/// Milliseconds between 1970, where our time begins, and 2000, where Postgres' does.
const EPOCH_2000_MS: i64 = 946_684_800_000;

impl PostgresStore {
    async fn read_cursor(&self) -> Result<Cursor, StoreError> {
        let snapshot = sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(&self.pool).await?;
        Ok(Cursor(snapshot))
    }

    async fn scan_user_rows(&self, visit: &mut (dyn FnMut(User) + Send)) -> Result<(), StoreError> {
        let mut rows = sqlx::query_as::<_, UserRow>("SELECT id, profile::text FROM users").fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            visit(row.into_known());
        }
        Ok(())
    }

    async fn read_terms(&self) -> Result<Vec<Term>, StoreError> {
        let rows = sqlx::query_scalar("SELECT term::text FROM terms ORDER BY kind, name");
        Ok(rows::known_terms(rows.fetch_all(&self.pool).await?))
    }

    async fn scan_item_rows(&self, visit: &mut (dyn FnMut(Item) + Send)) -> Result<(), StoreError> {
        let query = sqlx::AssertSqlSafe(format!("SELECT {ITEM_COLUMNS} FROM items"));
        let mut rows = sqlx::query_as::<_, ItemRow>(query).fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            visit(row.into_known()?);
        }
        Ok(())
    }

    /// Streams the interactions as binary COPY: several times the rate of a query's rows. The
    /// kinds are looked up here, which leaves the server a plain scan of one table.
    async fn scan_interaction_rows(
        &self,
        visit: &mut (dyn FnMut(InteractionRow<'_>) + Send),
    ) -> Result<(), StoreError> {
        let kinds: Vec<(String, String)> =
            sqlx::query_as("SELECT id, kind FROM items").fetch_all(&self.pool).await?;
        let mut kind_of: HashMap<String, Kind> = HashMap::with_capacity(kinds.len());
        for (id, kind) in kinds {
            kind_of.insert(id, rows::kind(&kind)?);
        }
        let mut chunks = self
            .pool
            .copy_out_raw(
                "COPY interactions (user_id, item_id, event, occurred_at, weight) TO STDOUT \
                 (FORMAT binary)",
            )
            .await?;
        let mut reader = RowReader::default();
        while let Some(chunk) = chunks.try_next().await? {
            reader
                .read(&chunk, |row: [&[u8]; 5]| {
                    let item_id = columns::text(row[1])?;
                    // An item made since the kinds were read is named by the change feed, as are
                    // its users.
                    if let Some(kind) = kind_of.get(item_id) {
                        visit(InteractionRow {
                            kind: *kind,
                            user_id: columns::text(row[0])?,
                            item_id,
                            event: columns::text(row[2])?,
                            weight: columns::real(row[4])?,
                            time: columns::bigint(row[3])?.div_euclid(1000) + EPOCH_2000_MS,
                        });
                    }
                    Ok(())
                })
                .map_err(|error| StoreError::Internal(error.into()))?;
        }
        if reader.is_complete() {
            Ok(())
        } else {
            Err(StoreError::Unavailable("the COPY stream ended early".into()))
        }
    }

    async fn read_changes(&self, since: &Cursor) -> Result<Changes, StoreError> {
        // A cursor of another store, or none: load.
        if !is_snapshot(&since.0) {
            return Ok(Changes { reload: true, cursor: self.read_cursor().await?, ..Changes::default() });
        }
        // One statement, hence one snapshot: what it sees is what the new cursor says it saw. A
        // cursor taken before the horizon's snapshot may have missed rows that are gone; it was
        // taken before if it ends earlier, or if something it saw running had ended by then.
        let (cursor, users, items, reload): (String, Vec<String>, Vec<String>, bool) = sqlx::query_as(
            "SELECT pg_current_snapshot()::text,
                     coalesce(array_agg(DISTINCT user_id) FILTER (WHERE user_id IS NOT NULL), '{}'),
                     coalesce(array_agg(DISTINCT item_id) FILTER (WHERE item_id IS NOT NULL), '{}'),
                     coalesce(bool_or(user_id IS NULL AND item_id IS NULL), false)
                         OR EXISTS (
                             SELECT 1 FROM change_horizon h
                             WHERE pg_snapshot_xmax($1::pg_snapshot) < pg_snapshot_xmax(h.snapshot)
                                 OR EXISTS (SELECT 1 FROM pg_snapshot_xip($1::pg_snapshot) running
                                     WHERE pg_visible_in_snapshot(running, h.snapshot)))
                 FROM changes
                 WHERE transaction >= pg_snapshot_xmin($1::pg_snapshot)
                     AND NOT pg_visible_in_snapshot(transaction, $1::pg_snapshot)",
        )
        .bind(&since.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(Changes { users, items, reload, cursor: Cursor(cursor) })
    }

    async fn read_users(&self, user_ids: &[String]) -> Result<Vec<UserState>, StoreError> {
        let mut states: HashMap<&str, UserState> = user_ids
            .iter()
            .map(|id| {
                let state = UserState { user_id: id.clone(), profile: None, interactions: Vec::new() };
                (id.as_str(), state)
            })
            .collect();
        let users: Vec<UserRow> = sqlx::query_as("SELECT id, profile::text FROM users WHERE id = ANY ($1)")
            .bind(user_ids)
            .fetch_all(&self.pool)
            .await?;
        for row in users {
            let user = row.into_known();
            if let Some(state) = states.get_mut(user.user_id.as_str()) {
                state.profile = Some(user.profile);
            }
        }
        let interactions: Vec<rows::InteractionRow> = sqlx::query_as(
            "SELECT i.kind, n.user_id, n.item_id, n.event, n.weight,
                 (extract(epoch FROM n.occurred_at) * 1000)::bigint AS time
             FROM interactions n JOIN items i ON i.id = n.item_id
             WHERE n.user_id = ANY ($1)",
        )
        .bind(user_ids)
        .fetch_all(&self.pool)
        .await?;
        for row in interactions {
            let (kind, interaction) = row.split()?;
            if let Some(state) = states.get_mut(interaction.user_id.as_str()) {
                state.interactions.push((kind, interaction));
            }
        }
        Ok(states.into_values().collect())
    }

    async fn read_items(&self, item_ids: &[String]) -> Result<Vec<Item>, StoreError> {
        find_items(&mut *self.connection().await?, item_ids).await
    }
}

impl Source for PostgresStore {
    fn cursor(&self) -> BoxFuture<'_, Result<Cursor, SourceError>> {
        Box::pin(async move { self.read_cursor().await.map_err(source_error) })
    }

    fn scan_users<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(User) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move { self.scan_user_rows(visit).await.map_err(source_error) })
    }

    fn terms(&self) -> BoxFuture<'_, Result<Vec<Term>, SourceError>> {
        Box::pin(async move { self.read_terms().await.map_err(source_error) })
    }

    fn scan_items<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(Item) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move { self.scan_item_rows(visit).await.map_err(source_error) })
    }

    fn scan_interactions<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(InteractionRow<'_>) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move { self.scan_interaction_rows(visit).await.map_err(source_error) })
    }

    fn changes<'a>(&'a self, since: &'a Cursor) -> BoxFuture<'a, Result<Changes, SourceError>> {
        Box::pin(async move { self.read_changes(since).await.map_err(source_error) })
    }

    fn users<'a>(&'a self, user_ids: &'a [String]) -> BoxFuture<'a, Result<Vec<UserState>, SourceError>> {
        Box::pin(async move { self.read_users(user_ids).await.map_err(source_error) })
    }

    fn profiles<'a>(
        &'a self,
        user_ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Profile)>, SourceError>> {
        Box::pin(async move {
            // One person is a question to one worker of a cluster, and several are one to all.
            let read = match user_ids {
                [user_id] => {
                    sqlx::query_as::<_, UserRow>("SELECT id, profile::text FROM users WHERE id = $1")
                        .bind(user_id)
                }
                _ => sqlx::query_as("SELECT id, profile::text FROM users WHERE id = ANY($1)").bind(user_ids),
            };
            profiles_within(read.fetch_all(&self.pool)).await
        })
    }

    fn items<'a>(&'a self, item_ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Item>, SourceError>> {
        Box::pin(async move { self.read_items(item_ids).await.map_err(source_error) })
    }
}

/// Whether the text has the form of a snapshot, `xmin:xmax:running,running`.
pub(super) fn is_snapshot(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split(':');
    let (Some(low), Some(high), Some(running), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    digits(low) && digits(high) && (running.is_empty() || running.split(',').all(digits))
}

/// Cuts the log at the newest snapshot that is at least `keep` old, and takes a new one for
/// later. Says how many rows went.
pub(super) async fn trim(pool: &PgPool, keep: Duration) -> Result<u64, StoreError> {
    let mut transaction = pool.begin().await?;
    // One replica at a time; the others have nothing to add. The number is arbitrary, and ours.
    let ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(7024831120)")
        .fetch_one(&mut *transaction)
        .await?;
    if !ours {
        return Ok(0);
    }
    sqlx::query("INSERT INTO change_marks (snapshot) VALUES (pg_current_snapshot())")
        .execute(&mut *transaction)
        .await?;
    let mark: Option<(String, String)> = sqlx::query_as(
        "SELECT taken_at::text, snapshot::text FROM change_marks
         WHERE taken_at <= clock_timestamp() - $1 * interval '1 second'
         ORDER BY taken_at DESC LIMIT 1",
    )
    .bind(keep.as_secs_f64())
    .fetch_optional(&mut *transaction)
    .await?;
    let mut gone = 0;
    if let Some((taken_at, snapshot)) = mark {
        gone = sqlx::query(
            "DELETE FROM changes
             WHERE transaction < pg_snapshot_xmax($1::pg_snapshot)
                 AND pg_visible_in_snapshot(transaction, $1::pg_snapshot)",
        )
        .bind(&snapshot)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        gone += sqlx::query(
            "DELETE FROM case_changes
             WHERE transaction < pg_snapshot_xmax($1::pg_snapshot)
                 AND pg_visible_in_snapshot(transaction, $1::pg_snapshot)",
        )
        .bind(&snapshot)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        sqlx::query("DELETE FROM change_marks WHERE taken_at <= $1::timestamptz")
            .bind(&taken_at)
            .execute(&mut *transaction)
            .await?;
        if gone > 0 {
            sqlx::query(
                "INSERT INTO change_horizon (snapshot) VALUES ($1::pg_snapshot)
                 ON CONFLICT (only_row) DO UPDATE SET snapshot = EXCLUDED.snapshot",
            )
            .bind(&snapshot)
            .execute(&mut *transaction)
            .await?;
        }
    }
    transaction.commit().await?;
    Ok(gone)
}

/// A dump restored into a new cluster brings along transaction numbers of the old one, which are
/// in the future here: snapshots of now would never be past them. They are of no use to a
/// process that starts now, so they go.
pub(super) async fn forget_another_history(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql(
        "DELETE FROM changes WHERE transaction >= pg_snapshot_xmax(pg_current_snapshot());
         DELETE FROM case_changes WHERE transaction >= pg_snapshot_xmax(pg_current_snapshot());
         DELETE FROM change_marks
             WHERE pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot());
         DELETE FROM change_horizon
             WHERE pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot());",
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_snapshot;

    #[test]
    fn only_snapshots_reach_the_database() {
        for good in ["10:20:", "10:20:10,14", "7:7:"] {
            assert!(is_snapshot(good), "{good}");
        }
        for bad in ["", "5", "10:20", "a:b:c", "10:20:10,", "10:20:10:1", "-1:2:"] {
            assert!(!is_snapshot(bad), "{bad}");
        }
    }
}
