//! Taking records in: what is read and written in one transaction, nobody comes between, whichever process they are.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use medserve::store::{Held, Known, StoreError};
use recommend::{Profile, User};

use super::database::{Database, user};
use super::on_both;

/// How long the others have to come between.
const PAUSE: Duration = Duration::from_millis(300);

fn with_allergy(id: &str, allergy: &str) -> User {
    let profile = Profile { allergies: Some(vec![allergy.to_owned()]), ..Profile::default() };
    User { user_id: id.to_owned(), profile }
}

async fn who_writes_a_person_waits_for_an_intake_of_that_person(database: Database) {
    let other = database.replica().await;
    for known in [true, false] {
        if known {
            database.store.put_users(&[user("ann")]).await.unwrap();
        }
        let intake = database.store.begin_intake().await.unwrap();
        intake.hold(Held::People, &BTreeSet::from(["ann".to_owned()])).await.unwrap();
        assert_eq!(intake.get_user("ann").await.is_ok(), known);
        let begun = Instant::now();
        let (writes, reads) = (other.clone(), other.clone());
        let writing = tokio::spawn(async move { writes.put_users(&[with_allergy("ann", "latex")]).await });
        tokio::time::sleep(PAUSE).await;
        assert!(!writing.is_finished(), "it comes between");
        // Readers do not wait.
        assert_eq!(reads.get_user("ann").await.is_ok(), known);
        intake.put(&[with_allergy("ann", "penicillin")], &[], &[]).await.unwrap();
        let row = Known { name: "Patient/ann".into(), user_id: Some("ann".into()), ..Known::default() };
        intake.put_known(&[row]).await.unwrap();
        intake.commit().await.unwrap();
        writing.await.unwrap().unwrap();
        assert!(begun.elapsed() >= PAUSE);
        let stored = other.get_user("ann").await.unwrap();
        assert_eq!(stored, with_allergy("ann", "latex"), "who came last has the word");
        assert_eq!(other.known(&["Patient/ann".to_owned()]).await.unwrap().len(), 1);

        let intake = database.store.begin_intake().await.unwrap();
        intake.hold(Held::People, &BTreeSet::from(["ann".to_owned()])).await.unwrap();
        let erases = other.clone();
        let erasing = tokio::spawn(async move { erases.delete_user("ann").await });
        tokio::time::sleep(PAUSE).await;
        intake.put(&[with_allergy("ann", "penicillin")], &[], &[]).await.unwrap();
        intake.commit().await.unwrap();
        erasing.await.unwrap().unwrap();
        assert!(matches!(other.get_user("ann").await, Err(StoreError::NotFound { .. })), "it came back");
        assert_eq!(other.known(&["Patient/ann".to_owned()]).await.unwrap(), []);
    }
}

async fn an_intake_that_is_dropped_leaves_nothing(database: Database) {
    let intake = database.store.begin_intake().await.unwrap();
    intake.put(&[user("bob")], &[], &[]).await.unwrap();
    assert!(intake.get_user("bob").await.is_ok(), "it reads what it wrote");
    drop(intake);
    assert!(matches!(database.store.get_user("bob").await, Err(StoreError::NotFound { .. })));
}

on_both!(who_writes_a_person_waits_for_an_intake_of_that_person, an_intake_that_is_dropped_leaves_nothing,);

/// Of others it does not.
#[tokio::test]
async fn on_postgres_intakes_of_two_people_go_side_by_side() {
    let Some(database) = Database::postgres().await else { return };
    let other = database.replica().await;
    let one = database.store.begin_intake().await.unwrap();
    let held = |name: &str| BTreeSet::from([name.to_owned()]);
    one.hold(Held::People, &held("ann")).await.unwrap();
    one.put(&[user("ann")], &[], &[]).await.unwrap();
    let two = other.begin_intake().await.unwrap();
    two.hold(Held::People, &held("bob")).await.unwrap();
    two.put(&[user("bob")], &[], &[]).await.unwrap();
    two.commit().await.unwrap();
    assert!(other.get_user("bob").await.is_ok() && other.get_user("ann").await.is_err());
    one.commit().await.unwrap();
}
