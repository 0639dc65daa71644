//! Bringing a database's schema up to date.
//!
//! The migrations are compiled in. A database that is ahead of this program is accepted:
//! during a rolling update an older replica may restart beside a newer one, which is why
//! migrations only add.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::StoreError;

// The file's name without its ending, and its content, in order; made by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The migrations of Postgres.
pub(super) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

/// The migrations of SQLite.
pub(super) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

fn migrator(files: &'static [(&str, &str)]) -> Migrator {
    let migration = |(name, sql): &(&'static str, &'static str)| {
        let (version, description) = name.split_once('_').expect("NUMBER_what_it_does.sql");
        let version = version.parse().expect("the name of a migration begins with a number");
        Migration::new(
            version,
            description.replace('_', " ").into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator { ignore_missing: true, ..Migrator::with_migrations(files.iter().map(migration).collect()) }
}

/// What the migrations of SQLite make of this trigger in the end, without the last semicolon.
pub(super) fn sqlite_trigger(name: &str) -> Option<&'static str> {
    last(SQLITE, &format!("CREATE TRIGGER {name} "))
        .and_then(|sql| sql.split_once("\nEND;"))
        .map(|(sql, _)| sql)
}

/// The body that the migrations of Postgres give this function in the end.
pub(super) fn postgres_function(name: &str) -> Option<&'static str> {
    last(POSTGRES, &format!("FUNCTION {name}() RETURNS")).and_then(|sql| sql.split("$$").nth(1))
}

/// The migrations' text from where these words stand for the last time.
fn last(files: &'static [(&str, &str)], words: &str) -> Option<&'static str> {
    files.iter().rev().find_map(|(_, sql)| sql.rfind(words).map(|at| &sql[at..]))
}

/// Applies what is missing. The caller sees to it that nobody else does so at the same time.
///
/// Where nothing is missing this only reads, so that a role that may not change the schema can serve.
pub(super) async fn run<C: Migrate>(migrator: Migrator, connection: &mut C) -> Result<(), StoreError> {
    if is_up_to_date(&migrator, connection).await {
        return Ok(());
    }
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
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

/// Whether every migration was applied as this program brings it, and none in part.
async fn is_up_to_date<C: Migrate>(migrator: &Migrator, connection: &mut C) -> bool {
    let table = &migrator.table_name;
    let (Ok(None), Ok(applied)) =
        (connection.dirty_version(table).await, connection.list_applied_migrations(table).await)
    else {
        return false; // An empty database has no table of them yet.
    };
    migrator.iter().all(|ours| {
        applied.iter().any(|there| there.version == ours.version && there.checksum == ours.checksum)
    })
}
