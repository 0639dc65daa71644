//! The writes row by row: within a transaction of one process there is no round trip to save.

use sqlx::SqliteConnection;

use crate::store::{StoreError, Written, last_of_each, rows};
use recommend::{Interaction, Item, Term, User};

pub(super) const USER_EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?)";
pub(super) const ITEM_EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM items WHERE id = ?)";

pub(super) async fn exists(
    connection: &mut SqliteConnection,
    sql: &'static str,
    id: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(sql).bind(id).fetch_one(connection).await?)
}

/// Counts what one upsert did: its RETURNING gives no row where nothing changed.
pub(super) fn count(written: &mut Written, existed: bool, wrote: bool) {
    match (existed, wrote) {
        (false, _) => written.created += 1,
        (true, true) => written.updated += 1,
        (true, false) => written.unchanged += 1,
    }
}

pub(super) async fn upsert_users(
    connection: &mut SqliteConnection,
    users: &[User],
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    for user in last_of_each(users, |user| user.user_id.as_str()) {
        let existed = exists(connection, USER_EXISTS, &user.user_id).await?;
        let done = sqlx::query(
            "INSERT INTO users (id, profile) VALUES (?, ?)
             ON CONFLICT (id) DO UPDATE SET profile = excluded.profile
                 WHERE users.profile <> excluded.profile",
        )
        .bind(&user.user_id)
        .bind(rows::profile_json(&user.profile)?)
        .execute(&mut *connection)
        .await?;
        count(&mut written, existed, done.rows_affected() > 0);
    }
    Ok(written)
}

pub(super) async fn upsert_terms(
    connection: &mut SqliteConnection,
    terms: &[Term],
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    for term in last_of_each(terms, |term| (term.kind.as_str(), term.name.as_str())) {
        let existed = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM terms WHERE kind = ? AND name = ?)")
            .bind(term.kind.as_str())
            .bind(&term.name)
            .fetch_one(&mut *connection)
            .await?;
        let done = sqlx::query(
            "INSERT INTO terms (kind, name, term) VALUES (?, ?, ?)
             ON CONFLICT (kind, name) DO UPDATE SET term = excluded.term WHERE terms.term <> excluded.term",
        )
        .bind(term.kind.as_str())
        .bind(&term.name)
        .bind(rows::term_json(term)?)
        .execute(&mut *connection)
        .await?;
        count(&mut written, existed, done.rows_affected() > 0);
    }
    Ok(written)
}

pub(super) async fn upsert_items(
    connection: &mut SqliteConnection,
    items: &[Item],
) -> Result<Written, StoreError> {
    for (index, item) in items.iter().enumerate() {
        rows::attributes_json(index, item)?;
    }
    let mut written = Written::default();
    for item in last_of_each(items, |item| item.item_id.as_str()) {
        let existed = exists(connection, ITEM_EXISTS, &item.item_id).await?;
        let done = sqlx::query(
            "INSERT INTO items (id, kind, name, attributes, latitude, longitude, hidden,
                 repeatable, contraindications)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name,
                 attributes = excluded.attributes, latitude = excluded.latitude,
                 longitude = excluded.longitude, hidden = excluded.hidden,
                 repeatable = excluded.repeatable,
                 contraindications = excluded.contraindications
                 WHERE (kind, name, attributes, latitude, longitude, hidden, repeatable,
                     contraindications)
                 IS NOT (excluded.kind, excluded.name, excluded.attributes, excluded.latitude,
                     excluded.longitude, excluded.hidden, excluded.repeatable,
                     excluded.contraindications)",
        )
        .bind(&item.item_id)
        .bind(item.kind.as_str())
        .bind(&item.name)
        .bind(rows::attributes_json(0, item)?)
        .bind(item.latitude)
        .bind(item.longitude)
        .bind(item.hidden)
        .bind(item.repeatable)
        .bind(rows::contraindications_json(item)?)
        .execute(&mut *connection)
        .await?;
        count(&mut written, existed, done.rows_affected() > 0);
    }
    Ok(written)
}

pub(super) async fn upsert_interaction(
    connection: &mut SqliteConnection,
    row: &Interaction,
    written: &mut Written,
) -> Result<(), StoreError> {
    // Two statements rather than an upsert: which of them wrote says what happened.
    let inserted = sqlx::query(
        "INSERT INTO interactions (user_id, item_id, event, occurred_at, weight)
         VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&row.user_id)
    .bind(&row.item_id)
    .bind(&row.event)
    .bind(row.time)
    .bind(row.weight)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if inserted > 0 {
        written.created += 1;
        return Ok(());
    }
    let updated = sqlx::query(
        "UPDATE interactions SET weight = ?5
         WHERE user_id = ?1 AND item_id = ?2 AND event = ?3 AND occurred_at = ?4
             AND weight <> ?5",
    )
    .bind(&row.user_id)
    .bind(&row.item_id)
    .bind(&row.event)
    .bind(row.time)
    .bind(row.weight)
    .execute(connection)
    .await?
    .rows_affected();
    if updated > 0 {
        written.updated += 1;
    } else {
        written.unchanged += 1;
    }
    Ok(())
}
