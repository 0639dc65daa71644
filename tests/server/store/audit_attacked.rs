//! The audit under the hands of somebody who owns the database: what is hidden, emptied, put back or made hollow shows.

use std::time::Duration;

use medserve::store::audit::export::{Seal, export, read_seal, verify_export};
use medserve::store::audit::verify::{Verified, goes_on, verify};
use medserve::store::{AuditRow, Store, StoreOptions, connect, tenant};

use super::audit::{as_owner, key, now, row};
use super::database::{Database, user};
use super::on_both;

fn about(sequence: i64, people: &[&str]) -> AuditRow {
    AuditRow { people: people.iter().map(ToString::to_string).collect(), ..row(sequence, now()) }
}

async fn findings(store: &dyn Store) -> Vec<String> {
    verify(store, &key()).await.unwrap().findings
}

/// Holds what `verify` finds to these words, each in a finding of its own.
async fn found(store: &dyn Store, words: &[&str]) {
    let found = findings(store).await;
    assert_eq!(found.len(), words.len(), "{found:?}");
    for words in words {
        assert!(found.iter().any(|finding| finding.contains(words)), "{words} is not in {found:?}");
    }
}

async fn names_that_were_hidden_changed_or_added_show(database: Database) {
    let store = database.store.as_ref();
    store.append_audit(&[about(0, &["a"]), about(1, &["a", "b"]), about(2, &[])], &key()).await.unwrap();
    found(store, &[]).await;
    for (sql, words) in [
        (
            "DELETE FROM audit_people WHERE person = 'a'",
            &["row 1 is not found by 1 of the 1", "row 2 is not found by 1 of the 2"][..],
        ),
        (
            "UPDATE audit_people SET person = 'c' WHERE person = 'b'",
            &["row 2 is not found by 1 of the 2", "row 2 is found by 1 people"],
        ),
        (
            "UPDATE audit_people SET number = 3 WHERE person = 'b'",
            &["row 2 is not found by 1 of the 2", "row 3 is found by 1 people"],
        ),
        ("INSERT INTO audit_people (person, number) VALUES ('d', 3)", &["row 3 is found by 1 people"]),
        (
            "INSERT INTO audit_people (person, number) VALUES ('d', 4), ('d', -1)",
            &["row 4 that is not there", "row -1 that is not there"],
        ),
        ("DELETE FROM audit_people", &["row 1 is not found", "row 2 is not found by 2 of the 2"]),
    ] {
        database.plain_sql(sql).await;
        found(store, words).await;
        // In the words of the operations page.
        let values = if database.is_postgres() {
            "jsonb_array_elements_text(people) AS value"
        } else {
            "json_each(people)"
        };
        let again = format!(
            "INSERT INTO audit_people (person, number) SELECT DISTINCT value, number FROM audit, {values}"
        );
        database.plain_sql(&format!("DELETE FROM audit_people; {again}")).await;
        found(store, &[]).await;
    }
}

/// Takes every row and the end of the chain away, as if there never had been any.
async fn empty(database: &Database) {
    let sql = "DELETE FROM audit; DELETE FROM audit_people;
        UPDATE audit_head SET number = 0, chain = '', dropped = 0, dropped_chain = '', signature = ''";
    as_owner(database, sql).await;
}

/// Has the database count its rows from the beginning.
async fn count_anew(database: &Database) {
    match database.is_postgres() {
        true => database.plain_sql("ALTER SEQUENCE audit_number_seq RESTART").await,
        false => database.plain_sql("DELETE FROM sqlite_sequence WHERE name = 'audit'").await,
    }
}

async fn seal_of(store: &dyn Store) -> Seal {
    export(store, &key(), 0, &mut Vec::new()).await.unwrap()
}

async fn since(store: &dyn Store, seal: &Seal) -> Vec<String> {
    let mut result = Verified::default();
    goes_on(store, seal, &mut result).await.unwrap();
    result.findings
}

async fn an_audit_that_was_emptied_is_not_a_new_one(database: Database) {
    let store = database.store.as_ref();
    found(store, &[]).await;
    store.append_audit(&[about(0, &["a"]), about(1, &[])], &key()).await.unwrap();
    let kept = seal_of(store).await;
    store.append_audit(&[about(2, &[])], &key()).await.unwrap();
    assert_eq!(since(store, &kept).await, [""; 0]);

    empty(&database).await;
    found(store, &["it was emptied"]).await;
    // Going on would sign it.
    let refused = store.append_audit(&[about(3, &[])], &key()).await.unwrap_err();
    assert!(refused.to_string().contains("numbers up to 3"), "{refused}");

    count_anew(&database).await;
    found(store, &[]).await;
    database.plain_sql("UPDATE audit_stream SET number = 2").await;
    found(store, &["rows up to 2 were sent to the syslog receiver"]).await;
    assert!(store.append_audit(&[about(3, &[])], &key()).await.is_err());
    database.plain_sql("UPDATE audit_stream SET number = 0").await;

    // Whoever thinks of all of that is found out by the people that are there, and by what is kept elsewhere.
    store.put_users(&[user("u1")]).await.unwrap();
    found(store, &["it is not empty"]).await;
    assert!(since(store, &kept).await[0].contains("ends with row 2, and the audit with row 0"));
    store.append_audit(&[about(3, &[]), about(4, &[]), about(5, &[])], &key()).await.unwrap();
    found(store, &[]).await;
    assert!(since(store, &kept).await[0].contains("row 2 is not the one"));
}

async fn what_was_imported_before_the_first_start_is_settled_by_a_signature(database: Database) {
    let database = database.with_people_and_things().await;
    let store = database.store.as_ref();
    found(store, &["`medserve audit sign` settles it"]).await;
    store.sign_audit(&key()).await.unwrap();
    found(store, &[]).await;
    store.append_audit(&[about(0, &[])], &key()).await.unwrap();
    found(store, &[]).await;
}

async fn an_earlier_end_that_was_put_back_shows(database: Database) {
    let store = database.store.as_ref();
    store.append_audit(&[about(0, &[]), about(1, &[])], &key()).await.unwrap();
    let earlier = store.audit_head().await.unwrap();
    store.append_audit(&[about(2, &[]), about(3, &[])], &key()).await.unwrap();
    let kept = seal_of(store).await;
    let back = format!(
        "DELETE FROM audit WHERE number > 2;
         UPDATE audit_head SET number = 2, chain = '{}', signature = '{}'",
        earlier.chain, earlier.signature
    );
    as_owner(&database, &back).await;
    match database.is_postgres() {
        // There a number may be gone without a row.
        true => found(store, &[]).await,
        false => found(store, &["rows up to 4 were added"]).await,
    }
    assert!(since(store, &kept).await[0].contains("ends with row 4, and the audit with row 2"));
}

async fn a_hollow_trigger_of_the_right_name_is_noticed(database: Database) {
    let store = &database.store;
    let hollow: &[(&str, &[&str])] = match database.is_postgres() {
        false => &[
            (
                "DROP TRIGGER audit_is_kept;
                 CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit WHEN false BEGIN SELECT 1; END",
                &["audit_is_kept"],
            ),
            (
                "DROP TRIGGER audit_people_are_named;
                 CREATE TRIGGER audit_people_are_named AFTER INSERT ON audit WHEN NEW.people <> '[]' BEGIN
                     INSERT OR IGNORE INTO audit_people (person, number) SELECT value, NEW.number
                     FROM json_each(NEW.people) WHERE value <> 'a'; END",
                &["audit_is_kept", "audit_people_are_named"],
            ),
        ],
        true => &[
            (
                "DROP TRIGGER audit_is_kept ON audit; CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit
                     FOR EACH ROW WHEN (OLD.status = 401) EXECUTE FUNCTION medserve_audit_is_kept()",
                &["audit_is_kept"],
            ),
            (
                "CREATE OR REPLACE FUNCTION medserve_audit_people() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN RETURN NULL; END $$",
                &["audit_is_kept", "audit_people_are_named"],
            ),
            (
                "CREATE SCHEMA lax; ALTER FUNCTION medserve_audit_is_kept() SET search_path = lax, public",
                &["audit_is_kept", "audit_is_not_emptied", "audit_people_are_named"],
            ),
        ],
    };
    for (sql, names) in hollow {
        database.plain_sql(sql).await;
        assert_eq!(store.missing_audit_guards().await.unwrap(), *names, "{sql}");
    }
    let told = findings(store.as_ref()).await;
    assert!(told[0].contains("audit_is_kept") && told[0].contains("not there as it was made"), "{told:?}");
}

/// A trigger of somebody else on the audit is told, and what it keeps from being written is no success.
async fn a_foreign_trigger_is_noticed(database: Database) {
    let store = &database.store;
    store.append_audit(&[about(0, &["a"])], &key()).await.unwrap();
    database
        .plain_sql(match database.is_postgres() {
            false => "CREATE TRIGGER strange BEFORE INSERT ON audit WHEN NEW.sequence = 1 BEGIN SELECT RAISE(IGNORE); END",
            true => {
                "CREATE FUNCTION strange() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN RETURN CASE WHEN NEW.sequence <> 1 THEN NEW END; END $$;
                 CREATE TRIGGER strange BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION strange()"
            }
        })
        .await;
    assert!(store.append_audit(&[about(1, &["a"])], &key()).await.is_err());
    assert!(store.append_audit(&[about(2, &["a"]), about(1, &["a"])], &key()).await.is_err());
    assert_eq!(store.foreign_audit_triggers().await.unwrap(), ["strange"]);
    let told = findings(store.as_ref()).await;
    assert!(matches!(told.as_slice(), [only] if only.contains("strange")), "{told:?}");
}

/// A tenant's triggers are held to its own schema, and stand.
async fn the_triggers_of_a_tenant_stand(database: Database) {
    let url = tenant::address(&database.url, "north").unwrap();
    for _ in 0..2 {
        let store = connect(&url, &StoreOptions::default()).await.unwrap();
        assert_eq!(store.missing_audit_guards().await.unwrap(), [""; 0]);
        store.append_audit(&[about(0, &["a"])], &key()).await.unwrap();
        found(store.as_ref(), &[]).await;
    }
}

async fn an_audit_is_verified_while_a_server_writes_and_drops(database: Database) {
    let store = database.store.as_ref();
    const DAY_MS: i64 = 86_400_000;
    let key = key();
    for round in 0..4 {
        let first = round * 10_000;
        let old: Vec<AuditRow> =
            (0..2500).map(|n| AuditRow { run: 1, ..row(first + n, now() - 8 * DAY_MS) }).collect();
        store.append_audit(&old, &key).await.unwrap();
        database.plain_sql("UPDATE audit_clock SET ms = ms + 691200000").await;
        let writing = async {
            for n in 0..20 {
                store
                    .append_audit(&[AuditRow { run: 2, ..about(first + n, &["a", "b"]) }], &key)
                    .await
                    .unwrap();
            }
        };
        let dropping = store.trim_audit(Duration::from_secs(7 * 86_400), &key);
        let ((), dropped, verified) = tokio::join!(writing, dropping, verify(store, &key));
        assert!(dropped.unwrap() > 0);
        assert_eq!(verified.unwrap().findings, [""; 0]);
    }
    found(store, &[]).await;
}

async fn an_export_is_of_all_rows_or_there_is_none(database: Database) {
    let store = database.store.as_ref();
    let rows: Vec<AuditRow> = (0..6).map(|n| about(n, &[])).collect();
    store.append_audit(&rows, &key()).await.unwrap();
    let public = key().public();
    let mut file = Vec::new();
    let refused = export(store, &key(), 7, &mut file).await.unwrap_err();
    assert!(refused.to_string().contains("no rows numbered above 7"), "{refused}");
    // The seal of an export without rows is the end of the chain, signed.
    let end = export(store, &key(), 6, &mut file).await.unwrap();
    assert_eq!((end.rows, end.last), (0, 6));
    assert_eq!(verify_export(file.as_slice(), &public).unwrap(), end);
    assert_eq!(since(store, &end).await, [""; 0]);

    let mut whole = Vec::new();
    export(store, &key(), 0, &mut whole).await.unwrap();
    let text = String::from_utf8(whole).unwrap();
    let last = text.lines().last().unwrap();
    assert_eq!(read_seal(last.as_bytes(), &public).unwrap(), read_seal(text.as_bytes(), &public).unwrap());
    let (cut, _) = text.trim_end().rsplit_once('\n').unwrap();
    let unsigned = last.replace(&end.public_key, &"0".repeat(64)).replace("\"last\":6", "\"last\":5");
    for bad in [cut, &unsigned, "", "{}"] {
        assert!(read_seal(bad.as_bytes(), &public).is_err(), "{bad}");
    }

    as_owner(&database, "DELETE FROM audit WHERE sequence = 5").await;
    let refused = export(store, &key(), 0, &mut Vec::new()).await.unwrap_err();
    assert!(refused.to_string().contains("the rows end with 5"), "{refused}");
}

on_both!(
    names_that_were_hidden_changed_or_added_show,
    an_audit_that_was_emptied_is_not_a_new_one,
    what_was_imported_before_the_first_start_is_settled_by_a_signature,
    an_earlier_end_that_was_put_back_shows,
    a_hollow_trigger_of_the_right_name_is_noticed,
    a_foreign_trigger_is_noticed,
    the_triggers_of_a_tenant_stand,
    an_audit_is_verified_while_a_server_writes_and_drops,
    an_export_is_of_all_rows_or_there_is_none,
);
