//! DICOM in the store: images wait once, are taken by one at a time and never lost; results are kept, sent and go.

use bytes::Bytes;
use medserve::store::dicom::{Backlog, DicomResult, Received, ResultQuery};
use medserve::store::hl7::Outgoing;
use recommend::{Profile, User};

use super::database::Database;
use super::on_both;

fn image(instance: &str) -> Received {
    Received {
        sop_instance: instance.to_owned(),
        image: "as it was".to_owned(),
        study: "1.2".to_owned(),
        patient: "p1".to_owned(),
        caller: "PACS".to_owned(),
        address: "10.0.0.7".to_owned(),
        received: 1000,
        file: Bytes::from_static(b"\0\xffDICM"),
    }
}

fn result(instance: &str) -> DicomResult {
    DicomResult {
        sop_instance: instance.to_owned(),
        series: "1.2.9".to_owned(),
        study: "1.2".to_owned(),
        sop_class: "1.2.840".to_owned(),
        source: "1.2.3".to_owned(),
        image: "as it was".to_owned(),
        patient: "p1".to_owned(),
        model: "pneumonia".to_owned(),
        version: "1".to_owned(),
        created: 2000,
        metadata: "{}".to_owned(),
        file: Bytes::from_static(b"made"),
    }
}

fn of_study(study: &str) -> ResultQuery {
    ResultQuery { study: study.to_owned(), limit: 10, ..ResultQuery::default() }
}

async fn an_image_waits_once_and_no_more_wait_than_may(database: Database) {
    let store = &database.store;
    assert_eq!(store.queue_dicom(&[image("1.2.3")], 2).await.unwrap(), [true]);
    assert_eq!(store.queue_dicom(&[image("1.2.3")], 2).await.unwrap(), [true]);
    assert_eq!(store.queue_dicom(&[image("1.2.4")], 2).await.unwrap(), [true]);
    assert_eq!(store.queue_dicom(&[image("1.2.5")], 2).await.unwrap(), [false], "two wait");
    let both = [image("1.2.6"), image("1.2.4")];
    assert_eq!(store.queue_dicom(&both, 2).await.unwrap(), [false, true], "one waits already");
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog { waiting: 2, unsent: 0 });
}

async fn an_image_that_was_taken_is_taken_again_when_its_time_has_passed(database: Database) {
    let store = &database.store;
    store.queue_dicom(&[image("1.2.3")], 9).await.unwrap();
    let taken = store.take_dicom(1500, 2500).await.unwrap().unwrap();
    assert_eq!((taken.tries, &taken.instance), (1, &image("1.2.3")));
    assert_eq!(store.take_dicom(2000, 3000).await.unwrap(), None);
    let again = store.take_dicom(2500, 3500).await.unwrap().unwrap();
    assert_eq!((again.number, again.tries), (taken.number, 2));
    store.give_back_dicom(again.number, 2600).await.unwrap();
    assert_eq!(store.take_dicom(2599, 9999).await.unwrap(), None);
    assert!(store.take_dicom(2600, 9999).await.unwrap().is_some());
}

async fn an_image_goes_with_its_answer_and_a_failure_keeps_its_reason(database: Database) {
    let store = &database.store;
    store.queue_dicom(&[image("1.2.3")], 9).await.unwrap();
    let taken = store.take_dicom(1000, 2000).await.unwrap().unwrap();
    store.fail_dicom(taken.number, "it cannot be read").await.unwrap();
    assert_eq!(store.take_dicom(9999, 9999).await.unwrap(), None);
    // It may come again, and is answered then.
    store.queue_dicom(&[image("1.2.3")], 9).await.unwrap();
    let taken = store.take_dicom(1000, 2000).await.unwrap().unwrap();
    store.answer_dicom(Some(taken.number), &[result("2.1"), result("2.2")], None).await.unwrap();
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog::default());
    assert_eq!(store.trim_dicom(1500).await.unwrap(), 0, "the failure went with the answer");
    assert_eq!(store.get_dicom("2.1").await.unwrap(), Some(result("2.1")));
    let listed = store.list_dicom(&of_study("1.2")).await.unwrap();
    let uids: Vec<&str> = listed.iter().map(|one| one.sop_instance.as_str()).collect();
    assert_eq!((uids, listed[0].file.len()), (vec!["2.1", "2.2"], 0));
    assert!(store.list_dicom(&of_study("1.3")).await.unwrap().is_empty());
    let known = store.known_dicom(&["2.2".to_owned(), "2.3".to_owned()]).await.unwrap();
    assert_eq!(known, ["2.2"]);
}

async fn a_result_is_sent_until_it_is_and_again_where_its_image_comes_again(database: Database) {
    let store = &database.store;
    store.answer_dicom(None, &[result("2.1")], Some(1000)).await.unwrap();
    let (taken, tries) = store.take_result(1000, 2000).await.unwrap().unwrap();
    assert_eq!((taken, tries), (result("2.1"), 1));
    assert_eq!(store.take_result(1999, 3000).await.unwrap(), None);
    store.sent_result("2.1", Some(1500), Some("no route")).await.unwrap();
    assert_eq!(store.take_result(1500, 3000).await.unwrap().unwrap().1, 2);
    assert_eq!(store.trim_dicom(9999).await.unwrap(), 0, "it is still to be sent");
    store.sent_result("2.1", None, None).await.unwrap();
    assert_eq!(store.take_result(9999, 9999).await.unwrap(), None);
    let other = DicomResult { file: Bytes::from_static(b"made anew"), ..result("2.1") };
    store.answer_dicom(None, &[other], Some(4000)).await.unwrap();
    let (again, tries) = store.take_result(4000, 5000).await.unwrap().unwrap();
    assert_eq!((again, tries), (result("2.1"), 1), "the result stays as it was");
    store.sent_result("2.1", None, None).await.unwrap();
    assert_eq!(store.repeat_dicom(&["2.1".to_owned(), "2.7".to_owned()], Some(6000)).await.unwrap(), 1);
    assert!(store.take_result(6000, 7000).await.unwrap().is_some());
    store.sent_result("2.1", None, Some("given up")).await.unwrap();
    assert_eq!(store.trim_dicom(2001).await.unwrap(), 1);
    assert_eq!(store.get_dicom("2.1").await.unwrap(), None);
}

async fn an_image_that_has_changed_under_its_uid_takes_the_place_of_what_it_was(database: Database) {
    let store = &database.store;
    let changed =
        Received { image: "as it is".into(), patient: "p2".into(), study: "1.3".into(), ..image("1.2.3") };
    store.queue_dicom(&[image("1.2.3")], 1).await.unwrap();
    let before = store.take_dicom(1000, 2000).await.unwrap().unwrap();
    assert_eq!(
        store.queue_dicom(std::slice::from_ref(&changed), 1).await.unwrap(),
        [true],
        "it waits in its own place"
    );
    assert_eq!(store.dicom_backlog().await.unwrap().waiting, 1);
    let now = store.take_dicom(1000, 2000).await.unwrap().unwrap();
    assert_eq!(now.instance, changed);
    // The answer of what it was comes late, and is let go.
    assert!(!store.waits_dicom(before.number).await.unwrap() && store.waits_dicom(now.number).await.unwrap());
    store.answer_dicom(Some(before.number), &[result("2.1")], None).await.unwrap();
    assert_eq!(store.get_dicom("2.1").await.unwrap(), None);
    // And what was made of it before goes with the new answer, and nothing else does.
    let other = DicomResult { source: "1.2.4".to_owned(), ..result("2.9") };
    store.answer_dicom(None, &[result("2.1"), other], Some(1000)).await.unwrap();
    let result = |uid| DicomResult { image: "as it is".to_owned(), patient: "p2".to_owned(), ..result(uid) };
    store.answer_dicom(Some(now.number), &[result("2.2"), result("2.3")], None).await.unwrap();
    let listed = store.list_dicom(&of_study("1.2")).await.unwrap();
    let uids: Vec<&str> = listed.iter().map(|one| one.sop_instance.as_str()).collect();
    assert_eq!(uids, ["2.2", "2.3", "2.9"]);
}

/// Whatever becomes of the image as it is now, what was made of it as it was is nobody's.
async fn an_image_that_has_changed_ends_what_was_made_of_it_and_what_waits(database: Database) {
    let store = &database.store;
    let message = Outgoing {
        id: "m1".to_owned(),
        source: "1.2.3".to_owned(),
        image: "as it was".to_owned(),
        patient: "p1".to_owned(),
        created: 2000,
        message: "MSH".to_owned(),
    };
    let other = DicomResult { source: "1.2.4".to_owned(), ..result("2.9") };
    store.answer_dicom(None, &[result("2.1"), result("2.2"), other], Some(1000)).await.unwrap();
    store.queue_hl7(&[message]).await.unwrap();
    store.queue_dicom(&[image("1.2.3"), image("1.2.4")], 9).await.unwrap();
    assert_eq!(store.supersede_dicom("1.2.3", "as it was").await.unwrap(), 0);
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog { waiting: 2, unsent: 3 }, "it has not changed");
    assert_eq!(store.repeat_dicom(&["2.1".to_owned(), "2.7".to_owned()], None).await.unwrap(), 1);
    assert_eq!(
        store.supersede_dicom("1.2.3", "as it is").await.unwrap(),
        4,
        "two results, a message, an image"
    );
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog { waiting: 1, unsent: 1 });
    assert_eq!(store.hl7_backlog().await.unwrap().unsent, 0);
    assert_eq!(store.take_result(1000, 2000).await.unwrap().unwrap().0.sop_instance, "2.9");
    assert_eq!(store.take_dicom(1000, 2000).await.unwrap().unwrap().instance, image("1.2.4"));
}

async fn what_is_of_an_erased_person_is_erased(database: Database) {
    let store = &database.store;
    let user = User { user_id: "p1".to_owned(), profile: Profile::default() };
    store.put_users(&[user]).await.unwrap();
    store.queue_dicom(&[image("1.2.3")], 9).await.unwrap();
    store
        .answer_dicom(None, &[result("2.1"), DicomResult { patient: "p2".into(), ..result("2.2") }], None)
        .await
        .unwrap();
    store.delete_user("p1").await.unwrap();
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog::default());
    let left = store.list_dicom(&ResultQuery { limit: 9, ..ResultQuery::default() }).await.unwrap();
    assert_eq!(left.iter().map(|one| one.sop_instance.as_str()).collect::<Vec<_>>(), ["2.2"]);
}

async fn a_patient_who_is_no_user_is_erased_as_well(database: Database) {
    let store = &database.store;
    store.queue_dicom(&[image("1.2.3")], 9).await.unwrap();
    store.answer_dicom(None, &[result("2.1")], None).await.unwrap();
    store.delete_user("p1").await.unwrap();
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog::default());
    assert_eq!(store.get_dicom("2.1").await.unwrap(), None);
    assert!(store.delete_user("p1").await.is_err(), "there is nothing any more");
}

on_both!(
    a_patient_who_is_no_user_is_erased_as_well,
    an_image_that_has_changed_ends_what_was_made_of_it_and_what_waits,
    an_image_that_has_changed_under_its_uid_takes_the_place_of_what_it_was,
    an_image_waits_once_and_no_more_wait_than_may,
    an_image_that_was_taken_is_taken_again_when_its_time_has_passed,
    an_image_goes_with_its_answer_and_a_failure_keeps_its_reason,
    a_result_is_sent_until_it_is_and_again_where_its_image_comes_again,
    what_is_of_an_erased_person_is_erased,
);
