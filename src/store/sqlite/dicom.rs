//! The parts of DICOM, HL7, CDS Hooks and pulled records of the store on SQLite, where what was erased must leave the log of earlier writes as well.

use std::sync::atomic::Ordering;

use sqlx::{SqliteConnection, SqlitePool};

use super::{Answer, SqliteStore, StoreError};
use crate::store::bulk::bulk_adapter;
use crate::store::carried::carried_adapter;
use crate::store::cds::{CdsOffer, OfferRow, cds_adapter};
use crate::store::dicom::{
    Arrival, Arrived, Backlog, DicomAnswer, DicomResult, FileRow, Kept, QueueRow, Queued, RESULT, Received,
    ResultQuery, ResultRow, Turn, adapter,
};
use crate::store::hl7::{Hl7Backlog, Outgoing, OutgoingRow, hl7_adapter};
use crate::store::old::old_adapter;
use recommend::Millis;

adapter!(SqliteStore, SqliteConnection, write, StoreError::from, "");
hl7_adapter!(SqliteStore, StoreError::from, "");
bulk_adapter!(SqliteStore, StoreError::from);
carried_adapter!(SqliteStore, sqlx::Sqlite, SqliteConnection, StoreError::from);
cds_adapter!(SqliteStore, write, StoreError::from);
old_adapter!(SqliteStore, StoreError::from);

impl SqliteStore {
    /// Where an image is taken to be answered, or a result to be sent: were that lost, it would be taken again.
    fn leases(&self) -> &SqlitePool {
        &self.leases
    }

    /// Writers come one after another here.
    #[expect(clippy::unused_async, reason = "as the other store has it")]
    async fn in_order(&self, _: &mut SqliteConnection, _: &[&str]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Something was erased: the log is emptied with the next tidying up.
    fn erased(&self) {
        self.log_is_full.store(true, Ordering::Relaxed);
    }
}

/// Erases what was made of a person's images, what waits to be, what is sent of it, and what cards suggested, and says how
/// much there was. A trigger does so for a user; most patients of an archive are none.
pub(super) async fn forget_images(
    connection: &mut SqliteConnection,
    patient: &str,
) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    for table in ["dicom_queue", "dicom_arrivals", "dicom_results", "hl7_results", "cds_offers"] {
        forgotten += sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE patient = ?")))
            .bind(patient)
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    Ok(forgotten)
}
