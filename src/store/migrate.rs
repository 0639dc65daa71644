//! Bringing a database's schema up to date.
//!
//! The migrations are compiled in. A database that is ahead of this program is accepted:
//! during a rolling update an older replica may restart beside a newer one, which is why
//! migrations only add.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::StoreError;

pub(super) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Applies what is missing. The caller sees to it that nobody else does so at the same time.
pub(super) async fn run<C: Migrate>(migrator: &Migrator, connection: &mut C) -> Result<(), StoreError> {
    let tolerant =
        Migrator { migrations: migrator.migrations.clone(), ignore_missing: true, ..Migrator::DEFAULT };
    tolerant.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) => error.into(),
        MigrateError::VersionMismatch(version) => {
            StoreError::Setup(format!("its migration {version} is not the one this program brings"))
        }
        MigrateError::Dirty(version) => {
            StoreError::Setup(format!("its migration {version} was applied in part; mend it by hand"))
        }
        other => StoreError::Internal(other.into()),
    })
}
