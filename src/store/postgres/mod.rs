//! The store on Postgres, for production and for many replicas.
//!
//! Every write is one statement over arrays (`unnest`), which is one round trip and one
//! transaction, with its rows in key order so that two batches cannot lock each other out. What
//! follows from a write (the change log, the norms) is done by triggers in the same transaction.

mod copy;
mod evidence;
mod feed;
mod load;
mod write;

use std::str::FromStr;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};

use super::rows::{self, InteractionRow, ItemRow, UserRow};
use super::{
    Answer, BulkLoad, Counts, InteractionFilter, InteractionQuery, ItemQuery, PoolUsage, Store, StoreError,
    StoreOptions, Written, interaction_key, last_of_each, migrate,
};
use crate::recommend::data::{Interaction, Item, Kind, User};
use crate::recommend::weights::Weighing;

use write::{FollowUp, Write};

pub use evidence::PostgresEvidence;

/// How often a write is tried that Postgres takes back for another's sake (a deadlock, or a user
/// deleted and made again at that moment).
const TRIES: u32 = 5;

/// The columns of an [`ItemRow`].
const ITEM_COLUMNS: &str = "id, kind, name, attributes::text, latitude, longitude, hidden, \
     repeatable, contraindications::text";

/// A pool of connections to one Postgres database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    follow_up: FollowUp,
}

impl PostgresStore {
    /// Connects and brings the schema up to date.
    pub async fn connect(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        // The parser's message may quote the address and with it the password.
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Setup("the postgres:// address cannot be read".into()))?
            .application_name("medserve");
        // Migrations run on a connection of their own: an error leaves the session's advisory
        // lock behind, which must not go back into a pool.
        let mut connection =
            sqlx::PgConnection::connect_with(&connect).await.map_err(unreachable_or_refused)?;
        migrate::run(&migrate::POSTGRES, &mut connection).await?;
        feed::forget_another_history(&mut connection).await?;
        let follow_up = FollowUp::find(&mut connection).await?;
        let _ = connection.close().await;

        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // A writer stuck behind another's lock answers 503 rather than never.
                    connection.execute("SET lock_timeout = '10s'").await?;
                    // The functions and statements of the engine are short; compiling them to
                    // machine code costs more than it saves.
                    connection.execute("SET jit = off").await?;
                    Ok(())
                })
            })
            .connect_lazy_with(connect);
        Ok(Self { pool, follow_up })
    }

    /// The `database` engine over the same pool, switched on for this weighing.
    pub async fn evidence(&self, weighing: &Weighing) -> Result<PostgresEvidence, StoreError> {
        PostgresEvidence::new(self.pool.clone(), weighing).await
    }

    async fn begin(&self) -> Result<Write, StoreError> {
        Ok(self.follow_up.begin(&self.pool).await?)
    }

    async fn put_users(&self, users: &[User]) -> Result<Written, StoreError> {
        let rows = last_of_each(users, |user| user.user_id.as_str());
        let mut write = self.begin().await?;
        let written = upsert_users(write.connection(), &rows).await?;
        let ids: Vec<&str> = rows.iter().map(|user| user.user_id.as_str()).collect();
        write.finish(&ids, &[], &[]).await?;
        Ok(written)
    }

    async fn put_items(&self, items: &[Item]) -> Result<Written, StoreError> {
        let ids: Vec<&str> = items.iter().map(|item| item.item_id.as_str()).collect();
        let mut write = self.begin().await?;
        let written = upsert_items(write.connection(), items).await?;
        // An item may have changed its kind, which is a change of those who have it.
        let users = write.users_of(&ids).await?;
        write.finish(&[], &ids, &strs(&users)).await?;
        Ok(written)
    }

    async fn put_interactions(&self, interactions: &[Interaction]) -> Result<Written, StoreError> {
        let rows = last_of_each(interactions, interaction_key);
        let mut left = TRIES;
        loop {
            left -= 1;
            let error = match self.upsert_interactions(&rows).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            match sql_state(&error).as_deref() {
                // A foreign key: say which. If everybody exists by now, another made them.
                Some("23503") => {
                    self.find_unknown(interactions).await?;
                    if left == 0 {
                        return Err(StoreError::Conflict(
                            "users or items of the batch are being deleted at this moment".into(),
                        ));
                    }
                }
                Some("40001" | "40P01") if left > 0 => {}
                _ => return Err(described(error)),
            }
        }
    }

    async fn upsert_interactions(&self, rows: &[&Interaction]) -> Result<Written, sqlx::Error> {
        let each =
            |field: fn(&Interaction) -> &str| -> Vec<&str> { rows.iter().map(|row| field(row)).collect() };
        let mut write = self.follow_up.begin(&self.pool).await?;
        let created: Vec<bool> = sqlx::query_scalar(
            "INSERT INTO interactions (item_id, user_id, event, occurred_at, weight)
             SELECT item_id, user_id, event,
                 timestamptz 'epoch' + time * interval '1 millisecond', weight
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::real[])
                 AS new (item_id, user_id, event, time, weight)
             ORDER BY item_id COLLATE \"C\", user_id COLLATE \"C\", event COLLATE \"C\", time
             ON CONFLICT (item_id, user_id, event, occurred_at)
                 DO UPDATE SET weight = EXCLUDED.weight
                 WHERE interactions.weight <> EXCLUDED.weight
             RETURNING xmax = 0",
        )
        .bind(each(|row| &row.item_id))
        .bind(each(|row| &row.user_id))
        .bind(each(|row| &row.event))
        .bind(rows.iter().map(|row| row.time).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.weight).collect::<Vec<_>>())
        .fetch_all(write.connection())
        .await?;
        let mut users = each(|row| &row.user_id);
        users.sort_unstable();
        users.dedup();
        write.finish(&[], &[], &users).await?;
        Ok(written(rows.len(), &created))
    }

    /// Fails with the first interaction that names an unknown user or item.
    async fn find_unknown(&self, interactions: &[Interaction]) -> Result<(), StoreError> {
        let unknown: Option<(i64, bool)> = sqlx::query_as(
            "SELECT new.position - 1, u.id IS NULL
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY
                 AS new (user_id, item_id, position)
             LEFT JOIN users u ON u.id = new.user_id
             LEFT JOIN items i ON i.id = new.item_id
             WHERE u.id IS NULL OR i.id IS NULL
             ORDER BY new.position LIMIT 1",
        )
        .bind(interactions.iter().map(|row| row.user_id.as_str()).collect::<Vec<_>>())
        .bind(interactions.iter().map(|row| row.item_id.as_str()).collect::<Vec<_>>())
        .fetch_optional(&self.pool)
        .await?;
        let Some((index, is_user)) = unknown else {
            return Ok(());
        };
        let index = index as usize;
        Err(if is_user {
            let id = interactions[index].user_id.clone();
            StoreError::UnknownUser { index, id }
        } else {
            let id = interactions[index].item_id.clone();
            StoreError::UnknownItem { index, id }
        })
    }

    async fn require_user(&self, user_id: &str) -> Result<(), StoreError> {
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)")
            .bind(user_id)
            .fetch_one(&self.pool)
            .await
            .map_err(described)?;
        if exists { Ok(()) } else { Err(not_found("user", user_id)) }
    }

    /// Deletes a user or an item, with the interactions.
    async fn delete(&self, what: &'static str, id: &str) -> Result<(), StoreError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.try_delete(what, id).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(not_found(what, id)),
                Err(error) => match sql_state(&error).as_deref() {
                    Some("40001" | "40P01") if left > 0 => {}
                    _ => return Err(described(error)),
                },
            }
        }
    }

    async fn try_delete(&self, what: &'static str, id: &str) -> Result<bool, sqlx::Error> {
        let mut write = self.follow_up.begin(&self.pool).await?;
        let (sql, users) = if what == "user" {
            ("DELETE FROM users WHERE id = $1", vec![id.to_owned()])
        } else {
            ("DELETE FROM items WHERE id = $1", write.users_of(&[id]).await?)
        };
        let done = sqlx::query(sql).bind(id).execute(write.connection()).await?;
        let items: &[&str] = if what == "user" { &[] } else { &[id] };
        write.finish(&[], items, &strs(&users)).await?;
        Ok(done.rows_affected() > 0)
    }
}

impl Store for PostgresStore {
    fn put_users<'a>(&'a self, users: &'a [User]) -> Answer<'a, Written> {
        Box::pin(self.put_users(users))
    }

    fn get_user<'a>(&'a self, user_id: &'a str) -> Answer<'a, User> {
        Box::pin(async move {
            sqlx::query_as::<_, UserRow>("SELECT id, profile::text FROM users WHERE id = $1")
                .bind(user_id)
                .fetch_optional(&self.pool)
                .await
                .map_err(described)?
                .ok_or_else(|| not_found("user", user_id))?
                .into_user()
        })
    }

    fn delete_user<'a>(&'a self, user_id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.delete("user", user_id))
    }

    fn put_items<'a>(&'a self, items: &'a [Item]) -> Answer<'a, Written> {
        Box::pin(self.put_items(items))
    }

    fn get_item<'a>(&'a self, item_id: &'a str) -> Answer<'a, Item> {
        Box::pin(async move {
            sqlx::query_as::<_, ItemRow>(sqlx::AssertSqlSafe(format!(
                "SELECT {ITEM_COLUMNS} FROM items WHERE id = $1"
            )))
            .bind(item_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(described)?
            .ok_or_else(|| not_found("item", item_id))?
            .into_item()
        })
    }

    fn list_items<'a>(&'a self, query: &'a ItemQuery) -> Answer<'a, Vec<Item>> {
        Box::pin(async move {
            sqlx::query_as::<_, ItemRow>(sqlx::AssertSqlSafe(format!(
                "SELECT {ITEM_COLUMNS} FROM items
                 WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR id > $2)
                 ORDER BY id LIMIT $3"
            )))
            .bind(query.kind.map(Kind::as_str))
            .bind(query.after.as_deref())
            .bind(i64::from(query.limit))
            .fetch_all(&self.pool)
            .await
            .map_err(described)?
            .into_iter()
            .map(ItemRow::into_item)
            .collect()
        })
    }

    fn delete_item<'a>(&'a self, item_id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.delete("item", item_id))
    }

    fn put_interactions<'a>(&'a self, interactions: &'a [Interaction]) -> Answer<'a, Written> {
        Box::pin(self.put_interactions(interactions))
    }

    fn list_interactions<'a>(
        &'a self,
        user_id: &'a str,
        query: &'a InteractionQuery,
    ) -> Answer<'a, Vec<Interaction>> {
        Box::pin(async move {
            self.require_user(user_id).await?;
            let after = query.after.as_ref();
            sqlx::query_as::<_, InteractionRow>(
                "SELECT * FROM (
                     SELECT i.kind, n.user_id, n.item_id, n.event, n.weight,
                         (extract(epoch FROM n.occurred_at) * 1000)::bigint AS time
                     FROM interactions n JOIN items i ON i.id = n.item_id
                     WHERE n.user_id = $1 AND ($2::text IS NULL OR i.kind = $2)
                 ) rows
                 WHERE $3::bigint IS NULL OR (-time, item_id, event) > (-$3, $4, $5)
                 ORDER BY time DESC, item_id, event LIMIT $6",
            )
            .bind(user_id)
            .bind(query.kind.map(Kind::as_str))
            .bind(after.map(|key| key.time))
            .bind(after.map(|key| key.item_id.as_str()))
            .bind(after.map(|key| key.event.as_str()))
            .bind(i64::from(query.limit))
            .fetch_all(&self.pool)
            .await
            .map_err(described)?
            .into_iter()
            .map(|row| row.split().map(|(_, interaction)| interaction))
            .collect()
        })
    }

    fn delete_interactions<'a>(&'a self, user_id: &'a str, filter: &'a InteractionFilter) -> Answer<'a, u64> {
        Box::pin(async move {
            self.require_user(user_id).await?;
            let mut write = self.begin().await?;
            let done = sqlx::query(
                "DELETE FROM interactions
                 WHERE user_id = $1 AND ($2::text IS NULL OR item_id = $2)
                     AND ($3::text IS NULL OR event = $3)
                     AND ($4::bigint IS NULL
                         OR occurred_at = timestamptz 'epoch' + $4 * interval '1 millisecond')",
            )
            .bind(user_id)
            .bind(filter.item_id.as_deref())
            .bind(filter.event.as_deref())
            .bind(filter.time)
            .execute(write.connection())
            .await
            .map_err(described)?;
            write.finish(&[], &[], &[user_id]).await?;
            Ok(done.rows_affected())
        })
    }

    fn begin_load(&self) -> Answer<'_, Box<dyn BulkLoad>> {
        Box::pin(async move {
            let load = load::PostgresLoad::begin(&self.pool, self.follow_up).await?;
            Ok(Box::new(load) as Box<dyn BulkLoad>)
        })
    }

    fn counts(&self) -> Answer<'_, Counts> {
        Box::pin(async move {
            let (users, items, interactions): (i64, i64, i64) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM items),
                     (SELECT count(*) FROM interactions)",
            )
            .fetch_one(&self.pool)
            .await?;
            Ok(Counts { users: users as u64, items: items as u64, interactions: interactions as u64 })
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            sqlx::query("SELECT 1").execute(&self.pool).await?;
            Ok(())
        })
    }

    fn pool_usage(&self) -> PoolUsage {
        PoolUsage {
            open: self.pool.size(),
            idle: u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX),
            max: self.pool.options().get_max_connections(),
        }
    }

    fn trim_changes(&self, keep: Duration) -> Answer<'_, u64> {
        Box::pin(feed::trim(&self.pool, keep))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}

/// Writes users that are unique and in the order of their ids.
async fn upsert_users(connection: &mut sqlx::PgConnection, users: &[&User]) -> Result<Written, StoreError> {
    let ids: Vec<&str> = users.iter().map(|user| user.user_id.as_str()).collect();
    let profiles: Vec<String> =
        users.iter().map(|user| rows::profile_json(&user.profile)).collect::<Result<_, _>>()?;
    let created: Vec<bool> = sqlx::query_scalar(
        "INSERT INTO users (id, profile)
         SELECT id, profile::jsonb FROM unnest($1::text[], $2::text[]) AS new (id, profile)
         ORDER BY id COLLATE \"C\"
         ON CONFLICT (id) DO UPDATE SET profile = EXCLUDED.profile
             WHERE users.profile <> EXCLUDED.profile
         RETURNING xmax = 0",
    )
    .bind(&ids)
    .bind(&profiles)
    .fetch_all(connection)
    .await
    .map_err(described)?;
    Ok(written(users.len(), &created))
}

async fn upsert_items(connection: &mut sqlx::PgConnection, items: &[Item]) -> Result<Written, StoreError> {
    for (index, item) in items.iter().enumerate() {
        rows::attributes_json(index, item)?;
    }
    let items = last_of_each(items, |item| item.item_id.as_str());
    let text = |field: fn(&Item) -> &str| -> Vec<&str> { items.iter().map(|item| field(item)).collect() };
    let attributes: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(index, item)| rows::attributes_json(index, item))
        .collect::<Result<_, _>>()?;
    let contraindications: Vec<String> =
        items.iter().map(|item| rows::contraindications_json(item)).collect::<Result<_, _>>()?;
    let created: Vec<bool> = sqlx::query_scalar(
        "INSERT INTO items (id, kind, name, attributes, latitude, longitude, hidden, repeatable,
             contraindications)
         SELECT id, kind, name, attributes::jsonb, latitude, longitude, hidden, repeatable,
             contraindications::jsonb
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[],
             $7::boolean[], $8::boolean[], $9::text[])
             AS new (id, kind, name, attributes, latitude, longitude, hidden, repeatable,
                 contraindications)
         ORDER BY id COLLATE \"C\"
         ON CONFLICT (id) DO UPDATE SET kind = EXCLUDED.kind, name = EXCLUDED.name,
             attributes = EXCLUDED.attributes, latitude = EXCLUDED.latitude,
             longitude = EXCLUDED.longitude, hidden = EXCLUDED.hidden,
             repeatable = EXCLUDED.repeatable, contraindications = EXCLUDED.contraindications
             WHERE items IS DISTINCT FROM EXCLUDED
         RETURNING xmax = 0",
    )
    .bind(text(|item| &item.item_id))
    .bind(text(|item| item.kind.as_str()))
    .bind(text(|item| &item.name))
    .bind(&attributes)
    .bind(items.iter().map(|item| item.latitude).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.longitude).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.hidden).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.repeatable).collect::<Vec<_>>())
    .bind(&contraindications)
    .fetch_all(connection)
    .await
    .map_err(described)?;
    Ok(written(items.len(), &created))
}

/// `created` has an entry for each row that was written, true where it is new.
fn written(rows: usize, created: &[bool]) -> Written {
    let new = created.iter().filter(|created| **created).count();
    Written {
        created: new as u64,
        updated: (created.len() - new) as u64,
        unchanged: (rows - created.len()) as u64,
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn not_found(what: &'static str, id: &str) -> StoreError {
    StoreError::NotFound { what, id: id.to_owned() }
}

fn sql_state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Errors that are the value's fault, in words; the others as they are.
fn described(error: sqlx::Error) -> StoreError {
    match sql_state(&error).as_deref() {
        Some("22021" | "22P05") => StoreError::invalid(None, "text", "must not contain the character NUL"),
        Some("22008") => StoreError::invalid(None, "time", "is out of range"),
        Some("23514" | "22003" | "54000") => {
            StoreError::invalid(None, "value", "is out of the range the database keeps")
        }
        _ => error.into(),
    }
}

/// At start, say what is wrong without repeating the address.
fn unreachable_or_refused(error: sqlx::Error) -> StoreError {
    match sql_state(&error).as_deref() {
        Some("28P01" | "28000") => StoreError::Setup("it refuses the user or the password".into()),
        Some("3D000") => StoreError::Setup("there is no database of that name".into()),
        _ => error.into(),
    }
}
