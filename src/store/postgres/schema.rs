//! The schema of a tenant: made where it is missing, and the only one that its connections look into.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::store::{StoreError, tenant};

/// Sees to it that the schema is there and that this connection is in it.
///
/// Where it is there this only reads, so that a role that may not make one can serve.
pub(super) async fn enter(connection: &mut PgConnection, schema: &str) -> Result<(), StoreError> {
    if !exists(connection, schema).await? {
        // Of two replicas that start at once one makes it, and the other is told that it exists.
        let made = connection.execute(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"))).await;
        match made {
            Err(error) if !is_taken(&error) => return Err(error.into()),
            _ => {}
        }
    }
    require(connection, schema).await?;
    Ok(())
}

/// Whether the schema that an address leads to is there; of one that leads to none it is.
pub async fn is_there(url: &str) -> Result<bool, StoreError> {
    let connect = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::Setup("the postgres:// address cannot be read".into()))?;
    let Some(schema) = tenant::schema(connect.get_options()).map(str::to_owned) else { return Ok(true) };
    let mut connection = PgConnection::connect_with(&connect).await.map_err(super::unreachable_or_refused)?;
    let there = exists(&mut connection, &schema).await?;
    connection.close().await?;
    Ok(there)
}

async fn exists(connection: &mut PgConnection, schema: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(connection)
        .await
}

fn is_taken(error: &sqlx::Error) -> bool {
    // 42P06: duplicate_schema; 23505: a row of the catalogue that another has written meanwhile.
    super::sql_state(error).is_some_and(|code| ["42P06", "23505"].contains(&code.as_str()))
}

/// Fails unless this connection is in the schema: a pooler between may have dropped the option that
/// leads there, and everything would go to the default tenant's tables.
pub(super) async fn require(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let current: Option<String> =
        sqlx::query_scalar("SELECT current_schema()::text").fetch_one(connection).await?;
    match current.as_deref() == Some(schema) {
        true => Ok(()),
        false => Err(sqlx::Error::Configuration(
            format!(
                "a connection does not lead to the schema {schema} of its tenant; a pooler between must pass on \
                 the startup parameter \"options\""
            )
            .into(),
        )),
    }
}

/// The first half of the key of the lock under which functions are altered: Postgres lets two sessions
/// that alter one at the same moment fail.
const LOCK: i32 = 702_483;

/// Has the functions of the schema look into it alone, whoever calls them: a trigger of this tenant's
/// tables, fired by plain SQL of a session in another schema, would write to that one's change feed.
pub(super) async fn hold(connection: &mut PgConnection, schema: &str) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
        .bind(LOCK)
        .bind(schema)
        .execute(&mut *transaction)
        .await?;
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT p.oid::regprocedure::text FROM pg_proc p
         JOIN pg_namespace n ON n.oid = p.pronamespace
         JOIN pg_language l ON l.oid = p.prolang
         WHERE n.nspname = $1 AND l.lanname = 'plpgsql' AND p.prokind = 'f'
             AND NOT coalesce(p.proconfig::text LIKE '%search_path=%', false)
         ORDER BY 1",
    )
    .bind(schema)
    .fetch_all(&mut *transaction)
    .await?;
    for function in loose {
        let held = format!("ALTER FUNCTION {function} SET search_path = {schema}");
        transaction.execute(AssertSqlSafe(held)).await?;
    }
    transaction.commit().await?;
    Ok(())
}
