//! Which texts deny, and which of them plainly.

use super::*;
use recommend::normalise;

#[test]
fn a_denial_has_no_word_that_is_not_part_of_it() {
    let of = |text: &str| denial(List::Allergies, &normalise(text));
    for text in [
        "No known allergies",
        "No Known Allergies (NKA)",
        "NKDA; NKFA",
        "Patient denies any known drug allergies.",
        "No known food or drug allergies",
        "No known allergies to food, latex or insects",
        "No known drug allergies or food allergies",
        "No known allergy (context-dependent category)",
        "Keine bekannten Allergien",
        "Aucune allergie connue",
        "Sin alergias conocidas",
        "无已知药物过敏史",
        "否认食物、药物过敏史",
        "Allergies: NKDA",
        "Drug allergies: none known",
    ] {
        assert!(of(text).is_some(), "{text}");
    }
    for text in [
        "No known food allergies; penicillin causes hives",
        "No known food allergies. Allergic to penicillin",
        "No known food allergies, latex allergy",
        "No known food allergies, latex",
        "No known allergies to food. Latex.",
        "No known allergies to food: drugs",
        "No known allergies: penicillin",
        "NKDA (penicillin)",
        "NKDA except penicillin",
        "NKDA, latex",
        "Not known whether amoxicillin caused rash within minutes",
        "Not allergic to penicillin",
        "No known environmental allergies - penicillin (rash)",
        "Latex: no known food allergies",
        "Latex allergy: no known food allergies",
        "Allergies: NKDA; penicillin",
        "Allergies: penicillin",
        "Allergies: NKDA, latex",
        "Not NKDA",
        "No NKDA",
        "无食物过敏,青霉素过敏",
        "无食物过敏青霉素",
        "No, drug allergies",
        "None, drug allergies",
        "Keine, Medikamentenallergien",
        "无，药物过敏",
        "No known allergies: no, drug allergies",
        "Penicillin",
        "confirmed",
        "",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
    let said = of("No known food allergies; NKDA").unwrap();
    assert!(said.known && said.drugs && said.others);
    assert!(denial(List::Medications, "no current medications").is_some());
    assert_eq!(denial(List::Medications, "no medications; warfarin"), None);
    assert_eq!(denial(List::Conditions, "no known problems. asthma"), None);
}

#[test]
fn a_denial_is_plain_where_nothing_is_left_open() {
    let plain = |text: &str| denial(List::Allergies, &normalise(text)).is_some_and(|said| said.plain);
    for text in [
        "No drug allergies",
        "No medication allergies",
        "No allergies known",
        "No known allergies or intolerances",
        "Keine Allergien bekannt",
        "Keine Medikamentenallergien",
        "无药物过敏史",
        "Pt denies allergies",
        "Patient has no known allergies.",
        "Nil known drug allergies (finding)",
        "Allergies: NKDA",
        "Drug allergies: none",
        "Known allergies: none",
        "No known allergies to any medications",
        "Pt has no drug allergies",
        "No known allergies to food, drugs",
    ] {
        assert!(plain(text), "{text}");
    }
    for text in [
        "Not known",
        "Allergies: not known",
        "Allergies not known",
        "Negative drug reaction",
        "No drug reactions",
        "No drugs",
        "No known drug",
        "None known",
        "No allergies",
        "No drug allergies recorded",
        "No drug allergies documented",
        "No history of drug allergies",
        "No drug for allergies",
        "No confirmed drug allergies",
        "No known allergies to",
        "No drug allergies or",
        "No drug allergies; none",
        "No, has drug allergies",
        "No has drug allergies",
        "No drug allergies?",
        "NKDA?",
        "Allergies: none",
        "未明确药物过敏",
        "No known medications",
    ] {
        assert!(!plain(text), "{text}");
    }
    let plain = |list, text: &str| denial(list, &normalise(text)).is_some_and(|said| said.plain);
    for text in ["No known problems", "No problems", "No active problems", "no known medical conditions"] {
        assert!(plain(List::Conditions, text), "{text}");
    }
    for text in [
        "No known diagnosis",
        "No disease",
        "No past problems",
        "No problems documented",
        "No problems?",
        "Problems not known",
        "No other problems",
        "No problems; asthma",
        "No drug problems",
    ] {
        assert!(!plain(List::Conditions, text), "{text}");
    }
    for text in [
        "No known medications",
        "No active medications",
        "Denies medications",
        "No current medications",
        "Not taking any medications",
        "Patient not on any medication",
        "Patient takes no medications",
        "Patient on no medications",
    ] {
        assert!(plain(List::Medications, text), "{text}");
    }
    for text in [
        "Not taking medications",
        "Medications not taken",
        "No longer takes medications",
        "No regular medications",
        "No prescribed medications",
        "No medications documented",
        "No new medications",
        "Denies drug use",
        "No drugs",
        "No medications?",
        "No medications except warfarin",
        "Not any medications",
        "Unknown",
    ] {
        assert!(!plain(List::Medications, text), "{text}");
    }
}
