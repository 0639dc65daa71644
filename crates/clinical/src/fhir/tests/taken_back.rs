//! Nothing that was said of a person goes unless the very same resource says so, and a name without a server is not that of
//! another server's.

use super::*;

fn at(server: &str, mut resource: Value) -> Value {
    let name = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    let url = format!("https://{server}.example/fhir/{name}");
    resource["meta"] = Value::Null;
    json!({"fullUrl": url, "resource": resource, "request": {"method": "PUT", "url": name}})
}

fn added(uuid: u32, mut resource: Value) -> Value {
    resource.as_object_mut().unwrap().remove("id");
    json!({"fullUrl": format!("urn:uuid:{uuid}"), "request": {"method": "POST", "url": resource["resourceType"]},
        "resource": resource})
}

fn taken(all: &[Value]) -> Settled {
    map(&entries("transaction", all), NOW).settle(&Found::default()).unwrap()
}

fn apply(known: &mut Profile, all: &[Value]) -> Vec<String> {
    let settled = taken(&[&[asks(ann(), "PUT", "Patient/ann")], all].concat());
    settled.people[0].apply(known);
    settled.outcomes.into_iter().flat_map(|outcome| outcome.notes).map(|(_, note)| note).collect()
}

fn order(status: &str, members: Value) -> Value {
    let mut order = json!({"resourceType": "MedicationRequest", "id": "m", "status": status, "intent": "order",
        "subject": {"reference": "Patient/ann"}});
    order.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    order
}

#[test]
fn what_is_added_without_an_id_takes_nothing_back_but_a_denial() {
    let condition = |status: &str| {
        json!({"resourceType": "Condition", "subject": {"reference": "Patient/ann"}, "code": {"text": "Pregnancy"},
            "clinicalStatus": {"coding": [{"code": status}]}})
    };
    let warfarin = json!({"medicationCodeableConcept": {"text": "warfarin"}});
    let nameless = |status: &str| {
        json!({"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/ann"},
            "clinicalStatus": {"coding": [{"code": status}]}})
    };
    let penicillin = |status: &str| allergy("a", json!({"text": "Penicillin"}), status);
    let mut known = Profile::default();
    let first = [
        added(1, condition("active")),
        added(2, order("active", warfarin.clone())),
        added(3, order("active", json!({}))),
        added(4, penicillin("confirmed")),
        added(5, nameless("active")),
    ];
    apply(&mut known, &first);
    let before = known.clone();
    let lists = [&before.conditions, &before.medications, &before.allergies];
    assert_eq!(lists.map(|list| list.as_ref().map(Vec::len)), [Some(1), Some(2), Some(2)]);
    // Sent again it is the same, whatever the names within the Bundle are.
    let again: Vec<Value> = first
        .iter()
        .enumerate()
        .map(|(at, entry)| added(70 + u32::try_from(at).unwrap(), entry["resource"].clone()))
        .collect();
    apply(&mut known, &again);
    assert_eq!(known, before);
    for other in [
        condition("resolved"),
        order("stopped", warfarin.clone()),
        order("cancelled", json!({})),
        order("entered-in-error", warfarin),
        penicillin("refuted"),
        penicillin("entered-in-error"),
        nameless("resolved"),
    ] {
        let notes = apply(&mut known, &[added(9, other.clone())]);
        assert_eq!(known, before, "{other}");
        assert!(
            notes.iter().any(|note| note.contains("takes back no more than a denial")),
            "{other} {notes:?}"
        );
    }
    // Nor does one that has an id and does not say that it is its own.
    apply(&mut known, &[asks(penicillin("refuted"), "POST", "AllergyIntolerance")]);
    assert_eq!(known, before);
    // A denial lets drugs be recommended, and goes.
    let mut known = Profile::default();
    for (status, list) in [("confirmed", Some(Vec::new())), ("entered-in-error", None)] {
        apply(&mut known, &[added(1, allergy("a", json!({"text": "NKDA"}), status))]);
        assert_eq!(known.allergies, list);
    }
}

#[test]
fn one_id_without_a_server_and_with_one_are_two_resources_but_of_a_denial() {
    let plain = |resource: Value| asks(resource, "PUT", "AllergyIntolerance/a");
    let penicillin = || allergy("a", json!({"text": "Penicillin"}), "confirmed");
    let none = |status: &str| allergy("a", json!({"text": "NKDA"}), status);
    for (first, second) in [
        (plain(penicillin()), at("b", none("confirmed"))),
        (at("b", penicillin()), plain(none("confirmed"))),
        (at("a", penicillin()), at("b", none("confirmed"))),
    ] {
        let mut known = Profile::default();
        apply(&mut known, &[first]);
        apply(&mut known, &[second]);
        assert_eq!(known.allergies, Some(vec!["Penicillin".to_owned()]));
    }
    let wrong = "entered-in-error";
    for (first, second, list) in [
        (at("a", none("confirmed")), plain(none(wrong)), None),
        (plain(none("confirmed")), at("a", none(wrong)), None),
        (at("a", none("confirmed")), at("b", none(wrong)), Some(Vec::new())),
    ] {
        let mut known = Profile::default();
        apply(&mut known, &[first]);
        apply(&mut known, &[second]);
        assert_eq!(known.allergies, list);
    }
}

#[test]
fn a_relative_reference_is_to_a_resource_of_the_own_server() {
    let medication =
        |id: &str, words: &str| json!({"resourceType": "Medication", "id": id, "code": {"text": words}});
    let of = json!({"medicationReference": {"reference": "Medication/1"}});
    let bundle = entries(
        "transaction",
        &[at("b", ann()), at("a", medication("1", "vitamin d")), at("b", order("active", of.clone()))],
    );
    let elsewhere = crate::fhir::medications_elsewhere(&bundle);
    let stored = elsewhere.into_iter().map(|name| {
        (name, crate::fhir::bundle::medication(&medication("1", "warfarin").to_string()).unwrap())
    });
    let settled = crate::fhir::map_with(&bundle, NOW, &stored.collect()).settle(&Found::default()).unwrap();
    assert_eq!(profile(&settled).medications, Some(vec!["warfarin".to_owned()]));
    // Nobody says on which of two servers this one is.
    let both = [
        asks(ann(), "PUT", "Patient/ann"),
        at("a", medication("1", "vitamin d")),
        at("b", medication("2", "aspirin")),
        asks(order("active", of), "PUT", "MedicationRequest/m"),
    ];
    let settled = taken(&both);
    assert_eq!(settled.unknown_drugs, 1);
    let said = allergy("x", json!({"text": "NKDA"}), "confirmed");
    for (server, fits) in [("a", true), ("b", false)] {
        let all = [at("a", ann()), at(server, said.clone())];
        let settled = map(&entries("transaction", &all), NOW).settle(&Found::default());
        assert_eq!(settled.is_ok(), fits, "{server}");
    }
}

#[test]
fn of_another_entry_with_the_same_words_no_code_stays() {
    let coded = |code: &str, words: &str| {
        let coding = snomed(code, words)["coding"].clone();
        allergy("a", json!({"text": "Drug allergy", "coding": coding}), "confirmed")
    };
    let mut known = Profile::default();
    for (code, words) in [("91936005", "Allergy to penicillin"), ("91939003", "Allergy to sulfonamide")] {
        apply(&mut known, &[asks(coded(code, words), "PUT", "AllergyIntolerance/a")]);
        let recorded = known.recorded["allergies"].values().next().unwrap();
        assert_eq!(recorded.codes, [format!("http://snomed.info/sct|{code}")]);
        assert_eq!(recorded.synonyms, [words]);
    }
}

#[test]
fn a_version_that_is_still_to_come_is_not_newer_than_all() {
    let version = |year: &str, words: &str| {
        let mut said = allergy("a", json!({"text": words}), "confirmed");
        said["meta"] = json!({"lastUpdated": format!("{year}-01-01T00:00:00Z")});
        said
    };
    let all = [ann(), version("2206", "NKDA"), version("2026", "Penicillin")];
    let known = profile(&settle("collection", &all).unwrap());
    assert_eq!(known.allergies, Some(vec!["Penicillin".to_owned()]));
}

#[test]
fn what_is_odd_costs_nothing_else() {
    // A time that is none costs the interaction.
    let odd =
        order("active", json!({"authoredOn": "20260101", "medicationCodeableConcept": {"text": "warfarin"}}));
    for kind in ["batch", "transaction"] {
        let settled = settle(kind, &[ann(), odd.clone()]).unwrap();
        assert!(settled.interactions.is_empty() && settled.outcomes[1].error.is_none());
        assert!(settled.outcomes[1].notes.iter().any(|(_, note)| note.contains("time")));
        assert_eq!(profile(&settled).medications, Some(vec!["warfarin".to_owned()]));
    }
    // A Patient that cannot be read costs somebody who is stored nothing in a batch.
    let mut broken = ann();
    broken["address"] = json!("x");
    let said = allergy("x", json!({"text": "latex"}), "confirmed");
    let all = [asks(broken, "PUT", "Patient/ann"), asks(said, "PUT", "AllergyIntolerance/x")];
    let found = Found { people: ["ann".to_owned()].into(), ..Found::default() };
    let settled = map(&entries("batch", &all), NOW).settle(&found).unwrap();
    assert_eq!(profile(&settled).allergies, Some(vec!["latex".to_owned()]));
    let settled = map(&entries("batch", &all), NOW).settle(&Found::default()).unwrap();
    assert!(settled.people.is_empty() && settled.outcomes[1].error.is_some());
    // What lies in a Bundle within a Bundle is not left out in silence.
    let within = json!({"resourceType": "Bundle", "type": "searchset", "entry": []});
    for kind in ["collection", "transaction"] {
        let errors = settle(kind, &[ann(), within.clone()]).unwrap_err();
        assert!(errors[0].detail.contains("within a Bundle"), "{errors:?}");
    }
    let lines = Bundle::read_lines(&within.to_string()).unwrap();
    assert!(map(&lines, NOW).settle(&Found::default()).is_err());
}

#[test]
fn a_deletion_is_the_newest_version_of_a_resource() {
    let deleted = json!({"fullUrl": "https://a.example/fhir/AllergyIntolerance/a",
        "request": {"method": "DELETE", "url": "AllergyIntolerance/a"}});
    let none = || at("a", allergy("a", json!({"text": "NKDA"}), "confirmed"));
    let of = |all: &[Value]| {
        let settled = map(&entries("history", all), NOW).settle(&Found::default()).unwrap();
        assert!(settled.outcomes.iter().all(|outcome| outcome.error.is_none()));
        (settled.people.iter().map(|person| person.statements.len()).sum::<usize>(), settled.deleted.len())
    };
    assert_eq!(of(&[deleted.clone(), none(), at("a", ann())]), (0, 1));
    // It was made again.
    assert_eq!(of(&[none(), deleted.clone(), at("a", ann())]), (1, 0));
    // References to somebody who was deleted are to whoever is stored.
    let gone = json!({"fullUrl": "https://a.example/fhir/Patient/ann", "request": {"method": "DELETE", "url": "Patient/ann"}});
    let found = Found { people: ["ann".to_owned()].into(), ..Found::default() };
    let settled = map(&entries("history", &[gone, none(), at("a", ann())]), NOW).settle(&found).unwrap();
    assert!(settled.people[0].patient.is_none() && settled.people[0].statements.len() == 1);
}

#[test]
fn a_condition_that_ended_at_an_age_is_back_when_the_year_of_birth_is_corrected() {
    let person = |year: u32| {
        let mut person = ann();
        person["birthDate"] = json!(format!("{year}-01-01"));
        asks(person, "PUT", "Patient/ann")
    };
    let asthma = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
        "code": snomed("195967001", "Asthma"), "abatementAge": {"value": 30, "unit": "a"}});
    let said = || asks(asthma.clone(), "PUT", "Condition/c");
    let mut known = Profile::default();
    let mut after = |all: &[Value]| {
        taken(all).people[0].apply(&mut known);
        known.clone()
    };
    assert_eq!(after(&[person(1950), said()]).conditions, None);
    assert_eq!(after(&[person(1951)]).conditions, None);
    let back = after(&[person(2015)]);
    assert_eq!(back.conditions, Some(vec!["Asthma".to_owned()]));
    assert_eq!(back.recorded["conditions"]["Asthma"].codes, ["http://snomed.info/sct|195967001"]);
    assert_eq!(after(&[person(2015), said()]).recorded, back.recorded);
    // The resource itself takes it back, there as well.
    after(&[person(1950), said()]);
    let mut wrong = asthma.clone();
    wrong["verificationStatus"] = json!({"coding": [{"code": "entered-in-error"}]});
    after(&[person(1950), asks(wrong, "PUT", "Condition/c")]);
    let last = after(&[person(2015)]);
    assert!(last.conditions.is_none() && last.recorded.is_empty(), "{last:?}");
    after(&[person(1950), said()]);
    assert!(super::super::people::take_back(&mut known, &|resource, _| resource == "Condition/c"));
    assert!(known.recorded.is_empty());
    // What counts once somebody has had it counts while it is over, and is there again when it is not.
    let mut stroke = asthma;
    stroke["code"] = json!({"text": "Ischemic stroke"});
    let mut known = Profile::default();
    for (all, words) in [
        (vec![person(1950), asks(stroke, "PUT", "Condition/c")], "Ischemic stroke (resolved)"),
        (vec![person(2015)], "Ischemic stroke"),
    ] {
        taken(&all).people[0].apply(&mut known);
        assert_eq!(known.conditions, Some(vec![words.to_owned()]));
    }
}
