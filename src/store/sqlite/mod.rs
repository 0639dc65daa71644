//! The store in an SQLite file: the embedded default, with nothing to install beside it.
//!
//! The file is in WAL mode, so readers never wait for the writer, with `synchronous = FULL`:
//! each commit is on the disk before it is answered. (`NORMAL` would survive the end of the
//! process as well, but not of the machine's power: what may be lost then is committed so.)
//! SQLite has one writer at a time; the others wait up to five seconds, in the order in which
//! they came ([`turn`]). `secure_delete` overwrites what is deleted, so that an erased person
//! cannot be read back out of the file's free pages.
//!
//! Batches are one transaction of a prepared statement per row: there is no round trip to save.

mod audit;
mod batches;
mod cases;
mod dicom;
mod feed;
mod intake;
mod load;
mod replace;
mod tallies;
mod turn;
pub mod vacant;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Executor};
use tokio::sync::Mutex;

use super::rows::{InteractionRow, ItemRow};
use super::{
    Answer, AuditKey, AuditQuery, AuditRow, BulkLoad, Check, Counts, Head, Intake, InteractionFilter,
    InteractionQuery, NumberedRow, PoolUsage, Store, StoreError, StoreOptions, Traces, Written, file_of,
    interaction_key, last_of_each, migrate,
};
use recommend::{Evidence, Interaction, Item, Kind, Millis, Term, User, Weighing};

use batches::{
    ITEM_EXISTS, USER_EXISTS, exists, upsert_interaction, upsert_items, upsert_terms, upsert_users,
};
use intake::{SqliteIntake, remove_interactions};
use replace::{FIND_ITEM, erase};

/// How long a writer waits for the one before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that SQLite's own memory, of all connections together, stays near: where there is more, a
/// connection uses the pages of its cache again in place of taking new ones. Without it each comes to
/// hold two megabytes sooner or later, and the memory of the process creeps up for hours.
const MEMORY: &str = "8388608";

/// A pool of connections to one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    /// For what may be lost with the machine's power, such as that an image was taken to be answered: a commit there
    /// waits for no disk.
    leases: SqlitePool,
    /// How a connection is opened.
    connect: SqliteConnectOptions,
    /// Whether the write-ahead log still holds what was erased from the file.
    log_is_full: Arc<AtomicBool>,
    /// Whose turn it is to write.
    turns: Arc<Mutex<()>>,
}

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and brings the schema up to date.
    pub async fn connect(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let connect = SqliteConnectOptions::from_str(url)
            .map_err(|_| StoreError::Setup("the sqlite:// address cannot be read".into()))?
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "ON")
            .pragma("soft_heap_limit", MEMORY);
        let file = connect.get_filename().to_path_buf();
        // Every connection to `:memory:` is a database of its own, so there may be one only, and
        // it must stay.
        let in_memory = file_of(url).is_none();
        let leases = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(options.acquire_timeout)
            .connect_lazy_with(connect.clone().synchronous(SqliteSynchronous::Normal));
        let pool = SqlitePoolOptions::new()
            .max_connections(if in_memory { 1 } else { options.max_connections })
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(if in_memory { None } else { Some(Duration::from_secs(600)) })
            .max_lifetime(if in_memory { None } else { Some(Duration::from_secs(3600)) })
            .before_acquire(move |connection, _| {
                // One whose last rollback failed, as on a full disk, is still in its transaction.
                let sound = in_memory || !connection.is_in_transaction();
                Box::pin(async move { Ok(sound) })
            })
            .connect_lazy_with(connect.clone());
        keep_private(&file)?;
        let leases = if in_memory { pool.clone() } else { leases };
        let store = Self { pool, leases, connect, log_is_full: Arc::default(), turns: Arc::default() };
        store.migrate().await?;
        Ok(store)
    }

    /// All migrations are one write transaction, so of several processes that start at once one
    /// does it and the others wait, then find it done.
    async fn migrate(&self) -> Result<(), StoreError> {
        let mut transaction = self.first_write().await.map_err(|error| match error {
            StoreError::Unavailable(cause) if cause.to_string().contains("unable to open") => {
                StoreError::Setup("the file cannot be opened or made".into())
            }
            StoreError::Internal(cause) if cause.to_string().contains("not a database") => {
                StoreError::Setup("the file is not an SQLite database".into())
            }
            other => other,
        })?;
        migrate::run(migrate::sqlite(), &mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn put_users(&self, users: &[User]) -> Result<Written, StoreError> {
        let mut transaction = self.write().await?;
        let written = upsert_users(&mut transaction, users).await?;
        transaction.commit().await?;
        Ok(written)
    }

    async fn put_items(&self, items: &[Item]) -> Result<Written, StoreError> {
        let mut transaction = self.write().await?;
        let written = upsert_items(&mut transaction, items).await?;
        transaction.commit().await?;
        Ok(written)
    }

    async fn put_terms(&self, terms: &[Term]) -> Result<Written, StoreError> {
        let mut transaction = self.write().await?;
        let written = upsert_terms(&mut transaction, terms).await?;
        transaction.commit().await?;
        Ok(written)
    }

    async fn put_interactions(&self, interactions: &[Interaction]) -> Result<Written, StoreError> {
        let mut transaction = self.write().await?;
        // Nobody else writes now, so what is found here holds until the commit.
        for (index, row) in interactions.iter().enumerate() {
            if !exists(&mut transaction, USER_EXISTS, &row.user_id).await? {
                let id = row.user_id.clone();
                return Err(StoreError::UnknownUser { index, id });
            }
            if !exists(&mut transaction, ITEM_EXISTS, &row.item_id).await? {
                let id = row.item_id.clone();
                return Err(StoreError::UnknownItem { index, id });
            }
        }
        let mut written = Written::default();
        for row in last_of_each(interactions, interaction_key) {
            upsert_interaction(&mut transaction, row, &mut written).await?;
        }
        transaction.commit().await?;
        Ok(written)
    }

    async fn require_user(&self, user_id: &str) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        if exists(&mut connection, USER_EXISTS, user_id).await? {
            Ok(())
        } else {
            Err(not_found("user", user_id))
        }
    }

    async fn delete(&self, sql: &'static str, what: &'static str, id: &str) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        let done = sqlx::query(sql).bind(id).execute(&self.pool).await?;
        if done.rows_affected() > 0 { Ok(()) } else { Err(not_found(what, id)) }
    }

    /// What was erased must not live on in the log of earlier writes. The deletion stands whatever
    /// comes of this; it is made up for with the next trimming.
    async fn empty_log(&self) {
        if let Err(error) = self.checkpoint().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the log was not emptied yet");
            self.log_is_full.store(true, Ordering::Relaxed);
        }
    }

    /// Moves what the write-ahead log holds into the file and empties it. A reader may be in the
    /// way; writers wait meanwhile, so it is given a moment only, and fails then.
    async fn checkpoint(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        let mut connection = self.pool.acquire().await?;
        connection.execute("PRAGMA busy_timeout = 250").await?;
        // The first column says whether somebody was in the way.
        let done =
            sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
        let milliseconds = BUSY_TIMEOUT.as_millis();
        let usual = format!("PRAGMA busy_timeout = {milliseconds}");
        connection.execute(sqlx::AssertSqlSafe(usual)).await?;
        if done? == 0 { Ok(()) } else { Err(StoreError::Unavailable("a reader is in the way".into())) }
    }
}

impl Store for SqliteStore {
    fn put_users<'a>(&'a self, users: &'a [User]) -> Answer<'a, Written> {
        Box::pin(self.put_users(users))
    }

    fn delete_user<'a>(&'a self, user_id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut transaction = self.write().await?;
            erase(&mut transaction, "DELETE FROM users WHERE id = ?", "user", user_id).await?;
            transaction.commit().await?;
            self.empty_log().await;
            Ok(())
        })
    }

    fn put_items<'a>(&'a self, items: &'a [Item]) -> Answer<'a, Written> {
        Box::pin(self.put_items(items))
    }

    fn get_item<'a>(&'a self, item_id: &'a str) -> Answer<'a, Item> {
        Box::pin(async move {
            sqlx::query_as::<_, ItemRow>(FIND_ITEM)
                .bind(item_id)
                .fetch_optional(&self.pool)
                .await?
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
        Box::pin(self.replace_user(user_id, new, check))
    }

    fn replace_item<'a>(
        &'a self,
        item_id: &'a str,
        new: Option<&'a Item>,
        check: Check<'a, Item>,
    ) -> Answer<'a, Written> {
        Box::pin(self.replace_item(item_id, new, check))
    }

    fn delete_item<'a>(&'a self, item_id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.delete("DELETE FROM items WHERE id = ?", "item", item_id))
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
                "SELECT i.kind, n.user_id, n.item_id, n.event, n.occurred_at AS time, n.weight
                 FROM interactions n JOIN items i ON i.id = n.item_id
                 WHERE n.user_id = ?1 AND (?2 IS NULL OR i.kind = ?2)
                     AND (?3 IS NULL OR (-n.occurred_at, n.item_id, n.event) > (-?3, ?4, ?5))
                 ORDER BY n.occurred_at DESC, n.item_id, n.event LIMIT ?6",
            )
            .bind(user_id)
            .bind(query.kind.map(Kind::as_str))
            .bind(after.map(|key| key.time))
            .bind(after.map(|key| key.item_id.as_str()))
            .bind(after.map(|key| key.event.as_str()))
            .bind(query.limit)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(|row| row.split().map(|(_, interaction)| interaction))
            .collect()
        })
    }

    fn delete_interactions<'a>(&'a self, user_id: &'a str, filter: &'a InteractionFilter) -> Answer<'a, u64> {
        Box::pin(async move {
            self.require_user(user_id).await?;
            let _turn = self.turn().await?;
            remove_interactions(&mut *self.connection().await?, user_id, filter).await
        })
    }

    fn put_terms<'a>(&'a self, terms: &'a [Term]) -> Answer<'a, Written> {
        Box::pin(self.put_terms(terms))
    }

    fn begin_load(&self) -> Answer<'_, Box<dyn BulkLoad>> {
        Box::pin(async move {
            let load = load::SqliteLoad::begin(self.write().await?).await?;
            Ok(Box::new(load) as Box<dyn BulkLoad>)
        })
    }

    fn begin_intake(&self) -> Answer<'_, Box<dyn Intake>> {
        Box::pin(async move { Ok(Box::new(SqliteIntake::begin(self).await?) as Box<dyn Intake>) })
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
            // Reads a page of the file, which `SELECT 1` would not.
            sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&self.pool).await?;
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
        Box::pin(async move {
            if self.log_is_full.swap(false, Ordering::Relaxed)
                && let Err(error) = self.checkpoint().await
            {
                self.log_is_full.store(true, Ordering::Relaxed);
                return Err(error);
            }
            self.trim(keep).await
        })
    }

    fn reference_time(&self, now: Millis, oldest: Millis) -> Answer<'_, Millis> {
        Box::pin(async move {
            let _turn = self.turn().await?;
            sqlx::query(
                "INSERT INTO reference_time (only_row, moment) VALUES (true, ?1)
                 ON CONFLICT (only_row) DO UPDATE SET moment = excluded.moment
                     WHERE reference_time.moment < ?2",
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

    fn copy_into<'a>(&'a self, file: &'a Path) -> Answer<'a, ()> {
        Box::pin(async move {
            sqlx::query("VACUUM INTO ?").bind(file.display().to_string()).execute(&self.pool).await?;
            Ok(())
        })
    }

    fn check_whole(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let found: Vec<String> =
                sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&self.pool).await?;
            match found.as_slice() {
                [fine] if fine == "ok" => Ok(()),
                _ => Err(StoreError::Setup(format!("it is damaged: {}", found.join("; ")))),
            }
        })
    }

    fn evidence<'a>(&'a self, _: &'a Weighing) -> Answer<'a, Arc<dyn Evidence>> {
        let reason = "the database engine needs Postgres; with SQLite the engine is memory";
        Box::pin(async move { Err(StoreError::Setup(reason.into())) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.leases.close().await;
            self.pool.close().await;
        })
    }
}

fn not_found(what: &'static str, id: &str) -> StoreError {
    StoreError::NotFound { what, id: id.to_owned() }
}

/// Makes the file, for nobody but its owner to read, if it is not there, and tells of one that others
/// can read. SQLite gives its log the same rights.
fn keep_private(file: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    if file.as_os_str().is_empty()
        || file.starts_with(":memory:")
        || file.to_string_lossy().starts_with("file:")
    {
        return Ok(());
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let Err(error) = made else { return Ok(()) };
    if error.kind() != std::io::ErrorKind::AlreadyExists {
        return Err(StoreError::Setup("the file cannot be opened or made".into()));
    }
    let mode = std::fs::metadata(file).map(|metadata| metadata.permissions().mode() & 0o077);
    if mode.is_ok_and(|others| others != 0) {
        tracing::warn!("the file of the database can be read by others on this machine: chmod 600 it");
    }
    Ok(())
}
