//! Whether a database in a file may be replaced by a back-up: one that was made and never written to, as by the first start of a
//! server, or a file without a byte. What the program keeps for itself from the start on is nothing that anybody wrote.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::super::StoreError;

/// Tables that have rows before anybody writes.
const OWN: [&str; 5] = ["_sqlx_migrations", "audit_head", "audit_clock", "audit_stream", "reference_time"];

/// Fails unless the file is a database of this program in which there is nothing, and that nobody has open. It has no log beside
/// it then.
///
/// # Errors
/// In words for the person who wants to replace it.
pub async fn vacant(file: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
    let mut connection = options.connect().await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )
    .fetch_all(&mut connection)
    .await
    .map_err(|_| StoreError::Setup("the file is not an SQLite database".into()))?;
    let foreign = || StoreError::Setup("it is a database of another program".into());
    if !tables.is_empty() && !tables.iter().any(|name| name == "_sqlx_migrations") {
        return Err(foreign());
    }
    let mut full = Vec::new();
    for table in tables.iter().filter(|name| !OWN.contains(&name.as_str())) {
        if !table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(foreign());
        }
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut connection)
            .await?;
        if count > 0 {
            full.push(format!("{table} {count}"));
        }
    }
    if !full.is_empty() {
        return Err(StoreError::Setup(format!("it is not empty; rows: {}", full.join(", "))));
    }
    // This is for the only one who has the file open, and takes its log away.
    let alone: Result<String, sqlx::Error> =
        sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await;
    connection.close().await?;
    match alone.as_deref() {
        Ok("delete") => Ok(()),
        _ => Err(StoreError::Setup("a server or another program has it open; end that first".into())),
    }
}
