//! Measurements, not tests: run by hand, on a quiet machine, and printed.
//!
//! ```text
//! cargo test --release --test server -- --ignored --nocapture --test-threads 1 measure
//! ```

use std::fs::File;
use std::time::{Duration, Instant};

use medserve::store::import::{default_event, import_interactions, import_items};
use medserve::store::{Store, demo};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use recommend::{Interaction, InteractionColumns, Kind, Similarity, Weighing};

use super::database::{Database, interaction, item, user};

const NOW: i64 = 1_800_000_000_000;

/// Items as popular as 1/rank^0.8, users of log-normal activity.
async fn fill(store: &dyn Store, users: usize, items: usize, rows: usize) -> Duration {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let sums = |weights: Vec<f64>| -> Vec<f64> {
        let mut sum = 0.0;
        weights
            .iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect()
    };
    let popularity = sums((1..=items).map(|rank| (rank as f64).powf(-0.8)).collect());
    let activity = sums(
        (0..users)
            .map(|_| {
                let normal: f64 = (0..12).map(|_| random.random_range(0.0..1.0)).sum::<f64>() - 6.0;
                normal.exp()
            })
            .collect(),
    );
    let draw = |sums: &[f64], random: &mut ChaCha8Rng| {
        let at = random.random_range(0.0..sums[sums.len() - 1]);
        sums.partition_point(|sum| *sum < at)
    };
    let began = Instant::now();
    let mut load = store.begin_load().await.unwrap();
    let all: Vec<_> = (0..users).map(|n| user(&format!("u{n}"))).collect();
    load.users(&all).await.unwrap();
    let all: Vec<_> = (0..items).map(|n| item(&format!("i{n}"), Kind::Drug)).collect();
    load.items(&all).await.unwrap();
    let mut left = rows;
    while left > 0 {
        let batch: Vec<Interaction> = (0..left.min(10_000))
            .map(|_| {
                let user = draw(&activity, &mut random);
                let item = draw(&popularity, &mut random);
                let minute = random.random_range(0..500_000);
                interaction(&format!("u{user}"), &format!("i{item}"), minute * 60_000, 1.0)
            })
            .collect();
        load.interactions(&batch).await.unwrap();
        left -= batch.len();
    }
    let loaded = load.commit(None).await.unwrap();
    let took = began.elapsed();
    println!("loaded {} of {rows} interactions in {took:.1?}", loaded.interactions.created);
    took
}

async fn scan(store: &dyn Store) {
    for _ in 0..3 {
        let began = Instant::now();
        let (mut rows, mut sum) = (0u64, 0.0);
        store
            .scan_interactions(&mut |row| {
                rows += 1;
                sum += f64::from(row.weight) + row.user_id.len() as f64;
            })
            .await
            .unwrap();
        let took = began.elapsed();
        println!(
            "scanned {rows} rows in {took:.2?}: {:.0} a second ({sum})",
            rows as f64 / took.as_secs_f64()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_postgres() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = &*database.store;
    fill(store, 6_040, 3_706, 850_000).await;
    database.plain_sql("VACUUM ANALYZE").await;
    scan(store).await;
    let began = Instant::now();
    let evidence = store.evidence(&Weighing::default()).await.unwrap();
    println!("engine switched on in {:.1?}", began.elapsed());
    database.plain_sql("VACUUM ANALYZE").await;
    let mut times = Vec::new();
    for n in 0..20 {
        let asking = format!("u{}", n * 300);
        let began = Instant::now();
        let found = evidence.find(Kind::Drug, &asking, Similarity::Cosine, 100).await.unwrap();
        let took = began.elapsed();
        times.push(took);
        println!("{asking}: {} items lead to {} scores in {took:.1?}", found.own.len(), found.scored.len());
    }
    times.sort();
    println!("median {:.1?}", times[times.len() / 2]);
    let mut times = Vec::new();
    for n in 0..200 {
        let row = [interaction("u17", "i3", n, 1.0)];
        let began = Instant::now();
        store.put_interactions(&row).await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    println!("one write with norms: median {:.2?}", times[100]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_sqlite() {
    let database = Database::sqlite().await;
    fill(&*database.store, 6_040, 3_706, 850_000).await;
    scan(&*database.store).await;
    let mut times = Vec::new();
    for n in 0..200 {
        let row = [interaction("u17", "i3", n, 1.0)];
        let began = Instant::now();
        database.store.put_interactions(&row).await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    println!("one write: median {:.2?}", times[100]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_demo() {
    for _ in 0..3 {
        let database = Database::sqlite().await;
        let began = Instant::now();
        let region = demo::generate(demo::SEED, NOW);
        let generated = began.elapsed();
        let loaded = demo::load(&*database.store, demo::SEED, NOW).await.unwrap().unwrap();
        println!(
            "demo: {} items, {} interactions; generated in {generated:.1?}, generated and loaded in {:.1?}",
            region.items.len(),
            loaded.interactions.created,
            began.elapsed() - generated
        );
    }
}

/// `MEASURE_DATA` is a folder with NHANES 2013-2014 prescriptions, Synthea encounters, and the
/// hospitals of the CMS as JSON lines (`hospitals.jsonl`), in the places named below.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_imports() {
    let Ok(folder) = std::env::var("MEASURE_DATA") else {
        return;
    };
    let open = |name: &str| File::open(format!("{folder}/{name}")).unwrap();
    let mut databases = vec![Database::sqlite().await];
    databases.extend(Database::postgres().await);
    for database in databases {
        let store = &*database.store;
        println!("{}", if database.is_postgres() { "Postgres" } else { "SQLite" });
        let nhanes = InteractionColumns {
            user: "SEQN".into(),
            item: "RXDDRUG".into(),
            weight: None,
            time: None,
            event: default_event(Kind::Drug).into(),
            no_item: ["55555", "77777", "99999"].map(str::to_owned).to_vec(),
        };
        let began = Instant::now();
        let file = open("nhanes-rx-2013-2014/medications.csv");
        let report = import_interactions(store, file, Kind::Drug, &nhanes, NOW, &mut |_| {}).await.unwrap();
        println!("NHANES in {:.2?}: {report}", began.elapsed());
        let synthea = InteractionColumns {
            user: "PATIENT".into(),
            item: "ORGANIZATION".into(),
            weight: None,
            time: Some("START".into()),
            event: default_event(Kind::Hospital).into(),
            no_item: Vec::new(),
        };
        let began = Instant::now();
        let file = open("synthea-nebraska/encounters.csv");
        let report =
            import_interactions(store, file, Kind::Hospital, &synthea, NOW, &mut |_| {}).await.unwrap();
        println!("Synthea in {:.2?}: {report}", began.elapsed());
        let began = Instant::now();
        let report = import_items(store, open("hospitals.jsonl"), &mut |_| {}).await.unwrap();
        println!("CMS hospitals in {:.2?}: {report}", began.elapsed());
    }
}
