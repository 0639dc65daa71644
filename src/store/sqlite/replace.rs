//! Writes that go ahead only where what is stored passes a check. Nobody else writes between the
//! check and the commit, since every write of a file waits for the one before it.

use std::slice;

use sqlx::SqliteConnection;

use super::batches::{upsert_items, upsert_users};
use super::dicom::forget_images;
use super::{SqliteStore, not_found};
use crate::store::rows::{ItemRow, UserRow};
use crate::store::{Check, StoreError, Written};
use recommend::{Item, User};

pub(super) const FIND_USER: &str = "SELECT id, profile FROM users WHERE id = ?";
pub(super) const FIND_ITEM: &str = "SELECT * FROM items WHERE id = ?";

impl SqliteStore {
    pub(super) async fn replace_user(
        &self,
        id: &str,
        new: Option<&User>,
        check: Check<'_, User>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.write().await?;
        let found =
            sqlx::query_as::<_, UserRow>(FIND_USER).bind(id).fetch_optional(&mut *transaction).await?;
        let current = found.map(UserRow::into_user).transpose()?;
        if !check(current.as_ref()) {
            return Err(StoreError::Changed { what: "user" });
        }
        let written = match new {
            Some(user) => upsert_users(&mut transaction, slice::from_ref(user)).await?,
            None => erase(&mut transaction, "DELETE FROM users WHERE id = ?", "user", id).await?,
        };
        transaction.commit().await?;
        if new.is_none() {
            self.empty_log().await;
        }
        Ok(written)
    }

    pub(super) async fn replace_item(
        &self,
        id: &str,
        new: Option<&Item>,
        check: Check<'_, Item>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.write().await?;
        let found =
            sqlx::query_as::<_, ItemRow>(FIND_ITEM).bind(id).fetch_optional(&mut *transaction).await?;
        let current = found.map(ItemRow::into_item).transpose()?;
        if !check(current.as_ref()) {
            return Err(StoreError::Changed { what: "item" });
        }
        let written = match new {
            Some(item) => upsert_items(&mut transaction, slice::from_ref(item)).await?,
            None => erase(&mut transaction, "DELETE FROM items WHERE id = ?", "item", id).await?,
        };
        transaction.commit().await?;
        Ok(written)
    }
}

pub(super) async fn erase(
    connection: &mut SqliteConnection,
    sql: &'static str,
    what: &'static str,
    id: &str,
) -> Result<Written, StoreError> {
    let forgotten = if what == "user" { forget_images(connection, id).await? } else { 0 };
    let done = sqlx::query(sql).bind(id).execute(connection).await?;
    if done.rows_affected() + forgotten > 0 { Ok(Written::default()) } else { Err(not_found(what, id)) }
}
