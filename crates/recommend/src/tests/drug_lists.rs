//! Lists of drugs before and after the rules, against what was counted by hand.

use serde_json::json;

use crate::data::{Interaction, Item, User};
use crate::evaluate::{DrugLists, Partition};
use crate::filters::Unknown;
use crate::ranking::Candidate;
use crate::settings::Settings;

fn drug(id: &str, against: serde_json::Value) -> Item {
    serde_json::from_value(json!({"item_id": id, "kind": "drug", "name": id, "contraindications": against}))
        .unwrap()
}

fn event(user: &str, item: &str) -> Interaction {
    Interaction {
        user_id: user.to_owned(),
        item_id: item.to_owned(),
        event: "interaction".to_owned(),
        weight: 1.0,
        time: 0,
    }
}

/// Made-up drugs: a and b interact; a and c only want care; d is of b's class; e is for nobody who is
/// allergic to it; f is known by its name alone.
fn drugs() -> Vec<Item> {
    let caution = json!({"rules": [{"about": "medication", "code": "qc", "severity": "caution"}]});
    let mut a = caution;
    a["interacts_with"] = json!(["qb"]);
    vec![
        drug("qa", a),
        drug("qb", json!({"therapeutic_class": "qclass"})),
        drug("qc", json!({})),
        drug("qd", json!({"therapeutic_class": "qclass"})),
        drug("qe", json!({"allergies": ["qe"]})),
    ]
}

#[test]
fn pairs_are_counted_before_and_after_the_rules() {
    let known: Vec<Interaction> = ["qa", "qb", "qc", "qd", "qe", "qf", "qg"]
        .iter()
        .map(|item| event("other", item))
        .chain([event("one", "qg"), event("two", "qa"), event("three", "qg")])
        .collect();
    let wanted = [event("one", "qc"), event("two", "qb"), event("three", "qa")];
    let settings = Settings { unknown: Unknown::Allow, ..Settings::default() };
    let partition = Partition::given(&known, &wanted, &settings.weighing);
    let person = |id: &str, allergies: serde_json::Value| -> User {
        serde_json::from_value(
            json!({"user_id": id, "profile": {"allergies": allergies, "medications": ["unheard of"]}}),
        )
        .unwrap()
    };
    let people = [person("one", json!([])), person("two", json!(["qe"]))];
    let mut lists = DrugLists::new(drugs(), people, &partition.known, &settings, 4, 0);
    assert_eq!(lists.known_drugs(), 5);
    let number = |item: &str| partition.known.items.get(item).unwrap();
    for case in &partition.held_out {
        let order: &[&str] = match case.user_id.as_str() {
            // Before: a b c d, of whose 6 pairs a-b and a-c interact, and b-d is the same class twice.
            // After: a, not b, c with a caution, d, e: of 6 pairs a-c interacts.
            "one" => &["qa", "qb", "qc", "qd", "qe"],
            // Takes a. Before: b c e f (6 pairs, none interacts), with a: 2 of 4. After: c f, since b
            // is beside a and e is what the person is allergic to; with a: 1 of 2.
            "two" => &["qb", "qc", "qe", "qf", "qa"],
            // Nothing to choose from: no list.
            _ => &[],
        };
        let candidates: Vec<Candidate> = order
            .iter()
            .zip((1..=order.len()).rev())
            .map(|(item, score)| Candidate { item: number(item), score: score as f64 })
            .collect();
        lists.add(case, &candidates).unwrap();
    }
    let report = lists.report();
    assert_eq!((report.people, report.abstained), (2, 0));
    let (before, after) = (&report.before, &report.after);
    assert_eq!((before.pairs, before.conflicts, before.length), (12, 2, 4.0));
    assert_eq!(before.ddi_rate, 2.0 / 12.0);
    // One has g, which no rule is about: 0 of 4. Two has a: 2 of 4.
    assert_eq!(before.ddi_rate_with_taken, 2.0 / 8.0);
    assert_eq!((after.pairs, after.conflicts, after.length), (7, 0, 3.0));
    assert_eq!(after.ddi_rate, 1.0 / 7.0);
    assert_eq!(after.ddi_rate_with_taken, 1.0 / 6.0);
    // Of one c is found by both lists, of two b before the rules alone.
    assert_eq!((before.metrics.hit_rate, after.metrics.hit_rate), (1.0, 0.5));
}

#[test]
fn where_nothing_is_recorded_nothing_is_listed() {
    let known = [event("other", "qa"), event("other", "qg"), event("one", "qg")];
    let settings = Settings::default();
    let partition = Partition::given(&known, &[event("one", "qa")], &settings.weighing);
    let mut lists = DrugLists::new(drugs(), [], &partition.known, &settings, 3, 0);
    let candidate = Candidate { item: partition.known.items.get("qa").unwrap(), score: 1.0 };
    lists.add(&partition.held_out[0], &[candidate]).unwrap();
    let report = lists.report();
    assert_eq!((report.people, report.abstained), (1, 1));
    assert_eq!((report.before.length, report.after.length), (1.0, 0.0));
}
