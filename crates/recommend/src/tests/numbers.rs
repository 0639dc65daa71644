//! The numbers: the matrix against brute force, the same answer however the data came, and both
//! engines alike.

use std::sync::Arc;

use futures::FutureExt;
use proptest::prelude::*;

use super::fake_store::{FakeStore, item};
use crate::answer::{Recommendation, Request};
use crate::data::{Kind, Profile};
use crate::layers::Layers;
use crate::load::Loader;
use crate::neighbors::{Rows, Search, search};
use crate::ranking::implicit;
use crate::recommender::Recommender;
use crate::settings::Settings;
use crate::source::{Evidence, Similarity};
use crate::weights::{Repeats, Weighing};

/// (user, item, weight) of a few users and items: many ties, many shared items.
fn events() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    prop::collection::vec((0u8..12, 0u8..15, 1u8..4), 1..80)
}

/// Names whose order is not that of the numbers, some of one length and some not.
fn user(number: u8) -> String {
    format!("user {}/é", u32::from(number) * 7 % 13)
}

fn thing(number: u8) -> String {
    format!("item-{}", u32::from(number) * 11 % 17)
}

fn store(events: &[(u8, u8, u8)]) -> Arc<FakeStore> {
    let store = FakeStore::default();
    let mut tables = store.tables();
    for number in 0..15 {
        tables.put_item(item(&thing(number), Kind::Advice));
    }
    for number in 0..12 {
        let mut profile = Profile { birth_year: Some(1950 + 3 * i32::from(number)), ..Profile::default() };
        profile.lifestyle = vec![["runner", "smoker", "vegetarian"][usize::from(number) % 3].into()];
        tables.put_user(&user(number), profile);
    }
    for &(u, i, w) in events {
        tables.add(&user(u), &thing(i), f32::from(w));
    }
    drop(tables);
    Arc::new(store)
}

/// The future of something that waits for nobody, though it may let others run first.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    polled(&mut std::pin::pin!(future)).expect("the fake store never waits")
}

/// What there is of it once it has come as far as it can.
pub fn polled<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    (0..9).find_map(|_| future.now_or_never())
}

fn in_memory(store: &Arc<FakeStore>) -> Recommender {
    let settings = Settings { neighbors: 5, ..Settings::default() };
    now(Recommender::in_memory(Arc::clone(store) as _, settings, 0)).unwrap()
}

fn in_database(store: &Arc<FakeStore>) -> Recommender {
    let settings = Settings { neighbors: 5, ..Settings::default() };
    let evidence = Arc::clone(store) as Arc<dyn Evidence>;
    now(Recommender::in_database(Arc::clone(store) as _, evidence, settings, 0)).unwrap()
}

/// What everybody is recommended, by every similarity.
fn answers(recommender: &Recommender) -> Vec<Recommendation> {
    let mut answers = Vec::new();
    for number in 0..12 {
        for similarity in Similarity::ALL {
            let mut request = Request::new(user(number), Kind::Advice, 1_700_000_000_000);
            request.similarity = similarity;
            let mut answer = now(recommender.recommend(&request)).unwrap();
            answer.as_of = 0;
            answers.push(answer);
        }
    }
    answers
}

/// Neighbors and scores of everybody by name, to the bit.
fn everything(layers: &Layers) -> Vec<String> {
    let mut all = Vec::new();
    let mut names: Vec<&str> = (0..layers.users.len() as u32)
        .filter(|&u| !layers.row(u).is_empty())
        .map(|u| layers.users.name(u))
        .collect();
    names.sort_unstable();
    for name in names {
        let user = layers.users.get(name).unwrap();
        for similarity in Similarity::ALL {
            for rows in [Rows::Raw, Rows::Centred] {
                let wanted = Search { similarity, rows, count: 40, item_total: 50 };
                let neighbors = search(layers, layers.row(user), Some(user), &wanted);
                let mut scores: Vec<(&str, u64)> = implicit(layers, &neighbors)
                    .into_iter()
                    .map(|c| (layers.items.name(c.item), c.score.to_bits()))
                    .collect();
                scores.sort_unstable();
                let neighbors: Vec<(&str, u64)> =
                    neighbors.iter().map(|&(u, s)| (layers.users.name(u), s.to_bits())).collect();
                all.push(format!("{name}: {neighbors:?} {scores:?}"));
            }
        }
    }
    all
}

fn load(events: impl IntoIterator<Item = (String, String, f32)>, weighing: &Weighing) -> Layers {
    let mut loader = Loader::new(weighing.clone());
    for (user, item, weight) in events {
        loader.push(&user, &item, "use", weight, 0);
    }
    loader.finish()
}

proptest! {
    #[test]
    fn both_engines_give_the_same_items_in_the_same_order(events in events()) {
        let store = store(&events);
        prop_assert_eq!(answers(&in_memory(&store)), answers(&in_database(&store)));
    }

    #[test]
    fn the_order_of_the_data_does_not_matter(
        (events, shuffled) in events().prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        }),
    ) {
        for repeats in [Repeats::Add, Repeats::Last] {
            let weighing = Weighing { repeats, ..Weighing::default() };
            // Weights that add up to different bits in different orders.
            let named = |events: &[(u8, u8, u8)]| {
                let name = |&(u, i, w): &(u8, u8, u8)| (user(u), thing(i), f32::from(w) * 0.1);
                load(events.iter().map(name).collect::<Vec<_>>(), &weighing)
            };
            prop_assert_eq!(everything(&named(&events)), everything(&named(&shuffled)));
        }
    }

    #[test]
    fn writes_taken_over_one_by_one_equal_a_fresh_load(
        before in events(),
        after in events(),
        deleted in prop::collection::vec(0u8..12, 0..4),
    ) {
        let store = store(&before);
        let live = in_memory(&store);
        for (u, i, w) in after {
            store.tables().add(&user(u), &thing(i), f32::from(w));
            now(live.fresh().written(&[user(u)], &[])).unwrap();
        }
        for u in deleted {
            store.tables().delete_user(&user(u));
            store.tables().put_user(&user(u), Profile::default());
            now(live.fresh().refresh(0)).unwrap();
        }
        prop_assert_eq!(answers(&live), answers(&in_memory(&store)));
        let (live, loaded) = (live.fresh().snapshot(), in_memory(&store).fresh().snapshot());
        let layers = |kind: &crate::snapshot::KindSnapshot| kind.layers.clone();
        let (live, loaded) = (layers(live.kind(Kind::Advice)), layers(loaded.kind(Kind::Advice)));
        prop_assert_eq!(everything(&live), everything(&loaded));
        prop_assert_eq!(live.entry_count(), loaded.entry_count());
        let merged = live.merged(|_| false).0;
        prop_assert_eq!(everything(&merged), everything(&loaded));
    }
}

/// Enough writes that rows are gathered and merged on the way, with names that sort before,
/// between and after those loaded first.
#[test]
fn layers_equal_a_fresh_load_at_every_depth() {
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let name = |prefix: &str, n: u64| format!("{prefix}{}", n * 7_919 % 10_007);
    let store = Arc::new(FakeStore::default());
    for i in 0..40 {
        store.tables().put_item(item(&name("i", i), Kind::Drug));
    }
    for u in 0..900 {
        store.tables().put_user(&name("u", u), Profile::default());
    }
    for _ in 0..3_000 {
        let (u, i, w) = (random(700), random(30), random(9) + 1);
        store.tables().add(&name("u", u), &name("i", i), w as f32 * 0.3);
    }
    let live = in_memory(&store);
    let mut merges = 0;
    for step in 0..1_400 {
        let (u, i, w) = (random(900), random(40), random(9) + 1);
        if step % 10 == 3 {
            store.tables().delete_user(&name("u", u));
            store.tables().put_user(&name("u", u), Profile::default());
        } else {
            store.tables().add(&name("u", u), &name("i", i), w as f32 * 0.7);
        }
        now(live.fresh().written(&[name("u", u)], &[])).unwrap();
        if step == 700 || step == 1_390 {
            let snapshot = live.fresh().snapshot();
            let mut kind = snapshot.kind(Kind::Drug).clone();
            assert!(kind.layers.fresh_rows() > 256, "the middle layer is in use");
            let (mut merged, numbers) = kind.merged();
            // A write that comes while the merge is under way.
            let row = kind.layers.row(5).iter().unzip();
            let (items, weights): (Vec<u32>, Vec<f32>) = row;
            let user = kind.layers.users.intern("a late user");
            kind.layers.replace(vec![(user, crate::layers::Row::new(items, weights))]);
            merged.catch_up(&kind, &numbers, ["a late user".to_owned()].iter());
            assert_eq!(everything(&merged.layers), everything(&kind.layers));
            assert_eq!(merged.layers.fresh_rows(), 1);
            assert_eq!(merged.catalogue.len(), 40);
            merges += 1;
        }
    }
    assert_eq!(merges, 2);
    let (live, loaded) = (live.fresh().snapshot(), in_memory(&store).fresh().snapshot());
    let (live, loaded) = (&live.kind(Kind::Drug).layers, &loaded.kind(Kind::Drug).layers);
    assert_eq!(everything(live), everything(loaded));
}

/// More users than one block of columns holds.
#[test]
fn users_in_different_blocks_are_compared_alike() {
    let events = (0..70_000u32).flat_map(|u| {
        let group = u % 1_000;
        (0..2).map(move |i| (format!("{u:05}"), format!("{group}-{i}"), 1.0 + (u / 1_000) as f32))
    });
    let layers = load(events, &Weighing::default());
    let wanted = Search {
        similarity: Similarity::Euclidean,
        rows: Rows::Raw,
        count: 100,
        item_total: layers.items.len(),
    };
    let user = layers.users.get("69500").unwrap();
    let neighbors = search(&layers, layers.row(user), Some(user), &wanted);
    let names: Vec<&str> = neighbors.iter().map(|&(u, _)| layers.users.name(u)).collect();
    // The user's group has 69 others; weights differ by 1 from one to the next.
    assert_eq!(names.len(), 69);
    assert_eq!(names[..3], ["68500", "67500", "66500"]);
    assert_eq!(names[68], "00500");
}

/// Two raters of "both", one of "one": with a shrinkage of two the first prediction stands half
/// way to the user's mean, and a minimum of two leaves the second out.
#[test]
fn few_raters_are_believed_less_and_too_few_not_at_all() {
    let store = FakeStore::default();
    let mut tables = store.tables();
    for name in ["high", "low", "both", "one"] {
        tables.put_item(item(name, Kind::Advice));
    }
    let ratings = [
        ("una", vec![("high", 5.0), ("low", 1.0)]),
        ("van", vec![("high", 5.0), ("low", 2.0), ("both", 5.0), ("one", 5.0)]),
        ("wim", vec![("high", 4.0), ("low", 1.0), ("both", 4.0)]),
    ];
    for (user, rated) in ratings {
        tables.put_user(user, Profile::default());
        rated.into_iter().for_each(|(name, rating)| tables.add(user, name, rating));
    }
    drop(tables);
    let store = Arc::new(store);
    let scores = |min_raters, shrinkage| {
        let weighing = Weighing { repeats: Repeats::Last, ..Weighing::default() };
        let scoring = crate::ranking::Scoring::Explicit;
        let settings = Settings { scoring, weighing, min_raters, shrinkage, ..Settings::default() };
        let recommender = now(Recommender::in_memory(Arc::clone(&store) as _, settings, 0)).unwrap();
        let answer = now(recommender.recommend(&Request::new("una", Kind::Advice, 0))).unwrap();
        let scores = answer.items.into_iter().map(|item| (item.item_id, item.score));
        scores.collect::<std::collections::BTreeMap<_, _>>()
    };
    let plain = scores(1, 0.0);
    assert_eq!(plain.keys().collect::<Vec<_>>(), ["both", "one"]);
    let shrunk = scores(2, 2.0);
    assert_eq!(shrunk.keys().collect::<Vec<_>>(), ["both"]);
    let mean = 3.0;
    assert!((shrunk["both"] - (mean + (plain["both"] - mean) / 2.0)).abs() < 1e-12, "{shrunk:?} {plain:?}");
    assert!(plain["both"] > mean);
}
