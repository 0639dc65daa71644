//! The usual words of problem lists, each with what it says: words that make a condition a narrower one wherever they stand,
//! harm that a drug has done, tests that find nothing, values, British spellings, Chinese.

use serde_json::json;

use super::orders::{check, drug, reasons};
use crate::terminology::{Field, Terminology};

/// Whether the words say this condition, wholly or in part.
fn says(text: &str, name: &str) -> bool {
    let condition = Terminology::shared(&[]).belonging(text, [], []).condition;
    condition
        .is_some_and(|condition| (condition.known || condition.partly) && condition.broader.contains(name))
}

#[test]
fn a_word_that_makes_a_condition_narrower_counts_with_every_synonym_in_any_order() {
    let shapes: [fn(&str, &str) -> String; 6] = [
        |word, name| format!("{word} {name}"),
        |word, name| format!("{name}, {word}"),
        |word, name| format!("{name} - {word}"),
        |word, name| format!("{name} ({word})"),
        |word, name| format!("{name}: {word}"),
        |word, name| format!("{name} {word}, asthma"),
    ];
    for (words, names, narrower) in [
        (
            &[
                "uncontrolled",
                "Poorly controlled",
                "not well controlled",
                "severe",
                "malignant",
                "accelerated",
            ][..],
            &["HTN", "Hypertension", "high blood pressure", "essential hypertension"][..],
            "uncontrolled hypertension",
        ),
        (
            &["stage 4", "stage IV"],
            &["CKD", "renal insufficiency", "chronic kidney disease"],
            "chronic kidney disease stage 4",
        ),
        (&["type 1", "insulin dependent"], &["DM", "diabetes mellitus"], "type 1 diabetes"),
        (&["bleeding"], &["PUD", "gastric ulcer"], "bleeding peptic ulcer"),
    ] {
        for (word, name) in words.iter().flat_map(|word| names.iter().map(move |name| (word, name))) {
            for shape in shapes {
                let text = shape(word, name);
                assert!(says(&text, narrower), "{text}");
            }
        }
    }
    for (text, narrower) in [
        ("高血压，血压控制不佳", "uncontrolled hypertension"),
        ("未控制的高血压", "uncontrolled hypertension"),
        ("高血压(未控制)", "uncontrolled hypertension"),
        ("CKD, now stage 4", "chronic kidney disease stage 4"),
        ("Gastric ulcer with bleeding", "bleeding peptic ulcer"),
        ("Migraine, with aura", "migraine with aura"),
        ("慢性肾脏病 4期", "chronic kidney disease stage 4"),
        ("慢性肾脏病（4期）", "chronic kidney disease stage 4"),
        ("慢性肾脏病第4期", "chronic kidney disease stage 4"),
        ("慢性肾脏病Ⅳ期", "chronic kidney disease stage 4"),
        ("慢性肾脏病4期 肾性贫血", "chronic kidney disease stage 4"),
        ("CKD 4期", "chronic kidney disease stage 4"),
        ("CKD stage G4A3", "chronic kidney disease stage 4"),
        ("severe renal impairment", "chronic kidney disease stage 4"),
        ("Advanced CKD", "chronic kidney disease stage 4"),
        ("慢性肾脏病5期，高血压", "chronic kidney disease stage 5"),
        ("尿毒症", "chronic kidney disease stage 5"),
        ("慢性肾衰竭尿毒症期", "chronic kidney disease stage 5"),
        ("Uraemia", "chronic kidney disease stage 5"),
        ("I12.0", "chronic kidney disease stage 5"),
        ("I13.11", "chronic kidney disease stage 5"),
        ("I13.2", "heart failure"),
        ("慢性肾脏病3期", "chronic kidney disease stage 3"),
        ("高血压病3级(极高危)", "uncontrolled hypertension"),
        ("高血压3级", "uncontrolled hypertension"),
        ("心动过缓", "sinus bradycardia"),
        ("胃出血", "gastrointestinal bleeding"),
        ("陈旧性心梗", "myocardial infarction"),
        ("hyperK", "hyperkalemia"),
        ("K 6.2", "hyperkalemia"),
        ("potassium 2.9 mmol/L", "hypokalemia"),
        ("ESRD, on HD", "chronic kidney disease stage 5"),
        ("renal insuff", "chronic kidney disease"),
        ("Child-Pugh C", "liver disease"),
        ("von Willebrand's", "bleeding disorder"),
        ("Schlaganfall", "stroke"),
        ("hartfalen", "heart failure"),
        ("chronische nierinsufficiëntie", "chronic kidney disease"),
        ("Maagzweer", "peptic ulcer"),
        ("beroerte", "stroke"),
        ("Zwangerschap", "pregnancy"),
        ("Vorhofflimmern", "atrial fibrillation"),
        ("hipertensión arterial", "hypertension"),
        ("hyperkalemia resolved, recurrent", "hyperkalemia"),
        ("Hyperkalemia, resolved, then recurred", "hyperkalemia"),
        ("低血糖已治愈后复发", "hypoglycemia"),
    ] {
        assert!(says(text, narrower), "{text}");
    }
    for (text, narrower) in [
        ("Hypertension, not uncontrolled", "uncontrolled hypertension"),
        ("Hypertension. Uncontrolled asthma", "uncontrolled hypertension"),
        ("Uncontrolled diabetes and hypertension", "uncontrolled hypertension"),
        ("Controlled hypertension", "uncontrolled hypertension"),
        ("Gastric ulcer without bleeding", "bleeding peptic ulcer"),
        ("Migraine without aura", "migraine with aura"),
        ("Acute pancreatitis with CKD", "acute kidney injury"),
        ("CKD for 4 years", "chronic kidney disease stage 4"),
        ("Non-insulin dependent diabetes", "type 1 diabetes"),
        ("No uncontrolled hypertension", "uncontrolled hypertension"),
        ("CKD, not severe", "chronic kidney disease stage 4"),
        ("Severe anemia with CKD", "chronic kidney disease stage 4"),
        ("慢性肾脏病4年", "chronic kidney disease stage 4"),
        ("CKD stage 3-4", "chronic kidney disease stage 5"),
        ("I13.0", "chronic kidney disease stage 5"),
        ("hyperkalemia resolved", "hyperkalemia"),
        ("高血压1级", "uncontrolled hypertension"),
        ("vitamin K 6 mg", "hyperkalemia"),
        ("K 4.2", "hyperkalemia"),
    ] {
        assert!(!says(text, narrower), "{text}");
    }
}

#[test]
fn harm_that_a_drug_has_done_is_an_allergy_and_nothing_that_is_taken() {
    let terminology = Terminology::default();
    for (text, drug) in [
        ("HIT", "heparin"),
        ("History of HIT", "heparin"),
        ("HIT (2019)", "heparin"),
        ("HIT antibody positive", "heparin"),
        ("HIT type II", "heparin"),
        ("D75.82", "heparin"),
        ("Heparin-induced thrombocytopenia (HIT)", "heparin"),
        ("Statin myopathy", "statin"),
        ("Drug-induced lupus (hydralazine)", "hydralazine"),
        ("Warfarin-induced skin necrosis", "warfarin"),
        ("NSAID-induced gastropathy", "nsaid"),
        ("NSAID-associated gastritis", "nsaid"),
        ("Gastritis due to NSAIDs", "nsaid"),
        ("ACE inhibitor cough", "ace inhibitor"),
        ("Myopathy caused by simvastatin", "simvastatin"),
    ] {
        let belonging = terminology.belonging(text, [], []);
        let allergy = belonging.allergy.unwrap_or_else(|| panic!("{text}"));
        assert!((allergy.known || allergy.partly) && allergy.names.contains(drug), "{text}: {allergy:?}");
        assert!(belonging.medication.is_none(), "{text}: {:?}", belonging.medication);
    }
    // A bleeding disorder would speak against what is given instead.
    assert!(!says("HIT", "bleeding disorder") && !says("HIT", "thrombocytopenia"));
    for text in [
        "Hit by car",
        "No history of HIT",
        "HIT antibody negative",
        "HIT ruled out",
        "Cough, lisinopril 10 mg daily",
        "Opioid use disorder",
        "Liver disease, on simvastatin",
    ] {
        let allergy = terminology.belonging(text, [], []).allergy;
        assert!(allergy.is_none(), "{text}: {allergy:?}");
    }
    for text in ["Opioid use disorder", "Benzodiazepine dependence", "opioid misuse"] {
        let taken = terminology.belonging(text, [], []).medication;
        assert!(taken.is_none(), "{text}: {taken:?}");
    }
}

#[test]
fn a_test_that_finds_nothing_is_no_condition() {
    for text in [
        "Negative pregnancy test",
        "Negative urine pregnancy test",
        "Pregnancy test neg",
        "Encounter for pregnancy test, result unknown",
        "Pregnancy, delivered",
        "Desire for pregnancy",
        "Hepatitis C antibody negative",
        "Negative hepatitis C antibody",
        "Hepatitis B surface antigen negative",
        "Hepatitis B immune",
        "Immune to hepatitis B",
        "G6PD normal",
        "acute kidney injury (resolved)",
        "AKI, resolved",
        "AKI resolved 2019",
        "Resolved hyperkalemia",
        "妊娠试验阴性",
        "妊娠试验",
        "乙肝表面抗原阴性",
        "丙肝抗体阴性",
        "G6PD正常",
        "急性肾损伤(已恢复)",
    ] {
        let condition = Terminology::shared(&[]).belonging(text, [], []).condition;
        let none = condition.as_ref().is_none_or(|condition| !condition.known && !condition.partly);
        assert!(none, "{text}: {condition:?}");
    }
    for (text, name) in [
        ("Positive pregnancy test", "pregnancy"),
        ("Pregnancy test positive", "pregnancy"),
        ("妊娠试验阳性", "pregnancy"),
        ("Normal pregnancy", "pregnancy"),
        ("Pregnancy, normal", "pregnancy"),
        ("Rh-negative pregnancy", "pregnancy"),
        ("Chronic hepatitis B e antigen negative", "liver disease"),
        ("Myasthenia gravis antibody negative", "myasthenia gravis"),
        ("Antibody-negative myasthenia gravis", "myasthenia gravis"),
        ("AKI on CKD, resolved", "chronic kidney disease"),
        ("Peptic ulcer, resolved", "peptic ulcer"),
        ("Heart failure, normal EF", "heart failure"),
    ] {
        assert!(says(text, name), "{text}");
    }
}

#[test]
fn what_may_have_been_meant_is_not_the_opposite() {
    let terminology = Terminology::default();
    for (text, name) in [
        ("Hypokalemia", "hypokalemia"),
        ("Hypotension", "hypotension"),
        ("Hypocalcaemia", "hypocalcemia"),
        ("Hyponatraemia", "hyponatremia"),
        ("低钾血症", "hypokalemia"),
    ] {
        assert!(says(text, name), "{text}");
    }
    let near = |text: &str| terminology.nearest(Field::Condition, text, std::iter::empty());
    for text in [
        "hyperfibrinogenemia",
        "hypouricemia",
        "hypolipidemia",
        "hypermenorrhea",
        "History of gestational diabetes",
    ] {
        assert_eq!(near(text), None, "{text}");
    }
    assert_eq!(near("hyperkalmia"), Some("hyperkalemia"));
    assert_eq!(near("hypokalmia"), Some("hypokalemia"));
}

#[test]
fn the_usual_words_are_understood() {
    for (name, texts) in [
        ("gastrointestinal bleeding", &["GI hemorrhage", "haematemesis", "melaena", "Lower GI bleed"][..]),
        (
            "venous thrombosis",
            &[
                "Pulmonary thromboembolism",
                "pulmonary embolus",
                "possible PE",
                "59282003",
                "肺栓塞",
                "肺动脉栓塞",
                "下肢深静脉血栓",
                "深静脉血栓形成",
                "APS",
                "antiphospholipid",
            ],
        ),
        ("liver disease", &["hepatic insufficiency", "肝功能衰竭", "肝衰竭", "酒精性肝病", "丙肝"]),
        (
            "intracranial bleeding",
            &[
                "intraparenchymal hemorrhage",
                "SDH",
                "SAH",
                "subdural haematoma",
                "cerebral haemorrhage",
                "颅内出血",
                "蛛网膜下腔出血",
                "硬膜下血肿",
            ],
        ),
        (
            "intracranial bleeding",
            &[
                "intracranial bleed",
                "brain hemorrhage",
                "bleeding in the brain",
                "intracerebral bleed",
                "intracerebral haematoma",
                "subarachnoid bleed",
                "head bleed",
                "subdural",
                "EDH",
                "haemorrhage, intracranial",
                "cerebellar hemorrhage",
                "pontine hemorrhage",
                "thalamic bleed",
                "脑溢血",
                "小脑出血",
                "基底节区出血",
            ],
        ),
        (
            "gastrointestinal bleeding",
            &[
                "gastrointestinal bleed",
                "variceal bleed",
                "variceal haemorrhage",
                "UGIH",
                "Mallory-Weiss tear",
                "rectal bleed",
                "消化道大出血",
                "食管胃底静脉曲张破裂出血",
            ],
        ),
        (
            "major bleeding",
            &[
                "retroperitoneal hematoma",
                "massive hemoptysis",
                "ruptured aneurysm",
                "aortic dissection",
                "大咯血",
            ],
        ),
        ("hyperkalemia", &["raised potassium", "高钾", "血钾高"]),
        ("heart block", &["III°AVB", "Ⅲ°AVB", "AVB III", "III度房室传导阻滞"]),
        ("hypotension", &["cardiogenic shock", "septic shock", "心源性休克"]),
        (
            "immunodeficiency",
            &[
                "SCID",
                "AIDS",
                "leukemia",
                "lymphoma",
                "on chemotherapy",
                "bone marrow transplant",
                "免疫缺陷",
                "白血病",
            ],
        ),
        ("hiv infection", &["HIV", "HIV with CD4 50", "HIV感染"]),
        ("thymus disease", &["thymoma", "胸腺瘤"]),
        ("antiphospholipid syndrome", &["APS", "lupus anticoagulant", "抗磷脂综合征"]),
        ("thrombophilia", &["antiphospholipid syndrome"]),
        ("migraine with aura", &["hemiplegic migraine"]),
        ("hla b*1502", &["HLA-B*1502 positive", "HLA-B*15:02 positive", "HLA-B*1502阳性"]),
        ("pheochromocytoma", &["pheo", "paraganglioma"]),
        ("adrenal insufficiency", &["Addison disease", "Addison's disease"]),
        ("acute kidney injury", &["ATN", "acute tubular necrosis"]),
        ("heart failure", &["LV dysfunction", "LVEF 25%", "EF of 30 %", "pulmonary oedema", "扩张型心肌病"]),
        ("chronic kidney disease stage 4", &["eGFR 22", "eGFR < 30", "CKD4期", "N18.4"]),
        ("chronic kidney disease stage 3", &["eGFR 45", "700379002", "N18.31"]),
        ("chronic kidney disease stage 5", &["透析", "N18.5"]),
        ("chronic kidney disease", &["肾功能衰竭", "肾移植术后"]),
        ("coronary artery disease", &["coronary vasospasm", "Prinzmetal's angina"]),
        ("bladder cancer", &["bladder tumour", "urothelial carcinoma", "膀胱癌"]),
        ("breast cancer", &["Z85.3", "乳腺癌"]),
        ("epilepsy", &["sz d/o", "抽搐"]),
        ("asthma", &["RAD", "reactive airways disease"]),
        ("myasthenia gravis", &["MG"]),
        ("dementia", &["DLB"]),
        ("long qt syndrome", &["TdP", "QTc 520 ms", "长QT综合征", "QT间期延长"]),
        (
            "pregnancy",
            &[
                "antepartum",
                "preterm labour",
                "EGA 32 weeks",
                "PIH",
                "hyperemesis",
                "宫内孕28周",
                "孕12周",
                "停经8周",
                "先兆流产",
                "Z32.01",
                "O60.00",
                "妊娠期糖尿病",
            ],
        ),
        ("thrombocytopenia", &["thrombocytopaenia", "血小板减少"]),
        ("g6pd deficiency", &["G-6PD deficiency", "葡萄糖-6-磷酸脱氢酶缺乏症", "G6PD缺乏症"]),
        ("heart block", &["房室传导阻滞", "三度房室传导阻滞", "病态窦房结综合征"]),
        ("stroke", &["脑梗塞", "短暂性脑缺血发作"]),
        ("parkinson disease", &["帕金森综合征"]),
    ] {
        for text in texts {
            assert!(says(text, name), "{text}");
        }
    }
    for (text, name) in [
        ("eGFR 85", "chronic kidney disease"),
        ("LVEF 60%", "heart failure"),
        ("QTc 420 ms", "long qt syndrome"),
        ("停经2年", "pregnancy"),
        ("孕3产1", "pregnancy"),
        ("妊娠期糖尿病史", "pregnancy"),
        ("Warfarin 5 mg", "myasthenia gravis"),
        ("一度房室传导阻滞", "heart block"),
    ] {
        assert!(!says(text, name), "{text}");
    }
}

#[test]
fn orders_and_allergies_are_understood_as_records_write_them() {
    let terminology = Terminology::default();
    for (text, name) in [
        ("escitalopram oxalate 10 mg tablet", "escitalopram"),
        ("nitrofurantoin monohydrate/macrocrystals 100 mg capsule", "nitrofurantoin"),
        ("insulin glargine (U-100) 100 unit/mL", "insulin glargine"),
        ("ceftriaxone 1 g intravenous piggyback", "ceftriaxone"),
        ("cyanocobalamin (vit B-12) 1,000 mcg", "vitamin b12"),
        ("ferrous sulfate 325 mg (65 mg iron) tablet", "ferrous sulfate"),
        ("furosemide 40 mg IV push x1", "furosemide"),
        ("KCl 20 mEq", "potassium chloride"),
        ("pip-tazo 3.375 g", "piperacillin"),
        ("urn:oid:2.16.840.1.113883.6.73|B01AA03", "warfarin"),
        ("J01CA", "penicillin"),
        ("苯磺酸氨氯地平片", "amlodipine"),
        ("马来酸依那普利片", "enalapril"),
        ("琥珀酸美托洛尔缓释片", "metoprolol"),
        ("富马酸比索洛尔片", "bisoprolol"),
        ("硫酸氢氯吡格雷片", "clopidogrel"),
        ("硝苯地平控释片", "nifedipine"),
        ("奥美拉唑肠溶胶囊", "omeprazole"),
        ("环孢素软胶囊", "ciclosporin"),
        ("沙丁胺醇气雾剂", "salbutamol"),
        ("芬太尼透皮贴剂", "fentanyl"),
        ("草酸艾司西酞普兰片", "escitalopram"),
        ("枸橼酸西地那非片", "sildenafil"),
        ("醋酸泼尼松片", "prednisone"),
        ("盐酸左氧氟沙星氯化钠注射液", "levofloxacin"),
        ("氯化钾缓释片", "potassium chloride"),
        ("叶酸片", "folic acid"),
        ("维生素C片", "vitamin c"),
        ("0.9%氯化钠注射液", "sodium chloride"),
    ] {
        let meaning = terminology.understand(Field::Medication, text);
        assert!(meaning.known && meaning.names.contains(name), "{text}: {meaning:?}");
    }
    let iron = terminology.understand(Field::Medication, "ferrous sulfate 325 mg (65 mg iron)");
    assert!(!iron.names.iter().any(|name| terminology.is_class(name)), "{iron:?}");
    for text in ["无", "无药物过敏史", "否认药物过敏史"] {
        let meaning = terminology.understand(Field::Allergy, text);
        assert!(meaning.known && meaning.names.is_empty(), "{text}: {meaning:?}");
    }
    assert!(terminology.understand(Field::Allergy, "先锋霉素过敏").groups.contains("cephalosporin"));
    // A code that nobody knows is named once.
    let code = "http://example.org|77".to_owned();
    let meaning = terminology.understand_coded(Field::Medication, &code, [&code], []);
    assert_eq!(meaning.unclear.len(), 1, "{meaning:?}");
}

#[test]
fn a_class_that_a_problem_says_to_be_taken_is_no_second_drug_beside_one_of_it() {
    let drugs = [
        drug("warfarin", json!({"therapeutic_class": "anticoagulant"}), &[]),
        drug("enoxaparin", json!({"interacts_with": ["anticoagulant"]}), &[]),
        drug("ibuprofen", json!({"interacts_with": ["anticoagulant"]}), &[]),
    ];
    let found = |conditions: &[&str], medications: &[&str], order: &str| -> Vec<String> {
        let profile = json!({"allergies": [], "conditions": conditions, "medications": medications});
        let checked = check(profile, &drugs, &[(order, true)]);
        reasons(&checked[0]).into_iter().map(str::to_owned).collect()
    };
    let none: [&str; 0] = [];
    for problem in ["Z79.01", "Chronic anticoagulation", "Long term (current) use of anticoagulants"] {
        assert_eq!(found(&[problem], &[], "warfarin 5 mg"), none, "{problem}");
        assert_eq!(found(&[problem], &["warfarin"], "ibuprofen"), ["interaction: warfarin"], "{problem}");
        assert_eq!(found(&[problem], &[], "ibuprofen"), [format!("interaction: {problem}")]);
    }
    // A drug that a problem names is one, and so is a class that is listed as taken.
    let twice = "duplicate therapy: already taking On warfarin for AF";
    assert_eq!(found(&["On warfarin for AF"], &[], "warfarin 5 mg"), [twice]);
    assert!(!found(&[], &["anticoagulant"], "warfarin 5 mg").is_empty());
    assert_eq!(found(&["Opioid use disorder"], &[], "oxycodone 5 mg"), none);
}

/// A few letters that are the name of a condition, beside words that nobody knows, are told and never passed over.
#[test]
fn short_names_beside_unknown_words_are_told_as_not_understood() {
    let terminology = Terminology::default();
    for text in ["MI with normal coronaries", "HF recovered EF", "HIT, SRA positive", "MG, MuSK pos"] {
        let meaning = terminology.understand(Field::Condition, text);
        assert!(meaning.known || meaning.partly, "{text}");
    }
    for text in ["no MI, normal coronaries", "walks a mile"] {
        let meaning = terminology.understand(Field::Condition, text);
        assert!(meaning.names.is_empty() || !meaning.partly, "{text}");
    }
}
