//! The index against a plain one: every case's score in double precision, everything sorted.

use std::collections::{BTreeMap, HashMap};

use nn::random;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::attributes::{Attributes, Filter, keys};
use super::search::depth;
use super::{Hit, Index, Prepared, Query, Ranking, analysis, english};

/// A case as the plain index has it.
#[derive(Debug, Clone)]
struct Plain {
    text: String,
    attributes: Attributes,
    vector: Option<Vec<f32>>,
}

#[derive(Debug, Default)]
struct PlainIndex(BTreeMap<String, Plain>);

fn terms(text: &str) -> Vec<String> {
    let normal = analysis::normal(text);
    let mut found = Vec::new();
    analysis::for_each_term(&normal, |term, _| found.push(term.to_string()));
    found
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

impl PlainIndex {
    /// BM25 of every case, by the formula.
    fn by_words(&self, text: &str) -> HashMap<&str, f64> {
        let cases: Vec<(&str, Vec<String>)> =
            self.0.iter().map(|(id, case)| (id.as_str(), terms(&case.text))).collect();
        let mean = cases.iter().map(|(_, terms)| terms.len()).sum::<usize>() as f64 / cases.len() as f64;
        let mut asked = terms(text);
        if asked.iter().any(|term| !english::says_nothing(term)) {
            asked.retain(|term| !english::says_nothing(term));
        }
        let Ranking { k1, b, rarity: power, .. } = Ranking::default();
        let (k1, b, count) = (f64::from(k1), f64::from(b), cases.len() as f64);
        let mut scores = HashMap::new();
        for (id, words) in &cases {
            let mut score = 0.0;
            for term in &asked {
                let of = |words: &[String]| words.iter().filter(|word| *word == term).count() as f64;
                let with = cases.iter().filter(|(_, words)| words.contains(term)).count() as f64;
                let rarity = (1.0 + (count - with + 0.5) / (with + 0.5)).ln().powf(f64::from(power));
                let norm = k1 * ((1.0 - b) + b * words.len() as f64 / mean.max(1.0));
                let times = of(words);
                score += if times > 0.0 { rarity * times * (k1 + 1.0) / (times + norm) } else { 0.0 };
            }
            scores.insert(*id, score);
        }
        scores
    }

    /// Everything in its place, with scores.
    fn search(&self, query: &Query, filter: &Attributes) -> Vec<(String, f64, Option<f64>)> {
        let words = self.by_words(query.text);
        let asked: Vec<(&String, std::collections::BTreeSet<String>)> = filter
            .iter()
            .map(|(name, value)| (name, keys(&Attributes::from_iter([(name.clone(), value.clone())]))))
            .collect();
        let passes = |case: &Plain| {
            let has = keys(&case.attributes);
            asked.iter().all(|(_, any)| any.iter().any(|key| has.contains(key)))
        };
        let mut all: Vec<(&str, f64, Option<f64>)> = self
            .0
            .iter()
            .filter(|(_, case)| passes(case))
            .map(|(id, case)| {
                let near = query.vector.zip(case.vector.as_ref()).map(|(a, b)| cosine(a, b));
                (id.as_str(), words[id.as_str()], near)
            })
            .collect();
        let depth = depth(query.limit);
        type Scored<'a> = (&'a str, f64, Option<f64>);
        let best = |score: &dyn Fn(&Scored) -> Option<f64>| {
            let mut order: Vec<(f64, &str)> =
                all.iter().filter_map(|one| Some((score(one)?, one.0))).collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            order.truncate(depth);
            order.into_iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>()
        };
        let mut kept = best(&|one| (one.1 > 0.0).then_some(one.1));
        kept.extend(best(&|one| one.2));
        all.retain(|one| kept.iter().any(|id| id == one.0));
        let most = all.iter().map(|one| one.1).fold(0.0, f64::max);
        let near: Vec<f64> = all.iter().filter_map(|one| one.2).collect();
        let (low, high) =
            near.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), n| (l.min(*n), h.max(*n)));
        let share = f64::from(Ranking::default().words);
        let mut scored: Vec<(String, f64, Option<f64>)> = all
            .iter()
            .map(|(id, words, similarity)| {
                let words = if most > 0.0 { words / most } else { 0.0 };
                let near =
                    similarity.map_or(0.0, |n| if high > low { (n - low) / (high - low) } else { 1.0 });
                let score = match (most > 0.0, !near_is_empty(low, high)) {
                    (true, true) => share * words + (1.0 - share) * near,
                    (true, false) => words,
                    _ => near,
                };
                (id.to_string(), score, *similarity)
            })
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scored.truncate(query.limit);
        scored
    }
}

fn near_is_empty(low: f64, high: f64) -> bool {
    high < low
}

/// What is found is what the plain index finds; where scores are equal but for rounding, either order will do.
fn agree(found: &[Hit], expected: &[(String, f64, Option<f64>)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len(), "{:?} for {:?}", found, expected);
    for (hit, (id, score, _)) in found.iter().zip(expected) {
        prop_assert!((f64::from(hit.score) - score).abs() < 2e-4, "{hit:?} for {id} {score}");
        let same = expected.iter().find(|(id, ..)| *id == hit.id);
        match same {
            Some((_, score, similarity)) => {
                prop_assert!((f64::from(hit.score) - score).abs() < 2e-4, "{hit:?} for {score}");
                prop_assert_eq!(hit.similarity.is_some(), similarity.is_some());
                let off = hit.similarity.zip(*similarity).map_or(0.0, |(a, b)| (f64::from(a) - b).abs());
                prop_assert!(off < 1e-6, "{off}");
            }
            // Beyond the cut by rounding alone.
            None => {
                prop_assert!((f64::from(hit.score) - expected[expected.len() - 1].1).abs() < 2e-4, "{hit:?}")
            }
        }
    }
    Ok(())
}

const WORDS: [&str; 14] = [
    "pain",
    "chest",
    "the",
    "fever",
    "child",
    "胸痛",
    "asthma",
    "Crohn's",
    "allergies",
    "allergy",
    "of",
    "gene",
    "rash",
    "heart",
];

#[derive(Debug, Clone)]
enum Change {
    Put(u8, Vec<usize>, u8, bool),
    Remove(u8),
    Tidy,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0u8..40, prop::collection::vec(0..WORDS.len(), 1..12), 0u8..3, any::<bool>())
            .prop_map(|(id, words, ward, vector)| Change::Put(id, words, ward, vector)),
        2 => (0u8..40).prop_map(Change::Remove),
        1 => Just(Change::Tidy),
    ]
}

fn sentence(words: &[usize]) -> String {
    words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn after_any_changes_it_finds_what_a_plain_index_finds(
        changes in prop::collection::vec(change(), 1..70),
        words in prop::collection::vec(0..WORDS.len(), 0..9),
        with_vector: bool,
        limit in 1usize..8,
        ward in prop::option::of(prop::collection::vec(0u8..4, 1..3)),
        seed: u64,
    ) {
        let mut rng = random::stream(seed, "cases");
        let mut draw = || -> Vec<f32> { (0..20).map(|_| random::normal(&mut rng)).collect() };
        let (mut index, mut plain) = (Index::new(), PlainIndex::default());
        for change in changes {
            match change {
                Change::Put(id, words, ward, vector) => {
                    let (id, text) = (format!("c{id}"), sentence(&words));
                    let attributes = json!({"ward": [format!("w{ward}"), "all"], "n": ward});
                    let attributes = attributes.as_object().unwrap().clone();
                    let vector = vector.then(&mut draw);
                    index.put(&Prepared::new(&id, &text, &attributes), vector.as_deref());
                    let before = plain.0.get(&id).filter(|case| case.text == text && case.attributes == attributes);
                    let vector = before.and_then(|case| case.vector.clone()).or(vector);
                    plain.0.insert(id, Plain { text, attributes, vector });
                }
                Change::Remove(id) => {
                    let id = format!("c{id}");
                    prop_assert_eq!(index.remove(&id), plain.0.remove(&id).is_some());
                }
                Change::Tidy => index.tidy(),
            }
        }
        let counts = index.counts();
        prop_assert_eq!(counts.cases, plain.0.len());
        prop_assert_eq!(counts.with_vector, plain.0.values().filter(|case| case.vector.is_some()).count());
        let without = plain.0.iter().filter(|(_, case)| case.vector.is_none()).map(|(id, _)| id.clone());
        let mut found = index.without_vector(99);
        found.sort();
        prop_assert_eq!(found, without.collect::<Vec<_>>());
        let text = sentence(&words);
        let vector = with_vector.then(&mut draw);
        let filter = ward.map_or_else(Attributes::new, |wards| {
            let wards: Vec<Value> = wards.iter().map(|ward| json!(format!("w{ward}"))).collect();
            Attributes::from_iter([("ward".to_string(), Value::Array(wards))])
        });
        let query = Query { text: &text, vector: vector.as_deref(), filter: &Filter::new(&filter), limit };
        if plain.0.is_empty() {
            prop_assert!(index.search(&query).is_empty());
        } else {
            agree(&index.search(&query), &plain.search(&query, &filter))?;
        }
    }
}

/// An index of several segments with words of very different frequency, so that lists are long and
/// what cannot win is passed over.
#[test]
fn what_is_passed_over_could_not_have_won() {
    let mut rng = random::stream(5, "many");
    let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random::normal(&mut rng)).collect() };
    let (mut index, mut plain) = (Index::new(), PlainIndex::default());
    for number in 0..40_000 {
        let mut text = format!("pain w{} w{}", number % 7, number % 1000);
        if number % 3 == 0 {
            text += " fever chest";
        }
        if number % 20_011 == 5 {
            text += " rare rare";
        }
        let id = format!("{number:05}");
        let vector = draw(16);
        index.put(&Prepared::new(&id, &text, &Attributes::new()), Some(&vector));
        plain.0.insert(id, Plain { text, attributes: Attributes::new(), vector: Some(vector) });
    }
    let by_words = |text: &str| {
        let hits = index.search(&Query { text, vector: None, filter: &Filter::default(), limit: 10 });
        hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>()
    };
    let found = by_words("rare pain fever chest w3");
    assert!(found[0] == "00005" || found[0] == "20016", "{found:?}");
    assert_eq!(found.len(), 10);
    // Those with all the other words come next, in the order of their identifiers: the first such.
    let expected: Vec<String> =
        (0..40_000).filter(|n| n % 21 == 3 && n % 1000 != 3).map(|n| format!("{n:05}")).take(7).collect();
    let most = (0..40_000).find(|n| n % 21 == 3 && n % 1000 == 3).map(|n| format!("{n:05}"));
    assert!(most.is_some_and(|most| found.contains(&most)), "{found:?}");
    assert!(expected[..3].iter().all(|id| found.contains(id)), "{found:?} for {expected:?}");
    // By vectors alone: the cosines sorted.
    let question = draw(16);
    let hits =
        index.search(&Query { text: "", vector: Some(&question), filter: &Filter::default(), limit: 20 });
    let mut cosines: Vec<(f64, &str)> = plain
        .0
        .iter()
        .map(|(id, case)| (cosine(&question, case.vector.as_ref().unwrap()), id.as_str()))
        .collect();
    cosines.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (hit, (cosine, id)) in hits.iter().zip(&cosines) {
        assert_eq!(hit.id, *id);
        assert!((f64::from(hit.similarity.unwrap()) - cosine).abs() < 1e-6);
    }
}

#[test]
fn the_order_in_which_cases_came_and_went_does_not_show() {
    let texts: Vec<(String, String)> = (0..300)
        .map(|n| (format!("c{}", n * 37 % 300), format!("pain in place {} and {}", n % 11, n % 17)))
        .collect();
    let put = |index: &mut Index, (id, text): &(String, String)| {
        index.put(&Prepared::new(id, text, &Attributes::new()), None);
    };
    let (mut one, mut other) = (Index::new(), Index::new());
    texts.iter().for_each(|case| put(&mut one, case));
    texts.iter().rev().for_each(|case| put(&mut other, &(case.0.clone(), "something else 3".to_string())));
    (0..50).for_each(|n| put(&mut other, &(format!("gone{n}"), "pain 3".to_string())));
    texts.iter().rev().for_each(|case| put(&mut other, case));
    (0..50).for_each(|n| assert!(other.remove(&format!("gone{n}"))));
    let ask = |index: &Index, text: &str| {
        index.search(&Query { text, vector: None, filter: &Filter::default(), limit: 25 })
    };
    for text in ["pain 3 5", "place 16", "pain", "something"] {
        assert_eq!(ask(&one, text), ask(&other, text), "{text}");
    }
    while other.is_untidy() {
        other.tidy();
    }
    assert_eq!(ask(&one, "pain 3 5"), ask(&other, "pain 3 5"));
    assert!(other.sizes().other_bytes <= one.sizes().other_bytes * 2);
}

#[test]
fn words_say_why_and_a_question_of_small_words_is_answered_by_them() {
    let mut index = Index::new();
    for (id, text) in
        [("a", "Allergies to penicillin since 2019"), ("b", "to be or not to be"), ("c", "胸痛三天")]
    {
        index.put(&Prepared::new(id, text, &Attributes::new()), None);
    }
    let ask = |text: &str| {
        let hits = index.search(&Query { text, vector: None, filter: &Filter::default(), limit: 9 });
        hits.into_iter().map(|hit| (hit.id, hit.words)).collect::<Vec<_>>()
    };
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ask("Is it a PENICILLIN allergy?"), [("a".to_string(), words(&["allergy", "penicillin"]))]);
    assert_eq!(
        ask("not to be"),
        [("b".to_string(), words(&["be", "not", "to"])), ("a".to_string(), words(&["to"]))]
    );
    assert_eq!(ask("我胸痛"), [("c".to_string(), words(&["胸痛"]))]);
    assert_eq!(ask("nothing of it"), []);
}

#[test]
fn vectors_of_another_length_or_without_direction_are_not_taken() {
    let mut index = Index::new();
    let put = |index: &mut Index, id: &str| index.put(&Prepared::new(id, "pain", &Attributes::new()), None);
    put(&mut index, "a");
    put(&mut index, "b");
    assert!(index.set_vector("a", &[3.0, 4.0]));
    assert!(!index.set_vector("b", &[1.0, 0.0, 0.0]) && !index.set_vector("b", &[0.0, 0.0]));
    assert!(!index.set_vector("b", &[f32::NAN, 1.0]) && !index.set_vector("c", &[1.0, 0.0]));
    let ask = |index: &Index, vector: &[f32]| {
        index.search(&Query { text: "", vector: Some(vector), filter: &Filter::default(), limit: 9 })
    };
    let hits = ask(&index, &[0.6, 0.8]);
    assert_eq!(hits.len(), 1);
    assert!((hits[0].similarity.unwrap() - 1.0).abs() < 1e-6);
    assert!(ask(&index, &[1.0, 0.0, 0.0]).is_empty());
    index.drop_vectors();
    assert!(index.set_vector("b", &[1.0, 0.0, 0.0]));
    assert_eq!(ask(&index, &[1.0, 0.0, 0.0])[0].id, "b");
    assert_eq!(index.without_vector(9), ["a"]);
    // What was given one that says nothing is not asked for again.
    assert!(!index.set_vector("a", &[0.0, 0.0, 0.0]));
    assert!(index.without_vector(9).is_empty());
}
