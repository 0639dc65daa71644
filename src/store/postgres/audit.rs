//! The audit on Postgres.

use std::time::Duration;

use super::{PostgresStore, StoreError, described};
use crate::store::rows::AuditColumns;
use crate::store::{AuditRow, NumberedRow, TRIM_BATCH};

impl PostgresStore {
    pub(super) async fn append_audit(&self, rows: &[AuditRow]) -> Result<(), StoreError> {
        let json = serde_json::to_string(rows).map_err(|error| StoreError::Internal(error.into()))?;
        sqlx::query(
            "INSERT INTO audit (run, sequence, time, request_id, caller, method, route, status, model, version,
                 input_sha256, answers, abstained, latency_ms)
             SELECT run, sequence, to_timestamp(time / 1000.0), request_id, caller, method, route, status, model,
                 version, input_sha256, answers, abstained, latency_ms
             FROM jsonb_to_recordset($1::jsonb) AS r (run bigint, sequence bigint, time bigint,
                 request_id text, caller text, method text, route text, status integer, model text,
                 version text, input_sha256 text, answers jsonb, abstained boolean,
                 latency_ms double precision)
             ORDER BY sequence
             ON CONFLICT (run, sequence) DO NOTHING",
        )
        .bind(json)
        .execute(&self.pool)
        .await
        .map_err(described)?;
        Ok(())
    }

    pub(super) async fn list_audit(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<NumberedRow>, StoreError> {
        sqlx::query_as::<_, AuditColumns>(
            "SELECT number, run, sequence, (extract(epoch FROM time) * 1000)::bigint AS time, request_id, caller,
                 method, route, status, model, version, input_sha256, answers::text, abstained, latency_ms
             FROM audit WHERE $1::bigint IS NULL OR number < $1 ORDER BY number DESC LIMIT $2",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(AuditColumns::into_row)
        .collect()
    }

    pub(super) async fn trim_audit(&self, keep: Duration) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM audit WHERE time < now() - make_interval(secs => $1)
                 AND number IN (SELECT number FROM audit ORDER BY number LIMIT $2)",
        )
        .bind(keep.as_secs_f64())
        .bind(i64::from(TRIM_BATCH))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
