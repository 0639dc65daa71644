//! Counts of answers: what several processes add is one sum, by hour or by day, and goes when its time has passed.

use medserve::store::{Tallied, TallyQuery};

use super::database::Database;
use super::on_both;

fn counted(model: &str, hour: i64, label: &str, answers: i64) -> Tallied {
    let confidence = answers * 900_000;
    Tallied {
        model: model.to_owned(),
        version: "1".to_owned(),
        hour,
        label: label.to_owned(),
        answers,
        confidence,
    }
}

fn of(model: &str, from: i64, every: i64) -> TallyQuery {
    TallyQuery { model: model.to_owned(), version: "1".to_owned(), from, every }
}

async fn counts_of_all_processes_add_up(database: Database) {
    let (one, other) = (&database.store, database.replica().await);
    one.add_answers(&[counted("triage", 48, "2", 3), counted("triage", 48, "", 1)]).await.unwrap();
    other.add_answers(&[counted("triage", 48, "", 2), counted("triage", 49, "2", 5)]).await.unwrap();
    one.add_answers(&[counted("pneumonia", 48, "normal", 7)]).await.unwrap();
    let hours = one.list_answers(&of("triage", 0, 1)).await.unwrap();
    let expected =
        [counted("triage", 48, "", 3), counted("triage", 48, "2", 3), counted("triage", 49, "2", 5)];
    assert_eq!(hours, expected);
    let later = one.list_answers(&of("triage", 49, 1)).await.unwrap();
    assert_eq!(later, [counted("triage", 49, "2", 5)]);
    assert!(
        one.list_answers(&TallyQuery { version: "2".to_owned(), ..of("triage", 0, 1) })
            .await
            .unwrap()
            .is_empty()
    );
}

async fn hours_are_added_up_to_days(database: Database) {
    let rows = [
        counted("m", 47, "a", 1),
        counted("m", 48, "a", 2),
        counted("m", 71, "a", 3),
        counted("m", 72, "a", 4),
    ];
    database.store.add_answers(&rows).await.unwrap();
    let days = database.store.list_answers(&of("m", 24, 24)).await.unwrap();
    assert_eq!(days, [counted("m", 24, "a", 1), counted("m", 48, "a", 5), counted("m", 72, "a", 4)]);
}

async fn counts_go_when_their_time_has_passed(database: Database) {
    let store = &database.store;
    store.add_answers(&[counted("m", 47, "a", 1), counted("m", 48, "a", 2)]).await.unwrap();
    assert_eq!(store.trim_answers(48).await.unwrap(), 1);
    assert_eq!(store.list_answers(&of("m", 0, 1)).await.unwrap(), [counted("m", 48, "a", 2)]);
    store.add_answers(&[]).await.unwrap();
}

async fn processes_that_write_at_the_same_time_lose_nothing(database: Database) {
    let rows: Vec<Tallied> = ["a", "b", "c", "d"].map(|label| counted("m", 48, label, 1)).into();
    let backwards: Vec<Tallied> = rows.iter().rev().cloned().collect();
    let writers = (0..20).map(|at| {
        let (store, rows) =
            (database.store.clone(), if at % 2 == 0 { rows.clone() } else { backwards.clone() });
        tokio::spawn(async move { store.add_answers(&rows).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    let found = database.store.list_answers(&of("m", 48, 1)).await.unwrap();
    assert_eq!(found, ["a", "b", "c", "d"].map(|label| counted("m", 48, label, 20)));
}

on_both!(
    counts_of_all_processes_add_up,
    hours_are_added_up_to_days,
    counts_go_when_their_time_has_passed,
    processes_that_write_at_the_same_time_lose_nothing,
);
