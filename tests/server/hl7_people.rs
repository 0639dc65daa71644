//! One number of two people, black box: that of an HL7 message and the id of a FHIR server are the same person only where nothing
//! speaks against it, by whichever door the second one comes.

use serde_json::{Value, json};

use crate::cds::{SIGN, VIEW, call, cards, draft, found, taken};
use crate::fhir::send as post;
use crate::fhir_servers::at;
use crate::hl7::send;
use crate::hl7_order::{message, profile, start};
use crate::support::Server;

const A: &str = "https://ehr-a.example.org/fhir";
/// The authority with its universal id.
const UNIVERSAL: &str = "^^^HOSP&1.2.3&ISO^";
const NONE: &str = "AL1|1|DA|NKDA\r";
const JANE: &str = "19600203|F";

fn patient(id: &str, born: &str, gender: &str, number: (&str, &str)) -> Value {
    json!({"resourceType": "Patient", "id": id, "gender": gender, "birthDate": born,
        "identifier": [{"system": number.0, "value": number.1}]})
}

fn allergy(of: &str, words: &str) -> Value {
    json!({"resourceType": "AllergyIntolerance", "id": format!("{of}a"), "patient": {"reference": format!("Patient/{of}")},
        "code": {"text": words}})
}

/// What a transaction of a server is answered with.
async fn put(server: &Server, resources: &[Value]) -> (u16, String) {
    let entries: Vec<Value> = resources.iter().map(|one| at("ehr-a.example.org", one.clone())).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    let answer = post(server, &bundle).await;
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A call of a client of that server about a Patient, of whom it knows no allergy.
fn asked(hook: &str, patient: &Value, drug: &str) -> Value {
    let of = |mut resource: Value| {
        resource["subject"]["reference"] = json!(format!("Patient/{}", patient["id"].as_str().unwrap()));
        resource
    };
    json!({"hook": hook, "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "fhirServer": A,
        "context": {"userId": "Practitioner/7", "patientId": patient["id"], "draftOrders": found(&[of(draft("d", drug))])},
        "prefetch": {"patient": patient, "allergies": found(&[]), "conditions": found(&[]), "medications": found(&[])}})
}

async fn told(server: &Server, patient: &Value, drug: &str) -> String {
    serde_json::to_string(&cards(server, SIGN, &asked("order-sign", patient, drug)).await).unwrap()
}

#[tokio::test]
async fn a_number_of_hl7_is_no_id_of_a_fhir_server_where_year_or_sex_differ() {
    let (server, address) = start(&[]);
    let mrn = ("urn:oid:1.2.3", "55");
    for (number, born, gender) in
        [("70011", "1995-05-05", "female"), ("70012", "1960-05-05", "male"), ("70013", "1995-05-05", "male")]
    {
        let sent = message(
            "EPIC",
            (number, JANE),
            "1",
            "20260301110000",
            &format!("{NONE}DG1|1||I10^hypertension^I10\r"),
        );
        assert!(send(&address, &[&sent])[0].contains("\rMSA|AA|"));
        let other = patient(number, born, gender, mrn);
        // Asked about by CDS Hooks: what is stored is somebody else's, and nothing is suggested from it.
        let view =
            call(&server, VIEW, &asked("patient-view", &other, "Ibuprofen")).await.text().await.unwrap();
        assert!(!view.contains("- drug:") && !view.contains("hypertension"), "{view}");
        assert!(told(&server, &other, "Ibuprofen").await.contains("which is of another person"));
        // Imported: refused, and the person stays as it was.
        let (status, words) = put(&server, &[other]).await;
        assert!(status == 409 && words.contains("another way"), "{status} {words}");
        let known = profile(&server, number).await;
        assert_eq!((&known["birth_year"], &known["allergies"]), (&json!(1960), &json!([])));
    }
    // The other way round.
    let child = patient("7101", "2020-01-01", "male", mrn);
    assert_eq!(put(&server, &[child, allergy("7101", "penicillin")]).await.0, 200);
    let answer = send(&address, &[&message("EPIC", ("7101", JANE), "2", "20260301110000", NONE)]).remove(0);
    assert!(answer.contains("\rMSA|AE|2") && answer.contains("ERR||PID^1^3|205"), "{answer}");
    let known = profile(&server, "7101").await;
    assert_eq!((&known["birth_year"], &known["allergies"]), (&json!(2020), &json!(["penicillin"])));
}

#[tokio::test]
async fn a_denial_counts_for_nobody_where_nothing_says_that_two_records_are_of_one() {
    let (server, address) = start(&[]);
    for (number, system, one) in [("8001", "urn:mrn", false), ("8002", "urn:oid:1.2.3", true)] {
        let sent = |id: &str| {
            message("EPIC", (number, JANE), id, "20260301110000", NONE).replace("^^^HOSP^", UNIVERSAL)
        };
        assert!(send(&address, &[&sent("1")])[0].contains("\rMSA|AA|"));
        assert_eq!(profile(&server, number).await["allergies"], json!([]));
        // Of the same year and sex, as many are.
        let jane = patient(number, "1960-09-09", "female", (system, number));
        let suits = asked("patient-view", &jane, "Ibuprofen");
        let view = serde_json::to_string(&cards(&server, VIEW, &suits).await).unwrap();
        assert_eq!(view.contains("- drug:"), one, "{view}");
        let (status, words) = put(&server, &[jane, allergy(number, "No known allergies")]).await;
        assert_eq!((status, words.contains("from two sources")), (200, !one), "{words}");
        let known = profile(&server, number).await;
        assert_eq!(known.get("allergies"), one.then_some(&json!([])), "{number}");
        // What warns counts all the same, and a denial that comes later does not.
        let more = message("EPIC", (number, JANE), "2", "20260301120000", "AL1|1|DA|^latex\r")
            .replace("^^^HOSP^", UNIVERSAL);
        assert!(send(&address, &[&more, &sent("3")]).iter().all(|answer| answer.contains("\rMSA|AA|")));
        assert_eq!(profile(&server, number).await["allergies"], json!(["latex"]));
    }
}

#[tokio::test]
async fn an_admission_is_of_the_person_who_has_its_identifier() {
    let (server, address) = start(&[]);
    let uu1 = patient("uu1", "1960-02-03", "female", ("urn:oid:1.2.3", "M77"));
    assert_eq!(put(&server, std::slice::from_ref(&uu1)).await.0, 200);
    let sent = message("EPIC", ("M77", JANE), "1", "20260301110000", "AL1|1|DA|7980^PENICILLIN^RXNORM\r")
        .replace("^^^HOSP^", UNIVERSAL);
    assert!(send(&address, &[&sent])[0].contains("\rMSA|AA|"));
    assert_eq!(profile(&server, "uu1").await["allergies"], json!(["PENICILLIN"]));
    assert!(profile(&server, "M77").await.is_null());
    assert!(told(&server, &uu1, "Amoxicillin").await.contains("critical"));
    // The authority without its universal id is the same by its name.
    let sent = message("EPIC", ("M77", JANE), "2", "20260301120000", "AL1|1|DA|^latex\r");
    assert!(send(&address, &[&sent])[0].contains("\rMSA|AA|"));
    assert_eq!(profile(&server, "uu1").await["allergies"], json!(["PENICILLIN", "latex"]));
    assert!(profile(&server, "M77").await.is_null());
}

#[tokio::test]
async fn another_record_of_the_person_is_told_and_nothing_is_suggested() {
    let (server, _) = start(&[]);
    let numbered = |id: &str, numbers: &[&str]| {
        let mut own = patient(id, "1960-02-03", "female", ("urn:mrn", ""));
        let all = numbers.iter().map(|number| json!({"system": "urn:mrn", "value": number}));
        own["identifier"] = all.collect();
        own
    };
    assert_eq!(put(&server, &[numbered("mg4", &["N4"]), allergy("mg4", "penicillin")]).await.0, 200);
    let survivor = numbered("mg5", &["N5", "N4"]);
    assert_eq!(put(&server, &[survivor.clone(), allergy("mg5", "NKDA")]).await.0, 200);
    assert!(told(&server, &survivor, "Amoxicillin").await.contains("Patient/mg4"));
    for (members, words) in [
        (json!({"link": [{"other": {"reference": "Patient/l1"}, "type": "replaces"}]}), "Patient/l1"),
        (json!({"active": false}), "not in use"),
        (json!({"deceasedDateTime": "2020-01-01"}), "has died"),
        (json!({"deceasedBoolean": true}), "has died"),
        (json!({"deceasedBoolean": false, "active": true}), ""),
        (json!({"link": [{"other": {"reference": "RelatedPerson/r"}, "type": "seealso"}]}), ""),
    ] {
        let mut person = numbered("z9", &["N9"]);
        person.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let mut asked = asked("order-sign", &person, "Ibuprofen");
        asked["prefetch"]["allergies"] = found(&[allergy("z9", "NKDA")]);
        let mut warfarin = taken("m", "Warfarin");
        warfarin["subject"]["reference"] = json!("Patient/z9");
        asked["prefetch"]["medications"] = found(&[warfarin]);
        let told = serde_json::to_string(&cards(&server, SIGN, &asked).await).unwrap();
        assert_eq!(told.contains("Not checked: what"), !words.is_empty(), "{members} {told}");
        assert!(
            told.contains(words) && (words.is_empty() || !told.contains("instead of")),
            "{members} {told}"
        );
    }
}

#[tokio::test]
async fn whoever_agreed_once_is_not_taken_over_by_a_correction() {
    let (server, address) = start(&[]);
    let mrn = ("urn:oid:1.2.3", "55");
    for (number, first) in [("7111", "|"), ("7112", "00000000|U"), ("7113", "20200101|M")] {
        let child = patient(number, "2020-01-01", "male", mrn);
        assert_eq!(put(&server, &[child, allergy(number, "penicillin")]).await.0, 200);
        let joined = message("EPIC", (number, first), "1", "20260301110000", "AL1|1|DA|^latex\r");
        assert!(send(&address, &[&joined])[0].contains("\rMSA|AA|"), "{first}");
        let answer =
            send(&address, &[&message("EPIC", (number, JANE), "2", "20260301120000", NONE)]).remove(0);
        assert!(answer.contains("\rMSA|AE|2") && answer.contains("ERR||PID^1^3|205"), "{first} {answer}");
        assert_eq!(profile(&server, number).await["birth_year"], 2020, "{first}");
    }
}

#[tokio::test]
async fn a_number_that_nobody_is_said_to_have_given_is_no_id_of_fhir_either() {
    let (server, address) = start(&[]);
    let unsaid = |number: &str, born: &str, id: &str, segments: &str| {
        message("EPIC", (number, born), id, "20260301110000", segments).replace("^^^HOSP^", "^^^^")
    };
    let child = patient("7121", "2020-01-01", "male", ("urn:oid:1.2.3", "55"));
    assert_eq!(put(&server, &[child]).await.0, 200);
    let answer = send(&address, &[&unsaid("7121", JANE, "1", NONE)]).remove(0);
    assert!(answer.contains("\rMSA|AE|1") && answer.contains("ERR||PID^1^3|205"), "{answer}");
    assert_eq!(profile(&server, "7121").await["birth_year"], 2020);
    // Where both agree a denial counts for neither, and what warns does.
    let answer = send(&address, &[&unsaid("7121", "20200101|M", "2", NONE)]).remove(0);
    assert!(answer.contains("\rMSA|AA|2"), "{answer}");
    assert!(profile(&server, "7121").await.get("allergies").is_none());
    // CDS Hooks of a person of another year counts nothing of whoever came without an authority.
    assert!(send(&address, &[&unsaid("7122", JANE, "3", NONE)])[0].contains("\rMSA|AA|"));
    let other = patient("7122", "1995-05-05", "female", ("urn:oid:1.2.3", "56"));
    assert!(told(&server, &other, "Ibuprofen").await.contains("which is of another person"));
    // And of two authorities, one unsaid, the second is no correction of the first.
    let named = message("EPIC", ("7122", "19900101|M"), "4", "20260301120000", "");
    assert!(send(&address, &[&named])[0].contains("ERR||PID^1^3|205"));
}

#[tokio::test]
async fn an_admission_under_an_identifier_that_was_sent_along_is_told() {
    let (server, address) = start(&[]);
    let sent = message("EPIC", ("V1111", JANE), "1", "20260301110000", "AL1|1|DA|^Penicillin\r")
        .replace("^^^HOSP^", UNIVERSAL);
    assert!(send(&address, &[&sent])[0].contains("\rMSA|AA|"));
    // Nobody is stored under the id that is asked about, or somebody without the identifier.
    let bare = json!({"resourceType": "Patient", "id": "vv1", "gender": "female", "birthDate": "1960-02-03"});
    assert_eq!(put(&server, &[bare]).await.0, 200);
    for id in ["uux", "vv1"] {
        let jane = patient(id, "1960-02-03", "female", ("urn:oid:1.2.3", "V1111"));
        let told = told(&server, &jane, "Amoxicillin").await;
        assert!(
            told.contains("Not checked: what is known under") && told.contains("Patient/V1111"),
            "{told}"
        );
    }
    // A family's number is no such thing.
    let other = patient("uuy", "1999-02-03", "male", ("urn:oid:1.2.3", "V1111"));
    assert!(!told(&server, &other, "Amoxicillin").await.contains("Patient/V1111"));
}

#[tokio::test]
async fn another_number_of_a_message_finds_the_patient_who_has_it() {
    let (server, address) = start(&[]);
    let jane = patient("vv4", "1960-02-03", "female", ("urn:oid:1.2.3", "K444"));
    assert_eq!(put(&server, std::slice::from_ref(&jane)).await.0, 200);
    let sent = message("EPIC", ("9444", JANE), "1", "20260301110000", "AL1|1|DA|^Penicillin\r")
        .replace("9444^^^HOSP^MR", "9444^^^HOSP^MR~K444^^^&1.2.3&ISO^PI");
    assert!(send(&address, &[&sent])[0].contains("\rMSA|AA|"));
    assert_eq!(profile(&server, "vv4").await["allergies"], json!(["Penicillin"]));
    assert!(profile(&server, "9444").await.is_null());
    assert!(told(&server, &jane, "Amoxicillin").await.contains("critical"));
}
