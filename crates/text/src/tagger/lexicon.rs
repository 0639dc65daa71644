//! Lists of names, and classes of words that are used alike: what a tagger knows besides its weights.
//!
//! A list helps where training saw a name too seldom. Its names are kept as hashes of their words in
//! lower case, a plural as the singular, so that the package says of none which it is; the longest
//! match counts. Classes come from text without any marks (`train::extract::classes`).

use std::collections::{HashMap, HashSet};

use super::super::terms::Hash;
use super::tokens::tokens;

/// Most words of a name in a list.
pub const LONGEST: usize = 8;
/// Classes of a word, from coarse to fine.
pub const LEVELS: usize = 3;

/// Lists and classes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lexicons {
    /// Hashes of the names of every list.
    pub lists: Vec<HashSet<u32>>,
    /// Classes of words by their hash, from 1.
    pub classes: HashMap<u32, [u16; LEVELS]>,
}

/// The hash of a name's words, each in lower case; `None` of too many.
pub fn name<'a>(words: impl Iterator<Item = &'a str>) -> Option<u32> {
    let mut hash = Hash::new(8);
    let mut count = 0;
    for word in words {
        hash.add(singular(word).as_bytes());
        hash.add(&[0]);
        count += 1;
    }
    (1..=LONGEST).contains(&count).then(|| hash.value())
}

/// The hash of a word in lower case, every digit of it taken for 0.
pub fn word(lower: &str) -> u32 {
    let mut hash = Hash::new(9);
    for byte in lower.bytes() {
        hash.add(&[if byte.is_ascii_digit() { b'0' } else { byte }]);
    }
    hash.value()
}

fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 3 && !stem.ends_with(['s', 'u', 'i']) => stem,
        _ => word,
    }
}

impl Lexicons {
    /// A list from names as people write them.
    pub fn list<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<u32> {
        let of = |text: &str| {
            let lower = text.to_lowercase();
            name(tokens(&lower).into_iter().map(|token| &lower[token.bytes]))
        };
        names.filter_map(of).collect()
    }

    /// The classes of a word in lower case; zeros where it has none.
    pub fn classes(&self, lower: &str) -> [u16; LEVELS] {
        self.classes.get(&word(lower)).copied().unwrap_or_default()
    }

    /// For every word the lists in which it stands, and where in the name: 1 alone, 2 first, 3 within,
    /// 4 last. From the left the longest name counts.
    pub fn matches(&self, lowers: &[String]) -> Vec<Vec<(u8, u8)>> {
        let mut found = vec![Vec::new(); lowers.len()];
        for (number, list) in self.lists.iter().enumerate().filter(|(_, list)| !list.is_empty()) {
            let mut start = 0;
            while start < lowers.len() {
                let longest = (start + LONGEST).min(lowers.len());
                let end = (start + 1..=longest).rev().find(|end| {
                    name(lowers[start..*end].iter().map(String::as_str))
                        .is_some_and(|hash| list.contains(&hash))
                });
                let Some(end) = end else {
                    start += 1;
                    continue;
                };
                for (at, found) in found.iter_mut().enumerate().take(end).skip(start) {
                    let place = match (at == start, at + 1 == end) {
                        (true, true) => 1,
                        (true, false) => 2,
                        (false, false) => 3,
                        (false, true) => 4,
                    };
                    found.push((number as u8, place));
                }
                start = end;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_of_each_list_counts_and_plurals_are_singulars() {
        let lists = vec![
            Lexicons::list(["Diabetes", "diabetes insipidus", "heart attack"].into_iter()),
            Lexicons::list(["Attack", "a b c d e f g h i"].into_iter()),
        ];
        assert_eq!(lists[1].len(), 1, "a name of too many words is left out");
        let lexicons = Lexicons { lists, ..Lexicons::default() };
        let words = ["diabetes", "insipidus", ",", "diabetes", "heart", "attacks"].map(str::to_string);
        let expected = [vec![(0, 2)], vec![(0, 4)], vec![], vec![(0, 1)], vec![(0, 2)], vec![(0, 4), (1, 1)]];
        assert_eq!(lexicons.matches(&words), expected);
    }

    #[test]
    fn numbers_of_one_length_are_one_word() {
        assert_eq!(word("10mg"), word("25mg"));
        assert_ne!(word("10mg"), word("5mg"));
        assert_eq!(Lexicons::default().classes("pain"), [0; LEVELS]);
    }
}
