//! Rules about conditions over HTTP: a stage or a bound holds for what is worse, however a list says it, and what is not
//! understood is told.

use serde_json::{Value, json};

use crate::recommendations::{clinic, empty, get, ids, put};

/// What is said of the drug `metformin` of the clinic to somebody with this profile, where it has these rules.
async fn judged(rules: Value, profile: Value) -> Value {
    let server = empty();
    clinic(&server).await;
    let item = json!({"kind": "drug", "name": "metformin", "contraindications": rules});
    put(&server, "/v1/items/metformin", item).await;
    let mut whole = json!({"allergies": [], "medications": [], "conditions": [], "sex": "female",
                           "birth_year": 1986, "pregnant": false});
    whole.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    put(&server, "/v1/users/cid", json!({"profile": whole})).await;
    get(&server, "/v1/users/cid/recommendations?kind=drug").await
}

#[tokio::test]
async fn a_rule_about_a_stage_or_a_bound_holds_for_what_is_worse() {
    for (rule, said) in [
        ("severe renal impairment", "ESRD"),
        ("eGFR < 30", "CKD V not on HD"),
        ("CrCl < 30 mL/min", "acute renal failure"),
        ("CKD stage 3", "肌酐清除率 20"),
        ("QTc > 450 ms", "QTc 485"),
        ("serum creatinine > 1.5", "肌酐 450"),
        ("first degree AV block", "complete heart block"),
    ] {
        let answer = judged(json!({"conditions": [rule]}), json!({"conditions": [said]})).await;
        let reason = format!("condition: {said}");
        assert_eq!(answer["excluded"], json!([{"item_id": "metformin", "reason": reason}]), "{rule}");
        assert_eq!(ids(&answer, "items"), ["amoxicillin", "statin"], "{rule}");
    }
    let answer = judged(json!({"conditions": ["eGFR < 30"]}), json!({"conditions": ["eGFR 62"]})).await;
    assert_eq!(answer["excluded"], json!([]));
}

#[tokio::test]
async fn usual_words_of_a_record_count_or_are_told() {
    for said in ["孕 32 周", "胎膜早破", "HCG(+)", "G1P0", "in labor"] {
        let answer = judged(json!({"pregnancy": true}), json!({"conditions": [said]})).await;
        assert_eq!(answer["excluded"], json!([{"item_id": "metformin", "reason": "pregnancy"}]), "{said}");
    }
    let rules = json!({"conditions": ["asthma"]});
    let answer = judged(rules.clone(), json!({"conditions": ["某某综合征"]})).await;
    assert_eq!(answer["flags"], json!(["conditions: \"某某综合征\" is not understood"]));
    let answer = judged(rules.clone(), json!({"conditions": ["creatinine bad, likely 4.2"]})).await;
    assert_eq!(answer["flags"], json!(["conditions: \"creatinine bad, likely 4.2\" is understood in part"]));
    for said in ["青霉素皮试阳性", "T36.0X5A"] {
        let answer = judged(rules.clone(), json!({"conditions": [said]})).await;
        let excluded = answer["excluded"].as_array().unwrap();
        let reason = json!({"item_id": "amoxicillin", "reason": format!("allergy: {said}")});
        assert!(excluded.contains(&reason), "{answer}");
    }
}
