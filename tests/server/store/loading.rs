//! Bulk loads, imports of files, and the demo region.

use medserve::store::import::{
    ImportError, default_event, import_interactions, import_items, import_terminology, import_users,
};
use medserve::store::{InteractionQuery, Loaded, StoreError, Written, demo};
use recommend::{CsvError, InteractionColumns, Kind, Profile};

use super::database::{Database, interaction, item, user};
use super::on_both;

on_both!(
    a_load_appears_at_once_or_not_at_all,
    a_load_replaces_repeats_and_keeps_what_is_the_same,
    a_load_creates_who_is_missing_only_if_asked,
    a_csv_goes_in_and_going_in_again_changes_nothing,
    a_bad_row_is_named_by_its_line_and_nothing_stays,
    an_item_of_another_kind_is_named_by_its_line,
    json_lines_go_in,
    a_bad_json_line_is_named_and_nothing_stays,
    terms_go_in_and_everything_is_read_anew,
    the_demo_region_fills_an_empty_store_only,
);

const NOW: i64 = 1_700_000_000_000;

fn created(count: u64) -> Written {
    Written { created: count, ..Default::default() }
}

async fn a_load_appears_at_once_or_not_at_all(database: Database) {
    let store = &*database.store;
    for commit in [false, true] {
        let mut load = store.begin_load().await.unwrap();
        load.users(&[user("u1")]).await.unwrap();
        load.interactions(&[interaction("u1", "d1", 1, 1.0)]).await.unwrap();
        load.items(&[item("d1", Kind::Drug)]).await.unwrap();
        assert_eq!(store.counts().await.unwrap(), Default::default());
        if commit {
            let loaded = load.commit(None).await.unwrap();
            assert_eq!(loaded.interactions, created(1));
        }
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.users, counts.items, counts.interactions), (1, 1, 1));
}

async fn a_load_replaces_repeats_and_keeps_what_is_the_same(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &*database.store;
    let before = [interaction("u1", "d1", 1, 1.0), interaction("u1", "d2", 1, 1.0)];
    store.put_interactions(&before).await.unwrap();
    let mut load = store.begin_load().await.unwrap();
    load.interactions(&[interaction("u1", "d1", 1, 9.0), interaction("u1", "d2", 1, 1.0)]).await.unwrap();
    load.interactions(&[interaction("u1", "d1", 1, 2.0), interaction("u2", "d1", 1, 1.0)]).await.unwrap();
    let loaded = load.commit(None).await.unwrap();
    assert_eq!(loaded.interactions, Written { created: 1, updated: 1, unchanged: 1 });
    assert_eq!(loaded.repeated, 1);
    let query = InteractionQuery { kind: None, after: None, limit: 9 };
    assert_eq!(store.list_interactions("u1", &query).await.unwrap()[0].weight, 2.0);
}

async fn a_load_creates_who_is_missing_only_if_asked(database: Database) {
    let database = database.with_people_and_things().await;
    let store = &*database.store;
    let rows =
        [interaction("u1", "d1", 1, 1.0), interaction("u8", "d8", 1, 1.0), interaction("u9", "d1", 1, 1.0)];
    let mut load = store.begin_load().await.unwrap();
    load.interactions(&rows).await.unwrap();
    match load.commit(None).await {
        Err(StoreError::UnknownUser { index: 1, id }) => assert_eq!(id, "u8"),
        other => panic!("{other:?}"),
    }
    let mut load = store.begin_load().await.unwrap();
    load.interactions(&rows).await.unwrap();
    match load.commit(Some(Kind::Hospital)).await {
        Err(error @ StoreError::OtherKind { index: 0, .. }) => {
            assert_eq!(error.to_string(), "item \"d1\" exists and is of kind drug, not hospital");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.counts().await.unwrap().interactions, 0);
    let mut load = store.begin_load().await.unwrap();
    load.interactions(&rows).await.unwrap();
    let loaded = load.commit(Some(Kind::Drug)).await.unwrap();
    assert_eq!((loaded.users, loaded.items), (created(2), created(1)));
    // Of somebody made for a load nothing is known.
    assert_eq!(store.get_user("u9").await.unwrap().profile, Profile::default());
    let made = store.get_item("d8").await.unwrap();
    assert_eq!((made.kind, made.name.as_str()), (Kind::Drug, "d8"));
}

fn columns() -> InteractionColumns {
    InteractionColumns {
        user: "person".into(),
        item: "drug".into(),
        weight: Some("days".into()),
        time: Some("when".into()),
        event: default_event(Kind::Drug).into(),
        no_item: vec!["99999".into()],
    }
}

async fn a_csv_goes_in_and_going_in_again_changes_nothing(database: Database) {
    let store = &*database.store;
    let file = "\u{feff}drug,when,note,person,days\n\
        warfarin,2023-01-02,\"two\nlines\",p1,30\n\
        ,,refused,p1,\n\
        \"insulin, human\",2023-01-02T08:30:00+01:00,,p2,1.5\n\
        99999,,unknown,p3,\n\
        warfarin,2023-01-02,again,p1,60\n";
    let mut told = 0;
    let report = import_interactions(store, file.as_bytes(), Kind::Drug, &columns(), NOW, &mut |progress| {
        told = progress.rows;
    })
    .await
    .unwrap();
    assert_eq!((report.rows, told), (5, 5));
    assert_eq!((report.blank, report.first_blank_line, report.no_item), (1, Some(4), 1));
    let expected = Loaded {
        users: created(2),
        items: created(2),
        interactions: created(2),
        repeated: 1,
        ..Loaded::default()
    };
    assert_eq!(report.loaded, expected);
    assert_eq!(
        report.to_string(),
        "5 rows read; users: 2 created, 0 updated, 0 unchanged; items: 2 created, 0 updated, 0 \
         unchanged; interactions: 2 created, 0 updated, 0 unchanged; 1 rows repeat the user, \
         item, event and time of a later row; 1 rows name no item, the first in line 4; 1 rows \
         have a code that stands for no item"
    );
    let query = InteractionQuery { kind: None, after: None, limit: 9 };
    let row = &store.list_interactions("p2", &query).await.unwrap()[0];
    assert_eq!((row.item_id.as_str(), row.event.as_str()), ("insulin, human", "prescription"));
    assert_eq!((row.weight, row.time), (1.5, 1_672_644_600_000));
    let row = &store.list_interactions("p1", &query).await.unwrap()[0];
    assert_eq!(row.weight, 60.0);

    let again =
        import_interactions(store, file.as_bytes(), Kind::Drug, &columns(), NOW, &mut |_| {}).await.unwrap();
    assert_eq!(again.loaded.interactions, Written { unchanged: 2, ..Default::default() });
    assert_eq!((again.loaded.users, again.loaded.items), Default::default());
}

async fn a_bad_row_is_named_by_its_line_and_nothing_stays(database: Database) {
    let store = &*database.store;
    let good: String = (0..6_000).map(|n| format!("p{n},warfarin,1,2020-01-01\n")).collect();
    for (bad, expected) in [
        ("p1,warfarin,many,2020-01-01", "column days is not a number"),
        ("p1,warfarin,-1,2020-01-01", "column days must be a finite number above 0"),
        ("p1,warfarin,0,2020-01-01", "column days must be a finite number above 0"),
        ("p1,warfarin,NaN,2020-01-01", "column days must be a finite number above 0"),
        ("p1,warfarin,inf,2020-01-01", "column days must be a finite number above 0"),
        ("p1,warfarin,1,01/02/2020", "column when is not a time"),
        ("p1,warfarin,1,1879-12-31", "column when must not be before 1880"),
        ("p1,warfarin,1,2999-01-01", "column when must not be in the future"),
        (",warfarin,1,2020-01-01", "column person must not be empty"),
        ("p1,warfarin,1", "has 3 columns where the header has 4"),
        ("p1,war\u{7}farin,1,2020-01-01", "column drug must not contain control characters"),
    ] {
        let file = format!("person,drug,days,when\n{good}{bad}\np1,warfarin,1,2020-01-01\n");
        let error = import_interactions(store, file.as_bytes(), Kind::Drug, &columns(), NOW, &mut |_| {})
            .await
            .unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(&format!("line 6002: {expected}")), "{bad:?}: {message}");
        assert_eq!(store.counts().await.unwrap(), Default::default(), "{bad:?}");
    }
    let not_utf8 = b"person,drug,days,when\np1,war\xfffarin,1,2020-01-01\n".as_slice();
    let error =
        import_interactions(store, not_utf8, Kind::Drug, &columns(), NOW, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "line 2: is not UTF-8 text");
    let error = import_interactions(store, "a,b\n1,2\n".as_bytes(), Kind::Drug, &columns(), NOW, &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no column \"person\"; the columns are a, b");
    assert!(matches!(error, ImportError::Csv(CsvError::NoColumn { .. })));
}

async fn an_item_of_another_kind_is_named_by_its_line(database: Database) {
    let database = database.with_people_and_things().await;
    let file = "person,drug,days,when\n\
        p1,warfarin,1,2020-01-01\n\
        p1,,1,2020-01-01\n\
        p1,aspirin,1,2020-01-01\n\
        p2,warfarin,1,2020-01-01\n\
        p2,h1,1,2020-01-01\n\
        p3,h1,1,2020-01-01\n";
    let error =
        import_interactions(&*database.store, file.as_bytes(), Kind::Drug, &columns(), NOW, &mut |_| {})
            .await
            .unwrap_err();
    assert_eq!(error.to_string(), "line 6: item \"h1\" exists and is of kind hospital, not drug");
    assert_eq!(database.store.counts().await.unwrap().interactions, 0);
}

async fn json_lines_go_in(database: Database) {
    let store = &*database.store;
    let users = "{\"user_id\": \"u1\", \"profile\": {\"birth_year\": 1950, \"allergies\": []}}\n\n\
        {\"user_id\": \"u2\"}";
    let report = import_users(store, users.as_bytes(), NOW, &mut |_| {}).await.unwrap();
    assert_eq!((report.rows, report.loaded.users), (2, created(2)));
    assert_eq!(store.get_user("u1").await.unwrap().profile.allergies, Some(vec![]));
    assert_eq!(store.get_user("u2").await.unwrap().profile.allergies, None);
    let items = "{\"item_id\": \"h1\", \"kind\": \"hospital\", \"name\": \"St. Anne\", \"latitude\": 1, \"longitude\": 2}\r\n";
    let report = import_items(store, items.as_bytes(), &mut |_| {}).await.unwrap();
    assert_eq!((report.rows, report.loaded.items), (1, created(1)));
    assert_eq!(store.get_item("h1").await.unwrap().latitude, Some(1.0));
}

async fn a_bad_json_line_is_named_and_nothing_stays(database: Database) {
    let store = &*database.store;
    let good = "{\"user_id\": \"u1\"}\n\n";
    for (bad, expected) in [
        ("{\"user_id\": 5}", "line 3: invalid type: integer `5`, expected a string"),
        ("{\"user_id\": \"u2\", \"nickname\": 1}", "line 3: unknown field `nickname`"),
        ("{\"user_id\": ", "line 3: EOF while parsing a value"),
        ("{\"user_id\": \"\"}", "line 3: /user_id must not be empty"),
        (
            "{\"user_id\": \"u2\", \"profile\": {\"birth_year\": 3000}}",
            "line 3: /profile/birth_year must be a year",
        ),
        ("{\"user_id\": \"u1\"}", "line 3: \"u1\" was given in line 1 already"),
    ] {
        let file = format!("{good}{bad}\n");
        let error = import_users(store, file.as_bytes(), NOW, &mut |_| {}).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{bad}: {error}");
        assert_eq!(store.counts().await.unwrap().users, 0, "{bad}");
    }
    let error = import_items(
        store,
        "{\"item_id\": \"x\", \"kind\": \"spaceship\", \"name\": \"x\"}".as_bytes(),
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("unknown variant `spaceship`, expected one of"), "{error}");
}

async fn the_demo_region_fills_an_empty_store_only(database: Database) {
    let store = &*database.store;
    let loaded = demo::load(store, demo::SEED, NOW).await.unwrap().unwrap();
    assert_eq!(loaded.users, created(demo::PEOPLE as u64));
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.interactions, loaded.interactions.created);
    assert_eq!(loaded.repeated, 0);
    let first = store.get_user("u1").await.unwrap().profile;
    assert_eq!(first.allergies.as_deref(), Some(&["penicillin".to_owned()][..]));
    assert!(!first.medications.unwrap().is_empty());
    assert_eq!(demo::load(store, demo::SEED, NOW).await.unwrap(), None);
    assert_eq!(store.counts().await.unwrap(), counts);
}

async fn terms_go_in_and_everything_is_read_anew(database: Database) {
    let store = &*database.store;
    let before = store.cursor().await.unwrap();
    let file = "kind,name,synonyms,classes\ndrug,zorbamycin,Zorba;ZRB,macrolide\nclass,Ours,,\n";
    let report = import_terminology(store, file.as_bytes()).await.unwrap();
    assert_eq!(report.to_string(), "2 rows read; terms: 2 created, 0 updated, 0 unchanged");
    assert!(store.changes(&before).await.unwrap().reload);
    let terms = store.terms().await.unwrap();
    let zorbamycin = terms.iter().find(|term| term.name == "zorbamycin").unwrap();
    assert_eq!(
        (&zorbamycin.synonyms[..], &zorbamycin.classes[..]),
        (&["Zorba".to_owned(), "ZRB".to_owned()][..], &["macrolide".to_owned()][..])
    );

    let after = store.cursor().await.unwrap();
    let again = import_terminology(store, file.replace("ZRB", "Z R B").as_bytes()).await.unwrap();
    assert_eq!(again.terms, Written { created: 0, updated: 1, unchanged: 1 });
    assert!(store.changes(&after).await.unwrap().reload);
    for (file, problem) in [
        ("kind,name\ndrug,a\ndrug,a\n", "line 3: the drug \"a\" was given in line 2 already"),
        (
            "kind,name\nfood,a\n",
            "line 2: unknown kind of term; the kinds are drug, class, allergen, condition and none",
        ),
        ("kind\ndrug\n", "there is no column \"name\"; the columns are kind"),
        (
            "kind,name,class\ndrug,a,penicillin\n",
            "line 1: there is no column \"class\"; accepted are kind, name, synonyms, codes, ingredients, classes, cross_reactivity",
        ),
        ("kind,name,name\ndrug,a,b\n", "line 1: the column \"name\" stands twice"),
        (
            "kind,name,classes\ndrug,a,NSAIDs\ndrug,b,penicilin\n",
            "line 3: \"penicilin\" is the name of no term, neither in this file nor known before; did you mean \"penicillin\"?; give it a row, of the class or the substance that it is",
        ),
        (
            "kind,name,classes\ndrug,a,NSAIDs\nnone,penicillin,allergy\n",
            "line 3: \"penicillin\" is of the kind class already and cannot be of the kind none; drug, class and allergen go together, the others with themselves alone",
        ),
        (
            "kind,name,classes\ndrug,a,no medications\n",
            "line 2: \"no medications\" is of the kind none, and no class or part of a row of the kind drug",
        ),
        (
            "kind,name,classes\ncondition,a,penicillin\n",
            "line 2: \"penicillin\" is of the kind class, and no class or part of a row of the kind condition",
        ),
        (
            "kind,name,classes\nclass,ca,cb\nclass,cb,ca\n",
            "line 2: \"ca\" is of itself: ca, which is of cb, which is of ca",
        ),
        (
            "kind,name,classes\nnone,penicilin,allergy\n",
            "line 2: \"penicilin\" is said to be a word for none, and is very like \"penicillin\": whoever meant that would be taken to have none",
        ),
        (
            "kind,name,synonyms,classes\nnone,nichts,penicillin,allergy\n",
            "line 2: \"penicillin\" is said to be a word for none, and names \"penicillin\"",
        ),
    ] {
        let error = import_terminology(store, file.as_bytes()).await.unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
    assert_eq!(store.terms().await.unwrap().len(), 2, "nothing of a refused file stays");
}
