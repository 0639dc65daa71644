//! The schedule of pulls in the store: one pulls at a time, and what became of it decides when the next is due.

use super::database::Database;
use super::on_both;

const EXPORT: &str = "https://ehr.example.org/fhir/$export";

async fn an_export_is_taken_by_one_and_again_when_it_is_due(database: Database) {
    let store = &database.store;
    assert_eq!(store.take_bulk(EXPORT, 1000, 2000).await.unwrap(), Some((None, 1)), "the first time at once");
    assert_eq!(store.take_bulk(EXPORT, 1999, 3000).await.unwrap(), None);
    store.hold_bulk(EXPORT, 5000).await.unwrap();
    assert_eq!(store.take_bulk(EXPORT, 4999, 6000).await.unwrap(), None);
    assert_eq!(store.take_bulk(EXPORT, 5000, 6000).await.unwrap(), Some((None, 2)), "whoever had it is gone");
    store.end_bulk(EXPORT, 7000, Err("no route")).await.unwrap();
    assert_eq!(store.take_bulk(EXPORT, 7000, 8000).await.unwrap(), Some((None, 3)));
    store.end_bulk(EXPORT, 9000, Ok("2026-03-01T09:30:00Z")).await.unwrap();
    let since = Some("2026-03-01T09:30:00Z".to_owned());
    assert_eq!(store.take_bulk(EXPORT, 9000, 9500).await.unwrap(), Some((since.clone(), 1)));
    store.end_bulk(EXPORT, 9999, Err("no route")).await.unwrap();
    assert_eq!(
        store.take_bulk(EXPORT, 9999, 9999).await.unwrap(),
        Some((since, 2)),
        "a failure forgets nothing"
    );
    let other = "https://other.example.org/fhir/$export";
    assert_eq!(store.take_bulk(other, 1000, 2000).await.unwrap(), Some((None, 1)));
}

on_both!(an_export_is_taken_by_one_and_again_when_it_is_due);
