use super::*;
use crate::tagger::Document;
use crate::tagger::chain::Span;
use crate::tagger::lexicon::Lexicons;

/// The tokens of `name` in `document`, the last that are there.
fn place(document: &Document, name: &str) -> Span {
    let words: Vec<String> = Document::new(name, &Lexicons::default(), 99).lowers;
    let begins = |at: &usize| document.lowers[*at..].starts_with(&words);
    let start = (0..document.lowers.len()).rev().find(begins).unwrap_or_else(|| panic!("{name}"));
    Span { start, end: start + words.len(), label: 0 }
}

fn of(text: &str, name: &str) -> Assertion {
    let document = Document::new(text, &Lexicons::default(), 999);
    document.said(place(&document, name), &[], None)
}

fn letters(text: &str, name: &str) -> String {
    let said = of(text, name);
    assert_eq!(Assertion::from_bits(said.to_bits()), said);
    in_letters(said)
}

/// What is said, in letters: denied, supposed, past, family, other.
pub fn in_letters(said: Assertion) -> String {
    let letters = [
        (said.negated, 'd'),
        (said.speculated, 's'),
        (said.historical, 'p'),
        (said.subject == Subject::Family, 'f'),
        (said.subject == Subject::Other, 'o'),
    ];
    letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect()
}

fn check(rows: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(text, name, expected)| letters(text, name) != *expected)
        .map(|(text, name, expected)| format!("{text} / {name}: {:?}, not {expected:?}", letters(text, name)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn cues_reach_as_far_as_the_sentence_goes_on() {
    for (text, name, expected) in [
        ("no fever or cough", "cough", (true, false)),
        ("no fever but cough", "cough", (false, false)),
        ("patient denies chest pain", "pain", (true, false)),
        ("pneumonia was ruled out", "pneumonia", (true, false)),
        ("possible pneumonia", "pneumonia", (false, true)),
        ("steroids may cause psychosis", "psychosis", (false, true)),
        ("pneumonia cannot be excluded", "pneumonia", (false, true)),
        ("no increase in pain", "pain", (false, false)),
        ("not only pain", "pain", (false, false)),
        ("rule out sepsis", "sepsis", (true, true)),
        ("fever and cough", "cough", (false, false)),
        ("no a b c d e f g h cough", "cough", (false, false)),
    ] {
        let Assertion { negated, speculated, .. } = of(text, name);
        assert_eq!((negated, speculated), expected, "{text}");
    }
}

#[test]
fn a_list_is_denied_to_its_end_and_no_further() {
    let list =
        "Denies fever, chills, night sweats, weight loss, nausea, vomiting, abdominal pain, melena or rash.";
    for name in ["fever", "weight loss", "vomiting", "melena", "rash"] {
        assert_eq!(letters(list, name), "d", "{name}");
    }
    check(&[
        ("Denies: fever, chills", "chills", "d"),
        ("ROS negative for the following: fever, rash", "rash", "d"),
        ("Denies fever, reports cough", "cough", ""),
        ("No fever, and has a rash", "rash", ""),
        ("Denies fever, patient has rash", "rash", ""),
        ("No fever and she developed a rash", "rash", ""),
        ("No rash after amoxicillin", "amoxicillin", ""),
        ("No rash after amoxicillin", "rash", "d"),
        ("Not taking warfarin due to bleeding", "bleeding", ""),
        ("She doesn't have asthma", "asthma", "d"),
        ("Patient has NO rash", "rash", "d"),
        ("DENIES FEVER. NO RASH", "RASH", "d"),
        ("Tremor, no seizures, and nephrotoxicity", "seizures", "d"),
        ("Tremor, no seizures, and nephrotoxicity", "nephrotoxicity", ""),
        ("Cough, no fever, chills or rash", "rash", "d"),
        ("NO donors lowered hypertension", "hypertension", ""),
        ("Inhibition of NO caused hypertension", "hypertension", ""),
    ]);
}

#[test]
fn what_stands_behind_a_name_denies_it() {
    check(&[
        ("Fever: none, cough: yes", "Fever", "d"),
        ("Fever, chills: denied", "Fever", "d"),
        ("Fever, chills: denied", "chills", "d"),
        ("Rash: no. Cough", "Rash", "d"),
        ("Cardiac: no murmur", "Cardiac", ""),
        ("Cardiac: no murmur", "murmur", "d"),
        ("fever (-)", "fever", "d"),
        ("HIV negative", "HIV", "d"),
        ("PMH: hypertension, HIV negative", "hypertension", "p"),
        ("Fever denied, cough present", "Fever", "d"),
        ("Fever denied, cough present", "cough", ""),
        ("Rash present, fever absent", "Rash", ""),
        ("Rash present, fever absent", "fever", "d"),
        ("fever, chills and rash were absent", "fever", "d"),
        ("Negative for pneumonia", "pneumonia", "d"),
        ("Vancomycin-induced red man syndrome was ruled out", "red man syndrome", "d"),
        ("Vancomycin-induced red man syndrome was ruled out", "Vancomycin", ""),
        ("Pneumonia was ruled out, fever went on", "fever", ""),
    ]);
}

#[test]
fn what_is_supposed_asked_or_may_come_is_not_stated() {
    check(&[
        ("?PE", "PE", "s"),
        ("Chest pain. ? Pneumonia", "Pneumonia", "s"),
        ("Chest pain ?PE, fever", "PE", "s"),
        ("Chest pain ?PE, fever", "fever", ""),
        ("Chest pain ?PE, fever", "Chest pain", ""),
        ("PE?", "PE", "s"),
        ("Is he well? Pneumonia is gone", "Pneumonia", ""),
        ("Possible pneumonia, fever", "fever", ""),
        ("Possible pneumonia or PE", "PE", "s"),
        ("Pneumonia suspected", "Pneumonia", "s"),
        ("Admitted to rule out sepsis", "sepsis", "s"),
        ("r/o sepsis", "sepsis", "s"),
        ("PE unlikely", "PE", "ds"),
        ("Cannot rule out sepsis", "sepsis", "s"),
        ("If rash develops, stop amoxicillin", "rash", "s"),
        ("If rash develops, stop amoxicillin", "amoxicillin", ""),
        ("Stop amoxicillin if rash or fever develops", "fever", "s"),
        ("Return if fever, vomiting or rash", "vomiting", "s"),
        ("Monitor for hepatotoxicity", "hepatotoxicity", "s"),
        ("at risk of stroke", "stroke", "s"),
        ("On heparin for DVT prophylaxis", "DVT", "s"),
        ("Seen in May 2019 with rash", "rash", ""),
    ]);
}

#[test]
fn history_is_told_from_the_present() {
    check(&[
        ("65M with history of diabetes and hypertension presents with chest pain", "diabetes", "p"),
        ("65M with history of diabetes and hypertension presents with chest pain", "hypertension", "p"),
        ("65M with history of diabetes and hypertension presents with chest pain", "chest pain", ""),
        ("h/o asthma", "asthma", "p"),
        ("s/p appendicitis, now fever", "fever", ""),
        ("Stroke in 1999", "Stroke", "p"),
        ("Hypertension since 1999", "Hypertension", ""),
        ("MI three years ago", "MI", "p"),
        ("No history of seizures", "seizures", "dp"),
        ("History of present illness: fever", "fever", ""),
        ("Fever prior to admission with rash", "rash", ""),
        ("A previously healthy man had hepatitis", "hepatitis", ""),
        ("PMH:\n- asthma\n- gout\n\nFever today", "gout", "p"),
        ("PMH:\n- asthma\n- gout\n\nFever today", "Fever", ""),
        ("PMH:\nasthma\nMedications: aspirin\nlisinopril", "lisinopril", ""),
    ]);
}

#[test]
fn what_relatives_have_is_not_the_patients() {
    check(&[
        ("Mother had breast cancer", "breast cancer", "f"),
        ("Family history of breast cancer, presents with a lump", "breast cancer", "f"),
        ("Family history of breast cancer, presents with a lump", "lump", ""),
        ("No family history of diabetes", "diabetes", "df"),
        ("Family history of asthma but has eczema", "eczema", ""),
        ("FH: stroke, diabetes", "diabetes", "f"),
        ("Breast cancer in her mother", "Breast cancer", "f"),
        ("Diabetes (mother)", "Diabetes", "f"),
        ("Diabetes - father, asthma", "Diabetes", "f"),
        ("His father died at the age of 52 from complications of metastatic melanoma", "melanoma", "f"),
        ("Father was found to have colon cancer", "colon cancer", "f"),
        ("Mother has asthma but no diabetes", "diabetes", "df"),
        ("Her sister, who has lupus", "lupus", "f"),
        ("Mother has asthma and the patient has eczema", "eczema", ""),
        ("Colon cancer runs in the family", "Colon cancer", "f"),
        ("FAMILY HISTORY:\nMother - stroke\nmelanoma\n\nEXAM:\nrash", "melanoma", "f"),
        ("FAMILY HISTORY:\nMother - stroke\nmelanoma\n\nEXAM:\nrash", "stroke", "f"),
        ("FAMILY HISTORY:\nMother - stroke\nmelanoma\n\nEXAM:\nrash", "rash", ""),
        ("Roommate had influenza", "influenza", "o"),
        // Who tells of the patient, or is only named.
        ("Mother reports fever", "fever", ""),
        ("Per mother, rash since Monday", "rash", ""),
        ("Mother denies vomiting", "vomiting", "d"),
        ("Wife noticed confusion", "confusion", ""),
        ("Lives with wife, has diabetes", "diabetes", ""),
        ("Two brothers with hemophilia", "hemophilia", ""),
        ("His two brothers had hemophilia", "hemophilia", "f"),
        ("Mother of three with asthma", "asthma", ""),
        ("Mother-to-child transmission of HIV", "HIV", ""),
    ]);
}

#[test]
fn a_line_that_was_only_full_goes_on_in_the_next() {
    let note = "The patient denies any shortness of breath at rest, fever or\nchills. Cough\nrash";
    check(&[(note, "chills", "d"), (note, "Cough", ""), (note, "rash", "")]);
    check(&[("Denies fever,\r\nchills", "chills", "d"), ("No fever\ncough", "cough", "")]);
}

#[test]
fn a_name_is_freed_of_the_words_that_deny_it() {
    for (text, expected) in [
        ("no nausea or vomiting", vec!["nausea or vomiting"]),
        ("denies rash and itching", vec!["rash and itching"]),
        ("fever, denies rash", vec!["fever", "rash"]),
        ("tremor, no seizures, and ataxia", vec!["tremor", "seizures", "ataxia"]),
        ("chest pain ? pneumonia", vec!["chest pain", "pneumonia"]),
        ("rash absent", vec!["rash"]),
        ("diabetes in her mother", vec!["diabetes"]),
        ("history of chronic hepatitis", vec!["chronic hepatitis"]),
        ("possible vasculitis", vec!["possible vasculitis"]),
        ("migraine without aura", vec!["migraine without aura"]),
        ("absence of the iris", vec!["absence of the iris"]),
        ("NO synthase", vec!["NO synthase"]),
        ("NO", vec!["NO"]),
        ("no", vec!["no"]),
    ] {
        let document = Document::new(text, &Lexicons::default(), 99);
        let whole = Span { start: 0, end: document.tokens.len(), label: 0 };
        let freed = document.freed(vec![(whole, 0.5)], 0);
        let read = |(span, _): &(Span, f64)| {
            &text[document.tokens[span.start].bytes.start..document.tokens[span.end - 1].bytes.end]
        };
        assert_eq!(freed.iter().map(read).collect::<Vec<_>>(), expected);
    }
    // What is left in the name speaks of it; what was found with the cue and without it is as probable as both.
    assert_eq!(letters("possible vasculitis", "possible vasculitis"), "s");
    assert_eq!(letters("Return if fever or vomiting", "Return if fever or vomiting"), "s");
    assert_eq!(letters("absence of the iris", "absence of the iris"), "");
    let document = Document::new("Then no rash", &Lexicons::default(), 99);
    let spans = [(1, 3), (2, 3)].map(|(start, end)| (Span { start, end, label: 0 }, 0.25));
    assert_eq!(document.freed(spans.to_vec(), 0), [(spans[1].0, 0.5)]);
}
