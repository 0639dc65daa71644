//! The audit: rows are added, paged, kept, and go when their time has passed.

use std::time::Duration;

use medserve::store::AuditRow;

use super::database::Database;
use super::on_both;

const DAY_MS: i64 = 86_400_000;

fn now() -> i64 {
    recommend::clock::now()
}

fn row(sequence: i64, time: i64) -> AuditRow {
    AuditRow {
        run: 7,
        sequence,
        time,
        request_id: format!("request-{sequence}"),
        caller: "ward-7".to_owned(),
        method: "POST".to_owned(),
        route: "/v1/notes/classify".to_owned(),
        status: 200,
        model: Some("triage".to_owned()),
        version: Some("1".to_owned()),
        input_sha256: "0f".repeat(32),
        answers: vec![Some("2".to_owned()), None, Some("心血管科 'quoted\"".to_owned())],
        abstained: true,
        latency_ms: 1.25,
    }
}

async fn rows_are_read_back_as_they_were_written_the_latest_first(database: Database) {
    let store = &database.store;
    let bare =
        AuditRow { model: None, version: None, answers: Vec::new(), abstained: false, ..row(1, now()) };
    let rows = [row(0, now()), bare, row(2, now())];
    store.append_audit(&rows).await.unwrap();
    let page = store.list_audit(None, 2).await.unwrap();
    assert_eq!(page.iter().map(|r| &r.row).collect::<Vec<_>>(), [&rows[2], &rows[1]]);
    let next = store.list_audit(Some(page[1].number), 2).await.unwrap();
    assert_eq!(next.iter().map(|r| &r.row).collect::<Vec<_>>(), [&rows[0]]);
}

async fn a_batch_sent_twice_counts_once(database: Database) {
    let rows: Vec<AuditRow> = (0..1000).map(|n| row(n, now())).collect();
    database.store.append_audit(&rows[..600]).await.unwrap();
    database.store.append_audit(&rows).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM audit").await, 1000);
}

async fn old_rows_go_and_others_stay(database: Database) {
    let store = &database.store;
    store
        .append_audit(&[row(0, now() - 30 * DAY_MS), row(1, now() - 3 * DAY_MS), row(2, now())])
        .await
        .unwrap();
    assert_eq!(store.trim_audit(Duration::from_secs(7 * 86_400)).await.unwrap(), 1);
    assert_eq!(store.trim_audit(Duration::from_secs(7 * 86_400)).await.unwrap(), 0);
    assert_eq!(database.number("SELECT count(*) FROM audit").await, 2);
}

async fn nobody_changes_a_row_or_takes_a_new_one_away(database: Database) {
    database.store.append_audit(&[row(0, now()), row(1, now() - 3 * DAY_MS)]).await.unwrap();
    for sql in ["UPDATE audit SET caller = 'nobody'", "DELETE FROM audit"] {
        assert!(database.try_sql(sql).await.is_err(), "{sql}");
    }
    assert_eq!(database.number("SELECT count(*) FROM audit WHERE caller = 'ward-7'").await, 2);
}

on_both!(
    rows_are_read_back_as_they_were_written_the_latest_first,
    a_batch_sent_twice_counts_once,
    old_rows_go_and_others_stay,
    nobody_changes_a_row_or_takes_a_new_one_away,
);
