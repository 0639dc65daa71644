//! HL7 messages in the store: each waits once, is taken by one at a time, and is never lost.

use medserve::store::Store;
use medserve::store::dicom::{Arrival, Arrived, DicomAnswer, Kept, Turn};
use medserve::store::hl7::{Hl7Backlog, Outgoing};
use recommend::{Profile, User};

use super::database::Database;
use super::dicom::result;
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

/// Keeps an answer to each message's image, which comes for that.
async fn keep(store: &dyn Store, messages: &[Outgoing]) {
    for message in messages {
        let kept = DicomAnswer { messages: std::slice::from_ref(message), ..DicomAnswer::default() };
        answer(store, message, kept).await;
    }
}

/// Keeps an answer to the image of a message.
async fn answer(store: &dyn Store, message: &Outgoing, answer: DicomAnswer<'_>) {
    let Outgoing { source, image, patient, .. } = message.clone();
    let arrival = Arrival { sop_instance: source, image, patient, waits: true };
    let arrived = store.arrive_dicom(&[arrival], None, (1000, 9999)).await.unwrap();
    let [Arrived::Waits(number)] = arrived[..] else { panic!("{arrived:?}") };
    assert_eq!(store.answer_dicom(Turn::Arrived(number), answer).await.unwrap(), Kept::Yes);
}

async fn a_message_is_sent_until_it_is_taken_and_again_where_its_image_comes_again(database: Database) {
    let store = database.store.as_ref();
    let (one, two) = (message("1", "1.2.3", "p1"), message("2", "1.2.4", "p1"));
    keep(store, &[one.clone(), two.clone()]).await;
    // One that is there stays as it is.
    keep(store, &[Outgoing { message: "another".to_owned(), ..one.clone() }]).await;
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
    // The image comes again.
    let results = [result("2.1")];
    let known = ["2.1".to_owned()];
    answer(store, &one, DicomAnswer { results: &results, ..DicomAnswer::default() }).await;
    answer(store, &one, DicomAnswer { known: &known, said_again: Some(6000), ..DicomAnswer::default() })
        .await;
    assert_eq!(store.take_hl7(6000, 7000).await.unwrap(), Some((one, 1)));
    assert_eq!(store.trim_hl7(9999).await.unwrap(), 1, "the other is still to be sent");
}

async fn what_was_said_of_an_image_that_has_changed_is_not_said_any_more(database: Database) {
    let store = database.store.as_ref();
    keep(store, &[message("1", "1.2.3", "p1"), message("2", "1.2.4", "p1")]).await;
    let new = |id| Outgoing { image: "as it is".to_owned(), ..message(id, "1.2.3", "p2") };
    keep(store, &[new("3"), new("4")]).await;
    let mut left = Vec::new();
    while let Some((message, _)) = store.take_hl7(1000, 2000).await.unwrap() {
        left.push(message.id);
    }
    left.sort();
    assert_eq!(left, ["2", "3", "4"]);
}

async fn what_is_said_of_an_erased_person_is_erased(database: Database) {
    let store = database.store.as_ref();
    store.put_users(&[User { user_id: "p1".to_owned(), profile: Profile::default() }]).await.unwrap();
    keep(store, &[message("1", "1.2.3", "p1"), message("2", "1.2.4", "p2")]).await;
    store.delete_user("p1").await.unwrap();
    let (left, _) = store.take_hl7(1000, 2000).await.unwrap().unwrap();
    assert_eq!((left.id.as_str(), store.hl7_backlog().await.unwrap().unsent), ("2", 1));
}

on_both!(
    what_was_said_of_an_image_that_has_changed_is_not_said_any_more,
    a_message_is_sent_until_it_is_taken_and_again_where_its_image_comes_again,
    what_is_said_of_an_erased_person_is_erased,
);
