//! Up to when an export went, black box: a time that is still to come must not keep all later changes out.

use crate::bulk::{ann, hospital, private_key, start};
use crate::support::logged;

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_still_to_come_is_neither_believed_nor_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let (jwk, public) = private_key();
    let key = folder.path().join("key.json");
    std::fs::write(&key, jwk.to_string()).unwrap();
    let hospital = hospital(public, &[]);
    *hospital.0.time.lock().unwrap() = "2999-01-01T00:00:00Z".to_string();
    let base = hospital.open().await;
    let pull = async |since: &str| {
        let server = start(&base, key.to_str().unwrap(), Some(&database), &[]);
        ann(&server).await;
        logged(&server, "an export was taken in").await;
        let log = server.log();
        server.terminate();
        let pool = sqlx::SqlitePool::connect(&database).await.unwrap();
        let next: Option<String> =
            sqlx::query_scalar("SELECT since FROM bulk_exports").fetch_one(&pool).await.unwrap();
        let due = format!("UPDATE bulk_exports SET due = 0{since}");
        sqlx::query(sqlx::AssertSqlSafe(due)).execute(&pool).await.unwrap();
        pool.close().await;
        (log, next)
    };
    let (log, next) = pull("").await;
    assert!(log.contains("transactionTime"), "{log}");
    let next = next.expect("the next export begins somewhere");
    let hours = (recommend::clock::now() - recommend::clock::parse_time(&next).unwrap()) / 3_600_000;
    assert!((1..=2).contains(&hours), "{next}");
    // One that was believed before is not asked for.
    pull(", since = '2999-01-01T00:00:00Z'").await;
    let (log, _) = pull("").await;
    assert!(log.contains("everything is asked for"), "{log}");
    let asked: Vec<Option<String>> =
        hospital.asked("/export").iter().map(|(_, query)| query.get("_since").cloned()).collect();
    assert_eq!(asked, [None, Some(next), None]);
}
