//! The rules of the demo region, over all drugs that the terminology knows: what speaks against two drugs together does not
//! depend on which of them is ordered, taken, drafted before or recommended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use serde_json::json;

use super::fake_store::{FakeStore, item};
use super::numbers::now;
use crate::catalogue::{Catalogue, Entry};
use crate::data::{Item, Kind, Profile, Severity, Subject};
use crate::filters::{Concern, Medication};
use crate::orders::{Checked, Ordered};
use crate::recommender::Recommender;
use crate::settings::Settings;
use crate::terminology::{Field, TermKind, Terminology, plain, read_terms};

#[allow(dead_code)]
#[path = "../../../../src/store/demo/tables.rs"]
mod tables;

const NOW: i64 = 1_717_200_000_000; // 2024-06-01

pub(super) static ITEMS: LazyLock<Vec<Item>> = LazyLock::new(|| tables::Tables::read().items().collect());

static DEMO: LazyLock<Recommender> = LazyLock::new(|| {
    let store = FakeStore::default();
    ITEMS.iter().for_each(|drug| store.tables().put_item(drug.clone()));
    now(Recommender::in_memory(Arc::new(store) as _, Settings::default(), NOW)).unwrap()
});

/// The drugs of the built-in terminology.
fn drugs() -> Vec<String> {
    let rows = read_terms(include_str!("../terminology/terms.csv").as_bytes()).unwrap();
    let drugs = rows.into_iter().map(|(_, term)| term).filter(|term| term.kind == TermKind::Drug);
    drugs.map(|term| term.name).collect()
}

fn check(profile: serde_json::Value, orders: &[&str]) -> Vec<Checked> {
    let profile: Profile = serde_json::from_value(profile).unwrap();
    let ordered = |name: &&str| {
        let item = Item { name: (*name).to_owned(), ..item(name, Kind::Drug) };
        Ordered { item, checked: *name != UNKNOWN }
    };
    let orders: Vec<Ordered> = orders.iter().map(ordered).collect();
    DEMO.check_orders(&profile, &orders, NOW)
}

/// An order that nobody understands: beside it nothing is suggested, which takes long.
const UNKNOWN: &str = "zorbamycin";

/// What is found of a drug beside another: of an interaction and of a duplicate.
type Found = BTreeMap<(bool, String), Severity>;

/// What of these findings is about other drugs, by those; `drafted` are those of drafts, the others of what is taken.
fn beside(checked: &Checked, drafted: bool) -> Found {
    let others = checked.findings.iter().filter_map(|finding| {
        let duplicate = finding.concern == Concern::Duplicate;
        let text = match duplicate {
            true => finding.reason.split_once("already taking ")?.1.trim_end_matches(')'),
            false => finding.reason.strip_prefix("interaction: ")?,
        };
        let draft = text.split_once(" (ordered too");
        (draft.is_some() == drafted).then_some(())?;
        Some(((duplicate, draft.map_or(text, |(name, _)| name).to_owned()), finding.severity))
    });
    others.collect()
}

#[test]
fn two_drugs_are_as_bad_together_whichever_comes_first() {
    let names = drugs();
    let mut orders: Vec<&str> = names.iter().map(String::as_str).collect();
    orders.push(UNKNOWN);
    let found = check(json!({"allergies": [], "medications": names, "conditions": []}), &orders);
    let taken: BTreeMap<&str, Found> =
        found.iter().map(|checked| (orders[checked.index], beside(checked, false))).collect();
    let mut differ = Vec::new();
    for (one, of_one) in &taken {
        for ((duplicate, other), severity) in of_one {
            let back = taken[other.as_str()].get(&(*duplicate, (*one).to_owned()));
            if back != Some(severity) {
                differ.push(format!("{one} beside {other}: {severity:?}, and back {back:?}"));
            }
        }
    }
    for checked in &found {
        // Of two drafts it is said of the later one.
        let earlier: BTreeSet<&str> = orders[..checked.index].iter().copied().collect();
        let expected = taken[orders[checked.index]].clone();
        let expected: Found =
            expected.into_iter().filter(|((_, other), _)| earlier.contains(other.as_str())).collect();
        if beside(checked, true) != expected {
            differ.push(format!("{} as a later draft", orders[checked.index]));
        }
    }
    assert!(differ.is_empty(), "{} differ: {:#?}", differ.len(), &differ[..differ.len().min(40)]);
    // What is recommended beside another is compared by the same rules.
    let (terminology, mut catalogue) = (Terminology::shared(&[]), Catalogue::default());
    for (number, drug) in (0..).zip(ITEMS.iter().filter(|item| item.kind == Kind::Drug)) {
        catalogue.set(number, Some(Arc::new(Entry::new(drug.clone(), &terminology))));
    }
    let shown: Vec<(u32, &Entry)> = catalogue
        .iter()
        .filter(|(_, entry)| !entry.item.hidden && entry.substances.len() == 1)
        .filter_map(|(number, _)| Some((number, catalogue.judged(number)?.as_ref())))
        .collect();
    for &(number, one) in &shown {
        let recommended = Medication::recommended(number, one);
        for &(_, other) in shown.iter().filter(|(another, _)| *another != number) {
            let mut told = recommended.findings(number, other).into_iter();
            let told = told.find(|(concern, ..)| *concern == Concern::Interaction).map(|found| found.1);
            let expected = taken[other.item.name.as_str()].get(&(false, one.item.name.clone()));
            assert_eq!(told.as_ref(), expected, "{} recommended beside {}", other.item.name, one.item.name);
        }
    }
}

fn worst(orders: &[&str], profile: serde_json::Value) -> Option<Severity> {
    let mut whole = json!({"allergies": [], "medications": [], "conditions": [], "birth_year": 1970});
    whole.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    let found = check(whole, orders);
    let severities = found.iter().flat_map(|checked| &checked.findings).map(|finding| finding.severity);
    severities.min()
}

#[test]
fn dangers_are_told_in_any_order_and_in_a_combination() {
    let (contraindicated, serious) = (Severity::Contraindicated, Severity::Serious);
    for (one, other, least) in [
        ("Norco 5-325", "phenelzine", contraindicated),
        ("hydrocodone/acetaminophen", "linezolid", contraindicated),
        ("potassium chloride", "triamterene", serious),
        ("phenelzine", "oxcarbazepine", serious),
        ("clarithromycin", "Marcumar 3 mg", serious),
        ("co-trimoxazole", "phenprocoumon", serious),
        ("carbamazepine", "Nexplanon", serious),
        ("methadone", "nortriptyline", serious),
        ("ranolazine", "ketoconazole", contraindicated),
        ("tizanidine", "fluvoxamine", contraindicated),
        ("Paxlovid", "midazolam", contraindicated),
        ("Paxlovid", "St John's wort", contraindicated),
        ("Paxlovid", "tacrolimus", serious),
        ("voriconazole", "phenobarbital", contraindicated),
        ("ziprasidone", "sotalol", serious),
        ("phenelzine", "atomoxetine", contraindicated),
        ("ketorolac", "probenecid", contraindicated),
        ("rifampicin", "methadone", serious),
        ("phenytoin", "tacrolimus", serious),
        ("ritonavir", "warfarin", serious),
        ("mercaptopurine", "warfarin", serious),
        ("flecainide", "verapamil", serious),
        ("medroxyprogesterone", "phenytoin", serious),
        ("miconazole oral gel", "warfarin", serious),
    ] {
        for (order, taken) in [(one, other), (other, one)] {
            let found = worst(&[order], json!({"medications": [taken]}));
            assert!(found.is_some_and(|found| found <= least), "{order}, {taken} taken: {found:?}");
            let found = worst(&[order, taken], json!({}));
            assert!(found.is_some_and(|found| found <= least), "{order}, then {taken}: {found:?}");
        }
    }
    for (order, condition, least) in [
        ("Lotrel", "pregnancy", contraindicated),
        ("benazepril/HCTZ", "pregnancy", contraindicated),
        ("厄贝沙坦氢氯噻嗪片", "pregnancy", contraindicated),
        ("verapamil/trandolapril", "pregnancy", contraindicated),
        ("dutasteride/tamsulosin", "pregnancy", contraindicated),
        ("fluvastatin/ezetimibe", "pregnancy", contraindicated),
        ("amlodipine/benazepril", "angioedema", contraindicated),
        ("triamterene/HCTZ", "hyperkalemia", contraindicated),
        ("canagliflozin/metformin", "type 1 diabetes", contraindicated),
        ("meloxicam/famotidine", "CKD 4", contraindicated),
        ("ketoprofen/omeprazole", "peptic ulcer", contraindicated),
        ("norethindrone/ethinyl estradiol", "DVT", contraindicated),
        ("dabigatran", "mechanical mitral valve", contraindicated),
        ("apixaban", "Z95.2", serious),
        ("potassium chloride", "hyperkalemia", contraindicated),
        ("potassium chloride", "ESRD", serious),
        ("metformin", "慢性肾脏病5期", contraindicated),
        ("gentamicin", "myasthenia gravis", serious),
        ("phenobarbital", "porphyria", contraindicated),
        ("clozapine", "agranulocytosis", serious),
        ("propranolol", "pheochromocytoma", serious),
        ("oxybutynin", "urinary retention", contraindicated),
        ("Nexplanon", "DVT", contraindicated),
        ("Depo-Provera", "stroke", contraindicated),
        ("norethindrone", "cirrhosis", contraindicated),
        ("drospirenone", "breast cancer", contraindicated),
        ("Trileptal", "pregnancy", serious),
        ("levodopa", "glaucoma", serious),
        ("ciprofloxacin 500 mg po bid for ear infection", "myasthenia gravis", serious),
        ("lisinopril", "孕期检查", contraindicated),
        ("methotrexate", "breastfeeding", contraindicated),
        ("lithium", "哺乳期", serious),
        ("isotretinoin", "breastfeeding", serious),
        ("amiodarone", "lactation", serious),
        ("metformin", "lactic acidosis", contraindicated),
        ("metformin", "DKA", contraindicated),
        ("empagliflozin", "酮症酸中毒", serious),
    ] {
        let found = worst(&[order], json!({"conditions": [condition], "sex": "female"}));
        assert!(found.is_some_and(|found| found <= least), "{order}, {condition}: {found:?}");
    }
    let allergic = worst(&["MMR vaccine"], json!({"allergies": ["neomycin"]}));
    assert_eq!(allergic, Some(contraindicated));
}

/// Usual orders, which must not interrupt: at most as severe as this.
#[test]
fn usual_orders_are_not_told_to_be_more_than_they_are() {
    let (serious, caution) = (Some(Severity::Serious), Some(Severity::Caution));
    for (order, taken, conditions, most) in [
        ("clopidogrel 75 mg", &["aspirin 81 mg"][..], &["CAD"][..], caution),
        ("lisinopril 20 mg", &["lisinopril 10 mg"], &["hypertension"], caution),
        ("metformin 500 mg", &[], &["CKD stage 3a", "type 2 diabetes"], serious),
        ("amiodarone 200 mg", &[], &["hypothyroidism"], caution),
        ("tiotropium", &[], &["glaucoma", "COPD"], caution),
        ("lorazepam 0.5 mg", &[], &["OSA"], serious),
        ("warfarin", &[], &["thrombocytopenia"], serious),
        ("sildenafil 20 mg", &[], &["pulmonary arterial hypertension"], None),
        ("erythromycin ophthalmic ointment", &["simvastatin 40 mg"], &[], caution),
        ("ketorolac 0.5% eye drops", &["aspirin 81 mg"], &[], caution),
        ("diclofenac 1% gel", &["warfarin"], &["CKD stage 3"], caution),
        ("clotrimazole 1% cream", &["warfarin"], &["cirrhosis"], caution),
        ("hydrocortisone 1% cream", &["prednisone 10 mg"], &[], caution),
        ("probenecid", &["clarithromycin"], &[], None),
        ("domperidone", &[], &["epilepsy"], None),
        ("trazodone 50 mg", &["hydroxyzine 25 mg"], &[], caution),
        ("ondansetron 4 mg", &["sertraline"], &["nausea"], None),
        ("furosemide 40 mg", &["lisinopril", "metoprolol"], &["heart failure"], None),
        ("atorvastatin 40 mg", &["aspirin 81 mg", "metoprolol"], &["CAD"], None),
        ("morphine 15 mg", &["MS Contin 30 mg"], &[], caution),
    ] {
        let profile = json!({"medications": taken, "conditions": conditions, "sex": "female"});
        let found = worst(&[order], profile);
        let less = found.is_none_or(|found| most.is_some_and(|most| found >= most));
        assert!(less, "{order} beside {taken:?} with {conditions:?}: {found:?}");
    }
}

/// That two say the same of each other is told once, whatever the order of the drafts.
#[test]
fn drafts_say_the_same_in_every_order() {
    let names = ["warfarin", "Norco 5-325", "phenelzine", "clarithromycin", "simvastatin"];
    let pairs = |orders: &[&str]| -> BTreeSet<(BTreeSet<String>, bool, Severity)> {
        let found = check(json!({"allergies": [], "medications": [], "conditions": []}), orders);
        let of = |checked: &Checked| {
            let later = orders[checked.index].to_owned();
            let pair = move |((duplicate, other), severity)| {
                (BTreeSet::from([later.clone(), other]), duplicate, severity)
            };
            beside(checked, true).into_iter().map(pair).collect::<Vec<_>>()
        };
        found.iter().flat_map(of).collect()
    };
    let expected = pairs(&names);
    assert!(expected.len() > 3, "{expected:?}");
    let mut order = names;
    for turn in 0..names.len() * 2 {
        order.rotate_left(1);
        if turn % 2 == 0 {
            order.swap(0, 2);
        }
        assert_eq!(pairs(&order), expected, "{order:?}");
    }
}

#[test]
fn every_condition_of_a_rule_has_a_name_in_chinese() {
    let rows = read_terms(include_str!("../terminology/terms.csv").as_bytes()).unwrap();
    let chinese = |name: &str| name.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let named: BTreeSet<String> = rows
        .into_iter()
        .map(|(_, term)| term)
        .filter(|term| term.kind == TermKind::Condition && term.synonyms.iter().any(|name| chinese(name)))
        .map(|term| term.name)
        .collect();
    let terminology = Terminology::shared(&[]);
    let lists = ITEMS.iter().map(|item| &item.contraindications);
    let conditions = lists.flat_map(|rules| {
        let graded = rules.rules.iter().filter(|rule| rule.about == Subject::Condition);
        rules.conditions.iter().chain(&rules.indications).chain(graded.map(|rule| &rule.code))
    });
    // What age and sex say is nothing that a list says.
    let said = conditions.filter(|name| !["older adult", "childbearing potential"].contains(&name.as_str()));
    for name in said.collect::<BTreeSet<_>>() {
        let names = terminology.understand(Field::Condition, name).names;
        assert!(
            names.iter().all(|name| named.iter().any(|known| plain(known) == *name)),
            "{name} has no Chinese name"
        );
    }
}

#[test]
fn usual_names_of_what_rules_are_about_count() {
    let terminology = Terminology::shared(&[]);
    for (name, texts) in [
        ("chronic kidney disease stage 5", &["血透", "腹透", "CAPD", "终末期肾脏病", "维持性血液透析"][..]),
        ("chronic kidney disease", &["糖尿病肾病", "diabetic nephropathy"]),
        ("angioedema", &["血管性水肿", "Quincke's edema"]),
        ("renal artery stenosis", &["双侧肾动脉狭窄"]),
        ("medullary thyroid cancer", &["甲状腺髓样癌", "multiple endocrine neoplasia type 2"]),
        ("migraine with aura", &["先兆偏头痛"]),
        ("ketoacidosis", &["酮症酸中毒", "ketoacidosis", "DKA", "E10.10", "E11.10"]),
        ("type 1 diabetes", &["DKA", "E10.10"]),
        ("type 2 diabetes", &["E11.10"]),
        ("metabolic acidosis", &["lactic acidosis", "metabolic acidosis", "DKA", "乳酸酸中毒", "E87.20"]),
        ("liver disease", &["肝硬变", "肝硬變", "肝性脑病", "AIH", "PBC", "PSC", "HCC"]),
        (
            "coronary artery disease",
            &[
                "急性冠脉综合征",
                "PCI术后",
                "冠脉搭桥术后",
                "冠状动脉支架植入术后",
                "AMI",
                "PTCA",
                "prior PCI",
            ],
        ),
        ("gastrointestinal bleeding", &["黑便", "BRBPR", "rectal bleeding", "tarry stools"]),
        ("eating disorder", &["神经性厌食"]),
        ("respiratory failure", &["呼吸衰竭"]),
        ("breastfeeding", &["哺乳", "哺乳中", "breastfed", "nursing"]),
        ("heart failure", &["心功能IV级", "NYHA IV"]),
        ("tobacco dependence", &["吸烟"]),
        ("sinus bradycardia", &["sinus brady", "窦缓"]),
    ] {
        for text in texts {
            let meaning = terminology.understand(Field::Condition, text);
            assert!(meaning.known && meaning.broader.contains(name), "{text}: {meaning:?}");
        }
    }
    assert!(!terminology.understand(Field::Condition, "无先兆偏头痛").broader.contains("migraine with aura"));
    assert!(!terminology.understand(Field::Condition, "nursing home").broader.contains("breastfeeding"));
}

#[test]
fn rarer_conditions_and_counts_of_neutrophils_speak_against_what_they_must() {
    for (order, condition, wanted) in [
        ("digoxin", "WPW", Some(Severity::Serious)),
        ("verapamil", "预激综合征", Some(Severity::Serious)),
        ("lithium", "Brugada pattern on ECG", Some(Severity::Serious)),
        ("loperamide", "C. diff colitis", Some(Severity::Contraindicated)),
        ("loperamide", "艰难梭菌感染", Some(Severity::Contraindicated)),
        ("alendronate", "achalasia", Some(Severity::Contraindicated)),
        ("ceftriaxone", "neonatal jaundice", Some(Severity::Contraindicated)),
        ("paracetamol", "acute liver failure", Some(Severity::Serious)),
        ("amitriptyline", "recent MI", Some(Severity::Serious)),
        ("amitriptyline", "newly diagnosed STEMI", Some(Severity::Serious)),
        ("clozapine", "ANC 400", Some(Severity::Serious)),
        ("clozapine", "neutrophils 0.8", Some(Severity::Serious)),
        ("clozapine", "neutrophils 800/µL", Some(Severity::Serious)),
        ("clozapine", "中性粒细胞绝对值0.4", Some(Severity::Serious)),
        ("clozapine", "febrile neutropenia", Some(Severity::Serious)),
        ("clozapine", "ANC 3.2", None),
        ("clozapine", "neutrophils 85%", None),
        ("clozapine", "中性粒细胞 78%", None),
        ("amitriptyline", "no recent MI", None),
        ("loperamide", "C diff negative", None),
    ] {
        let said = json!({"allergies": [], "conditions": [condition], "medications": [], "birth_year": 1990});
        let found = worst(&[order], said);
        assert_eq!(found.filter(|severity| *severity != Severity::Caution), wanted, "{order}, {condition}");
    }
    for (order, taken) in [("Paxlovid", "amiodarone"), ("dofetilide", "HCTZ"), ("dofetilide", "trimethoprim")]
    {
        let said = json!({"allergies": [], "conditions": [], "medications": [taken]});
        assert_eq!(worst(&[order], said), Some(Severity::Contraindicated), "{order}, {taken}");
    }
    let said = json!({"allergies": [], "conditions": [], "medications": ["warfarin"]});
    assert_eq!(worst(&["capecitabine"], said), Some(Severity::Serious));
}
