//! One suite for both databases: what the store promises, held against SQLite and real Postgres.
//!
//! Each promise is a function over a [`Database`]; the macro below makes two tests of it. What
//! only one of the two can do is tested in its own file.

mod audit;
mod audit_attacked;
mod bulk;
mod carried;
mod cases;
pub(crate) mod database;
mod dicom;
mod durability;
mod engine;
mod feed;
mod hl7;
mod intake;
mod known;
mod learned;
mod loading;
mod measure;
mod measure_dicom;
mod replace;
mod rows;
mod tallies;
mod trouble;

/// Makes of `async fn name(database: Database)` a test on SQLite and one on Postgres.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::database::Database::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(database) = crate::store::database::Database::postgres().await {
                    super::$name(database).await;
                }
            })+
        }
    };
}
pub(crate) use on_both;
