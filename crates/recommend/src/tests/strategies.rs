//! Which strategy answers, and what each says of itself: both engines over the same small worlds.

use std::sync::Arc;

use serde_json::json;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::answer::{Recommendation, Request, Strategy, Support};
use crate::data::{Item, Kind, Profile};
use crate::recommender::Recommender;
use crate::settings::Settings;

/// The answer for `me`, the same from both engines.
fn ask(store: &Arc<FakeStore>, settings: &Settings) -> Recommendation {
    let request = Request::new("me", Kind::Advice, 1_717_200_000_000);
    let memory = Recommender::in_memory(Arc::clone(store) as _, settings.clone(), 0);
    let database =
        Recommender::in_database(Arc::clone(store) as _, Arc::clone(store) as _, settings.clone(), 0);
    let [ours, theirs] =
        [now(memory), now(database)].map(|engine| now(engine.unwrap().recommend(&request)).unwrap());
    assert_eq!(ours, theirs);
    ours
}

fn ids(answer: &Recommendation) -> Vec<&str> {
    answer.items.iter().map(|item| item.item_id.as_str()).collect()
}

/// Everybody is an asthmatic in their sixties and has what is listed.
fn world(people: &[(&str, &[&str])]) -> Arc<FakeStore> {
    let store = FakeStore::default();
    let mut tables = store.tables();
    for &(user, things) in people {
        let profile = json!({"birth_year": 1955, "conditions": ["Asthma"]});
        tables.put_user(user, serde_json::from_value::<Profile>(profile).unwrap());
        for thing in things {
            tables.put_item(item(thing, Kind::Advice));
            tables.add(user, thing, 1.0);
        }
    }
    drop(tables);
    Arc::new(store)
}

#[test]
fn what_one_has_is_recommended_again_only_if_repeatable() {
    let store = world(&[("me", &["base"]), ("you", &["base"])]);
    assert_eq!(ask(&store, &Settings::default()).strategy, Strategy::InsufficientEvidence);
    store.tables().put_item(Item { repeatable: true, ..item("base", Kind::Advice) });
    let answer = ask(&store, &Settings::default());
    assert_eq!((answer.strategy, ids(&answer)), (Strategy::Neighbors, vec!["base"]));
}

#[test]
fn a_short_history_is_left_to_the_circumstances() {
    let store = world(&[("me", &["walk"]), ("you", &["walk", "swim"])]);
    let by = |min_history| ask(&store, &Settings { min_history, ..Settings::default() }).strategy;
    assert_eq!((by(1), by(2)), (Strategy::Neighbors, Strategy::Context));
}

/// The neighbors have nothing new, but others in like circumstances do.
#[test]
fn neighbors_that_leave_nothing_are_followed_by_the_circumstances() {
    let store = world(&[("me", &["walk"]), ("you", &["walk"]), ("she", &["swim"])]);
    let answer = ask(&store, &Settings::default());
    assert_eq!((answer.strategy, ids(&answer)), (Strategy::Context, vec!["swim"]));
}

#[test]
fn a_hidden_item_of_ones_own_is_not_named_as_the_reason() {
    let store = world(&[("me", &["walk", "diet"]), ("you", &["walk", "diet", "swim"])]);
    let shared = || ask(&store, &Settings::default()).items[0].because.shared_items.clone();
    assert_eq!(shared(), ["diet", "walk"]);
    store.tables().put_item(Item { hidden: true, ..item("diet", Kind::Advice) });
    assert_eq!(shared(), ["walk"]);
}

/// Five people are told of, fewer are not: neither as a number, nor by a score that is that number,
/// nor by what they have in common.
#[test]
fn what_few_people_say_does_not_point_at_them() {
    let few: [(&str, &[&str]); 4] =
        [("me", &[]), ("a", &["rare", "usual"]), ("b", &["usual"]), ("c", &["usual"])];
    let more: [(&str, &[&str]); 2] = [("d", &["usual"]), ("e", &["usual"])];
    let many = [&few[..], &more[..]].concat();
    let forget = |store: Arc<FakeStore>| {
        store.tables().put_user("me", Profile::default());
        store
    };
    let popular = ask(&forget(world(&few)), &Settings::default());
    assert_eq!((popular.strategy, ids(&popular)), (Strategy::Popular, vec!["usual", "rare"]));
    assert!(popular.items.iter().all(|item| item.score == 5.0));
    assert!(popular.items.iter().all(|item| item.because.supporting_neighbors == Support::Few));

    let alike = ask(&world(&few), &Settings::default());
    assert_eq!(alike.strategy, Strategy::Context);
    assert!(alike.items.iter().all(|item| item.because.context.is_empty()), "{alike:?}");
    let alike = ask(&world(&many), &Settings::default());
    assert_eq!(alike.items[0].because.context, ["age: 60 to 69", "condition: asthma"]);
    assert!(alike.items[1].because.context.is_empty());
}

#[test]
fn neighbors_tell_what_circumstances_they_share() {
    let people: [(&str, &[&str]); 6] = [
        ("me", &["walk"]),
        ("a", &["walk", "swim"]),
        ("b", &["walk", "swim"]),
        ("c", &["walk", "swim"]),
        ("d", &["walk", "swim"]),
        ("e", &["walk", "swim"]),
    ];
    let answer = ask(&world(&people), &Settings::default());
    assert_eq!(answer.strategy, Strategy::Neighbors);
    assert_eq!(answer.items[0].because.context, ["age: 60 to 69", "condition: asthma"]);
}
