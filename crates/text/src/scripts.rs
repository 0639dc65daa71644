//! Words in a script of which a model knows nothing.
//!
//! The shares that tell a strange note do not see them: in "ankle pain, 昏迷" nearly every n-gram is known, and the one word
//! that is not, coma, decides. So a single such word is enough, however many others are known.
//!
//! Latin and Greek letters, accents, signs and emoji never count: units, names of drugs and examinations and abbreviations
//! are written with them in notes of every language ("CT", "β", "µg", "Ménière").

use std::collections::{BTreeMap, BTreeSet};

use super::language::Language;

/// Letters of a script that training must have had for the script to be known: one may be an accident.
const LETTERS: usize = 2;
/// Scripts of which one letter is a word, or much of one.
const HAN: u32 = 1;
const KANA: u32 = 2;
const HANGUL: u32 = 3;
/// Beyond this there are no letters.
const LAST: u32 = 0x3_ffff;

/// The scripts that a model was trained on.
#[derive(Debug, Clone)]
pub struct Scripts(BTreeSet<u32>);

impl Scripts {
    /// Those of which `language` has seen letters.
    pub fn of(language: &Language) -> Scripts {
        let mut letters = BTreeMap::<u32, usize>::new();
        for character in (0..=LAST).filter_map(char::from_u32) {
            if let Some(script) = script(character).filter(|_| language.has_seen(character)) {
                *letters.entry(script).or_default() += 1;
            }
        }
        Scripts(
            letters
                .into_iter()
                .filter(|(_, letters)| *letters >= LETTERS)
                .map(|(script, _)| script)
                .collect(),
        )
    }

    /// Whether a text has no word in another script: an ideograph or a syllable, or two letters side by side (one alone is
    /// a slip that looks like one of ours, "сhest").
    pub fn know(&self, text: &str) -> bool {
        let mut last = None;
        for character in text.chars() {
            let unknown = script(character).filter(|script| !self.0.contains(script));
            if unknown.is_some_and(|script| script <= HANGUL || last == Some(script)) {
                return false;
            }
            last = unknown;
        }
        true
    }
}

/// The script of a letter, but for Latin and Greek: a number by which it is told from others. Small scripts are told by
/// their place.
fn script(character: char) -> Option<u32> {
    let at = u32::from(character);
    match at {
        // Latin, Greek, their accents, marks and phonetic letters, and what are signs though they count as letters.
        0..0x0400 | 0x1d00..0x2c00 | 0x2c60..0x2c80 | 0xa700..0xa800 | 0xab30..0xab70 | 0xfb00..0xfb07 => {
            None
        }
        0xfe00..0xfe70 | 0xff00..0xff66 | 0xffa0 | 0x1_d400..0x1_d800 | 0x1_f000..0x2_0000 => None,
        _ if !character.is_alphabetic() => None,
        0x3400..0x4dc0 | 0x4e00..0xa000 | 0xf900..0xfb00 | 0x2_0000..=LAST => Some(HAN),
        0x3040..0x3100 | 0x31f0..0x3200 | 0xff66..0xffa0 => Some(KANA),
        0x1100..0x1200 | 0x3130..0x3190 | 0xa960..0xa980 | 0xac00..0xd800 | 0xffa1..0xffe0 => Some(HANGUL),
        // Signs among ideographs: 〇, 々.
        0x3000..0x3040 => None,
        _ => Some(HANGUL + (at >> 7)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_in_a_script_that_training_did_not_have_is_unknown() {
        let english = Scripts::of(&Language::learn(3, ["chest pain", "ankle sprain"].into_iter()));
        for note in [
            "ankle pain, 昏迷",
            "pain 痛",
            "ankle pain 의식",
            "боль chest",
            "ankle pain ألم",
            "pain ปวด",
            "痛い",
            "ドキドキ",
        ] {
            assert!(!english.know(note), "{note}");
        }
        let chinese = Scripts::of(&Language::learn(2, ["头痛两天", "做ct检查"].into_iter()));
        for note in ["头痛 일어나", "昏迷 боль", "胸が苦しい"] {
            assert!(!chinese.know(note), "{note}");
        }
        // Characters that training did not have, but their script.
        assert!(chinese.know("嗆咳，發燒") && chinese.know("吃了 metformin，做 CT"));
    }

    #[test]
    fn accents_greek_letters_signs_and_emoji_are_no_words_of_another_script() {
        let english = Scripts::of(&Language::learn(3, ["chest pain", "ankle sprain"].into_iter()));
        for note in [
            "café au lait spots, Ménière, naïve, señora",
            "β blocker, 5 µg, 5 μg, ∆ 3, Ω, γ-GT",
            "38 ℃ → 37 °C ½ № ™ ≥ ± … “quoted” ’s – —",
            "pain 😀 👍🏽 🇨🇳 ❤️ ☒ ✓",
            "ﬁbrillation, Å, ł, ø, ß, ʼ",
            "pain，chest；（fever）、",
            "сhest pain",
            "Ⅳ ① Ⓐ 𝐛𝐨𝐥𝐝",
            "",
        ] {
            assert!(english.know(note), "{note}");
        }
    }
}
