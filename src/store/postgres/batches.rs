//! The writes: each is one statement over arrays, with its rows in the order of their keys.

use sqlx::AssertSqlSafe;

use super::intake::hold;
use super::replace::erase;
use super::write::Write;
use super::{PostgresStore, TRIES, described, not_found, sql_state, strs};
use crate::store::{Held, InteractionFilter, StoreError, Written, interaction_key, last_of_each, rows};
use recommend::{Interaction, Item, Term, User};

/// A step that locks the users `$1` in the order of their ids, before the statement touches their
/// interactions, if the norms are kept: the triggers of an upsert fire twice (for what it inserts,
/// then for what it updates), and would lock in no order at all. `after` is joined to it: steps
/// that come first.
fn locked_users(after: &str) -> String {
    format!(
        "locked AS MATERIALIZED (
             SELECT users.id FROM users {after}
             WHERE users.id = ANY ($1::text[]) AND EXISTS (SELECT 1 FROM weighing)
             ORDER BY users.id FOR NO KEY UPDATE OF users)"
    )
}

/// Steps that lock the items `$2` of new interactions in share, then the users `$1`: items come
/// before users everywhere, as the change of an item's kind takes them in that order.
fn locked_items_and_users() -> String {
    let users = locked_users("CROSS JOIN (SELECT count(*) FROM held) AS first");
    format!(
        "held AS MATERIALIZED (
             SELECT id FROM items
             WHERE id = ANY ($2::text[]) AND EXISTS (SELECT 1 FROM weighing)
             ORDER BY id FOR SHARE),
         {users}"
    )
}

impl PostgresStore {
    pub(super) async fn put_terms(&self, terms: &[Term]) -> Result<Written, StoreError> {
        let terms = last_of_each(terms, |term| (term.kind.as_str(), term.name.as_str()));
        let kinds: Vec<&str> = terms.iter().map(|term| term.kind.as_str()).collect();
        let names: Vec<&str> = terms.iter().map(|term| term.name.as_str()).collect();
        let json = terms.iter().map(|term| rows::term_json(term)).collect::<Result<Vec<_>, _>>()?;
        // A row that stays as it is comes back with neither.
        let new: Vec<bool> = sqlx::query_scalar(
            "INSERT INTO terms (kind, name, term)
             SELECT kind, name, term::jsonb FROM unnest($1::text[], $2::text[], $3::text[]) AS rows (kind, name, term)
             ON CONFLICT (kind, name) DO UPDATE SET term = EXCLUDED.term WHERE terms.term <> EXCLUDED.term
             RETURNING xmax = 0",
        )
        .bind(&kinds)
        .bind(&names)
        .bind(&json)
        .fetch_all(&self.pool)
        .await
        .map_err(described)?;
        let created = new.iter().filter(|&&new| new).count() as u64;
        let updated = new.len() as u64 - created;
        Ok(Written { created, updated, unchanged: terms.len() as u64 - created - updated })
    }

    async fn begin(&self) -> Result<Write, StoreError> {
        Ok(self.follow_up.begin(&self.pool).await?)
    }

    pub(super) async fn put_users(&self, users: &[User]) -> Result<Written, StoreError> {
        let rows = last_of_each(users, |user| user.user_id.as_str());
        let ids: Vec<&str> = rows.iter().map(|user| user.user_id.as_str()).collect();
        let mut transaction = self.pool.begin().await?;
        hold(&mut transaction, Held::People, ids.iter().copied()).await?;
        let written = upsert_users(&mut transaction, &rows).await?;
        self.follow_up.within(transaction).finish(&ids, &[], &[]).await?;
        Ok(written)
    }

    pub(super) async fn put_items(&self, items: &[Item]) -> Result<Written, StoreError> {
        let ids: Vec<&str> = items.iter().map(|item| item.item_id.as_str()).collect();
        let mut transaction = self.pool.begin().await?;
        hold(&mut transaction, Held::Resources, ids.iter().copied()).await?;
        let mut write = self.follow_up.within(transaction);
        let written = upsert_items(write.connection(), items).await?;
        // An item may have changed its kind, which is a change of those who have it.
        let users = write.users_of(&ids).await?;
        write.finish(&[], &ids, &strs(&users)).await?;
        Ok(written)
    }

    pub(super) async fn put_interactions(&self, interactions: &[Interaction]) -> Result<Written, StoreError> {
        let rows = last_of_each(interactions, interaction_key);
        for _ in 0..TRIES {
            let error = match self.upsert_interactions(&rows).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            // A foreign key: say which. If everybody exists by now, they came in between.
            if sql_state(&error).as_deref() != Some("23503") {
                return Err(described(error));
            }
            self.find_unknown(interactions).await?;
        }
        Err(StoreError::Conflict("users or items of the batch are being deleted at this moment".into()))
    }

    async fn upsert_interactions(&self, rows: &[&Interaction]) -> Result<Written, sqlx::Error> {
        let each =
            |field: fn(&Interaction) -> &str| -> Vec<&str> { rows.iter().map(|row| field(row)).collect() };
        let mut write = self.follow_up.begin(&self.pool).await?;
        let created: Vec<bool> = sqlx::query_scalar(AssertSqlSafe(format!(
            "WITH {}
             INSERT INTO interactions (item_id, user_id, event, occurred_at, weight)
             SELECT item_id, user_id, event,
                 timestamptz 'epoch' + time * interval '1 millisecond', weight
             FROM unnest($2::text[], $1::text[], $3::text[], $4::bigint[], $5::real[])
                 AS new (item_id, user_id, event, time, weight)
             CROSS JOIN (SELECT count(*) FROM locked) AS first
             ORDER BY item_id COLLATE \"C\", user_id COLLATE \"C\", event COLLATE \"C\", time
             ON CONFLICT (item_id, user_id, event, occurred_at)
                 DO UPDATE SET weight = EXCLUDED.weight
                 WHERE interactions.weight <> EXCLUDED.weight
             RETURNING xmax = 0",
            locked_items_and_users()
        )))
        .bind(each(|row| &row.user_id))
        .bind(each(|row| &row.item_id))
        .bind(each(|row| &row.event))
        .bind(rows.iter().map(|row| row.time).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.weight).collect::<Vec<_>>())
        .fetch_all(write.connection())
        .await?;
        let mut users = each(|row| &row.user_id);
        users.sort_unstable();
        users.dedup();
        write.finish(&[], &[], &users).await?;
        Ok(written(rows.len(), &created))
    }

    /// Fails with the first interaction that names an unknown user or item.
    async fn find_unknown(&self, interactions: &[Interaction]) -> Result<(), StoreError> {
        let unknown: Option<(i64, bool)> = sqlx::query_as(
            "SELECT new.position - 1, u.id IS NULL
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY
                 AS new (user_id, item_id, position)
             LEFT JOIN users u ON u.id = new.user_id
             LEFT JOIN items i ON i.id = new.item_id
             WHERE u.id IS NULL OR i.id IS NULL
             ORDER BY new.position LIMIT 1",
        )
        .bind(interactions.iter().map(|row| row.user_id.as_str()).collect::<Vec<_>>())
        .bind(interactions.iter().map(|row| row.item_id.as_str()).collect::<Vec<_>>())
        .fetch_optional(&self.pool)
        .await?;
        let Some((index, is_user)) = unknown else {
            return Ok(());
        };
        let index = index as usize;
        Err(if is_user {
            let id = interactions[index].user_id.clone();
            StoreError::UnknownUser { index, id }
        } else {
            let id = interactions[index].item_id.clone();
            StoreError::UnknownItem { index, id }
        })
    }

    pub(super) async fn require_user(&self, user_id: &str) -> Result<(), StoreError> {
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)")
            .bind(user_id)
            .fetch_one(&self.pool)
            .await
            .map_err(described)?;
        if exists { Ok(()) } else { Err(not_found("user", user_id)) }
    }

    /// Erases a user, with the interactions and all else.
    pub(super) async fn delete_user(&self, id: &str) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        hold(&mut transaction, Held::People, std::iter::once(id)).await?;
        erase(&mut transaction, "DELETE FROM users WHERE id = $1", "user", id).await?;
        Ok(self.follow_up.within(transaction).finish(&[], &[], &[id]).await?)
    }

    /// Deletes an item, with the interactions.
    pub(super) async fn delete_item(&self, id: &str) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        let users = write.users_of(&[id]).await?;
        let done = sqlx::query("DELETE FROM items WHERE id = $1")
            .bind(id)
            .execute(write.connection())
            .await
            .map_err(described)?;
        write.finish(&[], &[id], &strs(&users)).await?;
        if done.rows_affected() > 0 { Ok(()) } else { Err(not_found("item", id)) }
    }

    pub(super) async fn delete_interactions(
        &self,
        user_id: &str,
        filter: &InteractionFilter,
    ) -> Result<u64, StoreError> {
        self.require_user(user_id).await?;
        let mut write = self.begin().await?;
        let removed = remove_interactions(write.connection(), user_id, filter).await?;
        write.finish(&[], &[], &[user_id]).await?;
        Ok(removed)
    }
}

/// Deletes a user's interactions that fit.
pub(super) async fn remove_interactions(
    connection: &mut sqlx::PgConnection,
    user_id: &str,
    filter: &InteractionFilter,
) -> Result<u64, StoreError> {
    let done = sqlx::query(AssertSqlSafe(format!(
        "WITH {}
             DELETE FROM interactions USING (SELECT count(*) FROM locked) AS first
             WHERE user_id = $1[1] AND ($2::text IS NULL OR item_id = $2)
                 AND ($3::text IS NULL OR event = $3)
                 AND ($4::bigint IS NULL
                     OR occurred_at = timestamptz 'epoch' + $4 * interval '1 millisecond')",
        locked_users("")
    )))
    .bind([user_id])
    .bind(filter.item_id.as_deref())
    .bind(filter.event.as_deref())
    .bind(filter.time)
    .execute(connection)
    .await
    .map_err(described)?;
    Ok(done.rows_affected())
}

/// Writes users that are unique and in the order of their ids.
pub(super) async fn upsert_users(
    connection: &mut sqlx::PgConnection,
    users: &[&User],
) -> Result<Written, StoreError> {
    let ids: Vec<&str> = users.iter().map(|user| user.user_id.as_str()).collect();
    let profiles: Vec<String> =
        users.iter().map(|user| rows::profile_json(&user.profile)).collect::<Result<_, _>>()?;
    let created: Vec<bool> = sqlx::query_scalar(
        "INSERT INTO users (id, profile)
         SELECT id, profile::jsonb FROM unnest($1::text[], $2::text[]) AS new (id, profile)
         ORDER BY id COLLATE \"C\"
         ON CONFLICT (id) DO UPDATE SET profile = EXCLUDED.profile
             WHERE users.profile <> EXCLUDED.profile
         RETURNING xmax = 0",
    )
    .bind(&ids)
    .bind(&profiles)
    .fetch_all(connection)
    .await
    .map_err(described)?;
    Ok(written(users.len(), &created))
}

pub(super) async fn upsert_items(
    connection: &mut sqlx::PgConnection,
    items: &[Item],
) -> Result<Written, StoreError> {
    for (index, item) in items.iter().enumerate() {
        rows::attributes_json(index, item)?;
    }
    let items = last_of_each(items, |item| item.item_id.as_str());
    let text = |field: fn(&Item) -> &str| -> Vec<&str> { items.iter().map(|item| field(item)).collect() };
    let attributes: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(index, item)| rows::attributes_json(index, item))
        .collect::<Result<_, _>>()?;
    let contraindications: Vec<String> =
        items.iter().map(|item| rows::contraindications_json(item)).collect::<Result<_, _>>()?;
    let created: Vec<bool> = sqlx::query_scalar(
        "INSERT INTO items (id, kind, name, attributes, latitude, longitude, hidden, repeatable,
             contraindications)
         SELECT id, kind, name, attributes::jsonb, latitude, longitude, hidden, repeatable,
             contraindications::jsonb
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[],
             $7::boolean[], $8::boolean[], $9::text[])
             AS new (id, kind, name, attributes, latitude, longitude, hidden, repeatable,
                 contraindications)
         ORDER BY id COLLATE \"C\"
         ON CONFLICT (id) DO UPDATE SET kind = EXCLUDED.kind, name = EXCLUDED.name,
             attributes = EXCLUDED.attributes, latitude = EXCLUDED.latitude,
             longitude = EXCLUDED.longitude, hidden = EXCLUDED.hidden,
             repeatable = EXCLUDED.repeatable, contraindications = EXCLUDED.contraindications
             WHERE items IS DISTINCT FROM EXCLUDED
         RETURNING xmax = 0",
    )
    .bind(text(|item| &item.item_id))
    .bind(text(|item| item.kind.as_str()))
    .bind(text(|item| &item.name))
    .bind(&attributes)
    .bind(items.iter().map(|item| item.latitude).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.longitude).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.hidden).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.repeatable).collect::<Vec<_>>())
    .bind(&contraindications)
    .fetch_all(connection)
    .await
    .map_err(described)?;
    Ok(written(items.len(), &created))
}

/// `created` has an entry for each row that was written, true where it is new.
pub(super) fn written(rows: usize, created: &[bool]) -> Written {
    let new = created.iter().filter(|created| **created).count();
    Written {
        created: new as u64,
        updated: (created.len() - new) as u64,
        unchanged: (rows - created.len()) as u64,
    }
}
