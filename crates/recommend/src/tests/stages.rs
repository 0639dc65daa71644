//! Rules about a stage, a grade or a bound hold for what is worse, and values are found by every name of what is measured.

use serde_json::json;

use super::safety::{ask, drug, excluded, ids, with};
use crate::terminology::{Field, Terminology};

/// Of rules about conditions, each of a drug of its own, those that hold for somebody of whom a list says this.
fn holding<'a>(rules: &[&'a str], said: &str) -> Vec<&'a str> {
    let drugs = rules.iter().enumerate();
    let drugs = drugs.map(|(at, rule)| drug(&format!("d{at}"), json!({"conditions": [rule]})));
    let answer = ask(with(json!({"conditions": [said]})), drugs.collect());
    let reason = format!("condition: {said}");
    let out: Vec<&str> =
        excluded(&answer).into_iter().filter(|(_, told)| *told == reason).map(|(id, _)| id).collect();
    let holds = |at: usize| out.contains(&format!("d{at}").as_str());
    rules.iter().enumerate().filter(|(at, _)| holds(*at)).map(|(_, rule)| *rule).collect()
}

#[test]
fn a_rule_about_a_stage_or_a_bound_holds_for_everything_worse() {
    let severe = [
        "severe renal impairment",
        "eGFR<30",
        "CrCl < 30 mL/min",
        "creatinine clearance below 30 ml/min",
        "CKD stage 4",
        "严重肾功能不全",
        "eGFR 15-29",
    ];
    for worse in [
        "ESRD",
        "CKD stage 5",
        "CKD V not on HD",
        "dialysis",
        "hemodialysis",
        "N18.4",
        "N18.5",
        "N18.6",
        "eGFR 8",
        "eGFR 29",
        "尿毒症",
        "血透",
        "acute kidney injury",
        "acute renal failure",
        "AKI",
        "肌酐 450",
    ] {
        assert_eq!(holding(&severe, worse), severe, "{worse}");
    }
    for better in ["eGFR 34", "CKD stage 3", "CKD stage 2", "eGFR 75"] {
        let held = holding(&severe, better);
        assert_eq!(held, Vec::<&str>::new(), "{better}");
    }
    for (rule, meets, others) in [
        ("eGFR < 45", &["eGFR 20", "CKD stage 3b", "CKD stage 4", "ESRD", "eGFR 44"][..], &["eGFR 90"][..]),
        ("eGFR < 60 ml/min/1.73 m2", &["eGFR 20", "CKD stage 4", "ESRD"], &["eGFR 61"]),
        ("CrCl <= 50", &["CKD stage 5", "CCr 49", "CKD stage 4"], &["CrCl 80"]),
        ("CrCl < 15", &["ESRD", "dialysis", "CrCl 12"], &["CKD stage 4", "CrCl 20"]),
        ("eGFR < 90", &["eGFR 75", "CKD stage 3"], &["eGFR 95"]),
        ("CKD stage 3", &["CKD stage 3", "CKD stage 4", "ESRD"], &["CKD stage 2"]),
        ("CKD stage 2", &["CKD stage 2", "CKD", "CKD stage 5"], &["CKD stage 1"]),
        ("first degree AV block", &["first degree AV block", "third degree AV block"], &["asthma"]),
        ("third degree AV block", &["complete heart block"], &["first degree AV block"]),
        ("NYHA III-IV", &["heart failure NYHA III", "NYHA IV", "心功能IV级"], &["hypertension"]),
        ("heart failure NYHA III-IV", &["NYHA III"], &["hypertension"]),
        ("QTc > 450", &["QTc 520", "QTc 485 ms", "long QT syndrome"], &["QTc 430"]),
        ("QTc >= 500 ms", &["QTcF 530", "prolonged QT"], &["QTc 470"]),
        ("potassium > 5.5 mEq/L", &["hyperkalemia", "K 6.3", "血钾 6.2", "E87.5"], &["K 4.2", "hypokalemia"]),
        ("potassium > 5.0", &["K 5.2"], &["K 4.9"]),
        ("potassium < 3.5", &["hypokalemia", "K 2.9"], &["hyperkalemia"]),
        ("systolic BP < 90", &["hypotension", "BP 85/50", "收缩压 80"], &["BP 130/80"]),
        ("heart rate < 50", &["bradycardia", "HR 38", "心率38次/分", "心动过缓"], &["HR 72"]),
        ("heart rate < 60", &["HR 55"], &["HR 65"]),
        ("serum creatinine > 1.5", &["CKD stage 4", "creatinine 2.1", "Cr 1.6", "AKI"], &["creatinine 0.9"]),
        ("CrCl > 95 mL/min", &["CrCl 110", "肌酐清除率 100"], &["CrCl 80", "ESRD"]),
        ("LVEF < 40%", &["LVEF 20%", "HFrEF", "射血分数25%"], &["LVEF 60%"]),
        ("platelets < 50", &["thrombocytopenia", "platelets 12"], &["platelets 240"]),
        ("血肌酐大于150", &["肌酐 200", "CKD stage 4"], &["肌酐 80"]),
    ] {
        for said in meets {
            assert_eq!(holding(&[rule], said), [rule], "{said}");
        }
        for said in others {
            assert_eq!(holding(&[rule], said), Vec::<&str>::new(), "{said}");
        }
    }
}

#[test]
fn a_bound_that_is_not_read_is_a_rule_that_is_not_understood() {
    let terminology = Terminology::default();
    let known = |rule: &str| terminology.understand_rule(Field::Condition, rule).meaning.known;
    for rule in ["HbA1c > 9", "INR > 3", "age over 65", "smoker over 35", "asthma, FEV1 < 30%", "eGFR < 500"]
    {
        assert!(!known(rule), "{rule}");
    }
    for rule in
        ["QTc > 450 ms", "systolic BP < 90 mmHg", "eGFR < 30", "serum creatinine > 1.5 mg/dL", "asthma"]
    {
        assert!(known(rule), "{rule}");
    }
    // Of a person the stage that is said is the one that is meant.
    let names = terminology.understand(Field::Condition, "severe renal impairment").names;
    assert_eq!(
        names.iter().map(|name| name.as_ref()).collect::<Vec<_>>(),
        ["chronic kidney disease stage 4"]
    );
}

#[test]
fn values_are_found_by_every_name_of_what_is_measured() {
    let terminology = Terminology::default();
    let says = |text: &str, name: &str| terminology.understand(Field::Condition, text).broader.contains(name);
    for (name, texts) in [
        (
            "chronic kidney disease",
            &[
                "creatinine clearance 15",
                "CCr 20",
                "Ccr 20ml/min",
                "CrCL: 20",
                "GFR 20 mL/min",
                "estimated GFR 20",
                "eGFR (CKD-EPI) 22",
                "eGFR of 22",
                "eGFR ~22",
                "eGFR: 22 mL/min/1.73 m2",
                "eGFR less than 30",
                "肌酐清除率 20",
                "内生肌酐清除率 20",
                "肾小球滤过率 25",
                "肾小球滤过率25",
                "估算肾小球滤过率: 25 ml/min",
                "creatinine 5.2 mg/dL",
                "serum creatinine 450 umol/L",
                "Cr 4.8",
                "SCr 2.4",
                "肌酐 450",
                "血肌酐 450μmol/L",
                "肌酐升至 300",
            ][..],
        ),
        (
            "hyperkalemia",
            &[
                "血钾 6.2",
                "血清钾6.8mmol/L",
                "K+ 6.2",
                "K=6.3",
                "potassium: 6.3",
                "serum K 6.4",
                "钾 6.5mmol/L",
            ],
        ),
        ("hypokalemia", &["血钾 2.9"]),
        (
            "heart failure",
            &["射血分数25%", "左室射血分数 25%", "LVEF: 25%", "LVEF 0.25", "ejection fraction 30%"],
        ),
        ("long qt syndrome", &["QTcF 520", "QTc=530", "corrected QT 530", "QTc间期 520ms", "QT/QTc 400/520"]),
        ("sinus bradycardia", &["HR 38", "心率38次/分", "heart rate 40", "pulse 38"]),
        ("hypotension", &["BP 80/45", "血压 85/50mmHg"]),
        ("uncontrolled hypertension", &["BP 210/120", "收缩压 190", "BP 150/115"]),
        ("thrombocytopenia", &["platelets 12", "血小板 30"]),
    ] {
        for text in texts {
            assert!(says(text, name), "{text}");
        }
    }
    for (text, name) in [
        ("vitamin K 10 mg", "hyperkalemia"),
        ("eGFR 85", "chronic kidney disease"),
        ("肌酐 80", "chronic kidney disease"),
        ("creatinine 0.9", "chronic kidney disease"),
        ("氯化钾 10", "hyperkalemia"),
        ("QT/QTc 520/420", "long qt syndrome"),
        ("HR 72", "sinus bradycardia"),
        ("every 24 hr 20", "sinus bradycardia"),
        ("BP 130/80", "hypotension"),
        ("血小板 240", "thrombocytopenia"),
    ] {
        assert!(!says(text, name), "{text}");
    }
}

#[test]
fn of_several_values_of_a_measure_the_worst_counts() {
    let terminology = Terminology::default();
    let says = |text: &str, name: &str| terminology.understand(Field::Condition, text).broader.contains(name);
    for (name, texts) in [
        (
            "chronic kidney disease stage 4",
            &[
                "eGFR 60 -> 22",
                "eGFR 60→22",
                "eGFR 60 to 22",
                "eGFR 60 => 18",
                "eGFR 60, 22",
                "eGFR 60; 22",
                "eGFR 60; now 22",
                "eGFR 60 (2019), 18 (2024)",
                "eGFR 60 in 2019, 18 today",
                "eGFR 90 last year 18 now",
                "eGFR 60 (3/2019), 22 (11/2024)",
                "eGFR 60 two years ago, currently 22 ml/min",
                "eGFR 60 2 years ago, 22 now",
                "eGFR fell from 60 to 22",
                "eGFR 60 mL/min/1.73m2 -> 22 mL/min/1.73m2",
                "eGFR 22 -> 60",
                "eGFR 60降至22",
                "eGFR 60，目前22",
                "eGFR 60 (Jan), 22 (Nov)",
                "eGFR 75, 60, 45, 22",
            ][..],
        ),
        (
            "chronic kidney disease stage 5",
            &[
                "Cr 1.0, now 5.7",
                "creatinine 1.0 then 6.1",
                "creatinine 0.9 -> 5.6",
                "肌酐 90 升至 600",
                "肌酐90，今600μmol/L",
            ],
        ),
        (
            "hyperkalemia",
            &["K 4.0 -> 6.8", "K 4.1, now 6.8", "血钾4.0升至6.8", "血钾 4.2 mmol/L，复查6.5", "K 6.8 -> 4.2"],
        ),
        (
            "long qt syndrome",
            &["QTc 420 -> 560", "QTc 420, now 560", "QTc 430 ms baseline, 560 ms on admission"],
        ),
        ("heart failure", &["EF 60 -> 20", "LVEF 55% (2020), 25% now"]),
        ("hypotension", &["BP 120/80 -> 70/40", "BP 130/80, now 82/50"]),
        ("sinus bradycardia", &["HR 72 then 38"]),
    ] {
        for text in texts {
            assert!(says(text, name), "{text}");
        }
    }
    for (text, name) in [
        ("EF 60%, 3-vessel CAD", "heart failure"),
        ("EF 65%, 2+ MR", "heart failure"),
        ("LVEF 60%; 3-vessel CAD", "heart failure"),
        ("LVEF 60%, 2 stents", "heart failure"),
        ("eGFR 85, recheck in 3-6 months", "chronic kidney disease"),
        ("eGFR 85, recheck in 3 to 6 months", "chronic kidney disease"),
        ("eGFR 75, down by 10 since 2022", "chronic kidney disease"),
        ("eGFR declining by 5 per year", "chronic kidney disease"),
        ("eGFR 70 on 2 BP meds", "chronic kidney disease"),
        ("eGFR 85, 45 male", "chronic kidney disease"),
        ("platelets 180 after 3 cycles of chemo", "thrombocytopenia"),
        ("K 4.5, 2+ edema", "hypokalemia"),
        ("K 4.2, recheck in 2-3 days", "hypokalemia"),
        ("K 4.2 on 2 L O2", "hypokalemia"),
        ("creatinine 1.0 after 2 L fluids", "chronic kidney disease"),
        ("born at 32 weeks GA", "pregnancy"),
        ("repeat hCG on day 28", "pregnancy"),
        ("hCG 1500 IU twice weekly", "pregnancy"),
        ("septic shock, resolved", "shock"),
        ("postpartum hemorrhage, resolved", "major bleeding"),
        ("hemoptysis", "major bleeding"),
        ("s/p BMT", "immunodeficiency"),
        ("hair transplant", "immunodeficiency"),
        ("eGFR 85, 22 years old", "chronic kidney disease"),
        ("eGFR 85, metformin 500 mg", "chronic kidney disease"),
        ("eGFR 85 (2021)", "chronic kidney disease"),
        ("eGFR 85 on 3/12/2020", "chronic kidney disease"),
        ("eGFR 85, repeat in 3 months", "chronic kidney disease"),
        ("eGFR 85, 12 Nov", "chronic kidney disease"),
        ("K 4.2, Na 140", "hypokalemia"),
        ("K 4.2, 3 days ago", "hypokalemia"),
        ("HR 72, 16, 98%", "sinus bradycardia"),
        ("BP 120/80, 72, 16", "hypotension"),
        ("EF 60, 35 year old", "heart failure"),
    ] {
        assert!(!says(text, name), "{text}");
    }
    let flags = |said: &str| ask(with(json!({"conditions": [said]})), Vec::new()).flags;
    for said in ["eGFR 60 (unwell), 22", "eGFR 85 (dropping like a stone, 22)", "creatinine 0.9 stat 5.6"] {
        assert_eq!(flags(said), [format!("conditions: {said:?} is understood in part")], "{said}");
    }
}

#[test]
fn a_measure_whose_number_is_not_read_is_told() {
    let flags = |said: &str| ask(with(json!({"conditions": [said]})), Vec::new()).flags;
    for said in
        ["QTc interval on ECG was 520", "creatinine bad, likely 4.2", "eGFR 5000", "QTcF borderline (485)"]
    {
        assert_eq!(flags(said), [format!("conditions: {said:?} is understood in part")], "{said}");
    }
    for said in ["eGFR 85", "QTc 420 ms", "HR 72", "LVEF 60%", "creatinine checked", "血小板 240"] {
        assert_eq!(flags(said), Vec::<String>::new(), "{said}");
    }
}

#[test]
fn a_pregnancy_is_found_in_every_notation() {
    let terminology = Terminology::default();
    let says = |text: &str| terminology.understand(Field::Condition, text).broader.contains("pregnancy");
    for text in [
        "8 weeks GA",
        "20 wga",
        "UCG pos",
        "urine hCG pos",
        "serum hCG 2500",
        "βHCG 12000",
        "quantitative hCG 25000",
        "beta hCG elevated",
        "missed period, test +",
        "孕 32 周",
        "孕32W",
        "孕12W",
        "孕32w+2",
        "孕3月",
        "孕5+月",
        "怀孕3个月",
        "孕晚期",
        "孕中期",
        "孕早期",
        "晚孕",
        "中孕",
        "孕足月",
        "临产",
        "胎膜早破",
        "前置胎盘",
        "胎儿窘迫",
        "胎动减少",
        "羊水过少",
        "HCG阳性",
        "尿HCG(+)",
        "血HCG升高",
        "妊娠试验(+)",
        "G2P1 孕32+1周",
        "PPROM",
        "PROM",
        "in labor",
        "in labour",
        "active labor",
        "placental abruption",
        "hCG positive",
        "UPT positive",
        "+UPT",
        "GA 32+1",
        "GA 32w",
        "G1P0",
        "G2P1 at 20 weeks",
        "antenatal",
        "ANC visit",
        "obstetric cholestasis",
        "EDD 2027-03-01",
        "Obstructed labor due to breech presentation",
        "Abnormalities of forces of labor",
        "Placental disorders",
        "Gestational edema",
        "Labor and delivery complicated by fetal stress",
        "Preterm labor with preterm delivery",
        "Intrapartum hemorrhage",
    ] {
        assert!(says(text), "{text}");
    }
    for text in [
        "停经3年",
        "停经3个月",
        "避孕3月",
        "不孕3年",
        "孕3产1",
        "G2P2",
        "G2P1A1",
        "hCG negative",
        "HCG阴性",
        "UPT negative",
        "ANC 400",
        "GA",
        "PROM exercises of the knee",
        "G6PD",
        "history of placental abruption",
    ] {
        assert!(!says(text), "{text}");
    }
}

#[test]
fn a_text_of_no_denial_is_not_denied() {
    let terminology = Terminology::default();
    let says = |text: &str, name: &str| terminology.understand(Field::Condition, text).broader.contains(name);
    assert!(says("heart failure unlikely due to ischemia", "heart failure"));
    assert!(says("heart failure, unlikely to be caused by ischemia", "heart failure"));
    assert!(!says("heart failure unlikely", "heart failure"));
    assert!(!says("PE unlikely to be present", "venous thrombosis"));
    for text in ["MG, AChR neg", "MG (MuSK antibody negative)", "AChR-negative MG"] {
        assert!(says(text, "myasthenia gravis"), "{text}");
    }
}

#[test]
fn what_is_not_understood_in_chinese_is_told_as_in_english() {
    let flags = |said: &str| ask(with(json!({"conditions": [said]})), Vec::new()).flags;
    for said in ["某某综合征", "肾脏不好"] {
        assert_eq!(flags(said), [format!("conditions: {said:?} is not understood")], "{said}");
    }
    for said in ["无哮喘", "否认高血压", "哮喘", "体健", "青霉素过敏", "血钾 4.2"] {
        let told = flags(said);
        assert!(told.iter().all(|flag| !flag.ends_with("is not understood")), "{said}: {told:?}");
    }
}

#[test]
fn a_reaction_in_a_problem_list_is_an_allergy() {
    let drugs = || vec![drug("amoxicillin", json!({"interacts_with": ["gemfibrozil"]}))];
    for said in [
        "青霉素皮试阳性",
        "青霉素皮试(+)",
        "penicillin skin test positive",
        "positive penicillin skin test",
        "T36.0X5A",
        "T360X5A",
        "ICD-10: T36.0X5A",
        "Y40.0",
    ] {
        let answer = ask(with(json!({"conditions": [said]})), drugs());
        assert_eq!(excluded(&answer), [("amoxicillin", format!("allergy: {said}").as_str())], "{said}");
    }
    for said in ["青霉素皮试阴性", "penicillin skin test negative", "T36.0X1A", "T46.4X5A"] {
        assert_eq!(ids(&ask(with(json!({"conditions": [said]})), drugs())), ["amoxicillin"], "{said}");
    }
    // To which drug it was, nobody knows.
    let answer = ask(with(json!({"conditions": ["T88.6XXA"]})), drugs());
    assert!(ids(&answer).is_empty() && answer.abstained.is_some_and(|why| why.contains("T88.6XXA")));
}
