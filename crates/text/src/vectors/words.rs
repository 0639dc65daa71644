//! How a text is cut into words, and what words and their parts are known by.
//!
//! A word is a run of letters and digits in lower case, after normalisation (NFKC, and traditional Chinese
//! characters read as simplified ones); an ideograph is a word of its own. Training and serving cut alike.

use std::borrow::Cow;
use std::sync::LazyLock;

use unicode_normalization::{UnicodeNormalization, is_nfkc};

use crate::simplified::Simplifier;
use crate::terms::{Hash, word_spans};

static SIMPLIFIER: LazyLock<Simplifier> = LazyLock::new(Simplifier::new);

/// The words of a text.
pub struct Words {
    text: String,
    spans: Vec<(usize, usize)>,
}

impl Words {
    /// Cuts a text.
    pub fn of(text: &str) -> Words {
        let text = match text.is_ascii() {
            true => text.to_ascii_lowercase(),
            false => {
                let simple = SIMPLIFIER.simplify(text);
                let whole: Cow<str> = match is_nfkc(&simple) {
                    true => simple,
                    false => Cow::Owned(simple.nfkc().collect()),
                };
                whole.to_lowercase()
            }
        };
        let spans = word_spans(&text);
        Words { text, spans }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.spans.iter().map(|(start, end)| &self.text[*start..*end])
    }
}

/// What a word is known by.
pub fn word_hash(word: &str) -> u32 {
    let mut hash = Hash::new(3);
    hash.add(word.as_bytes());
    hash.value()
}

/// Calls `each` with the hash of every n-gram of `least` to `most` characters of a word between the marks
/// `<` and `>`, in order. A mark alone is none.
pub fn ngrams(word: &str, least: usize, most: usize, mut each: impl FnMut(u64)) {
    let mut ends: Vec<usize> = Vec::with_capacity(word.len() + 3);
    let marked = format!("<{word}>");
    ends.extend(marked.char_indices().map(|(at, _)| at));
    ends.push(marked.len());
    let characters = ends.len() - 1;
    for start in 0..characters {
        for length in least..=most.min(characters - start) {
            if length == 1 && (start == 0 || start + 1 == characters) {
                continue;
            }
            let mut hash = Hash::new(4);
            hash.add(&marked.as_bytes()[ends[start]..ends[start + length]]);
            each(mixed(hash.whole()));
        }
    }
}

/// Spreads a hash over all its bits (the finaliser of SplitMix64, Steele, Lea and Flood 2014): what is taken
/// of it is the rest of a division, and the lowest bits of the hash alone depend on few of the bytes.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        Words::of(text).iter().map(str::to_string).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(cut("Naïve T-cells, 10mg; ＣＴ"), ["naïve", "t", "cells", "10mg", "ct"]);
        assert_eq!(cut("胸痛 e\u{301}tat"), ["胸", "痛", "état"]);
        assert!(Words::of(" ?!😷").is_empty());
    }

    #[test]
    fn n_grams_know_the_ends_of_a_word() {
        let all = |word: &str, least, most| {
            let mut hashes = Vec::new();
            ngrams(word, least, most, |hash| hashes.push(hash));
            hashes
        };
        // <pain>: 4 of three characters, 3 of four, 2 of five, 1 of six.
        assert_eq!(all("pain", 3, 6).len(), 10);
        assert_eq!(all("é", 1, 3).len(), 4);
        let shared: Vec<u64> =
            all("anaemia", 3, 5).into_iter().filter(|hash| all("anemia", 3, 5).contains(hash)).collect();
        // <an, ana is in one alone; emi, mia, ia>, emia, mia>, emia> and mia>'s kin are in both.
        assert!(shared.len() >= 6, "{}", shared.len());
        assert_ne!(word_hash("pain"), word_hash("pains"));
    }
}
