//! DICOM's part of the store on Postgres, whose replicas take images side by side.

use sqlx::{PgConnection, Postgres, Transaction};

use super::{Answer, PostgresStore, StoreError, described};
use crate::store::dicom::{
    Backlog, DicomResult, FileRow, QueueRow, Queued, RESULT, Received, ResultQuery, ResultRow, adapter,
};
use recommend::Millis;

adapter!(PostgresStore, begin_dicom, described, "FOR UPDATE SKIP LOCKED");

impl PostgresStore {
    async fn begin_dicom(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.pool.begin().await.map_err(described)
    }

    /// Something was erased, which Postgres sees to by itself.
    fn erased(&self) {}
}

/// Erases what was made of a person's images and what waits to be: a trigger does so too, but an operator who distributes the
/// tables drops it.
pub(super) async fn forget_images(connection: &mut PgConnection, patient: &str) -> Result<(), StoreError> {
    for sql in ["DELETE FROM dicom_queue WHERE patient = $1", "DELETE FROM dicom_results WHERE patient = $1"]
    {
        sqlx::query(sql).bind(patient).execute(&mut *connection).await.map_err(described)?;
    }
    Ok(())
}
