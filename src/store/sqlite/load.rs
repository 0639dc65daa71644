//! Bulk loads into SQLite: one write transaction from the first row to the last. Other writers
//! wait for it, and give up after the time they are allowed; readers do not notice.

use sqlx::{Executor, QueryBuilder, Sqlite};

use super::batches::{upsert_items, upsert_users};
use super::cases::upsert_cases;
use super::dicom::insert_rows;
use super::turn::Write;
use crate::store::carried::{Cell, Table};
use crate::store::{Answer, BulkLoad, Loaded, StoreError, StoredCase};
use recommend::{Interaction, Item, Kind, User};

/// Rows of one INSERT while loading. At six values each this stays below SQLite's limit of 32,766
/// values, and the cost of handing a statement to the connection's thread is shared by all.
const ROWS_PER_STATEMENT: usize = 1_000;

pub(super) struct SqliteLoad {
    pub transaction: Write,
    loaded: Loaded,
    /// How many interactions were given so far.
    rows: i64,
}

impl SqliteLoad {
    pub async fn begin(mut transaction: Write) -> Result<Self, StoreError> {
        // Interactions wait for the end, since whom they name may only be known then. The table
        // belongs to the connection and outlives a transaction that was taken back.
        transaction
            .execute(
                "CREATE TEMP TABLE IF NOT EXISTS loading (
                     user_id TEXT NOT NULL,
                     item_id TEXT NOT NULL,
                     event TEXT NOT NULL,
                     occurred_at INTEGER NOT NULL,
                     weight REAL NOT NULL,
                     position INTEGER NOT NULL,
                     PRIMARY KEY (user_id, item_id, event, occurred_at)
                 ) STRICT, WITHOUT ROWID",
            )
            .await?;
        transaction.execute("DELETE FROM loading").await?;
        Ok(Self { transaction, loaded: Loaded::default(), rows: 0 })
    }

    async fn keep(&mut self, interactions: &[Interaction]) -> Result<(), StoreError> {
        for rows in interactions.chunks(ROWS_PER_STATEMENT) {
            let first = self.rows;
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT OR REPLACE INTO loading
                     (user_id, item_id, event, occurred_at, weight, position) ",
            );
            insert.push_values(rows.iter().zip(first..), |mut values, (row, position)| {
                values
                    .push_bind(&row.user_id)
                    .push_bind(&row.item_id)
                    .push_bind(&row.event)
                    .push_bind(row.time)
                    .push_bind(row.weight)
                    .push_bind(position);
            });
            insert
                .build()
                // Full statements are all alike and worth keeping; the last one is not.
                .persistent(rows.len() == ROWS_PER_STATEMENT)
                .execute(&mut *self.transaction)
                .await?;
            self.rows += rows.len() as i64;
        }
        Ok(())
    }

    pub async fn finish(mut self, create_missing: Option<Kind>) -> Result<Loaded, StoreError> {
        if self.rows > 0 {
            match create_missing {
                Some(kind) => self.create_missing(kind).await?,
                None => self.find_unknown().await?,
            }
            self.put_in_place().await?;
        }
        self.transaction.commit().await?;
        Ok(self.loaded)
    }

    async fn create_missing(&mut self, kind: Kind) -> Result<(), StoreError> {
        let other: Option<(i64, String, String)> = sqlx::query_as(
            "SELECT l.position, i.id, i.kind FROM loading l JOIN items i ON i.id = l.item_id
             WHERE i.kind <> ? ORDER BY l.position LIMIT 1",
        )
        .bind(kind.as_str())
        .fetch_optional(&mut *self.transaction)
        .await?;
        if let Some((index, id, other)) = other {
            return Err(StoreError::OtherKind { index: index as usize, id, kind: other, expected: kind });
        }
        let users = sqlx::query(
            "INSERT INTO users (id) SELECT DISTINCT user_id FROM loading WHERE true
             ON CONFLICT DO NOTHING",
        )
        .execute(&mut *self.transaction)
        .await?;
        self.loaded.users.created += users.rows_affected();
        let items = sqlx::query(
            "INSERT INTO items (id, kind, name, attributes)
             SELECT DISTINCT item_id, ?, item_id, ? FROM loading WHERE true
             ON CONFLICT DO NOTHING",
        )
        .bind(kind.as_str())
        .bind(Item::attributes_of_named(kind))
        .execute(&mut *self.transaction)
        .await?;
        self.loaded.items.created += items.rows_affected();
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
        let (distinct, existing, updated): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*), count(n.weight), coalesce(sum(n.weight <> l.weight), 0)
             FROM loading l LEFT JOIN interactions n USING (user_id, item_id, event, occurred_at)",
        )
        .fetch_one(&mut *self.transaction)
        .await?;
        // In the order of the key, so that the table grows at its end.
        sqlx::query(
            "INSERT INTO interactions (user_id, item_id, event, occurred_at, weight)
             SELECT user_id, item_id, event, occurred_at, weight FROM loading
             WHERE true ORDER BY user_id, item_id, event, occurred_at
             ON CONFLICT DO UPDATE SET weight = excluded.weight
                 WHERE weight <> excluded.weight",
        )
        .execute(&mut *self.transaction)
        .await?;
        self.transaction.execute("DELETE FROM loading").await?;
        let interactions = &mut self.loaded.interactions;
        interactions.created += (distinct - existing) as u64;
        interactions.updated += updated as u64;
        interactions.unchanged += (existing - updated) as u64;
        self.loaded.repeated += (self.rows - distinct) as u64;
        Ok(())
    }
}

impl BulkLoad for SqliteLoad {
    fn users<'a>(&'a mut self, users: &'a [User]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.loaded.users += upsert_users(&mut self.transaction, users).await?;
            Ok(())
        })
    }

    fn items<'a>(&'a mut self, items: &'a [Item]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.loaded.items += upsert_items(&mut self.transaction, items).await?;
            Ok(())
        })
    }

    fn interactions<'a>(&'a mut self, interactions: &'a [Interaction]) -> Answer<'a, ()> {
        Box::pin(self.keep(interactions))
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
