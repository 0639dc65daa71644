//! HL7 in the store: results that are to be sent as messages, until they are acknowledged. They are kept with the answer to
//! their image.
//!
//! A message is taken for a while and put off meanwhile, so that a process that takes it and dies has not lost it. The
//! statements are the same for both databases, so both adapters are made by one macro.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::Answer;
use super::rows::from_columns;
use recommend::Millis;

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id (MSH-10).
    pub id: String,
    /// The SOP Instance UID of the image that it is about.
    pub source: String,
    /// The digest of what the image said and showed.
    pub image: String,
    /// Patient ID; empty where the image has none.
    pub patient: String,
    /// When it was made.
    pub created: Millis,
    /// The message.
    pub message: String,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hl7Backlog {
    /// Messages that are still to be sent.
    pub unsent: u64,
    /// Messages that were given up.
    pub given_up: u64,
}

/// The part of the store that sending by HL7 needs.
pub trait Hl7Store: Send + Sync {
    /// The message that is to be sent next at `now`, and how often that was tried, this time included; it is nobody
    /// else's before `until`.
    fn take_hl7(&self, now: Millis, until: Millis) -> Answer<'_, Option<(Outgoing, i64)>>;

    /// What became of sending: acknowledged, to be tried again at `due`, or given up for a reason.
    fn sent_hl7<'a>(&'a self, id: &'a str, due: Option<Millis>, failure: Option<&'a str>) -> Answer<'a, ()>;

    /// Drops messages from before a moment that are not to be sent any more, and says how many there were.
    fn trim_hl7(&self, before: Millis) -> Answer<'_, u64>;

    /// How much waits.
    fn hl7_backlog(&self) -> Answer<'_, Hl7Backlog>;
}

from_columns! {
    OutgoingRow { id, source, image, patient, created, message, tries }
}

/// A row of `hl7_results`.
pub(super) struct OutgoingRow {
    id: String,
    source: String,
    image: String,
    patient: String,
    created: i64,
    message: String,
    tries: i64,
}

impl From<OutgoingRow> for (Outgoing, i64) {
    fn from(row: OutgoingRow) -> (Outgoing, i64) {
        let OutgoingRow { id, source, image, patient, created, message, tries } = row;
        (Outgoing { id, source, image, patient, created, message }, tries)
    }
}

/// Makes the adapter of one database: its type, how it names an error, and how it passes over rows that another process has
/// just taken.
macro_rules! hl7_adapter {
    ($store:ty, $error:path, $skip:literal) => {
        impl crate::store::hl7::Hl7Store for $store {
            fn take_hl7(&self, now: Millis, until: Millis) -> Answer<'_, Option<(Outgoing, i64)>> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    let row = sqlx::query_as::<_, OutgoingRow>(concat!(
                        "UPDATE hl7_results SET due = $2, tries = tries + 1 WHERE id = (
                             SELECT id FROM hl7_results WHERE due <= $1 ORDER BY due, created LIMIT 1 ",
                        $skip,
                        ") RETURNING id, source, image, patient, created, message, tries"
                    ))
                    .bind(now)
                    .bind(until)
                    .fetch_optional(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(row.map(OutgoingRow::into))
                })
            }

            fn sent_hl7<'a>(
                &'a self,
                id: &'a str,
                due: Option<Millis>,
                failure: Option<&'a str>,
            ) -> Answer<'a, ()> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("UPDATE hl7_results SET due = $2, failure = $3 WHERE id = $1")
                        .bind(id)
                        .bind(due)
                        .bind(failure)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }

            fn trim_hl7(&self, before: Millis) -> Answer<'_, u64> {
                Box::pin(self.drop_old(&["DELETE FROM hl7_results WHERE created < $1 AND due IS NULL"], before))
            }

            fn hl7_backlog(&self) -> Answer<'_, Hl7Backlog> {
                Box::pin(async move {
                    let (unsent, given_up): (i64, i64) = sqlx::query_as(
                        "SELECT (SELECT count(*) FROM hl7_results WHERE due IS NOT NULL),
                             (SELECT count(*) FROM hl7_results WHERE due IS NULL AND failure IS NOT NULL)",
                    )
                    .fetch_one(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(Hl7Backlog { unsent: unsent as u64, given_up: given_up as u64 })
                })
            }
        }
    };
}
pub(in crate::store) use hl7_adapter;
