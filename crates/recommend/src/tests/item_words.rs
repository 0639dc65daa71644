//! Words of items that nobody understands: a rule in such words may be about the very person who asks, and what a drug is that is
//! called by such a word and has no rules, nobody knows.

use serde_json::json;

use super::demo_rules::ITEMS;
use super::fake_store::item;
use super::safety::{ask, ask_with, drug, excluded, ids, with};
use crate::catalogue::flags;
use crate::data::{Item, Kind};
use crate::filters::Unmatched;
use crate::settings::Settings;
use crate::terminology::Terminology;

fn called(name: &str, attributes: serde_json::Value) -> Item {
    let serde_json::Value::Object(attributes) = attributes else { panic!() };
    Item { name: name.to_owned(), attributes, ..drug("x", json!({})) }
}

/// Why it is ruled out for this person, or nothing.
fn out(person: serde_json::Value, item: Item) -> Option<String> {
    let answer = ask(with(person), vec![item]);
    excluded(&answer).first().map(|(_, reason)| (*reason).to_owned())
}

/// What is to be heeded where it is recommended to this person.
fn heeded(person: serde_json::Value, item: Item) -> Vec<String> {
    ask(with(person), vec![item]).items[0].cautions.clone()
}

#[test]
fn a_rule_about_a_class_is_about_who_is_allergic_to_a_drug_of_it() {
    for (rule, allergies) in [
        ("beta-lactams", &["amoxicillin", "penicillin", "PCN", "cefalexin", "Augmentin", "beta-lactam"][..]),
        ("corticosteroids", &["prednisone"]),
        ("anticonvulsants", &["phenytoin", "lamotrigine"]),
        ("antibiotic", &["amoxicillin"]),
        ("local anesthetics", &["lidocaine"]),
        ("insulins", &["Lantus"]),
        ("glycopeptides", &["vancomycin"]),
    ] {
        for allergy in allergies {
            let found = out(json!({"allergies": [allergy]}), drug("x", json!({"allergies": [rule]})));
            assert_eq!(found, Some(format!("allergy: {allergy}")), "{rule}");
        }
    }
    // One drug of a class is not another.
    for (rule, allergy) in
        [("amoxicillin", "meropenem"), ("metformin", "Lantus"), ("prednisone", "budesonide")]
    {
        assert_eq!(
            out(json!({"allergies": [allergy]}), drug("x", json!({"allergies": [rule]}))),
            None,
            "{rule}"
        );
    }
}

#[test]
fn a_rule_in_words_that_are_not_understood_is_about_whoever_it_may_be_about() {
    let graded = |code: &str| json!({"rules": [{"about": "condition", "code": code, "severity": "serious"}]});
    for (rules, person, reason) in [
        (
            json!({"allergies": ["penicilin"]}),
            json!({"allergies": ["penicillin"]}),
            "item: its rule about \"penicilin\" is not understood",
        ),
        (
            json!({"interacts_with": ["CNS depressants"]}),
            json!({"medications": ["diazepam"]}),
            "item: its rule about \"CNS depressants\" is not understood",
        ),
        (
            json!({"interacts_with": ["wafarin"]}),
            json!({"medications": ["warfarin"]}),
            "item: its rule about \"wafarin\" is not understood",
        ),
        (
            json!({"conditions": ["kidny failure"]}),
            json!({"conditions": ["kidney failure"]}),
            "item: its rule about \"kidny failure\" is not understood; did you mean \"kidney failure\"?",
        ),
        (
            graded("hart failure"),
            json!({"conditions": ["heart failure"]}),
            "item: its rule about \"hart failure\" is not understood; did you mean \"heart failure\"?",
        ),
        (
            json!({"therapeutic_class": "penicilins"}),
            json!({"allergies": ["penicillin"]}),
            "item: its class \"penicilins\" is not understood; did you mean \"penicillin\"?",
        ),
    ] {
        assert_eq!(out(person.clone(), drug("x", rules.clone())).as_deref(), Some(reason), "{rules}");
        assert_eq!(out(json!({}), drug("x", rules.clone())), None, "{rules} of somebody who has nothing");
        let flag = Settings { unmatched: Unmatched::Flag, ..Settings::default() };
        assert_eq!(ids(&ask_with(with(person), vec![drug("x", rules.clone())], flag)), ["x"], "{rules}");
    }
    for (rules, person) in [
        // What a catalogue calls so is known, and so is what is no drug.
        (
            json!({"interacts_with": ["base", "alcohol", "grapefruit juice"]}),
            json!({"medications": ["diazepam"]}),
        ),
        (
            json!({"interacts_with": ["a"], "therapeutic_class": "our own class"}),
            json!({"allergies": ["penicillin"]}),
        ),
        // A condition of a hospital's own words is one of these words.
        (json!({"conditions": ["zorbitis"]}), json!({"conditions": ["kidney failure"]})),
        (
            json!({"rules": [{"about": "allergy", "code": "penicilin", "severity": "caution"}]}),
            json!({"allergies": ["penicillin"]}),
        ),
    ] {
        assert_eq!(out(person, drug("x", rules.clone())), None, "{rules}");
    }
}

#[test]
fn of_a_drug_that_nobody_understands_and_that_has_no_rules_whoever_has_what_it_may_clash_with_is_told() {
    let concerned = [
        json!({"allergies": ["penicillin"]}),
        json!({"medications": ["metformin"]}),
        json!({"pregnant": true}),
        json!({"conditions": ["Z88.0"]}),
        json!({"lifestyle": ["penicillin allergy"]}),
    ];
    let own = |name: &str| called(name, json!({}));
    let named = |name: &str| called(name, json!({"imported": "interactions"}));
    for person in concerned {
        for name in ["Zorbamox", "Amlodipine + unknownium"] {
            let said = format!("item: {name:?} is not understood");
            assert_eq!(heeded(person.clone(), own(name)), std::slice::from_ref(&said), "{person}");
            assert_eq!(out(person.clone(), named(name)), Some(said), "{person}");
        }
        // Of what interactions name, a name is no description.
        let said = "item: no rules are known about \"ibuprofen\"".to_owned();
        assert_eq!(heeded(person.clone(), named("ibuprofen")), [said], "{person}");
        assert!(heeded(person.clone(), own("ibuprofen")).is_empty(), "{person}");
        // Its code, another name or a rule of its own describes it.
        for attributes in [json!({"codes": ["atc:M01AE01"]}), json!({"synonyms": ["ibuprofen"]})] {
            assert!(heeded(person.clone(), called("Zorbafen", attributes)).is_empty(), "{person}");
        }
        assert!(heeded(person.clone(), drug("x", json!({"min_age": 18}))).is_empty(), "{person}");
        let flag = Settings { unmatched: Unmatched::Flag, ..Settings::default() };
        assert_eq!(ids(&ask_with(with(person), vec![named("Zorbamox")], flag)), ["x"]);
    }
    // A condition of which no rule speaks is none that matters, and neither are words for none.
    for person in [
        json!({}),
        json!({"conditions": ["ingrown toenail"]}),
        json!({"allergies": ["NKDA"], "medications": ["no medications"]}),
        json!({"medications": ["the x"]}),
        json!({"birth_year": 1940}),
        json!({"lifestyle": ["vegetarian", "fish"]}),
    ] {
        let refill = Item { repeatable: true, ..named("the x") };
        if person["medications"] != json!(["the x"]) {
            assert!(heeded(person.clone(), own("Zorbamox")).is_empty(), "{person}");
            assert_eq!(out(person.clone(), refill), None, "{person}");
        }
    }
}

#[test]
fn what_lifestyle_says_of_a_condition_an_allergy_or_a_drug_counts() {
    for (rules, lifestyle, reason) in [
        (json!({"conditions": ["smoking"]}), "smoker", "condition: smoker"),
        (json!({"conditions": ["zorb diet"]}), "Zorb diet", "condition: Zorb diet"),
        (json!({"pregnancy": true}), "pregnant", "pregnancy"),
        (json!({"allergies": ["penicillin"]}), "penicillin allergy", "allergy: penicillin allergy"),
        (json!({"interacts_with": ["warfarin"]}), "warfarin", "interaction: warfarin"),
    ] {
        let found = out(json!({"lifestyle": [lifestyle]}), drug("x", rules));
        assert_eq!(found.as_deref(), Some(reason), "{lifestyle}");
    }
}

/// What the demonstration says of its drugs is understood, or meant as it is written.
#[test]
fn the_words_of_the_demonstration_are_understood() {
    let names: Vec<_> = ITEMS.iter().flat_map(|item| [&item.item_id, &item.name]).collect();
    let names: Vec<_> = names.into_iter().map(|name| crate::terminology::plain(name)).collect();
    let unclear: Vec<String> = ITEMS
        .iter()
        .filter(|item| item.kind == Kind::Drug)
        .flat_map(|item| {
            let told = flags(item, &Terminology::shared(&[]), |name| names.contains(name));
            told.into_iter().map(move |flag| format!("{}: {flag}", item.item_id))
        })
        .collect();
    assert!(unclear.is_empty(), "{unclear:#?}");
}

#[test]
fn whoever_writes_an_item_is_told_which_of_its_words_are_not_understood() {
    let terminology = Terminology::shared(&[]);
    let told = |item: &Item| flags(item, &terminology, |name| name.as_ref() == "our drug");
    let rules = json!({
        "allergies": ["penicillin", "penicilin"], "conditions": ["kidny failure", "zorbitis"],
        "interacts_with": ["our drug", "alcohol", "wafarin"], "therapeutic_class": "our own class",
        "indications": ["hypertention"],
        "rules": [{"about": "condition", "code": "hart failure"}, {"about": "medication", "code": "warfarin/zorb"}],
    });
    assert_eq!(
        told(&drug("x", rules)),
        [
            "/contraindications/allergies/1: \"penicilin\" is not understood; did you mean \"penicillin\"?",
            "/contraindications/conditions/0: \"kidny failure\" is not understood; did you mean \"kidney failure\"?",
            "/contraindications/conditions/1: \"zorbitis\" is not understood",
            "/contraindications/interacts_with/2: \"wafarin\" is not understood; did you mean \"warfarin\"?",
            "/contraindications/rules/0/code: \"hart failure\" is not understood; did you mean \"heart failure\"?",
            "/contraindications/rules/1/code: \"warfarin/zorb\" is understood in part",
            "/contraindications/indications/0: \"hypertention\" is not understood; did you mean \"hypertension\"?",
        ]
    );
    let misspelt = drug("x", json!({"therapeutic_class": "penicilins"}));
    assert_eq!(told(&misspelt).len(), 1, "{:?}", told(&misspelt));
    assert!(told(&drug("x", json!({})))[0].starts_with("/name: \"the x\" is not understood"));
    assert!(told(&Item { name: "aspirin".to_owned(), ..drug("x", json!({})) }).is_empty());
    assert!(told(&item("walk", Kind::Advice)).is_empty());
}

#[test]
fn names_of_drugs_are_known_by_their_classes() {
    for (name, allergy) in [
        ("Hiconcil", "penicillin"),
        ("Clavulin", "penicillin"),
        ("苯唑西林", "penicillin"),
        ("美洛西林", "penicillin"),
        ("Timentin", "penicillin"),
        ("Apo-Amoxi", "penicillin"),
        ("amox tr-k clv 875-125", "penicillin"),
        ("Amp/Sulb 3g", "penicillin"),
        ("洛索洛芬钠片", "aspirin"),
        ("芬必得", "布洛芬"),
        ("安乃近", "NSAIDs"),
        ("imidapril", "ACE inhibitors"),
        ("roxithromycin", "macrolides"),
        ("诺氟沙星", "quinolones"),
        ("pitavastatin", "statins"),
        ("头孢拉定", "头孢"),
    ] {
        let found = out(json!({"allergies": [allergy]}), called(name, json!({})));
        assert_eq!(found, Some(format!("allergy: {allergy}")), "{name}");
    }
    let found = out(json!({"medications": ["Clavulin"]}), called("amoxicillin", json!({})));
    assert_eq!(found.as_deref(), Some("duplicate therapy: already taking Clavulin"));
}
