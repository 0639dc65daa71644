//! The store on Postgres, for production and for many replicas.
//!
//! Every write is one statement over arrays (`unnest`), which is one round trip and one
//! transaction, with its rows in key order so that two batches cannot lock each other out. What
//! follows from a write (the change log, the norms) is done by triggers in the same transaction.

/// Makes the call again while its failure is that Postgres took the write back.
macro_rules! retrying {
    ($call:expr) => {{
        let mut left = TRIES;
        loop {
            left -= 1;
            match $call.await {
                Err(error) if left > 0 && was_taken_back(&error) => {}
                done => break done,
            }
        }
    }};
}

mod audit;
mod batches;
mod cases;
mod copy;
mod dicom;
mod evidence;
mod feed;
mod intake;
mod learned;
mod load;
mod replace;
pub mod schema;
mod tallies;
mod write;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};

use super::rows::{InteractionRow, ItemRow};
use super::{
    Answer, AuditKey, AuditQuery, AuditRow, BulkLoad, Check, Counts, Head, Intake, InteractionFilter,
    InteractionQuery, NumberedRow, PoolUsage, Store, StoreError, StoreOptions, Traces, Written, migrate,
    tenant,
};
use recommend::{Evidence, Interaction, Item, Kind, Millis, Term, User, Weighing};

use evidence::PostgresEvidence;
use intake::PostgresIntake;
use write::FollowUp;

/// How often a write is tried that Postgres takes back for another's sake: a deadlock, say, of a
/// user's deletion and a change of the same user's history.
const TRIES: u32 = 5;

/// Longest time that a connection has to answer before it goes back into the pool.
const RELEASE: Duration = Duration::from_secs(3);

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
        let schema: Option<Arc<str>> = tenant::schema(connect.get_options()).map(Arc::from);
        if let Some(schema) = &schema {
            schema::enter(&mut connection, schema).await?;
        }
        migrate::run(migrate::postgres(), &mut connection).await?;
        if let Some(schema) = &schema {
            schema::hold(&mut connection, schema).await?;
        }
        feed::forget_another_history(&mut connection).await?;
        let follow_up = FollowUp::find(&mut connection).await?;
        let _ = connection.close().await;

        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .after_connect(move |connection, _| {
                let schema = schema.clone();
                Box::pin(async move {
                    // - A writer stuck behind another's lock answers 503 rather than never.
                    // - A replica that fell silent in the middle of a write holds its locks no longer
                    //   than this, whether it is gone or only the network between.
                    // - The functions and statements of the engine are short; compiling them to machine
                    //   code costs more than it saves.
                    connection
                        .execute(
                            "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';
                             SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;
                             SET tcp_keepalives_count = 3; SET tcp_user_timeout = '20s'; SET jit = off",
                        )
                        .await?;
                    match schema {
                        Some(schema) => schema::require(connection, &schema).await,
                        None => Ok(()),
                    }
                })
            })
            .after_release(|connection, _| {
                Box::pin(async move {
                    // A question that was dropped unanswered, on a network that fell silent, leaves a
                    // connection that would be waited for without an end.
                    match tokio::time::timeout(RELEASE, connection.ping()).await {
                        Ok(answered) => answered.map(|()| true),
                        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
                    }
                })
            })
            .connect_lazy_with(connect);
        Ok(Self { pool, follow_up })
    }
}

impl Store for PostgresStore {
    fn put_users<'a>(&'a self, users: &'a [User]) -> Answer<'a, Written> {
        Box::pin(async move { retrying!(self.put_users(users)) })
    }

    fn delete_user<'a>(&'a self, user_id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { retrying!(self.delete_user(user_id)) })
    }

    fn put_items<'a>(&'a self, items: &'a [Item]) -> Answer<'a, Written> {
        Box::pin(async move { retrying!(self.put_items(items)) })
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

    fn replace_user<'a>(
        &'a self,
        user_id: &'a str,
        new: Option<&'a User>,
        check: Check<'a, User>,
    ) -> Answer<'a, Written> {
        Box::pin(async move { retrying!(self.replace_user(user_id, new, check)) })
    }

    fn replace_item<'a>(
        &'a self,
        item_id: &'a str,
        new: Option<&'a Item>,
        check: Check<'a, Item>,
    ) -> Answer<'a, Written> {
        Box::pin(async move { retrying!(self.replace_item(item_id, new, check)) })
    }

    fn delete_item<'a>(&'a self, item_id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { retrying!(self.delete_item(item_id)) })
    }

    fn put_interactions<'a>(&'a self, interactions: &'a [Interaction]) -> Answer<'a, Written> {
        Box::pin(async move { retrying!(self.put_interactions(interactions)) })
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
        Box::pin(async move { retrying!(self.delete_interactions(user_id, filter)) })
    }

    fn put_terms<'a>(&'a self, terms: &'a [Term]) -> Answer<'a, Written> {
        Box::pin(async move { retrying!(self.put_terms(terms)) })
    }

    fn begin_load(&self) -> Answer<'_, Box<dyn BulkLoad>> {
        Box::pin(async move {
            let load = load::PostgresLoad::begin(&self.pool, self.follow_up).await?;
            Ok(Box::new(load) as Box<dyn BulkLoad>)
        })
    }

    fn begin_intake(&self) -> Answer<'_, Box<dyn Intake>> {
        Box::pin(async move {
            let intake = PostgresIntake::begin(&self.pool, self.follow_up).await?;
            Ok(Box::new(intake) as Box<dyn Intake>)
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

    fn reference_time(&self, now: Millis, oldest: Millis) -> Answer<'_, Millis> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO reference_time (only_row, moment) VALUES (true, $1)
                 ON CONFLICT (only_row) DO UPDATE SET moment = excluded.moment
                     WHERE reference_time.moment < $2",
            )
            .bind(now)
            .bind(oldest)
            .execute(&self.pool)
            .await?;
            Ok(sqlx::query_scalar("SELECT moment FROM reference_time").fetch_one(&self.pool).await?)
        })
    }

    fn append_audit<'a>(&'a self, rows: &'a [AuditRow], key: &'a AuditKey) -> Answer<'a, ()> {
        Box::pin(self.append_audit(rows, key))
    }

    fn list_audit<'a>(&'a self, query: &'a AuditQuery) -> Answer<'a, Vec<NumberedRow>> {
        Box::pin(self.list_audit(query))
    }

    fn scan_audit(&self, after: i64, limit: u32) -> Answer<'_, Vec<NumberedRow>> {
        Box::pin(self.scan_audit(after, limit))
    }

    fn audit_feedback<'a>(&'a self, after: i64, card: &'a str, limit: u32) -> Answer<'a, Vec<NumberedRow>> {
        Box::pin(self.audit_feedback(after, card, limit))
    }

    fn audit_card<'a>(&'a self, card: &'a str) -> Answer<'a, Option<NumberedRow>> {
        Box::pin(self.audit_card(card))
    }

    fn audit_head(&self) -> Answer<'_, Head> {
        Box::pin(self.audit_head())
    }

    fn sign_audit<'a>(&'a self, key: &'a AuditKey) -> Answer<'a, ()> {
        Box::pin(self.sign_audit(key))
    }

    fn audit_secret<'a>(&'a self, fresh: &'a str) -> Answer<'a, String> {
        Box::pin(self.audit_secret(fresh))
    }

    fn missing_audit_guards(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.missing_audit_guards())
    }

    fn foreign_audit_triggers(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.foreign_audit_triggers())
    }

    fn audit_names(&self, after: i64, last: i64) -> Answer<'_, Vec<(i64, String)>> {
        Box::pin(self.audit_names(after, last))
    }

    fn stray_audit_names(&self, limit: u32) -> Answer<'_, Vec<i64>> {
        Box::pin(self.stray_audit_names(limit))
    }

    fn audit_traces(&self) -> Answer<'_, Traces> {
        Box::pin(self.audit_traces())
    }

    fn tick_audit(&self, ran: Duration) -> Answer<'_, ()> {
        Box::pin(self.tick_audit(ran))
    }

    fn trim_audit<'a>(&'a self, keep: Duration, key: &'a AuditKey) -> Answer<'a, u64> {
        Box::pin(self.trim_audit(keep, key))
    }

    fn claim_audit_stream(&self, holder: i64, lease: Duration) -> Answer<'_, Option<(i64, i64)>> {
        Box::pin(self.claim_audit_stream(holder, lease))
    }

    fn advance_audit_stream(&self, holder: i64, number: i64) -> Answer<'_, ()> {
        Box::pin(self.advance_audit_stream(holder, number))
    }

    fn evidence<'a>(&'a self, weighing: &'a Weighing) -> Answer<'a, Arc<dyn Evidence>> {
        Box::pin(async move {
            let evidence = PostgresEvidence::new(self.pool.clone(), weighing).await?;
            Ok(Arc::new(evidence) as Arc<dyn Evidence>)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
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

/// Whether Postgres rolled the write back for another's sake (class 40).
pub(super) fn was_taken_back(error: &StoreError) -> bool {
    let StoreError::Unavailable(cause) = error else {
        return false;
    };
    let cause = cause.downcast_ref::<sqlx::Error>();
    cause.and_then(sql_state).is_some_and(|code| code.starts_with("40"))
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
