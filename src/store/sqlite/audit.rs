//! The audit in an SQLite file.

use std::time::Duration;

use super::{SqliteStore, StoreError};
use crate::store::rows::{self, AuditColumns};
use crate::store::{AuditRow, NumberedRow, TRIM_BATCH};

impl SqliteStore {
    pub(super) async fn append_audit(&self, rows: &[AuditRow]) -> Result<(), StoreError> {
        // One statement over a JSON text: a statement a row would cost a switch of threads each.
        sqlx::query(
            "INSERT INTO audit (run, sequence, time, request_id, caller, method, route, status, model, version,
                 input_sha256, answers, abstained, latency_ms)
             SELECT value ->> 'run', value ->> 'sequence', value ->> 'time', value ->> 'request_id',
                 value ->> 'caller', value ->> 'method', value ->> 'route', value ->> 'status',
                 value ->> 'model', value ->> 'version', value ->> 'input_sha256', value -> 'answers',
                 value ->> 'abstained', value ->> 'latency_ms'
             FROM json_each(?) WHERE true ORDER BY key
             ON CONFLICT (run, sequence) DO NOTHING",
        )
        .bind(rows::audit_json(rows)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub(super) async fn list_audit(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<NumberedRow>, StoreError> {
        sqlx::query_as::<_, AuditColumns>(
            "SELECT * FROM audit WHERE ?1 IS NULL OR number < ?1 ORDER BY number DESC LIMIT ?2",
        )
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(AuditColumns::into_row)
        .collect()
    }

    pub(super) async fn trim_audit(&self, keep: Duration) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM audit WHERE time < CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?
                 AND number IN (SELECT number FROM audit ORDER BY number LIMIT ?)",
        )
        .bind(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
        .bind(TRIM_BATCH)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
