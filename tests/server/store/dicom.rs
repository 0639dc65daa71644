//! DICOM in the store: images wait once, are taken by one at a time and never lost; results are kept, sent and go.

use bytes::Bytes;
use medserve::store::Store;
use medserve::store::dicom::{
    Arrival, Arrived, Backlog, DicomAnswer, DicomResult, Kept, Received, ResultQuery, Turn,
};
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

pub(super) fn result(instance: &str) -> DicomResult {
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

/// An image that has come and waits for its answer until 9999.
fn arrival(instance: &str, image: &str) -> Arrival {
    let (sop_instance, image) = (instance.to_owned(), image.to_owned());
    Arrival { sop_instance, image, patient: "p1".to_owned(), waits: true }
}

async fn arrived(store: &dyn Store, arrival: Arrival) -> Turn {
    let arrived = store.arrive_dicom(&[arrival], None, (1000, 9999)).await.unwrap();
    let [Arrived::Waits(number)] = arrived[..] else { panic!("{arrived:?}") };
    Turn::Arrived(number)
}

/// Keeps results as the answer to an image that comes as it was.
async fn made(store: &dyn Store, results: &[DicomResult], due: Option<i64>) {
    for result in results {
        let turn = arrived(store, arrival(&result.source, "as it was")).await;
        let answer = DicomAnswer { results: std::slice::from_ref(result), due, ..DicomAnswer::default() };
        assert_eq!(store.answer_dicom(turn, answer).await.unwrap(), Kept::Yes);
    }
}

async fn left(store: &dyn Store) -> Vec<String> {
    let query = ResultQuery { limit: 99, ..ResultQuery::default() };
    store.list_dicom(&query).await.unwrap().into_iter().map(|one| one.sop_instance).collect()
}

fn message(id: &str, patient: &str) -> Outgoing {
    Outgoing {
        id: id.to_owned(),
        source: "1.2.3".to_owned(),
        image: "as it was".to_owned(),
        patient: patient.to_owned(),
        created: 2000,
        message: "MSH".to_owned(),
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
    // Of both nobody said what came of it; of what was given back somebody did.
    assert_eq!((taken.unfinished, again.unfinished), (1, 2));
    store.give_back_dicom(again.number, 2600).await.unwrap();
    assert_eq!(store.take_dicom(2599, 9999).await.unwrap(), None);
    let given_back = store.take_dicom(2600, 9999).await.unwrap().unwrap();
    assert_eq!((given_back.tries, given_back.unfinished), (3, 1));
    // Whoever is suspected is read alone, and waits for that without being suspected more.
    for expected in [2, 2] {
        let taken = store.take_dicom(9999, 9999).await.unwrap().unwrap();
        assert_eq!(taken.unfinished, expected);
    }
    assert!(store.read_dicom_alone(again.number, 9999).await.unwrap());
    assert!(!store.read_dicom_alone(again.number, 9999).await.unwrap(), "it is read");
    assert_eq!(store.take_dicom(9999, 9999).await.unwrap().unwrap().unfinished, 4);
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
    let results = [result("2.1"), result("2.2")];
    let answer = DicomAnswer { results: &results, ..DicomAnswer::default() };
    assert_eq!(store.answer_dicom(Turn::Queued(taken.number), answer).await.unwrap(), Kept::Yes);
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
    made(store.as_ref(), &[result("2.1")], Some(1000)).await;
    let (taken, tries) = store.take_result(1000, 2000).await.unwrap().unwrap();
    assert_eq!((taken, tries), (result("2.1"), 1));
    assert_eq!(store.take_result(1999, 3000).await.unwrap(), None);
    store.sent_result("2.1", Some(1500), Some("no route")).await.unwrap();
    assert_eq!(store.take_result(1500, 3000).await.unwrap().unwrap().1, 2);
    assert_eq!(store.trim_dicom(9999).await.unwrap(), 0, "it is still to be sent");
    store.sent_result("2.1", None, None).await.unwrap();
    assert_eq!(store.take_result(9999, 9999).await.unwrap(), None);
    let other = DicomResult { file: Bytes::from_static(b"made anew"), ..result("2.1") };
    made(store.as_ref(), &[other], Some(4000)).await;
    let (again, tries) = store.take_result(4000, 5000).await.unwrap().unwrap();
    assert_eq!((again, tries), (result("2.1"), 1), "the result stays as it was");
    store.sent_result("2.1", None, None).await.unwrap();
    let again = async |known: &[&str], due| {
        let known: Vec<String> = known.iter().map(|uid| (*uid).to_owned()).collect();
        let turn = arrived(store.as_ref(), arrival("1.2.3", "as it was")).await;
        let answer = DicomAnswer { known: &known, due, ..DicomAnswer::default() };
        store.answer_dicom(turn, answer).await.unwrap()
    };
    assert_eq!(again(&["2.1", "2.7"], Some(6000)).await, Kept::Again, "one has gone");
    assert_eq!(store.take_result(9999, 9999).await.unwrap(), None);
    assert_eq!(again(&["2.7"], None).await, Kept::Again);
    assert_eq!(again(&["2.1"], Some(6000)).await, Kept::Yes);
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
    let results = [result("2.1")];
    let late = DicomAnswer { results: &results, ..DicomAnswer::default() };
    assert_eq!(store.answer_dicom(Turn::Queued(before.number), late).await.unwrap(), Kept::Gone);
    assert_eq!(store.get_dicom("2.1").await.unwrap(), None);
    let result = |uid| DicomResult { image: "as it is".to_owned(), patient: "p2".to_owned(), ..result(uid) };
    let results = [result("2.2"), result("2.3")];
    let answer = DicomAnswer { results: &results, ..DicomAnswer::default() };
    assert_eq!(store.answer_dicom(Turn::Queued(now.number), answer).await.unwrap(), Kept::Yes);
    assert_eq!(left(store.as_ref()).await, ["2.2", "2.3"]);
}

/// Which of two comes last decides, and not which is answered last, by whichever way they come.
async fn an_answer_is_kept_only_for_the_image_that_came_last(database: Database) {
    let store = database.store.as_ref();
    let results = |image: &str, uid: &str| [DicomResult { image: image.to_owned(), ..result(uid) }];
    let messages = [message("m1", "p1")];
    let old = results("as it was", "2.1");
    let old = DicomAnswer { results: &old, messages: &messages, ..DicomAnswer::default() };
    let new = results("as it is", "2.2");
    let new = DicomAnswer { results: &new, ..DicomAnswer::default() };
    // Over STOW-RS both.
    let before = arrived(store, arrival("1.2.3", "as it was")).await;
    let after = arrived(store, arrival("1.2.3", "as it is")).await;
    assert_eq!(store.answer_dicom(after, new).await.unwrap(), Kept::Yes);
    assert_eq!(store.answer_dicom(before, old).await.unwrap(), Kept::Gone);
    assert_eq!((left(store).await, store.hl7_backlog().await.unwrap().unsent), (vec!["2.2".to_owned()], 0));
    // One by the network, after the other and before it.
    let changed = Received { image: "as it is".to_owned(), ..image("1.2.3") };
    let before = arrived(store, arrival("1.2.3", "as it was")).await;
    assert_eq!(left(store).await, [""; 0], "it came last");
    assert_eq!(store.queue_dicom(&[changed], 9).await.unwrap(), [true]);
    assert_eq!(store.answer_dicom(before, old).await.unwrap(), Kept::Gone);
    let queued = store.take_dicom(1000, 2000).await.unwrap().unwrap();
    let after = arrived(store, arrival("1.2.3", "as it was")).await;
    assert_eq!(store.answer_dicom(Turn::Queued(queued.number), new).await.unwrap(), Kept::Gone);
    assert_eq!(store.answer_dicom(after, old).await.unwrap(), Kept::Yes);
    assert_eq!((left(store).await, store.hl7_backlog().await.unwrap().unsent), (vec!["2.1".to_owned()], 1));
    // The same twice at once are both answered, and one that was answered waits no more.
    let (one, other) = (
        arrived(store, arrival("1.2.3", "as it was")).await,
        arrived(store, arrival("1.2.3", "as it was")).await,
    );
    assert_eq!(store.answer_dicom(one, old).await.unwrap(), Kept::Yes);
    assert_eq!(store.answer_dicom(other, old).await.unwrap(), Kept::Yes);
    assert_eq!(store.answer_dicom(other, old).await.unwrap(), Kept::Gone);
}

/// Of many that come at one moment one is the last, and what is left is of it alone.
async fn of_versions_that_come_at_once_one_is_left(database: Database) {
    let store = &database.store;
    for round in 0..8 {
        let tasks = (0..8).map(|version| {
            let (store, name) = (store.clone(), format!("{round}.{version}"));
            tokio::spawn(async move {
                let turn = if version % 2 == 0 {
                    arrived(store.as_ref(), arrival("1.2.3", &name)).await
                } else {
                    let image = Received { image: name.clone(), ..image("1.2.3") };
                    store.queue_dicom(&[image], 99).await.unwrap();
                    match store.take_dicom(1000, 9999).await.unwrap() {
                        Some(taken) if taken.instance.image == name => Turn::Queued(taken.number),
                        _ => return,
                    }
                };
                let results = [DicomResult { image: name.clone(), ..result(&name) }];
                let answer = DicomAnswer { results: &results, ..DicomAnswer::default() };
                store.answer_dicom(turn, answer).await.unwrap();
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert!(left(store.as_ref()).await.len() <= 1, "{:?}", left(store.as_ref()).await);
    }
}

/// Who may ask some models alone ends only what those made.
async fn who_may_ask_some_models_ends_nothing_of_others(database: Database) {
    let store = database.store.as_ref();
    let own = ["triage".to_owned(), "lungs".to_owned()];
    let all = ["pneumonia".to_owned(), "lungs".to_owned()];
    let comes = async |instance: &str, models: Option<&[String]>| {
        let arrival = Arrival { waits: false, ..arrival(instance, "as it is") };
        store.arrive_dicom(&[arrival], models, (1000, 9999)).await.unwrap()[0]
    };
    let lungs = DicomResult { model: "lungs".to_owned(), ..result("2.2") };
    made(store, &[result("2.1"), lungs], None).await;
    assert_eq!(comes("1.2.3", Some(&own)).await, Arrived::NotAllowed, "pneumonia made one");
    assert_eq!(left(store).await.len(), 2);
    assert_eq!(comes("1.2.3", Some(&all)).await, Arrived::Ended);
    assert_eq!(left(store).await.len(), 0);
    // What waits for all models, and what waits for others.
    store.queue_dicom(&[image("1.2.4")], 9).await.unwrap();
    assert_eq!(comes("1.2.4", Some(&all)).await, Arrived::NotAllowed);
    let turn = arrived(store, arrival("1.2.5", "as it was")).await;
    assert_eq!(comes("1.2.5", Some(&all)).await, Arrived::NotAllowed);
    store.arrive_dicom(&[arrival("1.2.6", "as it was")], Some(&own), (1000, 9999)).await.unwrap();
    assert_eq!(comes("1.2.6", Some(&all)).await, Arrived::NotAllowed);
    assert_eq!(comes("1.2.6", Some(&own)).await, Arrived::Ended);
    // What a process left behind is nobody's.
    let arrival = Arrival { waits: false, ..arrival("1.2.5", "as it is") };
    let late = store.arrive_dicom(&[arrival], Some(&all), (10_000, 10_001)).await.unwrap();
    assert_eq!(late, [Arrived::Ended]);
    assert_eq!(store.answer_dicom(turn, DicomAnswer::default()).await.unwrap(), Kept::Gone);
}

/// Whatever becomes of the image as it is now, what was made of it as it was is nobody's.
async fn an_image_that_has_changed_ends_what_was_made_of_it_and_what_waits(database: Database) {
    let store = &database.store;
    let other = DicomResult { source: "1.2.4".to_owned(), ..result("2.9") };
    made(store.as_ref(), &[result("2.1"), result("2.2"), other], Some(1000)).await;
    let turn = arrived(store.as_ref(), arrival("1.2.3", "as it was")).await;
    let messages = [message("m1", "p1")];
    store.answer_dicom(turn, DicomAnswer { messages: &messages, ..DicomAnswer::default() }).await.unwrap();
    store.queue_dicom(&[image("1.2.3"), image("1.2.4")], 9).await.unwrap();
    let comes = async |image| {
        let arrival = Arrival { waits: false, ..arrival("1.2.3", image) };
        store.arrive_dicom(&[arrival], None, (1000, 1000)).await.unwrap()
    };
    assert_eq!(comes("as it was").await, [Arrived::Ended]);
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog { waiting: 2, unsent: 3 }, "it has not changed");
    assert_eq!(comes("as it is").await, [Arrived::Ended]);
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
    made(store.as_ref(), &[result("2.1"), DicomResult { patient: "p2".into(), ..result("2.2") }], None).await;
    let turn = arrived(store.as_ref(), arrival("1.2.3", "as it was")).await;
    store.delete_user("p1").await.unwrap();
    // What is under way when a person is erased is not kept.
    let results = [result("2.1")];
    let answer = DicomAnswer { results: &results, ..DicomAnswer::default() };
    assert_eq!(store.answer_dicom(turn, answer).await.unwrap(), Kept::Gone);
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog::default());
    let left = store.list_dicom(&ResultQuery { limit: 9, ..ResultQuery::default() }).await.unwrap();
    assert_eq!(left.iter().map(|one| one.sop_instance.as_str()).collect::<Vec<_>>(), ["2.2"]);
}

async fn a_patient_who_is_no_user_is_erased_as_well(database: Database) {
    let store = &database.store;
    store.queue_dicom(&[image("1.2.3")], 9).await.unwrap();
    made(store.as_ref(), &[result("2.1")], None).await;
    let turn = arrived(store.as_ref(), arrival("1.2.3", "as it was")).await;
    store.delete_user("p1").await.unwrap();
    assert_eq!(store.answer_dicom(turn, DicomAnswer::default()).await.unwrap(), Kept::Gone);
    assert_eq!(store.dicom_backlog().await.unwrap(), Backlog::default());
    assert_eq!(store.get_dicom("2.1").await.unwrap(), None);
    assert!(store.delete_user("p1").await.is_err(), "there is nothing any more");
}

on_both!(
    an_answer_is_kept_only_for_the_image_that_came_last,
    of_versions_that_come_at_once_one_is_left,
    who_may_ask_some_models_ends_nothing_of_others,
    a_patient_who_is_no_user_is_erased_as_well,
    an_image_that_has_changed_ends_what_was_made_of_it_and_what_waits,
    an_image_that_has_changed_under_its_uid_takes_the_place_of_what_it_was,
    an_image_waits_once_and_no_more_wait_than_may,
    an_image_that_was_taken_is_taken_again_when_its_time_has_passed,
    an_image_goes_with_its_answer_and_a_failure_keeps_its_reason,
    a_result_is_sent_until_it_is_and_again_where_its_image_comes_again,
    what_is_of_an_erased_person_is_erased,
);
