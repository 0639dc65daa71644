//! The audit in an SQLite file.

use std::sync::LazyLock;
use std::time::Duration;

use super::{SqliteStore, StoreError};
use crate::store::rows::{self, AuditColumns};
use crate::store::{AuditRow, NumberedRow, TRIM_BATCH};

/// The statements that insert 1, 2, 4, ..., 64 rows. Every number of rows is a sum of a few of
/// them, so a connection prepares each once; and a statement that takes many rows saves the
/// switch of threads that each statement costs.
static INSERTS: LazyLock<[String; 7]> = LazyLock::new(|| std::array::from_fn(|power| insert(1 << power)));

fn insert(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!(
        "INSERT INTO audit (run, sequence, time, request_id, caller, method, route, status, model, version,
             input_sha256, answers, abstained, latency_ms)
         VALUES {values} ON CONFLICT (run, sequence) DO NOTHING"
    )
}

impl SqliteStore {
    pub(super) async fn append_audit(&self, rows: &[AuditRow]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let mut rest = rows;
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
                    .bind(&row.method)
                    .bind(&row.route)
                    .bind(row.status)
                    .bind(&row.model)
                    .bind(&row.version)
                    .bind(&row.input_sha256)
                    .bind(rows::answers_json(row)?)
                    .bind(row.abstained)
                    .bind(row.latency_ms);
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
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
