//! The normal form of what people write: of "Warfarin Sodium Oral Tablet (1 MG)" the word
//! "warfarin". Nothing is guessed: case, Unicode form, plural, dose, form, route, salt and the
//! wording of an allergy are taken away, step by step, and each step is looked up before the next.

use unicode_normalization::UnicodeNormalization;

use super::simplified::simplified;

/// Words before the substance in the wording of code systems.
const BEFORE: [&str; 18] = [
    "allergy status to ",
    "drug allergy to ",
    "allergy to ",
    "allergic to ",
    "allergic reaction to ",
    "allergic reaction caused by ",
    "adverse reaction to ",
    "adverse reaction caused by ",
    "anaphylaxis to ",
    "anaphylaxis caused by ",
    "anaphylaxis due to ",
    "substance with ",
    "hypersensitivity to ",
    "intolerance to ",
    "history of allergy to ",
    "product containing precisely ",
    "product containing only ",
    "product containing ",
];

/// Words after it.
const AFTER: [&str; 11] = [
    " allergy status",
    "allergie",
    " allergy",
    " hypersensitivity",
    " intolerance",
    " adverse reaction",
    " containing product",
    " -class of antibiotic",
    " class of antibiotic",
    " class",
    " structure and antibacterial mechanism of action",
];

/// What says in what strength, form and way a drug is given.
const DOSE_WORDS: &[&str] = &[
    "mg",
    "mcg",
    "ug",
    "μg",
    "kg",
    "ml",
    "iu",
    "unt",
    "unit",
    "units",
    "meq",
    "mmol",
    "hr",
    "hour",
    "hours",
    "actuat",
    "actuation",
    "dose",
    "doses",
    "puff",
    "puffs",
    "oral",
    "orally",
    "po",
    "iv",
    "im",
    "sc",
    "sq",
    "subcutaneous",
    "intravenous",
    "intramuscular",
    "injection",
    "injectable",
    "infusion",
    "topical",
    "ophthalmic",
    "otic",
    "nasal",
    "inhaled",
    "inhalation",
    "inhalant",
    "rectal",
    "vaginal",
    "sublingual",
    "transdermal",
    "buccal",
    "intranasal",
    "tablet",
    "tab",
    "capsule",
    "cap",
    "caplet",
    "solution",
    "suspension",
    "syrup",
    "elixir",
    "drops",
    "eye",
    "ear",
    "cream",
    "ointment",
    "gel",
    "lotion",
    "patch",
    "spray",
    "aerosol",
    "inhaler",
    "powder",
    "suppository",
    "film",
    "coated",
    "enteric",
    "delayed",
    "extended",
    "modified",
    "prolonged",
    "immediate",
    "sustained",
    "release",
    "er",
    "xr",
    "sr",
    "la",
    "xl",
    "ir",
    "dr",
    "ec",
    "odt",
    "chewable",
    "effervescent",
    "disintegrating",
    "prefilled",
    "syringe",
    "pen",
    "vial",
    "ampule",
    "metered",
    "daily",
    "twice",
    "weekly",
    "bid",
    "tid",
    "qid",
    "qd",
    "prn",
    "human",
    "recombinant",
    "preparation",
    "product",
    "generic",
    "only",
];

/// Units that are words of their own, too: they count as units after a number only.
const SHORT_UNITS: [&str; 3] = ["g", "l", "u"];

/// What a substance is bound to.
const SALTS: &[&str] = &[
    "sodium",
    "disodium",
    "monosodium",
    "potassium",
    "calcium",
    "magnesium",
    "hydrochloride",
    "hcl",
    "dihydrochloride",
    "hydrobromide",
    "hbr",
    "sulfate",
    "sulphate",
    "bisulfate",
    "phosphate",
    "acetate",
    "maleate",
    "mesylate",
    "mesilate",
    "besylate",
    "besilate",
    "tartrate",
    "bitartrate",
    "succinate",
    "fumarate",
    "citrate",
    "tosylate",
    "nitrate",
    "gluconate",
    "lactate",
    "malate",
    "pamoate",
    "embonate",
    "palmitate",
    "propionate",
    "dipropionate",
    "furoate",
    "valerate",
    "acetonide",
    "medoxomil",
    "axetil",
    "proxetil",
    "cilexetil",
    "disoproxil",
    "etexilate",
    "mofetil",
    "monohydrate",
    "dihydrate",
    "trihydrate",
    "hemihydrate",
    "anhydrous",
    "erbumine",
    "arginine",
    "tromethamine",
    "trometamol",
    "stearate",
    "ethylsuccinate",
    "estolate",
    "carbonate",
    "chloride",
    "bromide",
    "xinafoate",
    "decanoate",
    "enanthate",
    "hyclate",
    "benzathine",
    "oxalate",
];

/// A code as it is compared: compatibility form of Unicode (NFKC), lower case, plain quotation
/// marks and hyphens, without white space at the ends, single spaces within.
pub fn normalise(text: &str) -> String {
    // Plain letters are their own compatibility form, and most of what is asked about is written in them.
    if text.is_ascii() {
        return plain_marks(text.len(), text.chars().map(|c| c.to_ascii_lowercase()));
    }
    // A character may stand for eighteen; no text of a record is made of such.
    let most = 4 * text.chars().count() + 64;
    // Lower case may have taken a letter apart once more.
    let normal: String =
        plain_marks(text.len(), text.nfkc().take(most).flat_map(char::to_lowercase)).nfkc().collect();
    // Last: a compatibility form may stand for a traditional character.
    simplified(&normal).into_owned()
}

fn plain_marks(length: usize, characters: impl Iterator<Item = char>) -> String {
    let mut normal = String::with_capacity(length);
    for character in characters {
        match character {
            '\u{2018}' | '\u{2019}' => normal.push('\''),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => normal.push('-'),
            // What cannot be seen must not tell two words apart.
            '\u{200b}'..='\u{200d}' | '\u{ad}' | '\u{feff}' => {}
            c if c.is_whitespace() => {
                if !normal.is_empty() && !normal.ends_with(' ') {
                    normal.push(' ');
                }
            }
            c => normal.push(c),
        }
    }
    normal.truncate(normal.trim_end().len());
    normal
}

/// A normalised text without the wording of an allergy and the tags of code systems.
pub fn without_wording(normal: &str) -> String {
    let mut text = normal;
    // SNOMED's tag stands last: "Allergy to penicillin (finding)".
    for tag in [
        "(substance)",
        "(finding)",
        "(disorder)",
        "(product)",
        "(medicinal product)",
        "(organism)",
        "(situation)",
        "(context-dependent category)",
    ] {
        text = text.strip_suffix(tag).map_or(text, str::trim_end);
    }
    text = text.trim_end_matches(['-', '.', ',', ':']).trim_end();
    for words in BEFORE {
        text = text.strip_prefix(words).unwrap_or(text);
    }
    for words in AFTER {
        text = text.strip_suffix(words).unwrap_or(text);
    }
    text.trim_matches(['-', '.', ',', ':', ' ']).to_owned()
}

/// A normalised text without dose, form and route; empty where it says nothing else.
pub fn without_dose(normal: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut after_number = false;
    for word in normal.split(' ') {
        let word = word.trim_matches(['(', ')', '[', ']', '{', '}', ',', ';', '.']);
        let digits = word.trim_start_matches(|c: char| c.is_ascii_digit() || ['.', ','].contains(&c));
        let number = digits.len() < word.len();
        let unit = singular(digits);
        let measure =
            number && (digits.is_empty() || digits == "%" || is_unit(&unit) || SHORT_UNITS.contains(&digits));
        // "300 mg/ml", "5/325", "mcg/hr".
        let ratio = word.contains('/') && word.split('/').all(is_measure);
        let dropped = word.is_empty()
            || measure
            || ratio
            || (after_number && SHORT_UNITS.contains(&word))
            || is_unit(&singular(word))
            || is_unit(word)
            || word == "%";
        if !dropped {
            kept.push(word);
        }
        after_number = number && digits.is_empty();
    }
    kept.join(" ")
}

/// Whether it is a number, a unit, or a number with its unit.
fn is_measure(word: &str) -> bool {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || ['.', ','].contains(&c));
    let plain = !word.is_empty() && (unit.is_empty() || unit == "%");
    plain || is_dose_word(unit) || is_unit(&singular(unit)) || unit == "h"
}

fn is_unit(word: &str) -> bool {
    DOSE_WORDS.contains(&word)
}

/// Whether a word says in what strength, form and way a drug is given.
pub fn is_dose_word(word: &str) -> bool {
    is_unit(word) || SHORT_UNITS.contains(&word)
}

/// Whether a word is that of what a substance is bound to.
pub fn is_salt(word: &str) -> bool {
    SALTS.contains(&word)
}

/// The text without salts before or behind the substance; empty where it is nothing but salts.
pub fn without_salts(normal: &str) -> String {
    let words: Vec<&str> = normal.split(' ').collect();
    let is_salt = |word: &&str| SALTS.contains(word);
    let from = words.iter().take_while(|word| is_salt(word)).count();
    let to = words.len() - words.iter().rev().take_while(|word| is_salt(word)).count();
    words.get(from..to).map_or(String::new(), |kept| kept.join(" "))
}

/// The text with its last word in the singular, where that has a plural's ending.
pub fn singular(normal: &str) -> String {
    let cut = |ending: &str| normal.strip_suffix(ending).filter(|stem| stem.chars().count() >= 3);
    if let Some(stem) = cut("ies") {
        return format!("{stem}y");
    }
    match cut("s") {
        Some(stem) if !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => normal.to_owned(),
    }
}

/// Whether a normalised code of a substance in ATC is that of several: by the numbers that ATC keeps for combinations,
/// or in a subgroup of nothing else.
pub fn is_atc_combination(code: &str) -> bool {
    const SUBGROUPS: [&str; 12] = [
        "n02aj", "n02ag", "c03ab", "c03ah", "c03bb", "c03cb", "j01cr", "b03ad", "b03ae", "g03cc", "r06ak",
        "p01bf",
    ];
    let number = code.get(5..).and_then(|number| number.parse::<u8>().ok());
    number.is_some_and(|number| matches!(number, 20 | 30 | 50..))
        || SUBGROUPS.iter().any(|group| code.starts_with(group))
}

/// Hyphens, commas and apostrophes are written or not: "beta-blocker", "beta blocker", "Parkinson's".
pub fn key(normal: &str) -> String {
    normal.replace(['-', ','], " ").replace('\'', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// British spellings as American ones, if the key is written with any: "haematemesis", "melaena", "oesophageal", "tumour".
/// Words of few letters may be names of their own.
pub fn american(key: &str) -> Option<String> {
    const SPELLINGS: [(&str, &str); 4] = [("ae", "e"), ("oe", "e"), ("tumour", "tumor"), ("labour", "labor")];
    let british = |word: &str| SPELLINGS.iter().any(|(from, _)| word.contains(from));
    let words = key.split(' ').map(|word| match word.len() >= 6 && british(word) {
        true => SPELLINGS.iter().fold(word.to_owned(), |word, (from, to)| word.replace(from, to)),
        false => word.to_owned(),
    });
    let folded = words.collect::<Vec<_>>().join(" ");
    (folded != key).then_some(folded)
}

/// What says that something bleeds.
const BLEEDING: [&str; 8] = [
    "bleeding",
    "bleed",
    "hemorrhage",
    "haemorrhage",
    "bleeds",
    "hemorrhages",
    "haemorrhages",
    "hemorrhaging",
];

/// What a name of several words may begin with where a text begins with this one: how [`Terminology::lookup`] turns its words.
///
/// [`Terminology::lookup`]: super::Terminology::lookup
pub fn beginnings(word: &str) -> impl Iterator<Item = String> {
    let key = key(word);
    let american = american(&key);
    [Some(key), american].into_iter().flatten().filter_map(|key| Some(key.split(' ').next()?.to_owned()))
}

/// Whether a name may begin with this word that is known the other way round ([`bleedings`]).
pub fn may_be_turned(word: &str) -> bool {
    BLEEDING.contains(&word)
}

/// The other ways to say that something bleeds: "subarachnoid bleed" as "subarachnoid hemorrhage" and "subarachnoid bleeding",
/// "hemorrhage intracranial" as "intracranial bleeding".
pub fn bleedings(key: &str) -> Vec<String> {
    let Some(at) = key.split(' ').position(|word| BLEEDING.contains(&word)) else { return Vec::new() };
    let words: Vec<&str> = key.split(' ').collect();
    let with = |words: &[&str], at: usize| {
        let said = |word: &&str| [&words[..at], &[*word], &words[at + 1..]].concat().join(" ");
        BLEEDING[..3].iter().map(said).collect::<Vec<_>>()
    };
    let mut names = with(&words, at);
    if at == 0 && words.len() > 1 {
        let mut turned = words[1..].to_vec();
        turned.push(words[0]);
        names.extend(with(&turned, turned.len() - 1));
    }
    names
}

/// The parts of a combination such as "amoxicillin 250 mg / clavulanate 125 mg".
pub fn parts(normal: &str) -> Vec<&str> {
    let mut parts = vec![normal];
    for mark in ["/", "&", "+", ";", " and ", " with "] {
        parts = parts.into_iter().flat_map(|part| part.split(mark)).collect();
    }
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_alike() {
        assert_eq!(normalise("  The\u{a0} X "), "the x");
        assert_eq!(normalise("Cafe\u{301}ine"), normalise("CAFÉINE"));
        assert_eq!(normalise("ﬂuconazole"), "fluconazole");
        assert_eq!(normalise("\u{2f84f}"), normalise("噴"));
        assert_eq!(normalise("peni\u{ad}cillin\u{200b}"), "penicillin");
        assert_eq!(key(&normalise("Beta\u{2010}Blocker")), "beta blocker");
    }

    #[test]
    fn dose_form_route_salt_and_plural_are_taken_away() {
        for (text, expected) in [
            ("Warfarin Sodium Oral Tablet (1 MG)", "warfarin"),
            ("24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet", "metformin"),
            ("500mg paracetamol tablets", "paracetamol"),
            ("Metoprolol succinate ER", "metoprolol"),
            ("sodium valproate 200 mg", "valproate"),
            ("penicillin g", "penicillin g"),
            ("timolol 0.5% ophthalmic solution", "timolol"),
            ("5-fluorouracil", "5-fluorouracil"),
            ("5 mg", ""),
            ("sodium chloride", ""),
        ] {
            assert_eq!(without_salts(&without_dose(&normalise(text))), expected, "{text}");
        }
        for (many, one) in
            [("penicillins", "penicillin"), ("allergies", "allergy"), ("virus", "virus"), ("nsaids", "nsaid")]
        {
            assert_eq!(singular(many), one);
        }
    }

    #[test]
    fn the_wording_of_allergies_is_taken_away() {
        for text in [
            "Allergy to penicillin (finding)",
            "Penicillin allergy",
            "Penicillin -class of antibiotic-",
            "allergic reaction caused by penicillin (disorder)",
            "Penicillin (substance)",
        ] {
            assert_eq!(without_wording(&normalise(text)), "penicillin", "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_normal_stays_normal(text in "\\PC{0,40}") {
            let normal = normalise(&text);
            proptest::prop_assert_eq!(normalise(&normal), normal.clone());
            without_salts(&without_dose(&without_wording(&normal)));
            parts(&normal);
        }

        /// A character that is not seen makes a text go the long way.
        #[test]
        fn plain_letters_are_read_the_short_way_as_the_long_one(text in "[ -~\t]{0,40}") {
            proptest::prop_assert_eq!(normalise(&text), normalise(&format!("{text}\u{ad}")));
        }
    }
}
