//! What is known of resources: replaced by what comes later, and gone with the person.

use medserve::store::Known;
use recommend::{Profile, User};

use super::database::Database;
use super::on_both;

async fn what_is_known_of_a_resource_is_replaced_and_goes_with_the_person(database: Database) {
    let store = &database.store;
    let user = |id: &str| User { user_id: id.to_owned(), profile: Profile::default() };
    store.put_users(&[user("ann"), user("bob")]).await.unwrap();
    let of = |name: &str, person: Option<&str>, version: i64| Known {
        name: name.to_owned(),
        user_id: person.map(str::to_owned),
        said: person.is_none().then(|| "{}".to_owned()),
        updated: Some(1_000),
        version: Some(version),
    };
    store.put_known(&[of("Condition/1", Some("ann"), 1), of("Medication/1", None, 1)]).await.unwrap();
    store.put_known(&[of("Condition/1", Some("bob"), 2), of("Condition/2", Some("ann"), 1)]).await.unwrap();
    store.put_known(&[]).await.unwrap();
    let names = ["Condition/1", "Condition/2", "Medication/1", "Condition/9"].map(str::to_owned);
    let known = async || {
        let mut known = store.known(&names).await.unwrap();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        known
    };
    let (first, second, third) =
        (of("Condition/1", Some("bob"), 2), of("Condition/2", Some("ann"), 1), of("Medication/1", None, 1));
    assert_eq!(known().await, [first.clone(), second, third.clone()]);
    store.delete_user("ann").await.unwrap();
    assert_eq!(known().await, [first, third]);
    assert_eq!(store.known(&[]).await.unwrap(), []);
}

on_both!(what_is_known_of_a_resource_is_replaced_and_goes_with_the_person);
