//! When the database is away, wrong, or holds what nobody should have written.

use std::time::Duration;

use medserve::store::{StoreError, StoreOptions, connect};
use recommend::{Profile, SourceError};
use sqlx::{Connection, Executor};

use super::database::{Database, interaction, user};
use super::on_both;
use crate::support::wire::Wire;

on_both!(
    a_healthy_database_answers_and_counts_its_connections,
    rows_nobody_should_have_written_do_not_stop_a_scan,
);

async fn a_healthy_database_answers_and_counts_its_connections(database: Database) {
    database.store.ping().await.unwrap();
    let usage = database.store.pool_usage();
    assert!(usage.open >= 1 && usage.idle <= usage.open && usage.open <= usage.max, "{usage:?}");
    database.store.close().await;
    assert!(matches!(database.store.ping().await, Err(StoreError::Unavailable(_))));
}

async fn rows_nobody_should_have_written_do_not_stop_a_scan(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    database
        .plain_sql(
            "UPDATE users SET profile = '{\"allergies\": \"all of them\"}' WHERE id = 'u1';
             UPDATE items SET contraindications = '{\"conditions\": 7}' WHERE id = 'd1'",
        )
        .await;
    // Of such a user nothing is known; such an item is not recommended.
    let mut profile = None;
    store
        .scan_users(&mut |user| {
            if user.user_id == "u1" {
                profile = Some(user.profile);
            }
        })
        .await
        .unwrap();
    assert_eq!(profile, Some(Profile::default()));
    let mut hidden = None;
    store
        .scan_items(&mut |item| {
            if item.item_id == "d1" {
                hidden = Some(item.hidden);
            }
        })
        .await
        .unwrap();
    assert_eq!(hidden, Some(true));
    // Who asks for it is not told that it is empty.
    assert!(matches!(store.get_user("u1").await, Err(StoreError::Internal(_))));
    assert!(matches!(store.get_item("d1").await, Err(StoreError::Internal(_))));
}

#[tokio::test]
async fn addresses_that_lead_nowhere_are_refused_without_repeating_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let not_a_database = folder.path().join("notes.txt");
    std::fs::write(&not_a_database, "Dear diary, today I was a text file. ".repeat(100)).unwrap();
    for url in [
        "postgres://medserve:hunter2@127.0.0.1:1/medserve".to_owned(),
        "postgres://medserve:hunter2@[broken/medserve".to_owned(),
        "mysql://medserve:hunter2@localhost/medserve".to_owned(),
        "hunter2".to_owned(),
        "sqlite:///no/such/folder/hunter2/store.db".to_owned(),
        format!("sqlite://{}", not_a_database.display()),
    ] {
        let Err(error) = connect(&url, &StoreOptions::default()).await else { panic!("{url} was accepted") };
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

/// As `docs/security.md` sets it up: the owner applied the migrations, the server is another role.
#[tokio::test]
async fn a_role_that_owns_nothing_serves_and_cannot_take_the_audit_s_triggers_away() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let name = database.url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let role = format!("server_of_{name}");
    database
        .plain_sql(&format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             CREATE ROLE {role} LOGIN;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
        ))
        .await;
    let (scheme, rest) = database.url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let url = format!("{scheme}://{role}@{place}");
    let store = connect(&url, &StoreOptions::default()).await.unwrap();
    store.put_users(&[user("u1")]).await.unwrap();
    store.delete_user("u1").await.unwrap();
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    for statement in ["ALTER TABLE audit DISABLE TRIGGER ALL", "DROP TABLE audit", "TRUNCATE audit"] {
        assert!(connection.execute(statement).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn while_the_database_is_away_calls_say_so_and_afterwards_they_work_again() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let database = database.with_people_and_things().await;
    let (address, rest) = database.url.split_once('@').unwrap().1.split_once('/').unwrap();
    let wire = Wire::to(address.to_owned()).await;
    let options = StoreOptions { acquire_timeout: Duration::from_millis(500), ..StoreOptions::default() };
    let url = format!("postgres://postgres@127.0.0.1:{}/{rest}", wire.port);
    let store = connect(&url, &options).await.unwrap();
    store.ping().await.unwrap();
    let cursor = store.cursor().await.unwrap();

    wire.whole.send(false).unwrap();
    let row = [interaction("u1", "d1", 1, 1.0)];
    for _ in 0..3 {
        let error = store.put_interactions(&row).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert_eq!(error.to_string(), "the database is not available at the moment");
        assert!(matches!(store.put_users(&[user("u1")]).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.delete_user("u1").await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.changes(&cursor).await, Err(SourceError::Unavailable(_))));
    }

    wire.whole.send(true).unwrap();
    store.put_interactions(&row).await.unwrap();
    assert_eq!(store.changes(&cursor).await.unwrap().users, ["u1"]);
}
