//! The `database` engine: the numbers of a plain computation over the same data, to the last bit,
//! and sums that stay true whoever writes at the same time.

use std::collections::{BTreeMap, BTreeSet};

use medserve::store::{InteractionFilter, StoreError};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use recommend::{
    Evidence, Interaction, Item, Kind, Neighbor, PopularItem, Recommender, Repeats, Request, ScoredItem,
    Settings, Similarity, Strategy, Unknown, User, Weighing,
};
use sqlx::{Connection, Executor};

use super::database::{Database, interaction, item, user};

const USERS: usize = 24;
const ITEMS: usize = 12;
const NOW: i64 = 1_700_000_000_000;
/// The item that is hidden, where one is.
const HIDDEN: &str = "i1";

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

fn scores(rows: &BTreeMap<String, Row>, own: &Row, neighbors: &[Neighbor]) -> Vec<ScoredItem> {
    let mut scores: BTreeMap<&str, ScoredItem> = BTreeMap::new();
    for (place, neighbor) in neighbors.iter().enumerate() {
        for (item, weight) in &rows[&neighbor.user_id] {
            let scored = scores.entry(item).or_insert_with(|| ScoredItem {
                item_id: item.clone(),
                score: 0.0,
                supporters: Vec::new(),
                weights: Vec::new(),
            });
            scored.score += neighbor.similarity * f64::from(*weight);
            scored.supporters.push(place as u32);
            if own.contains_key(item) {
                scored.weights.push(*weight);
            }
        }
    }
    scores.into_values().collect()
}

#[tokio::test]
async fn neighbors_and_scores_are_those_of_a_plain_computation_to_the_bit() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.store.clone();
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
                check(&*evidence, kind, asking, &rows, m).await;
            }
            popular(&*evidence, kind, &rows).await;
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
    let own = rows.get(asking).cloned().unwrap_or_default();
    for how in Similarity::ALL {
        let expected = neighbors(rows, asking, how, m);
        let got = evidence.neighbors(kind, asking, how, 100).await.unwrap();
        assert_eq!(got, expected, "{asking} {how:?}");
        // Wherever the list is cut, the equally alike at its end are those whose ids come first.
        for count in [1, 2, 5, 100] {
            let few = &expected[..expected.len().min(count)];
            let mut found = evidence.find(kind, asking, how, count).await.unwrap();
            let got: Row = found.own.iter().map(|own| (own.item_id.clone(), own.weight)).collect();
            assert_eq!(got, own);
            assert_eq!(found.neighbors, few, "{asking} {how:?} {count}");
            found.scored.sort_by(|a, b| a.item_id.cmp(&b.item_id));
            assert_eq!(found.scored, scores(rows, &own, few), "{asking} {how:?} {count}");

            let mut again = evidence.scores(kind, &found.own, few).await.unwrap();
            again.sort_by(|a, b| a.item_id.cmp(&b.item_id));
            assert_eq!(again, found.scored, "the same neighbors, given by name");
        }
    }
}

/// The own items that tie the user to those of the neighbors who have the item, by the words of
/// the manual.
fn expected_ties(rows: &BTreeMap<String, Row>, own: &Row, neighbors: &[Neighbor], item: &str) -> Vec<String> {
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
        .filter(|(tie, item)| *tie > 0.0 && *item != HIDDEN)
        .collect();
    ties.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    ties.into_iter().take(5).map(|(_, item)| item.clone()).collect()
}

async fn popular(evidence: &dyn Evidence, kind: Kind, rows: &BTreeMap<String, Row>) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for item in rows.values().flat_map(Row::keys) {
        *counts.entry(item).or_default() += 1;
    }
    let popular = |(item, users): (&str, u32)| PopularItem { item_id: item.to_owned(), users };
    let mut expected: Vec<PopularItem> = counts.into_iter().map(popular).collect();
    expected.sort_by_key(|one| (std::cmp::Reverse(one.users), one.item_id.clone()));
    expected.truncate(3);
    assert_eq!(evidence.popular(kind, 3).await.unwrap(), expected);
}

/// How many rows of `user_norms` are not what the data says.
async fn wrong_norms(database: &Database) -> i64 {
    database
        .number(
            "WITH before AS MATERIALIZED (SELECT * FROM user_norms),
             cells AS (
                 SELECT n.user_id, i.kind, n.item_id,
                     sum(n.counted ORDER BY n.counted)::real::float8 AS weight
                 FROM counted_interactions n JOIN items i ON i.id = n.item_id
                 GROUP BY n.user_id, i.kind, n.item_id),
             true_norms AS (
                 SELECT user_id, kind, sum(weight ORDER BY item_id) AS total,
                     sum(weight * weight ORDER BY item_id) AS squares
                 FROM cells GROUP BY user_id, kind)
             SELECT count(*) FROM before FULL JOIN true_norms USING (user_id, kind, total, squares)
             WHERE before IS NULL OR true_norms IS NULL",
        )
        .await
}

/// Somebody gets an item in one transaction while another changes the item's kind: neither sees
/// the other's work, whichever of them commits first.
#[tokio::test]
async fn norms_stay_true_when_an_item_changes_its_kind_while_somebody_gets_it() {
    let gets = "INSERT INTO interactions (user_id, item_id, event) VALUES ('u1', 'd1', 'visit')";
    let has = "UPDATE interactions SET item_id = 'd1' WHERE user_id = 'u1'";
    let moves = "UPDATE items SET kind = 'advice' WHERE id = 'd1'";
    for (first, second) in [(gets, moves), (moves, gets), (has, moves), (moves, has)] {
        let Some(database) = Database::postgres().await else {
            return;
        };
        let database = database.with_people_and_things().await;
        database.store.evidence(&Weighing::default()).await.unwrap();
        database.store.put_interactions(&[interaction("u1", "d2", 1, 2.0)]).await.unwrap();
        let connect = async || sqlx::PgConnection::connect(&database.url).await.unwrap();
        let (mut one, mut two) = (connect().await, connect().await);
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut two).await.unwrap();
        one.execute(sqlx::AssertSqlSafe(format!("BEGIN; {first}"))).await.unwrap();
        let other = tokio::spawn(async move {
            two.execute(second).await.unwrap();
        });
        // Until the second is through or waits for the first.
        let waits = format!("SELECT count(*) FROM pg_locks WHERE pid = {backend} AND NOT granted");
        while !other.is_finished() && database.number(&waits).await == 0 {
            tokio::task::yield_now().await;
        }
        one.execute("COMMIT").await.unwrap();
        other.await.unwrap();
        assert_eq!(wrong_norms(&database).await, 0, "{first}; {second}");
    }
}

/// Sums of doubles depend on their order; here by so much that it shows in 32 bits.
#[tokio::test]
async fn repeats_are_added_smallest_first_as_in_memory() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let database = database.with_people_and_things().await;
    let evidence = database.store.evidence(&Weighing::default()).await.unwrap();
    let tiny = 2f32.powi(-54);
    let weights = [1.0, 2f32.powi(-24), tiny, tiny, tiny];
    let rows: Vec<_> =
        (0..).zip(weights).map(|(time, weight)| interaction("u1", "d1", time, weight)).collect();
    database.store.put_interactions(&rows).await.unwrap();
    let expected = 1.0 + 2f32.powi(-23);
    let found = evidence.find(Kind::Drug, "u1", Similarity::Cosine, 1).await.unwrap();
    assert_eq!(found.own[0].weight, expected);
    assert_eq!(wrong_norms(&database).await, 0);
    let memory = in_memory(&database, &Weighing::default()).await;
    let drugs = &memory.fresh().snapshot().kind(Kind::Drug).layers.clone();
    assert_eq!(drugs.row(drugs.users.get("u1").unwrap()).weights, [expected]);
}

/// Replicas that start later find the sums made and leave writers in peace.
#[tokio::test]
async fn switching_on_what_is_on_changes_nothing() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let weighing = Weighing::default();
    database.store.evidence(&weighing).await.unwrap();
    let made = database.number("SELECT xmin::text::bigint FROM weighing").await;
    database.replica().await.evidence(&weighing).await.unwrap();
    assert_eq!(database.number("SELECT xmin::text::bigint FROM weighing").await, made);
}

/// Everything an answer says, from both engines over one database.
#[tokio::test]
async fn both_engines_give_the_same_answers() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let people = (0..USERS).map(|n| {
        let mut one = user(&format!("u{n}"));
        one.profile.birth_year = Some(1950 + 2 * n as i32);
        one.profile.lifestyle = vec![["runner", "smoker", "vegetarian"][n % 3].to_owned()];
        (one.profile.allergies, one.profile.medications) = (Some(vec![]), Some(vec![]));
        one
    });
    // The last few have no history, so that context has to speak for them.
    let mut people: Vec<_> = people.collect();
    for n in 0..3 {
        people.push(User { user_id: format!("new{n}"), ..people[n].clone() });
    }
    people.push(user("stranger"));
    database.store.put_users(&people).await.unwrap();
    let mut things = items();
    things.iter_mut().for_each(|item| item.hidden = item.item_id == HIDDEN);
    things[2].repeatable = true;
    database.store.put_items(&things).await.unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut strategies = BTreeSet::new();
    for weighing in weighings() {
        database.plain_sql("DELETE FROM interactions").await;
        let interactions = random_interactions(&mut random);
        database.store.put_interactions(&interactions).await.unwrap();
        let rows = rows(&interactions, Kind::Drug, &weighing);
        let memory = in_memory(&database, &weighing).await;
        let evidence = database.store.evidence(&weighing).await.unwrap();
        let settings = settings(&weighing);
        let database =
            Recommender::in_database(database.replica().await, evidence, settings, NOW).await.unwrap();
        for (person, similarity) in people.iter().flat_map(|one| Similarity::ALL.map(|how| (one, how))) {
            let mut request = Request::new(&person.user_id, Kind::Drug, NOW);
            let count = [1, 2, 7, 40][random.random_range(0..4)];
            (request.similarity, request.neighbors) = (similarity, Some(count));
            let mut theirs = database.recommend(&request).await.unwrap();
            let ours = memory.recommend(&request).await.unwrap();
            theirs.as_of = ours.as_of;
            assert_eq!(theirs, ours, "{similarity:?} {count} {weighing:?}");
            strategies.insert(serde_json::to_string(&ours.strategy).unwrap());
            if ours.strategy == Strategy::Neighbors {
                let mut alike = neighbors(&rows, &person.user_id, similarity, 8.0);
                alike.truncate(count);
                for item in &ours.items {
                    let expected = expected_ties(&rows, &rows[&person.user_id], &alike, &item.item_id);
                    assert_eq!(item.because.shared_items, expected, "{item:?}");
                }
            }
            let theirs = database.neighbors(&request).await.unwrap();
            assert_eq!(theirs, memory.neighbors(&request).await.unwrap());
        }
    }
    assert!(strategies.len() >= 3, "{strategies:?}");
}

fn settings(weighing: &Weighing) -> Settings {
    Settings { weighing: weighing.clone(), neighbors: 7, unknown: Unknown::Allow, ..Settings::default() }
}

async fn in_memory(database: &Database, weighing: &Weighing) -> Recommender {
    Recommender::in_memory(database.replica().await, settings(weighing), NOW).await.unwrap()
}

/// What may come of a write among many: done, refused because another had been there, or taken
/// back for another's sake.
fn settled<T>(outcome: Result<T, StoreError>) {
    use StoreError::{Conflict, NotFound, OtherKind, Unavailable, UnknownItem, UnknownUser};
    match outcome {
        Ok(_) => {}
        Err(
            NotFound { .. }
            | UnknownUser { .. }
            | UnknownItem { .. }
            | OtherKind { .. }
            | Conflict(_)
            | Unavailable(_),
        ) => {}
        Err(error) => panic!("{error:?}"),
    }
}

/// Writers that meet on the same few users, items that change their kind, users and items that go
/// and come back, loads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn norms_stay_true_under_concurrent_writes() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.store.clone();
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
                    let every = InteractionFilter::default();
                    let some = random.random_range(0..ITEMS);
                    let mut rows: Vec<_> = random_interactions(&mut random);
                    rows.truncate(20);
                    for row in &mut rows {
                        row.user_id = format!("u{}", random.random_range(0..4));
                    }
                    match random.random_range(0..14) {
                        0 => settled(store.delete_interactions(&someone, &every).await),
                        1 => {
                            let mut moved = items().swap_remove(some);
                            moved.kind = Kind::ALL[random.random_range(0..5)];
                            settled(store.put_items(&[moved]).await);
                        }
                        2 => {
                            settled(store.delete_user(&someone).await);
                            settled(store.put_users(&[user(&someone)]).await);
                        }
                        3 => {
                            settled(store.delete_item(&format!("i{some}")).await);
                            settled(store.put_items(&items()).await);
                        }
                        4 => {
                            let mut load = store.begin_load().await.unwrap();
                            load.interactions(&rows).await.unwrap();
                            settled(load.commit(Some(Kind::Drug)).await);
                        }
                        _ => settled(store.put_interactions(&rows).await),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(database.number("SELECT count(*) FROM user_norms").await > 4);
    let wrong = wrong_norms(&database).await;
    assert_eq!(wrong, 0, "rows of user_norms that are not what the data says");
    let u0 = interaction("u0", "i1", 1, 1.0);
    database.store.put_interactions(&[u0]).await.unwrap();
    database.store.delete_user("u0").await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM user_norms WHERE user_id = 'u0'").await, 0);
}
