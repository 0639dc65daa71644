//! Cases are kept with their vectors, written whole or not at all, and what changes is named.

use std::time::Duration;

use medserve::store::{Case, CaseChanges, CaseVector, Store, StoreError, StoredCase, Written};
use recommend::Cursor;
use serde_json::json;

use super::database::Database;
use super::on_both;

on_both!(
    a_case_is_kept_as_it_was_written,
    a_vector_stays_with_the_text_that_it_is_of,
    a_case_is_replaced_only_where_it_is_as_expected,
    what_changes_is_named_whoever_wrote_it,
    a_feed_that_was_cut_says_so,
    a_load_is_whole_or_nothing,
    a_deleted_case_is_in_no_table,
);

fn case(id: &str, text: &str) -> StoredCase {
    let attributes = json!({"ward": "7", "drugs": ["a", "b"], "year": 2024}).as_object().unwrap().clone();
    StoredCase { case: Case { case_id: id.into(), text: text.into(), attributes }, vector: None }
}

fn with_vector(stored: StoredCase, version: &str, values: &[f32]) -> StoredCase {
    let vector = CaseVector { model: "meaning".into(), version: version.into(), values: values.to_vec() };
    StoredCase { vector: Some(vector), ..stored }
}

async fn read(store: &dyn Store, id: &str) -> StoredCase {
    let mut read = store.read_cases(&[id.to_owned()]).await.unwrap();
    assert_eq!(read.len(), 1);
    read.remove(0)
}

async fn changed(store: &dyn Store, cursor: &mut Cursor) -> CaseChanges {
    let mut changes = store.case_changes(cursor).await.unwrap();
    *cursor = changes.cursor.clone();
    changes.cases.sort();
    changes.cases.dedup();
    changes
}

async fn a_case_is_kept_as_it_was_written(database: Database) {
    let store = &database.store;
    let first = with_vector(case("c/1", "Fièvre, 胸痛 😷\n\"quoted\""), "1", &[0.5, -1.0]);
    let written = store.put_cases(&[first.clone(), case("c2", "other")]).await.unwrap();
    assert_eq!(written, Written { created: 2, ..Written::default() });
    assert_eq!(store.get_case("c/1").await.unwrap(), first.case);
    assert_eq!(read(store.as_ref(), "c/1").await, first);
    let written = store.put_cases(&[case("c2", "changed"), first.clone()]).await.unwrap();
    assert_eq!(written, Written { updated: 1, unchanged: 1, created: 0 });
    let mut seen = Vec::new();
    store.scan_cases(&mut |stored| seen.push(stored.case.case_id)).await.unwrap();
    seen.sort();
    assert_eq!((seen, store.count_cases().await.unwrap()), (vec!["c/1".to_string(), "c2".to_string()], 2));
    store.delete_case("c2").await.unwrap();
    assert!(matches!(store.delete_case("c2").await, Err(StoreError::NotFound { what: "case", .. })));
    assert!(matches!(store.get_case("c2").await, Err(StoreError::NotFound { .. })));
    assert!(store.read_cases(&["c2".to_string()]).await.unwrap().is_empty());
    let nul = store.put_cases(&[case("c3", "a\0b")]).await;
    assert!(matches!(nul, Err(StoreError::Invalid { .. })));
    // The last of a batch wins.
    store.put_cases(&[case("c4", "one"), case("c4", "two")]).await.unwrap();
    assert_eq!(store.get_case("c4").await.unwrap().text, "two");
}

async fn a_vector_stays_with_the_text_that_it_is_of(database: Database) {
    let store = database.store.as_ref();
    store.put_cases(&[case("c1", "pain")]).await.unwrap();
    let vectors =
        [with_vector(case("c1", "pain"), "1", &[1.0, 0.0]), with_vector(case("gone", "pain"), "1", &[1.0])];
    store.put_case_vectors(&vectors).await.unwrap();
    assert_eq!(read(store, "c1").await.vector, vectors[0].vector);
    // The same text without a vector keeps it, with other attributes too; another text has none.
    let mut other = case("c1", "pain");
    other.case.attributes.clear();
    store.put_cases(&[other]).await.unwrap();
    assert_eq!(read(store, "c1").await.vector, vectors[0].vector);
    store.put_cases(&[case("c1", "no pain")]).await.unwrap();
    assert_eq!(read(store, "c1").await.vector, None);
    // A vector of the text before comes too late.
    store.put_case_vectors(&vectors[..1]).await.unwrap();
    assert_eq!(read(store, "c1").await.vector, None);
    let newer = with_vector(case("c1", "no pain"), "2", &[0.0, 1.0]);
    store.put_cases(std::slice::from_ref(&newer)).await.unwrap();
    assert_eq!(read(store, "c1").await, newer);
}

async fn a_case_is_replaced_only_where_it_is_as_expected(database: Database) {
    let store = database.store.as_ref();
    let one = case("c1", "one");
    let refused = store.replace_case("c1", Some(&one), &|now| now.is_some()).await;
    assert!(matches!(refused, Err(StoreError::Changed { what: "case" })));
    store.replace_case("c1", Some(&one), &|now| now.is_none()).await.unwrap();
    let two = case("c1", "two");
    store.replace_case("c1", Some(&two), &|now| now == Some(&one.case)).await.unwrap();
    let stale = store.replace_case("c1", None, &|now| now == Some(&one.case)).await;
    assert!(matches!(stale, Err(StoreError::Changed { .. })));
    assert_eq!(store.get_case("c1").await.unwrap(), two.case);
    store.replace_case("c1", None, &|now| now == Some(&two.case)).await.unwrap();
    assert_eq!(store.count_cases().await.unwrap(), 0);
}

async fn what_changes_is_named_whoever_wrote_it(database: Database) {
    let store = database.store.as_ref();
    let mut cursor = store.case_cursor().await.unwrap();
    store.put_cases(&[case("c1", "one"), case("c2", "two")]).await.unwrap();
    assert_eq!(changed(store, &mut cursor).await.cases, ["c1", "c2"]);
    assert_eq!(changed(store, &mut cursor).await.cases, Vec::<String>::new());
    store.put_cases(&[case("c1", "one")]).await.unwrap();
    assert_eq!(changed(store, &mut cursor).await.cases, Vec::<String>::new(), "nothing changed");
    store.put_case_vectors(&[with_vector(case("c1", "one"), "1", &[1.0])]).await.unwrap();
    assert_eq!(changed(store, &mut cursor).await.cases, ["c1"]);
    database.plain_sql("UPDATE cases SET text = 'else' WHERE id = 'c2'").await;
    database.plain_sql("DELETE FROM cases WHERE id = 'c1'").await;
    let changes = changed(store, &mut cursor).await;
    assert_eq!(
        (changes.cases.as_slice(), changes.reload),
        (&["c1".to_string(), "c2".to_string()][..], false)
    );
    // The other feed knows nothing of cases.
    let other = store.cursor().await.unwrap();
    store.put_cases(&[case("c3", "three")]).await.unwrap();
    let changes = store.changes(&other).await.unwrap();
    assert!(changes.users.is_empty() && changes.items.is_empty() && !changes.reload);
    if database.is_postgres() {
        database.plain_sql("TRUNCATE cases").await;
        assert!(changed(store, &mut cursor).await.reload);
    }
}

async fn a_feed_that_was_cut_says_so(database: Database) {
    let store = database.store.as_ref();
    let mut old = store.case_cursor().await.unwrap();
    store.put_cases(&[case("c1", "one")]).await.unwrap();
    store.trim_changes(Duration::ZERO).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.trim_changes(Duration::ZERO).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM case_changes").await, 0);
    assert!(changed(store, &mut old).await.reload);
    let mut new = store.case_cursor().await.unwrap();
    let changes = changed(store, &mut new).await;
    assert!(!changes.reload && changes.cases.is_empty());
    assert!(store.case_changes(&Cursor("of another store".to_string())).await.unwrap().reload);
}

async fn a_load_is_whole_or_nothing(database: Database) {
    let store = database.store.as_ref();
    let cases = [case("c1", "one"), case("c2", "two")];
    let mut load = store.begin_load().await.unwrap();
    load.cases(&cases).await.unwrap();
    drop(load);
    assert_eq!(store.count_cases().await.unwrap(), 0);
    let mut load = store.begin_load().await.unwrap();
    load.cases(&cases).await.unwrap();
    let loaded = load.commit(None).await.unwrap();
    assert_eq!(loaded.cases, Written { created: 2, ..Written::default() });
    assert_eq!(store.count_cases().await.unwrap(), 2);
}

async fn a_deleted_case_is_in_no_table(database: Database) {
    let store = database.store.as_ref();
    store.put_cases(&[case("xylophobe-case", "xylophobia-marker in a text")]).await.unwrap();
    store.delete_case("xylophobe-case").await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM cases").await, 0);
    if let Some(folder) = &database.folder {
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(17).any(|window| window == b"xylophobia-marker");
            assert!(!found, "{}", path.display());
        }
    }
}
