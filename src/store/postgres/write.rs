//! A write and what follows from it: the change log and the norms.
//!
//! On a plain database triggers see to that, and most writes are one statement that commits by
//! itself. A cluster of machines (Citus) has no triggers on the tables it distributes; there the
//! operator drops them (`docs/citus.md`), and every write of ours becomes a transaction that does
//! the triggers' work at its end. Plain SQL then has to do so too.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

/// Who follows up a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    Triggers,
    Writer,
}

impl FollowUp {
    /// Looks whether the triggers are there.
    pub async fn find(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let triggers = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pg_trigger
                 WHERE tgrelid = 'interactions'::regclass AND tgname = 'interactions_inserted')",
        )
        .fetch_one(connection)
        .await?;
        Ok(if triggers { Self::Triggers } else { Self::Writer })
    }

    /// Begins a write.
    pub async fn begin(self, pool: &PgPool) -> Result<Write, sqlx::Error> {
        Ok(match self {
            Self::Triggers => Write::Direct(pool.acquire().await?),
            Self::Writer => Write::Followed(pool.begin().await?),
        })
    }

    /// A write in a transaction that has begun.
    pub fn within(self, transaction: Transaction<'static, Postgres>) -> Write {
        match self {
            Self::Triggers => Write::Begun(transaction),
            Self::Writer => Write::Followed(transaction),
        }
    }
}

/// A write in progress.
pub(super) enum Write {
    Direct(PoolConnection<Postgres>),
    Begun(Transaction<'static, Postgres>),
    Followed(Transaction<'static, Postgres>),
}

impl Write {
    pub fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Direct(connection) => connection,
            Self::Begun(transaction) | Self::Followed(transaction) => transaction,
        }
    }

    /// The users who have one of these items, as far as the writer has to know.
    pub async fn users_of(&mut self, items: &[&str]) -> Result<Vec<String>, sqlx::Error> {
        match self {
            Self::Direct(_) | Self::Begun(_) => Ok(Vec::new()),
            Self::Followed(transaction) => {
                sqlx::query_scalar("SELECT DISTINCT user_id FROM interactions WHERE item_id = ANY ($1)")
                    .bind(items)
                    .fetch_all(&mut **transaction)
                    .await
            }
        }
    }

    /// Ends the write: `users` and `items` are those whose own row changed, `histories` the
    /// users whose interactions did.
    pub async fn finish(self, users: &[&str], items: &[&str], histories: &[&str]) -> Result<(), sqlx::Error> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Begun(transaction) => transaction.commit().await,
            Self::Followed(mut transaction) => {
                follow_up(&mut transaction, users, items, histories).await?;
                transaction.commit().await
            }
        }
    }
}

/// What the triggers would do.
pub(super) async fn follow_up(
    connection: &mut PgConnection,
    users: &[&str],
    items: &[&str],
    histories: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO changes (user_id, item_id)
         SELECT id, NULL FROM unnest($1::text[]) AS id
         UNION ALL SELECT NULL, id FROM unnest($2::text[]) AS id",
    )
    .bind(users)
    .bind(items)
    .execute(&mut *connection)
    .await?;
    if !histories.is_empty() {
        sqlx::query("SELECT medserve_interactions_changed($1)").bind(histories).execute(connection).await?;
    }
    Ok(())
}
