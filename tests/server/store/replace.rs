//! Writes on a condition: checked and written in one step, whoever else writes at the moment.

use medserve::store::{StoreError, Written};
use recommend::{Item, Kind, User};

use super::database::{Database, changes, item, user};
use super::on_both;

on_both!(
    what_passes_the_check_is_written_and_nothing_else,
    of_many_at_once_one_wins,
    of_many_who_add_the_same_one_does,
);

fn changed(result: Result<Written, StoreError>) -> bool {
    matches!(result, Err(StoreError::Changed { .. }))
}

async fn what_passes_the_check_is_written_and_nothing_else(database: Database) {
    let store = &database.store;
    let (old, new) = (item("d", Kind::Drug), Item { name: "new".into(), ..item("d", Kind::Drug) });
    store.put_users(&[user("u")]).await.unwrap();
    store.put_items(std::slice::from_ref(&old)).await.unwrap();
    let mut cursor = store.cursor().await.unwrap();

    assert!(changed(store.replace_user("u", None, &|_| false).await));
    assert!(changed(store.replace_item("d", Some(&new), &|current| current != Some(&old)).await));
    assert_eq!(store.get_item("d").await.unwrap(), old);

    let written = store.replace_item("d", Some(&new), &|current| current == Some(&old)).await.unwrap();
    assert_eq!(written.updated, 1);
    assert_eq!(store.get_item("d").await.unwrap(), new);
    store.replace_user("u", None, &|current| current == Some(&user("u"))).await.unwrap();
    assert!(matches!(store.get_user("u").await, Err(StoreError::NotFound { .. })));
    // Every write is named to the other replicas.
    let named = changes(store.as_ref(), &mut cursor).await;
    assert_eq!((named.users, named.items), (vec!["u".to_string()], vec!["d".to_string()]));
    let gone = store.replace_user("u", None, &|current| current.is_none()).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
}

async fn of_many_at_once_one_wins(database: Database) {
    let store = &database.store;
    store.put_users(&[user("u")]).await.unwrap();
    let writes = (1950..1966).map(|year| async move {
        let mut new: User = user("u");
        new.profile.birth_year = Some(year);
        store.replace_user("u", Some(&new), &|current| current == Some(&user("u"))).await
    });
    let results = futures::future::join_all(writes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.into_iter().filter(|result| result.is_err()).all(changed));
}

async fn of_many_who_add_the_same_one_does(database: Database) {
    let store = &database.store;
    let writes = (0..16).map(|n| async move {
        let new = Item { name: format!("item {n}"), ..item("d", Kind::Drug) };
        store.replace_item("d", Some(&new), &|current| current.is_none()).await
    });
    let results = futures::future::join_all(writes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.into_iter().filter(|result| result.is_err()).all(changed));
}
