//! Notes as people in a hurry write them: answers, boxes and tables, small letters and few stops.

use proptest::prelude::*;

use super::sentence_tests::{check, letters, place};
use super::*;
use crate::tagger::Document;
use crate::tagger::chain::Span;
use crate::tagger::lexicon::Lexicons;

#[test]
fn an_answer_is_of_the_name_before_it_alone() {
    check(&[
        ("Fever - no, cough - yes", &[("Fever", "d"), ("cough", "-")]),
        ("Seizures - No, Asthma - Yes", &[("Seizures", "d"), ("Asthma", "-")]),
        (
            "Diabetes no, hypertension yes, gout no",
            &[("Diabetes", "d"), ("hypertension", "-"), ("gout", "d")],
        ),
        ("Diabetes Yes Hypertension No Gout Yes", &[("Diabetes", "-"), ("Hypertension", "d"), ("Gout", "-")]),
        ("Diabetes | No | Hypertension | Yes", &[("Diabetes", "d"), ("Hypertension", "-")]),
        ("Diabetes\tNo\tHypertension\tYes", &[("Diabetes", "d"), ("Hypertension", "-")]),
        ("fever (yes), cough (no), rash (yes)", &[("fever", "-"), ("cough", "d"), ("rash", "-")]),
        ("Fever? No. Rash? Yes.", &[("Fever", "d"), ("Rash", "-")]),
        ("Any chest pain? No", &[("chest pain", "d")]),
        ("Q: seizures? A: none", &[("seizures", "d")]),
        ("Rash, no. Fever, yes.", &[("Rash", "d"), ("Fever", "-")]),
        ("Diabetes: N  Hypertension: Y", &[("Diabetes", "d"), ("Hypertension", "-")]),
        ("Diabetes: N Hypertension: Y Gout: N", &[("Diabetes", "d"), ("Hypertension", "-"), ("Gout", "d")]),
        ("Fever: no Cough: no Rash: yes", &[("Fever", "d"), ("Cough", "d"), ("Rash", "-")]),
        ("Fever: no - cough: yes", &[("Fever", "d"), ("cough", "-")]),
        ("Fever = no; cough = yes", &[("Fever", "d"), ("cough", "-")]),
        ("chest pain - denies", &[("chest pain", "d")]),
        ("Diabetes: never", &[("Diabetes", "d")]),
        ("Diabetes: none known", &[("Diabetes", "d")]),
        ("Diabetes: false", &[("Diabetes", "d")]),
        ("Fever, chills: all denied", &[("Fever", "d"), ("chills", "d")]),
        ("Fever nil", &[("Fever", "d")]),
        ("Pneumonia, ruled out", &[("Pneumonia", "d")]),
        ("Pneumonia: resolved 2019", &[("Pneumonia", "p")]),
        ("Any seizures? No, but syncope.", &[("seizures", "d"), ("syncope", "-")]),
        ("PMH:\nDiabetes: yes\nAsthma\nStroke: no", &[("Diabetes", "p"), ("Asthma", "p"), ("Stroke", "dp")]),
        // What looks like an answer is none.
        ("Asthma - no hospitalizations, wheezing today", &[("Asthma", "-"), ("wheezing", "-")]),
        (
            "CV: no murmur. ABD: no tenderness. EXT: no edema",
            &[("murmur", "d"), ("tenderness", "d"), ("edema", "d")],
        ),
        ("CV: no murmur ABD: no tenderness", &[("murmur", "d"), ("tenderness", "d")]),
        ("Case no. 5, hepatitis", &[("hepatitis", "-")]),
        ("nitric oxide (NO) and rash", &[("nitric oxide", "-"), ("rash", "-")]),
        ("Rh(0) immune globulin", &[("Rh", "-")]),
    ]);
}

#[test]
fn boxes_and_signs_stand_all_before_or_all_behind() {
    check(&[
        (
            "[ ] Diabetes [x] Hypertension [ ] Asthma",
            &[("Diabetes", "d"), ("Hypertension", "-"), ("Asthma", "d")],
        ),
        ("Fever [ ] Cough [x] Nausea [ ]", &[("Fever", "d"), ("Cough", "-"), ("Nausea", "d")]),
        ("Past history [ ] Diabetes [x] Gout", &[("Diabetes", "d"), ("Gout", "-")]),
        ("☐ Diabetes ☒ Hypertension", &[("Diabetes", "d"), ("Hypertension", "-")]),
        ("Diabetes: [ ] Yes [x] No", &[("Diabetes", "d")]),
        ("Diabetes: [x] Yes [ ] No", &[("Diabetes", "-")]),
        ("[-] fever", &[("fever", "d")]),
        ("Fever -, cough +", &[("Fever", "d"), ("cough", "-")]),
        ("+ fever, - rash", &[("fever", "-"), ("rash", "d")]),
        ("Resp: + cough, - dyspnea", &[("cough", "-"), ("dyspnea", "d")]),
        ("no pain, + nausea", &[("pain", "d"), ("nausea", "-")]),
        ("aspirin + clopidogrel, no bleeding", &[("clopidogrel", "-"), ("bleeding", "d")]),
    ]);
}

#[test]
fn usual_denials_are_seen() {
    check(&[
        ("cough w/o seizures or rash", &[("cough", "-"), ("seizures", "d"), ("rash", "d")]),
        ("w/o hx of diabetes", &[("diabetes", "dp")]),
        ("6 w/o male with fever", &[("fever", "-")]),
        ("Doesnt have fever, hasnt had seizures", &[("fever", "d"), ("seizures", "d")]),
        ("Inconsistent with stroke", &[("stroke", "d")]),
        ("chest pain is denied but nausea", &[("chest pain", "d"), ("nausea", "-")]),
        ("Diagnosis excluded: pneumonia", &[("pneumonia", "d")]),
        ("malaria test negative", &[("malaria", "d")]),
        ("Hepatitis C antibody: Negative", &[("Hepatitis C", "d")]),
        ("HIV infection: non-reactive", &[("HIV infection", "d")]),
        ("Malaria: not detected", &[("Malaria", "d")]),
        ("Pertinent negatives: fever, rash", &[("fever", "d"), ("rash", "d")]),
        ("CV: neg chest pain", &[("chest pain", "d")]),
        ("positive cough, negative fever", &[("cough", "-"), ("fever", "d")]),
        ("Ø fever", &[("fever", "d")]),
        ("Not just nausea but vomiting", &[("nausea", "-"), ("vomiting", "-")]),
        ("Negative symptoms of schizophrenia", &[("schizophrenia", "-")]),
    ]);
}

#[test]
fn a_clause_ends_where_people_end_it() {
    check(&[
        ("denies fever. productive cough", &[("fever", "d"), ("cough", "-")]),
        ("no hx of dm. asthma since childhood", &[("dm", "dp"), ("asthma", "-")]),
        ("family history of diabetes. asthma", &[("diabetes", "f"), ("asthma", "-")]),
        ("possible pneumonia. diabetes", &[("pneumonia", "s"), ("diabetes", "-")]),
        ("FH: diabetes. asthma", &[("diabetes", "f"), ("asthma", "f")]),
        ("no fever! cough", &[("fever", "d"), ("cough", "-")]),
        ("No fever.Cough present.Rash", &[("fever", "d"), ("Cough", "-"), ("Rash", "-")]),
        ("no fever • cough", &[("fever", "d"), ("cough", "-")]),
        ("1) no fever 2) cough", &[("fever", "d"), ("cough", "-")]),
        (
            "1. asthma 2. no hypertension 3. seizures",
            &[("asthma", "-"), ("hypertension", "d"), ("seizures", "-")],
        ),
        ("no fever - cough", &[("fever", "d"), ("cough", "-")]),
        ("no fever | cough", &[("fever", "d"), ("cough", "-")]),
        ("no fever\tcough", &[("fever", "d"), ("cough", "-")]),
        ("no fever (cough present)", &[("fever", "d"), ("cough", "-")]),
        ("Stroke (no deficits), hypertension", &[("deficits", "d"), ("hypertension", "-")]),
        // Where they do not.
        ("neg. for pneumonia", &[("pneumonia", "d")]),
        ("No E. coli sepsis", &[("sepsis", "d")]),
        ("no change at 7.5 mg vs. placebo, no rash", &[("rash", "d")]),
        ("No GI bleeding (melena, hematochezia)", &[("melena", "d"), ("hematochezia", "d")]),
        ("Denies: - fever - chills", &[("fever", "d"), ("chills", "d")]),
        ("no drug-induced hepatitis", &[("hepatitis", "d")]),
        ("Mother - stroke", &[("stroke", "f")]),
    ]);
}

#[test]
fn a_member_of_which_only_what_is_there_is_told_is_there() {
    for there in [
        "severe headache",
        "sudden onset headache",
        "worsening headache",
        "some headache",
        "old headache",
        "with headache",
        "having headache",
        "headache today",
        "headache this morning",
        "headache 10/10",
        "headache only",
        "headache worse",
        "headache due to chemotherapy",
        "does have headache",
    ] {
        let text = format!("No trauma, {there}");
        let document = Document::new(&text, &Lexicons::default(), 99);
        let said = |name: &str| document.said(place(&document, name), &[], None).negated;
        assert_eq!((said("trauma"), said("headache")), (true, false), "{text}");
    }
    check(&[
        ("no chest pain, hypotension with BP 80/40", &[("chest pain", "d"), ("hypotension", "-")]),
        ("no seizures, on levetiracetam for epilepsy", &[("levetiracetam", "-"), ("epilepsy", "-")]),
        ("no prior stroke, known epilepsy", &[("stroke", "dp"), ("epilepsy", "-")]),
        ("Denies chest pain, dyspnea today", &[("chest pain", "d"), ("dyspnea", "d")]),
        ("No fever, severe headache or rash", &[("headache", "d"), ("rash", "d")]),
        ("Denies fever, severe headache, rash", &[("headache", "d"), ("rash", "d")]),
        ("No fever, chills, severe headache", &[("chills", "d"), ("headache", "d")]),
        ("No hypertension, type 2 diabetes", &[("hypertension", "d"), ("diabetes", "d")]),
        ("No fever, rash", &[("fever", "d"), ("rash", "d")]),
    ]);
}

#[test]
fn headings_and_abbreviations_say_whose_it_is_and_when_it_was() {
    check(&[
        ("Family History\nBreast cancer", &[("Breast cancer", "f")]),
        ("PAST MEDICAL HISTORY\nAsthma\n\nPHYSICAL EXAM\nRash", &[("Asthma", "p"), ("Rash", "-")]),
        ("F/H: stroke", &[("stroke", "f")]),
        ("FMH: stroke", &[("stroke", "f")]),
        ("Family: stroke", &[("stroke", "f")]),
        ("Family: supportive. Depression", &[("Depression", "-")]),
        ("Mo: stroke; Fa: gout", &[("stroke", "f"), ("gout", "f")]),
        ("At 6 mo: rash", &[("rash", "-")]),
        ("FH stroke, DM", &[("stroke", "f"), ("DM", "f")]),
        ("FH is a disease", &[("disease", "-")]),
        ("Family Medical History: stroke. Seizures now.", &[("stroke", "f"), ("Seizures", "-")]),
        ("resolved pneumonia", &[("pneumonia", "p")]),
        ("Pneumonia (resolved)", &[("Pneumonia", "p")]),
        ("rash has resolved", &[("rash", "p")]),
        ("old stroke", &[("stroke", "p")]),
        ("65 year old stroke patient", &[("stroke", "-")]),
        ("An old man with pneumonia", &[("pneumonia", "-")]),
        ("5 years ago had stroke", &[("stroke", "p")]),
        ("Pneumonia 2015", &[("Pneumonia", "p")]),
        ("worried about cancer", &[("cancer", "s")]),
        ("Side effects include nausea, rash and hepatitis", &[("nausea", "s"), ("hepatitis", "s")]),
        ("Return precautions: fever, chest pain", &[("fever", "s"), ("chest pain", "s")]),
        ("pneumonia less likely", &[("pneumonia", "ds")]),
        ("pneumonia not confirmed", &[("pneumonia", "s")]),
        ("not ruled out: pneumonia", &[("pneumonia", "s")]),
        ("misdiagnosed as asthma", &[("asthma", "d")]),
        ("no asthma meds", &[("asthma", "-")]),
        ("not compliant with diabetes meds", &[("diabetes", "-")]),
        ("No reaction to penicillin, amoxicillin caused hives", &[("penicillin", "-"), ("amoxicillin", "-")]),
        ("no contraindication to heparin", &[("heparin", "-")]),
        ("Rash is not related to penicillin", &[("Rash", "-"), ("penicillin", "-")]),
    ]);
}

#[test]
fn a_drug_is_there_where_what_it_did_is_denied() {
    // The text, a name, one of another label behind it, and what is said of the two.
    for (text, first, second, expected) in [
        ("Denied bleeding on warfarin", "bleeding", "warfarin", ["d", "-"]),
        ("No hypoglycemia on metformin", "hypoglycemia", "metformin", ["d", "-"]),
        ("Did not have angioedema from lisinopril", "angioedema", "lisinopril", ["d", "-"]),
        ("No metformin for diabetes", "metformin", "diabetes", ["d", "-"]),
        ("No rash or amoxicillin", "rash", "amoxicillin", ["d", "d"]),
    ] {
        let document = Document::new(text, &Lexicons::default(), 99);
        let names = [place(&document, first), Span { label: 1, ..place(&document, second) }];
        let said = names.map(|name| letters(document.said(name, &names, None)));
        assert_eq!(said, expected, "{text}");
    }
}

#[test]
fn a_name_ends_with_its_clause_and_begins_with_a_word() {
    for (text, expected) in [
        ("denies fever. productive cough", vec!["fever", "productive cough"]),
        ("asthma 2) diabetes", vec!["asthma", "diabetes"]),
        ("hypertension yes, asthma", vec!["hypertension", "asthma"]),
        ("😀 fever", vec!["fever"]),
        ("者 fever", vec!["fever"]),
        ("FH - diabetes", vec!["diabetes"]),
        ("Ø fever", vec!["fever"]),
        ("old infarct", vec!["old infarct"]),
    ] {
        let document = Document::new(text, &Lexicons::default(), 99);
        let whole = Span { start: 0, end: document.tokens.len(), label: 0 };
        let freed = document.freed(vec![(whole, 0.5)], 0);
        let read = |(span, _): &(Span, f64)| {
            &text[document.tokens[span.start].bytes.start..document.tokens[span.end - 1].bytes.end]
        };
        assert_eq!(freed.iter().map(read).collect::<Vec<_>>(), expected, "{text}");
    }
    let document = Document::new("NO DIABETES", &Lexicons::default(), 99);
    assert!(document.freed(vec![(Span { start: 0, end: 1, label: 0 }, 0.5)], 0).is_empty());
}

#[test]
fn a_form_of_many_lines_takes_no_longer_than_its_lines() {
    for line in ["fever: no, ", "fever [ ] yes [x] no ", "fever (-), "] {
        let text = line.repeat(2000);
        let document = Document::new(&text, &Lexicons::default(), 99_999);
        let names = (0..document.lowers.len()).filter(|at| document.lowers[*at] == "fever");
        let names: Vec<Span> = names.map(|start| Span { start, end: start + 1, label: 0 }).collect();
        assert_eq!(names.len(), 2000);
        assert!(names.iter().all(|name| document.said(*name, &[], None).negated), "{line}");
    }
}

proptest! {
    /// Whatever is written, names stay where they are and say something.
    #[test]
    fn any_shorthand_is_read(
        words in prop::collection::vec((prop::sample::select(WORDS), prop::sample::select(GAPS)), 1..20),
        from in 0usize..20,
        length in 1usize..9,
    ) {
        let text: String = words.iter().map(|(word, gap)| format!("{word}{gap}")).collect();
        let document = Document::new(&text, &Lexicons::default(), 99);
        for sentence in &document.sentences {
            let start = from % sentence.len();
            let name = Span { start, end: (start + length).min(sentence.len()), label: 0 };
            let mut last = None;
            for (part, _) in document.freed(vec![(name, 0.5)], sentence.start) {
                prop_assert!(name.start <= part.start && part.start < part.end && part.end <= name.end, "{}", text);
                let placed = Span { start: part.start + sentence.start, end: part.end + sentence.start, label: 0 };
                let other = Span { label: 1, ..placed };
                let said = document.said(placed, &[other, last.unwrap_or(other)], None);
                prop_assert_eq!(Assertion::from_bits(said.to_bits()), said);
                document.denies((placed, said.negated), (last.unwrap_or(other), false), true);
                last = Some(other);
            }
        }
    }
}

const GAPS: &[&str] = &["", " ", " ", " ", "  ", "\t", "\n"];
const WORDS: &[&str] = &[
    "fever",
    "rash",
    "cough",
    "no",
    "No",
    "NO",
    "yes",
    "n",
    "none",
    ",",
    ".",
    ";",
    ":",
    "?",
    "!",
    "(",
    ")",
    "[",
    "]",
    "-",
    "–",
    "+",
    "/",
    "|",
    "•",
    "1",
    "2)",
    "a)",
    "x",
    "☐",
    "☒",
    "denies",
    "and",
    "or",
    "but",
    "w/o",
    "FH",
    "mo:",
    "family history of",
    "neg",
    "negative",
    "old",
    "resolved",
    "unlikely due to",
    "on",
    "with",
    "for",
    "2015",
    "0",
    "ruled out",
    "today",
    "severe",
    "→",
    "😀",
    "者",
    "despite",
    "until",
    "before",
    "never",
    "not on",
    "without",
    "no one noticed",
    "recurred",
    "stopped",
    "meds",
    "test",
];
