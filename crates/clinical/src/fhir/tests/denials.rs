//! A list is empty only where somebody says so, plainly, and nothing beside it says otherwise: an empty list lets drugs be
//! recommended.

use recommend::{Field, Terminology};

use super::*;

fn nkda(members: Value) -> Value {
    let mut resource = json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/ann"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "409137002"}], "text": "NKDA"}});
    resource.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    resource
}

fn allergies(resource: Value) -> Option<Vec<String>> {
    profile(&settle("transaction", &[ann(), resource]).unwrap()).allergies
}

#[test]
fn a_reaction_or_a_note_beside_a_denial_is_an_allergy_in_words() {
    let sct = |code: &str| json!({"coding": [{"system": "http://snomed.info/sct", "code": code}]});
    for (members, named) in [
        (json!({"note": [{"text": "except penicillin: anaphylaxis 2019"}]}), "penicillin"),
        (json!({"reaction": [{"description": "anaphylaxis after amoxicillin"}]}), "amoxicillin"),
        (json!({"reaction": [{"manifestation": [{"text": "penicillin rash"}]}]}), "penicillin rash"),
        (json!({"reaction": [{"manifestation": [sct("39579001")]}]}), "39579001"),
        (json!({"reaction": [{"note": [{"text": "seen after Zorblax"}]}]}), "Zorblax"),
        (
            json!({"reaction": [{"substance": {"text": "latex"}, "description": "anaphylaxis after amoxicillin"}]}),
            "amoxicillin",
        ),
        (json!({"reaction": [{"description": "Negative drug reaction"}]}), "Negative drug reaction"),
        (json!({"note": [{"text": "NKDA?"}]}), "NKDA?"),
        (json!({"note": [{"text": "Unknown"}]}), "Unknown"),
        (json!({"code": {"text": "No, has drug allergies"}}), "has drug allergies"),
        (json!({"code": {"text": "None, drug allergies"}}), "drug allergies"),
        (json!({"code": {"text": "Keine, Medikamentenallergien"}}), "Medikamentenallergien"),
        (json!({"category": ["food"], "note": [{"text": "penicillin: hives"}]}), "penicillin"),
        (
            json!({"code": {"text": "Not on file"}, "note": [{"text": "wife: penicillin hives"}]}),
            "penicillin",
        ),
        (json!({"code": sct("716186003"), "note": [{"text": "x".repeat(600)}]}), "none known"),
    ] {
        let list = allergies(nkda(members.clone())).unwrap();
        assert!(list.len() == 1 && list[0].contains(named), "{members} {list:?}");
        let meaning = Terminology::shared(&[]).understand(Field::Allergy, &list[0]);
        assert!(!meaning.known, "no drug is recommended before somebody has looked: {list:?}");
    }
    for members in [
        json!({"note": [{"text": "Patient denies any drug allergies.", "time": "2020-01-01", "authorString": "Dr. X"}]}),
        json!({"reaction": [{"description": "none"}, {"description": "N/A"}], "note": []}),
        json!({"reaction": [{"description": "No reactions reported"}]}),
        json!({"reaction": [{"description": "Unknown"}, {"manifestation": [{"text": "UNK"}]}]}),
        json!({"reaction": []}),
    ] {
        assert_eq!(allergies(nkda(members.clone())), Some(Vec::new()), "{members}");
    }
    let problems = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "160245001"}]}, "note": [{"text": "pregnant, week 9"}]});
    let conditions = profile(&settle("transaction", &[ann(), problems]).unwrap()).conditions.unwrap();
    assert!(conditions.len() == 1 && conditions[0].contains("pregnant"), "{conditions:?}");
    // What is named is in the list by its name, whatever is noted of it.
    let named = nkda(json!({"code": {"text": "Penicillin"}, "note": [{"text": "as a child"}]}));
    assert_eq!(allergies(named), Some(vec!["Penicillin".to_owned()]));
}

#[test]
fn a_denial_counts_where_its_statuses_leave_no_doubt() {
    let codes = |code: &str| json!({"coding": [{"code": code}]});
    for (member, status, holds) in [
        ("verificationStatus", codes("confirmed"), true),
        ("verificationStatus", codes("Unconfirmed"), true),
        ("clinicalStatus", codes("active"), true),
        ("clinicalStatus", json!(null), true),
        ("clinicalStatus", json!({"coding": [{"code": "active"}], "text": "Active"}), true),
        ("verificationStatus", json!({"text": "refuted"}), false),
        ("verificationStatus", codes("Entered-in-Error"), false),
        ("verificationStatus", codes("presumed"), false),
        ("clinicalStatus", codes("Resolved"), false),
        ("clinicalStatus", json!({"text": "inactive"}), false),
        ("clinicalStatus", json!({"coding": [{"code": "active"}], "text": "inactive"}), false),
    ] {
        let expected = holds.then(Vec::new);
        assert_eq!(allergies(nkda(json!({member: status}))), expected, "{member} {status}");
        let none = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "160245001"}]}, member: status});
        let conditions = profile(&settle("transaction", &[ann(), none]).unwrap()).conditions;
        assert_eq!(conditions, holds.then(Vec::new), "{member} {status}");
    }
    // An allergy is there until it is surely not.
    for (status, there) in [(json!({"text": "refuted"}), true), (codes("REFUTED "), false)] {
        let said = nkda(json!({"code": {"text": "Penicillin"}, "verificationStatus": status}));
        assert_eq!(allergies(said).is_some(), there, "{status}");
    }
}

#[test]
fn an_entry_is_called_by_what_it_names_and_survives_without_its_codes() {
    let concept = |system: &str, code: &str, display: &str, text: &str| {
        let mut coding = json!({"code": code});
        for (member, value) in [("system", system), ("display", display)] {
            if !value.is_empty() {
                coding[member] = json!(value);
            }
        }
        json!({"coding": [coding], "text": text})
    };
    let sct = "http://snomed.info/sct";
    for (code, penicillin) in [
        (concept(sct, "91936005", "Allergy to penicillin", "NKDA"), true),
        (concept(sct, "91936005", "", "NKDA"), true),
        (concept(sct, "91936005", "NKDA", "No known allergies"), true),
        (
            concept("http://www.nlm.nih.gov/research/umls/rxnorm", "7980", "Penicillin", "Allergies: NKDA"),
            true,
        ),
        (concept(sct, "91936005", "Allergy to penicillin", "Not on file"), true),
        (concept("urn:house", "1", "Zorblax", "NKDA"), false),
    ] {
        let list = allergies(nkda(json!({"code": code}))).unwrap();
        // Somebody who writes the list back has only its words.
        let meaning = Terminology::shared(&[]).understand(Field::Allergy, &list[0]);
        let names = |name: &str| meaning.names.iter().any(|own| own.as_ref() == name);
        assert_eq!((list.len(), names("penicillin")), (1, penicillin), "{code} {list:?}");
        assert!(penicillin || !meaning.known, "{code} {list:?}");
    }
}

#[test]
fn a_condition_ends_at_a_time_that_has_come_or_an_age_that_the_person_has() {
    let conditions = |patient: Value, members: Value| {
        let mut condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
            "code": {"text": "asthma"}});
        condition.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        profile(&settle("transaction", &[patient, condition]).unwrap()).conditions
    };
    let unborn = json!({"resourceType": "Patient", "id": "ann"});
    for (patient, members, there) in [
        (ann(), json!({"abatementString": "ongoing"}), true),
        (ann(), json!({"abatementString": "unknown"}), true),
        (ann(), json!({"abatementString": "2015-03-01"}), false),
        (ann(), json!({"abatementAge": {"value": 120, "unit": "a"}}), true),
        (ann(), json!({"abatementAge": {"value": 30, "unit": "a"}}), false),
        (unborn.clone(), json!({"abatementAge": {"value": 30, "unit": "a"}}), true),
        (ann(), json!({"abatementDateTime": "2015"}), false),
        (ann(), json!({"abatementDateTime": "2015", "clinicalStatus": {"text": "active"}}), true),
        (ann(), json!({"clinicalStatus": {"coding": [{"code": "Resolved"}]}}), false),
    ] {
        assert_eq!(conditions(patient, members.clone()).is_some(), there, "{members}");
    }
    // What was taken for there is taken back once the year of birth is known.
    let ended = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
        "code": {"text": "asthma"}, "abatementAge": {"value": 30, "unit": "a"}});
    let mut known = profile(&settle("transaction", &[unborn, ended.clone()]).unwrap());
    settle("transaction", &[ann(), ended]).unwrap().people[0].apply(&mut known);
    assert_eq!(known.conditions, None);
}

#[test]
fn what_speaks_against_drugs_once_somebody_had_it_stays_when_it_is_resolved() {
    let conditions = |code: Value, members: Value| {
        let mut condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
            "code": code});
        condition.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        profile(&settle("transaction", &[ann(), condition]).unwrap()).conditions.unwrap_or_default()
    };
    let resolved = || json!({"clinicalStatus": {"coding": [{"code": "resolved"}]}});
    let abated = || json!({"abatementDateTime": "2015"});
    for (code, words) in [
        (json!({"text": "Ischemic stroke"}), "Ischemic stroke (resolved)"),
        (json!({"text": "Deep vein thrombosis"}), "Deep vein thrombosis (resolved)"),
        (snomed("59282003", "PE, by scan"), "PE, by scan (resolved)"),
        (json!({"text": "Peptic ulcer"}), "Peptic ulcer (resolved)"),
    ] {
        let aged = json!({"abatementAge": {"value": 30, "unit": "a"}});
        let between = json!({"abatementRange": {"high": {"value": 31, "code": "a"}}});
        for over in [resolved(), abated(), aged, between] {
            assert_eq!(conditions(code.clone(), over), [words]);
        }
        let refuted = json!({"clinicalStatus": {"coding": [{"code": "resolved"}]},
            "verificationStatus": {"coding": [{"code": "refuted"}]}});
        assert_eq!(conditions(code, refuted), [""; 0]);
    }
    let certain = |letter: &str| {
        let url = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit";
        json!({"text": "Peptic ulcer", "coding": [{"system": "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "code": "K27.9",
            "extension": [{"url": url, "valueCoding": {"code": letter}}]}]})
    };
    for (letter, words) in [
        ("G", vec!["Peptic ulcer"]),
        ("V", vec!["Peptic ulcer"]),
        ("Z", vec!["Peptic ulcer (resolved)"]),
        ("A", vec![]),
    ] {
        assert_eq!(conditions(certain(letter), json!({})), words, "{letter}");
    }
    for text in ["asthma", "Normal pregnancy", "DVT in pregnancy", "Viral sinusitis", "GI bleed"] {
        assert_eq!(conditions(json!({"text": text}), resolved()), [""; 0], "{text}");
    }
}

#[test]
fn severity_site_and_stage_are_read_with_the_code() {
    let code = |text: &str| json!({"text": text});
    let names = |members: Value| {
        let mut condition =
            json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"}});
        condition.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let known = profile(&settle("transaction", &[ann(), condition]).unwrap());
        let (words, said) = known.recorded["conditions"].iter().next().unwrap();
        let meaning =
            Terminology::shared(&[]).understand_coded(Field::Condition, words, &said.codes, &said.synonyms);
        meaning.broader.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (members, name) in [
        (
            json!({"code": code("Chronic kidney disease"), "stage": [{"summary": code("Stage 5")}]}),
            "chronic kidney disease stage 5",
        ),
        (
            json!({"code": code("Chronic kidney disease"), "stage": [{"summary": snomed("433146000", "")}]}),
            "chronic kidney disease stage 5",
        ),
        (json!({"code": code("Hypertension"), "severity": code("Severe")}), "uncontrolled hypertension"),
        (json!({"code": snomed("429040005", "Ulcer"), "bodySite": [code("Stomach")]}), "peptic ulcer"),
        (
            json!({"code": code("Ulcer"), "bodySite": [code("Structure of stomach (body structure)")]}),
            "peptic ulcer",
        ),
        (
            json!({"code": code("Hemorrhage"), "bodySite": [code("Gastrointestinal tract")]}),
            "gastrointestinal bleeding",
        ),
        (
            json!({"code": code("Hypertension"), "severity": 7, "stage": {"summary": "x"}, "bodySite": null}),
            "hypertension",
        ),
    ] {
        let names = names(members.clone());
        assert!(names.iter().any(|own| own == name), "{members} {name} {names:?}");
    }
}

/// A code of which nobody says the system is no denial, wherever it comes, and the list does not look empty for it.
#[test]
fn a_code_without_its_system_denies_nothing() {
    let coded = |coding: Value| json!({"coding": [coding]});
    let sct = "http://snomed.info/sct";
    for (code, none) in [
        (coded(json!({"system": sct, "code": "716186003"})), true),
        (coded(json!({"code": "716186003", "display": "No known allergy"})), true),
        (coded(json!({"code": "716186003"})), false),
        (coded(json!({"code": "no-known-allergies"})), false),
        (coded(json!({"system": "http://ehr.example.org/snomed-map", "code": "716186003"})), false),
        (json!({"text": "716186003"}), false),
        (
            json!({"coding": [{"system": "urn:house", "code": "7"}, {"system": "urn:sct-like", "code": "716186003"}]}),
            false,
        ),
    ] {
        let settled = settle("transaction", &[ann(), nkda(json!({"code": code}))]).unwrap();
        let known = profile(&settled);
        let list = known.allergies.unwrap();
        assert_eq!(list.is_empty(), none, "{code}");
        for words in list {
            let recorded = &known.recorded["allergies"][&words];
            let terms = Terminology::shared(&[]);
            let meaning = terms.understand_coded(Field::Allergy, &words, &recorded.codes, &recorded.synonyms);
            assert!(!meaning.known && !terms.understand(Field::Allergy, &words).known, "{code} {words}");
        }
    }
}
