//! Classifications of images and notes as FHIR has them. Nothing in them may read as an answer where the model abstains, nor as
//! the model's where a rule gave the label; and of an image it is said whose it is.

use serde_json::{Value, json};

use super::{Collection, Maker};
use crate::dicom::{Moment, Named};

/// One classification.
#[derive(Debug, Clone)]
pub struct Classified<'a> {
    /// The label answered; none for an abstention.
    pub label: Option<&'a str>,
    /// What the label means, where its name does not say it.
    pub meaning: Option<&'a str>,
    /// Why there is no label.
    pub reason: Option<String>,
    /// Labels and their probabilities, highest first.
    pub predictions: Vec<(&'a str, f32)>,
    /// Rules that held beside the model, in words.
    pub rules: Vec<String>,
    /// Whether such a rule, and not the model, gave the label: then the model's probability is not that of the answer.
    pub raised: bool,
    /// Which image it is of and whose, as its DICOM file names them.
    pub image: Option<Named>,
}

/// A probability as a number that keeps the seven digits that it has and no more.
fn number(probability: f32) -> Value {
    json!((f64::from(probability) * 1e7).round() / 1e7)
}

fn probability_quantity(probability: f32) -> Value {
    json!({"value": number(probability), "unit": "probability", "system": "http://unitsofmeasure.org", "code": "1"})
}

/// Classifications of images or notes: an Observation and a DiagnosticReport each, and a RiskAssessment
/// where the labels are steps of a scale.
pub fn classifications(
    maker: &Maker<'_>,
    what: &str,
    scale: Option<&str>,
    results: &[Classified<'_>],
) -> Value {
    let mut bundle = Collection::new(maker, "Software: a model that classifies");
    for (index, result) in results.iter().enumerate() {
        let code = json!({"text": format!("{what} classified by {}", maker.name)});
        let mut observation = json!({
            "resourceType": "Observation",
            "status": "preliminary",
            "category": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": if what == "image" { "imaging" } else { "survey" },
            }]}],
            "code": code,
            "issued": maker.time,
            "device": bundle.device(),
        });
        let image = result.image.clone().unwrap_or_default();
        // When what is said held: of an image when that was taken. When the answer was given is another time.
        let taken = image.taken.as_ref().map(Moment::fhir);
        if let Some(taken) = &taken {
            observation["effectiveDateTime"] = json!(taken);
        }
        let components = components(result);
        if !components.is_empty() {
            observation["component"] = json!(components);
        }
        match result.label {
            Some(label) => {
                let text = result.meaning.map_or(label.to_owned(), |meaning| format!("{label}: {meaning}"));
                observation["valueCodeableConcept"] = json!({"coding": [{"code": label}], "text": text});
            }
            None => {
                observation["dataAbsentReason"] = absent("unknown", &abstention(result));
            }
        }
        if !result.rules.is_empty() {
            observation["note"] = result.rules.iter().map(|rule| json!({"text": rule})).collect();
        }
        let named = |kind: &str, uid: &Option<String>| {
            let identifier = uid.as_ref().map(|uid| format!("urn:oid:{uid}"))?;
            Some(json!({"type": kind, "identifier": {"system": "urn:dicom:uid", "value": identifier}}))
        };
        // A study has many images: which it was of, only the image's own UID says.
        let study = named("ImagingStudy", &image.study);
        let mut media = named("Media", &image.instance);
        let frame = image.frame_in_words();
        if let (Some(media), Some(frame)) = (&mut media, &frame) {
            media["display"] = json!(frame);
        }
        let from: Vec<Value> = study.clone().into_iter().chain(media).collect();
        if !from.is_empty() {
            observation["derivedFrom"] = json!(from);
        }
        let subject = subject(&image);
        if let Some(subject) = &subject {
            observation["subject"] = subject.clone();
        }
        let observation = bundle.add(observation);
        let mut report = json!({
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": code,
            "issued": maker.time,
            "result": [{"reference": observation}],
            "conclusion": frame.map_or_else(String::new, |frame| format!("{frame}: ")) + &conclusion(result),
        });
        if let Some(taken) = taken {
            report["effectiveDateTime"] = json!(taken);
        }
        if let Some(subject) = subject {
            report["subject"] = subject;
        }
        if let Some(study) = study {
            report["imagingStudy"] = json!([study]);
        }
        bundle.add(report);
        // Who abstains has assessed nothing.
        if let (Some(scale), Some(label)) = (scale, result.label) {
            let risk = risk(&bundle, scale, index, (label, result), &observation);
            bundle.add(risk);
        }
    }
    bundle.finish()
}

/// Why a value is not there.
fn absent(code: &str, text: &str) -> Value {
    let system = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
    json!({"coding": [{"system": system, "code": code}], "text": text})
}

fn abstention(result: &Classified<'_>) -> String {
    match &result.reason {
        Some(reason) => format!("the model abstains: {reason}"),
        None => "the model abstains".to_owned(),
    }
}

/// The labels with their probabilities. A number beside an abstention would be read as an answer, and one beside a label that
/// a rule gave as how sure the answer is.
fn components(result: &Classified<'_>) -> Vec<Value> {
    let Some(answered) = result.label else { return Vec::new() };
    let component = |(label, probability): &(&str, f32)| match result.raised && *label == answered {
        true => {
            json!({"code": {"text": label}, "dataAbsentReason": absent("not-applicable", "a rule gave this label")})
        }
        false => json!({"code": {"text": label}, "valueQuantity": probability_quantity(*probability)}),
    };
    result.predictions.iter().map(component).collect()
}

/// The answer as a reader gets it who reads nothing else, with the rules that held.
fn conclusion(result: &Classified<'_>) -> String {
    let rules: String = result.rules.iter().map(|rule| format!("; {rule}")).collect();
    let probability = |label| result.predictions.iter().find(|(name, _)| *name == label);
    match result.label {
        Some(label) if result.raised => {
            format!(
                "{label}, by a rule and not by the model{rules}; preliminary, to be looked at by a person"
            )
        }
        Some(label) => {
            let probability =
                probability(label).map_or(String::new(), |(_, p)| format!(" (probability {p:.3})"));
            format!("{label}{probability}{rules}; preliminary, to be looked at by a person")
        }
        None => format!("no answer: {}{rules}", abstention(result)),
    }
}

/// Whose the image is.
fn subject(image: &Named) -> Option<Value> {
    let patient = match image.patient.as_ref()? {
        Ok(patient) => patient,
        Err(error) => {
            let display = format!("the patient of the image, who is not known: {error}");
            return Some(json!({"type": "Patient", "display": display}));
        }
    };
    let kind = json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]});
    let mut identifier = json!({"type": kind, "value": patient.id});
    if !patient.issuer.is_empty() {
        identifier["assigner"] = json!({"display": patient.issuer});
    }
    Some(json!({"type": "Patient", "identifier": identifier}))
}

fn risk(
    bundle: &Collection<'_>,
    scale: &str,
    index: usize,
    (answered, result): (&str, &Classified<'_>),
    basis: &str,
) -> Value {
    let step = |label: &str| json!({"text": format!("{scale} {label}")});
    let predictions: Vec<Value> = match result.raised {
        true => vec![json!({"outcome": step(answered), "rationale": result.rules.join("; ")})],
        false => result
            .predictions
            .iter()
            .map(|(label, probability)| {
                json!({"outcome": step(label), "probabilityDecimal": number(*probability)})
            })
            .collect(),
    };
    let by = if result.raised { " by a rule and not by the model" } else { "" };
    let mut notes = vec![json!({"text": format!("answered: {scale} {answered}{by}")})];
    notes.extend(result.rules.iter().map(|rule| json!({"text": rule})));
    if !result.raised {
        notes.push(json!({"text": "probabilities are fractions of 1"}));
    }
    json!({
        "resourceType": "RiskAssessment",
        "status": "preliminary",
        "code": {"text": format!("urgency on the scale {scale}")},
        // The request names no person.
        "subject": {"type": "Patient", "display": format!("the person of record {index} of the request")},
        "occurrenceDateTime": bundle.maker.time,
        "performer": bundle.device(),
        "basis": [{"reference": basis}],
        "prediction": predictions,
        "note": notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Patient;

    const MAKER: Maker<'static> =
        Maker { name: "triage", version: "1", time: "2026-03-01T09:30:00Z", seed: "0f" };

    fn resource(bundle: &Value, kind: &str) -> Value {
        let mut entries = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
        entries.find(|own| own["resourceType"] == kind).cloned().unwrap_or_default()
    }

    fn answer() -> Classified<'static> {
        Classified {
            label: Some("2"),
            meaning: None,
            reason: None,
            predictions: vec![("2", 0.9), ("1", 0.06), ("3", 0.04)],
            rules: Vec::new(),
            raised: false,
            image: None,
        }
    }

    #[test]
    fn an_abstention_has_no_number_and_no_assessment_of_risk() {
        let unsure = Classified { label: None, reason: Some("it is unlike".into()), ..answer() };
        let bundle = classifications(&MAKER, "note", Some("KTAS"), &[unsure]);
        let text = bundle.to_string();
        assert!(!text.contains("valueQuantity") && !text.contains("probability"), "{text}");
        assert_eq!(resource(&bundle, "RiskAssessment"), Value::Null);
        assert_eq!(resource(&bundle, "Observation")["component"], Value::Null);
        let conclusion = &resource(&bundle, "DiagnosticReport")["conclusion"];
        assert_eq!(*conclusion, "no answer: the model abstains: it is unlike");
    }

    #[test]
    fn a_label_that_a_rule_gave_comes_with_the_rule_and_without_the_model_s_probability() {
        let rules = vec!["red flag: sbp: below 90".to_string()];
        let ruled = Classified { label: Some("1"), rules: rules.clone(), raised: true, ..answer() };
        let bundle = classifications(&MAKER, "note", Some("KTAS"), &[ruled]);
        let (report, risk) = (resource(&bundle, "DiagnosticReport"), resource(&bundle, "RiskAssessment"));
        let conclusion = report["conclusion"].as_str().unwrap();
        assert!(conclusion.contains(&rules[0]) && !conclusion.contains("probability"), "{conclusion}");
        assert!(!bundle.to_string().contains("0.06") && risk.get("mitigation").is_none(), "{risk}");
        assert_eq!(risk["prediction"], json!([{"outcome": {"text": "KTAS 1"}, "rationale": rules[0]}]));
        assert!(risk["note"].to_string().contains("answered: KTAS 1 by a rule"), "{risk}");
        // A rule that holds and changes nothing is named, and the answer is the model's.
        let held = Classified { rules, ..answer() };
        let bundle = classifications(&MAKER, "note", Some("KTAS"), &[held]);
        let conclusion = resource(&bundle, "DiagnosticReport")["conclusion"].as_str().unwrap().to_string();
        assert!(conclusion.starts_with("2 (probability 0.900); red flag: sbp"), "{conclusion}");
        let risk = resource(&bundle, "RiskAssessment");
        assert_eq!(risk["prediction"].as_array().unwrap().len(), 3);
        assert_eq!(risk["note"][0]["text"], "answered: KTAS 2");
    }

    #[test]
    fn an_answer_says_whose_image_it_is_of_and_which() {
        let patient = Patient { id: "MRN-1".into(), issuer: "HOSP-A".into() };
        let image = Named {
            study: Some("1.2.3".into()),
            instance: Some("1.2.3.4".into()),
            patient: Some(Ok(patient)),
            ..Named::default()
        };
        let bundle = classifications(&MAKER, "image", None, &[Classified { image: Some(image), ..answer() }]);
        for kind in ["Observation", "DiagnosticReport"] {
            let identifier = resource(&bundle, kind)["subject"]["identifier"].clone();
            assert_eq!(
                (&identifier["value"], &identifier["assigner"]["display"]),
                (&json!("MRN-1"), &json!("HOSP-A"))
            );
        }
        let from = resource(&bundle, "Observation")["derivedFrom"].clone();
        assert_eq!(from[0]["identifier"]["value"], "urn:oid:1.2.3");
        assert_eq!(
            (&from[1]["type"], &from[1]["identifier"]["value"]),
            (&json!("Media"), &json!("urn:oid:1.2.3.4"))
        );
        // When it was taken is not known, and when it was answered is another time.
        for kind in ["Observation", "DiagnosticReport"] {
            let resource = resource(&bundle, kind);
            assert_eq!((resource.get("effectiveDateTime"), &resource["issued"]), (None, &json!(MAKER.time)));
        }
        let frame = Named::read(|tag| match tag {
            crate::dicom::tags::FRAMES => Some(b"10 ".to_vec()),
            crate::dicom::tags::STUDY_DATE => Some(b"20190304".to_vec()),
            crate::dicom::tags::SOP_INSTANCE => Some(b"1.2.3.4".to_vec()),
            _ => None,
        });
        let image = Some(frame.of_frame(2));
        let bundle = classifications(&MAKER, "image", None, &[Classified { image, ..answer() }]);
        let (observation, report) = (resource(&bundle, "Observation"), resource(&bundle, "DiagnosticReport"));
        assert_eq!(observation["derivedFrom"][0]["display"], "frame 2 of 10");
        assert!(
            report["conclusion"].as_str().unwrap().starts_with("frame 2 of 10: 2 (probability"),
            "{report}"
        );
        assert!([observation, report].iter().all(|own| own["effectiveDateTime"] == "2019-03-04"));
        let two = Named::read(|tag| (tag == crate::dicom::tags::PATIENT_ID).then(|| b"p1\\p2".to_vec()));
        let bundle = classifications(&MAKER, "image", None, &[Classified { image: Some(two), ..answer() }]);
        let subject = resource(&bundle, "Observation")["subject"].clone();
        assert!(subject["display"].as_str().unwrap().contains("has a backslash"), "{subject}");
        assert!(subject.get("identifier").is_none());
    }
}
