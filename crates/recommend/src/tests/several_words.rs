//! Several words for one drug or allergy: none that is not understood is lost beside others that are.

use std::sync::Arc;

use serde_json::json;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::data::{Item, Kind, Profile};
use crate::orders::{Checked, Ordered};
use crate::recommender::Recommender;
use crate::settings::Settings;
use crate::terminology::{Field, Meaning, Terminology};

const NOW: i64 = 1_717_200_000_000; // 2024-06-01

/// A drug that is called so, with these synonyms and codes.
fn called(name: &str, synonyms: &[&str], codes: &[&str]) -> Item {
    let mut called = Item { name: name.to_owned(), ..item(name, Kind::Drug) };
    called.attributes.insert("synonyms".to_owned(), json!(synonyms));
    called.attributes.insert("codes".to_owned(), json!(codes));
    called
}

fn check(profile: serde_json::Value, drugs: &[Item], order: Item) -> Checked {
    let store = FakeStore::default();
    drugs.iter().for_each(|drug| store.tables().put_item(drug.clone()));
    let recommender = now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap();
    let profile: Profile = serde_json::from_value(profile).unwrap();
    recommender.check_orders(&profile, &[Ordered { item: order, checked: true }], NOW).remove(0)
}

fn allergic(to: &str) -> serde_json::Value {
    json!({"allergies": [to], "medications": []})
}

fn reasons(checked: &Checked) -> Vec<&str> {
    checked.findings.iter().map(|finding| finding.reason.as_str()).collect()
}

#[test]
fn a_known_word_hides_no_other_of_an_order() {
    for (name, synonyms, unclear) in [
        ("Prevpac", &["lansoprazole"][..], "Prevpac"),
        ("lansoprazole", &["Prevpac"], "Prevpac"),
        ("lansoprazole", &["lansoprazole 30 mg", "ampicillin", "Zorbacillin"], "Zorbacillin"),
        ("Ibuprofen (Moxatag)", &[], "Ibuprofen (Moxatag)"),
        ("Lansoprazole [Prevpac]", &[], "Lansoprazole [Prevpac]"),
        ("lansoprazole", &["code http://www.nlm.nih.gov/research/umls/rxnorm|999999"], "rxnorm|999999"),
    ] {
        let found = check(allergic("sesame"), &[], called(name, synonyms, &[]));
        let told = found.unclear.unwrap_or_else(|| panic!("{name} {synonyms:?}"));
        assert!(told.contains(unclear) && told.ends_with("is not understood"), "{told}");
    }
    // What beside it is understood is checked.
    let found = check(allergic("penicillin"), &[], called("Zorbapac", &["amoxicillin"], &[]));
    assert_eq!(reasons(&found), ["allergy: penicillin"]);
    // The hospital's own name for its own drug is no riddle.
    let own = called("Zorbapac", &["amoxicillin"], &[]);
    assert_eq!(check(allergic("sesame"), std::slice::from_ref(&own), own.clone()).unclear, None);
}

#[test]
fn usual_records_stay_understood() {
    for (name, synonyms, codes) in [
        (
            "Amoxicillin 500 MG Oral Capsule",
            &["amoxicillin", "Amoxil 500 mg capsule"][..],
            &["urn:local|AMX"][..],
        ),
        ("lisinopril", &["lisinopril 10 mg tablet", "Take lisinopril 10 mg once daily"], &["77"]),
        ("Amoxicillin", &["Product containing only amoxicillin (product)"], &["http://snomed.info/sct|1"]),
        ("Amoxicillin", &["Product containing amoxicillin in oral dose form (medicinal product form)"], &[]),
        ("Heparin (porcine) 5,000 unit/mL injection", &["heparin"], &[]),
        ("Paracetamol (Tylenol) 500 mg (oral)", &["acetaminophen 500 MG Oral Tablet [Tylenol]"], &[]),
        ("amiodarone", &["soy", "lactose"], &[]),
        ("ASA", &["Aspirin EC Low Dose 81 mg", "tablet", "500 mg", "-"], &[]),
        ("cefTRIAXone 1 g IV q24h", &["Amoxicillin-Pot Clavulanate 875-125 MG"], &[]),
        ("metformin", &["http://www.nlm.nih.gov/research/umls/rxnorm|1", "|77"], &[]),
        ("http://www.nlm.nih.gov/research/umls/rxnorm|999", &["metformin"], &[]),
    ] {
        let order = called(name, synonyms, codes);
        assert_eq!(check(json!({"allergies": [], "medications": []}), &[], order).unclear, None, "{name}");
    }
    for allergy in [
        "PENICILLIN (hives)",
        "Penicillins (rash as child)",
        "Dander (animal) allergy",
        "Allergy to penicillin (finding)",
        "Penicillin Z88.0",
        "Sulfa (Sulfonamide Antibiotics)",
    ] {
        let found = check(allergic(allergy), &[], called("metformin", &[], &[]));
        assert_eq!(found.flags, [""; 0], "{allergy}");
    }
}

#[test]
fn an_entry_of_a_record_is_understood_only_with_all_its_words() {
    let recorded = |list: &str, entry: &str, synonyms: &[&str], codes: &[&str]| {
        let mut profile = json!({"allergies": [], "medications": []});
        profile[list] = json!([entry]);
        profile["recorded"] = json!({list: {entry: {"synonyms": synonyms, "codes": codes}}});
        check(profile, &[called("metformin", &[], &[])], called("warfarin", &[], &[])).flags
    };
    for (list, entry, synonyms, unclear) in [
        ("allergies", "Ofirmev", &["penicillin"][..], "Ofirmev"),
        ("allergies", "ibuprofen and Moxatag", &["Ibuprofen"], "ibuprofen and Moxatag"),
        ("allergies", "Ibuprofen (Moxatag)", &[], "Ibuprofen (Moxatag)"),
        ("medications", "Jantovenol", &["metformin"], "Jantovenol"),
        // That the catalogue has metformin makes no other word known.
        ("medications", "metformin", &["metformin", "Jantovenol"], "Jantovenol"),
    ] {
        let flags = recorded(list, entry, synonyms, &["urn:x|1"]);
        assert_eq!(flags.len(), 1, "{entry}: {flags:?}");
        assert!(flags[0].starts_with(&format!("{list}: {unclear:?}")), "{flags:?}");
        assert!(flags[0].contains("is not understood"), "{flags:?}");
    }
    assert!(recorded("allergies", "penicillin", &["Penicillins (class)", "PCN"], &["urn:x|1"]).is_empty());
    // What kind of thing it is, in the words of a code system, names nothing.
    let kinds = ["Propensity to adverse reactions to drug", "Allergy to drug (finding)"];
    assert!(recorded("allergies", "penicillin", &kinds, &[]).is_empty());
    assert_eq!(recorded("allergies", "Drug allergy", &kinds, &[]).len(), 3);
    assert_eq!(recorded("medications", "metformin", &["tromethamine"], &[]).len(), 1);
    // Most words for conditions say nothing of any drug.
    assert!(recorded("conditions", "gout", &["Zorba's toe"], &["urn:x|1"]).is_empty());
    assert!(recorded("conditions", "Zorba's toe", &["gout"], &[]).is_empty());
}

#[test]
fn what_is_no_drug_and_stands_in_one_is_compared_with_allergies() {
    for allergy in ["soy", "egg", "latex", "lactose"] {
        let found = check(allergic(allergy), &[], called("amiodarone", &["amiodarone", allergy], &[]));
        assert_eq!(reasons(&found), [format!("allergy: {allergy}")]);
        assert_eq!(found.unclear, None, "{allergy}");
    }
    let found = check(allergic("iodinated contrast"), &[], called("iodinated contrast media", &[], &[]));
    assert_eq!(reasons(&found), ["allergy: iodinated contrast"]);
    // A drug of the catalogue, too.
    let oil = called("amiodarone", &["soy"], &[]);
    let found = check(allergic("soya"), std::slice::from_ref(&oil), called("amiodarone", &[], &[]));
    assert_eq!(reasons(&found), ["allergy: soya"]);
    let found = check(allergic("latex"), &[], called("Lidocaine latex free", &[], &[]));
    assert_eq!(reasons(&found), [""; 0]);
    let found = check(allergic("milk"), &[], called("milk of magnesia", &[], &[]));
    assert_eq!(reasons(&found), [""; 0]);
}

#[test]
fn the_same_word_meets_itself_though_nobody_understands_it() {
    for (allergy, order) in [
        ("iohexol", "iohexol 300 mg/ml IV"),
        ("egg, propofol", "propofol"),
        ("tetracaine", "lidocaine / tetracaine"),
        ("lidocaine / tetracaine", "tetracaine 2 mcg/hr patch"),
        ("Moxatag", "Ibuprofen (Moxatag)"),
        ("gum arabic", "ibuprofen + gum arabic"),
    ] {
        let found = check(allergic(allergy), &[], called(order, &[], &[]));
        assert_eq!(reasons(&found), [format!("allergy: {allergy}")], "{order}");
    }
    let found =
        check(allergic("zorbacillin"), &[], called("ampicillin", &["ampicillin", "zorbacillin"], &[]));
    assert_eq!(reasons(&found), ["allergy: zorbacillin"]);
    // Words of every day are no names.
    let found = check(allergic("Zorbapen auto-injector"), &[], called("epinephrine auto-injector", &[], &[]));
    assert_eq!(reasons(&found), [""; 0]);
    let found = check(
        allergic("penicillin plus swelling when young"),
        &[],
        called("Panadol Plus when young", &[], &[]),
    );
    assert_eq!(reasons(&found), [""; 0]);
    let taken = json!({"allergies": [], "medications": ["naltrexone"]});
    let found = check(taken, &[], called("bupropion / naltrexone", &[], &[]));
    assert_eq!(reasons(&found), ["duplicate therapy: already taking naltrexone"]);
}

#[test]
fn what_says_that_there_is_none_is_no_order() {
    for name in ["None", "nil", "no medications"] {
        let found = check(allergic("penicillin"), &[], called(name, &[], &[]));
        assert_eq!(found.unclear, Some(format!("{name:?} is not understood")));
    }
}

#[test]
fn words_before_a_number_are_no_system_of_codes() {
    let terminology = Terminology::default();
    let known = |text: &str| -> Meaning { terminology.understand(Field::Medication, text) };
    assert!(known("RxNorm 11289").known && known("rxnorm:11289").known);
    assert!(!known("Zorbapac 11289").known);
    // What stands behind more words than are looked at may be anything.
    let long = format!("warfarin {} Zorbapac", "mg ".repeat(80));
    assert!(!known(&long).known);
}
