//! What a tagger sees of every token: sparse yes-or-no features, each known by a hash of 32 bits.
//!
//! The word itself and how it is written, its beginnings, ends and pieces of characters, the words
//! around it, pairs and triples of them; whether it stands in a list of names, and in which class of
//! words that are used alike. Nothing here learns: the same text gives the same features to training
//! and to serving. As with the n-grams of a bag, no package holds the words it was trained on.

use super::super::terms::Hash;
use super::lexicon::Lexicons;

/// Longest beginning and end of a word that is a feature.
const AFFIX: usize = 5;
/// Lengths of the pieces of characters.
const PIECES: [usize; 3] = [3, 4, 5];
/// Most characters of a word that are looked at piece by piece: nobody writes a name of more.
const MAX_PIECES: usize = 40;
/// What stands before the first token and after the last.
const EDGE: u64 = 0x9ae1_6a3b_2f90_404f;

/// Kinds of features, so that equal contents of two kinds differ.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Kind {
    Bias = 1,
    Lower,
    Word,
    Shape,
    Short,
    Prefix,
    Suffix,
    Piece,
    Digits,
    Around,
    ShortAround,
    SuffixAround,
    PrefixAround,
    Pair,
    Triple,
    Lexicon,
    LexiconPair,
    Class,
    ClassPair,
    Brackets,
    Abbreviation,
    ShortPair,
}

/// What is looked at of one token.
struct Atoms {
    lower: u64,
    word: u64,
    shape: u64,
    short: u64,
    prefix: u64,
    suffix: u64,
    suffix4: u64,
    classes: [u64; 3],
    lexicons: u64,
}

/// Features of every one of `words`, which are a sentence. `heads` has for each the hash of what it
/// abbreviates ([`abbreviations`]).
pub fn features(
    words: &[&str],
    lowers: &[String],
    heads: &[Option<u64>],
    lexicons: &Lexicons,
) -> Vec<Vec<u32>> {
    let matches = lexicons.matches(lowers);
    let atoms: Vec<Atoms> =
        (0..words.len()).map(|at| atoms(words[at], &lowers[at], &matches[at], lexicons)).collect();
    let mut depth = 0i32;
    let mut all = Vec::with_capacity(words.len());
    for at in 0..words.len() {
        let mut out = Vec::with_capacity(96);
        own(&mut out, words[at], &lowers[at], &atoms[at]);
        around(&mut out, &atoms, at);
        for (name, place) in &matches[at] {
            feature(&mut out, Kind::Lexicon, u64::from(*name), u64::from(*place));
            feature(&mut out, Kind::LexiconPair, u64::from(*name) << 8 | u64::from(*place), atoms[at].lower);
        }
        match words[at] {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = (depth - 1).max(0),
            _ if depth > 0 => feature(&mut out, Kind::Brackets, 1, atoms[at].short),
            _ => {}
        }
        if let Some(head) = heads[at] {
            feature(&mut out, Kind::Abbreviation, head, 0);
            feature(&mut out, Kind::Abbreviation, 1, 1);
        }
        all.push(out);
    }
    all
}

fn feature(out: &mut Vec<u32>, kind: Kind, a: u64, b: u64) {
    out.push(fold(mix(mix(kind as u64, a), b)));
}

/// Stirs two numbers together (the finisher of MurmurHash3, Appleby).
fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b;
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

fn fold(x: u64) -> u32 {
    (x ^ (x >> 32)) as u32
}

fn hash(text: &str) -> u64 {
    let mut hash = Hash::new(7);
    hash.add(text.as_bytes());
    hash.whole()
}

/// How a word is written: letters by their case, digits as 0. A run counts once where `short`.
fn shape(word: &str, short: bool) -> String {
    let mut shape = String::new();
    for character in word.chars() {
        let sign = match character {
            c if c.is_uppercase() => 'X',
            c if c.is_lowercase() => 'x',
            c if c.is_numeric() => '0',
            c => c,
        };
        if !(short && shape.ends_with(sign)) {
            shape.push(sign);
        }
    }
    shape
}

fn prefix(word: &str, count: usize) -> &str {
    word.char_indices().nth(count).map_or(word, |(at, _)| &word[..at])
}

fn suffix(word: &str, count: usize) -> &str {
    let at = word.char_indices().rev().nth(count.max(1) - 1).map_or(0, |(at, _)| at);
    &word[at..]
}

fn atoms(word: &str, lower: &str, matches: &[(u8, u8)], lexicons: &Lexicons) -> Atoms {
    let named =
        matches.iter().fold(0, |sum, (name, place)| mix(sum, u64::from(*name) << 8 | u64::from(*place)));
    let lower_hash = hash(lower);
    Atoms {
        lower: lower_hash,
        word: hash(word),
        shape: hash(prefix(&shape(word, false), 12)),
        short: hash(&shape(word, true)),
        prefix: hash(prefix(lower, 3)),
        suffix: hash(suffix(lower, 3)),
        suffix4: hash(suffix(lower, 4)),
        classes: lexicons.classes(lower).map(u64::from),
        lexicons: named,
    }
}

/// What a word says by itself.
fn own(out: &mut Vec<u32>, word: &str, lower: &str, atoms: &Atoms) {
    feature(out, Kind::Bias, 0, 0);
    feature(out, Kind::Lower, atoms.lower, 0);
    feature(out, Kind::Word, atoms.word, 0);
    feature(out, Kind::Shape, atoms.shape, 0);
    feature(out, Kind::Short, atoms.short, 0);
    let characters: Vec<char> =
        std::iter::once('^').chain(lower.chars().take(MAX_PIECES)).chain(['$']).collect();
    let length = characters.len() - 2;
    for count in 1..=AFFIX.min(length) {
        feature(out, Kind::Prefix, hash(prefix(lower, count)), 0);
        feature(out, Kind::Suffix, hash(suffix(lower, count)), 0);
    }
    for size in PIECES {
        for piece in characters.windows(size) {
            let piece: String = piece.iter().collect();
            feature(out, Kind::Piece, hash(&piece), 0);
        }
    }
    if word.chars().any(char::is_numeric) {
        let plain: String = lower.chars().map(|c| if c.is_numeric() { '0' } else { c }).collect();
        feature(out, Kind::Digits, hash(&plain), 0);
    }
    for (level, class) in atoms.classes.iter().enumerate().filter(|(_, class)| **class > 0) {
        feature(out, Kind::Class, *class, level as u64);
    }
}

/// What the words around it say.
fn around(out: &mut Vec<u32>, atoms: &[Atoms], at: usize) {
    let place = |distance: i64| -> Option<&Atoms> {
        usize::try_from(at as i64 + distance).ok().and_then(|at| atoms.get(at))
    };
    let lower = |distance: i64| place(distance).map_or(EDGE, |atoms| atoms.lower);
    let short = |distance: i64| place(distance).map_or(EDGE, |atoms| atoms.short);
    for distance in [-3i64, -2, -1, 1, 2, 3] {
        let side = (distance + 8) as u64;
        feature(out, Kind::Around, side, lower(distance));
        let Some(near) = place(distance) else { continue };
        if distance.abs() <= 2 {
            feature(out, Kind::ShortAround, side, near.short);
            feature(out, Kind::SuffixAround, side, near.suffix);
            for (level, class) in near.classes.iter().enumerate().filter(|(_, class)| **class > 0) {
                feature(out, Kind::Class, *class, side << 8 | level as u64);
            }
            if near.lexicons > 0 {
                feature(out, Kind::Lexicon, side << 32, near.lexicons);
            }
        }
        if distance.abs() == 1 {
            feature(out, Kind::PrefixAround, side, near.prefix);
            feature(out, Kind::SuffixAround, side << 8, near.suffix4);
            for (level, (own, other)) in atoms[at].classes.iter().zip(&near.classes).enumerate() {
                if *own > 0 && *other > 0 {
                    feature(out, Kind::ClassPair, side << 8 | level as u64, own << 32 | other);
                }
            }
        }
    }
    let own = atoms[at].lower;
    for (number, (first, second)) in [
        (lower(-1), own),
        (own, lower(1)),
        (lower(-1), lower(1)),
        (lower(-2), lower(-1)),
        (lower(1), lower(2)),
    ]
    .into_iter()
    .enumerate()
    {
        feature(out, Kind::Pair, mix(first, number as u64), second);
    }
    feature(out, Kind::Triple, mix(lower(-1), own), lower(1));
    feature(out, Kind::ShortPair, mix(short(-1), atoms[at].short), short(1));
}

/// Where a word in brackets abbreviates the words before them (Schwartz and Hearst 2003, in short:
/// its letters are the first letters of as many words), the hash of the last of these words: what
/// kind of thing it is the name of. It holds wherever the text has the abbreviation.
pub fn abbreviations(words: &[&str], lowers: &[String]) -> Vec<Option<u64>> {
    let mut found: Vec<(&str, u64)> = Vec::new();
    for at in 1..words.len().saturating_sub(2) {
        if words[at] != "(" || words[at + 2] != ")" {
            continue;
        }
        let letters: Vec<char> = lowers[at + 1].chars().filter(|c| c.is_alphabetic()).collect();
        let is_short = (2..=8).contains(&letters.len()) && words[at + 1].chars().any(char::is_uppercase);
        let mut left = letters.iter().rev();
        let mut next = left.next();
        for lower in lowers[..at].iter().rev().take(letters.len() + 4) {
            if next.is_some_and(|letter| lower.starts_with(*letter)) {
                next = left.next();
            }
        }
        if is_short && next.is_none() {
            found.push((words[at + 1], hash(&lowers[at - 1])));
        }
    }
    words.iter().map(|word| found.iter().find(|(short, _)| short == word).map(|(_, head)| *head)).collect()
}
