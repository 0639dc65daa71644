//! One suite for both databases: what the store promises, held against SQLite and real Postgres.
//!
//! Each promise is a function over a [`Database`]; the macro below makes two tests of it. What
//! only one of the two can do is tested in its own file.

#[path = "store/audit.rs"]
mod audit;
#[path = "support/postgres.rs"]
mod cluster;
#[path = "store/database.rs"]
mod database;
#[path = "store/durability.rs"]
mod durability;
#[path = "store/engine.rs"]
mod engine;
#[path = "store/feed.rs"]
mod feed;
#[path = "store/loading.rs"]
mod loading;
#[path = "store/measure.rs"]
mod measure;
#[path = "store/rows.rs"]
mod rows;
#[path = "store/trouble.rs"]
mod trouble;
#[path = "support/wire.rs"]
mod wire;

/// Makes of `async fn name(database: Database)` a test on SQLite and one on Postgres.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::database::Database::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(database) = crate::database::Database::postgres().await {
                    super::$name(database).await;
                }
            })+
        }
    };
}
pub(crate) use on_both;
