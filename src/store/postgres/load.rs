//! Bulk loads into Postgres: interactions go by binary COPY into a temporary table of the
//! transaction, and from there into place with one statement at the end, in key order.

use sqlx::postgres::{PgPool, Postgres};
use sqlx::{Executor, Transaction};

use super::batches::{upsert_items, upsert_users};
use super::cases::upsert_cases;
use super::copy::RowWriter;
use super::dicom::insert_rows;
use super::write::{FollowUp, follow_up};
use super::{described, strs};
use crate::store::carried::{Cell, Table};
use crate::store::{Answer, BulkLoad, Loaded, StoreError, StoredCase, last_of_each};
use recommend::{Interaction, Item, Kind, User};

pub(super) struct PostgresLoad {
    pub transaction: Transaction<'static, Postgres>,
    pub follow_up: FollowUp,
    loaded: Loaded,
    /// How many interactions were given so far.
    rows: i64,
}

impl PostgresLoad {
    pub async fn begin(pool: &PgPool, follow_up: FollowUp) -> Result<Self, StoreError> {
        let mut transaction = pool.begin().await?;
        // A load sorts as many rows as it brings; the session's usual share is meant for
        // requests.
        transaction.execute("SET LOCAL work_mem = '128MB'").await?;
        transaction
            .execute(
                "CREATE TEMPORARY TABLE loading (
                     position bigint NOT NULL,
                     item_id text COLLATE \"C\" NOT NULL,
                     user_id text COLLATE \"C\" NOT NULL,
                     event text COLLATE \"C\" NOT NULL,
                     time bigint NOT NULL,
                     weight real NOT NULL
                 ) ON COMMIT DROP",
            )
            .await?;
        Ok(Self { transaction, follow_up, loaded: Loaded::default(), rows: 0 })
    }

    async fn copy(&mut self, interactions: &[Interaction]) -> Result<(), StoreError> {
        let mut writer = RowWriter::new();
        for row in interactions {
            writer.row(6);
            writer.field(&self.rows.to_be_bytes());
            writer.field(row.item_id.as_bytes());
            writer.field(row.user_id.as_bytes());
            writer.field(row.event.as_bytes());
            writer.field(&row.time.to_be_bytes());
            writer.field(&row.weight.to_be_bytes());
            self.rows += 1;
        }
        let mut copy = self
            .transaction
            .copy_in_raw(
                "COPY loading (position, item_id, user_id, event, time, weight) \
                 FROM STDIN (FORMAT binary)",
            )
            .await?;
        copy.send(writer.finish()).await?;
        copy.finish().await.map_err(described)?;
        Ok(())
    }

    pub async fn finish(mut self, create_missing: Option<Kind>) -> Result<Loaded, StoreError> {
        if self.rows > 0 {
            self.transaction.execute("ANALYZE loading").await?;
            match create_missing {
                Some(kind) => self.create_missing(kind).await?,
                None => self.find_unknown().await?,
            }
            self.put_in_place().await?;
            if self.follow_up == FollowUp::Writer {
                self.follow_up().await?;
            }
        }
        self.transaction.commit().await?;
        Ok(self.loaded)
    }

    async fn create_missing(&mut self, kind: Kind) -> Result<(), StoreError> {
        let other: Option<(i64, String, String)> = sqlx::query_as(
            "SELECT l.position, i.id, i.kind FROM loading l JOIN items i ON i.id = l.item_id
             WHERE i.kind <> $1 ORDER BY l.position LIMIT 1",
        )
        .bind(kind.as_str())
        .fetch_optional(&mut *self.transaction)
        .await?;
        if let Some((index, id, other)) = other {
            return Err(StoreError::OtherKind { index: index as usize, id, kind: other, expected: kind });
        }
        let users = sqlx::query(
            "INSERT INTO users (id) SELECT DISTINCT user_id FROM loading ORDER BY 1
             ON CONFLICT DO NOTHING",
        )
        .execute(&mut *self.transaction)
        .await
        .map_err(described)?;
        self.loaded.users.created += users.rows_affected();
        let items = sqlx::query(
            "INSERT INTO items (id, kind, name, attributes)
             SELECT DISTINCT item_id, $1, item_id, $2::jsonb FROM loading ORDER BY 1
             ON CONFLICT DO NOTHING",
        )
        .bind(kind.as_str())
        .bind(Item::attributes_of_named(kind))
        .execute(&mut *self.transaction)
        .await
        .map_err(described)?;
        self.loaded.items.created += items.rows_affected();
        Ok(())
    }

    /// The triggers' work for the interactions, where there are none.
    async fn follow_up(&mut self) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO changes (item_id) SELECT DISTINCT item_id FROM loading")
            .execute(&mut *self.transaction)
            .await?;
        sqlx::query("SELECT medserve_interactions_changed(ARRAY(SELECT DISTINCT user_id FROM loading))")
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn find_unknown(&mut self) -> Result<(), StoreError> {
        let unknown: Option<(i64, bool, String, String)> = sqlx::query_as(
            "SELECT l.position, u.id IS NULL, l.user_id, l.item_id FROM loading l
             LEFT JOIN users u ON u.id = l.user_id
             LEFT JOIN items i ON i.id = l.item_id
             WHERE u.id IS NULL OR i.id IS NULL
             ORDER BY l.position LIMIT 1",
        )
        .fetch_optional(&mut *self.transaction)
        .await?;
        match unknown {
            None => Ok(()),
            Some((index, true, id, _)) => Err(StoreError::UnknownUser { index: index as usize, id }),
            Some((index, false, _, id)) => Err(StoreError::UnknownItem { index: index as usize, id }),
        }
    }

    async fn put_in_place(&mut self) -> Result<(), StoreError> {
        // For the reasons given in `batches.rs`.
        for lock in [
            "SELECT 1 FROM items
             WHERE id IN (SELECT item_id FROM loading) AND EXISTS (SELECT 1 FROM weighing)
             ORDER BY id FOR SHARE",
            "SELECT 1 FROM users
             WHERE id IN (SELECT user_id FROM loading) AND EXISTS (SELECT 1 FROM weighing)
             ORDER BY id FOR NO KEY UPDATE",
        ] {
            sqlx::query(lock).execute(&mut *self.transaction).await?;
        }
        let (distinct, created, updated): (i64, i64, i64) = sqlx::query_as(
            "WITH last AS MATERIALIZED (
                 SELECT DISTINCT ON (item_id, user_id, event, time)
                     item_id, user_id, event, time, weight
                 FROM loading
                 ORDER BY item_id, user_id, event, time, position DESC
             ), put AS (
                 INSERT INTO interactions (item_id, user_id, event, occurred_at, weight)
                 SELECT item_id, user_id, event,
                     timestamptz 'epoch' + time * interval '1 millisecond', weight
                 FROM last
                 ORDER BY item_id, user_id, event, time
                 ON CONFLICT (item_id, user_id, event, occurred_at)
                     DO UPDATE SET weight = EXCLUDED.weight
                     WHERE interactions.weight <> EXCLUDED.weight
                 RETURNING xmax = 0 AS created
             )
             SELECT (SELECT count(*) FROM last), count(*) FILTER (WHERE created),
                 count(*) FILTER (WHERE NOT created)
             FROM put",
        )
        .fetch_one(&mut *self.transaction)
        .await
        .map_err(described)?;
        let interactions = &mut self.loaded.interactions;
        interactions.created += created as u64;
        interactions.updated += updated as u64;
        interactions.unchanged += (distinct - created - updated) as u64;
        self.loaded.repeated += (self.rows - distinct) as u64;
        Ok(())
    }
}

impl BulkLoad for PostgresLoad {
    fn users<'a>(&'a mut self, users: &'a [User]) -> Answer<'a, ()> {
        Box::pin(async move {
            let users = last_of_each(users, |user| user.user_id.as_str());
            self.loaded.users += upsert_users(&mut self.transaction, &users).await?;
            if self.follow_up == FollowUp::Writer {
                let ids: Vec<&str> = users.iter().map(|user| user.user_id.as_str()).collect();
                follow_up(&mut self.transaction, &ids, &[], &[]).await?;
            }
            Ok(())
        })
    }

    fn items<'a>(&'a mut self, items: &'a [Item]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.loaded.items += upsert_items(&mut self.transaction, items).await?;
            if self.follow_up == FollowUp::Writer {
                let ids: Vec<&str> = items.iter().map(|item| item.item_id.as_str()).collect();
                let users: Vec<String> =
                    sqlx::query_scalar("SELECT DISTINCT user_id FROM interactions WHERE item_id = ANY ($1)")
                        .bind(&ids)
                        .fetch_all(&mut *self.transaction)
                        .await?;
                follow_up(&mut self.transaction, &[], &ids, &strs(&users)).await?;
            }
            Ok(())
        })
    }

    fn interactions<'a>(&'a mut self, interactions: &'a [Interaction]) -> Answer<'a, ()> {
        Box::pin(self.copy(interactions))
    }

    fn cases<'a>(&'a mut self, cases: &'a [StoredCase]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.loaded.cases += upsert_cases(&mut self.transaction, cases).await?;
            Ok(())
        })
    }

    fn rows<'a>(&'a mut self, table: &'static Table, rows: &'a [Vec<Cell>]) -> Answer<'a, ()> {
        Box::pin(insert_rows(&mut self.transaction, table, rows))
    }

    fn commit(self: Box<Self>, create_missing: Option<Kind>) -> Answer<'static, Loaded> {
        Box::pin(self.finish(create_missing))
    }
}
