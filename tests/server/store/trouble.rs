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

#[tokio::test]
async fn nobody_else_on_the_machine_reads_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let database = Database::sqlite().await.with_people_and_things().await;
    let folder = database.folder.as_ref().unwrap().path();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        files += 1;
    }
    assert!(files >= 2, "the database and its log");
}

/// A database that takes no writes, a lock that somebody holds, a right that was taken away: all of
/// them end, and until then the same call may be made again.
#[tokio::test]
async fn what_an_operator_ends_is_not_the_callers_fault() {
    let database = Database::sqlite().await.with_people_and_things().await;
    let file = database.url.trim_start_matches("sqlite://").to_owned();
    let read_only =
        medserve::store::connect(&format!("sqlite://{file}?mode=ro"), &StoreOptions::default()).await;
    if let Ok(store) = read_only {
        assert!(matches!(store.put_users(&[user("u9")]).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.tick_audit(Duration::from_secs(1)).await, Err(StoreError::Unavailable(_))));
    }
    let Some(database) = Database::postgres().await else { return };
    database
        .plain_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'no' USING ERRCODE = TG_ARGV[0]; END $$;",
        )
        .await;
    for code in ["25006", "42501", "55P03", "53100", "58030"] {
        let sql = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH STATEMENT EXECUTE FUNCTION refuse('{code}')"
        );
        database.plain_sql(&sql).await;
        let refused = database.store.put_users(&[user("u9")]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{code}: {refused:?}");
        database.plain_sql("DROP TRIGGER refuse ON users").await;
    }
    database.store.put_users(&[user("u9")]).await.unwrap();
}

/// The network falls silent: nothing comes any more, and nobody says that the connection is gone. What
/// was asked is dropped by who asked it; then the same store answers over new connections.
#[tokio::test]
async fn after_a_silence_of_the_network_there_are_new_connections() {
    let Some(database) = Database::postgres().await else { return };
    let database = database.with_people_and_things().await;
    let (address, rest) = database.url.split_once('@').unwrap().1.split_once('/').unwrap();
    let wire = crate::support::wire::Wire::to(address.to_owned()).await;
    let options = StoreOptions { max_connections: 2, acquire_timeout: Duration::from_millis(500) };
    let store =
        connect(&format!("postgres://postgres@127.0.0.1:{}/{rest}", wire.port), &options).await.unwrap();
    store.ping().await.unwrap();
    wire.silent.send(true).unwrap();
    for _ in 0..4 {
        let asked = tokio::time::timeout(Duration::from_millis(300), store.get_user("u1")).await;
        drop(asked);
    }
    for attempt in 0.. {
        if store.get_user("u1").await.is_ok() {
            break;
        }
        assert!(attempt < 60, "the store never answers again");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
