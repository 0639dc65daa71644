//! Names in notes over HTTP, black box: what the shipped models find, where it stands in any script,
//! and every way in which a request can be bad.

use crate::support::{Server, shipped_models};
use reqwest::{Client, Response};
use serde_json::{Value, json};

fn server() -> Server {
    Server::start(&shipped_models(), &[])
}

async fn post(server: &Server, body: Value) -> Response {
    let request = Client::new().post(server.at("/v1/notes/extract"));
    request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
}

/// The results for some notes, each checked for what every answer must be.
async fn extract(server: &Server, model: &str, notes: &[&str]) -> Vec<Value> {
    let records: Vec<Value> = notes.iter().map(|note| json!({"note": note})).collect();
    let response = post(server, json!({"model": model, "records": records})).await;
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), notes.len());
    for (note, result) in notes.iter().zip(&results) {
        check(note, result);
    }
    results
}

/// Every place is one of the note, in code points; names do not overlap; relations name names.
fn check(note: &str, result: &Value) {
    let characters: Vec<char> = note.chars().collect();
    let mut end = 0;
    let mut ids = Vec::new();
    for entity in result["entities"].as_array().unwrap() {
        let at = |name: &str| entity[name].as_u64().unwrap() as usize;
        assert!(end <= at("start") && at("start") < at("end") && at("end") <= characters.len(), "{result}");
        end = at("end");
        let told: String = characters[at("start")..end].iter().collect();
        assert_eq!(entity["text"], told, "{result}");
        let probability = entity["probability"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&probability), "{result}");
        ids.push(entity["id"].clone());
    }
    for relation in result["relations"].as_array().unwrap() {
        assert!(ids.contains(&relation["from"]) && ids.contains(&relation["to"]), "{result}");
    }
}

fn found<'a>(result: &'a Value, text: &str) -> Option<&'a Value> {
    result["entities"].as_array().unwrap().iter().find(|entity| entity["text"] == text)
}

#[tokio::test]
async fn drugs_and_diseases_are_found_where_they_stand() {
    let server = server();
    let note = "Naïve patient 😷: Selegiline-induced postural hypotension in Parkinson's disease.";
    let result = &extract(&server, "biomedical-entities", &[note]).await[0];
    assert_eq!(found(result, "Selegiline").unwrap()["label"], "Chemical", "{result}");
    assert_eq!(found(result, "Selegiline").unwrap()["start"], 17, "{result}");
    assert_eq!(found(result, "postural hypotension").unwrap()["label"], "Disease", "{result}");
    assert_eq!(found(result, "Parkinson's disease").unwrap()["label"], "Disease", "{result}");
    assert_eq!(result["truncated"], false);
    assert!(result["tokens"].as_u64().unwrap() > 10);
}

#[tokio::test]
async fn what_is_denied_or_supposed_is_said() {
    let server = server();
    let notes =
        ["The patient denies hypertension.", "Hypertension since 1999.", "She had possible pneumonia."];
    let results = extract(&server, "biomedical-entities", &notes).await;
    let flags = |result: &Value, text: &str| {
        let entity = found(result, text).unwrap_or_else(|| panic!("{result}"));
        (entity["negated"].as_bool().unwrap(), entity["speculated"].as_bool().unwrap())
    };
    assert_eq!(flags(&results[0], "hypertension"), (true, false));
    assert_eq!(flags(&results[1], "Hypertension"), (false, false));
    assert_eq!(flags(&results[2], "pneumonia"), (false, true));
}

#[tokio::test]
async fn a_drug_is_tied_to_its_effect_and_to_what_it_treats() {
    let server = server();
    let note = "Hepatotoxicity was induced by phenobarbital in a child treated for epilepsy.";
    let result = &extract(&server, "adverse-drug-events", &[note]).await[0];
    let drug = found(result, "phenobarbital").unwrap_or_else(|| panic!("{result}"));
    let effect = found(result, "Hepatotoxicity").unwrap_or_else(|| panic!("{result}"));
    let relations = result["relations"].as_array().unwrap();
    let tied = relations.iter().find(|relation| relation["label"] == "adverse_effect").unwrap();
    assert_eq!((&tied["from"], &tied["to"]), (&drug["id"], &effect["id"]), "{result}");
}

#[tokio::test]
async fn a_denied_effect_is_told_as_denied_and_so_is_its_relation() {
    let server = server();
    let notes = [
        "Amoxicillin caused no nausea or vomiting.",
        "On amoxicillin she denies rash and itching.",
        "Amoxicillin caused a severe rash.",
    ];
    let results = extract(&server, "adverse-drug-events", &notes).await;
    for result in &results[..2] {
        let effects: Vec<&Value> = result["entities"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entity| entity["label"] == "Effect")
            .collect();
        assert!(!effects.is_empty(), "{result}");
        for effect in effects {
            assert_eq!(effect["negated"], true, "{result}");
            let text = effect["text"].as_str().unwrap();
            assert!(!text.starts_with("no ") && !text.starts_with("denies"), "{result}");
        }
        for relation in result["relations"].as_array().unwrap() {
            assert_eq!(relation["negated"], true, "{result}");
        }
    }
    let relations = results[2]["relations"].as_array().unwrap();
    assert!(!relations.is_empty() && relations[0]["negated"] == false, "{}", results[2]);
}

#[tokio::test]
async fn what_is_there_behind_a_denial_is_not_denied() {
    let server = server();
    // Each note with words of it, and whether the names that hold them are denied.
    let rows: &[(&str, &[(&str, bool)])] = &[
        ("Denies fever, reports cough.", &[("fever", true), ("cough", false)]),
        ("Denies fever, c/o cough and rash.", &[("fever", true), ("rash", false)]),
        ("No fever, but cough.", &[("fever", true), ("cough", false)]),
        ("No fever or rash but pruritus persisted.", &[("rash", true), ("pruritus", false)]),
        ("Patient denies chest pain; endorses dyspnea.", &[("chest pain", true), ("dyspnea", false)]),
        ("Fever (-), cough (+), dyspnea (-)", &[("Fever", true), ("cough", false), ("dyspnea", true)]),
        ("+nausea, -vomiting", &[("nausea", false), ("vomiting", true)]),
        ("No fever, rash noted on trunk.", &[("fever", true), ("rash", false)]),
        ("No jaundice, hepatomegaly palpable.", &[("jaundice", true), ("hepatomegaly", false)]),
        ("Denies nausea, vomiting, or diarrhea.", &[("nausea", true), ("diarrhea", true)]),
    ];
    let notes: Vec<&str> = rows.iter().map(|(note, _)| *note).collect();
    for model in ["adverse-drug-events", "biomedical-entities"] {
        let results = extract(&server, model, &notes).await;
        for ((note, words), result) in rows.iter().zip(&results) {
            for (word, negated) in *words {
                let holds = |entity: &&Value| entity["text"].as_str().unwrap().contains(word);
                for entity in result["entities"].as_array().unwrap().iter().filter(holds) {
                    assert_eq!(entity["negated"], *negated, "{model}, {note}: {result}");
                }
            }
        }
        let all: usize = results.iter().map(|result| result["entities"].as_array().unwrap().len()).sum();
        assert!(all > rows.len(), "{model}: {all}");
    }
}

#[tokio::test]
async fn notes_as_people_in_a_hurry_write_them_are_read() {
    let server = server();
    // Each note with its names, and what is told of each: denied, supposed, history.
    type Said = (bool, bool, bool);
    const THERE: Said = (false, false, false);
    const DENIED: Said = (true, false, false);
    const SUPPOSED: Said = (false, true, false);
    const PAST: Said = (false, false, true);
    let rows: &[(&str, &[(&str, Said)])] = &[
        ("Fever - no, cough - yes", &[("Fever", DENIED), ("cough", THERE)]),
        ("Diabetes | No | Hypertension | Yes", &[("Diabetes", DENIED), ("Hypertension", THERE)]),
        ("Fever? No. Rash? Yes.", &[("Fever", DENIED), ("Rash", THERE)]),
        ("[ ] Diabetes [x] Hypertension", &[("Diabetes", DENIED), ("Hypertension", THERE)]),
        ("+ fever, - rash", &[("fever", THERE), ("rash", DENIED)]),
        ("Pertinent negatives: fever, rash", &[("fever", DENIED), ("rash", DENIED)]),
        ("cough w/o seizures", &[("cough", THERE), ("seizures", DENIED)]),
        ("malaria test negative", &[("malaria", DENIED)]),
        ("denies fever. productive cough", &[("fever", DENIED), ("cough", THERE)]),
        ("asthma 2) diabetes", &[("asthma", THERE), ("diabetes", THERE)]),
        ("no fever, severe headache", &[("fever", DENIED), ("headache", THERE)]),
        ("PAST MEDICAL HISTORY\nAsthma", &[("Asthma", PAST)]),
        ("Pneumonia (resolved)", &[("Pneumonia", PAST)]),
        ("Return precautions: fever, vomiting", &[("fever", SUPPOSED), ("vomiting", SUPPOSED)]),
        ("No hypoglycemia on metformin", &[("hypoglycemia", DENIED), ("metformin", THERE)]),
        ("NO DIABETES", &[("DIABETES", DENIED)]),
    ];
    let notes: Vec<&str> = rows.iter().map(|(note, _)| *note).collect();
    for ((note, names), result) in rows.iter().zip(extract(&server, "biomedical-entities", &notes).await) {
        let entities = result["entities"].as_array().unwrap();
        assert_eq!(entities.len(), names.len(), "{note}: {result}");
        for (entity, (name, (negated, speculated, historical))) in entities.iter().zip(*names) {
            let told = entity["text"].as_str().unwrap();
            assert!(told.ends_with(name), "{note}: {result}");
            let said = (&entity["negated"], &entity["speculated"], &entity["historical"]);
            let expected = (&json!(negated), &json!(speculated), &json!(historical));
            assert_eq!(said, expected, "{note}, {name}: {result}");
        }
    }
}

#[tokio::test]
async fn what_did_not_cause_or_only_relieved_is_no_adverse_effect() {
    let server = server();
    let notes = [
        "Amoxicillin did not cause the rash.",
        "No relief of headache with ibuprofen.",
        "Headache not relieved by ibuprofen.",
        "Seizure-free on levetiracetam.",
        "Headache improved with ibuprofen.",
        "Ondansetron prevented vomiting.",
        "Despite warfarin, she had a stroke.",
        "Seizures recurred when levetiracetam was stopped.",
        "Rash unlikely due to amoxicillin.",
        "Did not have angioedema from lisinopril",
    ];
    for (note, result) in notes.iter().zip(extract(&server, "adverse-drug-events", &notes).await) {
        for relation in result["relations"].as_array().unwrap() {
            assert_eq!(relation["negated"], true, "{note}: {result}");
        }
    }
    let note = "The rash was not caused by amoxicillin but by phenytoin.";
    let result = &extract(&server, "adverse-drug-events", &[note]).await[0];
    for (drug, negated) in [("amoxicillin", true), ("phenytoin", false)] {
        let drug = found(result, drug).unwrap_or_else(|| panic!("{result}"));
        let relations = result["relations"].as_array().unwrap();
        let tied = relations.iter().find(|relation| relation["from"] == drug["id"]);
        assert_eq!(tied.unwrap_or_else(|| panic!("{result}"))["negated"], negated, "{result}");
    }
}

#[tokio::test]
async fn a_drug_that_is_stopped_or_forbidden_has_done_what_it_did() {
    let server = server();
    let notes = [
        "She had never had angioedema until she started lisinopril.",
        "Never had anaphylaxis before today when she received penicillin.",
        "He no longer takes warfarin because of intracranial hemorrhage.",
        "Do not give penicillin - anaphylaxis.",
        "Do not give penicillin (anaphylaxis).",
        "No one noticed the rash after amoxicillin until the next day.",
        "Patient is not on warfarin; stopped after hemorrhage.",
    ];
    for (note, result) in notes.iter().zip(extract(&server, "adverse-drug-events", &notes).await) {
        let relations = result["relations"].as_array().unwrap();
        assert!(!relations.is_empty(), "{note}: {result}");
        for relation in relations {
            assert_eq!(relation["negated"], false, "{note}: {result}");
        }
        for entity in result["entities"].as_array().unwrap() {
            assert!(!entity["text"].as_str().unwrap().ends_with(')'), "{note}: {result}");
        }
    }
    let notes = [
        "No rash with amoxicillin.",
        "Tolerated penicillin without anaphylaxis.",
        "No evidence of lisinopril-induced angioedema.",
        "She was never given penicillin and has a rash.",
        "He did not receive amoxicillin but has a rash.",
    ];
    for (note, result) in notes.iter().zip(extract(&server, "adverse-drug-events", &notes).await) {
        for relation in result["relations"].as_array().unwrap() {
            assert_eq!(relation["negated"], true, "{note}: {result}");
        }
    }
}

#[tokio::test]
async fn of_whom_and_when_is_told() {
    let server = server();
    let notes = [
        "Her mother had breast cancer.",
        "Family history:\nFather - hypertension\n\nAssessment: pneumonia.",
        "History of asthma, presents with pneumonia.",
        "Admitted with chest pain.\r\n?Pneumonia 😷, e\u{301}pilepsy in her mother",
    ];
    let results = extract(&server, "biomedical-entities", &notes).await;
    let said = |at: usize, text: &str| {
        let entity = found(&results[at], text).unwrap_or_else(|| panic!("{text}: {}", results[at]));
        (entity["subject"].as_str().unwrap(), entity["historical"].as_bool().unwrap())
    };
    assert_eq!(said(0, "breast cancer"), ("family", false));
    assert_eq!(said(1, "hypertension"), ("family", false));
    assert_eq!(said(1, "pneumonia"), ("patient", false));
    assert_eq!(said(2, "asthma"), ("patient", true));
    assert_eq!(said(2, "pneumonia"), ("patient", false));
    let asked = found(&results[3], "Pneumonia").unwrap_or_else(|| panic!("{}", results[3]));
    assert_eq!((&asked["speculated"], &asked["start"]), (&json!(true), &json!(28)), "{}", results[3]);
}

#[tokio::test]
async fn any_script_any_length_and_any_company_changes_nothing() {
    let server = server();
    let long = "Lithium caused tremor. ".repeat(5000);
    let notes = [
        "ألم في الصدر منذ يومين",
        "胸痛 chest pain 😷🤒 aspirin",
        "\u{202e}niap tsehc",
        "a\u{0}b e\u{301}pilepsy",
        "   ( ( ( ",
        &long,
        "Lithium caused tremor.",
    ];
    let together = extract(&server, "biomedical-entities", &notes).await;
    for at in [0, 1, 6] {
        let alone = extract(&server, "biomedical-entities", &notes[at..at + 1]).await;
        assert_eq!(alone[0], together[at]);
    }
    assert_eq!(together[5]["truncated"], true);
    assert_eq!(together[5]["tokens"], 20_000);
    let first = &together[5]["entities"][0];
    assert_eq!(first["probability"], together[6]["entities"][0]["probability"]);
}

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

#[tokio::test]
async fn what_cannot_be_is_a_problem_that_says_where() {
    let server = server();
    let model = "biomedical-entities";
    let record = json!({"note": "fever"});
    let many = vec![record.clone(); 257];
    let bad = json!([record, {"note": 1}, {"note": "x", "fields": {"age": 3}}, {}, {"note": " "}]);
    let pointers = ["/records/1/note", "/records/2/fields/age", "/records/3/note", "/records/4/note"];
    assert_problem(post(&server, json!({"model": model, "records": bad})).await, 422, &pointers).await;
    assert_problem(post(&server, json!({"model": model, "records": []})).await, 422, &["/records"]).await;
    assert_problem(post(&server, json!({"model": model, "records": many})).await, 422, &["/records"]).await;
    let other = post(&server, json!({"model": "triage", "records": [record]})).await;
    let body = assert_problem(other, 400, &["/model"]).await;
    assert!(body["detail"].as_str().unwrap().contains("biomedical-entities"), "{body}");
    assert_problem(post(&server, json!({"model": "none", "records": [record]})).await, 404, &[]).await;
    let several = post(&server, json!({"records": [record]})).await;
    assert_problem(several, 400, &["/model"]).await;
    let extra = post(&server, json!({"model": model, "records": [record], "top_k": 2})).await;
    assert_eq!(extra.status().as_u16() / 100, 4);
}

#[tokio::test]
async fn a_classifier_does_not_extract_and_an_extractor_does_not_classify() {
    let server = server();
    let body = json!({"model": "biomedical-entities", "records": [{"note": "fever"}]}).to_string();
    let request =
        Client::new().post(server.at("/v1/notes/classify")).header("content-type", "application/json");
    let response = request.body(body).send().await.unwrap();
    let body = assert_problem(response, 400, &["/model"]).await;
    assert!(
        body["detail"].as_str().unwrap().contains("finds names in notes: ask it by POST /v1/notes/extract"),
        "{body}"
    );
}

#[tokio::test]
async fn the_index_and_the_other_protocol_know_the_task() {
    let server = server();
    let model: Value =
        reqwest::get(server.at("/v1/models/adverse-drug-events")).await.unwrap().json().await.unwrap();
    assert_eq!(model["task"], "note-extraction");
    assert_eq!(model["labels"], json!(["Disorder", "Drug", "Effect"]));
    assert!(
        model["metrics"].as_object().unwrap().values().all(|m| m["extraction"]["entities"]["f1"].is_number())
    );
    let body =
        json!({"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["Lithium tremor"]}]});
    let request = Client::new().post(server.at("/v2/models/biomedical-entities/infer"));
    let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    let text = answer["outputs"][0]["data"][0].as_str().unwrap_or_else(|| panic!("{answer}"));
    let result: Value = serde_json::from_str(text).unwrap();
    check("Lithium tremor", &result);
    assert_eq!(result["tokens"], 2);
}
