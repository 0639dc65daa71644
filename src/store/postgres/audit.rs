//! The audit on Postgres.
//!
//! A batch takes the row of `audit_head` for itself, so that the chain has one end however many
//! replicas write, and is committed with the end that it makes.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use recommend::clock;

use super::{PostgresStore, StoreError, Traces, described, migrate};
use crate::store::audit::chain::{canonical, link};
use crate::store::audit::{AuditKey, AuditQuery, Head, card_in_answers};
use crate::store::rows::{AuditColumns, HeadColumns, head, no_head, not_taken};
use crate::store::{AuditRow, NumberedRow, TRIM_BATCH};

/// The columns of an [`AuditColumns`].
const COLUMNS: &str = "a.number, a.run, a.sequence, (extract(epoch FROM a.time) * 1000)::bigint AS time, \
     a.request_id, a.caller, a.address, a.method, a.route, a.status, a.model, a.version, \
     a.people::text AS people, a.input_sha256, a.request_sha256, a.answers::text AS answers, a.abstained, \
     a.latency_ms, a.clock, a.chain, a.evidence";

/// The triggers that keep rows as they are, the rest of each as Postgres tells it, and its function.
const GUARDS: [(&str, &str, &str); 3] = [
    ("audit_is_kept", "BEFORE DELETE OR UPDATE ON audit FOR EACH ROW", "medserve_audit_is_kept"),
    ("audit_is_not_emptied", "BEFORE TRUNCATE ON audit FOR EACH STATEMENT", "medserve_audit_is_kept"),
    (
        "audit_people_are_named",
        "AFTER INSERT ON audit FOR EACH ROW WHEN (new.people <> '[]'::jsonb)",
        "medserve_audit_people",
    ),
];

/// Triggers that are switched on, how each is made, and the text of its function, none where that is held to
/// another schema than this.
const TRIGGERS: &str = "SELECT t.tgname::text, pg_get_triggerdef(t.oid, true),
         CASE WHEN coalesce(p.proconfig, '{}') <@ ARRAY['search_path=' || current_schema()] THEN p.prosrc END
     FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE t.tgrelid = 'audit'::regclass AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')";

/// Milliseconds of the time of day.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

impl PostgresStore {
    pub(super) async fn append_audit(&self, rows: &[AuditRow], key: &AuditKey) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await.map_err(described)?;
        let mut head = locked_head(&mut transaction).await?;
        head.check(key)?;
        if head.signature.is_empty() {
            head.check_new(&traces(&mut transaction).await?)?;
        }
        let rows = new_rows(&mut transaction, rows).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut texts = Vec::with_capacity(rows.len());
        for row in &rows {
            head.chain = link(&head.chain, &canonical(row)?);
            let mut row = serde_json::to_value(row).map_err(|error| StoreError::Internal(error.into()))?;
            row["chain"] = head.chain.clone().into();
            texts.push(row);
        }
        let json = serde_json::to_string(&texts).map_err(|error| StoreError::Internal(error.into()))?;
        let (number, added): (Option<i64>, i64) = sqlx::query_as(
            "WITH added AS (
                 INSERT INTO audit (run, sequence, time, request_id, caller, address, method, route, status,
                     model, version, people, input_sha256, request_sha256, answers, abstained, latency_ms,
                     clock, chain, evidence)
                 SELECT run, sequence, to_timestamp(time / 1000.0), request_id, caller, address, method, route,
                     status, model, version, people, input_sha256, request_sha256, answers, abstained,
                     latency_ms, clock, chain, evidence
                 FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (run bigint, sequence bigint, time bigint,
                     request_id text, caller text, address text, method text, route text, status integer,
                     model text, version text, people jsonb, input_sha256 text, request_sha256 text,
                     answers jsonb, abstained boolean, latency_ms double precision, clock bigint, chain text,
                     evidence text))
                     WITH ORDINALITY AS r (run, sequence, time, request_id, caller, address, method, route,
                     status, model, version, people, input_sha256, request_sha256, answers, abstained,
                     latency_ms, clock, chain, evidence, place)
                 ORDER BY place
                 RETURNING number
             ) SELECT max(number), count(*) FROM added",
        )
        .bind(json)
        .fetch_one(&mut *transaction)
        .await
        .map_err(described)?;
        head.number = number.filter(|_| added == rows.len() as i64).ok_or_else(not_taken)?;
        write_head(&mut transaction, head.signed(key)).await?;
        transaction.commit().await.map_err(described)?;
        Ok(())
    }

    pub(super) async fn list_audit(&self, query: &AuditQuery) -> Result<Vec<NumberedRow>, StoreError> {
        let (number, from) = match query.person {
            Some(_) => ("p.number", "audit_people p JOIN audit a ON a.number = p.number WHERE p.person = $3"),
            None => ("a.number", "audit a WHERE $3::text IS NULL"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM {from} AND ($1::bigint IS NULL OR {number} < $1)
                 AND ($4::bigint IS NULL OR a.time >= to_timestamp($4 / 1000.0))
                 AND ($5::bigint IS NULL OR a.time < to_timestamp($5 / 1000.0))
             ORDER BY {number} DESC LIMIT $2"
        );
        sqlx::query_as::<_, AuditColumns>(AssertSqlSafe(sql))
            .bind(query.before)
            .bind(i64::from(query.limit))
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
        let sql = format!("SELECT {COLUMNS} FROM audit a WHERE a.number > $1 ORDER BY a.number LIMIT $2");
        sqlx::query_as::<_, AuditColumns>(AssertSqlSafe(sql))
            .bind(after)
            .bind(i64::from(limit))
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
        // The route stands in the text, by which the index over these rows is known for the right one.
        let sql = format!(
            "SELECT {COLUMNS} FROM audit a WHERE a.route = '/cds-services/{{id}}/feedback' AND a.number > $1
                 AND strpos(a.answers::text, $2) > 0 ORDER BY a.number LIMIT $3"
        );
        sqlx::query_as::<_, AuditColumns>(AssertSqlSafe(sql))
            .bind(after)
            .bind(card)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(AuditColumns::into_row)
            .collect()
    }

    pub(super) async fn audit_card(&self, card: &str) -> Result<Option<NumberedRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit a WHERE a.route = '/cds-services/{{id}}' AND strpos(a.answers::text, $1) > 0
             ORDER BY a.number DESC LIMIT 1"
        );
        sqlx::query_as::<_, AuditColumns>(AssertSqlSafe(sql))
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
        let mut transaction = self.pool.begin().await?;
        let head = locked_head(&mut transaction).await?;
        write_head(&mut transaction, head.signed(key)).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn trim_audit(&self, keep: Duration, key: &AuditKey) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut head = locked_head(&mut transaction).await?;
        head.check(key)?;
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        // The clock only moves on, so the old rows are the first ones. It is no more than a number in the
        // database, which somebody may set: a row has to be old by its own time as well, which is chained.
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max(number) FROM (SELECT number, clock, time FROM audit ORDER BY number LIMIT $2) first
             WHERE clock < (SELECT ms FROM audit_clock) - $1 AND time < to_timestamp($3 / 1000.0)",
        )
        .bind(keep)
        .bind(i64::from(TRIM_BATCH))
        .bind(clock::now().saturating_sub(keep) as f64)
        .fetch_one(&mut *transaction)
        .await?;
        let Some(last) = last else { return Ok(0) };
        let chain: Option<String> = sqlx::query_scalar("SELECT chain FROM audit WHERE number = $1")
            .bind(last)
            .fetch_one(&mut *transaction)
            .await?;
        if let Some(chain) = chain {
            (head.dropped, head.dropped_chain) = (last, chain);
            write_head(&mut transaction, head.signed(key)).await?;
        }
        let done =
            sqlx::query("DELETE FROM audit WHERE number <= $1").bind(last).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn tick_audit(&self, ran: Duration) -> Result<(), StoreError> {
        let sql =
            format!("UPDATE audit_clock SET ms = ms + greatest(0, least($1, {NOW} - seen)), seen = {NOW}");
        let ran = i64::try_from(ran.as_millis()).unwrap_or(0);
        sqlx::query(AssertSqlSafe(sql)).bind(ran).execute(&self.pool).await?;
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
        let sql = format!(
            "UPDATE audit_stream SET holder = $1, until = {NOW} + $2
             WHERE holder = $1 OR until < {NOW} RETURNING number"
        );
        let claimed: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(holder)
            .bind(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
            .fetch_optional(&self.pool)
            .await?;
        Ok(claimed.map(|number| (number, last)))
    }

    pub(super) async fn advance_audit_stream(&self, holder: i64, number: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE audit_stream SET number = greatest(number, $2) WHERE holder = $1")
            .bind(holder)
            .bind(number)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(super) async fn audit_secret(&self, fresh: &str) -> Result<String, StoreError> {
        sqlx::query("UPDATE audit_head SET secret = $1 WHERE secret = ''")
            .bind(fresh)
            .execute(&self.pool)
            .await?;
        let secret = sqlx::query_scalar("SELECT secret FROM audit_head").fetch_optional(&self.pool).await?;
        secret.ok_or_else(no_head)
    }

    pub(super) async fn missing_audit_guards(&self) -> Result<Vec<String>, StoreError> {
        let there: Vec<(String, String, Option<String>)> =
            sqlx::query_as(TRIGGERS).fetch_all(&self.pool).await?;
        let stands = |(name, rest, function): &(&str, &str, &str)| {
            let made = format!("CREATE TRIGGER {name} {rest} EXECUTE FUNCTION {function}()");
            let body = migrate::postgres_function(function);
            there.iter().any(|(_, definition, source)| *definition == made && source.as_deref() == body)
        };
        Ok(GUARDS.iter().filter(|guard| !stands(guard)).map(|(name, ..)| name.to_string()).collect())
    }

    pub(super) async fn foreign_audit_triggers(&self) -> Result<Vec<String>, StoreError> {
        let there: Vec<String> = sqlx::query_scalar(
            "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN
                 ('audit'::regclass, 'audit_people'::regclass, 'audit_head'::regclass, 'audit_clock'::regclass)",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(there.into_iter().filter(|name| GUARDS.iter().all(|(guard, ..)| guard != name)).collect())
    }

    pub(super) async fn audit_names(&self, after: i64, last: i64) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(sqlx::query_as("SELECT number, person FROM audit_people WHERE number > $1 AND number <= $2")
            .bind(after)
            .bind(last)
            .fetch_all(&self.pool)
            .await?)
    }

    pub(super) async fn stray_audit_names(&self, limit: u32) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar(STRAY_NAMES).bind(i64::from(limit)).fetch_all(&self.pool).await?)
    }

    pub(super) async fn audit_traces(&self) -> Result<Traces, StoreError> {
        traces(&mut *self.pool.acquire().await?).await
    }
}

const STRAY_NAMES: &str = "SELECT DISTINCT number FROM audit_people p
     WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.number = p.number) ORDER BY number LIMIT $1";

const TRACES: &str =
    "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('audit', 'number')::regclass), 0),
     coalesce((SELECT max(number) FROM audit_stream), 0), EXISTS (SELECT 1 FROM audit),
     EXISTS (SELECT 1 FROM answers_by_hour) OR EXISTS (SELECT 1 FROM cds_offers),
     EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM items) OR EXISTS (SELECT 1 FROM cases)
         OR EXISTS (SELECT 1 FROM terms)";

async fn traces(connection: &mut PgConnection) -> Result<Traces, StoreError> {
    let (given, sent, rows, answers, content) = sqlx::query_as(TRACES).fetch_one(connection).await?;
    Ok(Traces { given, exact: false, sent, rows, answers, content })
}

const HEAD: &str = "SELECT number, chain, dropped, dropped_chain, signature FROM audit_head";

/// The end of the chain, which nobody else writes until the transaction ends.
async fn locked_head(connection: &mut PgConnection) -> Result<Head, StoreError> {
    let sql = format!("{HEAD} FOR UPDATE");
    let row = sqlx::query_as::<_, HeadColumns>(AssertSqlSafe(sql)).fetch_optional(connection).await;
    row.map_err(described)?.map(head).ok_or_else(no_head)
}

async fn write_head(connection: &mut PgConnection, head: Head) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE audit_head SET number = $1, chain = $2, dropped = $3, dropped_chain = $4, signature = $5",
    )
    .bind(head.number)
    .bind(head.chain)
    .bind(head.dropped)
    .bind(head.dropped_chain)
    .bind(head.signature)
    .execute(connection)
    .await
    .map_err(described)?;
    Ok(())
}

/// Those that are not there yet, with the time of the audit's clock. The end of the chain is held, so
/// nobody adds any meanwhile.
async fn new_rows(connection: &mut PgConnection, rows: &[AuditRow]) -> Result<Vec<AuditRow>, StoreError> {
    let (runs, sequences): (Vec<i64>, Vec<i64>) = rows.iter().map(|row| (row.run, row.sequence)).unzip();
    let there: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT a.run, a.sequence FROM unnest($1::bigint[], $2::bigint[]) AS r (run, sequence)
         JOIN audit a ON a.run = r.run AND a.sequence = r.sequence",
    )
    .bind(runs)
    .bind(sequences)
    .fetch_all(&mut *connection)
    .await
    .map_err(described)?;
    let clock: i64 = sqlx::query_scalar("SELECT ms FROM audit_clock").fetch_one(connection).await?;
    let there: std::collections::HashSet<(i64, i64)> = there.into_iter().collect();
    let missing = rows.iter().filter(|row| !there.contains(&(row.run, row.sequence)));
    Ok(missing.map(|row| AuditRow { clock, ..row.clone() }).collect())
}
