//! Cases in Postgres.

use futures::TryStreamExt;
use recommend::Cursor;
use sqlx::{AssertSqlSafe, PgConnection};

use super::batches::written;
use super::feed::is_snapshot;
use super::replace::erase;
use super::{PostgresStore, TRIES, described, not_found, was_taken_back};
use crate::store::cases::{Case, CaseChanges, CaseStore, CaseVector, StoredCase, boxed};
use crate::store::rows::{CaseRow, case_attributes_json};
use crate::store::{Answer, Check, StoreError, Written, last_of_each};

/// The columns of a [`CaseRow`].
const COLUMNS: &str = "id, text, attributes::text, model, version, vector";

/// Writes cases; the last of each identifier wins.
pub(super) async fn upsert_cases(
    connection: &mut PgConnection,
    cases: &[StoredCase],
) -> Result<Written, StoreError> {
    let cases = last_of_each(cases, |stored| stored.case.case_id.as_str());
    let attributes: Vec<String> =
        cases.iter().map(|stored| case_attributes_json(&stored.case)).collect::<Result<_, _>>()?;
    let vectors: Vec<Option<&CaseVector>> = cases.iter().map(|stored| stored.vector.as_ref()).collect();
    let created: Vec<bool> = sqlx::query_scalar(
        "INSERT INTO cases (id, text, attributes, model, version, vector)
         SELECT id, text, attributes::jsonb, model, version, vector
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
             AS new (id, text, attributes, model, version, vector)
         ORDER BY id COLLATE \"C\"
         ON CONFLICT (id) DO UPDATE SET text = EXCLUDED.text, attributes = EXCLUDED.attributes,
             (model, version, vector) = (SELECT
                 CASE WHEN keeps THEN cases.model ELSE EXCLUDED.model END,
                 CASE WHEN keeps THEN cases.version ELSE EXCLUDED.version END,
                 CASE WHEN keeps THEN cases.vector ELSE EXCLUDED.vector END
             FROM (SELECT EXCLUDED.vector IS NULL AND cases.text = EXCLUDED.text AS keeps) AS decided)
         WHERE cases.text <> EXCLUDED.text OR cases.attributes <> EXCLUDED.attributes
             OR (EXCLUDED.vector IS NOT NULL
                 AND (cases.model, cases.version, cases.vector)
                     IS DISTINCT FROM (EXCLUDED.model, EXCLUDED.version, EXCLUDED.vector))
         RETURNING xmax = 0",
    )
    .bind(cases.iter().map(|stored| stored.case.case_id.as_str()).collect::<Vec<_>>())
    .bind(cases.iter().map(|stored| stored.case.text.as_str()).collect::<Vec<_>>())
    .bind(&attributes)
    .bind(vectors.iter().map(|vector| vector.map(|vector| vector.model.as_str())).collect::<Vec<_>>())
    .bind(vectors.iter().map(|vector| vector.map(|vector| vector.version.as_str())).collect::<Vec<_>>())
    .bind(vectors.iter().map(|vector| vector.map(CaseVector::bytes)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(described)?;
    Ok(written(cases.len(), &created))
}

impl PostgresStore {
    async fn put_cases(&self, cases: &[StoredCase]) -> Result<Written, StoreError> {
        let mut connection = self.pool.acquire().await?;
        upsert_cases(&mut connection, cases).await
    }

    async fn replace_case(
        &self,
        id: &str,
        new: Option<&StoredCase>,
        check: Check<'_, Case>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let sql = format!("SELECT {COLUMNS} FROM cases WHERE id = $1 FOR UPDATE");
        let found = sqlx::query_as::<_, CaseRow>(AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(described)?;
        let current = found.map(CaseRow::into_case).transpose()?;
        let changed = || StoreError::Changed { what: "case" };
        if !check(current.as_ref()) {
            return Err(changed());
        }
        let written = match new {
            Some(case) => upsert_cases(&mut transaction, std::slice::from_ref(case)).await?,
            None => erase(&mut transaction, "DELETE FROM cases WHERE id = $1", "case", id).await?,
        };
        // A row that is not there cannot be locked: somebody else has made it.
        if new.is_some() && current.is_none() && written.created == 0 {
            return Err(changed());
        }
        transaction.commit().await?;
        Ok(written)
    }

    async fn put_case_vectors(&self, cases: &[StoredCase]) -> Result<(), StoreError> {
        let with = |stored: &&StoredCase| stored.vector.is_some();
        let mut cases: Vec<&StoredCase> = cases.iter().filter(with).collect();
        cases.sort_by(|a, b| a.case.case_id.cmp(&b.case.case_id));
        let vectors: Vec<&CaseVector> = cases.iter().filter_map(|stored| stored.vector.as_ref()).collect();
        sqlx::query(
            "WITH new AS (
                 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
                     AS new (id, text, model, version, vector)
             ), locked AS MATERIALIZED (
                 SELECT cases.id FROM cases WHERE id = ANY ($1::text[]) ORDER BY id FOR NO KEY UPDATE
             )
             UPDATE cases SET model = new.model, version = new.version, vector = new.vector
             FROM new, (SELECT count(*) FROM locked) AS first
             WHERE cases.id = new.id AND cases.text = new.text",
        )
        .bind(cases.iter().map(|stored| stored.case.case_id.as_str()).collect::<Vec<_>>())
        .bind(cases.iter().map(|stored| stored.case.text.as_str()).collect::<Vec<_>>())
        .bind(vectors.iter().map(|vector| vector.model.as_str()).collect::<Vec<_>>())
        .bind(vectors.iter().map(|vector| vector.version.as_str()).collect::<Vec<_>>())
        .bind(vectors.iter().map(|vector| vector.bytes()).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .map_err(described)?;
        Ok(())
    }

    async fn read_case_changes(&self, since: &Cursor) -> Result<CaseChanges, StoreError> {
        if !is_snapshot(&since.0) {
            let cursor = self.case_cursor().await?;
            return Ok(CaseChanges { reload: true, cursor, ..CaseChanges::default() });
        }
        // As `read_changes` of the other feed, for the same reasons.
        let (cursor, cases, reload): (String, Vec<String>, bool) = sqlx::query_as(
            "SELECT pg_current_snapshot()::text,
                     coalesce(array_agg(DISTINCT case_id) FILTER (WHERE case_id IS NOT NULL), '{}'),
                     coalesce(bool_or(case_id IS NULL), false)
                         OR EXISTS (
                             SELECT 1 FROM change_horizon h
                             WHERE pg_snapshot_xmax($1::pg_snapshot) < pg_snapshot_xmax(h.snapshot)
                                 OR EXISTS (SELECT 1 FROM pg_snapshot_xip($1::pg_snapshot) running
                                     WHERE pg_visible_in_snapshot(running, h.snapshot)))
                 FROM case_changes
                 WHERE transaction >= pg_snapshot_xmin($1::pg_snapshot)
                     AND NOT pg_visible_in_snapshot(transaction, $1::pg_snapshot)",
        )
        .bind(&since.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(CaseChanges { cases, reload, cursor: Cursor(cursor) })
    }
}

impl CaseStore for PostgresStore {
    fn put_cases<'a>(&'a self, cases: &'a [StoredCase]) -> Answer<'a, Written> {
        boxed(async move { retrying!(self.put_cases(cases)) })
    }

    fn get_case<'a>(&'a self, case_id: &'a str) -> Answer<'a, Case> {
        boxed(async move {
            let sql = format!("SELECT {COLUMNS} FROM cases WHERE id = $1");
            sqlx::query_as::<_, CaseRow>(AssertSqlSafe(sql))
                .bind(case_id)
                .fetch_optional(&self.pool)
                .await
                .map_err(described)?
                .ok_or_else(|| not_found("case", case_id))?
                .into_case()
        })
    }

    fn delete_case<'a>(&'a self, case_id: &'a str) -> Answer<'a, ()> {
        boxed(async move {
            let done = sqlx::query("DELETE FROM cases WHERE id = $1")
                .bind(case_id)
                .execute(&self.pool)
                .await
                .map_err(described)?;
            if done.rows_affected() > 0 { Ok(()) } else { Err(not_found("case", case_id)) }
        })
    }

    fn replace_case<'a>(
        &'a self,
        case_id: &'a str,
        new: Option<&'a StoredCase>,
        check: Check<'a, Case>,
    ) -> Answer<'a, Written> {
        boxed(async move { retrying!(self.replace_case(case_id, new, check)) })
    }

    fn put_case_vectors<'a>(&'a self, vectors: &'a [StoredCase]) -> Answer<'a, ()> {
        boxed(async move { retrying!(self.put_case_vectors(vectors)) })
    }

    fn scan_cases<'a>(&'a self, visit: &'a mut (dyn FnMut(StoredCase) + Send)) -> Answer<'a, ()> {
        boxed(async move {
            let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM cases"));
            let mut rows = sqlx::query_as::<_, CaseRow>(sql).fetch(&self.pool);
            while let Some(row) = rows.try_next().await? {
                visit(row.into_known());
            }
            Ok(())
        })
    }

    fn read_cases<'a>(&'a self, case_ids: &'a [String]) -> Answer<'a, Vec<StoredCase>> {
        boxed(async move {
            let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM cases WHERE id = ANY ($1)"));
            let rows = sqlx::query_as::<_, CaseRow>(sql).bind(case_ids).fetch_all(&self.pool).await?;
            Ok(rows.into_iter().map(CaseRow::into_known).collect())
        })
    }

    fn count_cases(&self) -> Answer<'_, u64> {
        boxed(async move {
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM cases").fetch_one(&self.pool).await?;
            Ok(count as u64)
        })
    }

    fn case_cursor(&self) -> Answer<'_, Cursor> {
        boxed(async move {
            let snapshot =
                sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(&self.pool).await?;
            Ok(Cursor(snapshot))
        })
    }

    fn case_changes<'a>(&'a self, since: &'a Cursor) -> Answer<'a, CaseChanges> {
        boxed(self.read_case_changes(since))
    }
}
