//! The change feed: whoever writes, in whatever order transactions commit, every reader hears.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use medserve::store::{InteractionFilter, StoreOptions, connect};
use recommend::{Cursor, Kind};
use sqlx::{Connection, Executor};

use super::database::{Database, changes, interaction, item, user};
use super::on_both;

on_both!(
    every_kind_of_write_is_named,
    writes_of_another_replica_and_of_plain_sql_are_named,
    what_did_not_happen_is_not_named,
    no_write_of_many_at_once_is_lost,
    a_reader_cut_off_for_too_long_is_told_to_load_again,
    a_cursor_of_another_store_means_load_again,
    replicas_may_start_at_the_same_moment,
);

async fn every_kind_of_write_is_named(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &*database.store;
    let mut cursor = store.cursor().await.unwrap();
    let quiet = changes(store, &mut cursor).await;
    assert!(quiet.users.is_empty() && quiet.items.is_empty() && !quiet.reload);

    let mut new = user("u1");
    new.profile.birth_year = Some(1980);
    store.put_users(&[new, user("u6")]).await.unwrap();
    assert_eq!(changes(store, &mut cursor).await.users, ["u1", "u6"]);

    let rows = [interaction("u2", "d1", 1, 1.0), interaction("u3", "d2", 1, 1.0)];
    store.put_interactions(&rows).await.unwrap();
    assert_eq!(changes(store, &mut cursor).await.users, ["u2", "u3"]);

    store.put_interactions(&[interaction("u2", "d1", 1, 2.0)]).await.unwrap();
    assert_eq!(changes(store, &mut cursor).await.users, ["u2"]);

    // A new kind moves the item's interactions from one matrix to another.
    store.put_items(&[item("d1", Kind::Advice)]).await.unwrap();
    let moved = changes(store, &mut cursor).await;
    assert_eq!((moved.users, moved.items), (vec!["u2".to_owned()], vec!["d1".to_owned()]));

    store.delete_interactions("u2", &InteractionFilter::default()).await.unwrap();
    assert_eq!(changes(store, &mut cursor).await.users, ["u2"]);

    // Interactions that go with an item are their users' change.
    store.delete_item("d2").await.unwrap();
    let gone = changes(store, &mut cursor).await;
    assert_eq!((gone.users, gone.items), (vec!["u3".to_owned()], vec!["d2".to_owned()]));

    store.delete_user("u5").await.unwrap();
    assert_eq!(changes(store, &mut cursor).await.users, ["u5"]);
    let quiet = changes(store, &mut cursor).await;
    assert!(quiet.users.is_empty() && quiet.items.is_empty() && !quiet.reload);
}

async fn writes_of_another_replica_and_of_plain_sql_are_named(database: Database) {
    let database = database.with_people_and_things().await;
    let other = database.replica().await;
    let mut cursor = other.cursor().await.unwrap();
    database.store.put_interactions(&[interaction("u4", "d1", 1, 1.0)]).await.unwrap();
    assert_eq!(changes(&*other, &mut cursor).await.users, ["u4"]);

    database
        .plain_sql("INSERT INTO interactions (user_id, item_id, event) VALUES ('u1', 'd1', 'visit'), ('u2', 'd1', 'visit')")
        .await;
    assert_eq!(changes(&*other, &mut cursor).await.users, ["u1", "u2"]);
    // Left out: weighs 1, happened now.
    let states = other.users(&["u1".into()]).await.unwrap();
    let (_, row) = &states[0].interactions[0];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(row.weight, 1.0);
    assert!((row.time - now.as_millis() as i64).abs() < 60_000, "{}", row.time);

    database.plain_sql("UPDATE interactions SET user_id = 'u3' WHERE user_id = 'u1'").await;
    assert_eq!(changes(&*other, &mut cursor).await.users, ["u1", "u3"]);
    database.plain_sql("UPDATE items SET hidden = NOT hidden WHERE id = 'h1'").await;
    assert_eq!(changes(&*other, &mut cursor).await.items, ["h1"]);
    database.plain_sql("DELETE FROM users WHERE id IN ('u2', 'u3')").await;
    assert_eq!(changes(&*other, &mut cursor).await.users, ["u2", "u3"]);
    assert_eq!(other.counts().await.unwrap().interactions, 1);
}

async fn what_did_not_happen_is_not_named(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &*database.store;
    store.put_interactions(&[interaction("u1", "d1", 1, 1.0)]).await.unwrap();
    let mut cursor = store.cursor().await.unwrap();
    // The same again, and one that fails as a whole.
    store.put_interactions(&[interaction("u1", "d1", 1, 1.0)]).await.unwrap();
    store.put_users(&[user("u1")]).await.unwrap();
    let failing = [interaction("u2", "d1", 1, 1.0), interaction("u2", "nothing", 1, 1.0)];
    store.put_interactions(&failing).await.unwrap_err();
    let mut load = store.begin_load().await.unwrap();
    load.users(&[user("u7")]).await.unwrap();
    drop(load);
    let quiet = changes(store, &mut cursor).await;
    assert!(quiet.users.is_empty() && quiet.items.is_empty() && !quiet.reload, "{quiet:?}");
}

/// Several writers at once, a reader all the while: in the end it has heard of everybody.
async fn no_write_of_many_at_once_is_lost(database: Database) {
    let database = database.with_people_and_things().await;
    let reader = database.replica().await;
    let mut cursor = reader.cursor().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let reading = {
        let done = done.clone();
        tokio::spawn(async move {
            let mut heard = BTreeSet::new();
            loop {
                let last = done.load(Ordering::SeqCst);
                heard.extend(changes(&*reader, &mut cursor).await.users);
                if last {
                    return heard;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = database.store.clone();
            tokio::spawn(async move {
                for n in 0..15 {
                    let id = format!("w{writer}-{n}");
                    store.put_users(&[user(&id)]).await.unwrap();
                    store.put_interactions(&[interaction(&id, "d1", 1, 1.0)]).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let heard = reading.await.unwrap();
    for writer in 0..8 {
        for n in 0..15 {
            let id = format!("w{writer}-{n}");
            assert!(heard.contains(&id), "{id} was lost");
        }
    }
}

async fn a_reader_cut_off_for_too_long_is_told_to_load_again(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &*database.store;
    let mut old = store.cursor().await.unwrap();
    store.put_interactions(&[interaction("u1", "d1", 1, 1.0)]).await.unwrap();
    // Nothing is old enough to go, but a mark is set.
    assert_eq!(store.trim_changes(Duration::from_secs(3_600)).await.unwrap(), 0);
    let mut copy = old.clone();
    assert_eq!(changes(store, &mut copy).await.users, ["u1"]);
    let mut fresh = store.cursor().await.unwrap();

    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(store.trim_changes(Duration::from_millis(200)).await.unwrap() > 0);
    assert_eq!(database.number("SELECT count(*) FROM changes").await, 0);
    assert!(changes(store, &mut old).await.reload);
    let quiet = changes(store, &mut fresh).await;
    assert!(!quiet.reload && quiet.users.is_empty());
    // Having loaded, the one cut off hears again.
    store.put_interactions(&[interaction("u2", "d1", 1, 1.0)]).await.unwrap();
    for cursor in [&mut old, &mut fresh] {
        let heard = changes(store, cursor).await;
        assert_eq!((heard.users, heard.reload), (vec!["u2".to_owned()], false));
    }
}

async fn a_cursor_of_another_store_means_load_again(database: Database) {
    let store = &*database.store;
    for odd in ["", "nonsense", "'; DROP TABLE users; --", "99999999999999999999", "987654321"] {
        let changes = store.changes(&Cursor(odd.into())).await.unwrap();
        assert!(changes.reload, "{odd}");
        assert!(!store.changes(&changes.cursor).await.unwrap().reload, "{odd}");
    }
}

async fn replicas_may_start_at_the_same_moment(database: Database) {
    let empty = if database.is_postgres() {
        Database::postgres_without_tables().await
    } else {
        let folder = database.folder.as_ref().unwrap().path();
        format!("sqlite://{}/fresh.db", folder.display())
    };
    let starting: Vec<_> = (0..8)
        .map(|_| {
            let url = empty.clone();
            tokio::spawn(async move { connect(&url, &StoreOptions::default()).await })
        })
        .collect();
    for started in starting {
        let store = started.await.unwrap().unwrap();
        assert_eq!(store.counts().await.unwrap(), Default::default());
    }
}

/// What a feed of "numbers above the last one seen" loses: the transaction that began first and
/// wrote first commits last, after the reader has seen the later one.
#[tokio::test]
async fn commits_out_of_order_lose_nothing() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let database = database.with_people_and_things().await;
    let store = &*database.store;
    let mut cursor = store.cursor().await.unwrap();

    let mut early = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let mut late = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let write = |user| {
        sqlx::AssertSqlSafe(format!(
            "BEGIN; INSERT INTO interactions (user_id, item_id, event) VALUES ('{user}', 'd1', 'visit')"
        ))
    };
    sqlx::raw_sql(write("u1")).execute(&mut early).await.unwrap();
    sqlx::raw_sql(write("u2")).execute(&mut late).await.unwrap();
    assert!(changes(store, &mut cursor).await.users.is_empty());

    // The reader does not wait for the early one either.
    late.execute("COMMIT").await.unwrap();
    assert_eq!(changes(store, &mut cursor).await.users, ["u2"]);
    early.execute("COMMIT").await.unwrap();
    assert_eq!(changes(store, &mut cursor).await.users, ["u1"]);
    assert!(changes(store, &mut cursor).await.users.is_empty());
}

/// Rows of a transaction that stays open past the time the log is kept are old when they become
/// visible, and must not be trimmed before they were read.
#[tokio::test]
async fn trimming_spares_what_commits_late() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let database = database.with_people_and_things().await;
    let store = &*database.store;
    let mut long = sqlx::PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO users (id) VALUES ('late')").execute(&mut long).await.unwrap();
    store.trim_changes(Duration::ZERO).await.unwrap();
    let mut cursor = store.cursor().await.unwrap();
    store.trim_changes(Duration::ZERO).await.unwrap();
    long.execute("COMMIT").await.unwrap();
    // This cuts at a snapshot of before, or of now: then the reader is told to load.
    store.trim_changes(Duration::from_millis(1)).await.unwrap();
    let heard = changes(store, &mut cursor).await;
    assert!(heard.reload || heard.users == ["late"], "{heard:?}");
}

#[tokio::test]
async fn an_emptied_table_means_load_again() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let database = database.with_people_and_things().await;
    let mut cursor = database.store.cursor().await.unwrap();
    database.plain_sql("TRUNCATE interactions").await;
    assert!(changes(&*database.store, &mut cursor).await.reload);
    assert!(!changes(&*database.store, &mut cursor).await.reload);
}

/// A dump restored into a new cluster has transaction numbers from the future.
#[tokio::test]
async fn a_restored_dump_does_not_reload_for_ever() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let database = database.with_people_and_things().await;
    database
        .plain_sql(
            "INSERT INTO changes VALUES ('900000000', 'ghost');
             INSERT INTO change_marks VALUES (now() - interval '1 day', '900000000:900000000:');
             INSERT INTO change_horizon VALUES (true, '900000000:900000000:')",
        )
        .await;
    let replica = database.replica().await;
    let mut cursor = replica.cursor().await.unwrap();
    replica.trim_changes(Duration::from_secs(60)).await.unwrap();
    let quiet = changes(&*replica, &mut cursor).await;
    assert!(!quiet.reload && quiet.users.is_empty(), "{quiet:?}");
}

/// A cluster's distributed tables cannot have triggers: there every write of the store does
/// their work itself.
#[tokio::test]
async fn without_triggers_the_store_fills_the_feed_itself() {
    let Some(mut database) = Database::postgres().await else {
        return;
    };
    database.drop_triggers().await;
    every_kind_of_write_is_named(database).await;
}

#[tokio::test]
async fn without_triggers_a_load_fills_the_feed_itself() {
    let Some(mut database) = Database::postgres().await else {
        return;
    };
    database.drop_triggers().await;
    let store = &*database.store;
    let mut cursor = store.cursor().await.unwrap();
    let mut load = store.begin_load().await.unwrap();
    load.users(&[user("u1")]).await.unwrap();
    load.items(&[item("d1", Kind::Drug)]).await.unwrap();
    load.interactions(&[interaction("u2", "d2", 1, 1.0)]).await.unwrap();
    load.commit(Some(Kind::Drug)).await.unwrap();
    let heard = changes(store, &mut cursor).await;
    assert_eq!(
        (heard.users, heard.items),
        (vec!["u1".to_owned(), "u2".to_owned()], vec!["d1".to_owned(), "d2".to_owned()])
    );
}
