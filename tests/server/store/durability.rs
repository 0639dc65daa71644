//! An acknowledged write survives the sudden end of the process.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use medserve::store::InteractionQuery;

use super::database::{Database, interaction, open};

const DATABASE: &str = "MEDSERVE_TEST_WRITER_DATABASE";

/// Not a test of its own: what the killed process runs.
#[tokio::test]
#[ignore = "run by acknowledged_writes_survive_a_kill"]
async fn writer() {
    let Ok(url) = std::env::var(DATABASE) else {
        return;
    };
    let store = open(&url).await;
    for time in 0.. {
        store.put_interactions(&[interaction("u1", "d1", time, 1.0)]).await.unwrap();
        println!("acknowledged {time}");
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let database = Database::sqlite().await.with_people_and_things().await;
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::durability::writer", "--ignored", "--nocapture"])
        .env(DATABASE, &database.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut last = None;
    for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
        if let Some((_, number)) = line.unwrap().split_once("acknowledged ") {
            last = Some(number.parse::<i64>().unwrap());
        }
        if last == Some(25) {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    let last = last.unwrap();
    assert!(last >= 25, "the writer ended by itself after {last}");
    let query = InteractionQuery { kind: None, after: None, limit: 100_000 };
    let kept = open(&database.url).await.list_interactions("u1", &query).await.unwrap();
    let times: Vec<i64> = kept.iter().rev().map(|row| row.time).collect();
    assert_eq!(times[..=last as usize], (0..=last).collect::<Vec<_>>());
}
