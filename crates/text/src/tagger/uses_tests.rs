//! Drugs that are denied beside what they did, and denials that are only of the time before.

use crate::tagger::Document;
use crate::tagger::chain::Span;
use crate::tagger::lexicon::Lexicons;

/// The tokens of `name` in `document`.
fn place(document: &Document, name: &str, label: usize) -> Span {
    let words = Document::new(name, &Lexicons::default(), 99).lowers;
    let begins = |at: &usize| document.lowers[*at..].starts_with(&words);
    let start = (0..document.lowers.len()).find(begins).unwrap_or_else(|| panic!("{name}"));
    Span { start, end: start + words.len(), label }
}

/// Notes, each with a drug and what it may have done, of which the relation is denied or not.
fn check(denied: bool, rows: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (text, drug, effect) in rows {
        let document = Document::new(text, &Lexicons::default(), 99);
        let names = [place(&document, drug, 0), place(&document, effect, 1)];
        let said = names.map(|name| (name, document.said(name, &names, Some(0)).negated));
        if document.denies(said[0], said[1], true) != denied {
            wrong.push((text, said.map(|(_, negated)| negated)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_was_not_there_until_a_drug_came_is_there() {
    check(
        false,
        &[
            ("She had never had angioedema until she started lisinopril.", "lisinopril", "angioedema"),
            ("Never had anaphylaxis before today when she received penicillin.", "penicillin", "anaphylaxis"),
            ("He had never had hives before taking penicillin.", "penicillin", "hives"),
            ("No cough until lisinopril was started.", "lisinopril", "cough"),
            ("No history of seizures before bupropion was started.", "bupropion", "seizures"),
            ("There was no cough prior to starting lisinopril.", "lisinopril", "cough"),
            ("She denied any muscle pain before simvastatin.", "simvastatin", "muscle pain"),
            ("Rash was absent until she took amoxicillin.", "amoxicillin", "Rash"),
            ("The rash did not appear until day 3 of amoxicillin.", "amoxicillin", "rash"),
            ("It was not until she took amoxicillin that hives appeared.", "amoxicillin", "hives"),
            ("No fever or rash until amoxicillin was given.", "amoxicillin", "fever"),
            ("Until she took lisinopril she had never had angioedema.", "lisinopril", "angioedema"),
            ("He hadn't had any angioedema till lisinopril.", "lisinopril", "angioedema"),
        ],
    );
    check(
        true,
        &[
            ("No rash before or after amoxicillin.", "amoxicillin", "rash"),
            ("No rash until now on amoxicillin.", "amoxicillin", "rash"),
            ("No bleeding on warfarin until discharge.", "warfarin", "bleeding"),
            ("There was no hemorrhage on warfarin before discharge.", "warfarin", "hemorrhage"),
            ("Never had angioedema on lisinopril.", "lisinopril", "angioedema"),
            ("Denies rash, no cough until lisinopril.", "lisinopril", "rash"),
        ],
    );
}

#[test]
fn a_drug_that_is_stopped_or_forbidden_has_done_what_it_did() {
    check(
        false,
        &[
            ("He no longer takes warfarin because of intracranial hemorrhage.", "warfarin", "hemorrhage"),
            ("Patient is not on warfarin; stopped after hemorrhage.", "warfarin", "hemorrhage"),
            ("Not on lisinopril (angioedema).", "lisinopril", "angioedema"),
            ("Do not give penicillin - anaphylaxis.", "penicillin", "anaphylaxis"),
            ("Do not give penicillin (anaphylaxis).", "penicillin", "anaphylaxis"),
            ("Do not give penicillin: anaphylaxis.", "penicillin", "anaphylaxis"),
            ("Do not administer heparin, HIT.", "heparin", "HIT"),
            ("Should not be given ibuprofen as it caused a GI bleed.", "ibuprofen", "GI bleed"),
            ("Penicillin should not be given (anaphylaxis).", "Penicillin", "anaphylaxis"),
            ("No penicillin (anaphylaxis).", "penicillin", "anaphylaxis"),
            ("No more ibuprofen because of gastric ulcer.", "ibuprofen", "gastric ulcer"),
            ("Told never to take penicillin because of anaphylaxis.", "penicillin", "anaphylaxis"),
            ("Because of angioedema she never took lisinopril again.", "lisinopril", "angioedema"),
            ("She was not given penicillin because of previous anaphylaxis.", "penicillin", "anaphylaxis"),
            ("Has not taken ibuprofen since her ulcer.", "ibuprofen", "ulcer"),
            ("Anaphylaxis in 2010, so no penicillin.", "penicillin", "Anaphylaxis"),
            ("Penicillin is contraindicated (anaphylaxis).", "Penicillin", "anaphylaxis"),
            ("Rash persisted despite stopping amoxicillin.", "amoxicillin", "Rash"),
            ("Angioedema has not recurred since lisinopril was stopped.", "lisinopril", "Angioedema"),
            ("No clozapine, agranulocytosis.", "clozapine", "agranulocytosis"),
        ],
    );
    check(
        true,
        &[
            ("She was never given penicillin and has a rash.", "penicillin", "rash"),
            ("He did not receive amoxicillin but has a rash.", "amoxicillin", "rash"),
            ("HPI: never given penicillin and has a rash.", "penicillin", "rash"),
            ("He has a rash but was never on amoxicillin.", "amoxicillin", "rash"),
            ("Rash occurred without amoxicillin.", "amoxicillin", "Rash"),
            ("Not on lisinopril but has a cough.", "lisinopril", "cough"),
            ("Denies taking aspirin but has an ulcer.", "aspirin", "ulcer"),
            ("She is not on lisinopril and has no cough.", "lisinopril", "cough"),
            ("Not on lisinopril and no cough.", "lisinopril", "cough"),
            ("No longer on warfarin and no hemorrhage.", "warfarin", "hemorrhage"),
            ("Did not take aspirin or develop an ulcer.", "aspirin", "ulcer"),
            ("No amoxicillin, rash or fever.", "amoxicillin", "rash"),
            ("It was not amoxicillin that caused the rash.", "amoxicillin", "rash"),
            ("The rash did not come from amoxicillin.", "amoxicillin", "rash"),
            ("No rash with amoxicillin.", "amoxicillin", "rash"),
            ("Tolerated penicillin without anaphylaxis.", "penicillin", "anaphylaxis"),
            ("Never had a reaction to penicillin.", "penicillin", "reaction"),
            ("No evidence of lisinopril-induced angioedema.", "lisinopril", "angioedema"),
        ],
    );
}

#[test]
fn what_nobody_noticed_or_doubts_was_there() {
    check(
        false,
        &[
            ("No one noticed the rash after amoxicillin until the next day.", "amoxicillin", "rash"),
            ("Nobody told the doctor about her hives after penicillin.", "penicillin", "hives"),
            ("He did not know that aspirin caused the ulcer.", "aspirin", "ulcer"),
            ("The nurse didn't notice the rash after amoxicillin.", "amoxicillin", "rash"),
            ("There is little doubt that isoniazid caused hepatitis.", "isoniazid", "hepatitis"),
            ("We could not exclude isoniazid-induced hepatitis.", "isoniazid", "hepatitis"),
            ("Without warning she developed seizures after bupropion.", "bupropion", "seizures"),
            ("Penicillin caused not only hives but fever.", "Penicillin", "hives"),
            ("No known allergies except penicillin (rash).", "penicillin", "rash"),
            ("No allergies besides penicillin (rash).", "penicillin", "rash"),
            ("Denies any allergy but had hives with penicillin.", "penicillin", "hives"),
            ("A man with no known allergies developed hives after penicillin.", "penicillin", "hives"),
            ("No treatment was given for the rash caused by amoxicillin.", "amoxicillin", "rash"),
        ],
    );
    check(
        true,
        &[
            ("No one noticed any rash after amoxicillin.", "amoxicillin", "rash"),
            ("Nobody had a rash after amoxicillin.", "amoxicillin", "rash"),
            ("No doubt there was no rash after amoxicillin.", "amoxicillin", "rash"),
            ("None of the patients developed hepatitis on isoniazid.", "isoniazid", "hepatitis"),
        ],
    );
}

/// What a drug was given for is not what it did: one that is not given is not given for it.
#[test]
fn a_drug_that_is_not_given_treats_nothing() {
    for text in ["No metformin for diabetes", "No longer on metformin for diabetes"] {
        let document = Document::new(text, &Lexicons::default(), 99);
        let names = [place(&document, "metformin", 0), place(&document, "diabetes", 1)];
        let said = names.map(|name| (name, document.said(name, &names, Some(0)).negated));
        assert_eq!(said.map(|(_, negated)| negated), [true, false], "{text}");
        assert!(document.denies(said[0], said[1], false), "{text}");
    }
}

#[test]
fn a_drug_that_waits_for_something_is_not_there() {
    for text in ["No ibuprofen until the bleeding stops", "Do not give ibuprofen until Monday"] {
        let document = Document::new(text, &Lexicons::default(), 99);
        assert!(document.said(place(&document, "ibuprofen", 0), &[], None).negated, "{text}");
    }
}
