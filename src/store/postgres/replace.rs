//! Writes that go ahead only where what is stored passes a check: the row is locked, checked and
//! written in one transaction. A row that is not there cannot be locked but by its name, which a plain SQL statement
//! does not hold, so a write that found none stands only if it made the row.

use std::slice;

use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::batches::{upsert_items, upsert_users};
use super::dicom::forget_images;
use super::intake::hold;
use super::write::{FollowUp, follow_up};
use super::{ITEM_COLUMNS, PostgresStore, described, not_found};
use crate::store::rows::{ItemRow, UserRow};
use crate::store::{Check, Held, StoreError, Written};
use recommend::{Item, User};

impl PostgresStore {
    pub(super) async fn replace_user(
        &self,
        id: &str,
        new: Option<&User>,
        check: Check<'_, User>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.pool.begin().await?;
        hold(&mut transaction, Held::People, std::iter::once(id)).await?;
        let found =
            sqlx::query_as::<_, UserRow>("SELECT id, profile::text FROM users WHERE id = $1 FOR UPDATE")
                .bind(id)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(described)?;
        let current = found.map(UserRow::into_user).transpose()?;
        let changed = || StoreError::Changed { what: "user" };
        if !check(current.as_ref()) {
            return Err(changed());
        }
        let written = match new {
            Some(user) => upsert_users(&mut transaction, slice::from_ref(&user)).await?,
            None => erase(&mut transaction, "DELETE FROM users WHERE id = $1", "user", id).await?,
        };
        if new.is_some() && current.is_none() && written.created == 0 {
            return Err(changed());
        }
        if self.follow_up == FollowUp::Writer {
            match new {
                Some(_) => follow_up(&mut transaction, &[id], &[], &[]).await?,
                None => follow_up(&mut transaction, &[], &[], &[id]).await?,
            }
        }
        transaction.commit().await?;
        Ok(written)
    }

    pub(super) async fn replace_item(
        &self,
        id: &str,
        new: Option<&Item>,
        check: Check<'_, Item>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.pool.begin().await?;
        hold(&mut transaction, Held::Resources, std::iter::once(id)).await?;
        let sql = format!("SELECT {ITEM_COLUMNS} FROM items WHERE id = $1 FOR UPDATE");
        let found = sqlx::query_as::<_, ItemRow>(AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(described)?;
        let current = found.map(ItemRow::into_item).transpose()?;
        let changed = || StoreError::Changed { what: "item" };
        if !check(current.as_ref()) {
            return Err(changed());
        }
        let users: Vec<String> = match self.follow_up {
            FollowUp::Triggers => Vec::new(),
            FollowUp::Writer => {
                sqlx::query_scalar("SELECT DISTINCT user_id FROM interactions WHERE item_id = $1")
                    .bind(id)
                    .fetch_all(&mut *transaction)
                    .await?
            }
        };
        let written = match new {
            Some(item) => upsert_items(&mut transaction, slice::from_ref(item)).await?,
            None => erase(&mut transaction, "DELETE FROM items WHERE id = $1", "item", id).await?,
        };
        if new.is_some() && current.is_none() && written.created == 0 {
            return Err(changed());
        }
        if self.follow_up == FollowUp::Writer {
            follow_up(&mut transaction, &[], &[id], &super::strs(&users)).await?;
        }
        transaction.commit().await?;
        Ok(written)
    }
}

pub(super) async fn erase(
    transaction: &mut Transaction<'_, Postgres>,
    sql: &'static str,
    what: &'static str,
    id: &str,
) -> Result<Written, StoreError> {
    let forgotten = if what == "user" { forget_images(transaction, id).await? } else { 0 };
    let done = sqlx::query(sql).bind(id).execute(&mut **transaction).await.map_err(described)?;
    if done.rows_affected() + forgotten > 0 { Ok(Written::default()) } else { Err(not_found(what, id)) }
}
