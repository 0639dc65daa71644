//! N-grams of a note, as hashes.
//!
//! A note's words are its runs of letters and digits; an ideograph is a word of its own, as
//! Chinese writes no spaces. Words give word n-grams. The note's pieces between blanks,
//! with a blank on each side, give character n-grams, which is what survives misspellings and
//! abbreviations ("abd. pain", "abdomen pain"). An n-gram is known by a hash of 32 bits only:
//! two n-grams in a million share one, and no package holds the words of the notes it was
//! trained on.

use std::ops::Range;

use model::manifest::NGrams;

/// An n-gram's hash and how often the note has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// What it is known by.
    pub hash: u32,
    /// Occurrences.
    pub count: u32,
}

/// N-grams of words of a normalised note, in the order of their hashes.
pub fn words(note: &str, kind: NGrams) -> Vec<Term> {
    counted(word_places(note, kind).into_iter().map(|(hash, _)| hash).collect())
}

/// N-grams of words with the bytes that each stands at, as often as the note has them.
pub fn word_places(note: &str, kind: NGrams) -> Vec<(u32, Range<usize>)> {
    let spans = word_spans(note);
    let mut hashes = Vec::new();
    for start in 0..spans.len() {
        let mut hash = Hash::new(1);
        for (place, span) in spans[start..].iter().take(kind.max).enumerate() {
            hash.add(&note.as_bytes()[span.0..span.1]);
            // No word holds this byte, so that "a b" and "ab" differ.
            hash.add(&[0]);
            if place + 1 >= kind.min {
                hashes.push((hash.value(), spans[start].0..span.1));
            }
        }
    }
    hashes
}

/// N-grams of characters within the pieces between blanks, in the order of their hashes.
pub fn characters(note: &str, kind: NGrams) -> Vec<Term> {
    counted(character_places(note, kind).into_iter().map(|(hash, _)| hash).collect())
}

/// N-grams of characters with the bytes that each stands at, as often as the note has them.
pub fn character_places(note: &str, kind: NGrams) -> Vec<(u32, Range<usize>)> {
    let mut hashes = Vec::new();
    let mut piece = Vec::new();
    for text in note.split_whitespace() {
        let first = text.as_ptr() as usize - note.as_ptr() as usize;
        piece.clear();
        piece.push(' ');
        piece.extend(text.chars());
        piece.push(' ');
        let mut bytes = first;
        for start in 0..piece.len() {
            let mut hash = Hash::new(2);
            let mut end = bytes;
            for (place, character) in piece[start..].iter().take(kind.max).enumerate() {
                hash.add(character.encode_utf8(&mut [0; 4]).as_bytes());
                let is_edge = start + place == 0 || start + place + 1 == piece.len();
                end += if is_edge { 0 } else { character.len_utf8() };
                // A blank alone says nothing.
                let blank = place == 0 && *character == ' ';
                if place + 1 >= kind.min && !blank {
                    hashes.push((hash.value(), bytes..end));
                }
            }
            bytes += if start == 0 { 0 } else { piece[start].len_utf8() };
        }
    }
    hashes
}

/// Start and end, in bytes, of every word.
pub(crate) fn word_spans(note: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut open: Option<usize> = None;
    for (at, character) in note.char_indices() {
        let ideograph = is_ideograph(character);
        if !character.is_alphanumeric() || ideograph {
            spans.extend(open.take().map(|start| (start, at)));
        }
        if ideograph {
            spans.push((at, at + character.len_utf8()));
        } else if character.is_alphanumeric() && open.is_none() {
            open = Some(at);
        }
    }
    spans.extend(open.map(|start| (start, note.len())));
    spans
}

/// True for characters that are written without spaces between words.
pub(crate) fn is_ideograph(character: char) -> bool {
    matches!(character,
        '\u{3040}'..='\u{30ff}'      // Hiragana, Katakana
        | '\u{3400}'..='\u{4dbf}'    // extension A
        | '\u{4e00}'..='\u{9fff}'    // unified ideographs
        | '\u{f900}'..='\u{faff}'    // compatibility ideographs
        | '\u{20000}'..='\u{3ffff}') // further extensions
}

fn counted(mut hashes: Vec<u32>) -> Vec<Term> {
    hashes.sort_unstable();
    let mut terms: Vec<Term> = Vec::new();
    for hash in hashes {
        match terms.last_mut() {
            Some(last) if last.hash == hash => last.count += 1,
            _ => terms.push(Term { hash, count: 1 }),
        }
    }
    terms
}

/// FNV-1a over 64 bits (Fowler, Noll and Vo), folded to 32: short inputs, no key, the same on
/// every machine.
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new(kind: u8) -> Hash {
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        hash.add(&[kind]);
        hash
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// All 64 bits.
    pub(crate) fn whole(&self) -> u64 {
        self.0
    }

    pub(crate) fn value(&self) -> u32 {
        (self.0 >> 32) as u32 ^ self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: NGrams = NGrams { min: 1, max: 2, scale: 1.0 };
    const CHARACTERS: NGrams = NGrams { min: 2, max: 3, scale: 1.0 };

    fn total(terms: &[Term]) -> u32 {
        terms.iter().map(|term| term.count).sum()
    }

    #[test]
    fn words_and_pairs_are_counted() {
        // chest, pain, chest, pain; chest pain twice, pain chest once.
        let terms = words("chest pain, chest-pain", WORDS);
        assert_eq!(total(&terms), 7);
        let mut counts: Vec<u32> = terms.iter().map(|term| term.count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2, 2, 2]);
        assert_ne!(words("ab", WORDS), words("a b", WORDS));
    }

    #[test]
    fn an_ideograph_is_a_word() {
        assert_eq!(words("胸痛", WORDS).len(), 3);
        assert_eq!(words("x胸痛2", WORDS), words("x 胸 痛 2", WORDS));
    }

    #[test]
    fn characters_stay_within_a_piece_and_know_its_ends() {
        // " pain ": 5 of two characters, 4 of three.
        assert_eq!(total(&characters("pain", CHARACTERS)), 9);
        assert_eq!(total(&characters("pain pain", CHARACTERS)), 18);
        let shared = |a: &str, b: &str| {
            let other = characters(b, CHARACTERS);
            characters(a, CHARACTERS).iter().filter(|term| other.contains(term)).count()
        };
        // " a", "ab", "bd", "do", "om" and " ab", "abd", "bdo", "dom".
        assert!(shared("abdominal", "abdomen") >= 9);
        assert!(!characters("??", CHARACTERS).is_empty());
    }

    #[test]
    fn nothing_gives_nothing() {
        let none = NGrams { min: 1, max: 0, scale: 1.0 };
        assert!(words("chest pain", none).is_empty() && characters("chest pain", none).is_empty());
        assert!(words("", WORDS).is_empty() && characters(" \n", CHARACTERS).is_empty());
    }
}
