//! Whether what is named is denied or only supposed: rules over the words near it.
//!
//! A cue before a name reaches on to it within its sentence, a cue after it reaches back; a word that
//! turns the sentence, such as "but", ends the reach (Chapman et al. 2001, "A simple algorithm for
//! identifying negated findings and diseases in discharge summaries"). Phrases that only look like a
//! cue, such as "no increase", are passed over. The phrases are our own, and English.

use std::ops::Range;

/// How many tokens a cue reaches.
const REACH: usize = 8;

/// A cue that denies what follows it.
const DENIES: [&str; 21] = [
    "no",
    "not",
    "without",
    "denies",
    "denied",
    "deny",
    "denying",
    "absence of",
    "free of",
    "negative for",
    "never",
    "no evidence of",
    "no signs of",
    "no sign of",
    "rules out",
    "ruled out",
    "rule out",
    "lack of",
    "fails to reveal",
    "neither",
    "nor",
];
/// A cue that denies what stands before it.
const DENIED: [&str; 9] = [
    "was ruled out",
    "were ruled out",
    "is ruled out",
    "has been ruled out",
    "was excluded",
    "were excluded",
    "absent",
    "not seen",
    "not found",
];
/// A cue that supposes what follows it.
const SUPPOSES: [&str; 27] = [
    "possible",
    "possibly",
    "probable",
    "probably",
    "suspected",
    "suspect",
    "suspicion of",
    "may",
    "might",
    "could",
    "presumed",
    "presumably",
    "likely",
    "suggest",
    "suggests",
    "suggesting",
    "suggestive of",
    "suggested",
    "concern for",
    "consistent with",
    "cannot exclude",
    "question of",
    "potential",
    "potentially",
    "appears",
    "rule out",
    "query",
];
/// A cue that supposes what stands before it.
const SUPPOSED: [&str; 6] =
    ["is suspected", "was suspected", "cannot be excluded", "is possible", "is likely", "is probable"];
/// Looks like a cue and is none.
const PASSED: [&str; 9] = [
    "no increase",
    "no change",
    "not only",
    "not necessarily",
    "no further",
    "not certain",
    "not cause",
    "no longer",
    "no other",
];
/// Ends the reach of a cue.
const TURNS: [&str; 13] = [
    "but",
    "however",
    "although",
    "though",
    "except",
    "yet",
    "which",
    ";",
    ":",
    "who",
    "because",
    "therefore",
    "apart",
];

/// What is said of a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assertion {
    /// It is denied.
    pub negated: bool,
    /// It is supposed, not stated.
    pub speculated: bool,
}

/// What the sentence `lowers`, in lower case, says of the name at `span`.
pub fn assertion(lowers: &[String], span: Range<usize>) -> Assertion {
    let before = reach_before(lowers, span.start);
    let after = reach_after(lowers, span.end);
    let (before, after) = (&lowers[before..span.start], &lowers[span.end..after]);
    Assertion {
        negated: holds(before, &DENIES) || holds(after, &DENIED),
        speculated: holds(before, &SUPPOSES) || holds(after, &SUPPOSED),
    }
}

fn reach_before(lowers: &[String], start: usize) -> usize {
    let least = start.saturating_sub(REACH);
    let turn = lowers[least..start].iter().rposition(|word| TURNS.contains(&word.as_str()));
    turn.map_or(least, |turn| least + turn + 1)
}

fn reach_after(lowers: &[String], end: usize) -> usize {
    let most = (end + REACH).min(lowers.len());
    let turn = lowers[end..most].iter().position(|word| TURNS.contains(&word.as_str()));
    turn.map_or(most, |turn| end + turn)
}

/// Whether a cue stands among `words` that no phrase in [`PASSED`] takes up.
fn holds(words: &[String], cues: &[&str]) -> bool {
    (0..words.len()).any(|at| {
        let begins = |phrase: &&str| -> bool {
            let mut parts = phrase.split(' ');
            let mut rest = words[at..].iter();
            parts.all(|part| rest.next().is_some_and(|word| word == part))
        };
        cues.iter().any(begins) && !PASSED.iter().any(begins)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, name: &str) -> (bool, bool) {
        let lowers: Vec<String> = text.split(' ').map(str::to_string).collect();
        let start = lowers.iter().position(|word| word == name).unwrap();
        let Assertion { negated, speculated } = assertion(&lowers, start..start + 1);
        (negated, speculated)
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
            assert_eq!(of(text, name), expected, "{text}");
        }
    }
}
