//! What the words of an allergy say of what somebody is not allergic to: "penicillin - tolerates cefalexin", "no penicillin
//! allergy", "mother allergic to penicillin". Names in there are no allergens. What denies an allergy is not understood
//! all the same: whoever wrote it into a list of allergies may have meant another thing.

use std::collections::BTreeSet;

use super::normal::singular;
use super::{Field, Meaning, Terminology, plain};

/// What stands before a name that is tolerated.
const TOLERATES: [&[&str]; 20] = [
    &["tolerates"],
    &["tolerated"],
    &["tolerating"],
    &["tolerant", "of"],
    &["tolerant", "to"],
    &["can", "take"],
    &["can", "have"],
    &["can", "tolerate"],
    &["able", "to", "take"],
    &["able", "to", "tolerate"],
    &["ok", "with"],
    &["okay", "with"],
    &["fine", "with"],
    &["ok", "to", "take"],
    &["safely", "takes"],
    &["no", "reaction", "to"],
    &["no", "reactions", "to"],
    &["no", "problem", "with"],
    &["no", "problems", "with"],
    &["no", "issues", "with"],
];

/// Words beside such a cue that turn it round.
const NEGATES: [&str; 18] = [
    "not", "never", "cannot", "can't", "unable", "poorly", "barely", "hardly", "doesn't", "didn't", "isn't",
    "wasn't", "don't", "badly", "no", "without", "un", "dis",
];

/// Words behind "tolerated" where what is tolerated stands before it.
const BEHIND: [&str; 9] = ["well", "fine", "ok", "in", "before", "previously", "since", "now", "without"];

/// Words among what is tolerated that name nothing, and take nothing back.
const FILLERS: [&str; 24] = [
    "well",
    "fine",
    "ok",
    "okay",
    "in",
    "the",
    "past",
    "before",
    "previously",
    "recently",
    "since",
    "now",
    "has",
    "have",
    "had",
    "been",
    "is",
    "was",
    "are",
    "all",
    "multiple",
    "courses",
    "several",
    "times",
];

/// Words among what is tolerated by which the clause says something else of some of it.
const TAKES_BACK: [&str; 22] = [
    "except",
    "excluding",
    "excepting",
    "save",
    "avoid",
    "avoids",
    "avoiding",
    "other",
    "until",
    "till",
    "then",
    "later",
    "if",
    "unless",
    "whether",
    "maybe",
    "possibly",
    "unsure",
    "unknown",
    "unclear",
    "stop",
    "stopped",
];

/// Beginnings of words that are reactions.
const REACTIONS: [&str; 24] = [
    "rash",
    "hive",
    "urticari",
    "anaphyla",
    "angioedema",
    "swell",
    "swollen",
    "itch",
    "prurit",
    "wheez",
    "bronchospasm",
    "stevens",
    "sjs",
    "necroly",
    "reaction",
    "react",
    "allerg",
    "shock",
    "vomit",
    "nausea",
    "problem",
    "issue",
    "hypersens",
    "erupt",
];

const ALLERGIES: [&str; 5] = ["allergy", "allergic", "hypersensitivity", "intolerance", "sensitivity"];

const RELATIVES: [&str; 22] = [
    "mother",
    "father",
    "mom",
    "mum",
    "dad",
    "sister",
    "brother",
    "son",
    "daughter",
    "wife",
    "husband",
    "spouse",
    "partner",
    "parent",
    "sibling",
    "child",
    "aunt",
    "uncle",
    "cousin",
    "grandmother",
    "grandfather",
    "twin",
];

/// What stands behind a relative who is the one that has it; whoever "reports" it tells of another.
const HAS: [&str; 10] =
    ["is", "was", "has", "had", "with", "allergic", "allergy", "anaphylaxis", "anaphylactic", "reacted"];

/// Words that say of the whole that it is no longer so.
const WITHDRAWN: [&str; 7] =
    ["delabel", "de-label", "de label", "disproved", "disproven", "refuted", "ruled out"];

const DENIES_ZH: [&str; 4] = ["无", "否认", "没有", "未见"];

/// What names the one allergy of whoever has no other: "no known allergies except penicillin".
const EXCEPT: [&str; 11] = [
    " except for ",
    " except to ",
    " except ",
    " excepting ",
    " excluding ",
    " other than to ",
    " other than ",
    " apart from ",
    " aside from ",
    " besides ",
    " with the exception of ",
];

/// What is left of a text, and what was taken out of it.
#[derive(Default)]
struct Said {
    kept: Vec<String>,
    tolerated: Vec<String>,
    /// Whether it says something of which it is not known what it means for the rest.
    denied: bool,
}

impl Terminology {
    /// What the normalised words of an allergy mean, where they say that something is tolerated or is none.
    pub(super) fn tolerated_among(&self, normal: &str) -> Option<Meaning> {
        let said = read(normal, &|words| self.understand_words(Field::Allergy, words).partly)?;
        let kept = said.kept.join(", ");
        let mut meaning = match kept.contains(char::is_alphabetic) {
            true => self.understand_words(Field::Allergy, &kept),
            false => Meaning::default(),
        };
        if meaning.names.is_empty() {
            let itself = BTreeSet::from([plain(normal)]);
            meaning = Meaning { broader: itself.clone(), names: itself, ..Meaning::default() };
        }
        if said.denied && meaning.known {
            (meaning.known, meaning.partly) = (false, true);
        }
        for tolerated in &said.tolerated {
            let understood = self.understand_words(Field::Allergy, tolerated);
            if understood.known {
                meaning.tolerated.extend(understood.names);
            }
        }
        Some(meaning)
    }
}

/// `partly` says whether some of the words are understood and not all.
fn read(normal: &str, partly: &dyn Fn(&str) -> bool) -> Option<Said> {
    let mut said = Said::default();
    let withdrawn = |cue: &&str| normal.contains(*cue) && !normal.contains(&format!("not {cue}"));
    let mut text = normal.replace(" - ", ", ").replace(". ", ", ");
    for joint in [" but ", " however ", " though ", "、", "。"] {
        text = text.replace(joint, ", ");
    }
    for clause in text.split([',', ';', ':', '(', ')', '[', ']', '{', '}']).map(str::trim) {
        if clause.is_empty() {
            continue;
        }
        let words: Vec<&str> = clause.split(' ').collect();
        if let Some((kept, tolerated)) = tolerated(&words) {
            // Of words that say more than what is tolerated, nothing is: "cephalosporins, not amoxicillin" without the comma.
            match plainly(&tolerated).filter(|names| !partly(names)) {
                Some(names) => said.tolerated.push(names),
                None => {
                    said.denied = true;
                    said.kept.push(tolerated);
                }
            }
            said.kept.extend(Some(kept).filter(|kept| !kept.is_empty()));
        } else if let Some(kept) = denied(&words, clause) {
            said.denied = true;
            said.kept.extend(Some(kept).filter(|kept| !kept.is_empty()));
            let exception = EXCEPT.iter().find_map(|word| Some(clause.split_once(word)?.1));
            said.kept.extend(exception.map(str::to_owned));
        } else {
            said.kept.push(clause.to_owned());
        }
    }
    if WITHDRAWN.iter().any(withdrawn) {
        said.denied = true;
        said.kept.clear();
    }
    (said.denied || !said.tolerated.is_empty()).then_some(said)
}

/// The words of a clause before what it says to be tolerated, and that.
fn tolerated(words: &[&str]) -> Option<(String, String)> {
    let (at, cue) = (0..words.len())
        .find_map(|at| Some((at, *TOLERATES.iter().find(|cue| words[at..].starts_with(cue))?)))?;
    let behind = &words[at + cue.len()..];
    let negated = |word: Option<&&str>| word.is_some_and(|word| NEGATES.contains(word));
    if negated(at.checked_sub(1).and_then(|before| words.get(before))) || negated(behind.first()) {
        return None;
    }
    let is_behind = |word: &&str| BEHIND.contains(word) || word.starts_with(|c: char| c.is_ascii_digit());
    if cue == ["tolerated"] && behind.first().is_none_or(is_behind) {
        return Some((String::new(), words[..at].join(" ")));
    }
    Some((words[..at].join(" "), behind.join(" ")))
}

/// The words of what is tolerated that name it, if they do nothing but that.
fn plainly(tolerated: &str) -> Option<String> {
    let words: Vec<&str> = tolerated.split(' ').collect();
    let reaction = |word: &str| REACTIONS.iter().any(|start| word.starts_with(start));
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if NEGATES.contains(word) {
            // "Without any reaction" takes nothing back.
            let end =
                words[at..].iter().position(|word| !matches!(*word, "any" | "further" | "known" | "adverse"));
            let end = end.map_or(words.len(), |skipped| at + skipped);
            if matches!(*word, "no" | "without") && words.get(end).is_some_and(|word| reaction(word)) {
                at = end + 1;
                continue;
            }
            return None;
        }
        if word.contains('?') || TAKES_BACK.contains(word) || reaction(word) {
            return None;
        }
        if !FILLERS.contains(word) {
            names.push(*word);
        }
    }
    Some(names.join(" "))
}

/// What a clause that denies an allergy, or tells of another person's, says before that.
fn denied(words: &[&str], clause: &str) -> Option<String> {
    if DENIES_ZH.iter().any(|cue| clause.starts_with(cue)) && clause.contains("过敏") {
        return Some(String::new());
    }
    let allergic = |word: &&str| ALLERGIES.contains(&singular(word).as_str());
    let whose =
        words.iter().skip_while(|word| matches!(**word, "patient's" | "pt's" | "his" | "her" | "the"));
    let whose: Vec<&str> = whose.copied().collect();
    let relative = whose.first().is_some_and(|word| {
        let one = word.trim_end_matches("'s");
        RELATIVES.contains(&one) && (one != *word || whose.get(1).is_some_and(|next| HAS.contains(next)))
    });
    let family = ["family history", "family hx", "fhx"].iter().any(|cue| clause.contains(cue));
    if relative || (family && words.iter().any(allergic)) {
        return Some(String::new());
    }
    let at = words.iter().enumerate().position(|(at, word)| {
        let rest = &words[at + 1..];
        match *word {
            "no" | "denies" | "denied" | "denying" => rest.iter().any(allergic),
            "not" | "never" | "isn't" | "wasn't" => rest.iter().take(3).any(|word| *word == "allergic"),
            _ => false,
        }
    })?;
    Some(words[..at].join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tolerated_or_denied_is_no_allergen() {
        let terminology = Terminology::default();
        // The words, what they say to be an allergen, what to be tolerated, and whether all of them are understood.
        for (text, allergens, tolerated, known) in [
            ("Penicillin - tolerates cefalexin", &["penicillin"][..], &["cefalexin"][..], true),
            ("Penicillin (rash); tolerates cephalosporins", &["penicillin"], &["cephalosporin"], true),
            ("aspirin allergy; can take Tylenol", &["aspirin"], &["paracetamol"], true),
            ("Sulfa, OK with furosemide", &["sulfonamide"], &["furosemide"], true),
            ("PCN (tolerated amoxicillin 2019)", &["penicillin"], &["amoxicillin"], true),
            ("penicillin, cefazolin well tolerated", &["penicillin"], &["cefazolin"], false),
            ("tolerates aspirin but not ibuprofen", &["ibuprofen"], &["aspirin"], false),
            ("PCN, tolerated cefazolin in 2019 without any reaction", &["penicillin"], &["cefazolin"], true),
            (
                "PCN, tolerates cefalexin and cefazolin well",
                &["penicillin"],
                &["cefalexin", "cefazolin"],
                true,
            ),
            ("PCN (tolerates all cephalosporins)", &["penicillin"], &["cephalosporin"], true),
            // Who does not tolerate it may be allergic to it.
            ("does not tolerate codeine", &["codeine"], &[], false),
            ("Codeine not tolerated", &["codeine"], &[], false),
            ("cannot take ibuprofen", &["ibuprofen"], &[], false),
            ("penicillin (not severe)", &["penicillin"], &[], false),
            ("Penicillin: no anaphylaxis", &["penicillin"], &[], false),
            ("mother reports penicillin allergy", &["penicillin"], &[], false),
            ("No penicillin allergy; sulfa", &["sulfonamide"], &[], false),
            ("no known allergies except penicillin", &["penicillin"], &[], false),
            ("No allergies other than sulfa", &["sulfonamide"], &[], false),
            ("denies drug allergies apart from codeine", &["codeine"], &[], false),
            ("not allergic to anything except for aspirin", &["aspirin"], &[], false),
        ] {
            let meaning = terminology.understand(Field::Allergy, text);
            let names = |names: &BTreeSet<super::super::Key>| -> Vec<String> {
                names.iter().map(|name| name.to_string()).collect()
            };
            assert_eq!(names(&meaning.names), allergens, "{text}: {meaning:?}");
            assert_eq!(names(&meaning.tolerated), tolerated, "{text}");
            assert!(!known || meaning.known, "{text}: {meaning:?}");
        }
        for text in [
            "No penicillin allergy",
            "not allergic to penicillin",
            "No known allergy to penicillin",
            "denies penicillin allergy",
            "no longer allergic to penicillin",
            "Mother allergic to penicillin",
            "mother's penicillin allergy",
            "Family history of penicillin allergy",
            "Penicillin - delabeled 2021",
            "Penicillin allergy ruled out",
            "无青霉素过敏",
            "否认青霉素过敏史",
        ] {
            let meaning = terminology.understand(Field::Allergy, text);
            assert!(!meaning.known && !meaning.partly, "{text}: {meaning:?}");
            let all: Vec<_> = meaning.allergens().collect();
            assert!(!all.iter().any(|name| name.as_ref() == "penicillin"), "{text}: {all:?}");
        }
        // What says more of it than that it is tolerated: the drug is an allergen, and the entry is not understood.
        for text in [
            "penicillin - can take cephalosporins not amoxicillin",
            "PCN (tolerates cephalexin and not amoxicillin)",
            "PCN, tolerates penicillins except amoxicillin",
            "PCN, tolerates cephalosporins avoid amoxicillin",
            "PCN, can take cephalosporins no amoxicillin",
            "PCN, tolerates cefazolin never amoxicillin",
            "PCN - OK with cephalosporins not with amoxicillin",
            "PCN, tolerates cephalosporins amoxicillin rash",
            "PCN, tolerates cephalosporins amoxicillin anaphylaxis",
            "PCN - tolerates penicillin V other than amoxicillin",
            "penicillin - tolerates amoxicillin?",
            "penicillin - tolerated amoxicillin until 2019 (anaphylaxis)",
            "penicillin - tolerates cephalosporins hates amoxicillin",
        ] {
            let meaning = terminology.understand(Field::Allergy, text);
            assert!(!meaning.known, "{text}: {meaning:?}");
            assert!(!meaning.tolerated.contains("amoxicillin"), "{text}: {meaning:?}");
            assert!(meaning.names.contains("amoxicillin"), "{text}: {meaning:?}");
        }
        let nothing = terminology.understand(Field::Allergy, "no known drug allergies");
        assert!(nothing.known && nothing.names.is_empty());
    }
}
