//! Many phrases, looked for together. A package has a thousand of them and a note twenty words, so a word is
//! compared with the beginnings of those alone that have its first letter; the rest of a phrase is looked at where
//! its beginning stands.

use std::collections::HashMap;
use std::ops::Range;

use super::phrases::{Part, Phrase, Spelling, is_word};

/// Phrases that are looked for in one pass.
#[derive(Debug, Clone, Default)]
pub struct Phrases {
    list: Vec<Phrase>,
    by_letter: HashMap<char, Vec<Beginning>>,
    /// Phrases of several words by these without blanks: "crushingchestpain".
    joined: HashMap<String, Vec<usize>>,
    /// By what follows the first letter of a word that phrases begin with: the letter, and which of its beginnings it is.
    by_rest: HashMap<String, Vec<(char, usize)>>,
}

/// What phrases begin with.
#[derive(Debug, Clone)]
struct Beginning {
    part: Part,
    phrases: Vec<usize>,
}

/// Phrases of one purpose: a range of those that are looked for together.
pub type Group = Range<usize>;

/// A place of a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Which phrase.
    pub phrase: usize,
    /// The word at which it begins.
    pub start: usize,
    /// The word behind its last.
    pub end: usize,
}

/// All places of phrases in a clause: by phrase, then from the first word on.
#[derive(Debug)]
pub struct Hits(Vec<Hit>);

impl Hits {
    /// Those of a group.
    pub fn of(&self, group: &Group) -> &[Hit] {
        let from = self.0.partition_point(|hit| hit.phrase < group.start);
        let to = self.0.partition_point(|hit| hit.phrase < group.end);
        &self.0[from..to]
    }
}

impl Phrases {
    /// Adds a group.
    ///
    /// # Errors
    /// The first of the texts that is no phrase.
    pub fn add<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) -> Result<Group, String> {
        let from = self.list.len();
        for text in texts.into_iter().flat_map(|text| alternatives(text)) {
            let phrase = Phrase::new(&text)?;
            let number = self.list.len();
            let part = phrase.first();
            if let Some(letter) = part.letter() {
                let beginnings = self.by_letter.entry(letter).or_default();
                match beginnings.iter_mut().find(|beginning| beginning.part == *part) {
                    Some(beginning) => beginning.phrases.push(number),
                    None => {
                        if let Part::Word(text) = part {
                            let rest = text[letter.len_utf8()..].to_string();
                            self.by_rest.entry(rest).or_default().push((letter, beginnings.len()));
                        }
                        beginnings.push(Beginning { part: part.clone(), phrases: vec![number] });
                    }
                }
            }
            if let Some(joined) = phrase.joined() {
                self.joined.entry(joined).or_default().push(number);
            }
            self.list.push(phrase);
        }
        Ok(from..self.list.len())
    }

    /// The phrases that a word is, or ends with, without blanks ("crushingchestpain"), unless what is before that denies.
    fn joined_in(&self, word: &str) -> Option<&Vec<usize>> {
        const LETTERS: usize = 40;
        if !(8..=LETTERS).contains(&word.len()) || !word.is_ascii() {
            return None;
        }
        let denies = |head: &str| ["no", "not", "non", "without", "denies"].contains(&head);
        (0..=word.len() - 8).filter(|at| !denies(&word[..*at])).find_map(|at| self.joined.get(&word[at..]))
    }

    /// All their places among the words of a clause, with slips of the pen where a spelling is given.
    pub fn find(&self, words: &[&str], spelling: Option<&Spelling>) -> Hits {
        let same = |word: &str, text: &str| {
            is_word(word, text) || spelling.is_some_and(|spelling| spelling.is_slip(word, text))
        };
        let mut hits = Vec::new();
        for (start, word) in words.iter().enumerate() {
            let Some(letter) = word.chars().next() else { continue };
            let joined = self.joined_in(word).into_iter().flatten();
            hits.extend(joined.map(|&phrase| Hit { phrase, start, end: start + 1 }));
            let mut look = |beginnings: &[Beginning]| {
                for Beginning { part, phrases } in beginnings {
                    if !part.is(word, &same) {
                        continue;
                    }
                    for &phrase in phrases {
                        if let Some(end) = self.list[phrase].rest(words, start + 1, &same) {
                            hits.push(Hit { phrase, start, end });
                        }
                    }
                }
            };
            self.by_letter.get(&letter).map(Vec::as_slice).map(&mut look);
            // A letter of another script that looks the same is a slip, too, and so is one too many.
            if let Some(rest) = spelling.and_then(|_| Spelling::behind_foreign(word)) {
                for (other, at) in self.by_rest.get(rest).into_iter().flatten() {
                    look(&self.by_letter[other][*at..=*at]);
                }
                let next = rest.chars().next();
                next.and_then(|next| self.by_letter.get(&next)).map(Vec::as_slice).map(&mut look);
            }
        }
        hits.sort_unstable();
        Hits(hits)
    }
}

/// All that a phrase with `one|other` stands for.
fn alternatives(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for piece in text.split_whitespace() {
        let longer = |start: &String| {
            let start = if start.is_empty() { String::new() } else { format!("{start} ") };
            piece.split('|').map(move |word| format!("{start}{word}")).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}
