//! The audit: rows are added, chained, paged, kept, and go when their time has passed; and what is
//! changed from outside shows.

use std::time::Duration;

use medserve::store::audit::export::{export, verify_export};
use medserve::store::audit::verify::verify;
use medserve::store::{AuditKey, AuditQuery, AuditRow, Naming};

use super::database::Database;
use super::on_both;

const DAY_MS: i64 = 86_400_000;

pub(super) fn now() -> i64 {
    recommend::clock::now()
}

pub(super) fn key() -> AuditKey {
    AuditKey::new([7; 32], Naming::Pseudonym)
}

fn page(before: Option<i64>, limit: u32) -> AuditQuery {
    AuditQuery { before, limit, ..AuditQuery::default() }
}

pub(super) fn row(sequence: i64, time: i64) -> AuditRow {
    AuditRow {
        run: 7,
        sequence,
        time,
        request_id: format!("request-{sequence}"),
        caller: "key:ward-7".to_owned(),
        address: "10.0.7.31".to_owned(),
        method: "POST".to_owned(),
        route: "/v1/notes/classify".to_owned(),
        status: 200,
        model: Some("triage".to_owned()),
        version: Some("1".to_owned()),
        people: Vec::new(),
        named: Vec::new(),
        input_sha256: "0f".repeat(32),
        request_sha256: "f0".repeat(32),
        answers: vec![Some("2".to_owned()), None, Some("心血管科 'quoted\"".to_owned())],
        abstained: true,
        latency_ms: 1.25,
        clock: 1,
        evidence: None,
    }
}

async fn rows_are_read_back_as_they_were_written_the_latest_first(database: Database) {
    let store = &database.store;
    let bare =
        AuditRow { model: None, version: None, answers: Vec::new(), abstained: false, ..row(1, now()) };
    let evidence = Some(r#"{"b":[{"probability":0.30000001}],"a":"心 \"quoted\"\u0000"}"#.to_owned());
    let rows = [row(0, now()), bare, AuditRow { latency_ms: 0.1 + 0.2, evidence, ..row(2, now()) }];
    store.append_audit(&rows, &key()).await.unwrap();
    let first = store.list_audit(&page(None, 2)).await.unwrap();
    assert_eq!(first.iter().map(|r| &r.row).collect::<Vec<_>>(), [&rows[2], &rows[1]]);
    let next = store.list_audit(&page(Some(first[1].number), 2)).await.unwrap();
    assert_eq!(next.iter().map(|r| &r.row).collect::<Vec<_>>(), [&rows[0]]);
    assert_eq!(store.get_audit(next[0].number).await.unwrap().as_ref(), Some(&next[0]));
    assert_eq!(store.get_audit(first[0].number + 1).await.unwrap(), None);
    let verified = verify(store.as_ref(), &key()).await.unwrap();
    assert_eq!((verified.rows, verified.findings), (3, vec![]));
}

async fn rows_are_found_by_their_time(database: Database) {
    let store = &database.store;
    let day = now() - now() % DAY_MS;
    let at = |sequence, time| AuditRow { people: vec!["a".to_owned()], ..row(sequence, time) };
    let rows = [at(0, day - 1), at(1, day), at(2, day + 1), at(3, day + DAY_MS - 1), at(4, day + DAY_MS)];
    store.append_audit(&rows, &key()).await.unwrap();
    for person in [None, Some("a".to_owned())] {
        let of = async |from, to, before| {
            let query = AuditQuery { before, person: person.clone(), from, to, limit: 2 };
            let found = store.list_audit(&query).await.unwrap();
            (found.iter().map(|r| r.row.sequence).collect::<Vec<_>>(), found.last().map(|r| r.number))
        };
        let (first, last) = of(Some(day), Some(day + DAY_MS), None).await;
        assert_eq!((first, of(Some(day), Some(day + DAY_MS), last).await.0), (vec![3, 2], vec![1]));
        assert_eq!(
            (of(Some(day + DAY_MS), None, None).await.0, of(None, Some(day), None).await.0),
            (vec![4], vec![0])
        );
    }
}

async fn what_was_done_with_a_card_is_found_by_the_card(database: Database) {
    let store = &database.store;
    let said = |sequence, route: &str, answer: &str| AuditRow {
        route: route.to_owned(),
        answers: vec![Some(answer.to_owned())],
        ..row(sequence, now())
    };
    let told = "/cds-services/{id}/feedback";
    let rows = [
        said(0, told, "overridden c1 earlier"),
        said(1, "/cds-services/{id}", "critical c1"),
        said(2, told, "overridden c1 benefit"),
        said(3, told, "accepted c2 s1"),
        said(4, told, "accepted c1 s2"),
    ];
    store.append_audit(&rows, &key()).await.unwrap();
    let card = store.list_audit(&page(None, 9)).await.unwrap();
    let card = card.iter().find(|found| found.row.sequence == 1).unwrap().number;
    let found = async |limit| {
        let found = store.audit_feedback(card, "c1", limit).await.unwrap();
        found.iter().map(|found| found.row.sequence).collect::<Vec<_>>()
    };
    assert_eq!((found(9).await, found(1).await), (vec![2, 4], vec![2]));
}

async fn who_asked_about_a_person_is_one_question(database: Database) {
    let store = &database.store;
    let about = |sequence, people: &[&str]| AuditRow {
        people: people.iter().map(ToString::to_string).collect(),
        ..row(sequence, now())
    };
    let rows = [about(0, &["a"]), about(1, &[]), about(2, &["a", "b"]), about(3, &["b"]), about(4, &["a"])];
    store.append_audit(&rows, &key()).await.unwrap();
    let of = async |person: &str, before, limit| {
        let query = AuditQuery { before, person: Some(person.to_owned()), limit, ..AuditQuery::default() };
        let found = store.list_audit(&query).await.unwrap();
        (found.iter().map(|r| r.row.sequence).collect::<Vec<_>>(), found.last().map(|r| r.number))
    };
    let (first, last) = of("a", None, 2).await;
    assert_eq!((first, of("a", last, 9).await.0), (vec![4, 2], vec![0]));
    assert_eq!((of("b", None, 9).await.0, of("c", None, 9).await.0), (vec![3, 2], vec![]));
}

async fn a_batch_sent_twice_counts_once(database: Database) {
    let rows: Vec<AuditRow> = (0..1000).map(|n| row(n, now())).collect();
    database.store.append_audit(&rows[..600], &key()).await.unwrap();
    database.store.append_audit(&rows, &key()).await.unwrap();
    database.store.append_audit(&rows, &key()).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM audit").await, 1000);
    let verified = verify(database.store.as_ref(), &key()).await.unwrap();
    assert_eq!((verified.rows, verified.findings), (1000, vec![]));
}

async fn two_replicas_make_one_chain(database: Database) {
    let other = database.replica().await;
    let writing = async |store: &std::sync::Arc<dyn medserve::store::Store>, run: i64| {
        for batch in 0..10 {
            let rows: Vec<AuditRow> = (0..7).map(|n| AuditRow { run, ..row(batch * 7 + n, now()) }).collect();
            store.append_audit(&rows, &key()).await.unwrap();
        }
    };
    tokio::join!(writing(&database.store, 1), writing(&other, 2));
    let verified = verify(database.store.as_ref(), &key()).await.unwrap();
    assert_eq!((verified.rows, verified.findings), (140, vec![]));
}

/// Ages go by the time for which servers ran, and not by the time of day, of rows or of the machine.
async fn old_rows_go_and_others_stay_whatever_a_clock_says(database: Database) {
    let store = &database.store;
    // Under clocks that are years wrong.
    store
        .append_audit(&[row(0, now() - 4000 * DAY_MS), row(1, now() + 4000 * DAY_MS)], &key())
        .await
        .unwrap();
    let keep = Duration::from_secs(7 * 86_400);
    assert_eq!(store.trim_audit(keep, &key()).await.unwrap(), 0);
    // A start under a clock that is seven years ahead moves the audit's clock by no more than it ran.
    store.tick_audit(Duration::from_secs(1)).await.unwrap();
    database.plain_sql("UPDATE audit_clock SET seen = seen - 220752000000").await;
    store.tick_audit(Duration::from_secs(1)).await.unwrap();
    database.plain_sql("UPDATE audit_clock SET seen = seen + 220752000000").await;
    store.tick_audit(Duration::from_secs(1)).await.unwrap();
    assert!(database.number("SELECT ms FROM audit_clock").await <= 2001);
    assert_eq!(store.trim_audit(keep, &key()).await.unwrap(), 0);

    // Eight days of running. What was written under a clock ahead of the time waits for it, or for a later row.
    database.plain_sql("UPDATE audit_clock SET ms = ms + 691200000").await;
    store.append_audit(&[row(2, now() - 8 * DAY_MS)], &key()).await.unwrap();
    assert_eq!(store.trim_audit(keep, &key()).await.unwrap(), 1);
    database.plain_sql("UPDATE audit_clock SET ms = ms + 691200000").await;
    store.append_audit(&[row(3, now())], &key()).await.unwrap();
    assert_eq!(store.trim_audit(keep, &key()).await.unwrap(), 2);
    assert_eq!(store.trim_audit(keep, &key()).await.unwrap(), 0);
    assert_eq!(database.number("SELECT count(*) FROM audit").await, 1);
    let verified = verify(store.as_ref(), &key()).await.unwrap();
    assert_eq!(
        (verified.rows, verified.findings),
        (1, vec![]),
        "the chain begins where the dropped rows end"
    );
}

/// Whoever may write to the database sets the audit's clock, and neither the rows go nor is it left untold.
async fn a_clock_that_somebody_set_takes_no_row_away(database: Database) {
    let store = &database.store;
    store.append_audit(&[row(0, now()), row(1, now())], &key()).await.unwrap();
    database.plain_sql("UPDATE audit_clock SET ms = ms + 1000000000000").await;
    store.append_audit(&[row(2, now())], &key()).await.unwrap();
    assert_eq!(store.trim_audit(Duration::from_secs(7 * 86_400), &key()).await.unwrap(), 0);
    let verified = verify(store.as_ref(), &key()).await.unwrap();
    assert_eq!((verified.rows, verified.findings.len()), (3, 1));
    assert!(verified.findings[0].contains("gained 11574 days"), "{:?}", verified.findings);
}

async fn nobody_changes_a_row_or_takes_a_new_one_away(database: Database) {
    database.store.append_audit(&[row(0, now()), row(1, now() - 3 * DAY_MS)], &key()).await.unwrap();
    let mut tries = vec!["UPDATE audit SET caller = 'nobody'", "DELETE FROM audit"];
    let replace =
        "INSERT OR REPLACE INTO audit (number, run, sequence, time, request_id, caller, method, route,
             status, input_sha256, answers, abstained, latency_ms)
         SELECT number, run, sequence, time, request_id, 'replaced', method, route, status, input_sha256,
             answers, abstained, latency_ms FROM audit WHERE number = 1";
    if !database.is_postgres() {
        tries.push(replace);
        tries.push("UPDATE OR REPLACE audit SET caller = 'nobody'");
    }
    for sql in tries {
        assert!(database.try_sql(sql).await.is_err(), "{sql}");
    }
    assert_eq!(database.number("SELECT count(*) FROM audit WHERE caller = 'key:ward-7'").await, 2);
}

/// Switches the triggers off, as somebody may who owns the database.
pub(super) async fn as_owner(database: &Database, sql: &str) {
    match database.is_postgres() {
        true => {
            let sql = format!(
                "ALTER TABLE audit DISABLE TRIGGER USER; {sql}; ALTER TABLE audit ENABLE TRIGGER USER"
            );
            database.plain_sql(&sql).await;
        }
        false => {
            let names = ["audit_is_not_changed", "audit_is_kept", "audit_is_not_replaced"];
            let mut kept = Vec::new();
            for name in names {
                let query = format!("SELECT sql FROM sqlite_schema WHERE name = '{name}'");
                kept.extend(database.texts(&query).await);
            }
            let dropped: String = names.map(|name| format!("DROP TRIGGER {name};")).concat();
            database.plain_sql(&format!("{dropped} {sql}; {};", kept.join(";"))).await;
        }
    }
}

async fn what_was_changed_outside_shows(database: Database) {
    let store = &database.store;
    let rows: Vec<AuditRow> = (0..6).map(|n| row(n, now())).collect();
    store.append_audit(&rows, &key()).await.unwrap();
    let found = async |words: &str, count: usize| {
        let verified = verify(store.as_ref(), &key()).await.unwrap();
        let all = verified.findings.join("; ");
        assert_eq!(verified.findings.len(), count, "{all}");
        assert!(all.contains(words), "{words} is not in {all}");
    };
    as_owner(&database, "UPDATE audit SET caller = 'key:nobody' WHERE sequence = 2").await;
    found("row 3 is not what was written after row 2", 1).await;
    as_owner(&database, "UPDATE audit SET caller = 'key:ward-7' WHERE sequence = 2").await;
    let verified = verify(store.as_ref(), &key()).await.unwrap();
    assert_eq!((verified.rows, verified.findings), (6, vec![]));

    as_owner(&database, "DELETE FROM audit WHERE sequence = 3").await;
    found("row 5 is not what was written after row 3", 1).await;
    as_owner(&database, "DELETE FROM audit WHERE sequence = 5").await;
    found("the chain ends at row 5, but rows up to 6 were written", 2).await;
    // Moving the end takes the key; and nobody goes on from an end that somebody else has moved.
    as_owner(
        &database,
        "UPDATE audit_head SET number = 5, chain = (SELECT chain FROM audit WHERE sequence = 4)",
    )
    .await;
    found("is not signed by this key", 2).await;
    let refused = store.append_audit(&[row(6, now())], &key()).await.unwrap_err();
    assert!(refused.to_string().contains("is not signed"), "{refused}");
    store.sign_audit(&key()).await.unwrap();
    store.append_audit(&[row(6, now())], &key()).await.unwrap();
}

async fn a_trigger_that_is_not_there_is_noticed(database: Database) {
    let store = &database.store;
    assert_eq!(store.missing_audit_guards().await.unwrap(), [""; 0]);
    match database.is_postgres() {
        true => database.plain_sql("ALTER TABLE audit DISABLE TRIGGER audit_is_kept").await,
        false => database.plain_sql("DROP TRIGGER audit_is_kept").await,
    }
    assert_eq!(store.missing_audit_guards().await.unwrap(), ["audit_is_kept"]);
    let findings = verify(store.as_ref(), &key()).await.unwrap().findings;
    assert!(findings[0].contains("audit_is_kept"), "{findings:?}");
}

async fn an_export_is_checked_without_the_database(database: Database) {
    let store = &database.store;
    let rows: Vec<AuditRow> = (0..5).map(|n| row(n, now())).collect();
    store.append_audit(&rows, &key()).await.unwrap();
    let mut file = Vec::new();
    export(store.as_ref(), &key(), 0, &mut file).await.unwrap();
    let public = key().public();
    assert_eq!(verify_export(file.as_slice(), &public).unwrap().rows, 5);
    let mut later = Vec::new();
    export(store.as_ref(), &key(), 3, &mut later).await.unwrap();
    assert_eq!(verify_export(later.as_slice(), &public).unwrap().rows, 2);

    let text = String::from_utf8(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |line: usize| [&lines[..line], &lines[line + 1..]].concat().join("\n");
    let other = AuditKey::new([8; 32], Naming::Pseudonym).public();
    for (why, bad, public) in [
        ("changed", text.replacen("ward-7", "ward-8", 1), &public),
        ("one is missing", without(2), &public),
        ("the first is missing", without(0), &public),
        ("the seal is missing", without(5), &public),
        ("another key", text.clone(), &other),
    ] {
        assert!(verify_export(bad.as_bytes(), public).is_err(), "{why}");
    }
}

/// An older program beside this one writes rows without a chain.
async fn a_row_of_another_program_is_told_of(database: Database) {
    let store = &database.store;
    store.append_audit(&[row(0, now())], &key()).await.unwrap();
    let time = if database.is_postgres() { "now()" } else { "1" };
    let sql = format!(
        "INSERT INTO audit (run, sequence, time, request_id, caller, method, route, status, input_sha256, answers,
             abstained, latency_ms) VALUES (1, 1, {time}, '', '', '', '', 200, '', '[]', {}, 1)",
        if database.is_postgres() { "false" } else { "0" }
    );
    database.plain_sql(&sql).await;
    store.append_audit(&[row(1, now())], &key()).await.unwrap();
    let verified = verify(store.as_ref(), &key()).await.unwrap();
    assert_eq!(verified.rows, 2);
    assert!(verified.findings[0].contains("row 2 is not chained"), "{:?}", verified.findings);
}

async fn the_secret_that_came_first_stays(database: Database) {
    assert_eq!(database.store.audit_secret("aa").await.unwrap(), "aa");
    assert_eq!(database.store.audit_secret("bb").await.unwrap(), "aa");
}

on_both!(
    one_process_at_a_time_sends_the_stream,
    rows_are_read_back_as_they_were_written_the_latest_first,
    rows_are_found_by_their_time,
    who_asked_about_a_person_is_one_question,
    what_was_done_with_a_card_is_found_by_the_card,
    a_batch_sent_twice_counts_once,
    two_replicas_make_one_chain,
    old_rows_go_and_others_stay_whatever_a_clock_says,
    a_clock_that_somebody_set_takes_no_row_away,
    nobody_changes_a_row_or_takes_a_new_one_away,
    what_was_changed_outside_shows,
    a_trigger_that_is_not_there_is_noticed,
    an_export_is_checked_without_the_database,
    a_row_of_another_program_is_told_of,
    the_secret_that_came_first_stays,
);

/// Of several processes one sends: until it has gone for the time of its lease.
async fn one_process_at_a_time_sends_the_stream(database: Database) {
    let (store, other) = (&database.store, database.replica().await);
    let lease = Duration::from_secs(4);
    assert_eq!(store.claim_audit_stream(1, lease).await.unwrap(), Some((0, 0)), "nothing to send");
    let rows: Vec<AuditRow> = (0..3).map(|sequence| row(sequence, now())).collect();
    store.append_audit(&rows, &key()).await.unwrap();
    assert_eq!(store.claim_audit_stream(1, lease).await.unwrap(), Some((0, 3)));
    assert_eq!(other.claim_audit_stream(2, lease).await.unwrap(), None);
    store.advance_audit_stream(1, 2).await.unwrap();
    other.advance_audit_stream(2, 3).await.unwrap();
    assert_eq!(
        store.claim_audit_stream(1, lease).await.unwrap(),
        Some((2, 3)),
        "who does not send moves nothing"
    );
    tokio::time::sleep(lease + lease / 2).await;
    assert_eq!(other.claim_audit_stream(2, lease).await.unwrap(), Some((2, 3)));
    assert_eq!(store.claim_audit_stream(1, lease).await.unwrap(), None);
    store.advance_audit_stream(1, 3).await.unwrap();
    other.advance_audit_stream(2, 1).await.unwrap();
    assert_eq!(other.claim_audit_stream(2, lease).await.unwrap(), Some((2, 3)), "and it never goes back");
    other.advance_audit_stream(2, 3).await.unwrap();
    assert_eq!(store.claim_audit_stream(1, lease).await.unwrap(), Some((3, 3)));
}
