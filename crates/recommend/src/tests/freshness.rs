//! What is written is seen, what fails changes nothing.

use std::sync::Arc;

use futures::FutureExt;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::answer::{RecommendError, Recommendation, Request, Strategy};
use crate::data::{Kind, Profile};
use crate::recommender::Recommender;
use crate::settings::Settings;

fn adviser(store: &Arc<FakeStore>) -> Recommender {
    now(Recommender::in_memory(Arc::clone(store) as _, Settings::default(), 1_000)).unwrap()
}

fn ask(recommender: &Recommender, user: &str, kind: Kind) -> Recommendation {
    now(recommender.recommend(&Request::new(user, kind, 1_700_000_000_000))).unwrap()
}

fn ids(answer: &Recommendation) -> Vec<&str> {
    answer.items.iter().map(|item| item.item_id.as_str()).collect()
}

/// Two walkers, one of whom also swims.
fn walkers() -> Arc<FakeStore> {
    let store = FakeStore::default();
    let mut tables = store.tables();
    for name in ["ann", "bob"] {
        tables.put_user(name, Profile::default());
    }
    for name in ["walk", "swim", "rest"] {
        tables.put_item(item(name, Kind::Advice));
    }
    tables.add("ann", "walk", 1.0);
    tables.add("bob", "walk", 1.0);
    tables.add("bob", "swim", 1.0);
    drop(tables);
    Arc::new(store)
}

#[test]
fn a_write_of_ours_is_seen_by_the_next_read() {
    let store = walkers();
    let recommender = adviser(&store);
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), ["swim"]);
    store.tables().add("bob", "rest", 9.0);
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), ["swim"], "nobody has told us yet");
    now(recommender.fresh().written(&["bob".into()], &[])).unwrap();
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), ["rest", "swim"]);
}

#[test]
fn a_write_of_others_is_seen_after_a_poll() {
    let store = walkers();
    let recommender = adviser(&store);
    store.tables().put_user("cid", Profile::default());
    store.tables().put_item(item("yoga", Kind::Advice));
    store.tables().add("cid", "walk", 1.0);
    store.tables().add("cid", "yoga", 1.0);
    now(recommender.fresh().refresh(2_000)).unwrap();
    let answer = ask(&recommender, "ann", Kind::Advice);
    assert_eq!(ids(&answer), ["swim", "yoga"], "equal scores, so by id");
    assert_eq!(answer.as_of, 2_000);
}

#[test]
fn a_deleted_user_leaves_no_trace() {
    let store = walkers();
    let recommender = adviser(&store);
    store.tables().delete_user("bob");
    now(recommender.fresh().refresh(2_000)).unwrap();
    let request = Request::new("bob", Kind::Advice, 0);
    assert!(matches!(now(recommender.recommend(&request)), Err(RecommendError::UnknownUser)));
    let answer = ask(&recommender, "ann", Kind::Advice);
    assert_eq!((answer.strategy, ids(&answer)), (Strategy::InsufficientEvidence, vec![]));
}

#[test]
fn a_deleted_item_is_recommended_no_more() {
    let store = walkers();
    let recommender = adviser(&store);
    store.tables().delete_item("swim");
    now(recommender.fresh().refresh(2_000)).unwrap();
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), Vec::<&str>::new());
}

#[test]
fn an_item_that_changes_its_kind_takes_its_history_along() {
    let store = walkers();
    let recommender = adviser(&store);
    store.tables().put_item(item("walk", Kind::Hospital));
    store.tables().put_item(item("swim", Kind::Hospital));
    now(recommender.fresh().written(&[], &["walk".into(), "swim".into()])).unwrap();
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Hospital)), ["swim"]);
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), Vec::<&str>::new());
}

#[test]
fn hiding_an_item_takes_effect_at_once() {
    let store = walkers();
    let recommender = adviser(&store);
    let mut hidden = item("swim", Kind::Advice);
    hidden.hidden = true;
    store.tables().put_item(hidden);
    now(recommender.fresh().written(&[], &["swim".into()])).unwrap();
    let answer = ask(&recommender, "ann", Kind::Advice);
    assert!(answer.items.is_empty() && answer.excluded.is_empty(), "hidden items never appear");
}

#[test]
fn with_the_database_down_reads_go_on_from_the_last_snapshot() {
    let store = walkers();
    let recommender = adviser(&store);
    now(recommender.fresh().refresh(2_000)).unwrap();
    store.tables().add("bob", "rest", 9.0);
    store.tables().down = true;
    assert!(now(recommender.fresh().refresh(3_000)).is_err());
    assert!(now(recommender.fresh().written(&["bob".into()], &[])).is_err());
    let answer = ask(&recommender, "ann", Kind::Advice);
    assert_eq!((ids(&answer), answer.as_of), (vec!["swim"], 2_000));

    store.tables().down = false;
    // The next write, though of somebody else, makes up for the one that failed.
    now(recommender.fresh().written(&["ann".into()], &[])).unwrap();
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), ["rest", "swim"]);
}

/// Whoever is first in line reads for all who wait; if that one's client hangs up, the others'
/// writes must not be lost with it.
#[test]
fn a_writer_that_hangs_up_takes_nobody_elses_write_along() {
    let store = walkers();
    let recommender = adviser(&store);
    let (one, ann, bob) = (["one".to_owned()], ["ann".to_owned()], ["bob".to_owned()]);
    let first = store.tables().close_gate();
    let mut reading = Box::pin(recommender.fresh().written(&one, &[]));
    assert!((&mut reading).now_or_never().is_none());
    store.tables().add("bob", "rest", 9.0);
    let mut hangs_up = Box::pin(recommender.fresh().written(&ann, &[]));
    let mut waits = Box::pin(recommender.fresh().written(&bob, &[]));
    assert!((&mut hangs_up).now_or_never().is_none() && (&mut waits).now_or_never().is_none());

    let _second = store.tables().close_gate();
    first.send(()).unwrap();
    assert!(matches!((&mut reading).now_or_never(), Some(Ok(()))));
    assert!((&mut hangs_up).now_or_never().is_none(), "it reads for both, and is in the middle of it");
    drop(hangs_up);
    now(waits).unwrap();
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), ["rest", "swim"]);
}

#[test]
fn a_feed_that_cannot_say_what_changed_means_loading_anew() {
    let store = walkers();
    let recommender = adviser(&store);
    store.tables().delete_user("bob");
    store.tables().put_user("cid", Profile::default());
    store.tables().add("cid", "walk", 1.0);
    store.tables().add("cid", "rest", 1.0);
    store.tables().forget_the_feed();
    now(recommender.fresh().refresh(2_000)).unwrap();
    assert!(recommender.fresh().reload_is_due());
    assert_eq!(ask(&recommender, "ann", Kind::Advice).as_of, 1_000, "it does not know of everything");
    now(recommender.fresh().reload(3_000)).unwrap();
    assert!(!recommender.fresh().reload_is_due());
    let answer = ask(&recommender, "ann", Kind::Advice);
    assert_eq!((ids(&answer), answer.as_of), (vec!["rest"], 3_000));
    now(recommender.fresh().refresh(4_000)).unwrap();
    assert_eq!(ask(&recommender, "ann", Kind::Advice).as_of, 4_000);
}

/// Loading millions of rows takes a minute, which a client with a committed write must not wait,
/// nor must the readers of what others write.
#[test]
fn while_everything_is_loaded_anew_writes_are_seen_and_kept() {
    let store = walkers();
    let recommender = adviser(&store);
    store.tables().forget_the_feed();
    now(recommender.fresh().refresh(2_000)).unwrap();
    let open = store.tables().close_gate();
    let mut loading = Box::pin(recommender.fresh().reload(3_000));
    assert!((&mut loading).now_or_never().is_none());
    store.tables().add("bob", "rest", 9.0);
    now(recommender.fresh().written(&["bob".into()], &[])).unwrap();
    assert_eq!(ids(&ask(&recommender, "ann", Kind::Advice)), ["rest", "swim"]);
    store.tables().add("bob", "swim", 90.0);
    now(recommender.fresh().refresh(4_000)).unwrap();
    let answer = ask(&recommender, "ann", Kind::Advice);
    assert_eq!((ids(&answer), answer.as_of), (vec!["swim", "rest"], 1_000));
    store.tables().add("bob", "rest", 900.0);
    open.send(()).unwrap();
    assert!(matches!(loading.now_or_never(), Some(Ok(()))));
    let answer = ask(&recommender, "ann", Kind::Advice);
    assert_eq!((ids(&answer), answer.as_of), (vec!["rest", "swim"], 3_000));
}

/// What is lost to the feed while everything is loaded anew is made up for by loading once more.
#[test]
fn a_feed_that_is_reset_during_a_reload_is_a_reason_for_another() {
    let store = walkers();
    let recommender = adviser(&store);
    store.tables().forget_the_feed();
    now(recommender.fresh().refresh(2_000)).unwrap();
    let open = store.tables().close_gate();
    let mut loading = Box::pin(recommender.fresh().reload(3_000));
    assert!((&mut loading).now_or_never().is_none());
    store.tables().forget_the_feed();
    open.send(()).unwrap();
    assert!(matches!(loading.now_or_never(), Some(Ok(()))));
    assert!(recommender.fresh().reload_is_due());
    now(recommender.fresh().refresh(4_000)).unwrap();
    assert_eq!(ask(&recommender, "ann", Kind::Advice).as_of, 3_000);
    now(recommender.fresh().reload(5_000)).unwrap();
    assert!(!recommender.fresh().reload_is_due());
}

/// What a person had is hidden at once when the person goes, and gone from memory with the next
/// tidying.
#[test]
fn a_deleted_user_is_a_reason_to_merge() {
    let store = walkers();
    let recommender = adviser(&store);
    assert!(!recommender.fresh().merge_is_due(true));
    store.tables().delete_user("bob");
    now(recommender.fresh().written(&["bob".into()], &[])).unwrap();
    assert!(recommender.fresh().merge_is_due(true) && !recommender.fresh().merge_is_due(false));
    recommender.fresh().merge(true);
    assert!(!recommender.fresh().merge_is_due(true));
    let snapshot = recommender.fresh().snapshot();
    let layers = &snapshot.kind(Kind::Advice).layers;
    assert_eq!((layers.users.get("bob"), layers.entry_count()), (None, 1));
}

#[test]
fn a_snapshot_in_use_does_not_change() {
    let store = walkers();
    let recommender = adviser(&store);
    let before = recommender.fresh().snapshot();
    store.tables().add("ann", "rest", 1.0);
    now(recommender.fresh().written(&["ann".into()], &[])).unwrap();
    let layers = &before.kind(Kind::Advice).layers;
    let ann = layers.users.get("ann").unwrap();
    assert_eq!(layers.row(ann).items.len(), 1);
}

#[test]
fn being_named_without_a_change_costs_no_row() {
    let store = walkers();
    let recommender = adviser(&store);
    now(recommender.fresh().written(&["ann".into(), "bob".into()], &["walk".into()])).unwrap();
    assert_eq!(recommender.fresh().snapshot().kind(Kind::Advice).layers.fresh_rows(), 0);
}

/// The host merges when it is due; nothing anybody can see may change by it.
#[test]
fn a_merge_changes_no_answer() {
    let store = walkers();
    let recommender = adviser(&store);
    let mut names = vec!["ann".to_owned()];
    for n in 0..1_500 {
        let name = format!("user {n}");
        store.tables().put_user(&name, Profile::default());
        store.tables().add(&name, "walk", 1.0);
        store.tables().add(&name, ["swim", "rest"][n % 2], 1.0 + (n % 7) as f32);
        names.push(name);
    }
    now(recommender.fresh().written(&names, &[])).unwrap();
    assert!(recommender.fresh().merge_is_due(false));
    let before: Vec<_> = names.iter().map(|name| ask(&recommender, name, Kind::Advice)).collect();
    recommender.fresh().merge(false);
    assert!(!recommender.fresh().merge_is_due(false));
    assert_eq!(recommender.fresh().snapshot().kind(Kind::Advice).layers.fresh_rows(), 0);
    let after: Vec<_> = names.iter().map(|name| ask(&recommender, name, Kind::Advice)).collect();
    assert_eq!(before, after);
    // And the next write finds its way as before.
    store.tables().delete_user("user 7");
    now(recommender.fresh().written(&["user 7".into()], &[])).unwrap();
    let request = Request::new("user 7", Kind::Advice, 0);
    assert!(matches!(now(recommender.recommend(&request)), Err(RecommendError::UnknownUser)));
}

/// Another replica took an allergy, and the feed has not told of it yet.
#[test]
fn a_drug_is_answered_on_what_is_known_of_the_person_now() {
    let store = walkers();
    for (user, drug) in [("ann", "aspirin"), ("bob", "aspirin"), ("bob", "statin")] {
        store.tables().put_item(item(drug, Kind::Drug));
        store.tables().add(user, drug, 1.0);
    }
    let known = |allergies: &[&str]| crate::data::Profile {
        allergies: Some(allergies.iter().map(ToString::to_string).collect()),
        medications: Some(Vec::new()),
        ..Default::default()
    };
    store.tables().put_user("ann", known(&[]));
    let recommender =
        now(Recommender::in_memory(Arc::clone(&store) as _, Settings::default(), 1_000)).unwrap();
    let ask = |at| now(recommender.recommend(&Request::new("ann", Kind::Drug, at))).unwrap();
    assert_eq!(ids(&ask(1_000)), ["statin"]);

    store.tables().put_user("ann", known(&["statin"]));
    let answer = ask(2_000);
    assert!(answer.items.is_empty() && answer.excluded[0].item_id == "statin", "{answer:?}");
    store.tables().put_user("ann", known(&[]));
    assert_eq!(ids(&ask(3_000)), ["statin"]);

    // Too old, and not to be read: no drug, and the reason.
    let reason = |answer: Recommendation| {
        assert!(answer.items.is_empty(), "{answer:?}");
        answer.abstained.unwrap()
    };
    assert!(reason(ask(63_000)).contains("62 seconds old"));
    now(recommender.fresh().refresh(63_000)).unwrap();
    assert_eq!(ids(&ask(63_000)), ["statin"]);
    store.tables().down = true;
    assert!(reason(ask(63_000)).contains("cannot be read"));
}
