//! The words with which a record denies: "no known food allergies", "NKDA", "denies any drug allergy". A text is a denial
//! where every word of it belongs to one. A word that is left over ("no known food allergies; penicillin causes hives") may
//! name what somebody reacts to, so such a text denies nothing.

use super::people::List;

/// What a word does in a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It denies what follows.
    Deny,
    /// It denies what follows as well, where something was denied before it.
    Or,
    /// It says nothing of what is denied.
    Filler,
    /// "Known": somebody has asked.
    Known,
    /// What follows is what an allergy is to.
    To,
    /// Drugs.
    Drug,
    /// Something that is no drug.
    Other,
    /// What there is none of: an allergy, a condition, a medication.
    Object,
    /// The whole denial in letters: of anything, of drugs, of something else.
    Letters(Option<Kind>),
    /// How code systems mark what they name.
    Tag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Drug,
    Other,
}

/// Words of every list. Of a plural the singular stands here, unless it ends otherwise than in "s" and "ies".
const WORDS: [(Part, &[&str]); 10] = [
    (
        Part::Deny,
        &["no", "not", "nil", "none", "denies", "negative", "keine", "aucune", "sin", "无", "未", "否认"],
    ),
    (Part::Or, &["or", "nor", "oder", "ou", "o", "或"]),
    (
        Part::Filler,
        &[
            "patient",
            "any",
            "of",
            "for",
            "the",
            "and",
            "active",
            "current",
            "currently",
            "history",
            "past",
            "significant",
            "reported",
            "documented",
            "recorded",
            "adverse",
            "medical",
            "health",
            "chronic",
            "regular",
            "prescribed",
            "taken",
            "taking",
            "on",
            "und",
            "et",
            "y",
            "和",
            "史",
            "见",
            "有",
            "明显",
            "明确",
        ],
    ),
    (Part::Known, &["known", "bekannt", "bekannte", "bekannten", "connue", "conocida", "已知", "发现"]),
    (Part::To, &["to", "against", "gegen", "au", "aux", "对"]),
    (
        Part::Drug,
        &[
            "drug",
            "medication",
            "medicine",
            "medicinal",
            "medikament",
            "medikamente",
            "medicamento",
            "药物",
            "药",
        ],
    ),
    (
        Part::Other,
        &[
            "food",
            "environment",
            "environmental",
            "latex",
            "natural",
            "rubber",
            "hevea",
            "brasiliensis",
            "insect",
            "animal",
            "nut",
            "pollen",
            "dust",
            "seasonal",
            "contact",
            "lebensmittel",
            "alimento",
            "食物",
        ],
    ),
    (Part::Letters(None), &["nka"]),
    (Part::Letters(Some(Kind::Drug)), &["nkda", "nkma"]),
    (Part::Letters(Some(Kind::Other)), &["nkfa", "nkea"]),
];
const TAGS: [&str; 7] = ["finding", "situation", "disorder", "context", "dependent", "category", "confirmed"];
/// What a list has none of.
const ALLERGIES: [&str; 13] = [
    "allergy",
    "allergic",
    "allergie",
    "allergien",
    "alergia",
    "hypersensitivity",
    "sensitivity",
    "intolerance",
    "reaction",
    "arzneimittelallergien",
    "medikamentenallergien",
    "lebensmittelallergien",
    "过敏",
];
const CONDITIONS: [&str; 11] = [
    "problem",
    "condition",
    "disease",
    "diagnosis",
    "diagnoses",
    "illness",
    "illnesses",
    "comorbidity",
    "disability",
    "issue",
    "vorerkrankungen",
];
const MEDICATIONS: [&str; 5] = ["medication", "drug", "medicine", "medikamente", "prescription"];

/// What a denial is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Denial {
    /// Whether it says that it is what is known.
    pub known: bool,
    /// Whether it speaks of drugs.
    pub drugs: bool,
    /// Whether it speaks of something that is no drug.
    pub others: bool,
}

/// The denial that a normalised text is, and nothing beside it.
pub(super) fn denial(list: List, normal: &str) -> Option<Denial> {
    let mut said = Denial::default();
    let mut denied = false;
    let apart = |c: char| ";.:()[]{}!?|。".contains(c);
    for clause in normal.replace(" - ", ";").split(apart) {
        denied |= clause_of(list, clause, &mut said)?;
    }
    denied.then_some(said)
}

/// Adds what a clause denies; whether it does, and nothing where something in it is no part of a denial.
fn clause_of(list: List, clause: &str, said: &mut Denial) -> Option<bool> {
    // Whether a denial has begun, and waits for what it is of; whether it then says what that is to.
    let (mut denied, mut open, mut to, mut tags) = (false, false, false, true);
    let words = clause.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for part in words.flat_map(|word| parts(list, word)) {
        let part = part?;
        tags &= part == Part::Tag;
        match part {
            Part::Deny if open => return None,
            Part::Deny => (denied, open, to) = (true, true, false),
            Part::Or => open |= denied,
            Part::Filler | Part::Tag => {}
            Part::Known => said.known = true,
            Part::To => to |= denied,
            Part::Drug | Part::Other if !(open || to) => return None,
            Part::Drug => said.drugs = true,
            Part::Other => said.others = true,
            // "No known food allergies, latex allergy": the second is one.
            Part::Object if !open => return None,
            Part::Object => (open, to) = (false, false),
            Part::Letters(kind) => {
                (denied, open, to) = (true, false, false);
                said.known = true;
                said.drugs |= kind == Some(Kind::Drug);
                said.others |= kind == Some(Kind::Other);
            }
        }
    }
    (denied || tags).then_some(denied)
}

/// What a word does; of a script without spaces what each of its words does.
fn parts(list: List, word: &str) -> Vec<Option<Part>> {
    if word.chars().all(|c| c.is_ascii() || c.is_lowercase()) {
        return vec![part(list, word)];
    }
    let mut parts = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let ends = rest.char_indices().take(4).map(|(at, c)| at + c.len_utf8());
        let found = ends.filter_map(|end| Some((end, part(list, &rest[..end])?))).last();
        parts.push(found.map(|(_, part)| part));
        rest = &rest[found.map_or(first.len_utf8(), |(end, _)| end)..];
    }
    parts
}

fn part(list: List, word: &str) -> Option<Part> {
    let objects: &[&str] = match list {
        List::Allergies => &ALLERGIES,
        List::Conditions => &CONDITIONS,
        List::Medications => &MEDICATIONS,
    };
    let one = match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').unwrap_or(word).to_owned(),
    };
    let among = |words: &[&str]| words.contains(&word) || words.contains(&&*one);
    match () {
        () if among(objects) => Some(Part::Object),
        () if among(&TAGS) => Some(Part::Tag),
        () => WORDS.iter().find(|(_, words)| among(words)).map(|(part, _)| *part),
    }
}

#[cfg(test)]
mod tests {
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
            "无食物过敏,青霉素过敏",
            "无食物过敏青霉素",
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
}
