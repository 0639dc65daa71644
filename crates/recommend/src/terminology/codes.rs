//! What codes mean: those that terms have, and of others the category or the class in which they lie by definition.

use super::{Field, Key, Terminology, adverse, conditions, normal};

/// What the systems of codes are called where somebody writes them, and what terms call them.
const SYSTEMS: [(&str, &str); 8] = [
    ("snomed", "snomed"),
    ("sct", "snomed"),
    ("rxnorm", "rxnorm"),
    ("atc", "atc"),
    ("2.16.840.1.113883.6.73", "atc"),
    ("2.16.840.1.113883.6.88", "rxnorm"),
    ("2.16.840.1.113883.6.96", "snomed"),
    ("icd", "icd"),
];

impl Terminology {
    /// A code with or without its system. Where a code itself is not known, the category it lies
    /// in by definition is (ICD-10: before the dot; ATC: a class is a beginning of its members').
    pub(super) fn code(&self, field: Field, text: &str) -> Option<&[Key]> {
        let cut = text.rfind(['|', ':', '#', '/', ' ']).map_or(0, |at| at + 1);
        let (system, code) = text.split_at(cut);
        if !code.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // The codes of ICD-9 look like those of ICD-10 and mean something else.
        if ["icd-9", "icd9"].iter().any(|old| system.contains(old)) {
            return None;
        }
        let system = SYSTEMS.iter().find(|(written, _)| system.contains(written)).map(|&(_, name)| name);
        // Words before a code are its system, or say something of their own.
        let spaced = system.is_none() && system_words(text, cut);
        if spaced && field != Field::Condition {
            return None;
        }
        if field == Field::Allergy
            && system.is_none_or(|name| name == "icd")
            && let Some(drug) = adverse::drug(code)
        {
            return self.index.get(drug).map(Vec::as_slice);
        }
        let known = |code: &str| match system {
            Some("icd") => self.index.get(format!("icd10:{code}").as_str()),
            Some(system) => self.index.get(format!("{system}:{code}").as_str()),
            None if cut == 0 => self.index.get(code),
            None => self.index.get(text),
        };
        // From the code itself to its category: the first that is listed is the narrowest.
        let category = || {
            let dotted = conditions::dotted(code).filter(|_| system.is_none_or(|name| name == "icd"))?;
            let shorter = (3..=dotted.len()).rev().filter(|&end| end != 4);
            shorter
                .map(|end| format!("icd10:{}", &dotted[..end]))
                .find_map(|code| self.index.get(code.as_str()))
        };
        let atc = || {
            let letters = |range: std::ops::Range<usize>| {
                code.get(range).is_some_and(|part| part.bytes().all(|b| b.is_ascii_alphabetic()))
            };
            let group = code.get(1..3).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
            let shape = matches!(code.len(), 5 | 7) && letters(0..1) && group && letters(3..5);
            // A combination holds something else, too, which the class does not name.
            let class = || known(&code[..5]).or_else(|| known(&code[..4]));
            (shape && !normal::is_atc_combination(code)).then(class)?
        };
        known(code).or_else(category).or_else(atc).map(Vec::as_slice)
    }
}

/// Whether the code that begins here has words before it, and no mark that makes them its system.
fn system_words(text: &str, from: usize) -> bool {
    text[..from].ends_with([' ', '/']) && !text.contains("://")
}
