//! DICOM's part of the store on Postgres, whose replicas take images side by side.

use sqlx::{Postgres, Transaction};

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
