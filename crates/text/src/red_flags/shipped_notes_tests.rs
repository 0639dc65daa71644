//! The shipped rules over a table of everyday notes and of emergencies (`shipped_notes.tsv`), over what only looks
//! like a denial, and over notes beside fields.

use super::shipped_tests::{alone, shipped};
use super::*;

const TABLE: &str = include_str!("shipped_notes.tsv");

#[test]
fn emergencies_are_flagged_and_everyday_notes_are_not() {
    let packages = ["triage", "department-zh"].map(|model| (model, shipped(model)));
    let mut wrong = Vec::new();
    let (mut emergencies, mut everyday) = (0, 0);
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let [model, expected, note] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (_, rules) = packages.iter().find(|(name, _)| *name == model).unwrap();
        let flags = alone(rules, note);
        let right = match expected {
            "-" => flags.is_empty(),
            "flag" => !flags.is_empty(),
            level => rules.0.floor(&flags).is_some_and(|floor| rules.1.labels[floor].as_str() <= level),
        };
        *(if expected == "-" { &mut everyday } else { &mut emergencies }) += 1;
        if !right {
            wrong.push(format!("{line}: {flags:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(emergencies >= 150 && everyday >= 150, "{emergencies} {everyday}");
}

#[test]
fn a_denied_word_says_nothing_of_an_emergency_behind_a_comma_or_a_dash() {
    let rules = shipped("triage");
    let denied =
        ["denies fall", "mother denies fever", "denies any injury", "denies etoh", "no fever", "no trauma"];
    let between = [", ", ", pt with ", ", + ", " - ", " -- ", "/ ", "; ", ". ", " but "];
    let present =
        ["facial droop", "seizing", "vomiting blood", "chest pain", "unresponsive", "suicidal", "bp 60/30"];
    let notes = denied.iter().flat_map(|denied| between.map(|between| format!("{denied}{between}")));
    let notes = notes.flat_map(|start| present.map(|present| format!("{start}{present}")));
    let silent: Vec<String> = notes.filter(|note| alone(&rules, note).is_empty()).collect();
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn what_one_line_says_takes_nothing_back_in_another() {
    let before = [
        "PMH: HTN",
        "PMH: none",
        "Denies fever",
        "No fever",
        "No LOC",
        "Allergies: none",
        "h/o stroke",
        "Prior MI",
        "Pain: no",
        "Fever? No",
        "Fever - no",
        "Fever (-)",
        "Family history: stroke",
        "既往史：高血压",
        "过敏史：无",
        "否认药物过敏",
        "发热：无",
    ];
    let present = [
        "slurred speech",
        "seizing now",
        "vomiting blood",
        "suicidal",
        "anaphylaxis",
        "unresponsive",
        "BP 70/40",
        "Suicidal ideation? Yes",
        "昏迷",
        "呕血",
    ];
    for model in ["triage", "department-zh"] {
        let rules = shipped(model);
        let present = if model == "triage" { &present[..8] } else { &present[8..] };
        let both = |before: &str, now: &str| {
            [format!("{before}\n{now}"), format!("{now}\r\n{before}"), format!("{before}\n\n- {now}")]
        };
        let notes = before.iter().flat_map(|before| present.iter().flat_map(move |now| both(before, now)));
        let silent: Vec<String> = notes.filter(|note| alone(&rules, note).is_empty()).collect();
        assert_eq!(silent, Vec::<String>::new(), "{model}");
    }
    let rules = shipped("triage");
    for note in [
        "Chest pain: ☐Yes ☒No",
        "Suicidal: [ ] Yes [x] No",
        "Chest pain? No\nFever? Yes",
        "Denies chest pain,\nsyncope",
        "GCS\n6 stitches removed",
    ] {
        assert!(alone(&rules, note).is_empty(), "{note}: {:?}", alone(&rules, note));
    }
    assert!(!alone(&rules, "Fever: ☐Yes ☒No\nSeizure: ☒Yes ☐No").is_empty());
}

#[test]
fn what_no_denies_is_not_the_state_of_the_patient() {
    let rules = shipped("triage");
    let absent = [
        "helmet",
        "seat belt",
        "seatbelt",
        "airbag",
        "obvious cause",
        "sleep",
        "appetite",
        "food",
        "warning",
        "energy",
    ];
    let present = ["unresponsive", "vomiting blood", "seizing", "suicidal", "chest pain"];
    let notes = absent.iter().flat_map(|absent| present.map(|present| format!("no {absent} {present}")));
    let silent: Vec<String> = notes.filter(|note| alone(&rules, note).is_empty()).collect();
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn everyday_words_of_not_deny_no_emergency_in_chinese() {
    // Each begins with or holds 无, 没, 未, 不 or another word that denies where it stands alone.
    const WORDS: &str = "无力 浑身无力 四肢无力 没力气 没有力气 没劲 没精神 没有精神 无精打采 没胃口 没有胃口 没食欲 没有食欲 \
        没吃饭 没吃东西 没有吃饭 没喝水 没睡觉 没睡好 没休息 没看住 没看好 没注意 没留意 没留神 没戴头盔 没系安全带 没人看 \
        没人照顾 没大人看 没站稳 没踩稳 没拿稳 没抓住 没拉住 没办法 没钱看病 无奈 无意中 无意间 无缘无故 无缘由 无故 无诱因 \
        无明显诱因 无明显诱因下 没有明显诱因 无明显原因 没有原因 没预兆 毫无预兆 没有征兆 无先兆 无业 无助 没尿 没大便 没小便 未婚 \
        未进食 未吃早饭 未按时吃药 未服药 未治疗 未经治疗 未愈 未成年 未戴头盔 未系安全带 没用药 没打针 没去医院 没多久 没一会 \
        没过多久 没想到 没控制好 没治疗 没好转 没有好转 没缓解 没效果 没有效果 无效 没用 没停药 没退烧 没有退烧 没上班 没上学 \
        没出门 没什么力 没开窗 没煮熟 没洗 没发烧 没有发烧 没咳嗽 未见好转 不停 不断 不小心 不慎 不知道怎么 不久 不舒服 不吃饭 \
        不明原因 不到一小时 不能走路 不能动 站不稳 吃不下 以前高血压 以前糖尿病 既往糖尿病 既往高血压 曾经糖尿病 \
        既往体健 没关好门 没带药 无人照看";
    let rules = shipped("department-zh");
    let present = ["昏迷", "呕血", "吐血", "大出血", "呼吸困难", "误食老鼠药", "晕倒了", "咯血", "休克"];
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    assert!(words.len() >= 100, "{}", words.len());
    let notes = words.iter().flat_map(|word| {
        ["", "，"]
            .into_iter()
            .flat_map(move |between| present.map(|present| format!("{word}{between}{present}")))
    });
    let silent: Vec<String> = notes.filter(|note| alone(&rules, note).is_empty()).collect();
    assert_eq!(silent, Vec::<String>::new());
    let denied = ["没有", "没", "无", "未出现", "不", "从来没有", "否认", "以前有过", "得过", "没有明显"];
    let notes =
        denied.iter().flat_map(|denied| ["昏迷", "呕血", "抽搐"].map(|absent| format!("{denied}{absent}")));
    let flagged: Vec<String> = notes.filter(|note| !alone(&rules, note).is_empty()).collect();
    assert_eq!(flagged, Vec::<String>::new());
}

#[test]
fn everyday_words_are_no_slips_of_an_emergency() {
    let rules = shipped("triage");
    for note in [
        "stubbed toe",
        "scabbed knee",
        "sizing cast",
        "hands shook",
        "stoked fire",
        "snaked drain",
        "rejected graft",
    ] {
        assert_eq!(alone(&rules, note), [], "{note}");
    }
}

#[test]
fn vitals_are_judged_by_the_age_that_the_note_says_where_no_field_has_one() {
    let rules = shipped("triage");
    let Input::Record(input) = &rules.1.input else { unreachable!() };
    let flagged = |note: &str, age: Option<f64>| {
        let value = |field: &Field| match age {
            Some(age) if field.name == "age" => FieldValue::Number(age),
            _ => FieldValue::Missing,
        };
        let record = Record { note: note.to_string(), fields: input.fields.iter().map(value).collect() };
        rules.0.floor(&rules.0.find(&record, &rules.0.scan(&note.to_lowercase()))).is_some()
    };
    for note in
        ["8 mo old HR 150 RR 40", "3 day old HR 150", "6mo old HR 155", "3 day old bp 64/40", "8 m/o HR 150"]
    {
        assert!(!flagged(note, None), "{note}");
    }
    for note in [
        "8 mo old HR 170",
        "70 yo HR 150",
        "HR 150",
        "3 day old bp 50/30",
        "2 yo HR 175",
        "6 week-old, temp 38.2",
    ] {
        assert!(flagged(note, None), "{note}");
    }
    // The field is right, whatever age the note holds; fever is an emergency below three months alone.
    assert!(!flagged("HR 150", Some(0.5)) && flagged("HR 150, here with 6 mo old", Some(40.0)));
    assert!(flagged("fever", Some(0.1)) && flagged("fever", Some(0.0)) && !flagged("fever", Some(1.0)));
    assert!(!flagged("fever", None) && !flagged("2 week old wound, temp 38.2", None));
}

#[test]
fn a_seizure_alone_after_which_an_adult_is_alert_is_urgent_and_any_other_an_emergency() {
    let rules = shipped("triage");
    let Input::Record(input) = &rules.1.input else { unreachable!() };
    let place = |name: &str| input.fields.iter().position(|field| field.name == name).unwrap();
    let FieldKind::Categorical { values } = &input.fields[place("mental")].kind else { unreachable!() };
    let floor = |note: &str, age: Option<f64>, mental: &str| {
        let mut fields = vec![FieldValue::Missing; input.fields.len()];
        fields[place("age")] = age.map_or(FieldValue::Missing, FieldValue::Number);
        if let Some(value) = values.iter().position(|value| value == mental) {
            fields[place("mental")] = FieldValue::Choice(value);
        }
        let record = Record { note: note.to_string(), fields };
        rules.0.floor(&rules.0.find(&record, &rules.0.scan(note)))
    };
    let adult = Some(40.0);
    for note in ["seizure", "post seizure", "convulsion", "seizure like activity", "sezure like motion"] {
        assert_eq!(floor(note, adult, "alert"), Some(2), "{note}");
        assert_eq!(floor(note, adult, "verbal response"), Some(1), "{note}");
        assert_eq!(floor(note, adult, "not said"), Some(1), "{note}");
        assert_eq!(floor(note, Some(3.0), "alert"), Some(1), "{note}");
        assert_eq!(floor(note, None, "alert"), Some(1), "{note}");
    }
    assert_eq!(floor("still seizing", adult, "alert"), Some(0));
    for note in [
        "post ictal, seizure",
        "34 weeks pregnant. seizure at home",
        "seizure, confused",
        "seizure x3 today",
        "sz x3",
        "two tonic clonic seizures",
        "seizure after head injury",
        "head injury. seizure",
        "seizure, alcohol withdrawal",
        "seizure, not back to baseline",
        "seizure with right arm weakness",
        "grand mal at home",
    ] {
        assert_eq!(floor(note, adult, "alert"), Some(1), "{note}");
    }
}
