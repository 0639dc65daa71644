//! What a call holds: nothing of it that could be a drug, an allergy or an order is passed over without a word.

mod not_understood;

use serde_json::{Value, json};

use super::cards;
use super::feedback::Feedback;
use super::request::HookRequest;
use super::services::Service;
use recommend::{Alternative, Checked, Concern, Finding, Item, Profile, Severity};

/// 2026-01-01.
const NOW: i64 = 1_767_225_600_000;

fn order(id: &str, drug: &str) -> Value {
    json!({"resourceType": "MedicationRequest", "id": id, "status": "active", "intent": "order",
        "subject": {"reference": "Patient/p"}, "medicationCodeableConcept": {"text": drug}})
}

fn of_medication(id: &str, reference: &str) -> Value {
    json!({"resourceType": "MedicationRequest", "id": id, "status": "active", "intent": "order",
        "subject": {"reference": "Patient/p"}, "medicationReference": {"reference": reference}})
}

fn allergy(id: &str, words: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": id, "patient": {"reference": "Patient/p"}, "code": {"text": words}})
}

fn list(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entries})
}

fn sign(drafts: &[Value]) -> Value {
    json!({"hook": "order-sign", "hookInstance": "1", "context": {"patientId": "p", "draftOrders": list(drafts)},
        "prefetch": {"patient": {"resourceType": "Patient", "id": "p"}, "allergies": list(&[]), "conditions": list(&[]),
            "medications": list(&[]), "statements": list(&[])}})
}

/// A call whose record has this under a key.
fn with(key: &str, value: Value) -> Value {
    let mut body = sign(&[order("d", "ibuprofen")]);
    body["prefetch"][key] = value;
    body
}

fn read(body: &Value) -> HookRequest {
    HookRequest::read(Service::OrderSign, &body.to_string()).unwrap()
}

fn profile(request: &HookRequest) -> Profile {
    request.profile(None, request.said(NOW, &Default::default()).unwrap())
}

fn medications(request: &HookRequest) -> Vec<String> {
    profile(request).medications.unwrap_or_default()
}

/// All that an order is called.
fn names(request: &HookRequest) -> String {
    let order = &request.orders[0].item;
    format!("{} {}", order.name, order.also_called().join(" "))
}

#[track_caller]
fn told(request: &HookRequest, words: &str) {
    assert!(request.unread.iter().any(|line| line.contains(words)), "{words}: {:?}", request.unread);
}

#[test]
fn what_a_medication_is_made_of_is_found_wherever_it_lies() {
    let amoxicillin = |kind: &str| json!({"resourceType": kind, "id": "s", "code": {"text": "amoxicillin"}});
    let made_of = |reference: &str, contained: &[Value]| {
        json!({"resourceType": "Medication", "id": "m", "code": {"text": "aspirin"}, "contained": contained,
            "ingredient": [{"itemReference": {"reference": reference}}]})
    };
    let mixture = json!({"resourceType": "Substance", "id": "x",
        "ingredient": [{"substanceReference": {"reference": "Substance/s"}}]});
    let order = of_medication("d", "Medication/m");
    for entries in [
        vec![made_of("#s", &[amoxicillin("Substance")])],
        vec![made_of("#s", &[amoxicillin("Medication")])],
        vec![made_of("Substance/s", &[]), amoxicillin("Substance")],
        vec![made_of("Medication/s", &[]), amoxicillin("Medication")],
        vec![made_of("Substance/x", &[]), mixture, amoxicillin("Substance")],
    ] {
        let all: Vec<Value> = [order.clone()].into_iter().chain(entries.clone()).collect();
        let among_drafts = read(&sign(&all));
        assert_eq!(among_drafts.unread, Vec::<String>::new(), "{entries:?}");
        assert!(names(&among_drafts).contains("amoxicillin"), "{entries:?}");
        // A Medication may come with the record, and so may what is in it.
        let mut body = sign(std::slice::from_ref(&order));
        body["prefetch"]["drugs"] = list(&entries);
        let with_record = read(&body);
        assert_eq!(with_record.unread, Vec::<String>::new(), "{entries:?}");
        assert!(names(&with_record).contains("amoxicillin"), "{entries:?}");
        // And a drug of the record is read as an order is.
        let mut body = with("medications", list(&all));
        body["context"]["draftOrders"] = list(&[]);
        let profile = profile(&read(&body));
        let known = format!("{:?}", profile.recorded);
        assert!(known.contains("amoxicillin"), "{known}");
    }
    // Without a code it is what is in it.
    let mut bare = made_of("#s", &[amoxicillin("Substance")]);
    bare.as_object_mut().unwrap().remove("code");
    assert!(names(&read(&sign(&[order.clone(), bare.clone()]))).contains("amoxicillin"));
    // What is nowhere is told; a circle ends.
    told(&read(&sign(&[order.clone(), made_of("Substance/9", &[])])), "Substance/9");
    told(&read(&with("medications", list(&[order.clone(), made_of("Substance/9", &[])]))), "Substance/9");
    bare["ingredient"][0]["itemReference"]["reference"] = json!("Medication/m");
    let circle = read(&sign(&[order, bare]));
    assert!(circle.orders.is_empty());
    told(&circle, "no code and no words");
}

#[test]
fn medicines_of_the_record_are_read_in_whatever_they_come() {
    let given = |kind: &str, status: &str| {
        json!({"resourceType": kind, "id": "q", "status": status, "subject": {"reference": "Patient/p"},
            "medicationCodeableConcept": {"text": "warfarin"}})
    };
    for record in [
        list(&[list(&[order("w", "warfarin")])]),
        list(&[given("MedicationDispense", "completed")]),
        list(&[given("MedicationAdministration", "in-progress")]),
        given("MedicationAdministration", "completed"),
    ] {
        let request = read(&with("medications", record.clone()));
        assert_eq!(medications(&request), ["warfarin"], "{record}");
        assert_eq!((request.missing.len(), request.unread.len()), (0, 0), "{record}");
    }
    for (kind, status) in [("MedicationDispense", "declined"), ("MedicationAdministration", "not-done")] {
        let request = read(&with("medications", list(&[given(kind, status)])));
        assert_eq!((medications(&request).len(), request.unread.len()), (0, 0), "{kind}");
    }
}

#[test]
fn a_list_of_which_something_was_not_read_is_no_list() {
    let observation =
        json!({"resourceType": "Observation", "id": "o", "code": {"text": "Allergy to penicillin"}});
    let error =
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]});
    let outcome = json!({"resourceType": "OperationOutcome", "issue": []});
    let warfarin = order("w", "warfarin");
    let other = |member: &str, value: Value| {
        let mut list = list(&[allergy("a", "latex")]);
        list[member] = value;
        list
    };
    let bare = json!({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [{"fullUrl": "http://x/A/1"}]});
    let mut included = list(&[allergy("a", "latex"), json!({"resourceType": "Practitioner", "id": "d"})]);
    included["entry"][1]["search"] = json!({"mode": "include"});
    included["total"] = json!(2);
    let mut with_outcome = list(&[allergy("a", "latex"), outcome]);
    with_outcome["total"] = json!(2);
    for (record, words) in [
        (bare, "without a resource"),
        (list(&[observation]), "Observation"),
        (list(std::slice::from_ref(&warfarin)), "nothing of the type AllergyIntolerance"),
        (list(&[allergy("a", "latex"), error.clone()]), "could not fetch all"),
        (list(&[list(&[list(&[list(&[list(&[allergy("a", "latex")])])])])]), "Bundle"),
        (with_outcome, "a part"),
        (included, "a part"),
        (other("total", json!("9")), "a part"),
        (other("total", json!(-1)), "a part"),
        (other("link", json!({"relation": "next"})), "a part"),
        (other("link", json!([{"relation": "Next", "url": "x"}])), "a part"),
    ] {
        let request = read(&with("allergies", record.clone()));
        assert_eq!(request.missing, ["allergies"], "{record}");
        told(&request, words);
        assert!(request.not_whole.iter().any(|line| line.contains(words)), "{words}: {request:?}");
    }
    let mut page = other("link", json!([{"relation": "next", "url": "x"}]));
    page["total"] = json!("1");
    assert_eq!(read(&with("allergies", page)).missing, ["allergies"]);
    // What a server tells beside a whole list is no refusal, whichever comes first.
    let hint =
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "invalid"}]});
    for entries in [[hint.clone(), allergy("a", "latex")], [allergy("a", "latex"), hint]] {
        let mut whole = list(&entries);
        whole["total"] = json!("1");
        whole["link"] = json!([{"relation": "self", "url": "x"}]);
        let request = read(&with("allergies", whole));
        assert_eq!((request.missing.len(), request.unread.len()), (0, 0), "{:?}", request.unread);
    }
}

#[test]
fn orders_are_read_in_whatever_they_come_and_what_is_none_is_told() {
    let group = json!({"resourceType": "RequestGroup", "id": "g", "status": "draft", "intent": "order",
        "contained": [of_medication("d", "#m"), {"resourceType": "Medication", "id": "m", "code": {"text": "ibuprofen"}}],
        "action": [{"action": [{"resource": {"reference": "#d"}}, {"resource": {"reference": "MedicationRequest/9"}}]}]});
    let nested = read(&sign(&[list(&[order("d", "ibuprofen")])]));
    assert_eq!((nested.orders.len(), nested.unread.len()), (1, 0));
    assert_eq!(nested.orders[0].resource["id"], "d");
    let grouped = read(&sign(&[group]));
    assert_eq!(grouped.orders[0].item.name, "ibuprofen");
    // What lies within another cannot be removed by itself.
    assert_eq!((grouped.orders[0].reference.as_deref(), grouped.unread.len()), (None, 1));
    told(&grouped, "MedicationRequest/9");
    let mut statement = order("s", "ibuprofen");
    statement["resourceType"] = json!("MedicationStatement");
    told(&read(&sign(&[statement])), "MedicationStatement/s");
    let mut bare = sign(&[]);
    bare["context"]["draftOrders"]["entry"] = json!([{"fullUrl": "urn:uuid:1"}]);
    told(&read(&bare), "no resource");
}

#[test]
fn what_is_of_another_person_is_told_and_counts_for_nobody() {
    let patient = json!({"resourceType": "Patient", "id": "q", "birthDate": "2022-01-01"});
    let request = read(&with("patient", patient.clone()));
    told(&request, "Patient/q");
    assert_eq!(profile(&request).birth_year, None);
    let mut strange = order("e", "warfarin");
    strange["subject"]["reference"] = json!("Patient/q");
    let request = read(&sign(&[order("d", "ibuprofen"), strange.clone()]));
    assert_eq!(request.orders.len(), 1);
    told(&request, "Patient/q");
    // An address that is a sent Patient's means that one.
    strange["subject"]["reference"] = json!("urn:uuid:7");
    let mut body = sign(&[strange]);
    body["prefetch"]["patient"] = list(&[patient]);
    body["prefetch"]["patient"]["entry"][0]["fullUrl"] = json!("urn:uuid:7");
    assert!(read(&body).orders.is_empty());
}

#[test]
fn two_resources_of_one_id_both_count_unless_one_is_newer() {
    let both = read(&with("allergies", list(&[allergy("a", "penicillin"), allergy("a", "latex")])));
    assert_eq!(profile(&both).allergies.unwrap(), ["penicillin", "latex"]);
    let version = |words: &str, number: &str| {
        let mut said = allergy("a", words);
        said["meta"] = json!({"versionId": number});
        said
    };
    let newer = read(&with("allergies", list(&[version("penicillin", "2"), version("latex", "1")])));
    assert_eq!(profile(&newer).allergies.unwrap(), ["penicillin"]);
    let same = read(&with("allergies", list(&[allergy("a", "latex"), allergy("a", "latex")])));
    assert_eq!(profile(&same).allergies.unwrap(), ["latex"]);
    let of = |code: &str| json!({"resourceType": "Medication", "id": "m", "code": {"text": code}});
    told(&read(&with("drugs", list(&[of("warfarin"), of("aspirin")]))), "Medication/m");
}

#[test]
fn a_draft_replaces_the_same_drug_of_the_record_and_no_other() {
    let of = |draft: &str, stored: &str| {
        let mut body = with("medications", list(&[order("d", stored)]));
        body["context"]["draftOrders"] = list(&[order("d", draft)]);
        medications(&read(&body))
    };
    assert_eq!(of("ibuprofen", "warfarin"), ["warfarin"]);
    assert_eq!(of("Warfarin 7.5 MG", "Warfarin Sodium 5 MG Oral Tablet"), Vec::<String>::new());
}

/// A house's code may stand for any of its drugs, and so may words for what they come in.
#[test]
fn a_renewal_replaces_what_it_names_and_a_held_order_begins_nothing() {
    let renewal = |drug: &str, member: &str| {
        let mut draft = order("new", drug);
        let reference = json!({"reference": "MedicationRequest/m"});
        draft[member] = if member == "basedOn" { json!([reference]) } else { reference };
        let mut body = sign(&[draft]);
        body["prefetch"]["medications"] = list(&[order("m", "lisinopril 10 mg")]);
        medications(&read(&body))
    };
    for member in ["priorPrescription", "basedOn"] {
        assert!(renewal("lisinopril 20 mg", member).is_empty(), "{member}");
        assert_eq!(renewal("warfarin 5 mg", member), ["lisinopril 10 mg"], "{member}");
    }
    let mut held = order("m", "warfarin 5 mg");
    held["status"] = json!("on-hold");
    let mut body = sign(&[held, order("d", "ibuprofen")]);
    body["prefetch"]["medications"] = list(&[order("m", "warfarin 5 mg")]);
    let request = read(&body);
    let ordered: Vec<&str> = request.orders.iter().map(|order| order.item.name.as_str()).collect();
    assert_eq!((ordered, medications(&request)), (vec!["ibuprofen"], vec!["warfarin 5 mg".to_owned()]));
    assert!(request.unread.is_empty());
    // One that the record does not have may be begun, and is checked.
    body["prefetch"]["medications"] = list(&[]);
    assert_eq!(read(&body).orders.len(), 2);
}

#[test]
fn a_code_makes_one_of_two_drugs_only_where_their_names_do_not_differ() {
    let coded = |text: Value, display: Value| {
        let mut order = order("d", "");
        order["medicationCodeableConcept"] =
            json!({"text": text, "coding": [{"system": "urn:house", "code": "MED", "display": display}]});
        order
    };
    let left = |draft: Value, stored: Value| {
        let mut body = with("medications", list(&[stored]));
        body["context"]["draftOrders"] = list(&[draft]);
        medications(&read(&body))
    };
    let none = Value::Null;
    let (aspirin, warfarin) = (json!("Aspirin"), json!("Warfarin"));
    for (draft, stored) in [
        (coded(aspirin.clone(), none.clone()), coded(warfarin.clone(), none.clone())),
        (coded(none.clone(), aspirin.clone()), coded(none.clone(), warfarin.clone())),
        (coded(json!("Tablet"), aspirin), coded(json!("Tablet"), warfarin.clone())),
    ] {
        assert_eq!(left(draft, stored).len(), 1, "a stored drug is not another draft");
    }
    for (draft, stored) in [
        (
            coded(warfarin.clone(), none.clone()),
            coded(none.clone(), json!("Warfarin Sodium 5 MG [Coumadin]")),
        ),
        (coded(warfarin.clone(), json!("Warfarin 5 MG")), coded(warfarin.clone(), none.clone())),
        (coded(warfarin, none.clone()), coded(none.clone(), none)),
    ] {
        assert_eq!(left(draft, stored), Vec::<String>::new(), "a draft is no second drug beside itself");
    }
}

#[test]
fn all_that_a_medication_is_called_is_looked_at_and_what_is_nowhere_is_told() {
    let both = |reference: Value| {
        let mut order = order("d", "ibuprofen");
        order["medicationReference"] = reference;
        order
    };
    let within = |code: &str, ingredient: Value| {
        let mut order = of_medication("d", "#m");
        order["contained"] = json!([{"resourceType": "Medication", "id": "m", "code": {"text": code}, "ingredient": [ingredient]},
                {"resourceType": "Substance", "id": "s", "code": {"text": "water"}}]);
        order
    };
    let amoxicillin = json!("Amoxicillin 500 mg");
    let mut shown = within("ibuprofen", json!({"itemCodeableConcept": {"text": "water"}}));
    shown["medicationReference"]["display"] = amoxicillin.clone();
    let part = within("ibuprofen", json!({"itemReference": {"reference": "#s", "display": amoxicillin}}));
    for order in [
        both(json!({"display": amoxicillin})),
        both(json!({"reference": "Medication/9", "display": amoxicillin})),
        shown,
        part,
    ] {
        let request = read(&sign(std::slice::from_ref(&order)));
        assert!(names(&request).contains("ibuprofen") && names(&request).contains("Amoxicillin"), "{order}");
        assert_eq!(request.unread, Vec::<String>::new(), "{order}");
        // A drug of the record is read as an order is.
        let mut body = with("medications", list(&[order]));
        body["context"]["draftOrders"] = list(&[]);
        assert!(format!("{:?}", profile(&read(&body)).recorded).contains("Amoxicillin"));
    }
    // What is nowhere and has no name may be anything.
    let lost = both(json!({"reference": "Medication/9"}));
    told(&read(&sign(std::slice::from_ref(&lost))), "Medication/9");
    let mut body = with("statements", list(&[lost]));
    body["prefetch"]["statements"]["entry"][0]["resource"]["resourceType"] = json!("MedicationStatement");
    told(&read(&body), "Medication/9");
    body["prefetch"]["drugs"] = json!({"resourceType": "Medication", "id": "9", "code": {"text": "aspirin"}});
    assert_eq!(read(&body).unread, Vec::<String>::new());
}

/// What could not be looked at may be what speaks against a drug.
#[test]
fn a_drug_is_suggested_only_where_all_that_was_sent_was_looked_at() {
    let other: Item =
        serde_json::from_value(json!({"item_id": "azithromycin", "kind": "drug", "name": "Azithromycin"}))
            .unwrap();
    let finding = Finding {
        concern: Concern::Allergy,
        severity: Severity::Contraindicated,
        reason: "allergy: penicillin".to_owned(),
        note: None,
        source: None,
    };
    let checked = Checked {
        index: 0,
        catalogued: None,
        findings: vec![finding],
        alternatives: vec![Alternative { item: other, purposes: Vec::new(), cautions: Vec::new() }],
        unclear: None,
        unruled: None,
        flags: Vec::new(),
    };
    let failed =
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]});
    let mut part = list(&[allergy("a", "penicillin")]);
    part["link"] = json!([{"relation": "next", "url": "x"}]);
    let mut strange = allergy("b", "latex");
    strange["patient"]["reference"] = json!("Patient/merged");
    let others = list(&[allergy("a", "penicillin"), strange]);
    let whole = list(&[allergy("a", "penicillin")]);
    for (key, value, suggested) in [
        ("allergies", whole, true),
        ("allergies", failed.clone(), false),
        ("allergies", part, false),
        ("allergies", others, false),
        ("statements", failed, false),
    ] {
        let request = read(&with(key, value.clone()));
        let mut count = 0;
        let mut uuid = || {
            count += 1;
            count.to_string()
        };
        let cards =
            cards::orders(&request.orders, std::slice::from_ref(&checked), &request.unread, &mut uuid);
        assert_eq!(cards[0].indicator, "critical");
        let text = cards[0].json["suggestions"].to_string();
        assert_eq!(text.contains("Azithromycin"), suggested, "{key}: {value}");
        assert_eq!(cards[0].offers.len(), usize::from(suggested), "{key}: {value}");
        assert!(text.contains("Remove the order"), "an order may be taken back all the same");
    }
}

/// That nothing is known of a drug is no warning, and is not passed over in silence.
#[test]
fn that_no_rule_is_known_is_for_information_and_said_in_the_card_of_what_was_not_checked() {
    let of = |unclear: Option<&str>, unruled: Option<&str>, flags: &[&str]| -> Vec<(&'static str, String)> {
        let checked = Checked {
            index: 0,
            catalogued: None,
            findings: Vec::new(),
            alternatives: Vec::new(),
            unclear: unclear.map(str::to_owned),
            unruled: unruled.map(str::to_owned),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        };
        let cards = cards::orders(&[], &[checked], &[], &mut || "1".to_owned());
        cards
            .into_iter()
            .map(|card| (card.indicator, card.json["detail"].as_str().unwrap().to_owned()))
            .collect()
    };
    let unruled = Some("no rules are known about naloxone");
    let compared = "was compared with nothing";
    for (unclear, flags, indicator) in [
        (None, &[][..], "info"),
        (Some("\"zorba\" is not understood"), &[], "warning"),
        (None, &["a flag"], "info"),
    ] {
        let cards = of(unclear, unruled, flags);
        assert_eq!(cards.len(), 1, "{cards:?}");
        let (found, detail) = &cards[0];
        assert_eq!((*found, detail.matches("no rules are known").count()), (indicator, 1), "{detail}");
        let others = unclear.is_some() || !flags.is_empty();
        assert_eq!(detail.contains(compared), others, "{detail}");
    }
    assert!(of(None, None, &[]).is_empty());
}

#[test]
fn of_feedback_coded_reasons_are_kept_and_no_words() {
    const CARD: &str = "4e0a3a1e-3283-4575-ab82-028d55fe2719";
    let lines = |told: Value| {
        let feedback: Feedback = serde_json::from_value(json!({"feedback": [told]})).unwrap();
        assert_eq!(feedback.problems(), []);
        feedback.lines().concat()
    };
    let overridden = |reason: Value| {
        lines(json!({"card": CARD.to_uppercase(), "outcome": "overridden", "acceptedSuggestions": null,
            "overrideReason": reason}))
    };
    for (reason, kept) in [
        (json!({"reason": {"code": "will-monitor"}}), "will-monitor"),
        (json!({"reason": {"code": "Mr. Miller said his mother took it", "system": "urn:x"}}), "other"),
        (json!({"reason": {"code": ""}, "userComment": "Miller"}), "without a reason"),
        (json!({"reason": null, "userComment": null}), "without a reason"),
        (Value::Null, "without a reason"),
    ] {
        assert_eq!(overridden(reason), format!("overridden {CARD} {kept}"));
    }
    let accepted = json!({"card": CARD, "outcome": "accepted", "overrideReason": null,
        "acceptedSuggestions": [{"id": CARD.to_uppercase()}]});
    assert_eq!(lines(accepted), format!("accepted {CARD} {CARD}"));
    let none = json!({"feedback": [{"card": CARD, "outcome": "accepted", "acceptedSuggestions": null}]});
    assert_eq!(serde_json::from_value::<Feedback>(none).unwrap().problems().len(), 1);
}

#[test]
fn a_selection_that_names_no_draft_is_told() {
    let mut body = sign(&[order("d", "ibuprofen"), json!({"resourceType": "ServiceRequest", "id": "s"})]);
    body["hook"] = json!("order-select");
    for selection in ["medicationrequest/d", "#d", "zzz", "ServiceRequest/9"] {
        body["context"]["selections"] = json!([selection]);
        let request = HookRequest::read(Service::OrderSelect, &body.to_string()).unwrap();
        told(&request, selection);
    }
    for (selection, checked) in [("MedicationRequest/d", true), ("d", true), ("ServiceRequest/s", false)] {
        body["context"]["selections"] = json!([selection]);
        let request = HookRequest::read(Service::OrderSelect, &body.to_string()).unwrap();
        assert_eq!((request.orders[0].checked, request.unread.len()), (checked, 0), "{selection}");
    }
}
