//! Notes over HTTP, black box: good answers of the shipped models, and every way in which a
//! record can be bad.

use crate::support::{Server, copy_model, shipped_models};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

fn server() -> Server {
    Server::start(&shipped_models(), &[])
}

async fn post_raw(server: &Server, query: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = Client::new().post(server.at(&format!("/v1/notes/classify{query}")));
    request.header("content-type", "application/json").body(body).send().await.unwrap()
}

async fn post(server: &Server, body: Value) -> Response {
    post_raw(server, "", body.to_string()).await
}

/// Sends one note to the triage model.
async fn triage(server: &Server, note: &str, fields: Value) -> Response {
    post(server, json!({"model": "triage", "records": [{"note": note, "fields": fields}]})).await
}

/// The answer to one record, after checking what every answer must be.
async fn result(response: Response) -> Value {
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{answer}");
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    check(&results[0]);
    results[0].clone()
}

fn check(result: &Value) {
    let predictions = result["predictions"].as_array().unwrap();
    let probabilities: Vec<f64> = predictions.iter().map(|p| p["probability"].as_f64().unwrap()).collect();
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{result}");
    assert!(probabilities.windows(2).all(|pair| pair[0] >= pair[1]), "{result}");
    assert_eq!(result["abstained"].as_bool().unwrap(), result["label"].is_null(), "{result}");
}

/// Checks for a problem of this status whose errors point exactly to `pointers`.
async fn assert_problem(response: Response, status: u16, pointers: &[&str]) -> Value {
    let got = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_string();
    let body: Value = response.json().await.unwrap();
    assert_eq!((got, kind.as_str()), (status, "application/problem+json"), "{body}");
    let empty = Vec::new();
    let errors = body["errors"].as_array().unwrap_or(&empty);
    let found: Vec<&str> = errors.iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(found, pointers, "{body}");
    body
}

/// What a triage nurse knows of someone who is well, but for the complaint.
fn well() -> Value {
    json!({"age": 30, "sex": "male", "arrival": "walking", "injury": "no", "mental": "alert", "pain": "yes",
           "nrs_pain": 2, "sbp": 120, "dbp": 80, "heart_rate": 72, "respiratory_rate": 16,
           "temperature_c": 36.6, "spo2": 99})
}

fn urgent() -> Value {
    json!({"age": 78, "sex": "male", "arrival": "public ambulance", "injury": "no", "mental": "unresponsive",
           "pain": "no", "sbp": 70, "dbp": 40, "heart_rate": 140, "respiratory_rate": 34, "spo2": 78})
}

/// The mean level of an answer, by its probabilities.
fn level(result: &Value) -> f64 {
    let predictions = result["predictions"].as_array().unwrap();
    predictions
        .iter()
        .map(|p| p["label"].as_str().unwrap().parse::<f64>().unwrap() * p["probability"].as_f64().unwrap())
        .sum()
}

#[tokio::test]
async fn a_note_with_vitals_gets_a_level() {
    let server = server();
    let calm = result(triage(&server, "sore throat", well()).await).await;
    assert_eq!(calm["missing_fields"], json!([]));
    assert_eq!(calm["truncated"], false);
    assert!(calm["tokens"].as_u64().unwrap() >= 1);
    let grave = result(triage(&server, "dyspnea, mental change", urgent()).await).await;
    assert_eq!(grave["missing_fields"], json!(["nrs_pain", "temperature_c"]));
    assert!(level(&grave) + 1.0 < level(&calm), "{grave}\n{calm}");
}

#[tokio::test]
async fn missing_fields_and_unknown_complaints_degrade_and_do_not_break() {
    let server = server();
    let bare = result(triage(&server, "chest pain", Value::Null).await).await;
    assert_eq!(bare["missing_fields"].as_array().unwrap().len(), 13);
    let null = result(triage(&server, "chest pain", json!({"age": null})).await).await;
    assert_eq!(null, bare);
    let absent = post(&server, json!({"model": "triage", "records": [{"note": "chest pain"}]})).await;
    assert_eq!(result(absent).await, bare);
    // A complaint that no training note had: vitals still decide.
    let calm = result(triage(&server, "zxqv wkjh", well()).await).await;
    let grave = result(triage(&server, "zxqv wkjh", urgent()).await).await;
    assert!(level(&grave) < level(&calm));
}

#[tokio::test]
async fn chinese_questions_find_their_department() {
    let server = server();
    let records = json!([
        {"note": "高血压应当怎样治疗？我一直在吃降压药，血压还是高。"},
        {"note": "孩子三岁，发烧咳嗽两天了，需要怎么办？"},
    ]);
    let response = post(&server, json!({"model": "department-zh", "records": records, "top_k": 1})).await;
    let answer: Value = response.json().await.unwrap();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results[0]["label"], "心血管科", "{answer}");
    assert_ne!(results[1]["label"], "心血管科", "{answer}");
    assert!(results.iter().all(|result| result["predictions"].as_array().unwrap().len() == 1));
}

#[tokio::test]
async fn records_of_one_request_are_answered_as_if_alone() {
    let server = server();
    let notes: Vec<String> =
        (0..256).map(|i| format!("pain {} {}", "and cough ".repeat(i % 40), i)).collect();
    let records: Vec<Value> = notes.iter().map(|note| json!({"note": note, "fields": {"age": 40}})).collect();
    let response = post(&server, json!({"model": "triage", "records": records})).await;
    assert_eq!(response.status(), StatusCode::OK);
    let timing = response.headers()["server-timing"].to_str().unwrap().to_string();
    assert!(timing.contains("preprocess;dur=") && timing.contains("inference;dur="), "{timing}");
    let answer: Value = response.json().await.unwrap();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 256);
    for at in [0, 39, 255] {
        check(&results[at]);
        let alone = result(triage(&server, &notes[at], json!({"age": 40})).await).await;
        assert!((level(&alone) - level(&results[at])).abs() < 1e-5);
        assert_eq!(alone["tokens"], results[at]["tokens"]);
    }
}

#[tokio::test]
async fn any_script_and_any_length_is_read() {
    let server = server();
    let notes = [
        "ألم في الصدر منذ يومين",
        "e\u{301}pigastric pa\u{300}i\u{327}n",
        "胸痛 chest pain 😷🤒",
        "\u{202e}niap tsehc",
        "a\u{0}b pain",
        "\u{10ffff}\u{fffd}\u{1f468}\u{200d}\u{1f469}",
    ];
    for note in notes {
        result(triage(&server, note, json!({})).await).await;
    }
    // A megabyte of text is within the limit of a body, and is read as a whole; blanks or none.
    for long in ["abdominal pain ".repeat(70_000), "疼".repeat(350_000), "x".repeat(1 << 20)] {
        let body = json!({"model": "triage", "records": [{"note": long}]}).to_string();
        let answer = result(post_raw(&server, "?truncate=error", body).await).await;
        assert_eq!(answer["truncated"], false, "{answer}");
        assert!(answer["tokens"].as_u64().unwrap() > 10_000, "{}", answer["tokens"]);
    }
}

/// The time of an explanation grows with a note's length, and not with its square.
#[tokio::test]
async fn a_long_note_is_explained_in_good_time() {
    let server = Server::start(&shipped_models(), &[]);
    let body = json!({"model": "triage", "records": [{"note": "chest pain and fever ".repeat(10_000)}]});
    let answer = result(post_raw(&server, "?explain=true", body.to_string()).await).await;
    assert_eq!(answer["evidence"].as_array().unwrap().len() / 1000, 40, "a word each, and the fields");
}

#[tokio::test]
async fn notes_that_are_not_read_whole_are_told_or_refused_by_their_place() {
    // A model that reads sixteen tokens.
    let models = tempfile::tempdir().unwrap();
    let file = copy_model("triage", models.path()).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    manifest["input"]["max_tokens"] = 16.into();
    std::fs::write(file, manifest.to_string()).unwrap();
    let server = Server::start(models.path(), &[]);
    let note = |repeats| json!({"note": "abdominal pain ".repeat(repeats)});
    let body = json!({"records": [note(10_000), note(2), note(20_000)]}).to_string();
    let answer: Value = post_raw(&server, "", body.clone()).await.json().await.unwrap();
    let truncated: Vec<&Value> =
        answer["results"].as_array().unwrap().iter().map(|result| &result["truncated"]).collect();
    assert_eq!(truncated, [true, false, true]);
    let refused = post_raw(&server, "?truncate=error", body).await;
    let problem = assert_problem(refused, 422, &["/records/0/note", "/records/2/note"]).await;
    assert!(problem["errors"][1]["detail"].as_str().unwrap().contains("tokens"), "{problem}");
    let short = json!({"records": [note(2)]}).to_string();
    assert_eq!(post_raw(&server, "?truncate=error", short.clone()).await.status(), StatusCode::OK);
    assert_problem(post_raw(&server, "?truncate=yes", short.clone()).await, 400, &["truncate"]).await;
    let unknown = assert_problem(post_raw(&server, "?shorten=yes", short).await, 400, &["shorten"]).await;
    assert!(unknown["detail"].as_str().unwrap().contains("shorten"), "{unknown}");
}

#[tokio::test]
async fn empty_and_blank_notes_are_refused_by_their_place() {
    let server = server();
    let blanks = ["", " ", "\t\r\n", "\u{3000}\u{200b}", "\u{0}"];
    for blank in blanks {
        assert_problem(triage(&server, blank, json!({})).await, 422, &["/records/0/note"]).await;
    }
    for value in [Value::Null, json!(7), json!(["pain"]), json!({"text": "pain"})] {
        let response = post(&server, json!({"model": "triage", "records": [{"note": value}]})).await;
        assert_problem(response, 422, &["/records/0/note"]).await;
    }
    let response = post(&server, json!({"model": "triage", "records": [{"fields": {}}]})).await;
    assert_problem(response, 422, &["/records/0/note"]).await;
}

#[tokio::test]
async fn fields_that_cannot_be_are_named() {
    let server = server();
    let problem =
        assert_problem(triage(&server, "pain", json!({"spo2": 900})).await, 422, &["/records/0/fields/spo2"])
            .await;
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("not within 0 to 100 %"), "{problem}");
    let cases = [
        (json!({"bmi": 20}), "/records/0/fields/bmi"),
        (json!({"age": "old"}), "/records/0/fields/age"),
        (json!({"age": true}), "/records/0/fields/age"),
        (json!({"age": -1}), "/records/0/fields/age"),
        (json!({"sex": "x"}), "/records/0/fields/sex"),
        (json!({"sex": 1}), "/records/0/fields/sex"),
        (json!({"a/b~c": 1}), "/records/0/fields/a~1b~0c"),
        (json!([1]), "/records/0/fields"),
    ];
    for (fields, pointer) in cases {
        assert_problem(triage(&server, "pain", fields).await, 422, &[pointer]).await;
    }
    // A number that no double can hold is no JSON to this program.
    let body = r#"{"model":"triage","records":[{"note":"pain","fields":{"age":1e999}}]}"#;
    let problem = assert_problem(post_raw(&server, "", body).await, 400, &[]).await;
    assert!(problem["detail"].as_str().unwrap().contains("number out of range"), "{problem}");
}

#[tokio::test]
async fn one_bad_record_refuses_all_and_every_bad_one_is_named() {
    let server = server();
    let records =
        json!([{"note": "pain"}, {"note": ""}, {"note": "pain", "fields": {"spo2": 900}}, {"note": "x"}, 5]);
    let response = post(&server, json!({"model": "triage", "records": records})).await;
    let pointers = ["/records/1/note", "/records/2/fields/spo2", "/records/4"];
    let problem = assert_problem(response, 422, &pointers).await;
    assert!(problem["results"].is_null());
}

#[tokio::test]
async fn the_number_of_records_is_bounded() {
    let server = server();
    for count in [0, 257] {
        let records = vec![json!({"note": "pain"}); count];
        let response = post(&server, json!({"model": "triage", "records": records})).await;
        let problem = assert_problem(response, 422, &["/records"]).await;
        assert!(problem["detail"].as_str().unwrap().contains("1 to 256"), "{problem}");
    }
    let problem = assert_problem(post(&server, json!({"model": "triage"})).await, 422, &[""]).await;
    assert!(
        problem["errors"][0]["detail"].as_str().unwrap().contains("missing field `records`"),
        "{problem}"
    );
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let server = server();
    let bomb = format!(r#"{{"model":"triage","records":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(
        r#"{{"model":"triage","records":[{{"note":{}1{}}}]}}"#,
        r#"{"a":"#.repeat(50_000),
        "}".repeat(50_000)
    );
    let mut invalid = br#"{"model":"triage","records":[{"note":"pain "#.to_vec();
    invalid.extend([0xff, 0xfe, 0xc3]);
    invalid.extend(br#""}]}"#);
    let cases: [(Vec<u8>, u16, &str); 7] = [
        (bomb.into_bytes(), 400, "recursion limit"),
        (deep.into_bytes(), 400, "recursion limit"),
        (invalid, 400, "not UTF-8"),
        (Vec::new(), 400, "EOF"),
        (b"[]".to_vec(), 422, "shape"),
        (b"null".to_vec(), 422, "shape"),
        (b"{".to_vec(), 400, "EOF"),
    ];
    for (body, status, word) in cases {
        let pointers: &[&str] = if status == 422 { &[""] } else { &[] };
        let problem = assert_problem(post_raw(&server, "", body).await, status, pointers).await;
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    let request = Client::new().post(server.at("/v1/notes/classify")).header("content-type", "text/plain");
    assert_eq!(request.body("pain").send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn a_model_that_does_not_fit_is_refused_with_those_that_do() {
    let server = server();
    let records = json!([{"note": "pain"}]);
    let problem = assert_problem(
        post(&server, json!({"model": "pneumonia", "records": records})).await,
        400,
        &["/model"],
    )
    .await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("department-zh, ") && detail.contains(", triage"), "{detail}");
    let problem = assert_problem(post(&server, json!({"records": records})).await, 400, &["/model"]).await;
    assert!(problem["detail"].as_str().unwrap().contains("department-zh, "), "{problem}");
    let problem =
        assert_problem(post(&server, json!({"model": "none", "records": records})).await, 404, &[]).await;
    assert!(problem["detail"].as_str().unwrap().contains("triage"), "{problem}");
    let response = post(&server, json!({"model": "triage", "records": records, "top_k": 0})).await;
    assert_problem(response, 400, &["/top_k"]).await;
    let response = post(&server, json!({"model": "triage", "records": records, "surprise": 1})).await;
    assert_problem(response, 422, &["/surprise"]).await;
}

#[tokio::test]
async fn the_model_says_what_it_reads_and_answers() {
    let server = server();
    let model: Value =
        Client::new().get(server.at("/v1/models/triage")).send().await.unwrap().json().await.unwrap();
    assert_eq!(model["labels"], json!(["1", "2", "3", "4", "5"]));
    assert_eq!(model["label_descriptions"]["1"], "Resuscitation");
    assert_eq!(model["scale"], "KTAS");
    let fields = model["input"]["fields"].as_array().unwrap();
    let spo2 = fields.iter().find(|field| field["name"] == "spo2").unwrap();
    assert_eq!((&spo2["min"], &spo2["max"], &spo2["unit"]), (&json!(0.0), &json!(100.0), &json!("%")));
    let sex = fields.iter().find(|field| field["name"] == "sex").unwrap();
    assert_eq!(sex["values"], json!(["female", "male"]));
    assert!(
        model["metrics"]["val"]["ordinal"]["quadratic_weighted_kappa"].as_f64().unwrap() > 0.6,
        "{model}"
    );
    assert_eq!(model["data"]["licence"], "CC BY 4.0");
}

/// Each a sign that nobody who is well has, in someone who is otherwise well.
#[tokio::test]
async fn a_life_threatening_sign_is_never_answered_as_less_urgent_than_an_emergency() {
    let server = server();
    for (field, value) in [
        ("mental", json!("unresponsive")),
        ("spo2", json!(60)),
        ("sbp", json!(50)),
        ("respiratory_rate", json!(4)),
        ("temperature_c", json!(28)),
        ("heart_rate", json!(20)),
    ] {
        let mut fields = well();
        fields[field] = value.clone();
        for note in ["sore throat", "general weakness", "zxqv wkjh"] {
            let answer = result(triage(&server, note, fields.clone()).await).await;
            assert!(["1", "2"].contains(&answer["label"].as_str().unwrap()), "{field}: {answer}");
            let flags = answer["red_flags"].as_array().unwrap();
            assert!(flags.iter().any(|flag| flag["sign"] == field && flag["value"] == value), "{answer}");
        }
    }
    let mut low = well();
    low["spo2"] = json!(60);
    let flagged = result(triage(&server, "sore throat", low.clone()).await).await;
    let expected = json!([{"sign": "spo2", "value": 60, "rule": "below 90 %", "at_least": "2"}]);
    assert_eq!(flagged["red_flags"], expected);
    // Switched off, the model answers alone, with the same probabilities.
    let body = json!({"model": "triage", "records": [{"note": "sore throat", "fields": low}]});
    let alone = result(post_raw(&server, "?red_flags=false", body.to_string()).await).await;
    assert!(alone.get("red_flags").is_none(), "{alone}");
    assert_eq!(alone["predictions"], flagged["predictions"]);
    match alone["abstained"] == true {
        true => assert_eq!(alone["reason"], "low_confidence"),
        false => assert_eq!(alone["label"], alone["predictions"][0]["label"]),
    }
}

/// Of the models of a scale, without rules: the mean level falls, or stays, on the way out.
#[tokio::test]
async fn a_sign_further_out_of_range_never_makes_an_answer_less_urgent() {
    let server = server();
    let ways: [(&str, &[f64]); 9] = [
        ("respiratory_rate", &[10.0, 8.0, 6.0, 4.0, 2.0]),
        ("respiratory_rate", &[40.0, 50.0, 60.0, 80.0, 100.0]),
        ("spo2", &[94.0, 90.0, 85.0, 75.0, 60.0, 40.0]),
        ("sbp", &[80.0, 70.0, 60.0, 50.0, 30.0]),
        ("sbp", &[180.0, 200.0, 230.0, 280.0]),
        ("heart_rate", &[50.0, 40.0, 30.0, 20.0]),
        ("heart_rate", &[150.0, 170.0, 200.0, 250.0]),
        ("temperature_c", &[35.0, 34.0, 32.0, 28.0]),
        ("temperature_c", &[38.5, 39.5, 41.0, 43.0]),
    ];
    for model in ["triage", "triage-us"] {
        for note in ["chest pain", "cough", "headache"] {
            for (sign, values) in ways {
                let records = values.iter().map(|value| {
                    let mut fields = json!({"age": 61, "sex": "male", "arrival": "other", "heart_rate": 80,
                        "respiratory_rate": 16, "sbp": 125, "dbp": 75, "temperature_c": 36.8, "spo2": 98});
                    fields[sign] = json!(value);
                    json!({"note": note, "fields": fields})
                });
                let body = json!({"model": model, "records": records.collect::<Vec<_>>()});
                let answer = post_raw(&server, "?red_flags=false", body.to_string()).await;
                let answer: Value = answer.json().await.unwrap();
                let levels: Vec<f64> = answer["results"].as_array().unwrap().iter().map(mean_level).collect();
                assert!(
                    levels.windows(2).all(|pair| pair[1] <= pair[0] + 1e-5),
                    "{model}, {note}, {sign} {values:?}: {levels:?}"
                );
            }
        }
    }
}

/// The mean of the levels, 1 the most urgent, by their probabilities.
fn mean_level(result: &Value) -> f64 {
    let of = |one: &Value| {
        one["label"].as_str().unwrap().parse::<f64>().unwrap() * one["probability"].as_f64().unwrap()
    };
    result["predictions"].as_array().unwrap().iter().map(of).sum()
}

#[tokio::test]
async fn an_emergency_in_words_is_flagged_unless_it_is_denied_or_history() {
    let server = server();
    for note in [
        "cardiac arrest, CPR in progress",
        "Anaphylaxis after bee sting, stridor",
        "septic shock, fever, confusion, BP 70/40",
        "opioid overdose, respiratory rate 4, pinpoint pupils",
        "burn 50% of body, inhalation injury, hoarse voice",
        "sudden right sided weakness, slurred speech",
    ] {
        let answer = result(triage(&server, note, Value::Null).await).await;
        assert!(["1", "2"].contains(&answer["label"].as_str().unwrap()), "{note}: {answer}");
        assert!(!answer["red_flags"].as_array().unwrap().is_empty(), "{note}: {answer}");
    }
    for note in
        ["cough, denies chest pain", "dizziness, history of stroke", "knee pain, no loss of consciousness"]
    {
        let answer = result(triage(&server, note, well()).await).await;
        assert_eq!(answer["red_flags"], json!([]), "{note}");
    }
}

#[tokio::test]
async fn a_red_flag_that_is_no_emergency_bounds_an_answer_and_ends_no_abstention() {
    let server = server();
    // Level 3 at the least, and besides something that the model does not know and that may be worse.
    for note in ["zxqv wkjh, sob", "qwxz vbnm plkj, trouble breathing"] {
        let answer = result(triage(&server, note, Value::Null).await).await;
        assert_eq!((&answer["label"], &answer["abstained"]), (&Value::Null, &json!(true)), "{answer}");
        assert_eq!(answer["red_flags"][0]["at_least"], "3", "{answer}");
    }
    let emergency = result(triage(&server, "zxqv wkjh, throat closing", Value::Null).await).await;
    assert_eq!((&emergency["label"], &emergency["abstained"]), (&json!("1"), &json!(false)), "{emergency}");
}

#[tokio::test]
async fn cells_of_a_table_and_answers_of_a_form_are_read_each_for_itself() {
    let server = server();
    for (note, flagged) in [
        ("no fever\tfacial droop", true),
        ("Chest pain\tNo", false),
        ("Chest pain: No\nShortness of breath: No\nFever: Yes", false),
        ("Chest pain: Yes\nTrouble breathing: No\nFever: No", true),
        ("BP (!) 70/40 | Pulse (!) 140 | Temp 98.6 °F (37 °C)", true),
        ("weakness. Systolic blood pressure 128 mmHg. Diastolic blood pressure 62 mmHg.", false),
    ] {
        let answer = result(triage(&server, note, Value::Null).await).await;
        assert_eq!(!answer["red_flags"].as_array().unwrap().is_empty(), flagged, "{note}: {answer}");
    }
}

#[tokio::test]
async fn a_note_unlike_those_of_training_gets_no_label() {
    let server = server();
    for note in [
        "x",
        "qwxz vbnm plkj",
        "lorem ipsum dolor sit amet consectetur",
        "8843 1920 7761",
        "мой дядя самых честных правил",
    ] {
        let answer = result(triage(&server, note, well()).await).await;
        assert_eq!(
            (&answer["label"], &answer["reason"]),
            (&Value::Null, &json!("unlike_training")),
            "{note}"
        );
    }
    let known = result(triage(&server, "abdominal pain", well()).await).await;
    assert!(known["label"].is_string() && known.get("reason").is_none(), "{known}");
}

#[tokio::test]
async fn emergencies_belong_to_no_department_and_traditional_characters_read_as_simplified() {
    let server = server();
    let ask = async |note: &str| {
        result(post(&server, json!({"model": "department-zh", "records": [{"note": note}]})).await).await
    };
    for note in ["喝农药了怎么办", "抑郁想自杀怎么办", "胸口压榨样疼痛放射到左臂，出汗，持续半小时"]
    {
        let answer = ask(note).await;
        assert_eq!(
            (&answer["label"], &answer["reason"]),
            (&Value::Null, &json!("unlike_training")),
            "{answer}"
        );
        assert_eq!(answer["red_flags"][0]["at_least"], Value::Null, "{answer}");
    }
    // No emergency, and none of its six departments either.
    for note in [
        "前列腺炎尿频尿急",
        "狗咬伤要打狂犬疫苗吗",
        "智齿发炎要拔牙吗",
        "月經推遲十天",
        "偏头痛发作恶心呕吐怎么办？",
    ] {
        let answer = ask(note).await;
        let (label, reason, flags) = (&answer["label"], &answer["reason"], &answer["red_flags"]);
        assert_eq!((label, reason, flags), (&Value::Null, &json!("unlike_training"), &json!([])), "{answer}");
    }
    // What is of the six stays so, whatever else the question mentions.
    let both = ask("高血压病人能拔智齿吗？我一直在吃降压药，血压还是高。").await;
    assert_eq!(both["label"], "心血管科", "{both}");
    let simplified = ask("高血压应当怎样治疗？我一直在吃降压药，血压还是高。").await;
    let traditional = ask("高血壓應當怎樣治療？我一直在吃降壓藥，血壓還是高。").await;
    assert_eq!(simplified["label"], "心血管科");
    assert_eq!(simplified["predictions"], traditional["predictions"]);
}

#[tokio::test]
async fn a_vital_further_from_normal_never_lowers_the_urgency() {
    let server = server();
    let sweeps = [
        ("respiratory_rate", vec![18, 20, 22, 26, 34, 60]),
        ("respiratory_rate", vec![12, 10, 8, 6, 4, 0]),
        ("sbp", vec![110, 100, 90, 70, 50, 20]),
        ("sbp", vec![130, 150, 180, 220, 280]),
        ("heart_rate", vec![60, 50, 40, 20, 0]),
        ("heart_rate", vec![90, 110, 140, 180, 250]),
        ("spo2", vec![96, 93, 90, 80, 60, 20]),
        ("temperature_c", vec![38, 39, 40, 42]),
        ("temperature_c", vec![36, 35, 33, 30, 26]),
    ];
    for (field, values) in sweeps {
        let records: Vec<Value> = values
            .iter()
            .map(|value| {
                let mut fields = well();
                fields[field] = json!(value);
                json!({"note": "abdominal pain", "fields": fields})
            })
            .collect();
        let response = post(&server, json!({"model": "triage", "records": records})).await;
        let answer: Value = response.json().await.unwrap();
        let levels: Vec<f64> = answer["results"].as_array().unwrap().iter().map(level).collect();
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1e-5), "{field} {values:?}: {levels:?}");
    }
}

/// The parts of an answer sum to what they explain: the logarithm of the label's probability less the
/// mean of the logarithms over all labels.
#[tokio::test]
async fn evidence_sums_to_the_answer_and_points_at_the_words() {
    let server = server();
    let note = "Schmerz 😷 chest pain, dyspnea";
    let body = json!({"model": "triage", "records": [{"note": note, "fields": urgent()}]}).to_string();
    let result = result(post_raw(&server, "?explain=true&red_flags=false", body).await).await;
    let label = result["label"].as_str().unwrap_or(result["predictions"][0]["label"].as_str().unwrap());
    let predictions = result["predictions"].as_array().unwrap();
    let log = |p: &Value| p["probability"].as_f64().unwrap().ln();
    let mean = predictions.iter().map(log).sum::<f64>() / predictions.len() as f64;
    let expected = log(predictions.iter().find(|p| p["label"] == label).unwrap()) - mean;
    let evidence = result["evidence"].as_array().unwrap();
    let parts: f64 = evidence.iter().map(|part| part["weight"].as_f64().unwrap()).sum();
    let total = parts + result["evidence_base"].as_f64().unwrap();
    assert!((total - expected).abs() < 1e-3, "{total} {expected} {result}");
    let characters: Vec<char> = note.chars().collect();
    let mut words = Vec::new();
    for part in evidence.iter().filter(|part| part["text"].is_string()) {
        let at = |name: &str| part[name].as_u64().unwrap() as usize;
        let told: String = characters[at("start")..at("end")].iter().collect();
        assert_eq!(part["text"], told);
        words.push(told);
    }
    assert_eq!(words, ["Schmerz", "chest", "pain", "dyspnea"]);
    assert!(evidence.iter().any(|part| part["field"] == "sbp"), "{result}");
}

#[tokio::test]
async fn an_answer_has_evidence_only_where_it_was_asked_for() {
    let server = server();
    let plain = result(triage(&server, "chest pain", well()).await).await;
    assert!(plain.get("evidence").is_none() && plain.get("evidence_base").is_none(), "{plain}");
}
