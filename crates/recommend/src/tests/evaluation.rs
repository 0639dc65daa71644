//! Evaluations small enough to be worked out by hand.

use crate::data::Interaction;
use crate::evaluate::{
    HeldOut, Metrics, Options, Partition, Report, Split, evaluate, measure, neighbors, score,
};
use crate::settings::Settings;
use crate::source::Similarity;
use crate::weights::Weighing;

fn options(split: Split, k: usize) -> Options {
    let settings = Settings { neighbors: 100, ..Settings::default() };
    Options { split, k, similarity: Similarity::Cosine, settings, seed: 7 }
}

fn events(people: &[(String, &[&str])]) -> Vec<Interaction> {
    let event = |user: &str, item: &str| Interaction {
        user_id: user.to_owned(),
        item_id: item.to_owned(),
        event: String::new(),
        weight: 1.0,
        time: 0,
    };
    people.iter().flat_map(|(user, items)| items.iter().map(move |item| event(user, item))).collect()
}

/// Two groups of twenty who share nothing: one has x and y, the other p and q.
fn groups() -> Vec<(String, &'static [&'static str])> {
    let group = |name: &'static str, items: &'static [&'static str]| {
        (0..20).map(move |n| (format!("{name}{n}"), items))
    };
    group("a", &["x", "y"]).chain(group("b", &["p", "q"])).collect()
}

fn assert_metrics(found: Metrics, expected: Metrics) {
    let values =
        |m: Metrics| [m.hit_rate, m.precision, m.recall, m.ndcg, m.map, m.coverage, m.catalogue_share];
    for (a, b) in values(found.clone()).into_iter().zip(values(expected.clone())) {
        assert!((a - b).abs() < 1e-12, "{found:?} where {expected:?} was expected");
    }
}

/// Whichever of the two items is missing, the nineteen others of the group have it: it comes
/// first, and alone. To the popular baseline the missing item is the third, since one of its
/// twenty is left out; at random all three items the user is not known to have are shown.
#[test]
fn one_is_left_out_at_a_time() {
    let report = evaluate(&events(&groups()), &options(Split::LeaveOneOut, 3));
    let Report { users, items, entries, evaluated_users, held_out, .. } = report;
    assert_eq!((users, items, entries, evaluated_users, held_out), (40, 4, 80, 40, 40));
    let all = Metrics {
        hit_rate: 1.0,
        precision: 1.0 / 3.0,
        recall: 1.0,
        ndcg: 1.0,
        map: 1.0,
        coverage: 1.0,
        catalogue_share: 1.0,
    };
    assert_metrics(report.recommender, all.clone());
    assert_metrics(report.popularity, Metrics { ndcg: 0.5, map: 1.0 / 3.0, ..all.clone() });
    let Metrics { ndcg, map, .. } = report.random.clone();
    assert!((0.5..1.0).contains(&ndcg) && (1.0 / 3.0..1.0).contains(&map));
    assert_metrics(report.random, Metrics { ndcg, map, ..all });
    assert_eq!(report.hit_rate_over_popularity, Some(1.0));
}

/// The popular item is always one of the other group, so there is no rate to compare with.
#[test]
fn where_popularity_never_hits_there_is_no_ratio() {
    let report = evaluate(&events(&groups()), &options(Split::LeaveOneOut, 1));
    assert_eq!((report.recommender.hit_rate, report.popularity.hit_rate), (1.0, 0.0));
    assert_eq!(report.hit_rate_over_popularity, None);
    assert!(!serde_json::to_string(&report).unwrap().contains("hit_rate_over_popularity"));
}

/// One more person, whose two items nobody else has: for that one the popular items stand in,
/// which miss. Somebody with a single item cannot be asked about at all.
#[test]
fn who_has_no_neighbors_is_given_what_is_popular() {
    let mut people = groups();
    people.push(("lonely".to_owned(), &["own", "other"]));
    people.push(("short".to_owned(), &["x"]));
    let report = evaluate(&events(&people), &options(Split::LeaveOneOut, 1));
    assert_eq!((report.users, report.evaluated_users, report.items), (42, 41, 6));
    let share = 40.0 / 41.0;
    let expected = Metrics {
        hit_rate: share,
        precision: share,
        recall: share,
        ndcg: share,
        map: share,
        coverage: share,
        // x, y, p and q, but neither of the two nobody else has.
        catalogue_share: 4.0 / 6.0,
    };
    assert_metrics(report.recommender, expected);
    assert_eq!(report.popularity.coverage, 1.0);
}

/// Of four items, a quarter is one and half is two; of two, never both are taken.
#[test]
fn a_share_is_held_out_of_everyone_at_once() {
    let four: &[&str] = &["w", "x", "y", "z"];
    let two: &[&str] = &["w", "x"];
    let people: Vec<_> = (0..10)
        .map(|n| (format!("four{n}"), four))
        .chain((0..10).map(|n| (format!("two{n}"), two)))
        .collect();
    for (share, held_out) in [(0.25, 10 + 10), (0.5, 20 + 10), (0.9, 30 + 10)] {
        let report = evaluate(&events(&people), &options(Split::Ratio(share), 4));
        assert_eq!((report.evaluated_users, report.held_out), (20, held_out), "{share}");
        assert_eq!(report.entries, 60 - held_out, "what is held out is known to nobody");
    }
}

/// Two wanted, one of them second of three: half of the precision at its rank, over both.
#[test]
fn what_is_not_ranked_counts_against_the_average_precision() {
    let one = score(&[1, 2, 3], &[2, 9], 3);
    let second = 1.0 / 3f64.log2();
    let expected = Metrics {
        hit_rate: 1.0,
        precision: 1.0 / 3.0,
        recall: 0.5,
        ndcg: second / (1.0 + second),
        map: 0.25,
        ..Metrics::default()
    };
    assert_metrics(one, expected);
}

/// The last of each person's items by time, whatever the seed; of equal times the later id.
#[test]
fn a_split_by_time_holds_out_what_came_last() {
    let mut events = events(&groups());
    for event in &mut events {
        event.time = if event.item_id == "x" || event.item_id == "p" { 5 } else { 3 };
    }
    for seed in 0..3 {
        let partition = Partition::new(&events, Split::Time(0.5), seed, &Weighing::default());
        assert_eq!(partition.held_out.len(), 40);
        for case in &partition.held_out {
            assert_eq!(case.item_ids, [if case.user_id.starts_with('a') { "x" } else { "p" }]);
        }
    }
    for (text, split) in [("time:0.25", Split::Time(0.25)), ("ratio:0.5", Split::Ratio(0.5))] {
        assert_eq!(text.parse(), Ok(split));
    }
    for text in ["time", "time:0", "ratio:1", "ratio:x", "leave"] {
        assert!(text.parse::<Split>().unwrap_err().contains("the splits are"), "{text}");
    }
}

/// Somebody else's split: what is known already is not looked for, who is not known is given what
/// is popular, and an item that nobody has counts as missed.
#[test]
fn a_split_can_come_from_elsewhere() {
    let known = events(&[("a".to_owned(), &["x", "y"]), ("b".to_owned(), &["x"]), ("c".to_owned(), &["z"])]);
    let test =
        events(&[("b".to_owned(), &["x", "y", "w"]), ("new".to_owned(), &["x"]), ("c".to_owned(), &["z"])]);
    let partition = Partition::given(&known, &test, &Weighing::default());
    let looked_for: Vec<_> =
        partition.held_out.iter().map(|case| (case.user_id.as_str(), case.item_ids.clone())).collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(looked_for, [("b", names(&["w", "y"])), ("new", names(&["x"]))]);
    let settings = Settings::default();
    let groups = [("b".to_owned(), names(&["sex: f"]))].into_iter().collect();
    let mut rank = |case: &HeldOut| neighbors(&partition.known, case, Similarity::Cosine, &settings);
    let report = measure(&partition, 1, 0, &groups, &mut rank);
    assert_eq!((report.recommender.hit_rate, report.recommender.recall), (1.0, 0.75));
    assert_eq!(report.recommender.coverage, 0.5);
    assert_eq!((report.by_group["sex: f"].users, report.by_group["sex: f"].metrics.recall), (1, 0.5));
}
