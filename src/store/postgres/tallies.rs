//! Counts of answers on Postgres.

use sqlx::{Postgres, Transaction};

use super::{Answer, PostgresStore, StoreError, described};
use crate::store::tallies::{Tallied, TallyQuery, adapter};

adapter!(PostgresStore, begin_tallies, described);

impl PostgresStore {
    async fn begin_tallies(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.pool.begin().await.map_err(described)
    }
}
