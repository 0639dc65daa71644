//! The words with which a record denies: "no known food allergies", "NKDA", "denies any drug allergy". A text is a denial
//! where every word of it belongs to one. A word that is left over ("no known food allergies; penicillin causes hives") may
//! name what somebody reacts to, so such a text denies nothing.
//!
//! A denial that is plain counts whether or not a terminology knows its words: of allergies one with "known", or of drugs, or by
//! somebody who denies; of problems and medications one of all that there are now. One with a word that leaves something open
//! ("not", "negative", "documented", "history", "regular") is not plain.

use super::people::List;

/// What a word does in a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It denies what follows.
    Deny(How),
    /// It denies what follows as well, where something was denied before it.
    Or,
    /// It says nothing of what is denied.
    Filler,
    /// The same, before a denial; behind one somebody has what follows: "no, has drug allergies".
    Has,
    /// The same, but it leaves open whether all is denied, or whether anybody asked.
    Loose,
    /// The same, of allergies; of a list of what there is now it leaves nothing open.
    Now,
    /// Of medications: "not taking any".
    Taking,
    /// What follows is all of it: "any".
    Any,
    /// "Known": somebody has asked.
    Known,
    /// What follows is what an allergy is to.
    To,
    /// Drugs.
    Drug,
    /// Something that is no drug.
    Other,
    /// What there is none of: a condition, a medication, a reaction; whether it is all that a list may hold.
    Object { whole: bool },
    /// An allergy, of whatever kind, or of this.
    Allergy(Option<Kind>),
    /// The whole denial in letters: of anything, of drugs, of something else.
    Letters(Option<Kind>),
    /// How code systems mark what they name.
    Tag,
}

/// How a word denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// There is none.
    No,
    /// Somebody was asked, and says that there is none.
    Denies,
    /// It may deny something else than that there is one: "not known", "negative drug reaction".
    Loosely,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Drug,
    Other,
}

/// Words of every list. Of a plural the singular stands here, unless it ends otherwise than in "s" and "ies".
const WORDS: [(Part, &[&str]); 17] = [
    (Part::Deny(How::No), &["no", "nil", "none", "keine", "aucune", "sin", "无"]),
    (Part::Deny(How::Denies), &["denies", "否认"]),
    (Part::Deny(How::Loosely), &["not", "negative", "未"]),
    (Part::Or, &["or", "nor", "oder", "ou", "o", "或"]),
    (Part::Any, &["any"]),
    (Part::Now, &["active", "current", "currently", "medical"]),
    (Part::Taking, &["taking", "on"]),
    (Part::Filler, &["patient", "pt", "of", "the", "and", "und", "et", "y", "和", "史"]),
    (Part::Has, &["has", "have", "hat", "tiene", "takes"]),
    (
        Part::Loose,
        &[
            "for",
            "history",
            "past",
            "significant",
            "reported",
            "documented",
            "recorded",
            "adverse",
            "health",
            "chronic",
            "regular",
            "prescribed",
            "taken",
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
const ALLERGIES: [&str; 5] = ["allergic", "hypersensitivity", "sensitivity", "intolerance", "reaction"];
const ALLERGY: [(Option<Kind>, &[&str]); 3] = [
    (None, &["allergy", "allergie", "allergien", "alergia", "过敏"]),
    (Some(Kind::Drug), &["arzneimittelallergien", "medikamentenallergien"]),
    (Some(Kind::Other), &["lebensmittelallergien"]),
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
/// Those that are all that the list may hold: of drugs, a disease or a diagnosis somebody may have had one alone in mind.
const WHOLE: [&str; 6] = ["problem", "condition", "vorerkrankungen", "medication", "medicine", "medikamente"];

/// What a denial is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Denial {
    /// Whether it says that it is what is known.
    pub known: bool,
    /// Whether it speaks of drugs.
    pub drugs: bool,
    /// Whether it speaks of something that is no drug.
    pub others: bool,
    /// Whether it says by itself that there are no allergies, or none of what it speaks of.
    pub plain: bool,
    /// Whether it may be none: it is a question, or its "not" may be of something else ("negative drug reaction").
    pub loose: bool,
}

impl Denial {
    fn of(&mut self, kind: Option<Kind>) {
        self.drugs |= kind == Some(Kind::Drug);
        self.others |= kind == Some(Kind::Other);
    }
}

/// What a part of a text between marks does.
struct Clause {
    /// Whether it denies; where not, it is a code system's tag.
    denied: bool,
    /// Whether it does so plainly.
    plain: bool,
    /// Whether somebody is said to deny.
    denies: bool,
}

/// The denial that a normalised text is, and nothing beside it.
pub(super) fn denial(list: List, normal: &str) -> Option<Denial> {
    let (mut said, rest) = headed(list, normal).unwrap_or((Denial::default(), normal));
    let headed = rest.len() != normal.len();
    let (mut denied, mut denies) = (false, false);
    // A question denies nothing plainly.
    let mut plain = !normal.contains('?');
    let apart = |c: char| ";.:()[]{}!?|。".contains(c);
    let rest = rest.replace(" - ", ";");
    for clause in rest.split(apart).flat_map(|clause| answered(list, clause)) {
        let clause = clause_of(list, clause, headed, &mut said)?;
        denied |= clause.denied;
        denies |= clause.denies;
        plain &= clause.plain;
    }
    said.loose |= normal.contains('?');
    said.plain = plain && (list != List::Allergies || said.known || said.drugs || denies);
    denied.then_some(said)
}

/// Whether a word is one of those with which code systems mark what they name: "(finding)".
pub(super) fn is_tag(word: &str) -> bool {
    TAGS.contains(&word)
}

/// The clauses of a text between marks: "no" and a comma are an answer, and deny nothing of what follows ("no, drug
/// allergies").
fn answered(list: List, clause: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(clause);
    std::iter::from_fn(move || {
        let text = rest?;
        let is_answer = |before: &str| {
            let last = words(before).last().and_then(|word| parts(list, word).pop());
            matches!(last, Some(Some(Part::Deny(_))))
        };
        let comma = text.match_indices([',', '，', '、']).find(|(at, _)| is_answer(&text[..*at]));
        let (clause, after) = match comma {
            Some((at, comma)) => (&text[..at], Some(&text[at + comma.len()..])),
            None => (text, None),
        };
        rest = after;
        Some(clause)
    })
}

/// What stands behind a heading such as "Allergies:", and what the heading says it is of. "Latex allergy:" is none: it names one.
pub(super) fn headed(list: List, normal: &str) -> Option<(Denial, &str)> {
    let (heading, rest) = normal.split_once(':')?;
    let (mut said, mut allergy) = (Denial::default(), false);
    for part in words(heading).flat_map(|word| parts(list, word)) {
        match part? {
            Part::Filler | Part::Any | Part::Has => {}
            Part::Known => said.known = true,
            Part::Drug => said.drugs = true,
            Part::Allergy(kind) if kind != Some(Kind::Other) => {
                allergy = true;
                said.of(kind);
            }
            _ => return None,
        }
    }
    (allergy && !rest.trim().is_empty()).then_some((said, rest))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Adds what a clause denies; nothing where something in it is no part of a denial. Under a heading "none known" is plain.
fn clause_of(list: List, clause: &str, headed: bool, said: &mut Denial) -> Option<Clause> {
    // Whether a denial has begun, and waits for what it is of; whether it then says what that is to.
    let (mut denied, mut open, mut to, mut tags) = (false, false, false, true);
    // Whether something is left open, and "to" still waits for its word; whether what there is none of is an allergy.
    let (mut loose, mut waits, mut allergy, mut denies) = (false, false, false, false);
    // Whether what there is none of is all that a list may hold.
    let mut all = false;
    // Whether nothing but the denial itself stands there: "none", "none known".
    let mut bare = true;
    // Whether a loose denial is of what is taken: then "any" makes it plain.
    let (mut loosely, mut taking) = (false, false);
    for part in words(clause).flat_map(|word| parts(list, word)) {
        let part = part?;
        loose |= part == Part::Tag && !tags;
        tags &= part == Part::Tag;
        bare &= matches!(part, Part::Deny(_) | Part::Known | Part::Filler | Part::Any | Part::Has);
        match part {
            Part::Deny(_) if open => return None,
            Part::Deny(how) => {
                (denied, open, to) = (true, true, false);
                loosely |= how == How::Loosely;
                denies |= how == How::Denies;
            }
            Part::Or => open |= denied,
            Part::Filler | Part::Tag => {}
            Part::Has => loose |= denied,
            Part::Loose => loose = true,
            Part::Now => loose |= list == List::Allergies,
            // "Taking no medications", "not taking any"; of what nobody takes there may be some.
            Part::Taking => {
                taking = open && list == List::Medications;
                loose |= !taking && (denied || list != List::Medications);
            }
            Part::Any => loosely &= !taking,
            Part::Known => said.known = true,
            Part::To => (to, waits) = (to || denied, true),
            Part::Drug | Part::Other if !(open || to) => return None,
            Part::Drug => (said.drugs, waits, loose) = (true, false, loose || list != List::Allergies),
            Part::Other => (said.others, waits, loose) = (true, false, loose || list != List::Allergies),
            // "No known food allergies, latex allergy": the second is one.
            Part::Object { .. } | Part::Allergy(_) if !open => return None,
            Part::Object { whole } => {
                (open, to) = (false, false);
                all |= whole && list != List::Allergies;
            }
            Part::Allergy(kind) => {
                (open, to, allergy) = (false, false, true);
                said.of(kind);
            }
            // "Not NKDA" says that there is one.
            Part::Letters(_) if open => return None,
            Part::Letters(kind) => {
                (denied, open, to, allergy) = (true, false, false, true);
                said.known = true;
                said.of(kind);
            }
        }
    }
    (loose, said.loose) = (loose || loosely, said.loose || loosely);
    let whole = (allergy || all) && !open && !waits;
    let plain = tags || (!loose && (whole || (headed && bare)));
    (denied || tags).then_some(Clause { denied, plain, denies })
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
        () if among(objects) => Some(Part::Object { whole: among(&WHOLE) }),
        () if among(&TAGS) => Some(Part::Tag),
        () => {
            let own: &[_] = if list == List::Allergies { &ALLERGY } else { &[] };
            let allergy = own.iter().find(|(_, words)| among(words)).map(|(kind, _)| Part::Allergy(*kind));
            allergy.or_else(|| WORDS.iter().find(|(_, words)| among(words)).map(|(part, _)| *part))
        }
    }
}

#[cfg(test)]
mod tests;
