//! Phrases in a note.
//!
//! A note falls into clauses at full stops and the like, and a clause into words, commas and
//! signs; an ideograph is a word.

use std::collections::BTreeSet;

use super::layout::END;
use crate::terms::is_ideograph;

/// Most words that `~` stands for, and within which something after a phrase takes it back.
pub const GAP: usize = 3;
/// Most words of a clause.
const LONGEST: usize = 500;
/// Fewest letters of a word whose misspellings are read.
const SPELT: usize = 5;

/// A part of a note in which words belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<'a> {
    /// Its words, commas and signs.
    pub words: Vec<&'a str>,
}

/// The clauses of a normalised note.
pub fn clauses(text: &str) -> Vec<Clause<'_>> {
    let mut clauses = vec![Clause { words: Vec::new() }];
    let mut start: Option<usize> = None;
    // Of the word that has begun: looked at once more for every letter of it, a long one would take hours.
    let mut word = Shape::default();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let next = characters.peek().map(|(_, next)| *next);
        let digit = next.is_some_and(|c| c.is_ascii_digit());
        // "38.5" and "2.5" are one word, and so are "t38.5" and ".78" behind a blank.
        let bare = start.is_none() && text[..at].ends_with(' ');
        let point = character == '.' && digit && (bare || word.is_name_and_digits());
        // "40,9" and "7,1" are numbers, too; "80,72" are two.
        let point = point
            || character == ','
                && start.is_some_and(|from| word.is_short_number() && !text[..from].ends_with(['/', ',']))
                && digit
                && !text[end + 1..].starts_with(|c: char| c.is_ascii_digit() || c == ',');
        let apostrophe = matches!(character, '\'' | '’' | '`') && start.is_some();
        // So is "b.p.": its last full stop ends no clause.
        let initials = character == '.' && word.is_initials(next);
        let ideograph = is_ideograph(character);
        if (character.is_alphanumeric() && !ideograph) || point || apostrophe || initials {
            // A unit behind a digit ("70mmhg", "4cm") is a word of its own.
            if let Some(from) = start
                && word.is_number
                && character.is_alphabetic()
            {
                add(&mut clauses, &text[from..at]);
                start = None;
            }
            if start.is_none() {
                (start, word) = (Some(at), Shape::default());
            }
            word.add(character);
            continue;
        }
        if let Some(from) = start.take() {
            add(&mut clauses, &text[from..at]);
        }
        word = Shape::default();
        let ends = matches!(character, '.' | '!' | '?' | ';' | '。' | '；' | '？' | '！' | '\n' | END);
        // "Chest pain? No." is one statement, and "(!)" the mark of a value.
        let ends = match character {
            '?' => !is_answered(&text[end..]),
            '!' => !text[..at].ends_with('('),
            _ => ends,
        };
        if ends {
            clauses.push(Clause { words: Vec::new() });
        } else if !character.is_whitespace() {
            add(&mut clauses, &text[at..end]);
        }
    }
    if let Some(from) = start {
        add(&mut clauses, &text[from..]);
    }
    clauses.retain(|clause| !clause.words.is_empty());
    clauses
}

/// Adds a word to the last clause. One without an end is cut: what is looked for in a clause grows with the square of its words.
fn add<'a>(clauses: &mut Vec<Clause<'a>>, word: &'a str) {
    // "C/ofacial droop".
    let last = clauses.last().map_or(&[][..], |last| &last.words);
    if last.ends_with(&["c", "/"]) && word.len() > 2 && word.starts_with('o') {
        add(clauses, &word[..1]);
        return add(clauses, &word[1..]);
    }
    match clauses.last_mut().filter(|last| last.words.len() < LONGEST) {
        Some(last) => last.words.push(word),
        None => clauses.push(Clause { words: vec![word] }),
    }
}

/// What a word that has begun is made of.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Its length in bytes.
    length: usize,
    /// Letters before its first digit, and whether digits alone follow these.
    letters: usize,
    digits: bool,
    /// Digits, full stops and commas alone.
    is_number: bool,
    /// Single letters, each but the last with its full stop; and whether a full stop or nothing was last.
    is_initials: bool,
    stopped: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { length: 0, letters: 0, digits: true, is_number: true, is_initials: true, stopped: true }
    }
}

impl Shape {
    fn add(&mut self, character: char) {
        let (letter, digit) = (character.is_ascii_alphabetic(), character.is_ascii_digit());
        self.is_initials &= if self.stopped { letter } else { character == '.' };
        self.stopped = character == '.';
        self.is_number &= digit || matches!(character, '.' | ',');
        // Letters first, and nothing but digits behind them.
        match letter && self.letters == self.length {
            true => self.letters += 1,
            false => self.digits &= digit,
        }
        self.length += character.len_utf8();
    }

    /// Digits, or a short name and digits.
    fn is_name_and_digits(&self) -> bool {
        self.letters <= GAP && self.length > self.letters && self.digits
    }

    /// A few digits.
    fn is_short_number(&self) -> bool {
        (1..=GAP).contains(&self.length) && self.letters == 0 && self.digits
    }

    /// Whether a full stop behind it belongs to it: single letters, each with its full stop.
    fn is_initials(&self, next: Option<char>) -> bool {
        let letters = self.is_initials && self.length > 0 && !self.stopped;
        letters && (self.length > 1 || next.is_some_and(char::is_alphabetic))
    }
}

/// Whether what follows a question is "no".
fn is_answered(behind: &str) -> bool {
    let line = behind.split([END, '\n']).next().unwrap_or_default();
    let word = line.trim_start();
    let no = ["none", "no", "n", "denies", "没有", "无", "否"].iter().find_map(|no| word.strip_prefix(no));
    no.is_some_and(|rest| rest.trim_start().is_empty() || rest.trim_start().starts_with(['.', ',', ';', '|']))
}

/// What is looked for in a clause.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrase(Vec<Part>);

/// A part of a phrase.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A word.
    Word(String),
    /// A word that begins so.
    Beginning(String),
    /// A few words, or none.
    Gap,
    /// A number of four digits.
    Year,
    /// A comma, or the end of the clause.
    End,
}

impl Part {
    /// What a word that it stands for begins with.
    pub fn letter(&self) -> Option<char> {
        match self {
            Part::Word(text) | Part::Beginning(text) => text.chars().next(),
            Part::Gap | Part::Year | Part::End => None,
        }
    }

    /// Whether it stands for this word.
    pub fn is(&self, word: &str, same: &dyn Fn(&str, &str) -> bool) -> bool {
        match self {
            Part::Word(text) => same(word, text),
            Part::Beginning(text) => word.starts_with(text.as_str()),
            Part::Year => word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()),
            Part::Gap | Part::End => false,
        }
    }
}

impl Phrase {
    /// Reads a phrase as the rules write it.
    pub fn new(text: &str) -> Result<Phrase, String> {
        let mut parts = Vec::new();
        for piece in text.split_whitespace() {
            match piece.strip_suffix('*') {
                _ if piece == "~" => parts.push(Part::Gap),
                _ if piece == "####" => parts.push(Part::Year),
                _ if piece == "$" => parts.push(Part::End),
                Some(beginning) => parts.push(Part::Beginning(beginning.to_string())),
                None => parts.extend(
                    clauses(piece).iter().flat_map(|c| &c.words).map(|word| Part::Word(word.to_string())),
                ),
            }
        }
        match parts.first().and_then(Part::letter) {
            Some(_) if text.to_lowercase() == text => Ok(Phrase(parts)),
            _ => Err(format!("\"{text}\" is no phrase in lower case that begins with a word")),
        }
    }

    /// Its words without blanks between them, where it is of several in letters of ours and long enough to be nothing else.
    pub fn joined(&self) -> Option<String> {
        const LETTERS: usize = 8;
        let word = |part: &Part| match part {
            Part::Word(text) if text.bytes().all(|b| b.is_ascii_alphabetic()) => Some(text.clone()),
            _ => None,
        };
        let words = self.0.iter().filter(|part| **part != Part::Gap).map(word);
        let words: Vec<String> = words.collect::<Option<_>>()?;
        let joined = words.concat();
        (words.len() > 1 && joined.len() >= LETTERS).then_some(joined)
    }

    /// What it begins with: a word, or the beginning of one.
    pub fn first(&self) -> &Part {
        &self.0[0]
    }

    /// Where it ends, if its second part stands at `at`.
    pub fn rest(&self, words: &[&str], at: usize, same: &dyn Fn(&str, &str) -> bool) -> Option<usize> {
        matches(&self.0[1..], words, at, same)
    }
}

/// Whether nothing stands between a word and the one before it.
pub fn is_glued(words: &[&str], at: usize) -> bool {
    let (Some(before), Some(word)) = (at.checked_sub(1).map(|at| words[at]), words.get(at)) else {
        return false;
    };
    before.as_ptr() as usize + before.len() == word.as_ptr() as usize
}

/// Where the rest of a phrase ends, if it stands at `at`.
fn matches(parts: &[Part], words: &[&str], at: usize, same: &dyn Fn(&str, &str) -> bool) -> Option<usize> {
    let Some((part, rest)) = parts.split_first() else { return Some(at) };
    let word = words.get(at);
    match part {
        // "Vomited twice, no blood" is not what "vomit* ~ blood" means.
        Part::Gap => (0..=GAP)
            .take_while(|skipped| {
                *skipped == 0 || !matches!(words.get(at + skipped - 1), Some(&"no" | &"without"))
            })
            .find_map(|skipped| matches(rest, words, at + skipped, same)),
        Part::End => match word.is_none_or(|word| matches!(*word, "," | "，")) {
            true => matches(rest, words, at, same),
            false => None,
        },
        _ if word.is_some_and(|word| part.is(word, same)) => matches(rest, words, at + 1, same),
        // "Chest-pain", "chest_pain" and HL7's "chest^pain".
        _ if matches!(word, Some(&"-" | &"_" | &"^" | &"/"))
            && is_glued(words, at)
            && is_glued(words, at + 1) =>
        {
            matches(parts, words, at + 1, same)
        }
        _ => None,
    }
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’' | '`')
}

/// Apostrophes are typed in several ways, or left out.
pub fn is_word(word: &str, text: &str) -> bool {
    let bare = |word: &'_ str| word.chars().filter(|c| !is_apostrophe(*c)).collect::<String>();
    word == text || (word.contains(is_apostrophe) || text.contains('\'')) && bare(word) == bare(text)
}

/// Misspellings of the words of phrases: one letter too few, too many, wrong or changed with the next.
#[derive(Debug, Clone, Default)]
pub struct Spelling {
    /// Words of their own that look like misspellings.
    pub words: BTreeSet<String>,
}

impl Spelling {
    /// Whether `word` is `text` but for one slip after the first letter. A word of fewer than five letters is
    /// too near to others.
    pub fn is_slip(&self, word: &str, text: &str) -> bool {
        if text.len() < SPELT || word.len().abs_diff(text.len()) > 1 || !text.is_ascii() {
            return false;
        }
        let same_first =
            word.as_bytes().first() == text.as_bytes().first() || Self::behind_foreign(word).is_some();
        let head = |word: &str, text: &str| {
            word.chars()
                .zip(text.chars())
                .take_while(|(x, y)| x == y)
                .map(|(x, _)| x.len_utf8())
                .sum::<usize>()
        };
        let at = head(word, text);
        let (a, b) = (&word[at..], &text[at..]);
        let tail = a.chars().rev().zip(b.chars().rev()).take_while(|(x, y)| x == y);
        let tail: usize = tail.map(|(x, _)| x.len_utf8()).sum();
        let mut a = a[..a.len() - tail].chars();
        let mut b = b[..b.len() - tail].chars();
        let slip = match ([a.next(), a.next(), a.next()], [b.next(), b.next(), b.next()]) {
            ([_, None, _], [_, None, _]) => true,
            ([Some(x), Some(y), None], [Some(v), Some(w), None]) => x == w && y == v,
            _ => false,
        };
        same_first && slip && !self.words.contains(word)
    }

    /// What follows a first letter of another script, in which it may look like one of ours ("сhest"): letters of ours
    /// alone. What is too short to be a misspelling is not looked at.
    pub fn behind_foreign(word: &str) -> Option<&str> {
        let first = word.chars().next().filter(|first| !first.is_ascii() && word.len() + 1 >= SPELT)?;
        let rest = &word[first.len_utf8()..];
        (rest.is_ascii() && first.is_alphabetic()).then_some(rest)
    }
}
