//! The parts of DICOM, HL7, CDS Hooks and pulled records of the store on Postgres, whose replicas take images side by side.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::{Answer, PostgresStore, StoreError, described};
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

adapter!(PostgresStore, PgConnection, begin_dicom, described, "FOR UPDATE SKIP LOCKED");
hl7_adapter!(PostgresStore, described, "FOR UPDATE SKIP LOCKED");
bulk_adapter!(PostgresStore, described);
carried_adapter!(PostgresStore, Postgres, PgConnection, described);
cds_adapter!(PostgresStore, begin_dicom, described);
old_adapter!(PostgresStore, described);

/// The first half of the keys of locks on images that arrive.
const ARRIVING: i32 = 702_484;

/// Postgres queues its writers itself.
pub(super) struct WriterTurn;

impl WriterTurn {
    fn end(self) {}
}

impl PostgresStore {
    #[expect(clippy::unused_async, reason = "as the other store has it")]
    pub(super) async fn turn(&self) -> Result<WriterTurn, StoreError> {
        Ok(WriterTurn)
    }

    async fn begin_dicom(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.pool.begin().await.map_err(described)
    }

    /// Waits until nobody else receives any of these images: of two that come at one moment one comes first, and each sees what
    /// the other has written. In one order for all, so that no two wait for each other.
    async fn in_order(&self, connection: &mut PgConnection, instances: &[&str]) -> Result<(), StoreError> {
        sqlx::query(
            "SELECT pg_advisory_xact_lock($1, key)
             FROM (SELECT DISTINCT hashtext(one) AS key FROM unnest($2::text[]) AS one ORDER BY key) AS keys",
        )
        .bind(ARRIVING)
        .bind(instances)
        .execute(connection)
        .await
        .map_err(described)?;
        Ok(())
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
    for table in ["dicom_queue", "dicom_arrivals", "dicom_results", "hl7_results", "cds_offers"] {
        forgotten += sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE patient = $1")))
            .bind(patient)
            .execute(&mut *connection)
            .await
            .map_err(described)?
            .rows_affected();
    }
    Ok(forgotten)
}
