//! HL7 messages in the store: each waits once, is taken by one at a time, and is never lost.

use medserve::store::hl7::{Hl7Backlog, Outgoing};
use recommend::{Profile, User};

use super::database::Database;
use super::on_both;

fn message(id: &str, source: &str, patient: &str) -> Outgoing {
    Outgoing {
        id: id.to_owned(),
        source: source.to_owned(),
        image: "as it was".to_owned(),
        patient: patient.to_owned(),
        created: 1000,
        message: format!("MSH|^~\\&|{id}"),
    }
}

async fn a_message_is_sent_until_it_is_taken_and_again_where_its_image_comes_again(database: Database) {
    let store = &database.store;
    let (one, two) = (message("1", "1.2.3", "p1"), message("2", "1.2.4", "p1"));
    store.queue_hl7(&[one.clone(), two.clone()]).await.unwrap();
    // One that is there stays as it is.
    store.queue_hl7(&[Outgoing { message: "another".to_owned(), ..one.clone() }]).await.unwrap();
    assert_eq!(store.take_hl7(999, 2000).await.unwrap(), None);
    assert_eq!(store.take_hl7(1000, 2000).await.unwrap(), Some((one.clone(), 1)));
    assert_eq!(store.take_hl7(1000, 3000).await.unwrap(), Some((two, 1)));
    assert_eq!(store.take_hl7(1999, 3000).await.unwrap(), None);
    assert_eq!(store.take_hl7(2000, 3000).await.unwrap(), Some((one.clone(), 2)), "whoever took it is gone");
    store.sent_hl7("1", Some(4000), Some("no route")).await.unwrap();
    store.sent_hl7("2", None, Some("the peer answered AE")).await.unwrap();
    assert_eq!(store.hl7_backlog().await.unwrap(), Hl7Backlog { unsent: 1, given_up: 1 });
    assert_eq!(store.take_hl7(4000, 5000).await.unwrap(), Some((one.clone(), 3)));
    store.sent_hl7("1", None, None).await.unwrap();
    assert_eq!(store.hl7_backlog().await.unwrap(), Hl7Backlog { unsent: 0, given_up: 1 });
    store.repeat_hl7("1.2.3", 6000).await.unwrap();
    assert_eq!(store.take_hl7(6000, 7000).await.unwrap(), Some((one, 1)));
    assert_eq!(store.trim_hl7(9999).await.unwrap(), 1, "the other is still to be sent");
}

async fn what_was_said_of_an_image_that_has_changed_is_not_said_any_more(database: Database) {
    let store = &database.store;
    store.queue_hl7(&[message("1", "1.2.3", "p1"), message("2", "1.2.4", "p1")]).await.unwrap();
    let new = |id| Outgoing { image: "as it is".to_owned(), ..message(id, "1.2.3", "p2") };
    store.queue_hl7(&[new("3"), new("4")]).await.unwrap();
    let mut left = Vec::new();
    while let Some((message, _)) = store.take_hl7(1000, 2000).await.unwrap() {
        left.push(message.id);
    }
    left.sort();
    assert_eq!(left, ["2", "3", "4"]);
}

async fn what_is_said_of_an_erased_person_is_erased(database: Database) {
    let store = &database.store;
    store.put_users(&[User { user_id: "p1".to_owned(), profile: Profile::default() }]).await.unwrap();
    store.queue_hl7(&[message("1", "1.2.3", "p1"), message("2", "1.2.4", "p2")]).await.unwrap();
    store.delete_user("p1").await.unwrap();
    let (left, _) = store.take_hl7(1000, 2000).await.unwrap().unwrap();
    assert_eq!((left.id.as_str(), store.hl7_backlog().await.unwrap().unsent), ("2", 1));
}

on_both!(
    what_was_said_of_an_image_that_has_changed_is_not_said_any_more,
    a_message_is_sent_until_it_is_taken_and_again_where_its_image_comes_again,
    what_is_said_of_an_erased_person_is_erased,
);
