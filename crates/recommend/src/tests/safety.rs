//! Never unsafe, always with the reason, and never a word about anybody else.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::answer::{RecommendError, Recommendation, Request, Strategy as By};
use crate::data::{Contraindications, Item, Kind, Profile};
use crate::filters::{Unknown, Unmatched};
use crate::places::Place;
use crate::recommender::Recommender;
use crate::settings::Settings;

const NOW: i64 = 1_717_200_000_000; // 2024-06-01

fn profile(json: serde_json::Value) -> Profile {
    serde_json::from_value(json).unwrap()
}

pub(super) fn drug(id: &str, rules: serde_json::Value) -> Item {
    let contraindications: Contraindications = serde_json::from_value(rules).unwrap();
    Item { contraindications, ..item(id, Kind::Drug) }
}

/// What is recommended to someone with this profile, when six others take the same base drug
/// and all of the others.
pub(super) fn ask_with(profile: Profile, drugs: Vec<Item>, settings: Settings) -> Recommendation {
    let store = FakeStore::default();
    let mut tables = store.tables();
    tables.put_item(item("base", Kind::Drug));
    tables.put_user("me", profile);
    tables.add("me", "base", 1.0);
    for drug in &drugs {
        tables.put_item(drug.clone());
    }
    for n in 0..6 {
        let other = format!("other-person-{n}");
        tables.put_user(&other, Profile::default());
        tables.add(&other, "base", 1.0);
        for drug in &drugs {
            tables.add(&other, &drug.item_id, 1.0);
        }
    }
    drop(tables);
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, settings, NOW)).unwrap();
    let mut request = Request::new("me", Kind::Drug, NOW);
    request.limit = 100;
    now(recommender.recommend(&request)).unwrap()
}

pub(super) fn ask(profile: Profile, drugs: Vec<Item>) -> Recommendation {
    ask_with(profile, drugs, Settings::default())
}

pub(super) fn ids(answer: &Recommendation) -> Vec<&str> {
    answer.items.iter().map(|item| item.item_id.as_str()).collect()
}

pub(super) fn excluded(answer: &Recommendation) -> Vec<(&str, &str)> {
    answer.excluded.iter().map(|e| (e.item_id.as_str(), e.reason.as_str())).collect()
}

/// Someone of whom all is known and nothing is wrong.
fn healthy() -> serde_json::Value {
    json!({"birth_year": 1974, "sex": "female", "conditions": [], "allergies": [],
           "medications": [], "pregnant": false})
}

pub(super) fn with(changes: serde_json::Value) -> Profile {
    let mut all = healthy();
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    profile(all)
}

#[test]
fn each_rule_excludes_with_its_reason() {
    let cases = [
        (json!({"allergies": ["Penicillin "]}), json!({"allergies": ["penicillin"]}), "allergy: Penicillin"),
        (json!({"allergies": ["the X"]}), json!({}), "allergy: the X"),
        (
            json!({"conditions": ["kidney  failure"]}),
            json!({"conditions": ["Kidney Failure"]}),
            "condition: kidney  failure",
        ),
        (
            json!({"medications": ["warfarin"]}),
            json!({"interacts_with": ["Warfarin"]}),
            "interaction: warfarin",
        ),
        // By the class of a drug of the catalogue, and from its side.
        (
            json!({"medications": ["the other"]}),
            json!({"interacts_with": ["anticoagulant"]}),
            "interaction: the other",
        ),
        (json!({"medications": ["partner"]}), json!({"therapeutic_class": "nsaid"}), "interaction: partner"),
        // A class is taken for any drug of it, from both sides.
        (
            json!({"medications": ["Blood  thinner"]}),
            json!({"interacts_with": ["member"]}),
            "interaction: Blood  thinner",
        ),
        (
            json!({"medications": ["blood thinner"]}),
            json!({"therapeutic_class": "nsaid"}),
            "interaction: blood thinner",
        ),
        (
            json!({"medications": ["other"]}),
            json!({"therapeutic_class": "Anticoagulant"}),
            "duplicate therapy: Anticoagulant (already taking other)",
        ),
        (
            json!({"medications": ["statin"]}),
            json!({"therapeutic_class": "statin"}),
            "duplicate therapy: statin (already taking statin)",
        ),
        (json!({"medications": ["x"]}), json!({}), "duplicate therapy: already taking x"),
        (json!({"pregnant": true}), json!({"pregnancy": true}), "pregnancy"),
        (json!({"birth_year": 2008}), json!({"min_age": 18}), "age: under 18"),
        // Born in 2006, one may still be 17.
        (json!({"birth_year": 2006}), json!({"min_age": 18}), "age: under 18"),
        (json!({"birth_year": 1950}), json!({"max_age": 65}), "age: over 65"),
        (json!({"conditions": null}), json!({"conditions": ["gout"]}), "conditions: not recorded"),
        (json!({"pregnant": null}), json!({"pregnancy": true}), "pregnancy: not recorded"),
        (json!({"birth_year": null}), json!({"min_age": 18}), "birth_year: not recorded"),
        (json!({"allergies": null}), json!({}), "allergies: not recorded"),
        (json!({"medications": null}), json!({}), "medications: not recorded"),
    ];
    for (person, rules, reason) in cases {
        let catalogue = vec![
            drug("x", rules.clone()),
            drug("other", json!({"therapeutic_class": "anticoagulant"})),
            drug("partner", json!({"interacts_with": ["NSAID"]})),
            drug("member", json!({"therapeutic_class": "blood thinner", "interacts_with": ["nsaid"]})),
        ];
        let answer = ask(with(person.clone()), catalogue);
        assert!(excluded(&answer).contains(&("x", reason)), "{person} {rules}: {answer:?}");
        assert!(!ids(&answer).contains(&"x"), "{person} {rules}");
    }
}

#[test]
fn what_does_not_apply_excludes_nothing() {
    let cases = [
        (json!({"allergies": ["sulfa"]}), json!({"allergies": ["penicillin"]})),
        (json!({"pregnant": null, "sex": "male"}), json!({"pregnancy": true})),
        (json!({"pregnant": null, "birth_year": 1940}), json!({"pregnancy": true})),
        (json!({"birth_year": 2005}), json!({"min_age": 18})),
        (json!({"birth_year": 1959}), json!({"max_age": 65})),
        (json!({"conditions": null, "birth_year": null}), json!({"allergies": ["penicillin"]})),
    ];
    for (person, rules) in cases {
        let answer = ask(with(person.clone()), vec![drug("x", rules.clone())]);
        assert_eq!(ids(&answer), ["x"], "{person} {rules}");
    }
}

#[test]
fn unknown_is_not_none_for_drugs() {
    let drugs = || vec![drug("x", json!({})), drug("y", json!({}))];
    let unknown = with(json!({"allergies": null}));
    let answer = ask(unknown.clone(), drugs());
    assert_eq!((answer.strategy, ids(&answer)), (By::InsufficientEvidence, vec![]));
    assert_eq!(answer.abstained.as_deref(), Some("allergies: not recorded"));
    let reason = "allergies: not recorded";
    assert_eq!(excluded(&answer), [("x", reason), ("y", reason)]);

    assert_eq!(ids(&ask(with(json!({})), drugs())), ["x", "y"], "none is known to be none");
    let allow = Settings { unknown: Unknown::Allow, ..Settings::default() };
    assert_eq!(ids(&ask_with(unknown, drugs(), allow)), ["x", "y"]);
}

#[test]
fn an_unsafe_item_does_not_push_a_safe_one_out() {
    let store = FakeStore::default();
    let mut tables = store.tables();
    tables.put_user("me", with(json!({"allergies": ["penicillin"]})));
    tables.put_user("you", Profile::default());
    for name in ["base", "safe"] {
        tables.put_item(item(name, Kind::Drug));
    }
    tables.add("me", "base", 1.0);
    tables.add("you", "base", 1.0);
    tables.add("you", "safe", 1.0);
    for n in 0..5 {
        let name = format!("unsafe{n}");
        tables.put_item(drug(&name, json!({"allergies": ["penicillin"]})));
        tables.add("you", &name, 9.0);
    }
    drop(tables);
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap();
    let mut request = Request::new("me", Kind::Drug, NOW);
    request.limit = 1;
    let answer = now(recommender.recommend(&request)).unwrap();
    assert_eq!(ids(&answer), ["safe"]);
    assert_eq!(answer.excluded.len(), 5);
}

#[test]
fn what_is_not_understood_lets_no_drug_through() {
    let drugs = || vec![drug("y", json!({"allergies": ["penicillin"]})), drug("x", json!({}))];
    for (list, word, said) in [
        (
            "allergies",
            "penicilin",
            "allergies: \"penicilin\" is not understood; did you mean \"penicillin\"?",
        ),
        ("allergies", "unknown", "allergies: \"unknown\" is not understood"),
        ("medications", "zorbamycin 5 mg", "medications: \"zorbamycin 5 mg\" is not understood"),
        // A part that is understood does not make up for one that is not.
        ("medications", "aspirin/zorbamycin", "medications: \"aspirin/zorbamycin\" is not understood"),
    ] {
        let person = with(json!({list: [word]}));
        let answer = ask(person.clone(), drugs());
        assert_eq!((answer.strategy, ids(&answer)), (By::InsufficientEvidence, vec![]), "{word}");
        assert_eq!((answer.abstained.as_deref(), &answer.flags[..]), (Some(said), &[said.to_owned()][..]));
        let flag = Settings { unmatched: Unmatched::Flag, ..Settings::default() };
        let answer = ask_with(person, drugs(), flag);
        // Whoever may be allergic to what is in a drug does not get it all the same.
        let left = if word == "penicilin" { vec!["x"] } else { vec!["x", "y"] };
        assert_eq!((ids(&answer), &answer.abstained), (left, &None));
        assert_eq!(answer.flags, [said]);
    }
    // What the catalogue itself calls so is understood, and so are the words for none.
    for word in ["the x", "peanut", "NKDA"] {
        let answer = ask(with(json!({"allergies": [word]})), drugs());
        assert_eq!((answer.abstained, answer.flags), (None, vec![]), "{word}");
    }
}

#[test]
fn a_pregnancy_is_a_condition_however_it_is_known_and_a_caution_is_told() {
    let rule = |severity: &str| json!({"rules": [{"about": "condition", "code": "pregnancy", "severity": severity}]});
    for known in [json!({"pregnant": true}), json!({"conditions": ["26 weeks pregnant"]})] {
        let answer = ask(with(known), vec![drug("a", rule("serious")), drug("b", rule("caution"))]);
        assert_eq!(ids(&answer), ["b"]);
        assert_eq!(answer.items[0].cautions.len(), 1);
    }
    // A caution about a condition rules nothing out where conditions are not recorded.
    let answer =
        ask(with(json!({"conditions": null})), vec![drug("a", rule("serious")), drug("b", rule("caution"))]);
    assert_eq!(ids(&answer), ["b"]);
}

#[test]
fn a_condition_is_flagged_only_where_it_may_be_a_misspelt_one() {
    let flags = |condition: &str| {
        let drugs = vec![drug("x", json!({"conditions": ["chronic kidney disease"]}))];
        let answer = ask(with(json!({"conditions": [condition]})), drugs);
        assert_eq!(answer.abstained, None);
        answer.flags
    };
    assert_eq!(flags("ingrown toenail"), [""; 0], "no rule mentions it");
    assert_eq!(flags("gout"), [""; 0]);
    let said =
        "conditions: \"chronic kidny disease\" is not understood; did you mean \"chronic kidney disease\"?";
    assert_eq!(flags("chronic kidny disease"), [said]);
}

/// What may be meant by a misspelt condition is not recommended against.
#[test]
fn a_misspelt_condition_rules_out_what_has_a_rule_about_the_one_it_is_like() {
    let drugs = || {
        let caution = json!({"about": "condition", "code": "chronic kidney disease", "severity": "caution"});
        vec![
            drug("kidney", json!({"conditions": ["chronic kidney disease"]})),
            drug("pregnancy", json!({"pregnancy": true})),
            drug("caution", json!({"rules": [caution]})),
            drug("other", json!({"conditions": ["asthma"]})),
        ]
    };
    let recommended = |condition: &str| {
        let answer = ask(with(json!({"conditions": [condition]})), drugs());
        ids(&answer).into_iter().filter(|id| *id != "base").map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let all = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(recommended("chronic kidny disease stage 5"), all(&["pregnancy", "caution", "other"]));
    assert_eq!(recommended("pregnnacy"), all(&["kidney", "caution", "other"]));
    assert_eq!(recommended("ingrown toenail"), all(&["kidney", "pregnancy", "caution", "other"]));
    let flagged = Settings { unmatched: Unmatched::Flag, ..Settings::default() };
    let answer = ask_with(with(json!({"conditions": ["chronic kidny disease"]})), drugs(), flagged);
    assert!(ids(&answer).contains(&"kidney"));
}

#[test]
fn an_allergy_rules_out_what_is_alike() {
    let named = |names: &[&str]| -> Vec<Item> {
        names.iter().map(|name| Item { name: (*name).to_owned(), ..drug(name, json!({})) }).collect()
    };
    for (allergy, out, left) in [
        ("aspirin", &["ibuprofen", "naproxen"][..], "paracetamol"),
        ("amoxicillin", &["amoxicillin/clavulanate", "flucloxacillin"], "azithromycin"),
        ("Allergy to penicillin (finding)", &["amoxicillin", "flucloxacillin"], "azithromycin"),
        ("91936005", &["amoxicillin"], "azithromycin"),
        ("PCN", &["amoxicillin"], "azithromycin"),
        ("lisinopril", &["ramipril"], "losartan"),
        ("valsartan", &["losartan", "sacubitril/valsartan"], "amlodipine"),
        ("Tylenol", &["paracetamol"], "ibuprofen"),
        ("Paracetamol & Amidopyrine", &["ibuprofen", "paracetamol"], "azithromycin"),
    ] {
        let answer = ask(with(json!({"allergies": [allergy]})), named(&[out, &[left]].concat()));
        let reason = format!("allergy: {allergy}");
        let expected: Vec<(&str, &str)> = out.iter().map(|name| (*name, reason.as_str())).collect();
        assert_eq!(excluded(&answer), expected, "{allergy}");
        assert_eq!(ids(&answer), [left], "{allergy}");
    }
}

/// Lists of problems hold what belongs into the others.
#[test]
fn an_allergy_and_a_drug_among_conditions_count() {
    let drugs = || {
        let warfarin = drug("x", json!({"interacts_with": ["warfarin"]}));
        vec![drug("amoxicillin", json!({})), drug("azithromycin", json!({})), warfarin]
    };
    for (condition, out, why) in [
        ("penicillin allergy", "amoxicillin", "allergy: penicillin allergy"),
        ("Allergy to penicillin (finding)", "amoxicillin", "allergy: Allergy to penicillin (finding)"),
        ("Z88.0", "amoxicillin", "allergy: Z88.0"),
        ("taking warfarin", "x", "interaction: taking warfarin"),
        ("Z79.01", "x", "interaction: Z79.01"),
    ] {
        let rule = if condition == "Z79.01" { "anticoagulant" } else { "warfarin" };
        let mut drugs = drugs();
        drugs[2] = drug("x", json!({"interacts_with": [rule]}));
        let answer = ask(with(json!({"conditions": [condition]})), drugs);
        assert_eq!(excluded(&answer), [(out, why)], "{condition}");
    }
    let answer = ask(with(json!({"conditions": ["Zorbamycin allergy"]})), drugs());
    let said = "conditions: \"Zorbamycin allergy\" is not understood";
    assert_eq!(answer.abstained.as_deref(), Some(said));
    let answer = ask(with(json!({"conditions": ["seasonal allergies"]})), drugs());
    assert_eq!(ids(&answer).len(), 3);
}

#[test]
fn a_medication_is_known_by_its_salt_brand_code_and_parts() {
    for (taken, rule) in [
        ("warfarin sodium", "warfarin"),
        ("Coumadin", "anticoagulant"),
        ("RxNorm:11289", "warfarin"),
        ("Warfarin Sodium Oral Tablet (1 MG)", "anticoagulants"),
        ("metoprolol succinate", "beta blocker"),
        ("sacubitril/valsartan", "angiotensin receptor blocker"),
        ("Entresto", "sartans"),
        ("Augmentin", "penicillin"),
    ] {
        let answer =
            ask(with(json!({"medications": [taken]})), vec![drug("x", json!({"interacts_with": [rule]}))]);
        assert_eq!(excluded(&answer), [("x", format!("interaction: {taken}").as_str())]);
    }
    let valsartan = Item { name: "Valsartan 80 mg".to_owned(), ..drug("v", json!({})) };
    let losartan = Item { name: "losartan potassium".to_owned(), ..drug("l", json!({})) };
    let answer = ask(with(json!({"medications": ["sacubitril/valsartan"]})), vec![valsartan, losartan]);
    let class = "duplicate therapy: angiotensin receptor blocker (already taking sacubitril/valsartan)";
    assert_eq!(
        excluded(&answer),
        [("l", class), ("v", "duplicate therapy: already taking sacubitril/valsartan")]
    );
}

#[test]
fn serious_rules_exclude_and_cautions_are_told() {
    let rule = |about: &str, code: &str, severity: &str| json!({"rules": [{"about": about, "code": code, "severity": severity, "note": "it bleeds", "source": "a label"}]});
    let person =
        || with(json!({"medications": ["warfarin"], "allergies": ["penicillin"], "conditions": ["gout"]}));
    for (about, code) in [("medication", "anticoagulant"), ("allergy", "amoxicillin"), ("condition", "gout")]
    {
        let ask = |severity| ask(person(), vec![drug("x", rule(about, code, severity))]);
        for severity in ["contraindicated", "serious"] {
            let answer = serde_json::to_value(ask(severity)).unwrap();
            assert_eq!(answer["items"], json!([]));
            let excluded = &answer["excluded"][0];
            assert_eq!((&excluded["severity"], &excluded["note"]), (&json!(severity), &json!("it bleeds")));
        }
        let answer = ask("caution");
        assert_eq!(ids(&answer), ["x"], "{about}");
        assert!(answer.items[0].cautions[0].ends_with("(it bleeds)"), "{answer:?}");
    }
    let plain = ask(person(), vec![drug("metformin", json!({}))]);
    assert!(plain.items[0].cautions.is_empty());
}

#[test]
fn drugs_of_one_answer_can_be_taken_together() {
    let class = |class: &str| json!({"therapeutic_class": class});
    let drugs = vec![
        drug("a", class("statin")),
        drug("b", class("statin")),
        drug("c", json!({"interacts_with": ["a"]})),
        drug("d", json!({"rules": [{"about": "medication", "code": "a", "severity": "caution"}]})),
        drug("e", json!({})),
    ];
    let answer = ask(with(json!({})), drugs);
    assert_eq!(ids(&answer), ["a", "d", "e"]);
    assert_eq!(answer.items[1].cautions, ["interaction: the a, recommended above"]);
    assert_eq!(
        excluded(&answer),
        [
            ("b", "duplicate therapy: statin (already taking the a, recommended above)"),
            ("c", "interaction: the a, recommended above"),
        ]
    );
}

#[test]
fn a_drug_is_for_its_sex_and_its_indications() {
    let pill = || vec![drug("x", json!({"sex": "female", "indications": ["contraception", "hypertension"]}))];
    let reason = |changes: serde_json::Value| {
        let answer = ask(with(changes), pill());
        excluded(&answer).first().map(|(_, reason)| reason.to_string())
    };
    let none = "indication: none recorded of contraception, hypertension";
    assert_eq!(reason(json!({})).as_deref(), Some(none));
    assert_eq!(reason(json!({"conditions": null})).as_deref(), Some("conditions: not recorded"));
    assert_eq!(reason(json!({"conditions": ["high blood pressure"]})), None);
    assert_eq!(
        reason(json!({"conditions": ["HTN"], "sex": "male"})).as_deref(),
        Some("sex: for female only")
    );
    assert_eq!(reason(json!({"conditions": ["I10"], "sex": null})).as_deref(), Some("sex: not recorded"));
    // Whoever is pregnant by the conditions is pregnant.
    let answer =
        ask(with(json!({"conditions": ["Normal pregnancy"]})), vec![drug("x", json!({"pregnancy": true}))]);
    assert_eq!(excluded(&answer), [("x", "pregnancy")]);
}

/// Advice for somebody allergic to penicillin: not a misspelling, only no concern of the advice.
#[test]
fn what_the_drugs_know_is_no_concern_of_other_kinds() {
    let flags = |allergies: serde_json::Value, rules: serde_json::Value| {
        let store = FakeStore::default();
        store
            .tables()
            .put_user("me", with(json!({"allergies": allergies, "conditions": ["asthma", "ashtma"]})));
        store.tables().put_item(drug("x", json!({"allergies": ["penicillin"], "conditions": ["asthma"]})));
        let contraindications: Contraindications = serde_json::from_value(rules).unwrap();
        store.tables().put_item(Item { contraindications, ..item("walk", Kind::Advice) });
        let recommender = Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW);
        let recommender = now(recommender).unwrap();
        now(recommender.recommend(&Request::new("me", Kind::Advice, NOW))).unwrap().flags
    };
    let found = flags(json!(["penicillin", "penicilin"]), json!({"conditions": ["knee"]}));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("allergies: \"penicilin\"") && found[1].contains("\"ashtma\""), "{found:?}");
    assert!(flags(json!(["penicilin"]), json!({})).is_empty(), "there is no rule to check");
}

#[test]
fn a_refill_of_what_one_takes_is_allowed_another_of_its_class_is_not() {
    let refill = Item { repeatable: true, ..drug("a", json!({"therapeutic_class": "statin"})) };
    let other = Item { repeatable: true, ..drug("b", json!({"therapeutic_class": "statin"})) };
    let answer = ask(with(json!({"medications": ["a"]})), vec![refill, other]);
    assert_eq!(ids(&answer), ["a"]);
    assert_eq!(excluded(&answer), [("b", "duplicate therapy: statin (already taking a)")]);
}

#[test]
fn places_are_filtered_by_distance_and_tell_it() {
    let store = FakeStore::default();
    let mut tables = store.tables();
    let at = |id: &str, latitude: f64| Item {
        latitude: Some(latitude),
        longitude: Some(0.0),
        ..item(id, Kind::Hospital)
    };
    for place in [at("near", 0.1), at("far", 2.0), item("nowhere", Kind::Hospital)] {
        tables.put_item(place.clone());
        tables.put_user("someone", Profile::default());
        tables.add("someone", &place.item_id, 1.0);
    }
    tables.put_user("me", Profile::default());
    drop(tables);
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap();
    let mut request = Request::new("me", Kind::Hospital, NOW);
    request.radius_km = Some(50.0);
    let error = now(recommender.recommend(&request)).unwrap_err();
    assert!(matches!(error, RecommendError::Invalid { parameter: "radius_km", .. }));
    request.near = Some(Place { latitude: 0.0, longitude: 0.0 });
    let answer = now(recommender.recommend(&request)).unwrap();
    assert_eq!((answer.strategy, ids(&answer)), (By::Popular, vec!["near"]));
    assert!((answer.items[0].distance_km.unwrap() - 11.119_5).abs() < 1e-3);
}

#[test]
fn people_in_like_circumstances_speak_where_history_does_not() {
    let store = FakeStore::default();
    let mut tables = store.tables();
    for name in ["walk", "swim"] {
        tables.put_item(item(name, Kind::Advice));
    }
    let asthmatic = || profile(json!({"birth_year": 1955, "conditions": ["Asthma"]}));
    tables.put_user("me", asthmatic());
    for n in 0..5 {
        tables.put_user(&format!("alike{n}"), asthmatic());
        tables.add(&format!("alike{n}"), "swim", 1.0);
    }
    for n in 0..9 {
        tables.put_user(&format!("unlike{n}"), profile(json!({"birth_year": 1999})));
        tables.add(&format!("unlike{n}"), "walk", 1.0);
    }
    drop(tables);
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap();
    let answer = now(recommender.recommend(&Request::new("me", Kind::Advice, NOW))).unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer["strategy"], "context");
    assert_eq!(
        answer["items"],
        json!([{"item_id": "swim", "name": "the swim", "score": 5.0, "because": {
            "supporting_neighbors": 5, "shared_items": [],
            "context": ["age: 60 to 69", "condition: asthma"]}}])
    );
}

fn codes() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "drug0", "the drug1"]), 0..3)
        .prop_map(|codes| codes.into_iter().map(str::to_owned).collect())
}

prop_compose! {
    fn any_rules()(
        allergies in codes(), conditions in codes(), interacts_with in codes(),
        class in prop::option::of(prop::sample::select(vec!["a", "b", "c"])),
        pregnancy in any::<bool>(),
        ages in (0u16..60, 40u16..100),
    ) -> Contraindications {
        Contraindications {
            allergies, conditions, interacts_with, pregnancy,
            therapeutic_class: class.map(str::to_owned),
            min_age: Some(ages.0), max_age: Some(ages.1.max(ages.0)),
            ..Contraindications::default()
        }
    }
}

prop_compose! {
    fn any_profile()(
        allergies in prop::option::weighted(0.9, codes()),
        conditions in prop::option::weighted(0.9, codes()),
        medications in prop::option::weighted(0.9, codes()),
        pregnant in prop::option::of(any::<bool>()),
        birth_year in prop::option::weighted(0.9, 1930i32..2020),
    ) -> Profile {
        Profile { allergies, conditions, medications, pregnant, birth_year, ..Profile::default() }
    }
}

proptest! {
    #[test]
    fn no_contraindicated_drug_is_ever_recommended(
        person in any_profile(),
        rules in prop::collection::vec(any_rules(), 1..8),
    ) {
        let drugs: Vec<Item> = rules.into_iter().enumerate().map(|(n, contraindications)| {
            Item { contraindications, ..item(&format!("drug{n}"), Kind::Drug) }
        }).collect();
        // What is not understood must not be what saves the day.
        let flag = Settings { unmatched: Unmatched::Flag, ..Settings::default() };
        let answer = ask_with(person.clone(), drugs.clone(), flag);
        let both = |a: &[String], b: &[String]| a.iter().any(|code| b.contains(code));
        for recommended in &answer.items {
            let found = drugs.iter().find(|drug| drug.item_id == recommended.item_id);
            let rules = &found.unwrap().contraindications;
            let allergies = person.allergies.as_ref().expect("unknown allergies mean no drug");
            let taken = person.medications.as_ref().expect("unknown medications mean no drug");
            prop_assert!(!both(allergies, &rules.allergies));
            prop_assert!(!both(person.conditions.as_deref().unwrap_or_default(), &rules.conditions));
            prop_assert!(person.conditions.is_some() || rules.conditions.is_empty());
            prop_assert!(!both(taken, &rules.interacts_with));
            // Whatever drug a code of theirs can mean, neither it nor this one lists the other.
            let called = |drug: &Item| {
                let class = drug.contraindications.therapeutic_class.clone();
                [Some(drug.item_id.clone()), Some(drug.name.clone()), class].into_iter().flatten().collect::<Vec<_>>()
            };
            for other in drugs.iter().filter(|drug| both(taken, &called(drug))) {
                prop_assert!(!both(&other.contraindications.interacts_with, &called(found.unwrap())));
                prop_assert!(!both(&rules.interacts_with, &called(other)));
            }
            // Nor do two of one answer list each other.
            for other in drugs.iter().filter(|drug| ids(&answer).contains(&drug.item_id.as_str())) {
                prop_assert!(other.item_id == recommended.item_id
                    || !both(&rules.interacts_with, &called(other)));
            }
            let class = rules.therapeutic_class.as_slice();
            prop_assert!(!both(taken, class) && !both(allergies, class));
            let too_young_or_old = |year: i32| !(1963..=2014).contains(&year);
            prop_assert!(!rules.pregnancy || person.pregnant == Some(false)
                || (person.pregnant.is_none() && person.birth_year.is_some_and(too_young_or_old)));
            let age = 2024 - person.birth_year.expect("every drug here has an age limit");
            prop_assert!(age > i32::from(rules.min_age.unwrap()), "may be a year younger");
            prop_assert!(age <= i32::from(rules.max_age.unwrap()));
        }
        // Every drug is accounted for, once.
        let mut all: Vec<&str> = ids(&answer);
        all.extend(answer.excluded.iter().map(|e| e.item_id.as_str()));
        all.sort_unstable();
        let mut expected: Vec<&str> = drugs.iter().map(|d| d.item_id.as_str()).collect();
        expected.sort_unstable();
        prop_assert_eq!(all, expected);
        // And nobody else is named.
        let text = serde_json::to_string(&answer).unwrap();
        prop_assert!(!text.contains("other-person"), "{}", text);
    }
}

#[test]
fn small_numbers_of_supporters_are_not_told() {
    let answer = ask(with(json!({})), vec![drug("x", json!({}))]);
    let json = serde_json::to_value(&answer).unwrap();
    assert_eq!(json["items"][0]["because"]["supporting_neighbors"], 6);
    assert_eq!(json["items"][0]["because"]["shared_items"], json!(["base"]));
    let mut request = Request::new("me", Kind::Drug, NOW);
    request.neighbors = Some(4);
    let store = FakeStore::default();
    store.tables().put_user("me", with(json!({})));
    store.tables().put_user("other", Profile::default());
    for name in ["base", "x"] {
        store.tables().put_item(item(name, Kind::Drug));
        store.tables().add("other", name, 1.0);
    }
    store.tables().add("me", "base", 1.0);
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap();
    let json = serde_json::to_value(now(recommender.recommend(&request)).unwrap()).unwrap();
    assert_eq!(json["items"][0]["because"]["supporting_neighbors"], "few");
}

#[test]
fn requests_out_of_range_are_refused_with_the_range() {
    let answer = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::new("me", Kind::Drug, NOW);
        change(&mut request);
        request.validate().err().map(|error| error.to_string())
    };
    assert_eq!(answer(&|r| r.limit = 0).as_deref(), Some("limit: must be from 1 to 1000"));
    assert!(answer(&|r| r.limit = 10_000).is_some());
    assert!(answer(&|r| r.neighbors = Some(0)).is_some());
    assert!(answer(&|r| r.radius_km = Some(f64::NAN)).is_some());
    assert!(answer(&|r| r.near = Some(Place { latitude: 91.0, longitude: 0.0 })).is_some());
    assert!(answer(&|_| ()).is_none());
}
