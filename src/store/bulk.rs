//! The schedule of pulls in the store, so that it outlives the process and of several replicas one pulls.

use super::Answer;
use recommend::Millis;

/// The part of the store that pulling records needs.
pub trait BulkStore: Send + Sync {
    /// Takes an export whose turn it is at `now`, the first time at once: up to when the last one went, and how often it
    /// was tried since, this time included. It is nobody else's before `until`.
    fn take_bulk<'a>(
        &'a self,
        export: &'a str,
        now: Millis,
        until: Millis,
    ) -> Answer<'a, Option<(Option<String>, i64)>>;

    /// Keeps an export that was taken until a later moment.
    fn hold_bulk<'a>(&'a self, export: &'a str, until: Millis) -> Answer<'a, ()>;

    /// What became of it: taken in up to `since`, or why not; and when it is due again.
    fn end_bulk<'a>(
        &'a self,
        export: &'a str,
        due: Millis,
        ended: Result<&'a str, &'a str>,
    ) -> Answer<'a, ()>;
}

/// Makes the adapter of one database: its type, and how it names an error.
macro_rules! bulk_adapter {
    ($store:ty, $error:path) => {
        impl crate::store::bulk::BulkStore for $store {
            fn take_bulk<'a>(
                &'a self,
                export: &'a str,
                now: Millis,
                until: Millis,
            ) -> Answer<'a, Option<(Option<String>, i64)>> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("INSERT INTO bulk_exports (export, due) VALUES ($1, $2) ON CONFLICT (export) DO NOTHING")
                        .bind(export)
                        .bind(now)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    sqlx::query_as::<_, (Option<String>, i64)>(
                        "UPDATE bulk_exports SET due = $3, tries = tries + 1 WHERE export = $1 AND due <= $2
                         RETURNING since, tries",
                    )
                    .bind(export)
                    .bind(now)
                    .bind(until)
                    .fetch_optional(&self.pool)
                    .await
                    .map_err($error)
                })
            }

            fn hold_bulk<'a>(&'a self, export: &'a str, until: Millis) -> Answer<'a, ()> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("UPDATE bulk_exports SET due = $2 WHERE export = $1")
                        .bind(export)
                        .bind(until)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }

            fn end_bulk<'a>(
                &'a self,
                export: &'a str,
                due: Millis,
                ended: Result<&'a str, &'a str>,
            ) -> Answer<'a, ()> {
                let sql = match ended {
                    Ok(_) => "UPDATE bulk_exports SET due = $2, tries = 0, since = $3, failure = NULL WHERE export = $1",
                    Err(_) => "UPDATE bulk_exports SET due = $2, failure = $3 WHERE export = $1",
                };
                let said = match ended {
                    Ok(said) | Err(said) => said,
                };
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query(sql)
                        .bind(export)
                        .bind(due)
                        .bind(said)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }
        }
    };
}
pub(in crate::store) use bulk_adapter;
