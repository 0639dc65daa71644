//! The parts of DICOM, HL7, CDS Hooks and pulled records of the store on Postgres, whose replicas take images side by side.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::{Answer, PostgresStore, StoreError, described};
use crate::store::bulk::bulk_adapter;
use crate::store::cds::{CdsOffer, OfferRow, cds_adapter};
use crate::store::dicom::{
    Backlog, DicomResult, FileRow, QueueRow, Queued, RESULT, Received, ResultQuery, ResultRow, adapter,
};
use crate::store::hl7::{Hl7Backlog, Outgoing, OutgoingRow, hl7_adapter};
use crate::store::known::known_adapter;
use crate::store::old::old_adapter;
use recommend::Millis;

adapter!(PostgresStore, begin_dicom, described, "FOR UPDATE SKIP LOCKED");
hl7_adapter!(PostgresStore, begin_dicom, described, "FOR UPDATE SKIP LOCKED");
bulk_adapter!(PostgresStore, described);
known_adapter!(PostgresStore, sqlx::Postgres, described);
cds_adapter!(PostgresStore, begin_dicom, described);
old_adapter!(PostgresStore, described);

/// Postgres queues its writers itself.
pub(super) struct Turn;

impl Turn {
    fn end(self) {}
}

impl PostgresStore {
    #[expect(clippy::unused_async, reason = "as the other store has it")]
    pub(super) async fn turn(&self) -> Result<Turn, StoreError> {
        Ok(Turn)
    }

    async fn begin_dicom(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.pool.begin().await.map_err(described)
    }

    fn leases(&self) -> &PgPool {
        &self.pool
    }

    /// Something was erased, which Postgres sees to by itself.
    fn erased(&self) {}
}

/// Erases what was made of a person's images, what waits to be, what is sent of it, and what cards suggested: a trigger
/// does so too, but an operator who distributes the tables drops it.
pub(super) async fn forget_images(connection: &mut PgConnection, patient: &str) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    for table in ["dicom_queue", "dicom_results", "hl7_results", "cds_offers"] {
        forgotten += sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE patient = $1")))
            .bind(patient)
            .execute(&mut *connection)
            .await
            .map_err(described)?
            .rows_affected();
    }
    Ok(forgotten)
}
