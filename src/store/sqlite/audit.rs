//! The audit in an SQLite file. There is one writer at a time, so the chain has one end.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::SqliteConnection;

use recommend::clock;

use super::{SqliteStore, StoreError, Traces, migrate};
use crate::store::audit::chain::{canonical, link};
use crate::store::audit::{AuditKey, AuditQuery, Head, card_in_answers};
use crate::store::rows::{self, AuditColumns, HeadColumns, head, no_head, not_taken};
use crate::store::{AuditRow, NumberedRow, TRIM_BATCH};

/// The statements that insert 1, 2, 4, ..., 64 rows. Every number of rows is a sum of a few of
/// them, so a connection prepares each once; and a statement that takes many rows saves the
/// switch of threads that each statement costs.
static INSERTS: LazyLock<[String; 7]> = LazyLock::new(|| std::array::from_fn(|power| insert(1 << power)));

/// The triggers that keep rows as they are.
const GUARDS: [&str; 5] = [
    "audit_is_not_changed",
    "audit_is_kept",
    "audit_is_not_replaced",
    "audit_people_are_named",
    "audit_people_go_with_it",
];

const HEAD: &str = "SELECT number, chain, dropped, dropped_chain, signature FROM audit_head";

/// Milliseconds of the time of day.
const TICK: &str = "UPDATE audit_clock
     SET ms = ms + max(0, min(?, CAST(unixepoch('subsec') * 1000 AS INTEGER) - seen)),
         seen = CAST(unixepoch('subsec') * 1000 AS INTEGER)";

fn insert(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!(
        "INSERT INTO audit (run, sequence, time, request_id, caller, address, method, route, status, model,
             version, people, input_sha256, request_sha256, answers, abstained, latency_ms, clock, chain,
             evidence)
         VALUES {values}"
    )
}

impl SqliteStore {
    pub(super) async fn append_audit(&self, rows: &[AuditRow], key: &AuditKey) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let mut head = read_head(&mut transaction).await?;
        head.check(key)?;
        if head.signature.is_empty() {
            head.check_new(&traces(&mut transaction).await?)?;
        }
        let rows = new_rows(&mut transaction, rows).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut chains = Vec::with_capacity(rows.len());
        for row in &rows {
            head.chain = link(&head.chain, &canonical(row)?);
            chains.push(head.chain.clone());
        }
        let (mut rest, mut chains) = (rows.as_slice(), chains.into_iter());
        while let Some(power) = rest.len().checked_ilog2() {
            let power = INSERTS.len().min(power as usize + 1) - 1;
            let (these, others) = rest.split_at(1 << power);
            rest = others;
            let mut query = sqlx::query(INSERTS[power].as_str());
            for row in these {
                query = query
                    .bind(row.run)
                    .bind(row.sequence)
                    .bind(row.time)
                    .bind(&row.request_id)
                    .bind(&row.caller)
                    .bind(&row.address)
                    .bind(&row.method)
                    .bind(&row.route)
                    .bind(row.status)
                    .bind(&row.model)
                    .bind(&row.version)
                    .bind(rows::people_json(row)?)
                    .bind(&row.input_sha256)
                    .bind(&row.request_sha256)
                    .bind(rows::answers_json(row)?)
                    .bind(row.abstained)
                    .bind(row.latency_ms)
                    .bind(row.clock)
                    .bind(chains.next())
                    .bind(&row.evidence);
            }
            let done = query.execute(&mut *transaction).await?;
            if done.rows_affected() != these.len() as u64 {
                return Err(not_taken());
            }
        }
        head.number =
            sqlx::query_scalar("SELECT max(number) FROM audit").fetch_one(&mut *transaction).await?;
        write_head(&mut transaction, head.signed(key)).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn list_audit(&self, query: &AuditQuery) -> Result<Vec<NumberedRow>, StoreError> {
        let sql = match query.person {
            Some(_) => {
                "SELECT a.* FROM audit_people p JOIN audit a ON a.number = p.number
                 WHERE p.person = ?3 AND (?1 IS NULL OR p.number < ?1)
                     AND (?4 IS NULL OR a.time >= ?4) AND (?5 IS NULL OR a.time < ?5)
                 ORDER BY p.number DESC LIMIT ?2"
            }
            None => {
                "SELECT * FROM audit WHERE ?3 IS NULL AND (?1 IS NULL OR number < ?1)
                     AND (?4 IS NULL OR time >= ?4) AND (?5 IS NULL OR time < ?5)
                 ORDER BY number DESC LIMIT ?2"
            }
        };
        sqlx::query_as::<_, AuditColumns>(sql)
            .bind(query.before)
            .bind(query.limit)
            .bind(query.person.as_deref())
            .bind(query.from)
            .bind(query.to)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(AuditColumns::into_row)
            .collect()
    }

    pub(super) async fn scan_audit(&self, after: i64, limit: u32) -> Result<Vec<NumberedRow>, StoreError> {
        sqlx::query_as::<_, AuditColumns>("SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(AuditColumns::into_row)
            .collect()
    }

    pub(super) async fn audit_feedback(
        &self,
        after: i64,
        card: &str,
        limit: u32,
    ) -> Result<Vec<NumberedRow>, StoreError> {
        sqlx::query_as::<_, AuditColumns>(
            "SELECT * FROM audit WHERE route = '/cds-services/{id}/feedback' AND number > ?1
                 AND instr(answers, ?2) > 0 ORDER BY number LIMIT ?3",
        )
        .bind(after)
        .bind(card)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(AuditColumns::into_row)
        .collect()
    }

    pub(super) async fn audit_card(&self, card: &str) -> Result<Option<NumberedRow>, StoreError> {
        sqlx::query_as::<_, AuditColumns>(
            "SELECT * FROM audit WHERE route = '/cds-services/{id}' AND instr(answers, ?1) > 0
             ORDER BY number DESC LIMIT 1",
        )
        .bind(card_in_answers(card))
        .fetch_optional(&self.pool)
        .await?
        .map(AuditColumns::into_row)
        .transpose()
    }

    pub(super) async fn audit_head(&self) -> Result<Head, StoreError> {
        let row = sqlx::query_as::<_, HeadColumns>(HEAD).fetch_optional(&self.pool).await?;
        row.map(head).ok_or_else(no_head)
    }

    pub(super) async fn sign_audit(&self, key: &AuditKey) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let head = read_head(&mut transaction).await?;
        write_head(&mut transaction, head.signed(key)).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn trim_audit(&self, keep: Duration, key: &AuditKey) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let mut head = read_head(&mut transaction).await?;
        head.check(key)?;
        // The clock only moves on, so the old rows are the first ones. It is no more than a number in the
        // database, which somebody may set: a row has to be old by its own time as well, which is chained.
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max(number) FROM (SELECT number, clock, time FROM audit ORDER BY number LIMIT ?2)
             WHERE clock < (SELECT ms FROM audit_clock) - ?1 AND time < ?3",
        )
        .bind(keep)
        .bind(TRIM_BATCH)
        .bind(clock::now().saturating_sub(keep))
        .fetch_one(&mut *transaction)
        .await?;
        let Some(last) = last else { return Ok(0) };
        let chain: Option<String> = sqlx::query_scalar("SELECT chain FROM audit WHERE number = ?")
            .bind(last)
            .fetch_one(&mut *transaction)
            .await?;
        if let Some(chain) = chain {
            (head.dropped, head.dropped_chain) = (last, chain);
            write_head(&mut transaction, head.signed(key)).await?;
        }
        let done =
            sqlx::query("DELETE FROM audit WHERE number <= ?").bind(last).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn tick_audit(&self, ran: Duration) -> Result<(), StoreError> {
        let ran = i64::try_from(ran.as_millis()).unwrap_or(0);
        let mut transaction = self.write().await?;
        sqlx::query(TICK).bind(ran).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn claim_audit_stream(
        &self,
        holder: i64,
        lease: Duration,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let (number, last): (i64, i64) =
            sqlx::query_as("SELECT s.number, h.number FROM audit_stream s, audit_head h")
                .fetch_one(&self.pool)
                .await?;
        if last <= number {
            return Ok(Some((number, last)));
        }
        let mut transaction = self.write().await?;
        let claimed: Option<i64> = sqlx::query_scalar(
            "UPDATE audit_stream SET holder = ?1, until = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?2
             WHERE holder = ?1 OR until < CAST(unixepoch('subsec') * 1000 AS INTEGER) RETURNING number",
        )
        .bind(holder)
        .bind(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(claimed.map(|number| (number, last)))
    }

    pub(super) async fn advance_audit_stream(&self, holder: i64, number: i64) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE audit_stream SET number = max(number, ?2) WHERE holder = ?1")
            .bind(holder)
            .bind(number)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn audit_secret(&self, fresh: &str) -> Result<String, StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE audit_head SET secret = ? WHERE secret = ''")
            .bind(fresh)
            .execute(&mut *transaction)
            .await?;
        let secret: Option<String> =
            sqlx::query_scalar("SELECT secret FROM audit_head").fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        secret.ok_or_else(no_head)
    }

    pub(super) async fn missing_audit_guards(&self) -> Result<Vec<String>, StoreError> {
        let there: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit'",
        )
        .fetch_all(&self.pool)
        .await?;
        let stands = |guard: &str| {
            let made = migrate::sqlite_trigger(guard).map(words);
            let found = there.iter().find(|(name, _)| name == guard);
            // SQLite keeps the text without the last semicolon.
            found.and_then(|(_, sql)| words(sql).strip_suffix(" END").map(str::to_string)) == made
        };
        Ok(GUARDS.into_iter().filter(|guard| !stands(guard)).map(str::to_string).collect())
    }

    pub(super) async fn foreign_audit_triggers(&self) -> Result<Vec<String>, StoreError> {
        let there: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'
                 AND tbl_name IN ('audit', 'audit_people', 'audit_head', 'audit_clock')",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(there.into_iter().filter(|name| !GUARDS.contains(&name.as_str())).collect())
    }

    pub(super) async fn audit_names(&self, after: i64, last: i64) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(sqlx::query_as("SELECT number, person FROM audit_people WHERE number > ? AND number <= ?")
            .bind(after)
            .bind(last)
            .fetch_all(&self.pool)
            .await?)
    }

    pub(super) async fn stray_audit_names(&self, limit: u32) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar(STRAY_NAMES).bind(limit).fetch_all(&self.pool).await?)
    }

    pub(super) async fn audit_traces(&self) -> Result<Traces, StoreError> {
        traces(&mut *self.pool.acquire().await?).await
    }
}

/// The text with one blank wherever there is space.
fn words(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

const STRAY_NAMES: &str = "SELECT DISTINCT number FROM audit_people p
     WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.number = p.number) ORDER BY number LIMIT ?";

const TRACES: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0),
     coalesce((SELECT max(number) FROM audit_stream), 0), EXISTS (SELECT 1 FROM audit),
     EXISTS (SELECT 1 FROM answers_by_hour) OR EXISTS (SELECT 1 FROM cds_offers),
     EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM items) OR EXISTS (SELECT 1 FROM cases)
         OR EXISTS (SELECT 1 FROM terms)";

async fn traces(connection: &mut SqliteConnection) -> Result<Traces, StoreError> {
    let (given, sent, rows, answers, content) = sqlx::query_as(TRACES).fetch_one(connection).await?;
    Ok(Traces { given, exact: true, sent, rows, answers, content })
}

/// Those that are not there yet, with the time of the audit's clock.
async fn new_rows(connection: &mut SqliteConnection, rows: &[AuditRow]) -> Result<Vec<AuditRow>, StoreError> {
    let clock: i64 = sqlx::query_scalar("SELECT ms FROM audit_clock").fetch_one(&mut *connection).await?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    // A batch is of one run and in order; what is there of it is found by its ends.
    let there: Vec<(i64, i64)> =
        sqlx::query_as("SELECT run, sequence FROM audit WHERE run = ? AND sequence BETWEEN ? AND ?")
            .bind(first.run)
            .bind(rows.iter().map(|row| row.sequence).min().unwrap_or(first.sequence))
            .bind(rows.iter().map(|row| row.sequence).max().unwrap_or(last.sequence))
            .fetch_all(connection)
            .await?;
    let there: std::collections::HashSet<(i64, i64)> = there.into_iter().collect();
    let missing = rows.iter().filter(|row| !there.contains(&(row.run, row.sequence)));
    Ok(missing.map(|row| AuditRow { clock, ..row.clone() }).collect())
}

async fn read_head(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row = sqlx::query_as::<_, HeadColumns>(HEAD).fetch_optional(connection).await?;
    row.map(head).ok_or_else(no_head)
}

async fn write_head(connection: &mut SqliteConnection, head: Head) -> Result<(), StoreError> {
    sqlx::query("UPDATE audit_head SET number = ?, chain = ?, dropped = ?, dropped_chain = ?, signature = ?")
        .bind(head.number)
        .bind(head.chain)
        .bind(head.dropped)
        .bind(head.dropped_chain)
        .bind(head.signature)
        .execute(connection)
        .await?;
    Ok(())
}
