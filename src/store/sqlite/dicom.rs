//! The parts of DICOM, HL7, CDS Hooks and pulled records of the store on SQLite, where what was erased must leave the log of earlier writes as well.

use std::sync::atomic::Ordering;

use sqlx::SqlitePool;

use super::{Answer, SqliteStore, StoreError};
use crate::store::bulk::bulk_adapter;
use crate::store::cds::{CdsOffer, OfferRow, cds_adapter};
use crate::store::dicom::{
    Backlog, DicomResult, FileRow, QueueRow, Queued, RESULT, Received, ResultQuery, ResultRow, adapter,
};
use crate::store::hl7::{Hl7Backlog, Outgoing, OutgoingRow, hl7_adapter};
use crate::store::known::known_adapter;
use crate::store::old::old_adapter;
use recommend::Millis;

adapter!(SqliteStore, write, StoreError::from, "");
hl7_adapter!(SqliteStore, write, StoreError::from, "");
bulk_adapter!(SqliteStore, StoreError::from);
known_adapter!(SqliteStore, sqlx::Sqlite, StoreError::from);
cds_adapter!(SqliteStore, write, StoreError::from);
old_adapter!(SqliteStore, StoreError::from);

impl SqliteStore {
    /// Where an image is taken to be answered, or a result to be sent: were that lost, it would be taken again.
    fn leases(&self) -> &SqlitePool {
        &self.leases
    }

    /// Something was erased: the log is emptied with the next tidying up.
    fn erased(&self) {
        self.log_is_full.store(true, Ordering::Relaxed);
    }
}
