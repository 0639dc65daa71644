//! A drug that is ordered is told everything that speaks against it, in the catalogue or not, and what
//! would be safe instead.

use std::sync::Arc;

use serde_json::json;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::data::{Item, Kind, Profile, Severity};
use crate::filters::Concern;
use crate::orders::{Alternative, Checked, Ordered};
use crate::recommender::Recommender;
use crate::settings::Settings;

const NOW: i64 = 1_717_200_000_000; // 2024-06-01

/// A drug that is called what its id is.
fn named(name: &str) -> Item {
    Item { name: name.to_owned(), ..item(name, Kind::Drug) }
}

pub(super) fn drug(name: &str, rules: serde_json::Value, treats: &[&str]) -> Item {
    let mut drug = Item { contraindications: serde_json::from_value(rules).unwrap(), ..named(name) };
    drug.attributes.insert("treats".to_owned(), json!(treats));
    drug
}

pub(super) fn check(profile: serde_json::Value, drugs: &[Item], orders: &[(&str, bool)]) -> Vec<Checked> {
    let store = FakeStore::default();
    drugs.iter().for_each(|drug| store.tables().put_item(drug.clone()));
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap();
    let profile: Profile = serde_json::from_value(profile).unwrap();
    let ordered = |&(name, checked): &(&str, bool)| Ordered { item: named(name), checked };
    let orders: Vec<Ordered> = orders.iter().map(ordered).collect();
    recommender.check_orders(&profile, &orders, NOW)
}

pub(super) fn reasons(checked: &Checked) -> Vec<&str> {
    checked.findings.iter().map(|finding| finding.reason.as_str()).collect()
}

#[test]
fn every_reason_is_told_the_worst_first() {
    let rules = json!({"conditions": ["gout"], "rules": [
        {"about": "medication", "code": "lithium", "severity": "caution", "note": "more lithium", "source": "a label"}]});
    let drugs = [drug("ibuprofen", rules, &["pain"]), drug("paracetamol", json!({}), &["pain"])];
    let profile =
        json!({"allergies": ["aspirin"], "conditions": ["gout"], "medications": ["lithium", "naproxen"]});
    let found = check(profile, &drugs, &[("Ibuprofen 400 MG Oral Tablet", true)]);
    let expected = [
        "allergy: aspirin",
        "condition: gout",
        "duplicate therapy: nsaid (already taking naproxen)",
        "interaction: lithium",
    ];
    assert_eq!(reasons(&found[0]), expected);
    let last = &found[0].findings[3];
    assert_eq!((last.severity, last.concern), (Severity::Caution, Concern::Interaction));
    assert_eq!((last.note.as_deref(), last.source.as_deref()), (Some("more lithium"), Some("a label")));
    let offered: Vec<&str> = found[0].alternatives.iter().map(|other| other.item.item_id.as_str()).collect();
    assert_eq!(offered, ["paracetamol"]);
}

#[test]
fn nothing_unsafe_or_unchecked_is_offered() {
    let drugs = [
        drug("amoxicillin", json!({}), &["pneumonia"]),
        drug("flucloxacillin", json!({}), &["pneumonia"]),
        drug("doxycycline", json!({"pregnancy": true}), &["pneumonia"]),
        drug("azithromycin", json!({}), &["pneumonia"]),
    ];
    let offered = |profile: serde_json::Value| -> Vec<String> {
        let found = check(profile, &drugs, &[("amoxicillin", true)]);
        assert_eq!(reasons(&found[0]), ["allergy: penicillin"]);
        found[0].alternatives.iter().map(|other| other.item.item_id.clone()).collect()
    };
    let known = json!({"allergies": ["penicillin"], "medications": [], "sex": "female", "birth_year": 1990, "pregnant": true});
    assert_eq!(offered(known), ["azithromycin"]);
    assert!(offered(json!({"allergies": ["penicillin"]})).is_empty(), "what is taken is unknown");
    let strange = json!({"allergies": ["penicillin", "zorbamycin"], "medications": []});
    assert!(offered(strange).is_empty(), "an allergy is not understood");
}

/// Nobody knows what goes beside a drug that nobody knows, whether that one is checked or not.
#[test]
fn nothing_is_offered_beside_an_order_that_is_not_understood() {
    let drugs = [
        drug("amoxicillin", json!({}), &["pneumonia"]),
        drug("azithromycin", json!({}), &["pneumonia"]),
        drug("house mixture", json!({}), &[]),
    ];
    let offered = |name: &str, others: &[(&str, bool)]| -> usize {
        let profile = json!({"allergies": ["penicillin"], "medications": []});
        let orders: Vec<(&str, bool)> = std::iter::once((name, true)).chain(others.iter().copied()).collect();
        let found = check(profile, &drugs, &orders);
        assert!(reasons(&found[0]).contains(&"allergy: penicillin"));
        found[0].alternatives.len()
    };
    let amoxicillin = "Amoxicillin 500 MG Oral Capsule";
    assert_eq!(offered(amoxicillin, &[]), 1);
    for known in ["paracetamol", "house mixture"] {
        assert_eq!(offered(amoxicillin, &[(known, true)]), 1, "{known}");
    }
    for strange in ["zorbamycin", "paracetamol with zorbamycin", "ACE inhibitor"] {
        for checked in [true, false] {
            assert_eq!(offered(amoxicillin, &[(strange, checked)]), 0, "{strange}");
        }
    }
    assert_eq!(offered("amoxicillin with zorbamycin", &[]), 0);
}

#[test]
fn age_and_sex_are_told_where_a_rule_is_about_them() {
    let rule = |code: &str, severity: &str| json!({"rules": [{"about": "condition", "code": code, "severity": severity}]});
    let drugs = [
        drug("zolpidem", rule("older adult", "caution"), &["insomnia"]),
        drug("valproate", rule("childbearing potential", "serious"), &["epilepsy"]),
    ];
    let of = |birth_year: i32, sex: &str, pregnant: Option<bool>| -> Vec<(String, Severity)> {
        let mut profile = json!({"allergies": [], "medications": [], "conditions": [], "birth_year": birth_year, "sex": sex});
        if let Some(pregnant) = pregnant {
            profile["pregnant"] = json!(pregnant);
        }
        let found = check(profile, &drugs, &[("zolpidem", true), ("valproate", true)]);
        let all = found.into_iter().flat_map(|checked| checked.findings);
        all.map(|finding| (finding.reason, finding.severity)).collect()
    };
    let older = ("condition: 65 years of age or older".to_owned(), Severity::Caution);
    let fertile = ("condition: may become pregnant (by sex and age)".to_owned(), Severity::Serious);
    assert_eq!(of(1950, "female", None), std::slice::from_ref(&older));
    assert_eq!(of(1959, "male", None), [older], "65 this year");
    assert_eq!(of(1960, "male", None), []);
    assert_eq!(of(1990, "female", None), std::slice::from_ref(&fertile));
    assert_eq!(of(1990, "female", Some(false)), [fertile]);
    assert_eq!(of(1990, "male", None), []);
    assert_eq!(of(2015, "female", None), []);
}

#[test]
fn what_is_offered_for_two_orders_can_be_taken_together() {
    let speaks = json!({"rules": [{"about": "medication", "code": "mirtazapine", "severity": "serious"}]});
    let drugs = [
        drug("warfarin", json!({"conditions": ["peptic ulcer"]}), &["atrial fibrillation"]),
        drug("apixaban", speaks, &["atrial fibrillation"]),
        drug("sertraline", json!({"conditions": ["peptic ulcer"]}), &["depression"]),
        drug("fluoxetine", json!({"conditions": ["peptic ulcer"]}), &["depression"]),
        drug("mirtazapine", json!({}), &["depression"]),
        drug("bupropion", json!({}), &["depression"]),
    ];
    let offered = |orders: &[(&str, bool)]| -> Vec<Vec<String>> {
        let profile = json!({"allergies": [], "medications": [], "conditions": ["peptic ulcer"]});
        let of =
            |checked: Checked| checked.alternatives.into_iter().map(|other| other.item.item_id).collect();
        check(profile, &drugs, orders).into_iter().map(of).collect()
    };
    assert_eq!(offered(&[("sertraline", true)]), [["bupropion", "mirtazapine"]]);
    assert_eq!(
        offered(&[("warfarin", true), ("sertraline", true)]),
        [vec!["apixaban"], vec!["bupropion"]],
        "not the one that apixaban does not go with"
    );
    let both = offered(&[("sertraline", true), ("fluoxetine", true)]);
    assert!(both[0].iter().all(|one| !both[1].contains(one)), "the same drug twice: {both:?}");
    // A draft that was not selected counts as well.
    assert_eq!(offered(&[("apixaban", false), ("sertraline", true)]), [["bupropion"]]);
}

#[test]
fn what_is_offered_is_of_a_kin_class_and_for_the_same_purpose() {
    let drugs = [
        drug("warfarin", json!({"conditions": ["peptic ulcer"]}), &["atrial fibrillation"]),
        drug("apixaban", json!({}), &["atrial fibrillation"]),
        drug("bisoprolol", json!({}), &["atrial fibrillation", "hypertension"]),
        drug("diltiazem", json!({"conditions": ["peptic ulcer"]}), &["hypertension"]),
        drug("sertraline", json!({"conditions": ["peptic ulcer"]}), &["depression"]),
        drug("mirtazapine", json!({}), &["depression"]),
        drug("sumatriptan", json!({}), &["migraine"]),
    ];
    let offered = |order: &str| -> Vec<String> {
        let profile = json!({"allergies": [], "medications": [], "conditions": ["peptic ulcer"]});
        let found = check(profile, &drugs, &[(order, true)]);
        assert_eq!(reasons(&found[0]), ["condition: peptic ulcer"]);
        found[0].alternatives.iter().map(|other| other.item.item_id.clone()).collect()
    };
    assert_eq!(offered("warfarin"), ["apixaban"], "not what is for the same and of another kind");
    assert_eq!(offered("diltiazem"), ["bisoprolol"]);
    assert_eq!(offered("sertraline"), ["mirtazapine"]);
}

#[test]
fn what_is_offered_treats_what_the_person_has() {
    let none = || json!({});
    let drugs = [
        drug(
            "metformin",
            json!({"conditions": ["chronic kidney disease"]}),
            &["type 2 diabetes", "polycystic ovary syndrome"],
        ),
        drug("gliclazide", none(), &["type 2 diabetes"]),
        drug("insulin glargine", none(), &["type 1 diabetes", "type 2 diabetes"]),
        drug("insulin lispro", none(), &["type 1 diabetes", "type 2 diabetes"]),
        drug("tramadol", json!({"conditions": ["epilepsy"]}), &["back pain"]),
        drug("morphine", none(), &["cancer pain"]),
        drug("amoxicillin", none(), &["pneumonia", "sinusitis", "urinary tract infection"]),
        drug("nitrofurantoin", none(), &["urinary tract infection"]),
        drug("azithromycin", none(), &["pneumonia", "sinusitis"]),
    ];
    let offered = |order: &str, allergies: &[&str], conditions: &[&str]| -> Vec<(String, Vec<String>)> {
        let profile = json!({"allergies": allergies, "medications": [], "conditions": conditions});
        let found = check(profile, &drugs, &[(order, true)]);
        assert!(!found[0].findings.is_empty());
        let of = |other: &Alternative| (other.item.item_id.clone(), other.purposes.clone());
        found[0].alternatives.iter().map(of).collect()
    };
    let only = |name: &str, purposes: &[&str]| {
        vec![(name.to_owned(), purposes.iter().map(|&purpose| purpose.to_owned()).collect::<Vec<_>>())]
    };
    let kidney = "chronic kidney disease";
    assert_eq!(
        offered("metformin", &[], &[kidney, "type 2 diabetes"]),
        only("gliclazide", &["type 2 diabetes"])
    );
    assert!(offered("metformin", &[], &[kidney, "polycystic ovary syndrome"]).is_empty());
    assert!(offered("metformin", &[], &[kidney]).is_empty(), "half of what it may be for is too little");
    assert!(offered("insulin glargine", &["insulin"], &["type 1 diabetes"]).is_empty());
    assert!(offered("tramadol", &[], &["epilepsy", "back pain"]).is_empty());
    let penicillin = &["penicillin"][..];
    assert_eq!(offered("amoxicillin", penicillin, &["sinusitis"]), only("azithromycin", &["sinusitis"]));
    let urinary = "urinary tract infection";
    assert_eq!(offered("amoxicillin", penicillin, &[urinary]), only("nitrofurantoin", &[urinary]));
    assert_eq!(offered("amoxicillin", penicillin, &[]), only("azithromycin", &["pneumonia", "sinusitis"]));
}

#[test]
fn an_ordered_class_is_what_all_of_it_are() {
    let rules = |more: &[&str]| json!({"pregnancy": true, "conditions": more});
    let drugs = [
        drug("lisinopril", rules(&["angioedema"]), &["hypertension"]),
        drug("ramipril", rules(&["angioedema", "gout"]), &["hypertension"]),
    ];
    let profile =
        json!({"allergies": [], "medications": [], "conditions": ["angioedema", "gout"], "pregnant": true});
    let found = check(profile, &drugs, &[("ACE inhibitor", true)]);
    assert_eq!(reasons(&found[0]), ["condition: angioedema", "pregnancy"]);
    assert!(found[0].unclear.as_deref().unwrap().contains("is a class of drugs"));
}

#[test]
fn what_holds_for_all_of_a_class_holds_for_one_that_is_not_in_the_catalogue() {
    let drugs = [
        drug("lisinopril", json!({"pregnancy": true, "therapeutic_class": "ace inhibitor"}), &[]),
        drug("ramipril", json!({"pregnancy": true, "conditions": ["gout"]}), &[]),
        drug("amlodipine", json!({"conditions": ["gout"]}), &[]),
        drug("colchicine", json!({"conditions": ["gout"]}), &[]),
    ];
    let profile = || json!({"allergies": [], "medications": [], "conditions": ["gout"], "pregnant": true});
    for (order, expected) in [
        ("Benazepril 10 MG Oral Tablet", &["pregnancy"][..]),
        // Of each substance of a combination that the catalogue does not describe, whatever it says of the others.
        ("amlodipine / benazepril", &["condition: gout", "pregnancy"]),
        ("Lotrel", &["condition: gout", "pregnancy"]),
        ("amlodipine", &["condition: gout"]),
        // One drug is no class.
        ("probenecid", &[]),
    ] {
        let found = check(profile(), &drugs, &[(order, true)]);
        assert_eq!(reasons(&found[0]), expected, "{order}");
        assert_eq!(found[0].unclear, None);
    }
}

/// The class that a hospital writes at a drug of its own counts as one that the terminology knows.
#[test]
fn rules_of_the_class_that_an_item_names_hold_for_it() {
    let rule = |about: &str, code: &str| json!({"about": about, "code": code, "severity": "serious"});
    let class = json!({"rules": [rule("condition", "angioedema"), rule("medication", "lithium")]});
    let drugs = [
        drug("houseprila", json!({"therapeutic_class": "ace inhibitor"}), &[]),
        Item { hidden: true, ..drug("ace inhibitor", class, &[]) },
    ];
    let profile = json!({"allergies": [], "medications": ["lithium"], "conditions": ["angioedema"]});
    let found = check(profile, &drugs, &[("houseprila", true)]);
    assert_eq!(reasons(&found[0]), ["condition: angioedema", "interaction: lithium"]);
    let profile = json!({"allergies": [], "medications": ["houseprila"], "conditions": []});
    assert_eq!(reasons(&check(profile, &drugs, &[("lithium", true)])[0]), ["interaction: houseprila"]);
}

#[test]
fn a_renewal_is_a_caution_and_what_is_given_together_by_plan_no_duplicate() {
    let duplicates = |order: &str, taken: &str| -> Vec<(String, Severity)> {
        let profile = json!({"allergies": [], "medications": [taken], "conditions": []});
        let found = check(profile, &[], &[(order, true)]).remove(0).findings;
        found.into_iter().map(|finding| (finding.reason, finding.severity)).collect()
    };
    let told = |text: &str, severity| vec![(format!("duplicate therapy: {text}"), severity)];
    let (caution, serious) = (Severity::Caution, Severity::Serious);
    for (order, taken, expected) in [
        ("warfarin 5 mg", "warfarin 2.5 mg", told("already taking warfarin 2.5 mg", caution)),
        ("MS Contin", "morphine 15 mg", told("already taking morphine 15 mg", caution)),
        ("Percocet", "oxycodone", told("already taking oxycodone", serious)),
        ("simvastatin", "atorvastatin", told("statin (already taking atorvastatin)", serious)),
        ("clopidogrel 75 mg", "aspirin 81 mg", vec![]),
        ("aspirin 81 mg", "ticagrelor", vec![]),
        ("clopidogrel", "ticagrelor", told("antiplatelet (already taking ticagrelor)", serious)),
        ("trazodone", "sertraline", vec![]),
        ("tacrolimus", "mycophenolate", vec![]),
    ] {
        assert_eq!(duplicates(order, taken), expected, "{order} beside {taken}");
    }
}

#[test]
fn a_local_form_is_cautioned_and_its_allergy_is_not_lowered() {
    let rules = json!({"pregnancy": true, "conditions": ["gout"], "interacts_with": ["simvastatin"]});
    let drugs = [
        drug("erythromycin", rules, &[]),
        drug("nitroglycerin", json!({"interacts_with": ["sildenafil"]}), &[]),
    ];
    let found = |order: &str, taken: &str| -> Vec<(String, Severity)> {
        let profile = json!({"allergies": ["macrolide"], "medications": [taken], "conditions": ["gout"], "pregnant": true});
        let found = check(profile, &drugs, &[(order, true)]).remove(0).findings;
        found.into_iter().map(|finding| (finding.reason, finding.severity)).collect()
    };
    let told = |text: &str, severity: Severity| (text.to_owned(), severity);
    let (caution, worst) = (Severity::Caution, Severity::Contraindicated);
    assert_eq!(
        found("erythromycin 5 MG/G Ophthalmic Ointment", "simvastatin"),
        [
            told("allergy: macrolide", worst),
            told("condition: gout", caution),
            told("condition: pregnancy", caution),
            told("interaction: simvastatin", caution),
        ]
    );
    let taken = found("simvastatin", "erythromycin eye ointment");
    assert_eq!(taken, [told("interaction: erythromycin eye ointment", caution)]);
    assert_eq!(found("erythromycin 500 mg tablet", "simvastatin")[1], told("condition: gout", worst));
    let ointment = found("sildenafil", "nitroglycerin 2% ointment");
    assert_eq!(ointment, [told("interaction: nitroglycerin 2% ointment", worst)]);
}

#[test]
fn nothing_is_offered_where_a_condition_is_not_understood() {
    let drugs = [
        drug("warfarin", json!({"conditions": ["peptic ulcer"]}), &["atrial fibrillation"]),
        drug("apixaban", json!({}), &["atrial fibrillation"]),
    ];
    // No rule is about the third; the others may be what a rule is about.
    for (condition, expected) in
        [("gout", 1), ("peptic ulcr", 0), ("zorbatic valve", 1), ("zorbatic hypertension", 0)]
    {
        let profile = json!({"allergies": [], "medications": [], "conditions": ["peptic ulcer", condition]});
        let found = check(profile, &drugs, &[("warfarin", true)]);
        assert_eq!(found[0].alternatives.len(), expected, "{condition}");
    }
}

#[test]
fn what_is_offered_comes_with_its_caution_and_without_one_first() {
    let rule = json!({"rules": [
        {"about": "medication", "code": "warfarin", "severity": "caution", "note": "at high doses", "source": ""}]});
    let mut drugs = vec![
        drug("ibuprofen", json!({"interacts_with": ["warfarin"]}), &["pain"]),
        drug("paracetamol", rule, &["pain"]),
        drug("naproxen", json!({"interacts_with": ["warfarin"]}), &["pain"]),
        drug("tramadol", json!({}), &["pain"]),
    ];
    let profile = || json!({"allergies": [], "medications": ["warfarin"]});
    let offered = |drugs: &[Item]| -> Vec<(String, Vec<String>)> {
        let found = check(profile(), drugs, &[("ibuprofen", true)]);
        found[0]
            .alternatives
            .iter()
            .map(|other| (other.item.item_id.clone(), other.cautions.clone()))
            .collect()
    };
    let paracetamol = ("paracetamol".to_owned(), vec!["interaction: warfarin (at high doses)".to_owned()]);
    let alone = offered(&drugs);
    assert_eq!(alone, std::slice::from_ref(&paracetamol), "an opioid is no replacement");
    // Without rules of its own it would have those of the others.
    drugs.push(drug("celecoxib", json!({"interacts_with": ["lithium"]}), &["pain"]));
    assert_eq!(offered(&drugs), [("celecoxib".to_owned(), vec![]), paracetamol]);
}

#[test]
fn two_orders_against_each_other_are_told_once_and_unchecked_ones_stand_beside() {
    let drugs = [drug("warfarin", json!({"interacts_with": ["ibuprofen"]}), &[])];
    let profile = || json!({"allergies": [], "medications": []});
    let both = check(profile(), &drugs, &[("warfarin", true), ("ibuprofen", true)]);
    assert_eq!(reasons(&both[0]), [""; 0]);
    assert_eq!(reasons(&both[1]), ["interaction: warfarin (ordered too)"]);
    let first = check(profile(), &drugs, &[("warfarin", true), ("ibuprofen", false)]);
    assert_eq!((first.len(), reasons(&first[0])), (1, vec!["interaction: ibuprofen (ordered too)"]));
}

#[test]
fn codes_that_were_recorded_count_where_words_are_not_understood() {
    let recorded = json!({"allergies": {"PCN-V Zorba": {"codes": ["http://snomed.info/sct|91936005"]}}});
    let profile = json!({"allergies": ["PCN-V Zorba"], "medications": [], "recorded": recorded});
    let found = check(profile, &[], &[("amoxicillin", true)]);
    assert_eq!(reasons(&found[0]), ["allergy: PCN-V Zorba"]);
    // The words may say more than the code.
    assert_eq!(found[0].flags, ["allergies: \"PCN-V Zorba\" is not understood"]);
}

#[test]
fn what_a_misspelt_allergy_or_drug_may_mean_is_told_as_serious() {
    let rules = json!({"rules": [{"about": "medication", "code": "warfarin", "severity": "serious", "note": "bleeding",
        "source": "a label"}]});
    let drugs = [drug("amoxicillin", json!({}), &["pneumonia"]), drug("ibuprofen", rules, &["pain"])];
    let found = |allergy: &str, taken: &str, order: &str| {
        let profile = json!({"allergies": [allergy], "medications": [taken], "conditions": []});
        let checked = check(profile, &drugs, &[(order, true)]).remove(0);
        checked
            .findings
            .into_iter()
            .map(|found| (found.concern, found.severity, found.reason))
            .collect::<Vec<_>>()
    };
    let told = |concern, text: &str| vec![(concern, Severity::Serious, text.to_owned())];
    let expected = told(Concern::Allergy, "allergy: allergic to penicilin (rash) (may be penicillin)");
    assert_eq!(found("allergic to penicilin (rash)", "none", "amoxicillin"), expected);
    assert_eq!(found("penicilin", "none", "ibuprofen"), []);
    assert_eq!(found("zorbamycin", "none", "amoxicillin"), []);
    let expected = told(Concern::Interaction, "interaction: warfarinn 5 mg (may be warfarin)");
    assert_eq!(found("none", "warfarinn 5 mg", "ibuprofen"), expected);
    assert_eq!(found("none", "warfarinn 5 mg", "amoxicillin"), []);
}
