//! Weights between items: what they are refused for, that the parts make up the score, and that
//! the numbers of a package and of a snapshot may differ.

use std::sync::Arc;

use proptest::prelude::*;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::answer::{Request, Strategy};
use crate::data::{Kind, Profile};
use crate::learned::{ItemWeights, Learned};
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
        (made(&["a", "b"], &[0, 1], &[1], 1.0), "2 items have 2 bases, 2 beginnings"),
        (made(&["a", "b"], &[0, 2, 1], &[1], 1.0), "do not lie one after another"),
        (made(&["a", "b"], &[0, 1, 1], &[2], 1.0), "the row of item \"a\""),
        (made(&["a", "b"], &[0, 1, 1], &[0], 1.0), "\"a\" speaks for itself"),
        (made(&["a", "b"], &[0, 1, 1], &[1], f32::NAN), "no finite number"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}
