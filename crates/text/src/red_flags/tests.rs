use serde_json::{Value, json};

use super::*;

fn manifest(ordinal: Value) -> Manifest {
    let numeric = |name: &str, unit: &str| json!({"name": name, "type": "numeric", "min": 0.0, "max": 300.0, "unit": unit, "mean": 1.0, "std": 1.0});
    serde_json::from_value(json!({
        "format": 1, "name": "test", "version": "1", "description": "", "labels": ["1", "2", "3"],
        "ordinal": ordinal,
        "input": {"kind": "record", "max_tokens": 8, "fields": [
            numeric("age", "years"), numeric("spo2", "%"), numeric("sbp", "mmHg"),
            {"name": "mental", "type": "categorical", "values": ["alert", "unresponsive"]}]},
        "architecture": {"kind": "lstm", "vocabulary": 9, "embedding": 2, "hidden": 2, "bidirectional": false,
                         "token_dropout": 0.0, "dropout": 0.0, "recurrent_dropout": 0.0},
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
        "metrics": {}, "weights": {"file": "w", "sha256": "", "parameters": 0},
    }))
    .unwrap()
}

fn rules() -> Value {
    json!({
        "sources": ["a test"],
        "numbers": [
            {"sign": "spo2", "below": 90, "at_least": "2"},
            {"sign": "sbp", "below": 90, "from_age": 10, "at_least": "2"},
            {"sign": "sbp", "below": 70, "from_age": 10, "at_least": "1"},
            {"sign": "sbp", "below": 70, "per_year": 2, "from_age": 1, "below_age": 10, "at_least": "2"},
            {"sign": "burned surface", "above": 19, "at_least": "2"},
        ],
        "choices": [{"sign": "mental", "value": "unresponsive", "at_least": "1"}],
        "readings": [
            {"sign": "sbp", "unit": "mmHg", "from": 30, "to": 300, "names": ["bp", "blood pressure"], "except": ["bp cuff|machine"]},
            {"sign": "spo2", "unit": "%", "bare": true, "from": 30, "to": 100, "names": ["sats"]},
            {"sign": "burned surface", "unit": "%", "names": ["burn*"]},
        ],
        "phrases": [
            {"sign": "heart", "at_least": "2", "phrases": ["chest pain", "crush* ~ pain", "胸痛"]},
            {"sign": "arrest", "at_least": "1", "phrases": ["no pulse", "cardiac arrest"]},
        ],
        "context": {
            "before": ["no", "without", "does not have", "history of", "没有"], "before_list": ["denies"],
            "after": ["ruled out", "years ago"], "until": ["but", "now", "since", "has", "have"],
            "except": ["cardiac arrest course|drill"],
            "past": ["yesterday", "weeks ago"], "past_before": ["target*"],
        },
    })
}

fn flags() -> RedFlags {
    RedFlags::parse(rules().to_string().as_bytes(), &manifest(json!({"scale": "s"}))).unwrap()
}

/// The signs that are flagged, with their levels.
fn found(note: &str, fields: [Option<f64>; 3], mental: FieldValue) -> Vec<(String, String)> {
    let mut values: Vec<FieldValue> =
        fields.iter().map(|value| value.map_or(FieldValue::Missing, FieldValue::Number)).collect();
    values.push(mental);
    let record = Record { note: note.to_string(), fields: values };
    let flags = flags();
    let found = flags.find(&record, &flags.scan(note));
    found.into_iter().map(|flag| (flag.sign, flag.at_least.unwrap())).collect()
}

fn in_note(note: &str) -> Vec<String> {
    found(note, [None; 3], FieldValue::Missing).into_iter().map(|(sign, _)| sign).collect()
}

#[test]
fn a_sign_beyond_its_limit_is_flagged_by_its_most_urgent_rule() {
    let at = |fields| found("cough", fields, FieldValue::Choice(0));
    let pair = |sign: &str, level: &str| vec![(sign.to_string(), level.to_string())];
    assert_eq!(at([None, Some(60.0), None]), pair("spo2", "2"));
    assert_eq!(at([None, Some(90.0), Some(90.0)]), []);
    assert_eq!(at([Some(40.0), None, Some(89.0)]), pair("sbp", "2"));
    assert_eq!(at([Some(40.0), None, Some(50.0)]), pair("sbp", "1"));
    // 70 mmHg and two for every year; an age that is not known is an adult's.
    assert_eq!(at([Some(4.0), None, Some(77.0)]), pair("sbp", "2"));
    assert_eq!(at([Some(4.0), None, Some(79.0)]), []);
    assert_eq!(at([None, None, Some(79.0)]), pair("sbp", "2"));
    assert_eq!(found("cough", [None; 3], FieldValue::Choice(1)), pair("mental", "1"));
}

#[test]
fn a_flag_says_its_value_its_rule_and_the_most_urgent_comes_first() {
    let fields =
        vec![FieldValue::Missing, FieldValue::Number(60.0), FieldValue::Missing, FieldValue::Choice(1)];
    let record = Record { note: String::new(), fields };
    let flags = flags();
    let found = flags.find(&record, &flags.scan("crushing left chest pain"));
    let signs: Vec<&str> = found.iter().map(|flag| flag.sign.as_str()).collect();
    assert_eq!(signs, ["mental", "spo2", "heart"]);
    assert_eq!((found[1].value.clone(), found[1].rule.as_str()), (FlagValue::Number(60.0), "below 90 %"));
    assert_eq!(found[2].value, FlagValue::Text("chest pain".to_string()));
    assert_eq!(flags.floor(&found), Some(0));
    assert_eq!(flags.floor(&[]), None);
}

#[test]
fn what_is_denied_or_history_is_no_flag() {
    for note in [
        "denies chest pain",
        "denies dyspnea, chest pain or fever",
        "no chest pain",
        "cough without chest pain",
        "history of cardiac arrest",
        "cardiac arrest 3 years ago",
        "chest pain ruled out",
        "没有胸痛",
    ] {
        assert_eq!(in_note(note), Vec::<String>::new(), "{note}");
    }
    for note in [
        "chest pain",
        "no fever, chest pain since an hour",
        "denies fever but chest pain",
        "denies fever. chest pain",
        "history of cardiac arrest, now chest pain",
        "denies chest pain yesterday; now chest pain",
        "crushing substernal pain",
        "胸痛两小时",
    ] {
        assert_eq!(in_note(note), ["heart"], "{note}");
    }
    assert_eq!(in_note("no pulse"), ["arrest"]);
}

#[test]
fn numbers_are_read_from_the_note_where_no_field_has_them() {
    assert_eq!(
        found("fever, bp 64/40", [None; 3], FieldValue::Missing),
        [("sbp".to_string(), "1".to_string())]
    );
    assert_eq!(in_note("blood pressure: 85mmhg"), ["sbp"]);
    assert_eq!(in_note("bp 120/80"), Vec::<String>::new());
    assert_eq!(in_note("burn 50% of body"), ["burned surface"]);
    assert_eq!(in_note("30.5 % burns of both legs"), ["burned surface"]);
    assert_eq!(in_note("burn 5%, hand"), Vec::<String>::new());
}

#[test]
fn rules_that_do_not_fit_the_model_are_refused() {
    let refused = |member: &str, rule: Value, why: &str| {
        let mut changed = rules();
        changed[member] = rule;
        let error =
            RedFlags::parse(changed.to_string().as_bytes(), &manifest(json!({"scale": "s"}))).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    };
    refused("sources", json!([]), "sources");
    refused("colour", json!([]), "colour");
    refused(
        "numbers",
        json!([{"sign": "pulse", "below": 1, "at_least": "2"}]),
        "\"pulse\" is no numeric field",
    );
    refused("numbers", json!([{"sign": "spo2", "at_least": "2"}]), "one of below and above");
    refused("numbers", json!([{"sign": "spo2", "below": 1, "at_least": "9"}]), "\"9\" is no level");
    refused("choices", json!([{"sign": "mental", "value": "x", "at_least": "1"}]), "the value \"x\"");
    refused("phrases", json!([{"sign": "a", "at_least": "1", "phrases": ["Chest"]}]), "\"Chest\"");
    refused("phrases", json!([{"sign": "a", "phrases": ["chest"]}]), "at_least is absent");
    let eased = |field: &str, level: &str| {
        let by = json!({"sign": field, "value": "alert", "at_least": level});
        let eased = json!({"by": by, "from_age": 16, "notes": ["chest"]});
        json!([{"sign": "a", "at_least": "1", "phrases": ["chest"], "eased": eased}])
    };
    refused("phrases", eased("mind", "2"), "no field \"mind\"");
    refused("phrases", eased("mental", "9"), "\"9\" is no level");
    refused("emergency_from", json!("9"), "\"9\" is no level");
    let nominal = RedFlags::parse(rules().to_string().as_bytes(), &manifest(Value::Null)).unwrap_err();
    assert!(nominal.contains("no level"), "{nominal}");
}

#[test]
fn any_other_word_uses_up_a_denial_or_history_and_an_answer_is_of_what_stands_before_it() {
    let mut changed = rules();
    changed["context"]["before"] = json!([]);
    changed["context"]["denials"] = json!(["no", "without"]);
    changed["context"]["history"] = json!(["history of"]);
    changed["context"]["history_until"] = json!(["this morning"]);
    changed["context"]["between"] = json!(["acute", "left"]);
    changed["emergency_from"] = json!("1");
    let flags = RedFlags::parse(changed.to_string().as_bytes(), &manifest(json!({"scale": "s"}))).unwrap();
    assert!(flags.is_emergency(0) && !flags.is_emergency(1));
    for (note, flagged) in [
        ("no acute chest pain", false),
        ("no fever or chest pain", false),
        ("no n/v/chest pain", false),
        ("no cardiac arrest and chest pain", false),
        ("history of left chest pain", false),
        ("no fall chest pain", true),
        ("no food or drink chest pain", true),
        ("no fever (chest pain)", true),
        ("no fever | chest pain", true),
        ("history of htn chest pain", true),
        ("history of chest pain this morning", true),
        ("chest pain: no", false),
        ("chest pain: no cough: yes", false),
        ("cough: no chest pain: yes", true),
        ("chest pain? no.", false),
        ("chest pain - none", false),
        ("[ ] chest pain [x] cough", false),
        ("[x] chest pain [ ] cough", true),
        ("chest pain [ ] cough [x]", false),
        ("chest pain: no relief of it", true),
    ] {
        let record = Record { note: note.to_string(), fields: vec![FieldValue::Missing; 4] };
        assert_eq!(!flags.find(&record, &flags.scan(note)).is_empty(), flagged, "{note}");
    }
}

#[test]
fn what_belongs_elsewhere_is_told_unless_the_note_is_about_a_label_too() {
    let mut changed = rules();
    changed["elsewhere"] = json!([{"to": "neurology", "phrases": ["偏头痛", "migraine"]}]);
    changed["own"] = json!(["血压", "stomach"]);
    let flags = RedFlags::parse(changed.to_string().as_bytes(), &manifest(json!({"scale": "s"}))).unwrap();
    for (text, elsewhere) in [
        ("偏头痛发作恶心呕吐怎么办？", true),
        ("高血压会引起偏头痛吗？", false),
        ("没有高血压。偏头痛怎么办？", false),
        ("没有偏头痛，恶心", false),
        ("migraine since monday", true),
        ("migraine. stomach pain", false),
        ("恶心呕吐", false),
        ("???", true),
        ("1234", true),
        ("", false),
        (" ", false),
    ] {
        assert_eq!(flags.is_elsewhere(&flags.scan(text)), elsewhere, "{text}");
    }
}

#[test]
fn the_worse_of_the_field_and_the_note_is_flagged_and_the_flag_says_which() {
    let flags = flags();
    let rule_of = |note: &str, sbp: f64| {
        let fields =
            vec![FieldValue::Missing, FieldValue::Missing, FieldValue::Number(sbp), FieldValue::Missing];
        let found = flags.find(&Record { note: note.to_string(), fields }, &flags.scan(note));
        found.into_iter().map(|flag| (flag.value, flag.rule, flag.at_least.unwrap())).collect::<Vec<_>>()
    };
    let one = |value: f64, rule: &str, level: &str| {
        vec![(FlagValue::Number(value), rule.to_string(), level.to_string())]
    };
    assert_eq!(
        rule_of("bp 64/40", 120.0),
        one(64.0, "below 70 mmHg from 10 years, as written in the note", "1")
    );
    assert_eq!(rule_of("bp 120/80", 64.0), one(64.0, "below 70 mmHg from 10 years", "1"));
    assert_eq!(rule_of("bp 84/40", 64.0), one(64.0, "below 70 mmHg from 10 years", "1"));
    assert_eq!(rule_of("bp 64/40 yesterday", 120.0), []);
    assert_eq!(rule_of("bp 130/80", 120.0), []);
}

#[test]
fn a_number_that_is_past_aimed_at_or_of_another_thing_is_no_reading() {
    for note in [
        "bp was 60/30 yesterday",
        "bp 60/30 two weeks ago, dizzy",
        "yesterday bp 60/30",
        "target sats 85 - 88 %",
        "targets: sats 85",
        "bp cuff 60 cm",
        "bp cuff 60",
        "bp machine 45",
        "bp 35 years",
        "sats 40 minutes",
        "sats one hundred percent",
    ] {
        assert_eq!(in_note(note), Vec::<String>::new(), "{note}");
    }
    for (note, sign) in [
        ("bp 60/30 since yesterday", "sbp"),
        ("bp 120/80 yesterday, now 60/30", "sbp"),
        ("yesterday 120/80 now bp 60/30", "sbp"),
        ("bp cuff 60/30", "sbp"),
        ("target sats 92, now 78%", "spo2"),
        ("target sats 92 now 78", "spo2"),
        ("sats 97 yesterday, today 80", "spo2"),
        ("sats on 15 l mask 78", "spo2"),
        ("sats seventy percent", "spo2"),
        ("sats seventy-two", "spo2"),
        ("sats in the seventies", "spo2"),
        ("blood pressure sixty over thirty", "sbp"),
    ] {
        assert_eq!(in_note(note), [sign], "{note}");
    }
    assert_eq!(in_note("blood pressure one hundred and ten over seventy"), Vec::<String>::new());
    assert_eq!(in_note("bp one ten over seventy"), Vec::<String>::new());
    assert_eq!(in_note("bp one sixty over ninety"), Vec::<String>::new());
}

#[test]
fn a_denial_reaches_over_a_list_that_ends_with_or_and_no_further() {
    for note in [
        "no fever, chest pain or cough",
        "no fever, cough, or chest pain",
        "no nausea, vomiting, chest pain or cough, ear wax",
        "does not have chest pain",
        "cardiac arrest course tomorrow",
        "crushing finger, no pain",
    ] {
        assert_eq!(in_note(note), Vec::<String>::new(), "{note}");
    }
    for note in [
        "no fever, chest pain",
        "no fever, chest pain or pressure since an hour",
        "no fever but cough, chest pain or pressure",
        "no known allergies to any kind of medicine, chest pain or heartburn",
        "has chest pain",
    ] {
        assert_eq!(in_note(note), ["heart"], "{note}");
    }
}

#[test]
fn a_rule_of_sets_holds_where_each_is_said_in_any_order_and_none_is_denied() {
    let mut changed = rules();
    changed["sets"] = json!({"skin": ["hives", "lip swelling"], "breath": ["wheez*", "trouble breathing"], "pregnant": ["pregnan*"]});
    changed["phrases"]
        .as_array_mut()
        .unwrap()
        .push(json!({"sign": "allergy", "at_least": "1", "all": ["skin", "breath"]}));
    let numbers = changed["numbers"].as_array_mut().unwrap();
    numbers.push(json!({"sign": "sbp", "above": 159, "with": "pregnant", "at_least": "2"}));
    let manifest = manifest(json!({"scale": "s"}));
    let flags = RedFlags::parse(changed.to_string().as_bytes(), &manifest).unwrap();
    let found = |note: &str| {
        let record = Record { note: note.to_string(), fields: vec![FieldValue::Missing; 4] };
        let found = flags.find(&record, &flags.scan(note));
        found.into_iter().map(|flag| (flag.sign, flag.value)).collect::<Vec<_>>()
    };
    let allergy = |words: &str| vec![("allergy".to_string(), FlagValue::Text(words.to_string()))];
    assert_eq!(found("lip swelling and trouble breathing"), allergy("lip swelling + trouble breathing"));
    assert_eq!(found("wheezing. hives since noon"), allergy("hives + wheezing"));
    assert_eq!(found("hives, no trouble breathing"), []);
    assert_eq!(found("no hives, wheezing"), []);
    assert_eq!(found("pregnant, bp 170/110"), vec![("sbp".to_string(), FlagValue::Number(170.0))]);
    assert_eq!(found("without pregnancy. bp 170/110"), []);
    assert_eq!(found("bp 170/110"), []);
    changed["phrases"][0]["all"] = json!(["nothing"]);
    let error = RedFlags::parse(changed.to_string().as_bytes(), &manifest).unwrap_err();
    assert!(error.contains("no set is named \"nothing\""), "{error}");
}

#[test]
fn a_unit_that_is_written_decides_and_a_number_at_another_signs_name_is_not_taken() {
    let mut changed = rules();
    let units = json!([{"written": ["mg / dl"], "from": 25, "divided_by": 18}, {"written": ["mmol"], "divided_by": 1}]);
    let readings = changed["readings"].as_array_mut().unwrap();
    readings.push(json!({"sign": "sugar", "unit": "mmol/L", "names": ["sugar"], "units": units}));
    readings.push(json!({"sign": "pulse", "unit": "/min", "names": ["pulse"]}));
    let numbers = changed["numbers"].as_array_mut().unwrap();
    numbers.push(json!({"sign": "sugar", "below": 3, "at_least": "2"}));
    numbers.push(json!({"sign": "sugar", "above": 29.9, "at_least": "2"}));
    let flags = RedFlags::parse(changed.to_string().as_bytes(), &manifest(json!({"scale": "s"}))).unwrap();
    for (note, flagged) in [
        ("sugar 20 mg/dl", Some(("sugar", 1.1))),
        ("sugar (mg/dl): 20", Some(("sugar", 1.1))),
        ("sugar 20-24 (mg/dl)", Some(("sugar", 1.1))),
        ("sugar 33 h mmol/l", Some(("sugar", 33.0))),
        ("sugar 33", Some(("sugar", 1.8))),
        ("sugar 20", None),
        ("sugar 120 mg/dl", None),
        ("sugar 28 mmol/l", None),
        ("bp fine pulse 60", None),
        ("sats fine pulse 60", None),
        ("bp fine, 60% better", None),
        ("bp fine 60", Some(("sbp", 60.0))),
        ("bp 62 pulse 60", Some(("sbp", 62.0))),
        ("bp 62 hr 160", Some(("sbp", 62.0))),
    ] {
        let record = Record { note: note.to_string(), fields: vec![FieldValue::Missing; 4] };
        let found = flags.find(&record, &flags.scan(note));
        let found: Vec<_> = found.iter().map(|flag| (flag.sign.as_str(), flag.value.clone())).collect();
        let flagged: Vec<_> =
            flagged.into_iter().map(|(sign, value)| (sign, FlagValue::Number(value))).collect();
        assert_eq!(found, flagged, "{note}");
    }
}
