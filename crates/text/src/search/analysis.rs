//! From a text to the terms that it is found by.
//!
//! Text is brought to one form (Unicode NFKC, lower case, simplified Chinese characters) and cut into
//! words: runs of letters and digits. A word's term has no accents and no plural ending
//! ([`super::english`]). Chinese and Japanese write no spaces: of a run of ideographs every two neighbours
//! are a term (overlapping bigrams, the usual way where no dictionary is trusted), of a single one it is
//! the term itself. What follows an apostrophe in a contraction is no word ("crohn's" is found by "crohn").

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::english;
use crate::simplified::Simplifier;
use crate::terms::is_ideograph;

/// Longest term in bytes; longer words are cut, so that a megabyte without a blank is no term.
const LONGEST: usize = 64;

/// What stands behind an apostrophe and is no word by itself.
const CONTRACTED: [&str; 7] = ["s", "t", "d", "m", "ll", "ve", "re"];

static SIMPLIFIER: LazyLock<Simplifier> = LazyLock::new(Simplifier::new);

/// The one form that words are cut from.
pub fn normal(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower: String = text.nfkc().flat_map(char::to_lowercase).collect();
    match SIMPLIFIER.simplify(&lower) {
        Cow::Borrowed(_) => lower,
        Cow::Owned(simple) => simple,
    }
}

/// Hands over the term and the word of every place in a text in its [`normal`] form, in order.
pub fn for_each_term<'a>(normal: &'a str, mut visit: impl FnMut(&str, &'a str)) {
    let mut places = Places { text: normal, at: 0 };
    while let Some((range, ideographs)) = places.next() {
        let word = &normal[range];
        if ideographs {
            pairs(word, &mut visit);
        } else {
            visit(&term(word), word);
        }
    }
}

/// Every two neighbours of a run of ideographs.
fn pairs<'a>(run: &'a str, visit: &mut impl FnMut(&str, &'a str)) {
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
    match starts.len() {
        0 | 1 => {}
        2 => visit(run, run),
        _ => starts.windows(3).for_each(|ends| {
            let pair = &run[ends[0]..ends[2]];
            visit(pair, pair);
        }),
    }
}

/// What a word is found by.
fn term(word: &str) -> Cow<'_, str> {
    let plain = match word.is_ascii() {
        true => Cow::Borrowed(word),
        false => Cow::Owned(without_accents(word)),
    };
    let mut end = plain.len().min(LONGEST);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    match plain {
        Cow::Borrowed(word) => english::singular(&word[..end]),
        Cow::Owned(word) => Cow::Owned(english::singular(&word[..end]).into_owned()),
    }
}

/// A word without the accents that combine with its letters. Vowel signs of other scripts are no accents.
fn without_accents(word: &str) -> String {
    let plain: String =
        word.nfkd().filter(|character| !('\u{300}'..='\u{36f}').contains(character)).collect();
    if plain.is_empty() { word.to_string() } else { plain }
}

/// Walks over the words of a text.
struct Places<'a> {
    text: &'a str,
    at: usize,
}

impl Places<'_> {
    /// The next word, and whether it is a run of ideographs.
    fn next(&mut self) -> Option<(Range<usize>, bool)> {
        loop {
            let rest = &self.text[self.at..];
            let skipped = rest.find(char::is_alphanumeric)?;
            let before = rest[..skipped].chars().next_back();
            let start = self.at + skipped;
            let first = self.text[start..].chars().next()?;
            let ideographs = is_ideograph(first);
            let goes_on = |character: char| match ideographs {
                true => is_ideograph(character),
                false => {
                    (character.is_alphanumeric() && !is_ideograph(character)) || is_combining_mark(character)
                }
            };
            let length = self.text[start..].find(|character| !goes_on(character));
            let end = length.map_or(self.text.len(), |length| start + length);
            self.at = end;
            let behind =
                matches!(before, Some('\'' | '\u{2019}')) && skipped == before.map_or(0, char::len_utf8);
            let contracted = behind && start > skipped && CONTRACTED.contains(&&self.text[start..end]);
            if !contracted {
                return Some((start..end, ideographs));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let normal = normal(text);
        let mut found = Vec::new();
        for_each_term(&normal, |term, _| found.push(term.to_string()));
        found
    }

    #[test]
    fn words_lose_case_accents_plurals_and_what_is_contracted() {
        assert_eq!(
            terms("Crohn’s disease, Sjögren's; ALLERGIES & naïve T-cells 2.5mg"),
            ["crohn", "disease", "sjogren", "allergy", "naive", "t", "cell", "2", "5mg"]
        );
        // What stands between quotes is a word.
        assert_eq!(terms("'s' 'pain' don't"), ["s", "pain", "don"]);
        assert_eq!(terms("ﬁbrosis Ⅳ"), ["fibrosi", "iv"]);
        assert!(terms(" \n-—?!").is_empty() && terms("").is_empty());
    }

    #[test]
    fn ideographs_are_found_in_pairs_whatever_stands_beside_them() {
        assert_eq!(terms("胸痛3天，CT正常"), ["胸痛", "3", "天", "ct", "正常"]);
        assert_eq!(terms("高血壓應當"), ["高血", "血压", "压应", "应当"]);
        assert_eq!(terms("高血压应当"), terms("高血壓應當"));
    }

    #[test]
    fn words_are_places_of_the_text_and_terms_are_short() {
        let normal = normal("Zoë has 痛风, headaches");
        let mut words = Vec::new();
        for_each_term(&normal, |_, word| words.push(word));
        assert_eq!(words, ["zoë", "has", "痛风", "headaches"]);
        let long = "é".repeat(1000);
        assert!(terms(&long).iter().all(|term| term.len() <= LONGEST));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_its_form_is_stable(text in "\\PC{0,40}") {
            let once = terms(&text);
            for term in &once {
                proptest::prop_assert!(!term.is_empty() && term.len() <= LONGEST);
            }
            proptest::prop_assert_eq!(terms(&text), once);
        }
    }
}
