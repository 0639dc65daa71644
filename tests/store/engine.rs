//! The `database` engine: the numbers of a plain computation over the same data, to the last bit,
//! and sums that stay true whoever writes at the same time.

use std::collections::BTreeMap;

use medserve::recommend::data::{Interaction, Item, Kind};
use medserve::recommend::source::{Evidence, ItemTies, Neighbor, ScoredItem, Similarity};
use medserve::recommend::weights::{Repeats, Weighing};
use medserve::store::InteractionFilter;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::database::{Database, interaction, item, user};

const USERS: usize = 24;
const ITEMS: usize = 12;

/// Every third item is an advice, the others are drugs.
fn items() -> Vec<Item> {
    (0..ITEMS).map(|n| item(&format!("i{n}"), if n % 3 == 0 { Kind::Advice } else { Kind::Drug })).collect()
}

fn random_interactions(random: &mut impl Rng) -> Vec<Interaction> {
    // Few and round weights make ties; the others make sums that depend on their order.
    let weights = [1.0, 1.0, 2.0, 0.5, 0.1, 0.3, 1e-3, 7.7];
    (0..220)
        .map(|_| {
            let user = format!("u{}", random.random_range(0..USERS));
            let item = format!("i{}", random.random_range(0..ITEMS));
            let day = random.random_range(0..400);
            let weight = weights[random.random_range(0..weights.len())];
            let mut row = interaction(&user, &item, day * 86_400_000, weight);
            row.event = ["visit", "refill", "look"][random.random_range(0..3)].to_owned();
            row
        })
        .collect()
}

fn weighings() -> Vec<Weighing> {
    let events = BTreeMap::from([("refill".to_owned(), 2.5f32), ("look".to_owned(), 0.0)]);
    let plain = Weighing::default();
    vec![
        plain.clone(),
        Weighing { repeats: Repeats::Last, ..plain.clone() },
        Weighing { events: events.clone(), other_events: 0.75, ..plain.clone() },
        Weighing {
            events,
            half_life_days: Some(90.0),
            reference_time: 500 * 86_400_000,
            repeats: Repeats::Last,
            ..plain
        },
    ]
}

type Row = BTreeMap<String, f32>;

/// Every user's row of a kind, by the words of the rules.
fn rows(interactions: &[Interaction], kind: Kind, weighing: &Weighing) -> BTreeMap<String, Row> {
    let kinds: BTreeMap<String, Kind> = items().into_iter().map(|item| (item.item_id, item.kind)).collect();
    let mut latest: BTreeMap<(&str, &str, &str, i64), &Interaction> = BTreeMap::new();
    for row in interactions {
        latest.insert((&row.user_id, &row.item_id, &row.event, row.time), row);
    }
    let mut cells: BTreeMap<(String, String), Vec<(i64, f32)>> = BTreeMap::new();
    for row in latest.into_values().filter(|row| kinds[&row.item_id] == kind) {
        let factor = weighing.events.get(&row.event).copied().unwrap_or(weighing.other_events);
        let mut counted = f64::from(factor) * f64::from(row.weight);
        if let Some(half_life) = weighing.half_life_days {
            let age = (weighing.reference_time - row.time) as f64 / 86_400_000.0;
            counted *= 2f64.powf(-age / half_life);
        }
        if counted > 0.0 {
            let cell = (row.user_id.clone(), row.item_id.clone());
            cells.entry(cell).or_default().push((row.time, counted as f32));
        }
    }
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for ((user, item), mut counted) in cells {
        counted.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let weight = match weighing.repeats {
            Repeats::Last => counted.last().unwrap().1,
            Repeats::Add => {
                counted.sort_by(|a, b| a.1.total_cmp(&b.1));
                counted.iter().map(|one| f64::from(one.1)).sum::<f64>() as f32
            }
        };
        rows.entry(user).or_default().insert(item, weight);
    }
    rows
}

fn neighbors(rows: &BTreeMap<String, Row>, asking: &str, how: Similarity, m: f64) -> Vec<Neighbor> {
    let Some(own) = rows.get(asking) else {
        return Vec::new();
    };
    let total = |row: &Row| row.values().map(|w| f64::from(*w)).sum::<f64>();
    let squares = |row: &Row| row.values().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>();
    let mut found: Vec<Neighbor> = rows
        .iter()
        .filter(|(user, row)| *user != asking && own.keys().any(|item| row.contains_key(item)))
        .filter_map(|(user, row)| {
            let dot: f64 =
                own.iter().filter_map(|(item, own)| Some(f64::from(*own) * f64::from(*row.get(item)?))).sum();
            let (x, y) = (squares(own), squares(row));
            let similarity = match how {
                Similarity::Cosine => dot / (x.sqrt() * y.sqrt()),
                Similarity::Pearson => {
                    let (sx, sy) = (total(own), total(row));
                    (m * dot - sx * sy) / ((m * x - sx * sx) * (m * y - sy * sy)).sqrt()
                }
                Similarity::Euclidean => 1.0 / (1.0 + (x + y - 2.0 * dot).max(0.0).sqrt()),
            };
            (similarity >= 1e-6).then(|| Neighbor { user_id: user.clone(), similarity })
        })
        .collect();
    found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| a.user_id.cmp(&b.user_id)));
    found
}

fn scores(rows: &BTreeMap<String, Row>, neighbors: &[Neighbor]) -> Vec<ScoredItem> {
    let mut scores: BTreeMap<&str, (f64, u32)> = BTreeMap::new();
    for neighbor in neighbors {
        for (item, weight) in &rows[&neighbor.user_id] {
            let score = scores.entry(item).or_default();
            score.0 += neighbor.similarity * f64::from(*weight);
            score.1 += 1;
        }
    }
    let scored = |(item, (score, count)): (&str, (f64, u32))| ScoredItem {
        item_id: item.to_owned(),
        score,
        supporting_neighbors: count,
    };
    scores.into_iter().map(scored).collect()
}

#[tokio::test]
async fn neighbors_and_scores_are_those_of_a_plain_computation_to_the_bit() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.postgres_store().await;
    let users: Vec<_> = (0..USERS).map(|n| user(&format!("u{n}"))).collect();
    database.store.put_users(&users).await.unwrap();
    database.store.put_items(&items()).await.unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for weighing in weighings() {
        for user in &users {
            let every = InteractionFilter::default();
            database.store.delete_interactions(&user.user_id, &every).await.unwrap();
        }
        let interactions = random_interactions(&mut random);
        // Half of it is there when the engine is switched on, half is written afterwards.
        let (before, after) = interactions.split_at(110);
        database.store.put_interactions(before).await.unwrap();
        let evidence = store.evidence(&weighing).await.unwrap();
        database.store.put_interactions(after).await.unwrap();
        for (kind, m) in [(Kind::Drug, 8.0), (Kind::Advice, 4.0)] {
            let rows = rows(&interactions, kind, &weighing);
            for asking in ["u0", "u5", "u11", "nobody"] {
                check(&evidence, kind, asking, &rows, m).await;
            }
            popular(&evidence, kind, &rows).await;
            let everyone: Vec<String> = users.iter().map(|user| user.user_id.clone()).collect();
            let mut some = evidence.with_history(kind, &everyone).await.unwrap();
            some.sort();
            assert_eq!(some, rows.keys().cloned().collect::<Vec<_>>());
        }
        // All replicas switch it on; the next finds it done.
        store.evidence(&weighing).await.unwrap();
    }
}

async fn check(evidence: &dyn Evidence, kind: Kind, asking: &str, rows: &BTreeMap<String, Row>, m: f64) {
    let own = evidence.history(kind, asking).await.unwrap();
    let expected = rows.get(asking).cloned().unwrap_or_default();
    let got: Row = own.iter().map(|own| (own.item_id.clone(), own.weight)).collect();
    assert_eq!(got, expected);
    assert!(own.is_sorted_by(|a, b| a.item_id < b.item_id));

    for how in Similarity::ALL {
        let expected = neighbors(rows, asking, how, m);
        let got = evidence.neighbors(kind, asking, how, 100).await.unwrap();
        assert_eq!(got, expected, "{asking} {how:?}");
        let few = evidence.neighbors(kind, asking, how, 5).await.unwrap();
        assert_eq!(few, expected[..expected.len().min(5)]);

        let expected = scores(rows, &few);
        let mut got = evidence.scores(kind, &few).await.unwrap();
        got.sort_by(|a, b| a.item_id.cmp(&b.item_id));
        assert_eq!(got, expected);
        let Some(best) = expected.first() else {
            continue;
        };
        let mut ties = evidence.ties(kind, &own, &few, &best.item_id, 3).await.unwrap();
        ties.supporters.sort();
        assert_eq!(ties, expected_ties(rows, &rows[asking], &few, &best.item_id));
    }
}

fn expected_ties(rows: &BTreeMap<String, Row>, own: &Row, neighbors: &[Neighbor], item: &str) -> ItemTies {
    let has_it = |one: &&Neighbor| rows[&one.user_id].contains_key(item);
    let mut ties: Vec<(f64, &String)> = own
        .iter()
        .map(|(own_item, weight)| {
            let tie = neighbors
                .iter()
                .filter(has_it)
                .filter_map(|one| {
                    let theirs = rows[&one.user_id].get(own_item)?;
                    Some(one.similarity * f64::from(*weight) * f64::from(*theirs))
                })
                .sum();
            (tie, own_item)
        })
        .filter(|(tie, _)| *tie > 0.0)
        .collect();
    ties.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let mut supporters: Vec<String> =
        neighbors.iter().filter(has_it).map(|one| one.user_id.clone()).collect();
    supporters.sort();
    ItemTies { supporters, shared_items: ties.into_iter().take(3).map(|(_, item)| item.clone()).collect() }
}

async fn popular(evidence: &dyn Evidence, kind: Kind, rows: &BTreeMap<String, Row>) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for item in rows.values().flat_map(Row::keys) {
        *counts.entry(item).or_default() += 1;
    }
    let mut expected: Vec<(u32, &str)> = counts.into_iter().map(|(item, n)| (n, item)).collect();
    expected.sort_by_key(|(count, item)| (std::cmp::Reverse(*count), *item));
    let got = evidence.popular(kind, 3).await.unwrap();
    let got: Vec<(u32, &str)> =
        got.iter().map(|one| (one.supporting_neighbors, one.item_id.as_str())).collect();
    assert_eq!(got, expected[..expected.len().min(3)]);
}

/// Writers that meet on the same few users, items that change their kind, users that go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn norms_stay_true_under_concurrent_writes() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.postgres_store().await;
    let users: Vec<_> = (0..4).map(|n| user(&format!("u{n}"))).collect();
    database.store.put_users(&users).await.unwrap();
    database.store.put_items(&items()).await.unwrap();
    store.evidence(&Weighing::default()).await.unwrap();
    let writers: Vec<_> = (0..8u64)
        .map(|seed| {
            let store = database.store.clone();
            tokio::spawn(async move {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                for _ in 0..25 {
                    let someone = format!("u{}", random.random_range(0..4));
                    match random.random_range(0..10) {
                        0 => {
                            let every = InteractionFilter::default();
                            store.delete_interactions(&someone, &every).await.unwrap();
                        }
                        1 => {
                            let mut all = items();
                            let mut moved = all.swap_remove(random.random_range(0..ITEMS));
                            moved.kind = Kind::ALL[random.random_range(0..5)];
                            store.put_items(&[moved]).await.unwrap();
                        }
                        _ => {
                            let mut rows: Vec<_> = random_interactions(&mut random);
                            rows.truncate(20);
                            for row in &mut rows {
                                row.user_id = format!("u{}", random.random_range(0..4));
                            }
                            store.put_interactions(&rows).await.unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(database.number("SELECT count(*) FROM user_norms").await > 4);
    let wrong = database
        .number(
            "WITH before AS MATERIALIZED (SELECT * FROM user_norms),
             cells AS (
                 SELECT n.user_id, i.kind, n.item_id, sum(n.counted)::real::float8 AS weight
                 FROM counted_interactions n JOIN items i ON i.id = n.item_id
                 GROUP BY n.user_id, i.kind, n.item_id),
             true_norms AS (
                 SELECT user_id, kind, sum(weight ORDER BY item_id) AS total,
                     sum(weight * weight ORDER BY item_id) AS squares
                 FROM cells GROUP BY user_id, kind)
             SELECT count(*) FROM before FULL JOIN true_norms USING (user_id, kind, total, squares)
             WHERE before IS NULL OR true_norms IS NULL",
        )
        .await;
    assert_eq!(wrong, 0, "rows of user_norms that are not what the data says");
    database.store.delete_user("u0").await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM user_norms WHERE user_id = 'u0'").await, 0);
}
