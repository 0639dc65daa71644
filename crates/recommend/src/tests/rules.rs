//! What counts and how much, and what is refused.

use serde_json::json;

use crate::data::{Interaction, Item, Kind, Profile, User};
use crate::evaluate::Split;
use crate::load::Loader;
use crate::ranking::Scoring;
use crate::settings::Settings;
use crate::valid::{FieldError, validate_id, validate_weight};
use crate::weights::{Repeats, Weighing};

const NOW: i64 = 1_717_200_000_000; // 2024-06-01
const DAY: i64 = 86_400_000;

fn pointers(errors: &[FieldError]) -> Vec<&str> {
    errors.iter().map(|error| error.pointer.as_str()).collect()
}

/// What the entries of one user come to.
fn row(weighing: Weighing, events: &[(&str, &str, f32, i64)]) -> Vec<(String, f32)> {
    let mut loader = Loader::new(weighing);
    for &(item, event, weight, time) in events {
        loader.push("me", item, event, weight, time);
    }
    let layers = loader.finish();
    let Some(user) = layers.users.get("me") else { return Vec::new() };
    layers.row(user).iter().map(|(item, w)| (layers.items.name(item).to_owned(), w)).collect()
}

#[test]
fn repeats_are_added_or_the_last_one_kept() {
    let events = [("b", "visit", 2.0, 30), ("a", "visit", 1.0, 10), ("b", "visit", 5.0, 20)];
    let named = |a: f32, b: f32| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    assert_eq!(row(Weighing::default(), &events), named(1.0, 7.0));
    let last = Weighing { repeats: Repeats::Last, ..Weighing::default() };
    assert_eq!(row(last, &events), named(1.0, 2.0));
}

#[test]
fn events_have_factors_and_one_of_zero_does_not_count() {
    let weighing = Weighing {
        events: [("purchase".to_owned(), 3.0), ("view".to_owned(), 0.0)].into(),
        other_events: 0.5,
        ..Weighing::default()
    };
    let events = [("a", "purchase", 2.0, 0), ("b", "view", 9.0, 0), ("c", "call", 1.0, 0)];
    assert_eq!(row(weighing, &events), [("a".to_owned(), 6.0), ("c".to_owned(), 0.5)]);
}

#[test]
fn weights_halve_with_every_half_life() {
    let weighing = Weighing { half_life_days: Some(10.0), reference_time: 100 * DAY, ..Weighing::default() };
    let events = [("a", "", 8.0, 100 * DAY), ("b", "", 8.0, 90 * DAY), ("c", "", 8.0, 70 * DAY)];
    let expected = [("a", 8.0), ("b", 4.0), ("c", 1.0)].map(|(id, w)| (id.to_owned(), w));
    assert_eq!(row(weighing.clone(), &events), expected);
    // So old that 32 bits cannot hold what is left: no entry, rather than a zero.
    assert_eq!(weighing.weigh("", 1.0, -2_000 * DAY), None);
    assert!(Weighing { half_life_days: Some(0.0), ..Weighing::default() }.validate().is_err());
}

#[test]
fn ids_may_be_anything_readable() {
    for id in ["a", "...", ".a", "a/b c", "患者 7", "'; DROP TABLE users; --", &"é".repeat(200)] {
        assert_eq!(validate_id("/user_id", id), Ok(()), "{id}");
    }
    // The last two never reach the server in an address, so nobody could ask for them.
    for id in ["", "a\0b", "line\nbreak", &"é".repeat(201), &"x".repeat(1 << 20), ".", ".."] {
        let error = validate_id("/user_id", id).unwrap_err();
        assert_eq!(error.pointer, "/user_id");
        assert!(error.detail.len() < 100, "the id itself is not repeated");
    }
}

#[test]
fn weights_are_finite_and_above_zero() {
    for weight in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, -0.0, 1e39, 1e-60] {
        assert!(validate_weight("/weight", weight).is_err(), "{weight}");
    }
    assert!(validate_weight("/weight", 0.1).is_ok());
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let mut interaction = Interaction {
        user_id: "u".into(),
        item_id: "i".into(),
        event: "visit".into(),
        weight: 1.0,
        time: NOW,
    };
    assert!(interaction.validate("/0", NOW).is_empty());
    interaction.time = NOW + DAY;
    interaction.item_id = String::new();
    interaction.weight = f32::NAN;
    assert_eq!(pointers(&interaction.validate("/3", NOW)), ["/3/item_id", "/3/weight", "/3/time"]);

    let user: User = serde_json::from_value(json!({"user_id": "", "profile": {
        "birth_year": 2025, "allergies": ["penicillin", " "], "latitude": 91.0, "longitude": 0.0}}))
    .unwrap();
    assert_eq!(
        pointers(&user.validate("", NOW)),
        ["/profile/birth_year", "/profile/allergies/1", "/profile/latitude", "/user_id"]
    );

    let item: Item = serde_json::from_value(json!({"item_id": "i", "kind": "drug", "name": "",
        "latitude": 1.0, "contraindications": {"min_age": 18, "max_age": 12}}))
    .unwrap();
    assert_eq!(pointers(&item.validate("")), ["/name", "/longitude", "/contraindications/max_age"]);
}

#[test]
fn unknown_and_none_stay_apart_on_the_way_through_json() {
    let profile: Profile = serde_json::from_value(json!({"allergies": []})).unwrap();
    assert_eq!((profile.allergies.as_deref(), profile.medications.as_deref()), (Some(&[][..]), None));
    assert_eq!(serde_json::to_value(&profile).unwrap(), json!({"allergies": []}));
    // A misspelt field must not pass for an unknown one.
    assert!(serde_json::from_value::<Profile>(json!({"alergies": ["penicillin"]})).is_err());
}

#[test]
fn kinds_and_splits_are_read_or_refused_with_the_list() {
    assert!(Kind::ALL.into_iter().all(|kind| kind.as_str().parse() == Ok(kind)));
    let error = "clinic".parse::<Kind>().unwrap_err().to_string();
    assert!(Kind::ALL.into_iter().all(|kind| error.contains(kind.as_str())), "{error}");
    assert_eq!("ratio:0.25".parse(), Ok(Split::Ratio(0.25)));
    assert!("ratio:1".parse::<Split>().is_err());
}

/// The table of `docs/recommendations.md`, which shows the defaults.
fn documented() -> toml::Table {
    let page = include_str!("../../../../docs/recommendations.md");
    let (_, table) = page.split_once("```toml\n").unwrap();
    let file: toml::Table = table.split_once("```").unwrap().0.parse().unwrap();
    file["recommendations"].as_table().unwrap().clone()
}

#[test]
fn the_settings_of_the_manual_are_read_and_are_the_defaults() {
    let settings: Settings = documented().try_into().unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.validate(false), Vec::<String>::new());
    for (table, misspelt) in [("", "neighbours"), ("weighing", "half_live_days")] {
        let mut wrong = documented();
        let inner = if table.is_empty() { &mut wrong } else { wrong[table].as_table_mut().unwrap() };
        inner.insert(misspelt.to_owned(), 1.into());
        let error = wrong.try_into::<Settings>().unwrap_err().to_string();
        assert!(error.contains(misspelt), "{error}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_name() {
    let problems = |change: &dyn Fn(&mut Settings), in_database| {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.validate(in_database).join("; ")
    };
    let rates = |settings: &mut Settings| {
        settings.scoring = Scoring::Explicit;
        settings.weighing.repeats = Repeats::Last;
    };
    assert_eq!(problems(&rates, false), "");
    assert_eq!(problems(&rates, true), "scoring: \"explicit\" needs the recommender \"memory\"");
    type Change<'a> = &'a dyn Fn(&mut Settings);
    let refused: [(Change<'_>, &str); 8] = [
        (&|s| s.scoring = Scoring::Explicit, "scoring: \"explicit\" needs weighing.repeats = \"last\""),
        (&|s| s.neighbors = 0, "neighbors: must be from 1 to 10000"),
        (&|s| s.neighbors = 10_001, "neighbors: must be from 1 to 10000"),
        (&|s| s.raters = 0, "raters: must be at least 1"),
        (&|s| s.min_raters = 0, "min_raters: must be at least 1"),
        (&|s| s.shrinkage = -1.0, "shrinkage: must be a finite number, not below 0"),
        (&|s| s.min_history = 0, "min_history: must be at least 1"),
        (&|s| s.weighing.half_life_days = Some(-1.0), "weighing: half_life_days must be"),
    ];
    for (change, expected) in refused {
        let found = problems(change, false);
        assert!(found.starts_with(expected) && !found.contains(';'), "{found}");
    }
}
