//! What Bundles mean: allergies that are none, references that lead nowhere, releases that are not R4.

mod denials;
mod medicines;
mod modifiers;
mod statuses;
mod taken_back;

use serde_json::{Value, json};

use recommend::{Kind, Profile, Sex};

use super::{Bundle, FhirError, Found, Settled, map, map_while};

/// 2026-01-01.
const NOW: i64 = 1_767_225_600_000;

fn bundle(kind: &str, resources: &[Value]) -> String {
    let entry = |resource: &Value| {
        let kind = resource["resourceType"].as_str().unwrap_or_default();
        json!({"resource": resource, "request": {"method": "PUT", "url": kind}})
    };
    let entries: Vec<Value> = resources.iter().map(entry).collect();
    json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string()
}

fn settle(kind: &str, resources: &[Value]) -> Result<Settled, Vec<FhirError>> {
    settle_with(kind, resources, &Found::default())
}

fn settle_with(kind: &str, resources: &[Value], found: &Found) -> Result<Settled, Vec<FhirError>> {
    map(&Bundle::read(&bundle(kind, resources)).unwrap(), NOW).settle(found)
}

fn ann() -> Value {
    json!({"resourceType": "Patient", "id": "ann", "gender": "female", "birthDate": "1954-03-01"})
}

fn allergy(id: &str, code: Value, verification: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": "Patient/ann"}, "code": code,
        "verificationStatus": {"coding": [{"code": verification}]}})
}

fn snomed(code: &str, display: &str) -> Value {
    json!({"coding": [{"system": "http://snomed.info/sct", "code": code, "display": display}]})
}

fn profile(settled: &Settled) -> Profile {
    let mut profile = Profile::default();
    settled.people[0].apply(&mut profile);
    profile
}

#[test]
fn no_known_allergy_is_an_empty_list_and_absence_is_unknown() {
    let none = allergy("a", snomed("716186003", "No known allergy"), "confirmed");
    let known = profile(&settle("transaction", &[ann(), none]).unwrap());
    assert_eq!(known.allergies, Some(Vec::new()));
    assert_eq!((known.birth_year, known.sex), (Some(1954), Some(Sex::Female)));
    assert_eq!(profile(&settle("transaction", &[ann()]).unwrap()).allergies, None);
    let words = allergy("a", json!({"text": "NKDA"}), "confirmed");
    assert_eq!(profile(&settle("transaction", &[ann(), words]).unwrap()).allergies, Some(Vec::new()));
    // Nothing follows for drugs from foods.
    let food = allergy("a", snomed("429625007", "No known food allergy"), "confirmed");
    assert_eq!(profile(&settle("transaction", &[ann(), food]).unwrap()).allergies, None);
}

#[test]
fn what_is_refuted_or_over_is_no_allergy_and_takes_back_what_was_said() {
    let penicillin = |status: &str| allergy("a", snomed("91936005", "Allergy to penicillin"), status);
    for status in ["refuted", "entered-in-error"] {
        assert_eq!(profile(&settle("transaction", &[ann(), penicillin(status)]).unwrap()).allergies, None);
    }
    let mut known = profile(&settle("transaction", &[ann(), penicillin("confirmed")]).unwrap());
    assert_eq!(known.allergies.as_deref(), Some(&["Allergy to penicillin".to_owned()][..]));
    assert_eq!(
        known.recorded_as("allergies", "Allergy to penicillin").collect::<Vec<_>>(),
        ["http://snomed.info/sct|91936005"]
    );
    // A second time changes nothing.
    let again = settle("transaction", &[ann(), penicillin("confirmed")]).unwrap();
    let before = known.clone();
    again.people[0].apply(&mut known);
    assert_eq!(known, before);
    settle("transaction", &[ann(), penicillin("refuted")]).unwrap().people[0].apply(&mut known);
    assert_eq!((known.allergies, known.recorded.len()), (None, 0));
}

#[test]
fn what_a_person_wrote_by_hand_stays() {
    let mut known =
        Profile { allergies: Some(vec!["Allergy to penicillin".to_owned()]), ..Profile::default() };
    for status in ["confirmed", "refuted"] {
        let said = allergy("a", snomed("91936005", "Allergy to penicillin"), status);
        settle("transaction", &[ann(), said]).unwrap().people[0].apply(&mut known);
        assert_eq!(known.allergies.as_deref(), Some(&["Allergy to penicillin".to_owned()][..]), "{status}");
    }
}

#[test]
fn drugs_come_with_all_their_codes_and_are_taken_while_their_order_is_active() {
    let order = |status: &str| {
        json!({"resourceType": "MedicationRequest", "id": "m", "status": status, "intent": "order",
            "subject": {"reference": "Patient/ann"}, "authoredOn": "2020-05-01",
            "contained": [{"resourceType": "Medication", "id": "w", "code": {"text": "Warfarin 5 MG", "coding": [
                {"system": "http://www.whocc.no/atc", "code": "B01AA03"},
                {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "855332"}]}}],
            "medicationReference": {"reference": "#w"}})
    };
    let settled = settle("transaction", &[ann(), order("active")]).unwrap();
    let item = &settled.items[0];
    assert_eq!(
        (item.item_id.as_str(), item.kind, item.name.as_str()),
        ("rxnorm:855332", Kind::Drug, "Warfarin 5 MG")
    );
    assert_eq!(
        item.codes(),
        ["http://www.whocc.no/atc|B01AA03", "http://www.nlm.nih.gov/research/umls/rxnorm|855332"]
    );
    let interaction = &settled.interactions[0];
    assert_eq!((interaction.event.as_str(), interaction.time), ("prescription", 1_588_291_200_000));
    let mut known = profile(&settled);
    assert_eq!(known.medications.as_deref(), Some(&["Warfarin 5 MG".to_owned()][..]));
    settle("transaction", &[ann(), order("stopped")]).unwrap().people[0].apply(&mut known);
    assert_eq!(known.medications, None);
}

#[test]
fn visits_are_with_the_hospital_and_the_doctor_by_whatever_reference() {
    let npi = json!([{"system": "http://hl7.org/fhir/sid/us-npi", "value": "610"}]);
    let resources = [
        ann(),
        json!({"resourceType": "Organization", "id": "o", "name": "Harbour Hospital"}),
        json!({"resourceType": "Practitioner", "id": "p", "identifier": npi, "name": [{"family": "Lee", "prefix": ["Dr."]}]}),
        json!({"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/p"},
            "specialty": [{"text": "Cardiology"}]}),
        json!({"resourceType": "Location", "id": "l", "managingOrganization": {"reference": "Organization/o"},
            "position": {"latitude": 41.5, "longitude": -95.5}}),
        json!({"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"},
            "subject": {"reference": "https://ehr.example.org/fhir/Patient/ann/_history/3"},
            "period": {"start": "2021-01-01T10:00:00+02:00"}, "location": [{"location": {"reference": "Location/l"}}],
            "participant": [{"individual": {"reference": "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|610"}},
                {"individual": {"reference": "PractitionerRole/r"}}, {"individual": {"reference": "RelatedPerson/x"}}]}),
    ];
    let settled = settle("transaction", &resources).unwrap();
    let with: Vec<&str> = settled.interactions.iter().map(|one| one.item_id.as_str()).collect();
    assert_eq!(with, ["Organization/o", "Practitioner/p"]);
    assert_eq!(settled.items.len(), 2);
    assert_eq!((settled.items[0].latitude, settled.items[0].kind), (Some(41.5), Kind::Hospital));
    assert_eq!(settled.items[1].attributes["specialties"], json!(["Cardiology"]));
    assert_eq!(settled.items[1].name, "Dr. Lee");
}

#[test]
fn references_that_lead_nowhere_refuse_a_transaction_and_one_entry_of_a_batch() {
    let lost = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "urn:uuid:0"}, "code": {"text": "gout"}});
    let stranger = json!({"resourceType": "Condition", "id": "d", "subject": {"reference": "Patient/bob"}, "code": {"text": "gout"}});
    for resource in [&lost, &stranger] {
        let errors = settle("transaction", &[ann(), resource.clone()]).unwrap_err();
        assert_eq!((errors.len(), errors[0].entry, errors[0].code), (1, Some(1), "not-found"));
    }
    let batch = settle("batch", &[ann(), lost.clone(), stranger.clone()]).unwrap();
    assert_eq!((batch.people.len(), batch.people[0].user_id.as_str()), (1, "ann"));
    assert!(batch.outcomes[1].error.is_some() && batch.outcomes[2].error.is_some());
    let found = Found { people: ["bob".to_owned()].into(), ..Found::default() };
    assert!(settle_with("transaction", &[ann(), stranger], &found).is_ok());
    // An unknown doctor costs the interaction and nothing else.
    let visit = json!({"resourceType": "Encounter", "id": "e", "class": {"code": "AMB"}, "subject": {"reference": "Patient/ann"},
        "period": {"start": "2021-01-01"}, "participant": [{"individual": {"reference": "Practitioner/9"}}]});
    let settled = settle("transaction", &[ann(), visit]).unwrap();
    assert_eq!((settled.interactions.len(), settled.unknown_items), (0, 1));
    // Of a collection what refers to nobody is counted.
    let settled = settle("collection", &[ann(), lost]).unwrap();
    assert_eq!(settled.outcomes[1].notes.len(), 1);
}

#[test]
fn circles_end() {
    let place = |id: &str, of: &str| json!({"resourceType": "Location", "id": id, "partOf": {"reference": format!("Location/{of}")}});
    let role = json!({"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "PractitionerRole/r"}});
    let visit = json!({"resourceType": "Encounter", "id": "e", "class": {"code": "AMB"}, "subject": {"reference": "Patient/ann"},
        "period": {"start": "2021-01-01"}, "location": [{"location": {"reference": "Location/a"}}],
        "participant": [{"individual": {"reference": "PractitionerRole/r"}}]});
    let settled = settle("transaction", &[ann(), place("a", "b"), place("b", "a"), role, visit]).unwrap();
    assert_eq!(settled.interactions.len(), 1);
}

#[test]
fn a_person_needs_a_name_to_be_found_by() {
    let nameless = json!({"resourceType": "Patient", "gender": "male"});
    let errors = settle("transaction", &[nameless]).unwrap_err();
    assert!(errors[0].detail.contains("no id"), "{errors:?}");
    let identified = json!({"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "7"}]});
    assert_eq!(settle("transaction", &[identified]).unwrap().people[0].user_id, "urn:mrn|7");
}

#[test]
fn codes_that_nobody_knows_are_taken_as_given() {
    let of = |code: Value| {
        let condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"}, "code": code});
        profile(&settle("transaction", &[ann(), condition]).unwrap())
    };
    // With words the words count; without any the code itself is what is known.
    let words = of(json!({"coding": [{"system": "urn:house", "code": "X1", "display": "gout"}]}));
    assert_eq!(words.conditions, Some(vec!["gout".to_owned()]));
    let bare = of(json!({"coding": [{"system": "http://snomed.info/sct", "code": "999999999"}]}));
    assert_eq!(bare.conditions.as_ref().map(Vec::len), Some(1), "{bare:?}");
    // What has neither says nothing, and is counted.
    let nothing =
        json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"}, "code": {}});
    let settled = settle("transaction", &[ann(), nothing]).unwrap();
    assert!(profile(&settled).conditions.is_none() && !settled.outcomes[1].notes.is_empty());
}

#[test]
fn other_releases_are_named() {
    let patient = json!({"reference": "Patient/ann"});
    for (release, resource) in [
        ("DSTU2", json!({"resourceType": "MedicationOrder", "patient": patient})),
        (
            "DSTU2",
            json!({"resourceType": "AllergyIntolerance", "patient": patient, "substance": {"text": "x"}}),
        ),
        (
            "STU3",
            json!({"resourceType": "AllergyIntolerance", "patient": patient, "clinicalStatus": "active"}),
        ),
        (
            "STU3",
            json!({"resourceType": "MedicationStatement", "subject": patient, "status": "active", "taken": "n",
                "medicationCodeableConcept": {"text": "Warfarin"}}),
        ),
        (
            "R5",
            json!({"resourceType": "MedicationRequest", "subject": patient, "medication": {"concept": {"text": "x"}}}),
        ),
        ("R5", json!({"resourceType": "Encounter", "subject": patient, "class": [{"text": "x"}]})),
        (
            "R5",
            json!({"resourceType": "Patient", "meta": {"profile": ["http://hl7.org/fhir/5.0/StructureDefinition/Patient"]}}),
        ),
    ] {
        let errors = settle("transaction", &[ann(), resource.clone()]).unwrap_err();
        assert!(errors[0].detail.contains(&format!("FHIR {release}")), "{resource}: {errors:?}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_place_and_not_by_its_value() {
    let wrong = json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/ann"},
        "code": {"coding": "a secret"}});
    let error = &settle("transaction", &[ann(), wrong]).unwrap_err()[0];
    assert_eq!((error.entry, error.path.as_str()), (Some(1), "AllergyIntolerance.code.coding"));
    assert!(!error.to_string().contains("secret"), "{error}");
    for text in [
        "",
        "[]",
        "{",
        "{\"resourceType\": \"Bundle\"}",
        "{\"resourceType\": 7}",
        "\"a secret\"",
        "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":{\"a\":1}}",
    ] {
        assert!(!Bundle::read(text).unwrap_err().to_string().contains("secret"), "{text}");
    }
}

/// A Bundle with something of everything.
fn everything() -> String {
    let subject = json!({"reference": "Patient/ann"});
    bundle(
        "batch",
        &[
            ann(),
            allergy("a", snomed("91936005", "Allergy to penicillin"), "confirmed"),
            json!({"resourceType": "Condition", "id": "c", "subject": subject, "code": {"text": "gout"}}),
            json!({"resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order", "subject": subject,
            "authoredOn": "2020-05", "medicationReference": {"reference": "#x"},
            "contained": [{"resourceType": "Medication", "id": "x", "code": {"text": "Warfarin 5 MG"}}]}),
            json!({"resourceType": "Location", "id": "l", "name": "Ward", "partOf": {"reference": "Location/l"}}),
            json!({"resourceType": "Encounter", "id": "e", "class": {"code": "AMB"}, "subject": subject,
            "period": {"start": "2021-01-01T10:00:00+02:00"}, "location": [{"location": {"reference": "Location/l"}}]}),
        ],
    )
}

proptest::proptest! {
    #[test]
    fn no_bundle_makes_it_panic(
        cuts in proptest::collection::vec((0usize..2_000, 0usize..40, "[\\[\\]{}\",:0-9a-zé#/?|]{0,6}"), 0..4),
    ) {
        let mut text: Vec<char> = everything().chars().collect();
        for (at, length, instead) in cuts {
            let from = at.min(text.len());
            let to = (from + length).min(text.len());
            text.splice(from..to, instead.chars());
        }
        let text: String = text.into_iter().collect();
        for bundle in [Bundle::read(&text), Bundle::read_lines(&text)].into_iter().flatten() {
            let mapped = map(&bundle, NOW);
            mapped.wanted();
            if let Ok(settled) = mapped.settle(&Found::default()) {
                super::outcome::response(bundle.kind, &settled.outcomes);
                settled.people.iter().for_each(|person| person.apply(&mut Profile::default()));
            }
        }
    }
}

/// A Bundle of entries as they are.
fn entries(kind: &str, entries: &[Value]) -> Bundle {
    Bundle::read(&json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string()).unwrap()
}

fn asks(resource: Value, method: &str, url: &str) -> Value {
    json!({"resource": resource, "request": {"method": method, "url": url}})
}

#[test]
fn the_address_of_a_request_and_its_resource_name_the_same_thing() {
    for (entry, words) in [
        (asks(ann(), "PUT", "Patient/ann"), None),
        (asks(ann(), "PUT", "https://ehr.example.org/fhir/Patient/ann"), None),
        (asks(ann(), "POST", "Patient"), None),
        (asks(json!({"resourceType": "Patient"}), "PUT", "Patient/ann"), None),
        (asks(ann(), "PUT", "Patient/bob"), Some("another id")),
        (asks(ann(), "PUT", "Practitioner/ann"), Some("another type")),
        (asks(ann(), "POST", "AllergyIntolerance"), Some("another type")),
        (asks(ann(), "PUT", "Patient?identifier=urn:mrn|7"), Some("conditional update")),
    ] {
        let settled =
            map(&entries("transaction", std::slice::from_ref(&entry)), NOW).settle(&Found::default());
        match words {
            None => assert_eq!(settled.unwrap().people[0].user_id, "ann", "{entry}"),
            Some(words) => assert!(settled.unwrap_err()[0].detail.contains(words), "{entry}"),
        }
    }
}

#[test]
fn an_entry_that_depends_on_a_version_is_refused() {
    for (name, value) in [("ifMatch", json!("W/\"999\"")), ("ifMatch", json!(5)), ("ifNoneMatch", json!("*"))]
    {
        let mut entry =
            asks(allergy("a", json!({"text": "Latex"}), "confirmed"), "PUT", "AllergyIntolerance/a");
        entry["resource"]["id"] = json!("a");
        entry["request"][name] = value;
        let settled = map(&entries("transaction", &[entry]), NOW).settle(&Found::default());
        assert!(settled.unwrap_err().iter().any(|error| error.detail.contains(name)), "{name}");
    }
}

#[test]
fn a_conditional_create_is_the_same_person_each_time() {
    let created = |uuid: &str, search: &str| {
        json!({"fullUrl": format!("urn:uuid:{uuid}"), "resource": {"resourceType": "Patient"},
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": search}})
    };
    let allergy = |uuid: &str| {
        let mut said = allergy("a", json!({"text": "Penicillin"}), "confirmed");
        said["patient"]["reference"] = json!(format!("urn:uuid:{uuid}"));
        asks(said, "POST", "AllergyIntolerance")
    };
    for uuid in ["1111", "2222"] {
        for search in ["identifier=urn:mrn|55", "identifier=urn%3Amrn%7C55"] {
            let bundle = entries("transaction", &[created(uuid, search), allergy(uuid)]);
            let settled = map(&bundle, NOW).settle(&Found::default()).unwrap();
            assert_eq!((settled.people.len(), settled.people[0].user_id.as_str()), (1, "urn:mrn|55"));
            // Somebody who is stored under an id of the hospital's is that person.
            let mapped = map(&bundle, NOW);
            let name = mapped.wanted().people_by_identifier.first().unwrap().clone();
            let known = Found { people_by_identifier: [(name, "ann".to_owned())].into(), ..Found::default() };
            let settled = mapped.settle(&known).unwrap();
            assert_eq!((settled.people.len(), settled.people[0].user_id.as_str()), (1, "ann"));
            assert_eq!(settled.people[0].statements.len(), 1);
        }
    }
    let other = map(&entries("transaction", &[created("1", "name=Doe")]), NOW).settle(&Found::default());
    assert!(other.unwrap_err()[0].detail.contains("ifNoneExist"));
}

#[test]
fn of_versions_of_one_resource_the_newest_counts() {
    let version = |number: u32, day: u32, status: &str| {
        let mut said = allergy("v", snomed("716186003", "No known allergy"), status);
        said["meta"] =
            json!({"versionId": number.to_string(), "lastUpdated": format!("2025-01-{day:02}T00:00:00Z")});
        said
    };
    let (first, wrong) = (version(1, 1, "confirmed"), version(2, 2, "entered-in-error"));
    for order in [[&first, &wrong], [&wrong, &first]] {
        let all = [ann(), order[0].clone(), order[1].clone()];
        assert_eq!(profile(&settle("collection", &all).unwrap()).allergies, None);
        let errors = settle("transaction", &all).unwrap_err();
        assert_eq!((errors[0].code, errors.len()), ("duplicate", 1), "a transaction has each once");
    }
    // Without a word on versions the order counts; a history begins with the newest.
    let bare = |status: &str| allergy("v", snomed("716186003", "No known allergy"), status);
    let (said, wrong) = (bare("confirmed"), bare("entered-in-error"));
    assert_eq!(
        profile(&settle("collection", &[ann(), said.clone(), wrong.clone()]).unwrap()).allergies,
        None
    );
    assert_eq!(profile(&settle("history", &[ann(), wrong, said]).unwrap()).allergies, None);
}

#[test]
fn what_has_no_name_is_in_the_list_so_that_it_does_not_look_complete() {
    let none = allergy("a", json!({"text": "NKDA"}), "confirmed");
    let unnamed =
        json!({"resourceType": "AllergyIntolerance", "id": "b", "patient": {"reference": "Patient/ann"}});
    let known = profile(&settle("transaction", &[ann(), none, unnamed]).unwrap());
    assert_eq!(known.allergies.map(|all| all.len()), Some(1));
    let order = |id: &str, status: &str, intent: &str, reference: &str| {
        json!({"resourceType": "MedicationRequest", "id": id, "status": status, "intent": intent,
            "subject": {"reference": "Patient/ann"}, "medicationReference": {"reference": reference}})
    };
    let lisinopril = json!({"resourceType": "Medication", "id": "l", "code": {"text": "Lisinopril"}});
    let taken = [
        ann(),
        lisinopril,
        order("m", "active", "order", "Medication/l"),
        order("n", "active", "order", "Medication/9"),
    ];
    let settled = settle("transaction", &taken).unwrap();
    assert_eq!(settled.unknown_drugs, 1);
    let mut known = profile(&settled);
    assert_eq!(known.medications.as_ref().map(Vec::len), Some(2), "{known:?}");
    // It is stopped by its status, whatever it was.
    let stopped = settle("transaction", &[ann(), order("n", "stopped", "order", "Medication/9")]).unwrap();
    stopped.people[0].apply(&mut known);
    assert_eq!(known.medications, Some(vec!["Lisinopril".to_owned()]));
    // What a person takes without an order is an active plan.
    let plan =
        settle("transaction", &[ann(), taken[1].clone(), order("p", "active", "plan", "Medication/l")]);
    assert_eq!(profile(&plan.unwrap()).medications, Some(vec!["Lisinopril".to_owned()]));
}

#[test]
fn no_known_allergy_of_another_category_says_nothing_of_drugs() {
    for (category, allergies) in [("food", None), ("environment", None), ("medication", Some(Vec::new()))] {
        let mut none = allergy("a", snomed("716186003", "No known allergy"), "confirmed");
        none["category"] = json!([category]);
        assert_eq!(
            profile(&settle("transaction", &[ann(), none]).unwrap()).allergies,
            allergies,
            "{category}"
        );
    }
    let words = allergy("a", json!({"text": "No known food allergies"}), "confirmed");
    assert_eq!(profile(&settle("transaction", &[ann(), words]).unwrap()).allergies, None);
}

#[test]
fn odd_births_and_genders_are_left_out_and_said() {
    for (member, value) in [
        ("birthDate", "1800-01-01"),
        ("birthDate", "0001-01-01"),
        ("birthDate", "2090-01-01"),
        ("birthDate", "ünknown"),
        ("gender", "weiblich"),
    ] {
        let mut patient = ann();
        patient[member] = json!(value);
        let settled = settle("transaction", &[patient]).unwrap();
        assert_eq!(settled.outcomes[0].notes.len(), 1, "{value}");
        assert!(!settled.outcomes[0].notes[0].1.contains(value));
    }
    let mut patient = ann();
    patient["gender"] = json!("Female ");
    assert_eq!(settle("transaction", &[patient]).unwrap().people[0].sex, Some(Sex::Female));
}

#[test]
fn a_request_has_a_bounded_number_of_entries() {
    let list = vec!["{}"; super::bundle::MAX_ENTRIES_SENT + 1].join(",");
    let text = format!("{{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{list}]}}");
    assert_eq!(Bundle::read_sent(&text).unwrap_err().code, "too-long");
    assert_eq!(Bundle::read(&text).unwrap().entries.len(), super::bundle::MAX_ENTRIES_SENT + 1);
}

#[test]
fn people_of_two_servers_with_one_id_are_not_made_one() {
    let of = |server: &str| {
        json!({"fullUrl": format!("https://{server}.example/fhir/Patient/ann"), "resource": ann(),
            "request": {"method": "PUT", "url": "Patient/ann"}})
    };
    for kind in ["transaction", "collection"] {
        let errors = map(&entries(kind, &[of("a"), of("b")]), NOW).settle(&Found::default()).unwrap_err();
        assert_eq!(errors[0].code, "duplicate", "{kind}");
    }
    let batch = map(&entries("batch", &[of("a"), of("b")]), NOW).settle(&Found::default()).unwrap();
    assert_eq!(batch.outcomes.iter().filter(|outcome| outcome.error.is_some()).count(), 1);
    assert!(map(&entries("collection", &[of("a"), of("a")]), NOW).settle(&Found::default()).is_ok());
    for (server, known) in [("a", true), ("b", false)] {
        let mut said = allergy("x", json!({"text": "Penicillin"}), "confirmed");
        said["patient"]["reference"] = json!(format!("http://{server}.example/fhir/Patient/ann"));
        let settled = map(&entries("transaction", &[of("a"), asks(said, "POST", "AllergyIntolerance")]), NOW);
        assert_eq!(settled.settle(&Found::default()).is_ok(), known, "{server}");
    }
}

#[test]
fn an_order_of_nothing_is_no_drug() {
    for words in ["None", "No current medications"] {
        let order = json!({"resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order",
            "subject": {"reference": "Patient/ann"}, "authoredOn": "2020-05-01", "medicationCodeableConcept": {"text": words}});
        let settled = settle("transaction", &[ann(), order]).unwrap();
        assert!(settled.items.is_empty() && settled.interactions.is_empty(), "{words}");
        assert_eq!(profile(&settled).medications, Some(Vec::new()));
    }
}

#[test]
fn an_empty_list_goes_with_what_said_so_unless_somebody_wrote_it() {
    let said = |status: &str| {
        settle("transaction", &[ann(), allergy("a", snomed("716186003", ""), status)]).unwrap()
    };
    for (before, after) in [(None, None), (Some(Vec::new()), Some(Vec::new()))] {
        let mut known = Profile { allergies: before, ..Profile::default() };
        said("confirmed").people[0].apply(&mut known);
        assert_eq!(known.allergies, Some(Vec::new()));
        said("confirmed").people[0].apply(&mut known);
        said("entered-in-error").people[0].apply(&mut known);
        assert_eq!(known.allergies, after);
    }
}

#[test]
fn a_bundle_is_read_no_further_once_its_time_has_passed() {
    let bundle =
        entries("transaction", &[asks(ann(), "PUT", "Patient/ann"), asks(ann(), "PUT", "Patient/ann")]);
    let asked = std::cell::Cell::new(0);
    let go_on = |most: usize| {
        asked.set(asked.get() + 1);
        asked.get() <= most
    };
    assert!(map_while(&bundle, NOW, &std::collections::HashMap::new(), || go_on(1)).is_none());
    assert_eq!(asked.replace(0), 2);
    assert!(map_while(&bundle, NOW, &std::collections::HashMap::new(), || go_on(2)).is_some());
}
