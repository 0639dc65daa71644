//! Users, items and interactions: what is written is what is read, and deleted is gone.

use std::time::Duration;

use medserve::store::{
    InteractionFilter, InteractionKey, InteractionQuery, ItemQuery, KEEP_CHANGES, StoreError, Written,
};
use recommend::{Contraindications, GradedRule, Item, Kind, Profile, Severity, Sex, Subject, User, Weighing};
use serde_json::json;
use sqlx::{Connection, Executor};

use super::database::{Database, interaction, item, user};
use super::on_both;

on_both!(
    users_come_back_as_they_were_put,
    items_come_back_as_they_were_put,
    items_are_listed_page_by_page,
    interactions_are_idempotent,
    interactions_are_listed_latest_first_page_by_page,
    interactions_are_deleted_by_what_they_are,
    whoever_is_unknown_is_named_and_nothing_is_written,
    deleting_a_user_erases_everything_about_it,
    deleting_an_item_takes_its_interactions_along,
    any_text_is_an_identifier,
    what_no_database_can_keep_is_refused,
    a_scan_hands_over_everything_once,
    ages_are_counted_from_one_moment,
    a_deleted_user_is_in_no_table,
);

fn all() -> InteractionQuery {
    InteractionQuery { kind: None, after: None, limit: 1_000 }
}

async fn users_come_back_as_they_were_put(database: Database) {
    let store = &database.store;
    let known = User {
        user_id: "known".into(),
        profile: Profile {
            birth_year: Some(1950),
            sex: Some(Sex::Female),
            conditions: Some(vec!["type 2 diabetes".into()]),
            allergies: Some(vec![]),
            medications: None,
            pregnant: Some(false),
            lifestyle: vec!["smoker".into()],
            latitude: Some(46.5),
            longitude: Some(-24.125),
            recorded: Default::default(),
        },
    };
    let written = store.put_users(&[known.clone(), user("empty")]).await.unwrap();
    assert_eq!(written, Written { created: 2, ..Default::default() });
    // None is not the same as unknown, and stays so.
    assert_eq!(store.get_user("known").await.unwrap(), known);
    assert_eq!(store.get_user("empty").await.unwrap(), user("empty"));

    let mut changed = known.clone();
    changed.profile.medications = Some(vec!["warfarin".into()]);
    let written = store.put_users(&[changed.clone(), user("empty")]).await.unwrap();
    assert_eq!(written, Written { created: 0, updated: 1, unchanged: 1 });
    assert_eq!(store.get_user("known").await.unwrap(), changed);

    // Twice in one batch: the last one counts.
    let written = store.put_users(&[changed.clone(), known.clone()]).await.unwrap();
    assert_eq!(written, Written { created: 0, updated: 1, unchanged: 0 });
    assert_eq!(store.get_user("known").await.unwrap(), known);

    let error = store.get_user("nobody").await.unwrap_err();
    assert_eq!(error.to_string(), "user \"nobody\" does not exist");
    let error = store.delete_user("nobody").await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "user", .. }));
}

async fn items_come_back_as_they_were_put(database: Database) {
    let store = &database.store;
    let full = Item {
        item_id: "warfarin".into(),
        kind: Kind::Drug,
        name: "Warfarin".into(),
        attributes: serde_json::from_value(json!({"strengths": [1, 2.5], "note": "Ünïcode ✓"})).unwrap(),
        latitude: Some(-90.0),
        longitude: Some(180.0),
        hidden: true,
        repeatable: true,
        contraindications: Contraindications {
            allergies: vec!["coumarin".into()],
            conditions: vec!["peptic ulcer".into()],
            interacts_with: vec!["nsaid".into()],
            therapeutic_class: Some("anticoagulant".into()),
            pregnancy: true,
            min_age: Some(18),
            max_age: Some(99),
            sex: Some(Sex::Female),
            indications: vec!["atrial fibrillation".into()],
            rules: vec![GradedRule {
                about: Subject::Medication,
                code: "fluconazole".into(),
                severity: Severity::Serious,
                note: "bleeding".into(),
                source: "a label".into(),
            }],
        },
    };
    let written = store.put_items(&[full.clone(), item("plain", Kind::Advice)]).await.unwrap();
    assert_eq!(written.created, 2);
    assert_eq!(store.get_item("warfarin").await.unwrap(), full);
    assert_eq!(store.get_item("plain").await.unwrap(), item("plain", Kind::Advice));

    let written = store.put_items(std::slice::from_ref(&full)).await.unwrap();
    assert_eq!(written, Written { unchanged: 1, ..Default::default() });
    let moved = Item { latitude: None, longitude: None, hidden: false, ..full };
    let written = store.put_items(std::slice::from_ref(&moved)).await.unwrap();
    assert_eq!(written, Written { updated: 1, ..Default::default() });
    assert_eq!(store.get_item("warfarin").await.unwrap(), moved);
    assert!(matches!(store.get_item("nothing").await, Err(StoreError::NotFound { what: "item", .. })));
}

async fn items_are_listed_page_by_page(database: Database) {
    let store = &database.store;
    // In byte order, where capitals come before small letters and both before umlauts.
    let ids = ["B", "a", "a/1", "b", "z", "ä"];
    let items: Vec<Item> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| item(id, if n % 2 == 0 { Kind::Drug } else { Kind::Doctor }))
        .collect();
    store.put_items(&items).await.unwrap();
    for (kind, expected) in [(None, &ids[..]), (Some(Kind::Drug), &["B", "a/1", "z"])] {
        let mut query = ItemQuery { kind, after: None, limit: 2 };
        let mut listed = Vec::new();
        loop {
            let page = store.list_items(&query).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            query.after = Some(last.item_id.clone());
            listed.extend(page.into_iter().map(|item| item.item_id));
        }
        assert_eq!(listed, expected);
    }
}

async fn interactions_are_idempotent(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    let rows = [interaction("u1", "d1", 1_000, 2.0), interaction("u1", "d2", 1_000, 0.1)];
    let written = store.put_interactions(&rows).await.unwrap();
    assert_eq!(written, Written { created: 2, ..Default::default() });
    let written = store.put_interactions(&rows).await.unwrap();
    assert_eq!(written, Written { unchanged: 2, ..Default::default() });
    assert_eq!(store.list_interactions("u1", &all()).await.unwrap(), rows);

    // The same user, item, event and time with another weight takes the place of the former; of
    // two in one batch the last one counts.
    let again = [
        interaction("u1", "d1", 1_000, 7.0),
        interaction("u1", "d1", 1_001, 1.0),
        interaction("u1", "d1", 1_000, 3.5),
    ];
    let written = store.put_interactions(&again).await.unwrap();
    assert_eq!(written, Written { created: 1, updated: 1, unchanged: 0 });
    let weights: Vec<f32> =
        store.list_interactions("u1", &all()).await.unwrap().iter().map(|row| row.weight).collect();
    assert_eq!(weights, [1.0, 3.5, 0.1]);
    assert_eq!(store.put_interactions(&[]).await.unwrap(), Written::default());
}

async fn interactions_are_listed_latest_first_page_by_page(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    let mut rows = vec![interaction("u1", "h1", 1_700_000_000_123, 1.0)];
    // The first moment there is, a fraction before 1970, and others.
    for time in [recommend::EARLIEST_TIME, -1, 9] {
        for item in ["d1", "d2"] {
            rows.push(interaction("u1", item, time, 1.0));
        }
    }
    store.put_interactions(&rows).await.unwrap();
    store.put_interactions(&[interaction("u2", "d1", 7, 1.0)]).await.unwrap();
    rows.sort_by_key(|row| (-row.time, row.item_id.clone()));
    assert_eq!(store.list_interactions("u1", &all()).await.unwrap(), rows);

    let mut query = InteractionQuery { kind: Some(Kind::Drug), after: None, limit: 4 };
    let first = store.list_interactions("u1", &query).await.unwrap();
    assert_eq!(first, rows[1..5]);
    let last = first.last().unwrap();
    query.after =
        Some(InteractionKey { time: last.time, item_id: last.item_id.clone(), event: last.event.clone() });
    assert_eq!(store.list_interactions("u1", &query).await.unwrap(), rows[5..]);
    assert!(matches!(
        store.list_interactions("nobody", &all()).await,
        Err(StoreError::NotFound { what: "user", .. })
    ));
}

async fn interactions_are_deleted_by_what_they_are(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    let rows = [
        interaction("u1", "d1", 1, 1.0),
        interaction("u1", "d1", 2, 1.0),
        interaction("u1", "d2", 2, 1.0),
        interaction("u2", "d1", 1, 1.0),
    ];
    store.put_interactions(&rows).await.unwrap();
    let one = InteractionFilter { item_id: Some("d1".into()), event: Some("visit".into()), time: Some(2) };
    assert_eq!(store.delete_interactions("u1", &one).await.unwrap(), 1);
    assert_eq!(store.delete_interactions("u1", &one).await.unwrap(), 0);
    assert_eq!(store.list_interactions("u1", &all()).await.unwrap().len(), 2);
    let every = InteractionFilter::default();
    assert_eq!(store.delete_interactions("u1", &every).await.unwrap(), 2);
    assert_eq!(store.list_interactions("u2", &all()).await.unwrap().len(), 1);
    assert!(matches!(store.delete_interactions("nobody", &every).await, Err(StoreError::NotFound { .. })));
}

async fn whoever_is_unknown_is_named_and_nothing_is_written(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    let rows =
        [interaction("u1", "d1", 1, 1.0), interaction("u1", "d9", 1, 1.0), interaction("u9", "d1", 1, 1.0)];
    match store.put_interactions(&rows).await {
        Err(StoreError::UnknownItem { index: 1, id }) => assert_eq!(id, "d9"),
        other => panic!("{other:?}"),
    }
    match store.put_interactions(&[rows[0].clone(), rows[2].clone()]).await {
        Err(StoreError::UnknownUser { index: 1, id }) => assert_eq!(id, "u9"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.counts().await.unwrap().interactions, 0);
}

async fn deleting_a_user_erases_everything_about_it(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    let mut secret = user("u1");
    secret.profile.conditions = Some(vec!["xylophobia-marker".into()]);
    store.put_users(&[secret]).await.unwrap();
    let rows: Vec<_> = (0..50).map(|time| interaction("u1", "d1", time, 1.0)).collect();
    store.put_interactions(&rows).await.unwrap();
    store.put_interactions(&[interaction("u2", "d1", 1, 1.0)]).await.unwrap();

    store.delete_user("u1").await.unwrap();
    assert!(matches!(store.get_user("u1").await, Err(StoreError::NotFound { .. })));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.users, counts.interactions), (4, 1));
    // Made again, the user has no past.
    store.put_users(&[user("u1")]).await.unwrap();
    assert_eq!(store.list_interactions("u1", &all()).await.unwrap(), []);
    assert_eq!(store.get_user("u1").await.unwrap(), user("u1"));
    assert_eq!(marked_files(&database), Vec::<String>::new());
}

/// Files of an SQLite database that still hold the marker.
fn marked_files(database: &Database) -> Vec<String> {
    let Some(folder) = &database.folder else { return Vec::new() };
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let marked = files.filter(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(17).any(|window| window == b"xylophobia-marker")
    });
    marked.map(|path| path.display().to_string()).collect()
}

/// Not a table is left out, also one that is added later: the id stays in the change log alone,
/// until that is trimmed, and what was known of the person nowhere.
async fn a_deleted_user_is_in_no_table(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    if database.is_postgres() {
        store.evidence(&Weighing::default()).await.unwrap();
    }
    let mut secret = user("xylophobe-id");
    secret.profile.conditions = Some(vec!["xylophobia-marker".into()]);
    store.put_users(&[secret]).await.unwrap();
    store.put_interactions(&[interaction("xylophobe-id", "d1", 1, 1.0)]).await.unwrap();
    let tables = database.tables().await;
    let holding = async |text: &str| {
        let mut found = Vec::new();
        for table in &tables {
            // Every column of every row, as text.
            let sql = if database.is_postgres() {
                format!("SELECT count(*) FROM \"{table}\" AS t WHERE t::text LIKE '%{text}%'")
            } else {
                let columns = database.texts(&format!("SELECT name FROM pragma_table_info('{table}')")).await;
                let all = columns.iter().map(|c| format!("coalesce(\"{c}\", '')")).collect::<Vec<_>>();
                format!("SELECT count(*) FROM \"{table}\" WHERE {} LIKE '%{text}%'", all.join(" || ' ' || "))
            };
            if database.number(&sql).await > 0 {
                found.push(table.clone());
            }
        }
        found
    };
    assert!(holding("xylophobia-marker").await.contains(&"users".to_owned()));
    assert!(holding("xylophobe-id").await.contains(&"interactions".to_owned()));
    store.delete_user("xylophobe-id").await.unwrap();
    assert_eq!(holding("xylophobia-marker").await, Vec::<String>::new());
    assert_eq!(holding("xylophobe-id").await, ["changes"]);
    store.trim_changes(Duration::from_secs(3_600)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    store.trim_changes(Duration::from_millis(1)).await.unwrap();
    assert_eq!(holding("xylophobe-id").await, Vec::<String>::new());
}

/// A reader of an older state keeps the log from being emptied. The deletion stands all the same,
/// and the log is emptied when the reader is gone.
#[tokio::test]
async fn a_deletion_stands_though_a_reader_keeps_the_log() {
    let database = Database::sqlite().await;
    let store = &database.store;
    let mut secret = user("u1");
    secret.profile.conditions = Some(vec!["xylophobia-marker".into()]);
    store.put_users(&[secret]).await.unwrap();
    let mut reader = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    reader.execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    store.delete_user("u1").await.unwrap();
    assert!(matches!(store.get_user("u1").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.trim_changes(KEEP_CHANGES).await, Err(StoreError::Unavailable(_))));
    reader.execute("COMMIT").await.unwrap();
    store.trim_changes(KEEP_CHANGES).await.unwrap();
    assert_eq!(marked_files(&database), Vec::<String>::new());
}

async fn deleting_an_item_takes_its_interactions_along(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    let rows = [interaction("u1", "d1", 1, 1.0), interaction("u1", "d2", 1, 1.0)];
    store.put_interactions(&rows).await.unwrap();
    store.delete_item("d1").await.unwrap();
    assert_eq!(store.list_interactions("u1", &all()).await.unwrap(), rows[1..]);
    assert!(matches!(store.delete_item("d1").await, Err(StoreError::NotFound { .. })));
}

async fn any_text_is_an_identifier(database: Database) {
    let store = &database.store;
    let long = "ü".repeat(200);
    let ids = [
        "a/b/../c",
        "with space",
        "患者七",
        "🫀",
        "'; DROP TABLE users; --",
        "%_\\",
        "\"quoted\"",
        "$1",
        "{}",
        "NULL",
        &long,
    ];
    let users: Vec<User> = ids.iter().map(|id| user(id)).collect();
    let items: Vec<Item> = ids.iter().map(|id| item(id, Kind::Drug)).collect();
    store.put_users(&users).await.unwrap();
    store.put_items(&items).await.unwrap();
    for id in ids {
        let mut row = interaction(id, id, 5, 1.0);
        row.event = id.to_owned();
        store.put_interactions(std::slice::from_ref(&row)).await.unwrap();
        assert_eq!(store.get_user(id).await.unwrap().user_id, id);
        assert_eq!(store.get_item(id).await.unwrap().item_id, id);
        assert_eq!(store.list_interactions(id, &all()).await.unwrap(), [row]);
    }
    assert_eq!(store.counts().await.unwrap().users, ids.len() as u64);
    for id in ids {
        store.delete_user(id).await.unwrap();
        store.delete_item(id).await.unwrap();
    }
    assert_eq!(store.counts().await.unwrap(), Default::default());
}

async fn what_no_database_can_keep_is_refused(database: Database) {
    let store = &database.store;
    let mut odd = item("odd", Kind::Drug);
    odd.attributes.insert("note".into(), json!({"deep": ["a\0b"]}));
    match store.put_items(&[item("fine", Kind::Drug), odd]).await {
        Err(StoreError::Invalid { index: Some(1), field: "attributes", .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(store.counts().await.unwrap().items, 0);
    // Nobody checks the text of a path before it comes here.
    assert!(store.get_user("a\0b").await.is_err());
}

async fn a_scan_hands_over_everything_once(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &database.store;
    let mut hidden = item("d5", Kind::Drug);
    hidden.hidden = true;
    store.put_items(&[hidden.clone()]).await.unwrap();
    let mut rows =
        vec![interaction("u3", "h1", 1_700_000_000_999, 0.1), interaction("u4", "d2", -86_400_001, 2.0)];
    for user in 1..=5 {
        for day in 0..40 {
            rows.push(interaction(&format!("u{user}"), "d1", day * 86_400_000, 1.5));
        }
    }
    store.put_interactions(&rows).await.unwrap();

    let mut users = Vec::new();
    store.scan_users(&mut |user| users.push(user)).await.unwrap();
    users.sort_by(|a, b| a.user_id.cmp(&b.user_id));
    assert_eq!(users, (1..=5).map(|n| user(&format!("u{n}"))).collect::<Vec<_>>());

    let mut items = Vec::new();
    store.scan_items(&mut |item| items.push(item)).await.unwrap();
    assert_eq!(items.len(), 6);
    assert!(items.contains(&hidden));

    let mut scanned = Vec::new();
    store
        .scan_interactions(&mut |row| {
            let expected = if row.item_id == "h1" { Kind::Hospital } else { Kind::Drug };
            assert_eq!(row.kind, expected);
            let mut copy = interaction(row.user_id, row.item_id, row.time, row.weight);
            copy.event = row.event.to_owned();
            scanned.push(copy);
        })
        .await
        .unwrap();
    let key = |row: &recommend::Interaction| (row.user_id.clone(), row.item_id.clone(), row.time);
    scanned.sort_by_key(key);
    rows.sort_by_key(key);
    assert_eq!(scanned, rows);

    let states = store.users(&["u3".into(), "nobody".into()]).await.unwrap();
    let of = |id: &str| states.iter().find(|state| state.user_id == id).unwrap();
    assert_eq!(of("u3").profile, Some(Profile::default()));
    assert_eq!(of("u3").interactions.len(), 41);
    assert!(
        of("u3")
            .interactions
            .contains(&(Kind::Hospital, rows.iter().find(|row| row.item_id == "h1").unwrap().clone()))
    );
    assert_eq!((of("nobody").profile.clone(), of("nobody").interactions.len()), (None, 0));
    let mut odd = user("o'dd \"id\", [1]");
    odd.profile.birth_year = Some(1950);
    store.put_users(std::slice::from_ref(&odd)).await.unwrap();
    let one = store.profiles(std::slice::from_ref(&odd.user_id)).await.unwrap();
    assert_eq!(one, [(odd.user_id.clone(), odd.profile.clone())]);
    let asked = [odd.user_id.clone(), "nobody".into(), "u3".into(), odd.user_id.clone()];
    let mut several = store.profiles(&asked).await.unwrap();
    several.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(several, [(odd.user_id, odd.profile), ("u3".into(), Profile::default())], "each of them once");
    assert_eq!(store.profiles(&["nobody".into()]).await.unwrap(), []);
    let found = store.items(&["d5".into(), "nothing".into()]).await.unwrap();
    assert_eq!(found, [hidden]);
}

async fn ages_are_counted_from_one_moment(database: Database) {
    let (one, other) = (&database.store, database.replica().await);
    assert_eq!(one.reference_time(1_000, 0).await.unwrap(), 1_000);
    assert_eq!(other.reference_time(5_000, 500).await.unwrap(), 1_000, "whoever starts later");
    assert_eq!(other.reference_time(9_000, 1_001).await.unwrap(), 9_000, "that one was too old");
    assert_eq!(one.reference_time(9_500, 2_000).await.unwrap(), 9_000);
}
