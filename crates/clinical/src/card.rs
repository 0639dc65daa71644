//! A model card as data: the 31 source attributes that a predictive decision support intervention has to
//! show in the United States (HTI-1 final rule, 45 CFR 170.315(b)(11)(iv)(B)), filled from the model's
//! manifest. What the manifest does not say is said to be unknown: an attribute is never guessed, since
//! whoever reads it decides by it.

use serde_json::{Map, Value, json};

/// The 31 attributes: their place in the rule, their name here, and what is asked.
pub const ATTRIBUTES: [(&str, &str, &str); 31] = [
    ("1.i", "developer", "Name and contact information for the intervention developer"),
    ("1.ii", "funding", "Funding source of the technical implementation"),
    ("1.iii", "output", "The value that the intervention produces as output"),
    (
        "1.iv",
        "output_kind",
        "Whether the output is a prediction, classification, recommendation, evaluation, analysis or other",
    ),
    ("2.i", "intended_use", "Intended use"),
    ("2.ii", "intended_population", "Intended patient population"),
    ("2.iii", "intended_users", "Intended users"),
    (
        "2.iv",
        "decision_role",
        "Intended decision-making role: to inform, augment or replace clinical management",
    ),
    ("3.i", "out_of_scope", "Tasks, situations or populations to which it should not be applied"),
    (
        "3.ii",
        "risks_and_limitations",
        "Known risks, inappropriate settings, inappropriate uses or known limitations",
    ),
    ("4.i", "training_criteria", "Exclusion and inclusion criteria that influenced the training data"),
    (
        "4.ii",
        "sensitive_inputs",
        "Use of race, ethnicity, language, sexual orientation, gender identity, sex, date of birth, social determinants and health status as inputs",
    ),
    ("4.iii", "training_demographics", "Demographic representativeness of the training data"),
    ("4.iv", "training_relevance", "Relevance of the training data to the intended deployed setting"),
    ("5.i", "fairness_approach", "Approach taken to make the output fair"),
    ("5.ii", "bias_approach", "Approaches to manage, reduce or eliminate bias"),
    ("6.i", "external_data", "Data source, clinical setting or environment of external validation"),
    ("6.ii", "external_party", "Party that conducted the external testing"),
    ("6.iii", "external_demographics", "Demographic representativeness of the external data"),
    ("6.iv", "external_process", "The external validation process"),
    ("7.i", "validity_internal", "Validity in test data from the same source as the training data"),
    ("7.ii", "fairness_internal", "Fairness in test data from the same source as the training data"),
    ("7.iii", "validity_external", "Validity in data from another source"),
    ("7.iv", "fairness_external", "Fairness in data from another source"),
    ("7.v", "outcome_evaluations", "References to evaluations of the intervention's use on outcomes"),
    ("8.i", "validity_monitoring", "Process and frequency of monitoring validity over time"),
    ("8.ii", "validity_local", "Validity in local data"),
    ("8.iii", "fairness_monitoring", "Process and frequency of monitoring fairness over time"),
    ("8.iv", "fairness_local", "Fairness in local data"),
    ("9.i", "update_process", "Process and frequency of updates"),
    ("9.ii", "correction_frequency", "Frequency of correction where risks to validity or fairness are found"),
];

/// Names of inputs that tell of what the rule calls by name.
const SENSITIVE: [&str; 13] = [
    "age",
    "sex",
    "gender",
    "race",
    "ethnicity",
    "language",
    "birth_year",
    "birth_date",
    "insurance",
    "income",
    "mental",
    "disability",
    "residence",
];

/// The card of a model. `manifest` is its manifest as JSON, `task` the name of its task.
pub fn card(manifest: &Value, task: &str) -> Value {
    let known = known(manifest, task);
    let attributes: Vec<Value> = ATTRIBUTES
        .iter()
        .map(|(place, name, question)| {
            let value = known.get(*name).cloned();
            let mut attribute = json!({
                "attribute": name,
                "rule": format!("45 CFR 170.315(b)(11)(iv)(B)({})", place.replace('.', ")(")),
                "question": question,
                "known": value.is_some(),
                "value": value,
            });
            if attribute["known"] == json!(false) {
                attribute["note"] = json!("unknown: the model's package does not say");
            }
            attribute
        })
        .collect();
    let count = known.len();
    json!({
        "name": manifest.get("name"),
        "version": manifest.get("version"),
        "description": manifest.get("description"),
        "medical_device": false,
        "source_attributes": attributes,
        "known": count,
        "unknown": ATTRIBUTES.len() - count,
    })
}

fn known(manifest: &Value, task: &str) -> Map<String, Value> {
    let text =
        |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut known = Map::new();
    let mut say = |name: &str, value: Value| drop(known.insert(name.to_owned(), value));
    say("output", output(manifest, task));
    say(
        "output_kind",
        json!(match task {
            "image-classification" | "note-classification" => "classification",
            "recommendation" => "recommendation",
            _ => "other",
        }),
    );
    if let Some(description) = text("/description") {
        say("intended_use", json!(description));
    }
    say("decision_role", json!("informs: no answer is a diagnosis, and none is acted upon without a person"));
    say(
        "out_of_scope",
        json!(
            "diagnosis, or any decision without a person who answers for it; data of another kind or from elsewhere than named under the training data, on which it was not measured"
        ),
    );
    let limitations = json!({
        "not_a_medical_device": true,
        "elsewhere": "on data from elsewhere it may be wrong more often, and with confidence",
        "unlike_training": match manifest.get("likeness") {
            Some(likeness) => likeness.clone(),
            None => json!("an input unlike the training data is not told from others"),
        },
        "abstained": metrics(manifest, "abstained"),
    });
    say("risks_and_limitations", limitations);
    if let Some(Value::Array(fields)) = manifest.pointer("/input/fields") {
        let names = fields.iter().filter_map(|field| field.get("name")?.as_str());
        let (used, other): (Vec<&str>, Vec<&str>) = names.partition(|name| SENSITIVE.contains(name));
        say(
            "sensitive_inputs",
            json!({
                "used": used,
                "other_inputs": other,
                "note": "a note may itself speak of any of them",
            }),
        );
    } else if task == "image-generation" {
        say(
            "sensitive_inputs",
            json!({"used": [], "other_inputs": ["the label"], "note": "no image of anybody is read"}),
        );
    } else if manifest.pointer("/input/height").is_some() {
        say(
            "sensitive_inputs",
            json!({"used": [], "other_inputs": ["the image"], "note": "an image may itself show some of them"}),
        );
    }
    if let Some(source) = text("/data/source") {
        say(
            "training_relevance",
            json!({
                "name": text("/data/name"),
                "source": source,
                "licence": text("/data/licence"),
                "examples": manifest.pointer("/data/examples"),
                "note": "whether that is like the place where it is used, the place has to judge",
            }),
        );
    }
    // Only what was held back from training says how valid it is.
    let held_back: Map<String, Value> = manifest
        .pointer("/outputs/metrics")
        .or_else(|| manifest.get("metrics"))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(split, _)| !split.starts_with("train"))
        .map(|(split, metrics)| (split.clone(), metrics.clone()))
        .collect();
    if !held_back.is_empty() {
        say("validity_internal", Value::Object(held_back));
    }
    known
}

/// What a model of this task answers with.
fn output(manifest: &Value, task: &str) -> Value {
    let labels = || manifest.get("labels").cloned().unwrap_or_default();
    let mut output = match (task, manifest.pointer("/outputs/kind").and_then(Value::as_str)) {
        ("text-embedding", _) => {
            json!({"vectors": "one a text, of length 1; the product of two says how alike the texts are used"})
        }
        ("image-generation", _) => {
            json!({"pictures": "made, of nobody, and marked so", "labels": labels()})
        }
        ("image-segmentation", _) => json!({
            "mask": "a label for each pixel, from calibrated probabilities",
            "labels": labels(),
            "objects": "outlines, where the model tells objects apart",
        }),
        ("note-extraction", _) => json!({
            "names": "stretches of the note, each with the probability that it is one, and whether it is denied",
            "labels": labels(),
        }),
        ("recommendation", _) => json!({"items": "ranked; a score is no probability"}),
        (_, Some("number")) => json!({
            "number": manifest.pointer("/labels/0"),
            "unit": manifest.pointer("/outputs/unit"),
            "interval": manifest.pointer("/outputs/interval"),
        }),
        (_, kind) => json!({
            "labels": labels(),
            "probabilities": match kind {
                Some("binary") => "calibrated, from 0 to 1, each label by itself",
                _ => "calibrated, from 0 to 1, adding up to 1",
            },
            "abstains_below": manifest.get("abstain_below"),
        }),
    };
    if let Some(meanings) = manifest.get("label_descriptions") {
        output["label_descriptions"] = meanings.clone();
    }
    if let Some(scale) = manifest.pointer("/ordinal/scale").and_then(Value::as_str) {
        output["scale"] = json!(scale);
    }
    output
}

/// One figure by split.
fn metrics(manifest: &Value, figure: &str) -> Value {
    let splits = manifest.get("metrics").and_then(Value::as_object).into_iter().flatten();
    splits
        .filter_map(|(split, metrics)| Some((split.clone(), metrics.get(figure)?.clone())))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_attributes_are_there_and_what_is_unknown_is_said_to_be() {
        let manifest = json!({
            "name": "m", "version": "1", "description": "What a film shows.", "labels": ["a", "b"],
            "input": {"kind": "record", "fields": [{"name": "age"}, {"name": "sbp"}]},
            "data": {"name": "films", "source": "one hospital", "licence": "CC0"},
            "metrics": {"train": {"accuracy": 1.0}, "val": {"accuracy": 0.5, "abstained": 0.1}},
        });
        let card = card(&manifest, "note-classification");
        let attributes = card["source_attributes"].as_array().unwrap();
        assert_eq!(attributes.len(), 31);
        let of = |name: &str| attributes.iter().find(|one| one["attribute"] == name).unwrap();
        assert_eq!(of("validity_internal")["value"], json!({"val": {"accuracy": 0.5, "abstained": 0.1}}));
        assert_eq!(of("sensitive_inputs")["value"]["used"], json!(["age"]));
        let unknown = of("funding");
        assert_eq!((&unknown["known"], &unknown["value"]), (&json!(false), &Value::Null));
        assert!(unknown["note"].as_str().unwrap().starts_with("unknown"));
        let count = attributes.iter().filter(|one| one["known"] == true).count();
        assert_eq!(card["known"], json!(count));
    }

    #[test]
    fn only_a_classifier_answers_with_probabilities_of_labels() {
        let manifest = json!({"labels": ["a"], "input": {"kind": "image", "height": 64}});
        let output = |task: &str| known(&manifest, task)["output"].clone();
        assert!(output("image-classification")["probabilities"].is_string());
        for task in
            ["image-generation", "image-segmentation", "note-extraction", "text-embedding", "recommendation"]
        {
            assert_eq!(output(task).get("probabilities"), None, "{task}");
        }
        assert_eq!(
            known(&manifest, "image-generation")["sensitive_inputs"]["other_inputs"],
            json!(["the label"])
        );
    }
}
