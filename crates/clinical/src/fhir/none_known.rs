//! Where a record says that there is nothing: no known allergy, no medication, and of what. An empty list lets drugs be
//! recommended, so it follows only from what says so of drugs and is not contradicted beside it. "No known food allergy" says
//! nothing of drugs, "not on file" says nothing at all.

use recommend::{Terminology, normalise};

use super::denial::{denial, headed, is_tag};
use super::people::List;
use super::resources::{CodeableConcept, Coding, clean};

const SNOMED: [&str; 2] = ["http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"];
/// Where the code systems of the International Patient Summary are, and what the name of that has in it which says that there is
/// none.
const SUMMARY: (&str, &str) = ("http://hl7.org/fhir/uv/ips/", "absent-unknown");
/// What a text calls SNOMED CT before a code.
const SNOMED_IN_WORDS: [&str; 5] =
    ["snomed", "snomed ct", "sct", "http snomed info sct", "urn oid 2 16 840 1 113883 6 96"];

/// Codes of SNOMED CT and of the International Patient Summary that say that there is none, by list.
const NO_DRUG_ALLERGY: [&str; 2] = ["409137002", "no-known-medication-allergies"];
const NO_ALLERGY: [&str; 2] = ["716186003", "no-known-allergies"];
const NO_CONDITION: [&str; 3] = ["160245001", "no-known-problems", "no-known-conditions"];
const NO_MEDICATION: [&str; 2] = ["787481004", "no-known-medications"];
/// Codes that say so of something that is no drug: nothing follows for drugs.
const NO_OTHER_ALLERGY: [&str; 8] = [
    "428197003",
    "428607008",
    "429625007",
    "716184000",
    "716220001",
    "1003774007",
    "no-known-environmental-allergies",
    "no-known-food-allergies",
];
/// Codes of the International Patient Summary that say that nobody knows, and that of SNOMED CT for nobody asked.
const NO_INFORMATION: [&str; 4] =
    ["no-allergy-info", "no-problem-info", "no-medication-info", "1631000175102"];

/// Words for nobody asked, as records write them, without what the list is of: "allergies not on file", "no information about
/// problems".
const NOT_KNOWN: [&str; 11] = [
    "not on file",
    "none on file",
    "no on file",
    "not asked",
    "unable to assess",
    "unable to obtain",
    "no information",
    "no information available",
    "no information about",
    "no information on",
    "no recorded",
];
/// Words for what nobody knows. Of a condition they say nothing, since nothing is to be feared of it; of an allergy or a medicine
/// they may stand for what somebody reacts to, or takes.
const UNKNOWN: [&str; 3] = ["unknown", "unk", "not known"];
/// What lists are of, as it stands beside these words.
const OF_LISTS: [&str; 12] = [
    "allergy",
    "allergies",
    "condition",
    "conditions",
    "diagnosis",
    "medication",
    "medications",
    "medicine",
    "medicines",
    "patient",
    "problem",
    "problems",
];
/// Code systems of which every code says that there is no information.
const NO_VALUE: [&str; 3] = ["data-absent-reason", "v3-NullFlavor", "2.16.840.1.113883.5.1008"];
/// Words beside a denial that say that nothing stands there.
const NOT_APPLICABLE: [&str; 4] = ["n/a", "na", "not applicable", "-"];

/// What a concept says of there being nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// It names something.
    Not,
    /// There is none.
    None,
    /// There is none among drugs, whatever category the resource gives.
    NoDrug,
    /// There is none of a kind that is no drug.
    NoOther,
    /// Nobody knows.
    Unknown,
}

/// What a concept says of there being nothing. What names something beside that is heeded: of the two the named thing is
/// the one that can do harm.
pub(super) fn of(list: List, concept: &CodeableConcept) -> Absence {
    let mut said = Absence::Not;
    for coding in &concept.coding {
        let coded = by_code(list, coding);
        let worded = match coded {
            // Whatever its words are.
            Absence::Not if coding.qualified().is_some_and(|code| named(list, &code)) => Some(Absence::Not),
            Absence::Not => coding.display.as_deref().and_then(|words| by_words(list, words)),
            // The words of a code that is known to say so say nothing more, unless they name something.
            _ if named_beside(list, coding).is_some() => Some(Absence::Not),
            coded => Some(coded),
        };
        match worded {
            Some(Absence::Not) => return Absence::Not,
            Some(absence) => said = stronger(said, absence),
            None => {}
        }
    }
    match concept.text.as_deref().and_then(|words| by_words(list, words)) {
        Some(Absence::Not) => Absence::Not,
        Some(absence) => stronger(said, absence),
        None => said,
    }
}

/// What of a concept an entry is made of: no code and no words that say that there is nothing, beside what names something. An
/// entry that was called "NKDA" for its text would be taken for a denial by whoever has its words alone.
pub(super) fn entry(list: List, concept: &CodeableConcept) -> CodeableConcept {
    let coding = concept.coding.iter().filter_map(|coding| of_entry(list, coding)).collect();
    let whole = CodeableConcept { coding, text: concept.text.clone() };
    let with = |keep: &dyn Fn(Option<Absence>) -> bool| {
        let words = |text: &Option<String>| text.clone().filter(|words| keep(by_words(list, words)));
        let coding = |coding: &Coding| Coding { display: words(&coding.display), ..coding.clone() };
        CodeableConcept { coding: whole.coding.iter().map(coding).collect(), text: words(&whole.text) }
    };
    let naming = with(&|said| said == Some(Absence::Not));
    let names = |coding: &Coding| {
        coding.display.is_some() || coding.qualified().is_some_and(|code| named(list, &code))
    };
    if naming.text.is_some() || naming.coding.iter().any(names) {
        return naming;
    }
    // Of what nothing is known the words are kept that may be a denial, unless they are surely one.
    let unclear = with(&|said| matches!(said, None | Some(Absence::Not)));
    if unclear.is_worded() { unclear } else { whole }
}

/// Whether a concept names nothing: it denies that there is something, or says that nobody knows what.
pub(super) fn names_nothing(list: List, concept: &CodeableConcept) -> bool {
    if of(list, concept) != Absence::Not {
        return true;
    }
    let displays = concept.coding.iter().filter_map(|coding| coding.display.as_deref());
    let mut words = concept.text.as_deref().into_iter().chain(displays).map(normalise).peekable();
    let nothing = |normal: String| {
        let plain = without_list(&normal);
        normal.is_empty()
            || UNKNOWN.contains(&&*plain)
            || NOT_KNOWN.contains(&&*plain)
            || denial(list, &normal).is_some()
    };
    let coded = concept.coding.iter().filter_map(Coding::qualified).any(|code| named(list, &code));
    words.peek().is_some() && words.all(nothing) && !coded
}

/// A text without the words for what a list is of.
fn without_list(normal: &str) -> String {
    normal.split(' ').filter(|word| !OF_LISTS.contains(word)).collect::<Vec<_>>().join(" ")
}

/// Whether words beside a denial say something else, or may.
pub(super) fn contradicts(list: List, words: &str) -> bool {
    let normal = normalise(words);
    match by_words(list, words) {
        Some(Absence::Not) => !NOT_APPLICABLE.contains(&normal.as_str()),
        Some(_) => false,
        None => denial(list, &normal).is_some_and(|denial| denial.loose),
    }
}

/// What of a coding belongs to an entry: of a code that says that there is nothing only what its words name beside that.
fn of_entry(list: List, coding: &Coding) -> Option<Coding> {
    match by_code(list, coding) {
        Absence::Not => Some(coding.clone()),
        _ => named_beside(list, coding)
            .map(|words| Coding { display: Some(words.to_owned()), ..Coding::default() }),
    }
}

/// The words of a code, where they name something and are no denial of it.
fn named_beside(list: List, coding: &Coding) -> Option<&str> {
    let words = coding.display.as_deref()?;
    let meaning = Terminology::shared(&[]).understand(list.field(), words);
    let names = (meaning.known || meaning.partly) && !meaning.names.is_empty();
    (names && denial(list, &normalise(words)).is_none()).then_some(words)
}

/// Of two the one from which less follows: that nobody knows, then that it is about something else.
fn stronger(first: Absence, second: Absence) -> Absence {
    let order = |absence: Absence| match absence {
        Absence::Not => 0,
        Absence::None => 1,
        Absence::NoDrug => 2,
        Absence::NoOther => 3,
        Absence::Unknown => 4,
    };
    if order(second) > order(first) { second } else { first }
}

fn by_code(list: List, coding: &Coding) -> Absence {
    let system = coding.system.as_deref().map_or("", str::trim);
    let Some(code) = coding.code.as_deref().map(str::trim) else { return Absence::Not };
    if list == List::Conditions && NO_VALUE.iter().any(|own| system.contains(own)) {
        return Absence::Unknown;
    }
    // A house may use the same digits for something of its own, with its system or without one.
    let summary = system.starts_with(SUMMARY.0) && system.contains(SUMMARY.1);
    if !(SNOMED.contains(&system) || summary) {
        return Absence::Not;
    }
    if NO_INFORMATION.contains(&code) {
        return Absence::Unknown;
    }
    match list {
        List::Allergies if NO_DRUG_ALLERGY.contains(&code) => Absence::NoDrug,
        List::Allergies if NO_ALLERGY.contains(&code) => Absence::None,
        List::Allergies if NO_OTHER_ALLERGY.contains(&code) => Absence::NoOther,
        List::Conditions if NO_CONDITION.contains(&code) => Absence::None,
        List::Medications if NO_MEDICATION.contains(&code) => Absence::None,
        _ => Absence::Not,
    }
}

/// What words say; nothing where they deny something, and not what a list would be empty of. Words that are left over beside a
/// denial name something: what it is may not be known here, and the list must not look empty.
fn by_words(list: List, words: &str) -> Option<Absence> {
    let normal = normalise(words);
    if normal.is_empty() {
        return None;
    }
    let plain = without_list(&normal);
    if NOT_KNOWN.contains(&plain.as_str()) || (list == List::Conditions && UNKNOWN.contains(&plain.as_str()))
    {
        return Some(Absence::Unknown);
    }
    let denial = denial(list, &normal);
    match (list, denial) {
        (List::Allergies, Some(denial)) if denial.known && denial.others && !denial.drugs => {
            return Some(Absence::NoOther);
        }
        (List::Allergies, Some(denial)) if denial.plain && !denial.others => {
            return Some(if denial.drugs { Absence::NoDrug } else { Absence::None });
        }
        (List::Conditions | List::Medications, Some(denial)) if denial.plain => return Some(Absence::None),
        _ => {}
    }
    let words = match (denial, headed(list, &normal)) {
        (Some(_), Some((_, rest))) => rest,
        _ => words,
    };
    let meaning = Terminology::shared(&[]).understand(list.field(), words);
    match (meaning.known, meaning.names.is_empty(), denial) {
        (true, true, None) if is_bare_code(list, &normal) => None,
        (true, true, Some(denial)) if denial.drugs => Some(Absence::NoDrug),
        (true, true, _) => Some(Absence::None),
        (true, false, _) | (false, _, None) => Some(Absence::Not),
        // "No known food or drug allergies": no proof of none, and nothing is named.
        (false, _, Some(_)) => None,
    }
}

/// Whether a text denies by a code alone of which it does not say that it is SNOMED CT's: anybody may have such a number.
fn is_bare_code(list: List, normal: &str) -> bool {
    let is_code = |word: &str| word.len() >= 6 && word.bytes().all(|byte| byte.is_ascii_digit());
    let (codes, words): (Vec<&str>, Vec<&str>) = normal
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty() && !is_tag(word))
        .partition(|word| is_code(word));
    let words = words.join(" ");
    !codes.is_empty() && !SNOMED_IN_WORDS.contains(&words.as_str()) && !is_none(list, &words)
}

/// Whether whoever has these words alone takes them for a denial.
pub(super) fn is_none(list: List, words: &str) -> bool {
    let meaning = Terminology::shared(&[]).understand(list.field(), words);
    !words.is_empty() && meaning.known && meaning.names.is_empty()
}

/// The words of an entry. What denies nothing and would be taken for a denial by its words alone, such as the code of one without
/// its system, stands in the list as what nobody understands: so the list does not look empty.
pub(super) fn in_the_list(list: List, words: String) -> String {
    if is_none(list, &words) { clean(&format!("a code that is not understood ({words})")) } else { words }
}

fn named(list: List, code: &str) -> bool {
    let meaning = Terminology::shared(&[]).understand(list.field(), code);
    meaning.known && !meaning.names.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concept(codes: &[(&str, &str, &str)], text: &str) -> CodeableConcept {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let coding = |(system, code, display): &(&str, &str, &str)| Coding {
            system: some(system),
            code: some(code),
            display: some(display),
            ..Coding::default()
        };
        CodeableConcept { coding: codes.iter().map(coding).collect(), text: some(text) }
    }

    #[test]
    fn none_is_said_of_drugs_or_of_something_else_or_not_at_all() {
        let sct = SNOMED[0];
        for (codes, text, said) in [
            (vec![(sct, "716186003", "No known allergy (situation)")], "", Absence::None),
            (vec![("urn:local", "716186003", "")], "", Absence::Not),
            (vec![("urn:local/sct", "716186003", "")], "", Absence::Not),
            (vec![("urn:local:absent-unknown", "no-known-allergies", "")], "", Absence::Not),
            (vec![("", "716186003", "")], "", Absence::Not),
            (vec![("", "716186003", "No known allergy")], "", Absence::None),
            (vec![(sct, "716186003", "")], "716186003", Absence::None),
            (vec![], "716186003", Absence::Not),
            (vec![], "716186003 (situation)", Absence::Not),
            (vec![], "http://ehr.example.org/sct|716186003", Absence::Not),
            (vec![], "SCT 716186003", Absence::None),
            (
                vec![(
                    "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips",
                    "no-known-allergies",
                    "",
                )],
                "",
                Absence::None,
            ),
            (
                vec![(sct, "716186003", ""), (sct, "91936005", "Allergy to penicillin")],
                "Penicillin",
                Absence::Not,
            ),
            (vec![(sct, "716186003", "")], "Penicillin", Absence::Not),
            (vec![(sct, "716186003", ""), ("urn:local", "1", "NKA (no known allergies)")], "", Absence::None),
            (vec![(sct, "716186003", "")], "no known food allergies", Absence::NoOther),
            (vec![], "No known food allergy", Absence::NoOther),
            (vec![], "NKFA", Absence::NoOther),
            (vec![], "No known latex allergies", Absence::NoOther),
            (vec![], "No Known Medication Allergies", Absence::NoDrug),
            (vec![], "No known food or drug allergies", Absence::Not),
            (vec![], "NKDA", Absence::NoDrug),
            (vec![], "No known allergies", Absence::None),
            (vec![], "No known drug allergies except penicillin", Absence::Not),
            (vec![], "No known food allergies; penicillin causes hives", Absence::Not),
            (vec![(sct, "716186003", "")], "No known food allergies; penicillin: rash", Absence::Not),
            (vec![(sct, "716186003", "")], "No known allergies; penicillin: rash", Absence::Not),
            (vec![(sct, "409137002", "")], "NKDA (penicillin)", Absence::Not),
            (vec![(sct, "716186003", "No known allergies; penicillin: rash")], "", Absence::Not),
            (vec![(sct, "716186003", "Ingen kendte allergier")], "", Absence::None),
            (
                vec![(sct, "716186003", "")],
                "Not known whether amoxicillin caused rash within minutes",
                Absence::Not,
            ),
            (vec![(sct, "716186003", "")], "无已知过敏", Absence::None),
            (vec![], "No known latex allergy, amoxicillin anaphylaxis", Absence::Not),
            (vec![], "No known environmental allergies - penicillin (rash)", Absence::Not),
            (vec![], "No known allergies to food or latex", Absence::NoOther),
            (vec![], "Not on file", Absence::Unknown),
            (vec![], "Unknown", Absence::Not),
            (vec![], "Peanut", Absence::Not),
            (vec![], "No drug allergies", Absence::NoDrug),
            (vec![], "No known allergies or intolerances", Absence::None),
            (vec![], "Keine Allergien bekannt", Absence::None),
            (vec![], "无药物过敏史", Absence::NoDrug),
            (vec![], "Pt denies allergies", Absence::None),
            (vec![], "Allergies: NKDA", Absence::NoDrug),
            (vec![], "Allergies: none", Absence::None),
            (vec![], "Allergies: none; zorblax", Absence::Not),
            (vec![], "Latex allergy: no known food allergies", Absence::Not),
            (vec![], "Food allergies: none", Absence::Not),
            (vec![], "Keine Lebensmittelallergien bekannt", Absence::NoOther),
            (vec![], "Not known", Absence::Not),
            (vec![], "Allergies: not known", Absence::Not),
            (vec![], "Negative drug reaction", Absence::Not),
            (vec![], "No drug allergies recorded", Absence::Not),
            (vec![], "No drug allergies?", Absence::Not),
            (vec![], "No Information Available", Absence::Unknown),
            (vec![(sct, "1631000175102", "Patient not asked")], "Not on File", Absence::Unknown),
            (vec![(sct, "1631000175102", "Patient not asked")], "Penicillin", Absence::Not),
            (vec![(sct, "91936005", "NKDA")], "", Absence::Not),
            (vec![(sct, "91936005", "")], "NKDA", Absence::Not),
        ] {
            assert_eq!(of(List::Allergies, &concept(&codes, text)), said, "{codes:?} {text}");
        }
    }
}
