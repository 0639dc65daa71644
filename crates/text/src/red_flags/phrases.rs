//! Phrases in a note, and what takes them back.
//!
//! A note falls into clauses at full stops and the like, and a clause into words, commas and
//! signs; an ideograph is a word. What denies is looked for before a phrase, up to the next comma
//! or across the commas of a list, and closely after it (after Chapman et al. 2001, "A simple
//! algorithm for identifying negated findings and diseases in discharge summaries").

use super::rules::ContextRule;
use crate::terms::is_ideograph;

/// Most words that `~` stands for, and within which something after a phrase takes it back.
const GAP: usize = 3;
/// Most characters of a phrase as it is repeated in a flag.
const SHOWN: usize = 80;

/// A part of a note in which words belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<'a> {
    words: Vec<&'a str>,
}

/// The clauses of a normalised note.
pub fn clauses(text: &str) -> Vec<Clause<'_>> {
    let mut clauses = vec![Clause { words: Vec::new() }];
    let mut start = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let next = characters.peek().map(|(_, next)| *next);
        // "38.5" and "2.5" are one word.
        let point = character == '.'
            && start.is_some_and(|from: usize| text[from..at].bytes().all(|b| b.is_ascii_digit()))
            && next.is_some_and(|c| c.is_ascii_digit());
        let apostrophe = matches!(character, '\'' | '’') && start.is_some();
        let ideograph = is_ideograph(character);
        if (character.is_alphanumeric() && !ideograph) || point || apostrophe {
            // A unit behind a digit ("70mmhg", "4cm") is a word of its own.
            if let Some(from) = start
                && text[from..at].bytes().all(|b| b.is_ascii_digit() || b == b'.')
                && character.is_alphabetic()
                && let Some(clause) = clauses.last_mut()
            {
                clause.words.push(&text[from..at]);
                start = None;
            }
            start = start.or(Some(at));
            continue;
        }
        let Some(clause) = clauses.last_mut() else { break };
        clause.words.extend(start.take().map(|from| &text[from..at]));
        let ends = matches!(character, '.' | '!' | '?' | ';' | '。' | '；' | '？' | '！' | '\n');
        if ends {
            clauses.push(Clause { words: Vec::new() });
        } else if !character.is_whitespace() {
            clause.words.push(&text[at..end]);
        }
    }
    if let (Some(from), Some(clause)) = (start, clauses.last_mut()) {
        clause.words.push(&text[from..]);
    }
    clauses.retain(|clause| !clause.words.is_empty());
    clauses
}

/// What is looked for in a clause.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrase(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Word(String),
    Beginning(String),
    Gap,
}

impl Phrase {
    /// Reads a phrase as the rules write it.
    pub fn new(text: &str) -> Result<Phrase, String> {
        let mut parts = Vec::new();
        for piece in text.split_whitespace() {
            match piece.strip_suffix('*') {
                _ if piece == "~" => parts.push(Part::Gap),
                Some(beginning) => parts.push(Part::Beginning(beginning.to_string())),
                None => parts.extend(
                    clauses(piece).iter().flat_map(|c| &c.words).map(|word| Part::Word(word.to_string())),
                ),
            }
        }
        match parts.first() {
            Some(Part::Word(_) | Part::Beginning(_)) if text.to_lowercase() == text => Ok(Phrase(parts)),
            _ => Err(format!("\"{text}\" is no phrase in lower case that begins with a word")),
        }
    }

    /// Where it ends, if it begins at `start`.
    fn at(&self, words: &[&str], start: usize) -> Option<usize> {
        fn matches(parts: &[Part], words: &[&str], at: usize) -> Option<usize> {
            let Some((part, rest)) = parts.split_first() else { return Some(at) };
            let word = words.get(at);
            match part {
                Part::Word(text) if word == Some(&text.as_str()) => matches(rest, words, at + 1),
                Part::Beginning(text) if word.is_some_and(|w| w.starts_with(text.as_str())) => {
                    matches(rest, words, at + 1)
                }
                Part::Gap => (0..=GAP).find_map(|skipped| matches(rest, words, at + skipped)),
                _ => None,
            }
        }
        matches(&self.0, words, start)
    }

    /// Whether a clause has it, denied or not.
    pub fn is_in(&self, Clause { words }: &Clause) -> bool {
        self.find(words, 0).is_some()
    }

    /// The first place at or after `from`: where it begins and ends.
    fn find(&self, words: &[&str], from: usize) -> Option<(usize, usize)> {
        (from..words.len()).find_map(|start| self.at(words, start).map(|end| (start, end)))
    }
}

/// What takes a phrase back.
#[derive(Debug, Clone)]
pub struct Context {
    before: Vec<Phrase>,
    before_list: Vec<Phrase>,
    after: Vec<Phrase>,
    until: Vec<Phrase>,
}

impl Context {
    pub fn new(rule: &ContextRule) -> Result<Context, String> {
        let phrases = |texts: &[String]| {
            texts.iter().map(|text| Phrase::new(text)).collect::<Result<Vec<Phrase>, String>>()
        };
        Ok(Context {
            before: phrases(&rule.before)?,
            before_list: phrases(&rule.before_list)?,
            after: phrases(&rule.after)?,
            until: phrases(&rule.until)?,
        })
    }

    /// The words of `phrase` where the clause has it and nothing takes it back.
    pub fn present(&self, Clause { words }: &Clause, phrase: &Phrase) -> Option<String> {
        let mut from = 0;
        while let Some((start, end)) = phrase.find(words, from) {
            if !self.taken_back(words, start, end) {
                let separator = if words[start].chars().any(is_ideograph) { "" } else { " " };
                return Some(words[start..end].join(separator).chars().take(SHOWN).collect());
            }
            from = start + 1;
        }
        None
    }

    fn taken_back(&self, words: &[&str], start: usize, end: usize) -> bool {
        // The last word that ends what was said before, and the last comma.
        let last = |phrases: &[Phrase]| {
            let ends =
                phrases.iter().flat_map(|p| (0..start).filter_map(move |at| p.at(&words[..start], at)));
            ends.max().unwrap_or(0)
        };
        let begin = last(&self.until);
        let comma =
            words[..start].iter().rposition(|word| matches!(*word, "," | "，" | "、")).map_or(0, |at| at + 1);
        let has = |phrases: &[Phrase], from: usize, to: usize| {
            phrases.iter().any(|phrase| phrase.find(&words[..to], from).is_some())
        };
        let close = words.len().min(end + 2 * GAP);
        let stop = words[end..close]
            .iter()
            .position(|word| matches!(*word, "," | "，"))
            .map_or(close, |at| end + at);
        has(&self.before, begin.max(comma), start)
            || has(&self.before_list, begin, start)
            || (end..stop.min(end + GAP))
                .any(|at| self.after.iter().any(|p| p.at(&words[..stop], at).is_some()))
    }
}

/// The number that a clause gives for a sign of these names.
pub fn number(Clause { words }: &Clause, names: &[Phrase], percentage: bool) -> Option<f64> {
    for name in names {
        let Some((_, end)) = name.find(words, 0) else { continue };
        if percentage && let Some(at) = words.iter().position(|word| *word == "%").filter(|at| *at > 0) {
            return words[at - 1].parse().ok();
        }
        let said = words[end..].iter().take(2 * GAP).take_while(|word| !matches!(**word, "," | ")"));
        let mut number = said.filter(|word| word.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        if !percentage && let Some(value) = number.find_map(|word| word.parse().ok()) {
            return Some(value);
        }
    }
    None
}
