//! Answers counted by hour, model and label, for drift.
//!
//! The statements are the same for both databases, so both adapters are made by one macro. Replicas add to the same
//! rows, in the order of their keys, so that two at the same time cannot wait for each other.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::Answer;
use super::rows::from_columns;

/// Answers of one label within an hour, or of several hours together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tallied {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Hours since 1970-01-01T00:00:00Z; the first of several.
    pub hour: i64,
    /// The label; empty for answers that were withheld.
    pub label: String,
    /// Number of answers.
    pub answers: i64,
    /// Sum of their highest probabilities, in millionths.
    pub confidence: i64,
}

/// Which counts to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyQuery {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// The first hour.
    pub from: i64,
    /// So many hours are added up, at multiples of this since 1970.
    pub every: i64,
}

/// The part of the store that counts answers.
pub trait TallyStore: Send + Sync {
    /// Adds these counts to those that there are, all or none.
    fn add_answers<'a>(&'a self, rows: &'a [Tallied]) -> Answer<'a, ()>;

    /// The counts of a model, by time and label.
    fn list_answers<'a>(&'a self, query: &'a TallyQuery) -> Answer<'a, Vec<Tallied>>;

    /// Drops the counts of hours before this one, and says how many rows there were.
    fn trim_answers(&self, before: i64) -> Answer<'_, u64>;
}

from_columns! {
    Tallied { model, version, hour, label, answers, confidence }
}

/// Makes the adapter of one database: its type, how it begins a write, and how it names an error.
macro_rules! adapter {
    ($store:ty, $begin:ident, $error:path) => {
        impl crate::store::tallies::TallyStore for $store {
            fn add_answers<'a>(&'a self, rows: &'a [Tallied]) -> Answer<'a, ()> {
                Box::pin(async move {
                    let mut rows: Vec<&Tallied> = rows.iter().collect();
                    rows.sort();
                    let mut transaction = self.$begin().await?;
                    for row in rows {
                        sqlx::query(
                            "INSERT INTO answers_by_hour AS kept (model, version, hour, label, answers, confidence)
                             VALUES ($1, $2, $3, $4, $5, $6)
                             ON CONFLICT (model, version, hour, label) DO UPDATE SET
                                 answers = kept.answers + excluded.answers,
                                 confidence = kept.confidence + excluded.confidence",
                        )
                        .bind(&row.model)
                        .bind(&row.version)
                        .bind(row.hour)
                        .bind(&row.label)
                        .bind(row.answers)
                        .bind(row.confidence)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    transaction.commit().await.map_err($error)?;
                    Ok(())
                })
            }

            fn list_answers<'a>(&'a self, query: &'a TallyQuery) -> Answer<'a, Vec<Tallied>> {
                Box::pin(async move {
                    sqlx::query_as::<_, Tallied>(
                        "SELECT model, version, hour / $4 * $4 AS hour, label,
                             CAST(sum(answers) AS bigint) AS answers, CAST(sum(confidence) AS bigint) AS confidence
                         FROM answers_by_hour WHERE model = $1 AND version = $2 AND hour >= $3
                         GROUP BY 1, 2, 3, 4 ORDER BY 3, 4",
                    )
                    .bind(&query.model)
                    .bind(&query.version)
                    .bind(query.from)
                    .bind(query.every)
                    .fetch_all(&self.pool)
                    .await
                    .map_err($error)
                })
            }

            fn trim_answers(&self, before: i64) -> Answer<'_, u64> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    let done = sqlx::query("DELETE FROM answers_by_hour WHERE hour < $1")
                        .bind(before)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(done.rows_affected())
                })
            }
        }
    };
}
pub(super) use adapter;
