//! What the recommender reads from SQLite: scans of everything, and the change feed.
//!
//! A cursor of the feed is the number of the last row of the log. There is one writer at a time,
//! so numbers become visible in their order, and what is above the last one seen is all that is
//! new, also where another process wrote it. The feed is polled: the highest number of a table
//! is one step down a tree.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use sqlx::AssertSqlSafe;

use super::SqliteStore;
use super::intake::find_items;
use super::replace::FIND_USER;
use crate::store::StoreError;
use crate::store::rows::{self, ItemRow, UserRow, profiles_within, source_error};
use recommend::{
    Changes, Cursor, InteractionRow, Item, Kind, Millis, Profile, Source, SourceError, Term, User, UserState,
};

/// The last number given to a row of the log, also when the row is gone.
const LAST_NUMBER: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)";

impl SqliteStore {
    async fn last_number(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(LAST_NUMBER).fetch_one(&self.pool).await?)
    }

    async fn read_cursor(&self) -> Result<Cursor, StoreError> {
        Ok(Cursor(self.last_number().await?.to_string()))
    }

    async fn scan_user_rows(&self, visit: &mut (dyn FnMut(User) + Send)) -> Result<(), StoreError> {
        let mut rows = sqlx::query_as::<_, UserRow>("SELECT id, profile FROM users").fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            visit(row.into_known());
        }
        Ok(())
    }

    async fn read_terms(&self) -> Result<Vec<Term>, StoreError> {
        let rows = sqlx::query_scalar("SELECT term FROM terms ORDER BY kind, name");
        Ok(rows::known_terms(rows.fetch_all(&self.pool).await?))
    }

    async fn scan_item_rows(&self, visit: &mut (dyn FnMut(Item) + Send)) -> Result<(), StoreError> {
        let mut rows = sqlx::query_as::<_, ItemRow>("SELECT * FROM items").fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            visit(row.into_known()?);
        }
        Ok(())
    }

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
        let mut rows = sqlx::query_as::<_, (String, String, String, Millis, f32)>(
            "SELECT user_id, item_id, event, occurred_at, weight FROM interactions",
        )
        .fetch(&self.pool);
        while let Some((user_id, item_id, event, time, weight)) = rows.try_next().await? {
            // An item made since the kinds were read is named by the change feed, as are its
            // users.
            if let Some(kind) = kind_of.get(&item_id) {
                visit(InteractionRow {
                    kind: *kind,
                    user_id: &user_id,
                    item_id: &item_id,
                    event: &event,
                    weight,
                    time,
                });
            }
        }
        Ok(())
    }

    async fn read_changes(&self, since: &Cursor) -> Result<Changes, StoreError> {
        // Read before the rows: what commits in between is then named twice, not never.
        let last = self.last_number().await?;
        let cursor = Cursor(last.to_string());
        let horizon: i64 = sqlx::query_scalar("SELECT coalesce((SELECT number FROM change_horizon), 0)")
            .fetch_one(&self.pool)
            .await?;
        // A cursor of another store, one whose rows are trimmed, or one from after the moment
        // the file was put back from a copy: load.
        let Some(since) = since.0.parse::<i64>().ok().filter(|at| (horizon..=last).contains(at)) else {
            return Ok(Changes { reload: true, cursor, ..Changes::default() });
        };
        let mut changes = Changes { cursor, ..Changes::default() };
        if since < last {
            let rows: Vec<(Option<String>, Option<String>)> =
                sqlx::query_as("SELECT DISTINCT user_id, item_id FROM changes WHERE number > ?")
                    .bind(since)
                    .fetch_all(&self.pool)
                    .await?;
            for (user, item) in rows {
                changes.reload |= user.is_none() && item.is_none();
                changes.users.extend(user);
                changes.items.extend(item);
            }
        }
        Ok(changes)
    }

    async fn read_users(&self, user_ids: &[String]) -> Result<Vec<UserState>, StoreError> {
        let mut states = Vec::with_capacity(user_ids.len());
        // One transaction, so that all are of the same moment.
        let mut transaction = self.pool.begin().await?;
        for user_id in user_ids {
            let profile = sqlx::query_as::<_, UserRow>(FIND_USER)
                .bind(user_id)
                .fetch_optional(&mut *transaction)
                .await?
                .map(|row| row.into_known().profile);
            let interactions = sqlx::query_as::<_, rows::InteractionRow>(
                "SELECT i.kind, n.user_id, n.item_id, n.event, n.occurred_at AS time, n.weight
                 FROM interactions n JOIN items i ON i.id = n.item_id WHERE n.user_id = ?",
            )
            .bind(user_id)
            .fetch_all(&mut *transaction)
            .await?
            .into_iter()
            .map(rows::InteractionRow::split)
            .collect::<Result<_, _>>()?;
            states.push(UserState { user_id: user_id.clone(), profile, interactions });
        }
        Ok(states)
    }

    async fn read_items(&self, item_ids: &[String]) -> Result<Vec<Item>, StoreError> {
        find_items(&mut *self.pool.begin().await?, item_ids).await
    }

    /// Cuts both logs.
    pub(super) async fn trim(&self, keep: Duration) -> Result<u64, StoreError> {
        Ok(self.trim_log("", keep).await? + self.trim_log("case_", keep).await?)
    }

    /// Cuts the log whose tables' names begin like this.
    async fn trim_log(&self, of: &str, keep: Duration) -> Result<u64, StoreError> {
        let sql = |text: &str| AssertSqlSafe(text.replace("{of}", of));
        let mut transaction = self.write().await?;
        let last: i64 = sqlx::query_scalar(sql(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{of}changes'), 0)",
        ))
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query(sql("INSERT OR IGNORE INTO {of}change_marks
                 VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER), ?)"))
        .bind(last)
        .execute(&mut *transaction)
        .await?;
        let mark: Option<(i64, i64)> = sqlx::query_as(sql("SELECT taken_at, number FROM {of}change_marks
             WHERE taken_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?
             ORDER BY taken_at DESC LIMIT 1"))
        .bind(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
        .fetch_optional(&mut *transaction)
        .await?;
        let mut gone = 0;
        if let Some((taken_at, number)) = mark {
            gone = sqlx::query(sql("DELETE FROM {of}changes WHERE number <= ?"))
                .bind(number)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            sqlx::query(sql("DELETE FROM {of}change_marks WHERE taken_at <= ?"))
                .bind(taken_at)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(sql("INSERT OR REPLACE INTO {of}change_horizon VALUES (1, ?)"))
                .bind(number)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(gone)
    }
}

impl Source for SqliteStore {
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
            let read = match user_ids {
                [user_id] => sqlx::query_as::<_, UserRow>(FIND_USER).bind(user_id),
                _ => sqlx::query_as(
                    "SELECT id, profile FROM users WHERE id IN (SELECT value FROM json_each(?))",
                )
                .bind(serde_json::Value::from(user_ids).to_string()),
            };
            profiles_within(read.fetch_all(&self.pool)).await
        })
    }

    fn items<'a>(&'a self, item_ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Item>, SourceError>> {
        Box::pin(async move { self.read_items(item_ids).await.map_err(source_error) })
    }
}
