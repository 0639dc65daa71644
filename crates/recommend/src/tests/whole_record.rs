//! Of what a record and an order say nothing is lost: no reason hides another, rules of a class hold for all of it, names
//! that are wording elsewhere are names where they stand alone, and one word in common makes no allergy.

use std::sync::Arc;

use serde_json::json;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::data::{Item, Kind, Profile, Severity};
use crate::orders::{Checked, Ordered};
use crate::recommender::Recommender;
use crate::settings::Settings;
use crate::terminology::{Field, Terminology};

const NOW: i64 = 1_717_200_000_000; // 2024-06-01

fn drug(name: &str, rules: serde_json::Value) -> Item {
    let contraindications = serde_json::from_value(rules).unwrap();
    Item { name: name.to_owned(), contraindications, ..item(name, Kind::Drug) }
}

/// What is there for its rules alone.
fn hidden(name: &str, about: &str, code: &str, severity: &str) -> Item {
    let rules = json!({"rules": [{"about": about, "code": code, "severity": severity}]});
    Item { hidden: true, ..drug(name, rules) }
}

fn imported(name: &str) -> Item {
    let mut item = drug(name, json!({}));
    item.set_imported("fhir");
    item
}

fn check(profile: serde_json::Value, drugs: &[Item], order: &str) -> Checked {
    let store = FakeStore::default();
    drugs.iter().for_each(|drug| store.tables().put_item(drug.clone()));
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap();
    let profile: Profile = serde_json::from_value(profile).unwrap();
    let item = Item { name: order.to_owned(), ..item(order, Kind::Drug) };
    recommender.check_orders(&profile, &[Ordered { item, checked: true }], NOW).remove(0)
}

fn found(checked: &Checked) -> Vec<(&str, Severity)> {
    checked.findings.iter().map(|finding| (finding.reason.as_str(), finding.severity)).collect()
}

fn with(list: &str, entries: &[&str]) -> serde_json::Value {
    let mut profile = json!({"allergies": [], "conditions": [], "medications": []});
    profile[list] = json!(entries);
    profile
}

#[test]
fn no_disease_and_no_allergy_hides_another() {
    let about =
        |code: &str, severity: &str| json!({"about": "condition", "code": code, "severity": severity});
    let drugs = [
        drug(
            "clopidogrel",
            json!({"conditions": ["peptic ulcer"], "rules": [about("intracranial bleeding", "contraindicated"), about("gout", "serious")]}),
        ),
        drug(
            "ticagrelor",
            json!({"rules": [about("intracranial bleeding", "serious"), about("liver disease", "contraindicated")]}),
        ),
        drug(
            "warfarin",
            json!({"conditions": ["liver disease", "intracranial bleeding", "gout"], "allergies": ["egg", "soy"]}),
        ),
    ];
    let bleeding = ("condition: brain bleed", Severity::Serious);
    for (conditions, order, expected) in [
        // Not in the catalogue: what is common to its class, as severe as it is for the least concerned.
        (&["brain bleed"][..], "prasugrel 10 mg", &[bleeding][..]),
        (&["brain bleed", "peptic ulcer"], "prasugrel 10 mg", &[bleeding]),
        (&["peptic ulcer", "cirrhosis", "gout", "brain bleed"], "Effient", &[bleeding]),
        (&["peptic ulcer"], "prasugrel", &[]),
        // In the catalogue: all of its own.
        (
            &["gout", "cirrhosis", "brain bleed"],
            "Coumadin",
            &[
                ("condition: gout", Severity::Contraindicated),
                ("condition: cirrhosis", Severity::Contraindicated),
                ("condition: brain bleed", Severity::Contraindicated),
            ],
        ),
    ] {
        let checked = check(with("conditions", conditions), &drugs, order);
        assert_eq!(found(&checked), expected, "{order}, {conditions:?}");
    }
    let checked = check(with("allergies", &["soya", "egg white"]), &drugs, "warfarin");
    let both =
        [("allergy: soya", Severity::Contraindicated), ("allergy: egg white", Severity::Contraindicated)];
    assert_eq!(found(&checked), both);
    // What came with a record has no rules, and takes none from the others.
    let more: Vec<Item> =
        drugs.iter().cloned().chain([imported("cangrelor"), imported("Prasugrel 10 MG")]).collect();
    let checked = check(with("conditions", &["brain bleed", "gout"]), &more, "prasugrel 10 mg");
    assert_eq!(found(&checked), [bleeding]);
}

#[test]
fn a_rule_about_a_class_holds_for_every_drug_of_it() {
    let drugs = [
        hidden("qt-prolonging drug", "condition", "long qt syndrome", "serious"),
        hidden("monoamine oxidase inhibitor", "medication", "stimulant", "contraindicated"),
        hidden("anticoagulant", "condition", "gastrointestinal bleeding", "contraindicated"),
        drug("metformin", json!({"conditions": ["cirrhosis"]})),
        imported("Haloperidol 5 MG Oral Tablet"),
    ];
    let qt = |name: &'static str| (format!("condition: {name}"), Severity::Serious);
    for (list, entry, order, expected) in [
        ("conditions", "Long QT", "Haloperidol 5 MG Oral Tablet", Some(qt("Long QT"))),
        ("conditions", "prolonged QTc", "sotalol 80 mg bid", Some(qt("prolonged QTc"))),
        ("conditions", "torsades", "methadone", Some(qt("torsades"))),
        (
            "conditions",
            "gi bleed",
            "enoxaparin 40 mg",
            Some(("condition: gi bleed".to_owned(), Severity::Contraindicated)),
        ),
        (
            "medications",
            "phenelzine",
            "Adderall",
            Some(("interaction: phenelzine".to_owned(), Severity::Contraindicated)),
        ),
        (
            "medications",
            "Ritalin",
            "Zyvox",
            Some(("interaction: Ritalin".to_owned(), Severity::Contraindicated)),
        ),
        (
            "medications",
            "MAO inhibitors",
            "Vyvanse",
            Some(("interaction: MAO inhibitors".to_owned(), Severity::Contraindicated)),
        ),
        ("conditions", "Long QT", "metformin", None),
        ("conditions", "Long QT", "lorazepam", None),
        ("conditions", "cirrhosis", "haloperidol", None),
        ("medications", "sertraline", "Adderall", None),
    ] {
        let checked = check(with(list, &[entry]), &drugs, order);
        let told: Vec<_> =
            found(&checked).into_iter().map(|(reason, severity)| (reason.to_owned(), severity)).collect();
        assert_eq!(told, Vec::from_iter(expected), "{order}, {entry}");
        assert_eq!(checked.unclear, None, "{order}");
    }
    // An order of the class itself stays one of a class.
    let checked = check(with("conditions", &["gi bleed"]), &drugs, "anticoagulant");
    assert_eq!(found(&checked), [("condition: gi bleed", Severity::Contraindicated)]);
    assert!(checked.unclear.unwrap().contains("is a class of drugs") && checked.catalogued.is_none());
    // It holds for a drug of the catalogue, too.
    let own = [drugs[0].clone(), drug("citalopram", json!({"conditions": ["gout"]}))];
    let checked = check(with("conditions", &["Long QT", "gout"]), &own, "citalopram");
    assert_eq!(found(&checked).len(), 2);
}

#[test]
fn that_no_rule_is_known_is_said_of_the_order_alone() {
    let drugs = [
        drug("lisinopril", json!({"conditions": ["angioedema"]})),
        drug("ramipril", json!({"conditions": ["angioedema"]})),
        drug("colchicine", json!({"conditions": ["liver disease"]})),
        drug("calcium carbonate", json!({})),
        Item { hidden: true, ..drug("vaccine product", json!({})) },
        imported("Naloxone 0.4 MG/ML"),
    ];
    let said = |name: &str| Some(format!("no rules are known about {name}"));
    for (order, expected) in [
        ("naloxone 0.4 mg", said("naloxone")),
        ("Naloxone 0.4 MG/ML", said("naloxone")),
        ("lisinopril / hydralazine", said("hydralazine")),
        ("probenecid", said("probenecid")),
        // Of its class there are two, or a rule; or the hospital has described it.
        ("lisinopril 10 mg", None),
        ("benazepril 10 mg", None),
        ("Tums", None),
        ("flu shot", None),
        // That it is not understood is said already.
        ("zorbamycin", None),
        ("ACE inhibitor", None),
    ] {
        let checked = check(with("medications", &["hydralazine", "naloxone"]), &drugs, order);
        assert_eq!(checked.unruled, expected, "{order}");
        assert_eq!(checked.flags, [""; 0], "the record says nothing of rules");
    }
}

#[test]
fn a_rule_that_says_how_severe_it_is_replaces_one_that_does_not() {
    let graded =
        |code: &str, severity: &str| json!({"about": "medication", "code": code, "severity": severity});
    let iron = json!({"interacts_with": ["levothyroxine"]});
    let thyroid = json!({"interacts_with": ["ferrous sulfate", "warfarin"], "rules": [graded("iron supplement", "caution")]});
    let both = json!({"rules": [graded("heparin group", "caution"), graded("anticoagulant", "serious")]});
    let drugs = [drug("ferrous sulfate", iron), drug("levothyroxine", thyroid), drug("aspirin", both)];
    for (order, taken, expected) in [
        ("levothyroxine", "ferrous sulfate", Severity::Caution),
        ("ferrous sulfate", "Synthroid", Severity::Caution),
        ("levothyroxine", "warfarin", Severity::Contraindicated),
        ("warfarin", "levothyroxine", Severity::Contraindicated),
        // Of several that say so, the most severe.
        ("aspirin", "enoxaparin", Severity::Serious),
    ] {
        let checked = check(with("medications", &[taken]), &drugs, order);
        let interactions: Vec<_> =
            found(&checked).into_iter().filter(|found| found.0.starts_with("interaction")).collect();
        assert_eq!(interactions, [(format!("interaction: {taken}").as_str(), expected)], "{order}");
    }
}

#[test]
fn a_name_that_is_wording_elsewhere_is_one_where_it_stands_alone() {
    let terminology = Terminology::default();
    use Field::{Allergy, Medication};
    let mut wrong: Vec<(&str, String)> = Vec::new();
    for (field, text, names, known) in [
        (Allergy, "Pen, sulfa", &["penicillin", "sulfonamide"][..], true),
        (Allergy, "Sulfa / PEN", &["penicillin", "sulfonamide"], true),
        (Allergy, "codeine; pen", &["codeine", "penicillin"], true),
        (Allergy, "quinolones and pen", &["fluoroquinolone", "penicillin"], true),
        (Medication, "aspirin 81 mg, nitrate patch", &["aspirin", "nitrate"], true),
        (Medication, "Lasix with potassium", &["furosemide", "potassium supplement"], true),
        (Medication, "Furosemid + Kalium, furosemide", &["furosemide", "potassium supplement"], false),
        (Medication, "Calcium + Vitamin D", &["calcium carbonate", "vitamin d"], true),
        (Medication, "INH, rifampin", &["isoniazid", "rifampicin"], true),
        (Medication, "rifampin 600 mg; INH 300 mg daily", &["isoniazid", "rifampicin"], true),
        // What is not understood where it stands alone is left.
        (Medication, "warfarin, sodium", &["warfarin"], false),
        (Allergy, "codeine, acetate", &["codeine"], false),
        // Beside a name it is wording.
        (Medication, "insulin glargine 100 unit/mL pen", &["insulin glargine"], true),
        (Medication, "insulin glargine 100 unit/mL, pen", &["insulin glargine"], true),
        (Medication, "losartan potassium 50 mg", &["losartan"], true),
        (Medication, "diclofenac-potassium 50 mg", &["diclofenac"], true),
        (Medication, "Atorvastatin Calcium 40 MG Oral Tablet", &["atorvastatin"], true),
        (Medication, "penicillin V (potassium) 250 mg", &["penicillin v"], true),
        (Medication, "salbutamol inh 2 puffs", &["salbutamol"], true),
        (Medication, "amoxicillin (antibiotic)", &["amoxicillin"], true),
        (Medication, "Tylenol 3 times daily", &["paracetamol"], true),
        (Medication, "tylenol 3 times a day", &["paracetamol"], true),
        (Medication, "Tylenol #3 every 6 hours", &["codeine", "paracetamol"], true),
        (Medication, "PEG 3350 17 g daily", &["polyethylene glycol"], true),
    ] {
        let meaning = terminology.understand(field, text);
        let understood: Vec<&str> = meaning.names.iter().map(AsRef::as_ref).collect();
        if understood != names || meaning.known != known || meaning.partly == known {
            wrong.push((text, format!("{meaning:?}")));
        }
    }
    assert_eq!(wrong, []);
    // A pen of insulin holds no penicillin.
    let checked = check(with("allergies", &["pen"]), &[], "insulin lispro 100 unit/mL, pen");
    assert_eq!(found(&checked), []);
    assert_eq!(found(&check(with("allergies", &["codeine, pen"]), &[], "amoxicillin")).len(), 1);
}

#[test]
fn an_allergy_to_analgesics_is_no_allergy_to_paracetamol() {
    for allergy in ["Analgesics", "Allergy status to analgesic agent", "Z88.6"] {
        let checked = check(with("allergies", &[allergy]), &[], "paracetamol");
        assert_eq!(found(&checked), [], "{allergy}");
        assert_eq!(checked.flags.len(), 1, "{allergy}: {:?}", checked.flags);
    }
    for allergy in ["Tylenol", "acetaminophen"] {
        assert_eq!(found(&check(with("allergies", &[allergy]), &[], "paracetamol")).len(), 1, "{allergy}");
    }
}

#[test]
fn one_word_in_common_makes_no_allergy() {
    for (order, allergy, meets) in [
        ("hepatitis B vaccine", "flu vaccine", false),
        ("dengue vaccine", "typhoid vaccine", false),
        ("tranexamic acid", "citric acid", false),
        ("zorba tears", "zorba sweeteners", false),
        ("rabies immune globulin", "hepatitis B immune globulin", false),
        ("blue dye injection", "yellow dye", false),
        ("tylenol 3 times daily", "codeine", false),
        // The whole, and the one word where the other is nothing else.
        ("Take tranexamic acid 1 g twice daily", "tranexamic acid (hives)", true),
        ("rabies immune globulin", "Rabies immune globulin - rash", true),
        ("Moxatag extended blend", "Moxatag", true),
        ("zorbamycin", "zorbamycin blend of ours", true),
        ("dengue vaccine 0.5 mL", "vaccine", true),
        ("tylenol 3", "codeine", true),
    ] {
        let checked = check(with("allergies", &[allergy]), &[], order);
        assert_eq!(!checked.findings.is_empty(), meets, "{order}, {allergy}: {:?}", checked.findings);
    }
}

#[test]
fn who_tolerates_a_drug_is_told_so_and_no_more() {
    let drugs = [
        drug("cefalexin", json!({"allergies": ["penicillin"]})),
        drug("cefuroxime", json!({"allergies": ["penicillin"]})),
    ];
    let of = |allergy: &str, order: &str| check(with("allergies", &[allergy]), &drugs, order);
    for (allergy, order, expected) in [
        ("Penicillin - tolerates cefalexin", "Keflex 500 mg", Some(Severity::Caution)),
        ("Penicillin - tolerates cefalexin", "cefuroxime", Some(Severity::Contraindicated)),
        ("PCN; tolerates cephalosporins", "cefuroxime", Some(Severity::Caution)),
        ("PCN; tolerates cephalosporins", "amoxicillin", Some(Severity::Contraindicated)),
        ("cefalexin, tolerates cephalosporins", "cefalexin", Some(Severity::Contraindicated)),
        ("aspirin allergy; can take Tylenol", "paracetamol", None),
        ("aspirin allergy; can take Tylenol", "ibuprofen", Some(Severity::Contraindicated)),
        ("Penicillin - does not tolerate amoxicillin", "amoxicillin", Some(Severity::Contraindicated)),
        ("No penicillin allergy", "amoxicillin", None),
        ("Mother allergic to penicillin", "amoxicillin", None),
    ] {
        let checked = of(allergy, order);
        let severities: Vec<Severity> = checked.findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, Vec::from_iter(expected), "{order}, {allergy}");
    }
    for denied in ["No penicillin allergy", "Mother allergic to penicillin", "Penicillin - delabeled"] {
        assert_eq!(of(denied, "metformin").flags.len(), 1, "{denied} is named as not checked");
    }
}

#[test]
fn what_somebody_takes_is_no_condition_that_is_not_understood() {
    for (entry, order) in [("Z79.01", "ibuprofen"), ("long term use of warfarin", "ibuprofen")] {
        let drugs = [hidden("anticoagulant", "medication", "nsaid", "serious")];
        let checked = check(with("conditions", &[entry]), &drugs, order);
        assert_eq!(found(&checked), [(format!("interaction: {entry}").as_str(), Severity::Serious)]);
        assert_eq!(checked.flags, [""; 0], "{entry}");
    }
}

#[test]
fn how_usual_orders_are_written_is_understood() {
    for order in [
        "acetaminophen 650 mg PO q6h PRN pain",
        "melatonin 3 mg qhs",
        "nitroglycerin 0.4 SL",
        "heparin flush",
        "amiodarone drip",
        "insulin lispro sliding scale",
        "D5W",
        "lactated Ringer's",
        "oxygen 2 L nasal cannula",
        "Flu shot",
        "DuoNeb q4h prn wheezing",
        "Advair Diskus 250/50",
        "calcium gluconate 1 g IV",
    ] {
        let checked = check(with("allergies", &[]), &[], order);
        assert_eq!(checked.unclear, None, "{order}");
    }
    for order in ["Panadol Night", "heparin flush of Zorba", "amiodarone zorbadrip"] {
        assert!(check(with("allergies", &[]), &[], order).unclear.is_some(), "{order}");
    }
}
