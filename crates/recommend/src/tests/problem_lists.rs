//! What problem lists say in words: a known name counts wherever it stands, unless what denies it stands directly beside it;
//! allergies and drugs that are taken count as such.

use serde_json::json;

use super::safety::{ask, drug, excluded, with};
use crate::data::Profile;
use crate::terminology::{Field, Meaning, Terminology};

fn read(text: &str) -> Meaning {
    Terminology::shared(&[]).understand(Field::Condition, text)
}

fn assert_counts(cases: &[(&str, &str)]) {
    for (text, name) in cases {
        let meaning = read(text);
        let counts = (meaning.known || meaning.partly) && meaning.broader.contains(*name);
        assert!(counts, "{text}: {meaning:?}");
    }
}

fn assert_denied(texts: &[&str]) {
    for text in texts {
        let meaning = read(text);
        assert!(!meaning.known && !meaning.partly, "{text}: {meaning:?}");
    }
}

#[test]
fn a_usual_word_elsewhere_takes_no_condition_away() {
    assert_counts(&[
        ("Rh-negative pregnancy", "pregnancy"),
        ("Pregnant mother, 20 weeks", "pregnancy"),
        ("26 weeks pregnant, planning home birth", "pregnancy"),
        ("Pregnancy, screening done", "pregnancy"),
        ("Triple negative breast cancer", "breast cancer"),
        ("Sleep apnea with chronic respiratory failure", "sleep apnea"),
        ("Peptic ulcer, on PPI prophylaxis", "peptic ulcer"),
        ("CKD stage 5, dialysis planning", "chronic kidney disease stage 5"),
        ("Stroke, secondary prevention", "stroke"),
        ("Stroke secondary prevention", "stroke"),
        ("Heart failure, influenza vaccine given", "heart failure"),
        ("Epilepsy, seizure precautions in place", "epilepsy"),
        ("Chronic hepatitis B, HBeAg negative", "liver disease"),
        ("Myasthenia gravis, antibody negative", "myasthenia gravis"),
        ("Gout - brother also has it", "gout"),
        ("Asthma. Father died of stroke", "asthma"),
        ("Glaucoma (mother and sister too)", "glaucoma"),
        ("Long QT syndrome, genetic screening positive", "long qt syndrome"),
        ("Atrial fibrillation: stroke prevention", "atrial fibrillation"),
        ("Cirrhosis, hepatocellular carcinoma screening", "liver disease"),
        ("G6PD deficiency, found by newborn screening", "g6pd deficiency"),
        ("PE not ruled out, DVT confirmed", "venous thrombosis"),
        ("Cannot rule out pulmonary embolism", "venous thrombosis"),
        ("Sickle trait, asthma, unlikely to need admission", "asthma"),
    ]);
    let meaning = read("Asthma. Father died of stroke");
    assert!(meaning.known && !meaning.broader.contains("stroke"), "{meaning:?}");
    assert_denied(&[
        "family history of glaucoma",
        "Family history of premature coronary artery disease",
        "Family history: gout",
        "FHx breast cancer",
        "mother has gout",
        "father died of stroke",
        "breast cancer in her sister",
        "Wife is pregnant",
        "Pregnant wife",
        "rule out epilepsy",
        "r/o acute pancreatitis",
        "pulmonary embolism was ruled out",
        "Pulmonary embolism: ruled out",
        "Gout (excluded)",
        "Pregnancy test negative",
        "Encounter for pregnancy test, result negative",
        "Encounter for screening mammogram for malignant neoplasm of breast",
        "hepatitis B vaccination",
        "influenza vaccine",
        "hepatitis A vaccine given",
        "DVT prophylaxis",
        "stroke prevention",
        "seizure precautions",
        "screening for diabetes",
        "at risk of stroke",
        "planning to become pregnant",
        "trying to get pregnant",
    ]);
}

#[test]
fn a_denial_ends_where_its_part_of_the_text_does() {
    assert_counts(&[
        ("Non-ischemic cardiomyopathy", "heart failure"),
        ("Non-variceal upper GI bleed", "gastrointestinal bleeding"),
        ("Non-healing duodenal ulcer", "peptic ulcer"),
        ("Denies chest pain. Known heart failure", "heart failure"),
        ("Non-traumatic subdural hematoma", "intracranial bleeding"),
        ("Non-oliguric acute kidney injury", "acute kidney injury"),
        ("Non-compliant, CKD stage 5", "chronic kidney disease stage 5"),
        ("Never-smoker, COPD", "copd"),
        ("Non-STEMI", "myocardial infarction"),
        ("Non-STEMI 2019, stented", "myocardial infarction"),
        ("Not well controlled asthma", "asthma"),
        ("No diabetes, gout", "gout"),
        ("Denies falls: epilepsy since childhood", "epilepsy"),
        ("No fever - pneumonia", "pneumonia"),
        ("Non-obstructive sleep apnea", "sleep apnea"),
        ("Not seizure-free epilepsy", "epilepsy"),
        ("No change in heart failure", "heart failure"),
        ("Non-adherent to inhalers; asthma", "asthma"),
        ("Pregnancy, no complications", "pregnancy"),
        ("No severe asthma", "asthma"),
        ("Without insurance, cirrhosis", "liver disease"),
        ("Non-insulin-dependent diabetes mellitus", "type 2 diabetes"),
        ("Does not use CPAP for sleep apnea", "sleep apnea"),
        ("Acute MI", "myocardial infarction"),
        ("PE 2020", "venous thrombosis"),
    ]);
    for known in ["Type 2 diabetes mellitus without complications", "Pregnancy, no complications"] {
        assert!(read(known).known, "{known}");
    }
    assert_denied(&[
        "no asthma",
        "No asthma or COPD",
        "denies gout",
        "Denies any history of gout",
        "no history of peptic ulcer",
        "no known heart failure",
        "no evidence of pulmonary embolism",
        "never had epilepsy",
        "does not have asthma",
        "not pregnant",
        "not currently pregnant",
        "non-pregnant",
        "without heart failure",
        "w/o gout",
        "negative for gout",
        "Pregnant: no",
    ]);
}

#[test]
fn in_chinese_a_denial_stands_directly_before_the_name() {
    assert_counts(&[
        ("慢性肾功能不全 尿毒症期", "chronic kidney disease"),
        ("慢性肾功能不全CKD4期", "chronic kidney disease stage 4"),
        ("肾功能不全(失代偿期)", "chronic kidney disease"),
        ("消化性溃疡 未愈", "peptic ulcer"),
        ("冠心病 不稳定型心绞痛", "coronary artery disease"),
        ("支气管哮喘(未控制)", "asthma"),
        ("高血压，血压控制不佳", "hypertension"),
        ("糖尿病，无并发症", "diabetes"),
        ("心功能不全", "heart failure"),
        ("癫痫，未规律服药", "epilepsy"),
        ("妊娠 未足月", "pregnancy"),
        ("无发热，肺炎", "pneumonia"),
        ("肺炎不能排除", "pneumonia"),
        ("肝硬化 母亲体健", "liver disease"),
        ("不伴发热的痛风发作", "gout"),
        ("胃溃疡，预防出血", "peptic ulcer"),
        ("否认胸痛。房颤", "atrial fibrillation"),
        ("慢性腎功能不全", "chronic kidney disease"),
    ]);
    assert_denied(&[
        "无哮喘",
        "没有糖尿病",
        "否认高血压",
        "否认高血压、糖尿病、冠心病史",
        "无高血压或糖尿病",
        "未见胰腺炎",
        "未发现肝硬化",
        "排除妊娠",
        "未怀孕",
        "高血压家族史",
        "高血压、糖尿病家族史",
        "家族史：高血压",
        "母亲患糖尿病",
        "乙肝疫苗",
        "脑卒中预防",
    ]);
}

#[test]
fn a_pregnancy_that_was_is_over() {
    assert_denied(&[
        "History of preeclampsia",
        "History of gestational diabetes",
        "Personal history of gestational diabetes",
        "Previous pregnancy",
        "History of ectopic pregnancy",
        "h/o pre-eclampsia",
        "prior normal pregnancy",
        "Hx of 2 pregnancies",
        "past history of severe preeclampsia and gestational diabetes",
        "Gestational diabetes in previous pregnancy",
        "妊娠史",
        "既往妊娠",
    ]);
    assert_counts(&[
        ("Pregnant, history of asthma", "pregnancy"),
        ("Pregnancy with history of preeclampsia", "pregnancy"),
        ("Supervision of pregnancy with history of infertility", "pregnancy"),
        ("32 year old pregnant woman", "pregnancy"),
        ("Gestational diabetes", "pregnancy"),
        ("First pregnancy", "pregnancy"),
        ("History of myocardial infarction", "myocardial infarction"),
        ("Previous DVT", "venous thrombosis"),
        ("Prior stroke", "stroke"),
        ("Mother is pregnant with twins", "pregnancy"),
    ]);
}

#[test]
fn nobody_who_cannot_be_is_pregnant() {
    let asked = |changes: serde_json::Value| {
        let person: Profile = with(changes);
        let answer = ask(person, vec![drug("x", json!({"pregnancy": true}))]);
        (excluded(&answer).iter().map(|(_, why)| (*why).to_owned()).collect::<Vec<_>>(), answer.flags)
    };
    for (changes, who) in [
        (json!({"conditions": ["26 weeks pregnant"], "sex": "male"}), "a man"),
        (
            json!({"conditions": ["Gestational diabetes"], "sex": "female", "birth_year": 1950}),
            "a person over 60",
        ),
        (json!({"conditions": ["O14.9"], "sex": null, "birth_year": 1955}), "a person over 60"),
    ] {
        let (excluded, flags) = asked(changes.clone());
        assert_eq!(excluded, [""; 0], "{changes}");
        assert!(flags.len() == 1 && flags[0].contains(who), "{changes}: {flags:?}");
    }
    for changes in [
        json!({"conditions": ["26 weeks pregnant"], "sex": "female", "birth_year": 1990}),
        json!({"conditions": ["26 weeks pregnant"], "sex": null}),
        json!({"conditions": ["Pregnant mother, 20 weeks"], "sex": "other"}),
    ] {
        assert_eq!(asked(changes.clone()).0, ["pregnancy"], "{changes}");
    }
}

#[test]
fn an_allergy_among_conditions_counts_whatever_stands_beside_it() {
    let terminology = Terminology::default();
    for (text, name) in [
        ("PCN allergy - rash as child", "penicillin"),
        ("Penicillin allergy since childhood", "penicillin"),
        ("Penicillin allergy, unknown reaction", "penicillin"),
        ("Severe penicillin allergy with ICU admission", "penicillin"),
        ("History of anaphylaxis to penicillin", "penicillin"),
        ("Personal history of allergy to penicillin", "penicillin"),
        ("Anaphylaxis after amoxicillin 2018", "amoxicillin"),
        ("Allergie gegen Penicillin", "penicillin"),
        ("青霉素过敏(皮试阳性)", "penicillin g"),
        ("asthma and penicillin allergy", "penicillin"),
        ("Known allergic to sulfa drugs per outside records", "sulfonamide"),
        ("Codeine: hives in 2015", "codeine"),
        ("Hypersensitivity to cefaclor, documented by Dr. Smith", "cefaclor"),
        ("Multiple drug allergies: ibuprofen, sulfa", "ibuprofen"),
        ("Intolerance of simvastatin with myalgia", "simvastatin"),
        ("Angioedema due to lisinopril", "lisinopril"),
        ("对阿莫西林过敏，皮疹", "amoxicillin"),
        ("Peanut allergy since childhood", "peanut"),
        ("Latex allergy, asthma", "latex"),
        ("Radiographic dye allergy status", "iodine"),
        ("Heparin-induced thrombocytopenia", "heparin"),
        ("HIT", "heparin"),
        ("Statin-induced rhabdomyolysis", "statin"),
        ("Aspirin exacerbated respiratory disease", "aspirin"),
        ("AERD", "nsaid"),
        ("Samter's triad", "nsaid"),
        ("NSAID-induced asthma", "nsaid"),
        ("肝素诱导的血小板减少症", "heparin"),
    ] {
        let allergy = terminology.belonging(text, [], []).allergy;
        let meaning = allergy.unwrap_or_else(|| panic!("{text}"));
        assert!((meaning.known || meaning.partly) && meaning.names.contains(name), "{text}: {meaning:?}");
    }
    for text in [
        "No penicillin allergy",
        "not allergic to penicillin",
        "Family history of penicillin allergy",
        "Mother allergic to penicillin",
        "Penicillin allergy ruled out",
        "Tolerates amoxicillin",
        "Allergic rhinitis due to pollen",
        "Allergic rhinitis on cetirizine",
        "Allergic asthma, uses fluticasone",
        "Seasonal allergies",
        "Chronic urticaria treated with loratadine",
        "anaphylaxis",
        "Opioid-induced constipation",
        "Steroid-induced diabetes mellitus",
        "Hit by car",
        "Exercise induced bronchospasm",
    ] {
        let belonging = terminology.belonging(text, [], []);
        assert!(belonging.allergy.is_none(), "{text}: {belonging:?}");
    }
    assert!(
        terminology.belonging("Zorbamycin allergy status", [], []).allergy.is_some(),
        "an allergy to what nobody knows"
    );
    // What is said beside it is not lost.
    let both = terminology.belonging("asthma and penicillin allergy", [], []);
    assert!(both.condition.is_some_and(|condition| condition.known && condition.broader.contains("asthma")));
}

#[test]
fn a_code_of_an_allergy_or_of_a_drug_taken_is_heeded_beside_any_words() {
    let asked = |text: &str, code: &str, display: &str, order: &str, rule: &str| {
        let mut person = json!({"conditions": [text]});
        let synonyms: Vec<&str> = Some(display).filter(|words| !words.is_empty()).into_iter().collect();
        person["recorded"] = json!({"conditions": {text: {"codes": [code], "synonyms": synonyms}}});
        let rules = if rule.is_empty() { json!({}) } else { json!({"interacts_with": [rule]}) };
        let answer = ask(with(person), vec![drug(order, rules)]);
        (excluded(&answer).iter().map(|(_, why)| (*why).to_owned()).collect::<Vec<_>>(), answer.abstained)
    };
    let icd = "http://hl7.org/fhir/sid/icd-10-cm";
    for (text, code, display) in [
        ("PCN allergy since childhood", "http://snomed.info/sct|91936005".to_owned(), ""),
        ("Drug allergy status", format!("{icd}|Z88.0"), "Allergy status to penicillin"),
        ("Reacted badly once", format!("{icd}|Z88.0"), ""),
        ("Allergy status to penicillin", format!("{icd}|Z88.0"), ""),
    ] {
        let (excluded, _) = asked(text, &code, display, "amoxicillin", "");
        assert_eq!(excluded, [format!("allergy: {text}")], "{text}");
    }
    for (text, code, rule) in [
        ("Long term (current) use of anticoagulants", "Z79.01", "anticoagulant"),
        ("On blood thinners", "Z79.01", "anticoagulant"),
        ("Long term (current) use of antithrombotics/antiplatelets", "Z79.02", "antiplatelet"),
        ("Long term (current) use of aspirin", "Z79.82", "aspirin"),
        ("Long term (current) use of insulin", "Z79.4", "insulin"),
        ("Long term (current) use of systemic steroids", "Z79.52", "systemic corticosteroid"),
        ("Long term (current) use of opiate analgesic", "Z79.891", "opioid"),
        ("Long term (current) use of bisphosphonates", "Z79.83", "bisphosphonate"),
        ("Long term (current) use of oral hypoglycemic drugs", "Z79.84", "glucose-lowering drug"),
        ("Long term (current) use of non-steroidal anti-inflammatories (NSAID)", "Z79.1", "nsaid"),
    ] {
        let (excluded, abstained) = asked(text, &format!("{icd}|{code}"), "", "x", rule);
        assert_eq!((excluded, abstained), (vec![format!("interaction: {text}")], None), "{text}");
    }
}

#[test]
fn a_drug_that_a_condition_says_is_taken_is_a_medication() {
    let terminology = Terminology::default();
    for (text, name) in [
        ("On warfarin for AF", "warfarin"),
        ("Currently taking warfarin", "warfarin"),
        ("Long term (current) use of anticoagulants", "anticoagulant"),
        ("Long term (current) use of aspirin", "aspirin"),
        ("Anticoagulated with warfarin", "warfarin"),
        ("Chronic anticoagulation", "anticoagulant"),
        ("Type 2 diabetes on insulin glargine", "insulin glargine"),
        ("Atrial fibrillation treated with apixaban since 2020", "apixaban"),
        ("Methotrexate therapy for rheumatoid arthritis", "methotrexate"),
        ("Uses sildenafil at times", "sildenafil"),
        ("Bipolar disorder, maintained on lithium", "lithium"),
        ("Allergic rhinitis on cetirizine", "cetirizine"),
        ("长期服用华法林", "warfarin"),
        ("Warfarin", "warfarin"),
    ] {
        let taken = terminology.belonging(text, [], []).medication;
        let meaning = taken.unwrap_or_else(|| panic!("{text}"));
        assert!((meaning.known || meaning.partly) && meaning.names.contains(name), "{text}: {meaning:?}");
    }
    for text in [
        "not on warfarin",
        "never took warfarin",
        "Father takes warfarin",
        "speech therapy",
        "iron deficiency anemia on dialysis",
        "vitamin D deficiency on treatment",
        "on dialysis",
        "penicillin allergy",
        "Insulin resistance, weight loss therapy",
    ] {
        let belonging = terminology.belonging(text, [], []);
        assert!(belonging.medication.is_none(), "{text}: {belonging:?}");
    }
    // The condition beside it counts, too.
    for (text, name) in [
        ("Type 2 diabetes on insulin glargine", "type 2 diabetes"),
        ("On warfarin for AF", "atrial fibrillation"),
    ] {
        let condition = terminology.belonging(text, [], []).condition;
        assert!(condition.is_some_and(|condition| condition.broader.contains(name)), "{text}");
    }
    // Of an allergy and of a drug that is taken, each is what it is.
    let both = terminology.belonging("Penicillin allergy, on warfarin", [], []);
    let names = |meaning: Option<Meaning>| {
        meaning.unwrap().names.iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(both.allergy), names(both.medication)),
        (vec!["penicillin".into()], vec!["warfarin".into()])
    );
}

#[test]
fn titles_of_icd_10_say_in_words_what_their_codes_do() {
    assert_counts(&[
        ("Transient cerebral ischemic attack, unspecified", "stroke"),
        (
            "Atherosclerotic heart disease of native coronary artery without angina pectoris",
            "coronary artery disease",
        ),
        ("Acute embolism and thrombosis of deep veins of right upper extremity", "venous thrombosis"),
        ("Malignant neoplasm of upper-outer quadrant of left female breast", "breast cancer"),
        ("Malignant neoplasm of trigone of bladder", "bladder cancer"),
        ("Maternal care for breech presentation, fetus 1", "pregnancy"),
        ("Polyhydramnios, unspecified trimester, fetus 3", "pregnancy"),
        ("Ulcerative (chronic) pancolitis with rectal bleeding", "ulcerative colitis"),
        ("Alcoholic fibrosis and sclerosis of liver", "liver disease"),
        ("Intestinal adhesions [bands] with complete obstruction", "bowel obstruction"),
        ("Nontraumatic subdural hemorrhage, unspecified", "intracranial bleeding"),
        ("Phlebitis and thrombophlebitis of left femoral vein", "venous thrombosis"),
        ("Chronic gastrojejunal ulcer without hemorrhage or perforation", "peptic ulcer"),
        ("Anatomical narrow angle, left eye", "glaucoma"),
        ("Presence of aortocoronary bypass graft", "coronary artery disease"),
    ]);
    for text in [
        "Family history of malignant neoplasm of breast",
        "Embolism and thrombosis of arteries of the lower extremities",
        "Encounter for screening for malignant neoplasm of bladder",
        "Malignant neoplasm of stomach",
    ] {
        let broader = read(text).broader;
        let none = ["breast cancer", "bladder cancer", "venous thrombosis"]
            .iter()
            .all(|name| !broader.contains(*name));
        assert!(none, "{text}: {broader:?}");
    }
    for (code, not) in [("I44.7", "heart block"), ("I44.69", "heart block"), ("G45.4", "stroke")] {
        let meaning = read(code);
        assert!(meaning.known && !meaning.broader.contains(not), "{code}: {meaning:?}");
    }
    for (code, name) in [("I44.2", "heart block"), ("G45.9", "stroke")] {
        assert!(read(code).broader.contains(name), "{code}");
    }
}

proptest::proptest! {
    /// However names, denials and marks stand beside each other.
    #[test]
    fn no_order_of_words_makes_reading_fail(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "no", "non", "gout", "pregnant", "or", "and", "in", "mother", "ruled out", "history of", "test", "negative", "for",
            "/", ",", ":", " - ", "(", ")", ".", ";", "malignant", "neoplasm", "breast", "penicillin", "allergy", "on", "warfarin",
            "mi", "妊娠", "无", "、", "家族史", "期", "青霉素", "过敏",
        ]), 0..14),
        spaced in proptest::bool::ANY,
    ) {
        let text = words.join(if spaced { " " } else { "" });
        read(&text);
        Terminology::shared(&[]).belonging(&text, [], []);
    }
}
