//! Weights of learned recommenders in the database: the answers of the weights in memory, written once and whole, and
//! written again where they are gone.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use recommend::{
    ContextWeights, DistanceWeight, Evidence, Interaction, ItemWeights, Kind, Laid, Learned, Recommendation,
    Recommender, Request, Settings, Strategy, Unknown, User, Weighing,
};

use super::database::{Database, interaction, item, user};

const USERS: usize = 20;
const ITEMS: usize = 30;
const NOW: i64 = 1_700_000_000_000;

/// Random rows over so many columns; one in four is empty.
fn laid(random: &mut impl Rng, rows: usize, columns: usize, diagonal: bool) -> Laid {
    let mut laid: Laid = (vec![0], Vec::new(), Vec::new());
    for row in 0..rows {
        for column in (0..columns).filter(|&column| diagonal || column != row) {
            if row % 4 != 3 && random.random_range(0..3) == 0 {
                laid.1.push(column as u32);
                laid.2.push(random.random_range(-0.3..0.7));
            }
        }
        laid.0.push(laid.1.len());
    }
    laid
}

/// A package of most of the items, and of two that are in no catalogue.
fn package(seed: u64, base: bool, context: bool, distance: bool) -> Learned {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut names: Vec<Box<str>> = (1..ITEMS).map(|n| format!("i{n:02}").into()).collect();
    names.extend(["a-gone".into(), "z-gone".into()]);
    names.sort();
    let count = names.len();
    let (starts, targets, weights) = laid(&mut random, count, count, false);
    let bases = (0..count).map(|_| if base { random.random_range(-0.1..0.2) } else { 0.0 }).collect();
    let weights = ItemWeights::new(names, bases, starts, targets, weights).unwrap();
    let learned = Learned::new("habits".into(), seed.to_string(), Kind::Advice, weights);
    let learned = learned.with_digest(format!("digest-{seed}"));
    if !context {
        return learned;
    }
    let features = [
        "age: 60 to 69",
        "age: 70 to 79",
        "condition: gout",
        "lifestyle: runner",
        "sex: female",
        "sex: male",
    ];
    let features: Vec<Box<str>> = features.map(Box::from).to_vec();
    let parts = laid(&mut random, features.len(), count, true);
    let factors = laid(&mut random, features.len(), count, true);
    let distance = distance.then_some(DistanceWeight { weight: -0.4, mean: 1.5 });
    learned.with_context(ContextWeights::new(features, count, parts, factors, distance).unwrap())
}

async fn filled(database: &Database) {
    let people: Vec<User> = (0..USERS)
        .map(|n| {
            let mut one = user(&format!("u{n}"));
            one.profile.birth_year = Some(1950 + n as i32);
            one.profile.sex = [None, Some(recommend::Sex::Female), Some(recommend::Sex::Male)][n % 3];
            one.profile.lifestyle = vec![["runner", "smoker"][n % 2].to_owned()];
            one.profile.conditions = (n % 4 > 0).then(|| vec!["Gout".to_owned()]);
            (one.profile.latitude, one.profile.longitude) = (Some(n as f64), Some(0.0));
            one
        })
        .collect();
    database.store.put_users(&people).await.unwrap();
    let things = (0..ITEMS).map(|n| {
        // The first has come after the package.
        let mut one = item(&format!("i{n:02}"), if n % 10 == 9 { Kind::Drug } else { Kind::Advice });
        one.hidden = n == 4;
        if n % 5 < 4 {
            (one.latitude, one.longitude) = (Some(n as f64), Some(0.2));
        }
        one
    });
    database.store.put_items(&things.collect::<Vec<_>>()).await.unwrap();
}

fn events(random: &mut impl Rng) -> Vec<Interaction> {
    let event = |_| {
        // The last two have nothing.
        let (user, item) = (random.random_range(0..USERS - 2), random.random_range(0..ITEMS));
        interaction(&format!("u{user}"), &format!("i{item:02}"), random.random_range(0..9), 1.0)
    };
    (0..90).map(event).collect()
}

fn settings() -> Settings {
    Settings { unknown: Unknown::Allow, ..Settings::default() }
}

async fn in_database(database: &Database) -> Recommender {
    let evidence = database.store.evidence(&Weighing::default()).await.unwrap();
    Recommender::in_database(database.replica().await, evidence, settings(), NOW).await.unwrap()
}

async fn ask(recommender: &Recommender, user: &str, learned: &Learned) -> Recommendation {
    let mut request = Request::new(user, Kind::Advice, NOW);
    request.limit = 12;
    recommender.recommend_by(&request, Some(learned)).await.unwrap()
}

/// The same to 1e-9 of a score, and else in every word.
fn same(mut theirs: Recommendation, mut ours: Recommendation, about: &str) {
    assert_eq!(theirs.items.len(), ours.items.len(), "{about}: {theirs:?} {ours:?}");
    for (one, other) in theirs.items.iter_mut().zip(&mut ours.items) {
        let error = (one.score - other.score).abs();
        assert!(error <= 1e-9 * other.score.abs().max(1.0), "{about}: {one:?} {other:?}");
        one.score = other.score;
    }
    theirs.as_of = ours.as_of;
    assert_eq!(theirs, ours, "{about}");
}

#[tokio::test]
async fn the_database_gives_the_answers_of_the_weights_in_memory() {
    let Some(database) = Database::postgres().await else { return };
    filled(&database).await;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut learned_ones, mut others) = (0, 0);
    let packages = [
        package(1, false, false, false),
        package(2, true, false, false),
        package(3, true, true, false),
        package(4, false, true, true),
    ];
    for package in packages {
        database.plain_sql("DELETE FROM interactions").await;
        database.store.put_interactions(&events(&mut random)).await.unwrap();
        let memory = Recommender::in_memory(database.replica().await, settings(), NOW).await.unwrap();
        let computed = in_database(&database).await;
        computed.keep(&package).await.unwrap();
        for number in 0..USERS {
            let who = format!("u{number}");
            let ours = ask(&memory, &who, &package).await;
            match ours.strategy {
                Strategy::Learned => learned_ones += 1,
                _ => others += 1,
            }
            same(ask(&computed, &who, &package).await, ours, &format!("{who} by {}", package.version));
        }
        // A write counts on the next read.
        let who = format!("u{}", USERS - 1);
        database.store.put_interactions(&[interaction(&who, "i01", 1, 1.0)]).await.unwrap();
        for recommender in [&memory, &computed] {
            recommender.fresh().written(std::slice::from_ref(&who), &[]).await.unwrap();
        }
        let ours = ask(&memory, &who, &package).await;
        same(ask(&computed, &who, &package).await, ours, "after a write");
    }
    assert!(learned_ones > 40 && others > 4, "{learned_ones} {others}");
}

#[tokio::test]
async fn a_package_is_written_once_and_whole_and_again_where_it_is_gone() {
    let Some(database) = Database::postgres().await else { return };
    filled(&database).await;
    database.store.put_interactions(&[interaction("u1", "i01", 1, 1.0)]).await.unwrap();
    let computed = in_database(&database).await;
    let first = package(1, true, true, false);
    let weights = first.weights().weight_count() as i64;
    let written = "SELECT coalesce(sum(cardinality(weights)), 0) FROM learned_rows WHERE part = 'item'";
    let rows = "SELECT coalesce(sum(xmin::text::bigint), 0)::bigint FROM learned_rows";
    let packages = "SELECT count(*) FROM learned_packages";

    // Replicas that start together write it once.
    let replica = in_database(&database).await;
    let (one, other) = tokio::join!(computed.keep(&first), replica.keep(&first));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!((database.number(written).await, database.number(packages).await), (weights, 1));
    let before = database.number(rows).await;
    computed.keep(&first).await.unwrap();
    assert_eq!(database.number(rows).await, before, "what is there stays as it is");

    // Somebody has removed it: the next answer has it written again.
    let expected = ask(&computed, "u1", &first).await;
    assert_eq!(expected.strategy, Strategy::Learned);
    database.plain_sql("TRUNCATE learned_packages CASCADE").await;
    same(ask(&computed, "u1", &first).await, expected, "written again");
    assert_eq!((database.number(written).await, database.number(packages).await), (weights, 1));

    // A write that fails leaves nothing.
    database
        .plain_sql("ALTER TABLE learned_rows ADD CONSTRAINT refused CHECK (part <> 'factor') NOT VALID")
        .await;
    let second = package(2, true, true, false);
    assert!(computed.keep(&second).await.is_err());
    assert_eq!(database.number(packages).await, 1);
    let holding = "SELECT count(*) FROM learned_items WHERE package = 'digest-2'";
    assert_eq!(database.number(holding).await, 0);
    database.plain_sql("ALTER TABLE learned_rows DROP CONSTRAINT refused").await;

    // Of a name the latest three stay.
    for seed in 2..=5 {
        computed.keep(&package(seed, false, false, false)).await.unwrap();
    }
    let kept = database.texts("SELECT digest FROM learned_packages ORDER BY digest").await;
    assert_eq!(kept, ["digest-3", "digest-4", "digest-5"]);
    assert_eq!(database.number("SELECT count(DISTINCT package) FROM learned_rows").await, 3);
}

/// With a package the neighbors are not computed at all, unless they are needed.
#[tokio::test]
async fn sums_need_no_neighbors() {
    let Some(database) = Database::postgres().await else { return };
    filled(&database).await;
    database.store.put_interactions(&[interaction("u1", "i01", 1, 2.5)]).await.unwrap();
    let evidence = database.store.evidence(&Weighing::default()).await.unwrap();
    let package = package(1, false, false, false);
    let asked =
        async |evidence: &dyn Evidence| evidence.sums(Kind::Advice, "u1", &package, &[]).await.unwrap();
    assert_eq!(asked(&*evidence).await, None, "it was not written yet");
    evidence.keep(&package).await.unwrap();
    database.plain_sql("DROP TABLE user_norms").await;
    let summed = asked(&*evidence).await.unwrap();
    assert_eq!(
        summed.own.iter().map(|own| (own.item_id.as_str(), own.weight)).collect::<Vec<_>>(),
        [("i01", 2.5)]
    );
    let (targets, weights) = package.weights().row(package.weights().number("i01").unwrap());
    let expected: Vec<(u32, f64)> = targets
        .iter()
        .zip(weights)
        .map(|(item, weight)| (*item, f64::from(*weight)))
        .filter(|(_, sum)| *sum > 0.0)
        .collect();
    let mut found: Vec<(u32, f64)> = summed.sums.iter().map(|sum| (sum.item, sum.sum)).collect();
    found.sort_by_key(|(item, _)| *item);
    assert_eq!(found, expected);
    let nobody = evidence.sums(Kind::Advice, "nobody", &package, &[]).await.unwrap().unwrap();
    assert!(nobody.own.is_empty() && nobody.sums.is_empty());
}
