//! Cases in SQLite.

use futures::TryStreamExt;
use recommend::Cursor;
use sqlx::SqliteConnection;

use super::batches::{count, exists};
use super::replace::erase;
use super::{SqliteStore, not_found};
use crate::store::cases::{Case, CaseChanges, CaseStore, StoredCase, boxed};
use crate::store::rows::{CaseRow, case_attributes_json};
use crate::store::{Answer, Check, StoreError, Written, last_of_each};

const FIND_CASE: &str = "SELECT id, text, attributes, model, version, vector FROM cases WHERE id = ?";
const CASE_EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM cases WHERE id = ?)";
const LAST_NUMBER: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'case_changes'), 0)";

/// Writes cases; the last of each identifier wins.
pub(super) async fn upsert_cases(
    connection: &mut SqliteConnection,
    cases: &[StoredCase],
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    for stored in last_of_each(cases, |stored| stored.case.case_id.as_str()) {
        let case = &stored.case;
        let existed = exists(connection, CASE_EXISTS, &case.case_id).await?;
        let vector = stored.vector.as_ref();
        let done = sqlx::query(
            "INSERT INTO cases (id, text, attributes, model, version, vector) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET text = excluded.text, attributes = excluded.attributes,
                 (model, version, vector) = (SELECT
                     CASE WHEN keeps THEN cases.model ELSE excluded.model END,
                     CASE WHEN keeps THEN cases.version ELSE excluded.version END,
                     CASE WHEN keeps THEN cases.vector ELSE excluded.vector END
                 FROM (SELECT excluded.vector IS NULL AND cases.text = excluded.text AS keeps))
             WHERE cases.text <> excluded.text OR cases.attributes <> excluded.attributes
                 OR (excluded.vector IS NOT NULL
                     AND (cases.model, cases.version, cases.vector)
                         IS NOT (excluded.model, excluded.version, excluded.vector))",
        )
        .bind(&case.case_id)
        .bind(&case.text)
        .bind(case_attributes_json(case)?)
        .bind(vector.map(|vector| vector.model.as_str()))
        .bind(vector.map(|vector| vector.version.as_str()))
        .bind(vector.map(|vector| vector.bytes()))
        .execute(&mut *connection)
        .await?;
        count(&mut written, existed, done.rows_affected() > 0);
    }
    Ok(written)
}

impl SqliteStore {
    async fn replace_case(
        &self,
        id: &str,
        new: Option<&StoredCase>,
        check: Check<'_, Case>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.write().await?;
        let found =
            sqlx::query_as::<_, CaseRow>(FIND_CASE).bind(id).fetch_optional(&mut *transaction).await?;
        let current = found.map(CaseRow::into_case).transpose()?;
        if !check(current.as_ref()) {
            return Err(StoreError::Changed { what: "case" });
        }
        let written = match new {
            Some(case) => upsert_cases(&mut transaction, std::slice::from_ref(case)).await?,
            None => erase(&mut transaction, "DELETE FROM cases WHERE id = ?", "case", id).await?,
        };
        transaction.commit().await?;
        if new.is_none() {
            self.empty_log().await;
        }
        Ok(written)
    }

    async fn read_case_changes(&self, since: &Cursor) -> Result<CaseChanges, StoreError> {
        // Read before the rows: what commits in between is then named twice, not never.
        let last: i64 = sqlx::query_scalar(LAST_NUMBER).fetch_one(&self.pool).await?;
        let cursor = Cursor(last.to_string());
        let horizon: i64 = sqlx::query_scalar("SELECT coalesce((SELECT number FROM case_change_horizon), 0)")
            .fetch_one(&self.pool)
            .await?;
        let Some(since) = since.0.parse::<i64>().ok().filter(|at| (horizon..=last).contains(at)) else {
            return Ok(CaseChanges { reload: true, cursor, ..CaseChanges::default() });
        };
        let mut changes = CaseChanges { cursor, ..CaseChanges::default() };
        if since < last {
            let rows: Vec<Option<String>> =
                sqlx::query_scalar("SELECT DISTINCT case_id FROM case_changes WHERE number > ?")
                    .bind(since)
                    .fetch_all(&self.pool)
                    .await?;
            changes.reload = rows.iter().any(Option::is_none);
            changes.cases = rows.into_iter().flatten().collect();
        }
        Ok(changes)
    }
}

impl CaseStore for SqliteStore {
    fn put_cases<'a>(&'a self, cases: &'a [StoredCase]) -> Answer<'a, Written> {
        boxed(async move {
            let mut transaction = self.write().await?;
            let written = upsert_cases(&mut transaction, cases).await?;
            transaction.commit().await?;
            Ok(written)
        })
    }

    fn get_case<'a>(&'a self, case_id: &'a str) -> Answer<'a, Case> {
        boxed(async move {
            sqlx::query_as::<_, CaseRow>(FIND_CASE)
                .bind(case_id)
                .fetch_optional(&self.pool)
                .await?
                .ok_or_else(|| not_found("case", case_id))?
                .into_case()
        })
    }

    fn delete_case<'a>(&'a self, case_id: &'a str) -> Answer<'a, ()> {
        boxed(async move {
            self.delete("DELETE FROM cases WHERE id = ?", "case", case_id).await?;
            self.empty_log().await;
            Ok(())
        })
    }

    fn replace_case<'a>(
        &'a self,
        case_id: &'a str,
        new: Option<&'a StoredCase>,
        check: Check<'a, Case>,
    ) -> Answer<'a, Written> {
        boxed(self.replace_case(case_id, new, check))
    }

    fn put_case_vectors<'a>(&'a self, vectors: &'a [StoredCase]) -> Answer<'a, ()> {
        boxed(async move {
            let mut transaction = self.write().await?;
            for stored in vectors {
                let Some(vector) = &stored.vector else { continue };
                sqlx::query("UPDATE cases SET model = ?, version = ?, vector = ? WHERE id = ? AND text = ?")
                    .bind(&vector.model)
                    .bind(&vector.version)
                    .bind(vector.bytes())
                    .bind(&stored.case.case_id)
                    .bind(&stored.case.text)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        })
    }

    fn scan_cases<'a>(&'a self, visit: &'a mut (dyn FnMut(StoredCase) + Send)) -> Answer<'a, ()> {
        boxed(async move {
            let sql = "SELECT id, text, attributes, model, version, vector FROM cases";
            let mut rows = sqlx::query_as::<_, CaseRow>(sql).fetch(&self.pool);
            while let Some(row) = rows.try_next().await? {
                visit(row.into_known());
            }
            Ok(())
        })
    }

    fn read_cases<'a>(&'a self, case_ids: &'a [String]) -> Answer<'a, Vec<StoredCase>> {
        boxed(async move {
            let mut cases = Vec::with_capacity(case_ids.len());
            let mut transaction = self.pool.begin().await?;
            for case_id in case_ids {
                let row = sqlx::query_as::<_, CaseRow>(FIND_CASE)
                    .bind(case_id)
                    .fetch_optional(&mut *transaction)
                    .await?;
                cases.extend(row.map(CaseRow::into_known));
            }
            Ok(cases)
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
            let last: i64 = sqlx::query_scalar(LAST_NUMBER).fetch_one(&self.pool).await?;
            Ok(Cursor(last.to_string()))
        })
    }

    fn case_changes<'a>(&'a self, since: &'a Cursor) -> Answer<'a, CaseChanges> {
        boxed(self.read_case_changes(since))
    }
}
