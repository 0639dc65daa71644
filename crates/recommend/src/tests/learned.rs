//! Weights between items: what they are refused for, that the parts make up the score, and that
//! the numbers of a package and of a snapshot may differ.

use std::sync::Arc;

use proptest::prelude::*;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::answer::{Request, Strategy};
use crate::clock;
use crate::data::{Kind, Profile, Sex};
use crate::learned::{ContextWeights, DistanceWeight, ItemWeights, LEAST, Laid, Learned};
use crate::places::Place;
use crate::recommender::Recommender;
use crate::settings::Settings;

/// Weights between items named by numbers of two digits.
fn weights(count: usize, base: Vec<f32>, entries: &[(usize, usize, f32)]) -> ItemWeights {
    let items = (0..count).map(|item| format!("{item:02}").into()).collect();
    let (mut starts, mut targets, mut values) = (vec![0], Vec::new(), Vec::new());
    for from in 0..count {
        for to in 0..count {
            // Of several, the last.
            let found = entries.iter().rev().find(|(i, j, _)| (*i, *j) == (from, to) && i != j);
            if let Some((_, _, weight)) = found {
                targets.push(to as u32);
                values.push(*weight);
            }
        }
        starts.push(targets.len());
    }
    ItemWeights::new(items, base, starts, targets, values).unwrap()
}

const COUNT: usize = 12;

proptest! {
    /// Whatever the catalogue has besides, in whatever order it came: a score is the base and the
    /// parts of the own items, and the items named are those of the largest parts.
    #[test]
    fn a_score_is_its_base_and_the_parts_that_are_named(
        base in prop::collection::vec(-8i8..8, COUNT),
        entries in prop::collection::vec((0..COUNT, 0..COUNT, -8i8..8), 0..60),
        own in prop::collection::btree_set(0..COUNT, 1..6),
        strangers in 0usize..4,
    ) {
        // Eighths of small numbers add up without rounding.
        let eighth = |number: i8| f32::from(number) / 8.0;
        let base: Vec<f32> = base.into_iter().map(eighth).collect();
        let entries: Vec<_> = entries.into_iter().map(|(i, j, w)| (i, j, eighth(w))).collect();
        let part = |i: usize, j: usize| {
            let found = entries.iter().rev().find(|(a, b, _)| (*a, *b) == (i, j) && a != b);
            found.map_or(0.0, |(_, _, weight)| f64::from(*weight))
        };
        let store = FakeStore::default();
        let mut tables = store.tables();
        for stranger in 0..strangers {
            tables.put_item(item(&format!("0{stranger}-stranger"), Kind::Advice));
        }
        for number in (0..COUNT).rev() {
            tables.put_item(item(&format!("{number:02}"), Kind::Advice));
        }
        tables.put_user("una", Profile::default());
        for number in &own {
            tables.add("una", &format!("{number:02}"), 3.0);
        }
        drop(tables);
        let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), 0)).unwrap();
        let weights = weights(COUNT, base.clone(), &entries);
        let learned = Learned::new("habits".into(), "1".into(), Kind::Advice, weights);
        let mut request = Request::new("una", Kind::Advice, 0);
        request.limit = 100;
        let answer = now(recommender.recommend_by(&request, Some(&learned))).unwrap();

        let score = |j: usize| f64::from(base[j]) + own.iter().map(|&i| part(i, j)).sum::<f64>();
        let mut expected: Vec<(usize, f64)> = (0..COUNT)
            .filter(|j| !own.contains(j))
            .map(|j| (j, score(j)))
            .filter(|(_, score)| *score > 0.0)
            .collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if expected.is_empty() {
            prop_assert_ne!(answer.strategy, Strategy::Learned);
            return Ok(());
        }
        prop_assert_eq!(answer.strategy, Strategy::Learned);
        prop_assert_eq!(answer.model.map(|model| model.new_items), Some(strangers));
        let found: Vec<(usize, f64)> =
            answer.items.iter().map(|item| (item.item_id.parse().unwrap(), item.score)).collect();
        prop_assert_eq!(&found, &expected);
        for (shown, (j, _)) in answer.items.iter().zip(&expected) {
            let mut parts: Vec<(usize, f64)> =
                own.iter().map(|&i| (i, part(i, *j))).filter(|(_, part)| *part > 0.0).collect();
            parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let named: Vec<String> = parts.into_iter().take(5).map(|(i, _)| format!("{i:02}")).collect();
            prop_assert_eq!(&shown.because.shared_items, &named);
        }
    }
}

/// Rows of a sparse matrix: for each row its columns and weights.
fn laid(rows: &[&[(u32, f32)]]) -> Laid {
    let mut laid: Laid = (vec![0], Vec::new(), Vec::new());
    for row in rows {
        laid.1.extend(row.iter().map(|(column, _)| column));
        laid.2.extend(row.iter().map(|(_, weight)| weight));
        laid.0.push(laid.1.len());
    }
    laid
}

/// Five clinics; "00" is what una has. An age and a sex add, a condition and the distance multiply.
#[test]
fn circumstances_count_as_they_are_now_and_are_named() {
    let store = FakeStore::default();
    let mut tables = store.tables();
    for (number, longitude) in [0.0, 0.0, 0.0, 1.0, 2.0].into_iter().enumerate() {
        let mut item = item(&format!("{number:02}"), Kind::Hospital);
        (item.latitude, item.longitude) = (Some(0.0), Some(longitude));
        tables.put_item(item);
    }
    let profile = |conditions: &[&str]| Profile {
        birth_year: Some(1960),
        sex: Some(Sex::Female),
        conditions: Some(conditions.iter().map(|name| (*name).to_owned()).collect()),
        latitude: Some(0.0),
        longitude: Some(2.0),
        ..Profile::default()
    };
    tables.put_user("una", profile(&[]));
    tables.put_user("vera", profile(&["Asthma"]));
    tables.add("una", "00", 1.0);
    tables.add("vera", "00", 1.0);
    drop(tables);
    let moment = clock::parse_time("2026-03-01").unwrap();
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), moment)).unwrap();
    let fitted = weights(5, vec![0.0; 5], &[(0, 1, 0.5), (0, 2, 0.25), (0, 3, 0.5), (0, 4, 0.5)]);
    let features = ["age: 60 to 69", "condition: asthma", "sex: female", "sex: male"];
    let features = features.map(Box::from).to_vec();
    let parts = laid(&[&[(2, 0.5)], &[], &[(1, -0.25), (2, 0.125)], &[(1, 9.0)]]);
    let factors = laid(&[&[], &[(1, 2.0), (3, 1.0)], &[], &[]]);
    let learned = |distance| {
        let context =
            ContextWeights::new(features.clone(), 5, parts.clone(), factors.clone(), distance).unwrap();
        let learned = Learned::new("habits".into(), "1".into(), Kind::Hospital, fitted.clone());
        learned.with_context(context)
    };
    let asked = |user: &str, near: Option<Place>, learned: &Learned| {
        let mut request = Request::new(user, Kind::Hospital, moment);
        request.near = near;
        let answer = now(recommender.recommend_by(&request, Some(learned))).unwrap();
        assert_eq!(answer.strategy, Strategy::Learned);
        let shown = answer.items.into_iter();
        shown.map(|item| (item.item_id, item.score, item.because.context)).collect::<Vec<_>>()
    };
    let close = |found: &[(String, f64, Vec<String>)], expected: &[(&str, f64, &[&str])]| {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((item, score, named), (other, wanted, circumstances)) in found.iter().zip(expected) {
            assert!(item == other && (score - wanted).abs() < 1e-9, "{found:?}");
            assert_eq!(named, circumstances, "{item}");
        }
    };
    let without = learned(None);
    close(
        &asked("una", None, &without),
        &[
            ("02", 0.875, &["age: 60 to 69", "sex: female"]),
            ("03", 0.5, &[]),
            ("04", 0.5, &[]),
            ("01", 0.25, &[]),
        ],
    );
    let (e, asthma) = (std::f64::consts::E, &["condition: asthma"][..]);
    close(
        &asked("vera", None, &without),
        &[
            ("01", 0.25 * e * e, asthma),
            ("03", 0.5 * e, asthma),
            ("02", 0.875, &["age: 60 to 69", "sex: female"]),
            ("04", 0.5, &[]),
        ],
    );
    // Half a degree away counts as ever; the nearer does better, where the person says to be.
    let there = Place { latitude: 0.0, longitude: 0.0 };
    let usual = there.distance_km(Place { latitude: 0.0, longitude: 0.5 }).ln_1p();
    let far = learned(Some(DistanceWeight { weight: -1.0, mean: usual }));
    let at = |km: f64| (usual - km.ln_1p()).exp();
    let degree = there.distance_km(Place { latitude: 0.0, longitude: 1.0 });
    close(
        &asked("una", None, &far),
        &[
            ("04", 0.5 * at(0.0), &["distance"]),
            ("03", 0.5 * at(degree), &[]),
            ("02", 0.875 * at(2.0 * degree), &["age: 60 to 69", "sex: female"]),
            ("01", 0.25 * at(2.0 * degree), &[]),
        ],
    );
    let found = asked("una", Some(there), &far);
    assert_eq!((found[0].0.as_str(), &found[0].2[0]), ("02", &"distance".to_owned()), "{found:?}");
    assert!((found[0].1 - 0.875 * at(0.0)).abs() < 1e-9 && LEAST > 0.0);
}

#[test]
fn circumstances_that_do_not_fit_are_refused_in_words() {
    let made = |names: &[&str], parts: Laid, factors: Laid, distance: Option<DistanceWeight>| {
        let names = names.iter().map(|name| Box::from(*name)).collect();
        ContextWeights::new(names, 2, parts, factors, distance).unwrap_err()
    };
    let none = laid(&[&[]]);
    let far = DistanceWeight { weight: f64::NAN, mean: 1.0 };
    for (error, expected) in [
        (made(&["b", "a"], laid(&[&[], &[]]), laid(&[&[], &[]]), None), "not sorted and distinct at \"a\""),
        (made(&["a"], laid(&[]), none.clone(), None), "1 rows have 1 beginnings"),
        (made(&["a"], none.clone(), laid(&[&[(2, 1.0)]]), None), "the row of \"a\""),
        (made(&["a"], laid(&[&[(1, f32::INFINITY)]]), none.clone(), None), "no finite number"),
        (made(&["a"], none.clone(), none, Some(far)), "the distance is no finite number"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_in_words() {
    let named = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<Box<str>>>();
    let made = |names: &[&str], starts: &[usize], targets: &[u32], value: f32| {
        let (items, count) = (named(names), targets.len());
        let base = vec![0.0; items.len()];
        ItemWeights::new(items, base, starts.to_vec(), targets.to_vec(), vec![value; count]).unwrap_err()
    };
    for (error, expected) in [
        (made(&[], &[0], &[], 1.0), "there are no items"),
        (made(&["b", "a"], &[0, 0, 0], &[], 1.0), "not sorted and distinct at \"a\""),
        (made(&["a", "a"], &[0, 0, 0], &[], 1.0), "not sorted and distinct at \"a\""),
        (made(&["a", "b"], &[0, 1], &[1], 1.0), "2 rows have 2 beginnings"),
        (made(&["a", "b"], &[0, 2, 1], &[1], 1.0), "do not lie one after another"),
        (made(&["a", "b"], &[0, 1, 1], &[2], 1.0), "the row of item \"a\""),
        (made(&["a", "b"], &[0, 1, 1], &[0], 1.0), "\"a\" speaks for itself"),
        (made(&["a", "b"], &[0, 1, 1], &[1], f32::NAN), "no finite number"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}
