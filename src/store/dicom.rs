//! DICOM in the store: images that wait for their answer, and what was made of them.
//!
//! The statements are the same for both databases, so both adapters are made by one macro; what differs is said
//! where it is used. An image's row is taken for a while and put off meanwhile: who takes it and dies has not
//! taken it away. The answer and the end of the wait are one transaction.

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::Answer;
use super::rows::from_columns;
use recommend::Millis;

/// An image that came over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Study Instance UID.
    pub study: String,
    /// Patient ID; empty where the image has none.
    pub patient: String,
    /// The application entity that sent it.
    pub caller: String,
    /// From where.
    pub address: String,
    /// When.
    pub received: Millis,
    /// The file.
    pub file: Bytes,
}

/// An image whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its number in the queue.
    pub number: i64,
    /// How often it was taken, this time included.
    pub tries: i64,
    /// The image.
    pub instance: Received,
}

/// Something that was made of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomResult {
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Series Instance UID.
    pub series: String,
    /// Study Instance UID, that of the image.
    pub study: String,
    /// SOP Class UID.
    pub sop_class: String,
    /// The image's SOP Instance UID.
    pub source: String,
    /// Patient ID.
    pub patient: String,
    /// The model that answered.
    pub model: String,
    /// Its version.
    pub version: String,
    /// When.
    pub created: Millis,
    /// DICOM's JSON, without pixels.
    pub metadata: String,
    /// The file; empty in a list.
    pub file: Bytes,
}

/// Which results to list, in the order of their UIDs; what is empty fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultQuery {
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID.
    pub series: String,
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Patient ID.
    pub patient: String,
    /// Above this SOP Instance UID.
    pub after: String,
    /// At most so many.
    pub limit: u32,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Images without an answer.
    pub waiting: u64,
    /// Results that are not sent.
    pub unsent: u64,
}

/// The part of the store that DICOM needs.
pub trait DicomStore: Send + Sync {
    /// Has an image wait; one that waits already does so once. False where `most` wait.
    fn queue_dicom<'a>(&'a self, instance: &'a Received, most: u32) -> Answer<'a, bool>;

    /// The image whose turn it is at `now`; it is nobody else's before `until`.
    fn take_dicom(&self, now: Millis, until: Millis) -> Answer<'_, Option<Queued>>;

    /// Gives an image that was taken back, for not before `due`.
    fn give_back_dicom(&self, number: i64, due: Millis) -> Answer<'_, ()>;

    /// Ends the wait of an image that gets no answer; its file goes.
    fn fail_dicom<'a>(&'a self, number: i64, reason: &'a str) -> Answer<'a, ()>;

    /// Keeps results and ends the wait of their image, if it waited; with `due` they are to be sent. A result that is
    /// there stays as it is, but for being sent again.
    fn answer_dicom<'a>(
        &'a self,
        number: Option<i64>,
        results: &'a [DicomResult],
        due: Option<Millis>,
    ) -> Answer<'a, ()>;

    /// Which of these results there are.
    fn known_dicom<'a>(&'a self, sop_instances: &'a [String]) -> Answer<'a, Vec<String>>;

    /// Has these results sent again, and ends the wait of their image.
    fn repeat_dicom<'a>(
        &'a self,
        number: Option<i64>,
        sop_instances: &'a [String],
        due: Option<Millis>,
    ) -> Answer<'a, ()>;

    /// Results without their files.
    fn list_dicom<'a>(&'a self, query: &'a ResultQuery) -> Answer<'a, Vec<DicomResult>>;

    /// A result with its file.
    fn get_dicom<'a>(&'a self, sop_instance: &'a str) -> Answer<'a, Option<DicomResult>>;

    /// The result that is to be sent next at `now`, and how often that was tried, this time included; it is nobody
    /// else's before `until`.
    fn take_result(&self, now: Millis, until: Millis) -> Answer<'_, Option<(DicomResult, i64)>>;

    /// What became of sending: sent, to be tried again at `due`, or given up for a reason.
    fn sent_result<'a>(
        &'a self,
        sop_instance: &'a str,
        due: Option<Millis>,
        failure: Option<&'a str>,
    ) -> Answer<'a, ()>;

    /// Drops results and failures from before a moment, and says how many there were. What is still to be sent stays.
    fn trim_dicom(&self, before: Millis) -> Answer<'_, u64>;

    /// How much waits.
    fn dicom_backlog(&self) -> Answer<'_, Backlog>;
}

/// The columns of a [`ResultRow`].
pub(super) const RESULT: &str =
    "sop_instance, series, study, sop_class, source, patient, model, version, created, metadata";

from_columns! {
    ResultRow { sop_instance, series, study, sop_class, source, patient, model, version, created, metadata }
    FileRow { sop_instance, file, tries }
    QueueRow { number, tries, sop_instance, study, patient, caller, address, received, file }
}

/// A row of `dicom_results` without its file.
pub(super) struct ResultRow {
    sop_instance: String,
    series: String,
    study: String,
    sop_class: String,
    source: String,
    patient: String,
    model: String,
    version: String,
    created: i64,
    metadata: String,
}

impl From<ResultRow> for DicomResult {
    fn from(row: ResultRow) -> DicomResult {
        DicomResult {
            sop_instance: row.sop_instance,
            series: row.series,
            study: row.study,
            sop_class: row.sop_class,
            source: row.source,
            patient: row.patient,
            model: row.model,
            version: row.version,
            created: row.created,
            metadata: row.metadata,
            file: Bytes::new(),
        }
    }
}

/// The file of a row of `dicom_results`.
pub(super) struct FileRow {
    pub sop_instance: String,
    pub file: Vec<u8>,
    pub tries: i64,
}

/// A row of `dicom_queue`.
pub(super) struct QueueRow {
    number: i64,
    tries: i64,
    sop_instance: String,
    study: String,
    patient: String,
    caller: String,
    address: String,
    received: i64,
    file: Vec<u8>,
}

impl From<QueueRow> for Queued {
    fn from(row: QueueRow) -> Queued {
        let QueueRow { number, tries, sop_instance, study, patient, caller, address, received, file } = row;
        let file = file.into();
        let instance = Received { sop_instance, study, patient, caller, address, received, file };
        Queued { number, tries, instance }
    }
}

/// Makes the adapter of one database: its type, how it begins a write, how it names an error, and how it passes over
/// rows that another process has just taken.
macro_rules! adapter {
    ($store:ty, $begin:ident, $error:path, $skip:literal) => {
        impl crate::store::dicom::DicomStore for $store {
            fn queue_dicom<'a>(&'a self, instance: &'a Received, most: u32) -> Answer<'a, bool> {
                Box::pin(async move {
                    let mut transaction = self.$begin().await?;
                    let (waiting, there): (i64, i64) = sqlx::query_as(
                        "SELECT count(*), CAST(coalesce(sum(CASE WHEN sop_instance = $1 THEN 1 ELSE 0 END), 0) AS bigint)
                         FROM dicom_queue WHERE failure IS NULL",
                    )
                    .bind(&instance.sop_instance)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err($error)?;
                    if there > 0 || waiting >= i64::from(most) {
                        return Ok(there > 0);
                    }
                    sqlx::query(
                        "INSERT INTO dicom_queue (sop_instance, study, patient, caller, address, received, due, file)
                         VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
                         ON CONFLICT (sop_instance) WHERE failure IS NULL DO NOTHING",
                    )
                    .bind(&instance.sop_instance)
                    .bind(&instance.study)
                    .bind(&instance.patient)
                    .bind(&instance.caller)
                    .bind(&instance.address)
                    .bind(instance.received)
                    .bind(&instance.file[..])
                    .execute(&mut *transaction)
                    .await
                    .map_err($error)?;
                    transaction.commit().await.map_err($error)?;
                    Ok(true)
                })
            }

            fn take_dicom(&self, now: Millis, until: Millis) -> Answer<'_, Option<Queued>> {
                Box::pin(async move {
                    let row = sqlx::query_as::<_, QueueRow>(concat!(
                        "UPDATE dicom_queue SET due = $2, tries = tries + 1 WHERE number = (
                             SELECT number FROM dicom_queue WHERE failure IS NULL AND due <= $1
                             ORDER BY due, number LIMIT 1 ",
                        $skip,
                        ") RETURNING number, tries, sop_instance, study, patient, caller, address, received, file"
                    ))
                    .bind(now)
                    .bind(until)
                    .fetch_optional(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(row.map(Queued::from))
                })
            }

            fn give_back_dicom(&self, number: i64, due: Millis) -> Answer<'_, ()> {
                Box::pin(async move {
                    sqlx::query("UPDATE dicom_queue SET due = $2 WHERE number = $1")
                        .bind(number)
                        .bind(due)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }

            fn fail_dicom<'a>(&'a self, number: i64, reason: &'a str) -> Answer<'a, ()> {
                Box::pin(async move {
                    sqlx::query("UPDATE dicom_queue SET failure = $2, file = NULL WHERE number = $1")
                        .bind(number)
                        .bind(reason)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    self.erased();
                    Ok(())
                })
            }

            fn answer_dicom<'a>(
                &'a self,
                number: Option<i64>,
                results: &'a [DicomResult],
                due: Option<Millis>,
            ) -> Answer<'a, ()> {
                Box::pin(async move {
                    let mut transaction = self.$begin().await?;
                    for result in results {
                        sqlx::query(
                            "INSERT INTO dicom_results (sop_instance, series, study, sop_class, source, patient, model,
                                 version, created, due, metadata, file)
                             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                             ON CONFLICT (sop_instance) DO UPDATE SET due = excluded.due, tries = 0, failure = NULL",
                        )
                        .bind(&result.sop_instance)
                        .bind(&result.series)
                        .bind(&result.study)
                        .bind(&result.sop_class)
                        .bind(&result.source)
                        .bind(&result.patient)
                        .bind(&result.model)
                        .bind(&result.version)
                        .bind(result.created)
                        .bind(due)
                        .bind(&result.metadata)
                        .bind(&result.file[..])
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    if let Some(number) = number {
                        sqlx::query(
                            "DELETE FROM dicom_queue WHERE number = $1 OR (failure IS NOT NULL
                                 AND sop_instance = (SELECT sop_instance FROM dicom_queue WHERE number = $1))",
                        )
                        .bind(number)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    transaction.commit().await.map_err($error)?;
                    self.erased();
                    Ok(())
                })
            }

            fn known_dicom<'a>(&'a self, sop_instances: &'a [String]) -> Answer<'a, Vec<String>> {
                Box::pin(async move {
                    let mut known = Vec::new();
                    for uid in sop_instances {
                        let found: i64 =
                            sqlx::query_scalar("SELECT count(*) FROM dicom_results WHERE sop_instance = $1")
                                .bind(uid)
                                .fetch_one(&self.pool)
                                .await
                                .map_err($error)?;
                        if found > 0 {
                            known.push(uid.clone());
                        }
                    }
                    Ok(known)
                })
            }

            fn repeat_dicom<'a>(
                &'a self,
                number: Option<i64>,
                sop_instances: &'a [String],
                due: Option<Millis>,
            ) -> Answer<'a, ()> {
                Box::pin(async move {
                    for uid in sop_instances.iter().filter(|_| due.is_some()) {
                        sqlx::query(
                            "UPDATE dicom_results SET due = $2, tries = 0, failure = NULL WHERE sop_instance = $1",
                        )
                        .bind(uid)
                        .bind(due)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    }
                    self.answer_dicom(number, &[], due).await
                })
            }

            fn list_dicom<'a>(&'a self, query: &'a ResultQuery) -> Answer<'a, Vec<DicomResult>> {
                Box::pin(async move {
                    let sql = format!(
                        "SELECT {RESULT} FROM dicom_results
                         WHERE ($1 = '' OR study = $1) AND ($2 = '' OR series = $2) AND ($3 = '' OR sop_instance = $3)
                             AND ($4 = '' OR patient = $4) AND sop_instance > $5
                         ORDER BY sop_instance LIMIT $6"
                    );
                    let rows = sqlx::query_as::<_, ResultRow>(sqlx::AssertSqlSafe(sql))
                        .bind(&query.study)
                        .bind(&query.series)
                        .bind(&query.sop_instance)
                        .bind(&query.patient)
                        .bind(&query.after)
                        .bind(i64::from(query.limit))
                        .fetch_all(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(rows.into_iter().map(DicomResult::from).collect())
                })
            }

            fn get_dicom<'a>(&'a self, sop_instance: &'a str) -> Answer<'a, Option<DicomResult>> {
                Box::pin(async move {
                    let query =
                        ResultQuery { sop_instance: sop_instance.to_string(), limit: 1, ..ResultQuery::default() };
                    let Some(result) = self.list_dicom(&query).await?.pop() else { return Ok(None) };
                    let row = sqlx::query_as::<_, FileRow>(
                        "SELECT sop_instance, file, tries FROM dicom_results WHERE sop_instance = $1",
                    )
                    .bind(sop_instance)
                    .fetch_optional(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(row.map(|row| DicomResult { file: row.file.into(), ..result }))
                })
            }

            fn take_result(&self, now: Millis, until: Millis) -> Answer<'_, Option<(DicomResult, i64)>> {
                Box::pin(async move {
                    let row = sqlx::query_as::<_, FileRow>(concat!(
                        "UPDATE dicom_results SET due = $2, tries = tries + 1 WHERE sop_instance = (
                             SELECT sop_instance FROM dicom_results WHERE due <= $1 ORDER BY due LIMIT 1 ",
                        $skip,
                        ") RETURNING sop_instance, file, tries"
                    ))
                    .bind(now)
                    .bind(until)
                    .fetch_optional(&self.pool)
                    .await
                    .map_err($error)?;
                    let Some(FileRow { sop_instance, file, tries }) = row else { return Ok(None) };
                    let query = ResultQuery { sop_instance, limit: 1, ..ResultQuery::default() };
                    let result = self.list_dicom(&query).await?.pop();
                    Ok(result.map(|result| (DicomResult { file: file.into(), ..result }, tries)))
                })
            }

            fn sent_result<'a>(
                &'a self,
                sop_instance: &'a str,
                due: Option<Millis>,
                failure: Option<&'a str>,
            ) -> Answer<'a, ()> {
                Box::pin(async move {
                    sqlx::query("UPDATE dicom_results SET due = $2, failure = $3 WHERE sop_instance = $1")
                        .bind(sop_instance)
                        .bind(due)
                        .bind(failure)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }

            fn trim_dicom(&self, before: Millis) -> Answer<'_, u64> {
                Box::pin(async move {
                    let results = sqlx::query("DELETE FROM dicom_results WHERE created < $1 AND due IS NULL")
                        .bind(before)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    let failures =
                        sqlx::query("DELETE FROM dicom_queue WHERE received < $1 AND failure IS NOT NULL")
                            .bind(before)
                            .execute(&self.pool)
                            .await
                            .map_err($error)?;
                    let gone = results.rows_affected() + failures.rows_affected();
                    if gone > 0 {
                        self.erased();
                    }
                    Ok(gone)
                })
            }

            fn dicom_backlog(&self) -> Answer<'_, Backlog> {
                Box::pin(async move {
                    let (waiting, unsent): (i64, i64) = sqlx::query_as(
                        "SELECT (SELECT count(*) FROM dicom_queue WHERE failure IS NULL),
                             (SELECT count(*) FROM dicom_results WHERE due IS NOT NULL)",
                    )
                    .fetch_one(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(Backlog { waiting: waiting as u64, unsent: unsent as u64 })
                })
            }
        }
    };
}
pub(super) use adapter;
